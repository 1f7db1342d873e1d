/* SPDX-License-Identifier: Apache-2.0 */
/* kind-hypervisor.c: the members of a hypervisor, each with what has to be seen after it. */
#include "conformance/kind-hypervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "conformance/peer.h"
#include "lib/io.h"
#include "lib/proc.h"

#define DISK_ID "disk0"

/* ---- the world ---- */

/* Pods without a world have no such record. */
static struct vct_hv_world *world(struct vct_pod *pod)
{
    static _Thread_local struct vct_hv_world none;
    return pod->world ? pod->world : &none;
}

/* What has to be known of an earlier process, too: marks in the pod's directory. */
static void mark(struct vct_pod *pod, const char *name, int on)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/mark.%s", pod->dir, name);
    if (!on) {
        unlink(path);
        return;
    }
    vcs_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        vct_note(pod->t, "%s cannot be made", path);
}

static int marked(struct vct_pod *pod, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/mark.%s", pod->dir, name);
    return access(path, F_OK) == 0;
}

static int world_up(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_hv_world *w = calloc(1, sizeof(*w));
    pod->world = w;
    vct_peer_has(pod, "program"); /* reads the scenario while there are descriptors */
    if (!w || !(w->disk = vct_hv_image(pod, "disk0.img", (off_t)VCT_HV_MIB))) {
        snprintf(why, size, "no disk image can be made in %s: %s", pod->dir, strerror(errno));
        return -1;
    }
    return 0;
}

static void world_down(struct vct_pod *pod)
{
    struct vct_hv_world *w = pod->world;
    vct_peers_done(pod);
    if (marked(pod, "share")) {
        vcs_autofree char *share = NULL;
        if (asprintf(&share, "%s/share", pod->dir) >= 0)
            umount2(share, MNT_DETACH);
    }
    if (!w)
        return;
    vcs_buf_done(&w->endpoint);
    vcs_buf_done(&w->console);
    free(w->disk);
    free(w);
    pod->world = NULL;
}

/* What every op notes before it calls. */
static struct vct_hv_world *begin(struct vct_pod *pod)
{
    struct vct_hv_world *w = world(pod);
    vct_peer_sync(pod);
    w->was = pod->state;
    vct_hv_tasks(pod, &w->before);
    return w;
}

static const struct vc_hypervisor_ops *ops_of(struct vct_pod *pod)
{
    return vct_kind_ops(pod->t);
}

/* A call that must not leave its error behind. */
static struct vc_call quiet(const struct vc_call *call)
{
    struct vc_call c = *call;
    c.err = NULL;
    return c;
}

/* ---- the members ---- */

/* What a host does for VC_HV_CAP_SHARE_BIND: a mount point with propagation of its own. */
static int share_mount(struct vct_pod *pod, const char *path)
{
    if (marked(pod, "share"))
        return 0;
    if (mount(path, path, NULL, MS_BIND, NULL) < 0 || mount(NULL, path, NULL, MS_PRIVATE, NULL) < 0 ||
        mount(NULL, path, NULL, MS_SHARED, NULL) < 0) {
        umount2(path, MNT_DETACH);
        return -1;
    }
    mark(pod, "share", 1);
    return 0;
}

void vct_hv_config(struct vct_pod *pod, struct vc_vm_config *ret)
{
    static _Thread_local char share[PATH_MAX];
    *ret = (struct vc_vm_config){ .size = sizeof(*ret), .netns_fd = -1 };
    if (pod->caps & VC_HV_CAP_RESIZE) {
        ret->vcpus = 1;
        ret->max_vcpus = 4;
        ret->memory = 256 * VCT_HV_MIB;
        ret->max_memory = 1024 * VCT_HV_MIB;
    }
    if (!(pod->caps & (VC_HV_CAP_SHARE_9P | VC_HV_CAP_SHARE_FS | VC_HV_CAP_SHARE_BIND)))
        return;
    snprintf(share, sizeof(share), "%s/share", pod->dir);
    /* Without mounts of its own the check makes none: they would be the machine's. */
    if ((pod->caps & VC_HV_CAP_SHARE_BIND) && (!pod->t->privileged || share_mount(pod, share) < 0))
        return;
    ret->shared_dir = share;
    ret->share_tag = "vcshare";
}

