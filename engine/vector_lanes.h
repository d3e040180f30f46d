// How a pass over a vocabulary row reads it: eight at a time, as vectors that every instruction set has (GCC
// splits them where it must). For the .cc files of engine/ only.
#pragma once

#include <cstddef>
#include <cstdint>

// A pass is compiled once per instruction set and chosen when the program starts. Lanes and order are fixed
// and nothing is contracted (-ffp-contract=off), so all give the same bits.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define REPRISE_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define REPRISE_VECTOR_CLONES  // the resolvers run before a sanitizer's runtime is up
#endif

namespace reprise {

inline constexpr std::size_t kLanes = 8;

using Floats = float __attribute__((vector_size(kLanes * sizeof(float))));
using Ints = std::int32_t __attribute__((vector_size(kLanes * sizeof(std::int32_t))));
using Doubles = double __attribute__((vector_size(kLanes * sizeof(double))));
using Words = std::uint64_t __attribute__((vector_size(kLanes * sizeof(std::uint64_t))));

// Vectors go by pointer: how they are passed by value depends on the instruction set.
template <typename Vector, typename Element>
[[gnu::always_inline]] inline void Load(const Element* from, Vector* to) {
  __builtin_memcpy(to, from, sizeof(Vector));
}

// Whether a comparison holds in any lane.
[[gnu::always_inline]] inline bool Any(const Ints* mask) {
  std::uint64_t halves[kLanes / 2];
  __builtin_memcpy(halves, mask, sizeof(halves));
  return (halves[0] | halves[1] | halves[2] | halves[3]) != 0;
}

}  // namespace reprise
