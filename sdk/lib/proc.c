/* SPDX-License-Identifier: Apache-2.0 */
/* proc.c: processes by pid and start time, so that a reused pid is never taken for the old process. */
#include "lib/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/io.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int vcs_proc_stat(int32_t pid, uint64_t *start_ticks, char *state)
{
    if (pid <= 0)
        return -ESRCH;
    char path[32], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    ssize_t n;
    do
        n = read(fd, text, sizeof(text) - 1);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n == 0 || errno == ESRCH ? -ESRCH : -errno;
    text[n] = '\0';

    /* The name in field 2 may hold blanks and parentheses: what follows starts after the last one. */
    char *p = strrchr(text, ')');
    if (!p || p[1] != ' ' || !p[2])
        return -EPROTO;
    char letter = p[2];
    p += 2;
    for (int field = 3; field < 22; field++) {
        p = strchr(p, ' ');
        if (!p)
            return -EPROTO;
        p++;
    }
    char *end;
    errno = 0;
    unsigned long long ticks = strtoull(p, &end, 10);
    if (errno || end == p)
        return -EPROTO;
    if (start_ticks)
        *start_ticks = ticks;
    if (state)
        *state = letter;
    return 0;
}

int vcs_proc_identify(int32_t pid, struct vc_proc *out)
{
    uint64_t ticks;
    int r = vcs_proc_stat(pid, &ticks, NULL);
    if (r < 0)
        return r;
    *out = (struct vc_proc){ .pid = pid, .start_ticks = ticks };
    return 0;
}

/* 1 when p's pid is p still; *ret_dead tells whether it has ended and only waits to be reaped.  -errno when that cannot be
 * seen, which says nothing about p. */
static int same(const struct vc_proc *p, int *ret_dead)
{
    uint64_t ticks;
    char state;
    int r = vcs_proc_stat(p->pid, &ticks, &state);
    if (r < 0 && r != -ESRCH)
        return r;
    if (r < 0 || ticks != p->start_ticks)
        return 0;
    *ret_dead = state == 'Z' || state == 'X';
    return 1;
}

int vcs_proc_alive(const struct vc_proc *p)
{
    int dead, r = same(p, &dead);
    if (r < 0) /* no descriptor, say: what cannot be seen to have ended is not taken for dead */
        return p->pid > 0 && (kill(p->pid, 0) == 0 || errno == EPERM);
    return r && !dead;
}

/* A pidfd of that very process, which may be a zombie. */
static int open_pidfd(const struct vc_proc *p, int *ret_dead)
{
    if (p->pid <= 0)
        return -ESRCH;
    int fd = (int)syscall(SYS_pidfd_open, p->pid, 0u);
    if (fd < 0)
        return errno == EINVAL ? -ESRCH : -errno;
    /* Looked at after the pidfd was made: what has p's start time now is what the pidfd stands for. */
    int r = same(p, ret_dead);
    if (r <= 0) {
        close(fd);
        return r < 0 ? r : -ESRCH;
    }
    return fd;
}

int vcs_proc_fd(const struct vc_proc *p)
{
    int dead;
    int fd = open_pidfd(p, &dead);
    if (fd >= 0 && dead) {
        close(fd);
        return -ESRCH;
    }
    return fd;
}

int vcs_proc_kill(const struct vc_proc *p, int sig)
{
    vcs_autoclose int fd = vcs_proc_fd(p);
    if (fd < 0)
        return fd;
    return syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0u) < 0 ? -errno : 0;
}

/* Reap what has ended; the wait status, or -1 when it is not our child. */
static int reap(int pidfd)
{
    siginfo_t si = { 0 };
    int r;
    do
        r = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &si, WEXITED | WNOHANG);
    while (r < 0 && errno == EINTR);
    if (r < 0 || si.si_pid == 0)
        return -1;
    if (si.si_code == CLD_EXITED)
        return (si.si_status & 0xff) << 8;
    return (si.si_status & 0x7f) | (si.si_code == CLD_DUMPED ? 0x80 : 0);
}

int vcs_proc_wait(const struct vc_proc *p, int64_t deadline_ns, int *status)
{
    int dead;
    vcs_autoclose int fd = open_pidfd(p, &dead);
    if (fd < 0 && fd != -ESRCH)
        return fd;
    int st = -1;
    if (fd >= 0) {
        for (;;) {
            struct pollfd pf = { .fd = fd, .events = POLLIN };
            int r = poll(&pf, 1, vcs_poll_timeout(deadline_ns));
            if (r > 0)
                break;
            if (r == 0 && vcs_poll_timeout(deadline_ns) == 0)
                return -ETIMEDOUT;
            if (r < 0 && errno != EINTR)
                return -errno;
        }
        st = reap(fd);
    }
    if (status)
        *status = st;
    return 0;
}
