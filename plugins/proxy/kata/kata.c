/* SPDX-License-Identifier: Apache-2.0 */
/* kata.c: proxy plugin "kata": one process that shares the VM's serial port by yamux, vc-proxy or kata-proxy. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vc/proxy.h>

#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/plug.h"

/* It carries no half close: whichever side ends its sending, it ends both directions.  Agents and shims of the field do
 * not need one; vc-proxy carries it, as proxy.h has it. */
#define KATA_PROXY "/usr/libexec/kata-containers/kata-proxy"
#define START_NS   (INT64_C(15) * 1000000000) /* without a deadline: what the original gives it */
#define TERM_NS    (INT64_C(3) * 1000000000)  /* between SIGTERM and SIGKILL */
#define KILL_NS    (INT64_C(5) * 1000000000)  /* SIGKILL needs a moment too */

struct vc_inst {
    const vc_host *host;
    char *pod_id;
    char *program;
    char *run;    /* VC_PATH_RUN */
    char *socket; /* below it */
    int is_real;  /* a real kata-proxy */
    int debug;
    uint32_t state; /* VC_PROXY_* by what was asked for; the process, if there is one, says how it is */
    struct vc_proc proc; /* pid 0 while it runs: the agent's address was passed through */
    atomic_int cancelled;
};

static const struct vc_option kata_options[] = {
    { "variant", VC_OPT_ENUM, 0, 0, 0, "vc", "vc kata",
      "Which program it is: \"vc\" is vc-proxy, which takes over open sockets; \"kata\" is a kata-proxy of Kata Containers 1." },
    { "path", VC_OPT_PATH, VC_OPT_MUST_EXIST, 0, 0, NULL, NULL,
      "The program. Unset: vc-proxy of this installation, or " KATA_PROXY " for variant \"kata\"." },
    { "debug", VC_OPT_BOOL, 0, 0, 0, "false", NULL,
      "Log connections and the guest's console to proxy.log in the pod's run directory (variant \"kata\": to its syslog)." },
};

/* ---- life ---- */

static void kata_close(vc_inst *inst)
{
    if (!inst)
        return;
    free(inst->pod_id);
    free(inst->program);
    free(inst->run);
    free(inst->socket);
    free(inst);
}

static void kata_cleanup_inst(vc_inst **inst)
{
    kata_close(*inst);
}

/* Absolute path of the program: the option, or what the variant implies. */
static char *program_of(const vc_host *host, const vc_config *cfg, int is_real)
{
    const char *path = vcs_opt_str(host, cfg, "path");
    if (path || is_real)
        return strdup(path ? path : KATA_PROXY);
    vcs_autofree char *dir = vcs_path(host, VC_PATH_LIBEXEC);
    char *out = NULL;
    return dir && asprintf(&out, "%s/vc-proxy", dir) >= 0 ? out : NULL;
}

static int is_real_of(const vc_host *host, const vc_config *cfg)
{
    const char *variant = vcs_opt_str(host, cfg, "variant");
    return variant && strcmp(variant, "kata") == 0;
}

static int kata_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       vc_inst **out)
{
    __attribute__((cleanup(kata_cleanup_inst))) vc_inst *inst = calloc(1, sizeof(*inst));
    if (!inst)
        return vcs_fail(host, call, VC_E_NOMEM, 0, "proxy kata: out of memory");
    inst->host = host;
    inst->is_real = is_real_of(host, cfg);
    inst->debug = vcs_opt_int(host, cfg, "debug", 0) != 0;
    inst->program = program_of(host, cfg, inst->is_real);
    inst->pod_id = strdup(pod_id);
    inst->run = vcs_path(host, VC_PATH_RUN);
    if (inst->run && asprintf(&inst->socket, "%s/proxy.sock", inst->run) < 0)
        inst->socket = NULL;
    if (!inst->program || !inst->pod_id || !inst->run || !inst->socket)
        return vcs_fail(host, call, VC_E_NOMEM, 0, "proxy kata: out of memory");
    *out = VCS_TAKE_PTR(inst);
    return VC_OK;
}

