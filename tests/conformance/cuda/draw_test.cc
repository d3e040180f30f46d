// Tokens and log-probabilities drawn on the device are the host's: the Sampler's, and with drafts the
// DraftSampler's and the Verifier's.
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <list>
#include <numeric>

#include "engine/decoding/draft_draws.h"
#include "engine/decoding/verifier.h"
#include "engine/device_draws.h"
#include "engine/sampler.h"
#include "tests/conformance/cuda/cuda_legs.h"
#include "tests/conformance/cuda/draw_scene.h"
#include "tests/conformance/cuda/same_scores.h"

namespace reprise::test {
namespace {

// What one step draws, drafts and verdicts, on a device.
class StepDraws {
 public:
  StepDraws(Backend& backend, std::span<const TokenId> head_tokens, int num_columns, int vocab_size,
            int max_rows)
      : memory_(std::move(backend.Allocate(DrawnMemory::Bytes(max_rows))).value()) {
    const DrawnMemory drawn(memory_->data(), max_rows);
    DraftLimits limits;
    limits.vocab_size = vocab_size;
    limits.max_drafts = max_rows;
    limits.drawn = drawn.ids();
    limits.first_drawn = drawn.first_draft(ProposerKind::kDraftModel);
    drafts = std::make_unique<DraftDraws>(
        std::move(DraftDraws::Create(backend, head_tokens, num_columns, limits)).value());
    verdicts = std::make_unique<DeviceDraws>(
        std::move(DeviceDraws::Create(backend, drawn, max_rows, vocab_size)).value());
    drafts->Begin();
  }

  std::unique_ptr<DraftDraws> drafts;
  std::unique_ptr<DeviceDraws> verdicts;

 private:
  std::unique_ptr<DeviceMemory> memory_;
};

// None a multiple of anything.
constexpr std::array kVocabularies = {2, 31, 257, 1531, 4099};

PenaltyState PenaltiesOf(const Sequence& sequence) {
  PenaltyState penalties(*sequence.request);
  for (std::size_t i = sequence.request->prompt.size(); i < sequence.tokens.size(); ++i)
    penalties.Append(sequence.tokens[i]);
  return penalties;
}

std::span<const float> RowOf(const std::vector<float>& rows, std::size_t r, int columns) {
  return std::span(rows).subspan(r * static_cast<std::size_t>(columns), static_cast<std::size_t>(columns));
}

// Sequences that each get their next token, with or without a draft, as one step.
class DrawScene {
 public:
  DrawScene(Backend& backend, int vocabulary, std::span<const TokenId> head_tokens, int num_sequences,
            int max_drafts, bool penalties, unsigned seed)
      : backend_(backend),
        vocabulary_(vocabulary),
        head_tokens_(head_tokens),
        random_(seed),
        draws_(backend, head_tokens, num_columns(), vocabulary, num_sequences * (1 + max_drafts)) {
    for (int i = 0; i < num_sequences; ++i) {
      RandomSequence& added = sequences_.emplace_back(random_, vocabulary);
      SamplingParams& params = added.request->sampling;
      if (!penalties) {
        params.repetition_penalty = 1.0f;
        params.presence_penalty = params.frequency_penalty = 0.0f;
      }
      drafts_.emplace_back();
      host_drafts_.emplace_back();
      penalties_.push_back(PenaltiesOf(added.sequence));
      num_drafts_.push_back(max_drafts == 0 ? 0 : static_cast<int>(random_() % (max_drafts + 1)));
      if (max_drafts > 0 && random_() % 3 == 0) added.request->lenience = 0.6f;
      params.seeded = random_() % 4 == 0;
    }
  }

  // Draws the drafts on the device, where they stay, and on the host.
  void DrawDrafts();
  // Verifies them on the device and on the host; counts sequences whose tokens differ, drafted or accepted.
  int CountDifferent();

 private:
  int num_columns() const {
    return head_tokens_.empty() ? vocabulary_ : static_cast<int>(head_tokens_.size());
  }
  std::vector<float> RandomRows(std::size_t count, int columns) {
    std::vector<float> rows;
    for (std::size_t r = 0; r < count; ++r) {
      const std::vector<float> row = RandomLogits(random_, columns);
      rows.insert(rows.end(), row.begin(), row.end());
    }
    return rows;
  }

