/* SPDX-License-Identifier: Apache-2.0 */
/* checks-memory.c: group M: memory, and what the plugin does when everything around it fails in turn. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "conformance/inject.h"
#include "conformance/memory-long.h"
#include "conformance/steps.h"
#include "conformance/walk.h"
#include "conformance/watch.h"
#include "lib/io.h"

#define MAX_STEPS 96
#define NS_PER_S  INT64_C(1000000000)

/* What a check may take at this level. */
static int64_t budget_end(struct vct *t, int seconds)
{
    return vcs_now_ns() + seconds * NS_PER_S * (t->s->level >= VCT_SOAK ? 10 : 1);
}

/* ---- one thing fails at the k-th time, for every k (M1, M4) ---- */

struct kth {
    const char *what; /* "allocation" */
    void (*arm)(struct vct_walk *w, uint64_t k);
    int (*disarm)(struct vct_walk *w, uint64_t k); /* did it fail?  -1: cannot be told */
    int (*code_ok)(int code);
    const char *right; /* the codes, in words */
    uint64_t max;
    /* Where each step has got to: what it survived cannot be tried again in the same life. */
    struct {
        const char *step;
        uint64_t next;
        int done;
    } at[MAX_STEPS];
    size_t n;
    uint64_t tried;
    int again; /* another life is needed */
};

static size_t place_of(struct kth *k, const char *step)
{
    size_t i = 0;
    while (i < k->n && strcmp(k->at[i].step, step))
        i++;
    if (i == k->n && i < MAX_STEPS - 1) {
        k->at[i].step = step;
        k->at[i].next = 1;
        k->n++;
    }
    return i;
}

/* Take the step with failures, the k-th, then the next one, until it works without any. */
static int step_with_faults(struct vct_walk *w)
{
    struct kth *k = w->arg;
    struct vct *t = w->pod->t;
    size_t i = place_of(k, w->step);
    if (k->at[i].done || i == MAX_STEPS - 1)
        return vct_walk_step(w);
    for (; k->at[i].next <= k->max; k->at[i].next++) {
        k->arm(w, k->at[i].next);
        int r = vct_walk_step(w), hit = k->disarm(w, k->at[i].next);
        k->tried += r != VC_OK || hit == 1;
        VCT_MUST(t, r == VC_OK || hit,
                 "%s answers %s (%s) when it is tried again after %s %" PRIu64 " had failed in it; a failure "
                 "for want of it has to leave things as they were",
                 w->step, vct_code(r), t->err.text, k->what, k->at[i].next - 1);
        VCT_MUST(t, r == VC_OK || k->code_ok(r), "%s answers %s (%s) when its %s %" PRIu64 " fails; %s is right",
                 w->step, vct_code(r), t->err.text, k->what, k->at[i].next, k->right);
        if (r != VC_OK)
            continue;
        if (hit != 1)
            k->at[i].done = 1;
        else {
            k->at[i].next++; /* it did without */
            k->again = 1;
        }
        return VC_OK;
    }
    k->at[i].done = 1;
    return vct_walk_step(w);
}

/* Lives until every step was seen without a failure, or time is up. */
static void lives_with_faults(struct vct *t, struct kth *k, int64_t until)
{
    char when[96];
    snprintf(when, sizeof(when), "after failures of the %s", k->what);
    struct vct_snap *before = NULL, *after = NULL;
    unsigned lives = 0;
    do {
        k->again = 0;
        struct vct_pod *pod = vct_pod_new(t, NULL, 0);
        struct vct_walk w = { .pod = pod, .around = step_with_faults, .arg = k };
        int r = vct_walk(&w);
        VCT_MUST(t, r == VC_OK,
                 "%s answers %s (%s) in a life in which each %s failed once; it has to work again afterwards", w.step,
                 vct_code(r), t->err.text, k->what);
        vct_walk_done(&w);
        vct_walk_end(pod, when);
        if (pod->allocs != pod->frees)
            vct_leak(
                t, "%s, %" PRIu64 " pieces of memory of host.alloc and sink_new were taken and %" PRIu64 " given back",
                when, pod->allocs, pod->frees);
        vct_pod_free(pod);
        if (!before)
            before = vct_snap_settled();
        lives++;
    } while (k->again && vcs_now_ns() < until);
    after = lives > 1 ? vct_snap_settled() : NULL;
    const char *diff = after ? vct_snap_diff(before, after, VCT_SNAP_FDS | VCT_SNAP_THREADS | VCT_SNAP_CHILDREN) : "";
    vct_snap_free(before);
    vct_snap_free(after);
    if (*diff)
        vct_leak(t, "%s, something is left behind: %s", when, diff);
    vct_note(t, "%" PRIu64 " failures of the %s in %zu steps%s", k->tried, k->what, k->n,
             k->again ? "; time was up" : "");
}

