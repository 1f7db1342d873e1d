#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Pods with several containers in a real VM: states, exec, kill, waiting from another process, bad calls.
. "$(dirname "$0")/lib.sh"
from_template
root=$work/rootfs
make_rootfs "$root"

id=$(virtc pod create --name web)
is "pod create prints the id" "$id" web
has "state" "$(virtc pod status web)" "web     ready  $(printf %-10s "$hypervisor")  kata"
refuses "an id that is taken" 1 "web" virtc pod create --name web
for bad in a/b .. "a b" "$(printf '%0200d' 0)" -x ""; do
    refuses "id \"$bad\"" 1 "id" virtc pod create --name="$bad"
done
refuses "a rootfs that does not exist" 1 "/no/such/dir" virtc container create --rootfs /no/such/dir web -- true
refuses "a rootfs that is a file" 1 "$root/etc/keep" virtc container create --rootfs "$root/etc/keep" web -- true
refuses "a container in no pod" 1 "nopod" virtc container create --rootfs "$root" nopod -- true

for c in one two three; do
    is "container create $c" "$(virtc container create --name $c --rootfs "$root" --stdout "$work/$c.out" web -- sh -c "echo $c; exec sleep 1000000")" $c
done
refuses "a container id that is taken" 1 "two" virtc container create --name two --rootfs "$root" web -- true
refuses "a container id with a slash" 1 "a/b" virtc container create --name a/b --rootfs "$root" web -- true
virtc pod start web >/dev/null
is "pod start" $? 0
refuses "start of a pod that runs" 1 "running" virtc pod start web
refuses "delete of a pod that runs" 1 "running" virtc pod delete web
is "three run" "$(virtc container list web | grep -c running)" 3

x="virtc container exec"
settled='until grep -q sleep /proc/1/comm; do :; done; cat /proc/1/comm' # its shell has become sleep
is "own pid namespace" "$($x web one -- sh -c 'echo $$; ls -d /proc/[0-9]* | wc -l' | head -n 1 | grep -c .)" 1
is "pid 1 of the container" "$($x web two -- sh -c "$settled")" sleep
is "host name of the pod" "$($x web three -- hostname)" web
for code in $(seq 0 255); do
    $x web one -- sh -c "exit $code"
    got=$?
    [ $got -eq $code ] || bad "exec: exit code $code: got $got"
done
ok "exec: exit codes from 0 to 255"
for sig in 1 9 11 15; do
    $x web one -- sh -c "kill -$sig \$\$"
    is "exec: death by signal $sig" $? $((128 + sig))
done
refuses "exec of an unknown program" 127 "nothing-like-it" $x web one -- nothing-like-it
refuses "exec of a file that is no program" 126 "/etc/keep" $x web one -- /etc/keep
refuses "exec as an unknown user" 125 "whoever" $x --user whoever web one -- true
refuses "exec in an unknown container" 125 "four" $x web four -- true

( virtc container wait web one >"$work/waited" ) &
waiter=$!
virtc container kill web one KILL
is "kill" $? 0
wait $waiter
is "a waiter in another process" "$(cat "$work/waited")" 137
refuses "a signal that does not exist" 2 "NOSUCH" virtc container kill web two NOSUCH
virtc container stop --timeout 0 web one >/dev/null # waits for the end
has "killed: status" "$(virtc --json container status web one)" '"exit_status":137'
has "killed: state" "$(virtc container status web one)" stopped
virtc container stop web one >/dev/null
is "stop of a stopped container" $? 0
virtc container delete web one >/dev/null
is "container delete" $? 0
refuses "it is gone" 1 "one" virtc container status web one
virtc container create --name one --rootfs "$root" web -- sh -c 'exit 42' >/dev/null
virtc container start web one >/dev/null
is "another process waits for the exit code" "$(virtc container wait web one)" 42
is "also after the fact" "$(virtc container wait web one)" 42
has "the same id again, in the running pod; exit code seen by another process" "$(virtc --json container status web one)" '"exit_status":42'
is "output of a container" "$(cat "$work/two.out")" two
virtc container create --name again --rootfs "$root" web -- sh -c 'echo lived >>/again.out; exit 7' >/dev/null
for life in first second third; do
    virtc container start web again >/dev/null
    is "start and end of a container, the $life time" "$(virtc container wait web again)" 7
done
is "its output comes again each time" "$(tr '\n' ' ' <"$root/again.out")" "lived lived lived "
virtc container delete web again >/dev/null

# Commands that nobody attends, by their exec id.
e=$($x --detach --stdout "$work/detached.out" web two -- sh -c 'echo from-detached; exit 33')
is "exec --detach prints an id" "$(echo "$e" | grep -c .)" 1
is "wait --exec" "$(virtc container wait --exec "$e" web two)" 33
is "its output" "$(cat "$work/detached.out")" from-detached
e=$($x -d web two -- sleep 1000000)
virtc container kill --exec "$e" web two INT
is "kill --exec" "$(virtc container wait --exec "$e" web two)" 130
is "the container runs on" "$(virtc container list web | grep -c '^two .*running')" 1
refuses "wait for an exec that does not exist" 1 "nosuch" virtc container wait --exec nosuch web two
refuses "wait gives up" 1 "two" virtc container wait --timeout 0 web two

# A program that ends by itself on SIGTERM, and one that does not.
serve() { # ID WHAT-ON-SIGTERM: a container that serves; returns once its trap is set
    virtc container create --name "$1" --rootfs "$root" --stdout "$work/$1.out" web -- \
        sh -c "trap '$2' TERM; echo ready; while :; do sleep 0.1; done" >/dev/null
    virtc container start web "$1" >/dev/null
    until grep -q ready "$work/$1.out"; do sleep 0.05; done
}
serve gentle "exit 5"
virtc container stop --timeout 20 web gentle >/dev/null
is "stop: SIGTERM first" "$(virtc container wait web gentle)" 5
serve deaf ""
refuses "delete of a container that runs" 1 "running" virtc container delete web deaf
$x web deaf -- sh -c 'sleep 1000001 & sleep 1000002 & wait' &
pid=$!
until [ "$($x web deaf -- ps | grep -c 'sleep 100000[12]$')" = 2 ]; do sleep 0.05; done
virtc container kill --all web deaf TERM
wait $pid
# bug-25: "all" is not forgotten on the way to the guest.
is "kill --all reaches every process" "$? $($x web deaf -- ps | grep -c 'sleep 100000[12]$')" "143 0"
virtc container stop --timeout 1 web deaf >/dev/null
is "stop: SIGKILL after the time" "$(virtc container wait web deaf)" 137

virtc pod stop web >/dev/null
is "pod stop" $? 0
virtc pod stop web >/dev/null
is "pod stop again" $? 0
has "stopped" "$(virtc pod list)" stopped
refuses "exec in a stopped pod" 125 "web" $x web two -- true
virtc pod start web >/dev/null
is "a stopped pod can be started again" $? 0
is "and its containers run" "$($x web two -- sh -c "$settled")" sleep
virtc pod delete --force web >/dev/null
is "delete --force of a running pod" $? 0
nothing_left "after delete"
refuses "status of a pod that is gone" 1 "web" virtc pod status web
finish
