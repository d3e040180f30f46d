# Sourced by check.sh and bench.sh: the package's folder, and where its programs find their libraries.
package=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
cd "$package"
out=${OUT:-$package/results}
mkdir -p "$out"

# cuBLASLt: of the toolkit, or of a Python package that brings it.
cublas=$(find /usr/local/cuda*/lib64 /usr/local/cuda*/targets/*/lib /opt /usr/lib/python3* \
  -name 'libcublasLt.so.1[0-9]' -printf '%h\n' -quit 2>/dev/null || true)
export LD_LIBRARY_PATH=$package/lib${cublas:+:$cublas}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

# row FILE key value ...: one JSON object; numbers and truth values without quotes.
row() {
  local file=$1 text=
  shift
  while [[ $# -gt 0 ]]; do
    if [[ $2 =~ ^(-?[0-9]+(\.[0-9]+)?|true|false)$ ]]; then text+=",\"$1\":$2"; else text+=",\"$1\":\"$2\""; fi
    shift 2
  done
  echo "{${text:1}}" | tee -a "$file"
}
