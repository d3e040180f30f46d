#include "base/scratch_dir.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace reprise {
namespace {

TEST_CASE("A scratch directory is new, and goes with all it holds", "[base]") {
  std::string path;
  {
    const auto first = ScratchDir::Create();
    const auto second = ScratchDir::Create();
    REQUIRE(first.ok());
    REQUIRE(second.ok());
    path = (*first)->path();
    CHECK(path != (*second)->path());
    CHECK(std::filesystem::is_empty(path));
    std::filesystem::create_directory(path + "/folder");
    std::ofstream(path + "/folder/file") << "text";
    CHECK(std::filesystem::exists(path + "/folder/file"));
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("Where no scratch directory can be made, the message names the place", "[base]") {
  const auto place = ScratchDir::Create();
  REQUIRE(place.ok());
  const char* old = std::getenv("TMPDIR");
  const std::string before = old != nullptr ? old : "";
  setenv("TMPDIR", ((*place)->path() + "/nowhere").c_str(), 1);
  const auto made = ScratchDir::Create();
  old != nullptr ? setenv("TMPDIR", before.c_str(), 1) : unsetenv("TMPDIR");
  REQUIRE_FALSE(made.ok());
  CHECK(made.status().code() == StatusCode::kUnavailable);
  CHECK(made.status().message().find("nowhere") != std::string::npos);
}

}  // namespace
}  // namespace reprise
