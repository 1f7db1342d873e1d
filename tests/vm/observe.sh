#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Looking at real containers: ps, stats, events, logs; enter, limits and sizes that have an effect (bug-19).
. "$(dirname "$0")/lib.sh"
from_template
root=$work/rootfs
make_rootfs "$root"
shows() { # FILE TEXT: waits until it is there
    for try in $(seq 600); do
        grep -qF -e "$2" "$1" 2>/dev/null && return 0
        sleep 0.05
    done
    bad "\"$2\" does not come: $(tail -c 500 "$1")"
}

# ---- events, from before the pod is there ----
virtc events >"$work/all" 2>&1 &
all_pid=$!
for try in $(seq 100); do
    virtc pod create --name first >/dev/null
    grep -q "pod-created first" "$work/all" && { virtc pod delete first >/dev/null; break; }
    sleep 0.05
    virtc pod delete first >/dev/null
done
shows "$work/all" "pod-deleted first"
is "pod create" "$(virtc pod create --name o --container c --rootfs "$root" -- sh -c 'sleep 1000001 & exec sleep 1000000')" o
virtc --json events o --until-stopped >"$work/one" 2>&1 &
one_pid=$!
virtc pod start o >/dev/null
shows "$work/all" "container-started o c"

# ---- ps ----
for try in $(seq 200); do
    out=$(virtc ps o)
    [ "$(echo "$out" | grep -c 'sleep 100000[01]$')" = 2 ] && ! echo "$out" | grep -q 'sh -c' && break
    sleep 0.05
done
has "ps: a heading" "$(echo "$out" | head -n 1)" PID
is "ps: its processes" "$(echo "$out" | grep -c 'sleep 100000[01]')" 2
is "ps: chosen columns" "$(virtc --no-headers ps o -- -o args | sed 's/^ *//' | sort | tr '\n' ' ')" "sleep 1000000 sleep 1000001 "
has "ps --json" "$(virtc --json ps o)" '"sleep 1000001"'
is "ps --format json is the same" "$(virtc container ps --format json o c)" "$(virtc --json ps o c)"
refuses "ps: columns that nobody knows" 1 "nosuch" virtc ps o -- -o nosuch
refuses "ps: no such container" 1 '"d"' virtc ps o d

# ---- enter, kill, wait ----
is "pod enter" "$(virtc pod enter o -- sh -c 'hostname; exit 3'; echo $?)" "$(printf 'o\n3')"
is "container enter" "$(virtc container enter o -- echo in)" in
id=$(virtc exec -d o -- sleep 1000002)
shows "$work/all" "exec-started o c exec=$id"
virtc kill --exec "$id" -s KILL o
is "wait --exec" "$(virtc wait --exec "$id" o)" 137
shows "$work/all" "exec-exited o c exec=$id exit=137"
refuses "wait --timeout" 1 "" virtc wait --timeout 0 o

# ---- stats ----
out=$(virtc stats o)
has "stats: a heading" "$out" "CPU TIME"
is "stats: its line" "$(echo "$out" | awk 'NR > 1 { print $1, $2 }')" "o c"
virtc stats --stream --interval 1 o c >"$work/stream" 2>&1 &
stream_pid=$!
has "stats --json" "$(virtc --json stats o)" '"pod":"o","container":"c","time_ns":'
if [ "$hypervisor" = qemu ]; then
    memory=$(virtc --json stats o | sed -n 's/.*"memory_usage":\([0-9]*\).*/\1/p')
    [ "${memory:-0}" -gt 4096 ] && ok "stats: memory ($memory)" || bad "stats: memory: $memory"
    virtc container update -m 64M --pids-limit 50 o >/dev/null
    is "update" "$(virtc exec o -- sh -c 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max' | tr '\n' ' ')" "67108864 50 "
    has "stats: the limit" "$(virtc stats o)" "64 MiB"
    echo '{ "MemoryLimit": 33554432, "PidsLimit": 70 }' >"$work/limits"
    virtc container update --from "$work/limits" --pids-limit 60 o >/dev/null
    is "update --from: options win" "$(virtc exec o -- sh -c 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max' | tr '\n' ' ')" "33554432 60 "
