/* SPDX-License-Identifier: Apache-2.0 */
/* netlink.c: the little of rtnetlink that the checks of network plugins need. */
#include "netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "conformance/watch.h"

#define BUFFER 65536

/* ---- namespaces ---- */

struct errand {
    int ns; /* to be entered; -1: none */
    const char *path;
    int domain, type, protocol;
    int fresh;
    int result; /* descriptor or negative errno */
};

static int loopback_up(void)
{
    struct ifreq ifr = { .ifr_flags = IFF_UP | IFF_LOOPBACK };
    vcs_autoclose int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(ifr.ifr_name, "lo", 3);
    return s < 0 || ioctl(s, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

static int fresh_ns(const char *path)
{
    static const char self[] = "/proc/thread-self/ns/net";
    if (unshare(CLONE_NEWNET) < 0)
        return -errno;
    int rc = loopback_up();
    if (rc == 0 && path) {
        vcs_autoclose int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
        if (file < 0 || mount(self, path, NULL, MS_BIND, NULL) < 0)
            rc = -errno;
    }
    int fd = rc == 0 ? open(self, O_RDONLY | O_CLOEXEC) : -1;
    return rc < 0 ? rc : fd < 0 ? -errno : fd;
}

static void *run_errand(void *arg)
{
    struct errand *e = arg;
    vct_thread_mine();
    if (e->fresh)
        e->result = fresh_ns(e->path);
    else if (setns(e->ns, CLONE_NEWNET) < 0 || (e->result = socket(e->domain, e->type | SOCK_CLOEXEC, e->protocol)) < 0)
        e->result = -errno;
    return NULL;
}

/* On a thread of its own, so that no other one ever changes its namespace. */
static int send_out(struct errand *e)
{
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, run_errand, e);
    if (rc)
        return -rc;
    pthread_join(thread, NULL);
    return e->result;
}

int vct_ns_new(const char *path, int *ret_fd)
{
    struct errand e = { .ns = -1, .path = path, .fresh = 1 };
    int rc = send_out(&e);
    if (rc < 0)
        return rc;
    if (ret_fd)
        *ret_fd = rc;
    else
        close(rc);
    return 0;
}

void vct_ns_drop(const char *path)
{
    umount2(path, MNT_DETACH);
    unlink(path);
}

uint64_t vct_ns_id(int fd)
{
    struct stat st;
    return fd >= 0 && ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

int vct_ns_socket(int ns, int domain, int type, int protocol)
{
    if (ns < 0) {
        int fd = socket(domain, type | SOCK_CLOEXEC, protocol);
        return fd < 0 ? -errno : fd;
    }
    struct errand e = { .ns = ns, .domain = domain, .type = type, .protocol = protocol };
    return send_out(&e);
}

/* ---- messages ---- */

struct message {
    struct nlmsghdr h;
    char body[1000];
};

static void *body_add(struct message *m, const void *data, size_t n)
{
    char *at = (char *)m + NLMSG_ALIGN(m->h.nlmsg_len);
    if (data)
        memcpy(at, data, n);
    m->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(m->h.nlmsg_len) + n);
    return at;
}

static void begin(struct message *m, unsigned type, unsigned flags, const void *head, size_t n)
{
    memset(m, 0, sizeof(*m));
    m->h.nlmsg_len = NLMSG_HDRLEN;
    m->h.nlmsg_type = (uint16_t)type;
    m->h.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    body_add(m, head, n);
}

static struct rtattr *attr(struct message *m, unsigned type, const void *data, size_t n)
{
    struct rtattr *a = body_add(m, NULL, RTA_LENGTH(0));
    a->rta_type = (uint16_t)type;
    a->rta_len = (uint16_t)RTA_LENGTH(n);
    if (n)
        body_add(m, data, n);
    return a;
}

static void attr_str(struct message *m, unsigned type, const char *text)
{
    attr(m, type, text, strlen(text) + 1);
}

static void attr_u32(struct message *m, unsigned type, uint32_t v)
{
    attr(m, type, &v, sizeof(v));
}

/* The end of an attribute that holds others. */
static void attr_end(struct message *m, struct rtattr *a)
{
    a->rta_len = (uint16_t)((char *)m + NLMSG_ALIGN(m->h.nlmsg_len) - (char *)a);
}

/* Send it and read answers until the last one; cb gets each message of a dump. */
static int exchange_on(int s, struct message *m, void (*cb)(const struct nlmsghdr *, void *), void *arg)
{
    static _Thread_local char buffer[BUFFER];
    if (send(s, m, m->h.nlmsg_len, 0) < 0)
        return -errno;
    for (;;) {
        ssize_t got = recv(s, buffer, sizeof(buffer), 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EPIPE;
        size_t left = (size_t)got;
        for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type == NLMSG_ERROR)
                return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
            if (h->nlmsg_type == NLMSG_DONE)
                return 0;
            if (cb)
                cb(h, arg);
        }
    }
}

