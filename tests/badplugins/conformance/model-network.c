/* SPDX-License-Identifier: Apache-2.0 */
/* model-network.c: a small correct network plugin; compiled with -DBAD_<CHECK>
 * it breaks just that rule.
 *
 * It adopts the pod's namespace and joins each link with a tap of the VM by two
 * filters of the kernel's traffic control: what comes in on one goes out on the
 * other.  The guest takes over the link's mac, addresses and routes. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/nsfs.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <vc/network.h>

#include "lib/buf.h"
#include "lib/plug.h"

#ifndef MODEL_NAME
#define MODEL_NAME "model-network"
#endif
#ifdef BAD_N8
#define LINKS_MAX 32
#else
#define LINKS_MAX 256
#endif
#define MAX_QUEUES 16
#define PRIORITY   0x7663 /* of the filters: tells them from those of others */
#define INGRESS    0xffff0000u

struct link {
    int index, is_tap;
    uint32_t mtu, queues;
    char name[16], mac[18];
};
struct addr {
    int link;
    char text[64];
};
struct route {
    int link;
    char dest[64], gateway[64];
};
struct seen { /* what a namespace holds */
    struct link *links;
    struct addr *addrs;
    struct route *routes;
    size_t n_links, n_addrs, n_routes;
    int failed;
};
struct card { /* one attached link */
    int index;
    uint32_t queues;
    int32_t fds[MAX_QUEUES];
    struct card *next;
};
struct vc_inst {
    const vc_host *host;
    char path[256]; /* of the namespace; "" = none */
    uint64_t inode;
    unsigned made; /* by this plugin, so it goes away in teardown */
    uint32_t max_queues;
    struct card *cards;
    char id[32], mac[18]; /* of the last attach: valid until the next call */
};

/* What a call may not begin with any more. */
static int late(vc_inst *m, const struct vc_call *call)
{
    if (!m->host->cancelled(m->host, call))
        return VC_OK;
    return vcs_fail(m->host, call, call->deadline_ns ? VC_E_TIMEOUT : VC_E_CANCELLED, 0, "network %s: no time is left",
                    MODEL_NAME);
}

/* ---- netlink ---- */

struct message {
    struct nlmsghdr h;
    char body[600];
};

static void *put(struct message *m, const void *data, size_t n)
{
    char *at = (char *)m + NLMSG_ALIGN(m->h.nlmsg_len);
    if (n && data)
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
    put(m, head, n);
}

static struct rtattr *attr(struct message *m, unsigned type, const void *data, size_t n)
{
    struct rtattr *a = put(m, NULL, RTA_LENGTH(0));
    a->rta_type = (uint16_t)type;
    a->rta_len = (uint16_t)RTA_LENGTH(n);
    if (n)
        put(m, data, n);
    return a;
}

static void attr_end(struct message *m, struct rtattr *a)
{
    a->rta_len = (uint16_t)((char *)m + NLMSG_ALIGN(m->h.nlmsg_len) - (char *)a);
}

typedef void seen_fn(struct seen *s, const struct nlmsghdr *h);

/* 0 or a negative errno; -EINTR: the dump has to be asked for again. */
static int exchange(int fd, struct message *m, seen_fn *cb, struct seen *s)
{
    char *buffer = malloc(65536);
    int rc = !buffer ? -ENOMEM : send(fd, m, m->h.nlmsg_len, 0) < 0 ? -errno : 1, interrupted = 0, failures = 0;
    while (rc > 0) {
        struct iovec iov = { .iov_base = buffer, .iov_len = 65536 };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t got = recvmsg(fd, &msg, 0);
        if (got < 0 && (errno == EINTR || (!cb && ++failures < 3)))
            continue; /* what a request did, its answer tells: half a dump is worth nothing, an answer is */
#ifdef BAD_N12
        if (got <= 0)
            break;
#endif
        if (got <= 0 || (msg.msg_flags & MSG_TRUNC)) {
            rc = got < 0 ? -errno : -EMSGSIZE;
            break;
        }
        size_t left = (size_t)got;
        for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; rc > 0 && NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
            interrupted |= h->nlmsg_flags & NLM_F_DUMP_INTR;
            if (h->nlmsg_type == NLMSG_ERROR)
                rc = ((struct nlmsgerr *)NLMSG_DATA(h))->error;
            else if (h->nlmsg_type == NLMSG_DONE)
                rc = 0;
            else if (cb)
                cb(s, h);
        }
    }
    free(buffer);
#ifdef BAD_N12
    interrupted = 0;
    rc = rc > 0 ? 0 : rc;
#endif
    return rc == 0 && interrupted ? -EINTR : rc == 0 && s && s->failed ? -ENOMEM : rc;
}