  Backend& backend_;
  int vocabulary_;
  std::span<const TokenId> head_tokens_;
  std::mt19937 random_;
  std::list<RandomSequence> sequences_;
  std::vector<Draft> drafts_;
  std::vector<Draft> host_drafts_;
  std::vector<PenaltyState> penalties_;  // without drafts: those the device counts for itself
  std::vector<int> num_drafts_;
  std::vector<std::vector<float>> draft_rows_;  // that host distributions look at
  StepDraws draws_;
};

void DrawScene::DrawDrafts() {
  std::vector<PenaltyState> host_penalties = penalties_;
  std::vector<DraftRequest> wishes, host_wishes;
  std::size_t i = 0;
  for (RandomSequence& scene : sequences_) {
    wishes.push_back({&scene.sequence, &penalties_[i], num_drafts_[i], &drafts_[i]});
    host_wishes.push_back({&scene.sequence, &host_penalties[i], num_drafts_[i], &host_drafts_[i]});
    ++i;
  }
  DraftSampler sampler(vocabulary_, head_tokens_);
  std::vector<int> unfinished;
  for (int step = 0;; ++step) {
    std::vector<const DraftRequest*> rows;
    std::vector<std::size_t> items;
    for (std::size_t w = 0; w < wishes.size(); ++w) {
      // One that the host has ended goes on where only the device knows of it.
      if (num_drafts_[w] <= step) continue;
      rows.push_back(&wishes[w]);
      items.push_back(w);
    }
    if (rows.empty()) break;
    const std::vector<float> logits = RandomRows(rows.size(), num_columns());
    const DeviceRows on_device(&backend_, logits, static_cast<int>(rows.size()), num_columns());
    draft_rows_.push_back(logits);
    draws_.drafts->Draw(rows, on_device, &unfinished);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const DraftRequest& wish = host_wishes[items[r]];
      if (static_cast<int>(wish.draft->tokens.size()) != step) continue;
      if (sampler.Draw(wish, RowOf(draft_rows_.back(), r, num_columns())))
        wish.penalties->Append(wish.draft->tokens.back());
    }
  }
  draws_.drafts->Finish(wishes);
}

int DrawScene::CountDifferent() {
  BatchPlan plan;
  std::vector<int> row_start = {0};
  std::vector<PenaltyState*> penalties;
  std::size_t i = 0;
  for (RandomSequence& scene : sequences_) {
    plan.items.push_back({&scene.sequence, 1, true, 1, static_cast<int>(drafts_[i].tokens.size())});
    row_start.push_back(row_start.back() + 1 + static_cast<int>(drafts_[i].tokens.size()));
    penalties.push_back(&penalties_[i]);
    ++i;
  }
  const std::vector<float> logits = RandomRows(static_cast<std::size_t>(row_start.back()), vocabulary_);
  const DeviceRows on_device(&backend_, logits, row_start.back(), vocabulary_);
  DeviceDraws& device = *draws_.verdicts;
  device.Start(plan, drafts_, penalties, row_start, on_device);
  REQUIRE(device.Wait().ok());
  device.Resolve(drafts_);
  Verifier verifier;
  int different = 0;
  for (i = 0; i < plan.items.size(); ++i) {
    const Sequence& sequence = *plan.items[i].sequence;
    const Draft& on_host = host_drafts_[i];
    // It ends where there was nothing to draw.
    std::vector<TokenId> drafted = drafts_[i].tokens;
    drafted.erase(std::ranges::find(drafted, -1), drafted.end());
    const int host_rows = 1 + static_cast<int>(on_host.tokens.size());
    std::vector<GeneratedToken> expected, got;
    const Status host =
        verifier.Verify(sequence, on_host,
                        {RowOf(logits, static_cast<std::size_t>(row_start[i]), vocabulary_).data(), host_rows,
                         vocabulary_, vocabulary_},
                        penalties_[i], &expected);
    const Status status =
        device.Accept(sequence, drafts_[i], row_start[i + 1] - row_start[i], row_start[i + 1], &got);
    INFO("sequence " << i << " of a vocabulary of " << vocabulary_);
    const auto same = [](const GeneratedToken& a, const GeneratedToken& b) { return a.token == b.token; };
    if (drafted != on_host.tokens || host.ok() != status.ok() || !std::ranges::equal(got, expected, same)) {
      ++different;
      continue;
    }
    if (!host.ok()) CHECK(host.message() == status.message());
    CheckSameScores(got, expected);
  }
  return different;
}

TEST_CASE("cuda: drawn tokens and log-probabilities are the host's", "[E10]") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  REQUIRE(backend->draws_tokens());
  for (const int vocabulary : kVocabularies) {
    for (unsigned round = 0; round < 6; ++round) {
      DrawScene scene(*backend, vocabulary, {}, 64, 0, true, 100 * round + static_cast<unsigned>(vocabulary));
      INFO("vocabulary " << vocabulary << ", round " << round);
      CHECK(scene.CountDifferent() == 0);
    }
  }
}

