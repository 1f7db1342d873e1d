/* SPDX-License-Identifier: Apache-2.0 */
/* test-agent-alone.c: a real vc-agent over ttRPC with real containers: what only the two halves together show. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "fakes/agent-client.h"
#include "guest.pb-c.h"

#define ROOTFS "/run/alone/rootfs"
#define POINT "/run/alone/storage"

static char program[1024];
static struct client client, *c = &client;
static pid_t agent;

static int start_agent(const char *option)
{
    int sv[2];
    char *argv[] = {program, (char *)"--listen-fd", (char *)"3", (char *)"--run-dir", (char *)"/run/vc-agent",
                    (char *)option, NULL};
    memset(c, 0, sizeof(*c));
    c->next_id = 1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
    agent = agent_spawn(program, sv[1], argv);
    close(sv[1]);
    c->fd = sv[0];
    return agent > 0 ? 0 : -1;
}

static void stop_agent(void)
{
    int status = -1;
    client_close(c);
    kill(agent, SIGTERM);
    assert_int_equal(waitpid(agent, &status, 0), agent);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void create_sandbox(Agent__Storage *storage)
{
    Agent__CreateSandboxRequest q = AGENT__CREATE_SANDBOX_REQUEST__INIT;
    q.storages = &storage;
    q.n_storages = storage ? 1 : 0;
    assert_int_equal(client_code(c, "CreateSandbox", &q.base), 0);
}

static int create(const char *id, const char *script, Oci__LinuxResources *resources)
{
    Oci__Process process = OCI__PROCESS__INIT;
    Oci__Root root = OCI__ROOT__INIT;
    Oci__Linux lin = OCI__LINUX__INIT;
    Oci__Mount shm = OCI__MOUNT__INIT, *mounts = &shm;
    Oci__Spec spec = OCI__SPEC__INIT;
    Agent__CreateContainerRequest q = AGENT__CREATE_CONTAINER_REQUEST__INIT;
    char *args[] = {(char *)"/bin/busybox", (char *)"sh", (char *)"-c", (char *)script};
    process.args = args;
    process.n_args = 4;
    root.path = (char *)ROOTFS;
    lin.resources = resources;
    shm.destination = (char *)"/tmp";
    shm.type = shm.source = (char *)"tmpfs";
    spec.process = &process;
    spec.root = &root;
    spec.linux_part = &lin;
    spec.mounts = &mounts;
    spec.n_mounts = 1;
    q.oci = &spec;
    q.container_id = q.exec_id = (char *)id;
    return client_code(c, "CreateContainer", &q.base);
}

static int start(const char *id)
{
    Agent__StartContainerRequest q = AGENT__START_CONTAINER_REQUEST__INIT;
    q.container_id = (char *)id;
    return client_code(c, "StartContainer", &q.base);
}

static int remove_container(const char *id)
{
    Agent__RemoveContainerRequest q = AGENT__REMOVE_CONTAINER_REQUEST__INIT;
    q.container_id = (char *)id;
    return client_code(c, "RemoveContainer", &q.base);
}

static int has_memory_controller(void)
{
    char text[512] = "";
    int fd = open("/sys/fs/cgroup/cgroup.controllers", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    close(fd);
    return n > 0 && strstr(text, "memory");
}

static void expect_oom(struct answer *a, const char *id)
{
    assert_int_equal(a->code, 0);
    Agent__OOMEvent *e = agent__oomevent__unpack(NULL, a->n, a->payload);
    assert_non_null(e);
    assert_string_equal(e->container_id, id);
    agent__oomevent__free_unpacked(e, NULL);
    answer_free(a);
}

/* A container that runs out of memory is reported: to who waits for that, or to who asks afterwards. */
static void test_oom_event(void **state)
{
    (void)state;
    if (!has_memory_controller()) {
        skip();
        return;
    }
    Oci__LinuxMemory mem = OCI__LINUX_MEMORY__INIT;
    Oci__LinuxResources res = OCI__LINUX_RESOURCES__INIT;
    Agent__GetOOMEventRequest q = AGENT__GET_OOMEVENT_REQUEST__INIT;
    const char *script = "exec /bin/busybox dd if=/dev/zero of=/tmp/x bs=1M count=60";
    struct answer a;
    mem.limit = mem.swap = 16 << 20;
    res.memory = &mem;
    start_agent(NULL);
    create_sandbox(NULL);
    assert_int_equal(create("hungry", script, &res), 0);
    uint32_t asked = client_send(c, "grpc.AgentService", "GetOOMEvent", &q.base, 0);
    Agent__StartContainerRequest s = AGENT__START_CONTAINER_REQUEST__INIT;
    s.container_id = (char *)"hungry";
    uint32_t started = client_send(c, "grpc.AgentService", "StartContainer", &s.base, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(client_next(c, &a, CLIENT_LIMIT_MS), 1);
        if (a.id == started) {
            assert_int_equal(a.code, 0);
            answer_free(&a);
        } else {
            assert_int_equal(a.id, asked);
            expect_oom(&a, "hungry");
        }
    }
    assert_int_equal(client_wait(c, "hungry", ""), 137);
    assert_int_equal(remove_container("hungry"), 0);

    assert_int_equal(create("again", script, &res), 0);
    assert_int_equal(start("again"), 0);
    assert_int_equal(client_wait(c, "again", ""), 137);
    assert_int_equal(client_call(c, "GetOOMEvent", &q.base, &a), 0);
    expect_oom(&a, "again");
    assert_int_equal(remove_container("again"), 0);
    /* Each is told once. */
    asked = client_send(c, "grpc.AgentService", "GetOOMEvent", &q.base, 100000000);
    assert_int_equal(client_next(c, &a, CLIENT_LIMIT_MS), 1);
    assert_int_equal(a.code, VCS_RPC_DEADLINE);
    answer_free(&a);
    stop_agent();
}

