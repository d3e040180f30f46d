// RecycleGPT's Table 3 (2308.03421) on a Llama shape with random weights, through the engine: one greedy
// request decoded plainly, in unverified pairs (the paper's own alternation), and verified. Random modules
// guess nothing right, so verified decoding is told from the time of a pass: with `alpha` of the guesses
// right it gives 1 + alpha tokens a pass. What passes of 2, 4 and 8 tokens and a pass of the module cost, as
// shares of a pass of one token, is what the engine measures at its start.
//
// Prints one JSON object a row.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/scratch_dir.h"
#include "benches/bench_flags.h"
#include "benches/bench_report.h"
#include "benches/device.h"
#include "benches/random_checkpoint.h"
#include "engine/engine_core.h"
#include "models/recycle_module.h"

namespace reprise::bench {
namespace {

constexpr int kPromptTokens = 32;
constexpr int kRounds = 2;  // the better one counts: in the first, graphs are captured

struct Options {
  std::string device = "cuda:0";
  std::string shape = "1.3b";
  WeightType type = WeightType::kBF16;
  std::vector<int> layers = {1, 4};
  std::vector<int> lengths = {64, 128, 256, 512, 1024};
  double alpha = 0.75;
};

// Of decoding, from the first token on.
struct Pace {
  double token_seconds = 0;
  double pass_seconds = 0;
};

Result<Pace> Decode(EngineCore& core, RequestId id, int length, DecodingMethod method, float lenience) {
  auto request = std::make_shared<Request>();
  request->id = request->group = id;
  for (int i = 0; i < kPromptTokens; ++i)
    request->prompt.push_back(static_cast<TokenId>(100 + (i * 37 + static_cast<int>(id)) % 1000));
  request->max_tokens = length;
  request->sampling.temperature = 0.0f;
  request->decoding = method;
  request->lenience = lenience;
  request->arrival = Clock::now();
  const auto stream = std::make_shared<TokenStream>(request);
  RETURN_IF_ERROR(core.Add(request, stream));
  while (!core.idle()) RETURN_IF_ERROR(core.Step(nullptr).status());
  const RequestStats stats = stream->Take().stats;
  const double seconds = std::chrono::duration<double>(stats.finished - stats.first_token).count();
  return Pace{seconds / (stats.num_generated_tokens - 1), seconds / (stats.num_passes - 1)};
}

class Table {
 public:
  static Status Print(const Options& options) {
    const int max_position = kPromptTokens + std::ranges::max(options.lengths) + 64;
    const std::optional<ModelConfig> config = LlamaShape(options.shape, max_position);
    if (!config) return InvalidArgument("--shape: there is no shape '" + options.shape + "'");
    ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, MakeDevice(options.device));
    const RandomCheckpoint checkpoint(*config, options.type, options.type);
    ASSIGN_OR_RETURN(const std::unique_ptr<Decoder> target,
                     Decoder::Load(checkpoint, *config, *backend, max_position));
    for (const int layers : options.layers)
      RETURN_IF_ERROR(PrintModule(options, *backend, checkpoint, *target, layers));
    return OkStatus();
  }

 private:
  static Status PrintModule(const Options& options, Backend& backend, const Checkpoint& checkpoint,
                            Decoder& target, int num_layers) {
    ASSIGN_OR_RETURN(const std::unique_ptr<ScratchDir> directory, ScratchDir::Create());
    RETURN_IF_ERROR(WriteRandomModule(directory->path(), checkpoint, target.config(), num_layers));
    ASSIGN_OR_RETURN(const std::unique_ptr<RecycleModule> module,
                     RecycleModule::Load(directory->path(), target, checkpoint, "random", backend,
                                         target.config().max_position));
    EngineModels models(target);
    models.recycle = module.get();
    EngineOptions engine;
    engine.max_num_seqs = 16;
    engine.enable_prefix_cache = false;
    ASSIGN_OR_RETURN(const std::unique_ptr<EngineCore> core, EngineCore::Create(backend, models, engine));
    for (const int length : options.lengths) RETURN_IF_ERROR(PrintRow(options, *core, num_layers, length));
    return OkStatus();
  }

  static Status PrintRow(const Options& options, EngineCore& core, int num_layers, int length) {
    Pace plain, pairs, verified;
    RequestId id = static_cast<RequestId>(length) * 100;
    for (int round = 0; round < kRounds; ++round) {
      const auto run = [&](DecodingMethod method, float lenience, Pace* best) -> Status {
        ASSIGN_OR_RETURN(const Pace pace, Decode(core, ++id, length, method, lenience));
        if (best->token_seconds == 0 || pace.token_seconds < best->token_seconds) *best = pace;
        return OkStatus();
      };
      RETURN_IF_ERROR(run(DecodingMethod::kPlain, 1.0f, &plain));
      RETURN_IF_ERROR(run(DecodingMethod::kRecycle, 0.0f, &pairs));
      RETURN_IF_ERROR(run(DecodingMethod::kRecycle, 1.0f, &verified));
    }
    const StepCosts& costs = core.costs();
    const double one = costs.step.At(1);
    std::printf(
        "{\"bench\":\"recycle\",\"backend\":\"%s\",\"shape\":\"%s\",\"type\":\"%s\",\"module_layers\":%d,"
        "\"length\":%d,\"plain_tokens_per_s\":%.1f,\"unverified_speedup\":%.3f,\"alpha\":%.2f,"
        "\"verified_speedup\":%.3f,\"v2\":%.3f,\"v4\":%.3f,\"v8\":%.3f,\"c\":%.3f,%s}\n",
        core.info().backend.c_str(), options.shape.c_str(), GetWeightTypeInfo(options.type).name.data(),
        num_layers, length, 1.0 / plain.token_seconds, plain.token_seconds / pairs.token_seconds,
        options.alpha, (1.0 + options.alpha) * plain.token_seconds / verified.pass_seconds,
        costs.step.At(2) / one, costs.step.At(4) / one, costs.step.At(8) / one,
        costs.proposer[IndexOf(ProposerKind::kRecycle)].At(1) / one, MachineJson().c_str());
    std::fflush(stdout);
    return OkStatus();
  }
};

int Main(int argc, char** argv) {
  Options options;
  Flags flags("bench_recycle", "RecycleGPT's Table 3 on a Llama shape with random weights");
  flags.Text("device", kDevices, "What computes", &options.device);
  flags.Text("shape", "NAME", "Of the Llama family", &options.shape);
  TypeFlag(&flags, "type", "Weight type", &options.type);
  IntegerList(&flags, "layers", "Of the module", &options.layers, 1, 64);
  IntegerList(&flags, "lengths", "Tokens to generate", &options.lengths, 4, 1 << 20);
  flags.Real("alpha", "Share of the guesses that verification accepts", &options.alpha, 0, 1);
  return RunBench(&flags, argc, argv, [&options] { return Table::Print(options); });
}

}  // namespace
}  // namespace reprise::bench

int main(int argc, char** argv) {
  return reprise::bench::Main(argc, argv);
}
