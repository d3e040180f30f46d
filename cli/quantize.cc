// reprise quantize: a block-quantised GGUF file from any model; a directory with one from a recycle module or
// a draft.
#include <cinttypes>
#include <cstdio>
#include <utility>

#include "base/text.h"
#include "cli/command.h"
#include "cli/session.h"
#include "models/quantize_model.h"

namespace reprise {
namespace {

WeightType TypeOfName(const std::string& name) {
  return name == "q8_0" ? WeightType::kQ8_0 : name == "q4_0" ? WeightType::kQ4_0 : WeightType::kQ4_1;
}

Status Run(QuantizeOptions options) {
  ModelFlags model;
  model.model = options.model;
  ASSIGN_OR_RETURN(const FamilyPaths paths, FindModels(model));
  options.model = paths.target;
  ASSIGN_OR_RETURN(const QuantizeSummary summary, QuantizeModel(options, nullptr));
  std::printf("%s: %" PRId64 " parameters in %s, %.2f bits each\n", options.out.c_str(), summary.parameters,
              FormatBytes(summary.bytes).c_str(),
              8.0 * static_cast<double>(summary.bytes) / static_cast<double>(summary.parameters));
  if (summary.unquantized_matrices > 0) {
    std::printf("%d matrices stay F16: their rows are not a multiple of 32 long\n",
                summary.unquantized_matrices);
  }
  return OkStatus();
}

}  // namespace

int RunQuantize(const std::vector<std::string>& arguments) {
  QuantizeOptions options;
  std::string type = "q8_0";
  std::string shortcuts = "q8_0";
  Flags flags("reprise quantize", "Write a model, a recycle module or a draft in a block-quantised form");
  flags.Text("model", "PATH",
             "Hugging Face directory, GGUF file, or the directory of a recycle module or of a draft made for "
             "one target; without it, the embedded model",
             &options.model);
  flags.Text("out", "PATH", "GGUF file to make; of a module or such a draft the directory", &options.out);
  flags.Choice("type", "Of the matrices", &type, {"q8_0", "q4_0", "q4_1"});
  flags.Choice("shortcut-type", "Of a sliced model's shortcut matrices", &shortcuts,
               {"q8_0", "q4_0", "q4_1"});
  int exit_code = kExitOk;
  if (!ParseFlags(&flags, arguments, &exit_code)) return exit_code;
  if (options.out.empty()) {
    std::fprintf(stderr, "reprise: --out is missing\n");
    return kExitUsage;
  }
  options.type = TypeOfName(type);
  options.shortcut_type = TypeOfName(shortcuts);
  const Status status = Run(std::move(options));
  return status.ok() ? kExitOk : ReportFailure(status);
}

}  // namespace reprise