/* Without cgroups containers run, and limits are refused.  Options of a storage may come in one string. */
static void test_no_cgroup(void **state)
{
    (void)state;
    Oci__LinuxMemory mem = OCI__LINUX_MEMORY__INIT;
    Oci__LinuxResources res = OCI__LINUX_RESOURCES__INIT;
    Agent__Storage storage = AGENT__STORAGE__INIT;
    char *options[] = {(char *)"size=1m,mode=0751,nosuid", (char *)"nodev"};
    struct vcs_buf out = {0};
    struct stat st;
    mem.limit = 16 << 20;
    res.memory = &mem;
    storage.driver = (char *)"ephemeral";
    storage.fstype = storage.source = (char *)"tmpfs";
    storage.mount_point = (char *)POINT;
    storage.options = options;
    storage.n_options = 2;
    start_agent("--no-cgroup");
    create_sandbox(&storage);
    assert_int_equal(stat(POINT, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0751);
    assert_int_equal(create("c1", "true", &res), VCS_RPC_PRECONDITION);
    /* Of the agent's own many descriptors nothing is left to a container that does not ask. */
    assert_int_equal(create("c1", "ulimit -n; exit 4", NULL), 0);
    assert_int_equal(start("c1"), 0);
    assert_int_equal(client_read_all(c, "ReadStdout", "c1", "", &out), 0);
    assert_string_equal(vcs_buf_str(&out), "300\n");
    vcs_buf_done(&out);
    assert_int_equal(client_wait(c, "c1", ""), 4);
    assert_int_equal(remove_container("c1"), 0);
    stop_agent();
    assert_int_equal(access(POINT, F_OK), -1);
}

/* A rehearsal runs a program as a container, twice if asked twice, and leaves nothing. */
static void test_exercise(void **state)
{
    (void)state;
    Vccore__SettleRequest q = VCCORE__SETTLE_REQUEST__INIT;
    struct answer a;
    q.exercise = 1;
    start_agent("--no-cgroup");
    for (int i = 0; i < 2; i++) {
        assert_true(client_send(c, "vccore.GuestService", "Settle", &q.base, 0));
        assert_int_equal(client_next(c, &a, CLIENT_LIMIT_MS), 1);
        assert_string_equal(a.text ? a.text : "", "");
        assert_int_equal(a.code, 0);
        answer_free(&a);
        assert_int_equal(access("/run/alone/exercise", F_OK), -1);
    }
    create_sandbox(NULL);
    assert_int_equal(create("exercise", "exit 5", NULL), 0);
    assert_int_equal(start("exercise"), 0);
    assert_int_equal(client_wait(c, "exercise", ""), 5);
    assert_int_equal(remove_container("exercise"), 0);
    stop_agent();
}

static int setup(void **state)
{
    (void)state;
    const char *build = getenv("VC_BUILD_DIR"), *given = getenv("VC_AGENT");
    snprintf(program, sizeof(program), given ? "%s" : "%s/plugins/agent/kata/guest/vc-agent",
             given   ? given
             : build ? build
                     : ".");
    /* This many descriptors is what the agent is given. */
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return -1;
    files.rlim_cur = 300;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0 || unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/run", "tmpfs", 0, "mode=755") < 0)
        return -1;
    if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) < 0 &&
        mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL) < 0)
        return -1;
    static const char *const dirs[] = {"/run/alone", ROOTFS, ROOTFS "/bin", ROOTFS "/proc", ROOTFS "/dev",
                                       ROOTFS "/tmp", ROOTFS "/sys"};
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        if (mkdir(dirs[i], 0755) < 0)
            return -1;
    char *data = NULL;
    size_t n = 0;
    int r = vcs_read_file(AT_FDCWD, BUSYBOX, 64 << 20, &data, &n);
    if (r == 0)
        r = vcs_write_file_atomic(AT_FDCWD, ROOTFS "/bin/busybox", data, n, 0755, 0);
    free(data);
    return r;
}

static int teardown(void **state)
{
    (void)state;
    rmdir("/sys/fs/cgroup/vc");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_cgroup),
        cmocka_unit_test(test_exercise),
        cmocka_unit_test(test_oom_event),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
