#include "kernels/cpu/cpu_rope.h"

#include <cstddef>

#include "kernels/cpu/kv_cache.h"

namespace reprise {

TokenHeads::TokenHeads(const KernelTable& kernels, const RopeAndStoreKvArgs& args, int token)
    : kernels_(kernels), args_(args), token_(token) {
  head_.head_dim = args.kv.geometry.head_dim;
  head_.epsilon = args.norm_epsilon;
  if (args.rope.cos == nullptr) return;
  head_.rotary_dim = args.rope.rotary_dim > 0 ? args.rope.rotary_dim : head_.head_dim;
  const auto angle = static_cast<std::size_t>(args.batch->positions[token]) * (head_.rotary_dim / 2);
  head_.cos = args.rope.cos + angle;
  head_.sin = args.rope.sin + angle;
}

void TokenHeads::RotateQuery(int h, float* out) const {
  RotateHead head = head_;
  head.norm_weight = args_.query_norm;
  head.x = args_.qkv.row(token_) + h * head.head_dim;
  head.out = out;
  kernels_.rotate_head(head);
}

void TokenHeads::StoreKv(int h, float* key) const {
  RotateHead head = head_;
  head.norm_weight = args_.key_norm;
  head.x = args_.qkv.row(token_) + (args_.num_heads + h) * head.head_dim;
  head.out = key;
  kernels_.rotate_head(head);
  const int slot = args_.batch->slots[token_];
  StoreKey(args_.kv, slot, h, key);
  StoreValue(args_.kv, slot, h, head.x + args_.kv.geometry.num_kv_heads * head.head_dim);
}

}  // namespace reprise
