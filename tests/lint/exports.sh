#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every plugin must export exactly one symbol, vc_plugin_entry, and the library only names that begin with vc_.
set -u
: "${builddir:?run by make check}"
bad=0 n=0

defined() { nm -D --defined-only "$1" | awk '$2 != "A" { print $NF }' | sed 's/@.*//' | sort -u; }

for so in "$builddir"/core/.libs/libvccore.so "$builddir"/plugins/*/*/.libs/*.so; do
    [ -f "$so" ] || continue
    n=$((n + 1))
    names=$(defined "$so")
    case $(basename "$so") in
    libvccore.so)
        other=$(echo "$names" | grep -v '^vc_')
        [ -z "$other" ] || { echo "$so exports more than its API:" $other; bad=$((bad + 1)); }
        ;;
    *)
        [ "$names" = vc_plugin_entry ] || { echo "$so must export vc_plugin_entry and nothing else, but exports:" $names; bad=$((bad + 1)); }
        ;;
    esac
done
[ $n -gt 0 ] || { echo "exports: nothing was built below $builddir"; exit 1; }
echo "exports: $n libraries, $bad problems"
[ $bad -eq 0 ]
