#!/usr/bin/env bash
# A recycle module for a frozen base within ten minutes of one GPU: hidden states by our engine, then training.
#
#   tools/gpu/train_recycle.sh MODEL ANSWERS.jsonl HELD_OUT.jsonl OUT [flags of reprise_train.recycle]
#
# Both .jsonl files are reprise_train.generate's. OUT/run/module is the result. REPRISE names the binary,
# PYTHON the interpreter, MINUTES the training time. Run again after a kill, it goes on.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/train_common.sh"

[[ $# -ge 4 ]] || usage
readonly MODEL=$1 ANSWERS=$2 HELD_OUT=$3 OUT=$4
shift 4

extract "$MODEL" "$ANSWERS" "$OUT/hidden"
extract "$MODEL" "$HELD_OUT" "$OUT/held-out"
train recycle "$OUT/run" "$MINUTES" --base "$MODEL" --hidden "$OUT/hidden" --validation "$OUT/held-out" \
  --frequencies "$ANSWERS" --batch-tokens 8192 --lr 6e-3 "$@"