static int exchange(int ns, int protocol, struct message *m, void (*cb)(const struct nlmsghdr *, void *), void *arg)
{
    vcs_autoclose int s = vct_ns_socket(ns, AF_NETLINK, SOCK_RAW, protocol);
    if (s < 0)
        return s;
    struct timeval limit = { .tv_sec = 5 };
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if ((m->h.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
        m->h.nlmsg_flags |= NLM_F_ACK;
    return exchange_on(s, m, cb, arg);
}

/* ---- links ---- */

static int parse_mac(const char *text, unsigned char mac[6])
{
    return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) ==
                   6
               ? 0
               : -EINVAL;
}

struct gathered {
    struct vct_link *links;
    size_t n;
    int failed;
};

static void gather_link(const struct nlmsghdr *h, void *arg)
{
    struct gathered *g = arg;
    const struct ifinfomsg *info = NLMSG_DATA(h);
    if (h->nlmsg_type != RTM_NEWLINK || g->failed)
        return;
    struct vct_link *more = realloc(g->links, (g->n + 1) * sizeof(*more));
    if (!more) {
        g->failed = 1;
        return;
    }
    g->links = more;
    struct vct_link *l = memset(&more[g->n++], 0, sizeof(*more));
    l->index = info->ifi_index;
    l->up = (info->ifi_flags & IFF_UP) != 0;
    unsigned left = (unsigned)IFLA_PAYLOAD(h);
    for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        const unsigned char *d = RTA_DATA(a);
        size_t n = RTA_PAYLOAD(a);
        if (a->rta_type == IFLA_IFNAME)
            snprintf(l->name, sizeof(l->name), "%.*s", (int)n, (const char *)d);
        else if (a->rta_type == IFLA_MTU && n >= 4)
            memcpy(&l->mtu, d, 4);
        else if (a->rta_type == IFLA_MASTER && n >= 4)
            memcpy(&l->master, d, 4);
        else if (a->rta_type == IFLA_ADDRESS && n == 6)
            snprintf(l->mac, sizeof(l->mac), "%02x:%02x:%02x:%02x:%02x:%02x", d[0], d[1], d[2], d[3], d[4], d[5]);
        else if (a->rta_type == IFLA_LINKINFO) {
            unsigned inner = (unsigned)n;
            for (const struct rtattr *i = RTA_DATA(a); RTA_OK(i, inner); i = RTA_NEXT(i, inner))
                if (i->rta_type == IFLA_INFO_KIND)
                    snprintf(l->kind, sizeof(l->kind), "%.*s", (int)RTA_PAYLOAD(i), (const char *)RTA_DATA(i));
        }
    }
}

