// What the operating system knows about this process.
#pragma once

#include <cstdint>

namespace reprise {

struct ProcessMetrics {
  double cpu_seconds = 0;         // user and system
  double start_time_seconds = 0;  // Unix
  std::uint64_t resident_bytes = 0;
  std::uint64_t virtual_bytes = 0;
  std::uint64_t open_fds = 0;
  std::uint64_t max_fds = 0;
  std::uint64_t num_threads = 0;
};

// From /proc; zeros where it cannot be read.
ProcessMetrics ReadProcessMetrics();

}  // namespace reprise
