/* SPDX-License-Identifier: Apache-2.0 */
/* test-agent-rpc.c: vc-agent over ttRPC and yamux, with containers that are ordinary processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "fakes/agent-client.h"
#include "guest.pb-c.h"
#include "lib/yamux.h"

static char program[512], run_dir[64];

struct fixture {
    struct client c;
    pid_t pid;
};

static int start_with(void **state, const char *option)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->pid = agent_start(program, option, run_dir, &f->c);
    *state = f;
    return f->pid > 0 ? 0 : -1;
}

static int setup(void **state)
{
    return start_with(state, "--listen-fd");
}

static int setup_mux(void **state)
{
    return start_with(state, "--mux-fd");
}

/* Every test ends with an agent that still is alive and ends cleanly (also under sanitizers). */
static int teardown(void **state)
{
    struct fixture *f = *state;
    int status = -1;
    client_close(&f->c);
    kill(f->pid, SIGTERM);
    waitpid(f->pid, &status, 0);
    free(f);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* ---- helpers ---- */

static int create_sandbox(struct client *c)
{
    Agent__CreateSandboxRequest q = AGENT__CREATE_SANDBOX_REQUEST__INIT;
    q.hostname = (char *)"guest";
    return client_code(c, "CreateSandbox", &q.base);
}

static int create(struct client *c, const char *id, char **args, size_t n_args, int tty)
{
    Oci__Process process = OCI__PROCESS__INIT;
    Oci__Spec spec = OCI__SPEC__INIT;
    Agent__CreateContainerRequest q = AGENT__CREATE_CONTAINER_REQUEST__INIT;
    process.args = args;
    process.n_args = n_args;
    process.terminal = tty;
    spec.process = &process;
    q.oci = &spec;
    q.container_id = q.exec_id = (char *)id;
    return client_code(c, "CreateContainer", &q.base);
}

static int start(struct client *c, const char *id)
{
    Agent__StartContainerRequest q = AGENT__START_CONTAINER_REQUEST__INIT;
    q.container_id = (char *)id;
    return client_code(c, "StartContainer", &q.base);
}

static int remove_container(struct client *c, const char *id)
{
    Agent__RemoveContainerRequest q = AGENT__REMOVE_CONTAINER_REQUEST__INIT;
    q.container_id = (char *)id;
    return client_code(c, "RemoveContainer", &q.base);
}

static int run(struct client *c, const char *id, const char *script, int tty)
{
    char *args[] = {(char *)"/bin/sh", (char *)"-c", (char *)script};
    int r = create(c, id, args, 3, tty);
    return r ? r : start(c, id);
}

static int exec(struct client *c, const char *id, const char *exec_id, const char *script)
{
    char *args[] = {(char *)"/bin/sh", (char *)"-c", (char *)script};
    Oci__Process process = OCI__PROCESS__INIT;
    Agent__ExecProcessRequest q = AGENT__EXEC_PROCESS_REQUEST__INIT;
    process.args = args;
    process.n_args = 3;
    q.process = &process;
    q.container_id = (char *)id;
    q.exec_id = (char *)exec_id;
    return client_code(c, "ExecProcess", &q.base);
}

static int write_stdin(struct client *c, const char *id, const void *data, size_t n)
{
    Agent__WriteStreamRequest q = AGENT__WRITE_STREAM_REQUEST__INIT;
    q.container_id = (char *)id;
    q.data.data = (uint8_t *)data;
    q.data.len = n;
    return client_code(c, "WriteStdin", &q.base);
}

static int signal_process(struct client *c, const char *id, const char *exec_id, unsigned sig)
{
    Agent__SignalProcessRequest q = AGENT__SIGNAL_PROCESS_REQUEST__INIT;
    q.container_id = (char *)id;
    q.exec_id = (char *)exec_id;
    q.signal = sig;
    return client_code(c, "SignalProcess", &q.base);
}

static void expect_output(struct client *c, const char *method, const char *id, const char *exec_id, const char *want)
{
    struct vcs_buf out = {0};
    assert_int_equal(client_read_all(c, method, id, exec_id, &out), 0);
    assert_string_equal(vcs_buf_str(&out), want);
    vcs_buf_done(&out);
}

/* ---- envelopes and frames ---- */

static void check_serving(struct client *c)
{
    Agent__CheckRequest q = AGENT__CHECK_REQUEST__INIT;
    struct answer a;
    uint32_t id = client_send(c, "grpc.Health", "Check", &q.base, 0);
    assert_int_equal(client_next(c, &a, CLIENT_LIMIT_MS), 1);
    assert_int_equal(a.id, id);
    assert_int_equal(a.code, 0);
    assert_int_equal(a.n, 2);
    assert_memory_equal(a.payload, "\x08\x01", 2);
    answer_free(&a);
}

static void test_health(void **state)
{
    struct fixture *f = *state;
    check_serving(&f->c);
    Agent__CheckRequest q = AGENT__CHECK_REQUEST__INIT;
    struct answer a;
    client_send(&f->c, "grpc.Health", "Version", &q.base, 0);
    assert_int_equal(client_next(&f->c, &a, CLIENT_LIMIT_MS), 1);
    Agent__VersionCheckResponse *r = agent__version_check_response__unpack(NULL, a.n, a.payload);
    assert_non_null(r);
    assert_string_equal(r->grpc_version, "0.0.1");
    agent__version_check_response__free_unpacked(r, NULL);
    answer_free(&a);
}

static void expect_error(struct client *c, uint32_t id, int code, const char *part)
{
    struct answer a;
    assert_int_equal(client_next(c, &a, CLIENT_LIMIT_MS), 1);
    assert_int_equal(a.id, id);
    assert_int_equal(a.code, code);
    if (!strstr(a.text, part))
        fail_msg("\"%s\" does not say \"%s\"", a.text, part);
    answer_free(&a);
}

static void send_frame(struct client *c, uint32_t length, uint32_t id, uint8_t type, const void *data, size_t n)
{
    unsigned char h[VCS_TTRPC_HEADER] = {0};
    vcs_put_be32(h, length);
    vcs_put_be32(h + 4, id);
    h[8] = type;
    assert_int_equal(vcs_write_full(c->fd, h, sizeof(h)), 0);
    if (n)
        assert_int_equal(vcs_write_full(c->fd, data, n), 0);
}

static void test_bad_frames(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    Agent__CheckRequest q = AGENT__CHECK_REQUEST__INIT;
    q.service = (char *)"\xff\xff";
    expect_error(c, client_send(c, "grpc.AgentService", "Nonsense", &q.base, 0), VCS_RPC_UNIMPLEMENTED, "Nonsense");
    expect_error(c, client_send(c, "no.Such", "Check", &q.base, 0), VCS_RPC_UNIMPLEMENTED, "no.Such");
    expect_error(c, client_send(c, "", "", &q.base, 0), VCS_RPC_UNIMPLEMENTED, "not known");
    send_frame(c, 3, 101, VCS_TTRPC_REQUEST, "\xff\xff\xff", 3);
    expect_error(c, 101, VCS_RPC_INVALID, "envelope");
    send_frame(c, 0, 103, 77, NULL, 0);
    expect_error(c, 103, VCS_RPC_INVALID, "type 77");
    send_frame(c, 0, 104, VCS_TTRPC_REQUEST, NULL, 0);
    expect_error(c, 104, VCS_RPC_INVALID, "even");
    send_frame(c, 0, 105, VCS_TTRPC_RESPONSE, NULL, 0); /* is ignored */
    check_serving(c);
    /* A payload that is not a message of the method: field 1 says 100 bytes and has 1. */
    struct vcs_buf out = {0};
    unsigned char *at = vcs_ttrpc_put_request(&out, 107, "grpc.AgentService", "StartContainer", 0, 3);
    assert_non_null(at);
    memcpy(at, "\x0a\x64\x41", 3);
    assert_int_equal(vcs_write_full(c->fd, vcs_buf_data(&out), out.len), 0);
    vcs_buf_done(&out);
    expect_error(c, 107, VCS_RPC_INVALID, "StartContainer");
    check_serving(c);
}

static void test_oversized(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    size_t n = VCS_TTRPC_MAX + 1;
    char *zeros = calloc(1, n);
    assert_non_null(zeros);
    send_frame(c, (uint32_t)n, 201, VCS_TTRPC_REQUEST, zeros, n);
    free(zeros);
    expect_error(c, 201, VCS_RPC_EXHAUSTED, "larger");
    check_serving(c);
}

/* Four MiB of empty elements would become hundreds of MiB of objects. */
static void test_expansion(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    struct vcs_buf out = {0};
    size_t n = 3u << 20;
    unsigned char *at = vcs_ttrpc_put_request(&out, 301, "grpc.AgentService", "CreateSandbox", 0, n);
    assert_non_null(at);
    for (size_t i = 0; i < n; i += 2)
        memcpy(at + i, "\x1a\x00", 2);
    assert_int_equal(vcs_write_full(c->fd, vcs_buf_data(&out), out.len), 0);
    vcs_buf_done(&out);
    expect_error(c, 301, VCS_RPC_EXHAUSTED, "memory");
    check_serving(c);
}

/* ---- containers ---- */

static void test_life(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    char *args[] = {(char *)"/bin/true"};
    assert_int_equal(create(c, "c1", args, 1, 0), VCS_RPC_PRECONDITION); /* no sandbox yet */
    assert_int_equal(create_sandbox(c), 0);
    assert_int_equal(create_sandbox(c), VCS_RPC_EXISTS);
    assert_int_equal(run(c, "c1", "read x; echo got $x; echo oops >&2; exit 7", 0), 0);
    assert_int_equal(create(c, "c1", args, 1, 0), VCS_RPC_EXISTS);
    assert_int_equal(start(c, "c1"), VCS_RPC_PRECONDITION);
    assert_int_equal(write_stdin(c, "c1", "hello\n", 6), 0);
    expect_output(c, "ReadStdout", "c1", "", "got hello\n");
    expect_output(c, "ReadStderr", "c1", "c1", "oops\n");
    expect_output(c, "ReadStderr", "c1", "c1", ""); /* the end stays the end */
    assert_int_equal(client_wait(c, "c1", ""), 7);
    assert_int_equal(client_wait(c, "c1", "c1"), 7); /* and can be asked for again */
    assert_int_equal(write_stdin(c, "c1", "x", 1), 0);
    assert_int_equal(signal_process(c, "c1", "", SIGTERM), 0);
    assert_int_equal(remove_container(c, "c1"), 0);
    assert_int_equal(remove_container(c, "c1"), VCS_RPC_NOTFOUND);
    assert_int_equal(create(c, "../c1", args, 1, 0), VCS_RPC_INVALID);
    Agent__DestroySandboxRequest q = AGENT__DESTROY_SANDBOX_REQUEST__INIT;
    assert_int_equal(client_code(c, "DestroySandbox", &q.base), 0);
    assert_int_equal(create_sandbox(c), 0);
}

/* Signals go once to who lives; one process that has ended is not found, of a whole container none need be left. */
static void test_signals(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    assert_int_equal(create_sandbox(c), 0);
    assert_int_equal(run(c, "c1", "n=0; trap 'n=$((n+1)); echo usr $n' USR1; trap 'exit 5' USR2; echo up; "
                                  "while :; do sleep 1000 & wait $!; kill $!; done", 0), 0);
    Agent__ReadStreamRequest rd = AGENT__READ_STREAM_REQUEST__INIT;
    struct vcs_buf out = {0};
    rd.container_id = (char *)"c1";
    rd.len = 1;
    while (out.len < 3) {
        struct answer a;
        assert_int_equal(client_call(c, "ReadStdout", &rd.base, &a), 0);
        vcs_buf_append(&out, a.payload + 2, a.n - 2);
        answer_free(&a);
    }
    assert_string_equal(vcs_buf_str(&out), "up\n");
    vcs_buf_done(&out);
    /* The fake's container is its first process alone. */
    assert_int_equal(signal_process(c, "c1", "", SIGUSR1), 0);
    rd.len = 100;
    struct answer a;
    assert_int_equal(client_call(c, "ReadStdout", &rd.base, &a), 0);
    assert_memory_equal(a.payload + 2, "usr 1\n", 6);
    answer_free(&a);
    assert_int_equal(signal_process(c, "c1", "c1", SIGUSR2), 0);
    assert_int_equal(client_wait(c, "c1", ""), 5);
    assert_int_equal(signal_process(c, "c1", "c1", SIGTERM), VCS_RPC_NOTFOUND);
    assert_int_equal(signal_process(c, "c1", "", SIGKILL), 0);
    assert_int_equal(signal_process(c, "c1", "c2", SIGTERM), VCS_RPC_NOTFOUND);
}

/* The end of one request's time ends the sandbox, and so the requests that came after it, too. */
static void test_destroy_late(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    assert_int_equal(create_sandbox(c), 0);
    for (int round = 0; round < 5; round++) {
        char id[16];
        snprintf(id, sizeof(id), "c%d", round);
        assert_int_equal(run(c, id, "sleep 1000", 0), 0);
        Agent__DestroySandboxRequest q = AGENT__DESTROY_SANDBOX_REQUEST__INIT;
        Agent__WaitProcessRequest wt = AGENT__WAIT_PROCESS_REQUEST__INIT;
        Agent__ReadStreamRequest rd = AGENT__READ_STREAM_REQUEST__INIT;
        struct vcs_buf out = {0};
        wt.container_id = rd.container_id = id;
        rd.len = 100;
        /* In one piece, so that all of it waits when the time of the first one is over. */
        uint32_t first = c->next_id;
        const struct {
            const char *method;
            const ProtobufCMessage *msg;
            int64_t limit;
        } calls[] = {{"DestroySandbox", &q.base, 1}, {"WaitProcess", &wt.base, 0}, {"ReadStdout", &rd.base, 0},
                     {"ReadStderr", &rd.base, 0}};
        for (size_t i = 0; i < 4; i++) {
            unsigned char *at = vcs_ttrpc_put_request(&out, c->next_id, "grpc.AgentService", calls[i].method,
                                                      calls[i].limit, protobuf_c_message_get_packed_size(calls[i].msg));
            assert_non_null(at);
            protobuf_c_message_pack(calls[i].msg, at);
            c->next_id += 2;
        }
        assert_int_equal(vcs_write_full(c->fd, vcs_buf_data(&out), out.len), 0);
        vcs_buf_done(&out);
        for (size_t i = 0; i < 4; i++) {
            struct answer a;
            assert_int_equal(client_next(c, &a, CLIENT_LIMIT_MS), 1);
            assert_true(a.id >= first);
            if (a.id == first) /* a fast machine may have seen the process end before */
                assert_true(a.code == VCS_RPC_DEADLINE || a.code == 0);
            answer_free(&a);
        }
        assert_int_equal(create_sandbox(c), 0); /* it did end all the same */
    }
}

static void test_start_failure(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    char *missing[] = {(char *)"/no/such/program"}, *dir[] = {(char *)"/"};
    struct answer a;
    Agent__StartContainerRequest q = AGENT__START_CONTAINER_REQUEST__INIT;
    assert_int_equal(create_sandbox(c), 0);
    assert_int_equal(create(c, "missing", missing, 1, 0), 0);
    q.container_id = (char *)"missing";
    assert_int_equal(client_call(c, "StartContainer", &q.base, &a), VCS_RPC_NOTFOUND);
    assert_non_null(strstr(a.text, "/no/such/program"));
    answer_free(&a);
    assert_int_equal(client_wait(c, "missing", ""), 127);
    assert_int_equal(create(c, "dir", dir, 1, 0), 0);
    assert_int_equal(start(c, "dir"), VCS_RPC_PERM);
    assert_int_equal(client_wait(c, "dir", ""), 126);
}

static void test_waits_and_exec(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    assert_int_equal(create_sandbox(c), 0);
    assert_int_equal(run(c, "c1", "exec sleep 1000", 0), 0);
    /* A read and two waits that wait do not keep others from being answered. */
    Agent__ReadStreamRequest rd = AGENT__READ_STREAM_REQUEST__INIT;
    Agent__WaitProcessRequest wt = AGENT__WAIT_PROCESS_REQUEST__INIT;
    rd.container_id = wt.container_id = (char *)"c1";
    rd.len = 100;
    uint32_t read_id = client_send(c, "grpc.AgentService", "ReadStdout", &rd.base, 0);
    uint32_t wait1 = client_send(c, "grpc.AgentService", "WaitProcess", &wt.base, 0);
    uint32_t wait2 = client_send(c, "grpc.AgentService", "WaitProcess", &wt.base, 0);
    assert_int_equal(exec(c, "c1", "e1", "echo from exec; exit 3"), 0);
    assert_int_equal(exec(c, "c1", "c1", "true"), VCS_RPC_EXISTS);
    expect_output(c, "ReadStdout", "c1", "e1", "from exec\n");
    assert_int_equal(client_wait(c, "c1", "e1"), 3);
    assert_int_equal(client_wait(c, "c1", "nobody"), -1);
    /* With a time limit, waiting ends. */
    expect_error(c, client_send(c, "grpc.AgentService", "WaitProcess", &wt.base, 50000000), VCS_RPC_DEADLINE, "limit");
    uint32_t kill_id = c->next_id;
    Agent__SignalProcessRequest sg = AGENT__SIGNAL_PROCESS_REQUEST__INIT;
    sg.container_id = (char *)"c1";
    sg.signal = SIGTERM; /* sleep has no handler: init is killed */
    client_send(c, "grpc.AgentService", "SignalProcess", &sg.base, 0);
    int seen = 0;
    for (int i = 0; i < 4; i++) {
        struct answer a;
        assert_int_equal(client_next(c, &a, CLIENT_LIMIT_MS), 1);
        assert_int_equal(a.code, 0);
        if (a.id == read_id || a.id == kill_id)
            assert_int_equal(a.n, 0);
        else
            assert_memory_equal(a.payload, "\x08\x89\x01", 3); /* 137 */
        seen |= a.id == read_id ? 1 : a.id == wait1 ? 2 : a.id == wait2 ? 4 : a.id == kill_id ? 8 : 0;
        answer_free(&a);
    }
    assert_int_equal(seen, 15);
}

/* Much input through a process that reads slowly at first: all of it arrives, in order. */
static void test_bulk(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    enum { CHUNK = 300000, N = 10 };
    char *data = malloc(CHUNK);
    uint32_t ids[N];
    assert_non_null(data);
    assert_int_equal(create_sandbox(c), 0);
    assert_int_equal(run(c, "c1", "read go <&0; exec cat", 0), 0);
    assert_int_equal(write_stdin(c, "c1", "go\n", 3), 0);
    Agent__WriteStreamRequest q = AGENT__WRITE_STREAM_REQUEST__INIT;
    Agent__CloseStdinRequest cl = AGENT__CLOSE_STDIN_REQUEST__INIT;
    q.container_id = cl.container_id = (char *)"c1";
    q.data.data = (uint8_t *)data;
    q.data.len = CHUNK;
    for (int i = 0; i < N; i++) {
        memset(data, 'a' + i, CHUNK);
        ids[i] = client_send(c, "grpc.AgentService", "WriteStdin", &q.base, 0);
    }
    uint32_t close_id = client_send(c, "grpc.AgentService", "CloseStdin", &cl.base, 0);
    Agent__ReadStreamRequest rd = AGENT__READ_STREAM_REQUEST__INIT;
    rd.container_id = (char *)"c1";
    rd.len = 1 << 20;
    size_t total = 0, writes = 0;
    uint32_t read_id = client_send(c, "grpc.AgentService", "ReadStdout", &rd.base, 0);
    for (int ended = 0; !ended || writes < N;) {
        struct answer a;
        assert_int_equal(client_next(c, &a, CLIENT_LIMIT_MS), 1);
        assert_int_equal(a.code, 0);
        if (a.id == read_id) {
            Agent__ReadStreamResponse *r = agent__read_stream_response__unpack(NULL, a.n, a.payload);
            assert_non_null(r);
            for (size_t i = 0; i < r->data.len; i++, total++)
                if (r->data.data[i] != 'a' + total / CHUNK)
                    fail_msg("byte %zu is %d", total, r->data.data[i]);
            ended = !r->data.len;
            if (!ended)
                read_id = client_send(c, "grpc.AgentService", "ReadStdout", &rd.base, 0);
            agent__read_stream_response__free_unpacked(r, NULL);
        } else if (a.id != close_id) {
            assert_int_equal(a.id, ids[writes]);
            writes++;
        }
        answer_free(&a);
    }
    assert_int_equal(total, (size_t)CHUNK * N);
    assert_int_equal(client_wait(c, "c1", ""), 0);
    free(data);
}

static void test_terminal(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    Agent__TtyWinResizeRequest q = AGENT__TTY_WIN_RESIZE_REQUEST__INIT;
    char *args[] = {(char *)"/bin/sh", (char *)"-c", (char *)"stty size; stty -echo; read x; echo $x; exit 4"};
    assert_int_equal(create_sandbox(c), 0);
    assert_int_equal(create(c, "c1", args, 3, 1), 0);
    q.container_id = (char *)"c1";
    q.row = 33;
    q.column = 77;
    assert_int_equal(client_code(c, "TtyWinResize", &q.base), 0);
    assert_int_equal(start(c, "c1"), 0);
    assert_int_equal(write_stdin(c, "c1", "typed\n", 6), 0);
    struct vcs_buf out = {0};
    assert_int_equal(client_read_all(c, "ReadStdout", "c1", "", &out), 0);
    assert_non_null(strstr(vcs_buf_str(&out), "33 77\r\n"));
    assert_non_null(strstr(vcs_buf_str(&out), "typed\r\n"));
    vcs_buf_done(&out);
    assert_int_equal(client_wait(c, "c1", ""), 4);
    assert_int_equal(run(c, "c2", "exit 0", 0), 0);
    q.container_id = (char *)"c2";
    assert_int_equal(client_code(c, "TtyWinResize", &q.base), VCS_RPC_PRECONDITION);
}

static void test_listing(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    Agent__ListProcessesRequest q = AGENT__LIST_PROCESSES_REQUEST__INIT;
    char *args[] = {(char *)"-vc"}, *sleeper[] = {(char *)"sleep", (char *)"1000"};
    struct answer a;
    assert_int_equal(create_sandbox(c), 0);
    assert_int_equal(create(c, "c1", sleeper, 2, 0), 0);
    assert_int_equal(start(c, "c1"), 0);
    q.container_id = (char *)"c1";
    q.format = (char *)"json";
    q.args = args;
    q.n_args = 1;
    assert_int_equal(client_call(c, "ListProcesses", &q.base, &a), 0);
    assert_non_null(memmem(a.payload, a.n, "\"cmd\":\"sleep 1000\"", 18));
    assert_non_null(memmem(a.payload, a.n, "\"comm\":\"sleep\"", 14));
    answer_free(&a);
    q.n_args = 0;
    assert_int_equal(client_call(c, "ListProcesses", &q.base, &a), 0);
    assert_null(memchr(a.payload, '{', a.n));
    answer_free(&a);
    q.format = (char *)"xml";
    assert_int_equal(client_code(c, "ListProcesses", &q.base), VCS_RPC_INVALID);
}

/* Processes choose their command lines: the list stays within what an answer may have, and tells of all of them. */
static void test_long_listing(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    Agent__ListProcessesRequest q = AGENT__LIST_PROCESSES_REQUEST__INIT;
    char *args[] = {(char *)"-vc"}, script[4200] = "read x #", id[16];
    enum { N = 180 };
    size_t found = 0;
    struct answer a;
    memset(script + strlen(script), 1, sizeof(script) - strlen(script) - 1);
    assert_int_equal(create_sandbox(c), 0);
    assert_int_equal(run(c, "c1", "read x", 0), 0);
    for (int i = 1; i < N; i++) {
        snprintf(id, sizeof(id), "e%d", i);
        assert_int_equal(exec(c, "c1", id, script), 0);
    }
    q.container_id = (char *)"c1";
    q.format = (char *)"json";
    q.args = args;
    q.n_args = 1;
    assert_int_equal(client_call(c, "ListProcesses", &q.base, &a), 0);
    assert_in_range(a.n, 1, 2200000);
    for (const unsigned char *p = a.payload; (p = memmem(p, a.n - (size_t)(p - a.payload), "\"pid\":", 6)); p++)
        found++;
    assert_int_equal(found, N);
    answer_free(&a);
}

static void test_copy_file(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    Agent__CopyFileRequest q = AGENT__COPY_FILE_REQUEST__INIT;
    char path[160];
    struct stat st;
    snprintf(path, sizeof(path), "%s/a/b/file", run_dir);
    q.path = path;
    q.file_size = 6;
    q.file_mode = 0640;
    q.dir_mode = 0755;
    q.uid = (int32_t)getuid();
    q.gid = (int32_t)getgid();
    q.data.data = (uint8_t *)"abc";
    q.data.len = 3;
    assert_int_equal(client_code(c, "CopyFile", &q.base), 0);
    assert_int_equal(stat(path, &st), -1);
    q.offset = 3;
    assert_int_equal(client_code(c, "CopyFile", &q.base), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 6);
    assert_int_equal(st.st_mode & 07777, 0640);
    q.offset = 4;
    assert_int_equal(client_code(c, "CopyFile", &q.base), VCS_RPC_INVALID);
    q.offset = 0;
    q.path = (char *)"/etc/vc-agent-test";
    assert_int_equal(client_code(c, "CopyFile", &q.base), VCS_RPC_PERM);
    snprintf(path, sizeof(path), "%s/a/../../x", run_dir);
    q.path = path;
    assert_int_equal(client_code(c, "CopyFile", &q.base), VCS_RPC_INVALID);
    snprintf(path, sizeof(path), "%s/link", run_dir);
    assert_int_equal(symlink("/tmp", path), 0);
    snprintf(path, sizeof(path), "%s/link/x", run_dir);
    assert_int_equal(client_code(c, "CopyFile", &q.base), VCS_RPC_PERM);
    /* What waits in the file's place does not stop the agent. */
    snprintf(path, sizeof(path), "%s/fifo.tmp", run_dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    path[strlen(path) - 4] = '\0';
    assert_int_equal(client_code(c, "CopyFile", &q.base), VCS_RPC_INTERNAL);
    check_serving(c);
}

/* What only a guest's init may do is refused here. */
static void test_guest_only(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    Agent__SetGuestDateTimeRequest date = AGENT__SET_GUEST_DATE_TIME_REQUEST__INIT;
    Agent__UpdateRoutesRequest routes = AGENT__UPDATE_ROUTES_REQUEST__INIT;
    Agent__Routes none = AGENT__ROUTES__INIT;
    Agent__ListInterfacesRequest list = AGENT__LIST_INTERFACES_REQUEST__INIT;
    struct answer a;
    routes.routes = &none;
    assert_int_equal(client_code(c, "SetGuestDateTime", &date.base), VCS_RPC_PRECONDITION);
    assert_int_equal(client_code(c, "UpdateRoutes", &routes.base), VCS_RPC_PRECONDITION);
    assert_int_equal(client_call(c, "ListInterfaces", &list.base, &a), 0);
    assert_non_null(memmem(a.payload, a.n, "lo", 2));
    answer_free(&a);
}

static int guest_code(struct client *c, const char *method, const ProtobufCMessage *msg)
{
    struct answer a;
    uint32_t id = client_send(c, "vccore.GuestService", method, msg, 0);
    assert_true(id);
    assert_int_equal(client_next(c, &a, CLIENT_LIMIT_MS), 1);
    assert_int_equal(a.id, id);
    int code = a.code;
    answer_free(&a);
    return code;
}

/* An agent settles anywhere, but only a guest's init makes the guest anew. */
static void test_settle(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    Vccore__SettleRequest settle = VCCORE__SETTLE_REQUEST__INIT;
    Vccore__RenewRequest again = VCCORE__RENEW_REQUEST__INIT;
    unsigned char seed[64] = {1};
    assert_int_equal(guest_code(c, "Settle", &settle.base), 0);
    again.seed.data = seed;
    again.seed.len = 31;
    assert_int_equal(guest_code(c, "Renew", &again.base), VCS_RPC_INVALID);
    again.seed.len = sizeof(seed);
    assert_int_equal(guest_code(c, "Renew", &again.base), VCS_RPC_PRECONDITION);
    again.nsec = 1000000000;
    assert_int_equal(guest_code(c, "Renew", &again.base), VCS_RPC_INVALID);
    assert_int_equal(guest_code(c, "Refresh", &again.base), VCS_RPC_UNIMPLEMENTED);
    check_serving(c);
}

/* ---- yamux ---- */

static void mux_send(struct client *c, uint8_t type, uint16_t flags, uint32_t id, uint32_t n, const void *data)
{
    unsigned char h[12] = {0, type};
    vcs_put_be16(h + 2, flags);
    vcs_put_be32(h + 4, id);
    vcs_put_be32(h + 8, n);
    assert_int_equal(vcs_write_full(c->fd, h, sizeof(h)), 0);
    if (type == 0 && n)
        assert_int_equal(vcs_write_full(c->fd, data, n), 0);
}

static void mux_check(struct client *c, uint32_t stream)
{
    struct vcs_buf out = {0};
    assert_non_null(vcs_ttrpc_put_request(&out, 1, "grpc.Health", "Check", 0, 0));
    mux_send(c, 0, 0, stream, (uint32_t)out.len, vcs_buf_data(&out));
    vcs_buf_done(&out);
}

/* Read frames until one with data comes: its stream, and what it holds is a good answer to a check. */
static uint32_t mux_expect(struct client *c)
{
    for (;;) {
        unsigned char h[12], data[256];
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, CLIENT_LIMIT_MS), 1);
        assert_int_equal(vcs_read_full(c->fd, h, sizeof(h)), sizeof(h));
        uint32_t n = h[1] == 0 ? vcs_get_be32(h + 8) : 0;
        assert_true(n <= sizeof(data));
        assert_int_equal(vcs_read_full(c->fd, data, n), n);
        if (n) {
            assert_memory_equal(data + n - 2, "\x08\x01", 2);
            return vcs_get_be32(h + 4);
        }
    }
}

