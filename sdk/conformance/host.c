/* SPDX-License-Identifier: Apache-2.0 */
/* host.c: the scripted host: every service of struct vc_host as its header promises it, with faults and a look at who
 * asks. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "conformance/watch.h"
#include "lib/io.h"
#include "lib/proc.h"

#define SINK_MAX  (1024 * 1024)
#define MEM_MAGIC UINT64_C(0x5643545f4d454d21)

/* What stands before memory of host.alloc. */
struct mem {
    uint64_t magic, size;
    struct vct_pod *pod;
    uint64_t pad;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void vct_lock(void)
{
    pthread_mutex_lock(&lock);
}

void vct_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

const char *vct_service_name(enum vct_service s)
{
    static const char *const names[VCT_N_SERVICES] = {
        "log",       "log_enabled", "err_set",   "err_context", "alloc",      "free",      "write", "cfg_str",
        "cfg_int",   "cfg_count",   "path",      "sink_new",    "sink_bytes", "sink_free", "spawn", "proc_fd",
        "proc_wait", "proc_done",   "netns_run", "res_add",     "res_del",    "cancelled", "ext",
    };
    return (unsigned)s < VCT_N_SERVICES ? names[s] : "?";
}

static int only_in_call(enum vct_service s)
{
    switch (s) {
    case VCT_S_WRITE:
    case VCT_S_CFG_STR:
    case VCT_S_CFG_INT:
    case VCT_S_CFG_COUNT:
    case VCT_S_PATH:
    case VCT_S_SINK_NEW:
    case VCT_S_SINK_BYTES:
    case VCT_S_SINK_FREE:
    case VCT_S_SPAWN:
    case VCT_S_NETNS_RUN:
    case VCT_S_RES_ADD:
    case VCT_S_RES_DEL:
        return 1;
    default:
        return 0;
    }
}

/* Who asks, and may it (T8)? `before` is where the thread was. */
static void look_at_caller(struct vct_pod *pod, enum vct_service s, int before)
{
    struct vct *t = pod->t;
    const char *name = vct_service_name(s);
    if (before == VCT_AT_TOOL || before == VCT_AT_HOST)
        return;
    if (!pod->live && pod->dir && (before == VCT_AT_FOREIGN || vct_here.pod != pod)) {
        vct_observe(t, "T8",
                    "host service %s was used after close had returned; the table of an instance is valid until then",
                    name);
        return;
    }
    if (!only_in_call(s))
        return;
    if (before == VCT_AT_FOREIGN)
        vct_observe(
            t, "T8",
            "host service %s was used on a thread of the plugin's own; it is tagged [call]: only on the thread of "
            "a call, while that call lasts",
            name);
    else if (before == VCT_AT_NETNS)
        vct_observe(
            t, "T8",
            "host service %s was used within the function that netns_run runs; it is tagged [call]: only on the "
            "thread of the call itself",
            name);
    else if (vct_here.pod && vct_here.pod != pod && pod->dir)
        vct_observe(
            t, "T8",
            "host service %s of instance %s was used in a call into instance %s; each instance has a host table "
            "of its own",
            name, pod->id, vct_here.pod->id);
}

/* Count a service and see whether it is to fail.  1: *ret_answer is the answer. */
static int service(const vc_host *host, enum vct_service s, int before, int *ret_answer)
{
    struct vct_pod *pod = host->ctx;
    look_at_caller(pod, s, before);
    vct_lock();
    pod->calls[s]++;
    int hit = pod->fault_at && pod->fault == s && ++pod->fault_seen == pod->fault_at;
    if (hit)
        pod->fault_hit = 1;
    vct_unlock();
    *ret_answer = pod->fault_code;
    if (hit)
        return 1;
    int r = pod->on_service ? pod->on_service(pod, s) : 0;
    if (r)
        *ret_answer = r;
    return r != 0;
}

/* The start of every service. */
#define SERVICE(s)                                                                                                     \
    int before VCT_IN_HOST;                                                                                            \
    int answer;                                                                                                        \
    struct vct_pod *pod = host->ctx;                                                                                   \
    int failed = service(host, s, before, &answer);                                                                    \
    (void)pod;                                                                                                         \
    (void)failed

int vct_err_fill(struct vc_err *err, int code, int sys, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof(err->text), fmt, ap);
        va_end(ap);
        err->code = code;
        err->sys = sys;
        err->sets++;
    }
    return code;
}

