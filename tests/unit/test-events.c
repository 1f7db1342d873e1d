/* SPDX-License-Identifier: Apache-2.0 */
/* test-events.c: what an observer is told of what other processes do to pods: all of it, once, in order. */
#include "podtest.h"

#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

/* ---- the other process: does one thing at a time, when it is told to ---- */

enum {
    OP_CREATE,
    OP_RUN,
    OP_START,
    OP_STOP,
    OP_DELETE,
    OP_CTR_CREATE,
    OP_CTR_START,
    OP_CTR_STOP,
    OP_CTR_DELETE,
    OP_EXEC,
    OP_PAUSE,
    OP_RESUME,
    OP_CTR_PAUSE,
    OP_CTR_RESUME,
    OP_GC
};
struct order {
    int op, n; /* containers, or the number of one */
    char pod[32];
};

static const char *stack = "faulty";
static pid_t worker;
static int to_worker, from_worker;

static vc_context *context(void)
{
    if (strcmp(stack, "faulty") != 0) /* "mock", or "plain": one without processes that can pause */
        return pt_context(stack, NULL, NULL, NULL, NULL);
    return pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", NULL, NULL);
}

static int obey(vc_context *ctx, const struct order *o)
{
    static struct pt_pod p;
    char ctr[8];
    pt_pod(&p, o->pod, 4);
    PT_PATH(ctr, "c%d", o->n);
    p.pod.n_containers = (size_t)o->n;
    switch (o->op) {
    case OP_CREATE:
        return vc_pod_create(ctx, &p.pod, NULL, NULL);
    case OP_RUN:
        return vc_pod_run(ctx, &p.pod, NULL, NULL);
    case OP_START:
        return vc_pod_start(ctx, o->pod, NULL);
    case OP_STOP:
        return vc_pod_stop(ctx, o->pod, VC_FORCE, NULL);
    case OP_DELETE:
        return vc_pod_delete(ctx, o->pod, VC_FORCE, NULL);
    case OP_CTR_CREATE:
        return vc_container_create(ctx, o->pod, &p.ctr[o->n], NULL, NULL);
    case OP_CTR_START:
        return vc_container_start(ctx, o->pod, ctr, NULL);
    case OP_CTR_STOP:
        return vc_container_stop(ctx, o->pod, ctr, -1, NULL);
    case OP_CTR_DELETE:
        return vc_container_delete(ctx, o->pod, ctr, VC_FORCE, NULL);
    case OP_EXEC:
        return vc_container_exec(ctx, o->pod, ctr, &p.process, NULL, NULL, NULL);
    case OP_PAUSE:
        return vc_pod_pause(ctx, o->pod, NULL);
    case OP_RESUME:
        return vc_pod_resume(ctx, o->pod, NULL);
    case OP_CTR_PAUSE:
        return vc_container_pause(ctx, o->pod, ctr, NULL);
    case OP_CTR_RESUME:
        return vc_container_resume(ctx, o->pod, ctr, NULL);
    default:
        return vc_gc(ctx, NULL, NULL, NULL, NULL);
    }
}

