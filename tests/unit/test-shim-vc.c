/* SPDX-License-Identifier: Apache-2.0 */
/* test-shim-vc.c: shim plugin "vc" with a stand-in for vc-shim, a shell script. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <vc/shim.h>

#include "../../plugins/shim/vc/attach.h"
#include "lib/io.h"
#include "lib/proc.h"
#include "unit/fakehost.h"

extern const struct vc_plugin vc_plugin_entry;
static const struct vc_shim_ops *ops;
static const struct vc_inst_ops *iops;
static struct fakehost fh;
static struct vc_call call;
static vc_inst *inst;
static char exit_file[128];
static int out[2]; /* what the stand-in says; its other end is our pipe */

static struct vc_call *in(int ms)
{
    call = fakehost_call(&fh, ms);
    return &call;
}

/* The stand-in prints its arguments, one a line, then "ready", and lives until its standard input ends; then it
 * leaves 42 in the file named by its container's id. */
static int write_script(void)
{
    char path[200], text[600];
    snprintf(path, sizeof(path), "%s/vc-shim", fh.dir);
    snprintf(exit_file, sizeof(exit_file), "%s/exit", fh.dir);
    snprintf(fh.libexec, sizeof(fh.libexec), "%s", fh.dir);
    snprintf(text, sizeof(text),
             "#!/bin/sh\nfor a; do echo \"$a\"; done\necho ready\nread x\necho 42 >%s.tmp\nmv %s.tmp %s\nexit 42\n",
             exit_file, exit_file, exit_file);
    return vcs_write_file_atomic(AT_FDCWD, path, text, strlen(text), 0700, 0);
}

static int setup(void **state)
{
    (void)state;
    ops = vc_plugin_entry.ops;
    iops = vc_plugin_entry.inst;
    if (fakehost_init(&fh, &vc_plugin_entry, NULL) < 0 || write_script() < 0 || pipe2(out, O_CLOEXEC) < 0)
        return -1;
    return iops->create(&fh.host, in(1000), fakehost_config(&fh), "pod1", &inst);
}

static int teardown(void **state)
{
    (void)state;
    int rc = iops->cleanup(inst, in(5000));
    iops->close(inst);
    close(out[0]);
    close(out[1]);
    fakehost_done(&fh);
    return rc;
}

/* Start one whose standard input is `stdin_fd`; what it printed before "ready" goes to `said`. */
static int start(const char *ctr, const char *exec, uint32_t flags, int stdin_fd, struct vc_proc *proc, char *said,
                 size_t size)
{
    struct vc_shim_params p = { .size = sizeof(p),
                                .flags = flags,
                                .container_id = ctr,
                                .exec_id = exec,
                                .agent_uri = "unix:///x",
                                .exit_file = exit_file,
                                .stdio = { stdin_fd, out[1], -1 },
                                .netns_fd = -1 };
    int rc = ops->start(inst, in(5000), &p, proc);
    size_t n = 0;
    while (rc == VC_OK && n + 1 < size && read(out[0], said + n, 1) == 1) {
        said[++n] = '\0';
        if (n >= 6 && !strcmp(said + n - 6, "ready\n"))
            break;
    }
    return rc;
}

static uint32_t state_of(const char *ctr, const char *exec, int32_t *status)
{
    uint32_t s = 99;
    assert_int_equal(ops->status(inst, in(1000), ctr, exec, &s, status), VC_OK);
    return s;
}

static void test_life(void **state)
{
    (void)state;
    int pipe_in[2];
    struct vc_proc proc = { 0 };
    char said[1024] = "";
    int32_t status = 0;
    uint32_t health = 0;
    assert_int_equal(pipe2(pipe_in, O_CLOEXEC), 0);
    assert_int_equal(start("c1", "", 0, pipe_in[0], &proc, said, sizeof(said)), VC_OK);
    close(pipe_in[0]);
    assert_true(proc.pid > 0 && vcs_proc_alive(&proc));
    assert_non_null(strstr(said, "--pod\npod1\n--container\nc1\n"));
    assert_non_null(strstr(said, "--run-root\n"));
    assert_non_null(strstr(said, "--state-root\n"));
    assert_non_null(strstr(said, "--plugin-dir\n"));
    assert_null(strstr(said, "--exec"));
    assert_null(strstr(said, "--terminal"));
    assert_int_equal(state_of("c1", NULL, &status), VC_SHIM_RUNNING);
    assert_int_equal(status, -1);
    assert_int_equal(iops->check(inst, in(1000), &health), VC_OK);
    assert_int_equal(health, VC_HEALTH_OK);
    struct vc_proc again = { 0 };
    assert_int_equal(start("c1", "", 0, -1, &again, said, sizeof(said)), VC_E_EXISTS);
    assert_int_equal(again.pid, 0);

    close(pipe_in[1]);
    assert_int_equal(vcs_proc_wait(&proc, vcs_now_ns() + INT64_C(10000000000), NULL), 0);
    assert_int_equal(state_of("c1", "", &status), VC_SHIM_ENDED);
    assert_int_equal(status, 42);
    assert_int_equal(ops->stop(inst, in(1000), "c1", ""), VC_OK);
    assert_int_equal(ops->stop(inst, in(1000), "c1", ""), VC_OK);
    assert_int_equal(iops->check(inst, in(1000), &health), VC_OK);
    assert_int_equal(health, VC_HEALTH_GONE);
    assert_int_equal(fh.n_procs, 0);
}

