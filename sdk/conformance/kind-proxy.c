/* SPDX-License-Identifier: Apache-2.0 */
/* kind-proxy.c: the members of a proxy, driven with a peer that stands where the guest's agent is. */
#include "conformance/kind-proxy.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "conformance/peer.h"
#include "conformance/watch.h"
#include "lib/io.h"
#include "lib/proc.h"

/* A proxy for a serial port refuses other channels, and the other way round: found out at the first start. */
static _Atomic(const char *) scheme = "serial://";

static int world_up(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_proxy_world *w = calloc(1, sizeof(*w));
    char path[PATH_MAX];
    if (!w) {
        snprintf(why, size, "no memory");
        return -1;
    }
    pod->world = w;
    if (vct_peer_listen(pod, "agent", path, sizeof(path), why, size) < 0)
        return -1;
    w->agent = strdup(path);
    return w->agent ? 0 : -1;
}

static void world_down(struct vct_pod *pod)
{
    struct vct_proxy_world *w = pod->world;
    vct_peers_done(pod);
    if (!w)
        return;
    vcs_buf_done(&w->uri.buf);
    free(w->agent);
    free(w);
    pod->world = NULL;
}

int vct_proxy_start(struct vct_pod *pod, const struct vc_call *call, const char *agent_uri, struct vc_proc *proc,
                    struct vc_sink *uri)
{
    const struct vc_proxy_ops *ops = vct_kind_ops(pod->t);
    struct vc_proxy_params params = {
        .size = sizeof(params), .agent_uri = agent_uri, .console_uri = "", .netns_fd = -1
    };
    vct_peer_sync(pod);
    vct_out(pod->t, proc, sizeof(*proc), 1);
    return VCT(pod->t, ops->start, pod->inst, call, &params, proc, uri);
}

char *vct_proxy_agent_uri(struct vct_pod *pod)
{
    struct vct_proxy_world *w = pod->world;
    char *uri = NULL;
    return asprintf(&uri, "%s%s", atomic_load(&scheme), w ? w->agent : "") < 0 ? NULL : uri;
}

static int op_start(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_proxy_world *w = pod->world, other = { 0 };
    struct vc_proc proc = { 0 };
    struct vc_sink sink = { .pod = NULL };
    vcs_autofree char *uri = vct_proxy_agent_uri(pod);
    int r = vct_proxy_start(pod, call, uri ? uri : "", &proc, &sink);
    if (r == VC_E_UNSUPPORTED && uri && !strncmp(uri, "serial://", 9)) { /* what this call was given: others run meanwhile */
        atomic_store(&scheme, "unix://");
        vcs_autofree char *again = vct_proxy_agent_uri(pod);
        vcs_buf_clear(&sink.buf);
        if (call->err)
            memset(call->err, 0, sizeof(*call->err));
        r = vct_proxy_start(pod, call, again ? again : "", &proc, &sink);
        if (r == VC_E_UNSUPPORTED)
            atomic_store(&scheme, "serial://");
    }
    if (!w)
        w = &other;
    if (r == VC_OK) {
        vcs_buf_done(&w->uri.buf);
        w->uri = sink;
        w->proc = proc;
        w->started = 1;
        sink = (struct vc_sink){ .pod = NULL };
    }
    vcs_buf_done(&sink.buf);
    if (w == &other)
        vcs_buf_done(&other.uri.buf);
    return r;
}

static int op_stop(struct vct_pod *pod, const struct vc_call *call)
{
    const struct vc_proxy_ops *ops = vct_kind_ops(pod->t);
    vct_peer_sync(pod);
    return VCT(pod->t, ops->stop, pod->inst, call);
}

static int op_status(struct vct_pod *pod, const struct vc_call *call)
{
    const struct vc_proxy_ops *ops = vct_kind_ops(pod->t);
    struct vct_proxy_world *w = pod->world;
    uint32_t state = UINT32_MAX;
    vct_peer_sync(pod);
    vct_out(pod->t, &state, sizeof(state), 1);
    int r = VCT(pod->t, ops->status, pod->inst, call, &state);
    if (r == VC_OK && w)
        w->status = state;
    return r;
}

