/* SPDX-License-Identifier: Apache-2.0 */
/* conn.c: the ttRPC connection. */
#include "conn.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/io.h"
#include "lib/plug.h"
#include "lib/utf8.h"
#include "stream.h"

#define THREAD_STACK (256u * 1024)
#define READ_MIN     (16u * 1024) /* room offered to one read */
#define ORPHANS_MAX  1024u        /* answers an agent may owe us */
#define OUT_MAX      (8u * 1024 * 1024) /* requests that wait for an agent that does not read */
#define KEPT_MAX     4096u        /* an answer that may wait for a later call: those are exit statuses */
#define RETRY_MIN_MS 1            /* pause between attempts while nobody listens */
#define RETRY_MAX_MS 64
/* One attempt on vsock, whose own would go on until the deadline and hear nothing of a cancel. */
#define VSOCK_MIN_MS 100
#define VSOCK_MAX_MS 2000 /* the kernel's own limit */

/* ---- text ---- */

void kata_clean(char *out, size_t size, const char *in, size_t n)
{
    size_t o = 0;
    for (size_t i = 0; i < n;) {
        size_t len = vcs_utf8_plain(in + i, n - i), need = len ? len : 1;
        if (o + need >= size)
            break;
        if (len)
            memcpy(out + o, in + i, len);
        else
            out[o] = in[i] == '\n' || in[i] == '\t' || in[i] == '\r' ? ' ' : '?';
        o += need;
        i += need;
    }
    while (o && out[o - 1] == ' ')
        o--;
    out[o] = '\0';
}

/* ---- life ---- */

struct kata_conn *kata_conn_new(const vc_host *host, const char *uri)
{
    struct kata_conn *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->host = host;
    c->refs = 1;
    c->next_id = 1;
    c->fd = -1;
    c->uri = strdup(uri);
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!c->uri || c->wake < 0) {
        vcs_cleanup_fd(&c->wake);
        free(c->uri);
        free(c);
        return NULL;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->cond, &attr);
    pthread_condattr_destroy(&attr);
    return c;
}

struct kata_conn *kata_conn_ref(struct kata_conn *c)
{
    pthread_mutex_lock(&c->lock);
    c->refs++;
    pthread_mutex_unlock(&c->lock);
    return c;
}

static void pending_free(struct kata_pending *p)
{
    kata_reply_done(&p->reply);
    free(p->key);
    free(p);
}

void kata_conn_unref(struct kata_conn *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    if (--c->refs > 0) {
        pthread_mutex_unlock(&c->lock);
        return;
    }
    c->stop = 1;
    kata_conn_wake(c);
    pthread_mutex_unlock(&c->lock);
    if (c->threaded)
        pthread_join(c->thread, NULL);
    /* Nobody else knows the connection now; what is still pending are orphans. */
    while (c->pending) {
        struct kata_pending *p = c->pending;
        c->pending = p->next;
        pending_free(p);
    }
    vcs_cleanup_fd(&c->fd);
    vcs_cleanup_fd(&c->wake);
    vcs_buf_done(&c->in.in);
    vcs_buf_done(&c->out);
    free(c->pfd);
    free(c->uri);
    pthread_cond_destroy(&c->cond);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void kata_reply_done(struct kata_reply *r)
{
    free(r->payload);
    r->payload = NULL;
    r->len = 0;
}

void kata_conn_wake(struct kata_conn *c)
{
    uint64_t one = 1;
    ssize_t n = write(c->wake, &one, sizeof(one));
    (void)n; /* a full counter wakes as well */
}

void kata_conn_fail(struct kata_conn *c, int code, int sys, const char *fmt, ...)
{
    if (c->fail_code)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->fail_text, sizeof(c->fail_text), fmt, ap);
    va_end(ap);
    c->fail_code = code;
    c->fail_sys = sys;
    kata_conn_wake(c);
    pthread_cond_broadcast(&c->cond);
}

int kata_conn_failed(struct kata_conn *c)
{
    pthread_mutex_lock(&c->lock);
    int failed = c->fail_code != 0;
    pthread_mutex_unlock(&c->lock);
    return failed;
}

int kata_conn_gone(struct kata_conn *c)
{
    pthread_mutex_lock(&c->lock);
    /* While no call waits nobody reads, so nobody has seen the end of the stream. */
    struct pollfd p = { .fd = c->fd, .events = POLLRDHUP };
    int gone = c->fail_code || (c->fd >= 0 && poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR));
    pthread_mutex_unlock(&c->lock);
    return gone;
}

