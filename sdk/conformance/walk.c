/* SPDX-License-Identifier: Apache-2.0 */
/* walk.c: the life of a pod step by step. */
#include "conformance/walk.h"

#include <string.h>

static int save(struct vct_walk *w)
{
    char *state = NULL;
    size_t len = 0;
    int r = vct_pod_save(w->pod, &state, &len);
    if (r != VC_OK)
        return r;
    free(w->state);
    w->state = state;
    w->len = len;
    return VC_OK;
}

static int restore(struct vct_walk *w)
{
    if (w->pod->inst)
        vct_pod_close(w->pod);
    return vct_pod_restore(w->pod, w->pod->t->plugin->state_version, w->state, w->len);
}

int vct_walk_step(struct vct_walk *w)
{
    uint32_t health;
    if (w->op)
        return vct_op(w->pod, w->op->name, 0);
    if (!strcmp(w->step, "create"))
        return vct_pod_create(w->pod);
    if (!strcmp(w->step, "save"))
        return save(w);
    if (!strcmp(w->step, "restore"))
        return restore(w);
    if (!strcmp(w->step, "check"))
        return vct_pod_check(w->pod, &health);
    return vct_pod_cleanup(w->pod);
}

static int take(struct vct_walk *w, const char *name, const struct vct_op *op)
{
    w->step = name;
    w->op = op;
    return w->around ? w->around(w) : vct_walk_step(w);
}

static int ops(struct vct_walk *w, uint32_t until)
{
    for (const struct vct_op *op = w->pod->t->kind->ops; op->name; op++) {
        if (w->pod->state & until)
            return VC_OK;
        if (!(op->from & w->pod->state) || !vct_op_there(w->pod, op))
            continue;
        int r = take(w, op->name, op);
        if (r == VC_OK)
            r = take(w, "save", NULL);
        if (r != VC_OK)
            return r;
    }
    return VC_OK;
}

static int begin(struct vct_walk *w)
{
    static const char *const first[] = { "create", "save", "check", "restore" };
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        int r = take(w, first[i], NULL);
        if (r != VC_OK)
            return r;
    }
    return VC_OK;
}

int vct_walk(struct vct_walk *w)
{
    int r = begin(w);
    if (r == VC_OK)
        r = ops(w, 0);
    return r == VC_OK ? take(w, "cleanup", NULL) : r;
}

int vct_walk_to(struct vct_walk *w, uint32_t state)
{
    int r = begin(w);
    return r == VC_OK ? ops(w, state) : r;
}

void vct_walk_done(struct vct_walk *w)
{
    free(w->state);
    w->state = NULL;
    w->len = 0;
}

struct vct_snap *vct_snap_settled(void)
{
    struct vct_snap *last = vct_snap();
    for (int i = 0; i < 40; i++) {
        usleep(i < 4 ? 2000 : 25000);
        struct vct_snap *now = vct_snap();
        int same = last && now && !*vct_snap_diff(last, now, VCT_SNAP_FDS | VCT_SNAP_THREADS | VCT_SNAP_CHILDREN);
        vct_snap_free(last);
        last = now;
        if (same)
            break;
    }
    return last;
}

void vct_walk_end(struct vct_pod *pod, const char *when)
{
    struct vct *t = pod->t;
    if (!pod->inst)
        return;
    int r = vct_pod_cleanup(pod);
    VCT_MUST(t, r == VC_OK, "%s, cleanup answers %s (%s); it has to remove every trace whatever happened before", when,
             vct_code(r), t->err.text);
    vct_pod_close(pod);
    const char *left = vct_pod_left(pod);
    if (*left)
        vct_leak(t, "%s, this is left after cleanup: %s", when, left);
}

void vct_walk_whole(struct vct_pod *pod, const char *when)
{
    struct vct *t = pod->t;
    struct vct_walk w = { .pod = pod };
    int r = vct_walk(&w);
    vct_walk_done(&w);
    VCT_MUST(t, r == VC_OK, "%s, %s answers %s (%s); it has to work", when, w.step, vct_code(r), t->err.text);
    vct_walk_end(pod, when);
}
