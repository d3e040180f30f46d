// SentencePiece's BPE: what may merge, and in which order, follows from the vocabulary's scores alone.
// Source: Kudo and Richardson 2018; the loop is that of bpe::Model in the SentencePiece library.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "models/tokenizer/subword_model.h"
#include "models/tokenizer/vocabulary.h"

namespace reprise::tokenizer {

class SpmModel final : public SubwordModel {
 public:
  // `scores[id]`: two neighbours merge if their texts together are a token, the highest score first. A
  // character without a token becomes its bytes' tokens, or `unk` where there are none. The vocabulary must
  // outlive the model. DATA_LOSS when there are fewer scores than tokens, or one is not a number.
  static Result<std::unique_ptr<SpmModel>> Create(const Vocabulary& vocabulary,
                                                  const std::vector<float>& scores,
                                                  std::optional<TokenId> unk);

  std::string Describe() const override;

 protected:
  void EncodeWord(std::string_view word, MergeScratch* scratch, std::vector<TokenId>* ids) const override;

 private:
  explicit SpmModel(const Vocabulary& vocabulary);
  void AppendBytes(std::string_view text, std::vector<TokenId>* ids) const;

  const Vocabulary* vocabulary_;
  std::vector<std::int32_t> ranks_;  // by id: 0 for the highest score, equal for equal scores
  std::optional<TokenId> unk_;
  std::array<TokenId, 256> bytes_;
  std::size_t longest_token_ = 0;  // bytes
};

}  // namespace reprise::tokenizer
