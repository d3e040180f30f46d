// The step loop on a real tiny model: what a request gets does not depend on its company, on chunking, on
// preemption or on the prefix cache. KV memory is poisoned with NaN, so a read of an unwritten slot cannot go
// unnoticed.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/unit/engine/engine_fixture.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise {
namespace {

EngineOptions TestOptions(KvType type = KvType::kF32) {
  EngineOptions options;
  options.kv_cache_bytes = std::uint64_t{8} << 20;
  options.kv_type = type;
  options.max_num_seqs = 16;
  options.max_num_batched_tokens = 64;
  options.poison_kv = true;
  return options;
}

std::unique_ptr<EngineCore> MakeCore(TinyModel& model, const EngineOptions& options) {
  auto core = EngineCore::Create(*model.backend, *model.decoder, options);
  INFO(core.status().ToString());
  REQUIRE(core.ok());
  return std::move(core).value();
}

// Sixteen requests of mixed length, greedy and seeded at T = 1, some with filters and penalties.
std::vector<std::shared_ptr<Request>> Workload(RequestId first_id = 1) {
  std::mt19937 random(11);
  std::vector<std::shared_ptr<Request>> requests;
  for (int i = 0; i < 16; ++i) {
    const float temperature = i % 2 == 0 ? 0.0f : 1.0f;
    auto request = MakeTestRequest(first_id + static_cast<RequestId>(i), RandomPrompt(random, 3 + 5 * i % 60),
                                   12 + i, temperature, 1000 + static_cast<std::uint64_t>(i));
    if (i % 4 == 3) {
      request->sampling.top_p = 0.9f;
      request->sampling.top_k = 40;
      request->sampling.frequency_penalty = 0.5f;
      request->sampling.repetition_penalty = 1.2f;
    }
    requests.push_back(std::move(request));
  }
  return requests;
}

std::vector<std::vector<TokenId>> Tokens(const std::vector<Collected>& results) {
  std::vector<std::vector<TokenId>> tokens;
  for (const Collected& result : results) tokens.push_back(result.tokens);
  return tokens;
}

std::vector<std::vector<TokenId>> RunAlone(TinyModel& model, KvType type) {
  std::vector<std::vector<TokenId>> alone;
  for (const auto& request : Workload()) {
    EngineOptions options = TestOptions(type);
    options.enable_prefix_cache = false;
    const auto core = MakeCore(model, options);
    alone.push_back(RunAll(*core, {request})[0].tokens);
  }
  return alone;
}

// Invariant E1: the output of a request is a function of the request alone.
TEST_CASE("E1: batching, chunking, preemption and prefix hits do not change tokens", "[engine]") {
  const KvType type = GENERATE(KvType::kF32, KvType::kBF16, KvType::kInt8);
  TinyModel model;
  const auto alone = RunAlone(model, type);
  std::set<std::vector<TokenId>> distinct(alone.begin(), alone.end());
  CHECK(distinct.size() == alone.size());

  SECTION("in one batch") {
    CHECK(Tokens(RunAll(*MakeCore(model, TestOptions(type)), Workload())) == alone);
  }
  SECTION("in small chunks") {
    EngineOptions options = TestOptions(type);
    options.max_num_batched_tokens = 17;
    CHECK(Tokens(RunAll(*MakeCore(model, options), Workload())) == alone);
  }
  SECTION("with preemption") {
    EngineOptions options = TestOptions(type);
    KvGeometry geometry = model.decoder->kv_geometry();
    geometry.type = options.kv_type;
    options.kv_cache_bytes = 12 * KvCache::BlockBytes(std::vector(model.decoder->num_layers(), geometry));
    options.enable_prefix_cache = GENERATE(false, true);
    const auto core = MakeCore(model, options);
    REQUIRE(core->info().num_blocks == 12);
    const auto results = RunAll(*core, Workload());
    CHECK(Tokens(results) == alone);
    int preemptions = 0;
    for (const Collected& result : results) preemptions += result.stats.num_preemptions;
    CHECK(preemptions > 0);
    CHECK(core->scheduler().block_pool().num_used() == 0);
  }
  SECTION("from the prefix cache") {
    const auto core = MakeCore(model, TestOptions(type));
    CHECK(Tokens(RunAll(*core, Workload())) == alone);
    const auto again = RunAll(*core, Workload(100));
    CHECK(Tokens(again) == alone);
    int cached = 0;
    for (const Collected& result : again) cached += result.stats.num_cached_tokens;
    CHECK(cached > 0);
  }
  SECTION("with one thread") {
    TinyModel single("smollm2", 1);
    CHECK(Tokens(RunAll(*MakeCore(single, TestOptions(type)), Workload())) == alone);
  }
}

// Invariant E2: so are the bytes it leaves in the cache.
TEST_CASE("E2: keys and values are the same bytes in any company", "[engine]") {
  const KvType type = GENERATE(KvType::kF32, KvType::kBF16, KvType::kInt8);
  TinyModel model;
  std::mt19937 random(3);
  const std::vector<TokenId> prompt = RandomPrompt(random, 50);
  const auto run = [&](int max_batched, bool company) {
    EngineOptions options = TestOptions(type);
    options.max_num_batched_tokens = max_batched;
    options.enable_prefix_cache = false;
    const auto core = MakeCore(model, options);
    const auto request = MakeTestRequest(1, prompt, 40, 1.0f, 5);
    const auto stream = std::make_shared<TokenStream>(request);
    REQUIRE(core->Add(request, stream).ok());
    std::vector<std::shared_ptr<TokenStream>> others;
    for (RequestId id = 2; company && id < 10; ++id) {
      const auto other = MakeTestRequest(id, RandomPrompt(random, 20), 60);
      others.push_back(std::make_shared<TokenStream>(other));
      REQUIRE(core->Add(other, others.back()).ok());
    }
    const Sequence* sequence = core->scheduler().Find(1);
    while (sequence->tokens.size() < 70) REQUIRE(core->Step(nullptr).ok());
    std::vector<int> slots;
    for (int position = 0; position < 69; ++position) slots.push_back(sequence->Slot(position, 16));
    std::vector<float> bytes;
    for (const KvLayer& layer : core->kv_cache().layers()) {
      std::vector<float> keys, values;
      model.backend->ReadKvSlots(slots, layer, &keys, &values);
      bytes.insert(bytes.end(), keys.begin(), keys.end());
      bytes.insert(bytes.end(), values.begin(), values.end());
    }
    core->AbortAll(FinishReason::kAbort);
    return bytes;
  };
  const std::vector<float> expected = run(64, false);
  REQUIRE(std::none_of(expected.begin(), expected.end(), [](float v) { return std::isnan(v); }));
  CHECK(run(64, true) == expected);
  CHECK(run(16, false) == expected);
  CHECK(run(19, true) == expected);
}

// The final norm's weights so large that logits overflow.
void WriteOverflowingModel(const TempDir& folder) {
  const std::string source = "tests/data/models/smollm2";
  std::filesystem::copy(source, folder.path(), std::filesystem::copy_options::recursive);
  std::string file = ReadWholeFile(source + "/model.safetensors");
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), sizeof(header_bytes));
  const auto header = nlohmann::json::parse(file.substr(sizeof(header_bytes), header_bytes));
  const auto offsets = header["model.norm.weight"]["data_offsets"].get<std::vector<std::size_t>>();
  const std::size_t data = sizeof(header_bytes) + header_bytes;
  std::fill(file.begin() + static_cast<std::ptrdiff_t>(data + offsets[0]),
            file.begin() + static_cast<std::ptrdiff_t>(data + offsets[1]), '\x7f');  // bf16 3.4e38
  folder.Write("model.safetensors", file);
}

