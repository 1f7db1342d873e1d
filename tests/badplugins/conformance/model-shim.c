/* SPDX-License-Identifier: Apache-2.0 */
/* model-shim.c: a small correct shim plugin with real processes; compiled with -DBAD_<CHECK> it breaks just that rule.
 *
 * A shim's process is this very file (see model-proxy.c).  Descriptor 3 is its connection to the guest, 4 the channel
 * to the plugin.  The guest speaks lines: "attach CONTAINER", "in HEX", "signal CONTAINER N" and "winsize CONTAINER
 * RxC" to it, "ok", "out HEX" and "exit STATUS" from it. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <vc/shim.h>

#ifndef MODEL_NAME
#define MODEL_NAME "model-shim"
#endif

#define STATE_VERSION 1
#define STATE_MAX     65536
#define SHIMS         64
#define ID_SIZE       129
#define PATH_SIZE     512
#define READY         'r'

/* One shim. */
struct shim {
    int used;
    char ctr[ID_SIZE], exec[ID_SIZE], exit_file[PATH_SIZE];
    struct vc_proc proc;
};
struct vc_inst {
    const vc_host *host;
    int cancel_fd; /* readable after cancel, until the next start */
    struct shim shims[SHIMS];
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

static int left_ms(const struct vc_call *call)
{
    struct timespec ts;
    if (!call || call->size < offsetof(struct vc_call, deadline_ns) + sizeof(call->deadline_ns) || !call->deadline_ns)
        return 10000;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    int64_t left = call->deadline_ns - ((int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec);
    return left <= 0 ? 0 : left > INT64_C(60000) * 1000000 ? 60000 : (int)((left + 999999) / 1000000);
}

/* A word of the state and of the guest's lines. */
static int plain(const char *s, size_t size)
{
    return s && strlen(s) < size && !strpbrk(s, " \n\r*%");
}

static struct shim *find(vc_inst *inst, const char *ctr, const char *exec)
{
    for (int i = 0; i < SHIMS; i++)
        if (inst->shims[i].used && !strcmp(inst->shims[i].ctr, ctr) && !strcmp(inst->shims[i].exec, exec ? exec : ""))
            return &inst->shims[i];
    return NULL;
}

static int process(const vc_inst *inst, const struct shim *s)
{
    int32_t fd = -1;
    return inst->host->proc_fd(inst->host, &s->proc, &fd) == VC_OK ? fd : -1;
}

static int alive(const vc_inst *inst, const struct shim *s)
{
    int fd = process(inst, s);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* ---- life ---- */

static void model_close(vc_inst *inst)
{
    if (inst->cancel_fd >= 0)
        close(inst->cancel_fd);
    inst->host->free(inst->host, inst);
}

static int model_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        vc_inst **out)
{
    (void)cfg;
    vc_inst *inst = host->alloc(host, sizeof(*inst));
    if (!inst)
        return fail(host, call, VC_E_NOMEM, 0, "no memory for the shims of pod %.64s", pod_id);
    inst->host = host;
    inst->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (inst->cancel_fd < 0) {
        int sys = errno;
        model_close(inst);
        return fail(host, call, VC_E_RESOURCE, sys, "no descriptor for the shims of pod %.64s", pod_id);
    }
    *out = inst;
    return VC_OK;
}

static void model_cancel(vc_inst *inst)
{
    uint64_t one = 1;
    if (write(inst->cancel_fd, &one, sizeof(one)) < 0)
        return; /* full: it is readable already */
}

/* State, version 1: a line "PID TICKS CONTAINER -EXEC =EXIT_FILE" for each shim, and a last one ".". */
static int model_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    char line[PATH_SIZE + 2 * ID_SIZE + 64];
    int r = VC_OK;
    for (int i = 0; i < SHIMS && r == VC_OK; i++) {
        const struct shim *s = &inst->shims[i];
        if (!s->used)
            continue;
        int n = snprintf(line, sizeof(line), "%d %" PRIu64 " %s -%s =%s\n", s->proc.pid, s->proc.start_ticks, s->ctr,
                         s->exec, s->exit_file);
        r = inst->host->write(inst->host, out, line, (uint64_t)n);
    }
    if (r == VC_OK)
        r = inst->host->write(inst->host, out, ".\n", 2);
    return r == VC_OK ? VC_OK : fail(inst->host, call, r, 0, "the state cannot be written");
}

static int load_line(vc_inst *inst, int i, char *line)
{
    struct shim *s = &inst->shims[i];
    int at = 0;
    if (sscanf(line, "%d %" SCNu64 " %128s -%n", &s->proc.pid, &s->proc.start_ticks, s->ctr, &at) != 3 || !at ||
        s->proc.pid <= 1)
        return -1;
    char *exec = line + at, *file = strstr(exec, " =");
    if (!file || file - exec >= ID_SIZE || strlen(file + 2) >= PATH_SIZE)
        return -1;
    snprintf(s->exec, sizeof(s->exec), "%.*s", (int)(file - exec), exec);
    snprintf(s->exit_file, sizeof(s->exit_file), "%s", file + 2);
    s->used = 1;
    return plain(s->exec, sizeof(s->exec)) ? 0 : -1;
}

static int load_state(vc_inst *inst, char *text)
{
    int n = 0;
    for (char *nl; (nl = strchr(text, '\n')); text = nl + 1) {
        *nl = '\0';
        if (!strcmp(text, "."))
            return nl[1] ? -1 : 0;
        if (n == SHIMS || load_line(inst, n++, text) < 0)
            return -1;
    }
    return -1;
}

static int model_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                         uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    if (state_version != STATE_VERSION)
        return fail(host, call, VC_E_UNSUPPORTED, 0, "state version %u of pod %.64s is unknown, %d is known", state_version, pod_id,
                    STATE_VERSION);
    vc_inst *inst = NULL;
    int good = state.len && state.len <= STATE_MAX && !memchr(state.data, 0, (size_t)state.len);
    char *text = good ? host->alloc(host, state.len + 1) : NULL;
    if (good && !text)
        return fail(host, call, VC_E_NOMEM, 0, "no memory for the stored state of pod %.64s", pod_id);
    int r = good ? model_create(host, call, cfg, pod_id, &inst) : VC_OK;
    if (r == VC_OK && good) {
        memcpy(text, state.data, (size_t)state.len);
        good = load_state(inst, text) == 0;
    }
    host->free(host, text);
    if (r == VC_OK && good)
        *out = inst;
    else if (inst)
        model_close(inst);
    return r != VC_OK || good
               ? r
               : fail(host, call, VC_E_CORRUPT, 0, "the stored state of pod %.64s cannot be read", pod_id);
}

