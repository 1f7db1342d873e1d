#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What containers have of the host in a real VM: bind mounts, volumes, devices; and that nothing of the user's goes with them.
. "$(dirname "$0")/lib.sh"
from_template
with=$VC_BUILD_DIR/tests/vm/with-storage
root=$work/rootfs
make_rootfs "$root"
data=$work/data
mkdir -p "$data/dir/sub" "$data/vol" "$data/rovol" "$data/other"
echo one >"$data/dir/one"
echo deep >"$data/dir/sub/deep"
echo text >"$data/file"
echo vol >"$data/vol/v"
echo rovol >"$data/rovol/v"
ln -s dir "$data/link"
ln -s ../tmp "$root/etc/via"
# A mount below what is bound, and one that shares what is mounted in it with others.
unmount() { umount -l "$data/dir/sub" "$data/other" 2>/dev/null; }
trap unmount EXIT
mount -t tmpfs storage-test "$data/dir/sub"
echo below >"$data/dir/sub/below"
mount --bind "$data/other" "$data/other" && mount --make-shared "$data/other"
before=$(snapshot "$root")
x="virtc container exec pod c --"

# ---- bind mounts ----
"$with" pod pod volume=data:"$data/vol" volume=fixed:"$data/rovol":ro >"$work/out" 2>&1
is "a pod with volumes" "$(cat "$work/out")" pod
"$with" container pod c "$root" mount="/data:$data/link" mount-ro="/ro:$data/dir" mount="/opt/new/file:$data/file" \
    mount="/ro-file:$data/file:bind:bind,ro,noexec" mount="/etc/via/x:$data/other:bind:rbind,rslave,nosuid" \
    mount="/data/nested:$data/other" mount=/vol:data:volume mount=/fixed:fixed:volume mount-ro=/vol-ro:data:volume \
    mount=/scratch:-:tmpfs:size=1m,mode=700 mount=/dev/shm:shm:tmpfs:size=2m,nosuid -- sleep 1000000 >"$work/out" 2>&1
is "a container with mounts" "$(cat "$work/out")" c
virtc pod start pod >/dev/null
is "it starts" $? 0
is "a directory" "$($x cat /data/one)" one
is "what is mounted below it comes along" "$($x cat /data/sub/below)" below
$x sh -c 'echo two >/data/two; mkdir /data/made; chmod 700 /data/made'
is "what is written there is on the host" "$(cat "$data/dir/two"; stat -c %a "$data/dir/made")" "two
700"
echo three >"$data/dir/three"
is "and the other way" "$($x cat /data/three)" three
is "a read-only one can be read" "$($x cat /ro/one)" one
for change in 'echo x >/ro/one' 'rm /ro/one' 'mkdir /ro/d' 'echo x >/ro/sub/below' 'echo x >/ro-file'; do
    $x sh -c "$change" 2>/dev/null
    is "and not be changed: $change" "$? $(cat "$data/dir/one" "$data/file" "$data/dir/sub/below" | tr '\n' ' ')" "1 one text below "
done
# Enforced on the host: a guest that mounts it anew gains nothing.
mine=$(grep -F "$run_root/pods/pod/shared/fs/c/mounts/" /proc/self/mountinfo)
is "all that is bound is private to the pod or a slave, nosuid and nodev" \
    "$(echo "$mine" | grep -c 'nosuid,nodev') $(echo "$mine" | grep -c shared:)" "$(echo "$mine" | wc -l) $([ "$hypervisor" = ns ] && echo "$mine" | grep -c shared: || echo 0)"
