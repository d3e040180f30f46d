// configs/serve.yaml lists every setting of `reprise serve` with its default and a comment.
#include <catch2/catch.hpp>
#include <fstream>
#include <string>
#include <vector>

#include "cli/serve_flags.h"
#include "cli/yaml_config.h"

namespace reprise {
namespace {

TEST_CASE("configs/serve.yaml equals the flags", "[cli]") {
  ServeFlags values;
  Flags flags("reprise serve", "Serve");
  values.Declare(&flags);
  const auto config = ReadYamlConfig("configs/serve.yaml");
  INFO(config.status().ToString());
  REQUIRE(config.ok());

  std::ifstream file("configs/serve.yaml");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  std::size_t keys = 0;
  for (const Flags::Flag& flag : flags.flags()) {
    INFO(flag.name);
    bool found = false;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (!lines[i].starts_with(flag.name + ":")) continue;
      found = true;
      CHECK((i > 0 && lines[i - 1].starts_with("# ")));
    }
    CHECK(found);
    keys += found;
    // A key without a value leaves the default, which is how an empty default is written.
    CHECK((config->contains(flag.name) ? config->at(flag.name) : std::string()) == flag.default_text);
  }
  std::size_t entries = 0;
  for (const std::string& line : lines) entries += !line.empty() && line[0] != '#';
  CHECK(entries == keys);
}

}  // namespace
}  // namespace reprise
