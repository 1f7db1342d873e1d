/* SPDX-License-Identifier: Apache-2.0 */
/* fakehost.c: the host table in memory. */
#include "unit/fakehost.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/proc.h"

static struct fakehost *self(const vc_host *host)
{
    return host->ctx;
}

static void fh_log(const vc_host *host, int32_t level, const char *msg, uint64_t len)
{
    vcs_buf_printf(&self(host)->logged, "%d %.*s\n", level, (int)len, msg);
}

static int fh_log_enabled(const vc_host *host, int32_t level)
{
    (void)host;
    return level <= VC_LOG_DEBUG;
}

static int fh_err_set(const vc_host *host, vc_err *err, int32_t code, int32_t sys, const char *msg, uint64_t len)
{
    (void)host;
    if (err) {
        err->code = code;
        err->sys = sys;
        snprintf(err->text, sizeof(err->text), "%.*s", (int)len, msg);
    }
    return code;
}

static void fh_err_context(const vc_host *host, vc_err *err, const char *msg, uint64_t len)
{
    (void)host;
    if (!err)
        return;
    char old[sizeof(err->text)];
    memcpy(old, err->text, sizeof(old));
    snprintf(err->text, sizeof(err->text), "%.*s: %.900s", (int)len, msg, old);
}

static void *fh_alloc(const vc_host *host, uint64_t size)
{
    (void)host;
    return calloc(1, size ? size : 1);
}

static void fh_free(const vc_host *host, void *mem)
{
    (void)host;
    free(mem);
}

/* ---- sinks ---- */

vc_sink *fakehost_sink(void)
{
    return calloc(1, sizeof(vc_sink));
}

const char *fakehost_sink_text(vc_sink *sink)
{
    return vcs_buf_str(&sink->buf);
}

void fakehost_sink_free(vc_sink *sink)
{
    if (sink)
        vcs_buf_done(&sink->buf);
    free(sink);
}

static int fh_write(const vc_host *host, vc_sink *sink, const void *data, uint64_t len)
{
    (void)host;
    size_t limit = sink->limit ? sink->limit : 1024 * 1024;
    if (len > limit - sink->buf.len)
        return VC_E_RESOURCE;
    return vcs_buf_append(&sink->buf, data, len) < 0 ? VC_E_NOMEM : VC_OK;
}

static int fh_sink_new(const vc_host *host, vc_sink **out)
{
    (void)host;
    *out = fakehost_sink();
    return *out ? VC_OK : VC_E_NOMEM;
}

static int fh_sink_bytes(const vc_host *host, vc_sink *sink, struct vc_bytes *out)
{
    (void)host;
    const char *text = vcs_buf_str(&sink->buf);
    if (!text)
        return VC_E_NOMEM;
    *out = (struct vc_bytes){ text, sink->buf.len };
    return VC_OK;
}

static void fh_sink_free(const vc_host *host, vc_sink *sink)
{
    (void)host;
    fakehost_sink_free(sink);
}

/* ---- configuration ---- */

static const struct vc_option *option(const struct fakehost *fh, const char *key)
{
    for (uint32_t i = 0; fh->plugin && i < fh->plugin->n_options; i++) {
        const char *row = (const char *)fh->plugin->options + (size_t)i * fh->plugin->option_stride;
        const struct vc_option *o = (const void *)row;
        if (strcmp(o->key, key) == 0)
            return o;
    }
    return NULL;
}

/* The text of a key: as configured, else its default; NULL when unset.  An undeclared key is a bug of the
 * plugin, which the log shows. */
static const char *value_of(const vc_config *cfg, const char *key)
{
    struct fakehost *fh = cfg->fh;
    const struct vc_option *o = option(fh, key);
    if (fh->plugin && !o) {
        vcs_buf_printf(&fh->logged, "undeclared option %s was read\n", key);
        return NULL;
    }
    for (size_t i = 0; fh->config && fh->config[i]; i += 2)
        if (strcmp(fh->config[i], key) == 0)
            return fh->config[i + 1];
    return o ? o->def : NULL;
}

