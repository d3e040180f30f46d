// One step of the engine, from its plan to its outcome: what has to be kept while it runs.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/batch_builder.h"
#include "engine/decoding/drafting.h"
#include "engine/device_draws.h"
#include "engine/logits_processor.h"
#include "engine/route.h"
#include "engine/token_stream.h"
#include "models/decoder.h"
#include "scheduler/scheduler.h"

namespace reprise {

// A request between EngineCore::Add and its end.
struct LiveRequest {
  std::shared_ptr<TokenStream> stream;
  PenaltyState penalties;
  RequestStats stats = {};
  std::vector<GeneratedToken> prompt_logprobs = {};  // collected so far, until published
  bool prompt_published = false;
  std::multimap<TimePoint, RequestId>::iterator deadline = {};
  bool has_deadline = false;
  TimePoint last_emission = {};
};

// Memory is kept from step to step. Those that may run at the same time, one behind the other, have one each.
struct EngineStep {
  explicit EngineStep(BatchBuilder batch_builder) : builder(std::move(batch_builder)) {}

  BatchBuilder builder;
  std::optional<DeviceDraws> draws;  // where the backend draws tokens

  BatchPlan plan;
  std::vector<LiveRequest*> live;  // per item; nullptr once it has ended
  std::vector<Draft> drafts;       // per item; may be longer: entries are reused
  std::vector<Route> routes;       // per item
  BatchView batch;
  Decoder::Output output;
  int num_context = 0;
  int num_prompt_tokens = 0;  // of those computed
  TimePoint begun, planned;

  // Whether the next step may be planned before this one has ended, and whether it was.
  bool may_be_overtaken = false;
  bool overtaken = false;

  std::span<Draft> drafts_of_items() { return std::span(drafts).first(plan.items.size()); }
};

}  // namespace reprise
