#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `rename.sh NAME KIND` of the template, for every kind with a frame: what comes of it builds as C with gcc and clang and as
# C++, without a warning, and passes vc-plugin-test at level quick.  (With a guest the agent cannot pass, since it reaches
# none: there the tool has to say so.)
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL # those of the make that runs this
srcdir=$(cd "${srcdir:-.}" && pwd)
builddir=$(cd "${builddir:-.}" && pwd)
tool=$builddir/sdk/conformance/vc-plugin-test
work=$(mktemp -d "${TMPDIR:-/tmp}/vc-frames.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
n=0 failed=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
bad() { n=$((n + 1)); failed=1; echo "not ok $n - $1"; }
warn="-Wall -Wextra -Werror -Wshadow -Wvla -Wundef"
mkdir "$work/include"
ln -s "$srcdir/sdk/lib" "$work/include/vcsdk"
# The helpers that frames use; not those of the build, which may be made for a sanitizer.
for m in buf plug utf8; do
    ${CC:-cc} -std=gnu11 -O1 -w -fPIC -fvisibility=hidden -D_GNU_SOURCE -I"$srcdir/sdk/include" -I"$srcdir/sdk" -c -o "$work/$m.o" \
        "$srcdir/sdk/lib/$m.c" || exit 2
done

build() { # KIND COMPILER WORDS...
    kind=$1 cc=$2
    shift 2
    mkdir -p "$work/$cc/$kind"
    command -v "$cc" >/dev/null || { echo "# there is no $cc here"; return 0; }
    # shellcheck disable=SC2086
    "$cc" "$@" $warn -D_GNU_SOURCE -I"$srcdir/sdk/include" -I"$work/include" -fPIC -fvisibility=hidden -c \
        -o "$work/$cc/$kind/x.o" "$work/$kind/my-$kind.c" 2>"$work/log" &&
        "$cc" -shared -Wl,-z,defs -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete -Wl,--version-script="$srcdir/sdk/template/plugin.map" \
            -o "$work/$cc/$kind/my-$kind.so" "$work/$cc/$kind/x.o" "$work/buf.o" "$work/plug.o" "$work/utf8.o" -lpthread 2>>"$work/log" ||
        { bad "$kind does not build with $cc: $(head -n 5 "$work/log")"; return 1; }
    ok "$kind builds with $cc"
    status=0
    "$tool" --level quick --color=never "$work/$cc/$kind/my-$kind.so" >"$work/out" 2>&1 || status=$?
    if [ $status -eq 0 ]; then
        ok "the frame of a $kind passes ($cc)"
    else
        bad "the frame of a $kind ($cc): exit status $status: $(cat "$work/out")"
    fi
    [ "$kind" = agent ] || return 0
    status=0
    "$tool" --level quick --color=never --scenario="$srcdir/sdk/conformance/scenarios/agent-model.scn" \
        "$work/$cc/$kind/my-$kind.so" >"$work/out" 2>&1 || status=$?
    if [ $status -eq 1 ] && grep -q "does not reach a guest" "$work/out"; then
        ok "with a guest, the tool says that the agent does not reach it ($cc)"
    else
        bad "the agent with a guest ($cc): exit status $status: $(tail -n 20 "$work/out")"
    fi
}

# The lines for a program of the plugin's own, in Makefile.am and in the C file, are right as they stand there.
with_helper() { # KIND
    dir=$work/$1-helper id=my_$1
    cp -r "$work/$1" "$dir"
    if ! command -v autoreconf >/dev/null || ! command -v pkg-config >/dev/null; then
        echo "# there is no autoreconf or no pkg-config here"
        return 0
    fi
    sed -i 's/^#\([a-zA-Z]\)/\1/' "$dir/Makefile.am"
    sed -n '/^ \*     static const struct vc_option/,/^ \*     };/s/^ \*     //p' "$dir/my-$1.c" >"$dir/rows"
    sed -i -e "/^VC_EXPORT/{
r $dir/rows
N
}" -e "s/\.options = NULL/.options = ${id}_options/; s/\.n_options = 0/.n_options = 1/" \
        -e 's/(void)cfg; .*/(void)vcs_opt_str(host, cfg, "helper");/' "$dir/my-$1.c"
    echo 'int main(void) { return 0; }' >"$dir/my-$1-helper.c"
    if (cd "$dir" && autoreconf -fi && ./configure VC_PLUGIN_TEST="$tool" "$1dir=/nonexistent" abi_major=1 CFLAGS="-O1 -Werror" \
        SDK_CFLAGS="-I$srcdir/sdk/include -I$work/include" SDK_LIBS="$work/buf.o $work/plug.o $work/utf8.o" &&
        make && make check LEVEL=quick && make install DESTDIR="$dir/inst") >"$dir/log" 2>&1; then
        ok "a $1 with a helper program: builds, is checked and installed"
    else
        bad "a $1 with a helper program: $(tail -n 20 "$dir/log"; tail -n 20 "$dir/tests/conformance.sh.log")"
        return 0
    fi
    seen=$(strings "$dir/my-$1.so" | grep "/libexec/.*/my-$1-helper$")
    if [ -n "$seen" ] && [ -x "$dir/inst$seen" ]; then
        ok "the plugin's default is where its program was installed ($1)"
    else
        bad "the plugin's default is \"$seen\": $(find "$dir/inst")"
    fi
}

for kind in agent proxy shim network; do
    cp -r "$srcdir/sdk/template" "$work/$kind" && chmod -R u+w "$work/$kind"
    sh "$work/$kind/rename.sh" "my-$kind" "$kind" >"$work/out" || { bad "rename.sh my-$kind $kind"; continue; }
    if grep -q "This is $kind my-$kind now" "$work/out" && [ ! -e "$work/$kind/ns.c" ] && [ ! -e "$work/$kind/frames" ] &&
        grep -q "^${kind}_PROGRAMS = my-$kind.so" "$work/$kind/Makefile.am" &&
        ! grep -rn -e hypervisor -e '\bframe_' -e '\bns\b' "$work/$kind/Makefile.am" "$work/$kind/configure.ac" "$work/$kind/my-$kind.c"; then
        ok "rename.sh my-$kind $kind leaves nothing of another kind"
    else
        bad "rename.sh my-$kind $kind: $(cat "$work/out")"
    fi
    build $kind gcc -std=gnu11 -Wstrict-prototypes -Wmissing-prototypes
    build $kind clang -std=gnu11 -Wstrict-prototypes -Wmissing-prototypes
    build $kind g++ -x c++
    case $kind in proxy | shim) with_helper $kind ;; esac
done
echo "1..$n"
exit $failed
