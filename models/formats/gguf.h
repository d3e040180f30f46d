// GGUF, versions 2 and 3, little endian: metadata and tensors in one memory-mapped file.
// Format: github.com/ggml-org/ggml, docs/gguf.md.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"
#include "models/formats/checkpoint.h"
#include "models/formats/gguf_value.h"
#include "models/formats/other_tensors.h"

namespace reprise {

// Whether the file at `path` begins with GGUF's magic number. Fails as MappedFile::Open does.
Result<bool> IsGguf(const std::string& path);

// Immutable after Open: every method may be called from any thread.
class GgufFile final : public Checkpoint {
 public:
  using Metadata = std::map<std::string, GgufValue, std::less<>>;

  // DATA_LOSS for a file that is truncated or contradicts itself, UNIMPLEMENTED for another version or byte
  // order; the message names the file and the key or tensor. A vocabulary-only file (no tensors) is fine.
  static Result<std::unique_ptr<GgufFile>> Open(const std::string& path);

  // nullptr when there is no such key.
  const GgufValue* FindMetadata(std::string_view key) const;
  const Metadata& metadata() const { return contents_.metadata; }

  std::string_view format() const override { return "gguf"; }
  const std::vector<TensorInfo>& tensors() const override { return contents_.tensors; }
  const TensorInfo* Find(std::string_view name) const override;
  std::string_view UnsupportedType(std::string_view name) const override {
    return contents_.others.Type(name);
  }
  Result<std::vector<std::int64_t>> Integers(std::string_view name) const override {
    return contents_.others.Integers(name);
  }
  void ReleasePages() const override { file_.ReleasePages(); }

  // What the reader (gguf.cc) finds in the file.
  struct Contents {
    Metadata metadata;
    std::vector<TensorInfo> tensors;
    OtherTensors others;
  };

 private:
  GgufFile(MappedFile file, Contents contents);

  MappedFile file_;
  Contents contents_;
  std::unordered_map<std::string_view, const TensorInfo*> by_name_;  // into contents_.tensors
};

}  // namespace reprise
