#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Pods and containers that stand still and go on, what is seen of their processes, what they use and may use.
. "$(dirname "$0")/lib.sh"
from_template
root=$work/rootfs
make_rootfs "$root"
ops=$VC_BUILD_DIR/tests/vm/ops

# A container that counts, in its output, as long as it runs.
counter() { # POD ID
    virtc container create --name "$2" --rootfs "$root" --stdout "$work/$2.out" "$1" -- \
        sh -c 'i=0; while :; do i=$((i + 1)); echo $i; sleep 0.02; done' >/dev/null
}
count() { tail -n 1 "$work/$1.out"; }
goes_on() { # ID: returns once it has counted on
    g_from=$(count "$1")
    until [ "$(count "$1")" -gt "${g_from:-0}" ] 2>/dev/null; do sleep 0.02; done
}
# What was on its way when it stopped may still arrive; then nothing comes in a second.
stands_still() { # WHAT ID
    for try in 1 2 3; do
        s_before=$(count "$2")
        sleep 1
        [ "$(count "$2")" = "$s_before" ] && { ok "$1: $2 counts no more"; return; }
    done
    bad "$1: $2 counts on"
}
value() { $ops stats "$1" "$2" | sed -n "s/^$3=//p"; }
at_least() { if [ "$2" -ge "$3" ] 2>/dev/null; then ok "$1 ($2)"; else bad "$1: $2 is below $3"; fi; }

virtc pod create --name p >/dev/null
counter p one
counter p two
virtc container create --name ready --rootfs "$root" p -- sleep 1000000 >/dev/null
refuses "pause of a pod that is ready" 1 "state: cannot pause pod \"p\": it is ready" $ops pod-pause p
virtc pod start p >/dev/null
virtc container create --name late --rootfs "$root" p -- sleep 1000000 >/dev/null
goes_on one
goes_on two

# ---- a pod that stands still (bug-8) ----
uptime() { virtc container exec p one -- cut -d. -f1 /proc/uptime; }
before=$(uptime) began=$(date +%s)
$ops pod-pause p
is "pod pause" $? 0
stands_still "pod pause" one
stands_still "pod pause" two
is "states" "$($ops list p | cut -d' ' -f2 | tr '\n' ' ')" "paused paused paused ready "
has "state of the pod" "$(virtc pod status p)" paused
refuses "pause again" 1 "paused" $ops pod-pause p
refuses "exec" 125 "paused" virtc container exec p one -- true
refuses "kill" 1 "paused" virtc container kill p one TERM
refuses "stop of a container" 1 "paused" virtc container stop p one
refuses "stop without force" 1 "resume it" virtc pod stop p
refuses "delete without force" 1 "paused" virtc pod delete p
refuses "stats" 1 "paused" $ops stats p one
$ops pod-resume p
is "pod resume" $? 0
goes_on one
goes_on two
is "states afterwards" "$($ops list p | cut -d' ' -f2 | tr '\n' ' ')" "running running running ready "
is "exec afterwards" "$(virtc container exec p one -- echo hello)" hello
refuses "resume of one that runs" 1 "must be paused" $ops pod-resume p
if [ "$hypervisor" = qemu ]; then # the guest's own clock has stood still, too: both looks were 1 s each
    stood=$(($(date +%s) - began - ($(uptime) - before)))
    at_least "seconds that the guest has not seen" "$stood" 1
fi

# ---- a container that stands still ----
$ops pause p one
is "container pause" $? 0
stands_still "container pause" one
goes_on two
is "states" "$($ops list p | cut -d' ' -f2 | tr '\n' ' ')" "paused running running ready "
refuses "pause again" 1 "paused" $ops pause p one
refuses "exec in one that is paused" 125 "paused" virtc container exec p one -- true
refuses "stop of one that is paused" 1 "resume it" virtc container stop p one
at_least "stats of one that is paused" "$(value p one cpu)" 1
# The pod's pause is another thing.
$ops pod-pause p
$ops pod-resume p
stands_still "the pod resumed, the container not" one
$ops resume p one
is "container resume" $? 0
goes_on one
$ops pause p one
$ops stop-now p one
is "stop at once of one that is paused" "$($ops list p | head -n 1)" "one stopped 137 oom=0"

