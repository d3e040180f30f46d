# Compiler settings shared by every target, and the two functions that declare targets.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_package(Threads REQUIRED)
find_program(REPRISE_CCACHE ccache)
if(REPRISE_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${REPRISE_CCACHE})
endif()

add_library(reprise_options INTERFACE)
target_include_directories(reprise_options INTERFACE ${PROJECT_SOURCE_DIR})
# Bits must not depend on how a compiler contracts a*b+c: kernels spell their fused operations.
target_compile_options(reprise_options INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-ffp-contract=off -fno-strict-aliasing>
  $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false -Xcompiler=-fno-strict-aliasing>)
add_library(reprise_warnings INTERFACE)
# -Wrestrict: false positives on std::string in GCC 12 (GCC bug 105651).
target_compile_options(reprise_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-restrict -Werror>
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra --Werror=all-warnings>)
set(REPRISE_TEST_SECONDS 900)  # after which a test has hung
if(REPRISE_SANITIZE)
  set(REPRISE_TEST_SECONDS 2700)
  target_compile_options(reprise_options INTERFACE -fsanitize=${REPRISE_SANITIZE} -fno-omit-frame-pointer
                                                   -fno-sanitize-recover=all)
  target_link_options(reprise_options INTERFACE -fsanitize=${REPRISE_SANITIZE})
  # With sanitizers GCC loses sight of initialisations and warns of what it sees well enough without them.
  target_compile_options(reprise_warnings INTERFACE -Wno-maybe-uninitialized)
endif()

# reprise_library(name SOURCES a.cc ... DEPENDS targets ... PRIVATE_DEPENDS targets ...)
function(reprise_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC reprise_options ${ARG_DEPENDS} PRIVATE reprise_warnings ${ARG_PRIVATE_DEPENDS})
endfunction()

# reprise_test(name SOURCES a.cc ... DEPENDS targets ... [LABELS l ...]): a Catch2 binary that CTest runs whole.
function(reprise_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE reprise_warnings reprise_test_main ${ARG_DEPENDS})
  add_test(NAME ${name} COMMAND ${name} --use-colour no WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${REPRISE_TEST_SECONDS})
endfunction()
