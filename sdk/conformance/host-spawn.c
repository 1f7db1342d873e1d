/* SPDX-License-Identifier: Apache-2.0 */
/* host-spawn.c: the spawn service and the record of what a pod has outside the process.
 *
 * A child waits at a gate until it is on record; the record is also kept in a file, DIR/ledger, so that a process that
 * takes the pod over knows what its predecessor made, however that one ended. */
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

#include "conformance/watch.h"
#include "lib/io.h"
#include "lib/proc.h"

#define FDS_MAX 64

/* Without peers (a build for one test of the tool) there is nothing to replace. */
char **vct_peer_program(struct vct_pod *pod, const struct vc_spawn *sp) __attribute__((weak));

/* ---- the record ---- */

static void note(struct vct_pod *pod, const char *fmt, ...) VCS_PRINTF(2, 3);
static void note(struct vct_pod *pod, const char *fmt, ...)
{
    char path[4200], line[4300];
    if (!pod->dir || snprintf(path, sizeof(path), "%s/ledger", pod->dir) >= (int)sizeof(path))
        return;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    vcs_autoclose int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || n <= 0 || (size_t)n >= sizeof(line) || vcs_write_full(fd, line, (size_t)n) < 0)
        vct_note(pod->t, "the record of pod %s cannot be written", pod->id);
}

static int proc_add(struct vct_pod *pod, const struct vc_proc *proc)
{
    vct_lock();
    int full = pod->n_procs == VCT_PROCS;
    if (!full)
        pod->procs[pod->n_procs++] = *proc;
    vct_unlock();
    return full ? VC_E_RESOURCE : VC_OK;
}

static int proc_del(struct vct_pod *pod, const struct vc_proc *proc)
{
    int r = VC_E_NOTFOUND;
    vct_lock();
    for (size_t i = 0; i < pod->n_procs && r; i++)
        if (pod->procs[i].pid == proc->pid && pod->procs[i].start_ticks == proc->start_ticks) {
            pod->procs[i] = pod->procs[--pod->n_procs];
            r = VC_OK;
        }
    vct_unlock();
    return r;
}

static int res_add(struct vct_pod *pod, uint32_t type, const char *name)
{
    char *copy = strdup(name);
    vct_lock();
    struct vct_res *res = copy ? realloc(pod->res, (pod->n_res + 1) * sizeof(*res)) : NULL;
    if (res) {
        pod->res = res;
        res[pod->n_res++] = (struct vct_res){ .type = type, .name = copy };
    }
    vct_unlock();
    if (!res)
        free(copy);
    return res ? VC_OK : VC_E_NOMEM;
}

static int res_del(struct vct_pod *pod, uint32_t type, const char *name)
{
    int r = VC_E_NOTFOUND;
    vct_lock();
    for (size_t i = pod->n_res; i-- > 0 && r;)
        if (pod->res[i].type == type && strcmp(pod->res[i].name, name) == 0) {
            free(pod->res[i].name);
            memmove(pod->res + i, pod->res + i + 1, (--pod->n_res - i) * sizeof(*pod->res));
            r = VC_OK;
        }
    vct_unlock();
    return r;
}

/* Record a process. */
int vct_ledger_proc(struct vct_pod *pod, const struct vc_proc *proc)
{
    int r = proc_add(pod, proc);
    if (r == VC_OK)
        note(pod, "+proc %d %llu\n", proc->pid, (unsigned long long)proc->start_ticks);
    return r;
}

/* Forget a process. */
int vct_ledger_proc_done(struct vct_pod *pod, const struct vc_proc *proc)
{
    int r = proc_del(pod, proc);
    if (r == VC_OK)
        note(pod, "-proc %d %llu\n", proc->pid, (unsigned long long)proc->start_ticks);
    return r;
}

/* Record a thing outside. */
int vct_ledger_res(struct vct_pod *pod, uint32_t type, const char *name)
{
    int r = res_add(pod, type, name);
    if (r == VC_OK)
        note(pod, "+res %u %s\n", type, name);
    if (r == VC_OK && type == VC_RES_CGROUP)
        vct_tell_group(pod->t, '+', name);
    return r;
}

