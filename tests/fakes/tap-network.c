/* SPDX-License-Identifier: Apache-2.0 */
/* tap-network.c: network plugin "tap" of the VM tests: a namespace of the pod's own with taps in it, from which the
 * guest can be reached and nothing else.  Written as a vendor would: with the SDK alone. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vc/network.h>

#include "lib/buf.h"
#include "lib/plug.h"

#define MAX_LINKS 4
#define MTU       1400

struct vc_inst {
    const vc_host *host;
    char netns[256];             /* path of its bind mount; "" = none was made */
    unsigned char net[2];        /* of 10.X.Y+i.0/24 */
    unsigned char mac[5];        /* of the guest's cards: the sixth byte is the number of the link */
    unsigned links;
    int32_t tap[MAX_LINKS];      /* -1 = not attached by this process */
};

/* ---- instance ---- */

static void tap_close(vc_inst *t)
{
    for (unsigned i = 0; i < MAX_LINKS; i++)
        if (t->tap[i] >= 0)
            close(t->tap[i]);
    free(t);
}

static int tap_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                      vc_inst **out)
{
    (void)pod_id;
    vc_inst *t = calloc(1, sizeof(*t));
    if (!t || getrandom(t->net, sizeof(t->net), 0) != sizeof(t->net) ||
        getrandom(t->mac, sizeof(t->mac), 0) != sizeof(t->mac)) {
        free(t);
        return vcs_fail(host, call, VC_E_NOMEM, 0, "network tap: no memory or no random bytes");
    }
    t->host = host;
    t->mac[0] = (t->mac[0] & 0xfe) | 0x02; /* of one station, locally made */
    t->net[1] &= 0xf8;                     /* the links count on from here */
    t->links = (unsigned)vcs_opt_int(host, cfg, "links", 1);
    for (unsigned i = 0; i < MAX_LINKS; i++)
        t->tap[i] = -1;
    *out = t;
    return VC_OK;
}

static int tap_save(vc_inst *t, const struct vc_call *call, vc_sink *out)
{
    char text[400];
    snprintf(text, sizeof(text), "%u %u %u %02x:%02x:%02x:%02x:%02x %s\n", t->links, t->net[0], t->net[1], t->mac[0],
             t->mac[1], t->mac[2], t->mac[3], t->mac[4], t->netns[0] ? t->netns : "-");
    int rc = vcs_put(t->host, out, text);
    return rc == VC_OK ? rc : vcs_fail(t->host, call, rc, 0, "network tap: the state cannot be written");
}

static int tap_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    if (state_version != 1)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "network tap: state version %u of pod %s is unknown", state_version,
                        pod_id);
    vcs_autofree char *text = strndup(state.data, state.len);
    vc_inst *t = NULL;
    int rc = text ? tap_create(host, call, cfg, pod_id, &t) : VC_E_NOMEM;
    if (rc < 0)
        return rc;
    if (sscanf(text, "%1u %hhu %hhu %2hhx:%2hhx:%2hhx:%2hhx:%2hhx %255s", &t->links, &t->net[0], &t->net[1], &t->mac[0],
               &t->mac[1], &t->mac[2], &t->mac[3], &t->mac[4], t->netns) != 9 ||
        t->links < 1 || t->links > MAX_LINKS || (t->netns[0] != '/' && strcmp(t->netns, "-") != 0)) {
        tap_close(t);
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "network tap: the stored state of pod %s cannot be read", pod_id);
    }
    if (t->netns[0] == '-')
        t->netns[0] = '\0';
    *out = t;
    return VC_OK;
}

static int tap_check(vc_inst *t, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    *health = t->netns[0] && access(t->netns, F_OK) == 0 ? VC_HEALTH_OK : VC_HEALTH_GONE;
    return VC_OK;
}

static uint64_t tap_caps(vc_inst *t)
{
    (void)t;
    return 0;
}

/* ---- the namespace ---- */

static int failed(const vc_inst *t, const struct vc_call *call, int sys, const char *what)
{
    return vcs_fail(t->host, call, vcs_code_of(sys), sys, "cannot %s %s", what, t->netns);
}

/* On a thread of its own: 0 or the errno. */
static void *make_netns(void *path)
{
    if (unshare(CLONE_NEWNET) < 0 || mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL) < 0)
        return (void *)(intptr_t)errno;
    return NULL;
}

