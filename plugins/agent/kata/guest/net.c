/* SPDX-License-Identifier: Apache-2.0 */
/* net.c: setting up links, addresses, routes and neighbours. */
#include "net.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "lib/io.h"
#include "netlink.h"

#define MAC_LEN 6
#define MAX_ADDRESSES 256

struct addr {
    unsigned char family, prefix;
    unsigned char bytes[16];
};

static size_t addr_len(int family)
{
    return family == AF_INET ? 4 : 16;
}

/* Parse an address without mask; the family follows from its form. */
static int parse_addr(const char *text, struct addr *a)
{
    memset(a, 0, sizeof(*a));
    a->family = strchr(text, ':') ? AF_INET6 : AF_INET;
    a->prefix = (unsigned char)(8 * addr_len(a->family));
    return inet_pton(a->family, text, a->bytes) == 1 ? 0 : -1;
}

static int parse_prefix(const char *text, struct addr *a)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return -1;
    unsigned long n = strtoul(text, &end, 10);
    if (*end || n > 8 * addr_len(a->family))
        return -1;
    a->prefix = (unsigned char)n;
    return 0;
}

/* ADDRESS/PREFIX, or an address alone for a single host. */
static int parse_cidr(const char *text, struct addr *a)
{
    char copy[64];
    if (strlen(text) >= sizeof(copy))
        return -1;
    memcpy(copy, text, strlen(text) + 1);
    char *slash = strchr(copy, '/');
    if (slash)
        *slash++ = '\0';
    if (parse_addr(copy, a) < 0)
        return -1;
    return slash ? parse_prefix(slash, a) : 0;
}

static int parse_mac(const char *text, unsigned char *mac)
{
    unsigned v[MAC_LEN];
    int used = 0;
    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &used) != MAC_LEN ||
        text[used])
        return -1;
    for (int i = 0; i < MAC_LEN; i++)
        mac[i] = (unsigned char)v[i];
    return 0;
}

/* ---- links ---- */

struct link_search {
    const unsigned char *mac; /* or, when NULL: */
    const char *name;
    int index;
    char found[IFNAMSIZ];
};

static int match_link(const struct nlmsghdr *h, void *ctx)
{
    struct link_search *s = ctx;
    const struct rtattr *a[IFLA_MAX + 1];
    const struct ifinfomsg *info = NLMSG_DATA(h);
    if (h->nlmsg_type != RTM_NEWLINK)
        return 0;
    nl_attributes(h, sizeof(*info), a, IFLA_MAX);
    if (s->mac) {
        const unsigned char *mac = nl_data(a[IFLA_ADDRESS], MAC_LEN);
        if (info->ifi_flags & IFF_LOOPBACK || !mac || memcmp(mac, s->mac, MAC_LEN) != 0)
            return 0;
    } else if (strcmp(nl_text(a[IFLA_IFNAME]), s->name) != 0) {
        return 0;
    }
    s->index = info->ifi_index;
    snprintf(s->found, sizeof(s->found), "%s", nl_text(a[IFLA_IFNAME]));
    return 1;
}

/* 1 when found, 0 when not, or a negative errno. */
static int find_link(struct link_search *s)
{
    struct nl_request q;
    struct ifinfomsg info = {.ifi_family = AF_UNSPEC};
    nl_start(&q, RTM_GETLINK, 0, &info, sizeof(info));
    return nl_dump(&q, match_link, s);
}

static int find_by_name(const char *name)
{
    struct link_search s = {.name = name};
    int r = find_link(&s);
    return r < 0 ? r : r == 0 ? -ENODEV : s.index;
}

static int set_link(int index, unsigned flags, unsigned change, const char *name, uint64_t mtu)
{
    struct nl_request q;
    struct ifinfomsg info = {.ifi_family = AF_UNSPEC, .ifi_index = index, .ifi_flags = flags, .ifi_change = change};
    nl_start(&q, RTM_NEWLINK, 0, &info, sizeof(info));
    if (name)
        nl_put(&q, IFLA_IFNAME, name, strlen(name) + 1);
    if (mtu)
        nl_put_u32(&q, IFLA_MTU, (uint32_t)mtu);
    return nl_talk(&q);
}

int net_loopback_up(struct agent_err *err)
{
    struct ifreq q = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    /* By the old way, since every boot waits for it: rtnetlink is ten milliseconds more of code that was never run
     * before under emulation, and many pods have no other use for it. */
    vcs_autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &q) < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "the loopback link cannot be set up");
    return 0;
}

