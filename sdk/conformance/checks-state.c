/* SPDX-License-Identifier: Apache-2.0 */
/* checks-state.c: what save writes and restore reads, over the ends of processes (S1 to S4, S6, S9, S12, and the
 * table). */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "conformance/apart.h"
#include "conformance/checks-state.h"
#include "conformance/steps.h"
#include "conformance/watch.h"
#include "lib/io.h"
#include "lib/proc.h"

#define STATES   5
#define MAX_OPS  64
#define REUSE    40 /* tries to get a certain pid */
#define DYING_MS 5000 /* at most, until a signal has had its effect */
#define LATER_MS 100  /* for what close has left to somebody else */

static int same(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return a_len == b_len && !memcmp(a, b, a_len);
}

/* ---- S1 ---- */

static void check_s1(struct vct *t)
{
    for (const uint32_t *s = vct_states; *s; s++) {
        struct vct_pod *pod = vct_pod_in(t, *s);
        size_t len, len2;
        if (!pod)
            continue;
        vcs_autofree char *first = vct_bytes_of(pod, &len), *second = vct_bytes_of(pod, &len2);
        VCT_MUST(t, len <= VCT_STATE_MAX, "save in state \"%s\" wrote %zu bytes; at most %d are kept",
                 vct_state_name(*s), len, VCT_STATE_MAX);
        VCT_MUST(t, same(first, len, second, len2),
                 "save in state \"%s\" wrote something else when it was called a second time: %s; it "
                 "is pure, and nothing has happened in between",
                 vct_state_name(*s), vct_bytes_diff(first, len, second, len2));
        vct_must_clean(pod, "after save");
        vct_pod_free(pod);
    }
}

/* ---- S2 ---- */

struct pods {
    struct vct_pod *in[STATES];
};

static void new_pods(struct vct *t, struct pods *p)
{
    for (int i = 0; i < STATES; i++)
        p->in[i] = vct_pod_new(t, NULL, 0);
}

static void free_pods(struct pods *p)
{
    for (int i = 0; i < STATES; i++)
        vct_pod_free(p->in[i]);
}

static void s2_body(struct vct *t, void *arg)
{
    struct pods *p = arg;
    for (int i = 0; i < STATES; i++) {
        struct vct_pod *pod = p->in[i];
        const char *name = vct_state_name(vct_states[i]);
        uint32_t health = 0, health2 = 0;
        size_t len, len2;
        if (!vct_pod_bring(pod, vct_states[i]))
            continue;
        uint64_t caps = pod->caps;
        vcs_autofree char *first = vct_bytes_of(pod, &len);
        vct_pod_check(pod, &health);
        vct_pod_close(pod);
        vct_restart(t);
        vct_must_restore(pod, first, len, "in a new process");
        vcs_autofree char *second = vct_bytes_of(pod, &len2);
        VCT_MUST(t, same(first, len, second, len2),
                 "in state \"%s\": save, new process, restore, save gives other bytes: %s; restore has "
                 "to bring back all that save wrote",
                 name, vct_bytes_diff(first, len, second, len2));
        VCT_MUST(t, pod->caps == caps, "in state \"%s\": caps was 0x%llx and is 0x%llx in a new process", name,
                 (unsigned long long)caps, (unsigned long long)pod->caps);
        int r = vct_pod_check(pod, &health2);
        VCT_MUST(t, r == VC_OK && health == health2,
                 "in state \"%s\": check gave health %u, and after restore in a new process %s with "
                 "health %u",
                 name, health, vct_code(r), health2);
        vct_must_clean(pod, "in a new process");
        vct_pod_close(pod);
    }
}

static void check_s2(struct vct *t)
{
    struct pods p;
    new_pods(t, &p);
    vct_apart(t, s2_body, &p);
    free_pods(&p);
}

/* ---- S3 ---- */

/* What came out of each member of a life. */
struct result {
    const struct vct_op *op;
    int code, effect;
    uint32_t state, health;
    char why[200];
};
struct life {
    struct vct_pod *pod;
    int restart; /* each call in a process of its own */
    struct result *results, *expect;
    int n;
};

