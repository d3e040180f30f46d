#!/usr/bin/env bash
# On a GPU machine, in a folder that package.sh made: how fast is the CUDA backend? Steps of the shapes of
# docs/results/gpu.md, each beside the bandwidth that copies reach just before; RecycleGPT's Table 3; sliced models
# beside dense ones; PyTorch on the same shapes where it is installed. What takes longer than it may is cut, so that
# all of it ends within ten minutes. JSON rows in $OUT/bench.jsonl.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
rows=$out/bench.jsonl
: >"$rows"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$out/gpu.txt"

# rows SECONDS PROGRAM...: its JSON rows, as far as they come in time.
rows() {
  local limit=$1
  shift
  timeout "$limit" "$@" | tee -a "$rows" || echo "cut or failed: $*" >&2
}
steps=(bin/bench_steps --device cuda:0 --seconds 0.5)
sliced=(bin/bench_sliced --device cuda:0 --type bf16 --shortcuts bf16 --sparsity "0.25,0.5" --json)
rows 60 "${steps[@]}" --shapes 1.3b --types bf16 --batches 1,2,4,8,16,32,64,128,256
rows 80 bin/bench_recycle --device cuda:0 --shape 1.3b --layers 1,4
rows 120 "${steps[@]}" --shapes 8b --types bf16,q4_0,q4_k --batches 1,8,32,256
rows 50 "${sliced[@]}" --shape 7b
rows 80 "${sliced[@]}" --shape 13b
if python3 -c 'import torch' 2>/dev/null; then rows 200 python3 torch_steps.py; fi
