// Recycle modules and drafts for the tiny test models, made on the spot.
#pragma once

#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "models/decoder.h"
#include "models/fingerprint.h"
#include "models/formats/tensor_writer.h"
#include "models/recycle_module.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise {

enum class ModuleKind {
  kRandom,    // guesses anything
  kCopy,      // guesses the last token again, which a tiny model often does
  kContrary,  // guesses what the target finds least likely
};

struct ModuleSpec {
  ModuleKind kind = ModuleKind::kCopy;
  int num_layers = 1;
  bool pre_norm = false;
  int draft_vocab = 0;  // 0: all; else every second token and so on, ascending
};

// Writes `tensors` (row-major floats by name and shape) as a safetensors file.
class TensorFile {
 public:
  void Add(const std::string& name, std::vector<std::int64_t> shape,
           const std::function<float(std::int64_t)>& value) {
    specs_.push_back({name, WeightType::kF32, std::move(shape)});
    std::vector<float> values(static_cast<std::size_t>(specs_.back().elements()));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(static_cast<std::int64_t>(i));
    values_.push_back(std::move(values));
  }
  void Write(const std::string& path) const {
    auto writer = TensorWriter::CreateSafetensors(path, specs_, {});
    REQUIRE(writer.ok());
    for (std::size_t i = 0; i < specs_.size(); ++i) {
      REQUIRE((*writer)->Write(specs_[i].name, 0, std::as_bytes(std::span(values_[i]))).ok());
    }
    REQUIRE((*writer)->Finish().ok());
  }

 private:
  std::vector<TensorSpec> specs_;
  std::vector<std::vector<float>> values_;
};

// Appends a tensor of int64 to a safetensors file, as vocabulary maps are stored.
inline void AppendIntegers(const std::string& path, const std::string& name,
                           const std::vector<std::int64_t>& values) {
  std::string file = ReadWholeFile(path);
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), 8);
  std::string header = file.substr(8, header_bytes);
  const std::string data = file.substr(8 + header_bytes);
  const std::size_t bytes = values.size() * 8;
  header.erase(header.rfind('}'));
  header += ",\"" + name + "\":{\"dtype\":\"I64\",\"shape\":[" + std::to_string(values.size()) +
            "],\"data_offsets\":[" + std::to_string(data.size()) + "," + std::to_string(data.size() + bytes) +
            "]}}";
  header_bytes = header.size();
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&header_bytes), 8);
  out << header << data;
  out.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(bytes));
}

inline std::vector<std::int64_t> EveryNth(int vocab, int count) {
  std::vector<std::int64_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back(static_cast<std::int64_t>(i) * vocab / count);
  return ids;
}

// The sizes of a Llama layer as config.json names them.
inline std::string LayerFields(const ModelConfig& c, int num_layers, const std::string& sha256) {
  return "\"hidden_size\":" + std::to_string(c.hidden_size) +
         ",\"vocab_size\":" + std::to_string(c.vocab_size) +
         ",\"num_hidden_layers\":" + std::to_string(num_layers) +
         ",\"num_attention_heads\":" + std::to_string(c.num_heads) +
         ",\"num_key_value_heads\":" + std::to_string(c.num_kv_heads) +
         ",\"head_dim\":" + std::to_string(c.head_dim) +
         ",\"intermediate_size\":" + std::to_string(c.intermediate_size) +
         ",\"rms_norm_eps\":1e-5,\"rope_theta\":10000.0,\"max_position_embeddings\":" +
         std::to_string(c.max_position) + ",\"base_sha256\":\"" + sha256 + "\",\"base_name\":\"tiny\"";
}

inline void AddLayers(TensorFile* file, const std::string& prefix, const ModelConfig& c, int num_layers,
                      float scale, std::mt19937* random) {
  std::normal_distribution<float> normal(0.0f, scale);
  const auto noise = [&](std::int64_t) { return scale > 0 ? normal(*random) : 0.0f; };
  const auto one = [](std::int64_t) { return 1.0f; };
  const std::int64_t d = c.hidden_size, q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  for (int l = 0; l < num_layers; ++l) {
    const std::string at = prefix + "layers." + std::to_string(l) + ".";
    file->Add(at + "input_layernorm.weight", {d}, one);
    file->Add(at + "post_attention_layernorm.weight", {d}, one);
    file->Add(at + "self_attn.q_proj.weight", {q, d}, noise);
    file->Add(at + "self_attn.k_proj.weight", {kv, d}, noise);
    file->Add(at + "self_attn.v_proj.weight", {kv, d}, noise);
    file->Add(at + "self_attn.o_proj.weight", {d, q}, noise);
    file->Add(at + "mlp.gate_proj.weight", {c.intermediate_size, d}, noise);
    file->Add(at + "mlp.up_proj.weight", {c.intermediate_size, d}, noise);
    file->Add(at + "mlp.down_proj.weight", {d, c.intermediate_size}, noise);
  }
}

// A module for the target of that checkpoint and configuration, into the directory.
inline void WriteModule(const std::string& dir, const Checkpoint& checkpoint, const ModelConfig& c,
                        const ModuleSpec& spec) {
  const std::int64_t d = c.hidden_size, e = c.embedding_width();
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0f, 0.1f);
  TensorFile file;
  const auto one = [](std::int64_t) { return 1.0f; };
  file.Add("hidden_norm.weight", {d}, one);
  file.Add("embedding_norm.weight", {e}, one);
  file.Add("norm.weight", {d}, one);
  file.Add("input_projection.weight", {d, d + e}, [&](std::int64_t i) {
    const std::int64_t row = i / (d + e), column = i % (d + e);
    switch (spec.kind) {
      case ModuleKind::kRandom:
        return normal(random);
      case ModuleKind::kCopy:
        return column == d + row ? 1.0f : 0.0f;
      case ModuleKind::kContrary:
        return column == row ? -1.0f : 0.0f;
    }
    return 0.0f;
  });
  AddLayers(&file, "", c, spec.num_layers, spec.kind == ModuleKind::kRandom ? 0.1f : 0.003f, &random);
  file.Write(dir + "/model.safetensors");
  const int draft_vocab = spec.draft_vocab > 0 ? spec.draft_vocab : c.vocab_size;
  if (spec.draft_vocab > 0) {
    AppendIntegers(dir + "/model.safetensors", "d2t", EveryNth(c.vocab_size, spec.draft_vocab));
  }
  std::ofstream(dir + "/config.json")
      << ("{\"architectures\":[\"RepriseRecycleModule\"],\"model_type\":\"reprise_recycle\"," +
          LayerFields(c, spec.num_layers, BaseFingerprint(checkpoint, c).value()) + ",\"hidden_kind\":\"" +
          (spec.pre_norm ? "pre_norm" : "post_norm") + "\",\"max_draft_tokens\":2,\"embedding_size\":" +
          std::to_string(e) + ",\"draft_vocab_size\":" + std::to_string(draft_vocab) + "}");
}

inline std::unique_ptr<RecycleModule> MakeModule(const std::string& target_path, const Decoder& target,
                                                 Backend& backend, const ModuleSpec& spec) {
  const TempDir dir;
  const auto checkpoint = std::move(Checkpoint::Open(target_path)).value();
  WriteModule(dir.path(), *checkpoint, target.config(), spec);
  auto module =
      RecycleModule::Load(dir.path(), target, *checkpoint, "tiny", backend, target.config().max_position);
  INFO(module.status().ToString());
  REQUIRE(module.ok());
  return std::move(module).value();
}

}  // namespace reprise
