// D1: whatever drafts, and however well, a greedy or seeded request gets plain decoding's tokens. On a real
// tiny model with poisoned KV memory, in batches, small pools, chunks, and with every method at once.
#include "models/draft_config.h"
#include "tests/unit/engine/engine_fixture.h"
#include "tests/unit/models/tiny_family.h"

namespace reprise {
namespace {

constexpr const char* kModelPath = "tests/data/models/smollm2";

struct Family {
  TinyModel target;
  std::unique_ptr<RecycleModule> module;
  std::unique_ptr<TinyModel> draft;

  explicit Family(const ModuleSpec& spec = {}) {
    module = MakeModule(kModelPath, *target.decoder, *target.backend, spec);
  }
  EngineModels models() const {
    EngineModels models(*target.decoder);
    models.recycle = module.get();
    if (draft != nullptr) models.draft = draft->decoder.get();
    return models;
  }
};

EngineOptions TestOptions() {
  EngineOptions options;
  options.kv_cache_bytes = std::uint64_t{16} << 20;
  options.kv_type = KvType::kF32;
  options.max_num_seqs = 16;
  options.max_num_batched_tokens = 128;
  options.profile = false;
  options.poison_kv = true;
  return options;
}

// Blocks of 16 tokens, of all layers.
EngineOptions WithBlocks(const EngineModels& models, int blocks) {
  EngineOptions options = TestOptions();
  KvGeometry geometry = models.target->kv_geometry();
  geometry.type = options.kv_type;
  int layers = models.target->num_layers();
  if (models.recycle != nullptr) layers += models.recycle->num_layers();
  if (models.draft != nullptr) layers += models.draft->num_layers();
  const int hidden_size = models.recycle != nullptr ? models.recycle->hidden_size() : 0;
  const std::vector geometries(static_cast<std::size_t>(layers), geometry);
  options.kv_cache_bytes = static_cast<std::uint64_t>(blocks) * KvCache::BlockBytes(geometries, hidden_size);
  return options;
}

std::unique_ptr<EngineCore> MakeCore(const Family& family, const EngineOptions& options) {
  auto core = EngineCore::Create(*family.target.backend, family.models(), options);
  INFO(core.status().ToString());
  REQUIRE(core.ok());
  return std::move(core).value();
}

struct Method {
  std::string name;
  DecodingMethod method = DecodingMethod::kAuto;
  std::optional<ProposerKind> proposer = std::nullopt;
  std::optional<int> length = std::nullopt;
};

void Apply(const Method& method, Request* request) {
  request->decoding = method.method;
  request->proposer = method.proposer;
  request->max_draft_tokens = method.length;
}

const std::vector<Method>& AllMethods() {
  static const std::vector<Method> methods = [] {
    std::vector<Method> all = {{"auto"}};
    for (int k : {1, 2, 4}) {
      all.push_back({"recycle " + std::to_string(k), DecodingMethod::kRecycle, std::nullopt, k});
    }
    for (int k = 1; k <= 8; ++k) {
      all.push_back(
          {"draft model " + std::to_string(k), DecodingMethod::kSpeculative, ProposerKind::kDraftModel, k});
      all.push_back({"prompt look-up " + std::to_string(k), DecodingMethod::kSpeculative,
                     ProposerKind::kPromptLookup, k});
    }
    return all;
  }();
  return methods;
}

// Sixty-four prompts, some of them repetitive, a third with a common beginning; greedy, and seeded at 0.7 and
// 1.0; some with filters, penalties, bias, min_tokens, log-probabilities, stop tokens, three choices.
std::vector<std::shared_ptr<Request>> Workload() {
  std::mt19937 random(5);
  const std::vector<TokenId> common = RandomPrompt(random, 40);
  std::vector<std::shared_ptr<Request>> requests;
  RequestId id = 1;
  for (int i = 0; i < 64; ++i) {
    std::vector<TokenId> prompt = i % 3 == 0 ? common : std::vector<TokenId>();
    const std::vector<TokenId> own = RandomPrompt(random, 2 + i % 17);
    for (int repeat = 0; repeat < 1 + i % 3; ++repeat) prompt.insert(prompt.end(), own.begin(), own.end());
    const float temperature = i % 4 == 0 ? 1.0f : i % 4 == 1 ? 0.7f : 0.0f;
    for (int choice = 0; choice < (i % 16 == 5 ? 3 : 1); ++choice) {
      auto request = MakeTestRequest(id++, prompt, 9 + i % 23, temperature, 100 + static_cast<unsigned>(i));
      request->choice = static_cast<std::uint32_t>(choice);
      request->group = request->id - static_cast<RequestId>(choice);
      // A text of few tokens: what was said before is likely to be said again.
      if (i % 8 < 3) request->sampling.logit_bias = {{60, 9.0f}, {61, 8.5f}, {62, 8.0f}};
      if (i % 8 == 4) {
        request->sampling.top_k = 20;
        request->sampling.top_p = 0.9f;
        request->sampling.min_p = 0.01f;
      }
      if (i % 8 == 3 || i % 8 == 5) {
        request->sampling.frequency_penalty = 0.6f;
        request->sampling.presence_penalty = 0.2f;
        request->sampling.repetition_penalty = 1.1f;
        request->sampling.logit_bias = {{77, 3.0f}, {99, -4.0f}};
      }
      if (i % 8 == 6) {
        request->stop_token_ids = {30, 31, 32, 33, 34, 35, 36, 37, 38, 39};
        request->min_tokens = 4;
      }
      if (i % 8 == 7) request->sampling.num_logprobs = 2;
      requests.push_back(std::move(request));
    }
  }
  return requests;
}

struct Output {
  std::vector<std::vector<TokenId>> tokens;
  std::vector<FinishReason> reasons;
  std::vector<std::vector<std::pair<float, int>>> logprobs;
  bool operator==(const Output&) const = default;
};

Output OutputOf(const std::vector<Collected>& results) {
  Output output;
  for (const Collected& result : results) {
    output.tokens.push_back(result.tokens);
    output.reasons.push_back(result.reason);
    output.logprobs.emplace_back();
    for (const GeneratedToken& token : result.generated) {
      output.logprobs.back().push_back({token.logprob, token.rank});
    }
  }
  return output;
}

int TotalAccepted(const std::vector<Collected>& results) {
  int accepted = 0;
  for (const Collected& result : results) accepted += result.stats.num_accepted_draft_tokens;
  return accepted;
}

Output Plain(const Family& family) {
  std::vector<std::shared_ptr<Request>> requests = Workload();
  for (auto& request : requests) request->decoding = DecodingMethod::kPlain;
  EngineOptions options = TestOptions();
  options.enable_prefix_cache = false;
  const auto results = RunAll(*MakeCore(family, options), requests);
  REQUIRE(TotalAccepted(results) == 0);
  return OutputOf(results);
}

std::vector<Collected> Run(const Family& family, const EngineOptions& options, const Method& method) {
  std::vector<std::shared_ptr<Request>> requests = Workload();
  for (auto& request : requests) Apply(method, request.get());
  return RunAll(*MakeCore(family, options), requests);
}

// Every request decoded another way, changing with `turn`.
std::vector<Collected> RunMixed(const Family& family, const EngineOptions& options, std::size_t turn) {
  std::vector<std::shared_ptr<Request>> requests = Workload();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if ((i + turn) % 7 == 0) {
      requests[i]->decoding = DecodingMethod::kPlain;
    } else {
      Apply(AllMethods()[(i * 5 + turn) % AllMethods().size()], requests[i].get());
    }
  }
  return RunAll(*MakeCore(family, options), requests);
}

}  // namespace

