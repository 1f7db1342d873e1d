/* SPDX-License-Identifier: Apache-2.0 */
/* model-proxy.c: a small correct proxy plugin with a real process; compiled with -DBAD_<CHECK> it breaks just that
 * rule.
 *
 * Its process is this very file: a shared object with an interpreter and an entry point (_start in
 * model-proxy-serve.h), so nothing else has to be installed.  It takes connections on PROXY.SOCK and joins each with a
 * connection of its own to the agent. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <vc/proxy.h>

#ifndef MODEL_NAME
#define MODEL_NAME "model-proxy"
#endif

#define STATE_VERSION 1
#define PATH_SIZE     1024
#define START_NS      (INT64_C(10) * 1000000000) /* without a deadline */
#define READY         'r'

struct vc_inst {
    const vc_host *host;
    atomic_int cancels;
    int cancel_fd;  /* readable after cancel, until the next call */
    uint32_t state; /* VC_PROXY_* by what was asked for; the process says how it is */
    struct vc_proc proc;
    int64_t backlog;
    char run[PATH_SIZE], socket[PATH_SIZE + 16];
    char label[70000], token[512];
};

static const struct vc_option model_options[] = {
    { "backlog", VC_OPT_INT, 0, 1, 128, "16", NULL, "How many connections may wait until the proxy takes them." },
    { "label", VC_OPT_STRING, 0, 0, 0, "", NULL, "A word for the process list: the proxy's first argument." },
    { "token", VC_OPT_STRING, VC_OPT_SECRET, 0, 0, NULL, NULL,
      "A secret that the proxy is told over a private channel." },
};

/* ---- small helpers ---- */

static int fail(const vc_host *host, const struct vc_call *call, int code, int sys, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

static int fail(const vc_host *host, const struct vc_call *call, int code, int sys, const char *fmt, ...)
{
    vc_err *err = call && call->size >= offsetof(struct vc_call, err) + sizeof(call->err) ? call->err : NULL;
    char msg[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    return host->err_set(host, err, code, sys, msg, n < 0 ? 0 : n < (int)sizeof(msg) ? (uint64_t)n : sizeof(msg) - 1);
}

static int64_t deadline_of(const struct vc_call *call)
{
    return call && call->size >= offsetof(struct vc_call, deadline_ns) + sizeof(call->deadline_ns) ? call->deadline_ns
                                                                                                   : 0;
}

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int left_ms(int64_t deadline)
{
    int64_t left = deadline - now_ns();
    return left <= 0 ? 0 : left > INT64_C(60000) * 1000000 ? 60000 : (int)((left + 999999) / 1000000);
}

static int path_of(const vc_host *host, uint32_t which, char *out, size_t size)
{
    vc_sink *sink = NULL;
    struct vc_bytes bytes = { 0 };
    int r = host->sink_new(host, &sink);
    if (r != VC_OK)
        return r;
    r = host->path(host, which, sink);
    if (r == VC_OK)
        r = host->sink_bytes(host, sink, &bytes);
    if (r == VC_OK && bytes.len >= size)
        r = VC_E_RESOURCE;
    if (r == VC_OK) {
        memcpy(out, bytes.data, (size_t)bytes.len);
        out[bytes.len] = '\0';
    }
    host->sink_free(host, sink);
    return r;
}

/* An address for a path of any length: its directory is reached through a descriptor, which *ret_dir keeps. */
static int address(const char *path, struct sockaddr_un *a, int *ret_dir)
{
    char dir[PATH_SIZE + 16];
    const char *slash = strrchr(path, '/');
    *ret_dir = -1;
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    if (!slash || strlen(path) >= sizeof(dir) || strlen(slash + 1) > 64)
        return -ENAMETOOLONG;
    snprintf(dir, sizeof(dir), "%.*s/", (int)(slash - path), path);
    *ret_dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*ret_dir < 0)
        return -errno;
    snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%.64s", *ret_dir, slash + 1);
    return 0;
}

/* Listen on, or connect to, a unix socket: a descriptor, or -errno. */
static int unix_socket(const char *path, int backlog, int flags)
{
    struct sockaddr_un a;
    int dir, fd = -1, r = address(path, &a, &dir);
    if (r == 0 && (fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0)) < 0)
        r = -errno;
#ifndef BAD_P6_MODE
    if (r == 0 && backlog && fchmod(fd, 0600) < 0) /* the file gets the mode of the socket */
        r = -errno;
#else
    if (r == 0 && backlog && fchmod(fd, 0666) < 0)
        r = -errno;
#endif
    if (r == 0 && backlog && (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, backlog) < 0))
        r = -errno;
    if (r == 0 && !backlog && connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        r = -errno;
    if (r < 0 && fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return r < 0 ? r : fd;
}

#include "bad-et.h"

/* ---- life ---- */

static void model_close(vc_inst *inst)
{
    if (!inst)
        return;
    ET_CLOSE(inst);
    if (inst->cancel_fd >= 0)
        close(inst->cancel_fd);
    inst->host->free(inst->host, inst);
}

static int read_options(vc_inst *inst, const vc_config *cfg, const struct vc_call *call)
{
    const vc_host *host = inst->host;
    const char *text = NULL;
    int r = host->cfg_int(host, cfg, "backlog", &inst->backlog);
    if (r != VC_OK)
        return fail(host, call, r, 0, "the option backlog cannot be read");
    if (host->cfg_str(host, cfg, "label", 0, &text) == VC_OK) {
        if (strlen(text) >= sizeof(inst->label))
            return fail(host, call, VC_E_CONFIG, 0, "label is %zu bytes long, at most %zu are allowed", strlen(text),
                        sizeof(inst->label) - 1);
        snprintf(inst->label, sizeof(inst->label), "%s", text);
    }
    if (host->cfg_str(host, cfg, "token", 0, &text) == VC_OK) {
        if (strlen(text) >= sizeof(inst->token))
            return fail(host, call, VC_E_CONFIG, 0, "token is %zu bytes long, at most %zu are allowed", strlen(text),
                        sizeof(inst->token) - 1);
        snprintf(inst->token, sizeof(inst->token), "%s", text);
    }
    return VC_OK;
}

static int model_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        vc_inst **out)
{
    vc_inst *inst = host->alloc(host, sizeof(*inst));
    if (!inst)
        return fail(host, call, VC_E_NOMEM, 0, "no memory for the proxy of pod %.64s", pod_id);
    inst->host = host;
    inst->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ET_CREATE(inst, out);
    int r = inst->cancel_fd < 0
                ? fail(host, call, VC_E_RESOURCE, errno, "no descriptor for the proxy of pod %.64s", pod_id)
                : read_options(inst, cfg, call);
    if (r == VC_OK && (r = path_of(host, VC_PATH_RUN, inst->run, sizeof(inst->run))) != VC_OK)
        r = fail(host, call, r, 0, "the run directory of pod %.64s is not known", pod_id);
    if (r != VC_OK) {
        model_close(inst);
        return r;
    }
    snprintf(inst->socket, sizeof(inst->socket), "%s/proxy.sock", inst->run);
    *out = inst;
    return VC_OK;
}