static int model_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    *health = VC_HEALTH_GONE;
    for (int i = 0; i < SHIMS; i++)
        if (inst->shims[i].used && alive(inst, &inst->shims[i]))
            *health = VC_HEALTH_OK;
    return VC_OK;
}

static uint64_t model_caps(vc_inst *inst)
{
    (void)inst;
    return VC_SHIM_CAP_ATTACH;
}

/* Kill it and wait for its end. */
static int end(vc_inst *inst, const struct vc_call *call, struct shim *s)
{
    int32_t fd = -1;
    int found = inst->host->proc_fd(inst->host, &s->proc, &fd);
    if (found != VC_OK && found != VC_E_NOTFOUND) /* it cannot be killed: there is nothing to wait for */
        return fail(inst->host, call, found, 0, "the shim, process %d, cannot be ended", s->proc.pid);
    if (found == VC_OK) {
        if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0u) < 0 && errno != ESRCH) {
            int sys = errno;
            close(fd);
            return fail(inst->host, call, VC_E_PERM, sys, "cannot end the shim, process %d", s->proc.pid);
        }
        close(fd);
    }
    int r = inst->host->proc_wait(inst->host, call, &s->proc, NULL);
    if (r != VC_OK && r != VC_E_NOTFOUND)
        return fail(inst->host, call, r, 0, "the shim, process %d, was killed but does not end", s->proc.pid);
    inst->host->proc_done(inst->host, &s->proc);
    return VC_OK;
}