is "read-only on the host, with what is below" "$(echo "$mine" | grep -c 'ro,nosuid,nodev')" 4
is "noexec on the host" "$(echo "$mine" | grep -c noexec)" 1
is "a file" "$($x cat /opt/new/file)" text
$x sh -c 'echo more >>/opt/new/file'
is "a file can be written" "$(cat "$data/file")" "text
more"
is "read-only in the container, too" "$($x cat /ro-file | tail -n 1)" more
$x sh -c 'echo l >/tmp/x/l && echo n >/data/nested/n'
is "through a link of the root, and one mount in another" "$(cat "$data/other/l" "$data/other/n" | tr '\n' ' ')" "l n "
mkdir "$data/other/late" && mount -t tmpfs storage-test "$data/other/late" && echo late >"$data/other/late/late"
# (On the host's kernel the guest's own namespace stands between.)
[ "$hypervisor" = ns ] || is "a slave gets what is mounted later" "$($x cat /tmp/x/late/late)" late
is "others do not" "$($x ls /data/nested/late)" ""
umount "$data/other/late" && rmdir "$data/other/late"
is "and its end" "$($x ls /tmp/x | tr '\n' ' ')" "l n "

# ---- what the guest makes ----
has "a file system of the guest" "$($x sh -c 'grep " /scratch " /proc/mounts')" "tmpfs"
has "its options" "$($x sh -c 'grep " /scratch " /proc/mounts')" "size=1024k,mode=700"
is "one in place of a usual one" "$($x sh -c 'grep -c " /dev/shm " /proc/mounts; grep " /dev/shm " /proc/mounts | grep -c size=2048k')" "1
1"

# ---- volumes ----
$x sh -c 'echo from-c >/vol/c'
is "a volume" "$(cat "$data/vol/c") $($x cat /vol/v)" "from-c vol"
for place in /fixed /vol-ro; do
    $x sh -c "echo x >$place/v" 2>/dev/null
    is "read-only: $place" "$? $(cat "$data/vol/v" "$data/rovol/v" | tr '\n' ' ')" "1 vol rovol "
done
"$with" container pod d "$root" mount=/shared:data:volume -- sh -c 'echo from-d >/shared/d; cat /shared/c; exec sleep 1000000' \
    >/dev/null 2>&1
virtc container start pod d >/dev/null
is "a later container has the same volume" "$(virtc container exec pod d -- cat /shared/c)" from-c
until [ -s "$data/vol/d" ]; do sleep 0.05; done
is "and the first one sees what it writes" "$($x cat /vol/d)" from-d
virtc container delete --force pod d >/dev/null
is "its end" "$? $($x cat /vol/d) $(cat "$data/vol/d")" "0 from-d from-d"

# ---- refusals, before anything is made ----
no() { # WHAT PART WORD...: a container that cannot be
    n_what=$1 n_part=$2
    shift 2
    refuses "$n_what" 1 "$n_part" "$with" container pod no "$root" "$@" -- true
}
no "a source that is not there" "$data/nothing" mount="/m:$data/nothing"
no "a source that is not absolute" "absolute" mount="/m:data"
no "a destination that is not absolute" "absolute" mount="m:$data/dir"
no "a destination with .." "\"..\"" mount="/m/../..:$data/dir"
no "the root as destination" "\"/\"" mount="/:$data/dir"
no "an unknown volume" "volume \"nope\"" mount=/m:nope:volume
no "an unknown option" "\"frobnicate\"" mount="/m:$data/dir:bind:frobnicate"
no "shared propagation" "cannot be shared" mount="/m:$data/dir:bind:rbind,rshared"
no "two mounts for one place" "/m" mount="/m:$data/dir" mount="/m/:$data/other"
no "a device as the source of a mount" "device" mount="/m:/dev/zero"
"$with" listen "$data/sock" >"$work/heard" &
listener=$!
until [ -S "$data/sock" ]; do sleep 0.05; done
if [ "$hypervisor" = ns ]; then
    install "$VC_BUILD_DIR/tests/vm/in-guest" "$root/bin/in-guest"
    "$with" container pod s "$root" mount="/run/sock:$data/sock" -- sleep 1000000 >/dev/null && virtc container start pod s >/dev/null
    is "a socket" "$(virtc container exec pod s -- in-guest socket) $(wait $listener; cat "$work/heard")" "socket: ok hello"
    virtc container delete --force pod s >/dev/null
    rm "$root/bin/in-guest"
    no "a file as a disk, where there are no disks" "no disks" device="/dev/disk:$data/file:b"
else
    no "a socket" "is a socket" mount="/run/sock:$data/sock"
    kill $listener
