#include "engine/vector_math.h"

#include <limits>

#include "engine/vector_lanes.h"

namespace reprise {
namespace {

// Replaces x <= 0 by exp(x): 2^n times a degree-6 polynomial of the rest (Cephes' coefficients); 0 below -87
// and for NaN.
[[gnu::always_inline]] inline void ExpNonPositive(Floats* x) {
  const Ints regular = *x > -87.0f;
  const Floats clamped = regular ? *x : Floats{};
  // Truncates towards zero: floor(x*log2e + 0.5) for x <= 0, or one more.
  const Ints n = __builtin_convertvector(clamped * 1.44269504088896341f - 0.5f, Ints);
  const Floats nf = __builtin_convertvector(n, Floats);
  const Floats r = (clamped - nf * 0.693359375f) + nf * 2.12194440e-4f;
  Floats y = Floats{} + 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  const Ints power = (n + 127) << 23;
  Floats factor;
  __builtin_memcpy(&factor, &power, sizeof(factor));
  *x = regular ? y * factor : Floats{};
}

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// The largest of the values, and not NaN.
[[gnu::always_inline]] inline float MaxOf(const float* values, std::size_t size) {
  Floats lanes = Floats{} + kLowest;
  std::size_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    Floats next;
    Load(values + i, &next);
    lanes = next > lanes ? next : lanes;
  }
  float max = kLowest;
  for (std::size_t j = 0; j < kLanes; ++j) max = lanes[j] > max ? lanes[j] : max;
  for (; i < size; ++i) max = values[i] > max ? values[i] : max;
  return max;
}

}  // namespace

REPRISE_VECTOR_CLONES std::size_t IndexOfMax(std::span<const float> values) {
  // The first block that has the maximum, and then the maximum in it.
  constexpr std::size_t kBlock = 512;
  float max = kLowest;
  std::size_t first = 0;
  for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
    const std::size_t size = begin + kBlock < values.size() ? kBlock : values.size() - begin;
    const float own = MaxOf(values.data() + begin, size);
    if (own > max) {
      max = own;
      first = begin;
    }
  }
  for (std::size_t k = first; k < values.size(); ++k) {
    if (values[k] == max) return k;
  }
  return values.size();
}

REPRISE_VECTOR_CLONES double Sum(std::span<const float> values) {
  Doubles lanes = {};
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    Floats next;
    Load(values.data() + i, &next);
    lanes += __builtin_convertvector(next, Doubles);
  }
  double total = 0;
  for (std::size_t j = 0; j < kLanes; ++j) total += lanes[j];
  for (; i < values.size(); ++i) total += static_cast<double>(values[i]);
  return total;
}

namespace {

// Sums exp(values[i] * scale - max); visit(i, terms, count) may keep `count` terms from i on.
template <typename Visit>
[[gnu::always_inline]] inline double SumExpVisiting(std::span<const float> values, float scale, float max,
                                                    Visit visit) {
  // Partial sums go to double every few thousand terms, so that small terms are not lost in float.
  constexpr std::size_t kChunk = 2048 * kLanes;
  const std::size_t whole = values.size() / kLanes * kLanes;
  double total = 0;
  Floats lanes = {};
  const auto add = [&](std::size_t i, std::size_t count, Floats* terms) {
    *terms = *terms * scale - max;
    ExpNonPositive(terms);
    lanes += *terms;
    visit(i, *terms, count);
  };
  const auto flush = [&] {
    for (std::size_t j = 0; j < kLanes; ++j) total += static_cast<double>(lanes[j]);
    lanes = Floats{};
  };
  for (std::size_t begin = 0; begin < whole; begin += kChunk) {
    for (std::size_t i = begin; i < begin + kChunk && i < whole; i += kLanes) {
      Floats terms;
      Load(values.data() + i, &terms);
      add(i, kLanes, &terms);
    }
    flush();
  }
  Floats terms = Floats{} + kLowest;  // whose exp is zero
  __builtin_memcpy(&terms, values.data() + whole, (values.size() - whole) * sizeof(float));
  add(whole, values.size() - whole, &terms);
  flush();
  return total;
}

}  // namespace

REPRISE_VECTOR_CLONES double SumExp(std::span<const float> values, float scale, float max) {
  return SumExpVisiting(values, scale, max, [](std::size_t, const Floats&, std::size_t) {});
}

REPRISE_VECTOR_CLONES double ExpWeights(std::span<const float> values, float scale, float max,
                                        std::span<float> out) {
  return SumExpVisiting(values, scale, max, [out](std::size_t i, const Floats& terms, std::size_t count) {
    __builtin_memcpy(out.data() + i, &terms, count * sizeof(float));
  });
}

}  // namespace reprise
