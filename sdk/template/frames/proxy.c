/* SPDX-License-Identifier: Apache-2.0 */
/* frame.c: a proxy, to begin with: it has no process, and passes the agent's address through as it is.
 *
 * Every member is there.  Those that do the work are marked with "YOURS".  Keep vc-plugin-test at hand
 * (`make check`, `vc-plugin-test --explain ID`): a capability bit, an answer of VC_OK and a saved state are promises.
 *
 * The file is C11 and C++ both (`./configure CC=g++`). */
#include <stdlib.h>
#include <string.h>

#include <vc/proxy.h>
#include <vcsdk/plug.h>

/* One instance: one pod's.  YOURS: what create reads from the configuration, and what save has to keep. */
struct vc_inst {
    const vc_host *host; /* valid until close */
    uint32_t state;      /* VC_PROXY_* */
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

/* YOURS: with a process, its struct vc_proc and its address, too.  Version 1: one digit, the state. */
static int frame_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    const char text[] = { (char)('0' + inst->state), '\0' };
    int r = vcs_put(inst->host, out, text);
    return r == VC_OK ? r : vcs_fail(inst->host, call, r, 0, "frame: cannot write the state");
}

static int frame_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                         uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    const char *text = (const char *)state.data;
    if (state_version != 1)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "frame: state version %u of pod %s is unknown, 1 is known",
                        state_version, pod_id);
    if (state.len != 1 || text[0] < '0' || text[0] > '0' + VC_PROXY_STOPPED)
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "frame: the stored state of pod %s cannot be read", pod_id);
    int r = frame_create(host, call, cfg, pod_id, out);
    if (r == VC_OK)
        (*out)->state = (uint32_t)(text[0] - '0');
    return r;
}

/* YOURS: look at the process, the socket, the link; never wait for a guest. */
static int frame_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    *health = inst->state == VC_PROXY_RUNNING ? VC_HEALTH_OK : VC_HEALTH_GONE;
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

/* YOURS: host->spawn the proxy, wait until its socket can be connected to, and write that address. */
static int frame_start(vc_inst *inst, const struct vc_call *call, const struct vc_proxy_params *params,
                       struct vc_proc *proc, vc_sink *uri)
{
    const char *agent = params->agent_uri ? params->agent_uri : "";
    if (inst->state == VC_PROXY_RUNNING)
        return vcs_fail(inst->host, call, VC_E_EXISTS, 0, "frame was started already");
    if (!strncmp(agent, "serial://", 9))
        return vcs_fail(inst->host, call, VC_E_UNSUPPORTED, 0, "frame cannot share %s, which takes one client", agent);
    int r = vcs_put(inst->host, uri, agent);
    if (r != VC_OK)
        return vcs_fail(inst->host, call, r, 0, "frame: cannot pass on the address %s", agent);
    memset(proc, 0, sizeof(*proc));
    inst->state = VC_PROXY_RUNNING;
    return VC_OK;
}

/* YOURS: end the process and wait for it (vcs_proc_end), and remove its socket.  It is cleanup, too. */
static int frame_stop(vc_inst *inst, const struct vc_call *call)
{
    (void)call;
    if (inst->state == VC_PROXY_RUNNING)
        inst->state = VC_PROXY_STOPPED;
    return VC_OK;
}

static int frame_status(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
    (void)call;
    *state = inst->state;
    return VC_OK;
}

static const struct vc_inst_ops frame_inst = {
    .size = sizeof(struct vc_inst_ops),
    .reserved = 0,
    .create = frame_create,
    .restore = frame_restore,
    .save = frame_save,
    .check = frame_check,
    .cleanup = frame_stop,
    .close = frame_close,
    .caps = frame_caps,
    .cancel = NULL,
    .ext = NULL,
};

static const struct vc_proxy_ops frame_ops = {
    .size = sizeof(struct vc_proxy_ops),
    .reserved = 0,
    .start = frame_start,
    .stop = frame_stop,
    .status = frame_status,
};

/* YOURS: the path of a helper program is an option, so that it can be moved, and a test can name one that is not installed.
 * (The end of Makefile.am has the lines that build it, install it, and give its path to this file and to the tests.)
 *
 *     static const struct vc_option frame_options[] = {
 *         { "helper", VC_OPT_PATH, VC_OPT_MUST_EXIST, 0, 0, HELPER_PATH, NULL, "The program that carries the bytes." },
 *     };
 *
 * `.options = frame_options, .n_options = 1` below; create reads it: vcs_opt_str(host, cfg, "helper"). */

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .min_host_minor = 0,
    .kind = VC_KIND_PROXY,
    .reserved = 0,
    .name = "frame",
    .vendor = "nobody yet",
    .version = "1.0",
    .description = "Passes the address of the agent through.",
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
