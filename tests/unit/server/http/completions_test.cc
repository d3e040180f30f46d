// Completions over real sockets, against a real engine.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/unit/server/http_client.h"
#include "tests/unit/server/test_daemon.h"

namespace reprise {
namespace {

using Json = nlohmann::json;

constexpr char kPath[] = "/v1/completions";

Json Complete(int port, const Json& body) {
  const HttpReply reply = Post(port, kPath, body.dump());
  INFO(reply.body);
  REQUIRE(reply.status == 200);
  CHECK(reply.header("content-type") == "application/json");
  return Json::parse(reply.body);
}

struct Streamed {
  std::vector<std::string> texts;           // by choice
  std::vector<std::string> finish_reasons;  // by choice
  std::vector<Json> events;                 // but for [DONE]
};

Streamed Stream(int port, Json body) {
  body["stream"] = true;
  const HttpReply reply = Post(port, kPath, body.dump());
  INFO(reply.body);
  REQUIRE(reply.status == 200);
  REQUIRE(reply.complete);
  CHECK(reply.header("content-type").starts_with("text/event-stream"));
  const std::vector<std::string> events = SseEvents(reply.body);
  REQUIRE(!events.empty());
  CHECK(events.back() == "[DONE]");
  Streamed out;
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    out.events.push_back(Json::parse(events[i]));
    for (const Json& choice : out.events.back()["choices"]) {
      const auto index = choice["index"].get<std::size_t>();
      out.texts.resize(std::max(out.texts.size(), index + 1));
      out.finish_reasons.resize(out.texts.size());
      CHECK(out.finish_reasons[index].empty());  // nothing follows the end
      out.texts[index] += choice["text"].get<std::string>();
      if (!choice["finish_reason"].is_null()) out.finish_reasons[index] = choice["finish_reason"];
    }
  }
  return out;
}

}  // namespace

TEST_CASE("A completion has text, usage and metrics", "[completions]") {
  const TestDaemon daemon;
  const Json reply = Complete(daemon.port(), {{"prompt", "the sea"},
                                              {"max_tokens", 8},
                                              {"temperature", 0},
                                              {"ignore_eos", true},
                                              {"decoding", "plain"}});
  CHECK(reply["object"] == "text_completion");
  CHECK(reply["model"] == "tiny");
  CHECK(reply["id"].get<std::string>().starts_with("cmpl-"));
  CHECK(reply["choices"].size() == 1);
  CHECK(reply["choices"][0]["finish_reason"] == "length");
  CHECK(reply["usage"]["completion_tokens"] == 8);
  const int prompt_tokens = reply["usage"]["prompt_tokens"];
  CHECK(prompt_tokens > 0);
  CHECK(reply["usage"]["total_tokens"] == prompt_tokens + 8);
  CHECK(reply["metrics"]["decoding"]["method"] == "plain");
  CHECK(reply["metrics"]["decoding"]["passes"] == 8);
  CHECK(reply["metrics"]["decoding"]["tokens_per_pass"] == 1.0);
  int steps = 0;
  for (const auto& reason : reply["metrics"]["decoding"]["router"]["plain"].items()) {
    steps += reason.value().get<int>();
  }
  CHECK(steps == 8);
  CHECK_FALSE(reply["metrics"].contains("speculative_decoding"));
  CHECK(reply["metrics"]["time_to_first_token_ms"] > 0);
  CHECK(reply["metrics"]["tokens_per_second"] > 0);
}

TEST_CASE("16 tokens are the default, less where the context ends", "[completions]") {
  const TestDaemon daemon;
  CHECK(Complete(daemon.port(), {{"prompt", "a"}, {"ignore_eos", true}})["usage"]["completion_tokens"] == 16);
  const std::vector<int> prompt(120, 5);
  CHECK(Complete(daemon.port(), {{"prompt", prompt}, {"ignore_eos", true}})["usage"]["completion_tokens"] ==
        8);
}

TEST_CASE("Streamed pieces make the unstreamed text", "[completions]") {
  const TestDaemon daemon;
  for (int seed = 0; seed < 8; ++seed) {
    Json body = {{"prompt", "once"}, {"max_tokens", 60}, {"temperature", 1.5}, {"seed", seed}};
    if (seed % 2 == 1) body["stop"] = {"e", "an"};
    if (seed % 4 == 3) body["include_stop_str_in_output"] = true;
    const Json whole = Complete(daemon.port(), body);
    const Streamed streamed = Stream(daemon.port(), body);
    REQUIRE(streamed.texts.size() == 1);
    CHECK(streamed.texts[0] == whole["choices"][0]["text"].get<std::string>());
    CHECK(streamed.finish_reasons[0] == whole["choices"][0]["finish_reason"].get<std::string>());
  }
}

