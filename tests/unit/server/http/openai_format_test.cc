#include "server/http/openai_format.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "server/http/error_response.h"
#include "server/http/openai_request.h"

namespace reprise {
namespace {

using Json = nlohmann::json;

const ReplyIdentity kChat{ReplyKind::kChat, "id", "m\"x", 7};
const ReplyIdentity kCompletion{ReplyKind::kCompletion, "id", "m", 7};

ChoiceDelta Delta(const std::string& text, FinishReason reason = FinishReason::kNone) {
  ChoiceDelta delta;
  delta.text = text;
  delta.finish_reason = reason;
  return delta;
}

std::vector<Json> Events(const std::string& text) {
  std::vector<Json> events;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find("\n\n", at);
    REQUIRE(text.compare(at, 6, "data: ") == 0);
    const std::string data = text.substr(at + 6, end - at - 6);
    events.push_back(data == "[DONE]" ? Json(data) : Json::parse(data));
    at = end + 2;
  }
  return events;
}

}  // namespace

TEST_CASE("A chat's choice begins with its role, once", "[http]") {
  EventFormatter formatter(kChat, {}, {.stream = true});
  std::string out;
  formatter.AppendDelta(Delta("a\n\"b"), {}, &out);
  formatter.AppendDelta(Delta("", FinishReason::kLength), {}, &out);
  formatter.AppendEnd({}, {}, &out);
  const std::vector<Json> events = Events(out);
  REQUIRE(events.size() == 4);
  CHECK(events[0]["id"] == "chatcmpl-id");
  CHECK(events[0]["object"] == "chat.completion.chunk");
  CHECK(events[0]["created"] == 7);
  CHECK(events[0]["model"] == "m\"x");
  CHECK(events[0]["choices"][0]["delta"] == Json({{"role", "assistant"}, {"content", ""}}));
  CHECK(events[1]["choices"][0]["delta"] == Json({{"content", "a\n\"b"}}));
  CHECK(events[1]["choices"][0]["finish_reason"].is_null());
  CHECK_FALSE(events[1].contains("usage"));
  CHECK(events[2]["choices"][0]["delta"] == Json::object());
  CHECK(events[2]["choices"][0]["finish_reason"] == "length");
  CHECK(events[2]["choices"][0]["stop_reason"].is_null());
  CHECK(events[3] == "[DONE]");
}

TEST_CASE("Usage comes last when it is asked for, or in every event", "[http]") {
  const Usage usage{.prompt_tokens = 3, .completion_tokens = 2, .cached_tokens = 1};
  for (bool continuous : {false, true}) {
    EventFormatter formatter(kCompletion, {}, {true, true, continuous});
    std::string out;
    formatter.AppendDelta(Delta("a"), usage, &out);
    formatter.AppendEnd(usage, {}, &out);
    const std::vector<Json> events = Events(out);
    REQUIRE(events.size() == 3);
    CHECK(events[0]["usage"].is_null() == !continuous);
    CHECK(events[1]["choices"].empty());
    CHECK(events[1]["usage"]["total_tokens"] == 5);
    CHECK(events[1]["usage"]["prompt_tokens_details"]["cached_tokens"] == 1);
    CHECK(events[1]["metrics"]["decoding"]["method"] == "plain");
    CHECK(events[1]["metrics"]["decoding"]["router"] == Json::object());
    CHECK_FALSE(events[1]["metrics"].contains("speculative_decoding"));
  }
}

