/* SPDX-License-Identifier: Apache-2.0 */
/* peer-run.c: the process of a peer: its streams, its listener, and the faults that any peer can have. */
#include "conformance/peer-run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance/groups.h"
#include "conformance/vct.h"
#include "lib/io.h"

#define OUT_ENOUGH (1u << 20) /* bytes that wait: read no more from the other side */

/* ---- what it knows ---- */

void vct_run_fact(void *run, const char *name, struct vcs_buf *out)
{
    struct vct_run *p = run;
    struct winsize w = { 0 };
    char *value;
    if (!strcmp(name, "pid")) {
        vcs_buf_printf(out, "%d", (int)getpid());
    } else if (!strcmp(name, "dir")) {
        vcs_buf_printf(out, "%s", p->dir);
    } else if (!strcmp(name, "socket")) {
        vcs_buf_printf(out, "%s", p->inner[0] ? p->inner : p->socket);
    } else if (!strcmp(name, "passed")) {
        if (p->passed)
            vcs_buf_printf(out, "/proc/self/fd/%d", p->passed - 1);
    } else if (!strcmp(name, "winsize")) {
        if (ioctl(0, TIOCGWINSZ, &w) == 0)
            vcs_buf_printf(out, "%ux%u", w.ws_row, w.ws_col);
    } else if (!strncmp(name, "arg.", 4)) {
        for (char **a = p->words; a && *a && a[1]; a++)
            if (!strcmp(*a, name + 4)) {
                vcs_buf_append(out, a[1], strlen(a[1]));
                break;
            }
    } else if ((value = malloc(1 << 20))) {
        int n = vct_facts_get(p->facts_dir, name, value, 1 << 20);
        if (n > 0)
            vcs_buf_append(out, value, (size_t)n);
        free(value);
    }
}

static void set_number(struct vct_run *p, const char *name, uint64_t value)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    vct_facts_set(p->facts_dir, name, text, (size_t)n);
}

void vct_run_end(struct vct_run *p, int status)
{
    int64_t until = vcs_now_ns() + 1000000000;
    for (int i = 0; i < p->n_conns; i++)
        while (p->conns[i].outb.len && p->conns[i].out >= 0 && vcs_now_ns() < until) {
            struct pollfd pf = { .fd = p->conns[i].out, .events = POLLOUT };
            p->conns[i].due = 0;
            vct_conn_flush(p, &p->conns[i]);
            if (p->conns[i].outb.len)
                poll(&pf, 1, 5);
        }
    _exit(status);
}

/* ---- streams ---- */

struct vct_conn *vct_conn_add(struct vct_run *p, int in, int out)
{
    if (p->n_conns == VCT_CONNS)
        return NULL;
    struct vct_conn *c = &p->conns[p->n_conns++];
    *c = (struct vct_conn){ .in = in, .out = out, .partner = -1 };
    if (in >= 0)
        vcs_set_nonblock(in, 1);
    if (out >= 0 && out != in)
        vcs_set_nonblock(out, 1);
    return c;
}

static void conn_done(struct vct_conn *c)
{
    if (c->in >= 0)
        close(c->in);
    if (c->out >= 0 && c->out != c->in)
        close(c->out);
    vcs_buf_done(&c->inb);
    vcs_buf_done(&c->outb);
    vcs_buf_done(&c->again);
    c->in = c->out = -1;
}

static void conn_drop(struct vct_run *p, int i)
{
    int partner = p->conns[i].partner, last = p->n_conns - 1;
    conn_done(&p->conns[i]);
    if (partner >= 0 && partner != i) {
        p->conns[partner].partner = partner; /* nobody: what it says is thrown away */
        p->conns[partner].closing = 1;
    }
    p->conns[i] = p->conns[last];
    p->n_conns--;
    for (int k = 0; k < p->n_conns; k++)
        if (p->conns[k].partner == last)
            p->conns[k].partner = i;
}

