# SPDX-License-Identifier: Apache-2.0
# lib.sh: what the VM tests share. Sourced by each; expects VC_STAGE (a staged installation with the guest in it).
set -u
LC_ALL=C
export LC_ALL
[ -n "${VC_STAGE:-}" ] && [ -f "$VC_STAGE/env.sh" ] || { echo "VC_STAGE must name a staged installation (make stage)"; exit 99; }
. "$VC_STAGE/env.sh"
[ -f "$VC_STAGE/vccore.conf" ] || exit 99

work=$(mktemp -d "${TMPDIR:-/tmp}/vc-vm.XXXXXX")
# Places of its own, so that no test sees what another does or has left; only templates are shared, those of the stage.
run_root=$work/run
state_root=$work/state
template_dir=$(sed -n 's/^template_dir = "\(.*\)";/\1/p' "$VC_STAGE/vccore.conf")
sed "s|^run_root = .*|run_root = \"$run_root\";|; s|^state_root = .*|state_root = \"$state_root\";|" "$VC_STAGE/vccore.conf" \
    >"$work/vccore.conf"
chmod 644 "$work/vccore.conf"
# The same tests run without a VM, too, on the plugin of sdk/template (tests/root/ns-*.sh).
hypervisor=${VC_TEST_HYPERVISOR:-qemu}
if [ "$hypervisor" != qemu ]; then
    # A plugin directory with those of the stage and that one. Its warning that it isolates nothing would be in the way
    # of what is expected on standard error.
    cp -r "$(sed -n 's/^plugin_dir = "\(.*\)";/\1/p' "$VC_STAGE/vccore.conf")" "$work/plugins"
    install -m 755 "$VC_BUILD_DIR/sdk/template/.libs/$hypervisor.so" "$work/plugins/hypervisor/"
    sed -i "s|^plugin_dir = .*|plugin_dir = \"$work/plugins\";|" "$work/vccore.conf"
    printf 'hypervisor = "%s"; proxy = "none"; log_level = "error";\n' "$hypervisor" >>"$work/vccore.conf"
fi
VCCORE_CONFIG=$work/vccore.conf
export VCCORE_CONFIG
failures=0
checks=0

# For tests with real VMs: from here on every VM starts from the template, which the first test of a stage makes, and a
# pod for which that is not possible fails.
from_template() { # [VIRTC WITH ITS OPTIONS]
    [ "$hypervisor" = qemu ] || return 0
    if "${@:-virtc}" template create >/dev/null 2>"$work/template.err"; then
        echo "template = \"require\";" >>"$work/vccore.conf"
    else
        bad "the template: $(cat "$work/template.err")"
        finish
    fi
}

ok() { checks=$((checks + 1)); echo "ok: $*"; }
bad() { checks=$((checks + 1)); failures=$((failures + 1)); echo "FAILED: $*"; }
is() { # WHAT GOT WANTED
    if [ "$2" = "$3" ]; then ok "$1"; else bad "$1: got \"$2\", wanted \"$3\""; fi
}
has() { # WHAT TEXT PART
    case $2 in *"$3"*) ok "$1" ;; *) bad "$1: \"$3\" is not in: $2" ;; esac
}
# A failing command: its exit code, one line on standard error that holds PART, nothing on standard output.
refuses() { # WHAT CODE PART COMMAND...
    r_what=$1 r_code=$2 r_part=$3
    shift 3
    r_status=0
    "$@" >"$work/refuse.out" 2>"$work/refuse.err" </dev/null || r_status=$?
    is "$r_what: exit code" "$r_status" "$r_code"
    has "$r_what: its sentence" "$(cat "$work/refuse.err")" "$r_part"
    is "$r_what: one line" "$(wc -l <"$work/refuse.err")" 1
}

make_rootfs() { # DIR
    mkdir -p "$1/bin" "$1/proc" "$1/dev" "$1/sys" "$1/etc" "$1/tmp" "$1/root"
    cp "$(command -v busybox)" "$1/bin/busybox"
    for applet in $(busybox --list); do
        [ "$applet" = busybox ] || ln -sf busybox "$1/bin/$applet"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\nguest:x:1234:567:guest:/home:/bin/sh\n' >"$1/etc/passwd"
    printf 'root:x:0:\nguests:x:567:\nmore:x:890:guest\n' >"$1/etc/group"
    : >"$1/etc/keep"
}

# Every file of a directory with type, mode, owner, size and content.
snapshot() { # DIR
    (cd "$1" && find . -printf '%P %y %m %U:%G %l\n' | sort && find . -type f -exec sha256sum {} + | sort -k2)
}

# A process may end while it is looked at.
cmdline() { cat "$1/cmdline" 2>/dev/null | tr '\0' ' '; }

# Everything outside the process that pods of this stage could have left.
world() {
    for p in $(grep -a -l -F -e "$run_root" /proc/[0-9]*/cmdline 2>/dev/null); do
        p=${p%/cmdline}
        case $(cmdline "$p") in
        *qemu-system*"$run_root"* | *vc-proxy*"$run_root"* | *vc-shim*"$run_root"* | *vc-agent*"$run_root"*)
            # A zombie that the machine's init has not reaped yet is no process any more.
            grep -q '^State:.*Z' "$p/status" 2>/dev/null || echo "process $(cmdline "$p")" ;;
        esac
    done
    grep -F " $run_root/" /proc/self/mountinfo | sed 's/^/mount /'
    grep -F "$run_root/" /proc/net/unix | sed 's/.* \//socket \//'
    find "$run_root" "$state_root" -mindepth 2 ! -path "$run_root/pool/.lock" 2>/dev/null | sed 's/^/file /'
    find "$template_dir" -maxdepth 1 -name '.*' -mindepth 1 2>/dev/null | sed 's/^/half-made /'
    ls /run/netns 2>/dev/null | sed 's/^/netns /'
    ls /sys/class/net | sed 's/^/link /'
    find /sys/fs/cgroup -type d -name '*vccore*' 2>/dev/null | sed 's/^/cgroup /'
}

world_before=$(world)
# What is there now and was not before. (What somebody else had there and took away meanwhile is nobody's business.)
left_behind() {
    printf '%s\n' "$world_before" | sort >"$work/.before"
    world | sort >"$work/.now"
    comm -13 "$work/.before" "$work/.now"
}
nothing_left() { # WHAT
    now=$(left_behind)
    if [ -z "$now" ]; then
        ok "$1: nothing is left ($(wc -l <"$work/.before") things before, $(wc -l <"$work/.now") after)"
    else
        bad "$1: left behind: $now"
    fi
}

finish() {
    for pod in $(ls "$run_root/pods" "$state_root/pods" 2>/dev/null | grep -v ':$' | sort -u); do
        virtc pod delete --force "$pod" >/dev/null 2>&1
    done
    rm -rf --one-file-system "$work"
    echo "$checks checks, $failures failed"
    [ "$failures" -eq 0 ] && [ "$checks" -gt 0 ]
    exit $?
}
