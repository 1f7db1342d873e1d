/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.h: the cgroup (version 2) of one container. */
#ifndef VCA_CGROUP_H
#define VCA_CGROUP_H

#include "ctr-internal.h"

struct vca_cgroup {
    int fd;           /* the directory; -1 without cgroups */
    int events_fd;    /* cgroup.events */
    int oom_fd;       /* memory.events; -1 without the memory controller */
    int devices_prog; /* the device program that is attached, or -1 */
    uint64_t oom_kills;
    char *path; /* below the root of the agent's cgroups, no leading slash */
};

/* Settings of the whole agent. */
struct vca_cgroup_config {
    const char *root; /* where cgroup version 2 is mounted */
    const char *base; /* the directory below it that holds the containers' groups */
    int disabled;     /* for tests on machines without usable cgroups: no group is made, and a limit is an error */
};
extern struct vca_cgroup_config vca_cgroup_config;

/* Make the group for a container: below `base`, at `wish` (cgroupsPath) or, without a wish, at the id. */
int vca_cgroup_create(struct vca_cgroup *cg, const char *id, const char *wish, struct vca_fault *f);
/* Apply limits; what is 0 or empty is left as it is.  A limit that cannot be applied is an error. */
int vca_cgroup_limit(struct vca_cgroup *cg, const Oci__LinuxResources *res, struct vca_fault *f);
/* The device rules; before the first process is in the group. */
int vca_cgroup_devices(struct vca_cgroup *cg, const Oci__LinuxResources *res, struct vca_fault *f);
/* Freeze or thaw, and wait until it is so. */
int vca_cgroup_freeze(struct vca_cgroup *cg, int freeze, struct vca_fault *f);
/* Kill all processes with one write. */
int vca_cgroup_kill(struct vca_cgroup *cg, struct vca_fault *f);
/* Wait until no process is left, at most timeout_ms: 0 or -ETIMEDOUT. */
int vca_cgroup_wait_empty(struct vca_cgroup *cg, int timeout_ms);
/* Pids of the group and of groups that the container made below it. */
int vca_cgroup_pids(struct vca_cgroup *cg, pid_t **ret, size_t *ret_n, struct vca_fault *f);
/* 1 when there was an OOM kill since the last call. */
int vca_cgroup_oom(struct vca_cgroup *cg);
/* Remove the group, with those below it.  Idempotent. */
int vca_cgroup_remove(struct vca_cgroup *cg, struct vca_fault *f);
/* Give the descriptors and memory back; the group itself stays. */
void vca_cgroup_done(struct vca_cgroup *cg);

/* cgroup-stats.c: a filled-in message, malloc'ed; NULL without memory. */
Agent__CgroupStats *vca_cgroup_stats(struct vca_cgroup *cg);

/* A file of the group as text in `buf`; its length or -errno. */
ssize_t vca_cgroup_read(const struct vca_cgroup *cg, const char *name, char *buf, size_t size);
/* The number behind a key ("oom_kill 3") in the text of a flat keyed file; 0 when the key is not there. */
uint64_t vca_cgroup_key(const char *text, const char *key);

#endif
