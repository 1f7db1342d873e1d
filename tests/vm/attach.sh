#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `virtc attach`: the streams of containers that run already, with input, by several at once, by one that does not read, with
# a terminal; and its exit codes.
. "$(dirname "$0")/lib.sh"
from_template
root=$work/rootfs
make_rootfs "$root"
limit="timeout 60"

shows() { # FILE TEXT: waits until it is there
    for try in $(seq 600); do
        grep -qF -e "$2" "$1" 2>/dev/null && return 0
        sleep 0.05
    done
    bad "\"$2\" does not come: $(tail -c 500 "$1")"
}
# A container that is started again, with what it shall do.
again() { # NAME OPTION... -- COMMAND...
    a_name=$1
    shift
    virtc container delete --force p "$a_name" >/dev/null 2>&1
    virtc container create --name "$a_name" --rootfs "$root" "$@" >/dev/null && virtc container start p "$a_name" >/dev/null ||
        bad "container $a_name"
}

is "a pod" "$(virtc pod run --name p --container main --rootfs "$root" -- sleep 1000000)" p

# ---- with an input, which lasts as long as somebody writes ----
again lines -i p -- sh -c 'while read -r x; do echo "got $x"; echo "err $x" >&2; done; echo over; exit 5'
printf 'one\ntwo words\n' | $limit virtc attach -i p lines >"$work/o" 2>"$work/e"
is "its exit code" $? 5
is "its output" "$(cat "$work/o")" "$(printf 'got one\ngot two words\nover')"
is "its standard error" "$(cat "$work/e")" "$(printf 'err one\nerr two words')"
refuses "to what has ended" 125 "it has ended" virtc attach p lines
is "its exit code is kept" "$(virtc wait p lines)" 5

# ---- without an input ----
again silent p -- sh -c 'until [ -e /tmp/go ]; do sleep 0.05; done; echo late; exit 6'
echo ignored | $limit virtc attach p silent >"$work/o" 2>"$work/e" &
pid=$!
exec_id=$(virtc exec -d p silent -- sh -c 'sleep 0.2; touch /tmp/go')
wait $pid
is "no -i: its exit code" $? 6
is "no -i: its output" "$(cat "$work/o" "$work/e")" late
rm -f "$root/tmp/go"
refuses "-i, but it was made without" 125 "" virtc attach -i p main
[ -n "$exec_id" ] && ok "an exec id" || bad "no exec id"

# ---- two at once, and one who goes ----
again both -i p -- sh -c 'while read -r x; do echo "got $x"; done; exit 7'
mkfifo "$work/in1" "$work/in2"
$limit virtc attach -i p both <"$work/in1" >"$work/o1" 2>&1 &
pid1=$!
exec 8>"$work/in1"
echo first >&8
shows "$work/o1" "got first"
$limit virtc attach -i p both <"$work/in2" >"$work/o2" 2>&1 &
pid2=$!
exec 9>"$work/in2"
echo second >&9
shows "$work/o1" "got second"
shows "$work/o2" "got second"
is "who came later sees what came later" "$(cat "$work/o2")" "got second"
kill -TERM "$(pgrep -P $pid1 -f 'attach -i p both' || echo $pid1)"
wait $pid1 2>/dev/null
exec 8>&-
echo third >&9
shows "$work/o2" "got third"
has "it goes on without the first" "$(virtc --no-headers container status p both)" running
exec 9>&-
wait $pid2
is "the end of the last one's input is its end" $? 7

# ---- one who does not read is left behind, and nobody waits for him ----
again loud p -- sh -c 'i=0; while [ $i -lt 60000 ]; do echo "a line that is rather long, number $i"; i=$((i + 1)); done; until [ -e /tmp/end ]; do sleep 0.05; done; exit 8'
mkfifo "$work/slow"
$limit virtc attach p loud >"$work/slow" 2>"$work/slow.err" &
slow=$!
exec 7<"$work/slow"
$limit virtc attach p loud >"$work/fast" 2>"$work/fast.err" &
fast=$!
touch "$root/tmp/end"
is "it ends, whoever reads" "$($limit virtc wait p loud)" 8
wait $fast
is "who reads gets its exit code" $? 8
cat <&7 >"$work/slow.out" &
cat_pid=$!
wait $slow
status=$?
exec 7<&-
wait $cat_pid
case $status in 8 | 125) ok "who does not read ends, too ($status)" ;; *) bad "who does not read: $status: $(cat "$work/slow.err")" ;; esac
[ "$(wc -l <"$work/slow.out")" -lt 60000 ] && ok "he has lost something ($(wc -l <"$work/slow.out") lines)" || bad "the slow reader got everything"
rm -f "$root/tmp/end"