static int model_cleanup(vc_inst *inst, const struct vc_call *call)
{
    for (int i = 0; i < SHIMS; i++)
        if (inst->shims[i].used) {
            int r = end(inst, call, &inst->shims[i]);
            if (r != VC_OK)
                return r;
            inst->shims[i].used = 0;
        }
    return VC_OK;
}

/* ---- shims ---- */

static int guest_connect(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    char dir[PATH_SIZE * 2];
    const char *slash = strrchr(path, '/');
    if (!slash || strlen(path) >= sizeof(dir) || strlen(slash + 1) > 64)
        return -ENAMETOOLONG;
    snprintf(dir, sizeof(dir), "%.*s/", (int)(slash - path), path);
    int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), r = at < 0 ? -errno : 0;
    snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%.64s", at, slash + 1);
    int fd = r ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (!r && (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0))
        r = -errno;
    if (at >= 0)
        close(at);
    if (r && fd >= 0)
        close(fd);
    return r ? r : fd;
}

/* Wait until the shim has told the guest whose streams these are, and can take signals. */
static int await_ready(vc_inst *inst, const struct vc_call *call, const struct vc_shim_params *p, int fd)
{
    struct pollfd pf[2] = { { .fd = fd, .events = POLLIN }, { .fd = inst->cancel_fd, .events = POLLIN } };
    char word = 0;
    int n;
    while ((n = poll(pf, 2, left_ms(call))) < 0 && errno == EINTR)
        ;
    if (n > 0 && pf[1].revents)
        return fail(inst->host, call, VC_E_CANCELLED, 0, "the start of a shim for container %s was cancelled",
                    p->container_id);
    if (n == 0)
        return fail(inst->host, call, VC_E_TIMEOUT, 0, "the guest says nothing about container %s", p->container_id);
    if (n < 0)
        return fail(inst->host, call, VC_E_IO, errno, "cannot wait for the shim of container %s", p->container_id);
    ssize_t k = recv(fd, &word, 1, MSG_DONTWAIT);
    if (k == 1 && word == READY)
        return VC_OK;
    return fail(inst->host, call, k == 1 ? VC_E_PROTOCOL : VC_E_PEER, 0, "the shim of container %s %s", p->container_id,
                k == 1 ? "said something that means nothing" : "ended before it was ready");
}

/* Path of this file. */
static const char *own_path(void)
{
    Dl_info info;
    return dladdr((const void *)(uintptr_t)&vc_plugin_entry, &info) && info.dli_fname ? info.dli_fname : "";
}

static int launch(vc_inst *inst, const struct vc_call *call, const struct vc_shim_params *p, int guest,
                  struct vc_proc *proc)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return fail(inst->host, call, VC_E_RESOURCE, errno, "no channel to the shim");
    const char *argv[] = { "model-shim", p->container_id, p->flags & VC_SHIM_TERMINAL ? "t" : p->flags & VC_SHIM_KEEP_STDIN ? "k" : "p",
                           p->exit_file ? p->exit_file : "", NULL };
    const int32_t fds[] = { guest, pair[1] };
    struct vc_spawn spawn = { .size = sizeof(spawn),
                              .path = own_path(),
                              .argv = argv,
                              .fds = fds,
                              .n_fds = 2,
                              .netns_fd = p->netns_fd,
                              .stdio = { p->stdio[0], p->stdio[1], p->stdio[2] } };
    spawn.flags =
        (p->flags & VC_SHIM_FOREGROUND ? VC_SPAWN_SAME_SESSION : 0) | (p->flags & VC_SHIM_CONSOLE ? VC_SPAWN_CTTY : 0);
#ifdef BAD_X7
    if (fcntl(p->stdio[1], F_DUPFD_CLOEXEC, 3) < 0)
        return VC_E_IO;
