// Linked ahead of the libraries, gives `reprise --device cuda:0` the emulated device.
#include "kernels/cuda/cuda_backend.h"

namespace reprise {

Result<std::unique_ptr<Backend>> MakeCudaBackend(const CudaBackendOptions& options) {
  return cuda::MakeBackend(options);
}

}  // namespace reprise
