/* SPDX-License-Identifier: Apache-2.0 */
/* noop.c: proxy plugin "noop": does nothing and accepts every address, for agents that talk to nobody. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <vc/proxy.h>

#include "lib/plug.h"

struct vc_inst {
    const vc_host *host;
    uint32_t state; /* VC_PROXY_* */
};

static int noop_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       vc_inst **out)
{
    (void)cfg;
    (void)pod_id;
    vc_inst *inst = calloc(1, sizeof(*inst));
    if (!inst)
        return vcs_fail(host, call, VC_E_NOMEM, 0, "proxy noop: out of memory");
    inst->host = host;
    *out = inst;
    return VC_OK;
}

/* State, version 1: one digit, VC_PROXY_*. */
static int noop_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    const char text[] = { (char)('0' + inst->state), '\0' };
    int r = vcs_put(inst->host, out, text);
    return r == VC_OK ? VC_OK : vcs_fail(inst->host, call, r, 0, "proxy noop: cannot write the state");
}

static int noop_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    const char *text = state.data;
    if (state_version != 1)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "proxy noop: state version %u of pod %s is unknown, 1 is known",
                        state_version, pod_id);
    if (state.len != 1 || text[0] < '0' || text[0] > '0' + VC_PROXY_STOPPED)
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "proxy noop: the stored state of pod %s cannot be read", pod_id);
    int r = noop_create(host, call, cfg, pod_id, out);
    if (r == VC_OK)
        (*out)->state = (uint32_t)(text[0] - '0');
    return r;
}

static int noop_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    *health = inst->state == VC_PROXY_RUNNING ? VC_HEALTH_OK : VC_HEALTH_GONE;
    return VC_OK;
}

static void noop_close(vc_inst *inst)
{
    free(inst);
}

static uint64_t noop_caps(vc_inst *inst)
{
    (void)inst;
    return 0;
}

static int noop_start(vc_inst *inst, const struct vc_call *call, const struct vc_proxy_params *params,
                      struct vc_proc *proc, vc_sink *uri)
{
    const char *agent = params->agent_uri ? params->agent_uri : "";
    if (inst->state == VC_PROXY_RUNNING)
        return vcs_fail(inst->host, call, VC_E_EXISTS, 0, "proxy noop was started already");
    int r = vcs_put(inst->host, uri, agent);
    if (r != VC_OK)
        return vcs_fail(inst->host, call, r, 0, "proxy noop: cannot pass on the agent's address \"%s\"", agent);
    inst->state = VC_PROXY_RUNNING;
    *proc = (struct vc_proc){ 0 };
    return VC_OK;
}

static int noop_stop(vc_inst *inst, const struct vc_call *call)
{
    (void)call;
    if (inst->state == VC_PROXY_RUNNING)
        inst->state = VC_PROXY_STOPPED;
    return VC_OK;
}

static int noop_status(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
    (void)call;
    *state = inst->state;
    return VC_OK;
}

static const struct vc_inst_ops noop_inst = {
    .size = sizeof(noop_inst),
    .create = noop_create,
    .restore = noop_restore,
    .save = noop_save,
    .check = noop_check,
    .cleanup = noop_stop,
    .close = noop_close,
    .caps = noop_caps,
};
static const struct vc_proxy_ops noop_ops = {
    .size = sizeof(noop_ops),
    .start = noop_start,
    .stop = noop_stop,
    .status = noop_status,
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_PROXY,
    .name = "noop",
    .vendor = "libvccore",
    .version = PACKAGE_VERSION,
    .description = "Does nothing and passes on any agent address, for agents that talk to nobody.",
    .option_stride = sizeof(struct vc_option),
    .state_version = 1,
    .state_version_min = 1,
    .inst = &noop_inst,
    .ops = &noop_ops,
};
