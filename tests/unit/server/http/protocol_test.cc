// HTTP/1.1 itself: what connections do between and around requests.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/unit/server/http_client.h"
#include "tests/unit/server/test_daemon.h"

namespace reprise {
namespace {

using Json = nlohmann::json;

std::string Completion(const std::string& prompt, int max_tokens, bool stream = false) {
  const Json body = {{"prompt", prompt},
                     {"max_tokens", max_tokens},
                     {"temperature", 0},
                     {"ignore_eos", true},
                     {"stream", stream}};
  return FormatRequest("POST", "/v1/completions", body.dump());
}

}  // namespace

TEST_CASE("Pipelined requests are answered in order", "[protocol]") {
  const TestDaemon daemon;
  HttpClient client(daemon.port());
  // A slow one first: the quick ones behind it must wait for it.
  client.Send(Completion("a", 40) + FormatRequest("GET", "/version") + Completion("b", 3, true) +
              FormatRequest("GET", "/nowhere") + Completion("c", 2));
  const HttpReply first = client.Read();
  CHECK(Json::parse(first.body)["usage"]["completion_tokens"] == 40);
  CHECK(Json::parse(client.Read().body).contains("version"));
  const HttpReply streamed = client.Read();
  CHECK(streamed.complete);
  CHECK(SseEvents(streamed.body).back() == "[DONE]");
  CHECK(client.Read().status == 404);
  CHECK(Json::parse(client.Read().body)["usage"]["completion_tokens"] == 2);
}

TEST_CASE("A connection serves many requests, and closes when asked", "[protocol]") {
  const TestDaemon daemon;
  HttpClient client(daemon.port());
  for (int i = 0; i < 20; ++i) {
    REQUIRE(client.Send(FormatRequest("GET", "/live")));
    const HttpReply reply = client.Read();
    CHECK(reply.status == 200);
    CHECK(reply.header("connection").empty());
  }
  client.Send(FormatRequest("GET", "/live", "", "Connection: close\r\n"));
  CHECK(client.Read().header("connection") == "close");
  CHECK(client.AtEnd());
}

TEST_CASE("Chunked request bodies, byte by byte", "[protocol]") {
  const TestDaemon daemon;
  HttpClient client(daemon.port());
  const std::string text =
      "POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "e\r\n{\"prompt\":\"a\",\r\n11\r\n\"max_tokens\": 2 }\r\n0\r\n\r\n";
  for (char c : text) REQUIRE(client.Send(std::string(1, c)));
  const HttpReply reply = client.Read();
  INFO(reply.body);
  CHECK(reply.status == 200);
}

TEST_CASE("100 Continue comes before the body, once", "[protocol]") {
  const TestDaemon daemon;
  HttpClient client(daemon.port());
  const std::string body = R"({"prompt":"a","max_tokens":1})";
  client.Send("POST /v1/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n");
  CHECK(client.ReadUntil("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send(body);
  CHECK(client.Read().status == 200);
}

TEST_CASE("Each event of a stream is a chunk of whole events", "[protocol]") {
  const TestDaemon daemon;
  HttpClient client(daemon.port());
  client.Send(Completion("sea", 20, true));
  const HttpReply reply = client.Read();
  CHECK(reply.header("transfer-encoding") == "chunked");
  CHECK(reply.header("cache-control") == "no-cache");
  REQUIRE(reply.complete);
  for (const std::string& chunk : reply.chunks) {
    CHECK(chunk.starts_with("data: "));
    CHECK(chunk.ends_with("\n\n"));
  }
  // The connection goes on after a stream.
  client.Send(FormatRequest("GET", "/live"));
  CHECK(client.Read().status == 200);
}

TEST_CASE("HTTP/1.0 clients get plain bodies that end with the connection", "[protocol]") {
  const TestDaemon daemon;
  HttpClient client(daemon.port());
  const std::string body = R"({"prompt":"a","max_tokens":3,"stream":true})";
  client.Send("POST /v1/completions HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
              body);
  const HttpReply reply = client.Read();
  CHECK(reply.status == 200);
  CHECK(reply.header("transfer-encoding").empty());
  CHECK(SseEvents(reply.body).back() == "[DONE]");
  CHECK(client.AtEnd());
}

TEST_CASE("A reader that is slow gets everything in the end", "[protocol]") {
  const TestDaemon daemon;
  HttpClient slow(daemon.port());
  const Json body = {{"prompt", "sea"},  {"max_tokens", 100},  {"n", 64},        {"seed", 1},
                     {"temperature", 1}, {"ignore_eos", true}, {"stream", true}, {"logprobs", 20}};
  slow.Send(FormatRequest("POST", "/v1/completions", body.dump()));
  // Long done in the engine, and far more than a socket's buffers hold, before the first byte is read. Others
  // are served meanwhile.
  REQUIRE(Eventually([&] {
    return daemon.engine->state().idle &&
           Get(daemon.port(), "/metrics").body.find("num_requests_running") != std::string::npos;
  }));
  CHECK(Post(daemon.port(), "/v1/completions", R"({"prompt":"a","max_tokens":3})").status == 200);
  const HttpReply reply = slow.Read();
  REQUIRE(reply.complete);
  int tokens = 0, ended = 0;
  const std::vector<std::string> events = SseEvents(reply.body);
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    const Json choice = Json::parse(events[i])["choices"][0];
    if (choice["logprobs"].is_object()) tokens += static_cast<int>(choice["logprobs"]["tokens"].size());
    ended += !choice["finish_reason"].is_null();
  }
  CHECK(tokens == 64 * 100);
  CHECK(ended == 64);
}

TEST_CASE("A prompt as large as a book does not hold up a stream", "[protocol]") {
  const TestDaemon daemon;
  HttpClient big(daemon.port());
  big.Send(FormatRequest("POST", "/v1/completions", Json({{"prompt", std::string(2 << 20, 'x')}}).dump()));
  CHECK(Post(daemon.port(), "/v1/completions", R"({"prompt":"a","max_tokens":3})").status == 200);
  const HttpReply reply = big.Read();
  CHECK(reply.status == 400);
  CHECK(Json::parse(reply.body)["error"]["code"] == "context_length_exceeded");
}

}  // namespace reprise
