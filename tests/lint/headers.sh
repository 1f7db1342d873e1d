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
# The helper library's headers, with GNU extensions, in both languages.
for h in "$srcdir"/sdk/lib/*.h; do
    n=$((n + 1))
    # shellcheck disable=SC2086
    { $cc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -I"$srcdir/sdk/include" -fsyntax-only -x c -include "$h" /dev/null &&
        $cxx -std=gnu++17 -D_GNU_SOURCE -Wall -Wextra -Werror -I"$srcdir/sdk/include" -fsyntax-only -x c++ -include "$h" /dev/null; } ||
        { echo "headers: $h does not compile alone"; bad=$((bad + 1)); }
done

# A const object has internal linkage in C++: the header's declaration must make the entry an exported symbol.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/p.cc" <<'END'
#include <vc/hypervisor.h>
VC_EXPORT const struct vc_plugin vc_plugin_entry = {};
END
if $cxx -std=c++17 -Wall -Werror -fPIC -shared -fvisibility=hidden -I"$srcdir/sdk/include" -o "$dir/p.so" "$dir/p.cc"; then
    nm -D "$dir/p.so" | grep -q ' [RDB] vc_plugin_entry$' ||
        { echo "headers: a plugin in C++ does not export vc_plugin_entry"; bad=$((bad + 1)); }
else
    echo "headers: a plugin in C++ does not compile"
    bad=$((bad + 1))
fi
echo "headers: $n headers, $bad problems"
[ $bad -eq 0 ]