static struct vc_err *err_of(const struct vc_call *call)
{
    return call && call->size >= offsetof(struct vc_call, err) + sizeof(call->err) ? call->err : NULL;
}

/* The answer of a service that was told to fail, with text where the real one gives text. */
static int told_to_fail(enum vct_service s, const struct vc_call *call, int code)
{
    return vct_err_fill(err_of(call), code, 0, "host service %s: the test made it fail with %s", vct_service_name(s),
                        vct_code(code));
}

/* ---- log and errors ---- */

/* A host escapes control bytes: a line stays a line. */
static void append_escaped(struct vcs_buf *to, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != 0x7f)
            vcs_buf_append(to, text + i, 1);
        else
            vcs_buf_printf(to, "\\x%02x", c);
    }
}

static void host_log(const vc_host *host, int32_t level, const char *msg, uint64_t len)
{
    SERVICE(VCT_S_LOG);
    if (!msg || level < VC_LOG_ERROR || level > VC_LOG_DEBUG)
        return;
    size_t n = len > 65536 ? 65536 : (size_t)len;
    while (n > 0 && msg[n - 1] == '\n')
        n--;
    vct_lock();
    vcs_buf_printf(&pod->log, "%d ", level);
    append_escaped(&pod->log, msg, n);
    vcs_buf_append(&pod->log, "\n", 1);
    vct_unlock();
}

static int host_log_enabled(const vc_host *host, int32_t level)
{
    SERVICE(VCT_S_LOG_ENABLED);
    return !failed && level >= VC_LOG_ERROR && level <= VC_LOG_DEBUG;
}

static int host_err_set(const vc_host *host, vc_err *err, int32_t code, int32_t sys_errno, const char *msg,
                        uint64_t len)
{
    SERVICE(VCT_S_ERR_SET);
    if (!err || !msg)
        return code;
    size_t n = len < sizeof(err->text) - 1 ? (size_t)len : sizeof(err->text) - 1;
    memcpy(err->text, msg, n);
    err->text[n] = '\0';
    if (memchr(msg, 0, n))
        vct_observe(pod->t, "E2", "the text given to err_set has a NUL byte within its length of %llu: \"%.200s\"",
                    (unsigned long long)len, err->text);
    err->code = code;
    err->sys = sys_errno;
    err->sets++;
    return code;
}

static void host_err_context(const vc_host *host, vc_err *err, const char *msg, uint64_t len)
{
    SERVICE(VCT_S_ERR_CONTEXT);
    if (!err || !msg)
        return;
    char old[sizeof(err->text)];
    int n = len > 2048 ? 2048 : (int)len;
    memcpy(old, err->text, sizeof(old));
    snprintf(err->text, sizeof(err->text), "%.*s: %.2040s", n, msg, old);
}

/* ---- memory ---- */

static void *host_alloc(const vc_host *host, uint64_t size)
{
    SERVICE(VCT_S_ALLOC);
    if (failed || size > SIZE_MAX / 2)
        return NULL;
    struct mem *m = calloc(1, sizeof(*m) + (size_t)size);
    if (!m)
        return NULL;
    *m = (struct mem){ .magic = MEM_MAGIC, .size = size, .pod = pod };
    vct_lock();
    pod->allocs++;
    vct_unlock();
    return m + 1;
}

static void host_free(const vc_host *host, void *mem)
{
    SERVICE(VCT_S_FREE);
    if (!mem)
        return;
    struct mem *m = (struct mem *)mem - 1;
    if (m->magic != MEM_MAGIC) {
        vct_observe(pod->t, "M10",
                    "host service free was given %p, which host service alloc did not return (or which was freed "
                    "before)",
                    mem);
        return;
    }
    if (m->pod != pod)
        vct_observe(pod->t, "M10", "memory that alloc gave to instance %s was freed through the table of instance %s",
                    m->pod->id, pod->id);
    vct_lock();
    m->pod->frees++;
    vct_unlock();
    memset(m, 0xdb, sizeof(*m) + (size_t)m->size);
    free(m);
}

