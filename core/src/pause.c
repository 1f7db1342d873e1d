/* SPDX-License-Identifier: Apache-2.0 */
/* pause.c: pods and containers that stand still for a while, and go on.
 *
 * "paused" is recorded before the first processor is stopped, and "running" after the last one runs again: whatever is
 * interrupted between, the record says paused, and resuming is right, since both are idempotent. */
#include "pod.h"

/* ---- pods ---- */

static const char *const vm_states[] = { "none", "created", "running", "paused", "stopped" };

/* The VM is in that state, as the VMM itself says. */
static int vm_is(struct vci_pod *pod, uint32_t want, int64_t deadline, vc_error **err)
{
    uint32_t is = VC_VM_NONE;
    int rc = VCI_CALL(&pod->inst[VC_KIND_HYPERVISOR], deadline, err, hypervisor, vm_state, &is);
    if (rc < 0 || is == want)
        return rc;
    return vci_fail(err, VC_ERR_STATE, 0, "the virtual machine of pod \"%s\" is %s and should be %s", pod->dir.id,
                    is < sizeof vm_states / sizeof *vm_states ? vm_states[is] : "in a state that nobody knows",
                    vm_states[want]);
}

static int stop_processors(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    int rc = VCI_CALL(&pod->inst[VC_KIND_HYPERVISOR], deadline, err, hypervisor, vm_pause);
    vci_fault_point("vm-paused");
    return rc < 0 ? rc : vm_is(pod, VC_VM_PAUSED, deadline, err);
}

static int run_processors(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    int rc = VCI_CALL(&pod->inst[VC_KIND_HYPERVISOR], deadline, err, hypervisor, vm_resume);
    vci_fault_point("vm-resumed");
    return rc < 0 ? rc : vm_is(pod, VC_VM_RUNNING, deadline, err);
}

/* Open, lock and look at a pod that must be in that state, its hypervisor restored. */
static int open_pod(struct vci_pod *pod, vc_context *ctx, const char *id, const char *what, enum vci_state must,
                    vc_error **err)
{
    int rc = vci_pod_open(pod, ctx, id, VCI_LOCK_EXCLUSIVE, err);
    if (rc < 0)
        return rc;
    vci_pod_refresh(pod);
    rc = vci_pod_check_whole(pod, err);
    if (rc == 0 && pod->state != must)
        rc = vci_fail(err, VC_ERR_STATE, 0, "cannot %s pod \"%s\": it is %s and must be %s", what, id,
                      vci_state_name(pod->state), vci_state_name(must));
    struct vci_inst *hv = NULL;
    if (rc == 0 && !(hv = vci_stack_get(pod, VC_KIND_HYPERVISOR, vci_pod_deadline(ctx, "call_timeout"), err)))
        rc = vci_rc(err);
    if (rc == 0 && !(hv->caps & VC_HV_CAP_PAUSE))
        rc = vci_fail(err, VC_ERR_UNSUPPORTED, 0, "cannot %s pod \"%s\": hypervisor \"%s\" cannot pause", what, id,
                      pod->plugin[VC_KIND_HYPERVISOR]);
    return rc;
}

static int pod_pause(struct vci_pod *pod, vc_context *ctx, const char *id, vc_error **err)
{
    int rc = open_pod(pod, ctx, id, "pause", VCI_RUNNING, err);
    if (rc < 0)
        return rc;
    pod->state = VCI_PAUSED;
    rc = vci_pod_note(pod, err);
    vci_fault_point("pause-noted");
    if (rc < 0)
        return rc;
    rc = stop_processors(pod, vci_pod_deadline(ctx, "call_timeout"), err);
    if (rc == 0)
        rc = vci_pod_save(pod, err); /* with what the plugin keeps of it */
    vci_fault_point("pause-done");
    if (rc == 0)
        return 0;
    vci_autoerror vc_error *e = NULL;
    int r = run_processors(pod, vci_pod_deadline(ctx, "call_timeout"), &e);
    if (r == 0) {
        pod->state = VCI_RUNNING;
        r = vci_pod_save(pod, &e);
    }
    if (r < 0) /* it stays recorded as paused: resuming it can be tried again */
        vci_log(ctx, VC_LOG_ERROR, id, "undoing the pause of the pod: %s", vc_error_text(e));
    return rc;
}

int vc_pod_pause(vc_context *ctx, const char *id, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod pod;
    vc_error *e = NULL;
    vci_pod_init(&pod, ctx);
    int rc = pod_pause(&pod, ctx, id, &e);
    vci_pod_close(&pod);
    return vci_api_end(rc, e, err);
}

static int pod_resume(struct vci_pod *pod, vc_context *ctx, const char *id, vc_error **err)
{
    int rc = open_pod(pod, ctx, id, "resume", VCI_PAUSED, err);
    if (rc == 0)
        rc = run_processors(pod, vci_pod_deadline(ctx, "call_timeout"), err);
    if (rc < 0)
        return rc;
    pod->state = VCI_RUNNING;
    rc = vci_pod_save(pod, err);
    vci_fault_point("resume-done");
    if (rc == 0)
        return 0;
    vci_autoerror vc_error *e = NULL;
    if (stop_processors(pod, vci_pod_deadline(ctx, "call_timeout"), &e) < 0)
        vci_log(ctx, VC_LOG_ERROR, id, "undoing the resumption of the pod: %s", vc_error_text(e));
    return rc;
}

