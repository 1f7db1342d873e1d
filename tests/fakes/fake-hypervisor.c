/* SPDX-License-Identifier: Apache-2.0 */
/* fake-hypervisor.c: a hypervisor plugin whose "guest" is a program on the host: the agent's address is a unix socket
 * that the option `agent` names.  With it a scripted agent stands at the end of the whole stack. */
#include <stdlib.h>
#include <string.h>

#include <vc/hypervisor.h>

#include "lib/plug.h"

struct vc_inst {
    const vc_host *host;
    char *agent;
    uint32_t state; /* VC_VM_* */
};

static void fake_close(vc_inst *inst)
{
    free(inst->agent);
    free(inst);
}

static int fake_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       vc_inst **out)
{
    (void)pod_id;
    const char *agent = vcs_opt_str(host, cfg, "agent");
    vc_inst *inst = calloc(1, sizeof(*inst));
    if (!inst || !(inst->agent = strdup(agent ? agent : ""))) {
        free(inst);
        return vcs_fail(host, call, VC_E_NOMEM, 0, "out of memory");
    }
    inst->host = host;
    *out = inst;
    return VC_OK;
}

static int fake_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    const char *digit = state.data;
    if (state_version != 1)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "the stored state has version %u; 1 is known", state_version);
    if (state.len != 1 || digit[0] < '0' || digit[0] > '0' + VC_VM_STOPPED)
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "the stored state is not what this plugin writes");
    int rc = fake_create(host, call, cfg, pod_id, out);
    if (rc == VC_OK)
        (*out)->state = (uint32_t)(digit[0] - '0');
    return rc;
}

static int fake_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    (void)call;
    char digit = (char)('0' + inst->state);
    return inst->host->write(inst->host, out, &digit, 1);
}

static int fake_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    *health = inst->state == VC_VM_RUNNING ? VC_HEALTH_OK : VC_HEALTH_GONE;
    return VC_OK;
}

static uint64_t fake_caps(vc_inst *inst)
{
    (void)inst;
    return VC_HV_CAP_SHARE_9P;
}

static int fake_vm_create(vc_inst *inst, const struct vc_call *call, const struct vc_vm_config *config)
{
    (void)call;
    (void)config;
    inst->state = VC_VM_CREATED;
    return VC_OK;
}

static int fake_vm_start(vc_inst *inst, const struct vc_call *call)
{
    (void)call;
    inst->state = VC_VM_RUNNING;
    return VC_OK;
}

static int fake_vm_stop(vc_inst *inst, const struct vc_call *call, uint32_t flags)
{
    (void)call;
    (void)flags;
    inst->state = VC_VM_STOPPED;
    return VC_OK;
}

static int fake_cleanup(vc_inst *inst, const struct vc_call *call)
{
    return fake_vm_stop(inst, call, VC_STOP_FORCE);
}

static int fake_vm_state(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
    (void)call;
    *state = inst->state;
    return VC_OK;
}

static int fake_agent_endpoint(vc_inst *inst, const struct vc_call *call, vc_sink *uri)
{
    (void)call;
    int rc = vcs_put(inst->host, uri, "unix://");
    return rc ? rc : vcs_put(inst->host, uri, inst->agent);
}

static int fake_nothing(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    (void)inst;
    (void)call;
    (void)out;
    return VC_OK;
}

static const struct vc_inst_ops inst_ops = {
    .size = sizeof(inst_ops),
    .create = fake_create,
    .restore = fake_restore,
    .save = fake_save,
    .check = fake_check,
    .cleanup = fake_cleanup,
    .close = fake_close,
    .caps = fake_caps,
};
static const struct vc_hypervisor_ops hypervisor_ops = {
    .size = sizeof(hypervisor_ops),
    .vm_create = fake_vm_create,
    .vm_start = fake_vm_start,
    .vm_stop = fake_vm_stop,
    .vm_state = fake_vm_state,
    .agent_endpoint = fake_agent_endpoint,
    .console = fake_nothing,
    .pids = fake_nothing,
};
static const struct vc_option options[] = {
    { "agent", VC_OPT_PATH, VC_OPT_REQUIRED, 0, 0, NULL, NULL, "Unix socket on which the agent listens." },
    { "memory", VC_OPT_SIZE, 0, 0, 0, "96M", NULL, "What a VM would have." },
    { "vcpus", VC_OPT_INT, 0, 0, 0, "2", NULL, "What a VM would have." },
};

extern const struct vc_plugin vc_plugin_entry;
VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_HYPERVISOR,
    .name = "fake",
    .vendor = "tests",
    .version = "1",
    .description = "A VM whose agent is a program on this machine.",
    .options = options,
    .n_options = sizeof(options) / sizeof(options[0]),
    .option_stride = sizeof(struct vc_option),
    .state_version = 1,
    .state_version_min = 1,
    .caps_max = VC_HV_CAP_SHARE_9P,
    .inst = &inst_ops,
    .ops = &hypervisor_ops,
};
