#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# generate.sh BUILDDIR PLUGINDIR KIND/NAME...: write BUILDDIR/sdk/doc/vc-KIND-NAME.5 and vccore.conf.sample, as virtc prints
# them from the option tables of the plugins that were just built.
set -eu
LC_ALL=C
export LC_ALL
builddir=$1 plugindir=$2
shift 2
# Plugins are loaded from directories only that nobody else can write to.
work=$(mktemp -d "${TMPDIR:-/tmp}/vc-doc.XXXXXX")
trap 'rm -rf "$work"' EXIT
work=$(cd "$work" && pwd -P)
for p in "$@"; do
    mkdir -p "$work/plugins/${p%/*}"
    cp "$builddir/plugins/$p/.libs/${p#*/}.so" "$work/plugins/$p.so"
done
printf 'plugin_dir = "%s/plugins";\n' "$work" >"$work/doc.conf"
chmod -R go-w "$work"
virtc() { env -u VCCORE_CONFIG "$builddir/core/virtc/virtc" --config "$work/doc.conf" plugin help "$@"; }
for p in "$@"; do
    virtc --man "$p" >"$work/page"
    mv "$work/page" "$builddir/sdk/doc/vc-${p%/*}-${p#*/}.5"
done
virtc --sample >"$work/sample"
sed "s|$work/plugins|$plugindir|" "$work/sample" >"$builddir/sdk/doc/vccore.conf.sample"
