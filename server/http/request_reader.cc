#include "server/http/request_reader.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <utility>

#include "base/text.h"
#include "base/utf8.h"

namespace reprise {
namespace {

namespace http = boost::beast::http;

// Headers may have any byte; what we keep of them is UTF-8.
std::string ToString(boost::beast::string_view text) {
  return SanitizeUtf8({text.data(), text.size()});
}

}  // namespace

struct RequestReader::Parser {
  http::request_parser<http::string_body> beast;
};

RequestReader::RequestReader(const HttpLimits& limits) : limits_(limits) {
  Reset();
}
RequestReader::~RequestReader() = default;

void RequestReader::Reset() {
  parser_ = std::make_unique<Parser>();
  parser_->beast.eager(true);
  parser_->beast.header_limit(static_cast<std::uint32_t>(limits_.max_header_bytes));
  parser_->beast.body_limit(limits_.max_body_bytes);
  started_ = false;
  header_checked_ = false;
  sent_continue_ = false;
}

bool RequestReader::has_header() const {
  return parser_->beast.is_header_done();
}

RequestReader::Outcome RequestReader::Fail(int status, std::string message) {
  error_status_ = status;
  error_message_ = std::move(message);
  return Outcome::kError;
}

bool RequestReader::CheckHeader() {
  header_checked_ = true;
  const auto& header = parser_->beast.get();
  if (header.version() != 10 && header.version() != 11) {
    Fail(505, "only HTTP/1.0 and HTTP/1.1 are served here");
  } else if (header.version() == 11 && header.find(http::field::host) == header.end()) {
    Fail(400, "an HTTP/1.1 request needs a Host header");
  } else if (header.find(http::field::transfer_encoding) != header.end() && !parser_->beast.chunked()) {
    Fail(400, "the only transfer encoding taken here is chunked");
  } else {
    return true;
  }
  return false;
}

RequestReader::Outcome RequestReader::Feed(std::string* input) {
  auto& parser = parser_->beast;
  // Empty lines before a request are to be ignored (RFC 9112, 2.2).
  if (!started_) input->erase(0, std::min(input->find_first_not_of("\r\n"), input->size()));
  while (!input->empty() && !parser.is_done()) {
    started_ = true;
    boost::beast::error_code error;
    const std::size_t used = parser.put(boost::asio::buffer(*input), error);
    input->erase(0, used);
    if (parser.is_header_done() && !header_checked_ && !CheckHeader()) return Outcome::kError;
    if (error == http::error::need_more) break;
    if (error == http::error::header_limit) {
      return Fail(431, "the request header is larger than " + FormatBytes(limits_.max_header_bytes));
    }
    if (error == http::error::body_limit) {
      return Fail(413, "the request body is larger than " + FormatBytes(limits_.max_body_bytes));
    }
    if (error == http::error::bad_version) return Fail(505, "only HTTP/1.0 and HTTP/1.1 are served here");
    if (error) return Fail(400, "not an HTTP request: " + error.message());
    if (used == 0) break;
  }
  if (parser.is_done()) return Outcome::kComplete;
  if (parser.is_header_done() && !sent_continue_ && input->empty()) {
    const auto& header = parser.get();
    sent_continue_ = true;
    if (header.version() == 11 && boost::beast::iequals(header[http::field::expect], "100-continue")) {
      return Outcome::kExpectContinue;
    }
  }
  return Outcome::kNeedMore;
}

HttpRequest RequestReader::Take() {
  auto& parser = parser_->beast;
  auto message = parser.release();
  HttpRequest request;
  request.method = ToString(message.method_string());
  const std::string target = ToString(message.target());
  request.path = target.substr(0, target.find('?'));
  request.version = static_cast<int>(message.version());
  request.keep_alive = message.keep_alive();
  request.content_type = ToString(message[http::field::content_type]);
  request.content_encoding = ToString(message[http::field::content_encoding]);
  request.authorization = ToString(message[http::field::authorization]);
  request.origin = ToString(message[http::field::origin]);
  request.request_id = ToString(message["x-request-id"]);
  request.has_body_length = message.chunked() || message.find(http::field::content_length) != message.end();
  request.body = std::move(message.body());
  Reset();
  return request;
}

}  // namespace reprise
