// Errors as OpenAI's clients expect them.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "server/http/message.h"

namespace reprise {

// {"error": {"message", "type", "param", "code"}}
std::string ErrorBody(const Status& status);
// With Retry-After where a retry can help.
HttpResponse ErrorResponse(const Status& status, int retry_after_seconds);
// What HTTP itself objects to, and our codes do not name: 405, 411, 413, ...
HttpResponse ProtocolError(int http_status, std::string_view message);

}  // namespace reprise
