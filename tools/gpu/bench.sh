#!/usr/bin/env bash
# On a GPU machine, in a folder that package.sh made: how fast is the CUDA backend? Steps of the shapes of
# docs/results/gpu.md, each beside the bandwidth that copies reach just before, and beside PyTorch on the same
# shapes where it is installed. Under ten minutes; JSON rows in $OUT/bench.jsonl.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
rows=$out/bench.jsonl
: >"$rows"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$out/gpu.txt"

steps() { timeout 150 bin/bench_steps --device cuda:0 "$@" | tee -a "$rows"; }
steps --shapes 1.3b --types bf16 --batches 1,2,4,8,16,32,64,128,256 --seconds 0.5
steps --shapes 8b --types bf16,q4_0,q4_k --batches 1,8,32,256 --seconds 0.5
steps --shapes 7b,13b --types bf16 --batches 1 --prefill 0 --seconds 0.5
if python3 -c 'import torch' 2>/dev/null; then
  timeout 200 python3 torch_steps.py | tee -a "$rows"
fi
