/* SPDX-License-Identifier: Apache-2.0 */
/* test-embed.c: the library inside a program that lives long: cancelling, signals, pipes without readers, children
 * that somebody else reaps, careless arguments. */
#include "podtest.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

/* ---- cancelling ---- */

struct job {
    vc_context *ctx;
    const char *pod;
    int what;
    int rc;
    vc_error *err;
    pthread_t thread;
};
enum { RUN, START, WAIT };

static void *do_job(void *arg)
{
    struct job *j = arg;
    struct pt_pod p;
    int32_t status = -1;
    if (j->what == RUN)
        j->rc = vc_pod_run(j->ctx, pt_pod(&p, j->pod, 1), NULL, &j->err);
    else if (j->what == START)
        j->rc = vc_pod_start(j->ctx, j->pod, &j->err);
    else
        j->rc = vc_container_wait(j->ctx, j->pod, "c0", NULL, -1, &status, &j->err);
    return NULL;
}

/* Read the log until it holds the words. */
static void await_log(int fd, const char *words)
{
    char text[65536];
    size_t n = 0;
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, 20000) != 1)
            fail_msg("\"%s\" was never logged", words);
        ssize_t r = read(fd, text + n, sizeof text - 1 - n);
        assert_true(r > 0);
        n += (size_t)r;
        text[n] = '\0';
        if (strstr(text, words))
            return;
    }
}

static void cancel_in(const char *setting, const char *waits, int what)
{
    int log[2];
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    pt_log_fd = log[1];
    vc_context *ctx = pt_context("faulty", setting, "hypervisor_faulty.process=true", "shim_faulty.process=true",
                                 "hypervisor_faulty.share=true");
    pt_log_fd = 0;
    struct job j = { .ctx = ctx, .pod = "c", .what = what };
    if (what == START) {
        struct pt_pod p;
        pt_pod(&p, "c", 1);
        p.pod.flags = VC_POD_DEFER_VM;
        PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    }
    assert_int_equal(pthread_create(&j.thread, NULL, do_job, &j), 0);
    await_log(log[0], waits);
    vc_context_cancel(ctx);
    pthread_join(j.thread, NULL);
    assert_int_equal(j.rc, VC_ERR_CANCELLED);
    assert_non_null(strstr(vc_error_text(j.err), "cancelled"));
    vc_error_free(j.err);
    close(log[1]);
    close(log[0]);
    if (what == START) {
        struct vc_pod_status *s = NULL;
        PT_OK(vc_pod_status(ctx, "c", &s, &err));
        assert_string_equal(s->state, "stopped");
        vc_pod_status_free(s);
        PT_OK(vc_pod_delete(ctx, "c", 0, &err)); /* by the context that was cancelled */
    }
    pt_nothing_left();
    vc_context_free(ctx);
}

static void test_cancel(void **state)
{
    (void)state;
    cancel_in("hypervisor_faulty.wait=vm_start", "vm_start waits", RUN);
    cancel_in("agent_faulty.wait=connect", "connect waits", RUN);
    cancel_in("agent_faulty.wait=ctr_create", "ctr_create waits", RUN);
    cancel_in("agent_faulty.wait=ctr_start", "ctr_start waits", RUN);
    cancel_in("network_faulty.wait=setup", "setup waits", RUN);
    cancel_in("agent_faulty.wait=connect", "connect waits", START);
}

/* A process of this stack is its shim; the agent's signals go nowhere. */
static void end_process(vc_context *ctx, const char *pod)
{
    struct vc_container_status *s = NULL;
    PT_OK(vc_container_status(ctx, pod, "c0", &s, &err));
    assert_true(s->pid > 0);
    assert_int_equal(kill(s->pid, SIGKILL), 0);
    vc_container_status_free(s);
    PT_OK(vc_container_wait(ctx, pod, "c0", NULL, 10000, NULL, &err));
}

