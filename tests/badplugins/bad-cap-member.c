/* SPDX-License-Identifier: Apache-2.0 */
/* bad-cap-member.c: a hypervisor that promises to pause and has no vm_pause. */
#include <vc/hypervisor.h>
#include <vc/proxy.h>

#define BAD_NAME "bad-cap-member"
static int on_pod(vc_inst *inst, const struct vc_call *call)
{
    (void)inst;
    (void)call;
    return VC_OK;
}

static int on_create(vc_inst *inst, const struct vc_call *call, const struct vc_vm_config *config)
{
    (void)config;
    return on_pod(inst, call);
}

static int on_stop(vc_inst *inst, const struct vc_call *call, uint32_t flags)
{
    (void)flags;
    return on_pod(inst, call);
}

static int on_state(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
    *state = VC_VM_NONE;
    return on_pod(inst, call);
}

static int on_text(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    (void)out;
    return on_pod(inst, call);
}

static const struct vc_hypervisor_ops hypervisor_ops = {
    .size = sizeof(hypervisor_ops),
    .vm_create = on_create,
    .vm_start = on_pod,
    .vm_stop = on_stop,
    .vm_state = on_state,
    .agent_endpoint = on_text,
    .console = on_text,
    .pids = on_text,
    .vm_resume = on_pod,
};
#define BAD_KIND VC_KIND_HYPERVISOR
#define BAD_CAPS VC_HV_CAP_PAUSE
#define BAD_OPS &hypervisor_ops
#include "bad.h"
