#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a user sees of pods whose state is old, damaged, of another boot or of a newer release, and of full and read-only
# disks; ages; and what is logged. With backends that need no VM.
. "$(dirname "$0")/../vm/lib.sh"
root=$work/rootfs
make_rootfs "$root"
json=$VC_BUILD_DIR/tests/fakes/json-check
printf 'hypervisor = "mock"; agent = "noop"; proxy = "noop"; shim = "noop"; network = "noop";\n' >>"$VCCORE_CONFIG"
record() { echo "$state_root/pods/$1/pod.json"; }
begin() { # POD: running, with a container
    virtc pod run --name "$1" --container c --rootfs "$root" -- true >/dev/null
    is "pod $1 runs" $? 0
}
state_of() { virtc --no-headers pod list | awk -v p="$1" '$1 == p { print $2 }'; }

# ---- ages ----
now=$(date +%s)
aged() { # SECONDS AGE: of a pod and of its container
    sed -i "s/\"created_ns\":[0-9]*/\"created_ns\":$((now - $1))000000000/g" "$(record old)"
    got=$(virtc --no-headers pod list | awk '$1 == "old" { print $5, $6 }')
    # (A second may pass meanwhile.)
    [ "$2" != "59 s" ] || case $got in 6?" s") got="59 s" ;; esac
    is "$1 seconds old" "$got" "$2"
    is "$1 seconds old: as its container" "$(virtc --no-headers container list old | awk '{ print $5, $6 }' | sed 's/^6. s/59 s/')" "$2"
}
begin old
aged 59 "59 s"
aged 150 "2 min"
aged 7000 "116 min"
aged 7300 "2 h"
aged 172000 "47 h"
aged 180000 "2 days"
aged 40000000 "462 days"
aged -5000 "0 s"

# ---- states, side by side ----
begin good
begin stopped
virtc pod stop stopped >/dev/null
begin paused
virtc pod pause paused >/dev/null
virtc pod create --name ready >/dev/null
begin bad
printf '{"version":1,' >"$(record bad)"
cp "$(record bad)" "$work/kept"
is "states" "$(virtc --no-headers pod list | awk '{ print $1, $2 }' | sort | tr '\n' ' ')" \
    "bad broken good running old running paused paused ready ready stopped stopped "
is "a list with a broken one: exit code, nothing on standard error" "$(virtc pod list 2>&1 >/dev/null; echo $?)" 0
is "its columns are aligned" "$(virtc pod list | awk 'NR == 1 { at = index($0, "STATE") } NR > 1 && index(substr($0, at), $2) != 1')" ""
has "pod status names the file" "$(virtc pod status bad)" "$(record bad)"
is "--json: state" "$(virtc --json pod status bad | "$json" state)" broken
has "--json: reason" "$(virtc --json pod status bad | "$json" reason)" "$(record bad)"
for c in "pod start bad" "pod stop bad" "pod stop --force bad" "pod pause bad" "pod resume bad" "pod annotate bad a=b" "pod annotate bad" "pod delete bad" \
    "container create --rootfs $root bad -- true" "container start bad c" "container stop bad c" "container delete bad c" \
    "container status bad c" "container wait bad c" "container kill bad c KILL" "container update --memory 64M bad c" "ps bad c" "logs bad"; do
    # shellcheck disable=SC2086 # words
    refuses "$c" 1 "$(record bad)" virtc $c
done
refuses "exec bad" 125 "$(record bad)" virtc exec bad c -- true
is "--json: the same as an error" "$(virtc --json pod start bad 2>&1 | "$json" error.code)" corrupt
is "gc leaves it to its user" "$(virtc gc)" "nothing to remove"
is "nothing was overwritten" "$(cmp "$(record bad)" "$work/kept" 2>&1)" ""
is "others go on" "$(virtc pod stop good) $(virtc pod start good) $(state_of good)" "good good running"
is "delete --force" "$(virtc pod delete --force bad)" bad
begin bad
virtc pod delete --force bad >/dev/null

# ---- a newer release's ----
sed -i 's/"version":1,/"version":9,/' "$(record stopped)"
cp "$(record stopped)" "$work/kept"
has "a newer release's: status" "$(virtc pod status stopped)" "newer release (version 9; this one reads up to 1)"
for c in "pod start stopped" "pod delete stopped" "container delete stopped c"; do
    # shellcheck disable=SC2086 # words
    refuses "a newer release's: $c" 1 "newer release (version 9; this one reads up to 1)" virtc $c
done
is "a newer release's: untouched" "$(cmp "$(record stopped)" "$work/kept" 2>&1)" ""
sed -i 's/"version":9,/"version":1,/' "$(record stopped)"

