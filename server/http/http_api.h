// The HTTP interface: routes, and what stands before every one of them (keys, origins, body types).
#pragma once

#include <memory>
#include <string>

#include "server/api_keys.h"
#include "server/http/exchange.h"
#include "server/http/http_server.h"
#include "server/service.h"

namespace reprise {

// Network thread.
class HttpApi {
 public:
  // All outlive it.
  HttpApi(Service* service, HttpServer* server, const ApiKeys* keys)
      : service_(*service), server_(*server), keys_(*keys) {}

  // Answers `exchange`, now or when the engine has.
  void Handle(std::shared_ptr<Exchange> exchange);

 private:
  struct Route;
  static const Route* FindRoute(const std::string& path);

  void AllowOrigin(Exchange* exchange) const;
  Status CheckKey(const Exchange& exchange, const Route& route) const;
  bool CheckBody(Exchange* exchange) const;
  HttpResponse Error(const Status& status) const;

  void Complete(std::shared_ptr<Exchange> exchange);
  void Chat(std::shared_ptr<Exchange> exchange);
  void Tokenize(std::shared_ptr<Exchange> exchange);
  void Detokenize(std::shared_ptr<Exchange> exchange);
  void ListModels(std::shared_ptr<Exchange> exchange);
  void Health(std::shared_ptr<Exchange> exchange);
  void Ready(std::shared_ptr<Exchange> exchange);
  void Live(std::shared_ptr<Exchange> exchange);
  void Version(std::shared_ptr<Exchange> exchange);
  void MetricsText(std::shared_ptr<Exchange> exchange);

  Service& service_;
  HttpServer& server_;
  const ApiKeys& keys_;
};

}  // namespace reprise