/* ---- sinks ---- */

vc_sink *vct_sink_new(struct vct *t)
{
    vc_sink *sink = calloc(1, sizeof(*sink));
    if (!sink)
        vct_skip(t, "the machine has no memory left");
    return sink;
}

const char *vct_sink_text(vc_sink *sink)
{
    const char *text = vcs_buf_str(&sink->buf);
    return text ? text : "";
}

void vct_sink_free(vc_sink *sink)
{
    if (sink)
        vcs_buf_done(&sink->buf);
    free(sink);
}

static int put(vc_sink *sink, const void *data, uint64_t len)
{
    size_t limit = sink->limit ? sink->limit : SINK_MAX;
    if (sink->step && sink->buf.len + len > sink->step)
        return VC_E_RESOURCE;
    if (len > limit || sink->buf.len > limit - (size_t)len)
        return VC_E_RESOURCE;
    return vcs_buf_append(&sink->buf, data, (size_t)len) < 0 ? VC_E_NOMEM : VC_OK;
}

static int host_write(const vc_host *host, vc_sink *sink, const void *data, uint64_t len)
{
    SERVICE(VCT_S_WRITE);
    if (failed)
        return answer;
    return sink && (data || !len) ? put(sink, data, len) : VC_E_INVAL;
}

static int host_sink_new(const vc_host *host, vc_sink **out)
{
    SERVICE(VCT_S_SINK_NEW);
    if (failed)
        return answer;
    if (!out)
        return VC_E_INVAL;
    vc_sink *sink = calloc(1, sizeof(*sink));
    if (!sink)
        return VC_E_NOMEM;
    sink->pod = pod;
    vct_lock();
    pod->allocs++;
    vct_unlock();
    *out = sink;
    return VC_OK;
}

static int host_sink_bytes(const vc_host *host, vc_sink *sink, struct vc_bytes *out)
{
    SERVICE(VCT_S_SINK_BYTES);
    if (failed)
        return answer;
    const char *text = sink && out ? vcs_buf_str(&sink->buf) : NULL;
    if (!text)
        return sink && out ? VC_E_NOMEM : VC_E_INVAL;
    *out = (struct vc_bytes){ .data = text, .len = sink->buf.len };
    return VC_OK;
}

static void host_sink_free(const vc_host *host, vc_sink *sink)
{
    SERVICE(VCT_S_SINK_FREE);
    if (!sink)
        return;
    if (!sink->pod) {
        vct_observe(pod->t, "M10", "host service sink_free was given the sink of a call; it is for sinks of sink_new");
        return;
    }
    vct_lock();
    sink->pod->frees++;
    vct_unlock();
    vct_sink_free(sink);
}

static int host_path(const vc_host *host, uint32_t which, vc_sink *sink)
{
    SERVICE(VCT_S_PATH);
    if (failed)
        return answer;
    if (!sink)
        return VC_E_INVAL;
    if (!pod->dir)
        return VC_E_STATE;
    const struct vct_settings *s = pod->t->s;
    char text[4096] = "";
    switch (which) {
    case VC_PATH_RUN:
        snprintf(text, sizeof(text), "%s", pod->run);
        break;
    case VC_PATH_RUN_ROOT:
        snprintf(text, sizeof(text), "%s", s->scratch);
        break;
    case VC_PATH_STATE_ROOT:
        snprintf(text, sizeof(text), "%s/state", s->scratch);
        break;
    case VC_PATH_PLUGIN_ROOT:
        snprintf(text, sizeof(text), "%s", s->plugin_root ? s->plugin_root : "/usr/lib/vccore/plugins");
        break;
    case VC_PATH_LIBEXEC:
        snprintf(text, sizeof(text), "%s", s->libexec ? s->libexec : "/usr/libexec/vccore");
        break;
    case VC_PATH_DATA:
        snprintf(text, sizeof(text), "%s", s->data ? s->data : "/usr/share/vccore");
        break;
    case VC_PATH_CONFIG:
        break;
    default:
        return VC_E_INVAL;
    }
    return put(sink, text, strlen(text));
}