/* Give a link its name.  Another link that has it gets a name made of its index. */
static int rename_link(int index, const char *name)
{
    int other = find_by_name(name);
    if (other == index)
        return 0;
    if (other > 0) {
        char away[IFNAMSIZ];
        snprintf(away, sizeof(away), "link%d", other);
        set_link(other, 0, IFF_UP, NULL, 0);
        int r = set_link(other, 0, 0, away, 0);
        if (r < 0)
            return r;
    }
    set_link(index, 0, IFF_UP, NULL, 0); /* a link that is up keeps its name on older kernels */
    return set_link(index, 0, 0, name, 0);
}

/* ---- addresses ---- */

static int change_address(int type, int index, const struct addr *a)
{
    struct nl_request q;
    struct ifaddrmsg m = {.ifa_family = a->family, .ifa_prefixlen = a->prefix, .ifa_index = (unsigned)index};
    int add = type == RTM_NEWADDR;
    if (add && a->family == AF_INET6)
        m.ifa_flags = IFA_F_NODAD; /* the host has given it: it can be used at once */
    nl_start(&q, type, add ? NLM_F_CREATE | NLM_F_REPLACE : 0, &m, sizeof(m));
    nl_put(&q, IFA_LOCAL, a->bytes, addr_len(a->family));
    nl_put(&q, IFA_ADDRESS, a->bytes, addr_len(a->family));
    if (add && a->family == AF_INET && a->prefix < 31) {
        uint32_t broadcast;
        memcpy(&broadcast, a->bytes, 4);
        broadcast |= htonl(a->prefix ? 0xffffffffu >> a->prefix : 0xffffffffu);
        nl_put(&q, IFA_BROADCAST, &broadcast, 4);
    }
    return nl_talk(&q);
}

struct addr_list {
    int index;
    size_t n;
    struct addr a[MAX_ADDRESSES];
};

static int collect_address(const struct nlmsghdr *h, void *ctx)
{
    struct addr_list *l = ctx;
    const struct rtattr *a[IFA_MAX + 1];
    const struct ifaddrmsg *m = NLMSG_DATA(h);
    if (h->nlmsg_type != RTM_NEWADDR || (int)m->ifa_index != l->index || l->n == MAX_ADDRESSES ||
        (m->ifa_family != AF_INET && m->ifa_family != AF_INET6))
        return 0;
    /* The link-local address is the kernel's own. */
    if (m->ifa_family == AF_INET6 && m->ifa_scope == RT_SCOPE_LINK)
        return 0;
    nl_attributes(h, sizeof(*m), a, IFA_MAX);
    const void *bytes = nl_data(a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS], addr_len(m->ifa_family));
    if (bytes) {
        struct addr *to = &l->a[l->n++];
        memset(to, 0, sizeof(*to));
        to->family = m->ifa_family;
        to->prefix = m->ifa_prefixlen;
        memcpy(to->bytes, bytes, addr_len(to->family));
    }
    return 0;
}

static int list_addresses(struct addr_list *l, int index)
{
    struct nl_request q;
    struct ifaddrmsg m = {.ifa_family = AF_UNSPEC};
    l->index = index;
    l->n = 0;
    nl_start(&q, RTM_GETADDR, 0, &m, sizeof(m));
    return nl_dump(&q, collect_address, l);
}

static int contains(const struct addr_list *l, const struct addr *a)
{
    for (size_t i = 0; i < l->n; i++)
        if (memcmp(&l->a[i], a, sizeof(*a)) == 0)
            return 1;
    return 0;
}

static int set_addresses(int index, const struct addr_list *want, const char *name, struct agent_err *err)
{
    vcs_autofree struct addr_list *have = malloc(sizeof(*have));
    if (!have)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    int r = list_addresses(have, index);
    for (size_t i = 0; r == 0 && i < have->n; i++)
        if (!contains(want, &have->a[i]))
            r = change_address(RTM_DELADDR, index, &have->a[i]);
    if (r < 0 && r != -EADDRNOTAVAIL)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "the old addresses of link %s cannot be removed", name);
    for (size_t i = 0; i < want->n; i++) {
        if (contains(have, &want->a[i]))
            continue;
        r = change_address(RTM_NEWADDR, index, &want->a[i]);
        if (r < 0) {
            char text[INET6_ADDRSTRLEN];
            inet_ntop(want->a[i].family, want->a[i].bytes, text, sizeof(text));
            return agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "link %s cannot get the address %s/%u", name, text,
                                    want->a[i].prefix);
        }
    }
    return 0;
}

