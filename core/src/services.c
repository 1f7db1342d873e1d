/* SPDX-License-Identifier: Apache-2.0 */
/* services.c: the host's services for plugins: struct vc_host. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "conf-impl.h"
#include "instance.h"
#include "lib/buf.h"
#include "lib/io.h"
#include "lib/proc.h"
#include "netns.h"

#define SINK_MAX (1024 * 1024)

struct vc_sink {
    struct vcs_buf buf;
};

static struct vci_inst *inst_of(const vc_host *host)
{
    return host->ctx;
}

/* The pod directory of the instance, or NULL in the table without a pod. */
static struct vci_pod_dir *dir_of(const vc_host *host)
{
    return host->ctx ? inst_of(host)->dir : NULL;
}

static const char *owner_of(const vc_host *host)
{
    return vci_kind_name(inst_of(host)->plugin->desc.kind);
}

vc_sink *vci_sink_new(void)
{
    return calloc(1, sizeof(vc_sink));
}

const char *vci_sink_str(vc_sink *sink, size_t *ret_len)
{
    const char *text = vcs_buf_str(&sink->buf);
    if (ret_len)
        *ret_len = text ? sink->buf.len : 0;
    return text;
}

void vci_sink_free(vc_sink *sink)
{
    if (sink)
        vcs_buf_done(&sink->buf);
    free(sink);
}

static void host_log(const vc_host *host, int32_t level, const char *msg, uint64_t len)
{
    if (!host->ctx || !msg || level < VC_LOG_ERROR || level > VC_LOG_DEBUG)
        return;
    const struct vci_inst *i = inst_of(host);
    int n = len > 2048 ? 2048 : (int)len;
    while (n > 0 && msg[n - 1] == '\n')
        n--;
    vci_log(i->ctx, (uint32_t)level, i->dir ? i->dir->id : NULL, "%s: %.*s", i->plugin->desc.name, n, msg);
}

static int host_log_enabled(const vc_host *host, int32_t level)
{
    return host->ctx && level >= VC_LOG_ERROR && vci_log_on(inst_of(host)->ctx, (uint32_t)level);
}

static int host_err_set(const vc_host *host, vc_err *err, int32_t code, int32_t sys_errno, const char *msg,
                        uint64_t len)
{
    (void)host;
    if (msg)
        vci_error_fill((vc_error *)err, code, sys_errno, msg, len > 4096 ? 4096 : (size_t)len);
    return code;
}

static void host_err_context(const vc_host *host, vc_err *err, const char *msg, uint64_t len)
{
    (void)host;
    if (msg)
        vci_error_prefix((vc_error *)err, msg, len > 4096 ? 4096 : (size_t)len);
}

static void *host_alloc(const vc_host *host, uint64_t size)
{
    (void)host;
    return size > SIZE_MAX / 2 ? NULL : calloc(1, size ? (size_t)size : 1);
}

static void host_free(const vc_host *host, void *mem)
{
    (void)host;
    free(mem);
}

static int host_write(const vc_host *host, vc_sink *sink, const void *data, uint64_t len)
{
    (void)host;
    if (!sink || (!data && len))
        return VC_E_INVAL;
    if (len > SINK_MAX || sink->buf.len + len > SINK_MAX)
        return VC_E_RESOURCE;
    return vcs_buf_append(&sink->buf, data, (size_t)len) < 0 ? VC_E_NOMEM : VC_OK;
}

/* A question that no plugin may ask: the failing create, restore or probe names it when the plugin does not. */
static int asked(const vc_host *host, const vc_config *cfg, const char *key, const char *as, int r)
{
    struct vci_inst *i = host->ctx;
    if (r != VC_E_INVAL || !i || i->handle)
        return r;
    const struct vci_entry *e = key ? vci_section_find(cfg, key) : NULL;
    if (e)
        snprintf(i->hint, sizeof(i->hint), "asked for its option \"%.64s\", of type %s, as %s", key,
                 vci_option_type_name(e->opt->type), as);
    else
        snprintf(i->hint, sizeof(i->hint), "asked for the undeclared option \"%.64s\"", key ? key : "");
    vci_log(i->ctx, VC_LOG_WARN, i->dir ? i->dir->id : NULL, "%s plugin \"%s\" %s", owner_of(host),
            i->plugin->desc.name, i->hint);
    return r;
}

static int host_cfg_str(const vc_host *host, const vc_config *cfg, const char *key, uint32_t idx, const char **out)
{
    return asked(host, cfg, key, "text", out ? vci_section_str(cfg, key, idx, out) : VC_E_INVAL);
}

static int host_cfg_int(const vc_host *host, const vc_config *cfg, const char *key, int64_t *out)
{
    return asked(host, cfg, key, "a number", out ? vci_section_int(cfg, key, out) : VC_E_INVAL);
}