/* ---- processes ---- */

static int host_spawn(const vc_host *host, const struct vc_call *call, const struct vc_spawn *sp, struct vc_proc *out)
{
    SERVICE(VCT_S_SPAWN);
    if (failed)
        return told_to_fail(VCT_S_SPAWN, call, answer);
    if (!pod->dir)
        return VC_E_STATE;
    return sp && out ? vct_spawn(pod, sp, out, err_of(call)) : VC_E_INVAL;
}

static int host_proc_fd(const vc_host *host, const struct vc_proc *proc, int32_t *pidfd)
{
    SERVICE(VCT_S_PROC_FD);
    if (failed)
        return answer;
    if (!proc || !pidfd)
        return VC_E_INVAL;
    int fd = vcs_proc_fd(proc);
    if (fd < 0)
        return fd == -ESRCH ? VC_E_NOTFOUND : fd == -EMFILE || fd == -ENFILE ? VC_E_RESOURCE : VC_E_IO;
    *pidfd = fd;
    return VC_OK;
}

static int host_proc_wait(const vc_host *host, const struct vc_call *call, const struct vc_proc *proc, int32_t *status)
{
    SERVICE(VCT_S_PROC_WAIT);
    if (failed)
        return told_to_fail(VCT_S_PROC_WAIT, call, answer);
    int st = -1;
    if (!proc)
        return VC_E_INVAL;
    int r = vcs_proc_wait(proc, call ? call->deadline_ns : 0, &st);
    if (r < 0)
        return vct_err_fill(err_of(call),
                            r == -ETIMEDOUT ? VC_E_TIMEOUT
                            : r == -EMFILE  ? VC_E_RESOURCE
                                            : VC_E_IO,
                            -r, "process %d has not ended in time", proc->pid);
    if (status)
        *status = st;
    return VC_OK;
}

static int host_proc_done(const vc_host *host, const struct vc_proc *proc)
{
    SERVICE(VCT_S_PROC_DONE);
    if (failed)
        return answer;
    if (!pod->dir)
        return VC_E_STATE;
    return proc ? vct_ledger_proc_done(pod, proc) : VC_E_INVAL;
}

struct in_netns {
    int fd, result, sys;
    int (*fn)(void *);
    void *arg;
    struct vct_pod *pod;
};

static void *netns_thread(void *arg)
{
    struct in_netns *n = arg;
    vct_thread_mine();
    if (n->fd >= 0 && setns(n->fd, CLONE_NEWNET) < 0) {
        n->sys = errno;
        return NULL;
    }
    vct_here.where = VCT_AT_NETNS;
    vct_here.pod = n->pod;
    n->result = n->fn(n->arg);
    vct_here.where = VCT_AT_TOOL;
    return NULL;
}

static int host_netns_run(const vc_host *host, const struct vc_call *call, int32_t netns_fd, int (*fn)(void *),
                          void *arg)
{
    SERVICE(VCT_S_NETNS_RUN);
    if (failed)
        return told_to_fail(VCT_S_NETNS_RUN, call, answer);
    if (!fn)
        return VC_E_INVAL;
    struct in_netns n = { .fd = netns_fd, .fn = fn, .arg = arg, .pod = pod };
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&thread, NULL, netns_thread, &n);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r)
        return vct_err_fill(err_of(call), VC_E_RESOURCE, r, "cannot work inside the network namespace: no thread");
    pthread_join(thread, NULL);
    if (n.sys)
        return vct_err_fill(err_of(call), n.sys == EPERM ? VC_E_PERM : VC_E_IO, n.sys,
                            "cannot work inside the network namespace");
    return n.result;
}

/* ---- things outside, and the rest ---- */

