// Reads a tokenizer.json in one pass. The vocabulary and the merges, a hundred thousand entries each, go into
// flat lists; the rest becomes a tree.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/status.h"
#include "models/tokenizer/span.h"

namespace reprise::tokenizer {

struct JsonDocument {
  struct VocabularyEntry {
    Span text;
    std::int64_t id = 0;
  };
  // ["a", "b"], or the older "a b": all of it in `left` and nothing in `right`.
  struct MergeEntry {
    Span left;
    Span right;
  };

  nlohmann::json root;  // model.vocab (if it is an object) and model.merges are empty here
  std::string bytes;    // what the spans refer to
  std::vector<VocabularyEntry> vocabulary;
  std::vector<MergeEntry> merges;  // by rank
};

// DATA_LOSS for a syntax error (with line and column), a key that an object has twice, a merge that is not
// two strings, an id that is not an integer, or nesting beyond 64.
Result<JsonDocument> ParseTokenizerJson(std::string_view text);

}  // namespace reprise::tokenizer
