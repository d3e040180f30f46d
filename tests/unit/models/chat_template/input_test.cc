// What a template sees of the request, and what a caller sees of a template's errors.
#include <string>

#include <catch2/catch.hpp>

#include "tests/unit/models/chat_template/template_cases.h"

namespace reprise {
namespace {

const std::string kEcho = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}";

ChatTemplateInput Continuing(std::string content) {
  ChatTemplateInput input;
  input.messages = {{"user", "q", ""}, {"assistant", std::move(content), ""}};
  input.add_generation_prompt = false;
  input.continue_final_message = true;
  return input;
}

TEST_CASE("Messages are dicts with role, content and perhaps name") {
  ChatTemplateInput input;
  input.messages = {{"user", "hi", ""}, {"user", "ho", "Ada"}};
  CHECK(*Render("{% for m in messages %}{{ m.keys() | list }}{% endfor %}", input) ==
        "['role', 'content']['role', 'content', 'name']");
}

TEST_CASE("Variables take precedence over what the input sets, but not over the messages") {
  ChatTemplateInput input;
  input.bos_token = "<s>";
  input.messages = {{"user", "hi", ""}};
  input.variables = {
      {"bos_token", "<b>"}, {"messages", "none"}, {"tools", chat_template::List{1}}, {"extra", 2}};
  CHECK(*Render("{{ bos_token }}{{ messages | length }}{{ tools }}{{ extra }}", input) == "<b>1[1]2");
}

TEST_CASE("A prompt to generate and a message to continue exclude each other") {
  ChatTemplateInput input = Continuing("a");
  input.add_generation_prompt = true;
  const Status status = Render(kEcho, input).status();
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(status.message().find("continue_final_message") != std::string::npos);
}

TEST_CASE("A continued message ends the text") {
  CHECK(*Render(kEcho + "<end>", Continuing("so far ")) == "[user]q[assistant]so far ");
  // A template that trims loses the message's trailing space, and the cut text with it.
  const std::string trims = "{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}<end>{% endfor %}";
  CHECK(*Render(trims, Continuing(" so far  ")) == "[user] q<end>[assistant] so far");
}

TEST_CASE("A message that the template drops cannot be continued") {
  for (const char* source :
       {"{{ messages[0].content }}", "{{ messages[-1].content | replace('E_FINAL', '') }}", "x"}) {
    INFO(source);
    CHECK(Render(source, Continuing("y")).status().code() == StatusCode::kInvalidArgument);
  }
  ChatTemplateInput nothing = Continuing("y");
  nothing.messages.clear();
  CHECK(Render(kEcho, nothing).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("An exception of the template begins with its own words") {
  const Status status = Render("line\n  {{ raise_exception('Only ' ~ 'users!') }}").status();
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(status.message() == "Only users! (chat template, line 2, column 21)");
}

TEST_CASE("An error names the innermost place") {
  const auto message = [](const char* source) { return Render(source).status().message(); };
  CHECK(message("{% if true %}\n {{ nope.attribute }}\n{% endif %}") ==
        "chat template, line 2, column 9: 'nope' is undefined");
  CHECK(message("é{{ 1 + 'a' }}") ==
        "chat template, line 1, column 7: unsupported operand types for +: 'int' and 'str'");
  CHECK(message("{% for x in [1] %}\n{{ x | nope }}{% endfor %}") ==
        "chat template, line 2, column 8: no filter named 'nope'");
  CHECK(message("{{ 'a' if }}") ==
        "chat template, line 1, column 11: unexpected end of the tag: an expression is missing");
}

TEST_CASE("A template can be rendered again and again") {
  const Result<ChatTemplate> parsed =
      ChatTemplate::Parse("{% set ns = namespace(n=0) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}");
  REQUIRE(parsed.ok());
  CHECK(*parsed.value().Render({}) == "1");
  CHECK(*parsed.value().Render({}) == "1");
}

}  // namespace
}  // namespace reprise
