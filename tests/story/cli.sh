#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The command line itself, with backends that need no VM: help of every command, exit codes, tables, --json.
. "$(dirname "$0")/../vm/lib.sh"
root=$work/rootfs
make_rootfs "$root"
json=$VC_BUILD_DIR/tests/fakes/json-check
cp "$VCCORE_CONFIG" "$work/mock.conf"
template_dir=$work/templates
sed -i "s|^template_dir = .*|template_dir = \"$template_dir\";|" "$work/mock.conf"
printf 'hypervisor = "mock"; agent = "noop"; proxy = "noop"; shim = "noop"; network = "noop";\n' >>"$work/mock.conf"
m="virtc --config $work/mock.conf"

# Help.
commands="run
exec
attach
ps
kill
wait
stats
events
logs
pod create
pod run
pod start
pod enter
pod pause
pod resume
pod annotate
pod stop
pod delete
pod status
pod list
container create
container start
container exec
container enter
container attach
container resize
container kill
container wait
container pause
container resume
container ps
container stats
container update
container annotate
container stop
container delete
container status
container list
template create
template list
template show
template delete
template gc
pool fill
pool status
pool drain
plugin list
plugin help
config check
config show
completion
gc"
# This list is complete.
is "all commands, as virtc names them" "$(for c in $(virtc --help | awk '/^Commands:/ { on = 1; next } !NF { on = 0 } on { print $1 }'); do
    subs=$(virtc $c --help | awk '/^Commands:/ { on = 1; next } !NF { on = 0 } on { print $1 }')
    [ -n "$subs" ] && echo "$subs" | sed "s/^/$c /" || echo "$c"
done | sort)" "$(echo "$commands" | sort)"
echo "$commands" | while read -r c; do
    status=0
    out=$(virtc $c --help 2>"$work/err") || status=$?
    is "virtc $c --help: exit code" "$status" 0
    is "virtc $c --help: nothing on standard error" "$(cat "$work/err")" ""
    has "virtc $c --help: how to call it" "$out" "Usage: virtc $c"
    [ "$(echo "$out" | wc -l)" -ge 5 ] && ok "virtc $c --help: teaches" || bad "virtc $c --help: too short: $out"
    # Every option that the short usage knows is described, and every group of options has its heading and options.
    for o in $(virtc $c --usage | grep -o -e '--[a-z][a-z-]*' | sort -u); do
        case $out in *" $o"*) ;; *) bad "virtc $c --help: $o is not described" ;; esac
    done
    echo "$out" | awk '/^ [A-Z].*:$/ { heading = $0; next } heading != "" && NF { if (!/^  *-/) bad = heading; heading = "" }
        END { if (bad != "") print "no option under " bad }' >"$work/groups"
    is "virtc $c --help: each heading has options" "$(cat "$work/groups")" ""
    [ "$failures" -eq 0 ] || echo "$failures" >"$work/help-failed"
done
is "help of all commands" "$(cat "$work/help-failed" 2>/dev/null)" ""
for g in "" pod container template pool plugin config; do
    out=$(virtc $g --help 2>&1)
    is "virtc $g --help: exit code" $? 0
    echo "$commands" | while read -r a b; do
        [ "${b:+$a}" = "$g" ] || [ -z "$g" ] || continue
        word=${g:+$b}
        case $out in *"  ${word:-$a}"*) ;; *) echo "${word:-$a}" ;; esac
    done >"$work/missing"
    is "virtc $g --help: names its commands" "$(cat "$work/missing")" ""
done
has "run --help: an option of each kind" "$(virtc run --help)" "--readonly"
has "version" "$(virtc --version)" "virtc (libvccore) "