static void between_calls(struct life *l)
{
    struct vct *t = l->pod->t;
    size_t len;
    vcs_autofree char *bytes = vct_bytes_of(l->pod, &len);
    vct_pod_close(l->pod);
    vct_restart(t);
    vct_must_restore(l->pod, bytes, len, "in a new process");
}

static void live_op(struct life *l, const struct vct_op *op)
{
    struct vct_pod *pod = l->pod;
    if (!vct_op_there(pod, op) || !(op->from & pod->state) || l->n == MAX_OPS)
        return;
    if (l->restart)
        between_calls(l);
    struct result *res = &l->results[l->n];
    *res = (struct result){ .op = op, .effect = -1 };
    res->code = vct_op_call(pod, op, vct_call(pod->t, 10000));
    if (res->code == VC_OK && op->effect)
        res->effect = op->effect(pod, res->why, sizeof(res->why));
    if (l->restart)
        between_calls(l);
    vct_pod_check(pod, &res->health);
    res->state = pod->state;
    if (l->expect && l->n < MAX_OPS) {
        const struct result *e = &l->expect[l->n];
        VCT_MUST(pod->t, e->op == op && e->code == res->code,
                 "%s answers %s in one process, and %s (%s) when each call is made by a "
                 "process of its own, which restores first",
                 op->name, vct_code(e->code), vct_code(res->code), pod->t->err.text);
        VCT_MUST(pod->t, e->effect != 1 || res->effect != 0,
                 "%s answers VC_OK in a process of its own, which restored first, but has no "
                 "effect: %s; in one process it had",
                 op->name, res->why);
        VCT_MUST(pod->t, e->health == res->health,
                 "check after %s gives health %u in one process, and %u when each call is made by a "
                 "process of its own",
                 op->name, e->health, res->health);
    }
    l->n++;
}

static void s3_body(struct vct *t, void *arg)
{
    struct life *l = arg;
    vct_pod_make(l->pod);
    for (const struct vct_op *op = t->kind->ops; op->name; op++)
        live_op(l, op);
    if (l->restart)
        between_calls(l);
    vct_must_clean(l->pod, l->restart ? "by a process that did nothing else" : "at the end of a life");
    vct_pod_close(l->pod);
}

static void check_s3(struct vct *t)
{
    struct result *expect = vct_shared(t, MAX_OPS * sizeof(*expect)),
                  *results = vct_shared(t, MAX_OPS * sizeof(*results));
    struct life one = { .pod = vct_pod_new(t, NULL, 0), .results = expect };
    struct life many = { .pod = vct_pod_new(t, NULL, 0), .restart = 1, .results = results, .expect = expect };
    vct_apart(t, s3_body, &one);
    vct_apart(t, s3_body, &many);
    vct_pod_free(one.pod);
    vct_pod_free(many.pod);
}

/* ---- S4 ---- */

static void must_run_on(struct vct_pod *pod, const struct vc_proc *procs, size_t n, const char *when)
{
    char why[512] = "";
    for (size_t i = 0; i < n; i++)
        VCT_MUST(pod->t, vcs_proc_alive(&procs[i]),
                 "the process %d that the plugin had started has ended%s %s; close only forgets, "
                 "what runs outside stays",
                 procs[i].pid, vct_how_ended(&procs[i]), when);
    for (const struct vct_op *op = pod->t->kind->ops; op->name && pod->inst; op++)
        if (op->to == VCT_ST_UP && op->effect && vct_op_there(pod, op) && op->from & (VCT_ST_FRESH | VCT_ST_MADE))
            VCT_MUST(pod->t, op->effect(pod, why, sizeof(why)) != 0,
                     "the effect of %s is gone %s: %s; close only forgets, what runs "
                     "outside stays",
                     op->name, when, why);
}

