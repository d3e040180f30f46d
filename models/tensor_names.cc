#include "models/tensor_names.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "models/formats/quoted.h"

namespace reprise {
namespace {

struct Names {
  std::string_view hugging_face;  // Llama, Mistral, Qwen; after "model.layers.N." when per layer
  std::string_view opt;           // after "model.decoder.layers.N."
  std::string_view phi;           // after "model.layers.N."
  std::string_view gguf;          // after "blk.N."
};

// In the order of TensorRole.
constexpr std::array<Names, kNumTensorRoles> kNames = {{
    {"model.embed_tokens.weight", "model.decoder.embed_tokens.weight", "model.embed_tokens.weight",
     "token_embd.weight"},
    {"model.embed_positions.weight", "model.decoder.embed_positions.weight", "model.embed_positions.weight",
     "position_embd.weight"},
    {"input_rotation.weight", "input_rotation.weight", "input_rotation.weight", "input_rotation.weight"},
    {"output_rotation.weight", "output_rotation.weight", "output_rotation.weight", "output_rotation.weight"},
    {"hidden_norm.weight", "hidden_norm.weight", "hidden_norm.weight", "recycle.hidden_norm.weight"},
    {"embedding_norm.weight", "embedding_norm.weight", "embedding_norm.weight",
     "recycle.embedding_norm.weight"},
    {"input_projection.weight", "input_projection.weight", "input_projection.weight",
     "recycle.input_projection.weight"},
    {"model.norm.weight", "model.decoder.final_layer_norm.weight", "model.final_layernorm.weight",
     "output_norm.weight"},
    {"model.norm.bias", "model.decoder.final_layer_norm.bias", "model.final_layernorm.bias",
     "output_norm.bias"},
    {"lm_head.bias", "lm_head.bias", "lm_head.bias", "output.bias"},
    {"lm_head.weight", "lm_head.weight", "lm_head.weight", "output.weight"},
    {"input_layernorm.weight", "self_attn_layer_norm.weight", "input_layernorm.weight", "attn_norm.weight"},
    {"input_layernorm.bias", "self_attn_layer_norm.bias", "input_layernorm.bias", "attn_norm.bias"},
    {"self_attn.q_proj.weight", "self_attn.q_proj.weight", "self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "self_attn.k_proj.weight", "self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "self_attn.v_proj.weight", "self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.q_proj.bias", "self_attn.q_proj.bias", "self_attn.q_proj.bias", "attn_q.bias"},
    {"self_attn.k_proj.bias", "self_attn.k_proj.bias", "self_attn.k_proj.bias", "attn_k.bias"},
    {"self_attn.v_proj.bias", "self_attn.v_proj.bias", "self_attn.v_proj.bias", "attn_v.bias"},
    {"self_attn.o_proj.weight", "self_attn.out_proj.weight", "self_attn.dense.weight", "attn_output.weight"},
    {"self_attn.o_proj.bias", "self_attn.out_proj.bias", "self_attn.dense.bias", "attn_output.bias"},
    {"self_attn.q_norm.weight", "self_attn.q_norm.weight", "self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "self_attn.k_norm.weight", "self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"attn_shortcut.weight", "attn_shortcut.weight", "attn_shortcut.weight", "attn_shortcut.weight"},
    {"post_attention_layernorm.weight", "final_layer_norm.weight", "post_attention_layernorm.weight",
     "ffn_norm.weight"},
    {"post_attention_layernorm.bias", "final_layer_norm.bias", "post_attention_layernorm.bias",
     "ffn_norm.bias"},
    {"mlp.gate_proj.weight", "gate.weight", "mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "fc1.weight", "mlp.fc1.weight", "ffn_up.weight"},
    {"mlp.up_proj.bias", "fc1.bias", "mlp.fc1.bias", "ffn_up.bias"},
    {"mlp.down_proj.weight", "fc2.weight", "mlp.fc2.weight", "ffn_down.weight"},
    {"mlp.down_proj.bias", "fc2.bias", "mlp.fc2.bias", "ffn_down.bias"},
    {"mlp_shortcut.weight", "mlp_shortcut.weight", "mlp_shortcut.weight", "ffn_shortcut.weight"},
}};

std::string FormatShape(std::span<const std::int64_t> shape) {
  std::string out = "[";
  for (const std::int64_t size : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(size);
  return out + "]";
}

}  // namespace

TensorNaming NamingOf(const Checkpoint& checkpoint) {
  if (checkpoint.format() == "gguf") return TensorNaming::kGguf;
  for (const char* prefix : {"model.", ""}) {
    const std::string root(prefix);
    if (checkpoint.Find(root + "decoder.embed_tokens.weight") != nullptr) return TensorNaming::kOpt;
    if (checkpoint.Find(root + "layers.0.self_attn.dense.weight") != nullptr) return TensorNaming::kPhi;
  }
  return TensorNaming::kHuggingFace;
}

std::string TensorName(TensorNaming naming, TensorRole role, int layer) {
  const Names& names = kNames[static_cast<std::size_t>(role)];
  std::string_view name = names.hugging_face;
  std::string_view prefix = "model.layers.";
  if (naming == TensorNaming::kOpt) {
    name = names.opt;
    prefix = "model.decoder.layers.";
  } else if (naming == TensorNaming::kPhi) {
    name = names.phi;
  } else if (naming == TensorNaming::kGguf) {
    name = names.gguf;
    prefix = "blk.";
  }
  if (!IsPerLayer(role)) return std::string(name);
  return std::string(prefix) + std::to_string(layer) + "." + std::string(name);
}

std::string TensorName(const Checkpoint& checkpoint, TensorRole role, int layer) {
  return TensorName(NamingOf(checkpoint), role, layer);
}

Result<const TensorInfo*> FindTensor(const Checkpoint& checkpoint, TensorRole role, int layer) {
  const std::string name = TensorName(checkpoint, role, layer);
  const TensorInfo* tensor = checkpoint.Find(name);
  // A checkpoint without a head (a base model, a recycle module) may leave out the prefix.
  constexpr std::string_view kPrefix = "model.";
  if (tensor == nullptr && name.starts_with(kPrefix)) tensor = checkpoint.Find(name.substr(kPrefix.size()));
  if (tensor != nullptr) return tensor;
  const std::string_view type = checkpoint.UnsupportedType(name);
  if (type.empty()) return NotFound("the model has no tensor " + Quoted(name));
  std::string supported;
  for (int i = 0; i < kNumWeightTypes; ++i) {
    supported += (i > 0 ? ", " : "") + std::string(GetWeightTypeInfo(static_cast<WeightType>(i)).name);
  }
  return Unimplemented("tensor " + Quoted(name) + " has type " + Quoted(type) + "; supported are " +
                       supported);
}

std::vector<int> GgufRowOrder(int num_heads, int head_dim) {
  std::vector<int> order(static_cast<std::size_t>(num_heads) * head_dim);
  const int half = head_dim / 2;
  for (int head = 0; head < num_heads; ++head) {
    for (int i = 0; i < half; ++i) {
      for (int j = 0; j < 2; ++j) order[head * head_dim + i + j * half] = head * head_dim + 2 * i + j;
    }
  }
  return order;
}

Status CheckShape(const TensorInfo& tensor, std::span<const std::int64_t> expected) {
  if (std::equal(tensor.shape.begin(), tensor.shape.end(), expected.begin(), expected.end()))
    return OkStatus();
  return DataLoss("tensor " + Quoted(tensor.name) + " has shape " + FormatShape(tensor.shape) +
                  ", config says " + FormatShape(expected));
}

}  // namespace reprise
