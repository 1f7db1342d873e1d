/* SPDX-License-Identifier: Apache-2.0 */
/* ctr-spawn.h: clone a process into a container and talk to it until it executes its program. */
#ifndef VCA_CTR_SPAWN_H
#define VCA_CTR_SPAWN_H

#include <sched.h>

#include "container.h"
#include "ctr-setup.h"

struct vca_spawn {
    uint64_t flags;   /* CLONE_NEW* */
    int pidns_fd;     /* pidfd or namespace whose pid namespace the process is born in; -1 = the agent's */
    int own_pidns_fd; /* the caller's to close, or -1 */
    int cgroup_fd;    /* -1 = the agent's */
    int pidfd, sync;  /* results: the process, and with a spec the socket to it */
};

/* Clone the process and wait until it is ready (with s->spec) or runs its program (without).  Fills in the stdio of
 * *s.  A failure leaves nothing behind. */
int vca_spawn(struct vca_setup *s, struct vca_spawn *sp, struct ctr_child *ret, struct vca_fault *f);
/* Let a waiting process execute its program, and wait until it has. */
int vca_spawn_go(int sync, int pidfd, struct vca_fault *f);
/* Send a waiting process an order with a descriptor, and wait until it is ready: 0, -EPIPE when it has ended before, or
 * another negative number with *f. */
int vca_spawn_order(int sync, int pidfd, const void *order, size_t n, int fd, struct vca_fault *f);
/* As fork, with a pidfd; -errno. */
pid_t vca_fork(int *pidfd);
/* Kill a child and reap it.  One that hangs in the kernel is left to the event loop, which reaps what there is. */
void vca_end_child(pid_t pid, int pidfd);
/* The pidfd of the sandbox's pause process, whose pid namespace containers may share; -1 when there is none. */
int vca_sandbox_pidns(void);

#endif
