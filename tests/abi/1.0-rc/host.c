/* SPDX-License-Identifier: Apache-2.0 */
/* host.c: a host as somebody wrote it for this release, in miniature: loads a plugin of today and leads an instance through
 * its life, with what this release's headers know.  Not changed once the release is out.  usage: host PLUGIN.so */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vc/hypervisor.h>
#include <vc/network.h>
#include <vc/proxy.h>
#include <vc/shim.h>

struct vc_err {
    char text[1200];
};
struct vc_sink {
    char bytes[70000];
    uint64_t len;
};
struct vc_config {
    const struct vc_plugin *plugin;
};

static void h_log(const vc_host *host, int32_t level, const char *msg, uint64_t len)
{
    (void)host;
    (void)level;
    (void)msg;
    (void)len;
}
static int h_log_enabled(const vc_host *host, int32_t level)
{
    (void)host;
    return level <= VC_LOG_WARN;
}
static int h_err_set(const vc_host *host, vc_err *err, int32_t code, int32_t sys_errno, const char *msg, uint64_t len)
{
    (void)host;
    (void)sys_errno;
    if (err)
        snprintf(err->text, sizeof(err->text), "%.*s", (int)len, msg);
    return code;
}
static void h_err_context(const vc_host *host, vc_err *err, const char *msg, uint64_t len)
{
    (void)host;
    (void)err;
    (void)msg;
    (void)len;
}
static void *h_alloc(const vc_host *host, uint64_t size)
{
    (void)host;
    return calloc(1, size ? (size_t)size : 1);
}
static void h_free(const vc_host *host, void *mem)
{
    (void)host;
    free(mem);
}
static int h_write(const vc_host *host, vc_sink *sink, const void *data, uint64_t len)
{
    (void)host;
    if (len >= sizeof(sink->bytes) - sink->len)
        return VC_E_RESOURCE;
    memcpy(sink->bytes + sink->len, data, (size_t)len);
    sink->len += len;
    sink->bytes[sink->len] = '\0';
    return VC_OK;
}
static const struct vc_option *option(const vc_config *cfg, const char *key)
{
    for (uint32_t i = 0; i < cfg->plugin->n_options; i++) {
        const struct vc_option *o = (const void *)((const char *)cfg->plugin->options + (size_t)i * cfg->plugin->option_stride);
        if (strcmp(o->key, key) == 0)
            return o;
    }
    return NULL;
}
static int h_cfg_str(const vc_host *host, const vc_config *cfg, const char *key, uint32_t idx, const char **out)
{
    (void)host;
    const struct vc_option *o = option(cfg, key);
    if (!o || !o->def || idx)
        return VC_E_NOTFOUND;
    *out = o->def;
    return VC_OK;
}
static int h_cfg_int(const vc_host *host, const vc_config *cfg, const char *key, int64_t *out)
{
    (void)host;
    const struct vc_option *o = option(cfg, key);
    if (!o || !o->def)
        return VC_E_NOTFOUND;
    char *unit;
    *out = o->type == VC_OPT_BOOL ? strcmp(o->def, "true") == 0 : strtoll(o->def, &unit, 10);
    const char *units = "KMGT", *at = o->type == VC_OPT_SIZE && *unit ? strchr(units, *unit) : NULL;
    for (ptrdiff_t n = at ? at - units + 1 : 0; n > 0; n--)
        *out *= 1024;
    return VC_OK;
}
static int h_cfg_count(const vc_host *host, const vc_config *cfg, const char *key, uint32_t *out)
{
    (void)host;
    *out = option(cfg, key) && option(cfg, key)->def;
    return VC_OK;
}
static int h_path(const vc_host *host, uint32_t which, vc_sink *sink)
{
    (void)which;
    return h_write(host, sink, "/nonexistent", 12);
}
static int h_sink_new(const vc_host *host, vc_sink **out)
{
    *out = h_alloc(host, sizeof(vc_sink));
    return *out ? VC_OK : VC_E_NOMEM;
}
static int h_sink_bytes(const vc_host *host, vc_sink *sink, struct vc_bytes *out)
{
    (void)host;
    *out = (struct vc_bytes){ sink->bytes, sink->len };
    return VC_OK;
}
static int h_spawn(const vc_host *host, const struct vc_call *call, const struct vc_spawn *spawn, struct vc_proc *out)
{
    (void)spawn;
    (void)out;
    return h_err_set(host, call->err, VC_E_UNSUPPORTED, 0, "this host starts nothing", 24);
}
static int h_proc_fd(const vc_host *host, const struct vc_proc *proc, int32_t *pidfd)
{
    (void)host;
    (void)proc;
    (void)pidfd;
    return VC_E_NOTFOUND;
}
static int h_proc_wait(const vc_host *host, const struct vc_call *call, const struct vc_proc *proc, int32_t *status)
{
    (void)host;
    (void)call;
    (void)proc;
    (void)status;
    return VC_OK;
}
static int h_proc_done(const vc_host *host, const struct vc_proc *proc)
{
    (void)host;
    (void)proc;
    return VC_OK;
}
static int h_netns_run(const vc_host *host, const struct vc_call *call, int32_t netns_fd, int (*fn)(void *), void *arg)
{
    (void)host;
    (void)call;
    return netns_fd == -1 ? fn(arg) : VC_E_UNSUPPORTED;
}
static int h_res(const vc_host *host, uint32_t type, const char *name)
{
    (void)host;
    (void)type;
    (void)name;
    return VC_OK;
}
static int h_cancelled(const vc_host *host, const struct vc_call *call)
{
    (void)host;
    (void)call;
    return 0;
}
static const void *h_ext(const vc_host *host, const char *id)
{
    (void)host;
    (void)id;
    return NULL;
}

