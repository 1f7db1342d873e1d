/* SPDX-License-Identifier: Apache-2.0 */
/* vc/template.h: an optional extension of the hypervisor kind, "vc.template/1": virtual machines that start from a saved one.
 *
 * A template is a VM that was booted once, whose agent has come up and in which nothing of any pod is, saved into a
 * directory.  Every later VM starts as a copy of it, in a fraction of the time of a boot.  How a VM is saved (memory
 * file and device state, a snapshot, a forked process) is the plugin's alone; a plugin without this extension boots.
 *
 * A plugin offers it through `ext` of its instances: ext(inst, VC_EXT_TEMPLATE) returns its struct vc_template_ops,
 * for every instance or for none, the same each time.
 *
 * How a host uses it.
 *   Making one, on an instance of its own:
 *     create - vm_create - key - boot - (the agent comes up, settles and is left alone) - save - cleanup - close
 *   Starting a pod's VM:
 *     create - vm_create - key - (the host looks for a template with that key) - start - as after vm_start
 *   A host that finds none calls vm_start as ever.  After `start` the guest still has the clock, the random numbers and
 *   the names of the template: the host has the agent renew them before anything of a pod runs.
 *   A host may also keep started VMs in store, paused (VC_HV_CAP_PAUSE), and give one to a pod later: it saves the
 *   instance, closes it, renames the directory that holds VC_PATH_RUN, and restores the instance there with the pod's
 *   id.  So what `save` of the instance writes must not tie it to the name of the pod or to where VC_PATH_RUN is.
 *
 * The directory of a template is made by the host: empty at `boot`, with mode 0700 and owned by the host's user; the
 * host has checked owner and mode of it and of all files in it before `start`.  It may be on another file system than
 * VC_PATH_RUN, is renamed between `save` and the first `start`, and is removed by the host, also while VMs run that
 * were started from it: they must go on.  A plugin keeps plain files in it, no directories, links or sockets, and
 * syncs them to disk before `save` returns.  Any number of VMs may start from it at once, in any number of processes;
 * none of them changes it.
 *
 * All members are serialised per instance (see plugin.h). */
#ifndef VC_TEMPLATE_H
#define VC_TEMPLATE_H

#include "hypervisor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VC_EXT_TEMPLATE "vc.template/1"

/* What `start` leaves to be told to the guest. */
struct vc_template_started {
    uint32_t size;
    uint32_t added_vcpus;  /* vCPUs beyond those of the template, that the guest may have to take into use */
    uint64_t added_memory; /* bytes likewise */
};

struct vc_template_ops {
    uint32_t size;
    uint32_t reserved; /* 0 */

    /* After vm_create: write what a template must have been made with to be a template for this VM, as UTF-8 text, one
     * "name=value" on a line, at most 16 KiB.  Everything that shapes the VM's memory and devices belongs there:
     * programs and images (path, and what tells one version of the file from another), machine, processor model,
     * accelerator and what of the host it passes on, kernel parameters, sizes, devices.  Nothing belongs there that
     * differs from pod to pod and can be set or plugged in after the start.  The same VM gives the same text in every
     * process and on every run; a text that differs in one byte is another template.  No external effect; quick, no
     * process is started for it.  VC_E_UNSUPPORTED, with the reason: this VM cannot come from a template (say, it is
     * smaller than the template would be) and has to boot. */
    int (*key)(vc_inst *inst, const struct vc_call *call, vc_sink *text);
    /* Do the programs and images that such a text names still exist as they were, so that a VM could have this key?
     * VC_OK, or VC_E_STATE with the reason (what has changed or is gone).  `text` comes from a file: hostile input.
     * Works on a fresh instance.  Pure. */
    int (*valid)(vc_inst *inst, const struct vc_call *call, struct vc_bytes text);
    /* In place of vm_start: start the VM that is to become a template in `dir` (absolute path).  From here on it is
     * like any started VM: agent_endpoint, pids, vm_stop, cleanup. */
    int (*boot)(vc_inst *inst, const struct vc_call *call, const char *dir);
    /* Save the VM that boot started, and end it.  The host has let go of the agent's channel, and the guest is idle.
     * On VC_OK `dir` holds a whole template and no process of the VM is left. */
    int (*save)(vc_inst *inst, const struct vc_call *call, const char *dir);
    /* In place of vm_start: start the VM from the template in `dir`, which has this VM's key.  Returns when it runs.
     * It has the memory and the vCPUs that vm_create asked for, the shared folder and the network namespace of its own.
     * `out` may be NULL.  VC_E_CORRUPT: the template is no good (cut short, of another version of the VMM); the host
     * drops it and boots. */
    int (*start)(vc_inst *inst, const struct vc_call *call, const char *dir, struct vc_template_started *out);
};

#ifdef __cplusplus
}
#endif
#endif