# Called wrongly.
code() { # WHAT CODE COMMAND...
    c_what=$1 c_code=$2 c_status=0
    shift 2
    "$@" >"$work/o" 2>"$work/e" </dev/null || c_status=$?
    is "$c_what: exit code" "$c_status" "$c_code"
    is "$c_what: nothing on standard output" "$(cat "$work/o")" ""
    [ -s "$work/e" ] && ok "$c_what: says so" || bad "$c_what: says nothing"
}
code "no command" 2 virtc
code "no such command" 2 virtc pods
code "no such subcommand" 2 virtc pod make
code "half a command" 2 virtc pod
code "an option that does not exist" 2 virtc pod create --nosuch
code "a word too many" 2 $m pod list surplus
code "no pod named" 2 virtc pod start
code "no container named" 2 virtc container delete mypod
code "no pod named: container start" 2 virtc container start
code "pod delete: two pods" 2 virtc pod delete one two
code "pod create: a word that is no option" 2 virtc pod create mypod
code "pod create: an annotation that is none" 2 virtc pod create --annotation word
code "pod create: an option of nobody" 2 virtc pod create --option kernel=/x
code "pod create: a volume without a directory" 2 virtc pod create --volume tag
code "pod run: a bind without a place" 2 virtc pod run --bind /etc -- true
code "container create: a relative bind" 2 virtc container create -v etc:/etc p -- true
code "container create: a mount without a place" 2 virtc container create --mount type=tmpfs p -- true
code "container create: a mount of nothing" 2 virtc container create --mount dst=/x p -- true
code "container create: a relative device" 2 virtc container create --device null p -- true
code "container create: a device with more than a place" 2 virtc container create --device /dev/null:/dev/x:rwm p -- true
code "container create: a quota that is none" 2 virtc container create --cpu-quota 5 p -- true
code "container create: no command" 2 virtc container create p
code "pod annotate: to see and to set" 2 $m pod annotate p a=b c
code "pod annotate: no pod" 2 virtc pod annotate
code "container annotate: no container" 2 virtc container annotate p
code "ps: a format that is none" 2 virtc ps --format xml p
code "ps: no pod" 2 virtc ps
code "stats: an interval that is none" 2 virtc stats --interval 0 p
code "events: of no pod until it stops" 2 $m events --until-stopped
code "events: a word too many" 2 virtc events a b c
code "logs: no pod" 2 virtc logs
code "logs: a number of lines that is none" 2 virtc logs --lines all p
code "attach: no pod" 125 virtc attach
code "attach: a pod that does not exist" 125 $m attach nothing
code "exec: a pod that does not exist" 125 $m exec nothing -- true
code "pod enter: no command" 125 virtc pod enter p
code "kill: a signal that is none" 2 $m kill -s NOSUCH p c
code "resize: no terminal here" 2 $m container resize p c
code "resize: a size that is none" 2 virtc container resize --rows 0 p c
code "completion: for no shell" 2 virtc completion
code "completion: for a shell that is not known" 2 virtc completion csh
code "--root: no directory" 2 virtc --root "" pod list
code "--config: no file" 2 virtc --config "" pod list
has "--config: no file: its sentence" "$(cat "$work/e")" "--config wants a file"
code "--config: no file, the short way" 2 virtc -c "" pod list
for c in "pod create" "pod run" "container create p" "container update p c"; do
    refuses "$c: no document" 1 "--from wants a file" $m $c --from ""
done
refuses "run: no document" 125 "--from wants a file" $m run --from "" -- true
refuses "exec: no document" 125 "--from wants a file" $m exec --from "" p c
code "no plugin named" 2 virtc plugin help
code "a size that is none" 2 virtc pod create --memory lots
code "a log level that is none" 2 virtc --log-level loud pod list
code "run: an option that does not exist" 125 virtc run --nosuch
code "run: no command" 125 virtc run --rootfs "$root"
code "exec: an option that does not exist" 125 virtc container exec --nosuch p c -- true
code "exec: no command" 125 virtc container exec p c
code "a template mode that does not exist" 2 virtc pod create --template always
code "run: a template mode that does not exist" 125 virtc run --template always --rootfs "$root" -- true
code "no template named" 2 virtc template delete
code "a word too many: template create" 2 $m template create surplus
code "a word too many: pool drain" 2 $m pool drain surplus
code "a number of VMs that is none" 2 $m pool fill many
code "a number of VMs that is too small" 2 $m pool fill 0
code "a pod that does not exist" 1 $m pod status nothing
code "a plugin that does not exist" 1 virtc plugin help nothing
code "a word too many: events" 2 $m events p c
refuses "kill: two signals" 2 "which signal, HUP or TERM" $m kill --signal HUP p c TERM
refuses "kill: one process, and all" 1 'either process "x" or all of container "c"' $m kill --all --exec x p c
refuses "stats: a time without a stream" 2 "--interval goes with --stream" $m stats --interval 5
refuses "the sentence of a wrong call" 2 "there is no command \"pods\"" virtc pods

# A terminal ends no input: what a pipe or a file says would never end for the command.
refuses "-it with a standard input that is no terminal" 125 "not a terminal" virtc run -it --rootfs "$root" -- cat
refuses "exec -it likewise" 125 "not a terminal" virtc container exec -it p c -- cat
refuses "exec -t with a file" 125 "$root/etc/keep is not a terminal" virtc container exec -t --stdin "$root/etc/keep" p c -- cat
mkdir "$work/empty"
in_empty() { (cd "$work/empty" && "$@"); }
refuses "run: no rootfs here" 125 "--rootfs" in_empty $m run -- true
refuses "container create: no rootfs here" 1 "--rootfs" in_empty $m container create p -- true

