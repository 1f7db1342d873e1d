#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest that boots loads the kernel modules that it needs, no others before it is idle, and all of them then. One that
# comes from a template has all of them from the start.
. "$(dirname "$0")/lib.sh"

root=$work/root
make_rootfs "$root"
# At the start only the channel and the share.  A machine that stands still for a second makes a guest idle: that is
# no failure, so it has three tries.
try=0
while try=$((try + 1)) && [ $try -le 3 ]; do
    early=$(virtc run --rm --template off --rootfs "$root" -- cat /proc/modules | cut -d ' ' -f 1)
    echo "$early" | grep -q '^virtio_net$\|^overlay$\|^vsock$\|^virtiofs$' || break
done
has "the share's modules are there" "$early" 9p
is "nothing else is, at first" "$(echo "$early" | grep -c '^virtio_net$\|^overlay$\|^vsock$\|^virtiofs$')" 0

virtc pod create --template off --name mods >/dev/null
virtc container create --name c --rootfs "$root" mods -- sleep 100000 >/dev/null
virtc pod start mods >/dev/null
# One call that looks inside the guest until the last one is there, since calls keep the agent from being idle.
late=$(virtc container exec mods c -- sh -c 'n=0
    until grep -q "^virtio_rng " /proc/modules || [ $n -eq 200 ]; do n=$((n + 1)); sleep 0.1; done
    cat /proc/modules' | cut -d ' ' -f 1)
all="virtio_net virtio_blk virtio_mem virtio_rng vsock virtiofs overlay"
for m in $all; do
    is "an idle guest has loaded $m" "$(echo "$late" | grep -c "^$m\$")" 1
done
virtc pod delete --force mods >/dev/null

from_template
first=$(virtc run --rm --rootfs "$root" -- cat /proc/modules | cut -d ' ' -f 1)
for m in $all; do
    is "a guest from a template has $m" "$(echo "$first" | grep -c "^$m\$")" 1
done
nothing_left "at the end"
finish
