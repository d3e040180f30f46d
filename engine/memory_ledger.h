// What takes the memory of the engine's device while it starts, and what is left of it then: so that memory
// that is short is a sentence with the sum.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"

namespace reprise {

// On devices without memory of their own (Backend::memory) there is nothing to keep books of.
class MemoryLedger {
 public:
  // Of what is in use now, `weight_bytes` are the models'. `share` as
  // EngineOptions::gpu_memory_utilization.
  MemoryLedger(const Backend& backend, std::optional<double> share, std::uint64_t weight_bytes);

  // Runs `take`, and enters by how much less is free then. Explains its error.
  Status Take(const std::string& what, const std::function<Status()>& take);
  // Enters what is not taken yet and has to stay free.
  void KeepFree(const std::string& what, std::uint64_t bytes);

  // What the share leaves; nullopt without a share. RESOURCE_EXHAUSTED when that is nothing.
  Result<std::optional<std::uint64_t>> Left() const;
  // RESOURCE_EXHAUSTED says what takes how much, too. Other errors stay as they are.
  Status Explain(const Status& status) const;

 private:
  std::uint64_t Free() const { return backend_.memory().free; }
  std::uint64_t Allowed() const;
  // "gpu_memory_utilization 0.90 allows 3.6 GiB of the device's 4.0 GiB; taken: weights 1.2 GiB, ..."
  std::string Sum() const;

  const Backend& backend_;
  const std::uint64_t total_;  // 0: none of its own
  const std::optional<double> share_;
  std::uint64_t kept_free_ = 0;
  std::vector<std::pair<std::string, std::uint64_t>> entries_;
};

}  // namespace reprise