static void test_mux(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    for (uint32_t id = 1; id < 40; id += 2) {
        mux_send(c, 1, 1, id, 0, NULL);
        mux_check(c, id);
        assert_int_equal(mux_expect(c), id);
    }
    /* Each stream is a connection: their requests with the same id do not meet. */
    mux_check(c, 1);
    mux_check(c, 3);
    assert_int_equal(mux_expect(c) + mux_expect(c), 4);
}

/* The host end was closed and opened again without the guest having seen it: streams start from 1. */
static void test_mux_restart(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    for (int i = 0; i < 5; i++) {
        mux_send(c, 1, 1, 1, 0, NULL);
        mux_check(c, 1);
        assert_int_equal(mux_expect(c), 1);
    }
}

/* Until the agent has taken all that was sent. */
static void await_taken(struct client *c)
{
    int left = 1;
    int64_t end = vcs_now_ns() + 20000000000;
    for (; left && vcs_now_ns() < end; sched_yield())
        assert_int_equal(ioctl(c->fd, SIOCOUTQ, &left), 0);
    assert_int_equal(left, 0);
}

/* Settle on a stream; the answer. */
static void mux_settle(struct client *c, uint32_t stream)
{
    struct vcs_buf out = {0};
    unsigned char h[12], data[256];
    uint32_t n;
    mux_send(c, 1, 1, stream, 0, NULL);
    assert_non_null(vcs_ttrpc_put_request(&out, 1, "vccore.GuestService", "Settle", 0, 0));
    mux_send(c, 0, 0, stream, (uint32_t)out.len, vcs_buf_data(&out));
    vcs_buf_done(&out);
    do {
        assert_int_equal(vcs_read_full(c->fd, h, sizeof(h)), sizeof(h));
        n = h[1] == 0 ? vcs_get_be32(h + 8) : 0;
        assert_true(n <= sizeof(data));
        assert_int_equal(vcs_read_full(c->fd, data, n), n);
    } while (!n);
}