/* Read from a stream; of the descriptors that come with it the last one is kept. */
static ssize_t take(struct vct_run *p, int in, void *at, size_t size)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 16)];
    } control;
    struct iovec iov = { .iov_base = at, .iov_len = size };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    ssize_t n = recvmsg(in, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == ENOTSOCK)
        return read(in, at, size);
    for (struct cmsghdr *h = n >= 0 ? CMSG_FIRSTHDR(&m) : NULL; h; h = CMSG_NXTHDR(&m, h))
        for (size_t i = 0; h->cmsg_type == SCM_RIGHTS && CMSG_LEN((i + 1) * sizeof(int)) <= h->cmsg_len; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
            if (p->passed)
                close(p->passed - 1);
            p->passed = fd + 1;
        }
    return n;
}

int vct_conn_read(struct vct_run *p, struct vct_conn *c)
{
    unsigned char *at = vcs_buf_reserve(&c->inb, 65536);
    ssize_t n = at ? take(p, c->in, at, 65536) : -1;
    if (n > 0) {
        vcs_buf_commit(&c->inb, (size_t)n);
        p->received += (uint64_t)n;
        if (c->counted)
            set_number(p, "received", p->received);
        return 1;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return -1;
    c->eof = 1;
    return 0;
}

long vct_conn_message(const struct vct_run *p, const struct vct_conn *c, const unsigned char **at, size_t *n)
{
    const unsigned char *data = vcs_buf_data(&c->inb), *nl;
    size_t len = c->inb.len, head = 4;
    switch (p->peer ? p->peer->framing : VCT_UNFRAMED) {
    case VCT_LINES:
        nl = len ? memchr(data, '\n', len) : NULL;
        *at = data;
        *n = nl ? (size_t)(nl - data) : 0;
        if (*n && data[*n - 1] == '\r')
            --*n;
        return nl ? (long)(nl - data) + 1 : len > VCT_MESSAGE_MAX ? -1 : 0;
    case VCT_UNFRAMED:
        *at = data;
        *n = len;
        return (long)len;
    case VCT_BE32:
    case VCT_LE32:
        if (len < head)
            return 0;
        *n = p->peer->framing == VCT_BE32
                 ? vcs_get_be32(data)
                 : (size_t)data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16 | (size_t)data[3] << 24;
        *at = data + head;
        return *n > VCT_MESSAGE_MAX ? -1 : len - head >= *n ? (long)(head + *n) : 0;
    }
    return 0;
}

/* Bytes that mean nothing, control characters among them. */
static void nonsense(struct vcs_buf *out)
{
    static const unsigned char junk[] =
        "\xff\xfe\x00\x80{\"\x1b[31m%n%s\x07\xc3\x28\x9f]}\x00\x00\xff\xff\xff\xff garbage \r\n\x7f\n";
    vcs_buf_append(out, junk, sizeof(junk) - 1);
}

void vct_conn_send(struct vct_run *p, struct vct_conn *c, const void *data, size_t len)
{
    static const unsigned char huge_be[4] = { 0x04, 0, 0, 0 }, huge_le[4] = { 0, 0, 0, 0x04 };
    switch (p->fault) {
    case VCT_F_SILENT:
    case VCT_F_HUNG:
        return;
    case VCT_F_GARBAGE:
        nonsense(&c->outb);
        return;
    case VCT_F_OVERSIZE:
        if (!c->flood) {
            if (!p->peer || p->peer->framing != VCT_LE32)
                vcs_buf_append(&c->outb, huge_be, p->peer && p->peer->framing == VCT_BE32 ? 4 : 0);
            else
                vcs_buf_append(&c->outb, huge_le, 4);
            c->flood = VCT_FLOOD;
        }
        return;
    case VCT_F_ENDLESS:
        if (!c->flood) {
            vcs_buf_clear(&c->again);
            vcs_buf_append(&c->again, data, len);
            c->flood = VCT_FLOOD;
        }
        return;
    case VCT_F_LATE:
        if (!c->outb.len)
            c->due = vcs_now_ns() + VCT_LATE_NS;
        break;
    default:
        break;
    }
    vcs_buf_append(&c->outb, data, len);
}

/* More of a flood, when there is room. */
static void pour(struct vct_conn *c)
{
    while (c->flood && c->outb.len < 65536) {
        size_t n = c->again.len ? c->again.len : 65536;
        if (n > c->flood)
            n = (size_t)c->flood;
        unsigned char *at = vcs_buf_reserve(&c->outb, n);
        if (!at)
            return;
        if (c->again.len)
            memcpy(at, vcs_buf_data(&c->again), n);
        else
            memset(at, 'A', n);
        vcs_buf_commit(&c->outb, n);
        c->flood -= n;
    }
}

void vct_conn_flush(struct vct_run *p, struct vct_conn *c)
{
    pour(c);
    while (c->outb.len && c->out >= 0 && (!c->due || c->due <= vcs_now_ns())) {
        int one = p->fault == VCT_F_ONE_BYTE || p->fault == VCT_F_SLOW;
        ssize_t n = write(c->out, vcs_buf_data(&c->outb), one ? 1 : c->outb.len);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                vcs_buf_clear(&c->outb); /* nobody reads it any more */
                c->flood = 0;
            }
            break;
        }
        vcs_buf_consume(&c->outb, (size_t)n);
        c->due = p->fault == VCT_F_SLOW ? vcs_now_ns() + VCT_SLOW_NS : 0;
        pour(c);
    }
    if (!c->outb.len)
        c->due = 0;
}

