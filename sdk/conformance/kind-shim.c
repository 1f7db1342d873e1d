/* SPDX-License-Identifier: Apache-2.0 */
/* kind-shim.c: the members of a shim, driven with a guest's agent or a program that are scripted. */
#include "conformance/kind-shim.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "conformance/peer.h"
#include "lib/io.h"
#include "lib/proc.h"

static struct vct_shim_world *world(struct vct_pod *pod)
{
    return pod->world;
}

int vct_shim_none(struct vct_pod *pod)
{
    return (pod->caps & VC_SHIM_CAP_NONE) != 0;
}

static void close_ends(struct vct_shim_world *w)
{
    vcs_cleanup_fd(&w->in);
    vcs_cleanup_fd(&w->out);
    w->in = w->out = -1;
}

static int world_up(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_shim_world *w = calloc(1, sizeof(*w));
    char path[PATH_MAX], name[128];
    if (!w) {
        snprintf(why, size, "no memory");
        return -1;
    }
    pod->world = w;
    w->in = w->out = -1;
    snprintf(w->ctr, sizeof(w->ctr), "ctr");
    if (vct_peer_listen(pod, "agent", path, sizeof(path), why, size) < 0)
        return -1;
    if (asprintf(&w->uri, "unix://%s", path) < 0 || asprintf(&w->exit_file, "%s/exit-status", pod->dir) < 0)
        return -1;
    snprintf(name, sizeof(name), "exit_file:%s", w->ctr);
    vct_fact_set(pod, name, w->exit_file);
    return 0;
}

static void world_down(struct vct_pod *pod)
{
    struct vct_shim_world *w = pod->world;
    vct_peers_done(pod);
    if (!w)
        return;
    close_ends(w);
    free(w->uri);
    free(w->exit_file);
    free(w);
    pod->world = NULL;
}

int vct_shim_pipes(struct vct_pod *pod, int stdio[3])
{
    struct vct_shim_world *w = world(pod);
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0)
        return -1;
    if (pipe2(out, O_CLOEXEC) < 0) {
        close(in[0]);
        close(in[1]);
        return -1;
    }
    close_ends(w);
    w->in = in[1];
    w->out = out[0];
    stdio[0] = in[0];
    stdio[1] = out[1];
    stdio[2] = out[1];
    return 0;
}

int vct_shim_start(struct vct_pod *pod, const struct vc_call *call, const int stdio[3], uint32_t flags,
                   struct vc_proc *proc)
{
    const struct vc_shim_ops *ops = vct_kind_ops(pod->t);
    struct vct_shim_world *w = world(pod);
    struct vc_shim_params params = { .size = sizeof(params),
                                     .flags = flags,
                                     .container_id = w->ctr,
                                     .exec_id = "",
                                     .agent_uri = w->uri,
                                     .exit_file = w->exit_file,
                                     .stdio = { stdio[0], stdio[1], stdio[2] },
                                     .netns_fd = -1 };
    vct_peer_sync(pod);
    vct_out(pod->t, proc, sizeof(*proc), 1);
    return VCT(pod->t, ops->start, pod->inst, call, &params, proc);
}

int vct_shim_stop(struct vct_pod *pod, const struct vc_call *call, const char *ctr, const char *exec)
{
    const struct vc_shim_ops *ops = vct_kind_ops(pod->t);
    vct_peer_sync(pod);
    return VCT(pod->t, ops->stop, pod->inst, call, ctr, exec);
}

int vct_shim_status(struct vct_pod *pod, const struct vc_call *call, const char *ctr, const char *exec, uint32_t *state,
                    int32_t *status)
{
    const struct vc_shim_ops *ops = vct_kind_ops(pod->t);
    vct_peer_sync(pod);
    vct_out(pod->t, state, sizeof(*state), 1);
    if (status)
        vct_out(pod->t, status, sizeof(*status), 1);
    return VCT(pod->t, ops->status, pod->inst, call, ctr, exec, state, status);
}

/* ---- steps of a life ---- */

static int op_start(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_shim_world *w = world(pod), keep = *w;
    struct vc_proc proc = { 0 };
    int stdio[3];
    w->in = w->out = -1;
    if (vct_shim_pipes(pod, stdio) < 0)
        return VC_E_RESOURCE;
    int r = vct_shim_start(pod, call, stdio, 0, &proc);
    close(stdio[0]);
    close(stdio[1]);
    if (r == VC_OK) {
        close_ends(&keep);
        w->started = 1;
        w->proc = proc;
    } else {
        close_ends(w);
        w->in = keep.in; /* of the one that runs */
        w->out = keep.out;
    }
    return r;
}

static int op_stop(struct vct_pod *pod, const struct vc_call *call)
{
    return vct_shim_stop(pod, call, world(pod)->ctr, "");
}

