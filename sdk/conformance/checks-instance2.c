/* SPDX-License-Identifier: Apache-2.0 */
/* checks-instance2.c: instances that are looked at, cancelled, short of time, or talked to without an error report (I11
 * to I16). */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "conformance/checks-instance.h"
#include "conformance/peer.h"
#include "conformance/steps.h"
#include "conformance/watch.h"
#include "lib/io.h"
#include "lib/proc.h"

#define MS         INT64_C(1000000)
#define CHECK_MS   1000 /* what "quick" means here */
#define CANCEL_MS  1500 /* within which a cancelled call has to be back, on a busy machine, too */
#define PATIENT_MS 6000 /* deadline of a call that is going to be cancelled */
#define SHORT_MS   200
#define LATE_MS    1500 /* by which a call may overstay its deadline on a busy machine */
#define EARLY_MS   2    /* by which clocks and timers may differ */
#define AT_ONCE_MS 1000

static int64_t since_ms(int64_t start)
{
    return (vcs_now_ns() - start) / MS;
}

/* ---- I11 ---- */

static const char *health_name(uint32_t health)
{
    return health == VC_HEALTH_OK     ? "VC_HEALTH_OK"
           : health == VC_HEALTH_GONE ? "VC_HEALTH_GONE"
           : health == VC_HEALTH_BAD  ? "VC_HEALTH_BAD"
                                      : "a value that is no VC_HEALTH_*";
}

/* check, and that it changed nothing. */
static uint32_t look(struct vct_pod *pod, const char *when)
{
    struct vct *t = pod->t;
    uint32_t health = 0;
    size_t len, len2;
    vcs_autofree char *before = vct_bytes_of(pod, &len);
    vcs_autofree char *left = strdup(vct_pod_left(pod));
    struct vct_snap *snap = vct_snap();
    int64_t start = vcs_now_ns();
    int r = vct_pod_check(pod, &health);
    int64_t took = since_ms(start);
    struct vct_snap *now = vct_snap();
    VCT_MUST(t, r == VC_OK,
             "check of an instance that %s answers %s (%s); it tells by *health how things are, and works always", when,
             vct_code(r), t->err.text);
    VCT_MUST(t, health >= VC_HEALTH_OK && health <= VC_HEALTH_BAD,
             "check of an instance that %s gives health %u; VC_HEALTH_OK (1), "
             "_GONE (2) and _BAD (3) are all there is",
             when, health);
    VCT_MUST(t, took <= CHECK_MS, "check of an instance that %s took %lld ms; it never waits for a guest", when,
             (long long)took);
    const char *diff = vct_snap_diff(snap, now, vct_own_parts(t, VCT_SNAP_ALL));
    VCT_MUST(t, !*diff, "check of an instance that %s had a side effect: %s", when, diff);
    vct_snap_free(snap);
    vct_snap_free(now);
    VCT_MUST(t, left && !strcmp(left, vct_pod_left(pod)),
             "check of an instance that %s had a side effect: before it, \"%s\"; after it, "
             "\"%s\"",
             when, left ? left : "", vct_pod_left(pod));
    vcs_autofree char *after = vct_bytes_of(pod, &len2);
    VCT_MUST(t, len == len2 && !memcmp(before, after, len), "check of an instance that %s changed what save writes: %s",
             when, vct_bytes_diff(before, len, after, len2));
    return health;
}

/* A kind whose instance stands for one thing, which is there or is not. */
static int stands_for_one(struct vct *t)
{
    return t->kind->kind == VC_KIND_HYPERVISOR || t->kind->kind == VC_KIND_PROXY;
}

static void look_in_state(struct vct *t, uint32_t state)
{
    char when[64];
    struct vct_pod *pod = vct_pod_in(t, state);
    if (!pod)
        return;
    snprintf(when, sizeof(when), "is %s", vct_state_name(state));
    uint32_t health = look(pod, when);
    if (state & (VCT_ST_UP | VCT_ST_PAUSED))
        VCT_MUST(t, health == VC_HEALTH_OK,
                 "check of an instance that %s gives %s, but what it stands for is there: VC_HEALTH_OK would "
                 "be true",
                 when, health_name(health));
    else if (stands_for_one(t) && !vct_is_hollow(pod))
        VCT_MUST(t, health == VC_HEALTH_GONE,
                 "check of an instance that %s gives %s, but what it stands for does not run: "
                 "VC_HEALTH_GONE would be true",
                 when, health_name(health));
    vct_must_clean(pod, "after check");
    health = look(pod, "was cleaned up");
    if (stands_for_one(t) && !vct_is_hollow(pod))
        VCT_MUST(t, health == VC_HEALTH_GONE,
                 "check after cleanup gives %s; there is nothing left, so VC_HEALTH_GONE would be true",
                 health_name(health));
    vct_pod_free(pod);
}

