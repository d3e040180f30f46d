// What a running process has used, from /proc.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace reprise::bench {

// CPU seconds of the threads alive now, summed over threads of the same name. Kernel ticks: exact to 10 ms a
// thread.
std::map<std::string, double> ThreadSeconds(int pid);

struct Memory {
  std::uint64_t resident = 0;   // bytes
  std::uint64_t anonymous = 0;  // of it, allocated
  std::uint64_t file = 0;       // of it, pages of mapped files
};
Memory ResidentMemory(int pid);

}  // namespace reprise::bench
