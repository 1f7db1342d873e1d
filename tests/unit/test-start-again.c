/* SPDX-License-Identifier: Apache-2.0 */
/* test-start-again.c: a container that has ended is started again in its running pod: a new life, of which nothing is known
 * of the former one, and nothing left of it. */
#include "podtest.h"

#include <signal.h>

static struct pt_pod p;

static vc_context *with(const char *fail)
{
    return pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true",
                      geteuid() == 0 ? "hypervisor_faulty.share=true" : NULL, fail);
}

static struct vc_container_status *status_of(vc_context *ctx, const char *ctr)
{
    struct vc_container_status *s = NULL;
    PT_OK(vc_container_status(ctx, "p", ctr, &s, &err));
    return s;
}

static void assert_ctr(vc_context *ctx, const char *ctr, const char *state, int exit_status)
{
    struct vc_container_status *s = status_of(ctx, ctr);
    assert_string_equal(s->state, state);
    assert_int_equal(s->exit_status, exit_status);
    vc_container_status_free(s);
}

/* As its shim does: what it says, then its end. */
static void ends(vc_context *ctx, const char *ctr, const char *says)
{
    char path[PATH_MAX + 200];
    struct vc_container_status *s = status_of(ctx, ctr);
    PT_PATH(path, "%s/run/pods/p/exit/%s", pt_root, ctr);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, says, strlen(says)), (ssize_t)strlen(says));
    close(fd);
    assert_int_equal(kill(s->pid, SIGKILL), 0);
    PT_OK(vc_container_wait(ctx, "p", ctr, NULL, 10000, NULL, &err));
    vc_container_status_free(s);
}

/* What is in the ledger now: every line that adds something but those that were taken back. */
static int ledger_entries(void)
{
    char path[PATH_MAX + 64], line[8192];
    int n = 0;
    PT_PATH(path, "%s/run/pods/p/ledger", pt_root);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        n += strncmp(line, "{\"add\"", 6) == 0 ? 1 : strncmp(line, "{\"del", 5) == 0 ? -1 : 0;
    fclose(f);
    return n;
}

static void run(vc_context *ctx)
{
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "p", 2), NULL, &err));
}

