#include "models/formats/gguf.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <type_traits>
#include <utility>

#include "models/formats/byte_reader.h"
#include "models/formats/quoted.h"

namespace reprise {
namespace {

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint32_t kMaxDimensions = 4;  // GGML_MAX_DIMS
constexpr std::size_t kMaxKeyBytes = 65535;  // docs/gguf.md
constexpr std::uint64_t kMaxElements =
    1 << 24;  // of all metadata arrays together; vocabularies have below 2^20

// Smallest encodings, which bound how many entries the rest of the file can hold.
constexpr std::size_t kMinMetadataBytes = 8 + 4 + 1;    // key length, type, a one-byte value
constexpr std::size_t kMinTensorBytes = 8 + 4 + 4 + 8;  // name length, dimensions, type, offset

enum class ValueType : std::uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64
};

// ggml's tensor types by number; empty where ggml has dropped one.
constexpr std::string_view kTypeNames[] = {
    "F32",    "F16",   "Q4_0",  "Q4_1",   "",      "",      "Q5_0",    "Q5_1",   "Q8_0",    "Q8_1",
    "Q2_K",   "Q3_K",  "Q4_K",  "Q5_K",   "Q6_K",  "Q8_K",  "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S",
    "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8",    "I16",   "I32",     "I64",    "F64",     "IQ1_M",
    "BF16",   "",      "",      "",       "TQ1_0", "TQ2_0", "",        "",       "",        "MXFP4"};

std::optional<WeightType> SupportedType(std::string_view name) {
  for (int i = 0; i < kNumWeightTypes; ++i) {
    const auto type = static_cast<WeightType>(i);
    if (GetWeightTypeInfo(type).name == name) return type;
  }
  return std::nullopt;
}

// Calls visitor.operator()<type in the file, type we hold>() for a number type.
template <typename Visitor>
auto VisitNumberType(ValueType type, Visitor&& visitor)
    -> decltype(visitor.template operator()<bool, bool>()) {
  switch (type) {
    case ValueType::kUint8:
      return visitor.template operator()<std::uint8_t, std::int64_t>();
    case ValueType::kInt8:
      return visitor.template operator()<std::int8_t, std::int64_t>();
    case ValueType::kUint16:
      return visitor.template operator()<std::uint16_t, std::int64_t>();
    case ValueType::kInt16:
      return visitor.template operator()<std::int16_t, std::int64_t>();
    case ValueType::kUint32:
      return visitor.template operator()<std::uint32_t, std::int64_t>();
    case ValueType::kInt32:
      return visitor.template operator()<std::int32_t, std::int64_t>();
    case ValueType::kUint64:
      return visitor.template operator()<std::uint64_t, std::uint64_t>();
    case ValueType::kInt64:
      return visitor.template operator()<std::int64_t, std::int64_t>();
    case ValueType::kFloat32:
      return visitor.template operator()<float, float>();
    case ValueType::kFloat64:
      return visitor.template operator()<double, double>();
    case ValueType::kBool:
      return visitor.template operator()<bool, bool>();
    case ValueType::kString:
    case ValueType::kArray:
      break;
  }
  return DataLoss("unknown value type " + std::to_string(static_cast<std::uint32_t>(type)));
}

// Reads one file from its start. Errors say what is wrong; Open adds the path.
class GgufReader {
 public:
  explicit GgufReader(std::span<const std::byte> bytes) : bytes_(bytes), reader_(bytes) {}

  Result<GgufFile::Contents> Read() {
    RETURN_IF_ERROR(ReadHeader());
    RETURN_IF_ERROR(ReadMetadata());
    RETURN_IF_ERROR(ReadTensorTable());
    RETURN_IF_ERROR(PlaceTensors());
    return std::move(contents_);
  }

 private:
  struct TableEntry {
    std::string name;
    std::string_view type;
    std::vector<std::int64_t> shape;
    std::uint64_t offset = 0;
  };

  Status Truncated(const std::string& what) const {
    return DataLoss("ends inside " + what + " (" + std::to_string(bytes_.size()) +
                    " bytes): it is truncated");
  }