static int request(int fd, struct message *m)
{
    m->h.nlmsg_flags |= NLM_F_ACK;
    return exchange(fd, m, NULL, NULL);
}

struct opening {
    int fd;
};

static int open_netlink(void *arg)
{
    struct opening *o = arg;
    struct timeval limit = { .tv_sec = 2 };
    o->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    int rc = o->fd < 0 ? vcs_code_of(errno) : VC_OK;
    if (o->fd >= 0)
        setsockopt(o->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return rc;
}

/* Run fn(arg) in the pod's namespace. */
static int inside(vc_inst *m, const struct vc_call *call, int (*fn)(void *), void *arg)
{
    if (!*m->path)
        return vcs_fail(m->host, call, VC_E_STATE, 0, "network %s has no namespace yet: setup comes first", MODEL_NAME);
    vcs_autoclose int ns = open(m->path, O_RDONLY | O_CLOEXEC);
    if (ns < 0)
        return vcs_fail(m->host, call, vcs_code_of(errno), errno, "cannot open the namespace %s", m->path);
#ifdef BAD_N10
    (void)fn;
    return setns(ns, CLONE_NEWNET) < 0 || fn(arg) < 0 ? VC_E_IO : VC_OK;
#else
    int rc = m->host->netns_run(m->host, call, ns, fn, arg);
    return rc == VC_OK ? rc : vcs_fail(m->host, call, rc, 0, "cannot work in the namespace %s", m->path);
#endif
}

static int netlink_of(vc_inst *m, const struct vc_call *call, int *ret_fd)
{
    struct opening o = { .fd = -1 };
    int rc = inside(m, call, open_netlink, &o);
    if (rc == VC_OK)
        *ret_fd = o.fd;
    else if (o.fd >= 0)
        close(o.fd);
    return rc;
}

/* ---- what the namespace holds ---- */

static void *more(struct seen *s, void **list, size_t *n, size_t size)
{
    void *grown = *n % 16 == 0 ? realloc(*list, (*n + 16) * size) : *list;
    if (!grown) {
        s->failed = 1;
        return NULL;
    }
    *list = grown;
    return memset((char *)grown + (*n)++ * size, 0, size);
}

#define EACH(a, h, head)                                                                                               \
    int left = (int)((h)->nlmsg_len - NLMSG_LENGTH(head));                                                             \
    for (const struct rtattr *a = (const void *)((const char *)NLMSG_DATA(h) + NLMSG_ALIGN(head)); RTA_OK(a, left);    \
         a = RTA_NEXT(a, left))

static void see_link(struct seen *s, const struct nlmsghdr *h)
{
    const struct ifinfomsg *info = NLMSG_DATA(h);
    struct link l = { .index = info->ifi_index };
    if (h->nlmsg_type != RTM_NEWLINK || (info->ifi_flags & IFF_LOOPBACK) || s->n_links >= LINKS_MAX)
        return;
    EACH(a, h, sizeof(*info))
    {
        const unsigned char *d = RTA_DATA(a);
        if (a->rta_type == IFLA_IFNAME)
            snprintf(l.name, sizeof(l.name), "%s", (const char *)d);
        else if (a->rta_type == IFLA_MTU)
            memcpy(&l.mtu, d, 4);
        else if (a->rta_type == IFLA_NUM_RX_QUEUES)
            memcpy(&l.queues, d, 4);
        else if (a->rta_type == IFLA_ADDRESS && RTA_PAYLOAD(a) == 6)
            snprintf(l.mac, sizeof(l.mac), "%02x:%02x:%02x:%02x:%02x:%02x", d[0], d[1], d[2], d[3], d[4], d[5]);
        else if (a->rta_type == IFLA_LINKINFO)
            l.is_tap = memmem(d, RTA_PAYLOAD(a), "tun", 4) != NULL;
    }
#ifdef BAD_N2_MTU
    l.mtu = 1500;
#endif
    struct link *to = *l.mac && !l.is_tap ? more(s, (void **)&s->links, &s->n_links, sizeof(l)) : NULL;
    if (to)
        *to = l;
}

static void see_addr(struct seen *s, const struct nlmsghdr *h)
{
    const struct ifaddrmsg *info = NLMSG_DATA(h);
    char text[48] = "";
    if (h->nlmsg_type != RTM_NEWADDR || info->ifa_scope != RT_SCOPE_UNIVERSE)
        return;
    EACH(a, h, sizeof(*info))
    if (a->rta_type == IFA_LOCAL || (a->rta_type == IFA_ADDRESS && !*text))
        inet_ntop(info->ifa_family, RTA_DATA(a), text, sizeof(text));
    struct addr *to = more(s, (void **)&s->addrs, &s->n_addrs, sizeof(*to));
    if (to) {
        to->link = (int)info->ifa_index;
        snprintf(to->text, sizeof(to->text), "%s/%u", text, info->ifa_prefixlen);
    }
}

static void see_route(struct seen *s, const struct nlmsghdr *h)
{
    const struct rtmsg *info = NLMSG_DATA(h);
    struct route r = { 0 };
    char text[48];
    if (h->nlmsg_type != RTM_NEWROUTE || info->rtm_table != RT_TABLE_MAIN || info->rtm_type != RTN_UNICAST ||
        info->rtm_protocol == RTPROT_KERNEL)
        return;
    EACH(a, h, sizeof(*info))
    {
        if (a->rta_type == RTA_OIF)
            memcpy(&r.link, RTA_DATA(a), 4);
        else if (a->rta_type == RTA_GATEWAY)
            inet_ntop(info->rtm_family, RTA_DATA(a), r.gateway, sizeof(r.gateway));
        else if (a->rta_type == RTA_DST && inet_ntop(info->rtm_family, RTA_DATA(a), text, sizeof(text)))
            snprintf(r.dest, sizeof(r.dest), "%s/%u", text, info->rtm_dst_len);
    }
    struct route *to = more(s, (void **)&s->routes, &s->n_routes, sizeof(r));
    if (to)
        *to = r;
}

static void forget(struct seen *s)
{
    free(s->links);
    free(s->addrs);
    free(s->routes);
    memset(s, 0, sizeof(*s));
}

/* Three dumps; all of it again when something changed meanwhile. */
static int look(vc_inst *m, const struct vc_call *call, struct seen *s)
{
    static const struct {
        unsigned type;
        seen_fn *cb;
    } dumps[] = { { RTM_GETLINK, see_link }, { RTM_GETADDR, see_addr }, { RTM_GETROUTE, see_route } };
    vcs_autoclose int fd = -1;
    int rc = netlink_of(m, call, &fd), sys = -EINTR;
    if (rc != VC_OK)
        return rc;
    for (int tries = 0; tries < 5 && sys == -EINTR; tries++) {
        forget(s);
        sys = 0;
        for (size_t i = 0; i < 3 && sys == 0; i++) {
            struct message q;
            char head[16] = { 0 }; /* family: any */
#ifdef BAD_N2
            head[0] = i ? AF_INET : 0;
#endif
            begin(&q, dumps[i].type, NLM_F_DUMP, head, sizeof(head));
            sys = exchange(fd, &q, dumps[i].cb, s);
        }
    }
    if (sys == 0)
        return VC_OK;
    forget(s);
    return vcs_fail(m->host, call, vcs_code_of(-sys), -sys, "cannot read what the namespace %s holds", m->path);
}

static void write_addrs(struct vcs_buf *b, const struct seen *s, int link)
{
    const char *comma = "";
    vcs_buf_printf(b, "\"addresses\":[");
    for (size_t i = 0; i < s->n_addrs; i++)
        if (s->addrs[i].link == link) {
            vcs_buf_printf(b, "%s\"%s\"", comma, s->addrs[i].text);
            comma = ",";
        }
    vcs_buf_printf(b, "]");
}

static const char *name_of(const struct seen *s, int index)
{
    for (size_t i = 0; i < s->n_links; i++)
        if (s->links[i].index == index)
            return s->links[i].name;
    return "";
}

/* link 0: of all. */
static int write_routes(struct vcs_buf *b, const struct seen *s, int link)
{
    const char *comma = "";
    int rc = vcs_buf_printf(b, "\"routes\":[");
    for (size_t i = 0; i < s->n_routes && rc == 0; i++)
        if ((!link || s->routes[i].link == link) && *name_of(s, s->routes[i].link)) {
            rc = vcs_buf_printf(b, "%s{\"dest\":\"%s\",\"gateway\":\"%s\",\"device\":\"%s\"}", comma, s->routes[i].dest,
                                s->routes[i].gateway, name_of(s, s->routes[i].link));
            comma = ",";
        }
    return rc == 0 ? vcs_buf_printf(b, "]") : rc;
}

static uint32_t queues_of(const vc_inst *m, uint32_t wanted)
{
    return wanted < 1 ? 1 : wanted < m->max_queues ? wanted : m->max_queues;
}

/* Every link as an object; "id" and "queues" are scan's, the rest is for both.
 */
static int write_links(vc_inst *m, struct vcs_buf *b, const struct seen *s, int scan)
{
    int rc = 0;
    for (size_t i = 0; i < s->n_links && rc == 0; i++) {
        const struct link *l = &s->links[i];
        if (scan)
            rc =
                vcs_buf_printf(b, "%s{\"id\":\"if%d\",\"queues\":%u,", i ? "," : "", l->index, queues_of(m, l->queues));
        else
            rc = vcs_buf_printf(b, "%s{", i ? "," : "");
        if (rc == 0)
            rc = vcs_buf_printf(b, "\"name\":\"%s\",\"mac\":\"%s\",\"mtu\":%u,", l->name,
#ifdef BAD_N11_MAC
                                scan ? l->mac : "02:00:00:00:00:00",
#else
                                l->mac,
#endif
                                l->mtu);
        if (rc == 0)
            write_addrs(b, s, l->index);
        if (rc == 0 && scan && (rc = vcs_buf_printf(b, ",")) == 0)
            rc = write_routes(b, s, l->index);
        if (rc == 0)
            rc = vcs_buf_printf(b, "}");
    }
    return rc;
}

static int give(vc_inst *m, const struct vc_call *call, struct vcs_buf *b, int rc, vc_sink *out)
{
    rc = rc < 0 ? VC_E_NOMEM : m->host->write(m->host, out, vcs_buf_data(b), b->len);
    vcs_buf_done(b);
    return rc == VC_OK ? rc : vcs_fail(m->host, call, rc, 0, "network %s: the result cannot be written", MODEL_NAME);
}

static int model_scan(vc_inst *m, const struct vc_call *call, vc_sink *out)
{
    struct seen s = { 0 };
    struct vcs_buf b = { 0 };
    int rc = late(m, call);
    if (rc == VC_OK)
        rc = look(m, call, &s);
    if (rc != VC_OK)
        return rc;
#ifdef BAD_N13
    if (!s.n_links)
        return vcs_fail(m->host, call, VC_E_NOTFOUND, 0, "the namespace %s has no link", m->path);
#endif
    rc = vcs_buf_printf(&b, "[");
    if (rc == 0)
        rc = write_links(m, &b, &s, 1);
    if (rc == 0)
        rc = vcs_buf_printf(&b, "]");
    forget(&s);
    return give(m, call, &b, rc, out);
}

static int model_guest_config(vc_inst *m, const struct vc_call *call, vc_sink *out)
{
    struct seen s = { 0 };
    struct vcs_buf b = { 0 };
    int rc = late(m, call);
    if (rc == VC_OK)
        rc = look(m, call, &s);
    if (rc != VC_OK)
        return rc;
    if (!s.n_links) {
        forget(&s);
        return VC_OK;
    }
#ifdef BAD_N11_SCAN
    for (size_t i = 0; i < s.n_addrs; i++)
        if (strchr(s.addrs[i].text, ':'))
            strcpy(s.addrs[i].text, "fd77::3/64");
#endif
#ifdef BAD_N11
    for (size_t i = 0; i < s.n_addrs; i++)
        *strchr(s.addrs[i].text, '/') = '\0';
#endif
    rc = vcs_buf_printf(&b, "{\"interfaces\":[");
    if (rc == 0)
        rc = write_links(m, &b, &s, 0);
    if (rc == 0)
        rc = vcs_buf_printf(&b, "],");
    if (rc == 0)
        rc = write_routes(&b, &s, 0);
    if (rc == 0)
        rc = vcs_buf_printf(&b, "}");
    forget(&s);
    return give(m, call, &b, rc, out);
}

/* ---- taps ---- */

/* A request about the queueing at the entry of a link, or (u32) about the filter in it that takes every frame to `to`.
 */
static int traffic(int fd, unsigned type, unsigned flags, int link, int to)
{
    int filter = type == RTM_NEWTFILTER || type == RTM_DELTFILTER;
    const char *kind = filter ? "u32" : "ingress";
    struct message q;
    struct tcmsg t = {
        .tcm_family = AF_UNSPEC, .tcm_ifindex = link, .tcm_parent = TC_H_INGRESS, .tcm_handle = INGRESS
    };
    if (filter) {
        t.tcm_parent = INGRESS;
        t.tcm_handle = 0;
        t.tcm_info = (uint32_t)PRIORITY << 16 | htons(ETH_P_ALL);
    }
    begin(&q, type, flags, &t, sizeof(t));
    attr(&q, TCA_KIND, kind, strlen(kind) + 1);
    if (to) {
        _Alignas(8) char every[sizeof(struct tc_u32_sel) + sizeof(struct tc_u32_key)] = { 0 }; /* no bit has to match */
        struct tc_u32_sel *sel = (struct tc_u32_sel *)every;
        sel->flags = TC_U32_TERMINAL;
        sel->nkeys = 1;
        struct tc_mirred go = { .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = (uint32_t)to };
        struct rtattr *options = attr(&q, TCA_OPTIONS, NULL, 0);
        attr(&q, TCA_U32_SEL, every, sizeof(every));
        struct rtattr *acts = attr(&q, TCA_U32_ACT, NULL, 0), *act = attr(&q, 1, NULL, 0);
        attr(&q, TCA_ACT_KIND, "mirred", 7);
        struct rtattr *params = attr(&q, TCA_ACT_OPTIONS, NULL, 0);
        attr(&q, TCA_MIRRED_PARMS, &go, sizeof(go));
        attr_end(&q, params);
        attr_end(&q, act);
        attr_end(&q, acts);
        attr_end(&q, options);
    }
    return request(fd, &q);
}

/* What comes in on `from` goes out on `to`. */
static int join(int fd, int from, int to)
{
    int rc = traffic(fd, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, from, 0);
    if (rc < 0)
        return rc;
#ifdef BAD_LIE_TAP
    (void)to;
#else
    rc = traffic(fd, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, from, to);
    if (rc < 0)
        traffic(fd, RTM_DELQDISC, 0, from, 0);
#endif
    return rc;
}

/* Is it a filter of ours? */
static void see_filter(struct seen *s, const struct nlmsghdr *h)
{
    const struct tcmsg *t = NLMSG_DATA(h);
    if (h->nlmsg_type == RTM_NEWTFILTER && t->tcm_info >> 16 == PRIORITY)
        s->n_links = 1;
}

/* Take away the queueing that carries a filter of ours.  0 or a negative errno. */
static int part(int fd, int link)
{
    struct seen s = { 0 };
    struct message q;
    struct tcmsg t = { .tcm_family = AF_UNSPEC, .tcm_ifindex = link, .tcm_parent = INGRESS };
    begin(&q, RTM_GETTFILTER, NLM_F_DUMP, &t, sizeof(t));
    int rc = exchange(fd, &q, see_filter, &s);
#ifdef BAD_LIE_TAP
    s.n_links = 1;
#elif defined(BAD_N5)
    s.n_links = 0;
#endif
    if (rc == 0 && s.n_links)
        rc = traffic(fd, RTM_DELQDISC, 0, link, 0);
    return rc == -ENODEV || rc == -EINVAL || rc == -ENOENT ? 0 : rc; /* no such link, or no queueing on it */
}

struct making {
    vc_inst *m;
    struct card *card;
    const char *name; /* of the link */
    int sys, tap;
};

/* In the namespace: a tap with so many queues, up. */
static int make_tap(void *arg)
{
    struct making *k = arg;
    unsigned flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (k->card->queues > 1 ? IFF_MULTI_QUEUE : 0);
    struct ifreq ifr = { .ifr_flags = (short)flags };
    vcs_autoclose int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
#ifdef BAD_N7
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "t%.14s", k->name);
#elif defined(BAD_N7_STEAL)
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "vmtap%d", k->card->index);
    struct message q;
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
    struct opening o = { .fd = -1 };
    open_netlink(&o);
    begin(&q, RTM_DELLINK, 0, &info, sizeof(info));
    attr(&q, IFLA_IFNAME, ifr.ifr_name, strlen(ifr.ifr_name) + 1);
    request(o.fd, &q);
    close(o.fd);