static int op_vm_create(struct vct_pod *pod, const struct vc_call *call)
{
    struct vc_vm_config config;
    begin(pod);
    vct_hv_config(pod, &config);
    return VCT(pod->t, ops_of(pod)->vm_create, pod->inst, call, &config);
}

static int op_vm_start(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_hv_world *w = begin(pod);
    int r = VCT(pod->t, ops_of(pod)->vm_start, pod->inst, call);
    if (r == VC_OK) {
        w->started = 1;
        w->killed = 0;
        mark(pod, "started", 1);
        mark(pod, "disk", 0);
    }
    return r;
}

static int op_vm_stop(struct vct_pod *pod, const struct vc_call *call)
{
    begin(pod);
    int r = VCT(pod->t, ops_of(pod)->vm_stop, pod->inst, call, VC_STOP_FORCE);
    if (r == VC_OK)
        mark(pod, "disk", 0);
    return r;
}

static int op_vm_state(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_hv_world *w = begin(pod);
    uint32_t state;
    vct_out(pod->t, &state, sizeof(state), 1);
    int r = VCT(pod->t, ops_of(pod)->vm_state, pod->inst, call, &state);
    if (r == VC_OK)
        w->vm_state = state;
    return r;
}

/* An URI member into a buffer of the world. */
static int ask_uri(struct vct_pod *pod, const struct vc_call *call, int console, struct vcs_buf *ret)
{
    struct vct *t = pod->t;
    vc_sink *sink = vct_sink_new(t);
    int r = console ? VCT(t, ops_of(pod)->console, pod->inst, call, sink)
                    : VCT(t, ops_of(pod)->agent_endpoint, pod->inst, call, sink);
    if (r == VC_OK) {
        vcs_buf_done(ret);
        *ret = sink->buf;
        sink->buf = (struct vcs_buf){ 0 };
    }
    vct_sink_free(sink);
    return r;
}

static int op_agent_endpoint(struct vct_pod *pod, const struct vc_call *call)
{
    return ask_uri(pod, call, 0, &begin(pod)->endpoint);
}

static int op_console(struct vct_pod *pod, const struct vc_call *call)
{
    return ask_uri(pod, call, 1, &begin(pod)->console);
}

int vct_hv_uri(struct vct_pod *pod, const char *member, struct vcs_buf *ret)
{
    return ask_uri(pod, vct_call(pod->t, 10000), !strcmp(member, "console"), ret);
}

int vct_hv_ask_pids(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_hv_world *w = world(pod);
    vc_sink *sink = vct_sink_new(pod->t);
    int r = VCT(pod->t, ops_of(pod)->pids, pod->inst, call, sink);
    if (r == VC_OK) {
        size_t n = sink->buf.len / sizeof(struct vc_proc);
        w->pids_bad = sink->buf.len % sizeof(struct vc_proc) != 0 || n > VCT_HV_PIDS;
        w->n_pids = w->pids_bad ? 0 : n;
        if (w->n_pids)
            memcpy(w->pids, vcs_buf_data(&sink->buf), n * sizeof(struct vc_proc));
    }
    vct_sink_free(sink);
    return r;
}

static int op_pids(struct vct_pod *pod, const struct vc_call *call)
{
    begin(pod);
    return vct_hv_ask_pids(pod, call);
}

struct vc_device vct_hv_disk(const char *id, const char *path)
{
    return (struct vc_device){ .size = sizeof(struct vc_device), .type = VC_DEV_BLOCK, .id = id, .path = path };
}

