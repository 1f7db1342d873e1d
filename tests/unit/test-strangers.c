/* SPDX-License-Identifier: Apache-2.0 */
/* test-strangers.c: processes that only look like a pod's: after a reboot, or because a process id was used again.  They
 * are never signalled, and nothing waits for them. */
#include "survive.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "lib/io.h"
#include "lib/proc.h"
#include "pod.h"

static struct pt_pod p;

static vc_context *context(void)
{
    return pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true",
                      "proxy_faulty.process=true", "call_timeout=60");
}

/* ---- helpers ---- */

struct live {
    int pid[16];
    size_t n;
};

/* The processes that were started for pods: this one's children. */
static void children(struct live *l)
{
    char path[64], text[4096];
    PT_PATH(path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    l->n = 0;
    for (char *at = text, *end; l->n < 16; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at)
            return;
        l->pid[l->n++] = (int)pid;
    }
}

/* They run, as they did. */
static void check_live(const struct live *l)
{
    for (size_t i = 0; i < l->n; i++) {
        siginfo_t info = { 0 };
        assert_int_equal(waitid(P_PID, (id_t)l->pid[i], &info, WEXITED | WNOHANG | WNOWAIT), 0);
        if (info.si_pid)
            fail_msg("process %d, which is a stranger's, was ended (status %d)", l->pid[i], info.si_status);
    }
}

static void end_all(const struct live *l)
{
    for (size_t i = 0; i < l->n; i++) {
        assert_int_equal(kill(l->pid[i], SIGKILL), 0);
        assert_int_equal(waitpid(l->pid[i], NULL, 0), l->pid[i]);
    }
}

/* Every "from" in the file becomes "to", which is as long. */
static int swap(const char *below, const char *from, const char *to)
{
    char text[SV_TEXT];
    size_t n = sv_read(below, text);
    int found = 0;
    assert_int_equal(strlen(from), strlen(to));
    for (char *at = text; (at = strstr(at, from)); found++)
        memcpy(at, to, strlen(to));
    sv_write(below, text, n);
    return found;
}

/* The host was restarted since: everything on disk is as it was, in another boot. */
static void reboot(const char *id)
{
    char boot[64], other[64], file[PATH_MAX];
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    assert_non_null(f);
    assert_non_null(fgets(boot, sizeof boot, f));
    fclose(f);
    boot[strcspn(boot, "\n")] = '\0';
    memcpy(other, boot, sizeof boot);
    other[0] = other[0] == 'f' ? 'e' : 'f';
    PT_PATH(file, "state/pods/%s/pod.json", id);
    assert_true(swap(file, boot, other) > 0);
    PT_PATH(file, "run/pods/%s/ledger", id);
    assert_true(swap(file, boot, other) > 0);
}

static void check_state(vc_context *ctx, const char *id, const char *state, const char *reason)
{
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, id, &s, &err));
    if (strcmp(s->state, state) != 0 || !strstr(s->reason, reason))
        fail_msg("pod %s is %s (%s), wanted %s (%s)", id, s->state, s->reason, state, reason);
    if (strcmp(state, "stopped") == 0) {
        assert_int_equal(s->vmm_pid, 0);
        assert_int_equal(s->proxy_pid, 0);
        for (size_t i = 0; i < s->n_containers; i++) {
            assert_string_equal(s->containers[i]->state, "stopped");
            assert_int_equal(s->containers[i]->pid, 0);
            assert_int_equal(s->containers[i]->exit_status, 255); /* nobody knows */
        }
    }
    vc_pod_status_free(s);
}

/* What has been stopped properly needs none. */
static void check_no_reason(vc_context *ctx, const char *id)
{
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, id, &s, &err));
    assert_string_equal(s->state, "stopped");
    assert_string_equal(s->reason, "");
    vc_pod_status_free(s);
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- tests ---- */