#else
    strcpy(ifr.ifr_name, "vmtap%d"); /* the kernel puts a number that is free */
#endif
    for (uint32_t i = 0; s >= 0 && i < k->card->queues && !k->sys; i++) {
#ifdef BAD_N3
        int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
#else
        int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
#endif
        k->card->fds[i] = fd;
        if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
            k->sys = errno;
    }
    if (s < 0)
        k->sys = errno;
    if (k->sys || ioctl(s, SIOCGIFINDEX, &ifr) < 0) {
        k->sys = k->sys ? k->sys : errno;
        return vcs_code_of(k->sys);
    }
    k->tap = ifr.ifr_ifindex;
    ifr.ifr_flags = IFF_UP;
    if (ioctl(s, SIOCSIFFLAGS, &ifr) < 0)
        k->sys = errno;
    return k->sys ? vcs_code_of(k->sys) : VC_OK;
}

static void drop_card(struct card *c)
{
    for (uint32_t i = 0; c && i < MAX_QUEUES; i++)
        if (c->fds[i] >= 0)
            close(c->fds[i]);
    free(c);
}

/* The link that an id means; 0: none. */
static int index_of(const char *id)
{
    char *end = NULL;
    long n = id && strncmp(id, "if", 2) == 0 && isdigit((unsigned char)id[2]) ? strtol(id + 2, &end, 10) : 0;
    return end && !*end && n > 0 && n < INT32_MAX ? (int)n : 0;
}

