#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The man pages agree with the programs: every global option and every command of virtc is in virtc(1), nothing is there
# that virtc does not know, and vccore.conf(5) has every key that `virtc config show` prints.  All pages are
# formatted without a complaint.
set -u
LC_ALL=C
export LC_ALL
virtc=$builddir/core/virtc/virtc
page=$srcdir/core/doc/man/virtc.1
conf_page=$srcdir/core/doc/man/vccore.conf.5
work=$(mktemp -d "${TMPDIR:-/tmp}/vc-man.XXXXXX")
trap 'rm -rf "$work"' EXIT
failed=0
bad() { echo "FAILED: $*"; failed=1; }

# Roff without its escapes.
plain() { sed 's/\\-/-/g; s/\\f[A-Z]//g; s/" *, *"/, /g' "$1"; }
plain "$page" >"$work/page"
plain "$conf_page" >"$work/conf"
options() { grep -o -e '--[a-z][a-z-]*' "$@" | sed 's/^.*:--/--/' | sort -u; }

"$virtc" --help >"$work/help" || bad "virtc --help ends with $?"
for o in $(options "$work/help"); do
    grep -q -e "$o" "$work/page" || bad "virtc --help has $o, virtc(1) has not"
done

# All commands, as virtc itself lists them.
groups=$(awk '/^Commands:/ { on = 1; next } !NF { on = 0 } on && /^  [a-z]/ { print $1 }' "$work/help")
[ -n "$groups" ] || bad "virtc --help lists no commands"
for g in $groups; do
    "$virtc" "$g" --help >"$work/help.$g" || bad "virtc $g --help ends with $?"
    subs=$(awk '/^Commands:/ { on = 1; next } !NF { on = 0 } on && /^  [a-z]/ { print $1 }' "$work/help.$g")
    line=$(grep "^\.B $g" "$work/page")
    [ -n "$line" ] || bad "virtc(1) has no command $g"
    for s in $subs; do
        echo "$line" | grep -qw "$s" || bad "virtc(1) does not name: virtc $g $s"
        "$virtc" "$g" "$s" --help >"$work/help.$g.$s" || bad "virtc $g $s --help ends with $?"
    done
    # And what the page names exists.
    [ -n "$subs" ] || continue
    for s in $(echo "$line" | sed "s/^\.B $g//" | tr '|' ' ' | grep -o '\b[a-z][a-z]*\b'); do
        [ -s "$work/help.$g.$s" ] || bad "virtc(1) names: virtc $g $s, which does not exist"
    done
done
for o in $(options "$work/page"); do
    grep -q -e "$o" "$work"/help* || bad "virtc(1) names the option $o, which no command has"
done

# glibc's argp crashes on some words that are longer than a line, such as a path that was compiled in.
long=$(cat "$work"/help* | tr -s ' ' '\n' | awk 'length > 48')
[ -z "$long" ] || bad "a word of virtc --help is longer than 48 characters: $long"

# The plugins of the default stack, as they are installed: their options are part of what is shown.
for p in hypervisor/qemu agent/kata proxy/kata shim/vc network/noop; do
    mkdir -p -m 755 "$work/plugins/${p%/*}"
    cp "$builddir/plugins/$p/.libs/${p#*/}.so" "$work/plugins/$p.so" || bad "$p is not built"
done
printf 'run_root = "/run/x";\nplugin_dir = "%s/plugins";\n' "$work" >"$work/c.conf"
chmod 644 "$work/c.conf"
keys=$("$virtc" --config "$work/c.conf" config show | sed -n 's/^\([a-z_]*\) *[=:] *["0-9].*/\1/p')
[ -n "$keys" ] || bad "virtc config show prints no keys"
for k in $keys; do
    grep -qw -e "$k" "$work/conf" || bad "virtc config show has $k, vccore.conf(5) has not"
done
if command -v groff >/dev/null; then
    for p in "$srcdir"/core/doc/man/*.[1-8] "$srcdir"/sdk/doc/*.[1-8] "$builddir"/sdk/doc/*.[1-8]; do
        [ -f "$p" ] || continue
        said=$(groff -man -ww -z -Tutf8 "$p" 2>&1) && [ -z "$said" ] || bad "groff says: $said"
    done
else
    echo "ok 0 - pages formatted # SKIP groff is not installed"
fi
[ $failed -eq 0 ] && echo "the man pages agree with virtc: $(echo $groups | wc -w) commands, $(echo $keys | wc -w) keys"
exit $failed
