#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compiles every public header alone, as C11 and as C++17, strictly: a user's program may include any one first.
set -u
srcdir=${srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
cc=${CC:-cc}
cxx=${CXX:-g++}
bad=0 n=0
command -v "$cxx" >/dev/null 2>&1 || { echo "headers: $cxx is missing: install g++"; exit 1; }

for h in "$srcdir"/sdk/include/vc/*.h "$srcdir"/core/include/vccore/*.h; do
    [ -f "$h" ] || { echo "headers: no header at $h"; exit 1; }
    n=$((n + 1))
    # shellcheck disable=SC2086
    $cc -std=c11 -pedantic -Wall -Wextra -Wstrict-prototypes -Werror -I"$srcdir/sdk/include" -I"$srcdir/core/include" \
        -fsyntax-only -x c -include "$h" /dev/null || { echo "headers: $h does not compile alone as C11"; bad=$((bad + 1)); }
    # shellcheck disable=SC2086
    $cxx -std=c++17 -pedantic -Wall -Wextra -Werror -I"$srcdir/sdk/include" -I"$srcdir/core/include" \
        -fsyntax-only -x c++ -include "$h" /dev/null || { echo "headers: $h does not compile alone as C++17"; bad=$((bad + 1)); }
done
echo "headers: $n headers, $bad problems"
[ $bad -eq 0 ]
