/* SPDX-License-Identifier: Apache-2.0 */
/* test-kill-points.c: a caller that is killed at each fault point of each operation; after gc (and the delete of what
 * lives on by right) nothing is left.  Only in builds with --enable-fault-points. */
#include "podtest.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>

#define MAX_POINTS 1000

static vc_context *context(void)
{
    return pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true",
                      "proxy_faulty.process=true", geteuid() == 0 ? "hypervisor_faulty.share=true" : NULL);
}

static struct pt_pod p;

static int make_running(vc_context *ctx)
{
    return vc_pod_run(ctx, pt_pod(&p, "k", 1), NULL, NULL);
}

static int make_ready(vc_context *ctx)
{
    return vc_pod_create(ctx, pt_pod(&p, "k", 1), NULL, NULL);
}

/* The same with mounts and volumes of the host, when this may mount. */
static struct vc_mount given[4], *mount_list[4];
static struct vc_volume volume, *volume_list[1];

static struct vc_container_config *with_mounts(struct vc_container_config *c)
{
    static char dir[PATH_MAX + 64], file[PATH_MAX + 64];
    static const char *const at[] = { "/made/d", "/made/f", "/v", "/made/d/in" }; /* the last one in the first one */
    PT_PATH(dir, "%s/user", pt_root);
    PT_PATH(file, "%s/vccore.conf", pt_root);
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return NULL;
    for (size_t i = 0; i < 4; i++) {
        VC_INIT(&given[i]);
        mount_list[i] = &given[i];
        given[i].destination = at[i];
        given[i].source = i == 2 ? "data" : i == 1 ? file : dir;
        given[i].type = i == 2 ? "volume" : NULL;
        given[i].readonly = i == 1;
    }
    VC_INIT(&volume);
    volume.tag = "data";
    volume.host_path = dir;
    volume_list[0] = &volume;
    c->mounts = mount_list;
    c->n_mounts = 4;
    return c;
}

static int make_mounted(vc_context *ctx)
{
    struct vc_pod_config *c = pt_pod(&p, "k", 1);
    with_mounts(&p.ctr[0]);
    c->volumes = volume_list;
    c->n_volumes = 1;
    return vc_pod_run(ctx, c, NULL, NULL);
}

static int make_mounted_stopped(vc_context *ctx)
{
    return make_mounted(ctx) < 0 ? -1 : vc_pod_stop(ctx, "k", VC_FORCE, NULL);
}

static int do_create_mounted(vc_context *ctx)
{
    pt_pod(&p, NULL, 2);
    return vc_container_create(ctx, "k", with_mounts(&p.ctr[1]), NULL, NULL);
}

static int make_stopped(vc_context *ctx)
{
    return make_running(ctx) < 0 ? -1 : vc_pod_stop(ctx, "k", VC_FORCE, NULL);
}

static int make_nothing(vc_context *ctx)
{
    (void)ctx;
    return 0;
}

static int do_start(vc_context *ctx)
{
    return vc_pod_start(ctx, "k", NULL);
}

static int do_stop(vc_context *ctx)
{
    return vc_pod_stop(ctx, "k", VC_FORCE, NULL);
}

static int do_delete(vc_context *ctx)
{
    return vc_pod_delete(ctx, "k", VC_FORCE, NULL);
}

static int do_ctr_create(vc_context *ctx)
{
    pt_pod(&p, NULL, 2);
    return vc_container_create(ctx, "k", &p.ctr[1], NULL, NULL);
}

static int do_ctr_delete(vc_context *ctx)
{
    return vc_container_delete(ctx, "k", "c0", VC_FORCE, NULL);
}

static int do_ctr1_delete(vc_context *ctx)
{
    return vc_container_delete(ctx, "k", "c1", VC_FORCE, NULL);
}

static int do_exec(vc_context *ctx)
{
    pt_pod(&p, NULL, 1);
    return vc_container_exec(ctx, "k", "c0", &p.process, NULL, NULL, NULL);
}

static int do_pause(vc_context *ctx)
{
    return vc_pod_pause(ctx, "k", NULL);
}

static int make_paused(vc_context *ctx)
{
    return make_running(ctx) < 0 ? -1 : do_pause(ctx);
}

static int do_resume(vc_context *ctx)
{
    return vc_pod_resume(ctx, "k", NULL);
}

static int do_ctr_pause(vc_context *ctx)
{
    return vc_container_pause(ctx, "k", "c0", NULL);
}

static int make_ctr_paused(vc_context *ctx)
{
    return make_running(ctx) < 0 ? -1 : do_ctr_pause(ctx);
}

static int do_ctr_resume(vc_context *ctx)
{
    return vc_container_resume(ctx, "k", "c0", NULL);
}

