// The CPU backend on a given table of kernels. MakeCpuBackend (kernels/backend.h) picks the table; tests
// bring their own.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "kernels/cpu/kernel_table.h"

namespace reprise {

std::unique_ptr<Backend> MakeCpuBackendOn(const KernelTable& kernels, int num_threads);

}  // namespace reprise
