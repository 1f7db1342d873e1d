/* SPDX-License-Identifier: Apache-2.0 */
/* ctr-spawn.c: clone a process into a container and talk to it until it executes its program.
 *
 * There is exactly one clone per process: it is born in its cgroup (CLONE_INTO_CGROUP) and, for a further process
 * of a container, in the container's pid namespace, since the agent has that as the namespace of its children for
 * the moment of the clone.  The agent is its parent and gets its exit status. */
#include "ctr-spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "lib/io.h"

/* The set-up of a process has no step that waits for anybody; a share that does not answer is what can stop it, or,
 * when it joins a container, a process of that container.  The agent does nothing else meanwhile. */
#define SETUP_TIMEOUT_NS (30 * INT64_C(1000000000))
#define JOIN_TIMEOUT_NS (15 * INT64_C(1000000000))
#define LOOK_MS 100 /* how soon it is noticed that the process was stopped */
#define KILL_TIMEOUT_NS INT64_C(1000000000)
#define PAUSE_ID 65534
#define PIPE_SIZE (1024 * 1024)

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- clone ---- */

/* As fork, with namespaces and cgroup.  The pid, 0 in the child, or -errno. */
static pid_t clone_into(uint64_t flags, int pidns_fd, int cgroup_fd, int *pidfd)
{
    static int self = -1; /* leads back to the agent's own pid namespace */
    struct clone_args args = {.flags = flags | CLONE_PIDFD, .pidfd = (uintptr_t)pidfd, .exit_signal = SIGCHLD};
    if (cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup_fd;
    }
    if (pidns_fd >= 0) {
        if (self < 0 && (self = pidfd_open(getpid(), 0)) < 0)
            return -errno;
        if (setns(pidns_fd, CLONE_NEWPID) < 0)
            return -errno;
    }
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    int sys = errno;
    /* A failure here would put later children into this container. */
    if (pid != 0 && pidns_fd >= 0 && setns(self, CLONE_NEWPID) < 0)
        agent_log(AGENT_LOG_ERROR, "cannot return to the agent's pid namespace: %s", strerror(errno));
    return pid < 0 ? -sys : pid;
}

pid_t vca_fork(int *pidfd)
{
    return clone_into(0, -1, -1, pidfd);
}

void vca_end_child(pid_t pid, int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    int64_t deadline = vcs_now_ns() + KILL_TIMEOUT_NS;
    int r;
    /* By the descriptor: one that was made ahead may have ended long ago, and its number be another one's. */
    pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    do
        r = poll(&p, 1, vcs_poll_timeout(deadline));
    while (r < 0 && errno == EINTR);
    if (r > 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    else
        agent_log(AGENT_LOG_WARN, "process %d was killed and does not end", (int)pid);
}

/* ---- the socket ---- */

/* A process of the container may send SIGSTOP to one that joins it. */
static int is_stopped(int pidfd)
{
    siginfo_t si = {0};
    return waitid((idtype_t)P_PIDFD, (id_t)pidfd, &si, WSTOPPED | WNOHANG | WNOWAIT) == 0 && si.si_pid;
}

/* Wait for input: 0 or -errno. */
static int wait_message(int sync, int pidfd, int64_t deadline)
{
    struct pollfd p = {.fd = sync, .events = POLLIN};
    for (;;) {
        int left = vcs_poll_timeout(deadline);
        int r = poll(&p, 1, left > LOOK_MS ? LOOK_MS : left);
        if (r > 0)
            return 0;
        if (r < 0 && errno != EINTR)
            return -errno;
        if (is_stopped(pidfd))
            return -EINTR;
        if (!left)
            return -ETIMEDOUT;
    }
}

/* The next message: 1, or 0 at the end of the stream, or -errno. */
static int receive(int sync, int pidfd, struct vca_msg *msg, int *fd, int64_t deadline)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } ctl;
    int r = wait_message(sync, pidfd, deadline);
    if (r < 0)
        return r;
    struct iovec iov = {.iov_base = msg, .iov_len = sizeof(*msg)};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof(ctl.buf)};
    ssize_t n = recvmsg(sync, &h, MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == ECONNRESET ? 0 : -errno;
    if (n == 0)
        return 0;
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    *fd = -1;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(c), sizeof(*fd));
    if ((size_t)n != sizeof(*msg)) {
        close_fd(fd);
        return -EPROTO;
    }
    msg->fault.text[sizeof(msg->fault.text) - 1] = '\0';
    return 1;
}

