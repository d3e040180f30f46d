#include "models/chat_template/text.h"

#include <algorithm>

#include "base/utf8.h"
#include "models/chat_template/unicode.h"

namespace reprise::chat_template {
namespace {

// Up to this size the quadratic search of the standard library is fast enough.
constexpr std::size_t kShortPart = 16;

// Knuth, Morris and Pratt's search: the distance from `text` to the first match, or npos.
template <typename Iterator>
std::size_t Search(Iterator text, Iterator text_end, Iterator part, Iterator part_end) {
  const auto size = static_cast<std::size_t>(part_end - part);
  std::vector<std::uint32_t> border(size, 0);  // longest proper prefix of part[0..i] that also ends it
  const auto advance = [&](std::size_t matched, char c) -> std::size_t {
    while (matched > 0 && (matched == size || part[matched] != c)) matched = border[matched - 1];
    return part[matched] == c ? matched + 1 : matched;
  };
  for (std::size_t i = 1; i < size; ++i)
    border[i] = static_cast<std::uint32_t>(advance(border[i - 1], part[i]));
  std::size_t matched = 0;
  for (std::size_t i = 0; text + i != text_end; ++i) {
    matched = advance(matched, text[i]);
    if (matched == size) return i + 1 - size;
  }
  return std::string_view::npos;
}

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// Offset of the last character of a text that is not empty; malformed bytes count as characters.
std::size_t LastCharacter(std::string_view text) {
  for (std::size_t size = 1; size <= 4 && size <= text.size(); ++size) {
    const std::size_t begin = text.size() - size;
    if ((static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) continue;
    std::size_t end = begin;
    DecodeUtf8(text, &end);
    if (end == text.size()) return begin;
    break;
  }
  return text.size() - 1;
}

template <typename Predicate>
std::string_view StripWhile(std::string_view text, Side side, Predicate strips) {
  while (side != Side::kRight && !text.empty()) {
    std::size_t end = 0;
    if (!strips(DecodeUtf8(text, &end))) break;
    text.remove_prefix(end);
  }
  while (side != Side::kLeft && !text.empty()) {
    const std::size_t last = LastCharacter(text);
    std::size_t offset = last;
    if (!strips(DecodeUtf8(text, &offset))) break;
    text = text.substr(0, last);
  }
  return text;
}

bool IsLineBreak(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

// The end of the word that begins a text without leading white space.
std::size_t WordEnd(std::string_view text) {
  std::size_t offset = 0;
  while (offset < text.size()) {
    std::size_t next = offset;
    if (IsSpace(DecodeUtf8(text, &next))) break;
    offset = next;
  }
  return offset;
}

// The beginning of the word that ends a text without trailing white space.
std::size_t WordBegin(std::string_view text) {
  while (!text.empty()) {
    const std::size_t last = LastCharacter(text);
    std::size_t offset = last;
    if (IsSpace(DecodeUtf8(text, &offset))) break;
    text = text.substr(0, last);
  }
  return text.size();
}

// Greek has two small sigmas: the final one ends a word.
bool IsFinalSigma(std::string_view text, std::size_t begin, std::size_t end) {
  if (begin == 0) return false;
  std::size_t before = LastCharacter(text.substr(0, begin));
  if (!IsAlphabetic(DecodeUtf8(text, &before))) return false;
  return end >= text.size() || !IsAlphabetic(DecodeUtf8(text, &end));
}

void AppendLowerAt(std::string_view text, std::size_t begin, char32_t c, std::size_t end, std::string* out) {
  if (c == U'\u03A3' && IsFinalSigma(text, begin, end)) {
    AppendUtf8(U'\u03C2', out);
  } else {
    AppendLower(c, out);
  }
}

}  // namespace

std::size_t FindFirst(std::string_view text, std::string_view part, std::size_t from) {
  if (part.size() <= kShortPart) return text.find(part, from);
  const std::size_t found =
      Search(text.begin() + static_cast<std::ptrdiff_t>(from), text.end(), part.begin(), part.end());
  return found == std::string_view::npos ? found : found + from;
}

std::size_t FindLast(std::string_view text, std::string_view part) {
  if (part.size() <= kShortPart) return text.rfind(part);
  const std::size_t found = Search(text.rbegin(), text.rend(), part.rbegin(), part.rend());
  return found == std::string_view::npos ? found : text.size() - found - part.size();
}

std::size_t CountCharacters(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t offset = 0; offset < text.size(); ++count) DecodeUtf8(text, &offset);
  return count;
}

CharacterIndex::CharacterIndex(std::string_view text) : text_(text), size_(text.size()) {
  if (IsAscii(text)) return;
  for (std::size_t offset = 0; offset < text.size();) {
    offsets_.push_back(static_cast<std::uint32_t>(offset));
    DecodeUtf8(text, &offset);
  }
  size_ = offsets_.size();
  offsets_.push_back(static_cast<std::uint32_t>(text.size()));
}

std::string_view StripSpace(std::string_view text, Side side) {
  return StripWhile(text, side, IsSpace);
}

std::string_view StripCharacters(std::string_view text, std::string_view set, Side side) {
  std::u32string characters;
  for (std::size_t offset = 0; offset < set.size();) characters.push_back(DecodeUtf8(set, &offset));
  return StripWhile(text, side, [&](char32_t c) { return characters.find(c) != std::u32string::npos; });
}

std::vector<std::string_view> SplitSpace(std::string_view text, std::int64_t limit, Side from) {
  std::vector<std::string_view> parts;
  const bool from_right = from == Side::kRight;
  text = StripSpace(text, from_right ? Side::kRight : Side::kLeft);
  while (!text.empty()) {
    if (limit >= 0 && static_cast<std::int64_t>(parts.size()) == limit) {
      parts.push_back(text);
      break;
    }
    const std::size_t cut = from_right ? WordBegin(text) : WordEnd(text);
    parts.push_back(from_right ? text.substr(cut) : text.substr(0, cut));
    text = from_right ? StripSpace(text.substr(0, cut), Side::kRight)
                      : StripSpace(text.substr(cut), Side::kLeft);
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> SplitOn(std::string_view text, std::string_view separator, std::int64_t limit,
                                      Side from) {
  std::vector<std::string_view> parts;
  const bool from_right = from == Side::kRight;
  while (limit < 0 || static_cast<std::int64_t>(parts.size()) < limit) {
    const std::size_t cut = from_right ? FindLast(text, separator) : FindFirst(text, separator);
    if (cut == std::string_view::npos) break;
    const std::string_view left = text.substr(0, cut);
    const std::string_view right = text.substr(cut + separator.size());
    parts.push_back(from_right ? right : left);
    text = from_right ? left : right;
  }
  parts.push_back(text);
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> SplitLines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  std::size_t begin = 0;
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t end = offset;
    if (!IsLineBreak(DecodeUtf8(text, &offset))) continue;
    if (text[end] == '\r' && offset < text.size() && text[offset] == '\n') ++offset;
    lines.push_back(text.substr(begin, (keep_ends ? offset : end) - begin));
    begin = offset;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::size_t CountOccurrences(std::string_view text, std::string_view part) {
  if (part.empty()) return CountCharacters(text) + 1;
  std::size_t count = 0;
  for (std::size_t at = FindFirst(text, part); at != std::string_view::npos;
       at = FindFirst(text, part, at + part.size())) {
    ++count;
  }
  return count;
}

std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to,
                       std::int64_t limit) {
  std::string out;
  std::int64_t replaced = 0;
  std::size_t offset = 0;
  while (limit < 0 || replaced < limit) {
    const std::size_t found = FindFirst(text, from, offset);
    if (found == std::string_view::npos) break;
    out.append(text.substr(offset, found - offset)).append(to);
    offset = found + from.size();
    ++replaced;
    if (!from.empty()) continue;
    // Nothing lies between any two characters: copy one to get ahead.
    if (offset >= text.size()) return out;
    std::size_t next = offset;
    DecodeUtf8(text, &next);
    out.append(text.substr(offset, next - offset));
    offset = next;
  }
  return out.append(text.substr(offset));
}

std::string ToUpper(std::string_view text) {
  std::string out;
  for (std::size_t offset = 0; offset < text.size();) AppendUpper(DecodeUtf8(text, &offset), &out);
  return out;
}

std::string ToLower(std::string_view text) {
  std::string out;
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t begin = offset;
    const char32_t c = DecodeUtf8(text, &offset);
    AppendLowerAt(text, begin, c, offset, &out);
  }
  return out;
}

std::string Capitalize(std::string_view text) {
  std::string out;
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t begin = offset;
    const char32_t c = DecodeUtf8(text, &offset);
    if (begin == 0) {
      AppendTitle(c, &out);
    } else {
      AppendLowerAt(text, begin, c, offset, &out);
    }
  }
  return out;
}

std::string SwapCase(std::string_view text) {
  std::string out;
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t begin = offset;
    const char32_t c = DecodeUtf8(text, &offset);
    if (IsUpper(c)) {
      AppendLowerAt(text, begin, c, offset, &out);
    } else {
      AppendUpper(c, &out);
    }
  }
  return out;
}

std::string ToTitle(std::string_view text) {
  std::string out;
  bool in_word = false;
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t begin = offset;
    const char32_t c = DecodeUtf8(text, &offset);
    if (in_word) {
      AppendLowerAt(text, begin, c, offset, &out);
    } else {
      AppendTitle(c, &out);
    }
    in_word = IsUpper(c) || IsLower(c);
  }
  return out;
}

}  // namespace reprise::chat_template
