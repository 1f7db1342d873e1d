/* SPDX-License-Identifier: Apache-2.0 */
/* events-view.c: views of a pod, and the events that lead from one to the next.
 *
 * Nobody notes what happens to pods; their records say how they are.  Between two looks more than one thing may have
 * happened.  What must have happened is told in the order in which it did: a pod that is there and runs was created and
 * started.  What left no trace (paused and resumed) is not told. */
#include "events.h"

#include <stdlib.h>
#include <string.h>

/* ---- views ---- */

static int same_proc(const struct vc_proc *a, const struct vc_proc *b)
{
    return a->pid == b->pid && a->start_ticks == b->start_ticks;
}

static void ctr_done(struct vci_view_ctr *c)
{
    for (size_t i = 0; i < c->n_execs; i++)
        free(c->execs[i].id);
    free(c->execs);
    free(c->id);
}

void vci_view_free(struct vci_view *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->n_ctrs; i++)
        ctr_done(&v->ctrs[i]);
    free(v->ctrs);
    free(v);
}

static const struct vci_view_ctr *find_ctr(const struct vci_view *v, const char *id)
{
    for (size_t i = 0; v && i < v->n_ctrs; i++)
        if (strcmp(v->ctrs[i].id, id) == 0)
            return &v->ctrs[i];
    return NULL;
}

static int is_up(enum vci_state s)
{
    return s == VCI_RUNNING || s == VCI_PAUSED;
}

/* The status of a process whose shim has ended. */
static int32_t status_of(const struct vci_pod *pod, const char *ctr, const char *exec_id)
{
    int s = vci_exit_read(&pod->dir, ctr, exec_id);
    return s >= 0 ? s : 255;
}

static int add_execs(struct vci_view_ctr *v, const struct vci_pod *pod, const struct vci_ctr *c)
{
    if (c->n_execs && !(v->execs = calloc(c->n_execs, sizeof *v->execs)))
        return -1;
    for (size_t i = 0; i < c->n_execs; i++) {
        const struct vci_exec *x = &c->execs[i];
        struct vci_view_exec *e = &v->execs[i];
        *e = (struct vci_view_exec){ .id = strdup(x->id), .shim = x->shim, .status = x->exit_status };
        if (!e->id)
            return -1;
        v->n_execs++;
        if (e->status < 0 && x->shim.pid > 0 && (!pod->boot_same || !vci_proc_lives(&x->shim)))
            e->status = status_of(pod, c->id, x->id);
        else if (e->status < 0 && c->state == VCI_STOPPED)
            e->status = 255;
    }
    return 0;
}

/* One that is being removed, or made again: as it was, but its process may have ended meanwhile. */
static int add_leaving(struct vci_view_ctr *v, const struct vci_pod *pod, const struct vci_ctr *c, const struct vci_view_ctr *was)
{
    *v = (struct vci_view_ctr){ .id = strdup(was->id),
                                .state = was->state,
                                .created_ns = was->created_ns,
                                .started_ns = was->started_ns,
                                .shim = was->shim,
                                .status = was->status,
                                .oom = was->oom };
    if (!v->id || (was->n_execs && !(v->execs = calloc(was->n_execs, sizeof *v->execs))))
        return -1;
    for (; v->n_execs < was->n_execs; v->n_execs++) {
        struct vci_view_exec *e = &v->execs[v->n_execs];
        *e = was->execs[v->n_execs];
        if (!(e->id = strdup(e->id)))
            return -1;
        if (e->status < 0 && e->shim.pid > 0 && !vci_proc_lives(&e->shim))
            e->status = status_of(pod, v->id, e->id);
    }
    if (v->shim.pid <= 0 || vci_proc_lives(&v->shim))
        return 0;
    v->shim = (struct vc_proc){ 0 };
    if (is_up(v->state)) {
        v->state = VCI_STOPPED;
        int noted = c->exit_status >= 0; /* its file may be gone */
        v->status = noted ? c->exit_status : status_of(pod, v->id, NULL);
        v->oom = noted ? c->oom_killed : v->status == 137 && vci_exit_oom(&pod->dir, v->id, NULL);
    }
    return 0;
}

