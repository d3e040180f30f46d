// Completions and chats over HTTP: admission, then a stream of events or one reply.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "server/http/exchange.h"
#include "server/http/http_server.h"
#include "server/http/openai_format.h"
#include "server/service.h"

namespace reprise {

// Network thread. Answers `exchange` when the engine has; cancels the call when the client goes away.
void HandleGenerate(ReplyKind kind, Service* service, HttpServer* server, std::shared_ptr<Exchange> exchange);

// Answers with what `work` makes of the body: on this thread when the body is small, else on the worker, so
// that a book to tokenise does not hold up everybody's streams.
void RunBodyWork(HttpServer* server, std::shared_ptr<Exchange> exchange,
                 std::function<HttpResponse(const std::string& body)> work);

}  // namespace reprise