static int check_interface(const Types__Interface *want, unsigned char *mac, struct addr_list *addrs,
                           struct agent_err *err)
{
    if (parse_mac(want->hw_addr, mac) < 0)
        return agent_fail(err, VCS_RPC_INVALID, "hardware address \"%.40s\" is not of the form 02:00:00:00:00:01",
                          want->hw_addr);
    if (strlen(want->name) >= IFNAMSIZ || strchr(want->name, '/'))
        return agent_fail(err, VCS_RPC_INVALID, "link name \"%.40s\" is not valid; it has at most %d bytes", want->name,
                          IFNAMSIZ - 1);
    if (want->mtu > 65536)
        return agent_fail(err, VCS_RPC_INVALID, "mtu %llu of link %s is above 65536", (unsigned long long)want->mtu,
                          want->name);
    if (want->n_ip_addresses > MAX_ADDRESSES)
        return agent_fail(err, VCS_RPC_INVALID, "link %s cannot get %zu addresses; the limit is %d", want->name,
                          want->n_ip_addresses, MAX_ADDRESSES);
    addrs->n = 0;
    for (size_t i = 0; i < want->n_ip_addresses; i++) {
        const Types__IPAddress *ip = want->ip_addresses[i];
        struct addr *a = &addrs->a[addrs->n++];
        if (parse_addr(ip->address, a) < 0 || parse_prefix(ip->mask, a) < 0)
            return agent_fail(err, VCS_RPC_INVALID, "\"%.60s\" with mask \"%.10s\" is not an address and the length of its "
                              "prefix", ip->address, ip->mask);
    }
    return 0;
}

int net_update_interface(const Types__Interface *want, struct agent_err *err)
{
    unsigned char mac[MAC_LEN];
    vcs_autofree struct addr_list *addrs = malloc(sizeof(*addrs));
    if (!addrs)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    if (check_interface(want, mac, addrs, err) < 0)
        return -1;
    struct link_search s = {.mac = mac};
    int r = find_link(&s);
    if (r < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "the links cannot be listed");
    if (r == 0)
        return agent_fail(err, VCS_RPC_NOTFOUND, "there is no link with hardware address %s", want->hw_addr);
    const char *name = want->name[0] ? want->name : s.found;
    r = rename_link(s.index, name);
    if (r < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "link %s cannot be named %s", s.found, name);
    unsigned noarp = want->raw_flags & IFF_NOARP;
    r = set_link(s.index, IFF_UP | noarp, IFF_UP | noarp, NULL, want->mtu);
    if (r < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "link %s cannot be set up with mtu %llu", name,
                                (unsigned long long)want->mtu);
    return set_addresses(s.index, addrs, name, err);
}

/* ---- routes ---- */

static int keep_route(const struct rtmsg *m)
{
    return m->rtm_table != RT_TABLE_MAIN || m->rtm_type != RTN_UNICAST || m->rtm_protocol == RTPROT_KERNEL ||
           m->rtm_flags & RTM_F_CLONED;
}

/* A route as the dump gives it is, with another type, the request to delete it. */
struct route_list {
    size_t n;
    struct nl_request q[64];
};

static int collect_route(const struct nlmsghdr *h, void *ctx)
{
    struct route_list *l = ctx;
    if (h->nlmsg_type != RTM_NEWROUTE || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg)) ||
        h->nlmsg_len > sizeof(l->q[0]) || keep_route(NLMSG_DATA(h)) || l->n == sizeof(l->q) / sizeof(l->q[0]))
        return 0;
    struct nl_request *q = &l->q[l->n++];
    memset(q, 0, sizeof(*q));
    memcpy(q, h, h->nlmsg_len);
    q->u.h.nlmsg_type = RTM_DELROUTE;
    q->u.h.nlmsg_flags = NLM_F_REQUEST;
    q->u.h.nlmsg_seq = 1;
    q->u.h.nlmsg_pid = 0;
    return 0;
}

static int delete_routes(void)
{
    struct nl_request q;
    struct rtmsg m = {.rtm_family = AF_UNSPEC};
    vcs_autofree struct route_list *l = malloc(sizeof(*l));
    int r;
    if (!l)
        return -ENOMEM;
    do {
        size_t deleted = 0;
        l->n = 0;
        nl_start(&q, RTM_GETROUTE, 0, &m, sizeof(m));
        r = nl_dump(&q, collect_route, l);
        for (size_t i = 0; r == 0 && i < l->n; i++) {
            int d = nl_talk(&l->q[i]);
            if (d < 0 && d != -ESRCH)
                return d;
            deleted += d == 0;
        }
        if (!deleted)
            return r;
    } while (r == 0);
    return r;
}