/* ---- what comes ---- */

/* A fault that is about the stream itself: 1 when the message is used up by it. */
static int stream_fault(struct vct_run *p, struct vct_conn *c)
{
    switch (p->fault) {
    case VCT_F_DYING:
        raise(SIGTERM);
        _exit(1);
    case VCT_F_HALF_CLOSE:
        if (shutdown(c->out, SHUT_WR) < 0 && c->out != c->in && c->out >= 0) {
            close(c->out);
            c->out = -1;
        }
        return 1;
    case VCT_F_GARBAGE:
    case VCT_F_OVERSIZE:
        vct_conn_send(p, c, "", 0);
        return 1;
    case VCT_F_SILENT:
        return 1;
    default:
        return 0;
    }
}

static void relay(struct vct_run *p, struct vct_conn *c)
{
    if (c->partner != (int)(c - p->conns) && c->inb.len) {
        struct vct_conn *to = &p->conns[c->partner];
        if (!c->inner)
            vcs_buf_append(&to->outb, vcs_buf_data(&c->inb), c->inb.len); /* what the plugin says comes through whole */
        else if (!stream_fault(p, to))
            vct_conn_send(p, to, vcs_buf_data(&c->inb), c->inb.len);
    }
    vcs_buf_clear(&c->inb);
}

void vct_conn_joined(struct vct_run *p, struct vct_conn *c)
{
    relay(p, c);
    if (c->eof & 1)
        p->conns[c->partner].eof |= 2;
}

static void handle_input(struct vct_run *p, struct vct_conn *c)
{
    const unsigned char *at;
    size_t n;
    long whole = 0;
    if (c->partner >= 0) {
        relay(p, c);
        return;
    }
    while (!c->unframed && (whole = vct_conn_message(p, c, &at, &n)) > 0) {
        vct_run_variant(p);
        if (p->fault == VCT_F_HUNG)
            return;
        char *copy = malloc(n + 1);
        if (!copy)
            return;
        memcpy(copy, at, n);
        copy[n] = '\0';
        vcs_buf_consume(&c->inb, (size_t)whole);
        if (!stream_fault(p, c))
            vct_rules_run(p, VCT_ON_MESSAGE, c, copy, n, NULL, 0);
        free(copy);
    }
    if (whole < 0)
        c->closing = 1;
    if (c->unframed && c->partner >= 0)
        relay(p, c);
}