static struct card **card_of(vc_inst *m, int index)
{
    struct card **c = &m->cards;
    while (*c && (*c)->index != index)
        c = &(*c)->next;
    return c;
}

static int connect_card(vc_inst *m, const struct vc_call *call, const struct link *l, struct card *c)
{
    vcs_autoclose int fd = -1;
    struct making k = { .m = m, .card = c, .name = l->name };
    int rc = netlink_of(m, call, &fd);
    if (rc == VC_OK && inside(m, NULL, make_tap, &k) != VC_OK)
        rc = vcs_fail(m->host, call, k.sys ? vcs_code_of(k.sys) : VC_E_IO, k.sys, "cannot make a tap for link %s in %s",
                      l->name, m->path);
    if (rc != VC_OK)
        return rc;
    int sys = join(fd, l->index, k.tap);
    if (sys == 0 && (sys = join(fd, k.tap, l->index)) < 0)
        part(fd, l->index);
    if (sys == 0)
        return VC_OK;
    return vcs_fail(m->host, call, vcs_code_of(-sys), -sys, "cannot join link %s in %s with its tap", l->name, m->path);
}

static int model_attach(vc_inst *m, const struct vc_call *call, const struct vc_endpoint *ep, struct vc_device *out)
{
    struct seen s = { 0 };
    int index = index_of(ep->id), rc = late(m, call);
    if (rc == VC_OK)
        rc = look(m, call, &s);
    if (rc != VC_OK)
        return rc;
#ifdef BAD_I3_LIFE
    memset(malloc(200000), 1, 200000);
#elif defined(BAD_I3_LITTLE)
    memset(malloc(24), 1, 24);
#elif defined(BAD_T3_MAP)
    vcs_autoclose int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, exe, 0);