# ---- processes ----
virtc container exec --detach p two -- sleep 1234567 >/dev/null
table=$($ops ps p two table)
has "ps: heading" "$(echo "$table" | head -n 1)" "PID"
is "ps: the process that was added" "$(echo "$table" | grep -c 'sleep 1234567$')" 1
is "ps: the kernel's name of it" "$($ops ps p two table -o comm,args | grep 'sleep 1234567$')" "sleep   sleep 1234567"
# (The shell forks fifty times a second, and a child that has not become sleep yet is one more sh.)
is "ps: two columns" "$($ops ps p two table -o comm,uid | sed -n '1p; /^sh /p' | uniq)" "$(printf 'COMMAND UID\nsh        0')"
pid=$($ops ps p two table -o pid,args | sed -n 's/^ *\([0-9]*\) sleep 1234567$/\1/p')
has "ps: JSON" "$($ops ps p two json -o pid,cmd)" "{\"pid\":$pid,\"cmd\":\"sleep 1234567\"}"
has "ps: the same program in the parent's column" "$($ops ps p two json)" '"ppid":'
refuses "ps: an argument that is not known" 1 "invalid: the argument \"--forest\"" $ops ps p two table --forest
refuses "ps of one that is ready" 1 "ready and must be running" $ops ps p late table

# ---- signals for all, and for one that has not been started (bug-25) ----
virtc container exec --detach p two -- sh -c 'trap "" TERM; while :; do sleep 0.1; done' >/dev/null
virtc container kill --all p two KILL
virtc container wait p two >/dev/null
is "kill --all" "$($ops list p | grep '^two ')" "two stopped 137 oom=0"
virtc container kill p late KILL
is "kill of one that was never started" "$(virtc container wait p late)" 137
has "it is stopped" "$($ops list p)" "late stopped 137"

# ---- enter, console, annotations ----
virtc pod create --name e >/dev/null
virtc container create --name first --rootfs "$root" e -- sleep 1000000 >/dev/null
virtc container create --name second --rootfs "$root" e -- sleep 2000000 >/dev/null
refuses "enter a pod that is ready" 1 "ready" $ops enter e true
virtc pod start e >/dev/null
is "enter: in the first container" "$($ops enter e sh -c 'tr "\0" " " </proc/1/cmdline; echo; exit 7' | tr '\n' ';')" \
    "sleep 1000000 ;status 7;"
