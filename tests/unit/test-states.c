/* SPDX-License-Identifier: Apache-2.0 */
/* test-states.c: every operation in every state of a pod and its container: which are allowed, where they lead, and that
 * what is refused changes nothing. */
#include "podtest.h"

#include <signal.h>

/* ---- states ---- */

enum at { DEFERRED, READY, RUNNING, RUN_NEW, FROZEN, ENDED, PAUSED, STOPPED, DIED, N_AT };

/* As which each is seen: the pod, and its container. */
static const char *const seen[N_AT] = {
    [DEFERRED] = "ready ready",    [READY] = "ready ready",     [RUNNING] = "running running",
    [RUN_NEW] = "running ready",   [FROZEN] = "running paused", [ENDED] = "running stopped",
    [PAUSED] = "paused paused",    [STOPPED] = "stopped stopped", [DIED] = "stopped stopped",
};

static struct pt_pod p, more;
static vc_context *ctx;
static struct vc_resources limits;
static char *text;
static pid_t sleeper;
static const char *const notes[] = { "a=b", NULL }, *const of_pod[] = { "k=v", NULL };

static void state_of(char *buf, size_t size)
{
    struct vc_pod_status *s = NULL;
    vc_error *err = NULL;
    int rc = vc_pod_status(ctx, "p", &s, &err);
    if (rc == 0)
        snprintf(buf, size, "%s %s", s->state, s->n_containers ? s->containers[0]->state : "none");
    else
        snprintf(buf, size, "%s", vc_error_name(rc));
    vc_pod_status_free(s);
    vc_error_free(err);
}

static void bring_to(enum at at)
{
    struct vc_pod_status *s = NULL;
    siginfo_t info;
    pt_pod(&p, "p", at == RUN_NEW ? 0 : 1);
    p.process.terminal = 1;
    p.pod.annotations = of_pod;
    p.pod.flags = at == DEFERRED ? VC_POD_DEFER_VM : 0;
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    if (at != DEFERRED && at != READY)
        PT_OK(vc_pod_start(ctx, "p", &err));
    switch (at) {
    case RUN_NEW:
        PT_OK(vc_container_create(ctx, "p", &more.ctr[0], NULL, &err));
        break;
    case FROZEN:
        PT_OK(vc_container_pause(ctx, "p", "c0", &err));
        break;
    case ENDED:
        PT_OK(vc_container_stop(ctx, "p", "c0", -1, &err));
        break;
    case PAUSED:
        PT_OK(vc_pod_pause(ctx, "p", &err));
        break;
    case STOPPED:
        PT_OK(vc_pod_stop(ctx, "p", 0, &err));
        break;
    case DIED:
        PT_OK(vc_pod_status(ctx, "p", &s, &err));
        assert_int_equal(kill(s->vmm_pid, SIGKILL), 0);
        assert_int_equal(waitid(P_PID, (id_t)s->vmm_pid, &info, WEXITED | WNOWAIT), 0);
        vc_pod_status_free(s);
        break;
    default:
        break;
    }
    char now[64];
    state_of(now, sizeof now);
    assert_string_equal(now, seen[at]);
}

/* ---- operations ---- */


#define OP(name, call)                                                                                                 \
    static int op_##name(vc_error **err)                                                                               \
    {                                                                                                                  \
        return call;                                                                                                   \
    }
OP(pod_start, vc_pod_start(ctx, "p", err))
OP(pod_stop, vc_pod_stop(ctx, "p", 0, err))
OP(pod_stop_force, vc_pod_stop(ctx, "p", VC_FORCE, err))
OP(pod_delete, vc_pod_delete(ctx, "p", 0, err))
OP(pod_delete_force, vc_pod_delete(ctx, "p", VC_FORCE, err))
OP(pod_pause, vc_pod_pause(ctx, "p", err))
OP(pod_resume, vc_pod_resume(ctx, "p", err))
OP(pod_enter, vc_pod_enter(ctx, "p", &p.process, NULL, NULL, err))
OP(pod_annotate, vc_pod_set_annotations(ctx, "p", notes, err))
OP(create, vc_container_create(ctx, "p", &more.ctr[1], NULL, err))
OP(start, vc_container_start(ctx, "p", "c0", err))
OP(stop, vc_container_stop(ctx, "p", "c0", 1, err))
OP(stop_now, vc_container_stop(ctx, "p", "c0", -1, err))
OP(delete, vc_container_delete(ctx, "p", "c0", 0, err))
OP(delete_force, vc_container_delete(ctx, "p", "c0", VC_FORCE, err))
OP(pause, vc_container_pause(ctx, "p", "c0", err))
OP(resume, vc_container_resume(ctx, "p", "c0", err))
OP(exec, vc_container_exec(ctx, "p", "c0", &p.process, NULL, NULL, err))
OP(kill, vc_container_kill(ctx, "p", "c0", NULL, SIGUSR1, 0, err))
OP(kill_all, vc_container_kill(ctx, "p", "c0", NULL, SIGUSR1, VC_KILL_ALL, err))
OP(resize, vc_container_resize(ctx, "p", "c0", NULL, 24, 80, err))
OP(wait, vc_container_wait(ctx, "p", "c0", NULL, 0, NULL, err))
OP(update, vc_container_update(ctx, "p", "c0", &limits, err))
OP(set_pid, vc_container_set_pid(ctx, "p", "c0", sleeper, err))
OP(annotation, vc_pod_annotation(ctx, "p", "k", &text, err))
OP(ps, vc_container_ps(ctx, "p", "c0", NULL, &text, err))
OP(pod_console, vc_pod_console(ctx, "p", &text, err))

