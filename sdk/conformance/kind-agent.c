/* SPDX-License-Identifier: Apache-2.0 */
/* kind-agent.c: the members of an agent, driven with a scripted guest or with a real agent behind a relay. */
#include "conformance/kind-agent.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "conformance/groups.h"
#include "conformance/json.h"
#include "conformance/memory-long.h"
#include "conformance/peer.h"
#include "lib/io.h"

#define SHORT_MS 5000

static struct vct_agent_world *world(struct vct_pod *pod)
{
    return pod->world;
}

static const struct vc_agent_ops *table(struct vct_pod *pod)
{
    vct_peer_sync(pod);
    return vct_kind_ops(pod->t);
}

int vct_ag_no_guest(struct vct_pod *pod)
{
    return (pod->caps & VC_AG_CAP_NO_GUEST) != 0;
}

/* ---- the world ---- */

/* Make a directory and those above it. */
static int make_path(const char *path)
{
    char at[PATH_MAX];
    snprintf(at, sizeof(at), "%s", path);
    for (char *p = at + 1; *p; p++)
        if (*p == '/') {
            *p = '\0';
            if (mkdir(at, 0755) < 0 && errno != EEXIST)
                return -1;
            *p = '/';
        }
    return mkdir(at, 0755) < 0 && errno != EEXIST ? -1 : 0;
}

/* Does the program need no other file? */
static int is_static(const char *file, size_t len)
{
    Elf64_Ehdr e;
    Elf64_Phdr p;
    if (len < sizeof(e))
        return 0;
    memcpy(&e, file, sizeof(e));
    if (memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 || e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_phentsize != sizeof(p))
        return 0;
    for (size_t i = 0; i < e.e_phnum; i++) {
        if (e.e_phoff > len || len - e.e_phoff < (i + 1) * sizeof(p))
            return 0;
        memcpy(&p, file + e.e_phoff + i * sizeof(p), sizeof(p));
        if (p.p_type == PT_INTERP)
            return 0;
    }
    return 1;
}

/* The place of the shared folder, in a /run of this process's own, and a busybox in it. */
static int make_share(struct vct_pod *pod, const char *share, char *why, size_t size)
{
    static const char *const from[] = { "/bin/busybox", "/usr/bin/busybox", "/sbin/busybox" };
    static int done;
    char path[PATH_MAX];
    vcs_autofree char *program = NULL;
    size_t len = 0;
    if (done)
        return 0;
    if (!pod->t->privileged && !vct_valgrind_apart()) {
        snprintf(why, size,
                 "the guest of this scenario runs containers, for which namespaces of the check's own are needed");
        return -1;
    }
    /* Root of a user namespace may not make devices. */
    snprintf(path, sizeof(path), "%s/null", pod->dir);
    if (mknod(path, S_IFCHR | 0600, makedev(1, 3)) < 0) {
        snprintf(why, size, "the guest of this scenario runs containers with devices, which only root may make");
        return -1;
    }
    unlink(path);
    for (size_t i = 0; i < 3 && !program; i++)
        vcs_read_file(AT_FDCWD, from[i], 16 << 20, &program, &len);
    if (!program || !is_static(program, len)) {
        snprintf(why, size, "the containers of this scenario need a static busybox, and there is none on this machine");
        return -1;
    }
    snprintf(path, sizeof(path), "%s/.busybox", share);
    if (mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0 || make_path(share) < 0 ||
        vcs_write_file_atomic(AT_FDCWD, path, program, len, 0755, 0) < 0) {
        snprintf(why, size, "the shared folder %s cannot be made: %s", share, strerror(errno));
        return -1;
    }
    done = 1;
    return 0;
}

/* The root filesystem of a container. */
static void make_rootfs(struct vct_pod *pod, const char *id)
{
    static const char *const dirs[] = { "bin", "etc", "proc", "dev", "tmp" }, *const programs[] = { "sh", "cat",
                                                                                                    "sleep" };
    const char *share = world(pod)->share;
    char path[PATH_MAX], busybox[PATH_MAX];
    if (!share || !*id || strchr(id, '/'))
        return;
    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof(path), "%s/%s/rootfs/%s", share, id, dirs[i]);
        make_path(path);
    }
    snprintf(busybox, sizeof(busybox), "%s/.busybox", share);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s/rootfs/bin/%s", share, id, programs[i]);
        if (link(busybox, path) < 0 && errno != EEXIST)
            vct_note(pod->t, "%s cannot be made: %s", path, strerror(errno));
    }
    snprintf(path, sizeof(path), "%s/%s/rootfs/etc/passwd", share, id);
    vcs_write_file_atomic(AT_FDCWD, path, "root:x:0:0:root:/:/bin/sh\n", 26, 0644, 0);
}

