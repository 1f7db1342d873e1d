/* SPDX-License-Identifier: Apache-2.0 */
/* checks-network.c: N1 to N13, what a network plugin does to namespaces and links, seen in the real kernel. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "conformance/kind-network.h"
#include "conformance/net-faults.h"
#include "conformance/steps.h"

#define USUAL 10000

/* ---- what the checks share ---- */

/* A pod whose plugin has an instance, and has to have networks. */
static struct vct_pod *fresh(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_pod_make(pod);
    if (vct_kind_network.hollow(pod))
        vct_skip(t, "the plugin says that pods have no network (VC_NET_CAP_NONE)");
    return pod;
}

static void must(struct vct_pod *pod, const char *op)
{
    const struct vct_net *w = pod->world;
    int rc = vct_op(pod, op, USUAL);
    VCT_MUST(pod->t, rc == VC_OK, "%s answered %s: %s", op, vct_code(rc), pod->t->err.text);
    VCT_MUST(pod->t, !*w->wrong, "%s", w->wrong);
}

static void must_clean(struct vct_pod *pod)
{
    int rc = vct_pod_cleanup(pod);
    VCT_MUST(pod->t, rc == VC_OK, "cleanup answered %s: %s", vct_code(rc), pod->t->err.text);
}

/* Adopt the pod's namespace. */
static void adopt(struct vct_pod *pod)
{
    const struct vct_net *w = pod->world;
    must(pod, "setup");
    if (!w->adopted)
        vct_skip(pod->t, "the plugin only makes namespaces of its own (VC_E_UNSUPPORTED for a given one)");
}

static struct vct_pod *adopted(struct vct *t)
{
    struct vct_pod *pod = fresh(t);
    adopt(pod);
    return pod;
}

static void need_tun(struct vct *t)
{
    int rc = vct_net_tun();
    if (rc < 0)
        vct_skip(t, "no tap can be made here: /dev/net/tun: %s", strerror(-rc));
}

static struct vct_net_ep *ep_named(struct vct_pod *pod, const char *name)
{
    struct vct_net *w = pod->world;
    for (size_t i = 0; i < w->n_eps; i++)
        if (strcmp(w->eps[i].name, name) == 0)
            return &w->eps[i];
    return NULL;
}

static struct vct_net_ep *must_find(struct vct_pod *pod, const char *name)
{
    struct vct_net_ep *ep = ep_named(pod, name);
    VCT_MUST(pod->t, ep, "scan did not find the link %s of the namespace that setup adopted", name);
    return ep;
}

static int attach(struct vct_pod *pod, const struct vct_net_ep *ep, struct vc_device *d)
{
    const struct vct_net *w = pod->world;
    return vct_net_attach(pod, vct_call(pod->t, USUAL), (size_t)(ep - w->eps), d);
}

static void must_attach(struct vct_pod *pod, const struct vct_net_ep *ep, struct vc_device *d)
{
    const struct vct_net *w = pod->world;
    int rc = attach(pod, ep, d);
    VCT_MUST(pod->t, rc == VC_OK, "attach of endpoint \"%s\" (link %s) answered %s: %s", ep->id, ep->name, vct_code(rc),
             pod->t->err.text);
    VCT_MUST(pod->t, !*w->wrong, "%s", w->wrong);
}

static void must_carry(struct vct_pod *pod, const struct vct_net_ep *ep, const struct vc_device *d)
{
    char why[200] = "";
    if (d->type == VC_DEV_NET)
        VCT_MUST(pod->t, vct_net_carries(pod, ep, d->fds[0], why, sizeof(why)), "%s", why);
}

static void must_detach(struct vct_pod *pod, const char *id, const char *when)
{
    int rc = vct_net_detach(pod, vct_call(pod->t, USUAL), id);
    VCT_MUST(pod->t, rc == VC_OK, "detach %s answered %s: %s", when, vct_code(rc), pod->t->err.text);
}

static void must_teardown(struct vct_pod *pod, const char *when)
{
    int rc = vct_net_teardown(pod, vct_call(pod->t, USUAL));
    VCT_MUST(pod->t, rc == VC_OK, "teardown %s answered %s: %s", when, vct_code(rc), pod->t->err.text);
    pod->state = VCT_ST_DOWN;
}

static void must_restore(struct vct_pod *pod)
{
    char *state = NULL;
    size_t len = 0;
    int rc = vct_pod_save(pod, &state, &len);
    VCT_MUST(pod->t, rc == VC_OK, "save answered %s: %s", vct_code(rc), pod->t->err.text);
    vct_pod_close(pod);
    rc = vct_pod_restore(pod, pod->t->plugin->state_version, state, len);
    free(state);
    VCT_MUST(pod->t, rc == VC_OK, "restore answered %s: %s", vct_code(rc), pod->t->err.text);
}

static void must_be_gone(struct vct_pod *pod, const char *when)
{
    const char *left = vct_pod_left(pod);
    if (*left)
        vct_leak(pod->t, "%s, this is left: %s", when, left);
}

/* One picture of the namespace; skips the check where there is none to be had. */
static void picture(struct vct *t, int ns, struct vcs_buf *ret)
{
    vcs_buf_clear(ret);
    int rc = vct_nl_picture(ns, ret);
    if (rc < 0)
        vct_skip(t, "the kernel does not tell what a namespace holds: %s", strerror(-rc));
}

