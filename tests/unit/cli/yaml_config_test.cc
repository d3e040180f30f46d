#include "cli/yaml_config.h"

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace reprise {
namespace {

Result<std::map<std::string, std::string>> Read(const std::string& text) {
  const auto path =
      std::filesystem::temp_directory_path() / ("reprise_yaml_" + std::to_string(std::rand()) + ".yaml");
  std::ofstream(path) << text;
  auto result = ReadYamlConfig(path.string());
  std::filesystem::remove(path);
  return result;
}

TEST_CASE("Scalars and lists become text", "[cli]") {
  const auto values =
      Read("port: 8001\nhost: 0.0.0.0\nallowed-origins: [a, b]\nempty:\nmetrics-open: true\n");
  REQUIRE(values.ok());
  CHECK(values->at("port") == "8001");
  CHECK(values->at("allowed-origins") == "a,b");
  CHECK(values->at("metrics-open") == "true");
  CHECK_FALSE(values->contains("empty"));
  CHECK(Read("# nothing\n\n# but comments\n")->empty());
}

TEST_CASE("Damaged files say where", "[cli]") {
  for (const char* text : {"port: [1, [2]]\n", "port: {a: 1}\n", "- port\n", "port: 1\nport: 2\n",
                           "a: b: c\n", "x: [1\n", "? [a]\n: 1\n"}) {
    INFO(text);
    const auto result = Read(text);
    REQUIRE_FALSE(result.ok());
    CHECK(result.status().message().find(".yaml") != std::string::npos);
  }
  CHECK(ReadYamlConfig("/nonexistent/c.yaml").status().code() == StatusCode::kNotFound);
}

}  // namespace
}  // namespace reprise