static void handle_end(struct vct_run *p, struct vct_conn *c)
{
    if (c->partner >= 0) { /* carry the half close over */
        struct vct_conn *to = &p->conns[c->partner];
        if (to != c && !to->outb.len && to->out >= 0)
            shutdown(to->out, SHUT_WR);
        else if (to != c)
            to->eof |= 2;
    }
    if (c->label[0])
        vct_rules_run(p, VCT_AT_END, c, c->label, strlen(c->label), NULL, 0);
    if (c->partner >= 0 || c->unframed)
        return;
    if (!c->label[0])
        vct_rules_run(p, VCT_AT_END, c, "", 0, NULL, 0);
    if (p->peer && p->peer->channel == VCT_CH_STDIN)
        return;
    c->closing = 1;
}

/* ---- the listener ---- */

static void open_listener(struct vct_run *p)
{
    char fresh[sizeof(p->socket) + 8];
    if (p->listener >= 0)
        return;
    snprintf(fresh, sizeof(fresh), "%s.new", p->socket);
    unlink(fresh);
    p->listener = vcs_unix_listen(fresh, 0666, p->fault == VCT_F_HUNG ? 0 : 128);
    if (p->listener >= 0)
        vcs_set_nonblock(p->listener, 1);
    rename(fresh, p->socket); /* so that there is never none */
}

static void close_listener(struct vct_run *p)
{
    if (p->listener >= 0)
        close(p->listener);
    p->listener = -1;
    while (p->n_fillers)
        close(p->fillers[--p->n_fillers]);
}

/* Fill the queue of a listener that takes nobody, so that a connect waits. */
static void fill_queue(struct vct_run *p)
{
    struct sockaddr_un {
        sa_family_t family;
        char path[108];
    } a = { .family = AF_UNIX };
    const char *slash = strrchr(p->socket, '/');
    vcs_autoclose int dir = open(p->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(a.path, sizeof(a.path), "/proc/self/fd/%d/%.64s", dir, slash ? slash + 1 : "");
    while (p->n_fillers < 64) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
            if (fd >= 0)
                close(fd);
            return;
        }
        p->fillers[p->n_fillers++] = fd;
    }
}

/* Make the listener what the fault says. */
static void apply_fault(struct vct_run *p, enum vct_fault old)
{
    if (!*p->role)
        return;
    if (p->fault == VCT_F_ABSENT || p->fault == VCT_F_REFUSE || p->fault == VCT_F_LATE_LISTEN ||
        p->fault == VCT_F_HUNG || old == VCT_F_HUNG)
        close_listener(p);
    p->open_at = 0;
    if (p->fault == VCT_F_ABSENT)
        unlink(p->socket);
    else
        open_listener(p);
    if (p->fault == VCT_F_REFUSE || p->fault == VCT_F_LATE_LISTEN)
        close_listener(p); /* the file stays: a connect is refused */
    if (p->fault == VCT_F_LATE_LISTEN)
        p->open_at = vcs_now_ns() + VCT_LATE_NS;
    if (p->fault == VCT_F_HUNG && p->listener >= 0)
        fill_queue(p);
}

/* See which variant is in use now, and say so to the tool, which waits for it. */
void vct_run_variant(struct vct_run *p)
{
    char told[sizeof(p->variant)], mine[sizeof(p->variant)], ack[160];
    if (vct_facts_get(p->facts_dir, "peer.variant", told, sizeof(told)) < 0)
        snprintf(told, sizeof(told), "good");
    if (!strcmp(told, p->variant))
        return;
    snprintf(p->variant, sizeof(p->variant), "%s", told);
    vct_variant_for(told, p->name, *p->role ? p->role : "program", mine, sizeof(mine));
    enum vct_fault old = p->fault;
    int fault = vct_fault_of(mine);
    p->rules = vct_peer_variant(p->peer, strcmp(mine, "good") ? mine : "");
    if (p->rules == (p->peer ? &p->peer->variants[0] : NULL))
        p->rules = NULL;
    p->fault = p->rules ? p->rules->fault : fault < 0 ? VCT_F_NONE : (enum vct_fault)fault;
    apply_fault(p, old);
    for (int i = 0; i < p->n_conns; i++)
        if (p->fault == VCT_F_REFUSE || p->fault == VCT_F_ABSENT)
            p->conns[i].closing = 1;
    if (*p->role) {
        snprintf(ack, sizeof(ack), "peer.ack.%s", p->role);
        vct_facts_set(p->facts_dir, ack, told, strlen(told));
    }
}

