/* SPDX-License-Identifier: Apache-2.0 */
/* test-gc.c: what gc removes, and what it leaves alone. */
#include "podtest.h"

#include <signal.h>
#include <sys/prctl.h>

static char told[4096];

static void report(void *arg, const char *pod, const char *what)
{
    (void)arg;
    size_t n = strlen(told);
    snprintf(told + n, sizeof told - n, "%s: %s\n", pod, what);
}

static size_t gc(vc_context *ctx)
{
    size_t n = 99;
    told[0] = '\0';
    PT_OK(vc_gc(ctx, report, NULL, &n, &err));
    return n;
}

/* Run fn in a child that is killed right after it. */
static void in_killed_child(void (*fn)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fn();
        kill(getpid(), SIGKILL);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void make_owned(void)
{
    struct pt_pod p;
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", NULL, NULL);
    pt_pod(&p, "owned", 1);
    p.pod.flags = VC_POD_OWNED;
    if (vc_pod_run(ctx, &p.pod, NULL, NULL) < 0)
        _exit(1);
}

static void test_nothing_to_do(void **state)
{
    (void)state;
    struct pt_pod p;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    assert_int_equal(gc(ctx), 0);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "fine", 1), NULL, &err));
    assert_int_equal(gc(ctx), 0);
    assert_string_equal(told, "");
    PT_OK(vc_pod_delete(ctx, "fine", VC_FORCE, &err));
    vc_context_free(ctx);
}

