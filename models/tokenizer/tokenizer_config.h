// What the files beside a tokenizer.json say: tokenizer_config.json, special_tokens_map.json,
// chat_template.jinja.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"

namespace reprise::tokenizer {

struct TokenizerConfig {
  std::optional<std::string> bos_token;  // texts, not ids
  std::optional<std::string> eos_token;
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::string chat_template;
};

// Files that are not there are skipped.
Result<TokenizerConfig> ReadTokenizerConfig(const std::string& folder);

}  // namespace reprise::tokenizer
