#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The self-test of vc-plugin-test: every check must find the plugin that breaks just its rule, and say so; the models that
# these are made of must pass all checks; every check must have such a plugin.
#
#   run.sh [CHECK|kind]...     all, or what concerns these checks; "models": the models only
#
# The files list-*.txt have a line for each broken plugin:
#   CHECK MODEL [WORD]... | a part of the message
# Words: the macro to define (BAD_CHECK when there is none), WARN (a warning is what is expected), options of the tool that
# begin with -- (@here@ in one is this directory), and the words of build.sh.
set -u
LC_ALL=C
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
tool=${VCT:-${builddir:?run by make check, or set VCT to the path of the tool}/sdk/conformance/vc-plugin-test}
scenarios=$top/sdk/conformance/scenarios

# The peers that the models of a kind talk to.
world() { # KIND
    printf -- '--scenario-dir=%s' "$scenarios"
    [ ! -f "$scenarios/$1-model.scn" ] || printf -- ' --scenario=%s' "$scenarios/$1-model.scn"
}

# One line of a list: build the plugin, run the check, judge.
one() { # LINE
    one_line=$1
    begin=$(date +%s%N)
    one_words=$(echo "${1%%|*}" | sed "s|@here@|$here|g")
    one_text=$(echo "${1#*|}" | sed 's/^ *//; s/ *$//')
    # shellcheck disable=SC2086
    set -- $one_words
    check=$1 model=$2
    shift 2
    define=BAD_$check expect='FAIL|CRASH|HANG|LEAK' exit_wanted=1 options= words=
    for w in "$@"; do
        case $w in
        BAD_*) define=$w ;;
        WARN) expect=WARN exit_wanted=0 ;;
        --*@here@*) options="$options ${w%%@here@*}$here${w#*@here@}" ;;
        --*) options="$options $w" ;;
        *) words="$words $w" ;;
        esac
    done
    name=$(echo "$define" | tr '[:upper:]_' '[:lower:]-')
    base=$work/$check.$model.$name # of its own: another kind may have a plugin of that name for the same check
    title="$check finds $define in the $model model"
    # shellcheck disable=SC2086
    if ! sh "$here/build.sh" "$base" "$model" "$name" $define $words >"$base.log" 2>&1; then
        echo "not ok - $title: it cannot be built"
        cat "$base.log"
        return
    fi
    status=0
    # shellcheck disable=SC2086
    "$tool" --tap -j1 --timeout=10 $(world "${model%%-*}") --only="$check" $options \
        "$base/${model%%-*}/$name.so" >"$base.out" 2>&1 || status=$?
    seen=$(sed -n 's/^#   \([A-Z]*\), rule .*/\1/p' "$base.out" | head -n 1)
    why=
    [ $status -eq $exit_wanted ] || { [ $status -eq 3 ] && [ $exit_wanted -eq 1 ]; } || why="exit status $status, not $exit_wanted"
    echo "$seen" | grep -Eqx "$expect" || why="${seen:-no finding} where $expect was due"
    grep -Fq -e "$one_text" "$base.out" || why="${why:+$why, and }the message has no \"$one_text\""
    # Some checks need root, and without taps a network plugin does not come far.
    rootless=no
    if [ "$(id -u)" -ne 0 ]; then
        [ $status -eq 77 ] && rootless=yes
        [ "$model" = network ] && [ ! -w /dev/net/tun ] && [ $status -eq 0 ] && rootless=yes
    fi
    if [ $rootless = yes ]; then
        echo "skip - $title"
    elif [ -z "$why" ]; then
        echo "ok - $title ($((($(date +%s%N) - begin) / 1000000)) ms)"
    else
        echo "not ok - $title: $why"
        sed 's/^/    /' "$base.out"
        printf '%s\n' "$one_line" >>"$work/again"
    fi
}

# A model must pass everything; those that another one is made of for the groups I and S have to pass these.
model() { # MODEL
    groups=
    case $1 in
    *-is) groups=--only=I,S ;;
    esac
    sh "$here/build.sh" "$work/models" "$1" "model-$1" || { echo "not ok - the $1 model cannot be built"; return; }
    # shellcheck disable=SC2046,SC2086
    if "$tool" -j2 $groups --color=never $(world "${1%%-*}") "$work/models/${1%%-*}/model-$1.so" >"$work/model-$1.out" 2>&1; then
        echo "ok - the $1 model passes: $(tail -n 1 "$work/model-$1.out")"
    else
        echo "not ok - the $1 model has findings"
        sed 's/^/    /' "$work/model-$1.out"
        echo "model:$1" >>"$work/again"
    fi
}

