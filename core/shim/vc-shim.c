/* SPDX-License-Identifier: Apache-2.0 */
/* vc-shim: stands on the host for one process inside a VM: carries its streams, signals and window size, and exits
 * with its exit status. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <vccore/vccore.h>

#include "attach.h"

#define STATUS_LOST      255
#define STATUS_UNWRITTEN 125
#define WAITER_STACK     (256u * 1024)
/* Who goes on with more than this after the first of it was lost is ended. */
#define LOST_MAX (1u << 20)
/* After the end of a process whose output is not read any more: for what it said last on the other one. */
#define LAST_WORDS_MS 1000

struct options {
    const char *config, *pod, *container, *exec_id;
    char roots[3][4200]; /* overrides: "key=path" */
    int n_roots, terminal, keep_stdin;
    int attach_fd; /* the socket where others attach; -1 = none */
};

struct shim {
    vc_process *process;
    struct pump pumps[3];
    struct attach attach;
    int keep_stdin;
    int fds[3];  /* of the process */
    int signals; /* signalfd */
    int ended;   /* eventfd: the waiter is through */
    int waiting; /* the waiter runs */
    int tty;     /* descriptor of the terminal whose size counts; -1 = none */
    int raw;     /* termios below is to be restored */
    struct termios saved;
    pthread_t waiter;
    int32_t status;
    int unwritten; /* output of the process was lost here */
    int ended_for; /* it was told to end for that */
    int left;      /* nobody reads one of its outputs any more, which it was told by SIGPIPE */
    vc_error *error;
};

static void say(const char *what, const vc_error *err)
{
    fprintf(stderr, "vc-shim: %s: %s\n", what, vc_error_text(err));
}

/* ---- options ---- */

static void usage(FILE *f)
{
    fputs("Usage: vc-shim --pod ID --container ID [OPTION]...\n"
          "Carry the streams, signals and exit status of one process inside a virtual machine.\n"
          "It is started by libvccore; there is no need to call it by hand.\n\n"
          "      --pod ID          the pod\n"
          "      --container ID    the container\n"
          "      --exec ID         a further process of the container; else its first one\n"
          "      --terminal        the process has a terminal\n"
          "      --keep-stdin      the end of this program's stdin is not that of the process's\n"
          "      --attach-fd N     a listening socket, inherited: those who attach come there\n"
          "      --config FILE     configuration file of libvccore\n"
          "      --run-root DIR    where pods run\n"
          "      --state-root DIR  where pods are recorded\n"
          "      --plugin-dir DIR  where plugins lie\n"
          "      --help            show this text\n"
          "      --version         show the version\n",
          f);
}

/* The descriptor, made CLOEXEC and not blocking; -1 when it is none. */
static int take_listener(const char *text)
{
    int fd = -1, on = 0;
    char tail;
    socklen_t len = sizeof on;
    if (sscanf(text, "%9d%c", &fd, &tail) != 1 || fd < 3 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) < 0 || !on)
        return -1;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -1 : fd;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct options *o)
{
    enum { CONFIG = 256, RUN_ROOT, STATE_ROOT, PLUGIN_DIR, POD, CONTAINER, EXEC, TERMINAL, KEEP_STDIN, ATTACH_FD, HELP, VERSION };
    static const struct option table[] = {
        { "config", 1, NULL, CONFIG },
        { "run-root", 1, NULL, RUN_ROOT },
        { "state-root", 1, NULL, STATE_ROOT },
        { "plugin-dir", 1, NULL, PLUGIN_DIR },
        { "pod", 1, NULL, POD },
        { "container", 1, NULL, CONTAINER },
        { "exec", 1, NULL, EXEC },
        { "terminal", 0, NULL, TERMINAL },
        { "keep-stdin", 0, NULL, KEEP_STDIN },
        { "attach-fd", 1, NULL, ATTACH_FD },
        { "help", 0, NULL, HELP },
        { "version", 0, NULL, VERSION },
        { NULL, 0, NULL, 0 },
    };
    static const char *const keys[] = { "run_root", "state_root", "plugin_dir" };
    for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        switch (c) {
        case CONFIG:
            o->config = *optarg ? optarg : NULL;
            break;
        case RUN_ROOT:
        case STATE_ROOT:
        case PLUGIN_DIR:
            if (o->n_roots == 3 || strlen(optarg) > 4096) {
                fputs("vc-shim: a directory is given twice, or its path is too long\n", stderr);
                return 2;
            }
            snprintf(o->roots[o->n_roots], sizeof o->roots[0], "%s=%s", keys[c - RUN_ROOT], optarg);
            o->n_roots++;
            break;
        case POD:
            o->pod = optarg;
            break;
        case CONTAINER:
            o->container = optarg;
            break;
        case EXEC:
            o->exec_id = optarg;
            break;
        case TERMINAL:
            o->terminal = 1;
            break;
        case KEEP_STDIN:
            o->keep_stdin = 1;
            break;
        case ATTACH_FD:
            o->attach_fd = take_listener(optarg);
            if (o->attach_fd < 0) {
                fprintf(stderr, "vc-shim: --attach-fd wants the number of a listening socket, not \"%s\"\n", optarg);
                return 2;
            }
            break;
        case HELP:
            usage(stdout);
            return 0;
        case VERSION:
            printf("vc-shim %s\n", vc_version());
            return 0;
        default:
            fputs("Try 'vc-shim --help'.\n", stderr);
            return 2;
        }
    }
    if (optind < argc || !o->pod || !o->container) {
        fprintf(stderr, "vc-shim: %s\nTry 'vc-shim --help'.\n",
                optind < argc ? "it takes options only" : "--pod and --container are needed");
        return 2;
    }
    return -1;
}

