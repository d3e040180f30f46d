#!/usr/bin/env bash
# The embedded family through the program: on the device every decoding method gives plain decoding's text, greedy and
# seeded, and a text is as likely as on the CPU. Run by check.sh. ASSETS names the family's folder where this is not in
# build/gpu-package of a checkout; DEVICE and REPRISE what else to run, TOKENS how many to generate.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
reprise=${REPRISE:-bin/reprise}
export REPRISE_ASSETS=${ASSETS:-$PWD/../../assets} REPRISE_DEVICE=${DEVICE:-cuda:0}

# Steps of up to 32 rows: bits of a row do not depend on the batch.
text() {
  "$reprise" generate --prompt "The history of the city" --max-tokens "${TOKENS:-48}" --max-num-batched-tokens 32 \
    --max-num-seqs 8 --ignore-eos --seed 7 "$@"
}

for temperature in 0 0.8; do
  plain=$(text --decoding plain --temperature "$temperature")
  for method in recycle speculative auto; do
    if [[ $(text --decoding "$method" --temperature "$temperature") != "$plain" ]]; then
      echo "temperature $temperature: $method differs from plain" >&2
      exit 1
    fi
  done
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# More than a window, however few tokens there are.
for temperature in 0 0.7 0.8; do text --decoding plain --temperature "$temperature"; done >"$work/text"
nll() {
  "$reprise" eval perplexity --text "$work/text" --context 16 --json "$@" |
    sed -n 's/.*"mean_nll": *\([0-9.]*\).*/\1/p'
}
on_device=$(nll)
on_cpu=$(nll --device cpu)
echo "mean NLL: device $on_device, CPU $on_cpu"
awk -v a="$on_device" -v b="$on_cpu" 'BEGIN { exit !(a - b < 0.01 && b - a < 0.01) }'