case ${1:-} in
--one)
    work=$VCT_SELF_WORK
    case $2 in
    model:*) model "${2#model:}" ;;
    *) one "$2" ;;
    esac >"$work/result.$$"
    cat "$work/result.$$" # in one piece: two of these run at once
    rm -f "$work/result.$$"
    exit 0
    ;;
esac

work=$(mktemp -d "${TMPDIR:-/tmp}/vct-self.XXXXXX") || exit 2
VCT_SELF_WORK=$work
export VCT_SELF_WORK
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

# Outside of a build tree the helper library is made here.
VCSDK_LIB=${VCSDK_LIB:-${builddir:-/nonexistent}/sdk/lib/libvcsdk.a}
if [ ! -f "$VCSDK_LIB" ]; then
    VCSDK_LIB=$work/libvcsdk.a
    for m in buf io plug proc tree ttrpc utf8 yamux; do
        ${CC:-cc} -std=gnu11 -O1 -w -fPIC -fvisibility=hidden -D_GNU_SOURCE -I"$top/sdk/include" -I"$top/sdk" \
            -c -o "$work/$m.o" "$top/sdk/lib/$m.c" || exit 2
    done
    ar rc "$VCSDK_LIB" "$work"/*.o || exit 2
fi
export VCSDK_LIB

cat "$here"/list-*.txt 2>/dev/null | sed 's/^[ \t]*//' | grep -v -e '^#' -e '^$' >"$work/all"
for m in "$here"/model-*.c; do
    m=${m##*/model-}
    echo "model:${m%.c}"
done >"$work/models.list"
if [ $# -gt 0 ]; then
    for w in "$@"; do
        [ "$w" = models ] && cat "$work/models.list"
        awk -v w="$w" '$1 == w || $2 == w' "$work/all"
    done >"$work/jobs"
else
    cat "$work/models.list" "$work/all" >"$work/jobs"
fi
[ -s "$work/jobs" ] || { echo "run.sh: nothing fits: $*" >&2; exit 2; }

# Most of the time of most of them is waiting, so that more run at once than there are processors.  (Appended to: where it is
# not, two cats that copy inside the kernel at the same time may overwrite each other.)
xargs -d '\n' -n 1 -P "${VCT_SELF_JOBS:-5}" sh "$0" --one <"$work/jobs" >>"$work/results"
grep -v '^ok ' "$work/results"
# Some of what breaks a rule shows only when things happen in a certain order, which a machine that is busy with other tests
# may not let happen: those that failed are run once more, alone, and that is said.  (When it is more than a few, it is not
# the machine.)
if [ -f "$work/again" ] && [ "$(wc -l <"$work/again")" -le 12 ]; then
    mv "$work/again" "$work/second"
    echo "once more, alone:"
    xargs -d '\n' -n 1 sh "$0" --one <"$work/second" >"$work/results2"
    cat "$work/results2"
    { grep -E '^(ok|skip) ' "$work/results"; cat "$work/results2"; } >"$work/results.new"
    mv "$work/results.new" "$work/results"
fi
failed=$(grep -c '^not ok' "$work/results")
passed=$(grep -c '^ok ' "$work/results")
said=$(grep -c -E '^(ok|not ok|skip) - ' "$work/results")
[ "$said" -eq "$(wc -l <"$work/jobs")" ] || { echo "not ok - $said of $(wc -l <"$work/jobs") plugins have a result"; failed=$((failed + 1)); }

if [ $# -eq 0 ]; then
    "$tool" --list | awk '/^  / { print $1 }' | sort -u >"$work/checks"
    awk '{ print $1 }' "$work/all" | sort -u >"$work/listed"
    for c in $(comm -23 "$work/checks" "$work/listed"); do
        echo "not ok - $c has no plugin that breaks it"
        failed=$((failed + 1))
    done
    for c in $(comm -13 "$work/checks" "$work/listed"); do
        echo "not ok - a list names $c, which is no check"
        failed=$((failed + 1))
    done
fi
sed -n 's/^ok - \(.*\) (\([0-9]*\) ms)$/\2 ms: \1/p' "$work/results" | sort -rn | head -n 5
echo "self-test: $passed as they should be, $failed not, $(grep -c '^skip' "$work/results") for root only; $(wc -l <"$work/jobs") plugins"
[ "$failed" -eq 0 ]
