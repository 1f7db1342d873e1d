/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.c: start a process so that it can never be lost.
 *
 * The child waits at a socket until the parent has written it to the pod's ledger; when the parent dies before, the
 * child sees end of file and goes.  By then it has closed all it does not need, so that nothing else keeps that
 * socket open.  Between clone and execve the child makes system calls only: the caller may have threads. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "instance.h"
#include "lib/io.h"
#include "lib/proc.h"

#define FDS_MAX 64
#define END_NS  INT64_C(2000000000) /* for the end of what was killed: what hangs in the kernel for good cannot end */

/* What the child reports when it cannot execute the program. */
enum { STEP_FDS = 1, STEP_NETNS, STEP_SESSION, STEP_CTTY, STEP_EXEC };
struct report {
    int32_t step, sys;
};

/* All the child needs, put together before it is made. */
struct plan {
    const struct vc_spawn *s;
    char *const *argv;
    char *const *envp;
    int gate; /* the child's end */
    int n_fds;
};

_Noreturn static void child_fail(int gate, int step)
{
    struct report r = { .step = step, .sys = errno };
    while (write(gate, &r, sizeof(r)) < 0 && errno == EINTR)
        ;
    _exit(127);
}

static void close_from(unsigned first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0u, 0u) == 0)
        return;
#endif
    /* A kernel before 5.9. */
    for (int fd = (int)first; fd < 65536; fd++)
        close(fd);
}

/* Put descriptors where they belong: 0-2, then the handed ones, then the gate and the namespace; the rest is closed.
 * Returns the gate. */
static int child_fds(const struct plan *p)
{
    const struct vc_spawn *s = p->s;
    int base = 3 + p->n_fds, moved[3 + FDS_MAX], gate, ns = -1;
    /* First out of the way, so that none is overwritten before it was copied. */
    gate = fcntl(p->gate, F_DUPFD_CLOEXEC, base + 2);
    if (gate < 0)
        _exit(127);
    for (int i = 0; i < base; i++) {
        int from = i < 3 ? s->stdio[i] : s->fds[i - 3];
        moved[i] = from < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : fcntl(from, F_DUPFD_CLOEXEC, base + 2);
        if (from < 0 && moved[i] >= 0 && moved[i] < base + 2) {
            int low = moved[i];
            moved[i] = fcntl(low, F_DUPFD_CLOEXEC, base + 2);
            close(low);
        }
        if (moved[i] < 0)
            child_fail(gate, STEP_FDS);
    }
    if (s->netns_fd >= 0 && (ns = fcntl(s->netns_fd, F_DUPFD_CLOEXEC, base + 2)) < 0)
        child_fail(gate, STEP_FDS);
    for (int i = 0; i < base; i++)
        if (dup2(moved[i], i) < 0)
            child_fail(gate, STEP_FDS);
    if (dup3(gate, base, O_CLOEXEC) < 0)
        child_fail(gate, STEP_FDS);
    if (ns >= 0 && dup3(ns, base + 1, O_CLOEXEC) < 0)
        child_fail(base, STEP_FDS);
    close_from((unsigned)(ns >= 0 ? base + 2 : base + 1));
    return base;
}