static void test_owner_gone(void **state)
{
    (void)state;
    struct pt_pod p;
    vc_context *ctx = pt_context("faulty", NULL, NULL, NULL, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    in_killed_child(make_owned);
    assert_int_equal(pt_children(), 2);
    assert_int_equal(gc(ctx), 1);
    assert_non_null(strstr(told, "owned: "));
    pt_nothing_left();
    /* Ours is left alone as long as we live. */
    pt_pod(&p, "mine", 0);
    p.pod.flags = VC_POD_OWNED;
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    assert_int_equal(gc(ctx), 0);
    PT_OK(vc_pod_delete(ctx, "mine", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

static void write_file(const char *below, const char *text)
{
    char path[PATH_MAX + 128];
    PT_PATH(path, "%s/%s", pt_root, below);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* The guest of a paused pod cannot remove half a container, and is not asked to before it runs again. */
static void test_half_in_paused(void **state)
{
    (void)state;
    struct pt_pod p;
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", NULL, NULL, NULL);
    vc_context *deaf = pt_context("faulty", "hypervisor_faulty.process=true", "agent_faulty.fail=ctr_remove", NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "still", 2), NULL, &err));
    PT_FAILS(VC_ERR_IO, "ctr_remove", vc_container_delete(deaf, "still", "c1", VC_FORCE, &err));
    PT_OK(vc_pod_pause(ctx, "still", &err));
    assert_int_equal(gc(deaf), 0);
    PT_OK(vc_pod_resume(ctx, "still", &err));
    PT_FAILS(VC_ERR_IO, "ctr_remove", vc_gc(deaf, NULL, NULL, NULL, &err));
    assert_int_equal(gc(ctx), 1);
    assert_non_null(strstr(told, "half-made container c1"));
    PT_OK(vc_pod_delete(ctx, "still", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(deaf);
    vc_context_free(ctx);
}

/* Directories without a record: somebody was killed between the two. */
static void test_half_made(void **state)
{
    (void)state;
    char path[PATH_MAX + 128];
    struct vc_pod_status **list = NULL;
    size_t n = 0;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_PATH(path, "%s/run/pods", pt_root);
    mkdir(path, 0700);
    PT_PATH(path, "%s/run/pods/half", pt_root);
    assert_int_equal(mkdir(path, 0700), 0);
    PT_OK(vc_pod_list(ctx, &list, &n, &err));
    assert_int_equal(n, 1);
    assert_string_equal(list[0]->state, "broken");
    assert_true(list[0]->reason[0] != '\0');
    vc_pod_list_free(list, n);
    assert_int_equal(gc(ctx), 1);
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A damaged record is nobody's to judge but the user's: gc leaves it, a forced delete removes it. */
static void test_damaged(void **state)
{
    (void)state;
    static const char *const records[] = {
        "",
        "{",
        "[]",
        "{\"version\":1}",
        "{\"version\":1,\"boot_id\":\"x\",\"data\":{\"id\":\"bad\",\"state\":\"odd\"}}",
        "{\"version\":1,\"boot_id\":\"x\",\"data\":{\"id\":\"other\",\"state\":\"ready\"}}",
        "{\"version\":1,\"boot_id\":\"x\",\"data\":{\"id\":\"bad\",\"state\":\"ready\",\"instances\":7}}",
    };
    struct pt_pod p;
    struct vc_pod_status *s = NULL;
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", NULL, NULL, NULL);
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        PT_OK(vc_pod_run(ctx, pt_pod(&p, "bad", 1), NULL, &err));
        write_file("state/pods/bad/pod.json", records[i]);
        PT_OK(vc_pod_status(ctx, "bad", &s, &err));
        assert_string_equal(s->state, "broken");
        vc_pod_status_free(s);
        assert_int_equal(gc(ctx), 0);
        PT_FAILS(VC_ERR_CORRUPT, "force", vc_pod_delete(ctx, "bad", 0, &err));
        assert_int_equal(pt_children(), 1);
        PT_OK(vc_pod_delete(ctx, "bad", VC_FORCE, &err));
        pt_nothing_left();
    }
    vc_context_free(ctx);
}

/* A pod from before a reboot is known to be dead, and can be deleted or booted. */
static void test_reboot(void **state)
{
    (void)state;
    struct pt_pod p;
    char path[PATH_MAX + 128], text[65536], *boot;
    struct vc_pod_status *s = NULL;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    for (int again = 0; again < 2; again++) {
        PT_OK(vc_pod_run(ctx, pt_pod(&p, "old", 1), NULL, &err));
        PT_PATH(path, "%s/state/pods/old/pod.json", pt_root);
        FILE *f = fopen(path, "re");
        assert_non_null(f);
        size_t n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
        text[n] = '\0';
        boot = strstr(text, "\"boot_id\":");
        assert_non_null(boot);
        boot = strchr(boot + 10, '"') + 1;
        boot[0] = boot[0] == 'f' ? 'e' : 'f';
        write_file("state/pods/old/pod.json", text);
        PT_PATH(path, "%s/run/pods/old/ledger", pt_root);
        unlink(path);
        PT_PATH(path, "%s/run/pods/old", pt_root);
        nftw(path, pt_rm, 8, FTW_DEPTH | FTW_PHYS);
        PT_OK(vc_pod_status(ctx, "old", &s, &err));
        assert_string_equal(s->state, "stopped");
        assert_non_null(strstr(s->reason, "restarted"));
        vc_pod_status_free(s);
        if (again) {
            PT_OK(vc_pod_start(ctx, "old", &err));
            PT_OK(vc_pod_status(ctx, "old", &s, &err));
            assert_string_equal(s->state, "running");
            vc_pod_status_free(s);
        }
        PT_OK(vc_pod_delete(ctx, "old", again ? VC_FORCE : 0, &err));
        pt_nothing_left();
    }
    vc_context_free(ctx);
}

/* With one root of another configuration every pod looks like half of one: then nothing is touched. */
static void test_wrong_roots(void **state)
{
    (void)state;
    struct pt_pod p;
    struct vc_pod_status *s = NULL;
    char run[PATH_MAX + 128], other[PATH_MAX + 128], same[PATH_MAX + 128];
    PT_PATH(run, "run_root=%s/other-run", pt_root);
    PT_PATH(other, "state_root=%s/other-state", pt_root);
    PT_PATH(same, "state_root=%s//state", pt_root);
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", NULL, NULL);
    vc_context *wrong[] = { pt_context("faulty", run, NULL, NULL, NULL), pt_context("faulty", other, NULL, NULL, NULL) };
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "mine", 1), NULL, &err));
    for (size_t i = 0; i < 2; i++) {
        PT_FAILS(VC_ERR_CONFIG, i ? "/state\"; with " : "/run\"; with ", vc_gc(wrong[i], NULL, NULL, NULL, &err));
        PT_FAILS(VC_ERR_CONFIG, "set it as it was", vc_pod_delete(wrong[i], "mine", VC_FORCE, &err));
        PT_FAILS(VC_ERR_CONFIG, "set it as it was", vc_pod_status(wrong[i], "mine", &s, &err));
        PT_FAILS(VC_ERR_CONFIG, "set it as it was", vc_pod_create(wrong[i], pt_pod(&p, "more", 0), NULL, &err));
    }
    PT_OK(vc_pod_status(ctx, "mine", &s, &err));
    assert_string_equal(s->state, "running");
    assert_true(s->vmm_pid > 0 && kill(s->vmm_pid, 0) == 0);
    vc_pod_status_free(s);
    /* The same directory under another name is the same. */
    vc_context *alias = pt_context("faulty", same, NULL, NULL, NULL);
    assert_int_equal(gc(alias), 0);
    PT_OK(vc_pod_delete(alias, "mine", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(alias);
    /* Without pods nothing binds them. */
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(gc(wrong[i]), 0);
        PT_OK(vc_pod_create(wrong[i], pt_pod(&p, "more", 0), NULL, &err));
        PT_OK(vc_pod_delete(wrong[i], "more", VC_FORCE, &err));
        vc_context_free(wrong[i]);
    }
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "again", 0), NULL, &err));
    PT_OK(vc_pod_delete(ctx, "again", VC_FORCE, &err));
    vc_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do), cmocka_unit_test(test_owner_gone), cmocka_unit_test(test_half_made),
        cmocka_unit_test(test_damaged),       cmocka_unit_test(test_reboot),
        cmocka_unit_test(test_wrong_roots),   cmocka_unit_test(test_half_in_paused),
    };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
