#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Finishes the staged installation that tests use: `make stage` has installed below STAGE; this adds STAGE/env.sh, which a
# test sources to get virtc on its PATH and VCCORE_CONFIG set to a configuration that stays inside the stage.
set -eu

if [ $# -ne 7 ]; then
    echo "usage: stage.sh STAGE BINDIR LIBDIR PLUGINDIR LIBEXECDIR GUESTDIR BUILDDIR" >&2
    exit 2
fi
stage=$1 bindir=$2 libdir=$3 plugindir=$4 libexecdir=$5 guestdir=$6 builddir=$7

# The programs carry the final library directory as their run path.  As the library lies elsewhere here, each that needs
# it becomes a wrapper that says where; helpers are started with an empty environment, so setting it once would not do.
for prog in "$stage$bindir"/* "$stage$libexecdir"/*; do
    [ -f "$prog" ] || continue
    case $prog in *.real) continue ;; esac
    readelf -d "$prog" 2>/dev/null | grep -q 'NEEDED.*libvccore' || continue
    mv "$prog" "$prog.real"
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$stage$libdir" "$prog.real" >"$prog"
    chmod 755 "$prog"
done

mkdir -p "$stage/run" "$stage/state"
chmod 700 "$stage/run" "$stage/state"
cat >"$stage/vccore.conf" <<END
run_root = "$stage/run";
state_root = "$stage/state";
plugin_dir = "$stage$plugindir";
libexec_dir = "$stage$libexecdir";
data_dir = "$stage$(dirname "$guestdir")";
template_dir = "$stage/templates";
END
chmod 644 "$stage/vccore.conf"
cat >"$stage/env.sh" <<END
VC_STAGE="$stage"
VC_BUILD_DIR="$builddir"
VCCORE_CONFIG="$stage/vccore.conf"
PATH="$stage$bindir:\$PATH"
export VC_STAGE VC_BUILD_DIR VCCORE_CONFIG PATH
END