/* What dies along with a killed peer does so a moment after it: wait until nothing changes any more. */
static void await_quiet(void)
{
    struct vct_snap *last = vct_snap();
    for (int i = 0, same = 0; i < 200 && same < 3; i++) {
        poll(NULL, 0, 10);
        struct vct_snap *now = vct_snap();
        same = *vct_snap_diff(last, now, VCT_SNAP_CHILDREN | VCT_SNAP_FDS) ? 0 : same + 1;
        vct_snap_free(last);
        last = now;
    }
    vct_snap_free(last);
}

void vct_check_i11(struct vct *t)
{
    for (const uint32_t *s = vct_states; *s; s++)
        look_in_state(t, *s);
    struct vct_pod *pod = vct_pod_in(t, VCT_ST_UP);
    if (!pod)
        return;
    if (!vct_is_hollow(pod)) {
        vct_stick(pod);
        look(pod, "has a peer that answers nothing");
        vct_unstick(pod);
    }
    if (t->kind->kill_peer(pod) == 0) {
        await_quiet();
        uint32_t health = look(pod, "has lost its peer");
        for (int i = 0; i < 50 && health == VC_HEALTH_OK; i++) { /* a connection tells a moment later that it is gone */
            poll(NULL, 0, 20);
            vct_pod_check(pod, &health);
        }
        VCT_MUST(t, health != VC_HEALTH_OK,
                 "check gives VC_HEALTH_OK after its peer was killed; it has to look at the world, and "
                 "VC_HEALTH_GONE (or _BAD) would be true");
    }
    vct_must_clean(pod, "after its peer was killed");
    vct_pod_free(pod);
}

/* ---- I12 ---- */

/* A thread that cancels the call that the main thread makes. */
struct canceller {
    struct vct_pod *pod;
    pid_t tid;          /* of the caller */
    atomic_int running; /* the call is on its way */
    int64_t at;         /* when it cancelled; 0: the call had ended before */
};

/* Does the thread sleep, so that its call waits for something? */
static int sleeps(pid_t tid)
{
    char path[64], text[512], *p;
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    p = strrchr(text, ')');
    return p && p[1] && p[2] == 'S';
}

static void *cancel_soon(void *arg)
{
    struct canceller *c = arg;
    const struct vc_inst_ops *ops = vct_inst_ops(c->pod->t);
    struct timespec pause = { .tv_nsec = 5 * MS };
    int asleep = 0;
    vct_thread_mine();
    for (int i = 0; i < 200 && asleep < 8 && atomic_load(&c->running); i++) {
        asleep = sleeps(c->tid) ? asleep + 1 : 0;
        nanosleep(&pause, NULL);
    }
    if (!atomic_load(&c->running))
        return NULL;
    c->at = vcs_now_ns();
    c->pod->cancelled = 1;
    if (ops->cancel)
        ops->cancel(c->pod->inst);
    return NULL;
}

/* Cancel one member that waits. 1: it was waiting. */
static int cancel_op(struct vct *t, const struct vct_op *op)
{
    struct vct_pod *pod = vct_pod_ready(t, op);
    pthread_t thread;
    if (!pod)
        return 0;
    vct_stick(pod);
    struct canceller c = { .pod = pod, .tid = gettid(), .running = 1 };
    if (pthread_create(&thread, NULL, cancel_soon, &c))
        vct_skip(t, "cannot make a thread");
    int r = vct_op_call(pod, op, vct_call(t, PATIENT_MS));
    int64_t end = vcs_now_ns();
    vcs_autofree char *text = strdup(t->err.text);
    atomic_store(&c.running, 0);
    pthread_join(thread, NULL);
    pod->cancelled = 0;
    int waited = c.at && r != VC_OK;
    if (c.at) {
        VCT_MUST(t, r != VC_E_TIMEOUT && (end - c.at) / MS <= CANCEL_MS,
                 "%s, whose peer said nothing, was cancelled and came back "
                 "%lld ms later with %s (%s); cancel makes it answer VC_E_CANCELLED soon",
                 op->name, (long long)((end - c.at) / MS), vct_code(r), text ? text : "");
        VCT_MUST(t, r == VC_E_CANCELLED || r == VC_OK,
                 "%s, whose peer said nothing, was cancelled and answers %s (%s); it has to be "
                 "VC_E_CANCELLED",
                 op->name, vct_code(r), text ? text : "");
    }
    vct_unstick(pod);
    char when[96];
    snprintf(when, sizeof(when), "after %s was cancelled", op->name);
    vct_must_clean(pod, when);
    vct_pod_free(pod);
    return waited;
}