/* State, version 1: "STATE PID START_TICKS\n". */
static int model_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "%u %d %" PRIu64 "\n", inst->state, inst->proc.pid, inst->proc.start_ticks);
    int r = inst->host->write(inst->host, out, text, (uint64_t)n);
    return r == VC_OK ? VC_OK : fail(inst->host, call, r, 0, "the state of %s cannot be written", inst->socket);
}

/* An unsigned number that ends with `end`. */
static int number(const char **p, char end, uint64_t max, uint64_t *ret)
{
    char *stop;
    if (**p < '0' || **p > '9')
        return -1;
    errno = 0;
    *ret = strtoull(*p, &stop, 10);
    if (errno || *ret > max || *stop != end)
        return -1;
    *p = stop + 1;
    return 0;
}

static int model_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                         uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    char text[64] = "";
    const char *p = text;
    uint64_t what, pid, ticks;
    if (state_version != STATE_VERSION)
        return fail(host, call, VC_E_UNSUPPORTED, 0, "state version %u of pod %.64s is unknown, %d is known", state_version,
                    pod_id, STATE_VERSION);
    if (state.len > 0 && state.len < sizeof(text) && !memchr(state.data, 0, (size_t)state.len))
        memcpy(text, state.data, (size_t)state.len);
    if (number(&p, ' ', VC_PROXY_STOPPED, &what) < 0 || number(&p, ' ', INT32_MAX, &pid) < 0 ||
        number(&p, '\n', UINT64_MAX, &ticks) < 0 || *p ||
#ifdef BAD_P4_RESTORE
        (!pid && what == VC_PROXY_RUNNING) ||
#endif
        (pid && what != VC_PROXY_RUNNING))
        return fail(host, call, VC_E_CORRUPT, 0, "the stored state of pod %.64s cannot be read", pod_id);
    vc_inst *inst = NULL;
    int r = model_create(host, call, cfg, pod_id, &inst);
    if (r != VC_OK)
        return r;
    inst->state = (uint32_t)what;
    inst->proc = (struct vc_proc){ .pid = (int32_t)pid, .start_ticks = ticks };
    *out = inst;
    return VC_OK;
}

