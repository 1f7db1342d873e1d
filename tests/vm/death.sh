#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What dies is told: QEMU killed, proxy killed, shim killed, agent stopped.
. "$(dirname "$0")/lib.sh"
root=$work/rootfs
make_rootfs "$root"
number() { sed -n "s/.*\"$1\":\([0-9-]*\).*/\1/p" | head -n 1; }
begin() {
    virtc pod create --name d >/dev/null &&
        virtc container create --name c --rootfs "$root" d -- sleep 1000000 >/dev/null && virtc pod start d >/dev/null
    is "pod runs" $? 0
}

begin
virtc container exec d c -- sleep 1000000 &
exec_pid=$!
until virtc container exec d c -- ps 2>/dev/null | grep -q 'sleep 1000000$'; do sleep 0.05; done
kill -9 "$(virtc --json pod status d | number vmm_pid)"
wait $exec_pid
code=$?
[ $code -ne 0 ] && ok "QEMU killed: exec ends with $code" || bad "QEMU killed: exec reports success"
has "QEMU killed: status" "$(virtc pod status d)" stopped
json=$(virtc --json pod status d)
has "QEMU killed: the container is stopped" "$json" '"state":"stopped"'
exit_status=$(virtc --json container status d c | number exit_status)
case $exit_status in 137 | 255) ok "QEMU killed: exit status $exit_status" ;; *) bad "QEMU killed: exit status $exit_status" ;; esac
virtc pod delete d >/dev/null
is "QEMU killed: delete" $? 0
nothing_left "QEMU killed"

begin
shim=$(virtc --json container status d c | number pid)
kill -9 "$shim"
virtc container stop --timeout 0 d c >/dev/null
is "shim killed: stop" $? 0
has "shim killed: the container is stopped" "$(virtc container status d c)" stopped
virtc pod delete --force d >/dev/null
is "shim killed: delete" $? 0
nothing_left "shim killed"

# The guest stops answering: the VM is frozen from outside, so the agent is silent. The call ends at its deadline.
begin
vmm=$(virtc --json pod status d | number vmm_pid)
kill -STOP "$vmm"
status=0
err=$(virtc --set call_timeout=2 container exec d c -- true 2>&1) || status=$?
is "silent agent: exec fails" "$status" 125
has "silent agent: says who did not answer" "$err" "agent"
has "silent agent: says for how long" "$err" "2.0 s"
virtc --set call_timeout=2 pod delete --force d >/dev/null
is "silent agent: delete --force" $? 0
nothing_left "silent agent"
finish
