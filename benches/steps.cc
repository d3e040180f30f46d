// Whole decoding steps on random weights, without an engine: batches of decodes, and one prefill.
//
// Prints one JSON object a row. On a GPU a row tells the share of the bandwidth that copies reached just
// before.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "benches/bench_flags.h"
#include "benches/bench_report.h"
#include "benches/device.h"
#include "benches/step_model.h"
#include "kernels/backend.h"

namespace reprise::bench {
namespace {

struct Options {
  std::string device = "cuda:0";
  std::vector<std::string> shapes = {"1.3b", "8b"};
  std::vector<WeightType> types = {WeightType::kBF16, WeightType::kQ4_0};
  std::vector<int> batches = {1, 2, 4, 8, 16, 32, 64, 128, 256};
  int context = 512;
  int prefill = 2048;
  double seconds = 1.0;  // of each row
};

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Median seconds of a step.
Result<double> TimeStep(const Options& options, StepModel& model, int sequences, int tokens, int context) {
  constexpr int kWarmUps = 3;  // until the step is a graph
  for (int i = 0; i < kWarmUps; ++i) RETURN_IF_ERROR(model.Run(sequences, tokens, context));
  std::vector<double> seconds;
  const double end = Now() + options.seconds;
  while (seconds.size() < 5 || Now() < end) {
    const double begin = Now();
    RETURN_IF_ERROR(model.Run(sequences, tokens, context));
    seconds.push_back(Now() - begin);
  }
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2),
                   seconds.end());
  return seconds[seconds.size() / 2];
}

struct StepSize {
  const char* kind;
  int sequences;
  int tokens;
  int context;
};

Status PrintRow(const Options& options, Backend& backend, StepModel& model, const std::string& shape,
                WeightType type, const StepSize& size) {
  ASSIGN_OR_RETURN(const double bandwidth, CopyBandwidth(backend));
  ASSIGN_OR_RETURN(const double seconds, TimeStep(options, model, size.sequences, size.tokens, size.context));
  const auto bytes =
      static_cast<double>(model.weight_bytes() + model.KvBytes(size.sequences, size.tokens, size.context));
  std::printf(
      "{\"kind\":\"%s\",\"backend\":\"%s\",\"shape\":\"%s\",\"type\":\"%s\",\"sequences\":%d,\"tokens\":%d,"
      "\"context\":%d,\"ms\":%.4f,\"tokens_per_s\":%.1f,\"weight_bytes\":%zu,\"gb_per_s\":%.1f,"
      "\"copy_gb_per_s\":%.1f,\"share\":%.3f,\"tflop_per_s\":%.2f,%s}\n",
      size.kind, std::string(backend.name()).c_str(), shape.c_str(), GetWeightTypeInfo(type).name.data(),
      size.sequences, size.tokens, size.context, 1e3 * seconds, size.sequences * size.tokens / seconds,
      model.weight_bytes(), bytes / seconds / 1e9, bandwidth / 1e9,
      bandwidth > 0 ? bytes / seconds / bandwidth : 0.0,
      model.Operations(size.sequences, size.tokens) / seconds / 1e12, MachineJson().c_str());
  std::fflush(stdout);
  return OkStatus();
}

Status RunModel(const Options& options, Backend& backend, const std::string& shape_name, WeightType type) {
  const StepShape* shape = FindStepShape(shape_name);
  if (shape == nullptr) return InvalidArgument("--shapes: there is no shape '" + shape_name + "'");
  const int largest = std::ranges::max(options.batches);
  const int tokens = std::max(largest, options.prefill);
  const int context = std::max(options.context + 1, options.prefill);
  ASSIGN_OR_RETURN(const std::unique_ptr<StepModel> model,
                   StepModel::Create(backend, *shape, type, largest, tokens, context));
  for (const int batch : options.batches) {
    RETURN_IF_ERROR(
        PrintRow(options, backend, *model, shape_name, type, {"decode", batch, 1, options.context}));
  }
  if (options.prefill <= 0) return OkStatus();
  return PrintRow(options, backend, *model, shape_name, type, {"prefill", 1, options.prefill, 0});
}

Status Run(const Options& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, MakeDevice(options.device));
  for (const std::string& shape : options.shapes) {
    for (const WeightType type : options.types) RETURN_IF_ERROR(RunModel(options, *backend, shape, type));
  }
  return OkStatus();
}

int Main(int argc, char** argv) {
  Options options;
  Flags flags("bench_steps", "Time whole decoding steps and one prefill on random weights");
  flags.Text("device", kDevices, "What computes", &options.device);
  NameList(&flags, "shapes", "Of the Llama family: 1.3b, 7b, 8b, 13b", &options.shapes);
  TypeList(&flags, "types", "Weight types", &options.types);
  IntegerList(&flags, "batches", "Sequences decoded together", &options.batches, 1, 1 << 16);
  flags.Integer("context", "Tokens before those of a step", &options.context, 0, 1 << 24);
  flags.Integer("prefill", "Tokens of the prefill; 0: none", &options.prefill, 0, 1 << 20);
  flags.Real("seconds", "Of each row", &options.seconds, 0, 3600);
  return RunBench(&flags, argc, argv, [&options] { return Run(options); });
}

}  // namespace
}  // namespace reprise::bench

int main(int argc, char** argv) {
  return reprise::bench::Main(argc, argv);
}