static int world_up(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_agent_world *w = calloc(1, sizeof(*w));
    char path[PATH_MAX];
    if (!w) {
        snprintf(why, size, "no memory");
        return -1;
    }
    pod->world = w;
    if (pod->t->plugin->caps_max & VC_AG_CAP_NO_GUEST) {
        w->uri = strdup("");
        return w->uri ? 0 : -1;
    }
    if (!vct_peer_has(pod, "agent")) {
        snprintf(why, size,
                 "no scenario says what the guest of this plugin answers: give one with --scenario (a peer with "
                 "`listen agent`)");
        return -1;
    }
    w->share = vct_peer_share(pod, "agent");
    if (w->share && make_share(pod, w->share, why, size) < 0)
        return -1;
    w->group = w->share ? vct_group_make(pod->t) : NULL;
    if (w->share)
        vct_fact_set(pod, w->group ? "group" : "no-group", w->group ? w->group : "--no-cgroup");
    if (vct_peer_listen(pod, "agent", path, sizeof(path), why, size) < 0 || asprintf(&w->uri, "unix://%s", path) < 0)
        return -1;
    return 0;
}

static void world_down(struct vct_pod *pod)
{
    struct vct_agent_world *w = pod->world;
    vct_peers_done(pod);
    if (w)
        free(w->uri);
    free(w);
    pod->world = NULL;
}

/* ---- calls with good arguments ---- */

const char *vct_ag_id(struct vct_pod *pod, const char *prefix)
{
    struct vct_agent_world *w = world(pod);
    snprintf(w->id, sizeof(w->id), "%s%u", prefix, ++w->n);
    return w->id;
}

char *vct_ag_spec(const char *args, int terminal, size_t pad)
{
    struct vcs_buf b = { 0 };
    vcs_buf_printf(&b,
                   "{\"ociVersion\":\"1.0.2\",\"process\":{\"terminal\":%s,\"user\":{\"uid\":0,\"gid\":0},\"args\":%s,"
                   "\"env\":[\"PATH=/bin:/usr/bin\"",
                   terminal ? "true" : "false", args);
    if (pad) {
        vcs_buf_printf(&b, ",\"PAD=");
        unsigned char *at = vcs_buf_reserve(&b, pad);
        if (at) {
            memset(at, 'x', pad);
            vcs_buf_commit(&b, pad);
        }
        vcs_buf_printf(&b, "\"");
    }
    vcs_buf_printf(
        &b, "],\"cwd\":\"/\"},\"root\":{\"path\":\"rootfs\",\"readonly\":false},\"hostname\":\"pod\",\"mounts\":["
            "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
            "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"
            "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
            "\"options\":[\"newinstance\",\"ptmxmode=0666\"]}],\"linux\":{\"namespaces\":[{\"type\":\"pid\"},"
            "{\"type\":\"mount\"},{\"type\":\"ipc\"},{\"type\":\"uts\"}]}}");
    const char *s = vcs_buf_str(&b);
    char *copy = s ? strdup(s) : NULL;
    vcs_buf_done(&b);
    return copy;
}

int vct_ag_connect(struct vct_pod *pod, const struct vc_call *call)
{
    const struct vc_agent_ops *ops = table(pod);
    int r = VCT(pod->t, ops->connect, pod->inst, call, world(pod)->uri);
    if (r == VC_OK)
        world(pod)->connected = 1;
    return r;
}

int vct_ag_disconnect(struct vct_pod *pod, const struct vc_call *call)
{
    const struct vc_agent_ops *ops = table(pod);
    int r = VCT(pod->t, ops->disconnect, pod->inst, call);
    if (r == VC_OK)
        world(pod)->connected = 0;
    return r;
}

int vct_ag_ready(struct vct_pod *pod)
{
    return world(pod)->connected ? VC_OK : vct_ag_connect(pod, vct_call(pod->t, SHORT_MS));
}

static int sandbox_create(struct vct_pod *pod, const struct vc_call *call)
{
    static const char *const dns[] = { "nameserver 10.0.0.1", NULL };
    struct vc_sandbox sandbox = { .size = sizeof(sandbox), .id = pod->id, .hostname = "pod", .dns = dns };
    const struct vc_agent_ops *ops = table(pod);
    int r = VCT(pod->t, ops->sandbox_create, pod->inst, call, &sandbox);
    if (r == VC_OK)
        world(pod)->sandbox = 1;
    return r;
}

