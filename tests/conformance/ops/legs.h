// The backends that every op is run on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace reprise::test {

struct Leg {
  std::string name;
  std::unique_ptr<Backend> backend;
};

// One for each instruction set this CPU has, and the AMX leg on emulated tiles where AVX-512 is there. Prints
// their names once a process; an empty list fails the test that asked.
std::vector<Leg> CpuLegs(int num_threads = 2);

}  // namespace reprise::test
