#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# virtc killed with SIGKILL at each fault point of run, of what is done with pods and containers, of filling, using and
# ending the pool, and of making a template: after `virtc gc` nothing is left. Needs a build with --enable-fault-points.
# With a real VM, which starts from the template: that makes every point affordable; tests/story/kill-points.sh does the
# same without. VC_KILL_STEP=N walks every N-th point only; VC_KILL_STACKS chooses the backends.
. "$(dirname "$0")/lib.sh"
root=$work/rootfs
make_rootfs "$root"
before=$(snapshot "$root")
with=$VC_BUILD_DIR/tests/vm/with-storage
ops=$VC_BUILD_DIR/tests/vm/ops
data=$work/data
mkdir -p "$data/d"
echo keep | tee "$data/f" >"$data/d/keep"
truncate -s 4M "$work/disk"
data_before=$(snapshot "$data")
step=${VC_KILL_STEP:-1}
total=0

# In a shell of its own, which does not report the kill.
run_it() { sh -c "exec $*" >"$work/victim.log" 2>&1 </dev/null; }

# NAME STEP PREPARE-COMMAND VICTIM-COMMAND; the victim is once left alone, to learn how many points there are.
walk() {
    name="$stack: $1" at=0 points= failed_before=$failures
    while :; do
        eval "$3" >"$work/prepare.log" 2>&1 || { bad "$name: preparing for point $at: $(cat "$work/prepare.log")"; return; }
        code=0
        rm -f "$work/count"
        VC_FAULT_AT=$at VC_FAULT_COUNT=$work/count VC_FAULT_TRACE=$work/trace run_it "$4" || code=$?
        if [ "$at" -eq 0 ]; then
            points=$(cat "$work/count" 2>/dev/null)
            [ "$code" -eq 0 ] || { bad "$name: fails by itself with $code: $(cat "$work/victim.log")"; return; }
            [ "${points:-0}" -gt 0 ] || { bad "$name: no fault points; is this a build with --enable-fault-points?"; return; }
        else
            [ "$code" -eq 137 ] || bad "$name: not killed at point $at of $points, but ended with $code: $(cat "$work/victim.log")"
        fi
        $v pod list >/dev/null || bad "$name: pod list after point $at"
        # By gc first, or by a forced delete alone.
        [ $((at % 2)) -ne 0 ] || $v gc >/dev/null || bad "$name: gc after point $at"
        $v pod delete --force k >/dev/null 2>&1
        $v gc >/dev/null || bad "$name: gc after point $at and a forced delete"
        $v pool drain >/dev/null || bad "$name: pool drain after point $at"
        now=$(left_behind)
        [ -z "$now" ] || bad "$name: killed at point $at, left: $now"
        at=$((at == 0 ? 1 : at + $2))
        [ "$at" -le "$points" ] || break
    done
    total=$((total + (points + $2 - 1) / $2))
    [ "$failures" -ne "$failed_before" ] || ok "$name: killed at $(((points + $2 - 1) / $2)) of $points points, nothing left"
}

for stack in ${VC_KILL_STACKS:-qemu}; do
    case $stack in
    mock) v="virtc --set hypervisor=mock --set agent=noop --set proxy=noop --set shim=noop --set network=noop" ;;
    *) v=virtc ;;
    esac
    [ "$stack" = ns ] || from_template $v
    disk=
    [ "$stack" != qemu ] || disk=device=/dev/disk:$work/disk:b
    create="$v pod create --name k"
    container="$v container create --name c --rootfs $root k -- sleep 1000000"
    running="$create && $container && $v pod start k"
    [ "$stack" = mock ] || walk "run" "$step" true "$v run --rm --name k --rootfs $root -- true"
    walk "pod create" "$step" true "$create"
    walk "container create" "$step" "$create" "$container"
    walk "pod start" "$step" "$create && $container" "$v pod start k"
    walk "pod start that starts the VM" "$step" "$create --defer" "$v pod start k"
    walk "container start" "$step" "$create && $v pod start k && $container" "$v container start k c"
    walk "container start after its end" "$step" "$running && $v container stop --timeout 0 k c" "$v container start k c"
    walk "pod stop" "$step" "$running" "$v pod stop k"
    walk "container stop" "$step" "$running" "$v container stop --timeout 0 k c"
    walk "container delete" "$step" "$running && $v container stop --timeout 0 k c" "$v container delete k c"
    walk "pod delete" "$step" "$running && $v pod stop k" "$v pod delete k"
    walk "pod delete --force" "$step" "$running" "$v pod delete --force k"
    if [ "$stack" != mock ]; then
        walk "exec" "$step" "$running" "$v container exec -d k c -- true"
    fi
    if [ "$stack" != mock ]; then # with volumes, mounts and, in a VM, a disk
        volumes="$with pod k volume=data:$data/d volume=fixed:$data/d:ro"
        mounted="$with container k c $root mount=/made/d:$data/d mount-ro=/made/f:$data/f mount=/v:data:volume $disk -- sleep 1000000"
        walk "pod create with volumes" "$step" true "$volumes"
        walk "container create with mounts" "$step" "$volumes && $v pod start k" "$mounted"
        walk "pod start that mounts again" "$step" "$volumes && $mounted && $v pod start k && $v pod stop k" "$v pod start k"
        walk "container delete with mounts" "$step" "$volumes && $mounted" "$v container delete k c"
        walk "pod stop with mounts" "$step" "$volumes && $mounted && $v pod start k" "$v pod stop k"
    fi
    if [ "$stack" != mock ]; then # standing still and going on
        paused="$running && $ops pod-pause k"
        walk "pod pause" "$step" "$running" "$ops pod-pause k"
        walk "pod resume" "$step" "$paused" "$ops pod-resume k"
        walk "pod stop --force of a paused one" "$step" "$paused" "$v pod stop --force k"
        walk "pod delete --force of a paused one" "$step" "$paused" "$v pod delete --force k"
        walk "container pause" "$step" "$running" "$ops pause k c"
        walk "container resume" "$step" "$running && $ops pause k c" "$ops resume k c"
    fi
    [ "$stack" != qemu ] || walk "container update" "$step" "$running" "$ops update k c memory=100000000"
    [ "$stack" != ns ] || continue # it has no templates, and so no pool
    walk "pool fill" "$step" true "$v pool fill 1"
    walk "pod create from the pool" "$step" "$v pool fill 1" "$create"
    walk "pool drain" "$step" "$v pool fill 1" "$v pool drain"
    # With real VMs template-kill.sh does this.
    [ "$stack" != mock ] || walk "template create" "$step" "$v template create" "$v template create --force"
done
echo "killed at $total points in all"
# Points that only this test comes to: it must.
for stack in ${VC_KILL_STACKS:-qemu}; do
    case $stack in
    mock) self=tests/story/kill-points.sh ;;
    ns) self=tests/root/ns-kill-points.sh ;;
    *) self=tests/vm/kill-points.sh ;;
    esac
    while read -r point where; do
        [ "$where" = "$self" ] || continue
        if grep -q "^[0-9]* $point\$" "$work/trace"; then ok "walked to $point"; else bad "$point is never walked to"; fi
    done <"${srcdir:-.}/tests/fault-points"
done
is "the root directory is as it was" "$(snapshot "$root")" "$before"
is "and so is what was mounted" "$(snapshot "$data")" "$data_before"
finish
