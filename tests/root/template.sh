#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What README.md of the template promises, on a copy of it far from this tree: built with nothing but what
# `make install DESTDIR=...` puts down, as C and as C++, under its own name and another, checked by its own `make check`,
# and a container run through it.
VC_TEST_HYPERVISOR=ns
unset MAKEFLAGS MFLAGS MAKELEVEL # those of the make that runs this
. "$(dirname "$0")/../vm/lib.sh"
cc=${CC:-cc}
inst=$work/inst
(cd "$builddir" && make -s install DESTDIR="$inst") >"$work/install.log" 2>&1
is "make install DESTDIR" $? 0
pc=$(find "$inst" -name libvccore-sdk.pc)
[ -n "$pc" ] || { bad "there is no libvccore-sdk.pc: $(tail -n 5 "$work/install.log")"; finish; }
PKG_CONFIG_PATH=${pc%/*}
PKG_CONFIG_SYSROOT_DIR=$inst
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
# Some versions of pkg-config put the directory before variables, others do not.
var() { echo "$inst$(pkg-config --variable="$1" libvccore-sdk | sed "s|^$inst||")"; }
for v in templatedir conformance libexecdir hypervisordir agentdir proxydir shimdir networkdir; do
    [ -e "$(var $v)" ] && ok "variable $v" || bad "variable $v: there is no $(var $v)"
done
is "variables of the ABI" "$(pkg-config --variable=abi_major libvccore-sdk).$(pkg-config --variable=abi_minor libvccore-sdk)" 1.0
root=$work/rootfs
make_rootfs "$root"

build() { # DIR CC
    (cd "$1" && autoreconf -fi && ./configure "CC=$2" CFLAGS="-O2 -g -Werror" VC_PLUGIN_TEST="$(var conformance)" \
        hypervisordir="$work/$3" && make) >"$1.log" 2>&1 || { bad "$1 does not build: $(tail -n 20 "$1.log")"; return 1; }
    ok "$1: builds with $2"
}
run_through() { # NAME DIR: a container through the copy
    cp "$2/$1.so" "$work/plugins/hypervisor/" && chmod 755 "$work/plugins/hypervisor/$1.so"
    is "$1: a container runs" "$(virtc --set hypervisor="$1" run --rm --rootfs "$root" -- echo "through $1")" "through $1"
    virtc --set hypervisor="$1" run --rm --rootfs "$root" -- sh -c 'exit 4'
    is "$1: its exit code" $? 4
    nothing_left "$1"
}
checks() { # DIR
    if (cd "$1" && make check LEVEL="${VC_TEMPLATE_LEVEL:-full}" ARGS="--libexec-dir $(var libexecdir)") >"$1.check.log" 2>&1; then
        ok "$1: make check"
    else
        bad "$1: make check: $(cat "$1"/tests/*.log | tail -n 60)"
    fi
}

for how in "c $cc" "cxx c++"; do
    name=${how%% *} compiler=${how#* }
    cp -r "$(var templatedir)" "$work/$name"
    build "$work/$name" "$compiler" "$name-inst" || continue
    run_through ns "$work/$name"
done
[ ! -f "$work/c/ns.so" ] || checks "$work/c"
if [ -f "$work/cxx/ns.so" ]; then
    has "the copy in C++ is C++" "$(readelf --debug-dump=info "$work/cxx/ns.so" 2>/dev/null | grep -m 1 DW_AT_language)" C++
    is "the copy in C++ exports its entry only" "$(PLUGIN=$work/cxx/ns.so sh "$work/cxx/tests/exports.sh" 2>&1)" ""
fi

# A project of another kind (tests/unit/test-frames.sh looks at all frames).
cp -r "$(var templatedir)" "$work/my-net"
"$work/my-net/rename.sh" my-net network >/dev/null
is "rename.sh my-net network" $? 0
if (cd "$work/my-net" && autoreconf -fi && ./configure "CC=$cc" CFLAGS="-O2 -g -Werror" VC_PLUGIN_TEST="$(var conformance)" \
    networkdir="$work/my-net-inst" && make && make check LEVEL=quick && make install) >"$work/my-net.log" 2>&1; then
    is "the project of kind network builds, passes and is installed" "$(ls "$work/my-net-inst")" my-net.so
else
    bad "the project of kind network: $(tail -n 20 "$work/my-net.log")"
fi

cp -r "$(var templatedir)" "$work/renamed"
refuses "a name that cannot be" 2 "usage" "$work/renamed/rename.sh" My_VMM
refuses "a kind that is none" 2 "KIND is hypervisor" "$work/renamed/rename.sh" my-vmm vmm
"$work/renamed/rename.sh" my-vmm >/dev/null
is "rename.sh" $? 0
refuses "rename.sh again" 1 "renamed before" "$work/renamed/rename.sh" other
if build "$work/renamed" "$cc" my-vmm-inst; then
    run_through my-vmm "$work/renamed"
    (cd "$work/renamed" && make -s install) >"$work/renamed.inst.log" 2>&1
    is "make install of the copy" "$(ls "$work/my-vmm-inst")" my-vmm.so
    (cd "$work/renamed" && make -s distcheck DISTCHECK_CONFIGURE_FLAGS="hypervisordir=$work/dist VC_PLUGIN_TEST=/bin/true") >"$work/dist.log" 2>&1
    is "make distcheck of the copy" $? 0
fi
finish
