/* SPDX-License-Identifier: Apache-2.0 */
/* vc/proxy.h: a plugin that lets several host processes share one channel to the agent. */
#ifndef VC_PROXY_H
#define VC_PROXY_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VC_PROXY_NONE = 0, VC_PROXY_RUNNING = 1, VC_PROXY_STOPPED = 2 };

struct vc_proxy_params {
    uint32_t size;
    uint32_t flags;          /* 0 */
    const char *agent_uri;   /* of the hypervisor's agent_endpoint: serial://PATH, vsock://CID:PORT, hvsock://PATH:PORT
                                or unix://PATH; empty without a guest */
    const char *console_uri; /* of the hypervisor's console; may be empty */
    int32_t netns_fd;        /* namespace to run in; -1 = the caller's */
    int32_t reserved;
};

/* What a proxy that has a process carries.  Each connection to `uri` is a stream of its own between that client and the
 * agent: its bytes come whole, once and in order, both ways, and any number of clients is served at once.  Who takes
 * nothing, client or agent, holds up nobody else; what it does not take is held back at its source and not stored
 * without limit.  When one side ends its sending (shutdown), the other should see that end after all that was sent, and
 * what it sends itself should still come; a proxy that makes of it the end of both serves only agents whose clients
 * never do that.  A client that goes, in whatever way, ends its stream at the agent, harms no other, and leaves no
 * descriptor, thread or process behind once the agent has ended it too.  A serial:// port is connected to once. */
struct vc_proxy_ops {
    uint32_t size;
    uint32_t reserved; /* 0 */

    /* Start it.  `proc` gets its process (pid 0: there is none), `uri` what the agent plugin and
     * shims connect to; it may be connected to when this returns.  VC_E_EXISTS when it runs; one that was killed
     * or stopped may be started again.  VC_E_UNSUPPORTED for a form of agent_uri that it cannot share.
     * After a failure it is as before, VC_PROXY_NONE or VC_PROXY_STOPPED, which hosts take for the same (it does not run),
     * and nothing runs but what is on record for cleanup.  Without a deadline it may wait as long as it takes, until
     * `cancel`, or end by VC_E_TIMEOUT after a time of its own.
     * Without a process `uri` is agent_uri byte for byte (also when that is empty), and nothing was spawned. */
    int (*start)(vc_inst *inst, const struct vc_call *call, const struct vc_proxy_params *params, struct vc_proc *proc, vc_sink *uri);
    /* End it; idempotent.  On return its process has ended and its socket is gone. */
    int (*stop)(vc_inst *inst, const struct vc_call *call);
    /* VC_PROXY_* as the system says now.  Without a process: VC_PROXY_RUNNING from start to stop, and `check` says
     * VC_HEALTH_OK as long. */
    int (*status)(vc_inst *inst, const struct vc_call *call, uint32_t *state);
};

#ifdef __cplusplus
}
#endif
#endif
