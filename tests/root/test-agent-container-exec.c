/* SPDX-License-Identifier: Apache-2.0 */
/* test-agent-container-exec.c: the life of a container of vc-agent, further processes, terminals, storages. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-container.h"
#include "lib/io.h"

static struct box b;
static struct ctr *c;
static struct ctr_child init_child;
static struct result r;
static struct agent_err err;

static void create(const char *script)
{
    box_init(&b, script);
    if (ctr_create(&b.req, &init_child, &c, &err) < 0)
        fail_msg("create: %s", err.text);
}

static void start(void)
{
    if (ctr_start(c, &err) < 0)
        fail_msg("start: %s", err.text);
}

static void close_child(struct ctr_child *child)
{
    int *fds[] = {&child->in, &child->out, &child->err};
    for (int i = 0; i < 3; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

/* Kill, reap and destroy. */
static void finish(void)
{
    int status;
    assert_int_equal(ctr_signal_all(c, SIGKILL, &err), 0);
    assert_int_equal(waitpid(init_child.pid, &status, 0), init_child.pid);
    close_child(&init_child);
    if (ctr_destroy(c, &err) < 0)
        fail_msg("destroy: %s", err.text);
}

static Oci__Process *process(const char *script)
{
    static Oci__Process p;
    static char *args[3];
    p = b.process;
    args[0] = (char *)(uintptr_t)"sh";
    args[1] = (char *)(uintptr_t)"-c";
    args[2] = (char *)(uintptr_t)script;
    p.args = args;
    return &p;
}

static void exec_ok(Oci__Process *p, const char *want)
{
    struct ctr_child child;
    if (ctr_exec(c, p, NULL, &child, &err) < 0)
        fail_msg("exec: %s", err.text);
    memset(&r, 0, sizeof(r));
    box_collect(&child, NULL, 0, &r);
    assert_string_equal(r.out, want);
    assert_string_equal(r.errout, "");
}

static void test_exec(void **state)
{
    (void)state;
    struct ctr_child child;
    create("echo up; read x; exit 3");
    /* A process may run in a container that has not been started. */
    exec_ok(process("hostname; readlink /proc/1/exe"), "inside\n");
    start();
    assert_int_equal(box_expect(init_child.out, "up"), 0);
    exec_ok(process("readlink /proc/1/exe; ls /; exit 5"), "/bin/busybox\nbin\ndata\ndev\netc\nopt\nproc\nsys\ntmp\n");
    assert_int_equal(r.status, 5);
    Oci__Process *p = process("id -u; id -g; pwd; echo $HOME $X");
    Oci__User u = OCI__USER__INIT;
    char *env[] = {(char *)(uintptr_t)"PATH=/bin", (char *)(uintptr_t)"X=y"};
    u.username = (char *)(uintptr_t)"www";
    p->user = &u;
    p->cwd = (char *)(uintptr_t)"/data";
    p->env = env;
    p->n_env = 2;
    exec_ok(p, "33\n34\n/data\n/var/www y\n");
    exec_ok(process("kill -9 $$"), "");
    assert_int_equal(r.status, 137);

    p = process("");
    p->args[0] = (char *)(uintptr_t)"missing-program";
    assert_int_equal(ctr_exec(c, p, NULL, &child, &err), -1);
    assert_int_equal(err.code, VCS_RPC_NOTFOUND);
    assert_non_null(strstr(err.text, "missing-program"));
    p->args[0] = (char *)(uintptr_t)"/etc/group";
    assert_int_equal(ctr_exec(c, p, NULL, &child, &err), -1);
    assert_int_equal(err.code, VCS_RPC_PERM);
    assert_int_equal(ctr_exec(c, NULL, NULL, &child, &err), -1);
    assert_int_equal(err.code, VCS_RPC_INVALID);
    assert_int_equal(ctr_start(c, &err), -1);
    assert_int_equal(err.code, VCS_RPC_PRECONDITION);

    assert_int_equal(write(init_child.in, "\n", 1), 1);
    memset(&r, 0, sizeof(r));
    box_collect(&init_child, NULL, 0, &r);
    assert_int_equal(r.status, 3);
    assert_int_equal(ctr_exec(c, process("true"), NULL, &child, &err), -1);
    assert_int_equal(err.code, VCS_RPC_PRECONDITION);
    assert_int_equal(ctr_destroy(c, &err), 0);
}

