// reprise tokenize: text on standard input to token ids on standard output, or back.
#include <charconv>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/session.h"
#include "models/tokenizer/tokenizer.h"

namespace reprise {
namespace {

struct TokenizeFlags {
  std::string model;
  bool add_special = false;
  bool detokenize = false;
  bool json = false;
};

// Whole numbers separated by white space, commas or brackets: what tokenize prints, with --json or without.
Result<std::vector<TokenId>> ParseIds(const std::string& text) {
  std::vector<TokenId> ids;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at != end) {
    if (std::string_view(" \t\r\n,[]").find(*at) != std::string_view::npos) {
      ++at;
      continue;
    }
    TokenId id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc()) {
      return InvalidArgument("standard input, byte " + std::to_string(at - text.data()) +
                             ": expected token ids (whole numbers separated by spaces or commas)");
    }
    ids.push_back(id);
    at = next;
  }
  return ids;
}

Status Tokenize(const TokenizeFlags& flags) {
  ModelFlags model;
  model.model = flags.model;
  ASSIGN_OR_RETURN(const FamilyPaths paths, FindModels(model));
  ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, Tokenizer::Load(paths.target));
  const std::string input{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  if (flags.detokenize) {
    ASSIGN_OR_RETURN(const std::vector<TokenId> ids, ParseIds(input));
    ASSIGN_OR_RETURN(const std::string text, tokenizer->Decode(ids, /*skip_special_tokens=*/false));
    std::fwrite(text.data(), 1, text.size(), stdout);
    return OkStatus();
  }
  EncodeOptions options;
  options.add_special_tokens = flags.add_special;
  ASSIGN_OR_RETURN(const std::vector<TokenId> ids, tokenizer->Encode(input, options));
  std::string out = flags.json ? "[" : "";
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) out += flags.json ? "," : " ";
    out += std::to_string(ids[i]);
  }
  out += flags.json ? "]\n" : "\n";
  std::fwrite(out.data(), 1, out.size(), stdout);
  return OkStatus();
}

}  // namespace

int RunTokenize(const std::vector<std::string>& arguments) {
  TokenizeFlags values;
  Flags flags("reprise tokenize", "Turn text on standard input into token ids on standard output, or back");
  flags.Text("model", "PATH",
             "A model, a vocabulary-only GGUF file, or a directory with just tokenizer files", &values.model);
  flags.Switch("add-special", "Add what the model puts around a text, such as BOS", &values.add_special);
  flags.Switch("detokenize", "Read ids, print text", &values.detokenize);
  flags.Switch("json", "Print ids as a JSON array", &values.json);
  int exit_code = kExitOk;
  if (!ParseFlags(&flags, arguments, &exit_code)) return exit_code;
  const Status status = Tokenize(values);
  return status.ok() ? kExitOk : ReportFailure(status);
}

}  // namespace reprise
