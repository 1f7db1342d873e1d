#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# abi.py itself: each way to break the promise is found and named; a release cannot be written anew.
set -u
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
: "${srcdir:?run by make check}"
cc=${CC:-cc}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
bad=0 n=0
fresh() {
    rm -rf "$work/tree"
    mkdir -p "$work/tree/sdk/include" "$work/tree/core/include" "$work/tree/core/doc" "$work/tree/tests"
    cp -r "$srcdir/sdk/include/vc" "$work/tree/sdk/include/"
    cp -r "$srcdir/core/include/vccore" "$work/tree/core/include/"
    cp "$srcdir/core/libvccore.map" "$work/tree/core/"
    cp "$srcdir/core/doc/STABILITY.md" "$work/tree/core/doc/"
    cp -r "$srcdir/tests/abi" "$work/tree/tests/"
    chmod -R u+w "$work/tree"
}
says() { # WHAT TEXT; the change was made by the caller
    n=$((n + 1))
    said=$(python3 "$srcdir/tests/abi/abi.py" check "$work/tree" "$cc" 2>&1) && { echo "$1: was not found"; bad=$((bad + 1)); }
    case $said in
    *"$2"*) ;;
    *) echo "$1: \"$2\" is not in: $said"; bad=$((bad + 1)) ;;
    esac
    fresh
}
vc=$work/tree/sdk/include/vc
fresh
python3 "$srcdir/tests/abi/abi.py" check "$work/tree" "$cc" >"$work/out" || { cat "$work/out"; exit 1; }
sed -i 's|^    void \*ctx; .*|    uint64_t early; void *ctx;|' "$vc/host.h"
says "a member in between" "lp64: the offset of vc_host.ctx was 8 and is 16"
sed -i '/err_context/d' "$vc/host.h"
says "a member taken away" "the offset of vc_host.err_context (56) is gone"
sed -i 's|const char \*trace_id;.*|const char *trace_id; uint64_t late;|' "$vc/types.h"
says "a member at the end" "lp64: the size of struct vc_call was 32 and is 40"
sed -i 's|VC_E_IO = -13|VC_E_IO = -23|' "$vc/types.h"
says "a value" "the value of VC_E_IO was -13 and is -23"
sed -i 's|const char \*vendor;|char *vendor;|' "$vc/plugin.h"
says "a type of the same size" "the header vc/plugin.h differs (beyond comments)"
sed -i '/vc_gc;/d' "$work/tree/core/libvccore.map"
says "a symbol taken away" "libvccore.so: vc_gc@@VCCORE_0.1 is gone"
sed -i '$d' "$work/tree/core/doc/STABILITY.md"
says "a change without its line" "the last line of the change list"
# In a release not even something appended gets past, and there is no writing it anew.
echo released >"$(echo "$work"/tree/tests/abi/[0-9]*)/STATUS"
sed -i 's|const char \*trace_id;.*|const char *trace_id; uint64_t late;|' "$vc/types.h"
if python3 "$srcdir/tests/abi/abi.py" update "$work/tree" "$cc" >"$work/out" 2>&1; then
    echo "a release was written anew"
    bad=$((bad + 1))
fi
says "a change after the release" "is released: nothing of it may change or go"
echo "abi selftest: $n breakages, $bad problems"
[ $bad -eq 0 ]