static const char *const life[] = { "setup", "scan", "attach", "guest_config", "detach", "teardown", NULL };

/* ---- N1, N5, N6, N10: surroundings ---- */

static void n1(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_net *w = pod->world;
    struct vcs_buf before = { 0 }, now = { 0 };
    const char *differs;
    vct_pod_make(pod);
    if (w->n_plants) { /* something that could be disturbed */
        vct_nl_addr(-1, w->plants[0].peer, "10.78.0.1/24");
        vct_nl_route(-1, "10.98.0.0/16", "10.78.0.2", w->plants[0].peer);
        vct_net_settled(pod);
    }
    picture(t, -1, &before);
    for (const char *const *op = life; *op; op++) {
        must(pod, *op);
        picture(t, -1, &now);
        differs = vct_nl_differ(&before, &now, 0);
        VCT_MUST(t, !*differs, "after %s, this of the caller's namespace is gone or changed: %s", *op, differs);
    }
    must_clean(pod);
    picture(t, -1, &now);
    differs = vct_nl_differ(&before, &now, 1);
    if (*differs)
        vct_leak(t, "after cleanup, the caller's namespace is not as it was before setup: %s", differs);
    vct_pod_close(pod);
    vcs_buf_done(&before);
    vcs_buf_done(&now);
    vct_pod_free(pod);
}

/* How many mounts of namespaces there are. */
static unsigned ns_mounts(void)
{
    char text[4096];
    unsigned n = 0;
    vcs_autofclose FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f && fgets(text, sizeof(text), f))
        n += strstr(text, " - nsfs ") != NULL;
    return n;
}

static void nothing_left(struct vct_pod *pod, unsigned mounts, const char *when)
{
    unsigned now = ns_mounts();
    must_be_gone(pod, when);
    if (now > mounts)
        vct_leak(pod->t, "%s, %u mounts of namespaces are left", when, now - mounts);
}

/* A namespace of the plugin's own, whether it adopts others or not. */
static void own_namespace(struct vct *t)
{
    static const char when[] = "after teardown and cleanup of a namespace that setup made";
    struct vct_pod *pod = fresh(t);
    int32_t nsfd = -1;
    char path[4200];
    unsigned mounts = ns_mounts();
    vcs_autofree char *before = vct_mounts();
    int rc = vct_net_setup(pod, vct_call(t, USUAL), NULL, &nsfd);
    if (rc == VC_E_UNSUPPORTED) {
        vct_note(t, "the plugin makes no namespaces of its own");
        vct_pod_free(pod);
        return;
    }
    VCT_MUST(t, rc == VC_OK, "setup that is to make a namespace answered %s: %s", vct_code(rc), t->err.text);
    if (nsfd >= 0)
        close(nsfd);
    pod->state = VCT_ST_MADE;
    if (before && vct_mount_unrecorded(pod, before, path, sizeof(path)))
        vct_leak(t,
                 "setup made a namespace, mounted it at %s and did not record it: res_add (VC_RES_NETNS, path of the "
                 "mount) comes before the mount, also in VC_PATH_RUN",
                 path);
    must_teardown(pod, "of a namespace that setup made");
    must_clean(pod);
    nothing_left(pod, mounts, when);
    if (pod->n_res)
        vct_leak(t, "%s, %s is still on record: res_del tells the host that it was removed", when, pod->res[0].name);
    vct_pod_free(pod);
}

static void n5(struct vct *t)
{
    static const char *const when[] = { "after teardown and cleanup", "after cleanup alone, by a restored instance",
                                        "after cleanup, when setup was called twice" };
    for (unsigned round = 0; round < 3; round++) {
        struct vct_pod *pod = fresh(t);
        int32_t nsfd = -1;
        unsigned mounts = ns_mounts();
        must(pod, "setup");
        if (round == 2 && vct_net_setup(pod, vct_call(t, USUAL), NULL, &nsfd) == VC_OK && nsfd >= 0)
            close(nsfd);
        must(pod, "scan");
        must(pod, "attach");
        if (round == 0)
            must(pod, "teardown");
        if (round == 1)
            must_restore(pod);
        must_clean(pod);
        nothing_left(pod, mounts, when[round]);
        vct_pod_close(pod);
        nothing_left(pod, mounts, when[round]);
        if (pod->n_res)
            vct_leak(t, "%s, %s is still on record: res_del tells the host that it was removed", when[round],
                     pod->res[0].name);
        vct_pod_free(pod);
    }
    own_namespace(t);
}

static void n6(struct vct *t)
{
    struct vct_pod *pod = fresh(t);
    struct vct_net *w = pod->world;
    struct vcs_buf now = { 0 };
    must(pod, "setup");
    must(pod, "scan");
    must(pod, "attach");
    must(pod, "teardown");
    must_clean(pod);
    vct_pod_close(pod);
    if (!w->adopted)
        vct_skip(t, "the plugin only makes namespaces of its own (VC_E_UNSUPPORTED for a given one)");
    vcs_autoclose int fd = open(w->path, O_RDONLY | O_CLOEXEC);
    VCT_MUST(t, fd >= 0, "the adopted namespace %s was deleted: it is the caller's, and has to stay", w->path);
    VCT_MUST(t, vct_ns_id(fd) == vct_ns_id(w->ns),
             "the adopted namespace %s is no longer at its path: it is the caller's, and "
             "has to stay",
             w->path);
    picture(t, w->ns, &now);
    const char *differs = vct_nl_differ(&w->before, &now, 0);
    VCT_MUST(t, !*differs, "in the adopted namespace, this is gone or changed after teardown: %s", differs);
    vcs_buf_done(&now);
    vct_pod_free(pod);
}

