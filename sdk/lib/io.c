/* SPDX-License-Identifier: Apache-2.0 */
/* io.c: clocks, sockets and whole reads and writes. */
#include "lib/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "lib/cleanup.h"

int64_t vcs_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int vcs_poll_timeout(int64_t deadline_ns)
{
    if (deadline_ns == 0)
        return -1;
    int64_t left = deadline_ns - vcs_now_ns();
    if (left <= 0)
        return 0;
    int64_t ms = (left + 999999) / 1000000;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* ---- unix sockets ---- */

/* Fill in an address for a path of any length.  *ret_dirfd must stay open while the address is used. */
static int unix_address(const char *path, struct sockaddr_un *sa, socklen_t *ret_len, int *ret_dirfd)
{
    size_t n = strlen(path);
    if (n == 0)
        return -EINVAL;
    *sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (n >= sizeof(sa->sun_path)) {
        const char *slash = strrchr(path, '/');
        if (!slash)
            return -ENAMETOOLONG;
        vcs_autofree char *dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
        if (!dir)
            return -ENOMEM;
        int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        int len = snprintf(sa->sun_path, sizeof(sa->sun_path), "/proc/self/fd/%d/%s", fd, slash + 1);
        if (len < 0 || (size_t)len >= sizeof(sa->sun_path)) {
            close(fd);
            return -ENAMETOOLONG;
        }
        *ret_dirfd = fd;
        n = (size_t)len;
    } else {
        memcpy(sa->sun_path, path, n + 1);
    }
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return 0;
}

int vcs_unix_listen(const char *path, mode_t mode, int backlog)
{
    struct sockaddr_un sa;
    socklen_t len;
    vcs_autoclose int dirfd = -1;
    int r = unix_address(path, &sa, &len, &dirfd);
    if (r < 0)
        return r;
    vcs_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* The mode set before bind is that of the file from its first moment (less the umask). */
    if (fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0)
        return -errno;
    if (chmod(sa.sun_path, mode) < 0 || listen(fd, backlog) < 0) {
        r = -errno;
        unlink(sa.sun_path);
        return r;
    }
    return VCS_TAKE_FD(fd);
}

int vcs_unix_connect_until(const char *path, int64_t deadline_ns)
{
    static const struct timeval none;
    struct sockaddr_un sa;
    socklen_t len;
    vcs_autoclose int dirfd = -1;
    int r = unix_address(path, &sa, &len, &dirfd);
    if (r < 0)
        return r;
    vcs_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    do {
        int left = vcs_poll_timeout(deadline_ns);
        struct timeval tv = { .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 };
        if (left == 0)
            return -ETIMEDOUT;
        if (left > 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
            return -errno;
        r = connect(fd, (struct sockaddr *)&sa, len);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    if (deadline_ns && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none)) < 0)
        return -errno;
    return VCS_TAKE_FD(fd);
}

int vcs_unix_connect(const char *path)
{
    return vcs_unix_connect_until(path, 0);
}

/* ---- vsock ---- */

/* One attempt to connect; a descriptor or a negative errno. */
static int vsock_try(const struct sockaddr_vm *sa, int64_t deadline_ns)
{
    vcs_autoclose int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0) {
        if (errno != EINPROGRESS && errno != EINTR)
            return -errno;
        for (;;) {
            struct pollfd pf = { .fd = fd, .events = POLLOUT };
            int r = poll(&pf, 1, vcs_poll_timeout(deadline_ns));
            if (r > 0)
                break;
            if (r == 0 && vcs_poll_timeout(deadline_ns) == 0)
                return -ETIMEDOUT;
            if (r < 0 && errno != EINTR)
                return -errno;
        }
        int err = 0;
        socklen_t n = sizeof(err);
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) < 0)
            return -errno;
        if (err)
            return -err;
    }
    int r = vcs_set_nonblock(fd, 0);
    return r < 0 ? r : VCS_TAKE_FD(fd);
}

int vcs_vsock_connect(uint32_t cid, uint32_t port, int64_t deadline_ns)
{
    struct sockaddr_vm sa = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
    int pause_ms = 1;
    for (;;) {
        int fd = vsock_try(&sa, deadline_ns);
        /* A guest that has not come so far refuses or resets; there is nothing to wait on but time. */
        if (fd != -ECONNREFUSED && fd != -ECONNRESET && fd != -EHOSTUNREACH && fd != -ETIMEDOUT)
            return fd;
        int left = vcs_poll_timeout(deadline_ns);
        if (left <= 0)
            return left < 0 ? fd : -ETIMEDOUT;
        poll(NULL, 0, left < pause_ms ? left : pause_ms);
        if (pause_ms < 50)
            pause_ms *= 2;
    }
}