static void hire(const char *with)
{
    int there[2], back[2];
    stack = with;
    assert_int_equal(pipe2(there, O_CLOEXEC), 0);
    assert_int_equal(pipe2(back, O_CLOEXEC), 0);
    worker = fork();
    assert_true(worker >= 0);
    if (worker == 0) {
        struct order o;
        close(there[1]);
        close(back[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        vc_context *ctx = context();
        while (read(there[0], &o, sizeof o) == sizeof o) {
            int rc = obey(ctx, &o);
            if (write(back[1], &rc, sizeof rc) != sizeof rc)
                break;
        }
        _exit(0);
    }
    close(there[0]);
    close(back[1]);
    to_worker = there[1];
    from_worker = back[0];
}

static void dismiss(void)
{
    close(to_worker);
    close(from_worker);
    assert_int_equal(waitpid(worker, NULL, 0), worker);
    while (waitpid(-1, NULL, WNOHANG) > 0) /* what it had started */
        continue;
}

static void tell(int op, const char *pod, int n)
{
    struct order o = { .op = op, .n = n };
    PT_PATH(o.pod, "%s", pod);
    assert_int_equal(write(to_worker, &o, sizeof o), sizeof o);
}

static int answer(void)
{
    int rc = 1;
    assert_int_equal(read(from_worker, &rc, sizeof rc), sizeof rc);
    return rc;
}

static void work(int op, const char *pod, int n)
{
    tell(op, pod, n);
    int rc = answer();
    if (rc < 0)
        fail_msg("operation %d on %s: %s", op, pod, vc_error_name(rc));
}

/* ---- what is seen ---- */

static vc_events *observe(vc_context *ctx, const char *pod)
{
    vc_events *ev = NULL;
    PT_OK(vc_events_open(ctx, pod, &ev, &err));
    return ev;
}

static const char *text_of(const struct vc_event *e)
{
    static char buf[400];
    int n = PT_PATH(buf, "%s %s", vc_event_name(e->type), e->pod); /* "lost " has no pod */
    if (*e->container)
        n += snprintf(buf + n, sizeof buf - (size_t)n, "/%s", e->container);
    if (*e->exec_id)
        n += snprintf(buf + n, sizeof buf - (size_t)n, " exec");
    if (e->exit_status >= 0)
        snprintf(buf + n, sizeof buf - (size_t)n, " %d", e->exit_status);
    return buf;
}

static int readable(const vc_events *ev, int timeout_ms)
{
    struct pollfd p = { .fd = vc_events_fd(ev), .events = POLLIN };
    return poll(&p, 1, timeout_ms) == 1;
}

/* The next one, when there is one; the descriptor says so before. */
static struct vc_event *next(vc_events *ev)
{
    struct vc_event *e = NULL;
    vc_error *err = NULL;
    int was = readable(ev, 0), rc = vc_events_next(ev, &e, &err);
    if (rc == 0) {
        assert_true(was);
        assert_int_equal(e->size, sizeof *e);
        assert_true(e->time_ns > INT64_C(1600000000) * 1000000000);
        return e;
    }
    if (rc != VC_ERR_NOTFOUND)
        fail_msg("next: %s", vc_error_text(err));
    vc_error_free(err);
    return NULL;
}

/* Nothing more comes, and the descriptor knows. */
static void drained(vc_events *ev)
{
    struct vc_event *e = next(ev);
    if (e)
        fail_msg("one too many: %s", text_of(e));
    assert_false(readable(ev, 0));
}

/* Exactly these, in this order, one a line. */
static void expect(vc_events *ev, const char *lines)
{
    while (*lines) {
        size_t n = strcspn(lines, "\n");
        struct vc_event *e = next(ev);
        while (!e) {
            if (!readable(ev, 10000))
                fail_msg("waited in vain for \"%.*s\"", (int)n, lines);
            e = next(ev);
        }
        const char *text = text_of(e);
        if (strlen(text) != n || strncmp(text, lines, n) != 0)
            fail_msg("\"%s\" came in place of \"%.*s\"", text, (int)n, lines);
        vc_event_free(e);
        lines += n + (lines[n] == '\n');
    }
    drained(ev);
}

static struct vc_pod_status *status_of(vc_context *ctx, const char *pod)
{
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, pod, &s, &err));
    return s;
}

/* As a shim does: its file, then its end. */
static void shim_ends(vc_context *ctx, const char *pod, size_t i, const char *says)
{
    char path[PATH_MAX + 200], tmp[PATH_MAX + 210];
    struct vc_pod_status *s = status_of(ctx, pod);
    PT_PATH(path, "%s/run/pods/%s/exit/%s", pt_root, pod, s->containers[i]->id);
    PT_PATH(tmp, "%s.new", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, says, strlen(says)), (ssize_t)strlen(says));
    close(fd);
    assert_int_equal(rename(tmp, path), 0);
    assert_int_equal(kill(s->containers[i]->pid, SIGKILL), 0);
    PT_OK(vc_container_wait(ctx, pod, s->containers[i]->id, NULL, 10000, NULL, &err));
    vc_pod_status_free(s);
}

/* ---- tests ---- */

