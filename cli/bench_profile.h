// Where the time of `reprise bench` goes: the operations of its steps beside the least that they could take.
#pragma once

#include <string>
#include <vector>

#include "cli/bandwidth.h"
#include "kernels/profiling_backend.h"

namespace reprise {

// What bounds an operation on this machine now, with the backend's own threads.
struct Roofline {
  double bytes_per_second = 0;  // reading the model's packed weights
  PeakRates peaks;              // of registers

  static Roofline Measure(Backend& backend, WeightReader& reader);
  // The larger of the times for its bytes and for its operations; 0 for one that computes on activations
  // only, which lie in caches.
  double Seconds(const OpProfile& op) const;
};

// Adds what is alike, keeps the order.
void MergeProfile(const std::vector<OpProfile>& ops, std::vector<OpProfile>* into);

// One line an operation, sorted by time, with averages over `steps` steps of `seconds` in all; then what is
// left outside of operations.
std::string ProfileTable(const std::string& title, std::vector<OpProfile> ops, int steps, double seconds,
                         const Roofline& roofline);
// The same as JSON objects, one a line, with `part` as their "profile".
std::string ProfileJson(const std::string& part, const std::vector<OpProfile>& ops, int steps, double seconds,
                        const Roofline& roofline);

}  // namespace reprise
