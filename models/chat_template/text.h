// Python's str in UTF-8: positions and lengths count characters, white space and case are Unicode's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace reprise::chat_template {

enum class Side : std::uint8_t { kLeft, kRight, kBoth };

std::size_t CountCharacters(std::string_view text);

// Byte offset of the first or last occurrence, or npos. Linear in the sum of the sizes whatever the texts
// are.
std::size_t FindFirst(std::string_view text, std::string_view part, std::size_t from = 0);
std::size_t FindLast(std::string_view text, std::string_view part);

// Where each character begins, for access by position.
class CharacterIndex {
 public:
  explicit CharacterIndex(std::string_view text);
  std::size_t size() const { return size_; }
  // Byte offset of character `position`, at most size().
  std::size_t Offset(std::size_t position) const { return offsets_.empty() ? position : offsets_[position]; }
  std::string_view At(std::size_t position) const {
    return text_.substr(Offset(position), Offset(position + 1) - Offset(position));
  }

 private:
  std::string_view text_;
  std::size_t size_ = 0;
  std::vector<std::uint32_t> offsets_;  // [size + 1], or empty when every character is one byte
};

std::string_view StripSpace(std::string_view text, Side side);
// Strips any of the characters of `set`.
std::string_view StripCharacters(std::string_view text, std::string_view set, Side side);

// str.split and str.rsplit: at most `limit` cuts, counted from the given side; any number when it is
// negative.
std::vector<std::string_view> SplitSpace(std::string_view text, std::int64_t limit, Side from);
std::vector<std::string_view> SplitOn(std::string_view text, std::string_view separator, std::int64_t limit,
                                      Side from);
// str.splitlines.
std::vector<std::string_view> SplitLines(std::string_view text, bool keep_ends);

// Number of occurrences that do not overlap; one more than the characters when `part` is empty.
std::size_t CountOccurrences(std::string_view text, std::string_view part);
// At most `limit` occurrences, any number when it is negative.
std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to, std::int64_t limit);

std::string ToUpper(std::string_view text);
std::string ToLower(std::string_view text);
std::string Capitalize(std::string_view text);
std::string SwapCase(std::string_view text);
std::string ToTitle(std::string_view text);

}  // namespace reprise::chat_template
