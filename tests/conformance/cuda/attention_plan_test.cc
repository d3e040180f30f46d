// The work list of attention: no step within the limits needs more than was bounded, and what finds no room
// for partial results is computed in one piece, to the same bits.
#include "kernels/cuda/attention_plan.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <random>

#include "kernels/cuda/cuda_backend.h"
#include "tests/conformance/ops/kv_scene.h"

namespace reprise::test {
namespace {

using cuda::AttentionBounds;
using cuda::CudaAttentionPlan;

// A batch within limits, with contexts up to the longest.
struct RandomBatch {
  RandomBatch(std::mt19937& random, const StepLimits& limits) {
    const auto draw = [&random](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
    const bool decodes = draw(2) == 0;
    int tokens_left = limits.max_tokens;
    for (int s = 0; s < limits.max_sequences && tokens_left > 0; ++s) {
      const int most = draw(3) == 0 ? 40 : cuda::kMaxSplitTokens + 1;
      const int tokens = decodes ? 1 : 1 + draw(std::min({most, tokens_left, limits.max_context}) - 1);
      const int context = draw(1) == 0 ? limits.max_context - tokens : draw(limits.max_context - tokens);
      tokens_left -= tokens;
      context_len.push_back(context);
      query_start.push_back(query_start.back() + tokens);
      block_ids.resize(block_ids.size() +
                       static_cast<std::size_t>((context + tokens - 1) / limits.block_size + 1));
      block_start.push_back(static_cast<int>(block_ids.size()));
    }
    view.query_start = query_start;
    view.context_len = context_len;
    view.block_start = block_start;
    view.block_ids = block_ids;
  }
  RandomBatch(const RandomBatch&) = delete;

  std::vector<int> query_start = {0}, context_len, block_start = {0};
  std::vector<BlockId> block_ids;
  BatchView view;
};

TEST_CASE("cuda: no step's attention needs more than its bounds, which are met") {
  std::mt19937 random(5);
  double fullest = 0;
  for (const int group : {1, 3, 4, 12, 17, 48}) {
    const AttentionShape shape{2 * group, 2, 64};
    for (const int max_partials : {0, 100, 1 << 20}) {
      for (int i = 0; i < 60; ++i) {
        const StepLimits limits{
            .max_tokens = 8 + i * 5 % 300, .max_sequences = 1 + i * 7 % 30, .max_context = 64 + i * 37 % 900};
        const AttentionBounds bounds = cuda::BoundAttention(shape, limits, max_partials);
        CHECK(bounds.num_partials <= max_partials);
        CudaAttentionPlan plan(shape, max_partials);
        const RandomBatch batch(random, limits);
        plan.Plan(batch.view);
        INFO("group " << group << ", tokens " << limits.max_tokens << ", sequences " << limits.max_sequences
                      << ", context " << limits.max_context);
        CHECK(plan.num_partials() <= bounds.num_partials);
        CHECK(plan.StagingRoom() <= bounds.staging_room);
        if (max_partials > 1000 && bounds.num_partials > 0)
          fullest = std::max(fullest, static_cast<double>(plan.num_partials()) / bounds.num_partials);
      }
    }
  }
  CHECK(fullest > 0.9);
}

TEST_CASE("cuda: of sequences that do not all find room the longest are split") {
  std::vector<int> query_start = {0, 1, 2, 3}, context_len = {299, 899, 599}, block_start = {0, 0, 0, 0};
  BatchView batch;
  batch.query_start = query_start;
  batch.context_len = context_len;
  batch.block_start = block_start;
  CudaAttentionPlan plan({2, 1, 64}, 50);  // 10, 30 and 20 partial results
  plan.Plan(batch);
  CHECK(plan.num_partials() == 50);
  CHECK(plan.num_merge_items() == 2);
}

TEST_CASE("cuda: attention in one piece has the bits of attention in parts") {
  const SceneShape shape = GENERATE(SceneShape{6, 2, 64, 16, KvType::kBF16, 0, false},
                                    SceneShape{3, 1, 32, 16, KvType::kF32, 100, false});
  std::vector<SceneOutput> outputs;
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{64} << 10, std::size_t{256} << 20}) {
    CudaBackendOptions options;
    options.num_threads = 1;
    options.attention_bytes = bytes;
    const std::unique_ptr<Backend> backend = std::move(cuda::MakeBackend(options)).value();
    KvScene scene(backend.get(), shape, 2, 9);
    scene.Run({{0, 300}, {1, 70}});
    scene.Run({{0, 1}, {1, 9}});
    outputs.push_back(scene.output());
  }
  for (const SceneOutput& output : outputs) {
    for (std::size_t s = 0; s < output.size(); ++s)
      CHECK(std::memcmp(output[s].data(), outputs[0][s].data(), output[s].size() * sizeof(float)) == 0);
  }
}

}  // namespace
}  // namespace reprise::test