static int op_device_add(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_hv_world *w = world(pod);
    struct vc_device dev = vct_hv_disk(DISK_ID, w->disk ? w->disk : "/dev/null");
    struct vc_device_result out;
    if (marked(pod, "disk") && pod->state == VCT_ST_UP) { /* it is there from the last time */
        struct vc_call c = quiet(call);
        VCT(pod->t, ops_of(pod)->device_del, pod->inst, &c, DISK_ID);
        mark(pod, "disk", 0);
    }
    begin(pod);
    memset(&out, 0x5a, sizeof(out));
    out.size = sizeof(out);
    vct_out(pod->t, &out, sizeof(out), 0);
    int r = VCT(pod->t, ops_of(pod)->device_add, pod->inst, call, &dev, &out);
    if (r == VC_OK) {
        mark(pod, "disk", 1);
        memcpy(w->addr, out.guest_addr, sizeof(w->addr));
        w->was_open = vct_hv_has_open(pod, w->disk ? w->disk : "/dev/null") == 1;
    }
    return r;
}

static int op_device_del(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_hv_world *w = world(pod);
    if (!marked(pod, "disk") && pod->state == VCT_ST_UP) {
        struct vc_call c = quiet(call);
        op_device_add(pod, &c);
    }
    begin(pod);
    w->was_open = w->disk && vct_hv_has_open(pod, w->disk) == 1;
    int r = VCT(pod->t, ops_of(pod)->device_del, pod->inst, call, DISK_ID);
    if (r == VC_OK)
        mark(pod, "disk", 0);
    return r;
}

static int op_vm_pause(struct vct_pod *pod, const struct vc_call *call)
{
    begin(pod);
    return VCT(pod->t, ops_of(pod)->vm_pause, pod->inst, call);
}

static int op_vm_resume(struct vct_pod *pod, const struct vc_call *call)
{
    begin(pod);
    return VCT(pod->t, ops_of(pod)->vm_resume, pod->inst, call);
}

static int op_resize(struct vct_pod *pod, const struct vc_call *call)
{
    struct vct_hv_world *w = world(pod);
    struct vc_resize want = { .size = sizeof(want), .vcpus = 2, .memory = 384 * VCT_HV_MIB }, got;
    begin(pod);
    w->had = w->got;
    w->want_vcpus = want.vcpus;
    w->want_memory = want.memory;
    memset(&got, 0, sizeof(got));
    got.size = sizeof(got);
    vct_out(pod->t, &got, sizeof(got), 0);
    int r = VCT(pod->t, ops_of(pod)->resize, pod->inst, call, &want, &got);
    if (r == VC_OK)
        w->got = got;
    return r;
}

/* ---- the effects ---- */

#define TOLD_NS INT64_C(500000000)

#define NO(...) (snprintf(why, size, __VA_ARGS__), 0)

/* A member that changes the VMM, of which nothing else can be seen: was the VMM told anything at all?  It need not have run
 * when the member answers; and one that is stopped again before it has, never does: so this waits until it has. */
static int was_told(struct vct_pod *pod, const char *member, char *why, size_t size)
{
    struct vct_hv_world *w = world(pod);
    int64_t end = vcs_now_ns() + TOLD_NS;
    int told;
    while ((told = vct_hv_told(pod, &w->before)) == 0 && vcs_now_ns() < end)
        poll(NULL, 0, 2);
    if (told == 0)
        return NO("%s answered VC_OK, but the VMM was told nothing: none of its %zu threads ran meanwhile", member,
                  w->before.n);
    return -1;
}

static int created(struct vct_pod *pod, char *why, size_t size)
{
    if (pod->n_procs)
        return NO("vm_create started process %d; it has to describe the VM and start nothing", pod->procs[0].pid);
    return 1;
}

/* Do the processes that pids named run, and are they the ones? */
static int all_run(const struct vct_hv_world *w, char *why, size_t size)
{
    for (size_t i = 0; i < w->n_pids; i++) {
        struct vc_proc real = { 0 };
        const struct vc_proc *p = &w->pids[i];
        if (p->pid > 0 && vcs_proc_identify(p->pid, &real) == 0 && real.start_ticks != p->start_ticks)
            return NO("pids names process %d with start_ticks %" PRIu64 "; that process started at %" PRIu64
                      " (field 22 of /proc/PID/stat)",
                      p->pid, p->start_ticks, real.start_ticks);
        if (!vcs_proc_alive(p))
            return NO("pids names process %d (started at tick %" PRIu64 "), which does not run", p->pid,
                      p->start_ticks);
    }
    return 1;
}

