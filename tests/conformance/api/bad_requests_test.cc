// Every bad request of tests/data/api/bad_requests.json, over HTTP and, where gRPC's types can say it, over
// gRPC: each is refused with the right status, naming the field and what is allowed, and a request that runs
// all the while is not disturbed.
#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "reprise/v1/generation.grpc.pb.h"
#include "tests/unit/server/http_client.h"
#include "tests/unit/server/test_daemon.h"

namespace reprise {
namespace {

using Json = nlohmann::json;

const std::vector<Json>& Cases() {
  static const std::vector<Json> cases =
      Json::parse(std::ifstream("tests/data/api/bad_requests.json")).get<std::vector<Json>>();
  return cases;
}

// The words every message about this case must have: the field's last part, and what the case lists.
void CheckMessage(const Json& expected, const std::string& message) {
  for (const auto& part : expected["contains"].get<std::vector<std::string>>()) {
    INFO("expected '" << part << "'");
    CHECK(message.find(part) != std::string::npos);
  }
}

void RunOverHttp(int port, const Json& expected) {
  const std::string body =
      expected.contains("raw") ? expected["raw"].get<std::string>() : expected["body"].dump();
  const HttpReply reply = Post(port, expected["route"], body);
  INFO("HTTP reply: " << reply.body);
  CHECK(reply.status == expected["status"]);
  const Json error = Json::parse(reply.body)["error"];
  for (const char* key : {"message", "type", "param", "code"}) CHECK(error.contains(key));
  CHECK(error["param"] == expected["param"]);
  CHECK(error["type"] == "invalid_request_error");
  CheckMessage(expected, error["message"]);
}

// The body as proto/reprise/v1 spells it: options in a message of their own, one kind of prompt a field.
Json ToProtoJson(const Json& body, bool generation) {
  static const std::set<std::string> kTopLevel = {"model",
                                                  "prompt",
                                                  "messages",
                                                  "echo",
                                                  "add_generation_prompt",
                                                  "continue_final_message",
                                                  "chat_template_kwargs"};
  Json out = Json::object();
  for (const auto& item : body.items()) {
    Json value = item.value();
    if (!generation || kTopLevel.contains(item.key())) {
      out[item.key()] = value;
      continue;
    }
    if (item.key() == "decoding" && value.is_string()) value = Json{{"method", value}};
    if (item.key() == "stop" && value.is_string()) value = Json::array({value});
    out["options"][item.key()] = value;
  }
  if (!out.contains("prompt") || out["prompt"].is_string()) return out;
  const Json prompt = out["prompt"];
  out.erase("prompt");
  if (!prompt.empty() && prompt[0].is_number()) {
    out["prompt_token_ids"] = prompt;
    return out;
  }
  out["prompts"] = Json::array();
  for (const Json& one : prompt) {
    out["prompts"].push_back(one.is_string() ? Json{{"text", one}} : Json{{"token_ids", {{"ids", one}}}});
  }
  return out;
}

template <typename Message>
Message Parse(const Json& body, bool generation) {
  Message message;
  const Json json = ToProtoJson(body, generation);
  const auto status = google::protobuf::util::JsonStringToMessage(json.dump(), &message);
  INFO(json.dump() << ": " << status.ToString());
  REQUIRE(status.ok());
  return message;
}

template <typename Reader>
grpc::Status Drain(Reader reader) {
  for (v1::GenerateChunk chunk; reader->Read(&chunk);) {
  }
  return reader->Finish();
}

grpc::Status Call(v1::Generation::Stub& stub, grpc::ClientContext* context, const Json& expected) {
  const std::string route = expected["route"];
  const Json& body = expected["body"];
  if (route == "/v1/chat/completions") return Drain(stub.Chat(context, Parse<v1::ChatRequest>(body, true)));
  if (route == "/v1/completions") {
    const auto request = Parse<v1::GenerateRequest>(body, true);
    grpc::ClientContext unary;
    v1::CompleteResponse response;
    const grpc::Status once = stub.Complete(&unary, request, &response);
    const grpc::Status streamed = Drain(stub.Generate(context, request));
    CHECK(once.error_code() == streamed.error_code());
    CHECK(once.error_message() == streamed.error_message());
    return streamed;
  }
  if (route == "/tokenize") {
    v1::TokenizeResponse response;
    return stub.Tokenize(context, Parse<v1::TokenizeRequest>(body, false), &response);
  }
  v1::DetokenizeResponse response;
  return stub.Detokenize(context, Parse<v1::DetokenizeRequest>(body, false), &response);
}

void RunOverGrpc(v1::Generation::Stub& stub, const Json& expected) {
  grpc::ClientContext context;
  const grpc::Status status = Call(stub, &context, expected);
  INFO("gRPC: " << status.error_code() << " " << status.error_message());
  CHECK(status.error_code() ==
        (expected["status"] == 404 ? grpc::StatusCode::NOT_FOUND : grpc::StatusCode::INVALID_ARGUMENT));
  CheckMessage(expected, status.error_message());
  const auto param = context.GetServerTrailingMetadata().find("error-param");
  REQUIRE(param != context.GetServerTrailingMetadata().end());
  CHECK(std::string(param->second.data(), param->second.size()) == expected["param"].get<std::string>());
}

}  // namespace

TEST_CASE("Bad requests are refused on both transports and disturb nobody", "[api]") {
  REQUIRE(Cases().size() >= 120);
  const TestDaemon daemon;
  const auto stub =
      v1::Generation::NewStub(grpc::CreateChannel(daemon.grpc_target(), grpc::InsecureChannelCredentials()));
  const std::string running_body =
      R"({"prompt":"sea","max_tokens":120,"n":4,"seed":1,"temperature":1,"ignore_eos":true})";
  const Json alone = Json::parse(Post(daemon.port(), "/v1/completions", running_body).body);
  HttpClient running(daemon.port());
  running.Send(FormatRequest("POST", "/v1/completions", running_body));
  int over_grpc = 0;
  for (const Json& expected : Cases()) {
    INFO("case: " << expected["name"].get<std::string>());
    RunOverHttp(daemon.port(), expected);
    if (expected.value("http_only", false)) continue;
    RunOverGrpc(*stub, expected);
    ++over_grpc;
  }
  CHECK(over_grpc >= 100);
  CHECK(Json::parse(running.Read().body)["choices"] == alone["choices"]);
  CHECK(Eventually([&] { return daemon.engine->state().idle; }));
  CHECK(daemon.engine->state().kv_usage == 0);
}

TEST_CASE("Bodies that are not UTF-8 are refused with the place", "[api]") {
  const TestDaemon daemon;
  for (const char* route : {"/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"}) {
    const HttpReply reply = Post(daemon.port(), route, "{\"prompt\":\"a\xFF\"}");
    CHECK(reply.status == 400);
    CHECK(reply.body.find("not valid UTF-8 at byte 12") != std::string::npos);
  }
}

}  // namespace reprise