static int fh_cfg_str(const vc_host *host, const vc_config *cfg, const char *key, uint32_t idx, const char **out)
{
    static _Thread_local char words[4][1024];
    static _Thread_local unsigned turn;
    const char *text = value_of(cfg, key);
    const struct vc_option *o = option(self(host), key);
    if (!text)
        return VC_E_NOTFOUND;
    if (!o || o->type != VC_OPT_LIST) {
        *out = text;
        return idx ? VC_E_NOTFOUND : VC_OK;
    }
    char *copy = words[turn++ % 4], *save = NULL;
    snprintf(copy, sizeof(words[0]), "%s", text);
    char *word = strtok_r(copy, " ", &save);
    for (; word && idx; idx--)
        word = strtok_r(NULL, " ", &save);
    if (!word)
        return VC_E_NOTFOUND;
    *out = word;
    return VC_OK;
}

static int fh_cfg_count(const vc_host *host, const vc_config *cfg, const char *key, uint32_t *out)
{
    const char *word;
    uint32_t n = 0;
    while (fh_cfg_str(host, cfg, key, n, &word) == VC_OK)
        n++;
    *out = n;
    return VC_OK;
}

static int fh_cfg_int(const vc_host *host, const vc_config *cfg, const char *key, int64_t *out)
{
    (void)host;
    const char *text = value_of(cfg, key);
    if (!text)
        return VC_E_NOTFOUND;
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        *out = text[0] == 't';
        return VC_OK;
    }
    char *end;
    long long v = strtoll(text, &end, 10);
    const char *units = "KMGT", *unit = *end ? strchr(units, *end) : NULL;
    if (end == text || (*end && (!unit || end[1])))
        return VC_E_CONFIG;
    *out = unit ? v << (10 * (unit - units + 1)) : v;
    return VC_OK;
}

static int fh_path(const vc_host *host, uint32_t which, vc_sink *sink)
{
    static const char *const below[] = { NULL, "run", "root", "state", "plugins", "libexec", "data" };
    struct fakehost *fh = self(host);
    char path[4200];
    if (which == VC_PATH_CONFIG)
        return VC_OK;
    if (which == 0 || which >= sizeof(below) / sizeof(below[0]))
        return VC_E_INVAL;
    snprintf(path, sizeof(path), "%s/%s", fh->dir, below[which]);
    if (which == VC_PATH_LIBEXEC && fh->libexec[0])
        snprintf(path, sizeof(path), "%s", fh->libexec);
    if (which == VC_PATH_DATA && fh->data[0])
        snprintf(path, sizeof(path), "%s", fh->data);
    return fh_write(host, sink, path, strlen(path));
}

/* ---- processes ---- */

/* Put the descriptors in their places; only async-signal-safe calls. */
static int place_fds(const struct vc_spawn *sp)
{
    int high[3 + 32];
    uint32_t n = 3 + sp->n_fds;
    if (sp->n_fds > 32)
        return -E2BIG;
    for (uint32_t i = 0; i < n; i++) {
        int fd = i < 3 ? sp->stdio[i] : sp->fds[i - 3];
        if (fd < 0)
            fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        high[i] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        if (high[i] < 0)
            return -errno;
    }
    for (uint32_t i = 0; i < n; i++)
        if (dup2(high[i], (int)i) < 0)
            return -errno;
    return 0;
}

static int child(const struct vc_spawn *sp)
{
    static const char *const env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (sp->netns_fd >= 0 && setns(sp->netns_fd, CLONE_NEWNET) < 0)
        return errno;
    if (!(sp->flags & VC_SPAWN_SAME_SESSION) && setsid() < 0)
        return errno;
    int r = place_fds(sp);
    if (r < 0)
        return -r;
    if (sp->flags & VC_SPAWN_CTTY && ioctl(0, TIOCSCTTY, 0) < 0)
        return errno;
    execve(sp->path, (char *const *)sp->argv, (char *const *)(sp->envp ? sp->envp : env));
    return errno;
}

