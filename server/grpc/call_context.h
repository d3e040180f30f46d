// What every gRPC method does around its own work: keys, request ids, one line in the log, and how our errors
// become gRPC's.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <string>

#include "base/status.h"
#include "scheduler/request.h"
#include "server/api_keys.h"

namespace reprise {

class CallContext {
 public:
  // `method` must live for ever; `context` until Close.
  CallContext(const char* method, grpc::CallbackServerContext* context, int retry_after_seconds);

  // Checks the caller's key and sends x-request-id back.
  Status Open(const ApiKeys& keys);
  // The call has ended: logs it, and adds the trailing metadata that belongs to an error. Once.
  grpc::Status Close(const Status& status);

  const std::string& request_id() const { return request_id_; }

 private:
  const char* method_;
  grpc::CallbackServerContext* context_;
  int retry_after_seconds_;
  TimePoint start_ = Clock::now();
  std::string request_id_;
};

}  // namespace reprise
