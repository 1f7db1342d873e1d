#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What is printed from the option tables: a page for every plugin of the tree with every option, and a sample configuration
# that is valid as it is, and with all its defaults switched on.
set -u
LC_ALL=C
export LC_ALL
virtc=$builddir/core/virtc/virtc
sample=$builddir/sdk/doc/vccore.conf.sample
work=$(mktemp -d "${TMPDIR:-/tmp}/vc-ref.XXXXXX")
trap 'rm -rf "$work"' EXIT
work=$(cd "$work" && pwd -P)
failed=0
bad() { echo "FAILED: $*"; failed=1; }

for f in "$builddir"/plugins/*/*/.libs/*.so; do
    name=$(basename "$f" .so)
    dir=$(dirname "$(dirname "$f")")
    [ "$(basename "$dir")" = "$name" ] || continue
    kind=$(basename "$(dirname "$dir")")
    mkdir -p "$work/plugins/$kind"
    cp "$f" "$work/plugins/$kind/"
    echo "$kind/$name"
done >"$work/list"
[ -s "$work/list" ] || bad "no plugin was built"
[ -s "$sample" ] || bad "there is no sample configuration"

# The plugins lie elsewhere here than where they are going to be installed.
place() { sed "s|^#*plugin_dir = .*|plugin_dir = \"$work/plugins\";|"; }
place <"$sample" >"$work/as-is.conf"
sed 's/^\( *\)#\([a-z]\)/\1\2/' "$sample" | place >"$work/all.conf"
chmod -R go-w "$work"
cmp -s "$work/as-is.conf" "$work/all.conf" && bad "the sample has no option"

while read -r p; do
    kind=${p%/*} name=${p#*/}
    page=$builddir/sdk/doc/vc-$kind-$name.5
    section=$(echo "${kind}_$name" | tr - _)
    [ -s "$page" ] || { bad "there is no page vc-$kind-$name(5): add it to sdk/doc/doc.am"; continue; }
    keys=$("$virtc" --config "$work/as-is.conf" --json plugin help "$p" | sed -n 's/^ *"key":"\([a-z0-9_]*\)".*/\1/p')
    for k in $keys; do
        sed 's/\\-/-/g' "$page" | grep -q "^\\\\fB$k\\\\fR (" || bad "vc-$kind-$name(5) does not have the option $k"
        awk -v s="$section = {" '$0 == s { on = 1 } on { print } $0 == "};" { on = 0 }' "$sample" | grep -q "^    #\{1\} *$k = " ||
            bad "the sample does not have $section.$k"
    done
    # The section with all defaults is checked where its plugin is the chosen one.
    for c in as-is all; do
        "$virtc" --config "$work/$c.conf" --set "$kind=$name" config show >"$work/out" 2>&1 ||
            { cat "$work/out"; bad "the sample ($c) is not valid with $p"; }
    done
done <"$work/list"

for c in as-is all; do
    "$virtc" --config "$work/$c.conf" --set hypervisor=mock --set agent=noop --set proxy=noop --set shim=noop config check \
        >"$work/out" 2>&1 || { cat "$work/out"; bad "virtc config check does not take the sample ($c)"; }
done
for k in $("$virtc" --config "$work/as-is.conf" --json config show | sed -n 's/^  "\([a-z_]*\)":["0-9].*/\1/p'); do
    grep -q "^#\{0,1\} \{0,1\}$k = " "$sample" || bad "the sample does not have $k"
done
grep -q "^# [a-z_]* = \.\.\.;$" "$sample" || bad "no option of the top level is without a default"
if command -v man >/dev/null 2>&1; then
    for f in "$builddir"/sdk/doc/vc-*.5 "$srcdir/sdk/doc/vccore-plugin.7"; do
        man --warnings=w -l "$f" 2>&1 >/dev/null | grep . && bad "$f has errors"
    done
fi
[ $failed -eq 0 ] && echo "the reference is complete: $(wc -l <"$work/list") plugins"
exit $failed
