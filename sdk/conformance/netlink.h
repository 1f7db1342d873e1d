/* SPDX-License-Identifier: Apache-2.0 */
/* netlink.h: the little of rtnetlink that the checks of network plugins need.
 *
 * Every function takes the namespace it works in as a descriptor; -1 is that of the calling thread.  The calling
 * thread stays where it is: sockets are made on a thread of their own.  Functions answer 0 or a negative errno. */
#ifndef VCT_NETLINK_H
#define VCT_NETLINK_H

#include <stdint.h>

#include "lib/buf.h"

struct vct_link {
    int index;
    int master; /* index of the link it is a port of; 0: none */
    int up;
    uint32_t mtu;
    char name[16];
    char mac[18];  /* "02:00:00:00:00:01" */
    char kind[16]; /* "veth", "tun", "bridge"; "" when the kernel names none */
};

/* A new network namespace with its loopback up.  With a path, it gets a bind mount there (the file must not exist).
 * *ret_fd (may be NULL) is a descriptor of it. */
int vct_ns_new(const char *path, int *ret_fd);
/* Take the bind mount and its file away. */
void vct_ns_drop(const char *path);
/* Is it a descriptor of a network namespace?  The inode that tells one from another; 0 when it is none. */
uint64_t vct_ns_id(int fd);
/* A socket in the namespace, CLOEXEC; the descriptor or a negative errno. */
int vct_ns_socket(int ns, int domain, int type, int protocol);

struct vct_veth {
    const char *name, *peer; /* of the two ends */
    const char *mac;         /* of the first one; NULL: the kernel's choice */
    uint32_t mtu;            /* of both; 0: 1500 */
    uint32_t queues;         /* of both; 0: 1 */
    int peer_ns;             /* where the other end goes; -1: that of the calling thread */
};
/* A pair of links, the first one in ns, both up. */
int vct_nl_veth(int ns, const struct vct_veth *v);
int vct_nl_up(int ns, const char *name);
/* Delete a link; -ENODEV when there is none. */
int vct_nl_del(int ns, const char *name);
/* "10.0.0.2/24", "fd00::2/64" */
int vct_nl_addr(int ns, const char *name, const char *cidr);
/* dest "" or NULL: the default route of the gateway's family. */
int vct_nl_route(int ns, const char *dest, const char *gateway, const char *dev);

/* The links in the kernel's order, loopback included; *ret is malloc'ed. */
int vct_nl_links(int ns, struct vct_link **ret, size_t *ret_n);
/* The link of that name; -ENODEV. */
int vct_nl_link(int ns, const char *name, struct vct_link *ret);

/* What a namespace holds, one sorted line per thing: links, addresses, routes, rules, qdiscs that somebody made,
 * nftables.  What the kernel makes and drops by itself (link-local addresses, routes of addresses) is left out. */
int vct_nl_picture(int ns, struct vcs_buf *ret);
/* The lines that only one picture has, as one text: "+ link tap0 ...; - address ...", "" when they are equal.  With
 * `added` 0, only lines that have gone or changed count.  Text valid until the next call. */
const char *vct_nl_differ(struct vcs_buf *before, struct vcs_buf *after, int added);

#endif