/* Read messages until one of the kind `until` (0: the end of the stream).  A terminal's master goes to *tty. */
static int converse(int sync, int pidfd, int until, int *tty, struct vca_fault *f)
{
    int64_t deadline = vcs_now_ns() + (until ? SETUP_TIMEOUT_NS : JOIN_TIMEOUT_NS);
    for (;;) {
        struct vca_msg msg;
        int fd = -1, r = receive(sync, pidfd, &msg, &fd, deadline);
        if (r == -EINTR)
            return vca_fail_code(f, VCS_RPC_ABORTED, 0, "the process was stopped by another one during its set-up");
        if (r < 0)
            return vca_fail(f, -r, "the set-up of the process did not end");
        if (r == 0)
            return until ? vca_fail_code(f, VCS_RPC_INTERNAL, 0, "the process ended during its set-up") : 0;
        if (msg.kind == VCA_MSG_TERMINAL && fd >= 0 && tty && *tty < 0) {
            *tty = VCS_TAKE_FD(fd);
            continue;
        }
        close_fd(&fd);
        if (msg.kind == VCA_MSG_FAULT) {
            *f = msg.fault;
            return -1;
        }
        if (msg.kind == until)
            return 0;
        return vca_fail_code(f, VCS_RPC_INTERNAL, 0, "the set-up of the process sent an unknown message");
    }
}

int vca_spawn_go(int sync, int pidfd, struct vca_fault *f)
{
    if (send(sync, "g", 1, MSG_NOSIGNAL) != 1)
        return vca_fail_code(f, VCS_RPC_PRECONDITION, 0, "the container's init process has ended before it was started");
    return converse(sync, pidfd, 0, NULL, f);
}

int vca_spawn_order(int sync, int pidfd, const void *order, size_t n, int fd, struct vca_fault *f)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } ctl = {.buf = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)order, .iov_len = n};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof(ctl.buf)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    if (sendmsg(sync, &h, MSG_NOSIGNAL) != (ssize_t)n)
        return errno == EPIPE || errno == ECONNRESET ? -EPIPE : vca_fail(f, errno, "cannot hand the request on");
    return converse(sync, pidfd, VCA_MSG_READY, NULL, f);
}

/* ---- spawn ---- */

/* Three pipes: ours in ret, the child's in stdio. */
static int make_pipes(int *stdio, struct ctr_child *ret, struct vca_fault *f)
{
    int *ours[] = {&ret->in, &ret->out, &ret->err};
    for (int i = 0; i < 3; i++) {
        int p[2];
        if (pipe2(p, O_CLOEXEC) < 0)
            return vca_fail(f, errno, "cannot make the pipes of the process");
        *ours[i] = p[i == 0];
        stdio[i] = p[i != 0];
        /* Large pipes mean fewer wake-ups; standard error is not worth the memory.  The user's limit may refuse. */
        if (i < 2)
            fcntl(*ours[i], F_SETPIPE_SZ, PIPE_SIZE);
        if (vcs_set_nonblock(*ours[i], 1) < 0)
            return vca_fail(f, errno, "cannot set up the pipes of the process");
    }
    return 0;
}

static int talk(const struct vca_setup *s, int sync, int pidfd, struct ctr_child *ret, struct vca_fault *f)
{
    if (converse(sync, pidfd, s->spec ? VCA_MSG_READY : 0, ret->tty ? &ret->out : NULL, f) < 0)
        return -1;
    if (ret->tty && (ret->out < 0 || vcs_set_nonblock(ret->out, 1) < 0))
        return vca_fail_code(f, VCS_RPC_INTERNAL, 0, "the process did not send its terminal");
    return 0;
}

