// reprise eval: what a model, or its drafts, are worth on a text.
#include "cli/eval.h"

#include <algorithm>
#include <cstdio>

#include "base/mapped_file.h"
#include "cli/command.h"

namespace reprise {

Result<TextWindows> ReadWindows(const EvalFlags& flags, const Model& model) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(flags.text));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  TextWindows windows;
  ASSIGN_OR_RETURN(windows.tokens, model.tokenizer().Encode(text));
  windows.context = std::min(flags.context, model.config().max_position);
  windows.count = windows.tokens.size() / static_cast<std::size_t>(windows.context);
  if (windows.count == 0) {
    return InvalidArgument(flags.text + " has " + std::to_string(windows.tokens.size()) +
                           " tokens, less than one window of " + std::to_string(windows.context) +
                           "; choose a smaller --context");
  }
  if (flags.max_windows > 0) {
    windows.count = std::min(windows.count, static_cast<std::size_t>(flags.max_windows));
  }
  return windows;
}

int RunEval(const std::vector<std::string>& arguments) {
  EvalFlags values;
  Flags flags("reprise eval", "Measure a model, or its drafts, on a text");
  flags.Positional(
      "MEASURE",
      "perplexity: how well the model predicts the text; agreement: how often what each proposer "
      "drafts is the model's own greedy choice",
      &values.measure);
  values.model.Declare(&flags);
  flags.Text("text", "FILE", "UTF-8 text", &values.text);
  flags.Integer("context", "Tokens in a window", &values.context, 2, 1 << 24);
  flags.Integer("max-windows", "Windows to measure; 0 takes all", &values.max_windows, 0, 1 << 24);
  DeclareDecoding(&flags, "agreement: the method whose proposers are measured; auto: all that are loaded",
                  &values.decoding);
  flags.Integer("max-draft-tokens", "agreement: tokens in a draft", &values.max_draft_tokens, 1,
                kMaxDraftTokens);
  flags.Integer("stride", "agreement: tokens of text from one draft to the next", &values.stride, 1, 1 << 24);
  DeclareKvType(&flags, &values.kv_cache_dtype);
  flags.Switch("json", "Print JSON, one object a line", &values.json);
  int exit_code = kExitOk;
  if (!ParseFlags(&flags, arguments, &exit_code)) return exit_code;
  const bool known = values.measure == "perplexity" || values.measure == "agreement";
  if (!known || values.text.empty()) {
    std::fprintf(
        stderr, "reprise: %s\n",
        known ? "--text is missing"
              : ("unknown measure '" + values.measure + "'; there are perplexity and agreement").c_str());
    return kExitUsage;
  }
  const Status status = values.measure == "perplexity" ? EvalPerplexity(values) : EvalAgreement(values);
  return status.ok() ? kExitOk : ReportFailure(status);
}

}  // namespace reprise
