#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The plugin author's manual agrees with the contract: it has every member of every table of calls, every result code, every
# capability bit, every host service, every check of vc-plugin-test and every sentence of the loader, and none that is not.
# With --update, the manual's table of checks is written anew first.
set -u
LC_ALL=C
export LC_ALL
manual=$srcdir/sdk/doc/plugin-manual.md
inc=$srcdir/sdk/include/vc
tool=$builddir/sdk/conformance/vc-plugin-test
work=$(mktemp -d "${TMPDIR:-/tmp}/vc-manual.XXXXXX")
trap 'rm -rf "$work"' EXIT
failed=0
bad() { echo "FAILED: $*"; failed=1; }

# Both lists sorted; what only one of them has is wrong.
same() { # WHAT HEADER-LIST MANUAL-LIST
    sort -u "$2" -o "$2"
    sort -u "$3" -o "$3"
    [ -s "$2" ] || bad "no $1 was found in the source"
    while read -r w; do bad "the manual does not have the $1 $w"; done < <(comm -23 "$2" "$3")
    while read -r w; do bad "the manual has the $1 $w, which does not exist"; done < <(comm -13 "$2" "$3")
}

# Members of a struct that are functions.
members() { # STRUCT FILE
    awk -v s="struct $1 {" '$0 == s { on = 1 } on { print } on && /^};/ { exit }' "$2" |
        grep -o '^ *[a-z].*(\*[a-z0-9_]*)(' | sed 's/^[^(]*(\*\([a-z0-9_]*\))(.*/\1/'
}

# First column of the table below a heading.
rows() { # HEADING
    awk -v h="$1" '$0 == h { on = 1; next } /^##/ { on = 0 } on && /^\| `/ { print }' "$manual" |
        cut -d '|' -f 2 | grep -o '`[^`]*`' | tr -d '`'
}

for t in inst:plugin hypervisor:hypervisor agent:agent proxy:proxy shim:shim network:network template:template; do
    s=vc_${t%%:*}_ops
    members "$s" "$inc/${t#*:}.h" >"$work/h"
    rows "### Members of \`$s\`" >"$work/m"
    # Below the table of members, some sections have one of capability bits.
    grep -v '^VC_' "$work/m" >"$work/m2"
    same "member of $s" "$work/h" "$work/m2"
done
members vc_host "$inc/host.h" >"$work/h"
rows "## 11. Host services" >"$work/m"
same "host service" "$work/h" "$work/m"

# Members x tags: each kind's members once.
awk '/^### All members and their tags/ { on = 1; next } /^##/ { on = 0 } on && /^\| [a-z ]*:/ { print }' "$manual" |
    while IFS='|' read -r _ cell _; do
        kind=${cell%%:*}
        for m in $(echo "${cell#*:}" | grep -o '`[^`]*`' | tr -d '`'); do echo "${kind# }:$m"; done
    done | sort >"$work/m"
uniq -d "$work/m" | while read -r w; do echo "$w"; done >"$work/twice"
[ -s "$work/twice" ] && bad "the table of tags has twice: $(tr '\n' ' ' <"$work/twice")"
for t in inst:plugin hypervisor:hypervisor agent:agent proxy:proxy shim:shim network:network; do
    k=${t%%:*}
    [ "$k" = inst ] && k='all kinds'
    members "vc_${t%%:*}_ops" "$inc/${t#*:}.h" | sed "s/^/$k:/"