static int host_res_add(const vc_host *host, uint32_t type, const char *name)
{
    SERVICE(VCT_S_RES_ADD);
    if (failed)
        return answer;
    if (!pod->dir)
        return VC_E_STATE;
    if (type < VC_RES_PATH || type > VC_RES_CGROUP || !name || !name[0] || (type != VC_RES_LINK && name[0] != '/'))
        return VC_E_INVAL;
    return vct_ledger_res(pod, type, name);
}

static int host_res_del(const vc_host *host, uint32_t type, const char *name)
{
    SERVICE(VCT_S_RES_DEL);
    if (failed)
        return answer;
    if (!pod->dir)
        return VC_E_STATE;
    return name ? vct_ledger_res_done(pod, type, name) : VC_E_INVAL;
}

static int host_cancelled(const vc_host *host, const struct vc_call *call)
{
    SERVICE(VCT_S_CANCELLED);
    return failed || __atomic_load_n(&pod->cancelled, __ATOMIC_SEQ_CST) ||
           (call && call->deadline_ns && vcs_now_ns() >= call->deadline_ns);
}

static const void *host_ext(const vc_host *host, const char *id)
{
    SERVICE(VCT_S_EXT);
    (void)id;
    return NULL;
}

/* ---- configuration ---- */

/* A string lent to the plugin until the call ends. */
struct lent {
    struct lent *next;
    char text[];
};

static const struct vc_option *option_of(struct vct *t, const char *key)
{
    const struct vc_plugin *p = t->plugin;
    for (uint32_t i = 0; p && key && i < p->n_options; i++) {
        const struct vc_option *o = (const void *)((const char *)p->options + (size_t)i * p->option_stride);
        if (o->key && strcmp(o->key, key) == 0)
            return o;
    }
    return NULL;
}

static const char *in_list(const char *const *set, const char *key)
{
    for (; set && *set; set += 2)
        if (strcmp(set[0], key) == 0)
            return set[1];
    return NULL;
}

/* The text of an option: as set, else its default; NULL when unset. */
static const char *value_of(struct vct_pod *pod, const struct vc_option *o)
{
    const char *v = in_list(pod->set, o->key);
    if (!v)
        v = in_list(pod->t->s->set, o->key);
    return v ? v : o->def;
}

static int parse_number(const char *text, int units, int64_t *ret)
{
    char *end;
    errno = 0;
    if (!(*text >= '0' && *text <= '9') && (units || *text != '-'))
        return -1;
    long long v = strtoll(text, &end, 10);
    int shift = 0;
    if (*end && units) {
        static const char letters[] = "KMGT";
        const char *u = strchr(letters, *end & ~0x20);
        if (!u || end[1])
            return -1;
        shift = 10 * (int)(u - letters + 1);
    } else if (*end) {
        return -1;
    }
    if (errno || end == text || v > (INT64_MAX >> shift) || v < -(INT64_MAX >> shift) - 1)
        return -1;
    *ret = v * (INT64_C(1) << shift);
    return 0;
}

static int is_word_of(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = words; p && n && *p; p += strcspn(p, " ")) {
        p += strspn(p, " ");
        if (strcspn(p, " ") == n && strncmp(p, word, n) == 0)
            return 1;
    }
    return 0;
}

/* Is the text a value of this option? 0, or the reason in why. */
static int unfit(const struct vc_option *o, const char *text, char *why, size_t size)
{
    int64_t n = 0;
    switch (o->type) {
    case VC_OPT_INT:
    case VC_OPT_SIZE:
        if (parse_number(text, o->type == VC_OPT_SIZE, &n) < 0)
            return snprintf(why, size, "is no %s", o->type == VC_OPT_SIZE ? "size" : "whole number");
        if (o->max > o->min && (n < o->min || n > o->max))
            return snprintf(why, size, "is not within %lld and %lld", (long long)o->min, (long long)o->max);
        return 0;
    case VC_OPT_BOOL:
        return strcmp(text, "true") && strcmp(text, "false") ? snprintf(why, size, "is not true or false") : 0;
    case VC_OPT_PATH:
        return text[0] != '/' ? snprintf(why, size, "is no absolute path") : 0;
    case VC_OPT_ENUM:
        return !is_word_of(o->choices, text) ? snprintf(why, size, "is none of: %s", o->choices ? o->choices : "") : 0;
    default:
        return 0;
    }
}