/* State, version 1: "STATE PID START_TICKS\n".  Everything else follows from the configuration. */
static int kata_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    char text[64];
    snprintf(text, sizeof(text), "%u %d %" PRIu64 "\n", inst->state, inst->proc.pid, inst->proc.start_ticks);
    int r = vcs_put(inst->host, out, text);
    return r == VC_OK ? VC_OK
                      : vcs_fail(inst->host, call, r, 0, "proxy kata: cannot write the state of pod %s", inst->pod_id);
}

/* Read one unsigned number that ends with `end`. */
static int parse_number(const char **p, char end, uint64_t max, uint64_t *ret)
{
    if (**p < '0' || **p > '9')
        return -1;
    char *stop;
    errno = 0;
    *ret = strtoull(*p, &stop, 10);
    if (errno || *ret > max || *stop != end)
        return -1;
    *p = stop + 1;
    return 0;
}

static int kata_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    char text[64];
    uint64_t what, pid, ticks;
    const char *p = text;
    if (state_version != 1)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "proxy kata: state version %u of pod %s is unknown, 1 is known",
                        state_version, pod_id);
    if (state.len < sizeof(text) && state.len)
        memcpy(text, state.data, state.len);
    if (state.len == 0 || state.len >= sizeof(text) || memchr(text, 0, state.len) ||
        (text[state.len] = '\0', parse_number(&p, ' ', VC_PROXY_STOPPED, &what) < 0) ||
        parse_number(&p, ' ', INT32_MAX, &pid) < 0 || parse_number(&p, '\n', UINT64_MAX, &ticks) < 0 || *p ||
        (pid && what != VC_PROXY_RUNNING) || (!pid && ticks))
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "proxy kata: the stored state of pod %s cannot be read", pod_id);
    vc_inst *inst = NULL;
    int r = kata_create(host, call, cfg, pod_id, &inst);
    if (r != VC_OK)
        return r;
    inst->state = (uint32_t)what;
    inst->proc = (struct vc_proc){ .pid = (int32_t)pid, .start_ticks = ticks };
    *out = inst;
    return VC_OK;
}

/* *ret_fd: a pidfd of our process, -1 when there is none any more.  That it cannot be told is a failure: it may run. */
static int process(const vc_inst *inst, const struct vc_call *call, int32_t *ret_fd)
{
    int32_t fd = -1;
    int r = inst->proc.pid ? inst->host->proc_fd(inst->host, &inst->proc, &fd) : VC_OK;
    if (r != VC_OK && r != VC_E_NOTFOUND)
        return vcs_fail(inst->host, call, r, 0, "cannot tell whether the proxy of pod %s, process %d, runs", inst->pod_id,
                        inst->proc.pid);
    *ret_fd = r == VC_OK ? fd : -1;
    return VC_OK;
}

static int kata_status(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
    vcs_autoclose int fd = -1;
    int r = process(inst, call, &fd);
    if (r != VC_OK)
        return r;
    *state = inst->proc.pid && fd < 0 ? VC_PROXY_STOPPED : inst->state;
    return VC_OK;
}

static int kata_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    vcs_autoclose int fd = -1;
    int r = process(inst, call, &fd);
    if (r != VC_OK)
        return r;
    if (inst->state == VC_PROXY_RUNNING && !inst->proc.pid)
        *health = VC_HEALTH_OK; /* the address was passed through: there is nothing that could be gone */
    else if (fd < 0)
        *health = VC_HEALTH_GONE;
    else
        *health = access(inst->socket, F_OK) == 0 ? VC_HEALTH_OK : VC_HEALTH_BAD;
    return VC_OK;
}

/* ---- stop ---- */

/* The earlier of two points in time, of which 0 is never. */
static int64_t earlier(int64_t a, int64_t b)
{
    return a && a < b ? a : b;
}

