// Damaged model files: thousands of deterministic mutations of good ones. Each must open or be refused with a
// message fit to print; what opens must be readable to its last byte. Meant for the sanitizer presets as much
// as for the ordinary ones.
#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>
#include <vector>

#include "base/noise.h"
#include "base/utf8.h"
#include "models/config.h"
#include "models/draft_checkpoint.h"
#include "models/quantize_model.h"
#include "models/tensor_names.h"
#include "tests/unit/models/formats/gguf_builder.h"
#include "tests/unit/models/formats/temp_dir.h"
#include "tests/unit/models/tiny_family.h"

namespace reprise {
namespace {

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : state_(seed) {}

  std::string Mutate(std::string bytes) {
    const std::uint64_t rounds = 1 + Below(3);
    for (std::uint64_t i = 0; i < rounds && !bytes.empty(); ++i) MutateOnce(&bytes);
    return bytes;
  }

 private:
  std::uint64_t Below(std::uint64_t n) { return MixBits(++state_) % n; }

  // Half of the positions fall into the first KiB, where headers and counts are.
  std::size_t Position(const std::string& bytes) {
    return Below(Below(2) == 0 ? std::min<std::size_t>(bytes.size(), 1024) : bytes.size());
  }

  void MutateOnce(std::string* bytes) {
    const std::size_t at = Position(*bytes);
    switch (Below(6)) {
      case 0:
        (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << Below(8)));
        break;
      case 1:
        (*bytes)[at] = static_cast<char>(Below(256));
        break;
      case 2:
        bytes->resize(at);
        break;
      case 3:
        bytes->insert(at, bytes->substr(Position(*bytes), Below(40)));
        break;
      case 4:
        bytes->erase(at, Below(40));
        break;
      default:
        WriteInteger(bytes, at);
        break;
    }
  }

  // A number that counts, sizes and offsets break on, over 4 or 8 bytes (in JSON: over digits, as digits).
  void WriteInteger(std::string* bytes, std::size_t at) {
    const std::uint64_t values[] = {0,          1,          255,        1u << 31, ~0u,
                                    1ull << 32, 1ull << 62, 1ull << 63, ~0ull,    bytes->size()};
    const std::uint64_t value = values[Below(std::size(values))];
    if ((*bytes)[at] >= '0' && (*bytes)[at] <= '9') {
      bytes->replace(at, 1, std::to_string(value));
      return;
    }
    const std::size_t width = Below(2) == 0 ? 4 : 8;
    bytes->replace(at, width, Bytes(value).substr(0, width));
  }

  std::uint64_t state_;
};

// Sums every byte of every tensor, so that one outside the file is touched; the sum keeps the loop alive.
std::uint64_t ReadAll(const Checkpoint& checkpoint) {
  std::uint64_t sum = 0;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    CHECK(checkpoint.Find(tensor.name) != nullptr);
    for (std::size_t i = 0; i < tensor.bytes; ++i) sum += std::to_integer<std::uint64_t>(tensor.data[i]);
  }
  for (int role = 0; role < kNumTensorRoles; ++role) {
    const auto tensor = FindTensor(checkpoint, static_cast<TensorRole>(role), 0);
    if (!tensor.ok()) continue;
    std::vector<float> values(static_cast<std::size_t>((*tensor)->elements()));
    Dequantize((*tensor)->type, (*tensor)->data, (*tensor)->elements(), values.data());
  }
  return sum;
}

void CheckStatus(const Status& status) {
  if (status.ok()) return;
  REQUIRE_FALSE(status.message().empty());
  REQUIRE(FindInvalidUtf8(status.message()) == std::string::npos);
  REQUIRE(status.message().size() < 2000);
}

void OpenEverything(const std::string& path) {
  const auto checkpoint = Checkpoint::Open(path);
  CheckStatus(checkpoint.status());
  if (checkpoint.ok()) ReadAll(**checkpoint);
  const auto config = LoadModelConfig(path);
  CheckStatus(config.status());
  if (config.ok()) CHECK(config->Validate().ok());
  CheckStatus(LoadGenerationDefaults(path).status());
}

// Opens with `open` after each of `count` mutations of one file in `dir`.
void Fuzz(const TempDir& dir, const std::string& name, int count, const std::function<void()>& open) {
  const std::string good = ReadWholeFile(dir.path() + "/" + name);
  REQUIRE_FALSE(good.empty());
  for (int i = 0; i < count; ++i) {
    dir.Write(name, Mutator(static_cast<std::uint64_t>(i) << 32).Mutate(good));
    INFO(name << ", mutation " << i);
    open();
  }
}

