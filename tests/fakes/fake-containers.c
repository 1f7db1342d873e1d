/* SPDX-License-Identifier: Apache-2.0 */
/* fake-containers.c: the container half of vc-agent, replaced: "containers" are ordinary processes without
 * any isolation, so that everything else of the agent can be tested without root and without a VM. */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "container.h"

#define MAX_PIDS 1024

struct ctr {
    char *program;
    int go;     /* write end: a byte lets init execute */
    int result; /* read end: errno of a failed execve */
    int paused;
    pid_t pids[MAX_PIDS];
    size_t n;
};

struct ctr_mounts {
    size_t n;
};

static const char *const drivers[] = {"local", NULL};
static const char *const types[] = {NULL};

void ctr_prepare_agent(int with_cgroups)
{
    (void)with_cgroups;
}

int ctr_prepare_ahead(const Agent__CreateContainerRequest *plan, struct agent_err *err)
{
    (void)plan, (void)err;
    return 0;
}

int ctr_sandbox_setup(const Agent__CreateSandboxRequest *req, struct agent_err *err)
{
    (void)req, (void)err;
    return 0;
}

void ctr_sandbox_teardown(void)
{
}

int ctr_storages_mount(Agent__Storage **storages, size_t n, struct ctr_mounts **ret, struct agent_err *err)
{
    if (n && strcmp(storages[0]->driver, "local") != 0)
        return agent_fail(err, VCS_RPC_INVALID, "storage driver \"%.40s\" is not known", storages[0]->driver);
    *ret = calloc(1, sizeof(**ret));
    return *ret ? 0 : agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
}

void ctr_storages_unmount(struct ctr_mounts *m)
{
    free(m);
}

const char *const *ctr_storage_drivers(void)
{
    return drivers;
}

const char *const *ctr_device_types(void)
{
    return types;
}

struct ends {
    int in[2], out[2], err[2], go[2], result[2], master, slave;
};

static int make_ends(struct ends *e, int tty)
{
    for (int *p = (int *)e; p < (int *)(e + 1); p++)
        *p = -1;
    if (pipe2(e->go, O_CLOEXEC) < 0 || pipe2(e->result, O_CLOEXEC) < 0)
        return -1;
    if (tty) {
        if (openpty(&e->master, &e->slave, NULL, NULL, NULL) < 0)
            return -1;
        fcntl(e->master, F_SETFD, FD_CLOEXEC);
        fcntl(e->slave, F_SETFD, FD_CLOEXEC);
        return 0;
    }
    return pipe2(e->in, O_CLOEXEC) < 0 || pipe2(e->out, O_CLOEXEC) < 0 || pipe2(e->err, O_CLOEXEC) < 0 ? -1 : 0;
}

static void close_ends(struct ends *e)
{
    for (int *p = (int *)e; p < (int *)(e + 1); p++)
        if (*p >= 0)
            close(*p);
}

/* In the child: never returns. */
static void child_main(struct ends *e, const Oci__Process *p, int tty)
{
    char c, *argv[64] = {NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (tty)
        ioctl(e->slave, TIOCSCTTY, 0);
    dup2(tty ? e->slave : e->in[0], 0);
    dup2(tty ? e->slave : e->out[1], 1);
    dup2(tty ? e->slave : e->err[1], 2);
    close(e->go[1]);
    if (read(e->go[0], &c, 1) != 1)
        _exit(126);
    for (size_t i = 0; i < p->n_args && i < 63; i++)
        argv[i] = p->args[i];
    int sys = ENOENT;
    if (argv[0]) {
        execvp(argv[0], argv);
        sys = errno;
    }
    if (write(e->result[1], &sys, sizeof(sys)) < 0)
        _exit(125);
    _exit(sys == ENOENT ? 127 : 126);
}

static void set_child(struct ctr_child *ret, struct ends *e, int tty, pid_t pid)
{
    *ret = (struct ctr_child){.pid = pid, .tty = tty, .in = -1, .out = -1, .err = -1};
    int *from[] = {&e->in[1], tty ? &e->master : &e->out[0], &e->err[0]};
    int *to[] = {&ret->in, &ret->out, &ret->err};
    for (int i = 0; i < 3; i++) {
        *to[i] = *from[i];
        *from[i] = -1;
        if (*to[i] >= 0)
            fcntl(*to[i], F_SETFL, O_NONBLOCK | fcntl(*to[i], F_GETFL));
    }
}

static int spawn(struct ctr *c, const Oci__Process *p, struct ctr_child *ret, int *ret_go, int *ret_result,
                 struct agent_err *err)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    /* The input of a fuzzer names the program: it is not to be run. */
    (void)c, (void)p, (void)ret, (void)ret_go, (void)ret_result, (void)make_ends, (void)child_main, (void)set_child,
        (void)close_ends;
    return agent_fail(err, VCS_RPC_PERM, "no process is made here");
#else
    struct ends e;
    int tty = p->terminal;
    pid_t pid = c->n < MAX_PIDS && make_ends(&e, tty) == 0 ? fork() : -1;
    if (pid < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "no process can be made");
    if (pid == 0)
        child_main(&e, p, tty);
    set_child(ret, &e, tty, pid);
    *ret_go = VCS_TAKE_FD(e.go[1]);
    *ret_result = VCS_TAKE_FD(e.result[0]);
    close_ends(&e);
    c->pids[c->n++] = pid;
    return 0;
#endif
}

