// A model on disk, whatever its container: named tensors in a memory-mapped file (or several), described but
// not read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/weight_type.h"

namespace reprise {

// A tensor inside a mapped file. `shape` is row-major, outermost first ([rows, columns] for a matrix: GGUF's
// reversed order is undone by the loader). `data` has exactly WeightBytes(type, elements) bytes, lives as
// long as the checkpoint, and may be unaligned (safetensors puts it wherever its header ends).
struct TensorInfo {
  std::string name;
  WeightType type = WeightType::kF32;
  std::vector<std::int64_t> shape;
  const std::byte* data = nullptr;
  std::size_t bytes = 0;

  std::int64_t elements() const {
    std::int64_t n = 1;
    for (std::int64_t d : shape) n *= d;
    return n;
  }
};

// Whether a directory has the safetensors that Checkpoint::Open would take.
bool HasSafetensors(const std::string& directory);

class Checkpoint {
 public:
  // `path` is a GGUF file, a .safetensors file, or a Hugging Face directory (model.safetensors, or the shards
  // of model.safetensors.index.json). Every offset, size and count is checked before use: DATA_LOSS says
  // which tensor and what is wrong; UNIMPLEMENTED names a variant of the format that is not supported.
  static Result<std::unique_ptr<Checkpoint>> Open(const std::string& path);

  virtual ~Checkpoint() = default;
  virtual std::string_view format() const = 0;  // "gguf" or "safetensors"
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  // nullptr when there is none.
  virtual const TensorInfo* Find(std::string_view name) const = 0;
  // The file's own name ("IQ4_XS", "I64") for the type of a tensor that is there but that we cannot read;
  // such tensors are not in tensors(). Empty for every other name. Files may carry them unused, so Open does
  // not refuse them.
  virtual std::string_view UnsupportedType(std::string_view name) const = 0;
  // A one-dimensional tensor of 32- or 64-bit signed integers (a vocabulary map); such tensors are not in
  // tensors() either. NOT_FOUND when there is none of that name, DATA_LOSS for another type or shape.
  virtual Result<std::vector<std::int64_t>> Integers(std::string_view name) const = 0;
  // Tells the kernel the mapped pages can go (the weights have been packed).
  virtual void ReleasePages() const = 0;
};

}  // namespace reprise