void kata_conn_shut(struct kata_conn *c, int code, const char *why)
{
    pthread_mutex_lock(&c->lock);
    kata_conn_fail(c, code, 0, "%s", why);
    pthread_mutex_unlock(&c->lock);
}

void kata_conn_cancel(struct kata_conn *c)
{
    pthread_mutex_lock(&c->lock);
    c->cancels++;
    kata_conn_wake(c);
    pthread_cond_broadcast(&c->cond);
    pthread_mutex_unlock(&c->lock);
}

/* ---- waiting ---- */

static int passed(int64_t deadline_ns)
{
    return deadline_ns && vcs_now_ns() >= deadline_ns;
}

static void cond_wait(struct kata_conn *c, int64_t deadline_ns)
{
    if (!deadline_ns) {
        pthread_cond_wait(&c->cond, &c->lock);
        return;
    }
    struct timespec ts = { .tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000 };
    pthread_cond_timedwait(&c->cond, &c->lock, &ts);
}

static void drain_wake(struct kata_conn *c)
{
    uint64_t n;
    ssize_t got = read(c->wake, &n, sizeof(n));
    (void)got;
}

/* ---- opening ---- */

/* Nobody listens yet, but may soon. */
static int not_yet(int rc)
{
    return rc == -ECONNREFUSED || rc == -ECONNRESET || rc == -ETIMEDOUT || rc == -ENODEV || rc == -EHOSTUNREACH ||
           rc == -ENETUNREACH || rc == -EPIPE || rc == -EAGAIN;
}

/* One attempt, which takes at most ms on vsock. */
static int dial_once(const struct kata_conn *c, int64_t deadline, int ms)
{
    int64_t end = vcs_now_ns() + (int64_t)ms * 1000000;
    int limited = !strncmp(c->uri, "vsock://", 8) && (!deadline || end < deadline);
    return vcs_uri_connect(c->uri, limited ? end : deadline);
}

/* Connect without the lock.  A descriptor or a negative errno; -ECANCELED. */
static int dial(struct kata_conn *c, int64_t deadline, int patient, unsigned cancels)
{
    int ms = patient ? VSOCK_MIN_MS : VSOCK_MAX_MS;
    for (int pause = RETRY_MIN_MS;; pause = pause * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : pause * 2) {
        int fd = dial_once(c, deadline, ms);
        ms = ms * 2 > VSOCK_MAX_MS ? VSOCK_MAX_MS : ms * 2;
        if (fd >= 0 || !patient || !not_yet(fd) || passed(deadline))
            return fd;
        /* Nothing announces that the guest has begun to listen: look again soon. */
        int left = vcs_poll_timeout(deadline);
        struct pollfd p = { .fd = c->wake, .events = POLLIN };
        if (poll(&p, 1, left >= 0 && left < pause ? left : pause) > 0)
            drain_wake(c);
        pthread_mutex_lock(&c->lock);
        int ended = c->cancels != cancels || c->fail_code;
        pthread_mutex_unlock(&c->lock);
        if (ended)
            return -ECANCELED;
    }
}

static int report(struct kata_conn *c, const struct vc_call *call, const char *method)
{
    return vcs_fail(c->host, call, c->fail_code, c->fail_sys, "%s: %s", method, c->fail_text);
}

