/* SPDX-License-Identifier: Apache-2.0 */
/* kind-network.c: the members of a network plugin, driven in a namespace of their own with a planted link in it. */
#include "conformance/kind-network.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#define ETHERTYPE_TEST 0x88b5 /* set aside for experiments */

/* Does the plugin adopt namespaces?  1 or 0; -1: not known yet. */
static _Atomic int adopts = -1;

static void wrong(struct vct_net *w, const char *fmt, ...) VCS_PRINTF(2, 3);
static void wrong(struct vct_net *w, const char *fmt, ...)
{
    va_list args;
    if (*w->wrong)
        return;
    va_start(args, fmt);
    vsnprintf(w->wrong, sizeof(w->wrong), fmt, args);
    va_end(args);
}

/* ---- the world ---- */

int vct_net_plant(struct vct_pod *pod, const char *name, uint32_t queues)
{
    static _Atomic unsigned count;
    struct vct_net *w = pod->world;
    if (w->n_plants == VCT_NET_PLANTS)
        return -ENOSPC;
    struct vct_plant *p = &w->plants[w->n_plants];
    unsigned n = atomic_fetch_add(&count, 1), pid = (unsigned)getpid();
    snprintf(p->name, sizeof(p->name), "%s", name);
    snprintf(p->peer, sizeof(p->peer), "vct%x.%x", pid & 0xfffff, n & 0xffff);
    snprintf(p->mac, sizeof(p->mac), "02:%02x:%02x:%02x:%02x:%02x", pid >> 8 & 0xff, pid & 0xff, n >> 16 & 0xff,
             n >> 8 & 0xff, n & 0xff);
    struct vct_veth v = {
        .name = p->name, .peer = p->peer, .mac = p->mac, .mtu = VCT_NET_MTU, .queues = queues, .peer_ns = -1
    };
    int rc = vct_nl_veth(w->ns, &v);
    if (rc == 0)
        w->n_plants++;
    return rc;
}

void vct_net_clear(struct vct_pod *pod)
{
    struct vct_net *w = pod->world;
    for (; w->n_plants; w->n_plants--) /* the far end: it is there whatever became of the near one's name */
        vct_nl_del(-1, w->plants[w->n_plants - 1].peer);
}

void vct_net_settled(struct vct_pod *pod)
{
    struct vct_net *w = pod->world;
    vcs_buf_clear(&w->before);
    vcs_buf_clear(&w->outside);
    vct_nl_picture(w->ns, &w->before);
    vct_nl_picture(-1, &w->outside);
}

static int plant_all(struct vct_pod *pod)
{
    struct vct_net *w = pod->world;
    int rc = vct_ns_new(w->path, &w->ns);
    if (rc == 0)
        rc = vct_net_plant(pod, VCT_NET_NAME, 4);
    if (rc == 0)
        rc = vct_nl_addr(w->ns, VCT_NET_NAME, VCT_NET_IP4);
    if (rc == 0)
        rc = vct_nl_route(w->ns, "", VCT_NET_GW4, VCT_NET_NAME);
    if (rc == 0)
        rc = vct_nl_route(w->ns, VCT_NET_DEST4, VCT_NET_GW4, VCT_NET_NAME);
    /* A kernel without IPv6 is fine. */
    if (rc == 0 && vct_nl_addr(w->ns, VCT_NET_NAME, VCT_NET_IP6) == 0)
        rc = vct_nl_route(w->ns, "", VCT_NET_GW6, VCT_NET_NAME);
    if (rc == 0)
        vct_net_settled(pod);
    return rc;
}

static int world_up(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_net *w = calloc(1, sizeof(*w));
    if (!w || asprintf(&w->path, "%s/netns", pod->dir) < 0) {
        free(w);
        snprintf(why, size, "no memory");
        return -1;
    }
    w->ns = w->nsfd = -1;
    w->tun = vct_net_tun();
    pod->world = w;
    int rc = pod->t->own_net ? plant_all(pod) : 0;
    if (rc == 0)
        return 0;
    snprintf(why, size, "a namespace with a veth in it cannot be made here: %s", strerror(-rc));
    return -1;
}

static void world_down(struct vct_pod *pod)
{
    struct vct_net *w = pod->world;
    if (!w)
        return;
    vct_net_clear(pod);
    if (w->ns >= 0) {
        close(w->ns);
        vct_ns_drop(w->path);
    }
    if (w->nsfd >= 0)
        close(w->nsfd);
    vcs_buf_done(&w->before);
    vcs_buf_done(&w->outside);
    vct_json_free(w->scan);
    vct_json_free(w->guest);
    free(w->eps);
    free(w->path);
    free(w);
    pod->world = NULL;
}

