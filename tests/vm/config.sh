#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What members of configurations do in a real VM: pods from JSON documents, and plugins and options of one pod.
. "$(dirname "$0")/lib.sh"
from_template
from=$VC_BUILD_DIR/tests/vm/from-json
libexec=$(sed -n 's/^libexec_dir = "\(.*\)";/\1/p' "$VC_STAGE/vccore.conf")
root=$work/rootfs
make_rootfs "$root"
doc=$work/doc.json
run() { cat >"$doc"; "$from" run "$doc" </dev/null; }
create() { cat >"$doc"; "$from" create "$doc" </dev/null; }
field() { sed -n "s/^$1 //p" "$work/out"; }

# ---- what a process gets ----
cat >"$root/bin/tell" <<'END'
#!/bin/sh
echo "hostname $(hostname)"
echo "env $A|$E|$(env | wc -l)"
echo "dir $(pwd)"
echo "id $(id -u):$(id -g):$(id -G)"
grep -E '^(CapBnd|CapEff|CapPrm|CapInh|CapAmb|NoNewPrivs)' /proc/self/status | tr -d ':\t' | sed 's/\([a-z]\)\([01]\)/\1 \2/'
echo "nofile $(ulimit -Sn) $(ulimit -Hn)"
echo "sysctl $(cat /proc/sys/kernel/shm_rmid_forced)"
touch /x 2>/dev/null && echo "root writable" || echo "root readonly"
echo "args $1|$2"
exit 9
END
chmod 755 "$root/bin/tell"
run >"$work/out" 2>"$work/err" <<END
{ "ID": "all", "Hostname": "web",
  "Containers": [ { "ID": "c", "RootFs": "$root", "ReadonlyRootfs": true,
    "Sysctl": { "kernel.shm_rmid_forced": "1" }, "Rlimits": [ "RLIMIT_NOFILE=77:88" ],
    "Cmd": { "Args": [ "tell", "a b", "\u00e9" ], "Envs": [ { "Var": "A", "Value": "b=c" }, { "Var": "E", "Value": "" },
        { "Var": "PATH", "Value": "/bin" } ],
      "WorkDir": "/tmp", "User": "guest", "PrimaryGroup": "more", "SupplementaryGroups": [ "77", "guests" ],
      "NoNewPrivileges": true,
      "Capabilities": { "Bounding": [ "CAP_CHOWN", "CAP_KILL" ], "Effective": [ "CAP_KILL" ], "Permitted": [ "CAP_CHOWN", "CAP_KILL" ],
        "Inheritable": [ "CAP_KILL" ], "Ambient": [ "CAP_KILL" ] } } } ] }
END
is "the exit status" "$?" 9
is "no complaint" "$(cat "$work/err")" ""
is "host name" "$(field hostname)" web
is "environment: a value with \"=\" is whole (bug-20)" "$(field env)" "b=c||$(field env | sed 's/.*|//')"
is "working directory" "$(field dir)" /tmp
is "user, group, groups" "$(field id)" "1234:890:890 77 567"
is "bounding set" "$(field CapBnd)" 0000000000000021
is "effective set" "$(field CapEff)" 0000000000000020
is "permitted set: what of it outlives the start of a program, that is the ambient set" "$(field CapPrm)" 0000000000000020
is "inheritable set" "$(field CapInh)" 0000000000000020
is "ambient set" "$(field CapAmb)" 0000000000000020
is "no new privileges" "$(field NoNewPrivs)" 1
is "limits" "$(field nofile)" "77 88"
is "sysctl" "$(field sysctl)" 1
is "read-only root" "$(field root)" readonly
is "arguments" "$(field args)" "a b|é"
nothing_left "a process"

# ---- streams ----
is "no Detach: the streams are ours" "$(run <<END
{ "Containers": [ { "RootFs": "$root", "Cmd": { "Args": [ "echo", "out" ] } } ] }
END
)" out
is "Detach: they are nowhere" "$(run <<END
{ "Containers": [ { "RootFs": "$root", "Cmd": { "Args": [ "sh", "-c", "echo out; readlink /proc/self/fd/1 >/tmp/fd1" ], "Detach": true } } ] }
END
)" ""
is "and it ran" "$(test -s "$root/tmp/fd1" && echo yes)" yes
# What is typed may be echoed, or not yet.
is "Console: a terminal of the host" "$(run <<END | tr -d '\r' | grep -vx typed
{ "Containers": [ { "RootFs": "$root", "Cmd": { "Args": [ "sh", "-c", "stty -echo; read x; echo got \$x; test -t 0 && test -t 1 && echo tty; stty size" ],
    "Console": "@PTS@" } } ] }
