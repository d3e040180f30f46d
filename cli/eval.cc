// reprise eval perplexity: how well the served weights predict a text.
#include <cmath>
#include <cstdio>
#include <memory>
#include <span>

#include "base/mapped_file.h"
#include "cli/command.h"
#include "cli/session.h"
#include "engine/engine.h"

namespace reprise {
namespace {

struct EvalFlags {
  ModelFlags model;
  std::string measure;
  std::string text;
  int context = 2048;
  int max_windows = 0;
  std::string kv_cache_dtype = "auto";
  bool json = false;
};

// Sum of negative log-likelihoods of a window's tokens but the first.
Result<double> WindowLoss(Engine& engine, std::span<const TokenId> window) {
  auto request = std::make_shared<Request>();
  request->id = request->group = engine.NextRequestId();
  request->prompt.assign(window.begin(), window.end());
  request->max_tokens = 0;
  request->prompt_logprobs = 0;
  request->arrival = Clock::now();
  ASSIGN_OR_RETURN(const auto streams, engine.Submit({std::move(request)}));
  double loss = 0;
  std::size_t seen = 0;
  for (;;) {
    streams[0]->Wait();
    const TokenBatch batch = streams[0]->Take();
    for (std::size_t i = 1; i < batch.prompt.size(); ++i)
      loss -= static_cast<double>(batch.prompt[i].logprob);
    seen += batch.prompt.size();
    if (!batch.finished) continue;
    RETURN_IF_ERROR(batch.status);
    if (seen != window.size()) return Internal("the engine returned too few log-probabilities");
    return loss;
  }
}

// Windows as in SliceGPT's code (gpu_utils, data_utils): tokenise once, cut into windows of `context`, drop
// the tail; the mean over windows of the mean loss of each, then exp.
Status Perplexity(const EvalFlags& flags) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(flags.text));
  ASSIGN_OR_RETURN(const LoadedModel loaded, LoadModel(flags.model));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  ASSIGN_OR_RETURN(const std::vector<TokenId> tokens, loaded.model().tokenizer().Encode(text));
  const int context = std::min(flags.context, loaded.model().config().max_position);
  std::size_t windows = tokens.size() / static_cast<std::size_t>(context);
  if (windows == 0) {
    return InvalidArgument(flags.text + " has " + std::to_string(tokens.size()) +
                           " tokens, less than one window of " + std::to_string(context) +
                           "; choose a smaller --context");
  }
  if (flags.max_windows > 0) windows = std::min(windows, static_cast<std::size_t>(flags.max_windows));
  EngineOptions options;
  options.max_model_len = context;
  options.max_num_seqs = 1;
  options.max_num_logit_rows = 256;
  options.enable_prefix_cache = false;
  options.kv_type = flags.kv_cache_dtype == "f32" ? KvType::kF32 : KvType::kBF16;
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   Engine::Create(*loaded.backend, loaded.models(), options, nullptr));
  double total = 0;
  const TimePoint start = Clock::now();
  for (std::size_t w = 0; w < windows; ++w) {
    const auto window =
        std::span(tokens).subspan(w * static_cast<std::size_t>(context), static_cast<std::size_t>(context));
    ASSIGN_OR_RETURN(const double loss, WindowLoss(*engine, window));
    total += loss / (context - 1);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    std::fprintf(stderr, "\rwindow %zu of %zu, perplexity so far %.4f, %.0f tokens/s ", w + 1, windows,
                 std::exp(total / static_cast<double>(w + 1)),
                 static_cast<double>((w + 1) * context) / seconds);
  }
  std::fprintf(stderr, "\n");
  const double mean = total / static_cast<double>(windows);
  if (flags.json) {
    std::printf("{\"perplexity\": %.6f, \"mean_nll\": %.6f, \"windows\": %zu, \"context\": %d}\n",
                std::exp(mean), mean, windows, context);
  } else {
    std::printf("perplexity %.4f (mean negative log-likelihood %.5f, %zu windows of %d tokens)\n",
                std::exp(mean), mean, windows, context);
  }
  return OkStatus();
}

}  // namespace

int RunEval(const std::vector<std::string>& arguments) {
  EvalFlags values;
  Flags flags("eval", "Measure a model's quality on a text");
  flags.Positional("perplexity", "the measure: perplexity", &values.measure);
  values.model.Declare(&flags);
  flags.Text("text", "FILE", "UTF-8 text to predict", &values.text);
  flags.Integer("context", "Tokens in a window", &values.context, 2, 1 << 24);
  flags.Integer("max-windows", "Windows to measure; 0 takes all", &values.max_windows, 0, 1 << 24);
  flags.Choice("kv-cache-dtype", "Element type of keys and values; auto is bf16", &values.kv_cache_dtype,
               {"auto", "bf16", "f32"});
  flags.Switch("json", "Print one JSON object", &values.json);
  int exit_code = kExitOk;
  if (!ParseFlags(&flags, arguments, &exit_code)) return exit_code;
  if (values.measure != "perplexity" || values.text.empty()) {
    std::fprintf(stderr, "reprise: %s\n",
                 values.text.empty()
                     ? "--text is missing"
                     : ("unknown measure '" + values.measure + "'; there is perplexity").c_str());
    return kExitUsage;
  }
  const Status status = Perplexity(values);
  return status.ok() ? kExitOk : ReportFailure(status);
}

}  // namespace reprise
