#!/usr/bin/env bash
# On a GPU machine, in a folder that package.sh made: is the CUDA backend right? Every op against exact sums and
# the reference, whole models against golden logits and the reference's tokens, every decoding method against
# plain decoding, the embedded family through the program, and compute-sanitizer's four tools over the ops. Under
# ten minutes; one JSON row a check, in $OUT/check.jsonl. Exits 1 if any fails.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
rows=$out/check.jsonl
: >"$rows"
failed=0

# check NAME LIMIT_SECONDS COMMAND...
check() {
  local name=$1 limit=$2 begin=$SECONDS code=0
  shift 2
  timeout "$limit" "$@" >"$out/$name.log" 2>&1 || code=$?
  [[ $code == 0 ]] || { failed=1; tail -40 "$out/$name.log"; }
  row "$rows" check "$name" passed "$([[ $code == 0 ]] && echo true || echo false)" exit_code "$code" \
    seconds $((SECONDS - begin)) commit "$(cat commit)"
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$out/gpu.txt"
check ops 100 bin/cuda_ops_test
check draw 30 bin/cuda_draw_test
check engine 80 bin/cuda_engine_test
check decoding 40 bin/cuda_decoding_test
if [[ -d ${ASSETS:-../../assets} ]]; then
  check family 60 ./family.sh
else
  row "$rows" check family passed skipped
fi
if command -v compute-sanitizer >/dev/null; then
  # Together they reach every kernel; long attention schedules add time, not code.
  for tool in memcheck racecheck initcheck synccheck; do
    sanitize=(compute-sanitizer --tool "$tool" --error-exitcode 9)
    check "$tool-ops" 45 "${sanitize[@]}" bin/cuda_ops_test "~chunks*" "~attention is*"
    check "$tool-draw" 20 "${sanitize[@]}" bin/cuda_draw_test "cuda: drafts*"
  done
else
  row "$rows" check compute-sanitizer passed skipped
fi
exit "$failed"
