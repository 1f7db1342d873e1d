/* SPDX-License-Identifier: Apache-2.0 */
/* walk.h: the life of a pod step by step, for checks that have to do something around each step. */
#ifndef VCT_WALK_H
#define VCT_WALK_H

#include "conformance/vct.h"

struct vct_walk {
    struct vct_pod *pod;
    const char *step;        /* "create", "save", "restore", "check", "cleanup", or the name of an op */
    const struct vct_op *op; /* of the step; NULL for the former */
    /* Called in place of vct_walk_step, which it calls; not 0 ends the walk.  NULL: vct_walk_step itself. */
    int (*around)(struct vct_walk *w);
    void *arg;   /* of `around` */
    char *state; /* what the last save wrote */
    size_t len;
};

/* The step that w->step names: VC_OK or its code. */
int vct_walk_step(struct vct_walk *w);
/* A whole life: create, save, check, close and restore, every op that has to work where the life has got to, with a
 * save after each, cleanup.  Ends at the first failure: its code, and w->step tells where.  The pod is not closed. */
int vct_walk(struct vct_walk *w);
/* The same up to the op that leads to `state`, without cleanup. */
int vct_walk_to(struct vct_walk *w, uint32_t state);
/* A whole life in a pod of its own made so far by vct_pod_new, close included; fails the check, with `when` in the
 * sentence, when a step does or when something is left. */
void vct_walk_whole(struct vct_pod *pod, const char *when);
/* Cleanup and close without faults; fails the check when cleanup fails or something is left. */
void vct_walk_end(struct vct_pod *pod, const char *when);
void vct_walk_done(struct vct_walk *w);
/* A snapshot when nothing changes any more: peers that were killed take a moment to go. */
struct vct_snap *vct_snap_settled(void);

#endif
