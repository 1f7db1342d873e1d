/* SPDX-License-Identifier: Apache-2.0 */
/* groups.h: control groups for real programs behind a scenario's peer, as a guest has them for itself. */
#ifndef VCT_GROUPS_H
#define VCT_GROUPS_H

struct vct;

/* The group of this check, of version 2 and empty, made at the first call; NULL where there can be none.  The keeper
 * removes it (vct_groups_left). */
const char *vct_group_make(struct vct *t);
/* In a mount namespace of its own: a new group below `group` becomes all that there is at /sys/fs/cgroup.  0 or -1. */
int vct_group_enter(const char *group);
/* Are the processes of the group of that name, somewhere below `group`, frozen?  1: yes, 0: no, -1: none is there. */
int vct_group_frozen(const char *group, const char *name);

#endif
