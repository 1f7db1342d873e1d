/* SPDX-License-Identifier: Apache-2.0 */
/* checks-hypervisor.c: group H: what a hypervisor promises, and whether it is so. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "conformance/hv-checks.h"
#include "conformance/peer.h"
#include "lib/io.h"
#include "lib/proc.h"

/* ---- shared with the other checks of hypervisors ---- */

static const char *const vm_states[] = { "NONE", "CREATED", "RUNNING", "PAUSED", "STOPPED" };

const char *vct_hv_state_name(uint32_t state)
{
    return state < sizeof(vm_states) / sizeof(vm_states[0]) ? vm_states[state] : "(no value of the contract)";
}

struct vct_pod *vct_hv_up(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_pod_make(pod);
    vct_go(pod, VCT_ST_UP);
    return pod;
}

void vct_hv_down(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    int r = vct_pod_cleanup(pod);
    VCT_MUST(t, r == VC_OK, "cleanup answered %s: %s", vct_code(r), t->err.text);
    const char *left = t->kind->traces(pod);
    VCT_MUST(t, !*left, "after cleanup %s", left);
    for (size_t i = 0; i < pod->n_procs; i++)
        VCT_MUST(t, !vcs_proc_alive(&pod->procs[i]), "after cleanup process %d, which the plugin spawned, still runs",
                 pod->procs[i].pid);
    vct_pod_free(pod);
}

int vct_hv_do(struct vct_pod *pod, const char *member)
{
    struct vct *t = pod->t;
    const struct vct_op *op = vct_op_find(t, member);
    char why[700] = "";
    int r = vct_op(pod, member, t->s->real ? 60000 : 0);
    VCT_MUST(t, r == VC_OK, "%s answered %s: %s", member, vct_code(r), t->err.text);
    int seen = op->effect ? op->effect(pod, why, sizeof(why)) : -1;
    VCT_MUST(t, seen != 0, "%s", why);
    if (seen < 0 && !(op->flags & VCT_OP_PURE) && !t->kind->hollow(pod))
        vct_note(t, "%s: its effect cannot be seen from outside", member);
    return seen;
}

void vct_hv_is(struct vct_pod *pod, uint32_t want, const char *when)
{
    struct vct *t = pod->t;
    struct vct_hv_world *w = pod->world;
    int r = vct_op(pod, "vm_state", 0);
    VCT_MUST(t, r == VC_OK, "vm_state %s answered %s: %s", when, vct_code(r), t->err.text);
    VCT_MUST(t, w->vm_state == want, "%s vm_state gives VC_VM_%s (%u), where VC_VM_%s is right", when,
             vct_hv_state_name(w->vm_state), w->vm_state, vct_hv_state_name(want));
}

void vct_hv_restored(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    vcs_autofree char *bytes = NULL;
    size_t len = 0;
    int r = vct_pod_save(pod, &bytes, &len);
    VCT_MUST(t, r == VC_OK, "save answered %s: %s", vct_code(r), t->err.text);
    vct_pod_close(pod);
    r = vct_pod_restore(pod, t->plugin->state_version, bytes, len);
    VCT_MUST(t, r == VC_OK, "restore of what save wrote just before answered %s: %s", vct_code(r), t->err.text);
}

static const struct vc_hypervisor_ops *hv(struct vct *t)
{
    return vct_kind_ops(t);
}

/* There has to be a process that can be looked at. */
static void need_process(struct vct_pod *pod)
{
    struct vc_proc p;
    if (vct_hv_main(pod, &p) < 0)
        vct_skip(pod->t, "the VM of this plugin has no process of its own (pids is empty, nothing was spawned)");
}

static void need_cap(struct vct *t, uint64_t cap, const char *name)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_pod_make(pod);
    int there = (pod->caps & cap) == cap;
    vct_pod_free(pod);
    if (!there)
        vct_skip(t, "the plugin does not have %s", name);
}

/* ---- H1 ---- */

static void h1(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_pod_make(pod);
    vct_hv_is(pod, VC_VM_NONE, "after create");
    vct_hv_do(pod, "vm_create");
    vct_hv_is(pod, VC_VM_CREATED, "after vm_create");
    vct_hv_restored(pod);
    vct_hv_is(pod, VC_VM_CREATED, "after vm_create, save and restore");
    vct_hv_do(pod, "vm_start");
    vct_hv_is(pod, VC_VM_RUNNING, "after vm_start");
    vct_hv_restored(pod);
    vct_hv_is(pod, VC_VM_RUNNING, "after vm_start, save and restore");
    vct_hv_do(pod, "vm_stop");
    vct_hv_is(pod, VC_VM_STOPPED, "after vm_stop");
    vct_hv_restored(pod);
    vct_hv_is(pod, VC_VM_STOPPED, "after vm_stop, save and restore");
    vct_hv_down(pod);
}

