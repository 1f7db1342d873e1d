/* SPDX-License-Identifier: Apache-2.0 */
/* net.h: links, addresses, routes and neighbours, by rtnetlink. */
#ifndef AGENT_NET_H
#define AGENT_NET_H

#include "agent.h"
#include "agent.pb-c.h"

int net_loopback_up(struct agent_err *err);
/* Set up the link whose hardware address is that of want: addresses, name, mtu, up.  Exactly the given
 * addresses remain.  -1 with VCS_RPC_NOTFOUND when there is no such link (yet). */
int net_update_interface(const Types__Interface *want, struct agent_err *err);
/* Make the given routes the only ones (apart from those of the kernel and the loopback link). */
int net_update_routes(const Agent__Routes *want, struct agent_err *err);
int net_add_neighbors(const Agent__ARPNeighbors *want, struct agent_err *err);
/* Fill in *ret with malloc'ed parts, to be freed with the free_unpacked function of its type (also after a
 * failure). */
int net_list_interfaces(Agent__Interfaces *ret, struct agent_err *err);
int net_list_routes(Agent__Routes *ret, struct agent_err *err);
int net_stats(Agent__StatsContainerResponse *ret, struct agent_err *err);
/* A socket that becomes readable when links appear or change; negative errno. */
int net_monitor_open(void);

#endif
