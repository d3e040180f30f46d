#!/usr/bin/env bash
# A draft distilled from its target (DistillSpec) within ten minutes of one GPU, as SmolLM2's in assets/ is:
# three quarters of the time with forward KL, the rest with the total variation distance at two temperatures.
#
#   tools/gpu/train_draft.sh MODEL ANSWERS.jsonl HELD_OUT.jsonl OUT [flags of reprise_train.distil]
#
# Arguments and environment as for train_recycle.sh, whose hidden states in OUT are used again.
# ANSWERS are best written at temperature 1 (docs/results/distillspec.md). OUT/draft-run/draft is the result.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/train_common.sh"

[[ $# -ge 4 ]] || usage
readonly MODEL=$1 ANSWERS=$2 HELD_OUT=$3 OUT=$4
shift 4

extract "$MODEL" "$ANSWERS" "$OUT/hidden"
extract "$MODEL" "$HELD_OUT" "$OUT/held-out"
common=(--target "$MODEL" --hidden "$OUT/hidden" --validation "$OUT/held-out" --batch-tokens 8192 --on-policy 0)
readonly common
[[ -d $OUT/draft-first/draft ]] ||
  train distil "$OUT/draft-first" "$(awk "BEGIN { print $MINUTES * 0.75 }")" "${common[@]}" --frequencies "$ANSWERS" \
    --divergence fkl --lr 8e-3 "$@"
train distil "$OUT/draft-run" "$(awk "BEGIN { print $MINUTES * 0.25 }")" "${common[@]}" --start "$OUT/draft-first/draft" \
  --divergence tvd --temperature 1 0.5 --lr 4e-3 "$@"