/* The processes of a container cannot look at one that is on its way in. */
static void test_exec_keeps_limits(void **state)
{
    (void)state;
    Oci__LinuxSeccomp sec = OCI__LINUX_SECCOMP__INIT;
    Oci__LinuxSyscall sc = OCI__LINUX_SYSCALL__INIT, *list = &sc;
    char *names[] = {(char *)(uintptr_t)"mkdir"};
    sec.default_action = (char *)(uintptr_t)"SCMP_ACT_ALLOW";
    sc.action = (char *)(uintptr_t)"SCMP_ACT_ERRNO";
    sc.names = names;
    sc.n_names = 1;
    sec.syscalls = &list;
    sec.n_syscalls = 1;
    box_init(&b, "read x");
    b.lin.seccomp = &sec;
    assert_int_equal(ctr_create(&b.req, &init_child, &c, &err), 0);
    memset(&sec, 0xee, sizeof(sec)); /* nothing of the request is used from here on */
    b.lin.seccomp = NULL;
    start();
    exec_ok(process("mkdir /dev/shm/x 2>/dev/null || echo refused; grep -E '^CapBnd' /proc/self/status | tr -d '\\t';"
                    "ls /proc/self/fd"),
            "refused\nCapBnd:00000000080004eb\n0\n1\n2\n3\n");
    finish();
}

static void test_terminal(void **state)
{
    (void)state;
    Oci__Box size = OCI__BOX__INIT;
    size.height = 33;
    size.width = 101;
    box_init(&b, "stty size; tty; ls -l /dev/console | head -c 1; echo con >/dev/console; read x; stty size; exit 4");
    b.process.terminal = 1;
    b.process.console_size = &size;
    assert_int_equal(ctr_create(&b.req, &init_child, &c, &err), 0);
    assert_true(init_child.tty);
    assert_int_equal(init_child.in, -1);
    assert_int_equal(init_child.err, -1);
    start();
    assert_int_equal(box_expect(init_child.out, "33 101\r\n/dev/pts/0\r\nccon\r\n"), 0);
    struct winsize ws = {.ws_row = 20, .ws_col = 50};
    assert_int_equal(ioctl(init_child.out, TIOCSWINSZ, &ws), 0);
    Oci__Process *p = process("tty; exit 9");
    struct ctr_child child;
    p->terminal = 1;
    assert_int_equal(ctr_exec(c, p, NULL, &child, &err), 0);
    assert_int_equal(box_expect(child.out, "/dev/pts/1"), 0);
    memset(&r, 0, sizeof(r));
    box_collect(&child, NULL, 0, &r);
    assert_int_equal(r.status, 9);
    assert_int_equal(write(init_child.out, "\n", 1), 1);
    assert_int_equal(box_expect(init_child.out, "20 50"), 0);
    memset(&r, 0, sizeof(r));
    box_collect(&init_child, NULL, 0, &r);
    assert_int_equal(r.status, 4);
    assert_int_equal(ctr_destroy(c, &err), 0);
    /* ^C reaches the foreground process: the terminal is the controlling one. */
    box_init(&b, "trap 'echo caught; exit 6' INT; echo ready; while :; do sleep 1; done");
    b.process.terminal = 1;
    assert_int_equal(ctr_create(&b.req, &init_child, &c, &err), 0);
    start();
    assert_int_equal(box_expect(init_child.out, "ready"), 0);
    assert_int_equal(write(init_child.out, "\003", 1), 1);
    assert_int_equal(box_expect(init_child.out, "caught"), 0);
    memset(&r, 0, sizeof(r));
    box_collect(&init_child, NULL, 0, &r);
    assert_int_equal(r.status, 6);
    assert_int_equal(ctr_destroy(c, &err), 0);
    box_init(&b, "true");
    b.process.terminal = 1;
    b.spec.n_mounts = 2; /* no devpts */
    assert_int_equal(ctr_create(&b.req, &init_child, &c, &err), -1);
    assert_non_null(strstr(err.text, "devpts"));
}

static int group_exists(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s/%s", vca_cgroup_config.root, vca_cgroup_config.base, name);
    return access(path, F_OK) == 0;
}

/* Wait until descriptor has bytes, at most ms. */
static int readable(int fd, int ms)
{
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, ms);
}

