#include "models/tokenizer/regex.h"

#include <catch2/catch.hpp>

namespace reprise::tokenizer {
namespace {

std::vector<Span> FindAll(const Regex& regex, std::string_view text) {
  std::vector<Span> matches;
  REQUIRE(regex.FindAll(text, &matches).ok());
  return matches;
}

TEST_CASE("matches are found in order and do not overlap") {
  const auto regex = Regex::Compile(R"(\p{L}+|\s)");
  REQUIRE(regex.ok());
  CHECK(FindAll(*regex, "é a1b") == std::vector<Span>{{0, 2}, {2, 3}, {3, 4}, {5, 6}});
}

TEST_CASE("empty matches neither loop nor follow another match") {
  const auto regex = Regex::Compile("x*");
  REQUIRE(regex.ok());
  CHECK(FindAll(*regex, "éxxb") == std::vector<Span>{{0, 0}, {2, 4}, {5, 5}});
  CHECK(FindAll(*regex, "") == std::vector<Span>{{0, 0}});
}

TEST_CASE("a literal matches itself only") {
  const auto regex = Regex::CompileLiteral("a.b*(\\[^$");
  REQUIRE(regex.ok());
  CHECK(FindAll(*regex, "aXb* a.b*(\\[^$").size() == 1);
}

TEST_CASE("a pattern that does not compile says why") {
  const auto regex = Regex::Compile("(unclosed");
  REQUIRE(regex.status().code() == StatusCode::kDataLoss);
  CHECK(regex.status().message().find("'(unclosed'") != std::string::npos);
}

TEST_CASE("catastrophic backtracking ends with an error") {
  const auto regex = Regex::Compile("(a|aa)+$");
  REQUIRE(regex.ok());
  std::vector<Span> matches;
  const Status status = regex->FindAll(std::string(200, 'a') + "b", &matches);
  CHECK(status.code() == StatusCode::kInvalidArgument);
}

TEST_CASE("so does a search that is quadratic in a long run") {
  const auto regex = Regex::Compile(R"(\s+$)");
  REQUIRE(regex.ok());
  std::vector<Span> matches;
  CHECK(regex->FindAll(std::string(200'000, ' ') + "x", &matches).code() == StatusCode::kInvalidArgument);
}

TEST_CASE("a long run is no catastrophe") {
  const auto regex = Regex::Compile(R"( ?\p{L}+|\s+(?!\S)|\s+)");
  REQUIRE(regex.ok());
  CHECK(FindAll(*regex, std::string(1'000'000, 'a')) == std::vector<Span>{{0, 1'000'000}});
  CHECK(FindAll(*regex, std::string(1'000'000, ' ') + "a").size() == 2);
}

}  // namespace
}  // namespace reprise::tokenizer
