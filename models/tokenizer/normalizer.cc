#include "models/tokenizer/normalizer.h"

#include <utility>

#include "base/utf8.h"
#include "models/tokenizer/byte_level.h"

namespace reprise::tokenizer {
namespace {

// A normalizer that cannot fail: a function from text to text.
template <typename Function>
class FunctionNormalizer final : public Normalizer {
 public:
  explicit FunctionNormalizer(Function function) : function_(std::move(function)) {}
  Status Apply(std::string* text) const override {
    *text = function_(std::string_view(*text));
    return OkStatus();
  }

 private:
  Function function_;
};

template <typename Function>
std::unique_ptr<Normalizer> MakeFunctionNormalizer(Function function) {
  return std::make_unique<FunctionNormalizer<Function>>(std::move(function));
}

class Replace final : public Normalizer {
 public:
  Replace(Regex pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  Status Apply(std::string* text) const override {
    ASSIGN_OR_RETURN(*text, ReplaceAll(pattern_, content_, *text));
    return OkStatus();
  }

 private:
  Regex pattern_;
  std::string content_;
};

std::string StripAccents(std::string_view text) {
  std::string out;
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t begin = offset;
    if (!IsMark(DecodeUtf8(text, &offset))) out += text.substr(begin, offset - begin);
  }
  return out;
}

std::string_view StripLeft(std::string_view text) {
  while (!text.empty()) {
    std::size_t length = 0;
    if (!IsWhiteSpace(DecodeUtf8(text, &length))) break;
    text.remove_prefix(length);
  }
  return text;
}

std::string_view StripRight(std::string_view text) {
  while (!text.empty()) {
    std::size_t length = 0;
    if (!IsWhiteSpace(LastCodePoint(text, &length))) break;
    text.remove_suffix(length);
  }
  return text;
}

}  // namespace

std::unique_ptr<Normalizer> MakeUnicodeNormalizer(NormalForm form) {
  return MakeFunctionNormalizer([form](std::string_view text) { return Normalize(text, form); });
}

std::unique_ptr<Normalizer> MakeLowercase() {
  return MakeFunctionNormalizer([](std::string_view text) { return Lowercase(text); });
}

std::unique_ptr<Normalizer> MakeStripAccents() {
  return MakeFunctionNormalizer([](std::string_view text) { return StripAccents(text); });
}

std::unique_ptr<Normalizer> MakeStrip(bool left, bool right) {
  return MakeFunctionNormalizer([left, right](std::string_view text) {
    if (left) text = StripLeft(text);
    if (right) text = StripRight(text);
    return std::string(text);
  });
}

std::unique_ptr<Normalizer> MakePrepend(std::string prefix) {
  return MakeFunctionNormalizer([prefix = std::move(prefix)](std::string_view text) {
    return text.empty() ? std::string() : prefix + std::string(text);
  });
}

std::unique_ptr<Normalizer> MakeReplace(Regex pattern, std::string content) {
  return std::make_unique<Replace>(std::move(pattern), std::move(content));
}

std::unique_ptr<Normalizer> MakeByteLevelNormalizer() {
  return MakeFunctionNormalizer([](std::string_view text) {
    std::string out;
    AppendByteLevel(text, &out);
    return out;
  });
}

Status ApplyAll(const NormalizerList& normalizers, std::string* text) {
  for (const auto& normalizer : normalizers) RETURN_IF_ERROR(normalizer->Apply(text));
  return OkStatus();
}

Result<std::string> ReplaceAll(const Regex& pattern, std::string_view content, std::string_view text) {
  std::vector<Span> matches;
  RETURN_IF_ERROR(pattern.FindAll(text, &matches));
  std::string out;
  out.reserve(text.size());
  std::size_t copied = 0;
  for (const Span& match : matches) {
    out += text.substr(copied, match.begin - copied);
    out += content;
    copied = match.end;
  }
  out += text.substr(copied);
  return out;
}

}  // namespace reprise::tokenizer