int vct_nl_links(int ns, struct vct_link **ret, size_t *ret_n)
{
    struct message m;
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
    struct gathered g = { 0 };
    begin(&m, RTM_GETLINK, NLM_F_DUMP, &info, sizeof(info));
    int rc = exchange(ns, NETLINK_ROUTE, &m, gather_link, &g);
    if (rc == 0 && g.failed)
        rc = -ENOMEM;
    if (rc < 0) {
        free(g.links);
        return rc;
    }
    *ret = g.links;
    *ret_n = g.n;
    return 0;
}

int vct_nl_link(int ns, const char *name, struct vct_link *ret)
{
    struct vct_link *links = NULL;
    size_t n = 0;
    int rc = vct_nl_links(ns, &links, &n);
    if (rc == 0) {
        rc = -ENODEV;
        for (size_t i = 0; i < n && rc < 0; i++)
            if (strcmp(links[i].name, name) == 0) {
                if (ret)
                    *ret = links[i];
                rc = 0;
            }
    }
    free(links);
    return rc;
}

int vct_nl_veth(int ns, const struct vct_veth *v)
{
    struct message m;
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
    uint32_t mtu = v->mtu ? v->mtu : 1500, queues = v->queues ? v->queues : 1;
    unsigned char mac[6];
    vcs_autoclose int here = v->peer_ns < 0 ? open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC) : -1;
    begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));
    attr_str(&m, IFLA_IFNAME, v->name);
    attr_u32(&m, IFLA_MTU, mtu);
    attr_u32(&m, IFLA_NUM_TX_QUEUES, queues);
    attr_u32(&m, IFLA_NUM_RX_QUEUES, queues);
    if (v->mac && parse_mac(v->mac, mac) < 0)
        return -EINVAL;
    if (v->mac)
        attr(&m, IFLA_ADDRESS, mac, sizeof(mac));
    struct rtattr *link = attr(&m, IFLA_LINKINFO, NULL, 0);
    attr_str(&m, IFLA_INFO_KIND, "veth");
    struct rtattr *data = attr(&m, IFLA_INFO_DATA, NULL, 0), *peer = attr(&m, VETH_INFO_PEER, NULL, 0);
    body_add(&m, &info, sizeof(info));
    attr_str(&m, IFLA_IFNAME, v->peer);
    attr_u32(&m, IFLA_MTU, mtu);
    attr_u32(&m, IFLA_NUM_TX_QUEUES, queues);
    attr_u32(&m, IFLA_NUM_RX_QUEUES, queues);
    attr_u32(&m, IFLA_NET_NS_FD, (uint32_t)(v->peer_ns < 0 ? here : v->peer_ns));
    attr_end(&m, peer);
    attr_end(&m, data);
    attr_end(&m, link);
    int rc = exchange(ns, NETLINK_ROUTE, &m, NULL, NULL);
    rc = rc == 0 ? vct_nl_up(v->peer_ns, v->peer) : rc;
    return rc == 0 ? vct_nl_up(ns, v->name) : rc;
}

static int change_link(int ns, unsigned type, const char *name, unsigned up)
{
    struct message m;
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_flags = up, .ifi_change = up };
    begin(&m, type, 0, &info, sizeof(info));
    attr_str(&m, IFLA_IFNAME, name);
    return exchange(ns, NETLINK_ROUTE, &m, NULL, NULL);
}

int vct_nl_up(int ns, const char *name)
{
    return change_link(ns, RTM_NEWLINK, name, IFF_UP);
}

int vct_nl_del(int ns, const char *name)
{
    return change_link(ns, RTM_DELLINK, name, 0);
}

/* ---- addresses and routes ---- */

static int parse_cidr(const char *text, unsigned char addr[16], int *bits)
{
    char copy[64];
    snprintf(copy, sizeof(copy), "%s", text);
    char *slash = strchr(copy, '/');
    if (slash)
        *slash++ = '\0';
    int family = strchr(copy, ':') ? AF_INET6 : AF_INET;
    *bits = slash ? (int)strtol(slash, NULL, 10) : family == AF_INET6 ? 128 : 32;
    return inet_pton(family, copy, addr) == 1 ? family : -EINVAL;
}