static void test_lifecycle(void **state)
{
    (void)state;
    hire("faulty");
    vc_context *ctx = context();
    vc_events *ev = observe(ctx, NULL);
    drained(ev);
    work(OP_CREATE, "p", 2);
    expect(ev, "pod-created p\ncontainer-created p/c0\ncontainer-created p/c1");
    work(OP_START, "p", 0);
    expect(ev, "pod-started p\ncontainer-started p/c0\ncontainer-started p/c1");
    work(OP_CTR_CREATE, "p", 2);
    expect(ev, "container-created p/c2");
    work(OP_CTR_START, "p", 2);
    expect(ev, "container-started p/c2");
    work(OP_EXEC, "p", 0);
    expect(ev, "exec-started p/c0 exec");
    work(OP_PAUSE, "p", 0);
    expect(ev, "pod-paused p");
    work(OP_RESUME, "p", 0);
    expect(ev, "pod-resumed p");
    work(OP_CTR_PAUSE, "p", 2);
    expect(ev, "container-paused p/c2");
    work(OP_CTR_RESUME, "p", 2);
    expect(ev, "container-resumed p/c2");
    shim_ends(ctx, "p", 2, "137\n");
    expect(ev, "container-exited p/c2 137");
    work(OP_CTR_STOP, "p", 2); /* which only notes it */
    drained(ev);
    work(OP_CTR_START, "p", 2);
    expect(ev, "container-started p/c2");
    shim_ends(ctx, "p", 2, "7\n");
    expect(ev, "container-exited p/c2 7");
    work(OP_CTR_START, "p", 2); /* this time nobody has noted it */
    shim_ends(ctx, "p", 2, "8\n");
    expect(ev, "container-started p/c2\ncontainer-exited p/c2 8");
    work(OP_CTR_DELETE, "p", 2);
    expect(ev, "container-deleted p/c2");
    work(OP_STOP, "p", 0);
    expect(ev, "exec-exited p/c0 exec 255\ncontainer-exited p/c0 255\ncontainer-exited p/c1 255\npod-stopped p");
    work(OP_START, "p", 0);
    expect(ev, "pod-started p\ncontainer-started p/c0\ncontainer-started p/c1");
    work(OP_DELETE, "p", 0);
    expect(ev, "container-exited p/c0\ncontainer-deleted p/c0\ncontainer-exited p/c1\ncontainer-deleted p/c1\n"
               "pod-stopped p\npod-deleted p");
    vc_events_close(ev);
    vc_context_free(ctx);
    dismiss();
    pt_nothing_left();
}

/* Ends of processes, which nobody writes down. */
static void test_ends(void **state)
{
    (void)state;
    hire("faulty");
    vc_context *ctx = context();
    vc_events *ev = observe(ctx, NULL);
    work(OP_RUN, "p", 3);
    expect(ev, "pod-created p\ncontainer-created p/c0\ncontainer-created p/c1\ncontainer-created p/c2\npod-started p\n"
               "container-started p/c0\ncontainer-started p/c1\ncontainer-started p/c2");
    shim_ends(ctx, "p", 0, "7\n");
    expect(ev, "container-exited p/c0 7");
    shim_ends(ctx, "p", 1, "137\noom\n");
    expect(ev, "oom p/c1\ncontainer-exited p/c1 137");
    work(OP_EXEC, "p", 2);
    expect(ev, "exec-started p/c2 exec");
    struct vc_pod_status *s = status_of(ctx, "p");
    kill(s->vmm_pid, SIGKILL);
    expect(ev, "vm-died p\nexec-exited p/c2 exec 255\ncontainer-exited p/c2 255\npod-stopped p");
    vc_pod_status_free(s);
    work(OP_STOP, "p", 0); /* it only clears away */
    drained(ev);
    work(OP_DELETE, "p", 0);
    expect(ev, "container-deleted p/c0\ncontainer-deleted p/c1\ncontainer-deleted p/c2\npod-deleted p");
    /* The same by an observer that comes when it has happened already: it is told nothing of it. */
    work(OP_RUN, "q", 1);
    shim_ends(ctx, "q", 0, "3\n");
    vc_events *late = observe(ctx, NULL);
    drained(late);
    work(OP_DELETE, "q", 0);
    expect(late, "container-deleted q/c0\npod-stopped q\npod-deleted q");
    vc_events_close(late);
    expect(ev, "lost "); /* the other one did not look at all: something came and went */
    vc_events_close(ev);
    vc_context_free(ctx);
    dismiss();
    pt_nothing_left();
}