# ---- after a reboot: another boot id, and the run directory is gone ----
for p in good paused ready stopped; do
    sed -i 's/"boot_id":"[0-9a-f]*-/"boot_id":"00000000-/' "$(record $p)"
    rm -r "$run_root/pods/$p"
done
is "after a reboot" "$(for p in good paused ready stopped old; do state_of $p; done | tr '\n' ' ')" "stopped stopped stopped stopped running "
for p in good paused ready; do has "why: $p" "$(virtc pod status $p)" "restarted"; done
is "one that was stopped before needs no reason" "$(virtc --json pod status stopped | "$json" reason)" ""
is "its containers" "$(virtc --no-headers container list good | awk '{ print $1, $2, $3, $4 }')" "c stopped - 255"
is "wait does not wait" "$(timeout 20 virtc wait good c)" 255
refuses "exec" 125 "stopped" virtc exec good c -- true
is "gc leaves them to their user" "$(virtc gc)" "nothing to remove"
is "it can be started" "$(virtc pod start good) $(state_of good)" "good running"
is "or deleted" "$(virtc pod delete paused) $(virtc pod delete ready) $(virtc pod delete stopped) $(virtc -q pod list | tr '\n' ' ')" "paused ready stopped good old "
virtc pod delete --force good >/dev/null
virtc pod delete --force old >/dev/null
nothing_left "state"

# ---- disks ----
mkdir "$work/disk"
mount -t tmpfs -o size=256k,mode=755 state-test "$work/disk" || bad "no disk can be mounted"
trap 'umount -l "$work/disk" 2>/dev/null' EXIT
d="virtc --root $work/disk"
$d pod run --name first --container c --rootfs "$root" -- true >/dev/null
dd if=/dev/zero of="$work/disk/filler" bs=4k 2>/dev/null
refuses "a full disk: pod create" 1 "$work/disk/" $d pod create --name more
has "a full disk: why" "$(cat "$work/refuse.err")" "No space left on device"
is "a full disk: --json" "$($d --json pod create --name more 2>&1 | "$json" error.message | grep -c "$work/disk/.*No space left")" 1
is "a full disk: list" "$($d --no-headers pod list | awk '{ print $1, $2 }')" "first running"
is "a full disk: delete makes room" "$($d pod delete --force first)" first
rm "$work/disk/filler"
is "there is room again" "$($d pod run --name first --container c --rootfs "$root" -- true)" first
mount -o remount,ro "$work/disk"
for c in "pod create --name more" "pod annotate first a=b" "pod stop first" "pod delete --force first" "container delete --force first c"; do
    # shellcheck disable=SC2086 # words
    refuses "a read-only disk: $c" 1 "Read-only file system" $d $c
    has "a read-only disk: $c: the file" "$(cat "$work/refuse.err")" "$work/disk/"
done
is "a read-only disk: list, status" "$($d --no-headers pod list | awk '{ print $1, $2 }') $($d -q pod status first)" "first running first"
mount -o remount,rw "$work/disk"
is "afterwards all is as it was" "$($d pod stop first) $($d pod start first) $($d pod delete --force first)" "first first first"
umount "$work/disk"

# ---- roots that are none ----
: >"$work/file"
refuses "a root that is a file" 1 "$work/file" virtc --root "$work/file" pod create
refuses "a log that cannot be opened" 1 "$work/none/log: No such file" virtc --log "$work/none/log" pod list

# ---- the log ----
is "no log by default" "$(virtc pod create --name l 2>&1)" l
has "--debug" "$(virtc --debug pod stop l 2>&1 >/dev/null)" " debug "
virtc pod start l >/dev/null
has "--log-level debug is the same" "$(virtc --log-level=debug pod stop l 2>&1 >/dev/null)" " debug "
is "--log-level error" "$(virtc --log-level error pod start l 2>&1 >/dev/null)" ""
virtc --debug --log "$work/log" pod stop l >"$work/out" 2>&1
is "--log: nothing on standard error" "$(cat "$work/out")" l
n=$(wc -l <"$work/log")
[ "$n" -gt 0 ] && ok "--log: $n lines" || bad "--log: nothing"
virtc --debug --log="$work/log" --log-format=json pod delete l >/dev/null
[ "$(wc -l <"$work/log")" -gt "$n" ] && ok "--log: they are added" || bad "--log: what stood there is gone"
tail -n 1 "$work/log" | "$json" level >/dev/null && ok "--log-format=json" || bad "--log-format=json: $(tail -n 1 "$work/log")"
head -n 1 "$work/log" | "$json" level >/dev/null 2>&1 && bad "--log-format: json by default" || ok "--log-format: text by default"
nothing_left "at the end"
finish
