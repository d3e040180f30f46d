#include "models/fingerprint.h"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/sha256.h"
#include "models/tensor_names.h"

namespace reprise {

Result<std::string> BaseFingerprint(const Checkpoint& checkpoint, const ModelConfig& config) {
  Sha256 hash;
  const std::array<std::int32_t, 7> sizes = {config.vocab_size,       config.hidden_size,  config.num_layers,
                                             config.num_heads,        config.num_kv_heads, config.head_dim,
                                             config.intermediate_size};
  hash.Update(std::as_bytes(std::span(sizes)));
  const auto add = [&](TensorRole role, int layer) -> Status {
    const auto tensor = FindTensor(checkpoint, role, layer);
    // A sliced model has a rotation instead of norms; one imported from elsewhere may lack that too.
    if (tensor.status().code() == StatusCode::kNotFound) return OkStatus();
    RETURN_IF_ERROR(tensor.status());
    std::vector<float> values(static_cast<std::size_t>((*tensor)->elements()));
    Dequantize((*tensor)->type, (*tensor)->data, (*tensor)->elements(), values.data());
    hash.Update(std::as_bytes(std::span(values)));
    return OkStatus();
  };
  RETURN_IF_ERROR(add(TensorRole::kFinalNorm, 0));
  RETURN_IF_ERROR(add(TensorRole::kOutputRotation, 0));
  for (int layer = 0; layer < config.num_layers; ++layer) {
    RETURN_IF_ERROR(add(TensorRole::kAttentionNorm, layer));
    RETURN_IF_ERROR(add(TensorRole::kMlpNorm, layer));
  }
  return hash.HexDigest();
}

}  // namespace reprise
