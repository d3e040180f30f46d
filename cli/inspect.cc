// reprise inspect: what a path holds.
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>

#include "base/text.h"
#include "cli/command.h"
#include "cli/session.h"
#include "models/config.h"
#include "models/draft_checkpoint.h"
#include "models/fingerprint.h"
#include "models/formats/checkpoint.h"
#include "models/model_tensors.h"
#include "models/tokenizer/tokenizer.h"

namespace reprise {
namespace {

void Row(const char* key, const std::string& value) {
  std::printf("%-16s %s\n", key, value.c_str());
}

void PrintCheckpoint(const Checkpoint& checkpoint) {
  Row("format", std::string(checkpoint.format()));
  std::int64_t parameters = 0;
  std::uint64_t bytes = 0;
  std::map<std::string_view, std::int64_t> by_type;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    bytes += tensor.bytes;
    if (IsRotationName(tensor.name)) continue;  // kept beside a sliced model, no part of it
    parameters += tensor.elements();
    by_type[GetWeightTypeInfo(tensor.type).name] += tensor.elements();
  }
  Row("tensors", std::to_string(checkpoint.tensors().size()));
  Row("parameters", std::to_string(parameters));
  Row("bytes", std::to_string(bytes) + " (" + FormatBytes(bytes) + ")");
  std::string types;
  for (const auto& [name, count] : by_type) {
    char share[48];
    std::snprintf(share, sizeof share, "%s%s %.1f %%", types.empty() ? "" : ", ", std::string(name).c_str(),
                  100.0 * static_cast<double>(count) / static_cast<double>(parameters));
    types += share;
  }
  Row("weight types", types);
}

// Residual widths of attention input, MLP input and output, layers alike taken together.
std::string DescribeWidths(const ModelConfig& config) {
  std::string text;
  const int layers = config.num_layers;
  for (int first = 0, next = 0; first < layers; first = next) {
    const LayerWidths widths = config.layer_widths(first);
    while (next < layers && config.layer_widths(next) == widths) ++next;
    text += (first > 0 ? "; " : "") + std::string(next - first > 1 ? "layers " : "layer ") +
            std::to_string(first) + (next - first > 1 ? "-" + std::to_string(next - 1) : "") + ": " +
            std::to_string(widths.in) + ", " + std::to_string(widths.mid) + ", " + std::to_string(widths.out);
  }
  return text + "; norms over " + std::to_string(config.norm_dim);
}

void PrintConfig(const ModelConfig& config) {
  Row("architecture", std::string(ArchitectureName(config.architecture)));
  Row("layers", std::to_string(config.num_layers));
  Row("hidden size", std::to_string(config.hidden_size));
  if (config.sliced()) Row("sliced widths", DescribeWidths(config));
  Row("heads", std::to_string(config.num_heads) + " over " + std::to_string(config.num_kv_heads) +
                   " KV heads of " + std::to_string(config.head_dim));
  Row("MLP size", std::to_string(config.intermediate_size));
  Row("vocabulary",
      std::to_string(config.vocab_size) + (config.tie_embeddings ? ", head tied to the embedding" : ""));
  Row("context",
      std::to_string(config.max_position) +
          (config.sliding_window > 0 ? ", sliding window " + std::to_string(config.sliding_window) : ""));
  const std::uint64_t kv_bytes = std::uint64_t{4} * static_cast<std::uint64_t>(config.num_layers) *
                                 config.num_kv_heads * config.head_dim;
  Row("KV per token", FormatBytes(kv_bytes) + " in bf16");
}

// A recycle module or a draft that shares its target's embedding and head.
Status InspectDraft(const std::string& path, DraftClass draft_class) {
  ASSIGN_OR_RETURN(const DraftConfig config, LoadDraftConfig(path, draft_class));
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, OpenDraftCheckpoint(path, draft_class));
  PrintCheckpoint(*checkpoint);
  const bool module = draft_class == DraftClass::kRecycleModule;
  Row("kind", module ? "recycle module" : "draft that shares its target's embedding and head");
  Row("made for",
      (config.base_name.empty() ? "a model" : config.base_name) + " with fingerprint " + config.base_sha256);
  Row("layers", std::to_string(config.layers.num_layers));
  Row("hidden size", std::to_string(config.layers.hidden_size));
  Row("drafts from", std::to_string(config.draft_vocab_size) + " of " +
                         std::to_string(config.layers.vocab_size) + " tokens");
  if (module) Row("longest chain", std::to_string(config.max_draft_tokens));
  return OkStatus();
}

// A path may hold weights, a tokenizer, or both; it is an error only when it holds neither.
Status Inspect(const std::string& path) {
  if (!std::filesystem::exists(path)) return NotFound("no such file or directory: " + path);
  if (const auto draft_class = DraftClassOf(path)) return InspectDraft(path, *draft_class);
  const auto checkpoint = Checkpoint::Open(path);
  const auto config = LoadModelConfig(path);
  const auto tokenizer = Tokenizer::Load(path);
  const bool has_weights = checkpoint.ok() && !(*checkpoint)->tensors().empty();
  if (!has_weights && !tokenizer.ok()) return checkpoint.ok() ? tokenizer.status() : checkpoint.status();
  if (has_weights) PrintCheckpoint(**checkpoint);
  if (config.ok()) {
    PrintConfig(*config);
    // Recycle modules and drafts name the model that they were made for by it.
    if (has_weights) {
      const auto fingerprint = BaseFingerprint(**checkpoint, *config);
      Row("fingerprint", fingerprint.ok() ? *fingerprint : fingerprint.status().message());
    }
  } else if (has_weights) {
    Row("not servable", config.status().message());
  }
  if (!has_weights) Row("weights", "none");
  Row("tokenizer", tokenizer.ok() ? (*tokenizer)->Describe() : "unusable: " + tokenizer.status().message());
  if (tokenizer.ok()) Row("chat template", (*tokenizer)->chat_template().empty() ? "no" : "yes");
  return OkStatus();
}

}  // namespace

int RunInspect(const std::vector<std::string>& arguments) {
  std::string path;
  Flags flags("reprise inspect", "Describe a model, a tokenizer or a directory of weights");
  flags.Positional("PATH", "a GGUF or safetensors file, or a Hugging Face directory", &path);
  int exit_code = kExitOk;
  if (!ParseFlags(&flags, arguments, &exit_code)) return exit_code;
  const Status status = Inspect(path);
  return status.ok() ? kExitOk : ReportFailure(status);
}

}  // namespace reprise