TEST_CASE("Logits that are not numbers end a request, also one that asks for its prompt's", "[engine]") {
  const TempDir folder;
  WriteOverflowingModel(folder);
  TinyModel model(folder.path());
  std::mt19937 random(9);
  const auto core = MakeCore(model, TestOptions());
  for (const int max_tokens : {0, 4}) {
    const auto request = MakeTestRequest(1, RandomPrompt(random, 10), max_tokens);
    request->prompt_logprobs = 0;
    const Collected ended = RunAll(*core, {request})[0];
    CHECK(ended.reason == FinishReason::kError);
    CHECK(ended.tokens.empty());
    CHECK(ended.prompt.empty());
  }
}

TEST_CASE("Stop tokens, min_tokens and max_tokens", "[engine]") {
  TinyModel model;
  std::mt19937 random(9);
  const auto prompt = RandomPrompt(random, 10);
  const auto core = MakeCore(model, TestOptions());
  const Collected free_run = RunAll(*core, {MakeTestRequest(1, prompt, 20, 1.0f, 4)})[0];
  CHECK(free_run.reason == FinishReason::kLength);
  REQUIRE(free_run.tokens.size() == 20);
  auto stopping = MakeTestRequest(2, prompt, 20, 1.0f, 4);
  stopping->stop_token_ids = {free_run.tokens[5]};
  const Collected stopped = RunAll(*core, {stopping})[0];
  const auto first = std::find(free_run.tokens.begin(), free_run.tokens.end(), free_run.tokens[5]);
  CHECK(stopped.reason == FinishReason::kStop);
  CHECK(stopped.tokens == std::vector<TokenId>(free_run.tokens.begin(), first + 1));
  auto delayed = MakeTestRequest(3, prompt, 20, 1.0f, 4);
  delayed->stop_token_ids = stopping->stop_token_ids;
  delayed->min_tokens = 15;
  const Collected late = RunAll(*core, {delayed})[0];
  CHECK(late.tokens.size() >= 15);
  CHECK(std::find(late.tokens.begin(), late.tokens.begin() + 15, free_run.tokens[5]) ==
        late.tokens.begin() + 15);
}

