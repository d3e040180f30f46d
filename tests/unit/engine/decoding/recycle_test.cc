// D7: what the module is fed. Its drafts, made slot by slot between target passes, through prefix hits,
// pauses and preemption, are those of one pass of the module over the whole text.
#include "engine/decoding/recycle.h"

#include "tests/unit/engine/decoding/decoding_leg.h"
#include "tests/unit/engine/decoding/drafting_spy.h"
#include "tests/unit/engine/engine_fixture.h"
#include "tests/unit/models/tiny_family.h"

namespace reprise {
namespace {

constexpr const char* kModelPath = "tests/data/models/smollm2";
constexpr int kBlockSize = 16;

class Scene {
 public:
  explicit Scene(const ModuleSpec& spec, int num_blocks = 64, int num_read = 256, int max_batch_tokens = 32)
      : target_(MakeDecodingLeg(), "smollm2"),
        module_(MakeModule(kModelPath, *target_.decoder, *target_.backend, spec)) {
    EngineOptions options;
    options.kv_type = KvType::kF32;
    options.max_num_seqs = 8;
    options.max_num_batched_tokens = 32;
    options.profile = false;
    options.poison_kv = true;
    KvGeometry geometry = target_.decoder->kv_geometry();
    geometry.type = options.kv_type;
    const int layers = target_.decoder->num_layers() + module_->num_layers();
    options.kv_cache_bytes =
        static_cast<std::uint64_t>(num_blocks) *
        KvCache::BlockBytes(std::vector(static_cast<std::size_t>(layers), geometry), module_->hidden_size());
    EngineModels models(*target_.decoder);
    models.recycle = module_.get();
    core = std::move(EngineCore::Create(*target_.backend, models, options)).value();
    DraftLimits limits{target_.decoder->config().vocab_size, kBlockSize, max_batch_tokens,
                       options.max_num_seqs, 64};
    limits.drawn = core->drawn_memory().ids();
    limits.first_drawn = core->drawn_memory().first_draft(ProposerKind::kRecycle);
    const KvCache& cache = core->kv_cache();
    auto inner = std::make_unique<RecycleProposer>(
        *target_.backend, *module_,
        RecycleProposer::Memory{cache.layers().last(static_cast<std::size_t>(module_->num_layers())),
                                cache.hidden_states(), core->scheduler().block_pool()},
        limits, RecycleScratch::Allocate(*target_.backend, *module_, limits).value(), num_read);
    std::array<std::unique_ptr<Proposer>, kNumProposers> proposers;
    auto owned = std::make_unique<DraftingSpy>(std::move(inner));
    spy = owned.get();
    proposers[IndexOf(ProposerKind::kRecycle)] = std::move(owned);
    const StepCosts costs{CostCurve({{1, 1e-3}, {64, 1e-3}}), 0, {}};
    core->set_drafting(std::make_unique<Drafting>(std::move(proposers), costs, 1));
  }

  std::shared_ptr<Request> MakeRequest(RequestId id, std::vector<TokenId> prompt, int max_tokens) {
    auto request = MakeTestRequest(id, std::move(prompt), max_tokens);
    request->decoding = DecodingMethod::kRecycle;
    request->max_draft_tokens = 1;
    return request;
  }

  // What the module drafts for each position, from 1 on, after one pass over all of `tokens`.
  std::vector<TokenId> DraftsOfOnePass(const std::vector<TokenId>& tokens) {
    const auto n = static_cast<int>(tokens.size());
    std::vector<KvGeometry> geometries;
    for (int i = 0; i < target_.decoder->num_layers(); ++i)
      geometries.push_back(target_.decoder->kv_geometry());
    for (int i = 0; i < module_->num_layers(); ++i) geometries.push_back(module_->kv_geometry());
    for (KvGeometry& geometry : geometries) {
      geometry.num_blocks = n / kBlockSize + 1;
      geometry.type = KvType::kF32;
    }
    const KvCache kv = std::move(KvCache::Allocate(*target_.backend, geometries, true)).value();
    Sequence sequence;
    sequence.tokens = tokens;
    for (int b = 0; b <= n / kBlockSize; ++b) sequence.block_table.push_back(b);
    std::vector<TokenId> drafts = {-1};  // nothing is drafted for position 0
    Backend& backend = *target_.backend;
    std::vector<float> previous(static_cast<std::size_t>(module_->hidden_size()), 0.0f);
    DraftBatch batch(kBlockSize);
    const auto target_layers = static_cast<std::size_t>(target_.decoder->num_layers());
    for (int j = 0; j < n; ++j) {
      batch.Clear();
      batch.Add(sequence, j, std::span(tokens).subspan(static_cast<std::size_t>(j), 1), true);
      const Decoder::Output output = target_.decoder->Forward(batch.View(), kv.layers().first(target_layers));
      const bool normed = module_->config().hidden_kind == HiddenKind::kPostNorm;
      const float* state = backend.ToHost(normed ? output.hidden : output.residual).row(0);
      const std::vector<float> current(state, state + module_->hidden_size());
      backend.Upload(module_->HiddenInput(1).data, previous.data(), previous.size() * sizeof(float));
      const RecycleModule::Output guess = module_->Forward(batch.View(), kv.layers().subspan(target_layers));
      const ConstMatrixView logits = backend.ToHost(guess.logits);
      drafts.push_back(ArgMax(std::span(logits.row(0), static_cast<std::size_t>(logits.columns))));
      previous = current;
    }
    return drafts;
  }

