// Chats over real sockets, against a real engine.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/unit/server/http_client.h"
#include "tests/unit/server/test_daemon.h"

namespace reprise {
namespace {

using Json = nlohmann::json;

constexpr char kPath[] = "/v1/chat/completions";

Json Body(int max_tokens) {
  return {{"messages", {{{"role", "user"}, {"content", "hello"}}}},
          {"max_tokens", max_tokens},
          {"temperature", 0}};
}

Json Chat(int port, const Json& body) {
  const HttpReply reply = Post(port, kPath, body.dump());
  INFO(reply.body);
  REQUIRE(reply.status == 200);
  return Json::parse(reply.body);
}

}  // namespace

TEST_CASE("A chat is formatted by the model's template", "[chat]") {
  const TestDaemon daemon;
  Json body = Body(5);
  body["messages"] = {{{"role", "developer"}, {"content", "x"}}, {{"role", "user"}, {"content", "hello"}}};
  const Json reply = Chat(daemon.port(), body);
  CHECK(reply["object"] == "chat.completion");
  CHECK(reply["choices"][0]["message"]["role"] == "assistant");
  // The same tokens as the rendered text.
  const Json completion =
      Json::parse(Post(daemon.port(), "/v1/completions",
                       Json({{"prompt", "<|system|>x<|eos|><|user|>hello<|eos|><|assistant|>"},
                             {"max_tokens", 5},
                             {"temperature", 0}})
                           .dump())
                      .body);
  CHECK(reply["usage"]["prompt_tokens"] == completion["usage"]["prompt_tokens"]);
  CHECK(reply["choices"][0]["message"]["content"] == completion["choices"][0]["text"]);
}

TEST_CASE("Without max_tokens a chat has the rest of the context", "[chat]") {
  const TestDaemon daemon;
  Json body = Body(1);
  body.erase("max_tokens");
  body["ignore_eos"] = true;
  const Json reply = Chat(daemon.port(), body);
  CHECK(reply["choices"][0]["finish_reason"] == "length");
  CHECK(reply["usage"]["total_tokens"] == 128);
}

TEST_CASE("A chat's stream makes its whole reply", "[chat]") {
  const TestDaemon daemon;
  Json body = Body(40);
  body["n"] = 2;
  body["temperature"] = 1.2;
  body["seed"] = 5;
  const Json whole = Chat(daemon.port(), body);
  body["stream"] = true;
  const HttpReply reply = Post(daemon.port(), kPath, body.dump());
  REQUIRE(reply.status == 200);
  std::string texts[2];
  int roles = 0;
  const std::vector<std::string> events = SseEvents(reply.body);
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    const Json choice = Json::parse(events[i])["choices"][0];
    const Json& delta = choice["delta"];
    roles += delta.contains("role");
    if (delta.contains("content"))
      texts[choice["index"].get<std::size_t>()] += delta["content"].get<std::string>();
  }
  CHECK(roles == 2);
  CHECK(texts[0] == whole["choices"][0]["message"]["content"].get<std::string>());
  CHECK(texts[1] == whole["choices"][1]["message"]["content"].get<std::string>());
}

TEST_CASE("Chat log-probabilities name tokens, bytes and alternatives", "[chat]") {
  const TestDaemon daemon;
  Json body = Body(6);
  body["ignore_eos"] = true;
  body["logprobs"] = true;
  body["top_logprobs"] = 2;
  const Json content = Chat(daemon.port(), body)["choices"][0]["logprobs"]["content"];
  REQUIRE(content.size() == 6);
  for (const Json& token : content) {
    CHECK(token["logprob"] <= 0);
    REQUIRE(token["top_logprobs"].size() == 2);
    CHECK(token["top_logprobs"][0]["logprob"] == token["logprob"]);
    CHECK(token["top_logprobs"][0]["logprob"] >= token["top_logprobs"][1]["logprob"]);
    CHECK(token["bytes"].is_array());
  }
}

TEST_CASE("A final message can be continued", "[chat]") {
  const TestDaemon daemon;
  Json body = Body(4);
  body["messages"].push_back({{"role", "assistant"}, {"content", "Well, "}});
  body["continue_final_message"] = true;
  const Json continued = Chat(daemon.port(), body);
  const Json completion = Json::parse(
      Post(
          daemon.port(), "/v1/completions",
          Json({{"prompt", "<|user|>hello<|eos|><|assistant|>Well, "}, {"max_tokens", 4}, {"temperature", 0}})
              .dump())
          .body);
  CHECK(continued["choices"][0]["message"]["content"] == completion["choices"][0]["text"]);
}

}  // namespace reprise
