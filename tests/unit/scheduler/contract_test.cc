// docs/engine-contract.md and the tests cite each other.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace reprise {
namespace {

using Citations = std::map<std::string, std::set<std::string>>;  // invariant -> test files, without extension

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path);
  REQUIRE(file.good());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// What stands between each `open` and the next `close` behind it.
std::vector<std::string> Between(const std::string& text, const std::string& open, const std::string& close) {
  std::vector<std::string> found;
  for (std::size_t at = text.find(open); at != std::string::npos; at = text.find(open, at + 1)) {
    const std::size_t begin = at + open.size();
    const std::size_t end = text.find(close, begin);
    if (end != std::string::npos) found.push_back(text.substr(begin, end - begin));
  }
  return found;
}

// S, E or D and a number.
bool IsInvariant(const std::string& text) {
  return text.size() >= 2 && (text[0] == 'S' || text[0] == 'E' || text[0] == 'D') &&
         text.find_first_not_of("0123456789", 1) == std::string::npos;
}

// Lines of the page that begin "- **S1** ...", with the tests they name.
Citations ReadContract() {
  Citations contract;
  std::istringstream page(ReadFile("docs/engine-contract.md"));
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("- **")) continue;
    const std::string number = Between(line, "**", "**").at(0);
    INFO("invariant " << number);
    REQUIRE(IsInvariant(number));
    REQUIRE(contract.count(number) == 0);
    for (const std::string& name : Between(line, "`", "`")) {
      if (name.ends_with("_test")) contract[number].insert(name);
    }
    REQUIRE(contract.count(number) == 1);
  }
  return contract;
}

// Invariants that test sources cite: as a tag or, before a colon, as the first word of a test's name.
Citations ReadCitations() {
  Citations citations;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("tests")) {
    if (entry.path().extension() != ".cc") continue;
    const std::string source = ReadFile(entry.path());
    for (const auto& found : {Between(source, "[", "]"), Between(source, "TEST_CASE(\"", ":")}) {
      for (const std::string& text : found) {
        if (IsInvariant(text)) citations[text].insert(entry.path().stem().string());
      }
    }
  }
  return citations;
}

}  // namespace

TEST_CASE("Every invariant of the contract is cited by the tests it names, and by no others", "[scheduler]") {
  const Citations contract = ReadContract();
  const Citations citations = ReadCitations();
  CHECK(contract.size() >= 41);
  for (const auto& [number, tests] : contract) {
    INFO("invariant " << number);
    const auto cited = citations.find(number);
    REQUIRE(cited != citations.end());
    CHECK(cited->second == tests);
  }
  for (const auto& [number, tests] : citations) {
    INFO("citation of " << number << " in " << *tests.begin());
    CHECK(contract.count(number) == 1);
  }
}

}  // namespace reprise
