#include <optional>
#include <utility>

#include "models/tokenizer/component.h"
#include "models/tokenizer/json_components.h"

namespace reprise::tokenizer {
namespace {

using PreTokenizerResult = Result<std::unique_ptr<PreTokenizer>>;

PreTokenizerResult MakeSplitAt(std::string_view pattern, SplitBehavior behavior, bool invert = false) {
  ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern));
  return MakeSplit(std::move(regex), behavior, invert);
}

Result<SplitBehavior> ParseBehavior(const Component& component) {
  ASSIGN_OR_RETURN(const std::optional<std::string> name, component.fields.String("behavior"));
  if (!name || *name == "Isolated") return SplitBehavior::kIsolated;
  if (*name == "Removed") return SplitBehavior::kRemoved;
  if (*name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (*name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (*name == "Contiguous") return SplitBehavior::kContiguous;
  return component.fields.Wrong("behavior",
                                "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

PreTokenizerResult ParseByteLevel(const Component& component) {
  ASSIGN_OR_RETURN(const std::optional<bool> add_prefix_space, component.fields.Bool("add_prefix_space"));
  ASSIGN_OR_RETURN(const std::optional<bool> use_regex, component.fields.Bool("use_regex"));
  return MakeByteLevelPreTokenizer(add_prefix_space.value_or(true), use_regex.value_or(true));
}

PreTokenizerResult ParseSplit(const Component& component) {
  ASSIGN_OR_RETURN(Pattern pattern, ParsePattern(component));
  ASSIGN_OR_RETURN(const SplitBehavior behavior, ParseBehavior(component));
  ASSIGN_OR_RETURN(const std::optional<bool> invert, component.fields.Bool("invert"));
  return MakeSplit(std::move(pattern.regex), behavior, invert.value_or(false));
}

PreTokenizerResult ParseDigits(const Component& component) {
  ASSIGN_OR_RETURN(const std::optional<bool> individual, component.fields.Bool("individual_digits"));
  return MakeSplitAt(R"(\p{N})",
                     individual.value_or(false) ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
}

PreTokenizerResult ParsePunctuation(const Component& component) {
  ASSIGN_OR_RETURN(const SplitBehavior behavior, ParseBehavior(component));
  return MakeSplitAt(R"([!-/:-@\[-`{-~\p{P}])", behavior);
}

PreTokenizerResult ParseCharacterDelimiter(const Component& component) {
  ASSIGN_OR_RETURN(const std::string delimiter, RequiredCharacter(component, "delimiter"));
  ASSIGN_OR_RETURN(Regex regex, Regex::CompileLiteral(delimiter));
  return MakeSplit(std::move(regex), SplitBehavior::kRemoved, false);
}

// Files from before prepend_scheme have add_prefix_space.
Result<PrependScheme> ParsePrependScheme(const Component& component) {
  ASSIGN_OR_RETURN(const std::optional<std::string> name, component.fields.String("prepend_scheme"));
  ASSIGN_OR_RETURN(const std::optional<bool> add_prefix_space, component.fields.Bool("add_prefix_space"));
  if (!name) return add_prefix_space.value_or(true) ? PrependScheme::kAlways : PrependScheme::kNever;
  if (*name == "always") return PrependScheme::kAlways;
  if (*name == "first") return PrependScheme::kFirst;
  if (*name == "never") return PrependScheme::kNever;
  return component.fields.Wrong("prepend_scheme", "always, first or never");
}

PreTokenizerResult ParseMetaspace(const Component& component) {
  ASSIGN_OR_RETURN(std::string replacement, RequiredCharacter(component, "replacement"));
  ASSIGN_OR_RETURN(const PrependScheme scheme, ParsePrependScheme(component));
  ASSIGN_OR_RETURN(const std::optional<bool> split, component.fields.Bool("split"));
  return MakeMetaspace(std::move(replacement), scheme, split.value_or(true));
}

PreTokenizerResult ParsePreTokenizer(const Component& component) {
  if (component.type == "ByteLevel") return ParseByteLevel(component);
  if (component.type == "Split") return ParseSplit(component);
  if (component.type == "Digits") return ParseDigits(component);
  if (component.type == "Punctuation") return ParsePunctuation(component);
  if (component.type == "Metaspace") return ParseMetaspace(component);
  if (component.type == "CharDelimiterSplit") return ParseCharacterDelimiter(component);
  if (component.type == "WhitespaceSplit") return MakeSplitAt(R"(\s)", SplitBehavior::kRemoved);
  if (component.type == "Whitespace") {
    // Words and runs of other characters; what lies between is white space.
    const std::string word = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D})";
    return MakeSplitAt("[" + word + "]+|[^" + word + "\\s]+", SplitBehavior::kRemoved, /*invert=*/true);
  }
  return component.fields.Unsupported("type",
                                      "ByteLevel, Split, Digits, Punctuation, Metaspace, CharDelimiterSplit, "
                                      "Whitespace, WhitespaceSplit, Sequence");
}

}  // namespace

Result<PreTokenizerList> ParsePreTokenizers(const nlohmann::json& root) {
  PreTokenizerList pre_tokenizers;
  RETURN_IF_ERROR(
      ForEachComponent(root, "pre_tokenizer", "pretokenizers", [&](const Component& component) -> Status {
        ASSIGN_OR_RETURN(auto pre_tokenizer, ParsePreTokenizer(component));
        pre_tokenizers.push_back(std::move(pre_tokenizer));
        return OkStatus();
      }));
  return pre_tokenizers;
}

}  // namespace reprise::tokenizer
