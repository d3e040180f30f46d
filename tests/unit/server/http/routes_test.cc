// The routes beside generation, and what stands before every route.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/unit/server/http_client.h"
#include "tests/unit/server/temp_file.h"
#include "tests/unit/server/test_daemon.h"

namespace reprise {
namespace {

using Json = nlohmann::json;

}  // namespace

TEST_CASE("Models are listed and found by name", "[routes]") {
  const TestDaemon daemon;
  const Json list = Json::parse(Get(daemon.port(), "/v1/models").body);
  REQUIRE(list["data"].size() == 1);
  CHECK(list["data"][0]["id"] == "tiny");
  CHECK(list["data"][0]["object"] == "model");
  CHECK(list["data"][0]["max_model_len"] == 128);
  CHECK(list["data"][0]["decoding_methods"] == Json({"plain", "speculative"}));
  CHECK(list["data"][0]["proposers"] == Json({"prompt_lookup"}));
  CHECK(Json::parse(Get(daemon.port(), "/v1/models/tiny").body) == list["data"][0]);
  CHECK(Get(daemon.port(), "/v1/models/t%69ny").status == 200);
  CHECK(Get(daemon.port(), "/v1/models/huge").status == 404);
  CHECK(Get(daemon.port(), "/v1/models/%").status == 404);
}

TEST_CASE("Tokenize and detokenize are inverses", "[routes]") {
  const TestDaemon daemon;
  const Json tokens = Json::parse(
      Post(daemon.port(), "/tokenize", R"({"prompt":"the sea \u00e9","return_token_strs":true})").body);
  CHECK(tokens["count"] == tokens["tokens"].size());
  CHECK(tokens["token_strs"].size() == tokens["tokens"].size());
  CHECK(tokens["max_model_len"] == 128);
  const Json text =
      Json::parse(Post(daemon.port(), "/detokenize", Json({{"tokens", tokens["tokens"]}}).dump()).body);
  CHECK(text["prompt"] == "the sea \u00e9");
  const Json chat = Json::parse(
      Post(daemon.port(), "/tokenize", R"({"messages":[{"role":"user","content":"a"}],"model":"tiny"})")
          .body);
  const Json shown =
      Json::parse(Post(daemon.port(), "/detokenize", Json({{"tokens", chat["tokens"]}}).dump()).body);
  CHECK(shown["prompt"] == "<|user|>a<|eos|><|assistant|>");
  CHECK(chat["token_strs"].is_null());
}

TEST_CASE("Probes and version", "[routes]") {
  const TestDaemon daemon;
  for (const char* path : {"/health", "/ready", "/live", "/version"}) {
    INFO(path);
    CHECK(Get(daemon.port(), path).status == 200);
  }
  CHECK(Json::parse(Get(daemon.port(), "/version").body).contains("version"));
}

TEST_CASE("Unknown routes and methods", "[routes]") {
  const TestDaemon daemon;
  CHECK(Get(daemon.port(), "/v2/models").status == 404);
  CHECK(Get(daemon.port(), "/").status == 404);
  CHECK(Get(daemon.port(), "/v1/models/").status == 404);
  const HttpReply wrong = Get(daemon.port(), "/v1/completions");
  CHECK(wrong.status == 405);
  CHECK(wrong.header("allow") == "POST, OPTIONS");
  const HttpReply posted = Post(daemon.port(), "/health", "{}");
  CHECK(posted.status == 405);
  CHECK(posted.header("allow") == "GET, HEAD, OPTIONS");
  CHECK(Json::parse(posted.body)["error"]["code"] == "method_not_allowed");
  CHECK(Get(daemon.port(), "/health?verbose=1").status == 200);
}

TEST_CASE("HEAD has the headers of GET and no body", "[routes]") {
  const TestDaemon daemon;
  HttpClient client(daemon.port());
  client.Send(FormatRequest("HEAD", "/health"));
  client.Send(FormatRequest("GET", "/health"));
  const HttpReply head = client.Read(/*head=*/true);
  const HttpReply get = client.Read();
  CHECK(head.status == 200);
  CHECK(head.header("content-length") == get.header("content-length"));
  CHECK_FALSE(get.body.empty());
}

TEST_CASE("Bodies need a length and the right type", "[routes]") {
  const TestDaemon daemon;
  const std::string body = R"({"prompt":"a","max_tokens":1})";
  HttpClient client(daemon.port());
  client.Send("POST /v1/completions HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(client.Read().status == 411);
  CHECK(Post(daemon.port(), "/v1/completions", body, "Content-Type: text/plain\r\n").status == 415);
  CHECK(Post(daemon.port(), "/v1/completions", body, "Content-Encoding: gzip\r\n").status == 415);
  for (const char* type : {"application/json", "Application/JSON; charset=utf-8", "application/json ;a=b"}) {
    INFO(type);
    CHECK(
        Post(daemon.port(), "/v1/completions", body, std::string("Content-Type: ") + type + "\r\n").status ==
        200);
  }
  CHECK(Post(daemon.port(), "/v1/completions", body).status == 200);
}

TEST_CASE("Request ids are echoed, cleaned or made", "[routes]") {
  const TestDaemon daemon;
  CHECK(Get(daemon.port(), "/health", "X-Request-Id: my-id.1\r\n").header("x-request-id") == "my-id.1");
  CHECK(Get(daemon.port(), "/health", "X-Request-Id: a b<c>\r\n").header("x-request-id").size() == 24);
  CHECK(Get(daemon.port(), "/nowhere").header("x-request-id").size() == 24);
}

TEST_CASE("Keys guard all but the probes", "[routes]") {
  const TempFile keys("secret\n");
  ServerOptions options = TestOptions();
  options.api_key_file = keys.path;
  const TestDaemon daemon(options);
  for (const char* open : {"/health", "/ready", "/live"}) CHECK(Get(daemon.port(), open).status == 200);
  for (const char* closed : {"/v1/models", "/metrics", "/version"}) {
    INFO(closed);
    const HttpReply refused = Get(daemon.port(), closed);
    CHECK(refused.status == 401);
    CHECK(refused.header("www-authenticate") == "Bearer");
    CHECK(Get(daemon.port(), closed, "Authorization: Bearer wrong\r\n").status == 401);
    CHECK(Get(daemon.port(), closed, "Authorization: Bearer secret\r\n").status == 200);
  }
  CHECK(Post(daemon.port(), "/v1/completions", "{}").status == 401);
  keys.Write("other\n");
  REQUIRE(daemon.server->Reload().ok());
  CHECK(Get(daemon.port(), "/version", "Authorization: Bearer secret\r\n").status == 401);
  CHECK(Get(daemon.port(), "/version", "Authorization: Bearer other\r\n").status == 200);
}

TEST_CASE("Metrics can be left open", "[routes]") {
  const TempFile keys("secret\n");
  ServerOptions options = TestOptions();
  options.api_key_file = keys.path;
  options.metrics_open = true;
  const TestDaemon daemon(options);
  CHECK(Get(daemon.port(), "/metrics").status == 200);
  CHECK(Get(daemon.port(), "/version").status == 401);
}

TEST_CASE("Browsers of allowed origins may ask", "[routes]") {
  ServerOptions options = TestOptions();
  options.allowed_origins = {"https://a.example"};
  const TestDaemon daemon(options);
  HttpClient client(daemon.port());
  client.Send(FormatRequest("OPTIONS", "/v1/chat/completions", "", "Origin: https://a.example\r\n"));
  const HttpReply preflight = client.Read();
  CHECK(preflight.status == 204);
  CHECK(preflight.header("access-control-allow-origin") == "https://a.example");
  CHECK(preflight.header("access-control-allow-headers").find("authorization") != std::string::npos);
  CHECK(
      Get(daemon.port(), "/health", "Origin: https://a.example\r\n").header("access-control-allow-origin") ==
      "https://a.example");
  CHECK(Get(daemon.port(), "/health", "Origin: https://b.example\r\n")
            .header("access-control-allow-origin")
            .empty());
}

}  // namespace reprise
