#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest that misbehaves: a scripted agent at the end of the whole stack answers with oversized, truncated or alien frames,
# says nothing, or dies. Each gets one clear sentence, in time, and nothing of the pod remains.
. "$(dirname "$0")/../vm/lib.sh"
root=$work/rootfs
make_rootfs "$root"
before=$(snapshot "$root")
plugins=$work/plugins
cp -a "$(sed -n 's/^plugin_dir = "\(.*\)";/\1/p' "$VCCORE_CONFIG")" "$plugins"
cp "$VC_BUILD_DIR/tests/fakes/.libs/fake-hypervisor.so" "$plugins/hypervisor/fake.so"
sock=$work/agent.sock
v="virtc --set plugin_dir=$plugins --set hypervisor=fake --set proxy=none --set hypervisor_fake.agent=$sock"
v="$v --set create_timeout=2 --set call_timeout=1"

begin_agent() { # MODE [METHOD]
    mkfifo "$work/in" "$work/out"
    "$VC_BUILD_DIR/tests/fakes/fake-agent" "$sock" "$@" <"$work/in" >"$work/out" &
    agent_pid=$!
    exec 8>"$work/in" 7<"$work/out"
    read -r ready <&7
    [ "$ready" = ready ] || bad "the fake agent did not start"
}
end_agent() {
    exec 8>&- 7<&-
    wait "$agent_pid"
    rm -f "$work/in" "$work/out" "$sock"
}
now_ms() { read -r up _ </proc/uptime; echo "${up%.*}${up#*.}0"; }

# MODE METHOD PART EXIT-CODE COMMAND...
meets() {
    m_mode=$1 m_method=$2 m_part=$3 m_code=$4
    shift 4
    begin_agent "$m_mode" "$m_method"
    m_begin=$(now_ms)
    refuses "$m_mode $m_method" "$m_code" "$m_part" "$@"
    m_took=$(($(now_ms) - m_begin))
    [ "$m_took" -lt 8000 ] && ok "$m_mode $m_method: ends in time" || bad "$m_mode $m_method: took $m_took ms"
    # The sentence names the pod's agent: what was asked, or where.
    has "$m_mode $m_method: says who" "$(cat "$work/refuse.err")" agent
    end_agent
    nothing_left "$m_mode $m_method"
}

begin_agent normal
status=0
out=$($v run --rm --name fake --rootfs "$root" -- anything 2>&1 </dev/null) || status=$?
is "an agent that behaves: exit code" "$status" 7
is "an agent that behaves: nothing is said" "$out" ""
end_agent
nothing_left "normal"
refuses "no agent at all" 1 "agent" $v pod create --name fake
nothing_left "no agent at all"

create="$v pod create --name fake"
for method in Check CreateSandbox; do
    meets oversized $method "more than 4194304 bytes" 1 $create
    meets truncated $method "in the middle of an answer" 1 $create
    meets alien $method "agent" 1 $create
    meets bad-envelope $method "not a ttRPC response" 1 $create
    meets wrong-id $method "nobody made" 1 $create
    meets dying $method "closed the connection" 1 $create
done
meets silent Check "did not answer" 1 $create
meets silent Check '"fake" (96 MiB of memory, 2 vCPUs) did not answer' 1 $create
meets silent Check '"fake" (64 MiB of memory, 1 vCPU) did not answer' 1 $create --memory 64M --cpus 1
meets silent CreateSandbox "did not answer CreateSandbox" 1 $create
meets stuck CreateSandbox "did not answer CreateSandbox" 1 $create

run="$v run --rm --name fake --rootfs $root -- anything"
for method in CreateContainer StartContainer; do
    meets oversized $method "more than 4194304 bytes" 125 $run
    meets truncated $method "in the middle of an answer" 125 $run
    meets alien $method "agent" 125 $run
    meets dying $method "closed the connection" 125 $run
    meets silent $method "did not answer $method" 125 $run
done
is "the root directory is as it was" "$(snapshot "$root")" "$before"

# What goes wrong while the program runs ends it: never a success.
for mode in oversized truncated alien dying bad-payload; do
    begin_agent $mode WaitProcess
    status=0
    timeout 20 $run >"$work/o" 2>"$work/e" </dev/null || status=$?
    is "$mode WaitProcess: exit code" "$status" 255
    is "$mode WaitProcess: one line" "$(wc -l <"$work/e")" 1
    has "$mode WaitProcess: says who" "$(cat "$work/e")" agent
    end_agent
    nothing_left "$mode WaitProcess"
done

# The questions about a container that runs (there is no shim, so it runs until it is stopped): each failure is one sentence
# in time, and neither state nor record have changed.
sed "s|^plugin_dir = .*|plugin_dir = \"$plugins\";|" "$VCCORE_CONFIG" >"$work/ops.conf"
printf 'hypervisor = "fake"; proxy = "none"; shim = "noop"; create_timeout = 2; call_timeout = 1; log_level = "error";
hypervisor_fake = { agent = "%s"; };\n' "$sock" >>"$work/ops.conf"
chmod 644 "$work/ops.conf"
ops="env VCCORE_CONFIG=$work/ops.conf $VC_BUILD_DIR/tests/vm/ops"
asks() { # MODE METHOD PART STATE-AFTERWARDS CALL ARGUMENT...: of container c of pod fake
    a_mode=$1 a_method=$2 a_part=$3 a_state=$4 a_call=$5
    shift 5
    begin_agent "$a_mode" "$a_method"
    $v --set shim=noop pod create --name fake >/dev/null
    $v --set shim=noop container create --name c --rootfs "$root" fake -- anything >/dev/null
    $v --set shim=noop pod start fake >/dev/null
    a_spec=$(cat "$state_root/pods/fake/spec-c.json")
    a_begin=$(now_ms)
    refuses "$a_mode $a_method" 1 "$a_part" $ops "$a_call" fake c "$@"
    a_took=$(($(now_ms) - a_begin))
    [ "$a_took" -lt 8000 ] && ok "$a_mode $a_method: ends in time" || bad "$a_mode $a_method: took $a_took ms"
    is "$a_mode $a_method: state" "$($ops list fake)" "c $a_state -1 oom=0"
    is "$a_mode $a_method: specification" "$(cat "$state_root/pods/fake/spec-c.json")" "$a_spec"
    virtc --set "plugin_dir=$plugins" pod delete --force fake >/dev/null 2>&1
    end_agent
    nothing_left "$a_mode $a_method"
}
for mode in silent oversized truncated bad-payload dying; do
    part=agent
    [ $mode = silent ] && part="did not answer"
    asks $mode StatsContainer "$part" running stats
    asks $mode ListProcesses "$part" running ps json
done
asks silent UpdateContainer "did not answer" running update memory=1000000
asks oversized UpdateContainer "agent" running update memory=1000000
asks silent PauseContainer "did not answer" running pause
asks dying PauseContainer "closed the connection" running pause # it is undone by a new connection

# An agent that falls silent later: delete --force still removes everything.
begin_agent silent DestroySandbox
is "create" "$($create)" fake
$v pod delete --force fake >/dev/null 2>"$work/e"
is "delete of a pod whose agent is silent" $? 0
end_agent
nothing_left "silent DestroySandbox"
begin_agent normal
is "create" "$($create)" fake
end_agent
$v pod delete --force fake >/dev/null 2>"$work/e"
is "delete of a pod whose agent is gone" $? 0
nothing_left "agent gone"
finish
