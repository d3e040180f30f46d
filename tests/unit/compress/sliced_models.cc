#include "tests/unit/compress/sliced_models.h"

namespace reprise::compress {

SliceOptions TinyOptions(const std::string& name, const std::string& out, double sparsity) {
  SliceOptions options;
  options.model = name.find('/') == std::string::npos ? "tests/data/models/" + name : name;
  options.out = out;
  options.schedule.sparsity = sparsity;
  options.calibration = {kCalibration, 8, 64, 42};
  options.dtype = "f32";
  return options;
}

}  // namespace reprise::compress
