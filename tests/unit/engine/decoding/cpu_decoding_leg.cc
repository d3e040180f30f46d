// Of the engine's own tests: the CPU, with two threads.
#include "tests/unit/engine/decoding/decoding_leg.h"
#include "tests/unit/engine/engine_fixture.h"

namespace reprise {

std::unique_ptr<Backend> MakeDecodingLeg() {
  return TinyModel::MakeBackend(2);
}

}  // namespace reprise