/* *fd: a pidfd of the proxy, -1 when there is none any more.  That it cannot be told is a failure: the proxy may run.
 */
static int process(const vc_inst *inst, const struct vc_call *call, int32_t *fd)
{
    *fd = -1;
    int r = inst->proc.pid ? inst->host->proc_fd(inst->host, &inst->proc, fd) : VC_OK;
    if (r == VC_OK || r == VC_E_NOTFOUND)
        return VC_OK;
    return fail(inst->host, call, r, 0, "it cannot be told whether the proxy, process %d, runs", inst->proc.pid);
}

static int model_status(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
    ET_STATUS(inst, call);
    int32_t fd;
    int r = process(inst, call, &fd);
    if (r != VC_OK)
        return r;
    if (fd >= 0)
        close(fd);
#ifdef BAD_P3
    *state = inst->state;
#else
    *state = inst->proc.pid && fd < 0 ? VC_PROXY_STOPPED : inst->state;
#endif
    return VC_OK;
}

static int model_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    int32_t fd;
    int r = process(inst, call, &fd);
    if (r != VC_OK)
        return r;
    if (inst->state == VC_PROXY_RUNNING && !inst->proc.pid)
        *health = VC_HEALTH_OK; /* the address was passed through */
    else
        *health = fd < 0 ? VC_HEALTH_GONE : access(inst->socket, F_OK) == 0 ? VC_HEALTH_OK : VC_HEALTH_BAD;
#ifdef BAD_P4_HEALTH
    *health = fd < 0 ? VC_HEALTH_GONE : VC_HEALTH_OK;
#endif
    if (fd >= 0)
        close(fd);
    return VC_OK;
}

static void model_cancel(vc_inst *inst)
{
    uint64_t one = 1;
    atomic_fetch_add(&inst->cancels, 1);
    if (write(inst->cancel_fd, &one, sizeof(one)) < 0)
        return; /* full: it is readable already */
}

static uint64_t model_caps(vc_inst *inst)
{
    (void)inst;
    ET_CAPS(inst);
    return 0;
}

static const void *model_ext(vc_inst *inst, const char *id)
{
    (void)inst;
    (void)id;
    return NULL;
}

/* ---- stop ---- */

static int model_stop(vc_inst *inst, const struct vc_call *call)
{
    ET_STOP(inst, call);
    const vc_host *host = inst->host;
    int32_t fd;
    int r = process(inst, call, &fd);
    if (r != VC_OK)
        return r;
#ifdef BAD_P2
    if (inst->state != VC_PROXY_RUNNING)
        return fail(host, call, VC_E_STATE, 0, "the proxy does not run");
#endif
    if (fd >= 0) {
        if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0u) < 0 && errno != ESRCH)
            r = fail(host, call, VC_E_PERM, errno, "cannot end the proxy, process %d", inst->proc.pid);
        close(fd);
    }
    if (r == VC_OK && inst->proc.pid) {
        r = host->proc_wait(host, call, &inst->proc, NULL);
        if (r != VC_OK && r != VC_E_NOTFOUND)
            return fail(host, call, r, 0, "the proxy, process %d, was killed but does not end", inst->proc.pid);
        host->proc_done(host, &inst->proc);
        r = VC_OK;
    }
    if (r != VC_OK)
        return r;
    inst->proc = (struct vc_proc){ 0 };
    if (inst->state == VC_PROXY_RUNNING)
        inst->state = VC_PROXY_STOPPED;
#ifndef BAD_P6
    if (unlink(inst->socket) < 0 && errno != ENOENT && errno != ENOTDIR)
        return fail(host, call, VC_E_IO, errno, "cannot remove the proxy's socket %s", inst->socket);
#endif
    return VC_OK;
}

/* ---- start ---- */

