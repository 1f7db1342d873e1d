/* SPDX-License-Identifier: Apache-2.0 */
/* checks-threads2.c: instances in many threads, beside a forked child, beside a call that waits, and without
 * privileges. */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "conformance/apart.h"
#include "conformance/checks-threads.h"
#include "conformance/steps.h"
#include "conformance/trouble.h"
#include "conformance/watch.h"
#include "lib/io.h"

#define WORKERS 4
#define ROUNDS  2
#define WAIT_MS 4000 /* deadline of a call that waits for its peer (T11) */
#define ASK_MS  1500 /* for so long caps and ext are asked meanwhile */
#define ANY_MS  200  /* of [any] members meanwhile */

/* The text of the last call of this thread. */
static const char *my_text(void)
{
    return vct_here.err ? vct_here.err->text : "";
}

/* ---- T6 ---- */

static void *drive(void *arg)
{
    struct vct_pod *pod = arg;
    struct vct *t = pod->t;
    for (const struct vct_op *op = t->kind->ops; op->name; op++) {
        if (!(op->from & pod->state) || !vct_op_there(pod, op))
            continue;
        int r = vct_op_call(pod, op, vct_call(t, 20000));
        if (r != VC_OK)
            vct_fail(
                t,
                "with %d instances in threads of their own, %s of one answers %s (%s); instances have nothing to do "
                "with each "
                "other",
                WORKERS, op->name, vct_code(r), my_text());
    }
    int r = vct_pod_cleanup(pod);
    if (r != VC_OK)
        vct_fail(t, "with %d instances in threads of their own, cleanup of one answers %s (%s)", WORKERS, vct_code(r),
                 my_text());
    return NULL;
}

struct asker {
    struct vct_pod **pods;
    atomic_int done;
    unsigned long asked;
};

static void ask_caps(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    const struct vc_inst_ops *ops = vct_inst_ops(t);
    vct_enter(t, "caps");
    uint64_t caps = ops->caps(pod->inst);
    vct_leave(t, 0);
    if (caps != pod->caps)
        vct_fail(
            t,
            "caps answers 0x%llx while another call of the instance runs, and answered 0x%llx at first; it is constant",
            (unsigned long long)caps, (unsigned long long)pod->caps);
    if (!ops->ext)
        return;
    vct_enter(t, "ext");
    const void *table = ops->ext(pod->inst, "org.example.nobody-has-this/1");
    vct_leave(t, 0);
    if (table)
        vct_fail(t, "ext answers a table for an id that nobody defined, while another call of the instance runs");
}

static void *ask(void *arg)
{
    struct asker *a = arg;
    while (!atomic_load(&a->done)) {
        for (int i = 0; i < WORKERS; i++)
            ask_caps(a->pods[i]);
        a->asked++;
        sched_yield();
    }
    return NULL;
}

static void parallel_round(struct vct *t)
{
    struct vct_pod *pods[WORKERS];
    pthread_t threads[WORKERS], asker;
    struct asker a = { .pods = pods };
    for (int i = 0; i < WORKERS; i++) {
        pods[i] = vct_pod_new(t, NULL, 0);
        vct_pod_make(pods[i]);
    }
    if (pthread_create(&asker, NULL, ask, &a) != 0)
        vct_skip(t, "no thread can be made");
    for (int i = 0; i < WORKERS; i++)
        if (pthread_create(&threads[i], NULL, drive, pods[i]) != 0)
            vct_skip(t, "no thread can be made");
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&a.done, 1);
    pthread_join(asker, NULL);
    for (int i = 0; i < WORKERS; i++) {
        vct_pod_close(pods[i]);
        vct_pod_free(pods[i]);
    }
    vct_note(t, "caps and ext of all instances were asked %lu times meanwhile", a.asked);
}

/* Instances in parallel, each in a thread, and [any] members from yet another one. */
void vct_check_t6(struct vct *t)
{
    for (int i = 0; i < ROUNDS; i++)
        parallel_round(t);
}

/* ---- T7 ---- */

