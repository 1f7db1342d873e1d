/* SPDX-License-Identifier: Apache-2.0 */
/* test-bugs.c: bugs of the original that core/doc/virtcontainers-bugs.md lists and no other test is about. */
#include "survive.h"

static struct pt_pod p;

static vc_context *context(void)
{
    return pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true",
                      "proxy_faulty.process=true", NULL);
}

/* bug-1: deleting a pod that was never started ends its VM, proxy and shims. */
static void test_delete_ready(void **state)
{
    (void)state;
    vc_context *ctx = context();
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "ready", 2), NULL, &err));
    assert_int_equal(pt_children(), 4);
    PT_OK(vc_pod_delete(ctx, "ready", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* bug-2: with any number of containers, in any order, whatever else was done with it. */
static void test_many_containers(void **state)
{
    (void)state;
    vc_context *ctx = context();
    for (size_t n = 0; n <= 8; n++) {
        for (int how = 0; how < 4; how++) {
            PT_OK(vc_pod_run(ctx, pt_pod(&p, "many", n), NULL, &err));
            assert_int_equal(pt_children(), 2 + n);
            for (size_t i = 0; how == 3 && i < n; i++) /* the even ones from the front, then the others from the back */
                PT_OK(vc_container_delete(ctx, "many", p.ids[i < (n + 1) / 2 ? 2 * i : 2 * (n - i) - 1], VC_FORCE, &err));
            if (how > 0)
                PT_OK(vc_pod_stop(ctx, "many", VC_FORCE, &err));
            if (how == 2)
                PT_OK(vc_pod_start(ctx, "many", &err));
            PT_OK(vc_pod_delete(ctx, "many", how == 1 ? 0 : VC_FORCE, &err));
            pt_nothing_left();
        }
    }
    vc_context_free(ctx);
}

static size_t record(char text[SV_TEXT])
{
    return sv_read("state/pods/same/pod.json", text);
}

/* bug-3: looking neither builds nor checks anything: with what the pod was made from gone, it is shown, and its record
 * is what it was. */
static void test_look_only(void **state)
{
    (void)state;
    char before[SV_TEXT], after[SV_TEXT], dir[PATH_MAX + 64], away[PATH_MAX + 64];
    struct vc_pod_status *s = NULL, **list = NULL;
    struct vc_container_status *c = NULL;
    size_t n = 0;
    vc_context *ctx = context();
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "same", 1), NULL, &err));
    size_t len = record(before);
    PT_PATH(dir, "%s/plugins", pt_root);
    PT_PATH(away, "%s/plugins.away", pt_root);
    assert_int_equal(rename(dir, away), 0);
    vc_context *later = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_status(later, "same", &s, &err));
    assert_string_equal(s->state, "running");
    vc_pod_status_free(s);
    PT_OK(vc_pod_list(later, &list, &n, &err));
    assert_int_equal(n, 1);
    vc_pod_list_free(list, n);
    PT_OK(vc_container_status(later, "same", "c0", &c, &err));
    vc_container_status_free(c);
    assert_int_equal(record(after), len);
    assert_memory_equal(after, before, len);
    assert_int_equal(pt_children(), 3);
    vc_context_free(later);
    assert_int_equal(rename(away, dir), 0);
    PT_OK(vc_pod_delete(ctx, "same", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* bug-4: a stop of what is stopped does nothing, and what fails takes nothing away. */
static void test_again(void **state)
{
    (void)state;
    char before[SV_TEXT], after[SV_TEXT];
    struct vc_container_status *c = NULL;
    vc_context *ctx = context();
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "same", 1), NULL, &err));
    PT_FAILS(VC_ERR_STATE, "must be running", vc_container_start(ctx, "same", "c0", &err));
    PT_OK(vc_container_status(ctx, "same", "c0", &c, &err));
    assert_string_equal(c->state, "ready");
    vc_container_status_free(c);
    PT_OK(vc_pod_start(ctx, "same", &err));
    PT_OK(vc_pod_stop(ctx, "same", VC_FORCE, &err));
    size_t len = record(before);
    PT_OK(vc_pod_stop(ctx, "same", 0, &err));
    PT_OK(vc_container_stop(ctx, "same", "c0", 0, &err));
    PT_FAILS(VC_ERR_STATE, "stopped", vc_container_start(ctx, "same", "c0", &err));
    assert_int_equal(record(after), len);
    assert_memory_equal(after, before, len);
    PT_OK(vc_pod_start(ctx, "same", &err));
    PT_OK(vc_pod_delete(ctx, "same", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* bug-4: a start, a stop and a deletion in which the guest fails can be tried again: nothing of the container is gone. */
static void test_fails_and_works(void **state)
{
    (void)state;
    static const struct {
        const char *fail, *before, *after;
    } steps[] = {
        { "agent_faulty.fail=ctr_start", "ready", "running" },
        { "agent_faulty.fail=signal", "running", "stopped" },
        { "agent_faulty.fail=ctr_remove", "stopped", NULL },
    };
    struct vc_container_status *c = NULL;
    vc_context *ctx = pt_context("faulty", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "same", 0), NULL, &err));
    pt_pod(&p, NULL, 1);
    PT_OK(vc_container_create(ctx, "same", &p.ctr[0], NULL, &err));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        vc_context *bad = pt_context("faulty", steps[i].fail, NULL, NULL, NULL);
        for (int try = 0; try < 3; try++) {
            vc_context *with = try == 2 ? ctx : bad;
            vc_error *err = NULL;
            int rc = i == 0   ? vc_container_start(with, "same", "c0", &err)
                     : i == 1 ? vc_container_stop(with, "same", "c0", -1, &err)
                              : vc_container_delete(with, "same", "c0", 0, &err);
            if (rc != (try == 2 ? 0 : VC_ERR_IO))
                fail_msg("step %zu, try %d: %d %s", i, try, rc, vc_error_text(err));
            vc_error_free(err);
            err = NULL;
            rc = vc_container_status(ctx, "same", "c0", &c, &err);
            const char *now = rc == 0 ? c->state : NULL, *wanted = try == 2 ? steps[i].after : i == 2 ? "broken" : steps[i].before;
            if (!now != !wanted || (now && strcmp(now, wanted) != 0))
                fail_msg("step %zu, try %d: it is %s, wanted %s", i, try, now ? now : "gone", wanted ? wanted : "gone");
            if (rc == 0)
                vc_container_status_free(c);
            vc_error_free(err);
        }
        vc_context_free(bad);
    }
    PT_OK(vc_container_create(ctx, "same", &p.ctr[0], NULL, &err));
    PT_OK(vc_pod_delete(ctx, "same", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* bug-5: an id that is taken is refused, and who has it goes on undisturbed. */
static void test_taken(void **state)
{
    (void)state;
    char before[SV_TEXT], after[SV_TEXT];
    vc_context *ctx = context();
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "same", 2), NULL, &err));
    size_t len = record(before), procs = pt_children();
    PT_FAILS(VC_ERR_EXISTS, "same", vc_pod_create(ctx, pt_pod(&p, "same", 1), NULL, &err));
    PT_FAILS(VC_ERR_EXISTS, "same", vc_pod_run(ctx, pt_pod(&p, "same", 1), NULL, &err));
    PT_FAILS(VC_ERR_EXISTS, "c0", vc_container_create(ctx, "same", &p.ctr[0], NULL, &err));
    assert_int_equal(record(after), len);
    assert_memory_equal(after, before, len);
    assert_int_equal(pt_children(), procs);
    PT_OK(vc_pod_delete(ctx, "same", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delete_ready), cmocka_unit_test(test_many_containers), cmocka_unit_test(test_look_only),
        cmocka_unit_test(test_again),        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_fails_and_works),
    };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