void vct_check_i12(struct vct *t)
{
    int waited = 0, blocking = 0;
    if (!vct_inst_ops(t)->cancel)
        vct_skip(t, "the plugin has no cancel member, which is allowed: its calls end when their deadline passes");
    for (const struct vct_op *op = t->kind->ops; op->name; op++) {
        if (!(op->flags & VCT_OP_BLOCKS))
            continue;
        blocking++;
        int did = cancel_op(t, op);
        waited += did;
        if (did)
            vct_note(t, "%s was waiting and was cancelled", op->name);
    }
    if (!waited)
        vct_skip(t, "none of its %d members that could wait for a peer did so", blocking);
}

/* ---- I13 ---- */

static void must_be_no_more(struct vct_pod *pod, const struct vct_snap *before, const char *name)
{
    struct vct_snap *after = vct_snap();
    const char *diff = vct_snap_diff(before, after, VCT_SNAP_FDS | VCT_SNAP_THREADS);
    vct_snap_free(after);
    if (*diff)
        vct_leak(pod->t, "after %s timed out: %s; what a call has begun is undone when its deadline passes", name,
                 diff);
}

static int time_out_op(struct vct *t, const struct vct_op *op)
{
    struct vct_pod *pod = vct_pod_ready(t, op);
    if (!pod)
        return 0;
    int may_connect = t->kind->kind == VC_KIND_AGENT; /* a connection may stay for later calls */
    vct_stick(pod);
    vcs_autofree char *left = strdup(vct_pod_left(pod));
    struct vct_snap *before = vct_snap();
    int64_t start = vcs_now_ns();
    int r = vct_op_call(pod, op, vct_call(t, SHORT_MS));
    int64_t took = since_ms(start);
    VCT_MUST(t, took <= SHORT_MS + LATE_MS,
             "%s, whose peer said nothing, had a deadline of %d ms and came back after %lld ms with %s "
             "(%s); it has to answer VC_E_TIMEOUT when the deadline passes",
             op->name, SHORT_MS, (long long)took, vct_code(r), t->err.text);
    VCT_MUST(t, r != VC_E_TIMEOUT || took >= SHORT_MS - EARLY_MS,
             "%s answers VC_E_TIMEOUT after %lld ms, but its deadline was %d ms "
             "away (%s)",
             op->name, (long long)took, SHORT_MS, t->err.text);
    VCT_MUST(t, r == VC_E_TIMEOUT || took < SHORT_MS - EARLY_MS || r == VC_OK,
             "%s, whose peer said nothing, answers %s (%s) when its "
             "deadline passes; VC_E_TIMEOUT is what says so",
             op->name, vct_code(r), t->err.text);
    if (r == VC_E_TIMEOUT && !may_connect)
        must_be_no_more(pod, before, op->name);
    if (r == VC_E_TIMEOUT && op->to && op->from & VCT_ST_FRESH && left && !*left && *vct_traces(pod))
        vct_leak(t, "after %s timed out %s; what a call has begun is undone when its deadline passes", op->name,
                 vct_traces(pod));
    vct_snap_free(before);
    vct_unstick(pod);
    char when[96];
    snprintf(when, sizeof(when), "after %s timed out", op->name);
    vct_must_clean(pod, when);
    vct_pod_free(pod);
    return r == VC_E_TIMEOUT;
}

void vct_check_i13(struct vct *t)
{
    int n = 0, blocking = 0;
    for (const struct vct_op *op = t->kind->ops; op->name; op++) {
        if (!(op->flags & VCT_OP_BLOCKS))
            continue;
        blocking++;
        int did = time_out_op(t, op);
        n += did;
        if (did)
            vct_note(t, "%s timed out as it should", op->name);
    }
    if (!n)
        vct_skip(t, "none of its %d members that could wait for a peer did so", blocking);
}

/* ---- I14 ---- */

