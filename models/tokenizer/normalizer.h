// The rewriting of text before it is split: the normalizers of a tokenizer.json.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "models/tokenizer/regex.h"
#include "models/tokenizer/unicode.h"

namespace reprise::tokenizer {

// Immutable: Apply may be called from any thread. Texts are well-formed UTF-8.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // Rewrites `text` in place. Fails only as Regex::FindAll does.
  virtual Status Apply(std::string* text) const = 0;
};

using NormalizerList = std::vector<std::unique_ptr<Normalizer>>;

// NFC, NFD, NFKC, NFKD.
std::unique_ptr<Normalizer> MakeUnicodeNormalizer(NormalForm form);
std::unique_ptr<Normalizer> MakeLowercase();
std::unique_ptr<Normalizer> MakeStripAccents();
// White space off either end.
std::unique_ptr<Normalizer> MakeStrip(bool left, bool right);
// Puts `prefix` before a text that is not empty.
std::unique_ptr<Normalizer> MakePrepend(std::string prefix);
// Puts `content`, taken literally, in the place of each match.
std::unique_ptr<Normalizer> MakeReplace(Regex pattern, std::string content);
// Bytes spelled in GPT-2's alphabet.
std::unique_ptr<Normalizer> MakeByteLevelNormalizer();

Status ApplyAll(const NormalizerList& normalizers, std::string* text);

// `text` with `content` in the place of each match of `pattern`.
Result<std::string> ReplaceAll(const Regex& pattern, std::string_view content, std::string_view text);

}  // namespace reprise::tokenizer
