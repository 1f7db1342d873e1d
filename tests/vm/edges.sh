#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The edges of virtc in a real VM: signals while it boots, lost and closed streams, the longest names there can be,
# several callers at once, guests and proxies that answer nothing.
. "$(dirname "$0")/lib.sh"
from_template
root=$work/rootfs
make_rootfs "$root"

pid_of() { # POD: its VMM
    virtc --json pod status "$1" | sed 's/.*"vmm_pid":\([0-9]*\).*/\1/'
}
now_ms() { echo $(($(date +%s%N) / 1000000)); }

# ---- signals while the VM boots ----
booting() { # SIGNAL EXIT-CODE: sent as soon as there is a VMM, a second before its guest is up
    rm -f "$work/early.log"
    virtc --debug --log "$work/early.log" run --rm --template off --name early --rootfs "$root" -- sleep 100 \
        >"$work/out" 2>"$work/err" &
    run=$!
    i=0
    while [ $i -lt 2000 ] && ! grep -q 'phase vmm-started' "$work/early.log" 2>/dev/null; do i=$((i + 1)); done
    began=$(now_ms)
    kill -"$1" $run
    status=0
    wait $run || status=$?
    is "SIG$1 while it boots: exit code" "$status" "$2"
    took=$(($(now_ms) - began))
    if [ $took -lt 2000 ]; then ok "it ends at once ($took ms)"; else bad "it took $took ms to end"; fi
    has "its sentence" "$(cat "$work/err")" cancelled
    nothing_left "after SIG$1 while it boots"
}
booting TERM 143
booting HUP 129

# ---- and at any moment of a start from the template: it is cancelled, or the command gets the signal and ends by it ----
for after in 0 0.02 0.04 0.06 0.08 0.1 0.12 0.14 0.16 0.2 0.25 0.3; do
    virtc run --rm --name early --rootfs "$root" -- sleep 100 >"$work/out" 2>"$work/err" &
    run=$!
    sleep $after
    kill -HUP $run
    status=0
    wait $run || status=$?
    case $status in 129 | 137) ok "SIGHUP after $after s: exit code $status" ;; *) bad "SIGHUP after $after s: exit code $status: $(cat "$work/err")" ;; esac
    nothing_left "after SIGHUP after $after s"
done

# ---- streams ----
virtc run --rm --rootfs "$root" -- sh -c 'echo one; exit 6' >&-
is "standard output closed" $? 6
virtc run --rm --rootfs "$root" -- sh -c 'echo one; exit 6' >&- 2>&- <&-
is "all streams closed" $? 6
{ virtc --debug run --rm --rootfs "$root" -- sh -c 'exit 6' 2>&1 >/dev/null; echo $? >"$work/status"; } | head -n 1 >/dev/null
is "the log's reader is gone" "$(cat "$work/status")" 6
nothing_left "after lost streams"

# ---- the longest names ----
long=$(printf '%0128d' 0)
deep=$work/$(printf '%070d' 0)
mkdir "$deep"
d() { virtc --set run_root="$deep/run" --set state_root="$deep/state" "$@"; }
is "a pod with the longest id" "$(d pod create --name "$long")" "$long"
is "a container with the longest id" "$(d container create "$long" --name "$long" --rootfs "$root" -- sleep 100)" "$long"
d pod start "$long" >/dev/null
is "start" $? 0
is "exec" "$(d container exec "$long" "$long" -- echo inside)" inside
d pod stop "$long" >/dev/null && d pod delete "$long" >/dev/null
is "stop and delete" $? 0
is "nothing is left below the deep directory" "$(find "$deep" -mindepth 3)" ""

# ---- two at once ----
for i in 1 2; do
    { virtc pod create --name same >"$work/same.$i" 2>&1; echo $? >>"$work/codes"; } &
    eval "first$i=$!"
done
wait "$first1" "$first2"
is "two callers, one id: one gets it" "$(sort "$work/codes" | tr '\n' ' ')" "0 1 "
has "the other is told" "$(cat "$work"/same.*)" "exists already"
virtc pod delete same >/dev/null
: >"$work/codes"
for i in 1 2; do
    { virtc run --rm --name "pair$i" --rootfs "$root" -- sh -c "exit 1$i"; echo $? >>"$work/codes"; } &
    eval "first$i=$!"
done
wait "$first1" "$first2"
is "two pods at once" "$(sort "$work/codes" | tr '\n' ' ')" "11 12 "
nothing_left "after two at once"

# ---- nobody answers ----
s() { virtc --set call_timeout=2 --set stop_timeout=1 "$@"; }
frozen() { # WHAT PID
    kill -STOP "$2"
    refuses "$1 does not answer: exec" 125 "did not answer" s container exec frozen c -- true
    has "$1 does not answer: status does not ask it" "$(s pod status frozen)" running
    began=$(now_ms)
    s pod stop frozen >/dev/null 2>&1
    is "$1 does not answer: stop" $? 0
    took=$(($(now_ms) - began))
    if [ $took -lt 8000 ]; then ok "stop took $took ms"; else bad "stop took $took ms"; fi
    virtc pod delete frozen >/dev/null
    nothing_left "after $1 did not answer"
}
start_frozen() {
    virtc pod create --name frozen >/dev/null && virtc container create frozen --name c --rootfs "$root" -- sleep 100 >/dev/null &&
        virtc pod start frozen >/dev/null
    is "a pod to freeze" $? 0
}
start_frozen
frozen "the VM" "$(pid_of frozen)"
start_frozen
for p in /proc/[0-9]*; do
    case $(cmdline "$p") in *vc-proxy*"$run_root/pods/frozen/"*) proxy=${p#/proc/} ;; esac
done
[ -z "${proxy:-}" ] || frozen "the proxy" "$proxy"
finish
