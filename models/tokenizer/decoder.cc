#include "models/tokenizer/decoder.h"

#include <memory>
#include <utility>

#include "models/tokenizer/byte_level.h"
#include "models/tokenizer/metaspace.h"
#include "models/tokenizer/normalizer.h"

namespace reprise::tokenizer {

std::string Decoder::Decode(std::string_view token, TokenPosition position) const {
  std::string bytes(token);
  for (const Step& step : steps) bytes = step(bytes, position);
  return bytes;
}

Decoder::Step DecodeByteLevelStep() {
  return [](std::string_view token, TokenPosition) { return DecodeByteLevel(token); };
}

Decoder::Step DecodeByteTokenStep() {
  return [](std::string_view token, TokenPosition) {
    const auto byte = ParseByteToken(token);
    return byte ? std::string(1, static_cast<char>(*byte)) : std::string(token);
  };
}

Decoder::Step ReplaceStep(Regex pattern, std::string content) {
  // std::function wants to be copied, a Regex does not.
  auto shared = std::make_shared<Regex>(std::move(pattern));
  return [shared, content = std::move(content)](std::string_view token, TokenPosition) {
    Result<std::string> replaced = ReplaceAll(*shared, content, token);
    return replaced.ok() ? std::move(*replaced) : std::string(token);
  };
}

Decoder::Step MetaspaceStep(std::string replacement, bool drops_first) {
  return [replacement = std::move(replacement), drops_first](std::string_view token, TokenPosition position) {
    std::string out;
    while (!token.empty()) {
      const std::size_t at = token.find(replacement);
      out += token.substr(0, at);
      if (at == std::string_view::npos) break;
      if (!drops_first || position != TokenPosition::kFirst) out += ' ';
      token.remove_prefix(at + replacement.size());
    }
    return out;
  };
}

Decoder::Step StripStep(std::string content, std::size_t start, std::size_t stop) {
  return [content = std::move(content), start, stop](std::string_view token, TokenPosition) {
    for (std::size_t i = 0; i < start && token.starts_with(content); ++i) token.remove_prefix(content.size());
    for (std::size_t i = 0; i < stop && token.ends_with(content); ++i) token.remove_suffix(content.size());
    return std::string(token);
  };
}

Decoder::Step JoinWithSpacesStep() {
  return [](std::string_view token, TokenPosition position) {
    return position == TokenPosition::kFirst ? std::string(token) : " " + std::string(token);
  };
}

}  // namespace reprise::tokenizer