/* The namespace of this thread. */
static uint64_t here(void)
{
    vcs_autoclose int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    return vct_ns_id(fd);
}

static void still_here(struct vct *t, uint64_t before, const char *call)
{
    VCT_MUST(t, here() == before, "after %s, the calling thread is in another network namespace than before", call);
}

static void n10(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    const struct vct_net *w = pod->world;
    uint64_t before = here();
    int32_t nsfd = -1;
    vct_pod_make(pod);
    still_here(t, before, "create");
    if (t->own_net || vct_kind_network.hollow(pod)) {
        vct_net_setup(pod, vct_call(t, USUAL), "/proc/self/ns/uts", &nsfd);
        still_here(t, before, "setup with a path of no network namespace");
    }
    for (const char *const *op = life; *op; op++) {
        pod->fault = VCT_S_NETNS_RUN;
        pod->fault_code = VC_E_RESOURCE;
        pod->fault_at = strcmp(*op, "attach") == 0;
        pod->fault_seen = 0;
        if (pod->fault_at && vct_op(pod, *op, USUAL) != VC_OK)
            still_here(t, before, "an attach that failed");
        pod->fault_at = 0;
        pod->fault_hit = 0;
        if (pod->state & vct_op_find(t, *op)->from)
            must(pod, *op);
        still_here(t, before, *op);
    }
    if (w->nsfd >= 0)
        VCT_MUST(t, fcntl(w->nsfd, F_GETFD) & FD_CLOEXEC,
                 "the namespace's descriptor that setup gave has no FD_CLOEXEC");
    must_clean(pod);
    still_here(t, before, "cleanup");
    vct_pod_close(pod);
    still_here(t, before, "close");
    vct_pod_free(pod);
}

/* ---- N2, N8, N13: what scan finds ---- */

static int has_text(const struct vct_json *list, const char *text)
{
    for (const struct vct_json *v = list ? list->first : NULL; v; v = v->next)
        if (v->type == VCT_JSON_STRING && strcasecmp(v->text, text) == 0)
            return 1;
    return 0;
}

static int has_route(const struct vct_json *list, const char *dest, const char *gateway)
{
    for (const struct vct_json *r = list ? list->first : NULL; r; r = r->next) {
        const char *d = vct_json_str(r, "dest"), *g = vct_json_str(r, "gateway");
        int any = d && (!*d || strcmp(d, "0.0.0.0/0") == 0 || strcmp(d, "::/0") == 0);
        if (d && g && (*dest ? strcmp(d, dest) == 0 : any) && strcasecmp(g, gateway) == 0)
            return 1;
    }
    return 0;
}

/* The routes of an endpoint, or of all of them: a plugin may name a route with any link. */
static int scan_route(const struct vct_net *w, const char *dest, const char *gateway)
{
    for (const struct vct_json *o = w->scan->first; o; o = o->next)
        if (has_route(vct_json_get(o, "routes"), dest, gateway))
            return 1;
    return 0;
}

static void n2(struct vct *t)
{
    struct vct_pod *pod = adopted(t);
    struct vct_net *w = pod->world;
    must(pod, "scan");
    struct vct_net_ep *ep = must_find(pod, VCT_NET_NAME);
    const struct vct_json *o = w->scan->first, *addresses;
    for (; strcmp(vct_json_str(o, "id"), ep->id) != 0; o = o->next)
        continue;
    addresses = vct_json_get(o, "addresses");
    VCT_MUST(t, !ep_named(pod, "lo"), "scan lists the loopback link as an endpoint");
    VCT_MUST(t, strcasecmp(ep->mac, w->plants[0].mac) == 0, "scan says that link %s has the mac %s; it has %s",
             ep->name, ep->mac, w->plants[0].mac);
    VCT_MUST(t, ep->mtu == VCT_NET_MTU, "scan says that link %s has the mtu %u; it has %d", ep->name, ep->mtu,
             VCT_NET_MTU);
    VCT_MUST(t, has_text(addresses, VCT_NET_IP4), "scan does not give the address %s of link %s", VCT_NET_IP4,
             ep->name);
    VCT_MUST(t, scan_route(w, "", VCT_NET_GW4), "scan does not give the default route by %s", VCT_NET_GW4);
    VCT_MUST(t, scan_route(w, VCT_NET_DEST4, VCT_NET_GW4), "scan does not give the route to %s by %s", VCT_NET_DEST4,
             VCT_NET_GW4);
    if (strstr(vcs_buf_str(&w->before), VCT_NET_IP6)) { /* the kernel has it */
        VCT_MUST(t, has_text(addresses, VCT_NET_IP6), "scan does not give the address %s of link %s", VCT_NET_IP6,
                 ep->name);
        VCT_MUST(t, scan_route(w, "", VCT_NET_GW6), "scan does not give the default route by %s", VCT_NET_GW6);
    }
    if (vct_net_tun() == 0) { /* what attach made is no endpoint */
        size_t n = w->n_eps;
        char id[32];
        snprintf(id, sizeof(id), "%s", ep->id);
        must(pod, "attach");
        must(pod, "scan");
        VCT_MUST(t, w->n_eps == n, "scan found %zu endpoints before attach and %zu after it: what attach makes is none",
                 n, w->n_eps);
        VCT_MUST(t, strcmp(must_find(pod, VCT_NET_NAME)->id, id) == 0,
                 "link %s was endpoint \"%s\" before attach and is \"%s\" "
                 "after it",
                 VCT_NET_NAME, id, must_find(pod, VCT_NET_NAME)->id);
    }
    must_clean(pod);
    vct_pod_free(pod);
}

