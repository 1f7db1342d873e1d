#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The promise of the binary interfaces, kept by machines: what each release below tests/abi promised still holds.
#   1. headers, layouts and exported symbols are those of the newest release's baseline (abi.py);
#   2. libvccore.so exports what its map names, with those versions, and nothing else; the headers declare the same;
#   3. abidiff finds nothing between the stored description of all types and today's headers;
#   4. for every release: plugins built against its headers run in today's library, today's plugins run in a host built
#      against its headers, a program built against its headers runs with today's library, and state that it wrote is read.
set -u
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
: "${srcdir:?run by make check}" "${builddir:?}"
here=$srcdir/tests/abi
cc=${CC:-cc}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
bad=0
fail() { echo "abi: $*"; bad=$((bad + 1)); }
for tool in python3 abidiff objcopy nm; do
    command -v $tool >/dev/null 2>&1 || { echo "abi: $tool is missing: install python3-minimal, abigail-tools and binutils"; exit 1; }
done

# 1.
python3 "$here/abi.py" check "$srcdir" "$cc" || fail "the interfaces are not those of the baseline"
for model in "-m64" "-m32 -ffreestanding"; do
    # shellcheck disable=SC2086
    $cc $model -std=c11 -Wall -Werror -fsyntax-only -I"$srcdir/sdk/include" -I"$srcdir/core/include" -I"$srcdir/tests" \
        "$here/layout.c" || fail "layout.c does not hold with $cc $model"
done

# 2.
so=$builddir/core/.libs/libvccore.so
map() { python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); import abi; print("\n".join(abi.symbols(sys.argv[2])))' "$here" "$srcdir"; }
map | sort >"$work/map"
nm -D --defined-only --with-symbol-versions "$so" | awk '$2 != "A" { print $NF }' | sort >"$work/exported"
diff "$work/map" "$work/exported" >"$work/diff" || fail "libvccore.so and core/libvccore.map differ (< map, > library): $(grep '^[<>]' "$work/diff" | tr '\n' ' ')"
sed -n 's/^VC_API .*[ *]\(vc_[a-z0-9_]*\)(.*/\1/p' "$srcdir/core/include/vccore/vccore.h" | sort -u >"$work/declared"
sed 's/@@.*//' "$work/map" | sort -u | diff "$work/declared" - >"$work/diff" ||
    fail "vccore.h and core/libvccore.map differ (< header, > map): $(grep '^[<>]' "$work/diff" | tr '\n' ' ')"
soname=$(objdump -p "$so" | awk '$1 == "SONAME" { print $2 }')
[ "$soname" = libvccore.so.0 ] || fail "the soname of $so is \"$soname\", not \"libvccore.so.0\""

# 3. (The description was written by gcc; another compiler describes bit for bit the same types.)
newest=$(python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); import abi; print(abi.release(sys.argv[2]))' "$here" "$srcdir")
if sh "$here/anchor.sh" "$srcdir" "$srcdir/sdk/include" "$srcdir/core/include" "$cc" "$work/anchor.so"; then
    abidiff --no-added-syms "$newest/types.abi" "$work/anchor.so" >"$work/abidiff" || fail "abidiff: $(cat "$work/abidiff")"
else
    fail "the anchor library cannot be built"
fi

