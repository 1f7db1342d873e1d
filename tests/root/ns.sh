#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The hypervisor of sdk/template, which is a set of namespaces: what it says of itself, what a container sees, deaths.
# What it has in common with VMs is in ns-lifecycle.sh and ns-stdio.sh; pause and the plugin's own calls are in test-ns.c.
VC_TEST_HYPERVISOR=ns
. "$(dirname "$0")/../vm/lib.sh"
root=$work/rootfs
make_rootfs "$root"
agent=$(sed -n 's/^libexec_dir = "\(.*\)";/\1/p' "$VC_STAGE/vccore.conf")/vc-agent
number() { sed -n "s/.*\"$1\":\([0-9-]*\).*/\1/p" | head -n 1; }
now_ms() { read -r up _ </proc/uptime; echo "${up%.*}${up#*.}0"; }

# ---- it is loud ----
has "its description" "$(virtc plugin list hypervisor)" "isolates NOTHING"
has "a warning at each start" "$(virtc --log-level warn run --rm --rootfs "$root" -- true 2>&1)" "isolates NOTHING"
status=0
out=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$agent" --namespaces --listen-fd 3 --ready-fd 4 3</dev/null 4>&1 2>/dev/null) || status=$?
is "it is refused to others than root: exit code" "$status" 1
is "it is refused to others than root" "$out" "error 1 cannot make namespaces"
"$agent" --namespaces --listen-fd 99 --ready-fd 98 >/dev/null 2>"$work/err"
is "wrong options: exit code" $? 2
has "wrong options: usage" "$(cat "$work/err")" "isolates nothing"

# ---- what a container sees ----
run="virtc run --rm --rootfs $root"
is "output" "$($run -- echo hello)" hello
is "exit code" "$($run -- sh -c 'exit 7'; echo $?)" 7
is "host name" "$($run --name vm1 -- hostname)" vm1
is "only a loopback link" "$($run -- ls /sys/class/net)" lo
is "it is up" "$($run -- cat /sys/class/net/lo/flags)" 0x9
is "files are written through" "$($run -- sh -c 'echo x >/tmp/new'; cat "$root/tmp/new")" x
touch "$root/etc/host-file"
is "files are read" "$($run -- ls /etc/host-file)" /etc/host-file
is "processes of others are not seen" "$($run -- sh -c 'set -- /proc/[0-9]*; echo $#')" 1
is "null device" "$($run -- sh -c 'echo x >/dev/null && wc -c </dev/null')" 0
nothing_left "runs"

# ---- two containers, one of them made after the start ----
virtc pod create --name two >/dev/null
virtc container create --name a --rootfs "$root" two -- sleep 1000000 >/dev/null
virtc pod start two >/dev/null
cp -r "$root" "$work/rootfs2"
echo second >"$work/rootfs2/etc/which"
virtc container create --name b --rootfs "$work/rootfs2" two -- sleep 1000000 >/dev/null
virtc container start two b >/dev/null
is "a container made later sees its own root" "$(virtc container exec two b -- cat /etc/which)" second
is "stdin" "$(echo in | virtc container exec -i two a -- cat)" in
is "a terminal" "$(virtc container exec -t two a -- sh -c 'tty; stty size' </dev/null | tr -d '\r' | tr '\n' ' ' | sed 's|/[0-9]* |/N |')" "/dev/pts/N 24 80 "
pid1=$(pgrep -P "$(virtc --json pod status two | number vmm_pid)")
for ns in pid mnt uts ipc net; do
    if [ "$(readlink "/proc/$pid1/ns/$ns")" = "$(readlink /proc/self/ns/$ns)" ]; then bad "the $ns namespace is the host's"; else ok "a $ns namespace of its own"; fi
done
is "the guest has no directory of the host" "$(ls "/proc/$pid1/root" | tr '\n' ' ')" "dev etc proc run sys tmp var "
virtc container stop --timeout 0 two b >/dev/null
virtc container delete two b >/dev/null
is "its root is unmounted in the guest, too" "$(grep -c rootfs2 "/proc/$pid1/mountinfo")" 0
virtc pod delete --force two >/dev/null
nothing_left "two containers"

# ---- deaths ----
for victim in outer inner; do
    virtc pod create --name d >/dev/null && virtc container create --name c --rootfs "$root" d -- sleep 1000000 >/dev/null &&
        virtc pod start d >/dev/null
    is "$victim: pod runs" $? 0
    virtc container exec d c -- sh -c 'echo up; exec sleep 1000001' >"$work/exec.out" 2>"$work/exec.err" &
    exec_pid=$!
    until grep -q up "$work/exec.out" 2>/dev/null || ! kill -0 $exec_pid 2>/dev/null; do sleep 0.05; done
    pid=$(virtc --json pod status d | number vmm_pid)
    [ $victim = outer ] || pid=$(pgrep -P "$pid")
    begin_ms=$(now_ms)
    kill -9 "$pid"
    code=0
    wait $exec_pid || code=$?
    took=$(($(now_ms) - begin_ms))
    case $code in 137 | 255) ok "$victim killed: exec ends with $code" ;; *) bad "$victim killed: exec ends with $code" ;; esac
    [ $took -lt 5000 ] && ok "$victim killed: exec ends at once" || bad "$victim killed: exec ended only after $took ms"
    # PID 1 closes its sockets, by which exec has ended, a moment before it is gone.
    i=0
    until virtc pod status d | grep -q stopped || [ $i -ge 40 ]; do sleep 0.05; i=$((i + 1)); done
    has "$victim killed: status" "$(virtc pod status d)" stopped
    virtc pod delete d >/dev/null
    is "$victim killed: delete" $? 0
    nothing_left "$victim killed"
done
# Whoever owns the pod is killed with it.
virtc run --name owned --rootfs "$root" -- sh -c 'echo up; exec sleep 1000000' >"$work/run.out" 2>"$work/run.err" &
run_pid=$!
until grep -q up "$work/run.out" 2>/dev/null || ! kill -0 $run_pid 2>/dev/null; do sleep 0.05; done
kill -9 "$(pgrep -P $run_pid virtc || echo $run_pid)"
wait $run_pid 2>/dev/null
has "virtc run killed: gc finds the pod" "$(virtc gc)" owned
nothing_left "virtc run killed"

# ---- how long it takes ----
for _ in 1 2 3 4 5 6 7 8 9 10 11; do
    a=$(date +%s%N)
    virtc run --rm --rootfs "$root" -- true
    echo $((($(date +%s%N) - a) / 100000))
done | sort -n >"$work/times"
median=$(sed -n 6p "$work/times")
echo "virtc run -- true: median $((median / 10)).$((median % 10)) ms of 11"
[ "$median" -lt 20000 ] && ok "it starts in no time" || bad "it takes $((median / 10)) ms, more than 2 s"
nothing_left "at the end"
finish
