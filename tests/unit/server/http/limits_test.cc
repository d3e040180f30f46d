// What a client cannot do to the server: too much, too slowly, too often.
#include <catch2/catch.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/unit/server/http_client.h"
#include "tests/unit/server/test_daemon.h"

namespace reprise {
namespace {

using Json = nlohmann::json;

ServerOptions Limited() {
  ServerOptions options = TestOptions();
  options.limits.max_header_bytes = 2048;
  options.limits.max_body_bytes = 4096;
  options.limits.header_timeout_s = 0.2;
  options.limits.body_timeout_s = 0.2;
  options.limits.idle_timeout_s = 0.2;
  return options;
}

}  // namespace

TEST_CASE("Headers and bodies over the limit", "[limits]") {
  const TestDaemon daemon(Limited());
  const HttpReply header = Get(daemon.port(), "/live", "X-Long: " + std::string(4000, 'a') + "\r\n");
  CHECK(header.status == 431);
  CHECK(header.header("connection") == "close");
  CHECK(Json::parse(header.body)["error"]["message"].get<std::string>().find("KiB") != std::string::npos);
  const HttpReply body = Post(daemon.port(), "/v1/completions", std::string(8192, ' '));
  CHECK(body.status == 413);
  CHECK(Json::parse(body.body)["error"]["code"] == "body_too_large");
}

TEST_CASE("The reply to an oversized body arrives although the body does not stop", "[limits]") {
  const TestDaemon daemon(Limited());
  HttpClient client(daemon.port());
  client.Send("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
  for (int i = 0; i < 50 && client.Send(std::string(20000, ' ')); ++i) {
  }
  CHECK(client.Read().status == 413);
}

TEST_CASE("What is not HTTP is told so", "[limits]") {
  const TestDaemon daemon(Limited());
  HttpClient client(daemon.port());
  client.Send("\x16\x03\x01\x02 not http at all\r\n\r\n");
  CHECK(client.Read().status == 400);
  CHECK(client.AtEnd());
}

TEST_CASE("A slow header, a slow body, and silence", "[limits]") {
  const TestDaemon daemon(Limited());
  HttpClient header(daemon.port());
  header.Send("GET /live HTT");
  CHECK(header.Read().status == 408);
  CHECK(header.AtEnd());
  HttpClient body(daemon.port());
  body.Send("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{");
  CHECK(body.Read().status == 408);
  HttpClient silent(daemon.port());
  CHECK(silent.AtEnd());
  HttpClient idle(daemon.port());
  idle.Send(FormatRequest("GET", "/live"));
  CHECK(idle.Read().status == 200);
  CHECK(idle.AtEnd());
}

TEST_CASE("Timeouts do not end a request that is being answered", "[limits]") {
  TestDaemon daemon(Limited());
  daemon.engine->SetStalledForTest(true);
  HttpClient client(daemon.port());
  client.Send(FormatRequest("POST", "/v1/completions", R"({"prompt":"a","max_tokens":2})"));
  std::this_thread::sleep_for(std::chrono::milliseconds(600));
  daemon.engine->SetStalledForTest(false);
  CHECK(client.Read().status == 200);
}

TEST_CASE("Connections over the limit are told so", "[limits]") {
  ServerOptions options = TestOptions();
  options.limits.max_connections = 3;
  const TestDaemon daemon(options);
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<HttpClient>(daemon.port()));
    clients.back()->Send(FormatRequest("GET", "/live"));
    CHECK(clients.back()->Read().status == 200);
  }
  HttpClient extra(daemon.port());
  CHECK(extra.Read().status == 503);
  clients.pop_back();
  CHECK(Eventually([&] { return Get(daemon.port(), "/live").status == 200; }));
}

TEST_CASE("A full queue refuses with a hint, and all of a call or nothing", "[limits]") {
  EngineOptions engine = TestEngineOptions();
  engine.max_queued_requests = 4;
  TestDaemon daemon(TestOptions(), engine);
  daemon.engine->SetStalledForTest(true);
  std::vector<std::unique_ptr<HttpClient>> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(std::make_unique<HttpClient>(daemon.port()));
    waiting.back()->Send(FormatRequest("POST", "/v1/completions", R"({"prompt":"a","max_tokens":2})"));
  }
  REQUIRE(Eventually([&] { return daemon.engine->state().num_waiting == 3; }));
  const HttpReply refused = Post(daemon.port(), "/v1/completions", R"({"prompt":"a","n":2})");
  CHECK(refused.status == 429);
  CHECK(refused.header("retry-after") == "1");
  CHECK(Json::parse(refused.body)["error"]["type"] == "rate_limit_error");
  CHECK(daemon.engine->state().num_waiting == 3);
  CHECK(MetricValue(Get(daemon.port(), "/metrics").body,
                    R"(reprise:queue_rejections_total{model_name="tiny",engine="0",reason="queue_full"})") ==
        1);
  daemon.engine->SetStalledForTest(false);
  for (auto& client : waiting) CHECK(client->Read().status == 200);
}

}  // namespace reprise
