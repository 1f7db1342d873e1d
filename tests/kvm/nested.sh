#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# KVM and vsock for real on a machine that has neither: an emulated machine with AMD-V is booted by QEMU (TCG), this
# machine's files are its root, and in it virtc runs containers with its default configuration. Shows that "auto" takes
# KVM and vsock where they work. On a host that has both, the same commands are run directly.
set -u
export LC_ALL=C
: "${VC_STAGE:?run by make check-kvm}" "${VC_BUILD_DIR:?}"
here=$(cd "$(dirname "$0")" && pwd)
inner=$here/inner.sh
if grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ] && [ -w /dev/vhost-vsock ]; then
    exec "$inner" "$VC_STAGE" "$VC_STAGE" "$VC_BUILD_DIR"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
deb=$(find "${GUEST_CACHE:-$VC_BUILD_DIR/guest/cache}" -name 'linux-image-*.deb' 2>/dev/null | sort -V | tail -n 1)
[ -n "$deb" ] || { echo "nested: no kernel package in the guest's cache; run make guest"; exit 99; }
dpkg-deb -x "$deb" "$work/deb" || exit 99
version=$(ls "$work/deb/lib/modules" | head -n 1)
depmod -b "$work/deb" "$version" || exit 99

# The initramfs of the outer guest: busybox, the modules in order of loading, and a script.
root=$work/root
mkdir -p "$root"/{bin,dev,proc,sys,host,modules}
cp "$(command -v busybox)" "$root/bin/busybox" || exit 99
for m in virtio_pci 9p 9pnet_virtio kvm_amd vhost_vsock; do
    modprobe -d "$work/deb" -S "$version" --show-depends "$m" | sed -n 's/^insmod //p'
done | awk '!seen[$1]++ { print $1 }' >"$work/list"
while read -r ko; do
    cp "$ko" "$root/modules/" && basename "$ko" >>"$root/modules/order"
done <"$work/list"
cat >"$root/init" <<END
#!/bin/busybox sh
b=/bin/busybox
\$b mount -t proc proc /proc; \$b mount -t sysfs sys /sys; \$b mount -t devtmpfs dev /dev
while read -r m; do \$b insmod /modules/\$m || echo "nested: insmod \$m failed"; done </modules/order
\$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro hostroot /host || echo "nested: no root"
for d in run tmp var/tmp mnt; do \$b mount -t tmpfs -o mode=1777 tmp /host/\$d; done
\$b mount -t proc proc /host/proc; \$b mount -t sysfs sys /host/sys; \$b mount -t devtmpfs dev /host/dev
\$b mkdir -p /host/dev/shm /host/dev/pts; \$b mount -t tmpfs tmp /host/dev/shm; \$b mount -t devpts pts /host/dev/pts
\$b mount -t cgroup2 cg /host/sys/fs/cgroup 2>/dev/null
\$b ip link set lo up 2>/dev/null
# The directories under test may lie below /tmp, which is another file system in there: they come by shares of their own.
\$b mkdir -p /host/mnt/stage /host/mnt/tests /host/mnt/build
\$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro stage /host/mnt/stage
\$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro tests /host/mnt/tests
\$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro build /host/mnt/build
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
\$b chroot /host /bin/bash /mnt/tests/inner.sh /mnt/stage '$VC_STAGE' /mnt/build
echo "nested: inner exit \$?"
\$b poweroff -f
END
chmod 755 "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initrd" || exit 99

share() { echo "-fsdev local,id=$1,path=$2,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=$1,mount_tag=$1"; }
# One processor: with two, TCG's AMD-V now and then loses an interrupt that one of them sends to the other, and both wait
# for ever (the kernel then reports soft lockups; one run in three).  One that sleeps now and then loses the timer's: it
# polls, and its timer is periodic.
params="quiet console=ttyS0 panic=-1 no_timer_check noreplace-smp mitigations=off cryptomgr.notests tsc=reliable"
params="$params idle=poll nohz=off highres=off"
machine() {
    # shellcheck disable=SC2046
    timeout -k 10 400 qemu-system-x86_64 -machine q35 -accel tcg -cpu max -m 3G -smp 1 -nodefaults -no-user-config \
        -display none -no-reboot -kernel "$VC_BUILD_DIR/guest/vmlinux" -initrd "$work/initrd" \
        -append "$params" \
        $(share hostroot /) $(share stage "$VC_STAGE") $(share tests "$here") $(share build "$VC_BUILD_DIR") \
        -serial stdio </dev/null
}
# What the emulated machine says goes into the log at once, so that of a run that is cut off everything up to there is
# known.  A machine that came to a standstill is started once more, and that is said; a wrong result is never repeated.
for try in 1 2 3; do
    machine | tr -d '\r' | tee "$work/console"
    grep -q '^nested: inner exit 0' "$work/console" && exit 0
    if grep -q '^nested: inner exit' "$work/console" &&
        ! grep -qE 'soft lockup|detected stalls|did not answer|did not end within' "$work/console"; then
        exit 1
    fi
    echo "nested: note: the emulated machine came to a standstill (try $try of 3)"
done
exit 1
