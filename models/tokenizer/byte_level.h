// GPT-2's reversible spelling of bytes as printable characters: "Ġ" is a space, "Ċ" a line feed.
// Source: Radford et al. 2019, the released encoder's bytes_to_unicode.
#pragma once

#include <string>
#include <string_view>

namespace reprise::tokenizer {

void AppendByteLevel(std::string_view bytes, std::string* out);

// The bytes that `token` spells; `token` itself when one of its characters is not of the alphabet.
std::string DecodeByteLevel(std::string_view token);

}  // namespace reprise::tokenizer
