# What the train_*.sh share. Sourced, not run.

ROOT=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..
readonly ROOT
readonly REPRISE=${REPRISE:-$ROOT/build/release/reprise}
readonly PYTHON=${PYTHON:-python3}
readonly MINUTES=${MINUTES:-7}

# The comment at the top of the script that was called.
usage() {
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

# MODEL ANSWERS DIR: hidden states, unless DIR is there already.
extract() {
  [[ -d $3 ]] || "$REPRISE" extract --model "$1" --tokens "$2" --out "$3" --context 640
}

# COMMAND OUT MINUTES flags...: a run of reprise_train, or the rest of one.
train() {
  local command=$1 out=$2 minutes=$3 resume=()
  shift 3
  [[ -e $out/checkpoint.pt ]] && resume=(--resume)
  PYTHONPATH=$ROOT/train "$PYTHON" -m "reprise_train.$command" --out "$out" --minutes "$minutes" "${resume[@]}" "$@"
}