#endif
    int r = inst->host->spawn(inst->host, call, &spawn, proc);
    close(pair[1]);
    if (r == VC_OK && (r = await_ready(inst, call, p, pair[0])) != VC_OK) {
        struct vc_call quiet = { .size = sizeof(quiet) }; /* its failure must not take the place of the first one */
        struct shim lost = { .proc = *proc };
        end(inst, &quiet, &lost);
    }
    close(pair[0]);
    return r;
}

static int model_start(vc_inst *inst, const struct vc_call *call, const struct vc_shim_params *p, struct vc_proc *proc)
{
    const vc_host *host = inst->host;
    const char *exec = p->exec_id ? p->exec_id : "", *file = p->exit_file ? p->exit_file : "",
               *uri = p->agent_uri ? p->agent_uri : "";
    struct vc_proc made = { 0 };
    if (!plain(p->container_id, ID_SIZE) || !*p->container_id || !plain(exec, ID_SIZE) || strlen(file) >= PATH_SIZE ||
        strchr(file, '\n'))
        return fail(host, call, VC_E_INVAL, 0,
                    "an id is at most 128 characters without blanks, and an exit file's path at most %d",
                    PATH_SIZE - 1);
    if (strncmp(uri, "unix:///", 8))
        return fail(host, call, VC_E_INVAL, 0, "the agent's address \"%.128s\" is no unix://PATH", uri);
    struct shim *s = find(inst, p->container_id, exec);
    if (s && alive(inst, s))
        return fail(host, call, VC_E_EXISTS, 0, "container %s has a shim, process %d", p->container_id, s->proc.pid);
    if (left_ms(call) == 0)
        return fail(host, call, VC_E_TIMEOUT, 0, "there was no time to start a shim");
    for (int i = 0; i < SHIMS && !s; i++)
        if (!inst->shims[i].used)
            s = &inst->shims[i];
    if (!s)
        return fail(host, call, VC_E_RESOURCE, 0, "more than %d shims in a pod", SHIMS);
    uint64_t drop;
    if (read(inst->cancel_fd, &drop, sizeof(drop)) < 0)
        drop = 0; /* nothing was cancelled */
    int guest = guest_connect(uri + 7);
    if (guest < 0)
        return fail(host, call,
                    guest == -EAGAIN   ? VC_E_BUSY
                    : guest == -EMFILE ? VC_E_RESOURCE
                                       : VC_E_PEER,
                    -guest, "the guest cannot be reached at %.256s", uri);
    int r = launch(inst, call, p, guest, &made);
    close(guest);
    if (r != VC_OK)
        return r;
    if (s->used)
        host->proc_done(host, &s->proc);
    s->used = 1;
    s->proc = made;
    snprintf(s->ctr, sizeof(s->ctr), "%s", p->container_id);
    snprintf(s->exec, sizeof(s->exec), "%s", exec);
    snprintf(s->exit_file, sizeof(s->exit_file), "%s", file);
    *proc = made;
    return VC_OK;
}

static int unknown(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
#ifdef BAD_X6
    return VC_OK;
#endif
    return fail(inst->host, call, VC_E_NOTFOUND, 0, "container %.128s never had a shim", ctr);
}

static int model_stop(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec)
{
    struct shim *s = find(inst, ctr, exec);
    return s ? end(inst, call, s) : unknown(inst, call, ctr);
}

/* The status that a shim has left; -1 when there is none. */
static int32_t left_status(const char *path)
{
    char text[16] = "", *stop;
    int fd = *path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    if (fd >= 0)
        close(fd);
    long status = n > 0 ? strtol(text, &stop, 10) : -1;
    return n > 0 && *stop == '\n' && status >= 0 && status <= 255 ? (int32_t)status : -1;
}

static int model_status(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec, uint32_t *state,
                        int32_t *status)
{
    struct shim *s = find(inst, ctr, exec);
    if (!s)
        return unknown(inst, call, ctr);
#ifdef BAD_X5
    *state = VC_SHIM_RUNNING;
#else
    *state = alive(inst, s) ? VC_SHIM_RUNNING : VC_SHIM_ENDED;
#endif
    if (status)
        *status = *state == VC_SHIM_RUNNING ? -1 : left_status(s->exit_file);
    return VC_OK;
}