static int fh_spawn(const vc_host *host, const struct vc_call *call, const struct vc_spawn *sp, struct vc_proc *out)
{
    struct fakehost *fh = self(host);
    int p[2];
    char msg[4200];
    if (fh->n_procs == FAKEHOST_PROCS || pipe2(p, O_CLOEXEC) < 0)
        return VC_E_RESOURCE;
    /* The report must not lie where the child puts its own descriptors. */
    int report = fcntl(p[1], F_DUPFD_CLOEXEC, 90);
    close(p[1]);
    pid_t pid = fork();
    if (pid == 0) {
        int err = child(sp);
        if (write(report, &err, sizeof(err)) < 0)
            _exit(126);
        _exit(127);
    }
    close(report);
    int err = 0;
    ssize_t n = vcs_read_full(p[0], &err, sizeof(err));
    close(p[0]);
    if (pid < 0 || n > 0) {
        if (pid > 0)
            waitpid(pid, NULL, 0);
        int len = snprintf(msg, sizeof(msg), "cannot run %s", sp->path);
        int code = err == ENOENT ? VC_E_NOTFOUND : err == EACCES ? VC_E_PERM : VC_E_IO;
        return fh_err_set(host, call ? call->err : NULL, code, err, msg, (uint64_t)len);
    }
    vcs_proc_identify(pid, out);
    fh->procs[fh->n_procs++] = *out;
    fh->spawned++;
    return VC_OK;
}

static int fh_proc_fd(const vc_host *host, const struct vc_proc *proc, int32_t *pidfd)
{
    (void)host;
    int fd = vcs_proc_fd(proc);
    if (fd < 0)
        return fd == -ESRCH ? VC_E_NOTFOUND : VC_E_IO;
    *pidfd = fd;
    return VC_OK;
}

static int fh_proc_wait(const vc_host *host, const struct vc_call *call, const struct vc_proc *proc, int32_t *status)
{
    (void)host;
    int st;
    int r = vcs_proc_wait(proc, call ? call->deadline_ns : 0, &st);
    if (r == 0 && status)
        *status = st;
    return r == 0 ? VC_OK : r == -ETIMEDOUT ? VC_E_TIMEOUT : VC_E_IO;
}

static int fh_proc_done(const vc_host *host, const struct vc_proc *proc)
{
    struct fakehost *fh = self(host);
    for (size_t i = 0; i < fh->n_procs; i++)
        if (fh->procs[i].pid == proc->pid && fh->procs[i].start_ticks == proc->start_ticks) {
            fh->procs[i] = fh->procs[--fh->n_procs];
            return VC_OK;
        }
    return VC_E_NOTFOUND;
}

struct in_netns {
    int fd, result;
    int (*fn)(void *);
    void *arg;
};

static void *netns_thread(void *arg)
{
    struct in_netns *n = arg;
    n->result = n->fd >= 0 && setns(n->fd, CLONE_NEWNET) < 0 ? VC_E_PERM : n->fn(n->arg);
    return NULL;
}

static int fh_netns_run(const vc_host *host, const struct vc_call *call, int32_t fd, int (*fn)(void *), void *arg)
{
    (void)host;
    (void)call;
    struct in_netns n = { .fd = fd, .fn = fn, .arg = arg };
    pthread_t thread;
    if (pthread_create(&thread, NULL, netns_thread, &n) != 0)
        return VC_E_RESOURCE;
    pthread_join(thread, NULL);
    return n.result;
}

/* ---- things outside ---- */

static int fh_res_add(const vc_host *host, uint32_t type, const char *name)
{
    struct fakehost *fh = self(host);
    if (fh->n_res == FAKEHOST_RES)
        return VC_E_RESOURCE;
    char *line;
    if (asprintf(&line, "%u %s", type, name) < 0)
        return VC_E_NOMEM;
    fh->res[fh->n_res++] = line;
    return VC_OK;
}

static int fh_res_del(const vc_host *host, uint32_t type, const char *name)
{
    struct fakehost *fh = self(host);
    char line[4200];
    snprintf(line, sizeof(line), "%u %s", type, name);
    for (size_t i = 0; i < fh->n_res; i++)
        if (strcmp(fh->res[i], line) == 0) {
            free(fh->res[i]);
            fh->res[i] = fh->res[--fh->n_res];
            return VC_OK;
        }
    return VC_E_NOTFOUND;
}

static int fh_cancelled(const vc_host *host, const struct vc_call *call)
{
    return self(host)->cancelled || (call && call->deadline_ns && vcs_now_ns() >= call->deadline_ns);
}

static const void *fh_ext(const vc_host *host, const char *id)
{
    (void)host;
    (void)id;
    return NULL;
}

/* ---- life ---- */

/* Directories are called fakehost-NAMESPACE-PID-XXXXXX: what a test that failed or was killed has left is removed by the end of its
 * process, or else by the next one. */
