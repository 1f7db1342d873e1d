/* SPDX-License-Identifier: Apache-2.0 */
/* peer-run.h: what the parts of a peer's own process share: its world (facts, variant), its connections, its rules. */
#ifndef VCT_PEER_RUN_H
#define VCT_PEER_RUN_H

#include <stdint.h>

#include "conformance/scenario.h"

#define VCT_LATE_NS     (INT64_C(300) * 1000000)
#define VCT_SLOW_NS     (INT64_C(2) * 1000000)
#define VCT_FLOOD       (64u * 1024 * 1024)
#define VCT_CONNS       72
#define VCT_MESSAGE_MAX (16u * 1024 * 1024)

/* A stream: `in` is read, `out` is written (mostly the same). */
struct vct_conn {
    int in, out;
    struct vcs_buf inb, outb;
    int64_t due;          /* nothing is written before */
    int eof, closing;     /* nothing more to read; close it once all is written */
    int counted;          /* its bytes are counted in `received` */
    int partner;          /* index of the stream that gets what is read here (relay); -1: rules answer */
    char label[200];      /* of `label` or `join`; "" when it has none */
    int unframed;         /* joined: its bytes are carried as they are */
    int inner;            /* it is the real program's end of a relay: what it says may be garbled */
    uint64_t flood;       /* bytes of nonsense still to send */
    struct vcs_buf again; /* endless: the answer that is sent again and again */
};

struct vct_run {
    const char *dir;                /* DIR/peers */
    int facts_dir;                  /* DIR/peers/facts */
    const char *file, *name, *role; /* "" when there is none */
    struct vct_peer *peer;          /* NULL: without script */
    char variant[96];               /* as told */
    struct vct_variant *rules;      /* of the variant; NULL: none of its own */
    enum vct_fault fault;
    char **words; /* the command line it stands in for; NULL-terminated */
    int listener, signals, watch, parent;
    char socket[4096], inner[4096];
    int64_t open_at; /* when the listener opens (late-listen); 0: no such time */
    int fillers[64], n_fillers;
    struct vct_conn conns[VCT_CONNS];
    int n_conns;
    unsigned clients;
    uint64_t received;
    int passed; /* the descriptor that came last over a stream (SCM_RIGHTS), plus one */
};

/* facts (peer-facts.c) */
int vct_facts_get(int dir, const char *name, char *value, size_t size); /* length, or -errno */
int vct_facts_set(int dir, const char *name, const char *value, size_t len);
int vct_facts_unset(int dir, const char *name);
/* The variant that holds for a peer, from "NAME" or "NAME@PEER". */
void vct_variant_for(const char *told, const char *name, const char *role, char *out, size_t size);

/* peer-run.c */
void vct_run_fact(void *run, const char *name, struct vcs_buf *out);
void vct_run_variant(struct vct_run *p);
/* Queue bytes for a stream, as the fault in use has it. */
void vct_conn_send(struct vct_run *p, struct vct_conn *c, const void *data, size_t len);
/* The next whole message in c->inb: its length with the frame, *at and *n are the message; 0: none yet; -1: too long.
 */
long vct_conn_message(const struct vct_run *p, const struct vct_conn *c, const unsigned char **at, size_t *n);
/* Read what is there: > 0, 0 at the end, -1 when there is nothing. */
int vct_conn_read(struct vct_run *p, struct vct_conn *c);
void vct_conn_flush(struct vct_run *p, struct vct_conn *c);
/* A stream got a partner: carry what came before. */
void vct_conn_joined(struct vct_run *p, struct vct_conn *c);
struct vct_conn *vct_conn_add(struct vct_run *p, int in, int out);

/* peer-rules.c */
/* Do what the first fitting rule says.  word: the message, or the name of a fact; v: value of the fact.  1 when there
 * was a rule. */
int vct_rules_run(struct vct_run *p, enum vct_head head, struct vct_conn *c, const char *word, size_t len,
                  const char *v, int number);
/* Signals that any rule is about. */
void vct_rules_signals(const struct vct_run *p, uint64_t *ret_mask);
void vct_run_end(struct vct_run *p, int status) __attribute__((noreturn));

#endif