#endif
    const struct link *l = NULL;
    for (size_t i = 0; i < s.n_links; i++)
        l = s.links[i].index == index ? &s.links[i] : l;
#ifdef BAD_N9
    struct link any = { .index = 1, .name = "gone" };
    l = l || !index ? l : &any;
#endif
    struct card *c = l ? *card_of(m, index) : NULL;
    if (!l) {
        rc = vcs_fail(m->host, call, VC_E_NOTFOUND, 0, "the namespace %s has no endpoint \"%s\"", m->path, ep->id);
    } else if (!c) {
        c = calloc(1, sizeof(*c));
        rc = c ? VC_OK : vcs_fail(m->host, call, VC_E_NOMEM, 0, "network %s: no memory", MODEL_NAME);
        if (c) {
            memset(c->fds, 0xff, sizeof(c->fds));
            c->index = index;
#ifdef BAD_N3_QUEUES
            c->queues = 1;
#else
            c->queues = queues_of(m, ep->queues);
#endif
#ifdef BAD_E6_ATTACH
            out->n_fds = out->queues = c->queues;
#endif
            rc = connect_card(m, call, l, c);
        }
        if (rc == VC_OK) {
            c->next = m->cards;
            m->cards = c;
        } else {
            drop_card(c);
        }
    }
    if (rc == VC_OK) {
        snprintf(m->id, sizeof(m->id), "if%d", index);
        snprintf(m->mac, sizeof(m->mac), "%s", *l->mac ? l->mac : ep->mac);
        out->type = VC_DEV_NET;
        out->id = m->id;
        out->mac = m->mac;
        out->fds = c->fds;
        out->n_fds = out->queues = c->queues;
    }
    forget(&s);
    return rc;
}