static int is_nomem(int code)
{
    return code == VC_E_NOMEM;
}

static void arm_malloc(struct vct_walk *w, uint64_t n)
{
    (void)w;
    vct_malloc_fail_at(n);
}

static int disarm_malloc(struct vct_walk *w, uint64_t n)
{
    (void)w;
    int hit = vct_malloc_seen() >= n;
    vct_malloc_fail_at(0);
    return hit;
}

static void arm_service(struct vct_walk *w, uint64_t n)
{
    w->pod->fault = VCT_S_ALLOC;
    w->pod->fault_hit = 0;
    w->pod->fault_seen = 0;
    w->pod->fault_code = VC_E_NOMEM;
    w->pod->fault_at = n;
}

static int disarm_service(struct vct_walk *w, uint64_t n)
{
    (void)n;
    w->pod->fault_at = 0;
    return w->pod->fault_hit;
}

/* What stays allocated when create fails again and again at the same place. */
static void failing_creates(struct vct *t, struct kth *k)
{
    size_t first = 0, rounds = 64;
    for (uint64_t n = 1; n <= 32; n++) {
        struct vct_pod *pod = vct_pod_new(t, NULL, VCT_NO_WORLD);
        struct vct_walk w = { .pod = pod, .step = "create" };
        int r = VC_E_NOMEM;
        for (size_t i = 0; r == VC_E_NOMEM && i < 8 + rounds; i++) {
            if (i == 8)
                first = vct_heap_used();
            k->arm(&w, n);
            r = vct_pod_create(pod);
            k->disarm(&w, n);
            vct_cfg_forget(pod);
            vcs_buf_clear(&pod->log);
            vcs_buf_clear(&pod->read_keys);
        }
        size_t now = vct_heap_used();
        vct_pod_close(pod);
        vct_pod_free(pod);
        if (r != VC_E_NOMEM)
            return;
        if (now > first && now - first >= rounds * 16)
            vct_leak(t, "each create that fails at its %s %" PRIu64 " leaves %zu bytes allocated", k->what, n,
                     (now - first) / rounds);
    }
}

static void run_m1(struct vct *t)
{
    static struct kth heap = { .what = "allocation",
                               .arm = arm_malloc,
                               .disarm = disarm_malloc,
                               .code_ok = is_nomem,
                               .right = "VC_E_NOMEM",
                               .max = 400 };
    static struct kth service = { .what = "host.alloc",
                                  .arm = arm_service,
                                  .disarm = disarm_service,
                                  .code_ok = is_nomem,
                                  .right = "VC_E_NOMEM",
                                  .max = 400 };
    if (vct_malloc_works()) {
        failing_creates(t, &heap);
        lives_with_faults(t, &heap, budget_end(t, 4));
    } else {
        vct_note(t, "malloc cannot be made to fail in this build; host.alloc was");
    }
    failing_creates(t, &service);
    lives_with_faults(t, &service, budget_end(t, 2));
}

/* The table of descriptors is filled up, but for so many: its limit is left alone, as programs that are spawned inherit
 * it. */
#define FILES 256
static int fillers[FILES];
static size_t n_fillers;

static void arm_files(struct vct_walk *w, uint64_t n)
{
    (void)w;
    while (n_fillers < FILES && (fillers[n_fillers] = fcntl(0, F_DUPFD_CLOEXEC, 3)) >= 0)
        n_fillers++;
    for (; n > 1 && n_fillers; n--)
        close(fillers[--n_fillers]);
}

