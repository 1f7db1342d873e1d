/* SPDX-License-Identifier: Apache-2.0 */
/* fake-agent.c: the scripted agent. */
#include "fakes/fake-agent.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "agent.pb-c.h"
#include "lib/io.h"
#include "lib/ttrpc.h"

#define MAX_CONNS   16
#define MAX_METHODS 48
#define MAX_HELD    64
#define MAX_PROCS   16
#define ECHO_MAX    (1024u * 1024) /* WriteStdin waits while a process has that much output */

struct method {
    char name[32], refuse_text[128];
    unsigned seen;
    int refuse_code, has_payload;
    unsigned char *last, *payload;
    size_t last_len, payload_len;
};

struct conn {
    int fd;
    struct vcs_ttrpc_reader in;
};

struct proc {
    char name[300];
    struct vcs_buf out;
    int eof;
};

struct held {
    int used;
    struct conn *conn;
    uint32_t id, len;
    char method[32];
    struct proc *proc;
};

struct fake_agent {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    char path[256];
    int listen_fd, wake, stop, drop;
    unsigned accepted;
    enum fake_mode mode;
    char mode_method[32];
    struct method methods[MAX_METHODS];
    struct conn conns[MAX_CONNS];
    struct held held[MAX_HELD];
    struct proc procs[MAX_PROCS];
};

static const char *const mode_names[] = { "normal",       "late",        "silent",   "oversized", "truncated",
                                          "stuck",        "alien",       "request",  "wrong-id",  "twice",
                                          "bad-envelope", "bad-payload", "bytewise", "dying" };

int fake_agent_mode_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++)
        if (!strcmp(name, mode_names[i]))
            return (int)i;
    return -1;
}

static struct method *method_of(struct fake_agent *a, const char *name)
{
    for (int i = 0; i < MAX_METHODS; i++) {
        struct method *m = &a->methods[i];
        if (!m->name[0])
            snprintf(m->name, sizeof(m->name), "%s", name);
        if (!strcmp(m->name, name))
            return m;
    }
    return &a->methods[MAX_METHODS - 1];
}

static struct proc *proc_of(struct fake_agent *a, const char *ctr, const char *exec)
{
    char name[300];
    snprintf(name, sizeof(name), "%s/%s", ctr, exec);
    for (int i = 0; i < MAX_PROCS; i++) {
        struct proc *p = &a->procs[i];
        if (!p->name[0])
            snprintf(p->name, sizeof(p->name), "%s", name);
        if (!strcmp(p->name, name))
            return p;
    }
    return &a->procs[MAX_PROCS - 1];
}

/* ---- sending ---- */

static void conn_close(struct fake_agent *a, struct conn *c)
{
    for (int i = 0; i < MAX_HELD; i++)
        if (a->held[i].conn == c)
            a->held[i].used = 0;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    vcs_buf_done(&c->in.in);
    memset(&c->in, 0, sizeof(c->in));
}

static void send_bytes(struct fake_agent *a, struct conn *c, const unsigned char *p, size_t n, size_t step)
{
    while (n && c->fd >= 0) {
        ssize_t w = send(c->fd, p, n < step ? n : step, MSG_NOSIGNAL);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0) {
            conn_close(a, c);
            return;
        }
        p += w;
        n -= (size_t)w;
    }
}

/* A frame with any header. */
static void send_frame(struct fake_agent *a, struct conn *c, uint32_t len, uint32_t id, unsigned type, const void *data,
                       size_t n)
{
    unsigned char head[VCS_TTRPC_HEADER];
    vcs_put_be32(head, len);
    vcs_put_be32(head + 4, id);
    head[8] = (unsigned char)type;
    head[9] = 0;
    send_bytes(a, c, head, sizeof(head), sizeof(head));
    send_bytes(a, c, data, n, n);
}

static void send_reply(struct fake_agent *a, struct conn *c, uint32_t id, const void *payload, size_t n,
                       enum fake_mode mode)
{
    struct vcs_buf b = { 0 };
    unsigned char *at = vcs_ttrpc_put_response(&b, id, n);
    if (at && n)
        memcpy(at, payload, n);
    if (mode == FAKE_TRUNCATED || mode == FAKE_STUCK)
        b.len /= 2;
    send_bytes(a, c, vcs_buf_data(&b), b.len, mode == FAKE_BYTEWISE ? 1 : b.len);
    if (mode == FAKE_TWICE)
        send_bytes(a, c, vcs_buf_data(&b), b.len, b.len);
    if (mode == FAKE_TRUNCATED)
        conn_close(a, c);
    vcs_buf_done(&b);
}