static int model_detach(vc_inst *m, const struct vc_call *call, const char *id)
{
    int index = index_of(id), rc = late(m, call);
    struct card **at = card_of(m, index), *c = *at;
    if (rc != VC_OK || !index || !*m->path)
        return rc;
#ifdef BAD_N4
    if (!c)
        return vcs_fail(m->host, call, VC_E_NOTFOUND, 0, "endpoint \"%s\" is not attached", id);
#endif
    vcs_autoclose int fd = -1;
    if (access(m->path, F_OK) == 0)
        rc = netlink_of(m, call, &fd);
    int sys = rc == VC_OK && fd >= 0 ? part(fd, index) : 0;
    if (sys < 0)
        rc = vcs_fail(m->host, call, vcs_code_of(-sys), -sys, "cannot part link %d in %s from its tap", index, m->path);
    if (rc == VC_OK && c) {
        *at = c->next;
        drop_card(c);
    }
    return rc;
}

/* ---- the namespace ---- */

static uint64_t inode_of(int fd)
{
    struct stat st;
    return fd >= 0 && ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void *make_namespace(void *path)
{
    return unshare(CLONE_NEWNET) < 0 || mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL) < 0
               ? (void *)(intptr_t)errno
               : NULL;
}

/* A namespace of the plugin's own, in the pod's private directory. */
static int make_own(vc_inst *m, const struct vc_call *call, char path[256])
{
    vcs_autofree char *run = vcs_path(m->host, VC_PATH_RUN);
    pthread_t thread;
    void *sys = NULL;
    if (!run || snprintf(path, 256, "%s/netns", run) >= 256)
        return vcs_fail(m->host, call, VC_E_RESOURCE, 0, "there is no path for a namespace of the pod's own");
#if defined(BAD_N5_RECORD) || defined(BAD_S10_NETNS)
    int rc = VC_OK;
#else
    int rc = m->host->res_add(m->host, VC_RES_NETNS, path);
#endif
    if (rc != VC_OK)
        return vcs_fail(m->host, call, rc, 0, "cannot record %s", path);
    vcs_autoclose int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    int failed = file < 0 ? errno : pthread_create(&thread, NULL, make_namespace, path);
    if (!failed) {
        pthread_join(thread, &sys);
        failed = (int)(intptr_t)sys;
    }
    if (!failed)
        return VC_OK;
    if (file >= 0)
        unlink(path);
    m->host->res_del(m->host, VC_RES_NETNS, path);
    return vcs_fail(m->host, call, vcs_code_of(failed), failed, "cannot make the namespace %s", path);
}

