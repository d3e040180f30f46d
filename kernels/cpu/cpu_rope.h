// A token's heads on their way into attention and into the cache.
#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/kernel_table.h"

namespace reprise {

// What RopeAndStoreKv does, head by head, to one token. The arguments must outlive it.
class TokenHeads {
 public:
  TokenHeads(const KernelTable& kernels, const RopeAndStoreKvArgs& args, int token);

  // Writes query head h, rotated, to out [head_dim], which may be where it lies in qkv.
  void RotateQuery(int h, float* out) const;
  // Stores key and value of KV head h; `key` is scratch [head_dim].
  void StoreKv(int h, float* key) const;

 private:
  const KernelTable& kernels_;
  const RopeAndStoreKvArgs& args_;
  const int token_;
  RotateHead head_;  // but for x, out and norm_weight
};

}  // namespace reprise