static int started(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_hv_world *w = world(pod);
    char value[32];
    int r = vct_hv_ask_pids(pod, vct_call(pod->t, 10000));
    if (r != VC_OK)
        return NO("after vm_start pids answers %s", vct_code(r));
    if (w->pids_bad)
        return NO("pids wrote what is no array of struct vc_proc");
    if (!all_run(w, why, size))
        return 0;
    if (vct_fact(pod, "running", value, sizeof(value)) == 0 && strcmp(value, "yes"))
        return NO("vm_start answered VC_OK, but the VMM's vCPUs do not run");
    return w->n_pids ? 1 : -1;
}

static int stopped(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_hv_world *w = world(pod);
    for (size_t i = 0; i < w->n_pids; i++)
        if (vcs_proc_alive(&w->pids[i]))
            return NO("after vm_stop the VMM's process %d still runs", w->pids[i].pid);
    for (size_t i = 0; i < pod->n_procs; i++)
        if (vcs_proc_alive(&pod->procs[i]))
            return NO("after vm_stop process %d, which the plugin spawned, still runs", pod->procs[i].pid);
    return w->n_pids || pod->spawned ? 1 : -1;
}

static int paused(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_hv_world *w = world(pod);
    int runs = vct_hv_runs_is(pod, 0, 1000);
    if (runs == 1)
        return NO("vm_pause answered VC_OK, but the VM's vCPUs run on");
    if (runs == 0)
        return 1;
    return w->was == VCT_ST_UP ? was_told(pod, "vm_pause", why, size) : -1;
}

static int resumed(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_hv_world *w = world(pod);
    int runs = vct_hv_runs_is(pod, 1, 1000);
    if (runs == 0)
        return NO("vm_resume answered VC_OK, but the VM's vCPUs do not run");
    if (runs == 1)
        return 1;
    return w->was == VCT_ST_PAUSED ? was_told(pod, "vm_resume", why, size) : -1;
}

static int state_true(struct vct_pod *pod, char *why, size_t size)
{
    static const char *const names[] = { "NONE", "CREATED", "RUNNING", "PAUSED", "STOPPED" };
    struct vct_hv_world *w = world(pod);
    uint32_t want = pod->state == VCT_ST_FRESH    ? VC_VM_NONE
                    : pod->state == VCT_ST_MADE   ? VC_VM_CREATED
                    : pod->state == VCT_ST_UP     ? VC_VM_RUNNING
                    : pod->state == VCT_ST_PAUSED ? VC_VM_PAUSED
                                                  : VC_VM_STOPPED;
    if (w->vm_state > VC_VM_STOPPED)
        return NO("vm_state gave %u, which is no VC_VM_* value", w->vm_state);
    if (w->killed && want != VC_VM_NONE && want != VC_VM_CREATED)
        want = VC_VM_STOPPED;
    if (want == VC_VM_STOPPED && !marked(pod, "started") && w->vm_state <= VC_VM_CREATED)
        return 1; /* stopped before it was ever started */
    if (!vct_hv_plain(pod))
        return -1;
    return w->vm_state == want
               ? 1
               : NO("vm_state gives VC_VM_%s where the VM is VC_VM_%s", names[w->vm_state], names[want]);
}

static int uri_true(struct vct_pod *pod, const char *member, struct vcs_buf *uri, char *why, size_t size)
{
    char reason[256];
    const char *text = vcs_buf_str(uri);
    if (!text || !*text)
        return -1;
    if (vct_hv_uri_form(member, text, reason, sizeof(reason)) < 0)
        return NO("%s", reason);
    int r = vct_hv_plain(pod) && pod->state == VCT_ST_UP ? vct_hv_uri_works(text, reason, sizeof(reason)) : -1;
    return r == 0 ? NO("%s: %s", member, reason) : r;
}