static void drain(int fd)
{
    char buf[65536];
    while (read(fd, buf, sizeof(buf)) > 0)
        continue;
}

static void test_cgroup(void **state)
{
    (void)state;
    struct ctr_child child;
    pid_t *pids;
    size_t n;
    if (vca_cgroup_config.disabled)
        skip();
    create("sleep 1000 & while :; do echo tick; done");
    assert_true(group_exists(b.req.container_id));
    start();
    assert_int_equal(box_expect(init_child.out, "tick"), 0);
    assert_int_equal(ctr_list_pids(c, &pids, &n, &err), 0);
    assert_int_equal(n, 2);
    assert_true(pids[0] == init_child.pid || pids[1] == init_child.pid);
    free(pids);

    assert_int_equal(ctr_pause(c, &err), 0);
    drain(init_child.out);
    assert_int_equal(readable(init_child.out, 100), 0);
    assert_int_equal(ctr_pause(c, &err), -1);
    assert_int_equal(err.code, VCS_RPC_PRECONDITION);
    assert_int_equal(ctr_exec(c, process("true"), NULL, &child, &err), -1);
    assert_int_equal(err.code, VCS_RPC_PRECONDITION);
    assert_int_equal(ctr_resume(c, &err), 0);
    assert_int_equal(readable(init_child.out, 10000), 1);
    assert_int_equal(ctr_resume(c, &err), -1);

    Agent__StatsContainerResponse *resp = malloc(sizeof(*resp));
    assert_non_null(resp);
    agent__stats_container_response__init(resp);
    assert_int_equal(ctr_stats(c, resp, &err), 0);
    assert_non_null(resp->cgroup_stats->cpu_stats->cpu_usage);
    assert_true(resp->cgroup_stats->cpu_stats->cpu_usage->total_usage > 0);
    assert_non_null(resp->cgroup_stats->memory_stats);
    size_t ooms = 0;
    for (size_t i = 0; i < resp->cgroup_stats->memory_stats->n_stats; i++)
        ooms += strcmp(resp->cgroup_stats->memory_stats->stats[i]->key, "oom_kill") == 0;
    assert_int_equal(ooms, 1);
    assert_non_null(resp->cgroup_stats->pids_stats);
    agent__stats_container_response__free_unpacked(resp, NULL);

    /* A paused container can be killed. */
    assert_int_equal(ctr_pause(c, &err), 0);
    finish();
    assert_false(group_exists(b.req.container_id));
}

static void test_cgroup_paths(void **state)
{
    (void)state;
    if (vca_cgroup_config.disabled)
        skip();
    box_init(&b, "read x");
    b.lin.cgroups_path = (char *)(uintptr_t)"/kube/pod1/ctr1";
    assert_int_equal(ctr_create(&b.req, &init_child, &c, &err), 0);
    assert_true(group_exists("kube/pod1/ctr1"));
    finish();
    assert_false(group_exists("kube"));
    box_init(&b, "read x");
    b.lin.cgroups_path = (char *)(uintptr_t)"system.slice:vc:one";
    assert_int_equal(ctr_create(&b.req, &init_child, &c, &err), 0);
    assert_true(group_exists("vc/one"));
    finish();
    static const char *const bad[] = {"../../escape", "/a/../../b", "/a/./b", "/a b"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        box_init(&b, "true");
        b.lin.cgroups_path = (char *)(uintptr_t)bad[i];
        assert_int_equal(ctr_create(&b.req, &init_child, &c, &err), -1);
        assert_int_equal(err.code, VCS_RPC_INVALID);
        assert_non_null(strstr(err.text, bad[i]));
    }
}

