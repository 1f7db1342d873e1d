/* SPDX-License-Identifier: Apache-2.0 */
/* relay.c: one yamux session on the VM's serial port, shared by all who connect to our socket.
 *
 * Each connection is one stream.  Nothing waits for anything: bytes from the VM are written to the
 * client straight from the read buffer, bytes from a client are read straight into the session's
 * output.  What a slow client leaves behind is at most its window; while the VM does not read,
 * clients are not read either. */
#include "relay.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/io.h"
#include "lib/utf8.h"
#include "lib/yamux.h"

#define BUCKETS         256u
#define READ_SIZE       (128u * 1024) /* from the VM */
#define CHUNK           (64u * 1024)  /* from a client */
#define OUTPUT_HIGH     (128u * 1024) /* clients are not read while that much waits for the VM */
#define ACCEPT_RETRY_MS 100           /* after a failed accept, when no client's end may help before */
#define LINGER_NS       1000000000    /* what a client gets to take its last bytes after the VM's end */

enum kind { KIND_LISTEN, KIND_MUX, KIND_SIGNAL, KIND_CONSOLE, KIND_CLIENT };

/* What epoll hands back. */
struct source {
    enum kind kind;
    int fd;
    uint32_t events; /* registered; 0 = not in the set */
};

struct client {
    struct source src; /* first; fd -1 once the client is gone for good */
    uint32_t id;
    struct client *next; /* in its bucket, or in the list of the dead */
    struct client *stall_next;
    unsigned char stalled; /* in the list of those who wait for the output to shrink */
    unsigned char eof;     /* the client sends no more */
    unsigned char vm_done; /* the VM sends no more */
    unsigned char shut;    /* the client was told so */
    unsigned char gone;    /* the stream is over: close when everything is written */
    unsigned char dead;    /* waits to be freed */
    struct vcs_buf pend;   /* for the client */
};

struct relay {
    int epoll_fd;
    struct source listen, mux, signal, console;
    vcs_yamux *yamux;
    struct client *table[BUCKETS], *stalled, *dead;
    size_t n_clients;
    int vm_gone, ending, exit_code;
};

static unsigned char mux_buffer[READ_SIZE];

/* ---- epoll ---- */

static int watch(struct relay *r, struct source *s, uint32_t events)
{
    if (s->events == events || s->fd < 0)
        return 0;
    struct epoll_event ev = { .events = events, .data.ptr = s };
    /* A source that wants nothing leaves the set: EPOLLHUP, which cannot be masked, would spin. */
    int op = !events ? EPOLL_CTL_DEL : s->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(r->epoll_fd, op, s->fd, &ev) < 0)
        return -errno;
    s->events = events;
    return 0;
}

static void close_source(struct relay *r, struct source *s)
{
    if (s->fd < 0)
        return;
    watch(r, s, 0);
    close(s->fd);
    s->fd = -1;
}

/* ---- clients ---- */

static struct client *find(struct relay *r, uint32_t id)
{
    struct client *c = r->table[(id >> 1) % BUCKETS];
    while (c && c->id != id)
        c = c->next;
    return c;
}

static size_t output_size(const struct relay *r)
{
    size_t n;
    vcs_yamux_output(r->yamux, &n);
    return n;
}

/* Forget a client; its memory lives until this round of events is over. */
static void drop(struct relay *r, struct client *c)
{
    if (c->dead)
        return;
    struct client **at = &r->table[(c->id >> 1) % BUCKETS];
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    close_source(r, &c->src);
    vcs_buf_done(&c->pend);
    c->dead = 1;
    c->next = r->dead;
    r->dead = c;
    r->n_clients--;
    if (!r->ending)
        watch(r, &r->listen, EPOLLIN); /* it may have been off for want of descriptors */
}

static void free_dead(struct relay *r)
{
    for (struct client **at = &r->stalled; *at;) {
        if ((*at)->dead)
            *at = (*at)->stall_next;
        else
            at = &(*at)->stall_next;
    }
    while (r->dead) {
        struct client *c = r->dead;
        r->dead = c->next;
        free(c);
    }
}