// Ends on a page boundary, so that a read past the end faults.
std::string GgufWithEveryType() {
  GgufBuilder builder;
  builder.Add("general.architecture", kString, GgufString("qwen2"))
      .Add("general.alignment", kU32, Bytes(64u));
  for (const char* key : {"block_count", "context_length", "embedding_length", "feed_forward_length",
                          "attention.head_count", "attention.head_count_kv"}) {
    builder.Add(std::string("qwen2.") + key, kU32, Bytes(2u));
  }
  builder.Add("qwen2.attention.layer_norm_rms_epsilon", kF32, Bytes(1e-6f));
  builder.Add("f64", kF64, Bytes(0.5)).Add("bool", kBool, "\1").Add("i64", kI64, Bytes<std::int64_t>(-1));
  builder.AddArray("tokenizer.ggml.tokens", kString, 3, GgufString("a") + GgufString("") + GgufString("ccc"));
  builder.AddArray("floats", kF32, 2, Bytes(0.5f) + Bytes(1.5f)).AddArray("bools", kBool, 2, "\1\1");
  builder.AddArray("u16s", kU16, 2, "abcd").AddArray("u64s", kU64, 1, Bytes<std::uint64_t>(9));
  // ggml's numbers of F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, BF16, IQ4_XS
  std::uint64_t offset = 0;
  for (const std::uint32_t type : {0u, 1u, 2u, 3u, 6u, 7u, 8u, 12u, 13u, 14u, 30u, 23u}) {
    builder.AddTensor("t" + std::to_string(type), {256, 2}, type, offset);
    offset += 2048;
  }
  builder.AddTensor("token_embd.weight", {256, 2}, 0, offset);
  builder.alignment = 64;
  const std::size_t header_bytes = builder.Build().size();
  const std::size_t size = (header_bytes + offset + 2048 + 4095) / 4096 * 4096;
  return builder.Data(std::string(size - header_bytes, '\x5a')).Build();
}

TEST_CASE("Damaged GGUF files open or are refused") {
  const TempDir dir;
  const std::string path = dir.Write("model.gguf", GgufWithEveryType());
  const auto good = Checkpoint::Open(path);
  REQUIRE(good.ok());
  REQUIRE((*good)->tensors().size() == 12);
  Fuzz(dir, "model.gguf", 6000, [&path] { OpenEverything(path); });
}

TEST_CASE("Damaged GGUF models of the tiny kind open or are refused") {
  const TempDir dir;
  const std::string path = dir.Write("model.gguf", ReadWholeFile("tests/data/models/llama3-Q8_0.gguf"));
  Fuzz(dir, "model.gguf", 1500, [&path] { OpenEverything(path); });
}

TEST_CASE("Damaged files of a Hugging Face directory are accepted or refused") {
  const std::string source = GENERATE("llama3", "qwen3", "mistral");
  for (const auto& entry : std::filesystem::directory_iterator("tests/data/models/" + source)) {
    const std::string name = entry.path().filename().string();
    if (name.find("token") != std::string::npos || name.find("golden") != std::string::npos) continue;
    const TempDir dir;
    std::filesystem::copy("tests/data/models/" + source, dir.path());
    Fuzz(dir, name, 800, [&dir] { OpenEverything(dir.path()); });
  }
}

TEST_CASE("Damaged files of a recycle module, quantised or not, are accepted or refused") {
  const bool quantized = GENERATE(false, true);
  const TempDir dir;
  const std::string target = "tests/data/models/smollm2";
  const auto checkpoint = std::move(Checkpoint::Open(target)).value();
  WriteModule(dir.path(), *checkpoint, LoadModelConfig(target).value(), {ModuleKind::kRandom, 1, false, 90});
  REQUIRE(QuantizeModel({dir.path(), dir.path() + "/quantized"}, nullptr).ok());
  const std::string form = quantized ? "quantized/" : "";
  const auto open = [&] {
    const auto config = LoadDraftConfig(dir.path() + "/" + form, DraftClass::kRecycleModule);
    CheckStatus(config.status());
    const auto file = OpenDraftCheckpoint(dir.path() + "/" + form, DraftClass::kRecycleModule);
    CheckStatus(file.status());
    if (file.ok()) ReadAll(**file);
    if (file.ok() && config.ok()) CheckStatus(LoadDraftVocabulary(**file, *config).status());
  };
  Fuzz(dir, form + (quantized ? "model.gguf" : "model.safetensors"), 1500, open);
  Fuzz(dir, form + "config.json", 800, open);
}

TEST_CASE("Every prefix of a tiny GGUF's header is refused") {
  const std::string good = ReadWholeFile("tests/data/models/llama3-Q8_0.gguf");
  const TempDir dir;
  for (std::size_t length = 0; length < 12000; length += 7) {
    const auto file = Checkpoint::Open(dir.Write("model.gguf", good.substr(0, length)));
    REQUIRE_FALSE(file.ok());
    CheckStatus(file.status());
  }
}

}  // namespace
}  // namespace reprise
