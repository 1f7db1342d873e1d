/* SPDX-License-Identifier: Apache-2.0 */
/* procio.c: ReadStdout, ReadStderr, WriteStdin and the like. */
#include "procio.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/param.h>

#define PIPE_SIZE (256 * 1024)
#define MAX_WAITING_READS 16
#define TTY_CHUNK 4096

struct read_wait {
    struct rpc_pending p;
    uint32_t len;
};

struct write_wait {
    struct rpc_pending p;
    uint32_t before; /* bytes of the request that were written at once */
    size_t len, off;
    unsigned char data[];
};

static void drop_read(struct rpc_pending *p)
{
    rpc_pending_end(p);
    free(list_entry(p, struct read_wait, p));
}

/* Input that was accepted is passed on even when nobody waits for the answer any more. */
static void drop_write(struct rpc_pending *p)
{
    (void)p;
}

/* ---- watches ---- */

static struct watch *out_watch(struct stdio *s, int stream)
{
    return stream ? &s->err : &s->out;
}

static int wants_write(const struct stdio *s)
{
    return !list_empty(&s->writes);
}

/* Register exactly what somebody waits for. */
static void update_watches(struct stdio *s)
{
    for (int i = 0; i < 2; i++) {
        struct watch *w = out_watch(s, i);
        uint32_t events = list_empty(&s->reads[i]) ? 0 : EPOLLIN;
        if (s->tty && i == 0 && wants_write(s))
            events |= EPOLLOUT;
        if (w->fd >= 0 && loop_watch(w, events) < 0)
            agent_log(AGENT_LOG_ERROR, "a stream of a process cannot be watched: %s", strerror(errno));
    }
    if (s->in.fd >= 0)
        loop_watch(&s->in, wants_write(s) ? EPOLLOUT : 0);
}

static void shut(struct watch *w)
{
    if (w->fd < 0)
        return;
    loop_watch(w, 0);
    close(w->fd);
    w->fd = -1;
}

/* ---- output of the process ---- */

/* Where the data of a ReadStreamResponse with n bytes is to be written. */
static unsigned char *data_space(struct rpc_call *call, size_t n)
{
    unsigned char head[8];
    size_t k = 0;
    if (n) {
        head[k++] = 0x0a; /* field 1, bytes */
        size_t v = n;
        for (; v >= 0x80; v >>= 7)
            head[k++] = (unsigned char)(v | 0x80);
        head[k++] = (unsigned char)v;
    }
    unsigned char *at = rpc_reply_space(call, k + n);
    if (!at)
        return NULL;
    memcpy(at, head, k);
    return at + k;
}

static void reply_data(struct rpc_call *call, const void *data, size_t n)
{
    unsigned char *at = data_space(call, n);
    if (at && n)
        memcpy(at, data, n);
}

/* A terminal does not tell exactly how much can be read: collect it first. */
static int read_tty(struct stdio *s, struct rpc_call *call, size_t len)
{
    unsigned char chunk[TTY_CHUNK];
    ssize_t n = read(s->out.fd, chunk, MIN(len, sizeof(chunk)));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    /* EIO: no process has the terminal open any more. */
    reply_data(call, chunk, n < 0 ? 0 : (size_t)n);
    if (n <= 0)
        shut(&s->out);
    return 1;
}

/* Less was read than the pipe had announced: a process of the container reads from its own output.  Make
 * the reply anew, or not at all. */
static int shorten_reply(struct rpc_call *call, size_t mark, const unsigned char *at, size_t got)
{
    vcs_autofree unsigned char *copy = malloc(got + 1);
    if (copy)
        memcpy(copy, at, got);
    call->conn->out.len = mark;
    if (!got || !copy)
        return 0;
    reply_data(call, copy, got);
    return 1;
}