static int end_process(vc_inst *inst, const struct vc_call *call)
{
    const vc_host *host = inst->host;
    vcs_autoclose int fd = -1;
    int r = process(inst, call, &fd);
    if (r != VC_OK)
        return r;
    int64_t now = vcs_now_ns();
    struct vc_call part = *call;
    part.err = NULL;
    if (fd < 0) {
        if (inst->proc.pid) /* it ended by itself: when it was a child of this process, it still is to be waited for */
            host->proc_wait(host, &part, &inst->proc, NULL);
        return VC_OK;
    }
    /* Half of the time for an orderly end: SIGKILL has to fit in too. */
    part.deadline_ns = earlier(call->deadline_ns ? now + (call->deadline_ns - now) / 2 : 0, now + TERM_NS);
    r = VC_E_TIMEOUT;
    if (syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0u) == 0)
        r = host->proc_wait(host, &part, &inst->proc, NULL);
    else if (errno == ESRCH)
        r = host->proc_wait(host, &part, &inst->proc, NULL);
    if (r == VC_OK)
        return VC_OK;
    vcs_log(host, VC_LOG_WARN, "proxy %d of pod %s does not end on SIGTERM: it is killed", inst->proc.pid,
            inst->pod_id);
    if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0u) < 0 && errno != ESRCH)
        return vcs_fail(host, call, vcs_code_of(errno), errno, "cannot kill proxy process %d of pod %s", inst->proc.pid,
                        inst->pod_id);
    part.deadline_ns = earlier(call->deadline_ns, vcs_now_ns() + KILL_NS);
    r = host->proc_wait(host, &part, &inst->proc, NULL);
    return r == VC_OK ? VC_OK
                      : vcs_fail(host, call, r, 0, "proxy process %d of pod %s was killed but does not end",
                                 inst->proc.pid, inst->pod_id);
}

static int kata_stop(vc_inst *inst, const struct vc_call *call)
{
    int r = end_process(inst, call);
    if (r != VC_OK)
        return r;
    if (inst->proc.pid)
        inst->host->proc_done(inst->host, &inst->proc);
    inst->proc = (struct vc_proc){ 0 };
    if (inst->state == VC_PROXY_RUNNING)
        inst->state = VC_PROXY_STOPPED;
    if (unlink(inst->socket) < 0 && errno != ENOENT && errno != ENOTDIR)
        return vcs_fail(inst->host, call, vcs_code_of(errno), errno, "cannot remove the proxy's socket %s",
                        inst->socket);
    return VC_OK;
}

static int kata_cleanup(vc_inst *inst, const struct vc_call *call)
{
    int r = kata_stop(inst, call);
    vcs_autofree char *log = NULL;
    if (asprintf(&log, "%s/proxy.log", inst->run) >= 0)
        unlink(log);
    else
        log = NULL;
    return r;
}

/* ---- start ---- */

/* What one start needs; the descriptors end with it. */
struct start {
    const char *serial;  /* path of the VM's port */
    const char *console; /* path of its console's socket, NULL = none */
    int listen_fd, mux_fd, log_fd;
};

