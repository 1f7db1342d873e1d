/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-attach.c: `virtc attach`: the streams of a process that runs already, here. */
#include "virtc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#define KEY_DETACH_1 0x10 /* ctrl-p */
#define KEY_DETACH_2 0x11 /* ctrl-q */

/* A pipe that polls writable takes this much without blocking, and so do terminals that somebody reads. */
#define SAFE_WRITE 4096

/* Where one of its outputs goes to, and what is on its way there. */
struct here {
    int fd;      /* -1 = nowhere any more */
    int own;     /* opened for us alone: it does not block */
    int socket;
    size_t most; /* for one write */
    size_t at, len;
    char buf[65536];
};

struct session {
    vc_context *ctx;
    const struct ctr_args *a;
    int fds[3]; /* of the process; -1 = none, or over */
    struct here here[2];
    int raw;     /* our terminal is its terminal */
    int held;    /* ctrl-p has come, and may be the first half of "detach" */
    int detached;
    struct termios saved;
    char in[4096]; /* typed, on its way */
    size_t in_at, in_len;
    int in_over;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void follow_size(struct session *s)
{
    struct winsize ws;
    vc_error *err = NULL;
    if (ioctl(0, TIOCGWINSZ, &ws) == 0 && ws.ws_row && ws.ws_col)
        vc_container_resize(s->ctx, s->a->pod, s->a->container, s->a->exec_id, ws.ws_row, ws.ws_col, &err);
    vc_error_free(err); /* it is about to end: its output says so */
}

static void make_raw(struct session *s)
{
    struct termios t;
    if (tcgetattr(0, &s->saved) < 0)
        return;
    t = s->saved;
    cfmakeraw(&t);
    s->raw = tcsetattr(0, TCSADRAIN, &t) == 0;
    if (s->raw)
        follow_size(s);
}

/* Take out the keys that detach; what is left is for the process. */
static size_t scan_keys(struct session *s, const char *typed, size_t n, char *out)
{
    size_t k = 0;
    for (size_t i = 0; i < n && !s->detached; i++) {
        if (s->held && typed[i] == KEY_DETACH_2) {
            s->detached = 1;
            break;
        }
        if (s->held)
            out[k++] = KEY_DETACH_1;
        s->held = typed[i] == KEY_DETACH_1;
        if (!s->held)
            out[k++] = typed[i];
    }
    return k;
}

static void take_input(struct session *s)
{
    char typed[sizeof s->in / 2];
    ssize_t n = read(0, typed, sizeof typed);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        s->in_over = 1;
        close_fd(&s->fds[0]);
        return;
    }
    s->in_at = 0;
    if (s->raw) {
        s->in_len = scan_keys(s, typed, (size_t)n, s->in);
    } else {
        memcpy(s->in, typed, (size_t)n);
        s->in_len = (size_t)n;
    }
}

static void give_input(struct session *s)
{
    ssize_t n = write(s->fds[0], s->in + s->in_at, s->in_len - s->in_at);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n < 0) { /* it reads no more */
        s->in_over = 1;
        close_fd(&s->fds[0]);
        return;
    }
    s->in_at += (size_t)n;
}

/* Writing must not block, or signals and keys would wait with it.  The descriptor is others' as well and stays as it is:
 * pipes and terminals are opened once more. */
static void here_init(struct here *h, int fd)
{
    char path[32];
    struct stat st;
    h->fd = fd;
    h->most = sizeof h->buf;
    if (fstat(fd, &st) < 0)
        return;
    h->socket = S_ISSOCK(st.st_mode);
    int master = st.st_rdev == makedev(5, 2); /* opened once more it is another one */
    if (!S_ISFIFO(st.st_mode) && !(S_ISCHR(st.st_mode) && !master && isatty(fd)))
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    h->own = again >= 0;
    if (h->own)
        h->fd = again;
    else
        h->most = SAFE_WRITE;
}

static void here_done(struct here *h)
{
    if (h->own)
        close(h->fd);
    h->own = 0;
    h->fd = -1;
    h->at = h->len = 0;
}

/* It is written when there is room.  What nobody takes here is thrown away, or the process would be left behind. */
static void take_output(struct session *s, int i)
{
    struct here *h = &s->here[i - 1];
    ssize_t n = read(s->fds[i], h->buf, sizeof h->buf);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        close_fd(&s->fds[i]);
        return;
    }
    h->at = 0;
    h->len = h->fd < 0 ? 0 : (size_t)n;
}

