#include "server/service.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "engine/decoding/methods.h"
#include "engine/engine.h"
#include "models/model.h"

namespace reprise {
namespace {

// OpenAI's default for completions.
constexpr int kDefaultCompletionTokens = 16;
constexpr int kRestOfContext = -1;

Status TooLong(std::string message, const std::string& field) {
  return Status(StatusCode::kOutOfRange, std::move(message), field);
}

// More text than `max_tokens` tokens can be. Normalisation may shorten a text before it is cut into tokens,
// hence some room.
std::size_t MaxTextBytes(const Tokenizer& tokenizer, int max_tokens) {
  constexpr std::size_t kRoom = 4;
  std::size_t longest = 1;
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    longest = std::max(longest, tokenizer.TokenBytes(id).size());
  }
  return kRoom * longest * static_cast<std::size_t>(max_tokens);
}

// The token as the model writes it, for templates; empty when there is none.
std::string SpecialText(const Tokenizer& tokenizer, std::optional<TokenId> id) {
  return id ? std::string(tokenizer.TokenText(*id)) : std::string();
}

// Known roles, with OpenAI's newer name for system messages made the one that templates know.
Result<std::vector<ChatMessage>> CheckRoles(std::vector<ChatMessage> messages) {
  constexpr std::string_view kRoles[] = {"system", "user", "assistant", "tool"};
  for (std::size_t i = 0; i < messages.size(); ++i) {
    std::string& role = messages[i].role;
    if (role == "developer") role = "system";
    if (std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles)) continue;
    const std::string field = "messages[" + std::to_string(i) + "].role";
    return InvalidArgument(
        "'" + field + "' must be one of system, developer, user, assistant, tool, got '" + role + "'", field);
  }
  return messages;
}

}  // namespace

Service::Service(const ServerOptions& options, Lifecycle* lifecycle, Metrics* metrics)
    : options_(options), lifecycle_(lifecycle), metrics_(metrics), model_name_(options.served_model_name) {}

void Service::Attach(const Model* model, Engine* engine) {
  model_ = model;
  engine_ = engine;
  if (model_name_.empty()) model_name_ = model->name();
  created_ = std::time(nullptr);
  max_text_bytes_ = MaxTextBytes(model->tokenizer(), engine->info().max_model_len);
  validation_.vocab_size = model->config().vocab_size;
  validation_.defaults = model->generation_defaults();
  validation_.eos_token_ids = model->eos_token_ids();
  validation_.default_decoding = options_.default_decoding;
  validation_.proposers = engine->info().proposers;
  metrics_->Describe(model_name_, engine);
  lifecycle_->BecomeReady(engine);
}

std::string Service::model_name() const {
  return lifecycle_->phase() == Phase::kLoading ? options_.served_model_name : model_name_;
}

const Tokenizer* Service::tokenizer() const {
  return model_ == nullptr ? nullptr : &model_->tokenizer();
}

Status Service::CheckAvailable() const {
  Status status = lifecycle_->Admit();
  if (!status.ok()) metrics_->CountRejection("unavailable");
  return status;
}

Status Service::CheckModel(const std::optional<std::string>& model) const {
  if (!model || *model == model_name_) return OkStatus();
  return NotFound("the model '" + *model + "' is not served here; this server has '" + model_name_ + "'",
                  "model");
}

Status Service::CheckTextLength(std::string_view text) const {
  if (text.size() <= max_text_bytes_) return OkStatus();
  return TooLong("This model's maximum context length is " + std::to_string(engine_->info().max_model_len) +
                     " tokens, but the prompt has " + std::to_string(text.size()) +
                     " bytes, which must be more tokens than that. Please shorten the prompt.",
                 "prompt");
}

Result<Service::Prompt> Service::EncodePrompt(const PromptInput& input, bool add_special_tokens,
                                              bool echo) const {
  Prompt prompt;
  const Tokenizer& tokenizer = model_->tokenizer();
  if (const auto* text = std::get_if<std::string>(&input)) {
    RETURN_IF_ERROR(CheckTextLength(*text));
    if (echo) prompt.echo = *text;
    ASSIGN_OR_RETURN(prompt.tokens, tokenizer.Encode(*text, {.add_special_tokens = add_special_tokens}));
    if (prompt.tokens.empty()) {
      return InvalidArgument("'prompt' is empty: it must have at least one token", "prompt");
    }
    return prompt;
  }
  const auto& ids = std::get<std::vector<std::int64_t>>(input);
  if (ids.empty())
    return InvalidArgument("'prompt' is an empty list: it must have at least one token", "prompt");
  ASSIGN_OR_RETURN(prompt.tokens, ValidateTokenIds(ids, validation_.vocab_size, "prompt"));
  if (echo) {
    ASSIGN_OR_RETURN(prompt.echo, tokenizer.Decode(prompt.tokens));
  }
  return prompt;
}

