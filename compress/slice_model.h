// From a model on disk to its sliced form on disk: what `reprise slice` does.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "compress/calibration.h"
#include "compress/schedule.h"
#include "compress/slicer.h"
#include "kernels/backend.h"

namespace reprise::compress {

struct SliceOptions {
  std::string model;  // a Hugging Face directory or a GGUF file
  std::string out;    // a directory that does not exist yet
  Schedule schedule;
  CalibrationSpec calibration;
  Orientation orientation = Orientation::kRandom;
  // Of the matrices written; "auto" is F32 for a model stored so, else F16.
  std::string dtype = "auto";
};

struct SliceSummary {
  std::int64_t dense_parameters = 0;
  std::int64_t sliced_parameters = 0;
};

// Writes `out` with config.json, model.safetensors and the tokenizer's files (tokenizer.gguf when the model
// is a GGUF file). The same input, seed and machine give the same bytes. A run that fails or is killed leaves
// nothing that loads as a model. Bad input is INVALID_ARGUMENT, NOT_FOUND or DATA_LOSS naming it.
Result<SliceSummary> SliceModel(const SliceOptions& options, Backend& backend, SliceProgress progress);

}  // namespace reprise::compress
