#include "benches/device.h"

#include <cstdlib>

#if defined(REPRISE_WITH_CUDA)
#include "kernels/cuda/cuda_backend.h"
#endif

namespace reprise::bench {

Result<std::unique_ptr<Backend>> MakeDevice(const std::string& device, int threads) {
  if (device == "reference") return MakeReferenceBackend();
  if (device == "cpu") return MakeCpuBackend({threads, ""});
  if (device.starts_with("cuda:")) {
    CudaBackendOptions options;
    options.device = std::atoi(device.c_str() + 5);
    options.num_threads = threads;
    return MakeCudaBackend(options);
  }
  return InvalidArgument("--device is cpu, cuda:N or reference, not '" + device + "'");
}

Result<double> CopyBandwidth([[maybe_unused]] Backend& backend) {
#if defined(REPRISE_WITH_CUDA)
  if (backend.name().starts_with("cuda")) return cuda::CopyBandwidth(backend, std::size_t{2} << 30);
#endif
  return 0.0;
}

}  // namespace reprise::bench