static int endpoint_true(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_hv_world *w = world(pod);
    if (!w->endpoint.len && !(pod->caps & VC_HV_CAP_NO_GUEST) && pod->state == VCT_ST_UP)
        return NO("agent_endpoint is empty, but caps lacks VC_HV_CAP_NO_GUEST");
    if (w->endpoint.len && (pod->caps & VC_HV_CAP_NO_GUEST))
        return NO("agent_endpoint gives \"%s\", but caps has VC_HV_CAP_NO_GUEST", vcs_buf_str(&w->endpoint));
    return uri_true(pod, "agent_endpoint", &w->endpoint, why, size);
}

static int console_true(struct vct_pod *pod, char *why, size_t size)
{
    return uri_true(pod, "console", &world(pod)->console, why, size);
}

static int pids_true(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_hv_world *w = world(pod);
    int up = pod->state == VCT_ST_UP || pod->state == VCT_ST_PAUSED;
    if (w->pids_bad)
        return NO("pids wrote what is no array of struct vc_proc");
    if (!all_run(w, why, size))
        return 0;
    return !up || w->killed ? 1 : w->n_pids ? 1 : -1;
}

static int device_there(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_hv_world *w = world(pod);
    char value[64];
    if (!memchr(w->addr, 0, sizeof(w->addr)))
        return NO("device_add filled guest_addr without a NUL at its end");
    if (vct_fact(pod, "device." DISK_ID, value, sizeof(value)) == 0)
        return 1;
    if (vct_fact(pod, "running", value, sizeof(value)) == 0)
        return NO("device_add answered VC_OK, but the VMM has no device %s", DISK_ID);
    return w->was_open ? 1 : was_told(pod, "device_add", why, size);
}

static int device_gone(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_hv_world *w = world(pod);
    char value[64];
    if (vct_fact(pod, "device." DISK_ID, value, sizeof(value)) == 0)
        return NO("device_del answered VC_OK, but the VMM still has the device %s", DISK_ID);
    if (vct_fact(pod, "running", value, sizeof(value)) == 0)
        return 1;
    if (w->was_open && w->disk && vct_hv_has_open(pod, w->disk) == 1)
        return NO("device_del answered VC_OK, but the VMM still has %s open", w->disk);
    return w->was_open ? 1 : was_told(pod, "device_del", why, size);
}

/* A fact that is a number; 0: there is none. */
static uint64_t number(struct vct_pod *pod, const char *fact)
{
    char value[64];
    return vct_fact(pod, fact, value, sizeof(value)) == 0 ? strtoull(value, NULL, 0) : 0;
}

static int resized(struct vct_pod *pod, char *why, size_t size)
{
    struct vct_hv_world *w = world(pod);
    uint64_t vcpus = number(pod, "vcpus"), memory = number(pod, "memory");
    if (!w->got.vcpus || !w->got.memory)
        return NO("resize answered VC_OK with %u vCPUs and %" PRIu64 " bytes in `got`, which is no VM", w->got.vcpus,
                  w->got.memory);
    if (vcpus && vcpus != w->got.vcpus)
        return NO("resize says that the VM has %u vCPUs now, but the VMM has %" PRIu64, w->got.vcpus, vcpus);
    if (memory && memory != w->got.memory)
        return NO("resize says that the VM has %" PRIu64 " bytes now, but the VMM has %" PRIu64, w->got.memory, memory);
    if (w->got.vcpus < w->want_vcpus || w->got.memory < w->want_memory)
        return NO("resize to %u vCPUs and %" PRIu64
                  " bytes, within the maximum, answered VC_OK, but the VM has %u and %" PRIu64,
                  w->want_vcpus, w->want_memory, w->got.vcpus, w->got.memory);
    if (vcpus && memory)
        return 1;
    if (!w->had.vcpus && !marked(pod, "resized")) {
        mark(pod, "resized", 1);
        return was_told(pod, "resize", why, size);
    }
    return -1;
}

/* ---- the rest of the kind ---- */

static const char *traces(struct vct_pod *pod)
{
    static _Thread_local char text[100];
    struct vct_hv_world *w = world(pod);
    for (size_t i = 0; i < w->n_pids; i++)
        if (vcs_proc_alive(&w->pids[i])) {
            snprintf(text, sizeof(text), "the VMM's process %d still runs", w->pids[i].pid);
            return text;
        }
    return "";
}