static void n8(struct vct *t)
{
    struct vct_pod *pod = fresh(t);
    struct vct_net *w = pod->world;
    char name[16], addr[32];
    for (unsigned i = 1; i < 100; i++) {
        snprintf(name, sizeof(name), "eth%u", i);
        snprintf(addr, sizeof(addr), "10.80.%u.2/24", i);
        if (vct_net_plant(pod, name, 1) < 0 || vct_nl_addr(w->ns, name, addr) < 0)
            vct_skip(t, "the kernel makes no 100 links");
    }
    vct_net_settled(pod);
    adopt(pod);
    int rc = vct_op(pod, "scan", USUAL);
    if (rc == VC_E_RESOURCE) {
        vct_note(t, "scan refuses 100 links: %s", t->err.text);
        must_clean(pod);
        must_be_gone(pod, "after cleanup");
        vct_pod_free(pod);
        return;
    }
    VCT_MUST(t, rc == VC_OK, "scan of 100 links answered %s: %s", vct_code(rc), t->err.text);
    VCT_MUST(t, !*w->wrong, "%s", w->wrong);
    VCT_MUST(t, w->n_eps == 100, "scan found %zu of 100 links; VC_E_RESOURCE would say that they are too many",
             w->n_eps);
    for (size_t i = 0; i < w->n_eps && vct_net_tun() == 0; i++) {
        must_attach(pod, &w->eps[i], NULL);
        for (size_t k = 0; k < i && *w->eps[i].tap; k++)
            VCT_MUST(t, strcmp(w->eps[k].tap, w->eps[i].tap) != 0, "endpoints \"%s\" and \"%s\" both have the tap %s",
                     w->eps[k].id, w->eps[i].id, w->eps[i].tap);
    }
    must(pod, "guest_config");
    must_teardown(pod, "of 100 endpoints");
    must_clean(pod);
    must_be_gone(pod, "after teardown and cleanup of 100 endpoints");
    vct_pod_free(pod);
}

static void n13(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_net *w = pod->world;
    vct_pod_make(pod);
    int none = vct_kind_network.hollow(pod);
    if (!none && t->own_net) {
        vct_net_clear(pod);
        vct_net_settled(pod);
    }
    if (none)
        must(pod, "setup");
    else
        adopt(pod);
    must(pod, "scan");
    VCT_MUST(t, w->n_eps == 0, "scan found endpoint \"%s\" (%s) in a namespace that has none", w->eps[0].id,
             w->eps[0].name);
    must(pod, "guest_config");
    const struct vct_json *i = vct_json_get(w->guest, "interfaces");
    VCT_MUST(t, !i || i->n == 0, "guest_config has %zu interfaces, and the namespace has none", i->n);
    must_teardown(pod, "of a namespace without links");
    must_clean(pod);
    must_be_gone(pod, "after cleanup");
    vct_pod_free(pod);
}

/* ---- N3, N4: attach and detach ---- */

static void n3(struct vct *t)
{
    struct vct_pod *pod = fresh(t);
    struct vct_net *w = pod->world;
    struct vc_device d;
    need_tun(t);
    must(pod, "setup");
    must(pod, "scan");
    if (!w->n_eps)
        vct_skip(t, "the plugin has no endpoint");
    struct vct_net_ep *ep = w->adopted ? must_find(pod, VCT_NET_NAME) : w->eps;
    unsigned queues = ep->queues;
    for (unsigned round = 0; round < 2; round++) {
        ep->queues = round == 0 ? queues : 1;
        must_attach(pod, ep, &d);
        if (d.type == VC_DEV_NET) {
            VCT_MUST(t, d.queues == ep->queues, "attach of endpoint \"%s\" with %u queues (%s) gave %u", ep->id,
                     ep->queues, round == 0 ? "what scan says" : "fewer than scan says", d.queues);
            struct vct_link link;
            int ns = vct_net_ns(pod);
            VCT_MUST(t, ns < 0 || vct_nl_link(ns, ep->tap, &link) == 0,
                     "the tap %s of endpoint \"%s\" is not in the pod's namespace", ep->tap, ep->id);
        }
        if (w->adopted)
            must_carry(pod, ep, &d);
        must_detach(pod, ep->id, "of an attached endpoint");
    }
    must_teardown(pod, "after detach");
    must_clean(pod);
    vct_pod_free(pod);
}

