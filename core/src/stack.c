/* SPDX-License-Identifier: Apache-2.0 */
/* stack.c: the five plugin instances of a pod, opened when they are first needed. */
#include <stdlib.h>
#include <string.h>

#include "pod.h"

struct vci_inst *vci_stack_get(struct vci_pod *pod, uint32_t kind, int64_t deadline, vc_error **err)
{
    struct vci_inst *i = &pod->inst[kind];
    if (i->handle)
        return i;
    int rc = vci_inst_open(i, pod->ctx, &pod->dir, kind, pod->plugin[kind], pod->saved[kind], pod->saved_len[kind],
                           pod->saved_version[kind], deadline, err);
    return rc < 0 ? NULL : i;
}

struct vci_inst *vci_stack_agent(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    struct vci_inst *agent = vci_stack_get(pod, VC_KIND_AGENT, deadline, err);
    if (!agent || pod->connected)
        return agent;
    if (VCI_CALL(agent, deadline, err, agent, connect, pod->uri ? pod->uri : "") < 0)
        return NULL;
    pod->connected = 1;
    return agent;
}

void vci_stack_reset(struct vci_pod *pod)
{
    for (uint32_t k = VCI_KINDS; k >= 1; k--) {
        vci_inst_close(&pod->inst[k]);
        memset(&pod->inst[k], 0, sizeof pod->inst[k]);
        free(pod->saved[k]);
        pod->saved[k] = NULL;
        pod->saved_len[k] = 0;
        pod->saved_version[k] = 0;
    }
    pod->connected = 0;
}