static void s4_body(struct vct *t, void *arg)
{
    struct vct_pod *pod = arg;
    struct vc_proc procs[VCT_PROCS];
    uint32_t health = 0;
    size_t len, n;
    if (!vct_pod_bring(pod, VCT_ST_UP))
        return;
    vcs_autofree char *bytes = vct_bytes_of(pod, &len);
    n = pod->n_procs;
    memcpy(procs, pod->procs, n * sizeof(*procs));
    vct_pod_close(pod);
    must_run_on(pod, procs, n, "when close had returned");
    vct_restart(t);
    must_run_on(pod, procs, n, "with the process that had started it");
    for (int round = 0; round < 3; round++) {
        vct_must_restore(pod, bytes, len, "of an instance that is up");
        int r = vct_pod_check(pod, &health);
        VCT_MUST(t, r == VC_OK && health == VC_HEALTH_OK,
                 "check after restore answers %s with health %u, but what the instance stands "
                 "for runs",
                 vct_code(r), health);
        must_run_on(pod, procs, n, "after restore");
        vct_pod_close(pod);
        must_run_on(pod, procs, n, "after restore and close");
    }
    vct_must_restore(pod, bytes, len, "of an instance that is up");
    vct_must_clean(pod, "after restore and close");
    vct_pod_close(pod);
}

static void check_s4(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_apart(t, s4_body, pod);
    vct_pod_free(pod);
}

/* ---- S6 ---- */

static void set_last_pid(struct vct *t, pid_t pid)
{
    char text[16];
    vcs_autoclose int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    int n = snprintf(text, sizeof(text), "%d", pid);
    if (fd < 0 || write(fd, text, (size_t)n) != n)
        vct_skip(
            t,
            "the kernel does not let this process choose pids (%s), so no pid can be made to belong to another process",
            strerror(errno));
}

/* A process that has the pid of one that has ended: it waits to be killed. */
static void make_canary(struct vct *t, const struct vc_proc *was, struct vc_proc *canary)
{
    for (int i = 0; i < REUSE; i++) {
        set_last_pid(t, was->pid - 1);
        pid_t pid = fork();
        if (pid == 0) {
            for (int s = 1; s < 32; s++)
                signal(s, SIG_DFL);
            for (;;)
                poll(NULL, 0, -1);
        }
        if (pid == was->pid && vcs_proc_identify(pid, canary) == 0 && canary->start_ticks != was->start_ticks)
            return;
        if (pid > 0) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
        poll(NULL, 0, 12); /* start times have a resolution of 10 ms */
    }
    vct_skip(t, "pid %d could not be given to another process in %d tries", was->pid, REUSE);
}

static void must_live(struct vct *t, const struct vc_proc *canaries, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++) {
        char state = 0;
        uint64_t ticks;
        vcs_autoclose int fd = vcs_proc_fd(&canaries[i]);
        struct pollfd pf = { .fd = fd, .events = POLLIN };
        int there;
        /* A signal takes effect a moment after it was sent; whoever sleeps has none to come. */
        for (int left = DYING_MS;; left--) {
            there = vcs_proc_stat(canaries[i].pid, &ticks, &state) == 0 && ticks == canaries[i].start_ticks;
            if (fd < 0 || !there || strchr("SZXT", state) || left <= 0)
                break;
            poll(&pf, 1, 1);
        }
        VCT_MUST(t, fd >= 0 && there && state != 'Z' && state != 'X',
                 "%s killed process %d, which is not the plugin's: it has the pid that the saved state names, but was "
                 "started later; compare start_ticks (vc_host.proc_fd does)",
                 what, canaries[i].pid);
        VCT_MUST(t, state != 'T',
                 "%s stopped process %d, which is not the plugin's: it has the pid that the saved state names, but "
                 "was started later",
                 what, canaries[i].pid);
    }
}