$ops annotate e "note=from a test" "other="
has "annotations" "$(virtc --json pod status e)" '"annotations":{"note":"from a test","other":""}'
has "its token and pod" "$($ops status e second)" '"pod":"e","token":"second"'
console=$($ops console e)
if [ "$hypervisor" = qemu ]; then
    is "console: there is none" "$console" ""
    virtc --set template=off --set hypervisor_qemu.console_log=true pod create --name c >/dev/null
    console=$($ops console c)
    is "console" "$console" "file://$run_root/pods/c/hypervisor/console.log"
    is "what stands there" "$(grep -c 'Run /init' "${console#file://}")" 1
    virtc pod stop c >/dev/null
    is "console of a stopped pod" "$($ops console c)" ""
    virtc pod delete c >/dev/null
else
    is "console" "$console" "file://$run_root/pods/e/hypervisor/console.log"
    [ -f "${console#file://}" ] || bad "there is no ${console#file://}"
fi

# ---- a process of the host in the place of a shim ----
sleep 1000003 &
stand_in=$!
$ops set-pid e second $stand_in
has "set pid" "$(virtc --json container status e second)" "\"pid\":$stand_in"
virtc container stop --timeout 1 e second >/dev/null
wait $stand_in
is "stop kills it" $? 137
has "stopped" "$($ops list e)" "second stopped"
$ops pod-pause e
virtc pod stop --force e >/dev/null
is "stop --force of a paused pod" "$? $(virtc pod status e | grep -c stopped)" "0 3"
virtc pod delete e >/dev/null
$ops pod-pause p
virtc pod delete --force p >/dev/null
is "delete --force of a paused pod" $? 0
nothing_left "after delete"
[ "$hypervisor" = qemu ] || finish

# ---- what is used, and limits: the guest needs its controllers ----
virtc pod create --name m >/dev/null
virtc container create --name eats --rootfs "$root" m -- sh -c 'until [ -e /tmp/go ]; do sleep 0.05; done; exec tail /dev/zero' >/dev/null
virtc container create --name burns --rootfs "$root" --stdout "$work/burns.out" m -- sh -c 'while :; do :; done' >/dev/null
virtc container create --name plain --rootfs "$root" m -- sleep 1000000 >/dev/null
$ops update m eats memory=100000000
is "update of one that is ready" $? 0
virtc pod start m >/dev/null
is "its limit" "$(value m eats memory_limit)" 99999744 # whole pages
used=$(value m eats memory) # it is only beginning: what is asked for later is more
at_least "memory" "$used" 4096
at_least "memory peak" "$(value m eats memory_peak)" "$used"
is "no limits" "$(value m plain memory_limit) $(value m plain pids_limit) $(value m plain oom_kills)" "0 0 0"
is "pids" "$(value m plain pids)" 1
cpu=$(value m burns cpu)
until [ "$(value m burns cpu)" -gt $((cpu + 100000000)) ]; do :; done
at_least "processor time of the program itself" "$(value m burns cpu_user)" 1000000
is "not throttled" "$(value m burns throttled_periods)" 0
$ops update m burns quota=20000 pids=5
until [ "$(value m burns throttled_periods)" -gt 2 ]; do :; done
at_least "throttled for" "$(value m burns throttled)" 1000000
is "limit of processes" "$(value m burns pids_limit)" 5
$ops update m burns quota=-1
periods=$(value m burns throttled_periods) cpu=$(value m burns cpu)
until [ "$(value m burns cpu)" -gt $((cpu + 300000000)) ]; do :; done
between=$(($(value m burns throttled_periods) - periods))
if [ $between -le 1 ]; then ok "quota lifted"; else bad "quota lifted: throttled $between times more"; fi
refuses "a limit that the guest has not" 1 "reservation" $ops update m burns 'json={"memory":{"reservation":"x"}}'
refuses "a section that nobody has" 1 "no section" $ops update m burns 'json={"ram":{}}'
refuses "nothing" 1 "no limit" $ops update m burns
refuses "half of it cannot be done" 1 "swappiness" $ops update m burns quota=30000 'json={"memory":{"swappiness":7}}'
has "then none of it is" "$(virtc container exec m burns -- cat /sys/fs/cgroup/cpu.max)" "max 100000"
$ops update m eats memory=33554432
is "new limit" "$(value m eats memory_limit)" 33554432
virtc container exec m eats -- touch /tmp/go
is "killed for want of memory" "$(virtc container wait m eats)" 137
has "and the status says so" "$($ops list m)" "eats stopped 137 oom=1"
has "in JSON, too" "$(virtc --json container status m eats)" '"oom_killed":true'
virtc container kill m plain KILL
is "killed by a signal" "$(virtc container wait m plain)" 137
has "is another thing" "$($ops list m)" "plain stopped 137 oom=0"
# Another boot of the pod: the new limits. What stands still need not be resumed for it.
rm -f "$root/tmp/go"
$ops pause m burns
virtc pod stop m >/dev/null
has "stop of a pod with a paused container" "$($ops list m)" "burns stopped 137"
has "after the stop it is still known" "$($ops list m)" "eats stopped 137 oom=1"
virtc pod start m >/dev/null
is "limits outlive a restart" "$(value m eats memory_limit) $(value m burns pids_limit)" "33554432 5"
has "and the reason is forgotten" "$($ops list m)" "eats running -1 oom=0"
virtc pod delete --force m >/dev/null
nothing_left "at the end"
finish