TEST_CASE("D1: every method gives plain decoding's tokens", "[decoding]") {
  Family family;
  family.draft = std::make_unique<TinyModel>();  // the target itself: accepted whenever it gets to draft
  const Output plain = Plain(family);

  for (const Method& method : AllMethods()) {
    INFO(method.name);
    const auto results = Run(family, TestOptions(), method);
    CHECK(OutputOf(results) == plain);
    // What auto drafts depends on the machine; all others accept a good deal of what they draft.
    if (method.method != DecodingMethod::kAuto) CHECK(TotalAccepted(results) > 50);
    for (const Collected& result : results) {
      if (method.length)
        CHECK(result.stats.num_draft_tokens <= *method.length * result.stats.num_draft_steps);
    }
  }
}

TEST_CASE("D1: batches of one, chunked prefill, small pools, mixed methods", "[decoding]") {
  Family family;
  family.draft = std::make_unique<TinyModel>();
  const Output plain = Plain(family);
  SECTION("one at a time") {
    EngineOptions options = TestOptions();
    options.max_num_seqs = 1;
    for (std::size_t turn = 0; turn < 2; ++turn) CHECK(OutputOf(RunMixed(family, options, turn)) == plain);
  }
  SECTION("chunks") {
    EngineOptions options = TestOptions();
    options.max_num_batched_tokens = 19;
    for (std::size_t turn = 0; turn < 3; ++turn) CHECK(OutputOf(RunMixed(family, options, turn)) == plain);
  }
  SECTION("preemption") {
    EngineOptions options = WithBlocks(family.models(), 14);
    options.enable_prefix_cache = GENERATE(false, true);
    int preemptions = 0, accepted = 0;
    for (std::size_t turn = 0; turn < 4; ++turn) {
      const auto results = RunMixed(family, options, turn);
      CHECK(OutputOf(results) == plain);
      for (const Collected& result : results) preemptions += result.stats.num_preemptions;
      accepted += TotalAccepted(results);
    }
    CHECK(preemptions > 20);
    CHECK(accepted > 400);
  }
  SECTION("all methods side by side") {
    for (std::size_t turn = 0; turn < 6; ++turn)
      CHECK(OutputOf(RunMixed(family, TestOptions(), turn)) == plain);
  }
}

