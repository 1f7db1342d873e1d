/* SPDX-License-Identifier: Apache-2.0 */
/* set-pid.c: a process of the host that a caller puts in the place of a container's shim. */
#include <errno.h>
#include <unistd.h>

#include "lib/proc.h"
#include "pod.h"

static int set_pid(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, int32_t pid, vc_error **err)
{
    struct vci_ctr *c = NULL;
    struct vc_proc proc = { 0 };
    if (pid <= 1)
        return vci_fail(err, VC_ERR_INVAL, 0, "%d is not the id of a process that can stand for a container's", pid);
    if (pid == getpid())
        return vci_fail(err, VC_ERR_INVAL, 0, "process %d is the calling one: stopping container \"%s\" would kill it",
                        pid, ctr ? ctr : "");
    int rc = vci_pod_open_ctr(pod, ctx, id, ctr, VCI_LOCK_EXCLUSIVE, &c, err);
    if (rc == 0)
        rc = vci_ctr_must_be(pod, c, "set the process of", VCI_IS(VCI_READY) | VCI_IS(VCI_RUNNING) | VCI_IS(VCI_PAUSED),
                             VCI_IS(VCI_READY) | VCI_IS(VCI_RUNNING) | VCI_IS(VCI_PAUSED), err);
    if (rc == 0)
        rc = vci_pod_check_vm(pod, "set the process of a container", err); /* its first boot would forget it */
    if (rc < 0)
        return rc;
    /* A thread looks like a process there, but nobody can wait for it: it has no descriptor. */
    vcs_autoclose int fd = vcs_proc_identify(pid, &proc) < 0 || !vci_proc_lives(&proc) ? -ESRCH : vcs_proc_fd(&proc);
    if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
        return vci_fail(err, vci_code_of(-fd), -fd, "cannot look at process %d", pid);
    if (fd < 0)
        return vci_fail(err, VC_ERR_NOTFOUND, 0, "there is no process %d to stand for container \"%s\" of pod \"%s\"",
                        pid, ctr, id);
    /* The shim goes on, and must not be taken for one that nobody knows. */
    if (!c->pid_set)
        c->former = c->shim;
    c->pid_set = 1;
    c->shim = proc;
    return vci_pod_save(pod, err);
}

int vc_container_set_pid(vc_context *ctx, const char *pod, const char *container, int32_t pid, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod p;
    vc_error *e = NULL;
    vci_pod_init(&p, ctx);
    int rc = set_pid(&p, ctx, pod, container, pid, &e);
    vci_pod_close(&p);
    return vci_api_end(rc, e, err);
}
