/* SPDX-License-Identifier: Apache-2.0 */
/* open.c: opening what the caller names, on file systems that may never answer.
 *
 * Who waits for a dead file system cannot always be killed, and if that were a thread, the whole program could not end any
 * more.  So it is a child that waits: it has closed all descriptors (and with them locks) of the caller before, and sends
 * what it has opened through a socket.  The caller waits for that as long as it wants.  One that hangs for good keeps those
 * pages of the caller's memory that the caller has written to since; there are not many of them.  In the child there are
 * system calls only: the caller may have threads. */
#include "open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/io.h"

/* Not in every libc of the machines this is built on. */
#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef __WALL
#define __WALL 0x40000000
#endif

#define HANGING_MAX 16                 /* each is a process and a descriptor */
#define END_NS      INT64_C(100000000) /* for the end of what was killed */

struct ask {
    const char *path;
    struct open_how how;
    int fd;   /* what `path` may name as descriptor 1; -1 */
    int gate; /* the child's end */
};

/* ---- the child ---- */

static int take_fds(const struct ask *a)
{
    int gate = fcntl(a->gate, F_DUPFD_CLOEXEC, 2), fd = a->fd < 0 ? -1 : fcntl(a->fd, F_DUPFD_CLOEXEC, 2);
    if (gate < 0 || (a->fd >= 0 && fd < 0) || dup2(gate, 0) < 0)
        return -1;
    if (fd >= 0 ? dup2(fd, 1) < 0 : close(1) < 0 && errno != EBADF)
        return -1;
    if (syscall(SYS_close_range, 2u, ~0u, 0u) < 0) /* a kernel before 5.9 */
        for (int i = 2; i < 65536; i++)
            close(i);
    return 0;
}

_Noreturn static void child(const struct ask *a)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { .room = { 0 } };
    int32_t sys = 0;
    struct iovec text = { .iov_base = &sys, .iov_len = sizeof sys };
    struct msghdr m = { .msg_iov = &text, .msg_iovlen = 1 };
    if (take_fds(a) < 0)
        _exit(127);
    if (*a->path == '/' && chdir("/") < 0) /* which is not to be kept busy */
        _exit(127);
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, a->path, &a->how, sizeof a->how);
    if (fd < 0) {
        sys = errno;
    } else {
        m.msg_control = &control;
        m.msg_controllen = sizeof control.room;
        control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd) };
        memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    }
    while (sendmsg(0, &m, MSG_NOSIGNAL) < 0 && errno == EINTR)
        ;
    _exit(0);
}

/* As fork, without handlers of the embedding program, and without a word to it when the child ends. */
static pid_t clone_child(int *ret_pidfd)
{
#if defined(__s390__) || defined(__CRIS__)
    return (pid_t)syscall(SYS_clone, NULL, CLONE_PIDFD, ret_pidfd, NULL, NULL);
#else
    return (pid_t)syscall(SYS_clone, CLONE_PIDFD, NULL, ret_pidfd, NULL, NULL);
#endif
}

/* ---- those that hang ---- */

static pthread_mutex_t hanging_mutex = PTHREAD_MUTEX_INITIALIZER;
static int hanging[HANGING_MAX]; /* pidfds + 1 */

/* Has it ended, until then?  If so, nothing is left of it. */
static int over(int pidfd, int64_t deadline)
{
    siginfo_t si = { 0 };
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    for (int n; (n = poll(&p, 1, vcs_poll_timeout(deadline))) <= 0;)
        if (n == 0 ? vcs_poll_timeout(deadline) == 0 : errno != EINTR)
            return 0;
    waitid((idtype_t)P_PIDFD, (id_t)pidfd, &si, WEXITED | WNOHANG | __WALL);
    close(pidfd);
    return 1;
}

/* Is there room for one more?  Those that have ended meanwhile are reaped. */
static int may_hang(void)
{
    int room = 0;
    pthread_mutex_lock(&hanging_mutex);
    for (size_t i = 0; i < HANGING_MAX; i++) {
        if (hanging[i] && over(hanging[i] - 1, 1))
            hanging[i] = 0;
        room |= !hanging[i];
    }
    pthread_mutex_unlock(&hanging_mutex);
    return room;
}

/* It has sent what it had to, or nobody waits for that any more. */
static void end(int pidfd, int kill_it)
{
    if (kill_it)
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0u);
    if (over(pidfd, vcs_now_ns() + END_NS))
        return;
    pthread_mutex_lock(&hanging_mutex);
    size_t i = 0;
    while (i < HANGING_MAX && hanging[i])
        i++;
    if (i < HANGING_MAX)
        hanging[i] = pidfd + 1;
    else /* others came between: it is left to the end of this program */
        close(pidfd);
    pthread_mutex_unlock(&hanging_mutex);
}