/* Forget a thing outside. */
int vct_ledger_res_done(struct vct_pod *pod, uint32_t type, const char *name)
{
    int r = res_del(pod, type, name);
    if (r == VC_OK)
        note(pod, "-res %u %s\n", type, name);
    if (r == VC_OK && type == VC_RES_CGROUP)
        vct_tell_group(pod->t, '-', name);
    return r;
}

/* Take over what another process recorded for the pod. */
void vct_ledger_read(struct vct_pod *pod)
{
    char path[4200], line[4300];
    snprintf(path, sizeof(path), "%s/ledger", pod->dir);
    vcs_autofclose FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        int pid, at = 0;
        unsigned type;
        unsigned long long ticks;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line + 1, "proc %d %llu", &pid, &ticks) == 2) {
            struct vc_proc p = { .pid = pid, .start_ticks = ticks };
            if (line[0] == '+')
                proc_add(pod, &p);
            else
                proc_del(pod, &p);
        } else if (sscanf(line + 1, "res %u %n", &type, &at) == 1 && at) {
            if (line[0] == '+')
                res_add(pod, type, line + 1 + at);
            else
                res_del(pod, type, line + 1 + at);
        }
    }
}

/* ---- ends of processes ---- */

int vct_has_ended(const struct vc_proc *p, int ms)
{
    vcs_autoclose int fd = vcs_proc_fd(p);
    struct pollfd pf = { .fd = fd, .events = POLLIN };
    return fd == -ESRCH || (fd >= 0 && poll(&pf, 1, ms) == 1);
}