static int tap_teardown(vc_inst *t, const struct vc_call *call)
{
    for (unsigned i = 0; i < MAX_LINKS; i++)
        if (t->tap[i] >= 0)
            close(VCS_TAKE_FD(t->tap[i]));
    if (!t->netns[0])
        return VC_OK;
    if (access(t->netns, F_OK) == 0 && umount2(t->netns, MNT_DETACH) < 0 && errno != EINVAL)
        return failed(t, call, errno, "unmount");
    if (unlink(t->netns) < 0 && errno != ENOENT)
        return failed(t, call, errno, "remove");
    t->host->res_del(t->host, VC_RES_NETNS, t->netns);
    t->netns[0] = '\0';
    return VC_OK;
}

/* Make the file and the namespace that is bound to it: its descriptor, or a code. */
static int make(vc_inst *t, const struct vc_call *call)
{
    pthread_t thread;
    void *sys = NULL;
    int file = open(t->netns, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (file < 0)
        return failed(t, call, errno, "make");
    close(file);
    int r = pthread_create(&thread, NULL, make_netns, t->netns);
    if (!r)
        pthread_join(thread, &sys);
    r = r ? r : (int)(intptr_t)sys;
    if (r) {
        unlink(t->netns); /* nothing was mounted on it */
        return failed(t, call, r, "make the namespace");
    }
    int fd = open(t->netns, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? failed(t, call, errno, "open") : fd;
}

static int tap_setup(vc_inst *t, const struct vc_call *call, const struct vc_net_request *req, int32_t *out_nsfd)
{
    if (t->netns[0])
        return vcs_fail(t->host, call, VC_E_STATE, 0, "network tap has made %s already", t->netns);
    if (req->netns_path)
        return vcs_fail(t->host, call, VC_E_UNSUPPORTED, 0, "network tap adopts no namespaces, and %s was given",
                        req->netns_path);
    if (mkdir("/run/netns", 0755) < 0 && errno != EEXIST)
        return vcs_fail(t->host, call, vcs_code_of(errno), errno, "cannot make /run/netns");
    snprintf(t->netns, sizeof(t->netns), "/run/netns/vctap-%02x%02x%02x%02x", t->mac[1], t->mac[2], t->mac[3],
             t->mac[4]);
    int rc = t->host->res_add(t->host, VC_RES_NETNS, t->netns);
    if (rc < 0)
        rc = vcs_fail(t->host, call, rc, 0, "cannot record %s", t->netns);
    else
        rc = make(t, call);
    if (rc < 0) {
        struct vc_call undo = { .size = sizeof(undo) }; /* its failure must not take the place of the first one */
        tap_teardown(t, &undo);
        return rc;
    }
    *out_nsfd = rc;
    return VC_OK;
}

/* ---- links ---- */

static int tap_scan(vc_inst *t, const struct vc_call *call, vc_sink *out)
{
    struct vcs_buf b = { 0 };
    int rc = vcs_buf_printf(&b, "[");
    for (unsigned i = 0; rc == 0 && i < t->links; i++)
        rc = vcs_buf_printf(&b,
                            "%s{\"id\":\"tap%u\",\"name\":\"eth%u\",\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\",\"mtu\":%d,"
                            "\"addresses\":[\"10.%u.%u.2/24\"],\"routes\":[]}",
                            i ? "," : "", i, i, t->mac[0], t->mac[1], t->mac[2], t->mac[3], t->mac[4], i, MTU, t->net[0],
                            t->net[1] + i);
    rc = rc < 0 || vcs_buf_printf(&b, "]\n") < 0 ? VC_E_NOMEM : vcs_put(t->host, out, vcs_buf_str(&b));
    vcs_buf_done(&b);
    return rc == VC_OK ? rc : vcs_fail(t->host, call, rc, 0, "network tap: the list of links cannot be written");
}

struct opening {
    const vc_inst *t;
    unsigned i;
    int fd, sys;
};

static int address(int s, struct ifreq *ifr, unsigned long what, const vc_inst *t, unsigned i)
{
    struct sockaddr_in a = { .sin_family = AF_INET };
    a.sin_addr.s_addr = what == SIOCSIFNETMASK
                            ? htonl(0xffffff00u)
                            : htonl(10u << 24 | (unsigned)t->net[0] << 16 | (unsigned)(t->net[1] + i) << 8 | 1);
    memcpy(&ifr->ifr_addr, &a, sizeof(a));
    return ioctl(s, what, ifr);
}

/* In the namespace: a tap with an address, up. */
static int open_tap(void *arg)
{
    struct opening *o = arg;
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    vcs_autoclose int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    vcs_autoclose int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "tap%u", o->i);
    if (fd < 0 || s < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
        return o->sys = errno, -1;
    if (address(s, &ifr, SIOCSIFADDR, o->t, o->i) < 0 || address(s, &ifr, SIOCSIFNETMASK, o->t, o->i) < 0)
        return o->sys = errno, -1;
    ifr.ifr_mtu = MTU;
    if (ioctl(s, SIOCSIFMTU, &ifr) < 0)
        return o->sys = errno, -1;
    ifr.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(s, SIOCSIFFLAGS, &ifr) < 0)
        return o->sys = errno, -1;
    o->fd = VCS_TAKE_FD(fd);
    return 0;
}

static int link_of(const vc_inst *t, const char *id)
{
    unsigned i = 0;
    return id && strncmp(id, "tap", 3) == 0 && id[3] >= '0' && id[3] <= '9' && !id[4] && (i = (unsigned)(id[3] - '0')) < t->links
               ? (int)i
               : -1;
}

static int tap_attach(vc_inst *t, const struct vc_call *call, const struct vc_endpoint *ep, struct vc_device *out)
{
    int i = link_of(t, ep->id);
    if (i < 0)
        return vcs_fail(t->host, call, VC_E_NOTFOUND, 0, "network tap has no link \"%s\"", ep->id ? ep->id : "");
    if (t->tap[i] < 0) {
        struct opening o = { .t = t, .i = (unsigned)i, .fd = -1 };
        int ns = open(t->netns, O_RDONLY | O_CLOEXEC);
        if (ns < 0)
            return failed(t, call, errno, "open");
        int rc = t->host->netns_run(t->host, call, ns, open_tap, &o);
        close(ns);
        if (rc < 0 && !o.sys)
            return rc; /* the host could not run it, and has said why */
        if (rc < 0)
            return vcs_fail(t->host, call, vcs_code_of(o.sys), o.sys, "cannot make tap%d in %s", i, t->netns);
        t->tap[i] = o.fd;
    }
    out->type = VC_DEV_NET;
    out->id = ep->id;
    out->mac = ep->mac;
    out->fds = &t->tap[i];
    out->n_fds = out->queues = 1;
    return VC_OK;
}

static int tap_detach(vc_inst *t, const struct vc_call *call, const char *endpoint_id)
{
    int i = link_of(t, endpoint_id);
    (void)call;
    if (i >= 0 && t->tap[i] >= 0)
        close(VCS_TAKE_FD(t->tap[i]));
    return VC_OK;
}

static int tap_guest_config(vc_inst *t, const struct vc_call *call, vc_sink *out)
{
    struct vcs_buf b = { 0 };
    int rc = vcs_buf_printf(&b, "{\"interfaces\":[");
    for (unsigned i = 0; rc == 0 && i < t->links; i++)
        rc = vcs_buf_printf(&b,
                            "%s{\"name\":\"eth%u\",\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\",\"mtu\":%d,"
                            "\"addresses\":[\"10.%u.%u.2/24\"]}",
                            i ? "," : "", i, t->mac[0], t->mac[1], t->mac[2], t->mac[3], t->mac[4], i, MTU, t->net[0],
                            t->net[1] + i);
    if (rc == 0)
        rc = vcs_buf_printf(&b, "],\"routes\":[{\"dest\":\"\",\"gateway\":\"10.%u.%u.1\",\"device\":\"eth0\"}]}", t->net[0],
                            t->net[1]);
    rc = rc < 0 ? VC_E_NOMEM : vcs_put(t->host, out, vcs_buf_str(&b));
    vcs_buf_done(&b);
    return rc == VC_OK ? rc : vcs_fail(t->host, call, rc, 0, "network tap: the guest's settings cannot be written");
}

static const struct vc_inst_ops tap_inst = {
    .size = sizeof(tap_inst),
    .create = tap_create,
    .restore = tap_restore,
    .save = tap_save,
    .check = tap_check,
    .cleanup = tap_teardown,
    .close = tap_close,
    .caps = tap_caps,
};

static const struct vc_network_ops tap_ops = {
    .size = sizeof(tap_ops),
    .setup = tap_setup,
    .scan = tap_scan,
    .attach = tap_attach,
    .detach = tap_detach,
    .guest_config = tap_guest_config,
    .teardown = tap_teardown,
};

static const struct vc_option tap_options[] = {
    { .key = "links", .type = VC_OPT_INT, .def = "1", .min = 1, .max = MAX_LINKS, .doc = "How many links a pod has." },
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_NETWORK,
    .name = "tap",
    .vendor = "libvccore tests",
    .version = "1",
    .description = "A namespace with tap devices in it, for tests.",
    .options = tap_options,
    .n_options = sizeof(tap_options) / sizeof(*tap_options),
    .option_stride = sizeof(struct vc_option),
    .state_version = 1,
    .state_version_min = 1,
    .inst = &tap_inst,
    .ops = &tap_ops,
};
