#include "server/json.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "server/json_reader.h"
#include "server/json_writer.h"

namespace reprise {
namespace {

std::string ParseError(const std::string& text) {
  const Result<Json> json = ParseJson(text);
  REQUIRE_FALSE(json.ok());
  return json.status().message();
}

std::string Nested(int depth) {
  return std::string(static_cast<std::size_t>(depth), '[') +
         std::string(static_cast<std::size_t>(depth), ']');
}

}  // namespace

TEST_CASE("What is JSON is read", "[json]") {
  const Result<Json> json = ParseJson(R"( {"a": [1, -2, 3.5, "x\u00e9", true, null, {}], "b": {"c": []}} )");
  REQUIRE(json.ok());
  CHECK(json->dump() == R"({"a":[1,-2,3.5,"xé",true,null,{}],"b":{"c":[]}})");
  CHECK(ParseJson("7").ok());
  CHECK(ParseJson(Nested(kMaxJsonDepth)).ok());
}

TEST_CASE("What is not JSON is refused, with the place", "[json]") {
  CHECK(ParseError("{\"a\": 1,\n \"b\" 2}").find("line 2, column 6") != std::string::npos);
  CHECK(ParseError("{\"a\": nul}").find("line 1") != std::string::npos);
  CHECK(ParseError("") == "the request body is empty; a JSON object is needed");
  CHECK(ParseError("{\"a\":1}x").find("invalid JSON") != std::string::npos);
  CHECK(ParseError("{\"a\":\"\xFF\"}").find("not valid UTF-8 at byte 6") != std::string::npos);
  CHECK(ParseError("\xEF\xBB\xBF{").find("invalid JSON") != std::string::npos);
}

TEST_CASE("Duplicate keys and deep nesting are refused", "[json]") {
  CHECK(ParseError(R"({"a":1,"b":{"c":1,"c":2}})") == "duplicate key 'c'");
  CHECK(ParseJson(R"([{"a":1},{"a":2}])").ok());
  CHECK(ParseError(Nested(kMaxJsonDepth + 1)).find("deeper than 64") != std::string::npos);
}

TEST_CASE("The reader takes what has the right type", "[json]") {
  const Json json =
      ParseJson(R"({"d":1.5,"i":16.0,"b":true,"s":"x","n":null,"l":[1,2],"t":"one","u":["a","b"]})").value();
  JsonReader reader(json, "");
  std::optional<double> d;
  std::optional<std::int64_t> i, n;
  bool b = false;
  std::optional<std::string> s;
  std::vector<std::int64_t> l;
  std::vector<std::string> t, u;
  reader.Read("d", &d);
  reader.Read("i", &i);
  reader.Read("n", &n);
  reader.Read("b", &b);
  reader.Read("s", &s);
  reader.Read("l", &l);
  reader.Read("t", &t);
  reader.Read("u", &u);
  REQUIRE(reader.Finish().ok());
  CHECK(d == 1.5);
  CHECK(i == 16);
  CHECK_FALSE(n.has_value());
  CHECK(b);
  CHECK(s == "x");
  CHECK(l == std::vector<std::int64_t>{1, 2});
  CHECK(t == std::vector<std::string>{"one"});
  CHECK(u == std::vector<std::string>{"a", "b"});
}

TEST_CASE("The reader's first mistake is the one reported", "[json]") {
  const Json json = ParseJson(R"({"a":"x","b":"y"})").value();
  JsonReader reader(json, "outer.");
  std::optional<double> a;
  bool b = false;
  reader.Read("a", &a);
  reader.Read("b", &b);
  const Status status = reader.Finish();
  CHECK(status.message() == "'outer.a' must be a number, got a string: \"x\"");
  CHECK(status.param() == "outer.a");
}

TEST_CASE("The reader refuses what nobody asked for", "[json]") {
  const Json json = ParseJson(R"({"temprature":1})").value();
  JsonReader reader(json, "");
  std::optional<double> temperature;
  reader.Read("temperature", &temperature);
  CHECK(reader.Finish().message() == "unknown field 'temprature'; did you mean 'temperature'?");
}

TEST_CASE("Long values are cut in messages, at a character", "[json]") {
  Json json;
  std::string text(61, 'a');
  for (int i = 0; i < 50; ++i) text += "\u20ac";
  json["a"] = text;
  JsonReader reader(json, "");
  std::optional<double> a;
  reader.Read("a", &a);
  const std::string message = reader.Finish().message();
  CHECK(message.size() < 130);
  CHECK(ParseJson("\"" + message.substr(message.size() - 10) + "\"").ok());
}

TEST_CASE("Whole numbers of 64 bits only", "[json]") {
  std::int64_t out = 0;
  CHECK(ToInteger(Json(std::numeric_limits<std::int64_t>::min()), &out));
  CHECK(out == std::numeric_limits<std::int64_t>::min());
  CHECK_FALSE(ToInteger(Json(std::numeric_limits<std::uint64_t>::max()), &out));
  CHECK_FALSE(ToInteger(Json(1.5), &out));
  CHECK_FALSE(ToInteger(Json(1e18), &out));
  CHECK_FALSE(ToInteger(Json(true), &out));
}

TEST_CASE("Strings are escaped so that any parser reads them back", "[json]") {
  std::string text;
  for (int c = 1; c < 0x80; ++c) text += static_cast<char>(c);
  text += "\u00e9\u20ac\U0001F600";
  std::string out;
  AppendJsonString(text, &out);
  CHECK(Json::parse(out).get<std::string>() == text);
  out.clear();
  AppendJsonString(std::string_view("a\0b", 3), &out);
  CHECK(out == "\"a\\u0000b\"");
}

TEST_CASE("Numbers read back the same", "[json]") {
  for (double value : {0.0, -0.5, 0.1, 1e-300, 12345678.9, 1e21}) {
    std::string out;
    AppendJsonNumber(value, &out);
    CHECK(Json::parse(out).get<double>() == value);
  }
  std::string out;
  AppendJsonNumber(0.1f, &out);
  CHECK(out == "0.1");
  out.clear();
  AppendJsonNumber(std::numeric_limits<double>::quiet_NaN(), &out);
  AppendJsonNumber(-std::numeric_limits<float>::infinity(), &out);
  CHECK(out == "nullnull");
  out.clear();
  AppendJsonNumber(std::numeric_limits<std::int64_t>::min(), &out);
  CHECK(out == "-9223372036854775808");
}

}  // namespace reprise
