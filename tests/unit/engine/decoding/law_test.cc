// D4: unseeded requests draw from the target's distribution, whatever drafts: by the rejection rule, by
// shared noise over seeds, and for tokens whose draft vocabulary lacks some. A tiny vocabulary, 200,000
// seeds, the law of the first three tokens computed by enumeration.
#include <catch2/catch.hpp>
#include <cmath>

#include "engine/decoding/draft_sampler.h"
#include "engine/decoding/verifier.h"

namespace reprise {
namespace {

constexpr int kVocab = 8;
constexpr int kDepth = 3;
constexpr int kSeeds = 200'000;
using Row = std::array<float, kVocab>;

// Logits after `last`, of the target and of a draft that leans another way.
Row TargetLogits(TokenId last) {
  Row row;
  for (int i = 0; i < kVocab; ++i) row[i] = 1.7f * std::sin(1.3f * static_cast<float>(last + 1) * (i + 2));
  return row;
}
Row DraftLogits(TokenId last) {
  Row row = TargetLogits(last);
  for (int i = 0; i < kVocab; ++i) row[i] += 1.1f * std::cos(2.1f * static_cast<float>(last) + 1.7f * i);
  return row;
}

// Straight from the definitions: bias, penalties, temperature, min-p, top-k, top-p.
std::vector<double> Law(const Request& request, const std::vector<TokenId>& generated, Row logits) {
  const SamplingParams& s = request.sampling;
  for (const auto& [token, bias] : s.logit_bias) logits[token] += bias;
  for (int t = 0; t < kVocab; ++t) {
    const auto count = std::count(generated.begin(), generated.end(), t);
    const bool seen = count > 0 || std::count(request.prompt.begin(), request.prompt.end(), t) > 0;
    if (seen) logits[t] = logits[t] > 0 ? logits[t] / s.repetition_penalty : logits[t] * s.repetition_penalty;
    logits[t] -= static_cast<float>(count) * s.frequency_penalty + (count > 0 ? s.presence_penalty : 0.0f);
  }
  std::vector<double> p(kVocab);
  double total = 0;
  for (int t = 0; t < kVocab; ++t) total += p[t] = std::exp(static_cast<double>(logits[t]) / s.temperature);
  for (double& x : p) x /= total;
  std::vector<int> order(kVocab);
  for (int t = 0; t < kVocab; ++t) order[t] = t;
  std::sort(order.begin(), order.end(), [&](int a, int b) { return p[a] > p[b]; });
  double kept = 0, in_top_k = 0;
  for (int r = 0; r < kVocab; ++r) {
    if (s.top_k == 0 || r < s.top_k) in_top_k += p[order[r]];
  }
  for (int r = 0; r < kVocab; ++r) {
    double& x = p[order[r]];
    if ((s.top_k > 0 && r >= s.top_k) || kept >= s.top_p * in_top_k || x < s.min_p * p[order[0]]) {
      x = 0;
    } else {
      kept += x;
    }
  }
  for (double& x : p) x /= kept;
  return p;
}

// The first kDepth tokens after the prompt, drafting `length` tokens a pass.
std::array<TokenId, kDepth> Generate(const std::shared_ptr<const Request>& request, int length,
                                     int draft_vocab, Verifier& verifier) {
  static const std::vector<TokenId> all_ids = {0, 1, 2, 3, 4, 5, 6, 7};
  static const std::vector<TokenId> few_ids = {1, 2, 5, 7};
  const std::vector<TokenId>& ids = draft_vocab < kVocab ? few_ids : all_ids;
  DraftSampler sampler(kVocab,
                       draft_vocab < kVocab ? std::span<const TokenId>(few_ids) : std::span<const TokenId>());
  Sequence sequence;
  sequence.request = request;
  sequence.tokens = request->prompt;
  PenaltyState penalties(*request);
  std::vector<GeneratedToken> accepted;
  while (sequence.num_generated() < kDepth) {
    Draft draft;
    const DraftRequest wish{&sequence, &penalties, length, &draft};
    std::vector<Row> rows = {TargetLogits(sequence.tokens.back())};
    for (int i = 0; i < length; ++i) {
      const Row full = DraftLogits(i == 0 ? sequence.tokens.back() : draft.tokens.back());
      std::vector<float> logits;
      for (const TokenId id : ids) logits.push_back(full[id]);
      if (!sampler.Draw(wish, logits)) FAIL("no draft");  // not REQUIRE: millions of times
      penalties.Append(draft.tokens.back());
      rows.push_back(TargetLogits(draft.tokens.back()));
    }
    for (const TokenId token : draft.tokens) penalties.Remove(token);
    accepted.clear();
    const ConstMatrixView logits{rows[0].data(), length + 1, kVocab, kVocab};
    if (!verifier.Verify(sequence, draft, logits, penalties, &accepted).ok()) FAIL("no verdict");
    for (const GeneratedToken& token : accepted) {
      penalties.Append(token.token);
      sequence.tokens.push_back(token.token);
    }
  }
  std::array<TokenId, kDepth> result;
  std::copy_n(sequence.tokens.begin() + static_cast<std::ptrdiff_t>(request->prompt.size()), kDepth,
              result.begin());
  return result;
}

// Chi-square of observed counts against a law; tokens the law excludes must not occur. Returns the normal
// deviate of the statistic (Wilson and Hilferty).
double Deviate(const std::vector<int>& counts, const std::vector<double>& law, int total) {
  double chi = 0;
  int cells = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double expected = law[i] * total;
    if (expected == 0) REQUIRE(counts[i] == 0);
    if (expected < 5) continue;
    chi += (counts[i] - expected) * (counts[i] - expected) / expected;
    ++cells;
  }
  const double k = cells - 1;
  return (std::cbrt(chi / k) - (1 - 2 / (9 * k))) / std::sqrt(2 / (9 * k));
}

struct Case {
  const char* name;
  bool seeded;
  int length;
  int draft_vocab;
  void (*configure)(SamplingParams*);
};

}  // namespace