/* Cancelled before: nothing that waits is begun any more, and everything else works. */
static void test_cancelled_before(void **state)
{
    (void)state;
    struct pt_pod p;
    vc_context *other = pt_context("faulty", "shim_faulty.process=true", NULL, NULL, NULL);
    vc_context *ctx = pt_context("faulty", "shim_faulty.process=true", NULL, NULL, NULL);
    PT_OK(vc_pod_run(other, pt_pod(&p, "old", 1), NULL, &err));
    vc_context_cancel(ctx);
    vc_context_cancel(ctx);
    PT_FAILS(VC_ERR_CANCELLED, "cancelled", vc_pod_run(ctx, pt_pod(&p, "new", 1), NULL, &err));
    PT_FAILS(VC_ERR_CANCELLED, "cancelled", vc_container_wait(ctx, "old", "c0", NULL, -1, NULL, &err));
    PT_OK(vc_container_kill(ctx, "old", "c0", NULL, SIGTERM, 0, &err));
    end_process(other, "old");
    PT_OK(vc_pod_stop(ctx, "old", 0, &err));
    PT_OK(vc_pod_delete(ctx, "old", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
    vc_context_free(other);
}

static void test_cancel_wait(void **state)
{
    (void)state;
    struct pt_pod p;
    vc_context *ctx = pt_context("faulty", "shim_faulty.process=true", NULL, NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "w", 1), NULL, &err));
    struct job j = { .ctx = ctx, .pod = "w", .what = WAIT };
    assert_int_equal(pthread_create(&j.thread, NULL, do_job, &j), 0);
    vc_context_cancel(ctx);
    pthread_join(j.thread, NULL);
    assert_int_equal(j.rc, VC_ERR_CANCELLED);
    vc_error_free(j.err);
    PT_OK(vc_pod_delete(ctx, "w", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* ---- stopping what does not answer ---- */

static int64_t seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

/* Neither a guest that does not answer nor a process that outlives SIGKILL is waited for as long as there is time: the
 * VM is ended, and with it all that is in it. */
static void stop_takes(const char *a, const char *b, int64_t most)
{
    struct pt_pod p;
    vc_context *good = pt_context("faulty", "shim_faulty.process=true", "hypervisor_faulty.process=true", NULL, NULL);
    vc_context *ctx = pt_context("faulty", "shim_faulty.process=true", "hypervisor_faulty.process=true", a, b);
    PT_OK(vc_pod_run(good, pt_pod(&p, "mute", 2), NULL, &err));
    int64_t began = seconds();
    PT_OK(vc_pod_stop(ctx, "mute", 0, &err));
    assert_in_range(seconds() - began, 0, most);
    PT_OK(vc_pod_delete(ctx, "mute", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
    vc_context_free(good);
}

static void test_stop_silent(void **state)
{
    (void)state;
    stop_takes("agent_faulty.fail=signal", "agent_faulty.code=-8", 8);
    stop_takes("stop_timeout=1", NULL, 20);
}

/* ---- the program around ---- */

/* A log whose reader is gone must not end the program, and leaves no signal pending. */
static void test_log_without_reader(void **state)
{
    (void)state;
    struct pt_pod p;
    int log[2];
    sigset_t pending;
    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    close(log[0]);
    pt_log_fd = log[1];
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    pt_log_fd = 0;
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "quiet", 1), NULL, &err));
    PT_OK(vc_pod_delete(ctx, "quiet", VC_FORCE, &err));
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGPIPE));
    close(log[1]);
    pt_nothing_left();
    vc_context_free(ctx);
}

