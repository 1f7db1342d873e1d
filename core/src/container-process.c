/* SPDX-License-Identifier: Apache-2.0 */
/* container-process.c: the processes of a container: exec, kill, wait, resize, status. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "lib/io.h"
#include "lib/proc.h"
#include "pod.h"

/* ---- exec ---- */

/* Forget the oldest ended process when there are very many, so that the record stays small. */
static void prune_execs(struct vci_pod *pod, struct vci_ctr *c)
{
    for (size_t i = 0; c->n_execs >= VCI_MAX_EXECS && i < c->n_execs; i++) {
        struct vci_exec *x = &c->execs[i];
        if (x->shim.pid > 0 && vcs_proc_alive(&x->shim))
            continue;
        vci_exit_remove(&pod->dir, c->id, x->id);
        free(x->id);
        memmove(x, x + 1, (c->n_execs - i - 1) * sizeof *x);
        c->n_execs--;
        return;
    }
}

static struct vci_exec *add_exec(struct vci_pod *pod, struct vci_ctr *c, const char *id, vc_error **err)
{
    prune_execs(pod, c);
    if (c->n_execs >= VCI_MAX_EXECS) {
        vci_fail(err, VC_ERR_RESOURCE, 0, "container \"%s\" of pod \"%s\" runs %d further processes already", c->id,
                 pod->dir.id, VCI_MAX_EXECS);
        return NULL;
    }
    struct vci_exec *list = realloc(c->execs, (c->n_execs + 1) * sizeof *list);
    if (list)
        c->execs = list;
    struct vci_exec *x = list ? &list[c->n_execs] : NULL;
    if (!x || !(x->id = strdup(id))) {
        vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
        return NULL;
    }
    c->n_execs++;
    x->shim = (struct vc_proc){ 0 };
    x->exit_status = -1;
    x->terminal = 0;
    return x;
}

static int check_running(const struct vci_pod *pod, const struct vci_ctr *c, const char *what, int ready_too,
                         vc_error **err)
{
    if (pod->state != VCI_RUNNING && !(ready_too && pod->state == VCI_READY))
        return vci_fail(err, VC_ERR_STATE, 0, "cannot %s in pod \"%s\": it is %s and must be %srunning", what,
                        pod->dir.id, vci_state_name(pod->state), ready_too ? "ready or " : "");
    if (c->state != VCI_RUNNING && !(ready_too && c->state == VCI_READY))
        return vci_fail(err, VC_ERR_STATE, 0,
                        "cannot %s in container \"%s\" of pod \"%s\": it is %s and must be %srunning", what, c->id,
                        pod->dir.id, vci_ctr_state_name(c), ready_too ? "ready or " : "");
    return 0;
}

int vci_pod_check_vm(const struct vci_pod *pod, const char *what, vc_error **err)
{
    if (pod->vm)
        return 0;
    return vci_fail(err, VC_ERR_STATE, 0, "cannot %s in pod \"%s\": its virtual machine boots only when the pod is started",
                    what, pod->dir.id);
}

static int start_exec(struct vci_pod *pod, struct vci_ctr *c, struct vci_exec *x,
                      const struct vc_process_config *config, vc_error **err)
{
    vcs_autofree char *text = NULL;
    int64_t deadline = vci_pod_deadline(pod->ctx, "call_timeout");
    int rc = vci_spec_process(config, &text, &x->terminal, err);
    if (rc < 0)
        return rc;
    struct vci_inst *agent = vci_stack_agent(pod, deadline, err);
    if (!agent)
        return vci_rc(err);
    vcs_autoclose int console = -1;
    const struct vci_limit until = vci_pod_limit(pod, deadline);
    if (config->console && (rc = vci_tty_open(config->console, &until, &console, err)) < 0)
        return rc;
    struct vc_exec exec = { .size = sizeof exec, .id = x->id, .process = { .data = text, .len = strlen(text) } };
    rc = VCI_CALL(agent, deadline, err, agent, exec, c->id, &exec);
    if (rc < 0)
        return rc;
    int32_t stdio[3] = { console, console, console };
    for (int i = 0; config->use_stdio && i < 3; i++)
        stdio[i] = i > 0 && config->stdio[i] <= 0 ? -1 : config->stdio[i];
    rc = vci_shim_start(pod, c->id, x->id, x->terminal, config->stdio_flags | (console >= 0 ? VC_STDIO_CONSOLE : 0u), stdio, deadline, &x->shim, err);
    if (rc < 0) {
        VCI_CALL(agent, deadline, NULL, agent, signal, c->id, x->id, 9, 0);
        vci_pod_end_lost_shims(pod);
    }
    return rc;
}

