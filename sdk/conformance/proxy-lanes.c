/* SPDX-License-Identifier: Apache-2.0 */
/* proxy-lanes.c: carries known bytes through a proxy, from clients to the agent's end and back, and looks at each of
 * them. */
#include "conformance/proxy-lanes.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "conformance/kind-proxy.h"
#include "conformance/peer.h"
#include "conformance/watch.h"
#include "lib/io.h"

#define CHUNK     65536u
#define DIAL_NS   (INT64_C(4) * 1000000000)
#define FLOOD     (256u * 1024) /* of frames that wait for the proxy */
#define HEAD_WORD "vct-"
#define DYING_MS  500       /* connections of a process that ends are closed a moment before it has ended */
#define SEARCHED  (1 << 20) /* how far off bytes that came wrong are looked for */

/* ---- what is carried ---- */

static uint64_t word_at(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* The bytes of a way from `at` on. */
static void bytes_at(uint64_t seed, uint64_t at, unsigned char *out, size_t n)
{
    for (size_t done = 0; done < n;) {
        uint64_t w = word_at(seed, (at + done) / 8);
        if ((at + done) % 8 == 0 && n - done >= 8) {
            w = htole64(w);
            memcpy(out + done, &w, 8);
            done += 8;
            continue;
        }
        for (unsigned k = (unsigned)((at + done) % 8); k < 8 && done < n; k++)
            out[done++] = (unsigned char)(w >> (8 * k));
    }
}

static int number_of(const struct vct_lanes *l, const struct vct_lane *p)
{
    return (int)(p - l->lane) + 1;
}

static void head_of(const struct vct_lanes *l, int lane, char out[VCT_LANE_HEAD + 1])
{
    snprintf(out, VCT_LANE_HEAD + 1, HEAD_WORD "%02u-%06x\n\n\n", (unsigned)lane % 100, l->nonce & 0xffffff);
}

/* Who sends and who gets; "client 3", "the agent (client 3)". */
static const char *sender(const struct vct_lanes *l, const struct vct_lane *p, int way, int to)
{
    static _Thread_local char text[4][64];
    static _Thread_local unsigned at;
    char *out = text[at++ % 4];
    if ((way == VCT_OUT) == !to)
        snprintf(out, sizeof(text[0]), "client %d", number_of(l, p));
    else
        snprintf(out, sizeof(text[0]), "the agent's end of client %d", number_of(l, p));
    return out;
}

static void wrong(struct vct_lanes *l, const char *fmt, ...) VCS_PRINTF(2, 3);
static void wrong(struct vct_lanes *l, const char *fmt, ...)
{
    va_list ap;
    if (l->wrong[0])
        return;
    va_start(ap, fmt);
    vsnprintf(l->wrong, sizeof(l->wrong), fmt, ap);
    va_end(ap);
}

/* Bytes that are not the next ones of their way: what happened to them? */
static void tell_wrong(struct vct_lanes *l, struct vct_lane *p, int way, uint64_t at, const unsigned char *data,
                       size_t n)
{
    static unsigned char field[2 * SEARCHED + CHUNK];
    const char *from = sender(l, p, way, 0), *to = sender(l, p, way, 1);
    struct vct_way *w = &p->way[way];
    size_t look = n < 16 ? n : 16;
    char head[VCT_LANE_HEAD + 1];
    for (struct vct_lane *q = l->lane; way == VCT_OUT && q < l->lane + l->n; q++) {
        head_of(l, number_of(l, q) - 1, head);
        if (q == p || memcmp(data, head, look) != 0)
            continue;
        wrong(l, "the first bytes of client %d came on the connection of client %d: nothing tells their bytes apart",
              number_of(l, q), number_of(l, p));
        return;
    }
    if (at >= w->sent) {
        wrong(l, "%s got more than the %llu bytes that %s had sent", to, (unsigned long long)w->sent, from);
        return;
    }
    for (struct vct_lane *q = l->lane; look >= 8 && q < l->lane + l->n; q++) {
        struct vct_way *o = &q->way[way];
        uint64_t first = at > SEARCHED ? at - SEARCHED : 0, end = at + SEARCHED < o->sent ? at + SEARCHED : o->sent;
        size_t len = end > first ? (size_t)(end - first) : 0;
        bytes_at(o->seed, first, field, len);
        const unsigned char *found = len >= look ? memmem(field, len, data, look) : NULL;
        if (!found)
            continue;
        uint64_t where = first + (uint64_t)(found - field);
        if (q != p)
            wrong(l, "what %s had sent came to %s (byte %llu)", sender(l, q, way, 0), to, (unsigned long long)at);
        else if (where > at)
            wrong(l, "%llu bytes that %s had sent to %s were lost (from byte %llu on)",
                  (unsigned long long)(where - at), from, to, (unsigned long long)at);
        else
            wrong(l, "what %s had sent to %s came a second time (at byte %llu came byte %llu again)", from, to,
                  (unsigned long long)at, (unsigned long long)where);
        return;
    }
    wrong(l, "byte %llu of what %s had sent to %s came as another one: bytes were lost, doubled or changed",
          (unsigned long long)at, from, to);
}

static void took(struct vct_lanes *l, struct vct_lane *p, int way, const unsigned char *data, size_t n)
{
    unsigned char due[CHUNK];
    struct vct_way *w = &p->way[way];
    l->moved = vcs_now_ns();
    while (n && !l->wrong[0]) {
        size_t part = n < sizeof(due) ? n : sizeof(due), same = 0;
        bytes_at(w->seed, w->got, due, part);
        if (w->got + part <= w->sent && memcmp(due, data, part) == 0)
            same = part;
        while (same < part && w->got + same < w->sent && due[same] == data[same])
            same++;
        if (same < part) {
            tell_wrong(l, p, way, w->got + same, data + same, n - same);
            return;
        }
        w->got += part;
        data += part;
        n -= part;
    }
}

/* The receiver of a way has seen its end. */
static void saw_end(struct vct_lanes *l, struct vct_lane *p, int way)
{
    struct vct_way *w = &p->way[way], *other = &p->way[!way];
    const char *from = sender(l, p, way, 0), *to = sender(l, p, way, 1);
    if (w->over)
        return;
    w->over = 1;
    l->moved = vcs_now_ns();
    if (w->loose || (w->ended && w->got == w->sent))
        return;
    if (w->ended)
        wrong(l, "%s saw the end after %llu of %llu bytes that %s had sent before it ended: the rest was lost", to,
              (unsigned long long)w->got, (unsigned long long)w->sent, from);
    else if (other->ended)
        wrong(
            l,
            "%s had ended its own sending only (shutdown), and was cut off from what %s still sends, after %llu "
            "bytes of it: "
            "the end of one direction became the end of both",
            to, from, (unsigned long long)w->got);
    else
        wrong(l, "%s was cut off after %llu of %llu bytes that %s sends to it, which nobody had ended", to,
              (unsigned long long)w->got, (unsigned long long)w->goal, from);
}

/* A sender was told that nobody takes what it sends. */
static void refused(struct vct_lanes *l, struct vct_lane *p, int way)
{
    struct vct_way *w = &p->way[way], *other = &p->way[!way];
    if (w->loose) {
        w->goal = w->sent;
        w->ended = w->end;
        return;
    }
    wrong(l, "%s cannot send any more, after %llu of %llu bytes%s", sender(l, p, way, 0), (unsigned long long)w->sent,
          (unsigned long long)w->goal,
          other->ended
              ? ": the other side had ended its own sending only, and the end of one direction became the end of both"
              : "");
}

/* How much of a way is to be sent now. */
static size_t due_now(const struct vct_way *w)
{
    uint64_t left = w->goal - w->sent;
    size_t step = w->step ? w->step : CHUNK;
    if (w->lockstep && w->got < w->sent)
        return 0;
    return left < step ? (size_t)left : step;
}

/* ---- the agent's end ---- */

static void conn_close(struct vct_lanes *l, struct vct_lane_conn *c)
{
    int index = (int)(c - l->conn);
    if (c->fd >= 0)
        close(c->fd);
    vcs_yamux_free(c->mux);
    *c = (struct vct_lane_conn){ .fd = -1, .lane = -1 };
    for (int i = 0; i < l->n; i++)
        if (l->lane[i].conn == index)
            l->lane[i].conn = -1;
    for (int i = l->n_fresh - 1; i >= 0; i--)
        if (l->fresh[i].conn == index)
            l->fresh[i] = l->fresh[--l->n_fresh];
}

/* Whose bytes are these?  The lane, -1 when they are nobody's. */
static int lane_of(struct vct_lanes *l, const unsigned char *head)
{
    char due[VCT_LANE_HEAD + 1];
    for (int i = 0; i < l->n; i++) {
        head_of(l, i, due);
        if (memcmp(head, due, VCT_LANE_HEAD) == 0 && !l->lane[i].met)
            return i;
    }
    return -1;
}

static const char *shown(const unsigned char *data, size_t n)
{
    static _Thread_local char text[4 * VCT_LANE_HEAD + 1];
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < n && i < VCT_LANE_HEAD; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%02x", i ? " " : "", data[i]);
    return text;
}

static void meet(struct vct_lanes *l, int lane, int conn, uint32_t id)
{
    l->lane[lane].met = 1;
    l->lane[lane].conn = conn;
    l->lane[lane].id = id;
    l->moved = vcs_now_ns();
}

static struct vct_lane *lane_with(struct vct_lane_conn *c, uint32_t id)
{
    struct vct_lanes *l = c->all;
    for (int i = 0; i < l->n; i++)
        if (l->lane[i].conn == (int)(c - l->conn) && l->lane[i].id == id)
            return &l->lane[i];
    return NULL;
}

static struct vct_lane_stream *fresh_with(struct vct_lane_conn *c, uint32_t id)
{
    for (int i = 0; i < c->all->n_fresh; i++)
        if (c->all->fresh[i].conn == (int)(c - c->all->conn) && c->all->fresh[i].id == id)
            return &c->all->fresh[i];
    return NULL;
}

static int mux_opened(void *ctx, uint32_t id)
{
    struct vct_lane_conn *c = ctx;
    struct vct_lanes *l = c->all;
    if (l->n_fresh == VCT_LANES)
        return -1;
    l->fresh[l->n_fresh++] = (struct vct_lane_stream){ .id = id, .conn = (int)(c - l->conn) };
    l->moved = vcs_now_ns();
    return 0;
}

static void mux_data(void *ctx, uint32_t id, const void *data, size_t n)
{
    struct vct_lane_conn *c = ctx;
    struct vct_lanes *l = c->all;
    struct vct_lane_stream *s = fresh_with(c, id);
    const unsigned char *at = data;
    if (s) {
        size_t part = VCT_LANE_HEAD - s->n_head < n ? VCT_LANE_HEAD - s->n_head : n;
        memcpy(s->head + s->n_head, at, part);
        s->n_head += part;
        at += part;
        n -= part;
        vcs_yamux_consumed(c->mux, id, part);
        if (s->n_head < VCT_LANE_HEAD)
            return;
        int lane = lane_of(l, s->head);
        if (lane < 0)
            wrong(l, "the first bytes on a new stream at the agent's end, %s, are not those that a client has sent",
                  shown(s->head, VCT_LANE_HEAD));
        else
            meet(l, lane, s->conn, id);
        *s = l->fresh[--l->n_fresh];
    }
    struct vct_lane *p = lane_with(c, id);
    if (p && n) {
        took(l, p, VCT_OUT, at, n);
        p->owed += n;
    }
    if (p && !p->way[VCT_OUT].held) {
        vcs_yamux_consumed(c->mux, id, (size_t)p->owed);
        p->owed = 0;
    }
}

static void mux_finished(void *ctx, uint32_t id)
{
    struct vct_lane_conn *c = ctx;
    struct vct_lane *p = lane_with(c, id);
    if (p)
        saw_end(c->all, p, VCT_OUT);
    else
        vcs_yamux_finish(c->mux, id); /* of one that has left before it said anything */
}

static void mux_closed(void *ctx, uint32_t id)
{
    struct vct_lane_conn *c = ctx;
    struct vct_lane *p = lane_with(c, id);
    struct vct_lane_stream *s = fresh_with(c, id);
    if (s)
        *s = c->all->fresh[--c->all->n_fresh];
    if (!p)
        return;
    if (!p->way[VCT_IN].ended)
        refused(c->all, p, VCT_IN);
    saw_end(c->all, p, VCT_OUT);
    p->conn = -1;
}

static void mux_writable(void *ctx, uint32_t id)
{
    (void)ctx;
    (void)id; /* what may be sent is asked for in each round */
}

static void mux_begin(struct vct_lane_conn *c)
{
    static const struct vcs_yamux_events events = { mux_opened, mux_data, mux_finished, mux_closed, mux_writable };
    c->mux = vcs_yamux_new(0, &events, c);
    c->lane = -1;
    if (!c->mux || vcs_yamux_input(c->mux, c->head, c->n_head) < 0)
        wrong(c->all, "the session with the agent's end is over: %s", c->mux ? vcs_yamux_error(c->mux) : "no memory");
}

/* The first bytes of a connection tell what it is. */
static void first_bytes(struct vct_lanes *l, struct vct_lane_conn *c)
{
    ssize_t n = recv(c->fd, c->head + c->n_head, VCT_LANE_HEAD - c->n_head, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_close(l, c); /* one that said nothing */
        return;
    }
    c->n_head += (size_t)n;
    l->moved = vcs_now_ns();
    size_t word = c->n_head < 4 ? c->n_head : 4;
    if (memcmp(c->head, HEAD_WORD, word) == 0) {
        if (c->n_head < VCT_LANE_HEAD)
            return;
        c->lane = lane_of(l, c->head);
        if (c->lane >= 0) {
            meet(l, c->lane, (int)(c - l->conn), 0);
            return;
        }
    } else if (c->head[0] == 0 && (c->n_head < 2 || c->head[1] <= 3)) { /* yamux: version 0, one of four types */
        if (c->n_head >= 12)
            mux_begin(c);
        return;
    }
    l->foreign = l->serial || c->early;
    wrong(l, "the first bytes on a connection at the agent's end, %s, are not those that a client has sent%s",
          shown(c->head, c->n_head), l->foreign ? ", and no yamux" : "");
}

static void conn_readable(struct vct_lanes *l, struct vct_lane_conn *c)
{
    static unsigned char buf[CHUNK];
    if (c->lane < 0 && !c->mux) {
        first_bytes(l, c);
        return;
    }
    struct vct_lane *p = c->lane >= 0 ? &l->lane[c->lane] : NULL;
    size_t most = p && p->way[VCT_OUT].gulp ? p->way[VCT_OUT].gulp : sizeof(buf);
    ssize_t n = recv(c->fd, buf, most, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (p && n > 0) {
        took(l, p, VCT_OUT, buf, (size_t)n);
    } else if (p) {
        saw_end(l, p, VCT_OUT);
    } else if (n <= 0) {
        wrong(l, "the proxy has closed its connection to the agent, with clients on it");
        conn_close(l, c);
    } else if (vcs_yamux_input(c->mux, buf, (size_t)n) < 0) {
        wrong(l, "the session with the agent's end is over: %s", vcs_yamux_error(c->mux));
    }
}

/* What the agent's end sends over a connection that is a client's own. */
static void plain_writable(struct vct_lanes *l, struct vct_lane *p, int fd, int way)
{
    unsigned char buf[CHUNK];
    struct vct_way *w = &p->way[way];
    size_t n = due_now(w);
    if (n) {
        bytes_at(w->seed, w->sent, buf, n);
        ssize_t done = send(fd, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done > 0) {
            w->sent += (uint64_t)done;
            l->moved = vcs_now_ns();
        } else if (done < 0 && errno != EAGAIN && errno != EINTR) {
            refused(l, p, way);
        }
    }
    if (w->sent == w->goal && w->end && !w->ended) {
        w->ended = 1;
        l->moved = vcs_now_ns();
        shutdown(fd, SHUT_WR);
    }
}

/* The same over a stream; 1 when more could be sent at once. */
static int stream_writable(struct vct_lanes *l, struct vct_lane *p, struct vct_lane_conn *c)
{
    unsigned char buf[CHUNK];
    struct vct_way *w = &p->way[VCT_IN];
    size_t n = due_now(w), room = vcs_yamux_sendable(c->mux, p->id), waits = 0;
    vcs_yamux_output(c->mux, &waits);
    if (waits >= FLOOD)
        return 0;
    n = n < room ? n : room;
    if (n) {
        bytes_at(w->seed, w->sent, buf, n);
        long done = vcs_yamux_send(c->mux, p->id, buf, n);
        if (done > 0) {
            w->sent += (uint64_t)done;
            l->moved = vcs_now_ns();
        }
    }
    if (w->sent == w->goal && w->end && !w->ended) {
        w->ended = 1;
        l->moved = vcs_now_ns();
        vcs_yamux_finish(c->mux, p->id); /* may close it */
        return 0;
    }
    return due_now(w) && room > n;
}

static void conn_flush(struct vct_lanes *l, struct vct_lane_conn *c)
{
    for (;;) {
        size_t n;
        const void *at = vcs_yamux_output(c->mux, &n);
        ssize_t done = n ? send(c->fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        if (done <= 0)
            return; /* an end is seen by reading */
        vcs_yamux_output_consume(c->mux, (size_t)done);
        l->moved = vcs_now_ns();
    }
}

static void conn_accept(struct vct_lanes *l)
{
    struct vct_lane_conn *c = NULL;
    int open = 0, fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    l->moved = vcs_now_ns();
    for (int i = 0; i < VCT_LANES; i++) {
        open += l->conn[i].fd >= 0;
        if (!c && l->conn[i].fd < 0)
            c = &l->conn[i];
    }
    l->n_conns++;
    if (l->serial && open)
        wrong(
            l,
            "the proxy connected to the serial port again, beside the connection that it has; a port takes one: "
            "connect "
            "once and share it");
    if (!c || l->wrong[0]) {
        wrong(l, "the proxy has more than %d connections to the agent, for %d clients", VCT_LANES, l->n);
        close(fd);
        return;
    }
    *c = (struct vct_lane_conn){ .all = l, .fd = fd, .lane = -1, .early = l->n == 0 };
}

/* ---- the clients' end ---- */

static void client_readable(struct vct_lanes *l, struct vct_lane *p)
{
    static unsigned char buf[CHUNK];
    struct vct_way *w = &p->way[VCT_IN];
    ssize_t n = recv(p->fd, buf, w->gulp ? w->gulp : sizeof(buf), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        took(l, p, VCT_IN, buf, (size_t)n);
    else
        saw_end(l, p, VCT_IN);
}

/* Both directions are over: close what is left of it. */
static void lane_tidy(struct vct_lanes *l, struct vct_lane *p)
{
    struct vct_way *out = &p->way[VCT_OUT], *in = &p->way[VCT_IN];
    if (p->fd >= 0 && out->ended && in->over)
        close(VCS_TAKE_FD(p->fd));
    if (out->over && out->loose && !in->ended) { /* the client has left: its end at the agent goes, too */
        in->goal = in->sent;
        in->end = 1;
    }
    if (p->conn >= 0 && !p->id && out->over && in->ended)
        conn_close(l, &l->conn[p->conn]);
}

int vct_lane_over(const struct vct_lane *p)
{
    return p->fd < 0 && p->conn < 0;
}

/* ---- the loop ---- */

static int way_done(const struct vct_way *w)
{
    if (w->apart)
        return 1;
    if (w->loose)
        return w->over;
    return w->sent == w->goal && w->got == w->sent && (!w->end || (w->ended && w->over));
}

static int lane_done(const struct vct_lane *p)
{
    return (p->met || p->way[VCT_OUT].apart) && way_done(&p->way[VCT_OUT]) && way_done(&p->way[VCT_IN]);
}

static short wants(const struct vct_way *read, const struct vct_way *write)
{
    int r = !read->over && !read->held,
        w = due_now(write) || (write->sent == write->goal && write->end && !write->ended);
    return (short)((r ? POLLIN : 0) | (w ? POLLOUT : 0));
}

static void set_poll(struct pollfd *pf, int fd, short events)
{
    *pf = (struct pollfd){ .fd = events ? fd : -1, .events = events };
}

static void fill_poll(struct vct_lanes *l, struct pollfd *pf)
{
    set_poll(&pf[0], l->listener, POLLIN);
    for (int i = 0; i < VCT_LANES; i++) {
        struct vct_lane *p = &l->lane[i];
        struct vct_lane_conn *c = &l->conn[i];
        size_t waits = 0;
        set_poll(&pf[1 + i], i < l->n ? p->fd : -1, wants(&p->way[VCT_IN], &p->way[VCT_OUT]));
        if (c->mux)
            vcs_yamux_output(c->mux, &waits);
        if (c->lane >= 0)
            set_poll(&pf[1 + VCT_LANES + i], c->fd,
                     wants(&l->lane[c->lane].way[VCT_OUT], &l->lane[c->lane].way[VCT_IN]));
        else
            set_poll(&pf[1 + VCT_LANES + i], c->fd, waits ? POLLIN | POLLOUT : POLLIN);
    }
}

static void round_of(struct vct_lanes *l, const struct pollfd *pf)
{
    for (int i = 0; i < VCT_LANES && !l->wrong[0]; i++) {
        struct vct_lane *p = &l->lane[i];
        struct vct_lane_conn *c = &l->conn[i];
        short mine = pf[1 + i].revents, theirs = pf[1 + VCT_LANES + i].revents;
        if (mine & (POLLIN | POLLHUP | POLLERR) && pf[1 + i].events & POLLIN)
            client_readable(l, p);
        if (mine & (POLLOUT | POLLHUP | POLLERR) && pf[1 + i].events & POLLOUT)
            plain_writable(l, p, p->fd, VCT_OUT);
        if (theirs & (POLLIN | POLLHUP | POLLERR) && pf[1 + VCT_LANES + i].events & POLLIN)
            conn_readable(l, c);
        if (theirs && c->fd >= 0 && c->lane >= 0 && pf[1 + VCT_LANES + i].events & POLLOUT)
            plain_writable(l, &l->lane[c->lane], c->fd, VCT_IN);
    }
    if (pf[0].revents)
        conn_accept(l);
}

/* What no descriptor tells of: streams that may be sent on or read again, lanes that are over.  1: there is more at
 * once. */
static int serve_streams(struct vct_lanes *l)
{
    int more = 0;
    for (int i = 0; i < l->n && !l->wrong[0]; i++) {
        struct vct_lane *p = &l->lane[i];
        if (p->conn >= 0 && p->id && p->owed && !p->way[VCT_OUT].held) {
            vcs_yamux_consumed(l->conn[p->conn].mux, p->id, (size_t)p->owed);
            p->owed = 0;
        }
        if (p->conn >= 0 && p->id)
            more |= stream_writable(l, p, &l->conn[p->conn]);
        lane_tidy(l, p);
    }
    for (int i = 0; i < VCT_LANES; i++)
        if (l->conn[i].mux)
            conn_flush(l, &l->conn[i]);
    return more;
}

/* Once around; waits for something until then. */
static void turn(struct vct_lanes *l, int64_t until)
{
    struct pollfd pf[1 + 2 * VCT_LANES];
    int more = serve_streams(l);
    fill_poll(l, pf);
    if (poll(pf, 1 + 2 * VCT_LANES, more ? 0 : vcs_poll_timeout(until)) > 0)
        round_of(l, pf);
}

static int all_done(const struct vct_lanes *l)
{
    for (int i = 0; i < l->n; i++)
        if (!lane_done(&l->lane[i]))
            return 0;
    return 1;
}

int vct_lanes_pump(struct vct_lanes *l, int quiet_ms)
{
    int64_t quiet = (int64_t)quiet_ms * 1000000;
    l->moved = vcs_now_ns();
    serve_streams(l);
    while (!l->wrong[0] && !all_done(l)) {
        if (vcs_now_ns() - l->moved >= quiet)
            return 0;
        turn(l, l->moved + quiet);
        serve_streams(l); /* what was read may have ended something */
    }
    return l->wrong[0] ? -1 : 1;
}

void vct_lanes_run(struct vct_lanes *l, int ms)
{
    int64_t until = vcs_now_ns() + (int64_t)ms * 1000000;
    while (!l->wrong[0] && vcs_now_ns() < until)
        turn(l, until);
}

/* What has not come: one sentence about the first lane that waits. */
static void tell_missing(struct vct_lanes *l, char *out, size_t size)
{
    for (struct vct_lane *p = l->lane; p < l->lane + l->n; p++) {
        if (lane_done(p))
            continue;
        if (!p->met) {
            snprintf(out, size, "the first %d bytes of client %d do not come to the agent's end%s", VCT_LANE_HEAD,
                     number_of(l, p), p == l->lane ? "" : " while the clients before it are connected");
            return;
        }
        int way = way_done(&p->way[VCT_OUT]);
        struct vct_way *w = &p->way[way];
        const char *from = sender(l, p, way, 0), *to = sender(l, p, way, 1);
        if (w->sent == w->got && w->sent < w->goal)
            snprintf(out, size, "%s cannot send more than %llu of %llu bytes, although all of them were read", from,
                     (unsigned long long)w->sent, (unsigned long long)w->goal);
        else if (w->got < w->sent && !w->loose)
            snprintf(out, size, "%llu of the %llu bytes that %s has sent come to %s, and no more",
                     (unsigned long long)w->got, (unsigned long long)w->sent, from, to);
        else if (w->loose)
            snprintf(out, size, "%s has left, and %s is not told", from, to);
        else
            snprintf(out, size, "%s has ended its sending (shutdown), and %s does not see the end", from, to);
        return;
    }
    snprintf(out, size, "nothing is missing");
}

/* Has the proxy itself ended meanwhile?  "; the proxy's process has ended by SIGSEGV (...)", or "". */
static const char *tell_dead(const struct vct_lanes *l)
{
    static _Thread_local char text[160];
    const struct vct_proxy_world *w = l->pod->world;
    text[0] = '\0';
    if (vct_has_ended(&w->proc, DYING_MS))
        snprintf(text, sizeof(text), "; the proxy's process %d has ended%s", w->proc.pid, vct_how_ended(&w->proc));
    return text;
}

void vct_lanes_must(struct vct_lanes *l, const char *when)
{
    char missing[512];
    int r = vct_lanes_pump(l, VCT_LANES_MS);
    if (r < 0 && l->foreign)
        vct_skip(l->t, "this proxy talks to its agent in a form of its own, which this tool cannot take apart: %s",
                 l->wrong);
    if (r == 0)
        tell_missing(l, missing, sizeof(missing));
    const char *dead = r > 0 ? "" : tell_dead(l);
    VCT_MUST(l->t, r >= 0, "%s: %s%s", when, l->wrong, dead);
    VCT_MUST(l->t, r > 0, "%s: %s (waited %d s)%s", when, missing, VCT_LANES_MS / 1000, dead);
}

/* ---- its life ---- */

struct vct_lanes *vct_lanes_new(struct vct *t)
{
    struct vct_lanes *l = calloc(1, sizeof(*l));
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_proxy_world *w = pod->world;
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/port.sock", pod->dir);
    VCT_MUST(t, l && w, "no memory");
    free(w->agent);
    w->agent = strdup(path);
    l->t = t;
    l->pod = pod;
    l->nonce = (uint32_t)(vct_random(t) & 0xffffff);
    for (int i = 0; i < VCT_LANES; i++)
        l->conn[i] = (struct vct_lane_conn){ .fd = -1, .lane = -1 };
    l->listener = vcs_unix_listen(path, 0666, 128);
    VCT_MUST(t, l->listener >= 0 && w->agent, "no socket for the agent's end: %s", strerror(-l->listener));
    vcs_set_nonblock(l->listener, 1);
    vct_pod_make(pod);
    int r = vct_kind_proxy.ops[0].call(pod, vct_call(t, 10000));
    if (r != VC_OK && vct_peer_has(pod, "agent"))
        vct_skip(
            t,
            "start answered %s at an agent that waits for clients to speak first; only that of the scenario is right "
            "for it: %s",
            vct_code(r), t->err.text);
    VCT_MUST(t, r == VC_OK, "start answered %s: %s", vct_code(r), t->err.text);
    pod->state = VCT_ST_UP;
    if (vct_kind_proxy.hollow(pod))
        vct_skip(t, "this proxy has no process: start gave pid 0, so clients talk to the agent itself");
    vcs_autofree char *uri = vct_proxy_agent_uri(pod);
    l->serial = uri && !strncmp(uri, "serial://", 9);
    for (struct pollfd pf = { .fd = l->listener, .events = POLLIN }; poll(&pf, 1, 0) == 1;)
        conn_accept(l); /* what start has opened */
    return l;
}

void vct_lanes_free(struct vct_lanes *l)
{
    struct vct *t = l->t;
    for (int i = 0; i < l->n; i++)
        if (l->lane[i].fd >= 0)
            close(l->lane[i].fd);
    for (int i = 0; i < VCT_LANES; i++)
        conn_close(l, &l->conn[i]);
    close(l->listener);
    int r = vct_pod_cleanup(l->pod);
    VCT_MUST(t, r == VC_OK, "cleanup answered %s: %s", vct_code(r), t->err.text);
    vct_pod_free(l->pod);
    free(l);
}

struct vct_lane *vct_lanes_dial(struct vct_lanes *l, int mute)
{
    char head[VCT_LANE_HEAD + 1];
    const char *uri = vct_proxy_uri(l->pod);
    int n = l->n, fd = vcs_uri_connect(uri, vcs_now_ns() + DIAL_NS);
    VCT_MUST(l->t, fd >= 0, "client %d cannot connect to \"%s\"%s: %s%s", n + 1, uri,
             n ? " while the clients before it are connected" : "", strerror(-fd), tell_dead(l));
    VCT_MUST(l->t, n < VCT_LANES, "more than %d clients in one check", VCT_LANES);
    struct vct_lane *p = &l->lane[l->n++];
    *p = (struct vct_lane){ .fd = fd, .conn = -1 };
    for (int way = 0; way < 2; way++)
        p->way[way].seed = word_at(l->nonce, (uint64_t)n * 2 + (uint64_t)way);
    p->way[VCT_OUT].apart = p->way[VCT_IN].apart = mute;
    vcs_set_nonblock(fd, 1);
    head_of(l, n, head);
    VCT_MUST(l->t, mute || send(fd, head, VCT_LANE_HEAD, MSG_NOSIGNAL) == VCT_LANE_HEAD,
             "client %d was connected to \"%s\", and cannot send: %s", n + 1, uri, strerror(errno));
    return p;
}

void vct_lane_more(struct vct_lane *p, int way, uint64_t n)
{
    p->way[way].goal += n;
}

void vct_lane_end(struct vct_lane *p, int way)
{
    p->way[way].end = 1;
}

/* One side is no more: what it has sent may be cut short, and nothing comes to it. */
static void side_gone(struct vct_way *from, struct vct_way *to)
{
    from->goal = from->sent;
    from->end = from->ended = from->loose = 1;
    from->held = 0;
    to->loose = to->apart = to->over = 1;
}

void vct_lane_leave(struct vct_lanes *l, struct vct_lane *p)
{
    (void)l;
    side_gone(&p->way[VCT_OUT], &p->way[VCT_IN]);
    close(VCS_TAKE_FD(p->fd));
}

void vct_lane_drop(struct vct_lanes *l, struct vct_lane *p)
{
    side_gone(&p->way[VCT_IN], &p->way[VCT_OUT]);
    if (p->conn >= 0 && p->id)
        vcs_yamux_reset(l->conn[p->conn].mux, p->id);
    else if (p->conn >= 0)
        conn_close(l, &l->conn[p->conn]);
    p->conn = -1;
    p->way[VCT_OUT].goal = p->way[VCT_OUT].sent;
    p->way[VCT_OUT].end = p->way[VCT_OUT].ended = 1; /* the client goes as soon as it knows */
}
