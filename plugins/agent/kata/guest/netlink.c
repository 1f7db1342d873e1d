/* SPDX-License-Identifier: Apache-2.0 */
/* netlink.c: a small rtnetlink client: one request at a time, on a socket of its own. */
#include "netlink.h"

#include <string.h>
#include <sys/socket.h>

#include "lib/cleanup.h"

#define ANSWER_SIZE 32768
#define TOO_LARGE UINT32_MAX

void nl_start(struct nl_request *q, int type, int flags, const void *fixed, size_t n)
{
    memset(q, 0, sizeof(*q));
    q->u.h.nlmsg_len = (uint32_t)NLMSG_LENGTH(n);
    q->u.h.nlmsg_type = (uint16_t)type;
    q->u.h.nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST);
    q->u.h.nlmsg_seq = 1;
    memcpy(NLMSG_DATA(&q->u.h), fixed, n);
}

void nl_put(struct nl_request *q, int type, const void *data, size_t n)
{
    size_t at = NLMSG_ALIGN((size_t)q->u.h.nlmsg_len);
    if (q->u.h.nlmsg_len == TOO_LARGE || n > sizeof(q->u.room) || at + RTA_SPACE(n) > sizeof(q->u.room)) {
        q->u.h.nlmsg_len = TOO_LARGE;
        return;
    }
    struct rtattr a = {.rta_type = (unsigned short)type, .rta_len = (unsigned short)RTA_LENGTH(n)};
    memcpy(q->u.room + at, &a, sizeof(a));
    if (n)
        memcpy(q->u.room + at + RTA_LENGTH(0), data, n);
    q->u.h.nlmsg_len = (uint32_t)(at + RTA_SPACE(n));
}

void nl_put_u32(struct nl_request *q, int type, uint32_t v)
{
    nl_put(q, type, &v, sizeof(v));
}

static int nl_send(struct nl_request *q, int *ret_fd)
{
    static const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    if (q->u.h.nlmsg_len == TOO_LARGE)
        return -EMSGSIZE;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    if (sendto(fd, &q->u.h, q->u.h.nlmsg_len, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int nl_talk(struct nl_request *q)
{
    struct nl_request answer;
    vcs_autoclose int fd = -1;
    q->u.h.nlmsg_flags |= NLM_F_ACK;
    int r = nl_send(q, &fd);
    if (r < 0)
        return r;
    /* The kernel answers before sendto returns: this does not wait. */
    ssize_t n = recv(fd, &answer, sizeof(answer), 0);
    if (n < 0)
        return -errno;
    if ((size_t)n < NLMSG_LENGTH(sizeof(struct nlmsgerr)) || answer.u.h.nlmsg_type != NLMSG_ERROR)
        return -EPROTO;
    return ((const struct nlmsgerr *)NLMSG_DATA(&answer.u.h))->error;
}

int nl_dump(struct nl_request *q, int (*fn)(const struct nlmsghdr *h, void *ctx), void *ctx)
{
    vcs_autoclose int fd = -1;
    vcs_autofree unsigned char *answer = malloc(ANSWER_SIZE);
    if (!answer)
        return -ENOMEM;
    q->u.h.nlmsg_flags |= NLM_F_DUMP;
    int r = nl_send(q, &fd);
    while (r == 0) {
        ssize_t got = recv(fd, answer, ANSWER_SIZE, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EPROTO;
        unsigned n = (unsigned)got;
        for (const struct nlmsghdr *h = (const void *)answer; NLMSG_OK(h, n) && r == 0; h = NLMSG_NEXT(h, n)) {
            if (h->nlmsg_type == NLMSG_DONE)
                return 0;
            if (h->nlmsg_type == NLMSG_ERROR)
                return h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr))
                           ? -EPROTO
                           : ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
            r = fn(h, ctx);
        }
    }
    return r;
}

void nl_attributes(const struct nlmsghdr *h, size_t n, const struct rtattr **ret, int max)
{
    memset(ret, 0, sizeof(*ret) * (size_t)(max + 1));
    if (h->nlmsg_len < NLMSG_LENGTH(n))
        return;
    unsigned left = (unsigned)(h->nlmsg_len - NLMSG_LENGTH(n));
    const struct rtattr *a = (const void *)((const char *)NLMSG_DATA(h) + NLMSG_ALIGN(n));
    for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        int type = a->rta_type & ~NLA_F_NESTED;
        if (type <= max)
            ret[type] = a;
    }
}

const void *nl_data(const struct rtattr *a, size_t n)
{
    return a && a->rta_len >= RTA_LENGTH(n) ? RTA_DATA(a) : NULL;
}

const char *nl_text(const struct rtattr *a)
{
    const char *s = nl_data(a, 1);
    return s && memchr(s, 0, a->rta_len - RTA_LENGTH(0)) ? s : "";
}
