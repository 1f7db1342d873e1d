#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# rename.sh NAME: make this copy of the template into a plugin called NAME.
set -eu
name=${1:-}
case $name in
'' | *[!a-z0-9-]* | [!a-z]*) echo "usage: rename.sh NAME, of a-z, 0-9 and '-', a letter first, as in rename.sh my-vmm" >&2; exit 2 ;;
esac
[ "${#name}" -le 32 ] || { echo "rename.sh: a plugin's name has at most 32 characters" >&2; exit 2; }
cd "$(dirname "$0")"
[ -f ns.c ] || { echo "rename.sh: there is no ns.c here: this copy was renamed before" >&2; exit 1; }
# The word ns, and ns_ at the beginning of an identifier.
sed -i "s/\bns\b/$name/g; s/\bns_/$(echo "$name" | tr - _)_/g" ns.c Makefile.am configure.ac
[ "$name" = ns ] || mv ns.c "$name.c"
echo "This is hypervisor $name now. Next: autoreconf -fi && ./configure && make && make check"
