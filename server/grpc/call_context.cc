#include "server/grpc/call_context.h"

#include <algorithm>
#include <chrono>
#include <string_view>

#include "base/log.h"
#include "server/request_id.h"
#include "server/status_map.h"

namespace reprise {
namespace {

std::string_view FindMetadata(const grpc::CallbackServerContext& context, const char* name) {
  const auto found = context.client_metadata().find(name);
  if (found == context.client_metadata().end()) return {};
  return {found->second.data(), found->second.size()};
}

// Metadata is ASCII.
std::string Printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7E; }, '?');
  return text;
}

}  // namespace

CallContext::CallContext(const char* method, grpc::CallbackServerContext* context, int retry_after_seconds)
    : method_(method),
      context_(context),
      retry_after_seconds_(retry_after_seconds),
      request_id_(ChooseRequestId(FindMetadata(*context, "x-request-id"))) {}

Status CallContext::Open(const ApiKeys& keys) {
  context_->AddInitialMetadata("x-request-id", request_id_);
  return keys.Check(FindMetadata(*context_, "authorization"));
}

grpc::Status CallContext::Close(const Status& status) {
  LogInfo("grpc request", {{"method", method_},
                           {"status", StatusCodeName(status.code())},
                           {"seconds", std::chrono::duration<double>(Clock::now() - start_).count()},
                           {"request_id", request_id_}});
  if (status.ok()) return grpc::Status::OK;
  const StatusMapping& mapping = MapStatus(status.code());
  if (!status.param().empty()) context_->AddTrailingMetadata("error-param", Printable(status.param()));
  if (mapping.retry) {
    const std::string milliseconds = std::to_string(1000 * retry_after_seconds_);
    context_->AddTrailingMetadata("retry-after-ms", milliseconds);
    context_->AddTrailingMetadata("grpc-retry-pushback-ms", milliseconds);
  }
  return {static_cast<grpc::StatusCode>(mapping.grpc_code), status.message()};
}

}  // namespace reprise
