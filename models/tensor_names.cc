#include "models/tensor_names.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "models/formats/quoted.h"

namespace reprise {
namespace {

struct Names {
  bool per_layer;
  std::string_view hugging_face;  // after "model.layers.N." when per layer
  std::string_view gguf;          // after "blk.N." when per layer
};

// In the order of TensorRole.
constexpr std::array<Names, kNumTensorRoles> kNames = {{
    {false, "model.embed_tokens.weight", "token_embd.weight"},
    {false, "model.norm.weight", "output_norm.weight"},
    {false, "lm_head.weight", "output.weight"},
    {true, "input_layernorm.weight", "attn_norm.weight"},
    {true, "self_attn.q_proj.weight", "attn_q.weight"},
    {true, "self_attn.k_proj.weight", "attn_k.weight"},
    {true, "self_attn.v_proj.weight", "attn_v.weight"},
    {true, "self_attn.q_proj.bias", "attn_q.bias"},
    {true, "self_attn.k_proj.bias", "attn_k.bias"},
    {true, "self_attn.v_proj.bias", "attn_v.bias"},
    {true, "self_attn.o_proj.weight", "attn_output.weight"},
    {true, "self_attn.o_proj.bias", "attn_output.bias"},
    {true, "self_attn.q_norm.weight", "attn_q_norm.weight"},
    {true, "self_attn.k_norm.weight", "attn_k_norm.weight"},
    {true, "post_attention_layernorm.weight", "ffn_norm.weight"},
    {true, "mlp.gate_proj.weight", "ffn_gate.weight"},
    {true, "mlp.up_proj.weight", "ffn_up.weight"},
    {true, "mlp.down_proj.weight", "ffn_down.weight"},
    {false, "hidden_norm.weight", "recycle.hidden_norm.weight"},
    {false, "embedding_norm.weight", "recycle.embedding_norm.weight"},
    {false, "input_projection.weight", "recycle.input_projection.weight"},
}};

std::string FormatShape(std::span<const std::int64_t> shape) {
  std::string out = "[";
  for (const std::int64_t size : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(size);
  return out + "]";
}

}  // namespace

std::string TensorName(const Checkpoint& checkpoint, TensorRole role, int layer) {
  const Names& names = kNames[static_cast<std::size_t>(role)];
  const bool is_gguf = checkpoint.format() == "gguf";
  const std::string name(is_gguf ? names.gguf : names.hugging_face);
  if (!names.per_layer) return name;
  return (is_gguf ? "blk." : "model.layers.") + std::to_string(layer) + "." + name;
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

Status CheckShape(const TensorInfo& tensor, std::span<const std::int64_t> expected) {
  if (std::equal(tensor.shape.begin(), tensor.shape.end(), expected.begin(), expected.end()))
    return OkStatus();
  return DataLoss("tensor " + Quoted(tensor.name) + " has shape " + FormatShape(tensor.shape) +
                  ", config says " + FormatShape(expected));
}

}  // namespace reprise
