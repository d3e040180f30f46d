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
  enable_language(CUDA)
  # CMake 3.25 does not know that nvcc has C++20.
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  find_package(CUDAToolkit REQUIRED)
endif()

# The emulator switches stacks with a few instructions of its own, which ThreadSanitizer cannot follow.
if(NOT REPRISE_CUDA AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND NOT REPRISE_SANITIZE MATCHES "thread")
  set(REPRISE_CUDA_EMULATION ON)
else()
  set(REPRISE_CUDA_EMULATION OFF)
endif()

# reprise_emulated_kernels(name SOURCES a.cu ... [CHECKED]): kernel sources as C++, on the emulator. Those of a
# CHECKED library call the access checker (kernels/cuda/emulation/access_checker.cc) at every load and store:
# they are compiled for ThreadSanitizer, but linked without its runtime, whose calls the checker takes.
function(reprise_emulated_kernels name)
  cmake_parse_arguments(ARG "CHECKED" "" "SOURCES" ${ARGN})
  set_source_files_properties(${ARG_SOURCES} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++;-Wno-unknown-pragmas")
  add_library(${name}_objects OBJECT ${ARG_SOURCES})
  target_link_libraries(${name}_objects PRIVATE reprise_cuda_emulator reprise_warnings)
  add_library(${name} INTERFACE)
  target_link_libraries(${name} INTERFACE $<TARGET_OBJECTS:${name}_objects> reprise_cuda_emulator)
  if(ARG_CHECKED)
    target_compile_options(${name}_objects PRIVATE -fsanitize=thread)
    target_link_libraries(${name} INTERFACE $<TARGET_OBJECTS:reprise_cuda_access_checker>)
    if(NOT TARGET reprise_cuda_access_checker)
      add_library(reprise_cuda_access_checker OBJECT
        ${PROJECT_SOURCE_DIR}/kernels/cuda/emulation/access_checker.cc)
      target_link_libraries(reprise_cuda_access_checker PRIVATE reprise_cuda_emulator reprise_warnings)
    endif()
  endif()
endfunction()