int kata_conn_open(struct kata_conn *c, const struct vc_call *call, int patient)
{
    pthread_mutex_lock(&c->lock);
    unsigned cancels = c->cancels;
    while (c->opening && !passed(call->deadline_ns) && c->cancels == cancels)
        cond_wait(c, call->deadline_ns);
    int rc = 0;
    if (c->cancels != cancels) {
        rc = vcs_fail(c->host, call, VC_E_CANCELLED, 0, "connecting to the agent at %s was cancelled", c->uri);
    } else if (c->opening || (c->fd < 0 && passed(call->deadline_ns))) {
        rc = vcs_fail(c->host, call, VC_E_TIMEOUT, 0, "the agent at %s could not be connected to before the deadline",
                      c->uri);
    } else if (c->fail_code) {
        rc = report(c, call, "connect");
    } else if (c->fd < 0) {
        c->opening = 1;
        pthread_mutex_unlock(&c->lock);
        int fd = dial(c, call->deadline_ns, patient, cancels);
        int sys = fd >= 0 ? -vcs_set_nonblock(fd, 1) : -fd;
        pthread_mutex_lock(&c->lock);
        c->opening = 0;
        if (sys) {
            vcs_cleanup_fd(&fd);
            int code = sys == EINVAL                                   ? VC_E_INVAL
                       : sys == ECANCELED                              ? VC_E_CANCELLED
                       : sys == ENOMEM                                 ? VC_E_NOMEM
                       : sys == EMFILE || sys == ENFILE                ? VC_E_RESOURCE
                       : sys == ETIMEDOUT || passed(call->deadline_ns) ? VC_E_TIMEOUT
                       : sys == EACCES || sys == EPERM                 ? VC_E_PERM
                                                                       : VC_E_PEER;
            kata_conn_fail(c, code, sys, "the agent at %s cannot be connected to", c->uri);
            rc = vcs_fail(c->host, call, code, sys, "%s", c->fail_text);
        } else {
            c->fd = fd;
        }
        pthread_cond_broadcast(&c->cond);
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

/* ---- requests and answers, under the lock ---- */

static void flush(struct kata_conn *c)
{
    while (c->out.len && !c->fail_code) {
        ssize_t n = send(c->fd, vcs_buf_data(&c->out), c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK)
                return;
            kata_conn_fail(c, VC_E_PEER, errno, "the connection to the agent at %s broke", c->uri);
            return;
        }
        vcs_buf_consume(&c->out, (size_t)n);
    }
    if (!c->out.len)
        vcs_buf_clear(&c->out);
}

static int id_taken(const struct kata_conn *c, uint32_t id)
{
    for (const struct kata_pending *p = c->pending; p; p = p->next)
        if (p->id == id)
            return 1;
    return 0;
}

/* Queue the frame of a request and send what goes.  0, VC_E_NOMEM or VC_E_RESOURCE (too large). */
static int post(struct kata_conn *c, struct kata_pending *p, const char *service, const char *method,
                int64_t timeout_ns, const ProtobufCMessage *req)
{
    size_t n = protobuf_c_message_get_packed_size(req);
    if (n > VCS_TTRPC_MAX - 256)
        return VC_E_RESOURCE;
    while (id_taken(c, c->next_id))
        c->next_id += 2;
    unsigned char *at = vcs_ttrpc_put_request(&c->out, c->next_id, service, method, timeout_ns, n);
    if (!at)
        return VC_E_NOMEM;
    protobuf_c_message_pack(req, at);
    p->id = c->next_id;
    c->next_id += 2;
    p->done = p->orphan = 0;
    p->next = c->pending;
    c->pending = p;
    flush(c);
    if (c->out.len)
        kata_conn_wake(c); /* a driver in poll must wait for room, too */
    return 0;
}

int kata_conn_post(struct kata_conn *c, struct kata_pending *p, const char *method, const ProtobufCMessage *req)
{
    int rc = post(c, p, KATA_AGENT, method, 0, req);
    if (rc)
        kata_conn_fail(c, rc, 0, "no memory for a %s request", method);
    return rc;
}

void kata_conn_forget(struct kata_conn *c, struct kata_pending *p)
{
    for (struct kata_pending **at = &c->pending; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            return;
        }
}

static void store_reply(struct kata_conn *c, struct kata_pending *p, const struct vcs_ttrpc_response *r)
{
    if (p->key && r->payload_len > KEPT_MAX) {
        kata_conn_fail(c, VC_E_PROTOCOL, 0, "the agent at %s answered a request for a status with %zu bytes", c->uri,
                       r->payload_len);
        return;
    }
    p->reply.code = r->code;
    kata_clean(p->reply.text, sizeof(p->reply.text), r->message, r->message_len);
    if (r->payload_len) {
        p->reply.payload = malloc(r->payload_len);
        if (!p->reply.payload) {
            kata_conn_fail(c, VC_E_NOMEM, 0, "no memory for an answer of the agent");
            return;
        }
        memcpy(p->reply.payload, r->payload, r->payload_len);
        p->reply.len = r->payload_len;
    }
    p->done = 1;
    if (p->orphan && !p->key) {
        kata_conn_forget(c, p);
        pending_free(p);
        c->orphans--;
    }
    pthread_cond_broadcast(&c->cond);
}

static void handle_frame(struct kata_conn *c, const struct vcs_ttrpc_frame *f)
{
    if (f->oversized) {
        kata_conn_fail(c, VC_E_PROTOCOL, 0, "the agent at %s sent a frame of more than %u bytes", c->uri,
                       VCS_TTRPC_MAX);
        return;
    }
    if (f->type != VCS_TTRPC_RESPONSE) {
        kata_conn_fail(c, VC_E_PROTOCOL, 0,
                       "the agent at %s sent a frame of type %u where only answers (type %u) are allowed", c->uri,
                       f->type, (unsigned)VCS_TTRPC_RESPONSE);
        return;
    }
    struct kata_pending *p = c->pending;
    while (p && (p->id != f->stream_id || p->done))
        p = p->next;
    if (!p) {
        kata_conn_fail(c, VC_E_PROTOCOL, 0, "the agent at %s answered request %u, which nobody made", c->uri,
                       f->stream_id);
        return;
    }
    struct vcs_ttrpc_response r;
    if (vcs_ttrpc_parse_response(f->data, f->len, &r) < 0) {
        kata_conn_fail(c, VC_E_PROTOCOL, 0, "the agent at %s sent an answer that is not a ttRPC response", c->uri);
        return;
    }
    if (p->on_reply) {
        kata_conn_forget(c, p);
        p->on_reply(c, p, &r);
    } else {
        store_reply(c, p, &r);
    }
}

/* Read what has come. */
static void receive(struct kata_conn *c)
{
    for (int round = 0; round < 8 && !c->fail_code; round++) {
        size_t room = c->in.in.mem ? c->in.in.cap - c->in.in.off - c->in.in.len : 0;
        if (room < READ_MIN)
            room = READ_MIN;
        unsigned char *at = vcs_buf_reserve(&c->in.in, room);
        if (!at) {
            kata_conn_fail(c, VC_E_NOMEM, 0, "no memory for an answer of the agent");
            return;
        }
        ssize_t n = recv(c->fd, at, room, MSG_DONTWAIT);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK)
                kata_conn_fail(c, VC_E_PEER, errno, "the connection to the agent at %s broke", c->uri);
            return;
        }
        if (n == 0) {
            size_t rest = c->in.in.len > c->in.pending ? c->in.in.len - c->in.pending : 0;
            kata_conn_fail(c, VC_E_PEER, 0, "the agent at %s closed the connection%s", c->uri,
                           rest ? " in the middle of an answer" : "");
            return;
        }
        vcs_buf_commit(&c->in.in, (size_t)n);
        struct vcs_ttrpc_frame f;
        while (!c->fail_code && vcs_ttrpc_next(&c->in, &f))
            handle_frame(c, &f);
        if (!c->in.in.len)
            vcs_buf_clear(&c->in.in);
        if ((size_t)n < room)
            return;
    }
}

