#include "models/formats/safetensors.h"

#include <catch2/catch.hpp>

#include "tests/unit/models/formats/gguf_builder.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise {
namespace {

std::string File(const std::string& header, const std::string& data) {
  return Bytes<std::uint64_t>(header.size()) + header + data;
}

Result<std::unique_ptr<Checkpoint>> OpenBytes(const std::string& bytes) {
  const TempDir dir;
  return OpenSafetensors(dir.Write("model.safetensors", bytes));
}

void CheckRefused(const std::string& header, const std::string& fragment) {
  const auto file = OpenBytes(File(header, std::string(16, '\0')));
  INFO(header);
  REQUIRE_FALSE(file.ok());
  CHECK(file.status().code() == StatusCode::kDataLoss);
  CHECK_THAT(file.status().message(), Catch::Contains(fragment));
  CHECK_THAT(file.status().message(), Catch::Contains("model.safetensors"));
}

constexpr char kTwoTensors[] =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
    R"("ids":{"dtype":"I64","shape":[1],"data_offsets":[12,20]},"b":{"dtype":"F32","shape":[],"data_offsets":[20,24]}})";

TEST_CASE("safetensors: tensors are described and point into the file") {
  const auto file = OpenBytes(File(kTwoTensors, std::string(20, '\1') + std::string(4, '\2')));
  REQUIRE(file.ok());
  CHECK((*file)->tensors().size() == 2);
  const TensorInfo* a = (*file)->Find("a");
  REQUIRE(a != nullptr);
  CHECK(a->type == WeightType::kBF16);
  CHECK(a->shape == std::vector<std::int64_t>{2, 3});
  CHECK(a->bytes == 12);
  const TensorInfo* b = (*file)->Find("b");
  REQUIRE(b != nullptr);
  CHECK(b->elements() == 1);
  CHECK(std::to_integer<int>(b->data[0]) == 2);
}

TEST_CASE("safetensors: a tensor of another dtype does not keep the file from opening") {
  const auto file = OpenBytes(File(kTwoTensors, std::string(24, '\0')));
  REQUIRE(file.ok());
  CHECK((*file)->Find("ids") == nullptr);
  CHECK((*file)->UnsupportedType("ids") == "I64");
  CHECK((*file)->UnsupportedType("a").empty());
}

TEST_CASE("safetensors: every proper prefix of a file is refused") {
  const std::string bytes = File(kTwoTensors, std::string(24, '\0'));
  REQUIRE(OpenBytes(bytes).ok());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    INFO("length " << length);
    const auto file = OpenBytes(bytes.substr(0, length));
    REQUIRE_FALSE(file.ok());
    CHECK(file.status().code() == StatusCode::kDataLoss);
  }
}

TEST_CASE("safetensors: lying headers are refused") {
  const auto tensor = [](const std::string& fields) { return R"({"t":{)" + fields + "}}"; };
  CheckRefused("", "parse error");
  CheckRefused("{", "parse error");
  CheckRefused("[]", "not a JSON object");
  CheckRefused(R"({"t":[]})", "tensor 't' is not described by a JSON object");
  CheckRefused(tensor(R"("shape":[1],"data_offsets":[0,4])"), "no 'dtype'");
  CheckRefused(tensor(R"("dtype":7,"shape":[1],"data_offsets":[0,4])"), "no 'dtype'");
  CheckRefused(tensor(R"("dtype":"F32","data_offsets":[0,4])"), "no 'shape'");
  CheckRefused(tensor(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), "impossible shape '[-1]'");
  CheckRefused(tensor(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,4])"), "impossible shape");
  CheckRefused(tensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4])"),
               "impossible shape");
  CheckRefused(tensor(R"("dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4])"),
               "impossible shape");
  CheckRefused(tensor(R"("dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0])"),
               "more than can be");
  CheckRefused(tensor(R"("dtype":"F32","shape":[1])"), "no 'data_offsets'");
  CheckRefused(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0])"), "no 'data_offsets'");
  CheckRefused(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[-4,0])"), "no 'data_offsets'");
  CheckRefused(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])"), "data_offsets [4,0]");
  CheckRefused(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[16,20])"), "file has 16 bytes");
  CheckRefused(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615])"),
               "file has 16 bytes");
  CheckRefused(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"),
               "has 4 bytes, but its shape and dtype need 8");
  CheckRefused(tensor(R"("dtype":"I64","shape":[2],"data_offsets":[0,400])"), "file has 16 bytes");
  CheckRefused(
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
      "tensors 'a' and 'b' overlap");
  CheckRefused(
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
      "key 'a' twice");
  CheckRefused(R"({"t":)" + std::string(100000, '[') + std::string(100000, ']') + "}",
               "nested deeper than 64");
}

TEST_CASE("safetensors: a header length beyond the file or the limit is refused before it is read") {
  for (const std::uint64_t length : {std::uint64_t{100}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    const auto file = OpenBytes(Bytes(length) + "{}");
    REQUIRE_FALSE(file.ok());
    CHECK(file.status().code() == StatusCode::kDataLoss);
  }
}

// A shard with one F32 scalar.
std::string Shard(const std::string& tensor) {
  return File(R"({")" + tensor + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
              std::string(4, '\0'));
}

TEST_CASE("safetensors: shards are found through the index") {
  const TempDir dir;
  dir.Write("1.safetensors", Shard("a"));
  dir.Write("2.safetensors", Shard("b"));
  const auto open = [&dir](const std::string& index) {
    return OpenShardedSafetensors(dir.Write("model.safetensors.index.json", index));
  };
  const auto both = open(R"({"metadata":{},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
  REQUIRE(both.ok());
  CHECK((*both)->Find("a") != nullptr);
  CHECK((*both)->Find("b") != nullptr);

  struct Case {
    const char* index;
    const char* fragment;
  };
  const Case cases[] = {
      {R"({"weight_map":{"a":"../1.safetensors"}})", "a file in the same directory"},
      {R"({"weight_map":{"a":"/etc/passwd"}})", "a file in the same directory"},
      {R"({"weight_map":{"a":".."}})", "a file in the same directory"},
      {R"({"weight_map":{"a":""}})", "a file in the same directory"},
      {R"({"weight_map":{"a":"1.safetensors\u0000"}})", "a file in the same directory"},
      {R"({"weight_map":{"a":1}})", "a file in the same directory"},
      {R"({"weight_map":{}})", "no 'weight_map'"},
      {R"({"weight_map":[]})", "no 'weight_map'"},
      {R"({})", "no 'weight_map'"},
      {R"([])", "expected an object"},
      {R"({"weight_map":{"c":"1.safetensors"}})", "tensor 'c' is not in shard '1.safetensors'"},
      {R"({"weight_map":{"a":"2.safetensors"}})", "tensor 'a' is not in shard '2.safetensors'"},
      {R"({"weight_map":{"a":"3.safetensors"}})", "3.safetensors"},
  };
  for (const Case& c : cases) {
    const auto file = open(c.index);
    INFO(c.index);
    REQUIRE_FALSE(file.ok());
    CHECK_THAT(file.status().message(), Catch::Contains(c.fragment));
  }
  dir.Write("2.safetensors", Shard("a"));
  const auto twice = open(R"({"weight_map":{"a":"1.safetensors","x":"2.safetensors"}})");
  REQUIRE_FALSE(twice.ok());
  CHECK_THAT(twice.status().message(), Catch::Contains("tensor 'a' is in another shard too"));
}

}  // namespace
}  // namespace reprise
