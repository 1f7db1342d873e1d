/* SPDX-License-Identifier: Apache-2.0 */
/* vc/template.h: an optional extension of the hypervisor kind, "vc.template/1": VMs that start from a saved one.
 *
 * A template is a VM that was booted once, whose agent has come up and in which nothing of any pod is, saved into a
 * directory.  Every later VM starts as a copy of it, in a fraction of the time of a boot.  How a VM is saved (memory
 * file and device state, a snapshot, a forked process) is the plugin's alone; a plugin without this extension boots.
 *
 * A plugin offers it through `ext` of its instances: ext(inst, VC_EXT_TEMPLATE) returns its struct vc_template_ops,
 * for every instance or for none, the same static table each time and whatever the configuration says.  All members
 * are there and `reserved` is 0; a host refuses any other table, and with it the VM.  The agent has to have
 * VC_AG_CAP_TEMPLATE (agent.h).  Plugins without a guest (VC_HV_CAP_NO_GUEST) may have templates, too, but a host makes
 * one of theirs only when it is told to.
 *
 * How a host uses it.
 *   Asking what the template of a configuration is, on an instance that makes nothing else:
 *     create - vm_create - key - close        (its pod id is made up, and VC_PATH_RUN need not exist)
 *   Making one, on an instance of its own with an id of its own:
 *     create - vm_create - key - boot - (the agent comes up, settles and is left alone) - save - vm_stop - cleanup
 *     - close        (vm_stop comes although `save` has ended the VM)
 *   Starting a pod's VM:
 *     create - vm_create - key - (the host looks for a template with that key) - start - as after vm_start
 *   A host that finds none calls vm_start as ever.  When `start` has failed: vm_stop - cleanup - close, and to boot the
 *   VM all the same, a new instance: create - vm_create - vm_start.
 *   After `start` the guest still has the clock, the random numbers and the names of the template: the host has the
 *   agent renew them before anything of a pod runs.
 *   A host may also keep started VMs in store, paused (VC_HV_CAP_PAUSE), and give one to a pod later:
 *     create - vm_create - key - start - (the agent settles and is left alone) - vm_pause - save of the instance
 *     - close; later, maybe in another process: restore - vm_resume - as after vm_start
 *   In between it renames the directory that holds VC_PATH_RUN, and it restores the instance there with the pod's id.
 *   So what `save` of the instance writes must not tie it to the name of the pod or to where VC_PATH_RUN is.  The
 *   instance that was asked for the key of that pod ends with cleanup - close, and has nothing outside that it could
 *   remove.
 *   The host's process can be killed at any moment: then another one calls restore - cleanup with what was saved last,
 *   if anything was, and else only removes what the host has on record (spawn, res_add, VC_PATH_RUN).
 *
 * The directory of a template is made by the host: empty at `boot`, with mode 0700 and owned by the host's user; the
 * host has checked owner and mode of it and of all files in it before `start`.  `boot` may already write to it; on a
 * failure of boot or save the host removes it with all it holds.  It may be on another file system than VC_PATH_RUN, is
 * renamed between `save` and the first `start` (so no file in it holds its path), and is removed by the host, also
 * while VMs run that were started from it: they must go on.  A plugin keeps plain files in it that belong to the
 * host's user and that nobody else can write to, no directories, links (hard ones neither), pipes or sockets, and
 * syncs them to disk before `save` returns; `save` of any other template counts as failed.  Any number of VMs may
 * start from it at once, in any number of processes; none of them changes it.
 *
 * All members are serialised per instance (see plugin.h), have a deadline and can be cancelled like any call (`cancel`
 * of the instance, vc_host.cancelled).
 *
 * What a failure leads to.  Where no template is demanded the host says so in its log and the VM boots, except after
 * VC_E_CANCELLED and VC_E_NOMEM, which end the operation.  After VC_E_CORRUPT, VC_E_PEER, VC_E_PROTOCOL or VC_E_TIMEOUT
 * from `start` (or of the agent in the VM that was started) the host also removes the template; after any other code it
 * stays, and the next pod tries it again.  Where a template is demanded the failure is that of the pod, and the
 * template stays.  After a failure of boot or save a host makes no template of that key again for some time. */
#ifndef VC_TEMPLATE_H
#define VC_TEMPLATE_H

