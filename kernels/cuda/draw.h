// Drawing tokens from logits on the device.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/stream.h"

namespace reprise::cuda {

// The Backend's DrawRows. draws, tokens: device memory, logits.rows each.
void DrawTokens(Stream& stream, ConstMatrixView logits, const DrawSpec* draws, TokenId* tokens);

}  // namespace reprise::cuda