/* Children are not ours to wait for: SIGCHLD is ignored. */
static void test_sigchld_ignored(void **state)
{
    (void)state;
    struct pt_pod p;
    int32_t status = -1;
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", NULL, NULL);
    signal(SIGCHLD, SIG_IGN);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "alone", 1), NULL, &err));
    PT_FAILS(VC_ERR_TIMEOUT, "did not end", vc_container_wait(ctx, "alone", "c0", NULL, 10, &status, &err));
    struct vc_container_status *s = NULL;
    PT_OK(vc_container_status(ctx, "alone", "c0", &s, &err));
    assert_int_equal(kill(s->pid, SIGKILL), 0);
    vc_container_status_free(s);
    PT_OK(vc_container_wait(ctx, "alone", "c0", NULL, INT64_MAX, &status, &err));
    assert_int_equal(status, 255); /* nobody can know how it ended */
    PT_OK(vc_pod_delete(ctx, "alone", VC_FORCE, &err));
    signal(SIGCHLD, SIG_DFL);
    pt_nothing_left();
    vc_context_free(ctx);
}

/* Without descriptors 0 to 2: what the library opens gets their numbers. */
static void test_low_descriptors(void **state)
{
    (void)state;
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct pt_pod p;
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", NULL, NULL);
        int rc = vc_pod_run(ctx, pt_pod(&p, "low", 1), NULL, NULL);
        int end = vc_pod_delete(ctx, "low", VC_FORCE, NULL);
        vc_context_free(ctx);
        /* Nothing was left open either. */
        _exit(rc < 0 ? 1 : end < 0 ? 2 : fcntl(0, F_GETFD) >= 0 || fcntl(1, F_GETFD) >= 0 ? 3 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    pt_nothing_left();
}

static size_t open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    size_t n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* No operation, failed or not, leaves a descriptor behind. */
static void test_descriptors(void **state)
{
    (void)state;
    static const char *const faults[] = { "agent_faulty.fail=connect", "agent_faulty.fail=ctr_start",
                                          "shim_faulty.fail=start", "hypervisor_faulty.fail=pids",
                                          "network_faulty.fail=create", "proxy_faulty.fail=save" };
    size_t before = open_fds();
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct pt_pod p;
        vc_context *ctx = pt_context("faulty", faults[i], "hypervisor_faulty.process=true", NULL, NULL);
        assert_true(vc_pod_run(ctx, pt_pod(&p, "fds", 2), NULL, NULL) < 0);
        vc_context_free(ctx);
        pt_nothing_left();
    }
    assert_int_equal(open_fds(), before);
}

/* Structs without VC_INIT, and numbers that overflow. */
static void test_careless(void **state)
{
    (void)state;
    struct pt_pod p;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    pt_pod(&p, "x", 1);
    p.pod.size = 0;
    PT_FAILS(VC_ERR_INVAL, "VC_INIT", vc_pod_run(ctx, &p.pod, NULL, &err));
    pt_pod(&p, "x", 1);
    p.ctr[0].size = 4;
    PT_FAILS(VC_ERR_INVAL, "vc_container_config", vc_pod_run(ctx, &p.pod, NULL, &err));
    pt_pod(&p, "x", 1);
    p.process.size = 4;
    PT_FAILS(VC_ERR_INVAL, "vc_process_config", vc_pod_run(ctx, &p.pod, NULL, &err));
    PT_FAILS(VC_ERR_INVAL, "missing", vc_pod_delete(ctx, NULL, 0, &err));
    pt_nothing_left();
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "x", 1), NULL, &err));
    PT_FAILS(VC_ERR_INVAL, "missing", vc_container_stop(ctx, "x", NULL, 0, &err));
    PT_OK(vc_container_stop(ctx, "x", "c0", INT64_MAX, &err));
    PT_FAILS(VC_ERR_NOTFOUND, "no pod", vc_container_stop(ctx, "y", "c0", INT64_MIN, &err));
    PT_OK(vc_pod_delete(ctx, "x", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancelled_before),
        cmocka_unit_test(test_cancel_wait),
        cmocka_unit_test(test_stop_silent),
        cmocka_unit_test(test_log_without_reader),
        cmocka_unit_test(test_sigchld_ignored),
        cmocka_unit_test(test_low_descriptors),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_careless),
    };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
