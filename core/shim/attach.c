/* SPDX-License-Identifier: Apache-2.0 */
/* attach.c: those who came later to see, and to write to, the streams that this shim carries. */
#include "attach.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void drop_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void drop_stdin(struct attached *w)
{
    int fd = w->in.in;
    if (fd < 0)
        return;
    pump_done(&w->in);
    close(fd);
}

/* Take one out of the list when nothing connects it any more. */
static void drop_idle(struct attach *a, int i)
{
    struct attached *w = &a->who[i];
    if (w->conn >= 0 || w->out[0] >= 0 || w->out[1] >= 0 || w->in.in >= 0)
        return;
    a->who[i] = a->who[--a->n];
}

/* One output to all who want it; who cannot take it now has lost its place in it, and is let go. */
static void copy_out(struct attach *a, int which, const char *data, size_t len)
{
    for (int i = 0; i < a->n; i++) {
        int *fd = &a->who[i].out[which];
        ssize_t n = 0;
        if (*fd < 0)
            continue;
        do
            n = write(*fd, data, len);
        while (n < 0 && errno == EINTR);
        if (n != (ssize_t)len)
            drop_fd(fd);
    }
}

static void copy_stdout(void *arg, const char *data, size_t len)
{
    copy_out(arg, 0, data, len);
}

static void copy_stderr(void *arg, const char *data, size_t len)
{
    copy_out(arg, 1, data, len);
}

void attach_init(struct attach *a, int listener, int stdin_fd, struct pump *out, struct pump *err)
{
    *a = (struct attach){ .listener = listener, .stdin_fd = stdin_fd, .outputs = { out, err } };
}

void attach_poll(const struct attach *a, struct pollfd *pfd)
{
    for (int i = 0; i < ATTACH_POLL; i++)
        pfd[i] = (struct pollfd){ .fd = -1 };
    pfd[0] = (struct pollfd){ .fd = a->listener, .events = POLLIN };
    for (int i = 0; i < a->n; i++) {
        struct pollfd *p = &pfd[1 + 3 * i];
        if (a->who[i].conn >= 0)
            p[0] = (struct pollfd){ .fd = a->who[i].conn, .events = POLLIN };
        else
            pump_poll(&a->who[i].in, &p[0]);
        p[1].fd = a->who[i].out[0]; /* no events: only that its reader has gone */
        p[2].fd = a->who[i].out[1];
    }
}

/* The request, with its descriptors.  What it asks for, or -1 when it is none; -2 when it has not come yet. */
static int receive(int conn, int fds[3])
{
    char byte = 0;
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(3 * sizeof(int))];
    } control;
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = &control,
                          /* Not CMSG_SPACE: in what that adds for alignment, a fourth one would find room. */
                          .msg_controllen = CMSG_LEN(3 * sizeof(int)) };
    int got[3], n_got = 0, want = 0;
    ssize_t n = recvmsg(conn, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return -2;
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        n_got = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(got, CMSG_DATA(c), (size_t)n_got * sizeof(int));
    }
    for (int i = 0; i < 3; i++)
        want += byte >> i & 1;
    int ok = n == 1 && !(msg.msg_flags & MSG_CTRUNC) && !(byte & ~7) && want && want == n_got;
    for (int i = 0, k = 0; ok && i < 3; i++)
        fds[i] = byte >> i & 1 ? got[k++] : -1;
    for (int i = 0; !ok && i < n_got; i++)
        close(got[i]);
    return ok ? byte : -1;
}

static char admit(struct attach *a, struct attached *w)
{
    int fds[3] = { -1, -1, -1 };
    int want = receive(w->conn, fds);
    if (want == -2)
        return 0;
    if (want < 0)
        return ATTACH_BAD;
    if (fds[0] >= 0 && a->stdin_fd < 0) {
        for (int i = 0; i < 3; i++)
            drop_fd(&fds[i]);
        return ATTACH_STDIN;
    }
    w->out[0] = fds[1];
    w->out[1] = fds[2];
    if (fds[1] >= 0)
        pump_copy_to(a->outputs[0], copy_stdout, a);
    if (fds[2] >= 0)
        pump_copy_to(a->outputs[1], copy_stderr, a);
    /* An output that is over will bring nothing more. */
    for (int i = 0; i < 2; i++)
        if (a->outputs[i]->in < 0)
            drop_fd(&w->out[i]);
    if (fds[0] >= 0) {
        pump_init(&w->in, fds[0], a->stdin_fd);
        a->had_stdin = 1;
    }
    return ATTACH_OK;
}

static void greet(struct attach *a)
{
    int conn = accept4(a->listener, NULL, NULL, SOCK_CLOEXEC);
    if (conn < 0)
        return;
    if (a->n == ATTACH_MAX) {
        static const char full = ATTACH_FULL;
        send(conn, &full, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        close(conn);
        return;
    }
    struct attached *w = &a->who[a->n++];
    *w = (struct attached){ .conn = conn, .out = { -1, -1 }, .in = { .in = -1 } };
}

static void serve(struct attach *a, struct attached *w)
{
    if (w->conn >= 0) {
        char answer = admit(a, w);
        if (!answer)
            return;
        if (send(w->conn, &answer, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1) { /* it is gone, with what it wanted */
            drop_stdin(w);
            drop_fd(&w->out[0]);
            drop_fd(&w->out[1]);
        }
        drop_fd(&w->conn);
    } else if (pump_run(&w->in) <= 0) {
        drop_stdin(w);
    }
}

void attach_run(struct attach *a, const struct pollfd *pfd)
{
    for (int i = a->n - 1; i >= 0; i--) {
        const struct pollfd *p = &pfd[1 + 3 * i];
        if (p[1].revents)
            drop_fd(&a->who[i].out[0]);
        if (p[2].revents)
            drop_fd(&a->who[i].out[1]);
        if (p[0].revents)
            serve(a, &a->who[i]);
        drop_idle(a, i);
    }
    if (pfd[0].revents)
        greet(a);
}

int attach_writes(const struct attach *a, int keep)
{
    if (a->listener >= 0 && (keep == ATTACH_KEEP || (keep && !a->had_stdin)))
        return 1;
    for (int i = 0; i < a->n; i++)
        if (a->who[i].in.in >= 0)
            return 1;
    return 0;
}

void attach_stdin_closed(struct attach *a)
{
    a->stdin_fd = -1;
    for (int i = 0; i < a->n; i++)
        drop_stdin(&a->who[i]);
}

void attach_output_over(struct attach *a, int which)
{
    for (int i = 0; i < a->n; i++)
        drop_fd(&a->who[i].out[which]);
}

void attach_end(struct attach *a)
{
    for (int i = 0; i < a->n; i++) {
        drop_stdin(&a->who[i]);
        drop_fd(&a->who[i].conn);
        drop_fd(&a->who[i].out[0]);
        drop_fd(&a->who[i].out[1]);
    }
    a->n = 0;
}
