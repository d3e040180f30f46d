#include "models/formats/gguf.h"

#include <catch2/catch.hpp>
#include <functional>
#include <limits>

#include "tests/shared_data.h"
#include "tests/unit/models/formats/gguf_builder.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise {
namespace {

constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();

Result<std::unique_ptr<GgufFile>> OpenBytes(const std::string& bytes) {
  const TempDir dir;  // the mapping outlives the name
  return GgufFile::Open(dir.Write("model.gguf", bytes));
}

void CheckRefused(const std::string& bytes, StatusCode code, const std::string& fragment) {
  const auto file = OpenBytes(bytes);
  INFO(fragment);
  REQUIRE_FALSE(file.ok());
  CHECK(file.status().code() == code);
  CHECK_THAT(file.status().message(), Catch::Contains(fragment));
  CHECK_THAT(file.status().message(), Catch::Contains("model.gguf"));
}

// One F32 tensor [2, 4] whose 32 bytes fill the data section.
GgufBuilder SmallFile() {
  GgufBuilder builder;
  builder.Add("general.architecture", kString, GgufString("llama"));
  builder.AddTensor("a.weight", {4, 2}, 0, 0).Data(std::string(32, '\1'));
  return builder;
}

TEST_CASE("GGUF: every value type is read") {
  GgufBuilder builder;
  builder.Add("u8", kU8, Bytes<std::uint8_t>(200)).Add("i8", kI8, Bytes<std::int8_t>(-5));
  builder.Add("u16", kU16, Bytes<std::uint16_t>(60000)).Add("i16", kI16, Bytes<std::int16_t>(-30000));
  builder.Add("u32", kU32, Bytes<std::uint32_t>(4000000000u))
      .Add("i32", kI32, Bytes<std::int32_t>(-2000000000));
  builder.Add("u64", kU64, Bytes<std::uint64_t>(1ull << 63))
      .Add("i64", kI64, Bytes<std::int64_t>(-(1ll << 62)));
  builder.Add("f32", kF32, Bytes(0.25f)).Add("f64", kF64, Bytes(1e300));
  builder.Add("bool", kBool, "\1").Add("text", kString, GgufString("caf\xc3\xa9"));
  builder.AddArray("ints", kI32, 3,
                   Bytes<std::int32_t>(1) + Bytes<std::int32_t>(-2) + Bytes<std::int32_t>(3));
  builder.AddArray("floats", kF32, 2, Bytes(0.5f) + Bytes(-1.5f));
  builder.AddArray("texts", kString, 2, GgufString("") + GgufString("ab"));
  builder.AddArray("bools", kBool, 2, std::string("\0\1", 2)).AddArray("none", kString, 0, "");
  const auto file = OpenBytes(builder.Build());
  REQUIRE(file.ok());
  const auto value = [&](const char* key) -> const GgufValue& { return *(*file)->FindMetadata(key); };
  CHECK(value("u8").AsInt() == 200);
  CHECK(value("i8").AsInt() == -5);
  CHECK(value("u16").AsInt() == 60000);
  CHECK(value("i16").AsInt() == -30000);
  CHECK(value("u32").AsInt() == 4000000000);
  CHECK(value("i32").AsInt() == -2000000000);
  CHECK(value("u64").AsInt() == std::nullopt);  // beyond int64
  CHECK(std::get<std::uint64_t>(value("u64").data()) == 1ull << 63);
  CHECK(value("i64").AsInt() == -(1ll << 62));
  CHECK(value("f32").AsDouble() == 0.25);
  CHECK(value("f64").AsDouble() == 1e300);
  CHECK(value("i8").AsDouble() == -5.0);
  CHECK(value("bool").AsBool() == true);
  CHECK(value("bool").AsInt() == std::nullopt);
  CHECK(*value("text").AsString() == "caf\xc3\xa9");
  CHECK(*value("ints").AsInts() == std::vector<std::int64_t>{1, -2, 3});
  CHECK(*value("floats").AsFloats() == std::vector<float>{0.5f, -1.5f});
  CHECK(*value("texts").AsStrings() == std::vector<std::string>{"", "ab"});
  CHECK(std::get<std::vector<bool>>(value("bools").data()) == std::vector<bool>{false, true});
  CHECK(value("none").AsStrings()->empty());
  CHECK(value("text").AsInts() == nullptr);
  CHECK((*file)->FindMetadata("absent") == nullptr);
  CHECK((*file)->metadata().size() == 17);
}

TEST_CASE("GGUF: tensors are described row-major and point into the file") {
  GgufBuilder builder = SmallFile();
  builder.version = GENERATE(2u, 3u);
  const auto file = OpenBytes(builder.Build());
  REQUIRE(file.ok());
  REQUIRE((*file)->tensors().size() == 1);
  const TensorInfo* tensor = (*file)->Find("a.weight");
  REQUIRE(tensor != nullptr);
  CHECK(tensor->type == WeightType::kF32);
  CHECK(tensor->shape == std::vector<std::int64_t>{2, 4});
  CHECK(tensor->bytes == 32);
  CHECK(std::to_integer<int>(tensor->data[0]) == 1);
  CHECK((*file)->Find("b.weight") == nullptr);
}

TEST_CASE("GGUF: the alignment key moves the data") {
  GgufBuilder builder;
  builder.alignment = 256;
  builder.Add("general.alignment", kU32, Bytes<std::uint32_t>(256));
  builder.AddTensor("a", {1}, 0, 0).AddTensor("b", {1}, 0, 256);
  builder.Data(std::string(256, '\1') + std::string(4, '\2'));
  const auto file = OpenBytes(builder.Build());
  REQUIRE(file.ok());
  CHECK(std::to_integer<int>((*file)->Find("a")->data[0]) == 1);
  CHECK(std::to_integer<int>((*file)->Find("b")->data[3]) == 2);
}

TEST_CASE("GGUF: a tensor of a type we cannot read is set aside, with its name for the type") {
  GgufBuilder builder = SmallFile();
  builder.AddTensor("odd", {256}, 23, 0);
  const auto file = OpenBytes(builder.Build());
  REQUIRE(file.ok());
  CHECK((*file)->tensors().size() == 1);
  CHECK((*file)->Find("odd") == nullptr);
  CHECK((*file)->UnsupportedType("odd") == "IQ4_XS");
  CHECK((*file)->UnsupportedType("a.weight").empty());
}

TEST_CASE("GGUF: a row of integers is read, anything else is no row of integers") {
  GgufBuilder builder;
  builder.AddTensor("i32", {2}, 26, 0).AddTensor("i64", {2}, 27, 32).AddTensor("table", {1, 2}, 26, 64);
  builder.AddTensor("i16", {2}, 25, 96).AddTensor("f32", {2}, 0, 96);
  const std::string narrow = Bytes<std::int32_t>(-3) + Bytes<std::int32_t>(49151) + std::string(24, '\0');
  const std::string wide =
      Bytes<std::int64_t>(1) + Bytes<std::int64_t>(std::int64_t{1} << 40) + std::string(16, '\0');
  const auto file = OpenBytes(builder.Data(narrow + wide + std::string(64, '\0')).Build());
  REQUIRE(file.ok());
  CHECK((*file)->Integers("i32").value() == std::vector<std::int64_t>{-3, 49151});
  CHECK((*file)->Integers("i64").value() == std::vector<std::int64_t>{1, std::int64_t{1} << 40});
  CHECK((*file)->Integers("none").status().code() == StatusCode::kNotFound);
  CHECK((*file)->Integers("f32").status().code() == StatusCode::kNotFound);
  for (const char* name : {"table", "i16"}) {
    const Status status = (*file)->Integers(name).status();
    CHECK(status.code() == StatusCode::kDataLoss);
    CHECK_THAT(status.message(), Catch::Contains(name));
  }
}

TEST_CASE("GGUF: every proper prefix of a file is refused") {
  const std::string bytes = SmallFile().Build();
  REQUIRE(OpenBytes(bytes).ok());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    INFO("length " << length);
    const auto file = OpenBytes(bytes.substr(0, length));
    REQUIRE_FALSE(file.ok());
    CHECK(file.status().code() == StatusCode::kDataLoss);
  }
}

