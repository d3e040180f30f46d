// --device.
#include <catch2/catch.hpp>

#include "cli/session.h"

namespace reprise {
namespace {

StatusCode CodeOf(const std::string& device) {
  ModelFlags flags;
  flags.device = device;
  return MakeBackend(flags).status().code();
}

TEST_CASE("a device that is none is refused by name", "[cli]") {
  CHECK(CodeOf("reference") == StatusCode::kOk);
  for (const char* name : {"gpu", "cuda:", "cuda:x", "cuda:0x", "cuda:-1", "cudax", "cuda0"}) {
    INFO(name);
    CHECK(CodeOf(name) == StatusCode::kInvalidArgument);
  }
}

TEST_CASE("a GPU that cannot be had is a sentence", "[cli]") {
  // No machine has so many; a build without CUDA says that instead.
  ModelFlags flags;
  flags.device = "cuda:4000";
  const Status status = MakeBackend(flags).status();
  CHECK(status.code() == StatusCode::kFailedPrecondition);
  CHECK_THAT(status.message(), Catch::StartsWith("cuda:4000: "));
}

}  // namespace
}  // namespace reprise