static const char *base_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    return tmp && tmp[0] == '/' && strlen(tmp) < 24 ? tmp : "/tmp";
}

static unsigned long pid_namespace(void)
{
    struct stat st = { 0 };
    return stat("/proc/self/ns/pid", &st) == 0 ? (unsigned long)st.st_ino : 0;
}

/* Remove those of this process (`own`), or those of processes that are gone. */
static void sweep(int own)
{
    unsigned long space, here = pid_namespace();
    vcs_autoclosedir DIR *d = opendir(base_dir());
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        int pid, end = 0;
        if (sscanf(e->d_name, "fakehost-%lu-%d-%*6[A-Za-z0-9]%n", &space, &pid, &end) != 2 || !end ||
            e->d_name[end] || pid <= 0 || space != here)
            continue;
        int gone = own ? pid == getpid() : kill(pid, 0) < 0 && errno == ESRCH;
        if (gone && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid == geteuid())
            vcs_remove_tree(dirfd(d), e->d_name);
    }
}

static pid_t sweeper;

static void sweep_at_exit(void)
{
    if (getpid() == sweeper) /* no process that a test has forked */
        sweep(1);
}

int fakehost_init(struct fakehost *fh, const struct vc_plugin *plugin, const char *const *config)
{
    *fh = (struct fakehost){ .plugin = plugin, .config = config };
    fh->view.fh = fh;
    fh->host = (struct vc_host){
        .size = sizeof(struct vc_host),
        .abi_minor = VC_ABI_MINOR,
        .ctx = fh,
        .name = "fakehost",
        .version = "1",
        .log = fh_log,
        .log_enabled = fh_log_enabled,
        .err_set = fh_err_set,
        .err_context = fh_err_context,
        .alloc = fh_alloc,
        .free = fh_free,
        .write = fh_write,
        .cfg_str = fh_cfg_str,
        .cfg_int = fh_cfg_int,
        .cfg_count = fh_cfg_count,
        .path = fh_path,
        .sink_new = fh_sink_new,
        .sink_bytes = fh_sink_bytes,
        .sink_free = fh_sink_free,
        .spawn = fh_spawn,
        .proc_fd = fh_proc_fd,
        .proc_wait = fh_proc_wait,
        .proc_done = fh_proc_done,
        .netns_run = fh_netns_run,
        .res_add = fh_res_add,
        .res_del = fh_res_del,
        .cancelled = fh_cancelled,
        .ext = fh_ext,
    };
    sweep(0);
    if (sweeper != getpid() && atexit(sweep_at_exit) == 0)
        sweeper = getpid();
    snprintf(fh->dir, sizeof(fh->dir), "%s/fakehost-%lu-%d-XXXXXX", base_dir(), pid_namespace(), (int)getpid());
    if (!mkdtemp(fh->dir))
        return -1;
    static const char *const names[] = { "run", "root", "state", "plugins", "libexec", "data" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", fh->dir, names[i]);
        if (mkdir(path, 0700) < 0)
            return -1;
    }
    return 0;
}

void fakehost_done(struct fakehost *fh)
{
    for (size_t i = 0; i < fh->n_procs; i++) {
        vcs_proc_kill(&fh->procs[i], SIGKILL);
        vcs_proc_wait(&fh->procs[i], vcs_now_ns() + 5000000000, NULL);
    }
    for (size_t i = 0; i < fh->n_res; i++)
        free(fh->res[i]);
    vcs_buf_done(&fh->logged);
    if (fh->dir[0])
        vcs_remove_tree(AT_FDCWD, fh->dir);
    *fh = (struct fakehost){ 0 };
}

struct vc_call fakehost_call(struct fakehost *fh, int timeout_ms)
{
    fh->err = (struct vc_err){ 0 };
    return (struct vc_call){
        .size = sizeof(struct vc_call),
        .deadline_ns = timeout_ms ? vcs_now_ns() + (int64_t)timeout_ms * 1000000 : 0,
        .err = &fh->err,
        .trace_id = "test",
    };
}

vc_config *fakehost_config(struct fakehost *fh)
{
    return &fh->view;
}

const struct vc_plugin *fakehost_load(const char *path)
{
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    const struct vc_plugin *p = lib ? dlsym(lib, VC_PLUGIN_SYMBOL) : NULL;
    if (!p)
        fprintf(stderr, "%s\n", dlerror());
    return p;
}