/* Set what to wait for, tell the client of the VM's end of file, and drop it when all is done. */
static void settle(struct relay *r, struct client *c)
{
    if (c->dead)
        return;
    if (!c->pend.len && c->vm_done && !c->shut && c->src.fd >= 0) {
        shutdown(c->src.fd, SHUT_WR);
        c->shut = 1;
    }
    if (c->gone && (!c->pend.len || c->src.fd < 0)) {
        drop(r, c);
        return;
    }
    uint32_t want = c->pend.len ? EPOLLOUT : 0;
    if (!c->eof && !c->gone && vcs_yamux_sendable(r->yamux, c->id) > 0) {
        if (output_size(r) < OUTPUT_HIGH) {
            want |= EPOLLIN;
        } else if (!c->stalled) {
            c->stalled = 1;
            c->stall_next = r->stalled;
            r->stalled = c;
        }
    }
    if (watch(r, &c->src, want) < 0) {
        proxy_log(LOG_ERROR, "stream %u: cannot watch its client: %s", c->id, strerror(errno));
        vcs_yamux_reset(r->yamux, c->id);
        drop(r, c);
    }
}

/* The client is gone: what comes for it is thrown away until the VM ends the stream too.  The stream
 * is finished and not reset, so that requests already sent are still carried out. */
static void client_lost(struct relay *r, struct client *c)
{
    close_source(r, &c->src);
    vcs_yamux_consumed(r->yamux, c->id, c->pend.len);
    vcs_buf_done(&c->pend);
    if (!c->eof) {
        c->eof = 1;
        vcs_yamux_finish(r->yamux, c->id); /* may end the stream, and so come to on_closed */
    }
}

/* Write to the client; how many bytes were taken, -1 when it does not read any more. */
static ssize_t to_client(struct client *c, const void *data, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t w = send(c->src.fd, (const char *)data + done, n - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (w >= 0)
            done += (size_t)w;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            return -1;
    }
    return (ssize_t)done;
}

static void client_writable(struct relay *r, struct client *c)
{
    if (c->src.fd < 0 || !c->pend.len)
        return;
    ssize_t n = to_client(c, vcs_buf_data(&c->pend), c->pend.len);
    if (n < 0) {
        /* It does not read, but what it has sent still counts. */
        n = (ssize_t)c->pend.len;
        c->shut = 1;
    }
    vcs_buf_consume(&c->pend, (size_t)n);
    if (!c->pend.len)
        vcs_buf_clear(&c->pend);
    vcs_yamux_consumed(r->yamux, c->id, (size_t)n);
}

static void client_readable(struct relay *r, struct client *c)
{
    size_t n = CHUNK;
    if (c->eof || c->gone || c->src.fd < 0 || output_size(r) >= OUTPUT_HIGH)
        return;
    void *at = vcs_yamux_send_begin(r->yamux, c->id, &n);
    if (!at) {
        if (n) {
            proxy_log(LOG_ERROR, "stream %u: out of memory", c->id);
            vcs_yamux_reset(r->yamux, c->id);
            drop(r, c);
        }
        return;
    }
    ssize_t got = recv(c->src.fd, at, n, MSG_DONTWAIT);
    if (got > 0) {
        vcs_yamux_send_end(r->yamux, c->id, (size_t)got);
        return;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0) {
        client_lost(r, c);
        return;
    }
    proxy_log(LOG_DEBUG, "stream %u: end of file from the client", c->id);
    c->eof = 1;
    vcs_yamux_finish(r->yamux, c->id);
}

static void client_event(struct relay *r, struct client *c, uint32_t events)
{
    if (c->dead)
        return;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        client_writable(r, c);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        client_readable(r, c);
    if (!c->dead && c->eof && events & EPOLLHUP)
        client_lost(r, c);
    settle(r, c);
}

static void accept_clients(struct relay *r)
{
    for (;;) {
        int fd = accept4(r->listen.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            if (errno != EAGAIN) {
                proxy_log(LOG_ERROR, "cannot accept a client: %s", strerror(errno));
                watch(r, &r->listen, 0); /* for a while, or until one leaves */
            }
            return;
        }
        struct client *c = calloc(1, sizeof(*c));
        uint32_t id = c ? vcs_yamux_open(r->yamux) : 0;
        if (!id) {
            proxy_log(LOG_ERROR, "no stream for a new client: the VM takes no more");
            free(c);
            close(fd);
            continue;
        }
        c->src = (struct source){ .kind = KIND_CLIENT, .fd = fd };
        c->id = id;
        c->next = r->table[(id >> 1) % BUCKETS];
        r->table[(id >> 1) % BUCKETS] = c;
        r->n_clients++;
        proxy_log(LOG_DEBUG, "stream %u: opened", id);
        client_event(r, c, EPOLLIN); /* clients write at once: often the first bytes are there */
    }
}

/* ---- events of the session ---- */

