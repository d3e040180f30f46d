// The backends that every op is run on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "tests/conformance/ops/bf16_oracle.h"
#include "tests/conformance/ops/kv_scene.h"

namespace reprise::test {

struct Leg {
  std::string name;
  std::unique_ptr<Backend> backend;
  Bf16Products bf16 = Bf16Products::kWidened;
};

// One for each instruction set this CPU has, and the AMX leg on emulated tiles where AVX-512 is there. Prints
// their names once a process; an empty list fails the test that asked.
std::vector<Leg> CpuLegs(int num_threads = 2);

// What the tests of attention run on, compiled once for the CPU's legs (legs.cc) and once for the CUDA
// backend (tests/conformance/cuda): its legs, the numbers of host threads that could make a difference, and
// shapes that reach all of its code.
std::vector<Leg> AttentionLegs(int num_threads = 2);
std::vector<int> ThreadCounts();
std::vector<SceneShape> AttentionShapes();

}  // namespace reprise::test