/* What is left on disk after a reboot names processes that are others' now. */
static void test_reboot(void **state)
{
    (void)state;
    static const char *const pairs[] = { "after=reboot", NULL };
    vc_context *ctx = context();
    for (int how = 0; how < 7; how++) {
        struct live strangers, neighbours, all;
        int32_t status = -1;
        size_t removed = 0;
        char *value = NULL;
        PT_OK(vc_pod_run(ctx, pt_pod(&p, "near", 1), NULL, &err));
        children(&neighbours);
        pt_pod(&p, "old", 2);
        p.pod.flags = how == 3 ? VC_POD_OWNED : 0;
        PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
        children(&all);
        memset(&strangers, 0, sizeof strangers);
        for (size_t i = 0; i < all.n; i++) {
            size_t k = 0;
            while (k < neighbours.n && neighbours.pid[k] != all.pid[i])
                k++;
            if (k == neighbours.n)
                strangers.pid[strangers.n++] = all.pid[i];
        }
        assert_int_equal(strangers.n, 4); /* VMM, proxy, two shims */
        reboot("old");
        check_state(ctx, "old", "stopped", "restarted");
        PT_OK(vc_container_wait(ctx, "old", "c0", NULL, 20000, &status, &err));
        assert_int_equal(status, 255);
        switch (how) {
        case 0: /* deleted */
            PT_OK(vc_pod_delete(ctx, "old", 0, &err));
            break;
        case 1: /* started again, and what it has now is its own */
            PT_OK(vc_pod_start(ctx, "old", &err));
            check_state(ctx, "old", "running", "");
            check_live(&strangers);
            PT_OK(vc_pod_stop(ctx, "old", how == 1 ? VC_FORCE : 0, &err));
            PT_OK(vc_pod_delete(ctx, "old", 0, &err));
            break;
        case 2:
            PT_OK(vc_pod_stop(ctx, "old", how == 1 ? VC_FORCE : 0, &err));
            check_live(&strangers);
            PT_OK(vc_pod_start(ctx, "old", &err));
            PT_OK(vc_pod_delete(ctx, "old", VC_FORCE, &err));
            break;
        case 3: /* its owner is another one's process, too */
            PT_OK(vc_gc(ctx, NULL, NULL, &removed, &err));
            assert_int_equal(removed, 1);
            break;
        case 4: /* of its record nothing can be read: there is the ledger only */
            sv_write("state/pods/old/pod.json", "{", 1);
            PT_OK(vc_pod_delete(ctx, "old", VC_FORCE, &err));
            break;
        case 5: /* what callers keep with it can still be changed */
            PT_OK(vc_pod_set_annotations(ctx, "old", pairs, &err));
            check_state(ctx, "old", "stopped", "restarted");
            PT_OK(vc_pod_annotation(ctx, "old", "after", &value, &err));
            assert_string_equal(value, "reboot");
            free(value);
            PT_OK(vc_pod_delete(ctx, "old", 0, &err));
            break;
        default: /* container by container */
            PT_OK(vc_container_delete(ctx, "old", "c1", 0, &err));
            check_live(&strangers);
            PT_OK(vc_gc(ctx, NULL, NULL, &removed, &err));
            assert_int_equal(removed, 0);
            check_state(ctx, "old", "stopped", "restarted");
            PT_OK(vc_pod_stop(ctx, "old", 0, &err));
            check_no_reason(ctx, "old");
            PT_OK(vc_pod_delete(ctx, "old", 0, &err));
        }
        check_live(&strangers);
        check_live(&neighbours);
        end_all(&strangers);
        check_state(ctx, "near", "running", "");
        PT_OK(vc_pod_delete(ctx, "near", VC_FORCE, &err));
        pt_nothing_left();
    }
    vc_context_free(ctx);
}