static void take_client(struct vct_run *p)
{
    int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct vct_conn *c = vct_conn_add(p, fd, fd);
    if (!c) {
        close(fd);
        return;
    }
    if (*p->role) {
        c->counted = 1;
        set_number(p, "clients", ++p->clients);
    }
    if (p->inner[0]) {
        int in = vcs_unix_connect(p->inner);
        struct vct_conn *i = in >= 0 ? vct_conn_add(p, in, in) : NULL;
        if (!i) {
            c->closing = 1;
            return;
        }
        i->inner = 1;
        i->partner = (int)(c - p->conns);
        c->partner = (int)(i - p->conns);
        return;
    }
    if (p->fault != VCT_F_SILENT)
        vct_rules_run(p, VCT_AT_CONNECT, c, "", 0, NULL, 0);
}

/* ---- facts and signals ---- */

static void fact_changed(struct vct_run *p, const char *name)
{
    char *value = malloc(1 << 20);
    if (value && *name != '.' && strncmp(name, "peer.", 5) != 0 &&
        vct_facts_get(p->facts_dir, name, value, 1 << 20) >= 0 && p->fault != VCT_F_HUNG)
        vct_rules_run(p, VCT_AT_FACT, NULL, name, strlen(name), value, 0);
    free(value);
}

static void facts_changed(struct vct_run *p)
{
    char buf[8192] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n = read(p->watch, buf, sizeof(buf));
    vct_run_variant(p);
    for (char *at = buf; n > 0 && at < buf + n;) {
        struct inotify_event e;
        memcpy(&e, at, sizeof(e));
        if (e.len)
            fact_changed(p, at + offsetof(struct inotify_event, name));
        at += sizeof(e) + e.len;
    }
}

static void facts_known(struct vct_run *p)
{
    int fd = openat(p->facts_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    vcs_autoclosedir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *e; d && (e = readdir(d));)
        fact_changed(p, e->d_name);
}

static void take_signal(struct vct_run *p)
{
    struct signalfd_siginfo si;
    if (read(p->signals, &si, sizeof(si)) == sizeof(si))
        vct_rules_run(p, VCT_AT_SIGNAL, NULL, "", 0, NULL, (int)si.ssi_signo);
}

/* ---- the loop ---- */

static int until_ms(int64_t at, int old)
{
    int ms = vcs_poll_timeout(at);
    return old < 0 || ms < old ? ms : old;
}

static int fill_poll(struct vct_run *p, struct pollfd *pf)
{
    int timeout = p->open_at ? vcs_poll_timeout(p->open_at) : -1, hung = p->fault == VCT_F_HUNG;
    pf[0] = (struct pollfd){ .fd = hung ? -1 : p->listener, .events = POLLIN };
    pf[1] = (struct pollfd){ .fd = hung ? -1 : p->signals, .events = POLLIN };
    pf[2] = (struct pollfd){ .fd = p->watch, .events = POLLIN };
    pf[3] = (struct pollfd){ .fd = p->parent, .events = POLLIN };
    for (int i = 0; i < p->n_conns; i++) {
        struct vct_conn *c = &p->conns[i];
        int full = c->partner >= 0 && c->partner != i ? p->conns[c->partner].outb.len > OUT_ENOUGH
                                                      : c->unframed && c->inb.len > OUT_ENOUGH;
        int reads = !hung && !full && !(c->eof & 1) && c->in >= 0, writes = (c->outb.len || c->flood) && !hung;
        if (writes && c->due) {
            timeout = until_ms(c->due, timeout);
            writes = 0;
        }
        short events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
        pf[4 + 2 * i] = (struct pollfd){ .fd = events & POLLIN ? c->in : -1, .events = POLLIN };
        pf[5 + 2 * i] = (struct pollfd){ .fd = events & POLLOUT ? c->out : -1, .events = POLLOUT };
    }
    return timeout;
}

