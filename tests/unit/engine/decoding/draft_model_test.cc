// D7 for the draft model: what it drafts between target passes, through accepted and rejected drafts, shared
// prefixes, pauses and preemption, is what it drafts after one pass over the whole text.
#include "engine/decoding/draft_model.h"

#include "tests/unit/engine/decoding/drafting_spy.h"
#include "tests/unit/engine/engine_fixture.h"

namespace reprise {
namespace {

constexpr int kBlockSize = 16;
constexpr int kStepTokens = 48;

class Scene {
 public:
  explicit Scene(const std::string& draft_name, int num_blocks = 64) : draft_(draft_name) {
    EngineOptions options;
    options.kv_type = KvType::kF32;
    options.max_num_seqs = 8;
    options.max_num_batched_tokens = kStepTokens;
    options.profile = false;
    options.poison_kv = true;
    std::vector<KvGeometry> geometries(static_cast<std::size_t>(target_.decoder->num_layers()),
                                       target_.decoder->kv_geometry());
    geometries.resize(geometries.size() + static_cast<std::size_t>(draft_.decoder->num_layers()),
                      draft_.decoder->kv_geometry());
    for (KvGeometry& geometry : geometries) geometry.type = options.kv_type;
    options.kv_cache_bytes = static_cast<std::uint64_t>(num_blocks) * KvCache::BlockBytes(geometries);
    EngineModels models(*target_.decoder);
    models.draft = draft_.decoder.get();
    core = std::move(EngineCore::Create(*target_.backend, models, options)).value();
    const DraftLimits limits{target_.decoder->config().vocab_size, kBlockSize, kStepTokens,
                             options.max_num_seqs, 64};
    auto inner = std::make_unique<DraftModelProposer>(
        *draft_.decoder,
        core->kv_cache().layers().last(static_cast<std::size_t>(draft_.decoder->num_layers())),
        core->scheduler().block_pool(), limits,
        DraftModelProposer::AllocateDraws(*target_.backend, *draft_.decoder, limits).value());
    auto owned = std::make_unique<DraftingSpy>(std::move(inner));
    spy = owned.get();
    std::array<std::unique_ptr<Proposer>, kNumProposers> proposers;
    proposers[IndexOf(ProposerKind::kDraftModel)] = std::move(owned);
    core->set_drafting(std::make_unique<Drafting>(std::move(proposers),
                                                  StepCosts{CostCurve({{1, 1e-3}, {64, 1e-3}}), 0, {}}, 1));
  }

  std::shared_ptr<Request> MakeRequest(RequestId id, std::vector<TokenId> prompt, int max_tokens,
                                       float temperature) {
    auto request = MakeTestRequest(id, std::move(prompt), max_tokens, temperature, 40 + id);
    request->decoding = DecodingMethod::kSpeculative;
    request->proposer = ProposerKind::kDraftModel;
    request->max_draft_tokens = 3;
    return request;
  }

  // The drafts of a finished request against those after one pass of the draft model over all of its text.
  void CheckDrafts(const std::shared_ptr<Request>& request, const Collected& result) {
    std::vector<TokenId> tokens = request->prompt;
    tokens.insert(tokens.end(), result.tokens.begin(), result.tokens.end());
    const auto n = static_cast<int>(tokens.size());
    std::vector<KvGeometry> geometries(static_cast<std::size_t>(draft_.decoder->num_layers()),
                                       draft_.decoder->kv_geometry());
    for (KvGeometry& geometry : geometries) {
      geometry.num_blocks = n / kBlockSize + 1;
      geometry.type = KvType::kF32;
    }
    const KvCache kv = std::move(KvCache::Allocate(*draft_.backend, geometries, true)).value();
    std::vector<TokenId> expected(static_cast<std::size_t>(n) + 1, -1);  // by position
    Sequence sequence;
    sequence.request = request;
    for (int b = 0; b <= n / kBlockSize; ++b) sequence.block_table.push_back(b);
    DraftSampler sampler(target_.decoder->config().vocab_size, {});
    DraftBatch batch(kBlockSize);
    for (int j = 0; j < n; ++j) {
      sequence.tokens.push_back(tokens[static_cast<std::size_t>(j)]);
      batch.Clear();
      batch.Add(sequence, j, std::span(sequence.tokens).last(1), true);
      const Decoder::Output output = draft_.decoder->Forward(batch.View(), kv.layers());
      if (j + 1 < static_cast<int>(request->prompt.size())) continue;
      PenaltyState penalties(*request);
      Draft draft;
      REQUIRE(sampler.Draw({&sequence, &penalties, 1, &draft},
                           std::span(output.logits.row(0), static_cast<std::size_t>(output.logits.columns))));
      expected[static_cast<std::size_t>(j) + 1] = draft.tokens[0];
    }
    spy->CheckDrafts(request->id, expected);
  }

  DraftingSpy* spy = nullptr;
  std::unique_ptr<EngineCore> core;

 private:
  TinyModel target_;
  TinyModel draft_;
};

// Drafts that fall, that stand (the target itself), and, by shared noise between two models, some of both.
struct Case {
  const char* draft;
  float temperature;
};

Case AnyCase() {
  return GENERATE(Case{"llama2", 0.0f}, Case{"smollm2", 0.0f}, Case{"llama2", 1.0f});
}

}  // namespace

TEST_CASE("D7: the draft model's drafts of a request, and of one that shares its prefix", "[decoding]") {
  const Case c = AnyCase();
  Scene scene(c.draft);
  std::mt19937 random(4);
  const auto first = scene.MakeRequest(1, RandomPrompt(random, 53), 60, c.temperature);  // longer than a step
  const auto result = RunAll(*scene.core, {first})[0];
  scene.CheckDrafts(first, result);
  const int accepted = result.stats.num_accepted_draft_tokens, drafted = result.stats.num_draft_tokens;
  INFO(accepted << " of " << drafted << " stood");
  if (std::string(c.draft) == "smollm2") {
    CHECK(accepted == drafted);
  } else {
    CHECK(accepted < drafted / 2);
    if (c.temperature > 0) CHECK(accepted > 0);
  }
  const auto second = scene.MakeRequest(2, first->prompt, 40, c.temperature);
  const auto again = RunAll(*scene.core, {second})[0];
  CHECK(again.stats.num_cached_tokens == 48);
  scene.CheckDrafts(second, again);
}

TEST_CASE("D7: the draft model's drafts after a pause", "[decoding]") {
  const Case c = AnyCase();
  Scene scene(c.draft);
  std::mt19937 random(6);
  scene.spy->pause_begin = 10;
  scene.spy->pause_end = 33;
  const auto request = scene.MakeRequest(1, RandomPrompt(random, 20), 80, c.temperature);
  const auto result = RunAll(*scene.core, {request})[0];
  scene.CheckDrafts(request, result);
}

TEST_CASE("D7: the draft model's drafts of requests that preempt each other", "[decoding]") {
  const Case c = AnyCase();
  Scene scene(c.draft, 11);
  std::mt19937 random(8);
  std::vector<std::shared_ptr<Request>> requests;
  for (RequestId id = 1; id <= 4; ++id) {
    requests.push_back(
        scene.MakeRequest(id, RandomPrompt(random, 12 + 7 * static_cast<int>(id)), 45, c.temperature));
  }
  const auto results = RunAll(*scene.core, requests);
  int preemptions = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    preemptions += results[i].stats.num_preemptions;
    scene.CheckDrafts(requests[i], results[i]);
  }
  CHECK(preemptions > 0);
}

}  // namespace reprise
