/* SPDX-License-Identifier: Apache-2.0 */
/* stack.c: the five plugin instances of a pod, opened when they are first needed. */
#include <stdlib.h>
#include <string.h>

#include "lib/proc.h"
#include "pod.h"

struct vci_inst *vci_stack_get(struct vci_pod *pod, uint32_t kind, int64_t deadline, vc_error **err)
{
    struct vci_inst *i = &pod->inst[kind];
    if (i->handle)
        return i;
    int rc = vci_inst_open(i, pod->ctx, &pod->dir, kind, pod->plugin[kind], pod->settings, pod->saved[kind],
                           pod->saved_len[kind], pod->saved_version[kind], deadline, err);
    return rc < 0 ? NULL : i;
}

/* Has the proxy ended?  Then that is the error, and not what came of it. */
static int proxy_gone(const struct vci_pod *pod, vc_error **err)
{
    if (pod->proxy.pid <= 0 || vci_proc_lives(&pod->proxy))
        return 0;
    if (err)
        vc_error_free(VCS_TAKE_PTR(*err));
    vci_fail(err, VC_ERR_PEER, 0,
             "the proxy of pod \"%s\" (process %d) has ended, so the agent at %s cannot be reached; stop the pod",
             pod->dir.id, pod->proxy.pid, pod->uri ? pod->uri : "?");
    return 1;
}

struct vci_inst *vci_stack_agent(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    struct vci_inst *agent = vci_stack_get(pod, VC_KIND_AGENT, deadline, err);
    if (!agent || pod->connected)
        return agent;
    /* Connecting would be tried until the deadline: the agent's address may be one that comes up late. */
    if (proxy_gone(pod, err))
        return NULL;
    int rc = VCI_CALL(agent, deadline, err, agent, connect, pod->uri ? pod->uri : "");
    if (rc == VC_ERR_PEER || rc == VC_ERR_IO) /* it may have ended just now */
        proxy_gone(pod, err);
    if (rc < 0)
        return NULL;
    pod->connected = 1;
    return agent;
}

int vci_stack_fits(vc_context *ctx, const char *hypervisor, const char *agent, vc_error **err)
{
    const struct vci_plugin *hv, *ag;
    int rc = vci_plugin_load(ctx, VC_KIND_HYPERVISOR, hypervisor, &hv, err);
    if (rc == 0)
        rc = vci_plugin_load(ctx, VC_KIND_AGENT, agent, &ag, err);
    if (rc < 0)
        return rc;
    int guest = !(hv->desc.caps_max & VC_HV_CAP_NO_GUEST), wanted = !(ag->desc.caps_max & VC_AG_CAP_NO_GUEST);
    if (guest == wanted)
        return 0;
    if (wanted)
        return vci_fail(
            err, VC_ERR_CONFIG, 0,
            "hypervisor \"%s\" makes no guest, and agent \"%s\" needs one: agent \"noop\" with proxy \"noop\" "
            "fits, or another hypervisor",
            hypervisor, agent);
    return vci_fail(
        err, VC_ERR_CONFIG, 0,
        "hypervisor \"%s\" makes a guest, and agent \"%s\" talks to none: agent \"kata\" fits, or hypervisor "
        "\"mock\"",
        hypervisor, agent);
}

void vci_stack_reset(struct vci_pod *pod)
{
    for (uint32_t k = VCI_KINDS; k >= 1; k--) {
        if (pod->inst[k].ctx) {
            vci_inst_close(&pod->inst[k]);
            memset(&pod->inst[k], 0, sizeof pod->inst[k]);
        }
        free(pod->saved[k]);
        pod->saved[k] = NULL;
        pod->saved_len[k] = 0;
        pod->saved_version[k] = 0;
    }
    pod->connected = 0;
}