int vct_net_ns(const struct vct_pod *pod)
{
    const struct vct_net *w = pod->world;
    return !w ? -1 : w->adopted ? w->ns : w->nsfd;
}

int vct_net_adopts(void)
{
    return atomic_load(&adopts);
}

static int hollow(struct vct_pod *pod)
{
    return (pod->caps & VC_NET_CAP_NONE) != 0;
}

static const char *traces(struct vct_pod *pod)
{
    static _Thread_local char text[1600];
    struct vct_net *w = pod->world;
    struct vcs_buf now = { 0 };
    *text = '\0';
    if (!w || w->ns < 0)
        return text;
    /* What is there and was not before: planted links that a check took away are no trace. */
    if (vct_nl_picture(w->ns, &now) == 0) {
        const char *more = vct_nl_differ(&now, &w->before, 0);
        if (*more)
            snprintf(text, sizeof(text), "in the namespace that was adopted: %s", more);
    }
    vcs_buf_clear(&now);
    if (!*text && pod->t->pods == pod && !pod->next && vct_nl_picture(-1, &now) == 0) {
        const char *more = vct_nl_differ(&now, &w->outside, 0);
        if (*more)
            snprintf(text, sizeof(text), "in the caller's namespace: %s", more);
    }
    vcs_buf_done(&now);
    for (char *sign = text; (sign = strstr(sign, "- ")) != NULL; sign++)
        if (sign == text || sign[-1] == ' ')
            *sign = '+';
    return text;
}

/* The links go, and so does the name of the namespace. */
static int kill_peer(struct vct_pod *pod)
{
    struct vct_net *w = pod->world;
    struct vct_link *links = NULL;
    size_t n = 0;
    int ns = vct_net_ns(pod);
    /* Without namespaces of its own the check deletes nothing: what a broken plugin names may be the machine's. */
    if (!w || ns < 0 || !pod->t->own_net || hollow(pod) || vct_nl_links(ns, &links, &n) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (strcmp(links[i].name, "lo") != 0)
            vct_nl_del(ns, links[i].name);
    free(links);
    if (w->adopted)
        vct_ns_drop(w->path);
    for (size_t i = 0; i < pod->n_res && !w->adopted; i++)
        if (pod->res[i].type == VC_RES_NETNS)
            vct_ns_drop(pod->res[i].name);
    return 0;
}

/* ---- forms ---- */

static int id_ok(const char *id)
{
    size_t n = id ? strlen(id) : 0;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)id[i]) && (i == 0 || !strchr("_.-", id[i])))
            return 0;
    return n > 0 && n <= 31;
}

static int mac_ok(const char *mac)
{
    for (size_t i = 0; mac && i < 17; i++)
        if (i % 3 == 2 ? mac[i] != ':' : !isxdigit((unsigned char)mac[i]))
            return 0;
    return mac && strlen(mac) == 17 && !strchr("13579bBdDfF", mac[1]);
}

/* "10.0.0.2/24", or without the slash when `bare`. */
static int addr_ok(const char *text, int bare)
{
    unsigned char addr[16];
    char copy[64], *end = NULL;
    if (!text || strlen(text) >= sizeof(copy))
        return 0;
    snprintf(copy, sizeof(copy), "%s", text);
    char *slash = strchr(copy, '/');
    if (bare ? slash != NULL : slash == NULL)
        return 0;
    if (slash)
        *slash++ = '\0';
    int family = strchr(copy, ':') ? AF_INET6 : AF_INET;
    long bits = slash ? strtol(slash, &end, 10) : 0;
    return inet_pton(family, copy, addr) == 1 &&
           (!slash || (isdigit((unsigned char)*slash) && !*end && bits <= (family == AF_INET6 ? 128 : 32)));
}

/* A whole number of the object within low..high; -1: it is something else.  -2: it is not there. */
static int64_t whole(const struct vct_json *o, const char *key, int64_t low, int64_t high)
{
    const struct vct_json *v = vct_json_get(o, key);
    if (!v)
        return -2;
    return v->type == VCT_JSON_NUMBER && v->whole && v->number >= low && v->number <= high ? v->number : -1;
}

/* The list `key` of the object: its first member; NULL when it is empty, not there, or wrong (then `wrong` says so). */
static const struct vct_json *list(struct vct_net *w, const struct vct_json *o, const char *key, const char *of)
{
    const struct vct_json *v = vct_json_get(o, key);
    if (v && v->type != VCT_JSON_ARRAY)
        wrong(w, "\"%s\" of %s is %s; an array is right", key, of, vct_json_what(v));
    return v && v->type == VCT_JSON_ARRAY ? v->first : NULL;
}

