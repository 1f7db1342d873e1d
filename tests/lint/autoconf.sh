#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The autoconf macro VC_PLUGIN: a tiny project outside of the tree is configured with it, built, and exports one symbol; and
# what cannot be has a sentence of its own.
set -u
LC_ALL=C
export LC_ALL
unset MAKEFLAGS MFLAGS MAKELEVEL # those of the make that runs this
for p in autoreconf aclocal automake pkg-config; do
    command -v $p >/dev/null 2>&1 || { echo "SKIP: there is no $p"; exit 77; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/vc-m4.XXXXXX")
trap 'rm -rf "$work"' EXIT
PKG_CONFIG_PATH=$builddir/sdk
export PKG_CONFIG_PATH
failed=0
bad() { echo "FAILED: $*"; failed=1; }

project() { # DIR KIND NAME MINOR
    mkdir -p "$1"
    cat >"$1/configure.ac" <<END
AC_INIT([$3], [1.0])
AM_INIT_AUTOMAKE([foreign])
AC_PROG_CC
VC_PLUGIN([$2], [$3], [$4])
AC_CONFIG_FILES([Makefile])
AC_OUTPUT
END
    cat >"$1/Makefile.am" <<'END'
vcplugin_PROGRAMS = tiny.so
tiny_so_SOURCES = tiny.c
tiny_so_CPPFLAGS = $(VC_PLUGIN_CPPFLAGS)
tiny_so_CFLAGS = $(VC_PLUGIN_CFLAGS)
tiny_so_LDFLAGS = $(VC_PLUGIN_LDFLAGS)
tiny_so_LDADD = $(VC_PLUGIN_LIBS)
show:
	@echo "test=$(VC_PLUGIN_TEST) dir=$(vcplugindir)"
END
    cat >"$1/tiny.c" <<'END'
#include <vc/proxy.h>

#include <vcsdk/plug.h>

const char *seen_by_nobody(void);
const char *seen_by_nobody(void)
{
    return vcs_path(NULL, 0);
}

VC_EXPORT const struct vc_plugin vc_plugin_entry = { .magic = VC_PLUGIN_MAGIC, .size = sizeof(struct vc_plugin) };
END
}

project "$work/good" proxy tiny 0
(cd "$work/good" && aclocal -I "$srcdir/sdk/m4" && autoreconf -fi -I "$srcdir/sdk/m4") >"$work/log" 2>&1 ||
    { cat "$work/log"; bad "autoreconf fails"; }
mkdir "$work/good/b"
(cd "$work/good/b" && ../configure CC="${CC:-cc}" && make) >"$work/log" 2>&1 || { cat "$work/log"; bad "it cannot be built"; }
symbols=$(nm -D --defined-only "$work/good/b/tiny.so" 2>/dev/null | awk '{ print $3 }')
[ "$symbols" = vc_plugin_entry ] || bad "the plugin exports \"$symbols\", not vc_plugin_entry alone"
shown=$(cd "$work/good/b" && make -s show)
case $shown in
*"test="*vc-plugin-test" dir="*/proxy) ;;
*) bad "the variables are: $shown" ;;
esac
(cd "$work/good/b" && make install DESTDIR="$work/root") >"$work/log" 2>&1 || { cat "$work/log"; bad "it cannot be installed"; }
[ -n "$(find "$work/root" -path '*/proxy/tiny.so')" ] || bad "it was not installed below its kind"

project "$work/kind" engine tiny 0
(cd "$work/kind" && aclocal -I "$srcdir/sdk/m4" && autoconf) >"$work/log" 2>&1 && bad "a wrong kind is accepted"
grep -q '"engine" is no kind of plugin' "$work/log" || { cat "$work/log"; bad "a wrong kind has no sentence"; }

project "$work/minor" proxy tiny 999
(cd "$work/minor" && aclocal -I "$srcdir/sdk/m4" && autoreconf -fi -I "$srcdir/sdk/m4" && ! ./configure CC="${CC:-cc}") >"$work/log" 2>&1 ||
    bad "a minor that the SDK has not is accepted"
grep -q 'plugin tiny needs 1.999' "$work/log" || { cat "$work/log"; bad "a minor that is too high has no sentence"; }

[ $failed -eq 0 ] && echo "VC_PLUGIN configures, builds and installs a plugin"
exit $failed
