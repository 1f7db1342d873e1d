/* SPDX-License-Identifier: Apache-2.0 */
/* test-ops.c: pausing, annotations, lists and set pids through the public API, without a VM. */
#include "podtest.h"

#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <time.h>

/* ---- looking ---- */

static void assert_state(vc_context *ctx, const char *pod, const char *state)
{
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, pod, &s, &err));
    assert_string_equal(s->state, state);
    vc_pod_status_free(s);
}

static void assert_ctr(vc_context *ctx, const char *pod, const char *ctr, const char *state)
{
    struct vc_container_status *s = NULL;
    PT_OK(vc_container_status(ctx, pod, ctr, &s, &err));
    assert_string_equal(s->state, state);
    vc_container_status_free(s);
}

static int32_t vmm_of(vc_context *ctx, const char *pod)
{
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, pod, &s, &err));
    int32_t pid = s->vmm_pid;
    vc_pod_status_free(s);
    assert_true(pid > 0);
    return pid;
}

/* Is it stopped (by SIGSTOP)?  If not it lives; whether it sleeps, or happens to run, is up to the machine. */
static int is_stopped(int32_t pid)
{
    char path[64], buf[512] = "";
    PT_PATH(path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, buf, sizeof buf - 1);
    close(fd);
    const char *end = n > 0 ? strrchr(buf, ')') : NULL;
    char letter = end ? end[2] : '?';
    if (!strchr("TSRDI", letter))
        fail_msg("process %d is in state %c", pid, letter);
    return letter == 'T';
}

static size_t read_all(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("%s: %s", path, strerror(errno));
    size_t len = 0;
    for (ssize_t n; len + 1 < size && (n = read(fd, buf + len, size - 1 - len)) > 0;)
        len += (size_t)n;
    buf[len] = '\0';
    close(fd);
    return len;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in: %s", part, text);
}

/* ---- pause ---- */

/* bug-8: pausing and resuming mind the states; a paused pod can be stopped and deleted. */
static void test_pause_states(void **state)
{
    (void)state;
    struct pt_pod p;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_FAILS(VC_ERR_NOTFOUND, "nobody", vc_pod_pause(ctx, "nobody", &err));
    PT_FAILS(VC_ERR_NOTFOUND, "nobody", vc_pod_resume(ctx, "nobody", &err));
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "still", 3), NULL, &err));
    PT_FAILS(VC_ERR_STATE, "ready and must be running", vc_pod_pause(ctx, "still", &err));
    PT_FAILS(VC_ERR_STATE, "ready and must be paused", vc_pod_resume(ctx, "still", &err));
    assert_ctr(ctx, "still", "c0", "ready");
    PT_OK(vc_pod_start(ctx, "still", &err));
    struct pt_pod more;
    pt_pod(&more, NULL, 4);
    PT_OK(vc_container_create(ctx, "still", &more.ctr[3], NULL, &err));
    PT_FAILS(VC_ERR_STATE, "running and must be paused", vc_pod_resume(ctx, "still", &err));
    PT_OK(vc_pod_pause(ctx, "still", &err));
    assert_state(ctx, "still", "paused");
    assert_ctr(ctx, "still", "c0", "paused");
    assert_ctr(ctx, "still", "c2", "paused");
    assert_ctr(ctx, "still", "c3", "ready"); /* was never started, and does not become so */
    PT_FAILS(VC_ERR_STATE, "paused", vc_pod_pause(ctx, "still", &err));
    PT_FAILS(VC_ERR_STATE, "resume it", vc_pod_start(ctx, "still", &err));
    PT_FAILS(VC_ERR_STATE, "resume it", vc_pod_stop(ctx, "still", 0, &err));
    PT_FAILS(VC_ERR_STATE, "paused", vc_pod_delete(ctx, "still", 0, &err));
    PT_FAILS(VC_ERR_STATE, "paused", vc_container_start(ctx, "still", "c3", &err));
    PT_FAILS(VC_ERR_STATE, "paused", vc_container_stop(ctx, "still", "c0", 0, &err));
    PT_FAILS(VC_ERR_STATE, "paused", vc_container_delete(ctx, "still", "c0", VC_FORCE, &err));
    PT_FAILS(VC_ERR_STATE, "paused", vc_container_kill(ctx, "still", "c0", NULL, 15, 0, &err));
    PT_FAILS(VC_ERR_STATE, "paused", vc_container_create(ctx, "still", &more.ctr[3], NULL, &err));
    PT_FAILS(VC_ERR_STATE, "paused", vc_pod_enter(ctx, "still", &p.process, NULL, NULL, &err));
    PT_FAILS(VC_ERR_STATE, "paused and must be running", vc_container_pause(ctx, "still", "c0", &err));
    PT_FAILS(VC_ERR_STATE, "paused and must be running", vc_container_resume(ctx, "still", "c0", &err));
    PT_OK(vc_pod_resume(ctx, "still", &err));
    assert_state(ctx, "still", "running");
    assert_ctr(ctx, "still", "c1", "running");
    assert_ctr(ctx, "still", "c3", "ready");
    PT_OK(vc_pod_pause(ctx, "still", &err));
    PT_OK(vc_pod_stop(ctx, "still", VC_FORCE, &err));
    assert_state(ctx, "still", "stopped");
    assert_ctr(ctx, "still", "c0", "stopped");
    PT_FAILS(VC_ERR_STATE, "stopped and must be running", vc_pod_pause(ctx, "still", &err));
    PT_FAILS(VC_ERR_STATE, "stopped and must be paused", vc_pod_resume(ctx, "still", &err));
    PT_OK(vc_pod_start(ctx, "still", &err));
    PT_OK(vc_pod_pause(ctx, "still", &err));
    PT_OK(vc_pod_delete(ctx, "still", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

static void test_pause_effect(void **state)
{
    (void)state;
    struct pt_pod p;
    const char *process = "hypervisor_faulty.process=true", *shim = "shim_faulty.process=true";
    vc_context *ctx = pt_context("faulty", process, shim, NULL, NULL);
    vc_context *deaf = pt_context("faulty", process, "hypervisor_faulty.mark=deaf", NULL, NULL);
    vc_context *fails = pt_context("faulty", process, "hypervisor_faulty.fail=vm_pause", NULL, NULL);
    vc_context *stuck = pt_context("faulty", process, "hypervisor_faulty.fail=vm_resume", NULL, NULL);
    vc_context *cannot = pt_context("faulty", process, "hypervisor_faulty.pause=false", NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "vm", 1), NULL, &err));
    int32_t vmm = vmm_of(ctx, "vm");
    assert_false(is_stopped(vmm));
    PT_FAILS(VC_ERR_UNSUPPORTED, "cannot pause", vc_pod_pause(cannot, "vm", &err));
    /* What a plugin says is not enough: the VMM is asked. */
    PT_FAILS(VC_ERR_STATE, "is running and should be paused", vc_pod_pause(deaf, "vm", &err));
    assert_state(ctx, "vm", "running");
    PT_FAILS(VC_ERR_IO, "vm_pause", vc_pod_pause(fails, "vm", &err));
    assert_state(ctx, "vm", "running");
    assert_false(is_stopped(vmm));
    PT_OK(vc_pod_pause(ctx, "vm", &err));
    assert_true(is_stopped(vmm));
    PT_FAILS(VC_ERR_IO, "vm_resume", vc_pod_resume(stuck, "vm", &err));
    PT_FAILS(VC_ERR_STATE, "is paused and should be running", vc_pod_resume(deaf, "vm", &err));
    assert_state(ctx, "vm", "paused");
    assert_true(is_stopped(vmm));
    PT_OK(vc_pod_resume(ctx, "vm", &err));
    assert_false(is_stopped(vmm));
    /* A paused VM that dies is seen. */
    PT_OK(vc_pod_pause(ctx, "vm", &err));
    kill(vmm, SIGKILL);
    assert_int_equal(waitpid(vmm, NULL, 0), vmm);
    assert_state(ctx, "vm", "stopped");
    assert_ctr(ctx, "vm", "c0", "stopped");
    PT_FAILS(VC_ERR_STATE, "stopped", vc_pod_resume(ctx, "vm", &err));
    PT_OK(vc_pod_delete(ctx, "vm", 0, &err));
    pt_nothing_left();
    vc_context *all[] = { ctx, deaf, fails, stuck, cannot };
    for (size_t i = 0; i < 5; i++)
        vc_context_free(all[i]);
}

