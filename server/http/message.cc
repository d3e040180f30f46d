#include "server/http/message.h"

#include <charconv>

namespace reprise {

std::string_view HttpReason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

std::string FormatHead(const HttpResponse& response, BodyFraming framing, bool keep_alive) {
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " ";
  head += HttpReason(response.status);
  head += "\r\n";
  const auto add = [&head](std::string_view name, std::string_view value) {
    head.append(name).append(": ").append(value).append("\r\n");
  };
  if (framing != BodyFraming::kNone) add("Content-Type", response.content_type);
  if (framing == BodyFraming::kLength) add("Content-Length", std::to_string(response.body.size()));
  if (framing == BodyFraming::kChunked) add("Transfer-Encoding", "chunked");
  if (!keep_alive) add("Connection", "close");
  for (const auto& [name, value] : response.headers) add(name, value);
  head += "\r\n";
  return head;
}

void AppendChunk(std::string_view data, std::string* out) {
  if (data.empty()) return;  // an empty chunk would end the body
  char size[16];
  const auto [end, error] = std::to_chars(size, size + sizeof(size), data.size(), 16);
  out->append(size, error == std::errc() ? end : size);
  out->append("\r\n").append(data).append("\r\n");
}

}  // namespace reprise
