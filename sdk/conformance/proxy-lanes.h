/* SPDX-License-Identifier: Apache-2.0 */
/* proxy-lanes.h: both ends of what a proxy carries, in one loop: clients that connect to its address, and the agent's
 * end, which takes a connection for each of them or, by yamux, streams of one connection.
 *
 * A lane is one client with its end at the agent.  What goes over it is known for each byte, so whatever is lost,
 * doubled, mixed up or of another lane is seen at once.  Nothing here waits in a read or a write. */
#ifndef VCT_PROXY_LANES_H
#define VCT_PROXY_LANES_H

#include "conformance/vct.h"
#include "lib/yamux.h"

#define VCT_LANES     64
#define VCT_LANE_HEAD 16   /* bytes by which the agent's end knows whose they are */
#define VCT_LANES_MS  4000 /* nothing moved for so long: nothing will */

enum { VCT_OUT, VCT_IN }; /* from the client to the agent, and back */

struct vct_way {
    uint64_t seed;
    uint64_t goal, sent, got; /* bytes: to be sent, taken by the proxy, given by it */
    size_t step, gulp;        /* the largest write and read; 0: 64 KiB */
    int lockstep;             /* nothing is sent before all that was sent has come */
    int end;                  /* its sender ends it after `goal` */
    int ended, over;          /* its sender has; its receiver has seen that */
    int held;                 /* its receiver does not read */
    int loose;                /* somebody left without a word: what is missing then is no fault */
    int apart;                /* it is not waited for */
};
struct vct_lane {
    int fd;        /* the client's; -1: it has left */
    int conn;      /* of the agent's end; -1: none is known (yet) */
    uint32_t id;   /* of its stream there; 0: it has the connection for itself */
    int met;       /* its first bytes came to the agent's end */
    uint64_t owed; /* taken from its stream without more window given */
    struct vct_way way[2];
};
struct vct_lane_conn {
    struct vct_lanes *all;
    int fd, early; /* early: it was there before any client */
    vcs_yamux *mux;
    int lane; /* -1: not known yet, or many */
    unsigned char head[VCT_LANE_HEAD];
    size_t n_head;
};
struct vct_lane_stream {
    uint32_t id;
    int conn;
    unsigned char head[VCT_LANE_HEAD];
    size_t n_head;
};
struct vct_lanes {
    struct vct *t;
    struct vct_pod *pod;
    int listener, serial; /* serial: a port, which takes one connection */
    uint32_t nonce;
    struct vct_lane lane[VCT_LANES];
    int n;
    struct vct_lane_conn conn[VCT_LANES];
    int n_conns;
    struct vct_lane_stream fresh[VCT_LANES]; /* streams whose first bytes are not all there */
    int n_fresh;
    int64_t moved;    /* when something was carried last */
    char wrong[1024]; /* what the proxy did wrong; "": nothing yet */
    int foreign;      /* what came is no form that is known: wrong says so */
};

/* Start a proxy in a pod of its own, with an agent's end of ours; skips the check when it has no process. */
struct vct_lanes *vct_lanes_new(struct vct *t);
void vct_lanes_free(struct vct_lanes *l);
/* A new client, which says who it is (`mute`: says nothing); its lane. */
struct vct_lane *vct_lanes_dial(struct vct_lanes *l, int mute);
/* Carry until all that is waited for has come (1), nothing has moved for quiet_ms (0), or something is wrong (-1). */
int vct_lanes_pump(struct vct_lanes *l, int quiet_ms);
/* Carry for so long, whatever comes. */
void vct_lanes_run(struct vct_lanes *l, int ms);
/* Like pump with time enough; what is missing fails the check: "WHEN: of the ...". */
void vct_lanes_must(struct vct_lanes *l, const char *when);
/* More to carry. */
void vct_lane_more(struct vct_lane *p, int way, uint64_t n);
/* Its sender ends that way after all it has to send. */
void vct_lane_end(struct vct_lane *p, int way);
/* The client leaves without a word; the agent's end of it does. */
void vct_lane_leave(struct vct_lanes *l, struct vct_lane *p);
void vct_lane_drop(struct vct_lanes *l, struct vct_lane *p);
/* 1: the lane is used up, nothing of it is open here. */
int vct_lane_over(const struct vct_lane *p);

/* P7, P8, P9 (checks-proxy-data.c) */
void vct_proxy_p7(struct vct *t);
void vct_proxy_p8(struct vct *t);
void vct_proxy_p9(struct vct *t);

#endif
