#include "models/formats/tensor_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "models/formats/gguf_header.h"
#include "models/formats/other_tensors.h"

namespace reprise {
namespace {

constexpr std::size_t kSafetensorsAlignment = 8;
constexpr std::string_view kIntegers = "I32";

std::size_t RoundUp(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

std::string PartialPath(const std::string& path) {
  return path + ".partial";
}

// The length of a JSON object, the object, and spaces up to an aligned end.
std::string SafetensorsHeader(std::span<const TensorSpec> tensors,
                              const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t begin = 0;
  for (const TensorSpec& tensor : tensors) {
    const std::size_t end = begin + tensor.bytes();
    header[tensor.name] = {{"dtype", tensor.integers ? kIntegers : GetWeightTypeInfo(tensor.type).name},
                           {"shape", tensor.shape},
                           {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = header.dump();
  text.resize(RoundUp(text.size(), kSafetensorsAlignment), ' ');
  const std::uint64_t length = text.size();
  std::string prefix(sizeof(length), '\0');
  std::memcpy(prefix.data(), &length, sizeof(length));
  return prefix + text;
}

}  // namespace

std::int64_t TensorSpec::elements() const {
  std::int64_t n = 1;
  for (const std::int64_t size : shape) n *= size;
  return n;
}

std::size_t TensorSpec::bytes() const {
  return integers ? IntegerBytes(kIntegers) * static_cast<std::size_t>(elements())
                  : *WeightBytes(type, elements());
}

Result<std::unique_ptr<TensorWriter>> TensorWriter::CreateSafetensors(
    const std::string& path, std::span<const TensorSpec> tensors,
    const std::map<std::string, std::string>& metadata) {
  return Begin(path, SafetensorsHeader(tensors, metadata), tensors, 1);
}

Result<std::unique_ptr<TensorWriter>> TensorWriter::CreateGguf(const std::string& path,
                                                               std::span<const TensorSpec> tensors,
                                                               const GgufFile::Metadata& metadata) {
  return Begin(path, GgufHeader(tensors, metadata), tensors, kGgufAlignment);
}

Result<std::unique_ptr<TensorWriter>> TensorWriter::Begin(const std::string& path, std::string_view header,
                                                          std::span<const TensorSpec> tensors,
                                                          std::size_t alignment) {
  const int file = open(PartialPath(path).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  std::unique_ptr<TensorWriter> writer(new TensorWriter(path, file));
  if (file < 0) return writer->Failure("create");
  RETURN_IF_ERROR(writer->WriteAt(0, header.data(), header.size()));
  std::uint64_t next = header.size();
  for (const TensorSpec& tensor : tensors) {
    next = RoundUp(next, alignment);
    const bool added = writer->extents_.insert({tensor.name, {next, tensor.bytes()}}).second;
    REPRISE_CHECK(added);
    next += tensor.bytes();
    writer->expected_ += tensor.bytes();
  }
  // Space is asked for now, so that a full disk shows before the work is done.
  if (const int error = posix_fallocate(file, 0, static_cast<off_t>(next));
      error == ENOSPC || error == EFBIG) {
    errno = error;
    return writer->Failure("reserve " + std::to_string(next) + " bytes for");
  }
  return writer;
}

TensorWriter::TensorWriter(std::string path, int file) : path_(std::move(path)), file_(file) {}

TensorWriter::~TensorWriter() {
  if (file_ < 0) return;
  close(file_);
  if (!finished_) unlink(PartialPath(path_).c_str());
}

Status TensorWriter::Failure(std::string_view action) const {
  const int error = errno;
  std::string message =
      "cannot " + std::string(action) + " " + PartialPath(path_) + ": " + std::string(strerror(error));
  return error == ENOSPC || error == EFBIG || error == EDQUOT ? ResourceExhausted(std::move(message))
                                                              : FailedPrecondition(std::move(message));
}

Status TensorWriter::WriteAt(std::uint64_t offset, const void* data, std::size_t bytes) {
  const auto* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = pwrite(file_, next, bytes, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return Failure("write");
    next += done;
    offset += static_cast<std::uint64_t>(done);
    bytes -= static_cast<std::size_t>(done);
  }
  return OkStatus();
}

Status TensorWriter::Write(std::string_view name, std::size_t offset, std::span<const std::byte> bytes) {
  const auto found = extents_.find(name);
  REPRISE_CHECK(found != extents_.end() && offset + bytes.size() <= found->second.bytes);
  written_ += bytes.size();
  return WriteAt(found->second.begin + offset, bytes.data(), bytes.size());
}

Status TensorWriter::Finish() {
  REPRISE_CHECK(written_ == expected_);
  if (fsync(file_) != 0) return Failure("write");
  if (rename(PartialPath(path_).c_str(), path_.c_str()) != 0) return Failure("rename");
  finished_ = true;
  return OkStatus();
}

}  // namespace reprise
