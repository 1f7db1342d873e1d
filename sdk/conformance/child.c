/* SPDX-License-Identifier: Apache-2.0 */
/* child.c: the life of one check in its process: the plugin is loaded, the check runs, its end goes to the parent. */
#include <dlfcn.h>
#include <string.h>
#include <sys/syscall.h>

#include "run.h"

/* The process and thread that run the check: only there a finding may jump back to vct_child_run. */
static pid_t main_pid, main_tid;
static void (*local_take)(void *arg, int type, const char *data, size_t len);
static void *local_arg;
static uint64_t nonce; /* in front of each message */
static const void *loaded_once[2]; /* whose `load` was called; L18 has two copies */
static struct {
    struct vc_inst_ops inst;
    union {
        struct vc_hypervisor_ops hypervisor;
        struct vc_agent_ops agent;
        struct vc_proxy_ops proxy;
        struct vc_shim_ops shim;
        struct vc_network_ops network;
    } kind;
} tables;

static pid_t thread_id(void)
{
    return (pid_t)syscall(SYS_gettid);
}

/* ---- messages ---- */

void vct_send_to(void (*take)(void *arg, int type, const char *data, size_t len), void *arg)
{
    local_take = take;
    local_arg = arg;
}

void vct_set_nonce(uint64_t n)
{
    nonce = n;
}

void vct_send(int fd, int type, const void *data, size_t len)
{
    if (len > VCT_MSG_MAX)
        len = VCT_MSG_MAX;
    if (fd < 0) {
        if (local_take)
            local_take(local_arg, type, data, len);
        return;
    }
    char msg[VCT_MSG_HEAD + VCT_MSG_MAX];
    memcpy(msg, &nonce, sizeof(nonce));
    msg[sizeof(nonce)] = (char)type;
    if (len > 0)
        memcpy(msg + VCT_MSG_HEAD, data, len);
    int saved = errno;
    while (write(fd, msg, VCT_MSG_HEAD + len) < 0 && errno == EINTR)
        continue;
    errno = saved;
}

void vct_tell_call(struct vct *t, const char *name)
{
    if (name)
        vct_send(t->out, VCT_MSG_CALL, name, strlen(name));
    else
        vct_send(t->out, VCT_MSG_LEFT, "", 0);
}

void vct_tell_group(struct vct *t, char sign, const char *path)
{
    char text[VCT_MSG_MAX];
    int n = snprintf(text, sizeof(text), "%c%s", sign, path);
    if (n > 0 && n < (int)sizeof(text))
        vct_send(t->out, VCT_MSG_GROUP, text, (size_t)n);
}

static void send_text(struct vct *t, int type, const char *fmt, va_list ap)
{
    char text[VCT_MSG_MAX];
    int saved = errno;
    vsnprintf(text, sizeof(text), fmt, ap);
    vct_send(t->out, type, text, strlen(text));
    errno = saved;
}

void vct_warn(struct vct *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    send_text(t, VCT_MSG_WARN, fmt, ap);
    va_end(ap);
    if (t->status == VCT_PASS)
        t->status = VCT_WARN;
}

void vct_note(struct vct *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    send_text(t, VCT_MSG_NOTE, fmt, ap);
    va_end(ap);
}

static void send_result(struct vct *t, int status, const char *text)
{
    char msg[VCT_MSG_MAX];
    msg[0] = (char)status;
    snprintf(msg + 1, sizeof(msg) - 1, "%s", text);
    vct_send(t->out, VCT_MSG_RESULT, msg, 1 + strlen(msg + 1));
}

void vct_forked(void)
{
    main_pid = getpid();
    main_tid = thread_id();
}

/* End the check with that result.  In another thread or in a process that the check made there is nothing to jump to: the
 * result is sent and the process ends, which no handler of the plugin's may delay. */
static void end_check(struct vct *t, int status, const char *fmt, va_list ap) __attribute__((noreturn));
static void end_check(struct vct *t, int status, const char *fmt, va_list ap)
{
    char text[VCT_MSG_MAX];
    vsnprintf(text, sizeof(text), fmt, ap);
    if (getpid() != main_pid || thread_id() != main_tid) {
        send_result(t, status, text);
        syscall(SYS_exit_group, 1);
    }
    vcs_buf_clear(&t->text);
    vcs_buf_append(&t->text, text, strlen(text));
    t->status = status;
    longjmp(t->end, 1);
}

void vct_fail(struct vct *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    end_check(t, VCT_FAIL, fmt, ap);
}

