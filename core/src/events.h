/* SPDX-License-Identifier: Apache-2.0 */
/* events.h: what an observer of pods last knew of one, and the events that lead from one view to the next. */
#ifndef VCI_EVENTS_H
#define VCI_EVENTS_H

#include "pod.h"

struct vci_view_exec {
    char *id;
    struct vc_proc shim;
    int32_t status; /* -1 = it goes on */
};
struct vci_view_ctr {
    char *id;
    enum vci_state state;
    int64_t created_ns, started_ns;
    struct vc_proc shim;
    int32_t status; /* of one that is stopped; -1 = not known */
    uint32_t oom;
    struct vci_view_exec *execs;
    size_t n_execs;
};
struct vci_view {
    enum vci_state state;
    int64_t created_ns;
    struct vc_proc vmm;
    int died; /* its VM ended without having been stopped */
    struct vci_view_ctr *ctrs;
    size_t n_ctrs;
};

/* Events that wait to be taken, oldest first. */
struct vci_queue {
    struct vc_event **list;
    size_t first, n, room;
};

/* The pod as it is now.  `before` (may be NULL) tells of containers that are half-removed by now.  NULL without memory.
 */
struct vci_view *vci_view_new(const struct vci_pod *pod, const struct vci_view *before);
void vci_view_free(struct vci_view *v);
/* Append what happened between two views of the pod; before NULL = it was not there, after NULL = it is gone.
 * All, or nothing and -1 without memory. */
int vci_view_events(const char *pod, const struct vci_view *before, const struct vci_view *after, struct vci_queue *q);
/* Append one event.  -1 without memory. */
int vci_queue_add(struct vci_queue *q, uint32_t type, const char *pod, const char *ctr, const char *exec_id,
                  int32_t status);
/* Take the oldest; NULL when there is none. */
struct vc_event *vci_queue_take(struct vci_queue *q);

#endif
