#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs tests one after the other (`make check-root`, `make check-vm`), one line each, then the logs of those that failed.
set -u

usage() { echo "usage: run-tests.sh SUITE TEST..., with srcdir, builddir and VC_BUILD_DIR in the environment" >&2; exit 2; }
[ $# -ge 1 ] || usage
suite=$1
shift
: "${srcdir:?run-tests.sh is run by make}" "${builddir:?run-tests.sh is run by make}"
if [ $# -eq 0 ]; then
    echo "$suite: there is no test to run: this build was configured without them" >&2
    exit 1
fi
here=$(cd "$(dirname "$0")" && pwd)
logs=$builddir/tests/log/$suite
rm -rf "$logs"
mkdir -p "$logs"
begin=$(date +%s)
pass=0 skip=0 failed=

for t in "$@"; do
    log=$logs/$(echo "$t" | tr / .).log
    trs=${log%.log}.trs
    if [ -x "$builddir/$t" ]; then
        prog=$builddir/$t
    elif [ -x "$srcdir/$t" ]; then
        prog=$srcdir/$t
    else
        echo "FAIL: $t does not exist or is not executable"
        echo "run-tests: $t is neither in the build nor in the source tree, or not executable" >"$log"
        failed="$failed $log"
        continue
    fi
    "$here/driver.sh" --test-name "$t" --log-file "$log" --trs-file "$trs" -- "$prog" || exit 2
    case $(sed -n 's/^:global-test-result: //p' "$trs") in
    PASS) pass=$((pass + 1)) ;;
    SKIP) skip=$((skip + 1)) ;;
    *) failed="$failed $log" ;;
    esac
done

n=0
for log in $failed; do
    n=$((n + 1))
    echo "---- $log (its last 200 lines)"
    tail -n 200 "$log"
done
echo "$suite: $pass passed, $skip skipped as expected, $n failed, in $(($(date +%s) - begin)) s; logs in $logs"
[ $n -eq 0 ]
