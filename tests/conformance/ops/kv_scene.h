// Sequences over a paged cache, driven in steps through RopeAndStoreKv and Attention.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace reprise::test {

struct SceneShape {
  int num_heads = 6;
  int num_kv_heads = 2;
  int head_dim = 64;
  int block_size = 16;
  KvType type = KvType::kBF16;
  int sliding_window = 0;
  bool head_norm = false;
};

// Tokens that sequence `sequence` computes in a step.
struct Query {
  int sequence;
  int tokens;
};
using Step = std::vector<Query>;

// One sequence's results, for all its tokens: [tokens, num_heads * head_dim].
using SceneOutput = std::vector<std::vector<float>>;

// The cache, filled with NaN at first, and sequences whose queries, keys and values are a function of
// sequence and position alone. Blocks come from a shuffled table.
class KvScene {
 public:
  static constexpr int kMaxPositions = 1200;

  KvScene(Backend* backend, const SceneShape& shape, int num_sequences, std::uint64_t table_seed);

  void Run(const Step& step);
  const SceneOutput& output() const { return output_; }
  int SlotOf(int sequence, int position) const;
  const KvLayer& kv() const { return kv_; }
  // Rotated keys and values of the tokens so far, from the formulas in double precision.
  std::vector<double> ExactKey(int sequence, int position, int kv_head) const;

  // [(Hq + 2 Hkv) * head_dim] of a token, before rotation.
  std::vector<float> Qkv(int sequence, int position) const;

 private:
  void BuildBatch(const Step& step);

  Backend& backend_;
  const SceneShape shape_;
  std::unique_ptr<DeviceMemory> keys_, values_, rope_, norm_memory_;
  KvLayer kv_;
  std::vector<float> cos_, sin_, norm_;
  std::vector<std::vector<BlockId>> tables_;
  std::vector<int> lengths_;
  std::unique_ptr<AttentionPlan> plan_;
  SceneOutput output_;

  // The step.
  std::vector<TokenId> token_ids_;
  std::vector<int> positions_, slots_, query_start_, context_len_, block_start_;
  std::vector<BlockId> block_ids_;
};

}  // namespace reprise::test
