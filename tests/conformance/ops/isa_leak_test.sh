#!/bin/sh
# An instruction of one instruction set only in the leg of that set: AVX-512 in its legs, tiles in the AMX leg,
# AVX and FMA in no object but the legs. The program must start on CPUs that lack them. And a leg shows nothing
# but its table: a function that it shared with other objects, the linker might take from the leg for all.
# usage: isa_leak_test.sh OBJDUMP LIBRARY...
set -eu
objdump=$1
shift
object=${TMPDIR:-/tmp}/isa_leak_$$.o
trap 'rm -f "$object"' EXIT
legs=0
fail() {
  echo "$library($member) $1" >&2
  exit 1
}
for library in "$@"; do
  for member in $(ar t "$library"); do
    # No leg uses AVX-VNNI instructions (the VNNI leg's are of AVX-512).
    case $member in
      isa_amx.*) leg=yes forbidden='vdpbf16ps|vcvtne' ;;
      isa_avx512_bf16.*) leg=yes forbidden='%tmm|vcvtne|vpdp' ;;
      isa_avx512_vnni.*) leg=yes forbidden='%tmm|vdpbf16ps|vcvtne' ;;
      isa_avx2.*) leg=yes forbidden='%zmm|%k[0-7]|%tmm|vpdp' ;;
      *) leg=no forbidden='%zmm|%ymm|%k[0-7]|%tmm|vpdp|vfmadd' ;;
    esac
    ar p "$library" "$member" > "$object"
    if "$objdump" -d --no-show-raw-insn "$object" | grep -E -m1 "$forbidden"; then
      fail "holds an instruction it must not"
    fi
    [ $leg = yes ] || continue
    legs=$((legs + 1))
    shown=$("$objdump" -t -C "$object" | grep -E '^[0-9a-f]+ [gwu!]' | grep -v 'Kernels()$' | grep -v '\*UND\*' || true)
    [ -z "$shown" ] || { echo "$shown" >&2; fail "shows more than its table"; }
  done
done
# The legs must be among what was looked at, or the names above are stale.
[ "$legs" = 4 ] || { echo "not the four legs were found, but $legs" >&2; exit 1; }
