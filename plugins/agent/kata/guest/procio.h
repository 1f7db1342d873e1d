/* SPDX-License-Identifier: Apache-2.0 */
/* procio.h: the agent's ends of a process's standard streams, and the requests that wait for them. */
#ifndef AGENT_PROCIO_H
#define AGENT_PROCIO_H

#include "container.h"
#include "loop.h"
#include "rpc.h"

#define STDIO_READ_MAX (1024u * 1024)     /* bytes of one reply */
#define STDIO_QUEUE_MAX (8u * 1024 * 1024) /* input that waits for the process */

struct stdio {
    int tty;
    struct watch in, out, err; /* with a terminal, out is its master and serves both directions */
    struct list reads[2];      /* for out, err: struct rpc_pending, queue_link */
    struct list writes;
    size_t queued;  /* bytes in writes */
    int close_in;   /* no more input: close when writes is empty */
    int in_closed;
};

/* Take over the descriptors of child. */
void stdio_init(struct stdio *s, const struct ctr_child *child);
/* Answer all that waits (nothing more comes) and close. */
void stdio_done(struct stdio *s);
/* 1 when both outputs have been read to their end. */
int stdio_drained(const struct stdio *s);

/* Bodies of the methods; stream is 0 for standard output, 1 for standard error. */
int stdio_read(struct stdio *s, struct rpc_call *call, int stream, uint32_t len, struct agent_err *err);
int stdio_write(struct stdio *s, struct rpc_call *call, const void *data, size_t n, struct agent_err *err);
void stdio_close_in(struct stdio *s);
int stdio_resize(struct stdio *s, uint32_t rows, uint32_t columns, struct agent_err *err);

#endif