/* A call that prepares another one: not longer than that one. */
static struct vc_call *aside(struct vct_pod *pod, const struct vc_call *call)
{
    struct vc_call *own = vct_call(pod->t, SHORT_MS);
    if (call->deadline_ns && call->deadline_ns < own->deadline_ns)
        own->deadline_ns = call->deadline_ns;
    return own;
}

/* Do the peers what they should, and has the call any time?  Otherwise a member is called without preparation. */
static int plain(const struct vct_pod *pod)
{
    return !pod->variant || !strcmp(pod->variant, "good");
}

/* What a call relies on is there: a connection, and with `sandbox` that. */
static int prepare(struct vct_pod *pod, const struct vc_call *call, int sandbox)
{
    if (!plain(pod) || (call->deadline_ns && call->deadline_ns <= vcs_now_ns()) ||
        (!vct_ag_no_guest(pod) && !vct_peer_alive(pod, "agent")))
        return VC_OK;
    int r = world(pod)->connected ? VC_OK : vct_ag_connect(pod, aside(pod, call));
    if (r == VC_OK && sandbox && !world(pod)->sandbox)
        r = sandbox_create(pod, aside(pod, call));
    return r;
}

int vct_ag_ping(struct vct_pod *pod, const struct vc_call *call)
{
    const struct vc_agent_ops *ops = table(pod);
    return VCT(pod->t, ops->ping, pod->inst, call);
}

int vct_ag_create_spec(struct vct_pod *pod, const struct vc_call *call, const char *id, const void *spec, size_t len)
{
    const struct vc_agent_ops *ops = table(pod);
    char rootfs[80];
    snprintf(rootfs, sizeof(rootfs), "%s/rootfs", id);
    make_rootfs(pod, id);
    struct vc_ctr ctr = { .size = sizeof(ctr), .id = id, .spec = { spec, len }, .rootfs = rootfs };
    return VCT(pod->t, ops->ctr_create, pod->inst, call, &ctr);
}

int vct_ag_create(struct vct_pod *pod, const struct vc_call *call, const char *id, const char *args)
{
    vcs_autofree char *spec = vct_ag_spec(args, 0, 0);
    return vct_ag_create_spec(pod, call, id, spec, spec ? strlen(spec) : 0);
}

int vct_ag_start(struct vct_pod *pod, const struct vc_call *call, const char *id)
{
    const struct vc_agent_ops *ops = table(pod);
    return VCT(pod->t, ops->ctr_start, pod->inst, call, id);
}

int vct_ag_remove(struct vct_pod *pod, const struct vc_call *call, const char *id)
{
    const struct vc_agent_ops *ops = table(pod);
    return VCT(pod->t, ops->ctr_remove, pod->inst, call, id);
}

int vct_ag_exec(struct vct_pod *pod, const struct vc_call *call, const char *ctr, const char *id, const char *args,
                int terminal)
{
    const struct vc_agent_ops *ops = table(pod);
    vcs_autofree char *text = NULL;
    if (asprintf(
            &text,
            "{\"terminal\":%s,\"user\":{\"uid\":0,\"gid\":0},\"args\":%s,\"env\":[\"PATH=/bin:/usr/bin\"],"
            "\"cwd\":\"/\"}",
            terminal ? "true" : "false", args) < 0)
        return VC_E_NOMEM;
    struct vc_exec exec = { .size = sizeof(exec), .id = id, .process = { text, strlen(text) } };
    return VCT(pod->t, ops->exec, pod->inst, call, ctr, &exec);
}

int vct_ag_signal(struct vct_pod *pod, const struct vc_call *call, const char *ctr, const char *id, int sig,
                  uint32_t flags)
{
    const struct vc_agent_ops *ops = table(pod);
    return VCT(pod->t, ops->signal, pod->inst, call, ctr, id, sig, flags);
}

int vct_ag_wait(struct vct_pod *pod, const struct vc_call *call, const char *ctr, const char *id, int32_t *status)
{
    const struct vc_agent_ops *ops = table(pod);
    vct_out(pod->t, status, sizeof(*status), 1);
    return VCT(pod->t, ops->wait, pod->inst, call, ctr, id, status);
}

int vct_ag_stdio(struct vct_pod *pod, const struct vc_call *call, const char *ctr, const char *id, int32_t fds[3])
{
    const struct vc_agent_ops *ops = table(pod);
    vct_out(pod->t, fds, 3 * sizeof(fds[0]), 1);
    int r = VCT(pod->t, ops->stdio, pod->inst, call, ctr, id, fds);
    if (r != VC_OK)
        fds[0] = fds[1] = fds[2] = -1;
    return r;
}