/* Answer from the pipe, which is read into the reply itself.  1: answered, 0: there is nothing yet. */
static int try_read(struct stdio *s, struct rpc_call *call, int stream, uint32_t len)
{
    struct watch *w = out_watch(s, stream);
    int avail = 0;
    if (w->fd < 0) {
        reply_data(call, NULL, 0);
        return 1;
    }
    if (s->tty)
        return read_tty(s, call, len);
    if (ioctl(w->fd, FIONREAD, &avail) < 0)
        avail = 0;
    if (avail <= 0) {
        /* Empty: a read tells whether that is the end.  Should something arrive just now, one byte is
         * taken, and the rest with the next call. */
        char c;
        ssize_t n = read(w->fd, &c, 1);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        reply_data(call, &c, n > 0 ? 1 : 0);
        if (n <= 0)
            shut(w);
        return 1;
    }
    size_t n = MIN((size_t)avail, (size_t)len), got = 0, mark = call->conn->out.len;
    unsigned char *at = data_space(call, n);
    if (!at)
        return 1; /* the connection breaks; what the pipe holds stays there */
    while (got < n) {
        ssize_t k = read(w->fd, at + got, n - got);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        got += (size_t)k;
    }
    return got == n ? 1 : shorten_reply(call, mark, at, got);
}

static void serve_reads(struct stdio *s, int stream)
{
    struct list *l, *tmp;
    list_for_each_safe(l, tmp, &s->reads[stream])
    {
        struct rpc_pending *p = list_entry(l, struct rpc_pending, queue_link);
        struct read_wait *r = list_entry(p, struct read_wait, p);
        if (!try_read(s, &p->call, stream, r->len))
            break;
        rpc_pending_end(p);
        free(r);
    }
}

int stdio_read(struct stdio *s, struct rpc_call *call, int stream, uint32_t len, struct agent_err *err)
{
    if (!len)
        return agent_fail(err, VCS_RPC_INVALID, "a read of 0 bytes was asked for; it must be at least 1");
    len = MIN(len, STDIO_READ_MAX);
    /* Who came first is served first. */
    if (list_empty(&s->reads[stream]) && try_read(s, call, stream, len))
        return 0;
    int waiting = 0;
    struct list *l;
    list_for_each(l, &s->reads[stream])
        waiting++;
    if (waiting >= MAX_WAITING_READS)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "%d reads of this stream wait already, which is the limit", waiting);
    struct read_wait *r = calloc(1, sizeof(*r));
    if (!r)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    r->len = len;
    if (rpc_pending_add(&r->p, call, drop_read, err) < 0) {
        free(r);
        return -1;
    }
    list_add(&s->reads[stream], &r->p.queue_link);
    update_watches(s);
    return 0;
}

/* ---- input of the process ---- */

static void reply_written(struct rpc_call *call, size_t n)
{
    Agent__WriteStreamResponse reply = AGENT__WRITE_STREAM_RESPONSE__INIT;
    reply.len = (uint32_t)n;
    rpc_reply(call, &reply.base);
}

static int in_fd(const struct stdio *s)
{
    return s->in_closed ? -1 : s->tty ? s->out.fd : s->in.fd;
}

static void end_of_input(struct stdio *s)
{
    s->in_closed = 1;
    if (!s->tty) /* the master of a terminal also is where its output comes from */
        shut(&s->in);
}

/* How many bytes were taken; *closed when the process takes no more, ever. */
static size_t write_some(struct stdio *s, const unsigned char *data, size_t n, int *closed)
{
    size_t done = 0;
    *closed = in_fd(s) < 0;
    while (done < n && !*closed) {
        ssize_t k = write(in_fd(s), data + done, n - done);
        if (k > 0)
            done += (size_t)k;
        else if (k < 0 && errno == EAGAIN)
            break;
        else if (k == 0 || errno != EINTR)
            *closed = 1;
    }
    return done;
}

static void serve_writes(struct stdio *s)
{
    struct list *l, *tmp;
    int closed = 0;
    list_for_each_safe(l, tmp, &s->writes)
    {
        struct rpc_pending *p = list_entry(l, struct rpc_pending, queue_link);
        struct write_wait *w = list_entry(p, struct write_wait, p);
        size_t n = write_some(s, w->data + w->off, w->len - w->off, &closed);
        w->off += n;
        s->queued -= n;
        if (w->off < w->len && !closed)
            return;
        s->queued -= w->len - w->off;
        reply_written(&p->call, w->before + w->off);
        rpc_pending_end(p);
        free(w);
    }
    if (closed || s->close_in)
        end_of_input(s);
}

