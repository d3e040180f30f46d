#include "models/tokenizer/subword_model.h"

#include <span>

#include "models/tokenizer/metaspace.h"

namespace reprise::tokenizer {

void SubwordModel::Encode(std::string_view piece, EncodeScratch* scratch, std::vector<TokenId>* ids) const {
  while (!piece.empty()) {
    const std::string_view word =
        piece.substr(0, words_are_independent_ ? EndOfFirstWord(piece) : piece.size());
    if (!scratch->cache.AppendTo(word, ids)) {
      const std::size_t before = ids->size();
      EncodeWord(word, &scratch->merge, ids);
      scratch->cache.Insert(word, std::span<const TokenId>(*ids).subspan(before));
    }
    piece.remove_prefix(word.size());
  }
}

}  // namespace reprise::tokenizer
