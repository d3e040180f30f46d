// CUDA's runtime API, or its stand-in on machines that only emulate.
#pragma once

#if defined(REPRISE_CUDA_EMULATION)
#include "kernels/cuda/emulation/runtime_api.h"
#else
#include <cuda_runtime_api.h>
#endif
