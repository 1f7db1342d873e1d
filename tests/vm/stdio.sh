#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Streams through a real VM: 64 MiB in and out, end of file, a terminal that follows the window size, signals.
. "$(dirname "$0")/lib.sh"
from_template
root=$work/rootfs
make_rootfs "$root"

head -c 67108864 /dev/urandom >"$work/big"
want=$(sha256sum <"$work/big")
got=$(virtc run --rm -i --rootfs "$root" -- cat <"$work/big" | sha256sum)
is "64 MiB through cat" "$got" "$want"

virtc pod create --name s >/dev/null
virtc container create --name c --rootfs "$root" s -- sleep 1000000 >/dev/null
virtc pod start s >/dev/null
x="virtc container exec"

is "end of file is passed on" "$(printf 'a\nb\n' | $x -i s c -- wc -l)" 2
is "no -i: end of file at once" "$(echo ignored | $x s c -- wc -c)" 0
got=$(head -c 1048577 "$work/big" | $x -i s c -- sha256sum)
is "an odd size" "$got" "$(head -c 1048577 "$work/big" | sha256sum)"
$x s c -- sh -c 'i=0; while [ $i -lt 2000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done' >"$work/o" 2>"$work/e"
is "2000 lines on standard output" "$(grep -c '^out ' "$work/o")" 2000
is "2000 lines on standard error" "$(grep -c '^err ' "$work/e")" 2000
is "not mixed" "$(grep -c err "$work/o")$(grep -c out "$work/e")" 00
$x s c -- sh -c 'exec >&-; exec 2>&-; exit 5'
is "exit code when the streams were closed early" $? 5
# A reader that goes away: the writer in the guest ends, the shim does not hang.
$x s c -- sh -c 'yes' | head -n 1 >"$work/o"
is "first line of yes" "$(cat "$work/o")" y
# So it does when the writer is a child of the process, which hears nothing of the signal; what comes last on the other
# output is not lost.
{
    status=0
    timeout 60 $x s c -- sh -c 'yes; exit 7' || status=$?
    echo $status >"$work/code"
} | head -n 1 >"$work/o"
is "first line of a child" "$(cat "$work/o")" y
is "its parent ends by the signal" "$(cat "$work/code")" 141
{
    status=0
    timeout 60 $x s c -- sh -c 'trap "echo last >&2; exit 9" PIPE; yes & wait' 2>"$work/e" || status=$?
    echo $status >"$work/code"
} | head -n 1 >"$work/o"
is "a parent that minds the signal: exit code" "$(cat "$work/code")" 9
is "a parent that minds the signal: its last words" "$(cat "$work/e")" last
# What cannot be written is said, and is no success; a failure of the command stays what it was, also when it comes long
# after.  One that goes on and on is ended, which is no failure of its own.
full() { # WHAT EXPECTED COMMAND...
    fw=$1 fx=$2
    shift 2
    status=0
    err=$("$@" 2>&1 >/dev/full) || status=$?
    is "a full disk: $fw: exit code" $status "$fx"
    has "a full disk: $fw: said" "$err" "standard output of the process cannot be written: No space left on device"
    is "a full disk: $fw: said once" "$(printf '%s\n' "$err" | grep -c 'No space left')" 1
}
late='echo one; sleep 1; echo two; sleep 1; echo three'
run="virtc run --rm --rootfs $root --"
full "exec" 125 $x s c -- echo hello
full "exec that fails" 7 $x s c -- sh -c 'echo hello; exit 7'
full "exec that goes on" 125 $x s c -- sh -c "$late"
full "exec that goes on and fails" 7 $x s c -- sh -c "$late; exit 7"
full "exec without end" 125 $x s c -- yes
full "exec whose child has no end" 125 $x s c -- sh -c 'yes; exit 7'
full "run" 125 $run echo hello
full "run that fails" 7 $run sh -c 'echo hello; exit 7'
full "run that goes on and fails" 7 $run sh -c "$late; exit 7"
full "run without end" 125 $run yes
status=0
err=$($x s c -- sh -c 'echo hello >&2; echo out; exit 7' 2>/dev/full) || status=$?
is "a full disk for errors: exit code" $status 7
is "a full disk for errors: the output is there" "$err" out
# A terminal: script(1) gives one to virtc; its size is changed while the program runs.
cat >"$work/tty.sh" <<'END'
stty rows 33 cols 101
virtc container exec -it s c -- sh -c 'tty; stty size; trap "stty size; exit 9" WINCH; echo ready; while :; do read x; done'
END
mkfifo "$work/keys"
( script -qec "sh $work/tty.sh" /dev/null <"$work/keys" >"$work/tty.out"; echo $? >"$work/tty.code" ) &
script_pid=$!
exec 9>"$work/keys"
until grep -q ready "$work/tty.out" 2>/dev/null || ! kill -0 $script_pid 2>/dev/null; do sleep 0.05; done
dev=$(for p in /proc/[0-9]*; do
    case $(cmdline "$p") in "virtc container exec -it s c"* | *"/virtc"*" container exec -it s c"*) readlink "$p/fd/0" ;; esac
done | head -n 1)
stty rows 44 cols 122 <"$dev"
wait $script_pid
exec 9>&-
out=$(tr -d '\r' <"$work/tty.out")
has "a terminal in the guest" "$out" "/dev/pts/"
has "its size at the start" "$out" "33 101"
has "its size after a change" "$out" "44 122"
is "exit code through the terminal" "$(cat "$work/tty.code")" 9

is "a terminal without an input" "$($x -t s c -- sh -c 'tty; stty size' </dev/null | tr -d '\r' | tr '\n' ' ' | sed 's|/[0-9]* |/N |')" "/dev/pts/N 24 80 "
refuses "a terminal with a pipe as its input" 125 "not a terminal" $x -it s c -- cat

# Signals to virtc reach the program.
$x s c -- sh -c 'trap "echo got-usr1; exit 21" USR1; echo ready; while :; do sleep 1; done' >"$work/o" &
pid=$!
until grep -q ready "$work/o" 2>/dev/null || ! kill -0 $pid 2>/dev/null; do sleep 0.05; done
kill -USR1 $pid
wait $pid
is "exit code of the trap" $? 21
has "the trap ran" "$(cat "$work/o")" got-usr1
# A hang-up ends a container whose first process has no handler for it, as it would end a process that is no init.
virtc run --rm --rootfs "$root" -- sh -c 'echo up; exec sleep 1000000' >"$work/o" &
pid=$!
until grep -q up "$work/o" 2>/dev/null || ! kill -0 $pid 2>/dev/null; do sleep 0.05; done
kill -HUP $pid
wait $pid
is "hang-up ends the run" $? 137
# So do the two of the keyboard.
for sig in INT QUIT; do
    virtc pod run --name keys --rootfs "$root" -- sleep 1000000 >/dev/null
    virtc kill --signal $sig keys
    is "SIG$sig ends a container that has no handler for it" "$(virtc wait --timeout 20 keys 2>&1)" 137
    virtc pod delete --force keys >/dev/null
done

virtc pod delete --force s >/dev/null
nothing_left "at the end"
finish
