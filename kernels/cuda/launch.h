// Starting a kernel as the next command of a stream.
#pragma once

#include <cstddef>
#include <cstring>

#include "kernels/cuda/dialect.h"
#include "kernels/cuda/stream.h"

namespace reprise::cuda {

template <typename Parameters>
struct LaunchCommand {
  void (*kernel)(Parameters);
  std::size_t shared_bytes;
  unsigned grid[3];
  unsigned block;
  Parameters parameters;
};

#if defined(__CUDACC__)
template <typename Parameters>
cudaError_t RunLaunch(const void* command, cudaStream_t stream) {
  const auto& launch = *static_cast<const LaunchCommand<Parameters>*>(command);
  const void* kernel = reinterpret_cast<const void*>(launch.kernel);
  if (launch.shared_bytes > 48 * 1024) {
    const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                   static_cast<int>(launch.shared_bytes));
    if (error != cudaSuccess) return error;
  }
  void* arguments[] = {const_cast<Parameters*>(&launch.parameters)};
  return cudaLaunchKernel(kernel, dim3(launch.grid[0], launch.grid[1], launch.grid[2]), dim3(launch.block),
                          arguments, launch.shared_bytes, stream);
}
#else
template <typename Parameters>
void CallKernel(const void* command) {
  const auto& launch = *static_cast<const LaunchCommand<Parameters>*>(command);
  launch.kernel(launch.parameters);
}
template <typename Parameters>
cudaError_t RunLaunch(const void* command, cudaStream_t stream) {
  const auto launch = *static_cast<const LaunchCommand<Parameters>*>(command);
  return cuda_emulation::Enqueue(stream, [launch] {
    cuda_emulation::RunLaunch(
        {{launch.grid[0], launch.grid[1], launch.grid[2]}, {launch.block}, launch.shared_bytes},
        &CallKernel<Parameters>, &launch, sizeof(launch));
  });
}
#endif

// Launch(stream, kernel, grid, block, parameters [, bytes of dynamic shared memory]). An empty grid is no work.
template <typename Parameters>
void Launch(Stream& stream, void (*kernel)(Parameters), dim3 grid, unsigned block,
            const Parameters& parameters, std::size_t shared_bytes = 0) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  LaunchCommand<Parameters> command;
  std::memset(static_cast<void*>(&command), 0, sizeof(command));  // padding too: commands are compared
  command.kernel = kernel;
  command.shared_bytes = shared_bytes;
  command.grid[0] = grid.x;
  command.grid[1] = grid.y;
  command.grid[2] = grid.z;
  command.block = block;
  command.parameters = parameters;
  stream.Record(&RunLaunch<Parameters>, &command, sizeof(command));
}

}  // namespace reprise::cuda
