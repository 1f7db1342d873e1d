/* SPDX-License-Identifier: Apache-2.0 */
/* net-faults.h: netlink as it is on a busy machine: requests that are refused, answers that get lost or change midway.
 */
#ifndef VCT_NET_FAULTS_H
#define VCT_NET_FAULTS_H

enum vct_net_mode {
    VCT_NET_REFUSED, /* a request is answered by EBUSY, and nothing was done */
    VCT_NET_UNSENT,  /* a request cannot be sent: ENOBUFS */
    VCT_NET_LOST,    /* an answer did not fit the socket's buffer: ENOBUFS */
    VCT_NET_CUT,     /* an answer is longer than the plugin's buffer: the end of it is missing, MSG_TRUNC */
    VCT_NET_CHANGED, /* what is dumped changed meanwhile: messages are missing, NLM_F_DUMP_INTR says so */
    VCT_NET_N_MODES
};

/* From now on, the at-th (from 1) request or answer of the plugin goes wrong; 0: none. */
void vct_net_fault(enum vct_net_mode mode, unsigned at);
/* How many requests or answers came that could go wrong, since then; did the fault come? */
unsigned vct_net_fault_seen(void);
int vct_net_fault_hit(void);
const char *vct_net_fault_name(enum vct_net_mode mode); /* "a request that the kernel refuses with EBUSY" */

#endif
