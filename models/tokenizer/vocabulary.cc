#include "models/tokenizer/vocabulary.h"

#include <bit>
#include <functional>

#include "base/check.h"
#include "models/formats/quoted.h"

namespace reprise::tokenizer {

void TokenStrings::Set(TokenId id, std::string_view text) {
  REPRISE_CHECK(id >= 0 && id <= kMaxTokenId && !Has(id));
  if (id >= size()) entries_.resize(Index(id) + 1);
  entries_[Index(id)] = {bytes_.size(), text.size()};
  bytes_.append(text);
}

std::string_view TokenStrings::Get(TokenId id) const {
  const Entry& entry = entries_[Index(id)];
  if (entry.offset == kAbsent) return {};
  return std::string_view(bytes_).substr(entry.offset, entry.length);
}

void TokenStrings::Reserve(std::size_t ids, std::size_t bytes) {
  entries_.reserve(ids);
  bytes_.reserve(bytes);
}

Status Vocabulary::Add(std::string_view text, std::int64_t id) {
  if (id < 0 || id > kMaxTokenId) {
    return DataLoss("token " + Quoted(text) + " has the id " + std::to_string(id) + "; ids are 0 to " +
                    std::to_string(kMaxTokenId));
  }
  const auto token = static_cast<TokenId>(id);
  if (Has(token)) {
    return DataLoss("the tokens " + Quoted(Text(token)) + " and " + Quoted(text) + " both have the id " +
                    std::to_string(id));
  }
  std::size_t slot = FindSlot(text);
  if (slots_[slot] != kFree) {
    return DataLoss("token " + Quoted(text) + " has two ids, " + std::to_string(slots_[slot]) + " and " +
                    std::to_string(id));
  }
  texts_.Set(token, text);
  slots_[slot] = token;
  ++count_;
  if (static_cast<std::size_t>(count_) * 2 > slots_.size()) Rehash(slots_.size() * 2);
  return OkStatus();
}

std::optional<TokenId> Vocabulary::Find(std::string_view text) const {
  const TokenId id = slots_[FindSlot(text)];
  if (id == kFree) return std::nullopt;
  return id;
}

void Vocabulary::Reserve(std::size_t tokens, std::size_t bytes) {
  texts_.Reserve(tokens, bytes);
  Rehash(std::bit_ceil(tokens * 2 + 16));
}

std::size_t Vocabulary::FindSlot(std::string_view text) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = std::hash<std::string_view>()(text) & mask;
  while (slots_[slot] != kFree && texts_.Get(slots_[slot]) != text) slot = (slot + 1) & mask;
  return slot;
}

void Vocabulary::Rehash(std::size_t slots) {
  slots_.assign(slots, kFree);
  for (TokenId id = 0; id < texts_.size(); ++id) {
    if (texts_.Has(id)) slots_[FindSlot(texts_.Get(id))] = id;
  }
}

}  // namespace reprise::tokenizer