END
)" "$(printf 'got typed\ntty\n30 100')"

# ---- one more process ----
create >"$work/out" 2>&1 <<END
{ "ID": "more", "Annotations": { "k": "v=w" },
  "Containers": [ { "ID": "c", "RootFs": "$root", "Cmd": { "Args": [ "sleep", "1000000" ], "Detach": true }, "Annotations": { "x": "y" } } ] }
END
is "a pod" "$(cat "$work/out")" more
virtc pod start more >/dev/null
echo '{ "Args": [ "tell" ], "User": "guest", "Capabilities": [], "NoNewPrivileges": true, "WorkDir": "/root" }' >"$doc"
"$from" exec more c "$doc" </dev/null >"$work/out"
is "its exit status" "$?" 9
is "its user" "$(field id)" "1234:567:567 890"
is "no capabilities at all" "$(field CapBnd) $(field CapEff) $(field CapAmb)" "0000000000000000 0000000000000000 0000000000000000"
is "its directory" "$(field dir)" /root
is "no new privileges: as every process (bug-25)" "$(field NoNewPrivs)" 1
has "annotations of the pod" "$(virtc --json pod status more | tr -d ' \n')" 'v=w'
virtc pod delete --force more >/dev/null
nothing_left "one more process"

# ---- options of one pod ----
cat >"$work/my-shim" <<END
#!/bin/sh
echo "\$*" >>"$work/shims"
exec "$libexec/vc-shim" "\$@"
END
chmod 755 "$work/my-shim"
: >"$work/shims"
create >"$work/out" 2>&1 <<END
{ "ID": "set", "ShimConfig": { "Path": "$work/my-shim" }, "ProxyConfig": { "Debug": $([ "$hypervisor" = ns ] && echo false || echo true) }, "Settings": { "agent.share_msize": "8192" },
  "Containers": [ { "ID": "c", "RootFs": "$root", "Cmd": { "Args": [ "sleep", "1000000" ], "Detach": true } } ] }
END
is "a pod with options of its own" "$(cat "$work/out")" set
virtc pod start set >/dev/null
is "its shim is its own" "$(grep -c -- '--container c' "$work/shims")" 1
is "a process that another program runs has it, too" "$(virtc container exec set c -- echo hello) $(wc -l <"$work/shims")" "hello 2"
[ "$hypervisor" = ns ] || is "its proxy's option" "$(test -s "$run_root/pods/set/proxy/proxy.log" && echo yes)" yes
[ "$hypervisor" = ns ] || has "its agent's option" "$(virtc container exec set c -- grep ' / ' /proc/mounts; virtc container exec set c -- cat /proc/self/mountinfo)" "msize=8192"
virtc pod stop set >/dev/null
: >"$work/shims"
virtc pod start set >/dev/null
is "also after it was started again" "$(grep -c -- '--container c' "$work/shims") $(virtc container exec set c -- echo again)" "1 again"
is "others have not" "$(virtc run --rm --rootfs "$root" -- echo other; grep -c . "$work/shims")" "other
2"
virtc pod delete --force set >/dev/null
nothing_left "options of one pod"

# ---- no shim: nothing of the host stands for a process, and no process of the host is touched (bug-10) ----
create >"$work/out" 2>&1 <<END
{ "ID": "bare", "ShimType": "noopShim", "DNS": [ "nameserver 10.1.2.3" ],
  "Containers": [ { "ID": "c", "RootFs": "$root", "Cmd": { "Args": [ "sleep", "1000000" ], "Detach": true } } ] }
END
is "a pod without shims" "$(cat "$work/out")" bare
virtc pod start bare >/dev/null
# (What the guest itself has can be seen from outside only where it is a set of namespaces.)
if [ "$hypervisor" = ns ]; then
    inner=$(pgrep -P "$(virtc --json pod status bare | sed -n 's/.*"vmm_pid":\([0-9]*\).*/\1/p')")
    is "the guest's resolv.conf" "$(cat "/proc/$inner/root/etc/resolv.conf")" "nameserver 10.1.2.3"
fi
has "no process stands for the container" "$(virtc --json pod status bare | tr -d ' \n')" '"pid":0'
virtc pod stop --force bare >/dev/null
is "it stops" $? 0
virtc pod delete bare >/dev/null
nothing_left "no shim"

