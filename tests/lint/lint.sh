#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Checks the rules of the source tree that a compiler does not: licence line, purpose comment, who may include whom,
# descriptors without CLOEXEC, banned functions, sizes, leftovers.  Exit status 1 when one is broken.
set -u
LC_ALL=C
export LC_ALL

top=${srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$top" || exit 2
waivers=tests/lint/waivers
bad=0
columns=160
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT

complain() { # rule file line text
    if awk -v r="$1" -v f="$2" '$1 == r && $2 == f { found = 1 } END { exit !found }' $waivers; then
        return
    fi
    echo "$2:$3: [$1] $4"
    bad=$((bad + 1))
}

# Every match of an awk program that prints "LINE TEXT", as complaints of one rule.
report() { # rule file
    while read -r line text; do
        complain "$1" "$2" "$line" "$text"
    done
}

# C without comments and with empty strings, line numbers kept.
strip_c() {
    awk '
    {
        out = ""; s = $0 "\n"; n = length(s)
        for (i = 1; i <= n; i++) {
            c = substr(s, i, 1); d = substr(s, i, 2)
            if (state == "comment") { if (d == "*/") { state = ""; i++ } }
            else if (state == "string") {
                if (c == "\\") i++
                else if (c == quote) { state = ""; out = out c }
                else if (c == "\n") state = ""
            }
            else if (d == "/*") { state = "comment"; i++; out = out " " }
            else if (d == "//") break
            else if (c == "\"" || c == "\x27") { state = "string"; quote = c; out = out c }
            else if (c != "\n") out = out c
        }
        print out
    }' "$1"
}

# ---- what every file has ------------------------------------------------------------------------

check_head() {
    head -n 2 "$1" | grep -q 'SPDX-License-Identifier: Apache-2\.0' ||
        complain spdx "$1" 1 "the first line must be: /* SPDX-License-Identifier: Apache-2.0 */"
}

check_purpose() {
    sed -n '2,12p' "$1" | tr '\n' ' ' | grep -Eq '/\*[ *]*[^ *]+ +[^ ]+ +[^ ]+' ||
        complain purpose "$1" 2 "one sentence on what the file is for must follow the SPDX line"
}

check_sizes() {
    local n
    n=$(wc -l <"$1")
    if [ "$n" -gt 1000 ] && ! head -n 30 "$1" | grep -qi 'long because'; then
        complain file-length "$1" 1 "$n lines: split it, or say 'long because ...' in the head comment"
    fi
    expand "$1" | awk -v max=$columns 'length($0) > max { print NR, "line of " length($0) " columns; " max " is the limit" }' |
        report_to columns "$1"
    awk '/^\{$/ { start = NR } /^\}/ && start { if (NR - start > 100)
        print start, "function of " NR - start " lines; split it"; start = 0 }' "$1" | report_to function-length "$1"
    grep -nP '\t' "$1" | sed 's/:.*/ tab: indent with spaces/' | report_to tabs "$1"
    grep -nE ' +$' "$1" | sed 's/:.*/ blank at the end of the line/' | report_to trailing-blank "$1"
}

# Like report, but a pipe's subshell cannot count: the complaints are gathered in a file.
report_to() { sed "s|^|$1 $2 |" >>"$tmp/found"; }

check_leftovers() {
    grep -nE '\b(TODO|FIXME|XXX|HACK)\b' "$1" | sed 's/:.*/ leftover mark: finish it or file an issue/' |
        report_to leftover "$1"
    grep -nE '(^|[" =:(])/(work|root|home)/[a-z]' "$1" | sed 's/:.*/ path of one machine/' | report_to machine-path "$1"
}

# ---- calls --------------------------------------------------------------------------------------

check_calls() { # file stripped
    awk '{
        line = $0
        while (match(line, /(^|[^A-Za-z0-9_.>])(system|popen|strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|alloca|creat|tmpnam|mktemp|tempnam) *\(/)) {
            w = substr(line, RSTART, RLENGTH); gsub(/[^a-z]/, "", w)
            print NR, "call of " w "(), which is banned"
            line = substr(line, RSTART + RLENGTH)
        }
    }' "$2" | report_to banned "$1"
    # Calls that make a descriptor must close it on exec; one statement at a time, as flags may be on the next line.
    awk '
    function check(st, line,   n, i, c, f, flag) {
        for (i = 1; i <= ncalls; i++) {
            c = calls[i]; split(c, f, "="); flag = f[2]
            if (st !~ "(^|[^A-Za-z0-9_.>])" f[1] " *\\(") continue
            # a definition or prototype of this name, not a call
            if (st ~ "(int|ssize_t|FILE \\*|void) *\\*?" f[1] " *\\(") continue
            if (flag == "NEVER") print line, f[1] "(): use the variant that sets CLOEXEC"
            # flags put together in a variable of that name, with the flag somewhere among them
            else if (st !~ flag && !(st ~ /[(, ]flags[,) |]/ && in_flags[flag])) print line, f[1] "() without " flag
        }
    }
    BEGIN {
        ncalls = split("open=O_CLOEXEC openat=O_CLOEXEC open64=O_CLOEXEC socket=SOCK_CLOEXEC socketpair=SOCK_CLOEXEC " \
            "accept=NEVER accept4=SOCK_CLOEXEC pipe=NEVER pipe2=O_CLOEXEC dup=NEVER dup3=O_CLOEXEC epoll_create=NEVER " \
            "epoll_create1=EPOLL_CLOEXEC memfd_create=MFD_CLOEXEC eventfd=EFD_CLOEXEC timerfd_create=TFD_CLOEXEC " \
            "signalfd=SFD_CLOEXEC inotify_init=NEVER inotify_init1=IN_CLOEXEC mkstemp=NEVER mkostemp=O_CLOEXEC " \
            "posix_openpt=O_CLOEXEC fanotify_init=FAN_CLOEXEC", calls, " ")
    }
    FNR == NR {
        if ($0 ~ /flags.*CLOEXEC/ && match($0, /[A-Z]+_CLOEXEC/))
            in_flags[substr($0, RSTART, RLENGTH)] = 1
        next
    }
    /^ *#/ { next }
    {
        rest = $0
        while ((p = match(rest, /[;{}]/)) > 0) {
            st = st " " substr(rest, 1, p - 1)
            if (st ~ /[^ ]/) check(st, first ? first : FNR)
            st = ""; first = 0; rest = substr(rest, p + 1)
        }
        if (rest ~ /[^ ]/ && !first) first = FNR
        st = st " " rest
    }' "$2" "$2" | report_to cloexec "$1"
    grep -nE '\bf(re)?open\([^;]*"[rwa]b?\+?b?"\)' "$1" | sed 's/:.*/ fopen without "e" (close on exec)/' | report_to cloexec "$1"
}

