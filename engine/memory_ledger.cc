#include "engine/memory_ledger.h"

#include <algorithm>
#include <cstdio>

#include "base/text.h"

namespace reprise {

MemoryLedger::MemoryLedger(const Backend& backend, std::optional<double> share, std::uint64_t weight_bytes)
    : backend_(backend), total_(backend.memory().total), share_(share) {
  const std::uint64_t used = total_ - std::min<std::uint64_t>(Free(), total_);
  const std::uint64_t weights = std::min(weight_bytes, used);
  entries_ = {{"weights", weights}, {"others", used - weights}};
}

Status MemoryLedger::Take(const std::string& what, const std::function<Status()>& take) {
  const std::uint64_t before = Free();
  const Status status = take();
  const std::uint64_t after = Free();
  entries_.emplace_back(what, before - std::min(after, before));
  return Explain(status);
}

void MemoryLedger::KeepFree(const std::string& what, std::uint64_t bytes) {
  kept_free_ += bytes;
  entries_.emplace_back(what, bytes);
}

std::uint64_t MemoryLedger::Allowed() const {
  return static_cast<std::uint64_t>(share_.value_or(1.0) * static_cast<double>(total_));
}

Result<std::optional<std::uint64_t>> MemoryLedger::Left() const {
  if (total_ == 0 || !share_) return std::optional<std::uint64_t>();
  const std::uint64_t taken = total_ - std::min<std::uint64_t>(Free(), total_) + kept_free_;
  if (taken < Allowed()) return std::optional<std::uint64_t>(Allowed() - taken);
  return Explain(ResourceExhausted("no memory is left for the KV cache"));
}

Status MemoryLedger::Explain(const Status& status) const {
  if (status.code() != StatusCode::kResourceExhausted || total_ == 0) return status;
  return ResourceExhausted(status.message() + ". " + Sum() +
                           ". Lower max_num_batched_tokens, max_num_seqs, max_model_len or gpu_graph_memory");
}

std::string MemoryLedger::Sum() const {
  std::string text;
  if (share_) {
    char share[16];
    std::snprintf(share, sizeof(share), "%.2f", *share_);
    text = std::string("gpu_memory_utilization ") + share + " allows " + FormatBytes(Allowed()) + " of ";
  }
  text += FormatBytes(total_) + "; taken:";
  for (const auto& [what, bytes] : entries_) text += " " + what + " " + FormatBytes(bytes) + ",";
  text.pop_back();
  return text;
}

}  // namespace reprise