TEST_CASE("GGUF: other versions and byte orders are named") {
  GgufBuilder builder = SmallFile();
  builder.version = 1;
  CheckRefused(builder.Build(), StatusCode::kUnimplemented, "version 1; supported are 2 and 3");
  builder.version = 4;
  CheckRefused(builder.Build(), StatusCode::kUnimplemented, "version 4");
  builder.version = 0x03000000;
  CheckRefused(builder.Build(), StatusCode::kUnimplemented, "big-endian");
  CheckRefused("GGML" + SmallFile().Build().substr(4), StatusCode::kDataLoss, "does not begin with 'GGUF'");
}

TEST_CASE("GGUF: lying metadata is refused") {
  struct Case {
    const char* fragment;
    std::function<void(GgufBuilder&)> lie;
  };
  const Case cases[] = {
      {"metadata pairs, more than fit", [](GgufBuilder& b) { b.claimed_pairs = kHuge; }},
      {"metadata pairs, more than fit", [](GgufBuilder& b) { b.claimed_pairs = 1000; }},
      {"tensors, more than fit", [](GgufBuilder& b) { b.claimed_tensors = kHuge; }},
      {"key 'k': claims", [](GgufBuilder& b) { b.AddArray("k", kU8, kHuge, ""); }},
      {"key 'k': claims", [](GgufBuilder& b) { b.AddArray("k", kF64, kHuge / 8 + 2, ""); }},
      {"key 'k': claims", [](GgufBuilder& b) { b.AddArray("k", kString, 1000, ""); }},
      {"key 'k': ends inside", [](GgufBuilder& b) { b.Add("k", kString, Bytes(kHuge)); }},
      {"key 'k': ends inside", [](GgufBuilder& b) { b.AddArray("k", kString, 2, Bytes(kHuge)); }},
      {"key 'k': a boolean is neither", [](GgufBuilder& b) { b.Add("k", kBool, "\2"); }},
      {"key 'k': a boolean is neither", [](GgufBuilder& b) { b.AddArray("k", kBool, 2, "\1\3"); }},
      {"key 'k': unknown value type 13", [](GgufBuilder& b) { b.Add("k", 13, ""); }},
      {"key 'k': unknown value type 77", [](GgufBuilder& b) { b.AddArray("k", 77, 1, "x"); }},
      {"'k' twice", [](GgufBuilder& b) { b.Add("k", kU8, "1").Add("k", kU8, "2"); }},
      {"has 0 bytes", [](GgufBuilder& b) { b.Add("", kU8, "1"); }},
      {"power of two", [](GgufBuilder& b) { b.Add("general.alignment", kU32, Bytes<std::uint32_t>(48)); }},
      {"power of two", [](GgufBuilder& b) { b.Add("general.alignment", kU32, Bytes<std::uint32_t>(0)); }},
      {"power of two", [](GgufBuilder& b) { b.Add("general.alignment", kString, GgufString("32")); }},
  };
  for (const Case& c : cases) {
    GgufBuilder builder = SmallFile();
    c.lie(builder);
    CheckRefused(builder.Build(), StatusCode::kDataLoss, c.fragment);
  }
  GgufBuilder nested = SmallFile();
  nested.AddArray("k", kArray, 1, Bytes<std::uint32_t>(kU8) + Bytes<std::uint64_t>(1) + "x");
  CheckRefused(nested.Build(), StatusCode::kUnimplemented, "arrays of arrays");
}

