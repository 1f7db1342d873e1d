/* SPDX-License-Identifier: Apache-2.0 */
/* inject.h: make system calls of the plugin fail, one at a time, as a full disk or a full table of descriptors would.
 */
#ifndef VCT_INJECT_H
#define VCT_INJECT_H

#include "conformance/vct.h"

struct vct_inject {
    uint64_t fail_at; /* which call of those that are looked at, from 1; 0: none fails */
    unsigned turn;    /* which of the errors that fit the call */
    /* Answers. */
    uint64_t seen;    /* how many there were */
    int hit;          /* one was made to fail */
    int sys;          /* with that errno */
    const char *call; /* and this was it: "openat" */
    char in[64];      /* within that member */
};

/* Run fn(arg) on a thread of its own whose system calls in the plugin (open, socket, read, write, connect and their
 * like) are seen by this one, by a seccomp filter that asks.  Programs that are started there are asked about, too, and
 * go on: they have to have ended when fn returns.  0, or -errno when the kernel does not do that here; then fn was not
 * called. */
int vct_inject(struct vct *t, struct vct_inject *in, void (*fn)(void *arg), void *arg);

/* Signals to the calling thread, 1000 a second, without SA_RESTART: every call that waits is interrupted.  0 or -errno.
 */
int vct_storm_begin(void);
void vct_storm_end(void);

#endif
