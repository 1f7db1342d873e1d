#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The maker of a template killed with SIGKILL at fault points: after gc nothing is left of it, and there is either a whole
# template or none. Needs a build with --enable-fault-points. VC_KILL_STEP=N walks every N-th point.
. "$(dirname "$0")/lib.sh"
root=$work/rootfs
make_rootfs "$root"
templates=$work/templates
grep -v '^template' "$work/vccore.conf" >"$work/own.conf"
echo "template_dir = \"$templates\";" >>"$work/own.conf"
chmod 644 "$work/own.conf"
VCCORE_CONFIG=$work/own.conf

# In a shell of its own, which does not report the kill.
run_it() { sh -c "exec $*" >"$work/victim.log" 2>&1 </dev/null; }

walk() { # WHAT COMMAND
    failed_before=$failures at=0 points= whole=0 none=0
    while :; do
        code=0
        rm -f "$work/count"
        VC_FAULT_AT=$at VC_FAULT_COUNT=$work/count run_it "$2" || code=$?
        if [ "$at" -eq 0 ]; then
            points=$(cat "$work/count" 2>/dev/null)
            [ "$code" -eq 0 ] || { bad "$1: fails by itself with $code: $(cat "$work/victim.log")"; return; }
            [ "${points:-0}" -gt 0 ] || { bad "$1: no fault points; is this a build with --enable-fault-points?"; return; }
            step=${VC_KILL_STEP:-$((points / 12 + 1))}
        else
            [ "$code" -eq 137 ] || bad "$1: not killed at point $at of $points, but ended with $code: $(cat "$work/victim.log")"
        fi
        # Before anything was cleaned up: what is listed is whole.
        list=$(virtc --json template list | tr -d ' \n')
        case $list in
        '[]') none=$((none + 1)) ;;
        *'"problem":null'*) whole=$((whole + 1)) ;;
        *) bad "$1: after point $at a template that is not whole: $list" ;;
        esac
        virtc gc >/dev/null || bad "$1: gc after point $at"
        virtc pod delete --force k >/dev/null 2>&1
        now=$(left_behind)
        [ -z "$now" ] || bad "$1: killed at point $at, left: $now"
        left=$(ls -A "$templates" 2>/dev/null | grep -v '^[0-9a-f]*$')
        [ -z "$left" ] || bad "$1: killed at point $at, left among the templates: $left"
        for id in $(ls "$templates" 2>/dev/null); do virtc template delete "$id" >/dev/null || bad "$1: delete after point $at"; done
        at=$((at == 0 ? 1 : at + step))
        [ "$at" -le "$points" ] || break
    done
    [ "$failures" -ne "$failed_before" ] ||
        ok "$1: killed at $(((points + step - 1) / step)) of $points points; $whole times a whole template, $none times none"
    is "$1: both came about" "$([ "$whole" -gt 0 ] && [ "$none" -gt 0 ] && echo yes)" yes
}
walk "template create" "virtc template create"
walk "the first pod" "virtc run --rm --name k --rootfs $root -- true"
is "after all that a pod starts" "$(virtc run --rm --rootfs "$root" -- echo fine 2>/dev/null)" fine
finish