static const vc_host host = {
    .size = sizeof(host), .abi_minor = VC_ABI_MINOR, .name = "sample", .version = "1", .log = h_log,
    .log_enabled = h_log_enabled, .err_set = h_err_set, .err_context = h_err_context, .alloc = h_alloc, .free = h_free,
    .write = h_write, .cfg_str = h_cfg_str, .cfg_int = h_cfg_int, .cfg_count = h_cfg_count, .path = h_path,
    .sink_new = h_sink_new, .sink_bytes = h_sink_bytes, .sink_free = (void (*)(const vc_host *, vc_sink *))h_free,
    .spawn = h_spawn, .proc_fd = h_proc_fd, .proc_wait = h_proc_wait, .proc_done = h_proc_done, .netns_run = h_netns_run,
    .res_add = h_res, .res_del = h_res, .cancelled = h_cancelled, .ext = h_ext,
};

static struct vc_err error;
static const struct vc_call call = { .size = sizeof(call), .err = &error };

static void must(const char *what, int code)
{
    if (code != VC_OK) {
        printf("%s: %d: %s\n", what, code, error.text);
        exit(1);
    }
}

/* What the kind does where nothing is behind it. */
static void life(const struct vc_plugin *p, vc_inst *inst)
{
    static vc_sink uri;
    struct vc_proc proc = { .pid = 0 };
    if (p->kind == VC_KIND_HYPERVISOR) {
        const struct vc_hypervisor_ops *ops = p->ops;
        struct vc_vm_config vm = { .size = sizeof(vm), .netns_fd = -1 };
        uint32_t state = 99;
        must("vm_create", ops->vm_create(inst, &call, &vm));
        must("vm_start", ops->vm_start(inst, &call));
        must("vm_state", ops->vm_state(inst, &call, &state));
        must("the VM runs", state == VC_VM_RUNNING ? VC_OK : VC_E_INTERNAL);
        must("vm_stop", ops->vm_stop(inst, &call, VC_STOP_FORCE));
    } else if (p->kind == VC_KIND_PROXY) {
        const struct vc_proxy_ops *ops = p->ops;
        struct vc_proxy_params params = { .size = sizeof(params), .agent_uri = "", .console_uri = "", .netns_fd = -1 };
        must("start", ops->start(inst, &call, &params, &proc, &uri));
        must("stop", ops->stop(inst, &call));
    } else if (p->kind == VC_KIND_SHIM) {
        const struct vc_shim_ops *ops = p->ops;
        struct vc_shim_params params = { .size = sizeof(params), .container_id = "c", .exec_id = "", .agent_uri = "",
            .exit_file = "/nonexistent/exit", .stdio = { -1, -1, -1 }, .netns_fd = -1 };
        must("start", ops->start(inst, &call, &params, &proc));
        must("stop", ops->stop(inst, &call, "c", ""));
    } else if (p->kind == VC_KIND_NETWORK) {
        const struct vc_network_ops *ops = p->ops;
        struct vc_net_request req = { .size = sizeof(req) };
        int32_t fd = -1;
        must("setup", ops->setup(inst, &call, &req, &fd));
        must("teardown", ops->teardown(inst, &call));
    }
}

int main(int argc, char **argv)
{
    void *lib = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    const struct vc_plugin *p = lib ? dlsym(lib, VC_PLUGIN_SYMBOL) : NULL;
    if (!p || p->magic != VC_PLUGIN_MAGIC || p->abi_major != VC_ABI_MAJOR || p->min_host_minor > VC_ABI_MINOR) {
        printf("%s is no plugin for this host: %s\n", argc == 2 ? argv[1] : "nothing", lib ? "its version" : dlerror());
        return 1;
    }
    static vc_sink first, second;
    struct vc_config cfg = { p };
    vc_inst *inst = NULL;
    if (p->load)
        must("load", p->load(&host, &error));
    must("create", p->inst->create(&host, &call, &cfg, "pod", &inst));
    must("caps within caps_max", p->inst->caps(inst) & ~p->caps_max ? VC_E_INTERNAL : VC_OK);
    life(p, inst);
    must("save", p->inst->save(inst, &call, &first));
    p->inst->close(inst);
    struct vc_bytes state = { first.bytes, first.len };
    must("restore", p->inst->restore(&host, &call, &cfg, "pod", p->state_version, state, &inst));
    must("save after restore", p->inst->save(inst, &call, &second));
    must("the same state", first.len == second.len && memcmp(first.bytes, second.bytes, first.len) == 0 ? VC_OK : VC_E_INTERNAL);
    must("cleanup", p->inst->cleanup(inst, &call));
    p->inst->close(inst);
    printf("ok %s\n", p->name);
    return 0;
}
