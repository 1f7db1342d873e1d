#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What dies or falls silent, with real processes in place of a VM: a shim killed by hand, the agent killed or stopped,
# the outer process stopped. Nobody waits long, status says what is true, stop and delete work, nothing is left, and
# processes that have nothing to do with the pod go on.
VC_TEST_HYPERVISOR=ns
. "$(dirname "$0")/../vm/lib.sh"
root=$work/rootfs
make_rootfs "$root"
number() { sed -n "s/.*\"$1\":\([0-9-]*\).*/\1/p" | head -n 1; }
now_ms() { read -r up _ </proc/uptime; echo "${up%.*}${up#*.}0"; }
begin_ms=0
long=$((1000000 + $$)) # by which its process is known among all
start_clock() { begin_ms=$(now_ms); }
within() { # MS WHAT
    took=$(($(now_ms) - begin_ms))
    [ $took -lt "$1" ] && ok "$2 within $1 ms" || bad "$2: it took $took ms, more than $1"
}
begin() {
    virtc pod create --name d >/dev/null &&
        virtc container create --name c --rootfs "$root" d -- sleep $long >/dev/null && virtc pod start d >/dev/null
    is "pod runs" $? 0
    outer=$(virtc --json pod status d | number vmm_pid)
    inner=$(pgrep -P "$outer")
}
in_guest() { pgrep -f "sleep $long\$" | wc -l; }

sleep 1000004 &
stranger=$!

# ---- the shim, killed by hand while the container runs ----
begin
shim=$(virtc --json container status d c | number pid)
virtc container wait d c >"$work/waited" 2>&1 &
waiter=$!
start_clock
kill -9 "$shim"
wait $waiter
within 5000 "shim killed: wait returns"
is "shim killed: nobody knows its status" "$(cat "$work/waited")" 255
has "shim killed: status" "$(virtc container status d c)" stopped
has "shim killed: the pod runs on" "$(virtc pod status d)" running
is "shim killed: the process in the guest runs on" "$(in_guest)" 1
start_clock
virtc container stop d c >/dev/null
is "shim killed: stop" $? 0
within 5000 "shim killed: stop"
i=0
until [ "$(in_guest)" = 0 ] || [ $i -ge 100 ]; do sleep 0.05; i=$((i + 1)); done
is "shim killed: stop ends the process in the guest" "$(in_guest)" 0
virtc container delete d c >/dev/null
is "shim killed: container delete" $? 0
virtc container create --name c --rootfs "$root" d -- sleep $long >/dev/null && virtc container start d c >/dev/null
is "shim killed: the id can be used again" $? 0
virtc pod delete --force d >/dev/null
nothing_left "shim killed"

# ---- a stopped shim: its container still ends, and the pod as well ----
begin
kill -STOP "$(virtc --json container status d c | number pid)"
start_clock
virtc pod delete --force d >/dev/null
is "shim stopped: delete" $? 0
within 8000 "shim stopped: delete"
nothing_left "shim stopped"

# ---- the agent stops answering ----
for victim in agent outer; do
    begin
    case $victim in agent) pid=$inner ;; *) pid=$outer ;; esac
    kill -STOP "$pid"
    start_clock
    has "$victim stopped: status" "$(virtc pod status d)" running
    within 2000 "$victim stopped: status"
    if [ "$victim" = agent ]; then
        start_clock
        err=$(virtc --set call_timeout=1 container exec d c -- true 2>&1) && bad "$victim stopped: exec works"
        has "$victim stopped: says who does not answer" "$err" agent
        within 5000 "$victim stopped: exec gives up"
    fi
    start_clock
    virtc --set call_timeout=2 --set stop_timeout=1 pod stop d >/dev/null 2>&1
    is "$victim stopped: stop" $? 0
    within 15000 "$victim stopped: stop"
    virtc pod delete d >/dev/null
    is "$victim stopped: delete" $? 0
    nothing_left "$victim stopped"
done

# ---- and is killed ----
begin
virtc container wait d c >"$work/waited" 2>&1 &
waiter=$!
start_clock
kill -9 "$inner"
wait $waiter
within 5000 "agent killed: wait returns"
case $(cat "$work/waited") in 137 | 255) ok "agent killed: exit status $(cat "$work/waited")" ;; *) bad "agent killed: wait says $(cat "$work/waited")" ;; esac
i=0
until virtc pod status d | grep -q stopped || [ $i -ge 100 ]; do sleep 0.05; i=$((i + 1)); done
has "agent killed: status" "$(virtc pod status d)" stopped
start_clock
virtc pod stop d >/dev/null
is "agent killed: stop" $? 0 # bug-11: a VM that is dead can be stopped
virtc pod stop d >/dev/null
is "agent killed: stop again" $? 0 # bug-4
virtc pod start d >/dev/null
is "agent killed: it can be started again" $? 0
virtc pod delete --force d >/dev/null
within 15000 "agent killed: stop, start and delete"
nothing_left "agent killed"

kill -0 $stranger 2>/dev/null
is "a stranger lives" $? 0
kill $stranger
wait $stranger 2>/dev/null
finish
