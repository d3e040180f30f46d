#include "base/scratch_dir.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace reprise {

Result<std::unique_ptr<ScratchDir>> ScratchDir::Create() {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  if (error) {
    const char* wanted = std::getenv("TMPDIR");
    return Unavailable("there is no directory for temporary files" +
                       (wanted != nullptr ? " at " + std::string(wanted) : std::string()) + ": " +
                       error.message());
  }
  std::string path = (parent / "reprise-XXXXXX").string();  // mkdtemp fills the end in
  if (mkdtemp(path.data()) == nullptr)
    return Unavailable("cannot make a directory in " + parent.string() + ": " + std::strerror(errno));
  return std::unique_ptr<ScratchDir>(new ScratchDir(std::move(path)));
}

ScratchDir::~ScratchDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace reprise
