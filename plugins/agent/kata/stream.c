/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c: pumps between pipes and the agent's WriteStdin, ReadStdout and ReadStderr. */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent.pb-c.h"
#include "lib/io.h"
#include "lib/plug.h"

/* A message has to fit into one yamux window of 256 KiB with its head, or its last bytes wait for a round trip. */
#define CHUNK       (240u * 1024) /* of output, per request, and how much may wait for the pipe */
#define STDIN_CHUNK (240u * 1024) /* of input, per request */
#define STREAMS_MAX 1024

struct kata_stream {
    struct kata_pending pending; /* first: the pending's address is the stream's */
    struct kata_stream *next;
    int which;          /* 0, 1 or 2 */
    int fd;             /* our end of the pipe; -1: closed */
    int busy;           /* a request is under way */
    int ended;          /* output: the agent has no more; input: CloseStdin is under way or done */
    int dead;           /* to be removed */
    struct vcs_buf buf; /* output: what the pipe did not take yet; input: what the agent did not take yet */
    char *ctr, *exec;
};

static const char *const read_method[] = { NULL, "ReadStdout", "ReadStderr" };

static void stream_free(struct kata_stream *s)
{
    vcs_cleanup_fd(&s->fd);
    vcs_buf_done(&s->buf);
    free(s->ctr);
    free(s->exec);
    free(s);
}

/* ---- output ---- */

/* The reader has gone: the process must still be able to finish, so the rest is read and dropped. */
static void drop_reader(struct kata_stream *s)
{
    vcs_cleanup_fd(&s->fd);
    s->fd = -1;
    vcs_buf_done(&s->buf);
}

/* Write to the pipe; how much it took. */
static size_t pipe_write(struct kata_stream *s, const unsigned char *data, size_t n)
{
    size_t done = 0;
    while (done < n && s->fd >= 0) {
        ssize_t w = write(s->fd, data + done, n - done);
        if (w >= 0)
            done += (size_t)w;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            break;
        else if (errno != EINTR)
            drop_reader(s);
    }
    return done;
}

static void output_flush(struct kata_stream *s)
{
    size_t n = pipe_write(s, vcs_buf_data(&s->buf), s->buf.len);
    if (s->fd < 0)
        return;
    vcs_buf_consume(&s->buf, n);
    if (!s->buf.len)
        vcs_buf_clear(&s->buf);
}

/* The data of a ReadStreamResponse, in place: field 1 is its only one.  0 or -EPROTO. */
static int read_data(const struct vcs_ttrpc_response *r, const unsigned char **data, size_t *n)
{
    const unsigned char *p = r->payload, *end = p + r->payload_len;
    *data = p;
    *n = 0;
    while (p < end) {
        if (*p++ != (1 << 3 | 2))
            return -EPROTO;
        size_t len = 0;
        unsigned shift = 0;
        do {
            if (p == end || shift > 28)
                return -EPROTO;
            len |= (size_t)(*p & 0x7f) << shift;
            shift += 7;
        } while (*p++ & 0x80);
        if (len > (size_t)(end - p))
            return -EPROTO;
        *data = p;
        *n = len;
        p += len;
    }
    return 0;
}

/* Does this error say that the stream has ended in the usual way? */
static int is_end(const struct vcs_ttrpc_response *r, const char *text)
{
    return r->code == VCS_RPC_NOTFOUND ||
           ((r->code == VCS_RPC_UNKNOWN || r->code == VCS_RPC_RANGE) && !strcmp(text, "EOF")) ||
           strstr(text, "input/output error") || strstr(text, "Input/output error") || strstr(text, "EIO");
}

