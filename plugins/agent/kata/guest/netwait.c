/* SPDX-License-Identifier: Apache-2.0 */
/* netwait.c: UpdateInterface, which waits for a link that has been hotplugged a moment ago. */
#include <string.h>
#include <sys/epoll.h>

#include "guest.h"
#include "lib/io.h"
#include "loop.h"
#include "net.h"

#define HOTPLUG_LIMIT_NS 3000000000ll

struct link_wait {
    struct rpc_pending p;
    Agent__UpdateInterfaceRequest *q;
};

static struct list link_waits = {&link_waits, &link_waits};
static void link_event(struct watch *w, uint32_t events);
static struct watch link_monitor = {.fd = -1, .fn = link_event};

static void stop_monitor_when_idle(void)
{
    if (!list_empty(&link_waits) || link_monitor.fd < 0)
        return;
    loop_watch(&link_monitor, 0);
    close(link_monitor.fd);
    link_monitor.fd = -1;
}

static void drop_link_wait(struct rpc_pending *p)
{
    struct link_wait *w = list_entry(p, struct link_wait, p);
    rpc_pending_end(p);
    agent__update_interface_request__free_unpacked(w->q, NULL);
    free(w);
    stop_monitor_when_idle();
}

static void link_event(struct watch *w, uint32_t events)
{
    char drain[4096];
    struct list *l, *tmp;
    (void)events;
    while (read(w->fd, drain, sizeof(drain)) > 0)
        ;
    list_for_each_safe(l, tmp, &link_waits)
    {
        struct rpc_pending *p = list_entry(l, struct rpc_pending, queue_link);
        struct link_wait *wait = list_entry(p, struct link_wait, p);
        struct agent_err err;
        int r = net_update_interface(wait->q->interface, &err);
        if (r < 0 && err.code == VCS_RPC_NOTFOUND)
            continue;
        if (r < 0)
            rpc_reply_error(&p->call, &err);
        else
            rpc_reply(&p->call, &wait->q->interface->base);
        drop_link_wait(p);
    }
}

static int wait_for_link(struct rpc_call *call, const Agent__UpdateInterfaceRequest *q, struct agent_err *err)
{
    struct link_wait *w = calloc(1, sizeof(*w));
    size_t n = agent__update_interface_request__get_packed_size(q);
    vcs_autofree unsigned char *packed = malloc(n);
    if (!w || !packed) {
        free(w);
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    }
    agent__update_interface_request__pack(q, packed);
    w->q = agent__update_interface_request__unpack(NULL, n, packed);
    struct rpc_call limited = *call;
    int64_t end = vcs_now_ns() + HOTPLUG_LIMIT_NS;
    if (!limited.deadline_ns || end < limited.deadline_ns)
        limited.deadline_ns = end;
    if (!w->q || rpc_pending_add(&w->p, &limited, drop_link_wait, err) < 0) {
        if (!w->q)
            agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
        else
            agent__update_interface_request__free_unpacked(w->q, NULL);
        free(w);
        return -1;
    }
    list_add(&link_waits, &w->p.queue_link);
    return 0;
}

int m_update_interface(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__UpdateInterfaceRequest *q = (const void *)msg;
    if (!q->interface)
        return agent_fail(err, VCS_RPC_INVALID, "the request names no interface");
    if (!agent_config.own_net)
        return agent_fail(err, VCS_RPC_PRECONDITION, "the network of this machine is not the agent's to configure");
    /* Watch first, so that no link can appear between the look and the watch. */
    if (link_monitor.fd < 0) {
        link_monitor.fd = net_monitor_open();
        if (link_monitor.fd >= 0)
            loop_watch(&link_monitor, EPOLLIN);
    }
    int r = net_update_interface(q->interface, err);
    if (r == 0)
        rpc_reply(call, &q->interface->base);
    else if (err->code == VCS_RPC_NOTFOUND && link_monitor.fd >= 0)
        r = wait_for_link(call, q, err);
    stop_monitor_when_idle();
    return r;
}