static int add_route(const Types__Route *want, struct agent_err *err)
{
    struct addr dest = {0}, gateway, source;
    int family = want->family == TYPES__IPFAMILY__v6 ? AF_INET6 : AF_INET;
    if ((want->dest[0] && parse_cidr(want->dest, &dest) < 0) ||
        (want->gateway[0] && parse_addr(want->gateway, &gateway) < 0) ||
        (want->source[0] && parse_addr(want->source, &source) < 0))
        return agent_fail(err, VCS_RPC_INVALID, "route to \"%.60s\" by \"%.60s\": an address is not valid", want->dest,
                          want->gateway);
    if (want->gateway[0])
        family = gateway.family;
    if (want->dest[0])
        family = dest.family;
    if ((want->gateway[0] && gateway.family != family) || (want->source[0] && source.family != family))
        return agent_fail(err, VCS_RPC_INVALID, "route to \"%.60s\" by \"%.60s\" mixes IPv4 and IPv6", want->dest,
                          want->gateway);
    int index = want->device[0] ? find_by_name(want->device) : 0;
    if (index < 0)
        return agent_fail(err, VCS_RPC_NOTFOUND, "route to \"%.60s\": there is no link %.20s", want->dest, want->device);
    struct nl_request q;
    struct rtmsg m = {.rtm_family = (unsigned char)family, .rtm_dst_len = dest.prefix, .rtm_table = RT_TABLE_MAIN,
                      .rtm_protocol = RTPROT_BOOT, .rtm_scope = (unsigned char)want->scope, .rtm_type = RTN_UNICAST,
                      .rtm_flags = want->flags & RTNH_F_ONLINK};
    nl_start(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &m, sizeof(m));
    if (want->dest[0])
        nl_put(&q, RTA_DST, dest.bytes, addr_len(family));
    if (want->gateway[0])
        nl_put(&q, RTA_GATEWAY, gateway.bytes, addr_len(family));
    if (want->source[0])
        nl_put(&q, RTA_PREFSRC, source.bytes, addr_len(family));
    if (index)
        nl_put_u32(&q, RTA_OIF, (uint32_t)index);
    if (want->mtu) {
        struct {
            struct rtattr a;
            uint32_t v;
        } mtu = {{sizeof(mtu), RTAX_MTU}, want->mtu};
        nl_put(&q, RTA_METRICS, &mtu, sizeof(mtu));
    }
    int r = nl_talk(&q);
    return r < 0 ? agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "the route to %s by %s on %s cannot be added",
                                    want->dest[0] ? want->dest : "default", want->gateway[0] ? want->gateway : "no gateway",
                                    want->device)
                 : 0;
}

int net_update_routes(const Agent__Routes *want, struct agent_err *err)
{
    int r = delete_routes();
    if (r < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "the old routes cannot be removed");
    /* A gateway must be reachable by a route that is there already. */
    for (int with_gateway = 0; with_gateway < 2; with_gateway++)
        for (size_t i = 0; i < want->n_routes; i++)
            if (!want->routes[i]->gateway[0] == !with_gateway && add_route(want->routes[i], err) < 0)
                return -1;
    return 0;
}

/* ---- neighbours ---- */

int net_add_neighbors(const Agent__ARPNeighbors *want, struct agent_err *err)
{
    for (size_t i = 0; i < want->n_arp_neighbors; i++) {
        const Types__ARPNeighbor *n = want->arp_neighbors[i];
        struct addr to;
        unsigned char mac[MAC_LEN];
        struct nl_request q;
        if (!n->to_ip_address || parse_addr(n->to_ip_address->address, &to) < 0)
            return agent_fail(err, VCS_RPC_INVALID, "a neighbour on link %.20s has no valid address", n->device);
        if (n->lladdr[0] && parse_mac(n->lladdr, mac) < 0)
            return agent_fail(err, VCS_RPC_INVALID, "hardware address \"%.40s\" of neighbour %s is not valid", n->lladdr,
                              n->to_ip_address->address);
        int index = find_by_name(n->device);
        if (index < 0)
            return agent_fail(err, VCS_RPC_NOTFOUND, "neighbour %s: there is no link %.20s", n->to_ip_address->address,
                              n->device);
        struct ndmsg m = {.ndm_family = to.family, .ndm_ifindex = index, .ndm_flags = (unsigned char)n->flags,
                          .ndm_state = n->state ? (unsigned short)n->state : NUD_PERMANENT, .ndm_type = RTN_UNICAST};
        nl_start(&q, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &m, sizeof(m));
        nl_put(&q, NDA_DST, to.bytes, addr_len(to.family));
        if (n->lladdr[0])
            nl_put(&q, NDA_LLADDR, mac, MAC_LEN);
        int r = nl_talk(&q);
        if (r < 0)
            return agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "neighbour %s cannot be added to link %s",
                                    n->to_ip_address->address, n->device);
    }
    return 0;
}

int net_monitor_open(void)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}