const char *vct_how_ended(const struct vc_proc *p)
{
    static _Thread_local char text[96];
    siginfo_t si = { 0 };
    uint64_t ticks;
    char state;
    text[0] = '\0';
    if (vcs_proc_stat(p->pid, &ticks, &state) < 0 || ticks != p->start_ticks || state != 'Z' ||
        waitid(P_PID, (id_t)p->pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid != p->pid)
        return text;
    const char *name = si.si_code == CLD_EXITED ? NULL : sigabbrev_np(si.si_status);
    if (name)
        snprintf(text, sizeof(text), " by SIG%s (%s)", name, sigdescr_np(si.si_status));
    else
        snprintf(text, sizeof(text), " %s %d", si.si_code == CLD_EXITED ? "with exit status" : "by signal", si.si_status);
    return text;
}

/* ---- spawn ---- */

/* What the child reports when it cannot execute the program. */
enum { STEP_FDS = 1, STEP_NETNS, STEP_SESSION, STEP_CTTY, STEP_EXEC };
struct report {
    int32_t step, sys;
};

struct plan {
    const struct vc_spawn *sp;
    const char *path;
    char *const *argv;
    char *const *envp;
    int gate;
};

_Noreturn static void child_end(int gate, int step)
{
    struct report r = { .step = step, .sys = errno };
    while (write(gate, &r, sizeof(r)) < 0 && errno == EINTR)
        ;
    syscall(SYS_exit_group, 127);
    __builtin_unreachable();
}

/* Descriptors to their places, the rest closed; the gate is the one after the handed ones, the namespace follows. */
static int child_fds(const struct plan *p)
{
    const struct vc_spawn *sp = p->sp;
    int base = 3 + (int)sp->n_fds, high = base + 2, moved[3 + FDS_MAX];
    int gate = fcntl(p->gate, F_DUPFD_CLOEXEC, high);
    int ns = sp->netns_fd >= 0 ? fcntl(sp->netns_fd, F_DUPFD_CLOEXEC, high) : -1;
    for (int i = 0; i < base; i++) {
        int from = i < 3 ? sp->stdio[i] : sp->fds[i - 3];
        int null = from < 0 ? (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC) : -1;
        moved[i] = fcntl(from < 0 ? null : from, F_DUPFD_CLOEXEC, high);
        if (moved[i] < 0)
            child_end(gate, STEP_FDS);
        if (null >= 0)
            close(null);
    }
    for (int i = 0; i < base; i++)
        if (dup2(moved[i], i) < 0)
            child_end(gate, STEP_FDS);
    if (dup3(gate, base, O_CLOEXEC) < 0 || (ns >= 0 && dup3(ns, base + 1, O_CLOEXEC) < 0))
        child_end(gate, STEP_FDS);
    int first = ns >= 0 ? high : base + 1;
    if (syscall(SYS_close_range, first, ~0u, 0u) < 0)
        for (int fd = first; fd < 65536; fd++) /* a kernel before 5.9 */
            close(fd);
    return base;
}

_Noreturn static void child(const struct plan *p)
{
    const struct vc_spawn *sp = p->sp;
    int gate = child_fds(p);
    char go;
    ssize_t n;
    do
        n = read(gate, &go, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        child_end(gate, STEP_SESSION); /* nobody has it on record */
    if (sp->netns_fd >= 0 && setns(gate + 1, CLONE_NEWNET) < 0)
        child_end(gate, STEP_NETNS);
    if (!(sp->flags & VC_SPAWN_SAME_SESSION) && syscall(SYS_setsid) < 0)
        child_end(gate, STEP_SESSION);
    if ((sp->flags & VC_SPAWN_CTTY) && ioctl(0, TIOCSCTTY, 0) < 0)
        child_end(gate, STEP_CTTY);
    if (syscall(SYS_chdir, "/") < 0)
        child_end(gate, STEP_SESSION);
    static const uint64_t dfl[8]; /* the kernel's form of SIG_DFL */
    for (int sig = 1; sig < _NSIG; sig++)
        syscall(SYS_rt_sigaction, sig, dfl, NULL, (size_t)_NSIG / 8);
    static const uint64_t none;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, (size_t)_NSIG / 8);
    syscall(SYS_execve, p->path, p->argv, p->envp);
    child_end(gate, STEP_EXEC);
}

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int refuse(struct vc_err *err, int code, const char *fmt, ...) VCS_PRINTF(3, 4);
static int refuse(struct vc_err *err, int code, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return vct_err_fill(err, code, 0, "spawn: %s", text);
}

static int check_spawn(const struct vc_spawn *sp, struct vc_err *err)
{
    if (sp->size < offsetof(struct vc_spawn, cgroup) + sizeof(sp->cgroup))
        return refuse(err, VC_E_INVAL, "the size of its parameters is %u, the contract has %zu", sp->size, sizeof(*sp));
    if (!sp->path || sp->path[0] != '/')
        return refuse(err, VC_E_INVAL, "\"%.200s\" is not an absolute path", sp->path ? sp->path : "");
    if (!sp->argv || !sp->argv[0])
        return refuse(err, VC_E_INVAL, "%.200s has no argv[0]", sp->path);
    if (sp->n_fds > FDS_MAX || (sp->n_fds && !sp->fds))
        return refuse(err, VC_E_INVAL, "%.200s cannot be given %u descriptors", sp->path, sp->n_fds);
    if ((sp->flags & ~(uint32_t)(VC_SPAWN_SAME_SESSION | VC_SPAWN_CTTY)) || sp->reserved)
        return refuse(err, VC_E_INVAL, "%.200s: flags 0x%x or reserved %d are not of this contract", sp->path,
                      sp->flags, sp->reserved);
    if ((sp->flags & VC_SPAWN_SAME_SESSION) && (sp->flags & VC_SPAWN_CTTY))
        return refuse(err, VC_E_INVAL, "%.200s cannot both stay in the session and get a terminal of its own",
                      sp->path);
    for (uint32_t i = 0; i < sp->n_fds; i++)
        if (!is_open(sp->fds[i]))
            return refuse(err, VC_E_INVAL, "%.200s: fds[%u] (%d) is no open descriptor", sp->path, i, sp->fds[i]);
    for (int i = 0; i < 3; i++)
        if (sp->stdio[i] >= 0 && !is_open(sp->stdio[i]))
            return refuse(err, VC_E_INVAL, "%.200s: stdio[%d] (%d) is no open descriptor", sp->path, i, sp->stdio[i]);
    if (sp->netns_fd >= 0 && !is_open(sp->netns_fd))
        return refuse(err, VC_E_INVAL, "%.200s: netns_fd (%d) is no open descriptor", sp->path, sp->netns_fd);
    if (sp->cgroup)
        return refuse(err, VC_E_UNSUPPORTED, "%.200s cannot be put into cgroup \"%.200s\"", sp->path, sp->cgroup);
    return VC_OK;
}

/* Keep the words of a spawn for the checks that look at them. */
static void keep_argv(struct vct_pod *pod, const struct vc_spawn *sp)
{
    vct_lock();
    pod->spawned++;
    for (const char *const *a = sp->argv; *a; a++)
        vcs_buf_append(&pod->argv, *a, strlen(*a) + 1);
    vcs_buf_append(&pod->argv, "", 1);
    vct_unlock();
}

/* Put a process that waits at the gate on record and let it go on. */
static int release(struct vct_pod *pod, pid_t pid, int gate, const char *path, struct vc_proc *out, struct vc_err *err)
{
    struct vc_proc proc;
    struct report rep = { 0 };
    if (vcs_proc_identify(pid, &proc) < 0)
        return refuse(err, VC_E_IO, "%.200s: its process cannot be looked at", path);
    int r = vct_ledger_proc(pod, &proc);
    if (r)
        return refuse(err, r, "%.200s: more than %d processes", path, VCT_PROCS);
    ssize_t n = send(gate, "g", 1, MSG_NOSIGNAL) == 1 ? vcs_read_full(gate, &rep, sizeof(rep)) : -1;
    if (n == 0) {
        *out = proc;
        return VC_OK;
    }
    vct_ledger_proc_done(pod, &proc);
    if (n != (ssize_t)sizeof(rep))
        return refuse(err, VC_E_IO, "cannot start %.200s: its process did not report", path);
    int code = rep.sys == ENOENT ? VC_E_NOTFOUND : rep.sys == EACCES || rep.sys == EPERM ? VC_E_PERM : VC_E_IO;
    static const char *const steps[] = { "",
                                         "its descriptors cannot be set up",
                                         "its network namespace cannot be entered",
                                         "no new session",
                                         "its standard input cannot be its controlling terminal",
                                         "it cannot be executed" };
    refuse(err, code, "cannot start %.200s: %s: %s", path,
           rep.step > 0 && rep.step <= STEP_EXEC ? steps[rep.step] : "?", strerror(rep.sys));
    if (err)
        err->sys = rep.sys;
    return code;
}

/* The spawn service. */
int vct_spawn(struct vct_pod *pod, const struct vc_spawn *sp, struct vc_proc *out, struct vc_err *err)
{
    static char *const default_env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    int r = check_spawn(sp, err);
    if (r)
        return r;
    keep_argv(pod, sp);
    struct plan plan = {
        .sp = sp,
        .path = sp->path,
        .argv = (char *const *)(uintptr_t)sp->argv,
        .envp = sp->envp ? (char *const *)(uintptr_t)sp->envp : default_env,
    };
    char **peer = vct_peer_program ? vct_peer_program(pod, sp) : NULL;
    if (peer && peer[0]) {
        plan.path = peer[0];
        plan.argv = peer;
    }
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return vct_err_fill(err, VC_E_RESOURCE, errno, "spawn: cannot start %.200s: no descriptor left", sp->path);
    plan.gate = ends[1];
    uint64_t all = ~UINT64_C(0), old = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, (size_t)_NSIG / 8);
#if defined(__s390__)
    pid_t pid = (pid_t)syscall(SYS_clone, NULL, SIGCHLD, NULL, NULL, NULL);
#else
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
#endif
    if (pid == 0)
        child(&plan);
    int sys = errno;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, (size_t)_NSIG / 8);
    close(ends[1]);
    r = pid < 0 ? vct_err_fill(err, VC_E_RESOURCE, sys, "spawn: cannot start %.200s: no process left", sp->path)
                : release(pod, pid, ends[0], sp->path, out, err);
    close(ends[0]);
    while (r && pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return r;
}
