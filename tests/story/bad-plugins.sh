#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Plugins and configuration files that must be refused, through virtc: the sentence of each, word for word, and no trace.
. "$(dirname "$0")/../vm/lib.sh"
plugins=$work/plugins
cp -a "$(sed -n 's/^plugin_dir = "\(.*\)";/\1/p' "$VCCORE_CONFIG")" "$plugins"
stack="--set plugin_dir=$plugins --set hypervisor=mock --set agent=noop --set shim=noop --set network=noop"
abi=1.0

# The whole sentence, after the program's name.
says() { # WHAT CODE SENTENCE COMMAND...
    s_what=$1 s_code=$2 s_text=$3
    shift 3
    s_status=0
    "$@" >"$work/says.out" 2>"$work/says.err" </dev/null || s_status=$?
    is "$s_what: exit code" "$s_status" "$s_code"
    is "$s_what" "$(cat "$work/says.err")" "virtc: $s_text"
    is "$s_what: nothing on standard output" "$(cat "$work/says.out")" ""
}
plugin() { # FILE SENTENCE
    so=$plugins/proxy/$1.so
    cp "$VC_BUILD_DIR/tests/badplugins/.libs/$1.so" "$so"
    chmod 644 "$so"
    says "$1" 1 "$so$2" virtc $stack --set "proxy=$1" pod create --name p
    rm "$so"
}
plugin bad-magic " is no plugin of this project: it has the magic number 0x46554e4b, not 0x31504356"
plugin bad-major " was built for version 2 of the plugin contract (abi_major); this library has version 1"
plugin bad-minor " needs version 1.9 of the plugin contract (min_host_minor); this library has $abi"
plugin bad-member ": the required proxy member \"stop\" is missing"
plugin bad-inst-member ": the required instance member \"save\" is missing"
plugin bad-symbol " is no plugin: it does not export \"vc_plugin_entry\""
plugin bad-undefined " cannot be loaded: undefined symbol: function_that_no_library_has"
plugin bad-kind " calls itself a plugin of kind \"shim\" (4), but it lies in the directory of \"proxy\" (3)"
plugin bad-name " calls itself \"something-else\": its name must be that of its file, \"bad-name\""

so=$plugins/proxy/none.so
m="virtc $stack --set proxy=none pod create --name p"
chmod 666 "$so"
says "a plugin that all can write" 1 "$so is writable by everybody (mode 0666): remove that with chmod go-w" $m
chmod 664 "$so"
says "a plugin that its group can write" 1 "$so is writable by its group (mode 0664): remove that with chmod go-w" $m
chmod 644 "$so"
chown 65534 "$so"
says "a plugin of another user" 1 "$so belongs to user 65534: it must belong to root or to you (user 0)" $m
chown 0 "$so"
chmod 777 "$plugins/proxy"
says "a directory of plugins that all can write" 1 \
    "$plugins/proxy is writable by everybody (mode 0777): remove that with chmod go-w" $m
chmod 755 "$plugins/proxy"
mv "$so" "$work/none.so"
ln -s "$work/none.so" "$so"
says "a symbolic link" 1 "$so is a symbolic link, which is not followed here: give the real path" $m
rm "$so"
echo "no program" >"$so"
has "a text file: it is named" "$($m 2>&1)" "$so cannot be loaded: "
rm "$so"
says "a plugin that is not installed" 1 "no proxy plugin \"none\" in $plugins/proxy; installed: kata, noop" $m
says "a name that no plugin can have" 1 \
    "override \"proxy\": \"../evil\" is not possible as the name of a plugin: 1 to 32 of a-z, 0-9 and \"-\", not first" \
    virtc $stack --set proxy=../evil pod create --name p

# A list of plugins names the bad one, and goes on.
cp "$VC_BUILD_DIR/tests/badplugins/.libs/bad-magic.so" "$plugins/proxy/bad-magic.so"
out=$(virtc $stack plugin list proxy)
is "plugin list: exit code" $? 0
has "plugin list: says what is wrong" "$out" "it has the magic number"
has "plugin list: and shows the others" "$out" "kata"
is "plugin list --json: not usable" "$(virtc --json $stack plugin list proxy | "$VC_BUILD_DIR/tests/fakes/json-check" 0.usable)" false
rm "$plugins/proxy/bad-magic.so"

# Configuration files.
conf=$work/c.conf
config() { # WHAT CONTENT SENTENCE
    printf '%s\n' "$2" >"$conf"
    says "$1" 1 "$3" virtc --config "$conf" config show
}
printf 'run_root = "%s";\n' "$run_root" >"$conf"
chmod 666 "$conf"
says "a configuration that all can write" 1 "$conf is writable by everybody (mode 0666): remove that with chmod go-w" \
    virtc --config "$conf" pod list
chmod 644 "$conf"
chown 65534 "$conf"
says "a configuration of another user" 1 "$conf belongs to user 65534: it must belong to root or to you (user 0)" \
    virtc --config "$conf" pod list
chown 0 "$conf"
refuses "a configuration that is a directory" 1 "$work" virtc --config "$work" pod list
refuses "a configuration that is not there" 1 "$work/none.conf" virtc --config "$work/none.conf" pod list
printf 'agent = "noop";\nhypervisr = "qemu";\n' >"$conf"
refuses "an unknown key" 1 "$conf:2: " virtc --config "$conf" pod list
has "an unknown key: it is named" "$(cat "$work/refuse.err")" '"hypervisr"'
printf 'agent = "noop";\n\nhypervisor = 7;\n' >"$conf"
refuses "a wrong type" 1 "$conf:3: " virtc --config "$conf" pod list
has "a wrong type: says what is right" "$(cat "$work/refuse.err")" '"hypervisor"'
printf 'hypervisor = "qemu"\nagent = ;\n' >"$conf"
refuses "a syntax error" 1 "$conf:2" virtc --config "$conf" pod list
printf 'hypervisor_qemu = {\n  memory = "256M";\n  memori = 3;\n};\n' >"$conf"
refuses "an unknown key of a plugin" 1 "$conf:3" virtc --config "$conf" --set plugin_dir="$plugins" config check
has "an unknown key of a plugin: says what there is" "$(cat "$work/refuse.err")" memory
printf 'hypervisor_qemu = {\n  memory = [ 1 ];\n};\n' >"$conf"
refuses "a wrong type of a plugin's key" 1 "$conf:2" virtc --config "$conf" --set plugin_dir="$plugins" config check
mkdir "$conf.d"
printf 'agent = "noop";\nnonsense = 1;\n' >"$conf.d/10-mine.conf"
printf 'hypervisor = "mock";\n' >"$conf"
refuses "an unknown key in a drop-in file" 1 "$conf.d/10-mine.conf:2" virtc --config "$conf" pod list
nothing_left "at the end"
finish
