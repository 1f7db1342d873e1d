/* SPDX-License-Identifier: Apache-2.0 */
/* test-pool.c: VMs that wait for a pod, with a hypervisor whose VM is a process: who gets one, what becomes of a bad one,
 * and that a caller killed at any point of filling, taking and ending leaves nothing. */
#ifdef HAVE_CONFIG_H
#include <config.h> /* VC_FAULT_POINTS */
#endif

#include "podtest.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

#define MAX_POINTS 1000

static struct pt_pod p;

/* ---- helpers ---- */

static int setup(void **state)
{
    char from[PATH_MAX + 128], to[PATH_MAX + 128];
    const char *build = getenv("VC_BUILD_DIR") ? getenv("VC_BUILD_DIR") : ".";
    if (pt_setup(state) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return -1;
    PT_PATH(from, "%s/tests/fakes/.libs/sleeper-hypervisor.so", build);
    PT_PATH(to, "%s/plugins/hypervisor/sleeper.so", pt_root);
    pt_copy(from, to);
    return 0;
}

/* After a failed test, too, nothing stays. */
static int teardown(void **state)
{
    char line[PATH_MAX + 512], path[64], pids[4096];
    FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *at = strstr(line, pt_root);
        if (at && (at[strcspn(at, " ")] = '\0', umount2(at, MNT_DETACH)) < 0)
            print_message("cannot unmount %s\n", at);
    }
    if (f)
        fclose(f);
    PT_PATH(path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, pids, sizeof pids - 1);
    close(fd);
    pids[n > 0 ? n : 0] = '\0';
    for (char *pid = strtok(pids, " "); pid; pid = strtok(NULL, " "))
        kill(atoi(pid), SIGKILL);
    return pt_teardown(state);
}

static vc_context *context(const char *a, const char *b)
{
    return pt_context("mock", "hypervisor=sleeper", a, b, NULL);
}

static uint32_t fill(vc_context *ctx, uint32_t n)
{
    uint32_t made = 77;
    PT_OK(vc_pool_fill(ctx, n, &made, &err));
    return made;
}

static uint32_t drain(vc_context *ctx)
{
    uint32_t ended = 77;
    PT_OK(vc_pool_drain(ctx, &ended, &err));
    return ended;
}

static size_t members(void)
{
    return pt_count("run/pool");
}

/* Processes whose maker has ended came to this one. */
static void reap(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
}

static void nothing_left(void)
{
    reap();
    assert_int_equal(members(), 0);
    pt_nothing_left();
}

/* The letter of the process's state: T when it is paused. */
static char condition(int pid)
{
    char path[64], text[512] = "";
    PT_PATH(path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return '-';
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    const char *rest = n > 0 ? strrchr(text, ')') : NULL;
    return rest ? rest[2] : '-';
}

/* The VMM of a pod of that name. */
static int vmm_of(vc_context *ctx, const char *id)
{
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, id, &s, &err));
    int pid = s->vmm_pid;
    vc_pod_status_free(s);
    return pid;
}

/* The one member there is. */
static int only(vc_context *ctx, char id[16])
{
    struct vc_pool_vm **list = NULL;
    size_t n = 0;
    PT_OK(vc_pool_list(ctx, &list, &n, &err));
    assert_int_equal(n, 1);
    assert_null(list[0]->problem);
    assert_true(list[0]->created_ns > 0);
    int pid = list[0]->vmm_pid;
    if (id)
        snprintf(id, 16, "%s", list[0]->id);
    vc_pool_list_free(list, n);
    return pid;
}

/* Why the one member is of no use. */
static void has_problem(vc_context *ctx, const char *words)
{
    struct vc_pool_vm **list = NULL;
    size_t n = 0;
    PT_OK(vc_pool_list(ctx, &list, &n, &err));
    assert_int_equal(n, 1);
    if (!list[0]->problem || !strstr(list[0]->problem, words))
        fail_msg("problem is \"%s\", wanted \"%s\"", list[0]->problem, words);
    vc_pool_list_free(list, n);
}

