// Log-probabilities under the rows as the model gave them.
#include "kernels/cuda/draw_kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/token_order.h"

namespace reprise::cuda {
namespace {

__global__ void __launch_bounds__(kDrawThreads) ScoreKernel(DrawParameters p) {
  const int row = static_cast<int>(blockIdx.x);
  const RowDraw& draw = p.rows[row];
  if (draw.num_logprobs < 0) return;
  const float* logits = p.logits + row * p.stride;
  TokenScore* scores = p.scores + draw.first_score;
  const TokenId token = p.tokens[row];
  const TokenKey best = BestKey(p.columns, [&](int i) { return MakeKey(logits[i], i); });
  const bool scored = best != 0 && token >= 0;
  const float max = scored ? ValueOf(best) : 0.0f;
  const float own = scored ? logits[token] : 0.0f;
  double total = 0.0;
  int likelier = 0;
  for (int i = static_cast<int>(threadIdx.x); i < p.columns; i += kDrawThreads) {
    if (MakeKey(logits[i], i) != 0) total += expf(logits[i] - max);
    likelier += logits[i] > own ? 1 : 0;
  }
  const auto log_total = static_cast<float>(log(BlockReduce<kDrawThreads>(total, Sum())));
  likelier = BlockReduce<kDrawThreads>(likelier, Sum());
  if (threadIdx.x == 0)
    scores[0] = scored ? TokenScore{token, own - max - log_total, 1 + likelier} : TokenScore{token, 0.0f, 0};
  TokenKey next = best;
  for (int n = 1; n <= draw.num_logprobs; ++n) {
    if (threadIdx.x == 0) {
      scores[n] = next != 0 && scored ? TokenScore{ColumnOf(next), ValueOf(next) - max - log_total, n}
                                      : TokenScore{-1, 0.0f, 0};
    }
    if (n == draw.num_logprobs) break;
    next = BestKey(p.columns, [&](int i) {
      const TokenKey key = MakeKey(logits[i], i);
      return key < next ? key : 0;
    });
  }
}

}  // namespace

void ScoreTokens(Stream& stream, const DrawParameters& p) {
  Launch(stream, &ScoreKernel, dim3(p.num_rows), kDrawThreads, p);
}

}  // namespace reprise::cuda