int vct_nl_addr(int ns, const char *name, const char *cidr)
{
    struct message m;
    struct vct_link link;
    unsigned char addr[16];
    int bits = 0, family = parse_cidr(cidr, addr, &bits), rc = vct_nl_link(ns, name, &link);
    if (family < 0 || rc < 0)
        return family < 0 ? family : rc;
    struct ifaddrmsg head = { .ifa_family = (uint8_t)family,
                              .ifa_prefixlen = (uint8_t)bits,
                              .ifa_flags = IFA_F_NODAD,
                              .ifa_index = (uint32_t)link.index };
    size_t n = family == AF_INET6 ? 16 : 4;
    begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
    attr(&m, IFA_LOCAL, addr, n);
    attr(&m, IFA_ADDRESS, addr, n);
    return exchange(ns, NETLINK_ROUTE, &m, NULL, NULL);
}

int vct_nl_route(int ns, const char *dest, const char *gateway, const char *dev)
{
    struct message m;
    struct vct_link link;
    unsigned char addr[16], gw[16];
    int bits = 0, ignored = 0, rc = vct_nl_link(ns, dev, &link);
    int family = gateway ? parse_cidr(gateway, gw, &ignored) : parse_cidr(dest, addr, &bits);
    if (rc < 0 || family < 0)
        return rc < 0 ? rc : family;
    if (dest && *dest && parse_cidr(dest, addr, &bits) != family)
        return -EINVAL;
    struct rtmsg head = { .rtm_family = (uint8_t)family,
                          .rtm_dst_len = (uint8_t)bits,
                          .rtm_table = RT_TABLE_MAIN,
                          .rtm_protocol = RTPROT_STATIC,
                          .rtm_type = RTN_UNICAST,
                          .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK };
    size_t n = family == AF_INET6 ? 16 : 4;
    begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
    if (dest && *dest)
        attr(&m, RTA_DST, addr, n);
    if (gateway)
        attr(&m, RTA_GATEWAY, gw, n);
    attr_u32(&m, RTA_OIF, (uint32_t)link.index);
    return exchange(ns, NETLINK_ROUTE, &m, NULL, NULL);
}

/* ---- pictures ---- */

struct picture {
    char **lines;
    size_t n;
    int failed;
};

static void line(struct picture *p, const char *fmt, ...) VCS_PRINTF(2, 3);
static void line(struct picture *p, const char *fmt, ...)
{
    va_list args;
    char *text = NULL, **more = realloc(p->lines, (p->n + 1) * sizeof(*more));
    va_start(args, fmt);
    if (more)
        p->lines = more;
    if (!more || vasprintf(&text, fmt, args) < 0)
        p->failed = 1;
    else
        more[p->n++] = text;
    va_end(args);
}