TEST_CASE("Log-probabilities of prompt and output agree with each other", "[engine]") {
  TinyModel model;
  std::mt19937 random(21);
  EngineOptions options = TestOptions();
  options.max_num_batched_tokens = 24;
  const auto core = MakeCore(model, options);
  auto generate = MakeTestRequest(1, RandomPrompt(random, 30), 25, 1.0f, 8);
  generate->sampling.num_logprobs = 3;
  const Collected generated = RunAll(*core, {generate})[0];
  REQUIRE(generated.generated.size() == 25);
  // The same text as a prompt: the engine must assign the same log-probabilities.
  std::vector<TokenId> whole = generate->prompt;
  whole.insert(whole.end(), generated.tokens.begin(), generated.tokens.end());
  auto echo = MakeTestRequest(2, whole, 0);
  echo->prompt_logprobs = 3;
  const Collected scored = RunAll(*core, {echo})[0];
  REQUIRE(scored.prompt.size() == whole.size());
  CHECK(scored.stats.num_cached_tokens == 0);
  CHECK(scored.tokens.empty());
  CHECK(scored.reason == FinishReason::kLength);
  for (std::size_t i = 0; i < generated.generated.size(); ++i) {
    const GeneratedToken& a = generated.generated[i];
    const GeneratedToken& b = scored.prompt[generate->prompt.size() + i];
    CHECK(a.token == b.token);
    CHECK(a.logprob == b.logprob);
    CHECK(a.rank == b.rank);
    REQUIRE(a.top.size() == 3);
    CHECK(a.top[0].logprob >= a.top[1].logprob);
    CHECK(a.logprob <= a.top[0].logprob);
    CHECK(b.top[2].token == a.top[2].token);
  }
}

TEST_CASE("Prompt log-probabilities come once, before the generated tokens", "[engine]") {
  TinyModel model;
  std::mt19937 random(22);
  const auto core = MakeCore(model, TestOptions());
  const auto request = MakeTestRequest(1, RandomPrompt(random, 20), 6);
  request->prompt_logprobs = 0;
  request->sampling.num_logprobs = 0;
  const Collected result = RunAll(*core, {request})[0];
  CHECK(result.tokens.size() == 6);
  REQUIRE(result.prompt.size() == 20);
  for (std::size_t i = 0; i < 20; ++i) CHECK(result.prompt[i].token == request->prompt[i]);
}