static int op_list(vc_error **err)
{
    struct vc_container_status **all = NULL;
    size_t n = 0;
    int rc = vc_container_list(ctx, "p", &all, &n, err);
    vc_container_list_free(all, n);
    return rc;
}

static int op_stats(vc_error **err)
{
    struct vc_container_stats *s = NULL;
    int rc = vc_container_stats(ctx, "p", "c0", &s, err);
    vc_container_stats_free(s);
    return rc;
}

struct op {
    const char *name;
    int (*fn)(vc_error **err);
    const char *to[N_AT]; /* "": it works and changes nothing; NULL: STATE, and nothing changes; else what it becomes */
};

/* After DEFERRED, READY, RUNNING, RUN_NEW, FROZEN, ENDED, PAUSED, STOPPED, DIED. */
#define RUNS "running running"
#define ENDS "stopped stopped"
#define GONE "not-found"
#define EACH "", "", "", "", "", "", "", "", ""
#define OPS(name) #name, op_##name
static const struct op ops[] = {
    { OPS(pod_start), { RUNS, RUNS, NULL, NULL, NULL, NULL, NULL, RUNS, RUNS } },
    { OPS(pod_stop), { ENDS, ENDS, ENDS, ENDS, ENDS, ENDS, NULL, "", "" } },
    { OPS(pod_stop_force), { ENDS, ENDS, ENDS, ENDS, ENDS, ENDS, ENDS, "", "" } },
    { OPS(pod_delete), { GONE, GONE, NULL, NULL, NULL, NULL, NULL, GONE, GONE } },
    { OPS(pod_delete_force), { GONE, GONE, GONE, GONE, GONE, GONE, GONE, GONE, GONE } },
    { OPS(pod_pause), { NULL, NULL, "paused paused", "paused ready", "paused paused", "paused stopped", NULL, NULL, NULL } },
    { OPS(pod_resume), { NULL, NULL, NULL, NULL, NULL, NULL, RUNS, NULL, NULL } },
    { OPS(pod_enter), { NULL, NULL, "", NULL, NULL, NULL, NULL, NULL, NULL } },
    { OPS(pod_annotate), { EACH } },
    { OPS(pod_console), { EACH } },
    { OPS(create), { "", "", "", "", "", "", NULL, NULL, NULL } },
    { OPS(start), { NULL, NULL, NULL, RUNS, NULL, RUNS, NULL, NULL, NULL } },
    { OPS(stop), { "ready stopped", "ready stopped", "running stopped", "running stopped", NULL, "", NULL, "", "" } },
    { OPS(stop_now), { "ready stopped", "ready stopped", "running stopped", "running stopped", "running stopped", "", NULL, "", "" } },
    { OPS(delete), { "ready none", "ready none", NULL, "running none", NULL, "running none", NULL, "stopped none", "stopped none" } },
    { OPS(delete_force), { "ready none", "ready none", "running none", "running none", "running none", "running none", NULL,
                           "stopped none", "stopped none" } },
    { OPS(pause), { NULL, NULL, "running paused", NULL, NULL, NULL, NULL, NULL, NULL } },
    { OPS(resume), { NULL, NULL, NULL, NULL, RUNS, NULL, NULL, NULL, NULL } },
    { OPS(exec), { NULL, NULL, "", NULL, NULL, NULL, NULL, NULL, NULL } },
    { OPS(kill), { NULL, "", "", "", NULL, NULL, NULL, NULL, NULL } },
    { OPS(kill_all), { NULL, "", "", "", NULL, NULL, NULL, NULL, NULL } },
    { OPS(resize), { NULL, "", "", "", NULL, NULL, NULL, NULL, NULL } },
    { OPS(wait), { NULL, "", "", "", "", "", "", "", "" } }, /* this agent says at once that they have ended */
    { OPS(update), { "", "", "", "", "", NULL, NULL, NULL, NULL } },
    { OPS(set_pid), { NULL, "", "", "", "", NULL, "", NULL, NULL } },
    { OPS(ps), { NULL, NULL, "", NULL, NULL, NULL, NULL, NULL, NULL } },
    { OPS(stats), { NULL, NULL, "", NULL, "", NULL, NULL, NULL, NULL } },
    { OPS(annotation), { EACH } },
    { OPS(list), { EACH } },
};

static void try(const struct op *op, enum at at)
{
    char now[64];
    vc_error *err = NULL;
    const char *to = op->to[at] && *op->to[at] ? op->to[at] : seen[at];
    sleeper = pt_sleeper();
    bring_to(at);
    int rc = op->fn(&err);
    if (rc != (op->to[at] ? 0 : VC_ERR_STATE))
        fail_msg("%s of a pod that is %s (%d): %s: %s", op->name, seen[at], at, vc_error_name(rc), vc_error_text(err));
    state_of(now, sizeof now);
    if (strcmp(now, to) != 0)
        fail_msg("%s makes \"%s\" (%d) \"%s\", wanted \"%s\"", op->name, seen[at], at, now, to);
    vc_error_free(err);
    free(text);
    text = NULL;
    vc_pod_delete(ctx, "p", VC_FORCE, NULL);
    kill(sleeper, SIGKILL);
    waitpid(sleeper, NULL, 0); /* unless the library has, as whose process it stood */
    pt_nothing_left();
}

static void test_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        for (enum at at = 0; at < N_AT; at++)
            try(&ops[i], at);
}

static int setup(void **state)
{
    int rc = pt_setup(state);
    if (rc < 0)
        return rc;
    ctx = pt_context("faulty", "hypervisor_faulty.process=true", NULL, NULL, NULL);
    pt_pod(&more, NULL, 2);
    more.process.terminal = 1;
    VC_INIT(&limits);
    limits.memory_limit = 1 << 20;
    return 0;
}

static int teardown(void **state)
{
    vc_context_free(ctx);
    return pt_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
