/* SPDX-License-Identifier: Apache-2.0 */
/* conn.h: one ttRPC connection to an agent, shared by the threads of one instance.
 *
 * There is no thread of its own until streams are pumped: a thread that waits for an answer reads the
 * connection itself and hands over what belongs to others (the driver).  With streams, one background
 * thread is the driver for the rest of the connection's life. */
#ifndef KATA_CONN_H
#define KATA_CONN_H

#include <poll.h>
#include <pthread.h>

#include <protobuf-c/protobuf-c.h>
#include <vc/plugin.h>

#include "lib/buf.h"
#include "lib/ttrpc.h"

#define KATA_TEXT_MAX 320 /* of a guest's words in an error */

#define KATA_AGENT  "grpc.AgentService"
#define KATA_HEALTH "grpc.Health"
#define KATA_GUEST  "vccore.GuestService" /* of vc-agent only */

/* An answer.  Text is cleaned; payload is malloc'ed. */
struct kata_reply {
    int32_t code; /* VCS_RPC_* */
    char text[KATA_TEXT_MAX];
    unsigned char *payload;
    size_t len;
};

struct kata_conn;

/* A request that waits for its answer.  Those of calls are on the heap, those of streams inside them. */
struct kata_pending {
    struct kata_pending *next;
    uint32_t id;
    int done, orphan; /* orphan: its caller gave up; the answer is still to come */
    char *key;        /* NULL, or the name under which a later call may adopt an orphan */
    struct kata_reply reply;
    /* Streams: called by the driver, under the lock, instead of storing the reply. */
    void (*on_reply)(struct kata_conn *c, struct kata_pending *p, const struct vcs_ttrpc_response *r);
};

struct kata_stream;

struct kata_conn {
    const vc_host *host;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t cond;  /* something changed */
    char *uri;
    int refs;
    int fd, wake; /* wake: eventfd that gets the driver out of poll */
    int opening;  /* a thread is connecting */
    int driving;  /* a thread reads the connection */
    int threaded, stop;
    pthread_t thread;
    uint32_t next_id;
    unsigned orphans;
    struct kata_pending *pending;
    struct vcs_ttrpc_reader in;
    struct vcs_buf out;
    int fail_code, fail_sys; /* 0: works */
    char fail_text[KATA_TEXT_MAX];
    unsigned cancels; /* counts calls of cancel */
    struct kata_stream *streams;
    struct pollfd *pfd;
    size_t n_pfd;
};

/* A connection that is not open yet, with one reference; NULL without memory. */
struct kata_conn *kata_conn_new(const vc_host *host, const char *uri);
struct kata_conn *kata_conn_ref(struct kata_conn *c);
/* Drop a reference; the last one ends the background thread and frees. */
void kata_conn_unref(struct kata_conn *c);
/* Open it unless it is open.  `patient`: go on trying until the deadline while nobody listens. */
int kata_conn_open(struct kata_conn *c, const struct vc_call *call, int patient);
/* 1 when it failed and will not work again. */
int kata_conn_failed(struct kata_conn *c);
/* Has it failed, or has the agent ended it? */
int kata_conn_gone(struct kata_conn *c);
/* Let every waiting call end with this failure. */
void kata_conn_shut(struct kata_conn *c, int code, const char *why);
/* Let every running call end with VC_E_CANCELLED. */
void kata_conn_cancel(struct kata_conn *c);
/* One call: 0 when an answer came (also one with an error code), else VC_E_* with the error set.  A call with
 * a `key` that ended without an answer is taken up again by the next one with that key. */
int kata_conn_call(struct kata_conn *c, const struct vc_call *call, const char *service, const char *method,
                   const char *key, const ProtobufCMessage *req, struct kata_reply *ret);
void kata_reply_done(struct kata_reply *r);

/* ---- for stream.c, under the lock ---- */

/* Queue a request whose answer goes to p->on_reply.  0 or VC_E_*; the connection has failed then. */
int kata_conn_post(struct kata_conn *c, struct kata_pending *p, const char *method, const ProtobufCMessage *req);
void kata_conn_forget(struct kata_conn *c, struct kata_pending *p);
/* The connection cannot be used any more. */
void kata_conn_fail(struct kata_conn *c, int code, int sys, const char *fmt, ...) VCS_PRINTF(4, 5);
/* Start the background thread unless it runs; 0 or an errno. */
int kata_conn_start(struct kata_conn *c);
void kata_conn_wake(struct kata_conn *c);

/* Words of a guest as they may be shown: bounded, one line, no control bytes, valid UTF-8. */
void kata_clean(char *out, size_t size, const char *in, size_t n);

#endif