# ---- plugins of one pod ----
create >"$work/out" 2>&1 <<END
{ "ID": "mock", "HypervisorType": "mock", "AgentType": "noop", "ProxyType": "noopProxy", "ShimType": "noopShim", "NetworkModel": "noop",
  "Template": "off", "Containers": [ { "ID": "c", "RootFs": "$root", "Cmd": { "Args": [ "x" ] } } ] }
END
is "a pod with plugins of its own" "$(cat "$work/out")" mock
status=$(virtc --json pod status mock | tr -d ' \n')
has "its hypervisor" "$status" '"hypervisor":"mock"'
has "its proxy" "$status" '"proxy":"noop"'
virtc pod start mock >/dev/null
is "another program starts it" $? 0
virtc pod delete --force mock >/dev/null

# ---- refused, with nothing made ----
refused() { # WHAT PART DOCUMENT
    echo "$3" >"$doc"
    refuses "$1" 125 "$2" "$from" create "$doc"
}
refused "no such shim" 'shim "ccShim": no shim plugin "cc" in ' '{ "ShimType": "ccShim" }'
refused "what is there instead" '; installed: ' '{ "ShimType": "ccShim" }'
refused "hypervisor and agent that do not fit" 'hypervisor "mock" makes no guest' '{ "HypervisorType": "mock", "Containers": [] }'
refused "no such option" "(HypervisorConfig.ImagePath): unknown key \"image\" in section hypervisor_$hypervisor" '{ "HypervisorConfig": { "ImagePath": "/x" } }'
refused "a value out of range" '"share_msize" in section agent_kata is "1"; it must be a whole number from 4096' '{ "Settings": { "agent.share_msize": "1" } }'
refused "a program that is not there" "the pod's setting \"shim.path\" names /no/such/shim: No such file" '{ "ShimConfig": { "Path": "/no/such/shim" } }'
refused "a place inside the document" 'read: Containers[0].Cmd.Envs[1].Var: it must be a string, and is a whole number' \
    '{ "Containers": [ { "Cmd": { "Envs": [ { "Var": "A" }, { "Var": 5 } ] } } ] }'
nothing_left "refused"

if [ "$hypervisor" != ns ]; then
    # ---- options of the VM: each kind has a template of its own ----
    for n in 1 2; do
        run >"$work/out" 2>"$work/err" <<END
{ "Template": "auto", "HypervisorConfig": { "KernelParams": [ { "Key": "vctest", "Value": "a=b" } ], "DefaultMemSz": 192, "Debug": true },
  "Containers": [ { "RootFs": "$root", "Cmd": { "Args": [ "sh", "-c", "cat /proc/cmdline; grep MemTotal /proc/meminfo" ] } } ] }
END
        has "a parameter of the kernel, $n" "$(cat "$work/out" "$work/err")" "vctest=a=b"
        total=$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' "$work/out")
        [ "${total:-0}" -gt 100000 ] && [ "${total:-0}" -lt 196608 ] && ok "memory, $n" || bad "memory, $n: $total kB"
    done
    is "it has one template, and the others have theirs" "$(virtc --json template list | grep -c '"id"')" 2
    is "a pod without them has no such parameter" "$(virtc run --rm --rootfs "$root" -- grep -c vctest /proc/cmdline)" 0
    virtc gc >/dev/null
    is "gc keeps it, though no pod of the configuration comes from it" "$(virtc --json template list | grep -c '"problem": *null')" 2
    own=$(virtc --json template list | tr -d ' \n' | sed 's/},{/\n/g' | grep vctest | sed 's/.*"id":"\([0-9a-f]*\)".*/\1/')
    virtc template delete "$own" >/dev/null
    is "its template can be removed" $? 0
    # ---- limits of a container ----
    is "limits" "$(run <<END
{ "VMConfig": { "VCPUs": 1, "Memory": 320 },
  "Containers": [ { "RootFs": "$root", "Resources": { "MemoryLimit": 33554432, "PidsLimit": 20, "CPUQuota": 50000, "CPUPeriod": 200000, "CPUShares": 512 },
    "Cmd": { "Args": [ "sh", "-c", "cd /sys/fs/cgroup && cat memory.max pids.max cpu.max" ] } } ] }
END
)" "33554432
20
50000 200000"
    nothing_left "options of the VM"
fi
finish