/* ---- terminal ---- */

static void terminal_raw(struct shim *s)
{
    struct termios t;
    if (tcgetattr(0, &s->saved) < 0)
        return;
    t = s->saved;
    cfmakeraw(&t);
    s->raw = tcsetattr(0, TCSANOW, &t) == 0;
}

static void terminal_restore(struct shim *s)
{
    if (s->raw)
        tcsetattr(0, TCSANOW, &s->saved);
    s->raw = 0;
}

static void send_size(struct shim *s)
{
    struct winsize ws;
    if (s->tty >= 0 && ioctl(s->tty, TIOCGWINSZ, &ws) == 0 && ws.ws_row && ws.ws_col)
        vc_process_resize(s->process, ws.ws_row, ws.ws_col, NULL);
}

/* ---- signals ---- */

/* All that a process may be sent, except those that are about this process itself. */
static int block_signals(void)
{
    static const int own[] = { SIGCHLD, SIGCONT, SIGPIPE, SIGURG,  SIGSEGV, SIGBUS,
                               SIGILL,  SIGFPE,  SIGTRAP, SIGABRT, SIGSYS,  SIGTTOU };
    sigset_t set, none;
    sigfillset(&set);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(&set, own[i]);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void forward_signals(struct shim *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGWINCH && s->tty >= 0)
            send_size(s);
        else /* one that has ended meanwhile needs none */
            vc_process_signal(s->process, (int32_t)info.ssi_signo, NULL);
    }
}

/* ---- the end ---- */

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void *wait_for_end(void *arg)
{
    struct shim *s = arg;
    int32_t status = STATUS_LOST;
    if (vc_process_wait(s->process, &status, &s->error) < 0)
        status = STATUS_LOST;
    s->status = status;
    uint64_t one = 1;
    if (write(s->ended, &one, sizeof one) < 0) /* cannot fail: the counter is far from its end */
        return arg;
    return NULL;
}

static int start_waiter(struct shim *s)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WAITER_STACK);
    int r = pthread_create(&s->waiter, &attr, wait_for_end, s);
    pthread_attr_destroy(&attr);
    s->waiting = r == 0;
    return r;
}

/* ---- streams ---- */

static void close_stream(struct shim *s, int i)
{
    if (s->fds[i] >= 0)
        close(s->fds[i]); /* stdin: this is its end of file */
    s->fds[i] = -1;
    if (i == 0)
        attach_stdin_closed(&s->attach);
}

static void end_pump(struct shim *s, int i)
{
    pump_done(&s->pumps[i]);
    if (i == 0) /* it goes when its last writer has ended */
        return;
    close_stream(s, i);
    attach_output_over(&s->attach, i - 1);
}

/* An output cannot be written any more.  A process of the host would get this error, and decide; here there is no way to
 * tell it.  So it may come to its own end: what it still says is thrown away. */
static void lose_output(struct shim *s, int i, int error)
{
    fprintf(stderr, "vc-shim: the standard %s of the process cannot be written: %s\n", i == 1 ? "output" : "error",
            strerror(error));
    s->unwritten = 1;
    pump_drop(&s->pumps[i]);
}

static void run_pump(struct shim *s, int i, short revents)
{
    struct pump *p = &s->pumps[i];
    if (p->in < 0 || !revents)
        return;
    errno = 0;
    int lost = p->wait_out && revents & POLLERR && !(revents & POLLOUT);
    int more = lost || revents & POLLNVAL ? 0 : pump_run(p);
    if (more < 0 && errno != EPIPE && i > 0 && !p->drop) {
        lose_output(s, i, errno);
        return;
    }
    int endless = p->dropped > LOST_MAX;
    if (more > 0 && !endless)
        return;
    lost |= more < 0 && errno == EPIPE;
    s->ended_for |= endless;
    end_pump(s, i);
    /* Nobody reads our output any more: the process learns it as it would from a pipe of its own. */
    if ((lost || endless) && i > 0) {
        s->left = 1;
        vc_process_signal(s->process, SIGPIPE, NULL);
    }
}

/* The exit status, after output was lost: one of its own says more; but none says that it did well, or what ended it
 * for that (SIGKILL takes the place of SIGPIPE for the init of a container). */
static int32_t status_unwritten(const struct shim *s)
{
    int ended = s->ended_for && (s->status == 128 + SIGPIPE || s->status == 128 + SIGKILL);
    return s->status == 0 || ended ? STATUS_UNWRITTEN : s->status;
}