static int kata_spawn(vc_inst *inst, const struct vc_call *call, const struct vc_proxy_params *params,
                      const struct start *s, struct vc_proc *proc)
{
    vcs_autofree char *url = NULL;
    if (asprintf(&url, "unix://%s", inst->socket) < 0) {
        url = NULL;
        return vcs_fail(inst->host, call, VC_E_NOMEM, 0, "proxy kata: out of memory");
    }
    const char *argv[20];
    size_t n = 0;
    argv[n++] = inst->program;
    argv[n++] = "-listen-socket";
    argv[n++] = url;
    argv[n++] = "-mux-socket";
    argv[n++] = s->serial;
    argv[n++] = "-sandbox";
    argv[n++] = inst->pod_id;
    if (!inst->is_real) {
        argv[n++] = "-listen-fd";
        argv[n++] = "3";
        argv[n++] = "-mux-fd";
        argv[n++] = "4";
    }
    if (inst->debug) {
        argv[n++] = "-log";
        argv[n++] = "debug";
        if (s->console) {
            argv[n++] = "-agent-logs-socket";
            argv[n++] = s->console;
        }
    }
    argv[n] = NULL;
    const int32_t fds[] = { s->listen_fd, s->mux_fd };
    struct vc_spawn spawn = {
        .size = sizeof(spawn),
        .path = inst->program,
        .argv = argv,
        .fds = fds,
        .n_fds = inst->is_real ? 0 : 2,
        .netns_fd = params->netns_fd,
        .stdio = { -1, s->log_fd, s->log_fd },
    };
    return inst->host->spawn(inst->host, call, &spawn, proc);
}

/* vc-proxy gets both sockets from us: a port that is not there is reported here, and clients may
 * connect as soon as it was started. */
static int open_sockets(vc_inst *inst, const struct vc_call *call, struct start *s)
{
    const vc_host *host = inst->host;
    s->mux_fd = vcs_unix_connect_until(s->serial, call->deadline_ns);
    if (s->mux_fd < 0)
        return vcs_fail(host, call, vcs_code_of(s->mux_fd), -s->mux_fd, "cannot connect to the VM's port %s",
                        s->serial);
    s->listen_fd = vcs_unix_listen(inst->socket, 0600, 128);
    if (s->listen_fd < 0)
        return vcs_fail(host, call, vcs_code_of(s->listen_fd), -s->listen_fd, "cannot listen on %s", inst->socket);
    if (!inst->debug)
        return VC_OK;
    vcs_autofree char *log = NULL;
    if (asprintf(&log, "%s/proxy.log", inst->run) < 0) {
        log = NULL;
        return vcs_fail(host, call, VC_E_NOMEM, 0, "proxy kata: out of memory");
    }
    s->log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    return s->log_fd >= 0 ? VC_OK : vcs_fail(host, call, vcs_code_of(errno), errno, "cannot open %s", log);
}

/* kata-proxy is ready when its socket can be connected to; it tells by nothing else. */
static int wait_ready(vc_inst *inst, const struct vc_call *call, const struct vc_proc *proc, int inotify_fd)
{
    const vc_host *host = inst->host;
    int64_t deadline = earlier(call->deadline_ns, vcs_now_ns() + START_NS);
    int32_t got = -1;
    if (host->proc_fd(host, proc, &got) != VC_OK)
        return vcs_fail(host, call, VC_E_PEER, 0, "%s ended at once: it needs a syslog socket and the VM's port",
                        inst->program);
    vcs_autoclose int pidfd = got;
    for (;;) {
        vcs_autoclose int fd = vcs_unix_connect(inst->socket);
        if (fd >= 0)
            return VC_OK;
        int left = vcs_poll_timeout(deadline);
        if (left == 0)
            return vcs_fail(host, call, VC_E_TIMEOUT, 0, "%s does not listen on %s in time", inst->program,
                            inst->socket);
        if (atomic_load(&inst->cancelled) || host->cancelled(host, call))
            return vcs_fail(host, call, VC_E_CANCELLED, 0, "starting %s was cancelled", inst->program);
        /* No file yet: inotify tells.  There, but refusing: between its bind and its listen, of which nothing tells. */
        int pause = fd == -ENOENT ? 50 : 1;
        struct pollfd pf[2] = { { .fd = pidfd, .events = POLLIN }, { .fd = inotify_fd, .events = POLLIN } };
        if (poll(pf, 2, left < pause ? left : pause) < 0 && errno != EINTR)
            return vcs_fail(host, call, VC_E_IO, errno, "cannot wait for %s", inst->program);
        if (pf[0].revents)
            return vcs_fail(host, call, VC_E_PEER, 0,
                            "%s ended before it listened on %s: it needs a syslog socket and the VM's port",
                            inst->program, inst->socket);
        char events[1024];
        if (pf[1].revents && read(inotify_fd, events, sizeof(events)) < 0 && errno != EAGAIN && errno != EINTR)
            return vcs_fail(host, call, VC_E_IO, errno, "cannot watch %s", inst->run);
    }
}

