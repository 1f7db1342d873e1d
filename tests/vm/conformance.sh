#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vc-plugin-test --real: the checks of the qemu plugin that need a hypervisor, and level quick of all others, against real
# virtual machines with the real guest. Nothing of the machine outside is left changed.
. "$(dirname "$0")/lib.sh"
dir() { sed -n "s/^$1 = \"\(.*\)\";/\1/p" "$VC_STAGE/vccore.conf"; }
tested() { # WHAT OPTION...
    t_what=$1 t_status=0
    shift
    vc-plugin-test --real --color=never --plugin-dir="$(dir plugin_dir)" --libexec-dir="$(dir libexec_dir)" \
        --data-dir="$(dir data_dir)" --set accelerator=tcg "$@" hypervisor/qemu >"$work/tool.out" 2>&1 || t_status=$?
    is "$t_what: exit status" "$t_status" 0
    tail -n 1 "$work/tool.out"
    [ "$t_status" -eq 0 ] || cat "$work/tool.out"
}
tested "hypervisor checks, real VMs" --level=full --only=H1,H2,H3,H4,H5,H6,H7,H8,H9,H10,H11,H12,H13,H14,H15,H16,H17,H18
has "none of them was skipped" "$(tail -n 1 "$work/tool.out")" "18 PASS in "
tested "level quick, real VMs" --level=quick
nothing_left "after real VMs"
finish