static int do_update(vc_context *ctx)
{
    struct vc_resources r;
    VC_INIT(&r);
    r.memory_limit = 64 << 20;
    return vc_container_update(ctx, "k", "c0", &r, NULL);
}

static int do_annotate(vc_context *ctx)
{
    static const char *const list[] = { "key=value", NULL };
    return vc_pod_set_annotations(ctx, "k", list, NULL);
}

static int do_gc(vc_context *ctx)
{
    return vc_gc(ctx, NULL, NULL, NULL, NULL);
}

static int make_ctr_ready(vc_context *ctx)
{
    return make_running(ctx) < 0 ? -1 : do_ctr_create(ctx);
}

static int do_ctr_start(vc_context *ctx)
{
    return vc_container_start(ctx, "k", "c1", NULL);
}

static int do_ctr0_start(vc_context *ctx)
{
    return vc_container_start(ctx, "k", "c0", NULL);
}

/* Its shim does not end because it is asked to: it says 7, and ends. */
static int ctr_ends(vc_context *ctx)
{
    char path[PATH_MAX + 64];
    struct vc_container_status *s = NULL;
    int rc = vc_container_status(ctx, "k", "c0", &s, NULL);
    PT_PATH(path, "%s/run/pods/k/exit/c0", pt_root);
    int fd = rc < 0 ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "7\n", 2) != 2)
        rc = -1;
    close(fd);
    if (rc == 0)
        kill(s->pid, SIGKILL);
    vc_container_status_free(s);
    return rc < 0 ? rc : vc_container_wait(ctx, "k", "c0", NULL, 10000, NULL, NULL);
}

static int make_ctr_stopped(vc_context *ctx)
{
    return make_running(ctx) < 0 ? -1 : ctr_ends(ctx);
}

static int make_mounted_ctr_stopped(vc_context *ctx)
{
    return make_mounted(ctx) < 0 ? -1 : ctr_ends(ctx);
}

static int run_networked(vc_context *ctx)
{
    (void)ctx;
    ctx = pt_context("mock", "network=faulty", "network_faulty.endpoints=[{\"id\":\"nic0\",\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\"}]", NULL, NULL);
    return vc_pod_run(ctx, pt_pod(&p, "k", 1), NULL, NULL);
}

static char trace[PATH_MAX + 64]; /* the names of the points that victims came to */