Result<std::string> Service::RenderChat(const Conversation& conversation) const {
  const ChatTemplate* chat_template = model_->chat_template();
  if (chat_template == nullptr) {
    return InvalidArgument("the model '" + model_name_ + "' has no chat template; use completions",
                           "messages");
  }
  if (conversation.messages.empty()) {
    return InvalidArgument("'messages' must have at least one message", "messages");
  }
  if (conversation.continue_final_message && conversation.add_generation_prompt.value_or(false)) {
    return InvalidArgument(
        "'add_generation_prompt' and 'continue_final_message' must not both be true: a message is either "
        "begun or continued",
        "continue_final_message");
  }
  const Tokenizer& tokenizer = model_->tokenizer();
  ChatTemplateInput input;
  ASSIGN_OR_RETURN(input.messages, CheckRoles(conversation.messages));
  input.continue_final_message = conversation.continue_final_message;
  input.add_generation_prompt =
      conversation.add_generation_prompt.value_or(!conversation.continue_final_message);
  input.bos_token = SpecialText(tokenizer, tokenizer.bos());
  if (!tokenizer.eos().empty()) input.eos_token = tokenizer.TokenText(tokenizer.eos().front());
  input.variables = conversation.template_variables;
  input.now = std::time(nullptr);
  Result<std::string> text = chat_template->Render(input);
  if (text.ok()) return text;
  // Whatever the template minds is something about the messages.
  return InvalidArgument("the model's chat template refused the messages: " + text.status().message(),
                         "messages");
}

Result<int> Service::ResolveMaxTokens(const ValidatedFields& fields, std::size_t prompt_length,
                                      int fallback) const {
  const auto context = static_cast<std::size_t>(engine_->info().max_model_len);
  const std::string needs = "This model's maximum context length is " + std::to_string(context) + " tokens";
  const bool generates = !fields.max_tokens || *fields.max_tokens > 0;
  if (prompt_length + (generates ? 1 : 0) > context) {
    return TooLong(needs + ", but the prompt has " + std::to_string(prompt_length) +
                       " tokens. Please shorten the prompt.",
                   "prompt");
  }
  const int left = static_cast<int>(context - prompt_length);
  if (!fields.max_tokens) return fallback < 0 ? left : std::min(fallback, left);
  if (*fields.max_tokens <= left) return *fields.max_tokens;
  return TooLong("'max_tokens' is too large: " + std::to_string(*fields.max_tokens) + ". " + needs +
                     " and the prompt has " + std::to_string(prompt_length) + " tokens, so at most " +
                     std::to_string(left) + " can be generated.",
                 "max_tokens");
}

Result<std::shared_ptr<GenerationCall>> Service::Complete(const CompletionRequest& request) {
  RETURN_IF_ERROR(CheckAvailable());
  RETURN_IF_ERROR(CheckModel(request.fields.model));
  ASSIGN_OR_RETURN(const ValidatedFields fields, ValidateFields(request.fields, validation_));
  if (fields.max_tokens == 0 && !request.echo) {
    return InvalidArgument("'max_tokens' must be at least 1, or 0 with 'echo', got 0", "max_tokens");
  }
  if (request.prompts.empty()) {
    return InvalidArgument("'prompt' must be given, with at least one prompt", "prompt");
  }
  const std::size_t choices = request.prompts.size() * static_cast<std::size_t>(fields.n);
  if (choices > static_cast<std::size_t>(options_.max_queued_requests)) {
    return InvalidArgument("the number of prompts times 'n' is " + std::to_string(choices) +
                               ", but at most " + std::to_string(options_.max_queued_requests) +
                               " requests can be queued",
                           fields.n > 1 ? "n" : "prompt");
  }
  std::vector<Prompt> prompts;
  prompts.reserve(request.prompts.size());
  for (const PromptInput& input : request.prompts) {
    ASSIGN_OR_RETURN(Prompt prompt,
                     EncodePrompt(input, request.fields.add_special_tokens.value_or(true), request.echo));
    prompts.push_back(std::move(prompt));
  }
  return Submit(fields, std::move(prompts), kDefaultCompletionTokens, request.echo);
}

Result<std::shared_ptr<GenerationCall>> Service::Chat(const ChatRequest& request) {
  RETURN_IF_ERROR(CheckAvailable());
  RETURN_IF_ERROR(CheckModel(request.fields.model));
  ASSIGN_OR_RETURN(const ValidatedFields fields, ValidateFields(request.fields, validation_));
  if (fields.max_tokens == 0) {
    return InvalidArgument("'max_tokens' must be at least 1, got 0", "max_tokens");
  }
  ASSIGN_OR_RETURN(const std::string text, RenderChat(request.conversation));
  ASSIGN_OR_RETURN(Prompt prompt,
                   EncodePrompt(text, request.fields.add_special_tokens.value_or(false), false));
  std::vector<Prompt> prompts;
  prompts.push_back(std::move(prompt));
  return Submit(fields, std::move(prompts), kRestOfContext, false);
}