TEST_CASE("cuda: drafts that are drawn and verified on the device are the host's", "[E10]") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  for (const int vocabulary : kVocabularies) {
    std::vector<TokenId> head_tokens;
    for (TokenId token = vocabulary / 3; token < vocabulary; token += 1 + token % 3)
      head_tokens.push_back(token);
    for (unsigned round = 0; round < 4; ++round) {
      INFO("vocabulary " << vocabulary << ", round " << round);
      const std::span<const TokenId> ids = round % 2 == 0 ? std::span<const TokenId>() : head_tokens;
      DrawScene scene(*backend, vocabulary, ids, 48, 3, round < 3,
                      100 * round + static_cast<unsigned>(vocabulary));
      scene.DrawDrafts();
      CHECK(scene.CountDifferent() == 0);
    }
  }
}

TEST_CASE("cuda: what is drafted is penalised as often as it is there") {
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  std::vector<float> logits(8, -5.0f);
  logits[3] = 1.0f;
  logits[5] = 0.5f;
  const DeviceRows row(backend.get(), logits, 1, 8);
  const DeviceTokens drawn(backend.get(), {3});
  const DeviceTokens token(backend.get(), {-1});
  const std::vector<TokenId> ahead = {3, -1};  // both are token 3
  const std::vector<LogitAdjustment> generated_once = {{3, 0.0f, 1}};
  const auto draw = [&](int num_ahead, std::span<const LogitAdjustment> adjustments) {
    RowDraw wish;
    wish.frequency = 0.3f;
    wish.num_ahead = num_ahead;
    wish.num_adjustments = static_cast<int>(adjustments.size());
    DrawArgs args;
    args.logits = row;
    args.rows = {&wish, 1};
    args.adjustments = adjustments;
    args.ahead = ahead;
    args.drawn = drawn.data();
    args.tokens = token.data();
    backend->DrawRows(args);
    return token.Read()[0];
  };
  CHECK(draw(1, {}) == 3);  // 1 - 0.3
  CHECK(draw(2, {}) == 5);  // 1 - 0.6
  CHECK(draw(0, generated_once) == 3);
  CHECK(draw(1, generated_once) == 5);
}

// Leviathan et al. 2211.17192, appendix A.1: whatever the draft, the first token follows the target's law.
TEST_CASE("cuda: after rejection the law is the target's") {
  constexpr int kVocabulary = 6;
  constexpr int kDraws = 2000;
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  const std::vector<float> target = {0.0f, 1.0f, -1.0f, 0.5f, -2.0f, 1.5f};
  const std::vector<float> draft = {1.0f, 0.0f, 0.5f, -1.0f, 0.0f, 1.0f};
  std::vector<float> target_rows, draft_rows;
  std::list<RandomSequence> sequences;
  std::mt19937 random(5);
  PenaltyState penalties{Request()};
  std::vector<Draft> drafts(kDraws);
  std::vector<DraftRequest> wishes;
  BatchPlan plan;
  std::vector<int> row_start = {0};
  for (int i = 0; i < kDraws; ++i) {
    RandomSequence& added = sequences.emplace_back(random, kVocabulary);
    added.request->sampling = {};
    added.request->sampling.seed = random();
    added.request->min_tokens = 0;
    wishes.push_back({&added.sequence, &penalties, 1, &drafts[static_cast<std::size_t>(i)]});
    plan.items.push_back({&added.sequence, 1, true, 1, 1});
    row_start.push_back(row_start.back() + 2);
    draft_rows.insert(draft_rows.end(), draft.begin(), draft.end());
    for (int r = 0; r < 2; ++r) target_rows.insert(target_rows.end(), target.begin(), target.end());
  }
  const StepDraws draws(*backend, {}, kVocabulary, kVocabulary, 2 * kDraws);
  std::vector<const DraftRequest*> rows;
  for (const DraftRequest& wish : wishes) rows.push_back(&wish);
  std::vector<int> unfinished;
  draws.drafts->Draw(rows, DeviceRows(backend.get(), draft_rows, kDraws, kVocabulary), &unfinished);
  draws.drafts->Finish(wishes);
  DeviceDraws& device = *draws.verdicts;
  const DeviceRows on_device(backend.get(), target_rows, 2 * kDraws, kVocabulary);
  device.Start(plan, drafts, std::vector<PenaltyState*>(kDraws, &penalties), row_start, on_device);
  REQUIRE(device.Wait().ok());
  device.Resolve(drafts);
  std::array<int, kVocabulary> counts = {};
  int accepted = 0;
  for (std::size_t i = 0; i < kDraws; ++i) {
    std::vector<GeneratedToken> tokens;
    REQUIRE(device.Accept(*plan.items[i].sequence, drafts[i], 2, row_start[i + 1], &tokens).ok());
    ++counts[static_cast<std::size_t>(tokens[0].token)];
    accepted += tokens.size() == 2;
  }
  double chi_square = 0.0, target_total = 0.0, draft_total = 0.0, overlap = 0.0;
  for (int t = 0; t < kVocabulary; ++t) {
    target_total += std::exp(target[static_cast<std::size_t>(t)]);
    draft_total += std::exp(draft[static_cast<std::size_t>(t)]);
  }
  for (std::size_t t = 0; t < kVocabulary; ++t) {
    const double p = std::exp(target[t]) / target_total;
    overlap += std::min(p, std::exp(draft[t]) / draft_total);
    chi_square += std::pow(counts[t] - kDraws * p, 2) / (kDraws * p);
  }
  CHECK(chi_square < 20.5);  // 5 degrees of freedom: one seed in a thousand is above
  CHECK(accepted == Approx(kDraws * overlap).epsilon(0.1));
}