TEST_CASE("Prompts times n make choices in order", "[completions]") {
  const TestDaemon daemon;
  Json body = {{"prompt", {"one", "two"}}, {"n", 3}, {"max_tokens", 5}, {"seed", 4}, {"temperature", 1},
               {"ignore_eos", true}};
  const Json reply = Complete(daemon.port(), body);
  REQUIRE(reply["choices"].size() == 6);
  for (int i = 0; i < 6; ++i) CHECK(reply["choices"][static_cast<std::size_t>(i)]["index"] == i);
  CHECK(reply["usage"]["completion_tokens"] == 30);
  // The choices of a prompt are other samples, and the same as when the prompt comes alone.
  body["prompt"] = "two";
  const Json second = Complete(daemon.port(), body);
  for (std::size_t i = 0; i < 3; ++i) CHECK(second["choices"][i]["text"] == reply["choices"][3 + i]["text"]);
  CHECK(second["choices"][0]["text"] != second["choices"][1]["text"]);
  CHECK(second["usage"]["prompt_tokens"] < reply["usage"]["prompt_tokens"]);
  const Streamed streamed = Stream(daemon.port(), body);
  REQUIRE(streamed.texts.size() == 3);
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(streamed.texts[i] == second["choices"][i]["text"].get<std::string>());
}

TEST_CASE("A stop string ends the text, the usage and the request", "[completions]") {
  const TestDaemon daemon;
  const Json body = {{"prompt", "sea"}, {"max_tokens", 60}, {"temperature", 0}, {"ignore_eos", true}};
  const std::string text = Complete(daemon.port(), body)["choices"][0]["text"];
  REQUIRE(text.size() > 12);
  // Something the model is going to say, though not at once.
  std::size_t length = 2, at = 6;
  while (at < text.size() && (text[at] & '\xC0') == '\x80') ++at;
  while ((text[at + length] & '\xC0') == '\x80') ++length;
  const std::string stop = text.substr(at, length);
  Json stopped = body;
  stopped["stop"] = stop;
  const Json reply = Complete(daemon.port(), stopped);
  CHECK(reply["choices"][0]["text"] == text.substr(0, text.find(stop)));
  CHECK(reply["choices"][0]["finish_reason"] == "stop");
  CHECK(reply["choices"][0]["stop_reason"] == stop);
  CHECK(reply["usage"]["completion_tokens"] < 60);
  const std::string metrics = Get(daemon.port(), "/metrics").body;
  const auto ended = [&](const std::string& reason) {
    return MetricValue(
        metrics,
        R"(vllm:request_success_total{model_name="tiny",engine="0",finished_reason=")" + reason + "\"}");
  };
  // As the clients were told, though the engine may reach max_tokens before the stop string is seen.
  CHECK(ended("stop") == 1);
  CHECK(ended("length") == 1);
  CHECK(ended("abort") == 0);
}

TEST_CASE("A stop token is named, and not part of the text", "[completions]") {
  const TestDaemon daemon;
  const Json body = {{"prompt", "sea"},
                     {"max_tokens", 20},
                     {"temperature", 0},
                     {"ignore_eos", true},
                     {"return_token_ids", true}};
  const Json free = Complete(daemon.port(), body);
  const std::vector<int> ids = free["choices"][0]["token_ids"];
  REQUIRE(ids.size() == 20);
  Json stopped = body;
  stopped["stop_token_ids"] = {ids[7]};
  const Json reply = Complete(daemon.port(), stopped);
  CHECK(reply["choices"][0]["finish_reason"] == "stop");
  CHECK(reply["choices"][0]["stop_reason"] == ids[7]);
  const auto first = std::find(ids.begin(), ids.end(), ids[7]) - ids.begin();
  CHECK(reply["usage"]["completion_tokens"] == first + 1);
  const std::string text = reply["choices"][0]["text"];
  CHECK(free["choices"][0]["text"].get<std::string>().starts_with(text));
}

TEST_CASE("Echo begins the text with the prompt", "[completions]") {
  const TestDaemon daemon;
  const Json body = {{"prompt", "the sea"}, {"max_tokens", 4}, {"temperature", 0}};
  const std::string text = Complete(daemon.port(), body)["choices"][0]["text"];
  Json echoed = body;
  echoed["echo"] = true;
  CHECK(Complete(daemon.port(), echoed)["choices"][0]["text"] == "the sea" + text);
  CHECK(Stream(daemon.port(), echoed).texts[0] == "the sea" + text);
}

TEST_CASE("Log-probabilities of an echoed prompt, with nothing generated", "[completions]") {
  const TestDaemon daemon;
  const Json reply =
      Complete(daemon.port(), {{"prompt", "the sea"}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 3}});
  const Json& choice = reply["choices"][0];
  CHECK(choice["text"] == "the sea");
  CHECK(choice["finish_reason"] == "length");
  const Json& logprobs = choice["logprobs"];
  const std::size_t n = reply["usage"]["prompt_tokens"];
  CHECK(reply["usage"]["completion_tokens"] == 0);
  REQUIRE(logprobs["tokens"].size() == n);
  CHECK(logprobs["token_logprobs"][0].is_null());
  CHECK(logprobs["top_logprobs"][0].is_null());
  std::string together;
  for (std::size_t i = 0; i < n; ++i) {
    CHECK(logprobs["text_offset"][i] == together.size());
    together += logprobs["tokens"][i];
    if (i == 0) continue;
    CHECK(logprobs["token_logprobs"][i] < 0);
    CHECK(logprobs["top_logprobs"][i].size() >= 3);
    CHECK(logprobs["top_logprobs"][i].size() <= 4);
  }
  CHECK(together == "the sea");
}

