/* SPDX-License-Identifier: Apache-2.0 */
/* net-faults.c: stands in front of the C library's send and receive, and lets netlink go wrong for the plugin. */
#undef _FORTIFY_SOURCE
#include "conformance/net-faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "conformance/watch.h"

#define REFUSED 0x7ff0 /* a type of message that the kernel does not know */

static struct {
    _Atomic int armed;
    enum vct_net_mode mode;
    _Atomic unsigned at, seen;
    _Atomic int hit;
} faults;

void vct_net_fault(enum vct_net_mode mode, unsigned at)
{
    faults.mode = mode;
    atomic_store(&faults.seen, 0);
    atomic_store(&faults.hit, 0);
    atomic_store(&faults.at, at);
    atomic_store(&faults.armed, 1);
    if (!at)
        atomic_store(&faults.armed, 0);
}

unsigned vct_net_fault_seen(void)
{
    return atomic_load(&faults.seen);
}

int vct_net_fault_hit(void)
{
    return atomic_load(&faults.hit);
}

const char *vct_net_fault_name(enum vct_net_mode mode)
{
    static const char *const names[VCT_NET_N_MODES] = {
        "a netlink request that the kernel refuses (EBUSY)",
        "a netlink request that cannot be sent (ENOBUFS)",
        "a netlink answer that got lost (ENOBUFS)",
        "a netlink answer longer than the buffer (MSG_TRUNC)",
        "a netlink dump that changed meanwhile (NLM_F_DUMP_INTR)",
    };
    return names[mode];
}

/* The C library's own. */
static void *real(const char *name)
{
    int was VCT_IN_HOST;
    return dlsym(RTLD_NEXT, name);
}

static int is_netlink(int fd)
{
    int domain = 0;
    socklen_t len = sizeof(domain);
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_NETLINK;
}

/* Is this message the one? */
static int due(int fd, int sending)
{
    if (!atomic_load(&faults.armed) || sending != (faults.mode <= VCT_NET_UNSENT) || !vct_in_plugin())
        return 0;
    int was VCT_IN_HOST;
    int saved = errno, mine = 0;
    if (is_netlink(fd) && atomic_fetch_add(&faults.seen, 1) + 1 == atomic_load(&faults.at)) {
        atomic_store(&faults.hit, 1);
        mine = 1;
    }
    errno = saved;
    return mine;
}

/* ---- requests ---- */

/* Send the bytes as a request that the kernel does not know. */
static ssize_t send_refused(int fd, const void *data, size_t len, int flags, const void *to, socklen_t to_len)
{
    int was VCT_IN_HOST;
    ssize_t (*next)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) = NULL;
    *(void **)&next = real("sendto");
    if (faults.mode == VCT_NET_UNSENT || len < sizeof(struct nlmsghdr)) {
        errno = ENOBUFS;
        return -1;
    }
    struct nlmsghdr *copy = malloc(len);
    if (!copy) {
        errno = ENOBUFS;
        return -1;
    }
    memcpy(copy, data, len);
    copy->nlmsg_type = REFUSED;
    ssize_t n = next(fd, copy, len, flags, to, to_len);
    free(copy);
    return n;
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
    ssize_t (*next)(int, const void *, size_t, int) = NULL;
    *(void **)&next = real("send");
    return due(fd, 1) ? send_refused(fd, data, len, flags, NULL, 0) : next(fd, data, len, flags);
}

ssize_t sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *to, socklen_t to_len)
{
    ssize_t (*next)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) = NULL;
    *(void **)&next = real("sendto");
    return due(fd, 1) ? send_refused(fd, data, len, flags, to, to_len) : next(fd, data, len, flags, to, to_len);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    ssize_t (*next)(int, const struct msghdr *, int) = NULL;
    *(void **)&next = real("sendmsg");
    if (!due(fd, 1))
        return next(fd, msg, flags);
    size_t len = 0;
    for (size_t i = 0; i < msg->msg_iovlen; i++)
        len += msg->msg_iov[i].iov_len;
    char *all = malloc(len + 1);
    size_t at = 0;
    for (size_t i = 0; all && i < msg->msg_iovlen; at += msg->msg_iov[i++].iov_len)
        memcpy(all + at, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
    ssize_t n = send_refused(fd, all ? all : "", all ? len : 0, flags, msg->msg_name, msg->msg_namelen);
    free(all);
    return n;
}