int vc_pod_resume(vc_context *ctx, const char *id, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod pod;
    vc_error *e = NULL;
    vci_pod_init(&pod, ctx);
    int rc = pod_resume(&pod, ctx, id, &e);
    vci_pod_close(&pod);
    return vci_api_end(rc, e, err);
}

/* ---- containers ---- */

static int open_ctr(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, const char *what,
                    enum vci_state must, struct vci_ctr **ret, vc_error **err)
{
    int rc = vci_pod_open_ctr(pod, ctx, id, ctr, VCI_LOCK_EXCLUSIVE, ret, err);
    if (rc == 0)
        rc = vci_ctr_must_be(pod, *ret, what, VCI_IS(VCI_RUNNING), VCI_IS(must), err);
    if (rc < 0)
        return rc;
    struct vci_inst *agent = vci_stack_agent(pod, vci_pod_deadline(ctx, "call_timeout"), err);
    if (!agent)
        return vci_rc(err);
    if (!(agent->caps & VC_AG_CAP_PAUSE))
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                        "cannot %s container \"%s\" of pod \"%s\": agent \"%s\" cannot pause", what, ctr, id,
                        pod->plugin[VC_KIND_AGENT]);
    return 0;
}

static int ctr_pause(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, vc_error **err)
{
    struct vci_ctr *c = NULL;
    int rc = open_ctr(pod, ctx, id, ctr, "pause", VCI_RUNNING, &c, err);
    if (rc < 0)
        return rc;
    struct vci_inst *agent = &pod->inst[VC_KIND_AGENT];
    c->state = VCI_PAUSED;
    rc = vci_pod_save(pod, err);
    vci_fault_point("pause-noted");
    if (rc < 0)
        return rc;
    rc = VCI_CALL(agent, vci_pod_deadline(ctx, "call_timeout"), err, agent, ctr_pause, ctr);
    vci_fault_point("container-paused");
    if (rc == 0)
        return 0;
    vci_autoerror vc_error *e = NULL;
    int r = VCI_CALL(agent, vci_pod_deadline(ctx, "call_timeout"), &e, agent, ctr_resume, ctr);
    if (r == 0 || r == VC_ERR_STATE) { /* STATE: nothing of it was done */
        vc_error_free(VCS_TAKE_PTR(e));
        c->state = VCI_RUNNING;
        r = vci_pod_save(pod, &e);
    }
    if (r < 0)
        vci_log(ctx, VC_LOG_ERROR, id, "undoing the pause of container %s: %s", ctr, vc_error_text(e));
    return rc;
}

int vc_container_pause(vc_context *ctx, const char *pod, const char *container, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod p;
    vc_error *e = NULL;
    vci_pod_init(&p, ctx);
    int rc = ctr_pause(&p, ctx, pod, container, &e);
    vci_pod_close(&p);
    return vci_api_end(rc, e, err);
}

/* One that is recorded as paused and is not, since its pause was interrupted, is refused by the agent: it is paused
 * first then. */
static int thaw(struct vci_pod *pod, struct vci_inst *agent, const char *ctr, vc_error **err)
{
    int rc = VCI_CALL(agent, vci_pod_deadline(pod->ctx, "call_timeout"), err, agent, ctr_resume, ctr);
    if (rc != VC_ERR_STATE ||
        VCI_CALL(agent, vci_pod_deadline(pod->ctx, "call_timeout"), NULL, agent, ctr_pause, ctr) < 0)
        return rc;
    vc_error_free(VCS_TAKE_PTR(*err));
    return VCI_CALL(agent, vci_pod_deadline(pod->ctx, "call_timeout"), err, agent, ctr_resume, ctr);
}

static int ctr_resume(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, vc_error **err)
{
    struct vci_ctr *c = NULL;
    int rc = open_ctr(pod, ctx, id, ctr, "resume", VCI_PAUSED, &c, err);
    if (rc < 0)
        return rc;
    struct vci_inst *agent = &pod->inst[VC_KIND_AGENT];
    rc = thaw(pod, agent, ctr, err);
    vci_fault_point("container-resumed");
    if (rc < 0)
        return rc;
    c->state = VCI_RUNNING;
    rc = vci_pod_save(pod, err);
    vci_fault_point("resume-done");
    vci_autoerror vc_error *e = NULL;
    if (rc < 0 && VCI_CALL(agent, vci_pod_deadline(ctx, "call_timeout"), &e, agent, ctr_pause, ctr) < 0)
        vci_log(ctx, VC_LOG_ERROR, id, "undoing the resumption of container %s: %s", ctr, vc_error_text(e));
    return rc;
}

int vc_container_resume(vc_context *ctx, const char *pod, const char *container, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod p;
    vc_error *e = NULL;
    vci_pod_init(&p, ctx);
    int rc = ctr_resume(&p, ctx, pod, container, &e);
    vci_pod_close(&p);
    return vci_api_end(rc, e, err);
}
