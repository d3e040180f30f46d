#include "server/grpc/call_context.h"

#include <algorithm>
#include <string_view>

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

Status OpenCall(grpc::CallbackServerContext* context, const ApiKeys& keys, std::string* request_id) {
  *request_id = ChooseRequestId(FindMetadata(*context, "x-request-id"));
  context->AddInitialMetadata("x-request-id", *request_id);
  return keys.Check(FindMetadata(*context, "authorization"));
}

grpc::Status CloseCall(grpc::CallbackServerContext* context, const Status& status, int retry_after_seconds) {
  if (status.ok()) return grpc::Status::OK;
  const StatusMapping& mapping = MapStatus(status.code());
  if (!status.param().empty()) context->AddTrailingMetadata("error-param", Printable(status.param()));
  if (mapping.retry) {
    const std::string milliseconds = std::to_string(1000 * retry_after_seconds);
    context->AddTrailingMetadata("retry-after-ms", milliseconds);
    context->AddTrailingMetadata("grpc-retry-pushback-ms", milliseconds);
  }
  return {static_cast<grpc::StatusCode>(mapping.grpc_code), status.message()};
}

}  // namespace reprise
