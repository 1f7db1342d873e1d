#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Pods of namespaces, one after the other and a few at once: VC_SOAK_PODS of them (20). The machine has as many processes,
# mounts, control groups, namespaces, sockets and files of ours afterwards as before, at every tenth pod.
VC_TEST_HYPERVISOR=ns
. "$(dirname "$0")/../vm/lib.sh"
root=$work/rootfs
make_rootfs "$root"
pods=${VC_SOAK_PODS:-20}

one() { # ID
    virtc pod create --name "$1" >/dev/null && virtc container create --name a --rootfs "$root" "$1" -- sleep 1000000 >/dev/null &&
        virtc container create --name b --rootfs "$root" "$1" -- sh -c 'exit 3' >/dev/null && virtc pod start "$1" >/dev/null || return 1
    [ "$(echo "$1" | virtc container exec -i "$1" a -- cat)" = "$1" ] || return 1
    virtc container exec "$1" a -- sh -c 'exit 5'
    [ $? -eq 5 ] || return 1
    [ "$(virtc container wait "$1" b)" = 3 ] || return 1
    case $(($2 % 3)) in
    0) virtc pod stop "$1" >/dev/null && virtc pod delete "$1" >/dev/null ;;
    1) virtc pod delete --force "$1" >/dev/null ;;
    2) kill -9 "$(virtc --json pod status "$1" | sed 's/.*"vmm_pid":\([0-9]*\).*/\1/')" && virtc pod delete --force "$1" >/dev/null ;;
    esac
}

n=0
while [ $n -lt "$pods" ]; do
    if [ $((n % 5)) -eq 4 ]; then # three at once
        ( one p$n.1 0 ) & a=$!
        ( one p$n.2 1 ) & b=$!
        one p$n.3 2 || bad "pod p$n.3"
        wait $a || bad "pod p$n.1"
        wait $b || bad "pod p$n.2"
    else
        one p$n $n || bad "pod p$n"
    fi
    n=$((n + 1))
    [ $((n % 10)) -ne 0 ] || nothing_left "after $n rounds"
    [ "$failures" -eq 0 ] || break
done
nothing_left "after $n rounds"
finish
