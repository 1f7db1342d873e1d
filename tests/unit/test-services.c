/* SPDX-License-Identifier: Apache-2.0 */
/* test-services.c: what a plugin may ask of its host. */
#include "core-util.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "instance.h"
#include "lib/proc.h"

static vc_context *ctx;
static struct vci_pod_dir dir;
static struct vci_plugin plugin;
static struct vci_inst inst;
static const vc_host *host;

static int setup(void **state)
{
    if (tmp_setup(state))
        return -1;
    ctx = make_context("libexec_dir = \"/le/\"; data_dir = \"/da\";");
    plugin = (struct vci_plugin){ .desc = { .kind = VC_KIND_AGENT, .name = "tester" } };
    inst = (struct vci_inst){ .ctx = ctx, .dir = &dir, .plugin = &plugin };
    vci_host_init(&inst.host, &inst);
    host = &inst.host;
    return vci_store_create(ctx, "p", &dir, NULL);
}

static int teardown(void **state)
{
    vci_store_close(&dir);
    vc_context_free(ctx);
    return tmp_teardown(state);
}

static void every_service_is_there(void **state)
{
    (void)state;
    const unsigned char *from = (const unsigned char *)host + offsetof(vc_host, log);
    for (size_t at = 0; at < sizeof(*host) - offsetof(vc_host, log); at += sizeof(void *)) {
        void (*fn)(void);
        memcpy(&fn, from + at, sizeof(fn));
        assert_true(fn != NULL);
    }
    assert_int_equal(host->size, sizeof(*host));
    assert_null(host->ext(host, "vc.none/1"));
}