/* Attribute `type` of a message whose fixed part is `head` bytes long; NULL when it has none. */
static const struct rtattr *find(const struct nlmsghdr *h, size_t head, unsigned type)
{
    int left = (int)h->nlmsg_len - (int)NLMSG_LENGTH(head);
    const void *first = (const char *)NLMSG_DATA(h) + NLMSG_ALIGN(head);
    for (const struct rtattr *a = first; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if ((a->rta_type & NLA_TYPE_MASK) == type)
            return a;
    return NULL;
}

static uint32_t find_u32(const struct nlmsghdr *h, size_t head, unsigned type)
{
    const struct rtattr *a = find(h, head, type);
    uint32_t v = 0;
    if (a && RTA_PAYLOAD(a) >= sizeof(v))
        memcpy(&v, RTA_DATA(a), sizeof(v));
    return v;
}

/* An address attribute as text; "" when it is not there. */
static const char *find_addr(const struct nlmsghdr *h, size_t head, unsigned type, int family, char text[64])
{
    const struct rtattr *a = find(h, head, type);
    *text = '\0';
    if (a && RTA_PAYLOAD(a) >= (family == AF_INET6 ? 16u : 4u))
        inet_ntop(family, RTA_DATA(a), text, 64);
    return text;
}

static void see_addr(const struct nlmsghdr *h, void *arg)
{
    const struct ifaddrmsg *m = NLMSG_DATA(h);
    char text[64];
    if (h->nlmsg_type != RTM_NEWADDR || m->ifa_scope == RT_SCOPE_LINK)
        return;
    unsigned which = find(h, sizeof(*m), IFA_LOCAL) ? IFA_LOCAL : IFA_ADDRESS;
    find_addr(h, sizeof(*m), which, m->ifa_family, text);
    line(arg, "address %s/%u on link %u", text, m->ifa_prefixlen, m->ifa_index);
}

static void see_route(const struct nlmsghdr *h, void *arg)
{
    const struct rtmsg *m = NLMSG_DATA(h);
    char dst[64], gw[64];
    if (h->nlmsg_type != RTM_NEWROUTE || (m->rtm_flags & RTM_F_CLONED) || m->rtm_type != RTN_UNICAST ||
        m->rtm_protocol == RTPROT_KERNEL || m->rtm_protocol == RTPROT_RA)
        return;
    find_addr(h, sizeof(*m), RTA_DST, m->rtm_family, dst);
    find_addr(h, sizeof(*m), RTA_GATEWAY, m->rtm_family, gw);
    line(arg, "route %s/%u via %s on link %u, table %u", dst, m->rtm_dst_len, gw, find_u32(h, sizeof(*m), RTA_OIF),
         m->rtm_table);
}

static void see_rule(const struct nlmsghdr *h, void *arg)
{
    const struct fib_rule_hdr *m = NLMSG_DATA(h);
    char src[64], dst[64];
    if (h->nlmsg_type != RTM_NEWRULE)
        return;
    find_addr(h, sizeof(*m), FRA_SRC, m->family, src);
    find_addr(h, sizeof(*m), FRA_DST, m->family, dst);
    line(arg, "rule %u of family %u from %s/%u to %s/%u, table %u, action %u", find_u32(h, sizeof(*m), FRA_PRIORITY),
         m->family, src, m->src_len, dst, m->dst_len, m->table, m->action);
}

/* The queueing that the kernel gives a link by itself has no handle. */
static void see_qdisc(const struct nlmsghdr *h, void *arg)
{
    const struct tcmsg *m = NLMSG_DATA(h);
    const struct rtattr *kind = find(h, sizeof(*m), TCA_KIND);
    if (h->nlmsg_type != RTM_NEWQDISC || m->tcm_handle == 0 || !kind)
        return;
    line(arg, "qdisc %.*s on link %d", (int)RTA_PAYLOAD(kind), (const char *)RTA_DATA(kind), m->tcm_ifindex);
}

static void see_nft(const struct nlmsghdr *h, void *arg)
{
    const struct nfgenmsg *m = NLMSG_DATA(h);
    unsigned type = h->nlmsg_type & 0xff;
    int chain = type == NFT_MSG_NEWCHAIN;
    if (type != NFT_MSG_NEWTABLE && type != NFT_MSG_NEWCHAIN && type != NFT_MSG_NEWRULE)
        return;
    /* The name of a table is attribute 1 of all three; of a chain the third one. */
    const struct rtattr *table = find(h, sizeof(*m), NFTA_TABLE_NAME);
    const struct rtattr *name = chain ? find(h, sizeof(*m), NFTA_CHAIN_NAME) : NULL;
    line(arg, "nftables %s %.*s %.*s of family %u",
         type == NFT_MSG_NEWTABLE ? "table"
         : chain                  ? "chain"
                                  : "rule in table",
         table ? (int)RTA_PAYLOAD(table) : 0, table ? (const char *)RTA_DATA(table) : "",
         name ? (int)RTA_PAYLOAD(name) : 0, name ? (const char *)RTA_DATA(name) : "", m->nfgen_family);
}

static int dump(int ns, unsigned type, void (*cb)(const struct nlmsghdr *, void *), struct picture *p)
{
    struct message m;
    char head[24] = { 0 }; /* as long as the longest of the heads; the family is its first byte: any */
    begin(&m, type, NLM_F_DUMP, head, sizeof(head));
    return exchange(ns, NETLINK_ROUTE, &m, cb, p);
}

/* A kernel without nftables has nothing to show. */
static void dump_nft(int ns, struct picture *p)
{
    static const unsigned types[] = { NFT_MSG_GETTABLE, NFT_MSG_GETCHAIN, NFT_MSG_GETRULE };
    struct nfgenmsg head = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0 };
    struct message m;
    for (unsigned i = 0; i < sizeof(types) / sizeof(*types); i++) {
        size_t had = p->n;
        begin(&m, NFNL_SUBSYS_NFTABLES << 8 | types[i], NLM_F_DUMP, &head, sizeof(head));
        if (exchange(ns, NETLINK_NETFILTER, &m, see_nft, p) < 0 || p->n == had)
            return;
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int vct_nl_picture(int ns, struct vcs_buf *ret)
{
    struct picture p = { 0 };
    struct vct_link *links = NULL;
    size_t n = 0;
    int rc = vct_nl_links(ns, &links, &n);
    for (size_t i = 0; rc == 0 && i < n; i++)
        line(&p, "link %s (%d): %s, mac %s, mtu %u, %s, port of %d", links[i].name, links[i].index, links[i].kind,
             links[i].mac, links[i].mtu, links[i].up ? "up" : "down", links[i].master);
    free(links);
    if (rc == 0)
        rc = dump(ns, RTM_GETADDR, see_addr, &p);
    if (rc == 0)
        rc = dump(ns, RTM_GETROUTE, see_route, &p);
    if (rc == 0)
        rc = dump(ns, RTM_GETRULE, see_rule, &p);
    if (rc == 0)
        rc = dump(ns, RTM_GETQDISC, see_qdisc, &p);
    if (rc == 0)
        dump_nft(ns, &p);
    if (p.n)
        qsort(p.lines, p.n, sizeof(*p.lines), by_text);
    for (size_t i = 0; i < p.n; i++) {
        if (rc == 0 && vcs_buf_printf(ret, "%s\n", p.lines[i]) < 0)
            p.failed = 1;
        free(p.lines[i]);
    }
    free(p.lines);
    return rc == 0 && p.failed ? -ENOMEM : rc;
}

static void add_line(char *text, size_t size, char sign, const char *from, size_t n)
{
    size_t used = strlen(text);
    if (used < size - 1)
        snprintf(text + used, size - used, "%s%c %.*s", used ? "; " : "", sign, (int)n, from);
}

const char *vct_nl_differ(struct vcs_buf *before, struct vcs_buf *after, int added)
{
    static _Thread_local char text[1500];
    const char *a = vcs_buf_str(before), *b = vcs_buf_str(after);
    *text = '\0';
    while (a && b && (*a || *b)) {
        size_t na = strcspn(a, "\n"), nb = strcspn(b, "\n"), less = na < nb ? na : nb;
        int order = !*a ? 1 : !*b ? -1 : memcmp(a, b, less);
        order = order == 0 && *a && *b ? (na > nb) - (na < nb) : order;
        if (order < 0)
            add_line(text, sizeof(text), '-', a, na);
        else if (order > 0 && added)
            add_line(text, sizeof(text), '+', b, nb);
        a += order <= 0 ? na + (a[na] == '\n') : 0;
        b += order >= 0 ? nb + (b[nb] == '\n') : 0;
    }
    return text;
}
