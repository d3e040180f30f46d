#include "models/tokenizer/spm_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/utf8.h"
#include "models/tokenizer/metaspace.h"

namespace reprise::tokenizer {
namespace {

constexpr TokenId kUnknownCharacter = -1;  // a symbol for which no token was found

std::vector<std::int32_t> RankScores(const std::vector<float>& scores) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  std::vector<std::int32_t> ranks(scores.size());
  std::int32_t rank = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && scores[order[i]] != scores[order[i - 1]]) ++rank;
    ranks[order[i]] = rank;
  }
  return ranks;
}

}  // namespace

SpmModel::SpmModel(const Vocabulary& vocabulary)
    : vocabulary_(&vocabulary), bytes_(FindByteTokens(vocabulary)) {
  bool independent = vocabulary.Find(kMetaspace).has_value();
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    const std::string_view text = vocabulary.Text(id);
    longest_token_ = std::max(longest_token_, text.size());
    if (EndOfFirstWord(text) != text.size()) independent = false;  // a token of several words
  }
  set_words_are_independent(independent);
}

Result<std::unique_ptr<SpmModel>> SpmModel::Create(const Vocabulary& vocabulary,
                                                   const std::vector<float>& scores,
                                                   std::optional<TokenId> unk) {
  if (scores.size() < static_cast<std::size_t>(vocabulary.size())) {
    return DataLoss("there are " + std::to_string(vocabulary.size()) + " tokens but only " +
                    std::to_string(scores.size()) + " scores");
  }
  const auto nan = std::find_if(scores.begin(), scores.end(), [](float score) { return std::isnan(score); });
  if (nan != scores.end()) {
    return DataLoss("the score of token " + std::to_string(nan - scores.begin()) + " is not a number");
  }
  std::unique_ptr<SpmModel> model(new SpmModel(vocabulary));
  model->ranks_ = RankScores(scores);
  model->unk_ = unk;
  return model;
}

void SpmModel::EncodeWord(std::string_view word, MergeScratch* scratch, std::vector<TokenId>* ids) const {
  scratch->symbols.clear();
  for (std::size_t offset = 0; offset < word.size();) {
    Span character{offset, offset};
    DecodeUtf8(word, &character.end);
    offset = character.end;
    scratch->AddSymbol(vocabulary_->Find(character.Of(word)).value_or(kUnknownCharacter), character);
  }
  MergeSymbols(scratch, [&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
    const Span both{left.text.begin, right.text.end};
    if (both.end - both.begin > longest_token_) return std::nullopt;
    const auto id = vocabulary_->Find(both.Of(word));
    if (!id) return std::nullopt;
    return Merge{ranks_[static_cast<std::size_t>(*id)], *id};
  });
  for (const Symbol& symbol : scratch->symbols) {
    if (symbol.merged_away) continue;
    if (symbol.id != kUnknownCharacter) {
      ids->push_back(symbol.id);
    } else {
      AppendBytes(symbol.text.Of(word), ids);
    }
  }
}

void SpmModel::AppendBytes(std::string_view text, std::vector<TokenId>* ids) const {
  for (const char byte : text) {
    const TokenId id = bytes_[static_cast<unsigned char>(byte)];
    if (id >= 0) {
      ids->push_back(id);
    } else if (unk_) {
      ids->push_back(*unk_);
      return;
    }
  }
}

std::string SpmModel::Describe() const {
  return "SentencePiece BPE by scores";
}

}  // namespace reprise::tokenizer