/* The container to enter when none is named. */
static struct vci_ctr *first_ctr(const struct vci_pod *pod, vc_error **err)
{
    if (pod->n_ctrs)
        return pod->ctrs[0];
    vci_fail(err, VC_ERR_NOTFOUND, 0, "pod \"%s\" has no container to run a process in", pod->dir.id);
    return NULL;
}

int vci_ctr_exec(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr,
                 const struct vc_process_config *config, char **ret_id, int32_t *ret_pid, vc_error **err)
{
    char made[13];
    if (!config)
        return vci_fail(err, VC_ERR_INVAL, 0, "there is no process to run");
    struct vc_process_config full;
    int rc = vci_check_process_config(config, err);
    if (rc == 0) {
        VCI_TAKE(&full, config);
        full.terminal |= full.console != NULL;
        config = &full;
        rc = vci_pod_open(pod, ctx, id, VCI_LOCK_EXCLUSIVE, err);
    }
    if (rc < 0)
        return rc;
    vci_pod_refresh(pod);
    rc = vci_pod_check_whole(pod, err);
    struct vci_ctr *c = rc < 0 ? NULL : ctr ? vci_pod_find(pod, ctr, err) : first_ctr(pod, err);
    if (!c)
        return vci_rc(err);
    rc = check_running(pod, c, "run a process", 0, err);
    if (rc < 0)
        return rc;
    vci_make_id(made, 12);
    made[12] = '\0';
    struct vci_exec *x = add_exec(pod, c, made, err);
    vcs_autofree char *copy = strdup(made);
    if (!x)
        return vci_rc(err);
    if (!copy)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    rc = start_exec(pod, c, x, config, err);
    if (rc < 0)
        return rc;
    rc = vci_pod_save(pod, err);
    if (rc < 0) { /* a process that nobody will know of must not run */
        x->shim.pid = 0;
        VCI_CALL(&pod->inst[VC_KIND_AGENT], vci_pod_deadline(ctx, "call_timeout"), NULL, agent, signal, c->id, made, 9,
                 0);
        vci_pod_end_lost_shims(pod);
        return rc;
    }
    *ret_pid = x->shim.pid;
    *ret_id = VCS_TAKE_PTR(copy);
    return 0;
}

static int run_in(vc_context *ctx, const char *pod, const char *container, const struct vc_process_config *process,
                  char **ret_exec_id, int32_t *ret_pid, vc_error **err)
{
    struct vci_pod p;
    vc_error *e = NULL;
    char *id = NULL;
    int32_t pid = 0;
    vci_pod_init(&p, ctx);
    int rc = vci_ctr_exec(&p, ctx, pod, container, process, &id, &pid, &e);
    vci_pod_close(&p);
    if (rc == 0 && ret_pid)
        *ret_pid = pid;
    if (rc == 0 && ret_exec_id)
        *ret_exec_id = id;
    else
        free(id);
    return vci_api_end(rc, e, err);
}

int vc_container_exec(vc_context *ctx, const char *pod, const char *container, const struct vc_process_config *process,
                      char **ret_exec_id, int32_t *ret_pid, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(container, err);
    return run_in(ctx, pod, container, process, ret_exec_id, ret_pid, err);
}

int vc_pod_enter(vc_context *ctx, const char *id, const struct vc_process_config *process, char **ret_exec_id,
                 int32_t *ret_pid, vc_error **err)
{
    VCI_NEED(ctx, err);
    return run_in(ctx, id, NULL, process, ret_exec_id, ret_pid, err);
}

/* ---- kill and resize: without the lock, since they change nothing that is recorded ---- */

static int open_process(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, const char *exec_id,
                        const char *what, struct vci_ctr **ret, vc_error **err)
{
    int rc = vci_pod_open(pod, ctx, id, VCI_LOCK_NONE, err);
    if (rc < 0)
        return rc;
    vci_pod_refresh(pod);
    struct vci_ctr *c = vci_pod_find(pod, ctr, err);
    if (!c || (exec_id && *exec_id && !vci_ctr_find_exec(pod, c, exec_id, err)))
        return vci_rc(err);
    *ret = c;
    rc = check_running(pod, c, what, 1, err);
    return rc < 0 ? rc : vci_pod_check_vm(pod, what, err);
}