static void addresses_ok(struct vct_net *w, const struct vct_json *o, const char *of)
{
    for (const struct vct_json *a = list(w, o, "addresses", of); a; a = a->next)
        if (a->type != VCT_JSON_STRING || !addr_ok(a->text, 0))
            wrong(w, "an address of %s is %s%s; text like \"10.0.0.2/24\" is right", of, vct_json_what(a),
                  a->type == VCT_JSON_STRING ? " of another form" : "");
}

static void routes_ok(struct vct_net *w, const struct vct_json *o, const char *of)
{
    for (const struct vct_json *r = list(w, o, "routes", of); r; r = r->next) {
        const char *dest = vct_json_str(r, "dest"), *gateway = vct_json_str(r, "gateway");
        const char *device = vct_json_str(r, "device"), *source = vct_json_str(r, "source");
        if (r->type != VCT_JSON_OBJECT)
            wrong(w, "a route of %s is %s; an object is right", of, vct_json_what(r));
        else if (!dest || (*dest && !addr_ok(dest, 0)))
            wrong(w, "the \"dest\" of a route of %s is no text like \"10.0.0.0/8\", nor \"\" for the default route",
                  of);
        else if (!(gateway && *gateway) && !(device && *device))
            wrong(w, "the route to \"%s\" of %s has neither a \"gateway\" nor a \"device\"", dest, of);
        else if ((gateway && *gateway && !addr_ok(gateway, 1)) || (source && *source && !addr_ok(source, 1)))
            wrong(w, "the route to \"%s\" of %s has a \"gateway\" or \"source\" that is no address", dest, of);
        else if (whole(r, "scope", 0, 255) == -1)
            wrong(w, "the \"scope\" of the route to \"%s\" of %s is no number from 0 to 255", dest, of);
    }
}

/* ---- the members ---- */

int vct_net_setup(struct vct_pod *pod, const struct vc_call *call, const char *path, int32_t *nsfd)
{
    const struct vc_network_ops *ops = vct_kind_ops(pod->t);
    struct vc_net_request req = { .size = sizeof(req), .netns_path = path, .hostname = "conformance" };
    vct_out(pod->t, nsfd, sizeof(*nsfd), 0);
    return VCT(pod->t, ops->setup, pod->inst, call, &req, nsfd);
}

/* Is what setup answered the namespace that was meant? */
static void setup_right(struct vct_pod *pod, int32_t nsfd)
{
    struct vct_net *w = pod->world;
    uint64_t got = vct_ns_id(nsfd);
    if (hollow(pod)) {
        if (nsfd != -1)
            wrong(w, "setup gave descriptor %d, and VC_NET_CAP_NONE says that pods have no network: -1 is right", nsfd);
    } else if (nsfd == -1) {
        if (w->adopted)
            wrong(w, "setup gave no descriptor (-1) of the namespace that it was given");
    } else if (!got) {
        wrong(w, "setup gave descriptor %d, which is of no network namespace", nsfd);
    } else if (w->adopted && got != vct_ns_id(w->ns)) {
        wrong(w, "setup gave a descriptor of another namespace than that of %s", w->path);
    } else if (!w->adopted) {
        vcs_autoclose int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        if (got == vct_ns_id(here))
            wrong(w, "setup was to make a namespace and gave a descriptor of the caller's: -1 says that pods use it");
    }
}

/* Where no tap can be made, a plugin may find out in setup or in attach. */
static void skip_without_tun(struct vct_pod *pod, int rc)
{
    int tun = vct_net_tun();
    if (tun < 0 && rc != VC_OK && rc != VC_E_STATE && rc != VC_E_UNSUPPORTED && !pod->fault_hit)
        vct_skip(pod->t, "no tap can be made here: /dev/net/tun: %s", strerror(-tun));
}

