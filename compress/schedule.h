// How wide the residual stream of a sliced model shall be, layer by layer.
#pragma once

#include <string>

#include "base/status.h"
#include "models/config.h"

namespace reprise::compress {

struct Schedule {
  double sparsity = 0.25;    // share of the residual dimensions to delete, [0, 1)
  int round_interval = 8;    // widths are rounded down to its multiples
  std::string layer_config;  // a file of widths (ReadLayerWidthsFile) that decides instead; or empty
};

// `dense` with the widths, norm_dim, head and bias of its sliced form: D_s = int((1 - s) D), less D_s mod the
// round interval, everywhere but after the last layer, where the head reads all of D (SliceGPT's constant
// schedule). INVALID_ARGUMENT for a model that is sliced already, and for widths that are not possible.
Result<ModelConfig> SlicedConfig(const ModelConfig& dense, const Schedule& schedule);

}  // namespace reprise::compress
