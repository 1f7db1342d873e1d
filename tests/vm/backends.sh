#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Backends by configuration alone, the accelerator's choice, and what is said when something is missing.
. "$(dirname "$0")/lib.sh"
from_template
root=$work/rootfs
make_rootfs "$root"

grep -v '^template = ' "$VCCORE_CONFIG" >"$work/mock.conf"
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
# Looking needs neither the guest's files nor the VMM.
is "create --defer" "$(virtc pod create --defer --name later)" later
is "create --defer: no VM yet" "$(virtc --json pod status later | grep -c '"vmm_pid":0')" 1
gone="virtc --set hypervisor_qemu.path=/no/qemu --set hypervisor_qemu.kernel=/no/kernel --set hypervisor_qemu.initrd=/no/initrd"
has "list with the VMM and the guest gone" "$($gone pod list)" "later   ready  qemu"
has "status with the VMM and the guest gone" "$($gone pod status later)" later
refuses "start with the VMM gone" 1 "/no/" $gone pod start later
is "start boots it" "$(virtc pod start later)" later
has "it runs" "$($gone pod status later)" running
refuses "delete of a pod that runs" 1 "running" $gone pod delete later
$gone pod delete --force later >/dev/null
is "delete with the VMM's files gone" $? 0
nothing_left "create --defer"
refuses "a QEMU that is not there" 1 "/no/qemu" virtc --set hypervisor_qemu.path=/no/qemu pod create
refuses "an accelerator that does not exist" 1 accelerator virtc --set hypervisor_qemu.accelerator=xen pod create
nothing_left "refused"
has "config check" "$(virtc config check)" "qemu"
has "config show" "$(virtc config show)" "hypervisor"
has "plugin list" "$(virtc plugin list)" "qemu"
has "plugin help" "$(virtc plugin help qemu)" "accelerator"
nothing_left "at the end"
finish
