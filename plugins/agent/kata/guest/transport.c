/* SPDX-License-Identifier: Apache-2.0 */
/* transport.c: listeners and plain connections; what connections of all kinds have in common. */
#include "transport.h"

#include <linux/vm_sockets.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "conn.h"
#include "lib/io.h"

#define MAX_LISTENERS 8
#define MAX_CONNECTIONS 1024
#define READ_SIZE 65536

struct listener {
    struct watch w;
    int mux;
};

static struct listener listeners[MAX_LISTENERS];
static unsigned n_listeners;
static struct list conns = {&conns, &conns};
static unsigned n_conns;

/* ---- connections ---- */

struct conn *conn_new(uint32_t stream)
{
    if (n_conns >= MAX_CONNECTIONS)
        return NULL;
    struct conn *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    rpc_conn_init(&c->rpc);
    c->stream = stream;
    c->w.fd = -1;
    list_add(&conns, &c->link);
    n_conns++;
    return c;
}

void conn_free(struct conn *c)
{
    rpc_conn_done(&c->rpc);
    if (c->w.fd >= 0) {
        loop_watch(&c->w, 0);
        close(c->w.fd);
    }
    list_del(&c->link);
    n_conns--;
    free(c);
}

struct conn *conn_find(uint32_t stream)
{
    struct list *l;
    list_for_each(l, &conns)
    {
        struct conn *c = list_entry(l, struct conn, link);
        if (c->stream == stream)
            return c;
    }
    return NULL;
}

void conn_drop_streams(void)
{
    struct list *l, *tmp;
    list_for_each_safe(l, tmp, &conns)
    {
        struct conn *c = list_entry(l, struct conn, link);
        if (c->stream)
            conn_free(c);
    }
}

/* ---- plain connections ---- */

static void plain_wish(struct conn *c)
{
    uint32_t events = (c->paused || c->eof ? 0 : EPOLLIN) | (c->rpc.out.len ? EPOLLOUT : 0);
    /* With no wish at all (paused with nothing to write cannot be; at the end of input with nothing to
     * write the connection is dropped) there would be no event that ends it. */
    if (loop_watch(&c->w, events) < 0)
        c->rpc.broken = 1;
}

static void plain_flush(struct conn *c)
{
    while (c->rpc.out.len) {
        ssize_t n = send(c->w.fd, vcs_buf_data(&c->rpc.out), c->rpc.out.len, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                c->rpc.broken = 1;
            break;
        }
        vcs_buf_consume(&c->rpc.out, (size_t)n);
    }
    if (!c->rpc.out.len)
        vcs_buf_clear(&c->rpc.out);
}

static void plain_event(struct watch *w, uint32_t events)
{
    struct conn *c = list_entry(w, struct conn, w);
    c->rpc.dirty = 1;
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || c->paused)
        return;
    unsigned char *at = vcs_buf_reserve(&c->rpc.reader.in, READ_SIZE);
    if (!at) {
        c->rpc.broken = 1;
        return;
    }
    ssize_t n = read(w->fd, at, READ_SIZE);
    if (n > 0) {
        vcs_buf_commit(&c->rpc.reader.in, (size_t)n);
        c->paused = rpc_conn_work(&c->rpc);
    } else if (n == 0) {
        c->eof = 1;
    } else if (errno != EAGAIN && errno != EINTR) {
        c->rpc.broken = 1;
    }
}

static int plain_new(int fd)
{
    struct conn *c = conn_new(0);
    if (!c) {
        close(fd);
        return -ENOMEM;
    }
    c->w = (struct watch){.fd = fd, .fn = plain_event};
    int r = loop_watch(&c->w, EPOLLIN);
    if (r < 0)
        conn_free(c);
    return r;
}

/* ---- listeners ---- */

