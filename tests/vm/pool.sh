#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The pool, with real VMs: pods take VMs that wait, are no copies of each other, and do without when there is none or when
# one is broken; whatever is killed, nothing is left.
. "$(dirname "$0")/lib.sh"
root=$work/rootfs
make_rootfs "$root"
before=$(snapshot "$root")
from_template

members() { virtc --json pool status | tr '{' '\n' | sed -n 's/.*"vmm_pid":\([0-9]*\).*"problem":null.*/\1/p' | sort; }
vmm() { virtc --json pod status "$1" | sed -n 's/.*"vmm_pid":\([0-9]*\).*/\1/p'; }
vmms() { grep -a -l -e "$run_root/[p]ool/" /proc/[0-9]*/cmdline 2>/dev/null | grep -v /self/ | cut -d/ -f3 | sort; }

is "an empty pool" "$(virtc --json pool status)" "[]"
is "fill prints how many" "$(virtc pool fill 2)" 2
is "and adds only what is missing" "$(virtc pool fill 2)" 0
pids=$(members)
is "two wait" "$(echo "$pids" | grep -c .)" 2
for p in $pids; do
    is "$p is a QEMU" "$(cat "/proc/$p/comm")" qemu-system-x86
done
is "no proxy waits with them" "$(grep -a -l -F vc-proxy /proc/[0-9]*/cmdline 2>/dev/null | xargs -r grep -a -l -F "$run_root" 2>/dev/null | wc -l)" 0
# A paused guest uses no processor.
used() { for p in $pids; do awk '{print $14 + $15}' "/proc/$p/stat"; done | awk '{s += $1} END {print s}'; }
u=$(used)
virtc --json pool status >/dev/null
is "what is paused uses no processor" "$(used)" "$u"

# Two pods take them.
look='head -c 16 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/boot_id; hostname; date +%s'
for n in a b; do
    virtc pod create --name $n >/dev/null
    virtc container create --name c --rootfs "$root" --stdout "$work/$n.out" $n -- sh -c "$look; exec sleep 1000000" >/dev/null
    is "pod $n has a VM of the pool" "$(echo "$pids" | grep -cx "$(vmm $n)")" 1
    has "status of pod $n" "$(virtc pod status $n)" "and waited in the pool"
    virtc pod start $n >/dev/null
    until [ "$(wc -l <"$work/$n.out")" -eq 4 ]; do sleep 0.01; done
    off=$(($(date +%s) - $(tail -n 1 "$work/$n.out")))
    [ $off -ge 0 ] && [ $off -le 1 ] && off=right # seconds are cut off on both sides; template.sh looks closer
    is "clock of pod $n" "$off" right
done
[ "$(vmm a)" != "$(vmm b)" ] && ok "each has its own" || bad "both pods have VMM $(vmm a)"
for line in 1 2 3; do
    what=$(echo "random bytes:boot id:host name" | cut -d: -f$line)
    x=$(sed -n ${line}p "$work/a.out") y=$(sed -n ${line}p "$work/b.out")
    if [ -n "$x" ] && [ "$x" != "$y" ]; then ok "$what differ: $x,  $y"; else bad "$what: $x and $y"; fi
done
is "nobody waits any more" "$(members)" ""
is "exec" "$(virtc container exec a c -- hostname)" a

# None is left: the template does.
virtc pod create --name c >/dev/null
is "pod c has a VM" "$(cat "/proc/$(vmm c)/comm")" qemu-system-x86
has "status of pod c" "$(virtc pod status c)" "its VM comes from template $(virtc template create)"
is "status of pod c: not out of the pool" "$(virtc pod status c | grep -c 'the pool')" 0
virtc pod stop a >/dev/null
virtc pod start a >/dev/null
is "a pod that was taken out of the pool starts again" "$(virtc container exec a c -- hostname)" a
for n in a b c; do virtc pod delete --force $n >/dev/null; done
nothing_left "pods of the pool"

# run.
virtc pool fill 1 >/dev/null
is "run" "$(virtc run --rm --rootfs "$root" -- echo hello)" hello
is "it took the one" "$(members)" ""
virtc pool fill 1 >/dev/null
is "run with more memory" "$(virtc run --rm --vm-memory 768M --rootfs "$root" -- echo hello)" hello
is "it left the one" "$(members | grep -c .)" 1
is "run without a template" "$(virtc run --rm --template off --rootfs "$root" -- echo hello)" hello
is "it left the one" "$(members | grep -c .)" 1

# Broken ones.
p=$(members)
kill -9 ${p:?nobody waits}
until [ "$(virtc --json pool status | grep -c '"problem":"its process has ended"')" = 1 ]; do sleep 0.01; done
is "run when the VM was killed" "$(virtc run --rm --rootfs "$root" -- echo hello 2>"$work/err")" hello
nothing_left "the killed one"
virtc pool fill 1 >/dev/null
p=$(members)
kill -STOP ${p:?nobody waits}
is "run when the VM does not answer" "$(virtc run --rm --rootfs "$root" -- echo hello 2>"$work/err")" hello
nothing_left "the one that did not answer"

is "fill" "$(virtc pool fill 2)" 2
is "drain prints how many" "$(virtc pool drain)" 2
nothing_left "drain"

# Killed while it fills.
virtc pool fill 1 >/dev/null 2>&1 &
filler=$!
until [ -n "$(vmms)" ]; do sleep 0.01; done
kill -9 $filler
wait $filler 2>/dev/null
has "gc says so" "$(virtc gc)" "interrupted"
nothing_left "a killed fill"
is "the root directory is as it was" "$(snapshot "$root")" "$before"
finish