/* ---- the parent ---- */

/* 0 when it has said something, or ended: the gate alone does not tell, as another thread's child may have its other end. */
static int await(int gate, int pidfd, const struct vci_limit *until)
{
    for (;;) {
        struct pollfd p[3] = { { .fd = gate, .events = POLLIN },
                               { .fd = pidfd, .events = POLLIN },
                               { .fd = until ? until->cancel_fd : -1, .events = POLLIN } };
        int64_t deadline = until ? until->deadline : 0;
        int n = poll(p, 3, vcs_poll_timeout(deadline));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            return p[0].revents || p[1].revents ? 0 : -ECANCELED;
        if (n == 0 && vcs_poll_timeout(deadline) == 0)
            return -ETIMEDOUT;
    }
}

static int receive(int gate)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    int32_t sys = 0;
    int fd;
    struct iovec text = { .iov_base = &sys, .iov_len = sizeof sys };
    struct msghdr m = { .msg_iov = &text, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room };
    ssize_t n;
    do
        n = recvmsg(gate, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof sys)
        return n < 0 && errno != EAGAIN ? -errno : -EIO; /* somebody has killed it */
    if (sys)
        return sys > 0 ? -sys : -EIO;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof fd))
        return -EMFILE; /* there was no room for it here */
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

static int open_apart(struct ask *a, const struct vci_limit *until)
{
    int ends[2], pidfd = -1;
    if (!may_hang())
        return -EUSERS;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    sigset_t all, old;
    a->gate = ends[1];
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t pid = clone_child(&pidfd);
    if (pid == 0)
        child(a);
    int r = pid < 0 ? -errno : 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    close(ends[1]);
    if (r == 0) {
        r = await(ends[0], pidfd, until);
        int late = r < 0;
        if (r == 0)
            r = receive(ends[0]);
        end(pidfd, late);
    }
    close(ends[0]);
    return r;
}

int vci_open(const char *path, uint64_t flags, uint64_t resolve, const struct vci_limit *until)
{
    struct ask a = { .path = path, .how = { .flags = flags | O_CLOEXEC, .resolve = resolve | RESOLVE_CACHED }, .fd = -1 };
    int fd = -1;
    if (until) {
        fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &a.how, sizeof a.how);
        if (fd >= 0)
            return fd;
        if (errno != EAGAIN && errno != EINVAL) /* EINVAL: a kernel before 5.12 */
            return -errno;
    }
    a.how.resolve = resolve;
    if (until)
        return open_apart(&a, until);
    fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &a.how, sizeof a.how);
    return fd < 0 ? -errno : fd;
}

int vci_reopen(int fd, uint64_t flags, const struct vci_limit *until)
{
    struct ask a = { .path = "/proc/self/fd/1", .how = { .flags = flags | O_CLOEXEC }, .fd = fd };
    return open_apart(&a, until);
}

int vci_stat_open(int fd, struct statx *st)
{
    return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_MODE | STATX_INO, st) < 0 ? -errno : 0;
}

int vci_open_real(const char *path, const struct vci_limit *until, char real[PATH_MAX], struct statx *st)
{
    char via[40];
    int fd = vci_open(path, O_PATH, 0, until);
    if (fd < 0)
        return fd;
    snprintf(via, sizeof via, "/proc/self/fd/%d", fd);
    int r = vci_stat_open(fd, st);
    ssize_t n = r < 0 ? r : readlink(via, real, PATH_MAX);
    if (r == 0 && n < 0)
        r = -errno;
    if (r == 0 && n >= PATH_MAX)
        r = -ENAMETOOLONG;
    if (r == 0 && *real != '/') /* of a file system that is mounted nowhere */
        r = -EINVAL;
    if (r < 0) {
        close(fd);
        return r;
    }
    real[n] = '\0';
    return fd;
}

int vci_fail_open(vc_error **err, int r, const char *fmt, ...)
{
    char what[1000];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    switch (r) {
    case -ETIMEDOUT:
        return vci_fail(err, VC_ERR_TIMEOUT, 0, "%s: the file system that it is on has not answered before the deadline", what);
    case -ECANCELED:
        return vci_fail(err, VC_ERR_CANCELLED, 0, "%s: the operation was cancelled", what);
    case -EUSERS:
        return vci_fail(err, VC_ERR_BUSY, 0,
                        "%s: %d processes of this program already hang at file systems that do not answer", what, HANGING_MAX);
    case -ENOENT:
    case -ENOTDIR:
        return vci_fail(err, VC_ERR_NOTFOUND, -r, "%s", what);
    default:
        return vci_fail(err, vci_code_of(r), -r, "%s", what);
    }
}
