/* SPDX-License-Identifier: Apache-2.0 */
/* kata.h: what the parts of the host half share. */
#ifndef KATA_KATA_H
#define KATA_KATA_H

#include <pthread.h>

#include <vc/agent.h>
#include <vc/hypervisor.h>

#include "agent.pb-c.h"
#include "conn.h"
#include "lib/plug.h"

#define KATA_TTYS 64 /* processes with a terminal that are remembered, the newest ones */

struct vc_inst {
    const vc_host *host;
    char *pod;
    int64_t msize;        /* of the 9p share */
    pthread_mutex_t lock; /* guards what is below */
    struct kata_conn *conn;
    char *uri;            /* NULL: connect was not called */
    int destroyed;        /* sandbox_destroy has succeeded */
    char *tty[KATA_TTYS]; /* "CTR" or "CTR/EXEC" */
    size_t n_tty;
};

/* Ask the agent, connecting first when there is no connection: 0 when it answered (see r->code), else VC_E_*
 * with the error set.  `req` is a message of protobuf-c. */
int kata_ask(vc_inst *inst, const struct vc_call *call, const char *method, const void *req, struct kata_reply *r);
/* The same of another service than KATA_AGENT. */
int kata_ask_service(vc_inst *inst, const struct vc_call *call, const char *service, const char *method, const void *req,
                     struct kata_reply *r);
/* Turn a reply with an error code into ours, and free it. */
int kata_refused(vc_inst *inst, const struct vc_call *call, const char *method, struct kata_reply *r);
/* Ask, and want no more than success. */
int kata_do(vc_inst *inst, const struct vc_call *call, const char *method, const void *req);
/* Ask, and get the answer's message; free it with protobuf_c_message_free_unpacked. */
int kata_get(vc_inst *inst, const struct vc_call *call, const char *method, const void *req,
             const ProtobufCMessageDescriptor *desc, ProtobufCMessage **ret);

/* report.c: answers as JSON text. */
int kata_ps(vc_inst *inst, const struct vc_call *call, const char *ctr, vc_sink *json);
int kata_stats(vc_inst *inst, const struct vc_call *call, const char *ctr, vc_sink *json);
/* netconf.c: network settings for the guest. */
int kata_net_update(vc_inst *inst, const struct vc_call *call, const struct vc_agent_net *net);
/* template.c: guests that become a template or come from one; processors and memory that were plugged in. */
int kata_settle(vc_inst *inst, const struct vc_call *call, uint32_t flags);
int kata_renew(vc_inst *inst, const struct vc_call *call, const struct vc_renew *renew);
int kata_online(vc_inst *inst, const struct vc_call *call, uint32_t vcpus);

#endif