TEST_CASE("D2: bad modules change speed only", "[decoding]") {
  const ModuleSpec spec =
      GENERATE(ModuleSpec{ModuleKind::kRandom, 1, false, 0}, ModuleSpec{ModuleKind::kRandom, 2, true, 90},
               ModuleSpec{ModuleKind::kContrary, 1, false, 0}, ModuleSpec{ModuleKind::kCopy, 2, true, 0},
               ModuleSpec{ModuleKind::kCopy, 1, false, 136});
  Family family(spec);
  const Output plain = Plain(family);
  for (int length : {1, 3}) {
    const auto results =
        Run(family, TestOptions(), {"recycle", DecodingMethod::kRecycle, std::nullopt, length});
    CHECK(OutputOf(results) == plain);
  }
}

TEST_CASE("D3: a draft that is the target is always accepted", "[decoding]") {
  Family family;
  family.draft = std::make_unique<TinyModel>();
  EngineOptions options = TestOptions();
  const bool small_pool = GENERATE(false, true);
  if (small_pool) options = WithBlocks(family.models(), 14);
  const auto results =
      Run(family, options, {"draft", DecodingMethod::kSpeculative, ProposerKind::kDraftModel, 4});
  for (const Collected& result : results) {
    // But for drafted tokens after the one that ended the request.
    const bool stopped = result.reason == FinishReason::kStop;
    CHECK(result.stats.num_accepted_draft_tokens + (stopped ? 4 : 0) >= result.stats.num_draft_tokens);
    CHECK(result.stats.num_draft_tokens > 0);
  }
}

TEST_CASE("D5: passes a token fall with lenience, to a half for recycling in pairs", "[decoding]") {
  Family family;
  const bool seeded = GENERATE(true, false);
  double last = 2;
  for (const float lenience : {1.0f, 0.6f, 0.2f, 0.0f}) {
    std::vector<std::shared_ptr<Request>> requests = Workload();
    for (auto& request : requests) {
      request->decoding = DecodingMethod::kRecycle;
      request->max_draft_tokens = 1;
      request->lenience = lenience;
      request->sampling.seeded = seeded;
      request->stop_token_ids = {};
      request->max_tokens = 41;  // the first comes with the prompt
    }
    EngineOptions options = TestOptions();
    options.max_num_seqs = 1;  // no prefill takes the room of a draft
    int passes = 0, tokens = 0;
    for (const Collected& result : RunAll(*MakeCore(family, options), requests)) {
      passes += result.stats.num_passes - 1;
      tokens += result.stats.num_generated_tokens - 1;
    }
    const double passes_per_token = static_cast<double>(passes) / tokens;
    CHECK(passes_per_token < last);
    last = passes_per_token;
  }
  CHECK(last == 0.5);
}

}  // namespace reprise