fi
rm "$data/sock"
refuses "a tag with a slash" 1 "a/b" "$with" pod no volume=a/b:"$data/vol"
refuses "two volumes of one tag" 1 "two volumes" "$with" pod no volume=a:"$data/vol" volume=a:"$data/dir"
refuses "a volume that is a file" 1 "not a directory" "$with" pod no volume=a:"$data/file"
refuses "a volume that is not there" 1 "$data/nothing" "$with" pod no volume=a:"$data/nothing"
is "none of them is left" "$(virtc container list pod | grep -c '^no ') $(virtc pod list | grep -c '^no ')" "0 0"

# ---- a tree that holds the run directory, and with it what other pods have ----
virtc pod create --name neighbour >/dev/null
"$with" container pod all "$root" mount-ro="/host:$work" -- sleep 1000000 >/dev/null && virtc container start pod all >/dev/null
is "it is there" "$(virtc container exec pod all -- cat /host/data/vol/v)" vol
virtc pod delete --force neighbour >/dev/null
is "another pod can be deleted meanwhile" "$? $(virtc pod list | grep -c neighbour)" "0 0"
virtc container delete --force pod all >/dev/null

# ---- stop, start again, delete ----
virtc pod stop pod >/dev/null
is "after pod stop nothing is mounted" "$? $(grep -c -F "$run_root/pods/pod/" /proc/self/mountinfo)" "0 0"
virtc pod start pod >/dev/null
is "and after a new start all is there again" "$? $($x cat /data/one /ro/one /opt/new/file /vol/c /fixed/v | tr '\n' ' ')" \
    "0 one one text more from-c rovol "
$x sh -c 'echo x >/ro/one' 2>/dev/null
is "read-only as before" "$? $(cat "$data/dir/one")" "1 one"
virtc container delete --force pod c >/dev/null
is "after container delete its mounts are gone, and the volumes stay" \
    "$(grep -c -F "$run_root/pods/pod/shared/fs/c" /proc/self/mountinfo) $(grep -c -F "$run_root/pods/pod/shared/fs/.volumes" /proc/self/mountinfo)" "0 2"
virtc pod delete --force pod >/dev/null
nothing_left "after delete"
is "the root is as it was: mount points are gone" "$(snapshot "$root")" "$before"
# bug-14: what was mounted is all there
is "the user's files are as they were left" "$(cd "$data" && find . | sort | tr '\n' ' ')" \
    ". ./dir ./dir/made ./dir/one ./dir/sub ./dir/sub/below ./dir/three ./dir/two ./file ./link ./other ./other/l ./other/n ./rovol ./rovol/v ./vol ./vol/c ./vol/d ./vol/v "

# ---- a VM that waited for its pod, and a given specification ----
if [ "$hypervisor" = qemu ]; then
    virtc pool fill 1 >/dev/null
    "$with" pod pooled volume=data:"$data/vol" >/dev/null
    cat >"$work/config.json" <<END
{"ociVersion":"1.0.2","process":{"args":["sleep","1000000"],"cwd":"/","user":{"uid":0,"gid":0}},"mounts":[
{"destination":"/proc","type":"proc","source":"proc"},
{"destination":"/given","type":"none","source":"$data/dir","options":["rbind","ro"]},
{"destination":"/data","type":"volume","source":"data"}]}
END
    "$VC_BUILD_DIR/tests/vm/create-from-spec" pooled c "$root" "$work/config.json" >/dev/null
    virtc pod start pooled >/dev/null
    has "it came from the pool" "$(virtc --json pod status pooled)" '"from_pool":true'
    is "its volumes, and mounts of a given specification" "$(virtc container exec pooled c -- cat /data/v /given/one | tr '\n' ' ')" "vol one "
    virtc container exec pooled c -- touch /given/x 2>/dev/null
    is "read-only, too" "$? $(ls "$data/dir/x" 2>/dev/null)" "1 "
    virtc pod delete --force pooled >/dev/null
    virtc pool drain >/dev/null
    nothing_left "after that"
fi
unmount
finish
