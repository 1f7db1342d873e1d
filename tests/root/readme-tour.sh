#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tour in README.md, taken from its text and run as it stands there: each command succeeds, and what it prints has the
# shape that the README shows (numbers, and the directory it is run in, are other ones). Real containers; on namespaces in
# place of a VM unless VC_TEST_HYPERVISOR says qemu.
VC_TEST_HYPERVISOR=${VC_TEST_HYPERVISOR:-ns}
. "$(dirname "$0")/../vm/lib.sh"
from_template
command -v busybox >/dev/null || { bad "there is no busybox"; finish; }
awk '/^### A tour/ { on = 1; next } /^##/ { on = 0 } on && /^```console$/ { text = 1; next } /^```/ { text = 0 } text' \
    "$srcdir/README.md" >"$work/tour"
is "README.md has a tour" "$([ "$(grep -c '^\$ ' "$work/tour")" -ge 12 ] && echo yes)" yes
for c in run "pod run" "pod create" "container create" "pod start" "pod list" exec "pod status" "pod stop" "pod delete"; do
    grep -q "^\\\$ virtc $c" "$work/tour" && ok "the tour has: $c" || bad "the tour has no $c"
done
# There is no template where nothing boots.
[ "$hypervisor" = qemu ] || sed -i '/^its VM comes from template/,+1d' "$work/tour"
mkdir "$work/home"
cd "$work/home" || exit 99

# Blanks, numbers and the directory are not compared; /bin/busybox is where this machine has it.
shape() { sed "s/template [0-9a-f]*$/template ID/; s|$work/home|/home/you|g; s/\\bns\\b/qemu/g; s/[0-9][0-9]*/N/g; s/  */ /g; s/ *\$//; s/^ *//"; }
check() {
    [ -n "$command" ] || return 0
    run=$(printf '%s\n' "$command" | sed "s|/bin/busybox |$(command -v busybox) |")
    status=0
    eval "$run" >"$work/out" 2>"$work/err" || status=$?
    is "\$ $command: exit code" $status 0
    is "\$ $command: standard error" "$(cat "$work/err")" ""
    is "\$ $command" "$(shape <"$work/out")" "$(shape <"$work/wanted")"
}
command=
: >"$work/wanted"
while IFS= read -r line <&4; do
    case $line in
    '$ '*)
        check
        command=${line#\$ }
        : >"$work/wanted" ;;
    *) printf '%s\n' "$line" >>"$work/wanted" ;;
    esac
done 4<"$work/tour"
check
is "what is in the bundle is as it was" "$(ls bundle/rootfs | tr '\n' ' ')$(ls bundle/rootfs/bin | tr '\n' ' ')" "bin dev proc sys busybox ps sh "
cd /
nothing_left "after the tour"
finish