/* ---- H2 ---- */

static void stop(struct vct_pod *pod, uint32_t flags, int timeout_ms, const char *when)
{
    struct vct *t = pod->t;
    struct vct_hv_world *w = pod->world;
    int64_t begin = vcs_now_ns();
    int r = VCT(t, hv(t)->vm_stop, pod->inst, vct_call(t, timeout_ms), flags);
    int64_t took = (vcs_now_ns() - begin) / 1000000;
    VCT_MUST(t, r == VC_OK, "vm_stop %s answered %s after %" PRId64 " ms: %s", when, vct_code(r), took, t->err.text);
    for (size_t i = 0; i < w->n_pids; i++)
        VCT_MUST(t, !vcs_proc_alive(&w->pids[i]), "vm_stop %s answered VC_OK, but the VMM's process %d still runs",
                 when, w->pids[i].pid);
    for (size_t i = 0; i < pod->n_procs; i++)
        VCT_MUST(t, !vcs_proc_alive(&pod->procs[i]),
                 "vm_stop %s answered VC_OK, but process %d, which the plugin spawned, still runs", when,
                 pod->procs[i].pid);
    pod->state = VCT_ST_DOWN;
}

/* Make the VMM deaf: its processes are stopped. */
static int freeze(struct vct_pod *pod)
{
    struct vct_hv_world *w = pod->world;
    int n = 0;
    vct_hv_ask_pids(pod, vct_call(pod->t, 5000));
    for (size_t i = 0; i < w->n_pids; i++)
        n += vcs_proc_kill(&w->pids[i], SIGSTOP) == 0;
    for (size_t i = 0; i < pod->n_procs; i++)
        n += vcs_proc_kill(&pod->procs[i], SIGSTOP) == 0;
    return n;
}

static void h2_hung_start(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    if (!t->s->real)
        pod->variant = "hung";
    vct_pod_make(pod);
    vct_go(pod, VCT_ST_MADE);
    int r = vct_op(pod, "vm_start", 300);
    VCT_MUST(t, t->s->real || r != VC_OK || !pod->spawned, "vm_start of a VMM that never answers answered VC_OK");
    stop(pod, 0, 10000, r == VC_OK ? "while the guest boots" : "after a vm_start that ran out of time");
    vct_hv_down(pod);
}

static void h2(struct vct *t)
{
    struct vct_pod *pod = vct_hv_up(t);
    vct_op(pod, "pids", 0);
    stop(pod, 0, 10000, "right after vm_start, while the guest boots,");
    stop(pod, 0, 10000, "a second time");
    stop(pod, VC_STOP_FORCE, 10000, "a third time, with VC_STOP_FORCE,");
    vct_hv_is(pod, VC_VM_STOPPED, "after vm_stop");
    vct_hv_restored(pod);
    stop(pod, 0, 10000, "after vm_stop, save and restore");
    vct_hv_down(pod);
    h2_hung_start(t);
    pod = vct_hv_up(t);
    if (freeze(pod))
        stop(pod, VC_STOP_FORCE, 5000, "with VC_STOP_FORCE, of a VMM that hangs,");
    vct_hv_down(pod);
    pod = vct_hv_up(t);
    if (freeze(pod)) { /* it may need all of its time to be polite, but afterwards it has to be possible */
        int r = VCT(t, hv(t)->vm_stop, pod->inst, vct_call(t, 6000), 0);
        VCT_MUST(t, r == VC_OK || r == VC_E_TIMEOUT, "vm_stop of a VMM that hangs answered %s: %s", vct_code(r),
                 t->err.text);
        stop(pod, r == VC_OK ? 0 : VC_STOP_FORCE, 5000, "of a VMM that hangs, once more,");
    }
    vct_hv_down(pod);
}

/* ---- H3 ---- */

static void h3_calls(struct vct_pod *pod)
{
    static const char *const members[] = { "device_add", "resize", "vm_pause", "vm_resume" };
    struct vct *t = pod->t;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (!vct_op_there(pod, vct_op_find(t, members[i])))
            continue;
        int64_t begin = vcs_now_ns();
        int r = vct_op(pod, members[i], 5000);
        VCT_MUST(t, r == VC_E_PEER || r == VC_E_STATE,
                 "after the VMM was killed %s answered %s; VC_E_PEER or VC_E_STATE say that it is gone", members[i],
                 vct_code(r));
        VCT_MUST(t, vcs_now_ns() - begin < INT64_C(2000000000),
                 "after the VMM was killed %s took more than 2 s to say so", members[i]);
    }
}

