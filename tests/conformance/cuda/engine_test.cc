// Whole steps on the CUDA backend: the engine's tokens against the reference's, memory that runs out, faults,
// and steps replayed as graphs.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "base/noise.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/conformance/cuda/cuda_legs.h"
#include "tests/conformance/cuda/engine_scene.h"
#include "tests/conformance/cuda/same_scores.h"
#include "tests/conformance/decoder/prompt_runner.h"
#include "tests/unit/models/tiny_family.h"

namespace reprise::test {
namespace {

// How far apart the reference sees two candidates for the token after `prefix`: in logits, or with noise as
// the sampler adds it.
double Margin(LoadedTiny& reference, const Request& request, const std::vector<TokenId>& prefix, TokenId a,
              TokenId b) {
  REQUIRE(reference.decoder->Reserve(static_cast<int>(prefix.size()), 1).ok());
  const std::vector<float> logits = RunPrompt(*reference.decoder, *reference.backend, prefix, 1,
                                              static_cast<int>(prefix.size()), KvType::kBF16);
  const float temperature = request.sampling.temperature;
  const auto value = [&](TokenId token) -> double {
    if (temperature <= 0.0f) return logits[token];
    const std::uint64_t stream = NoiseStream({request.sampling.seed, request.choice,
                                              static_cast<std::uint32_t>(prefix.size()), NoiseKind::kSample});
    return logits[token] / temperature + GumbelNoise(stream, token);
  };
  return std::fabs(value(a) - value(b));
}

TEST_CASE("cuda engine: the reference's tokens, up to near-ties") {
  // Logits are good to 2e-4 of their standard deviation (decoder_golden_test.cc), here below 1; what bf16
  // keys and values round differently comes on top.
  constexpr double kNearTie = 1e-2;
  constexpr int kSequences = 24;
  for (const char* name : {"smollm2", "qwen3"}) {
    LoadedTiny reference(MakeReferenceBackend(), name);
    LoadedTiny cuda(MakeCudaLeg(), name);
    const auto requests = Requests(kSequences, 12);
    const std::vector<Collected> expected = RunAll(*reference.Engine(), requests);
    const std::vector<Collected> got = RunAll(*cuda.Engine(), requests);
    int different = 0;
    for (int i = 0; i < kSequences; ++i) {
      REQUIRE(got[i].finished);
      if (got[i].tokens == expected[i].tokens) continue;
      ++different;
      const auto [mine, theirs] = std::mismatch(got[i].tokens.begin(), got[i].tokens.end(),
                                                expected[i].tokens.begin(), expected[i].tokens.end());
      REQUIRE((mine != got[i].tokens.end() && theirs != expected[i].tokens.end()));
      std::vector<TokenId> prefix = requests[i]->prompt;
      prefix.insert(prefix.end(), got[i].tokens.begin(), mine);
      INFO(name << ", request " << i << ", after " << prefix.size() << " tokens");
      CHECK(Margin(reference, *requests[i], prefix, *mine, *theirs) < kNearTie);
    }
    INFO(name << ": " << different << " of " << kSequences << " sequences differ");
    CHECK(different * 50 <= kSequences);
  }
}

TEST_CASE("cuda engine: every decoding method gives plain decoding's tokens") {
  LoadedTiny cuda(MakeCudaLeg(), "smollm2");
  const std::unique_ptr<RecycleModule> module =
      MakeModule("tests/data/models/smollm2", *cuda.decoder, *cuda.backend, {});
  const auto core = cuda.Engine(module.get());
  std::vector<std::vector<Collected>> results;
  int accepted = 0;
  for (DecodingMethod method :
       {DecodingMethod::kPlain, DecodingMethod::kRecycle, DecodingMethod::kSpeculative}) {
    const auto requests = Requests(8, 16);
    for (const auto& request : requests) {
      request->decoding = method;
      request->max_draft_tokens = 3;
    }
    results.push_back(RunAll(*core, requests));
    for (const Collected& result : results.back()) accepted += result.stats.num_accepted_draft_tokens;
    // Steps of up to 32 rows: bits, and with them tokens, are those of plain decoding.
    for (std::size_t i = 0; i < requests.size(); ++i) CHECK(results.back()[i].tokens == results[0][i].tokens);
  }
  CHECK(accepted > 0);
}

TEST_CASE("cuda engine: drawing on the device changes no token and no log-probability", "[E10]") {
  std::vector<std::vector<Collected>> results;
  for (const bool draw_tokens : {false, true}) {
    LoadedTiny cuda(MakeCudaLeg(draw_tokens), "smollm2");
    const std::unique_ptr<RecycleModule> module =
        MakeModule("tests/data/models/smollm2", *cuda.decoder, *cuda.backend, {});
    const std::unique_ptr<Decoder> draft_model = LoadTinyDecoder("smollm2", *cuda.backend);
    const auto core = cuda.Engine(module.get(), draft_model.get());
    results.push_back(RunAll(*core, DemandingRequests()));
  }
  int accepted = 0;
  for (std::size_t i = 0; i < results[0].size(); ++i) {
    INFO("request " << i);
    const Collected& host = results[0][i];
    const Collected& device = results[1][i];
    CHECK(device.tokens == host.tokens);
    CHECK(device.reason == host.reason);
    CHECK(device.stats.num_accepted_draft_tokens == host.stats.num_accepted_draft_tokens);
    CheckSameScores(device.generated, host.generated);
    CheckSameScores(device.prompt, host.prompt);
    accepted += device.stats.num_accepted_draft_tokens;
  }
  CHECK(accepted > 20);
}

TEST_CASE("cuda engine: like steps are replayed as graphs, with the same tokens") {
  LoadedTiny cuda(MakeCudaLeg(), "smollm2");
  const auto requests = Requests(4, 40);
  const auto core = cuda.Engine();
  const std::vector<Collected> first = RunAll(*core, requests);
  const cuda::GraphCounts after_first = cuda::GraphCountsOf(*cuda.backend);
  CHECK(after_first.captured > 0);
  const std::vector<Collected> second = RunAll(*core, requests);
  const cuda::GraphCounts after_second = cuda::GraphCountsOf(*cuda.backend);
  CHECK(after_second.replayed > after_first.replayed + 20);
  for (std::size_t i = 0; i < first.size(); ++i) CHECK(first[i].tokens == second[i].tokens);
}

}  // namespace
}  // namespace reprise::test