TEST_CASE("Whole replies have OpenAI's shape", "[http]") {
  ChoiceDelta choice = Delta("hi", FinishReason::kStop);
  choice.stop_string = "END";
  CallMetrics metrics;
  metrics.method = DecodingMethod::kRecycle;
  metrics.router = {{ProposerKind::kRecycle, RouteReason::kGoodput, 3},
                    {ProposerKind::kRecycle, RouteReason::kExploration, 1},
                    {std::nullopt, RouteReason::kNoBudget, 2}};
  metrics.speculative = {2.5, 0.75, 4, 8, 6, {1, 0, 3}};
  const Json chat = Json::parse(FormatReply(kChat, {}, {choice}, {.prompt_tokens = 2}, metrics));
  CHECK(chat["object"] == "chat.completion");
  CHECK(chat["choices"][0]["message"]["role"] == "assistant");
  CHECK(chat["choices"][0]["message"]["content"] == "hi");
  CHECK(chat["choices"][0]["stop_reason"] == "END");
  CHECK(chat["choices"][0]["logprobs"].is_null());
  CHECK(chat["metrics"]["decoding"]["method"] == "recycle");
  CHECK(chat["metrics"]["decoding"]["router"] ==
        Json::parse(R"({"recycle": {"goodput": 3, "exploration": 1}, "plain": {"no_budget": 2}})"));
  CHECK(chat["metrics"]["speculative_decoding"] == Json::parse(R"({"mean_acceptance_length": 2.5,
      "draft_acceptance_rate": 0.75, "acceptance_histogram": [1, 0, 3], "num_spec_steps": 4,
      "num_draft_tokens": 8, "num_accepted_draft_tokens": 6})"));
  const Json completion = Json::parse(FormatReply(kCompletion, {}, {choice}, {}, {}));
  CHECK(completion["object"] == "text_completion");
  CHECK(completion["id"] == "cmpl-id");
  CHECK(completion["choices"][0]["text"] == "hi");
}

TEST_CASE("Errors have OpenAI's shape and the table's status", "[http]") {
  const HttpResponse response = ErrorResponse(InvalidArgument("no \"x\"", "n"), 3);
  CHECK(response.status == 400);
  const Json error = Json::parse(response.body)["error"];
  CHECK(error["message"] == "no \"x\"");
  CHECK(error["type"] == "invalid_request_error");
  CHECK(error["param"] == "n");
  CHECK(error["code"] == "invalid_value");
  CHECK(response.headers.empty());
  const HttpResponse full = ErrorResponse(ResourceExhausted("full"), 3);
  CHECK(full.status == 429);
  CHECK(full.headers == HttpHeaders{{"Retry-After", "3"}});
  CHECK(Json::parse(full.body)["error"]["param"].is_null());
  CHECK(ErrorResponse(Unavailable("x"), 1).status == 503);
  CHECK(ErrorResponse(NotFound("x"), 1).status == 404);
  CHECK(ErrorResponse(Internal("x"), 1).status == 500);
}

TEST_CASE("Requests of real clients are understood", "[http]") {
  const Result<ParsedChat> chat = ParseChat(R"({
    "model": "m", "messages": [
      {"role": "developer", "content": "be brief"},
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "u"},
      {"role": "assistant", "content": "c", "refusal": null, "tool_calls": null}],
    "max_completion_tokens": 5, "stream": true, "stream_options": {"include_usage": true},
    "metadata": {}, "store": false, "service_tier": "auto", "parallel_tool_calls": true, "user": "me",
    "prompt_cache_key": "k", "safety_identifier": "s", "response_format": {"type": "text"}, "tools": null,
    "logprobs": true, "top_logprobs": 2, "stop": "x", "seed": 1, "logit_bias": {"5": -1}, "n": null,
    "chat_template_kwargs": {"flag": true}, "decoding": {"method": "auto"}})");
  INFO(chat.status().ToString());
  REQUIRE(chat.ok());
  CHECK(chat->request.conversation.messages[1].content == "a\nb");
  CHECK(chat->request.conversation.messages[1].name == "u");
  CHECK(chat->request.fields.max_tokens == 5);
  CHECK(chat->request.fields.logprobs == 2);
  CHECK(chat->reply.include_usage);
  CHECK(chat->request.conversation.template_variables.size() == 1);
  CHECK_FALSE(chat->request.fields.n.has_value());

  CHECK(ParseCompletion(R"({"prompt": "a"})").value().request.prompts.size() == 1);
  CHECK(ParseCompletion(R"({"prompt": ["a", "b"]})").value().request.prompts.size() == 2);
  CHECK(ParseCompletion(R"({"prompt": [1, 2]})").value().request.prompts.size() == 1);
  CHECK(ParseCompletion(R"({"prompt": [[1], [2], [3]]})").value().request.prompts.size() == 3);
}

}  // namespace reprise
