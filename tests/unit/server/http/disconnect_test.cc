// Clients that go away: their requests end, their memory comes back, nobody else notices.
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

std::string LongRequest(bool stream, int n = 1) {
  const Json body = {
      {"prompt", "sea"}, {"max_tokens", 120}, {"ignore_eos", true}, {"stream", stream}, {"n", n}};
  return FormatRequest("POST", "/v1/completions", body.dump());
}

bool AllFree(const TestDaemon& daemon) {
  const EngineState state = daemon.engine->state();
  return state.idle && state.num_running == 0 && state.num_waiting == 0 && state.kv_usage == 0;
}

double Disconnects(const TestDaemon& daemon) {
  return MetricValue(Get(daemon.port(), "/metrics").body, "reprise:client_disconnects_total");
}

}  // namespace

TEST_CASE("A client that leaves ends its request", "[disconnect]") {
  TestDaemon daemon;
  for (bool stream : {false, true}) {
    for (bool reset : {false, true}) {
      const double before = Disconnects(daemon);
      // Stalled, so that the request cannot end by itself first.
      daemon.engine->SetStalledForTest(true);
      HttpClient client(daemon.port());
      client.Send(LongRequest(stream));
      REQUIRE(Eventually([&] { return !daemon.engine->state().idle; }));
      if (stream) CHECK_FALSE(client.ReadUntil("\r\n\r\n").empty());
      reset ? client.Reset() : client.Close();
      CHECK(Eventually([&] { return Disconnects(daemon) == before + 1; }));
      daemon.engine->SetStalledForTest(false);
      CHECK(Eventually([&] { return AllFree(daemon); }));
    }
  }
  const std::string metrics = Get(daemon.port(), "/metrics").body;
  CHECK(MetricValue(metrics,
                    R"(vllm:request_success_total{model_name="tiny",engine="0",finished_reason="abort"})") ==
        4);
  CHECK(MetricValue(metrics,
                    R"(vllm:request_success_total{model_name="tiny",engine="0",finished_reason="length"})") ==
        0);
}

TEST_CASE("Two hundred clients leave at once", "[disconnect]") {
  TestDaemon daemon;
  daemon.engine->SetStalledForTest(true);
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(std::make_unique<HttpClient>(daemon.port()));
    clients.back()->Send(LongRequest(i % 2 == 0, 1 + i % 3));
  }
  REQUIRE(Eventually([&] { return daemon.engine->state().num_waiting >= 398; }));
  daemon.engine->SetStalledForTest(false);
  REQUIRE(Eventually([&] { return daemon.engine->state().num_running > 0; }));
  clients.clear();
  REQUIRE(Eventually([&] { return AllFree(daemon); }));
  const std::string metrics = Get(daemon.port(), "/metrics").body;
  CHECK(MetricValue(metrics, "vllm:num_requests_running") == 0);
  CHECK(MetricValue(metrics, "vllm:num_requests_waiting") == 0);
  CHECK(MetricValue(metrics, "vllm:kv_cache_usage_perc") == 0);
  CHECK(MetricValue(metrics, "reprise:requests_total") == 399);
  CHECK(Post(daemon.port(), "/v1/completions", R"({"prompt":"a","max_tokens":2})").status == 200);
}

TEST_CASE("A neighbour's leaving changes nothing", "[disconnect]") {
  TestDaemon daemon;
  const std::string body = R"({"prompt":"sea","max_tokens":100,"seed":3,"temperature":1,"ignore_eos":true})";
  const Json alone = Json::parse(Post(daemon.port(), "/v1/completions", body).body);
  HttpClient neighbour(daemon.port());
  HttpClient client(daemon.port());
  neighbour.Send(LongRequest(true, 8));
  client.Send(FormatRequest("POST", "/v1/completions", body));
  neighbour.ReadUntil("data: ");
  neighbour.Reset();
  const HttpReply reply = client.Read();
  REQUIRE(reply.status == 200);
  CHECK(Json::parse(reply.body)["choices"] == alone["choices"]);
}

TEST_CASE("A client that pipelines and leaves", "[disconnect]") {
  TestDaemon daemon;
  HttpClient client(daemon.port());
  client.Send(LongRequest(true) + LongRequest(false) + LongRequest(true));
  client.ReadUntil("data: ");
  client.Close();
  CHECK(Eventually([&] { return AllFree(daemon); }));
}

}  // namespace reprise