static void send_message(struct fake_agent *a, struct conn *c, uint32_t id, const void *msg, enum fake_mode mode)
{
    size_t n = protobuf_c_message_get_packed_size(msg);
    unsigned char *mem = malloc(n + 1);
    if (!mem)
        return;
    protobuf_c_message_pack(msg, mem);
    send_reply(a, c, id, mem, n, mode);
    free(mem);
}

/* ---- answering ---- */

/* Answer a request of a process if that is possible now. */
static int serve(struct fake_agent *a, struct held *h, enum fake_mode mode)
{
    struct proc *p = h->proc;
    if (!strcmp(h->method, "ReadStdout")) {
        Agent__ReadStreamResponse r = AGENT__READ_STREAM_RESPONSE__INIT;
        if (!p->out.len && !p->eof)
            return 0;
        r.data.data = p->out.len ? vcs_buf_data(&p->out) : NULL;
        r.data.len = p->out.len < h->len ? p->out.len : h->len;
        size_t n = r.data.len;
        send_message(a, h->conn, h->id, &r, mode);
        vcs_buf_consume(&p->out, n);
        return 1;
    }
    if (!strcmp(h->method, "WaitProcess")) {
        Agent__WaitProcessResponse r = AGENT__WAIT_PROCESS_RESPONSE__INIT;
        if (!p->eof || p->out.len)
            return 0;
        r.status = 7;
        send_message(a, h->conn, h->id, &r, mode);
        return 1;
    }
    if (!strcmp(h->method, "WriteStdin")) {
        Agent__WriteStreamResponse r = AGENT__WRITE_STREAM_RESPONSE__INIT;
        if (p->out.len > ECHO_MAX)
            return 0;
        r.len = h->len;
        send_message(a, h->conn, h->id, &r, mode);
        return 1;
    }
    send_reply(a, h->conn, h->id, NULL, 0, mode); /* held back by FAKE_LATE */
    return 1;
}

static void hold(struct fake_agent *a, const struct held *h)
{
    for (int i = 0; i < MAX_HELD; i++)
        if (!a->held[i].used) {
            a->held[i] = *h;
            a->held[i].used = 1;
            return;
        }
}

static void serve_held(struct fake_agent *a)
{
    for (int i = 0; i < MAX_HELD; i++)
        if (a->held[i].used && a->mode != FAKE_LATE && serve(a, &a->held[i], FAKE_NORMAL))
            a->held[i].used = 0;
}

/* The methods that concern a process.  1: dealt with. */
static int process_method(struct fake_agent *a, struct conn *c, const char *name, uint32_t id,
                          const struct vcs_ttrpc_request *r, enum fake_mode mode)
{
    struct held h = { .conn = c, .id = id };
    snprintf(h.method, sizeof(h.method), "%s", name);
    if (!strcmp(name, "WriteStdin")) {
        Agent__WriteStreamRequest *m = agent__write_stream_request__unpack(NULL, r->payload_len, r->payload);
        h.proc = m ? proc_of(a, m->container_id, m->exec_id) : &a->procs[0];
        h.len = m ? (uint32_t)m->data.len : 0;
        if (m)
            vcs_buf_append(&h.proc->out, m->data.data, m->data.len);
        if (m)
            agent__write_stream_request__free_unpacked(m, NULL);
    } else if (!strcmp(name, "ReadStdout") || !strcmp(name, "ReadStderr")) {
        Agent__ReadStreamRequest *m = agent__read_stream_request__unpack(NULL, r->payload_len, r->payload);
        h.proc = m ? proc_of(a, m->container_id, m->exec_id) : &a->procs[0];
        h.len = m ? m->len : 0;
        if (m)
            agent__read_stream_request__free_unpacked(m, NULL);
        if (name[4] == 'S' && !strcmp(name, "ReadStderr"))
            return 0; /* an empty answer is the end */
    } else if (!strcmp(name, "WaitProcess")) {
        Agent__WaitProcessRequest *m = agent__wait_process_request__unpack(NULL, r->payload_len, r->payload);
        h.proc = m ? proc_of(a, m->container_id, m->exec_id) : &a->procs[0];
        if (m)
            agent__wait_process_request__free_unpacked(m, NULL);
    } else {
        if (!strcmp(name, "CloseStdin")) {
            Agent__CloseStdinRequest *m = agent__close_stdin_request__unpack(NULL, r->payload_len, r->payload);
            if (m)
                proc_of(a, m->container_id, m->exec_id)->eof = 1;
            if (m)
                agent__close_stdin_request__free_unpacked(m, NULL);
        }
        return 0;
    }
    if (!serve(a, &h, mode))
        hold(a, &h);
    return 1;
}

