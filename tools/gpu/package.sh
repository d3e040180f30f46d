#!/usr/bin/env bash
# Builds the CUDA backend's tests and benchmarks here and collects them, with the shared libraries and models
# they need, in one folder, and that in one file, that runs on a GPU machine with nothing but a driver and cuBLASLt.
#
#   tools/gpu/package.sh [DIR] [ARCHITECTURE...]       default: build/gpu-package 90
set -euo pipefail
cd "$(dirname "$0")/../.."
package=${1:-build/gpu-package}
architectures=("${@:2}")
[[ ${#architectures[@]} -gt 0 ]] || architectures=(90)
build=build/cuda-package

export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DREPRISE_CUDA=ON -DREPRISE_SERVER=OFF \
  "-DREPRISE_CUDA_ARCHITECTURES=$(IFS=';'; echo "${architectures[*]}")"
programs=(tests/conformance/cuda/cuda_{ops,draw,engine,decoding}_test benches/bench_{steps,sliced,recycle} reprise)
ninja -C "$build" "${programs[@]##*/}"

rm -rf "$package"
mkdir -p "$package"/{bin,lib,tests/data}
for program in "${programs[@]}"; do
  cp "$build/$program" "$package/bin/"
  strip "$package/bin/${program##*/}"
done
# The C and C++ libraries and the driver's are the machine's own, and cuBLASLt is far too large to carry.
ldd "$package"/bin/* | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
  grep -vE '/(libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+|libcuda|libcublas|libcublasLt)\.so' |
  while read -r library; do cp -L "$library" "$package/lib/"; done
cp -r tests/data/models "$package/tests/data/"
cp tools/gpu/{check,bench,family,environment}.sh tools/gpu/torch_steps.py "$package/"
git describe --always --dirty >"$package/commit"
tar -C "$(dirname "$package")" -cJf "$package.tar.xz" "$(basename "$package")"
du -sh "$package" "$package.tar.xz"
