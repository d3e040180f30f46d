#include "base/thread_name.h"

#include <pthread.h>

#include <cstddef>
#include <cstring>

namespace reprise {

void SetThreadName(const char* name) {
#if defined(__linux__)
  // A longer name would be refused as a whole.
  constexpr std::size_t kMaxLength = 15;
  char kept[kMaxLength + 1] = {};
  std::strncpy(kept, name, kMaxLength);
  pthread_setname_np(pthread_self(), kept);
#else
  (void)name;
#endif
}

}  // namespace reprise