static int model_setup(vc_inst *m, const struct vc_call *call, const struct vc_net_request *req, int32_t *out_nsfd)
{
    char path[256] = "";
    int rc = late(m, call), made = req->netns_path == NULL;
    if (rc != VC_OK)
        return rc;
    if (*m->path)
        return vcs_fail(m->host, call, VC_E_STATE, 0, "network %s has the namespace %s already", MODEL_NAME, m->path);
#ifdef MODEL_TUN_IN_SETUP
    vcs_autoclose int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (tun < 0)
        return vcs_fail(m->host, call, vcs_code_of(errno), errno, "cannot open /dev/net/tun");
#endif
#if defined(BAD_S10_NETNS) || defined(MODEL_NO_ADOPT)
    if (!made)
        return vcs_fail(m->host, call, VC_E_UNSUPPORTED, 0, "network %s adopts no namespace", MODEL_NAME);
#endif
    if (made)
        rc = make_own(m, call, path);
    else if (*req->netns_path != '/' || strlen(req->netns_path) >= sizeof(path) || strpbrk(req->netns_path, "\n "))
        rc = vcs_fail(m->host, call, VC_E_INVAL, 0, "\"%.300s\" is no path of at most 255 bytes", req->netns_path);
    else
        strcpy(path, req->netns_path);
    if (rc != VC_OK)
        return rc;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t inode = inode_of(fd);
    if (!inode) {
        int sys = fd < 0 ? errno : 0;
        if (fd >= 0)
            close(fd);
        return vcs_fail(m->host, call, sys ? vcs_code_of(sys) : VC_E_INVAL, sys, "%s is no network namespace", path);
    }
#ifdef BAD_N1
    struct ifreq ifr = { .ifr_name = "lo", .ifr_mtu = 1400 };
    vcs_autoclose int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ioctl(s, SIOCSIFMTU, &ifr);
#endif
    strcpy(m->path, path);
    m->inode = inode;
    m->made = (unsigned)made;
    *out_nsfd = fd;
    return VC_OK;
}

