/* SPDX-License-Identifier: Apache-2.0 */
/* netlink.h: building rtnetlink requests, sending them and walking through the answers. */
#ifndef AGENT_NETLINK_H
#define AGENT_NETLINK_H

#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

struct nl_request {
    union {
        struct nlmsghdr h;
        unsigned char room[1024];
    } u;
};

/* Start a request: type, flags (NLM_F_REQUEST is added), and the fixed part. */
void nl_start(struct nl_request *q, int type, int flags, const void *fixed, size_t n);
/* Add an attribute; a request that becomes too large is refused by nl_talk. */
void nl_put(struct nl_request *q, int type, const void *data, size_t n);
void nl_put_u32(struct nl_request *q, int type, uint32_t v);
/* Send and wait for the acknowledgement: 0 or a negative errno. */
int nl_talk(struct nl_request *q);
/* Send a dump request and call fn for each message until it returns other than 0, which is returned. */
int nl_dump(struct nl_request *q, int (*fn)(const struct nlmsghdr *h, void *ctx), void *ctx);
/* Sort the attributes after the fixed part of n bytes by type; absent ones are NULL. */
void nl_attributes(const struct nlmsghdr *h, size_t n, const struct rtattr **ret, int max);
/* The payload if it has at least n bytes, else NULL.  a may be NULL. */
const void *nl_data(const struct rtattr *a, size_t n);
/* A text attribute, which ends within the message; "" when there is none. */
const char *nl_text(const struct rtattr *a);

#endif
