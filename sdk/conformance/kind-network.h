/* SPDX-License-Identifier: Apache-2.0 */
/* kind-network.h: the world of a network plugin, for kind-network.c and the checks of networks.
 *
 * Every pod has a namespace in which a link was planted, the way a container engine prepares one: "eth0" with addresses
 * and routes, the far end of it in the tool's own namespace.  A plugin that adopts namespaces is given its path; one
 * that only makes its own (VC_E_UNSUPPORTED for a path) makes it, and what cannot be seen there is not asked for. */
#ifndef VCT_KIND_NETWORK_H
#define VCT_KIND_NETWORK_H

#include "conformance/json.h"
#include "conformance/netlink.h"
#include "conformance/vct.h"

#define VCT_NET_PLANTS 128 /* links in one namespace */

/* What is planted in every namespace. */
#define VCT_NET_NAME  "eth0"
#define VCT_NET_MTU   1420
#define VCT_NET_IP4   "10.77.0.2/24"
#define VCT_NET_IP6   "fd77::2/64"
#define VCT_NET_GW4   "10.77.0.1"
#define VCT_NET_GW6   "fd77::1"
#define VCT_NET_DEST4 "10.99.0.0/16"

struct vct_plant {
    char name[16], peer[16], mac[18];
};
/* One endpoint as scan gave it, and what attach made of it. */
struct vct_net_ep {
    char id[32], name[16], mac[18];
    uint32_t mtu, queues;
    char tap[16];      /* name of the link behind its descriptors; "": not attached, or no tap */
    char card_mac[18]; /* of the device that attach gave */
};
struct vct_net {
    char *path; /* of the namespace to adopt */
    int ns;     /* descriptor of it; -1: without privilege there is none */
    struct vct_plant plants[VCT_NET_PLANTS];
    size_t n_plants;
    struct vcs_buf before, outside; /* pictures of it, and of the tool's own, before the plugin had a part in it */
    int tun;                        /* what vct_net_tun said at first */
    int adopted;                    /* setup adopted it */
    int nsfd;                       /* of setup; -1: none */
    struct vct_net_ep *eps;         /* of the last scan */
    size_t n_eps;
    struct vct_json *scan;  /* the same, as text */
    struct vct_json *guest; /* of the last guest_config; NULL: it was empty */
    int guest_seen;
    char wrong[400]; /* what was wrong with the result of the last setup, scan, attach or guest_config; "": nothing */
};

/* One more link in the pod's namespace.  0 or a negative errno. */
int vct_net_plant(struct vct_pod *pod, const char *name, uint32_t queues);
/* Take the planted links away, all of them. */
void vct_net_clear(struct vct_pod *pod);
/* Let what is there now be the "before" of traces. */
void vct_net_settled(struct vct_pod *pod);
/* Does this plugin adopt namespaces?  1 or 0, -1 when no setup has shown it yet. */
int vct_net_adopts(void);
/* Namespace of the pod as far as the tool knows; -1: none. */
int vct_net_ns(const struct vct_pod *pod);

/* setup with that path; on VC_OK the descriptor is the caller's. */
int vct_net_setup(struct vct_pod *pod, const struct vc_call *call, const char *path, int32_t *nsfd);
/* scan; fills eps and scan, or says in `wrong` why not. */
int vct_net_scan(struct vct_pod *pod, const struct vc_call *call);
/* attach endpoint i of the last scan; looks at the descriptors and says in `wrong` what is not right.  *ret (may be
 * NULL) is valid until the next call of the pod. */
int vct_net_attach(struct vct_pod *pod, const struct vc_call *call, size_t i, struct vc_device *ret);
int vct_net_detach(struct vct_pod *pod, const struct vc_call *call, const char *id);
/* guest_config; fills guest, or says in `wrong` why its form is not that of vc_agent_net. */
int vct_net_guest(struct vct_pod *pod, const struct vc_call *call);
int vct_net_teardown(struct vct_pod *pod, const struct vc_call *call);

/* Is there something that makes taps?  0, or a negative errno. */
int vct_net_tun(void);
/* Do frames pass between the descriptor of an attached endpoint and the far end of the planted link?  1, or 0 with why.
 */
int vct_net_carries(struct vct_pod *pod, const struct vct_net_ep *ep, int tap, char *why, size_t size);

#endif
