#include "tests/conformance/cuda/cuda_legs.h"
#include "tests/conformance/decoder/decoder_legs.h"

namespace reprise {

std::vector<DecoderLeg> DecoderLegs() {
  // Activations keep 16 significant bits in a product, for up to 32 rows (docs/cuda.md): 2^-17 is some hundred
  // times a float's rounding, but few of the terms are that far off, and in either direction.
  constexpr double kTolerance = 5e-4;
  std::vector<DecoderLeg> legs;
  legs.push_back({"cuda", test::MakeCudaLeg(), false, kTolerance, 32});
  return legs;
}

}  // namespace reprise