const char *vct_proxy_uri(struct vct_pod *pod)
{
    struct vct_proxy_world *w = pod->world;
    const char *uri = w ? vcs_buf_str(&w->uri.buf) : NULL;
    return uri ? uri : "";
}

const char *vct_proxy_socket(struct vct_pod *pod)
{
    const char *uri = vct_proxy_uri(pod);
    return !strncmp(uri, "unix://", 7) ? uri + 7 : "";
}

int vct_proxy_reaches(struct vct_pod *pod, char *why, size_t size)
{
    char before[32] = "0";
    const char *uri = vct_proxy_uri(pod);
    vct_fact(pod, "received", before, sizeof(before));
    /* A port that is passed on is still the hypervisor's socket. */
    int64_t deadline = vcs_now_ns() + 2000000000;
    vcs_autoclose int fd =
        !strncmp(uri, "serial://", 9) ? vcs_unix_connect_until(uri + 9, deadline) : vcs_uri_connect(uri, deadline);
    if (fd < 0) {
        snprintf(why, size, "the address \"%s\" that start gave cannot be connected to: %s", uri, strerror(-fd));
        return 0;
    }
    if (send(fd, "ping\n", 5, MSG_NOSIGNAL) != 5) {
        snprintf(why, size, "nothing can be sent to \"%s\": %s", uri, strerror(errno));
        return 0;
    }
    if (vct_fact_least(pod, "received", strtoll(before, NULL, 10) + 5, 3000) < 0) {
        snprintf(why, size, "what was sent to \"%s\" never came to the agent's channel", uri);
        return 0;
    }
    return 1;
}

static int hollow(struct vct_pod *pod)
{
    struct vct_proxy_world *w = pod->world;
    return w && w->started && w->proc.pid == 0;
}

/* Scripted or faulty peers do not carry anything. */
static int plain(const struct vct_pod *pod)
{
    return !pod->variant || !strcmp(pod->variant, "good");
}

/* What start gave; text in why when it cannot be. */
int vct_proxy_pid_true(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_proxy_world *w = pod->world;
    if (w->proc.pid == 0)
        return 1;
    if (!vcs_proc_alive(&w->proc)) {
        snprintf(why, size, "start gave process %d (started at tick %llu), and no such process runs%s%s", w->proc.pid,
                 (unsigned long long)w->proc.start_ticks, *vct_how_ended(&w->proc) ? ": it ended" : "",
                 vct_how_ended(&w->proc));
        return 0;
    }
    for (size_t i = 0; i < pod->n_procs; i++)
        if (pod->procs[i].pid == w->proc.pid)
            return 1;
    snprintf(
        why, size,
        "start gave process %d, which was not started by the host service spawn (so the host cannot find it again)",
        w->proc.pid);
    return 0;
}

static int started(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_proxy_world *w = pod->world;
    if (!w || !plain(pod))
        return -1;
    return vct_proxy_pid_true(pod, why, size) ? vct_proxy_reaches(pod, why, size) : 0;
}

static int stopped(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_proxy_world *w = pod->world;
    struct stat st;
    if (!w || !w->started || !w->proc.pid)
        return w ? 1 : -1;
    if (vcs_proc_alive(&w->proc)) {
        snprintf(why, size, "the proxy's process %d still runs", w->proc.pid);
        return 0;
    }
    const char *path = vct_proxy_socket(pod);
    if (*path && lstat(path, &st) == 0) {
        snprintf(why, size, "the proxy's socket %s is still there", path);
        return 0;
    }
    return 1;
}

