/* SPDX-License-Identifier: Apache-2.0 */
/* test-ns.c: the template's hypervisor with a host in memory: what virtc has no command for. Real namespaces, needs root. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <vc/hypervisor.h>

#include "lib/io.h"
#include "lib/proc.h"
#include "unit/fakehost.h"

extern const struct vc_plugin vc_plugin_entry;
static const struct vc_hypervisor_ops *ops;
static struct fakehost fh;
static vc_inst *inst;
static struct vc_call call;

static int setup(void **state)
{
    static char agent[4200];
    static const char *config[] = { "agent_path", agent, NULL };
    (void)state;
    ops = vc_plugin_entry.ops;
    snprintf(agent, sizeof(agent), "%s/plugins/agent/kata/guest/vc-agent", getenv("VC_BUILD_DIR"));
    if (fakehost_init(&fh, &vc_plugin_entry, config) < 0)
        return -1;
    call = fakehost_call(&fh, 10000);
    return vc_plugin_entry.inst->create(&fh.host, &call, fakehost_config(&fh), "pod1", &inst);
}

static int teardown(void **state)
{
    (void)state;
    call = fakehost_call(&fh, 10000);
    int r = vc_plugin_entry.inst->cleanup(inst, &call);
    vc_plugin_entry.inst->close(inst);
    fakehost_done(&fh);
    return r;
}

static int vm_create(const char *shared_dir)
{
    struct vc_vm_config config = { .size = sizeof(config), .netns_fd = -1, .shared_dir = shared_dir,
                                   .share_tag = shared_dir ? "tag" : NULL };
    return ops->vm_create(inst, &call, &config);
}

static void start(const char *shared_dir)
{
    assert_int_equal(vm_create(shared_dir), 0);
    if (ops->vm_start(inst, &call) != 0)
        fail_msg("vm_start: %s", fh.err.text);
}

static uint32_t vm_state(void)
{
    uint32_t s = 99;
    assert_int_equal(ops->vm_state(inst, &call, &s), 0);
    return s;
}

/* The outer process and PID 1. */
static void procs(struct vc_proc ret[2])
{
    vc_sink *sink = fakehost_sink();
    assert_int_equal(ops->pids(inst, &call, sink), 0);
    assert_int_equal(sink->buf.len, 2 * sizeof(struct vc_proc));
    memcpy(ret, vcs_buf_data(&sink->buf), 2 * sizeof(struct vc_proc));
    fakehost_sink_free(sink);
}

static void test_warns(void **state)
{
    (void)state;
    start(NULL);
    assert_non_null(memmem(vcs_buf_data(&fh.logged), fh.logged.len, "NOTHING", 7));
    assert_non_null(strstr(vc_plugin_entry.description, "NOTHING"));
}

/* Other namespaces than ours in everything, and nothing of the host's mounts. */
static void test_namespaces(void **state)
{
    static const char *const kinds[] = { "pid", "mnt", "uts", "ipc", "net" };
    struct vc_proc p[2];
    (void)state;
    start(NULL);
    procs(p);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char path[64], ours[64] = "", theirs[64] = "";
        snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
        assert_true(readlink(path, ours, sizeof(ours) - 1) > 0);
        snprintf(path, sizeof(path), "/proc/%d/ns/%s", p[1].pid, kinds[i]);
        assert_true(readlink(path, theirs, sizeof(theirs) - 1) > 0);
        assert_string_not_equal(ours, theirs);
    }
    char path[64], *mounts = NULL;
    snprintf(path, sizeof(path), "/proc/%d/root/usr", p[1].pid);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof(path), "/proc/%d/mountinfo", p[1].pid);
    assert_int_equal(vcs_read_file(-100, path, 65536, &mounts, NULL), 0);
    assert_null(strstr(mounts, " / / rw,relatime - ext4"));
    free(mounts);
}

static unsigned long long cpu_time(int pid)
{
    char path[64], *text = NULL;
    unsigned long long user = 0, sys = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    assert_int_equal(vcs_read_file(-100, path, 4096, &text, NULL), 0);
    assert_int_equal(sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &sys), 2);
    free(text);
    return user + sys;
}