static int add_ctr(struct vci_view *v, const struct vci_pod *pod, const struct vci_ctr *c,
                   const struct vci_view *before)
{
    struct vci_view_ctr *n = &v->ctrs[v->n_ctrs];
    if (c->state == VCI_MAKING) {
        const struct vci_view_ctr *was = find_ctr(before, c->id);
        if (!was || was->created_ns != c->created_ns)
            return 0; /* half-made: it is not there yet */
        v->n_ctrs++;
        return add_leaving(n, pod, c, was);
    }
    *n = (struct vci_view_ctr){ .id = strdup(c->id),
                                .state = c->state,
                                .created_ns = c->created_ns,
                                .started_ns = c->started_ns,
                                .shim = c->shim,
                                .status = c->state == VCI_STOPPED ? c->exit_status : -1,
                                .oom = c->oom_killed };
    v->n_ctrs++;
    return n->id ? add_execs(n, pod, c) : -1;
}

struct vci_view *vci_view_new(const struct vci_pod *pod, const struct vci_view *before)
{
    struct vci_view *v = calloc(1, sizeof *v);
    if (!v)
        return NULL;
    v->state = pod->state;
    v->created_ns = pod->created_ns;
    v->died = pod->died;
    if (pod->vm && pod->n_vmm)
        v->vmm = pod->vmm[0];
    int bad = pod->n_ctrs && !(v->ctrs = calloc(pod->n_ctrs, sizeof *v->ctrs));
    for (size_t i = 0; !bad && i < pod->n_ctrs; i++)
        bad = add_ctr(v, pod, pod->ctrs[i], before) < 0;
    if (bad) {
        vci_view_free(v);
        return NULL;
    }
    return v;
}

/* ---- the queue ---- */

int vci_queue_add(struct vci_queue *q, uint32_t type, const char *pod, const char *ctr, const char *exec_id,
                  int32_t status)
{
    if (q->n && q->first && q->first + q->n == q->room) {
        memmove(q->list, q->list + q->first, q->n * sizeof *q->list);
        q->first = 0;
    }
    if (q->first + q->n == q->room) {
        size_t room = q->room ? q->room * 2 : 16;
        struct vc_event **more = realloc(q->list, room * sizeof *more);
        if (!more)
            return -1;
        q->list = more;
        q->room = room;
    }
    size_t a = strlen(pod) + 1, b = strlen(ctr ? ctr : "") + 1, c = strlen(exec_id ? exec_id : "") + 1;
    struct vc_event *e = malloc(sizeof *e + a + b + c);
    if (!e)
        return -1;
    char *text = (char *)(e + 1);
    memcpy(text, pod, a);
    memcpy(text + a, ctr ? ctr : "", b);
    memcpy(text + a + b, exec_id ? exec_id : "", c);
    *e = (struct vc_event){ .size = sizeof *e,
                            .type = type,
                            .time_ns = vci_realtime_ns(),
                            .pod = text,
                            .container = text + a,
                            .exec_id = text + a + b,
                            .exit_status = status };
    q->list[q->first + q->n++] = e;
    return 0;
}

struct vc_event *vci_queue_take(struct vci_queue *q)
{
    if (!q->n)
        return NULL;
    struct vc_event *e = q->list[q->first++];
    if (--q->n == 0) { /* one pod with very many containers must not hold memory for ever */
        q->first = 0;
        if (q->room > 1024) {
            free(q->list);
            q->list = NULL;
            q->room = 0;
        }
    }
    return e;
}

/* ---- from one view to the next ---- */

struct diff {
    struct vci_queue *q;
    const char *pod;
    int bad; /* no memory */
};

static void put(struct diff *d, uint32_t type, const char *ctr, const char *exec_id, int32_t status)
{
    d->bad |= !d->bad && vci_queue_add(d->q, type, d->pod, ctr, exec_id, status) < 0;
}