static int host_cfg_count(const vc_host *host, const vc_config *cfg, const char *key, uint32_t *out)
{
    return asked(host, cfg, key, "a count", out ? vci_section_count(cfg, key, out) : VC_E_INVAL);
}

/* The private directory of an instance, made when it is first asked for. */
static int run_path(const vc_host *host, vc_sink *sink)
{
    struct vci_pod_dir *dir = dir_of(host);
    if (!dir)
        return VC_E_STATE;
    const char *kind = owner_of(host);
    int run = dir->unmade ? -1 : vci_store_run(dir, dir->locked, NULL);
    if (run < 0 && !dir->unmade)
        return run == VC_ERR_NOTFOUND ? VC_E_STATE : run;
    if (run >= 0 && faccessat(run, kind, F_OK, 0) < 0) {
        vci_fault_point("path-run");
        if (mkdirat(run, kind, 0700) < 0 && errno != EEXIST)
            return vci_code_of(errno);
        vci_fault_point("path-run-made");
    }
    size_t old = sink->buf.len;
    if (vcs_buf_printf(&sink->buf, "%s/%s", dir->run_path, kind) == 0)
        return VC_OK;
    sink->buf.len = old;
    return VC_E_NOMEM;
}

static int host_path(const vc_host *host, uint32_t which, vc_sink *sink)
{
    if (!sink)
        return VC_E_INVAL;
    if (!host->ctx)
        return VC_E_STATE;
    const vc_context *ctx = inst_of(host)->ctx;
    const char *text;
    switch (which) {
    case VC_PATH_RUN:
        return run_path(host, sink);
    case VC_PATH_RUN_ROOT:
        text = ctx->run_root;
        break;
    case VC_PATH_STATE_ROOT:
        text = ctx->state_root;
        break;
    case VC_PATH_PLUGIN_ROOT:
        text = ctx->plugin_dir;
        break;
    case VC_PATH_LIBEXEC:
        text = ctx->libexec_dir;
        break;
    case VC_PATH_DATA:
        text = ctx->data_dir;
        break;
    case VC_PATH_CONFIG:
        text = ctx->config_file ? ctx->config_file : "";
        break;
    default:
        return VC_E_INVAL;
    }
    return host_write(host, sink, text, strlen(text));
}

static int host_sink_new(const vc_host *host, vc_sink **out)
{
    (void)host;
    vc_sink *sink = out ? vci_sink_new() : NULL;
    if (!sink)
        return out ? VC_E_NOMEM : VC_E_INVAL;
    *out = sink;
    return VC_OK;
}

static int host_sink_bytes(const vc_host *host, vc_sink *sink, struct vc_bytes *out)
{
    (void)host;
    size_t len;
    if (!sink || !out)
        return VC_E_INVAL;
    const char *text = vci_sink_str(sink, &len);
    if (!text)
        return VC_E_NOMEM;
    *out = (struct vc_bytes){ .data = text, .len = len };
    return VC_OK;
}

static void host_sink_free(const vc_host *host, vc_sink *sink)
{
    (void)host;
    vci_sink_free(sink);
}

/* Where the call wants its failure reported. */
static vc_error *err_of(const struct vc_call *call)
{
    return call ? (vc_error *)call->err : NULL;
}

/* Move an error of the core into the call's object. */
static int to_call(const struct vc_call *call, vc_error *err, int rc)
{
    if (rc && err)
        vci_error_fill(err_of(call), err->code, 0, err->text, strlen(err->text));
    vc_error_free(err);
    return rc;
}

static int host_spawn(const vc_host *host, const struct vc_call *call, const struct vc_spawn *spawn,
                      struct vc_proc *out)
{
    struct vci_pod_dir *dir = dir_of(host);
    if (!dir)
        return VC_E_STATE;
    if (!spawn || !out)
        return VC_E_INVAL;
    vc_error *err = NULL;
    int r = vci_spawn(inst_of(host)->ctx, dir, owner_of(host), spawn, call ? call->deadline_ns : 0, out, &err);
    return to_call(call, err, r);
}

static int host_proc_fd(const vc_host *host, const struct vc_proc *proc, int32_t *pidfd)
{
    (void)host;
    if (!proc || !pidfd)
        return VC_E_INVAL;
    int fd = vcs_proc_fd(proc);
    if (fd < 0)
        return vci_code_of(fd);
    *pidfd = fd;
    return VC_OK;
}

static int host_proc_wait(const vc_host *host, const struct vc_call *call, const struct vc_proc *proc, int32_t *status)
{
    int st = -1;
    if (!proc)
        return VC_E_INVAL;
    int r = vcs_proc_wait(proc, call ? call->deadline_ns : 0, &st);
    if (r < 0)
        return host_err_set(host, call ? call->err : NULL, vci_code_of(r), 0, "the process has not ended in time", 33);
    if (status)
        *status = st;
    return VC_OK;
}

