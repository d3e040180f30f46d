// Everything renders as Hugging Face's own renderer does: see tests/data/chat_templates/README.md.
#include <cstdlib>
#include <ctime>
#include <map>
#include <string>

#include <catch2/catch.hpp>

#include "tests/unit/models/chat_template/template_cases.h"

namespace reprise {
namespace {

// The times in the golden files are UTC; strftime_now prints the time zone of the process.
void UseUtc() {
  setenv("TZ", "UTC", 1);
  tzset();
}

void CheckOutcome(const Result<std::string>& result, const Json& expected) {
  if (expected.contains("text")) {
    INFO(result.status().ToString());
    REQUIRE(result.ok());
    CHECK(*result == expected.at("text").get<std::string>());
    return;
  }
  REQUIRE_FALSE(result.ok());
  const std::string raised = expected.value("raised", "");
  INFO(result.status().message());
  CHECK(result.status().message().starts_with(raised));
}

TEST_CASE("Templates of every family render their conversations") {
  UseUtc();
  const Json golden = ReadJson("renders.json");
  std::map<std::string, std::string> sources;
  for (const Json& render : golden.at("renders")) {
    const std::string name = render.at("template");
    if (!sources.contains(name)) sources[name] = ReadText(kChatTemplateData + "templates/" + name);
    ChatTemplateInput input;
    input.messages = ToMessages(golden.at("conversations").at(render.at("conversation").get<std::string>()));
    input.add_generation_prompt = render.value("add_generation_prompt", false);
    input.continue_final_message = render.value("continue_final_message", false);
    input.bos_token = "<s>";
    input.eos_token = "</s>";
    input.variables = ToVariables(render.value("variables", Json::object()));
    input.now = golden.at("now").get<std::time_t>();
    INFO(render.dump().substr(0, 300));
    CheckOutcome(Render(sources.at(name), input), render.at("expected"));
  }
  CHECK(sources.size() >= 18);
}

TEST_CASE("Each rule of the language") {
  UseUtc();
  const Json golden = ReadJson("cases.json");
  ChatTemplateInput input;
  input.messages = ToMessages(golden.at("messages"));
  input.add_generation_prompt = false;
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  input.variables = ToVariables(golden.at("variables"));
  input.now = golden.at("now").get<std::time_t>();
  for (const Json& rule : golden.at("cases")) {
    INFO(rule.at("template").get<std::string>());
    CheckOutcome(Render(rule.at("template"), input), rule.at("expected"));
  }
}

}  // namespace
}  // namespace reprise
