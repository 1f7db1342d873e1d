/* SPDX-License-Identifier: Apache-2.0 */
/* pump.h: moves bytes from one descriptor to another without ever blocking in a write. */
#ifndef VC_SHIM_PUMP_H
#define VC_SHIM_PUMP_H

#include <poll.h>
#include <stddef.h>

struct pump {
    int in, out;    /* owned by the caller; in < 0: over */
    int use_splice; /* one of them is a pipe and the kernel agrees */
    int out_kind;   /* what may be done without blocking: see pump.c */
    int wait_out;   /* poll for room, not for bytes */
    int drop;       /* what comes is read, and thrown away */
    size_t dropped; /* how much was */
    char *buf;      /* only when splice cannot be used */
    size_t off, len;
    /* Who else gets to see the bytes; while it is set, splice is not used. */
    void (*copy)(void *arg, const char *data, size_t len);
    void *copy_arg;
};

void pump_init(struct pump *p, int in, int out);
/* What to poll for; fd -1 when it is over. */
void pump_poll(const struct pump *p, struct pollfd *pfd);
/* Move what can be moved.  1: it goes on; 0: end of file; -1: the receiver is gone (errno). */
int pump_run(struct pump *p);
/* Let somebody see a copy of all that comes from now on. */
void pump_copy_to(struct pump *p, void (*copy)(void *arg, const char *data, size_t len), void *arg);
/* From now on read, let it be seen, and throw away; what could not be written yet counts as thrown away. */
void pump_drop(struct pump *p);
void pump_done(struct pump *p);

#endif