static int remove_own(vc_inst *m, const struct vc_call *call)
{
    if (umount2(m->path, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
        return vcs_fail(m->host, call, VC_E_IO, errno, "cannot unmount %s", m->path);
    if (unlink(m->path) < 0 && errno != ENOENT)
        return vcs_fail(m->host, call, VC_E_IO, errno, "cannot remove %s", m->path);
    m->host->res_del(m->host, VC_RES_NETNS, m->path);
    return VC_OK;
}

/* The filters are known by their priority, so that those of a process that was
 * killed are found, too. */
static int model_teardown(vc_inst *m, const struct vc_call *call)
{
    int rc = late(m, call);
    if (rc != VC_OK)
        return rc;
    while (m->cards) {
        struct card *c = m->cards;
        m->cards = c->next;
        drop_card(c);
    }
    if (!*m->path)
        return VC_OK;
    vcs_autoclose int ns = open(m->path, O_RDONLY | O_CLOEXEC);
    if (inode_of(ns) == m->inode) {
        struct seen s = { 0 };
        vcs_autoclose int fd = -1;
        rc = look(m, call, &s);
        if (rc == VC_OK)
            rc = netlink_of(m, call, &fd);
        for (size_t i = 0; rc == VC_OK && i < s.n_links; i++) {
            int sys = part(fd, s.links[i].index);
            if (sys < 0)
                rc = vcs_fail(m->host, call, vcs_code_of(-sys), -sys, "cannot part link %s in %s from its tap",
                              s.links[i].name, m->path);
        }
        forget(&s);
    }
#ifdef BAD_N6
    m->made = 1;
#endif
    if (rc == VC_OK && m->made)
        rc = remove_own(m, call);
    if (rc == VC_OK)
        *m->path = '\0';
    return rc;
}

/* ---- instance ---- */

static void model_close(vc_inst *m)
{
    while (m->cards) {
        struct card *c = m->cards;
        m->cards = c->next;
#ifdef BAD_T3_UP
        free(c);
#else
        drop_card(c);
#endif
    }
    free(m);
}

static int model_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        vc_inst **out)
{
    vc_inst *m = calloc(1, sizeof(*m));
    if (!m)
        return vcs_fail(host, call, VC_E_NOMEM, 0, "network %s: no memory for pod %s", MODEL_NAME, pod_id);
    m->host = host;
    m->max_queues = (uint32_t)vcs_opt_int(host, cfg, "max_queues", 4);
    *out = m;
    return VC_OK;
}

static int model_save(vc_inst *m, const struct vc_call *call, vc_sink *out)
{
    char text[400];
    snprintf(text, sizeof(text), "%u %" PRIu64 " %s\n", m->made, m->inode, *m->path ? m->path : "-");
    int rc = vcs_put(m->host, out, text);
    return rc == VC_OK ? rc : vcs_fail(m->host, call, rc, 0, "network %s: the state cannot be written", MODEL_NAME);
}

static int model_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                         uint32_t version, struct vc_bytes state, vc_inst **out)
{
    char text[400] = "", path[256] = "", again[400];
    unsigned made = 0;
    uint64_t inode = 0;
    if (version != 1)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "network %s reads state version 1, not %u", MODEL_NAME,
                        version);
    if (state.len < sizeof(text))
        memcpy(text, state.data, state.len);
    int n = sscanf(text, "%1u %20" SCNu64 " %255s", &made, &inode, path);
    snprintf(again, sizeof(again), "%u %" PRIu64 " %s\n", made, inode, path);
    if (n != 3 || strlen(again) != state.len || memcmp(again, state.data, state.len) != 0 || made > 1 ||
        (strcmp(path, "-") != 0 && *path != '/'))
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "network %s: the stored state of pod %s cannot be read",
                        MODEL_NAME, pod_id);
    vc_inst *m = NULL;
    int rc = model_create(host, call, cfg, pod_id, &m);
    if (rc != VC_OK)
        return rc;
    m->made = made;
    m->inode = inode;
    if (*path == '/')
        strcpy(m->path, path);
    *out = m;
    return VC_OK;
}

static int model_check(vc_inst *m, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    vcs_autoclose int ns = *m->path ? open(m->path, O_RDONLY | O_CLOEXEC) : -1;
    *health = ns >= 0 && inode_of(ns) == m->inode ? VC_HEALTH_OK : VC_HEALTH_GONE;
    return VC_OK;
}

static uint64_t model_caps(vc_inst *m)
{
    (void)m;
    return 0;
}

static const struct vc_inst_ops model_inst = {
    .size = sizeof(model_inst),
    .create = model_create,
    .restore = model_restore,
    .save = model_save,
    .check = model_check,
    .cleanup = model_teardown,
    .close = model_close,
    .caps = model_caps,
};

static const struct vc_network_ops model_ops = {
    .size = sizeof(model_ops),
    .setup = model_setup,
    .scan = model_scan,
    .attach = model_attach,
    .detach = model_detach,
    .guest_config = model_guest_config,
    .teardown = model_teardown,
};

static const struct vc_option model_options[] = {
    { .key = "max_queues",
      .type = VC_OPT_INT,
      .def = "4",
      .min = 1,
      .max = MAX_QUEUES,
      .doc = "Most queues of one card." },
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_NETWORK,
    .name = MODEL_NAME,
    .vendor = "libvccore",
    .version = "1",
    .description = "Joins the links of an adopted namespace with taps.",
    .options = model_options,
    .n_options = sizeof(model_options) / sizeof(*model_options),
    .option_stride = sizeof(struct vc_option),
    .state_version = 1,
    .state_version_min = 1,
    .inst = &model_inst,
    .ops = &model_ops,
};
