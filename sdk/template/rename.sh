#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# rename.sh NAME: make this copy of the template into a plugin called NAME.
set -eu
name=${1:-}
case $name in
'' | *[!a-z0-9-]* | -*) echo "usage: rename.sh NAME, of a-z, 0-9 and '-', which is not first, as in rename.sh my-vmm; \"$name\" is not" >&2; exit 2 ;;
esac
[ "${#name}" -le 32 ] || { echo "rename.sh: a plugin's name has at most 32 characters" >&2; exit 2; }
cd "$(dirname "$0")"
[ -f ns.c ] || { echo "rename.sh: there is no ns.c here: this copy was renamed before" >&2; exit 1; }
word=$(echo "$name" | tr - _)
# An identifier of C does not begin with a digit.
case $word in [0-9]*) id=p_$word ;; *) id=$word ;; esac
# The word ns, and ns_ at the beginning of an identifier.
sed -i "s/\bns\b/$name/g; s/\bns_/${id}_/g" ns.c
sed -i "s/\bns\b/$name/g; s/\bns_/${word}_/g" Makefile.am configure.ac
sed -i "s/\bmy-vmm\b/ns/g; s/\bns\b/$name/g; s/\bns_/${id}_/g" README.md
[ "$name" = ns ] || mv ns.c "$name.c"
echo "This is hypervisor $name now. Next: autoreconf -fi && ./configure && make && make check"
