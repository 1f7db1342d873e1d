/* SPDX-License-Identifier: Apache-2.0 */
/* methods.c: the tables of methods, and those methods that are little more than one call. */
#include "agent.pb-c.h"
#include "container.h"
#include "guest.h"
#include "guest.pb-c.h"
#include "net.h"
#include "process.h"
#include "sandbox.h"
#include "settle.h"

/* ---- grpc.Health ---- */

static int m_check(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    Agent__HealthCheckResponse reply = AGENT__HEALTH_CHECK_RESPONSE__INIT;
    (void)msg, (void)err;
    reply.status = AGENT__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    rpc_reply(call, &reply.base);
    return 0;
}

static int m_version(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    Agent__VersionCheckResponse reply = AGENT__VERSION_CHECK_RESPONSE__INIT;
    (void)msg, (void)err;
    reply.grpc_version = (char *)"0.0.1"; /* the version of the protocol, the same since Kata 1.0 */
    reply.agent_version = (char *)AGENT_VERSION;
    rpc_reply(call, &reply.base);
    return 0;
}

/* ---- streams ---- */

static int read_stream(struct rpc_call *call, const ProtobufCMessage *msg, int stream, struct agent_err *err)
{
    const Agent__ReadStreamRequest *q = (const void *)msg;
    struct process *p = process_find(q->container_id, q->exec_id, err);
    return p ? stdio_read(&p->io, call, stream, q->len, err) : -1;
}

static int m_read_stdout(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    return read_stream(call, msg, 0, err);
}

static int m_read_stderr(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    return read_stream(call, msg, 1, err);
}

static int m_write_stdin(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__WriteStreamRequest *q = (const void *)msg;
    struct process *p = process_find(q->container_id, q->exec_id, err);
    return p ? stdio_write(&p->io, call, q->data.data, q->data.len, err) : -1;
}

static int m_close_stdin(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__CloseStdinRequest *q = (const void *)msg;
    struct process *p = process_find(q->container_id, q->exec_id, err);
    if (!p)
        return -1;
    stdio_close_in(&p->io);
    rpc_reply_empty(call);
    return 0;
}

static int m_tty_win_resize(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__TtyWinResizeRequest *q = (const void *)msg;
    struct process *p = process_find(q->container_id, q->exec_id, err);
    if (!p || stdio_resize(&p->io, q->row, q->column, err) < 0)
        return -1;
    rpc_reply_empty(call);
    return 0;
}

/* ---- containers ---- */

static int m_pause_container(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__PauseContainerRequest *q = (const void *)msg;
    struct container *c = container_find(q->container_id, err);
    if (!c || ctr_pause(c->ctr, err) < 0)
        return -1;
    rpc_reply_empty(call);
    return 0;
}

static int m_resume_container(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__ResumeContainerRequest *q = (const void *)msg;
    struct container *c = container_find(q->container_id, err);
    if (!c || ctr_resume(c->ctr, err) < 0)
        return -1;
    rpc_reply_empty(call);
    return 0;
}

static int m_update_container(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__UpdateContainerRequest *q = (const void *)msg;
    struct container *c = container_find(q->container_id, err);
    if (!c)
        return -1;
    if (!q->resources)
        return agent_fail(err, VCS_RPC_INVALID, "container \"%s\": the request has no resources to set", c->id);
    if (ctr_update(c->ctr, q->resources, err) < 0)
        return -1;
    rpc_reply_empty(call);
    return 0;
}

static int m_stats_container(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__StatsContainerRequest *q = (const void *)msg;
    struct container *c = container_find(q->container_id, err);
    if (!c)
        return -1;
    Agent__StatsContainerResponse *reply = malloc(sizeof(*reply));
    if (!reply)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    agent__stats_container_response__init(reply);
    int r = ctr_stats(c->ctr, reply, err);
    if (r == 0)
        r = net_stats(reply, err);
    if (r == 0)
        rpc_reply(call, &reply->base);
    agent__stats_container_response__free_unpacked(reply, NULL);
    return r;
}

/* ---- network ---- */

static int m_list_interfaces(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    (void)msg;
    Agent__Interfaces *reply = malloc(sizeof(*reply));
    if (!reply)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    agent__interfaces__init(reply);
    int r = net_list_interfaces(reply, err);
    if (r == 0)
        rpc_reply(call, &reply->base);
    agent__interfaces__free_unpacked(reply, NULL);
    return r;
}

static int reply_routes(struct rpc_call *call, struct agent_err *err)
{
    Agent__Routes *reply = malloc(sizeof(*reply));
    if (!reply)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    agent__routes__init(reply);
    int r = net_list_routes(reply, err);
    if (r == 0)
        rpc_reply(call, &reply->base);
    agent__routes__free_unpacked(reply, NULL);
    return r;
}