  // The tokens of a request, and its drafts so far against those of one pass.
  void CheckDrafts(const Request& request, const Collected& result, int first_position = 0) {
    std::vector<TokenId> tokens = request.prompt;
    tokens.insert(tokens.end(), result.tokens.begin(), result.tokens.end());
    spy->CheckDrafts(request.id, DraftsOfOnePass(tokens), first_position);
  }

 private:
  TinyModel target_;
  std::unique_ptr<RecycleModule> module_;

 public:
  // Memory of the backend's, which outlives it.
  DraftingSpy* spy = nullptr;
  std::unique_ptr<EngineCore> core;
};

ModuleSpec AnyModule() {
  return GENERATE(ModuleSpec{ModuleKind::kRandom, 1, false, 0}, ModuleSpec{ModuleKind::kRandom, 2, true, 0});
}

}  // namespace

TEST_CASE("D7: drafts of a request, and of one that shares its prefix", "[decoding]") {
  Scene scene(AnyModule());
  std::mt19937 random(4);
  const auto first = scene.MakeRequest(1, RandomPrompt(random, 53), 40);  // longer than a step
  const auto result = RunAll(*scene.core, {first})[0];
  scene.CheckDrafts(*first, result);
  const auto second = scene.MakeRequest(2, first->prompt, 40);
  const auto again = RunAll(*scene.core, {second})[0];
  CHECK(again.stats.num_cached_tokens == 48);
  CHECK(again.tokens == result.tokens);
  scene.CheckDrafts(*second, again);
}

TEST_CASE("D7: drafts after a pause that the kept states bridge, and after one that they do not",
          "[decoding]") {
  Scene scene(AnyModule(), 64, 32);
  std::mt19937 random(6);
  auto request = scene.MakeRequest(1, RandomPrompt(random, 20), 100);
  SECTION("short") {
    scene.spy->pause_begin = 10;
    scene.spy->pause_end = 30;
    const auto result = RunAll(*scene.core, {request})[0];
    scene.CheckDrafts(*request, result);
  }
  SECTION("long: the window moves, the text does not change") {
    // Only auto lets states go. A random module is drafted with for exploration alone.
    request->decoding = DecodingMethod::kAuto;
    scene.spy->pause_begin = 5;
    scene.spy->pause_end = 80;  // more than twice the states that are kept
    const auto result = RunAll(*scene.core, {request})[0];
    int late = 0;
    for (const SpiedDraft& draft : scene.spy->drafts) late += draft.position >= 20 + 80;
    CHECK(late > 0);
    const auto plain = scene.MakeRequest(2, request->prompt, 100);
    plain->decoding = DecodingMethod::kPlain;
    CHECK(RunAll(*scene.core, {plain})[0].tokens == result.tokens);
  }
}

TEST_CASE("D7: drafts of requests that preempt each other", "[decoding]") {
  Scene scene(AnyModule(), 11);
  std::mt19937 random(8);
  std::vector<std::shared_ptr<Request>> requests;
  for (RequestId id = 1; id <= 4; ++id) {
    requests.push_back(scene.MakeRequest(id, RandomPrompt(random, 12 + 7 * static_cast<int>(id)), 45));
  }
  const auto results = RunAll(*scene.core, requests);
  int preemptions = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    preemptions += results[i].stats.num_preemptions;
    scene.CheckDrafts(*requests[i], results[i]);
  }
  CHECK(preemptions > 0);
}