static int ctr_kill(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, const char *exec_id,
                    int32_t sig, uint32_t flags, vc_error **err)
{
    struct vci_ctr *c = NULL;
    if (sig < 1 || sig > 64)
        return vci_fail(err, VC_ERR_INVAL, 0, "%d is not a signal: signals are 1 to 64", sig);
    int rc = vci_check_flags("kill", flags, VC_KILL_ALL, err);
    if (rc == 0 && flags & VC_KILL_ALL && exec_id && *exec_id)
        rc = vci_fail(err, VC_ERR_INVAL, 0, "either process \"%s\" or all of container \"%s\" can be sent a signal, not both", exec_id, ctr);
    if (rc < 0)
        return rc;
    rc = open_process(pod, ctx, id, ctr, exec_id, "signal a process", &c, err);
    if (rc < 0)
        return rc;
    int64_t deadline = vci_pod_deadline(ctx, "call_timeout");
    struct vci_inst *agent = vci_stack_agent(pod, deadline, err);
    if (!agent)
        return vci_rc(err);
    return VCI_CALL(agent, deadline, err, agent, signal, ctr, exec_id, sig, flags & VC_KILL_ALL ? VC_SIGNAL_ALL : 0);
}

int vc_container_kill(vc_context *ctx, const char *pod, const char *container, const char *exec_id, int32_t sig,
                      uint32_t flags, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod p;
    vc_error *e = NULL;
    vci_pod_init(&p, ctx);
    int rc = ctr_kill(&p, ctx, pod, container, exec_id, sig, flags, &e);
    vci_pod_close(&p);
    return vci_api_end(rc, e, err);
}

static int ctr_resize(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, const char *exec_id,
                      uint32_t rows, uint32_t cols, vc_error **err)
{
    struct vci_ctr *c = NULL;
    if (!rows || !cols || rows > 65535 || cols > 65535)
        return vci_fail(err, VC_ERR_INVAL, 0, "%u x %u is not a size of a terminal", rows, cols);
    int rc = open_process(pod, ctx, id, ctr, exec_id, "resize a terminal", &c, err);
    if (rc < 0)
        return rc;
    struct vci_exec *x = exec_id && *exec_id ? vci_ctr_find_exec(pod, c, exec_id, err) : NULL;
    if (!(x ? x->terminal : c->terminal))
        return vci_fail(err, VC_ERR_STATE, 0, "the process has no terminal (container \"%s\" of pod \"%s\")", ctr, id);
    int64_t deadline = vci_pod_deadline(ctx, "call_timeout");
    struct vci_inst *agent = vci_stack_agent(pod, deadline, err);
    if (!agent)
        return vci_rc(err);
    return VCI_CALL(agent, deadline, err, agent, tty_resize, ctr, exec_id, rows, cols);
}

int vc_container_resize(vc_context *ctx, const char *pod, const char *container, const char *exec_id, uint32_t rows,
                        uint32_t cols, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod p;
    vc_error *e = NULL;
    vci_pod_init(&p, ctx);
    int rc = ctr_resize(&p, ctx, pod, container, exec_id, rows, cols, &e);
    vci_pod_close(&p);
    return vci_api_end(rc, e, err);
}

/* ---- wait ---- */

/* A shim has ended: the status it left, what it exited with (as our child), or what is true when a VM dies. */
static int status_after(const struct vci_pod *pod, const char *ctr, const char *exec_id, int wait_status, int32_t *ret,
                        vc_error **err)
{
    int s = vci_exit_read(&pod->dir, ctr, exec_id);
    if (s == VC_ERR_RESOURCE)
        return vci_fail(err, s, EMFILE, "cannot read the exit status of container \"%s\" of pod \"%s\"", ctr, pod->dir.id);
    *ret = s >= 0 ? s : wait_status >= 0 ? vci_exit_of_wait(wait_status) : 255;
    return 0;
}