static void too_late(struct vct *t, const struct vct_op *op)
{
    struct vct_pod *pod = vct_pod_ready(t, op);
    if (!pod)
        return;
    size_t len, len2;
    unsigned spawned = pod->spawned;
    uint32_t state = pod->state;
    vcs_autofree char *before = vct_bytes_of(pod, &len);
    vcs_autofree char *left = strdup(vct_pod_left(pod));
    struct vc_call *call = vct_call(t, 0);
    call->deadline_ns = 1; /* just after the machine was started */
    int64_t start = vcs_now_ns();
    int r = vct_op_call(pod, op, call);
    int64_t took = since_ms(start);
    VCT_MUST(t, took <= AT_ONCE_MS,
             "%s with a deadline that had passed came back after %lld ms (%s); it has to answer VC_E_TIMEOUT at "
             "once",
             op->name, (long long)took, vct_code(r));
    VCT_MUST(t, r == VC_OK || r == VC_E_TIMEOUT,
             "%s with a deadline that had passed answers %s (%s); VC_E_TIMEOUT is what says so (VC_OK "
             "is fine when there was nothing to wait for)",
             op->name, vct_code(r), t->err.text);
    if (r == VC_E_TIMEOUT) {
        VCT_MUST(t, pod->spawned == spawned || !*vct_traces(pod) || *left,
                 "%s with a deadline that had passed answers VC_E_TIMEOUT, but "
                 "%s; nothing may have been begun, or it is undone",
                 op->name, vct_traces(pod));
        vcs_autofree char *after = vct_bytes_of(pod, &len2);
        VCT_MUST(t, len == len2 && !memcmp(before, after, len),
                 "%s with a deadline that had passed answers VC_E_TIMEOUT, but changed the "
                 "instance (what save writes: %s)",
                 op->name, vct_bytes_diff(before, len, after, len2));
        pod->state = state;
        r = vct_op_call(pod, op, vct_call(t, 10000));
        VCT_MUST(
            t, r == VC_OK,
            "%s, called again with time after its deadline had passed, answers %s (%s); the call without time must "
            "have no effect",
            op->name, vct_code(r), t->err.text);
    } else if (op->effect) {
        char why[512] = "";
        VCT_MUST(t, op->effect(pod, why, sizeof(why)) != 0,
                 "%s with a deadline that had passed answers VC_OK without having had its "
                 "effect: %s; VC_E_TIMEOUT would be true",
                 op->name, why);
    }
    vct_must_clean(pod, "after a call without time");
    vct_pod_free(pod);
}

void vct_check_i14(struct vct *t)
{
    for (const struct vct_op *op = t->kind->ops; op->name; op++)
        too_late(t, op);
}

/* ---- I15 ---- */

/* Call one member after a late answer to `late`: what it says has to be so. */
static void must_be_sound(struct vct_pod *pod, const struct vct_op *op, const struct vct_op *late)
{
    struct vct *t = pod->t;
    char why[512] = "";
    int r = vct_op_call(pod, op, vct_call(t, 5000)), fits;
    if (late->flags & VCT_OP_PURE && op->flags & VCT_OP_PURE)
        fits = r == VC_OK;
    else /* what the late call was to do may have been done by now, or not: a refusal of its own kind is fine */
        fits = r != VC_E_PROTOCOL && r != VC_E_TIMEOUT && r != VC_E_INTERNAL && (r != VC_E_PEER || late->to);
    VCT_MUST(t, fits && vct_listed(r),
             "%s timed out, the peer answered late, and then %s answers %s (%s); a late answer must be dropped "
             "and the instance go on",
             late->name, op->name, vct_code(r), t->err.text);
    VCT_MUST(t, r != VC_OK || !op->effect || late->to || op->effect(pod, why, sizeof(why)) != 0,
             "%s timed out, the peer answered late, and then %s is "
             "wrong: %s; was the late answer taken for its own?",
             late->name, op->name, why);
}

/* A call that times out, and whose peer answers afterwards. */
static int late_answer(struct vct *t, const struct vct_op *op)
{
    struct vct_pod *pod = vct_pod_ready(t, op);
    if (!pod)
        return 0;
    vct_freeze(pod, 1);
    int r = vct_op_call(pod, op, vct_call(t, SHORT_MS));
    vct_freeze(pod, 0);
    if (r == VC_E_TIMEOUT)
        for (int round = 0; round < 3; round++) /* the call itself, all that change nothing, all others */
            for (const struct vct_op *o = t->kind->ops; o->name; o++)
                if (o->from & pod->state && (!o->to || o->to == pod->state) && vct_op_there(pod, o) &&
                    (!op->to || op->to == pod->state ||
                     o->flags & VCT_OP_PURE) && /* the peer may have gone on to another state */
                    (round == 0 ? o == op : (round == 1) == ((o->flags & VCT_OP_PURE) != 0)))
                    must_be_sound(pod, o, op);
    vct_must_clean(pod, "after a late answer");
    vct_pod_free(pod);
    return r == VC_E_TIMEOUT;
}