/* ---- answers ---- */

/* The kernel's "do not know that" about a request that was changed becomes EBUSY. */
static void say_busy(void *data, ssize_t n)
{
    struct nlmsghdr *h = data;
    if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) || h->nlmsg_type != NLMSG_ERROR)
        return;
    struct nlmsgerr *e = NLMSG_DATA(h);
    if (e->msg.nlmsg_type == REFUSED)
        e->error = -EBUSY;
}

static ssize_t spoil(void *data, ssize_t n, int *msg_flags)
{
    if (n <= (ssize_t)sizeof(struct nlmsghdr))
        return n;
    if (faults.mode == VCT_NET_CUT) {
        *msg_flags |= MSG_TRUNC;
        return n / 2;
    }
    size_t left = (size_t)n;
    for (struct nlmsghdr *h = data; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
        h->nlmsg_flags |= NLM_F_DUMP_INTR;
        if (h->nlmsg_type != NLMSG_DONE && h->nlmsg_type != NLMSG_ERROR)
            h->nlmsg_type = NLMSG_NOOP;
    }
    return n;
}

/* After n bytes came in: is it time to change them? */
static ssize_t came(int fd, void *data, ssize_t n, int *msg_flags)
{
    if (atomic_load(&faults.armed) && atomic_load(&faults.hit) && faults.mode == VCT_NET_REFUSED && n > 0)
        say_busy(data, n);
    (void)fd;
    return n > 0 && *msg_flags < 0 ? (*msg_flags = 0, spoil(data, n, msg_flags)) : n;
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    ssize_t (*next)(int, struct msghdr *, int) = NULL;
    *(void **)&next = real("recvmsg");
    int mine = !(flags & MSG_PEEK) && due(fd, 0), how = mine ? -1 : 0;
    if (mine && faults.mode == VCT_NET_LOST) {
        errno = ENOBUFS;
        return -1;
    }
    ssize_t n = next(fd, msg, flags);
    if (n >= 0)
        vct_received(fd, msg, flags, __builtin_return_address(0));
    if (n > 0 && msg->msg_iovlen && msg->msg_iov[0].iov_len >= (size_t)n) {
        n = came(fd, msg->msg_iov[0].iov_base, n, &how);
        if (how > 0)
            msg->msg_flags |= how;
    }
    return n;
}

ssize_t recvfrom(int fd, void *data, size_t len, int flags, struct sockaddr *from, socklen_t *from_len)
{
    ssize_t (*next)(int, void *, size_t, int, struct sockaddr *, socklen_t *) = NULL;
    *(void **)&next = real("recvfrom");
    int mine = !(flags & MSG_PEEK) && due(fd, 0), how = mine ? -1 : 0;
    if (mine && faults.mode == VCT_NET_LOST) {
        errno = ENOBUFS;
        return -1;
    }
    ssize_t n = next(fd, data, len, flags, from, from_len);
    return came(fd, data, n > (ssize_t)len ? (ssize_t)len : n, &how);
}

ssize_t recv(int fd, void *data, size_t len, int flags)
{
    return recvfrom(fd, data, len, flags, NULL, NULL);
}

/* What recv is called in code built with _FORTIFY_SOURCE. */
ssize_t __recv_chk(int fd, void *data, size_t len, size_t size, int flags);
ssize_t __recv_chk(int fd, void *data, size_t len, size_t size, int flags)
{
    return recvfrom(fd, data, len < size ? len : size, flags, NULL, NULL);
}
