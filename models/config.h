// What a decoder looks like: the hyper-parameters of config.json or of GGUF metadata, in one form.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace reprise {

enum class Architecture { kLlama, kMistral, kQwen2, kQwen3 };
std::string_view ArchitectureName(Architecture architecture);

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
  int hidden_size = 0;        // D: residual width
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
  bool qk_norm = false;                // per-head RMSNorm of q and k before rope (Qwen3)
  // W > 0: a token sees itself and the W - 1 tokens before it (Mistral 7B 0.1); 0: all before it.
  int sliding_window = 0;
  // GGUF's llama architecture stores the rows of q and k (weights and biases) so that rope rotates dimensions
  // (2i, 2i + 1) of a head; everything else rotates (i, i + head_dim / 2). Row 2i + j of a permuted head is
  // row i + j * head_dim / 2 of the original.
  bool gguf_permuted_qk = false;
  std::vector<TokenId> eos_token_ids;
  TokenId bos_token_id = -1;  // -1: none

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
