#include "server/http/error_response.h"

#include "base/utf8.h"
#include "server/json_writer.h"
#include "server/status_map.h"

namespace reprise {
namespace {

std::string FormatError(std::string_view message, std::string_view type, std::string_view param,
                        std::string_view code) {
  std::string body = "{\"error\":{\"message\":";
  AppendJsonString(SanitizeUtf8(message), &body);  // it may quote what the client sent
  body += ",\"type\":";
  AppendJsonString(type, &body);
  body += ",\"param\":";
  if (param.empty()) {
    body += "null";
  } else {
    AppendJsonString(param, &body);
  }
  body += ",\"code\":";
  AppendJsonString(code, &body);
  body += "}}";
  return body;
}

std::string_view ProtocolErrorCode(int http_status) {
  switch (http_status) {
    case 404:
      return "not_found";
    case 405:
      return "method_not_allowed";
    case 408:
      return "request_timeout";
    case 411:
      return "length_required";
    case 413:
      return "body_too_large";
    case 415:
      return "unsupported_media_type";
    case 431:
      return "header_too_large";
    case 503:
      return "too_many_connections";
    default:
      return "bad_request";
  }
}

}  // namespace

std::string ErrorBody(const Status& status) {
  const StatusMapping& mapping = MapStatus(status.code());
  return FormatError(status.message(), mapping.error_type, status.param(), mapping.error_code);
}

HttpResponse ErrorResponse(const Status& status, int retry_after_seconds) {
  const StatusMapping& mapping = MapStatus(status.code());
  HttpResponse response;
  response.status = mapping.http_status;
  response.body = ErrorBody(status);
  if (mapping.retry) response.headers.emplace_back("Retry-After", std::to_string(retry_after_seconds));
  if (response.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

HttpResponse ProtocolError(int http_status, std::string_view message) {
  HttpResponse response;
  response.status = http_status;
  const std::string_view type = http_status == 503 ? "unavailable_error" : "invalid_request_error";
  response.body = FormatError(message, type, "", ProtocolErrorCode(http_status));
  return response;
}

}  // namespace reprise
