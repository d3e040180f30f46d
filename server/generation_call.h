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
#include "server/call_metrics.h"
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
  // Not OK when the engine failed a choice; DEADLINE_EXCEEDED when the time was up before any choice had a
  // token.
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
    int num_tokens = 0;  // generated and used
    // What the client is told; kNone: nothing yet. May be set before the engine has ended it.
    FinishReason finish_reason = FinishReason::kNone;
    bool ended = false;  // in the engine
    RequestStats stats;

    bool closed() const { return finish_reason != FinishReason::kNone; }
    bool timed_out_empty() const { return finish_reason == FinishReason::kTimeout && num_tokens == 0; }
  };

  void TakePrompt(Choice* choice, std::vector<GeneratedToken> prompt);
  void TakeToken(Choice* choice, GeneratedToken token);
  void EndChoice(Choice* choice, const TokenBatch& batch);
  // The engine's end is the client's: nothing ended the choice before.
  void CloseAtEnd(Choice* choice, const TokenBatch& batch);
  // Nothing to show but that the time was up: an error rather than an empty reply.
  void FailIfTimedOutEmpty();
  void Close(Choice* choice, FinishReason reason);
  bool HasNews(const Choice& choice) const;
  static ChoiceDelta TakeDelta(Choice* choice);

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
