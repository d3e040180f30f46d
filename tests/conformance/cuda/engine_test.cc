// Whole steps on the CUDA backend: the engine's tokens against the reference's, memory that runs out, faults,
// and steps replayed as graphs.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "base/noise.h"
#include "engine/logits_processor.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/conformance/cuda/cuda_legs.h"
#include "tests/conformance/cuda/engine_scene.h"
#include "tests/conformance/cuda/same_scores.h"
#include "tests/conformance/decoder/prompt_runner.h"
#include "tests/unit/models/tiny_family.h"

namespace reprise::test {
namespace {

// Logits behind each token, computed `chunk` at a time.
std::vector<float> TeacherForced(TinyModel& model, const std::vector<TokenId>& tokens, int chunk,
                                 KvType kv_type) {
  const auto rows = static_cast<int>(tokens.size());
  REQUIRE(model.decoder->Reserve(rows, rows).ok());
  return RunPrompt(*model.decoder, *model.backend, tokens, rows, chunk, kv_type);
}

// Of each position, [tokens].
std::vector<double> LargestDifferences(const std::vector<float>& a, const std::vector<float>& b,
                                       std::size_t tokens) {
  REQUIRE(a.size() == b.size());
  std::vector<double> largest(tokens, 0.0);
  const std::size_t vocabulary = a.size() / tokens;
  for (std::size_t i = 0; i < a.size(); ++i) {
    double& worst = largest[i / vocabulary];
    const double difference = std::isnan(a[i]) ? INFINITY : std::fabs(a[i] - b[i]);
    worst = std::max(worst, difference);
  }
  return largest;
}

// How far apart the reference sees two candidates for the token after `prefix`: in logits, or in what the
// filters leave, with noise as the sampler adds it.
double Margin(LoadedTiny& reference, const Request& request, const std::vector<TokenId>& prefix, TokenId a,
              TokenId b) {
  REQUIRE(reference.decoder->Reserve(static_cast<int>(prefix.size()), 1).ok());
  const std::vector<float> logits = RunPrompt(*reference.decoder, *reference.backend, prefix, 1,
                                              static_cast<int>(prefix.size()), KvType::kBF16);
  const float temperature = request.sampling.temperature;
  FilteredDistribution left;
  if (temperature > 0.0f) FilterLogits(request.sampling, logits, &left);
  const auto value = [&](TokenId token) -> double {
    if (temperature <= 0.0f) return logits[token];
    const auto is_left = [token](const Candidate& candidate) { return candidate.token == token; };
    if (left.filtered && std::ranges::none_of(left.candidates, is_left)) return -INFINITY;
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
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (i % 4 == 1) requests[i]->sampling.top_k = 20;
      if (i % 8 == 3) requests[i]->sampling.top_p = 0.8f;
    }
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

TEST_CASE("cuda engine: teacher-forced logits agree at every position") {
  for (const char* name : {"smollm2", "qwen3"}) {
    LoadedTiny reference(MakeReferenceBackend(), name);
    LoadedTiny cuda(MakeCudaLeg(), name);
    for (const auto& request : Requests(6, 1)) {
      const std::vector<TokenId>& tokens = request->prompt;
      const std::size_t n = tokens.size();
      const int whole = static_cast<int>(n);
      const std::vector<float> expected = TeacherForced(reference, tokens, whole, KvType::kBF16);
      const std::vector<float> exact = TeacherForced(reference, tokens, whole, KvType::kF32);
      // What it costs to round keys and values to bf16. The device rounds some of them, which lie about in
      // the middle between two, the other way, and so never loses as much again.
      const double rounding = std::ranges::max(LargestDifferences(expected, exact, n));
      // One by one, as they are decoded.
      const auto differences = LargestDifferences(TeacherForced(cuda, tokens, 1, KvType::kBF16), expected, n);
      const auto of_floats = LargestDifferences(TeacherForced(cuda, tokens, 1, KvType::kF32), exact, n);
      for (std::size_t t = 0; t < n; ++t) {
        INFO(name << ", " << n << " tokens, position " << t << ", rounding " << rounding);
        CHECK(differences[t] <= rounding + 1e-3);
        CHECK(of_floats[t] <= 1e-3);
      }
    }
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

TEST_CASE("cuda engine: a pass that is computed again has the same logits") {
  LoadedTiny cuda(MakeCudaLeg(), "smollm2");
  REQUIRE(cuda.decoder->Reserve(32, 32).ok());
  const std::vector<TokenId> tokens = Requests(5, 1).back()->prompt;
  const std::span<const TokenId> some = std::span(tokens).first(20);
  // In the second pass positions and slots are those of the first, and what was staged then is gone.
  std::vector<std::vector<float>> passes;
  for (int pass = 0; pass < 2; ++pass)
    passes.push_back(
        RunPrompt(*cuda.decoder, *cuda.backend, {some.begin(), some.end()}, 20, 20, KvType::kBF16));
  CHECK(passes[0] == passes[1]);
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
