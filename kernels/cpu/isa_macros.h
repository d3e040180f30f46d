// For the per-ISA translation units only.
#pragma once

#define REPRISE_INLINE static inline __attribute__((always_inline))
#define REPRISE_UNROLL _Pragma("GCC unroll 16")
