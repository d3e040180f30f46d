#include "models/formats/checkpoint.h"

#include <catch2/catch.hpp>

#include "tests/unit/models/formats/gguf_builder.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise {
namespace {

TEST_CASE("Checkpoint::Open tells the formats apart") {
  const auto gguf = Checkpoint::Open("tests/data/models/llama2-Q8_0.gguf");
  REQUIRE(gguf.ok());
  CHECK((*gguf)->format() == "gguf");
  const auto file = Checkpoint::Open("tests/data/models/llama2/model.safetensors");
  REQUIRE(file.ok());
  CHECK((*file)->format() == "safetensors");
  const auto directory = Checkpoint::Open("tests/data/models/llama2");
  REQUIRE(directory.ok());
  CHECK((*directory)->tensors().size() == (*file)->tensors().size());
}

TEST_CASE("Checkpoint::Open reads a sharded directory whole") {
  const auto sharded = Checkpoint::Open("tests/data/models/llama3");
  REQUIRE(sharded.ok());
  CHECK((*sharded)->tensors().size() == 21);  // 2 layers of 9, embedding, norm, head
  CHECK((*sharded)->Find("lm_head.weight") != nullptr);
  CHECK((*sharded)->Find("model.layers.1.mlp.down_proj.weight") != nullptr);
  (*sharded)->ReleasePages();
  CHECK(std::to_integer<int>((*sharded)->Find("lm_head.weight")->data[0]) >= 0);  // still readable
}

TEST_CASE("Checkpoint::Open knows a GGUF by its content, not its name") {
  const TempDir dir;
  const auto file = Checkpoint::Open(dir.Write("weights.bin", GgufBuilder().Build()));
  REQUIRE(file.ok());
  CHECK((*file)->format() == "gguf");
}

TEST_CASE("Checkpoint::Open says what it expected") {
  const TempDir dir;
  const auto message = [](const std::string& path) { return Checkpoint::Open(path).status().ToString(); };
  CHECK_THAT(message(dir.path()),
             Catch::StartsWith("NOT_FOUND") && Catch::Contains("neither model.safetensors"));
  CHECK_THAT(message(dir.path() + "/none"), Catch::StartsWith("NOT_FOUND") && Catch::Contains("/none"));
  CHECK_THAT(message(dir.Write("model.bin", "PK\3\4")),
             Catch::StartsWith("INVALID_ARGUMENT") && Catch::Contains("expected a GGUF file"));
  CHECK_THAT(message(dir.Write("empty.gguf", "")), Catch::StartsWith("DATA_LOSS"));
  GgufBuilder split;
  split.Add("split.count", kU16, Bytes<std::uint16_t>(3));
  CHECK_THAT(message(dir.Write("split.gguf", split.Build())),
             Catch::StartsWith("UNIMPLEMENTED") && Catch::Contains("'split.count' is 3"));
}

}  // namespace
}  // namespace reprise