static void run(vc_context *ctx, const char *id)
{
    PT_OK(vc_pod_run(ctx, pt_pod(&p, id, 1), NULL, &err));
}

static void end(vc_context *ctx, const char *id)
{
    PT_OK(vc_pod_delete(ctx, id, VC_FORCE, &err));
}

/* ---- tests ---- */

static void test_fill_take_drain(void **state)
{
    (void)state;
    char path[PATH_MAX + 128];
    vc_context *ctx = context(NULL, NULL);
    assert_int_equal(fill(ctx, 1), 1);
    assert_int_equal(fill(ctx, 1), 0);
    int pid = only(ctx, NULL);
    assert_int_equal(condition(pid), 'T');
    assert_int_equal(pt_mounts(), geteuid() == 0);

    run(ctx, "a");
    assert_int_equal(vmm_of(ctx, "a"), pid);
    assert_int_not_equal(condition(pid), 'T');
    assert_int_equal(members(), 0);
    PT_PATH(path, "%s/run/pods/a/hypervisor/vm", pt_root);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(pt_mounts(), geteuid() == 0 ? 2 : 0); /* the shared folder that came along, and a root in it */

    run(ctx, "b"); /* there is none any more */
    assert_int_not_equal(vmm_of(ctx, "b"), pid);
    assert_int_equal(drain(ctx), 0);
    assert_int_not_equal(condition(pid), '-');
    end(ctx, "a");
    assert_int_equal(condition(pid), '-');
    end(ctx, "b");

    assert_int_equal(fill(ctx, 3), 3);
    assert_int_equal(members(), 3);
    run(ctx, "a");
    run(ctx, "b");
    assert_int_not_equal(vmm_of(ctx, "a"), vmm_of(ctx, "b"));
    assert_int_equal(members(), 1);
    assert_int_equal(fill(ctx, 2), 1);
    assert_int_equal(drain(ctx), 2);
    /* A pod that came out of the pool is stopped and started like any other. */
    PT_OK(vc_pod_stop(ctx, "a", 0, &err));
    PT_OK(vc_pod_start(ctx, "a", &err));
    end(ctx, "a");
    end(ctx, "b");
    nothing_left();
    vc_context_free(ctx);
}

/* The number of the configuration; none is none. */
static void test_configured(void **state)
{
    (void)state;
    vc_context *ctx = context("pool=2", NULL), *none = context(NULL, NULL);
    assert_int_equal(fill(none, 0), 0);
    assert_int_equal(members(), 0);
    assert_int_equal(fill(ctx, 0), 2);
    assert_int_equal(drain(none), 2);
    PT_FAILS(VC_ERR_INVAL, "1024 are possible", vc_pool_fill(ctx, 1025, NULL, &err));
    PT_FAILS(VC_ERR_INVAL, "ctx", vc_pool_fill(NULL, 1, NULL, &err));
    PT_FAILS(VC_ERR_INVAL, "ret_list", vc_pool_list(ctx, NULL, NULL, &err));
    nothing_left();
    vc_context_free(none);
    vc_context_free(ctx);
}

/* Pods that want something else do not get one. */
static void test_only_what_fits(void **state)
{
    (void)state;
    vc_context *ctx = context(NULL, NULL);
    assert_int_equal(fill(ctx, 1), 1);
    int pid = only(ctx, NULL);
    pt_pod(&p, "big", 1)->memory = UINT64_C(1) << 30;
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    pt_pod(&p, "more", 1)->vcpus = 2;
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    pt_pod(&p, "cold", 1)->vm_template = VC_TEMPLATE_OFF;
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    vc_context *mock = pt_context("mock", NULL, NULL, NULL, NULL);
    run(mock, "mock");
    assert_int_equal(only(ctx, NULL), pid);
    assert_int_equal(condition(pid), 'T');
    end(ctx, "big");
    end(ctx, "more");
    end(ctx, "cold");
    end(mock, "mock");
    assert_int_equal(drain(ctx), 1);
    nothing_left();
    vc_context_free(mock);
    vc_context_free(ctx);
}