/* No file may get longer than a few bytes: as when the disk is full. */
static void disk_full(struct rlimit *old)
{
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, old), 0);
    struct rlimit tight = { .rlim_cur = 16, .rlim_max = old->rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
}

static void disk_free(const struct rlimit *old)
{
    assert_int_equal(setrlimit(RLIMIT_FSIZE, old), 0);
}

/* What cannot be recorded does not happen. */
static void test_pause_not_stored(void **state)
{
    (void)state;
    struct pt_pod p;
    struct rlimit old;
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "vm", 1), NULL, &err));
    int32_t vmm = vmm_of(ctx, "vm");
    disk_full(&old);
    PT_FAILS(VC_ERR_RESOURCE, "pod.json", vc_pod_pause(ctx, "vm", &err));
    PT_FAILS(VC_ERR_RESOURCE, "pod.json", vc_container_pause(ctx, "vm", "c0", &err));
    disk_free(&old);
    assert_false(is_stopped(vmm));
    assert_false(is_stopped(getpid())); /* which does not sleep now */
    assert_state(ctx, "vm", "running");
    assert_ctr(ctx, "vm", "c0", "running");
    PT_OK(vc_pod_pause(ctx, "vm", &err));
    disk_full(&old);
    PT_FAILS(VC_ERR_RESOURCE, "pod.json", vc_pod_resume(ctx, "vm", &err));
    disk_free(&old);
    assert_true(is_stopped(vmm));
    assert_state(ctx, "vm", "paused");
    PT_OK(vc_pod_resume(ctx, "vm", &err));
    PT_OK(vc_pod_delete(ctx, "vm", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* Who started it was killed before that was noted, or did not wait for the answer: the next one finds it running. */
static void test_started_before(void **state)
{
    (void)state;
    struct pt_pod p;
    const char *process = "hypervisor_faulty.process=true", *shim = "shim_faulty.process=true";
    vc_context *ctx = pt_context("faulty", process, shim, NULL, NULL);
    vc_context *fails = pt_context("faulty", "agent_faulty.fail=ctr_start", NULL, NULL, NULL);
    vc_context *was = pt_context("faulty", "agent_faulty.fail=ctr_start", "agent_faulty.code=-6", NULL, NULL);
    pt_pod(&p, "f", 2);
    p.pod.n_containers = 1;
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    PT_OK(vc_container_create(ctx, "f", &p.ctr[1], NULL, &err));
    PT_FAILS(VC_ERR_IO, "ctr_start", vc_container_start(fails, "f", "c1", &err));
    assert_ctr(ctx, "f", "c1", "ready");
    PT_OK(vc_container_start(was, "f", "c1", &err));
    assert_ctr(ctx, "f", "c1", "running");
    PT_FAILS(VC_ERR_STATE, "running and must be ready", vc_container_start(ctx, "f", "c1", &err));
    PT_OK(vc_container_exec(ctx, "f", "c1", &p.process, NULL, NULL, &err));
    PT_OK(vc_pod_delete(ctx, "f", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
    vc_context_free(fails);
    vc_context_free(was);
}

static void test_pause_container(void **state)
{
    (void)state;
    struct pt_pod p;
    const char *process = "hypervisor_faulty.process=true", *shim = "shim_faulty.process=true";
    vc_context *ctx = pt_context("faulty", process, shim, NULL, NULL);
    vc_context *fails = pt_context("faulty", "agent_faulty.fail=ctr_pause", NULL, NULL, NULL);
    vc_context *stuck = pt_context("faulty", "agent_faulty.fail=ctr_resume", NULL, NULL, NULL);
    vc_context *lost = pt_context("faulty", "agent_faulty.fail=ctr_resume", "agent_faulty.code=-6", NULL, NULL);
    vc_context *cannot = pt_context("faulty", "agent_faulty.more=false", NULL, NULL, NULL);
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "f", 2), NULL, &err));
    PT_FAILS(VC_ERR_STATE, "ready and must be running", vc_container_pause(ctx, "f", "c0", &err));
    PT_OK(vc_pod_start(ctx, "f", &err));
    PT_FAILS(VC_ERR_NOTFOUND, "c7", vc_container_pause(ctx, "f", "c7", &err));
    PT_FAILS(VC_ERR_STATE, "running and must be paused", vc_container_resume(ctx, "f", "c0", &err));
    PT_FAILS(VC_ERR_UNSUPPORTED, "cannot pause", vc_container_pause(cannot, "f", "c0", &err));
    PT_FAILS(VC_ERR_IO, "ctr_pause", vc_container_pause(fails, "f", "c0", &err));
    assert_ctr(ctx, "f", "c0", "running");
    PT_OK(vc_container_pause(ctx, "f", "c0", &err));
    assert_ctr(ctx, "f", "c0", "paused");
    assert_ctr(ctx, "f", "c1", "running");
    assert_state(ctx, "f", "running");
    PT_FAILS(VC_ERR_STATE, "paused", vc_container_pause(ctx, "f", "c0", &err));
    PT_FAILS(VC_ERR_STATE, "paused and must be ready", vc_container_start(ctx, "f", "c0", &err));
    PT_FAILS(VC_ERR_STATE, "paused", vc_container_exec(ctx, "f", "c0", &p.process, NULL, NULL, &err));
    PT_FAILS(VC_ERR_STATE, "paused", vc_container_kill(ctx, "f", "c0", NULL, 9, 0, &err));
    PT_FAILS(VC_ERR_STATE, "resume it", vc_container_stop(ctx, "f", "c0", 0, &err));
    PT_FAILS(VC_ERR_STATE, "paused", vc_container_delete(ctx, "f", "c0", 0, &err));
    PT_FAILS(VC_ERR_IO, "ctr_resume", vc_container_resume(stuck, "f", "c0", &err));
    PT_FAILS(VC_ERR_STATE, "ctr_resume", vc_container_resume(lost, "f", "c0", &err));
    assert_ctr(ctx, "f", "c0", "paused");
    /* The pod's pause is apart from the container's. */
    PT_OK(vc_pod_pause(ctx, "f", &err));
    assert_ctr(ctx, "f", "c1", "paused");
    PT_OK(vc_pod_resume(ctx, "f", &err));
    assert_ctr(ctx, "f", "c0", "paused");
    assert_ctr(ctx, "f", "c1", "running");
    PT_OK(vc_container_resume(ctx, "f", "c0", &err));
    assert_ctr(ctx, "f", "c0", "running");
    PT_OK(vc_container_pause(ctx, "f", "c0", &err));
    PT_OK(vc_container_delete(ctx, "f", "c0", VC_FORCE, &err));
    PT_OK(vc_container_pause(ctx, "f", "c1", &err));
    PT_OK(vc_pod_stop(ctx, "f", VC_FORCE, &err));
    assert_ctr(ctx, "f", "c1", "stopped");
    PT_OK(vc_pod_delete(ctx, "f", 0, &err));
    pt_nothing_left();
    vc_context *all[] = { ctx, fails, stuck, lost, cannot };
    for (size_t i = 0; i < 5; i++)
        vc_context_free(all[i]);
}

/* ---- annotations ---- */

static void test_annotations(void **state)
{
    (void)state;
    struct pt_pod p;
    static const char *const first[] = { "a=1", "b=x=y", "a=2", NULL }, *const ctr[] = { "who=c1", NULL };
    static const char *const second[] = { "b=", "z=two\nlines", "new.example/key={\"j\":1}", NULL };
    static const char *const none[] = { NULL };
    char **list = NULL, *value = NULL, *json = NULL;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    pt_pod(&p, "noted", 2);
    p.pod.annotations = first;
    p.ctr[1].annotations = ctr;
    p.ctr[0].spec_json = "{\"annotations\":{\"base\":\"of the file\"}}";
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    PT_OK(vc_pod_annotations(ctx, "noted", &list, &err));
    assert_string_equal(list[0], "a=2");
    assert_string_equal(list[1], "b=x=y");
    assert_null(list[2]);
    vc_strv_free(list);
    PT_OK(vc_pod_set_annotations(ctx, "noted", second, &err));
    PT_OK(vc_pod_set_annotations(ctx, "noted", none, &err));
    PT_OK(vc_pod_annotation(ctx, "noted", "b", &value, &err));
    assert_string_equal(value, "");
    free(value);
    PT_OK(vc_pod_annotation(ctx, "noted", "z", &value, &err));
    assert_string_equal(value, "two\nlines");
    free(value);
    PT_FAILS(VC_ERR_NOTFOUND, "no annotation \"b=x\"", vc_pod_annotation(ctx, "noted", "b=x", &value, &err));
    PT_FAILS(VC_ERR_NOTFOUND, "no annotation \"nothing\"", vc_pod_annotation(ctx, "noted", "nothing", &value, &err));
    PT_FAILS(VC_ERR_NOTFOUND, "nobody", vc_pod_annotation(ctx, "nobody", "a", &value, &err));
    PT_OK(vc_container_annotation(ctx, "noted", "c1", "who", &value, &err));
    assert_string_equal(value, "c1");
    free(value);
    PT_OK(vc_container_annotations(ctx, "noted", "c0", &list, &err));
    assert_string_equal(list[0], "base=of the file");
    assert_null(list[1]);
    vc_strv_free(list);
    PT_FAILS(VC_ERR_NOTFOUND, "container \"c1\" has no annotation",
             vc_container_annotation(ctx, "noted", "c1", "a", &value, &err));
    PT_FAILS(VC_ERR_NOTFOUND, "c9", vc_container_annotations(ctx, "noted", "c9", &list, &err));
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, "noted", &s, &err));
    assert_string_equal(s->annotations[0], "a=2");
    assert_string_equal(s->containers[1]->annotations[0], "who=c1");
    assert_null(s->containers[1]->annotations[1]);
    PT_OK(vc_pod_status_json(s, &json, &err));
    assert_has(json,
               "\"annotations\":{\"a\":\"2\",\"b\":\"\",\"z\":\"two\\nlines\",\"new.example/key\":\"{\\\"j\\\":1}\"}");
    assert_has(json, "\"annotations\":{\"who\":\"c1\"}");
    free(json);
    vc_pod_status_free(s);
    PT_OK(vc_pod_delete(ctx, "noted", 0, &err));
    /* A pod without any has an empty list, and takes new ones. */
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "bare", 1), NULL, &err));
    PT_OK(vc_pod_annotations(ctx, "bare", &list, &err));
    assert_null(list[0]);
    vc_strv_free(list);
    PT_OK(vc_pod_set_annotations(ctx, "bare", first, &err));
    PT_OK(vc_pod_delete(ctx, "bare", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

static void test_bad_annotations(void **state)
{
    (void)state;
    struct pt_pod p;
    static char big[300000], key[2000];
    memset(big, 'x', sizeof big - 1);
    big[1] = '=';
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 3] = '=';
    const struct {
        int code;
        const char *words, *text;
    } bad[] = {
        { VC_ERR_INVAL, "KEY=VALUE", "novalue" },
        { VC_ERR_INVAL, "KEY=VALUE", "=value" },
        { VC_ERR_INVAL, "KEY=VALUE", "" },
        { VC_ERR_INVAL, "not UTF-8", "a=\xff" },
        { VC_ERR_INVAL, "control byte", "a\n=1" },
        { VC_ERR_INVAL, "control byte", "a=\033[0m" },
        { VC_ERR_INVAL, "longer than 1024 bytes", key },
        { VC_ERR_RESOURCE, "bytes together", big },
    };
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "noted", 0), NULL, &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *list[] = { "fine=1", bad[i].text, NULL };
        char **now = NULL;
        PT_FAILS(bad[i].code, bad[i].words, vc_pod_set_annotations(ctx, "noted", list, &err));
        PT_OK(vc_pod_annotations(ctx, "noted", &now, &err));
        assert_null(now[0]); /* all or none */
        vc_strv_free(now);
        pt_pod(&p, "other", 1);
        p.pod.annotations = list;
        PT_FAILS(bad[i].code, bad[i].words, vc_pod_create(ctx, &p.pod, NULL, &err));
        pt_pod(&p, "other", 1);
        p.ctr[0].annotations = list;
        if (bad[i].code == VC_ERR_RESOURCE)
            PT_FAILS(bad[i].code, bad[i].words, vc_pod_create(ctx, &p.pod, NULL, &err));
    }
    /* What is there counts. */
    big[200000] = '\0';
    const char *half[] = { big, NULL }, *more[] = { "y=z", NULL };
    PT_OK(vc_pod_set_annotations(ctx, "noted", half, &err));
    PT_OK(vc_pod_set_annotations(ctx, "noted", half, &err));
    PT_OK(vc_pod_set_annotations(ctx, "noted", more, &err));
    big[0] = 'w';
    PT_FAILS(VC_ERR_RESOURCE, "bytes together", vc_pod_set_annotations(ctx, "noted", half, &err));
    PT_FAILS(VC_ERR_INVAL, "\"annotations\" is NULL", vc_pod_set_annotations(ctx, "noted", NULL, &err));
    PT_OK(vc_pod_delete(ctx, "noted", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

enum { SETTERS = 8, SETS = 20 };
struct setter {
    vc_context *ctx;
    int n, failed;
    pthread_t thread;
};

static void *set_many(void *arg)
{
    struct setter *s = arg;
    for (int i = 0; i < SETS; i++) {
        char mine[32], shared[32];
        PT_PATH(mine, "key-%d-%d=%d", s->n, i, i);
        PT_PATH(shared, "shared=%d", i);
        const char *list[] = { mine, shared, NULL };
        s->failed += vc_pod_set_annotations(s->ctx, "noted", list, NULL) < 0;
    }
    return NULL;
}

/* Nothing that anybody has set is lost. */
static void test_annotations_at_once(void **state)
{
    (void)state;
    struct pt_pod p;
    struct setter s[SETTERS];
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "noted", 0), NULL, &err));
    for (int i = 0; i < SETTERS; i++) {
        s[i] = (struct setter){ .ctx = ctx, .n = i };
        assert_int_equal(pthread_create(&s[i].thread, NULL, set_many, &s[i]), 0);
    }
    for (int i = 0; i < SETTERS; i++) {
        pthread_join(s[i].thread, NULL);
        assert_int_equal(s[i].failed, 0);
    }
    char **list = NULL;
    size_t n = 0;
    PT_OK(vc_pod_annotations(ctx, "noted", &list, &err));
    while (list[n])
        n++;
    assert_int_equal(n, SETTERS * SETS + 1);
    vc_strv_free(list);
    PT_OK(vc_pod_delete(ctx, "noted", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* Of a pod from before a reboot: it stays one that does not run. */
static void test_annotations_after_reboot(void **state)
{
    (void)state;
    struct pt_pod p;
    static const char *const list[] = { "a=1", NULL };
    char path[PATH_MAX + 64], text[65536];
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "old", 1), NULL, &err));
    PT_PATH(path, "%s/state/pods/old/pod.json", pt_root);
    size_t n = read_all(path, text, sizeof text);
    char *boot = strstr(text, "\"boot_id\":\"");
    assert_non_null(boot);
    boot[11] = boot[11] == 'f' ? 'e' : 'f';
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    PT_OK(vc_pod_set_annotations(ctx, "old", list, &err));
    assert_state(ctx, "old", "stopped");
    assert_ctr(ctx, "old", "c0", "stopped");
    PT_OK(vc_pod_start(ctx, "old", &err));
    assert_ctr(ctx, "old", "c0", "running");
    PT_OK(vc_pod_delete(ctx, "old", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* ---- lists and status ---- */

/* bug-23: an unknown container is an error; what died is seen at the first look. */
static void test_list(void **state)
{
    (void)state;
    struct pt_pod p;
    struct vc_container_status **list = NULL, *s = NULL;
    size_t n = 0;
    char *json = NULL;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "many", 3), NULL, &err));
    PT_OK(vc_container_list(ctx, "many", &list, &n, &err));
    assert_int_equal(n, 3);
    assert_string_equal(list[0]->id, "c0");
    assert_string_equal(list[2]->id, "c2");
    assert_string_equal(list[2]->pod, "many");
    assert_string_equal(list[2]->token, "c2");
    assert_int_equal(list[2]->oom_killed, 0);
    assert_null(list[2]->annotations[0]);
    PT_OK(vc_container_status_json(list[1], &json, &err));
    assert_has(json, "\"id\":\"c1\"");
    assert_has(json, "\"pod\":\"many\"");
    assert_has(json, "\"token\":\"c1\"");
    assert_has(json, "\"oom_killed\":false");
    assert_has(json, "\"annotations\":{}");
    free(json);
    vc_container_list_free(list, n);
    PT_FAILS(VC_ERR_NOTFOUND, "c9", vc_container_status(ctx, "many", "c9", &s, &err));
    assert_null(s);
    PT_FAILS(VC_ERR_NOTFOUND, "nobody", vc_container_list(ctx, "nobody", &list, &n, &err));
    PT_OK(vc_pod_delete(ctx, "many", 0, &err));
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "empty", 0), NULL, &err));
    PT_OK(vc_container_list(ctx, "empty", &list, &n, &err));
    assert_int_equal(n, 0);
    vc_container_list_free(list, n);
    PT_FAILS(VC_ERR_NOTFOUND, "no container", vc_pod_enter(ctx, "empty", &p.process, NULL, NULL, &err));
    char *uri = NULL;
    PT_OK(vc_pod_console(ctx, "empty", &uri, &err));
    assert_string_equal(uri, "");
    free(uri);
    PT_FAILS(VC_ERR_NOTFOUND, "nobody", vc_pod_console(ctx, "nobody", &uri, &err));
    PT_OK(vc_pod_delete(ctx, "empty", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

static void write_exit(const char *pod, const char *name, const char *text)
{
    char path[PATH_MAX + 256];
    PT_PATH(path, "%s/run/pods/%s/exit", pt_root, pod);
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    PT_PATH(path, "%s/run/pods/%s/exit/%s", pt_root, pod, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* A shim that reports and ends: the status file's second line says why. */
static void test_oom_status(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
        uint32_t oom;
    } cases[] = { { "137\noom\n", 137, 1 }, { "137\n", 137, 0 }, { "0\noom\n", 0, 0 }, { "137\nother\n", 137, 0 } };
    struct pt_pod p;
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "o", 4), NULL, &err));
    for (size_t i = 0; i < 4; i++) {
        struct vc_container_status *s = NULL;
        char *json = NULL;
        PT_OK(vc_container_status(ctx, "o", p.ids[i], &s, &err));
        assert_int_equal(s->oom_killed, 0);
        int32_t shim = s->pid;
        vc_container_status_free(s);
        write_exit("o", p.ids[i], cases[i].text);
        kill(shim, SIGKILL);
        assert_int_equal(waitpid(shim, NULL, 0), shim);
        PT_OK(vc_container_status(ctx, "o", p.ids[i], &s, &err));
        assert_string_equal(s->state, "stopped");
        assert_int_equal(s->exit_status, cases[i].status);
        assert_int_equal(s->oom_killed, cases[i].oom);
        PT_OK(vc_container_status_json(s, &json, &err));
        assert_has(json, cases[i].oom ? "\"oom_killed\":true" : "\"oom_killed\":false");
        free(json);
        vc_container_status_free(s);
    }
    /* It is known after the pod was stopped, and forgotten when it runs again. */
    struct vc_container_status *s = NULL;
    PT_OK(vc_pod_stop(ctx, "o", VC_FORCE, &err));
    PT_OK(vc_container_status(ctx, "o", "c0", &s, &err));
    assert_int_equal(s->oom_killed, 1);
    vc_container_status_free(s);
    PT_OK(vc_pod_start(ctx, "o", &err));
    PT_OK(vc_pod_stop(ctx, "o", VC_FORCE, &err));
    PT_OK(vc_container_status(ctx, "o", "c0", &s, &err));
    assert_int_equal(s->oom_killed, 0);
    vc_container_status_free(s);
    PT_OK(vc_pod_delete(ctx, "o", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* ---- set pid ---- */

static void *say_tid(void *arg)
{
    int *pipes = arg, tid = (int)gettid();
    char c;
    if (write(pipes[1], &tid, sizeof tid) != sizeof tid)
        return NULL;
    return read(pipes[2], &c, 1) == 1 ? pipes : NULL; /* until the test is through */
}

/* A thread has an entry in /proc, and is no process: nobody could wait for it. */
static void set_pid_of_thread(vc_context *ctx)
{
    pthread_t thread;
    int pipes[4], tid = 0;
    assert_int_equal(pipe2(pipes, O_CLOEXEC) | pipe2(pipes + 2, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&thread, NULL, say_tid, pipes), 0);
    assert_int_equal(read(pipes[0], &tid, sizeof tid), sizeof tid);
    PT_FAILS(VC_ERR_NOTFOUND, "no process", vc_container_set_pid(ctx, "s", "c0", tid, &err));
    assert_int_equal(write(pipes[3], "", 1), 1);
    pthread_join(thread, NULL);
    for (size_t i = 0; i < 4; i++)
        close(pipes[i]);
}

static void test_set_pid(void **state)
{
    (void)state;
    struct pt_pod p;
    struct vc_container_status *s = NULL;
    int32_t status = -1;
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "s", 3), NULL, &err));
    PT_FAILS(VC_ERR_INVAL, "0 is not the id", vc_container_set_pid(ctx, "s", "c0", 0, &err));
    PT_FAILS(VC_ERR_INVAL, "1 is not the id", vc_container_set_pid(ctx, "s", "c0", 1, &err));
    PT_FAILS(VC_ERR_INVAL, "the calling one", vc_container_set_pid(ctx, "s", "c0", getpid(), &err));
    PT_FAILS(VC_ERR_NOTFOUND, "c7", vc_container_set_pid(ctx, "s", "c7", 2, &err));
    pid_t gone = pt_sleeper();
    kill(gone, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)gone, &info, WEXITED | WNOWAIT), 0);
    PT_FAILS(VC_ERR_NOTFOUND, "no process", vc_container_set_pid(ctx, "s", "c0", gone, &err)); /* a zombie is none */
    assert_int_equal(waitpid(gone, NULL, 0), gone);
    PT_FAILS(VC_ERR_NOTFOUND, "no process", vc_container_set_pid(ctx, "s", "c0", gone, &err));
    set_pid_of_thread(ctx);
    PT_OK(vc_container_status(ctx, "s", "c0", &s, &err));
    int32_t shim = s->pid;
    vc_container_status_free(s);

    /* Its end is the container's end, and the shim is left alone, also by gc. */
    pid_t stand_in = pt_sleeper();
    PT_OK(vc_container_set_pid(ctx, "s", "c0", stand_in, &err));
    PT_OK(vc_container_status(ctx, "s", "c0", &s, &err));
    assert_int_equal(s->pid, stand_in);
    assert_string_equal(s->state, "running");
    vc_container_status_free(s);
    size_t removed = 0;
    PT_OK(vc_gc(ctx, NULL, NULL, &removed, &err));
    assert_int_equal(removed, 0);
    assert_false(is_stopped(shim));
    PT_FAILS(VC_ERR_TIMEOUT, "c0", vc_container_wait(ctx, "s", "c0", NULL, 0, &status, &err));
    kill(stand_in, SIGTERM);
    PT_OK(vc_container_wait(ctx, "s", "c0", NULL, -1, &status, &err));
    assert_int_equal(status, 128 + SIGTERM);
    assert_ctr(ctx, "s", "c0", "stopped");
    assert_false(is_stopped(shim));

    /* Stopping waits for it and then kills it. */
    stand_in = pt_sleeper();
    PT_OK(vc_container_set_pid(ctx, "s", "c1", stand_in, &err));
    PT_OK(vc_container_stop(ctx, "s", "c1", 1, &err));
    assert_ctr(ctx, "s", "c1", "stopped");
    assert_int_equal(kill(stand_in, 0), -1);
    stand_in = pt_sleeper();
    PT_OK(vc_container_set_pid(ctx, "s", "c2", stand_in, &err));
    PT_OK(vc_pod_stop(ctx, "s", VC_FORCE, &err));
    assert_int_equal(kill(stand_in, 0), -1);
    PT_FAILS(VC_ERR_STATE, "stopped", vc_container_set_pid(ctx, "s", "c2", getppid(), &err));
    PT_OK(vc_pod_delete(ctx, "s", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* Arguments that are none are errors with a sentence, whatever the function. */
static void test_arguments(void **state)
{
    (void)state;
    struct pt_pod p;
    struct vc_container_status **list = NULL, *s = NULL;
    struct vc_container_stats *stats = NULL;
    size_t n = 0;
    char *text = NULL, **texts = NULL;
    static const char *const notes[] = { "a=1", NULL };
    struct vc_resources res;
    VC_INIT(&res);
    res.memory_limit = 1;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "args", 1), NULL, &err));
    const char *bad[] = { NULL, "", "a/b", ".." };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *b = bad[i];
        PT_FAILS(VC_ERR_INVAL, "pod id", vc_pod_pause(ctx, b, &err));
        PT_FAILS(VC_ERR_INVAL, "pod id", vc_pod_resume(ctx, b, &err));
        PT_FAILS(VC_ERR_INVAL, "pod id", vc_pod_enter(ctx, b, &p.process, NULL, NULL, &err));
        PT_FAILS(VC_ERR_INVAL, "pod id", vc_pod_annotation(ctx, b, "a", &text, &err));
        PT_FAILS(VC_ERR_INVAL, "pod id", vc_pod_annotations(ctx, b, &texts, &err));
        PT_FAILS(VC_ERR_INVAL, "pod id", vc_pod_set_annotations(ctx, b, notes, &err));
        PT_FAILS(VC_ERR_INVAL, "pod id", vc_pod_console(ctx, b, &text, &err));
        PT_FAILS(VC_ERR_INVAL, "pod id", vc_container_list(ctx, b, &list, &n, &err));
        PT_FAILS(VC_ERR_INVAL, "container id", vc_container_pause(ctx, "args", b, &err));
        PT_FAILS(VC_ERR_INVAL, "container id", vc_container_resume(ctx, "args", b, &err));
        PT_FAILS(VC_ERR_INVAL, "container id", vc_container_ps(ctx, "args", b, NULL, &text, &err));
        PT_FAILS(VC_ERR_INVAL, "container id", vc_container_stats(ctx, "args", b, &stats, &err));
        PT_FAILS(VC_ERR_INVAL, "container id", vc_container_update(ctx, "args", b, &res, &err));
        PT_FAILS(VC_ERR_INVAL, "container id", vc_container_set_pid(ctx, "args", b, 2, &err));
        PT_FAILS(VC_ERR_INVAL, "container id", vc_container_annotation(ctx, "args", b, "a", &text, &err));
        PT_FAILS(VC_ERR_INVAL, "container id", vc_container_annotations(ctx, "args", b, &texts, &err));
        PT_FAILS(VC_ERR_INVAL, "container id", vc_container_status(ctx, "args", b, &s, &err));
    }
    PT_FAILS(VC_ERR_INVAL, "\"container\" is NULL", vc_container_exec(ctx, "args", NULL, &p.process, NULL, NULL, &err));
    PT_FAILS(VC_ERR_INVAL, "\"key\" is NULL", vc_pod_annotation(ctx, "args", NULL, &text, &err));
    PT_FAILS(VC_ERR_INVAL, "\"ret_text\" is NULL", vc_container_ps(ctx, "args", "c0", NULL, NULL, &err));
    PT_FAILS(VC_ERR_INVAL, "no process", vc_pod_enter(ctx, "args", NULL, NULL, NULL, &err));
    vc_container_status_free(NULL);
    vc_container_list_free(NULL, 0);
    vc_container_stats_free(NULL);
    vc_strv_free(NULL);
    PT_OK(vc_pod_delete(ctx, "args", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A shim that cannot show the streams says so, whether it has a process or not. */
static void test_attach_unsupported(void **state)
{
    static const char *const stacks[] = { "mock", "faulty" };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pt_pod p;
        int fds[3] = { 7, 8, 9 };
        vc_context *ctx = pt_context(stacks[i], i ? "shim_faulty.process=true" : NULL, NULL, NULL, NULL);
        PT_OK(vc_pod_run(ctx, pt_pod(&p, "p", 1), NULL, &err));
        PT_FAILS(VC_ERR_UNSUPPORTED, "cannot do that", vc_container_attach(ctx, "p", "c0", NULL, 0, fds, &err));
        PT_FAILS(VC_ERR_NOTFOUND, "\"c9\"", vc_container_attach(ctx, "p", "c9", NULL, 0, fds, &err));
        PT_FAILS(VC_ERR_NOTFOUND, "\"e9\"", vc_container_attach(ctx, "p", "c0", "e9", 0, fds, &err));
        assert_true(fds[0] == 7 && fds[1] == 8 && fds[2] == 9);
        PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
        vc_context_free(ctx);
    }
    pt_nothing_left();
}

/* What could not be read again when the pod is started is refused when it is given. */
static void test_large_specification(void **state)
{
    struct pt_pod p;
    static char big[5u * 1024 * 1024];
    const char *env[] = { big, NULL };
    (void)state;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    memset(big, 'x', sizeof big - 1);
    big[1] = '=';
    pt_pod(&p, "large", 1);
    p.process.env = env;
    p.pod.flags = VC_POD_DEFER_VM;
    PT_FAILS(VC_ERR_RESOURCE, "\"c0\" takes", vc_pod_create(ctx, &p.pod, NULL, &err));
    pt_nothing_left();
    big[4u * 1024 * 1024 - 65536] = '\0';
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    PT_OK(vc_pod_start(ctx, "large", &err));
    PT_OK(vc_pod_delete(ctx, "large", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* Likewise what has more objects in each other than the reader takes. */
static void test_deep_specification(void **state)
{
    struct pt_pod p;
    char json[2048] = "{\"args\":[\"x}]\\\"{\"],\"cwd\":\"/\",\"z\":", deep[512] = "";
    struct vc_resources res;
    (void)state;
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", NULL, NULL, NULL);
    for (int i = 0; i < 29; i++)
        strcat(deep, "{\"a\":");
    strcat(deep, "1");
    for (int i = 0; i < 29; i++)
        strcat(deep, "}");
    strcat(json, deep);
    strcat(json, "}");
    pt_pod(&p, "deep", 1);
    p.process.process_json = json;
    size_t len = strlen(json) - 1;
    snprintf(json + len, sizeof json - len, ",\"y\":{\"a\":%s}}", deep);
    PT_FAILS(VC_ERR_INVAL, "container \"c0\": its objects and arrays are nested too deeply",
             vc_pod_create(ctx, &p.pod, NULL, &err));
    pt_nothing_left();
    snprintf(json + len, sizeof json - len, "}");
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    VC_INIT(&res);
    PT_PATH(json, "{\"memory\":%s}", deep);
    res.json = json;
    PT_FAILS(VC_ERR_INVAL, "nested too deeply", vc_container_update(ctx, "deep", "c0", &res, &err));
    PT_OK(vc_pod_stop(ctx, "deep", VC_FORCE, &err));
    PT_OK(vc_pod_start(ctx, "deep", &err));
    PT_OK(vc_pod_delete(ctx, "deep", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* ---- stopping ---- */

struct stopping {
    vc_context *ctx;
    int rc;
    char text[512];
};

static void *stop_c1(void *arg)
{
    struct stopping *s = arg;
    vc_error *err = NULL;
    s->rc = vc_container_stop(s->ctx, "race", "c1", -1, &err);
    PT_PATH(s->text, "%s", vc_error_text(err));
    vc_error_free(err);
    return NULL;
}

static void write_record(const char *text)
{
    char path[PATH_MAX + 128], new[PATH_MAX + 128];
    PT_PATH(path, "%s/state/pods/race/pod.json", pt_root);
    PT_PATH(new, "%s/state/pods/race/by-hand", pt_root);
    int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    assert_int_equal(rename(new, path), 0);
}

/* A container that is started while its stop waits for the pod's lock has not been ended by that: it is ended then, and not
 * just called stopped. */
static void test_stop_beside_start(void **state)
{
    (void)state;
    struct pt_pod p;
    struct stopping s = { 0 };
    pthread_t thread;
    static char ready[65536], running[65536];
    char path[PATH_MAX + 128], event[4096];
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", NULL, NULL);
    s.ctx = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", "agent_faulty.fail=signal", NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "race", 1), NULL, &err));
    pt_pod(&p, "race", 2);
    PT_OK(vc_container_create(ctx, "race", &p.ctr[1], NULL, &err));
    PT_PATH(path, "%s/state/pods/race/pod.json", pt_root);
    read_all(path, ready, sizeof ready);
    PT_OK(vc_container_start(ctx, "race", "c1", &err));
    read_all(path, running, sizeof running);
    write_record(ready);

    PT_PATH(path, "%s/state/pods/race", pt_root);
    int lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), looks = inotify_init1(IN_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    PT_PATH(path, "%s/state/pods/race/pod.json", pt_root);
    assert_true(inotify_add_watch(looks, path, IN_CLOSE_NOWRITE) >= 0);
    assert_int_equal(pthread_create(&thread, NULL, stop_c1, &s), 0);
    assert_true(read(looks, event, sizeof event) > 0); /* it has seen one that was not started */
    write_record(running);
    assert_int_equal(flock(lock, LOCK_UN), 0);
    pthread_join(thread, NULL);
    close(looks);
    close(lock);
    if (s.rc != VC_ERR_IO || !strstr(s.text, "signal fails"))
        fail_msg("%d \"%s\", and nobody has told the process", s.rc, s.text);
    assert_ctr(ctx, "race", "c1", "running");
    PT_OK(vc_pod_delete(ctx, "race", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(s.ctx);
    vc_context_free(ctx);
}

/* Bytes that are no UTF-8 would make JSON that is none.  Refused before anything is made. */
static void test_no_text(void **state)
{
    (void)state;
    static const char *const args[] = { "true", "caf\xc3\xa9", "caf\xe9", NULL };
    static const char *const env[] = { "A=1", "B=\xc3", NULL }, *const group[] = { "\xff", NULL };
    static const char *const caps[] = { "CAP_\xff", NULL }, *const sysctl[] = { "a=\xff", NULL };
    static const char *const options[] = { "ro", "\xc0\x80", NULL };
    const struct vc_capabilities sets = { .size = sizeof sets, .ambient = caps };
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    struct pt_pod p;
    struct vc_mount m, *mounts[] = { &m };
    struct vc_device_info d, *devices[] = { &d };
    char path[PATH_MAX + 64], link_[PATH_MAX + 64], *id = NULL;
    for (int i = 0; i < 14; i++) {
        static const char *const words[] = {
            "args[2] \"caf\\xe9\" is not UTF-8 at byte 3", "env[1] \"B=\\xc3\" is not UTF-8 at byte 2", "groups[0]", "caps[0]",
            "capabilities[0]", "the working directory \"/\\xed\\xa0\\x80\" is not UTF-8 at byte 1", "the user \"\\xfe\"", "the group",
            "process_json", "sysctl[0]", "annotations[0]", "spec_json", "the options of a mount,[1]", "the type of a mount",
        };
        pt_pod(&p, "p", 1);
        struct vc_process_config *c = &p.process;
        VC_INIT(&m);
        m.destination = "/x";
        m.type = i == 13 ? "tmpfs\xff" : "tmpfs";
        m.options = i == 12 ? options : NULL;
        switch (i) {
        case 0: c->args = args; break;
        case 1: c->env = env; break;
        case 2: c->groups = group; break;
        case 3: c->caps = caps; break;
        case 4: c->capabilities = &sets; break;
        case 5: c->cwd = "/\xed\xa0\x80"; break;
        case 6: c->user = "\xfe"; break;
        case 7: c->group = "\xfe"; break;
        case 8: c->process_json = "{\"cwd\":\"/\",\"args\":[\"\xfe\"]}"; break;
        case 9: p.ctr[0].sysctl = sysctl; break;
        case 10: p.ctr[0].annotations = sysctl; break;
        case 11: p.ctr[0].spec_json = "{\"hostname\":\"\xfe\"}"; break;
        default: p.ctr[0].mounts = mounts; p.ctr[0].n_mounts = 1;
        }
        PT_FAILS(VC_ERR_INVAL, words[i], vc_pod_create(ctx, &p.pod, NULL, &err));
        pt_nothing_left();
    }
    /* Where a link leads to. */
    PT_PATH(path, "%s/\xff", pt_root);
    PT_PATH(link_, "%s/link", pt_root);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(symlink("\xff", link_), 0);
    pt_pod(&p, "p", 1);
    VC_INIT(&m);
    m.destination = "/x";
    m.source = link_;
    p.ctr[0].mounts = mounts;
    p.ctr[0].n_mounts = 1;
    PT_FAILS(VC_ERR_INVAL, "\\xff\" is not UTF-8", vc_pod_create(ctx, &p.pod, NULL, &err));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    pt_pod(&p, "p", 1);
    VC_INIT(&d);
    d.host_path = link_;
    d.container_path = "/x";
    p.ctr[0].devices = devices;
    p.ctr[0].n_devices = 1;
    PT_FAILS(VC_ERR_INVAL, "\\xff\" is not UTF-8", vc_pod_create(ctx, &p.pod, NULL, &err));
    unlink(path);
    unlink(link_);
    pt_nothing_left();
    /* A further process. */
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "p", 1), NULL, &err));
    p.process.args = args;
    PT_FAILS(VC_ERR_INVAL, "args[2]", vc_container_exec(ctx, "p", "c0", &p.process, &id, NULL, &err));
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    vc_context_free(ctx);
    pt_nothing_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_text),
        cmocka_unit_test(test_pause_states),
        cmocka_unit_test(test_pause_effect),
        cmocka_unit_test(test_started_before),
        cmocka_unit_test(test_pause_container),     cmocka_unit_test(test_annotations),
        cmocka_unit_test(test_bad_annotations),     cmocka_unit_test(test_list),
        cmocka_unit_test(test_oom_status),          cmocka_unit_test(test_set_pid),
        cmocka_unit_test(test_arguments),           cmocka_unit_test(test_pause_not_stored),
        cmocka_unit_test(test_annotations_at_once), cmocka_unit_test(test_annotations_after_reboot),
        cmocka_unit_test(test_attach_unsupported),  cmocka_unit_test(test_large_specification),
        cmocka_unit_test(test_stop_beside_start),   cmocka_unit_test(test_deep_specification),
    };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