/* Let everything that a pod has spawned die and be reaped. */
static void let_die(struct vct_pod *pod)
{
    for (size_t i = 0; i < pod->n_procs; i++) {
        vcs_proc_kill(&pod->procs[i], SIGKILL);
        vcs_proc_wait(&pod->procs[i], vcs_now_ns() + INT64_C(5000000000), NULL);
        while (waitpid(pod->procs[i].pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
}

/* One way to use an instance whose process is gone and whose pid belongs to a canary. */
static void s6_use(struct vct_pod *pod, const char *bytes, size_t len, const struct vc_proc *canaries, size_t n)
{
    struct vct *t = pod->t;
    uint32_t health = 0;
    vct_must_restore(pod, bytes, len, "of an instance whose process has ended");
    must_live(t, canaries, n, "restore");
    int r = vct_pod_check(pod, &health);
    VCT_MUST(t, r == VC_OK && health != VC_HEALTH_OK,
             "check answers %s with health %u, but the process that the saved state names has "
             "ended, and its pid belongs to another one",
             vct_code(r), health);
    for (const struct vct_op *op = t->kind->ops; op->name; op++) {
        if (!vct_op_there(pod, op) || !(op->from & (VCT_ST_UP | VCT_ST_PAUSED)) ||
            (op->to == VCT_ST_UP && !(op->from & VCT_ST_PAUSED)))
            continue;
        uint32_t state = pod->state;
        r = op->call(pod, vct_call(t, 5000));
        pod->state = state;
        VCT_MUST(t, vct_listed(r), "%s answers %d, which is no code of the contract", op->name, r);
        must_live(t, canaries, n, op->name);
    }
    r = vct_pod_cleanup(pod);
    VCT_MUST(t, r == VC_OK, "cleanup of an instance whose process has ended answers %s (%s)", vct_code(r), t->err.text);
    must_live(t, canaries, n, "cleanup");
    vct_pod_close(pod);
    must_live(t, canaries, n, "close");
    poll(NULL, 0, LATER_MS);
    must_live(t, canaries, n, "close");
}

static void s6_body(struct vct *t, void *arg)
{
    struct vct_pod *pod = arg;
    struct vc_proc canaries[VCT_PROCS];
    size_t len, n = 0;
    if (!vct_pod_bring(pod, VCT_ST_UP))
        return;
    vcs_autofree char *bytes = vct_bytes_of(pod, &len);
    vct_pod_close(pod);
    if (!pod->n_procs)
        vct_skip(t, "the plugin starts no process");
    let_die(pod);
    for (size_t i = 0; i < pod->n_procs; i++)
        make_canary(t, &pod->procs[i], &canaries[n++]);
    vct_restart(t);
    s6_use(pod, bytes, len, canaries, n);
    for (size_t i = 0; i < n; i++)
        kill(canaries[i].pid, SIGKILL);
}

static void check_s6(struct vct *t)
{
    struct vct_pod *pod;
    if (!t->privileged)
        vct_skip(t, "choosing pids needs a pid namespace of its own, which cannot be had here");
    pod = vct_pod_new(t, NULL, 0);
    vct_apart(t, s6_body, pod);
    vct_pod_free(pod);
}

/* ---- S9 ---- */

/* All members that change nothing, where the pod is now. */
static void must_stay_pure(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    size_t len, len2;
    vcs_autofree char *before = vct_bytes_of(pod, &len);
    for (const struct vct_op *op = t->kind->ops; op->name; op++) {
        if (!(op->flags & VCT_OP_PURE) || !vct_op_there(pod, op) || !(op->from & pod->state))
            continue;
        int r = vct_op_call(pod, op, vct_call(t, 10000));
        VCT_MUST(t, r == VC_OK, "%s in state \"%s\" answers %s (%s)", op->name, vct_state_name(pod->state), vct_code(r),
                 t->err.text);
        vcs_autofree char *after = vct_bytes_of(pod, &len2);
        VCT_MUST(t, same(before, len, after, len2), "%s changes nothing, but what save writes was changed by it: %s",
                 op->name, vct_bytes_diff(before, len, after, len2));
    }
}

static void must_survive(struct vct_pod *pod, const struct vct_op *op)
{
    struct vct *t = pod->t;
    char why[512] = "";
    size_t len, len2;
    int r = vct_op_call(pod, op, vct_call(t, 10000));
    VCT_MUST(t, r == VC_OK, "%s answers %s (%s)", op->name, vct_code(r), t->err.text);
    int had = op->effect ? op->effect(pod, why, sizeof(why)) : -1;
    vcs_autofree char *bytes = vct_bytes_of(pod, &len);
    vct_pod_close(pod);
    vct_must_restore(pod, bytes, len, "after a call that changes something");
    vcs_autofree char *again = vct_bytes_of(pod, &len2);
    VCT_MUST(t, same(bytes, len, again, len2), "after %s: save, close, restore, save gives other bytes: %s", op->name,
             vct_bytes_diff(bytes, len, again, len2));
    VCT_MUST(t, had != 1 || op->effect(pod, why, sizeof(why)) != 0,
             "the effect of %s is gone after save, close and restore: %s", op->name, why);
}

static void check_s9(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_pod_make(pod);
    must_stay_pure(pod);
    for (const struct vct_op *op = t->kind->ops; op->name; op++)
        if (!(op->flags & VCT_OP_PURE) && vct_op_there(pod, op) && op->from & pod->state) {
            must_survive(pod, op);
            must_stay_pure(pod);
        }
    vct_must_clean(pod, "at the end of a life with a restore after each call");
    vct_pod_free(pod);
}

/* ---- S12 ---- */

struct both {
    struct vct_pod *pod;
    char *bytes;
    size_t len;
    int *there; /* shared: how many have restored */
};

static void s12_reader(struct vct *t, void *arg)
{
    struct both *b = arg;
    struct vct_pod *pod = b->pod;
    uint32_t health = 0;
    size_t len;
    vct_must_restore(pod, b->bytes, b->len, "in one of two processes at once");
    __atomic_fetch_add(b->there, 1, __ATOMIC_SEQ_CST);
    for (int64_t end = vcs_now_ns() + INT64_C(2000000000);
         __atomic_load_n(b->there, __ATOMIC_SEQ_CST) < 2 && vcs_now_ns() < end;)
        poll(NULL, 0, 1);
    for (int round = 0; round < 3; round++) {
        int r = vct_pod_check(pod, &health);
        VCT_MUST(t, r == VC_OK && health == VC_HEALTH_OK,
                 "check in one of two processes that have restored answers %s with health %u "
                 "(VC_HEALTH_OK is 1)",
                 vct_code(r), health);
        for (const struct vct_op *op = t->kind->ops; op->name; op++) {
            if (!(op->flags & VCT_OP_PURE) || !(op->from & pod->state) || !vct_op_there(pod, op))
                continue;
            r = vct_op_call(pod, op, vct_call(t, 10000));
            VCT_MUST(
                t, r == VC_OK,
                "%s in one of two processes that have restored answers %s (%s); calls that change nothing must not be "
                "in each other's way",
                op->name, vct_code(r), t->err.text);
        }
    }
    vcs_autofree char *now = vct_bytes_of(pod, &len);
    VCT_MUST(t, same(b->bytes, b->len, now, len),
             "what save writes in one of two processes that have restored is different: %s",
             vct_bytes_diff(b->bytes, b->len, now, len));
    vct_pod_close(pod);
}

static void s12_body(struct vct *t, void *arg)
{
    struct both *b = arg;
    uint32_t health = 0;
    if (!vct_pod_bring(b->pod, VCT_ST_UP))
        return;
    b->bytes = vct_bytes_of(b->pod, &b->len);
    vct_pod_close(b->pod);
    struct vct_apart *other = vct_apart_begin(t, s12_reader, b);
    int sig = vct_apart_killed(t, s12_reader, b), sig2 = vct_apart_wait(t, other);
    VCT_MUST(t, !sig && !sig2, "one of two processes that restored at once was ended by signal %d", sig ? sig : sig2);
    vct_must_restore(b->pod, b->bytes, b->len, "after two processes had it");
    int r = vct_pod_check(b->pod, &health);
    VCT_MUST(t, r == VC_OK && health == VC_HEALTH_OK,
             "after two processes had restored and closed it, check answers %s with health %u "
             "(VC_HEALTH_OK is 1)",
             vct_code(r), health);
    vct_must_clean(b->pod, "after two processes had it");
    vct_pod_close(b->pod);
    free(b->bytes);
}

static void check_s12(struct vct *t)
{
    struct both b = { .pod = vct_pod_new(t, NULL, 0), .there = vct_shared(t, sizeof(int)) };
    vct_apart(t, s12_body, &b);
    vct_pod_free(b.pod);
}

/* ---- the table ---- */

#define ROW(i, r, l, fl, ti, re, rm, f)                                                                                \
    {                                                                                                                  \
        .id = i, .rule = r, .kinds = VCT_ANY_KIND, .level = l, .flags = fl, .title = ti, .reason = re, .remedy = rm,   \
        .run = f                                                                                                       \
    }

const struct vct_check vct_checks_state[] = {
    ROW("S1", "plugin.h save", VCT_QUICK, 0, "save works in every state, writes the same twice, and at most 64 KiB",
        "A host saves whenever something may have changed, and keeps no more than 64 KiB.",
        "Write only what restore needs, in a fixed order, and no time stamps or counters.", check_s1),
    ROW("S2", "plugin.h restore", VCT_FULL, VCT_SLOW, "restore in a new process brings back all that save wrote",
        "A pod outlives the process that made it: what is only kept in memory is lost with the command that made it.",
        "Keep nothing about a pod in variables of the plugin; have save write every member that restore cannot "
        "find out.",
        check_s2),
    ROW("S3", "plugin.h Processes", VCT_FULL, VCT_SLOW, "a life works the same when each call is made by a new process",
        "create, start, exec and delete of an OCI runtime are four processes, and each sees only what the one "
        "before saved.",
        "Open connections on demand in the call that needs them, not only in the one that comes first in a life.",
        check_s3),
    ROW("S4", "plugin.h close", VCT_FULL, VCT_SLOW,
        "what was started runs on after close and after the end of the process",
        "A host ends after each command; a VM or proxy that ends with it takes the pod along.",
        "Start processes by vc_host.spawn only, and leave them alone in close.", check_s4),
    ROW("S5", "plugin.h restore", VCT_FULL, VCT_SLOW,
        "damaged state is refused (or still valid), without crash or effect",
        "The bytes come from a file that a crash may have cut and an attacker may have written.",
        "Check length, form and range of everything before it is used; answer VC_E_CORRUPT, and "
        "VC_E_UNSUPPORTED for versions you do not read: another release can read those.",
        vct_check_s5),
    ROW("S6", "types.h struct vc_proc", VCT_FULL, VCT_SLOW, "a stranger that has the pid of a dead peer is left alone",
        "pids are used again: after a reboot or a busy day the saved one belongs to somebody's database.",
        "Save pid and start_ticks, and signal only through the descriptor that vc_host.proc_fd gives for both.",
        check_s6),
    ROW("S7", "host.h VC_PATH_RUN", VCT_FULL, VCT_SLOW,
        "a run directory that is missing, read-only or full is an error, not a crash",
        "/run is a small file system that others fill, too; deleting the pod must still work then.",
        "Report what cannot be written with its path and errno; take a missing directory for \"already "
        "removed\" in cleanup.",
        vct_check_s7),
    ROW("S8", "host.h write", VCT_FULL, 0,
        "a result that cannot be written is a failure of the call, with the host's code",
        "A state that was cut short and reported as saved is a pod that cannot be restored.",
        "Look at what each vc_host.write returns and return it.", vct_check_s8),
    ROW("S9", "plugin.h save", VCT_FULL, VCT_SLOW,
        "pure calls leave the saved bytes alone; what others did survives restore",
        "A host saves after calls that change something only: what a pure call changes, or what is not saved, is lost.",
        "Have save write all that the call changed, and change nothing in members that only look.", check_s9),
    ROW("S10", "plugin.h cleanup", VCT_FULL, VCT_SLOW,
        "a process killed at any point leaves nothing that cannot be removed",
        "Hosts are killed (out of memory, kill -9, power): the next one has the last saved state and the "
        "record, nothing else.",
        "Make processes by vc_host.spawn, tell the host about all else outside of VC_PATH_RUN (res_add) before "
        "it is made, and let "
        "cleanup take what is missing for removed.",
        vct_check_s10),
    ROW("S11", "plugin.h state_version_min", VCT_FULL, 0, "states that older releases saved can be restored",
        "Pods run on while the plugin is upgraded; those that cannot be restored can be neither used nor deleted.",
        "Raise state_version with each change of the form, and read all down to state_version_min.", vct_check_s11),
    ROW("S12", "plugin.h Processes", VCT_FULL, VCT_SLOW,
        "two processes may restore at once for calls that change nothing",
        "People look at a pod (state, list, ps) while a command works on it.",
        "Take no lock that outlives a call, and hold no connection of which the peer takes only one.", check_s12),
    { .id = NULL },
};
