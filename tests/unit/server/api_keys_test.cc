#include "server/api_keys.h"

#include <catch2/catch.hpp>
#include <string>

#include "tests/unit/server/temp_file.h"

namespace reprise {
TEST_CASE("Without a key file nothing is asked for", "[api_keys]") {
  ApiKeys keys;
  REQUIRE(keys.Load("").ok());
  CHECK_FALSE(keys.required());
  CHECK(keys.Check("").ok());
  CHECK(keys.Reload().ok());
}

TEST_CASE("Keys are one a line; spaces, empty lines and comments do not count", "[api_keys]") {
  const TempFile file("# team a\n  alpha  \n\nbeta\r\n");
  ApiKeys keys;
  REQUIRE(keys.Load(file.path).ok());
  CHECK(keys.required());
  CHECK(keys.Check("Bearer alpha").ok());
  CHECK(keys.Check("Bearer beta").ok());
  for (const char* bad : {"", "alpha", "Bearer", "Bearer ", "Bearer alph", "Bearer alphaa", "Bearer gamma",
                          "Basic alpha", "Bearer # team a", "Bearer alphaalpha"}) {
    INFO(bad);
    CHECK(keys.Check(bad).code() == StatusCode::kUnauthenticated);
  }
}

TEST_CASE("A file without keys is an error, and so is none", "[api_keys]") {
  ApiKeys keys;
  const TempFile file("# nothing\n");
  CHECK(keys.Load(file.path).code() == StatusCode::kInvalidArgument);
  CHECK(keys.Load("/nowhere/keys").code() == StatusCode::kNotFound);
}

TEST_CASE("Reading again replaces the keys, or keeps them when it cannot", "[api_keys]") {
  const TempFile file("one\n");
  ApiKeys keys;
  REQUIRE(keys.Load(file.path).ok());
  file.Write("two\n");
  REQUIRE(keys.Reload().ok());
  CHECK_FALSE(keys.Check("Bearer one").ok());
  CHECK(keys.Check("Bearer two").ok());
  file.Write("\n");
  CHECK_FALSE(keys.Reload().ok());
  CHECK(keys.Check("Bearer two").ok());
}

}  // namespace reprise
