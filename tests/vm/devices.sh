#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Devices of containers in a real VM: those that every kernel has, by number; pipes; disks, which are plugged into the VM
# and found by where they are, whatever the guest calls them (bug-15, bug-16).
. "$(dirname "$0")/lib.sh"
from_template
with=$VC_BUILD_DIR/tests/vm/with-storage
root=$work/rootfs
make_rootfs "$root"
x="virtc container exec pod c --"
disk() { # FILE WORD: a disk of 8 MiB that begins with WORD
    truncate -s 8M "$1"
    printf '%s\n' "$2" | dd of="$1" conv=notrunc status=none
}
head_of() { head -c 64 "$1" | tr -d '\0' | head -n 1; }
in_guest() { virtc container exec pod "$1" -- sh -c "head -c 64 $2 | tr -d '\\000' | head -n 1"; }
open_in_vmm() { # FILE: how many descriptors of it the VMM has
    find "/proc/$(virtc --json pod status pod | sed -n 's/.*"vmm_pid":\([0-9]*\).*/\1/p')/fd" -lname "$1" | wc -l
}
disks_of_guest() { $x sh -c 'ls /sys/block | grep -c ^vd'; }

virtc pod create --name pod >/dev/null
disk "$work/one.img" image-one
disk "$work/two.img" image-two
disk "$work/three.img" image-three
mknod "$work/serial" c 188 0

no() { # WHAT PART WORD...
    n_what=$1 n_part=$2
    shift 2
    refuses "$n_what" 1 "$n_part" "$with" container pod no "$root" "$@" -- true
}
no "a character device of the host's hardware" "188:0" device=/dev/serial:"$work/serial"
no "a device that is not there" "/dev/nothing-like-it" device=/dev/x:/dev/nothing-like-it
no "a file that is no device" "type \"b\"" device=/dev/x:"$work/one.img"
no "a group of VFIO" "VFIO" device=-:/dev/vfio/7
no "a wrong type" "type \"c\"" device=/dev/x:/dev/null:b
no "a disk that does not exist" "4000:0" device=/dev/x:-:b:4000:0
is "none of them is left" "$(virtc container list pod | grep -c '^no ')" 0

"$with" container pod c "$root" device=/dev/nil:/dev/null:-:-:-:640 device=/dev/nul:-:c:1:5 device=-:/dev/fuse \
    device=/dev/tun0:-:c:10:200 device=/dev/pipe:-:p:-:-:600 device=/dev/first:"$work/one.img":b \
    device=/dev/second:"$work/two.img":b:-:-:440 -- sleep 1000000 >"$work/out" 2>&1
is "a container with devices" "$(cat "$work/out")" c
virtc pod start pod >/dev/null
is "it starts" $? 0
is "a node by the host's path, with its mode" "$($x stat -c '%F %t:%T %a' /dev/nil)" "character special file 1:3 640"
is "it works" "$($x sh -c 'echo lost >/dev/nil && cat /dev/nil | wc -c')" 0
is "one by its number" "$($x sh -c 'head -c 3 /dev/nul | wc -c; stat -c %t:%T /dev/nul' | tr '\n' ' ')" "3 1:5 "
is "FUSE" "$($x sh -c 'exec 3<>/dev/fuse && echo open')" open
is "a pipe" "$($x sh -c 'stat -c "%F %a" /dev/pipe; (echo through >/dev/pipe &) ; cat /dev/pipe' | tr '\n' ' ')" "fifo 600 through "
has "others are not allowed" "$($x sh -c 'mknod /dev/kmsg2 c 1 11; exec 3</dev/kmsg2' 2>&1)" "ermitted"

is "two disks" "$($x stat -c %F /dev/first) $(in_guest c /dev/first) $(in_guest c /dev/second)" \
    "block special file image-one image-two"
$x sh -c 'printf "from-guest\n" >/dev/first; sync'
is "a disk is written to" "$(head_of "$work/one.img")" from-guest
$x sh -c 'printf "from-guest\n" >/dev/second' 2>/dev/null
is "one without the right to write is read-only, kept by the VMM" "$? $(head_of "$work/two.img")" "1 image-two"
before=$(disks_of_guest)
"$with" container pod d "$root" device=/dev/third:"$work/three.img":b device=/dev/shared:"$work/one.img":b -- sleep 1000000 >/dev/null
virtc container start pod d >/dev/null
is "a later container: its own disk, and one that is plugged in already" "$(in_guest d /dev/third) $(in_guest d /dev/shared)" \
    "image-three from-guest"
is "one more disk in the guest" "$(disks_of_guest)" $((before + 1))
is "whose file the VMM has open once" "$(open_in_vmm "$work/three.img")" 1
mv "$work/one.img" "$work/away.img"
disk "$work/one.img" stranger
is "what is put in its place meanwhile is not what the guest has" "$(in_guest d /dev/shared)" from-guest
mv "$work/away.img" "$work/one.img"
virtc container delete --force pod d >/dev/null
is "its end takes its own out" "$? $(disks_of_guest) $(in_guest c /dev/first)" "0 $before from-guest"
is "and the VMM closes its file" "$(open_in_vmm "$work/three.img")" 0
for i in 1 2 3 4 5 6 7 8; do # more often than there are slots
    "$with" container pod "e$i" "$root" device=/dev/disk:"$work/three.img":b -- true >/dev/null && virtc container delete pod "e$i" >/dev/null ||
        bad "plugging in and out, time $i"
done
is "slots come back" "$(disks_of_guest)" "$before"

virtc pod stop pod >/dev/null
is "the VM's end lets go of all" "$(disk "$work/one.img" changed && head_of "$work/one.img")" changed
virtc pod start pod >/dev/null
is "a new start plugs them in again" "$? $(in_guest c /dev/first) $(in_guest c /dev/second)" "0 changed image-two"
virtc pod delete --force pod >/dev/null
nothing_left "after delete"

# ---- a block device of the host ----
if loop=$(losetup -f --show "$work/two.img" 2>/dev/null); then
    numbers=$(stat -c '%t %T' "$loop" | (read -r a b; echo $((0x$a)):$((0x$b))))
    virtc pod create --name pod >/dev/null
    "$with" container pod c "$root" device=-:"$loop" -- sleep 1000000 >/dev/null
    "$with" container pod d "$root" "device=/dev/by-number:-:b:$numbers" -- sleep 1000000 >/dev/null
    virtc pod start pod >/dev/null
    is "a block device by its path, and by its number" "$(in_guest c "$loop") $(in_guest d /dev/by-number)" "image-two image-two"
    virtc pod delete --force pod >/dev/null
    losetup -d "$loop"
    nothing_left "after that"
else
    echo "(this machine has no loop devices)"
fi
finish
