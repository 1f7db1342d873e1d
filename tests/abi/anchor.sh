#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the anchor: a library whose debugging information holds every struct and function type of both interfaces, since
# headers alone are nothing that abidiff could read.  usage: anchor.sh SRCDIR HEADERS-OF-VC HEADERS-OF-VCCORE CC OUT.so
set -eu
srcdir=$1 vc=$2 vccore=$3 cc=$4 out=$5
{
    for h in "$vc"/vc/*.h; do echo "#include <vc/$(basename "$h")>"; done
    echo '#include <vccore/vccore.h>'
    (cd "$vc/.." && python3 "$srcdir/tests/abi/abi.py" structs / $(ls "$vc"/vc/*.h "$vccore"/vccore/*.h)) |
        sort -u | sed 's/.*/struct & *anchor_struct_&;/'
    sed -n 's/^VC_API .*[ *]\(vc_[a-z0-9_]*\)(.*/__typeof__(\1) *anchor_call_\1;/p' "$vccore/vccore/vccore.h" | sort -u
} >"$out.c"
$cc -g -O0 -fPIC -shared -I"$vc" -I"$vccore" -o "$out" "$out.c"