TEST_CASE("Abort and deadlines free blocks at once", "[engine]") {
  TinyModel model;
  std::mt19937 random(2);
  const auto core = MakeCore(model, TestOptions());
  const auto request = MakeTestRequest(1, RandomPrompt(random, 40), 50);
  const auto timed = MakeTestRequest(2, RandomPrompt(random, 40), 50);
  timed->deadline = Clock::now() + std::chrono::hours(1);
  const auto stream = std::make_shared<TokenStream>(request);
  const auto timed_stream = std::make_shared<TokenStream>(timed);
  REQUIRE(core->Add(request, stream).ok());
  REQUIRE(core->Add(timed, timed_stream).ok());
  for (int i = 0; i < 4; ++i) REQUIRE(core->Step(nullptr).ok());
  CHECK(core->kv_usage() > 0);
  core->Abort(1, FinishReason::kAbort);
  core->ExpireDeadlines(Clock::now());
  CHECK_FALSE(core->idle());
  core->ExpireDeadlines(*timed->deadline);
  CHECK(core->idle());
  CHECK(core->kv_usage() == 0);
  Collected aborted, expired;
  Drain(*stream, &aborted);
  Drain(*timed_stream, &expired);
  CHECK(aborted.reason == FinishReason::kAbort);
  CHECK(expired.reason == FinishReason::kTimeout);
  core->Abort(1, FinishReason::kAbort);  // known no more: no effect
}

TEST_CASE("n choices share one prefill and differ", "[engine]") {
  TinyModel model;
  std::mt19937 random(31);
  const auto prompt = RandomPrompt(random, 48);
  const auto core = MakeCore(model, TestOptions());
  std::vector<std::shared_ptr<Request>> choices;
  for (std::uint32_t choice = 0; choice < 3; ++choice) {
    auto request = MakeTestRequest(10 + choice, prompt, 10, 1.0f, 77);
    request->group = 10;
    request->choice = choice;
    choices.push_back(std::move(request));
  }
  const auto results = RunAll(*core, choices);
  CHECK(results[0].tokens != results[1].tokens);
  CHECK(results[1].tokens != results[2].tokens);
  CHECK(results[0].stats.num_cached_tokens == 0);
  CHECK(results[1].stats.num_cached_tokens ==
        32);  // two of the prompt's three full blocks; its last token is computed again
  CHECK(results[2].stats.num_cached_tokens == 32);
}

TEST_CASE("Options that cannot work are refused with the reason", "[engine]") {
  TinyModel model;
  const auto refusal = [&](auto change) {
    EngineOptions options = TestOptions();
    change(options);
    const auto core = EngineCore::Create(*model.backend, *model.decoder, options);
    REQUIRE_FALSE(core.ok());
    return core.status().message();
  };
  CHECK(refusal([](EngineOptions& o) { o.block_size = 20; }).find("multiple of 16") != std::string::npos);
  CHECK(refusal([](EngineOptions& o) { o.max_num_batched_tokens = 3; }).find("at least max_num_seqs") !=
        std::string::npos);
  CHECK(refusal([](EngineOptions& o) { o.max_model_len = 100000; }).find("context of 128") !=
        std::string::npos);
  CHECK(refusal([](EngineOptions& o) { o.kv_cache_bytes = 100; }).find("less than one block") !=
        std::string::npos);
}

TEST_CASE("On the host the size of the KV cache is the user's, whatever a GPU's share", "[engine]") {
  TinyModel model;
  EngineOptions options = TestOptions();
  options.gpu_memory_utilization = 0.9;
  options.kv_cache_bytes = std::uint64_t{100} << 10;
  const auto core = MakeCore(model, options);
  CHECK(core->info().kv_cache_bytes <= options.kv_cache_bytes);
  CHECK(core->info().kv_cache_bytes > options.kv_cache_bytes / 2);
}

}  // namespace
}  // namespace reprise
