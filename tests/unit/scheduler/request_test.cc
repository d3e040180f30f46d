#include "scheduler/request.h"

#include <catch2/catch.hpp>

namespace reprise {

TEST_CASE("Decoding methods and finish reasons have the names that clients see", "[scheduler]") {
  CHECK(DecodingMethodName(DecodingMethod::kAuto) == "auto");
  CHECK(DecodingMethodName(DecodingMethod::kPlain) == "plain");
  CHECK(DecodingMethodName(DecodingMethod::kRecycle) == "recycle");
  CHECK(DecodingMethodName(DecodingMethod::kSpeculative) == "speculative");
  CHECK(FinishReasonName(FinishReason::kStop) == "stop");
  CHECK(FinishReasonName(FinishReason::kLength) == "length");
  CHECK(FinishReasonName(FinishReason::kAbort) == "abort");
  CHECK(FinishReasonName(FinishReason::kTimeout) == "timeout");
  CHECK(FinishReasonName(FinishReason::kError) == "error");
}

}  // namespace reprise