/* One that died is removed, and the pod gets the next one or starts from the template. */
static void test_dead(void **state)
{
    (void)state;
    char id[16], path[PATH_MAX + 128];
    vc_context *ctx = context(NULL, NULL);
    assert_int_equal(fill(ctx, 1), 1);
    int dead = only(ctx, id);
    assert_int_equal(kill(dead, SIGKILL), 0);
    while (waitpid(dead, NULL, 0) < 0 && errno == EINTR)
        continue;
    has_problem(ctx, "its process has ended");
    assert_int_equal(fill(ctx, 1), 1); /* it does not count */
    run(ctx, "a");
    run(ctx, "b");
    assert_int_not_equal(vmm_of(ctx, "a"), dead);
    assert_int_equal(members(), 0);
    end(ctx, "a");
    end(ctx, "b");
    /* Its record is damaged. */
    assert_int_equal(fill(ctx, 1), 1);
    only(ctx, id);
    PT_PATH(path, "%s/run/pool/%s/vm.json", pt_root, id);
    assert_int_equal(truncate(path, 10), 0);
    has_problem(ctx, "cannot be read");
    run(ctx, "a");
    PT_OK(vc_gc(ctx, NULL, NULL, NULL, &err));
    end(ctx, "a");
    nothing_left();
    vc_context_free(ctx);
}

/* Whatever goes wrong while one is taken, the pod gets a VM and nothing is left of the other. */
static void test_bad_takes(void **state)
{
    (void)state;
    static const char *const fails[] = { "hypervisor_sleeper.fail=vm_resume", "hypervisor_sleeper.fail=restore" };
    vc_context *ctx = context(NULL, NULL);
    for (size_t i = 0; i < sizeof fails / sizeof *fails; i++) {
        vc_context *bad = context(fails[i], NULL);
        assert_int_equal(fill(ctx, 1), 1);
        int pid = only(ctx, NULL);
        run(bad, "a");
        assert_int_equal(condition(pid), '-');
        assert_int_equal(members(), 0);
        assert_int_equal(pt_mounts(), geteuid() == 0 ? 2 : 0);
        end(ctx, "a");
        nothing_left();
        vc_context_free(bad);
    }
    /* That can have cost seconds: no other one is tried. */
    vc_context *bad = context(fails[0], NULL);
    assert_int_equal(fill(ctx, 3), 3);
    run(bad, "a");
    assert_int_equal(members(), 2);
    end(ctx, "a");
    assert_int_equal(drain(ctx), 2);
    nothing_left();
    vc_context_free(bad);
    vc_context_free(ctx);
}

/* One that was taken and turns out to be of no use makes way for one that boots, which is a new instance. */
static void test_boots_instead(void **state)
{
    (void)state;
    vc_context *ctx = context(NULL, NULL), *bad = context("proxy=faulty", "proxy_faulty.once=start");
    assert_int_equal(fill(ctx, 1), 1);
    int pid = only(ctx, NULL);
    run(bad, "a");
    assert_int_equal(condition(pid), '-');
    assert_int_not_equal(vmm_of(bad, "a"), pid);
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(bad, "a", &s, &err));
    assert_string_equal(s->template_id, "");
    assert_int_equal(s->from_pool, 0);
    vc_pod_status_free(s);
    end(bad, "a");
    nothing_left();
    vc_context_free(bad);
    vc_context_free(ctx);
}

