#include "kernels/backend.h"

#include <string>

namespace reprise {

void Backend::ParallelFor(int count, int grain, RangeFunction body) {
  for (int begin = 0; begin < count; begin += grain)
    body(begin, begin + grain < count ? begin + grain : count, 0);
}

Result<std::unique_ptr<Readback>> Backend::NewReadback(std::size_t) {
  return FailedPrecondition(std::string(name()) + " computes on the host: there is nothing to read back");
}

}  // namespace reprise
