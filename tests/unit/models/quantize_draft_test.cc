// Recycle modules and drafts as directories with a block-quantised GGUF file.
#include "models/quantize_draft.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>

#include "models/draft_checkpoint.h"
#include "models/family.h"
#include "tests/conformance/decoder/prompt_runner.h"
#include "tests/unit/models/tiny_family.h"

namespace reprise {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

constexpr const char* kTarget = "tests/data/models/smollm2";
constexpr int kDraftVocabulary = 90;

const std::vector<TokenId>& Tokens() {
  static const std::vector<TokenId> tokens = {20, 31, 40, 99, 200, 7, 150, 21, 88, 13, 250, 60};
  return tokens;
}

// The directories "module" and "draft" for kTarget, with a reduced vocabulary.
class Originals {
 public:
  Originals() {
    const ModelConfig config = LoadModelConfig(kTarget).value();
    const auto checkpoint = std::move(Checkpoint::Open(kTarget)).value();
    fs::create_directory(module());
    fs::create_directory(draft());
    WriteModule(module(), *checkpoint, config, {ModuleKind::kRandom, 2, false, kDraftVocabulary});
    dir_.Write("module/README.md", "# A module\n");
    std::mt19937 random(3);
    TensorFile file;
    file.Add("model.norm.weight", {config.hidden_size}, [](std::int64_t) { return 1.0f; });
    AddLayers(&file, "model.", config, 1, 0.3f, &random);
    file.Write(draft() + "/model.safetensors");
    AppendIntegers(draft() + "/model.safetensors", "d2t", EveryNth(config.vocab_size, kDraftVocabulary));
    dir_.Write("draft/config.json",
               "{\"architectures\":[\"RepriseDraft\"],\"model_type\":\"llama\",\"torch_dtype\":\"bfloat16\","
               "\"shared\":[\"embedding\",\"head\"],\"draft_vocab_size\":" +
                   std::to_string(kDraftVocabulary) + "," +
                   LayerFields(config, 1, BaseFingerprint(*checkpoint, config).value()) + "}");
  }
  std::string module() const { return dir_.path() + "/module"; }
  std::string draft() const { return dir_.path() + "/draft"; }
  std::string path(const std::string& name) const { return dir_.path() + "/" + name; }

