/* SPDX-License-Identifier: Apache-2.0 */
/* keeper.c: what the process above a check waits for: the end of the check, the parent's word that it is to end, or the
 * parent's own end.  In each case it comes to undo what namespaces do not: the control groups on record (pod.c). */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "run.h"

static pid_t parent; /* 0 when it is in another pid namespace */

static void signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    sigaddset(set, SIGTERM);
}

void vct_keep_begin(void)
{
    sigset_t set;
    signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL); /* a signal that is blocked reaches even the init of a namespace */
    parent = getppid();
}

void vct_keep_not(void)
{
    sigset_t set;
    signals(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* 1: the check's process is among those that have ended. */
static int reap(pid_t check, int *ret_status)
{
    int status = 0, found = 0;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == check) {
            *ret_status = status;
            found = 1;
        }
    return found;
}

int vct_keep(pid_t check, int parent_fd, int *ret_status)
{
    sigset_t set;
    signals(&set);
    vcs_autoclose int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) { /* at least the check runs to its end */
        while (!reap(check, ret_status))
            sigwaitinfo(&set, NULL);
        return 1;
    }
    prctl(PR_SET_PDEATHSIG, 0); /* from here on its end is seen by the socket */
    struct pollfd fds[] = { { .fd = fd, .events = POLLIN }, { .fd = parent_fd } };
    for (;;) {
        struct signalfd_siginfo info;
        if (reap(check, ret_status))
            return 1;
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return 0;
        if (fds[1].revents & (POLLHUP | POLLERR))
            return 0;
        while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
            if (info.ssi_signo == SIGTERM && (pid_t)info.ssi_pid == parent) /* a plugin's does not count */
                return 0;
    }
}