int vct_cfg_check(struct vct_pod *pod, struct vc_err *err)
{
    struct vct *t = pod->t;
    const struct vc_plugin *p = t->plugin;
    const char *const *lists[] = { pod->set, t->s->set };
    char why[256];
    for (int i = 0; i < 2; i++)
        for (const char *const *set = lists[i]; set && *set; set += 2)
            if (!option_of(t, set[0]))
                return vct_err_fill(err, VC_E_CONFIG, 0, "the plugin has no option \"%s\"", set[0]);
    for (uint32_t i = 0; p && i < p->n_options; i++) {
        const struct vc_option *o = (const void *)((const char *)p->options + (size_t)i * p->option_stride);
        const char *v = value_of(pod, o);
        if (!v && (o->flags & VC_OPT_REQUIRED))
            return vct_err_fill(err, VC_E_CONFIG, 0, "option \"%s\" is required and not set (--set %s=VALUE)", o->key,
                                o->key);
        if (v && unfit(o, v, why, sizeof(why)))
            return vct_err_fill(err, VC_E_CONFIG, 0, "option \"%s\": \"%.200s\" %s", o->key, v, why);
    }
    return VC_OK;
}

int vct_set_is_wrong(struct vct *t, char *why, size_t size)
{
    char what[200];
    for (const char *const *set = t->s->set; set && *set; set += 2) {
        const struct vc_option *o = option_of(t, set[0]);
        if (!o)
            return snprintf(why, size, "--set %s: the plugin has no option \"%s\"", set[0], set[0]);
        if (unfit(o, set[1], what, sizeof(what)))
            return snprintf(why, size, "--set %s: \"%.200s\" %s", set[0], set[1], what);
    }
    return 0;
}

static const char *lend(struct vct_pod *pod, const char *text, size_t n)
{
    struct lent *l = malloc(sizeof(*l) + n + 1);
    if (!l)
        return NULL;
    memcpy(l->text, text, n);
    l->text[n] = '\0';
    vct_lock();
    l->next = pod->lent;
    pod->lent = l;
    vct_unlock();
    return l->text;
}

void vct_cfg_poison(struct vct_pod *pod)
{
    pod->cfg.poisoned = 1;
    for (struct lent *l = pod->lent; l; l = l->next)
        memset(l->text, '?', strlen(l->text));
}

void vct_cfg_forget(struct vct_pod *pod)
{
    for (struct lent *l = pod->lent, *next; l; l = next) {
        next = l->next;
        free(l);
    }
    pod->lent = NULL;
}

/* The option asked for; NULL when nobody may ask so. `types`: bits 1 << VC_OPT_*. */
static const struct vc_option *asked(struct vct_pod *pod, const vc_config *cfg, const char *key, unsigned types,
                                     const char *as)
{
    struct vct *t = pod->t;
    if (!cfg || !key)
        return NULL;
    vct_lock();
    vcs_buf_append(&pod->read_keys, key, strlen(key) + 1);
    vct_unlock();
    if (cfg->poisoned) {
        vct_observe(t, "C8",
                    "option \"%s\" was asked for after the call that the configuration was given to had returned", key);
        return NULL;
    }
    const struct vc_option *o = option_of(t, key);
    if (!o) {
        vct_observe(t, "C6", "option \"%s\" was asked for, which the option table does not have", key);
        return NULL;
    }
    if (!(types >> o->type & 1)) {
        vct_observe(t, "C6",
                    "option \"%s\" was asked for as %s, which does not go with the type %u it is declared with", key,
                    as, o->type);
        return NULL;
    }
    return o;
}

