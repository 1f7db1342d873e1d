/* SPDX-License-Identifier: Apache-2.0 */
/* bad.h: a correct plugin of kind proxy, of which each file beside this one breaks exactly one rule by defining one of
 * these macros first. */
#ifndef BAD_H
#define BAD_H

#include <vc/proxy.h>

#ifndef BAD_NAME
#error "BAD_NAME is the name of the file without .c"
#endif
#ifndef BAD_MAGIC
#define BAD_MAGIC VC_PLUGIN_MAGIC
#endif
#ifndef BAD_MAJOR
#define BAD_MAJOR VC_ABI_MAJOR
#endif
#ifndef BAD_MIN_HOST_MINOR
#define BAD_MIN_HOST_MINOR 0
#endif
#ifndef BAD_KIND
#define BAD_KIND VC_KIND_PROXY
#endif
#ifndef BAD_OWN_NAME
#define BAD_OWN_NAME BAD_NAME
#endif
#ifndef BAD_DESC_SIZE
#define BAD_DESC_SIZE sizeof(struct vc_plugin)
#endif
#ifndef BAD_OPS_SIZE
#define BAD_OPS_SIZE sizeof(struct vc_proxy_ops)
#endif
#ifndef BAD_DESCRIPTION
#define BAD_DESCRIPTION "A plugin for the tests of the loader."
#endif
#ifndef BAD_RESERVED
#define BAD_RESERVED 0
#endif
#ifndef BAD_VENDOR
#define BAD_VENDOR "tests"
#endif
#ifndef BAD_CAPS
#define BAD_CAPS 0
#endif
#ifndef BAD_STATE_MIN
#define BAD_STATE_MIN 1
#endif
#ifndef BAD_STRIDE
#define BAD_STRIDE sizeof(struct vc_option)
#endif
#ifndef BAD_N_OPTIONS
#define BAD_N_OPTIONS (sizeof(bad_options) / sizeof(bad_options[0]))
#endif
#ifndef BAD_OPTIONS
#define BAD_OPTIONS { "word", VC_OPT_STRING, 0, 0, 0, "x", NULL, "A word." }
#endif
#ifndef BAD_STOP
#define BAD_STOP bad_stop
#endif
#ifndef BAD_STATUS
#define BAD_STATUS bad_status
#endif
#ifndef BAD_SAVE
#define BAD_SAVE bad_save
#endif
#ifndef BAD_LOAD
#define BAD_LOAD NULL
#endif
#ifndef BAD_OPS
#define BAD_OPS &bad_ops
#endif
#ifndef BAD_INST
#define BAD_INST &bad_inst
#endif

struct vc_inst {
    const vc_host *host;
};

static int bad_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id, vc_inst **out)
{
    (void)call;
    (void)cfg;
    (void)pod_id;
#ifdef BAD_CREATE_ASKS
    const char *value = NULL;
    int r = host->cfg_str(host, cfg, BAD_CREATE_ASKS, 0, &value);
    if (r)
        return r;
#endif
#ifdef BAD_CREATE_FIRST
    return BAD_CREATE_FIRST(host, call);
#endif
    struct vc_inst *i = host->alloc(host, sizeof(*i));
#ifdef BAD_CREATE_NOMEM
    if (!i)
        BAD_CREATE_NOMEM;
#endif
    if (!i)
        return VC_E_NOMEM;
    i->host = host;
    *out = i;
    return VC_OK;
}

static int bad_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    (void)state_version;
    (void)state;
#ifdef BAD_RESTORE_FIRST
    return BAD_RESTORE_FIRST;
#endif
    return bad_create(host, call, cfg, pod_id, out);
}

__attribute__((unused)) static int bad_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    (void)call;
    return inst->host->write(inst->host, out, "x", 1);
}

static int bad_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)inst;
    (void)call;
    *health = VC_HEALTH_GONE;
#ifdef BAD_CHECK_CODE
    return BAD_CHECK_CODE;
#endif
    return VC_OK;
}

static int bad_cleanup(vc_inst *inst, const struct vc_call *call)
{
    (void)inst;
    (void)call;
    return VC_OK;
}

static void bad_close(vc_inst *inst)
{
    inst->host->free(inst->host, inst);
}

static uint64_t bad_caps(vc_inst *inst)
{
    (void)inst;
    return 0;
}

static int bad_start(vc_inst *inst, const struct vc_call *call, const struct vc_proxy_params *params, struct vc_proc *proc,
                     vc_sink *uri)
{
    (void)inst;
    (void)call;
    (void)params;
    (void)uri;
    proc->pid = 0;
    return VC_OK;
}

__attribute__((unused)) static int bad_stop(vc_inst *inst, const struct vc_call *call)
{
    (void)inst;
    (void)call;
    return VC_OK;
}

__attribute__((unused)) static int bad_status(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
    (void)inst;
    (void)call;
    *state = VC_PROXY_NONE;
    return VC_OK;
}

__attribute__((unused)) static const struct vc_inst_ops bad_inst = {
    .size = sizeof(bad_inst),
    .create = bad_create,
    .restore = bad_restore,
    .save = BAD_SAVE,
    .check = bad_check,
    .cleanup = bad_cleanup,
    .close = bad_close,
    .caps = bad_caps,
};

__attribute__((unused)) static const struct vc_proxy_ops bad_ops = {
    .size = BAD_OPS_SIZE,
    .start = bad_start,
    .stop = BAD_STOP,
    .status = BAD_STATUS,
};

static const struct vc_option bad_options[] = { BAD_OPTIONS };

VC_EXPORT extern const struct vc_plugin vc_plugin_entry;
VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = BAD_MAGIC,
    .abi_major = BAD_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = BAD_DESC_SIZE,
    .min_host_minor = BAD_MIN_HOST_MINOR,
    .kind = BAD_KIND,
    .name = BAD_OWN_NAME,
    .vendor = BAD_VENDOR,
    .version = "1",
    .description = BAD_DESCRIPTION,
    .reserved = BAD_RESERVED,
    .options = bad_options,
    .n_options = BAD_N_OPTIONS,
    .option_stride = BAD_STRIDE,
    .state_version = 1,
    .state_version_min = BAD_STATE_MIN,
    .caps_max = BAD_CAPS,
    .load = BAD_LOAD,
    .inst = BAD_INST,
    .ops = BAD_OPS,
};

#endif