static void n4(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_net *w = pod->world;
    char id[32] = "vct-none";
    vct_pod_make(pod);
    int none = vct_kind_network.hollow(pod);
    must(pod, "setup");
    must(pod, "scan");
    if (w->n_eps)
        snprintf(id, sizeof(id), "%s", w->eps[0].id);
    if (!none && vct_net_tun() == 0 && w->n_eps) {
        must_detach(pod, id, "of an endpoint that was never attached");
        for (unsigned round = 0; round < 2; round++) {
            must_attach(pod, &w->eps[0], NULL);
            must_detach(pod, id, "of an attached endpoint");
            must_detach(pod, id, "of an endpoint that was detached before");
            char why[300] = "";
            VCT_MUST(t, vct_op_find(t, "detach")->effect(pod, why, sizeof(why)) != 0, "detach answered VC_OK, but %s",
                     why);
        }
        must_attach(pod, &w->eps[0], NULL);
    }
    must_teardown(pod, none ? "of nothing" : "with an attached endpoint");
    must_be_gone(pod, "after teardown");
    must_teardown(pod, "after teardown");
    must_detach(pod, id, "after teardown");
    must_restore(pod);
    must_teardown(pod, "after teardown, by a restored instance");
    must_clean(pod);
    must_teardown(pod, "after cleanup");
    must_clean(pod);
    vct_pod_free(pod);
    pod = vct_pod_new(t, NULL, 0);
    vct_pod_make(pod);
    must_teardown(pod, "of a fresh instance");
    must_clean(pod);
    vct_pod_free(pod);
}

/* ---- N7: names ---- */

#define NAME_A "vct0123456789-a"
#define NAME_B "vct0123456789-b"

static void plant_long(struct vct_pod *pod)
{
    struct vct_net *w = pod->world;
    if (vct_net_plant(pod, NAME_A, 1) < 0 || vct_nl_addr(w->ns, NAME_A, "10.81.0.2/24") < 0 ||
        vct_net_plant(pod, NAME_B, 1) < 0 || vct_nl_addr(w->ns, NAME_B, "10.82.0.2/24") < 0)
        vct_skip(pod->t, "links with names of 15 characters cannot be made here");
}

/* Links that have what attach made for a name: planted before attach. */
static void collide(struct vct *t, const char (*names)[16], size_t n)
{
    struct vct_pod *pod = fresh(t);
    struct vct_net *w = pod->world;
    struct vcs_buf now = { 0 };
    plant_long(pod);
    for (size_t i = 0; i < n; i++)
        if (vct_net_plant(pod, names[i], 1) < 0)
            vct_note(t, "no link %s can be planted", names[i]);
    vct_net_settled(pod);
    adopt(pod);
    must(pod, "scan");
    struct vct_net_ep *ep = must_find(pod, NAME_A);
    struct vc_device d;
    int rc = attach(pod, ep, &d);
    VCT_MUST(t, rc == VC_OK || *t->err.text,
             "attach failed with %s and without a text, where the names that it would give "
             "are taken",
             vct_code(rc));
    if (rc == VC_OK) {
        VCT_MUST(t, !*w->wrong, "where a link %s is there already: %s", names[0], w->wrong);
        must_carry(pod, ep, &d);
    }
    must_teardown(pod, "where names are taken");
    must_clean(pod);
    picture(t, w->ns, &now);
    const char *differs = vct_nl_differ(&w->before, &now, 0);
    VCT_MUST(
        t, !*differs,
        "a link that was there before was changed or taken away, because it has the name of one that attach makes: %s",
        differs);
    must_be_gone(pod, "after an attach where the names were taken");
    vcs_buf_done(&now);
    vct_pod_free(pod);
}

static void n7(struct vct *t)
{
    struct vct_pod *pod = fresh(t);
    struct vct_net *w = pod->world;
    struct vct_link *links = NULL;
    char names[16][16];
    size_t n = 0, made = 0;
    need_tun(t);
    plant_long(pod);
    vct_net_settled(pod);
    adopt(pod);
    must(pod, "scan");
    struct vct_net_ep *a = must_find(pod, NAME_A), *b = must_find(pod, NAME_B);
    struct vc_device d;
    VCT_MUST(t, strcmp(a->id, b->id) != 0, "links %s and %s have the same id \"%s\"", NAME_A, NAME_B, a->id);
    must_attach(pod, a, &d);
    must_carry(pod, a, &d);
    must_attach(pod, b, &d);
    VCT_MUST(t, !*a->tap || strcmp(a->tap, b->tap) != 0, "links %s and %s both got the tap %s", NAME_A, NAME_B, a->tap);
    must_carry(pod, b, &d);
    if (vct_nl_links(w->ns, &links, &n) == 0)
        for (size_t i = 0; i < n && made < 16; i++) {
            char text[40];
            snprintf(text, sizeof(text), "link %s ", links[i].name);
            if (!strstr(vcs_buf_str(&w->before), text))
                memcpy(names[made++], links[i].name, sizeof(names[0]));
        }
    free(links);
    must_clean(pod);
    must_be_gone(pod, "after cleanup of links with names of 15 characters");
    vct_pod_free(pod);
    if (made)
        collide(t, (const char(*)[16])names, made);
    else
        vct_note(t, "attach made no link, so no name can collide");
}

/* ---- N9: a link goes away ---- */

static int take_link(struct vct_pod *pod, enum vct_service s)
{
    const struct vct_net *w = pod->world;
    if (s == VCT_S_NETNS_RUN)
        vct_nl_del(w->ns, VCT_NET_NAME);
    return 0;
}

