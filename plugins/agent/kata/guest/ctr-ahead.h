/* SPDX-License-Identifier: Apache-2.0 */
/* ctr-ahead.h: a process that is made into the init of a container before anybody asks for the container. */
#ifndef VCA_CTR_AHEAD_H
#define VCA_CTR_AHEAD_H

#include "cgroup.h"
#include "container.h"
#include "ctr-setup.h"

/* ---- the agent's half ---- */

/* Its namespaces, held by descriptors from the start: else the kernel takes them apart, with all mounts, between the
 * end of the process and the moment that anybody hears of it.  They are closed when the container goes; -1: none. */
#define VCA_AHEAD_NS 3

/* 1 when the process that waits is what this request needs; its cgroup goes to the caller then. */
int vca_ahead_take(const Agent__CreateContainerRequest *req, struct vca_cgroup *ret);
/* Make the process that was taken into the container of the request, up to where it waits to be started; as vca_spawn.
 * -EPIPE: it has ended; any other process will do.  The namespaces go to the caller, with success only. */
int vca_ahead_use(const Agent__CreateContainerRequest *req, struct ctr_child *ret, int *pidfd, int *sync,
                  int ns[VCA_AHEAD_NS], struct vca_fault *f);
/* End the process that was taken. */
void vca_ahead_drop(void);

/* ---- the child's half ---- */

/* Make the mounts, say so, and wait for a request.  Then *ret is what to do for it, with its root as root at *rootfd. */
int vca_ahead_run(const struct vca_setup *s, struct vca_setup *ret, int *rootfd, struct vca_fault *f);

#endif
