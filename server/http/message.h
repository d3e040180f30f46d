// HTTP messages as handlers see them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reprise {

struct HttpRequest {
  std::string method;
  std::string path;  // without the query
  int version = 11;  // 10 or 11
  bool keep_alive = true;
  std::string content_type;
  std::string content_encoding;
  std::string authorization;
  std::string origin;
  std::string request_id;        // as sent; empty: none
  bool has_body_length = false;  // Content-Length or chunked
  std::string body;
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  HttpHeaders headers;
  std::string body;
};

std::string_view HttpReason(int status);

enum class BodyFraming { kLength, kChunked, kUntilClose, kNone };

// Status line and headers, the empty line included. kLength writes Content-Length of the body, kNone neither
// (204).
std::string FormatHead(const HttpResponse& response, BodyFraming framing, bool keep_alive);

// One chunk of a chunked body.
void AppendChunk(std::string_view data, std::string* out);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace reprise
