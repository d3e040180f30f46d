#include "compress/schedule.h"

#include <utility>

#include "models/sliced_config.h"

namespace reprise::compress {
namespace {

Result<int> ConstantWidth(int width, const Schedule& schedule) {
  if (!(schedule.sparsity >= 0.0 && schedule.sparsity < 1.0)) {
    return InvalidArgument("the sparsity is " + std::to_string(schedule.sparsity) +
                           "; it must be at least 0 and below 1");
  }
  const int kept = static_cast<int>((1.0 - schedule.sparsity) * width);
  const int rounded = kept - kept % schedule.round_interval;
  if (rounded > 0) return rounded;
  return InvalidArgument("a sparsity of " + std::to_string(schedule.sparsity) + " leaves " +
                         std::to_string(kept) + " of " + std::to_string(width) +
                         " dimensions, which a round interval of " + std::to_string(schedule.round_interval) +
                         " takes to none");
}

}  // namespace

Result<ModelConfig> SlicedConfig(const ModelConfig& dense, const Schedule& schedule) {
  if (dense.sliced())
    return InvalidArgument("the model is sliced already; slice the dense one it was made from");
  ModelConfig sliced = dense;
  sliced.norm_dim = dense.hidden_size;
  sliced.tie_embeddings = false;
  sliced.gguf_permuted_qk = false;
  sliced.head_bias = dense.norm == NormKind::kLayer;
  if (schedule.layer_config.empty()) {
    ASSIGN_OR_RETURN(const int width, ConstantWidth(dense.hidden_size, schedule));
    sliced.widths.assign(static_cast<std::size_t>(dense.num_layers), {width, width, width});
    sliced.widths.back().out = dense.hidden_size;
  } else {
    ASSIGN_OR_RETURN(sliced.widths, ReadLayerWidthsFile(schedule.layer_config));
  }
  const Status valid = sliced.Validate();
  if (valid.ok()) return sliced;
  return schedule.layer_config.empty()
             ? valid
             : Status(valid.code(), schedule.layer_config + ": " + valid.message(), valid.param());
}

}  // namespace reprise::compress
