/* SPDX-License-Identifier: Apache-2.0 */
/* hv-checks.h: what the files of the hypervisor's checks share. */
#ifndef VCT_HV_CHECKS_H
#define VCT_HV_CHECKS_H

#include <limits.h>

#include "conformance/kind-hypervisor.h"

/* "RUNNING" */
const char *vct_hv_state_name(uint32_t state);
/* A new pod whose VM runs. */
struct vct_pod *vct_hv_up(struct vct *t);
/* cleanup; nothing may be left that runs; free. */
void vct_hv_down(struct vct_pod *pod);
/* Call a member, which has to answer VC_OK and to have its effect: 1, -1: that cannot be seen. */
int vct_hv_do(struct vct_pod *pod, const char *member);
/* vm_state has to give that; `when` begins the sentence. */
void vct_hv_is(struct vct_pod *pod, uint32_t want, const char *when);
/* save, close, restore. */
void vct_hv_restored(struct vct_pod *pod);

/* checks-hypervisor-devices.c */
void vct_hv_h5(struct vct *t);
void vct_hv_h9(struct vct *t);
/* checks-template.c */
void vct_hv_h13(struct vct *t);
void vct_hv_h14(struct vct *t);
void vct_hv_h15(struct vct *t);
void vct_hv_h16(struct vct *t);
void vct_hv_h17(struct vct *t);
void vct_hv_h18(struct vct *t);

#endif