static void serve_conns(struct vct_run *p, const struct pollfd *pf, int n)
{
    for (int i = 0; i < n; i++) {
        struct vct_conn *c = &p->conns[i];
        if (pf[4 + 2 * i].revents) {
            int r = vct_conn_read(p, c);
            if (r > 0)
                handle_input(p, c);
            else if (r == 0)
                handle_end(p, c);
        }
        vct_conn_flush(p, c);
        if ((c->eof & 2) && !c->outb.len) {
            c->eof &= 1;
            shutdown(c->out, SHUT_WR);
        }
    }
    for (int i = p->n_conns - 1; i >= 0; i--) {
        struct vct_conn *c = &p->conns[i];
        int both = c->partner >= 0 && c->partner != i && (c->eof & 1) && (p->conns[c->partner].eof & 1) &&
                   !p->conns[c->partner].outb.len;
        if ((c->closing || both) && !c->outb.len && !c->flood)
            conn_drop(p, i);
    }
}

static int serve(struct vct_run *p)
{
    struct pollfd pf[4 + 2 * VCT_CONNS];
    for (;;) {
        int timeout = fill_poll(p, pf), n = p->n_conns;
        int r = poll(pf, (nfds_t)(4 + 2 * n), timeout);
        if (r < 0 && errno != EINTR)
            return 1;
        if (pf[3].revents)
            return 0;
        if (pf[2].revents)
            facts_changed(p);
        else
            vct_run_variant(p);
        if (p->open_at && p->open_at <= vcs_now_ns()) {
            p->open_at = 0;
            open_listener(p);
        }
        if (r > 0 && p->fault != VCT_F_HUNG) {
            if (pf[1].revents)
                take_signal(p);
            serve_conns(p, pf, n);
            if (pf[0].revents && p->listener >= 0)
                take_client(p);
        } else if (r == 0) {
            for (int i = 0; i < n; i++)
                vct_conn_flush(p, &p->conns[i]);
        }
    }
}

/* ---- the beginning ---- */

/* A descriptor that was handed over: one to accept from, or one to talk on. */
static void use_fd(struct vct_run *p, int fd)
{
    int on = 0;
    socklen_t n = sizeof(on);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &n) == 0 && on) {
        p->listener = fd;
        vcs_set_nonblock(fd, 1);
        return;
    }
    struct vct_conn *c = vct_conn_add(p, fd, fd);
    if (c)
        vct_rules_run(p, VCT_AT_CONNECT, c, "", 0, NULL, 0);
}