/* Nobody looks while much happens: what must have been is told all the same, in its order. */
static void test_between_looks(void **state)
{
    (void)state;
    hire("faulty");
    vc_context *ctx = context();
    vc_events *ev = observe(ctx, NULL);
    work(OP_RUN, "p", 1);
    shim_ends(ctx, "p", 0, "5\n");
    expect(ev, "pod-created p\ncontainer-created p/c0\npod-started p\ncontainer-started p/c0\ncontainer-exited p/c0 5");
    work(OP_STOP, "p", 0);
    expect(ev, "pod-stopped p");
    work(OP_START, "p", 0);
    work(OP_STOP, "p", 0);
    expect(ev, "pod-started p\ncontainer-started p/c0\ncontainer-exited p/c0 255\npod-stopped p");
    work(OP_START, "p", 0);
    expect(ev, "pod-started p\ncontainer-started p/c0");
    work(OP_STOP, "p", 0);
    work(OP_START, "p", 0); /* it runs as before, and it is another life */
    expect(ev, "container-exited p/c0\npod-stopped p\npod-started p\ncontainer-started p/c0");
    shim_ends(ctx, "p", 0, "5\n");
    work(OP_CTR_START, "p", 0); /* a container alone: its pod has gone on */
    expect(ev, "container-exited p/c0\ncontainer-started p/c0");
    work(OP_DELETE, "p", 0);
    work(OP_CREATE, "p", 2);
    expect(ev, "container-exited p/c0\ncontainer-deleted p/c0\npod-stopped p\npod-deleted p\n"
               "pod-created p\ncontainer-created p/c0\ncontainer-created p/c1");
    work(OP_CTR_DELETE, "p", 1);
    work(OP_CTR_CREATE, "p", 1);
    expect(ev, "container-deleted p/c1\ncontainer-created p/c1");
    work(OP_CTR_DELETE, "p", 1);
    work(OP_DELETE, "p", 0);
    expect(ev, "container-deleted p/c0\ncontainer-deleted p/c1\npod-deleted p");
    work(OP_RUN, "p", 0);
    work(OP_DELETE, "p", 0);
    expect(ev, "lost "); /* what nobody has seen cannot be told */
    vc_events_close(ev);
    vc_context_free(ctx);
    dismiss();
    pt_nothing_left();
}

/* One pod of several. */
static void test_filter(void **state)
{
    vc_events *ev = NULL;
    (void)state;
    hire("plain");
    vc_context *ctx = context();
    PT_FAILS(VC_ERR_NOTFOUND, "there is no pod \"one\"", vc_events_open(ctx, "one", &ev, &err));
    PT_FAILS(VC_ERR_INVAL, "pod id", vc_events_open(ctx, "../x", &ev, &err));
    assert_null(ev);
    work(OP_CREATE, "one", 0);
    ev = observe(ctx, "one");
    work(OP_RUN, "another", 1);
    drained(ev);
    work(OP_START, "one", 0);
    work(OP_DELETE, "another", 0);
    expect(ev, "pod-started one");
    work(OP_DELETE, "one", 0);
    expect(ev, "pod-stopped one\npod-deleted one");
    work(OP_CREATE, "one", 0); /* the name counts */
    expect(ev, "pod-created one");
    work(OP_DELETE, "one", 0);
    expect(ev, "pod-deleted one");
    vc_events_close(ev);
    vc_context_free(ctx);
    dismiss();
    pt_nothing_left();
}

/* Very many at once: each once, none lost between opening and the first look. */
static void test_many(void **state)
{
    enum { N = 300 };
    static int seen[N];
    char id[16];
    (void)state;
    hire("mock");
    vc_context *ctx = context();
    for (int i = 0; i < N / 2; i++) {
        PT_PATH(id, "m%d", i);
        work(OP_CREATE, id, 0);
    }
    vc_events *ev = observe(ctx, NULL);
    for (int i = 0; i < N; i++) {
        PT_PATH(id, "m%d", i);
        work(i < N / 2 ? OP_START : OP_RUN, id, 0);
    }
    for (struct vc_event *e; (e = next(ev)); vc_event_free(e)) {
        int i = (int)strtol(e->pod + 1, NULL, 10);
        assert_in_range(i, 0, N - 1);
        if (e->type == VC_EVENT_POD_CREATED)
            assert_int_equal(i < N / 2 || seen[i]++, 0);
        else
            assert_int_equal(e->type, VC_EVENT_POD_STARTED);
        if (e->type == VC_EVENT_POD_STARTED)
            assert_int_equal(seen[i]++, i < N / 2 ? 0 : 1);
    }
    drained(ev);
    for (int i = 0; i < N; i++) {
        assert_int_equal(seen[i], i < N / 2 ? 1 : 2);
        PT_PATH(id, "m%d", i);
        work(OP_DELETE, id, 0);
    }
    for (int i = 0; i < 2 * N; i++) {
        struct vc_event *e = next(ev);
        assert_non_null(e);
        assert_int_equal(e->type, i % 2 ? VC_EVENT_POD_DELETED : VC_EVENT_POD_STOPPED);
        vc_event_free(e);
    }
    drained(ev);
    vc_events_close(ev);
    vc_context_free(ctx);
    dismiss();
    pt_nothing_left();
}

