#include "kernels/backend.h"

namespace reprise {

void Backend::ParallelFor(int count, int grain, RangeFunction body) {
  for (int begin = 0; begin < count; begin += grain)
    body(begin, begin + grain < count ? begin + grain : count, 0);
}

}  // namespace reprise
