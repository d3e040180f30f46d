#include "models/tokenizer/byte_level.h"

#include <array>
#include <cstdint>

#include "base/utf8.h"

namespace reprise::tokenizer {
namespace {

constexpr char32_t kAlphabetEnd = 0x144;  // 256 plus the 68 bytes that are not printable in Latin-1

struct Alphabet {
  std::array<char32_t, 256> characters;
  std::array<std::int16_t, kAlphabetEnd> bytes;  // -1: not of the alphabet
};

constexpr Alphabet MakeAlphabet() {
  Alphabet alphabet{};
  for (auto& byte : alphabet.bytes) byte = -1;
  char32_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    const char32_t character = printable ? static_cast<char32_t>(byte) : next++;
    alphabet.characters[static_cast<std::size_t>(byte)] = character;
    alphabet.bytes[character] = static_cast<std::int16_t>(byte);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = MakeAlphabet();

}  // namespace

void AppendByteLevel(std::string_view bytes, std::string* out) {
  for (const char byte : bytes) AppendUtf8(kAlphabet.characters[static_cast<unsigned char>(byte)], out);
}

std::string DecodeByteLevel(std::string_view token) {
  std::string out;
  out.reserve(token.size());
  for (std::size_t offset = 0; offset < token.size();) {
    const char32_t character = DecodeUtf8(token, &offset);
    if (character >= kAlphabetEnd || kAlphabet.bytes[character] < 0) return std::string(token);
    out.push_back(static_cast<char>(kAlphabet.bytes[character]));
  }
  return out;
}

}  // namespace reprise::tokenizer
