/* SPDX-License-Identifier: Apache-2.0 */
/* plugin.c: a plugin of each kind with nothing behind it, as it was written for this release; built with -DKIND=1..5
 * against this release's headers and loaded into today's library.  Not changed once the release is out. */
#include <stdlib.h>
#include <string.h>

#include <vc/agent.h>
#include <vc/hypervisor.h>
#include <vc/network.h>
#include <vc/proxy.h>
#include <vc/shim.h>

struct vc_inst {
    const vc_host *host;
    char state[8]; /* of the VM, sandbox, proxy, ...: 'n' none, 'c' created, 'r' running, 's' stopped */
};

__attribute__((unused)) static int fail(vc_inst *i, const struct vc_call *call, int code, const char *text)
{
    return i->host->err_set(i->host, call->err, code, 0, text, strlen(text));
}

static int s_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id, vc_inst **out)
{
    (void)call;
    (void)pod_id;
    int64_t number = 0;
    if (host->cfg_int(host, cfg, "number", &number) != VC_OK || number != 42)
        return host->err_set(host, call->err, VC_E_INTERNAL, 0, "the default of number is not 42", 31);
    vc_inst *i = calloc(1, sizeof(*i));
    if (!i)
        return VC_E_NOMEM;
    i->host = host;
    i->state[0] = 'n';
    *out = i;
    return VC_OK;
}

static int s_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                     uint32_t version, struct vc_bytes state, vc_inst **out)
{
    if (version != 1 || state.len != 1 || !strchr("ncrs", *(const char *)state.data) || !*(const char *)state.data)
        return host->err_set(host, call->err, VC_E_CORRUPT, 0, "the state is not one letter", 27);
    int rc = s_create(host, call, cfg, pod_id, out);
    if (rc == VC_OK)
        (*out)->state[0] = *(const char *)state.data;
    return rc;
}

static int s_save(vc_inst *i, const struct vc_call *call, vc_sink *out)
{
    (void)call;
    return i->host->write(i->host, out, i->state, 1);
}

static int s_check(vc_inst *i, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    *health = i->state[0] == 'r' ? VC_HEALTH_OK : VC_HEALTH_GONE;
    return VC_OK;
}

static int s_cleanup(vc_inst *i, const struct vc_call *call)
{
    (void)call;
    i->state[0] = 's';
    return VC_OK;
}

static void s_close(vc_inst *i)
{
    free(i);
}

#if KIND == 1
#define CAPS (VC_HV_CAP_NO_GUEST | VC_HV_CAP_PAUSE)
#elif KIND == 2
#define CAPS VC_AG_CAP_NO_GUEST
#elif KIND == 4
#define CAPS VC_SHIM_CAP_NONE
#elif KIND == 5
#define CAPS VC_NET_CAP_NONE
#else
#define CAPS 0
#endif

static uint64_t s_caps(vc_inst *i)
{
    (void)i;
    return CAPS;
}

static const struct vc_inst_ops inst_ops = {
    .size = sizeof(inst_ops), .create = s_create, .restore = s_restore, .save = s_save, .check = s_check,
    .cleanup = s_cleanup, .close = s_close, .caps = s_caps,
};

#define PLAIN(name, letter) \
    static int name(vc_inst *i, const struct vc_call *call) { (void)call; i->state[0] = (letter); return VC_OK; }

