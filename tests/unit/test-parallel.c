/* SPDX-License-Identifier: Apache-2.0 */
/* test-parallel.c: many threads on as many pods, many processes on one pod, and lookers beside an operation that takes
 * long: no lock is held across a boot but the pod's own, whoever waits for that is told who holds it, and looking waits
 * for nothing.  Meant to be run under the thread sanitizer too. */
#include "podtest.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <time.h>

#define THREADS   64
#define PROCESSES 8
#define ROUNDS    40

static vc_context *shared;
static atomic_int odd;

static void complain(const char *what, int rc, vc_error *err)
{
    print_error("%s: %s: %s\n", what, vc_error_name(rc), vc_error_text(err));
    atomic_fetch_add(&odd, 1);
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- 64 threads, 64 pods ---- */

/* A whole life of a pod, with everything that the mock stack can do. */
static int live(vc_context *ctx, const char *id, vc_error **err)
{
    static const char *const pairs[] = { "key=value", NULL };
    struct pt_pod p;
    struct vc_pod_status *s = NULL;
    char *value = NULL;
    int rc = vc_pod_create(ctx, pt_pod(&p, id, 2), NULL, err);
    if (rc == 0)
        rc = vc_pod_start(ctx, id, err);
    if (rc == 0)
        rc = vc_pod_set_annotations(ctx, id, pairs, err);
    if (rc == 0)
        rc = vc_pod_annotation(ctx, id, "key", &value, err);
    free(value);
    if (rc == 0)
        rc = vc_pod_pause(ctx, id, err);
    if (rc == 0)
        rc = vc_pod_resume(ctx, id, err);
    if (rc == 0)
        rc = vc_pod_status(ctx, id, &s, err);
    if (rc == 0 && strcmp(s->state, "running") != 0)
        rc = 1;
    vc_pod_status_free(s);
    if (rc == 0)
        rc = vc_container_stop(ctx, id, "c1", 0, err);
    if (rc == 0)
        rc = vc_container_delete(ctx, id, "c1", 0, err);
    if (rc == 0)
        rc = vc_pod_stop(ctx, id, 0, err);
    return rc ? rc : vc_pod_delete(ctx, id, 0, err);
}

static void *work(void *arg)
{
    char id[32];
    for (int i = 0; i < 4; i++) {
        vc_error *err = NULL;
        PT_PATH(id, "t%d-%d", *(int *)arg, i);
        int rc = live(shared, id, &err);
        if (rc)
            complain(id, rc, err);
        vc_error_free(err);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t t[THREADS];
    int n[THREADS];
    shared = pt_context("mock", NULL, NULL, NULL, NULL);
    for (int i = 0; i < THREADS; i++) {
        n[i] = i;
        assert_int_equal(pthread_create(&t[i], NULL, work, &n[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(atomic_exchange(&odd, 0), 0);
    pt_nothing_left();
    vc_context_free(shared);
}

/* ---- boots that all go on at once ---- */

static void *boot(void *arg)
{
    struct pt_pod p;
    char id[32];
    vc_error *err = NULL;
    PT_PATH(id, "slow-%d", *(int *)arg);
    int rc = vc_pod_run(shared, pt_pod(&p, id, 0), NULL, &err);
    if (rc != VC_ERR_CANCELLED)
        complain(id, rc, err);
    vc_error_free(err);
    return NULL;
}

static size_t making(vc_context *ctx)
{
    struct vc_pod_status **list = NULL;
    size_t n = 0, found = 0;
    PT_OK(vc_pod_list(ctx, &list, &n, &err));
    for (size_t i = 0; i < n; i++)
        found += strstr(list[i]->reason, "is going on (run, by process ") != NULL;
    vc_pod_list_free(list, n);
    return found;
}

/* None of the boots ends by itself, and still all of them are under way together, which they would not be if one waited
 * for another; a looker sees each of them; a pod that is made meanwhile is not held up. */
static void test_boots(void **state)
{
    (void)state;
    enum { N = 16 };
    pthread_t t[N];
    int n[N];
    shared = pt_context("faulty", "agent_faulty.wait=connect", NULL, NULL, NULL);
    vc_context *other = pt_context("mock", NULL, NULL, NULL, NULL);
    for (int i = 0; i < N; i++) {
        n[i] = i;
        assert_int_equal(pthread_create(&t[i], NULL, boot, &n[i]), 0);
    }
    int64_t limit = now_ms() + 60000;
    while (making(other) < N && now_ms() < limit)
        sched_yield();
    assert_int_equal(making(other), N);
    vc_error *err = NULL;
    int rc = live(other, "quick", &err);
    if (rc)
        complain("quick", rc, err);
    vc_context_cancel(shared);
    for (int i = 0; i < N; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(atomic_exchange(&odd, 0), 0);
    pt_nothing_left();
    vc_context_free(shared);
    vc_context_free(other);
}

/* ---- one pod whose lock another process holds ---- */

static int operation(vc_context *ctx, int what, vc_error **err)
{
    static const char *const pairs[] = { "a=b", NULL };
    struct pt_pod p;
    struct vc_resources r;
    VC_INIT(&r);
    r.memory_limit = 64 << 20;
    pt_pod(&p, NULL, 2);
    switch (what) {
    case 0: return vc_pod_start(ctx, "held", err);
    case 1: return vc_pod_stop(ctx, "held", VC_FORCE, err);
    case 2: return vc_pod_delete(ctx, "held", VC_FORCE, err);
    case 3: return vc_pod_pause(ctx, "held", err);
    case 4: return vc_pod_resume(ctx, "held", err);
    case 5: return vc_pod_set_annotations(ctx, "held", pairs, err);
    case 6: return vc_container_create(ctx, "held", &p.ctr[1], NULL, err);
    case 7: return vc_container_start(ctx, "held", "c0", err);
    case 8: return vc_container_delete(ctx, "held", "c0", VC_FORCE, err);
    case 9: return vc_container_exec(ctx, "held", "c0", &p.process, NULL, NULL, err);
    case 10: return vc_container_update(ctx, "held", "c0", &r, err);
    case 11: return vc_container_pause(ctx, "held", "c0", err);
    case 12: return vc_container_resume(ctx, "held", "c0", err);
    case 13: return vc_container_stop(ctx, "held", "c0", -1, err); /* its process is ended, but it cannot be written down */
    case 14: return vc_pod_enter(ctx, "held", &p.process, NULL, NULL, err);
    default: return vc_container_set_pid(ctx, "held", "c0", getppid(), err);
    }
}

static char held_by[64];

static void *wait_in_vain(void *arg)
{
    vc_error *err = NULL;
    int rc = operation(shared, *(int *)arg, &err);
    if (rc != VC_ERR_TIMEOUT || !strstr(vc_error_text(err), held_by)) {
        print_error("operation %d: ", *(int *)arg);
        complain(held_by, rc, err);
    }
    vc_error_free(err);
    return NULL;
}

/* What only looks, or changes nothing that is recorded: for it there is no lock. */
static void look_around(void)
{
    struct vc_container_status **list = NULL;
    struct vc_container_stats *stats = NULL;
    vc_events *events = NULL;
    char *text = NULL, **texts = NULL;
    size_t n = 0;
    int32_t status = -1;
    PT_OK(vc_container_list(shared, "held", &list, &n, &err));
    assert_int_equal(n, 1);
    vc_container_list_free(list, n);
    PT_OK(vc_pod_annotations(shared, "held", &texts, &err));
    vc_strv_free(texts);
    PT_FAILS(VC_ERR_NOTFOUND, "nothing", vc_pod_annotation(shared, "held", "nothing", &text, &err));
    PT_OK(vc_container_annotations(shared, "held", "c0", &texts, &err));
    vc_strv_free(texts);
    PT_OK(vc_pod_console(shared, "held", &text, &err));
    free(text);
    PT_OK(vc_container_ps(shared, "held", "c0", NULL, &text, &err));
    free(text);
    PT_OK(vc_container_stats(shared, "held", "c0", &stats, &err));
    vc_container_stats_free(stats);
    PT_OK(vc_container_kill(shared, "held", "c0", NULL, SIGUSR1, 0, &err));
    PT_OK(vc_container_wait(shared, "held", "c0", NULL, 0, &status, &err)); /* this agent says that it has ended */
    PT_OK(vc_events_open(shared, "held", &events, &err));
    vc_events_close(events);
}

static void test_held(void **state)
{
    (void)state;
    enum { N = 16 };
    struct pt_pod p;
    pthread_t t[N];
    int n[N], ready[2];
    shared = pt_context("faulty", "call_timeout=1", NULL, NULL, NULL);
    PT_OK(vc_pod_run(shared, pt_pod(&p, "held", 1), NULL, &err));
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t holder = fork();
    assert_true(holder >= 0);
    if (holder == 0) {
        char path[PATH_MAX + 64];
        PT_PATH(path, "%s/state/pods/held", pt_root);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || flock(fd, LOCK_EX) < 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char c;
    assert_int_equal(read(ready[0], &c, 1), 1);
    PT_PATH(held_by, "its lock is held by pid %d (", (int)holder);
    for (int i = 0; i < N; i++) {
        n[i] = i;
        assert_int_equal(pthread_create(&t[i], NULL, wait_in_vain, &n[i]), 0);
    }
    /* Meanwhile everybody can look, and is done before the first of these has given up. */
    struct vc_pod_status *s = NULL, **list = NULL;
    struct vc_container_status *cs = NULL;
    size_t found = 0, removed = 9;
    int64_t began = now_ms();
    PT_OK(vc_pod_status(shared, "held", &s, &err));
    assert_string_equal(s->state, "running");
    vc_pod_status_free(s);
    PT_OK(vc_pod_list(shared, &list, &found, &err));
    assert_int_equal(found, 1);
    vc_pod_list_free(list, found);
    PT_OK(vc_container_status(shared, "held", "c0", &cs, &err));
    vc_container_status_free(cs);
    PT_OK(vc_gc(shared, NULL, NULL, &removed, &err));
    assert_int_equal(removed, 0);
    look_around();
    assert_in_range(now_ms() - began, 0, 900);
    for (int i = 0; i < N; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(atomic_exchange(&odd, 0), 0);
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    close(ready[0]);
    close(ready[1]);
    PT_OK(vc_pod_delete(shared, "held", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(shared);
}

/* ---- many processes, one id ---- */

/* What can happen to one of them when the others do what they do. */
static int allowed(int rc)
{
    return rc == 0 || rc == VC_ERR_EXISTS || rc == VC_ERR_NOTFOUND || rc == VC_ERR_STATE;
}

static int hammer(int n)
{
    struct pt_pod p;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        vc_error *err = NULL;
        struct vc_pod_status *s = NULL, **list = NULL;
        size_t found = 0;
        int rc = 0;
        switch ((i + n) % 5) {
        case 0: rc = vc_pod_run(ctx, pt_pod(&p, "one", 2), NULL, &err); break;
        case 1: rc = vc_pod_delete(ctx, "one", VC_FORCE, &err); break;
        case 2: rc = vc_pod_stop(ctx, "one", 0, &err); break;
        case 3: rc = vc_pod_create(ctx, pt_pod(&p, "one", 1), NULL, &err); break;
        default: rc = vc_pod_start(ctx, "one", &err);
        }
        if (!allowed(rc)) {
            print_error("process %d, round %d: %s: %s\n", n, i, vc_error_name(rc), vc_error_text(err));
            return 2;
        }
        vc_error_free(err);
        err = NULL;
        rc = vc_pod_status(ctx, "one", &s, &err);
        /* What goes on is named, and nothing half-made is ever shown as broken. */
        if ((rc < 0 && rc != VC_ERR_NOTFOUND) || (rc == 0 && strcmp(s->state, "broken") == 0)) {
            print_error("process %d, round %d: status: %s %s\n", n, i, vc_error_text(err), s ? s->reason : "");
            return 3;
        }
        vc_pod_status_free(s);
        vc_error_free(err);
        err = NULL;
        if (vc_pod_list(ctx, &list, &found, &err) < 0 || found > 1) {
            print_error("process %d, round %d: list: %zu %s\n", n, i, found, vc_error_text(err));
            return 4;
        }
        vc_pod_list_free(list, found);
    }
    vc_context_free(ctx);
    return 0;
}

static void test_processes(void **state)
{
    (void)state;
    pid_t pids[PROCESSES];
    int go[2];
    char c;
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            close(go[1]);
            _exit(read(go[0], &c, 1) == 0 ? hammer(i) : 9); /* all begin when the parent closes its end */
        }
    }
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    size_t removed = 9;
    PT_OK(vc_gc(ctx, NULL, NULL, &removed, &err)); /* none of them was killed */
    assert_int_equal(removed, 0);
    vc_pod_delete(ctx, "one", VC_FORCE, NULL);
    pt_nothing_left();
    vc_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_boots),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_processes),
    };
    if (getenv("PT_ONLY"))
        cmocka_set_test_filter(getenv("PT_ONLY"));
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
