// D6: the router on scripted proposers: it takes what pays, leaves what does not, and notices changes.
#include "engine/decoding/router.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <optional>
#include <random>

namespace reprise {
namespace {

// A pass at v_n = 1 + 0.05 (n - 1), a draft step at a tenth of a pass.
StepCosts Costs() {
  StepCosts costs;
  costs.step = CostCurve({{1, 1.0}, {64, 1.0 + 0.05 * 63}});
  costs.proposer[0] = costs.proposer[1] = CostCurve({{1, 0.1}, {64, 0.2}});
  costs.proposer[2] = CostCurve({{1, 1e-4}, {64, 1e-4}});
  return costs;
}

// A workload whose acceptance per position and proposer is scripted.
class Script {
 public:
  explicit Script(int requests, const StepCosts& believed = Costs()) : router_(believed) {
    for (int i = 0; i < requests; ++i) {
      RoutingRequest request;
      request.id = static_cast<RequestId>(i + 1);
      request.offers = {DraftOffer{1}, std::nullopt, std::nullopt};
      request.max_tokens = 8;
      requests_.push_back(request);
    }
  }

  std::array<double, kNumProposers> acceptance = {0.5, 0.5, 0.5};
  std::array<double, kNumConfidences> certainty = {1, 1, 1};  // factors
  int num_context = 0;
  std::optional<StepCosts> truth;  // what steps take; unset: nobody tells
  std::vector<RoutingRequest>& requests() { return requests_; }
  const Router& router() const { return router_; }

  // One step; returns the routes.
  const std::vector<Route>& Step(int max_drafts = 64) {
    StepSize size{static_cast<int>(requests_.size()), num_context};
    router_.Assign(requests_, size, max_drafts, &routes_);
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      if (!routes_[i].proposer) continue;
      const std::size_t proposer = IndexOf(*routes_[i].proposer);
      const int confidence = requests_[i].offers[proposer]->confidence;
      const double stands = acceptance[proposer] * certainty[static_cast<std::size_t>(confidence)];
      int accepted = 0;
      while (accepted < routes_[i].num_tokens && uniform_(random_) < stands) ++accepted;
      router_.ObserveDraft(requests_[i].id, *routes_[i].proposer, confidence, routes_[i].num_tokens,
                           accepted);
      size.num_tokens += routes_[i].num_tokens;
    }
    num_drafts_ = size.num_tokens - static_cast<int>(requests_.size());
    if (truth) router_.ObserveStep(size, truth->Pass(size, 0, 0), 1, 0, 0);
    return routes_;
  }
  int num_drafts() const { return num_drafts_; }  // of the latest step
  void Run(int steps) {
    for (int i = 0; i < steps; ++i) Step();
  }
  // Steps until request 0 is (not) drafted for by expected gain; -1: not within `limit`.
  int StepsUntil(bool drafting, int limit) {
    for (int i = 1; i <= limit; ++i) {
      const Route& route = Step()[0];
      if ((route.proposer.has_value() && route.reason == RouteReason::kGoodput) == drafting) return i;
    }
    return -1;
  }

 private:
  Router router_;
  std::vector<RoutingRequest> requests_;
  std::vector<Route> routes_;
  int num_drafts_ = 0;
  std::mt19937 random_{3};
  std::uniform_real_distribution<double> uniform_{0, 1};
};

}  // namespace

TEST_CASE("D6: a proposer that turns bad is off within 8 steps, a good one on again within 64",
          "[decoding]") {
  Script script(1);
  script.acceptance[0] = 0.9;
  script.Run(60);
  REQUIRE(script.Step()[0].proposer == ProposerKind::kRecycle);
  script.acceptance[0] = 0.0;
  const int off = script.StepsUntil(false, 100);
  CHECK(off >= 1);
  CHECK(off <= 9);  // eight steps drafted, the ninth is not
  script.Run(20);
  script.acceptance[0] = 0.9;
  const int on = script.StepsUntil(true, 200);
  CHECK(on >= 1);
  CHECK(on <= 64);
}

TEST_CASE("D6: what cannot pay is left alone, and hardly explored", "[decoding]") {
  Script script(1);
  script.acceptance[0] = 0.02;
  script.Run(100);
  int drafted = 0;
  for (int i = 0; i < 600; ++i) drafted += script.Step()[0].proposer.has_value();
  CHECK(drafted >= 4);   // a burst, to see whether things have changed
  CHECK(drafted <= 40);  // bursts of 4 steps, up to 256 apart
}

TEST_CASE("D6: drafts grow with acceptance, and shrink as the batch fills the machine", "[decoding]") {
  const auto mean_length = [](int requests, double acceptance) {
    Script script(requests);
    script.acceptance[0] = acceptance;
    script.Run(200);
    double total = 0;
    for (int i = 0; i < 50; ++i) {
      for (const Route& route : script.Step()) total += route.num_tokens;
    }
    return total / 50 / requests;
  };
  CHECK(mean_length(1, 0.9) > mean_length(1, 0.5) + 1);
  CHECK(mean_length(1, 0.5) > 0.8);
  CHECK(mean_length(1, 0.9) > mean_length(24, 0.9) + 1);
}

