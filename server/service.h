// What the daemon offers, whatever the transport: HTTP and gRPC parse a request into the structs of
// server/api.h, call this, and write down what comes back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/api.h"
#include "server/generation_call.h"
#include "server/lifecycle.h"
#include "server/metrics/metrics.h"
#include "server/options.h"
#include "server/validation.h"

namespace reprise {

class Engine;
class Model;

struct ModelCard {
  std::string id;
  std::int64_t created = 0;  // Unix seconds
  int max_model_len = 0;
  std::vector<std::string> decoding_methods;  // loaded ones; auto chooses among them
  std::vector<std::string> proposers;         // who can draft
};

// Every method may be called from any thread, and none waits for the engine. All of them answer UNAVAILABLE
// before Attach.
class Service {
 public:
  // All outlive the service.
  Service(const ServerOptions& options, Lifecycle* lifecycle, Metrics* metrics);

  // The model is loaded: requests are taken from now on. Once. Both outlive every call.
  void Attach(const Model* model, Engine* engine);

  // INVALID_ARGUMENT (with the field), OUT_OF_RANGE (longer than the context), NOT_FOUND (another model),
  // RESOURCE_EXHAUSTED (queue full), UNAVAILABLE (loading, draining, failed).
  Result<std::shared_ptr<GenerationCall>> Complete(const CompletionRequest& request);
  Result<std::shared_ptr<GenerationCall>> Chat(const ChatRequest& request);
  Result<TokenizeReply> Tokenize(const TokenizeRequest& request) const;
  Result<std::string> Detokenize(const DetokenizeRequest& request) const;
  Result<ModelCard> Card() const;

  // Empty until the model is known.
  std::string model_name() const;
  // nullptr until Attach.
  const Tokenizer* tokenizer() const;
  const Engine* engine() const { return engine_; }
  Lifecycle& lifecycle() { return *lifecycle_; }
  Metrics& metrics() { return *metrics_; }
  const ServerOptions& options() const { return options_; }

 private:
  struct Prompt {
    std::vector<TokenId> tokens;
    std::string echo;
  };

  Status CheckAvailable() const;
  Status CheckModel(const std::optional<std::string>& model) const;
  // Refuses text that is too long whatever its tokens are, before the work of finding them.
  Status CheckTextLength(std::string_view text) const;
  Result<Prompt> EncodePrompt(const PromptInput& input, bool add_special_tokens, bool echo) const;
  // Checks the roles too.
  Result<std::string> RenderChat(const Conversation& conversation) const;
  // The number of tokens to generate after `prompt_length`; `fallback` < 0 is the rest of the context.
  Result<int> ResolveMaxTokens(const ValidatedFields& fields, std::size_t prompt_length, int fallback) const;
  std::shared_ptr<Request> MakeRequest(const ValidatedFields& fields, const std::vector<TokenId>& prompt,
                                       int max_tokens) const;
  Result<std::shared_ptr<GenerationCall>> Submit(const ValidatedFields& fields, std::vector<Prompt> prompts,
                                                 int default_max_tokens, bool echo);

  const ServerOptions options_;
  Lifecycle* const lifecycle_;
  Metrics* const metrics_;
  // Set once by Attach, published by the lifecycle's phase.
  const Model* model_ = nullptr;
  Engine* engine_ = nullptr;
  std::string model_name_;
  std::int64_t created_ = 0;
  std::size_t max_text_bytes_ = 0;
  ValidationContext validation_;
};

}  // namespace reprise
