#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Backends by configuration alone, the accelerator's choice, and what is said when something is missing.
. "$(dirname "$0")/lib.sh"
root=$work/rootfs
make_rootfs "$root"

sed 's/^/ /' "$VC_STAGE/vccore.conf" >"$work/mock.conf"
printf 'hypervisor = "mock"; agent = "noop"; proxy = "noop"; shim = "noop"; network = "noop";\n' >>"$work/mock.conf"
chmod 644 "$work/mock.conf"
m="virtc --config $work/mock.conf"
is "mock: create" "$($m pod create --name m)" m
is "mock: start" "$($m pod start m)" m
has "mock: list" "$($m pod list)" "m       running  mock        noop"
is "mock: stop" "$($m pod stop m)" m
is "mock: delete" "$($m pod delete m)" m
nothing_left "mock"

refuses "unknown hypervisor" 1 "mock, qemu" virtc --set hypervisor=nosuch pod create
refuses "unknown agent" 1 "kata, noop" virtc --set agent=nosuch pod create
refuses "no kernel" 1 "make guest" virtc --set hypervisor_qemu.kernel=/no/kernel pod create
refuses "no initramfs" 1 "make guest" virtc --set hypervisor_qemu.initrd=/no/initrd pod create
refuses "unknown key" 1 "hypervisr" virtc --set hypervisr=qemu pod list
refuses "wrong type" 1 "memory" virtc --set hypervisor_qemu.memory=lots pod create
printf 'hypervisor = 7;\n' >"$work/bad.conf"
refuses "wrong type in a file" 1 "$work/bad.conf:1" virtc --config "$work/bad.conf" pod list
printf 'hypervisr = "qemu";\n' >"$work/bad.conf"
refuses "unknown key in a file" 1 "$work/bad.conf:1" virtc --config "$work/bad.conf" pod list
chmod 666 "$work/bad.conf"
refuses "a configuration that others can write" 1 "$work/bad.conf" virtc --config "$work/bad.conf" pod list
refuses "a configuration that is not there" 1 "$work/none.conf" virtc --config "$work/none.conf" pod list
nothing_left "refused"

# auto takes KVM only where it can work; this is checked against what the processor says.
log=$(virtc --log-level info run --rm --rootfs "$root" -- true 2>&1)
has "auto says which accelerator it took" "$log" "accelerator"
if grep -qwE 'vmx|svm' /proc/cpuinfo; then
    echo "note: this machine has hardware virtualization"
else
    has "auto takes TCG where there is no hardware virtualization" "$log" "tcg"
fi
virtc --set hypervisor_qemu.accelerator=tcg run --rm --rootfs "$root" -- true
is "tcg can be forced" $? 0
has "config check" "$(virtc config check)" "qemu"
has "config show" "$(virtc config show)" "hypervisor"
has "plugin list" "$(virtc plugin list)" "qemu"
has "plugin help" "$(virtc plugin help qemu)" "accelerator"
nothing_left "at the end"
finish
