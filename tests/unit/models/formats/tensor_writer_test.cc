#include "models/formats/tensor_writer.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "models/formats/checkpoint.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise {
namespace {

std::vector<TensorSpec> Specs() {
  return {{"a.weight", WeightType::kF32, {3, 5}},
          {"b", WeightType::kF16, {7}},
          {"c", WeightType::kQ8_0, {2, 64}}};
}

std::vector<std::byte> Contents(const TensorSpec& spec) {
  std::vector<std::byte> bytes(spec.bytes());
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + spec.name.size());
  return bytes;
}

void WriteAll(TensorWriter& writer, std::span<const TensorSpec> specs) {
  // Last first, and the first in two parts.
  for (std::size_t i = specs.size(); i-- > 1;)
    REQUIRE(writer.Write(specs[i].name, 0, Contents(specs[i])).ok());
  const std::vector<std::byte> first = Contents(specs[0]);
  REQUIRE(writer.Write(specs[0].name, 8, std::span(first).subspan(8)).ok());
  REQUIRE(writer.Write(specs[0].name, 0, std::span(first).first(8)).ok());
}

void CheckContents(const std::string& path, std::span<const TensorSpec> specs) {
  const auto checkpoint = Checkpoint::Open(path);
  INFO(checkpoint.status().ToString());
  REQUIRE(checkpoint.ok());
  CHECK((*checkpoint)->tensors().size() == specs.size());
  for (const TensorSpec& spec : specs) {
    INFO(spec.name);
    const TensorInfo* tensor = (*checkpoint)->Find(spec.name);
    REQUIRE(tensor != nullptr);
    CHECK(tensor->type == spec.type);
    CHECK(tensor->shape == spec.shape);
    const std::vector<std::byte> expected = Contents(spec);
    REQUIRE(tensor->bytes == expected.size());
    CHECK(std::equal(expected.begin(), expected.end(), tensor->data));
  }
}

TEST_CASE("safetensors that are written can be read") {
  const TempDir dir;
  const std::string path = dir.path() + "/model.safetensors";
  const std::vector<TensorSpec> specs = {Specs()[0], Specs()[1]};
  auto writer = TensorWriter::CreateSafetensors(path, specs, {{"format", "pt"}});
  REQUIRE(writer.ok());
  WriteAll(**writer, specs);
  CHECK_FALSE(std::filesystem::exists(path));  // not before it is complete
  REQUIRE((*writer)->Finish().ok());
  CHECK_FALSE(std::filesystem::exists(path + ".partial"));
  CheckContents(path, specs);
}

TEST_CASE("GGUF files that are written can be read, with every kind of metadata") {
  const TempDir dir;
  const std::string path = dir.path() + "/model.gguf";
  const std::vector<TensorSpec> specs = Specs();
  const GgufFile::Metadata metadata = {
      {"a.bool", GgufValue(true)},
      {"a.int", GgufValue(std::int64_t{42})},
      {"a.negative", GgufValue(std::int64_t{-42})},
      {"a.large", GgufValue(std::int64_t{1} << 40)},
      {"a.number", GgufValue(0.5)},
      {"a.text", GgufValue(std::string("the river"))},
      {"a.ints", GgufValue(std::vector<std::int64_t>{1, -2, 3})},
      {"a.large_ints", GgufValue(std::vector<std::int64_t>{1, std::int64_t{1} << 40})},
      {"a.floats", GgufValue(std::vector<float>{0.5f, -1.0f})},
      {"a.texts", GgufValue(std::vector<std::string>{"x", "", "yz"})},
      {"a.bools", GgufValue(std::vector<bool>{true, false})},
      {"general.architecture", GgufValue(std::string("llama"))}};
  auto writer = TensorWriter::CreateGguf(path, specs, metadata);
  REQUIRE(writer.ok());
  WriteAll(**writer, specs);
  REQUIRE((*writer)->Finish().ok());
  CheckContents(path, specs);
  const auto file = GgufFile::Open(path);
  REQUIRE(file.ok());
  REQUIRE((*file)->metadata().size() == metadata.size());
  for (const auto& [key, value] : metadata) {
    INFO(key);
    REQUIRE((*file)->FindMetadata(key) != nullptr);
    CHECK((*file)->FindMetadata(key)->data() == value.data());
  }
}

TEST_CASE("a vocabulary map that is written can be read, from either format") {
  const TempDir dir;
  const std::vector<std::int32_t> ids = {0, 7, -1, 1 << 30};
  const std::vector<TensorSpec> specs = {Specs()[0], {"map", WeightType::kF32, {4}, true}};
  const bool gguf = GENERATE(false, true);
  const std::string path = dir.path() + (gguf ? "/model.gguf" : "/model.safetensors");
  auto writer = gguf ? TensorWriter::CreateGguf(path, specs, {{"a.bool", GgufValue(true)}})
                     : TensorWriter::CreateSafetensors(path, specs, {});
  REQUIRE(writer.ok());
  REQUIRE((*writer)->Write("a.weight", 0, Contents(specs[0])).ok());
  REQUIRE((*writer)->Write("map", 0, std::as_bytes(std::span(ids))).ok());
  REQUIRE((*writer)->Finish().ok());
  CheckContents(path, std::span(specs).first(1));
  const auto checkpoint = Checkpoint::Open(path);
  CHECK((*checkpoint)->Integers("map").value() == std::vector<std::int64_t>{0, 7, -1, 1 << 30});
  CHECK((*checkpoint)->UnsupportedType("map") == "I32");
}

TEST_CASE("an unfinished file is removed, and one left by a killed run replaced") {
  const TempDir dir;
  const std::string path = dir.path() + "/model.safetensors";
  dir.Write("model.safetensors.partial", std::string(100000, 'x'));
  {
    auto writer = TensorWriter::CreateSafetensors(path, Specs(), {});
    REQUIRE(writer.ok());
    CHECK(std::filesystem::file_size(path + ".partial") < 100000);
  }
  CHECK(std::filesystem::is_empty(dir.path()));
}

TEST_CASE("a path that cannot be written is named") {
  const Status status = TensorWriter::CreateGguf("/no/such/place.gguf", Specs(), {}).status();
  CHECK(status.code() == StatusCode::kFailedPrecondition);
  CHECK_THAT(status.message(), Catch::Contains("/no/such/place.gguf.partial: No such file"));
}

}  // namespace
}  // namespace reprise
