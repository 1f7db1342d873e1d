#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Completion in bash, zsh and fish themselves: lines are typed, or handed to fish, and what the shell makes of them is
# compared. That nothing is missing in the three scripts is checked here and in cli.sh.
. "$(dirname "$0")/../vm/lib.sh"
here=$(cd "$(dirname "$0")" && pwd)
printf 'hypervisor = "mock"; agent = "noop"; proxy = "noop"; shim = "noop"; network = "noop";\n' >>"$VCCORE_CONFIG"
mkdir "$work/here" "$work/here/rootfs" "$work/here/scripts"
cd "$work/here" || exit 99
: >"pod.json"
: >"one file"
make_rootfs "$work/rootfs"
for p in one two; do virtc pod create --name $p >/dev/null; done
for c in c1 c2; do virtc container create --name $c --rootfs "$work/rootfs" one -- true >/dev/null; done
virtc --root "$work/far" pod create --name far >/dev/null
sed "s|^run_root = .*|run_root = \"$work/far/run\";|; s|^state_root = .*|state_root = \"$work/far/state\";|" "$VCCORE_CONFIG" >"$work/far.conf"
chmod 644 "$work/far.conf"

# What is typed, "|", and all that is offered in its last word's place.
cat >"$work/cases" <<END
virtc po|pod pool
virtc pod sta|start status
virtc pod start |one two
virtc pod delete tw|two
virtc pod status one |
virtc container status one |c1 c2
virtc container status two |
virtc exec one c|c1 c2
virtc kill one c1 |
virtc attach -i one |c1 c2
virtc container stop --timeout 3 o|one
virtc container stop -T 3 one |c1 c2
virtc container stop --timeout=3 --json one |c1 c2
virtc --json --quiet pod an|annotate
virtc --set log_level=error pod an|annotate
virtc container create -e A=b -v /etc:/x:ro o|one
virtc container create --env=A=b=c --annotation k:l=v o|one
virtc pod create --hostname= --fr|--from
virtc --root $work/far pod status |far
virtc --root=$work/far pod status |far
virtc -c $work/far.conf -s log_level=error pod status |far
virtc -c$work/far.conf container list |far
virtc --config $work/none.conf pod status |
virtc pod create --fr|--from
virtc pod create --from pod|pod.json
virtc pod create --from=pod|--from=pod.json
virtc pod create --hostname |
virtc pod create --hostname x --fr|--from
virtc completion |bash fish zsh
virtc exec one c1 -- pod|pod.json
virtc nothing |
virtc pod nothing |
END
# Every command, and every option of each.
words() { "$@" --help | awk '/^Commands:/ { on = 1; next } !NF { on = 0 } on { print $1 }' | sort | tr '\n' ' ' | sed 's/ $//'; }
long() { "$@" --help | sed -n 's/^ \{2,6\}\(-.*\)/\1/p' | sed 's/  .*//' | grep -o -e '--[a-z][a-z-]*' | sort -u | grep -v '^--version$' | tr '\n' ' ' | sed 's/ $//'; }
echo "virtc |$(words virtc)" >>"$work/cases"
for g in $(words virtc); do
    subs=$(words virtc "$g")
    [ -z "$subs" ] || echo "virtc $g |$subs" >>"$work/cases"
    for s in ${subs:-.}; do
        c=$g
        [ "$s" = . ] || c="$g $s"
        # shellcheck disable=SC2086 # one word or two
        echo "virtc $c --|$(long virtc $c)" >>"$work/cases"
    done
done
cut -d'|' -f1 "$work/cases" >"$work/lines"

fish_says() { # LINES on standard input: what it offers for each, a line each
    fish -N -c 'source $argv[1]; while read -l line; echo (complete -C "$line" | string replace -r "\t.*" ""); end' "$1"
}
for shell in bash zsh fish; do
    case $shell in
    bash) script=$work/here/scripts/virtc installed=bash-completion/completions/virtc ;;
    zsh) script=$work/here/scripts/_virtc installed=zsh/site-functions/_virtc ;;
    fish) script=$work/here/scripts/virtc.fish installed=fish/vendor_completions.d/virtc.fish ;;
    esac
    virtc completion $shell >"$script"
    is "$shell: the script that is installed is the same" "$(cmp "$script" "$(find "$VC_STAGE" -path "*/share/$installed")" 2>&1)" ""
    if ! command -v $shell >/dev/null; then
        echo "ok 0 - completion in $shell # SKIP $shell is not installed"
        continue
    fi
    if [ $shell = fish ]; then
        fish_says "$script" <"$work/lines" >"$work/said" 2>"$work/err"
    else
        timeout 300 python3 "$here/type-in.py" $shell "$script" <"$work/lines" >"$work/said" 2>"$work/err"
    fi
    is "$shell: it runs" "$? $(cat "$work/err")" "0 "
    is "$shell: answers" "$(wc -l <"$work/said")" "$(wc -l <"$work/cases")"
    exec 4<"$work/said"
    while IFS='|' read -r line wanted; do
        IFS= read -r got <&4
        [ $shell = fish ] || got=${got#"${line% *} "}
        # (Where nothing is offered what was typed stands there still.)
        got=$(printf '%s' "$got" | tr ' ' '\n' | grep -v -e '^$' -e '^--version$' | sort -u | tr '\n' ' ' | sed 's/ $//')
        is "$shell: \"$line\"" "$got" "$(echo "$wanted" | tr ' ' '\n' | sort -u | tr '\n' ' ' | sed 's/^ //; s/ $//')"
    done <"$work/cases"
    exec 4<&-
    [ $shell != fish ] || continue
    # The key itself: a directory goes on, a name with a blank is one word.
    printf 'virtc pod create --rootfs root\t\nvirtc pod create --from one\t\n' |
        timeout 100 python3 "$here/type-in.py" $shell "$script" >"$work/said" 2>&1
    is "$shell: a directory, a blank" "$(sed 's/ $//' "$work/said")" 'virtc pod create --rootfs rootfs/
virtc pod create --from one\ file'
done
# Where a description is shown it is the help's.
if command -v fish >/dev/null; then
    is "fish: what a command is for" "$(fish -N -c 'source $argv[1]; complete -C "virtc at"' "$work/here/scripts/virtc.fish" | tr '\t' ':')" \
        "attach:$(virtc --help | sed -n 's/^  attach *//p')"
fi
cd /
for p in one two; do virtc pod delete $p >/dev/null; done
virtc --root "$work/far" pod delete far >/dev/null
nothing_left "at the end"
finish