  Status ReadHeader() {
    const auto magic = reader_.Read<std::uint32_t>();
    if (magic != kMagic) return DataLoss("does not begin with 'GGUF'");
    const auto version = reader_.Read<std::uint32_t>();
    const auto tensors = reader_.Read<std::uint64_t>();
    const auto pairs = reader_.Read<std::uint64_t>();
    if (!version || !tensors || !pairs) return Truncated("the header");
    if (*version == 0x02000000 || *version == 0x03000000) return Unimplemented("is a big-endian GGUF");
    if (*version != 2 && *version != 3) {
      return Unimplemented("has GGUF version " + std::to_string(*version) + "; supported are 2 and 3");
    }
    if (*pairs > reader_.remaining() / kMinMetadataBytes) {
      return DataLoss("claims " + std::to_string(*pairs) + " metadata pairs, more than fit into the file");
    }
    if (*tensors > reader_.remaining() / kMinTensorBytes) {
      return DataLoss("claims " + std::to_string(*tensors) + " tensors, more than fit into the file");
    }
    num_tensors_ = *tensors;
    num_pairs_ = *pairs;
    return OkStatus();
  }

  std::optional<std::string_view> ReadString() {
    const auto length = reader_.Read<std::uint64_t>();
    return length ? reader_.ReadText(*length) : std::nullopt;
  }

  Status ReadMetadata() {
    for (std::uint64_t i = 0; i < num_pairs_; ++i) {
      const auto key = ReadString();
      const auto type = reader_.Read<ValueType>();
      if (!key || !type) return Truncated("metadata pair " + std::to_string(i));
      if (key->empty() || key->size() > kMaxKeyBytes) {
        return DataLoss("metadata key " + std::to_string(i) + " has " + std::to_string(key->size()) +
                        " bytes; allowed are 1 to " + std::to_string(kMaxKeyBytes));
      }
      Result<GgufValue> value = ReadValue(*type);
      if (!value.ok()) {
        return Status(value.status().code(),
                      "metadata key " + Quoted(*key) + ": " + value.status().message());
      }
      if (!contents_.metadata.emplace(std::string(*key), std::move(*value)).second) {
        return DataLoss("has metadata key " + Quoted(*key) + " twice");
      }
    }
    return OkStatus();
  }

  Result<GgufValue> ReadValue(ValueType type) {
    if (type == ValueType::kArray) return ReadArray();
    if (type == ValueType::kString) {
      const auto text = ReadString();
      if (!text) return Truncated("the value");
      return GgufValue(std::string(*text));
    }
    return VisitNumberType(type, [this]<typename File, typename Held>() -> Result<GgufValue> {
      Held value{};
      RETURN_IF_ERROR((ReadNumber<File, Held>(&value)));
      if constexpr (std::is_same_v<Held, float>)
        return GgufValue(double{value});
      else
        return GgufValue(value);
    });
  }

  template <typename File, typename Held>
  Status ReadNumber(Held* out) {
    // A bool is read as a byte: any other value than 0 and 1 would be undefined behaviour.
    using Raw = std::conditional_t<std::is_same_v<File, bool>, std::uint8_t, File>;
    const auto raw = reader_.Read<Raw>();
    if (!raw) return Truncated("the value");
    if (std::is_same_v<File, bool> && *raw != Raw{0} && *raw != Raw{1}) {
      return DataLoss("a boolean is neither 0 nor 1");
    }
    *out = static_cast<Held>(*raw);
    return OkStatus();
  }

  Result<GgufValue> ReadArray() {
    const auto type = reader_.Read<ValueType>();
    const auto count = reader_.Read<std::uint64_t>();
    if (!type || !count) return Truncated("the value");
    if (*type == ValueType::kArray) return Unimplemented("arrays of arrays are not supported");
    if (*type == ValueType::kString) return ReadStrings(*count);
    return VisitNumberType(*type, [this, &count]<typename File, typename Held>() -> Result<GgufValue> {
      RETURN_IF_ERROR(CheckCount(*count, sizeof(File)));
      std::vector<Held> values;
      values.reserve(*count);
      for (std::uint64_t i = 0; i < *count; ++i) {
        Held value{};
        RETURN_IF_ERROR((ReadNumber<File, Held>(&value)));
        values.push_back(value);
      }
      return GgufValue(std::move(values));
    });
  }