_Noreturn static void child(const struct plan *p)
{
    const struct vc_spawn *s = p->s;
    int gate = child_fds(p);
    char go = 0;
    ssize_t n;
    do
        n = read(gate, &go, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(127); /* the parent is gone: nobody knows of this process */
    if (s->netns_fd >= 0 && setns(gate + 1, CLONE_NEWNET) < 0)
        child_fail(gate, STEP_NETNS);
    if (!(s->flags & VC_SPAWN_SAME_SESSION) && setsid() < 0)
        child_fail(gate, STEP_SESSION);
    if ((s->flags & VC_SPAWN_CTTY) && ioctl(0, TIOCSCTTY, 0) < 0)
        child_fail(gate, STEP_CTTY);
    /* It lives long and must not keep the caller's directory busy; all paths it gets are absolute. */
    if (chdir("/") < 0)
        child_fail(gate, STEP_SESSION);
    /* Signals were blocked before the clone; none of the caller's handlers may run here.  Zero is SIG_DFL to the
     * kernel, and libc's function would leave out the two signals that it uses itself. */
    static const uint64_t dfl[8];
    for (int sig = 1; sig < _NSIG; sig++)
        syscall(SYS_rt_sigaction, sig, dfl, NULL, (size_t)_NSIG / 8);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(s->path, p->argv, p->envp);
    child_fail(gate, STEP_EXEC);
}

/* As fork, without handlers of the embedding program. */
static pid_t clone_process(void)
{
#if defined(__s390__) || defined(__CRIS__)
    return (pid_t)syscall(SYS_clone, NULL, SIGCHLD, NULL, NULL, NULL);
#else
    return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
#endif
}

/* Until the process says something, or executes the program.  A file system that does not answer can keep it from both
 * for ever: then it is TIMEOUT at the deadline, or CANCELLED. */
static int await_word(const struct vci_pod_dir *dir, int gate, int64_t deadline, const char *path, vc_error **err)
{
    for (;;) {
        struct pollfd p[2] = {
            { .fd = gate, .events = POLLIN },
            { .fd = dir && dir->cancellable ? dir->ctx->cancel_fd : -1, .events = POLLIN },
        };
        int n = poll(p, 2, vcs_poll_timeout(deadline));
        if (n < 0 && errno != EINTR)
            return vci_fail(err, VC_ERR_IO, errno, "cannot start %s: its process cannot be waited for", path);
        if (n > 0 && p[0].revents)
            return 0;
        if (n > 0)
            return vci_fail(err, VC_ERR_CANCELLED, 0, "cannot start %s: the operation was cancelled", path);
        if (n == 0 && vcs_poll_timeout(deadline) == 0)
            return vci_fail(err, VC_ERR_TIMEOUT, 0,
                            "cannot start %s: its file could not be executed before the deadline; does the file system that "
                            "it is on answer?",
                            path);
    }
}

/* Wait for the exec: end of file means that it happened. */
static int await_exec(int gate, const char *path, vc_error **err)
{
    struct report r = { 0 };
    ssize_t n = vcs_read_full(gate, &r, sizeof(r));
    if (n == 0)
        return 0;
    if (n != (ssize_t)sizeof(r))
        return vci_fail(err, VC_ERR_IO, n < 0 ? (int)n : 0, "cannot start %s: its process did not report", path);
    switch (r.step) {
    case STEP_NETNS:
        return vci_fail(err, vci_code_of(r.sys), r.sys, "cannot start %s: its network namespace cannot be entered",
                        path);
    case STEP_FDS:
        return vci_fail(err, vci_code_of(r.sys), r.sys, "cannot start %s: its descriptors cannot be set up", path);
    case STEP_SESSION:
        return vci_fail(err, vci_code_of(r.sys), r.sys,
                        "cannot start %s: no new session, or the root directory cannot be entered", path);
    case STEP_CTTY:
        return vci_fail(err, vci_code_of(r.sys), r.sys,
                        "cannot start %s: its standard input cannot be its controlling terminal", path);
    default:
        break;
    }
    if (r.sys == ENOENT)
        return vci_fail(err, VC_ERR_NOTFOUND, r.sys, "cannot start %s: it, or the interpreter it names, is not there",
                        path);
    if (r.sys == EACCES || r.sys == EPERM)
        return vci_fail(err, VC_ERR_PERM, r.sys, "cannot start %s: it may not be executed", path);
    return vci_fail(err, VC_ERR_IO, r.sys, "cannot start %s", path);
}

static int check_spawn(const struct vc_spawn *s, vc_error **err)
{
    if (s->size < offsetof(struct vc_spawn, cgroup) + sizeof(s->cgroup))
        return vci_fail(err, VC_ERR_INVAL, 0, "spawn: the size of its parameters is %u, below the %zu of the contract",
                        s->size, sizeof(*s));
    if (!s->path || s->path[0] != '/')
        return vci_fail(err, VC_ERR_INVAL, 0, "spawn: \"%s\" is not an absolute path of a program",
                        s->path ? s->path : "");
    if (!s->argv || !s->argv[0])
        return vci_fail(err, VC_ERR_INVAL, 0, "spawn: no arguments for %s: its own name is the first", s->path);
    if (s->n_fds > FDS_MAX || (s->n_fds && !s->fds))
        return vci_fail(err, VC_ERR_INVAL, 0, "spawn: %s cannot be given %u descriptors; %d are possible", s->path,
                        s->n_fds, FDS_MAX);
    if ((s->flags & ~(uint32_t)(VC_SPAWN_SAME_SESSION | VC_SPAWN_CTTY)) || s->reserved)
        return vci_fail(err, VC_ERR_INVAL, 0, "spawn: %s: flags 0x%x or reserved %d are not known to this host",
                        s->path, s->flags, s->reserved);
    for (uint32_t i = 0; i < s->n_fds; i++) {
        if (s->fds[i] < 0)
            return vci_fail(err, VC_ERR_INVAL, 0, "spawn: descriptor %u for %s is %d", i, s->path, s->fds[i]);
        if (fcntl(s->fds[i], F_GETFD) < 0)
            return vci_fail(err, VC_ERR_INVAL, 0, "spawn: %s: fds[%u] (%d) is no open descriptor", s->path, i,
                            s->fds[i]);
    }
    for (int i = 0; i < 3; i++)
        if (s->stdio[i] >= 0 && fcntl(s->stdio[i], F_GETFD) < 0)
            return vci_fail(err, VC_ERR_INVAL, 0, "spawn: %s: stdio[%d] (%d) is no open descriptor", s->path, i,
                            s->stdio[i]);
    if (s->netns_fd >= 0 && fcntl(s->netns_fd, F_GETFD) < 0)
        return vci_fail(err, VC_ERR_INVAL, 0, "spawn: %s: netns_fd (%d) is no open descriptor", s->path, s->netns_fd);
    if ((s->flags & VC_SPAWN_CTTY) && (s->flags & VC_SPAWN_SAME_SESSION))
        return vci_fail(err, VC_ERR_INVAL, 0, "spawn: %s cannot both stay in the session and get a terminal of its own",
                        s->path);
    if (s->cgroup)
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                        "spawn: %s cannot be put into cgroup \"%s\": pods have no cgroup on the host", s->path,
                        s->cgroup);
    return 0;
}

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Record it, then let it go on.  What fails is ended. */
static int record_and_release(struct vci_pod_dir *dir, uint32_t type, const char *owner, pid_t pid, int gate, int64_t deadline,
                              const char *path, struct vc_proc *out, vc_error **err)
{
    struct vc_proc proc;
    char name[64];
    unsigned entry = 0;
    int r = vcs_proc_identify(pid, &proc), noted = 0;
    if (r < 0) {
        shutdown(gate, SHUT_RDWR); /* which it is waiting at */
        reap(pid);
        return vci_fail(err, VC_ERR_IO, r, "cannot start %s: its process cannot be looked at", path);
    }
    if (dir) {
        snprintf(name, sizeof(name), "%d %llu", proc.pid, (unsigned long long)proc.start_ticks);
        r = vci_ledger_add(dir, type, owner, name, &entry, err);
        noted = r == 0;
    }
    vci_fault_point("spawn-recorded");
    if (r == 0 && send(gate, "g", 1, MSG_NOSIGNAL) != 1)
        r = vci_fail(err, VC_ERR_IO, errno, "cannot start %s: its process went away", path);
    if (r == 0)
        r = await_word(dir, gate, deadline, path, err);
    if (r == 0)
        r = await_exec(gate, path, err);
    if (r == 0) {
        *out = proc;
        return 0;
    }
    /* Without a descriptor for it: it is our child, unless this program lets the kernel reap its children. */
    int killed = vcs_proc_kill(&proc, SIGKILL);
    if (killed < 0 && killed != -ESRCH)
        kill(pid, SIGKILL);
    int left = vcs_proc_wait(&proc, vcs_now_ns() + END_NS, NULL);
    if (left < 0 && left != -ETIMEDOUT) { /* no descriptor for looking: it goes when it reads the end of file */
        shutdown(gate, SHUT_RDWR);
        reap(pid);
        left = 0;
    }
    if (left == 0) {
        if (noted)
            vci_ledger_del(dir, entry, NULL);
    } else if (dir) {
        vci_log(dir->ctx, VC_LOG_WARN, dir->id, "process %d, which was to execute %s, was killed and has not ended%s", (int)pid,
                path, noted ? ": it stays on record" : "");
    }
    return r;
}

