/* SPDX-License-Identifier: Apache-2.0 */
/* test-pod.c: pods and containers through the public API, without a VM: states, errors, and what is left. */
#include "podtest.h"

#include <pthread.h>
#include <signal.h>

static void assert_state(vc_context *ctx, const char *pod, const char *state)
{
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, pod, &s, &err));
    assert_string_equal(s->state, state);
    vc_pod_status_free(s);
}

static void assert_ctr(vc_context *ctx, const char *pod, const char *ctr, const char *state, int exit_status)
{
    struct vc_container_status *s = NULL;
    PT_OK(vc_container_status(ctx, pod, ctr, &s, &err));
    assert_string_equal(s->state, state);
    assert_int_equal(s->exit_status, exit_status);
    vc_container_status_free(s);
}

/* A proxy that was killed: the VM runs, and can be used for nothing.  Looking at it says so, and waits for nothing. */
static void test_proxy_killed(void **state)
{
    (void)state;
    struct pt_pod p;
    struct vc_pod_status *s = NULL;
    char *json = NULL;
    int32_t proxy;
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true",
                                 "proxy_faulty.process=true", NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "cut", 1), NULL, &err));
    PT_OK(vc_pod_status(ctx, "cut", &s, &err));
    assert_string_equal(s->state, "running");
    assert_string_equal(s->reason, "");
    proxy = s->proxy_pid;
    assert_true(proxy > 0 && proxy != s->vmm_pid);
    vc_pod_status_free(s);
    assert_int_equal(kill(proxy, SIGKILL), 0);
    siginfo_t si;
    assert_int_equal(waitid(P_PID, (id_t)proxy, &si, WEXITED | WNOWAIT), 0); /* a zombie is gone, too */
    PT_OK(vc_pod_status(ctx, "cut", &s, &err));
    assert_string_equal(s->state, "broken");
    assert_non_null(strstr(s->reason, "its proxy (process "));
    assert_int_equal(s->proxy_pid, 0);
    assert_true(s->vmm_pid > 0);
    PT_OK(vc_pod_status_json(s, &json, &err));
    assert_non_null(strstr(json, "\"proxy_pid\":0"));
    assert_non_null(strstr(json, "\"state\":\"broken\",\"reason\":\"its proxy"));
    free(json);
    vc_pod_status_free(s);
    PT_OK(vc_pod_stop(ctx, "cut", 0, &err));
    assert_state(ctx, "cut", "stopped");
    PT_OK(vc_pod_start(ctx, "cut", &err));
    assert_state(ctx, "cut", "running");
    PT_OK(vc_pod_delete(ctx, "cut", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

static void test_life(void **state)
{
    (void)state;
    struct pt_pod p;
    char *id = NULL, *json = NULL;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "life", 3), &id, &err));
    assert_string_equal(id, "life");
    free(id);
    assert_state(ctx, "life", "ready");
    assert_ctr(ctx, "life", "c2", "ready", -1);
    PT_OK(vc_pod_start(ctx, "life", &err));
    assert_state(ctx, "life", "running");
    PT_FAILS(VC_ERR_STATE, "running", vc_pod_start(ctx, "life", &err));
    PT_FAILS(VC_ERR_STATE, "running", vc_pod_delete(ctx, "life", 0, &err));
    assert_state(ctx, "life", "running");
    PT_OK(vc_pod_stop(ctx, "life", 0, &err));
    PT_OK(vc_pod_stop(ctx, "life", 0, &err));
    assert_state(ctx, "life", "stopped");
    PT_OK(vc_pod_start(ctx, "life", &err));
    assert_ctr(ctx, "life", "c0", "running", -1);
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, "life", &s, &err));
    assert_int_equal(s->n_containers, 3);
    assert_string_equal(s->hypervisor, "mock");
    PT_OK(vc_pod_status_json(s, &json, &err));
    assert_non_null(strstr(json, "\"state\":\"running\""));
    free(json);
    vc_pod_status_free(s);
    PT_OK(vc_pod_delete(ctx, "life", VC_FORCE, &err));
    PT_FAILS(VC_ERR_NOTFOUND, "life", vc_pod_delete(ctx, "life", 0, &err));
    PT_FAILS(VC_ERR_NOTFOUND, "life", vc_pod_status(ctx, "life", &s, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

static void test_delete_ready_and_made_ids(void **state)
{
    (void)state;
    struct pt_pod p;
    char *a = NULL, *b = NULL;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_create(ctx, pt_pod(&p, NULL, 0), &a, &err));
    PT_OK(vc_pod_run(ctx, pt_pod(&p, NULL, 1), &b, &err));
    assert_int_equal(strlen(a), 12);
    assert_string_not_equal(a, b);
    struct vc_pod_status **list = NULL;
    size_t n = 0;
    PT_OK(vc_pod_list(ctx, &list, &n, &err));
    assert_int_equal(n, 2);
    assert_true(strcmp(list[0]->id, list[1]->id) < 0);
    vc_pod_list_free(list, n);
    assert_state(ctx, b, "running");
    PT_OK(vc_pod_delete(ctx, a, 0, &err));
    PT_OK(vc_pod_delete(ctx, b, VC_FORCE, &err));
    free(a);
    free(b);
    pt_nothing_left();
    vc_context_free(ctx);
}

static void test_bad_input(void **state)
{
    (void)state;
    static const char *const ids[] = { "", ".", "..", "a/b", "../x", "a b", "-x", "\xc3\xa4", "a\nb" };
    char longid[202], file[PATH_MAX + 128];
    struct pt_pod p;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    struct vc_pod_status *s = NULL;
    memset(longid, 'a', 200);
    longid[200] = '\0';
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        PT_FAILS(VC_ERR_INVAL, "id", vc_pod_create(ctx, pt_pod(&p, ids[i], 0), NULL, &err));
        PT_FAILS(VC_ERR_INVAL, "id", vc_pod_delete(ctx, ids[i], VC_FORCE, &err));
        PT_FAILS(VC_ERR_INVAL, "id", vc_pod_status(ctx, ids[i], &s, &err));
        pt_pod(&p, "bad", 1);
        p.ctr[0].id = ids[i];
        PT_FAILS(VC_ERR_INVAL, "container id", vc_pod_create(ctx, &p.pod, NULL, &err));
    }
    PT_FAILS(VC_ERR_INVAL, "id", vc_pod_create(ctx, pt_pod(&p, longid, 0), NULL, &err));
    pt_pod(&p, "bad", 1);
    p.ctr[0].rootfs = "/does/not/exist";
    PT_FAILS(VC_ERR_NOTFOUND, "/does/not/exist", vc_pod_create(ctx, &p.pod, NULL, &err));
    PT_PATH(file, "%s/vccore.conf", pt_root);
    p.ctr[0].rootfs = file;
    PT_FAILS(VC_ERR_INVAL, "not a directory", vc_pod_create(ctx, &p.pod, NULL, &err));
    p.ctr[0].rootfs = NULL;
    PT_FAILS(VC_ERR_INVAL, "root file system", vc_pod_create(ctx, &p.pod, NULL, &err));
    pt_pod(&p, "bad", 1);
    p.ctr[0].process = NULL;
    PT_FAILS(VC_ERR_INVAL, "no process", vc_pod_create(ctx, &p.pod, NULL, &err));
    pt_pod(&p, "bad", 1);
    p.process.args = NULL;
    PT_FAILS(VC_ERR_INVAL, "no program", vc_pod_create(ctx, &p.pod, NULL, &err));
    pt_pod(&p, "bad", 2);
    p.ctr[1].id = "c0";
    PT_FAILS(VC_ERR_EXISTS, "c0", vc_pod_create(ctx, &p.pod, NULL, &err));
    pt_pod(&p, "bad", 0);
    p.pod.hostname = "not a host";
    PT_FAILS(VC_ERR_INVAL, "host name", vc_pod_create(ctx, &p.pod, NULL, &err));
    PT_FAILS(VC_ERR_INVAL, "configuration", vc_pod_create(ctx, NULL, NULL, &err));
    assert_int_equal(vc_pod_create(ctx, NULL, NULL, NULL), VC_ERR_INVAL);
    pt_nothing_left();
    vc_context_free(ctx);
}