static void h3(struct vct *t)
{
    uint32_t health = 0;
    struct vct_pod *pod = vct_hv_up(t);
    vct_op(pod, "pids", 0);
    if (t->kind->kill_peer(pod) < 0)
        vct_skip(t, "the VM of this plugin has no process that could be killed");
    vct_hv_is(pod, VC_VM_STOPPED, "after the VMM was killed");
    h3_calls(pod);
    int r = vct_pod_check(pod, &health);
    VCT_MUST(t, r == VC_OK && health == VC_HEALTH_GONE,
             "after the VMM was killed check answers %s with health %u, where VC_HEALTH_GONE is right", vct_code(r),
             health);
    r = vct_op(pod, "pids", 0);
    VCT_MUST(t, r == VC_OK, "after the VMM was killed pids answers %s", vct_code(r));
    char why[300];
    VCT_MUST(t, vct_op_find(t, "pids")->effect(pod, why, sizeof(why)) != 0, "after the VMM was killed %s", why);
    vct_hv_restored(pod);
    vct_hv_is(pod, VC_VM_STOPPED, "after the VMM was killed, save and restore");
    stop(pod, 0, 5000, "of a VM whose VMM was killed");
    vct_hv_down(pod);
    pod = vct_hv_up(t); /* and cleanup alone does, too */
    t->kind->kill_peer(pod);
    vct_hv_down(pod);
}

/* ---- H4 ---- */

static void h4_identity(struct vct_pod *pod, const char *when)
{
    struct vct *t = pod->t;
    struct vct_hv_world *w = pod->world;
    VCT_MUST(t, !w->pids_bad, "pids wrote what is no array of struct vc_proc");
    for (size_t i = 0; i < w->n_pids; i++) {
        struct vc_proc real = { 0 };
        const struct vc_proc *p = &w->pids[i];
        VCT_MUST(t, p->pid > 0 && vcs_proc_identify(p->pid, &real) == 0,
                 "%s entry %zu of pids is process %d, which does not run", when, i, p->pid);
        VCT_MUST(t, p->start_ticks == real.start_ticks,
                 "%s entry %zu of pids is process %d with start_ticks %" PRIu64 "; that process started at %" PRIu64
                 " (field 22 of /proc/PID/stat)",
                 when, i, p->pid, p->start_ticks, real.start_ticks);
        VCT_MUST(t, p->flags == 0, "%s entry %zu of pids has flags 0x%x; they are 0", when, i, p->flags);
        for (size_t k = 0; k < i; k++)
            VCT_MUST(t, w->pids[k].pid != p->pid, "%s pids names process %d twice", when, p->pid);
    }
}

static void h4(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_hv_world *w = pod->world;
    vct_pod_make(pod);
    for (int made = 0; made < 2; made++) {
        vct_hv_do(pod, "pids");
        VCT_MUST(t, w->n_pids == 0, "before vm_start pids names process %d", w->pids[0].pid);
        if (!made)
            vct_go(pod, VCT_ST_MADE);
    }
    vct_go(pod, VCT_ST_UP);
    vct_hv_do(pod, "pids");
    if (!w->n_pids && !pod->spawned)
        vct_skip(t, "the VM of this plugin has no process of its own (pids is empty, nothing was spawned)");
    VCT_MUST(t, w->n_pids > 0, "pids is empty, although the plugin has spawned process %d",
             pod->n_procs ? pod->procs[0].pid : 0);
    h4_identity(pod, "after vm_start");
    struct vc_proc first = w->pids[0];
    vct_hv_restored(pod);
    vct_hv_do(pod, "pids");
    h4_identity(pod, "after save and restore");
    VCT_MUST(t, w->n_pids && w->pids[0].pid == first.pid,
             "pids begins with process %d, and after save and restore with %d", first.pid,
             w->n_pids ? w->pids[0].pid : 0);
    /* The main one is that with which the VM ends. */
    VCT_MUST(t, vcs_proc_kill(&first, SIGKILL) == 0 && vct_hv_await_end(&first, 5000) == 0,
             "process %d cannot be killed", first.pid);
    int r = vct_op(pod, "vm_state", 0);
    VCT_MUST(
        t, r == VC_OK && w->vm_state == VC_VM_STOPPED,
        "the first entry of pids (process %d) was killed, but vm_state says VC_VM_%s: it is not the VMM's main process",
        first.pid, vct_hv_state_name(w->vm_state));
    stop(pod, 0, 5000, "of a VM whose VMM was killed");
    vct_hv_do(pod, "pids");
    VCT_MUST(t, w->n_pids == 0, "after vm_stop pids still names process %d", w->pids[0].pid);
    vct_hv_down(pod);
}

/* ---- H6 ---- */

/* The text of an URI member; "" when it is empty. */
static const char *uri_of(struct vct_pod *pod, const char *member, struct vcs_buf *ret)
{
    struct vct *t = pod->t;
    int r = vct_hv_uri(pod, member, ret);
    VCT_MUST(t, r == VC_OK, "%s answered %s: %s", member, vct_code(r), t->err.text);
    const char *text = vcs_buf_str(ret);
    return text ? text : "";
}

