// Thousands of damaged requests: each is either understood or refused with words fit to print, and never
// stops the reader from being used for the next connection.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "server/http/error_response.h"
#include "server/http/openai_request.h"
#include "server/http/request_reader.h"

namespace reprise {
namespace {

constexpr char kChatBody[] =
    R"({"model":"m","messages":[{"role":"system","content":"é"},{"role":"user","content":[{"type":"text",)"
    R"("text":"hi"}]}],"max_tokens":5,"stream":true,"stream_options":{"include_usage":true},"stop":["a","b"],)"
    R"("logit_bias":{"5":-1.5},"decoding":{"method":"auto","lenience":1},"chat_template_kwargs":{"x":[1,null]}})";

std::string Mutate(std::string text, std::mt19937& random) {
  const std::size_t count = 1 + random() % 4;
  for (std::size_t i = 0; i < count && !text.empty(); ++i) {
    const std::size_t at = random() % text.size();
    const std::size_t length = 1 + random() % 8;
    switch (random() % 5) {
      case 0:
        text[at] = static_cast<char>(random() % 256);
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, text.substr(random() % text.size(), length));
        break;
      case 3:
        text.insert(at, length, "{}[]\",:\r\n0e-\\"[random() % 13]);
        break;
      default:
        text.resize(at);
        break;
    }
  }
  return text;
}

void CheckPrintable(const Status& status) {
  const nlohmann::json error = nlohmann::json::parse(ErrorBody(status));
  CHECK_FALSE(error["error"]["message"].get<std::string>().empty());
}

}  // namespace

TEST_CASE("Damaged bodies are parsed or refused", "[http]") {
  std::mt19937 random(3);
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    const std::string body = Mutate(kChatBody, random);
    const auto chat = ParseChat(body);
    const auto completion = ParseCompletion(body);
    if (!chat.ok()) CheckPrintable(chat.status());
    if (!completion.ok()) CheckPrintable(completion.status());
    refused += !chat.ok();
  }
  CHECK(refused > 10000);
  CHECK(ParseChat(kChatBody).ok());
}

TEST_CASE("Damaged requests are read or refused, in pieces of any size", "[http]") {
  std::mt19937 random(5);
  HttpLimits limits;
  limits.max_header_bytes = 1024;
  limits.max_body_bytes = 4096;
  const std::string body = kChatBody;
  const std::vector<std::string> requests = {
      "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " +
          std::to_string(body.size()) + "\r\n\r\n" + body,
      "POST /tokenize HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
      "chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\nyou\r\n0\r\n\r\n",
      "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Request-Id: \xC3\xA9\r\n\r\nGET /live HTTP/1.0\r\n\r\n"};
  for (int round = 0; round < 20000; ++round) {
    const std::string text = Mutate(requests[random() % requests.size()], random);
    RequestReader reader(limits);
    std::string input;
    auto outcome = RequestReader::Outcome::kNeedMore;
    for (std::size_t at = 0; at < text.size() && outcome != RequestReader::Outcome::kError;) {
      const std::size_t step = 1 + random() % 200;
      input += text.substr(at, step);
      at += step;
      outcome = reader.Feed(&input);
      if (outcome != RequestReader::Outcome::kComplete) continue;
      const HttpRequest request = reader.Take();
      CHECK(FindInvalidUtf8(request.path + request.request_id + request.content_type) == std::string::npos);
      CHECK(request.body.size() <= limits.max_body_bytes);
    }
    if (outcome == RequestReader::Outcome::kError) {
      CHECK(reader.error_status() >= 400);
      CHECK_FALSE(reader.error_message().empty());
    }
  }
}

}  // namespace reprise
