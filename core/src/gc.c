/* SPDX-License-Identifier: Apache-2.0 */
/* gc.c: removing what killed callers left. */
#include <stdlib.h>
#include <string.h>

#include "lib/proc.h"
#include "pool.h"
#include "template.h"

struct sweep {
    vc_context *ctx;
    void (*report)(void *arg, const char *pod, const char *what);
    void *arg;
    size_t removed;
};

static void tell(struct sweep *s, const char *pod, const char *what)
{
    s->removed++;
    vci_log(s->ctx, VC_LOG_INFO, pod, "gc: %s", what);
    if (s->report)
        s->report(s->arg, pod, what);
}

/* Containers whose creation or removal was interrupted, in a pod that goes on. */
static int sweep_containers(struct sweep *s, struct vci_pod *pod, vc_error **err)
{
    int guest = pod->vm && !pod->died && pod->state != VCI_STOPPED, rc = 0;
    if (pod->state == VCI_PAUSED) /* its guest cannot answer, which would only be waited for: they go later */
        return 0;
    for (size_t i = pod->n_ctrs; rc == 0 && i-- > 0;) {
        struct vci_ctr *c = pod->ctrs[i];
        if (c->state != VCI_MAKING)
            continue;
        char what[200];
        snprintf(what, sizeof what, "removed the half-made container %s", c->id);
        rc = vci_ctr_unmake(pod, c, guest, vci_pod_deadline(s->ctx, "call_timeout"), err);
        if (rc < 0)
            return rc;
        vci_pod_drop(pod, c);
        rc = vci_pod_save(pod, err);
        if (rc == 0)
            tell(s, pod->dir.id, what);
    }
    return rc;
}

/* Why the pod must go; NULL when it may stay. */
static const char *why_remove(const struct vci_pod *pod)
{
    if (pod->op && strcmp(pod->op, "create") == 0)
        return "removed a pod whose creation was interrupted";
    if (pod->op && strcmp(pod->op, "run") == 0)
        return "removed a pod whose creation was interrupted";
    if (pod->op && strcmp(pod->op, "start") == 0)
        return "removed a pod whose start was interrupted";
    /* One that its owner has stopped before it ended stays, with its exit statuses, until it is deleted. */
    if ((pod->flags & VC_POD_OWNED) && (pod->vm || pod->state != VCI_STOPPED) &&
        (!pod->boot_same || !vcs_proc_alive(&pod->owner)))
        return "removed a pod whose owner is gone";
    return NULL;
}

static int sweep_pod(struct sweep *s, const char *id, vc_error **err)
{
    struct vci_pod pod;
    int rc = vci_pod_open(&pod, s->ctx, id, VCI_LOCK_TRY, err);
    if (rc == VC_ERR_NOTFOUND && pod.dir.run_path) { /* no record: half-made, or half-removed */
        vc_error_free(VCS_TAKE_PTR(*err));
        rc = vci_pod_do_delete(&pod, err);
        if (rc == 0)
            tell(s, id, "removed what was left of a pod");
    } else if (rc == VC_ERR_BUSY || rc == VC_ERR_NOTFOUND || rc == VC_ERR_CORRUPT || rc == VC_ERR_UNSUPPORTED) {
        /* in use, gone meanwhile, or not for us to judge: `delete` with force is for those */
        vci_log(s->ctx, VC_LOG_DEBUG, id, "gc: left alone: %s", vc_error_text(*err));
        vc_error_free(VCS_TAKE_PTR(*err));
        rc = 0;
    } else if (rc == 0) {
        vci_pod_refresh(&pod);
        const char *why = why_remove(&pod);
        if (why) {
            rc = vci_pod_do_delete(&pod, err);
            if (rc == 0)
                tell(s, id, why);
        } else if (pod.op) {
            rc = vci_pod_do_stop(&pod, 0, err);
            if (rc == 0)
                tell(s, id, "finished a stop that was interrupted");
        } else {
            rc = sweep_containers(s, &pod, err);
            if (rc == 0 && pod.boot_same && vci_pod_end_lost_shims(&pod))
                tell(s, id, "ended the shim of a process that was never recorded");
        }
    }
    vci_pod_close(&pod);
    return rc;
}

static void pool_removed(void *arg, const char *id, const char *what)
{
    tell(arg, id, what);
}

int vc_gc(vc_context *ctx, void (*report)(void *arg, const char *pod, const char *what), void *arg, size_t *ret_removed,
          vc_error **err)
{
    VCI_NEED(ctx, err);
    struct sweep s = { .ctx = ctx, .report = report, .arg = arg };
    vc_error *e = NULL;
    char **ids = NULL;
    size_t n = 0;
    int rc = vci_store_list(ctx, &ids, &n, &e);
    for (size_t i = 0; ids && i < n; i++) {
        vc_error *one = NULL;
        int r = sweep_pod(&s, ids[i], &one);
        if (r < 0 && rc == 0) { /* go on with the others; the first failure is the answer */
            rc = r;
            vci_context_pod(&one, ids[i]);
            e = VCS_TAKE_PTR(one);
        }
        vc_error_free(one);
    }
    vci_store_list_free(ids, n);
    /* Then what no pod can use any more: first VMs of the pool, then templates. */
    vc_error *one = NULL;
    size_t templates = 0;
    int r = vci_pool_gc(ctx, pool_removed, &s, &one);
    if (r == 0)
        r = vc_template_gc(ctx, report, arg, &templates, &one);
    s.removed += templates;
    if (r < 0 && rc == 0) {
        rc = r;
        e = VCS_TAKE_PTR(one);
    }
    vc_error_free(one);
    if (rc == 0 && ret_removed)
        *ret_removed = s.removed;
    return vci_api_end(rc, e, err);
}
