#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every option of virtc's commands for pods, containers and processes does what it says, seen from inside a container.
. "$(dirname "$0")/lib.sh"
from_template
root=$work/rootfs
make_rootfs "$root"
: >"$root/file" # for guest-cat
data=$work/data
mkdir -p "$data/dir" "$data/vol" "$data/fixed"
echo one >"$data/dir/one"
echo vol >"$data/vol/v"
echo fixed >"$data/fixed/f"
in_a_pod="virtc run --rm --rootfs $root"
line() { grep "^$1" | tr -s ' \t' ' '; }
only() { [ "$hypervisor" = "$1" ]; }

# ---- the program and its surroundings: long and short ----
cat >"$root/bin/tell" <<'END'
#!/bin/sh
echo "env $A $B"
echo "dir $(pwd)"
echo "id $(id -u):$(id -g):$(id -G | tr ' ' '\n' | sort -n | tr '\n' ' ')"
grep -E '^(CapBnd|NoNewPrivs)' /proc/self/status | tr -s ':\t' ' '
END
chmod 755 "$root/bin/tell"
wanted="env 1 2=3
dir /tmp
id 1234:567:77 567 890 
CapBnd 0000000000000021
NoNewPrivs 1"
long="--env A=1 --env=B=2=3 --workdir /tmp --user guest --group 77 --cap CAP_CHOWN --cap CAP_KILL --no-new-privs"
short="-e A=1 -eB=2=3 -w /tmp -u guest --group=77 --cap=CAP_CHOWN --cap=CAP_KILL --no-new-privs"
# shellcheck disable=SC2086 # words
is "run" "$($in_a_pod $long -- tell)" "$wanted"
is "pod run" "$(virtc pod run --name p --container main --rootfs "$root" $short --stdout "$work/main.out" -- sh -c 'tell; exec sleep 1000000')" p
until [ "$(wc -l <"$work/main.out")" -ge 5 ]; do sleep 0.05; done
is "pod run: what it says" "$(cat "$work/main.out")" "$wanted"
is "container create" "$(virtc container create --name tell --rootfs "$root" $short --stdout "$work/tell.out" p -- tell)" tell
virtc container start p tell >/dev/null
is "container create: it ends" "$(virtc wait p tell)" 0
is "container create: what it says" "$(cat "$work/tell.out")" "$wanted"
is "exec" "$(virtc exec $long p main -- tell)" "$wanted"
is "container enter" "$(virtc container enter $short p main -- tell)" "$wanted"
is "--primary-group" "$(virtc exec --primary-group more p main -- sh -c 'id -u; id -g' | tr '\n' ' ')" "0 890 "
is "--user with a group" "$(virtc exec --user=77:88 p main -- sh -c 'id -u; id -g' | tr '\n' ' ')" "77 88 "

# ---- streams ----
printf 'a\nb\n' >"$work/in"
virtc container create --name wc --rootfs "$root" --stdin "$work/in" --stdout "$work/o" --stderr "$work/e" p -- sh -c 'wc -l; echo err >&2' >/dev/null
virtc container start p wc >/dev/null
virtc wait p wc >/dev/null
is "--stdin, --stdout, --stderr of a container" "$(cat "$work/o") $(cat "$work/e")" "2 err"
virtc exec --stdin="$work/in" --stdout="$work/o" --stderr="$work/e" p main -- sh -c 'cat; echo err2 >&2'
is "of one more command" "$(cat "$work/o" "$work/e" | tr '\n' ' ')" "a b err2 "
is "--interactive" "$(echo typed | virtc exec --interactive p main -- cat)" typed
is "--tty" "$(virtc exec --tty p main -- sh -c 'test -t 1 && echo tty' </dev/null | tr -d '\r')" tty
echo '{ "Args": [ "tell" ], "Envs": [ { "Var": "A", "Value": "doc" }, { "Var": "B", "Value": "doc" } ], "WorkDir": "/etc" }' >"$work/process.json"
is "exec --from: options win" "$(virtc exec --from "$work/process.json" --env A=option p main | head -n 2)" "env option doc
dir /etc"
id=$(virtc exec --detach --stdout "$work/o" p main -- sh -c 'echo detached; exec sleep 1000001')
until grep -q detached "$work/o"; do sleep 0.05; done
virtc kill --exec "$id" --signal KILL p main
is "exec --detach, kill --exec --signal, wait --exec --timeout" "$(virtc wait --timeout 20 --exec "$id" p main)" 137

