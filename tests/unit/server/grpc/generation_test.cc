// reprise.v1.Generation over a real channel, against a real engine.
#include <grpcpp/grpcpp.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <future>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "reprise/v1/generation.grpc.pb.h"
#include "tests/unit/server/grpc/health_client.h"
#include "tests/unit/server/http_client.h"
#include "tests/unit/server/temp_file.h"
#include "tests/unit/server/test_daemon.h"

namespace reprise {
namespace {

std::shared_ptr<grpc::Channel> Connect(const TestDaemon& daemon) {
  return grpc::CreateChannel(daemon.grpc_target(), grpc::InsecureChannelCredentials());
}

std::unique_ptr<v1::Generation::Stub> Stub(const TestDaemon& daemon) {
  return v1::Generation::NewStub(Connect(daemon));
}

v1::GenerateRequest GenerateOf(const std::string& prompt, int max_tokens) {
  v1::GenerateRequest request;
  request.set_prompt(prompt);
  request.mutable_options()->set_max_tokens(max_tokens);
  request.mutable_options()->set_temperature(0);
  request.mutable_options()->set_ignore_eos(true);
  return request;
}

struct Streamed {
  grpc::Status status;
  std::vector<v1::GenerateChunk> chunks;
  std::string text;  // of choice 0
};

template <typename Reader>
Streamed ReadAll(Reader reader) {
  Streamed out;
  for (v1::GenerateChunk chunk; reader->Read(&chunk);) {
    if (chunk.index() == 0) out.text += chunk.text();
    out.chunks.push_back(chunk);
  }
  out.status = reader->Finish();
  return out;
}

bool AllFree(const TestDaemon& daemon) {
  const EngineState state = daemon.engine->state();
  return state.idle && state.kv_usage == 0;
}

}  // namespace

TEST_CASE("Complete, Generate and HTTP give the same text", "[grpc]") {
  const TestDaemon daemon;
  const auto stub = Stub(daemon);
  v1::GenerateRequest request = GenerateOf("the sea", 40);
  request.mutable_options()->set_temperature(1.3);
  request.mutable_options()->set_seed(11);
  request.mutable_options()->set_n(2);
  request.mutable_options()->add_stop("qu");
  request.mutable_options()->set_return_token_ids(true);
  v1::CompleteResponse whole;
  grpc::ClientContext unary;
  const grpc::Status status = stub->Complete(&unary, request, &whole);
  INFO(status.error_code() << ": " << status.error_message());
  REQUIRE(status.ok());
  CHECK(whole.model() == "tiny");
  REQUIRE(whole.choices_size() == 2);
  CHECK(whole.usage().total_tokens() == whole.usage().prompt_tokens() + whole.usage().completion_tokens());
  CHECK(whole.metrics().decoding().method() == "plain");
  grpc::ClientContext streaming;
  const Streamed streamed = ReadAll(stub->Generate(&streaming, request));
  REQUIRE(streamed.status.ok());
  CHECK(streamed.text == whole.choices(0).text());
  const v1::GenerateChunk& last = streamed.chunks.back();
  CHECK(last.usage().completion_tokens() == whole.usage().completion_tokens());
  CHECK(last.has_metrics());
  int ids = 0;
  for (const v1::GenerateChunk& chunk : streamed.chunks) ids += chunk.token_ids_size();
  CHECK(ids == whole.usage().completion_tokens());
  const HttpReply http =
      Post(daemon.port(), "/v1/completions",
           R"({"prompt":"the sea","max_tokens":40,"temperature":1.3,"seed":11,"n":2,"stop":"qu",)"
           R"("ignore_eos":true,"return_token_ids":true})");
  std::string quoted = "\"token_ids\":[";
  for (int i = 0; i < whole.choices(1).token_ids_size(); ++i) {
    quoted += (i > 0 ? "," : "") + std::to_string(whole.choices(1).token_ids(i));
  }
  CHECK(http.body.find(quoted + "]") != std::string::npos);
}

TEST_CASE("Chats stream", "[grpc]") {
  const TestDaemon daemon;
  const auto stub = Stub(daemon);
  v1::ChatRequest request;
  v1::ChatMessage* message = request.add_messages();
  message->set_role("user");
  message->set_content("hello");
  request.mutable_options()->set_max_tokens(6);
  request.mutable_options()->set_ignore_eos(true);
  request.mutable_options()->set_logprobs(2);
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "mine");
  const auto reader = stub->Chat(&context, request);
  int logprobs = 0;
  std::string finish;
  for (v1::GenerateChunk chunk; reader->Read(&chunk);) {
    CHECK(chunk.id() == "mine");
    for (const v1::TokenLogprobs& token : chunk.logprobs()) {
      ++logprobs;
      CHECK(token.logprob() <= 0);
      CHECK(token.top_size() == 2);
    }
    if (!chunk.finish_reason().empty()) finish = chunk.finish_reason();
  }
  CHECK(reader->Finish().ok());
  CHECK(logprobs == 6);
  CHECK(finish == "length");
  CHECK(context.GetServerInitialMetadata().find("x-request-id")->second == "mine");
}

