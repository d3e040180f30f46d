// A new directory of its own below the system's for temporary files, removed with all it holds when the
// object goes.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/status.h"

namespace reprise {

class ScratchDir {
 public:
  // UNAVAILABLE, with where it was to be and the system's reason.
  static Result<std::unique_ptr<ScratchDir>> Create();
  ~ScratchDir();
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;

  const std::string& path() const { return path_; }

 private:
  explicit ScratchDir(std::string path) : path_(std::move(path)) {}

  const std::string path_;
};

}  // namespace reprise
