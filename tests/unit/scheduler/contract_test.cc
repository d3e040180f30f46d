// docs/engine-contract.md and the tests cite each other.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

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

std::vector<std::string> FindAll(const std::string& text, const char* pattern) {
  const std::regex regex(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end; ++it)
    found.push_back((*it)[1]);
  return found;
}

// Lines of the page that begin "- **S1** ...", with the tests they name.
Citations ReadContract() {
  Citations contract;
  std::istringstream page(ReadFile("docs/engine-contract.md"));
  for (std::string line; std::getline(page, line);) {
    const auto number = FindAll(line, R"(^- \*\*([A-Z][0-9]+)\*\* )");
    if (number.empty()) continue;
    INFO("invariant " << number[0]);
    REQUIRE(contract.count(number[0]) == 0);
    const auto tests = FindAll(line, "`([a-z_]+_test)`");
    contract[number[0]].insert(tests.begin(), tests.end());
  }
  return contract;
}

// Catch2 tags of the form S1 or E1 in all test sources.
Citations ReadTags() {
  Citations tags;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("tests")) {
    if (entry.path().extension() != ".cc") continue;
    for (const std::string& number : FindAll(ReadFile(entry.path()), R"(\[([SE][0-9]+)\])")) {
      tags[number].insert(entry.path().stem().string());
    }
  }
  return tags;
}

}  // namespace

TEST_CASE("Every invariant of the contract is cited by the tests it names, and by no others", "[scheduler]") {
  const Citations contract = ReadContract();
  const Citations tags = ReadTags();
  CHECK(contract.size() >= 24);
  for (const auto& [number, tests] : contract) {
    INFO("invariant " << number);
    CHECK_FALSE(tests.empty());
    const auto cited = tags.find(number);
    REQUIRE(cited != tags.end());
    CHECK(cited->second == tests);
  }
  for (const auto& [number, tests] : tags) {
    INFO("tag " << number << " in " << *tests.begin());
    CHECK(contract.count(number) == 1);
  }
}

}  // namespace reprise