static int op_setup(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_net *w = pod->world;
    int32_t nsfd = -1;
    int hol = hollow(pod), adopt = w && !hol && w->ns >= 0 && vct_net_adopts() != 0;
    if (!hol && !pod->t->own_net)
        vct_skip(pod->t, geteuid() == 0 ? "links are made in namespaces of the check's own only, and there are none here "
                                          "(--no-namespaces, or the kernel makes none)"
                                        : "namespaces and links need root or user namespaces, and there is neither here");
    int rc = vct_net_setup(pod, call, adopt ? w->path : NULL, &nsfd);
    if (adopt && rc == VC_E_UNSUPPORTED) {
        atomic_store(&adopts, 0);
        adopt = 0;
        if (call->err) /* the answer to another question */
            memset(call->err, 0, sizeof(*call->err));
        rc = vct_net_setup(pod, call, NULL, &nsfd);
    } else if (adopt && rc == VC_OK) {
        atomic_store(&adopts, 1);
    }
    if (rc != VC_OK) {
        skip_without_tun(pod, rc);
        return rc;
    }
    if (!w) {
        if (nsfd >= 0)
            close(nsfd);
        return rc;
    }
    w->adopted = adopt;
    *w->wrong = '\0';
    setup_right(pod, nsfd);
    if (w->nsfd >= 0)
        close(w->nsfd);
    w->nsfd = nsfd;
    return rc;
}

static void take_endpoint(struct vct_net *w, const struct vct_json *o)
{
    struct vct_net_ep *ep = &w->eps[w->n_eps];
    const char *id = vct_json_str(o, "id"), *name = vct_json_str(o, "name"), *mac = vct_json_str(o, "mac");
    int64_t mtu = whole(o, "mtu", 1, 65535), queues = whole(o, "queues", 1, 64);
    char of[64];
    if (!id_ok(id))
        wrong(w, "entry %zu of scan has no \"id\" of 1 to 31 letters, digits, \"_\", \".\" and \"-\"", w->n_eps);
    else if (!name || !*name || strlen(name) > 15)
        wrong(w, "endpoint \"%s\" of scan has no \"name\" of 1 to 15 bytes", id);
    else if (!mac_ok(mac))
        wrong(w, "endpoint \"%s\" of scan has no \"mac\" of one station, like \"02:00:00:00:00:01\"", id);
    else if (mtu == -1 || queues == -1)
        wrong(w, "endpoint \"%s\" of scan has an \"mtu\" or \"queues\" that is no possible number", id);
    if (*w->wrong)
        return;
    for (size_t i = 0; i < w->n_eps; i++)
        if (strcmp(w->eps[i].id, id) == 0)
            wrong(w, "two endpoints of scan have the id \"%s\"", id);
    snprintf(of, sizeof(of), "endpoint \"%s\" of scan", id);
    addresses_ok(w, o, of);
    routes_ok(w, o, of);
    memset(ep, 0, sizeof(*ep));
    snprintf(ep->id, sizeof(ep->id), "%s", id);
    snprintf(ep->name, sizeof(ep->name), "%s", name);
    snprintf(ep->mac, sizeof(ep->mac), "%s", mac);
    ep->mtu = mtu < 0 ? 1500 : (uint32_t)mtu;
    ep->queues = queues < 0 ? 1 : (uint32_t)queues;
    w->n_eps++;
}

int vct_net_scan(struct vct_pod *pod, const struct vc_call *call)
{
    const struct vc_network_ops *ops = vct_kind_ops(pod->t);
    struct vct_net *w = pod->world;
    struct vc_sink sink = { .pod = NULL };
    char why[200] = "";
    int rc = VCT(pod->t, ops->scan, pod->inst, call, &sink);
    if (rc == VC_OK && w) {
        *w->wrong = '\0';
        w->n_eps = 0;
        vct_json_free(w->scan);
        const char *text = vcs_buf_str(&sink.buf);
        w->scan = text ? vct_json_parse(text, sink.buf.len, why, sizeof(why)) : NULL;
        if (!sink.buf.len)
            wrong(w, "scan wrote nothing; \"[]\" is right where nothing was found");
        else if (!w->scan)
            wrong(w, "scan wrote no JSON: %s", why);
        else if (w->scan->type != VCT_JSON_ARRAY)
            wrong(w, "scan wrote %s; an array of objects is right", vct_json_what(w->scan));
        struct vct_net_ep *more = *w->wrong ? NULL : realloc(w->eps, (w->scan->n + 1) * sizeof(*more));
        w->eps = more ? more : w->eps;
        for (const struct vct_json *o = more ? w->scan->first : NULL; o && !*w->wrong; o = o->next)
            take_endpoint(w, o);
    }
    vcs_buf_done(&sink.buf);
    return rc;
}