 private:
  TempDir dir_;
};

QuantizeSummary Quantized(const std::string& source, const std::string& out, WeightType type) {
  const auto summary = QuantizeModel({source, out, type}, nullptr);
  INFO(summary.status().ToString());
  REQUIRE(summary.ok());
  return *summary;
}

ModelFamily LoadFamily(const FamilyPaths& paths, Backend& backend) {
  auto family = ModelFamily::Load(paths, backend);
  INFO(family.status().ToString());
  REQUIRE(family.ok());
  return std::move(*family);
}

// Of the module after hidden states that are the same in every call.
std::vector<float> ModuleLogits(RecycleModule& module, Backend& backend) {
  const int count = static_cast<int>(Tokens().size());
  REQUIRE(module.Reserve(count, count).ok());
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  std::vector<float> hidden(static_cast<std::size_t>(count * module.hidden_size()));
  for (float& value : hidden) value = normal(random);
  const auto forward = [&](const BatchView& batch, std::span<const KvLayer> kv) {
    backend.Upload(module.HiddenInput(count).data, hidden.data(), hidden.size() * sizeof(float));
    return module.Forward(batch, kv).logits;
  };
  return RunSteps(forward, module.kv_geometry(), module.num_layers(), backend, Tokens(), count, count);
}

std::vector<float> DraftLogits(Decoder& draft, Backend& backend) {
  const int count = static_cast<int>(Tokens().size());
  REQUIRE(draft.Reserve(count, count).ok());
  return RunPrompt(draft, backend, Tokens(), count, count, KvType::kF32);
}

TEST_CASE("what is quantised to Q8_0 guesses to the bit as its original, which is held so") {
  const Originals originals;
  const auto backend = MakeReferenceBackend();
  Quantized(originals.module(), originals.path("m8"), WeightType::kQ8_0);
  Quantized(originals.draft(), originals.path("d8"), WeightType::kQ8_0);
  const ModelFamily before = LoadFamily({kTarget, originals.module(), originals.draft()}, *backend);
  const ModelFamily after = LoadFamily({kTarget, originals.path("m8"), originals.path("d8")}, *backend);
  CHECK(ModuleLogits(*after.recycle, *backend) == ModuleLogits(*before.recycle, *backend));
  CHECK(DraftLogits(*after.draft, *backend) == DraftLogits(*before.draft, *backend));
  CHECK(after.recycle->weight_bytes() == before.recycle->weight_bytes());
  CHECK(after.draft->weight_bytes() == before.draft->weight_bytes());
  REQUIRE(after.recycle->head_tokens().size() == kDraftVocabulary);
  CHECK(std::ranges::equal(after.recycle->head_tokens(), before.recycle->head_tokens()));
  CHECK(after.draft->vocabulary().head_tokens == before.draft->vocabulary().head_tokens);
}

TEST_CASE("what is quantised to 4 bits is held in 4 bits, and guesses nearly as its original") {
  const Originals originals;
  const auto backend = MakeReferenceBackend();
  const WeightType type = GENERATE(WeightType::kQ4_0, WeightType::kQ4_1);
  Quantized(originals.module(), originals.path("m4"), type);
  Quantized(originals.draft(), originals.path("d4"), type);
  const ModelFamily before = LoadFamily({kTarget, originals.module(), originals.draft()}, *backend);
  const ModelFamily after = LoadFamily({kTarget, originals.path("m4"), originals.path("d4")}, *backend);
  CHECK(after.draft->weight_bytes() < before.draft->weight_bytes() * 7 / 10);
  CHECK(after.recycle->weight_bytes() < before.recycle->weight_bytes());
  const auto difference =
      RelativeDifference(DraftLogits(*before.draft, *backend), DraftLogits(*after.draft, *backend));
  INFO(difference);
  CHECK((difference > 0 && difference < 0.4));
}

TEST_CASE("a quantised directory has the original's configuration and card, and can be quantised again") {
  const Originals originals;
  const std::string out = originals.path("first");
  const QuantizeSummary summary = Quantized(originals.draft(), out + "/", WeightType::kQ8_0);
  const auto checkpoint = std::move(OpenDraftCheckpoint(out, DraftClass::kSharedDraft)).value();
  std::int64_t elements = 0;
  for (const TensorInfo& tensor : checkpoint->tensors()) elements += tensor.elements();
  CHECK(summary.parameters == elements);
  CHECK(summary.unquantized_matrices == 0);
  const std::string config = ReadWholeFile(out + "/config.json");
  CHECK_THAT(config, !Contains("torch_dtype") && Contains("\"base_name\": \"tiny\""));
  CHECK(config.find("architectures") < config.find("vocab_size"));  // in the original's order
  CHECK_FALSE(fs::exists(out + "/README.md"));
  Quantized(originals.module(), originals.path("module8"), WeightType::kQ8_0);
  CHECK(ReadWholeFile(originals.path("module8/README.md")) == "# A module\n");
  Quantized(out, originals.path("second"), WeightType::kQ8_0);
  CHECK(ReadWholeFile(originals.path("second/model.gguf")) == ReadWholeFile(out + "/model.gguf"));
}

TEST_CASE("matrices whose rows are not whole blocks stay F16") {
  const TempDir dir;
  ModelConfig config = LoadModelConfig(kTarget).value();
  config.hidden_size = 80;
  const auto checkpoint = std::move(Checkpoint::Open(kTarget)).value();
  WriteModule(dir.path(), *checkpoint, config, {});
  const QuantizeSummary summary = Quantized(dir.path(), dir.path() + "/out", WeightType::kQ4_0);
  CHECK(summary.unquantized_matrices == 5);  // q, k, v, gate, up
  const auto made = std::move(OpenDraftCheckpoint(dir.path() + "/out", DraftClass::kRecycleModule)).value();
  CHECK(made->Find("blk.0.attn_q.weight")->type == WeightType::kF16);
  CHECK(made->Find("recycle.input_projection.weight")->type == WeightType::kQ4_0);
  CHECK(made->Find("recycle.hidden_norm.weight")->type == WeightType::kF32);
}

TEST_CASE("the GGUF file of an ordinary model does not pass for a draft's") {
  const Originals originals;
  fs::remove(originals.draft() + "/model.safetensors");
  fs::copy("tests/data/models/llama2-Q8_0.gguf", originals.draft() + "/model.gguf");
  const Status status = OpenDraftCheckpoint(originals.draft(), DraftClass::kSharedDraft).status();
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK_THAT(status.message(), Contains("'llama'") && Contains("'reprise_draft'"));
  Quantized(originals.module(), originals.path("m8"), WeightType::kQ8_0);
  CHECK_FALSE(OpenDraftCheckpoint(originals.path("m8"), DraftClass::kSharedDraft).ok());
}

TEST_CASE("bad input to the quantisation of a module is refused and leaves nothing") {
  const Originals originals;
  const std::string out = originals.path("out");
  const auto refused = [&](const QuantizeOptions& options, StatusCode code, const std::string& part) {
    const Status status = QuantizeModel(options, nullptr).status();
    INFO(status.ToString());
    CHECK(status.code() == code);
    CHECK_THAT(status.message(), Contains(part));
    CHECK_FALSE(fs::exists(out));
    CHECK_FALSE(fs::exists(out + ".partial"));
  };
  const auto edit = [&](const std::string& from, const std::string& to) {
    std::string config = ReadWholeFile(originals.module() + "/config.json");
    const std::size_t at = config.find(from);
    REQUIRE(at != std::string::npos);
    std::ofstream(originals.module() + "/config.json") << config.replace(at, from.size(), to);
  };
  SECTION("type") {
    refused({originals.module(), out, WeightType::kQ6_K}, StatusCode::kInvalidArgument, "q8_0, q4_0");
  }
  SECTION("existing output") {
    refused({originals.module(), originals.draft()}, StatusCode::kFailedPrecondition, "exists already");
    CHECK_FALSE(fs::exists(originals.draft() + "/model.gguf"));
  }
  SECTION("output nowhere") {
    refused({originals.module(), originals.path("no/where")}, StatusCode::kFailedPrecondition, "cannot make");
  }
  SECTION("sizes") {
    edit("\"intermediate_size\":64", "\"intermediate_size\":96");
    refused({originals.module(), out}, StatusCode::kDataLoss, "layers.0.mlp.gate_proj.weight");
  }
  SECTION("more layers than any disk holds") {
    edit("\"num_hidden_layers\":2", "\"num_hidden_layers\":900");
    edit("\"intermediate_size\":64", "\"intermediate_size\":1048576");
    refused({originals.module(), out}, StatusCode::kDataLoss, "layers.0.mlp.gate_proj.weight");
  }
  SECTION("configuration") {
    edit("\"hidden_kind\":\"post_norm\"", "\"hidden_kind\":\"no_norm\"");
    refused({originals.module(), out}, StatusCode::kInvalidArgument, "hidden_kind");
  }
  SECTION("no weights") {
    fs::remove(originals.module() + "/model.safetensors");
    refused({originals.module(), out}, StatusCode::kNotFound, "neither model.safetensors nor model.gguf");
  }
}

TEST_CASE("a full disk, or a kill, leaves no directory of that name") {
  const Originals originals;
  const std::string out = originals.path("out");
  const bool killed = GENERATE(false, true);
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {10000, 10000};
    if (!killed) setrlimit(RLIMIT_FSIZE, &limit);
    const auto progress = [](double done) {
      if (done > 0.9) raise(SIGKILL);
    };
    const Status status = QuantizeModel({originals.module(), out}, progress).status();
    _exit(status.code() == StatusCode::kResourceExhausted ? 0 : 1);
  }
  int state = 0;
  REQUIRE(waitpid(child, &state, 0) == child);
  CHECK((killed ? WIFSIGNALED(state) : WIFEXITED(state) && WEXITSTATUS(state) == 0));
  CHECK_FALSE(fs::exists(out));
  CHECK(fs::exists(out + ".partial") == killed);
  if (killed) CHECK_FALSE(DraftClassOf(out + ".partial").has_value());
  Quantized(originals.module(), out, WeightType::kQ8_0);
  CHECK_FALSE(fs::exists(out + ".partial"));
}

}  // namespace
}  // namespace reprise