static void end_without_link(struct vct_pod *pod, const char *id, const char *when)
{
    struct vct_net *w = pod->world;
    uint32_t health = 0;
    char text[120];
    vct_pod_check(pod, &health);
    int rc = vct_op(pod, "scan", USUAL);
    VCT_MUST(pod->t, rc != VC_OK || !ep_named(pod, VCT_NET_NAME), "the link %s is gone (%s), and scan still lists it",
             VCT_NET_NAME, when);
    vct_net_guest(pod, vct_call(pod->t, USUAL));
    *w->wrong = '\0';
    snprintf(text, sizeof(text), "of an endpoint whose link is gone (%s)", when);
    must_detach(pod, id, text);
    snprintf(text, sizeof(text), "where a link is gone (%s)", when);
    must_teardown(pod, text);
    must_clean(pod);
    snprintf(text, sizeof(text), "after cleanup, where a link was gone (%s)", when);
    must_be_gone(pod, text);
    vct_pod_free(pod);
}

static void n9(struct vct *t)
{
    static const char *const when[] = { "before attach", "while attach was running", "after attach" };
    need_tun(t);
    for (unsigned round = 0; round < 3; round++) {
        struct vct_pod *pod = adopted(t);
        struct vct_net *w = pod->world;
        char id[32];
        must(pod, "scan");
        struct vct_net_ep *ep = must_find(pod, VCT_NET_NAME);
        snprintf(id, sizeof(id), "%s", ep->id);
        if (round == 0)
            vct_nl_del(w->ns, VCT_NET_NAME);
        pod->on_service = round == 1 ? take_link : NULL;
        int rc = attach(pod, ep, NULL), there = vct_nl_link(w->ns, VCT_NET_NAME, NULL) == 0;
        pod->on_service = NULL;
        if (round == 2)
            VCT_MUST(t, rc == VC_OK, "attach answered %s: %s", vct_code(rc), t->err.text);
        else if (!there)
            VCT_MUST(t, rc != VC_OK, "attach answered VC_OK for the link %s, which is gone (%s)", VCT_NET_NAME,
                     when[round]);
        pod->state = rc == VC_OK ? VCT_ST_UP : VCT_ST_MADE;
        vct_nl_del(w->ns, VCT_NET_NAME);
        w->n_plants = 0;
        end_without_link(pod, id, when[round]);
    }
}

/* ---- N11: what the guest is told ---- */

static char *guest_text(struct vct_pod *pod)
{
    const struct vc_network_ops *ops = vct_kind_ops(pod->t);
    struct vc_sink sink = { .pod = NULL };
    int rc = VCT(pod->t, ops->guest_config, pod->inst, vct_call(pod->t, USUAL), &sink);
    VCT_MUST(pod->t, rc == VC_OK, "guest_config answered %s: %s", vct_code(rc), pod->t->err.text);
    char *text = strdup(sink.buf.len ? vcs_buf_str(&sink.buf) : "");
    vcs_buf_done(&sink.buf);
    return text;
}

/* Every interface is a card that attach made. */
static void cards_known(struct vct_pod *pod)
{
    const struct vct_net *w = pod->world;
    const struct vct_json *list = vct_json_get(w->guest, "interfaces");
    for (const struct vct_json *i = list ? list->first : NULL; i; i = i->next) {
        int known = 0;
        for (size_t k = 0; k < w->n_eps && !known; k++)
            known = strcasecmp(w->eps[k].card_mac, vct_json_str(i, "mac")) == 0;
        VCT_MUST(pod->t, known,
                 "guest_config has an interface \"%s\" with the mac %s, and attach gave no card with it: the guest "
                 "would not find it",
                 vct_json_str(i, "name"), vct_json_str(i, "mac"));
    }
}

/* What scan says of an endpoint and what the guest is told are the same. */
static void addresses_agree(struct vct_pod *pod)
{
    const struct vct_net *w = pod->world;
    const struct vct_json *list = vct_json_get(w->guest, "interfaces");
    for (const struct vct_json *o = w->scan ? w->scan->first : NULL; o; o = o->next) {
        const struct vct_json *addresses = vct_json_get(o, "addresses"), *i = list ? list->first : NULL;
        const struct vct_net_ep *ep = must_find(pod, vct_json_str(o, "name"));
        while (i && strcasecmp(vct_json_str(i, "mac"), ep->card_mac) != 0)
            i = i->next;
        for (const struct vct_json *a = addresses ? addresses->first : NULL; a; a = a->next)
            VCT_MUST(pod->t, i && has_text(vct_json_get(i, "addresses"), a->text),
                     "scan says that endpoint \"%s\" has the address %s, and guest_config does not give it to the interface "
                     "with the mac %s: the host would believe one, and the guest have another",
                     ep->id, a->text, ep->card_mac);
    }
}

