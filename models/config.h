// What a decoder looks like: the hyper-parameters of config.json or of GGUF metadata, in one form.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace reprise {

enum class Architecture { kLlama, kMistral, kQwen2, kQwen3, kOpt, kPhi };
std::string_view ArchitectureName(Architecture architecture);

enum class NormKind {
  kRms,
  kLayer,  // with bias (OPT, Phi-2)
};

// What an MLP does between its matrices.
enum class Activation {
  kSiluMul,   // silu(gate) * up, two matrices in
  kRelu,      // one matrix in
  kGeluTanh,  // one matrix in
};

// The residual stream of one layer of a sliced model (SliceGPT, section 3.4): what its attention reads, what
// its MLP reads, what it leaves to the next layer. Parallel blocks have no middle: mid equals in.
struct LayerWidths {
  int in = 0;
  int mid = 0;
  int out = 0;

  bool operator==(const LayerWidths&) const = default;
};

enum class RopeScaling {
  kNone,
  kLinear,   // positions divided by `factor`
  kLlama3,   // wavelength-dependent (Llama 3.1)
  kDynamic,  // NTK by length: begins to act beyond `max_position`, up to where it is the same as kNone
};

struct RopeConfig {
  float theta = 10000.0f;
  RopeScaling scaling = RopeScaling::kNone;
  float factor = 1.0f;
  float low_frequency_factor = 1.0f;
  float high_frequency_factor = 4.0f;
  int original_max_position = 0;         // context before scaling (kLlama3)
  std::vector<float> frequency_factors;  // [head_dim / 2] or empty: frequency i is divided by factor i
                                         // (GGUF's rope_freqs.weight, its form of kLlama3)
};

// Sizes are elements. All positive and mutually consistent after Validate.
struct ModelConfig {
  Architecture architecture = Architecture::kLlama;
  int vocab_size = 0;
  int hidden_size = 0;        // D: residual width; in a sliced model that of the last layer's output
  int num_layers = 0;         // L
  int num_heads = 0;          // query heads
  int num_kv_heads = 0;       // divides num_heads
  int head_dim = 0;           // even
  int intermediate_size = 0;  // F
  int max_position = 0;       // context length the model was made for
  float norm_epsilon = 1e-5f;
  RopeConfig rope;
  bool tie_embeddings = false;
  bool attention_bias = false;         // q, k, v have biases (Qwen2)
  bool attention_output_bias = false;  // o has one too (Llama and Qwen3 with attention_bias)
  bool mlp_bias = false;               // the MLP's matrices have biases
  bool head_bias = false;
  bool qk_norm = false;  // per-head RMSNorm of q and k before rope (Qwen3)
  NormKind norm = NormKind::kRms;
  Activation activation = Activation::kSiluMul;
  bool parallel_block = false;  // attention and MLP read one norm and are added together (Phi-2)
  // First dimensions of a head that rotate, even; 0: none. OPT adds a learned vector for each position
  // instead, from a table whose first two rows are not used.
  int rotary_dim = 0;
  bool learned_positions = false;
  // Of a sliced model, one a layer; empty: every width is hidden_size. A sliced model's norms have no weights
  // and divide by norm_dim whatever the width, its layers have shortcut matrices, its head is its own.
  std::vector<LayerWidths> widths;
  int norm_dim = 0;  // of a sliced model, the original width; else hidden_size
  // W > 0: a token sees itself and the W - 1 tokens before it (Mistral 7B 0.1); 0: all before it.
  int sliding_window = 0;
  // GGUF's llama architecture stores the rows of q and k (weights and biases) so that rope rotates dimensions
  // (2i, 2i + 1) of a head; everything else rotates (i, i + head_dim / 2). Row 2i + j of a permuted head is
  // row i + j * head_dim / 2 of the original.
  bool gguf_permuted_qk = false;
  std::vector<TokenId> eos_token_ids;
  TokenId bos_token_id = -1;  // -1: none

  bool sliced() const { return !widths.empty(); }
  // {hidden_size, hidden_size, hidden_size} unless sliced.
  LayerWidths layer_widths(int layer) const {
    return sliced() ? widths[static_cast<std::size_t>(layer)]
                    : LayerWidths{hidden_size, hidden_size, hidden_size};
  }
  int embedding_width() const { return layer_widths(0).in; }
  // The width that norms divide by.
  int norm_divisor() const { return norm_dim > 0 ? norm_dim : hidden_size; }
  bool gated() const { return activation == Activation::kSiluMul; }
  // Rows of the table of learned positions.
  int position_rows() const { return max_position + kPositionOffset; }
  static constexpr int kPositionOffset = 2;  // row of position 0 in OPT's table

  // INVALID_ARGUMENT naming the field, its value and what is allowed.
  Status Validate() const;
};

// Sampling defaults of generation_config.json; absent fields stay unset.
struct GenerationDefaults {
  std::vector<TokenId> eos_token_ids;
  float temperature = -1;         // < 0: unset
  float top_p = -1;               // < 0: unset
  int top_k = -1;                 // < 0: unset
  float min_p = -1;               // < 0: unset
  float repetition_penalty = -1;  // < 0: unset
  int max_new_tokens = -1;        // < 0: unset
};

// `path` is what Checkpoint::Open takes: the config is DIR/config.json, or the metadata of the GGUF file.
// UNIMPLEMENTED names an architecture or a feature that would change the output and is not supported, with
// its field and value; INVALID_ARGUMENT or DATA_LOSS a field that is missing or wrong. The result is valid in
// the sense of Validate.
Result<ModelConfig> LoadModelConfig(const std::string& path);
// From DIR/generation_config.json; all unset when there is none or for a GGUF file. INVALID_ARGUMENT for a
// value out of range.
Result<GenerationDefaults> LoadGenerationDefaults(const std::string& path);

}  // namespace reprise