# Output that cannot be written, a reader that is gone.
for c in "--help" "--version" "run --help" "pod --help" "pod list" "--json pod list" "config show" "plugin help qemu"; do
    refuses "$c to a full disk" 1 "cannot write to standard output: No space left on device" sh -c "$m $c >/dev/full"
done
{ $m plugin help qemu; echo $? >"$work/status"; } | :
case $(cat "$work/status") in 0 | 141) ok "a reader that is gone" ;; *) bad "a reader that is gone: $(cat "$work/status")" ;; esac

# Templates and the pool.
now_ms() { echo $(($(date +%s%N) / 1000000)); }
made() { find "$work/templates" -mindepth 1 -maxdepth 1 ! -name '*.lock' -printf '%f\n' 2>/dev/null | sort | tr '\n' ' '; }
is "template list, empty" "$($m template list)" "TEMPLATE ID  HYPERVISOR  AGE  DISK  MEMORY  PODS  STATE"
is "template list, empty: makes nothing" "$(made)" ""
refuses "template show: none yet" 1 "virtc template create" $m template show
refuses "template show: an id nobody has" 1 'no template "abc", nor one whose id begins so' $m template show abc
refuses "template delete: an id nobody has" 1 '"abc"' $m template delete abc
refuses "template delete: a path" 1 "id" $m template delete ../../etc
refuses "pod create --template require: none yet" 1 "virtc template create" $m pod create --template require
is "pod create --template off" "$($m pod create --template off --name off)" off
is "it made no template" "$(made)" ""
id=$($m template create 2>"$work/e")
is "template create" "$? $(echo "$id" | grep -cE '^[0-9a-f]{32}$')" "0 1"
is "it says so while it is made" "$(grep -c '^virtc: .*template' "$work/e") $(wc -l <"$work/e")" "1 1"
is "template create: it is there" "$($m template create 2>&1)" "$id"
is "its directory" "$(made)" "$id "
is "its mode" "$(find "$work/templates" \( -type d ! -perm 0700 -o -type f ! -perm 0600 \) -print)" ""
is "template list" "$($m template list | awk 'NR > 1 { print $1, $2, $NF }')" "$id mock current"
out=$($m template show)
has "template show: its id" "$out" "template    $id"
has "template show: state" "$out" "current"
has "template show: age" "$out" " ago, in "
has "template show: directory" "$out" "$work/templates/$id"
has "template show: what shaped it" "$out" "shaped by"
is "template show ID" "$($m template show "$id" | grep -v ^made)" "$(echo "$out" | grep -v ^made)"
is "template show: the beginning of the id" "$($m template show "$(echo "$id" | cut -c 1-6)" | head -n 1)" "template    $id"
is "pod create --template require" "$($m pod create --template require --name from 2>&1)" from
is "pods that run from it" "$($m template list | awk 'NR > 1 { print $(NF - 1) }')" 1
refuses "template delete while a pod runs from it" 1 "in use by 1 pod" $m template delete "$id"
$m pod delete --force from >/dev/null
$m pod delete --force off >/dev/null
again=$($m template create --force 2>"$work/e")
is "template create --force: the same id" "$again" "$id"
has "template create --force: made anew" "$(cat "$work/e")" template
is "template delete: the beginning of the id" "$($m template delete "$(echo "$id" | cut -c 1-6)")" "$id"
is "it is gone" "$(made)" ""
is "template gc" "$($m template gc)" "nothing to remove"
# Of seventeen ids, two begin with the same digit.
for i in $(seq 17); do
    : >"$work/image$i"
    $m -s hypervisor_mock.image="$work/image$i" template create >/dev/null 2>&1
done
first=$($m template list | awk 'NR > 1 { print substr($1, 1, 1) }' | sort | uniq -d | head -n 1)
refuses "template show: an id cut too short" 1 "templates begin with \"$first\"" $m template show "$first"
refuses "template delete: an id cut too short" 1 "templates begin with \"$first\"" $m template delete "$first"
is "that removed none" "$($m template list | awk 'END { print NR - 1 }')" 17
for i in $($m template list | awk 'NR > 1 { print $1 }'); do
    $m template delete "$i" >/dev/null
done
is "the templates are gone" "$(made)" ""