struct step {
    struct vct_pod *pod;
    const struct vct_op *op;
    void (*fn)(struct step *s);
    char *state;
    size_t len;
};

static void *run_step(void *arg)
{
    struct step *s = arg;
    s->fn(s);
    return NULL;
}

/* In a thread that ends with it. */
static void elsewhere(struct step *s, void (*fn)(struct step *s))
{
    pthread_t thread;
    s->fn = fn;
    if (pthread_create(&thread, NULL, run_step, s) != 0)
        vct_skip(s->pod->t, "no thread can be made");
    pthread_join(thread, NULL);
}

static void do_create(struct step *s)
{
    int r = vct_pod_create(s->pod);
    if (r != VC_OK)
        vct_fail(s->pod->t, "create in a thread of its own answers %s (%s)", vct_code(r), my_text());
}

static void do_op(struct step *s)
{
    char why[512] = "";
    struct vct *t = s->pod->t;
    int r = vct_op_call(s->pod, s->op, vct_call(t, 10000));
    if (r != VC_OK)
        vct_fail(
            t,
            "%s in another thread than the calls before, which has ended, answers %s (%s); any thread may make a call",
            s->op->name, vct_code(r), my_text());
    if (s->op->effect && s->op->effect(s->pod, why, sizeof(why)) == 0)
        vct_fail(t, "%s in another thread than the calls before answers VC_OK without its effect: %s", s->op->name,
                 why);
}

static void do_save(struct step *s)
{
    int r = vct_pod_save(s->pod, &s->state, &s->len);
    if (r != VC_OK)
        vct_fail(s->pod->t, "save in another thread answers %s (%s)", vct_code(r), my_text());
}

static void do_restore(struct step *s)
{
    int r = vct_pod_restore(s->pod, s->pod->t->plugin->state_version, s->state, s->len);
    if (r != VC_OK)
        vct_fail(s->pod->t, "restore in another thread than save answers %s (%s)", vct_code(r), my_text());
}

static void do_close(struct step *s)
{
    vct_pod_close(s->pod);
}

static void do_cleanup(struct step *s)
{
    int r = vct_pod_cleanup(s->pod);
    if (r != VC_OK)
        vct_fail(s->pod->t, "cleanup in another thread answers %s (%s)", vct_code(r), my_text());
}

/* Each call in a thread of its own, which ends before the next. */
void vct_check_t7(struct vct *t)
{
    struct step s = { .pod = vct_pod_new(t, NULL, 0) };
    int restored = 0;
    elsewhere(&s, do_create);
    for (s.op = t->kind->ops; s.op->name; s.op++) {
        if (!(s.op->from & s.pod->state) || !vct_op_there(s.pod, s.op))
            continue;
        elsewhere(&s, do_op);
        if (s.pod->state != VCT_ST_UP || restored++)
            continue;
        elsewhere(&s, do_save);
        elsewhere(&s, do_close);
        elsewhere(&s, do_restore);
        free(s.state);
    }
    elsewhere(&s, do_cleanup);
    const char *left = vct_traces(s.pod);
    if (left[0])
        vct_leak(t, "after a life in which each call came from another thread, %s", left);
    elsewhere(&s, do_close);
    vct_pod_free(s.pod);
}

/* ---- T10 ---- */

static void all_is_well(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    uint32_t health = 0;
    int r = vct_pod_check(pod, &health);
    if (r == VC_OK && health != VC_HEALTH_OK)
        vct_fail(t,
                 "the program forked, its child ended by exit, and check of the instance now says VC_HEALTH_%s; the "
                 "plugin's "
                 "destructors or handlers ran in the child and took something away",
                 health == VC_HEALTH_GONE ? "GONE" : "BAD");
    for (const struct vct_op *op = t->kind->ops; op->name; op++) {
        char why[512] = "";
        if (!(op->from & pod->state) || !(op->flags & VCT_OP_PURE) || !vct_op_there(pod, op))
            continue;
        r = vct_op_call(pod, op, vct_call(t, 10000));
        VCT_MUST(t, r == VC_OK, "the program forked, its child ended by exit, and now %s answers %s (%s)", op->name,
                 vct_code(r), t->err.text);
        VCT_MUST(t, !op->effect || op->effect(pod, why, sizeof(why)) != 0,
                 "the program forked, its child ended by exit, and now %s is "
                 "wrong: %s",
                 op->name, why);
    }
}