# ---- a terminal's size ----
sized="until [ \"\$(stty size)\" = '31 97' ]; do sleep 0.05; done; exit 31"
virtc container create -t --name tty --rootfs "$root" p -- sh -c "$sized" >/dev/null
virtc container start p tty >/dev/null
virtc container resize --rows 31 --cols 97 p tty >/dev/null
is "container resize: the program sees it" "$(virtc wait --timeout 20 p tty)" 31
id=$(virtc exec -d -t p main -- sh -c "$sized")
virtc container resize --exec "$id" --rows=31 --cols=97 p main >/dev/null
is "container resize --exec" "$(virtc wait --timeout 20 --exec "$id" p main)" 31
refuses "container resize: it has no terminal" 1 "terminal" virtc container resize --rows 3 --cols 3 p main

# ---- standing still, looking ----
virtc container create --name count --rootfs "$root" --stdout "$work/count" p -- sh -c 'i=0; while :; do i=$((i + 1)); echo $i; sleep 0.02; done' >/dev/null
virtc container start p count >/dev/null
until [ -s "$work/count" ]; do sleep 0.02; done
is "container pause" "$(virtc container pause p count) $(virtc --no-headers container status p count | awk '{ print $2 }')" "count paused"
sleep 0.3
before=$(wc -l <"$work/count")
sleep 1
is "container pause: it stands still" "$(wc -l <"$work/count")" "$before"
is "container resume" "$(virtc container resume p count) $(virtc --no-headers container status p count | awk '{ print $2 }')" "count running"
until [ "$(wc -l <"$work/count")" -gt "$before" ]; do sleep 0.02; done
is "container stats" "$(virtc --no-headers container stats p count | awk '{ print $1, $2 }')" "p count"
virtc container create -i --name echo --rootfs "$root" p -- sh -c 'read -r x; echo "got $x"; exit 9' >/dev/null
virtc container start p echo >/dev/null
is "container attach --interactive" "$(echo hello | timeout 60 virtc container attach --interactive p echo; echo $?)" "got hello
9"
is "kill --all" "$(virtc container kill --all --signal=KILL p count; virtc container wait p count)" 137
is "container stop --timeout" "$(virtc container stop --timeout 0 p main; virtc wait p main)" "main
137"
virtc container delete --force p main >/dev/null
refuses "container delete --force: it is gone" 1 main virtc container status p main

# ---- annotations, host name, guest ----
is "container create --annotation" "$(virtc container create --annotation a=b --annotation=c=d=e --name noted --rootfs "$root" p -- true
    virtc container annotate p noted)" "noted
a=b
c=d=e"
virtc pod delete --force p >/dev/null
nothing_left "the first pod"
is "pod create" "$(virtc pod create --name q --hostname given --annotation k=v --annotation=l= --dns 'nameserver 10.1.2.3' --dns='search here' \
    --volume data:"$data/vol" --volume=fixed:"$data/fixed":ro \
    --shim vc --network=noop --agent kata --proxy "$(only ns && echo none || echo kata)" --hypervisor="$hypervisor")" q
is "--annotation of a pod" "$(virtc pod annotate q | tr '\n' ' ')" "k=v l= "

# ---- storage ----
virtc container create --name s --rootfs "$root" --readonly --bind "$data/dir":/bound:ro -v "$data/dir":/opt/both \
    --mount type=volume,src=data,dst=/vol --mount=type=volume,src=fixed,dst=/fixed --mount type=tmpfs,dst=/scratch,size=1m \
    --mount src="$data/dir",dst=/third,ro --device /dev/null:/dev/nil --device=/dev/zero:/dev/nought \
    --rlimit RLIMIT_NOFILE=100:200 --rlimit=RLIMIT_CORE=0:0 --sysctl kernel.shm_rmid_forced=1 q -- sleep 1000000 >/dev/null
virtc pod start q >/dev/null
is "start" $? 0
x="virtc exec q s --"
is "--hostname" "$($x hostname)" given
if only ns; then
    pid1=$(pgrep -P "$(virtc --json pod status q | sed 's/.*"vmm_pid":\([0-9]*\).*/\1/')")
    dns=$(find "/proc/$pid1/root/etc" "/proc/$pid1/root/run" -name resolv.conf -exec cat {} + 2>/dev/null)
else
    dns=$("$VC_BUILD_DIR/tests/vm/guest-cat" "$run_root/pods/q/proxy/proxy.sock" s /etc/resolv.conf)
fi
is "--dns" "$dns" "nameserver 10.1.2.3
search here"
is "--bind, --mount: what is there" "$($x cat /bound/one /opt/both/one /third/one /vol/v /fixed/f | tr '\n' ' ')" "one one one vol fixed "
$x sh -c 'echo new >/opt/both/new; echo new >/vol/new; echo new >/scratch/new'
is "what is written is on the host" "$(cat "$data/dir/new" "$data/vol/new" | tr '\n' ' ')" "new new "
for place in /bound /third /fixed / /etc; do
    $x sh -c "echo x >$place/no" 2>/dev/null
    is "read-only: $place" "$?" 1