/* A process of the guest that does nothing but count its time: in its cgroup and namespaces. */
static pid_t spin(const struct vc_proc *init)
{
    char from[64], *group = NULL, path[4096];
    snprintf(from, sizeof(from), "/proc/%d/cgroup", init->pid);
    assert_int_equal(vcs_read_file(-100, from, 65536, &group, NULL), 0);
    char *name = strstr(group, "0::");
    assert_non_null(name);
    name[strcspn(name, "\n")] = '\0';
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "/sys/fs/cgroup/%s%s/cgroup.procs", i ? "unified/" : "", name + 4);
        if (access(path, W_OK) == 0)
            break;
    }
    free(group);
    pid_t pid = fork();
    if (pid == 0) {
        FILE *f = fopen(path, "we");
        if (!f || fprintf(f, "0") < 0 || fclose(f))
            _exit(1);
        for (;;)
            continue;
    }
    while (cpu_time(pid) == 0)
        sched_yield();
    return pid;
}

static void test_pause(void **state)
{
    struct vc_proc p[2];
    (void)state;
    if (!(vc_plugin_entry.inst->caps(inst) & VC_HV_CAP_PAUSE)) {
        skip();
        return;
    }
    assert_int_equal(ops->vm_pause(inst, &call), VC_E_STATE);
    start(NULL);
    procs(p);
    pid_t pid = spin(&p[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ops->vm_pause(inst, &call), 0);
        assert_int_equal(vm_state(), VC_VM_PAUSED);
    }
    unsigned long long before = cpu_time(pid);
    struct timespec t = { .tv_nsec = 200000000 }; /* not to wait for something: to see that nothing happens */
    nanosleep(&t, NULL);
    assert_int_equal(cpu_time(pid), before);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ops->vm_resume(inst, &call), 0);
        assert_int_equal(vm_state(), VC_VM_RUNNING);
    }
    while (cpu_time(pid) == before)
        sched_yield();
    /* A paused VM can be ended. */
    assert_int_equal(ops->vm_pause(inst, &call), 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(ops->vm_stop(inst, &call, 0), 0);
    assert_int_equal(vm_state(), VC_VM_STOPPED);
    assert_false(vcs_proc_alive(&p[0]) || vcs_proc_alive(&p[1]));
    assert_int_equal(fh.n_res, 0);
    assert_int_equal(ops->vm_pause(inst, &call), VC_E_STATE);
}