done >"$work/h"
same "member in the table of tags" "$work/h" "$work/m"
# [any] is what the headers say it is.
grep -h -A 40 '\[any\]' "$inc/agent.h" "$inc/plugin.h" >/dev/null || bad "the headers tag nothing [any]"
for f in plugin agent; do
    awk '/^struct vc_(inst|agent)_ops/ { on = 1 } /^};/ { on = 0 }
        on && /\/\* \[any\]/ { any = 1 }
        on && match($0, /\(\*[a-z_]*\)\(/) { if (any) print substr($0, RSTART + 2, RLENGTH - 4); any = 0 }' "$inc/$f.h"
done | sort >"$work/h"
awk '/^### All members and their tags/ { on = 1; next } /^##/ { on = 0 } on && /^\| [a-z ]*:/ { print }' "$manual" |
    awk -F '|' '$3 ~ /x/ { print $2 }' | grep -o '`[^`]*`' | tr -d '`' | sort >"$work/m"
same "[any] member" "$work/h" "$work/m"

sed -n 's/^ *\(VC_E_[A-Z]*\|VC_OK\) = .*/\1/p' "$inc/types.h" >"$work/h"
rows "## 13. Codes" >"$work/m"
same "result code" "$work/h" "$work/m"
grep -o 'VC_E_[A-Z]*' "$manual" >"$work/m"
grep -v '^VC_OK' "$work/h" >"$work/h2"
same "result code" "$work/h2" "$work/m"

grep -ho 'define VC_\(HV\|AG\|SHIM\|NET\)_CAP_[A-Z0-9_]*' "$inc"/*.h | sed 's/define //' >"$work/h"
grep -o '`VC_\(HV\|AG\|SHIM\|NET\)_CAP_[A-Z0-9_]*`' "$manual" | tr -d '`' >"$work/m"
same "capability bit" "$work/h" "$work/m"
grep -ho '\bVC_\(OPT\|PATH\|RES\|DEV\|VM\|PROXY\|SHIM\|HEALTH\|LOG\|KIND\)_[A-Z0-9_]*' "$manual" | grep -v '_$' | sort -u |
    while read -r w; do
        grep -qw "$w" "$inc"/*.h || echo "$w"
    done >"$work/m"
[ -s "$work/m" ] && bad "the manual has, and the headers have not: $(tr '\n' ' ' <"$work/m")"
for w in $(grep -ho '\bVC_\(OPT\|PATH\|RES\)_[A-Z_]*[A-Z]' "$inc/types.h" "$inc/host.h" | sort -u); do
    grep -qw "$w" "$manual" || bad "the manual does not have $w"
done

# The checks, with level and title.
"$tool" --list | awk '/^  [A-Z][0-9]/ { id = $1; level = $2; $1 = $2 = ""; sub(/^ +/, ""); gsub(/\|/, "\\|")
    print "| `" id "` | " level " | " $0 " |" }' >"$work/h"
if [ "${1:-}" = --update ]; then
    { sed '/^| Check | Level /,$d' "$manual"; printf '| Check | Level | What must hold |\n| --- | --- | --- |\n'; cat "$work/h"; } >"$work/new" &&
        cat "$work/new" >"$manual"
fi
awk '/^## 19\./ { on = 1 } on && /^\| `/' "$manual" >"$work/m"
same "check" "$work/h" "$work/m"
awk -F '|' '/^## 17\./ { on = 1 } /^## 18\./ { on = 0 } on && /^\| R[0-9]/ { print $5 }' "$manual" | grep -o '\b[A-Z][0-9][0-9]*\b' |
    sort -u | while read -r w; do grep -q "^| \`$w\` " "$work/h" || echo "$w"; done >"$work/none"
[ -s "$work/none" ] && bad "the table of rules names checks that do not exist: $(tr '\n' ' ' <"$work/none")"
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13; do
    grep -q "^| R$n |" "$manual" || bad "the manual does not have rule R$n"
done

# The sentences of the loader: each format given to vci_fail, with what differs as an ellipsis.
formats() { # FILE
    tr '\n' ' ' <"$1" | sed 's/\\"/\x01/g; s/" *VC_PLUGIN_SYMBOL *"/vc_plugin_entry/g; s/" *"//g' | awk '{
        while ((at = index($0, "vci_fail(")) > 0) {
            $0 = substr($0, at + 9)
            depth = 1; text = 0; out = ""
            for (i = 1; depth > 0 && i <= length($0); i++) {
                c = substr($0, i, 1)
                if (c == "\"") { if (text) print out; text = !text; out = "" }
                else if (text) out = out c
                else depth += (c == "(") - (c == ")")
            }
            $0 = substr($0, i)
        }
    }' | tr '\1' '"'
}
for f in loader loader-check elf-check trust; do formats "$srcdir/core/src/$f.c"; done | grep ' ' |
    sed 's/0x%[0-9]*l*x/…/g; s/%u\.%u/…/g; s/%\.\*s/…/g; s/%[0-9.]*\(ll\|z\|l\)\{0,1\}[a-z]/…/g' >"$work/h"
# What is put into one of these by an expression stands in the source as a string of its own.
grep -v -e '^has choices but' -e '^is an enum' -e '^longer than' -e '^its group' -e '^no reason' "$work/h" >"$work/h2"
awk -F ' \\| ' '/^## 18\./ { on = 1 } /^## 19\./ { on = 0 } on && /^\| / && !/^\| (It says|---)/ { sub(/^\| /, "", $1); print $1 }' "$manual" >"$work/m"
same "sentence of the loader:" "$work/h2" "$work/m"

[ $failed -eq 0 ] && echo "the manual agrees with the headers, the tool and the loader"
exit $failed