# ---- who may include whom -----------------------------------------------------------------------

# Set quoted (folders where "x.h" may lie), and angle (0 or 1 for <vc/>, then for <vccore/>).
rules_of() {
    case $1 in
    sdk/include/*) quoted="sdk/include/vc" angle=10 ;;
    sdk/lib/*) quoted="sdk/lib sdk" angle=10 ;;
    sdk/conformance/*) quoted="sdk/conformance sdk sdk/lib" angle=10 ;;
    sdk/*) quoted="$(dirname "$1") sdk sdk/lib" angle=10 ;;
    core/src/*) quoted="core/src sdk sdk/lib" angle=11 ;;
    core/include/*) quoted="core/include/vccore" angle=01 ;;
    core/*) quoted=$(echo "$1" | cut -d/ -f1-2) angle=01 ;;
    plugins/agent/*/guest/*) quoted="$(echo "$1" | cut -d/ -f1-4) $(echo "$1" | cut -d/ -f1-3)/proto sdk sdk/lib" angle=00 ;;
    plugins/*) quoted="$(echo "$1" | cut -d/ -f1-3) $(echo "$1" | cut -d/ -f1-3)/proto sdk sdk/lib" angle=10 ;;
    *) quoted= angle= ;;
    esac
}

check_includes() {
    local f=$1 line kind name d ok
    rules_of "$f"
    [ -n "$angle" ] || return 0
    grep -nE '^ *# *include' "$f" | sed -E 's/^([0-9]+): *# *include *([<"])([^>"]*)[>"].*/\1 \2 \3/' >"$tmp/inc"
    while read -r line kind name; do
        if [ "$kind" = '<' ]; then
            case $name in
            vc/*) [ "${angle%?}" = 1 ] || complain include "$f" "$line" "this folder must not include <$name>" ;;
            vccore/*) [ "${angle#?}" = 1 ] || complain include "$f" "$line" "this folder must not include <$name>" ;;
            esac
            continue
        fi
        ok=no
        case $name in
        *..*) ;;
        config.h | *.pb-c.h) ok=yes ;; # made in the build tree
        *)
            for d in "$(dirname "$f")" $quoted; do
                [ -f "$d/$name" ] && ok=yes
            done
            ;;
        esac
        [ $ok = yes ] || complain include "$f" "$line" "\"$name\" is not of this folder nor of one it may use ($quoted)"
    done <"$tmp/inc"
    case $f in
    sdk/include/*)
        grep -nE '^ *# *include *<' "$f" | grep -vE '<(std(int|def|arg|bool)|limits|inttypes)\.h>|<vc/' |
            sed 's/:.*/ the contract may include C headers only/' | report_to include "$f"
        ;;
    esac
}

# ---- run ----------------------------------------------------------------------------------------

: >"$tmp/found"
find sdk core plugins tests -name '*.[ch]' ! -name '*.pb-c.[ch]' -type f | sort >"$tmp/files"
n=$(wc -l <"$tmp/files")
[ "$n" -gt 0 ] || { echo "lint: no source file below $top"; exit 1; }
while read -r f <&3; do
    check_head "$f"
    check_purpose "$f"
    check_sizes "$f"
    check_leftovers "$f"
    check_includes "$f"
    case $f in
    tests/*) ;;
    *)
        strip_c "$f" >"$tmp/stripped"
        check_calls "$f" "$tmp/stripped"
        ;;
    esac
done 3<"$tmp/files"

find . -path ./.git -prune -o -path './_build*' -prune -o \( -name '*.am' -o -name '*.sh' -o -name '*.ac' -o -name '*.proto' \
    -o -path ./bootstrap -o -path ./.ci/run \) -type f -print | grep -vE '/(autom4te|build-aux)|^\./lib.*-[0-9.]+/' | sed 's|^\./||' | sort >"$tmp/scripts"
while read -r f <&3; do
    head -n 3 "$f" | grep -q 'SPDX-License-Identifier: Apache-2\.0' || complain spdx "$f" 1 "the SPDX line is missing"
    [ "$f" = tests/lint/lint.sh ] || check_leftovers "$f"
done 3<"$tmp/scripts"

while read -r rule file line text <&3; do
    complain "$rule" "$file" "$line" "$text"
done 3<"$tmp/found"

# A waiver for a file that is gone would hide the next one of that name.
while read -r rule file why; do
    case $rule in '' | '#'*) continue ;; esac
    [ -f "$file" ] || { echo "$waivers: '$rule $file': there is no such file"; bad=$((bad + 1)); }
    [ -n "$why" ] || { echo "$waivers: '$rule $file': the reason is missing"; bad=$((bad + 1)); }
done <$waivers

echo "lint: $n files, $bad complaints"
[ $bad -eq 0 ]