/* A pod's status names the template, and the pool, that its VM came from; a VM that is gone came from nowhere. */
static void test_origin(void **state)
{
    (void)state;
    struct vc_template_info **list = NULL;
    size_t n = 0;
    vc_context *ctx = context(NULL, NULL);
    assert_int_equal(fill(ctx, 1), 1);
    PT_OK(vc_template_list(ctx, &list, &n, &err));
    for (int i = 0; i < 4; i++) { /* from the pool, from the template, booted, deferred */
        char id[16], *json = NULL, want[100];
        struct vc_pod_status *s = NULL;
        PT_PATH(id, "o%d", i);
        pt_pod(&p, id, 1);
        p.pod.vm_template = i == 2 ? VC_TEMPLATE_OFF : 0;
        p.pod.flags = i == 3 ? VC_POD_DEFER_VM : 0;
        PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
        PT_OK(vc_pod_status(ctx, id, &s, &err));
        assert_string_equal(s->template_id, i < 2 ? list[0]->id : "");
        assert_int_equal(s->from_pool, i == 0);
        PT_OK(vc_pod_status_json(s, &json, &err));
        PT_PATH(want, i < 2 ? "\"template_id\":\"%s\",\"from_pool\":%s" : "\"template_id\":null,\"from_pool\":false",
                list[0]->id, i == 0 ? "true" : "false");
        assert_non_null(strstr(json, want));
        free(json);
        vc_pod_status_free(s);
    }
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_start(ctx, "o3", &err));
    PT_OK(vc_pod_status(ctx, "o3", &s, &err));
    assert_string_equal(s->template_id, list[0]->id);
    vc_pod_status_free(s);
    for (int i = 0; i < 2; i++) { /* one whose VM dies, and one that is stopped */
        char id[16];
        PT_PATH(id, "o%d", i);
        int pid = vmm_of(ctx, id);
        if (i) {
            PT_OK(vc_pod_stop(ctx, id, VC_FORCE, &err));
        } else {
            assert_int_equal(kill(pid, SIGKILL), 0);
            while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                continue;
        }
        PT_OK(vc_pod_status(ctx, id, &s, &err));
        assert_string_equal(s->state, "stopped");
        assert_string_equal(s->template_id, "");
        assert_int_equal(s->from_pool, 0);
        vc_pod_status_free(s);
    }
    /* A record that says something else is damaged. */
    char path[PATH_MAX + 128], sed[PATH_MAX + 256];
    PT_PATH(path, "%s/state/pods/o3/pod.json", pt_root);
    PT_PATH(sed, "sed -i 's/\"template\":\"../\"template\":\"..\\//' %s", path);
    assert_int_equal(system(sed), 0);
    PT_OK(vc_pod_status(ctx, "o3", &s, &err));
    assert_string_equal(s->state, "broken");
    assert_non_null(strstr(s->reason, "\"template\""));
    assert_string_equal(s->template_id, "");
    vc_pod_status_free(s);
    for (int i = 0; i < 4; i++) {
        char id[16];
        PT_PATH(id, "o%d", i);
        end(ctx, id);
    }
    vc_template_list_free(list, n);
    nothing_left();
    vc_context_free(ctx);
}

/* A fill that fails undoes what it had begun. */
static void test_bad_fills(void **state)
{
    (void)state;
    uint32_t made = 77;
    vc_context *ctx = context("hypervisor_sleeper.fail=vm_pause", NULL);
    PT_FAILS(VC_ERR_PEER, "vm_pause fails", vc_pool_fill(ctx, 2, &made, &err));
    assert_int_equal(made, 0);
    nothing_left();
    vc_context_free(ctx);
    ctx = pt_context("faulty", NULL, NULL, NULL, NULL);
    PT_FAILS(VC_ERR_UNSUPPORTED, "hypervisor \"faulty\"", vc_pool_fill(ctx, 1, &made, &err));
    nothing_left();
    vc_context_free(ctx);
    /* The mock hypervisor has neither process nor shared folder; it does. */
    ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    assert_int_equal(fill(ctx, 2), 2);
    run(ctx, "a");
    assert_int_equal(members(), 1);
    end(ctx, "a");
    assert_int_equal(drain(ctx), 1);
    nothing_left();
    vc_context_free(ctx);
}

static void note(void *arg, const char *id, const char *what)
{
    (void)id;
    snprintf(arg, 200, "%s", what);
}