/* A limit either stands in its file, or the creation fails and says which one it was. */
static void test_limits(void **state)
{
    (void)state;
    if (vca_cgroup_config.disabled)
        skip();
    Oci__LinuxMemory mem = OCI__LINUX_MEMORY__INIT;
    Oci__LinuxCPU cpu = OCI__LINUX_CPU__INIT;
    Oci__LinuxPids pids = OCI__LINUX_PIDS__INIT;
    Oci__LinuxResources res = OCI__LINUX_RESOURCES__INIT;
    mem.limit = 64 << 20;
    mem.swap = 96 << 20;
    mem.reservation = 16 << 20;
    cpu.shares = 2048;
    cpu.quota = 50000;
    cpu.period = 100000;
    pids.limit = 20;
    struct {
        const char *file, *want;
    } limits[] = {{"memory.max", "67108864\n"}, {"memory.swap.max", "33554432\n"}, {"memory.low", "16777216\n"},
                  {"cpu.weight", "79\n"},       {"cpu.max", "50000 100000\n"},     {"pids.max", "20\n"}};
    for (int i = 0; i < 3; i++) {
        char path[600], text[64] = "";
        box_init(&b, "read x");
        res.memory = i == 0 ? &mem : NULL;
        res.cpu = i == 1 ? &cpu : NULL;
        res.pids = i == 2 ? &pids : NULL;
        b.lin.resources = &res;
        int made = ctr_create(&b.req, &init_child, &c, &err);
        if (made < 0) {
            assert_int_equal(err.code, VCS_RPC_PRECONDITION);
            assert_non_null(strstr(err.text, limits[i == 0 ? 1 : 2 + i * (i + 1) / 2].file));
            assert_false(group_exists(b.req.container_id));
            continue;
        }
        for (int k = i == 0 ? 0 : i == 1 ? 3 : 5; k < (i == 0 ? 3 : i == 1 ? 5 : 6); k++) {
            snprintf(path, sizeof(path), "%s/%s/%s/%s", vca_cgroup_config.root, vca_cgroup_config.base,
                     b.req.container_id, limits[k].file);
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
            close(fd);
            assert_string_equal(text, limits[k].want);
        }
        finish();
    }
    mem.limit = 0;
    mem.swap = 0;
    mem.disable_oom_killer = 1;
    box_init(&b, "true");
    res.memory = &mem;
    b.lin.resources = &res;
    assert_int_equal(ctr_create(&b.req, &init_child, &c, &err), -1);
    assert_int_equal(err.code, VCS_RPC_UNIMPLEMENTED);
}

/* The kernel kills what goes over the memory limit, and the descriptor for it says so. */
static void test_oom(void **state)
{
    (void)state;
    Oci__LinuxMemory mem = OCI__LINUX_MEMORY__INIT;
    mem.limit = mem.swap = 16 << 20;
    box_init(&b, "read x; dd if=/dev/zero of=/dev/shm/x bs=1M count=40 2>/dev/null; echo $?; read x");
    b.res.memory = &mem;
    if (vca_cgroup_config.disabled || ctr_create(&b.req, &init_child, &c, &err) < 0)
        skip(); /* no memory controller: test_limits has seen the error */
    struct pollfd p = {ctr_oom_fd(c), POLLPRI, 0};
    assert_true(p.fd >= 0);
    assert_int_equal(ctr_oom_check(c), 0);
    assert_int_equal(poll(&p, 1, 0), 0);
    start();
    assert_int_equal(write(init_child.in, "\n", 1), 1);
    assert_int_equal(box_expect(init_child.out, "137"), 0);
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(ctr_oom_check(c), 1);
    assert_int_equal(ctr_oom_check(c), 0);
    /* The limit of a running container can be changed. */
    Oci__LinuxResources res = OCI__LINUX_RESOURCES__INIT;
    mem.limit = 100 << 20;
    mem.swap = 0;
    res.memory = &mem;
    assert_int_equal(ctr_update(c, &res, &err), 0);
    exec_ok(process("dd if=/dev/zero of=/dev/shm/y bs=1M count=40 2>/dev/null; echo $?"), "0\n");
    assert_int_equal(ctr_update(c, NULL, &err), -1);
    finish();
}

/* Without cgroups, which a test has to ask for: containers run, limits are errors. */
static void test_no_cgroup(void **state)
{
    (void)state;
    Oci__LinuxPids pids = OCI__LINUX_PIDS__INIT;
    pid_t *list;
    size_t n;
    int old = vca_cgroup_config.disabled;
    vca_cgroup_config.disabled = 1;
    create("sleep 1000 & echo up; read x");
    start();
    assert_int_equal(box_expect(init_child.out, "up"), 0);
    exec_ok(process("echo in"), "in\n");
    assert_int_equal(ctr_list_pids(c, &list, &n, &err), 0);
    assert_int_equal(n, 2);
    free(list);
    assert_int_equal(ctr_pause(c, &err), -1);
    finish();
    pids.limit = 10;
    box_init(&b, "true");
    b.res.pids = &pids;
    assert_int_equal(ctr_create(&b.req, &init_child, &c, &err), -1);
    assert_non_null(strstr(err.text, "pids.max=10"));
    vca_cgroup_config.disabled = old;
}

