/* SPDX-License-Identifier: Apache-2.0 */
/* hooks.h: programs of the host that are run at points of a pod's or container's life. */
#ifndef VCI_HOOKS_H
#define VCI_HOOKS_H

#include "store.h"

struct json_object;
struct vci_pod;
struct vci_ctr;

#define VCI_MAX_HOOKS 64 /* of one list */

enum vci_hook_list { VCI_HOOK_PRESTART, VCI_HOOK_POSTSTART, VCI_HOOK_POSTSTOP, VCI_HOOK_LISTS };

struct vci_hook {
    char *path;
    char **args, **env; /* NULL-terminated or NULL */
    uint32_t timeout;   /* seconds; 0 = the operation's deadline */
};
/* Zeroed memory is an empty set. */
struct vci_hooks {
    struct vci_hook *list[VCI_HOOK_LISTS];
    size_t n[VCI_HOOK_LISTS];
    int due; /* prestart hooks were begun, so that the poststop hooks are owed */
};

/* ---- hooks.c: what they are ---- */
/* "prestart" and so on. */
const char *vci_hook_list_name(enum vci_hook_list list);
/* Append a copy of what a program gave (NULL: nothing).  INVAL says which one is wrong. */
int vci_hooks_take(struct vci_hooks *h, const struct vc_hooks *given, vc_error **err);
/* Append those of an OCI config.json. */
int vci_hooks_take_spec(struct vci_hooks *h, const char *spec_json, vc_error **err);
static inline int vci_hooks_any(const struct vci_hooks *h)
{
    return h->n[VCI_HOOK_PRESTART] || h->n[VCI_HOOK_POSTSTART] || h->n[VCI_HOOK_POSTSTOP];
}
void vci_hooks_free(struct vci_hooks *h);
/* Put them into a record as "hooks" and "poststop_due"; nothing when there are none. */
void vci_hooks_put(const struct vci_hooks *h, struct json_object *record);
/* Read them out of a record.  NULL when it is fine, else what is wrong with it; "" without memory. */
const char *vci_hooks_get(struct vci_hooks *h, struct json_object *record);

/* ---- hook-run.c: what they do; `c` NULL = those of the pod itself ---- */
/* Run the prestart hooks; the first failure is the answer.  From now on the poststop hooks are owed, which is in the
 * record before the first hook runs. */
int vci_hooks_prestart(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline, vc_error **err);
/* Run the poststart hooks; failures are logged. */
void vci_hooks_poststart(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline);
/* Run the poststop hooks if they are owed; failures are logged.  The record is not written. */
void vci_hooks_poststop(struct vci_pod *pod, struct vci_ctr *c);
/* End hooks that are in the ledger: their caller was killed.  The lock is held, and no hook of this process runs.  How
 * many ran. */
size_t vci_hooks_end_strays(struct vci_pod *pod);

#endif