static void test_exec_and_terminal(void **state)
{
    (void)state;
    struct vc_proc proc = { 0 };
    char said[1024] = "";
    int pipe_in[2];
    assert_int_equal(pipe2(pipe_in, O_CLOEXEC), 0);
    assert_int_equal(start("c1", "e1", VC_SHIM_TERMINAL, pipe_in[0], &proc, said, sizeof(said)), VC_OK);
    assert_non_null(strstr(said, "--container\nc1\n--exec\ne1\n--terminal\n--attach-fd\n3\nready\n"));
    assert_int_equal(ops->stop(inst, in(5000), "c1", "e1"), VC_OK);
    assert_false(vcs_proc_alive(&proc));
    assert_int_equal(state_of("c1", "e1", NULL), VC_SHIM_ENDED);
    close(pipe_in[0]);
    close(pipe_in[1]);
}

/* What a shim may answer to one who wants to attach; 0: it goes away without a word. */
static void *answer(void *arg)
{
    const int *job = arg;
    char byte = 0, space[CMSG_SPACE(3 * sizeof(int))];
    struct iovec iov = { &byte, 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space) };
    int conn = accept4(job[0], NULL, NULL, SOCK_CLOEXEC);
    if (conn < 0 || recvmsg(conn, &msg, MSG_CMSG_CLOEXEC) != 1 || byte != 3)
        return arg;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    int fds[2], *bad = c && c->cmsg_len == CMSG_LEN(sizeof(fds)) ? NULL : arg;
    if (!bad) {
        memcpy(fds, CMSG_DATA(c), sizeof(fds));
        if (write(fds[1], "seen", 4) != 4)
            bad = arg;
        close(fds[0]);
        close(fds[1]);
    }
    byte = (char)job[1];
    if (byte && send(conn, &byte, 1, MSG_NOSIGNAL) != 1)
        bad = arg;
    close(conn);
    return bad;
}

static void test_attach(void **state)
{
    (void)state;
    static const struct {
        int says, code;
    } cases[] = { { 'k', VC_OK }, { 's', VC_E_STATE }, { 'f', VC_E_RESOURCE }, { 'b', VC_E_PROTOCOL }, { 0, VC_E_NOTFOUND } };
    int listener = -1, pipes[2][2];
    char *path = vc_attach_path(&fh.host, "c1", "e1");
    assert_non_null(path);
    assert_int_equal(vc_attach_listen(&fh.host, in(1000), path, &listener), VC_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pthread_t thread;
        void *bad = NULL;
        char text[8] = "";
        int job[2] = { listener, cases[i].says };
        assert_true(pipe2(pipes[0], O_CLOEXEC) == 0 && pipe2(pipes[1], O_CLOEXEC) == 0);
        const int32_t fds[3] = { pipes[0][0], pipes[1][1], -1 };
        assert_int_equal(pthread_create(&thread, NULL, answer, job), 0);
        assert_int_equal(vc_attach_request(&fh.host, in(5000), path, "c1/e1", fds), cases[i].code);
        assert_int_equal(pthread_join(thread, &bad), 0);
        assert_null(bad);
        assert_int_equal(read(pipes[1][0], text, sizeof(text)), 4); /* the descriptor itself arrived */
        for (int k = 0; k < 4; k++)
            close(pipes[k / 2][k % 2]);
    }
    const int32_t none[3] = { -1, 2, -1 };
    assert_int_equal(vc_attach_request(&fh.host, in(50), path, "c1/e1", none), VC_E_TIMEOUT); /* nobody serves it */
    close(listener);
    assert_int_equal(vc_attach_request(&fh.host, in(1000), path, "c1/e1", none), VC_E_NOTFOUND);
    assert_int_equal(vc_attach_listen(&fh.host, in(1000), path, &listener), VC_OK); /* over what was left */
    close(listener);
    unlink(path);
    assert_int_equal(vc_attach_request(&fh.host, in(1000), path, "c1/e1", none), VC_E_NOTFOUND);
    assert_int_equal(ops->attach(inst, in(1000), "c1", "e1", none), VC_E_NOTFOUND); /* it has no such shim */
    free(path);
}