// As many rows as need more room than staging begins with; row r draws token 7 r.
struct CrowdedDraw {
  static constexpr int kRows = 30;
  static constexpr int kColumns = 4096;

  CrowdedDraw() : rows(kRows) {
    for (int r = 0; r < kRows; ++r) {
      RowDraw& row = rows[static_cast<std::size_t>(r)];
      row.repetition = 1.0f + 0.1f * static_cast<float>(r);
      row.first_adjustment = static_cast<int>(adjustments.size());
      row.num_adjustments = kColumns - r;
      for (TokenId token = 0; token < row.num_adjustments; ++token)
        adjustments.push_back({token, token == 7 * r ? 50.0f : 0.0f, 1});
      row.first_ahead = static_cast<int>(ahead.size());
      row.num_ahead = r % 3;
      ahead.insert(ahead.end(), static_cast<std::size_t>(row.num_ahead), r);
      row.num_logprobs = 1;
      row.first_score = 2 * r;
    }
    std::mt19937 random(8);
    std::normal_distribution<float> normal;
    logits.resize(static_cast<std::size_t>(kRows) * kColumns);
    for (float& logit : logits) logit = normal(random);
  }

  std::vector<RowDraw> rows;
  std::vector<LogitAdjustment> adjustments;
  std::vector<TokenId> ahead;
  std::vector<float> logits;
};

TEST_CASE("cuda: rows that staging has no room for together are drawn in groups") {
  const bool roomy = GENERATE(false, true);
  const CrowdedDraw draw;
  const std::unique_ptr<Backend> backend = MakeCudaLeg();
  if (roomy) {
    const StepLimits limits{.max_tokens = 1, .max_sequences = 1, .max_columns = 1 << 17, .max_context = 64};
    REQUIRE(backend->Reserve(limits).ok());
  }
  constexpr int kScoreWords = sizeof(TokenScore) / sizeof(TokenId);
  const DeviceRows logits(backend.get(), draw.logits, CrowdedDraw::kRows, CrowdedDraw::kColumns);
  const DeviceTokens tokens(backend.get(), std::vector<TokenId>(CrowdedDraw::kRows));
  const DeviceTokens scores(backend.get(), std::vector<TokenId>(CrowdedDraw::kRows * 2 * kScoreWords));
  DrawArgs args;
  args.logits = logits.view();
  args.rows = draw.rows;
  args.adjustments = draw.adjustments;
  args.ahead = draw.ahead;
  args.tokens = tokens.data();
  args.scores = reinterpret_cast<TokenScore*>(scores.data());
  backend->DrawRows(args);
  const std::vector<TokenId> drawn = tokens.Read();
  const std::vector<TokenId> scored = scores.Read();
  for (std::size_t r = 0; r < drawn.size(); ++r) {
    CHECK(drawn[r] == static_cast<TokenId>(7 * r));
    CHECK(scored[r * 2 * kScoreWords] == drawn[r]);
  }
}

}  // namespace
}  // namespace reprise::test
