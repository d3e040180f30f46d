// Damaged templates: thousands of mutations end in text or in an error, within the limits. Under a sanitizer
// this is the search for memory errors.
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/unit/models/chat_template/template_cases.h"

namespace reprise {
namespace {

std::vector<std::string> Sources() {
  std::vector<std::string> sources;
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(kChatTemplateData + "templates")) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) sources.push_back(ReadText(path.string()));
  const Json cases = ReadJson("cases.json");
  for (const Json& rule : cases.at("cases")) sources.push_back(rule.at("template"));
  return sources;
}

// Small pieces that are likely to change the structure.
const std::vector<std::string> kPieces = {
    "{{",     "}}",       "{%",          "%}",       "{#",        "#}",       "-",           "+",
    "(",      ")",        "[",           "]",        "{",         "}",        "|",           ".",
    ",",      ":",        "=",           "==",       "'",         "\"",       "\\",          "\n",
    " ",      "~",        "*",           "**",       "//",        "%",        "0",           "9999",
    "-1",     "1e9",      "not ",        " in ",     " is ",      " if ",     "else",        "for",
    "set ",   "endfor",   "endif",       "loop",     "loop.last", "messages", "none",        "x",
    "|list",  "|join",    "|tojson",     "|length",  "[::-1]",    "[0]",      ".items()",    "|sort",
    "|first", "range(9)", "namespace()", "caller()", "\xC3",      "\xF0\x9F", "\xE2\x80\xA8"};

std::string Mutate(const std::vector<std::string>& sources, std::mt19937* random) {
  const auto below = [random](std::size_t n) { return static_cast<std::size_t>((*random)() % n); };
  std::string text = sources[below(sources.size())];
  const std::size_t edits = 1 + below(2);
  for (std::size_t i = 0; i < edits; ++i) {
    const std::size_t at = below(text.size() + 1);
    const std::size_t length = std::min(text.size() - at, below(12));
    switch (below(5)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text.insert(at, kPieces[below(kPieces.size())]);
        break;
      case 2:
        text.replace(at, length, kPieces[below(kPieces.size())]);
        break;
      case 3:
        text.insert(at, text.substr(below(text.size() + 1), below(60)));
        break;
      default: {
        const std::string& other = sources[below(sources.size())];
        text.insert(at, other.substr(below(other.size() + 1), below(80)));
      }
    }
  }
  return text;
}

TEST_CASE("Mutated templates render or fail, and do not crash") {
  const std::vector<std::string> sources = Sources();
  const Json golden = ReadJson("cases.json");
  ChatTemplateInput input;
  input.messages = ToMessages(golden.at("messages"));
  input.variables = ToVariables(golden.at("variables"));
  ChatTemplateLimits limits;
  limits.max_steps = 200'000;
  limits.max_output_bytes = 1 << 20;
  std::mt19937 random(20240607);
  int rendered = 0, failed = 0;
  for (int i = 0; i < 6000; ++i) {
    const std::string source = Mutate(sources, &random);
    const Result<std::string> result = Render(source, input, limits);
    if (result.ok()) {
      ++rendered;
      REQUIRE(result->size() <= limits.max_output_bytes);
    } else {
      ++failed;
      INFO(source);
      const StatusCode code = result.status().code();
      REQUIRE((code == StatusCode::kInvalidArgument || code == StatusCode::kResourceExhausted));
      REQUIRE(result.status().message().find("line ") != std::string::npos);
    }
  }
  // Mutations that only ever failed would test nothing but the parser.
  CHECK(rendered > 500);
  CHECK(failed > 500);
}

}  // namespace
}  // namespace reprise
