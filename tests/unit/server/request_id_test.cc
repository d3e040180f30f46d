#include "server/request_id.h"

#include <catch2/catch.hpp>
#include <set>

namespace reprise {

TEST_CASE("A harmless request id is kept, any other replaced", "[request_id]") {
  CHECK(ChooseRequestId("abc-1.2_X:y") == "abc-1.2_X:y");
  CHECK(ChooseRequestId(std::string(128, 'a')) == std::string(128, 'a'));
  for (const std::string& bad : {std::string(), std::string(129, 'a'), std::string("a b"),
                                 std::string("a\r\nb: c"), std::string("\xC3\xA9"), std::string("a\"b")}) {
    const std::string made = ChooseRequestId(bad);
    CHECK(made != bad);
    CHECK(made.size() == 24);
    CHECK(made.find_first_not_of("0123456789abcdef") == std::string::npos);
  }
}

TEST_CASE("Random ids differ", "[request_id]") {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(RandomHexId());
  CHECK(ids.size() == 1000);
}

}  // namespace reprise
