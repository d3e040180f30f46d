// UTF-8 helpers.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace reprise {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

// Offset of the first byte that is not part of well-formed UTF-8 (RFC 3629: no overlong forms, surrogates or
// values above U+10FFFF), or npos.
std::size_t FindInvalidUtf8(std::string_view text);

// Reads one code point at `*offset` and advances it. A malformed byte reads as U+FFFD and advances by one.
char32_t DecodeUtf8(std::string_view text, std::size_t* offset);

void AppendUtf8(char32_t code_point, std::string* out);

// Number of trailing bytes that begin, but do not finish, a well-formed character; 0 to 3. A stream holds
// them back.
std::size_t IncompleteUtf8Suffix(std::string_view text);

// Replaces every maximal malformed part by U+FFFD, as WHATWG's decoder does.
std::string SanitizeUtf8(std::string_view text);

}  // namespace reprise
