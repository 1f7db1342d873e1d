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

# A plugin that misbehaves as tool.c says; its path.
plugin() { # WORD
    mkdir -p "$work/$1/proxy"
    so=$work/$1/proxy/tool.so
    [ -f "$so" ] || ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -w -I"$top/sdk/include" -shared -fPIC "-DTOOL_$1" \
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
run 1 --only L8 "$work/open/proxy/tool.so"
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
run 2 --scenario "$work/none" "$fine"
run 2 --scenario-dir "$work/none" "$fine"
run 0 --help
run 0 --version
says "vc-plugin-test "

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
run 0 --list proxy/any
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
    if grep -sl '^vct-leftover' /proc/[0-9]*/cmdline | grep -q .; then bad "$1: a process is left"; else ok; fi
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
plugin SAVE_LEAVES_GROUP
run 1 --only S1 "$so"
says "CRASH S1"
for g in /sys/fs/cgroup/vct-leftover /sys/fs/cgroup/unified/vct-leftover; do
    [ ! -d $g ] && ok || bad "the control group $g is left"
done
plugin LEAVES_SOMEONE_AND_HANGS
# Interrupted, it takes everything down with it, and says so by its exit status.
"$tool" --only L12 --timeout 60 "$so" >"$work/out" 2>&1 &
pid=$!
i=0
until grep -sl '^vct-leftover' /proc/[0-9]*/cmdline | grep -q . || [ $i -ge 200 ]; do
    i=$((i + 1))
    sleep 0.05
done
[ $i -lt 200 ] && ok || bad "the plugin that is to be interrupted did not come up"
kill -TERM $pid
wait $pid
s=$?
[ $s -eq 143 ] && ok || bad "a tool that got SIGTERM ends with $s, not 143"
gone "interrupted"
# Killed, the kernel does it.
"$tool" --only L12 --timeout 60 "$so" >"$work/out" 2>&1 &
pid=$!
i=0
until grep -sl '^vct-leftover' /proc/[0-9]*/cmdline | grep -q . || [ $i -ge 200 ]; do
    i=$((i + 1))
    sleep 0.05
done
kill -KILL $pid
wait $pid 2>/dev/null
i=0
while grep -sl '^vct-leftover' /proc/[0-9]*/cmdline | grep -q . && [ $i -lt 100 ]; do
    i=$((i + 1))
    sleep 0.05
done
[ $i -lt 100 ] && ok || bad "the kernel did not end what a killed tool has left"

echo "vc-plugin-test: $passed ok, $failed failed"
[ $failed -eq 0 ]
