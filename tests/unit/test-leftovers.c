/* SPDX-License-Identifier: Apache-2.0 */
/* test-leftovers.c: what an operation that failed or was killed has left of one container, in a pod that goes on. */
#include "survive.h"

#include <sys/file.h>

static struct pt_pod p;

static vc_context *context(const char *more)
{
    return pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", more, NULL);
}

/* The state of a container; "" when there is none. */
static const char *state_of(vc_context *ctx, const char *pod, const char *ctr)
{
    static char state[16];
    struct vc_pod_status *s = NULL;
    state[0] = '\0';
    PT_OK(vc_pod_status(ctx, pod, &s, &err));
    for (size_t i = 0; i < s->n_containers; i++)
        if (strcmp(s->containers[i]->id, ctr) == 0)
            PT_PATH(state, "%s", s->containers[i]->state);
    vc_pod_status_free(s);
    return state;
}

static int spec_there(const char *pod, const char *ctr)
{
    char below[128], path[SV_PATH];
    PT_PATH(below, "state/pods/%s/spec-%s.json", pod, ctr);
    return access(sv_path(below, path), F_OK) == 0;
}

/* ---- half a container is never made again ---- */

/* The pod runs with c0 as it was, and nothing is left of c1, whose id is free. */
static void check_without(vc_context *ctx, const char *pod)
{
    assert_string_equal(state_of(ctx, pod, "c0"), "running");
    assert_string_equal(state_of(ctx, pod, "c1"), "");
    assert_false(spec_there(pod, "c1"));
    assert_int_equal(pt_children(), 2); /* the VM, and one shim */
    PT_OK(vc_container_create(ctx, pod, &p.ctr[1], NULL, &err));
    PT_OK(vc_pod_delete(ctx, pod, VC_FORCE, &err));
    pt_nothing_left();
}

/* The VM's process is killed, and is a zombie. */
static void kill_vm(vc_context *ctx, const char *pod)
{
    struct vc_pod_status *s = NULL;
    siginfo_t info;
    PT_OK(vc_pod_status(ctx, pod, &s, &err));
    assert_int_equal(kill(s->vmm_pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)s->vmm_pid, &info, WEXITED | WNOWAIT), 0);
    vc_pod_status_free(s);
}

/* The user has asked for the container to go, and the guest did not do its part: the VM's end does it. */
static void test_half_deleted(void **state)
{
    (void)state;
    vc_context *ctx = context(NULL), *deaf = context("agent_faulty.fail=ctr_remove");
    for (int how = 0; how < 3; how++) {
        PT_OK(vc_pod_run(ctx, pt_pod(&p, "half", 2), NULL, &err));
        PT_FAILS(VC_ERR_IO, "ctr_remove fails", vc_container_delete(deaf, "half", "c1", VC_FORCE, &err));
        assert_string_equal(state_of(ctx, "half", "c1"), "broken");
        switch (how) {
        case 0:
            PT_OK(vc_pod_stop(ctx, "half", VC_FORCE, &err));
            break;
        case 1: /* its VM dies, and the start removes what it left */
            kill_vm(ctx, "half");
            break;
        default: /* the second attempt */
            PT_OK(vc_container_delete(ctx, "half", "c1", 0, &err));
            PT_OK(vc_pod_stop(ctx, "half", VC_FORCE, &err));
        }
        if (how != 1) {
            assert_string_equal(state_of(ctx, "half", "c0"), "stopped");
            assert_string_equal(state_of(ctx, "half", "c1"), "");
            assert_false(spec_there("half", "c1"));
        }
        PT_OK(vc_pod_start(ctx, "half", &err));
        check_without(ctx, "half");
    }
    vc_context_free(ctx);
    vc_context_free(deaf);
}

