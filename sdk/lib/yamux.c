/* SPDX-License-Identifier: Apache-2.0 */
/* yamux.c: the yamux state machine.
 *
 * Received payload is never stored here: it goes to the owner as it comes, in parts if it comes in
 * parts.  Sent payload stands in the output until the owner has written it; it is bounded by the
 * windows that the peer has opened.  What a peer can make us answer (pings, resets, acknowledgements)
 * is bounded by CONTROL_MAX: a peer that asks without reading loses the session. */
#include "lib/yamux.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"

#define HEADER      12
#define CONTROL_MAX (256u * 1024)
#define OUTPUT_KEEP (256u * 1024)
#define FRAME_MAX   VCS_YAMUX_WINDOW

enum { TYPE_DATA = 0, TYPE_WINDOW = 1, TYPE_PING = 2, TYPE_GOAWAY = 3 };
enum { SYN = 1, ACK = 2, FIN = 4, RST = 8 };

struct stream {
    struct stream *next;
    uint32_t id;
    uint32_t recv_left;   /* what the peer may still send */
    uint32_t recv_credit; /* consumed, but not yet given back to the peer */
    uint32_t send_left;   /* what we may still send */
    unsigned char fin_sent, fin_received;
};

struct vcs_yamux {
    struct vcs_yamux_events ev;
    void *ctx;
    struct stream **table;
    size_t mask, count;
    uint32_t next_id;
    int is_client, peer_gone, we_gone;
    int failure; /* negative errno once the session is over */
    const char *why;

    unsigned char head[HEADER];
    size_t head_len;
    uint32_t body_left, body_id; /* of the data frame that is coming in */
    int body_fin;

    struct vcs_buf out;
    size_t control; /* bytes of answers in `out`, estimated from below */
};

/* ---- streams ---- */

static struct stream **slot(const vcs_yamux *y, uint32_t id)
{
    /* Ids are consecutive numbers of one parity: without their lowest bit they spread perfectly. */
    struct stream **s = &y->table[(id >> 1) & y->mask];
    while (*s && (*s)->id != id)
        s = &(*s)->next;
    return s;
}

static struct stream *find(const vcs_yamux *y, uint32_t id)
{
    return *slot(y, id);
}

static void grow(vcs_yamux *y)
{
    size_t mask = y->mask * 2 + 1;
    struct stream **table = calloc(mask + 1, sizeof(struct stream *));
    if (!table)
        return; /* the old one still works */
    for (size_t i = 0; i <= y->mask; i++) {
        while (y->table[i]) {
            struct stream *s = y->table[i];
            y->table[i] = s->next;
            s->next = table[(s->id >> 1) & mask];
            table[(s->id >> 1) & mask] = s;
        }
    }
    free(y->table);
    y->table = table;
    y->mask = mask;
}

static struct stream *add(vcs_yamux *y, uint32_t id)
{
    struct stream *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    if (y->count > y->mask)
        grow(y);
    s->id = id;
    s->recv_left = s->send_left = VCS_YAMUX_WINDOW;
    struct stream **at = &y->table[(id >> 1) & y->mask];
    s->next = *at;
    *at = s;
    y->count++;
    return s;
}

static void drop(vcs_yamux *y, uint32_t id)
{
    struct stream **at = slot(y, id), *s = *at;
    if (!s)
        return;
    *at = s->next;
    free(s);
    y->count--;
}

/* ---- output ---- */

static void write_header(unsigned char *p, unsigned type, unsigned flags, uint32_t id, uint32_t len)
{
    p[0] = 0;
    p[1] = (unsigned char)type;
    vcs_put_be16(p + 2, (uint16_t)flags);
    vcs_put_be32(p + 4, id);
    vcs_put_be32(p + 8, len);
}

static void put(vcs_yamux *y, unsigned type, unsigned flags, uint32_t id, uint32_t len)
{
    unsigned char *p = vcs_buf_reserve(&y->out, HEADER);
    if (!p) {
        if (!y->failure) {
            y->failure = -ENOMEM;
            y->why = "out of memory";
        }
        return;
    }
    write_header(p, type, flags, id, len);
    vcs_buf_commit(&y->out, HEADER);
}

static int fail(vcs_yamux *y, const char *why)
{
    if (!y->failure) {
        put(y, TYPE_GOAWAY, 0, 0, 1);
        y->failure = -EPROTO;
        y->why = why;
    }
    return y->failure;
}

/* A frame that the peer has caused. */
static void answer(vcs_yamux *y, unsigned type, unsigned flags, uint32_t id, uint32_t len)
{
    if (y->control >= CONTROL_MAX) {
        fail(y, "the peer asks for answers but does not read them");
        return;
    }
    y->control += HEADER;
    put(y, type, flags, id, len);
}

const void *vcs_yamux_output(const vcs_yamux *y, size_t *n)
{
    *n = y->out.len;
    return y->out.len ? vcs_buf_data(&y->out) : NULL;
}

