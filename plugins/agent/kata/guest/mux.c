/* SPDX-License-Identifier: Apache-2.0 */
/* mux.c: the serial port: sessions of yamux, whose streams are ttRPC connections. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#include "conn.h"
#include "lib/io.h"
#include "lib/yamux.h"
#include "transport.h"

#define READ_SIZE 32768          /* what one read of a virtio-serial port gives at most */
#define OUTPUT_HIGH (256u * 1024) /* streams wait when so much stands in the session's output */
#define FRAME_HEADER 12
#define RETRY_NS 100000000ll

/* Frames of yamux. */
enum { TYPE_DATA, TYPE_WINDOW, TYPE_PING };
#define FLAG_SYN 1

static struct {
    struct watch w;
    char path[64]; /* of a device; empty: a socket, which cannot be opened again */
    vcs_yamux *session;
    int active;       /* the peer has sent something in this session */
    int met;          /* the kernel has told of the peer that is connected now */
    int was_full;     /* output has been above OUTPUT_HIGH */
    int64_t retry_ns; /* when to open the device again; 0: it is open, or there is none */
    /* Where the input stands: a header of which have bytes are known, or payload. */
    unsigned char header[FRAME_HEADER];
    size_t have;
    uint64_t payload;
    int first_stream_seen;
    /* A machine that is about to be saved says nothing more (see mux_quiet). */
    enum { TALKING, QUIET_SOON, QUIET } mood;
} port = {.w = {.fd = -1}};

/* ---- events of the session ---- */

static int on_opened(void *ctx, uint32_t id)
{
    (void)ctx;
    return conn_new(id) ? 0 : -1;
}

static void on_data(void *ctx, uint32_t id, const void *data, size_t n)
{
    (void)ctx;
    struct conn *c = conn_find(id);
    if (!c || c->rpc.broken)
        return;
    c->unconsumed += n;
    c->rpc.dirty = 1;
    if (vcs_buf_append(&c->rpc.reader.in, data, n) < 0)
        c->rpc.broken = 1;
    else if (!c->paused)
        c->paused = rpc_conn_work(&c->rpc);
}

static void on_finished(void *ctx, uint32_t id)
{
    (void)ctx;
    struct conn *c = conn_find(id);
    if (c) {
        c->eof = 1;
        c->rpc.dirty = 1;
    }
}

static void on_closed(void *ctx, uint32_t id)
{
    (void)ctx;
    struct conn *c = conn_find(id);
    if (c)
        conn_free(c);
}

static void on_writable(void *ctx, uint32_t id)
{
    (void)ctx;
    struct conn *c = conn_find(id);
    if (c)
        c->rpc.dirty = 1;
}

static const struct vcs_yamux_events mux_events = {on_opened, on_data, on_finished, on_closed, on_writable};

/* Forget the session and everything of it, and be ready for the next one. */
static int new_session(void)
{
    vcs_yamux_free(port.session);
    port.session = NULL;
    conn_drop_streams();
    port.active = port.was_full = 0;
    port.have = 0;
    port.payload = 0;
    port.first_stream_seen = 0;
    port.mood = TALKING;
    port.session = vcs_yamux_new(0, &mux_events, NULL);
    return port.session ? 0 : -ENOMEM;
}

static void port_shut(void)
{
    if (port.w.fd >= 0) {
        loop_watch(&port.w, 0);
        close(port.w.fd);
    }
    port.w.fd = -1;
}

static void port_event(struct watch *w, uint32_t events);

static int port_start(int fd)
{
    port_shut();
    port.w = (struct watch){.fd = fd, .fn = port_event};
    int r = new_session();
    /* Edges: without a host the port reports EPOLLHUP all the time. */
    if (r == 0)
        r = loop_watch(&port.w, EPOLLIN | EPOLLOUT | EPOLLET);
    if (r < 0)
        port_shut();
    return r;
}

