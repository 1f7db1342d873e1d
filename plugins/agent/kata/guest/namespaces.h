/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.h: the agent as PID 1 of a set of namespaces on the host, without a VM around it. */
#ifndef AGENT_NAMESPACES_H
#define AGENT_NAMESPACES_H

/* What `vc-agent --namespaces` was told. */
struct ns_guest {
    int listen_fd, ready_fd;
    const char *share_tag, *share_dir; /* NULL: no shared folder */
    const char *cgroup;                /* NULL: no control groups */
    int new_net;
};

/* Read the options, make the namespaces and everything in them.  Comes back with 0 in the new PID 1 only: the caller's
 * process stays outside, waits for it and ends with it.  A negative errno for wrong options; ends the process, with the
 * reason on ready_fd, when something cannot be made. */
int ns_start(int argc, char **argv, struct ns_guest *g);
/* Tell who waits at ready_fd that connections are served. */
void ns_ready(struct ns_guest *g);

#endif