static int m_list_routes(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    (void)msg;
    return reply_routes(call, err);
}

static int check_own_net(struct agent_err *err)
{
    if (agent_config.own_net)
        return 0;
    return agent_fail(err, VCS_RPC_PRECONDITION, "the network of this machine is not the agent's to configure");
}

static int m_update_routes(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__UpdateRoutesRequest *q = (const void *)msg;
    if (!q->routes)
        return agent_fail(err, VCS_RPC_INVALID, "the request has no list of routes");
    if (check_own_net(err) < 0 || net_update_routes(q->routes, err) < 0)
        return -1;
    return reply_routes(call, err);
}

static int m_add_arp_neighbors(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__AddARPNeighborsRequest *q = (const void *)msg;
    if (!q->neighbors)
        return agent_fail(err, VCS_RPC_INVALID, "the request has no list of neighbours");
    if (check_own_net(err) < 0 || net_add_neighbors(q->neighbors, err) < 0)
        return -1;
    rpc_reply_empty(call);
    return 0;
}

/* ---- tables ---- */

const struct rpc_method rpc_health_methods[] = {
    {"Check", &agent__check_request__descriptor, m_check},
    {"Version", &agent__check_request__descriptor, m_version},
    {NULL, NULL, NULL},
};

const struct rpc_method rpc_guest_methods[] = {
    {"Renew", &vccore__renew_request__descriptor, m_renew},
    {"Settle", &vccore__settle_request__descriptor, m_settle},
    {NULL, NULL, NULL},
};

const struct rpc_method rpc_agent_methods[] = {
    /* The streams first: they are called most. */
    {"ReadStdout", &agent__read_stream_request__descriptor, m_read_stdout},
    {"ReadStderr", &agent__read_stream_request__descriptor, m_read_stderr},
    {"WriteStdin", &agent__write_stream_request__descriptor, m_write_stdin},
    {"CloseStdin", &agent__close_stdin_request__descriptor, m_close_stdin},
    {"TtyWinResize", &agent__tty_win_resize_request__descriptor, m_tty_win_resize},
    {"WaitProcess", &agent__wait_process_request__descriptor, m_wait_process},
    {"SignalProcess", &agent__signal_process_request__descriptor, m_signal_process},
    {"ExecProcess", &agent__exec_process_request__descriptor, m_exec_process},
    {"CreateContainer", &agent__create_container_request__descriptor, m_create_container},
    {"StartContainer", &agent__start_container_request__descriptor, m_start_container},
    {"RemoveContainer", &agent__remove_container_request__descriptor, m_remove_container},
    {"ListProcesses", &agent__list_processes_request__descriptor, m_list_processes},
    {"StatsContainer", &agent__stats_container_request__descriptor, m_stats_container},
    {"PauseContainer", &agent__pause_container_request__descriptor, m_pause_container},
    {"ResumeContainer", &agent__resume_container_request__descriptor, m_resume_container},
    {"UpdateContainer", &agent__update_container_request__descriptor, m_update_container},
    {"CreateSandbox", &agent__create_sandbox_request__descriptor, m_create_sandbox},
    {"DestroySandbox", &agent__destroy_sandbox_request__descriptor, m_destroy_sandbox},
    {"UpdateInterface", &agent__update_interface_request__descriptor, m_update_interface},
    {"UpdateRoutes", &agent__update_routes_request__descriptor, m_update_routes},
    {"ListInterfaces", &agent__list_interfaces_request__descriptor, m_list_interfaces},
    {"ListRoutes", &agent__list_routes_request__descriptor, m_list_routes},
    {"AddARPNeighbors", &agent__add_arpneighbors_request__descriptor, m_add_arp_neighbors},
    {"OnlineCPUMem", &agent__online_cpumem_request__descriptor, m_online_cpu_mem},
    {"MemHotplugByProbe", &agent__mem_hotplug_by_probe_request__descriptor, m_mem_hotplug_by_probe},
    {"GetGuestDetails", &agent__guest_details_request__descriptor, m_get_guest_details},
    {"SetGuestDateTime", &agent__set_guest_date_time_request__descriptor, m_set_guest_date_time},
    {"ReseedRandomDev", &agent__reseed_random_dev_request__descriptor, m_reseed_random_dev},
    {"CopyFile", &agent__copy_file_request__descriptor, m_copy_file},
    {"GetOOMEvent", &agent__get_oomevent_request__descriptor, m_get_oom_event},
    {NULL, NULL, NULL},
};