static void h6_uri(struct vct_pod *pod, const char *member)
{
    struct vct *t = pod->t;
    struct vcs_buf a = { 0 }, b = { 0 };
    char why[700] = "";
    const char *first = uri_of(pod, member, &a);
    int form = *first ? vct_hv_uri_form(member, first, why, sizeof(why)) : 0;
    VCT_MUST(t, form == 0, "%s", why);
    int works = *first ? vct_hv_uri_works(first, why, sizeof(why)) : -1;
    VCT_MUST(t, works != 0, "%s right after vm_start: %s", member, why);
    vct_hv_restored(pod);
    const char *second = uri_of(pod, member, &b);
    VCT_MUST(t, !strcmp(first, second), "%s gave \"%s\", and after save and restore \"%s\"", member, first, second);
    works = *second ? vct_hv_uri_works(second, why, sizeof(why)) : -1;
    VCT_MUST(t, works != 0, "%s after save and restore: %s", member, why);
    vcs_buf_done(&b);
    vcs_buf_done(&a);
}

static void h6(struct vct *t)
{
    struct vct_pod *pod = vct_hv_up(t);
    struct vct_hv_world *w = pod->world;
    vct_op(pod, "agent_endpoint", 0);
    int guest = !(pod->caps & VC_HV_CAP_NO_GUEST);
    VCT_MUST(t, guest || !w->endpoint.len, "caps has VC_HV_CAP_NO_GUEST, but agent_endpoint gives \"%s\"",
             vcs_buf_str(&w->endpoint));
    VCT_MUST(t, !guest || w->endpoint.len, "agent_endpoint is empty, but caps lacks VC_HV_CAP_NO_GUEST");
    h6_uri(pod, "agent_endpoint");
    h6_uri(pod, "console");
    vcs_autofree char *path = w->endpoint.len ? vct_hv_uri_path(vcs_buf_str(&w->endpoint)) : NULL;
    vct_op(pod, "vm_stop", 0);
    int fd = path ? vcs_unix_connect(path) : -1;
    if (fd >= 0)
        close(fd);
    VCT_MUST(t, fd < 0, "after vm_stop somebody still takes connections on %s", path);
    vct_hv_down(pod);
}

/* ---- H7 ---- */

static void h7(struct vct *t)
{
    need_cap(t, VC_HV_CAP_PAUSE, "VC_HV_CAP_PAUSE");
    struct vct_pod *pod = vct_hv_up(t);
    vct_op(pod, "pids", 0);
    vct_hv_settle(pod, t->s->real ? 0 : 500); /* so that it shows whether it is told anything */
    for (int round = 0; round < 2; round++) {
        for (int again = 0; again < 2; again++) {
            vct_hv_do(pod, "vm_pause");
            vct_hv_is(pod, VC_VM_PAUSED, again ? "after a second vm_pause" : "after vm_pause");
        }
        if (round == 0) {
            vct_hv_restored(pod);
            vct_hv_is(pod, VC_VM_PAUSED, "after vm_pause, save and restore");
        }
        for (int again = 0; again < 2; again++) {
            vct_hv_do(pod, "vm_resume");
            vct_hv_is(pod, VC_VM_RUNNING, again ? "after a second vm_resume" : "after vm_resume");
        }
    }
    vct_hv_do(pod, "vm_pause");
    stop(pod, 0, 10000, "of a paused VM");
    static const char *const members[] = { "vm_pause", "vm_resume" };
    for (int i = 0; i < 2; i++) {
        int r = vct_op(pod, members[i], 0);
        VCT_MUST(t, r == VC_E_STATE, "%s of a stopped VM answered %s, where VC_E_STATE is right", members[i],
                 vct_code(r));
    }
    vct_hv_down(pod);
}

/* ---- H8 ---- */

static struct vc_resize resize(struct vct_pod *pod, uint32_t vcpus, uint64_t memory, int want)
{
    struct vct *t = pod->t;
    struct vc_resize w = { .size = sizeof(w), .vcpus = vcpus, .memory = memory }, got = { .size = sizeof(got) };
    int r = VCT(t, hv(t)->resize, pod->inst, vct_call(t, 10000), &w, &got);
    VCT_MUST(t, r == want, "resize to %u vCPUs and %" PRIu64 " MiB answered %s, where %s is right: %s", vcpus,
             memory / VCT_HV_MIB, vct_code(r), vct_code(want), t->err.text);
    return got;
}