static int host_proc_done(const vc_host *host, const struct vc_proc *proc)
{
    struct vci_pod_dir *dir = dir_of(host);
    char name[64];
    if (!dir)
        return VC_E_STATE;
    if (!proc)
        return VC_E_INVAL;
    snprintf(name, sizeof(name), "%d %llu", proc->pid, (unsigned long long)proc->start_ticks);
    return vci_ledger_del_name(dir, VCI_RES_PROCESS, name, NULL);
}

static int host_netns_run(const vc_host *host, const struct vc_call *call, int32_t netns_fd, int (*fn)(void *),
                          void *arg)
{
    int result = 0;
    if (!fn)
        return VC_E_INVAL;
    int r = vci_netns_run(netns_fd, fn, arg, &result);
    if (r < 0) {
        static const char msg[] = "cannot work inside the network namespace";
        return host_err_set(host, call ? call->err : NULL, vci_code_of(r), r, msg, sizeof(msg) - 1);
    }
    return result;
}

/* A control group that is there already was not made for this pod, and undoing the record would kill what is in it.
 * Unless the pod has it on record: then an instance that was restored, or a plugin that tries again, tells of its own. */
static int is_foreign_cgroup(struct vci_pod_dir *dir, const char *name)
{
    struct stat st;
    struct vci_ledger_entry *entries = NULL;
    size_t n = 0;
    if (lstat(name, &st) < 0)
        return 0;
    int own = 0, r = vci_ledger_read(dir, &entries, &n, NULL);
    for (size_t i = 0; r == 0 && i < n && !own; i++)
        own = entries[i].type == VC_RES_CGROUP && !strcmp(entries[i].name, name);
    vci_ledger_entries_free(entries, n);
    return !own;
}

static int host_res_add(const vc_host *host, uint32_t type, const char *name)
{
    struct vci_pod_dir *dir = dir_of(host);
    if (!dir || !dir->locked)
        return VC_E_STATE;
    if (type < VC_RES_PATH || type > VC_RES_CGROUP || !name || !name[0] || (type != VC_RES_LINK && name[0] != '/'))
        return VC_E_INVAL;
    if (type == VC_RES_CGROUP && is_foreign_cgroup(dir, name)) {
        vci_log(inst_of(host)->ctx, VC_LOG_WARN, dir->id,
                "%s plugin \"%s\" wanted to record the control group %s, which was there before: it is not this pod's",
                owner_of(host), inst_of(host)->plugin->desc.name, name);
        return VC_E_EXISTS;
    }
    return vci_ledger_add(dir, type, owner_of(host), name, NULL, NULL);
}

static int host_res_del(const vc_host *host, uint32_t type, const char *name)
{
    struct vci_pod_dir *dir = dir_of(host);
    if (!dir)
        return VC_E_STATE;
    return name ? vci_ledger_del_name(dir, type, name, NULL) : VC_E_INVAL;
}

static int host_cancelled(const vc_host *host, const struct vc_call *call)
{
    return vci_cancelled(dir_of(host)) || (call && call->deadline_ns && vcs_now_ns() >= call->deadline_ns);
}

static const void *host_ext(const vc_host *host, const char *id)
{
    (void)host;
    (void)id;
    return NULL;
}

void vci_host_init(struct vc_host *host, void *ctx)
{
    *host = (struct vc_host){
        .size = sizeof(*host),
        .abi_minor = VC_ABI_MINOR,
        .ctx = ctx,
        .name = "libvccore",
        .version = vc_version(),
        .log = host_log,
        .log_enabled = host_log_enabled,
        .err_set = host_err_set,
        .err_context = host_err_context,
        .alloc = host_alloc,
        .free = host_free,
        .write = host_write,
        .cfg_str = host_cfg_str,
        .cfg_int = host_cfg_int,
        .cfg_count = host_cfg_count,
        .path = host_path,
        .sink_new = host_sink_new,
        .sink_bytes = host_sink_bytes,
        .sink_free = host_sink_free,
        .spawn = host_spawn,
        .proc_fd = host_proc_fd,
        .proc_wait = host_proc_wait,
        .proc_done = host_proc_done,
        .netns_run = host_netns_run,
        .res_add = host_res_add,
        .res_del = host_res_del,
        .cancelled = host_cancelled,
        .ext = host_ext,
    };
}

const struct vc_host *vci_host_global(void)
{
    static struct vc_host host; /* filled in under the mutex of the loader, the only caller */
    if (!host.size)
        vci_host_init(&host, NULL);
    return &host;
}
