// Finds the longest of many strings at a position of a text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace reprise::tokenizer {

class TokenTrie {
 public:
  struct Match {
    std::size_t value = 0;
    std::size_t length = 0;
  };

  // Does nothing when `text` is empty or there already: the first value of equal texts stays.
  void Insert(std::string_view text, std::size_t value);

  // The longest string that `text` starts with at `offset`.
  std::optional<Match> FindLongest(std::string_view text, std::size_t offset) const;

  // The first position at or after `offset` where a string may begin; text.size() when there is none.
  std::size_t SkipToCandidate(std::string_view text, std::size_t offset) const;

 private:
  using Node = std::uint32_t;
  static constexpr Node kRoot = 0;
  static std::uint64_t Edge(Node node, char byte) {
    return (std::uint64_t{node} << 8) | static_cast<unsigned char>(byte);
  }

  std::unordered_map<std::uint64_t, Node> edges_;
  std::vector<std::optional<std::size_t>> values_{std::nullopt};  // by node
  std::array<bool, 256> first_bytes_{};
};

}  // namespace reprise::tokenizer
