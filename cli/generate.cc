// reprise generate: one completion on standard output, figures on standard error.
#include <cstdio>
#include <memory>

#include "cli/chat_prompt.h"
#include "cli/command.h"
#include "cli/session.h"
#include "engine/engine.h"

namespace reprise {
namespace {

struct GenerateFlags {
  ModelFlags model;
  EngineFlags engine;
  DecodingFlags decoding;
  std::string prompt;
  bool chat = false;
  std::string system;
  int max_tokens = 256;
  double temperature = -1;
  double top_p = -1;
  int top_k = -1;
  int seed = -1;
  bool ignore_eos = false;

  void Declare(Flags* flags) {
    model.Declare(flags);
    flags->Text("prompt", "TEXT", "What to continue, or with --chat the user's message", &prompt);
    flags->Switch("chat", "Wrap the prompt in the model's chat template", &chat);
    flags->Text("system", "TEXT", "System message, with --chat", &system);
    decoding.Declare(flags);
    flags->Integer("max-tokens", "Tokens to generate at most", &max_tokens, 1, 1 << 24);
    flags->Real("temperature", "Sampling temperature, 0 is greedy; negative takes the model's default, or 1",
                &temperature, -1, 2);
    flags->Real("top-p", "Nucleus size; negative takes the model's default, or 1", &top_p, -1, 1);
    flags->Integer("top-k", "Candidates kept, 0 keeps all; negative takes the model's default, or 0", &top_k,
                   -1, 1 << 24);
    flags->Integer("seed", "Noise seed; negative draws one", &seed, -1, 2147483647);
    flags->Switch("ignore-eos", "Go on past the end-of-sequence token", &ignore_eos);
    engine.Declare(flags);
  }
};

template <typename T>
T Pick(T given, T model_default, T fallback) {
  return given >= 0 ? given : model_default >= 0 ? model_default : fallback;
}

Result<std::vector<TokenId>> EncodePrompt(const GenerateFlags& flags, const Model& model) {
  return flags.chat ? EncodeChat(model, flags.system, flags.prompt) : model.tokenizer().Encode(flags.prompt);
}

Result<std::shared_ptr<Request>> MakeRequest(const GenerateFlags& flags, const Model& model,
                                             const EngineInfo& info) {
  auto request = std::make_shared<Request>();
  ASSIGN_OR_RETURN(request->prompt, EncodePrompt(flags, model));
  const int room = info.max_model_len - static_cast<int>(request->prompt.size());
  if (room < 1) {
    return InvalidArgument("the prompt has " + std::to_string(request->prompt.size()) +
                           " tokens, the context only " + std::to_string(info.max_model_len));
  }
  request->max_tokens = std::min(flags.max_tokens, room);
  const GenerationDefaults& defaults = model.generation_defaults();
  request->sampling.temperature = Pick(static_cast<float>(flags.temperature), defaults.temperature, 1.0f);
  request->sampling.top_p = Pick(static_cast<float>(flags.top_p), defaults.top_p, 1.0f);
  request->sampling.top_k = Pick(flags.top_k, defaults.top_k, 0);
  request->sampling.seeded = flags.seed >= 0;
  if (flags.seed >= 0) request->sampling.seed = static_cast<std::uint64_t>(flags.seed);
  if (!flags.ignore_eos) request->stop_token_ids = model.eos_token_ids();
  flags.decoding.Apply(request.get());
  request->arrival = Clock::now();
  return request;
}

void PrintFigures(const RequestStats& stats, FinishReason reason) {
  const auto seconds = [](TimePoint a, TimePoint b) { return std::chrono::duration<double>(b - a).count(); };
  const double decode = seconds(stats.first_token, stats.finished);
  std::fprintf(
      stderr,
      "\n%d prompt tokens, first token after %.1f ms; %d tokens, %.1f tokens/s after the first; finish: %s\n",
      stats.num_prompt_tokens, 1e3 * seconds(stats.arrival, stats.first_token), stats.num_generated_tokens,
      decode > 0 ? (stats.num_generated_tokens - 1) / decode : 0.0,
      std::string(FinishReasonName(reason)).c_str());
  std::fprintf(stderr, "%d passes, %.2f tokens per pass", stats.num_passes,
               stats.num_passes > 0 ? static_cast<double>(stats.num_generated_tokens) / stats.num_passes : 0);
  if (stats.num_draft_tokens > 0) {
    std::fprintf(stderr, "; mostly %s, %d of %d drafted tokens accepted (%.0f %%)",
                 std::string(DecodingMethodName(stats.method)).c_str(), stats.num_accepted_draft_tokens,
                 stats.num_draft_tokens, 100.0 * stats.num_accepted_draft_tokens / stats.num_draft_tokens);
  }
  std::fprintf(stderr, "\n");
}

Status Generate(const GenerateFlags& flags) {
  ASSIGN_OR_RETURN(const LoadedModel loaded, LoadModel(flags.model, flags.engine.max_model_len));
  ASSIGN_OR_RETURN(EngineOptions options, flags.engine.Options());
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   Engine::Create(*loaded.backend, loaded.models(), options, nullptr));
  RETURN_IF_ERROR(flags.decoding.Check(engine->info()));
  ASSIGN_OR_RETURN(std::shared_ptr<Request> request, MakeRequest(flags, loaded.model(), engine->info()));
  request->id = request->group = engine->NextRequestId();
  ASSIGN_OR_RETURN(const auto streams, engine->Submit({request}));
  Detokenizer detokenizer(loaded.model().tokenizer(), true);
  for (;;) {
    streams[0]->Wait();
    const TokenBatch batch = streams[0]->Take();
    std::string text;
    for (const GeneratedToken& token : batch.tokens) text += detokenizer.Append(token.token);
    if (batch.finished) text += detokenizer.Finish();
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
    if (!batch.finished) continue;
    RETURN_IF_ERROR(batch.status);
    PrintFigures(batch.stats, batch.finish_reason);
    return OkStatus();
  }
}

}  // namespace

int RunGenerate(const std::vector<std::string>& arguments) {
  GenerateFlags values;
  Flags flags("reprise generate", "Print one completion");
  values.Declare(&flags);
  int exit_code = kExitOk;
  if (!ParseFlags(&flags, arguments, &exit_code)) return exit_code;
  if (values.prompt.empty()) {
    std::fprintf(stderr, "reprise: --prompt is missing or empty\n");
    return kExitUsage;
  }
  const Status status = Generate(values);
  return status.ok() ? kExitOk : ReportFailure(status);
}

}  // namespace reprise
