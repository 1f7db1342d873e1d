/* SPDX-License-Identifier: Apache-2.0 */
/* rpc.h: ttRPC connections, their requests, and requests that wait for an event. */
#ifndef AGENT_RPC_H
#define AGENT_RPC_H

#include <protobuf-c/protobuf-c.h>

#include "agent.h"
#include "lib/buf.h"
#include "list.h"

#define RPC_OUT_PAUSE (2u * 1024 * 1024) /* no further request is taken up while more replies wait */
#define RPC_MAX_PENDING 4096             /* waiting requests of one connection */

/* One connection, without its transport.  The transport feeds it and takes away what is in out. */
struct rpc_conn {
    struct vcs_ttrpc_reader reader;
    struct vcs_buf out;
    struct list pending; /* struct rpc_pending, conn_link */
    unsigned n_pending;
    int dirty; /* out has grown, or the connection is broken: the transport has something to do */
    int broken;
};

/* One request, while it is handled. */
struct rpc_call {
    struct rpc_conn *conn;
    uint32_t stream_id;
    int64_t deadline_ns; /* 0: none */
};

/* A request that waits.  Embedded in the object that describes what for. */
struct rpc_pending {
    struct list conn_link, all_link;
    struct list queue_link; /* for the owner: where it waits */
    struct rpc_call call;   /* conn is NULL once nobody wants the answer any more */
    /* The connection has gone or the deadline has passed (the answer is sent already): call.conn is NULL.
     * Frees the object, unless its work goes on without an answer. */
    void (*dropped)(struct rpc_pending *p);
};

/* ---- for transports ---- */

void rpc_conn_init(struct rpc_conn *c);
/* Handle what stands in reader.in as far as possible; 1 when it was stopped by RPC_OUT_PAUSE. */
int rpc_conn_work(struct rpc_conn *c);
/* Drop its waiting requests / these, and free its buffers. */
void rpc_conn_drop_pending(struct rpc_conn *c);
void rpc_conn_done(struct rpc_conn *c);

/* ---- for methods ---- */

void rpc_reply(struct rpc_call *call, const ProtobufCMessage *msg);
void rpc_reply_empty(struct rpc_call *call);
/* Room for a reply of exactly n bytes, to be filled in by the caller; NULL (and the connection is broken)
 * without memory. */
unsigned char *rpc_reply_space(struct rpc_call *call, size_t n);
void rpc_reply_error(struct rpc_call *call, const struct agent_err *err);

/* Make a request wait.  On failure (too many) -1 with *err. */
int rpc_pending_add(struct rpc_pending *p, const struct rpc_call *call, void (*dropped)(struct rpc_pending *p),
                    struct agent_err *err);
/* It waits no longer: out of all lists, also the owner's queue. */
void rpc_pending_end(struct rpc_pending *p);
/* The time of the next deadline (0: none), and: answer those that have passed. */
int64_t rpc_next_deadline(void);
void rpc_expire(int64_t now_ns);

/* A method: 0 when it has replied or made the call wait, else -1 with *err. */
typedef int (*rpc_method_fn)(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
struct rpc_method {
    const char *name;
    const ProtobufCMessageDescriptor *request;
    rpc_method_fn fn;
};
/* Ended by an entry without name. */
extern const struct rpc_method rpc_health_methods[], rpc_agent_methods[], rpc_guest_methods[];

#endif
