#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vc-plugin-test as its users meet it: exit statuses, forms of output, what it says of plugins that hang or crash, and that
# nothing of a check is left afterwards.
set -u
LC_ALL=C
export LC_ALL
tool=${VCT:-${builddir:?run by make check}/sdk/conformance/vc-plugin-test}
top=${srcdir:?run by make check}
work=$(mktemp -d "${TMPDIR:-/tmp}/vct-test.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir "$work/t"
TMPDIR=$work/t
export TMPDIR
failed=0 passed=0
bad() { echo "FAILED: $*"; failed=$((failed + 1)); }
ok() { passed=$((passed + 1)); }

# What plugins leave has a name of this run: another one may go on beside it.
leftover=vct-$$-leftover

# A plugin that misbehaves as tool.c says; its path.
plugin() { # WORD
    mkdir -p "$work/$1/proxy"
    so=$work/$1/proxy/tool.so
    [ -f "$so" ] || ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -w -I"$top/sdk/include" -shared -fPIC "-DTOOL_$1" \
        "-DTOOL_LEFTOVER=\"$leftover\"" \
        -Wl,--version-script="$top/sdk/plugin.map",-z,now,-z,relro,-z,nodelete -o "$so" \
        "$top/tests/badplugins/conformance/tool.c" || exit 2
}

# Run the tool: its exit status has to be $1; output in $work/out and $work/err.
run() { # STATUS WORD...
    r_want=$1
    shift
    r_status=0
    "$tool" --color=never "$@" >"$work/out" 2>"$work/err" </dev/null || r_status=$?
    if [ $r_status -eq "$r_want" ]; then
        ok
    else
        bad "vc-plugin-test $*: exit status $r_status, not $r_want"
        cat "$work/out" "$work/err"
    fi
}
says() { # TEXT [out|err]
    if grep -Fq -e "$1" "$work/${2:-out}"; then ok; else
        bad "nothing says \"$1\""
        cat "$work/${2:-out}"
    fi
}
lacks() { # TEXT
    if grep -Fq -e "$1" "$work/out"; then bad "it says \"$1\"" && cat "$work/out"; else ok; fi
}

plugin FINE
fine=$so

# ---- a file that hosts refuse ----
mkdir -p "$work/open/proxy"
cp "$fine" "$work/open/proxy/tool.so"
chmod 777 "$work/open/proxy/tool.so"
run 3 --only L8 "$work/open/proxy/tool.so"
says "is writable by everybody (mode 0777): hosts refuse it; chmod go-w"
chmod 775 "$work/open/proxy/tool.so"
run 0 --only L8 "$work/open/proxy/tool.so"
says "is writable by its group (mode 0775)"

# ---- usage ----
run 2
says "which plugin?" err
run 2 --no-such-option "$fine"
run 2 --level deep "$fine"
says 'quick, full or soak, not "deep"' err
run 2 --only L1,Q7 "$fine"
says 'no check or group "Q7"' err
run 2 --skip '' "$fine"
run 2 --explain Z9
says 'no check or group "Z9"' err
run 2 --timeout 0 "$fine"
run 2 --seed 1x "$fine"
run 2 -j 0 "$fine"
run 2 --soak soon "$fine"
run 2 --set novalue "$fine"
says 'KEY=VALUE, not "novalue"' err
run 2 --color sometimes "$fine"
run 2 "$fine" "$fine"
run 2 --json --tap "$fine"
run 2 --write-baseline "$fine"
run 2 --make-golden "$fine"
run 2 --baseline "$work/none" "$fine"
says "$work/none cannot be read" err
run 2 --baseline "$work" "$fine"
says "$work cannot be read: Is a directory" err
run 2 --set nosuch=1 --only C1 "$fine"
says '--set nosuch: the plugin has no option "nosuch"' err
run 2 --set nosuch=1 --only I1 --in-process "$fine"
run 2 --junit "$work/none/report" "$fine"
says "--junit: $work/none/report cannot be written" err
run 2 --junit '' "$fine"
run 2 --check-scenario "$top/sdk/conformance/scenarios/shim-vc.scn" more
says 'one file at a time' err
run 2 --list proxy/no-such-one
run 2 --list "$work/none.so"
says "$work/none.so is no kind" err
run 2 --scenario "$work/none" "$fine"
run 2 --scenario-dir "$work/none" "$fine"
run 0 --help
run 0 --version
says "vc-plugin-test "
says "plugins: /"
says "scenarios: /"
# glibc's argp crashes on some words that are longer than a line: a path that is compiled in may be of any length, so it is
# no part of the help, however that is broken into lines.
for dir in $(sed -n 's/^[a-z]*: //p' "$work/out"); do
    "$tool" --help | tr -d ' \n' | grep -Fq -e "$dir" && bad "--help holds $dir" || ok
done
long=$("$tool" --help | tr -s ' ' '\n' | awk 'length > 40')
[ -z "$long" ] && ok || bad "a word of --help is longer than 40 characters: $long"

# Its man page has every option, and no other.
"$tool" --help | grep -o -e '--[a-z][a-z-]*' | sort -u >"$work/options"
sed 's/\\-/-/g' "$top/core/doc/man/vc-plugin-test.1" | grep -o -e '--[a-z][a-z-]*' | grep -vx -e '--args' | sort -u >"$work/man"
diff "$work/options" "$work/man" >"$work/diff" && ok || bad "--help and the man page differ: $(grep '^[<>]' "$work/diff")"

# ---- what there is ----
run 0 --list
n=$(grep -c '^  [A-Z][0-9]' "$work/out")
[ "$n" -ge 135 ] && ok || bad "--list has $n checks; the catalogue has 135"
for range in L:18 C:9 I:16 S:12 E:7 T:14 M:11 H:12 A:10 P:6 X:7 N:13; do
    i=1
    while [ $i -le "${range#*:}" ]; do
        grep -q "^  ${range%:*}$i " "$work/out" && ok || bad "--list has no ${range%:*}$i"
        i=$((i + 1))
    done
done
run 0 --list "$fine"
grep -q '^  P1 ' "$work/out" && ! grep -q '^  H1 ' "$work/out" && ok || bad "--list of a plugin has its kind's checks"
run 0 --list proxy
grep -q '^  P1 ' "$work/out" && ! grep -q '^  H1 ' "$work/out" && ok || bad "--list of a kind has that kind's checks"
run 0 --explain l5
says "L5 "
says "Rule:"
says "Reason:"
says "Remedy:"
run 0 --explain all
for word in Rule Reason Remedy; do
    [ "$(grep -c "^  $word:  *[^ ]" "$work/out")" -eq "$n" ] && ok || bad "--explain all: not every check has its $word"
done

# ---- what cannot be loaded ----
run 3 "$work/none.so"
says "none.so cannot be loaded" err
run 3 "$work"
run 3 proxy/no-such-one --plugin-dir "$work"
says "$work/proxy/no-such-one.so cannot be loaded" err
echo hello >"$work/text.so"
run 3 --only I1 "$work/text.so"
says "The plugin cannot be loaded"
plugin CONSTRUCTOR_CRASHES
run 3 --only L12,I1 "$so"
says "SIGSEGV (Segmentation fault) in dlopen"
says "SKIP  I1"
plugin CONSTRUCTOR_HANGS
run 3 --timeout 1 --only I1 "$so"
says "still in dlopen after 1.0 s"
plugin CONSTRUCTOR_EXITS
run 3 --only I1 "$so"
plugin CONSTRUCTOR_FAKES
run 3 --only L12 "$so"
says "the process ended with exit status 0 in dlopen"

# ---- findings ----
run 0 --only L1,I1 "$fine"
says "2 PASS"
lacks FAIL
run 0 --only L1,I1 --in-process "$fine"
run 0 --only L1,I1 --no-namespaces "$fine"
mkdir "$work/a-long-name-for-temporary-files"
TMPDIR=$work/a-long-name-for-temporary-files
run 0 --only L1,I1 "$fine"
says "2 PASS"
TMPDIR=$work/t
run 0 --plugin-dir "$work/FINE" --only I1 proxy/tool
run 77 --only H1 "$fine"
says "not for plugins of kind proxy"
plugin SAVE_CRASHES
run 1 --only S1,I1 --seed 5 --set 'word=a b' "$so"
says "CRASH S1"
says "SIGSEGV (Segmentation fault) in save"
says "vc-plugin-test --only S1 --seed 5 --set 'word=a b' $so"
says "Rule: "
says "Remedy: "
crash=$so
plugin SAVE_CALLS_NULL
run 1 --only S1 "$so"
says "fault at address 0x0: a function was called that is NULL"
lacks "0x0,"
plugin RESTORE_SILENT
run 1 --only E2 "$so"
says "in restore: it answered VC_E_CORRUPT without a text (err_set was not called for the call's err), given a state that no plugin"
plugin SAVE_HANGS
run 1 --only S1 --timeout 1 "$so"
says "HANG  S1"
says "still in save after 1.0 s"
hang=$so
plugin CONSTRUCTOR_PRINTS
run 1 --only E4 "$so"
says 'FAIL  E4'
says 'hello <&"\x1b[31m'
prints=$so
plugin PRINTS_WITHOUT_END
run 1 --only E4 "$so"

# ---- a baseline ----
run 1 --only S1,I1 --baseline "$work/base" --write-baseline "$crash"
grep -q '^S1 .*SIGSEGV' "$work/base" && ok || bad "--write-baseline does not have S1"
run 0 --only S1,I1 --baseline "$work/base" "$crash"
says "CRASH S1"
says "(known)"
says "1 known by"
run 0 --only S1,I1 --baseline "$work/base" "$fine"
says "S1 is no longer found: remove the line"
run 0 --only I1 --baseline "$work/base" "$fine"
lacks "no longer found"
run 1 --only S1 --timeout 1 --baseline "$work/base" "$hang" # another failure of the same check counts
printf '# comment\n\nS1\n' >"$work/base"
run 0 --only S1 --timeout 1 --baseline "$work/base" "$hang"
printf 'S1 x\nQQ y\n' >"$work/base"
run 2 --only S1 --baseline "$work/base" "$fine"
says "$work/base:2: there is no check \"QQ\"" err

# ---- forms for programs ----
run 1 --only S1,I1,E4,H1 --json --junit "$work/junit.xml" "$crash"
cp "$work/out" "$work/crash.json"
run 1 --only E4,I1 --json --junit "$work/prints.xml" "$prints"
cp "$work/out" "$work/prints.json"
if command -v python3 >/dev/null; then
    python3 - "$work" <<'EOF' && ok || bad "a report for programs is not what it should be"
import json, sys, xml.dom.minidom
work = sys.argv[1]
crash = json.load(open(work + "/crash.json"))
by_id = {c["id"]: c for c in crash["checks"]}
assert crash["plugin"]["kind"] == "proxy" and crash["plugin"]["name"] == "tool" and crash["exit"] == 1
assert by_id["S1"]["status"] == "CRASH" and by_id["S1"]["call"] == "save" and by_id["S1"]["signal"] == 11
assert by_id["S1"]["seed"] == 1 and "--only S1" in by_id["S1"]["reproduce"] and by_id["S1"]["rule"]
assert by_id["I1"]["status"] == "PASS" and by_id["H1"]["left_out"] and "proxy" in by_id["H1"]["text"]
assert crash["counts"]["CRASH"] >= 1 and len(crash["checks"]) >= 135
prints = json.load(open(work + "/prints.json"))
e4 = [c for c in prints["checks"] if c["id"] == "E4"][0]
assert "\n" not in e4["text"], e4
assert e4["status"] == "FAIL" and e4["output"].startswith("hello <&\"\x1b[31m\ufffd"), e4
suite = xml.dom.minidom.parse(work + "/junit.xml").getElementsByTagName("testsuite")[0]
assert suite.getAttribute("name") == "proxy/tool" and int(suite.getAttribute("errors")) >= 1
assert len(suite.getElementsByTagName("testcase")) == int(suite.getAttribute("tests")) == 3
xml.dom.minidom.parse(work + "/prints.xml")
EOF
fi
run 1 --only S1,I1 --tap "$crash"
[ "$(sed -n 's/^1\.\.//p' "$work/out")" = 2 ] && ok || bad "the plan of TAP"
grep -q '^ok 1 - I1 ' "$work/out" && grep -q '^not ok 2 - S1 ' "$work/out" && ok || bad "the results of TAP"
run 1 --only S1 --color=always "$crash"
grep -q "$(printf '\033')\[1;31mCRASH" "$work/out" && ok || bad "no colours with --color=always"
run 2 --only I1 --junit "$work/no/such/dir.xml" "$fine"

# ---- nothing is left ----
gone() { # WHAT
    # The processes of tool.c have this name.
    if grep -sl "^$leftover" /proc/[0-9]*/cmdline | grep -q .; then bad "$1: a process is left"; else ok; fi
    [ -z "$(ls "$TMPDIR")" ] && ok || bad "$1: the directory $(ls "$TMPDIR") is left"
}
plugin LEAVES_SOMEONE
leaves=$so
plugin LEAVES_SOMEONE_AND_HANGS
for mode in "" --no-namespaces; do
    # shellcheck disable=SC2086
    run 0 $mode --only L12 "$leaves"
    gone "a grandchild in a session of its own, $mode"
    # shellcheck disable=SC2086
    run 3 $mode --only L12 --timeout 1 "$so"
    gone "the same of a plugin that hangs, $mode"
done
groups="/sys/fs/cgroup/$leftover /sys/fs/cgroup/unified/$leftover"
no_groups() { # WHAT
    for g in $groups; do
        [ ! -d "$g" ] && ok || bad "$1: the control group $g is left"
    done
}
plugin SAVE_LEAVES_GROUP
run 1 --only S1 "$so"
says "CRASH S1"
no_groups "a crash"

# Start the tool on it and wait until the plugin has done what it leaves.
come_up() { # WORD...
    "$tool" --timeout 60 "$@" "$so" >"$work/out" 2>&1 &
    pid=$!
    i=0
    until grep -sl "^$leftover" /proc/[0-9]*/cmdline | grep -q . || [ $i -ge 200 ]; do
        i=$((i + 1))
        sleep 0.05
    done
    [ $i -lt 200 ] && ok || bad "the plugin that is to be interrupted did not come up"
}
# All of it goes away soon, after its tool has gone.
goes_away() { # WHAT
    i=0
    while grep -sl "^$leftover" /proc/[0-9]*/cmdline | grep -q . && [ $i -lt 100 ]; do
        i=$((i + 1))
        sleep 0.05
    done
    [ $i -lt 100 ] && ok || bad "$1: a process is left"
}
plugin LEAVES_SOMEONE_AND_HANGS
# Interrupted, it takes everything down with it, and says so by its exit status.
come_up --only L12
kill -TERM $pid
wait $pid
s=$?
[ $s -eq 143 ] && ok || bad "a tool that got SIGTERM ends with $s, not 143"
gone "interrupted"
# Killed, the keeper of the check does it.
for mode in "" --no-namespaces; do
    # shellcheck disable=SC2086
    come_up --only L12 $mode
    kill -KILL $pid
    wait $pid 2>/dev/null
    goes_away "killed, $mode"
done
# The files of a run that was killed go with the next one.
ls -d "$TMPDIR"/vct-* >"$work/ls" 2>/dev/null
run 0 --only L1 "$fine"
case ${#TMPDIR} in
[0-9] | 1[0-9] | 2[0-3])
    [ -s "$work/ls" ] && ! ls -d "$TMPDIR"/vct-* >"$work/ls" 2>/dev/null && ok || bad "runs that were killed leave $(cat "$work/ls")"
    ;;
esac
rm -rf "$TMPDIR"/vct-*

# What is on record is undone when the check hangs, and whatever ends the run: also when the tool or its keeper is killed.
plugin SAVE_LEAVES_GROUP_AND_HANGS
run 1 --only S1 --timeout 1 "$so"
says "HANG  S1"
no_groups "a hang"
for sig in INT TERM KILL; do
    come_up --only S1
    kill -$sig $pid
    wait $pid 2>/dev/null
    goes_away "SIG$sig with a control group"
    i=0
    while ls -d $groups >"$work/ls" 2>/dev/null || [ -s "$work/ls" ]; do
        [ $i -lt 100 ] || break
        i=$((i + 1))
        sleep 0.05
    done
    no_groups "SIG$sig"
done
rm -rf "$TMPDIR"/vct-*
if [ "$(id -u)" -eq 0 ]; then
    come_up --only S1
    for keeper in $(cat /proc/$pid/task/$pid/children); do
        kill -KILL "$keeper"
    done
    wait $pid
    s=$?
    [ $s -eq 1 ] && ok || bad "a tool whose keeper was killed ends with $s, not 1"
    says "the process and its keeper were killed in save"
    no_groups "the keeper was killed"
    goes_away "the keeper was killed"
fi

# ---- one root cause is told once ----
# The plugin's finding stands in one check, and whatever needs the same says where: no other finding, no waiting.
once() { # STATUS ID CLASS TEXT [WORD]...
    o_status=$1 o_id=$2 o_class=$3 o_text=$4
    shift 4
    run "$o_status" --timeout 3 "$@" "$so"
    says "$o_text"
    [ "$(grep -c -E '^  (FAIL|CRASH|HANG|LEAK|WARN)' "$work/out")" -eq 1 ] && grep -q "^  $o_class *$o_id " "$work/out" && ok ||
        { bad "${so%/*/*}: $o_id alone tells it"; cat "$work/out"; }
    [ "$(grep -c "^  SKIP .*: see $o_id: " "$work/out")" -ge "$least" ] && ok || { bad "the others refer to $o_id"; cat "$work/out"; }
}
least=10
began=$(date +%s)
plugin CREATE_HANGS
# (All that need an instance, a hundred and more of level full, would take minutes with two at once.)
for level in quick full; do
    once 1 I1 HANG "still in create after 3.0 s" -j 2 --level $level
done
[ $(($(date +%s) - began)) -le 60 ] && ok || bad "two runs on a plugin that hangs in create, of 3 s each, take $(($(date +%s) - began)) s"
run 1 --only S3 --timeout 1 "$so"
says "HANG  S3"
says "still in create after 1.0 s"
plugin CREATE_CRASHES
once 1 I1 CRASH "SIGSEGV (Segmentation fault) in create" --level quick
says "a host that calls it ends with the plugin"
run 1 --only M1 "$so"
says "SIGSEGV (Segmentation fault) in create"
run 1 --only I1,L9,L2 --tap "$so"
grep -q '^ok 1 - L2 ' "$work/out" && grep -q '^ok 2 - L9 ' "$work/out" && ok || bad "what needs no instance is tested all the same"
plugin CREATE_EXITS
once 1 I1 CRASH "exit status 0 in create" --level quick
plugin CREATE_FAILS
once 1 I1 FAIL "create answered VC_E_IO: the machine is not there" --level quick
says "with the defaults of its options"
plugin LOAD_EXITS
once 3 L11 CRASH "exit status 0 in load"
plugin LOAD_ABORTS
once 3 L11 CRASH "SIGABRT (Aborted) in load"
plugin LOAD_FAILS
once 3 L11 FAIL "load failed with VC_E_NOTFOUND: libmissing is not installed"
plugin CONSTRUCTOR_HANGS
once 3 L11 HANG "still in dlopen after 3.0 s"
# The usual life: what fails in it is told by the check that is about it, at any level, and costs its time once.
least=5 # of those that live a life at level quick
plugin SAVE_CRASHES
once 1 S1 CRASH "SIGSEGV (Segmentation fault) in save" --level quick
says "a host that makes it ends with the plugin"
once 1 S1 CRASH "SIGSEGV (Segmentation fault) in save"
began=$(date +%s)
plugin SAVE_HANGS
once 1 S1 HANG "still in save after 3.0 s" -j 2
[ $(($(date +%s) - began)) -le 45 ] && ok || bad "a run on a plugin that hangs in save, of 3 s, takes $(($(date +%s) - began)) s"
plugin CHECK_FAILS
once 1 I11 FAIL "check answered VC_E_INTERNAL, where it has to work" --level quick
once 1 I11 FAIL "check answered VC_E_INTERNAL, where it has to work"
plugin CHECK_POSITIVE
once 1 E1 FAIL "check answered 1 (no code of the contract); VC_OK, or one of VC_E_*, is right" --level quick
plugin FINE # its start gives no address
once 1 P1 FAIL "start answered VC_OK, but" --level quick
# A single check shows what it finds itself, and no selected check tells what is none of its business.
least=10
run 77 --only P1 "$so"
says "start gave pid 0 (P4 looks at it)"
run 0 --only S1,S8 "$so"
says "2 PASS"
# A crash that only one check's conditions bring about hides nothing else.
plugin CREATE_CRASHES_SOMETIMES
run 1 --only I1,I4,I2 --tap "$so"
grep -q '^ok 1 - I1 ' "$work/out" && grep -q '^ok 2 - I2 ' "$work/out" && grep -q '^not ok 3 - I4 ' "$work/out" && ok ||
    { bad "a crash under one check's conditions is found by that check"; cat "$work/out"; }

# ---- what a host refuses ----
plugin NO_MEMBER
once 3 L10 FAIL "vc_proxy_ops.status is NULL; it is a required member"
lacks "is the size of the table of kind"
plugin SMALL_TABLE
once 3 L6 FAIL "the size of the kind's table (vc_plugin.ops) is 16"
plugin SMALL_DESCRIPTOR
once 3 L6 FAIL "vc_plugin.size is 64"
plugin OTHER_MAJOR
once 3 L5 FAIL "vc_plugin.abi_major is 9"
plugin OTHER_MAGIC
once 3 L5 FAIL "vc_plugin.magic is 0x46554e4b"
plugin OTHER_KIND
run 3 --level quick "$so"
says 'vc_plugin.kind is 1, hypervisor, and the file lies in the directory "proxy"; that is the size of the table of kind proxy'
mkdir -p "$work/folder/agent"
cp "$fine" "$work/folder/agent/tool.so"
run 3 --only L8,I1 "$work/folder/agent/tool.so"
says 'the file lies in the directory "agent" and vc_plugin.kind is 3 (proxy)'
says "1 PASS"
plugin UNDEFINED
once 3 L3 FAIL "undefined symbol: no_such_function"
says "link with -Wl,-z,defs"

# The helper library for models; not that of the build, which may be made for a sanitizer.
for m in buf io plug proc tree ttrpc utf8 yamux; do
    ${CC:-cc} -std=gnu11 -O1 -w -fPIC -fvisibility=hidden -D_GNU_SOURCE -I"$top/sdk/include" -I"$top/sdk" \
        -c -o "$work/$m.o" "$top/sdk/lib/$m.c" || exit 2
done
VCSDK_LIB=$work/libvcsdk.a
export VCSDK_LIB
(cd "$work" && ar rc libvcsdk.a buf.o io.o plug.o proc.o tree.o ttrpc.o utf8.o yamux.o) || exit 2

# Rows behind the end of an option table: none of their pointers is followed, by no check.
sh "$top/tests/badplugins/conformance/build.sh" "$work/rows" proxy tool BAD_L6_ROW -DLCM >"$work/log" 2>&1 ||
    { cat "$work/log"; exit 2; }
so=$work/rows/proxy/tool.so
once 3 L6 FAIL '`key` of option 3 (vc_plugin.n_options is 4) leads to no text of a loaded file'

# ---- networks ----
network() { # DEFINE: the model, made with it
    sh "$top/tests/badplugins/conformance/build.sh" "$work/net$1" network tool ${1:+"-D$1"} >"$work/log" 2>&1 ||
        { cat "$work/log"; exit 2; }
    so=$work/net$1/network/tool.so
}
if [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null; then
    # Without /dev/net/tun nothing is found against a plugin that wants it: it is said why nothing was looked at.
    network MODEL_TUN_IN_SETUP
    status=0
    unshare -m sh -c 'mount -t tmpfs none /dev/net && exec "$@"' sh "$tool" --level quick --color=never "$so" >"$work/out" 2>&1 || status=$?
    if [ $status -eq 0 ] && grep -q "no tap can be made here: /dev/net/tun: No such file" "$work/out"; then
        ok
    else
        bad "without /dev/net/tun: exit status $status"
        cat "$work/out"
    fi
    # In the process of the tool itself root has a network and mounts of the tool's own.
    network ''
    if [ -w /dev/net/tun ]; then
        ip_before=$(cat /proc/net/dev)
        run 0 --in-process --only I1,I2,N2,N4,N11 "$so"
        says "5 PASS"
        [ "$(cut -d: -f1 /proc/net/dev)" = "$(echo "$ip_before" | cut -d: -f1)" ] && ok || bad "--in-process left links"
        # mount(2) of something that is there already wants no type: Valgrind thinks it does.
        network MODEL_NO_ADOPT
        if command -v valgrind >/dev/null; then
            run 0 --only M9 "$so"
            lacks "mount(type)"
        fi
    fi
fi

# What it does not export, and what it links to that a host does not have, is told once.
mkdir -p "$work/export/proxy" "$work/links/proxy"
echo 'int vc_plugin_none;' >"$work/none.c"
so=$work/export/proxy/tool.so
${CC:-cc} -shared -fPIC -Wl,-z,now,-z,relro,-z,nodelete -o "$so" "$work/none.c" || exit 2
once 3 L2 FAIL 'it does not export "vc_plugin_entry"' --level quick
says "without it the file is no plugin"
so=$work/links/proxy/tool.so
${CC:-cc} -shared -fPIC -Wl,-soname,libvccore.so.99 -o "$work/libvccore.so" "$work/none.c" &&
    ${CC:-cc} -shared -fPIC -Wl,--no-as-needed -o "$so" "$work/none.c" "$work/libvccore.so" || exit 2
run 3 --only L3,L4,I1 "$so"
says "FAIL  L4"
says "cannot be loaded: libvccore.so.99"
says "Do not link with -lvccore"

# ---- what a plugin writes to a descriptor of the tool's ----
plugin SAVE_WRITES_ASTRAY
run 0 --only S1 "$so"
says "WARN  S1"
says "5 bytes were written to a descriptor of the tool's"

echo "vc-plugin-test: $passed ok, $failed failed"
[ $failed -eq 0 ]
