/* SPDX-License-Identifier: Apache-2.0 */
/* container.h: what the RPC half of vc-agent asks of the container half.
 *
 * The agent is one thread with one event loop.  Every function here may block only for as long as the
 * kernel needs for the work itself (a mount, a fork, a handshake with a child that has not yet executed
 * the user's program); none waits for a program of the container to do anything.
 *
 * Processes: the children that are returned in a struct ctr_child belong to the caller, which reaps them
 * from the event loop (waitpid(-1)).  A child that a function here makes and does not return (a failed
 * create or exec, a helper) is reaped by that function itself, by its pid.
 *
 * Identifiers have been checked by the caller ([A-Za-z0-9][A-Za-z0-9_.-]{0,127}).  Everything else of a
 * message is unchecked: pointers to sub-messages may be NULL, strings are never NULL but may be empty.
 *
 * Failing functions return -1 and describe the failure in *err with agent_fail (agent.h). */
#ifndef AGENT_CONTAINER_H
#define AGENT_CONTAINER_H

#include <stddef.h>
#include <sys/types.h>

#include "agent.pb-c.h"
#include "oci.pb-c.h"

struct agent_err;
struct ctr;
struct ctr_mounts;

/* A process that was made for the caller.  Descriptors are the agent's ends, non-blocking, CLOEXEC, owned
 * by the caller.  Without a terminal: in is the write end of its standard input, out and err the read
 * ends of its output.  With one: out is the master of the terminal, for both directions; in and err are -1. */
struct ctr_child {
    pid_t pid; /* as the agent sees it */
    int tty;
    int in, out, err;
};

/* Once, before anything else here and before the agent raises its own limits, which containers do not inherit.
 * Without cgroups (for machines that have none that could be used) no group is made, and a limit is an error. */
void ctr_prepare_agent(int with_cgroups);

/* ---- sandbox ---- */

/* What all containers share: namespaces (with hostname in the UTS namespace; a pid namespace with its own
 * init when sandbox_pidns is set).  Storages are not mounted here.  A failure leaves nothing behind. */
int ctr_sandbox_setup(const Agent__CreateSandboxRequest *req, struct agent_err *err);
/* Undo it.  All containers are destroyed already.  Idempotent. */
void ctr_sandbox_teardown(void);

/* Mount storages in order (drivers 9p, virtio-fs, blk, scsi, ephemeral, local, ...).  What was mounted is
 * remembered in *ret (also when n is 0); a failure unmounts what this call has mounted. */
int ctr_storages_mount(Agent__Storage **storages, size_t n, struct ctr_mounts **ret, struct agent_err *err);
/* Unmount them in reverse order and free the list.  NULL is allowed. */
void ctr_storages_unmount(struct ctr_mounts *m);
/* Names for GetGuestDetails: NULL-terminated. */
const char *const *ctr_storage_drivers(void);
const char *const *ctr_device_types(void);

/* ---- container ---- */

/* Do for a container like that of the plan what can be done before it is asked for; ctr_create then uses it for the first
 * one it fits.  For a machine that is about to be saved or paused, and whose root is an initramfs. */
int ctr_prepare_ahead(const Agent__CreateContainerRequest *plan, struct agent_err *err);
/* Make the container of req (its storages, devices, namespaces, root, cgroup) with its init process, which
 * has done all its set-up and waits for ctr_start just before it executes the program.  A failure leaves
 * nothing behind.  Nothing of req is referenced after the return. */
int ctr_create(const Agent__CreateContainerRequest *req, struct ctr_child *ret_child, struct ctr **ret,
               struct agent_err *err);
/* Let init execute its program.  When execve fails: ENOENT (and ENOTDIR) is VCS_RPC_NOTFOUND; EACCES,
 * EPERM, ENOEXEC and EISDIR are VCS_RPC_PERM; other VCS_RPC_INTERNAL; the text names the program.  Init
 * has ended then (the caller reaps it; its status is 127 for not found, else 126). */
int ctr_start(struct ctr *c, struct agent_err *err);
/* Run another process in the container, which may not be started yet.  Returns after its execve has
 * worked; failures as in ctr_start.  A paused container is VCS_RPC_PRECONDITION. */
int ctr_exec(struct ctr *c, const Oci__Process *process, const Agent__StringUser *user, struct ctr_child *ret_child,
             struct agent_err *err);
/* Signal every process of the container.  No process left is not a failure. */
int ctr_signal_all(struct ctr *c, int sig, struct agent_err *err);
int ctr_pause(struct ctr *c, struct agent_err *err);
int ctr_resume(struct ctr *c, struct agent_err *err);
int ctr_update(struct ctr *c, const Oci__LinuxResources *resources, struct agent_err *err);
/* Fill in resp->cgroup_stats.  Everything is allocated with malloc, so that the caller can free the whole
 * reply with agent__stats_container_response__free_unpacked, also after a failure. */
int ctr_stats(struct ctr *c, Agent__StatsContainerResponse *resp, struct agent_err *err);
/* Pids as the agent sees them; *ret is malloc'ed (NULL when there are none). */
int ctr_list_pids(struct ctr *c, pid_t **ret, size_t *ret_n, struct agent_err *err);
/* A descriptor that reports EPOLLPRI when the container's memory events change, or -1.  It stays the
 * container's. */
int ctr_oom_fd(const struct ctr *c);
/* 1 when there was an OOM kill since the last call, else 0.  Re-arms the descriptor. */
int ctr_oom_check(struct ctr *c);
/* Unmount and remove everything and free c.  Its processes have been killed and reaped by the caller (those
 * that still are there are killed here).  What could not be removed is described in err, c is freed anyway. */
int ctr_destroy(struct ctr *c, struct agent_err *err);

#endif