done
is "--device" "$($x sh -c 'echo lost >/dev/nil; head -c 3 /dev/nought | wc -c; stat -c %t:%T /dev/nil' | tr '\n' ' ')" "3 1:3 "
has "--mount type=tmpfs with its size" "$($x grep ' /scratch ' /proc/mounts)" "size=1024k"
is "--rlimit" "$($x cat /proc/1/limits | line 'Max open files') $($x cat /proc/1/limits | line 'Max core')" \
    "Max open files 100 200 files  Max core file size 0 0 bytes "
is "--sysctl" "$($x cat /proc/sys/kernel/shm_rmid_forced)" 1
virtc pod delete --force q >/dev/null
is "nothing was made in the volume that may not be" "$(ls "$data/fixed" "$data/dir" | tr '\n' ' ')" "$data/dir: new one  $data/fixed: f "
nothing_left "storage"

# ---- the VM starts with the containers ----
is "pod create --defer" "$(virtc pod create --defer --name r --container c --rootfs "$root" -- sh -c 'exit 6')" r
has "--defer: no VM" "$(virtc --json pod status r)" '"vmm_pid":0'
virtc pod start r >/dev/null
is "--defer: start" "$(virtc wait r c)" 6
virtc pod stop --force r >/dev/null
is "pod stop --force" "$(virtc --no-headers pod list | awk '{ print $1, $2 }')" "r stopped"
virtc pod delete r >/dev/null

# ---- options of plugins: by an option, by an annotation that the administrator allows ----
cat >"$work/my-shim" <<END
#!/bin/sh
echo "\$*" >>"$work/shims"
exec "$(sed -n 's/^libexec_dir = "\(.*\)";/\1/p' "$VC_STAGE/vccore.conf")/vc-shim" "\$@"
END
chmod 755 "$work/my-shim"
is "--option" "$($in_a_pod --option shim.path="$work/my-shim" -- echo mine; wc -l <"$work/shims")" "mine
1"
by_annotation() { virtc "$@" pod create --name noted --annotation io.vccore.shim.path="$work/my-shim" --container c --rootfs "$root" -- true; }
refuses "by an annotation that nobody allows" 1 "allow_annotations" by_annotation --set log_level=error
is "by one that is allowed" "$(by_annotation --set 'allow_annotations=shim.path')" noted
virtc pod start noted >/dev/null
is "it is done" "$(virtc wait noted c; grep -cE -- '--container c( |$)' "$work/shims")" "0
1"
is "and it can be seen" "$(virtc pod annotate noted)" "io.vccore.shim.path=$work/my-shim"
virtc pod delete --force noted >/dev/null
nothing_left "options of plugins"

# ---- what only a VM has ----
if only qemu; then
    is "limits" "$($in_a_pod --memory 64M --pids-limit 20 --cpu-quota 50000 --cpu-period 200000 --cpu-shares 512 -- \
        sh -c 'cd /sys/fs/cgroup && cat memory.max pids.max cpu.max cpu.weight' | tr '\n' ' ')" "67108864 20 50000 200000 20 "
    virtc pod run --name u --container c --rootfs "$root" -- sleep 1000000 >/dev/null
    virtc container update --memory 48M --pids-limit=30 --cpu-quota 40000 --cpu-period 80000 --cpu-shares=2048 u c >/dev/null
    is "container update" "$(virtc exec u c -- sh -c 'cd /sys/fs/cgroup && cat memory.max pids.max cpu.max cpu.weight' | tr '\n' ' ')" \
        "50331648 30 40000 80000 79 "
    virtc pod delete --force u >/dev/null
    is "--vcpus, --template off" "$($in_a_pod --template off --vcpus 2 -- grep -c ^processor /proc/cpuinfo)" 2
    nothing_left "what only a VM has"
fi

# ---- no option is forgotten ----
for c in run exec attach kill wait "pod create" "pod run" "pod enter" "pod stop" "container create" "container resize" "container update" \
    "container stop" "container delete"; do
    # shellcheck disable=SC2086 # one word or two
    virtc $c --usage
done | grep -o -e '--[a-z][a-z-]*' | sort -u >"$work/known"
# Those of every command, and two that observe.sh shows.
for o in $(grep -vx -e --help -e --usage -e --version -e --json -e --no-headers -e --quiet -e --cpus -e --vm-memory "$work/known"); do
    sed '/no option is forgotten/,$d' "$0" | grep -q -e "$o[ =\"]" || echo "$o"
done >"$work/forgotten"
is "options of which nothing is shown here" "$(cat "$work/forgotten")" ""
finish
