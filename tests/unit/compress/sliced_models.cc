#include "tests/unit/compress/sliced_models.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "models/config.h"
#include "models/decoder.h"
#include "models/formats/checkpoint.h"
#include "tests/conformance/decoder/prompt_runner.h"

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

std::vector<float> Logits(const std::string& path, Backend& backend, const std::vector<TokenId>& tokens) {
  const auto config = LoadModelConfig(path);
  const auto checkpoint = Checkpoint::Open(path);
  INFO(path << ": " << config.status().ToString() << ", " << checkpoint.status().ToString());
  REQUIRE((config.ok() && checkpoint.ok()));
  const auto decoder = Decoder::Load(**checkpoint, *config, backend, config->max_position);
  INFO(decoder.status().ToString());
  REQUIRE(decoder.ok());
  const int rows = static_cast<int>(tokens.size());
  REQUIRE((*decoder)->Reserve(rows, rows).ok());
  return RunPrompt(**decoder, backend, tokens, rows, rows, KvType::kF32);
}

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(static_cast<double>(a[i]) - b[i]);
    worst = std::max(worst, std::isnan(difference) ? INFINITY : difference);
  }
  return worst;
}

}  // namespace reprise::compress
