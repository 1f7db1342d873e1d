/* SPDX-License-Identifier: Apache-2.0 */
/* kind-shim.h: what kind-shim.c and the checks of shims share. */
#ifndef VCT_KIND_SHIM_H
#define VCT_KIND_SHIM_H

#include "conformance/vct.h"

struct vct_shim_world {
    char *uri;    /* of the guest's agent */
    char ctr[80]; /* the container whose first process the shim stands for */
    char *exit_file;
    int in, out;         /* our ends of its streams: written to, read from; -1: none */
    int started;         /* start answered VC_OK once */
    struct vc_proc proc; /* and gave this */
    uint32_t state;      /* of the last status */
    int32_t status;
};

/* start for w->ctr with these streams (borrowed) and flags. */
int vct_shim_start(struct vct_pod *pod, const struct vc_call *call, const int stdio[3], uint32_t flags,
                   struct vc_proc *proc);
int vct_shim_stop(struct vct_pod *pod, const struct vc_call *call, const char *ctr, const char *exec);
int vct_shim_status(struct vct_pod *pod, const struct vc_call *call, const char *ctr, const char *exec, uint32_t *state,
                    int32_t *status);
/* Pipes: ours are kept in the world, the shim's in stdio. 0 or -1. */
int vct_shim_pipes(struct vct_pod *pod, int stdio[3]);
/* Does the plugin claim to have no process (VC_SHIM_CAP_NONE)? */
int vct_shim_none(struct vct_pod *pod);

#endif