TEST_CASE("Numbers that are none are refused over gRPC too", "[grpc]") {
  const TestDaemon daemon;
  const auto stub = Stub(daemon);
  for (double value : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    v1::GenerateRequest request = GenerateOf("a", 2);
    request.mutable_options()->set_top_p(value);
    v1::CompleteResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub->Complete(&context, request, &response);
    CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
    CHECK(status.error_message().find("top_p") != std::string::npos);
    CHECK(context.GetServerTrailingMetadata().find("error-param")->second == "top_p");
  }
}

TEST_CASE("Tokens, models and server information", "[grpc]") {
  const TestDaemon daemon;
  const auto stub = Stub(daemon);
  v1::TokenizeRequest tokenize;
  tokenize.set_prompt("the sea");
  tokenize.set_return_token_strs(true);
  v1::TokenizeResponse tokens;
  grpc::ClientContext c1, c2, c3, c4;
  REQUIRE(stub->Tokenize(&c1, tokenize, &tokens).ok());
  CHECK(tokens.count() == tokens.tokens_size());
  CHECK(tokens.token_strs_size() == tokens.tokens_size());
  v1::DetokenizeRequest detokenize;
  for (int id : tokens.tokens()) detokenize.add_tokens(id);
  v1::DetokenizeResponse text;
  REQUIRE(stub->Detokenize(&c2, detokenize, &text).ok());
  CHECK(text.prompt() == "the sea");
  v1::ListModelsResponse models;
  REQUIRE(stub->ListModels(&c3, {}, &models).ok());
  REQUIRE(models.models_size() == 1);
  CHECK(models.models(0).id() == "tiny");
  CHECK(models.models(0).max_model_len() == 128);
  v1::ServerInfoResponse info;
  REQUIRE(stub->ServerInfo(&c4, {}, &info).ok());
  CHECK(info.state() == "ready");
  CHECK(info.block_size() == 16);
  CHECK(info.num_blocks() > 0);
}

