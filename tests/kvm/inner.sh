#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The part of nested.sh that runs where KVM and vsock work. usage: inner.sh STAGE PATH-THE-STAGE-WAS-MADE-FOR BUILD
set -u
stage=$1 made_for=$2 build=$3
work=$(mktemp -d /run/vc-kvm.XXXXXX)
bad=0
check() { # WHAT TEXT PART
    case $2 in *"$3"*) echo "ok: $1" ;; *) bad=1; echo "FAILED: $1: \"$3\" is not in: $2" ;; esac
}
# The stage's scripts name the place it was made for.
if [ "$stage" != "$made_for" ]; then
    mkdir -p "$made_for" && mount --bind "$stage" "$made_for" || { echo "FAILED: cannot show the stage at $made_for"; exit 1; }
fi
. "$made_for/env.sh"
root=$work/rootfs
mkdir -p "$root"/{bin,proc,dev,sys,etc,tmp}
cp "$(command -v busybox)" "$root/bin/busybox"
for a in sh uname id true cat wc; do ln -s busybox "$root/bin/$a"; done
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
# An emulated processor with virtualization is slow, and slower still when the machine does other things.
v() { virtc --set create_timeout=300 --set run_root="$work/run" --set state_root="$work/state" "$@"; }

out=$(v --log-level info run --rm --rootfs "$root" -- sh -c 'uname -r; id; exit 7' 2>&1)
code=$?
[ $code -eq 7 ] && echo "ok: exit code" || { bad=1; echo "FAILED: exit code $code"; }
check "auto took KVM" "$out" "accelerator kvm"
check "over vsock, without a proxy process" "$out" "no proxy process is needed"
check "the container ran" "$out" "uid=0(root)"
out=$(v --set hypervisor_qemu.channel=serial run --rm --rootfs "$root" -- sh -c 'echo over serial' 2>&1)
check "the serial channel under KVM" "$out" "over serial"
out=$(head -c 3000000 /dev/zero | v run --rm -i --rootfs "$root" -- wc -c 2>&1)
check "3 MB of input over vsock" "$out" 3000000
# Templates with hardware virtualization, over both channels.
for channel in vsock serial; do
    for t in test_template test_grow; do
        out=$(VC_TEST_PLUGIN=$build/plugins/hypervisor/qemu/.libs/qemu.so VC_TEST_GUEST=$build/guest \
            VC_TEST_ACCEL=kvm VC_TEST_CHANNEL=$channel VC_TEST_FILTER=$t timeout 330 "$build/tests/vm/test-qemu-vm" 2>&1)
        [ $? -ne 124 ] || out="$t over $channel did not end within 330 s: $out"
        echo "$out" | grep ' took '
        check "$t under KVM over $channel" "$out" "OK ] $t"
    done
done
left=$(find "$work/run" "$work/state" -mindepth 2 2>/dev/null; grep "$work/run" /proc/self/mountinfo; pgrep -a qemu-system)
[ -z "$left" ] && echo "ok: nothing left" || { bad=1; echo "FAILED: left: $left"; }
rm -rf "$work"
exit $bad
