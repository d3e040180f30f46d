#!/usr/bin/env bash
# A draft distilled on its own text (DistillSpec) within ten minutes of one GPU.
#
#   tools/gpu/train_draft.sh MODEL ANSWERS.jsonl HELD_OUT.jsonl OUT [flags of reprise_train.distil]
#
# Arguments and environment as for train_recycle.sh, whose hidden states in OUT are used again.
# OUT/draft-run/draft is the result.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/train_common.sh"

[[ $# -ge 4 ]] || usage
readonly MODEL=$1 ANSWERS=$2 HELD_OUT=$3 OUT=$4
shift 4

extract "$MODEL" "$ANSWERS" "$OUT/hidden"
extract "$MODEL" "$HELD_OUT" "$OUT/held-out"
train distil "$OUT/draft-run" --target "$MODEL" --hidden "$OUT/hidden" --validation "$OUT/held-out" \
  --frequencies "$ANSWERS" --batch-tokens 8192 --on-policy 0.5 --sft-steps 50 --sweep 30 "$@"