static int disarm_files(struct vct_walk *w, uint64_t n)
{
    (void)w;
    while (n_fillers)
        close(fillers[--n_fillers]);
    return n < 24 ? -1 : 0; /* with so many it has no excuse */
}

static int is_resource(int code)
{
    return code == VC_E_RESOURCE || code == VC_E_NOMEM || code == VC_E_IO;
}

static void run_m4(struct vct *t)
{
    static struct kth files = { .what = "descriptor beyond those that are open, number",
                                .arm = arm_files,
                                .disarm = disarm_files,
                                .code_ok = is_resource,
                                .right = "VC_E_RESOURCE",
                                .max = 25 };
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        vct_skip(t, "the limit of descriptors cannot be read: %s", strerror(errno));
    limit.rlim_cur = FILES;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        vct_skip(t, "the limit of descriptors cannot be set: %s", strerror(errno));
    lives_with_faults(t, &files, budget_end(t, 3));
}

/* ---- M2 ---- */

struct
try {
    struct vct *t;
    struct vct_pod *pod;
    struct vct_inject *in;
    int result;
    char step[64], text[1024];
};

static int step_in_thread(struct vct_walk *w)
{
    const struct vct_inject *in = w->arg;
    return w->op ? vct_op(w->pod, w->op->name, in->hit ? 3000 : 0) : vct_walk_step(w);
}

/* A life in the thread that is watched; what was spawned in it has ended when it returns. */
static void life_in_thread(void *arg)
{
    struct try *y = arg;
    struct vct_walk w = { .pod = y->pod, .around = step_in_thread, .arg = y->in };
    y->result = vct_walk(&w);
    snprintf(y->step, sizeof(y->step), "%s", w.step);
    snprintf(y->text, sizeof(y->text), "%.1000s", vct_here.err ? vct_here.err->text : "");
    y->in->fail_at = 0; /* from here on all is well again */
    if (y->pod->inst) {
        int r = vct_pod_cleanup(y->pod);
        VCT_MUST(y->t, r == VC_OK, "cleanup answers %s (%s) after %s had failed with %s in %s; it has to work",
                 vct_code(r), vct_here.err ? vct_here.err->text : "", y->in->call ? y->in->call : "nothing",
                 strerrorname_np(y->in->sys), y->in->in);
        vct_pod_close(y->pod);
    }
    vct_walk_done(&w);
}

static void judge_try(struct try *y)
{
    struct vct *t = y->t;
    const struct vct_inject *in = y->in;
    if (!in->hit) {
        VCT_MUST(t, y->result == VC_OK, "%s answers %s (%s) without any failure", y->step, vct_code(y->result),
                 y->text);
        return;
    }
    const char *sys = strerrorname_np(in->sys);
    VCT_MUST(t, vct_listed(y->result),
             "%s answers %d after %s had failed with %s in %s; a code of the contract is right", y->step, y->result,
             in->call, sys, in->in);
    VCT_MUST(
        t, y->result != VC_E_INTERNAL && y->result != VC_E_UNSUPPORTED,
        "%s answers %s (%s) after %s had failed with %s in %s; that says that the plugin is at fault or never can: "
        "VC_E_RESOURCE or VC_E_IO is right",
        y->step, vct_code(y->result), y->text, in->call, sys, in->in);
    VCT_MUST(t, y->result == VC_OK || y->text[0], "%s answers %s without a text after %s had failed with %s in %s",
             y->step, vct_code(y->result), in->call, sys, in->in);
    const char *left = vct_traces(y->pod);
    if (*left)
        vct_leak(t, "after %s had failed with %s in %s, this is left after cleanup: %s", in->call, sys, in->in, left);
}

static void one_try(struct vct *t, struct vct_inject *in)
{
    struct try y = { .t = t, .pod = vct_pod_new(t, NULL, 0), .in = in };
    int r = vct_inject(t, in, life_in_thread, &y);
    if (r < 0)
        vct_skip(t, "seccomp's user notification cannot be had here: %s", strerror(-r));
    judge_try(&y);
    vct_pod_free(y.pod);
}

