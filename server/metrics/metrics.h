// Watches the engine and the service, and answers scrapes in Prometheus's text format.
//
// One lock per engine step and one per ended request, over plain numbers; nobody waits on it but a scrape,
// which copies the numbers and formats the copy.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/engine.h"
#include "server/metrics/metrics_state.h"

namespace reprise {

class Metrics final : public EngineObserver {
 public:
  // `max_model_len` sets the largest bound of the histograms of token counts; 0 when not known yet.
  explicit Metrics(int max_model_len = 0);

  // EngineObserver; engine thread.
  void OnStep(const StepStats& step) override;
  void OnFinished(const Request& request, const RequestStats& stats, FinishReason reason) override;

  // The rest: any thread.

  // Once, before the first request: the model's name, and the engine's limits and state.
  void Describe(std::string model_name, const Engine* engine);
  // The choices of one prompt are about to be submitted together, under their group's id; Drop when they are
  // refused.
  void BeginGroup(RequestId group, int n);
  void DropGroup(RequestId group);
  // The request's call is over and told its client `reason`; kNone: the client had gone before it was told
  // any, and the engine's reason holds. Every request ends twice, here and in OnFinished, in either order,
  // and is counted with the second: a stop string found in the text may come too late to keep the engine from
  // its own end.
  void EndCall(RequestId id, FinishReason reason);
  void CountRejection(std::string_view reason);
  void CountClientDisconnect();
  std::uint64_t client_disconnects() const;

  // The exposition, with every series of interfaces.md; counters that never counted are there with 0.
  std::string Text() const;

 private:
  struct Group {
    int n = 0;
    int remaining = 0;
    int max_generated = 0;
  };

  // Of the two that end a request, the one that came first.
  struct Ending {
    FinishReason reason = FinishReason::kNone;
    std::optional<DecodingMethod> method;  // set by the engine
  };

  void CountEnd(DecodingMethod method, FinishReason engine_reason, FinishReason call_reason);
  void ObserveDrafts(const StepStats::Emission& emission);
  void ObserveTimes(const RequestStats& stats);
  void ObserveGroup(const Request& request, int num_generated);

  mutable std::mutex mutex_;
  MetricsState state_;
  std::unordered_map<RequestId, Group> groups_;  // only those with n > 1
  std::unordered_map<RequestId, Ending> endings_;
  std::string model_name_;
  const Engine* engine_ = nullptr;
};

}  // namespace reprise
