// The rotary embedding's angles for every position, with the model's scaling applied.
#pragma once

#include <vector>

#include "models/config.h"

namespace reprise {

// Angle per position of each pair of dimensions, [rotary_dim / 2]: theta^(-2i / rotary_dim) (RoFormer,
// section 3.2.2), changed by linear scaling, Llama 3's wavelength-dependent scaling or a file's own factors.
std::vector<double> RopeFrequencies(const RopeConfig& rope, int rotary_dim);

// cos then sin of position * frequency, [2, max_positions, rotary_dim / 2], row-major.
std::vector<float> MakeRopeTable(const RopeConfig& rope, int rotary_dim, int max_positions);

}  // namespace reprise