static void sinks_are_bounded(void **state)
{
    (void)state;
    vc_sink *s = NULL;
    struct vc_bytes b = { 0 };
    char *big = calloc(1, 1 << 20);
    assert_int_equal(host->sink_new(host, &s), 0);
    assert_int_equal(host->sink_bytes(host, s, &b), 0);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    assert_int_equal(host->write(host, s, "abc", 3), 0);
    assert_int_equal(host->write(host, s, big, 1 << 20), VC_E_RESOURCE);
    assert_int_equal(host->write(host, s, big, UINT64_MAX), VC_E_RESOURCE);
    assert_int_equal(host->write(host, s, big, (1 << 20) - 3), 0);
    assert_int_equal(host->write(host, s, big, 1), VC_E_RESOURCE);
    assert_int_equal(host->sink_bytes(host, s, &b), 0);
    assert_int_equal(b.len, 1 << 20);
    assert_memory_equal(b.data, "abc\0", 4);
    host->sink_free(host, s);
    host->sink_free(host, NULL);
    free(big);
    void *mem = host->alloc(host, 16);
    assert_memory_equal(mem, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    host->free(host, mem);
    assert_null(host->alloc(host, UINT64_MAX));
}

static void paths(void **state)
{
    (void)state;
    static const struct {
        uint32_t which;
        const char *want;
    } cases[] = {
        { VC_PATH_RUN_ROOT, "run" },       { VC_PATH_STATE_ROOT, "state" },     { VC_PATH_PLUGIN_ROOT, "plugins" },
        { VC_PATH_CONFIG, "vccore.conf" }, { VC_PATH_RUN, "run/pods/p/agent" },
    };
    struct stat st;
    assert_int_equal(stat(tmp_path("run/pods/p/agent"), &st), -1);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            vc_sink *s = vci_sink_new();
            assert_int_equal(host->path(host, cases[i].which, s), 0);
            assert_string_equal(vci_sink_str(s, NULL), tmp_path(cases[i].want));
            vci_sink_free(s);
        }
    assert_int_equal(stat(tmp_path("run/pods/p/agent"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    vc_sink *s = vci_sink_new();
    assert_int_equal(host->path(host, VC_PATH_LIBEXEC, s), 0);
    assert_int_equal(host->path(host, VC_PATH_DATA, s), 0);
    assert_string_equal(vci_sink_str(s, NULL), "/le/da");
    assert_int_equal(host->path(host, 99, s), VC_E_INVAL);
    vci_sink_free(s);
}

static void errors(void **state)
{
    (void)state;
    vc_error obj, *e = vci_error_init(&obj);
    assert_int_equal(host->err_set(host, (vc_err *)e, VC_E_PEER, ECONNRESET, "the guest said \033[2J", 18), VC_E_PEER);
    assert_string_equal(vc_error_text(e), "the guest said \\x1b[2: Connection reset by peer");
    host->err_context(host, (vc_err *)e, "vm_start", 8);
    assert_string_equal(vc_error_text(e), "vm_start: the guest said \\x1b[2: Connection reset by peer");
    assert_int_equal(host->err_set(host, NULL, VC_E_PEER, 0, "x", 1), VC_E_PEER);
    host->err_context(host, NULL, "x", 1);
    struct vc_call call = { .size = sizeof(call), .deadline_ns = 1 };
    assert_int_equal(host->cancelled(host, &call), 1);
    call.deadline_ns = vcs_now_ns() + 3600000000000;
    assert_int_equal(host->cancelled(host, &call), 0);
    call.deadline_ns = 0;
    assert_int_equal(host->cancelled(host, &call), 0);
}

static void logs(void **state)
{
    (void)state;
    int fds[2];
    char buf[4096];
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    ctx->log.fd = fds[1];
    ctx->log.level = VC_LOG_INFO;
    assert_int_equal(host->log_enabled(host, VC_LOG_INFO), 1);
    assert_int_equal(host->log_enabled(host, VC_LOG_DEBUG), 0);
    host->log(host, VC_LOG_INFO, "a\nb\n", 4);
    ssize_t n = read(fds[0], buf, sizeof(buf) - 1);
    buf[n > 0 ? n : 0] = '\0';
    assert_contains(buf, "info pod=p tester: a\\x0ab\n");
    ctx->log.fd = -1;
    close(fds[0]);
    close(fds[1]);
}

static void processes(void **state)
{
    (void)state;
    const char *const argv[] = { "/bin/sh", "-c", "read x; exit 3", NULL };
    int fds[2];
    vc_error obj, *e = vci_error_init(&obj);
    struct vc_call call = { .size = sizeof(call), .err = (vc_err *)e };
    struct vc_proc proc = { 0 };
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct vc_spawn s = {
        .size = sizeof(s), .path = argv[0], .argv = argv, .netns_fd = -1, .stdio = { fds[0], -1, -1 }
    };
    assert_int_equal(host->spawn(host, &call, &s, &proc), 0);
    close(fds[0]);
    int32_t pidfd = -1, status = 0;
    assert_int_equal(host->proc_fd(host, &proc, &pidfd), 0);
    assert_int_equal(fcntl(pidfd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(pidfd);
    call.deadline_ns = vcs_now_ns() + 20000000;
    assert_int_equal(host->proc_wait(host, &call, &proc, &status), VC_E_TIMEOUT);
    assert_contains(vc_error_text(e), "has not ended in time");
    close(fds[1]);
    call.deadline_ns = vcs_now_ns() + 10000000000;
    assert_int_equal(host->proc_wait(host, &call, &proc, &status), 0);
    assert_int_equal(status, 3 << 8);
    assert_int_equal(host->proc_fd(host, &proc, &pidfd), VC_E_NOTFOUND);
    struct vci_ledger_entry *l = NULL;
    size_t n = 0;
    assert_int_equal(vci_ledger_read(&dir, &l, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_string_equal(l[0].owner, "agent");
    vci_ledger_entries_free(l, n);
    assert_int_equal(host->proc_done(host, &proc), 0);
    assert_int_equal(vci_ledger_read(&dir, &l, &n, NULL), 0);
    assert_int_equal(n, 0);
    vci_ledger_entries_free(l, n);
    const char *const none[] = { "/nonexistent", NULL };
    s.path = none[0];
    s.argv = none;
    s.stdio[0] = -1;
    assert_int_equal(host->spawn(host, &call, &s, &proc), VC_E_NOTFOUND);
    assert_contains(vc_error_text(e), "cannot start /nonexistent");
}

static void resources(void **state)
{
    (void)state;
    assert_int_equal(host->res_add(host, VC_RES_PATH, "/x"), 0);
    assert_int_equal(host->res_add(host, VC_RES_LINK, "tap0"), 0);
    assert_int_equal(host->res_add(host, VC_RES_PATH, "relative"), VC_E_INVAL);
    assert_int_equal(host->res_add(host, VC_RES_PATH, ""), VC_E_INVAL);
    assert_int_equal(host->res_add(host, VC_RES_PATH, NULL), VC_E_INVAL);
    assert_int_equal(host->res_add(host, VCI_RES_PROCESS, "/1"), VC_E_INVAL);
    assert_int_equal(host->res_del(host, VC_RES_PATH, "/x"), 0);
    struct vci_ledger_entry *l = NULL;
    size_t n = 0;
    assert_int_equal(vci_ledger_read(&dir, &l, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_string_equal(l[0].name, "tap0");
    vci_ledger_entries_free(l, n);
}

/* What is there already is not the pod's, unless the pod has it on record: undoing a wrong record would kill. */
static void control_groups(void **state)
{
    (void)state;
    char path[300];
    snprintf(path, sizeof(path), "%s/group", tmp_dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(host->res_add(host, VC_RES_CGROUP, path), VC_E_EXISTS);
    struct vci_ledger_entry *l = NULL;
    size_t n = 9;
    assert_int_equal(vci_ledger_read(&dir, &l, &n, NULL), 0);
    assert_int_equal(n, 0);
    vci_ledger_entries_free(l, n);
    assert_int_equal(rmdir(path), 0);
    /* Recorded, then made; told of once more by an instance that was restored. */
    assert_int_equal(host->res_add(host, VC_RES_CGROUP, path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(host->res_add(host, VC_RES_CGROUP, path), 0);
    assert_int_equal(host->res_del(host, VC_RES_CGROUP, path), 0);
    assert_int_equal(host->res_del(host, VC_RES_CGROUP, path), 0);
    assert_int_equal(host->res_add(host, VC_RES_CGROUP, path), VC_E_EXISTS);
    assert_int_equal(host->res_add(host, VC_RES_PATH, path), 0); /* of a path anything can be said */
}

static void takes_no_null(void **state)
{
    (void)state;
    struct vc_call call = { .size = sizeof(call) };
    struct vc_proc proc = { 0 };
    const char *text = NULL;
    int64_t number = 0;
    uint32_t count = 0;
    int32_t fd = -1;
    vc_sink *s = NULL;
    assert_int_equal(host->path(host, VC_PATH_RUN, NULL), VC_E_INVAL);
    assert_int_equal(host->write(host, NULL, "x", 1), VC_E_INVAL);
    assert_int_equal(host->sink_new(host, NULL), VC_E_INVAL);
    assert_int_equal(host->sink_bytes(host, NULL, NULL), VC_E_INVAL);
    assert_int_equal(host->sink_new(host, &s), VC_OK);
    assert_int_equal(host->write(host, s, NULL, 1), VC_E_INVAL);
    assert_int_equal(host->sink_bytes(host, s, NULL), VC_E_INVAL);
    host->sink_free(host, s);
    host->sink_free(host, NULL);
    assert_int_equal(host->cfg_str(host, NULL, "k", 0, &text), VC_E_INVAL);
    assert_int_equal(host->cfg_str(host, NULL, NULL, 0, NULL), VC_E_INVAL);
    assert_int_equal(host->cfg_int(host, NULL, "k", &number), VC_E_INVAL);
    assert_int_equal(host->cfg_count(host, NULL, "k", &count), VC_E_INVAL);
    assert_string_equal(inst.hint, "asked for the undeclared option \"k\"");
    assert_int_equal(host->spawn(host, &call, NULL, &proc), VC_E_INVAL);
    assert_int_equal(host->proc_fd(host, NULL, &fd), VC_E_INVAL);
    assert_int_equal(host->proc_wait(host, &call, NULL, NULL), VC_E_INVAL);
    assert_int_equal(host->proc_done(host, NULL), VC_E_INVAL);
    assert_int_equal(host->netns_run(host, &call, -1, NULL, NULL), VC_E_INVAL);
    assert_int_equal(host->res_add(host, VC_RES_PATH, NULL), VC_E_INVAL);
    assert_int_equal(host->err_set(host, NULL, VC_E_IO, 0, NULL, 0), VC_E_IO);
    host->err_context(host, NULL, NULL, 0);
    host->log(host, VC_LOG_ERROR, NULL, 0);
}

static void without_a_pod(void **state)
{
    (void)state;
    const vc_host *g = vci_host_global();
    vc_sink *s = vci_sink_new();
    struct vc_proc proc = { 0 };
    struct vc_spawn spawn = { .size = sizeof(spawn) };
    struct vc_call call = { .size = sizeof(call) };
    assert_int_equal(g->path(g, VC_PATH_RUN, s), VC_E_STATE);
    assert_int_equal(g->path(g, VC_PATH_DATA, s), VC_E_STATE);
    assert_int_equal(g->spawn(g, &call, &spawn, &proc), VC_E_STATE);
    assert_int_equal(g->res_add(g, VC_RES_PATH, "/x"), VC_E_STATE);
    assert_int_equal(g->res_del(g, VC_RES_PATH, "/x"), VC_E_STATE);
    assert_int_equal(g->log_enabled(g, VC_LOG_ERROR), 0);
    g->log(g, VC_LOG_ERROR, "x", 1);
    vci_sink_free(s);
}

static char seen[64];
static int look(void *arg)
{
    ssize_t n = readlink("/proc/thread-self/ns/net", seen, sizeof(seen) - 1);
    seen[n > 0 ? n : 0] = '\0';
    return *(int *)arg;
}

static void runs_in_a_namespace(void **state)
{
    (void)state;
    int value = 42, fds[2];
    struct vc_call call = { .size = sizeof(call) };
    char mine[64] = "", other[64] = "", path[64];
    assert_true(readlink("/proc/self/ns/net", mine, sizeof(mine) - 1) > 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char ok = unshare(CLONE_NEWNET) == 0;
        if (write(fds[1], &ok, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char ok = 0;
    assert_int_equal(read(fds[0], &ok, 1), 1);
    close(fds[0]);
    close(fds[1]);
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
    ssize_t n = readlink(path, other, sizeof(other) - 1);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (!ok)
        skip(); /* not allowed to make one */
    assert_true(n > 0 && ns >= 0);
    assert_int_equal(host->netns_run(host, &call, ns, look, &value), 42);
    close(ns);
    assert_string_equal(seen, other);
    char after[64] = "";
    assert_true(readlink("/proc/self/ns/net", after, sizeof(after) - 1) > 0);
    assert_string_equal(after, mine);
    assert_true(strcmp(mine, other) != 0);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(host->netns_run(host, &call, null, look, &value) < 0);
    close(null);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_service_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(sinks_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(paths, setup, teardown),
        cmocka_unit_test_setup_teardown(errors, setup, teardown),
        cmocka_unit_test_setup_teardown(logs, setup, teardown),
        cmocka_unit_test_setup_teardown(processes, setup, teardown),
        cmocka_unit_test_setup_teardown(resources, setup, teardown),
        cmocka_unit_test_setup_teardown(control_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(takes_no_null, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_pod, setup, teardown),
        cmocka_unit_test_setup_teardown(runs_in_a_namespace, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
