#include "engine/decoding/profile.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "base/types.h"

namespace reprise {
namespace {

constexpr int kSizes[] = {1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64};
// Rounds over all sizes, as many as fit; the shortest time of each size counts.
constexpr int kRounds = 3;
constexpr double kRoundsSeconds = 0.5;
// A large model is measured once, at fewer sizes after that long, and no more after twice as long: what
// larger passes cost is then guessed from smaller ones.
constexpr double kFirstRoundSeconds = 1.0;

double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// One sequence of consecutive tokens, each with logits: to the matmuls the same as that many sequences.
CostCurve Profile(Backend& backend, const ProfiledModel& model,
                  const std::function<void(const BatchView&)>& forward) {
  const int most = std::min(
      {kSizes[std::size(kSizes) - 1], model.max_tokens, model.max_rows, model.num_blocks * model.block_size});
  std::vector<TokenId> token_ids(static_cast<std::size_t>(most), 0);
  std::vector<int> ascending(static_cast<std::size_t>(most));
  std::iota(ascending.begin(), ascending.end(), 0);
  std::vector<BlockId> blocks(static_cast<std::size_t>((most + model.block_size - 1) / model.block_size));
  std::iota(blocks.begin(), blocks.end(), 0);
  const int context_len[] = {0};
  const int block_start[] = {0, static_cast<int>(blocks.size())};
  std::vector<CostCurve::Point> points;
  const auto start = std::chrono::steady_clock::now();
  for (int round = 0; round < kRounds && (round == 0 || SecondsSince(start) < kRoundsSeconds); ++round) {
    std::size_t at = 0;
    for (const int size : kSizes) {
      if (size > most || (round > 0 && at == points.size())) break;
      if (round == 0) {
        const double elapsed = SecondsSince(start);
        if (elapsed > 2 * kFirstRoundSeconds && points.size() >= 2) break;
        if (elapsed > kFirstRoundSeconds && (size & (size - 1)) != 0) continue;
        points.push_back({size, std::numeric_limits<double>::infinity()});
      } else if (points[at].size != size) {
        continue;
      }
      const auto begin = std::chrono::steady_clock::now();
      const auto n = static_cast<std::size_t>(size);
      const int query_start[] = {0, size};
      const std::span<const int> positions = std::span(ascending).first(n);
      forward({std::span(token_ids).first(n), positions, positions, query_start, context_len, block_start,
               blocks, positions});
      if (!backend.Synchronize().ok()) return {};  // the first real step reports it
      points[at].seconds = std::min(points[at].seconds, SecondsSince(begin));
      ++at;
    }
  }
  return CostCurve(std::move(points));
}

}  // namespace

CostCurve ProfileDecoder(Backend& backend, Decoder& decoder, const ProfiledModel& model) {
  return Profile(backend, model, [&](const BatchView& batch) { decoder.Forward(batch, model.kv); });
}

CostCurve ProfileRecycleModule(Backend& backend, RecycleModule& module, const ProfiledModel& model) {
  return Profile(backend, model, [&](const BatchView& batch) {
    const MatrixView hidden = module.HiddenInput(batch.num_tokens());
    const std::vector<float> ones(static_cast<std::size_t>(hidden.columns), 1.0f);
    for (int row = 0; row < hidden.rows; ++row) {
      backend.Upload(hidden.row(row), ones.data(), ones.size() * sizeof(float));
    }
    module.Forward(batch, model.kv);
  });
}

}  // namespace reprise