/* Without its template a member is of no use; a template with members is in use. */
static void test_template_gone(void **state)
{
    (void)state;
    char what[200] = "";
    struct vc_template_info **list = NULL;
    size_t n = 0, removed = 0;
    vc_context *ctx = context(NULL, NULL);
    assert_int_equal(fill(ctx, 1), 1);
    PT_OK(vc_template_list(ctx, &list, &n, &err));
    assert_int_equal(list[0]->current, 1);
    assert_int_equal(list[0]->pods, 1);
    PT_FAILS(VC_ERR_BUSY, "", vc_template_delete(ctx, list[0]->id, 0, &err));
    PT_OK(vc_gc(ctx, note, what, &removed, &err));
    assert_int_equal(removed, 0);
    PT_OK(vc_template_delete(ctx, list[0]->id, VC_FORCE, &err));
    vc_template_list_free(list, n);
    has_problem(ctx, "template is gone");
    PT_OK(vc_gc(ctx, note, what, &removed, &err));
    assert_int_equal(removed, 1);
    assert_string_equal(what, "ended a VM of the pool whose template is of no use any more");
    nothing_left();
    vc_context_free(ctx);
}

/* ---- several at once ---- */

static pid_t child(int (*fn)(vc_context *, int), int arg, int at)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char text[16];
        snprintf(text, sizeof text, "%d", at);
        if (at)
            setenv("VC_FAULT_AT", text, 1);
        _exit(fn(context(NULL, NULL), arg) < 0);
    }
    return pid;
}

static int do_run(vc_context *ctx, int n)
{
    char id[16];
    snprintf(id, sizeof id, "k%d", n);
    return vc_pod_run(ctx, pt_pod(&p, id, 1), NULL, NULL);
}

static int do_fill(vc_context *ctx, int n)
{
    return vc_pool_fill(ctx, (uint32_t)n, NULL, NULL);
}

static int do_delete(vc_context *ctx, int n)
{
    char id[16];
    snprintf(id, sizeof id, "k%d", n);
    return vc_pod_delete(ctx, id, VC_FORCE, NULL);
}

