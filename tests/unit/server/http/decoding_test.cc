// The decoding field over real sockets, against a real engine with a recycle module and a draft model.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/unit/server/http_client.h"
#include "tests/unit/server/test_daemon.h"

namespace reprise {
namespace {

using Json = nlohmann::json;

struct FamilyDaemon : TestDaemon {
  explicit FamilyDaemon(const ServerOptions& options = TestOptions())
      : TestDaemon(options, TestEngineOptions(), /*ready=*/false) {
    Load(TestEngineOptions(), /*whole_family=*/true);
  }
};

Json Complete(const TestDaemon& daemon, const Json& decoding) {
  Json body = {{"prompt", "the sea"}, {"max_tokens", 20}, {"temperature", 0}, {"ignore_eos", true}};
  if (!decoding.is_null()) body["decoding"] = decoding;
  const HttpReply reply = Post(daemon.port(), "/v1/completions", body.dump());
  INFO(reply.body);
  REQUIRE(reply.status == 200);
  return Json::parse(reply.body);
}

Json Refuse(const TestDaemon& daemon, const Json& decoding) {
  const HttpReply reply =
      Post(daemon.port(), "/v1/completions", Json({{"prompt", "a"}, {"decoding", decoding}}).dump());
  INFO(reply.body);
  CHECK(reply.status == 400);
  return Json::parse(reply.body)["error"];
}

}  // namespace

TEST_CASE("The method is the request's, and the text the same", "[decoding]") {
  const FamilyDaemon daemon;
  const Json plain = Complete(daemon, "plain");
  const Json drafted =
      Complete(daemon, {{"method", "speculative"}, {"proposer", "draft_model"}, {"max_draft_tokens", 4}});
  CHECK(drafted["choices"][0]["text"] == plain["choices"][0]["text"]);
  const Json& decoding = drafted["metrics"]["decoding"];
  CHECK(decoding["method"] == "speculative");
  // 20 tokens: one with the prompt, then three drafts of four with one more each, one of three with one more.
  CHECK(decoding["passes"] == 5);
  CHECK(decoding["tokens_per_pass"] == 4.0);
  CHECK(decoding["router"]["draft_model"] == Json({{"requested", 4}}));
  CHECK(drafted["metrics"]["speculative_decoding"] ==
        Json::parse(R"({"mean_acceptance_length": 4.75, "draft_acceptance_rate": 1.0, "num_spec_steps": 4,
            "num_draft_tokens": 15, "num_accepted_draft_tokens": 15,
            "acceptance_histogram": [0, 0, 0, 1, 3]})"));
  CHECK_FALSE(plain["metrics"].contains("speculative_decoding"));
}

TEST_CASE("Recycle is a method as any other", "[decoding]") {
  const FamilyDaemon daemon;
  const Json plain = Complete(daemon, "plain");
  const Json recycled = Complete(daemon, {{"method", "recycle"}, {"max_draft_tokens", 1}});
  CHECK(recycled["choices"][0]["text"] == plain["choices"][0]["text"]);
  CHECK(recycled["metrics"]["decoding"]["method"] == "recycle");
  const int steps = recycled["metrics"]["decoding"]["router"]["recycle"]["requested"];
  CHECK(recycled["metrics"]["speculative_decoding"]["num_spec_steps"] == steps);
  CHECK(MetricValue(Get(daemon.port(), "/metrics").body,
                    R"(reprise:draft_tokens_total{model_name="tiny",engine="0",method="recycle",)"
                    R"(proposer="recycle"})") == steps);
  // Unverified, one pass of the model gives two tokens: 20 are one with the prompt, nine pairs and a last
  // one.
  const Json unverified = Complete(daemon, {{"method", "recycle"}, {"lenience", 0}});
  CHECK(unverified["metrics"]["decoding"]["passes"] == 11);
  CHECK(unverified["metrics"]["speculative_decoding"]["draft_acceptance_rate"] == 1.0);
}

TEST_CASE("max_draft_tokens bounds every draft; 0 is none", "[decoding]") {
  const FamilyDaemon daemon;
  const Json one = Complete(daemon, {{"method", "speculative"}, {"max_draft_tokens", 1}});
  CHECK(one["metrics"]["speculative_decoding"]["acceptance_histogram"].size() == 2);
  const Json none = Complete(daemon, {{"method", "speculative"}, {"max_draft_tokens", 0}});
  CHECK_FALSE(none["metrics"].contains("speculative_decoding"));
  CHECK(none["metrics"]["decoding"]["passes"] == 20);
  CHECK(none["choices"][0]["text"] == one["choices"][0]["text"]);
}

TEST_CASE("The proposer is the request's", "[decoding]") {
  const FamilyDaemon daemon;
  Complete(daemon, {{"method", "speculative"}, {"proposer", "prompt_lookup"}});
  const std::string metrics = Get(daemon.port(), "/metrics").body;
  const std::string common =
      R"(reprise:draft_tokens_total{model_name="tiny",engine="0",method="speculative")";
  CHECK(MetricValue(metrics, common + R"(,proposer="draft_model"})") == 0);
  Complete(daemon, {{"method", "speculative"}});  // the draft model, as there is one
  CHECK(MetricValue(Get(daemon.port(), "/metrics").body, common + R"(,proposer="draft_model"})") > 0);
}

TEST_CASE("The server's default decodes requests that name no method", "[decoding]") {
  ServerOptions options = TestOptions();
  options.default_decoding = DecodingMethod::kSpeculative;
  const FamilyDaemon daemon(options);
  CHECK(Complete(daemon, nullptr)["metrics"]["decoding"]["method"] == "speculative");
  CHECK(Complete(daemon, {{"max_draft_tokens", 2}})["metrics"]["decoding"]["method"] == "speculative");
  CHECK(Complete(daemon, "plain")["metrics"]["decoding"]["method"] == "plain");
}

TEST_CASE("Counters of drafts agree with the replies", "[decoding]") {
  const FamilyDaemon daemon;
  const Json summary = Complete(daemon, "speculative")["metrics"]["speculative_decoding"];
  const std::string metrics = Get(daemon.port(), "/metrics").body;
  CHECK(MetricValue(metrics, "vllm:spec_decode_num_drafts_total") == summary["num_spec_steps"]);
  CHECK(MetricValue(metrics, "vllm:spec_decode_num_draft_tokens_total") == summary["num_draft_tokens"]);
  CHECK(MetricValue(metrics, "vllm:spec_decode_num_accepted_tokens_total") ==
        summary["num_accepted_draft_tokens"]);
  CHECK(MetricValue(metrics, "vllm:spec_decode_num_accepted_tokens_per_pos_total") ==
        summary["num_accepted_draft_tokens"]);
  CHECK(MetricValue(metrics, "reprise:accepted_tokens_total") == summary["num_accepted_draft_tokens"]);
  CHECK(MetricValue(metrics, "reprise:router_decisions_total") ==
        MetricValue(metrics, "reprise:tokens_per_pass_count"));
}

TEST_CASE("What is loaded is listed", "[decoding]") {
  const FamilyDaemon daemon;
  const Json card = Json::parse(Get(daemon.port(), "/v1/models/tiny").body);
  CHECK(card["decoding_methods"] == Json({"plain", "recycle", "speculative"}));
  CHECK(card["proposers"] == Json({"recycle", "draft_model", "prompt_lookup"}));
}

TEST_CASE("What is not loaded is refused with what is", "[decoding]") {
  const TestDaemon daemon;
  const Json error = Refuse(daemon, "recycle");
  CHECK(error["param"] == "decoding");
  CHECK(error["message"] == "'decoding' method 'recycle' is not loaded; loaded: auto, plain, speculative");
  CHECK(Refuse(daemon, {{"method", "speculative"}, {"proposer", "draft_model"}})["param"] ==
        "decoding.proposer");
}

}  // namespace reprise
