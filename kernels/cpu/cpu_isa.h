// Which instruction sets this CPU and operating system offer, and the kernels of each.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/cpu/kernel_table.h"

namespace reprise {

// The kernels of the leg called `name`, or of the best one when it is empty. INVALID_ARGUMENT listing the
// legs for an unknown name, FAILED_PRECONDITION naming what the CPU lacks.
Result<const KernelTable*> SelectKernels(std::string_view name);

}  // namespace reprise
