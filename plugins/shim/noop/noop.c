/* SPDX-License-Identifier: Apache-2.0 */
/* noop.c: shim plugin "noop": nothing stands on the host for a process inside. */
#include <string.h>

#include <vc/shim.h>

#include "config.h"
#include "lib/plug.h"

#define STATE_VERSION 1

struct vc_inst {
    const vc_host *host;
};

static int noop_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       vc_inst **out)
{
    (void)cfg;
    (void)pod_id;
    vc_inst *inst = calloc(1, sizeof(*inst));
    if (!inst)
        return vcs_fail(host, call, VC_E_NOMEM, 0, "shim noop: no memory");
    inst->host = host;
    *out = inst;
    return VC_OK;
}

static int noop_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    if (state_version != STATE_VERSION)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "shim noop: state version %u of pod %s is unknown, %d is known",
                        state_version, pod_id, STATE_VERSION);
    if (state.len != 2 || memcmp(state.data, "{}", 2) != 0)
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "shim noop: the stored state of pod %s cannot be read", pod_id);
    return noop_create(host, call, cfg, pod_id, out);
}

static int noop_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    int rc = vcs_put(inst->host, out, "{}");
    return rc == VC_OK ? rc : vcs_fail(inst->host, call, rc, 0, "shim noop: the state cannot be written");
}

static int noop_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)inst;
    (void)call;
    *health = VC_HEALTH_OK;
    return VC_OK;
}

static int noop_cleanup(vc_inst *inst, const struct vc_call *call)
{
    (void)inst;
    (void)call;
    return VC_OK;
}

static void noop_close(vc_inst *inst)
{
    free(inst);
}

static uint64_t noop_caps(vc_inst *inst)
{
    (void)inst;
    return VC_SHIM_CAP_NONE;
}

static int noop_start(vc_inst *inst, const struct vc_call *call, const struct vc_shim_params *params,
                      struct vc_proc *proc)
{
    (void)inst;
    (void)call;
    (void)params;
    *proc = (struct vc_proc){ 0 };
    return VC_OK;
}

/* There never was a process to end, whatever the id. */
static int noop_stop(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id)
{
    (void)inst;
    (void)call;
    (void)ctr;
    (void)exec_id;
    return VC_OK;
}

static int noop_status(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, uint32_t *state,
                       int32_t *status)
{
    (void)inst;
    (void)call;
    (void)ctr;
    (void)exec_id;
    *state = VC_SHIM_ABSENT;
    if (status)
        *status = -1;
    return VC_OK;
}

static const struct vc_inst_ops noop_inst = {
    .size = sizeof(noop_inst),
    .create = noop_create,
    .restore = noop_restore,
    .save = noop_save,
    .check = noop_check,
    .cleanup = noop_cleanup,
    .close = noop_close,
    .caps = noop_caps,
};

static const struct vc_shim_ops noop_ops = {
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
    .kind = VC_KIND_SHIM,
    .name = "noop",
    .vendor = "libvccore",
    .version = PACKAGE_VERSION,
    .description = "No process on the host stands for a process inside the VM.",
    .option_stride = sizeof(struct vc_option),
    .state_version = STATE_VERSION,
    .state_version_min = STATE_VERSION,
    .caps_max = VC_SHIM_CAP_NONE,
    .inst = &noop_inst,
    .ops = &noop_ops,
};