/* `got` of a resize that changes nothing is what the VM has. */
static void has_size(struct vct_pod *pod, const struct vc_resize *want, const char *when)
{
    struct vc_resize now = resize(pod, 0, 0, VC_OK);
    VCT_MUST(pod->t, now.vcpus == want->vcpus && now.memory == want->memory,
             "%s the VM has %u vCPUs and %" PRIu64 " MiB (a resize with zeros tells), where %u and %" PRIu64
             " are right",
             when, now.vcpus, now.memory / VCT_HV_MIB, want->vcpus, want->memory / VCT_HV_MIB);
}

static void h8_grow(struct vct_pod *pod, struct vc_resize *had)
{
    struct vct *t = pod->t;
    struct vct_hv_world *w = pod->world;
    struct vct_hv_tasks before;
    *had = resize(pod, 0, 0, VC_OK);
    VCT_MUST(
        t, had->vcpus == 1 && had->memory == 256 * VCT_HV_MIB,
        "vm_create asked for 1 vCPU and 256 MiB; a resize with zeros (\"leave\") says that the VM has %u and %" PRIu64
        " MiB",
        had->vcpus, had->memory / VCT_HV_MIB);
    vct_hv_tasks(pod, &before);
    vct_hv_do(pod, "resize");
    char value[32];
    if (vct_fact(pod, "vcpus", value, sizeof(value)) < 0 && w->n_pids &&
        vct_hv_new_tasks(pod, &before) < w->got.vcpus - had->vcpus)
        vct_warn(
            t,
            "resize says that the VM has %u vCPUs and not %u any more, but its VMM has no new thread: each vCPU of "
            "a VM is one",
            w->got.vcpus, had->vcpus);
    *had = w->got;
}

static void h8(struct vct *t)
{
    need_cap(t, VC_HV_CAP_RESIZE, "VC_HV_CAP_RESIZE");
    struct vct_pod *pod = vct_hv_up(t);
    struct vc_resize had;
    vct_op(pod, "pids", 0);
    vct_hv_settle(pod, t->s->real ? 0 : 500);
    h8_grow(pod, &had);
    has_size(pod, &had, "after resize");
    vct_hv_restored(pod);
    has_size(pod, &had, "after resize, save and restore");
    resize(pod, 5, 0, VC_E_RESOURCE); /* vm_create said 4 */
    has_size(pod, &had, "after a resize to too many vCPUs, which was refused,");
    resize(pod, 0, 1280 * VCT_HV_MIB, VC_E_RESOURCE); /* and 1024 MiB */
    has_size(pod, &had, "after a resize to too much memory, which was refused,");
    resize(pod, UINT32_MAX, UINT64_MAX, VC_E_RESOURCE);
    has_size(pod, &had, "after a resize to all that fits into the numbers, which was refused,");
    struct vc_resize same = resize(pod, had.vcpus, had.memory, VC_OK);
    VCT_MUST(t, same.vcpus == had.vcpus && same.memory == had.memory,
             "a resize to what the VM has already changed it to %u vCPUs and %" PRIu64 " MiB", same.vcpus,
             same.memory / VCT_HV_MIB);
    /* Less: a VM need not shrink, but what it says has to be so. */
    struct vc_resize less = { .size = sizeof(less), .vcpus = 1 }, got = { .size = sizeof(got) };
    int r = VCT(t, hv(t)->resize, pod->inst, vct_call(t, 10000), &less, &got);
    has_size(pod, r == VC_OK ? &got : &had,
             r == VC_OK ? "after a resize to fewer vCPUs" : "after a resize to fewer vCPUs, which was refused,");
    vct_hv_down(pod);
}

/* ---- H10 ---- */

static void distinct(struct vct *t, struct vct_pod *const *pods, const char *member)
{
    struct vcs_buf a = { 0 }, b = { 0 };
    const char *x = uri_of(pods[0], member, &a), *y = uri_of(pods[1], member, &b);
    int same = *x && !strcmp(x, y);
    unsigned cid[2] = { 0, 0 };
    if (sscanf(x, "vsock://%u", &cid[0]) == 1 && sscanf(y, "vsock://%u", &cid[1]) == 1)
        same |= cid[0] == cid[1];
    VCT_MUST(t, !same, "%s of two VMs is the same: \"%s\"", member, x);
    vcs_buf_done(&a);
    vcs_buf_done(&b);
}

