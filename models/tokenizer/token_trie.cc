#include "models/tokenizer/token_trie.h"

namespace reprise::tokenizer {

void TokenTrie::Insert(std::string_view text, std::size_t value) {
  if (text.empty()) return;
  first_bytes_[static_cast<unsigned char>(text.front())] = true;
  Node node = kRoot;
  for (const char byte : text) {
    const auto [edge, added] = edges_.try_emplace(Edge(node, byte), static_cast<Node>(values_.size()));
    if (added) values_.emplace_back();
    node = edge->second;
  }
  if (!values_[node]) values_[node] = value;
}

std::optional<TokenTrie::Match> TokenTrie::FindLongest(std::string_view text, std::size_t offset) const {
  std::optional<Match> longest;
  Node node = kRoot;
  for (std::size_t i = offset; i < text.size(); ++i) {
    const auto edge = edges_.find(Edge(node, text[i]));
    if (edge == edges_.end()) break;
    node = edge->second;
    if (values_[node]) longest = Match{*values_[node], i + 1 - offset};
  }
  return longest;
}

std::size_t TokenTrie::SkipToCandidate(std::string_view text, std::size_t offset) const {
  while (offset < text.size() && !first_bytes_[static_cast<unsigned char>(text[offset])]) ++offset;
  return offset;
}

}  // namespace reprise::tokenizer
