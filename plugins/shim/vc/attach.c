/* SPDX-License-Identifier: Apache-2.0 */
/* attach.c: the plugin's half of the channel by which others get at the streams that a vc-shim carries. */
#include "attach.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/io.h"
#include "lib/plug.h"

/* What the shim answers. */
enum { ANSWER_OK = 'k', ANSWER_STDIN = 's', ANSWER_FULL = 'f' };

/* FNV-1a, 64 bits: two ids of up to 128 bytes do not fit into one file name. */
static uint64_t hash(uint64_t h, const char *s)
{
    do {
        h ^= (unsigned char)*s;
        h *= UINT64_C(0x100000001b3);
    } while (*s++);
    return h;
}

char *vc_attach_path(const vc_host *host, const char *ctr, const char *exec)
{
    vcs_autofree char *dir = vcs_path(host, VC_PATH_RUN);
    char *path = NULL;
    uint64_t h = hash(hash(UINT64_C(0xcbf29ce484222325), ctr), exec);
    if (!dir || asprintf(&path, "%s/attach-%016llx", dir, (unsigned long long)h) < 0)
        return NULL;
    return path;
}

int vc_attach_listen(const vc_host *host, const struct vc_call *call, const char *path, int *ret_fd)
{
    int fd = vcs_unix_listen(path, 0600, 16);
    if (fd == -EADDRINUSE) {
        unlink(path);
        fd = vcs_unix_listen(path, 0600, 16);
    }
    if (fd < 0)
        return vcs_fail(host, call, vcs_code_of(-fd), -fd, "shim vc: cannot listen on %s", path);
    *ret_fd = fd;
    return VC_OK;
}

static int send_request(int conn, const int32_t fds[3])
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(3 * sizeof(int))];
    } control = { .space = { 0 } };
    int given[3];
    unsigned n = 0;
    char byte = 0;
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0) {
            given[n++] = fds[i];
            byte |= (char)(1 << i);
        }
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = &control,
                          .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
    control.align = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                      .cmsg_type = SCM_RIGHTS,
                                      .cmsg_len = CMSG_LEN(n * sizeof(int)) };
    memcpy(CMSG_DATA(&control.align), given, n * sizeof(int));
    return sendmsg(conn, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* One byte; 0 when the other end went away, -errno. */
static int read_answer(const vc_host *host, const struct vc_call *call, int conn)
{
    for (;;) {
        struct pollfd p = { .fd = conn, .events = POLLIN };
        int left = vcs_poll_timeout(call->deadline_ns);
        if (left == 0)
            return -ETIMEDOUT;
        if (host->cancelled(host, call))
            return -ECANCELED;
        int r = poll(&p, 1, left < 0 || left > 200 ? 200 : left); /* being cancelled is only seen by asking */
        if (r < 0 && errno != EINTR)
            return -errno;
        if (r <= 0)
            continue;
        char c = 0;
        ssize_t n = recv(conn, &c, 1, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        return n < 0 ? -errno : n == 0 ? 0 : (unsigned char)c;
    }
}

int vc_attach_request(const vc_host *host, const struct vc_call *call, const char *path, const char *what,
                      const int32_t fds[3])
{
    vcs_autofree char *uri = NULL;
    if (asprintf(&uri, "unix://%s", path) < 0) {
        uri = NULL;
        return vcs_fail(host, call, VC_E_NOMEM, 0, "shim vc: no memory for attaching to process %s", what);
    }
    vcs_autoclose int conn = vcs_uri_connect(uri, call->deadline_ns);
    int r = conn < 0 ? conn : send_request(conn, fds);
    if (r == 0)
        r = read_answer(host, call, conn);
    switch (r) {
    case ANSWER_OK:
        return VC_OK;
    case ANSWER_STDIN:
        return vcs_fail(host, call, VC_E_STATE, 0, "the standard input of process %s is closed already", what);
    case ANSWER_FULL:
        return vcs_fail(host, call, VC_E_RESOURCE, 0, "as many as its shim takes are attached to process %s", what);
    case -ETIMEDOUT:
        return vcs_fail(host, call, VC_E_TIMEOUT, 0, "the shim of process %s does not answer at %s", what, path);
    case -ECANCELED:
        return vcs_fail(host, call, VC_E_CANCELLED, 0, "attaching to process %s was cancelled", what);
    case 0: /* it ended before it came to us */
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -EPIPE:
    case -ENOENT:
        return vcs_fail(host, call, VC_E_NOTFOUND, 0, "the shim of process %s has ended", what);
    default:
        if (r > 0)
            return vcs_fail(host, call, VC_E_PROTOCOL, 0, "the shim at %s gave an answer that is not known (0x%x)", path,
                            (unsigned)r);
        return vcs_fail(host, call, vcs_code_of(-r), -r, "cannot attach at %s", path);
    }
}
