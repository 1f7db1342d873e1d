/* SPDX-License-Identifier: Apache-2.0 */
/* netlist.c: listing links, routes and counters of the guest. */
#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "net.h"
#include "netlink.h"

#define MAX_ENTRIES 4096

/* Append a pointer to a protobuf-c repeated field. */
static int append(void ***list, size_t *n, void *entry)
{
    if (*n >= MAX_ENTRIES)
        return -ENOSPC;
    if ((*n & (*n - 1)) == 0) { /* 0 and powers of two: double the room */
        void **more = realloc(*list, (*n ? *n * 2 : 1) * sizeof(*more));
        if (!more)
            return -ENOMEM;
        *list = more;
    }
    (*list)[(*n)++] = entry;
    return 0;
}

/* Replace a field's string; the empty one is protobuf-c's own and is not freed. */
static int set_text(char **field, const char *text)
{
    if (!text[0])
        return 0;
    char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    *field = copy;
    return 0;
}

static int set_address(char **field, int family, const struct rtattr *a, int prefix)
{
    char text[INET6_ADDRSTRLEN + 12] = "";
    const void *bytes = nl_data(a, family == AF_INET ? 4 : 16);
    if (!bytes || !inet_ntop(family, bytes, text, INET6_ADDRSTRLEN))
        return 0;
    if (prefix >= 0)
        snprintf(text + strlen(text), 12, "/%d", prefix);
    return set_text(field, text);
}

/* ---- links ---- */

/* The links, with their indices beside them. */
struct link_list {
    Agent__Interfaces *to;
    int index[MAX_ENTRIES];
};

static int add_link(const struct nlmsghdr *h, void *ctx)
{
    struct link_list *l = ctx;
    const struct rtattr *a[IFLA_MAX + 1];
    const struct ifinfomsg *info = NLMSG_DATA(h);
    if (h->nlmsg_type != RTM_NEWLINK)
        return 0;
    nl_attributes(h, sizeof(*info), a, IFLA_MAX);
    Types__Interface *i = malloc(sizeof(*i));
    if (!i)
        return -ENOMEM;
    types__interface__init(i);
    size_t at = l->to->n_interfaces;
    int r = append((void ***)&l->to->interfaces, &l->to->n_interfaces, i);
    if (r < 0) {
        free(i);
        return r;
    }
    l->index[at] = info->ifi_index;
    const uint32_t *mtu = nl_data(a[IFLA_MTU], sizeof(*mtu));
    const unsigned char *mac = nl_data(a[IFLA_ADDRESS], 6);
    char text[20] = "";
    if (mac)
        snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    i->mtu = mtu ? *mtu : 0;
    i->raw_flags = info->ifi_flags;
    r = set_text(&i->device, nl_text(a[IFLA_IFNAME]));
    if (r == 0)
        r = set_text(&i->name, nl_text(a[IFLA_IFNAME]));
    return r == 0 ? set_text(&i->hw_addr, text) : r;
}

static int add_address(const struct nlmsghdr *h, void *ctx)
{
    struct link_list *l = ctx;
    const struct rtattr *a[IFA_MAX + 1];
    const struct ifaddrmsg *m = NLMSG_DATA(h);
    size_t at = 0;
    if (h->nlmsg_type != RTM_NEWADDR || (m->ifa_family != AF_INET && m->ifa_family != AF_INET6))
        return 0;
    while (at < l->to->n_interfaces && l->index[at] != (int)m->ifa_index)
        at++;
    if (at == l->to->n_interfaces)
        return 0;
    nl_attributes(h, sizeof(*m), a, IFA_MAX);
    Types__Interface *i = l->to->interfaces[at];
    Types__IPAddress *ip = malloc(sizeof(*ip));
    if (!ip)
        return -ENOMEM;
    types__ipaddress__init(ip);
    int r = append((void ***)&i->ip_addresses, &i->n_ip_addresses, ip);
    if (r < 0) {
        free(ip);
        return r;
    }
    char mask[8];
    snprintf(mask, sizeof(mask), "%u", m->ifa_prefixlen);
    ip->family = m->ifa_family == AF_INET ? TYPES__IPFAMILY__v4 : TYPES__IPFAMILY__v6;
    r = set_text(&ip->mask, mask);
    return r < 0 ? r : set_address(&ip->address, m->ifa_family, a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS], -1);
}

