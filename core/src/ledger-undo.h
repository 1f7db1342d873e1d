/* SPDX-License-Identifier: Apache-2.0 */
/* ledger-undo.h: remove one external thing. */
#ifndef VCI_LEDGER_UNDO_H
#define VCI_LEDGER_UNDO_H

#include "store.h"

/* 1: it was there and is removed; 0: it was not there; else a code.  `what` describes it for people. */
int vci_undo_one(const struct vci_pod_dir *dir, uint32_t type, const char *name, int64_t deadline_ns, char *what,
                 size_t size, vc_error **err);

/* SIGKILL for that very process and all of the process group that it leads; -ESRCH when it has ended. */
int vci_kill_group(const struct vc_proc *leader);
/* Take off all that is mounted at a path inside the pod's run directory; no link is followed.  How many, or -errno. */
int vci_unmount_inside(const struct vci_pod_dir *dir, const char *inside);
/* Blanks in a path of /proc/self/mountinfo are octal escapes: in place. */
void vci_unescape_mount(char *s);
/* What is mounted below a directory, in the order of mounting, NULL-terminated; each and the list are free(3)d.  NULL
 * without memory. */
char **vci_mount_points(const char *below);

#endif
