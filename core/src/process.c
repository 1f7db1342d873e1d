/* SPDX-License-Identifier: Apache-2.0 */
/* process.c: a shim's own connection to one process inside a VM.  Only the agent plugin is loaded. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "lib/io.h"
#include "pod.h"

#define OOM_MS 2000 /* for the agent to say whether memory was the reason */

struct vc_process {
    struct vci_pod pod;
    char container[129], exec_id[129];
};

static int process_open(vc_context *ctx, struct vc_process *p, const char *pod, const char *container,
                        const char *exec_id, vc_error **err)
{
    int rc = vci_pod_open(&p->pod, ctx, pod, VCI_LOCK_NONE, err);
    if (rc == 0 && !vci_pod_find(&p->pod, container, err))
        rc = vci_rc(err);
    if (rc == 0 && exec_id && *exec_id)
        rc = vci_check_id("exec id", exec_id, err);
    if (rc < 0)
        return rc;
    p->pod.dir.cancellable = 1;
    strncpy(p->container, container, sizeof p->container - 1);
    if (exec_id)
        strncpy(p->exec_id, exec_id, sizeof p->exec_id - 1);
    return vci_stack_agent(&p->pod, vci_pod_deadline(ctx, "call_timeout"), err) ? 0 : vci_rc(err);
}

int vc_process_open(vc_context *ctx, const char *pod, const char *container, const char *exec_id,
                    vc_process **ret_process, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_process, err);
    vc_error *e = NULL;
    struct vc_process *p = calloc(1, sizeof *p);
    if (!p)
        return vci_api_end(vci_fail(&e, VC_ERR_NOMEM, 0, "out of memory"), e, err);
    vci_pod_init(&p->pod, ctx);
    int rc = process_open(ctx, p, pod, container, exec_id, &e);
    if (rc < 0)
        vc_process_close(p);
    else
        *ret_process = p;
    malloc_trim(0); /* shims live long and there are many: what reading the record took goes back */
    return vci_api_end(rc, e, err);
}

int vc_process_streams(vc_process *process, int ret_fds[3], vc_error **err)
{
    VCI_NEED(process, err);
    VCI_NEED(ret_fds, err);
    vc_error *e = NULL;
    int32_t fds[3] = { -1, -1, -1 };
    struct vci_inst *agent = &process->pod.inst[VC_KIND_AGENT];
    int rc = VCI_CALL(agent, vci_pod_deadline(process->pod.ctx, "call_timeout"), &e, agent, stdio, process->container,
                      process->exec_id, fds);
    for (int i = 0; rc == 0 && i < 3; i++)
        ret_fds[i] = fds[i];
    return vci_api_end(rc, e, err);
}

int vc_process_signal(vc_process *process, int32_t sig, vc_error **err)
{
    VCI_NEED(process, err);
    vc_error *e = NULL;
    struct vci_inst *agent = &process->pod.inst[VC_KIND_AGENT];
    int rc = VCI_CALL(agent, vci_pod_deadline(process->pod.ctx, "call_timeout"), &e, agent, signal, process->container,
                      process->exec_id, sig, 0);
    return vci_api_end(rc, e, err);
}

int vc_process_resize(vc_process *process, uint32_t rows, uint32_t cols, vc_error **err)
{
    VCI_NEED(process, err);
    vc_error *e = NULL;
    struct vci_inst *agent = &process->pod.inst[VC_KIND_AGENT];
    int rc = VCI_CALL(agent, vci_pod_deadline(process->pod.ctx, "call_timeout"), &e, agent, tty_resize,
                      process->container, process->exec_id, rows, cols);
    return vci_api_end(rc, e, err);
}

int vc_process_wait(vc_process *process, int32_t *ret_status, vc_error **err)
{
    VCI_NEED(process, err);
    VCI_NEED(ret_status, err);
    vc_error *e = NULL;
    int32_t status = -1;
    struct vci_inst *agent = &process->pod.inst[VC_KIND_AGENT];
    int rc = VCI_CALL(agent, 0, &e, agent, wait, process->container, process->exec_id, &status);
    if (rc == 0)
        *ret_status = status;
    else if (rc == VC_ERR_PEER)
        *ret_status = 255;
    return vci_api_end(rc, e, err);
}

/* Was anything in its container ended for want of memory?  Asked only where SIGKILL was the end. */
static int saw_oom(vc_process *process)
{
    vci_autoerror vc_error *e = NULL;
    struct vc_container_stats *s = NULL;
    int64_t deadline = vci_pod_deadline(process->pod.ctx, "call_timeout"), soon = vci_deadline_ms(OOM_MS);
    if (!(process->pod.inst[VC_KIND_AGENT].caps & VC_AG_CAP_STATS) ||
        vci_stats_ask(&process->pod, process->container, deadline && deadline < soon ? deadline : soon, &s, &e) < 0)
        return 0;
    int oom = s->oom_kills > 0;
    vc_container_stats_free(s);
    return oom;
}

int vc_process_report(vc_process *process, int32_t status, vc_error **err)
{
    VCI_NEED(process, err);
    vc_error *e = NULL;
    int rc = status >= 0 && status <= 255
                 ? 0
                 : vci_fail(&e, VC_ERR_INVAL, 0, "%d is not an exit status: they are 0 to 255", status);
    if (rc == 0)
        rc = vci_exit_write(&process->pod.dir, process->container, process->exec_id, status, 0, &e);
    /* The status stands already: whoever is in a hurry to end this process loses nothing but the reason. */
    if (rc == 0 && status == 137 && !process->exec_id[0] && saw_oom(process))
        rc = vci_exit_write(&process->pod.dir, process->container, process->exec_id, status, 1, &e);
    return vci_api_end(rc, e, err);
}

void vc_process_close(vc_process *process)
{
    if (!process)
        return;
    vci_pod_close(&process->pod);
    free(process);
}
