/* SPDX-License-Identifier: Apache-2.0 */
/* ctr-setup.h: the child half of a container's process, and what the agent tells it. */
#ifndef VCA_CTR_SETUP_H
#define VCA_CTR_SETUP_H

#include "ctr-internal.h"

enum vca_msg_kind { VCA_MSG_TERMINAL = 1, VCA_MSG_READY, VCA_MSG_FAULT };

/* What the child sends.  With VCA_MSG_TERMINAL comes the master of its terminal.  The end of the stream without a
 * fault means that the program runs. */
struct vca_msg {
    int32_t kind;
    int32_t exec; /* the fault is that of execve, not of a step before it */
    struct vca_fault fault;
};

#define VCA_MAX_NS 8

struct vca_setup {
    const Oci__Spec *spec; /* NULL for a further process of a container */
    const Oci__Process *process;
    const Oci__LinuxSeccomp *seccomp;
    const Agent__StringUser *user; /* may be NULL */
    int sync;                      /* the child's end of the socket */
    int stdio[3];                  /* -1 with a terminal */
    int cgroup_fd;                 /* -1 without cgroups */
    int init_pidfd;                /* exec: whose namespaces to join */
    int ns_fds[VCA_MAX_NS];        /* init: namespaces that exist already */
    int ns_types[VCA_MAX_NS];      /* CLONE_NEW* */
    size_t n_ns;
    int own_uts, own_ipc, own_cgroup_ns;
    int ahead; /* spec is a plan: do what belongs to no container yet, then wait for one (ctr-ahead.c) */
};

/* Run the child half; it ends in the container's program or in _exit. */
_Noreturn void vca_setup_run(const struct vca_setup *s);
/* Tell the agent that this part is done. */
void vca_setup_ready(int sync);
/* Set oom_score_adj of the calling process. */
int vca_oom_score(int64_t score, struct vca_fault *f);
/* A directory of the guest's cgroup tree as one of this mount namespace; -1 when there are no cgroups. */
int vca_own_cgroup(int fd);

#endif