static int op_status(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_shim_world *w = world(pod);
    uint32_t state = UINT32_MAX;
    int32_t status = -1;
    int r = vct_shim_status(pod, call, w->ctr, "", &state, &status);
    if (r == VC_OK) {
        w->state = state;
        w->status = status;
    }
    return r;
}

/* ---- effects ---- */

static int plain(const struct vct_pod *pod)
{
    return !pod->variant || !strcmp(pod->variant, "good");
}

static int started(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_shim_world *w = world(pod);
    if (!plain(pod) || vct_shim_none(pod))
        return -1;
    if (w->proc.pid <= 0 || !vcs_proc_alive(&w->proc)) {
        snprintf(why, size, "start gave process %d (started at tick %llu), which does not run", w->proc.pid,
                 (unsigned long long)w->proc.start_ticks);
        return 0;
    }
    return 1;
}

static int stopped(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_shim_world *w = world(pod);
    if (!w->started || !w->proc.pid || !vcs_proc_alive(&w->proc))
        return 1;
    snprintf(why, size, "the shim's process %d still runs", w->proc.pid);
    return 0;
}

static int status_true(struct vct_pod *pod, char *why, size_t size)
{
    static const char *const words[] = { "VC_SHIM_ABSENT", "VC_SHIM_RUNNING", "VC_SHIM_ENDED" };
    struct vct_shim_world *w = world(pod);
    if (w->state > VC_SHIM_ENDED) {
        snprintf(why, size, "the state is %u: no VC_SHIM_* value", w->state);
        return 0;
    }
    uint32_t want = vct_shim_none(pod)                       ? VC_SHIM_ABSENT
                    : w->started && vcs_proc_alive(&w->proc) ? VC_SHIM_RUNNING
                                                             : VC_SHIM_ENDED;
    if (!w->started || w->state == want)
        return 1;
    snprintf(why, size, "status is %s, but the shim's process %d %s", words[w->state], w->proc.pid,
             want == VC_SHIM_RUNNING ? "runs" : "does not run");
    return 0;
}

/* ---- the rest ---- */

static const char *traces(struct vct_pod *pod)
{
    static _Thread_local char text[64];
    struct vct_shim_world *w = world(pod);
    text[0] = '\0';
    if (w && w->started && w->proc.pid && vcs_proc_alive(&w->proc))
        snprintf(text, sizeof(text), "the shim's process %d", w->proc.pid);
    return text;
}

static int kill_peer(struct vct_pod *pod)
{
    struct vct_shim_world *w = world(pod);
    if (!w || !w->started || !w->proc.pid || vcs_proc_kill(&w->proc, SIGKILL) < 0)
        return -1;
    vcs_autoclose int fd = vcs_proc_fd(&w->proc);
    struct pollfd pf = { .fd = fd, .events = POLLIN };
    return fd < 0 || poll(&pf, 1, 5000) == 1 ? 0 : -1;
}

static int bad_calls(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    uint32_t state = UINT32_MAX;
    int n = 0;
    if (vct_shim_none(pod))
        return 0;
    n += vct_shim_stop(pod, vct_call(t, 2000), "nobody", "") != VC_OK;
    n += vct_shim_status(pod, vct_call(t, 2000), "nobody", "", &state, NULL) != VC_OK;
    if (pod->state == VCT_ST_UP) {
        struct vc_proc proc = { 0 };
        const int none[3] = { -1, -1, -1 };
        n += vct_shim_start(pod, vct_call(t, 2000), none, 0, &proc) != VC_OK;
    }
    return n;
}

static int hollow(struct vct_pod *pod)
{
    return vct_shim_none(pod);
}

#define MEMBER(m) .name = #m, .offset = offsetof(struct vc_shim_ops, m)

static const struct vct_op ops[] = {
    { MEMBER(start), .flags = VCT_OP_BLOCKS, .from = VCT_ST_FRESH, .to = VCT_ST_UP, .call = op_start,
      .effect = started },
    { MEMBER(status), .flags = VCT_OP_PURE, .from = VCT_ST_UP | VCT_ST_DOWN, .call = op_status, .effect = status_true },
    { MEMBER(stop), .flags = VCT_OP_IDEM, .from = VCT_ST_UP | VCT_ST_DOWN, .to = VCT_ST_DOWN, .call = op_stop,
      .effect = stopped },
    { .name = NULL },
};

const struct vct_kind vct_kind_shim = {
    .kind = VC_KIND_SHIM,
    .name = "shim",
    .ops_size = sizeof(struct vc_shim_ops),
    .ops = ops,
    .caps_known = VC_SHIM_CAP_NONE | VC_SHIM_CAP_ATTACH,
    .world_up = world_up,
    .world_down = world_down,
    .traces = traces,
    .kill_peer = kill_peer,
    .bad_calls = bad_calls,
    .hollow = hollow,
};
