// A read-only memory-mapped file.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/status.h"

namespace reprise {

class MappedFile {
 public:
  // NOT_FOUND, FAILED_PRECONDITION (a directory, not readable) or DATA_LOSS (empty), naming the path.
  static Result<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // Tells the kernel that the resident pages are no longer needed (after weights were packed elsewhere).
  void ReleasePages() const;

 private:
  MappedFile() = default;

  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_;
};

}  // namespace reprise