/* Wait until the proxy says that it is ready. */
static int await_ready(vc_inst *inst, const struct vc_call *call, int fd)
{
    int64_t deadline = deadline_of(call) ? deadline_of(call) : now_ns() + START_NS;
    for (;;) {
        struct pollfd pf[2] = { { .fd = fd, .events = POLLIN }, { .fd = inst->cancel_fd, .events = POLLIN } };
        int n = poll(pf, 2, left_ms(deadline));
        char c = 0;
        if (n < 0 && errno != EINTR)
            return fail(inst->host, call, VC_E_IO, errno, "cannot wait for the proxy, process %d", inst->proc.pid);
        if (n == 0)
            return fail(inst->host, call, VC_E_TIMEOUT, 0, "the proxy, process %d, does not get ready in time",
                        inst->proc.pid);
        if (n < 0)
            continue;
        if (pf[1].revents)
            return fail(inst->host, call, VC_E_CANCELLED, 0, "the start of the proxy was cancelled");
        ssize_t got = recv(fd, &c, 1, MSG_DONTWAIT);
        if (got == 1)
            return c == READY ? VC_OK
                              : fail(inst->host, call, VC_E_PROTOCOL, 0,
                                     "the proxy said byte %d, '%c' is what says ready", (unsigned char)c, READY);
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            return fail(inst->host, call, VC_E_PEER, 0, "the proxy, process %d, ended before it was ready",
                        inst->proc.pid);
    }
}

/* Path of this file. */
static const char *own_path(void)
{
    Dl_info info;
    return dladdr((const void *)(uintptr_t)&vc_plugin_entry, &info) && info.dli_fname ? info.dli_fname : "";
}

