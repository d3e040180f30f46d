#include "models/tokenizer/metaspace.h"

namespace reprise::tokenizer {
namespace {

constexpr std::string_view kHexDigits = "0123456789ABCDEF";

}  // namespace

std::size_t EndOfFirstWord(std::string_view text) {
  std::size_t at = 0;
  while (text.substr(at).starts_with(kMetaspace)) at += kMetaspace.size();
  const std::size_t next = text.find(kMetaspace, at);
  return next == std::string_view::npos ? text.size() : next;
}

std::optional<unsigned char> ParseByteToken(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') return std::nullopt;
  const std::size_t high = kHexDigits.find(text[3]);
  const std::size_t low = kHexDigits.find(text[4]);
  if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
  return static_cast<unsigned char>(high * 16 + low);
}

std::array<TokenId, 256> FindByteTokens(const Vocabulary& vocabulary) {
  std::array<TokenId, 256> ids;
  for (std::size_t byte = 0; byte < ids.size(); ++byte) {
    const char text[] = {'<', '0', 'x', kHexDigits[byte >> 4], kHexDigits[byte & 15], '>'};
    ids[byte] = vocabulary.Find({text, sizeof text}).value_or(-1);
  }
  return ids;
}

}  // namespace reprise::tokenizer
