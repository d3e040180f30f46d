// REPRISE_CHECK(condition): for our own broken invariants only. Input from outside never reaches one: it gets
// a Status.
#pragma once

namespace reprise::internal {
[[noreturn]] void CheckFailed(const char* expression, const char* file, int line);
}

#define REPRISE_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::reprise::internal::CheckFailed(#condition, __FILE__, __LINE__))