fi
shows "$work/stream" "%"
is "stats --stream: one heading" "$(grep -c 'POD ID' "$work/stream")" 1

# ---- the end of things ----
virtc kill o c KILL
is "wait" "$(virtc wait o)" 137
shows "$work/all" "container-exited o c exit=137"
wait $stream_pid
is "stats --stream ends with its container" $? 0
virtc pod stop o >/dev/null
wait $one_pid
is "events --until-stopped" $? 0
is "what it saw of the pod" "$(sed -n 's/.*"type":"\([a-z-]*\)".*/\1/p' "$work/one" | grep -v exec | tr '\n' ' ')" \
    "pod-started container-started container-exited pod-stopped "
virtc pod delete o >/dev/null
shows "$work/all" "pod-deleted o"
kill -TERM $all_pid
wait $all_pid
is "events end with a signal" $? 143

# ---- the guest's console ----
if [ "$hypervisor" = qemu ]; then
    virtc pod create --name l --template off --option hypervisor.console_log=true --memory 300M --cpus 2 --container c --rootfs "$root" \
        -- sh -c 'grep -c ^processor /proc/cpuinfo; grep MemTotal /proc/meminfo' >/dev/null
    virtc logs -f l >"$work/follow" 2>&1 &
    follow_pid=$!
    has "logs" "$(virtc logs l)" "Run /init"
    is "logs --lines" "$(virtc logs --lines 3 l | wc -l)" 3
    is "logs --lines: the last ones" "$(virtc logs --lines 2 l)" "$(virtc logs l | tail -n 2)"
    shows "$work/follow" "Run /init"
    before=$(wc -c <"$work/follow")
    virtc pod start l >/dev/null
    virtc exec l -- true >/dev/null 2>&1
    virtc pod stop l >/dev/null
    wait $follow_pid
    is "logs -f ends with the VM" $? 0
    [ "$(wc -c <"$work/follow")" -ge "$before" ] && ok "logs -f: all of it" || bad "logs -f: it has lost something"
    refuses "logs of a stopped pod" 1 "no VM now" virtc logs l
    virtc pod delete l >/dev/null
    # bug-19: what --cpus and --memory say is what the guest has.
    out=$(virtc run --rm --template off --cpus 2 --vm-memory 300M --rootfs "$root" -- sh -c 'grep -c ^processor /proc/cpuinfo; grep MemTotal /proc/meminfo')
    is "bug-19: processors" "$(echo "$out" | head -n 1)" 2
    kib=$(echo "$out" | awk '/MemTotal/ { print $2 }')
    [ "${kib:-0}" -gt 204800 ] && [ "${kib:-0}" -le 307200 ] && ok "bug-19: memory ($kib KiB)" || bad "bug-19: memory: $kib KiB"
else
    virtc pod create --name l >/dev/null
    printf 'plain\n\033]0;title\007\033[2Jred\n' >>"$run_root/pods/l/hypervisor/console.log"
    is "logs" "$(virtc logs --lines 2 l | tr '\033\007' 'EB')" "$(printf 'plain\nE]0;titleBE[2Jred')"
    # On a terminal a guest moves no cursor.
    script -qec "virtc logs --lines 2 l" "$work/typescript" </dev/null >/dev/null 2>&1
    is "logs on a terminal" "$(tr -d '\r' <"$work/typescript" | grep -c -e 'plain' -e '^^\[\]0;title^G^\[\[2Jred$')" 2
    virtc logs -f l >"$work/follow" 2>&1 &
    follow_pid=$!
    shows "$work/follow" plain
    echo "later" >>"$run_root/pods/l/hypervisor/console.log"
    shows "$work/follow" later
    virtc pod delete --force l >/dev/null
    wait $follow_pid
    is "logs -f ends with the VM" $? 0
fi
nothing_left "at the end"
finish