static int launch(vc_inst *inst, const struct vc_call *call, const struct vc_proxy_params *params, struct start *s,
                  vc_sink *uri)
{
    const vc_host *host = inst->host;
    vcs_autoclose int watch = -1;
    int r = VC_OK;
    if (inst->is_real) {
        watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (watch < 0 || inotify_add_watch(watch, inst->run, IN_CREATE | IN_MOVED_TO) < 0)
            r = vcs_fail(host, call, vcs_code_of(errno), errno, "cannot watch %s", inst->run);
    } else {
        r = open_sockets(inst, call, s);
    }
    if (r == VC_OK)
        r = kata_spawn(inst, call, params, s, &inst->proc);
    if (r != VC_OK)
        return r;
    inst->state = VC_PROXY_RUNNING;
    if (inst->is_real)
        r = wait_ready(inst, call, &inst->proc, watch);
    if (r == VC_OK && ((r = vcs_put(host, uri, "unix://")) != VC_OK || (r = vcs_put(host, uri, inst->socket)) != VC_OK))
        r = vcs_fail(host, call, r, 0, "cannot report the proxy's address");
    return r;
}

/* A VM with a socket device needs no process of ours between it and its clients; the stack stays the same. */
static int many_can_connect(const char *uri)
{
    return strncmp(uri, "vsock://", 8) == 0 || strncmp(uri, "hvsock://", 9) == 0;
}

/* Neither a process nor a socket: clients go to the agent itself.  It runs, as callers see it, until stop. */
static int pass_through(vc_inst *inst, const struct vc_call *call, const char *agent, struct vc_proc *proc,
                        vc_sink *uri)
{
    int r = vcs_put(inst->host, uri, agent);
    if (r != VC_OK)
        return vcs_fail(inst->host, call, r, 0, "proxy kata: cannot pass on the agent's address \"%s\"", agent);
    vcs_log(inst->host, VC_LOG_INFO, "the agent at %s takes any number of connections; no proxy process is needed",
            agent);
    inst->state = VC_PROXY_RUNNING;
    *proc = (struct vc_proc){ 0 };
    return VC_OK;
}

/* VC_OK when it may be started: it does not run, and that kind of address can be shared. */
static int may_start(vc_inst *inst, const struct vc_call *call, const char *agent)
{
    const vc_host *host = inst->host;
    if (inst->state == VC_PROXY_RUNNING) {
        vcs_autoclose int fd = -1;
        int r = process(inst, call, &fd);
        if (r != VC_OK)
            return r;
        if (!inst->proc.pid)
            return vcs_fail(host, call, VC_E_EXISTS, 0,
                            "the proxy of pod %s was started already; it passes the agent's address through",
                            inst->pod_id);
        if (fd >= 0)
            return vcs_fail(host, call, VC_E_EXISTS, 0, "the proxy of pod %s runs already as process %d", inst->pod_id,
                            inst->proc.pid);
    }
    if (!many_can_connect(agent) && (strncmp(agent, "serial://", 9) != 0 || !agent[9]))
        return vcs_fail(
            host, call, VC_E_UNSUPPORTED, 0,
            agent[0] ? "proxy kata shares a serial port (serial://PATH), but the agent is at \"%s\": proxy \"none\" is right for that"
                     : "proxy kata shares a serial port (serial://PATH), but there is no agent%s: proxy \"noop\" is right for that",
            agent);
    if (host->cancelled(host, call))
        return vcs_fail(host, call, VC_E_TIMEOUT, 0, "no time left to start the proxy of pod %s", inst->pod_id);
    return VC_OK;
}