static int kill_peer(struct vct_pod *pod)
{
    struct vc_proc proc;
    if (vct_hv_main(pod, &proc) < 0 || vcs_proc_kill(&proc, SIGKILL) < 0)
        return -1;
    world(pod)->killed = 1;
    int r = vct_hv_await_end(&proc, 5000);
    /* Others of the VMM may end with it, a moment later: that is no effect of the call that is made next. */
    for (size_t i = 0; r == 0 && i < world(pod)->n_pids; i++)
        vct_hv_await_end(&world(pod)->pids[i], 500);
    return r;
}

static int bad_vm(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    struct vct_pod *own = vct_pod_new(t, NULL, 0);
    struct vc_vm_config c;
    int n = 0;
    vct_pod_make(own);
    vct_hv_config(own, &c);
    c.vcpus = 5;
    c.max_vcpus = 2;
    n += VCT(t, ops_of(own)->vm_create, own->inst, vct_call(t, 2000), &c) != VC_OK;
    vct_hv_config(own, &c);
    c.kernel_params = "one\ntwo \"three\xff";
    n += VCT(t, ops_of(own)->vm_create, own->inst, vct_call(t, 2000), &c) != VC_OK;
    n += VCT(t, ops_of(own)->vm_create, own->inst, vct_call(t, 2000), &c) != VC_OK; /* a second time at the latest */
    vct_pod_cleanup(own);
    vct_pod_free(own);
    return n;
}

static int bad_devices(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    const struct vc_hypervisor_ops *ops = ops_of(pod);
    struct vct_hv_world *w = world(pod);
    struct vc_device_result out = { .size = sizeof(out) };
    struct vc_device d[] = { vct_hv_disk("../disk", w->disk), vct_hv_disk("missing", "/nonexistent/disk"),
                             vct_hv_disk("odd", w->disk), vct_hv_disk("", w->disk) };
    int n = 0;
    d[2].type = 999;
    for (size_t i = 0; i < sizeof(d) / sizeof(d[0]); i++) {
        int r = VCT(t, ops->device_add, pod->inst, vct_call(t, 5000), &d[i], &out);
        n += r != VC_OK;
        if (r == VC_OK)
            VCT(t, ops->device_del, pod->inst, vct_call(t, 10000), d[i].id);
    }
    n += VCT(t, ops->device_del, pod->inst, vct_call(t, 5000), "nobody") != VC_OK;
    n += VCT(t, ops->device_del, pod->inst, vct_call(t, 5000), "") != VC_OK;
    return n;
}

static int bad_calls(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    struct vc_vm_config c;
    int n = bad_vm(pod);
    if (!pod->inst)
        return n;
    vct_hv_config(pod, &c);
    if (pod->state != VCT_ST_FRESH)
        n += VCT(t, ops_of(pod)->vm_create, pod->inst, vct_call(t, 2000), &c) != VC_OK;
    if (pod->state != VCT_ST_UP)
        return n;
    n += VCT(t, ops_of(pod)->vm_start, pod->inst, vct_call(t, 2000)) != VC_OK;
    if (pod->caps & VC_HV_CAP_HOTPLUG)
        n += bad_devices(pod);
    if (pod->caps & VC_HV_CAP_RESIZE) {
        struct vc_resize want = { .size = sizeof(want), .vcpus = 5 }, got = { .size = sizeof(got) };
        n += VCT(t, ops_of(pod)->resize, pod->inst, vct_call(t, 5000), &want, &got) != VC_OK;
    }
    return n;
}

static int hollow(struct vct_pod *pod)
{
    static int known = -1; /* found out with a pod of its own */
    if (!(pod->caps & VC_HV_CAP_NO_GUEST))
        return 0;
    if (known < 0) {
        struct vct_pod *own = vct_pod_new(pod->t, NULL, 0);
        known = 0;
        vct_pod_make(own);
        if (vct_op(own, "vm_create", 0) == VC_OK && vct_op(own, "vm_start", 0) == VC_OK &&
            vct_op(own, "pids", 0) == VC_OK)
            known = world(own)->n_pids == 0 && !own->spawned;
        vct_op(own, "vm_stop", 0);
        vct_pod_cleanup(own);
        vct_pod_free(own);
    }
    return known;
}

