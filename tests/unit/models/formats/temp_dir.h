// A directory for the files a test makes; gone with the object.
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

#include "base/scratch_dir.h"

namespace reprise {

class TempDir {
 public:
  const std::string& path() const { return dir_->path(); }

  // Returns the path of the new file. An old one is removed first: file systems flush one that is truncated.
  std::string Write(const std::string& name, std::string_view contents) const {
    const std::string path = dir_->path() + "/" + name;
    std::filesystem::remove(path);
    std::ofstream(path, std::ios::binary) << contents;
    return path;
  }

 private:
  const std::unique_ptr<ScratchDir> dir_ = ScratchDir::Create().value();
};

inline std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace reprise
