#include "engine/route.h"

#include "base/check.h"

namespace reprise {

std::string_view RouteReasonName(RouteReason reason) {
  switch (reason) {
    case RouteReason::kRequested:
      return "requested";
    case RouteReason::kGoodput:
      return "goodput";
    case RouteReason::kExploration:
      return "exploration";
    case RouteReason::kNothingToDraft:
      return "nothing_to_draft";
    case RouteReason::kPrompt:
      return "prompt";
    case RouteReason::kNoBudget:
      return "no_budget";
  }
  REPRISE_CHECK(false);
}

}  // namespace reprise
