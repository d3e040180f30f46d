#include "scheduler/request.h"

#include "base/check.h"

namespace reprise {

std::string_view DecodingMethodName(DecodingMethod method) {
  switch (method) {
    case DecodingMethod::kAuto:
      return "auto";
    case DecodingMethod::kPlain:
      return "plain";
    case DecodingMethod::kRecycle:
      return "recycle";
    case DecodingMethod::kSpeculative:
      return "speculative";
  }
  REPRISE_CHECK(false);
}

std::string_view ProposerName(ProposerKind kind) {
  switch (kind) {
    case ProposerKind::kRecycle:
      return "recycle";
    case ProposerKind::kDraftModel:
      return "draft_model";
    case ProposerKind::kPromptLookup:
      return "prompt_lookup";
  }
  REPRISE_CHECK(false);
}

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone:
      return "none";
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kAbort:
      return "abort";
    case FinishReason::kTimeout:
      return "timeout";
    case FinishReason::kError:
      return "error";
  }
  REPRISE_CHECK(false);
}

}  // namespace reprise