static void test_taken(void **state)
{
    (void)state;
    struct pt_pod p;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "taken", 1), NULL, &err));
    PT_FAILS(VC_ERR_EXISTS, "taken", vc_pod_create(ctx, pt_pod(&p, "taken", 0), NULL, &err));
    pt_pod(&p, "x", 1);
    PT_FAILS(VC_ERR_EXISTS, "c0", vc_container_create(ctx, "taken", &p.ctr[0], NULL, &err));
    assert_state(ctx, "taken", "running");
    assert_ctr(ctx, "taken", "c0", "running", -1);
    PT_OK(vc_pod_delete(ctx, "taken", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

static void test_containers(void **state)
{
    (void)state;
    struct pt_pod p;
    char *id = NULL;
    struct vc_container_status *s = NULL;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "pod", 0), NULL, &err));
    pt_pod(&p, NULL, 2);
    PT_OK(vc_container_create(ctx, "pod", &p.ctr[0], &id, &err));
    assert_string_equal(id, "c0");
    free(id);
    PT_FAILS(VC_ERR_STATE, "ready and must be running", vc_container_start(ctx, "pod", "c0", &err));
    assert_ctr(ctx, "pod", "c0", "ready", -1);
    PT_OK(vc_pod_start(ctx, "pod", &err));
    assert_ctr(ctx, "pod", "c0", "running", -1);
    PT_OK(vc_container_create(ctx, "pod", &p.ctr[1], NULL, &err));
    assert_ctr(ctx, "pod", "c1", "ready", -1);
    PT_FAILS(VC_ERR_STATE, "must be running", vc_container_exec(ctx, "pod", "c1", &p.process, NULL, NULL, &err));
    PT_OK(vc_container_start(ctx, "pod", "c1", &err));
    PT_FAILS(VC_ERR_STATE, "running and must be ready", vc_container_start(ctx, "pod", "c1", &err));
    PT_FAILS(VC_ERR_STATE, "stop it first", vc_container_delete(ctx, "pod", "c1", 0, &err));
    PT_OK(vc_container_stop(ctx, "pod", "c1", -1, &err));
    PT_OK(vc_container_stop(ctx, "pod", "c1", -1, &err));
    assert_ctr(ctx, "pod", "c1", "stopped", 137);
    PT_OK(vc_container_start(ctx, "pod", "c1", &err));
    assert_ctr(ctx, "pod", "c1", "running", -1);
    PT_OK(vc_container_stop(ctx, "pod", "c1", -1, &err));
    PT_FAILS(VC_ERR_STATE, "stopped", vc_container_kill(ctx, "pod", "c1", NULL, 15, 0, &err));
    int32_t status = -1;
    PT_OK(vc_container_wait(ctx, "pod", "c1", NULL, 0, &status, &err));
    assert_int_equal(status, 137);
    PT_OK(vc_container_delete(ctx, "pod", "c1", 0, &err));
    PT_FAILS(VC_ERR_NOTFOUND, "c1", vc_container_status(ctx, "pod", "c1", &s, &err));
    PT_FAILS(VC_ERR_NOTFOUND, "c1", vc_container_delete(ctx, "pod", "c1", VC_FORCE, &err));
    PT_FAILS(VC_ERR_INVAL, "signal", vc_container_kill(ctx, "pod", "c0", NULL, 0, 0, &err));
    PT_FAILS(VC_ERR_STATE, "no terminal", vc_container_resize(ctx, "pod", "c0", NULL, 24, 80, &err));
    PT_FAILS(VC_ERR_NOTFOUND, "nobody", vc_container_wait(ctx, "pod", "c0", "nobody", 0, &status, &err));
    PT_OK(vc_container_delete(ctx, "pod", "c0", VC_FORCE, &err));
    PT_OK(vc_pod_stop(ctx, "pod", 0, &err));
    PT_FAILS(VC_ERR_STATE, "stopped", vc_container_create(ctx, "pod", &p.ctr[0], NULL, &err));
    PT_OK(vc_pod_delete(ctx, "pod", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

static void test_deferred(void **state)
{
    (void)state;
    struct pt_pod p;
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", NULL, NULL);
    pt_pod(&p, "later", 1);
    p.pod.flags = VC_POD_DEFER_VM;
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    assert_int_equal(pt_children(), 0);
    assert_state(ctx, "later", "ready");
    PT_OK(vc_pod_start(ctx, "later", &err));
    assert_int_equal(pt_children(), 2);
    assert_ctr(ctx, "later", "c0", "running", -1);
    PT_OK(vc_pod_stop(ctx, "later", VC_FORCE, &err));
    assert_int_equal(pt_children(), 0);
    PT_OK(vc_pod_delete(ctx, "later", 0, &err));
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    PT_OK(vc_pod_delete(ctx, "later", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* Whichever member fails: one sentence that names it, and nothing is left. */
static void test_rollback(void **state)
{
    (void)state;
    static const char *const fails[][2] = {
        { "network", "create" },
        { "network", "setup" },
        { "hypervisor", "create" },
        { "hypervisor", "vm_create" },
        { "hypervisor", "vm_start" },
        { "hypervisor", "pids" },
        { "hypervisor", "agent_endpoint" },
        { "proxy", "create" },
        { "proxy", "start" },
        { "agent", "create" },
        { "agent", "connect" },
        { "agent", "sandbox_create" },
        { "agent", "ctr_create" },
        { "agent", "save" },
        { "shim", "create" },
        { "shim", "start" },
        { "shim", "save" },
        { "agent", "ctr_start" },
    };
    char order[64];
    const char *share = geteuid() == 0 ? "hypervisor_faulty.share=true" : "hypervisor_faulty.share=false";
    for (size_t i = 0; i < sizeof fails / sizeof *fails; i++) {
        struct pt_pod p;
        PT_PATH(order, "%s_faulty.fail=%s", fails[i][0], fails[i][1]);
        vc_context *ctx =
            pt_context("faulty", order, "hypervisor_faulty.process=true", "shim_faulty.process=true", share);
        PT_FAILS(VC_ERR_IO, fails[i][1], vc_pod_run(ctx, pt_pod(&p, "undone", 2), NULL, &err));
        pt_nothing_left();
        vc_context_free(ctx);
    }
}

/* Ending a pod goes on when something on the way fails. */
static void test_stop_in_spite(void **state)
{
    (void)state;
    static const char *const fails[] = {
        "hypervisor_faulty.fail=vm_stop", "hypervisor_faulty.fail=cleanup", "agent_faulty.fail=sandbox_destroy",
        "agent_faulty.fail=connect",      "agent_faulty.fail=create",       "proxy_faulty.fail=stop",
        "network_faulty.fail=teardown",
    };
    vc_context *good = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true",
                                  "proxy_faulty.process=true", NULL);
    for (size_t i = 0; i < sizeof fails / sizeof *fails; i++) {
        struct pt_pod p;
        vc_context *bad = pt_context("faulty", fails[i], "stop_timeout=1", NULL, NULL);
        PT_OK(vc_pod_run(good, pt_pod(&p, "stubborn", 1), NULL, &err));
        assert_int_equal(pt_children(), 3);
        PT_OK(vc_pod_stop(bad, "stubborn", VC_FORCE, &err));
        assert_int_equal(pt_children(), 0);
        PT_OK(vc_pod_delete(bad, "stubborn", 0, &err));
        pt_nothing_left();
        vc_context_free(bad);
    }
    vc_context_free(good);
}

static int vmm_of(vc_context *ctx, const char *pod)
{
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, pod, &s, &err));
    int pid = s->vmm_pid;
    vc_pod_status_free(s);
    return pid;
}

static void test_vm_dies(void **state)
{
    (void)state;
    struct pt_pod p;
    struct vc_pod_status *s = NULL;
    int32_t status = -1;
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", NULL, NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "dies", 1), NULL, &err));
    int pid = vmm_of(ctx, "dies");
    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    PT_OK(vc_pod_status(ctx, "dies", &s, &err));
    assert_string_equal(s->state, "stopped");
    assert_non_null(strstr(s->reason, "ended"));
    assert_string_equal(s->containers[0]->state, "stopped");
    assert_int_equal(s->containers[0]->exit_status, 255);
    vc_pod_status_free(s);
    PT_OK(vc_container_wait(ctx, "dies", "c0", NULL, 0, &status, &err));
    assert_int_equal(status, 255);
    PT_FAILS(VC_ERR_STATE, "stopped", vc_container_exec(ctx, "dies", "c0", &p.process, NULL, NULL, &err));
    /* It can be booted again, and its delete works without a stop. */
    PT_OK(vc_pod_start(ctx, "dies", &err));
    assert_state(ctx, "dies", "running");
    pid = vmm_of(ctx, "dies");
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    PT_OK(vc_pod_delete(ctx, "dies", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* Status and list look without the plugins and without changing anything. */
static void test_plugins_gone(void **state)
{
    (void)state;
    struct pt_pod p;
    char from[PATH_MAX + 128], to[PATH_MAX + 128];
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "orphan", 1), NULL, &err));
    PT_PATH(from, "%s/plugins", pt_root);
    PT_PATH(to, "%s/elsewhere", pt_root);
    assert_int_equal(rename(from, to), 0);
    assert_state(ctx, "orphan", "running");
    PT_OK(vc_pod_delete(ctx, "orphan", VC_FORCE, &err));
    pt_nothing_left();
    assert_int_equal(rename(to, from), 0);
    vc_context_free(ctx);
}

static void test_nocmd(void **state)
{
    (void)state;
    struct pt_pod p;
    int32_t status = -1;
    vc_context *good = pt_context("faulty", "shim_faulty.process=true", NULL, NULL, NULL);
    vc_context *bad =
        pt_context("faulty", "shim_faulty.process=true", "agent_faulty.fail=ctr_start", "agent_faulty.code=-18", NULL);
    PT_FAILS(VC_ERR_NOCMD, "ctr_start", vc_pod_run(bad, pt_pod(&p, "none", 1), NULL, &err));
    pt_nothing_left();
    PT_OK(vc_pod_run(good, pt_pod(&p, "none", 0), NULL, &err));
    pt_pod(&p, NULL, 1);
    PT_OK(vc_container_create(good, "none", &p.ctr[0], NULL, &err));
    assert_int_equal(pt_children(), 1);
    PT_FAILS(VC_ERR_NOCMD, "ctr_start", vc_container_start(bad, "none", "c0", &err));
    assert_int_equal(pt_children(), 0);
    assert_ctr(good, "none", "c0", "stopped", 127);
    PT_OK(vc_container_wait(good, "none", "c0", NULL, 0, &status, &err));
    assert_int_equal(status, 127);
    PT_OK(vc_container_delete(good, "none", "c0", 0, &err));
    assert_state(good, "none", "running");
    PT_OK(vc_pod_delete(good, "none", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(good);
    vc_context_free(bad);
}

/* A container that cannot be made leaves the pod and the others as they were. */
static void test_container_rollback(void **state)
{
    (void)state;
    static const char *const fails[] = { "agent_faulty.fail=ctr_create", "agent_faulty.fail=connect",
                                         "shim_faulty.fail=start" };
    struct pt_pod p;
    vc_context *good = pt_context("faulty", "shim_faulty.process=true", NULL, NULL, NULL);
    PT_OK(vc_pod_run(good, pt_pod(&p, "keeps", 1), NULL, &err));
    pt_pod(&p, NULL, 2);
    for (size_t i = 0; i < sizeof fails / sizeof *fails; i++) {
        vc_context *bad = pt_context("faulty", fails[i], "shim_faulty.process=true", NULL, NULL);
        PT_FAILS(VC_ERR_IO, "ordered", vc_container_create(bad, "keeps", &p.ctr[1], NULL, &err));
        assert_int_equal(pt_children(), 1);
        struct vc_container_status *s = NULL;
        PT_FAILS(VC_ERR_NOTFOUND, "c1", vc_container_status(good, "keeps", "c1", &s, &err));
        assert_ctr(good, "keeps", "c0", "running", -1);
        vc_context_free(bad);
    }
    PT_OK(vc_pod_delete(good, "keeps", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(good);
}

struct waiter {
    vc_context *ctx;
    const char *exec_id;
    int32_t status;
    int rc;
};

static void *wait_thread(void *arg)
{
    struct waiter *w = arg;
    w->rc = vc_container_wait(w->ctx, "exec", "c0", w->exec_id, -1, &w->status, NULL);
    return NULL;
}

/* The shim's own exit code counts when it leaves no record, and its record counts before that. */
static void test_exec_and_wait(void **state)
{
    (void)state;
    struct pt_pod p;
    char *exec = NULL, path[PATH_MAX + 128];
    int32_t pid = 0, status = -1;
    vc_context *ctx = pt_context("faulty", "shim_faulty.process=true", NULL, NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "exec", 1), NULL, &err));
    PT_FAILS(VC_ERR_TIMEOUT, "did not end", vc_container_wait(ctx, "exec", "c0", NULL, 0, &status, &err));
    PT_OK(vc_container_exec(ctx, "exec", "c0", &p.process, &exec, &pid, &err));
    assert_true(pid > 1);
    struct waiter w = { .ctx = ctx, .exec_id = exec };
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, wait_thread, &w), 0);
    assert_int_equal(kill(pid, SIGTERM), 0);
    pthread_join(t, NULL);
    assert_int_equal(w.rc, 0);
    assert_int_equal(w.status, 143);
    PT_PATH(path, "%s/run/pods/exec/exit/c0:%s", pt_root, exec);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs("7\n", f);
    fclose(f);
    PT_OK(vc_container_wait(ctx, "exec", "c0", exec, -1, &status, &err));
    assert_int_equal(status, 7);
    free(exec);
    PT_OK(vc_pod_delete(ctx, "exec", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

static void test_rootfs(void **state)
{
    (void)state;
    struct pt_pod p;
    char path[PATH_MAX + 128];
    struct stat st;
    if (geteuid() != 0)
        skip();
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.share=true", NULL, NULL, NULL);
    pt_pod(&p, "root", 2);
    p.ctr[1].readonly_rootfs = 1;
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    assert_int_equal(pt_mounts(), 3); /* the shared directory is one itself */
    assert_int_equal(pt_count("rootfs"), 3); /* proc, dev, sys: mount points */
    PT_PATH(path, "%s/run/pods/root/shared/fs/c0/rootfs/hello", pt_root);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    close(fd);
    PT_PATH(path, "%s/run/pods/root/shared/fs/c1/rootfs/hello", pt_root);
    assert_int_equal(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644), -1);
    assert_int_equal(errno, EROFS);
    assert_int_equal(stat(path, &st), 0);
    PT_OK(vc_container_delete(ctx, "root", "c0", VC_FORCE, &err));
    assert_int_equal(pt_mounts(), 2);
    assert_int_equal(pt_count("rootfs"), 4); /* c1 still needs the mount points */
    PT_PATH(path, "%s/rootfs/proc/kept", pt_root);
    assert_int_equal(mkdir(path, 0755), 0);
    PT_OK(vc_pod_delete(ctx, "root", VC_FORCE, &err));
    assert_int_equal(pt_count("rootfs"), 2); /* what is the user's now stays: hello, and proc with something in it */
    assert_int_equal(rmdir(path), 0);
    PT_PATH(path, "%s/rootfs/proc", pt_root);
    assert_int_equal(rmdir(path), 0);
    PT_PATH(path, "%s/rootfs/hello", pt_root);
    assert_int_equal(unlink(path), 0);
    pt_nothing_left();
    vc_context_free(ctx);
}

/* The path of a root is kept without links and detours, whichever way it was written; a specification that an interrupted
 * operation left is in nobody's way. */
static void test_root_path(void **state)
{
    (void)state;
    static const char *const ways[] = { "/rootfs", "//rootfs", "/rootfs/", "/./rootfs", "/rootfs/../rootfs", "/link", "/rootfs/." };
    struct pt_pod p;
    char path[PATH_MAX + 128], link[PATH_MAX + 128], spec[PATH_MAX + 128];
    struct vc_container_status *s = NULL;
    struct stat st;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "ways", 0), NULL, &err));
    PT_PATH(link, "%s/link", pt_root);
    PT_PATH(spec, "%s/state/pods/ways/spec-c0.json", pt_root);
    assert_int_equal(symlink("rootfs", link), 0);
    pt_pod(&p, "ways", 1);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        PT_PATH(path, "%s%s", pt_root, ways[i]);
        p.ctr[0].rootfs = path;
        int fd = open(spec, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
        PT_OK(vc_container_create(ctx, "ways", &p.ctr[0], NULL, &err));
        PT_OK(vc_container_status(ctx, "ways", "c0", &s, &err));
        assert_string_equal(s->rootfs, p.rootfs);
        vc_container_status_free(s);
        assert_int_equal(stat(spec, &st), 0);
        assert_true(st.st_size > 1000);
        PT_OK(vc_container_delete(ctx, "ways", "c0", 0, &err));
        assert_int_equal(stat(spec, &st), -1);
    }
    PT_PATH(path, "%s/link/none", pt_root);
    PT_FAILS(VC_ERR_NOTFOUND, "link/none", vc_container_create(ctx, "ways", &p.ctr[0], NULL, &err));
    assert_int_equal(unlink(link), 0);
    PT_OK(vc_pod_delete(ctx, "ways", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* What a hostile guest puts below the shared directory is not followed. */
static void test_hostile_share(void **state)
{
    (void)state;
    struct pt_pod p;
    char link[PATH_MAX + 128], target[PATH_MAX + 128];
    if (geteuid() != 0)
        skip();
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.share=true", NULL, NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "hostile", 0), NULL, &err));
    PT_PATH(link, "%s/run/pods/hostile/shared/fs/c0", pt_root);
    PT_PATH(target, "%s/plugins", pt_root);
    assert_int_equal(symlink(target, link), 0);
    pt_pod(&p, NULL, 1);
    assert_true(vc_container_create(ctx, "hostile", &p.ctr[0], NULL, NULL) < 0);
    assert_int_equal(pt_count("plugins"), 5);
    assert_int_equal(pt_mounts(), 1);
    PT_OK(vc_pod_delete(ctx, "hostile", VC_FORCE, &err));
    assert_int_equal(pt_count("plugins/hypervisor"), 2);
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A guest may rename what stands below the shared directory, so that a recorded mount is elsewhere, and put a link in
 * its place: the mount still goes, and what the link leads to stays. */
static void test_moved_share(void **state)
{
    (void)state;
    struct pt_pod p;
    char from[PATH_MAX + 128], to[PATH_MAX + 128], other[PATH_MAX + 128];
    if (geteuid() != 0)
        skip();
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.share=true", NULL, NULL, NULL);
    for (int in_place = 0; in_place < 2; in_place++) {
        PT_OK(vc_pod_run(ctx, pt_pod(&p, "victim", 1), NULL, &err));
        PT_OK(vc_pod_run(ctx, pt_pod(&p, "moves", 1), NULL, &err));
        assert_int_equal(pt_mounts(), 4);
        PT_PATH(from, "%s/run/pods/moves/shared/fs/c0", pt_root);
        PT_PATH(to, "%s/run/pods/moves/shared/fs/new place", pt_root);
        PT_PATH(other, "%s/run/pods/victim/shared/fs/c0", pt_root);
        assert_int_equal(rename(from, to), 0);
        if (in_place)
            assert_int_equal(symlink(other, from), 0);
        PT_OK(vc_pod_delete(ctx, "moves", VC_FORCE, &err));
        assert_int_equal(pt_mounts(), 2);
        PT_OK(vc_pod_delete(ctx, "victim", VC_FORCE, &err));
        pt_nothing_left();
    }
    vc_context_free(ctx);
}

/* The same for a container: when it is deleted, a guest that has moved its mounts does not keep them. */
static void test_moved_container(void **state)
{
    (void)state;
    struct pt_pod p;
    char from[PATH_MAX + 128], to[PATH_MAX + 128];
    if (geteuid() != 0)
        skip();
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.share=true", "hypervisor_faulty.process=true", NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "moves", 3), NULL, &err));
    assert_int_equal(pt_mounts(), 4);
    static const char *const places[] = { "a place", "c1/mounts" };
    for (size_t i = 0; i < 2; i++) {
        PT_PATH(from, "%s/run/pods/moves/shared/fs/%s", pt_root, i ? "c2" : "c0");
        PT_PATH(to, "%s/run/pods/moves/shared/fs/%s", pt_root, places[i]);
        assert_int_equal(rename(from, to), 0);
        PT_OK(vc_container_delete(ctx, "moves", i ? "c2" : "c0", VC_FORCE, &err));
        assert_int_equal(pt_mounts(), 3 - i);
    }
    PT_OK(vc_container_create(ctx, "moves", &p.ctr[0], NULL, &err));
    assert_int_equal(pt_mounts(), 3);
    PT_OK(vc_container_delete(ctx, "moves", "c1", VC_FORCE, &err));
    assert_int_equal(pt_mounts(), 2);
    PT_OK(vc_pod_delete(ctx, "moves", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

static void *cycle_thread(void *arg)
{
    vc_context *ctx = arg;
    for (int i = 0; i < 50; i++) {
        vc_pod_start(ctx, "busy", NULL);
        vc_pod_stop(ctx, "busy", 0, NULL);
    }
    return NULL;
}

/* Many threads on one pod: no crash, no lost state. */
static void test_threads(void **state)
{
    (void)state;
    struct pt_pod p;
    pthread_t t[4];
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "busy", 1), NULL, &err));
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, cycle_thread, ctx), 0);
    for (int i = 0; i < 100; i++) {
        struct vc_pod_status *s = NULL;
        PT_OK(vc_pod_status(ctx, "busy", &s, &err));
        assert_string_not_equal(s->state, "broken");
        vc_pod_status_free(s);
    }
    for (size_t i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    assert_state(ctx, "busy", "stopped");
    PT_OK(vc_pod_delete(ctx, "busy", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_proxy_killed),          cmocka_unit_test(test_delete_ready_and_made_ids),
        cmocka_unit_test(test_bad_input),     cmocka_unit_test(test_taken),
        cmocka_unit_test(test_containers),    cmocka_unit_test(test_deferred),
        cmocka_unit_test(test_rollback),      cmocka_unit_test(test_stop_in_spite),
        cmocka_unit_test(test_vm_dies),       cmocka_unit_test(test_plugins_gone),
        cmocka_unit_test(test_nocmd),         cmocka_unit_test(test_container_rollback),
        cmocka_unit_test(test_exec_and_wait), cmocka_unit_test(test_rootfs),
        cmocka_unit_test(test_root_path),
        cmocka_unit_test(test_hostile_share), cmocka_unit_test(test_moved_share),
        cmocka_unit_test(test_moved_container), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
