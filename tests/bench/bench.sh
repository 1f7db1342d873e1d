#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Sets up what the bench program needs (an installed virtc, a busybox root, a directory on tmpfs), runs it, and adds
# the sizes of what is installed. BENCH_GROUPS chooses: cycle load list warm pool
# clones stop template boot exec memory.
set -eu

[ -x "$VIRTC" ] || { echo "make bench: $VIRTC is not there; run \"make install\" first" >&2; exit 1; }
[ -n "${BUSYBOX:-}" ] || { echo "make bench: busybox is not there; install busybox-static" >&2; exit 1; }
work=$(mktemp -d /dev/shm/vc-bench.XXXXXX)
# Templates of its own, on a disk as those of pods are.
BENCH_TEMPLATES=$(mktemp -d "${TMPDIR:-/var/tmp}/vc-bench.XXXXXX")
export BENCH_TEMPLATES
trap 'rm -rf "$work" "$BENCH_TEMPLATES"' EXIT
mkdir -p "$work/rootfs/bin" "$work/rootfs/proc" "$work/rootfs/dev" "$work/rootfs/sys" "$work/rootfs/etc" "$work/rootfs/tmp"
cp "$BUSYBOX" "$work/rootfs/bin/busybox"
for a in sh cat dd echo sleep true; do ln -s busybox "$work/rootfs/bin/$a"; done
echo 'root:x:0:0:root:/root:/bin/sh' >"$work/rootfs/etc/passwd"

size() { # NAME BYTES
    [ -n "$2" ] || return 0
    v=$2
    printf '{"name":"%s","unit":"bytes","min":%d,"median":%d,"max":%d,"runs":1}\n' "$1" "$v" "$v" "$v"
}
# The guest's image has a list of what is in it and how long it is: WHAT BYTES SUM.
of_guest() { [ ! -f "$GUEST/manifest" ] || sed -n "s/^$1 \\([0-9]*\\) .*/\\1/p" "$GUEST/manifest"; }
size size_vc_agent "$(of_guest agent)"
size size_initramfs "$(of_guest initramfs)"
size size_vmlinux "$(of_guest vmlinux)"
LD_LIBRARY_PATH="$LIBDIR" "$BENCH" "$VIRTC" "$work/rootfs" "$work" "$@"
