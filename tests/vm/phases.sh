#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What long actions say on a terminal while they last: what is going on, in one line, which is taken away before anything
# else is printed; and nothing of it where there is no terminal or nobody wants it.
. "$(dirname "$0")/lib.sh"
from_template
root=$work/rootfs
make_rootfs "$root"
on_terminal() { script -qec "$*" /dev/null </dev/null 2>&1 | tr -d '\r\000' | tr '\033' '^'; }
said() { on_terminal "$@" | sed 's/\^\[K/\n/g' | sed 's/^[0-9a-f]\{12\}:/ID:/'; }
making='ID: waiting for the virtual machine ...
ID: waiting for the agent in the guest ...
ID: preparing the guest ...
ID: making containers ...'

is "pod create" "$(said virtc pod create --name p)" "
making the pod ...
$(echo "$making" | sed 's/^ID/p/')
p"
is "container create: it does not last" "$(said virtc container create --name c --rootfs "$root" p -- sleep 1000000)" c
is "pod start" "$(said virtc pod start p)" "
starting the pod ...
p"
is "container stop" "$(said virtc container stop --timeout 0 p c)" "
stopping container c of pod p ...
c"
is "pod stop" "$(said virtc pod stop p)" "
stopping pod p ...
p: stopping containers ...
p: ending the virtual machine ...
p"
is "pod start that starts the VM" "$(said virtc pod start p)" "
starting the pod ...
$(echo "$making" | sed 's/^ID/p/')
p"
is "pod delete --force" "$(said virtc pod delete --force p | sed '/^p: /d')" "
deleting pod p ...
p"
is "run: it is gone before the command says anything" "$(said virtc run --rm --rootfs "$root" -- echo hello)" "
starting ...
$making
hello"
is "run -t" "$(said virtc run --rm -t --rootfs "$root" -- echo hello)" "
starting ...
$making
hello"
is "it is taken away when it fails" "$(said virtc run --rm --rootfs "$root" -- nothing-like-it | sed 's/^virtc: .*nothing-like-it.*/SENTENCE/')" "
starting ...
$making
SENTENCE"
is "--quiet" "$(said virtc --quiet run --rm --rootfs "$root" -- echo hello)" hello
has "--json" "$(said virtc --json pod create --name j)" '{'
is "--json: only that" "$(said virtc --json pod delete --force j | wc -l)" 1
is "standard error is no terminal" "$(said "virtc run --rm --rootfs $root -- echo hello 2>$work/err"; cat "$work/err")" hello
nothing_left "at the end"
finish