static void planted_known(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    const struct vct_net *w = pod->world;
    const struct vct_json *list = vct_json_get(w->guest, "interfaces"), *i = list ? list->first : NULL;
    const struct vct_net_ep *ep = must_find(pod, VCT_NET_NAME);
    while (i && strcasecmp(vct_json_str(i, "mac"), ep->card_mac) != 0)
        i = i->next;
    VCT_MUST(t, i, "guest_config has no interface for endpoint \"%s\" (%s), which has addresses", ep->id, ep->name);
    VCT_MUST(t, has_text(vct_json_get(i, "addresses"), VCT_NET_IP4),
             "guest_config does not give interface \"%s\" the address %s "
             "of link %s",
             vct_json_str(i, "name"), VCT_NET_IP4, ep->name);
    const struct vct_json *mtu = vct_json_get(i, "mtu");
    VCT_MUST(t, mtu && mtu->number == VCT_NET_MTU, "guest_config does not give interface \"%s\" the mtu %d of link %s",
             vct_json_str(i, "name"), VCT_NET_MTU, ep->name);
    VCT_MUST(t, has_route(vct_json_get(w->guest, "routes"), "", VCT_NET_GW4),
             "guest_config does not have the default route by %s", VCT_NET_GW4);
}

static void n11(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_net *w = pod->world;
    vct_pod_make(pod);
    must(pod, "setup");
    must(pod, "scan");
    must(pod, "attach");
    must(pod, "guest_config");
    cards_known(pod);
    if (w->adopted)
        planted_known(pod);
    addresses_agree(pod);
    vcs_autofree char *once = guest_text(pod);
    must_restore(pod);
    vcs_autofree char *again = guest_text(pod);
    VCT_MUST(t, once && again && strcmp(once, again) == 0,
             "guest_config says something else after save and restore: %.300s, and "
             "before: %.300s",
             again ? again : "", once ? once : "");
    must_clean(pod);
    vct_pod_free(pod);
}

/* ---- N12: netlink goes wrong ---- */

/* One call with the at-th message going wrong.  Returns whether there was such a message. */
static int faulty_scan(struct vct_pod *pod, enum vct_net_mode mode, unsigned at, size_t n)
{
    struct vct_net *w = pod->world;
    vct_net_fault(mode, at);
    int rc = vct_net_scan(pod, vct_call(pod->t, USUAL)), hit = vct_net_fault_hit();
    vct_net_fault(mode, 0);
    VCT_MUST(pod->t, rc != VC_OK || (!*w->wrong && w->n_eps == n && ep_named(pod, VCT_NET_NAME)),
             "scan with %s (message %u) answered VC_OK and found %zu of %zu endpoints: it has to ask again, or fail",
             vct_net_fault_name(mode), at, w->n_eps, n);
    VCT_MUST(pod->t, rc == VC_OK || *pod->t->err.text, "scan with %s (message %u) answered %s without a text",
             vct_net_fault_name(mode), at, vct_code(rc));
    return hit;
}

static int faulty_attach(struct vct *t, enum vct_net_mode mode, unsigned at)
{
    struct vct_pod *pod = adopted(t);
    struct vct_net *w = pod->world;
    struct vc_device d;
    char when[160];
    must(pod, "scan");
    struct vct_net_ep *ep = must_find(pod, VCT_NET_NAME);
    vct_net_fault(mode, at);
    int rc = attach(pod, ep, &d), hit = vct_net_fault_hit();
    vct_net_fault(mode, 0);
    VCT_MUST(t, rc == VC_OK || *t->err.text, "attach with %s (message %u) answered %s without a text",
             vct_net_fault_name(mode), at, vct_code(rc));
    if (rc == VC_OK) {
        VCT_MUST(t, !*w->wrong, "attach with %s (message %u) answered VC_OK, but %s", vct_net_fault_name(mode), at,
                 w->wrong);
        char why[200] = "";
        VCT_MUST(t, d.type != VC_DEV_NET || vct_net_carries(pod, ep, d.fds[0], why, sizeof(why)),
                 "attach with %s (message %u) answered VC_OK, but %s", vct_net_fault_name(mode), at, why);
    }
    snprintf(when, sizeof(when), "after an attach with %s (message %u), teardown and cleanup", vct_net_fault_name(mode),
             at);
    must_teardown(pod, "after a netlink failure");
    must_clean(pod);
    must_be_gone(pod, when);
    vct_pod_free(pod);
    return hit;
}

static void n12(struct vct *t)
{
    struct vct_pod *pod = adopted(t);
    struct vct_net *w = pod->world;
    unsigned walked = 0;
    must(pod, "scan");
    must_find(pod, VCT_NET_NAME);
    size_t n = w->n_eps;
    for (int mode = 0; mode < VCT_NET_N_MODES; mode++)
        for (unsigned at = 1; at <= 40 && faulty_scan(pod, (enum vct_net_mode)mode, at, n); at++)
            walked++;
    must(pod, "scan");
    VCT_MUST(t, w->n_eps == n, "after netlink failures, scan found %zu of %zu endpoints", w->n_eps, n);
    must_clean(pod);
    vct_pod_free(pod);
    for (int mode = 0; mode <= VCT_NET_UNSENT && vct_net_tun() == 0; mode++)
        for (unsigned at = 1; at <= 20 && faulty_attach(t, (enum vct_net_mode)mode, at); at++)
            walked++;
    if (!walked)
        vct_skip(t, "the plugin exchanges no netlink messages by the C library's send and receive in scan and attach");
    vct_note(t, "%u messages went wrong", walked);
}

/* ---- the table ---- */

