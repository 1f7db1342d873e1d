/* SPDX-License-Identifier: Apache-2.0 */
/* guest.h: methods that concern the guest as a whole, files, and listings. */
#ifndef AGENT_GUEST_H
#define AGENT_GUEST_H

#include "rpc.h"

int m_online_cpu_mem(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
int m_get_guest_details(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
int m_set_guest_date_time(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
int m_reseed_random_dev(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
int m_copy_file(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
int m_mem_hotplug_by_probe(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
/* Something was hotplugged: calls that wait for processors or memory may go on.  And: are there any?  The last step of the
 * kernel is not announced, so they have to look again after a while. */
void guest_hotplug_event(void);
int guest_waits(void);
/* The link may have been hotplugged just now: the call waits for it for a while. */
int m_update_interface(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);

#endif
