/* SPDX-License-Identifier: Apache-2.0 */
/* test-api.c: what every function of pods and containers has in common: ids that are none, and NULL; the members of what
 * they return; what stays when the caller goes. */
#include "podtest.h"

#include <signal.h>

static struct pt_pod p;
static vc_context *ctx;

/* ---- arguments ---- */

static char *text, **texts;
static int fds[3];
static struct vc_pod_status *pod_status;
static struct vc_container_status *status, **list;
static struct vc_container_stats *stats;
static struct vc_resources limits;
static vc_events *events;
static vc_process *process;
static size_t n;
static int32_t code;
static const char *const notes[] = { "a=b", NULL };

enum { OF_POD = 1, OF_CTR, OF_EXEC }; /* which ids a function takes: pod; and container; and exec id, which may be NULL */

struct function {
    const char *name;
    int takes;
    int (*fn)(vc_context *c, const char *pod, const char *ctr, const char *exec, vc_error **err);
};
#define F(name, call)                                                                                                  \
    static int f_##name(vc_context *c, const char *pod, const char *ctr, const char *exec, vc_error **err)             \
    {                                                                                                                  \
        (void)ctr;                                                                                                     \
        (void)exec;                                                                                                    \
        return call;                                                                                                   \
    }
F(vc_pod_start, vc_pod_start(c, pod, err))
F(vc_pod_stop, vc_pod_stop(c, pod, VC_FORCE, err))
F(vc_pod_delete, vc_pod_delete(c, pod, VC_FORCE, err))
F(vc_pod_pause, vc_pod_pause(c, pod, err))
F(vc_pod_resume, vc_pod_resume(c, pod, err))
F(vc_pod_enter, vc_pod_enter(c, pod, &p.process, NULL, NULL, err))
F(vc_pod_annotation, vc_pod_annotation(c, pod, "k", &text, err))
F(vc_pod_annotations, vc_pod_annotations(c, pod, &texts, err))
F(vc_pod_set_annotations, vc_pod_set_annotations(c, pod, notes, err))
F(vc_pod_console, vc_pod_console(c, pod, &text, err))
F(vc_pod_status, vc_pod_status(c, pod, &pod_status, err))
F(vc_container_create, vc_container_create(c, pod, &p.ctr[0], NULL, err))
F(vc_container_list, vc_container_list(c, pod, &list, &n, err))
F(vc_container_start, vc_container_start(c, pod, ctr, err))
F(vc_container_stop, vc_container_stop(c, pod, ctr, -1, err))
F(vc_container_delete, vc_container_delete(c, pod, ctr, VC_FORCE, err))
F(vc_container_exec, vc_container_exec(c, pod, ctr, &p.process, NULL, NULL, err))
F(vc_container_kill, vc_container_kill(c, pod, ctr, exec, 15, 0, err))
F(vc_container_wait, vc_container_wait(c, pod, ctr, exec, 0, &code, err))
F(vc_container_resize, vc_container_resize(c, pod, ctr, exec, 24, 80, err))
F(vc_container_attach, vc_container_attach(c, pod, ctr, exec, 0, fds, err))
F(vc_container_status, vc_container_status(c, pod, ctr, &status, err))
F(vc_container_annotation, vc_container_annotation(c, pod, ctr, "k", &text, err))
F(vc_container_annotations, vc_container_annotations(c, pod, ctr, &texts, err))
F(vc_container_set_pid, vc_container_set_pid(c, pod, ctr, 2, err))
F(vc_container_pause, vc_container_pause(c, pod, ctr, err))
F(vc_container_resume, vc_container_resume(c, pod, ctr, err))
F(vc_container_ps, vc_container_ps(c, pod, ctr, NULL, &text, err))
F(vc_container_stats, vc_container_stats(c, pod, ctr, &stats, err))
F(vc_container_update, vc_container_update(c, pod, ctr, &limits, err))
F(vc_process_open, vc_process_open(c, pod, ctr, exec, &process, err))

static int f_vc_events_open(vc_context *c, const char *pod, const char *ctr, const char *exec, vc_error **err)
{
    (void)ctr;
    (void)exec;
    return pod ? vc_events_open(c, pod, &events, err) : vc_events_open(c, "", &events, err); /* NULL: all of them */
}