#define HEADER "network.h "
const struct vct_check vct_checks_network[] = {
    { "N1", HEADER "teardown", VCT_NW, VCT_FULL, 0,
      "links, routes and rules of the caller's namespace stay as they are",
      "The host's own network is not the pod's: an address or route that changes there cuts off other pods, or the "
      "machine.",
      "Work in the pod's namespace only (host->netns_run); what has to be made outside goes away in teardown.", n1 },
    { "N2", HEADER "scan", VCT_NW, VCT_QUICK, VCT_NEEDS_ROOT,
      "scan finds the links of an adopted namespace with mac, mtu, addresses and routes",
      "What scan leaves out the guest does not get: a pod without its address or its route.",
      "Ask the kernel for links, addresses and routes of the namespace, of both families, each time scan is called; "
      "leave out "
      "loopback and what attach made.",
      n2 },
    { "N3", HEADER "attach", VCT_NW, VCT_QUICK, VCT_NEEDS_ROOT,
      "attach gives taps with close-on-exec, as many as queues, that carry frames to and from the link",
      "A card without a working tap behind it is a pod that starts and cannot be reached; a wrong number of queues "
      "makes the VMM "
      "refuse it.",
      "Open /dev/net/tun once per queue (IFF_MULTI_QUEUE for more than one) with O_CLOEXEC, set the tap up, and join "
      "it with the link by a bridge, macvtap or tc.",
      n3 },
    { "N4", HEADER "detach, teardown", VCT_NW, VCT_QUICK, 0,
      "detach and teardown are idempotent and undo what attach did",
      "A host that was killed between two steps repeats them; a second call that fails leaves a pod that cannot be "
      "deleted.",
      "Undo all that attach did, and answer VC_OK where there is nothing to be done any more.", n4 },
    { "N5", HEADER "teardown; plugin.h cleanup", VCT_NW, VCT_FULL, VCT_NEEDS_ROOT,
      "no link, qdisc, nftables rule or mount of a namespace is left",
      "What stays behind piles up on a host that starts thousands of pods a day, until names or memory run out.",
      "Remove in teardown, and again in cleanup, all that setup and attach made; record it with res_add before, and "
      "take it off "
      "with res_del afterwards.",
      n5 },
    { "N6", HEADER "teardown", VCT_NW, VCT_QUICK, VCT_NEEDS_ROOT, "an adopted namespace and its links stay",
      "The namespace belongs to the container engine, which may use it again, and has to find in it what it put there.",
      "Remember (and save) whether setup made the namespace; unmount only one that it made, and put back what "
      "attach changed.",
      n6 },
    { "N7", "linux IFNAMSIZ", VCT_NW, VCT_FULL, VCT_NEEDS_ROOT,
      "links with names of 15 characters work, and links that have the plugin's names are left alone",
      "A name made by adding to another one is cut off at 15 bytes: two links get the same one, and one takes the "
      "other's place.",
      "Make names from a number or a short hash, create links with NLM_F_EXCL, and never delete a link that was "
      "there before.",
      n7 },
    { "N8", HEADER "scan", VCT_NW, VCT_FULL, VCT_NEEDS_ROOT, "100 links are found, or refused with VC_E_RESOURCE",
      "A table of fixed size or a buffer for one netlink message shows only the first ones: a pod with half its "
      "network.",
      "Read dumps to their end, with buffers that grow; where there is a limit, answer VC_E_RESOURCE and name it.",
      n8 },
    { "N9", "plugin.h cleanup", VCT_NW, VCT_FULL, VCT_NEEDS_ROOT,
      "a link that goes away before, during or after attach does no harm",
      "Container engines take links away while a pod starts; what the plugin made for them has to go nevertheless.",
      "Answer VC_E_NOTFOUND in attach, and take a missing link in detach and teardown as done.", n9 },
    { "N10", "plugin.h (process-wide state)", VCT_NW, VCT_QUICK, 0, "the caller stays in its network namespace",
      "A thread that comes back in another namespace opens its next socket in a pod's network.",
      "Never call setns or unshare on a thread of the host: host->netns_run, or a thread of your own, does that.",
      n10 },
    { "N11", "agent.h vc_agent_net", VCT_NW, VCT_QUICK, 0,
      "guest_config has the form of vc_agent_net, names the cards that attach gave, and survives a restore",
      "The agent finds interfaces by their mac; one that no card has, or an address of another form, fails the "
      "start of the pod.",
      "Write the mac that attach gave to the device, addresses as \"10.0.0.2/24\", routes with a gateway or a device.",
      n11 },
    { "N12", HEADER "scan", VCT_NW, VCT_FULL, VCT_NEEDS_ROOT | VCT_SLOW,
      "a netlink request that is refused, lost, cut off or interrupted is no success with half a result",
      "Netlink loses messages on a busy machine (ENOBUFS, MSG_TRUNC, NLM_F_DUMP_INTR); a list that is short then is "
      "a network "
      "that is not set up.",
      "Look at every answer's error and flags, ask again when a dump was interrupted, and fail with a text "
      "otherwise.",
      n12 },
    { "N13", HEADER "scan", VCT_NW, VCT_QUICK, 0, "a namespace without any link is fine: an empty list",
      "Pods without a network exist; they have to start.", "Write \"[]\" in scan, and nothing in guest_config.", n13 },
    { .id = NULL }
};
