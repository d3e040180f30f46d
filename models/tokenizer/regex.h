// Regular expressions of tokenizer files: Oniguruma with its default (Ruby-like) syntax, which is what the
// Hugging Face `tokenizers` library runs.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "models/tokenizer/span.h"

struct re_pattern_buffer;  // Oniguruma's compiled pattern

namespace reprise::tokenizer {

// Immutable after Compile, so FindAll may be called from any thread.
class Regex {
 public:
  // DATA_LOSS with Oniguruma's own message for a pattern that does not compile.
  static Result<Regex> Compile(std::string_view pattern);
  // A pattern that matches exactly `text`.
  static Result<Regex> CompileLiteral(std::string_view text);

  // Appends the successive non-overlapping matches in `text`, which is well-formed UTF-8. An empty match that
  // touches the previous match does not count. INVALID_ARGUMENT when the pattern backtracks too long on this
  // text: both may come from strangers, and the time of a search must have a bound.
  Status FindAll(std::string_view text, std::vector<Span>* matches) const;

 private:
  struct Deleter {
    void operator()(re_pattern_buffer* regex) const;
  };
  explicit Regex(re_pattern_buffer* regex) : regex_(regex) {}

  std::unique_ptr<re_pattern_buffer, Deleter> regex_;
};

}  // namespace reprise::tokenizer