/* In a process of its own, so that fault points count from there; its wait status. */
static int in_child(int (*fn)(vc_context *), int at)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char text[16];
        snprintf(text, sizeof text, "%d", at);
        if (at) {
            setenv("VC_FAULT_AT", text, 1);
            setenv("VC_FAULT_TRACE", trace, 1);
        }
        _exit(fn(context()) < 0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void reap_adopted(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
}

/* Whatever has happened: looking gives an answer, and a pod that is there can be looked at alone, too.  What the killed
 * one had cloned a moment before may still have its lock, and lets go of it any time: so it is looked at before the list
 * and after it. */
static void check_answers(const char *name, int at)
{
    vc_context *ctx = context();
    struct vc_pod_status **list = NULL, *s = NULL, *before = NULL;
    size_t n = 0;
    vc_error *e = NULL;
    int first = vc_pod_status(ctx, "k", &before, NULL);
    if (vc_pod_list(ctx, &list, &n, &e) < 0 || n > 1)
        fail_msg("%s killed at point %d: list: %zu pods, %s", name, at, n, vc_error_text(e));
    int rc = vc_pod_status(ctx, "k", &s, &e);
    if (rc != (n ? 0 : VC_ERR_NOTFOUND) || rc != first)
        fail_msg("%s killed at point %d: status: %s", name, at, vc_error_text(e));
    if (n && strcmp(s->state, list[0]->state) != 0 && strcmp(before->state, list[0]->state) != 0)
        fail_msg("%s killed at point %d: status says %s, list %s", name, at, s->state, list[0]->state);
    vc_pod_status_free(before);
    if (s && strcmp(s->state, "broken") == 0 && !*s->reason)
        fail_msg("%s killed at point %d: broken without a reason", name, at);
    vc_error_free(e);
    vc_pod_status_free(s);
    vc_pod_list_free(list, n);
    vc_context_free(ctx);
}

/* A directory with nothing in it is no pod: deleting it says that there is none, and removes it. */
static int do_delete_left(vc_context *ctx)
{
    struct vc_pod_status *s = NULL;
    int there = vc_pod_status(ctx, "k", &s, NULL), rc = vc_pod_delete(ctx, "k", VC_FORCE, NULL);
    vc_pod_status_free(s);
    return rc == VC_ERR_NOTFOUND && there == VC_ERR_NOTFOUND ? 0 : rc;
}

/* What is left after everything was cleared away. */
static void check_nothing(const char *name, int at)
{
    reap_adopted();
    size_t dirs = pt_count("run/pods") + pt_count("state/pods"), user = pt_count("rootfs") + pt_count("user"), mounts = pt_mounts(),
           procs = pt_children();
    if (dirs || user || mounts || procs)
        fail_msg("%s killed at point %d left %zu directories, %zu in the root file system, %zu mounts, %zu processes",
                 name, at, dirs, user, mounts, procs);
}

/* A process that was just being started holds its parent's locks until it has seen that the parent is gone: gc leaves
 * alone what is locked. */
static void await_locks(const char *below)
{
    char path[PATH_MAX + 600];
    PT_PATH(path, "%s/%s", pt_root, below);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        PT_PATH(path, "%s/%s/%s", pt_root, below, e->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        assert_int_equal(flock(fd, LOCK_EX), 0);
        close(fd);
    }
    if (d)
        closedir(d);
}

static void (*after_each)(const char *name); /* what else must be true then; NULL = nothing */

static int total;

static void walk(const char *name, int (*prepare)(vc_context *), int (*victim)(vc_context *), int lives)
{
    int at = 1;
    for (; at < MAX_POINTS; at++) {
        assert_int_equal(in_child(prepare, 0), 0);
        int status = in_child(victim, at);
        if (!WIFSIGNALED(status)) {
            assert_int_equal(status, 0);
            break;
        }
        assert_int_equal(WTERMSIG(status), SIGKILL);
        check_answers(name, at);
        await_locks("state/pods");
        /* By gc first, or by a forced delete alone, after which gc has nothing to do. */
        if (at % 2 && in_child(do_gc, 0) != 0)
            fail_msg("%s killed at point %d: gc failed", name, at);
        check_answers(name, at);
        /* What the user still has, as it was before the operation or after it, goes by a plain forced delete. */
        if ((lives || at % 2 == 0) && pt_count("state/pods") + pt_count("run/pods") && in_child(do_delete_left, 0) != 0)
            fail_msg("%s killed at point %d: a forced delete failed", name, at);
        check_nothing(name, at);
        if (after_each)
            after_each(name);
    }
    total += at - 1;
    if (pt_count("state/pods"))
        assert_int_equal(in_child(do_delete, 0), 0);
    check_nothing(name, 0);
    if (after_each)
        after_each(name);
    assert_in_range(at, 3, MAX_POINTS - 1);
    print_message("%s: killed at each of %d points, nothing left\n", name, at - 1);
}

static void test_walk(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int (*prepare)(vc_context *), (*victim)(vc_context *);
        int lives; /* the pod may outlive the caller by right: it was there before, or the operation was over */
    } walks[] = {
        { "pod create", make_nothing, make_ready, 1 },
        { "pod run", make_nothing, make_running, 1 },
        { "pod start (ready)", make_ready, do_start, 1 },
        { "pod start (stopped)", make_stopped, do_start, 1 },
        { "pod stop", make_running, do_stop, 1 },
        { "pod delete", make_running, do_delete, 1 },
        { "pod delete (ready)", make_ready, do_delete, 1 },
        { "container create", make_running, do_ctr_create, 1 },
        { "container delete", make_running, do_ctr_delete, 1 },
        { "exec", make_running, do_exec, 1 },
        { "pod run with mounts", make_nothing, make_mounted, 1 },
        { "pod start with mounts", make_mounted_stopped, do_start, 1 },
        { "pod stop with mounts", make_mounted, do_stop, 1 },
        { "container create with mounts", make_mounted, do_create_mounted, 1 },
        { "container delete with mounts", make_mounted, do_ctr_delete, 1 },
        { "pod pause", make_running, do_pause, 1 },
        { "pod resume", make_paused, do_resume, 1 },
        { "pod stop (paused)", make_paused, do_stop, 1 },
        { "pod delete (paused)", make_paused, do_delete, 1 },
        { "container pause", make_running, do_ctr_pause, 1 },
        { "container resume", make_ctr_paused, do_ctr_resume, 1 },
        { "container update", make_running, do_update, 1 },
        { "annotations", make_running, do_annotate, 1 },
        { "container start", make_ctr_ready, do_ctr_start, 1 },
        { "container start (stopped)", make_ctr_stopped, do_ctr0_start, 1 },
        { "container start (stopped) with mounts", make_mounted_ctr_stopped, do_ctr0_start, 1 },
        { "pod run with a network", make_nothing, run_networked, 1 },
    };
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (size_t i = 0; i < sizeof walks / sizeof *walks; i++)
        walk(walks[i].name, walks[i].prepare, walks[i].victim, walks[i].lives);
    print_message("killed at %d points in all\n", total);
}

/* ---- hooks: one that runs when its caller is killed does not go on, and for each prestart there is a poststop ---- */