#include "hypervisor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VC_EXT_TEMPLATE "vc.template/1"

/* What `start` leaves to be told to the guest (the agent's `online`).  The host sets `size`; all else is 0 at first. */
struct vc_template_started {
    uint32_t size;
    uint32_t added_vcpus;  /* vCPUs beyond those of the template, that the guest may have to take into use */
    uint64_t added_memory; /* bytes likewise */
};

struct vc_template_ops {
    uint32_t size;
    uint32_t reserved; /* 0 */

    /* After vm_create: write what a template must have been made with to be a template for this VM, as UTF-8 text, one
     * "name=value" on a line, each line ended by a newline, no control byte but that, 1 byte to 16 KiB in all (the sink
     * may take more; the host then refuses the whole).  Everything that shapes the VM's memory and devices belongs
     * there: programs and images (path, and what tells one version of the file from another), machine, processor model,
     * accelerator and what of the host it passes on, kernel parameters, sizes, devices.  Nothing belongs there that
     * differs from pod to pod and can be set or plugged in after the start.  The host adds lines of its own (name and
     * version of the plugin among them).  A line "memory=N", N in bytes as a decimal number, is also what the host
     * shows as the memory of the template's VM.
     * Sizes: a VM that was given none (vcpus and memory of vc_vm_config are 0) is the one of the configuration.  A
     * plugin that can plug in vCPUs and memory after `start` gives a VM that wants more the key of that one, and
     * plugs in what is missing in `start`.  A plugin that cannot, writes the sizes the VM wants: the host then makes
     * a template of just those sizes, that is, it calls vm_create with them on the instance that boots it.
     * The same VM gives the same text in every process and on every run; a text that differs in one byte is another
     * template, and one that changes while the template is made is an error.  No external effect; quick, no process is
     * started for it.  VC_E_UNSUPPORTED, with the reason: this VM cannot come from a template (say, it is smaller
     * than the template would be) and has to boot, about which the host does not complain.  Any other failure: it
     * boots, too, with a warning. */
    int (*key)(vc_inst *inst, const struct vc_call *call, vc_sink *text);
    /* Do the programs and images that such a text names still exist as they were, so that a VM of some configuration
     * could have this key?  `text` is what `key` wrote, without the lines of the host, for this configuration or for
     * another one: it is compared with the world, not with the options of this instance.  It comes from a file: hostile
     * input, not NUL-terminated.  VC_OK, or VC_E_STATE with the reason (what has changed or is gone): then the host
     * removes the template once no VM runs from it.  Any other failure: it cannot be told; the template stays.
     * Works on a fresh instance, without vm_create.  Pure, quick; called for each template in a list. */
    int (*valid)(vc_inst *inst, const struct vc_call *call, struct vc_bytes text);
    /* In place of vm_start: start the VM that is to become a template in `dir` (absolute path).  From here on it is
     * like any started VM: agent_endpoint, console, pids, vm_stop, cleanup.  Its shared folder (shared_dir), when it
     * has one, is empty and stays so; that and the network namespace are its own and not those of any pod. */
    int (*boot)(vc_inst *inst, const struct vc_call *call, const char *dir);
    /* Save the VM that boot started, and end it.  `dir` is the same as for `boot`.  The host has let go of the agent's
     * channel, and the guest is idle.  On VC_OK `dir` holds a whole template and no process of the VM is left.  On a
     * failure the VM may still run: vm_stop and cleanup follow. */
    int (*save)(vc_inst *inst, const struct vc_call *call, const char *dir);
    /* In place of vm_start: start the VM from the template in `dir`, which has this VM's key.  Returns when it runs.
     * It has the memory and the vCPUs that vm_create asked for, the shared folder and the network namespace of its own.
     * `dir` is read only while this call lasts, or is kept open: it may be gone when the call has returned.  `out`
     * may be NULL.  VC_E_CORRUPT: the template is no good (cut short, of another version of the VMM).  See above for
     * what each code leads to: what has nothing to do with the template (no memory, no right to something) must not
     * be reported as VC_E_CORRUPT, VC_E_PEER or VC_E_PROTOCOL. */
    int (*start)(vc_inst *inst, const struct vc_call *call, const char *dir, struct vc_template_started *out);
};

#ifdef __cplusplus
}
#endif
#endif