static void put_pod(struct diff *d, uint32_t type)
{
    put(d, type, NULL, NULL, -1);
}

/* Whatever of it went on has ended, and nobody knows how. */
static void ctr_ends(struct diff *d, const struct vci_view_ctr *c)
{
    for (size_t i = 0; i < c->n_execs; i++)
        if (c->execs[i].status < 0)
            put(d, VC_EVENT_EXEC_EXITED, c->id, c->execs[i].id, -1);
    if (is_up(c->state))
        put(d, VC_EVENT_CONTAINER_EXITED, c->id, NULL, -1);
}

static void ctr_goes(struct diff *d, const struct vci_view_ctr *c)
{
    ctr_ends(d, c);
    put(d, VC_EVENT_CONTAINER_DELETED, c->id, NULL, -1);
}

static const struct vci_view_exec *find_exec(const struct vci_view_ctr *c, const char *id)
{
    for (size_t i = 0; c && i < c->n_execs; i++)
        if (strcmp(c->execs[i].id, id) == 0)
            return &c->execs[i];
    return NULL;
}

static void execs(struct diff *d, const struct vci_view_ctr *o, const struct vci_view_ctr *n)
{
    for (size_t i = 0; i < n->n_execs; i++) {
        const struct vci_view_exec *x = &n->execs[i], *was = find_exec(o, x->id);
        if (!was)
            put(d, VC_EVENT_EXEC_STARTED, n->id, x->id, -1);
        if (x->status >= 0 && (!was || was->status < 0))
            put(d, VC_EVENT_EXEC_EXITED, n->id, x->id, x->status);
    }
    for (size_t i = 0; o && i < o->n_execs; i++)
        if (o->execs[i].status < 0 && !find_exec(n, o->execs[i].id))
            put(d, VC_EVENT_EXEC_EXITED, n->id, o->execs[i].id, -1);
}

/* `o` is NULL for one that is new, or that was ended already. */
static void ctr_changes(struct diff *d, const struct vci_view_ctr *o, const struct vci_view_ctr *n)
{
    int was_up = o && is_up(o->state);
    int began = n->started_ns && (!o || n->started_ns != o->started_ns);
    if (began && !was_up)
        put(d, VC_EVENT_CONTAINER_STARTED, n->id, NULL, -1);
    if (o && o->state == VCI_PAUSED && n->state == VCI_RUNNING)
        put(d, VC_EVENT_CONTAINER_RESUMED, n->id, NULL, -1);
    execs(d, o, n);
    if (n->state == VCI_PAUSED && !(o && o->state == VCI_PAUSED))
        put(d, VC_EVENT_CONTAINER_PAUSED, n->id, NULL, -1);
    if (n->state != VCI_STOPPED || (o && o->state == VCI_STOPPED && !began))
        return;
    if (!was_up && !began)
        return; /* one that was never started has not ended either */
    if (n->oom)
        put(d, VC_EVENT_OOM, n->id, NULL, -1);
    put(d, VC_EVENT_CONTAINER_EXITED, n->id, NULL, n->status);
}

/* Has it been started again?  Or made again, for that. */
static int new_life(const struct vci_view_ctr *o, const struct vci_view_ctr *n)
{
    return o && o->created_ns == n->created_ns && o->started_ns && n->started_ns != o->started_ns;
}

/* Has a container run that is not known to have? */
static int has_run(const struct vci_view *before, const struct vci_view *after)
{
    for (size_t i = 0; i < after->n_ctrs; i++) {
        const struct vci_view_ctr *o = find_ctr(before, after->ctrs[i].id);
        if (after->ctrs[i].started_ns && (!o || o->started_ns != after->ctrs[i].started_ns))
            return 1;
    }
    return 0;
}

/* Stopped and started again since the last look?  Where the VM is no process: nothing that ran runs on, which containers
 * that were started again one by one may have done as well. */
