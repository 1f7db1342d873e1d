/* SPDX-License-Identifier: Apache-2.0 */
/* cancel.c: signals: which are passed to a process in a container, and calls that end when a person says stop. */
#include "virtc.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* timeout(1), and a terminal that closes, send more than one signal and mean one. */
#define REPEATED_MS 300

/* One that our caller had us ignore (nohup, a shell's background job) stays ignored. */
static int is_ignored(int sig)
{
    struct sigaction sa;
    return sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
}

void virtc_signals(sigset_t *set, const int *list, size_t n)
{
    sigemptyset(set);
    for (size_t i = 0; i < n; i++)
        if (!is_ignored(list[i]))
            sigaddset(set, list[i]);
}

void virtc_passed_signals(sigset_t *set)
{
    static const int list[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH, SIGTSTP, SIGTTIN, SIGTTOU};
    virtc_signals(set, list, sizeof list / sizeof *list);
}

void virtc_hold_signals(void)
{
    sigset_t set;
    virtc_passed_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

struct work {
    int (*fn)(void *arg);
    void *arg;
    int done; /* eventfd */
    int rc;
};

static void *work(void *arg)
{
    struct work *w = arg;
    uint64_t one = 1;
    char stack[VIRTC_CRASH_STACK];
    virtc_crash_stack(stack, sizeof stack);
    w->rc = w->fn(w->arg);
    return write(w->done, &one, sizeof one) < 0 ? arg : NULL; /* cannot fail: the counter is far from its end */
}

/* It returns when every plugin has come back, so it has a thread of its own. */
static void *cancel(void *ctx)
{
    vc_context_cancel(ctx);
    return NULL;
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Wait for the work; the first signal cancels, the second one ends the program. */
static void watch(vc_context *ctx, const struct work *w, int sigs, int *ret_sig)
{
    struct pollfd p[2] = {{.fd = w->done, .events = POLLIN}, {.fd = sigs, .events = POLLIN}};
    pthread_t canceller;
    int cancelling = 0;
    int64_t first = 0;
    while (!p[0].revents) {
        struct signalfd_siginfo si;
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            break;
        if (read(sigs, &si, sizeof si) != (ssize_t)sizeof si)
            continue;
        if (*ret_sig) {
            if (!p[0].revents && now_ms() - first > REPEATED_MS)
                virtc_give_up((int)si.ssi_signo);
            continue;
        }
        *ret_sig = (int)si.ssi_signo;
        first = now_ms();
        if (!ctx)
            virtc_progress(NULL, "the pod is being ended; a second signal ends virtc at once");
        else if (!(cancelling = pthread_create(&canceller, NULL, cancel, ctx) == 0))
            vc_context_cancel(ctx);
    }
    if (cancelling)
        pthread_join(canceller, NULL);
}

int virtc_cancellable(vc_context *ctx, int (*fn)(void *arg), void *arg, int *ret_sig)
{
    static const int stop[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    struct work w = {.fn = fn, .arg = arg};
    sigset_t set, old;
    pthread_t thread;
    *ret_sig = 0;
    virtc_signals(&set, stop, sizeof stop / sizeof *stop);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    int sigs = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    w.done = eventfd(0, EFD_CLOEXEC);
    if (sigs < 0 || w.done < 0 || pthread_create(&thread, NULL, work, &w) != 0) {
        w.rc = fn(arg); /* without threads or descriptors it cannot be cancelled */
    } else {
        watch(ctx, &w, sigs, ret_sig);
        pthread_join(thread, NULL);
    }
    if (sigs >= 0)
        close(sigs);
    if (w.done >= 0)
        close(w.done);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return w.rc;
}

void virtc_die_of(int sig)
{
    sigset_t set;
    fflush(stdout);
    fflush(stderr);
    signal(sig, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, sig);
    raise(sig);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}
