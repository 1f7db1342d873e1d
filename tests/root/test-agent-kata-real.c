/* SPDX-License-Identifier: Apache-2.0 */
/* test-agent-kata-real.c: agent plugin "kata" with a real vc-agent, an ordinary process of this machine. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include <vc/agent.h>

#include "lib/io.h"
#include "unit/fakehost.h"

#define ROOTFS "/run/kata-containers/shared/containers/c1/rootfs"

extern const struct vc_plugin vc_plugin_entry;
static const struct vc_agent_ops *ops;
static const struct vc_inst_ops *iops;
static struct fakehost fh;
static struct vc_call call;
static vc_inst *inst;
static pid_t agent;
static char path[1024], uri[128];

static struct vc_call *in(int ms)
{
    call = fakehost_call(&fh, ms);
    return &call;
}

static void expect(int rc, int want)
{
    if (rc != want)
        fail_msg("%d instead of %d: %s", rc, want, fh.err.text);
}

/* A mount namespace of our own with a root filesystem where a guest would have it. */
static int make_rootfs(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/run", "tmpfs", 0, "mode=755") < 0 ||
        mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL) < 0)
        return -1;
    return system("set -e; mkdir -p " ROOTFS "/bin " ROOTFS "/proc " ROOTFS "/tmp " ROOTFS "/dev " ROOTFS "/sys " ROOTFS
                  "/etc; cp " BUSYBOX " " ROOTFS
                  "/bin/busybox; for a in sh cat true sleep yes head id hostname stty; do ln -s busybox " ROOTFS
                  "/bin/$a; done; "
                  "echo 'www:x:33:44::/:/bin/sh' >" ROOTFS "/etc/passwd; echo text >" ROOTFS "/bin/text") == 0
               ? 0
               : -1;
}

static int group_setup(void **state)
{
    (void)state;
    const char *build = getenv("VC_BUILD_DIR"), *given = getenv("VC_AGENT");
    ops = vc_plugin_entry.ops;
    iops = vc_plugin_entry.inst;
    snprintf(path, sizeof(path), given ? "%s" : "%s/plugins/agent/kata/guest/vc-agent",
             given   ? given
             : build ? build
                     : ".");
    if (make_rootfs() < 0 || fakehost_init(&fh, &vc_plugin_entry, NULL) < 0)
        return -1;
    snprintf(uri, sizeof(uri), "unix:///run/agent.sock");
    agent = fork();
    if (agent == 0) {
        execl(path, path, "--listen", uri, "--run-dir", "/run/vc-agent", (char *)NULL);
        _exit(127);
    }
    /* The socket is there a moment after the start: the plugin tries again while nobody listens, but a
     * socket that is not there at all is an error, so look for its appearance. */
    for (int i = 0; i < 5000 && access("/run/agent.sock", F_OK) < 0 && waitpid(agent, NULL, WNOHANG) == 0; i++)
        poll(NULL, 0, 1);
    if (iops->create(&fh.host, in(1000), fakehost_config(&fh), "pod1", &inst) != VC_OK ||
        ops->connect(inst, in(10000), uri) != VC_OK) {
        fprintf(stderr, "%s does not answer: %s\n", path, fh.err.text);
        return -1;
    }
    struct vc_sandbox sb = { .size = sizeof(sb), .id = "pod1" };
    int rc = ops->sandbox_create(inst, in(10000), &sb);
    if (rc)
        fprintf(stderr, "CreateSandbox: %s\n", fh.err.text);
    return rc;
}

static int group_teardown(void **state)
{
    (void)state;
    int status = 0;
    if (inst)
        iops->close(inst);
    if (agent > 0) {
        kill(agent, SIGTERM);
        waitpid(agent, &status, 0);
    }
    rmdir("/sys/fs/cgroup/vc"); /* where the agent had its containers; the other mounts end with us */
    fakehost_done(&fh);
    return 0;
}

/* Create and start c1 with this program (JSON strings). */
static int run(const char *args, const char *more, int32_t fds[3])
{
    char spec[2048];
    snprintf(
        spec, sizeof(spec),
        "{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[%s],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"]%s},\"root\":{\"path\":\"x\"},"
        "\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
        "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"
        "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"newinstance\",\"ptmxmode=0666\"]}],"
        "\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"ipc\"},{\"type\":\"uts\"}]}}",
        args, more);
    struct vc_ctr c = { .size = sizeof(c), .id = "c1", .spec = { spec, strlen(spec) }, .rootfs = "c1/rootfs" };
    int rc = ops->ctr_create(inst, in(20000), &c);
    if (!rc)
        expect(ops->stdio(inst, in(5000), "c1", NULL, fds), VC_OK);
    return rc ? rc : ops->ctr_start(inst, in(20000), "c1");
}

static void shut(int32_t fds[3])
{
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    expect(ops->ctr_remove(inst, in(20000), "c1"), VC_OK);
    expect(ops->ctr_remove(inst, in(20000), "c1"), VC_OK);
}

static void output_is(int fd, const char *want)
{
    char got[4096];
    ssize_t n = vcs_read_full(fd, got, sizeof(got) - 1);
    assert_true(n >= 0);
    got[n] = '\0';
    assert_string_equal(got, want);
}

static void status_is(const char *exec, int want)
{
    int32_t status = -1;
    expect(ops->wait(inst, in(20000), "c1", exec, &status), VC_OK);
    assert_int_equal(status, want);
}

static void test_streams_and_status(void **state)
{
    (void)state;
    int32_t fds[3];
    expect(run("\"sh\",\"-c\",\"echo out; echo err >&2; cat; exit 7\"", "", fds), VC_OK);
    assert_int_equal(write(fds[0], "in\n", 3), 3);
    close(fds[0]);
    fds[0] = -1;
    output_is(fds[1], "out\nin\n");
    output_is(fds[2], "err\n");
    status_is(NULL, 7);
    shut(fds);
}