/* What is said of half a container, and what can be done with it. */
static void test_half_shown(void **state)
{
    (void)state;
    vc_context *ctx = context(NULL), *deaf = context("agent_faulty.fail=ctr_remove");
    struct vc_container_status *c = NULL, **list = NULL;
    struct vc_pod_status *s = NULL;
    char *json = NULL, path[SV_PATH], *exec_id = NULL;
    size_t n = 0, removed = 0;
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "half", 2), NULL, &err));
    PT_FAILS(VC_ERR_IO, "ctr_remove fails", vc_container_delete(deaf, "half", "c1", VC_FORCE, &err));
    PT_OK(vc_pod_status(ctx, "half", &s, &err));
    assert_string_equal(s->state, "running");
    assert_string_equal(s->reason, "container c1 is broken: its creation or removal was interrupted");
    assert_string_equal(s->containers[0]->state, "running");
    assert_string_equal(s->containers[0]->reason, "");
    assert_string_equal(s->containers[1]->state, "broken");
    vc_pod_status_free(s);
    PT_OK(vc_container_status(ctx, "half", "c1", &c, &err));
    assert_string_equal(c->state, "broken");
    assert_non_null(strstr(c->reason, "delete it"));
    PT_OK(vc_container_status_json(c, &json, &err));
    assert_non_null(strstr(json, "\"state\":\"broken\",\"reason\":\"its creation or removal was interrupted"));
    free(json);
    vc_container_status_free(c);
    PT_OK(vc_container_list(ctx, "half", &list, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(list[1]->state, "broken");
    vc_container_list_free(list, n);
    PT_FAILS(VC_ERR_STATE, "is half made or half removed and must be", vc_container_start(ctx, "half", "c1", &err));
    PT_FAILS(VC_ERR_STATE, "is half made or half removed; delete it", vc_container_stop(ctx, "half", "c1", -1, &err));
    PT_FAILS(VC_ERR_STATE, "is half made or half removed", vc_container_exec(ctx, "half", "c1", &p.process, &exec_id, NULL, &err));
    PT_FAILS(VC_ERR_EXISTS, "delete it first", vc_container_create(ctx, "half", &p.ctr[1], NULL, &err));
    /* While somebody is at it. */
    int fd = open(sv_path("state/pods/half", path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_string_equal(state_of(ctx, "half", "c1"), "making");
    PT_OK(vc_container_status(ctx, "half", "c1", &c, &err));
    assert_string_equal(c->state, "making");
    assert_string_equal(c->reason, "");
    vc_container_status_free(c);
    close(fd);
    PT_OK(vc_gc(ctx, NULL, NULL, &removed, &err));
    assert_int_equal(removed, 1);
    check_without(ctx, "half");
    vc_context_free(ctx);
    vc_context_free(deaf);
}

/* One that nobody has come back to, in a pod that has no VM: its creation was killed, or its removal. */
static void test_half_in_record(void **state)
{
    (void)state;
    char text[SV_TEXT], other[SV_TEXT];
    vc_context *ctx = context(NULL);
    for (int stopped = 0; stopped < 2; stopped++) {
        pt_pod(&p, "late", 2);
        p.pod.flags = stopped ? 0 : VC_POD_DEFER_VM;
        PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
        if (stopped)
            PT_OK(vc_pod_stop(ctx, "late", VC_FORCE, &err));
        sv_read("state/pods/late/pod.json", text);
        char *at = strstr(text, "\"id\":\"c1\"");
        assert_non_null(at);
        char *was = strstr(at, stopped ? "\"stopped\"" : "\"ready\"");
        assert_non_null(was);
        int n = snprintf(other, sizeof other, "%.*s\"making\"%s", (int)(was - text), text, strchr(was + 1, '"') + 1);
        sv_write("state/pods/late/pod.json", other, (size_t)n);
        assert_string_equal(state_of(ctx, "late", "c1"), "broken");
        PT_OK(vc_pod_start(ctx, "late", &err));
        check_without(ctx, "late");
    }
    vc_context_free(ctx);
}

/* ---- the shim that another process stands for ---- */

static int32_t pid_of(vc_context *ctx, const char *ctr)
{
    struct vc_container_status *s = NULL;
    PT_OK(vc_container_status(ctx, "s", ctr, &s, &err));
    int32_t pid = s->pid;
    vc_container_status_free(s);
    assert_true(pid > 1);
    return pid;
}

/* Has the ledger that process, without a line that it is gone? */
static int in_ledger(int32_t pid)
{
    char text[SV_TEXT], name[32];
    int there = 0;
    sv_read("run/pods/s/ledger", text);
    PT_PATH(name, "\"name\":\"%d ", (int)pid);
    for (char *at = text, *nl; (nl = strchr(at, '\n')); at = nl + 1) {
        *nl = '\0';
        if (strstr(at, name))
            there = strstr(at, "{\"add\":") == at;
    }
    return there;
}

/* It ends with the container, and nothing remembers it: neither while it runs nor when it has ended by itself. */
static void test_former_shim(void **state)
{
    (void)state;
    vc_context *ctx = context(NULL);
    for (int ended = 0; ended < 2; ended++) {
        PT_OK(vc_pod_run(ctx, pt_pod(&p, "s", 2), NULL, &err));
        int32_t shim = pid_of(ctx, "c0"), other = pid_of(ctx, "c1");
        pid_t stand_in = pt_sleeper();
        PT_OK(vc_container_set_pid(ctx, "s", "c0", stand_in, &err));
        assert_true(in_ledger(shim));
        if (ended)
            assert_int_equal(kill(shim, SIGKILL), 0);
        PT_OK(vc_container_stop(ctx, "s", "c0", -1, &err));
        PT_OK(vc_container_delete(ctx, "s", "c0", 0, &err));
        assert_int_equal(kill(shim, 0), -1);
        assert_int_equal(errno, ESRCH);
        assert_false(in_ledger(shim));
        assert_int_equal(pid_of(ctx, "c1"), other);
        assert_true(in_ledger(other));
        size_t removed = 9;
        PT_OK(vc_gc(ctx, NULL, NULL, &removed, &err));
        assert_int_equal(removed, 0);
        PT_OK(vc_pod_delete(ctx, "s", VC_FORCE, &err));
        pt_nothing_left();
    }
    vc_context_free(ctx);
}

/* ---- why the VM is gone ---- */

static void check_reason(vc_context *ctx, const char *words)
{
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, "why", &s, &err));
    assert_string_equal(s->state, "stopped");
    if (!strstr(s->reason, words) || (!*words && *s->reason))
        fail_msg("\"%s\", wanted \"%s\"", s->reason, words);
    vc_pod_status_free(s);
}

/* What is done with the record of a pod whose VM died does not make a pod that was stopped out of it; a stop does. */
static void test_reason_stays(void **state)
{
    (void)state;
    static const char *const pairs[] = { "a=b", NULL };
    vc_context *ctx = context(NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "why", 2), NULL, &err));
    kill_vm(ctx, "why");
    check_reason(ctx, "ended without having been stopped");
    PT_OK(vc_container_delete(ctx, "why", "c1", 0, &err));
    check_reason(ctx, "ended without having been stopped");
    PT_OK(vc_pod_set_annotations(ctx, "why", pairs, &err));
    check_reason(ctx, "ended without having been stopped");
    PT_OK(vc_pod_stop(ctx, "why", 0, &err));
    check_reason(ctx, "");
    PT_OK(vc_pod_delete(ctx, "why", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* ---- a teardown that fails ---- */

/* All plugins came back, so the next attempt asks all of them again. */
static void test_teardown_fails(void **state)
{
    (void)state;
    static const char line[] = "{\"add\":9999,\"owner\":\"core\",\"name\":\"/of/a/newer/release\"}\n";
    char text[SV_TEXT];
    vc_context *ctx = context(NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "newer", 1), NULL, &err));
    size_t n = sv_read("run/pods/newer/ledger", text);
    memcpy(text + n, line, sizeof line);
    sv_write("run/pods/newer/ledger", text, n + sizeof line - 1);
    for (int i = 0; i < 3; i++) {
        PT_FAILS(VC_ERR_UNSUPPORTED, "newer release", vc_pod_stop(ctx, "newer", VC_FORCE, &err));
        sv_read("state/pods/newer/pod.json", text);
        assert_memory_equal(text, "{\"ending\":\"0\",", 14);
    }
    sv_write("run/pods/newer/ledger", "", 0);
    PT_OK(vc_pod_delete(ctx, "newer", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* ---- disks ---- */

static struct vc_device_info disk, *disks[] = { &disk };

/* Container c1 of the pod has the image as a disk. */
static void with_disk(const char *pod)
{
    static char path[SV_PATH];
    pt_pod(&p, pod, 2);
    sv_write("disk.img", "", 0);
    assert_int_equal(truncate(sv_path("disk.img", path), 1 << 20), 0);
    VC_INIT(&disk);
    disk.host_path = path;
    disk.container_path = "/dev/data";
    disk.type = "b";
    p.ctr[1].devices = disks;
    p.ctr[1].n_devices = 1;
}

/* How many disks the VM has, by what its plugin remembers. */
static size_t plugged(const char *pod)
{
    char below[128], text[SV_TEXT];
    size_t n = 0;
    PT_PATH(below, "state/pods/%s/pod.json", pod);
    sv_read(below, text);
    for (char *at = text; (at = strstr(at, " disk:")); at++)
        n++;
    return n;
}

static vc_context *disk_context(const char *more, const char *agent)
{
    return pt_context("faulty", "hypervisor_faulty.disks=true", "hypervisor_faulty.process=true", more ? more : agent,
                      more ? agent : NULL);
}

/* The plugin gets the opened file, for reading only or for both; what it gets it gives back. */
static void test_disk_descriptor(void **state)
{
    (void)state;
    vc_context *ctx = disk_context(NULL, NULL);
    for (int ro = 0; ro < 2; ro++) {
        with_disk("d");
        disk.file_mode = ro ? 0440 : 0;
        PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
        assert_int_equal(plugged("d"), 1);
        PT_OK(vc_container_delete(ctx, "d", "c1", VC_FORCE, &err));
        assert_int_equal(plugged("d"), 0);
        PT_OK(vc_pod_delete(ctx, "d", VC_FORCE, &err));
        pt_nothing_left();
    }
    sv_remove("disk.img");
    vc_context_free(ctx);
}

/* Started again, it has its disk again; when that fails it is stopped as before, and its disk is where the record says. */
static void test_disk_again(void **state)
{
    (void)state;
    static const struct {
        const char *fail;
        size_t left;
    } bad[] = { { "hypervisor_faulty.fail=device_del", 1 }, { "hypervisor_faulty.fail=device_add", 0 }, { "agent_faulty.fail=ctr_create", 0 } };
    vc_context *ctx = disk_context(NULL, NULL);
    with_disk("d");
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    PT_OK(vc_container_stop(ctx, "d", "c1", -1, &err));
    for (size_t i = 0; i < 3; i++) {
        vc_context *with = disk_context(bad[i].fail, NULL);
        PT_FAILS(VC_ERR_IO, strchr(bad[i].fail, '=') + 1, vc_container_start(with, "d", "c1", &err));
        vc_context_free(with);
        assert_string_equal(state_of(ctx, "d", "c1"), "stopped");
        assert_int_equal(plugged("d"), bad[i].left);
        PT_OK(vc_container_start(ctx, "d", "c1", &err));
        assert_int_equal(plugged("d"), 1);
        PT_OK(vc_container_stop(ctx, "d", "c1", -1, &err));
    }
    PT_OK(vc_container_delete(ctx, "d", "c1", 0, &err));
    assert_int_equal(plugged("d"), 0);
    PT_OK(vc_pod_delete(ctx, "d", VC_FORCE, &err));
    pt_nothing_left();
    sv_remove("disk.img");
    vc_context_free(ctx);
}

/* Making c1 fails, and undoing it cannot do all: without the guest, the VMM takes the disk out; when it does not either,
 * half a container stays, by which it is known, until somebody removes that, or with the VM. */
static void test_disk_left(void **state)
{
    (void)state;
    static const char *const agents[] = { "agent_faulty.fail=ctr_create", "agent_faulty.fail=ctr_remove" };
    vc_context *ctx = disk_context(NULL, NULL), *deaf = pt_context("faulty", "hypervisor_faulty.disks=true", "hypervisor_faulty.process=true",
                                                                   "agent_faulty.fail=ctr_remove", "shim_faulty.fail=start");
    with_disk("d");
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "d", 1), NULL, &err));
    with_disk("d");
    PT_FAILS(VC_ERR_IO, "start fails", vc_container_create(deaf, "d", &p.ctr[1], NULL, &err));
    assert_string_equal(state_of(ctx, "d", "c1"), "");
    assert_int_equal(plugged("d"), 0);
    for (int how = 0; how < 8; how++) {
        vc_context *bad = pt_context("faulty", "hypervisor_faulty.disks=true", "hypervisor_faulty.fail=device_del",
                                     how & 1 ? agents[1] : agents[0], how & 1 ? "shim_faulty.fail=start" : NULL);
        size_t removed = 0;
        PT_FAILS(VC_ERR_IO, "ordered", vc_container_create(bad, "d", &p.ctr[1], NULL, &err));
        assert_string_equal(state_of(ctx, "d", "c1"), "broken");
        assert_int_equal(plugged("d"), 1);
        switch (how / 2) {
        case 0:
            PT_OK(vc_gc(ctx, NULL, NULL, &removed, &err));
            assert_int_equal(removed, 1);
            break;
        case 1:
            PT_OK(vc_container_delete(ctx, "d", "c1", 0, &err));
            break;
        case 2: /* one that is made meanwhile takes it over, and is not robbed of it */
            p.ctr[1].id = "c2";
            PT_OK(vc_container_create(ctx, "d", &p.ctr[1], NULL, &err));
            assert_int_equal(plugged("d"), 1);
            PT_OK(vc_gc(ctx, NULL, NULL, &removed, &err));
            assert_int_equal(removed, 1);
            assert_int_equal(plugged("d"), 1);
            PT_OK(vc_container_delete(ctx, "d", "c2", 0, &err));
            p.ctr[1].id = "c1";
            break;
        default: /* with the VM */
            PT_OK(vc_pod_stop(bad, "d", VC_FORCE, &err));
            PT_OK(vc_pod_start(ctx, "d", &err));
        }
        assert_string_equal(state_of(ctx, "d", "c1"), "");
        assert_int_equal(plugged("d"), 0);
        PT_OK(vc_container_create(ctx, "d", &p.ctr[1], NULL, &err));
        assert_int_equal(plugged("d"), 1);
        PT_OK(vc_container_delete(ctx, "d", "c1", 0, &err));
        assert_int_equal(plugged("d"), 0);
        vc_context_free(bad);
    }
    PT_OK(vc_pod_delete(ctx, "d", VC_FORCE, &err));
    pt_nothing_left();
    sv_remove("disk.img");
    vc_context_free(ctx);
    vc_context_free(deaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_deleted), cmocka_unit_test(test_half_shown),
        cmocka_unit_test(test_half_in_record),
        cmocka_unit_test(test_former_shim),
        cmocka_unit_test(test_reason_stays),
        cmocka_unit_test(test_teardown_fails),
        cmocka_unit_test(test_disk_descriptor),
        cmocka_unit_test(test_disk_again), cmocka_unit_test(test_disk_left),
    };
    if (getenv("PT_ONLY"))
        cmocka_set_test_filter(getenv("PT_ONLY"));
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
