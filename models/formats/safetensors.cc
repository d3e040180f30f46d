#include "models/formats/safetensors.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "models/formats/byte_reader.h"
#include "models/formats/json_file.h"
#include "models/formats/other_tensors.h"
#include "models/formats/quoted.h"

namespace reprise {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit

struct Contents {
  std::vector<TensorInfo> tensors;
  OtherTensors others;
};

struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::string name;
};

std::optional<WeightType> SupportedType(std::string_view dtype) {
  for (const WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16}) {
    if (GetWeightTypeInfo(type).name == dtype) return type;
  }
  return std::nullopt;
}

Result<std::vector<std::int64_t>> ReadShape(const json& entry) {
  const auto found = entry.find("shape");
  if (found == entry.end() || !found->is_array()) return DataLoss("has no 'shape' array");
  std::vector<std::int64_t> shape;
  std::int64_t elements = 1;
  for (const json& size : *found) {
    if (!size.is_number_unsigned() || size.get<std::uint64_t>() > INT64_MAX ||
        __builtin_mul_overflow(elements, size.get<std::int64_t>(), &elements)) {
      return DataLoss("has an impossible shape " + Quoted(found->dump()));
    }
    shape.push_back(size.get<std::int64_t>());
  }
  return shape;
}

Result<ByteRange> ReadOffsets(const json& entry, std::uint64_t available) {
  const auto found = entry.find("data_offsets");
  if (found == entry.end() || !found->is_array() || found->size() != 2 || !(*found)[0].is_number_unsigned() ||
      !(*found)[1].is_number_unsigned()) {
    return DataLoss("has no 'data_offsets' of two non-negative integers");
  }
  ByteRange range;
  range.begin = (*found)[0].get<std::uint64_t>();
  range.end = (*found)[1].get<std::uint64_t>();
  if (range.begin > range.end || range.end > available) {
    return DataLoss("has data_offsets " + found->dump() + ", but the file has " + std::to_string(available) +
                    " bytes of data: it is truncated or damaged");
  }
  return range;
}

// Adds one entry of the header to `contents`, and returns its bytes in the data section.
Result<ByteRange> ReadEntry(const std::string& name, const json& entry, std::span<const std::byte> data,
                            Contents* contents) {
  if (!entry.is_object()) return DataLoss("is not described by a JSON object");
  const auto dtype = entry.find("dtype");
  if (dtype == entry.end() || !dtype->is_string()) return DataLoss("has no 'dtype' string");
  TensorInfo tensor;
  tensor.name = name;
  ASSIGN_OR_RETURN(tensor.shape, ReadShape(entry));
  ASSIGN_OR_RETURN(ByteRange range, ReadOffsets(entry, data.size()));
  const auto type = SupportedType(dtype->get_ref<const std::string&>());
  if (!type) {
    contents->others.Add(
        name, {dtype->get<std::string>(), tensor.shape, data.subspan(range.begin, range.end - range.begin)});
    return range;
  }
  tensor.type = *type;
  tensor.bytes = range.end - range.begin;
  const auto expected = WeightBytes(*type, tensor.elements());
  if (expected != tensor.bytes) {
    return DataLoss("has " + std::to_string(tensor.bytes) + " bytes, but its shape and dtype need " +
                    (expected ? std::to_string(*expected) : "more than can be addressed"));
  }
  tensor.data = data.data() + range.begin;
  contents->tensors.push_back(std::move(tensor));
  return range;
}

Status CheckOverlaps(std::vector<ByteRange> ranges) {
  std::erase_if(ranges, [](const ByteRange& range) { return range.begin == range.end; });
  std::sort(ranges.begin(), ranges.end(),
            [](const ByteRange& a, const ByteRange& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].begin < ranges[i - 1].end) {
      return DataLoss("tensors " + Quoted(ranges[i - 1].name) + " and " + Quoted(ranges[i].name) +
                      " overlap in the file");
    }
  }
  return OkStatus();
}

