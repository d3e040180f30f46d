// From the model's logits to the distribution a request draws from: logit bias, masks and penalties first,
// then temperature and the filters min-p, top-k and top-p. Plain sampling, drafting and verification all pass
// through this one pipeline.
//
// Order and meaning as in vLLM: bias and the min_tokens mask; repetition, frequency and presence penalties;
// temperature; min-p; top-k; top-p over what is left, renormalised. Penalties count generated tokens;
// repetition also the prompt's.
#pragma once

#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/types.h"
#include "kernels/draw.h"
#include "scheduler/request.h"

namespace reprise {

// What a request has seen and generated so far, as far as its penalties need it. Empty work for a request
// without any.
class PenaltyState {
 public:
  explicit PenaltyState(const Request& request);

  bool active() const { return active_; }  // whether the request has any
  void Append(TokenId token);              // a token was committed
  void Remove(TokenId token);              // undoes the latest Append of it (a drafted prefix was only tried)

  // Calls visit(token, how often it was generated) for each token that was seen.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const auto& [token, count] : generated_) visit(token, count);
    for (TokenId token : prompt_) {
      if (!generated_.contains(token)) visit(token, 0);
    }
  }

 private:
  bool active_ = false;
  std::unordered_set<TokenId> prompt_;
  std::unordered_map<TokenId, int> generated_;
};

// True when this request's logits change before temperature, so that a private copy of the row is needed.
bool NeedsAdjustment(const Request& request, int num_generated);

// Appends what happens to the logits of the token after `num_generated` ones: bias, min_tokens mask (stop
// tokens are out until `num_generated` reaches min_tokens) and penalties. No token twice; ids below
// `vocab_size`.
void CollectAdjustments(const Request& request, const PenaltyState& penalties, int num_generated,
                        int vocab_size, std::vector<LogitAdjustment>* out);

// The same, done to `logits`.
void AdjustLogits(const Request& request, const PenaltyState& penalties, int num_generated,
                  std::span<float> logits);

struct Candidate {
  float value = 0;  // adjusted logit / temperature
  TokenId token = 0;
};

// The tokens that min-p, top-k and top-p leave, with their scaled logits.
struct FilteredDistribution {
  // False: no filter is on; every finite logit may be drawn, and `candidates` is empty.
  bool filtered = false;
  std::vector<Candidate> candidates;  // best first (higher value, then lower id)
};

// Requires temperature > 0. `logits` are adjusted ones. Reuses the vector of `*out`.
void FilterLogits(const SamplingParams& params, std::span<const float> logits, FilteredDistribution* out);

// Index of the largest value, the lowest one among equals; -1 when no value is finite or +infinity. NaN never
// wins.
TokenId ArgMax(std::span<const float> values);

}  // namespace reprise