/* Are they taps, one per queue, all of one link? */
static void taps_right(struct vct_net *w, struct vct_net_ep *ep, const struct vc_device *d)
{
    if (!d->fds || !d->queues || d->queues > 64 || (d->n_fds != d->queues && d->n_fds != 2 * d->queues)) {
        wrong(w,
              "attach of endpoint \"%s\" gave %u queues and %u descriptors: one tap per queue, and maybe one vhost "
              "descriptor per queue, is right",
              ep->id, d->queues, d->n_fds);
        return;
    }
    for (uint32_t k = 0; k < d->n_fds; k++) {
        struct ifreq ifr = { 0 };
        struct stat st;
        int flags = fcntl(d->fds[k], F_GETFD);
        if (flags < 0 || fstat(d->fds[k], &st) < 0)
            wrong(w, "descriptor %d of endpoint \"%s\" is not open", d->fds[k], ep->id);
        else if (!(flags & FD_CLOEXEC))
            wrong(w, "descriptor %d of endpoint \"%s\" has no FD_CLOEXEC", d->fds[k], ep->id);
        else if (k < d->queues && (!S_ISCHR(st.st_mode) || ioctl(d->fds[k], TUNGETIFF, &ifr) < 0))
            wrong(w, "descriptor %d of endpoint \"%s\" is no tap", d->fds[k], ep->id);
        else if (k < d->queues && !(ifr.ifr_flags & IFF_TAP))
            wrong(w, "descriptor %d of endpoint \"%s\" is of a tun, which carries no Ethernet frames", d->fds[k],
                  ep->id);
        else if (k < d->queues && d->queues > 1 && k > 0 && strcmp(ifr.ifr_name, ep->tap) != 0)
            wrong(w, "queue %u of endpoint \"%s\" is of link %.16s, queue 0 of %s: they have to be of one link", k,
                  ep->id, ifr.ifr_name, ep->tap);
        else if (k == 0)
            snprintf(ep->tap, sizeof(ep->tap), "%.15s", ifr.ifr_name);
        for (uint32_t j = 0; j < k && !*w->wrong; j++)
            if (d->fds[j] == d->fds[k])
                wrong(w, "descriptor %d of endpoint \"%s\" is there twice", d->fds[k], ep->id);
    }
}

static void attach_right(struct vct_pod *pod, struct vct_net_ep *ep, const struct vc_device *d)
{
    struct vct_net *w = pod->world;
    *w->wrong = *ep->tap = '\0';
    snprintf(ep->card_mac, sizeof(ep->card_mac), "%s", d->mac ? d->mac : ep->mac);
    if (!id_ok(d->id))
        wrong(w, "attach of endpoint \"%s\" gave a device without a right id", ep->id);
    else if (d->mac && !mac_ok(d->mac))
        wrong(w, "attach of endpoint \"%s\" gave a device with the mac \"%.40s\"", ep->id, d->mac);
    else if (d->type == VC_DEV_NET)
        taps_right(w, ep, d);
    else if (d->type != VC_DEV_VFIO && d->type != VC_DEV_VHOST_USER)
        wrong(w, "attach of endpoint \"%s\" gave a device of type %u, which is no network card", ep->id, d->type);
    else if (!d->path || !*d->path)
        wrong(w, "attach of endpoint \"%s\" gave a device without a path", ep->id);
    struct vct_link link;
    int ns = vct_net_ns(pod);
    if (!*w->wrong && *ep->tap && ns >= 0 && vct_nl_link(ns, ep->tap, &link) == 0 && !link.up)
        wrong(w, "the tap %s of endpoint \"%s\" is down", ep->tap, ep->id);
}

int vct_net_attach(struct vct_pod *pod, const struct vc_call *call, size_t i, struct vc_device *ret)
{
    const struct vc_network_ops *ops = vct_kind_ops(pod->t);
    struct vct_net *w = pod->world;
    struct vct_net_ep *e = &w->eps[i];
    struct vc_endpoint ep = {
        .size = sizeof(ep), .id = e->id, .name = e->name, .mac = e->mac, .mtu = e->mtu, .queues = e->queues
    };
    struct vc_device d = { .size = sizeof(d), .type = VC_DEV_NET, .id = e->id, .mac = e->mac };
    vct_out(pod->t, &d, sizeof(d), 0);
    int rc = VCT(pod->t, ops->attach, pod->inst, call, &ep, &d);
    if (rc == VC_OK)
        attach_right(pod, e, &d);
    if (rc == VC_OK && ret)
        *ret = d;
    return rc;
}

/* attach of something that no namespace has. */
static int attach_nothing(struct vct_pod *pod, const struct vc_call *call, const char *id)
{
    const struct vc_network_ops *ops = vct_kind_ops(pod->t);
    struct vc_endpoint ep = {
        .size = sizeof(ep), .id = id, .name = "vctnone", .mac = "02:00:00:00:00:99", .mtu = 1500, .queues = 1
    };
    struct vc_device d = { .size = sizeof(d), .type = VC_DEV_NET, .id = id, .mac = ep.mac };
    vct_out(pod->t, &d, sizeof(d), 0);
    return VCT(pod->t, ops->attach, pod->inst, call, &ep, &d);
}