is "pool status, empty" "$($m pool status)" "VM ID  PID  AGE  TEMPLATE ID  STATE"
is "pool drain, empty" "$($m pool drain)" 0
is "pool fill: as configured" "$($m pool fill 2>&1)" 0
is "pool fill: how many were added; the template first" "$($m pool fill 2 2>"$work/e") $(grep -c template "$work/e")" "2 1"
is "pool fill: up to so many" "$($m pool fill 3 2>&1)" 1
is "pool status" "$($m pool status | awk -v t="$id" 'NR > 1 { print ($(NF - 1) == t), $NF }' | sort | uniq -c | tr -s ' ')" " 3 1 waits"
is "pool: template list counts them" "$($m template list | awk 'NR > 1 { print $(NF - 1) }')" 3
is "pool: a pod" "$($m pod create --name pooled 2>&1)" pooled
is "pool: it took one" "$($m pool status | awk 'NR > 1' | wc -l)" 2
$m pod start pooled >/dev/null
is "pool: pod start" $? 0
$m pod delete --force pooled >/dev/null
is "pool drain" "$($m pool drain)" 2
nothing_left "templates and the pool"

# With --json there is no line. A hypervisor without guests wins nothing by a template: no pod makes one by itself.
is "--json: no line" "$($m --json template create --force 2>&1 >/dev/null)" ""
$m template delete "$id" >/dev/null
is "a pod without a guest" "$($m pod create --name first 2>&1)" first
is "it made no template" "$(made)" ""
$m pod delete --force first >/dev/null
nothing_left "a pod without a guest"
$m template create >/dev/null 2>&1

# Tables.
is "pod list, empty" "$($m pod list)" "POD ID  STATE  HYPERVISOR  AGENT  AGE"
is "pod create" "$($m pod create --name one)" one
is "container create" "$($m container create --name c1 --rootfs "$root" one -- true)" c1
is "container list" "$($m container list one | tr -s ' ' | sed 's/ *$//; s/ [0-9]* s / N s /')" "$(printf 'CONTAINER ID STATE PID EXIT AGE ROOTFS\nc1 ready - - N s %s' "$root")"
has "pod status" "$($m pod status one)" "c1"
$m pod create --name two >/dev/null
$m pod start two >/dev/null
is "pod list" "$($m pod list | tr -s ' ' | sed 's/ *$//; s/ [0-9]* s$/ N s/')" "$(printf 'POD ID STATE HYPERVISOR AGENT AGE\none ready mock noop N s\ntwo running mock noop N s')"
is "pod list: its columns are aligned" "$($m pod list | awk '{ print index($0, NR == 1 ? "STATE" : NR == 2 ? "ready" : "running"), index($0, NR == 1 ? "AGENT" : "noop") }' | sort -u | wc -l)" 1
is "--no-headers" "$($m --no-headers pod list | wc -l) $($m pod list --no-headers | wc -l)" "2 2"
is "--quiet" "$($m --quiet pod list | tr '\n' ' ')$($m pod list --quiet | tr '\n' ' ')$($m -q container list one)" "one two one two c1"
is "--quiet: plugins" "$($m -q plugin list shim | grep -c '^shim/vc$')" 1
is "--quiet --json is JSON" "$($m -q --json pod list | cut -c 1-2)" "[{"
is "a made id" "$($m pod create | grep -cE '^[0-9a-f]{12}$')" 1

# JSON: one value and a newline, results and errors alike.
j() { # WHAT PATH WANTED COMMAND...
    j_what=$1 j_path=$2 j_want=$3
    shift 3
    j_got=$("$@" 2>&1 </dev/null | "$json" ${j_path:+"$j_path"} 2>&1)
    is "json: $j_what" "$j_got" "$j_want"
}
mj="$m --json"
j "pod list" "#" 3 $mj pod list
j "pod list: an id" 1.id one $mj pod list
for key in id state hypervisor agent proxy shim network hostname reason created_ns vmm_pid template_id from_pool containers annotations; do
    $mj pod status one | "$json" $key >/dev/null && ok "json: pod status has $key" || bad "json: pod status has no $key"
done
j "pod status: containers" containers.0.id c1 $mj pod status one
j "container list" 0.rootfs "$root" $mj container list one
j "container status" state ready $mj container status one c1
is "json: the same container in both commands" "$($mj container status one c1 | tr ',' '\n' | tr -d '{}[]' | sort)" \
    "$($mj pod status one | sed 's/.*"containers":\[//; s/}\],.*/}/' | tr ',' '\n' | tr -d '{}[]' | sort)"
j "container create" "" "" $mj container create --name 'c2' --rootfs "$root" one -- true
j "pod create" "" "" $mj pod create --name three
j "pod start" "" "" $mj pod start three
j "pod stop" "" "" $mj pod stop three
j "pod delete" "" "" $mj pod delete three
j "container delete" "" "" $mj container delete one c2
j "template create" id "$id" $mj template create
j "template list" "#" 1 $mj template list
j "template list: its id" 0.id "$id" $mj template list
for key in id current hypervisor agent path key created_ns made_in_ns disk memory pods; do
    $mj template show | "$json" $key >/dev/null && ok "json: template show has $key" || bad "json: template show has no $key"
