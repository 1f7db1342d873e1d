/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h: VMs that were started from a template beforehand and wait, paused, for a pod.
 *
 *   RUN_ROOT/pool                  flock of whoever fills the pool
 *   RUN_ROOT/pool/ID               flock while it is made, given to a pod or ended
 *   RUN_ROOT/pool/ID/ledger        as that of a pod
 *   RUN_ROOT/pool/ID/vm.json       as pod.json of a pod; with "op" while it is made, and gone once a pod takes it
 *   RUN_ROOT/pool/ID/key           what its template was made with
 *   RUN_ROOT/pool/ID/hypervisor/   the plugin's private directory
 *   RUN_ROOT/pool/ID/shared/fs/    the shared folder, as in a pod
 *
 * How one changes hands loses nothing when the taker is killed at any point: first vm.json goes, so that nobody else
 * takes it and gc ends it; then all its ledger names is in the pod's ledger, too; then its directories move; and at last
 * it loses its own ledger.  Until the taker is done, its pod is one whose start was interrupted. */
#ifndef VCI_POOL_H
#define VCI_POOL_H

#include "pod.h"

/* Give the pod (its VM described, nothing started or mounted) a VM of the pool that was made with this key: its
 * processes and mounts are in the pod's ledger, its directories in the pod's, and the hypervisor instance of the pod is
 * the one of that VM, which runs.  1: taken; 0: there is none, or the one that was tried is of no use and was ended. */
int vci_pool_take(struct vci_pod *pod, const char *key, const char *template_id, int64_t deadline, vc_error **err);
/* Members that run from this template. */
int vci_pool_users(vc_context *ctx, const char *template_id, uint32_t *ret, vc_error **err);
/* End what nobody will ever take: half-made, ended, of templates that are no more. */
int vci_pool_gc(vc_context *ctx, void (*report)(void *arg, const char *id, const char *what), void *arg, vc_error **err);

/* ---- shared by pool.c and pool-fill.c ---- */
/* Open a member and read its record.  NOTFOUND with vm->dir.run_path set: it has no record, as one that is being made or
 * taken, or was when its maker or taker was killed. */
int vci_pool_open(struct vci_pod *vm, vc_context *ctx, const char *id, int lock, vc_error **err);
/* Its key; NULL when there is none. */
char *vci_pool_key(struct vci_pod *vm);
/* End the locked member. */
int vci_pool_end(struct vci_pod *vm, vc_error **err);

#endif