static struct {
    struct vc_hooks set;
    struct vc_hook pre, stop, *pre_list[1], *stop_list[1];
    char pre_text[PATH_MAX + 200], stop_text[PATH_MAX + 200];
    const char *pre_args[4], *stop_args[4];
} hooks[2]; /* of the pod, of the container */

static void set_hook(struct vc_hook *h, const char **args, const char *text)
{
    VC_INIT(h);
    h->path = "/bin/sh";
    args[0] = "sh";
    args[1] = "-c";
    args[2] = text;
    args[3] = NULL;
    h->args = args;
}

static struct vc_hooks *set_hooks(size_t i)
{
    VC_INIT(&hooks[i].set);
    PT_PATH(hooks[i].pre_text, "cd %s; echo $$ >pre-%zu; echo + >>hook-%zu; exec /bin/sleep 0.02", pt_root, i, i);
    PT_PATH(hooks[i].stop_text,
            "cd %s; grep -qs '^State:.[RSD]' /proc/$(cat pre-%zu 2>/dev/null)/status && echo late >>hook-%zu; echo - >>hook-%zu",
            pt_root, i, i, i);
    set_hook(&hooks[i].pre, hooks[i].pre_args, hooks[i].pre_text);
    set_hook(&hooks[i].stop, hooks[i].stop_args, hooks[i].stop_text);
    hooks[i].pre_list[0] = &hooks[i].pre;
    hooks[i].stop_list[0] = &hooks[i].stop;
    hooks[i].set.prestart = hooks[i].set.poststart = hooks[i].pre_list;
    hooks[i].set.poststop = hooks[i].stop_list;
    hooks[i].set.n_prestart = hooks[i].set.n_poststart = hooks[i].set.n_poststop = 1;
    return &hooks[i].set;
}

static int run_hooked(vc_context *ctx)
{
    pt_pod(&p, "k", 1);
    p.pod.hooks = set_hooks(0);
    p.ctr[0].hooks = set_hooks(1);
    return vc_pod_run(ctx, &p.pod, NULL, NULL);
}

static int run_hooked_stopped(vc_context *ctx)
{
    return run_hooked(ctx) < 0 ? -1 : do_stop(ctx);
}

static int run_hooked_ctr_stopped(vc_context *ctx)
{
    return run_hooked(ctx) < 0 ? -1 : ctr_ends(ctx);
}

static int create_hooked(vc_context *ctx)
{
    pt_pod(&p, NULL, 2);
    p.ctr[1].hooks = set_hooks(1);
    return vc_container_create(ctx, "k", &p.ctr[1], NULL, NULL);
}

/* Once all is cleared away, each of the two has said good-bye last, when no other hook of it ran any more, or nothing at
 * all. */
static void check_goodbye(const char *name)
{
    for (size_t i = 0; i < 2; i++) {
        char path[PATH_MAX + 64], text[65536] = "";
        PT_PATH(path, "%s/hook-%zu", pt_root, i);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
        if (fd >= 0)
            close(fd);
        if (n > 0 && strcmp(text + n - 2, "-\n") != 0)
            fail_msg("%s: hooks %zu: a prestart or poststart without a poststop: %s", name, i, text);
        if (strstr(text, "late"))
            fail_msg("%s: hooks %zu: a prestart or poststart hook ran on when the poststop hook did: %s", name, i, text);
        unlink(path);
        PT_PATH(path, "%s/pre-%zu", pt_root, i);
        unlink(path);
    }
}

static void test_hooks(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int (*prepare)(vc_context *), (*victim)(vc_context *);
    } walks[] = {
        { "pod run with hooks", make_nothing, run_hooked },
        { "pod start with hooks", run_hooked_stopped, do_start },
        { "pod stop with hooks", run_hooked, do_stop },
        { "pod delete with hooks", run_hooked, do_delete },
        { "container create with hooks", make_running, create_hooked },
        { "container delete with hooks", run_hooked, do_ctr_delete },
        { "container start (stopped) with hooks", run_hooked_ctr_stopped, do_ctr0_start },
    };
    for (size_t i = 0; i < sizeof walks / sizeof *walks; i++) {
        after_each = check_goodbye;
        walk(walks[i].name, walks[i].prepare, walks[i].victim, 1);
        after_each = NULL;
    }
}

