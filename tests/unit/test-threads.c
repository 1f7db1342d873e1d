/* SPDX-License-Identifier: Apache-2.0 */
/* test-threads.c: one context shared by many threads; meant to be run under the thread sanitizer too. */
#include "podtest.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 8
#define ROUNDS  15

static vc_context *shared;
static atomic_int created, refused, odd, stop;

struct worker {
    pthread_t thread;
    int n;
};

/* One failure that should not be: say which, and count it. */
static void complain(const char *what, int rc, vc_error *err)
{
    print_error("%s: %s: %s\n", what, vc_error_name(rc), vc_error_text(err));
    atomic_fetch_add(&odd, 1);
}

static void note(int rc, vc_error *err)
{
    if (rc == 0)
        atomic_fetch_add(&created, 1);
    else if (rc == VC_ERR_EXISTS)
        atomic_fetch_add(&refused, 1);
    else
        complain("the pod that all want", rc, err);
    vc_error_free(err);
}

/* Its own pods, and one that all want. */
static void *work(void *arg)
{
    struct worker *w = arg;
    char own[32];
    for (int i = 0; i < ROUNDS; i++) {
        struct pt_pod p;
        char *id = NULL;
        vc_error *err = NULL;
        PT_PATH(own, "own-%d-%d", w->n, i);
        int rc = vc_pod_run(shared, pt_pod(&p, own, 2), &id, &err);
        if (rc == 0 && strcmp(id, own) == 0)
            rc = vc_container_stop(shared, own, "c1", -1, &err);
        if (rc == 0)
            rc = vc_pod_stop(shared, own, 0, &err);
        if (rc == 0)
            rc = vc_pod_delete(shared, own, 0, &err);
        free(id);
        if (rc < 0)
            complain(own, rc, err);
        vc_error_free(err);
        err = NULL;

        rc = vc_pod_create(shared, pt_pod(&p, "wanted", 1), NULL, &err);
        note(rc, err);
        err = NULL;
        if (rc == 0 && (rc = vc_pod_delete(shared, "wanted", VC_FORCE, &err)) < 0)
            complain("deleting it", rc, err);
        vc_error_free(err);
    }
    return NULL;
}

/* Looks at everything, and cleans up, all the time. */
static void *watch(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        struct vc_pod_status **list = NULL;
        struct vc_plugin_info **plugins = NULL;
        size_t n = 0;
        char *text = NULL;
        if (vc_pod_list(shared, &list, &n, NULL) == 0)
            vc_pod_list_free(list, n);
        vc_error *err = NULL;
        int rc = vc_gc(shared, NULL, NULL, NULL, &err);
        if (rc < 0)
            complain("gc", rc, err);
        vc_error_free(err);
        if (vc_plugin_list(shared, NULL, &plugins, &n, NULL) == 0)
            vc_plugin_list_free(plugins, n);
        if (vc_context_show(shared, 1, &text, NULL) == 0)
            free(text);
    }
    return NULL;
}

static void test_shared_context(void **state)
{
    (void)state;
    struct worker w[THREADS];
    pthread_t watcher;
    shared = pt_context("mock", NULL, NULL, NULL, NULL);
    assert_int_equal(pthread_create(&watcher, NULL, watch, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        w[i].n = i;
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(w[i].thread, NULL);
    atomic_store(&stop, 1);
    pthread_join(watcher, NULL);
    assert_int_equal(atomic_exchange(&odd, 0), 0);
    assert_int_equal(atomic_load(&created) + atomic_load(&refused), THREADS * ROUNDS);
    assert_true(atomic_load(&created) > 0);
    pt_nothing_left();
    vc_context_free(shared);
}

static void *boot(void *arg)
{
    struct pt_pod p;
    char id[32];
    PT_PATH(id, "late-%d", *(int *)arg);
    vc_error *err = NULL;
    int rc = vc_pod_run(shared, pt_pod(&p, id, 1), NULL, &err);
    if (rc != VC_ERR_CANCELLED)
        complain(id, rc, err);
    vc_error_free(err);
    return NULL;
}

/* A cancel in the midst of many: each ends, one way or the other, and nothing is left. */
static void test_cancel_many(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        pthread_t t[THREADS];
        int n[THREADS];
        shared = pt_context("faulty", "agent_faulty.wait=connect", "hypervisor_faulty.process=true", NULL, NULL);
        for (int i = 0; i < THREADS; i++) {
            n[i] = i;
            assert_int_equal(pthread_create(&t[i], NULL, boot, &n[i]), 0);
        }
        vc_context_cancel(shared);
        for (int i = 0; i < THREADS; i++)
            pthread_join(t[i], NULL);
        assert_int_equal(atomic_exchange(&odd, 0), 0);
        pt_nothing_left();
        vc_context_free(shared);
    }
}

/* Many processes that all want the same id at the same moment: exactly one gets it each time. */
static void test_processes(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        int go[2], winners = 0;
        pid_t pids[THREADS];
        assert_int_equal(pipe2(go, O_CLOEXEC), 0);
        for (int i = 0; i < THREADS; i++) {
            pids[i] = fork();
            assert_true(pids[i] >= 0);
            if (pids[i] == 0) {
                struct pt_pod p;
                char c, own[32];
                close(go[1]);
                vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
                if (read(go[0], &c, 1) != 0) /* all begin when the parent closes its end */
                    _exit(9);
                int rc = vc_pod_run(ctx, pt_pod(&p, "same", 1), NULL, NULL);
                PT_PATH(own, "other-%d", i);
                if (vc_gc(ctx, NULL, NULL, NULL, NULL) < 0 || vc_pod_run(ctx, pt_pod(&p, own, 1), NULL, NULL) < 0 ||
                    vc_pod_delete(ctx, own, VC_FORCE, NULL) < 0)
                    _exit(8);
                _exit(rc == 0 ? 0 : rc == VC_ERR_EXISTS ? 1 : 7);
            }
        }
        close(go[0]);
        close(go[1]);
        for (int i = 0; i < THREADS; i++) {
            int status = -1;
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
            winners += WEXITSTATUS(status) == 0;
        }
        assert_int_equal(winners, 1);
        vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
        PT_OK(vc_pod_delete(ctx, "same", VC_FORCE, &err));
        vc_context_free(ctx);
        pt_nothing_left();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_context),
        cmocka_unit_test(test_cancel_many),
        cmocka_unit_test(test_processes),
    };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
