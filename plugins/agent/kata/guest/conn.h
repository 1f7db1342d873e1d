/* SPDX-License-Identifier: Apache-2.0 */
/* conn.h: connections as the two transport files share them. */
#ifndef AGENT_CONN_H
#define AGENT_CONN_H

#include "loop.h"
#include "rpc.h"

struct conn {
    struct rpc_conn rpc;
    struct list link;
    struct watch w;      /* of a plain connection; fd is -1 otherwise */
    uint32_t stream;     /* of a yamux stream; 0 otherwise */
    int eof;             /* the peer sends no more */
    int paused;          /* requests wait in reader.in until replies have been taken */
    size_t unconsumed;   /* of a stream: bytes for which no window was given back */
};

struct conn *conn_new(uint32_t stream);
void conn_free(struct conn *c);
struct conn *conn_find(uint32_t stream);
/* Free all connections that are yamux streams. */
void conn_drop_streams(void);

/* mux.c: the parts of transport_flush and so on that concern yamux.  mux_end_conn and mux_consumed do
 * nothing with a plain connection. */
void mux_flush_conn(struct conn *c);
void mux_consumed(struct conn *c);
void mux_end_conn(struct conn *c);
/* Write to the port; 1 when connections may have become able to send. */
int mux_flush_port(void);
int mux_idle(void);
void mux_close(void);

#endif
