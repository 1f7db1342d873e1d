#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The examples of core/doc/examples, built with nothing but what pkg-config says of an installation, and run: with real
# containers, on namespaces in place of a VM unless VC_TEST_HYPERVISOR says qemu.
VC_TEST_HYPERVISOR=${VC_TEST_HYPERVISOR:-ns}
. "$(dirname "$0")/../vm/lib.sh"
from_template
root=$work/rootfs
make_rootfs "$root"
PKG_CONFIG_PATH=$(dirname "$(find "$VC_STAGE" -name libvccore.pc)")
PKG_CONFIG_SYSROOT_DIR=$VC_STAGE
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
flags=$(pkg-config --cflags --libs libvccore)
has "pkg-config" "$flags" -lvccore
LD_LIBRARY_PATH=$(dirname "$(find "$VC_STAGE" -name 'libvccore.so.*' -type l | head -n 1)")
export LD_LIBRARY_PATH
docs=$(dirname "$(find "$VC_STAGE" -path '*/examples/pod.c')")
is "they are installed" "$(ls "$docs" | tr '\n' ' ')" "events.c pod.c pod.cc pod.py "
limit="timeout 60"

for what in pod.c events.c; do
    ${CC:-cc} -std=c11 -Wall -Wextra -Werror "$docs/$what" -o "$work/${what%.c}" $flags >"$work/cc.log" 2>&1
    is "$what compiles" "$? $(cat "$work/cc.log")" "0 "
done
${CXX:-c++} -std=c++17 -Wall -Wextra -Werror "$docs/pod.cc" -o "$work/pod-cc" $flags >"$work/cc.log" 2>&1
is "pod.cc compiles" "$? $(cat "$work/cc.log")" "0 "

for program in pod pod-cc; do
    is "$program" "$($limit "$work/$program" "$root" sh -c 'echo hello; exit 7' 2>&1; echo "code $?")" \
        "$(printf 'hello\npod %s was running, its container ended with 7\ncode 0' "$hypervisor")"
    is "$program: how to call it" "$("$work/$program" 2>&1; echo $?)" "$(printf 'usage: pod ROOTFS COMMAND [ARG...]\n2')"
    is "$program: a failure" "$($limit "$work/$program" "$work/none" true 2>&1 | grep -c "^pod: .*$work/none")" 1
done
nothing_left "pod.c and pod.cc"

is "events" "$($limit "$work/events" "$root" sh -c 'exit 6' </dev/null)" "$(printf 'pod-started\ncontainer-started\ncontainer-exited 6')"
# A line is waited for by the same poll(2).
mkfifo "$work/line"
$limit "$work/events" "$root" sleep 1000000 <"$work/line" >"$work/out" 2>&1 &
pid=$!
exec 9>"$work/line"
for try in $(seq 600); do
    grep -q container-started "$work/out" && break
    sleep 0.05
done
echo >&9
wait $pid
is "events: its other input" "$? $(tail -n 1 "$work/out")" "0 container-exited 137"
exec 9>&-

[ "$(wc -l <"$docs/pod.py")" -le 30 ] && ok "pod.py: 30 lines" || bad "pod.py has more than 30 lines"
if command -v python3 >/dev/null; then
    is "pod.py" "$($limit python3 "$docs/pod.py" "$root" sh -c 'echo hello; exit 7' 2>&1 | sort | tr '\n' ';')" "hello;its container ended with 7;"
    has "pod.py: an error is an exception" "$($limit python3 "$docs/pod.py" "$work/none" true 2>&1 | tail -n 1)" "RuntimeError: "
else
    ok "pod.py: there is no python3 here"
fi
nothing_left "at the end"
finish
