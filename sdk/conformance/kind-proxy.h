/* SPDX-License-Identifier: Apache-2.0 */
/* kind-proxy.h: what kind-proxy.c and the checks of proxies share. */
#ifndef VCT_KIND_PROXY_H
#define VCT_KIND_PROXY_H

#include "conformance/vct.h"

struct vct_proxy_world {
    char *agent; /* path of the socket where the guest's agent would be */
    int started; /* start answered VC_OK once, and this is what it gave: */
    struct vc_proc proc;
    struct vc_sink uri;
    uint32_t status; /* of the last status call */
};

/* start, with that address of the agent. */
int vct_proxy_start(struct vct_pod *pod, const struct vc_call *call, const char *agent_uri, struct vc_proc *proc,
                    struct vc_sink *uri);
/* Address of the pod's agent in the form the plugin takes; malloc'ed. */
char *vct_proxy_agent_uri(struct vct_pod *pod);
/* The address that the last start gave, and the path in it ("" when it is no unix socket). */
const char *vct_proxy_uri(struct vct_pod *pod);
const char *vct_proxy_socket(struct vct_pod *pod);
/* Is the process that start gave the one that runs, and was it started through the host?  1, or 0 with the reason. */
int vct_proxy_pid_true(struct vct_pod *pod, char *why, size_t size);
/* Can the address be connected to, and does what is sent there come to the agent's channel?  1, or 0 with the reason.
 */
int vct_proxy_reaches(struct vct_pod *pod, char *why, size_t size);

#endif
