// Models of random weights, in memory: time does not depend on their values.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/config.h"
#include "models/formats/checkpoint.h"

namespace reprise::bench {

// "135m", "1.3b", "7b", "13b": the Llama family's shapes. nullopt when there is none of that name.
std::optional<ModelConfig> LlamaShape(const std::string& name, int max_position);

// Every tensor of a configuration; those of one type share their bytes. Vectors are float32.
class RandomCheckpoint final : public Checkpoint {
 public:
  // `shortcuts` of sliced layers may have a type of their own.
  RandomCheckpoint(const ModelConfig& config, WeightType matrices, WeightType shortcuts);

  std::string_view format() const override { return "safetensors"; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const TensorInfo* Find(std::string_view name) const override;
  std::string_view UnsupportedType(std::string_view) const override { return {}; }
  Result<std::vector<std::int64_t>> Integers(std::string_view name) const override {
    return NotFound(std::string(name));
  }
  void ReleasePages() const override {}

 private:
  std::map<WeightType, std::vector<std::byte>> data_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, const TensorInfo*, std::less<>> by_name_;
};

// Writes a recycle module of `num_layers` layers for the target, in bf16, into an existing directory.
Status WriteRandomModule(const std::string& directory, const Checkpoint& target, const ModelConfig& config,
                         int num_layers);

}  // namespace reprise::bench