/* After a killed exec or container creation, gc alone ends what was begun: the pod goes on with what it had. */
static void test_survivors(void **state)
{
    (void)state;
    static int (*const victims[])(vc_context *) = { do_exec, do_ctr_create };
    for (size_t v = 0; v < 2; v++) {
        assert_int_equal(in_child(make_running, 0), 0);
        reap_adopted();
        size_t procs = pt_children();
        for (int at = 1;; at++) {
            if (!WIFSIGNALED(in_child(victims[v], at)))
                break;
            struct vc_pod_status *s = NULL;
            await_locks("state/pods");
            assert_int_equal(in_child(do_gc, 0), 0);
            reap_adopted();
            vc_context *ctx = context();
            PT_OK(vc_pod_status(ctx, "k", &s, &err));
            assert_string_equal(s->state, "running");
            size_t n = s->n_containers;
            vc_pod_status_free(s);
            vc_context_free(ctx);
            if (pt_children() > procs) { /* killed after the record was complete: it is there by right */
                assert_true(v == 0 || n == 2);
                break;
            }
        }
        assert_int_equal(in_child(do_delete, 0), 0);
        check_nothing("survivor", 0);
    }
}

/* Without a guest, notes wait for the ledger. */
static int mock_make_stopped(vc_context *ctx)
{
    ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    return vc_pod_run(ctx, pt_pod(&p, "k", 2), NULL, NULL) < 0 ? -1 : vc_pod_stop(ctx, "k", VC_FORCE, NULL);
}

static int mock_ctr_delete(vc_context *ctx)
{
    (void)ctx;
    return do_ctr_delete(pt_context("mock", NULL, NULL, NULL, NULL));
}

static int mock_gc_start(vc_context *ctx)
{
    ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    int rc = vc_gc(ctx, NULL, NULL, NULL, NULL);
    return rc < 0 ? rc : do_start(ctx);
}

static int mock_delete(vc_context *ctx)
{
    (void)ctx;
    return do_delete(pt_context("mock", NULL, NULL, NULL, NULL));
}

/* A container whose removal was killed is whole, half (and gc removes it) or gone; its pod can be started. */
static void test_half_removed(void **state)
{
    (void)state;
    for (int at = 1;; at++) {
        assert_int_equal(in_child(mock_make_stopped, 0), 0);
        int status = in_child(mock_ctr_delete, at);
        await_locks("state/pods");
        if (in_child(mock_gc_start, 0) != 0)
            fail_msg("container delete killed at point %d: the pod cannot be started", at);
        assert_int_equal(in_child(mock_delete, 0), 0);
        check_nothing("container delete (mock)", at);
        if (!WIFSIGNALED(status)) {
            assert_in_range(at, 2, MAX_POINTS - 1);
            break;
        }
    }
}

/* A container whose creation was killed, in a pod that goes on, is not said to be made for ever: it is broken, goes by its
 * deletion or by gc, and its id is free again. */
static void test_half_made(void **state)
{
    (void)state;
    for (int at = 1, broken = 0;; at++) {
        struct vc_container_status *s = NULL;
        assert_int_equal(in_child(make_running, 0), 0);
        int status = in_child(do_ctr_create, at);
        await_locks("state/pods");
        vc_context *ctx = context();
        int there = vc_container_status(ctx, "k", "c1", &s, NULL) == 0, half = there && strcmp(s->state, "broken") == 0;
        if (there && !half && strcmp(s->state, "ready") != 0)
            fail_msg("container create killed at point %d: it is %s", at, s->state);
        if (half && !strstr(s->reason, "interrupted"))
            fail_msg("container create killed at point %d: the reason is \"%s\"", at, s->reason);
        vc_container_status_free(s);
        vc_context_free(ctx);
        broken += half;
        if (at & 1) { /* gc leaves one that is whole */
            assert_int_equal(in_child(do_gc, 0), 0);
            there &= !half;
        }
        if ((in_child(do_ctr1_delete, 0) == 0) != there)
            fail_msg("container create killed at point %d: the container is %sthere, %s", at, there ? "" : "not ", at & 1 ? "after gc" : "as it was");
        if (in_child(do_ctr_create, 0) != 0)
            fail_msg("container create killed at point %d: it cannot be made again", at);
        assert_int_equal(in_child(do_delete, 0), 0);
        check_nothing("container create", at);
        if (!WIFSIGNALED(status)) {
            assert_in_range(at, 2, MAX_POINTS - 1);
            assert_in_range(broken, 3, MAX_POINTS);
            break;
        }
    }
}

/* A pod that has no run directory. */
static int make_mock(vc_context *unused)
{
    (void)unused;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    int rc = vc_pod_create(ctx, pt_pod(&p, "k", 0), NULL, NULL);
    vc_context_free(ctx);
    return rc;
}

static int delete_ready(vc_context *unused)
{
    (void)unused;
    struct vc_pod_status *s = NULL;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    int rc = vc_pod_status(ctx, "k", &s, NULL);
    if (rc == 0 && strcmp(s->state, "ready") == 0)
        rc = vc_pod_delete(ctx, "k", 0, NULL);
    vc_pod_status_free(s);
    vc_context_free(ctx);
    return rc;
}

/* One that has made a pod's directory, and not yet opened it, finds another one's pod there: it has not made that, too.  Its
 * fault point writes to a FIFO, and so waits until somebody reads there. */
