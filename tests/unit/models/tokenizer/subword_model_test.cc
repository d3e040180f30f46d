// The merge loop and what the two models do around it.
#include <random>

#include <catch2/catch.hpp>

#include "models/tokenizer/bpe_model.h"
#include "models/tokenizer/spm_model.h"

namespace reprise::tokenizer {
namespace {

using Texts = std::vector<std::string>;

Vocabulary MakeVocabulary(const Texts& tokens) {
  Vocabulary vocabulary;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    REQUIRE(vocabulary.Add(tokens[id], static_cast<std::int64_t>(id)).ok());
  }
  return vocabulary;
}

Texts Encode(const SubwordModel& model, const Vocabulary& vocabulary, std::string_view piece) {
  EncodeScratch scratch(piece.size());
  std::vector<TokenId> ids;
  model.Encode(piece, &scratch, &ids);
  Texts tokens;
  for (const TokenId id : ids) tokens.emplace_back(vocabulary.Text(id));
  return tokens;
}

TEST_CASE("merges apply by rank, the leftmost first") {
  const Vocabulary vocabulary = MakeVocabulary({"a", "b", "c", "ab", "bc", "abc", "aa"});
  const auto model = BpeModel::Create(vocabulary, {{"b", "c"}, {"a", "b"}, {"a", "bc"}, {"a", "a"}}, {});
  REQUIRE(model.ok());
  CHECK(Encode(**model, vocabulary, "abc") == Texts{"abc"});
  CHECK(Encode(**model, vocabulary, "abab") == Texts{"ab", "ab"});
  CHECK(Encode(**model, vocabulary, "aaa") == Texts{"aa", "a"});
  CHECK(Encode(**model, vocabulary, "aaabc") == Texts{"aa", "abc"});
}

TEST_CASE("unknown characters: dropped, one token each, or fused") {
  const Vocabulary vocabulary = MakeVocabulary({"a", "b", "<unk>"});
  const auto encode = [&](BpeOptions options) {
    const auto model = BpeModel::Create(vocabulary, {}, std::move(options));
    REQUIRE(model.ok());
    return Encode(**model, vocabulary, "aééb");
  };
  CHECK(encode({}) == Texts{"a", "b"});
  CHECK(encode({.unk_token = "<unk>"}) == Texts{"a", "<unk>", "<unk>", "b"});
  CHECK(encode({.fuse_unk = true, .unk_token = "<unk>"}) == Texts{"a", "<unk>", "b"});
}

TEST_CASE("byte fallback needs every byte of a character") {
  const Vocabulary vocabulary = MakeVocabulary({"a", "<0xC3>", "<0xA9>", "<unk>"});
  const auto model = BpeModel::Create(vocabulary, {}, {.byte_fallback = true, .unk_token = "<unk>"});
  REQUIRE(model.ok());
  CHECK(Encode(**model, vocabulary, "aéa") == Texts{"a", "<0xC3>", "<0xA9>", "a"});
  CHECK(Encode(**model, vocabulary, "aèa") == Texts{"a", "<unk>", "a"});
}

TEST_CASE("ignore_merges takes a whole piece that is a token") {
  const Vocabulary vocabulary = MakeVocabulary({"a", "b", "ab", "aba"});
  for (const bool ignore_merges : {false, true}) {
    const auto model = BpeModel::Create(vocabulary, {{"a", "b"}}, {.ignore_merges = ignore_merges});
    REQUIRE(model.ok());
    CHECK(Encode(**model, vocabulary, "aba") == (ignore_merges ? Texts{"aba"} : Texts{"ab", "a"}));
  }
}

TEST_CASE("a merge may join two words, and then words are not looked at alone") {
  const Vocabulary vocabulary = MakeVocabulary({"a", "▁", "a▁", "▁a"});
  const auto model = BpeModel::Create(vocabulary, {{"a", "▁"}, {"▁", "a"}}, {});
  REQUIRE(model.ok());
  CHECK(Encode(**model, vocabulary, "a▁a") == Texts{"a▁", "a"});
  const auto without = BpeModel::Create(vocabulary, {{"▁", "a"}}, {});
  REQUIRE(without.ok());
  CHECK(Encode(**without, vocabulary, "a▁a") == Texts{"a", "▁a"});
}

TEST_CASE("merges that need a token that is not there are refused") {
  const Vocabulary vocabulary = MakeVocabulary({"a", "b"});
  const auto model = BpeModel::Create(vocabulary, {{"a", "b"}}, {});
  REQUIRE(model.status().code() == StatusCode::kDataLoss);
  CHECK(model.status().message().find("'ab'") != std::string::npos);
  CHECK(BpeModel::Create(vocabulary, {}, {.unk_token = "<unk>"}).status().code() == StatusCode::kDataLoss);
}

TEST_CASE("a merge line is read as the vocabulary allows") {
  const Vocabulary vocabulary = MakeVocabulary({"a", " ", "  "});
  using Pair = std::pair<std::string_view, std::string_view>;
  CHECK(SplitMergeLine("a  ", vocabulary) == Pair("a", " "));
  CHECK(SplitMergeLine("   ", vocabulary) == Pair(" ", " "));
  CHECK(SplitMergeLine("x y", vocabulary) == Pair("x", "y"));
  for (const char* line : {"", "a", " ", "a ", " a"})
    CHECK_FALSE(SplitMergeLine(line, vocabulary).has_value());
}

TEST_CASE("scores order SentencePiece's merges") {
  const Vocabulary vocabulary = MakeVocabulary({"<unk>", "a", "b", "c", "ab", "bc", "<0xC3>", "<0xA9>"});
  const auto encode = [&](float ab, float bc, std::string_view text) {
    const auto model = SpmModel::Create(vocabulary, {0, -9, -9, -9, ab, bc, 0, 0}, 0);
    REQUIRE(model.ok());
    return Encode(**model, vocabulary, text);
  };
  CHECK(encode(-1, -2, "abc") == Texts{"ab", "c"});
  CHECK(encode(-2, -1, "abc") == Texts{"a", "bc"});
  CHECK(encode(-1, -1, "abc") == Texts{"ab", "c"});
  CHECK(encode(-1, -1, "é") == Texts{"<0xC3>", "<0xA9>"});
  CHECK(encode(-1, -1, "z") == Texts{"<unk>"});
}

TEST_CASE("the word cache changes nothing") {
  const Vocabulary vocabulary = MakeVocabulary({"a", "b", "ab", "ba", "aba"});
  const auto model = BpeModel::Create(vocabulary, {{"a", "b"}, {"b", "a"}, {"ab", "a"}}, {});
  REQUIRE(model.ok());
  std::mt19937 random(4);
  EncodeScratch shared(16);  // few slots, so words evict each other
  for (int i = 0; i < 2000; ++i) {
    std::string word(1 + random() % 40, 'a');
    for (char& c : word) c = random() % 2 == 0 ? 'a' : 'b';
    EncodeScratch fresh(16);
    std::vector<TokenId> cached, computed;
    (*model)->Encode(word, &shared, &cached);
    (*model)->Encode(word, &fresh, &computed);
    CHECK(cached == computed);
  }
}

TEST_CASE("a vocabulary refuses what it has") {
  Vocabulary vocabulary = MakeVocabulary({"a", "b"});
  for (const auto& [text, id] : {std::pair("c", 1), {"a", 2}, {"c", -1}, {"c", kMaxTokenId + 1}}) {
    CHECK(vocabulary.Add(text, id).code() == StatusCode::kDataLoss);
  }
  REQUIRE(vocabulary.Add("c", 7).ok());
  CHECK(vocabulary.size() == 8);
  CHECK(vocabulary.count() == 3);
  CHECK_FALSE(vocabulary.Has(5));
  CHECK(vocabulary.Text(5).empty());
}

}  // namespace
}  // namespace reprise::tokenizer