void vct_refuse(struct vct *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    t->refused = 1;
    vct_send(t->out, VCT_MSG_REFUSED, "", 0);
    end_check(t, VCT_FAIL, fmt, ap);
}

void vct_leak(struct vct *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    end_check(t, VCT_LEAK, fmt, ap);
}

void vct_skip(struct vct *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    end_check(t, VCT_SKIP, fmt, ap);
}

/* ---- small things for checks ---- */

const char *vct_code(int code)
{
    static const char *const names[] = {
        "VC_OK", "VC_E_INVAL", "VC_E_CONFIG", "VC_E_UNSUPPORTED", "VC_E_NOTFOUND", "VC_E_EXISTS", "VC_E_STATE",
        "VC_E_BUSY", "VC_E_TIMEOUT", "VC_E_CANCELLED", "VC_E_PERM", "VC_E_NOMEM", "VC_E_RESOURCE", "VC_E_IO",
        "VC_E_PEER", "VC_E_PROTOCOL", "VC_E_CORRUPT", "VC_E_INTERNAL", "VC_E_NOCMD", "VC_E_NOEXEC",
    };
    /* Several may stand in one message. */
    static __thread char other[4][48];
    static __thread unsigned next;
    if (code <= 0 && code > -(int)(sizeof(names) / sizeof(names[0])))
        return names[-code];
    char *text = other[next++ % 4];
    snprintf(text, sizeof(other[0]), "%d (no code of the contract)", code);
    return text;
}

