#include "base/text.h"

#include <catch2/catch.hpp>
#include <vector>

namespace reprise {
namespace {

TEST_CASE("NearestName finds typos and nothing far away", "[base]") {
  const std::vector<std::string> names{"temperature", "top_p", "top_k", "max_tokens"};
  CHECK(NearestName("temprature", names) == "temperature");
  CHECK(NearestName("topp", names) == "top_p");
  CHECK(NearestName("max_token", names) == "max_tokens");
  CHECK(NearestName("zzzzzzzz", names).empty());
  CHECK(NearestName("--text", std::vector<std::string>{"--help"}).empty());
  CHECK(NearestName("prot", std::vector<std::string>{"port"}) == "port");
  CHECK(NearestName("sevre", std::vector<std::string>{"serve"}) == "serve");
  CHECK(NearestName(std::string(100000, 'a'), names).empty());
  CHECK(NearestName("", names).empty());
}

TEST_CASE("Sizes", "[base]") {
  CHECK(*ParseBytes("4096") == 4096);
  CHECK(*ParseBytes("2GiB") == std::uint64_t{2} << 30);
  CHECK(*ParseBytes("1.5KiB") == 1536);
  CHECK(*ParseBytes("100MB") == 100000000);
  for (const char* bad : {"", "GiB", "-1", "1 GiB", "1gib", "nan", "inf", "1e30TiB", "0x10"}) {
    INFO(bad);
    CHECK_FALSE(ParseBytes(bad).ok());
  }
  CHECK(FormatBytes(1536) == "1.5 KiB");
  CHECK(FormatBytes(7) == "7 B");
}

TEST_CASE("Durations", "[base]") {
  CHECK(*ParseDuration("30s") == 30);
  CHECK(*ParseDuration("500ms") == 0.5);
  CHECK(*ParseDuration("2m") == 120);
  CHECK(*ParseDuration("1.5") == 1.5);
  for (const char* bad : {"", "s", "-1s", "1y", "1e10", "nan"}) CHECK_FALSE(ParseDuration(bad).ok());
}

}  // namespace
}  // namespace reprise
