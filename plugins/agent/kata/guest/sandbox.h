/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.h: the sandbox: what all containers of the VM share, and the methods that concern the guest. */
#ifndef AGENT_SANDBOX_H
#define AGENT_SANDBOX_H

#include "rpc.h"

/* -1 with *err unless the sandbox exists and is not being destroyed. */
int sandbox_check_open(struct agent_err *err);
/* Go on with the destruction of the sandbox, when all containers have gone. */
void sandbox_proceed(void);
/* 1 when the machine is to be switched off (as soon as the answer has been written). */
int sandbox_ended(void);
/* Kill and remove everything at once, as the end of the agent itself. */
void sandbox_clear(void);

int m_create_sandbox(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
int m_destroy_sandbox(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);

#endif