uint64_t vct_random(struct vct *t)
{
    uint64_t z = t->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

size_t vct_output(struct vct *t, char *ret, size_t size)
{
    if (ret && size > 0)
        ret[0] = 0;
    if (t->s->in_process)
        return 0;
    /* The file has a fixed size; its position says how much was written. */
    off_t at = lseek(STDOUT_FILENO, 0, SEEK_CUR);
    if (at <= 0)
        return 0;
    if (ret && size > 0) {
        ssize_t n = pread(STDOUT_FILENO, ret, size - 1 < (size_t)at ? size - 1 : (size_t)at, 0);
        ret[n > 0 ? n : 0] = 0;
    }
    return (size_t)at;
}

/* ---- the plugin ---- */

/* Copy a table by the smaller size over zeroes. */
static void copy_table(void *to, size_t host_size, const void *from)
{
    uint32_t size;
    memcpy(&size, from, sizeof(size));
    memset(to, 0, host_size);
    memcpy(to, from, size < host_size ? size : host_size);
}

static size_t ops_size(uint32_t kind)
{
    switch (kind) {
    case VC_KIND_HYPERVISOR:
        return sizeof(struct vc_hypervisor_ops);
    case VC_KIND_AGENT:
        return sizeof(struct vc_agent_ops);
    case VC_KIND_PROXY:
        return sizeof(struct vc_proxy_ops);
    case VC_KIND_SHIM:
        return sizeof(struct vc_shim_ops);
    default:
        return sizeof(struct vc_network_ops);
    }
}

static const struct vct_kind *kind_of(uint32_t kind)
{
    static const struct vct_kind *const all[] = {
        NULL, &vct_kind_hypervisor, &vct_kind_agent, &vct_kind_proxy, &vct_kind_shim, &vct_kind_network
    };
    return kind < sizeof(all) / sizeof(all[0]) ? all[kind] : NULL;
}

/* Why the last dlopen failed, without the path when it begins with that, and with what helps. */
static const char *why_not_open(const struct vct *t)
{
    static char text[1024];
    const char *why = dlerror();
    size_t len = strlen(t->s->plugin);
    why = why ? why : "no reason was given";
    if (strncmp(why, t->s->plugin, len) == 0 && strncmp(why + len, ": ", 2) == 0)
        why += len + 2;
    snprintf(text, sizeof(text), "%s%s", why,
             strstr(why, "undefined symbol") ?
                 " (hosts bind everything when they load, with RTLD_NOW; link with -Wl,-z,defs, and the linker finds what is "
                 "missing)" : "");
    return text;
}

const struct vc_plugin *vct_open(struct vct *t)
{
    vct_enter(t, "dlopen"); /* constructors are the plugin's doing, too */
    void *lib = dlopen(t->s->plugin, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    vct_leave(t, 0);
    if (!lib) {
        const char *why = why_not_open(t);
        vct_tell_rung(t, VCT_RUNG_OPEN, strstr(why, "libvccore") ? "L4" : "L3");
        vct_fail(t, "%s cannot be loaded: %s", t->s->plugin, why);
    }
    t->lib = lib;
    const struct vc_plugin *p = dlsym(lib, VC_PLUGIN_SYMBOL);
    if (!p) {
        vct_tell_rung(t, VCT_RUNG_OPEN, "L2");
        vct_fail(t, "%s is no plugin: it does not export \"%s\"; a plugin exports that one symbol", t->s->plugin,
                 VC_PLUGIN_SYMBOL);
    }
    return p;
}

void vct_load(struct vct *t)
{
    if (t->plugin)
        return;
    const struct vc_plugin *p = vct_open(t);
    VCT_MUST(t, p->magic == VC_PLUGIN_MAGIC, "the descriptor's magic number is 0x%08x, not 0x%08x (see L5)", p->magic,
             VC_PLUGIN_MAGIC);
    VCT_MUST(t, p->abi_major == VC_ABI_MAJOR, "the plugin is built for major version %u of the contract; this tool has %u",
             p->abi_major, VC_ABI_MAJOR);
    VCT_MUST(t, p->size >= sizeof(*p), "the descriptor says that it has %u bytes; version 1.0 has %zu (see L6)", p->size,
             sizeof(*p));
    VCT_MUST(t, kind_of(p->kind), "the descriptor's kind is %u; kinds are 1 to 5 (see L8)", p->kind);
    VCT_MUST(t, p->inst && p->ops, "the descriptor has no %s table (see L10)", p->inst ? "kind" : "instance");
    t->plugin = p;
    t->kind = kind_of(p->kind);
    VCT_MUST(t, p->inst->size >= offsetof(struct vc_inst_ops, cancel), "the instance table says that it has %u bytes (see L6)",
             p->inst->size);
    copy_table(&tables.inst, sizeof(tables.inst), p->inst);
    copy_table(&tables.kind, ops_size(p->kind), p->ops);
    const vc_host *host = vct_process_host(t);
    if (!p->load || !host || loaded_once[0] == p || loaded_once[1] == p)
        return;
    loaded_once[loaded_once[0] != NULL] = p;
    struct vc_call *call = vct_call(t, 0);
    int rc = VCT(t, p->load, host, call->err);
    VCT_MUST(t, rc == VC_OK, "load failed with %s: %s", vct_code(rc),
             t->err.text[0] ? t->err.text : "no text; call err_set of the host, so that people learn why");
}

const struct vc_inst_ops *vct_inst_ops(struct vct *t)
{
    vct_load(t);
    return &tables.inst;
}

const void *vct_kind_ops(struct vct *t)
{
    vct_load(t);
    return &tables.kind;
}

/* ---- the check ---- */

static void run_check(struct vct *t)
{
    const struct vct_check *c = t->check;
    if (!c) {
        vct_probe(t);
        return;
    }
    if ((c->flags & VCT_NEEDS_ROOT) && !t->own_net)
        vct_skip(t, geteuid() == 0 ? "it needs namespaces of its own, and there are none here (--no-namespaces, or the "
                                     "kernel makes none)"
                                   : "it needs to be root or user namespaces, and has neither");
    if (!(c->flags & VCT_RAW))
        vct_load(t);
    c->run(t);
}

void vct_child_run(const struct vct_settings *s, const char *id, int out, int privileged)
{
    static struct vct t; /* static: longjmp leaves it as it is */
    memset(&t, 0, sizeof(t));
    t.s = s;
    t.check = strcmp(id, VCT_ID_PLUGIN) == 0 ? NULL : vct_catalogue_find(id);
    t.out = out;
    t.privileged = privileged;
    t.own_net = privileged || (s->in_process && vct_isolation_own_net());
    t.status = VCT_PASS;
    t.random = s->seed;
    for (const char *c = id; *c; c++)
        t.random = (t.random ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    main_pid = getpid();
    main_tid = thread_id();
    vct_crash_watch(out);
    vct_watch_start(&t);
    if (setjmp(t.end) == 0)
        run_check(&t);
    const char *text = vcs_buf_str(&t.text);
    send_result(&t, t.status, text ? text : "");
    /* What a check forgot is given back, so that a crash in close is seen.  After a finding nothing of the plugin can be
     * relied on, and the keeper ends all of it. */
    if (t.status == VCT_PASS || t.status == VCT_WARN || t.status == VCT_SKIP || s->in_process) {
        if (setjmp(t.end) == 0) {
            while (t.pods)
                vct_pod_free(t.pods);
        } else {
            text = vcs_buf_str(&t.text);
            send_result(&t, t.status, text ? text : "");
        }
    }
    vct_send(t.out, VCT_MSG_DONE, "", 0);
    vcs_buf_done(&t.text);
    vcs_buf_done(&t.notes);
}
