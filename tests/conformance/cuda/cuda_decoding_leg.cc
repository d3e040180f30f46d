#include "tests/conformance/cuda/cuda_legs.h"
#include "tests/unit/engine/decoding/decoding_leg.h"

namespace reprise {

std::unique_ptr<Backend> MakeDecodingLeg() {
  return test::MakeCudaLeg();
}

}  // namespace reprise
