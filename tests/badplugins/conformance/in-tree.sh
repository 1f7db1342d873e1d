#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every plugin of the tree passes vc-plugin-test at level full, and skips no check that in-tree.list does not name.
#   in-tree.sh [KIND/NAME]...
set -u
LC_ALL=C
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
: "${builddir:?run by make check}"
tool=${VCT:-$builddir/sdk/conformance/vc-plugin-test}
work=$(mktemp -d "${TMPDIR:-/tmp}/vct-tree.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work/libexec" "$work/data/guest" "$work/bin"
failed=0

# Files that a plugin wants to see; scripted peers never read them.
for f in data/guest/vmlinux data/guest/vc-initramfs.cpio bin/qemu-system-x86_64; do
    echo "no real file" >"$work/$f"
done
chmod 755 "$work/bin/"*

# The helper programs of a host's installation.
for p in plugins/proxy/kata/vc-proxy core/shim/vc-shim plugins/agent/kata/guest/vc-agent; do
    for f in "$builddir/${p%/*}/.libs/${p##*/}" "$builddir/$p"; do
        [ -f "$f" ] && cp "$f" "$work/libexec/${p##*/}" && break
    done
done

one() { # KIND/NAME
    line=$(awk -v p="$1" '$1 == p' "$here/in-tree.list")
    [ -n "$line" ] || { echo "FAILED: $1 is not in in-tree.list"; failed=$((failed + 1)); return; }
    expected=" ${line#*|} "
    command -v valgrind >/dev/null || expected="$expected M9 "
    line=${line%%|*}
    options=$(echo "${line#"$1"}" | sed "s|@work@|$work|g; s|@top@|$top|g")
    mkdir -p "$work/plugins/${1%/*}"
    cp "$builddir/plugins/$1/.libs/${1#*/}.so" "$work/plugins/$1.so" || exit 2
    status=0
    # shellcheck disable=SC2086
    "$tool" --color=never --plugin-dir="$work/plugins" --libexec-dir="$work/libexec" --data-dir="$work/data" \
        --scenario-dir="$top/sdk/conformance/scenarios" \
        --golden="$top/tests/golden/state" $options "$1" >"$work/out" 2>&1 || status=$?
    unexpected=
    for c in $(awk '$1 == "SKIP" { print $2 }' "$work/out"); do
        case $expected in
        *" $c "*) ;;
        *) unexpected="$unexpected $c" ;;
        esac
    done
    if [ $status -eq 0 ] && [ -n "$unexpected" ] && [ "$(id -u)" -ne 0 ]; then
        echo "ok: $1, but not made without root:$unexpected"
        return
    fi
    if [ $status -eq 0 ] && [ -z "$unexpected" ]; then
        echo "ok: $1: $(tail -n 1 "$work/out")"
        return
    fi
    failed=$((failed + 1))
    echo "FAILED: $1: exit status $status${unexpected:+; skipped, but not named in in-tree.list:$unexpected}"
    sed 's/^/    /' "$work/out"
}

if [ $# -gt 0 ]; then
    list=$*
else
    list=$(cd "$builddir/plugins" && ls -d */*/.libs/*.so | sed 's|/.libs/.*||' | sort)
fi
[ -n "$list" ] || { echo "there is no plugin below $builddir/plugins"; exit 1; }
# A machine that is busy with other tests may hold up what has to come soon: a plugin with a finding is tested once more, and
# that is said.
for p in $list; do
    before=$failed
    one "$p"
    if [ "$failed" -gt "$before" ]; then
        echo "once more:"
        failed=$before
        one "$p"
    fi
done
[ $failed -eq 0 ]