void vcs_yamux_output_consume(vcs_yamux *y, size_t n)
{
    y->control -= n < y->control ? n : y->control;
    vcs_buf_consume(&y->out, n);
    if (!y->out.len) {
        y->control = 0;
        if (y->out.cap > OUTPUT_KEEP) /* smaller ones are kept: fresh pages for every flush cost more than the copy */
            vcs_buf_done(&y->out);
    }
}

/* ---- input ---- */

static void tell_closed(vcs_yamux *y, uint32_t id)
{
    if (y->ev.closed)
        y->ev.closed(y->ctx, id);
}

static int syn(vcs_yamux *y, uint32_t id)
{
    if (id == 0 || (id & 1) != (y->is_client ? 0u : 1u))
        return fail(y, "the peer opened a stream with an id of the wrong side");
    if (find(y, id))
        return fail(y, "the peer opened a stream that is open");
    if (y->we_gone || y->count >= VCS_YAMUX_MAX_STREAMS) {
        answer(y, TYPE_WINDOW, RST, id, 0);
        return 0;
    }
    if (!add(y, id)) {
        y->failure = -ENOMEM;
        y->why = "out of memory";
        return y->failure;
    }
    answer(y, TYPE_WINDOW, ACK, id, 0);
    if ((!y->ev.opened || y->ev.opened(y->ctx, id) != 0) && find(y, id)) {
        drop(y, id);
        answer(y, TYPE_WINDOW, RST, id, 0);
    }
    return 0;
}

/* The peer's FIN, after all data that came with it. */
static int fin(vcs_yamux *y, uint32_t id)
{
    struct stream *s = find(y, id);
    if (!s)
        return 0;
    if (s->fin_received)
        return fail(y, "the peer finished a stream twice");
    s->fin_received = 1;
    if (y->ev.finished)
        y->ev.finished(y->ctx, id);
    s = find(y, id);
    if (s && s->fin_sent) {
        drop(y, id);
        tell_closed(y, id);
    }
    return 0;
}

/* The flags of a data or window frame, except FIN. */
static int flags_of(vcs_yamux *y, unsigned flags, uint32_t id)
{
    if (flags & SYN) {
        int r = syn(y, id);
        if (r < 0)
            return r;
    }
    if (flags & RST && find(y, id)) {
        drop(y, id);
        tell_closed(y, id);
    }
    return y->failure;
}

static int data_frame(vcs_yamux *y, unsigned flags, uint32_t id, uint32_t len)
{
    int r = flags_of(y, flags, id);
    if (r < 0)
        return r;
    struct stream *s = find(y, id);
    if (s) {
        if (len > s->recv_left)
            return fail(y, "the peer sent more than the window of a stream allows");
        s->recv_left -= len;
    }
    if (!len)
        return flags & FIN ? fin(y, id) : 0;
    y->body_left = len;
    y->body_id = id;
    y->body_fin = (flags & FIN) != 0;
    return 0;
}

static int window_frame(vcs_yamux *y, unsigned flags, uint32_t id, uint32_t len)
{
    int r = flags_of(y, flags, id);
    if (r < 0)
        return r;
    struct stream *s = find(y, id);
    if (s && len) {
        s->send_left = len > UINT32_MAX - s->send_left ? UINT32_MAX : s->send_left + len;
        if (!s->fin_sent && y->ev.writable)
            y->ev.writable(y->ctx, id);
    }
    return flags & FIN ? fin(y, id) : 0;
}

static int header(vcs_yamux *y)
{
    const unsigned char *h = y->head;
    unsigned flags = vcs_get_be16(h + 2);
    uint32_t id = vcs_get_be32(h + 4), len = vcs_get_be32(h + 8);
    if (h[0] != 0)
        return fail(y, "the peer speaks another version of yamux, or something else");
    switch (h[1]) {
    case TYPE_DATA:
        return data_frame(y, flags, id, len);
    case TYPE_WINDOW:
        return window_frame(y, flags, id, len);
    case TYPE_PING:
        if (flags & SYN)
            answer(y, TYPE_PING, ACK, 0, len);
        return 0;
    case TYPE_GOAWAY:
        y->peer_gone = 1;
        if (len == 0)
            return 0;
        y->failure = -EPROTO; /* no go away in answer to one */
        y->why = len == 1 ? "the peer ended the session: protocol error" : "the peer ended the session: internal error";
        return y->failure;
    default:
        return fail(y, "the peer sent a frame of an unknown type");
    }
}

/* A part of the payload of a data frame. */
static int body(vcs_yamux *y, const unsigned char *p, size_t n)
{
    uint32_t id = y->body_id;
    struct stream *s = find(y, id);
    if (s && !s->fin_received) { /* real peers may race a last write against their FIN: such data is dropped */
        if (y->ev.data)
            y->ev.data(y->ctx, id, p, n);
        else
            vcs_yamux_consumed(y, id, n);
    }
    y->body_left -= (uint32_t)n;
    if (y->body_left == 0 && y->body_fin)
        return fin(y, id);
    return 0;
}

