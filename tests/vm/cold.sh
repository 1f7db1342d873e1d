#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# VMs that boot, as all others of these tests do not: `--template off` makes no template and uses none that is there.
. "$(dirname "$0")/lib.sh"
root=$work/rootfs
make_rootfs "$root"
template_dir=$work/templates templates=$template_dir
sed -i "s|^template_dir = .*|template_dir = \"$templates\";|" "$VCCORE_CONFIG"
has "the templates of this test are its own" "$(virtc config show)" "$templates"
from() { # POD: how its VM came to be
    pid=$(virtc --json pod status "$1" 2>&1 | sed -n 's/.*"vmm_pid":\([0-9]*\).*/\1/p')
    case $(cmdline "/proc/${pid:-none}") in
    *"qemu-system"*" -incoming "*) echo template ;;
    *qemu-system*) echo boot ;;
    *) echo "no VMM" ;;
    esac
}

out=$(virtc run --rm --template off --name cold --rootfs "$root" -- sh -c 'hostname; exit 7' 2>"$work/err")
is "run --template off: exit code" $? 7
is "run --template off: output" "$out" cold
is "run --template off: nothing on standard error" "$(cat "$work/err")" ""
virtc --set template=off pod create --name configured >/dev/null
is "template = \"off\": pod create" $? 0
is "template = \"off\": its VM has booted" "$(from configured)" boot
virtc pod delete --force configured >/dev/null
is "nobody made a template" "$(ls -A "$templates" 2>/dev/null)$(virtc template list | grep -c '^[0-9a-f]')" 0
refuses "require without a template: run" 125 "template" virtc run --rm --template require --rootfs "$root" -- true
refuses "require without a template: pod create" 1 "template" virtc pod create --template require
refuses "template show without a template" 1 "virtc template create" virtc template show
nothing_left "without a template"

# With one at hand: who says off boots, the others do not.
id=$(virtc template create 2>"$work/err")
is "template create" $? 0
is "it says on one line what takes time" "$(grep -c template "$work/err") $(wc -l <"$work/err")" "1 1"
is "template create again: the same, at once, silently" "$(virtc template create 2>&1)" "$id"
virtc pod create --template off --name boots >/dev/null
is "--template off beside a template" "$(from boots)" boot
virtc pod create --name usual >/dev/null
is "the default beside a template" "$(from usual)" template
virtc pod create --template require --name needs >/dev/null
is "--template require" "$(from needs)" template
has "two pods run from it" "$(virtc --json template show)" '"pods":2'
# A pod that no template can serve boots, or is refused.
virtc pod create --memory 128M --name small >/dev/null
is "less memory than the template has" "$(from small)" boot
refuses "less memory than the template has: require" 1 "template" virtc pod create --template require --memory 128M
# A stopped pod starts again the way it was made.
virtc pod stop boots >/dev/null && virtc pod start boots >/dev/null
is "started again" "$(from boots)" boot
for p in boots usual needs small; do virtc pod delete --force $p >/dev/null; done
nothing_left "with a template"
finish