#define MEMBER(m) .name = #m, .offset = offsetof(struct vc_hypervisor_ops, m)
#define FRESH     VCT_ST_FRESH
#define MADE      VCT_ST_MADE
#define UP        VCT_ST_UP
#define PAUSED    VCT_ST_PAUSED
#define DOWN      VCT_ST_DOWN

static const struct vct_op ops[] = {
    { MEMBER(vm_create), .from = FRESH, .refuse = MADE | UP | PAUSED, .to = MADE, .call = op_vm_create,
      .effect = created },
    { MEMBER(vm_start), .flags = VCT_OP_BLOCKS, .from = MADE, .refuse = FRESH | UP | PAUSED, .to = UP,
      .call = op_vm_start, .effect = started },
    { MEMBER(pids), .flags = VCT_OP_PURE, .from = VCT_ST_ALL, .call = op_pids, .effect = pids_true },
    { MEMBER(vm_state), .flags = VCT_OP_PURE | VCT_OP_BLOCKS, .from = VCT_ST_ALL, .call = op_vm_state,
      .effect = state_true },
    { MEMBER(agent_endpoint), .flags = VCT_OP_PURE, .from = UP | PAUSED, .call = op_agent_endpoint,
      .effect = endpoint_true },
    { MEMBER(console), .flags = VCT_OP_PURE, .from = UP | PAUSED, .call = op_console, .effect = console_true },
    { MEMBER(device_add), .flags = VCT_OP_BLOCKS, .from = UP, .refuse = FRESH | DOWN, .cap = VC_HV_CAP_HOTPLUG,
      .call = op_device_add, .effect = device_there },
    { MEMBER(resize), .flags = VCT_OP_BLOCKS, .from = UP, .refuse = FRESH | DOWN, .cap = VC_HV_CAP_RESIZE,
      .call = op_resize, .effect = resized },
    { MEMBER(vm_pause), .flags = VCT_OP_BLOCKS | VCT_OP_IDEM, .from = UP | PAUSED, .refuse = FRESH | MADE | DOWN,
      .to = PAUSED, .cap = VC_HV_CAP_PAUSE, .call = op_vm_pause, .effect = paused },
    { MEMBER(vm_resume), .flags = VCT_OP_BLOCKS | VCT_OP_IDEM, .from = UP | PAUSED, .refuse = FRESH | MADE | DOWN,
      .to = UP, .cap = VC_HV_CAP_PAUSE, .call = op_vm_resume, .effect = resumed },
    { MEMBER(device_del), .flags = VCT_OP_BLOCKS, .from = UP, .refuse = FRESH | DOWN, .cap = VC_HV_CAP_HOTPLUG,
      .call = op_device_del, .effect = device_gone },
    { MEMBER(vm_stop), .flags = VCT_OP_IDEM, .from = MADE | UP | PAUSED | DOWN, .to = DOWN, .call = op_vm_stop,
      .effect = stopped },
    { .name = NULL },
};

const struct vct_kind vct_kind_hypervisor = {
    .kind = VC_KIND_HYPERVISOR,
    .name = "hypervisor",
    .ops_size = sizeof(struct vc_hypervisor_ops),
    .ops = ops,
    .caps_known = VC_HV_CAP_PAUSE | VC_HV_CAP_RESIZE | VC_HV_CAP_HOTPLUG | VC_HV_CAP_SHARE_9P | VC_HV_CAP_SHARE_FS |
                  VC_HV_CAP_NO_GUEST | VC_HV_CAP_SHARE_BIND,
    .world_up = world_up,
    .world_down = world_down,
    .traces = traces,
    .kill_peer = kill_peer,
    .bad_calls = bad_calls,
    .hollow = hollow,
};