done
j "template show" id "$id" $mj template show
j "template gc" removed 0 $mj template gc
j "template delete" error.code busy $mj template delete "$id"
j "pool fill" added 2 $mj pool fill 2
j "pool status" "#" 2 $mj pool status
for key in id vmm_pid template_id created_ns; do
    $mj pool status | "$json" 0.$key >/dev/null && ok "json: pool status has $key" || bad "json: pool status has no $key"
done
j "pool status: template" 1.template_id "$id" $mj pool status
j "pool drain" ended 2 $mj pool drain
j "template delete: an id nobody has" error.code not-found $mj template delete 00000000000000000000000000000000
j "plugin list: kind" 0.kind hypervisor $mj plugin list
j "plugin list: of one kind" "#" 2 $mj plugin list agent
j "plugin help" "" "" $mj plugin help qemu
j "plugin help: of a kind" "" "" $mj plugin help agent/noop
j "config show" hypervisor mock $mj config show
j "config check" ok true $mj config check
j "gc" removed 0 $mj gc
j "error: its code" error.code not-found $mj pod status nothing
j "error: a wrong command" error.code usage $mj pods
j "error: a bad id" error.code invalid $mj pod create --name "../x"
printf 'hypervisr = 1;\n' >"$work/bad.conf"
j "error: a bad configuration" error.code config virtc --config "$work/bad.conf" --json pod list

j "error: wrong arguments of argp" error.code usage $mj pod create --nosuch
j "error: a wrong value" error.message '--memory wants a size such as 512M, not "lots"' $mj pod create --memory lots
j "error: --config without a file" error.code usage virtc --json --config= pod list
j "error: --json behind the command" error.code usage $m pod list --json surplus
j "error: no command" error.code usage $mj
j "error: half a command" error.code usage $mj pod
j "error: an option without its value" error.code usage $mj --config
j "error: a signal that is none" error.code usage $mj kill -s NOSUCH one c1
is "error: exit code" "$($mj pod create --nosuch >/dev/null 2>&1; echo $?)$($mj run --nosuch >/dev/null 2>&1; echo $?)" 2125
j "--json behind the command" state ready $m pod status one --json
j "pod annotate: set" id one $mj pod annotate one note=x empty=
j "pod annotate: all" note x $mj pod annotate one
j "container annotate" "" "" $mj container annotate one c1
j "stats of all: none run that have any" "#" 0 $mj stats
j "pod pause" id two $mj pod pause two
j "pod resume" id two $mj pod resume two

# One word less where a pod has one container.
is "container status: the only one" "$($mj container status one)" "$($mj container status one c1)"
$m container create --name c3 --rootfs "$root" one -- true >/dev/null
refuses "which of two" 1 'pod "one" has 2 containers; say which: c1, c3' $m container status one
refuses "exec: which of two" 125 'has 2 containers; say which' $m exec one -- true
refuses "which of none" 1 'pod "two" has no container' $m container status two
$m container delete one c3 >/dev/null

# Annotations: what a pod carries and can be given.
is "pod annotate: all" "$($m pod annotate one | tr '\n' ' ')" "note=x empty= "
is "pod annotate: one" "$($m pod annotate one note)" x
refuses "pod annotate: none such" 1 "nosuch" $m pod annotate one nosuch
$m container create --name noted --rootfs "$root" --annotation k=v=w one -- true >/dev/null
is "container annotate" "$($m container annotate one noted) $($m container annotate one noted k)" "k=v=w v=w"
$m container delete one noted >/dev/null

# Pause and resume.
is "pod pause" "$($m pod pause two) $($m --no-headers pod list | awk '$1 == "two" { print $2 }')" "two paused"
is "pod resume" "$($m pod resume two) $($m --no-headers pod list | awk '$1 == "two" { print $2 }')" "two running"
refuses "pod pause: not running" 1 "ready" $m pod pause one
refuses "what the agent cannot do: stats" 1 "" $m stats one c1
refuses "what the agent cannot do: ps" 1 "" $m ps one c1
refuses "attach to what does not run" 125 "cannot attach" $m attach one c1
refuses "logs: a pod without a console" 1 "console" $m logs one
refuses "stats: a pod that does not run" 1 "not running" $m stats one
refuses "events of a pod that is not there" 1 "nothing" $m events nothing

