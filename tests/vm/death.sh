#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What dies is told: QEMU killed, proxy killed, shim killed, agent stopped.
. "$(dirname "$0")/lib.sh"
from_template
root=$work/rootfs
make_rootfs "$root"
number() { sed -n "s/.*\"$1\":\([0-9-]*\).*/\1/p" | head -n 1; }
begin() {
    virtc pod create --name d >/dev/null &&
        virtc container create --name c --rootfs "$root" d -- sleep 1000000 >/dev/null && virtc pod start d >/dev/null
    is "pod runs" $? 0
}

now_ms() { read -r up _ </proc/uptime; echo "${up%.*}${up#*.}0"; }

begin
virtc container exec d c -- sh -c 'echo up; exec sleep 1000001' >"$work/exec.out" 2>"$work/exec.err" &
exec_pid=$!
virtc container wait d c >"$work/waited" 2>"$work/wait.err" &
wait_pid=$!
until grep -q up "$work/exec.out" 2>/dev/null || ! kill -0 $exec_pid 2>/dev/null; do sleep 0.05; done
begin_ms=$(now_ms)
kill -9 "$(virtc --json pod status d | number vmm_pid)"
wait $exec_pid
code=$?
took=$(($(now_ms) - begin_ms))
case $code in 137 | 255) ok "QEMU killed: exec ends with $code" ;; *) bad "QEMU killed: exec ends with $code" ;; esac
[ $took -lt 15000 ] && ok "QEMU killed: exec ends at once" || bad "QEMU killed: exec ended only after $took ms"
wait $wait_pid
case $(cat "$work/waited") in 137 | 255) ok "QEMU killed: wait returns" ;; *) bad "QEMU killed: wait says $(cat "$work/waited" "$work/wait.err")" ;; esac
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

# vc-proxy owns the channel to the guest: without it the VM cannot be reached, and nobody waits for ever.
begin
proxy=
for p in $(grep -a -l -F -e "$run_root" /proc/[0-9]*/cmdline 2>/dev/null); do
    case $(cmdline "${p%/cmdline}") in *vc-proxy*"$run_root"*) proxy=${p#/proc/} proxy=${proxy%/cmdline} ;; esac
done
begin_ms=$(now_ms)
kill -9 "$proxy"
status=0
err=$(virtc container exec d c -- true 2>&1) || status=$?
is "proxy killed: exec fails" "$status" 125
# The container's shim loses its connection too and may have said so already.
case $err in
*"the proxy of pod \"d\" (process $proxy) has ended"* | *'of pod "d": it is stopped'*) ok "proxy killed: says why" ;;
*) bad "proxy killed: says only: $err" ;;
esac
status=$(virtc pod status d)
has "proxy killed: the pod is broken" "$status" broken
has "proxy killed: its status says why" "$status" "its proxy (process $proxy) has ended"
virtc container wait --timeout 20 d c >"$work/waited" 2>&1
is "proxy killed: the container is lost" "$(cat "$work/waited")" 255
took=$(($(now_ms) - begin_ms))
[ $took -lt 10000 ] && ok "proxy killed: told at once" || bad "proxy killed: told only after $took ms"
virtc pod delete --force d >/dev/null
is "proxy killed: delete" $? 0
nothing_left "proxy killed"

# virtc itself, while the command runs: the pod belonged to it.
virtc run --name owned --rootfs "$root" -- sh -c 'echo up; exec sleep 1000000' >"$work/run.out" 2>"$work/run.err" &
run_pid=$!
until grep -q up "$work/run.out" 2>/dev/null || ! kill -0 $run_pid 2>/dev/null; do sleep 0.05; done
kill -9 "$(pgrep -P $run_pid virtc || echo $run_pid)"
wait $run_pid 2>/dev/null
has "virtc run killed: gc finds the pod" "$(virtc gc)" owned
is "virtc run killed: the pod is gone" "$(virtc pod list | grep -c owned)" 0
nothing_left "virtc run killed"

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

# The same for a stop, which asks first: one question is enough to see it.
begin
kill -STOP "$(virtc --json pod status d | number vmm_pid)"
begin_ms=$(now_ms)
virtc --set stop_timeout=2 pod stop d >/dev/null
is "silent guest: stop" $? 0
took=$(($(now_ms) - begin_ms))
[ $took -lt 15000 ] && ok "silent guest: stopped in time" || bad "silent guest: stopped only after $took ms"
virtc pod delete d >/dev/null
is "silent guest: delete" $? 0
nothing_left "silent guest"
finish