static void run_m2(struct vct *t)
{
    struct vct_inject in = { .fail_at = 0 };
    one_try(t, &in);
    uint64_t n = in.seen, tried = 0, room = t->s->level >= VCT_SOAK ? n * 4 : 60;
    struct vct_snap *before = vct_snap_settled();
    int64_t until = budget_end(t, 6);
    /* All of them when they are few; else spread over the life, with another start for each seed. */
    uint64_t step = n > room ? n : 1, at = n > room ? vct_random(t) % n : 0;
    if (n > room)
        for (step = n * 5 / 8 | 1; n % step == 0 && step > 1;)
            step -= 2;
    for (; n && tried < (n > room ? room : n) && vcs_now_ns() < until; tried++, at += step) {
        in = (struct vct_inject){ .fail_at = at % n + 1, .turn = (unsigned)(vct_random(t) % 12) };
        one_try(t, &in);
    }
    struct vct_snap *after = vct_snap_settled();
    const char *diff = vct_snap_diff(before, after, VCT_SNAP_FDS | VCT_SNAP_THREADS | VCT_SNAP_CHILDREN);
    vct_snap_free(before);
    vct_snap_free(after);
    if (*diff)
        vct_leak(t, "after lives in which system calls failed, something is left behind: %s", diff);
    vct_note(t, "a life makes %" PRIu64 " such calls; %" PRIu64 " of them failed, one in each life", n, tried);
    if (!n)
        vct_skip(t, "the plugin makes no system call of this kind in a whole life");
}

/* ---- M3, M5 ---- */

static int step_in_storm(struct vct_walk *w)
{
    int r = vct_storm_begin();
    if (r < 0)
        vct_skip(w->pod->t, "no timer can be had: %s", strerror(-r));
    r = vct_walk_step(w);
    vct_storm_end();
    return r;
}

static void run_m3(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_walk w = { .pod = pod, .around = step_in_storm };
    int r = vct_walk(&w);
    vct_walk_done(&w);
    VCT_MUST(t, r == VC_OK,
             "with 1000 signals a second %s answers %s (%s); a system call that answers EINTR has to be made again",
             w.step, vct_code(r), t->err.text);
    vct_walk_end(pod, "with 1000 signals a second");
    vct_pod_free(pod);
}

/* Fill a file system but for so many bytes. */
static int fill(const char *dir, off_t but, char *path, size_t size)
{
    static char zeros[4096];
    snprintf(path, size, "%s/vct-fill", dir);
    vcs_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    off_t len = 0;
    for (ssize_t n; (n = write(fd, zeros, sizeof(zeros))) > 0;)
        len += n;
    return ftruncate(fd, len > but ? len - but : 0) < 0 ? -errno : 0;
}

static void on_small_disk(struct vct *t, off_t room, const char *when)
{
    char path[4200] = "";
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    if (mount("vct", pod->run, "tmpfs", MS_NOSUID | MS_NODEV, "size=65536,nr_inodes=64,mode=0700") < 0)
        vct_skip(t, "no tmpfs can be mounted: %s", strerror(errno));
    if (room < 65536)
        fill(pod->run, room, path, sizeof(path));
    struct vct_walk w = { .pod = pod };
    int r = vct_walk(&w);
    char step[64], text[512];
    snprintf(step, sizeof(step), "%s", w.step);
    snprintf(text, sizeof(text), "%.500s", t->err.text);
    vct_walk_done(&w);
    if (pod->inst) {
        int c = vct_pod_cleanup(pod);
        VCT_MUST(t, c == VC_OK, "%s, cleanup answers %s (%s); it has to work there, too", when, vct_code(c),
                 t->err.text);
        vct_pod_close(pod);
    }
    if (*path)
        unlink(path);
    const char *left = vct_traces(pod);
    int leaks = *left != 0;
    char what[300];
    snprintf(what, sizeof(what), "%s", left);
    umount2(pod->run, MNT_DETACH);
    if (leaks)
        vct_leak(t, "%s, this is left after cleanup: %s", when, what);
    VCT_MUST(t, r == VC_OK || r == VC_E_RESOURCE || r == VC_E_IO || (room < 65536 && r == VC_E_PEER),
             "%s, %s answers %s (%s); VC_E_RESOURCE is right when there is no room", when, step, vct_code(r), text);
    vct_pod_free(pod);
}