/* What may come after what, of one pod with one container. */
static int may_follow(uint32_t a, uint32_t b)
{
    switch (b) {
    case VC_EVENT_POD_CREATED:
        return a == 0 || a == VC_EVENT_POD_DELETED;
    case VC_EVENT_CONTAINER_CREATED:
        return a == VC_EVENT_POD_CREATED;
    case VC_EVENT_POD_STARTED:
        return a == VC_EVENT_CONTAINER_CREATED || a == VC_EVENT_POD_STOPPED;
    case VC_EVENT_CONTAINER_STARTED:
        return a == VC_EVENT_POD_STARTED;
    case VC_EVENT_CONTAINER_EXITED:
        return a == VC_EVENT_CONTAINER_STARTED;
    case VC_EVENT_POD_STOPPED:
        return a == VC_EVENT_CONTAINER_EXITED || a == VC_EVENT_CONTAINER_DELETED;
    case VC_EVENT_CONTAINER_DELETED:
        return a == VC_EVENT_POD_STOPPED || a == VC_EVENT_CONTAINER_CREATED || a == VC_EVENT_CONTAINER_EXITED;
    case VC_EVENT_POD_DELETED:
        return a == VC_EVENT_CONTAINER_DELETED || a == VC_EVENT_POD_STOPPED;
    default:
        return 0; /* VM_DIED above all: it never does by itself here */
    }
}

/* Both at once, as fast as they can: whenever a look falls into the middle of something, no nonsense comes of it. */
static void test_race(void **state)
{
    static const int ops[] = { OP_RUN, OP_STOP, OP_START, OP_DELETE, OP_RUN, OP_DELETE, OP_CREATE, OP_DELETE };
    static const char *const stacks[] = { "faulty", "plain" };
    (void)state;
    for (size_t s = 0; s < 2; s++) {
        hire(stacks[s]);
        vc_context *ctx = context();
        vc_events *ev = observe(ctx, NULL);
        uint32_t last = 0, told = 0;
        for (int i = 0; i < 400; i++) {
            struct pollfd p[2] = { { .fd = vc_events_fd(ev), .events = POLLIN },
                                   { .fd = from_worker, .events = POLLIN } };
            tell(ops[i % 8], "p", 1);
            do {
                assert_true(poll(p, 2, 20000) > 0);
                for (struct vc_event *e; (e = next(ev)); vc_event_free(e), told++) {
                    if (e->type == VC_EVENT_LOST) /* a whole life between two looks */
                        continue;
                    if (!may_follow(last, e->type))
                        fail_msg("%s: \"%s\" after %s (%d)", stacks[s], text_of(e), vc_event_name(last), i);
                    last = e->type;
                }
            } while (!p[1].revents);
            assert_int_equal(answer(), 0);
        }
        for (struct vc_event *e; readable(ev, 0) && (e = next(ev)); vc_event_free(e))
            last = e->type == VC_EVENT_LOST ? last : e->type;
        assert_int_equal(last, VC_EVENT_POD_DELETED);
        assert_in_range(told, 100, 3000);
        drained(ev);
        vc_events_close(ev);
        vc_context_free(ctx);
        dismiss();
        pt_nothing_left();
    }
}

