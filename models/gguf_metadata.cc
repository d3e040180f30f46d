#include "models/gguf_metadata.h"

#include <cstdint>
#include <utility>

#include "models/rope_table.h"

namespace reprise {
namespace {

std::string GgufArchitecture(Architecture architecture) {
  switch (architecture) {
    case Architecture::kLlama:
    case Architecture::kMistral:
      return "llama";
    case Architecture::kQwen2:
      return "qwen2";
    case Architecture::kQwen3:
      return "qwen3";
    case Architecture::kOpt:
      return "opt";
    case Architecture::kPhi:
      return "phi2";
  }
  return "";
}

class Builder {
 public:
  explicit Builder(std::string prefix) : prefix_(std::move(prefix) + ".") {}

  // Keys of the architecture.
  void Int(const std::string& key, std::int64_t value) { Add(prefix_ + key, value); }
  void Number(const std::string& key, double value) { Add(prefix_ + key, value); }
  void Text(const std::string& key, std::string value) { Add(prefix_ + key, std::move(value)); }
  // Any key.
  template <typename T>
  void Add(const std::string& key, T value) {
    metadata_.insert({key, GgufValue(GgufValue::Data(std::move(value)))});
  }
  GgufFile::Metadata Take() { return std::move(metadata_); }

 private:
  std::string prefix_;
  GgufFile::Metadata metadata_;
};

void AddRope(const ModelConfig& config, Builder* builder) {
  if (config.rotary_dim == 0) return;
  builder->Int("rope.dimension_count", config.rotary_dim);
  builder->Number("rope.freq_base", static_cast<double>(config.rope.theta));
  if (config.rope.scaling != RopeScaling::kLinear) return;
  builder->Text("rope.scaling.type", "linear");
  builder->Number("rope.scaling.factor", static_cast<double>(config.rope.factor));
}

void AddTokens(const ModelConfig& config, Builder* builder) {
  const char* const eos_keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"};
  for (std::size_t i = 0; i < config.eos_token_ids.size() && i < 2; ++i)
    builder->Add(eos_keys[i], std::int64_t{config.eos_token_ids[i]});
  if (config.bos_token_id >= 0) {
    builder->Add("tokenizer.ggml.bos_token_id", std::int64_t{config.bos_token_id});
  }
}

}  // namespace

GgufFile::Metadata ModelMetadata(const ModelConfig& config, const std::string& name) {
  const std::string architecture = GgufArchitecture(config.architecture);
  Builder builder(architecture);
  builder.Add("general.architecture", architecture);
  builder.Add("general.name", name);
  builder.Add("general.quantization_version", std::int64_t{2});
  builder.Int("vocab_size", config.vocab_size);
  builder.Int("block_count", config.num_layers);
  builder.Int("context_length", config.max_position);
  builder.Int("embedding_length", config.hidden_size);
  builder.Int("feed_forward_length", config.intermediate_size);
  builder.Int("attention.head_count", config.num_heads);
  builder.Int("attention.head_count_kv", config.num_kv_heads);
  builder.Int("attention.key_length", config.head_dim);
  builder.Int("attention.value_length", config.head_dim);
  builder.Number(
      config.norm == NormKind::kLayer ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
      static_cast<double>(config.norm_epsilon));
  if (config.sliding_window > 0) builder.Int("attention.sliding_window", config.sliding_window);
  AddRope(config, &builder);
  AddTokens(config, &builder);
  if (config.sliced()) {
    std::vector<std::int64_t> widths;
    for (const LayerWidths& layer : config.widths) {
      for (const int width : {layer.in, layer.mid, layer.out}) widths.push_back(width);
    }
    builder.Add("reprise.sliced.widths", widths);
    builder.Add("reprise.sliced.norm_dim", std::int64_t{config.norm_dim});
  }
  return builder.Take();
}

std::vector<float> RopeFrequencyDivisors(const ModelConfig& config) {
  if (!config.rope.frequency_factors.empty()) return config.rope.frequency_factors;
  if (config.rope.scaling != RopeScaling::kLlama3) return {};
  RopeConfig plain = config.rope;
  plain.scaling = RopeScaling::kNone;
  const std::vector<double> frequencies = RopeFrequencies(plain, config.rotary_dim);
  const std::vector<double> scaled = RopeFrequencies(config.rope, config.rotary_dim);
  std::vector<float> divisors;
  for (std::size_t i = 0; i < scaled.size(); ++i)
    divisors.push_back(static_cast<float>(frequencies[i] / scaled[i]));
  return divisors;
}

bool GgufPermutesHeads(const ModelConfig& config) {
  return GgufArchitecture(config.architecture) == "llama";
}

}  // namespace reprise
