// What Python's str methods know about characters: white space, letters, digits and case.
#pragma once

#include <string>

namespace reprise::chat_template {

bool IsSpace(char32_t c);
bool IsAlphabetic(char32_t c);
bool IsDigit(char32_t c);
bool IsNumeric(char32_t c);
bool IsPrintable(char32_t c);
bool IsUpper(char32_t c);
bool IsLower(char32_t c);

// Append one character's full mapping (one to three characters) as UTF-8.
void AppendUpper(char32_t c, std::string* out);
void AppendLower(char32_t c, std::string* out);
void AppendTitle(char32_t c, std::string* out);

}  // namespace reprise::chat_template