/* Until the shim has ended (0), the deadline (TIMEOUT) or a cancel. */
static int wait_shim(const struct vci_pod *pod, const struct vc_proc *shim, int64_t deadline, int *ret_status,
                     vc_error **err)
{
    vcs_autoclose int fd = vcs_proc_fd(shim);
    if (fd < 0 && fd != -ESRCH) /* no descriptor, say: that does not mean that it has ended */
        return vci_fail(err, vci_code_of(fd), fd, "cannot wait for process %d of pod \"%s\"", shim->pid, pod->dir.id);
    while (fd >= 0) {
        struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = pod->ctx->cancel_fd, .events = POLLIN } };
        int n = poll(p, 2, vcs_poll_timeout(deadline));
        if (n > 0 && p[0].revents)
            break;
        if (n > 0)
            return vci_fail(err, VC_ERR_CANCELLED, 0, "waiting for a process of pod \"%s\" was cancelled", pod->dir.id);
        if (n == 0 && vcs_poll_timeout(deadline) == 0)
            return VC_ERR_TIMEOUT;
        if (n < 0 && errno != EINTR)
            return vci_fail(err, VC_ERR_IO, errno, "cannot wait for process %d", shim->pid);
    }
    vcs_proc_wait(shim, 1, ret_status); /* it has ended: reap it when it is ours */
    return 0;
}

static int ctr_wait(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, const char *exec_id,
                    int64_t timeout_ms, int32_t *ret, vc_error **err)
{
    int rc = vci_pod_open(pod, ctx, id, VCI_LOCK_NONE, err);
    if (rc < 0)
        return rc;
    struct vci_ctr *c = vci_pod_find(pod, ctr, err);
    if (!c)
        return vci_rc(err);
    struct vci_exec *x = exec_id && *exec_id ? vci_ctr_find_exec(pod, c, exec_id, err) : NULL;
    if (exec_id && *exec_id && !x)
        return vci_rc(err);
    /* While it is removed or made again, there is that of its former life. */
    int known = x ? x->exit_status : c->state == VCI_STOPPED || c->state == VCI_MAKING ? c->exit_status : -1;
    if (known >= 0) {
        *ret = known;
        return 0;
    }
    if (!x && c->state == VCI_STOPPED)
        return vci_fail(err, VC_ERR_STATE, 0, "container \"%s\" of pod \"%s\" was stopped before it was started", ctr,
                        id);
    struct vc_proc shim = x ? x->shim : c->shim;
    int64_t deadline = timeout_ms < 0 ? 0 : vci_deadline_ms(timeout_ms);
    pod->dir.cancellable = 1;
    if (shim.pid > 0) {
        int wait_status = -1;
        rc = pod->boot_same ? wait_shim(pod, &shim, deadline, &wait_status, err) : 0;
        if (rc == VC_ERR_TIMEOUT)
            return vci_fail(err, VC_ERR_TIMEOUT, 0, "container \"%s\" of pod \"%s\" did not end within %lld ms", ctr,
                            id, (long long)timeout_ms);
        return rc < 0 ? rc : status_after(pod, ctr, exec_id, wait_status, ret, err);
    }
    vci_pod_refresh(pod);
    if (c->state == VCI_STOPPED || pod->state == VCI_STOPPED) {
        *ret = c->exit_status >= 0 ? c->exit_status : 255;
        return 0;
    }
    rc = vci_pod_check_vm(pod, "wait for a process", err);
    if (rc < 0)
        return rc;
    /* There is no shim: the agent knows. */
    struct vci_inst *agent = vci_stack_agent(pod, vci_pod_deadline(ctx, "call_timeout"), err);
    if (!agent)
        return vci_rc(err);
    int32_t status = 255;
    rc = VCI_CALL(agent, deadline, err, agent, wait, ctr, exec_id, &status);
    if (rc == 0)
        *ret = status;
    return rc;
}

int vc_container_wait(vc_context *ctx, const char *pod, const char *container, const char *exec_id, int64_t timeout_ms,
                      int32_t *ret_status, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod p;
    vc_error *e = NULL;
    int32_t status = -1;
    vci_pod_init(&p, ctx);
    int rc = ctr_wait(&p, ctx, pod, container, exec_id, timeout_ms, &status, &e);
    vci_pod_close(&p);
    if (rc == 0 && ret_status)
        *ret_status = status;
    return vci_api_end(rc, e, err);
}