/* Read the answer to CONNECT up to its newline, and not a byte more: what follows is the stream's. */
static int hvsock_answer(int fd, char *line, size_t size, int64_t deadline_ns)
{
    size_t len = 0;
    for (;;) {
        struct pollfd pf = { .fd = fd, .events = POLLIN };
        int r = poll(&pf, 1, vcs_poll_timeout(deadline_ns));
        if (r < 0 && errno != EINTR)
            return -errno;
        if (r == 0 && vcs_poll_timeout(deadline_ns) == 0)
            return -ETIMEDOUT;
        if (r <= 0)
            continue;
        ssize_t n = recv(fd, line + len, size - 1 - len, MSG_PEEK | MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -ECONNRESET;
        char *nl = memchr(line + len, '\n', (size_t)n);
        size_t take = nl ? (size_t)(nl - (line + len)) + 1 : (size_t)n;
        n = recv(fd, line + len, take, MSG_DONTWAIT);
        if (n < 0)
            return -errno;
        len += (size_t)n;
        if (nl) {
            line[len - 1] = '\0';
            return 0;
        }
        if (len == size - 1)
            return -EPROTO;
    }
}

int vcs_hvsock_connect(const char *path, uint32_t port, int64_t deadline_ns)
{
    vcs_autoclose int fd = vcs_unix_connect_until(path, deadline_ns);
    if (fd < 0)
        return fd;
    char line[64];
    int n = snprintf(line, sizeof(line), "CONNECT %u\n", port);
    int r = vcs_write_full(fd, line, (size_t)n);
    if (r < 0)
        return r == -EPIPE ? -ECONNRESET : r;
    r = hvsock_answer(fd, line, sizeof(line), deadline_ns);
    if (r < 0)
        return r;
    return strncmp(line, "OK", 2) == 0 ? VCS_TAKE_FD(fd) : -ECONNREFUSED;
}

/* A decimal number that fills the whole text. */
static int parse_u32(const char *text, uint32_t *ret)
{
    if (*text < '0' || *text > '9')
        return -EINVAL;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno || *end || v > UINT32_MAX)
        return -EINVAL;
    *ret = (uint32_t)v;
    return 0;
}

int vcs_uri_connect(const char *uri, int64_t deadline_ns)
{
    if (strncmp(uri, "unix://", 7) == 0)
        return uri[7] ? vcs_unix_connect_until(uri + 7, deadline_ns) : -EINVAL;
    int is_vsock = strncmp(uri, "vsock://", 8) == 0;
    if (!is_vsock && strncmp(uri, "hvsock://", 9) != 0)
        return -EINVAL;
    vcs_autofree char *where = strdup(uri + (is_vsock ? 8 : 9));
    if (!where)
        return -ENOMEM;
    char *colon = strrchr(where, ':');
    uint32_t cid, port;
    if (!colon || colon == where || parse_u32(colon + 1, &port) < 0)
        return -EINVAL;
    *colon = '\0';
    if (!is_vsock)
        return vcs_hvsock_connect(where, port, deadline_ns);
    return parse_u32(where, &cid) < 0 ? -EINVAL : vcs_vsock_connect(cid, port, deadline_ns);
}

/* ---- reading and writing ---- */

int vcs_set_nonblock(int fd, int on)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    int want = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return want != flags && fcntl(fd, F_SETFL, want) < 0 ? -errno : 0;
}

static int wait_for(int fd, short events)
{
    struct pollfd pf = { .fd = fd, .events = events };
    return poll(&pf, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

int vcs_write_full(int fd, const void *data, size_t n)
{
    const char *p = data;
    int is_socket = 1;
    while (n) {
        /* A library must not let SIGPIPE end the process that uses it. */
        ssize_t w = is_socket ? send(fd, p, n, MSG_NOSIGNAL) : write(fd, p, n);
        if (w < 0 && errno == ENOTSOCK && is_socket) {
            is_socket = 0;
            continue;
        }
        if (w < 0 && errno == EAGAIN) {
            int r = wait_for(fd, POLLOUT);
            if (r < 0)
                return r;
            continue;
        }
        if (w < 0 && errno != EINTR)
            return -errno;
        if (w > 0) {
            p += w;
            n -= (size_t)w;
        }
    }
    return 0;
}

ssize_t vcs_read_full(int fd, void *data, size_t n)
{
    char *p = data;
    size_t done = 0;
    while (done < n) {
        ssize_t r = read(fd, p + done, n - done);
        if (r == 0)
            break;
        if (r < 0 && errno == EAGAIN) {
            int w = wait_for(fd, POLLIN);
            if (w < 0)
                return w;
            continue;
        }
        if (r < 0 && errno != EINTR)
            return -errno;
        if (r > 0)
            done += (size_t)r;
    }
    return (ssize_t)done;
}
