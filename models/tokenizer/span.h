// A half-open range of bytes of a text.
#pragma once

#include <cstddef>
#include <string_view>

namespace reprise::tokenizer {

struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;

  bool empty() const { return begin == end; }
  std::string_view Of(std::string_view text) const { return text.substr(begin, end - begin); }
  friend bool operator==(const Span&, const Span&) = default;
};

}  // namespace reprise::tokenizer