/* A child of the program ends beside an instance, and its end is still there for the program afterwards. */
void vct_check_t10(struct vct *t)
{
    struct vct_pod *pod = vct_pod_in(t, VCT_ST_UP);
    if (!pod)
        vct_skip(t, "the plugin has nothing that could be up");
    uint32_t before = 0;
    vct_pod_check(pod, &before);
    pid_t pid = fork();
    if (pid < 0)
        vct_skip(t, "no process can be made");
    if (pid == 0)
        exit(7); /* with handlers and destructors */
    siginfo_t si = { 0 };
    while (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT) < 0 && errno == EINTR)
        ;
    if (si.si_code != CLD_EXITED || si.si_status != 7)
        vct_fail(t,
                 "a child that the program forked and that called exit(7) ended otherwise (code %d, status %d): the "
                 "plugin's destructors "
                 "or handlers ran in it",
                 si.si_code, si.si_status);
    if (before == VC_HEALTH_OK)
        all_is_well(pod);
    vct_must_clean(pod, "after a child of the program had ended");
    vct_pod_close(pod);
    int status = 0;
    pid_t got = (pid_t)syscall(SYS_wait4, pid, &status, WNOHANG, NULL);
    vct_must_not_have_seen(t, "T10");
    if (got != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
        vct_fail(
            t,
            "the end of a child of the program was taken away while the plugin was used: the program cannot wait for "
            "it any more");
    vct_pod_free(pod);
    vct_trouble(t);
    vct_must_not_have_seen(t, "T10");
}

/* ---- T11 ---- */

struct waiter {
    struct vct_pod *pod;
    const struct vct_op *op;
    atomic_int tid, done;
    int result;
};

static void *wait_in_call(void *arg)
{
    struct waiter *w = arg;
    atomic_store(&w->tid, (int)gettid());
    w->result = vct_op_call(w->pod, w->op, vct_call(w->pod->t, WAIT_MS));
    atomic_store(&w->done, 1);
    return NULL;
}

/* Does the thread sleep, seen several times, so that its call waits for something?  0: the call is over. */
static int sleeps(struct waiter *w)
{
    char path[64], text[512];
    for (int i = 0, asleep = 0; i < 400 && !atomic_load(&w->done); i++, poll(NULL, 0, 5)) {
        snprintf(path, sizeof(path), "/proc/self/task/%d/stat", atomic_load(&w->tid));
        vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
        text[n > 0 ? n : 0] = '\0';
        const char *p = strrchr(text, ')');
        asleep = p && p[1] && p[2] == 'S' ? asleep + 1 : 0;
        if (asleep == 8)
            return 1;
    }
    return 0;
}

/* Is the call over, too, when another one came back late?  It says so only a moment after it has given its locks back, so
 * it is looked at until it has ended or is seen to wait still. */
static int is_over(struct waiter *w)
{
    return !sleeps(w) && atomic_load(&w->done);
}

/* Members tagged [any] that talk to the peer: their own deadline ends them, not that of the call that waits. */
static void any_ops_answer(struct vct_pod *pod, struct waiter *w)
{
    struct vct *t = pod->t;
    for (const struct vct_op *op = t->kind->ops; op->name; op++) {
        if (!(op->flags & VCT_OP_ANY) || op->to || !(op->from & pod->state) || !vct_op_there(pod, op))
            continue;
        if (atomic_load(&w->done))
            return;
        int64_t asked = vcs_now_ns();
        int r = vct_op_call(pod, op, vct_call(t, ANY_MS));
        if (vcs_now_ns() - asked > 2 * ANY_MS * INT64_C(1000000) && is_over(w))
            vct_fail(
                t,
                "%s, which is tagged [any] and had a deadline of %d ms, came back with %s only when %s, which waited "
                "for "
                "its peer for up to %d ms, had ended; [any] members take no lock that is held while a call waits",
                op->name, ANY_MS, vct_code(r), w->op->name, WAIT_MS);
    }
}