static void give_output(struct here *h)
{
    struct pollfd p = {.fd = h->fd, .events = POLLOUT};
    size_t n = h->len - h->at < h->most ? h->len - h->at : h->most;
    if (!h->own && poll(&p, 1, 0) != 1) /* both may go to one pipe, and the other one was first */
        return;
    ssize_t w = h->socket ? send(h->fd, h->buf + h->at, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(h->fd, h->buf + h->at, n);
    if (w < 0 && errno != EINTR && errno != EAGAIN) {
        here_done(h);
        return;
    }
    h->at += w > 0 ? (size_t)w : 0;
    if (h->at == h->len)
        h->at = h->len = 0;
}

/* Is there anything more to come of it, or to write here? */
static int goes_on(const struct session *s)
{
    int more = s->fds[1] >= 0 || s->fds[2] >= 0 || s->here[0].len || s->here[1].len;
    return !s->detached && more && (s->here[0].fd >= 0 || s->here[1].fd >= 0);
}

/* Until its output ends, it is detached from, or nobody reads here.  Returns a signal that shall end us, or 0. */
static int carry(struct session *s, int sigs)
{
    while (goes_on(s)) {
        int full = s->in_at < s->in_len;
        struct pollfd p[7] = {{.fd = s->fds[0] < 0 || s->in_over || full ? -1 : 0, .events = POLLIN},
                              {.fd = s->fds[0], .events = full ? POLLOUT : 0},
                              {.fd = s->here[0].len ? -1 : s->fds[1], .events = POLLIN},
                              {.fd = s->here[1].len ? -1 : s->fds[2], .events = POLLIN},
                              {.fd = sigs, .events = POLLIN},
                              {.fd = s->here[0].len ? s->here[0].fd : -1, .events = POLLOUT},
                              {.fd = s->here[1].len ? s->here[1].fd : -1, .events = POLLOUT}};
        if (poll(p, 7, -1) < 0) {
            if (errno == EINTR)
                continue;
            break;
        }
        struct signalfd_siginfo si;
        if (p[4].revents && read(sigs, &si, sizeof si) == (ssize_t)sizeof si) {
            if (si.ssi_signo != SIGWINCH)
                return (int)si.ssi_signo;
            if (s->raw)
                follow_size(s);
        }
        for (int i = 1; i < 3; i++) {
            if (p[1 + i].revents)
                take_output(s, i);
            if (s->here[i - 1].len && (p[1 + i].revents || p[4 + i].revents))
                give_output(&s->here[i - 1]);
        }
        if (p[1].revents & (POLLOUT | POLLERR)) {
            if (full)
                give_input(s);
            else
                close_fd(&s->fds[0]);
        }
        if (p[0].revents && s->fds[0] >= 0)
            take_input(s);
    }
    return 0;
}

/* Its output is over: has it ended, and how? */
static int outcome(const struct virtc *vt, struct session *s)
{
    enum { SETTLE_MS = 2000 }; /* its shim reports after its output */
    vc_error *err = NULL;
    int32_t status = 0;
    int rc = vc_container_wait(s->ctx, s->a->pod, s->a->container, s->a->exec_id, SETTLE_MS, &status, &err);
    if (rc == VC_ERR_TIMEOUT) {
        vc_error_free(err);
        return virtc_complain(vt, VIRTC_RUN_FAILED, "no more output of container \"%s\", which runs on: it has closed its output, or it was not read "
                              "fast enough here", s->a->container);
    }
    return rc < 0 ? virtc_error(vt, err, VIRTC_RUN_FAILED) : status;
}

static int do_attach(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    static const int list[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
    struct session s = {.ctx = ctx, .a = a};
    vc_error *err = NULL;
    sigset_t set, old;
    virtc_signals(&set, list, sizeof list / sizeof *list);
    if (vc_container_attach(ctx, a->pod, a->container, a->exec_id, a->interactive ? VC_ATTACH_STDIN : 0, s.fds, &err) < 0)
        return virtc_error(vt, err, VIRTC_RUN_FAILED);
    sigprocmask(SIG_BLOCK, &set, &old);
    int sigs = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    int terminal = s.fds[2] < 0; /* of the process: all of its output is in one */
    if (terminal && a->interactive && isatty(0))
        make_raw(&s);
    if (s.fds[0] >= 0)
        fcntl(s.fds[0], F_SETFL, O_NONBLOCK); /* our end of the pipe only */
    for (int i = 0; i < 2; i++)
        here_init(&s.here[i], 1 + i);
    int sig = carry(&s, sigs);
    int over = s.fds[1] < 0 && s.fds[2] < 0, stuck = s.here[0].len || s.here[1].len;
    for (int i = 0; i < 3; i++)
        close_fd(&s.fds[i]);
    for (int i = 0; i < 2; i++)
        here_done(&s.here[i]);
    if (s.raw)
        tcsetattr(0, stuck ? TCSANOW : TCSADRAIN, &s.saved);
    if (sigs >= 0)
        close(sigs);
    sigprocmask(SIG_SETMASK, &old, NULL);
    if (sig)
        virtc_die_of(sig);
    if (s.detached) {
        if (!vt->quiet && !vt->json && !stuck)
            fprintf(stderr, "\nvirtc: detached; it runs on\n");
        return 0;
    }
    return over ? outcome(vt, &s) : 0;
}

int cmd_attach(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_OPTIONAL};
    static const struct argp_option opts[] = {
        {"interactive", 'i', NULL, 0, "Pass this command's standard input on, too (of containers that were made with -i)", 0},
        {"exec", ARGS_EXEC, "ID", 0, "That of the command that `virtc exec --detach' named so", 0},
        {0}};
    static const struct argp argp = {opts, args_parse, "POD [CONTAINER]",
                                     "See the output of a running container from now on, and with -i write to its input. Ends with its exit code "
                                     "when it ends.\v"
                                     "Where it has a terminal, and this is one, too, that gets all keys; ctrl-p ctrl-q detaches, and the container "
                                     "runs on. Signals end this command alone. Whoever does not read fast enough is left behind (exit code 125); "
                                     "the container does not wait.", NULL, NULL, NULL};
    argp_err_exit_status = VIRTC_RUN_FAILED; /* the lower codes are the command's */
    return virtc_with_args(vt, argc, argv, &argp, &a, do_attach);
}