static int wait_for(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* Each member goes to one pod only, also while another process fills. */
static void test_race(void **state)
{
    (void)state;
    enum { PODS = 8, VMS = 5 };
    pid_t runs[PODS], fills[2];
    int pids[VMS], vmm[PODS], found = 0;
    vc_context *ctx = context(NULL, NULL);
    for (int i = 0; i < 2; i++) /* two fill at once: what one has made the other need not */
        fills[i] = child(do_fill, VMS, 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(wait_for(fills[i]), 0);
    struct vc_pool_vm **list = NULL;
    size_t n = 0;
    PT_OK(vc_pool_list(ctx, &list, &n, &err));
    assert_int_equal(n, VMS);
    for (size_t i = 0; i < n; i++)
        pids[i] = list[i]->vmm_pid;
    vc_pool_list_free(list, n);
    for (int i = 0; i < PODS; i++)
        runs[i] = child(do_run, i, 0);
    for (int i = 0; i < PODS; i++)
        assert_int_equal(wait_for(runs[i]), 0);
    for (int i = 0; i < PODS; i++) {
        char id[16];
        snprintf(id, sizeof id, "k%d", i);
        vmm[i] = vmm_of(ctx, id);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(vmm[i], vmm[k]);
        for (int k = 0; k < VMS; k++)
            found += vmm[i] == pids[k];
    }
    assert_int_equal(found, VMS);
    assert_int_equal(members(), 0);
    for (int i = 0; i < PODS; i++)
        assert_int_equal(wait_for(child(do_delete, i, 0)), 0);
    nothing_left();
    vc_context_free(ctx);
}

/* ---- killed at each point ---- */

#ifdef VC_FAULT_POINTS
static int do_drain(vc_context *ctx, int n)
{
    (void)n;
    return vc_pool_drain(ctx, NULL, NULL);
}

static int do_gc(vc_context *ctx, int n)
{
    (void)n;
    return vc_gc(ctx, NULL, NULL, NULL, NULL);
}

static void check_left(const char *name, int at)
{
    reap();
    size_t dirs = pt_count("run/pods") + pt_count("state/pods") + members(), mounts = pt_mounts(), procs = pt_children();
    if (dirs || mounts || procs || pt_count("rootfs"))
        fail_msg("%s killed at point %d left %zu directories, %zu mounts, %zu processes", name, at, dirs, mounts, procs);
}

/* What the victim was just about to start holds its locks until it has become another program or seen that its starter
 * is gone. */
static void await_orphans(void)
{
    char path[64], comm[32], pids[4096];
    for (int waits = 1; waits;) {
        waits = 0;
        reap();
        PT_PATH(path, "/proc/self/task/%d/children", (int)getpid());
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, pids, sizeof pids - 1);
        close(fd);
        pids[n > 0 ? n : 0] = '\0';
        for (char *pid = strtok(pids, " "); pid; pid = strtok(NULL, " ")) {
            PT_PATH(path, "/proc/%s/comm", pid);
            fd = open(path, O_RDONLY | O_CLOEXEC);
            n = fd < 0 ? 0 : read(fd, comm, sizeof comm - 1);
            close(fd);
            waits |= n > 0 && strncmp(comm, "sleep", 5) != 0;
        }
        sched_yield();
    }
}

/* The victim is killed at each of its points in turn.  After that gc works, a pod can be made (out of the pool when a
 * whole member is left), and when all are ended there is nothing. */
static int walk(const char *name, uint32_t filled, int (*victim)(vc_context *, int), int arg)
{
    int at = 1, takes = 0;
    for (; at < MAX_POINTS; at++) {
        if (filled)
            assert_int_equal(wait_for(child(do_fill, (int)filled, 0)), 0);
        int status = wait_for(child(victim, arg, at));
        int killed = WIFSIGNALED(status);
        await_orphans();
        if (!killed && WEXITSTATUS(status))
            fail_msg("%s failed at point %d", name, at);
        if (wait_for(child(do_gc, 0, 0)) != 0)
            fail_msg("%s killed at point %d: gc failed", name, at);
        size_t left = members();
        if (wait_for(child(do_run, 9, 0)) != 0)
            fail_msg("%s killed at point %d: no pod can be made after that", name, at);
        if (left && members() != left - 1)
            fail_msg("%s killed at point %d: %zu VMs were left, and no pod takes one", name, at, left);
        takes += left > 0;
        assert_int_equal(wait_for(child(do_delete, 9, 0)), 0);
        if (pt_count("state/pods"))
            assert_int_equal(wait_for(child(do_delete, arg, 0)), 0);
        assert_int_equal(wait_for(child(do_drain, 0, 0)), 0);
        check_left(name, at);
        if (!killed)
            break;
    }
    if (at == MAX_POINTS)
        fail_msg("%s has more than %d points", name, MAX_POINTS);
    print_message("%s: %d points, a VM was left after %d\n", name, at - 1, takes);
    return at - 1;
}

static void test_killed(void **state)
{
    (void)state;
    assert_int_equal(wait_for(child(do_fill, 1, 0)), 0); /* with the template */
    assert_int_equal(wait_for(child(do_drain, 0, 0)), 0);
    assert_true(walk("fill", 0, do_fill, 1) > 10);
    assert_true(walk("take", 1, do_run, 1) > 20);
    assert_true(walk("drain", 2, do_drain, 0) > 10);
    nothing_left();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef VC_FAULT_POINTS
        cmocka_unit_test(test_killed), /* first: the points that this process passes are counted, too */
#endif
        cmocka_unit_test(test_fill_take_drain), cmocka_unit_test(test_configured), cmocka_unit_test(test_only_what_fits),
        cmocka_unit_test(test_dead),            cmocka_unit_test(test_bad_takes),  cmocka_unit_test(test_bad_fills),
        cmocka_unit_test(test_template_gone),   cmocka_unit_test(test_race),
        cmocka_unit_test(test_boots_instead),   cmocka_unit_test(test_origin),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