static void run_m5(struct vct *t)
{
    if (!t->privileged)
        vct_skip(t, "a file system of its own needs root or user namespaces");
    on_small_disk(t, 65536, "with a run directory of 64 KiB");
    on_small_disk(t, 4096, "with 4 KiB left in the run directory");
    on_small_disk(t, 0, "with no byte left in the run directory");
}

/* ---- M6 ---- */

static const struct {
    enum vct_service s;
    int code;
    uint64_t max;
} faults[] = {
    { VCT_S_ALLOC, VC_E_NOMEM, 4 },      { VCT_S_WRITE, VC_E_RESOURCE, 12 },    { VCT_S_CFG_STR, VC_E_NOTFOUND, 6 },
    { VCT_S_CFG_INT, VC_E_NOTFOUND, 6 }, { VCT_S_CFG_COUNT, VC_E_NOTFOUND, 3 }, { VCT_S_PATH, VC_E_IO, 6 },
    { VCT_S_SINK_NEW, VC_E_NOMEM, 6 },   { VCT_S_SINK_BYTES, VC_E_NOMEM, 6 },   { VCT_S_SPAWN, VC_E_IO, 4 },
    { VCT_S_PROC_FD, VC_E_RESOURCE, 4 }, { VCT_S_PROC_WAIT, VC_E_TIMEOUT, 3 },  { VCT_S_PROC_DONE, VC_E_IO, 3 },
    { VCT_S_NETNS_RUN, VC_E_IO, 4 },     { VCT_S_RES_ADD, VC_E_IO, 4 },         { VCT_S_RES_DEL, VC_E_IO, 3 },
};
#define N_FAULTS (sizeof(faults) / sizeof(faults[0]))

/* An answer that hides what was lost with the failure. */
static int step_with_service(struct vct_walk *w)
{
    struct vct_pod *pod = w->pod;
    struct vct *t = pod->t;
    char why[256] = "";
    int before = pod->fault_hit, r = w->op ? vct_op(pod, w->op->name, before ? 3000 : 0) : vct_walk_step(w);
    if (before || !pod->fault_hit || r != VC_OK)
        return r;
    VCT_MUST(t, pod->fault != VCT_S_WRITE && pod->fault != VCT_S_RES_ADD,
             "%s answers VC_OK although host service %s had failed in it with %s: what it was asked for is not there",
             w->step, vct_service_name(pod->fault), vct_code(pod->fault_code));
    VCT_MUST(t, pod->fault != VCT_S_SPAWN || !w->op || !w->op->effect || w->op->effect(pod, why, sizeof(why)) != 0,
             "%s answers VC_OK although host service spawn had failed in it, and has no effect: %s", w->step, why);
    return r;
}

static void life_with_service(struct vct *t, size_t i, uint64_t k)
{
    const char *name = vct_service_name(faults[i].s);
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_walk w = { .pod = pod, .around = step_with_service };
    char when[128], text[512];
    pod->fault = faults[i].s;
    pod->fault_code = faults[i].code;
    pod->fault_at = k;
    int r = vct_walk(&w);
    snprintf(text, sizeof(text), "%.500s", t->err.text);
    pod->fault_at = 0;
    snprintf(when, sizeof(when), "after call %" PRIu64 " of host service %s had failed with %s", k, name,
             vct_code(faults[i].code));
    VCT_MUST(t, r == VC_OK || pod->fault_hit, "%s answers %s (%s) without any failure", w.step, vct_code(r), text);
    VCT_MUST(t, vct_listed(r) && r != VC_E_UNSUPPORTED, "%s, %s answers %s (%s); the code of the failure is right",
             when, w.step, vct_code(r), text);
    VCT_MUST(t, r == VC_OK || text[0], "%s, %s answers %s without a text", when, w.step, vct_code(r));
    vct_walk_done(&w);
    if (pod->inst) {
        r = vct_pod_cleanup(pod);
        VCT_MUST(t, r == VC_OK, "%s, cleanup answers %s (%s); it has to work", when, vct_code(r), t->err.text);
        vct_pod_close(pod);
    }
    const char *left = vct_traces(pod);
    if (*left)
        vct_leak(t, "%s, this is left after cleanup: %s", when, left);
    if (pod->allocs != pod->frees)
        vct_leak(t, "%s, %" PRIu64 " pieces of memory of the host were taken and %" PRIu64 " given back", when,
                 pod->allocs, pod->frees);
    vct_pod_free(pod);
}