int stdio_write(struct stdio *s, struct rpc_call *call, const void *data, size_t n, struct agent_err *err)
{
    size_t done = 0;
    int closed = s->close_in;
    if (!n) {
        stdio_close_in(s);
        reply_written(call, 0);
        return 0;
    }
    if (!closed && list_empty(&s->writes)) {
        done = write_some(s, data, n, &closed);
        if (closed)
            end_of_input(s);
    }
    if (closed || done == n) {
        reply_written(call, done);
        return 0;
    }
    if (n - done > STDIO_QUEUE_MAX - s->queued)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "%zu bytes of input wait for the process already", s->queued);
    struct write_wait *w = malloc(sizeof(*w) + n - done);
    if (!w)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    w->before = (uint32_t)done;
    w->len = n - done;
    w->off = 0;
    memcpy(w->data, (const unsigned char *)data + done, n - done);
    if (rpc_pending_add(&w->p, call, drop_write, err) < 0) {
        free(w);
        return -1;
    }
    list_add(&s->writes, &w->p.queue_link);
    s->queued += w->len;
    update_watches(s);
    return 0;
}

void stdio_close_in(struct stdio *s)
{
    if (s->tty)
        return; /* a terminal has no end; a program sees one when the user types the character for it */
    s->close_in = 1;
    if (list_empty(&s->writes))
        end_of_input(s);
}

/* ---- events ---- */

static void io_event(struct stdio *s, int stream, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        serve_reads(s, stream);
    if (s->tty && events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        serve_writes(s);
    update_watches(s);
}

static void out_event(struct watch *w, uint32_t events)
{
    io_event(list_entry(w, struct stdio, out), 0, events);
}

static void err_event(struct watch *w, uint32_t events)
{
    io_event(list_entry(w, struct stdio, err), 1, events);
}

static void in_event(struct watch *w, uint32_t events)
{
    struct stdio *s = list_entry(w, struct stdio, in);
    (void)events;
    serve_writes(s);
    update_watches(s);
}

/* ---- life ---- */

void stdio_init(struct stdio *s, const struct ctr_child *child)
{
    memset(s, 0, sizeof(*s));
    s->tty = child->tty;
    s->in = (struct watch){.fd = child->in, .fn = in_event};
    s->out = (struct watch){.fd = child->out, .fn = out_event};
    s->err = (struct watch){.fd = child->err, .fn = err_event};
    list_init(&s->reads[0]);
    list_init(&s->reads[1]);
    list_init(&s->writes);
    if (!s->tty && s->out.fd >= 0)
        fcntl(s->out.fd, F_SETPIPE_SZ, PIPE_SIZE); /* fewer round trips; not a failure when refused */
}

void stdio_done(struct stdio *s)
{
    for (int i = 0; i < 2; i++)
        shut(out_watch(s, i));
    for (int i = 0; i < 2; i++)
        serve_reads(s, i); /* closed: all get the end of output */
    s->in_closed = 1;
    shut(&s->in);
    serve_writes(s);
}

int stdio_drained(const struct stdio *s)
{
    return s->out.fd < 0 && s->err.fd < 0;
}

int stdio_resize(struct stdio *s, uint32_t rows, uint32_t columns, struct agent_err *err)
{
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    if (!s->tty)
        return agent_fail(err, VCS_RPC_PRECONDITION, "the process has no terminal whose size could be set");
    if (rows > 65535 || columns > 65535)
        return agent_fail(err, VCS_RPC_INVALID, "a terminal of %u rows and %u columns is too large", rows, columns);
    if (s->out.fd >= 0 && ioctl(s->out.fd, TIOCSWINSZ, &size) < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "the terminal's size cannot be set");
    return 0;
}