static void test_made_by_another(void **state)
{
    (void)state;
    char fifo[PATH_MAX + 64], dir[PATH_MAX + 64];
    PT_PATH(fifo, "%s/fifo", pt_root);
    PT_PATH(dir, "%s/state/pods/k", pt_root);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    pid_t first = fork();
    if (first == 0) {
        setenv("VC_FAULT_TRACE", fifo, 1);
        int rc = make_mock(NULL);
        _exit(rc == VC_ERR_EXISTS ? 0 : rc == 0 ? 1 : 2);
    }
    while (access(dir, F_OK) < 0)
        assert_int_equal(waitpid(first, NULL, WNOHANG), 0);
    assert_int_equal(in_child(make_mock, 0), 0);
    /* From now on nothing that it writes waits. */
    int reads = open(fifo, O_RDONLY | O_CLOEXEC | O_NONBLOCK), writes = open(fifo, O_WRONLY | O_CLOEXEC), status = -1;
    assert_true(reads >= 0 && writes >= 0);
    assert_int_equal(waitpid(first, &status, 0), first);
    close(reads);
    close(writes);
    unlink(fifo);
    assert_int_equal(status, 0);
    assert_int_equal(in_child(delete_ready, 0), 0);
    check_nothing("create beside create", 0);
}

static int do_ctr0_create(vc_context *ctx)
{
    return vc_container_create(ctx, "k", pt_pod(&p, NULL, 1)->containers[0], NULL, NULL);
}

/* A container whose start after its end was killed is stopped as before, broken, or ready and can be started; it goes by its
 * deletion or, broken, by gc, and its id is free again. */
static void test_half_started(void **state)
{
    (void)state;
    static const char *const may[] = { "stopped", "broken", "ready", "running" };
    for (int at = 1, seen[5] = { 0 }, status = SIGKILL; WIFSIGNALED(status); at++) {
        struct vc_container_status *s = NULL;
        int32_t was = 7;
        size_t is = 0;
        assert_int_equal(in_child(make_ctr_stopped, 0), 0);
        status = in_child(do_ctr0_start, at);
        await_locks("state/pods");
        vc_context *ctx = context();
        PT_OK(vc_container_status(ctx, "k", "c0", &s, &err));
        while (is < 4 && strcmp(s->state, may[is]) != 0)
            is++;
        if (is < 2) /* what is known of it is its last life */
            PT_OK(vc_container_wait(ctx, "k", "c0", NULL, 0, &was, &err));
        if (is == 4 || was != 7)
            fail_msg("container start (stopped) killed at point %d: it is %s, and ended with %d", at, s->state, was);
        vc_container_status_free(s);
        vc_context_free(ctx);
        seen[is]++;
        int gc = at & 1 && in_child(do_gc, 0) == 0;
        if ((is % 2 == 0 && in_child(do_ctr0_start, 0) != 0) || (in_child(do_ctr_delete, 0) == 0) == (gc && is == 1) ||
            in_child(do_ctr0_create, 0) != 0 || in_child(do_ctr0_start, 0) != 0)
            fail_msg("container start (stopped) killed at point %d: it is %s, and cannot be started, deleted or made again", at, may[is]);
        assert_int_equal(in_child(do_delete, 0), 0);
        check_nothing("container start (stopped)", at);
        assert_true(WIFSIGNALED(status) || (seen[0] && seen[1] > 3 && seen[2] && seen[3]));
    }
}

/* Whenever pausing or resuming is killed, the pod can be resumed afterwards, its VM runs then, and so it can be paused
 * again. */
static void test_pause_again(void **state)
{
    (void)state;
    static const struct {
        int (*prepare)(vc_context *), (*victim)(vc_context *), (*resume)(vc_context *), (*pause)(vc_context *);
    } cases[] = { { make_running, do_pause, do_resume, do_pause },
                  { make_paused, do_resume, do_resume, do_pause },
                  { make_running, do_ctr_pause, do_ctr_resume, do_ctr_pause },
                  { make_ctr_paused, do_ctr_resume, do_ctr_resume, do_ctr_pause } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int at = 1;; at++) {
            struct vc_container_status *s = NULL;
            assert_int_equal(in_child(cases[i].prepare, 0), 0);
            int status = in_child(cases[i].victim, at);
            vc_context *ctx = context();
            PT_OK(vc_container_status(ctx, "k", "c0", &s, &err));
            int paused = strcmp(s->state, "paused") == 0;
            if (!paused)
                assert_string_equal(s->state, "running");
            vc_container_status_free(s);
            vc_context_free(ctx);
            if (paused)
                assert_int_equal(in_child(cases[i].resume, 0), 0);
            assert_int_equal(in_child(cases[i].pause, 0), 0);
            assert_int_equal(in_child(cases[i].resume, 0), 0);
            assert_int_equal(in_child(do_exec, 0), 0);
            assert_int_equal(in_child(do_delete, 0), 0);
            check_nothing("pause", at);
            if (!WIFSIGNALED(status))
                break;
        }
    }
}