/* With an instance that was restored in another process, the endpoints are not known here. */
static int know_endpoints(struct vct_pod *pod, const struct vc_call *call)
{
    const struct vct_net *w = pod->world;
    return w->n_eps ? VC_OK : vct_net_scan(pod, call);
}

static int op_attach(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_net *w = pod->world;
    if (!(pod->state & (VCT_ST_MADE | VCT_ST_UP)) || !w)
        return attach_nothing(pod, call, "vct-none");
    if (hollow(pod)) { /* it has none, and has to say so */
        int rc = attach_nothing(pod, call, "vct-none");
        return rc == VC_E_NOTFOUND ? VC_OK : rc == VC_OK ? VC_E_INTERNAL : rc;
    }
    int rc = know_endpoints(pod, call);
    for (size_t i = 0; rc == VC_OK && i < w->n_eps && !*w->wrong; i++)
        rc = vct_net_attach(pod, call, i, NULL);
    if (rc != VC_OK && w->tun < 0)
        vct_skip(pod->t, "no tap can be made here: /dev/net/tun: %s", strerror(-w->tun));
    return rc;
}

int vct_net_detach(struct vct_pod *pod, const struct vc_call *call, const char *id)
{
    const struct vc_network_ops *ops = vct_kind_ops(pod->t);
    return VCT(pod->t, ops->detach, pod->inst, call, id);
}

static int op_detach(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_net *w = pod->world;
    if (!w || hollow(pod))
        return vct_net_detach(pod, call, "vct-none");
    int rc = know_endpoints(pod, call);
    for (size_t i = 0; rc == VC_OK && i < w->n_eps; i++)
        rc = vct_net_detach(pod, call, w->eps[i].id);
    return rc;
}

/* Has it the form that struct vc_agent_net describes? */
static void guest_right(struct vct_net *w, const struct vct_json *g)
{
    for (const struct vct_json *m = g->first; m; m = m->next)
        if (strcmp(m->key, "interfaces") != 0 && strcmp(m->key, "routes") != 0 && strcmp(m->key, "neighbors") != 0)
            wrong(w, "guest_config has a member \"%.40s\"; interfaces, routes and neighbors are known", m->key);
    for (const struct vct_json *i = list(w, g, "interfaces", "guest_config"); i; i = i->next) {
        const char *name = vct_json_str(i, "name"), *mac = vct_json_str(i, "mac");
        char of[64];
        if (i->type != VCT_JSON_OBJECT)
            wrong(w, "an interface of guest_config is %s; an object is right", vct_json_what(i));
        else if (!name || !*name || strlen(name) > 15)
            wrong(w, "an interface of guest_config has no \"name\" of 1 to 15 bytes");
        else if (!mac_ok(mac))
            wrong(w, "interface \"%s\" of guest_config has no \"mac\", by which the guest would find it", name);
        else if (whole(i, "mtu", 1, 65535) == -1)
            wrong(w, "the \"mtu\" of interface \"%s\" of guest_config is no number from 1 to 65535", name);
        if (*w->wrong)
            return;
        snprintf(of, sizeof(of), "interface \"%s\" of guest_config", name);
        addresses_ok(w, i, of);
        for (const struct vct_json *other = list(w, g, "interfaces", ""); other != i; other = other->next)
            if (strcmp(vct_json_str(other, "mac"), mac) == 0 || strcmp(vct_json_str(other, "name"), name) == 0)
                wrong(w, "two interfaces of guest_config have the name \"%s\" or the mac %s", name, mac);
    }
    routes_ok(w, g, "guest_config");
    for (const struct vct_json *n = list(w, g, "neighbors", "guest_config"); n; n = n->next)
        if (n->type != VCT_JSON_OBJECT || !addr_ok(vct_json_str(n, "address"), 1) || !mac_ok(vct_json_str(n, "mac")) ||
            !vct_json_str(n, "device") || whole(n, "state", 0, 255) == -1)
            wrong(w, "a neighbor of guest_config is no {\"address\",\"mac\",\"device\",\"state\"} with right values");
}

