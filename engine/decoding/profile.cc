#include "engine/decoding/profile.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "base/types.h"

namespace reprise {
namespace {

// Dense where kernels go by stairs of a few rows.
constexpr int kSizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 32, 48, 64};
// Rounds over all sizes, as many as fit; the shortest time of each size counts.
constexpr int kRounds = 3;
constexpr double kRoundsSeconds = 0.5;
// A large model is measured once, at fewer sizes after that long, and no more after twice as long: what
// larger passes cost is then guessed from smaller ones.
constexpr double kFirstRoundSeconds = 1.0;
// Long, since its cost is a difference of two times; repeated while that takes no time.
constexpr int kProfiledContext = 2048;
constexpr int kContextRounds = 12;
constexpr double kContextSeconds = 0.1;

double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// One sequence of consecutive tokens: to the matmuls the same as that many sequences.
class Tokens {
 public:
  Tokens(int most, int block_size)
      : token_ids_(static_cast<std::size_t>(most), 0),
        ascending_(static_cast<std::size_t>(most)),
        blocks_(static_cast<std::size_t>((most + block_size - 1) / block_size)) {
    std::iota(ascending_.begin(), ascending_.end(), 0);
    std::iota(blocks_.begin(), blocks_.end(), 0);
    block_start_[1] = static_cast<int>(blocks_.size());
  }

  // `size` tokens behind `context` others, the first `rows` of them with logits. Valid until the next call.
  BatchView Take(int size, int rows, int context = 0) {
    query_start_[1] = size;
    context_len_[0] = context;
    const auto n = static_cast<std::size_t>(size);
    const std::span<const int> positions =
        std::span(ascending_).subspan(static_cast<std::size_t>(context), n);
    return {std::span(token_ids_).first(n),
            positions,
            positions,
            query_start_,
            context_len_,
            block_start_,
            blocks_,
            std::span(ascending_).first(static_cast<std::size_t>(rows))};
  }

 private:
  std::vector<TokenId> token_ids_;
  std::vector<int> ascending_;
  std::vector<BlockId> blocks_;
  int query_start_[2] = {0, 0};
  int context_len_[1] = {0};
  int block_start_[2] = {0, 0};
};

int LongestSequence(const ProfiledModel& model) {
  return std::min(model.max_positions, model.num_blocks * model.block_size);
}

// `forward` is timed, for batches with a row of logits for each `tokens_per_row` tokens; `before` is not.
CostCurve Profile(Backend& backend, const ProfiledModel& model, int tokens_per_row,
                  const std::function<void()>& before, const std::function<void(const BatchView&)>& forward) {
  const int most = std::min({kSizes[std::size(kSizes) - 1], model.max_tokens, model.max_rows * tokens_per_row,
                             LongestSequence(model)});
  Tokens tokens(most, model.block_size);
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
      const BatchView batch = tokens.Take(size, (size + tokens_per_row - 1) / tokens_per_row);
      before();
      if (!backend.Synchronize().ok()) return {};
      const auto begin = std::chrono::steady_clock::now();
      forward(batch);
      if (!backend.Synchronize().ok()) return {};
      points[at].seconds = std::min(points[at].seconds, SecondsSince(begin));
      ++at;
    }
  }
  return CostCurve(std::move(points));
}

// A pass of the target over one token.
std::function<void()> PassOf(const ProfiledTarget& target) {
  return [&target, tokens = std::make_shared<Tokens>(1, target.model.block_size)] {
    target.decoder.Forward(tokens->Take(1, 1), target.model.kv);
  };
}

double SecondsOf(Backend& backend, const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  if (!backend.Synchronize().ok()) return 0;
  return SecondsSince(begin);
}

}  // namespace

CostCurve ProfileDecoder(Backend& backend, Decoder& decoder, const ProfiledModel& model) {
  return Profile(
      backend, model, 1, [] {}, [&](const BatchView& batch) { decoder.Forward(batch, model.kv); });
}

CostCurve ProfileDraftModel(Backend& backend, Decoder& draft, const ProfiledModel& model,
                            const ProfiledTarget& target) {
  return Profile(backend, model, 2, PassOf(target),
                 [&](const BatchView& batch) { draft.Forward(batch, model.kv); });
}

CostCurve ProfileRecycleModule(Backend& backend, RecycleModule& module, const ProfiledModel& model,
                               const ProfiledTarget& target) {
  return Profile(backend, model, 2, PassOf(target), [&](const BatchView& batch) {
    module.Forward(batch, model.kv);  // of states that are zero, which takes as long
  });
}

double ProfileContext(Backend& backend, Decoder& decoder, const ProfiledModel& model) {
  const int context = std::min(kProfiledContext, LongestSequence(model) - 1);
  if (context <= 0) return 0;
  Tokens tokens(context + 1, model.block_size);
  double least[2] = {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  const auto start = std::chrono::steady_clock::now();
  for (int round = 0; round < kRounds || (round < kContextRounds && SecondsSince(start) < kContextSeconds);
       ++round) {
    for (const int length : {0, context}) {
      double& seconds = least[length > 0];
      seconds = std::min(seconds,
                         SecondsOf(backend, [&] { decoder.Forward(tokens.Take(1, 1, length), model.kv); }));
    }
  }
  return std::max(0.0, least[1] - least[0]) / context;
}

}  // namespace reprise
