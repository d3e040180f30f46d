// What keys and values are stored as in the paged cache.
#pragma once

#include <cstdint>

namespace reprise {

// kInt8: x ~ scale * q, a float scale for each token and head (kernels/kv_int8.h).
enum class KvType : std::uint8_t { kF32, kBF16, kInt8 };

}  // namespace reprise