/* One turn of the driver: wait for something to happen until the deadline, and act on it. */
static void drive(struct kata_conn *c, int64_t deadline_ns)
{
    size_t need = 2 + kata_stream_count(c);
    if (need > c->n_pfd) {
        struct pollfd *more = realloc(c->pfd, need * sizeof(*more));
        if (!more) {
            kata_conn_fail(c, VC_E_NOMEM, 0, "no memory for the streams of %zu processes", need);
            return;
        }
        c->pfd = more;
        c->n_pfd = need;
    }
    struct pollfd *pfd = c->pfd;
    size_t n = kata_stream_prepare(c, pfd, 2);
    if (c->fail_code)
        return;
    pfd[0] = (struct pollfd){ .fd = c->wake, .events = POLLIN };
    pfd[1] = (struct pollfd){ .fd = c->fd, .events = (short)(POLLIN | (c->out.len ? POLLOUT : 0)) };
    pthread_mutex_unlock(&c->lock);
    int got = poll(pfd, n, vcs_poll_timeout(deadline_ns));
    pthread_mutex_lock(&c->lock);
    if (got <= 0 || c->fail_code)
        return;
    if (pfd[0].revents)
        drain_wake(c);
    if (pfd[1].revents & POLLOUT)
        flush(c);
    if (pfd[1].revents & (POLLIN | POLLHUP | POLLERR))
        receive(c);
    if (!c->fail_code)
        kata_stream_handle(c, pfd + 2, n - 2);
}

/* ---- calls ---- */

/* Wait until p is done; the lock is held. */
static int await(struct kata_conn *c, const struct vc_call *call, struct kata_pending *p, unsigned cancels)
{
    while (!p->done) {
        if (c->fail_code)
            return c->fail_code;
        if (c->cancels != cancels)
            return VC_E_CANCELLED;
        if (passed(call->deadline_ns))
            return VC_E_TIMEOUT;
        if (c->driving || c->threaded) {
            cond_wait(c, call->deadline_ns);
            continue;
        }
        c->driving = 1;
        drive(c, call->deadline_ns);
        c->driving = 0;
        pthread_cond_broadcast(&c->cond); /* somebody else drives on when this call is done */
    }
    return 0;
}