TEST_CASE("A deadline or a cancellation ends the request", "[grpc]") {
  TestDaemon daemon;
  const auto stub = Stub(daemon);
  daemon.engine->SetStalledForTest(true);
  {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(4));
    const Streamed streamed = ReadAll(stub->Generate(&context, GenerateOf("a", 100)));
    CHECK(streamed.status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  {
    grpc::ClientContext context;
    const auto reader = stub->Generate(&context, GenerateOf("a", 100));
    REQUIRE(Eventually([&] { return !daemon.engine->state().idle; }));
    context.TryCancel();
    v1::GenerateChunk chunk;
    while (reader->Read(&chunk)) {
    }
    CHECK(reader->Finish().error_code() == grpc::StatusCode::CANCELLED);
  }
  {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(4));
    v1::CompleteResponse response;
    CHECK(stub->Complete(&context, GenerateOf("a", 100), &response).error_code() ==
          grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  // While the engine is stalled, what was admitted waits there: each of these must have been noticed.
  const auto disconnects = [&] {
    return MetricValue(Get(daemon.port(), "/metrics").body, "reprise:client_disconnects_total");
  };
  CHECK(Eventually([&] { return disconnects() > 0 && disconnects() == daemon.engine->state().num_waiting; }));
  daemon.engine->SetStalledForTest(false);
  CHECK(Eventually([&] { return AllFree(daemon); }));
  const std::string metrics = Get(daemon.port(), "/metrics").body;
  CHECK(MetricValue(metrics,
                    R"(vllm:request_success_total{model_name="tiny",engine="0",finished_reason="abort"})") ==
        disconnects());
}

TEST_CASE("timeout_s without a token is DEADLINE_EXCEEDED", "[grpc]") {
  TestDaemon daemon;
  daemon.engine->SetStalledForTest(true);
  auto status = std::async(std::launch::async, [&] {
    v1::GenerateRequest request = GenerateOf("a", 5);
    request.mutable_options()->set_timeout_s(0.05);
    v1::CompleteResponse response;
    grpc::ClientContext context;
    return Stub(daemon)->Complete(&context, request, &response);
  });
  REQUIRE(Eventually([&] { return !daemon.engine->state().idle; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  daemon.engine->SetStalledForTest(false);
  CHECK(status.get().error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_CASE("Two hundred streams cancelled at once", "[grpc]") {
  TestDaemon daemon;
  const auto stub = Stub(daemon);
  daemon.engine->SetStalledForTest(true);
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::GenerateChunk>>> readers;
  for (int i = 0; i < 200; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    readers.push_back(stub->Generate(contexts.back().get(), GenerateOf("a", 100)));
  }
  REQUIRE(Eventually([&] { return daemon.engine->state().num_waiting >= 200; }));
  daemon.engine->SetStalledForTest(false);
  for (auto& context : contexts) context->TryCancel();
  for (auto& reader : readers) {
    v1::GenerateChunk chunk;
    while (reader->Read(&chunk)) {
    }
    CHECK_FALSE(reader->Finish().ok());
  }
  CHECK(Eventually([&] { return AllFree(daemon); }));
}

TEST_CASE("A full queue carries the hint when to retry", "[grpc]") {
  EngineOptions engine = TestEngineOptions();
  engine.max_queued_requests = 1;
  TestDaemon daemon(TestOptions(), engine);
  const auto stub = Stub(daemon);
  v1::GenerateRequest request = GenerateOf("a", 2);
  request.mutable_options()->set_n(2);
  v1::CompleteResponse response;
  grpc::ClientContext context;
  CHECK(stub->Complete(&context, request, &response).error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(context.GetServerTrailingMetadata().find("retry-after-ms")->second == "1000");
  CHECK(context.GetServerTrailingMetadata().find("grpc-retry-pushback-ms")->second == "1000");
}

TEST_CASE("Keys are needed for calls, not for health", "[grpc]") {
  const TempFile keys("secret\n");
  ServerOptions options = TestOptions();
  options.api_key_file = keys.path;
  const TestDaemon daemon(options);
  const auto stub = Stub(daemon);
  v1::ListModelsResponse models;
  grpc::ClientContext without, with;
  CHECK(stub->ListModels(&without, {}, &models).error_code() == grpc::StatusCode::UNAUTHENTICATED);
  with.AddMetadata("authorization", "Bearer secret");
  CHECK(stub->ListModels(&with, {}, &models).ok());
  grpc::ClientContext streaming;
  CHECK(ReadAll(stub->Generate(&streaming, GenerateOf("a", 2))).status.error_code() ==
        grpc::StatusCode::UNAUTHENTICATED);
  CHECK(CheckHealth(Connect(daemon), "") == "SERVING");
}

TEST_CASE("Health follows the daemon", "[grpc]") {
  TestDaemon daemon(TestOptions(), TestEngineOptions(), /*ready=*/false);
  const auto channel = Connect(daemon);
  CHECK(CheckHealth(channel, "reprise.v1.Generation") == "NOT_SERVING");
  const auto stub = Stub(daemon);
  v1::CompleteResponse response;
  grpc::ClientContext loading;
  CHECK(stub->Complete(&loading, GenerateOf("a", 2), &response).error_code() ==
        grpc::StatusCode::UNAVAILABLE);
  daemon.Load();
  CHECK(CheckHealth(channel, "reprise.v1.Generation") == "SERVING");
  CHECK(CheckHealth(channel, "") == "SERVING");
  CHECK(CheckHealth(channel, "nobody.Knows") == "NOT_FOUND");
  CHECK(daemon.server->Drain(5));
  CHECK(CheckHealth(channel, "reprise.v1.Generation") == "NOT_SERVING");
  grpc::ClientContext draining;
  CHECK(stub->Complete(&draining, GenerateOf("a", 2), &response).error_code() ==
        grpc::StatusCode::UNAVAILABLE);
}

}  // namespace reprise
