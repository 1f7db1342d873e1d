/* SPDX-License-Identifier: Apache-2.0 */
/* apart.h: parts of a check that run in processes of their own, with the plugin as it is right after it was loaded. */
#ifndef VCT_APART_H
#define VCT_APART_H

#include "conformance/vct.h"

/* Run body(t, arg) in a process of its own and wait for it.  In there vct_restart may be called.  If it ends by
 * vct_fail, vct_leak or vct_skip, this check ends so; if it crashes, this process ends by the same signal, so the call
 * that ran is named.  Pods whose world lives on over a vct_restart have to be made before, by vct_pod_new: peers end
 * with the process that has started them. */
void vct_apart(struct vct *t, void (*body)(struct vct *t, void *arg), void *arg);
/* The same, but its end by a signal is the answer: that signal, 0 when it ended by itself.  No vct_restart in it, and
 * no pod made in there is freed: what it leaves behind stays. */
int vct_apart_killed(struct vct *t, void (*body)(struct vct *t, void *arg), void *arg);
/* As vct_apart_killed, but returns at once; vct_apart_wait answers for it. */
struct vct_apart;
struct vct_apart *vct_apart_begin(struct vct *t, void (*body)(struct vct *t, void *arg), void *arg);
int vct_apart_wait(struct vct *t, struct vct_apart *a);

/* Within vct_apart: go on in a new process.  The one that calls this has ended when it returns: its descriptors are
 * closed and what it started has another parent.  The plugin's variables are as they were after vct_plugin.load; the
 * tool's memory goes on, so all instances must be closed before. */
void vct_restart(struct vct *t);

/* Zeroed memory that all these processes share. */
void *vct_shared(struct vct *t, size_t size);

#endif