# One pod with its container, in one command; a document; options win over it.
is "pod run: one command for all" "$($m pod run --name whole --container w --rootfs "$root" -- sleep 5)" whole
is "its container" "$($m --no-headers container list whole | awk '{ print $1, $2 }')" "w running"
$m pod delete --force whole >/dev/null
cat >"$work/pod.json" <<END
{ "ID": "doc", "Hostname": "from-doc", "VMConfig": { "VCPUs": 2 }, "Annotations": { "a": "1", "b": "2" },
  "Containers": [ { "ID": "k", "RootFs": "$root", "Cmd": { "Args": [ "sleep", "1" ], "Envs": [ { "Var": "A", "Value": "b" } ] }, "Annotations": { "x": "y" } } ] }
END
is "pod create --from" "$($m pod create --from "$work/pod.json")" doc
is "its container" "$($m -q container list doc) $($m container annotate doc k)" "k x=y"
j "its host name" hostname from-doc $mj pod status doc
$m pod delete doc >/dev/null
is "from standard input; options win" "$($m pod create --from - --name other --hostname mine --annotation b=3 --container l <"$work/pod.json")" other
is "what they say" "$($m pod annotate other | tr '\n' ' ')$($m -q container list other) $($m --json pod status other | tr -d '\n' | sed 's/.*"hostname":"\([^"]*\)".*/\1/')" \
    "a=1 b=3 l mine"
echo '{ "ID": "m", "RootFs": "'"$root"'", "Cmd": { "Args": [ "true" ] } }' >"$work/ctr.json"
is "container create --from" "$($m container create --from "$work/ctr.json" other) $($m container create --from "$work/ctr.json" --name n other -- false)" "m n"
$m pod delete --force other >/dev/null
refuses "a document that is not there" 1 "$work/none.json: No such file" $m pod create --from "$work/none.json"
echo '{ "Containers": [ { "Cmd": { "Arg": [] } } ] }' >"$work/bad.json"
refuses "a document with a wrong member" 1 "bad.json: Containers[0].Cmd.Arg" $m pod create --from "$work/bad.json"
echo '{ "RootFs": 5 }' | $m container create --from - nopod >"$work/out" 2>&1
is "which document, of a container" "$? $(cat "$work/out")" "1 virtc: standard input: RootFs: it must be a string, and is a whole number"
echo '{ "MemoryLimit": "1" }' >"$work/bad.json"
refuses "which document, of limits" 1 "bad.json: MemoryLimit: it must be a whole number" $m container update --from "$work/bad.json" nopod c
echo '{ "Args": "sh" }' >"$work/bad.json"
refuses "which document, of a process" 125 "bad.json: Args: it must be an array" $m exec --from "$work/bad.json" nopod c
echo '{ "Args": [ "x" ], "OCIProcess": { "args": [ "y" ], "cwd": "/" } }' >"$work/bad.json"
refuses "options and an OCIProcess" 125 "the document's OCIProcess says all of the program" $m exec --from "$work/bad.json" -w / nopod c
echo '{ "Containers": [ {}, {} ] }' >"$work/two.json"
refuses "options of one container, a document with two" 1 "has 2 containers" $m pod create --from "$work/two.json" -- true
refuses "an empty document" 1 "" $m pod create --from /dev/null
refuses "an option of the pod that its plugin does not have" 1 "nosuch" $m pod create --option hypervisor.nosuch=1
refuses "a hypervisor that is not installed" 1 'no hypervisor plugin "nosuch"' $m pod create --hypervisor nosuch
is "names of the original" "$($m pod create --name orig --proxy noopProxy --shim noopShim --volume data:"$root":ro)" orig
$m pod delete orig >/dev/null

# bug-19: what is said about the VM's size reaches it. (That the guest sees it is in tests/vm.)
$m --debug --log "$work/size.log" pod create --name size --memory 1T --cpus 3 >/dev/null 2>&1
$m pod delete --force size >/dev/null 2>&1
refuses "bug-19: --cpus has an effect" 1 "100" $m -s hypervisor=qemu -s agent=kata -s proxy=none -s shim=vc pod create --template off --cpus 1000

# Another place for everything.
is "--root" "$($m --root "$work/elsewhere" pod create --name far) $($m --root "$work/elsewhere" -q pod list) $($m -q pod list | grep -c far)" "far far 0"
is "--root: where it is" "$(ls "$work/elsewhere/state/pods" "$work/elsewhere/run")" "$work/elsewhere/run:
state-root

$work/elsewhere/state/pods:
far"
is "--root: a relative one" "$(cd "$work" && $m --root elsewhere -q pod list)" far
$m --root "$work/elsewhere" pod delete far >/dev/null

# What a long action does is shown on a terminal, and taken away again.
script -qec "$m pod create --name shown; $m pod stop shown" "$work/typescript" </dev/null >/dev/null 2>&1
shown=$(tr -d '\r' <"$work/typescript" | tr '\033' '^')
has "a terminal: the phase" "$shown" "making the pod ..."
has "a terminal: it is taken away" "$shown" "...^[Kshown"
has "a terminal: stop" "$shown" "stopping pod shown ..."
script -qec "$m --quiet pod delete shown" "$work/typescript" </dev/null >/dev/null 2>&1
is "--quiet: no phase" "$(grep -c deleting "$work/typescript")" 0
is "no terminal: no phase" "$($m pod create --name shown 2>&1; $m pod delete shown 2>&1)" "shown
shown"

# Events.
$m events >"$work/events.txt" 2>&1 &
events_pid=$!
$m --json events two --until-stopped >"$work/events.json" 2>&1 &
until_pid=$!
shows() { # FILE PATTERN: waits until it is there
    for try in $(seq 200); do
        grep -q "$2" "$1" 2>/dev/null && return 0
        sleep 0.05
    done
    bad "events: no $2 in: $(cat "$1")"
}
# They have begun once something that is done again and again is seen.
for try in $(seq 200); do
    grep -q paused "$work/events.txt" && grep -q paused "$work/events.json" && break
    $m pod pause two >/dev/null
    sleep 0.05
    $m pod resume two >/dev/null
done
$m pod create --name seen >/dev/null
shows "$work/events.txt" "pod-created seen$"
$m pod delete seen >/dev/null
shows "$work/events.txt" "pod-deleted seen$"
is "events of all pods" "$(sed -n 's/^[0-9]\{4\}-[0-9][0-9]-[0-9][0-9]T[0-9:]\{8\}\.[0-9]\{3\}Z \(.* seen\)$/\1/p' "$work/events.txt" | tr '\n' ' ')" \
    "pod-created seen pod-deleted seen "
kill -TERM $events_pid
wait $events_pid
is "events: ended by a signal" $? 143
$m pod stop two >/dev/null
wait $until_pid
is "events --until-stopped ends" $? 0
is "events --json: one object a line" "$(while IFS= read -r l; do printf '%s\n' "$l" | "$json" pod; done <"$work/events.json" | sort -u)" two
is "events --json: the last" "$(tail -n 1 "$work/events.json" | "$json" type)" pod-stopped
is "events --until-stopped of one that has stopped" "$($m events two --until-stopped)" ""
$m pod start two >/dev/null

# Completion: each command and each option is in it, and it is a script.
for shell in bash zsh fish; do
    $m completion $shell >"$work/completion.$shell"
    is "completion $shell" $? 0
    if command -v $shell >/dev/null; then
        $shell -n "$work/completion.$shell" && ok "$shell can read it" || bad "$shell cannot read it"
    fi
done
complete_words() { # WORDS: what bash would offer
    bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _virtc; printf "%s\n" "${COMPREPLY[@]}"' - "$work/completion.bash" "$@"
}
echo "$commands" | while read -r c; do
    long=$(virtc $c --help | grep -o -e '^ \{2,6\}\(-., \)*--[a-z][a-z-]*' | grep -o -e '--[a-z-]*' | sort -u)
    [ -n "$long" ] || echo "no options of $c"
    offered=$(complete_words virtc $c --)
    for o in $long; do
        [ "$o" = --version ] || echo "$offered" | grep -qxe "$o" || echo "bash: $c $o"
        # (zsh) in the block of the command; (fish) a line of its own.
        [ "$o" = --version ] || awk -v c="    '$c')" '$0 == c { on = 1 } on { print } on && /;;/ { exit }' "$work/completion.zsh" | grep -qe "'$o:" || echo "zsh: $c $o"
        [ "$o" = --version ] || grep -qe "'__virtc_at $c' -l ${o#--}\( \|$\)" "$work/completion.fish" || echo "fish: $c $o"
    done
    case $c in *" "*) first=${c% *} last=${c#* } ;; *) first= last=$c ;; esac
    complete_words virtc $first "$last" | grep -qx "$last" || echo "bash: $c"
    grep -q "'__virtc_next $first' -a $last " "$work/completion.fish" || echo "fish: $c"
    awk -v c="    '$first')" '$0 == c { on = 1 } on { print } on && /;;/ { exit }' "$work/completion.zsh" | grep -q "^            '$last:" || echo "zsh: $c"
done >"$work/missing"
is "completion: nothing is missing" "$(cat "$work/missing")" ""
for o in $(virtc --help | grep -o -e '^ \{2,6\}\(-., \)*--[a-z][a-z-]*' | grep -o -e '--[a-z-]*'); do
    complete_words virtc -- | grep -qxe "$o" || bad "completion: bash: $o"
done
VCCORE_CONFIG=$work/mock.conf
is "completion: pods" "$(complete_words virtc pod delete tw)" two
is "completion: containers" "$(complete_words virtc container status one '')" c1
is "completion: a command" "$(complete_words virtc pod sta | tr '\n' ' ')" "start status "
is "completion: behind options" "$(complete_words virtc --config /x --json pod an)" annotate
is "completion: a file" "$(complete_words virtc pod create --from "$work/pod.j")" "$work/pod.json"
is "completion: a shell" "$(complete_words virtc completion z)" zsh
VCCORE_CONFIG=$work/vccore.conf

# What plugins and configuration say to people.
out=$($m plugin help qemu)
for key in accelerator kernel initrd memory; do has "plugin help qemu: $key" "$out" "$key"; done
out=$($m plugin help kata)
has "plugin help NAME shows all kinds" "$out" proxy
has "plugin help NAME shows all kinds" "$out" agent
out=$($m config show)
for key in hypervisor agent proxy shim network run_root state_root plugin_dir libexec_dir data_dir template template_dir pool log_level log_format; do
    has "config show: $key" "$out" "$key"
done
has "config show: an override" "$(virtc --set hypervisor_qemu.memory=512M config show)" 512
printf '%s\n' "$out" >"$work/shown.conf"
is "config show prints a configuration" "$(virtc --config "$work/shown.conf" config show)" "$out"
is "config check" "$($m config check >/dev/null 2>&1; echo $?)" 0
is "gc" "$($m gc)" "nothing to remove"

# Bytes that are no text: what goes to a guest is UTF-8.
latin=$(printf 'gr\374n')
refuses "exec: an argument in Latin-1" 125 'args[2] "a gr\xfcn" is not UTF-8 at byte 4' $m exec one -- true x "a $latin"
refuses "exec: an environment variable likewise" 125 'env[1] "C=gr\xfcn" is not UTF-8 at byte 4' $m exec -e "C=$latin" one -- true
refuses "container create: a working directory likewise" 1 'the working directory "/gr\xfcn" is not UTF-8 at byte 3' \
    $m container create --workdir "/$latin" --rootfs "$root" one -- true
refuses "run: an argument likewise" 125 'args[1] "gr\xfcn" is not UTF-8 at byte 2' $m run --rootfs "$root" -- true "$latin"

# Ids.
for bad in a/b .. . "a b" "$(printf '%0200d' 0)" -x "" "a	b" ../../etc; do
    refuses "pod id \"$bad\"" 1 "id" $m pod create --name="$bad"
    refuses "container id \"$bad\"" 1 "id" $m container create --name="$bad" --rootfs "$root" one -- true
    refuses "hostile id \"$bad\"" 1 "id" $m pod delete --force -- "$bad"
done
refuses "a pod id that is taken" 1 '"one"' $m pod create --name one
refuses "a container id that is taken" 1 '"c1"' $m container create --name c1 --rootfs "$root" one -- true
refuses "start of a pod that runs" 1 "running" $m pod start two
refuses "delete of a pod that runs" 1 "running" $m pod delete two
refuses "a rootfs that does not exist" 1 "/no/such" $m container create --rootfs /no/such one -- true
refuses "a rootfs that is a file" 1 "$root/etc/keep" $m container create --rootfs "$root/etc/keep" one -- true

# Many at once: of those that want one id exactly one gets it; nobody is in the way of others.
for i in 1 2 3 4 5 6 7 8; do
    ($m pod create --name same >"$work/same.$i" 2>"$work/same.err.$i"; echo $? >"$work/same.code.$i") &
    ($m pod create --name "apart-$i" >"$work/apart.$i" 2>&1; $m pod start "apart-$i" >>"$work/apart.$i" 2>&1) &
done
wait
is "one id, eight at once: one gets it" "$(grep -lx 0 "$work"/same.code.* | wc -l)" 1
is "one id, eight at once: seven are told" "$(grep -l '"same" exists' "$work"/same.err.* | wc -l)" 7
is "eight ids at once" "$($m pod list | grep -c '^apart-. *running')" 8

# The log: levels, formats, a file.
$m --log-level debug --log "$work/log.txt" pod status one >/dev/null
is "log file" $? 0
$m --log-level debug --log-format json --log "$work/log.json" pod create --name logged >/dev/null
[ -s "$work/log.json" ] && ok "json log has lines" || bad "json log is empty"
while IFS= read -r l; do
    printf '%s\n' "$l" | "$json" level >/dev/null || bad "json log: not JSON: $l"
done <"$work/log.json"

for p in $($m pod list | awk 'NR > 1 { print $1 }'); do $m pod delete --force "$p" >/dev/null || bad "delete $p"; done
nothing_left "at the end"
finish