void vct_check_i15(struct vct *t)
{
    int n = 0;
    for (const struct vct_op *op = t->kind->ops; op->name; op++)
        if (op->flags & VCT_OP_BLOCKS)
            n += late_answer(t, op);
    if (!n)
        vct_skip(t, "no member of it waits for a peer that is there before the call");
    vct_note(t, "%d members timed out and were answered late", n);
}

/* ---- I16 ---- */

/* A whole life with this call for everything, the refused calls included. */
static void life_with(struct vct *t, const struct vc_call *call, const char *what)
{
    const struct vc_inst_ops *ops = vct_inst_ops(t);
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vc_sink sink = { .pod = NULL };
    vc_inst *inst = NULL;
    uint32_t health = 0;
    vct_pod_make(pod);
    int r = VCT(t, ops->save, pod->inst, call, &sink);
    VCT_MUST(t, r == VC_OK, "save of a call %s answers %s; members of struct vc_call but size may be 0", what,
             vct_code(r));
    vct_pod_close(pod);
    pod->cfg.poisoned = 0;
    pod->live = 1;
    r = VCT(t, ops->restore, pod->table, call, &pod->cfg, pod->id, t->plugin->state_version + 1,
            (struct vc_bytes){ .data = "\001garbage", .len = 8 }, &inst);
    VCT_MUST(t, r != VC_OK, "restore of garbage of an unknown version answers VC_OK in a call %s", what);
    r = VCT(t, ops->restore, pod->table, call, &pod->cfg, pod->id, t->plugin->state_version,
            (struct vc_bytes){ .data = vcs_buf_data(&sink.buf), .len = sink.buf.len }, &inst);
    VCT_MUST(t, r == VC_OK && inst, "restore of a call %s answers %s; members of struct vc_call but size may be 0",
             what, vct_code(r));
    vcs_buf_done(&sink.buf);
    vct_cfg_poison(pod);
    pod->inst = inst;
    for (int refused = 1; refused >= 0; refused--)
        for (const struct vct_op *op = t->kind->ops; op->name; op++) {
            uint32_t state = pod->state;
            if (!vct_op_there(pod, op) || !((refused ? op->refuse : op->from) & state))
                continue;
            r = vct_op_call(pod, op, call);
            VCT_MUST(t, vct_listed(r), "%s of a call %s answers %d, which is no code of the contract", op->name, what,
                     r);
            VCT_MUST(t, refused || r == VC_OK,
                     "%s of a call %s answers %s; members of struct vc_call but size may be 0", op->name, what,
                     vct_code(r));
        }
    r = VCT(t, ops->check, pod->inst, call, &health);
    VCT_MUST(t, r == VC_OK, "check of a call %s answers %s", what, vct_code(r));
    r = VCT(t, ops->cleanup, pod->inst, call);
    VCT_MUST(t, r == VC_OK, "cleanup of a call %s answers %s", what, vct_code(r));
    const char *left = vct_traces(pod);
    if (*left)
        vct_leak(t, "after cleanup of a call %s %s", what, left);
    vct_pod_free(pod);
}

static void create_with(struct vct *t, const struct vc_call *call, const char *what)
{
    const struct vc_inst_ops *ops = vct_inst_ops(t);
    struct vct_pod *pod = vct_pod_new(t, NULL, VCT_NO_WORLD);
    vc_inst *inst = NULL;
    pod->cfg.poisoned = 0;
    pod->live = 1;
    int r = VCT(t, ops->create, pod->table, call, &pod->cfg, pod->id, &inst);
    vct_cfg_poison(pod);
    VCT_MUST(t, r == VC_OK && inst, "create of a call %s answers %s; members of struct vc_call but size may be 0", what,
             vct_code(r));
    pod->inst = inst;
    vct_pod_free(pod);
}

void vct_check_i16(struct vct *t)
{
    struct vc_call call = { .size = sizeof(call), .deadline_ns = vcs_now_ns() + 20000 * MS };
    create_with(t, &call, "without error report");
    life_with(t, &call, "without error report");
    call = (struct vc_call){ .size = sizeof(call) };
    create_with(t, &call, "of zeroes");
    life_with(t, &call, "of zeroes");
}