/* What one that was killed has left. */
static int forget(vc_inst *inst, const struct vc_call *call)
{
    if (unlink(inst->socket) < 0 && errno != ENOENT)
        return vcs_fail(inst->host, call, vcs_code_of(errno), errno, "cannot remove the old socket %s", inst->socket);
    int r = vcs_proc_end(inst->host, call, &inst->proc); /* it has ended, and may wait to be reaped */
    if (r != VC_OK)
        return r;
    inst->state = inst->state == VC_PROXY_RUNNING ? VC_PROXY_STOPPED : inst->state;
    return VC_OK;
}

static int kata_start(vc_inst *inst, const struct vc_call *call, const struct vc_proxy_params *params,
                      struct vc_proc *proc, vc_sink *uri)
{
    const char *agent = params->agent_uri ? params->agent_uri : "";
    const char *console = params->console_uri ? params->console_uri : "";
    atomic_store(&inst->cancelled, 0);
    int r = may_start(inst, call, agent);
    if (r == VC_OK)
        r = forget(inst, call);
    if (r != VC_OK)
        return r;
    if (many_can_connect(agent))
        return pass_through(inst, call, agent, proc, uri);

    struct start s = { .serial = agent + 9, .listen_fd = -1, .mux_fd = -1, .log_fd = -1 };
    if (strncmp(console, "unix://", 7) == 0 && console[7])
        s.console = console + 7;
    r = launch(inst, call, params, &s, uri);
    vcs_cleanup_fd(&s.listen_fd);
    vcs_cleanup_fd(&s.mux_fd);
    vcs_cleanup_fd(&s.log_fd);
    if (r != VC_OK) {
        struct vc_call undo = { .size = sizeof(undo), .deadline_ns = vcs_now_ns() + KILL_NS };
        if (kata_stop(inst, &undo) == VC_OK)
            inst->state = VC_PROXY_NONE;
        return r;
    }
    *proc = inst->proc;
    return VC_OK;
}

/* ---- the rest of the table ---- */

static uint64_t kata_caps(vc_inst *inst)
{
    (void)inst;
    return 0;
}

static void kata_cancel(vc_inst *inst)
{
    atomic_store(&inst->cancelled, 1);
}

static int kata_probe(const vc_host *host, const struct vc_call *call, const vc_config *cfg, vc_sink *report)
{
    const char *path = vcs_opt_str(host, cfg, "path");
    if (!path && !is_real_of(host, cfg))
        return vcs_put(host, report, "vc-proxy of this installation\n");
    path = path ? path : KATA_PROXY;
    if (access(path, X_OK) < 0)
        return vcs_fail(host, call, vcs_code_of(errno), errno, "proxy kata: %s cannot be executed", path);
    int r = vcs_put(host, report, path);
    return r == VC_OK ? vcs_put(host, report, "\n") : r;
}

static const struct vc_inst_ops kata_inst = {
    .size = sizeof(kata_inst),
    .create = kata_create,
    .restore = kata_restore,
    .save = kata_save,
    .check = kata_check,
    .cleanup = kata_cleanup,
    .close = kata_close,
    .caps = kata_caps,
    .cancel = kata_cancel,
};
static const struct vc_proxy_ops kata_ops = {
    .size = sizeof(kata_ops),
    .start = kata_start,
    .stop = kata_stop,
    .status = kata_status,
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_PROXY,
    .name = "kata",
    .vendor = "libvccore",
    .version = PACKAGE_VERSION,
    .description = "Shares the VM's serial port between host processes by yamux, with vc-proxy or kata-proxy.",
    .options = kata_options,
    .n_options = sizeof(kata_options) / sizeof(kata_options[0]),
    .option_stride = sizeof(struct vc_option),
    .state_version = 1,
    .state_version_min = 1,
    .probe = kata_probe,
    .inst = &kata_inst,
    .ops = &kata_ops,
};