static void test_sandbox_pidns(void **state)
{
    (void)state;
    Agent__CreateSandboxRequest req = AGENT__CREATE_SANDBOX_REQUEST__INIT;
    char host[65], now[65];
    gethostname(host, sizeof(host));
    box_init(&b, "true");
    b.req.sandbox_pidns = 1;
    assert_int_equal(ctr_create(&b.req, &init_child, &c, &err), -1);
    assert_int_equal(err.code, VCS_RPC_PRECONDITION);
    req.sandbox_pidns = 1;
    req.hostname = (char *)(uintptr_t)"pod";
    assert_int_equal(ctr_sandbox_setup(&req, &err), 0);
    box_init(&b, "hostname; ps -o pid,comm | grep -v ps | grep -v grep; echo done; read x");
    b.req.sandbox_pidns = 1;
    b.spec.hostname = (char *)(uintptr_t)"";
    assert_int_equal(ctr_create(&b.req, &init_child, &c, &err), 0);
    start();
    assert_int_equal(box_expect(init_child.out, "done"), 0);
    exec_ok(process("hostname; cat /proc/1/comm; cat /proc/2/comm"), "pod\nvc-pause\nsh\n");
    /* It stands in the guest's root, but has no rights there. */
    exec_ok(process("grep -E '^(Uid|Gid|Groups|CapPrm|CapEff|CapBnd|NoNewPrivs)' /proc/1/status | tr '\\t' ' '"),
            "Uid: 65534 65534 65534 65534\nGid: 65534 65534 65534 65534\nGroups:  \nCapPrm: 0000000000000000\n"
            "CapEff: 0000000000000000\nCapBnd: 0000000000000000\nNoNewPrivs: 1\n");
    finish();
    ctr_sandbox_teardown();
    ctr_sandbox_teardown();
    gethostname(now, sizeof(now));
    assert_string_equal(now, host);
}