static void end_of(vc_context *ctx)
{
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

static void test_new_life(void **state)
{
    (void)state;
    vc_context *ctx = with(NULL);
    char *exec_id = NULL;
    int32_t status = -1;
    run(ctx);
    size_t procs = pt_children(), mounts = pt_mounts();
    int entries = ledger_entries();
    PT_OK(vc_container_exec(ctx, "p", "c1", &p.process, &exec_id, NULL, &err));
    struct vc_container_status *first = status_of(ctx, "c1");
    ends(ctx, "c1", "137\noom\n");
    struct vc_container_status *ended = status_of(ctx, "c1");
    assert_string_equal(ended->state, "stopped");
    assert_true(ended->oom_killed && ended->finished_ns);
    PT_OK(vc_container_start(ctx, "p", "c1", &err));
    struct vc_container_status *again = status_of(ctx, "c1");
    assert_string_equal(again->state, "running");
    assert_int_equal(again->exit_status, -1);
    assert_int_equal(again->oom_killed, 0);
    assert_int_equal(again->finished_ns, 0);
    assert_true(again->started_ns > first->started_ns && again->created_ns == first->created_ns);
    assert_true(again->pid > 0 && again->pid != first->pid);
    assert_ctr(ctx, "c0", "running", -1);
    /* Its end is not known, and the further process of its former life is forgotten, with its shim. */
    PT_FAILS(VC_ERR_TIMEOUT, "did not end", vc_container_wait(ctx, "p", "c1", NULL, 0, NULL, &err));
    PT_FAILS(VC_ERR_NOTFOUND, exec_id, vc_container_wait(ctx, "p", "c1", exec_id, 0, NULL, &err));
    assert_int_equal(pt_children(), procs);
    assert_int_equal(pt_mounts(), mounts);
    assert_int_equal(ledger_entries(), entries);
    assert_int_equal(pt_count("run/pods/p/exit"), 0);
    PT_FAILS(VC_ERR_STATE, "running and must be ready or stopped", vc_container_start(ctx, "p", "c1", &err));
    ends(ctx, "c1", "7\n");
    PT_OK(vc_container_wait(ctx, "p", "c1", NULL, 0, &status, &err));
    assert_int_equal(status, 7);
    assert_ctr(ctx, "c1", "stopped", 7);
    /* As often as one likes, also when its end was noted by a stop; and everything can be done with it. */
    for (int i = 0; i < 3; i++) {
        PT_OK(vc_container_start(ctx, "p", "c1", &err));
        PT_OK(vc_container_pause(ctx, "p", "c1", &err));
        PT_OK(vc_container_resume(ctx, "p", "c1", &err));
        PT_OK(vc_container_exec(ctx, "p", "c1", &p.process, NULL, NULL, &err));
        ends(ctx, "c1", "0\n");
        if (i == 1)
            PT_OK(vc_container_stop(ctx, "p", "c1", -1, &err));
    }
    /* Its pod can be stopped and started with it. */
    PT_OK(vc_container_start(ctx, "p", "c1", &err));
    PT_OK(vc_pod_stop(ctx, "p", VC_FORCE, &err));
    PT_OK(vc_pod_start(ctx, "p", &err));
    assert_ctr(ctx, "c1", "running", -1);
    free(exec_id);
    vc_container_status_free(first);
    vc_container_status_free(ended);
    vc_container_status_free(again);
    end_of(ctx);
}

/* One that was stopped before it ran, or has a process of the host for its own. */
static void test_others(void **state)
{
    (void)state;
    vc_context *ctx = with(NULL);
    run(ctx);
    pt_pod(&p, "p", 3);
    PT_OK(vc_container_create(ctx, "p", &p.ctr[2], NULL, &err));
    PT_OK(vc_container_stop(ctx, "p", "c2", -1, &err));
    PT_OK(vc_container_start(ctx, "p", "c2", &err));
    assert_ctr(ctx, "c2", "running", -1);
    size_t procs = pt_children();
    pid_t pid = pt_sleeper();
    PT_OK(vc_container_set_pid(ctx, "p", "c2", pid, &err));
    kill(pid, SIGKILL);
    PT_OK(vc_container_wait(ctx, "p", "c2", NULL, 10000, NULL, &err));
    PT_OK(vc_container_start(ctx, "p", "c2", &err));
    struct vc_container_status *s = status_of(ctx, "c2");
    assert_string_equal(s->state, "running");
    assert_true(s->pid > 0 && s->pid != pid);
    vc_container_status_free(s);
    assert_int_equal(pt_children(), procs); /* its shim, which went on, is not there any more */
    PT_OK(vc_pod_stop(ctx, "p", VC_FORCE, &err));
    PT_FAILS(VC_ERR_STATE, "the pod is stopped and must be running", vc_container_start(ctx, "p", "c2", &err));
    end_of(ctx);
}

/* Whatever fails on the way: it is stopped as before, nothing is left of the attempt, and the next one works. */
static void test_failures(void **state)
{
    (void)state;
    static const char *const fails[][2] = { { "agent_faulty.fail=ctr_remove", "ctr_remove" },
                                            { "agent_faulty.fail=ctr_create", "ctr_create" },
                                            { "shim_faulty.fail=start", "start" } };
    vc_context *ctx = with(NULL);
    int32_t status = -1;
    run(ctx);
    ends(ctx, "c1", "7\n");
    PT_OK(vc_container_stop(ctx, "p", "c1", 0, &err)); /* its shim goes from the ledger */
    struct vc_container_status *was = status_of(ctx, "c1");
    size_t procs = pt_children();
    for (size_t i = 0; i < sizeof fails / sizeof *fails; i++) {
        vc_context *bad = with(fails[i][0]);
        PT_FAILS(VC_ERR_IO, fails[i][1], vc_container_start(bad, "p", "c1", &err));
        vc_context_free(bad);
        struct vc_container_status *s = status_of(ctx, "c1");
        assert_string_equal(s->state, "stopped");
        assert_int_equal(s->exit_status, 7);
        assert_true(s->started_ns == was->started_ns && s->finished_ns == was->finished_ns);
        vc_container_status_free(s);
        PT_OK(vc_container_wait(ctx, "p", "c1", NULL, 0, &status, &err));
        assert_int_equal(status, 7);
        assert_int_equal(pt_children(), procs);
        if (i % 2) {
            PT_OK(vc_container_start(ctx, "p", "c1", &err));
            assert_int_equal(pt_children(), procs + 1);
            ends(ctx, "c1", "7\n");
            PT_OK(vc_container_stop(ctx, "p", "c1", 0, &err));
            vc_container_status_free(was);
            was = status_of(ctx, "c1");
        }
    }
    vc_container_status_free(was);
    /* Made, and not started: as one that never was. */
    vc_context *bad = with("agent_faulty.fail=ctr_start");
    PT_FAILS(VC_ERR_IO, "ctr_start", vc_container_start(bad, "p", "c1", &err));
    vc_context_free(bad);
    assert_ctr(ctx, "c1", "ready", -1);
    PT_OK(vc_container_start(ctx, "p", "c1", &err));
    assert_ctr(ctx, "c1", "running", -1);
    /* Its root file system is gone: its status stays, and it can be deleted. */
    char dir[PATH_MAX + 64], aside[PATH_MAX + 64];
    PT_PATH(dir, "%s/rootfs", pt_root);
    PT_PATH(aside, "%s/aside", pt_root);
    ends(ctx, "c1", "9\n");
    if (geteuid() == 0) {
        assert_int_equal(rename(dir, aside), 0);
        PT_FAILS(VC_ERR_NOTFOUND, "root file system", vc_container_start(ctx, "p", "c1", &err));
        assert_int_equal(rename(aside, dir), 0);
        assert_ctr(ctx, "c1", "stopped", 9);
    }
    PT_OK(vc_container_delete(ctx, "p", "c1", 0, &err));
    PT_OK(vc_container_create(ctx, "p", &p.ctr[1], NULL, &err));
    PT_OK(vc_container_start(ctx, "p", "c1", &err));
    end_of(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_life),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