static int launch(vc_inst *inst, const struct vc_call *call, const struct vc_proxy_params *params, const char *agent,
                  int listen_fd)
{
    const vc_host *host = inst->host;
    int pair[2], r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return fail(host, call, VC_E_RESOURCE, errno, "no channel to the proxy");
    const char *argv[] = { "model-proxy", inst->label, NULL };
    const int32_t fds[] = { listen_fd, pair[1] };
    struct vc_spawn spawn = { .size = sizeof(spawn),
                              .path = own_path(),
                              .argv = argv,
                              .fds = fds,
                              .n_fds = 2,
                              .netns_fd = params->netns_fd,
                              .stdio = { -1, -1, -1 } };
    r = host->spawn(host, call, &spawn, &inst->proc);
    close(pair[1]);
    if (r == VC_OK) {
        char hello[PATH_SIZE + 600];
        int n = snprintf(hello, sizeof(hello), "%s\n%s\n", agent, inst->token);
        inst->state = VC_PROXY_RUNNING;
        if (send(pair[0], hello, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
            r = fail(host, call, VC_E_PEER, errno, "the proxy, process %d, cannot be told its agent", inst->proc.pid);
        else
            r = await_ready(inst, call, pair[0]);
    }
    close(pair[0]);
    return r;
}

#ifdef BAD_P4_STRANGER
/* A process that runs, and that nobody has asked the host to start. */
static struct vc_proc myself(void)
{
    char text[1024] = "";
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    char *at = n > 0 ? strrchr(text, ')') : NULL;
    close(fd);
    for (int i = 0; at && i < 20; i++)
        at = strchr(at + 1, ' ');
    return (struct vc_proc){ .pid = getpid(), .start_ticks = at ? strtoull(at + 1, NULL, 10) : 0 };
}
#endif

/* Any number can connect to it: nothing is needed in between. */
static int pass_through(vc_inst *inst, const struct vc_call *call, const char *agent, struct vc_proc *proc,
                        vc_sink *uri)
{
    int r = inst->host->write(inst->host, uri, agent, strlen(agent));
#ifdef BAD_P4
    inst->host->write(inst->host, uri, "0", 1);
#endif
    if (r != VC_OK)
        return fail(inst->host, call, r, 0, "cannot pass on the agent's address %.128s", agent);
    inst->state = VC_PROXY_RUNNING;
    *proc = (struct vc_proc){ 0 };
#ifdef BAD_P4_STRANGER
    *proc = myself();
#endif
#ifdef BAD_P4_STATUS
    inst->state = VC_PROXY_NONE;
#endif
    return VC_OK;
}

static int model_start(vc_inst *inst, const struct vc_call *call, const struct vc_proxy_params *params,
                       struct vc_proc *proc, vc_sink *uri)
{
    const vc_host *host = inst->host;
    const char *agent = params->agent_uri ? params->agent_uri : "";
    uint64_t drop;
    ET_START(inst, call, proc);
    int32_t running;
    int was = process(inst, call, &running);
    if (was != VC_OK)
        return was;
    if (running >= 0)
        close(running);
#ifdef BAD_P5
    running = -1;
#endif
#ifdef BAD_P4_AGAIN
    if (inst->state == VC_PROXY_RUNNING && !inst->proc.pid)
        inst->state = VC_PROXY_NONE;
#endif
    if (running >= 0 || (inst->state == VC_PROXY_RUNNING && !inst->proc.pid)) {
        ET_EXISTS(inst, call);
        return fail(host, call, VC_E_EXISTS, 0, "the proxy runs already, process %d", inst->proc.pid);
    }
    if (host->cancelled(host, call))
        return fail(host, call, deadline_of(call) && deadline_of(call) <= now_ns() ? VC_E_TIMEOUT : VC_E_CANCELLED, 0,
                    "there was no time to start the proxy");
    if (strncmp(agent, "vsock://", 8) == 0 || strncmp(agent, "hvsock://", 9) == 0)
        return pass_through(inst, call, agent, proc, uri);
#ifndef BAD_P8_PORT
    if (strncmp(agent, "serial://", 9) == 0)
        return fail(host, call, VC_E_UNSUPPORTED, 0,
                    "the agent is at %.128s, which takes one connection, and each client needs one here: proxy = "
                    "\"kata\" is right for that",
                    agent);
#endif
    if (strncmp(agent, "unix://", 7) != 0 && strncmp(agent, "serial://", 9) != 0 && *agent)
        return fail(host, call, VC_E_INVAL, 0, "the agent's address \"%.128s\" is no unix://PATH", agent);
    agent = *agent ? strchr(agent, ':') + 3 : agent;
    if (strlen(agent) >= PATH_SIZE || strchr(agent, '\n'))
        return fail(host, call, VC_E_INVAL, 0, "the agent's path is too long or has a line break");
    if (read(inst->cancel_fd, &drop, sizeof(drop)) < 0)
        drop = 0;                                                        /* nothing was cancelled */
    if (unlink(inst->socket) < 0 && errno != ENOENT && errno != ENOTDIR) /* left by one that was killed */
        return fail(host, call, VC_E_IO, errno, "cannot remove the old socket %s", inst->socket);
    int fd = unix_socket(inst->socket, (int)inst->backlog, 0);
    if (fd < 0)
        return fail(host, call,
                    fd == -EACCES || fd == -EROFS    ? VC_E_PERM
                    : fd == -ENOENT                  ? VC_E_NOTFOUND
                    : fd == -EMFILE || fd == -ENOSPC ? VC_E_RESOURCE
                                                     : VC_E_IO,
                    -fd, "cannot listen on %s", inst->socket);
    int r = launch(inst, call, params, agent, fd);
    close(fd);
    char text[PATH_SIZE + 32];
    int n = snprintf(text, sizeof(text), "unix://%s", inst->socket);
#ifdef BAD_P1
    n = snprintf(text, sizeof(text), "unix://%s.gone", inst->socket);
#endif
    if (r == VC_OK && (r = host->write(host, uri, text, (uint64_t)n)) != VC_OK)
        fail(host, call, r, 0, "cannot tell the proxy's address %s", inst->socket);
    if (r == VC_OK) {
        ET_START_DONE(inst);
        *proc = inst->proc;
        return VC_OK;
    }
    struct vc_call quiet = { .size = sizeof(quiet) }; /* its failure must not take the place of the first one */
    model_stop(inst, &quiet);
    inst->state = VC_PROXY_NONE;
    return r;
}

/* ---- the descriptor ---- */

#ifdef LCM
#include "lcm.h"
#else
static const struct vc_inst_ops model_inst = {
    .size = sizeof(model_inst),
    .create = model_create,
    .restore = model_restore,
    .save = model_save,
    .check = model_check,
    .cleanup = model_stop,
    .close = model_close,
    .caps = model_caps,
    .cancel = model_cancel,
    .ext = model_ext,
};
static const struct vc_proxy_ops model_ops = {
    .size = sizeof(model_ops),
    .start = model_start,
    .stop = model_stop,
    .status = model_status,
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_PROXY,
    .name = MODEL_NAME,
    .vendor = "libvccore tests",
    .version = "1.0",
    .description = "A small proxy that joins each client with the agent.",
    .options = model_options,
    .n_options = sizeof(model_options) / sizeof(model_options[0]),
    .option_stride = sizeof(struct vc_option),
    .state_version = STATE_VERSION,
    .state_version_min = STATE_VERSION,
#ifdef BAD_T2_PROBE
    .probe = et_probe,
#endif
    .inst = &model_inst,
    .ops = &model_ops,
};
#endif

#include "model-proxy-serve.h"
