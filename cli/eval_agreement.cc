// How often drafted tokens are the model's own greedy choice, on a text.
//
// At every `stride` tokens of a window the text so far is the prompt; the model gives one token, the proposer
// drafts after it, and the model verifies. So drafts are judged all along the text, not along what the model
// would have made of it.
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "cli/eval.h"
#include "engine/decoding/methods.h"
#include "engine/engine.h"

namespace reprise {
namespace {

// Windows that are drafted for together.
constexpr std::size_t kWindowsAtOnce = 8;

// Counts the verified tokens of each position of a draft: those up to and with the first that falls.
class AgreementCounter final : public EngineObserver {
 public:
  struct Position {
    std::int64_t verified = 0;
    std::int64_t accepted = 0;
  };

  void OnStep(const StepStats& step) override {
    for (const StepStats::Emission& emission : step.emissions) {
      if (emission.num_drafted == 0) continue;
      ++drafts;
      tokens += emission.num_tokens;
      for (int k = 0; k < std::min(emission.num_drafted, emission.num_accepted + 1); ++k) {
        ++positions[static_cast<std::size_t>(k)].verified;
      }
      for (int k = 0; k < emission.num_accepted; ++k) ++positions[static_cast<std::size_t>(k)].accepted;
    }
  }
  void OnFinished(const Request&, const RequestStats&, FinishReason) override {}

  // The probability that a drafted token stands, were it the same at every position (DistillSpec's alpha).
  double Alpha() const {
    Position all;
    for (const Position& position : positions) {
      all.verified += position.verified;
      all.accepted += position.accepted;
    }
    return all.verified > 0 ? static_cast<double>(all.accepted) / static_cast<double>(all.verified) : 0;
  }

  std::int64_t drafts = 0;
  std::int64_t tokens = 0;  // that the passes with drafts gave
  std::array<Position, kMaxDraftTokens> positions = {};
};

std::shared_ptr<Request> MakeRequest(const EvalFlags& flags, ProposerKind proposer,
                                     std::span<const TokenId> prompt, Engine& engine) {
  auto request = std::make_shared<Request>();
  request->id = request->group = engine.NextRequestId();
  request->prompt.assign(prompt.begin(), prompt.end());
  request->sampling.temperature = 0;
  request->max_tokens = flags.max_draft_tokens + 2;  // with the prompt, the draft, after the draft
  request->decoding = MethodOf(proposer);
  if (MethodOf(proposer) == DecodingMethod::kSpeculative) request->proposer = proposer;
  request->max_draft_tokens = flags.max_draft_tokens;
  request->arrival = Clock::now();
  return request;
}

Status RunAll(Engine& engine, std::vector<std::shared_ptr<Request>> requests) {
  ASSIGN_OR_RETURN(const auto streams, engine.Submit(std::move(requests)));
  for (const auto& stream : streams) {
    for (bool finished = false; !finished;) {
      stream->Wait();
      const TokenBatch batch = stream->Take();
      RETURN_IF_ERROR(batch.status);
      finished = batch.finished;
    }
  }
  return OkStatus();
}

Status Measure(const EvalFlags& flags, const TextWindows& text, ProposerKind proposer, Engine& engine) {
  const int last = text.context - flags.max_draft_tokens - 2;
  for (std::size_t first = 0; first < text.count; first += kWindowsAtOnce) {
    const std::size_t end = std::min(text.count, first + kWindowsAtOnce);
    std::fprintf(stderr, "\r%s: window %zu of %zu ", std::string(ProposerName(proposer)).c_str(), end,
                 text.count);
    for (int length = flags.stride; length <= last; length += flags.stride) {
      std::vector<std::shared_ptr<Request>> requests;
      for (std::size_t w = first; w < end; ++w) {
        const auto prompt = text.window(w).first(static_cast<std::size_t>(length));
        requests.push_back(MakeRequest(flags, proposer, prompt, engine));
      }
      RETURN_IF_ERROR(RunAll(engine, std::move(requests)));
    }
  }
  std::fprintf(stderr, "\n");
  return OkStatus();
}

void Print(const EvalFlags& flags, ProposerKind proposer, const AgreementCounter& counter) {
  const std::string name(ProposerName(proposer));
  const double per_pass =
      counter.drafts > 0 ? static_cast<double>(counter.tokens) / static_cast<double>(counter.drafts) : 0;
  std::printf(flags.json
                  ? "{\"proposer\": \"%s\", \"drafts\": %lld, \"alpha\": %.4f, "
                    "\"tokens_per_pass\": %.3f, \"agreement_by_position\": ["
                  : "%s: %lld drafts, alpha %.4f, %.3f tokens per pass with a draft; agreement by position",
              name.c_str(), static_cast<long long>(counter.drafts), counter.Alpha(), per_pass);
  for (std::size_t k = 0; k < counter.positions.size() && counter.positions[k].verified > 0; ++k) {
    const double share = static_cast<double>(counter.positions[k].accepted) /
                         static_cast<double>(counter.positions[k].verified);
    std::printf("%s%.4f", flags.json && k > 0 ? ", " : flags.json ? "" : " ", share);
  }
  std::printf(flags.json ? "]}\n" : "\n");
  std::fflush(stdout);
}

}  // namespace

Status EvalAgreement(const EvalFlags& flags) {
  ASSIGN_OR_RETURN(const LoadedModel loaded, LoadModel(flags.model));
  ASSIGN_OR_RETURN(const TextWindows text, ReadWindows(flags, loaded.model()));
  if (flags.stride + flags.max_draft_tokens + 2 > text.context) {
    return InvalidArgument("--stride (" + std::to_string(flags.stride) +
                           ") and a draft do not fit a window of " + std::to_string(text.context) +
                           " tokens");
  }
  EngineOptions options;
  options.max_model_len = text.context;
  options.max_num_seqs = kWindowsAtOnce;
  options.max_num_logit_rows = static_cast<int>(kWindowsAtOnce) * (1 + flags.max_draft_tokens);
  options.kv_type = KvTypeNamed(flags.kv_cache_dtype);
  AgreementCounter counter;
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   Engine::Create(*loaded.backend, loaded.models(), options, &counter));
  RETURN_IF_ERROR(CheckDecoding(flags.decoding, engine->info()));
  const DecodingMethod wanted = *FindDecodingMethod(flags.decoding);
  if (wanted == DecodingMethod::kPlain) {
    return InvalidArgument(
        "--decoding plain drafts nothing to agree with; choose auto, recycle or speculative");
  }
  for (ProposerKind proposer : engine->info().proposers) {
    if (wanted != DecodingMethod::kAuto && wanted != MethodOf(proposer)) continue;
    counter = AgreementCounter();
    RETURN_IF_ERROR(Measure(flags, text, proposer, *engine));
    while (!engine->state().idle) std::this_thread::yield();
    Print(flags, proposer, counter);
  }
  return OkStatus();
}

}  // namespace reprise
