/* SPDX-License-Identifier: Apache-2.0 */
/* test-hooks-netns.c: hooks run in the pod's network namespace, and before anything is attached to it. */
#include "../unit/podtest.h"

static char script[3][4 * PATH_MAX];

static int setup(void **state)
{
    const char *build = getenv("VC_BUILD_DIR") ? getenv("VC_BUILD_DIR") : ".";
    char from[PATH_MAX + 64], to[PATH_MAX + 64];
    if (geteuid() != 0) {
        fprintf(stderr, "network namespaces want root\n");
        return -1;
    }
    if (pt_setup(state) < 0)
        return -1;
    PT_PATH(from, "%s/tests/fakes/.libs/tap-network.so", build);
    PT_PATH(to, "%s/plugins/network/tap.so", pt_root);
    pt_copy(from, to);
    return 0;
}

static vc_context *context(void)
{
    return pt_context("mock", "network=tap", NULL, NULL, NULL);
}

/* The hook of one list: notes its state, its namespace, that of the process it is told of, and the links in there. */
static struct vc_hooks *hooks(void)
{
    static const char *const names[] = { "prestart", "poststart", "poststop" };
    static struct vc_hooks set;
    static struct vc_hook hook[3], *list[3];
    static const char *args[3][4], *const env[] = { "PATH=/usr/bin:/bin", NULL };
    VC_INIT(&set);
    for (size_t i = 0; i < 3; i++) {
        PT_PATH(script[i],
                "cd %s && cat >%s.state && readlink /proc/self/ns/net >%s.ns && cat /proc/net/dev >%s.dev && "
                "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/' %s.state) && "
                "if [ $pid != 0 ]; then readlink /proc/$pid/ns/net >%s.pidns; fi",
                pt_root, names[i], names[i], names[i], names[i], names[i]);
        VC_INIT(&hook[i]);
        args[i][0] = "sh";
        args[i][1] = "-c";
        args[i][2] = script[i];
        hook[i].path = "/bin/sh";
        hook[i].args = args[i];
        hook[i].env = env;
        list[i] = &hook[i];
    }
    set.prestart = &list[0];
    set.poststart = &list[1];
    set.poststop = &list[2];
    set.n_prestart = set.n_poststart = set.n_poststop = 1;
    return &set;
}

static const char *slurp(const char *name)
{
    static char buf[8][4096];
    static int n;
    char path[PATH_MAX + 64], *at = buf[n++ % 8];
    PT_PATH(path, "%s/%s", pt_root, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, at, sizeof buf[0] - 1);
    if (len < 0)
        fail_msg("%s was not written", name);
    at[len] = '\0';
    close(fd);
    unlink(path);
    return at;
}

static const char *own_ns(void)
{
    static char buf[64];
    ssize_t n = readlink("/proc/self/ns/net", buf, sizeof buf - 2);
    assert_true(n > 0);
    memcpy(buf + n, "\n", 2);
    return buf;
}

static struct pt_pod p;

static int create(vc_context *ctx)
{
    pt_pod(&p, "p", 1);
    p.pod.hooks = hooks();
    return vc_pod_create(ctx, &p.pod, NULL, NULL);
}

/* Made by one process, started by another one, stopped by a third. */
static int in_child(int (*fn)(vc_context *))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn(context()) < 0);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int start(vc_context *ctx)
{
    return vc_pod_start(ctx, "p", NULL);
}

static void test_namespace(void **state)
{
    (void)state;
    vc_context *ctx = context();
    size_t mounts = pt_mounts();
    assert_int_equal(in_child(create), 0);
    const char *ns = slurp("prestart.ns");
    assert_int_equal(strncmp(ns, "net:[", 5), 0);
    assert_string_not_equal(ns, own_ns());
    assert_string_equal(slurp("prestart.pidns"), ns);   /* found by the pid, as libnetwork's hook does */
    assert_null(strstr(slurp("prestart.dev"), "tap0")); /* what it puts in there is found afterwards */
    assert_int_equal(in_child(start), 0);
    assert_string_equal(slurp("poststart.ns"), ns);
    assert_string_equal(slurp("poststart.pidns"), ns);
    assert_string_not_equal(own_ns(), ns); /* no thread of ours has moved */
    PT_OK(vc_pod_stop(ctx, "p", 0, &err));
    assert_string_equal(slurp("poststop.ns"), own_ns()); /* after the network was removed */
    PT_OK(vc_pod_delete(ctx, "p", 0, &err));
    assert_int_equal(pt_mounts(), mounts);
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A container that is added to a running pod: its hooks are in there, too. */
static void test_container(void **state)
{
    (void)state;
    vc_context *ctx = context();
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "p", 0), NULL, &err));
    pt_pod(&p, "p", 1);
    p.ctr[0].hooks = hooks();
    PT_OK(vc_container_create(ctx, "p", &p.ctr[0], NULL, &err));
    const char *ns = slurp("prestart.ns");
    assert_string_not_equal(ns, own_ns());
    assert_string_equal(slurp("prestart.pidns"), ns);
    assert_non_null(strstr(slurp("prestart.state"), "\"id\":\"c0\""));
    PT_OK(vc_container_delete(ctx, "p", "c0", 0, &err));
    assert_string_equal(slurp("poststop.ns"), ns); /* the pod's network is still there */
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A pod that was never started: its namespace goes with it (bug-1). */
static void test_ready(void **state)
{
    (void)state;
    vc_context *ctx = context();
    char ns[PATH_MAX];
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "p", 1), NULL, &err));
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[4096];
    ns[0] = '\0';
    while (f && fgets(line, sizeof line, f))
        if (strstr(line, "/vctap-"))
            sscanf(line, "%*s %*s %*s %*s %4000s", ns);
    if (f)
        fclose(f);
    assert_string_not_equal(ns, "");
    assert_int_equal(access(ns, F_OK), 0);
    PT_OK(vc_pod_delete(ctx, "p", 0, &err));
    assert_int_equal(access(ns, F_OK), -1);
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A hook that fails: the namespace goes with all else. */
static void test_failure(void **state)
{
    (void)state;
    vc_context *ctx = context();
    pt_pod(&p, "p", 1);
    p.pod.hooks = hooks();
    static const char *const args[] = { "sh", "-c", "readlink /proc/self/ns/net >&2; exit 1", NULL };
    p.pod.hooks->prestart[0]->args = args;
    PT_FAILS(VC_ERR_PEER, "stderr: net:[", vc_pod_run(ctx, &p.pod, NULL, &err));
    assert_string_equal(slurp("poststop.ns"), own_ns());
    pt_nothing_left();
    vc_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_namespace), cmocka_unit_test(test_container),
                                        cmocka_unit_test(test_failure), cmocka_unit_test(test_ready) };
    return cmocka_run_group_tests(tests, setup, pt_teardown);
}