static int carry_in(int from);
#include "model-shim-attach.h"

/* ---- the descriptor ---- */

static const struct vc_inst_ops model_inst = {
    .size = sizeof(model_inst),
    .create = model_create,
    .restore = model_restore,
    .save = model_save,
    .check = model_check,
    .cleanup = model_cleanup,
    .close = model_close,
    .caps = model_caps,
    .cancel = model_cancel,
};
static const struct vc_shim_ops model_ops = {
    .size = sizeof(model_ops),
    .start = model_start,
    .stop = model_stop,
    .status = model_status,
    .attach = model_attach,
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_SHIM,
    .name = MODEL_NAME,
    .vendor = "libvccore tests",
    .version = "1.0",
    .description = "A small shim that carries streams as lines.",
    .option_stride = sizeof(struct vc_option),
    .caps_max = VC_SHIM_CAP_ATTACH,
    .state_version = STATE_VERSION,
    .state_version_min = STATE_VERSION,
    .inst = &model_inst,
    .ops = &model_ops,
};

/* ---- the shim's process ---- */

#if defined(__x86_64__)
#define INTERPRETER "/lib64/ld-linux-x86-64.so.2"
#elif defined(__aarch64__)
#define INTERPRETER "/lib/ld-linux-aarch64.so.1"
#elif defined(__i386__)
#define INTERPRETER "/lib/ld-linux.so.2"
#else
#error "the model plugins know no dynamic loader of this machine"
#endif
static const char interpreter[] __attribute__((section(".interp"), used)) = INTERPRETER;

#define CHUNK 4096

static void tell(const char *line, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(3, line + done, len - done, MSG_NOSIGNAL);
        struct pollfd pf = { .fd = 3, .events = POLLOUT };
        if (n < 0 && errno == EAGAIN)
            poll(&pf, 1, -1);
        else if (n <= 0)
            _exit(255);
        else
            done += (size_t)n;
    }
}

static void tell_window(const char *ctr)
{
    struct winsize w;
    char line[ID_SIZE + 64];
    if (ioctl(0, TIOCGWINSZ, &w) == 0)
        tell(line, (size_t)snprintf(line, sizeof(line), "winsize %s %ux%u\n", ctr, w.ws_row, w.ws_col));
}

/* What was typed; 0 at its end. */
static int carry_in(int from)
{
    unsigned char buf[CHUNK];
    char line[2 * CHUNK + 8] = "in ";
    ssize_t n = read(from, buf, sizeof(buf));
    size_t len = 3;
    for (ssize_t i = 0; i < n; i++, len += 2)
        snprintf(line + len, 3, "%02x", buf[i]);
    line[len++] = '\n';
    if (n > 0)
        tell(line, len);
    return n > 0;
}

static void finish(const char *exit_file, const char *word)
{
    char temp[PATH_SIZE + 8], text[16];
    int status = (int)strtol(word, NULL, 10), n = snprintf(text, sizeof(text), "%d\n", status);
#ifdef BAD_X2
    status = 0;
    n = snprintf(text, sizeof(text), "0\n");
#endif
    snprintf(temp, sizeof(temp), "%s.new", exit_file);
    int fd = *exit_file ? open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (fd >= 0 && write(fd, text, (size_t)n) == n)
        rename(temp, exit_file);
    _exit(status);
}

/* A line of the guest's. */
static void obey(char *line, const char *exit_file)
{
    unsigned char buf[CHUNK];
    size_t n = 0;
    char ready = READY;
    if (!strncmp(line, "exit ", 5))
        finish(exit_file, line + 5);
    if (!strcmp(line, "ok") && write(4, &ready, 1) == 1)
        close(4);
    for (unsigned byte; !strncmp(line, "out ", 4) && n < sizeof(buf) && sscanf(line + 4 + 2 * n, "%2x", &byte) == 1;
         n++)
        buf[n] = (unsigned char)byte;
#ifdef BAD_X8_STOLEN
    if (n && guests[0].used && guests[0].out >= 0) {
        copy_to_guests(buf, n);
        return;
    }
#endif
    if (n)
        copy_to_guests(buf, n);
#ifndef BAD_X4
    if (n && write(1, buf, n) < 0)
        return;
#endif
}