TEST_CASE("Log-probabilities of what is generated, streamed and not", "[completions]") {
  const TestDaemon daemon;
  const Json body = {
      {"prompt", "the sea"}, {"max_tokens", 6}, {"temperature", 0}, {"ignore_eos", true}, {"logprobs", 2}};
  const Json logprobs = Complete(daemon.port(), body)["choices"][0]["logprobs"];
  REQUIRE(logprobs["token_logprobs"].size() == 6);
  // Greedy: the token is the likeliest of its alternatives.
  for (std::size_t i = 0; i < 6; ++i) {
    for (const auto& top : logprobs["top_logprobs"][i].items())
      CHECK(top.value() <= logprobs["token_logprobs"][i]);
  }
  std::vector<double> streamed;
  for (const Json& event : Stream(daemon.port(), body).events) {
    for (const Json& value : event["choices"][0]["logprobs"]["token_logprobs"]) streamed.push_back(value);
  }
  CHECK(streamed == logprobs["token_logprobs"].get<std::vector<double>>());
}

TEST_CASE("Usage and metrics end a stream that asks for them", "[completions]") {
  const TestDaemon daemon;
  const Streamed streamed = Stream(
      daemon.port(), {{"prompt", "a"},
                      {"max_tokens", 5},
                      {"ignore_eos", true},
                      {"decoding", "plain"},
                      {"stream_options", {{"include_usage", true}, {"continuous_usage_stats", true}}}});
  const Json& last = streamed.events.back();
  CHECK(last["choices"].empty());
  CHECK(last["usage"]["completion_tokens"] == 5);
  CHECK(last["metrics"]["decoding"]["passes"] == 5);
  int previous = 0;
  for (const Json& event : streamed.events) {
    CHECK(event["usage"]["completion_tokens"] >= previous);
    previous = event["usage"]["completion_tokens"];
  }
}

TEST_CASE("A request that takes too long ends as timeout, with what it has", "[completions]") {
  TestDaemon daemon;
  HttpClient client(daemon.port());
  // Work for far longer than it takes to stall the engine after the first token.
  client.Send(FormatRequest(
      "POST", kPath,
      R"({"prompt":"a","max_tokens":120,"n":128,"ignore_eos":true,"timeout_s":1.5,"stream":true})"));
  REQUIRE(client.ReadUntil("\"text\"").size() > 0);
  daemon.engine->SetStalledForTest(true);
  std::this_thread::sleep_for(std::chrono::milliseconds(1600));
  daemon.engine->SetStalledForTest(false);
  CHECK(client.ReadUntil("\"finish_reason\":\"timeout\"").size() > 0);
  CHECK(client.ReadUntil("[DONE]").find("\"error\"") == std::string::npos);
}

TEST_CASE("A time that is up before there is a token is an error", "[completions]") {
  for (const bool stream : {false, true}) {
    TestDaemon daemon;
    daemon.engine->SetStalledForTest(true);
    HttpClient client(daemon.port());
    const Json body = {{"prompt", "a"}, {"n", 2}, {"timeout_s", 0.05}, {"stream", stream}};
    client.Send(FormatRequest("POST", kPath, body.dump()));
    REQUIRE(Eventually([&] { return !daemon.engine->state().idle; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    daemon.engine->SetStalledForTest(false);
    const HttpReply reply = client.Read();
    CHECK(reply.status == (stream ? 200 : 408));  // a stream has begun with its headers
    const Json error = Json::parse(stream ? SseEvents(reply.body).front() : reply.body)["error"];
    CHECK(error["code"] == "timeout");
    CHECK(error["param"] == "timeout_s");
    CHECK(MetricValue(
              Get(daemon.port(), "/metrics").body,
              R"(vllm:request_success_total{model_name="tiny",engine="0",finished_reason="timeout"})") == 2);
  }
}

TEST_CASE("A prompt seen before comes from the cache", "[completions]") {
  const TestDaemon daemon;
  const Json body = {{"prompt", std::vector<int>(70, 9)}, {"max_tokens", 2}, {"temperature", 0}};
  CHECK(Complete(daemon.port(), body)["usage"]["prompt_tokens_details"]["cached_tokens"] == 0);
  CHECK(Complete(daemon.port(), body)["usage"]["prompt_tokens_details"]["cached_tokens"] == 64);
}

}  // namespace reprise
