#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# core/doc/virtcontainers-bugs.md names a test for each of the 26 bugs of the original, and every named test exists.
set -u
LC_ALL=C
export LC_ALL
cd "${srcdir:-.}" || exit 99
doc=core/doc/virtcontainers-bugs.md
failed=0
bad() { echo "FAILED: $*"; failed=1; }

n=1
while [ $n -le 26 ]; do
    line=$(grep "^| $n | " $doc)
    [ "$(printf '%s\n' "$line" | wc -l)" = 1 ] && [ -n "$line" ] || bad "$doc: there is no single line for bug $n"
    case $line in *'`tests/'*) ;; *) bad "$doc: no test is named for bug $n" ;; esac
    n=$((n + 1))
done
grep -o '`tests/[^`]*`' $doc | tr -d '`' | sort -u >"${TMPDIR:-/tmp}/vc-bugs.$$"
while IFS=: read -r file function; do
    if [ ! -f "$file" ]; then
        bad "$doc names $file, which does not exist"
    elif [ -n "$function" ]; then
        grep -q "^static void $function(void \*\*state)" "$file" || bad "$doc names $file:$function, which does not exist"
        [ "$(grep -c "[^a-z_]$function\\b" "$file")" -ge 2 ] || bad "$file does not run $function"
    fi
done <"${TMPDIR:-/tmp}/vc-bugs.$$"
[ -s "${TMPDIR:-/tmp}/vc-bugs.$$" ] || bad "$doc names no tests"
rm -f "${TMPDIR:-/tmp}/vc-bugs.$$"
# And whoever marks a test names a bug that there is.
grep -rhoE 'bug-[0-9]+' tests | sort -u | while read -r mark; do
    grep -q "^| ${mark#bug-} | " $doc || echo "FAILED: $mark is in no line of $doc"
done | grep . && failed=1
exit $failed
