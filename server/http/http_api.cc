#include "server/http/http_api.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string_view>
#include <utility>

#include "server/http/error_response.h"
#include "server/http/generate_handler.h"
#include "server/http/openai_request.h"
#include "server/json_writer.h"
#include "server/version.h"

namespace reprise {
namespace {

constexpr std::string_view kModelPrefix = "/v1/models/";

HttpResponse JsonResponse(std::string body, int status = 200) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

void AppendStrings(const std::vector<std::string>& strings, std::string* out) {
  *out += '[';
  for (std::size_t i = 0; i < strings.size(); ++i) {
    if (i > 0) *out += ',';
    AppendJsonString(strings[i], out);
  }
  *out += ']';
}

std::string FormatCard(const ModelCard& card) {
  std::string out = "{\"id\":";
  AppendJsonString(card.id, &out);
  out += ",\"object\":\"model\",\"created\":";
  AppendJsonNumber(card.created, &out);
  out += ",\"owned_by\":\"reprise\",\"root\":";
  AppendJsonString(card.id, &out);
  out += ",\"max_model_len\":";
  AppendJsonNumber(card.max_model_len, &out);
  out += ",\"decoding_methods\":";
  AppendStrings(card.decoding_methods, &out);
  out += ",\"proposers\":";
  AppendStrings(card.proposers, &out);
  return out + "}";
}

std::string FormatTokens(const TokenizeReply& reply, bool with_strings) {
  std::string out = "{\"count\":";
  AppendJsonNumber(static_cast<std::int64_t>(reply.tokens.size()), &out);
  out += ",\"max_model_len\":";
  AppendJsonNumber(reply.max_model_len, &out);
  out += ",\"tokens\":[";
  for (std::size_t i = 0; i < reply.tokens.size(); ++i) {
    if (i > 0) out += ',';
    AppendJsonNumber(reply.tokens[i], &out);
  }
  out += "],\"token_strs\":";
  if (!with_strings) return out + "null}";
  AppendStrings(reply.token_strs, &out);
  return out + "}";
}

// "a%2Fb" is "a/b"; what is no escape stays.
std::string PercentDecode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, code, 16).ptr == digits + 2) {
      out += static_cast<char>(code);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// "application/json", with or without parameters, in any case.
bool IsJson(std::string_view content_type) {
  constexpr std::string_view kJson = "application/json";
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  const std::size_t end = type.find_last_not_of(" \t");
  const std::string_view trimmed = type.substr(0, end == std::string_view::npos ? 0 : end + 1);
  return std::equal(trimmed.begin(), trimmed.end(), kJson.begin(), kJson.end(), [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
}

}  // namespace

struct HttpApi::Route {
  enum class Access { kOpen, kKey, kMetrics };

  std::string_view path;
  bool post = false;  // else GET and HEAD
  Access access = Access::kKey;
  void (HttpApi::*handle)(std::shared_ptr<Exchange>);

  std::string_view allowed() const { return post ? "POST, OPTIONS" : "GET, HEAD, OPTIONS"; }
};

const HttpApi::Route* HttpApi::FindRoute(const std::string& path) {
  using Access = Route::Access;
  static constexpr Route kRoutes[] = {
      {"/v1/completions", true, Access::kKey, &HttpApi::Complete},
      {"/v1/chat/completions", true, Access::kKey, &HttpApi::Chat},
      {"/v1/models", false, Access::kKey, &HttpApi::ListModels},
      {"/tokenize", true, Access::kKey, &HttpApi::Tokenize},
      {"/detokenize", true, Access::kKey, &HttpApi::Detokenize},
      {"/health", false, Access::kOpen, &HttpApi::Health},
      {"/ready", false, Access::kOpen, &HttpApi::Ready},
      {"/live", false, Access::kOpen, &HttpApi::Live},
      {"/version", false, Access::kKey, &HttpApi::Version},
      {"/metrics", false, Access::kMetrics, &HttpApi::MetricsText},
  };
  const bool one_model = path.starts_with(kModelPrefix) && path.size() > kModelPrefix.size();
  const std::string_view wanted = one_model ? "/v1/models" : std::string_view(path);
  const auto found =
      std::find_if(std::begin(kRoutes), std::end(kRoutes), [&](const Route& r) { return r.path == wanted; });
  return found == std::end(kRoutes) ? nullptr : found;
}

void HttpApi::Handle(std::shared_ptr<Exchange> exchange) {
  const HttpRequest& request = exchange->request();
  AllowOrigin(exchange.get());
  const Route* route = FindRoute(request.path);
  if (route == nullptr) {
    return exchange->Reply(ProtocolError(404, "there is no route '" + request.path.substr(0, 200) + "'"));
  }
  if (request.method == "OPTIONS") {
    HttpResponse response;
    response.status = 204;
    response.headers.emplace_back("Allow", route->allowed());
    return exchange->Reply(std::move(response));
  }
  const bool allowed =
      route->post ? request.method == "POST" : request.method == "GET" || request.method == "HEAD";
  if (!allowed) {
    HttpResponse response = ProtocolError(
        405, "'" + request.path + "' takes " + std::string(route->allowed()) + ", not " + request.method);
    response.headers.emplace_back("Allow", route->allowed());
    return exchange->Reply(std::move(response));
  }
  if (Status status = CheckKey(*exchange, *route); !status.ok()) return exchange->Reply(Error(status));
  if (route->post && !CheckBody(exchange.get())) return;
  (this->*route->handle)(std::move(exchange));
}

// Cross-origin requests of browsers (CORS).
void HttpApi::AllowOrigin(Exchange* exchange) const {
  const HttpRequest& request = exchange->request();
  const std::vector<std::string>& origins = service_.options().allowed_origins;
  if (request.origin.empty() || origins.empty()) return;
  const bool any = std::find(origins.begin(), origins.end(), "*") != origins.end();
  if (!any && std::find(origins.begin(), origins.end(), request.origin) == origins.end()) return;
  HttpHeaders& headers = exchange->reply_headers();
  headers.emplace_back("Access-Control-Allow-Origin", any ? "*" : request.origin);
  headers.emplace_back("Access-Control-Expose-Headers", "x-request-id, retry-after");
  if (!any) headers.emplace_back("Vary", "Origin");
  if (request.method != "OPTIONS") return;
  headers.emplace_back("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS");
  headers.emplace_back("Access-Control-Allow-Headers", "authorization, content-type, x-request-id");
  headers.emplace_back("Access-Control-Max-Age", "600");
}

Status HttpApi::CheckKey(const Exchange& exchange, const Route& route) const {
  if (route.access == Route::Access::kOpen) return OkStatus();
  if (route.access == Route::Access::kMetrics && service_.options().metrics_open) return OkStatus();
  return keys_.Check(exchange.request().authorization);
}

bool HttpApi::CheckBody(Exchange* exchange) const {
  const HttpRequest& request = exchange->request();
  if (!request.has_body_length) {
    exchange->Reply(ProtocolError(411, "a request body with Content-Length or chunks is needed"));
  } else if (!request.content_type.empty() && !IsJson(request.content_type)) {
    exchange->Reply(ProtocolError(
        415, "the content type must be application/json, not '" + request.content_type.substr(0, 100) + "'"));
  } else if (!request.content_encoding.empty() && request.content_encoding != "identity") {
    exchange->Reply(ProtocolError(415, "compressed request bodies are not supported"));
  } else {
    return true;
  }
  return false;
}

HttpResponse HttpApi::Error(const Status& status) const {
  return ErrorResponse(status, service_.options().retry_after_seconds);
}

void HttpApi::Complete(std::shared_ptr<Exchange> exchange) {
  HandleGenerate(ReplyKind::kCompletion, &service_, &server_, std::move(exchange));
}

void HttpApi::Chat(std::shared_ptr<Exchange> exchange) {
  HandleGenerate(ReplyKind::kChat, &service_, &server_, std::move(exchange));
}

void HttpApi::Tokenize(std::shared_ptr<Exchange> exchange) {
  RunBodyWork(&server_, std::move(exchange), [this](const std::string& body) -> HttpResponse {
    const Result<TokenizeRequest> request = ParseTokenize(body);
    if (!request.ok()) return Error(request.status());
    const Result<TokenizeReply> reply = service_.Tokenize(*request);
    if (!reply.ok()) return Error(reply.status());
    return JsonResponse(FormatTokens(*reply, request->return_token_strs));
  });
}

void HttpApi::Detokenize(std::shared_ptr<Exchange> exchange) {
  RunBodyWork(&server_, std::move(exchange), [this](const std::string& body) -> HttpResponse {
    const Result<DetokenizeRequest> request = ParseDetokenize(body);
    if (!request.ok()) return Error(request.status());
    const Result<std::string> text = service_.Detokenize(*request);
    if (!text.ok()) return Error(text.status());
    std::string out = "{\"prompt\":";
    AppendJsonString(*text, &out);
    return JsonResponse(out + "}");
  });
}

void HttpApi::ListModels(std::shared_ptr<Exchange> exchange) {
  const Result<ModelCard> card = service_.Card();
  if (!card.ok()) return exchange->Reply(Error(card.status()));
  const std::string& path = exchange->request().path;
  if (!path.starts_with(kModelPrefix)) {
    return exchange->Reply(JsonResponse("{\"object\":\"list\",\"data\":[" + FormatCard(*card) + "]}"));
  }
  const std::string name = PercentDecode(std::string_view(path).substr(kModelPrefix.size()));
  if (name == card->id) return exchange->Reply(JsonResponse(FormatCard(*card)));
  exchange->Reply(Error(
      NotFound("the model '" + name + "' is not served here; this server has '" + card->id + "'", "model")));
}

void HttpApi::Health(std::shared_ptr<Exchange> exchange) {
  const Status status = service_.lifecycle().Health();
  exchange->Reply(status.ok() ? JsonResponse("{\"status\":\"ok\"}") : Error(status));
}

void HttpApi::Ready(std::shared_ptr<Exchange> exchange) {
  const Status status = service_.lifecycle().Admit();
  exchange->Reply(status.ok() ? JsonResponse("{\"status\":\"ready\"}") : Error(status));
}

void HttpApi::Live(std::shared_ptr<Exchange> exchange) {
  exchange->Reply(JsonResponse("{\"status\":\"live\"}"));
}

void HttpApi::Version(std::shared_ptr<Exchange> exchange) {
  exchange->Reply(JsonResponse(std::string("{\"version\":\"") + kServerVersion + "\"}"));
}

void HttpApi::MetricsText(std::shared_ptr<Exchange> exchange) {
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = service_.metrics().Text();
  exchange->Reply(std::move(response));
}

}  // namespace reprise