int vct_net_guest(struct vct_pod *pod, const struct vc_call *call)
{
    const struct vc_network_ops *ops = vct_kind_ops(pod->t);
    struct vct_net *w = pod->world;
    struct vc_sink sink = { .pod = NULL };
    char why[200] = "";
    int rc = VCT(pod->t, ops->guest_config, pod->inst, call, &sink);
    if (rc == VC_OK && w) {
        *w->wrong = '\0';
        vct_json_free(w->guest);
        const char *text = sink.buf.len ? vcs_buf_str(&sink.buf) : NULL;
        w->guest = text ? vct_json_parse(text, sink.buf.len, why, sizeof(why)) : NULL;
        w->guest_seen = 1;
        if (text && !w->guest)
            wrong(w, "guest_config wrote no JSON: %s", why);
        else if (w->guest && w->guest->type != VCT_JSON_OBJECT)
            wrong(w, "guest_config wrote %s; an object is right, or nothing at all", vct_json_what(w->guest));
        else if (w->guest)
            guest_right(w, w->guest);
    }
    vcs_buf_done(&sink.buf);
    return rc;
}

int vct_net_teardown(struct vct_pod *pod, const struct vc_call *call)
{
    const struct vc_network_ops *ops = vct_kind_ops(pod->t);
    return VCT(pod->t, ops->teardown, pod->inst, call);
}

/* ---- effects ---- */

static int right(struct vct_pod *pod, char *why, size_t size)
{
    const struct vct_net *w = pod->world;
    if (!w)
        return -1;
    snprintf(why, size, "%s", w->wrong);
    return !*w->wrong;
}

static int detached(struct vct_pod *pod, char *why, size_t size)
{
    const struct vct_net *w = pod->world;
    struct vct_link link;
    int ns = vct_net_ns(pod);
    for (size_t i = 0; w && ns >= 0 && i < w->n_eps; i++)
        if (*w->eps[i].tap && vct_nl_link(ns, w->eps[i].tap, &link) == 0 && link.up) {
            snprintf(why, size, "the tap %s of endpoint \"%s\" is still there and up", w->eps[i].tap, w->eps[i].id);
            return 0;
        }
    return w && ns >= 0 ? 1 : -1;
}

static int torn_down(struct vct_pod *pod, char *why, size_t size)
{
    const char *left = traces(pod);
    if (*left)
        snprintf(why, size, "%s", left);
    for (size_t i = 0; !*left && i < pod->n_res; i++)
        if (pod->res[i].type == VC_RES_NETNS && access(pod->res[i].name, F_OK) == 0) {
            snprintf(why, size, "the namespace %s is still there", pod->res[i].name);
            return 0;
        }
    return !*left;
}

/* ---- taps ---- */

int vct_net_tun(void)
{
    vcs_autoclose int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    return fd < 0 && errno != EMFILE ? -errno : 0;
}

struct frame {
    unsigned char to[6], from[6], type[2], mark[8], pad[46];
};

/* Room for a virtio header before the frame: what the tap wants. */
static size_t header_of(int tap)
{
    struct ifreq ifr = { 0 };
    int size = 10;
    if (ioctl(tap, TUNGETIFF, &ifr) < 0 || !(ifr.ifr_flags & IFF_VNET_HDR))
        return 0;
    return ioctl(tap, TUNGETVNETHDRSZ, &size) < 0 || size < 0 || size > 64 ? 10 : (size_t)size;
}

/* Read until the frame with that mark comes, or 2 s are over. */
static int comes(int fd, size_t header, const unsigned char mark[8])
{
    unsigned char data[2048];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t end = now.tv_sec * 1000 + now.tv_nsec / 1000000 + 2000, ms = 2000;
    while (ms > 0) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, (int)ms) > 0) {
            ssize_t n = read(fd, data, sizeof(data));
            if (n >= (ssize_t)(header + 22) && memcmp(data + header + 14, mark, 8) == 0)
                return 1;
            if (n < 0 && errno != EAGAIN && errno != EINTR)
                return 0;
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        ms = end - (now.tv_sec * 1000 + now.tv_nsec / 1000000);
    }
    return 0;
}

static void frame_fill(struct frame *f, const char *from, const char *mark)
{
    memset(f, 0, sizeof(*f));
    memset(f->to, 0xff, sizeof(f->to));
    sscanf(from, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &f->from[0], &f->from[1], &f->from[2], &f->from[3], &f->from[4],
           &f->from[5]);
    f->type[0] = ETHERTYPE_TEST >> 8;
    f->type[1] = ETHERTYPE_TEST & 0xff;
    memcpy(f->mark, mark, sizeof(f->mark));
}

