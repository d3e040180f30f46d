#include "server/http/request_reader.h"

#include <catch2/catch.hpp>
#include <string>

namespace reprise {
namespace {

using Outcome = RequestReader::Outcome;

HttpLimits SmallLimits() {
  HttpLimits limits;
  limits.max_header_bytes = 512;
  limits.max_body_bytes = 100;
  return limits;
}

int ErrorOf(std::string input) {
  RequestReader reader(SmallLimits());
  REQUIRE(reader.Feed(&input) == Outcome::kError);
  CHECK_FALSE(reader.error_message().empty());
  return reader.error_status();
}

}  // namespace

TEST_CASE("A request arrives whole, however it is cut", "[http]") {
  const std::string text =
      "POST /v1/completions?x=1 HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nX-Request-Id: r1\r\n"
      "Authorization: Bearer k\r\nOrigin: o\r\nContent-Length: 5\r\n\r\nhello";
  for (std::size_t step = 1; step <= text.size(); ++step) {
    RequestReader reader(SmallLimits());
    std::string input;
    Outcome outcome = Outcome::kNeedMore;
    for (std::size_t at = 0; at < text.size(); at += step) {
      REQUIRE(outcome == Outcome::kNeedMore);
      input += text.substr(at, step);
      outcome = reader.Feed(&input);
    }
    REQUIRE(outcome == Outcome::kComplete);
    const HttpRequest request = reader.Take();
    CHECK(request.method == "POST");
    CHECK(request.path == "/v1/completions");
    CHECK(request.content_type == "application/json");
    CHECK(request.request_id == "r1");
    CHECK(request.authorization == "Bearer k");
    CHECK(request.origin == "o");
    CHECK(request.keep_alive);
    CHECK(request.has_body_length);
    CHECK(request.body == "hello");
  }
}

TEST_CASE("What follows a request stays in the input", "[http]") {
  RequestReader reader(SmallLimits());
  std::string input =
      "\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  REQUIRE(reader.Feed(&input) == Outcome::kComplete);
  CHECK(reader.Take().path == "/a");
  CHECK_FALSE(reader.started());
  REQUIRE(reader.Feed(&input) == Outcome::kComplete);
  const HttpRequest second = reader.Take();
  CHECK(second.path == "/b");
  CHECK_FALSE(second.keep_alive);
  CHECK_FALSE(second.has_body_length);
  CHECK(input.empty());
}

TEST_CASE("Chunked bodies are put together", "[http]") {
  const std::string text =
      "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n";
  for (std::size_t step : {std::size_t{1}, std::size_t{7}, text.size()}) {
    RequestReader reader(SmallLimits());
    std::string input;
    Outcome outcome = Outcome::kNeedMore;
    for (std::size_t at = 0; at < text.size(); at += step) {
      input += text.substr(at, step);
      outcome = reader.Feed(&input);
    }
    REQUIRE(outcome == Outcome::kComplete);
    CHECK(reader.Take().body == "abcdefg");
  }
}

TEST_CASE("A client that waits for 100 Continue is told once", "[http]") {
  RequestReader reader(SmallLimits());
  std::string input = "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
  CHECK(reader.Feed(&input) == Outcome::kExpectContinue);
  CHECK(reader.has_header());
  input = "a";
  CHECK(reader.Feed(&input) == Outcome::kNeedMore);
  input = "bc";
  CHECK(reader.Feed(&input) == Outcome::kComplete);
  CHECK(reader.Take().body == "abc");
}

TEST_CASE("Limits and mistakes have their status", "[http]") {
  CHECK(ErrorOf("GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(600, 'a') + "\r\n\r\n") == 431);
  CHECK(ErrorOf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n") == 413);
  CHECK(ErrorOf("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n80\r\n" +
                std::string(128, 'a') + "\r\n0\r\n\r\n") == 413);
  CHECK(ErrorOf("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9999\r\n\r\n") == 413);
  CHECK(ErrorOf("hello there\r\n\r\n") == 400);
  CHECK(ErrorOf("GET / HTTP/1.1\r\n\r\n") == 400);
  CHECK(ErrorOf("GET / HTTP/1.1\r\nHost: x\r\nbroken\r\n\r\n") == 400);
  CHECK(ErrorOf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n") ==
        400);
  CHECK(ErrorOf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n") == 400);
  CHECK(ErrorOf("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n") == 400);
  CHECK(ErrorOf("GET / HTTP/3.0\r\nHost: x\r\n\r\n") == 505);
}

}  // namespace reprise
