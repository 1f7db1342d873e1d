/* SPDX-License-Identifier: Apache-2.0 */
/* rpc.c: from bytes of a connection to method calls, and back. */
#include "rpc.h"

#include <string.h>

#include "init.h"
#include "lib/io.h"

/* What the objects of one unpacked message may take.  Many small elements make a message of 4 MiB grow
 * to many times its size, and the agent must live in a small guest. */
#define RPC_UNPACK_MAX (32u * 1024 * 1024)

static struct list all_pending = {&all_pending, &all_pending};

void rpc_conn_init(struct rpc_conn *c)
{
    memset(c, 0, sizeof(*c));
    list_init(&c->pending);
}

void rpc_conn_drop_pending(struct rpc_conn *c)
{
    while (!list_empty(&c->pending)) {
        struct rpc_pending *p = list_first(&c->pending, struct rpc_pending, conn_link);
        list_del(&p->conn_link);
        list_del(&p->all_link);
        p->call.conn = NULL;
        p->dropped(p);
    }
    c->n_pending = 0;
}

void rpc_conn_done(struct rpc_conn *c)
{
    c->broken = 1;
    rpc_conn_drop_pending(c);
    vcs_buf_done(&c->reader.in);
    vcs_buf_done(&c->out);
}

static void conn_break(struct rpc_conn *c)
{
    c->broken = 1;
    c->dirty = 1;
}

/* ---- replies ---- */

unsigned char *rpc_reply_space(struct rpc_call *call, size_t n)
{
    struct rpc_conn *c = call->conn;
    if (!c || c->broken)
        return NULL;
    unsigned char *at = vcs_ttrpc_put_response(&c->out, call->stream_id, n);
    if (at)
        c->dirty = 1;
    else
        conn_break(c);
    return at;
}

void rpc_reply(struct rpc_call *call, const ProtobufCMessage *msg)
{
    size_t n = protobuf_c_message_get_packed_size(msg);
    if (n > VCS_TTRPC_MAX - 64) {
        struct agent_err err;
        agent_fail(&err, VCS_RPC_EXHAUSTED, "the reply of %zu bytes is above the limit of the protocol", n);
        rpc_reply_error(call, &err);
        return;
    }
    unsigned char *at = rpc_reply_space(call, n);
    if (at)
        protobuf_c_message_pack(msg, at);
}

void rpc_reply_empty(struct rpc_call *call)
{
    rpc_reply_space(call, 0);
}

void rpc_reply_error(struct rpc_call *call, const struct agent_err *err)
{
    struct rpc_conn *c = call->conn;
    if (!c || c->broken)
        return;
    if (vcs_ttrpc_put_error(&c->out, call->stream_id, err->code, err->text) < 0)
        conn_break(c);
    else
        c->dirty = 1;
}

/* ---- waiting requests ---- */

int rpc_pending_add(struct rpc_pending *p, const struct rpc_call *call, void (*dropped)(struct rpc_pending *p),
                    struct agent_err *err)
{
    if (call->conn->n_pending >= RPC_MAX_PENDING)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "%u requests of this connection wait already, which is the limit",
                          RPC_MAX_PENDING);
    p->call = *call;
    p->dropped = dropped;
    list_add(&call->conn->pending, &p->conn_link);
    list_add(&all_pending, &p->all_link);
    list_init(&p->queue_link);
    call->conn->n_pending++;
    return 0;
}

void rpc_pending_end(struct rpc_pending *p)
{
    if (p->call.conn)
        p->call.conn->n_pending--;
    list_del(&p->conn_link);
    list_del(&p->all_link);
    list_del(&p->queue_link);
}

int64_t rpc_next_deadline(void)
{
    int64_t first = 0;
    struct list *l;
    list_for_each(l, &all_pending)
    {
        int64_t d = list_entry(l, struct rpc_pending, all_link)->call.deadline_ns;
        if (d && (!first || d < first))
            first = d;
    }
    return first;
}

static struct rpc_pending *find_expired(int64_t now_ns)
{
    struct list *l;
    list_for_each(l, &all_pending)
    {
        struct rpc_pending *p = list_entry(l, struct rpc_pending, all_link);
        if (p->call.deadline_ns && p->call.deadline_ns <= now_ns)
            return p;
    }
    return NULL;
}

void rpc_expire(int64_t now_ns)
{
    struct rpc_pending *p;
    /* Dropping one request may end others (a sandbox that is destroyed takes all with it), so that no place in the
     * list outlives it. */
    while ((p = find_expired(now_ns))) {
        struct agent_err err;
        agent_fail(&err, VCS_RPC_DEADLINE, "the time limit of the request has passed");
        rpc_reply_error(&p->call, &err);
        p->call.conn->n_pending--;
        list_del(&p->conn_link);
        list_del(&p->all_link);
        p->call.conn = NULL;
        p->dropped(p);
    }
}