int vct_net_carries(struct vct_pod *pod, const struct vct_net_ep *ep, int tap, char *why, size_t size)
{
    const struct vct_net *w = pod->world;
    const struct vct_plant *p = NULL;
    struct vct_link far;
    unsigned char out[64 + sizeof(struct frame)] = { 0 };
    for (size_t i = 0; i < w->n_plants; i++)
        if (strcmp(w->plants[i].name, ep->name) == 0)
            p = &w->plants[i];
    vcs_autoclose int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETHERTYPE_TEST));
    if (!p || s < 0 || vct_nl_link(-1, p->peer, &far) < 0)
        return snprintf(why, size, "the far end of link %s cannot be looked at", ep->name), 0;
    struct sockaddr_ll at = { .sll_family = AF_PACKET,
                              .sll_protocol = htons(ETHERTYPE_TEST),
                              .sll_ifindex = far.index };
    if (bind(s, (struct sockaddr *)&at, sizeof(at)) < 0)
        return snprintf(why, size, "the far end of link %s: %s", ep->name, strerror(errno)), 0;
    size_t header = header_of(tap);
    struct frame f;
    frame_fill(&f, ep->card_mac, "vct-out.");
    memcpy(out + header, &f, sizeof(f));
    if (write(tap, out, header + sizeof(f)) < 0)
        return snprintf(why, size, "a frame cannot be written to the tap of endpoint \"%s\": %s", ep->id,
                        strerror(errno)),
               0;
    if (!comes(s, 0, f.mark))
        return snprintf(why, size, "a frame that the VM sends does not come out at the far end of link %s", ep->name),
               0;
    frame_fill(&f, "02:00:00:00:00:77", "vct-into");
    if (send(s, &f, sizeof(f), 0) < 0)
        return snprintf(why, size, "the far end of link %s: %s", ep->name, strerror(errno)), 0;
    if (!comes(tap, header, f.mark))
        return snprintf(why, size, "a frame that comes in at the far end of link %s does not reach the VM", ep->name),
               0;
    return 1;
}

/* ---- what the generic checks see ---- */

static int bad_calls(struct vct_pod *pod)
{
    int n = 2;
    int32_t nsfd = -1;
    attach_nothing(pod, vct_call(pod->t, 5000), "vct-none");
    attach_nothing(pod, vct_call(pod->t, 5000), "");
    if (pod->state != VCT_ST_FRESH || (!hollow(pod) && !pod->t->own_net))
        return n;
    vcs_autofree char *plain = NULL;
    if (asprintf(&plain, "%s/no-namespace", pod->dir) < 0)
        return n;
    vct_net_setup(pod, vct_call(pod->t, 5000), plain, &nsfd);
    vcs_autoclose int file = open(plain, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0)
        vct_net_setup(pod, vct_call(pod->t, 5000), plain, &nsfd);
    unlink(plain);
    return n + 1 + (file >= 0);
}

#define MEMBER(m) .name = #m, .offset = offsetof(struct vc_network_ops, m)
static const struct vct_op ops_table[] = {
    { MEMBER(setup), .from = VCT_ST_FRESH, .to = VCT_ST_MADE, .call = op_setup, .effect = right },
    { MEMBER(scan), .flags = VCT_OP_PURE | VCT_OP_IDEM, .from = VCT_ST_MADE | VCT_ST_UP, .call = vct_net_scan,
      .effect = right },
    { MEMBER(attach), .from = VCT_ST_MADE, .refuse = VCT_ST_FRESH | VCT_ST_DOWN, .to = VCT_ST_UP, .call = op_attach,
      .effect = right },
    { MEMBER(guest_config), .flags = VCT_OP_PURE | VCT_OP_IDEM, .from = VCT_ST_UP, .call = vct_net_guest,
      .effect = right },
    { MEMBER(detach), .flags = VCT_OP_IDEM, .from = VCT_ST_MADE | VCT_ST_UP, .to = VCT_ST_MADE, .call = op_detach,
      .effect = detached },
    { MEMBER(teardown), .flags = VCT_OP_IDEM, .from = VCT_ST_FRESH | VCT_ST_MADE | VCT_ST_UP | VCT_ST_DOWN,
      .to = VCT_ST_DOWN, .call = vct_net_teardown, .effect = torn_down },
    { .name = NULL }
};

const struct vct_kind vct_kind_network = {
    .kind = VC_KIND_NETWORK,
    .name = "network",
    .ops_size = sizeof(struct vc_network_ops),
    .ops = ops_table,
    .caps_known = VC_NET_CAP_NONE,
    .world_up = world_up,
    .world_down = world_down,
    .traces = traces,
    .kill_peer = kill_peer,
    .bad_calls = bad_calls,
    .hollow = hollow,
};