/* 1: the member waited and the others answered. */
static int others_answer(struct vct *t, const struct vct_op *op)
{
    struct vct_pod *pod = vct_pod_ready(t, op);
    const struct vc_inst_ops *ops = vct_inst_ops(t);
    pthread_t thread;
    if (!pod)
        return 0;
    struct waiter w = { .pod = pod, .op = op };
    vct_stick(pod);
    if (pthread_create(&thread, NULL, wait_in_call, &w) != 0)
        vct_skip(t, "no thread can be made");
    /* Some calls sleep at first for another reason than their peer (a process is started): asked more than once. */
    int waits = 0;
    int64_t until = vcs_now_ns() + ASK_MS * INT64_C(1000000);
    while (vcs_now_ns() < until && !atomic_load(&w.done) && sleeps(&w)) {
        waits = 1;
        int64_t asked = vcs_now_ns();
        ask_caps(pod);
        if (vcs_now_ns() - asked > ANY_MS * INT64_C(1000000) && is_over(&w))
            vct_fail(t,
                     "caps and ext of an instance whose %s waits for its peer came back only when that call had ended; "
                     "[any] members "
                     "take no lock that is held while a call waits",
                     op->name);
    }
    if (waits) {
        any_ops_answer(pod, &w);
        __atomic_store_n(&pod->cancelled, 1, __ATOMIC_SEQ_CST);
        if (ops->cancel)
            VCT_V(t, ops->cancel, pod->inst);
    }
    pthread_join(thread, NULL);
    pod->cancelled = 0;
    vct_unstick(pod);
    vct_must_clean(pod, "after a call that waited was cancelled");
    vct_pod_free(pod);
    return waits;
}

/* [any] members while a call of the same instance waits for a peer that says nothing. */
void vct_check_t11(struct vct *t)
{
    int waited = 0;
    for (const struct vct_op *op = t->kind->ops; op->name && waited < 2; op++)
        if (op->flags & VCT_OP_BLOCKS && !(op->flags & VCT_OP_ANY) && others_answer(t, op)) {
            vct_note(t, "%s waited", op->name);
            waited++;
        }
    if (!waited)
        vct_skip(t, "none of its members waits for a peer");
}

/* ---- T12 ---- */

/* Root without any capability, also not by executing something. */
static void drop_privileges(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2];
    memset(none, 0, sizeof(none));
    prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    syscall(SYS_capset, &head, none);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void unprivileged(struct vct *t, void *arg)
{
    struct vct_pod *pod = arg;
    drop_privileges();
    int r = vct_pod_create(pod);
    const char *what = "create";
    for (const struct vct_op *op = t->kind->ops; op->name && r == VC_OK; op++) {
        if (!(op->from & pod->state) || !vct_op_there(pod, op))
            continue;
        what = op->name;
        r = vct_op_call(pod, op, vct_call(t, 10000));
    }
    if (r != VC_OK && r != VC_E_PERM)
        vct_fail(t, "without privileges %s answers %s (%s); it has to work or to answer VC_E_PERM", what, vct_code(r),
                 t->err.text);
    if (r == VC_E_PERM)
        vct_note(t, "%s answers VC_E_PERM: %s", what, t->err.text);
    if (!pod->inst)
        return;
    r = vct_pod_cleanup(pod);
    if (r != VC_OK && r != VC_E_PERM)
        vct_fail(t, "without privileges cleanup answers %s (%s)", vct_code(r), t->err.text);
    vct_pod_close(pod);
}

/* A life without privileges, in a process of its own. */
void vct_check_t12(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    int sig = vct_apart_killed(t, unprivileged, pod);
    if (sig)
        vct_fail(t, "without privileges the process was ended by signal %d (%s); a lack of rights is VC_E_PERM", sig,
                 strsignal(sig));
    vct_ledger_read(pod); /* what that process left */
    vct_pod_free(pod);
}
