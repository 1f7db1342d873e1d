#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds one plugin for the self-test of vc-plugin-test: build.sh DIR MODEL NAME [WORD]...
#
# The file is DIR/KIND/NAME.so, made of model-MODEL.c beside this script (KIND is MODEL up to its first dash).  Words: BAD_...
# is defined, a word that begins with one dash goes to the compiler, "nomap" leaves the version script out, "noflags" the
# linker's options for hardening, too.  The helper library is $VCSDK_LIB, or that of $builddir.
set -eu
[ $# -ge 3 ] || { echo "usage: build.sh DIR MODEL NAME [WORD]..." >&2; exit 2; }
dir=$1 model=$2 name=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
kind=${model%%-*}
map=-Wl,--version-script=$top/sdk/plugin.map
lib=${VCSDK_LIB:-${builddir:?}/sdk/lib/libvcsdk.a}
hard="-Wl,-z,now,-z,relro,-z,nodelete,-z,defs,-z,noexecstack"
words=
for w in "$@"; do
    case $w in
    BAD_*) words="$words -D$w" ;;
    nomap) map= ;;
    noflags) hard= ;;
    --*) ;; # for the tool
    -*) words="$words $w" ;;
    esac
done
mkdir -p "$dir/$kind"
# shellcheck disable=SC2086
${CC:-cc} -std=gnu11 -O0 -w -fPIC -shared -fvisibility=hidden -D_GNU_SOURCE -I"$top/sdk/include" -I"$top/sdk" \
    -DMODEL_NAME="\"$name\"" $words -o "$dir/$kind/$name.so" "$here/model-$model.c" "$lib" $map $hard -lpthread