static int on_opened(void *ctx, uint32_t id)
{
    (void)ctx;
    proxy_log(LOG_WARN, "the VM tried to open stream %u: refused", id);
    return -1;
}

static void on_data(void *ctx, uint32_t id, const void *data, size_t n)
{
    struct relay *r = ctx;
    struct client *c = find(r, id);
    if (!c || c->src.fd < 0 || c->shut) {
        vcs_yamux_consumed(r->yamux, id, n);
        return;
    }
    size_t done = 0;
    if (!c->pend.len) {
        ssize_t w = to_client(c, data, n);
        if (w < 0) {
            c->shut = 1;
            w = (ssize_t)n;
        }
        done = (size_t)w;
    }
    if (done < n && vcs_buf_append(&c->pend, (const char *)data + done, n - done) < 0) {
        proxy_log(LOG_ERROR, "stream %u: out of memory", id);
        vcs_yamux_reset(r->yamux, id);
        drop(r, c);
        return;
    }
    vcs_yamux_consumed(r->yamux, id, done);
    settle(r, c);
}

static void on_finished(void *ctx, uint32_t id)
{
    struct relay *r = ctx;
    struct client *c = find(r, id);
    if (!c)
        return;
    c->vm_done = 1;
    settle(r, c);
}

static void on_closed(void *ctx, uint32_t id)
{
    struct relay *r = ctx;
    struct client *c = find(r, id);
    if (!c)
        return;
    proxy_log(LOG_DEBUG, "stream %u: closed", id);
    c->gone = c->eof = c->vm_done = 1;
    settle(r, c);
}

static void on_writable(void *ctx, uint32_t id)
{
    struct relay *r = ctx;
    struct client *c = find(r, id);
    if (c)
        settle(r, c);
}

/* ---- the VM's side ---- */

/* The VM is gone: everyone shall know at once, except who still has bytes to take. */
static void vm_ended(struct relay *r)
{
    r->vm_gone = r->ending = 1;
    close_source(r, &r->mux);
    close_source(r, &r->listen);
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct client *c = r->table[i], *next; c; c = next) {
            next = c->next;
            c->gone = c->eof = c->vm_done = 1;
            settle(r, c);
        }
    }
}

static void flush_output(struct relay *r)
{
    for (;;) {
        size_t n;
        const void *p = vcs_yamux_output(r->yamux, &n);
        if (!n || r->mux.fd < 0)
            break;
        ssize_t w = send(r->mux.fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0 && errno == EAGAIN)
            break;
        if (w < 0) {
            /* Its last words may still be there to read: the end of file that follows them ends us. */
            vcs_yamux_output_consume(r->yamux, n);
            continue;
        }
        vcs_yamux_output_consume(r->yamux, (size_t)w);
    }
    if (output_size(r) < OUTPUT_HIGH / 2) {
        struct client *list = r->stalled;
        r->stalled = NULL;
        while (list) {
            struct client *c = list;
            list = c->stall_next;
            c->stalled = 0;
            settle(r, c);
        }
    }
    watch(r, &r->mux, EPOLLIN | (output_size(r) ? EPOLLOUT : 0));
}

static void mux_readable(struct relay *r)
{
    for (int rounds = 0; rounds < 4; rounds++) {
        ssize_t n = recv(r->mux.fd, mux_buffer, sizeof(mux_buffer), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            proxy_log(LOG_INFO, "the VM closed its port");
            vm_ended(r);
            return;
        }
        if (vcs_yamux_input(r->yamux, mux_buffer, (size_t)n) < 0) {
            proxy_log(LOG_ERROR, "the session with the VM is over: %s", vcs_yamux_error(r->yamux));
            r->exit_code = 1;
            flush_output(r);
            vm_ended(r);
            return;
        }
        if ((size_t)n < sizeof(mux_buffer))
            return;
    }
}

/* Log what is there of a line of the console; control bytes, C1 among them, could fool a terminal.  Returns how much of
 * its end is the beginning of a character, which stays in `line` for the next one when it is `cut`. */
static size_t log_console(char *line, size_t len, int cut)
{
    size_t at = 0;
    while (at < len) {
        size_t n = vcs_utf8_plain(line + at, len - at);
        int begins = cut && len - at < 4 && (unsigned char)line[at] >= 0xc2;
        if (!n && begins)
            break;
        if (!n)
            line[at] = '?';
        at += n ? n : 1;
    }
    proxy_log(LOG_DEBUG, "console: %.*s", (int)at, line);
    memmove(line, line + at, len - at);
    return len - at;
}