# ---- a reader that has stopped keeps neither signals nor keys from ending it ----
flood='read -r x; i=0; while [ $i -lt 20000 ]; do echo "a line that is rather long, number $i"; echo "and one more, number $i" >&2; i=$((i + 1)); done; touch /tmp/done; exec sleep 1000000'
stopped() { # WHAT WANTED OPTION-OF-CONTAINER pipe|terminal SIGNAL|KEYS
    again floods -i $3 p -- sh -c "$flood"
    is "nobody reads, $1" "$(python3 "$(dirname "$0")/stuck-reader.py" "$4" "$root/tmp/done" "$5" virtc attach -i p floods)" "$2"
    rm -f "$root/tmp/done"
}
for sig in SIGTERM SIGINT SIGHUP; do
    stopped "a pipe, $sig" $sig "" pipe $sig
done
stopped "a terminal, SIGTERM" SIGTERM -t terminal SIGTERM
stopped "a terminal, the keys" "exit code 0" -t terminal '\x10\x11'

# ---- signals that its caller has it ignore ----
again calm -i p -- sh -c 'while read -r x; do echo "got $x"; done; exit 11'
mkfifo "$work/in3"
(trap '' HUP INT QUIT TERM; exec virtc attach -i p calm) <"$work/in3" >"$work/o" 2>&1 &
pid=$!
exec 8>"$work/in3"
echo one >&8
shows "$work/o" "got one"
for sig in HUP INT QUIT TERM; do kill -$sig $pid; done
echo two >&8
exec 8>&-
wait $pid
is "ignored signals: its exit code" $? 11
is "ignored signals: its output" "$(cat "$work/o")" "$(printf 'got one\ngot two')"

# ---- one more command ----
id=$(virtc exec -d -i p main -- sh -c 'read -r x; echo "exec got $x"; exit 9')
echo hello | $limit virtc attach -i --exec "$id" p main >"$work/o" 2>&1
is "--exec: its exit code" $? 9
is "--exec: its output" "$(cat "$work/o")" "exec got hello"
refuses "--exec: no such" 125 "nosuch" virtc attach --exec nosuch p main

# ---- a terminal: size, keys, detaching, and coming back ----
again tty -i -t p -- sh -c 'echo begin; while read -r x; do echo "said $x"; stty size; done; exit 10'
cat >"$work/tty.sh" <<END
stty rows 33 cols 101
stty -a | grep -o ' icanon'
virtc attach -i p tty
echo "code \$?"
stty -a | grep -o -e '-\?icanon'
END
type_in() { # OUTPUT: the keys come from descriptor 5
    script -qec "sh $work/tty.sh" /dev/null <"$work/keys" >"$1" 2>&1 &
    script_pid=$!
    exec 5>"$work/keys"
    shows "$1" icanon
}
mkfifo "$work/keys"
type_in "$work/t1"
# Until it is attached the terminal is not raw, and keys would be echoed by it alone.
for try in $(seq 200); do
    printf 'hello\r' >&5
    for again in 1 2 3 4 5; do grep -q "said hello" "$work/t1" && break 2; sleep 0.1; done
done
shows "$work/t1" "33 101"
printf '\020\021' >&5
shows "$work/t1" "code 0"
wait $script_pid
exec 5>&-
has "detached" "$(cat "$work/t1")" "detached; it runs on"
is "the terminal is as it was" "$(tr -d '\r' <"$work/t1" | grep -c -e '^ *icanon')" 2
has "it runs on" "$(virtc --no-headers container status p tty)" running
type_in "$work/t2"
for try in $(seq 200); do
    printf 'again\r' >&5
    for once in 1 2 3 4 5; do grep -q "said again" "$work/t2" && break 2; sleep 0.1; done
done
printf '\004' >&5
shows "$work/t2" "code 10"
wait $script_pid
exec 5>&-
is "the end of its input" "$(tr -d '\r' <"$work/t2" | grep '^code')" "code 10"

# ---- and when the VM dies ----
again dies p -- sleep 1000000
$limit virtc attach p dies >"$work/o" 2>&1 &
pid=$!
kill -9 "$(virtc --json pod status p | sed -n 's/.*"vmm_pid":\([0-9]*\).*/\1/p')"
wait $pid
case $? in 137 | 255 | 125) ok "the VM dies: it ends" ;; *) bad "the VM dies: $?" ;; esac
virtc pod delete --force p >/dev/null
nothing_left "at the end"
finish