static int restarted(const struct vci_view *before, const struct vci_view *after)
{
    if (!before || !is_up(before->state) || !is_up(after->state))
        return 0;
    if (before->vmm.pid > 0 && after->vmm.pid > 0)
        return !same_proc(&before->vmm, &after->vmm);
    int again = 0;
    for (size_t i = 0; i < after->n_ctrs; i++) {
        const struct vci_view_ctr *n = &after->ctrs[i], *o = find_ctr(before, n->id);
        if (o && o->started_ns && o->started_ns == n->started_ns)
            return 0;
        again |= new_life(o, n) && is_up(o->state);
    }
    return again;
}

static void pod_goes(struct diff *d, const struct vci_view *v)
{
    for (size_t i = 0; i < v->n_ctrs; i++)
        ctr_goes(d, &v->ctrs[i]);
    if (is_up(v->state))
        put_pod(d, VC_EVENT_POD_STOPPED);
    put_pod(d, VC_EVENT_POD_DELETED);
}

/* Containers that are new, or have taken the place of one with the same id. */
static void ctrs_appear(struct diff *d, const struct vci_view *before, const struct vci_view *after)
{
    for (size_t i = 0; i < after->n_ctrs; i++) {
        const struct vci_view_ctr *n = &after->ctrs[i], *o = find_ctr(before, n->id);
        if (o && o->created_ns == n->created_ns)
            continue;
        if (o)
            ctr_goes(d, o);
        put(d, VC_EVENT_CONTAINER_CREATED, n->id, NULL, -1);
    }
}

static void pod_changes(struct diff *d, const struct vci_view *before, const struct vci_view *after)
{
    enum vci_state was = before ? before->state : VCI_MAKING;
    int again = restarted(before, after), ran = has_run(before, after);
    for (size_t i = 0; again && i < before->n_ctrs; i++)
        ctr_ends(d, &before->ctrs[i]);
    if (again) {
        put_pod(d, VC_EVENT_POD_STOPPED);
        was = VCI_STOPPED;
    }
    ctrs_appear(d, before, after);
    if (!is_up(was) && (is_up(after->state) || (after->state == VCI_STOPPED && ran)))
        put_pod(d, VC_EVENT_POD_STARTED);
    if (was == VCI_PAUSED && after->state == VCI_RUNNING)
        put_pod(d, VC_EVENT_POD_RESUMED);
    if (after->died && !(before && before->died))
        put_pod(d, VC_EVENT_VM_DIED);
    for (size_t i = 0; i < after->n_ctrs; i++) {
        const struct vci_view_ctr *n = &after->ctrs[i], *o = find_ctr(before, n->id);
        int anew = new_life(o, n);
        if (anew && !again)
            ctr_ends(d, o);
        ctr_changes(d, !o || again || anew || o->created_ns != n->created_ns ? NULL : o, n);
    }
    for (size_t i = 0; before && i < before->n_ctrs; i++)
        if (!find_ctr(after, before->ctrs[i].id))
            ctr_goes(d, &before->ctrs[i]);
    if (after->state == VCI_PAUSED && was != VCI_PAUSED)
        put_pod(d, VC_EVENT_POD_PAUSED);
    if (after->state == VCI_STOPPED && (was != VCI_STOPPED || ran))
        put_pod(d, VC_EVENT_POD_STOPPED);
}

int vci_view_events(const char *pod, const struct vci_view *before, const struct vci_view *after, struct vci_queue *q)
{
    struct diff d = { .q = q, .pod = pod };
    size_t had = q->n;
    int other = before && after && before->created_ns != after->created_ns; /* another one with the same id */
    if (before && (!after || other))
        pod_goes(&d, before);
    if (after && (!before || other))
        put_pod(&d, VC_EVENT_POD_CREATED);
    if (after)
        pod_changes(&d, other ? NULL : before, after);
    while (d.bad && q->n > had)
        free(q->list[q->first + --q->n]);
    return d.bad ? -1 : 0;
}
