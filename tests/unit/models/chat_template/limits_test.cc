// Hostile templates end with an error, soon, and without filling memory or the stack.
#include <string>

#include <catch2/catch.hpp>

#include "tests/unit/models/chat_template/template_cases.h"

namespace reprise {
namespace {

std::string Times(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

StatusCode Outcome(const std::string& source) {
  return Render(source).status().code();
}

TEST_CASE("Text that would not fit is never made") {
  for (const char* source : {
           "{{ 'a' * 10**12 }}",
           "{{ 'a' * 9223372036854775807 }}",
           "{% set ns = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s "
           "%}{% endfor %}",
           "{% set ns = namespace(s='aaaa') %}{% for i in range(60) %}{% set ns.s = ns.s | replace('a', "
           "'aa') %}{% endfor %}",
           "{{ ('a' * 10**7) | replace('', 'b' * 1000) }}",
           "{{ ('b' * 10**6).join('a' * 10**5) }}",
           "{{ ' ' * 10**6 ~ ('x\n' * 10**6) | indent(10**9) }}",
           "{{ '%1000000s' % 'a' * 1000 }}",
           "{{ 'a'.center(10**15) }}",
           "{{ ([['x'] * 1000] * 1000) | tojson(indent=10**6) }}",
           "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor "
           "%}{{ ns.l }}",
       }) {
    INFO(source);
    CHECK(Outcome(source) == StatusCode::kResourceExhausted);
  }
}

TEST_CASE("Work that would not end is given up") {
  const std::string loops =
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
  CHECK(Outcome(loops) == StatusCode::kResourceExhausted);
  for (const char* source : {
           "{{ range(10**9) }}",
           "{{ [1] * 10**9 }}",
           "{{ range(100000) | list | unique | list }}",
           "{% set s = 'ab' * 10**6 %}{% for i in range(100000) %}{{ s | length }}{% endfor %}",
           "{% set s = 'ab' * 10**6 %}{% for i in range(100000) %}{% if s == s ~ 'x' %}{% endif %}{% endfor "
           "%}",
           "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}"
           "{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}",
           "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}",
           "{% set s = 'a' * 10**6 %}{% for i in range(100000) %}{% if s in {s: 1} %}{% endif %}{% endfor %}",
           "{{ [1, 2] | sort(attribute='a,' * 10**7) }}",
           "{{ [1, 2] | map(attribute='a.' * 10**7) | list }}",
       }) {
    INFO(source);
    CHECK(Outcome(source) == StatusCode::kResourceExhausted);
  }
}

TEST_CASE("A search does not grow with the product of its texts") {
  // Quadratic, this would take about a minute for each of the finds.
  CHECK(*Render("{% set t = 'a' * 1000000 %}{% set p = 'a' * 500000 ~ 'b' %}{{ t.find(p) }}{{ p in t }}{{ "
                "t.rfind('b' ~ "
                "'a' * 500000) }}{{ t.count(p) }}") == "-1False-10");
}

TEST_CASE("Neither the parser nor a render nests without end") {
  for (const std::string& source : {
           "{{ " + Times("(", 50000) + "1" + Times(")", 50000) + " }}",
           "{{ " + Times("[", 50000) + Times("]", 50000) + " }}",
           "{{ " + Times("not ", 50000) + "1 }}",
           "{{ " + Times("-", 50000) + "1 }}",
           "{{ x" + Times(".y", 50000) + " }}",
           "{{ x" + Times("|trim", 50000) + " }}",
           "{{ x" + Times("()", 50000) + " }}",
           "{{ 1" + Times(" if 1 else 1", 20000) + " }}",
           Times("{% if 1 %}", 20000),
           Times("{% for x in y %}", 10000),
           "{% set " + Times("(", 50000) + "x" + Times(")", 50000) + " = 1 %}",
       }) {
    INFO(source.substr(0, 40));
    CHECK(Outcome(source) == StatusCode::kInvalidArgument);
  }
  CHECK(Outcome("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}") == StatusCode::kResourceExhausted);
  CHECK(Outcome("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}") == StatusCode::kResourceExhausted);
  CHECK(
      Outcome("{% macro m() %}{{ caller() }}{% endmacro %}{% macro n() %}{% call m() %}{{ n() }}{% endcall %}"
              "{% endmacro %}{{ n() }}") == StatusCode::kResourceExhausted);
  // Values too: taking one apart recurses, even to destroy it.
  CHECK(Outcome(
            "{% set ns = namespace(l=1) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}") ==
        StatusCode::kResourceExhausted);
}

TEST_CASE("Long chains are no nesting") {
  CHECK(*Render("{{ 0" + Times(" + 1", 20000) + " }}") == "20000");
  CHECK(Render("{{ ''" + Times(" ~ 'a'", 20000) + " }}")->size() == 20000);
  CHECK(*Render("{{ true" + Times(" and true", 20000) + " }}") == "True");
  CHECK(*Render("{% if 0 %}" + Times("{% elif 0 %}", 10000) + "{% else %}x{% endif %}") == "x");
}

TEST_CASE("A variable nested too deep is refused") {
  chat_template::Value value = 1;
  for (int i = 0; i < 500; ++i) value = chat_template::List{value};
  ChatTemplateInput input;
  input.variables = {{"deep", value}};
  CHECK(Render("x", input).status().code() == StatusCode::kResourceExhausted);
}

TEST_CASE("A source beyond its limit is refused") {
  ChatTemplateLimits limits;
  limits.max_source_bytes = 10;
  CHECK(Render("0123456789", {}, limits).ok());
  CHECK(Render("0123456789x", {}, limits).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("Objects may refer to each other in circles") {
  CHECK(*Render("{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = b %}{% macro m() %}{% "
                "endmacro %}"
                "{% set a.m = m %}{{ a.b.a.b is sameas b }}") == "True");
}

TEST_CASE("Integers do not overflow silently") {
  for (const char* source :
       {"{{ 9223372036854775807 + 1 }}", "{{ 2**63 }}", "{{ 10**10**10 }}", "{{ -9223372036854775807 - 2 }}",
        "{{ 4611686018427387904 * 2 }}", "{{ 1e300 | int }}"}) {
    INFO(source);
    CHECK(Outcome(source) == StatusCode::kInvalidArgument);
  }
  CHECK(*Render("{{ (-9223372036854775807 - 1) // 1 }}{{ (-9223372036854775807 - 1) % -1 }}") ==
        "-92233720368547758080");
}

}  // namespace
}  // namespace reprise