/* ---- who clears away is killed, too ---- */

static void test_killed_again(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int (*prepare)(vc_context *), (*first)(vc_context *), (*second)(vc_context *);
    } walks[] = {
        { "gc of a pod half made", make_nothing, make_running, do_gc },
        { "delete of a pod half made", make_nothing, make_running, do_delete_left },
        { "gc of a pod half deleted", make_running, do_delete, do_gc },
        { "delete of a pod half deleted", make_running, do_delete, do_delete_left },
    };
    for (size_t i = 0; i < sizeof walks / sizeof *walks; i++) {
        int points = 0, first = SIGKILL, second;
        for (int half = 2; WIFSIGNALED(first); half += 4) {
            second = SIGKILL;
            for (int at = 1; WIFSIGNALED(second); at++) {
                assert_int_equal(in_child(walks[i].prepare, 0), 0);
                first = in_child(walks[i].first, half);
                await_locks("state/pods");
                second = in_child(walks[i].second, at);
                await_locks("state/pods");
                check_answers(walks[i].name, at);
                if (in_child(do_gc, 0) != 0)
                    fail_msg("%s at point %d, killed at point %d: gc failed", walks[i].name, half, at);
                if (pt_count("state/pods") + pt_count("run/pods") && in_child(do_delete_left, 0) != 0)
                    fail_msg("%s at point %d, killed at point %d: a forced delete failed", walks[i].name, half, at);
                check_nothing(walks[i].name, at);
                points += WIFSIGNALED(second) != 0;
            }
        }
        total += points;
        assert_in_range(points, 5, 100000);
        print_message("%s: killed again at %d points, nothing left\n", walks[i].name, points);
    }
}

/* ---- templates ---- */

static const char *stack = "faulty";

/* One whose pods start from templates; the mock ones where they must. */
static vc_context *template_context(void)
{
    if (strcmp(stack, "mock") == 0)
        return pt_context("mock", NULL, NULL, NULL, NULL);
    return pt_context("faulty", "hypervisor_faulty.templates=yes", "agent_faulty.templates=yes",
                      "hypervisor_faulty.process=true", geteuid() == 0 ? "hypervisor_faulty.share=true" : NULL);
}

static int make_template(vc_context *ctx)
{
    (void)ctx;
    return vc_template_create(template_context(), 0, NULL, NULL);
}

static int make_anew(vc_context *ctx)
{
    (void)ctx;
    return vc_template_create(template_context(), VC_FORCE, NULL, NULL);
}

static int run_from_template(vc_context *ctx)
{
    (void)ctx;
    pt_pod(&p, "k", 1);
    p.pod.vm_template = VC_TEMPLATE_REQUIRE;
    return vc_pod_run(template_context(), &p.pod, NULL, NULL);
}

static int run_auto(vc_context *ctx)
{
    (void)ctx;
    return vc_pod_run(template_context(), pt_pod(&p, "k", 1), NULL, NULL);
}

static int delete_template(vc_context *ctx)
{
    struct vc_template_info **list = NULL;
    size_t n = 0;
    int rc = 0;
    (void)ctx;
    ctx = template_context();
    if (vc_template_list(ctx, &list, &n, NULL) < 0)
        return -1;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = list[i]->problem ? -1 : vc_template_delete(ctx, list[i]->id, 0, NULL);
    return rc;
}

/* As one leaves it who is killed while he makes one. */
static int make_half_template(vc_context *ctx)
{
    char path[PATH_MAX + 64];
    (void)ctx;
    PT_PATH(path, "%s/state/templates", pt_root);
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -1;
    PT_PATH(path, "%s/state/templates/.making-abcdef", pt_root);
    return mkdir(path, 0700);
}

static int gc_templates(vc_context *ctx)
{
    (void)ctx;
    return vc_gc(template_context(), NULL, NULL, NULL, NULL);
}