std::shared_ptr<Request> Service::MakeRequest(const ValidatedFields& fields,
                                              const std::vector<TokenId>& prompt, int max_tokens) const {
  auto request = std::make_shared<Request>();
  request->id = engine_->NextRequestId();
  request->prompt = prompt;
  request->sampling = fields.sampling;
  request->max_tokens = max_tokens;
  request->min_tokens = std::min(fields.min_tokens, max_tokens);
  request->stop_token_ids = fields.all_stop_token_ids;
  request->decoding = fields.decoding;
  request->proposer = fields.proposer;
  request->max_draft_tokens = fields.max_draft_tokens;
  request->lenience = fields.lenience;
  request->priority = fields.priority;
  request->arrival = Clock::now();
  if (fields.timeout_s) {
    request->deadline = request->arrival + std::chrono::duration_cast<Clock::duration>(
                                               std::chrono::duration<double>(*fields.timeout_s));
  }
  return request;
}

Result<std::shared_ptr<GenerationCall>> Service::Submit(const ValidatedFields& fields,
                                                        std::vector<Prompt> prompts, int default_max_tokens,
                                                        bool echo) {
  CallPlan plan{.tokenizer = &model_->tokenizer(),
                .engine = engine_,
                .metrics = metrics_,
                .text = fields.text,
                .stop_token_ids = fields.stop_token_ids,
                .want_tokens = fields.sampling.num_logprobs >= 0 || fields.return_token_ids,
                .choices_per_prompt = fields.n,
                .echo = {}};
  std::vector<std::shared_ptr<Request>> requests;
  std::vector<RequestId> groups;
  for (Prompt& prompt : prompts) {
    ASSIGN_OR_RETURN(const int max_tokens,
                     ResolveMaxTokens(fields, prompt.tokens.size(), default_max_tokens));
    for (int choice = 0; choice < fields.n; ++choice) {
      std::shared_ptr<Request> request = MakeRequest(fields, prompt.tokens, max_tokens);
      if (choice == 0) groups.push_back(request->id);
      request->group = groups.back();
      request->choice = static_cast<std::uint32_t>(choice);
      if (echo) request->prompt_logprobs = fields.sampling.num_logprobs;
      requests.push_back(std::move(request));
    }
    if (echo) plan.echo.push_back(std::move(prompt.echo));
  }
  for (RequestId group : groups) metrics_->BeginGroup(group, fields.n);
  Result<std::vector<std::shared_ptr<TokenStream>>> streams = engine_->Submit(std::move(requests));
  if (!streams.ok()) {
    for (RequestId group : groups) metrics_->DropGroup(group);
    if (streams.status().code() == StatusCode::kResourceExhausted) metrics_->CountRejection("queue_full");
    if (streams.status().code() == StatusCode::kUnavailable) metrics_->CountRejection("unavailable");
    return streams.status();
  }
  return std::make_shared<GenerationCall>(std::move(plan), std::move(streams).value());
}

Result<TokenizeReply> Service::Tokenize(const TokenizeRequest& request) const {
  RETURN_IF_ERROR(lifecycle_->Admit());
  RETURN_IF_ERROR(CheckModel(request.model));
  if (request.prompt.has_value() == request.conversation.has_value()) {
    return InvalidArgument("exactly one of 'prompt' and 'messages' must be given", "prompt");
  }
  const Tokenizer& tokenizer = model_->tokenizer();
  std::string text = request.prompt.value_or("");
  if (request.conversation) {
    ASSIGN_OR_RETURN(text, RenderChat(*request.conversation));
  }
  const bool add_special = request.add_special_tokens.value_or(request.prompt.has_value());
  TokenizeReply reply;
  ASSIGN_OR_RETURN(reply.tokens, tokenizer.Encode(text, {.add_special_tokens = add_special}));
  reply.max_model_len = engine_->info().max_model_len;
  if (request.return_token_strs) {
    for (TokenId id : reply.tokens) reply.token_strs.emplace_back(tokenizer.TokenText(id));
  }
  return reply;
}

Result<std::string> Service::Detokenize(const DetokenizeRequest& request) const {
  RETURN_IF_ERROR(lifecycle_->Admit());
  RETURN_IF_ERROR(CheckModel(request.model));
  const Tokenizer& tokenizer = model_->tokenizer();
  ASSIGN_OR_RETURN(const std::vector<TokenId> ids,
                   ValidateTokenIds(request.tokens, tokenizer.vocab_size(), "tokens"));
  return tokenizer.Decode(ids, /*skip_special_tokens=*/false);
}

Result<ModelCard> Service::Card() const {
  if (lifecycle_->phase() == Phase::kLoading) return Unavailable("the model is still loading");
  if (engine_ == nullptr) return lifecycle_->Admit();
  ModelCard card{.id = model_name_,
                 .created = created_,
                 .max_model_len = engine_->info().max_model_len,
                 .decoding_methods = {},
                 .proposers = {}};
  const std::vector<ProposerKind>& proposers = engine_->info().proposers;
  for (DecodingMethod method : LoadedMethods(proposers)) {
    card.decoding_methods.emplace_back(DecodingMethodName(method));
  }
  for (ProposerKind kind : proposers) card.proposers.emplace_back(ProposerName(kind));
  return card;
}

}  // namespace reprise
