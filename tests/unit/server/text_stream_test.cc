#include "server/text_stream.h"

#include <catch2/catch.hpp>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "models/tokenizer/tokenizer.h"

namespace reprise {
namespace {

const Tokenizer& TinyTokenizer() {
  static const std::unique_ptr<Tokenizer> tokenizer =
      std::move(Tokenizer::Load("tests/data/models/smollm2")).value();
  return *tokenizer;
}

// One token a byte, whatever the merges.
std::vector<TokenId> Bytes(std::string_view text) {
  std::vector<TokenId> ids;
  for (char c : text) {
    TokenId found = -1;
    for (TokenId id = 0; id < TinyTokenizer().vocab_size() && found < 0; ++id) {
      if (!TinyTokenizer().IsSpecial(id) && TinyTokenizer().TokenBytes(id) == std::string_view(&c, 1))
        found = id;
    }
    REQUIRE(found >= 0);
    ids.push_back(found);
  }
  return ids;
}

struct Streamed {
  std::vector<std::string> pieces;
  std::string text;
  bool stopped = false;
  std::string stop;
};

Streamed Stream(const std::vector<TokenId>& ids, TextStreamOptions options) {
  TextStream stream(TinyTokenizer(), std::move(options));
  Streamed out;
  for (TokenId id : ids) {
    if (stream.stopped()) break;
    out.pieces.push_back(stream.Append(id));
  }
  out.pieces.push_back(stream.Finish());
  for (const std::string& piece : out.pieces) {
    CHECK(FindInvalidUtf8(piece) == std::string::npos);
    out.text += piece;
  }
  out.stopped = stream.stopped();
  out.stop = stream.stop_string();
  return out;
}

// What Stream must give for the text, by the plainest reading of the rule: look at every prefix.
Streamed Expected(const std::string& text, const TextStreamOptions& options) {
  Streamed out;
  for (std::size_t end = 1; end <= text.size(); ++end) {
    const std::string prefix = text.substr(0, end);
    for (const std::string& stop : options.stop) {
      if (!prefix.ends_with(stop) || (out.stopped && stop.size() <= out.stop.size())) continue;
      out.stopped = true;
      out.stop = stop;
    }
    if (!out.stopped) continue;
    out.text = options.include_stop ? prefix : prefix.substr(0, end - out.stop.size());
    return out;
  }
  out.text = text;
  return out;
}

}  // namespace

TEST_CASE("A stop string across tokens is found and cut off", "[text_stream]") {
  const Streamed got = Stream(Bytes("hello END there"), {.stop = {"END"}});
  CHECK(got.text == "hello ");
  CHECK(got.stopped);
  CHECK(got.stop == "END");
}

TEST_CASE("A stop string stays when it is wanted", "[text_stream]") {
  const Streamed got = Stream(Bytes("hello END there"), {.stop = {"END"}, .include_stop = true});
  CHECK(got.text == "hello END");
  CHECK(got.stopped);
}

TEST_CASE("Text that may begin a stop string is held back, and given when it does not", "[text_stream]") {
  TextStream stream(TinyTokenizer(), {.stop = {"abcd"}});
  const std::vector<TokenId> ids = Bytes("xabcabce");
  std::vector<std::string> pieces;
  for (TokenId id : ids) pieces.push_back(stream.Append(id));
  CHECK(pieces == std::vector<std::string>{"x", "", "", "", "abc", "", "", "abce"});
  CHECK_FALSE(stream.stopped());
}

TEST_CASE("What is held back at the end belongs to the text", "[text_stream]") {
  const Streamed got = Stream(Bytes("now EN"), {.stop = {"END"}});
  CHECK(got.text == "now EN");
  CHECK_FALSE(got.stopped);
}

TEST_CASE("The stop string that ends first wins, and among those the longest", "[text_stream]") {
  CHECK(Stream(Bytes("xabcy"), {.stop = {"bc", "ab"}}).stop == "ab");
  CHECK(Stream(Bytes("xabcy"), {.stop = {"c", "abc", "bc"}}).stop == "abc");
  CHECK(Stream(Bytes("xabcy"), {.stop = {"c", "abc", "bc"}}).text == "x");
}

TEST_CASE("Stop strings of several bytes a character", "[text_stream]") {
  CHECK(Stream(Bytes("gr\u00fc\u00df dich"), {.stop = {"\u00df"}}).text == "gr\u00fc");
  // Shares its first byte with what comes: only whole characters match.
  CHECK(Stream(Bytes("a\u00fcb"), {.stop = {"\u00fd"}}).text == "a\u00fcb");
  CHECK(Stream(Bytes("a\U0001F600b"), {.stop = {"\U0001F600"}}).text == "a");
}

TEST_CASE("A stop string must end after min_tokens", "[text_stream]") {
  CHECK(Stream(Bytes("ab ab ab"), {.stop = {"ab"}, .min_tokens = 2}).text == "ab ");
  CHECK(Stream(Bytes("ab ab ab"), {.stop = {"ab"}, .min_tokens = 1}).text == "");
  CHECK(Stream(Bytes("ab ab"), {.stop = {"ab"}, .min_tokens = 5}).text == "ab ab");
}

TEST_CASE("Characters come whole", "[text_stream]") {
  TextStream stream(TinyTokenizer(), {});
  const std::vector<TokenId> ids = Bytes("\u20ac!");
  CHECK(stream.Append(ids[0]).empty());
  CHECK(stream.num_characters() == 0);
  CHECK(stream.Append(ids[1]).empty());
  CHECK(stream.Append(ids[2]) == "\u20ac");
  CHECK(stream.num_characters() == 1);
  CHECK(stream.Append(ids[3]) == "!");
  CHECK(stream.num_characters() == 2);
}

TEST_CASE("An unfinished character becomes a replacement character", "[text_stream]") {
  CHECK(Stream(Bytes("a\xE2\x82"), {}).text == "a\uFFFD");
}

TEST_CASE("Special tokens show only when asked for", "[text_stream]") {
  std::vector<TokenId> ids = Bytes("ab");
  ids.insert(ids.begin() + 1, TinyTokenizer().FindToken("<|user|>").value());
  CHECK(Stream(ids, {}).text == "ab");
  CHECK(Stream(ids, {.stop = {}, .skip_special_tokens = false}).text == "a<|user|>b");
}

TEST_CASE("An id beyond the tokenizer's vocabulary has no text", "[text_stream]") {
  std::vector<TokenId> ids = Bytes("ab");
  ids.insert(ids.begin() + 1, TinyTokenizer().vocab_size() + 7);
  CHECK(Stream(ids, {}).text == "ab");
  CHECK(TokenAsText(TinyTokenizer(), TinyTokenizer().vocab_size()).empty());
}

TEST_CASE("Nothing follows a stop", "[text_stream]") {
  TextStream stream(TinyTokenizer(), {.stop = {"b"}});
  for (TokenId id : Bytes("ab")) stream.Append(id);
  REQUIRE(stream.stopped());
  CHECK(stream.Append(Bytes("c")[0]).empty());
  CHECK(stream.Finish().empty());
}

TEST_CASE("However text is cut into tokens, the stream is the same", "[text_stream]") {
  std::mt19937 random(7);
  const std::vector<std::string> letters = {"t", "h", "e", " ", "an", "d", "\u00e9", "i", "n"};
  for (int round = 0; round < 400; ++round) {
    std::string text;
    for (int i = 0; i < 30; ++i) text += letters[random() % letters.size()];
    TextStreamOptions options;
    for (std::size_t i = 0, n = random() % 4; i < n; ++i) {
      std::string stop;
      for (std::size_t k = 0, length = 1 + random() % 3; k < length; ++k)
        stop += letters[random() % letters.size()];
      options.stop.push_back(stop);
    }
    options.include_stop = random() % 2 == 0;
    const std::vector<TokenId> merged = TinyTokenizer().Encode(text).value();
    const Streamed by_token = Stream(merged, options);
    const Streamed by_byte = Stream(Bytes(text), options);
    const Streamed expected = Expected(text, options);
    INFO("text '" << text << "' stops " << options.stop.size() << " first '"
                  << (options.stop.empty() ? "" : options.stop[0]) << "'");
    CHECK(by_byte.text == expected.text);
    CHECK(by_token.text == expected.text);
    CHECK(by_token.stopped == expected.stopped);
    CHECK(by_byte.stop == expected.stop);
    CHECK(by_token.stop == expected.stop);
  }
}

TEST_CASE("CountCharacters counts code points", "[text_stream]") {
  CHECK(CountCharacters("") == 0);
  CHECK(CountCharacters("a\u00e9\u20ac\U0001F600") == 4);
}

}  // namespace reprise