static void output_reply(struct kata_conn *c, struct kata_pending *p, const struct vcs_ttrpc_response *r)
{
    struct kata_stream *s = (struct kata_stream *)p;
    const unsigned char *data = NULL;
    size_t n = 0;
    s->busy = 0;
    if (r->code != VCS_RPC_OK) {
        char text[KATA_TEXT_MAX];
        kata_clean(text, sizeof(text), r->message, r->message_len);
        if (!is_end(r, text))
            vcs_log(c->host, VC_LOG_WARN, "the agent at %s ended the output of %s/%s: %s", c->uri, s->ctr, s->exec,
                    text);
        s->ended = 1;
        return;
    }
    if (read_data(r, &data, &n) < 0 || n > CHUNK) {
        kata_conn_fail(c, VC_E_PROTOCOL, 0, "the agent at %s answered %s with %s", c->uri, read_method[s->which],
                       n > CHUNK ? "more bytes than were asked for" : "a malformed message");
        return;
    }
    if (!n) {
        s->ended = 1;
        return;
    }
    size_t done = s->buf.len ? 0 : pipe_write(s, data, n);
    if (s->fd >= 0 && done < n && vcs_buf_append(&s->buf, data + done, n - done) < 0)
        kata_conn_fail(c, VC_E_NOMEM, 0, "no memory for the output of a process");
}

static void output_prepare(struct kata_conn *c, struct kata_stream *s)
{
    if (s->ended && !s->buf.len) {
        s->dead = 1;
        return;
    }
    if (s->busy || s->ended || s->buf.len > CHUNK)
        return;
    Agent__ReadStreamRequest req = AGENT__READ_STREAM_REQUEST__INIT;
    req.container_id = s->ctr;
    req.exec_id = s->exec;
    req.len = CHUNK;
    if (!kata_conn_post(c, &s->pending, read_method[s->which], &req.base))
        s->busy = 1;
}

/* ---- input ---- */

static void input_end(struct kata_stream *s)
{
    s->dead = 1; /* closing our end tells the writer */
}

static void input_reply(struct kata_conn *c, struct kata_pending *p, const struct vcs_ttrpc_response *r)
{
    struct kata_stream *s = (struct kata_stream *)p;
    s->busy = 0;
    if (s->ended || r->code != VCS_RPC_OK) { /* the process has ended, or its stdin is closed */
        input_end(s);
        return;
    }
    Agent__WriteStreamResponse *m = agent__write_stream_response__unpack(NULL, r->payload_len, r->payload);
    if (!m || m->len > s->buf.len) {
        if (m)
            agent__write_stream_response__free_unpacked(m, NULL);
        kata_conn_fail(c, VC_E_PROTOCOL, 0, "the agent at %s answered WriteStdin with %s", c->uri,
                       m ? "more bytes than it was given" : "a malformed message");
        return;
    }
    if (!m->len)
        input_end(s);
    vcs_buf_consume(&s->buf, m->len);
    if (!s->buf.len)
        vcs_buf_clear(&s->buf);
    agent__write_stream_response__free_unpacked(m, NULL);
}

static void input_prepare(struct kata_conn *c, struct kata_stream *s)
{
    if (s->busy || s->dead || !s->buf.len)
        return;
    Agent__WriteStreamRequest req = AGENT__WRITE_STREAM_REQUEST__INIT;
    req.container_id = s->ctr;
    req.exec_id = s->exec;
    req.data.data = vcs_buf_data(&s->buf);
    req.data.len = s->buf.len;
    if (!kata_conn_post(c, &s->pending, "WriteStdin", &req.base))
        s->busy = 1;
}

static void input_read(struct kata_conn *c, struct kata_stream *s)
{
    unsigned char *at = vcs_buf_reserve(&s->buf, STDIN_CHUNK);
    ssize_t n = at ? read(s->fd, at, STDIN_CHUNK) : -1;
    if (n > 0) {
        vcs_buf_commit(&s->buf, (size_t)n);
        return;
    }
    if (!at)
        kata_conn_fail(c, VC_E_NOMEM, 0, "no memory for the input of a process");
    if (n < 0 && (!at || errno == EAGAIN || errno == EINTR))
        return;
    Agent__CloseStdinRequest req = AGENT__CLOSE_STDIN_REQUEST__INIT;
    req.container_id = s->ctr;
    req.exec_id = s->exec;
    s->ended = 1;
    if (!kata_conn_post(c, &s->pending, "CloseStdin", &req.base))
        s->busy = 1;
}

/* ---- the driver's side ---- */

size_t kata_stream_count(const struct kata_conn *c)
{
    size_t n = 0;
    for (const struct kata_stream *s = c->streams; s; s = s->next)
        n++;
    return n;
}

