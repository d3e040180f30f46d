// The backend that a test of decoding methods was linked with.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace reprise {

std::unique_ptr<Backend> MakeDecodingLeg();

}  // namespace reprise