static void run_m6(struct vct *t)
{
    uint64_t calls[VCT_N_SERVICES], tried = 0, left = 0;
    int64_t until = budget_end(t, 6);
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_walk_whole(pod, "without any failure");
    memcpy(calls, pod->calls, sizeof(calls));
    vct_pod_free(pod);
    for (uint64_t k = 1; k <= 12; k++)
        for (size_t i = 0; i < N_FAULTS; i++) {
            if (k > calls[faults[i].s] || (t->s->level < VCT_SOAK && k > faults[i].max))
                continue;
            if (vcs_now_ns() < until) {
                life_with_service(t, i, k);
                tried++;
            } else {
                left++;
            }
        }
    vct_note(t, "%" PRIu64 " lives with one failure each%s", tried, left ? "; time was up" : "");
}

/* ---- M7, M8: bad children and bad peers ---- */

#define SHORT_MS 700

static int step_shortly(struct vct_walk *w)
{
    struct vct *t = w->pod->t;
    int64_t start = vcs_now_ns();
    int r = w->op ? vct_op(w->pod, w->op->name, SHORT_MS) : vct_walk_step(w);
    int64_t ms = (vcs_now_ns() - start) / 1000000;
    VCT_MUST(t, !w->op || ms < SHORT_MS + 3000,
             "with peers that are %s, %s takes %" PRId64 " ms although its deadline is %d ms away",
             (const char *)w->arg, w->step, ms, SHORT_MS);
    return r;
}

/* A child that ended at once must not go for alive. */
static void must_notice(struct vct_pod *pod, const char *variant)
{
    uint32_t health = VC_HEALTH_OK;
    int r = VC_OK;
    for (int i = 0; i < 40 && r == VC_OK && health == VC_HEALTH_OK; i++) {
        r = vct_pod_check(pod, &health);
        if (health == VC_HEALTH_OK)
            usleep(50000);
    }
    VCT_MUST(pod->t, r != VC_OK || health != VC_HEALTH_OK,
             "the spawned program is %s, every call answers VC_OK, and check says VC_HEALTH_OK for two seconds",
             variant);
}

/* A life up to UP with such peers.  What it may answer is free, but it has to end, and to leave nothing.  The code. */
static int life_with(struct vct *t, const char *variant, int must_work, unsigned *spawned)
{
    char when[128];
    snprintf(when, sizeof(when), "with peers that are \"%s\"", variant);
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    pod->variant = variant;
    vct_peer_switch(pod, variant);
    struct vct_walk w = { .pod = pod, .around = must_work ? NULL : step_shortly, .arg = (void *)(uintptr_t)variant };
    int r = vct_walk_to(&w, VCT_ST_UP);
    VCT_MUST(t, r == VC_OK || !must_work, "%s, %s answers %s (%s); it has to work", when, w.step, vct_code(r),
             t->err.text);
    VCT_MUST(t, vct_listed(r) && r != VC_E_UNSUPPORTED && r != VC_E_INTERNAL && r != VC_E_INVAL,
             "%s, %s answers %s (%s); VC_E_PEER, VC_E_PROTOCOL or VC_E_TIMEOUT is right", when, w.step, vct_code(r),
             t->err.text);
    VCT_MUST(t, r == VC_OK || t->err.text[0], "%s, %s answers %s without a text", when, w.step, vct_code(r));
    vct_walk_done(&w);
    /* A shim may end at any time: that is the end of its container's process. */
    if (r == VC_OK && pod->spawned && t->kind->kind != VC_KIND_SHIM && !strcmp(variant, "dying@program"))
        must_notice(pod, "dying");
    *spawned += pod->spawned;
    if (pod->inst) {
        int c = vct_pod_cleanup(pod);
        VCT_MUST(t, c == VC_OK, "%s, cleanup answers %s (%s); it has to work whatever the peer does", when, vct_code(c),
                 t->err.text);
        vct_pod_close(pod);
    }
    const char *left = vct_traces(pod);
    if (*left)
        vct_leak(t, "%s, this is left after cleanup: %s", when, left);
    vct_pod_free(pod);
    return r;
}