#if KIND == 1
static int vm_create(vc_inst *i, const struct vc_call *call, const struct vc_vm_config *config)
{
    if (i->state[0] != 'n')
        return fail(i, call, VC_E_EXISTS, "the VM exists already");
    (void)config;
    i->state[0] = 'c';
    return VC_OK;
}
static int vm_start(vc_inst *i, const struct vc_call *call)
{
    if (i->state[0] != 'c')
        return fail(i, call, VC_E_STATE, "the VM cannot be started now");
    i->state[0] = 'r';
    return VC_OK;
}
static int vm_stop(vc_inst *i, const struct vc_call *call, uint32_t flags)
{
    (void)call;
    (void)flags;
    i->state[0] = 's';
    return VC_OK;
}
static int vm_state(vc_inst *i, const struct vc_call *call, uint32_t *state)
{
    (void)call;
    *state = i->state[0] == 'n' ? VC_VM_NONE : i->state[0] == 'c' ? VC_VM_CREATED : i->state[0] == 'r' ? VC_VM_RUNNING : VC_VM_STOPPED;
    return VC_OK;
}
static int nothing(vc_inst *i, const struct vc_call *call, vc_sink *out)
{
    (void)i;
    (void)call;
    (void)out;
    return VC_OK;
}
PLAIN(vm_pause, 'r')
PLAIN(vm_resume, 'r')
static const struct vc_hypervisor_ops ops = {
    .size = sizeof(ops), .vm_create = vm_create, .vm_start = vm_start, .vm_stop = vm_stop, .vm_state = vm_state,
    .agent_endpoint = nothing, .console = nothing, .pids = nothing, .vm_pause = vm_pause, .vm_resume = vm_resume,
};
#elif KIND == 2
static int a_connect(vc_inst *i, const struct vc_call *call, const char *uri)
{
    return *uri ? fail(i, call, VC_E_INVAL, "there is no guest to connect to") : VC_OK;
}
static int a_nothing(vc_inst *i, const struct vc_call *call)
{
    (void)i;
    (void)call;
    return VC_OK;
}
static int a_sandbox(vc_inst *i, const struct vc_call *call, const struct vc_sandbox *sandbox)
{
    if (!sandbox->id)
        return fail(i, call, VC_E_INVAL, "a sandbox has an id");
    i->state[0] = 'r';
    return VC_OK;
}
PLAIN(a_destroy, 's')
static int a_create(vc_inst *i, const struct vc_call *call, const struct vc_ctr *ctr)
{
    return ctr->id && ctr->spec.len ? VC_OK : fail(i, call, VC_E_INVAL, "a container has an id and a spec");
}
static int a_ctr(vc_inst *i, const struct vc_call *call, const char *ctr)
{
    (void)i;
    (void)call;
    (void)ctr;
    return VC_OK;
}
static int a_exec(vc_inst *i, const struct vc_call *call, const char *ctr, const struct vc_exec *exec)
{
    (void)ctr;
    (void)exec;
    return fail(i, call, VC_E_UNSUPPORTED, "there is no guest to run it in");
}
static int a_signal(vc_inst *i, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t sig, uint32_t flags)
{
    (void)ctr;
    (void)exec_id;
    (void)sig;
    (void)flags;
    return fail(i, call, VC_E_NOTFOUND, "there is no process");
}
static int a_wait(vc_inst *i, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t *status)
{
    (void)ctr;
    (void)exec_id;
    (void)status;
    return fail(i, call, VC_E_NOTFOUND, "there is no process");
}
static int a_stdio(vc_inst *i, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t fds[3])
{
    (void)ctr;
    (void)exec_id;
    (void)fds;
    return fail(i, call, VC_E_UNSUPPORTED, "there is no process");
}
static int a_resize(vc_inst *i, const struct vc_call *call, const char *ctr, const char *exec_id, uint32_t rows, uint32_t cols)
{
    (void)ctr;
    (void)exec_id;
    (void)rows;
    (void)cols;
    return fail(i, call, VC_E_STATE, "there is no terminal");
}
static const struct vc_agent_ops ops = {
    .size = sizeof(ops), .connect = a_connect, .disconnect = a_nothing, .ping = a_nothing, .sandbox_create = a_sandbox,
    .sandbox_destroy = a_destroy, .ctr_create = a_create, .ctr_start = a_ctr, .ctr_remove = a_ctr, .exec = a_exec,
    .signal = a_signal, .wait = a_wait, .stdio = a_stdio, .tty_resize = a_resize,
};
#elif KIND == 3
static int p_start(vc_inst *i, const struct vc_call *call, const struct vc_proxy_params *params, struct vc_proc *proc, vc_sink *uri)
{
    (void)call;
    i->state[0] = 'r';
    *proc = (struct vc_proc){ 0 };
    return i->host->write(i->host, uri, params->agent_uri, strlen(params->agent_uri));
}
PLAIN(p_stop, 's')
static int p_status(vc_inst *i, const struct vc_call *call, uint32_t *state)
{
    (void)call;
    *state = i->state[0] == 'r' ? VC_PROXY_RUNNING : i->state[0] == 'n' ? VC_PROXY_NONE : VC_PROXY_STOPPED;
    return VC_OK;
}
static const struct vc_proxy_ops ops = { .size = sizeof(ops), .start = p_start, .stop = p_stop, .status = p_status };
#elif KIND == 4
static int sh_start(vc_inst *i, const struct vc_call *call, const struct vc_shim_params *params, struct vc_proc *proc)
{
    if (!params->container_id)
        return fail(i, call, VC_E_INVAL, "a shim is that of a container");
    i->state[0] = 'r';
    *proc = (struct vc_proc){ 0 };
    return VC_OK;
}
static int sh_stop(vc_inst *i, const struct vc_call *call, const char *ctr, const char *exec_id)
{
    (void)call;
    (void)ctr;
    (void)exec_id;
    i->state[0] = 's';
    return VC_OK;
}
static int sh_status(vc_inst *i, const struct vc_call *call, const char *ctr, const char *exec_id, uint32_t *state, int32_t *status)
{
    (void)i;
    (void)call;
    (void)ctr;
    (void)exec_id;
    *state = VC_SHIM_ABSENT;
    if (status)
        *status = -1;
    return VC_OK;
}
static const struct vc_shim_ops ops = { .size = sizeof(ops), .start = sh_start, .stop = sh_stop, .status = sh_status };
#else
static int n_setup(vc_inst *i, const struct vc_call *call, const struct vc_net_request *req, int32_t *nsfd)
{
    (void)call;
    (void)req;
    i->state[0] = 'r';
    *nsfd = -1;
    return VC_OK;
}
static int n_scan(vc_inst *i, const struct vc_call *call, vc_sink *out)
{
    (void)call;
    return i->host->write(i->host, out, "[]", 2);
}
static int n_attach(vc_inst *i, const struct vc_call *call, const struct vc_endpoint *ep, struct vc_device *out)
{
    (void)ep;
    (void)out;
    return fail(i, call, VC_E_NOTFOUND, "there is no endpoint");
}
static int n_detach(vc_inst *i, const struct vc_call *call, const char *id)
{
    (void)i;
    (void)call;
    (void)id;
    return VC_OK;
}
static int n_config(vc_inst *i, const struct vc_call *call, vc_sink *out)
{
    (void)i;
    (void)call;
    (void)out;
    return VC_OK;
}
PLAIN(n_teardown, 's')
static const struct vc_network_ops ops = {
    .size = sizeof(ops), .setup = n_setup, .scan = n_scan, .attach = n_attach, .detach = n_detach, .guest_config = n_config,
    .teardown = n_teardown,
};
#endif

static const struct vc_option options[] = {
    { .key = "number", .type = VC_OPT_INT, .min = 1, .max = 99, .def = "42", .doc = "A number." },
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = KIND,
    .name = "sample",
    .vendor = "tests",
    .version = "1",
    .description = "A sample with nothing behind it.",
    .options = options,
    .n_options = 1,
    .option_stride = sizeof(struct vc_option),
    .state_version = 1,
    .state_version_min = 1,
    .caps_max = CAPS,
    .inst = &inst_ops,
    .ops = &ops,
};
