#include "cli/session.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/text.h"
#include "cli/command.h"
#include "engine/decoding/methods.h"

namespace reprise {
namespace {

Result<FamilyPaths> EmbeddedFamily() {
  const char* assets = std::getenv("REPRISE_ASSETS");
  std::error_code error;
  const std::filesystem::path binary = std::filesystem::read_symlink("/proc/self/exe", error);
  for (const std::filesystem::path& root :
       {std::filesystem::path(assets != nullptr ? assets : ""),
        binary.parent_path() / "../share/reprise/assets", std::filesystem::path(REPRISE_SOURCE_ASSETS)}) {
    if (root.empty()) continue;
    if (std::filesystem::exists(root / "family.json", error)) {
      return ResolveFamily({root.lexically_normal().string(), "", ""});
    }
    if (std::filesystem::exists(root / "base/config.json", error)) {
      return FamilyPaths{(root / "base").lexically_normal().string(), "", ""};
    }
  }
  return NotFound(
      "the embedded model was not found; set REPRISE_ASSETS to the assets folder, or name a model with "
      "--model");
}

}  // namespace

void ModelFlags::Declare(Flags* flags) {
  flags->Text("model", "PATH",
              "Hugging Face directory, GGUF file, or a directory with family.json; without it, the embedded "
              "family",
              &model);
  flags->Text("recycle", "DIR", "Recycle module made for the model", &recycle);
  flags->Text("draft", "PATH",
              "Draft model for speculative decoding: one made for the model, or any of the "
              "same tokenizer",
              &draft);
  flags->Text("device", "cpu|cuda:N|reference",
              "What computes: cpu, a GPU by its number, or the slow scalar reference", &device);
  flags->Bytes("gpu-graph-memory",
               "On a GPU: memory kept for CUDA graphs of steps that repeat, of its share; 0: no graphs",
               &gpu_graph_memory);
  flags->Integer("threads", "Compute threads; 0 takes one per core", &threads, 0, 1024);
}

void EngineFlags::Declare(Flags* flags) {
  flags->Integer("max-model-len",
                 "Longest prompt plus completion in tokens; 0 takes the model's context, or what the "
                 "cache can hold",
                 &max_model_len, 0, 1 << 24);
  flags->Integer("max-num-seqs", "Sequences computed together", &max_num_seqs, 1, 4096);
  flags->Integer("max-num-batched-tokens",
                 "Tokens computed in one step; long prompts are cut into such chunks",
                 &max_num_batched_tokens, 1, 1 << 20);
  flags->Bytes("kv-cache-memory", "Memory for keys and values, on the CPU", &kv_cache_memory);
  flags->Real(
      "gpu-memory-utilization",
      "On a GPU: the share of its memory that may be in use; keys and values take what weights, steps "
      "and graphs leave",
      &gpu_memory_utilization, 0.05, 1.0);
  DeclareKvType(flags, &kv_cache_dtype);
}

Result<EngineOptions> EngineFlags::Options() const {
  if (max_num_batched_tokens < max_num_seqs) {
    return InvalidArgument("--max-num-batched-tokens (" + std::to_string(max_num_batched_tokens) +
                           ") must be at least --max-num-seqs (" + std::to_string(max_num_seqs) + ")");
  }
  EngineOptions options;
  options.kv_cache_bytes = kv_cache_memory;
  options.gpu_memory_utilization = gpu_memory_utilization;
  options.kv_type = KvTypeNamed(kv_cache_dtype);
  options.max_model_len = max_model_len;
  options.max_num_seqs = max_num_seqs;
  options.max_num_batched_tokens = max_num_batched_tokens;
  return options;
}

void DeclareKvType(Flags* flags, std::string* name) {
  flags->Choice("kv-cache-dtype",
                "Element type of keys and values; auto is bf16, int8 takes half of that, on the CPU", name,
                {"auto", "bf16", "f32", "int8"});
}

KvType KvTypeNamed(const std::string& name) {
  if (name == "f32") return KvType::kF32;
  return name == "int8" ? KvType::kInt8 : KvType::kBF16;
}

void DeclareDecoding(Flags* flags, std::string help, std::string* method) {
  flags->Choice("decoding", std::move(help), method, {"auto", "plain", "recycle", "speculative"});
}

Status CheckDecoding(const std::string& method, const EngineInfo& info) {
  if (IsLoaded(*FindDecodingMethod(method), info.proposers)) return OkStatus();
  return InvalidArgument("--decoding " + method + " is not loaded; loaded: " + ListMethods(info.proposers) +
                         (method == "recycle" ? ". --recycle names a module" : ""));
}

void DecodingFlags::Declare(Flags* flags) {
  DeclareDecoding(flags, "Decoding method; auto chooses, step by step, what is fastest", &method);
  flags->Integer("max-draft-tokens", "Longest draft, 0 never drafts; negative is the method's own choice",
                 &max_draft_tokens, -1, kMaxDraftTokens);
  flags->Real("lenience", "How strictly drafts are verified: 1 is lossless, 0 takes them all", &lenience, 0,
              1);
  flags->Choice("proposer", "Who drafts, with speculative or auto", &proposer,
                {"any", "draft_model", "prompt_lookup"});
}

Status DecodingFlags::Check(const EngineInfo& info) const {
  RETURN_IF_ERROR(CheckDecoding(method, info));
  const std::optional<ProposerKind> kind = FindProposer(proposer);
  if (!kind) return OkStatus();
  if (std::ranges::find(info.proposers, *kind) == info.proposers.end()) {
    return InvalidArgument("--proposer " + proposer +
                           " is not loaded; loaded: " + ListSpeculativeProposers(info.proposers) +
                           (*kind == ProposerKind::kDraftModel ? ". --draft names a draft model" : ""));
  }
  if (method == "auto" || method == "speculative") return OkStatus();
  return InvalidArgument("--proposer goes with --decoding speculative or auto, not with " + method);
}

void DecodingFlags::Apply(Request* request) const {
  request->decoding = *FindDecodingMethod(method);
  request->proposer = FindProposer(proposer);
  if (max_draft_tokens >= 0) request->max_draft_tokens = max_draft_tokens;
  request->lenience = static_cast<float>(lenience);
}

Result<std::unique_ptr<Backend>> MakeBackend(const ModelFlags& flags) {
  if (flags.device == "reference") return MakeReferenceBackend();
  if (flags.device == "cpu") return MakeCpuBackend({flags.threads, ""});
  CudaBackendOptions cuda;
  cuda.num_threads = flags.threads;
  cuda.graph_bytes = flags.gpu_graph_memory;
  constexpr std::string_view kCuda = "cuda";
  std::string_view number(flags.device);
  if (number.starts_with(kCuda)) {
    number.remove_prefix(kCuda.size());
    if (number.empty()) return MakeCudaBackend(cuda);
    const char* end = number.data() + number.size();
    const auto [last, error] = std::from_chars(number.data() + 1, end, cuda.device);
    if (number[0] == ':' && error == std::errc() && last == end && cuda.device >= 0)
      return MakeCudaBackend(cuda);
  }
  return InvalidArgument("--device: '" + flags.device + "' is none of cpu, cuda:N and reference");
}

EngineModels LoadedModel::models() const {
  EngineModels models(family.target->decoder());
  models.recycle = family.recycle.get();
  models.draft = family.draft.get();
  return models;
}

Result<FamilyPaths> FindModels(const ModelFlags& flags) {
  FamilyPaths paths;
  if (flags.model.empty()) {
    ASSIGN_OR_RETURN(paths, EmbeddedFamily());
  } else {
    ASSIGN_OR_RETURN(paths, ResolveFamily({flags.model, flags.recycle, flags.draft}));
  }
  if (!flags.recycle.empty()) paths.recycle = flags.recycle;
  if (!flags.draft.empty()) paths.draft = flags.draft;
  return paths;
}

Result<LoadedModel> LoadModel(const ModelFlags& flags, int max_positions) {
  ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, MakeBackend(flags));
  return LoadModelOn(std::move(backend), flags, max_positions);
}

Result<LoadedModel> LoadModelOn(std::unique_ptr<Backend> backend, const ModelFlags& flags,
                                int max_positions) {
  LoadedModel loaded;
  loaded.backend = std::move(backend);
  ASSIGN_OR_RETURN(const FamilyPaths paths, FindModels(flags));
  ASSIGN_OR_RETURN(loaded.family, ModelFamily::Load(paths, *loaded.backend, max_positions));
  return loaded;
}

bool ParseFlags(Flags* flags, const std::vector<std::string>& arguments, int* exit_code) {
  const Result<Flags::Outcome> outcome = flags->Parse(arguments);
  if (!outcome.ok()) {
    std::fprintf(stderr, "reprise: %s\n", outcome.status().message().c_str());
    *exit_code = kExitUsage;
    return false;
  }
  if (*outcome == Flags::Outcome::kHelp) {
    std::fputs(flags->Help().c_str(), stdout);
    *exit_code = kExitOk;
    return false;
  }
  return true;
}

int ReportFailure(const Status& status) {
  std::fprintf(stderr, "reprise: %s\n", status.message().c_str());
  return kExitFailed;
}

}  // namespace reprise