static void put(const char *path, const char *text)
{
    char tmp[PATH_MAX + 300];
    PT_PATH(tmp, "%s.new", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    assert_int_equal(rename(tmp, path), 0);
}

/* A record that cannot be read, and that can be again. */
static void test_unreadable(void **state)
{
    char path[PATH_MAX + 200], keep[65536];
    (void)state;
    hire("plain");
    vc_context *ctx = context();
    vc_events *ev = observe(ctx, NULL);
    work(OP_CREATE, "p", 1);
    expect(ev, "pod-created p\ncontainer-created p/c0");
    PT_PATH(path, "%s/state/pods/p/pod.json", pt_root);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, keep, sizeof keep - 1);
    assert_in_range(n, 10, sizeof keep - 2);
    keep[n] = '\0';
    close(fd);
    put(path, "{ half of");
    expect(ev, "lost ");
    put(path, "{ another half of"); /* said already */
    drained(ev);
    put(path, keep);
    drained(ev);
    work(OP_START, "p", 0);
    expect(ev, "pod-started p\ncontainer-started p/c0");
    work(OP_DELETE, "p", 0);
    expect(ev, "container-exited p/c0\ncontainer-deleted p/c0\npod-stopped p\npod-deleted p");
    vc_events_close(ev);
    vc_context_free(ctx);
    dismiss();
    pt_nothing_left();
}

/* More than the kernel keeps; and the directories themselves taken away. */
static void test_overflow(void **state)
{
    char path[PATH_MAX + 200], text[32] = "";
    (void)state;
    int fd = open("/proc/sys/fs/inotify/max_queued_events", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
        fail_msg("there is no limit of inotify to be read");
    close(fd);
    long limit = strtol(text, NULL, 10);
    hire("plain");
    vc_context *ctx = context();
    vc_events *ev = observe(ctx, NULL);
    work(OP_CREATE, "p", 0);
    expect(ev, "pod-created p");
    for (long i = 0; i < limit / 2 + 10; i++) {
        PT_PATH(path, "%s/state/pods/x%ld", pt_root, i % 7);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(rmdir(path), 0);
    }
    work(OP_START, "p", 0);
    work(OP_CREATE, "q", 0);
    expect(ev, "pod-started p\npod-created q\nlost ");
    work(OP_DELETE, "p", 0);
    work(OP_DELETE, "q", 0);
    expect(ev, "pod-stopped p\npod-deleted p\npod-deleted q");
    static const char *const roots[] = { "state", "run" };
    for (size_t i = 0; i < 2; i++) {
        PT_PATH(path, "%s/%s/pods", pt_root, roots[i]);
        assert_int_equal(rmdir(path), 0);
    }
    expect(ev, "lost ");
    work(OP_CREATE, "p", 0);
    expect(ev, "pod-created p");
    work(OP_DELETE, "p", 0);
    expect(ev, "pod-deleted p");
    vc_events_close(ev);
    vc_context_free(ctx);
    dismiss();
    pt_nothing_left();
}

/* A creation that fails was no pod. */
static void test_failed_creation(void **state)
{
    struct pt_pod p;
    (void)state;
    hire("plain");
    vc_context *ctx = pt_context("faulty", "agent_faulty.fail=sandbox_create", NULL, NULL, NULL);
    vc_events *ev = observe(ctx, NULL);
    PT_FAILS(VC_ERR_IO, "ordered", vc_pod_run(ctx, pt_pod(&p, "p", 1), NULL, &err));
    expect(ev, "lost "); /* it may have been one for all that can be seen */
    vc_events_close(ev);
    vc_context_free(ctx);
    dismiss();
    pt_nothing_left();
}

/* The caller of an operation is killed: nothing is told until the pod is whole again, or gone. */
static void test_killed_caller(void **state)
{
    (void)state;
    hire("faulty");
    vc_context *ctx = context();
    vc_events *ev = observe(ctx, NULL);
    work(OP_RUN, "p", 1);
    expect(ev, "pod-created p\ncontainer-created p/c0\npod-started p\ncontainer-started p/c0");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) /* it stops the VM, and is gone before that is recorded */
        _exit(vc_pod_stop(pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true",
                                     "network_faulty.crash=teardown", NULL),
                          "p", VC_FORCE, NULL) < 0);
    int st = 0;
    assert_int_equal(waitpid(pid, &st, 0), pid);
    assert_true(WIFSIGNALED(st));
    expect(ev, "container-exited p/c0 255"); /* the VM neither died, nor was it stopped */
    work(OP_GC, "p", 0);
    expect(ev, "pod-stopped p");
    work(OP_DELETE, "p", 0);
    expect(ev, "container-deleted p/c0\npod-deleted p");
    vc_events_close(ev);
    vc_context_free(ctx);
    dismiss();
    pt_nothing_left();
}

