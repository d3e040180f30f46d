// Names a model by its weights, whatever file format and quantisation they come in.
#pragma once

#include <string>

#include "base/status.h"
#include "models/config.h"
#include "models/formats/checkpoint.h"

namespace reprise {

// SHA-256, in hexadecimal, over little-endian int32 vocab_size, hidden_size, num_layers, num_heads,
// num_kv_heads, head_dim, intermediate_size, then float32 the final norm's weights and of every layer the
// attention norm's and the MLP norm's; of a sliced model, which has no norms, the output rotation's. They
// stay unquantised in every format and change with nearly every fine-tuning, so a recycle module or a draft
// can tell the target it was made for. Errors as FindTensor's.
Result<std::string> BaseFingerprint(const Checkpoint& checkpoint, const ModelConfig& config);

}  // namespace reprise
