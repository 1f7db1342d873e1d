#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The container tests of vc-agent in a VM, with an initramfs as root (no pivot_root there) and all cgroup version 2
# controllers, neither of which the build machine has.
set -eu
build=${VC_BUILD_DIR:?}
kernel=$build/guest/vmlinux
test -f "$kernel" || { echo "no $kernel: make guest" >&2; exit 1; }
busybox=$(command -v busybox)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
tests="test-agent-container test-agent-container-exec test-agent-alone"

cat >"$tmp/init" <<'INIT'
#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
$B mount -t tmpfs run /run
$B mount -t cgroup2 cgroup /sys/fs/cgroup
exec >/dev/ttyS0 2>&1 </dev/null
export LD_LIBRARY_PATH=/lib
export VC_AGENT=/bin/vc-agent
for t in test-agent-container test-agent-container-exec test-agent-alone; do
    /bin/$t
    echo "status of $t: $?."
done
$B poweroff -f
INIT
chmod 755 "$tmp/init"

{
    for d in bin usr usr/bin lib lib64 proc sys dev tmp run; do echo "dir $d 755"; done
    echo "char dev/console 600 5 1"
    echo "file init 755 $tmp/init"
    # The tests look for it where configure has found it.
    echo "file bin/busybox 755 $busybox"
    echo "link usr/bin/busybox /bin/busybox"
    echo "file bin/vc-agent 755 $build/plugins/agent/kata/guest/vc-agent"
    for t in $tests; do
        program=$build/tests/root/$t
        test ! -x "$build/tests/root/.libs/$t" || program=$build/tests/root/.libs/$t
        echo "file bin/$t 755 $program"
        ldd "$program" >&2
        ldd "$program" | sed -n 's|.*=> \(/[^ ]*\) .*|\1|p; s|^[[:space:]]*\(/[^ ]*\) .*|\1|p' >>"$tmp/libs"
    done
    sort -u "$tmp/libs" | while read -r lib; do
        case $lib in
        */ld-linux*) echo "file ${lib#/} 755 $(readlink -f "$lib")" ;;
        *) echo "file lib/${lib##*/} 755 $(readlink -f "$lib")" ;;
        esac
    done
} >"$tmp/list" 2>"$tmp/ldd"
"$build/plugins/agent/kata/guest/image/vc-mkcpio" "$tmp/list" "$tmp/initramfs.cpio"

# Forced to TCG: whether a /dev/kvm that opens also works is not for this test to find out.
timeout 240 qemu-system-x86_64 -machine q35,accel=tcg -cpu max -m 512M -nodefaults -no-reboot -display none \
    -bios qboot.rom -kernel "$kernel" -initrd "$tmp/initramfs.cpio" -serial "file:$tmp/log" \
    -append "quiet panic=-1 console=ttyS0 no_timer_check nolapic_timer noreplace-smp cryptomgr.notests"
cat "$tmp/log"
for t in $tests; do
    grep -q "status of $t: 0\." "$tmp/log" || { echo "$t failed in the VM" >&2; exit 1; }
done
# What the VM is for must not have been left out.
! grep SKIPPED "$tmp/log"
