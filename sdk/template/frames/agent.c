/* SPDX-License-Identifier: Apache-2.0 */
/* frame.c: an agent, to begin with: it reaches no guest, and says so (VC_E_UNSUPPORTED) wherever it would need one.
 *
 * Every member is there.  Those that do the work are marked with "YOURS".  Keep vc-plugin-test at hand
 * (`make check`, `vc-plugin-test --explain ID`): a capability bit, an answer of VC_OK and a saved state are promises.
 *
 * The file is C11 and C++ both (`./configure CC=g++`). */
#include <stdlib.h>
#include <string.h>

#include <vc/agent.h>
#include <vcsdk/plug.h>

/* One instance: one pod's.  YOURS: what create reads from the configuration, and what save has to keep. */
struct vc_inst {
    const vc_host *host; /* valid until close */
};

static int frame_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        vc_inst **out)
{
    (void)cfg; /* YOURS: options (vcs_opt_str, vcs_opt_int) are read here, in restore and in probe only */
    vc_inst *inst = (vc_inst *)calloc(1, sizeof(*inst));
    if (!inst)
        return vcs_fail(host, call, VC_E_NOMEM, 0, "frame: no memory for pod %s", pod_id);
    inst->host = host;
    *out = inst;
    return VC_OK;
}

/* YOURS: all that a later process needs and cannot ask the system for.  Version 1: nothing. */
static int frame_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    int r = vcs_put(inst->host, out, "{}");
    return r == VC_OK ? r : vcs_fail(inst->host, call, r, 0, "frame: cannot write the state");
}

static int frame_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                         uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    if (state_version != 1)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "frame: state version %u of pod %s is unknown, 1 is known",
                        state_version, pod_id);
    if (state.len != 2 || memcmp(state.data, "{}", 2) != 0)
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "frame: the stored state of pod %s cannot be read", pod_id);
    return frame_create(host, call, cfg, pod_id, out);
}

/* YOURS: look at the process, the socket, the link; never wait for a guest. */
static int frame_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)inst;
    (void)call;
    *health = VC_HEALTH_GONE;
    return VC_OK;
}

/* YOURS: remove every trace from the system, in whatever state; what is gone already is no failure. */
static int frame_cleanup(vc_inst *inst, const struct vc_call *call)
{
    (void)inst;
    (void)call;
    return VC_OK;
}

static void frame_close(vc_inst *inst)
{
    free(inst);
}

static uint64_t frame_caps(vc_inst *inst)
{
    (void)inst;
    return 0;
}

static int not_yet(vc_inst *inst, const struct vc_call *call, const char *member)
{
    return vcs_fail(inst->host, call, VC_E_UNSUPPORTED, 0, "frame cannot do %s: it does not reach a guest", member);
}

/* YOURS: connect to the address and wait until the agent answers, up to the deadline. */
static int frame_connect(vc_inst *inst, const struct vc_call *call, const char *uri)
{
    return vcs_fail(inst->host, call, VC_E_UNSUPPORTED, 0, "frame cannot connect to %s: it does not reach a guest",
                    uri ? uri : "");
}

static int frame_disconnect(vc_inst *inst, const struct vc_call *call)
{
    (void)inst;
    (void)call;
    return VC_OK; /* there is no connection */
}

/* YOURS: one question, one answer. */
static int frame_ping(vc_inst *inst, const struct vc_call *call)
{
    return not_yet(inst, call, "ping");
}

static int frame_sandbox_create(vc_inst *inst, const struct vc_call *call, const struct vc_sandbox *sandbox)
{
    (void)sandbox;
    return not_yet(inst, call, "sandbox_create");
}

static int frame_sandbox_destroy(vc_inst *inst, const struct vc_call *call)
{
    (void)inst;
    (void)call;
    return VC_OK; /* there is none */
}

/* YOURS: the OCI configuration is ctr->spec, the root file system lies at ctr->rootfs in the shared folder. */
static int frame_ctr_create(vc_inst *inst, const struct vc_call *call, const struct vc_ctr *ctr)
{
    (void)ctr;
    return not_yet(inst, call, "ctr_create");
}

static int frame_ctr_start(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
    (void)ctr;
    return not_yet(inst, call, "ctr_start");
}

static int frame_ctr_remove(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
    (void)inst;
    (void)call;
    (void)ctr;
    return VC_OK; /* it is not there */
}

static int frame_exec(vc_inst *inst, const struct vc_call *call, const char *ctr, const struct vc_exec *exec)
{
    (void)ctr;
    (void)exec;
    return not_yet(inst, call, "exec");
}

static int frame_signal(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t sig,
                        uint32_t flags)
{
    (void)ctr;
    (void)exec_id;
    (void)sig;
    (void)flags;
    return not_yet(inst, call, "signal");
}

/* YOURS: on a thread of the host's, while others call: hold no lock while waiting. */
static int frame_wait(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t *status)
{
    (void)ctr;
    (void)exec_id;
    (void)status;
    return not_yet(inst, call, "wait");
}

static int frame_tty_resize(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id,
                            uint32_t rows, uint32_t cols)
{
    (void)ctr;
    (void)exec_id;
    (void)rows;
    (void)cols;
    return not_yet(inst, call, "tty_resize");
}

static const struct vc_inst_ops frame_inst = {
    .size = sizeof(struct vc_inst_ops),
    .reserved = 0,
    .create = frame_create,
    .restore = frame_restore,
    .save = frame_save,
    .check = frame_check,
    .cleanup = frame_cleanup,
    .close = frame_close,
    .caps = frame_caps,
    .cancel = NULL,
    .ext = NULL,
};

static const struct vc_agent_ops frame_ops = {
    .size = sizeof(struct vc_agent_ops),
    .reserved = 0,
    .connect = frame_connect,
    .disconnect = frame_disconnect,
    .ping = frame_ping,
    .sandbox_create = frame_sandbox_create,
    .sandbox_destroy = frame_sandbox_destroy,
    .ctr_create = frame_ctr_create,
    .ctr_start = frame_ctr_start,
    .ctr_remove = frame_ctr_remove,
    .exec = frame_exec,
    .signal = frame_signal,
    .wait = frame_wait,
    .stdio = NULL, /* VC_AG_CAP_STDIO; each NULL below goes with its bit, too */
    .tty_resize = frame_tty_resize,
    .ps = NULL,
    .net_update = NULL,
    .stats = NULL,
    .ctr_pause = NULL,
    .ctr_resume = NULL,
    .ctr_update = NULL,
    .settle = NULL,
    .renew = NULL,
    .online = NULL,
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .min_host_minor = 0,
    .kind = VC_KIND_AGENT,
    .reserved = 0,
    .name = "frame",
    .vendor = "nobody yet",
    .version = "1.0",
    .description = "Reaches no guest yet.",
    .options = NULL,
    .n_options = 0,
    .option_stride = sizeof(struct vc_option),
    .state_version = 1,
    .state_version_min = 1,
    .caps_max = 0,
    .load = NULL,
    .probe = NULL,
    .inst = &frame_inst,
    .ops = &frame_ops,
};