  Result<GgufValue> ReadStrings(std::uint64_t count) {
    RETURN_IF_ERROR(CheckCount(count, sizeof(std::uint64_t)));
    std::vector<std::string> values;
    values.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto text = ReadString();
      if (!text) return Truncated("string " + std::to_string(i) + " of the array");
      values.emplace_back(*text);
    }
    return GgufValue(std::move(values));
  }

  // Before anything is reserved: an array must fit into the rest of the file, and into a budget.
  Status CheckCount(std::uint64_t count, std::size_t min_element_bytes) {
    if (count > reader_.remaining() / min_element_bytes) {
      return DataLoss("claims " + std::to_string(count) + " elements, more than fit into the file");
    }
    num_elements_ += count;
    if (num_elements_ > kMaxElements) {
      return DataLoss("the metadata has more than " + std::to_string(kMaxElements) + " array elements");
    }
    return OkStatus();
  }

  Status ReadTensorTable() {
    table_.reserve(num_tensors_);
    std::set<std::string_view> names;
    for (std::uint64_t i = 0; i < num_tensors_; ++i) {
      const auto name = ReadString();
      const auto dimensions = reader_.Read<std::uint32_t>();
      if (!name || !dimensions) return Truncated("the entry of tensor " + std::to_string(i));
      if (!names.insert(*name).second) return DataLoss("has tensor " + Quoted(*name) + " twice");
      if (*dimensions > kMaxDimensions) {
        return DataLoss("tensor " + Quoted(*name) + " has " + std::to_string(*dimensions) +
                        " dimensions; at most " + std::to_string(kMaxDimensions) + " are allowed");
      }
      TableEntry entry;
      entry.name = std::string(*name);
      RETURN_IF_ERROR(ReadShape(*dimensions, &entry));
      const auto type = reader_.Read<std::uint32_t>();
      const auto offset = reader_.Read<std::uint64_t>();
      if (!type || !offset) return Truncated("the entry of tensor " + Quoted(*name));
      if (*type >= std::size(kTypeNames) || kTypeNames[*type].empty()) {
        return DataLoss("tensor " + Quoted(*name) + " has unknown type " + std::to_string(*type));
      }
      entry.type = kTypeNames[*type];
      entry.offset = *offset;
      table_.push_back(std::move(entry));
    }
    return OkStatus();
  }

  Status ReadShape(std::uint32_t dimensions, TableEntry* entry) {
    std::int64_t elements = 1;
    for (std::uint32_t d = 0; d < dimensions; ++d) {
      const auto size = reader_.Read<std::int64_t>();
      if (!size) return Truncated("the shape of tensor " + Quoted(entry->name));
      if (*size <= 0 || __builtin_mul_overflow(elements, *size, &elements)) {
        return DataLoss("tensor " + Quoted(entry->name) + " has an impossible shape: dimension " +
                        std::to_string(d) + " is " + std::to_string(*size));
      }
      entry->shape.push_back(*size);
    }
    std::reverse(entry->shape.begin(), entry->shape.end());  // GGUF writes the innermost first
    return OkStatus();
  }

  Result<std::uint64_t> Alignment() const {
    const auto found = contents_.metadata.find("general.alignment");
    if (found == contents_.metadata.end()) return kDefaultAlignment;
    const auto value = found->second.AsInt();
    if (!value || *value <= 0 || *value > (1 << 30) || (*value & (*value - 1)) != 0) {
      return DataLoss("metadata key 'general.alignment' is not a power of two up to 2^30");
    }
    return static_cast<std::uint64_t>(*value);
  }