TEST_CASE("D4: the law of the first three tokens is the target's", "[decoding]") {
  const auto plain = [](SamplingParams*) {};
  const auto filters = [](SamplingParams* s) {
    s->temperature = 0.8f;
    s->top_k = 5;
    s->top_p = 0.85f;
    s->min_p = 0.02f;
  };
  const auto penalties = [](SamplingParams* s) {
    s->repetition_penalty = 1.3f;
    s->frequency_penalty = 0.7f;
    s->presence_penalty = 0.4f;
    s->logit_bias = {{3, 1.5f}, {6, -1.0f}};
  };
  const Case test_case = GENERATE_COPY(
      Case{"rejection", false, 1, kVocab, plain}, Case{"rejection, three drafted", false, 3, kVocab, plain},
      Case{"rejection, few drafted ids", false, 2, 4, plain},
      Case{"rejection, filters", false, 3, kVocab, filters},
      Case{"rejection, filters, few ids", false, 2, 4, filters},
      Case{"rejection, penalties", false, 3, 4, penalties}, Case{"shared noise", true, 3, kVocab, plain},
      Case{"shared noise, filters, few ids", true, 3, 4, filters},
      Case{"shared noise, penalties", true, 2, kVocab, penalties});
  INFO(test_case.name);
  const std::vector<TokenId> prompt = {2, 4};
  Request settings;
  settings.prompt = prompt;
  settings.max_tokens = 100;
  settings.sampling.seeded = test_case.seeded;
  test_case.configure(&settings.sampling);

  std::vector<double> law1 = Law(settings, {}, TargetLogits(prompt.back()));
  std::vector<double> law2(kVocab), law3(kVocab), pairs(kVocab * kVocab);
  for (TokenId a = 0; a < kVocab; ++a) {
    const auto second = Law(settings, {a}, TargetLogits(a));
    for (TokenId b = 0; b < kVocab; ++b) {
      pairs[a * kVocab + b] = law1[a] * second[b];
      law2[b] += law1[a] * second[b];
      const auto third = Law(settings, {a, b}, TargetLogits(b));
      for (TokenId c = 0; c < kVocab; ++c) law3[c] += law1[a] * second[b] * third[c];
    }
  }
  std::vector<int> first(kVocab), second(kVocab), third(kVocab), joint(kVocab * kVocab);
  Verifier verifier;
  for (int seed = 0; seed < kSeeds; ++seed) {
    auto request = std::make_shared<Request>(settings);
    request->sampling.seed = 77'000'000 + static_cast<std::uint64_t>(seed);
    const auto tokens = Generate(request, test_case.length, test_case.draft_vocab, verifier);
    ++first[tokens[0]];
    ++second[tokens[1]];
    ++third[tokens[2]];
    ++joint[tokens[0] * kVocab + tokens[1]];
  }
  // Fixed seeds: the same verdict every time. Four standard deviations on each side of a true law's.
  CHECK(Deviate(first, law1, kSeeds) < 4);
  CHECK(Deviate(second, law2, kSeeds) < 4);
  CHECK(Deviate(third, law3, kSeeds) < 4);
  CHECK(Deviate(joint, pairs, kSeeds) < 4);
}

TEST_CASE("D5: lenience accepts more the lower it is, and nothing the target excludes", "[decoding]") {
  const bool greedy = GENERATE(false, true);
  double last_rate = -1;
  for (const float lenience : {1.0f, 0.7f, 0.4f, 0.1f, 0.0f}) {
    int drafted = 0, kept = 0;
    Verifier verifier;
    for (int seed = 0; seed < 4000; ++seed) {
      auto request = std::make_shared<Request>();
      request->prompt = {static_cast<TokenId>(seed % kVocab)};
      request->sampling.seed = static_cast<std::uint64_t>(seed);
      request->sampling.temperature = greedy ? 0.0f : 1.0f;
      request->sampling.logit_bias = {{5, -std::numeric_limits<float>::infinity()}};
      request->lenience = lenience;
      Sequence sequence;
      sequence.request = request;
      sequence.tokens = request->prompt;
      PenaltyState penalties(*request);
      Draft draft;
      const Row q = DraftLogits(request->prompt[0]);
      DraftSampler sampler(kVocab, {});
      REQUIRE(sampler.Draw({&sequence, &penalties, 1, &draft}, q));
      const std::array<Row, 2> rows = {TargetLogits(request->prompt[0]), TargetLogits(draft.tokens[0])};
      std::vector<GeneratedToken> accepted;
      REQUIRE(
          verifier.Verify(sequence, draft, {rows[0].data(), 2, kVocab, kVocab}, penalties, &accepted).ok());
      ++drafted;
      kept += accepted.size() == 2;
      for (const GeneratedToken& token : accepted) CHECK(token.token != 5);
    }
    const double rate = static_cast<double>(kept) / drafted;
    CHECK(rate >= last_rate);
    last_rate = rate;
  }
  CHECK(last_rate == 1.0);
}

}  // namespace reprise
