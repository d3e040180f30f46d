// Writes a model file of known tensors: header first, contents in any order, and the file appears under its
// name only when it is complete.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/weight_type.h"
#include "models/formats/gguf.h"

namespace reprise {

// A tensor that a file will hold; `shape` as in TensorInfo.
struct TensorSpec {
  std::string name;
  WeightType type = WeightType::kF32;
  std::vector<std::int64_t> shape;
  bool integers = false;  // I32, a vocabulary map, whatever `type` says

  std::int64_t elements() const;
  // The rows are whole blocks of the type.
  std::size_t bytes() const;
};

class TensorWriter {
 public:
  // Both begin PATH.partial, replacing what a run that was killed may have left there. Names are distinct.
  // FAILED_PRECONDITION or RESOURCE_EXHAUSTED with the path and the system's reason.
  static Result<std::unique_ptr<TensorWriter>> CreateSafetensors(
      const std::string& path, std::span<const TensorSpec> tensors,
      const std::map<std::string, std::string>& metadata);
  // Version 3. Integers are written as uint32 or int32 where they fit, numbers as float32.
  static Result<std::unique_ptr<TensorWriter>> CreateGguf(const std::string& path,
                                                          std::span<const TensorSpec> tensors,
                                                          const GgufFile::Metadata& metadata);

  // Removes the partial file unless Finish has succeeded.
  ~TensorWriter();
  TensorWriter(const TensorWriter&) = delete;
  TensorWriter& operator=(const TensorWriter&) = delete;

  // `bytes` of the tensor's contents, `offset` bytes from its beginning. Each byte is written once.
  Status Write(std::string_view name, std::size_t offset, std::span<const std::byte> bytes);
  // Puts the file on disk and gives it its name. Every tensor has been written whole.
  Status Finish();

 private:
  struct Extent {
    std::uint64_t begin;
    std::size_t bytes;
  };

  TensorWriter(std::string path, int file);
  static Result<std::unique_ptr<TensorWriter>> Begin(const std::string& path, std::string_view header,
                                                     std::span<const TensorSpec> tensors,
                                                     std::size_t alignment);
  Status WriteAt(std::uint64_t offset, const void* data, std::size_t bytes);
  Status Failure(std::string_view action) const;  // with errno's reason

  std::string path_;
  int file_;
  bool finished_ = false;
  std::uint64_t written_ = 0;
  std::uint64_t expected_ = 0;
  std::map<std::string, Extent, std::less<>> extents_;
};

}  // namespace reprise