size_t kata_stream_prepare(struct kata_conn *c, struct pollfd *pfd, size_t at)
{
    struct kata_stream **link = &c->streams;
    while (*link) {
        struct kata_stream *s = *link;
        if (s->which)
            output_prepare(c, s);
        else
            input_prepare(c, s);
        if (s->dead) {
            *link = s->next;
            if (s->busy)
                kata_conn_forget(c, &s->pending);
            stream_free(s);
            continue;
        }
        short events = s->which ? (s->buf.len ? POLLOUT : 0) : (s->busy || s->ended || s->buf.len ? 0 : POLLIN);
        /* A waiting stdin is not polled at all, since a hung-up pipe would be reported again and again. */
        pfd[at++] = (struct pollfd){ .fd = s->which || events ? s->fd : -1, .events = events };
        link = &s->next;
    }
    return at;
}

void kata_stream_handle(struct kata_conn *c, const struct pollfd *pfd, size_t n)
{
    /* Streams opened while the driver was in poll stand in front: they were not polled. */
    size_t fresh = kata_stream_count(c) - n, i = 0;
    for (struct kata_stream *s = c->streams; s && !c->fail_code; s = s->next) {
        if (fresh) {
            fresh--;
            continue;
        }
        short got = pfd[i++].revents;
        if (!got || s->fd < 0)
            continue;
        if (!s->which)
            input_read(c, s);
        else if (got & POLLERR)
            drop_reader(s);
        else if (s->buf.len)
            output_flush(s);
    }
}

void kata_stream_close_all(struct kata_conn *c)
{
    while (c->streams) {
        struct kata_stream *s = c->streams;
        c->streams = s->next;
        if (s->busy)
            kata_conn_forget(c, &s->pending);
        stream_free(s);
    }
}

/* ---- opening ---- */

static struct kata_stream *stream_new(const char *ctr, const char *exec, int which, int fd)
{
    struct kata_stream *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->fd = -1;
    s->which = which;
    s->pending.on_reply = which ? output_reply : input_reply;
    s->ctr = strdup(ctr);
    s->exec = strdup(exec);
    if (!s->ctr || !s->exec || vcs_set_nonblock(fd, 1) < 0) {
        stream_free(s);
        return NULL;
    }
    return s;
}

int kata_stream_open(struct kata_conn *c, const char *ctr, const char *exec, int terminal, int ret_fds[3])
{
    int ours[3] = { -1, -1, -1 }, theirs[3] = { -1, -1, -1 }, rc = 0;
    struct kata_stream *made[3] = { NULL, NULL, NULL };
    int n = terminal ? 2 : 3;
    for (int i = 0; i < n && !rc; i++) {
        int p[2];
        if (pipe2(p, O_CLOEXEC) < 0) {
            rc = errno;
            break;
        }
        ours[i] = p[i ? 1 : 0];
        theirs[i] = p[i ? 0 : 1];
        if (i < 2)
            (void)fcntl(p[0], F_SETPIPE_SZ, (int)(i ? CHUNK : STDIN_CHUNK)); /* faster when it is allowed */
        made[i] = stream_new(ctr, exec, i, ours[i]);
        if (!made[i])
            rc = ENOMEM;
    }
    if (!rc) {
        pthread_mutex_lock(&c->lock);
        rc = kata_stream_count(c) + 3 > STREAMS_MAX ? EMFILE : c->fail_code ? ENOTCONN : kata_conn_start(c);
        for (int i = n - 1; i >= 0 && !rc; i--) {
            made[i]->fd = ours[i];
            ours[i] = -1;
            made[i]->next = c->streams;
            c->streams = made[i];
            made[i] = NULL;
            ret_fds[i] = VCS_TAKE_FD(theirs[i]);
        }
        pthread_mutex_unlock(&c->lock);
    }
    if (!rc && terminal)
        ret_fds[2] = -1;
    for (int i = 0; i < 3; i++) {
        if (made[i])
            stream_free(made[i]);
        vcs_cleanup_fd(&ours[i]);
        vcs_cleanup_fd(&theirs[i]);
    }
    return rc;
}