/* ---- dispatch ---- */

struct arena {
    size_t left;
};

static void *arena_alloc(void *data, size_t n)
{
    struct arena *a = data;
    size_t cost = n + 16; /* what malloc adds */
    if (cost > a->left)
        return NULL;
    a->left -= cost;
    return malloc(n ? n : 1);
}

static void arena_free(void *data, void *p)
{
    (void)data;
    free(p);
}

static int same(const char *text, const char *s, size_t n)
{
    return strlen(text) == n && memcmp(text, s, n) == 0;
}

static const struct rpc_method *find_method(const struct vcs_ttrpc_request *q, struct agent_err *err)
{
    const struct rpc_method *m;
    if (same("grpc.AgentService", q->service, q->service_len))
        m = rpc_agent_methods;
    else if (same("grpc.Health", q->service, q->service_len))
        m = rpc_health_methods;
    else if (same("vccore.GuestService", q->service, q->service_len))
        m = rpc_guest_methods;
    else {
        agent_fail(err, VCS_RPC_UNIMPLEMENTED,
                   "service \"%.*s\" is not known; there are grpc.AgentService, grpc.Health and vccore.GuestService",
                   (int)(q->service_len < 100 ? q->service_len : 100), q->service_len ? q->service : "");
        return NULL;
    }
    for (; m->name; m++)
        if (same(m->name, q->method, q->method_len))
            return m;
    agent_fail(err, VCS_RPC_UNIMPLEMENTED, "method \"%.*s\" is not known to this agent",
               (int)(q->method_len < 100 ? q->method_len : 100), q->method_len ? q->method : "");
    return NULL;
}

static int call_method(struct rpc_call *call, const struct vcs_ttrpc_request *q, struct agent_err *err)
{
    const struct rpc_method *m = find_method(q, err);
    if (!m)
        return -1;
    agent_log(AGENT_LOG_DEBUG, "call %u: %s, %zu bytes", call->stream_id, m->name, q->payload_len);
    struct arena arena = {.left = RPC_UNPACK_MAX};
    ProtobufCAllocator alloc = {.alloc = arena_alloc, .free = arena_free, .allocator_data = &arena};
    ProtobufCMessage *msg = protobuf_c_message_unpack(m->request, &alloc, q->payload_len, q->payload);
    if (!msg && arena.left < RPC_UNPACK_MAX / 2)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "the request of %s needs more memory than is allowed", m->name);
    if (!msg)
        return agent_fail(err, VCS_RPC_INVALID, "the request of %s is not a valid %s message", m->name, m->request->name);
    /* What a Check needs is there from the start; for all else, init may have put off some of its work. */
    if (m != rpc_health_methods)
        init_late();
    int r = m->fn(call, msg, err);
    protobuf_c_message_free_unpacked(msg, &alloc);
    return r;
}

static void handle_frame(struct rpc_conn *c, const struct vcs_ttrpc_frame *f)
{
    struct rpc_call call = {.conn = c, .stream_id = f->stream_id};
    struct agent_err err;
    struct vcs_ttrpc_request q;
    if (f->oversized)
        agent_fail(&err, VCS_RPC_EXHAUSTED, "the message is larger than the limit of %u bytes", VCS_TTRPC_MAX);
    else if (f->type == VCS_TTRPC_RESPONSE)
        return; /* nothing was asked; an answer to it would be one too many */
    else if (f->type != VCS_TTRPC_REQUEST)
        agent_fail(&err, VCS_RPC_INVALID, "frame type %u is not known; unary requests have type 1", f->type);
    else if (f->stream_id % 2 == 0)
        agent_fail(&err, VCS_RPC_INVALID, "stream id %u is even; a client's ids are odd", f->stream_id);
    else if (vcs_ttrpc_parse_request(f->data, f->len, &q) < 0)
        agent_fail(&err, VCS_RPC_INVALID, "the request is not a valid ttRPC envelope");
    else {
        if (q.timeout_ns > 0) {
            int64_t now = vcs_now_ns();
            call.deadline_ns = q.timeout_ns > INT64_MAX - now ? 0 : now + q.timeout_ns;
        }
        if (call_method(&call, &q, &err) == 0)
            return;
        agent_log(AGENT_LOG_INFO, "call %.*s failed: %s", (int)(q.method_len < 100 ? q.method_len : 100),
                  q.method_len ? q.method : "", err.text);
    }
    rpc_reply_error(&call, &err);
}

int rpc_conn_work(struct rpc_conn *c)
{
    struct vcs_ttrpc_frame f;
    while (!c->broken) {
        if (c->out.len > RPC_OUT_PAUSE)
            return 1;
        if (!vcs_ttrpc_next(&c->reader, &f))
            break;
        handle_frame(c, &f);
    }
    if (!c->reader.in.len)
        vcs_buf_clear(&c->reader.in);
    return 0;
}