/* What is mounted on the host after the start is seen by the guest, and nothing the other way. */
static void test_share(void **state)
{
    char dir[128], sub[160], path[256];
    struct vc_proc p[2];
    struct stat st;
    (void)state;
    snprintf(dir, sizeof(dir), "%s/shared", fh.dir);
    snprintf(sub, sizeof(sub), "%s/later", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(mount("share", dir, "tmpfs", 0, NULL), 0);
    assert_int_equal(mount(NULL, dir, NULL, MS_PRIVATE, NULL), 0);
    assert_int_equal(mount(NULL, dir, NULL, MS_SHARED, NULL), 0);
    start(dir);
    procs(p);
    assert_int_equal(mkdir(sub, 0700), 0);
    assert_int_equal(mount("later", sub, "tmpfs", 0, NULL), 0);
    snprintf(path, sizeof(path), "%s/file", sub);
    fclose(fopen(path, "we"));
    snprintf(path, sizeof(path), "/proc/%d/root" VC_SHARE_BIND_DIR "/tag/later/file", p[1].pid);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(umount2(sub, MNT_DETACH), 0);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(umount2(dir, MNT_DETACH), 0);
}

/* Killed from outside, either of the two: the other goes with it, and it is told. */
static void test_killed(void **state)
{
    struct vc_proc p[2];
    uint32_t health = 0;
    (void)state;
    assert_int_equal(vm_create(NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ops->vm_start(inst, &call), 0);
        procs(p);
        assert_int_equal(vcs_proc_kill(&p[i], SIGKILL), 0);
        assert_int_equal(vcs_proc_wait(&p[0], vcs_now_ns() + 5000000000, NULL), 0);
        assert_int_equal(vcs_proc_wait(&p[1], vcs_now_ns() + 5000000000, NULL), 0);
        assert_int_equal(vm_state(), VC_VM_STOPPED);
        assert_int_equal(vc_plugin_entry.inst->check(inst, &call, &health), 0);
        assert_int_equal(health, VC_HEALTH_GONE);
        assert_int_equal(ops->vm_stop(inst, &call, 0), 0);
        assert_int_equal(fh.n_procs, 0);
        assert_int_equal(fh.n_res, 0);
    }
}

static void test_restore(void **state)
{
    static const char *const bad[] = {
        "", "state 2\n", "x", "state 9\nnetns 0\nouter 0 0\ninit 0 0\n", "state 2\nnetns 0\nouter 1 5\ninit 0 0\n",
        "state 1\nnetns 0\nouter 0 0\ninit 0 0\nshare_dir /a\n",
        "state 1\nnetns 0\nouter 0 0\ninit 0 0\nwhat 1\n",
    };
    struct vc_proc p[2], q[2];
    vc_sink *sink = fakehost_sink();
    vc_inst *other = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        call = fakehost_call(&fh, 1000);
        assert_int_equal(vc_plugin_entry.inst->restore(&fh.host, &call, fakehost_config(&fh), "pod1", 1,
                                                       (struct vc_bytes){ bad[i], strlen(bad[i]) }, &other),
                         VC_E_CORRUPT);
        assert_null(other);
    }
    call = fakehost_call(&fh, 10000);
    start(NULL);
    procs(p);
    assert_int_equal(vc_plugin_entry.inst->save(inst, &call, sink), 0);
    const char *text = fakehost_sink_text(sink);
    assert_int_equal(vc_plugin_entry.inst->restore(&fh.host, &call, fakehost_config(&fh), "pod1", 1,
                                                   (struct vc_bytes){ text, strlen(text) }, &other), 0);
    vc_plugin_entry.inst->close(inst);
    inst = other;
    procs(q);
    assert_memory_equal(p, q, sizeof(p));
    assert_int_equal(vm_state(), VC_VM_RUNNING);
    assert_int_equal(ops->vm_stop(inst, &call, 0), 0);
    assert_false(vcs_proc_alive(&p[0]) || vcs_proc_alive(&p[1]));
    fakehost_sink_free(sink);
}

static void test_refusals(void **state)
{
    struct vc_vm_config config = { .size = sizeof(config), .netns_fd = -1, .kernel_params = "quiet" };
    (void)state;
    assert_int_equal(ops->vm_start(inst, &call), VC_E_STATE);
    assert_int_equal(ops->vm_create(inst, &call, &config), VC_E_UNSUPPORTED);
    assert_non_null(strstr(fh.err.text, "quiet"));
    config.kernel_params = NULL;
    config.shared_dir = "/tmp";
    assert_int_equal(ops->vm_create(inst, &call, &config), VC_E_INVAL);
    config.share_tag = "../x";
    assert_int_equal(ops->vm_create(inst, &call, &config), VC_E_INVAL);
    assert_int_equal(vm_create(NULL), 0);
    assert_int_equal(vm_create(NULL), VC_E_EXISTS);
}

/* The agent says why it cannot, and nothing is left of it. */
static void test_start_fails(void **state)
{
    (void)state;
    assert_int_equal(vm_create("/nowhere/at/all"), 0);
    assert_int_equal(ops->vm_start(inst, &call), VC_E_NOTFOUND);
    assert_non_null(strstr(fh.err.text, "/nowhere/at/all"));
    assert_int_equal(fh.err.sys, ENOENT);
    assert_int_equal(vm_state(), VC_VM_CREATED);
    assert_int_equal(fh.n_procs, 0);
    assert_int_equal(fh.n_res, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_warns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_namespaces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_share, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restore, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start_fails, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
