/* SPDX-License-Identifier: Apache-2.0 */
/* kind-agent.h: what kind-agent.c and the checks of agents share: calls with good arguments, for containers whose
 * processes do what their command lines say (peer.h lists them). */
#ifndef VCT_KIND_AGENT_H
#define VCT_KIND_AGENT_H

#include "conformance/vct.h"

#define VCT_AG_EXIT(n) "[\"/bin/sh\",\"-c\",\"exit " #n "\"]"
#define VCT_AG_KILL(n) "[\"/bin/sh\",\"-c\",\"kill -" #n " $$\"]"
#define VCT_AG_CAT     "[\"/bin/cat\"]"
#define VCT_AG_SLEEP   "[\"/bin/sleep\",\"1000\"]"
#define VCT_AG_NOCMD   "[\"/no/such/program\"]"
#define VCT_AG_NOEXEC  "[\"/etc/passwd\"]"

struct vct_agent_world {
    char *uri;         /* of the guest's agent; "" when the plugin talks to nobody */
    const char *share; /* where the guest's root filesystems are; NULL: it needs none */
    const char *group; /* the control group of a guest that is an ordinary process; NULL: it has none */
    int connected;
    int sandbox;    /* sandbox_create was VC_OK */
    char main[40];  /* the container that runs in state UP; "" when it is not created yet */
    unsigned n;     /* for ids */
    char id[40];    /* of the last container or process made */
    char text[256]; /* what the effect of the last member is judged by */
    int32_t status;
};

/* Does it talk to nobody (VC_AG_CAP_NO_GUEST)? */
int vct_ag_no_guest(struct vct_pod *pod);
/* The members, each through VCT. */
int vct_ag_connect(struct vct_pod *pod, const struct vc_call *call);
int vct_ag_disconnect(struct vct_pod *pod, const struct vc_call *call);
int vct_ag_ping(struct vct_pod *pod, const struct vc_call *call);
int vct_ag_create(struct vct_pod *pod, const struct vc_call *call, const char *id, const char *args);
int vct_ag_create_spec(struct vct_pod *pod, const struct vc_call *call, const char *id, const void *spec, size_t len);
int vct_ag_start(struct vct_pod *pod, const struct vc_call *call, const char *id);
int vct_ag_remove(struct vct_pod *pod, const struct vc_call *call, const char *id);
int vct_ag_exec(struct vct_pod *pod, const struct vc_call *call, const char *ctr, const char *id, const char *args,
                int terminal);
int vct_ag_signal(struct vct_pod *pod, const struct vc_call *call, const char *ctr, const char *id, int sig,
                  uint32_t flags);
int vct_ag_wait(struct vct_pod *pod, const struct vc_call *call, const char *ctr, const char *id, int32_t *status);
int vct_ag_stdio(struct vct_pod *pod, const struct vc_call *call, const char *ctr, const char *id, int32_t fds[3]);
/* ps or stats, into *ret (malloc'ed, NUL behind it). */
int vct_ag_listing(struct vct_pod *pod, const struct vc_call *call, int stats, const char *ctr, char **ret,
                   size_t *ret_len);
/* A specification with these args, and `pad` more bytes of environment; malloc'ed. */
char *vct_ag_spec(const char *args, int terminal, size_t pad);
/* An id that was not used yet; the pod's until the next call. */
const char *vct_ag_id(struct vct_pod *pod, const char *prefix);
/* Connected if it was not. VC_OK, or what connect answered. */
int vct_ag_ready(struct vct_pod *pod);

#endif