static int outputs_over(const struct shim *s)
{
    return s->pumps[1].in < 0 && s->pumps[2].in < 0;
}

/* Until the process has ended; its outputs are carried to their end before that is asked.  But whoever it has started may
 * have them open and hear of no reader's going, as the signal was for the process alone: then its end counts. */
static int carry(struct shim *s)
{
    int64_t last_ms = 0; /* when the last words are over; 0: it has not ended */
    for (;;) {
        struct pollfd pfd[5 + ATTACH_POLL];
        if (!s->waiting && (s->left || outputs_over(s))) {
            int r = start_waiter(s);
            if (r)
                return r;
        }
        for (int i = 0; i < 3; i++)
            pump_poll(&s->pumps[i], &pfd[i]);
        pfd[3] = (struct pollfd){ .fd = s->signals, .events = POLLIN };
        pfd[4] = (struct pollfd){ .fd = last_ms ? -1 : s->ended, .events = POLLIN };
        attach_poll(&s->attach, &pfd[5]);
        int64_t left = last_ms ? last_ms - now_ms() : -1;
        if (poll(pfd, sizeof pfd / sizeof *pfd, left < 0 && last_ms ? 0 : (int)left) < 0) {
            if (errno == EINTR)
                continue;
            return errno;
        }
        if (pfd[3].revents)
            forward_signals(s);
        for (int i = 2; i >= 0; i--)
            run_pump(s, i, pfd[i].revents);
        attach_run(&s->attach, &pfd[5]);
        if (s->fds[0] >= 0 && s->pumps[0].in < 0 && !attach_writes(&s->attach, s->keep_stdin))
            close_stream(s, 0);
        if (pfd[4].revents) {
            pthread_join(s->waiter, NULL);
            last_ms = now_ms() + LAST_WORDS_MS;
        }
        if (last_ms && (outputs_over(s) || now_ms() >= last_ms))
            return 0;
    }
}

static int open_streams(struct shim *s, const struct options *o, vc_error **err)
{
    int rc = vc_process_streams(s->process, s->fds, err);
    if (rc < 0 && rc != VC_ERR_UNSUPPORTED)
        return rc;
    if (rc == VC_ERR_UNSUPPORTED) {
        vc_error_free(*err);
        *err = NULL;
        s->fds[0] = s->fds[1] = s->fds[2] = -1;
    }
    pump_init(&s->pumps[0], s->fds[0] < 0 ? -1 : 0, s->fds[0]);
    pump_init(&s->pumps[1], s->fds[1], 1);
    pump_init(&s->pumps[2], s->fds[2], 2);
    attach_init(&s->attach, o->attach_fd, s->fds[0], &s->pumps[1], &s->pumps[2]);
    s->keep_stdin = o->keep_stdin && o->terminal ? ATTACH_KEEP : o->keep_stdin;
    return 0;
}

static int run(struct shim *s, const struct options *o)
{
    vc_error *err = NULL;
    if (open_streams(s, o, &err) < 0) {
        say("cannot get at the streams", err);
        vc_error_free(err);
        return STATUS_LOST;
    }
    if (o->terminal) {
        s->tty = isatty(0) ? 0 : isatty(1) ? 1 : -1;
        if (s->tty == 0)
            terminal_raw(s);
        send_size(s);
    }
    s->status = STATUS_LOST;
    int r = carry(s);
    attach_end(&s->attach);
    terminal_restore(s);
    if (r)
        fprintf(stderr, "vc-shim: %s\n", strerror(r));
    else if (s->error)
        say("the process was lost", s->error);
    if (s->unwritten)
        s->status = status_unwritten(s);
    if (vc_process_report(s->process, s->status, &err) < 0)
        say("cannot report the exit status", err);
    vc_error_free(err);
    return s->status;
}

int main(int argc, char **argv)
{
    static struct options o = { .attach_fd = -1 };
    static struct shim s = { .fds = { -1, -1, -1 }, .tty = -1 };
    int early = parse(argc, argv, &o);
    if (early >= 0)
        return early;
    s.signals = block_signals();
    s.ended = eventfd(0, EFD_CLOEXEC);
    if (s.signals < 0 || s.ended < 0) {
        perror("vc-shim");
        return STATUS_LOST;
    }
    const char *overrides[4] = { NULL };
    for (int i = 0; i < o.n_roots; i++)
        overrides[i] = o.roots[i];
    struct vc_context_options opts;
    VC_INIT(&opts);
    opts.config_file = o.config;
    opts.overrides = overrides;
    vc_context *ctx = NULL;
    vc_error *err = NULL;
    int status = STATUS_LOST;
    if (vc_context_new(&opts, &ctx, &err) < 0) {
        say("configuration", err);
    } else if (vc_process_open(ctx, o.pod, o.container, o.exec_id, &s.process, &err) < 0) {
        say("cannot reach the process", err);
    } else {
        status = run(&s, &o);
        vc_process_close(s.process);
    }
    vc_error_free(err);
    vc_error_free(s.error);
    vc_context_free(ctx);
    return status;
}
