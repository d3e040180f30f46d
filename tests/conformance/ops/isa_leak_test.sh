#!/bin/sh
# No object outside the AVX-512 legs may hold an AVX-512 instruction (a zmm or mask register), nor one outside
# all legs an AVX one: the program must start on CPUs that lack them.
# usage: isa_leak_test.sh OBJDUMP LIBRARY...
set -eu
objdump=$1
shift
seen=0
for library in "$@"; do
  members=$(ar t "$library")
  for member in $members; do
    case $member in
      isa_avx512_vnni.*|isa_amx.*) allowed=any ;;
      isa_avx2.*) allowed=ymm ;;
      *) allowed=none ;;
    esac
    [ $allowed = any ] && { seen=$((seen + 1)); continue; }
    pattern='%zmm|%k[0-7]'
    [ $allowed = none ] && pattern='%zmm|%ymm|%k[0-7]'
    if ar p "$library" "$member" > "${TMPDIR:-/tmp}/isa_leak_$$.o" &&
       "$objdump" -d --no-show-raw-insn "${TMPDIR:-/tmp}/isa_leak_$$.o" | grep -E -m1 "$pattern"; then
      echo "$library($member) holds an instruction it must not" >&2
      rm -f "${TMPDIR:-/tmp}/isa_leak_$$.o"
      exit 1
    fi
    rm -f "${TMPDIR:-/tmp}/isa_leak_$$.o"
  done
done
# The legs themselves must be among what was looked at, or the names above are stale.
[ "$seen" -ge 2 ] || { echo "the AVX-512 legs were not found" >&2; exit 1; }