static void test_storages(void **state)
{
    (void)state;
    Agent__Storage s[2], *list[2] = {&s[0], &s[1]};
    struct ctr_mounts *first, *second;
    char point[4300], local[4300];
    char *opts[] = {(char *)(uintptr_t)"mode=1777", (char *)(uintptr_t)"size=64k", (char *)(uintptr_t)"noexec"};
    struct statfs fs;
    struct stat st;
    snprintf(point, sizeof(point), "%s/../store/shm", box_root);
    for (int i = 0; i < 2; i++)
        agent__storage__init(&s[i]);
    s[0].driver = (char *)(uintptr_t)"ephemeral";
    s[0].source = (char *)(uintptr_t)"shm";
    s[0].fstype = (char *)(uintptr_t)"tmpfs";
    s[0].options = opts;
    s[0].n_options = 3;
    s[0].mount_point = point;
    assert_int_equal(ctr_storages_mount(list, 1, &first, &err), -1); /* ".." */
    assert_int_equal(err.code, VCS_RPC_INVALID);
    char *slash = strrchr(box_root, '/');
    snprintf(point, sizeof(point), "%.*s/store/shm", (int)(slash - box_root), box_root);
    snprintf(local, sizeof(local), "%.*s/store/local", (int)(slash - box_root), box_root);
    s[1].driver = (char *)(uintptr_t)"local";
    s[1].options = opts;
    s[1].n_options = 1;
    s[1].mount_point = local;
    if (ctr_storages_mount(list, 2, &first, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(statfs(point, &fs), 0);
    assert_true(fs.f_type == 0x01021994 && fs.f_blocks * (uint64_t)fs.f_bsize == 65536);
    assert_int_equal(stat(local, &st), 0);
    assert_int_equal(st.st_mode & 07777, 01777);
    /* A second user of the same place shares it. */
    assert_int_equal(ctr_storages_mount(list, 2, &second, &err), 0);
    ctr_storages_unmount(first);
    assert_int_equal(access(local, F_OK), 0);
    box_init(&b, "");
    b.args[2] = (char *)(uintptr_t)"echo x >/data/f && cat /data/f";
    box_mount(&b, "/data", "bind", point, "rbind");
    box_run(&b, NULL, 0, &r);
    assert_string_equal(r.out, "x\n");
    char file[4400];
    snprintf(file, sizeof(file), "%s/f", local);
    close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ctr_storages_unmount(second);
    assert_int_equal(access(local, F_OK), -1);
    assert_int_equal(access(point, F_OK), -1);
    s[1].driver = (char *)(uintptr_t)"magic";
    assert_int_equal(ctr_storages_mount(list, 2, &first, &err), -1);
    assert_int_equal(err.code, VCS_RPC_INVALID);
    assert_non_null(strstr(err.text, "magic"));
    assert_int_equal(access(point, F_OK), -1); /* the first one is undone */
    ctr_storages_unmount(NULL);
}

/* A container that stops whatever joins it keeps itself from being joined, and nobody else from being served. */
static void test_exec_stopped(void **state)
{
    (void)state;
    create("echo up; while :; do for p in /proc/[0-9]*; do p=${p#/proc/}; test $p = 1 || kill -STOP $p; done; done "
           "2>/dev/null");
    start();
    assert_int_equal(box_expect(init_child.out, "up"), 0);
    int aborted = 0;
    for (int i = 0; i < 500 && !aborted; i++) {
        struct ctr_child child;
        int64_t before = vcs_now_ns();
        int rc = ctr_exec(c, process("true"), NULL, &child, &err);
        assert_true(vcs_now_ns() - before < INT64_C(5000000000));
        aborted = rc < 0 && err.code == VCS_RPC_ABORTED;
        if (rc == 0) {
            kill(child.pid, SIGKILL);
            assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
            close_child(&child);
        }
    }
    assert_true(aborted);
    finish();
}

/* A storage behind which nobody answers: here a FUSE file system without its server. */
static void test_stuck_storage(void **state)
{
    (void)state;
    char dir[4200], options[8500], fuse[64], point[] = "/run/vca-test-stuck/m";
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return; /* this kernel has none */
    snprintf(dir, sizeof(dir), "%s/tmp", box_root);
    snprintf(fuse, sizeof(fuse), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
    assert_int_equal(mount("fuse", dir, "fuse", 0, fuse), 0);
    snprintf(options, sizeof(options), "lowerdir=%s/a:%s/b", dir, dir);
    Agent__Storage st = AGENT__STORAGE__INIT, *list = &st;
    char *opts[] = {options};
    struct ctr_mounts *m = NULL;
    st.driver = (char *)(uintptr_t)"overlayfs";
    st.source = (char *)(uintptr_t)"overlay";
    st.mount_point = point;
    st.options = opts;
    st.n_options = 1;
    int64_t limit = vca_storage_timeout_ns, before = vcs_now_ns();
    vca_storage_timeout_ns = 300000000;
    assert_int_equal(ctr_storages_mount(&list, 1, &m, &err), -1);
    vca_storage_timeout_ns = limit;
    assert_true(vcs_now_ns() - before < INT64_C(10000000000));
    assert_int_equal(err.code, VCS_RPC_DEADLINE);
    assert_non_null(strstr(err.text, point));
    close(fd);
    assert_int_equal(umount2(dir, MNT_DETACH), 0);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    rmdir(point);
    rmdir("/run/vca-test-stuck");
}

static void test_many(void **state)
{
    (void)state;
    int fds = 0;
    for (int i = 0; i < 50; i++) {
        box_init(&b, "exit 0");
        box_run(&b, NULL, 0, &r);
        assert_int_equal(r.created, 0);
        assert_int_equal(r.status, 0);
        if (i == 0)
            fds = box_count_fds();
    }
    assert_int_equal(box_count_fds(), fds);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec),         cmocka_unit_test(test_exec_keeps_limits),
        cmocka_unit_test(test_terminal),     cmocka_unit_test(test_cgroup),
        cmocka_unit_test(test_cgroup_paths), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_oom),          cmocka_unit_test(test_no_cgroup),
        cmocka_unit_test(test_sandbox_pidns), cmocka_unit_test(test_storages),
        cmocka_unit_test(test_exec_stopped), cmocka_unit_test(test_stuck_storage),
        cmocka_unit_test(test_many),
    };
    box_setup();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    box_teardown();
    return failed;
}