/* bug-9: every process id that was noted belongs to somebody else now: the start times are others. */
static void test_reused_pids(void **state)
{
    (void)state;
    vc_context *ctx = context();
    for (int how = 0; how < 5; how++) {
        struct live strangers;
        char text[SV_TEXT];
        int32_t status = -1;
        pt_pod(&p, "re", 2);
        p.pod.flags = how == 4 ? VC_POD_OWNED : 0;
        PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
        children(&strangers);
        assert_int_equal(strangers.n, 4);
        for (size_t i = 0; i <= strangers.n; i++) {
            int pid = i < strangers.n ? strangers.pid[i] : getpid();
            char path[64], number[32], other[32];
            unsigned long long ticks = 0;
            PT_PATH(path, "/proc/%d/stat", pid);
            FILE *f = fopen(path, "re");
            assert_non_null(f);
            assert_non_null(fgets(text, sizeof text, f));
            fclose(f);
            assert_int_equal(sscanf(strrchr(text, ')') + 1,
                                    " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                                    &ticks), 1);
            PT_PATH(number, "%llu", ticks);
            PT_PATH(other, "%llu", ticks);
            other[0] = other[0] == '9' ? '8' : (char)(other[0] + 1);
            swap("state/pods/re/pod.json", number, other); /* equal ones were replaced already */
            swap("run/pods/re/ledger", number, other);
        }
        assert_null(strstr((sv_read("run/pods/re/ledger", text), text), "\"add\":999"));
        check_state(ctx, "re", "stopped", "ended without");
        int64_t began = now_ms();
        PT_OK(vc_container_wait(ctx, "re", "c0", NULL, -1, &status, &err));
        assert_int_equal(status, 255);
        size_t removed = 0;
        switch (how) {
        case 0:
            PT_OK(vc_pod_delete(ctx, "re", 0, &err));
            break;
        case 1:
            PT_OK(vc_pod_stop(ctx, "re", 0, &err));
            PT_OK(vc_pod_delete(ctx, "re", 0, &err));
            break;
        case 2:
            PT_OK(vc_container_stop(ctx, "re", "c0", -1, &err));
            PT_OK(vc_pod_delete(ctx, "re", VC_FORCE, &err));
            break;
        case 3:
            PT_OK(vc_pod_start(ctx, "re", &err));
            check_live(&strangers);
            PT_OK(vc_pod_delete(ctx, "re", VC_FORCE, &err));
            break;
        default:
            PT_OK(vc_gc(ctx, NULL, NULL, &removed, &err));
            assert_int_equal(removed, 1);
        }
        assert_in_range(now_ms() - began, 0, 9999); /* the original took twice ten seconds for each container */
        check_live(&strangers);
        end_all(&strangers);
        pt_nothing_left();
    }
    vc_context_free(ctx);
}

/* bug-9: what has ended and was not reaped does not live, and nothing waits for it. */
static void test_zombies(void **state)
{
    (void)state;
    vc_context *ctx = context();
    for (int how = 0; how < 3; how++) {
        struct vc_container_status *s = NULL;
        int32_t status = -1;
        siginfo_t info;
        PT_OK(vc_pod_run(ctx, pt_pod(&p, "z", 2), NULL, &err));
        PT_OK(vc_container_status(ctx, "z", "c0", &s, &err));
        int pid = s->pid;
        vc_container_status_free(s);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        int64_t began = now_ms();
        PT_OK(vc_container_status(ctx, "z", "c0", &s, &err)); /* bug-23: the first look sees it */
        assert_string_equal(s->state, "stopped");
        assert_int_equal(s->pid, 0);
        vc_container_status_free(s);
        if (how == 0)
            PT_OK(vc_container_wait(ctx, "z", "c0", NULL, -1, &status, &err));
        if (how < 2)
            PT_OK(vc_container_stop(ctx, "z", "c0", -1, &err));
        else
            PT_OK(vc_pod_stop(ctx, "z", VC_FORCE, &err));
        PT_OK(vc_pod_delete(ctx, "z", VC_FORCE, &err));
        assert_in_range(now_ms() - began, 0, 9999);
        pt_nothing_left();
    }
    vc_context_free(ctx);
}

/* bug-10: the shim that is none starts nothing, so there is no process that could be taken for a container's. */
static void test_no_shim(void **state)
{
    (void)state;
    struct live none;
    struct vc_container_status *s = NULL;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "noshim", 1), NULL, &err));
    PT_OK(vc_container_status(ctx, "noshim", "c0", &s, &err));
    assert_string_equal(s->state, "running");
    assert_int_equal(s->pid, 0);
    vc_container_status_free(s);
    char text[SV_TEXT];
    sv_read("state/pods/noshim/pod.json", text);
    assert_null(strstr(text, "\"shim\":["));
    children(&none);
    assert_int_equal(none.n, 0);
    PT_OK(vc_container_stop(ctx, "noshim", "c0", 0, &err));
    PT_OK(vc_pod_delete(ctx, "noshim", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* Whatever a process calls itself, its state and start time are found behind that. */
static void test_names(void **state)
{
    (void)state;
    static const char *const names[] = { "a", "a b", "a) Z 1 1 1", ") X 0", "((", "))" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int sync[2], status;
        char c;
        assert_int_equal(pipe2(sync, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            prctl(PR_SET_NAME, names[i]);
            if (write(sync[1], "x", 1) == 1)
                pause();
            _exit(0);
        }
        assert_int_equal(read(sync[0], &c, 1), 1);
        struct vc_proc it;
        assert_int_equal(vcs_proc_identify(pid, &it), 0);
        struct vc_proc later = { .pid = pid, .start_ticks = it.start_ticks + 1 }, none = { .pid = 0 };
        assert_true(vci_proc_lives(&it));
        assert_false(vci_proc_lives(&later));
        assert_false(vci_proc_lives(&none));
        assert_int_equal(kill(pid, SIGKILL), 0);
        siginfo_t si;
        assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
        assert_false(vci_proc_lives(&it)); /* it waits to be reaped */
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_false(vci_proc_lives(&it));
        close(sync[0]);
        close(sync[1]);
    }
}

/* A shim that cannot be ended, for want of a descriptor, stays in the ledger: somebody else can. */
static void test_no_descriptor(void **state)
{
    (void)state;
    struct vci_pod pod;
    struct vci_ledger_entry *e = NULL;
    struct rlimit old, none;
    size_t n = 0, shims = 0;
    vc_context *ctx = context();
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "full", 1), NULL, &err));
    PT_OK(vci_pod_open(&pod, ctx, "full", VCI_LOCK_EXCLUSIVE, &err));
    PT_OK(vci_ledger_writable(&pod.dir, &err));
    struct vc_proc shim = pod.ctrs[0]->shim;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){ .rlim_cur = 0, .rlim_max = old.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    vci_ctr_end_shims(&pod, pod.ctrs[0], vcs_now_ns());
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(vcs_proc_alive(&shim), 1);
    PT_OK(vci_ledger_read(&pod.dir, &e, &n, &err));
    for (size_t i = 0; i < n; i++)
        shims += strcmp(e[i].owner, "shim") == 0;
    vci_ledger_entries_free(e, n);
    assert_int_equal(shims, 1);
    vci_pod_close(&pod);
    PT_OK(vc_pod_delete(ctx, "full", VC_FORCE, &err));
    assert_int_equal(vcs_proc_alive(&shim), 0);
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A process that cannot be looked at, for want of a descriptor, has not ended: nobody may bury a VM that lives. */
static void test_unseen_lives(void **state)
{
    (void)state;
    struct vci_pod pod;
    struct rlimit old, none;
    vc_context *ctx = context();
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "full", 1), NULL, &err));
    PT_OK(vci_pod_open(&pod, ctx, "full", VCI_LOCK_NONE, &err));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){ .rlim_cur = 0, .rlim_max = old.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    vci_pod_refresh(&pod);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(pod.died, 0);
    assert_int_equal(pod.state, VCI_RUNNING);
    assert_int_equal(pod.ctrs[0]->state, VCI_RUNNING);
    vci_pod_close(&pod);
    PT_OK(vc_pod_delete(ctx, "full", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A status that cannot be read for want of descriptors is not made up. */
static void test_status_unseen(void **state)
{
    (void)state;
    struct rlimit old, few;
    int32_t status = -1;
    siginfo_t info;
    vc_context *ctx = context();
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "full", 1), NULL, &err));
    struct vc_container_status *s = NULL;
    PT_OK(vc_container_status(ctx, "full", "c0", &s, &err));
    assert_int_equal(kill(s->pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)s->pid, &info, WEXITED), 0);
    vc_container_status_free(s);
    char path[PATH_MAX + 64];
    PT_PATH(path, "%s/run/pods/full/exit", pt_root);
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    sv_write("run/pods/full/exit/c0", "3\n", 2);
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    for (int more = 0; more < 5; more++) {
        vc_error *err = NULL;
        few = (struct rlimit){ .rlim_cur = (rlim_t)(next + more), .rlim_max = old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        int rc = vc_container_wait(ctx, "full", "c0", NULL, 1000, &status, &err);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        if (rc != VC_ERR_RESOURCE && (rc != 0 || status != 3))
            fail_msg("%d descriptors: %d \"%s\", status %d", more, rc, vc_error_text(err), status);
        vc_error_free(err);
    }
    assert_int_equal(status, 3);
    PT_OK(vc_pod_delete(ctx, "full", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reboot),
        cmocka_unit_test(test_reused_pids),
        cmocka_unit_test(test_zombies),
        cmocka_unit_test(test_no_shim),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_no_descriptor),
        cmocka_unit_test(test_status_unseen),
        cmocka_unit_test(test_unseen_lives),
    };
    if (getenv("PT_ONLY"))
        cmocka_set_test_filter(getenv("PT_ONLY"));
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