static void h10(struct vct *t)
{
    struct vct_pod *pods[2] = { vct_hv_up(t), vct_hv_up(t) };
    struct vct_hv_world *w[2] = { pods[0]->world, pods[1]->world };
    for (int i = 0; i < 2; i++) {
        vct_hv_do(pods[i], "pids");
        vct_hv_is(pods[i], VC_VM_RUNNING, "of two VMs one");
    }
    distinct(t, pods, "agent_endpoint");
    distinct(t, pods, "console");
    for (size_t i = 0; i < w[0]->n_pids; i++)
        for (size_t k = 0; k < w[1]->n_pids; k++)
            VCT_MUST(t, w[0]->pids[i].pid != w[1]->pids[k].pid, "two VMs have the same process %d", w[0]->pids[i].pid);
    stop(pods[0], VC_STOP_FORCE, 10000, "of one of two VMs");
    vct_hv_down(pods[0]);
    vct_hv_is(pods[1], VC_VM_RUNNING, "after another VM was stopped");
    vct_hv_do(pods[1], "pids");
    vct_hv_do(pods[1], "agent_endpoint");
    vct_hv_down(pods[1]);
}

/* ---- H11 ---- */

struct open_file {
    int fd;
    dev_t dev;
    ino_t ino;
    char target[300];
};

/* The open files of a process, without /dev/null and its like, which are no secret. */
static size_t open_files(int pid, struct open_file *ret, size_t max)
{
    char path[100];
    struct stat st;
    size_t n = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    vcs_autoclosedir DIR *d = opendir(path);
    struct dirent *e;
    while (d && n < max && (e = readdir(d))) {
        if (e->d_name[0] == '.' || (pid == getpid() && (int)strtol(e->d_name, NULL, 10) == dirfd(d)))
            continue;
        snprintf(path, sizeof(path), "/proc/%d/fd/%.16s", pid, e->d_name);
        if (stat(path, &st) < 0 || (S_ISCHR(st.st_mode) && st.st_rdev == 0x103))
            continue;
        ret[n] = (struct open_file){ .fd = (int)strtol(e->d_name, NULL, 10), .dev = st.st_dev, .ino = st.st_ino };
        ssize_t len = readlink(path, ret[n].target, sizeof(ret[n].target) - 1);
        /* All of these have one inode. */
        if (len > 0 && strncmp(ret[n].target, "anon_inode:", 11))
            n++;
    }
    return n;
}

static void h11(struct vct *t)
{
    struct open_file mine[256], theirs[256];
    int canary[2];
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_hv_world *w = pod->world;
    vct_pod_make(pod);
    vct_go(pod, VCT_ST_MADE);
    VCT_MUST(t, pipe2(canary, O_CLOEXEC) == 0, "the tool has no descriptor left");
    for (int i = 0; i < 2; i++) /* a descriptor of the program that nobody was told about */
        fcntl(canary[i], F_SETFD, 0);
    size_t n_mine = open_files(getpid(), mine, 256);
    vct_hv_do(pod, "vm_start");
    vct_hv_do(pod, "pids");
    close(canary[0]);
    close(canary[1]);
    need_process(pod);
    for (size_t p = 0; p < w->n_pids + pod->n_procs; p++) {
        int pid = p < w->n_pids ? w->pids[p].pid : pod->procs[p - w->n_pids].pid;
        size_t n = open_files(pid, theirs, 256);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < n_mine; k++)
                VCT_MUST(
                    t, theirs[i].dev != mine[k].dev || theirs[i].ino != mine[k].ino,
                    "process %d of the VMM has descriptor %d open on %s, which was the host's descriptor %d before "
                    "vm_start%s",
                    pid, theirs[i].fd, theirs[i].target, mine[k].fd,
                    mine[k].fd == canary[0] || mine[k].fd == canary[1] ? " (a pipe of the host's own)" : "");
    }
    vct_hv_down(pod);
}

/* ---- H12 ---- */

/* Paths of listening unix sockets of this network namespace, each ended by NUL. */
static void listeners(struct vcs_buf *ret)
{
    char line[400], path[300];
    unsigned flags;
    vcs_autofclose FILE *f = fopen("/proc/self/net/unix", "re");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "%*s %*s %*s %x %*s %*s %*s %299[^\n]", &flags, path) == 2 && (flags & 0x10000))
            vcs_buf_append(ret, path, strlen(path) + 1);
}

static int in_list(const struct vcs_buf *list, const char *path)
{
    for (size_t at = 0; at < list->len; at += strlen((char *)vcs_buf_data(list) + at) + 1)
        if (!strcmp((char *)vcs_buf_data(list) + at, path))
            return 1;
    return 0;
}

static void guarded(struct vct *t, const char *path)
{
    char dir[PATH_MAX];
    struct stat st, above;
    snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    VCT_MUST(t, path[0] == '/' && slash,
             "the VMM listens on the abstract socket \"%s\", which every process may connect to; a socket "
             "in VC_PATH_RUN has an owner and a mode",
             path);
    slash[slash == dir] = '\0';
    if (lstat(path, &st) < 0)
        return; /* its name is gone: nobody can connect */
    VCT_MUST(t, !(st.st_mode & 077), "the socket %s has mode %04o; 0600 is right", path, st.st_mode & 07777);
    VCT_MUST(t, stat(dir, &above) == 0 && !(above.st_mode & 077),
             "the directory %s of the socket %s has mode %04o; 0700 is right", dir, path, above.st_mode & 07777);
}

