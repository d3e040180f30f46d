// reprise slice: SliceGPT.
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <string>

#include "base/text.h"
#include "cli/command.h"
#include "cli/session.h"
#include "compress/slice_model.h"

namespace reprise {
namespace {

using compress::SliceOptions;

std::string Minutes(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%dm%02ds", static_cast<int>(seconds) / 60,
                static_cast<int>(seconds) % 60);
  return text;
}

// One line on standard error that is written over and over: a few times a second on a terminal, else once a
// minute, one below the other.
class ProgressLine {
 public:
  void operator()(std::string_view stage, double done) {
    const double elapsed = Elapsed();
    if (elapsed < next_) return;
    next_ = elapsed + (terminal_ ? 0.25 : 60.0);
    const std::string left = done > 0 ? Minutes(elapsed * (1.0 - done) / done) + " left" : "";
    std::fprintf(stderr, "%s%-28s %5.1f %%  %s%s", terminal_ ? "\r" : "", std::string(stage).c_str(),
                 100.0 * done, left.c_str(), terminal_ ? "    " : "\n");
  }
  void End() const {
    if (terminal_ && next_ > 0) std::fputc('\n', stderr);
  }
  double Elapsed() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double next_ = 0;
};

std::uint64_t PeakMemory() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

Status Slice(const ModelFlags& model, SliceOptions options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, MakeBackend(model));
  ASSIGN_OR_RETURN(const FamilyPaths paths, FindModels(model));
  options.model = paths.target;
  ProgressLine line;
  const auto summary =
      SliceModel(options, *backend, [&](std::string_view stage, double done) { line(stage, done); });
  line.End();
  RETURN_IF_ERROR(summary.status());
  std::printf("%s: %" PRId64 " parameters, %.1f %% of the dense model's %" PRId64
              "; took %s and %s of memory\n",
              options.out.c_str(), summary->sliced_parameters,
              100.0 * static_cast<double>(summary->sliced_parameters) /
                  static_cast<double>(summary->dense_parameters),
              summary->dense_parameters, Minutes(line.Elapsed()).c_str(), FormatBytes(PeakMemory()).c_str());
  return OkStatus();
}

}  // namespace

int RunSlice(const std::vector<std::string>& arguments) {
  ModelFlags model;
  SliceOptions options;
  std::string orientation = "random";
  int seed = static_cast<int>(options.calibration.seed);
  Flags flags("reprise slice", "Delete residual dimensions of a model (SliceGPT)");
  flags.Text("model", "PATH", "Hugging Face directory or GGUF file; without it, the embedded model",
             &model.model);
  flags.Integer("threads", "Compute threads; 0 takes one per core", &model.threads, 0, 1024);
  flags.Text("out", "DIR", "Directory to make for the sliced model", &options.out);
  flags.Real("sparsity", "Share of the residual dimensions to delete, below 1", &options.schedule.sparsity, 0,
             1);
  flags.Text("calibration", "FILE", "UTF-8 text, or .jsonl whose strings are taken, to measure signals on",
             &options.calibration.path);
  flags.Integer("samples", "Calibration sequences", &options.calibration.samples, 1, 1 << 20);
  flags.Integer("seq-len",
                "Tokens of a calibration sequence; 0 takes 2048, or the model's context if that is shorter",
                &options.calibration.length, 0, 1 << 24);
  flags.Integer("seed", "Of the choice of sequences and of the random orientation", &seed, 0, 1 << 30);
  flags.Integer("round-interval", "Widths are rounded down to multiples of this",
                &options.schedule.round_interval, 1, 4096);
  flags.Text(
      "layer-config", "FILE",
      "JSON with attention_input_widths, mlp_input_widths and output_widths, one number a layer in each; "
      "decides instead of --sparsity",
      &options.schedule.layer_config);
  flags.Choice("orientation",
               "Of the kept dimensions: principal components turned at random, or as they come", &orientation,
               {"random", "pca"});
  flags.Choice("dtype", "Of the matrices written; auto is f32 for a model stored so, else f16",
               &options.dtype, {"auto", "f32", "f16", "bf16"});
  int exit_code = kExitOk;
  if (!ParseFlags(&flags, arguments, &exit_code)) return exit_code;
  for (const auto& [name, value] :
       {std::pair{"--out", options.out}, {"--calibration", options.calibration.path}}) {
    if (!value.empty()) continue;
    std::fprintf(stderr, "reprise: %s is missing\n", name);
    return kExitUsage;
  }
  options.calibration.seed = static_cast<std::uint64_t>(seed);
  options.orientation = orientation == "pca" ? compress::Orientation::kPca : compress::Orientation::kRandom;
  const Status status = Slice(model, options);
  return status.ok() ? kExitOk : ReportFailure(status);
}

}  // namespace reprise
