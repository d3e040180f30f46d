#include "server/lifecycle.h"

#include <catch2/catch.hpp>
#include <future>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/unit/server/http_client.h"
#include "tests/unit/server/test_daemon.h"

namespace reprise {
namespace {

using Json = nlohmann::json;

std::string Message(const HttpReply& reply) {
  return Json::parse(reply.body)["error"]["message"];
}

}  // namespace

TEST_CASE("While the model loads the server is alive and not ready", "[lifecycle]") {
  TestDaemon daemon(TestOptions(), TestEngineOptions(), /*ready=*/false);
  CHECK(Get(daemon.port(), "/live").status == 200);
  for (const char* path : {"/health", "/ready", "/v1/models"}) {
    INFO(path);
    const HttpReply reply = Get(daemon.port(), path);
    CHECK(reply.status == 503);
    CHECK(reply.header("retry-after") == "1");
    CHECK(Message(reply).find("loading") != std::string::npos);
  }
  CHECK(Get(daemon.port(), "/metrics").status == 200);
  CHECK(Post(daemon.port(), "/v1/completions", R"({"prompt":"a"})").status == 503);
  daemon.Load();
  CHECK(Get(daemon.port(), "/ready").status == 200);
  CHECK(Post(daemon.port(), "/v1/completions", R"({"prompt":"a"})").status == 200);
}

TEST_CASE("A model that does not load is a reason", "[lifecycle]") {
  TestDaemon daemon(TestOptions(), TestEngineOptions(), /*ready=*/false);
  daemon.server->Fail("no such file");
  const HttpReply reply = Get(daemon.port(), "/health");
  CHECK(reply.status == 503);
  CHECK(Message(reply).find("no such file") != std::string::npos);
  CHECK(Get(daemon.port(), "/live").status == 200);
}

TEST_CASE("A stalled engine is not healthy, and recovers", "[lifecycle]") {
  ServerOptions options = TestOptions();
  options.stall_seconds = 0.1;
  TestDaemon daemon(options);
  daemon.engine->SetStalledForTest(true);
  CHECK(Get(daemon.port(), "/health").status == 200);  // idle
  HttpClient client(daemon.port());
  client.Send(FormatRequest("POST", "/v1/completions", R"({"prompt":"a","max_tokens":2})"));
  REQUIRE(Eventually([&] { return Get(daemon.port(), "/health").status == 503; }));
  CHECK(Message(Get(daemon.port(), "/health")).find("stalled") != std::string::npos);
  CHECK(Get(daemon.port(), "/live").status == 200);
  daemon.engine->SetStalledForTest(false);
  CHECK(client.Read().status == 200);
  CHECK(Get(daemon.port(), "/health").status == 200);
}

TEST_CASE("Draining: what runs finishes, nothing new is taken", "[lifecycle]") {
  TestDaemon daemon;
  daemon.engine->SetStalledForTest(true);
  HttpClient running(daemon.port());
  running.Send(FormatRequest("POST", "/v1/completions", R"({"prompt":"a","max_tokens":30,"stream":true})"));
  REQUIRE(Eventually([&] { return !daemon.engine->state().idle; }));
  auto drained = std::async(std::launch::async, [&] { return daemon.server->Drain(20); });
  REQUIRE(Eventually([&] { return Get(daemon.port(), "/ready").status == 503; }));
  CHECK(Message(Get(daemon.port(), "/health")).find("draining") != std::string::npos);
  CHECK(Get(daemon.port(), "/live").status == 200);
  const HttpReply refused = Post(daemon.port(), "/v1/completions", R"({"prompt":"a"})");
  CHECK(refused.status == 503);
  CHECK(refused.header("connection") == "close");
  daemon.engine->SetStalledForTest(false);
  const HttpReply reply = running.Read();
  CHECK(reply.complete);
  CHECK(SseEvents(reply.body).back() == "[DONE]");
  CHECK(drained.get());
}

TEST_CASE("Draining: at the end of the time the rest is aborted, and told so", "[lifecycle]") {
  // Work for far longer than the drain may take.
  EngineOptions engine = TestEngineOptions();
  engine.max_num_seqs = 1;
  TestDaemon daemon(TestOptions(), engine);
  HttpClient running(daemon.port());
  const Json body = {
      {"prompt", "a"}, {"max_tokens", 120}, {"ignore_eos", true}, {"stream", true}, {"n", 128}};
  running.Send(FormatRequest("POST", "/v1/completions", body.dump()));
  REQUIRE(Eventually([&] { return daemon.engine->state().num_running > 0; }));
  CHECK_FALSE(daemon.server->Drain(0));
  const HttpReply reply = running.Read();
  REQUIRE(reply.complete);
  const std::vector<std::string> events = SseEvents(reply.body);
  CHECK(events.back() == "[DONE]");
  int aborted = 0;
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    aborted += Json::parse(events[i])["choices"][0]["finish_reason"] == "abort";
  }
  CHECK(aborted > 0);
}

TEST_CASE("An address in use is named", "[lifecycle]") {
  const TestDaemon daemon;
  ServerOptions options = TestOptions();
  options.port = daemon.port();
  const Status http = Server::Start(options).status();
  CHECK(http.code() == StatusCode::kUnavailable);
  CHECK(http.message().find("127.0.0.1:" + std::to_string(daemon.port())) != std::string::npos);
  CHECK(http.message().find("in use") != std::string::npos);
  options = TestOptions();
  options.grpc_port = daemon.server->grpc_port();
  const Status grpc = Server::Start(options).status();
  CHECK(grpc.code() == StatusCode::kUnavailable);
  CHECK(grpc.message().find(std::to_string(daemon.server->grpc_port())) != std::string::npos);
  options = TestOptions();
  options.host = "not a host";
  CHECK(Server::Start(options).status().message().find("not a host") != std::string::npos);
  options = TestOptions();
  options.api_key_file = "/nowhere/keys";
  CHECK(Server::Start(options).status().code() == StatusCode::kNotFound);
}

}  // namespace reprise
