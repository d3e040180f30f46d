// How well the served weights predict a text.
#include <cmath>
#include <cstdio>
#include <memory>
#include <span>

#include "cli/eval.h"
#include "engine/engine.h"

namespace reprise {
namespace {

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
    for (std::size_t i = 1; i < batch.prompt.size(); ++i) {
      // A token that was scored has a rank of 1 or more.
      if (batch.prompt[i].rank == 0) {
        return Internal("the model produced no finite logit at position " + std::to_string(i) +
                        " of a window: are its weights finite?");
      }
      loss -= static_cast<double>(batch.prompt[i].logprob);
    }
    seen += batch.prompt.size();
    if (!batch.finished) continue;
    RETURN_IF_ERROR(batch.status);
    if (seen != window.size()) return Internal("the engine returned too few log-probabilities");
    return loss;
  }
}

}  // namespace

// The mean over windows of the mean loss of each, then exp, as SliceGPT's code does.
Status EvalPerplexity(const EvalFlags& flags) {
  ASSIGN_OR_RETURN(const LoadedModel loaded, LoadModel(flags.model));
  ASSIGN_OR_RETURN(const TextWindows text, ReadWindows(flags, loaded.model()));
  EngineOptions options;
  options.max_model_len = text.context;
  options.max_num_seqs = 1;
  options.max_num_logit_rows = 256;
  options.enable_prefix_cache = false;
  options.kv_type = KvTypeNamed(flags.kv_cache_dtype);
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   Engine::Create(*loaded.backend, loaded.models(), options, nullptr));
  double total = 0;
  const TimePoint start = Clock::now();
  for (std::size_t w = 0; w < text.count; ++w) {
    ASSIGN_OR_RETURN(const double loss, WindowLoss(*engine, text.window(w)));
    total += loss / (text.context - 1);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    std::fprintf(stderr, "\rwindow %zu of %zu, perplexity so far %.4f, %.0f tokens/s ", w + 1, text.count,
                 std::exp(total / static_cast<double>(w + 1)),
                 static_cast<double>((w + 1) * text.context) / seconds);
  }
  std::fprintf(stderr, "\n");
  const double mean = total / static_cast<double>(text.count);
  if (flags.json) {
    std::printf("{\"perplexity\": %.6f, \"mean_nll\": %.6f, \"windows\": %zu, \"context\": %d}\n",
                std::exp(mean), mean, text.count, text.context);
  } else {
    std::printf("perplexity %.4f (mean negative log-likelihood %.5f, %zu windows of %d tokens)\n",
                std::exp(mean), mean, text.count, text.context);
  }
  return OkStatus();
}

}  // namespace reprise
