#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# virtc killed with SIGKILL at each fault point of `pod create` with a container, and of `pod start`, with a real VM: after
# `virtc gc` nothing is left. Needs a build with --enable-fault-points. VC_KILL_STEP=N walks every N-th point only.
. "$(dirname "$0")/lib.sh"
root=$work/rootfs
make_rootfs "$root"
before=$(snapshot "$root")
step=${VC_KILL_STEP:-1}

walk() { # NAME PREPARE-COMMAND VICTIM-COMMAND
    at=1
    while :; do
        eval "$2" || { bad "$1: preparing for point $at"; return; }
        VC_FAULT_AT=$at sh -c "$3" >/dev/null 2>&1
        code=$?
        virtc gc >/dev/null || bad "$1: gc after point $at"
        virtc pod delete --force k >/dev/null 2>&1
        now=$(world)
        [ "$now" = "$world_before" ] || bad "$1: killed at point $at, left: $(printf '%s\n' "$now" | grep -vxF "$world_before")"
        [ "$code" -eq 137 ] || break
        at=$((at + step))
    done
    [ "$at" -gt 5 ] && ok "$1: killed at $at points, nothing left" || bad "$1: only $at fault points; is this a build with --enable-fault-points?"
}
walk "run" true "exec virtc run --name k --rootfs $root -- true"
walk "pod create" true "exec virtc pod create --name k"
walk "pod start" "virtc pod create --name k >/dev/null && virtc container create --name c --rootfs $root k -- sleep 1000000 >/dev/null" \
    "exec virtc pod start k"
is "the root directory is as it was" "$(snapshot "$root")" "$before"
finish