// Layout: u64 header length, that many bytes of JSON, tensor data.
Result<Contents> ReadContents(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const auto length = reader.Read<std::uint64_t>();
  if (!length) return DataLoss("is shorter than a safetensors header");
  if (*length > kMaxHeaderBytes) {
    return DataLoss("claims a header of " + std::to_string(*length) + " bytes; allowed are " +
                    std::to_string(kMaxHeaderBytes) + ": it is not a safetensors file, or damaged");
  }
  const auto text = reader.ReadText(*length);
  if (!text) return DataLoss("ends inside its header: it is truncated");
  ASSIGN_OR_RETURN(const json header, ParseJsonText(*text));
  if (!header.is_object()) return DataLoss("has a header that is not a JSON object");

  Contents contents;
  std::vector<ByteRange> ranges;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    Result<ByteRange> range = ReadEntry(name, entry, bytes.subspan(reader.offset()), &contents);
    if (!range.ok()) return DataLoss("tensor " + Quoted(name) + " " + range.status().message());
    range->name = name;
    ranges.push_back(std::move(*range));
  }
  RETURN_IF_ERROR(CheckOverlaps(std::move(ranges)));
  return contents;
}

class SafetensorsCheckpoint final : public Checkpoint {
 public:
  // Adds one file; DATA_LOSS when it has a tensor that an earlier one has.
  Status Add(const std::string& path) {
    ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
    Result<Contents> contents = ReadContents(file.bytes());
    if (!contents.ok()) return Status(contents.status().code(), path + ": " + contents.status().message());
    files_.push_back(std::move(file));
    for (TensorInfo& tensor : contents->tensors) {
      if (!by_name_.emplace(tensor.name, tensors_.size()).second) {
        return DataLoss(path + ": tensor " + Quoted(tensor.name) + " is in another shard too");
      }
      tensors_.push_back(std::move(tensor));
    }
    others_.Merge(contents->others);
    return OkStatus();
  }

  std::string_view format() const override { return "safetensors"; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const TensorInfo* Find(std::string_view name) const override {
    const auto found = by_name_.find(name);
    return found != by_name_.end() ? &tensors_[found->second] : nullptr;
  }
  std::string_view UnsupportedType(std::string_view name) const override { return others_.Type(name); }
  Result<std::vector<std::int64_t>> Integers(std::string_view name) const override {
    return others_.Integers(name);
  }
  void ReleasePages() const override {
    for (const MappedFile& file : files_) file.ReleasePages();
  }

 private:
  std::vector<MappedFile> files_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::size_t, std::less<>> by_name_;  // index into tensors_
  OtherTensors others_;
};

// A shard is a file beside the index: its name has no way out of the directory.
bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

// Tensor name -> shard file name.
Result<std::map<std::string, std::string>> ReadIndex(const std::string& path) {
  ASSIGN_OR_RETURN(const json index, ReadJsonObject(path));
  const auto weight_map = index.find("weight_map");
  if (weight_map == index.end() || !weight_map->is_object() || weight_map->empty()) {
    return DataLoss(path + ": has no 'weight_map' object with the shards' names");
  }
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, shard] : weight_map->items()) {
    if (!shard.is_string() || !IsPlainFileName(shard.get_ref<const std::string&>())) {
      return DataLoss(path + ": weight_map[" + Quoted(tensor) + "] must name a file in the same directory");
    }
    shards.emplace(tensor, shard.get<std::string>());
  }
  return shards;
}

}  // namespace

Result<std::unique_ptr<Checkpoint>> OpenSafetensors(const std::string& path) {
  auto checkpoint = std::make_unique<SafetensorsCheckpoint>();
  RETURN_IF_ERROR(checkpoint->Add(path));
  return std::unique_ptr<Checkpoint>(std::move(checkpoint));
}

Result<std::unique_ptr<Checkpoint>> OpenShardedSafetensors(const std::string& index_path) {
  ASSIGN_OR_RETURN(const auto shard_of, ReadIndex(index_path));
  const std::filesystem::path directory = std::filesystem::path(index_path).parent_path();
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : shard_of) shards.insert(shard);
  auto checkpoint = std::make_unique<SafetensorsCheckpoint>();
  for (const std::string& shard : shards) RETURN_IF_ERROR(checkpoint->Add((directory / shard).string()));
  for (const auto& [tensor, shard] : shard_of) {
    if (checkpoint->Find(tensor) == nullptr && checkpoint->UnsupportedType(tensor).empty()) {
      return DataLoss(index_path + ": tensor " + Quoted(tensor) + " is not in shard " + Quoted(shard));
    }
  }
  return std::unique_ptr<Checkpoint>(std::move(checkpoint));
}

}  // namespace reprise