#define P(name) { #name, OF_POD, f_##name }
#define C(name) { #name, OF_CTR, f_##name }
#define E(name) { #name, OF_EXEC, f_##name }
static const struct function functions[] = {
    P(vc_pod_start), P(vc_pod_stop), P(vc_pod_delete), P(vc_pod_pause), P(vc_pod_resume), P(vc_pod_enter),
    P(vc_pod_annotation), P(vc_pod_annotations), P(vc_pod_set_annotations), P(vc_pod_console), P(vc_pod_status),
    P(vc_container_create), P(vc_container_list), P(vc_events_open),
    C(vc_container_start), C(vc_container_stop), C(vc_container_delete), C(vc_container_exec), C(vc_container_status),
    C(vc_container_annotation), C(vc_container_annotations), C(vc_container_set_pid), C(vc_container_pause),
    C(vc_container_resume), C(vc_container_ps), C(vc_container_stats), C(vc_container_update),
    E(vc_container_kill), E(vc_container_wait), E(vc_container_resize), E(vc_container_attach), C(vc_process_open),
};

static void refused(const struct function *f, vc_context *c, const char *pod, const char *ctr, const char *exec, int wanted,
                    const char *words)
{
    vc_error *err = NULL;
    int rc = f->fn(c, pod, ctr, exec, &err);
    if (rc != wanted || vc_error_code(err) != wanted || !strstr(vc_error_text(err), words) || strchr(vc_error_text(err), '\n'))
        fail_msg("%s of \"%s\" \"%s\" \"%s\": %d \"%s\", wanted %d \"%s\"", f->name, pod ? pod : "NULL", ctr ? ctr : "NULL",
                 exec ? exec : "NULL", rc, vc_error_text(err), wanted, words);
    vc_error_free(err);
    assert_int_equal(f->fn(c, pod, ctr, exec, NULL), wanted); /* nobody has to listen */
}

/* What is no id is INVAL, what nobody has is NOTFOUND, with the id in the sentence; nothing is returned, and the pod stays. */
static void test_ids(void **state)
{
    (void)state;
    static const char *const bad[] = { NULL, "", ".", "..", "a/b", "../x", "a b", "-x", "\xc3\xa4", "a\nb" };
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "p", 1), NULL, &err));
    p.process.terminal = 1;
    VC_INIT(&limits);
    limits.memory_limit = 1 << 20;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        const struct function *f = &functions[i];
        refused(f, NULL, "p", "c0", NULL, VC_ERR_INVAL, "\"ctx\" is NULL");
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
            refused(f, ctx, bad[k], "c0", NULL, VC_ERR_INVAL, "pod id");
            if (f->takes >= OF_CTR)
                refused(f, ctx, "p", bad[k], NULL, VC_ERR_INVAL, bad[k] ? "container id" : "");
        }
        refused(f, ctx, "nobody", "c0", NULL, VC_ERR_NOTFOUND, "\"nobody\"");
        if (f->takes >= OF_CTR)
            refused(f, ctx, "p", "c9", NULL, VC_ERR_NOTFOUND, "\"c9\"");
        if (f->takes == OF_EXEC)
            refused(f, ctx, "p", "c0", "e9", VC_ERR_NOTFOUND, "\"e9\"");
        assert_true(!text && !texts && !pod_status && !status && !list && !stats && !events && !process);
        PT_OK(vc_container_status(ctx, "p", "c0", &status, &err));
        assert_string_equal(status->state, "running");
        vc_container_status_free(status);
        status = NULL;
    }
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    pt_nothing_left();
}

/* ---- what is returned ---- */

static struct vc_container_status *look(vc_context *c, const char *ctr)
{
    struct vc_container_status *s = NULL;
    PT_OK(vc_container_status(c, "p", ctr, &s, &err));
    return s;
}

static void exit_file(const char *ctr, const char *content)
{
    char path[PATH_MAX + 256];
    PT_PATH(path, "%s/run/pods/p/exit", pt_root);
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    PT_PATH(path, "%s/run/pods/p/exit/%s", pt_root, ctr);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(content, f);
    assert_int_equal(fclose(f), 0);
}

