// /metrics after real work.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/unit/server/http_client.h"
#include "tests/unit/server/test_daemon.h"

namespace reprise {

TEST_CASE("The counters agree with the replies", "[metrics]") {
  const TestDaemon daemon;
  int prompt_tokens = 0, completion_tokens = 0;
  for (int i = 0; i < 3; ++i) {
    const auto reply = nlohmann::json::parse(
        Post(daemon.port(), "/v1/completions",
             R"({"prompt":"the sea","max_tokens":7,"ignore_eos":true,"decoding":"plain"})")
            .body);
    prompt_tokens += reply["usage"]["prompt_tokens"].get<int>();
    completion_tokens += reply["usage"]["completion_tokens"].get<int>();
  }
  const HttpReply scrape = Get(daemon.port(), "/metrics");
  CHECK(scrape.header("content-type") == "text/plain; version=0.0.4; charset=utf-8");
  const std::string& text = scrape.body;
  CHECK(MetricValue(text, R"(vllm:prompt_tokens_total{model_name="tiny",engine="0"})") == prompt_tokens);
  CHECK(MetricValue(text, R"(vllm:generation_tokens_total{model_name="tiny",engine="0"})") ==
        completion_tokens);
  CHECK(MetricValue(text, "vllm:request_success_total") == 3);
  CHECK(MetricValue(text, "vllm:time_to_first_token_seconds_count") == 3);
  CHECK(MetricValue(text, "vllm:inter_token_latency_seconds_count") == 18);
  CHECK(MetricValue(text, "vllm:e2e_request_latency_seconds_count") == 3);
  CHECK(MetricValue(text, "reprise:tokens_per_pass_count") == 21);
  CHECK(MetricValue(text, "reprise:engine_last_step_timestamp_seconds") > 1.7e9);
  CHECK(MetricValue(text, "reprise:build_info") == 1);
  CHECK(MetricValue(text, "vllm:cache_config_info") == 1);
  CHECK(text.find(R"(block_size="16")") != std::string::npos);
  CHECK(MetricValue(text, "process_resident_memory_bytes") > 1e6);
  CHECK(MetricValue(text, "vllm:num_requests_running") == 0);
  CHECK(MetricValue(text, "vllm:kv_cache_usage_perc") == 0);
}

TEST_CASE("The load shows while there is some", "[metrics]") {
  EngineOptions engine = TestEngineOptions();
  engine.max_num_seqs = 2;
  TestDaemon daemon(TestOptions(), engine);
  HttpClient client(daemon.port());
  client.Send(FormatRequest("POST", "/v1/completions",
                            R"({"prompt":"a","max_tokens":120,"n":40,"ignore_eos":true})"));
  CHECK(Eventually([&] {
    const std::string text = Get(daemon.port(), "/metrics").body;
    return MetricValue(text, "vllm:num_requests_running") > 0 &&
           MetricValue(text, "vllm:num_requests_waiting") > 0 &&
           MetricValue(text, "vllm:kv_cache_usage_perc") > 0;
  }));
}

}  // namespace reprise