static void answer(struct fake_agent *a, struct conn *c, const char *name, uint32_t id,
                   const struct vcs_ttrpc_request *r, enum fake_mode mode)
{
    struct method *m = method_of(a, name);
    if (m->refuse_code) {
        struct vcs_buf b = { 0 };
        vcs_ttrpc_put_error(&b, id, m->refuse_code, m->refuse_text);
        send_bytes(a, c, vcs_buf_data(&b), b.len, mode == FAKE_BYTEWISE ? 1 : b.len);
        vcs_buf_done(&b);
    } else if (m->has_payload) {
        send_reply(a, c, id, m->payload, m->payload_len, mode);
    } else if (!strcmp(name, "Check")) {
        Agent__HealthCheckResponse ok = AGENT__HEALTH_CHECK_RESPONSE__INIT;
        ok.status = AGENT__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
        send_message(a, c, id, &ok, mode);
    } else if (!process_method(a, c, name, id, r, mode)) {
        send_reply(a, c, id, NULL, 0, mode);
    }
}

static void misbehave(struct fake_agent *a, struct conn *c, const char *name, uint32_t id,
                      const struct vcs_ttrpc_request *r)
{
    static const char alien[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    static const unsigned char junk[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    struct held h = { .conn = c, .id = id, .proc = &a->procs[0] };
    switch (a->mode) {
    case FAKE_LATE:
        snprintf(h.method, sizeof(h.method), "%s", name);
        hold(a, &h);
        break;
    case FAKE_SILENT:
        break;
    case FAKE_OVERSIZED:
        send_frame(a, c, 16u << 20, id, VCS_TTRPC_RESPONSE, "", 0);
        break;
    case FAKE_ALIEN:
        send_bytes(a, c, (const unsigned char *)alien, sizeof(alien) - 1, sizeof(alien));
        break;
    case FAKE_REQUEST:
        send_frame(a, c, 0, id, VCS_TTRPC_REQUEST, "", 0);
        break;
    case FAKE_WRONG_ID:
        send_reply(a, c, id + 1000, NULL, 0, FAKE_NORMAL);
        break;
    case FAKE_BAD_ENVELOPE:
        send_frame(a, c, sizeof(junk), id, VCS_TTRPC_RESPONSE, junk, sizeof(junk));
        break;
    case FAKE_BAD_PAYLOAD:
        send_reply(a, c, id, junk, sizeof(junk), FAKE_NORMAL);
        break;
    case FAKE_DYING:
        conn_close(a, c);
        break;
    default:
        answer(a, c, name, id, r, a->mode);
    }
}

static void handle(struct fake_agent *a, struct conn *c, const struct vcs_ttrpc_frame *f)
{
    struct vcs_ttrpc_request r;
    char name[32];
    if (f->oversized || f->type != VCS_TTRPC_REQUEST || vcs_ttrpc_parse_request(f->data, f->len, &r) < 0) {
        conn_close(a, c);
        return;
    }
    snprintf(name, sizeof(name), "%.*s", (int)r.method_len, r.method);
    struct method *m = method_of(a, name);
    m->seen++;
    free(m->last);
    m->last = malloc(r.payload_len + 1);
    m->last_len = m->last ? r.payload_len : 0;
    if (m->last)
        memcpy(m->last, r.payload, r.payload_len);
    pthread_cond_broadcast(&a->cond);
    if (a->mode != FAKE_NORMAL && (!a->mode_method[0] || !strcmp(a->mode_method, name)))
        misbehave(a, c, name, f->stream_id, &r);
    else
        answer(a, c, name, f->stream_id, &r, FAKE_NORMAL);
}

static void receive(struct fake_agent *a, struct conn *c)
{
    unsigned char *at = vcs_buf_reserve(&c->in.in, 65536);
    ssize_t n = at ? recv(c->fd, at, 65536, 0) : -1;
    if (n <= 0) {
        conn_close(a, c);
        return;
    }
    vcs_buf_commit(&c->in.in, (size_t)n);
    struct vcs_ttrpc_frame f;
    while (c->fd >= 0 && vcs_ttrpc_next(&c->in, &f))
        handle(a, c, &f);
}

static void *run(void *arg)
{
    struct fake_agent *a = arg;
    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        struct pollfd p[MAX_CONNS + 2];
        p[0] = (struct pollfd){ .fd = a->wake, .events = POLLIN };
        p[1] = (struct pollfd){ .fd = a->listen_fd, .events = POLLIN };
        for (int i = 0; i < MAX_CONNS; i++)
            p[i + 2] = (struct pollfd){ .fd = a->conns[i].fd, .events = POLLIN };
        pthread_mutex_unlock(&a->lock);
        poll(p, MAX_CONNS + 2, -1);
        pthread_mutex_lock(&a->lock);
        if (p[0].revents) {
            uint64_t n;
            ssize_t got = read(a->wake, &n, sizeof(n));
            (void)got;
        }
        for (int i = 0; i < MAX_CONNS; i++)
            if (a->drop || (p[i + 2].revents && a->conns[i].fd < 0))
                conn_close(a, &a->conns[i]);
            else if (p[i + 2].revents)
                receive(a, &a->conns[i]);
        if (a->drop)
            a->drop = 0;
        if (p[1].revents) {
            int fd = accept4(a->listen_fd, NULL, NULL, SOCK_CLOEXEC), i = 0;
            while (i < MAX_CONNS && a->conns[i].fd >= 0)
                i++;
            a->accepted += fd >= 0;
            if (i < MAX_CONNS)
                a->conns[i].fd = fd;
            else
                close(fd);
        }
        serve_held(a);
        pthread_cond_broadcast(&a->cond);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* ---- the script ---- */

static void wake(struct fake_agent *a)
{
    uint64_t one = 1;
    ssize_t n = write(a->wake, &one, sizeof(one));
    (void)n;
}

struct fake_agent *fake_agent_start(const char *path, enum fake_mode mode, const char *method)
{
    struct fake_agent *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    snprintf(a->path, sizeof(a->path), "%s", path);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->cond, NULL);
    for (int i = 0; i < MAX_CONNS; i++)
        a->conns[i].fd = -1;
    a->mode = mode;
    snprintf(a->mode_method, sizeof(a->mode_method), "%s", method ? method : "");
    a->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    a->listen_fd = vcs_unix_listen(path, 0600, 16);
    if (a->listen_fd < 0 || pthread_create(&a->thread, NULL, run, a)) {
        fprintf(stderr, "fake agent: cannot listen on %s\n", path);
        free(a);
        return NULL;
    }
    return a;
}

void fake_agent_stop(struct fake_agent *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = 1;
    wake(a);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    for (int i = 0; i < MAX_CONNS; i++)
        conn_close(a, &a->conns[i]);
    for (int i = 0; i < MAX_METHODS; i++) {
        free(a->methods[i].last);
        free(a->methods[i].payload);
    }
    for (int i = 0; i < MAX_PROCS; i++)
        vcs_buf_done(&a->procs[i].out);
    close(a->listen_fd);
    close(a->wake);
    unlink(a->path);
    pthread_cond_destroy(&a->cond);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

void fake_agent_mode(struct fake_agent *a, enum fake_mode mode, const char *method)
{
    pthread_mutex_lock(&a->lock);
    a->mode = mode;
    snprintf(a->mode_method, sizeof(a->mode_method), "%s", method ? method : "");
    wake(a);
    pthread_mutex_unlock(&a->lock);
}

void fake_agent_release(struct fake_agent *a)
{
    fake_agent_mode(a, FAKE_NORMAL, NULL);
}

void fake_agent_refuse(struct fake_agent *a, const char *method, int code, const char *text)
{
    pthread_mutex_lock(&a->lock);
    struct method *m = method_of(a, method);
    m->refuse_code = code;
    snprintf(m->refuse_text, sizeof(m->refuse_text), "%s", text ? text : "");
    pthread_mutex_unlock(&a->lock);
}

void fake_agent_payload(struct fake_agent *a, const char *method, const void *data, size_t n)
{
    pthread_mutex_lock(&a->lock);
    struct method *m = method_of(a, method);
    free(m->payload);
    m->payload = data ? malloc(n + 1) : NULL;
    m->has_payload = m->payload != NULL;
    m->payload_len = n;
    if (m->payload)
        memcpy(m->payload, data, n);
    pthread_mutex_unlock(&a->lock);
}

void fake_agent_drop(struct fake_agent *a)
{
    pthread_mutex_lock(&a->lock);
    a->drop = 1;
    wake(a);
    while (a->drop)
        pthread_cond_wait(&a->cond, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

unsigned fake_agent_connections(struct fake_agent *a)
{
    pthread_mutex_lock(&a->lock);
    unsigned n = a->accepted;
    pthread_mutex_unlock(&a->lock);
    return n;
}

unsigned fake_agent_seen(struct fake_agent *a, const char *method, unsigned want)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&a->lock);
    struct method *m = method_of(a, method);
    while (m->seen < want && pthread_cond_timedwait(&a->cond, &a->lock, &until) == 0)
        ;
    unsigned n = m->seen;
    pthread_mutex_unlock(&a->lock);
    return n;
}

unsigned char *fake_agent_last(struct fake_agent *a, const char *method, size_t *ret_n)
{
    unsigned char *copy = NULL;
    pthread_mutex_lock(&a->lock);
    struct method *m = method_of(a, method);
    if (m->last && (copy = malloc(m->last_len + 1))) {
        memcpy(copy, m->last, m->last_len);
        *ret_n = m->last_len;
    }
    pthread_mutex_unlock(&a->lock);
    return copy;
}
