#include "tests/conformance/decoder/decoder_legs.h"

#include <catch2/catch.hpp>
#include <utility>

namespace reprise {

namespace {

// The reference differs from transformers by the order of summation alone, and so do float weights on the
// CPU.
constexpr double kOrderTolerance = 2e-4;
constexpr int kWholePrompt = 64;

}  // namespace

// The reference, and every instruction set this CPU has.
std::vector<DecoderLeg> DecoderLegs() {
  std::vector<DecoderLeg> legs;
  legs.push_back({"reference", MakeReferenceBackend(), false, kOrderTolerance, kWholePrompt});
  for (const std::string& isa : AvailableCpuIsas()) {
    auto backend = MakeCpuBackend({2, isa});
    REQUIRE(backend.ok());
    const bool rounds = isa == "avx512-bf16" || isa == "amx";
    legs.push_back({isa, std::move(backend).value(), true, kOrderTolerance, kWholePrompt, rounds});
  }
  REQUIRE(legs.size() >= 2);
  return legs;
}

}  // namespace reprise
