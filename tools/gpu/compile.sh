#!/usr/bin/env bash
# Compiles the CUDA backend's device code with nvcc, and its host code against CUDA's own headers, without
# linking: what a machine without a GPU can check. Exits 77 (skipped) where there is no nvcc.
#
#   tools/gpu/compile.sh [NVCC] [ARCHITECTURE...]      default: the nvcc on the PATH, 80 90
set -euo pipefail
cd "$(dirname "$0")/../.."
nvcc=${1:-nvcc}
architectures=("${@:2}")
[[ ${#architectures[@]} -gt 0 ]] || architectures=(80 90)

if ! command -v "$nvcc" >/dev/null; then
  echo "skipped: there is no nvcc ($nvcc); its headers and compiler come with the CUDA toolkit"
  exit 77
fi
include=$(dirname "$(dirname "$(readlink -f "$(command -v "$nvcc")")")")/include
[[ -e $include/cuda_runtime.h ]] || include=$(dirname "$(dirname "$(command -v "$nvcc")")")/include

targets=()
for architecture in "${architectures[@]}"; do
  targets+=(-gencode "arch=compute_$architecture,code=sm_$architecture")
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for source in kernels/cuda/*.cu; do
  echo "nvcc ${architectures[*]}: $source"
  "$nvcc" -std=c++20 --fmad=false "${targets[@]}" -I. -Xcompiler=-Wall,-Wextra --Werror=all-warnings \
    -c "$source" -o "$work/object.o"
done
for source in kernels/cuda/*.cc; do
  [[ $source != *gemm_absent.cc ]] || continue
  if [[ $source == *cublaslt* && ! -e $include/cublasLt.h ]]; then
    echo "skipped: $source, there is no cublasLt.h"
    continue
  fi
  echo "c++: $source"
  "${CXX:-c++}" -std=c++20 -fsyntax-only -Wall -Wextra -Wshadow -Werror -I. -isystem "$include" "$source"
done
