// One accepted generation call: its choices' token streams on one side, pieces of text on the other.
//
// The engine thread only rings the bell; detokenising, stop strings and everything after them happen on the
// consumer's thread, in Poll.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"
#include "server/text_stream.h"

namespace reprise {

class Metrics;

// One token as a reply shows it.
struct TokenDetail {
  GeneratedToken token;
  bool has_logprob = true;  // false for the first token of an echoed prompt
  int text_offset = 0;      // characters of the choice's text before it
};

// News of one choice.
struct ChoiceDelta {
  int index = 0;
  std::string text;
  std::vector<TokenDetail> tokens;  // when the call asked for log-probabilities or token ids
  FinishReason finish_reason = FinishReason::kNone;
  std::optional<std::string> stop_string;  // what ended it, if it was one of these
  std::optional<TokenId> stop_token;

  bool empty() const { return text.empty() && tokens.empty() && finish_reason == FinishReason::kNone; }
};

struct Usage {
  int prompt_tokens = 0;
  int completion_tokens = 0;
  int cached_tokens = 0;
};

// Times in milliseconds; over all choices the first token's, the longest queueing and the whole generation.
struct CallMetrics {
  double time_to_first_token_ms = 0;
  double queue_time_ms = 0;
  double generation_time_ms = 0;
  double tokens_per_second = 0;
  DecodingMethod method = DecodingMethod::kPlain;
  int passes = 0;
  double tokens_per_pass = 0;
  int num_spec_steps = 0;
  int num_draft_tokens = 0;
  int num_accepted_draft_tokens = 0;
};

// What the service knows of a call when it starts.
struct CallPlan {
  const Tokenizer* tokenizer = nullptr;
  Engine* engine = nullptr;
  Metrics* metrics = nullptr;
  TextStreamOptions text;
  std::vector<TokenId> stop_token_ids;  // asked for: worth naming as the reason
  bool want_tokens = false;             // fill ChoiceDelta::tokens
  int choices_per_prompt = 1;
  std::vector<std::string> echo;  // per prompt: the text that choices begin with; empty: no echo
};

class GenerationCall {
 public:
  // One stream per choice, index = prompt * n + choice. Owns the requests from here on: they are cancelled
  // when the call is destroyed before they have ended.
  GenerationCall(CallPlan plan, std::vector<std::shared_ptr<TokenStream>> streams);
  ~GenerationCall();
  GenerationCall(const GenerationCall&) = delete;
  GenerationCall& operator=(const GenerationCall&) = delete;

  // `on_ready` is called, on the engine's thread or at once on this one, when Poll has something to do; again
  // only after the next Poll. It must be quick, and stays callable after the call is gone.
  void Listen(std::function<void()> on_ready);

  // --- consumer: one thread at a time
  // Takes what the engine has published.
  void Poll();
  // The choices' news since the last time, those without left out.
  std::vector<ChoiceDelta> TakeDeltas();
  bool HasDeltas() const;
  // Every choice has ended in the engine too: usage and metrics are final.
  bool finished() const { return num_live_ == 0; }
  // Not OK when the engine failed a choice.
  const Status& status() const { return status_; }
  int num_choices() const { return static_cast<int>(choices_.size()); }
  Usage usage() const;
  CallMetrics metrics() const;

  // The client is gone, or no longer wants it. Ends all choices within one step.
  void Cancel();

 private:
  struct Choice {
    Choice(std::shared_ptr<TokenStream> s, TextStream t) : stream(std::move(s)), text(std::move(t)) {}
    std::shared_ptr<TokenStream> stream;
    TextStream text;
    ChoiceDelta delta;
    int echo_characters = 0;
    int num_tokens = 0;   // generated and used
    bool closed = false;  // the client has its finish reason
    bool ended = false;   // so has the engine
    RequestStats stats;
  };

  void TakePrompt(Choice* choice, std::vector<GeneratedToken> prompt);
  void TakeToken(Choice* choice, GeneratedToken token);
  void EndChoice(Choice* choice, const TokenBatch& batch);
  void Close(Choice* choice, FinishReason reason);

  const CallPlan plan_;
  std::vector<Choice> choices_;
  int num_live_ = 0;
  Status status_;
  // Outlives the call, since a listener may be running while it is destroyed.
  struct Bell {
    std::atomic<bool> rung{false};
    std::function<void()> on_ready;
  };
  std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
};

}  // namespace reprise