static int let_go(int *go, int *result, const char *program, struct agent_err *err)
{
    int sys = 0;
    ssize_t n = write(*go, "x", 1);
    if (n == 1)
        n = read(*result, &sys, sizeof(sys));
    close(*go);
    close(*result);
    *go = *result = -1;
    if (n == 0)
        return 0;
    if (n < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "init of the container is gone");
    int code = sys == ENOENT || sys == ENOTDIR ? VCS_RPC_NOTFOUND : VCS_RPC_PERM;
    return agent_fail_errno(err, code, sys, "program %s cannot be executed", program);
}

int ctr_create(const Agent__CreateContainerRequest *req, struct ctr_child *ret_child, struct ctr **ret,
               struct agent_err *err)
{
    if (!req->oci->process)
        return agent_fail(err, VCS_RPC_INVALID, "the specification has no process");
    struct ctr *c = calloc(1, sizeof(*c));
    if (!c)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    c->program = strdup(req->oci->process->n_args ? req->oci->process->args[0] : "");
    if (!c->program || spawn(c, req->oci->process, ret_child, &c->go, &c->result, err) < 0) {
        free(c->program);
        free(c);
        return -1;
    }
    *ret = c;
    return 0;
}

int ctr_start(struct ctr *c, struct agent_err *err)
{
    return let_go(&c->go, &c->result, c->program, err);
}

int ctr_exec(struct ctr *c, const Oci__Process *process, const Agent__StringUser *user, struct ctr_child *ret_child,
             struct agent_err *err)
{
    int go, result;
    (void)user;
    if (c->paused)
        return agent_fail(err, VCS_RPC_PRECONDITION, "the container is paused");
    if (spawn(c, process, ret_child, &go, &result, err) < 0)
        return -1;
    if (let_go(&go, &result, process->n_args ? process->args[0] : "", err) == 0)
        return 0;
    c->n--;
    waitpid(ret_child->pid, NULL, 0);
    int fds[] = {ret_child->in, ret_child->out, ret_child->err};
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return -1;
}

int ctr_signal_all(struct ctr *c, int sig, struct agent_err *err)
{
    (void)err;
    for (size_t i = 0; i < c->n; i++)
        kill(-c->pids[i], sig);
    return 0;
}

int ctr_pause(struct ctr *c, struct agent_err *err)
{
    c->paused = 1;
    return ctr_signal_all(c, SIGSTOP, err);
}

int ctr_resume(struct ctr *c, struct agent_err *err)
{
    c->paused = 0;
    return ctr_signal_all(c, SIGCONT, err);
}

int ctr_update(struct ctr *c, const Oci__LinuxResources *resources, struct agent_err *err)
{
    (void)c, (void)resources, (void)err;
    return 0;
}

int ctr_stats(struct ctr *c, Agent__StatsContainerResponse *resp, struct agent_err *err)
{
    (void)c;
    resp->cgroup_stats = malloc(sizeof(*resp->cgroup_stats));
    if (!resp->cgroup_stats)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    agent__cgroup_stats__init(resp->cgroup_stats);
    return 0;
}

int ctr_list_pids(struct ctr *c, pid_t **ret, size_t *ret_n, struct agent_err *err)
{
    size_t n = 0;
    pid_t *pids = malloc(sizeof(*pids) * (c->n + 1));
    if (!pids)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    for (size_t i = 0; i < c->n; i++)
        if (kill(c->pids[i], 0) == 0)
            pids[n++] = c->pids[i];
    *ret = pids;
    *ret_n = n;
    return 0;
}

int ctr_oom_fd(const struct ctr *c)
{
    (void)c;
    return -1;
}

int ctr_oom_check(struct ctr *c)
{
    (void)c;
    return 0;
}

int ctr_destroy(struct ctr *c, struct agent_err *err)
{
    (void)err;
    if (c->go >= 0)
        close(c->go);
    if (c->result >= 0)
        close(c->result);
    free(c->program);
    free(c);
    return 0;
}