int vca_spawn(struct vca_setup *s, struct vca_spawn *sp, struct ctr_child *ret, struct vca_fault *f)
{
    int sv[2] = {-1, -1}, pidfd = -1, r = -1;
    *ret = (struct ctr_child){.pid = -1, .tty = s->process->terminal, .in = -1, .out = -1, .err = -1};
    s->stdio[0] = s->stdio[1] = s->stdio[2] = -1;
    if (!ret->tty && make_pipes(s->stdio, ret, f) < 0)
        goto out;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0) {
        vca_fail(f, errno, "cannot make a socket to the new process");
        goto out;
    }
    s->sync = sv[1];
    ret->pid = clone_into(sp->flags, sp->pidns_fd, sp->cgroup_fd, &pidfd);
    if (ret->pid == 0)
        vca_setup_run(s);
    close_fd(&sv[1]);
    if (ret->pid < 0) {
        int sys = -ret->pid;
        int gone = !s->spec && (sys == ESRCH || sys == ENOMEM); /* its pid namespace is dead */
        vca_fail_code(f, gone ? VCS_RPC_PRECONDITION : VCS_RPC_INTERNAL, sys,
                      gone ? "the container does not run" : "cannot make a process for the container");
        goto out;
    }
    r = talk(s, sv[0], pidfd, ret, f);
    if (r < 0)
        vca_end_child(ret->pid, pidfd);
out:
    for (int i = 0; i < 3; i++)
        close_fd(&s->stdio[i]);
    if (r < 0) {
        close_fd(&ret->in);
        close_fd(&ret->out);
        close_fd(&ret->err);
        ret->pid = -1;
    }
    if (r < 0 || !s->spec) {
        close_fd(&sv[0]);
        close_fd(&pidfd);
    }
    sp->sync = sv[0];
    sp->pidfd = pidfd;
    return r;
}

/* ---- the sandbox ---- */

static struct {
    pid_t pause;
    int pidfd;
    char hostname[65]; /* what to set back */
    int renamed;
} sandbox = {.pause = -1, .pidfd = -1};

int vca_sandbox_pidns(void)
{
    return sandbox.pidfd;
}

/* Init of the pid namespace that containers share: keeps it, and has its orphans reaped by the kernel. */
static _Noreturn void run_pause(void)
{
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    prctl(PR_SET_NAME, "vc-pause", 0, 0, 0);
    close_range(0, ~0U, 0);
    signal(SIGCHLD, SIG_IGN);
    /* It lives among the containers and in the guest's root: whoever gets hold of it gets no rights by it. */
    struct vca_caps none = {0};
    struct vca_fault f;
    if (vca_caps_bound(&none, &f) < 0 || setgroups(0, NULL) < 0 || setresgid(PAUSE_ID, PAUSE_ID, PAUSE_ID) < 0 ||
        setresuid(PAUSE_ID, PAUSE_ID, PAUSE_ID) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        _exit(1);
    for (;;)
        pause();
}

static int set_hostname(const char *name, struct agent_err *err)
{
    if (gethostname(sandbox.hostname, sizeof(sandbox.hostname)) < 0)
        sandbox.hostname[0] = '\0';
    /* The name of the machine is ours to change only where we are its init. */
    if (!agent_config.is_init && unshare(CLONE_NEWUTS) < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "cannot make a uts namespace for the sandbox");
    if (sethostname(name, strlen(name)) < 0)
        return agent_fail_errno(err, VCS_RPC_INVALID, errno, "cannot set the host name '%.100s'", name);
    sandbox.renamed = 1;
    return 0;
}

int ctr_sandbox_setup(const Agent__CreateSandboxRequest *req, struct agent_err *err)
{
    if (*req->hostname && set_hostname(req->hostname, err) < 0)
        return -1;
    if (!req->sandbox_pidns)
        return 0;
    pid_t pid = clone_into(CLONE_NEWPID | CLONE_CLEAR_SIGHAND, -1, -1, &sandbox.pidfd);
    if (pid == 0)
        run_pause();
    if (pid < 0) {
        ctr_sandbox_teardown();
        return agent_fail_errno(err, VCS_RPC_INTERNAL, -pid, "cannot make the pid namespace of the sandbox");
    }
    sandbox.pause = pid;
    return 0;
}

void ctr_sandbox_teardown(void)
{
    if (sandbox.pause > 0) {
        kill(sandbox.pause, SIGKILL);
        while (waitpid(sandbox.pause, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    sandbox.pause = -1;
    close_fd(&sandbox.pidfd);
    if (sandbox.renamed && sethostname(sandbox.hostname, strlen(sandbox.hostname)) == 0)
        sandbox.renamed = 0;
}
