// Byte-pair encoding by a list of merges, as Hugging Face's `BPE` model does it.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "models/tokenizer/pair_table.h"
#include "models/tokenizer/subword_model.h"
#include "models/tokenizer/vocabulary.h"

namespace reprise::tokenizer {

struct BpeOptions {
  bool byte_fallback = false;  // an unknown character becomes its bytes' tokens "<0x00>" to "<0xFF>"
  bool fuse_unk = false;       // neighbouring unknown characters share one unknown token
  bool ignore_merges = false;  // a piece that is a token needs no merges
  std::string unk_token = {};  // empty: unknown characters disappear
  std::string continuing_subword_prefix = {};
  std::string end_of_word_suffix = {};
};

// The two tokens of a merge written as "a b". Tokens may contain spaces themselves: of several readings, the
// first one that the vocabulary allows. nullopt when there is no reading.
std::optional<std::pair<std::string_view, std::string_view>> SplitMergeLine(std::string_view line,
                                                                            const Vocabulary& vocabulary);

class BpeModel final : public SubwordModel {
 public:
  using TextPair = std::pair<std::string_view, std::string_view>;

  // `merges` in order of rank. The vocabulary must outlive the model. DATA_LOSS when a part or the result of
  // a merge, or the unknown token, is not in the vocabulary.
  static Result<std::unique_ptr<BpeModel>> Create(const Vocabulary& vocabulary,
                                                  const std::vector<TextPair>& merges, BpeOptions options);

  std::string Describe() const override;

 protected:
  void EncodeWord(std::string_view word, MergeScratch* scratch, std::vector<TokenId>* ids) const override;

 private:
  BpeModel(const Vocabulary& vocabulary, BpeOptions options);
  Status AddMerges(const std::vector<TextPair>& merges);
  // Fills scratch->symbols with one symbol a character (or its bytes).
  void AddCharacters(std::string_view word, MergeScratch* scratch) const;
  std::optional<TokenId> FindCharacter(std::string_view word, Span character) const;
  // False when a byte has no token.
  bool AddBytes(std::string_view word, Span character, MergeScratch* scratch) const;

  const Vocabulary* vocabulary_;
  BpeOptions options_;
  PairTable merges_;
  std::optional<TokenId> unk_;
  std::vector<TokenId> characters_;  // ids of the first code points, the ones that come most often; -1: none
  std::array<TokenId, 256> bytes_;   // ids of "<0x00>" to "<0xFF>"; -1: none
};

}  // namespace reprise::tokenizer
