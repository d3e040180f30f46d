#include "kernels/backend.h"

#if defined(REPRISE_WITH_CUDA)
#include "kernels/cuda/cuda_backend.h"
#endif

namespace reprise {

#if defined(REPRISE_WITH_CUDA)
Result<std::unique_ptr<Backend>> MakeCudaBackend(const CudaBackendOptions& options) {
  return cuda::MakeBackend(options);
}
#else
Result<std::unique_ptr<Backend>> MakeCudaBackend(const CudaBackendOptions& options) {
  return FailedPrecondition("cuda:" + std::to_string(options.device) +
                            ": this build has no CUDA; configure with the preset `cuda`");
}
#endif

}  // namespace reprise
