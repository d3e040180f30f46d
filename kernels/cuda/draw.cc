#include "kernels/cuda/draw.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cuda/draw_kernels.h"

namespace reprise::cuda {
namespace {

std::size_t AdjustedBytes(std::size_t rows, int columns) {
  return rows * static_cast<std::size_t>(columns) * sizeof(float);
}
std::size_t DistributionBytes(std::size_t rows) {
  return 2 * rows * sizeof(Distribution);
}

// How long the arrays are that some rows of draws are staged with.
struct StagedBy {
  std::size_t rows = 0;
  std::size_t adjustments = 0;
  std::size_t ahead = 0;

  StagedBy With(const RowDraw& row) const {
    return {rows + 1, adjustments + static_cast<std::size_t>(row.num_adjustments),
            ahead + static_cast<std::size_t>(row.num_ahead)};
  }
  void Add(const RowDraw& row) { *this = With(row); }
  std::size_t Room() const {
    return StepStaging::RoomFor(rows * sizeof(RowDraw)) +
           StepStaging::RoomFor(adjustments * sizeof(LogitAdjustment)) +
           StepStaging::RoomFor(ahead * sizeof(TokenId));
  }
};

}  // namespace

Status TokenDraws::Reserve(const StepLimits& limits) {
  const auto rows = static_cast<std::size_t>(limits.max_logit_rows);
  RETURN_IF_ERROR(adjusted_.Reserve(AdjustedBytes(rows, limits.max_columns)));
  return distributions_.Reserve(DistributionBytes(rows));
}

std::size_t TokenDraws::StagingRoom(int columns) {
  return StagedBy({1, static_cast<std::size_t>(columns), kMaxAhead}).Room();
}

void TokenDraws::Draw(const DrawArgs& args) {
  const std::size_t num_rows = args.rows.size();
  REPRISE_CHECK(static_cast<int>(num_rows) == args.logits.rows &&
                args.logits.columns < 1 << 24);  // keys have 24 bits for tokens
  for (std::size_t begin = 0, end = 0; begin < num_rows; begin = end) {
    StagedBy group;
    do {
      group.Add(args.rows[end++]);
    } while (end < num_rows && group.With(args.rows[end]).Room() <= stream_.staging_capacity());
    DrawGroup(args, begin, end);
  }
}

void TokenDraws::DrawGroup(const DrawArgs& args, std::size_t begin, std::size_t end) {
  const std::span<const RowDraw> rows = args.rows.subspan(begin, end - begin);
  const auto any = [&rows](auto&& property) { return std::ranges::any_of(rows, property); };
  DrawParameters p = {};
  // Memory first: what is staged does not outlive the flush that growing may take.
  const bool adjusts = any(&IsAdjusted);
  if (adjusts)
    p.adjusted = static_cast<float*>(adjusted_.Get(AdjustedBytes(rows.size(), args.logits.columns)));
  p.distributions = static_cast<Distribution*>(distributions_.Get(DistributionBytes(rows.size())));
  StageRows(args, rows, &p);
  p.logits = args.logits.row(static_cast<int>(begin));
  p.drawn = args.drawn;
  p.ids = args.ids;
  p.tokens = args.tokens + begin;
  p.scores = args.scores;
  p.stride = args.logits.stride;
  p.columns = args.logits.columns;
  p.num_rows = static_cast<int>(rows.size());
  if (adjusts || any([](const RowDraw& row) { return row.keep != nullptr; })) AdjustLogits(stream_, p);
  const bool from_distributions = any(&DrawsFromDistribution);
  if (from_distributions || any(&IsFiltered)) FindDistributions(stream_, p);
  SampleTokens(stream_, p);
  if (from_distributions) DrawFromDistributions(stream_, p);
  if (any([](const RowDraw& row) { return row.num_logprobs >= 0; })) ScoreTokens(stream_, p);
}

void TokenDraws::StageRows(const DrawArgs& args, std::span<const RowDraw> rows, DrawParameters* p) {
  group_.assign(rows.begin(), rows.end());
  adjustments_.clear();
  ahead_.clear();
  for (RowDraw& row : group_) {
    const auto take = [](auto all, int* first, int count, auto* taken) {
      const auto own = all.subspan(static_cast<std::size_t>(*first), static_cast<std::size_t>(count));
      *first = static_cast<int>(taken->size());
      taken->insert(taken->end(), own.begin(), own.end());
    };
    take(args.adjustments, &row.first_adjustment, row.num_adjustments, &adjustments_);
    take(args.ahead, &row.first_ahead, row.num_ahead, &ahead_);
  }
  stream_.MakeRoom(StagedBy{group_.size(), adjustments_.size(), ahead_.size()}.Room());
  p->rows = stream_.Stage(std::span<const RowDraw>(group_));
  p->adjustments = stream_.Stage(std::span<const LogitAdjustment>(adjustments_));
  p->ahead = stream_.Stage(std::span<const TokenId>(ahead_));
}

}  // namespace reprise::cuda