int vct_ag_listing(struct vct_pod *pod, const struct vc_call *call, int stats, const char *ctr, char **ret,
                   size_t *ret_len)
{
    const struct vc_agent_ops *ops = table(pod);
    vc_sink *sink = vct_sink_new(pod->t);
    int r =
        stats ? VCT(pod->t, ops->stats, pod->inst, call, ctr, sink) : VCT(pod->t, ops->ps, pod->inst, call, ctr, sink);
    if (r == VC_OK) {
        *ret_len = sink->buf.len;
        *ret = malloc(*ret_len + 1);
        if (*ret)
            memcpy(*ret, vct_sink_text(sink), *ret_len + 1);
    }
    vct_sink_free(sink);
    return r;
}

/* ---- members as steps of a life ---- */

/* Without a guest there are no processes: the member has to say so. */
static int refused(int r)
{
    return r == VC_E_UNSUPPORTED || r == VC_E_NOTFOUND || r == VC_E_STATE ? VC_OK : r == VC_OK ? VC_E_INTERNAL : r;
}

static int op_connect(struct vct_pod *pod, const struct vc_call *call)
{
    if (world(pod)->connected && plain(pod)) {
        int r = vct_ag_disconnect(pod, aside(pod, call));
        if (r != VC_OK)
            return r;
    }
    return vct_ag_connect(pod, call);
}

static int op_ping(struct vct_pod *pod, const struct vc_call *call)
{
    int r = prepare(pod, call, 0);
    return r ? r : vct_ag_ping(pod, call);
}

/* A second one has to be refused. */
static int op_sandbox_create(struct vct_pod *pod, const struct vc_call *call)
{
    int had = world(pod)->sandbox, r = prepare(pod, call, 0);
    r = r ? r : sandbox_create(pod, call);
    return had && r == VC_E_EXISTS ? VC_OK : had && r == VC_OK ? VC_E_INTERNAL : r;
}

/* The first container is the one that will run, the others come and stay. */
static int op_ctr_create(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_agent_world *w = world(pod);
    int r = prepare(pod, call, 1);
    if (r)
        return r;
    const char *id = vct_ag_id(pod, "c");
    r = vct_ag_create(pod, call, id, VCT_AG_CAT);
    if (r == VC_OK && !w->main[0])
        snprintf(w->main, sizeof(w->main), "%s", id);
    return r;
}

static int op_ctr_start(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_agent_world *w = world(pod);
    if (!w->main[0] && plain(pod)) {
        int r = op_ctr_create(pod, aside(pod, call));
        if (r)
            return r;
    }
    return vct_ag_start(pod, call, w->main[0] ? w->main : "c0");
}

static int op_ctr_remove(struct vct_pod *pod, const struct vc_call *call)
{
    int r = prepare(pod, call, 1);
    const char *id = vct_ag_id(pod, "c");
    if (r == VC_OK && plain(pod) && world(pod)->sandbox)
        r = vct_ag_create(pod, aside(pod, call), id, VCT_AG_SLEEP);
    return r ? r : vct_ag_remove(pod, call, id);
}

static int op_exec(struct vct_pod *pod, const struct vc_call *call)
{
    int r = prepare(pod, call, 1);
    r = r ? r : vct_ag_exec(pod, call, world(pod)->main, vct_ag_id(pod, "e"), VCT_AG_SLEEP, 0);
    return vct_ag_no_guest(pod) ? refused(r) : r;
}

static int op_signal(struct vct_pod *pod, const struct vc_call *call)
{
    int r = prepare(pod, call, 1);
    r = r ? r : vct_ag_signal(pod, call, world(pod)->main, "", SIGCONT, 0);
    return vct_ag_no_guest(pod) ? refused(r) : r;
}

/* Of a process that ends by itself; with peers that fail, of the one that runs. */
static int op_wait(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_agent_world *w = world(pod);
    int r = prepare(pod, call, 1);
    const char *id = "";
    if (r == VC_OK && plain(pod) && !vct_ag_no_guest(pod)) {
        id = vct_ag_id(pod, "e");
        r = vct_ag_exec(pod, aside(pod, call), w->main, id, VCT_AG_EXIT(7), 0);
    }
    int32_t status = -1;
    r = r ? r : vct_ag_wait(pod, call, w->main, id, &status);
    if (r == VC_OK)
        w->status = status;
    return vct_ag_no_guest(pod) ? refused(r) : r;
}