static void test_unknown(void **state)
{
    (void)state;
    uint32_t s = 99;
    int32_t status = 99;
    assert_int_equal(ops->stop(inst, in(1000), "c1", ""), VC_E_NOTFOUND);
    assert_int_equal(ops->status(inst, in(1000), "c1", "e", &s, &status), VC_E_NOTFOUND);
    assert_int_equal(s, 99);
    assert_int_equal(status, 99);
    assert_non_null(strstr(fh.err.text, "c1/e"));
}

static void test_no_program(void **state)
{
    (void)state;
    struct vc_proc proc = { 0 };
    char said[64];
    snprintf(fh.libexec, sizeof(fh.libexec), "/nonexistent");
    assert_int_equal(start("c1", "", 0, -1, &proc, said, sizeof(said)), VC_E_NOTFOUND);
    assert_int_equal(proc.pid, 0);
    assert_int_equal(ops->stop(inst, in(1000), "c1", ""), VC_E_NOTFOUND);
}

static void test_restore(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "{}",
                                       "[1]",
                                       "[{\"ctr\":\"c\",\"exec\":\"\",\"exit_file\":\"\",\"pid\":1,\"start\":0}]",
                                       "[{\"ctr\":\"c\",\"exec\":\"\",\"exit_file\":\"\",\"pid\":\"9\",\"start\":0}]",
                                       "[{\"ctr\":\"c\",\"exec\":\"\",\"exit_file\":\"\",\"pid\":-5,\"start\":0}]",
                                       "[" };
    struct vc_proc proc = { 0 };
    char said[1024];
    int pipe_in[2];
    vc_inst *other = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(iops->restore(&fh.host, in(1000), fakehost_config(&fh), "pod1", 1,
                                       (struct vc_bytes){ bad[i], strlen(bad[i]) }, &other),
                         VC_E_CORRUPT);
    assert_null(other);
    assert_int_equal(pipe2(pipe_in, O_CLOEXEC), 0);
    assert_int_equal(start("c1", "", 0, pipe_in[0], &proc, said, sizeof(said)), VC_OK);
    vc_sink *sink = fakehost_sink();
    assert_int_equal(iops->save(inst, in(1000), sink), VC_OK);
    const char *text = fakehost_sink_text(sink);
    assert_int_equal(iops->restore(&fh.host, in(1000), fakehost_config(&fh), "pod1", 1,
                                   (struct vc_bytes){ text, strlen(text) }, &other),
                     VC_OK);
    fakehost_sink_free(sink);
    uint32_t s = 0;
    assert_int_equal(ops->status(other, in(1000), "c1", "", &s, NULL), VC_OK);
    assert_int_equal(s, VC_SHIM_RUNNING);
    assert_int_equal(iops->cleanup(other, in(5000)), VC_OK);
    assert_int_equal(iops->cleanup(other, in(5000)), VC_OK);
    assert_false(vcs_proc_alive(&proc));
    iops->close(other);
    close(pipe_in[0]);
    close(pipe_in[1]);
}

/* A stored pid that now belongs to another process is left alone. */
static void test_foreign_pid(void **state)
{
    (void)state;
    char text[200];
    vc_inst *other = NULL;
    uint32_t s = 0;
    snprintf(text, sizeof(text), "[{\"ctr\":\"c\",\"exec\":\"\",\"exit_file\":\"\",\"pid\":%d,\"start\":1}]",
             (int)getpid());
    assert_int_equal(iops->restore(&fh.host, in(1000), fakehost_config(&fh), "pod1", 1,
                                   (struct vc_bytes){ text, strlen(text) }, &other),
                     VC_OK);
    assert_int_equal(ops->status(other, in(1000), "c", "", &s, NULL), VC_OK);
    assert_int_equal(s, VC_SHIM_ENDED);
    assert_int_equal(ops->stop(other, in(1000), "c", ""), VC_OK);
    assert_int_equal(iops->cleanup(other, in(1000)), VC_OK);
    iops->close(other);
}

/* The saved state stays within its limit however many processes there were. */
static void test_many(void **state)
{
    (void)state;
    char id[130], said[2048];
    struct vc_proc proc;
    memset(id, 'x', sizeof(id));
    for (int i = 0; i < 300; i++) {
        snprintf(id, sizeof(id), "%0100d", i);
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_int_equal(start("c1", id, 0, null, &proc, said, sizeof(said)), VC_OK);
        close(null);
        assert_int_equal(vcs_proc_wait(&proc, vcs_now_ns() + INT64_C(10000000000), NULL), 0);
        fh.host.proc_done(&fh.host, &proc);
    }
    vc_sink *sink = fakehost_sink();
    assert_int_equal(iops->save(inst, in(1000), sink), VC_OK);
    assert_true(strlen(fakehost_sink_text(sink)) < 65536);
    fakehost_sink_free(sink);
    assert_int_equal(state_of("c1", id, NULL), VC_SHIM_ENDED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_life),    T(test_exec_and_terminal), T(test_attach), T(test_unknown), T(test_no_program),
        T(test_restore), T(test_foreign_pid),       T(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
