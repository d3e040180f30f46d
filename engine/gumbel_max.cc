#include "engine/gumbel_max.h"

#include <bit>
#include <limits>
#include <numeric>

#include "base/noise.h"
#include "engine/vector_lanes.h"

namespace reprise {
namespace {

// Largest noise there is: u = 1 - 2^-24.
constexpr float kMaxGumbel = 16.7f;

// An upper bound of GumbelNoise that costs no logarithm: -log u >= 1 - u, so g <= -log(1 - u), and -log2(1 -
// u) is at most minus the exponent of 1 - u. The margin covers rounding of the noise itself.
constexpr float kLog2 = 0.6931472f;
constexpr float kMargin = 1e-4f;

inline float GumbelBound(float u) {
  const int exponent = static_cast<int>(std::bit_cast<std::uint32_t>(1.0f - u) >> 23) - 127;
  return static_cast<float>(-exponent) * kLog2 + kMargin;
}

// MixBits of every lane.
[[gnu::always_inline]] inline void MixLanes(Words* x) {
  *x += 0x9e3779b97f4a7c15ull;
  *x = (*x ^ (*x >> 30)) * 0xbf58476d1ce4e5b9ull;
  *x = (*x ^ (*x >> 27)) * 0x94d049bb133111ebull;
  *x ^= *x >> 31;
}

// GumbelBound(UniformNoise(stream, token)) of every lane.
[[gnu::always_inline]] inline void NoiseBounds(std::uint64_t stream, const Ints* tokens, Floats* bounds) {
  Words bits = (__builtin_convertvector(*tokens, Words) + 1ull) * kTokenFactor ^ stream;
  MixLanes(&bits);
  const Floats u =
      (__builtin_convertvector(__builtin_convertvector(bits >> kUniformShift, Ints), Floats) + 0.5f) *
      kUniformScale;
  const Floats rest = 1.0f - u;
  Ints exponent;
  Load(&rest, &exponent);
  exponent = 127 - (exponent >> 23);
  *bounds = __builtin_convertvector(exponent, Floats) * kLog2 + kMargin;
}

// The row that noise is laid over.
struct NoisyRow {
  std::span<const float> logits;
  float inverse_temperature;
  std::uint64_t stream;
  std::span<const TokenId> ids;

  TokenId id(std::size_t i) const { return ids.empty() ? static_cast<TokenId>(i) : ids[i]; }
  float value(std::size_t i) const { return logits[i] * inverse_temperature; }
};

// The first entry from `begin` on that may reach `best`, as far as the bound of its noise tells; never NaN.
// logits.size() when there is none.
REPRISE_VECTOR_CLONES std::size_t NextContender(const NoisyRow& row, std::size_t begin, float best) {
  const std::size_t size = row.logits.size();
  Ints count;
  for (std::size_t j = 0; j < kLanes; ++j) count[j] = static_cast<std::int32_t>(j);
  std::size_t i = begin;
  for (; i + kLanes <= size; i += kLanes) {
    Floats values;
    Load(row.logits.data() + i, &values);
    values *= row.inverse_temperature;
    Ints reaches = values + kMaxGumbel >= best;
    if (!Any(&reaches)) continue;
    Ints tokens = count + static_cast<std::int32_t>(i);
    if (!row.ids.empty()) Load(row.ids.data() + i, &tokens);
    Floats bounds;
    NoiseBounds(row.stream, &tokens, &bounds);
    reaches = values + bounds >= best;
    if (!Any(&reaches)) continue;
    for (std::size_t j = 0; j < kLanes; ++j) {
      if (reaches[j] != 0) return i + j;
    }
  }
  for (; i < size; ++i) {
    if (row.value(i) + GumbelBound(UniformNoise(row.stream, row.id(i))) >= best) return i;
  }
  return size;
}

}  // namespace

TokenId SampleGumbel(std::span<const float> logits, float inverse_temperature, std::uint64_t stream,
                     std::span<const TokenId> ids) {
  const TokenId likeliest = ArgMax(logits);
  if (likeliest < 0) return -1;
  const NoisyRow row{logits, inverse_temperature, stream, ids};
  const auto noisy = [&row](std::size_t i) { return row.value(i) + GumbelNoise(row.stream, row.id(i)); };
  // From the likeliest on, so that few others can reach the best so far.
  auto best = static_cast<std::size_t>(likeliest);
  float best_value = noisy(best);
  std::size_t i = NextContender(row, 0, best_value);
  for (; i < logits.size(); i = NextContender(row, i + 1, best_value)) {
    const float value = noisy(i);
    if (value > best_value || (value == best_value && i < best)) {
      best_value = value;
      best = i;
    }
  }
  return row.id(best);
}

TokenId SampleGumbel(std::span<const Candidate> candidates, std::uint64_t stream) {
  TokenId best = -1;
  float best_value = -std::numeric_limits<float>::infinity();
  for (const Candidate& candidate : candidates) {
    const float noisy = candidate.value + GumbelNoise(stream, candidate.token);
    if (best < 0 || noisy > best_value || (noisy == best_value && candidate.token < best)) {
      best_value = noisy;
      best = candidate.token;
    }
  }
  return best;
}

}  // namespace reprise
