/* SPDX-License-Identifier: Apache-2.0 */
/* frame.c: a shim, to begin with: no process on the host stands for one in the VM (VC_SHIM_CAP_NONE), which is true
 * as long as none is started.
 *
 * Every member is there.  Those that do the work are marked with "YOURS".  Keep vc-plugin-test at hand
 * (`make check`, `vc-plugin-test --explain ID`): a capability bit, an answer of VC_OK and a saved state are promises.
 *
 * The file is C11 and C++ both (`./configure CC=g++`). */
#include <stdlib.h>
#include <string.h>

#include <vc/shim.h>
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
    *health = VC_HEALTH_OK;
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
    return VC_SHIM_CAP_NONE;
}

/* YOURS: host->spawn a process that carries the streams, and clear the bit above. */
static int frame_start(vc_inst *inst, const struct vc_call *call, const struct vc_shim_params *params,
                       struct vc_proc *proc)
{
    (void)inst;
    (void)call;
    (void)params;
    memset(proc, 0, sizeof(*proc));
    return VC_OK;
}

/* YOURS: end it; VC_E_NOTFOUND for ids that never had one.  (Without processes, all are as if they had ended.) */
static int frame_stop(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id)
{
    (void)inst;
    (void)call;
    (void)ctr;
    (void)exec_id;
    return VC_OK;
}

static int frame_status(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id,
                        uint32_t *state, int32_t *status)
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

static const struct vc_shim_ops frame_ops = {
    .size = sizeof(struct vc_shim_ops),
    .reserved = 0,
    .start = frame_start,
    .stop = frame_stop,
    .status = frame_status,
    .attach = NULL,
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
    .kind = VC_KIND_SHIM,
    .reserved = 0,
    .name = "frame",
    .vendor = "nobody yet",
    .version = "1.0",
    .description = "No process on the host stands for a process inside the VM.",
    .options = NULL,
    .n_options = 0,
    .option_stride = sizeof(struct vc_option),
    .state_version = 1,
    .state_version_min = 1,
    .caps_max = VC_SHIM_CAP_NONE,
    .load = NULL,
    .probe = NULL,
    .inst = &frame_inst,
    .ops = &frame_ops,
};
