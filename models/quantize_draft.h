// A recycle module or a draft that shares its target's vocabulary matrices, block-quantised: the part of
// `reprise quantize` that makes directories.
#pragma once

#include <functional>

#include "base/status.h"
#include "models/draft_config.h"
#include "models/quantize_model.h"

namespace reprise {

// options.model is a directory of that class, options.out becomes one: its config.json without torch_dtype,
// its README.md if it has one, and model.gguf (docs/file-formats.md). The directory appears whole or not at
// all. Otherwise as QuantizeModel, which calls this.
Result<QuantizeSummary> QuantizeDraft(const QuantizeOptions& options, DraftClass draft_class,
                                      const std::function<void(double)>& progress);

}  // namespace reprise