static void accept_event(struct watch *w, uint32_t events)
{
    struct listener *l = list_entry(w, struct listener, w);
    (void)events;
    for (;;) {
        struct sockaddr_vm peer = {0};
        socklen_t len = sizeof(peer);
        int fd = accept4(w->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        /* On vsock only the host is a client; a container with a vsock socket is not. */
        if (peer.svm_family == AF_VSOCK && peer.svm_cid != VMADDR_CID_HOST) {
            agent_log(AGENT_LOG_WARN, "a vsock connection of context id %u was refused", peer.svm_cid);
            close(fd);
            continue;
        }
        int r = l->mux ? transport_serve_mux_fd(fd) : plain_new(fd);
        if (r < 0)
            agent_log(AGENT_LOG_WARN, "a connection was dropped: %s", strerror(-r));
    }
}

static int add_listener(int fd, int mux)
{
    if (n_listeners == MAX_LISTENERS) {
        close(fd);
        return -ENOSPC;
    }
    struct listener *l = &listeners[n_listeners];
    *l = (struct listener){.w = {.fd = fd, .fn = accept_event}, .mux = mux};
    int r = loop_watch(&l->w, EPOLLIN);
    if (r < 0) {
        close(fd);
        return r;
    }
    n_listeners++;
    return 0;
}

static int listen_unix(const char *path, int mux)
{
    int fd = vcs_unix_listen(path, 0600, 64);
    if (fd < 0)
        return fd;
    vcs_set_nonblock(fd, 1);
    return add_listener(fd, mux);
}

int transport_listen_unix(const char *path)
{
    return listen_unix(path, 0);
}

int transport_listen_unix_mux(const char *path)
{
    return listen_unix(path, 1);
}

int transport_serve_fd(int fd)
{
    int listening = 0;
    socklen_t len = sizeof(listening);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
        return -errno;
    vcs_set_nonblock(fd, 1);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return listening ? add_listener(fd, 0) : plain_new(fd);
}

int transport_listen_vsock(uint32_t port)
{
    vcs_autoclose int dev = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
    unsigned cid = VMADDR_CID_ANY;
    /* A kernel with vsock but without a transport to a host answers with no id. */
    if (dev < 0 || ioctl(dev, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) < 0 || cid == VMADDR_CID_ANY)
        return -ENODEV;
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    struct sockaddr_vm addr = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 64) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return add_listener(fd, 0);
}

/* ---- the end of a round ---- */

/* Returns 1 when the connection is gone. */
static int conn_flush(struct conn *c)
{
    c->rpc.dirty = 0;
    for (;;) {
        if (c->stream)
            mux_flush_conn(c);
        else if (!c->rpc.broken)
            plain_flush(c);
        if (!c->paused || c->rpc.broken || c->rpc.out.len > RPC_OUT_PAUSE)
            break;
        c->paused = rpc_conn_work(&c->rpc);
    }
    /* Who has closed its end does not wait for events any more, only for what has been said already. */
    if (c->eof && !c->paused && !c->rpc.broken)
        rpc_conn_drop_pending(&c->rpc);
    if (c->rpc.broken || (c->eof && !c->paused && !c->rpc.out.len)) {
        mux_end_conn(c);
        conn_free(c);
        return 1;
    }
    if (c->stream)
        mux_consumed(c);
    else
        plain_wish(c);
    return 0;
}

void transport_flush(void)
{
    int again;
    do {
        struct list *l, *tmp;
        list_for_each_safe(l, tmp, &conns)
        {
            struct conn *c = list_entry(l, struct conn, link);
            if (c->rpc.dirty)
                conn_flush(c);
        }
        again = mux_flush_port();
    } while (again);
}

int transport_idle(void)
{
    struct list *l;
    list_for_each(l, &conns)
    {
        if (list_entry(l, struct conn, link)->rpc.out.len)
            return 0;
    }
    return mux_idle();
}

void transport_close(void)
{
    while (!list_empty(&conns))
        conn_free(list_first(&conns, struct conn, link));
    mux_close();
    while (n_listeners) {
        struct watch *w = &listeners[--n_listeners].w;
        loop_watch(w, 0);
        close(w->fd);
    }
}