/* When it was made, when it began, when it ended: the end is when it ended, whoever looks or stops it later. */
static void test_times(void **state)
{
    (void)state;
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "p", 2), NULL, &err));
    struct vc_container_status *s = look(ctx, "c0");
    int64_t made = s->created_ns;
    assert_true(made > INT64_C(1500000000000000000));
    assert_int_equal(s->started_ns, 0);
    assert_int_equal(s->finished_ns, 0);
    vc_container_status_free(s);
    PT_OK(vc_pod_status(ctx, "p", &pod_status, &err));
    assert_true(pod_status->created_ns > INT64_C(1500000000000000000) && pod_status->created_ns <= made);
    vc_pod_status_free(pod_status);
    pod_status = NULL;
    PT_OK(vc_pod_start(ctx, "p", &err));
    s = look(ctx, "c0");
    int64_t began = s->started_ns;
    assert_true(began >= made);
    assert_int_equal(s->finished_ns, 0);
    /* It ends by itself, and its shim says how. */
    exit_file("c0", "7\n");
    kill(s->pid, SIGKILL);
    assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
    vc_container_status_free(s);
    s = look(ctx, "c0");
    int64_t ended = s->finished_ns;
    assert_string_equal(s->state, "stopped");
    assert_int_equal(s->exit_status, 7);
    assert_int_equal(s->created_ns, made);
    assert_int_equal(s->started_ns, began);
    assert_true(ended >= began);
    vc_container_status_free(s);
    /* One whose shim was killed: nobody knows when that was, until it is stopped. */
    s = look(ctx, "c1");
    kill(s->pid, SIGKILL);
    assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
    vc_container_status_free(s);
    s = look(ctx, "c1");
    assert_string_equal(s->state, "stopped");
    assert_int_equal(s->finished_ns, 0);
    vc_container_status_free(s);
    PT_OK(vc_container_stop(ctx, "p", "c0", -1, &err));
    PT_OK(vc_pod_stop(ctx, "p", VC_FORCE, &err));
    s = look(ctx, "c0");
    assert_int_equal(s->finished_ns, ended);
    vc_container_status_free(s);
    s = look(ctx, "c1");
    assert_true(s->finished_ns >= ended);
    vc_container_status_free(s);
    /* Another life. */
    PT_OK(vc_pod_start(ctx, "p", &err));
    s = look(ctx, "c0");
    assert_int_equal(s->created_ns, made);
    assert_true(s->started_ns > ended);
    assert_int_equal(s->finished_ns, 0);
    vc_container_status_free(s);
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    pt_nothing_left();
}

/* Every member of a container's status is in its JSON form. */
static void test_status_json(void **state)
{
    (void)state;
    char wanted[2 * PATH_MAX];
    struct vc_container_status *s = NULL;
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "p", 0), NULL, &err));
    pt_pod(&p, NULL, 1);
    p.ctr[0].annotations = notes;
    PT_OK(vc_container_create(ctx, "p", &p.ctr[0], NULL, &err));
    s = look(ctx, "c0");
    PT_OK(vc_container_status_json(s, &text, &err));
    const struct {
        const char *key;
        long long number;
        const char *word;
    } members[] = {
        { "id", 0, "\"c0\"" }, { "state", 0, "\"ready\"" }, { "exit_status", 0, "null" }, { "rootfs", 0, "\"" }, { "pid", s->pid, NULL },
        { "oom_killed", 0, "false" }, { "created_ns", s->created_ns, NULL }, { "started_ns", 0, NULL }, { "finished_ns", 0, NULL },
        { "pod", 0, "\"p\"" }, { "token", 0, "\"c0\"" }, { "annotations", 0, "{\"a\":\"b\"}" },
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (members[i].word)
            PT_PATH(wanted, "\"%s\":%s", members[i].key, members[i].word);
        else
            PT_PATH(wanted, "\"%s\":%lld", members[i].key, members[i].number);
        if (!strstr(text, wanted))
            fail_msg("%s is not in %s", wanted, text);
    }
    free(text);
    text = NULL;
    vc_container_status_free(s);
    PT_OK(vc_pod_delete(ctx, "p", 0, &err));
    pt_nothing_left();
}

/* ---- names ---- */