static int find_channel(struct vct_run *p)
{
    struct vct_peer *s = p->peer;
    if (s->channel == VCT_CH_FD)
        use_fd(p, s->channel_fd);
    if (s->channel == VCT_CH_STDIN && vct_conn_add(p, 0, 1))
        vct_rules_run(p, VCT_AT_CONNECT, &p->conns[0], "", 0, NULL, 0);
    if (s->channel != VCT_CH_ARGV && s->channel != VCT_CH_LISTEN_ARGV)
        return 0;
    struct vct_text pattern = { s->channel_word, strlen(s->channel_word) };
    struct vct_captures c = { 0 };
    for (char **w = p->words; *w; w++) {
        if (!vct_match(&pattern, *w, strlen(*w), &c) || !c.word[1].data)
            continue;
        const char *word = c.word[1].data;
        char *end;
        long fd = strtol(word, &end, 10);
        if (*word && !*end) {
            use_fd(p, (int)fd);
        } else if (s->channel == VCT_CH_LISTEN_ARGV) {
            snprintf(p->socket, sizeof(p->socket), "%s", word);
            open_listener(p);
        } else {
            int got = vcs_unix_connect(word);
            if (got >= 0)
                use_fd(p, got);
        }
        vct_captures_done(&c);
        return 0;
    }
    char text[512];
    int n = snprintf(text, sizeof(text), "%s: peer %s: no word of the command line matches \"%s\"", p->file, p->name,
                     s->channel_word);
    vct_facts_set(p->facts_dir, "peer.error", text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
    return -1;
}

/* A program without script that does something wrong with all that it was given. */
static void misuse(struct vct_run *p)
{
    int highest = 3;
    while (fcntl(highest, F_GETFD) >= 0 && highest < 60)
        highest++;
    for (int fd = 1; fd < highest; fd++) {
        if (fd == p->facts_dir || fd == p->watch || fd == p->parent || fd == p->signals)
            continue;
        if (p->fault == VCT_F_REFUSE || p->fault == VCT_F_ABSENT)
            close(fd);
        else if (p->fault == VCT_F_HALF_CLOSE)
            shutdown(fd, SHUT_WR);
        else if (fd > 2 && (p->fault == VCT_F_GARBAGE || p->fault == VCT_F_OVERSIZE || p->fault == VCT_F_ENDLESS))
            use_fd(p, fd);
    }
    for (int i = 0; i < p->n_conns; i++)
        vct_conn_send(p, &p->conns[i], "garbage\n", 8);
}

/* Become another program, as fresh as one that was never a peer. */
static void become(const char *path, char **words)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execv(path, words);
}

static int begin_program(struct vct_run *p)
{
    if (p->peer)
        return p->fault == VCT_F_DYING ? -1 : find_channel(p);
    switch (p->fault) {
    case VCT_F_DYING:
        return -1;
    case VCT_F_LATE:
    case VCT_F_LATE_LISTEN:
        poll(NULL, 0, (int)(VCT_LATE_NS / 1000000));
        __attribute__((fallthrough));
    case VCT_F_NONE:
    case VCT_F_SLOW:
    case VCT_F_ONE_BYTE:
        become(p->file, p->words);
        return -1;
    default:
        misuse(p);
        return 0;
    }
}

static pid_t inner_process; /* the real program behind a listener, or the first process of its namespace */

/* End it, and with it all of its namespace. */
static void end_inner(void)
{
    if (inner_process <= 0)
        return;
    kill(inner_process, SIGKILL);
    while (waitpid(inner_process, NULL, 0) < 0 && errno == EINTR)
        ;
    inner_process = 0;
}

static void end_by_signal(int sig)
{
    end_inner();
    _exit(128 + sig);
}

/* PID 1 of the program's namespace: starts it, and ends with it.  `group`: the control group it may use, or "". */
static void first_process(char **argv, const char *group)
{
    int status = 0;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("proc", "/proc", "proc", 0, NULL) < 0 || (group[0] && vct_group_enter(group) < 0))
        _exit(126);
    pid_t pid = fork(), ended;
    if (pid == 0) {
        become(argv[0], argv);
        _exit(127);
    }
    while (pid > 0 && (ended = wait(&status)) != pid && (ended > 0 || errno == EINTR))
        ;
    _exit(0);
}