  // The tensor data begins at the next aligned offset after the table.
  Status PlaceTensors() {
    ASSIGN_OR_RETURN(const std::uint64_t alignment, Alignment());
    const std::uint64_t begin = (reader_.offset() + alignment - 1) / alignment * alignment;
    const auto data = bytes_.subspan(std::min<std::uint64_t>(begin, bytes_.size()));
    for (TableEntry& entry : table_) {
      if (entry.offset % alignment != 0) {
        return DataLoss("tensor " + Quoted(entry.name) + " has offset " + std::to_string(entry.offset) +
                        ", which is not a multiple of the alignment " + std::to_string(alignment));
      }
      const auto type = SupportedType(entry.type);
      if (!type) {
        RETURN_IF_ERROR(SetAside(std::move(entry), data));
        continue;
      }
      TensorInfo tensor;
      tensor.name = entry.name;
      tensor.type = *type;
      tensor.shape = entry.shape;
      ASSIGN_OR_RETURN(tensor.bytes, TensorBytes(tensor));
      ASSIGN_OR_RETURN(const auto bytes, BytesOf(entry, tensor.bytes, data));
      tensor.data = bytes.data();
      contents_.tensors.push_back(std::move(tensor));
    }
    return OkStatus();
  }

  // Integers keep their bytes; of what cannot be read not even the size is known.
  Status SetAside(TableEntry entry, std::span<const std::byte> data) {
    OtherTensor tensor{std::string(entry.type), entry.shape, {}};
    if (std::uint64_t size = IntegerBytes(entry.type); size > 0) {
      for (const std::int64_t count : entry.shape) {
        if (__builtin_mul_overflow(size, count, &size)) size = std::numeric_limits<std::uint64_t>::max();
      }
      ASSIGN_OR_RETURN(tensor.bytes, BytesOf(entry, size, data));
    }
    contents_.others.Add(std::move(entry.name), std::move(tensor));
    return OkStatus();
  }

  static Result<std::span<const std::byte>> BytesOf(const TableEntry& entry, std::uint64_t size,
                                                    std::span<const std::byte> data) {
    if (entry.offset <= data.size() && size <= data.size() - entry.offset) {
      return data.subspan(entry.offset, size);
    }
    return DataLoss("tensor " + Quoted(entry.name) + " needs " + std::to_string(size) +
                    " bytes at data offset " + std::to_string(entry.offset) + ", but the file has only " +
                    std::to_string(data.size()) + " bytes of data: it is truncated");
  }

  static Result<std::size_t> TensorBytes(const TensorInfo& tensor) {
    const WeightTypeInfo& info = GetWeightTypeInfo(tensor.type);
    const std::int64_t columns = tensor.shape.empty() ? 1 : tensor.shape.back();
    const auto bytes = WeightBytes(tensor.type, tensor.elements());
    if (columns % info.block_elements != 0 || !bytes) {
      return DataLoss("tensor " + Quoted(tensor.name) + " of type " + std::string(info.name) +
                      " has rows of " + std::to_string(columns) + " elements; they must be a multiple of " +
                      std::to_string(info.block_elements));
    }
    return *bytes;
  }

  std::span<const std::byte> bytes_;
  ByteReader reader_;
  std::uint64_t num_tensors_ = 0;
  std::uint64_t num_pairs_ = 0;
  std::uint64_t num_elements_ = 0;
  std::vector<TableEntry> table_;
  GgufFile::Contents contents_;
};

}  // namespace

Result<bool> IsGguf(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return ByteReader(file.bytes()).Read<std::uint32_t>() == kMagic;
}

Result<std::unique_ptr<GgufFile>> GgufFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  Result<Contents> contents = GgufReader(file.bytes()).Read();
  if (!contents.ok()) return Status(contents.status().code(), path + ": " + contents.status().message());
  return std::unique_ptr<GgufFile>(new GgufFile(std::move(file), std::move(*contents)));
}

GgufFile::GgufFile(MappedFile file, Contents contents)
    : file_(std::move(file)), contents_(std::move(contents)) {
  by_name_.reserve(contents_.tensors.size());
  for (const TensorInfo& tensor : contents_.tensors) by_name_.emplace(tensor.name, &tensor);
}

const GgufValue* GgufFile::FindMetadata(std::string_view key) const {
  const auto found = contents_.metadata.find(key);
  return found != contents_.metadata.end() ? &found->second : nullptr;
}

const TensorInfo* GgufFile::Find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found != by_name_.end() ? found->second : nullptr;
}

}  // namespace reprise
