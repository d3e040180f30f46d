#include "server/grpc/convert.h"

#include <algorithm>
#include <utility>

#include "server/text_stream.h"

namespace reprise {
namespace {

// Copies an optional field of the same name when it is set.
#define COPY_OPTIONAL(field) \
  if (proto.has_##field()) out->field = proto.field()

void CopyOptions(const v1::GenerationOptions& proto, GenerationFields* out) {
  COPY_OPTIONAL(max_tokens);
  COPY_OPTIONAL(min_tokens);
  COPY_OPTIONAL(n);
  COPY_OPTIONAL(timeout_s);
  COPY_OPTIONAL(temperature);
  COPY_OPTIONAL(top_p);
  COPY_OPTIONAL(top_k);
  COPY_OPTIONAL(min_p);
  COPY_OPTIONAL(presence_penalty);
  COPY_OPTIONAL(frequency_penalty);
  COPY_OPTIONAL(repetition_penalty);
  COPY_OPTIONAL(seed);
  COPY_OPTIONAL(logprobs);
  COPY_OPTIONAL(skip_special_tokens);
  COPY_OPTIONAL(add_special_tokens);
  COPY_OPTIONAL(priority);
  for (const auto& [id, bias] : proto.logit_bias()) out->logit_bias.emplace_back(id, bias);
  std::sort(out->logit_bias.begin(), out->logit_bias.end());  // protobuf's maps have no order
  out->stop.assign(proto.stop().begin(), proto.stop().end());
  out->stop_token_ids.assign(proto.stop_token_ids().begin(), proto.stop_token_ids().end());
  out->include_stop_str_in_output = proto.include_stop_str_in_output();
  out->ignore_eos = proto.ignore_eos();
  out->return_token_ids = proto.return_token_ids();
}

void CopyDecoding(const v1::Decoding& proto, DecodingFields* out) {
  if (!proto.method().empty()) out->method = proto.method();
  COPY_OPTIONAL(max_draft_tokens);
  COPY_OPTIONAL(lenience);
  COPY_OPTIONAL(proposer);
}

#undef COPY_OPTIONAL

GenerationFields FieldsFromProto(const std::optional<std::string>& model,
                                 const v1::GenerationOptions& options) {
  GenerationFields fields;
  fields.model = model;
  CopyOptions(options, &fields);
  if (options.has_decoding()) CopyDecoding(options.decoding(), &fields.decoding.emplace());
  return fields;
}

template <typename Message>
std::optional<std::string> ModelOf(const Message& message) {
  return message.has_model() ? std::optional<std::string>(message.model()) : std::nullopt;
}

// Nested deeper than a template could want; protobuf itself limits messages to 100 levels.
chat_template::Value ToTemplateValue(const google::protobuf::Value& proto) {
  using Kind = google::protobuf::Value;
  switch (proto.kind_case()) {
    case Kind::kBoolValue:
      return proto.bool_value();
    case Kind::kNumberValue: {
      // JSON's numbers are doubles here; whole ones are integers to a template.
      const double number = proto.number_value();
      if (number >= -9007199254740992.0 && number <= 9007199254740992.0 &&
          number == static_cast<double>(static_cast<std::int64_t>(number))) {
        return static_cast<std::int64_t>(number);
      }
      return number;
    }
    case Kind::kStringValue:
      return proto.string_value();
    case Kind::kListValue: {
      chat_template::List list;
      for (const auto& item : proto.list_value().values()) list.push_back(ToTemplateValue(item));
      return list;
    }
    case Kind::kStructValue: {
      chat_template::Dict dict;
      for (const auto& [name, value] : proto.struct_value().fields())
        dict.emplace_back(name, ToTemplateValue(value));
      return dict;
    }
    default:
      return {};
  }
}

// `Message` is ChatRequest or TokenizeRequest.
template <typename Message>
Conversation ConversationFromProto(const Message& proto) {
  Conversation conversation;
  for (const v1::ChatMessage& message : proto.messages()) {
    conversation.messages.push_back({message.role(), message.content(), message.name()});
  }
  if (proto.has_add_generation_prompt()) conversation.add_generation_prompt = proto.add_generation_prompt();
  conversation.continue_final_message = proto.continue_final_message();
  for (const auto& [name, value] : proto.chat_template_kwargs().fields()) {
    conversation.template_variables.emplace_back(name, ToTemplateValue(value));
  }
  std::sort(conversation.template_variables.begin(), conversation.template_variables.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  return conversation;
}

PromptInput IdsFromProto(const google::protobuf::RepeatedField<google::protobuf::int64>& ids) {
  return std::vector<std::int64_t>(ids.begin(), ids.end());
}

template <typename Repeated>
void AddLogprobs(const ChoiceDelta& delta, const ProtoTokenFormat& format, Repeated* out) {
  if (!format.logprobs) return;
  for (const TokenDetail& detail : delta.tokens) {
    v1::TokenLogprobs* token = out->Add();
    token->set_token_id(detail.token.token);
    token->set_token(TokenAsText(*format.tokenizer, detail.token.token));
    token->set_text_offset(detail.text_offset);
    if (!detail.has_logprob) continue;
    token->set_logprob(detail.token.logprob);
    token->set_rank(detail.token.rank);
    for (const TokenLogprob& top : detail.token.top) {
      v1::TopLogprob* alternative = token->add_top();
      alternative->set_token_id(top.token);
      alternative->set_token(TokenAsText(*format.tokenizer, top.token));
      alternative->set_logprob(top.logprob);
    }
  }
}

// `Message` is GenerateChunk or Choice.
template <typename Message>
void AddDelta(const ChoiceDelta& delta, const ProtoTokenFormat& format, Message* out) {
  out->set_index(delta.index);
  out->mutable_text()->append(delta.text);
  if (format.token_ids) {
    for (const TokenDetail& detail : delta.tokens) out->add_token_ids(detail.token.token);
  }
  AddLogprobs(delta, format, out->mutable_logprobs());
  if (delta.finish_reason == FinishReason::kNone) return;
  out->set_finish_reason(std::string(FinishReasonName(delta.finish_reason)));
  if (delta.stop_string) out->set_stop_reason(*delta.stop_string);
  if (delta.stop_token) out->set_stop_reason(std::to_string(*delta.stop_token));
}

}  // namespace

Result<CompletionRequest> FromProto(const v1::GenerateRequest& proto) {
  const int kinds = (proto.has_prompt() ? 1 : 0) + (proto.prompt_token_ids_size() > 0 ? 1 : 0) +
                    (proto.prompts_size() > 0 ? 1 : 0);
  if (kinds != 1) {
    return InvalidArgument("exactly one of 'prompt', 'prompt_token_ids' and 'prompts' must be given",
                           "prompt");
  }
  CompletionRequest request;
  request.fields = FieldsFromProto(ModelOf(proto), proto.options());
  request.echo = proto.echo();
  if (proto.has_prompt()) request.prompts.emplace_back(proto.prompt());
  if (proto.prompt_token_ids_size() > 0) request.prompts.push_back(IdsFromProto(proto.prompt_token_ids()));
  for (const v1::Prompt& prompt : proto.prompts()) {
    if (prompt.has_token_ids()) {
      request.prompts.push_back(IdsFromProto(prompt.token_ids().ids()));
    } else {
      request.prompts.emplace_back(prompt.text());
    }
  }
  return request;
}

Result<ChatRequest> FromProto(const v1::ChatRequest& proto) {
  ChatRequest request;
  request.fields = FieldsFromProto(ModelOf(proto), proto.options());
  request.conversation = ConversationFromProto(proto);
  return request;
}

Result<TokenizeRequest> FromProto(const v1::TokenizeRequest& proto) {
  TokenizeRequest request;
  request.model = ModelOf(proto);
  if (proto.has_prompt()) request.prompt = proto.prompt();
  if (proto.messages_size() > 0) request.conversation = ConversationFromProto(proto);
  if (proto.has_add_special_tokens()) request.add_special_tokens = proto.add_special_tokens();
  request.return_token_strs = proto.return_token_strs();
  return request;
}

Result<DetokenizeRequest> FromProto(const v1::DetokenizeRequest& proto) {
  DetokenizeRequest request;
  request.model = ModelOf(proto);
  request.tokens.assign(proto.tokens().begin(), proto.tokens().end());
  return request;
}

void ToProto(const ChoiceDelta& delta, const ProtoTokenFormat& format, v1::GenerateChunk* out) {
  AddDelta(delta, format, out);
}

void MergeIntoProto(const ChoiceDelta& delta, const ProtoTokenFormat& format, v1::Choice* out) {
  AddDelta(delta, format, out);
}

void ToProto(const Usage& usage, v1::Usage* out) {
  out->set_prompt_tokens(usage.prompt_tokens);
  out->set_completion_tokens(usage.completion_tokens);
  out->set_total_tokens(usage.prompt_tokens + usage.completion_tokens);
  out->set_cached_tokens(usage.cached_tokens);
}

void ToProto(const CallMetrics& metrics, v1::Metrics* out) {
  out->set_time_to_first_token_ms(metrics.time_to_first_token_ms);
  out->set_queue_time_ms(metrics.queue_time_ms);
  out->set_generation_time_ms(metrics.generation_time_ms);
  out->set_tokens_per_second(metrics.tokens_per_second);
  v1::DecodingMetrics* decoding = out->mutable_decoding();
  decoding->set_method(std::string(DecodingMethodName(metrics.method)));
  decoding->set_passes(metrics.passes);
  decoding->set_tokens_per_pass(metrics.tokens_per_pass);
  for (const RouterCount& count : metrics.router) {
    v1::RouterCount* steps = decoding->add_router();
    steps->set_decoder(std::string(RouterCountName(count)));
    steps->set_reason(std::string(RouteReasonName(count.reason)));
    steps->set_steps(count.steps);
  }
  if (!metrics.speculative) return;
  const SpeculativeMetrics& summary = *metrics.speculative;
  v1::SpeculativeDecoding* speculation = out->mutable_speculative_decoding();
  speculation->set_mean_acceptance_length(summary.mean_acceptance_length);
  speculation->set_draft_acceptance_rate(summary.draft_acceptance_rate);
  speculation->set_num_spec_steps(summary.num_spec_steps);
  speculation->set_num_draft_tokens(summary.num_draft_tokens);
  speculation->set_num_accepted_draft_tokens(summary.num_accepted_draft_tokens);
  speculation->mutable_acceptance_histogram()->Assign(summary.acceptance_histogram.begin(),
                                                      summary.acceptance_histogram.end());
}

}  // namespace reprise