static int port_reopen(void)
{
    int fd = open(port.path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    int r = fd < 0 ? -errno : port_start(fd);
    port.retry_ns = r < 0 ? vcs_now_ns() + RETRY_NS : 0;
    return r;
}

/* ---- input ---- */

/* A header is complete: it may begin a new session, or end the silence.  0, or -ENOMEM. */
static int look_at_header(void)
{
    const unsigned char *h = port.header;
    int opens = h[0] == 0 && h[1] <= TYPE_WINDOW && h[3] & FLAG_SYN;
    int opens_first = opens && vcs_get_be32(h + 4) == 1;
    if (opens_first && port.first_stream_seen) {
        agent_log(AGENT_LOG_INFO, "the host has started a new session");
        if (new_session() < 0)
            return -ENOMEM;
        port.active = 1;
        port.met = 0; /* that was the host before: its going, and the coming of this one, are news still to come */
    }
    port.first_stream_seen |= opens_first;
    if (opens || h[1] == TYPE_PING || (h[1] == TYPE_DATA && vcs_get_be32(h + 8)))
        port.mood = TALKING;
    return 0;
}

/* Pass bytes on; at the start of a frame, see whether the peer has begun a new session without our having
 * seen the end of the old one (it numbers its streams from 1 again).  The end of a connection of the host
 * and the start of the next one may well be one event here. */
static int port_input(const unsigned char *data, size_t n)
{
    while (n) {
        size_t k;
        if (port.payload) {
            k = n < port.payload ? n : (size_t)port.payload;
            port.payload -= k;
            if (vcs_yamux_input(port.session, data, k) < 0)
                return -EPROTO;
        } else {
            k = FRAME_HEADER - port.have < n ? FRAME_HEADER - port.have : n;
            memcpy(port.header + port.have, data, k);
            port.have += k;
            if (port.have == FRAME_HEADER) {
                if (look_at_header() < 0)
                    return -ENOMEM;
                port.have = 0;
                if (vcs_yamux_input(port.session, port.header, FRAME_HEADER) < 0)
                    return -EPROTO;
                port.payload = port.header[1] == TYPE_DATA ? vcs_get_be32(port.header + 8) : 0;
            }
        }
        data += k;
        n -= k;
    }
    return 0;
}

/* The session is over.  A device is opened anew, which also throws away what it still holds. */
static void port_restart(void)
{
    if (port.path[0]) {
        port_shut();
        port_reopen();
    } else {
        port_shut();
        new_session();
    }
}

static void port_event(struct watch *w, uint32_t events)
{
    static unsigned char chunk[READ_SIZE];
    int came = 0;
    (void)events;
    for (;;) {
        ssize_t n = read(w->fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            port.met = 1;
            return;
        }
        if (n > 0) {
            port.active = came = 1;
            if (port_input(chunk, (size_t)n) == 0) {
                transport_flush();
                if (w->fd < 0)
                    return;
                continue;
            }
            const char *why = port.session ? vcs_yamux_error(port.session) : NULL;
            agent_log(AGENT_LOG_WARN, "the session on the serial port ends: %s", why ? why : "out of memory");
            mux_flush_port();
            port_restart();
            return;
        }
        /* The host is not connected (a device reads nothing then, and reports the next connection), or the
         * device has been unplugged.  What a host sends may arrive before the kernel knows of that host, as this news
         * goes through a work queue, which can be busy (with a device that has just been plugged in): then the session
         * has begun, and what is to be answered waits for the news. */
        if (n == 0 && port.path[0]) {
            if (port.active && (port.met || !came))
                new_session();
            port.met = 0;
        } else {
            port_restart();
        }
        return;
    }
}

/* ---- output ---- */

void mux_flush_conn(struct conn *c)
{
    while (c->rpc.out.len && !c->rpc.broken) {
        size_t waiting, n = vcs_yamux_sendable(port.session, c->stream);
        vcs_yamux_output(port.session, &waiting);
        if (waiting >= OUTPUT_HIGH) {
            port.was_full = 1;
            c->rpc.dirty = 1; /* to be tried again when the output has gone */
            return;
        }
        if (n > c->rpc.out.len)
            n = c->rpc.out.len;
        if (!n)
            return;
        long sent = vcs_yamux_send(port.session, c->stream, vcs_buf_data(&c->rpc.out), n);
        if (sent < 0)
            c->rpc.broken = 1;
        else
            vcs_buf_consume(&c->rpc.out, (size_t)sent);
    }
    if (!c->rpc.out.len)
        vcs_buf_clear(&c->rpc.out);
}

void mux_consumed(struct conn *c)
{
    if (!c->paused && c->unconsumed) {
        vcs_yamux_consumed(port.session, c->stream, c->unconsumed);
        c->unconsumed = 0;
    }
}

void mux_end_conn(struct conn *c)
{
    uint32_t id = c->stream;
    if (!id)
        return;
    c->stream = 0; /* so that the event of its end does not find it */
    if (c->eof && !c->rpc.broken)
        vcs_yamux_finish(port.session, id);
    else
        vcs_yamux_reset(port.session, id);
}

int mux_flush_port(void)
{
    size_t n = 0;
    if (!port.session || port.w.fd < 0 || port.mood == QUIET)
        return 0;
    for (;;) {
        const void *data = vcs_yamux_output(port.session, &n);
        if (!n)
            break;
        ssize_t k = write(port.w.fd, data, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break; /* the next edge tells when more can be written, or that the host is gone */
        vcs_yamux_output_consume(port.session, (size_t)k);
    }
    if (!n && port.mood == QUIET_SOON)
        port.mood = QUIET;
    if (port.was_full && n < OUTPUT_HIGH) {
        port.was_full = 0;
        return 1;
    }
    return 0;
}

int mux_idle(void)
{
    size_t n = 0;
    if (port.session && port.w.fd >= 0 && port.mood != QUIET)
        vcs_yamux_output(port.session, &n);
    return n == 0;
}

/* After the answer that is on its way, say nothing until the host asks something again.  What a host sends when it goes
 * (ends of streams) may be read only in a copy of this machine, where the answers would reach the host of the copy, as
 * part of a session that has just begun.  That one starts with a first stream, and forgets what was not said. */
void mux_quiet(void)
{
    port.mood = QUIET_SOON;
}

/* ---- start and end ---- */

int transport_serve_mux_fd(int fd)
{
    if (port.w.fd >= 0) {
        close(fd);
        return -EBUSY;
    }
    vcs_set_nonblock(fd, 1);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    port.path[0] = '\0';
    return port_start(fd);
}

int transport_open_port(const char *name)
{
    static const char dir[] = "/sys/class/virtio-ports";
    if (port.w.fd >= 0)
        return 0;
    vcs_autoclosedir DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        vcs_autofree char *text = NULL;
        char file[300];
        if (e->d_name[0] == '.' || strlen(e->d_name) > sizeof(port.path) - 6)
            continue;
        snprintf(file, sizeof(file), "%s/name", e->d_name);
        if (vcs_read_file(dirfd(d), file, 256, &text, NULL) < 0)
            continue;
        text[strcspn(text, "\n")] = '\0';
        if (strcmp(text, name) != 0)
            continue;
        snprintf(port.path, sizeof(port.path), "/dev/%.56s", e->d_name);
        return port_reopen();
    }
    return -ENOENT;
}

int64_t transport_next_retry(void)
{
    return port.retry_ns;
}

void transport_retry(int64_t now_ns)
{
    if (port.retry_ns && port.retry_ns <= now_ns) {
        int r = port_reopen();
        if (r < 0)
            agent_log(AGENT_LOG_WARN, "the serial port %s cannot be opened: %s", port.path, strerror(-r));
    }
}

void mux_close(void)
{
    port_shut();
    vcs_yamux_free(port.session);
    port.session = NULL;
}