/* Sockets and the like in the run directory. */
static void run_sockets(struct vct_pod *pod, int must_be_gone)
{
    struct vct *t = pod->t;
    vcs_autoclosedir DIR *d = opendir(pod->run);
    struct dirent *e;
    struct stat st;
    while (d && (e = readdir(d))) {
        char path[PATH_MAX];
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", pod->run, e->d_name) >= sizeof(path) ||
            lstat(path, &st) < 0 || !(S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode)))
            continue;
        VCT_MUST(t, !must_be_gone, "after cleanup the %s %s is still there", S_ISSOCK(st.st_mode) ? "socket" : "pipe",
                 path);
        guarded(t, path);
    }
}

static void h12(struct vct *t)
{
    struct vcs_buf before = { 0 }, now = { 0 }, late = { 0 };
    mode_t mask = umask(0); /* a plugin must not rely on it */
    listeners(&before);
    struct vct_pod *pod = vct_hv_up(t);
    umask(mask);
    struct stat st;
    listeners(&now);
    for (size_t at = 0; at < now.len; at += strlen((char *)vcs_buf_data(&now) + at) + 1) {
        const char *path = (char *)vcs_buf_data(&now) + at;
        if (!in_list(&before, path))
            guarded(t, path);
    }
    run_sockets(pod, 0);
    VCT_MUST(t, stat(pod->run, &st) == 0 && (st.st_mode & 07777) == 0700,
             "VC_PATH_RUN has mode %04o since vm_start; it was 0700", st.st_mode & 07777);
    int r = vct_pod_cleanup(pod);
    VCT_MUST(t, r == VC_OK, "cleanup answered %s: %s", vct_code(r), t->err.text);
    run_sockets(pod, 1);
    listeners(&late);
    for (size_t at = 0; at < late.len; at += strlen((char *)vcs_buf_data(&late) + at) + 1) {
        const char *path = (char *)vcs_buf_data(&late) + at;
        VCT_MUST(t, in_list(&before, path) || !in_list(&now, path), "after cleanup somebody still listens on %s", path);
    }
    vcs_buf_done(&before);
    vcs_buf_done(&now);
    vcs_buf_done(&late);
    vct_hv_down(pod);
}