int net_list_interfaces(Agent__Interfaces *ret, struct agent_err *err)
{
    struct nl_request q;
    struct ifinfomsg links = {.ifi_family = AF_UNSPEC};
    struct ifaddrmsg addrs = {.ifa_family = AF_UNSPEC};
    vcs_autofree struct link_list *l = malloc(sizeof(*l));
    if (!l)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    l->to = ret;
    nl_start(&q, RTM_GETLINK, 0, &links, sizeof(links));
    int r = nl_dump(&q, add_link, l);
    if (r == 0) {
        nl_start(&q, RTM_GETADDR, 0, &addrs, sizeof(addrs));
        r = nl_dump(&q, add_address, l);
    }
    return r < 0 ? agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "the links cannot be listed") : 0;
}

/* ---- routes ---- */

static int add_route(const struct nlmsghdr *h, void *ctx)
{
    Agent__Routes *to = ctx;
    const struct rtattr *a[RTA_MAX + 1];
    const struct rtmsg *m = NLMSG_DATA(h);
    if (h->nlmsg_type != RTM_NEWROUTE || m->rtm_table != RT_TABLE_MAIN || m->rtm_type != RTN_UNICAST ||
        m->rtm_flags & RTM_F_CLONED || (m->rtm_family != AF_INET && m->rtm_family != AF_INET6))
        return 0;
    nl_attributes(h, sizeof(*m), a, RTA_MAX);
    char name[IF_NAMESIZE] = "";
    const uint32_t *index = nl_data(a[RTA_OIF], sizeof(*index));
    if (index && (!if_indextoname(*index, name) || strcmp(name, "lo") == 0))
        return 0;
    Types__Route *route = malloc(sizeof(*route));
    if (!route)
        return -ENOMEM;
    types__route__init(route);
    int r = append((void ***)&to->routes, &to->n_routes, route);
    if (r < 0) {
        free(route);
        return r;
    }
    route->scope = m->rtm_scope;
    route->flags = m->rtm_flags;
    route->family = m->rtm_family == AF_INET ? TYPES__IPFAMILY__v4 : TYPES__IPFAMILY__v6;
    r = set_text(&route->device, name);
    if (r == 0)
        r = set_address(&route->dest, m->rtm_family, a[RTA_DST], m->rtm_dst_len);
    if (r == 0)
        r = set_address(&route->gateway, m->rtm_family, a[RTA_GATEWAY], -1);
    return r == 0 ? set_address(&route->source, m->rtm_family, a[RTA_PREFSRC], -1) : r;
}

int net_list_routes(Agent__Routes *ret, struct agent_err *err)
{
    struct nl_request q;
    struct rtmsg m = {.rtm_family = AF_UNSPEC};
    nl_start(&q, RTM_GETROUTE, 0, &m, sizeof(m));
    int r = nl_dump(&q, add_route, ret);
    return r < 0 ? agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "the routes cannot be listed") : 0;
}

/* ---- counters ---- */

static int add_stats(const struct nlmsghdr *h, void *ctx)
{
    Agent__StatsContainerResponse *to = ctx;
    const struct rtattr *a[IFLA_MAX + 1];
    const struct ifinfomsg *info = NLMSG_DATA(h);
    struct rtnl_link_stats64 c;
    if (h->nlmsg_type != RTM_NEWLINK || info->ifi_flags & IFF_LOOPBACK)
        return 0;
    nl_attributes(h, sizeof(*info), a, IFLA_MAX);
    /* Newer kernels append counters to the structure; the ones used here are at its start. */
    size_t used = offsetof(struct rtnl_link_stats64, multicast);
    const void *bytes = nl_data(a[IFLA_STATS64], used);
    if (!bytes)
        return 0;
    memset(&c, 0, sizeof(c));
    memcpy(&c, bytes, used);
    Agent__NetworkStats *s = malloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    agent__network_stats__init(s);
    int r = append((void ***)&to->network_stats, &to->n_network_stats, s);
    if (r < 0) {
        free(s);
        return r;
    }
    s->rx_bytes = c.rx_bytes;
    s->rx_packets = c.rx_packets;
    s->rx_errors = c.rx_errors;
    s->rx_dropped = c.rx_dropped;
    s->tx_bytes = c.tx_bytes;
    s->tx_packets = c.tx_packets;
    s->tx_errors = c.tx_errors;
    s->tx_dropped = c.tx_dropped;
    return set_text(&s->name, nl_text(a[IFLA_IFNAME]));
}

int net_stats(Agent__StatsContainerResponse *ret, struct agent_err *err)
{
    struct nl_request q;
    struct ifinfomsg info = {.ifi_family = AF_UNSPEC};
    nl_start(&q, RTM_GETLINK, 0, &info, sizeof(info));
    int r = nl_dump(&q, add_stats, ret);
    return r < 0 ? agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "the counters of the links cannot be read") : 0;
}
