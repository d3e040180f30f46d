#include "engine/vector_math.h"

#include <bit>
#include <cstdint>
#include <limits>

namespace reprise {
namespace {

constexpr std::size_t kLanes = 8;

// These passes are compiled once per instruction set and chosen when the program starts. Lanes and order are
// fixed and nothing is contracted (-ffp-contract=off), so all give the same bits.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define REPRISE_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define REPRISE_VECTOR_CLONES  // the resolvers run before a sanitizer's runtime is up
#endif

// exp(x) for x <= 0: 2^n times a degree-6 polynomial of the rest (Cephes' coefficients); 0 below -87 and for
// NaN.
[[gnu::always_inline]] inline float ExpNonPositive(float x) {
  const bool tiny = !(x > -87.0f);
  const float clamped = tiny ? 0.0f : x;
  const float scaled = clamped * 1.44269504088896341f - 0.5f;
  const auto n = static_cast<std::int32_t>(
      scaled);  // truncates towards zero: floor(x*log2e + 0.5) for x <= 0, or one more
  const auto nf = static_cast<float>(n);
  const float r = (clamped - nf * 0.693359375f) + nf * 2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  const float power = std::bit_cast<float>((n + 127) << 23);
  return tiny ? 0.0f : y * power;
}

}  // namespace

REPRISE_VECTOR_CLONES std::size_t IndexOfMax(std::span<const float> values) {
  // The maximum first (a pass the compiler vectorises), then its first occurrence.
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  float lanes[kLanes];
  for (float& lane : lanes) lane = kLowest;
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) lanes[j] = values[i + j] > lanes[j] ? values[i + j] : lanes[j];
  }
  for (; i < values.size(); ++i) lanes[0] = values[i] > lanes[0] ? values[i] : lanes[0];
  float max = kLowest;
  for (float lane : lanes) max = lane > max ? lane : max;
  for (std::size_t k = 0; k < values.size(); ++k) {
    if (values[k] == max) return k;
  }
  return values.size();
}

REPRISE_VECTOR_CLONES double Sum(std::span<const float> values) {
  double lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) lanes[j] += static_cast<double>(values[i + j]);
  }
  for (; i < values.size(); ++i) lanes[0] += static_cast<double>(values[i]);
  double total = 0;
  for (const double lane : lanes) total += lane;
  return total;
}

namespace {

// Sums exp(values[i] * scale - max); visit(i, term) may keep the terms.
template <typename Visit>
[[gnu::always_inline]] inline double SumExpVisiting(std::span<const float> values, float scale, float max,
                                                    Visit visit) {
  double total = 0;
  float lanes[kLanes] = {};
  std::size_t i = 0;
  // Partial sums go to double every few thousand terms, so that small terms are not lost in float.
  while (i + kLanes <= values.size()) {
    const std::size_t chunk =
        i + 2048 * kLanes < values.size() ? i + 2048 * kLanes : values.size() - kLanes + 1;
    for (; i < chunk; i += kLanes) {
      for (std::size_t j = 0; j < kLanes; ++j) {
        const float term = ExpNonPositive(values[i + j] * scale - max);
        lanes[j] += term;
        visit(i + j, term);
      }
    }
    for (float& lane : lanes) {
      total += lane;
      lane = 0;
    }
  }
  for (; i < values.size(); ++i) {
    const float term = ExpNonPositive(values[i] * scale - max);
    total += term;
    visit(i, term);
  }
  return total;
}

}  // namespace

REPRISE_VECTOR_CLONES double SumExp(std::span<const float> values, float scale, float max) {
  return SumExpVisiting(values, scale, max, [](std::size_t, float) {});
}

REPRISE_VECTOR_CLONES double ExpWeights(std::span<const float> values, float scale, float max,
                                        std::span<float> out) {
  return SumExpVisiting(values, scale, max, [out](std::size_t i, float term) { out[i] = term; });
}

}  // namespace reprise
