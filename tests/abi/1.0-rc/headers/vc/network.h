/* SPDX-License-Identifier: Apache-2.0 */
/* vc/network.h: a plugin that gives a pod its network. */
#ifndef VC_NETWORK_H
#define VC_NETWORK_H

#include "hypervisor.h"
#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VC_NET_CAP_NONE (UINT64_C(1) << 0) /* pods have no network: setup gives no namespace */

struct vc_net_request {
    uint32_t size;
    uint32_t flags;         /* 0 */
    const char *netns_path; /* namespace to adopt; NULL = make one */
    const char *hostname;
};

/* One interface found in the pod's namespace. */
struct vc_endpoint {
    uint32_t size;
    uint32_t flags;
    const char *id;   /* unique within the pod */
    const char *name; /* of the link */
    const char *mac;
    uint32_t mtu;
    uint32_t queues;
};

struct vc_network_ops {
    uint32_t size;
    uint32_t reserved; /* 0 */

    /* Make or adopt the pod's namespace and its links.  One that is made is mounted in VC_PATH_RUN, by a thread of the
     * plugin's own, and is on record (VC_RES_NETNS) before.  *out_nsfd: descriptor of the namespace, or -1
     * when pods use the caller's.  VC_E_STATE when it was called already and teardown was not. */
    int (*setup)(vc_inst *inst, const struct vc_call *call, const struct vc_net_request *req, int32_t *out_nsfd);
    /* What the namespace holds for the guest: JSON array of {"id","name","mac","mtu","queues","addresses","routes"};
     * addresses are "10.0.0.2/24", routes have the form of vc_agent_net (agent.h), queues (1 when left out) is how many
     * queues its device gets.  The loopback link and what attach has made are left out; what setup made for the pod is
     * an endpoint like any other. */
    int (*scan)(vc_inst *inst, const struct vc_call *call, vc_sink *endpoints);
    /* Connect one endpoint to a device for the hypervisor's device_add, with ep->queues tap descriptors (scan's number or
     * fewer; no other number is right), with IFF_VNET_HDR where that can be.  out->mac is the card's, which guest_config
     * names: the link's or another.  out->fds stay the plugin's and are valid until the next call on this instance. */
    int (*attach)(vc_inst *inst, const struct vc_call *call, const struct vc_endpoint *ep, struct vc_device *out);
    /* Undo attach.  Idempotent.  A tap that setup made may stay, and is down. */
    int (*detach)(vc_inst *inst, const struct vc_call *call, const char *endpoint_id);
    /* What the agent must set up inside: text for vc_agent_net; empty when there is nothing. */
    int (*guest_config)(vc_inst *inst, const struct vc_call *call, vc_sink *json);
    /* Remove all that setup and attach made; an adopted namespace stays.  Idempotent. */
    int (*teardown)(vc_inst *inst, const struct vc_call *call);
};

#ifdef __cplusplus
}
#endif
#endif