int vcs_yamux_input(vcs_yamux *y, const void *data, size_t n)
{
    const unsigned char *p = data;
    while (n && !y->failure) {
        if (y->body_left) {
            size_t part = n < y->body_left ? n : y->body_left;
            body(y, p, part);
            p += part;
            n -= part;
            continue;
        }
        size_t part = HEADER - y->head_len;
        if (part > n)
            part = n;
        memcpy(y->head + y->head_len, p, part);
        y->head_len += part;
        p += part;
        n -= part;
        if (y->head_len == HEADER) {
            y->head_len = 0;
            header(y);
        }
    }
    return y->failure;
}

const char *vcs_yamux_error(const vcs_yamux *y)
{
    return y->why ? y->why : "no error";
}

/* ---- the owner's side ---- */

vcs_yamux *vcs_yamux_new(int is_client, const struct vcs_yamux_events *ev, void *ctx)
{
    vcs_yamux *y = calloc(1, sizeof(*y));
    if (!y)
        return NULL;
    y->mask = 15;
    y->table = calloc(y->mask + 1, sizeof(struct stream *));
    if (!y->table) {
        free(y);
        return NULL;
    }
    y->ev = *ev;
    y->ctx = ctx;
    y->is_client = is_client;
    y->next_id = is_client ? 1 : 2;
    return y;
}

void vcs_yamux_free(vcs_yamux *y)
{
    if (!y)
        return;
    for (size_t i = 0; i <= y->mask; i++) {
        while (y->table[i]) {
            struct stream *s = y->table[i];
            y->table[i] = s->next;
            free(s);
        }
    }
    free(y->table);
    vcs_buf_done(&y->out);
    free(y);
}

uint32_t vcs_yamux_open(vcs_yamux *y)
{
    if (y->failure || y->peer_gone || y->count >= VCS_YAMUX_MAX_STREAMS || y->next_id > UINT32_MAX - 2)
        return 0;
    uint32_t id = y->next_id;
    if (!add(y, id))
        return 0;
    y->next_id += 2;
    put(y, TYPE_WINDOW, SYN, id, 0);
    return id;
}

size_t vcs_yamux_sendable(const vcs_yamux *y, uint32_t id)
{
    const struct stream *s = y->failure ? NULL : find(y, id);
    return s && !s->fin_sent ? s->send_left : 0;
}

void *vcs_yamux_send_begin(vcs_yamux *y, uint32_t id, size_t *n)
{
    size_t room = vcs_yamux_sendable(y, id);
    if (*n > room)
        *n = room;
    if (*n > FRAME_MAX)
        *n = FRAME_MAX;
    if (!*n)
        return NULL;
    unsigned char *p = vcs_buf_reserve(&y->out, HEADER + *n);
    return p ? p + HEADER : NULL;
}

void vcs_yamux_send_end(vcs_yamux *y, uint32_t id, size_t n)
{
    struct stream *s = find(y, id);
    if (!s || !n || n > s->send_left)
        return;
    write_header(y->out.mem + y->out.off + y->out.len, TYPE_DATA, 0, id, (uint32_t)n);
    vcs_buf_commit(&y->out, HEADER + n);
    s->send_left -= (uint32_t)n;
}

long vcs_yamux_send(vcs_yamux *y, uint32_t id, const void *data, size_t n)
{
    const struct stream *s = y->failure ? NULL : find(y, id);
    if (!s || s->fin_sent)
        return -EPIPE;
    size_t done = 0;
    while (done < n) {
        size_t part = n - done;
        void *p = vcs_yamux_send_begin(y, id, &part);
        if (!p && part)
            return done ? (long)done : -ENOMEM;
        if (!p)
            break;
        memcpy(p, (const unsigned char *)data + done, part);
        vcs_yamux_send_end(y, id, part);
        done += part;
    }
    return (long)done;
}

void vcs_yamux_consumed(vcs_yamux *y, uint32_t id, size_t n)
{
    struct stream *s = y->failure ? NULL : find(y, id);
    if (!s || s->fin_received)
        return;
    uint32_t owed = VCS_YAMUX_WINDOW - s->recv_left - s->recv_credit;
    s->recv_credit += n < owed ? (uint32_t)n : owed;
    if (s->recv_credit >= VCS_YAMUX_WINDOW / 2) {
        put(y, TYPE_WINDOW, 0, id, s->recv_credit);
        s->recv_left += s->recv_credit;
        s->recv_credit = 0;
    }
}

void vcs_yamux_finish(vcs_yamux *y, uint32_t id)
{
    struct stream *s = y->failure ? NULL : find(y, id);
    if (!s || s->fin_sent)
        return;
    s->fin_sent = 1;
    put(y, TYPE_WINDOW, FIN, id, 0);
    if (s->fin_received) {
        drop(y, id);
        tell_closed(y, id);
    }
}

void vcs_yamux_reset(vcs_yamux *y, uint32_t id)
{
    if (!find(y, id))
        return;
    drop(y, id);
    if (!y->failure)
        put(y, TYPE_WINDOW, RST, id, 0);
}

void vcs_yamux_go_away(vcs_yamux *y, uint32_t reason)
{
    if (!y->failure)
        put(y, TYPE_GOAWAY, 0, 0, reason);
    y->we_gone = 1;
}

size_t vcs_yamux_streams(const vcs_yamux *y)
{
    return y->count;
}