/* Run the real program behind a listener and wait until it listens. */
static int begin_exec(struct vct_run *p, char **words)
{
    struct vct_text t;
    char *argv[VCT_SCN_WORDS + 1];
    char group[PATH_MAX];
    int n = 0;
    for (; *words; words++) {
        struct vcs_buf b = { 0 };
        t = (struct vct_text){ *words, strlen(*words) };
        struct vct_captures none = { 0 };
        vct_expand(&t, &none, vct_run_fact, p, &b);
        const char *s = vcs_buf_str(&b);
        if ((s && *s) || !**words) /* a fact that is not there is no word */
            argv[n++] = strdup(s ? s : "");
        vcs_buf_done(&b);
    }
    if (vct_facts_get(p->facts_dir, "group", group, sizeof(group)) < 0)
        group[0] = '\0';
    argv[n] = NULL;
    unlink(p->inner);                 /* of one that was killed */
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* what it leaves behind is ours, not the plugin's */
    /* In a pid namespace of its own, where that can be had, so that all it starts ends with it. */
    int apart = unshare(CLONE_NEWPID) == 0;
    pid_t self = getpid(), pid = fork();
    if (pid < 0)
        return -1;
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!apart && getppid() != self)
            _exit(1);
        if (apart)
            first_process(argv, group);
        become(argv[0], argv);
        _exit(127);
    }
    inner_process = pid;
    signal(SIGTERM, end_by_signal);
    for (int i = 0; i < n; i++)
        free(argv[i]);
    for (int i = 0; i < 2500; i++) { /* it tells by nothing else that it listens */
        vcs_autoclose int fd = vcs_unix_connect(p->inner);
        if (fd >= 0)
            return 0;
        poll(NULL, 0, 2);
    }
    return -1;
}

static int begin(struct vct_run *p, int ready)
{
    uint64_t mask = 0;
    sigset_t set;
    char word = 'r', facts[32];
    int r = 0;
    vct_rules_signals(p, &mask);
    sigemptyset(&set);
    for (int s = 1; s <= 64; s++)
        if (mask & UINT64_C(1) << (s - 1))
            sigaddset(&set, s);
    sigprocmask(SIG_SETMASK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* the tool may have it ignored */
    p->signals = mask ? signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK) : -1;
    snprintf(facts, sizeof(facts), "/proc/self/fd/%d", p->facts_dir);
    p->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (p->watch < 0 || inotify_add_watch(p->watch, facts, IN_ONLYDIR | IN_MOVED_TO) < 0)
        return -1;
    vct_run_variant(p);
    if (p->inner[0])
        r = begin_exec(p, p->peer->exec);
    else if (!*p->role)
        r = begin_program(p);
    if (r == 0) {
        vct_rules_run(p, VCT_AT_START, NULL, "", 0, NULL, 0);
        facts_known(p);
    }
    if (ready >= 0) {
        if (r == 0 && write(ready, &word, 1) != 1)
            r = -1;
        close(ready);
    }
    return r;
}

/* --peer READY DIR FILE NAME ROLE TOOL-PID PROGRAM -- WORD...; "" where there is none. */
int vct_peer_main(int argc, char **argv)
{
    static struct vct_run p;
    char err[512], path[4096];
    struct vct_scenario *s = NULL;
    if (argc < 10) {
        fprintf(stderr, "vc-plugin-test --peer is how the tool starts its own peers\n");
        return 2;
    }
    p = (struct vct_run){ .dir = argv[3],
                          .file = argv[4],
                          .name = argv[5],
                          .role = argv[6],
                          .words = argv + 10,
                          .listener = -1,
                          .signals = -1,
                          .parent = -1,
                          .variant = "\n" };
    if (*p.file && vct_scenario_load(p.file, &s, err, sizeof(err)) < 0)
        return 1;
    p.peer = vct_scenario_peer(s, p.name);
    snprintf(p.socket, sizeof(p.socket), "%s/%s.sock", p.dir, p.role);
    if (p.peer && p.peer->exec)
        snprintf(p.inner, sizeof(p.inner), "%s/%s.inner", p.dir, p.role);
    if (*p.role)
        p.parent = (int)syscall(SYS_pidfd_open, (pid_t)strtol(argv[7], NULL, 10), 0u);
    else if (!p.peer)
        p.file = argv[8];
    snprintf(path, sizeof(path), "%s/facts", p.dir);
    p.facts_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p.facts_dir < 0)
        return 1;
    int r = begin(&p, *argv[2] ? (int)strtol(argv[2], NULL, 10) : -1);
    r = r < 0 ? 1 : serve(&p);
    end_inner();
    return r;
}
