#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `virtc run` in a real VM: output, exit codes, users, streams kept apart, what stands in the root directory afterwards.
. "$(dirname "$0")/lib.sh"
from_template
root=$work/rootfs
make_rootfs "$root"
before=$(snapshot "$root")
v="virtc run --rm --rootfs $root"

status=0
out=$($v --name demo -- sh -c 'uname -r; hostname; id; echo $0; exit 7' 2>"$work/err") || status=$?
is "exit code of the command" "$status" 7
is "nothing on standard error" "$(cat "$work/err")" ""
is "the guest's own kernel" "$(echo "$out" | sed -n 1p)" "$(sed -n 's/^kernel[ =:]*//p' "$VC_BUILD_DIR/guest/manifest" | head -n 1)"
is "host name" "$(echo "$out" | sed -n 2p)" demo
has "id" "$(echo "$out" | sed -n 3p)" "uid=0"
is "argv[0]" "$(echo "$out" | sed -n 4p)" sh
nothing_left "after run --rm"

# Streams apart, several exit codes in one boot through exec are in lifecycle.sh; here the edges of run itself.
$v -- sh -c 'echo to-out; echo to-err >&2; exit 255' >"$work/out" 2>"$work/err"
is "the largest exit code" $? 255
is "standard output" "$(cat "$work/out")" to-out
is "standard error" "$(cat "$work/err")" to-err

refuses "no such command" 127 "no-such-program" $v -- no-such-program
refuses "not executable" 126 "/etc/keep" $v -- /etc/keep
refuses "unknown user" 125 "nobody-here" $v --user nobody-here -- true
nothing_left "after failed starts"

out=$($v --user guest --group 4321 -e COLOR=blue -w /tmp -- sh -c 'id -u; id -g; id -G; pwd; echo $COLOR; echo $PATH; cat /proc/self/status' 2>&1)
is "user by name: uid" "$(echo "$out" | sed -n 1p)" 1234
is "user by name: gid from passwd" "$(echo "$out" | sed -n 2p)" 567
has "additional groups" " $(echo "$out" | sed -n 3p) " " 4321 "
is "working directory" "$(echo "$out" | sed -n 4p)" /tmp
is "environment" "$(echo "$out" | sed -n 5p)" blue
has "default PATH" "$(echo "$out" | sed -n 6p)" "/usr/bin"
# A shell has a PATH of its own; what is added to an environment takes nothing away.
is "what --env adds to" "$($v -e A=1 -- env | grep -v HOME | tr '\n' ' ')" "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin A=1 "
is "with a terminal" "$($v -t -e A=1 -e TERM=dumb -- env | tr -d '\r' | grep -v HOME | tr '\n' ' ')" \
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin A=1 TERM=dumb "
cat >"$work/spec.json" <<END
{ "Containers": [ { "RootFs": "$root", "OCISpec": { "process": { "args": [ "env" ], "cwd": "/", "env": [ "B=2", "A=0" ] } } } ] }
END
is "of a specification" "$(virtc run --rm --from "$work/spec.json" -e A=1 | grep -v HOME | tr '\n' ' ')" "B=2 A=1 "
has "no capabilities for an ordinary user" "$out" "CapEff:	0000000000000000"

is "the root directory is as it was" "$(snapshot "$root")" "$before"

# bug-19: what the container writes is there; with --readonly nothing can be written, and the host keeps it so.
$v -- sh -c 'echo hello >/written'
is "a file the container wrote" "$(cat "$root/written" 2>/dev/null)" hello
rm -f "$root/written"
out=$($v --readonly -- sh -c 'echo no >/written || echo refused; mount -o remount,rw / 2>&1; echo no >/written2 || echo refused again' 2>&1)
has "read-only root" "$out" refused
has "read-only root after a remount in the guest" "$out" "refused again"
is "nothing was written" "$(ls "$root" | grep written)" ""

# A root without any mount point: the host makes them and takes them away again.
bare=$work/bare
mkdir -p "$bare/bin"
cp "$(command -v busybox)" "$bare/bin/busybox"
ln -s busybox "$bare/bin/sh"
before=$(snapshot "$bare")
out=$(virtc run --rm --rootfs "$bare" -- sh -c 'busybox ls /proc/self/exe /dev/null /sys/kernel' 2>&1)
has "proc, dev and sys in a bare root" "$out" "/dev/null"
is "a bare root is as it was" "$(snapshot "$bare")" "$before"

# What the guest shares with the host beside the roots is small and holds no device: a hostile guest cannot fill the host.
virtc pod create --name share >/dev/null
line=$(grep " $run_root/pods/share/shared/fs " /proc/self/mountinfo)
has "the shared directory is a file system of its own" "$line" " - tmpfs "
has "of limited size" "$line" "size=2048k"
has "without devices" "$line" "nosuid,nodev,noexec"
virtc pod delete --force share >/dev/null

# Without --rm the pod stays, stopped, with its exit status; and can be deleted.
virtc run --name stays --rootfs "$root" -- sh -c 'exit 3'
is "exit code" $? 3
has "it stays, stopped" "$(virtc pod list)" "stays   stopped"
has "its exit status" "$(virtc --json pod status stays)" '"exit_status":3'
is "gc leaves a pod that was finished alone" "$(virtc gc)" "nothing to remove"
virtc pod delete stays >/dev/null
is "delete" $? 0

# The program that README.md shows.
awk '/^```c$/ { on = 1; next } /^```/ { on = 0 } on' "$srcdir/README.md" | sed "s|/srv/busybox|$root|" >"$work/readme.c"
${CC:-cc} -I"$srcdir/core/include" "$work/readme.c" -o "$work/readme" -L"$VC_BUILD_DIR/core/.libs" -lvccore
is "the README's program" "$(LD_LIBRARY_PATH=$VC_BUILD_DIR/core/.libs "$work/readme")" "the shell in the VM ended with exit status 7"
nothing_left "at the end"
finish