# 4.  (Programs that load sanitized code must be sanitized themselves.)
sanitize=
! nm -D "$so" | grep -q __asan_init || sanitize="-fsanitize=address,undefined"
for release in "$here"/[0-9]*; do
    version=$(basename "$release") n=0
    h=$release/headers
    w=$work/$version
    mkdir -p "$w/rootfs"
    kind=0
    for name in hypervisor agent proxy shim network; do
        kind=$((kind + 1))
        mkdir -p "$w/plugins/$name"
        $cc -std=c11 -Wall -Werror -DKIND=$kind -fPIC -shared -fvisibility=hidden -I"$h" -o "$w/plugins/$name/sample.so" \
            "$release/plugin.c" || fail "$version: plugin.c does not compile as $name against its own headers"
        for so in "$builddir"/plugins/$name/{mock,noop,none}/.libs/*.so; do
            [ -f "$so" ] && mkdir -p "$w/today/$name" && cp "$so" "$w/today/$name/"
        done
    done
    # shellcheck disable=SC2086
    $cc $sanitize -std=c11 -Wall -Werror -I"$h" -o "$w/host" "$release/host.c" -ldl || fail "$version: host.c does not compile"
    # shellcheck disable=SC2086
    $cc $sanitize -std=c11 -Wall -Werror -I"$h" -o "$w/embed" "$release/embed.c" -L"$builddir/core/.libs" -lvccore ||
        fail "$version: embed.c does not compile or link"
    export LD_LIBRARY_PATH=$builddir/core/.libs
    for so in "$w"/plugins/*/sample.so "$w"/today/*/*.so; do
        n=$((n + 1))
        said=$("$w/host" "$so" 2>&1) || fail "$version: a host of that release does not run $so: $said"
    done
    [ "$n" -ge 10 ] || fail "$version: only $n plugins were run in its host"
    for set in plugins:sample:sample today:mock:noop; do
        IFS=: read -r dir hv other <<<"$set"
        cat >"$w/$dir.conf" <<END
plugin_dir = "$w/$dir"; run_root = "$w/run-$dir"; state_root = "$w/state-$dir";
hypervisor = "$hv"; agent = "$other"; proxy = "$other"; shim = "$other"; network = "$other";
END
        said=$("$w/embed" "$w/$dir.conf" "$w/rootfs" 2>&1) ||
            fail "$version: a program of that release does not run today's library with the plugins $hv and $other: $said"
        left=$(find "$w/run-$dir" "$w/state-$dir" -path '*pods/*' 2>/dev/null)
        [ -z "$left" ] || fail "$version: it left $left"
    done
    # State that the release wrote: from before a reboot now, so it is shown as stopped, with all that it says, and can be
    # started, changed and deleted.
    cp -r "$release/state" "$w/golden"
    chmod -R go-w,u+w "$w/golden"
    sed -i "s|@ROOTFS@|$w/rootfs|g" "$w"/golden/pods/*/*.json
    virtc() { "$builddir/core/virtc/virtc" --config "$w/today.conf" --set run_root="$w/run-golden" --set state_root="$w/golden" "$@"; }
    shows() { # POD PART...
        pod=$1
        said=$(virtc --json pod status "$pod" 2>&1)
        shift
        for part in "$@"; do
            case $said in *"$part"*) ;; *) fail "$version: of its stored pod $pod, $part is not in: $said" ;; esac
        done
    }
    [ "$(virtc -q pod list | tr '\n' ' ')" = "full old " ] || fail "$version: its stored pods are not listed: $(virtc pod list 2>&1)"
    shows old '"state":"stopped"' 'restarted'
    shows full '"state":"stopped"' 'restarted' '"hostname":"host-of-full"' '"a":"1"' '"long":"x=y z"' \
        '"id":"first","state":"stopped"' '"exit_status":255' '"id":"second","state":"stopped"' '"exit_status":137' '"x":"y"'
    for pod in old full; do
        # A newer one is left alone.
        sed 's|"version":1,|"version":2,|' "$w/golden/pods/$pod/pod.json" >"$w/newer"
        cp "$w/newer" "$w/newer-kept"
        mv "$w/golden/pods/$pod/pod.json" "$w/older"
        cp "$w/newer" "$w/golden/pods/$pod/pod.json"
        for command in "pod start" "pod stop" "pod delete" "pod annotate"; do
            # shellcheck disable=SC2086 # two words
            said=$(virtc $command "$pod" 2>&1) && fail "$version: $command takes the state of a newer release"
            case $said in
            *"$pod/pod.json was written by a newer release (version 2; this one reads up to 1)"*) ;;
            *) fail "$version: $command of a newer release's pod says: $said" ;;
            esac
        done
        cmp -s "$w/newer-kept" "$w/golden/pods/$pod/pod.json" || fail "$version: a newer release's state was changed"
        mv "$w/older" "$w/golden/pods/$pod/pod.json"
    done
    said=$(virtc pod start full 2>&1) || fail "$version: its stored pod cannot be started: $said"
    shows full '"state":"running"' '"id":"first","state":"running"' '"id":"second","state":"running"' '"long":"x=y z"'
    said=$(virtc pod stop full 2>&1) || fail "$version: its stored pod cannot be stopped: $said"
    for pod in old full; do
        said=$(virtc pod delete $pod 2>&1) || fail "$version: its stored pod cannot be deleted: $said"
    done
    left=$(find "$w/golden" -path '*pods/*')
    [ -z "$left" ] || fail "$version: deleting its stored pods left $left"
    echo "abi: $version: $n plugins, a host, a program and two stored pods of that release"
done
[ $bad -eq 0 ]
