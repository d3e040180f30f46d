// What every gRPC method does around its own work: keys, request ids, and how our errors become gRPC's.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <string>

#include "base/status.h"
#include "server/api_keys.h"

namespace reprise {

// Checks the caller's key, and sends x-request-id back. Returns the request's id in `request_id`.
Status OpenCall(grpc::CallbackServerContext* context, const ApiKeys& keys, std::string* request_id);

// With the trailing metadata that belongs to the error: error-param, and when to retry.
grpc::Status CloseCall(grpc::CallbackServerContext* context, const Status& status, int retry_after_seconds);

}  // namespace reprise
