// The AMX leg with the tile unit emulated in scalar code: it runs on any AVX-512 machine.
#pragma once

#include "kernels/cpu/kernel_table.h"

namespace reprise::test {

const KernelTable& EmulatedAmxKernels();

}  // namespace reprise::test
