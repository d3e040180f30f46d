# The CUDA backend, for a device (REPRISE_CUDA) or emulated on the CPU, for the tests of machines without one.

# Where nvcc is: -DREPRISE_CUDA_ROOT=..., $CUDA_HOME, the PATH or /usr/local/cuda.
set(REPRISE_CUDA_ROOT "$ENV{CUDA_HOME}" CACHE PATH "Folder of the CUDA toolkit (with bin/nvcc)")
set(REPRISE_CUDA_ARCHITECTURES "80;86;89;90;100;120" CACHE STRING "GPU architectures to compile for")
find_program(REPRISE_NVCC nvcc HINTS ${REPRISE_CUDA_ROOT}/bin PATHS /usr/local/cuda/bin)

if(REPRISE_CUDA)
  if(NOT REPRISE_NVCC)
    message(FATAL_ERROR "REPRISE_CUDA is ON, but there is no nvcc; say where with -DREPRISE_CUDA_ROOT=DIR")
  endif()
  set(CMAKE_CUDA_COMPILER ${REPRISE_NVCC})
  set(CMAKE_CUDA_ARCHITECTURES ${REPRISE_CUDA_ARCHITECTURES})
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
endif()

# The emulator switches stacks with a few instructions of its own, which ThreadSanitizer cannot follow.
if(NOT REPRISE_CUDA AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND NOT REPRISE_SANITIZE MATCHES "thread")
  set(REPRISE_CUDA_EMULATION ON)
else()
  set(REPRISE_CUDA_EMULATION OFF)
endif()
