/* SPDX-License-Identifier: Apache-2.0 */
/* record-shim.c: a shim plugin that starts nothing, and writes down in the file of its option what it was asked to start:
 * "CONTAINER/EXEC FLAGS STDIN STDOUT STDERR", the last three as paths, or "-". */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <vc/shim.h>

#include "lib/plug.h"

#define STATE_VERSION 1

struct vc_inst {
    const vc_host *host;
    char *file;
};

static int record_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       vc_inst **out)
{
    (void)pod_id;
    const char *file = vcs_opt_str(host, cfg, "file");
    vc_inst *inst = calloc(1, sizeof(*inst));
    if (!inst || !file || !(inst->file = strdup(file))) {
        free(inst);
        return vcs_fail(host, call, VC_E_NOMEM, 0, "shim record: no memory");
    }
    inst->host = host;
    *out = inst;
    return VC_OK;
}

static int record_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    if (state_version != STATE_VERSION)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "shim record: state version %u of pod %s is unknown", state_version,
                        pod_id);
    if (state.len != 2 || memcmp(state.data, "{}", 2) != 0)
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "shim record: the stored state of pod %s cannot be read", pod_id);
    return record_create(host, call, cfg, pod_id, out);
}

static int record_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    int rc = vcs_put(inst->host, out, "{}");
    return rc == VC_OK ? rc : vcs_fail(inst->host, call, rc, 0, "shim record: the state cannot be written");
}

static int record_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)inst;
    (void)call;
    *health = VC_HEALTH_OK;
    return VC_OK;
}

static int record_cleanup(vc_inst *inst, const struct vc_call *call)
{
    (void)inst;
    (void)call;
    return VC_OK;
}

static void record_close(vc_inst *inst)
{
    free(inst->file);
    free(inst);
}

static uint64_t record_caps(vc_inst *inst)
{
    (void)inst;
    return VC_SHIM_CAP_NONE;
}

static int record_start(vc_inst *inst, const struct vc_call *call, const struct vc_shim_params *params,
                        struct vc_proc *proc)
{
    char link[64], path[3][PATH_MAX] = { "-", "-", "-" };
    for (int i = 0; i < 3; i++) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", params->stdio[i]);
        ssize_t n = params->stdio[i] < 0 ? 0 : readlink(link, path[i], sizeof path[i] - 1);
        if (n > 0)
            path[i][n] = '\0';
    }
    FILE *f = fopen(inst->file, "ae");
    if (!f || fprintf(f, "%s/%s %u %s %s %s\n", params->container_id, params->exec_id, params->flags, path[0], path[1],
                      path[2]) < 0 || fclose(f) < 0)
        return vcs_fail(inst->host, call, VC_E_IO, 0, "shim record: cannot write %s", inst->file);
    *proc = (struct vc_proc){ 0 };
    return VC_OK;
}

/* There never was a process to end, whatever the id. */
static int record_stop(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id)
{
    (void)inst;
    (void)call;
    (void)ctr;
    (void)exec_id;
    return VC_OK;
}

static int record_status(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, uint32_t *state,
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

static const struct vc_inst_ops record_inst = {
    .size = sizeof(record_inst),
    .create = record_create,
    .restore = record_restore,
    .save = record_save,
    .check = record_check,
    .cleanup = record_cleanup,
    .close = record_close,
    .caps = record_caps,
};

static const struct vc_shim_ops record_ops = {
    .size = sizeof(record_ops),
    .start = record_start,
    .stop = record_stop,
    .status = record_status,
};

static const struct vc_option options[] = {
    { .key = "file", .type = VC_OPT_PATH, .flags = VC_OPT_REQUIRED, .doc = "Where it writes to." },
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_SHIM,
    .name = "record",
    .vendor = "libvccore tests",
    .version = "1",
    .description = "Writes down what it was asked to start.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .option_stride = sizeof(struct vc_option),
    .state_version = STATE_VERSION,
    .state_version_min = STATE_VERSION,
    .caps_max = VC_SHIM_CAP_NONE,
    .inst = &record_inst,
    .ops = &record_ops,
};