/* A settled agent says nothing about the host's going, since a copy of it would say it to another host. */
static void test_mux_quiet(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    unsigned char h[12];
    mux_settle(c, 1);
    mux_send(c, 1, 4, 1, 0, NULL); /* the end of the stream */
    await_taken(c);
    mux_send(c, 1, 1, 1, 0, NULL);
    mux_check(c, 1);
    /* What comes is of the new session: no end of a stream. */
    uint32_t n = 0;
    do {
        unsigned char data[256];
        assert_int_equal(vcs_read_full(c->fd, h, sizeof(h)), sizeof(h));
        assert_int_equal(vcs_get_be16(h + 2) & 12, 0);
        n = h[1] == 0 ? vcs_get_be32(h + 8) : 0;
        assert_true(n <= sizeof(data));
        assert_int_equal(vcs_read_full(c->fd, data, n), n);
    } while (!n);
    assert_int_equal(vcs_get_be32(h + 4), 1);
}

/* When the same host goes on instead, it is told what was held back. */
static void test_mux_quiet_ends(void **state)
{
    struct client *c = &((struct fixture *)*state)->c;
    unsigned char h[12], data[256];
    int ended = 0, answered = 0;
    mux_settle(c, 1);
    mux_send(c, 1, 4, 1, 0, NULL);
    await_taken(c);
    mux_send(c, 1, 1, 3, 0, NULL);
    mux_check(c, 3);
    while (!ended || !answered) {
        assert_int_equal(vcs_read_full(c->fd, h, sizeof(h)), sizeof(h));
        uint32_t n = h[1] == 0 ? vcs_get_be32(h + 8) : 0;
        assert_true(n <= sizeof(data));
        assert_int_equal(vcs_read_full(c->fd, data, n), n);
        ended |= vcs_get_be32(h + 4) == 1 && (vcs_get_be16(h + 2) & 4);
        answered |= vcs_get_be32(h + 4) == 3 && n;
    }
}

static int main_setup(void)
{
    const char *dir = getenv("builddir");
    snprintf(program, sizeof(program), "%s/tests/fakes/vc-agent-fake", dir ? dir : ".");
    strcpy(run_dir, "/tmp/test-agent-rpc-XXXXXX");
    return access(program, X_OK) == 0 && mkdtemp(run_dir) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_health, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(test_oversized, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expansion, setup, teardown),
        cmocka_unit_test_setup_teardown(test_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_destroy_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waits_and_exec, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bulk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_terminal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_listing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copy_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_guest_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mux, setup_mux, teardown),
        cmocka_unit_test_setup_teardown(test_mux_quiet, setup_mux, teardown),
        cmocka_unit_test_setup_teardown(test_mux_quiet_ends, setup_mux, teardown),
        cmocka_unit_test_setup_teardown(test_mux_restart, setup_mux, teardown),
    };
    if (main_setup() < 0) {
        fprintf(stderr, "%s is missing\n", program);
        return 1;
    }
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    vcs_remove_tree(AT_FDCWD, run_dir);
    return r;
}
