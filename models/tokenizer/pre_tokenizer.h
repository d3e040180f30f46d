// The splitting of normalized text into the pieces that no token crosses: the pre-tokenizers of a
// tokenizer.json.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "models/tokenizer/regex.h"
#include "models/tokenizer/span.h"

namespace reprise::tokenizer {

// The pieces of a text: `spans` are not empty, ascend, and may leave out parts of `text`.
struct Pieces {
  std::string text;
  std::vector<Span> spans;
  // Whether a span that begins at 0 also begins the whole text that is being tokenized.
  bool at_text_start = true;
};

// Immutable: Apply may be called from any thread.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Splits each piece further, and may rewrite it. Fails only as Regex::FindAll does.
  virtual Status Apply(Pieces* pieces) const = 0;
};

using PreTokenizerList = std::vector<std::unique_ptr<PreTokenizer>>;

// What becomes of a delimiter.
enum class SplitBehavior {
  kRemoved,
  kIsolated,            // a piece of its own
  kMergedWithPrevious,  // the end of the piece before
  kMergedWithNext,      // the beginning of the piece after
  kContiguous,          // neighbouring delimiters are one piece
};

// What Metaspace puts a "▁" before: every piece (after an added token, too), the beginning of the text,
// nothing.
enum class PrependScheme { kAlways, kFirst, kNever };

// Matches of `pattern` are the delimiters; with `invert`, what lies between them.
std::unique_ptr<PreTokenizer> MakeSplit(Regex pattern, SplitBehavior behavior, bool invert);
// GPT-2's: a space before each piece (add_prefix_space), its regular expression (use_regex), and bytes
// spelled as printable characters.
Result<std::unique_ptr<PreTokenizer>> MakeByteLevelPreTokenizer(bool add_prefix_space, bool use_regex);
// Spaces become `replacement`; `split` begins a piece at each.
std::unique_ptr<PreTokenizer> MakeMetaspace(std::string replacement, PrependScheme scheme, bool split);

}  // namespace reprise::tokenizer