static void run_m7(struct vct *t)
{
    static const char *const variants[] = { "dying@program",   "silent@program", "hung@program",
                                            "garbage@program", "refuse@program", "half-close@program" };
    unsigned spawned = 0;
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_walk w = { .pod = pod };
    int r = vct_walk_to(&w, VCT_ST_UP);
    vct_walk_done(&w);
    VCT_MUST(t, r == VC_OK, "%s answers %s (%s)", w.step, vct_code(r), t->err.text);
    unsigned n = pod->spawned;
    vct_walk_end(pod, "after a start");
    vct_pod_free(pod);
    if (!n)
        vct_skip(t, "the plugin spawns no program");
    for (unsigned k = 1; k <= n; k++) { /* the program does not exist */
        pod = vct_pod_new(t, NULL, 0);
        w = (struct vct_walk){ .pod = pod };
        pod->fault = VCT_S_SPAWN;
        pod->fault_code = VC_E_NOTFOUND;
        pod->fault_at = k;
        r = vct_walk_to(&w, VCT_ST_UP);
        vct_walk_done(&w);
        VCT_MUST(t, r == VC_E_NOTFOUND || r == VC_E_CONFIG || r == VC_E_IO || r == VC_E_PEER,
                 "%s answers %s (%s) when the program it spawns cannot be executed (spawn answers VC_E_NOTFOUND); "
                 "that code is right",
                 w.step, vct_code(r), t->err.text);
        vct_walk_end(pod, "after a program could not be executed");
        vct_pod_free(pod);
    }
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++)
        if (vct_variant_known(t, variants[i]))
            life_with(t, variants[i], 0, &spawned);
}

/* The most memory this process has had, in KiB. */
static long peak_kib(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? u.ru_maxrss : 0;
}

static void run_m8(struct vct *t)
{
    static const struct {
        const char *name;
        int must_work;
    } variants[] = { { "one-byte", 1 },   { "garbage", 0 },   { "oversize", 0 },     { "endless", 0 },
                     { "half-close", 0 }, { "deep-json", 0 }, { "wrong-version", 0 } };
    unsigned spawned = 0;
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_walk w = { .pod = pod };
    int r = vct_walk_to(&w, VCT_ST_UP);
    VCT_MUST(t, r == VC_OK, "%s answers %s (%s)", w.step, vct_code(r), t->err.text);
    vct_walk_done(&w);
    int nobody = t->kind->hollow && t->kind->hollow(pod);
    vct_walk_end(pod, "after a start");
    vct_pod_free(pod);
    if (nobody)
        vct_skip(t, "the plugin has no peer to talk to");
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        if (!vct_variant_known(t, variants[i].name))
            continue;
        long before = peak_kib();
        life_with(t, variants[i].name, variants[i].must_work, &spawned);
        long grown = peak_kib() - before;
        VCT_MUST(t, grown < 40 * 1024,
                 "with peers that are \"%s\" the process grew by %ld MiB; what a peer sends has to have a limit well "
                 "below that",
                 variants[i].name, grown / 1024);
    }
}

/* ---- M10 ---- */

static void run_m10(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_walk_whole(pod, "in a whole life");
    const char *seen = vct_seen(t, "M10");
    VCT_MUST(t, !seen, "%s", seen);
    if (pod->allocs != pod->frees)
        vct_leak(t,
                 "in a whole life, %" PRIu64 " pieces of memory of host.alloc and sink_new were taken and %" PRIu64
                 " given back",
                 pod->allocs, pod->frees);
    vct_pod_free(pod);
}

