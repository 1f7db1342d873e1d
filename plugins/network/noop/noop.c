/* SPDX-License-Identifier: Apache-2.0 */
/* noop.c: network plugin "noop": pods have no network. */
#include <string.h>

#include <vc/network.h>

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
        return vcs_fail(host, call, VC_E_NOMEM, 0, "network noop: no memory");
    inst->host = host;
    *out = inst;
    return VC_OK;
}

static int noop_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    if (state_version != STATE_VERSION)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "network noop: state version %u of pod %s is unknown, %d is known",
                        state_version, pod_id, STATE_VERSION);
    if (state.len != 2 || memcmp(state.data, "{}", 2) != 0)
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "network noop: the stored state of pod %s cannot be read", pod_id);
    return noop_create(host, call, cfg, pod_id, out);
}

static int noop_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    int rc = vcs_put(inst->host, out, "{}");
    return rc == VC_OK ? rc : vcs_fail(inst->host, call, rc, 0, "network noop: the state cannot be written");
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
    return VC_NET_CAP_NONE;
}

static int noop_setup(vc_inst *inst, const struct vc_call *call, const struct vc_net_request *req, int32_t *out_nsfd)
{
    if (req->netns_path)
        return vcs_fail(inst->host, call, VC_E_UNSUPPORTED, 0,
                        "network noop cannot put a pod into the namespace %s: choose another network plugin",
                        req->netns_path);
    *out_nsfd = -1;
    return VC_OK;
}

static int noop_scan(vc_inst *inst, const struct vc_call *call, vc_sink *endpoints)
{
    int rc = vcs_put(inst->host, endpoints, "[]");
    return rc == VC_OK ? rc
                       : vcs_fail(inst->host, call, rc, 0, "network noop: the list of endpoints cannot be written");
}

static int noop_attach(vc_inst *inst, const struct vc_call *call, const struct vc_endpoint *ep, struct vc_device *out)
{
    (void)out;
    return vcs_fail(inst->host, call, VC_E_NOTFOUND, 0, "network noop has no endpoint \"%s\": pods have no network",
                    ep->id ? ep->id : "");
}

static int noop_detach(vc_inst *inst, const struct vc_call *call, const char *endpoint_id)
{
    (void)inst;
    (void)call;
    (void)endpoint_id;
    return VC_OK;
}

/* Nothing is to be set up inside: the text stays empty. */
static int noop_guest_config(vc_inst *inst, const struct vc_call *call, vc_sink *json)
{
    (void)inst;
    (void)call;
    (void)json;
    return VC_OK;
}

static int noop_teardown(vc_inst *inst, const struct vc_call *call)
{
    (void)inst;
    (void)call;
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

static const struct vc_network_ops noop_ops = {
    .size = sizeof(noop_ops),
    .setup = noop_setup,
    .scan = noop_scan,
    .attach = noop_attach,
    .detach = noop_detach,
    .guest_config = noop_guest_config,
    .teardown = noop_teardown,
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_NETWORK,
    .name = "noop",
    .vendor = "libvccore",
    .version = PACKAGE_VERSION,
    .description = "Pods have no network.",
    .option_stride = sizeof(struct vc_option),
    .state_version = STATE_VERSION,
    .state_version_min = STATE_VERSION,
    .caps_max = VC_NET_CAP_NONE,
    .inst = &noop_inst,
    .ops = &noop_ops,
};