static void close_all(int32_t fds[3])
{
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static int op_stdio(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_agent_world *w = world(pod);
    int32_t fds[3] = { -1, -1, -1 };
    int r = prepare(pod, call, 1);
    const char *id = "";
    w->text[0] = '\0';
    if (r == VC_OK && plain(pod)) {
        id = vct_ag_id(pod, "e");
        r = vct_ag_exec(pod, aside(pod, call), w->main, id, VCT_AG_CAT, 0);
    }
    r = r ? r : vct_ag_stdio(pod, call, w->main, id, fds);
    if (r == VC_OK && plain(pod) && fds[0] >= 0 && fds[1] >= 0 && vcs_write_full(fds[0], "hello", 5) == 0) {
        close(fds[0]);
        fds[0] = -1;
        struct pollfd pf = { .fd = fds[1], .events = POLLIN };
        size_t n = 0;
        for (ssize_t got = 1; got > 0 && n < 5 && poll(&pf, 1, SHORT_MS) > 0; n += got > 0 ? (size_t)got : 0)
            got = read(fds[1], w->text + n, sizeof(w->text) - 1 - n);
        w->text[n] = '\0';
    }
    close_all(fds);
    return r;
}

static int op_tty_resize(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_agent_world *w = world(pod);
    int r = prepare(pod, call, 1);
    const char *id = "";
    if (r == VC_OK && plain(pod) && !vct_ag_no_guest(pod)) {
        id = vct_ag_id(pod, "e");
        r = vct_ag_exec(pod, aside(pod, call), w->main, id, VCT_AG_SLEEP, 1);
    }
    const struct vc_agent_ops *ops = table(pod);
    r = r ? r : VCT(pod->t, ops->tty_resize, pod->inst, call, w->main, id, 40, 132);
    return vct_ag_no_guest(pod) ? refused(r) : r;
}

/* A real agent that is an ordinary process has no clock, devices, random numbers and controllers of its own, and says
 * so. */
static int without_kernel(struct vct_pod *pod, int r)
{
    return world(pod)->share && (r == VC_E_STATE || r == VC_E_UNSUPPORTED) ? VC_OK : r;
}

/* The same for what needs a control group, which it may have got. */
static int without_group(struct vct_pod *pod, int r)
{
    return world(pod)->group ? r : without_kernel(pod, r);
}

static int listing(struct vct_pod *pod, const struct vc_call *call, int stats)
{
    struct vct_agent_world *w = world(pod);
    vcs_autofree char *text = NULL;
    size_t len = 0;
    int r = prepare(pod, call, 1);
    w->text[0] = '\0';
    r = r ? r : vct_ag_listing(pod, call, stats, w->main, &text, &len);
    struct vct_json *v = r == VC_OK ? vct_json_parse(text ? text : "", len, w->text, sizeof(w->text)) : NULL;
    if (v)
        snprintf(w->text, sizeof(w->text), "%s", vct_json_what(v));
    vct_json_free(v);
    return stats ? without_group(pod, r) : r;
}

static int op_ps(struct vct_pod *pod, const struct vc_call *call)
{
    return listing(pod, call, 0);
}

static int op_stats(struct vct_pod *pod, const struct vc_call *call)
{
    return listing(pod, call, 1);
}

static int op_net_update(struct vct_pod *pod, const struct vc_call *call)
{
    static const char json[] = "{\"interfaces\":[],\"routes\":[],\"neighbors\":[]}";
    struct vc_agent_net net = { .size = sizeof(net), .json = { json, sizeof(json) - 1 } };
    int r = prepare(pod, call, 0);
    const struct vc_agent_ops *ops = table(pod);
    return r ? r : VCT(pod->t, ops->net_update, pod->inst, call, &net);
}

static int op_ctr_pause(struct vct_pod *pod, const struct vc_call *call)
{
    int r = prepare(pod, call, 1);
    const struct vc_agent_ops *ops = table(pod);
    return without_group(pod, r ? r : VCT(pod->t, ops->ctr_pause, pod->inst, call, world(pod)->main));
}

static int op_ctr_resume(struct vct_pod *pod, const struct vc_call *call)
{
    int r = prepare(pod, call, 1);
    const struct vc_agent_ops *ops = table(pod);
    return without_group(pod, r ? r : VCT(pod->t, ops->ctr_resume, pod->inst, call, world(pod)->main));
}

static int op_ctr_update(struct vct_pod *pod, const struct vc_call *call)
{
    static const char json[] = "{\"cpu\":{\"shares\":512}}";
    int r = prepare(pod, call, 1);
    const struct vc_agent_ops *ops = table(pod);
    return without_kernel(pod, r ? r
                                 : VCT(pod->t, ops->ctr_update, pod->inst, call, world(pod)->main,
                                       (struct vc_bytes){ json, sizeof(json) - 1 }));
}

/* settle, renew and online have their place before the sandbox: afterwards there is nothing to ask for. */
static int op_settle(struct vct_pod *pod, const struct vc_call *call)
{
    if (world(pod)->sandbox)
        return VC_OK;
    int r = prepare(pod, call, 0);
    const struct vc_agent_ops *ops = table(pod);
    return without_kernel(pod, r ? r : VCT(pod->t, ops->settle, pod->inst, call, 0));
}

static int op_renew(struct vct_pod *pod, const struct vc_call *call)
{
    if (world(pod)->sandbox)
        return VC_OK;
    unsigned char seed[64];
    for (size_t i = 0; i < sizeof(seed); i++)
        seed[i] = (unsigned char)vct_random(pod->t);
    struct vc_renew renew = { .size = sizeof(renew), .seed = { seed, sizeof(seed) } };
    int r = prepare(pod, call, 0);
    const struct vc_agent_ops *ops = table(pod);
    return without_kernel(pod, r ? r : VCT(pod->t, ops->renew, pod->inst, call, &renew));
}

static int op_online(struct vct_pod *pod, const struct vc_call *call)
{
    if (world(pod)->sandbox)
        return VC_OK;
    int r = prepare(pod, call, 0);
    const struct vc_agent_ops *ops = table(pod);
    return without_kernel(pod, r ? r : VCT(pod->t, ops->online, pod->inst, call, 0));
}

static int op_sandbox_destroy(struct vct_pod *pod, const struct vc_call *call)
{
    const struct vc_agent_ops *ops = table(pod);
    int r = VCT(pod->t, ops->sandbox_destroy, pod->inst, call);
    if (r == VC_OK)
        world(pod)->sandbox = 0;
    return r;
}

/* ---- effects ---- */

/* Is the guest's fact so?  -1: it keeps none. */
static int fact_is(struct vct_pod *pod, const char *name, const char *want, char *why, size_t size)
{
    char now[256];
    if (!plain(pod) || vct_ag_no_guest(pod) || vct_fact(pod, name, now, sizeof(now)) < 0)
        return -1;
    if (!strcmp(now, want))
        return 1;
    snprintf(why, size, "the guest has %s \"%s\", not \"%s\"", name, now, want);
    return 0;
}

static int container_is(struct vct_pod *pod, const char *id, const char *want, char *why, size_t size)
{
    char name[80];
    snprintf(name, sizeof(name), "container:%s", id);
    return fact_is(pod, name, want, why, size);
}

static int sandboxed(struct vct_pod *pod, char *why, size_t size)
{
    return fact_is(pod, "sandbox", "up", why, size);
}

static int destroyed(struct vct_pod *pod, char *why, size_t size)
{
    return fact_is(pod, "sandbox", "down", why, size);
}

static int created(struct vct_pod *pod, char *why, size_t size)
{
    return container_is(pod, world(pod)->id, "created", why, size);
}

static int running(struct vct_pod *pod, char *why, size_t size)
{
    if (world(pod)->group) {
        int frozen = vct_group_frozen(world(pod)->group, world(pod)->main);
        snprintf(why, size, "the processes of the container %s are frozen", world(pod)->main);
        return frozen < 0 ? -1 : !frozen;
    }
    return container_is(pod, world(pod)->main, "running", why, size);
}

static int paused(struct vct_pod *pod, char *why, size_t size)
{
    if (world(pod)->group) {
        int frozen = vct_group_frozen(world(pod)->group, world(pod)->main);
        snprintf(why, size, "the processes of the container %s run on", world(pod)->main);
        return frozen;
    }
    return container_is(pod, world(pod)->main, "paused", why, size);
}

static int removed(struct vct_pod *pod, char *why, size_t size)
{
    char name[80], now[64];
    if (!plain(pod) || vct_fact(pod, "sandbox", now, sizeof(now)) < 0)
        return -1;
    snprintf(name, sizeof(name), "container:%s", world(pod)->id);
    if (vct_fact(pod, name, now, sizeof(now)) < 0)
        return 1;
    snprintf(why, size, "the guest still has the container %s, %s", world(pod)->id, now);
    return 0;
}

static int signalled(struct vct_pod *pod, char *why, size_t size)
{
    char name[80];
    snprintf(name, sizeof(name), "signal:%s:-", world(pod)->main);
    return fact_is(pod, name, "18", why, size);
}

static int waited(struct vct_pod *pod, char *why, size_t size)
{
    if (!plain(pod) || vct_ag_no_guest(pod))
        return -1;
    snprintf(why, size, "wait gave status %d for a process that ended with 7", world(pod)->status);
    return world(pod)->status == 7;
}

static int carried(struct vct_pod *pod, char *why, size_t size)
{
    if (!plain(pod) || vct_ag_no_guest(pod))
        return -1;
    snprintf(why, size, "\"hello\" was written to a process that is cat, and \"%.64s\" came back", world(pod)->text);
    return !strcmp(world(pod)->text, "hello");
}

static int resized(struct vct_pod *pod, char *why, size_t size)
{
    char name[120];
    snprintf(name, sizeof(name), "winsize:%s:%s", world(pod)->main, world(pod)->id);
    return fact_is(pod, name, "40x132", why, size);
}

static int listed(struct vct_pod *pod, char *why, size_t size)
{
    const char *text = world(pod)->text;
    snprintf(why, size, "the result is no JSON array or object: %.200s", text);
    return !plain(pod) || !*text ? -1 : !strcmp(text, "an array") || !strcmp(text, "an object");
}

/* ---- the rest ---- */

static int kill_peer(struct vct_pod *pod)
{
    return vct_ag_no_guest(pod) ? -1 : vct_peer_kill(pod, "agent");
}

/* Names and texts that have to be refused. */
static int bad_calls(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    const struct vc_agent_ops *ops = table(pod);
    struct vct_agent_world *w = world(pod);
    int32_t status = -1, fds[3] = { -1, -1, -1 };
    int n = 0;
    if (pod->state != VCT_ST_UP)
        return 0;
    n += vct_ag_start(pod, vct_call(t, SHORT_MS), "nobody") != VC_OK;
    n += vct_ag_start(pod, vct_call(t, SHORT_MS), w->main) != VC_OK;
    n += vct_ag_create(pod, vct_call(t, SHORT_MS), w->main, VCT_AG_CAT) != VC_OK;
    n += vct_ag_exec(pod, vct_call(t, SHORT_MS), "nobody", "e0", VCT_AG_CAT, 0) != VC_OK;
    n += vct_ag_signal(pod, vct_call(t, SHORT_MS), w->main, "nobody", SIGTERM, 0) != VC_OK;
    n += vct_ag_wait(pod, vct_call(t, SHORT_MS), w->main, "nobody", &status) != VC_OK;
    if (!vct_ag_no_guest(pod)) {
        n += vct_ag_create_spec(pod, vct_call(t, SHORT_MS), "broken", "not json", 8) != VC_OK;
        n += vct_ag_exec(pod, vct_call(t, SHORT_MS), w->main, "e0", VCT_AG_NOCMD, 0) != VC_OK;
        n += VCT(t, ops->tty_resize, pod->inst, vct_call(t, SHORT_MS), w->main, "", 1, 1) != VC_OK;
    }
    if (ops->stdio && (pod->caps & VC_AG_CAP_STDIO))
        n += vct_ag_stdio(pod, vct_call(t, SHORT_MS), w->main, "nobody", fds) != VC_OK;
    close_all(fds);
    struct vct_pod *own = vct_pod_new(t, NULL, VCT_NO_WORLD);
    vct_pod_make(own);
    if (!vct_ag_no_guest(own)) {
        n += VCT(t, ops->connect, own->inst, vct_call(t, 1000), "nonsense:/ /") != VC_OK;
        n += VCT(t, ops->connect, own->inst, vct_call(t, 1000), "") != VC_OK;
    }
    vct_pod_cleanup(own);
    vct_pod_free(own);
    return n;
}

static int hollow(struct vct_pod *pod)
{
    return vct_ag_no_guest(pod);
}

#define MEMBER(m) .name = #m, .offset = offsetof(struct vc_agent_ops, m)
#define EARLY     (VCT_ST_FRESH | VCT_ST_MADE | VCT_ST_UP)
#define THERE     (VCT_ST_MADE | VCT_ST_UP)

static const struct vct_op ops[] = {
    { MEMBER(connect), .flags = VCT_OP_BLOCKS, .from = VCT_ST_FRESH | VCT_ST_MADE, .to = VCT_ST_MADE,
      .call = op_connect },
    { MEMBER(settle), .flags = VCT_OP_BLOCKS, .from = VCT_ST_MADE, .cap = VC_AG_CAP_TEMPLATE, .call = op_settle },
    { MEMBER(renew), .flags = VCT_OP_BLOCKS | VCT_OP_IDEM, .from = VCT_ST_MADE, .cap = VC_AG_CAP_TEMPLATE,
      .call = op_renew },
    { MEMBER(online), .flags = VCT_OP_BLOCKS, .from = VCT_ST_MADE, .cap = VC_AG_CAP_ONLINE, .call = op_online },
    { MEMBER(disconnect), .flags = VCT_OP_IDEM, .from = EARLY | VCT_ST_DOWN, .call = vct_ag_disconnect },
    { MEMBER(sandbox_create), .flags = VCT_OP_BLOCKS, .from = VCT_ST_MADE, .call = op_sandbox_create,
      .effect = sandboxed },
    { MEMBER(ping), .flags = VCT_OP_BLOCKS | VCT_OP_PURE, .from = THERE, .call = op_ping },
    { MEMBER(net_update), .flags = VCT_OP_BLOCKS, .from = THERE, .cap = VC_AG_CAP_NET, .call = op_net_update },
    { MEMBER(ctr_create), .flags = VCT_OP_BLOCKS, .from = THERE, .call = op_ctr_create, .effect = created },
    { MEMBER(ctr_start), .flags = VCT_OP_BLOCKS, .from = VCT_ST_MADE, .refuse = VCT_ST_UP, .to = VCT_ST_UP,
      .call = op_ctr_start, .effect = running },
    { MEMBER(exec), .flags = VCT_OP_BLOCKS, .from = VCT_ST_UP, .call = op_exec },
    { MEMBER(signal), .flags = VCT_OP_BLOCKS | VCT_OP_ANY, .from = VCT_ST_UP, .call = op_signal, .effect = signalled },
    { MEMBER(wait), .flags = VCT_OP_BLOCKS | VCT_OP_ANY, .from = VCT_ST_UP, .call = op_wait, .effect = waited },
    { MEMBER(stdio), .flags = VCT_OP_BLOCKS | VCT_OP_ANY, .from = VCT_ST_UP, .cap = VC_AG_CAP_STDIO, .call = op_stdio,
      .effect = carried },
    { MEMBER(tty_resize), .flags = VCT_OP_BLOCKS | VCT_OP_ANY, .from = VCT_ST_UP, .call = op_tty_resize,
      .effect = resized },
    { MEMBER(ps), .flags = VCT_OP_BLOCKS | VCT_OP_PURE, .from = VCT_ST_UP, .cap = VC_AG_CAP_PS, .call = op_ps,
      .effect = listed },
    { MEMBER(stats), .flags = VCT_OP_BLOCKS | VCT_OP_PURE, .from = VCT_ST_UP, .cap = VC_AG_CAP_STATS, .call = op_stats,
      .effect = listed },
    { MEMBER(ctr_update), .flags = VCT_OP_BLOCKS, .from = VCT_ST_UP, .cap = VC_AG_CAP_UPDATE, .call = op_ctr_update },
    { MEMBER(ctr_pause), .flags = VCT_OP_BLOCKS, .from = VCT_ST_UP, .to = VCT_ST_PAUSED, .cap = VC_AG_CAP_PAUSE,
      .call = op_ctr_pause, .effect = paused },
    { MEMBER(ctr_resume), .flags = VCT_OP_BLOCKS, .from = VCT_ST_PAUSED, .to = VCT_ST_UP, .cap = VC_AG_CAP_PAUSE,
      .call = op_ctr_resume, .effect = running },
    { MEMBER(ctr_remove), .flags = VCT_OP_BLOCKS | VCT_OP_IDEM, .from = THERE, .call = op_ctr_remove,
      .effect = removed },
    { MEMBER(sandbox_destroy), .flags = VCT_OP_BLOCKS | VCT_OP_IDEM, .from = THERE | VCT_ST_DOWN, .to = VCT_ST_DOWN,
      .call = op_sandbox_destroy, .effect = destroyed },
    { .name = NULL },
};

const struct vct_kind vct_kind_agent = {
    .kind = VC_KIND_AGENT,
    .name = "agent",
    .ops_size = sizeof(struct vc_agent_ops),
    .ops = ops,
    .caps_known = VC_AG_CAP_NET | VC_AG_CAP_STATS | VC_AG_CAP_PAUSE | VC_AG_CAP_UPDATE | VC_AG_CAP_PS |
                  VC_AG_CAP_NO_GUEST | VC_AG_CAP_STDIO | VC_AG_CAP_TEMPLATE | VC_AG_CAP_ONLINE,
    .world_up = world_up,
    .world_down = world_down,
    .kill_peer = kill_peer,
    .bad_calls = bad_calls,
    .hollow = hollow,
};
