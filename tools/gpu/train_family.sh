#!/usr/bin/env bash
# The embedded target and its recycle module, trained jointly from scratch, within ten minutes of one GPU.
#
#   tools/gpu/train_family.sh TEXT OUT [flags of reprise_train.base]
#
# TEXT is plain or xz. OUT/run/model and OUT/run/recycle are the result; assets/base and assets/recycle are
# their places. PYTHON and MINUTES as for train_recycle.sh.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/train_common.sh"

[[ $# -ge 2 ]] || usage
readonly TEXT=$1 OUT=$2
shift 2

train base "$OUT/run" "$MINUTES" --data "$TEXT" --recycle-layers 1 --batch-tokens 65536 "$@"
