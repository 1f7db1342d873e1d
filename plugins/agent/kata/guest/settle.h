/* SPDX-License-Identifier: Apache-2.0 */
/* settle.h: a guest that is saved as a template, and one that was started from it. */
#ifndef AGENT_SETTLE_H
#define AGENT_SETTLE_H

#include "rpc.h"

/* Load and do everything that was put off; answered in the first round of the loop that has no event. */
int m_settle(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
/* Take random numbers and clock from the host, and make anew what the guest derived from its own. */
int m_renew(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
/* Does a settle wait, does the kernel still measure its clock (a second after the boot, for which all copies would have
 * to change over to it), and: answer, since there was nothing to do. */
int settle_pending(void);
int settle_kernel_busy(void);
void settle_idle(void);

/* Set the wall clock / feed the random number generator and have it begin anew: 0, or -1 with *err. */
int guest_set_clock(int64_t sec, int64_t nsec, struct agent_err *err);
int guest_reseed(const void *seed, size_t n, struct agent_err *err);
/* Write a new machine id: 0 or a negative errno. */
int guest_new_machine_id(void);

/* exercise.c: do for the usual container what can be done before it is asked for. */
int exercise_prepare(struct agent_err *err);
/* Run a program of the guest's own the way a container is run, and mount each shared folder once; nothing of it is left.
 * Both: 0, or -1 with *err. */
int exercise_run(struct agent_err *err);

#endif
