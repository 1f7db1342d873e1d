/* SPDX-License-Identifier: Apache-2.0 */
/* steps.h: how the checks of instances and of their state drive a pod: states, single ops, stuck peers. */
#ifndef VCT_STEPS_H
#define VCT_STEPS_H

#include "conformance/vct.h"

/* The states in the order of a life, ended by 0. */
extern const uint32_t vct_states[];
const char *vct_state_name(uint32_t state); /* "fresh", "made", "up", "paused", "down" */
/* Can a pod of this plugin get there?  Needs an instance. */
int vct_can_reach(struct vct_pod *pod, uint32_t state);
/* A new pod with an instance in that state; NULL when the plugin has no such state. */
struct vct_pod *vct_pod_in(struct vct *t, uint32_t state);
/* The same with a pod that vct_pod_new has made; 0: it has no such state (nothing is open then), else 1. */
int vct_pod_bring(struct vct_pod *pod, uint32_t state);
/* Call an op with this very call; keeps pod->state. */
int vct_op_call(struct vct_pod *pod, const struct vct_op *op, const struct vc_call *call);
/* Does the kind have something behind it here, so that effects and stuck peers make sense? */
int vct_is_hollow(struct vct_pod *pod);
int vct_listed(int code); /* VC_OK or a code of the contract */
/* cleanup with 10 s, then look: fails the check when it fails or leaves something; `when` is put into the sentence. */
void vct_must_clean(struct vct_pod *pod, const char *when);

/* These VCT_SNAP_*, without the files where others make files in /tmp at the same time. */
unsigned vct_own_parts(struct vct *t, unsigned parts);
/* The mount points of now, each on a line; malloc'ed.  Then: the first one since that is not on the pod's record (res_add), in
 * `text`; 0 when there is none.  What the tool itself mounts in the pod's directory does not count. */
char *vct_mounts(void);
int vct_mount_unrecorded(const struct vct_pod *pod, const char *before, char *text, size_t size);
/* What is left of a pod, without plain files in its run directory, which the host removes anyway; "" for nothing. */
const char *vct_traces(struct vct_pod *pod);

/* Stop (SIGSTOP) and continue all peers of a pod: they keep their connections and answer nothing. How many there are.
 */
int vct_freeze(struct vct_pod *pod, int on);
/* A new pod in a state in which `op` has to work; NULL when the plugin has not got it. */
struct vct_pod *vct_pod_ready(struct vct *t, const struct vct_op *op);
/* Its peers, and what it starts from now on, say nothing more; and the end of that. */
void vct_stick(struct vct_pod *pod);
void vct_unstick(struct vct_pod *pod);

/* The state of a pod as `save` writes it; fails the check when save does.  malloc'ed. */
char *vct_bytes_of(struct vct_pod *pod, size_t *ret_len);
/* restore with 10 s; fails the check when it fails. `when` is put into the sentence. */
void vct_must_restore(struct vct_pod *pod, const void *state, size_t len, const char *when);
/* Where two states differ: "byte 12: \"running\" was \"created\"". */
const char *vct_bytes_diff(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
