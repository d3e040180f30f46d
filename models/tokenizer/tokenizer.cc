#include "models/tokenizer/tokenizer.h"

#include <filesystem>

#include "base/utf8.h"
#include "models/formats/gguf.h"
#include "models/tokenizer/gguf_vocabulary.h"
#include "models/tokenizer/tokenizer_json.h"

namespace reprise {

Result<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    const std::filesystem::path directory(path);
    // What slicing a GGUF file leaves in its stead.
    const std::filesystem::path gguf = directory / "tokenizer.gguf";
    if (std::filesystem::exists(gguf, error)) return tokenizer::LoadGgufTokenizer(gguf.string());
    return tokenizer::LoadTokenizerJson((directory / "tokenizer.json").string());
  }
  ASSIGN_OR_RETURN(const bool is_gguf, IsGguf(path));
  if (is_gguf) return tokenizer::LoadGgufTokenizer(path);
  return tokenizer::LoadTokenizerJson(path);
}

Result<std::string> Tokenizer::Decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  Detokenizer detokenizer(*this, skip_special_tokens);
  std::string text;
  for (const TokenId id : ids) {
    if (id < 0 || id >= vocab_size()) {
      return InvalidArgument("token id " + std::to_string(id) + " is outside the vocabulary of " +
                             std::to_string(vocab_size()) + " tokens");
    }
    text += detokenizer.Append(id);
  }
  text += detokenizer.Finish();
  return text;
}

std::string Detokenizer::Append(TokenId id) {
  if (skip_special_tokens_ && tokenizer_->IsSpecial(id)) return {};
  if (seen_token_) {
    pending_ += tokenizer_->TokenBytes(id);
  } else {
    pending_ += tokenizer_->FirstTokenBytes(id);
    seen_token_ = true;
  }
  if (!seen_bytes_ && !pending_.empty()) {
    seen_bytes_ = true;
    if (tokenizer_->strips_leading_space() && pending_.front() == ' ') pending_.erase(0, 1);
  }
  const std::size_t whole = pending_.size() - IncompleteUtf8Suffix(pending_);
  std::string text = SanitizeUtf8(std::string_view(pending_).substr(0, whole));
  pending_.erase(0, whole);
  return text;
}

std::string Detokenizer::Finish() {
  std::string text = SanitizeUtf8(pending_);
  pending_.clear();
  return text;
}

}  // namespace reprise
