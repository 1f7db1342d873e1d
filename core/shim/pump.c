/* SPDX-License-Identifier: Apache-2.0 */
/* pump.c: bytes from one descriptor to another. */
#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUF_SIZE 16384
#define CHUNK    (1u << 20)
/* A pipe or terminal that polls writable takes this much without blocking. */
#define SAFE_WRITE 4096

enum { OUT_FILE, OUT_SOCKET, OUT_OTHER };

void pump_init(struct pump *p, int in, int out)
{
    struct stat si, so;
    *p = (struct pump){ .in = in, .out = out, .out_kind = OUT_OTHER };
    if (in < 0 || fstat(in, &si) < 0 || fstat(out, &so) < 0)
        return;
    if (S_ISREG(so.st_mode))
        p->out_kind = OUT_FILE;
    else if (S_ISSOCK(so.st_mode))
        p->out_kind = OUT_SOCKET;
    int append = S_ISREG(so.st_mode) && (fcntl(out, F_GETFL) & O_APPEND); /* splice refuses those */
    p->use_splice = (S_ISFIFO(si.st_mode) || S_ISFIFO(so.st_mode)) && p->out_kind != OUT_SOCKET && !append &&
                    !isatty(in) && !isatty(out);
}

void pump_poll(const struct pump *p, struct pollfd *pfd)
{
    *pfd = (struct pollfd){ .fd = -1 };
    if (p->in < 0)
        return;
    pfd->fd = p->wait_out ? p->out : p->in;
    pfd->events = p->wait_out ? POLLOUT : POLLIN;
}

static int by_splice(struct pump *p)
{
    ssize_t n = splice(p->in, NULL, p->out, NULL, CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n >= 0) {
        p->wait_out = 0;
        return n > 0;
    }
    if (errno == EAGAIN) { /* the side that was ready is; it is the other one that is not */
        p->wait_out = !p->wait_out;
        return 1;
    }
    if (errno == EINTR)
        return 1;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    p->use_splice = 0;
    p->wait_out = 0;
    return 1;
}

static ssize_t write_some(struct pump *p)
{
    const char *from = p->buf + p->off;
    if (p->out_kind == OUT_SOCKET)
        return send(p->out, from, p->len, MSG_DONTWAIT | MSG_NOSIGNAL);
    size_t n = p->out_kind == OUT_FILE || p->len < SAFE_WRITE ? p->len : SAFE_WRITE;
    return write(p->out, from, n);
}

int pump_run(struct pump *p)
{
    if (p->use_splice)
        return by_splice(p);
    if (!p->buf && !(p->buf = malloc(BUF_SIZE)))
        return -1;
    if (!p->wait_out) {
        ssize_t n = read(p->in, p->buf, BUF_SIZE);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 1;
        if (n <= 0) /* a terminal that hung up reads as an error: no more will come either way */
            return 0;
        if (p->copy)
            p->copy(p->copy_arg, p->buf, (size_t)n);
        if (p->drop) {
            p->dropped += (size_t)n;
            return 1;
        }
        p->off = 0;
        p->len = (size_t)n;
        p->wait_out = 1;
        return 1;
    }
    ssize_t n = write_some(p);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 1 : -1;
    p->off += (size_t)n;
    p->len -= (size_t)n;
    p->wait_out = p->len > 0;
    return 1;
}

void pump_copy_to(struct pump *p, void (*copy)(void *arg, const char *data, size_t len), void *arg)
{
    if (p->use_splice) { /* it holds no bytes back: the change can be made at any time */
        p->use_splice = 0;
        p->wait_out = 0;
    }
    p->copy = copy;
    p->copy_arg = arg;
}

void pump_drop(struct pump *p)
{
    p->use_splice = p->wait_out = 0;
    p->dropped += p->len;
    p->len = 0;
    p->drop = 1;
}

void pump_done(struct pump *p)
{
    free(p->buf);
    p->buf = NULL;
    p->in = -1;
}
