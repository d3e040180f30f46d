// Identifiers shared by every layer.
#pragma once

#include <cstdint>

namespace reprise {

using TokenId = std::int32_t;     // index into the base vocabulary
using BlockId = std::int32_t;     // physical KV block
using RequestId = std::uint64_t;  // one generation call; unique within a process

// The longest draft of one step.
inline constexpr int kMaxDraftTokens = 16;

}  // namespace reprise
