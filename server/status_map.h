// The one table from our status codes to HTTP and gRPC.
#pragma once

#include <string_view>

#include "base/status.h"

namespace reprise {

struct StatusMapping {
  StatusCode code;
  int http_status;
  int grpc_code;                // numeric value of grpc::StatusCode
  std::string_view error_type;  // "type" of OpenAI's error object
  std::string_view error_code;  // "code" of OpenAI's error object
  bool retry;                   // carry a hint when to come back
};

const StatusMapping& MapStatus(StatusCode code);

}  // namespace reprise