/* The longest id there is; a host name is shorter. */
static void test_long_id(void **state)
{
    (void)state;
    char id[130], *made = NULL;
    memset(id, 'a', sizeof id);
    id[128] = '\0';
    pt_pod(&p, id, 1);
    p.ctr[0].id = id;
    PT_OK(vc_pod_run(ctx, &p.pod, &made, &err));
    assert_string_equal(made, id);
    free(made);
    PT_OK(vc_pod_status(ctx, id, &pod_status, &err));
    assert_int_equal(strlen(pod_status->hostname), 63);
    assert_memory_equal(pod_status->hostname, id, 63);
    assert_string_equal(pod_status->containers[0]->id, id);
    vc_pod_status_free(pod_status);
    pod_status = NULL;
    PT_OK(vc_pod_delete(ctx, id, VC_FORCE, &err));
    memset(id, 'a', 129);
    id[129] = '\0';
    PT_FAILS(VC_ERR_INVAL, "pod id", vc_pod_create(ctx, pt_pod(&p, id, 0), NULL, &err));
    pt_nothing_left();
}

/* ---- who goes, and what stays ---- */

/* Nothing of a pod hangs on the context it was made with: the VM and its processes live on, and any other one finds them. */
static void test_release(void **state)
{
    (void)state;
    vc_context *first = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", "proxy_faulty.process=true", NULL);
    PT_OK(vc_pod_run(first, pt_pod(&p, "p", 1), NULL, &err));
    vc_context_free(first);
    assert_int_equal(pt_children(), 3);
    PT_OK(vc_pod_status(ctx, "p", &pod_status, &err));
    assert_string_equal(pod_status->state, "running");
    assert_int_equal(kill(pod_status->vmm_pid, 0), 0);
    assert_int_equal(kill(pod_status->proxy_pid, 0), 0);
    assert_int_equal(kill(pod_status->containers[0]->pid, 0), 0);
    vc_pod_status_free(pod_status);
    pod_status = NULL;
    PT_OK(vc_container_exec(ctx, "p", "c0", &p.process, NULL, NULL, &err));
    PT_OK(vc_gc(ctx, NULL, NULL, &n, &err));
    assert_int_equal(n, 0);
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    pt_nothing_left();
}

/* How a process ended is known until it is deleted: its container, by whoever asks. */
static int wait_elsewhere(const char *exec)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int32_t s = 99;
        int rc = vc_container_wait(ctx, "p", "c0", exec, -1, &s, NULL);
        _exit(rc < 0 ? 100 - rc : s);
    }
    int s = 0;
    assert_int_equal(waitpid(pid, &s, 0), pid);
    assert_true(WIFEXITED(s));
    return WEXITSTATUS(s);
}

static void test_wait_until_delete(void **state)
{
    (void)state;
    char *exec = NULL, name[64];
    int32_t pid = 0;
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "p", 1), NULL, &err));
    PT_OK(vc_container_exec(ctx, "p", "c0", &p.process, &exec, &pid, &err));
    PT_PATH(name, "c0:%s", exec);
    exit_file(name, "5\n");
    kill(pid, SIGKILL);
    struct vc_container_status *s = look(ctx, "c0");
    exit_file("c0", "6\n");
    kill(s->pid, SIGKILL);
    assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
    vc_container_status_free(s);
    for (int stopped = 0; stopped < 3; stopped++) {
        assert_int_equal(wait_elsewhere(NULL), 6);
        assert_int_equal(wait_elsewhere(exec), 5);
        if (stopped == 0)
            PT_OK(vc_container_stop(ctx, "p", "c0", -1, &err));
        if (stopped == 1)
            PT_OK(vc_pod_stop(ctx, "p", 0, &err));
    }
    PT_OK(vc_container_delete(ctx, "p", "c0", 0, &err));
    assert_int_equal(wait_elsewhere(NULL), 100 - VC_ERR_NOTFOUND);
    assert_int_equal(wait_elsewhere(exec), 100 - VC_ERR_NOTFOUND);
    free(exec);
    PT_OK(vc_pod_delete(ctx, "p", 0, &err));
    assert_int_equal(wait_elsewhere(NULL), 100 - VC_ERR_NOTFOUND);
    pt_nothing_left();
}

static int setup(void **state)
{
    int rc = pt_setup(state);
    if (rc == 0)
        ctx = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", NULL, NULL);
    return rc;
}

static int teardown(void **state)
{
    vc_context_free(ctx);
    return pt_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),     cmocka_unit_test(test_times),   cmocka_unit_test(test_status_json),
        cmocka_unit_test(test_long_id), cmocka_unit_test(test_release), cmocka_unit_test(test_wait_until_delete),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