TEST_CASE("D6: the better proposer is found and kept", "[decoding]") {
  Script script(1);
  script.requests()[0].offers = {DraftOffer{1}, DraftOffer{1}, std::nullopt};
  script.acceptance = {0.35, 0.85, 0};
  script.Run(150);
  int better = 0;
  for (int i = 0; i < 100; ++i) better += script.Step()[0].proposer == ProposerKind::kDraftModel;
  CHECK(better >= 80);
}

TEST_CASE("D6: a proposer is used where it is sure, and left where it is not", "[decoding]") {
  Script script(1);
  script.acceptance = {0, 0, 0.9};
  script.certainty = {0.02, 1, 1};
  std::array<int, kNumConfidences> drafted = {};
  for (int i = 0; i < 400; ++i) {
    const int confidence = i % 2 == 0 ? 0 : 2;
    script.requests()[0].offers = {std::nullopt, std::nullopt, DraftOffer{0, confidence}};
    const Route& route = script.Step()[0];
    if (i >= 200)
      drafted[static_cast<std::size_t>(confidence)] +=
          route.reason == RouteReason::kGoodput && route.proposer;
  }
  CHECK(drafted[0] <= 10);
  CHECK(drafted[2] >= 95);
}

TEST_CASE("D6: what a proposer must read first weighs against it", "[decoding]") {
  const auto first_draft = [](int to_read) {
    Script script(1);
    script.acceptance[0] = 0.6;
    script.requests()[0].offers[0] = DraftOffer{to_read};
    for (int i = 0; i < 15; ++i) {  // before the first burst
      if (script.Step()[0].proposer) return i;
    }
    return 15;
  };
  CHECK(first_draft(2) == 0);
  CHECK(first_draft(5000) == 15);
}

TEST_CASE("D6: judging drafts may cost more than they gain", "[decoding]") {
  const auto length = [](double verify_seconds) {
    Router router(Costs());
    for (int i = 0; i < 200; ++i) router.ObserveStep({1, 0}, 1.0, 1, 0, 0.1);
    for (int i = 0; i < 200; ++i) router.ObserveStep({2, 0}, 1.05, 1, 1, 0.1 + verify_seconds);
    RoutingRequest request;
    request.id = 1;
    request.offers[IndexOf(ProposerKind::kPromptLookup)] = DraftOffer{};
    request.max_tokens = 8;
    std::vector<Route> routes;
    router.Assign({&request, 1}, {1, 0}, 8, &routes);
    return routes[0].num_tokens;
  };
  CHECK(length(0.01) > 0);
  CHECK(length(2.0) == 0);
}

TEST_CASE("D6: budgets and requested methods are respected", "[decoding]") {
  Script script(6);
  script.acceptance[0] = 0.9;
  script.requests()[1].requested = true;  // plain
  script.requests()[2].requested = true;
  script.requests()[2].requested_proposer = ProposerKind::kRecycle;
  script.requests()[2].max_tokens = 3;
  script.requests()[3].requested = true;
  script.requests()[3].requested_proposer = ProposerKind::kPromptLookup;  // finds nothing
  script.requests()[4].max_tokens = 0;                                    // its last token
  for (int i = 0; i < 100; ++i) {
    const auto& routes = script.Step(5);
    int total = 0;
    for (const Route& route : routes) total += route.num_tokens;
    CHECK(total <= 5);
    CHECK(!routes[1].proposer);
    CHECK(routes[1].reason == RouteReason::kRequested);
    CHECK(routes[2].proposer == ProposerKind::kRecycle);
    CHECK(routes[2].num_tokens == 3);
    CHECK(!routes[3].proposer);
    CHECK(routes[3].reason == RouteReason::kNothingToDraft);
    CHECK(!routes[4].proposer);
    CHECK(routes[4].reason == RouteReason::kNoBudget);
  }
}

TEST_CASE("D6: costs follow what steps take", "[decoding]") {
  CostCurve curve({{1, 1.0}, {2, 1.1}, {4, 1.3}, {8, 1.7}});
  CHECK(curve.At(3) == Approx(1.2));
  CHECK(curve.At(16) == Approx(2.5));
  for (int i = 0; i < 300; ++i) curve.Observe(2, 2.2);
  CHECK(curve.At(2) == Approx(2.2).epsilon(0.02));
  CHECK(curve.At(8) == Approx(3.4).epsilon(0.15));  // never seen, but everything has become slower
  const double before = curve.At(2);
  curve.Observe(2, 1000);  // the machine stopped for a moment
  CHECK(curve.At(2) < 1.1 * before);
}

TEST_CASE("D6: a wrong cost of context is no reason to draft more or less", "[decoding]") {
  StepCosts truth = Costs();
  truth.context_seconds = 1e-3;
  const auto drafts = [&truth](double context_seconds) {
    StepCosts believed = truth;
    believed.context_seconds = context_seconds;
    Script script(8, believed);
    script.num_context = 2000;
    script.truth = truth;
    script.acceptance[0] = 0.35;
    script.Run(200);
    int total = 0;
    for (int i = 0; i < 100; ++i) {
      script.Step();
      total += script.num_drafts();
    }
    return total / 100.0;
  };
  const double right = drafts(1e-3);
  CAPTURE(right);
  CHECK(std::abs(drafts(4e-3) - right) < 2);
  CHECK(std::abs(drafts(2.5e-4) - right) < 2);
}

}  // namespace reprise
