// The few passes over a whole vocabulary row that sampling needs, written so that the compiler vectorises
// them. Results do not depend on the instruction set: eight partial results in a fixed order, no
// reassociation.
#pragma once

#include <cstddef>
#include <span>

namespace reprise {

// Index of the largest value, the lowest one among equals; NaN never wins. values.size() when there is none.
std::size_t IndexOfMax(std::span<const float> values);

// Sum of the values, in double.
double Sum(std::span<const float> values);

// Sum over i of exp(values[i] * scale - max); NaN and -infinity count as zero. Relative error below 1e-6.
double SumExp(std::span<const float> values, float scale, float max);

// The same, and out[i] = exp(values[i] * scale - max). out has values.size() elements.
double ExpWeights(std::span<const float> values, float scale, float max, std::span<float> out);

}  // namespace reprise