static int status_true(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_proxy_world *w = pod->world;
    static const char *const words[] = { "NONE", "RUNNING", "STOPPED" };
    if (!w)
        return -1;
    if (w->status > VC_PROXY_STOPPED) {
        snprintf(why, size, "status is %u: no VC_PROXY_* value", w->status);
        return 0;
    }
    int runs = w->started && pod->state == VCT_ST_UP && (w->proc.pid == 0 || vcs_proc_alive(&w->proc));
    if (w->started && (w->status == VC_PROXY_RUNNING) != runs) {
        snprintf(why, size, "status is VC_PROXY_%s, but the proxy %s", words[w->status],
                 runs ? "runs" : "does not run");
        return 0;
    }
    return 1;
}

static const char *traces(struct vct_pod *pod)
{
    static _Thread_local char text[PATH_MAX + 64];
    struct vct_proxy_world *w = pod->world;
    struct stat st;
    const char *path = vct_proxy_socket(pod);
    text[0] = '\0';
    if (w && w->proc.pid && vcs_proc_alive(&w->proc))
        snprintf(text, sizeof(text), "the proxy's process %d", w->proc.pid);
    else if (w && w->proc.pid && *path && lstat(path, &st) == 0)
        snprintf(text, sizeof(text), "the proxy's socket %s", path);
    return text;
}

static int kill_peer(struct vct_pod *pod)
{
    struct vct_proxy_world *w = pod->world;
    if (!w || !w->proc.pid || vcs_proc_kill(&w->proc, SIGKILL) < 0)
        return -1;
    vcs_autoclose int fd = vcs_proc_fd(&w->proc); /* -ESRCH when it is gone already */
    struct pollfd pf = { .fd = fd, .events = POLLIN };
    return fd < 0 || poll(&pf, 1, 5000) == 1 ? 0 : -1;
}

/* A port that is not there (a proxy may find out at once, or when a client comes), and a second start. */
static int bad_calls(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    struct vct_pod *own = vct_pod_new(t, NULL, 0);
    struct vc_proc proc = { 0 };
    struct vc_sink sink = { .pod = NULL };
    vcs_autofree char *uri = NULL;
    int n = 0;
    vct_pod_make(own);
    if (asprintf(&uri, "%s%s/nobody.sock", atomic_load(&scheme), own->dir) < 0)
        uri = NULL;
    n += vct_proxy_start(own, vct_call(t, 2000), uri ? uri : "", &proc, &sink) != VC_OK;
    n += vct_proxy_start(own, vct_call(t, 2000), "nonsense:/ /\n", &proc, &sink) != VC_OK;
    vcs_buf_done(&sink.buf);
    vct_pod_cleanup(own);
    vct_pod_free(own);
    if (pod->state == VCT_ST_UP) {
        vcs_autofree char *again = vct_proxy_agent_uri(pod);
        n += vct_proxy_start(pod, vct_call(t, 2000), again ? again : "", &proc, &sink) != VC_OK;
        vcs_buf_done(&sink.buf);
    }
    return n;
}

#define MEMBER(m) .name = #m, .offset = offsetof(struct vc_proxy_ops, m)

static const struct vct_op ops[] = {
    { MEMBER(start), .flags = VCT_OP_BLOCKS, .from = VCT_ST_FRESH, .refuse = VCT_ST_UP, .to = VCT_ST_UP,
      .call = op_start, .effect = started },
    { MEMBER(status), .flags = VCT_OP_PURE, .from = VCT_ST_FRESH | VCT_ST_UP | VCT_ST_DOWN, .call = op_status,
      .effect = status_true },
    { MEMBER(stop), .flags = VCT_OP_IDEM, .from = VCT_ST_FRESH | VCT_ST_UP | VCT_ST_DOWN, .to = VCT_ST_DOWN,
      .call = op_stop, .effect = stopped },
    { .name = NULL },
};

const struct vct_kind vct_kind_proxy = {
    .kind = VC_KIND_PROXY,
    .name = "proxy",
    .ops_size = sizeof(struct vc_proxy_ops),
    .ops = ops,
    .world_up = world_up,
    .world_down = world_down,
    .traces = traces,
    .kill_peer = kill_peer,
    .bad_calls = bad_calls,
    .hollow = hollow,
};