#define TEXT_TYPES   (1u << VC_OPT_STRING | 1u << VC_OPT_PATH | 1u << VC_OPT_ENUM | 1u << VC_OPT_LIST)
#define NUMBER_TYPES (1u << VC_OPT_INT | 1u << VC_OPT_SIZE | 1u << VC_OPT_BOOL)

/* Word number idx of a list; NULL when it has fewer. */
static const char *word_at(const char *text, uint32_t idx, size_t *ret_len)
{
    for (const char *p = text + strspn(text, " "); *p; p += strspn(p, " ")) {
        *ret_len = strcspn(p, " ");
        if (idx-- == 0)
            return p;
        p += *ret_len;
    }
    return NULL;
}

/* Element number idx of a list; NULL when it has fewer.  Each --set of its key is one element; its default is words. */
static const char *element(struct vct_pod *pod, const struct vc_option *o, uint32_t idx, size_t *ret_len)
{
    const char *const *lists[] = { pod->set, pod->t->s->set };
    int is_set = 0;
    for (int i = 0; i < 2 && !is_set; i++)
        for (const char *const *set = lists[i]; set && *set; set += 2)
            if (strcmp(set[0], o->key) == 0) {
                is_set = 1;
                if (idx-- == 0) {
                    *ret_len = strlen(set[1]);
                    return set[1];
                }
            }
    return is_set || !o->def ? NULL : word_at(o->def, idx, ret_len);
}

static int host_cfg_str(const vc_host *host, const vc_config *cfg, const char *key, uint32_t idx, const char **out)
{
    SERVICE(VCT_S_CFG_STR);
    if (failed)
        return answer;
    const struct vc_option *o = out ? asked(pod, cfg, key, TEXT_TYPES, "text") : NULL;
    if (!o)
        return VC_E_INVAL;
    size_t n = 0;
    const char *text = o->type == VC_OPT_LIST ? element(pod, o, idx, &n) : idx ? NULL : value_of(pod, o);
    if (!text)
        return VC_E_NOTFOUND;
    text = lend(pod, text, o->type == VC_OPT_LIST ? n : strlen(text));
    if (!text)
        return VC_E_NOMEM;
    *out = text;
    return VC_OK;
}

static int host_cfg_int(const vc_host *host, const vc_config *cfg, const char *key, int64_t *out)
{
    SERVICE(VCT_S_CFG_INT);
    if (failed)
        return answer;
    const struct vc_option *o = out ? asked(pod, cfg, key, NUMBER_TYPES, "a number") : NULL;
    if (!o)
        return VC_E_INVAL;
    const char *text = value_of(pod, o);
    if (!text)
        return VC_E_NOTFOUND;
    if (o->type == VC_OPT_BOOL)
        *out = strcmp(text, "true") == 0;
    else if (parse_number(text, o->type == VC_OPT_SIZE, out) < 0)
        return VC_E_INVAL;
    return VC_OK;
}

static int host_cfg_count(const vc_host *host, const vc_config *cfg, const char *key, uint32_t *out)
{
    SERVICE(VCT_S_CFG_COUNT);
    if (failed)
        return answer;
    const struct vc_option *o = out ? asked(pod, cfg, key, TEXT_TYPES | NUMBER_TYPES, "a count") : NULL;
    if (!o)
        return VC_E_INVAL;
    uint32_t n = o->type != VC_OPT_LIST && value_of(pod, o);
    size_t len;
    while (o->type == VC_OPT_LIST && element(pod, o, n, &len))
        n++;
    *out = n;
    return VC_OK;
}

/* ---- the table ---- */

void vct_host_init(struct vct_pod *pod)
{
    pod->cfg.pod = pod;
    pod->host = (struct vc_host){
        .size = sizeof(struct vc_host),
        .abi_minor = VC_ABI_MINOR,
        .ctx = pod,
        .name = "vc-plugin-test",
        .version = "1",
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

const vc_host *vct_process_host(struct vct *t)
{
    static struct vct_pod none; /* without directories: the table for load has no pod */
    none.t = t;
    none.live = 1;
    if (!none.host.size)
        vct_host_init(&none);
    return &none.host;
}