TEST_CASE("D7: chains do not depend on how their first slots shared the module's batches", "[decoding]") {
  const auto chains = [](const ModuleSpec& spec, int max_batch_tokens) {
    Scene scene(spec, 64, 256, max_batch_tokens);
    std::mt19937 random(12);
    std::vector<std::shared_ptr<Request>> requests;
    for (RequestId id = 1; id <= 4; ++id) {
      requests.push_back(scene.MakeRequest(id, RandomPrompt(random, 6), 20));
      requests.back()->max_draft_tokens = 3;
    }
    RunAll(*scene.core, requests);
    return scene.spy->drafts;
  };
  const ModuleSpec spec = AnyModule();
  const auto whole = chains(spec, 32);  // 4 requests of 7 slots: all in one batch
  const auto split = chains(spec, 16);  // at most two end in the same
  REQUIRE(split.size() == whole.size());
  std::size_t longest = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    INFO("request " << whole[i].id << ", position " << whole[i].position);
    CHECK(split[i].tokens == whole[i].tokens);
    longest = std::max(longest, whole[i].tokens.size());
  }
  CHECK(longest == 3);
}

TEST_CASE("D9: unverified recycling is one pass and one row of logits for two tokens", "[decoding]") {
  Scene scene(ModuleSpec{ModuleKind::kRandom, 1, false, 90});
  std::mt19937 random(9);
  class Rows final : public EngineObserver {
   public:
    void OnStep(const StepStats& step) override {
      if (step.num_prompt_tokens > 0) return;
      ++passes;
      tokens += step.num_tokens;
      logit_rows += step.num_logit_rows;
    }
    void OnFinished(const Request&, const RequestStats&, FinishReason) override {}
    int passes = 0, tokens = 0, logit_rows = 0;
  };
  const int max_tokens = GENERATE(20, 21);
  const bool logprobs = GENERATE(false, true);
  const float temperature = GENERATE(0.0f, 0.8f);
  auto request = scene.MakeRequest(1, RandomPrompt(random, 10), max_tokens);
  request->lenience = 0;
  request->sampling.temperature = temperature;
  request->sampling.num_logprobs = logprobs ? 1 : -1;
  request->sampling.top_k = 50;
  request->sampling.logit_bias = {{0, 2.0f}};
  auto stream = std::make_shared<TokenStream>(request);
  REQUIRE(scene.core->Add(request, stream).ok());
  Rows rows;
  while (!scene.core->idle()) REQUIRE(scene.core->Step(&rows).ok());
  Collected result;
  Drain(*stream, &result);
  CHECK(static_cast<int>(result.tokens.size()) == max_tokens);
  CHECK(rows.passes == max_tokens / 2);  // after the first token, which the prompt's pass gave
  CHECK(rows.tokens == max_tokens - 1);
  CHECK(rows.logit_rows == (logprobs ? rows.tokens : rows.passes));  // log-probabilities need them all
  CHECK(result.stats.num_accepted_draft_tokens == (max_tokens - 1) / 2);
  for (const GeneratedToken& token : result.generated) CHECK((token.rank > 0) == logprobs);
}

TEST_CASE("D8: shared noise belongs to the token, not to the row of a draft vocabulary", "[decoding]") {
  constexpr int kVocab = 50;
  const std::vector<TokenId> ids = {1, 4, 5, 9, 13, 20, 21, 22, 30, 41, 44, 49};
  DraftSampler sampler(kVocab, ids);
  Verifier verifier;
  int inside = 0, stood = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    auto request = MakeTestRequest(1, {3}, 10, 1.0f, seed);
    if (seed % 2 == 1) request->sampling.min_p = 0.01f;  // filters nothing here, but is another path
    std::vector<float> logits(kVocab);
    for (int i = 0; i < kVocab; ++i)
      logits[static_cast<std::size_t>(i)] = std::sin(static_cast<float>(i) * 1.9f);
    std::vector<float> few;
    for (const TokenId id : ids) few.push_back(logits[static_cast<std::size_t>(id)]);
    Sequence sequence;
    sequence.request = request;
    sequence.tokens = request->prompt;
    PenaltyState penalties(*request);
    Draft draft;
    REQUIRE(sampler.Draw({&sequence, &penalties, 1, &draft}, few));
    std::vector<float> rows = logits;
    rows.insert(rows.end(), logits.begin(), logits.end());
    std::vector<GeneratedToken> accepted;
    REQUIRE(verifier.Verify(sequence, draft, {rows.data(), 2, kVocab, kVocab}, penalties, &accepted).ok());
    if (!std::ranges::binary_search(ids, accepted[0].token)) continue;
    ++inside;
    stood += accepted.size() == 2;  // the target's choice is in the draft vocabulary: so it is the draft's
  }
  CHECK(inside > 500);
  CHECK(stood == inside);
}

}  // namespace reprise