const struct vct_check vct_checks_hypervisor[] = {
    { "H1", "hypervisor.h vm_state", VCT_HV, VCT_QUICK, 0,
      "vm_state follows create, vm_create, vm_start and vm_stop, also after restore",
      "A host decides by vm_state whether a pod is alive; a wrong answer makes it kill a VM that runs or keep one "
      "that is gone.",
      "Answer what the VMM itself says, and VC_VM_STOPPED when its process is gone; save what vm_create was told.",
      h1 },
    { "H2", "hypervisor.h vm_stop", VCT_HV, VCT_FULL, 0,
      "vm_stop twice, while the guest boots, and of a VMM that hangs",
      "Deleting a pod must always be possible: it comes at any time, twice, and also when the VMM does not answer.",
      "Ask a VMM for a limited time only, then kill it by its pidfd and wait for its end; nothing to stop is VC_OK.",
      h2 },
    { "H3", "hypervisor.h vm_state", VCT_HV, VCT_QUICK, 0,
      "a killed VMM is seen: VC_VM_STOPPED, calls answer PEER or STATE",
      "VMMs crash and are killed for memory. The host learns of it by these answers and cleans up.",
      "Look at the process (proc_fd) before and after talking to it, and never wait for the answer of one that has "
      "ended.",
      h3 },
    { "H4", "hypervisor.h pids", VCT_HV, VCT_QUICK, 0,
      "pids names the VMM's processes, the main one first, each with its start time",
      "The host puts them into cgroups and learns of their end; a pid without the right start time may be somebody "
      "else's by then.",
      "Keep the struct vc_proc that spawn returned, save it whole, and write only processes that still run.", h4 },
    { "H5", "hypervisor.h device_add", VCT_HV, VCT_QUICK, 0,
      "devices come and go: each type promised, EXISTS, NOTFOUND, guest_addr; a disk as a descriptor",
      "Disks and network links of containers are plugged in this way; one that is not there makes a container that "
      "has no disk.",
      "Answer VC_OK only after the VMM has confirmed; keep ids in the saved state; fill guest_addr with a NUL at "
      "its end.",
      vct_hv_h5 },
    { "H6", "hypervisor.h agent_endpoint", VCT_HV, VCT_QUICK, 0,
      "agent_endpoint and console have the contract's form, work and stay",
      "Everything that is done in a guest goes over this address, also from processes that come later.",
      "Make the listening socket before the VMM starts and hand it over; derive the URI from what is saved.", h6 },
    { "H7", "manual 17, R12", VCT_HV, VCT_QUICK, 0, "vm_pause and vm_resume do what they say, and twice is no failure",
      "A host that believes in a pause that never came freezes a container that goes on writing to its disk.",
      "Answer VC_OK only when the VMM confirms that the vCPUs are stopped; without such a call, do not claim "
      "VC_HV_CAP_PAUSE.",
      h7 },
    { "H8", "manual 17, R12", VCT_HV, VCT_QUICK, 0, "resize: the VM really has what `got` says; past the maximum VC_E_RESOURCE",
      "`got` is what the host accounts and what it makes the guest take into use; an echo of the wish is a lie to "
      "both.",
      "Ask the VMM for its sizes after the change and return those; check the maximum before anything is changed.",
      h8 },
    { "H9", "host.h vc_spawn argv", VCT_HV, VCT_FULL, 0,
      "paths with comma, equals sign, blank and quote reach the VMM as they are",
      "Option syntaxes of VMMs give such characters a meaning; a path with a comma then becomes another option: an "
      "injection.",
      "Quote as the VMM's syntax asks (QEMU: a comma is doubled) or refuse the path with VC_E_INVAL.", vct_hv_h9 },
    { "H10", "hypervisor.h agent_endpoint", VCT_HV, VCT_QUICK, 0, "two VMs at once share no process, socket or CID",
      "One VM that answers on the other one's channel is one container that runs in somebody else's pod.",
      "Put everything into VC_PATH_RUN, and have the kernel confirm that a vsock CID is free.", h10 },
    { "H11", "host.h spawn", VCT_HV, VCT_QUICK, 0, "the VMM is given the listed descriptors and no other",
      "A VMM is what a hostile guest breaks into first; each descriptor of the host in it is a way out.",
      "List exactly the descriptors that the VMM needs in vc_spawn.fds, and start processes through spawn only.", h11 },
    { "H12", "host.h VC_PATH_RUN", VCT_HV, VCT_QUICK, 0,
      "sockets have mode 0600 in a directory of mode 0700, and are gone after cleanup",
      "Who may connect to a VMM's monitor owns the VM, and with it what the VMM may do on the host.",
      "Make sockets in VC_PATH_RUN with mode 0600 whatever the umask says, never abstract ones; unlink them in "
      "vm_stop.",
      h12 },
    { "H13", "template.h", VCT_HV, VCT_QUICK, 0, "ext gives one whole static table of vc.template/1, or none at all",
      "A host refuses any other table, and with it every VM of the plugin.",
      "Return the address of one static const struct vc_template_ops with all five members, whatever the "
      "configuration says.",
      vct_hv_h13 },
    { "H14", "template.h key", VCT_HV, VCT_QUICK, 0,
      "key is text in form, the same for the same VM; valid knows it, and survives noise",
      "The key decides which saved VM a pod gets; one that differs by chance makes a template for each pod, until "
      "the disk is full.",
      "Write only what shapes the VM's memory and devices, in a fixed order, from the configuration and from stat "
      "of its files.",
      vct_hv_h14 },
    { "H15", "template.h save, start", VCT_HV, VCT_FULL, VCT_SLOW,
      "a VM that was saved can be started, twice at once, also once its files are gone",
      "This is what templates are for; a template is shared by pods, renamed, and removed while VMs run from it.",
      "Let save write plain files without paths in them; map or read them in start, privately, and keep nothing of "
      "the directory.",
      vct_hv_h15 },
    { "H16", "template.h start", VCT_HV, VCT_FULL, VCT_SLOW,
      "start without a template or from a broken one fails, with VC_E_CORRUPT for a cut file",
      "By the code a host decides whether the template is thrown away and the VM booted; a VM from half a memory is "
      "a guest gone mad.",
      "Check sizes before the VMM is started, take its refusal to read as VC_E_CORRUPT, and end its process before "
      "the call returns.",
      vct_hv_h16 },
    { "H17", "template.h boot", VCT_HV, VCT_FULL, VCT_SLOW, "boot and save that fail leave nothing behind",
      "A template is made in the background, with nobody to see a VM that was forgotten.",
      "Treat boot like vm_start: on every failure end the VMM and remove its sockets; save needs a VM that boot has "
      "started.",
      vct_hv_h17 },
    { "H18", "template.h", VCT_HV, VCT_FULL, VCT_SLOW,
      "a VM in store goes to a pod of another name, with its run directory renamed",
      "Hosts keep started VMs ready, and learn only later for whom; a path in the state then leads to another pod, "
      "or nowhere.",
      "Save names relative to VC_PATH_RUN only, and ask the host for it again in restore.", vct_hv_h18 },
    { .id = NULL },
};
