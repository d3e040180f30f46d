#include "server/status_map.h"

#include <iterator>

namespace reprise {
namespace {

// The last entry is what codes without a row of their own become.
constexpr StatusMapping kTable[] = {
    {StatusCode::kOk, 200, 0, "", "", false},
    {StatusCode::kCancelled, 499, 1, "cancelled_error", "cancelled", false},
    {StatusCode::kInvalidArgument, 400, 3, "invalid_request_error", "invalid_value", false},
    {StatusCode::kOutOfRange, 400, 3, "invalid_request_error", "context_length_exceeded", false},
    {StatusCode::kUnimplemented, 400, 3, "invalid_request_error", "unsupported", false},
    {StatusCode::kFailedPrecondition, 400, 9, "invalid_request_error", "failed_precondition", false},
    {StatusCode::kUnauthenticated, 401, 16, "authentication_error", "invalid_api_key", false},
    {StatusCode::kNotFound, 404, 5, "invalid_request_error", "not_found", false},
    {StatusCode::kDeadlineExceeded, 408, 4, "timeout_error", "timeout", false},
    {StatusCode::kResourceExhausted, 429, 8, "rate_limit_error", "queue_full", true},
    {StatusCode::kUnavailable, 503, 14, "unavailable_error", "unavailable", true},
    {StatusCode::kDataLoss, 500, 13, "server_error", "internal_error", false},
    {StatusCode::kInternal, 500, 13, "server_error", "internal_error", false},
};

}  // namespace

const StatusMapping& MapStatus(StatusCode code) {
  for (const StatusMapping& row : kTable) {
    if (row.code == code) return row;
  }
  return kTable[std::size(kTable) - 1];
}

}  // namespace reprise
