/* SPDX-License-Identifier: Apache-2.0 */
/* attach.c: pipes into the streams of a process that runs already. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "pod.h"

#define PIPE_BYTES 65536

/* The two ends of the pipes: what the caller gets, and what the shim gets. */
struct ends {
    int mine[3];
    int32_t theirs[3];
};

static void close_all(int *fds)
{
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static int make_pipe(struct ends *e, int i, vc_error **err)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot make a pipe");
    e->mine[i] = p[i == 0];
    e->theirs[i] = p[i != 0];
    fcntl(e->theirs[i], F_SETPIPE_SZ, PIPE_BYTES); /* ordinary users may get less by default, or not more */
    /* Only the shim's end: it must never wait for us. */
    if (i > 0 && fcntl(e->theirs[i], F_SETFL, O_NONBLOCK) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot prepare a pipe");
    return 0;
}

/* The process whose streams are wanted: its shim can show them, and runs; it has a terminal or not. */
static int check_process(struct vci_pod *pod, const char *ctr, const char *exec_id, int64_t deadline, int *ret_terminal,
                         vc_error **err)
{
    struct vci_ctr *c = vci_pod_find(pod, ctr, err);
    if (!c)
        return vci_rc(err);
    struct vci_exec *x = exec_id && *exec_id ? vci_ctr_find_exec(pod, c, exec_id, err) : NULL;
    if (exec_id && *exec_id && !x)
        return vci_rc(err);
    const struct vc_proc *shim = x ? &x->shim : &c->shim;
    int lives = pod->boot_same && vci_proc_lives(shim);
    /* Before there was a VM, there is no instance to ask. */
    if ((lives || pod->saved[VC_KIND_SHIM]) && !vci_stack_get(pod, VC_KIND_SHIM, deadline, err))
        return vci_rc(err);
    if (pod->inst[VC_KIND_SHIM].handle && !(vci_stack_caps(pod, VC_KIND_SHIM) & VC_SHIM_CAP_ATTACH))
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0, "cannot attach to %s of pod \"%s\": shim \"%s\" cannot do that", ctr,
                        pod->dir.id, pod->plugin[VC_KIND_SHIM]);
    if (!lives)
        return vci_fail(err, VC_ERR_STATE, 0, "cannot attach to %s%s%s of pod \"%s\": %s", ctr, x ? "/" : "",
                        x ? x->id : "", pod->dir.id, shim->pid > 0 ? "it has ended" : "it has no process on the host");
    *ret_terminal = (x ? x->terminal : c->terminal) != 0;
    return 0;
}

static int attach(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, const char *exec_id,
                  uint32_t flags, struct ends *e, vc_error **err)
{
    int terminal = 0;
    int64_t deadline = vci_pod_deadline(ctx, "call_timeout");
    int rc = vci_check_flags("attach", flags, VC_ATTACH_STDIN, err);
    if (rc == 0)
        rc = vci_pod_open(pod, ctx, id, VCI_LOCK_NONE, err);
    if (rc == 0)
        rc = check_process(pod, ctr, exec_id, deadline, &terminal, err);
    for (int i = flags & VC_ATTACH_STDIN ? 0 : 1; rc == 0 && i < (terminal ? 2 : 3); i++)
        rc = make_pipe(e, i, err);
    if (rc < 0)
        return rc;
    pod->dir.cancellable = 1;
    return VCI_CALL(&pod->inst[VC_KIND_SHIM], deadline, err, shim, attach, ctr, exec_id ? exec_id : "", e->theirs);
}

int vc_container_attach(vc_context *ctx, const char *pod, const char *container, const char *exec_id, uint32_t flags,
                        int ret_fds[3], vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_fds, err);
    struct vci_pod p;
    struct ends e = { { -1, -1, -1 }, { -1, -1, -1 } };
    vc_error *error = NULL;
    vci_pod_init(&p, ctx);
    int rc = attach(&p, ctx, pod, container, exec_id, flags, &e, &error);
    vci_pod_close(&p);
    close_all(e.theirs);
    if (rc < 0)
        close_all(e.mine);
    for (int i = 0; rc == 0 && i < 3; i++)
        ret_fds[i] = e.mine[i];
    return vci_api_end(rc, error, err);
}