/* After gc there is a whole template or none, and the next pod gets its VM from one. */
static void walk_template(const char *name, int (*prepare)(vc_context *), int (*victim)(vc_context *))
{
    int at = 1;
    for (; at < MAX_POINTS; at++) {
        assert_int_equal(in_child(prepare, 0), 0);
        int status = in_child(victim, at);
        if (!WIFSIGNALED(status)) {
            assert_int_equal(status, 0);
            break;
        }
        assert_int_equal(WTERMSIG(status), SIGKILL);
        await_locks("state/pods");
        await_locks("state/templates");
        if (in_child(gc_templates, 0) != 0)
            fail_msg("%s killed at point %d: gc failed", name, at);
        if (pt_count("state/pods"))
            assert_int_equal(in_child(do_delete, 0), 0);
        check_nothing(name, at);
        assert_in_range(pt_count("state/templates"), 0, 1);
        if (in_child(make_template, 0) != 0 || in_child(run_from_template, 0) != 0)
            fail_msg("%s killed at point %d: the next pod has no template", name, at);
        assert_int_equal(in_child(do_delete, 0), 0);
        if (in_child(delete_template, 0) != 0 || pt_count("state/templates"))
            fail_msg("%s killed at point %d: a template cannot be removed", name, at);
    }
    if (pt_count("state/pods"))
        assert_int_equal(in_child(do_delete, 0), 0);
    assert_int_equal(in_child(delete_template, 0), 0);
    check_nothing(name, 0);
    assert_int_equal(pt_count("state/templates"), 0);
    assert_in_range(at, prepare == make_half_template ? 2 : 4, MAX_POINTS - 1);
    print_message("%s (%s): killed at each of %d points, nothing half-made left\n", name, stack, at - 1);
}

static void test_templates(void **state)
{
    (void)state;
    static const char *const stacks[] = { "mock", "faulty" };
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (size_t i = 0; i < 2; i++) {
        stack = stacks[i];
        walk_template("template create", make_nothing, make_template);
        walk_template("template create, anew", make_template, make_anew);
        walk_template("template delete", make_template, delete_template);
        walk_template("gc of a half-made template", make_half_template, gc_templates);
        walk_template("pod run from a template", make_template, run_from_template);
        if (i)
            walk_template("first pod run", make_nothing, run_auto);
    }
}

/* ---- is every point of the source walked to? ---- */

static char *slurp(const char *path)
{
    static char text[4 << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    for (ssize_t k; fd >= 0 && n < sizeof text - 1 && (k = read(fd, text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)k;
    if (fd < 0)
        fail_msg("cannot read %s: %s", path, strerror(errno));
    close(fd);
    text[n] = '\0';
    return text;
}

/* Is it a whole line of the file, or the first word of one?  (The trace has "NUMBER NAME".) */
static int has_name(const char *text, const char *name, char before)
{
    size_t n = strlen(name);
    for (const char *at = text; (at = strstr(at, name)); at += n)
        if ((at == text || at[-1] == before) && (at[n] == '\n' || at[n] == ' '))
            return 1;
    return 0;
}

/* A point that no walk comes to tests nothing.  Those that need a VM, a network or a pool are in tests/fault-points with
 * the test that walks to them, which checks that it does. */
static void test_all_reached(void **state)
{
    (void)state;
    const char *src = getenv("srcdir") ? getenv("srcdir") : ".";
    char path[2 * PATH_MAX], names[256][48];
    size_t n = 0, elsewhere = 0, lost = 0;
    PT_PATH(path, "%s/core/src", src);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        if (len < 3 || strcmp(e->d_name + len - 2, ".c") != 0)
            continue;
        PT_PATH(path, "%s/core/src/%s", src, e->d_name);
        for (char *at = slurp(path); (at = strstr(at, "vci_fault_point(\"")); at++) {
            assert_true(n < 256);
            assert_int_equal(sscanf(at, "vci_fault_point(\"%47[^\"]", names[n++]), 1);
        }
    }
    closedir(d);
    assert_true(n > 50);
    char *reached = strdup(slurp(trace));
    PT_PATH(path, "%s/tests/fault-points", src);
    const char *others = slurp(path);
    for (size_t i = 0; i < n; i++) {
        int here = has_name(reached, names[i], ' '), there = has_name(others, names[i], '\n');
        elsewhere += !here;
        if (here == there) {
            lost++;
            print_error("fault point \"%s\" is %s\n", names[i],
                        here ? "walked to here: it need not be in tests/fault-points" : "never walked to");
        }
    }
    free(reached);
    print_message("%zu fault points in the source, %zu of them walked to by other tests\n", n, elsewhere);
    assert_int_equal(lost, 0);
}

static int setup(void **state)
{
    int rc = pt_setup(state);
    PT_PATH(trace, "%s/trace", pt_root);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_walk), cmocka_unit_test(test_survivors), cmocka_unit_test(test_half_removed),
                                        cmocka_unit_test(test_half_made), cmocka_unit_test(test_made_by_another),
                                        cmocka_unit_test(test_half_started),
                                        cmocka_unit_test(test_pause_again), cmocka_unit_test(test_killed_again),
                                        cmocka_unit_test(test_hooks), cmocka_unit_test(test_templates),
                                        cmocka_unit_test(test_all_reached) };
    if (getenv("PT_ONLY"))
        cmocka_set_test_filter(getenv("PT_ONLY"));
    return cmocka_run_group_tests(tests, setup, pt_teardown);
}