static struct kata_pending *adopt(struct kata_conn *c, const char *key)
{
    for (struct kata_pending *p = key ? c->pending : NULL; p; p = p->next)
        if (p->orphan && p->key && !strcmp(p->key, key)) {
            p->orphan = 0;
            c->orphans--;
            return p;
        }
    return NULL;
}

/* A request for which this call waits: an adopted or a new one. */
static int request(struct kata_conn *c, const struct vc_call *call, const char *service, const char *method,
                   const char *key, const ProtobufCMessage *req, struct kata_pending **ret)
{
    *ret = adopt(c, key);
    if (*ret)
        return 0;
    if (c->out.len > OUT_MAX)
        return vcs_fail(c->host, call, VC_E_BUSY, 0, "%s: the agent at %s has left %zu bytes of earlier requests unread",
                        method, c->uri, c->out.len);
    struct kata_pending *p = calloc(1, sizeof(*p));
    if (!p || (key && !(p->key = strdup(key)))) {
        free(p);
        return vcs_fail(c->host, call, VC_E_NOMEM, 0, "no memory for a %s request", method);
    }
    /* A request that may be adopted later must not end at this call's deadline. */
    int64_t timeout = call->deadline_ns && !key ? call->deadline_ns - vcs_now_ns() : 0;
    int rc = post(c, p, service, method, timeout, req);
    if (rc) {
        pending_free(p);
        return vcs_fail(c->host, call, rc, 0,
                        rc == VC_E_NOMEM ? "no memory for a %s request"
                                         : "the %s request is larger than the 4 MiB that one message may have",
                        method);
    }
    *ret = p;
    return 0;
}

int kata_conn_call(struct kata_conn *c, const struct vc_call *call, const char *service, const char *method,
                   const char *key, const ProtobufCMessage *req, struct kata_reply *ret)
{
    int64_t start = vcs_now_ns();
    struct kata_pending *p = NULL;
    pthread_mutex_lock(&c->lock);
    unsigned cancels = c->cancels;
    int rc;
    if (c->fail_code)
        rc = report(c, call, method);
    else if (passed(call->deadline_ns))
        rc = vcs_fail(c->host, call, VC_E_TIMEOUT, 0, "%s: the deadline had passed before the agent at %s was asked",
                      method, c->uri);
    else
        rc = request(c, call, service, method, key, req, &p);
    if (rc) {
        pthread_mutex_unlock(&c->lock);
        return rc;
    }
    rc = await(c, call, p, cancels);
    if (!rc) {
        *ret = p->reply;
        p->reply.payload = NULL;
    }
    if (!rc || c->fail_code) {
        kata_conn_forget(c, p);
        pending_free(p);
    } else {
        p->orphan = 1;
        if (++c->orphans > ORPHANS_MAX)
            kata_conn_fail(c, VC_E_PEER, 0, "the agent at %s owes more than %u answers", c->uri, ORPHANS_MAX);
    }
    if (rc == VC_E_TIMEOUT)
        vcs_fail(c->host, call, rc, 0, "the agent at %s did not answer %s within %.1f s", c->uri, method,
                 (double)(vcs_now_ns() - start) / 1e9);
    else if (rc == VC_E_CANCELLED && !c->fail_code)
        vcs_fail(c->host, call, rc, 0, "%s was cancelled while the agent at %s was working on it", method, c->uri);
    else if (rc)
        report(c, call, method);
    pthread_mutex_unlock(&c->lock);
    return rc;
}

/* ---- the background thread ---- */

static void *run(void *arg)
{
    struct kata_conn *c = arg;
    pthread_mutex_lock(&c->lock);
    while (c->driving)
        pthread_cond_wait(&c->cond, &c->lock);
    c->driving = 1;
    while (!c->stop && !c->fail_code)
        drive(c, 0);
    kata_stream_close_all(c);
    c->driving = 0;
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

int kata_conn_start(struct kata_conn *c)
{
    kata_conn_wake(c);
    if (c->threaded)
        return 0;
    /* Signals are the host's: none may be delivered on this thread (SIGPIPE of a pipe neither). */
    sigset_t all, old;
    sigfillset(&all);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&c->thread, &attr, run, c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (!rc)
        c->threaded = 1;
    return rc;
}