TEST_CASE("GGUF: metadata arrays have a budget") {
  GgufBuilder builder;
  builder.AddArray("a", kU8, 1 << 24, std::string(1 << 24, 'x')).AddArray("b", kU8, 1, "x");
  CheckRefused(builder.Build(), StatusCode::kDataLoss, "key 'b': the metadata has more than");
}

TEST_CASE("GGUF: lying tensors are refused") {
  struct Case {
    const char* fragment;
    std::function<void(GgufBuilder&)> lie;
  };
  const std::uint64_t big = 1ull << 40;
  const Case cases[] = {
      {"tensor 'a.weight' twice", [](GgufBuilder& b) { b.AddTensor("a.weight", {1}, 0, 0); }},
      {"5 dimensions; at most 4",
       [](GgufBuilder& b) {
         b.AddTensor("t", {1, 1, 1, 1, 1}, 0, 0);
       }},
      {"impossible shape: dimension 1 is 0",
       [](GgufBuilder& b) {
         b.AddTensor("t", {4, 0}, 0, 0);
       }},
      {"impossible shape: dimension 0 is -1", [](GgufBuilder& b) { b.AddTensor("t", {~0ull}, 0, 0); }},
      {"impossible shape",
       [=](GgufBuilder& b) {
         b.AddTensor("t", {big, big}, 0, 0);
       }},
      {"unknown type 4", [](GgufBuilder& b) { b.AddTensor("t", {1}, 4, 0); }},
      {"unknown type 99", [](GgufBuilder& b) { b.AddTensor("t", {1}, 99, 0); }},
      {"multiple of 32",
       [](GgufBuilder& b) {
         b.AddTensor("t", {16, 2}, 2, 0);
       }},
      {"multiple of 256",
       [](GgufBuilder& b) {
         b.AddTensor("t", {128, 2}, 12, 0);
       }},
      {"not a multiple of the alignment", [](GgufBuilder& b) { b.AddTensor("t", {1}, 0, 4); }},
      {"it is truncated", [](GgufBuilder& b) { b.AddTensor("t", {9}, 0, 0); }},
      {"it is truncated", [](GgufBuilder& b) { b.AddTensor("t", {1}, 0, 32); }},
      {"it is truncated", [](GgufBuilder& b) { b.AddTensor("t", {8}, 0, kHuge - 31); }},
      {"it is truncated", [](GgufBuilder& b) { b.AddTensor("t", {1ull << 61}, 0, 0); }},
      {"it is truncated", [](GgufBuilder& b) { b.AddTensor("t", {9}, 26, 0); }},
      {"it is truncated", [](GgufBuilder& b) { b.AddTensor("t", {1}, 27, 32); }},
      {"it is truncated", [](GgufBuilder& b) { b.AddTensor("t", {(1ull << 61) + 1}, 27, 0); }},
  };
  for (const Case& c : cases) {
    GgufBuilder builder = SmallFile();
    c.lie(builder);
    CheckRefused(builder.Build(), StatusCode::kDataLoss, c.fragment);
  }
}

TEST_CASE("GGUF: hostile names are made printable") {
  GgufBuilder builder = SmallFile();
  const std::string name = "x\n\xff" + std::string(500, 'y');
  builder.AddTensor(name, {1}, 99, 0);
  CheckRefused(builder.Build(), StatusCode::kDataLoss, "tensor 'x\\x0a\\xff" + std::string(77, 'y') + "...'");
}

TEST_CASE("GGUF: a vocabulary-only file opens") {
  const std::string name = "data/ggml-vocab/ggml-vocab-llama-spm.gguf";
  if (!HasShared(name)) {
    WARN("skipped: no " << SharedPath(name));
    return;
  }
  const auto file = GgufFile::Open(SharedPath(name));
  REQUIRE(file.ok());
  CHECK((*file)->tensors().empty());
  CHECK((*file)->FindMetadata("tokenizer.ggml.tokens")->AsStrings()->at(29871) == "\xe2\x96\x81");
}

}  // namespace
}  // namespace reprise
