#include "models/rope_table.h"

#include <cmath>
#include <cstddef>
#include <numbers>

namespace reprise {
namespace {

// Llama 3.1: wavelengths beyond the original context are stretched by `factor`, short ones stay, those
// between are blended.
double ScaleLlama3(const RopeConfig& rope, double frequency) {
  const double wavelength = 2.0 * std::numbers::pi / frequency;
  const double low_wavelength = rope.original_max_position / static_cast<double>(rope.low_frequency_factor);
  const double high_wavelength = rope.original_max_position / static_cast<double>(rope.high_frequency_factor);
  if (wavelength < high_wavelength) return frequency;
  if (wavelength > low_wavelength) return frequency / rope.factor;
  const double smooth = (rope.original_max_position / wavelength - rope.low_frequency_factor) /
                        (rope.high_frequency_factor - rope.low_frequency_factor);
  return (1.0 - smooth) * frequency / rope.factor + smooth * frequency;
}

}  // namespace

std::vector<double> RopeFrequencies(const RopeConfig& rope, int rotary_dim) {
  std::vector<double> frequencies(static_cast<std::size_t>(rotary_dim / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    double frequency = std::pow(static_cast<double>(rope.theta), -2.0 * static_cast<double>(i) / rotary_dim);
    if (!rope.frequency_factors.empty()) {
      frequency /= rope.frequency_factors[i];
    } else if (rope.scaling == RopeScaling::kLinear) {
      frequency /= rope.factor;
    } else if (rope.scaling == RopeScaling::kLlama3) {
      frequency = ScaleLlama3(rope, frequency);
    }
    frequencies[i] = frequency;
  }
  return frequencies;
}

std::vector<float> MakeRopeTable(const RopeConfig& rope, int rotary_dim, int max_positions) {
  const std::vector<double> frequencies = RopeFrequencies(rope, rotary_dim);
  const std::size_t half = frequencies.size();
  const std::size_t entries = static_cast<std::size_t>(max_positions) * half;
  std::vector<float> table(2 * entries);
  for (std::size_t position = 0; position < static_cast<std::size_t>(max_positions); ++position) {
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * frequencies[i];
      table[position * half + i] = static_cast<float>(std::cos(angle));
      table[entries + position * half + i] = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

}  // namespace reprise