const struct vct_check vct_checks_memory[] = {
    { "M1", "types.h VC_E_NOMEM", VCT_ANY_KIND, VCT_FULL, VCT_SLOW,
      "every allocation may fail: NOMEM, no leak, and a retry works",
      "Pods run on machines that are full. A plugin that loses track then leaks or takes the whole runtime down.",
      "Check every allocation, undo what the call began, answer VC_E_NOMEM, and change the instance only when nothing "
      "can fail any more.",
      run_m1 },
    { "M2", "plugin.h results", VCT_ANY_KIND, VCT_FULL, VCT_SLOW,
      "every open, socket, read, write and connect may fail",
      "EMFILE, ENOSPC, EINTR, EAGAIN and EIO come on real machines, each at the worst moment.",
      "Look at every result; go on after EINTR; else undo what the call began and report a code with the errno.",
      run_m2 },
    { "M3", "plugin.h results", VCT_ANY_KIND, VCT_FULL, VCT_SLOW, "a thousand signals a second do no harm",
      "The host's program has timers and children: any call that waits can be interrupted at any time.",
      "Make calls that answer EINTR again, and compute what is left of the deadline before you do.", run_m3 },
    { "M4", "types.h VC_E_RESOURCE", VCT_ANY_KIND, VCT_FULL, VCT_SLOW,
      "running out of descriptors is RESOURCE, and a retry works",
      "A host with many pods is often near its limit of descriptors.",
      "Close what the call opened, and answer VC_E_RESOURCE for EMFILE and ENFILE.", run_m4 },
    { "M5", "types.h VC_E_RESOURCE", VCT_ANY_KIND, VCT_FULL, VCT_NEEDS_ROOT,
      "a full run directory is RESOURCE, and cleanup works in it",
      "Run directories lie on small file systems that other pods fill.",
      "Write files whole or not at all (temporary file, rename), answer VC_E_RESOURCE, and need no space for cleanup.",
      run_m5 },
    { "M6", "host.h", VCT_ANY_KIND, VCT_FULL, VCT_SLOW, "every host service may fail",
      "A service that fails is a failure of the call: VC_OK then says that something happened which did not.",
      "Look at the code of every host service, say with host->err_set what failed, and hand the code on.", run_m6 },
    { "M7", "host.h spawn", VCT_ANY_KIND, VCT_FULL, VCT_SLOW,
      "a program that cannot run, dies at once, hangs or talks garbage is noticed",
      "That is what a wrong path, a missing module or another version of the program looks like.",
      "Wait for the program to say that it is ready, with the deadline of the call, and end it when it does not.",
      run_m7 },
    { "M8", "plugin.h results", VCT_ANY_KIND, VCT_FULL, VCT_SLOW,
      "peers that send single bytes, 64 MiB, or nonsense do no harm",
      "A guest is hostile, and a stream delivers what it likes at a time.",
      "Read until a message is whole, refuse lengths above what the protocol needs, check every field, and keep to "
      "the deadline.",
      run_m8 },
    { "M9", "plugin.h", VCT_ANY_KIND, VCT_FULL, VCT_SLOW, "a whole life is clean under Valgrind",
      "A read of memory that was freed works on the test machine and crashes at the customer's.",
      "Run the line that repeats this check, and read the stack that Valgrind shows.", vct_valgrind },
    { "M10", "host.h alloc, free", VCT_ANY_KIND, VCT_QUICK, 0, "what the host's alloc and sink_new gave is given back",
      "The host lives for months; what each pod keeps adds up.",
      "Free in close what the instance holds, through the service it came from.", run_m10 },
    { "M11", "plugin.h", VCT_ANY_KIND, VCT_FULL, VCT_SLOW, "random walks over all operations",
      "Users do things in an order that nobody has thought of.",
      "Repeat it with the seed that is shown, and look at the last steps.", vct_random_walk },
    { 0 }
};
