#include "models/tokenizer/bpe_model.h"

#include <algorithm>

#include "base/utf8.h"
#include "models/formats/quoted.h"
#include "models/tokenizer/metaspace.h"

namespace reprise::tokenizer {
namespace {

constexpr char32_t kTabulatedCharacters = 0x400;  // Latin, Greek and the byte-level alphabet

// Merges across a word boundary, say "of" + "▁the", need the whole text as one piece; almost no vocabulary
// has them.
bool JoinsWords(std::string_view left, std::string_view right) {
  return right.starts_with(kMetaspace) && !left.ends_with(kMetaspace);
}

}  // namespace

std::optional<std::pair<std::string_view, std::string_view>> SplitMergeLine(std::string_view line,
                                                                            const Vocabulary& vocabulary) {
  std::optional<std::pair<std::string_view, std::string_view>> reading;
  for (std::size_t space = line.find(' ', 1); space != std::string_view::npos;
       space = line.find(' ', space + 1)) {
    if (space + 1 == line.size()) break;
    const std::pair candidate(line.substr(0, space), line.substr(space + 1));
    if (vocabulary.Find(candidate.first) && vocabulary.Find(candidate.second)) return candidate;
    if (!reading) reading = candidate;  // for the message about what is not in the vocabulary
  }
  return reading;
}

BpeModel::BpeModel(const Vocabulary& vocabulary, BpeOptions options)
    : vocabulary_(&vocabulary),
      options_(std::move(options)),
      characters_(kTabulatedCharacters, -1),
      bytes_(FindByteTokens(vocabulary)) {
  for (char32_t c = 0; c < kTabulatedCharacters; ++c) {
    std::string text;
    AppendUtf8(c, &text);
    characters_[c] = vocabulary.Find(text).value_or(-1);
  }
}

Result<std::unique_ptr<BpeModel>> BpeModel::Create(const Vocabulary& vocabulary,
                                                   const std::vector<TextPair>& merges, BpeOptions options) {
  std::unique_ptr<BpeModel> model(new BpeModel(vocabulary, std::move(options)));
  const std::string& unk_token = model->options_.unk_token;
  if (!unk_token.empty()) {
    model->unk_ = vocabulary.Find(unk_token);
    if (!model->unk_) return DataLoss("the unknown token " + Quoted(unk_token) + " is not in the vocabulary");
  }
  RETURN_IF_ERROR(model->AddMerges(merges));
  return model;
}

Status BpeModel::AddMerges(const std::vector<TextPair>& merges) {
  merges_ = PairTable(merges.size());
  const std::string& prefix = options_.continuing_subword_prefix;
  bool joins_words = false;
  std::string merged;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto [left, right] = merges[rank];
    const auto left_id = vocabulary_->Find(left);
    const auto right_id = vocabulary_->Find(right);
    merged.assign(left);
    merged.append(right.substr(std::min(prefix.size(), right.size())));
    const auto merged_id = vocabulary_->Find(merged);
    if (!left_id || !right_id || !merged_id) {
      const std::string_view missing = !left_id ? left : !right_id ? right : std::string_view(merged);
      return DataLoss("merge " + std::to_string(rank) + " (" + Quoted(left) + " and " + Quoted(right) +
                      ") needs the token " + Quoted(missing) + ", which is not in the vocabulary");
    }
    merges_.Set(*left_id, *right_id, {static_cast<std::int32_t>(rank), *merged_id});
    joins_words = joins_words || JoinsWords(left, right);
  }
  set_words_are_independent(!joins_words && !options_.ignore_merges && prefix.empty() &&
                            options_.end_of_word_suffix.empty() && vocabulary_->Find(kMetaspace).has_value());
  return OkStatus();
}

void BpeModel::EncodeWord(std::string_view word, MergeScratch* scratch, std::vector<TokenId>* ids) const {
  if (options_.ignore_merges) {
    if (const auto id = vocabulary_->Find(word)) {
      ids->push_back(*id);
      return;
    }
  }
  scratch->symbols.clear();
  AddCharacters(word, scratch);
  MergeSymbols(scratch,
               [&](const Symbol& left, const Symbol& right) { return merges_.Find(left.id, right.id); });
  AppendMerged(*scratch, ids);
}

void BpeModel::AddCharacters(std::string_view word, MergeScratch* scratch) const {
  bool unknown = false;  // an unknown token waits: it may be fused with what follows
  Span unknown_text;
  const auto flush = [&] {
    if (unknown) scratch->AddSymbol(*unk_, unknown_text);
    unknown = false;
  };
  for (std::size_t offset = 0; offset < word.size();) {
    Span character{offset, offset};
    DecodeUtf8(word, &character.end);
    offset = character.end;
    if (const auto id = FindCharacter(word, character)) {
      flush();
      scratch->AddSymbol(*id, character);
    } else if (options_.byte_fallback && AddBytes(word, character, scratch)) {
      // Like the original, this does not flush: an unknown token that waits comes after the bytes.
    } else if (unk_) {
      if (!options_.fuse_unk) flush();
      if (!unknown) unknown_text = character;
      unknown_text.end = character.end;
      unknown = true;
    }
  }
  flush();
}

std::optional<TokenId> BpeModel::FindCharacter(std::string_view word, Span character) const {
  const bool has_prefix = character.begin > 0 && !options_.continuing_subword_prefix.empty();
  const bool has_suffix = character.end == word.size() && !options_.end_of_word_suffix.empty();
  if (has_prefix || has_suffix) {
    std::string text = has_prefix ? options_.continuing_subword_prefix : std::string();
    text += character.Of(word);
    if (has_suffix) text += options_.end_of_word_suffix;
    return vocabulary_->Find(text);
  }
  std::size_t offset = character.begin;
  const char32_t code_point = DecodeUtf8(word, &offset);
  if (code_point >= kTabulatedCharacters) return vocabulary_->Find(character.Of(word));
  if (characters_[code_point] < 0) return std::nullopt;
  return characters_[code_point];
}

bool BpeModel::AddBytes(std::string_view word, Span character, MergeScratch* scratch) const {
  const std::string_view text = character.Of(word);
  const auto token = [&](char byte) { return bytes_[static_cast<unsigned char>(byte)]; };
  if (std::any_of(text.begin(), text.end(), [&](char byte) { return token(byte) < 0; })) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    scratch->AddSymbol(token(text[i]), {character.begin + i, character.begin + i + 1});
  }
  return true;
}

std::string BpeModel::Describe() const {
  return "BPE, " + std::to_string(merges_.size()) + " merges" +
         (options_.byte_fallback ? ", byte fallback" : "");
}

}  // namespace reprise::tokenizer
