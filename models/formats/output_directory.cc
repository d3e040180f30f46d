#include "models/formats/output_directory.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

namespace reprise {
namespace {

namespace fs = std::filesystem;

Status Failure(const std::string& action, const std::string& path, const std::error_code& error) {
  const std::string message = "cannot " + action + " " + path + ": " + error.message();
  return error == std::errc::no_space_on_device ? ResourceExhausted(message) : FailedPrecondition(message);
}

std::string WithoutTrailingSlash(const std::string& path) {
  const fs::path clean = fs::path(path).lexically_normal();
  return (clean.filename().empty() ? clean.parent_path() : clean).string();
}

}  // namespace

Result<std::unique_ptr<OutputDirectory>> OutputDirectory::Create(const std::string& path) {
  const std::string clean = WithoutTrailingSlash(path);
  std::error_code error;
  if (fs::exists(clean, error)) return FailedPrecondition(clean + " exists already; choose another --out");
  std::unique_ptr<OutputDirectory> directory(new OutputDirectory(clean));
  fs::remove_all(directory->partial_, error);
  if (!fs::create_directory(directory->partial_, error)) {
    if (!error) error = std::make_error_code(std::errc::file_exists);
    return Failure("make the directory", directory->partial_, error);
  }
  return directory;
}

OutputDirectory::OutputDirectory(std::string path) : path_(std::move(path)), partial_(path_ + ".partial") {}

OutputDirectory::~OutputDirectory() {
  std::error_code ignored;
  if (!finished_) fs::remove_all(partial_, ignored);
}

std::string OutputDirectory::FilePath(std::string_view name) const {
  return (fs::path(partial_) / name).string();
}

Status OutputDirectory::WriteFile(std::string_view name, std::string_view contents) const {
  const std::string path = FilePath(name);
  errno = 0;
  std::ofstream file(path, std::ios::binary);
  file.write(contents.data(), static_cast<std::streamsize>(contents.size()));
  file.close();
  return file ? OkStatus() : Failure("write", path, {errno != 0 ? errno : EIO, std::generic_category()});
}

Status OutputDirectory::CopyFile(const std::string& source, std::string_view name) const {
  std::error_code error;
  const std::string path = FilePath(name);
  fs::copy_file(source, path, error);
  return error ? Failure("copy " + source + " to", path, error) : OkStatus();
}

Status OutputDirectory::Finish() {
  std::error_code error;
  fs::rename(partial_, path_, error);
  if (error) return Failure("rename " + partial_ + " to", path_, error);
  finished_ = true;
  return OkStatus();
}

}  // namespace reprise
