// How a sequence is decoded in one step, and why.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "scheduler/request.h"

namespace reprise {

enum class RouteReason : std::uint8_t {
  kRequested,       // the request names the method
  kGoodput,         // it is expected to be fastest
  kExploration,     // to learn whether it would be
  kNothingToDraft,  // plain: no proposer has anything to say now, such as a look-up without a match
  kPrompt,          // plain: the pass over the prompt's end, which gives the first token
  kNoBudget,        // plain: the step has no tokens, rows or blocks left, or the request no tokens to come
};
inline constexpr int kNumRouteReasons = 6;
std::string_view RouteReasonName(RouteReason reason);  // "requested", "goodput", "exploration", ...

struct Route {
  std::optional<ProposerKind> proposer;  // unset: plain
  int num_tokens = 0;                    // to draft
  RouteReason reason = RouteReason::kGoodput;
};

}  // namespace reprise