static void carry_out(const char *exit_file)
{
    static char in[4 * CHUNK];
    static size_t len;
    ssize_t n = recv(3, in + len, sizeof(in) - 1 - len, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        _exit(255);
    len += n > 0 ? (size_t)n : 0;
    in[len] = '\0';
    for (char *nl; (nl = memchr(in, '\n', len));) {
        *nl = '\0';
        obey(in, exit_file);
        len -= (size_t)(nl + 1 - in);
        memmove(in, nl + 1, len + 1);
    }
    if (len == sizeof(in) - 1)
        _exit(255);
}

static void serve(const char *ctr, int terminal, const char *exit_file)
{
    sigset_t set;
    struct termios raw;
    char line[ID_SIZE + 64];
    sigemptyset(&set);
    for (int s = 1; s < 32; s++)
        if (s != SIGKILL && s != SIGSTOP && s != SIGCHLD && s != SIGPIPE && s != SIGSEGV && s != SIGBUS)
            sigaddset(&set, s);
    sigprocmask(SIG_SETMASK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* one who attached may go at any time */
    struct pollfd pf[4 + GUESTS_MAX] = { { .fd = 0, .events = POLLIN }, { .fd = 3, .events = POLLIN }, { .events = POLLIN } };
    pf[2].fd = signalfd(-1, &set, SFD_CLOEXEC);
    meet();
    pf[3] = (struct pollfd){ .fd = meeting_fd, .events = POLLIN };
    for (int i = 0; i < GUESTS_MAX; i++)
        pf[4 + i].fd = -1;
    tell(line, (size_t)snprintf(line, sizeof(line), "attach %s\n", ctr));
    if (terminal && tcgetattr(0, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(0, TCSANOW, &raw);
        tell_window(ctr);
    }
    while (poll(pf, 4 + GUESTS_MAX, -1) >= 0 || errno == EINTR) {
        struct signalfd_siginfo si;
        if (pf[2].revents && read(pf[2].fd, &si, sizeof(si)) == sizeof(si)) {
            size_t n = (size_t)snprintf(line, sizeof(line), "signal %s %u\n", ctr, si.ssi_signo);
#ifdef BAD_X3
            n = 0;
#endif
            tell(line, n);
            if (si.ssi_signo == SIGWINCH)
                tell_window(ctr);
        }
        if (pf[0].revents && !carry_in(0)) {
            pf[0].fd = -1;
            stdin_open = keep_stdin;
        }
        for (int i = 0; i < GUESTS_MAX; i++)
            if (pf[4 + i].revents)
                guest_types(&guests[i]);
        if (pf[1].revents)
            carry_out(exit_file);
        if (pf[3].revents)
            greet();
        for (int i = 0; i < GUESTS_MAX; i++)
            pf[4 + i] = (struct pollfd){ .fd = guests[i].used ? guests[i].in : -1, .events = POLLIN };
    }
}

void _start(void) __attribute__((visibility("hidden")));

#if defined(__x86_64__) || defined(__i386__)
__attribute__((force_align_arg_pointer))
#endif
void _start(void)
{
    static char words[PATH_SIZE + ID_SIZE + 64];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, words, sizeof(words) - 1) : 0;
    char *word[4] = { words, words, words, words };
    close(fd);
    for (int i = 1; i < 4 && n > 0; i++)
        word[i] = word[i - 1] + strlen(word[i - 1]) + 1;
    if (n <= 0 || word[3] > words + n)
        _exit(255);
#ifdef BAD_X1
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    keep_stdin = word[2][0] == 'k';
    serve(word[1], word[2][0] == 't', word[3]);
    _exit(255);
}
