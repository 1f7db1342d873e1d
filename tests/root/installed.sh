#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What `make install DESTDIR=...` puts down is usable: pkg-config files, the library, with the program that README.md shows,
# and a plugin built out of tree with the SDK alone.
. "$(dirname "$0")/../vm/lib.sh"
cc=${CC:-cc}
inst=$work/inst
(cd "$builddir" && make -s install DESTDIR="$inst") >"$work/install.log" 2>&1
is "make install DESTDIR" $? 0
pc=$(find "$inst" -name libvccore.pc)
[ -n "$pc" ] || { bad "there is no libvccore.pc: $(tail -n 5 "$work/install.log")"; finish; }
PKG_CONFIG_PATH=${pc%/*}
PKG_CONFIG_SYSROOT_DIR=$inst
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
for p in libvccore libvccore-sdk libvcsdk; do
    pkg-config --exists "$p"
    is "pkg-config knows $p" $? 0
done
is "the version" "$(pkg-config --modversion libvccore)" "$(virtc --version | sed 's/.* //')"
[ -z "$(find "$inst" -path '*/vccore/*' -name '*.la')" ] && ok "no .la beside a plugin" || bad "libltdl would prefer the .la files"
libdir=$inst$(pkg-config --variable=libdir libvccore | sed "s|^$inst||")
plugindir=$inst$(pkg-config --variable=plugindir libvccore-sdk | sed "s|^$inst||")
is "plugins lie where the SDK says" "$(ls "$plugindir/hypervisor" | tr '\n' ' ')" "mock.so qemu.so "
# A page for each program, file and plugin that is there.
is "man pages" "$(find "$inst" -path '*/man/man*' -type f | sed 's|.*/||' | sort | tr '\n' ' ')" \
    "$({ printf '%s\n' virtc.1 vc-plugin-test.1 vccore.conf.5 vc-json.5 vccore-plugin.7
        (cd "$plugindir" && ls -d ./*/*.so) | sed 's|^\./\(.*\)/\(.*\)\.so|vc-\1-\2.5|'; } | sort | tr '\n' ' ')"
for f in bash-completion/completions/virtc zsh/site-functions/_virtc fish/vendor_completions.d/virtc.fish; do
    [ -s "$(find "$inst" -path "*/share/$f")" ] && ok "installed: $f" || bad "not installed: $f"
done
stray=$(find "$inst" -type f \( -perm -002 -o -perm -020 \))
is "nothing is writable by others" "$stray" ""

cp "$VCCORE_CONFIG" "$work/mock.conf"
sed -i "s|^plugin_dir = .*|plugin_dir = \"$plugindir\";|" "$work/mock.conf"
printf 'hypervisor = "mock"; agent = "noop"; proxy = "noop"; shim = "noop"; network = "noop";\n' >>"$work/mock.conf"
chmod 644 "$work/mock.conf"
make_rootfs "$work/rootfs"

# The program of the README, word for word but for the root directory. An agent on this machine plays the guest: what it
# runs reads to the end of its input and exits with 7.
awk '/^```c$/ { on = 1; next } /^```/ { on = 0 } on' "$srcdir/README.md" | sed "s|/srv/busybox|$work/rootfs|" >"$work/readme.c"
[ -s "$work/readme.c" ] && ok "README.md shows a program" || bad "README.md shows no C program"
$cc -std=c11 -Wall -Wextra -Werror $(pkg-config --cflags libvccore) "$work/readme.c" -o "$work/readme" $(pkg-config --libs libvccore) \
    >"$work/cc.log" 2>&1 || bad "it does not compile: $(cat "$work/cc.log")"
cp "$VC_BUILD_DIR/tests/fakes/.libs/fake-hypervisor.so" "$plugindir/hypervisor/fake.so"
sed '/^hypervisor/d' "$work/mock.conf" >"$work/fake.conf"
printf 'hypervisor = "fake"; proxy = "none"; hypervisor_fake = { agent = "%s"; };\n' "$work/agent.sock" >>"$work/fake.conf"
chmod 644 "$work/fake.conf"
mkfifo "$work/in" "$work/out"
"$VC_BUILD_DIR/tests/fakes/fake-agent" "$work/agent.sock" normal <"$work/in" >"$work/out" &
agent_pid=$!
exec 8>"$work/in" 7<"$work/out"
read -r ready <&7
is "the agent" "$ready" ready
status=0
out=$(cd "$work" && LD_LIBRARY_PATH=$libdir VCCORE_CONFIG=$work/fake.conf timeout 60 ./readme 2>&1) || status=$?
is "the README's program: exit code" "$status" 0
is "the README's program: what it prints" "$out" "the shell in the VM ended with exit status 7"
exec 8>&- 7<&-
wait "$agent_pid"
rm -f "$plugindir/hypervisor/fake.so"
nothing_left "the program of the README"
cat >"$work/cxx.cc" <<'END'
#include <vccore/vccore.h>
int main()
{
    struct vc_pod_config c;
    VC_INIT(&c);
    return c.size == sizeof c && vc_version()[0] ? 0 : 1;
}
END
if c++ -std=c++17 -Wall -Wextra -Werror $(pkg-config --cflags libvccore) "$work/cxx.cc" -o "$work/cxx" $(pkg-config --libs libvccore) \
    >"$work/cc.log" 2>&1 && LD_LIBRARY_PATH=$libdir "$work/cxx"; then ok "C++"; else bad "C++: $(cat "$work/cc.log")"; fi

# A vendor's plugin: the SDK's headers and nothing else.
mkdir "$work/vendor"
cp "$srcdir/tests/badplugins/bad.h" "$srcdir/tests/badplugins/good.c" "$work/vendor"
$cc -std=c11 -fPIC -shared -fvisibility=hidden $(pkg-config --cflags libvccore-sdk) "$work/vendor/good.c" -o "$plugindir/proxy/good.so" \
    >"$work/cc.log" 2>&1 || bad "a plugin out of tree does not compile: $(cat "$work/cc.log")"
chmod 755 "$plugindir/proxy/good.so"
has "a plugin out of tree is loaded" "$(virtc --config "$work/mock.conf" plugin list proxy)" "A plugin for the tests of the loader."
has "its options are known" "$(virtc --config "$work/mock.conf" plugin help good)" "A word."

(cd "$builddir" && make -s uninstall DESTDIR="$inst") >"$work/uninstall.log" 2>&1
is "make uninstall" $? 0
rm -f "$plugindir/proxy/good.so"
is "make uninstall leaves no file" "$(find "$inst" ! -type d | sed "s|^$inst||")" ""
finish
