#include "models/formats/checkpoint.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "models/formats/gguf.h"
#include "models/formats/safetensors.h"

namespace reprise {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";

bool Exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

Result<std::unique_ptr<Checkpoint>> OpenDirectory(const fs::path& directory) {
  const fs::path single = directory / kSingleFile;
  if (Exists(single)) return OpenSafetensors(single.string());
  const fs::path index = directory / kIndexFile;
  if (Exists(index)) return OpenShardedSafetensors(index.string());
  return NotFound(directory.string() + " has neither " + std::string(kSingleFile) + " nor " +
                  std::string(kIndexFile));
}

Result<std::unique_ptr<Checkpoint>> OpenGguf(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, GgufFile::Open(path));
  const GgufValue* splits = file->FindMetadata("split.count");
  if (splits != nullptr && splits->AsInt().value_or(0) > 1) {
    return Unimplemented(path + ": metadata key 'split.count' is " + std::to_string(*splits->AsInt()) +
                         ": a GGUF split over several files is not supported; merge it first");
  }
  return std::unique_ptr<Checkpoint>(std::move(file));
}

}  // namespace

bool HasSafetensors(const std::string& directory) {
  return Exists(fs::path(directory) / kSingleFile) || Exists(fs::path(directory) / kIndexFile);
}

Result<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return OpenDirectory(path);
  ASSIGN_OR_RETURN(const bool is_gguf, IsGguf(path));
  if (is_gguf) return OpenGguf(path);
  if (path.ends_with(".safetensors")) return OpenSafetensors(path);
  if (path.ends_with(".safetensors.index.json")) return OpenShardedSafetensors(path);
  return InvalidArgument(path +
                         " is not a model: expected a GGUF file, a .safetensors file, or a directory with " +
                         std::string(kSingleFile) + " or " + std::string(kIndexFile));
}

}  // namespace reprise
