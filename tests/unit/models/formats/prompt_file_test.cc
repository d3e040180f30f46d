#include "models/formats/prompt_file.h"

#include <catch2/catch.hpp>

#include "tests/unit/models/formats/temp_dir.h"

namespace reprise {

TEST_CASE("Prompts are read by either name, empty lines skipped", "[formats]") {
  const TempDir dir;
  const auto prompts = ReadPrompts(dir.Write("p.jsonl",
                                             "{\"prompt\": \"a\\nb\", \"id\": 7}\n\n"
                                             "{\"turns\": [\"c\", \"d\"]}\n{\"prompt\": \"e\"}"));
  INFO(prompts.status().ToString());
  REQUIRE(prompts.ok());
  CHECK(*prompts == std::vector<std::string>{"a\nb", "c", "e"});
}

TEST_CASE("What is no prompt is named with its line", "[formats]") {
  const TempDir dir;
  for (const char* line :
       {"{\"prompt\": 5}", "{\"turns\": []}", "{\"turns\": [5]}", "{}", "[\"a\"]", "{\"prompt\": "}) {
    INFO(line);
    const Status status =
        ReadPrompts(dir.Write("p.jsonl", std::string("{\"prompt\": \"a\"}\n") + line)).status();
    CHECK(status.code() == StatusCode::kDataLoss);
    CHECK(status.message().find("p.jsonl:2: ") != std::string::npos);
  }
  CHECK(ReadPrompts(dir.Write("p.jsonl", "\n")).status().code() == StatusCode::kInvalidArgument);
  CHECK(ReadPrompts(dir.path() + "/nowhere").status().code() == StatusCode::kNotFound);
}

}  // namespace reprise
