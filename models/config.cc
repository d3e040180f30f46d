#include "models/config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <system_error>

#include "models/config_loaders.h"
#include "models/formats/gguf.h"

namespace reprise {
namespace {

namespace fs = std::filesystem;

// Generous; products of two or three sizes still fit into 63 bits.
constexpr int kMaxVocab = 1 << 24;
constexpr int kMaxWidth = 1 << 20;
constexpr int kMaxLayers = 1 << 12;
constexpr int kMaxHeads = 1 << 12;
constexpr int kMaxHeadDim = 1 << 10;
constexpr int kMaxPosition = 1 << 28;

Status CheckRange(const char* field, int value, int low, int high) {
  if (value >= low && value <= high) return OkStatus();
  return InvalidArgument(std::string("'") + field + "' is " + std::to_string(value) + "; allowed are " +
                             std::to_string(low) + " to " + std::to_string(high),
                         field);
}

Status CheckPositive(const char* field, float value) {
  if (std::isfinite(value) && value > 0) return OkStatus();
  return InvalidArgument(
      std::string("'") + field + "' is " + std::to_string(value) + "; it must be a positive number", field);
}

Status ValidateRope(const RopeConfig& rope, int rotary_dim) {
  RETURN_IF_ERROR(CheckPositive("rope.theta", rope.theta));
  RETURN_IF_ERROR(CheckPositive("rope.factor", rope.factor));
  if (!rope.frequency_factors.empty() &&
      rope.frequency_factors.size() != static_cast<std::size_t>(rotary_dim / 2)) {
    return InvalidArgument("there must be one rope frequency factor for each of the " +
                           std::to_string(rotary_dim / 2) + " frequencies");
  }
  for (const float factor : rope.frequency_factors) {
    RETURN_IF_ERROR(CheckPositive("rope.frequency_factors", factor));
  }
  if (rope.scaling != RopeScaling::kLlama3) return OkStatus();
  RETURN_IF_ERROR(CheckPositive("rope.low_frequency_factor", rope.low_frequency_factor));
  RETURN_IF_ERROR(CheckPositive("rope.high_frequency_factor", rope.high_frequency_factor));
  if (rope.low_frequency_factor >= rope.high_frequency_factor) {
    return InvalidArgument("rope's low_freq_factor must be below its high_freq_factor",
                           "rope.low_frequency_factor");
  }
  return CheckRange("rope.original_max_position", rope.original_max_position, 1, kMaxPosition);
}

// Each layer begins where the one before it ended; the last one ends in the width that the head reads.
Status ValidateWidths(const ModelConfig& config) {
  if (static_cast<int>(config.widths.size()) != config.num_layers) {
    return InvalidArgument("there are widths for " + std::to_string(config.widths.size()) +
                               " sliced layers, but the model has " + std::to_string(config.num_layers),
                           "widths");
  }
  RETURN_IF_ERROR(CheckRange("norm_dim", config.norm_dim, 1, kMaxWidth));
  const int most = config.hidden_size;
  int expected = config.widths.front().in;
  for (std::size_t i = 0; i < config.widths.size(); ++i) {
    const LayerWidths& layer = config.widths[i];
    for (const int width : {layer.in, layer.mid, layer.out}) {
      RETURN_IF_ERROR(CheckRange("widths", width, 1, most));
    }
    if (layer.in != expected || (config.parallel_block && layer.mid != layer.in)) {
      return InvalidArgument("sliced layer " + std::to_string(i) + " reads widths " +
                                 std::to_string(layer.in) + " and " + std::to_string(layer.mid) +
                                 ", but is given " + std::to_string(expected),
                             "widths");
    }
    expected = layer.out;
  }
  if (expected == config.hidden_size) return OkStatus();
  return InvalidArgument("the last sliced layer ends in width " + std::to_string(expected) +
                             ", but the head reads 'hidden_size', " + std::to_string(config.hidden_size),
                         "widths");
}

Status Prefixed(const std::string& path, const Status& status) {
  return Status(status.code(), path + ": " + status.message(), status.param());
}

// The file that describes the model at `path`: a GGUF file does so itself.
Result<std::string> ConfigSource(const std::string& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return (fs::path(path) / "config.json").string();
  ASSIGN_OR_RETURN(const bool is_gguf, IsGguf(path));
  return is_gguf ? path : (fs::path(path).parent_path() / "config.json").string();
}

Result<ModelConfig> LoadGgufConfig(const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(path));
  Result<ModelConfig> config = ReadGgufConfig(*file);
  return config.ok() ? config : Prefixed(path, config.status());
}

}  // namespace

std::string_view ArchitectureName(Architecture architecture) {
  switch (architecture) {
    case Architecture::kLlama:
      return "llama";
    case Architecture::kMistral:
      return "mistral";
    case Architecture::kQwen2:
      return "qwen2";
    case Architecture::kQwen3:
      return "qwen3";
    case Architecture::kOpt:
      return "opt";
    case Architecture::kPhi:
      return "phi";
  }
  return "unknown";
}

Status ModelConfig::Validate() const {
  RETURN_IF_ERROR(CheckRange("vocab_size", vocab_size, 1, kMaxVocab));
  RETURN_IF_ERROR(CheckRange("hidden_size", hidden_size, 1, kMaxWidth));
  RETURN_IF_ERROR(CheckRange("num_layers", num_layers, 1, kMaxLayers));
  RETURN_IF_ERROR(CheckRange("num_heads", num_heads, 1, kMaxHeads));
  RETURN_IF_ERROR(CheckRange("num_kv_heads", num_kv_heads, 1, num_heads));
  RETURN_IF_ERROR(CheckRange("head_dim", head_dim, 2, kMaxHeadDim));
  RETURN_IF_ERROR(CheckRange("intermediate_size", intermediate_size, 1, kMaxWidth));
  RETURN_IF_ERROR(CheckRange("max_position", max_position, 1, kMaxPosition));
  RETURN_IF_ERROR(CheckRange("sliding_window", sliding_window, 0, kMaxPosition));
  if (num_heads % num_kv_heads != 0) {
    return InvalidArgument("'num_kv_heads' is " + std::to_string(num_kv_heads) +
                               ", which does not divide the " + std::to_string(num_heads) + " query heads",
                           "num_kv_heads");
  }
  if (head_dim % 2 != 0) {
    return InvalidArgument("'head_dim' is " + std::to_string(head_dim) + "; it must be even", "head_dim");
  }
  RETURN_IF_ERROR(CheckPositive("norm_epsilon", norm_epsilon));
  RETURN_IF_ERROR(CheckRange("rotary_dim", rotary_dim, 0, head_dim));
  if (rotary_dim % 2 != 0) {
    return InvalidArgument("'rotary_dim' is " + std::to_string(rotary_dim) + "; it must be even",
                           "rotary_dim");
  }
  RETURN_IF_ERROR(ValidateRope(rope, rotary_dim));
  if (sliced()) RETURN_IF_ERROR(ValidateWidths(*this));
  for (const TokenId id : eos_token_ids) RETURN_IF_ERROR(CheckRange("eos_token_id", id, 0, vocab_size - 1));
  return CheckRange("bos_token_id", bos_token_id, -1, vocab_size - 1);
}

Result<ModelConfig> LoadModelConfig(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string source, ConfigSource(path));
  ASSIGN_OR_RETURN(ModelConfig config, source == path ? LoadGgufConfig(path) : ReadHuggingFaceConfig(source));
  const Status valid = config.Validate();
  if (!valid.ok()) return Prefixed(source, valid);
  return config;
}

}  // namespace reprise
