#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the agent sets up for a container, seen from inside containers in a real VM: namespaces, root, /dev, limits,
# capabilities, system call filter, masked paths, cgroup values.
. "$(dirname "$0")/lib.sh"
root=$work/rootfs
make_rootfs "$root"
cp "$VC_BUILD_DIR/tests/vm/in-guest" "$root/in-guest"
mkdir "$root/secret" "$root/fixed"
echo hidden >"$root/secret/file"
echo hidden >"$root/etc/hidden"
before=$(snapshot "$root")
x="virtc container exec"
line() { grep "^$1" | tr -s ' \t' ' '; }

cat >"$work/config.json" <<'END'
{
  "ociVersion": "1.0.2",
  "process": {
    "args": ["/bin/sleep", "1000000"],
    "cwd": "/",
    "env": ["PATH=/bin"],
    "user": { "uid": 1234, "gid": 567, "additionalGids": [890, 4000] },
    "noNewPrivileges": true,
    "capabilities": { "bounding": ["CAP_KILL", "CAP_NET_RAW"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"],
                      "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"] },
    "rlimits": [ { "type": "RLIMIT_NPROC", "soft": 33, "hard": 44 } ]
  },
  "linux": {
    "maskedPaths": ["/secret", "/etc/hidden", "/not/there"],
    "readonlyPaths": ["/fixed"],
    "devices": [ { "path": "/dev/extra", "type": "c", "major": 1, "minor": 5, "fileMode": 416, "uid": 7, "gid": 8 } ],
    "seccomp": {
      "defaultAction": "SCMP_ACT_ALLOW",
      "syscalls": [
        { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" },
        { "names": ["getcpu"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95 }
      ]
    }
  }
}
END

virtc pod create --name g >/dev/null
is "pod" $? 0
virtc container create --name limits --rootfs "$root" --rlimit RLIMIT_NOFILE=100:200 --rlimit RLIMIT_CORE=0:0 \
    --sysctl kernel.msgmax=9000 --no-new-privs --cap CAP_NET_RAW --cap CAP_CHOWN --memory 64M --pids-limit 20 \
    --cpu-quota 50000 --cpu-shares 512 g -- sleep 1000000 >/dev/null
is "a container with limits" $? 0
virtc container create --name plain --rootfs "$root" g -- sleep 1000000 >/dev/null
virtc container create --name second --rootfs "$root" g -- sleep 1000000 >/dev/null
is "a container from a specification" "$("$VC_BUILD_DIR/tests/vm/create-from-spec" g spec "$root" "$work/config.json")" spec
virtc container create --name hungry --rootfs "$root" --memory 24M g -- dd if=/dev/zero of=/dev/null bs=100M count=1 >/dev/null
virtc container create --name forks --rootfs "$root" --pids-limit 8 --stderr "$work/forks.err" --stdout "$work/forks.out" g -- \
    sh -c 'i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done; echo never' >/dev/null
virtc pod start g >/dev/null
is "pod start" $? 0

# Limits.
status=$($x g limits -- cat /proc/1/status)
limits=$($x g limits -- cat /proc/1/limits)
is "rlimit: open files" "$(echo "$limits" | line 'Max open files')" "Max open files 100 200 files "
is "rlimit: core" "$(echo "$limits" | line 'Max core')" "Max core file size 0 0 bytes "
is "sysctl" "$($x g limits -- cat /proc/sys/kernel/msgmax)" 9000
is "sysctl: the other container has its own" "$($x g plain -- cat /proc/sys/kernel/msgmax)" 8192
has "no_new_privs" "$(echo "$status" | line NoNewPrivs)" "NoNewPrivs: 1"
has "no_new_privs is off by default" "$($x g plain -- cat /proc/1/status | line NoNewPrivs)" "NoNewPrivs: 0"
has "capabilities: effective" "$(echo "$status" | line CapEff)" "0000000000002001"
has "capabilities: bounding" "$(echo "$status" | line CapBnd)" "0000000000002001"
has "capabilities: the usual set" "$($x g plain -- cat /proc/1/status | line CapEff)" "00000000800405fb"
c=/sys/fs/cgroup
is "cgroup: own one only" "$($x g limits -- sh -c "cat $c/cgroup.procs | head -n 1")" 1
is "cgroup: memory.max" "$($x g limits -- cat $c/memory.max)" 67108864
is "cgroup: pids.max" "$($x g limits -- cat $c/pids.max)" 20
is "cgroup: cpu.max" "$($x g limits -- cat $c/cpu.max)" "50000 100000"
is "cgroup: cpu.weight of 512 shares" "$($x g limits -- cat $c/cpu.weight)" 20
is "cgroup: no limit by default" "$($x g plain -- cat $c/memory.max $c/pids.max $c/cpu.max | tr '\n' ' ')" "max max max 100000 "
$x g limits -- sh -c "echo max >$c/memory.max" 2>/dev/null
is "cgroup: the container cannot raise its limit" "$? $($x g limits -- cat $c/memory.max)" "1 67108864"
is "memory limit: killed by the guest's kernel" "$(virtc container wait --timeout 60 g hungry)" 137
virtc container wait --timeout 60 g forks >/dev/null
has "pids limit: cannot fork" "$(cat "$work/forks.err")" "can't fork"
is "pids limit: went no further" "$(cat "$work/forks.out")" ""

# From a specification.
status=$($x g spec -- cat /proc/1/status)
is "spec: user" "$(echo "$status" | line 'Uid')" "Uid: 1234 1234 1234 1234"
is "spec: group" "$(echo "$status" | line 'Gid')" "Gid: 567 567 567 567"
has "spec: additional groups" "$(echo "$status" | line 'Groups')" "Groups: 890 4000"
for set in Inh Prm Eff Amb; do
    has "spec: capabilities $set" "$(echo "$status" | line Cap$set)" "0000000000000020"
done
has "spec: capabilities Bnd" "$(echo "$status" | line CapBnd)" "0000000000002020"
has "spec: no_new_privs" "$(echo "$status" | line NoNewPrivs)" "NoNewPrivs: 1"
has "spec: a system call filter is on" "$(echo "$status" | line Seccomp:)" "Seccomp: 2"
is "spec: rlimit" "$($x g spec -- cat /proc/1/limits | line 'Max processes')" "Max processes 33 44 processes "
is "spec: seccomp, with its error number, also for exec" "$($x g spec -- /in-guest mkdir getcpu uname | tr '\n' ' ')" \
    "mkdir: EPERM getcpu: EOPNOTSUPP uname: ok "
is "no filter elsewhere" "$($x g plain -- /in-guest mkdir getcpu | tr '\n' ' ')" "mkdir: ok getcpu: ok "
is "spec: a masked directory is empty" "$($x g spec -- ls /secret)" ""
is "spec: a masked file is empty" "$($x g spec -- cat /etc/hidden)" ""
is "not masked elsewhere" "$($x g plain -- cat /secret/file /etc/hidden | tr '\n' ' ')" "hidden hidden "
has "spec: a read-only path" "$($x g spec -- sh -c 'echo x >/fixed/file' 2>&1)" "Read-only file system"
is "spec: a device" "$($x g spec -- stat -c '%F %t:%T %a %u:%g' /dev/extra)" "character special file 1:5 640 7:8"

# The usual masks.
is "/proc/kcore is masked" "$($x g plain -- sh -c 'head -c 16 /proc/kcore | wc -c')" 0
is "/sys/firmware is masked" "$($x g plain -- ls /sys/firmware)" ""
has "/proc/sys is read-only" "$($x g plain -- sh -c 'echo 1 >/proc/sys/kernel/msgmax' 2>&1)" "Read-only file system"
has "/proc/sysrq-trigger is read-only" "$($x g plain -- sh -c 'echo h >/proc/sysrq-trigger' 2>&1)" "Read-only file system"
has "/sys is read-only" "$($x g plain -- sh -c 'echo 0 >/sys/kernel/profiling' 2>&1)" "Read-only file system"

# /dev, shared memory, message queues.
is "/dev holds this" "$($x g plain -- ls /dev | tr '\n' ' ')" \
    "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero "
is "/dev/null, zero, random work" "$($x g plain -- sh -c 'echo x >/dev/null; head -c 5 /dev/zero | wc -c; head -c 5 /dev/urandom | wc -c' | tr '\n' ' ')" "5 5 "
is "/dev/full is full" "$($x g plain -- sh -c 'echo x >/dev/full' 2>&1 | grep -c 'No space left')" 1
is "shm and message queues are usable" "$($x g plain -- /in-guest memory queue | tr '\n' ' ')" "memory: ok queue: ok "
is "no device can be made without the capability" "$($x g plain -- mknod /dev/mem c 1 1 2>&1 | grep -c 'not permitted')" 1

# Apart from each other.
for ns in pid ipc uts mnt; do
    n=$(for c in plain second limits; do $x g $c -- readlink /proc/self/ns/$ns; done | sort -u | wc -l)
    is "three containers have three $ns namespaces" "$n" 3
done
is "pid 1 is the container's own" "$($x g plain -- cat /proc/1/comm)" sleep
is "no other container's processes are seen" "$($x g plain -- sh -c 'cat /proc/[0-9]*/comm' | grep -c sleep)" 1
$x --cap CAP_SYS_ADMIN g plain -- sh -c 'hostname changed; mount -t tmpfs x /tmp; : >/tmp/here; : >/dev/shm/here; : >/dev/mqueue/here'
is "uts: host name of one" "$($x g plain -- hostname) $($x g second -- hostname)" "changed g"
is "mnt, shm, mqueue: not seen by the other" "$($x g second -- ls /tmp /dev/shm /dev/mqueue | grep -c here)" 0
is "mnt, shm, mqueue: seen by exec in the same" "$($x g plain -- ls /tmp /dev/shm /dev/mqueue | grep -c here)" 3

# The guest's own root is out of reach.
is "/init is not there" "$($x g plain -- ls / | tr '\n' ' ')" "bin dev etc fixed in-guest proc root secret sys tmp "
is "pid 1's root is the container's" "$($x g plain -- ls /proc/1/root | tr '\n' ' ')" "bin dev etc fixed in-guest proc root secret sys tmp "
is "one root mount, nothing above it" "$($x g plain -- cut -d' ' -f5 /proc/self/mountinfo | grep -c '^/$')" 1
is "chroot and upwards does not lead out" "$($x --cap CAP_SYS_CHROOT --cap CAP_DAC_OVERRIDE g plain -- /in-guest escape)" "escape: inside"
is "no descriptor of the agent is inherited" "$($x g plain -- sh -c 'ls -l /proc/self/fd 2>/dev/null' | grep -c -e "-> ")" 3

# Users and groups by number and by name, for exec too.
# bug-25: exec knows users by name, capabilities and no_new_privs.
is "exec: groups by name and number" "$($x --user guest --group 4321 g plain -- id -G | tr ' ' '\n' | sort -n | tr '\n' ' ')" "567 890 4321 "
is "exec: user and group by number" "$($x --user 77:88 g plain -- sh -c 'id -u; id -g' | tr '\n' ' ')" "77 88 "
is "exec: no capabilities for an ordinary user" "$($x --user 77 g plain -- cat /proc/self/status | line CapEff)" "CapEff: 0000000000000000"
is "exec: no_new_privs" "$($x --no-new-privs g plain -- cat /proc/self/status | line NoNewPrivs)" "NoNewPrivs: 1"
is "exec: no capabilities at all" "$($x --cap NONE g plain -- cat /proc/self/status | line CapPrm)" "CapPrm: 0000000000000000"
refuses "exec: a capability that does not exist" 125 "CAP_NOSUCH" $x --cap CAP_NOSUCH g plain -- true
refuses "exec: a working directory that does not exist" 125 "/no/where" $x -w /no/where g plain -- true
refuses "an rlimit that does not exist" 1 "RLIMIT_NOSUCH" virtc container create --rootfs "$root" --rlimit RLIMIT_NOSUCH=1:2 g -- true
refuses "a sysctl that does not exist" 1 "kernel.nosuch" virtc container create --rootfs "$root" --sysctl kernel.nosuch=1 g -- true

virtc pod delete --force g >/dev/null
is "delete" $? 0
is "the root directory is as it was" "$(snapshot "$root")" "$before"
nothing_left "at the end"
finish