/* Lines of the guest's console to the log. */
static void console_readable(struct relay *r)
{
    static char line[1024];
    static size_t len;
    char text[512];
    ssize_t n = recv(r->console.fd, text, sizeof(text), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        close_source(r, &r->console);
    for (ssize_t i = 0; i < n; i++) {
        if (text[i] == '\n' || len == sizeof(line))
            len = log_console(line, len, text[i] != '\n');
        if (text[i] != '\n' && text[i] != '\r')
            line[len++] = text[i] ? text[i] : '?'; /* it would end what is printed */
    }
}

/* ---- life ---- */

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int setup(struct relay *r, const struct relay_config *config)
{
    static const struct vcs_yamux_events events = {
        .opened = on_opened,
        .data = on_data,
        .finished = on_finished,
        .closed = on_closed,
        .writable = on_writable,
    };
    r->listen = (struct source){ .kind = KIND_LISTEN, .fd = config->listen_fd };
    r->mux = (struct source){ .kind = KIND_MUX, .fd = config->mux_fd };
    r->console = (struct source){ .kind = KIND_CONSOLE, .fd = config->console_fd };
    r->signal = (struct source){ .kind = KIND_SIGNAL, .fd = open_signals() };
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    r->yamux = vcs_yamux_new(1, &events, r);
    if (r->epoll_fd < 0 || r->signal.fd < 0 || !r->yamux || vcs_set_nonblock(r->listen.fd, 1) < 0 ||
        watch(r, &r->listen, EPOLLIN) < 0 || watch(r, &r->mux, EPOLLIN) < 0 || watch(r, &r->signal, EPOLLIN) < 0 ||
        watch(r, &r->console, EPOLLIN) < 0) {
        proxy_log(LOG_ERROR, "cannot set up the event loop: %s", strerror(errno));
        return -1;
    }
    return 0;
}

static void dispatch(struct relay *r, struct source *s, uint32_t events)
{
    if (s->kind != KIND_CLIENT && s->fd < 0)
        return;
    switch (s->kind) {
    case KIND_LISTEN:
        accept_clients(r);
        break;
    case KIND_MUX:
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            mux_readable(r);
        break;
    case KIND_SIGNAL:
        proxy_log(LOG_INFO, "asked to end");
        r->ending = 2;
        break;
    case KIND_CONSOLE:
        console_readable(r);
        break;
    case KIND_CLIENT:
        client_event(r, (struct client *)(void *)s, events);
        break;
    }
}

static void loop(struct relay *r)
{
    int64_t deadline = 0;
    while (r->ending != 2 && !(r->vm_gone && r->n_clients == 0)) {
        struct epoll_event events[32];
        if (r->vm_gone && !deadline)
            deadline = vcs_now_ns() + LINGER_NS;
        int deaf = r->listen.fd >= 0 && !r->listen.events;
        int n = epoll_wait(r->epoll_fd, events, 32, deaf ? ACCEPT_RETRY_MS : vcs_poll_timeout(deadline));
        if (deaf)
            watch(r, &r->listen, EPOLLIN);
        if (n < 0 && errno != EINTR) {
            proxy_log(LOG_ERROR, "epoll_wait: %s", strerror(errno));
            r->exit_code = 1;
            return;
        }
        if (n == 0 && deadline)
            return;
        for (int i = 0; i < n; i++)
            dispatch(r, events[i].data.ptr, events[i].events);
        flush_output(r);
        free_dead(r);
    }
}

int relay_run(const struct relay_config *config)
{
    struct relay r = { .epoll_fd = -1, .listen = { .fd = -1 }, .mux = { .fd = -1 }, .signal = { .fd = -1 } };
    struct stat mine, now;
    int have = config->socket && lstat(config->socket, &mine) == 0;
    if (setup(&r, config) < 0)
        r.exit_code = 1;
    else
        loop(&r);

    /* Only our own socket: another proxy may serve the same path by now. */
    if (have && lstat(config->socket, &now) == 0 && now.st_ino == mine.st_ino && now.st_dev == mine.st_dev)
        unlink(config->socket);
    r.ending = 2;
    close_source(&r, &r.listen);
    for (unsigned i = 0; i < BUCKETS; i++)
        while (r.table[i])
            drop(&r, r.table[i]);
    free_dead(&r);
    close_source(&r, &r.mux);
    close_source(&r, &r.console);
    close_source(&r, &r.signal);
    vcs_yamux_free(r.yamux);
    if (r.epoll_fd >= 0)
        close(r.epoll_fd);
    return r.exit_code;
}
