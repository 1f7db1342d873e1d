#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs one test with a limit of time and judges it: automake's test driver for `make check`, and used by run-tests.sh.
#
# A test passes with exit status 0 and is skipped with 77.  Skipped cases inside a passing test (cmocka's and TAP's) count
# as skips too.  A skip that tests/expected-skips does not name is a failure, so that nothing stops being tested unseen.
set -u

name= log= trs=
while [ $# -gt 0 ]; do
    case $1 in
    --test-name) name=$2; shift 2 ;;
    --log-file) log=$2; shift 2 ;;
    --trs-file) trs=$2; shift 2 ;;
    --color-tests | --collect-skipped-logs | --expect-failure | --enable-hard-errors) shift 2 ;;
    --) shift; break ;;
    *) break ;;
    esac
done
if [ -z "$name" ] || [ -z "$log" ] || [ -z "$trs" ] || [ $# -eq 0 ]; then
    echo "usage: driver.sh --test-name NAME --log-file FILE --trs-file FILE [--] COMMAND..." >&2
    exit 2
fi
expected=$(dirname "$0")/expected-skips
# For what hangs: on a busy machine the longest take several times their two minutes.
limit=${VC_TEST_TIMEOUT:-900}

now_ms() { read -r up _ </proc/uptime; echo "${up%.*}${up#*.}0"; }

allowed() { awk -v n="$1" '$1 == n { found = 1 } END { exit !found }' "$expected"; }

# Print what was skipped, one name a line.
skips() {
    [ "$1" -ne 77 ] || echo "$name"
    sed -n 's/^\[  SKIPPED \] \([A-Za-z0-9_-]*\)\(:.*\)\{0,1\}$/\1/p
        s/^ok [0-9]* *-* *\(.*[^ ]\) *# *[Ss][Kk][Ii][Pp].*/\1/p' "$log" |
        grep -v '^[0-9]*$' | tr -c 'A-Za-z0-9_.\n-' '_' | sort -u | sed "s|^|$name:|"
}

begin=$(now_ms)
timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null
status=$?
took=$(($(now_ms) - begin))
took=$((took / 1000)).$(printf %02d $((took % 1000 / 10)))

result=PASS
skipped=$(skips $status)
bad=
for s in $skipped; do
    allowed "$s" || bad="$bad $s"
done
if [ $status -eq 124 ] || [ $status -eq 137 ]; then
    result=FAIL
    echo "driver: $name did not end within $limit seconds" >>"$log"
elif [ $status -ne 0 ] && [ $status -ne 77 ]; then
    result=FAIL
    echo "driver: $name ended with status $status" >>"$log"
elif [ -n "$bad" ]; then
    result=FAIL
    echo "driver: skipped, but not named in tests/expected-skips:$bad" >>"$log"
elif [ $status -eq 77 ]; then
    result=SKIP
fi

note=
[ -z "$skipped" ] || note=" (skipped: $(echo "$skipped" | tr '\n' ' ' | sed 's/ $//'))"
[ -z "$bad" ] || note=" (unexpected skip:$bad)"
# What went wrong is said at once: of a long output somewhere else, often only a part is left to read.
{
    echo "$result: $name $took s$note"
    if [ $result = FAIL ]; then
        grep -E '^(not ok|FAIL)' "$log" | head -n 15 | cut -c -400 | sed 's/^/  | /'
        tail -n 15 "$log" | cut -c -400 | sed 's/^/  > /'
    fi
} >"$trs.say"
cat "$trs.say"
rm -f "$trs.say"
recheck=no
[ $result = PASS ] || recheck=yes
{
    echo ":test-result: $result $name"
    echo ":global-test-result: $result"
    echo ":recheck: $recheck"
    echo ":copy-in-global-log: $recheck"
} >"$trs"
exit 0
