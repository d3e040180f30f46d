// The backends that whole models are run on. Compiled once for the host (decoder_legs.cc) and once for the
// CUDA backend (tests/conformance/cuda).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace reprise {

struct DecoderLeg {
  std::string name;
  std::unique_ptr<Backend> backend;
  bool int8_activations;  // against quantised weights
  // Otherwise: how far logits may be from transformers', as a share of their standard deviation.
  double tolerance;
  int chunk;                      // tokens that may share a step without changing a row's bits
  bool bf16_activations = false;  // against bfloat16 weights
};

std::vector<DecoderLeg> DecoderLegs();

}  // namespace reprise