static size_t open_fds(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    closedir(d);
    return n;
}

/* Nothing is kept: descriptors of ended processes, watches of pods that are gone. */
static void test_leaks(void **state)
{
    (void)state;
    hire("faulty");
    vc_context *ctx = context();
    size_t fds = open_fds();
    vc_events *ev = observe(ctx, NULL);
    size_t with = open_fds();
    for (int i = 0; i < 20; i++) {
        work(OP_RUN, "p", 2);
        work(OP_EXEC, "p", 0);
        for (struct vc_event *e; (e = next(ev));)
            vc_event_free(e);
        assert_int_equal(open_fds(), with + 4); /* the VM, two shims, one more */
        shim_ends(ctx, "p", 1, "0\n");
        expect(ev, "container-exited p/c1 0");
        assert_int_equal(open_fds(), with + 3);
        work(OP_DELETE, "p", 0);
        for (struct vc_event *e; (e = next(ev));)
            vc_event_free(e);
        assert_int_equal(open_fds(), with);
    }
    work(OP_RUN, "p", 2);
    vc_events_close(ev); /* with events that nobody has taken */
    assert_int_equal(open_fds(), fds);
    ev = observe(ctx, "p");
    work(OP_STOP, "p", 0);
    vc_events_close(ev);
    assert_int_equal(open_fds(), fds);
    work(OP_DELETE, "p", 0);
    vc_events_close(NULL);
    vc_event_free(NULL);
    vc_context_free(ctx);
    dismiss();
    pt_nothing_left();
}

/* Without a descriptor left it is said so, and goes on once there is one. */
static void test_no_descriptors(void **state)
{
    struct rlimit old, few;
    struct vc_event *e = NULL;
    (void)state;
    hire("faulty");
    vc_context *ctx = context();
    vc_events *ev = observe(ctx, NULL), *none = NULL;
    work(OP_RUN, "p", 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = old;
    few.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    vc_error *why = NULL;
    int rc = vc_events_next(ev, &e, &why), code = vc_error_code(why), open_rc = vc_events_open(ctx, NULL, &none, NULL);
    vc_error_free(why);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(rc, VC_ERR_RESOURCE);
    assert_int_equal(code, VC_ERR_RESOURCE);
    assert_int_equal(open_rc, VC_ERR_RESOURCE);
    assert_true(readable(ev, 0));
    expect(ev, "pod-created p\ncontainer-created p/c0\npod-started p\ncontainer-started p/c0");
    work(OP_DELETE, "p", 0);
    vc_events_close(ev);
    vc_context_free(ctx);
    dismiss();
    pt_nothing_left();
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(vc_event_name(VC_EVENT_CONTAINER_EXITED), "container-exited");
    assert_string_equal(vc_event_name(0), "unknown");
    assert_string_equal(vc_event_name(VC_EVENT_LOST + 1), "unknown");
    for (uint32_t a = 1; a <= VC_EVENT_LOST; a++) {
        assert_string_not_equal(vc_event_name(a), "unknown");
        for (uint32_t b = 1; b < a; b++)
            assert_string_not_equal(vc_event_name(a), vc_event_name(b));
    }
    vc_events *ev = NULL;
    PT_FAILS(VC_ERR_INVAL, "NULL", vc_events_open(NULL, NULL, &ev, &err));
    PT_FAILS(VC_ERR_INVAL, "NULL", vc_events_next(NULL, NULL, &err));
    assert_int_equal(vc_events_fd(NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),          cmocka_unit_test(test_lifecycle),
        cmocka_unit_test(test_ends),           cmocka_unit_test(test_between_looks),
        cmocka_unit_test(test_filter),         cmocka_unit_test(test_many),
        cmocka_unit_test(test_race),           cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_overflow),       cmocka_unit_test(test_failed_creation),
        cmocka_unit_test(test_killed_caller),  cmocka_unit_test(test_leaks),
        cmocka_unit_test(test_no_descriptors),
    };
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