static void test_cannot_run(void **state)
{
    (void)state;
    static const struct {
        const char *args;
        int want, status;
    } cases[] = { { "\"nope\"", VC_E_NOCMD, 127 },
                  { "\"/bin/text\"", VC_E_NOEXEC, 126 },
                  { "\"/etc\"", VC_E_NOEXEC, 126 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int32_t fds[3] = { -1, -1, -1 };
        expect(run(cases[i].args, "", fds), cases[i].want);
        shut(fds);
    }
    expect(ops->ctr_start(inst, in(5000), "none"), VC_E_NOTFOUND);
}

static void test_user(void **state)
{
    (void)state;
    int32_t fds[3] = { -1, -1, -1 };
    expect(run("\"id\",\"-u\"", ",\"user\":{\"username\":\"www\"}", fds), VC_OK);
    output_is(fds[1], "33\n");
    shut(fds);
    fds[0] = fds[1] = fds[2] = -1;
    expect(run("\"id\"", ",\"user\":{\"username\":\"nobody-here\"}", fds), VC_E_INVAL);
    assert_non_null(strstr(fh.err.text, "nobody-here"));
}

static void test_exec_and_signals(void **state)
{
    (void)state;
    int32_t fds[3], efds[3];
    expect(run("\"sleep\",\"1000\"", "", fds), VC_OK);
    static const char process[] = "{\"args\":[\"sh\",\"-c\",\"exit 3\"],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"]}";
    static const char missing[] = "{\"args\":[\"nope\"],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"]}";
    struct vc_exec ex = { .size = sizeof(ex), .id = "e1", .process = { process, strlen(process) } };
    expect(ops->exec(inst, in(20000), "c1", &ex), VC_OK);
    expect(ops->stdio(inst, in(5000), "c1", "e1", efds), VC_OK);
    output_is(efds[1], "");
    status_is("e1", 3);
    for (int i = 0; i < 3; i++)
        close(efds[i]);
    ex.id = "e2";
    ex.process = (struct vc_bytes){ missing, strlen(missing) };
    expect(ops->exec(inst, in(20000), "c1", &ex), VC_E_NOCMD);
    vc_sink *sink = fakehost_sink();
    expect(ops->ps(inst, in(5000), "c1", sink), VC_OK);
    assert_non_null(strstr(fakehost_sink_text(sink), "\"cmd\":\"sleep 1000\""));
    fakehost_sink_free(sink);
    sink = fakehost_sink();
    expect(ops->stats(inst, in(5000), "c1", sink), VC_OK);
    assert_int_equal(fakehost_sink_text(sink)[0], '{');
    fakehost_sink_free(sink);
    expect(ops->signal(inst, in(5000), "c1", "nobody", SIGTERM, 0), VC_E_NOTFOUND);
    expect(ops->tty_resize(inst, in(5000), "c1", NULL, 24, 80), VC_E_STATE);
    expect(ops->signal(inst, in(5000), "c1", NULL, SIGKILL, 0), VC_OK);
    status_is(NULL, 137);
    shut(fds);
}

static void test_terminal(void **state)
{
    (void)state;
    int32_t fds[3];
    expect(run("\"sh\",\"-c\",\"read x; stty size\"", ",\"terminal\":true", fds), VC_OK);
    assert_int_equal(fds[2], -1);
    expect(ops->tty_resize(inst, in(5000), "c1", NULL, 33, 111), VC_OK);
    assert_int_equal(write(fds[0], "x\n", 2), 2);
    char got[256];
    ssize_t n = vcs_read_full(fds[1], got, sizeof(got) - 1);
    got[n > 0 ? n : 0] = '\0';
    assert_non_null(strstr(got, "33 111"));
    status_is(NULL, 0);
    shut(fds);
}

static void *feed(void *arg)
{
    static unsigned char buf[65536];
    int fd = *(int *)arg;
    for (size_t left = 64u << 20; left; left -= sizeof(buf)) {
        memset(buf, (int)(left >> 16), sizeof(buf));
        if (vcs_write_full(fd, buf, sizeof(buf)) < 0)
            break;
    }
    close(fd);
    return NULL;
}

/* 64 MiB through cat, byte for byte. */
static void test_cat(void **state)
{
    (void)state;
    int32_t fds[3];
    static unsigned char buf[65536];
    pthread_t t;
    expect(run("\"cat\"", "", fds), VC_OK);
    int fd = fds[0];
    fds[0] = -1;
    int64_t begin = vcs_now_ns();
    assert_int_equal(pthread_create(&t, NULL, feed, &fd), 0);
    for (size_t left = 64u << 20; left; left -= sizeof(buf)) {
        assert_int_equal(vcs_read_full(fds[1], buf, sizeof(buf)), sizeof(buf));
        for (size_t i = 0; i < sizeof(buf); i += 97)
            assert_int_equal(buf[i], (unsigned char)(left >> 16));
    }
    pthread_join(t, NULL);
    output_is(fds[1], "");
    print_message("64 MiB through cat: %.0f MB/s\n",
                  (double)(64u << 20) / ((double)(vcs_now_ns() - begin) / 1e9) / 1e6);
    status_is(NULL, 0);
    shut(fds);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_and_status), cmocka_unit_test(test_cannot_run), cmocka_unit_test(test_user),
        cmocka_unit_test(test_exec_and_signals),   cmocka_unit_test(test_terminal),   cmocka_unit_test(test_cat),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
