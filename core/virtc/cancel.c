/* SPDX-License-Identifier: Apache-2.0 */
/* cancel.c: signals: which are passed to a process in a container, and calls that end when a person says stop. */
#include "virtc.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* One that our caller had us ignore (nohup, a shell's background job) stays ignored. */
static int is_ignored(int sig)
{
    struct sigaction sa;
    return sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
}

static void fill(sigset_t *set, const int *list, size_t n)
{
    sigemptyset(set);
    for (size_t i = 0; i < n; i++)
        if (!is_ignored(list[i]))
            sigaddset(set, list[i]);
}

void virtc_passed_signals(sigset_t *set)
{
    static const int list[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH, SIGTSTP, SIGTTIN, SIGTTOU};
    fill(set, list, sizeof list / sizeof *list);
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
    w->rc = w->fn(w->arg);
    return write(w->done, &one, sizeof one) < 0 ? arg : NULL; /* cannot fail: the counter is far from its end */
}

int virtc_cancellable(vc_context *ctx, int (*fn)(void *arg), void *arg, int *ret_sig)
{
    static const int stop[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    struct work w = {.fn = fn, .arg = arg};
    sigset_t set, old;
    pthread_t thread;
    *ret_sig = 0;
    fill(&set, stop, sizeof stop / sizeof *stop);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    int sigs = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    w.done = eventfd(0, EFD_CLOEXEC);
    if (sigs < 0 || w.done < 0 || pthread_create(&thread, NULL, work, &w) != 0) {
        w.rc = fn(arg); /* without threads or descriptors it cannot be cancelled */
    } else {
        struct pollfd p[2] = {{.fd = w.done, .events = POLLIN}, {.fd = sigs, .events = POLLIN}};
        while (!p[0].revents) {
            if (poll(p, 2, -1) < 0 && errno != EINTR)
                break;
            struct signalfd_siginfo si;
            if (read(sigs, &si, sizeof si) != (ssize_t)sizeof si || *ret_sig)
                continue;
            *ret_sig = (int)si.ssi_signo;
            vc_context_cancel(ctx);
        }
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
