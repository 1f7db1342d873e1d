#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What an observer is told of a real pod: ends of processes, want of memory, a VM that dies. And hooks around a real VM.
. "$(dirname "$0")/lib.sh"
from_template
root=$work/rootfs
make_rootfs "$root"
from=$VC_BUILD_DIR/tests/vm/from-json
begin() { # POD...: an observer that looks already
    "$VC_BUILD_DIR/tests/vm/watch" "$work/events" "$@" 2>"$work/watch.err" &
    watch_pid=$!
    until grep -q ready "$work/events" 2>/dev/null || ! kill -0 $watch_pid 2>/dev/null; do sleep 0.02; done
}
until_event() { until grep -q -x "$1" "$work/events" || ! kill -0 $watch_pid 2>/dev/null; do sleep 0.02; done; }
seen() { # WHAT LINE...: all of them, in this order, after "ready"
    s_what=$1
    shift
    wait $watch_pid
    is "$s_what: the observer's end" "$? $(cat "$work/watch.err")" "0 "
    is "$s_what" "$(sed 1d "$work/events")" "$(printf '%s\n' "$@")"
    rm -f "$work/events"
}

# ---- processes that end by themselves ----
# A guest on the host's kernel has the memory controller only if the host has not taken it.
hungry=
[ "$hypervisor" != qemu ] || hungry=yes
begin
virtc pod create --name e >/dev/null
virtc container create --name seven --rootfs "$root" e -- sh -c 'until [ -e /tmp/go ]; do sleep 0.02; done; exit 7' >/dev/null
[ -z "$hungry" ] || virtc container create --name hungry --rootfs "$root" --memory 16m e -- \
    sh -c 'until [ -e /tmp/eat ]; do sleep 0.02; done; exec awk "BEGIN { for (s = \"0123456789abcdef\"; ; ) s = s s }"' >/dev/null
virtc pod start e >/dev/null
virtc container exec e seven -- sh -c 'exit 5' >/dev/null 2>&1
until_event "exec-exited e/seven exec 5"
touch "$root/tmp/go"
until_event "container-exited e/seven 7"
touch "$root/tmp/eat"
[ -z "$hungry" ] || until_event "container-exited e/hungry 137"
virtc pod stop e >/dev/null
virtc pod delete e >/dev/null
seen "processes that end" "pod-created e" "container-created e/seven" ${hungry:+"container-created e/hungry"} "pod-started e" \
    "container-started e/seven" ${hungry:+"container-started e/hungry"} "exec-started e/seven exec" "exec-exited e/seven exec 5" \
    "container-exited e/seven 7" ${hungry:+"oom e/hungry" "container-exited e/hungry 137"} "pod-stopped e" \
    "container-deleted e/seven" ${hungry:+"container-deleted e/hungry"} "pod-deleted e"
rm -f "$root/tmp/go" "$root/tmp/eat"

# ---- a VM that dies, seen by an observer of this pod only ----
virtc pod create --name d >/dev/null
virtc container create --name c --rootfs "$root" d -- sleep 1000000 >/dev/null
virtc pod start d >/dev/null
begin d
kill -9 "$(virtc --json pod status d | sed -n 's/.*"vmm_pid":\([0-9]*\).*/\1/p')"
until_event "pod-stopped d"
case $(grep exited "$work/events") in
"container-exited d/c 137" | "container-exited d/c 255") ok "how its container ended" ;;
*) bad "how its container ended: $(grep exited "$work/events")" ;;
esac
sed -i 's/^\(container-exited .*\) [0-9]*$/\1 ?/' "$work/events"
virtc pod delete d >/dev/null
wait $watch_pid
is "a VM that dies" "$(sed 1d "$work/events" | grep -v deleted)" "$(printf '%s\n' "vm-died d" "container-exited d/c ?" "pod-stopped d")"
rm -f "$work/events"

# ---- one that is stopped, or deleted by force, has not died ----
for how in "stop d" "delete --force d"; do
    virtc pod create --name d >/dev/null
    virtc container create --name c --rootfs "$root" d -- sleep 1000000 >/dev/null
    virtc pod start d >/dev/null
    begin
    # shellcheck disable=SC2086 # two words
    virtc pod $how >/dev/null
    virtc pod delete --force d >/dev/null 2>&1
    wait $watch_pid
    is "$how: the observer's end" "$? $(cat "$work/watch.err")" "0 "
    is "$how" "$(sed '1d; s/ [0-9]*$//' "$work/events" | sort | tr '\n' ' ')" \
        "container-deleted d/c container-exited d/c pod-deleted d pod-stopped d "
    rm -f "$work/events"
done
nothing_left "events"

# ---- hooks: the VM is found by the pid in the state ----
hook() { echo "{ \"Path\": \"/bin/sh\", \"Args\": [ \"sh\", \"-c\", \"/bin/cat >$work/$1.state\" ] }"; }
pid_in() { sed -n 's/.*"pid":\([0-9]*\).*/\1/p' "$work/$1.state"; }
cat >"$work/doc" <<END
{ "ID": "h", "Hooks": { "PreStartHooks": [ $(hook pre) ], "PostStartHooks": [ $(hook post) ], "PostStopHooks": [ $(hook stop) ] },
  "Containers": [ { "ID": "c", "RootFs": "$root", "Cmd": { "Args": [ "sleep", "1000000" ] },
    "Hooks": { "PreStartHooks": [ $(hook cpre) ], "PostStopHooks": [ $(hook cstop) ] } } ] }
END
"$from" create "$work/doc" >/dev/null
has "before there is a VM" "$(cat "$work/pre.state")" '"status":"creating"'
vmm=$(virtc --json pod status h | sed -n 's/.*"vmm_pid":\([0-9]*\).*/\1/p')
is "before the container is made: the VM's process" "$(pid_in cpre)" "$vmm"
virtc pod start h >/dev/null
is "after the start: the VM's process" "$(pid_in post)" "$vmm"
virtc pod stop h >/dev/null
is "after the stop: no process" "$(pid_in stop)" 0
[ ! -e "$work/cstop.state" ]
is "the container is still there" $? 0
virtc pod delete h >/dev/null
has "it is gone" "$(cat "$work/cstop.state")" '"id":"c"'
nothing_left "hooks"
finish