int vci_spawn_as(vc_context *ctx, struct vci_pod_dir *dir, uint32_t type, const char *owner, const struct vc_spawn *s,
                 int64_t deadline, struct vc_proc *out, vc_error **err)
{
    static const char *const default_env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                               NULL };
    int r = check_spawn(s, err);
    if (r)
        return r;
    if (dir && !dir->locked)
        return vci_fail(err, VC_ERR_STATE, 0,
                        "cannot start %s: the pod is not locked, so its process could not be recorded", s->path);
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot start %s", s->path);
    struct plan plan = {
        .s = s,
        .argv = (char *const *)(uintptr_t)s->argv,
        .envp = (char *const *)(uintptr_t)(s->envp ? s->envp : default_env),
        .gate = ends[1],
        .n_fds = (int)s->n_fds,
    };
    sigset_t all, old;
    vci_fault_point("spawn");
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t pid = clone_process();
    if (pid == 0)
        child(&plan);
    int sys = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return vci_fail(err, vci_code_of(sys), sys, "cannot start %s", s->path);
    }
    vci_fault_point("spawn-cloned");
    r = record_and_release(dir, type, owner, pid, ends[0], deadline, s->path, out, err);
    close(ends[0]);
    if (r == 0)
        vci_log(ctx, VC_LOG_DEBUG, dir ? dir->id : NULL, "started %s as pid %d", s->path, (int)pid);
    vci_fault_point("spawn-done");
    return r;
}

int vci_spawn(vc_context *ctx, struct vci_pod_dir *dir, const char *owner, const struct vc_spawn *s, int64_t deadline,
              struct vc_proc *out, vc_error **err)
{
    return vci_spawn_as(ctx, dir, VCI_RES_PROCESS, owner, s, deadline, out, err);
}
