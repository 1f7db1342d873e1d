/* SPDX-License-Identifier: Apache-2.0 */
/* test-agent-kata.c: agent plugin "kata" against an agent that answers by a script, well and badly. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <vc/agent.h>

#include "agent.pb-c.h"
#include "guest.pb-c.h"
#include "fakes/fake-agent.h"
#include "lib/io.h"
#include "lib/ttrpc.h"
#include "unit/fakehost.h"

extern const struct vc_plugin vc_plugin_entry;
static const struct vc_agent_ops *ops;
static const struct vc_inst_ops *iops;
static struct fakehost fh;
static struct vc_call call;
static vc_inst *inst;
static struct fake_agent *agent;
static char uri[200];

#define SPEC                                                                                                                  \
    "{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\",\"terminal\":%s,\"user\":{\"uid\":0,\"gid\":0}}," \
    "\"root\":{\"path\":\"rootfs\"},\"linux\":{}}"

static struct vc_call *in(int ms)
{
    call = fakehost_call(&fh, ms);
    return &call;
}

static int setup(void **state)
{
    (void)state;
    ops = vc_plugin_entry.ops;
    iops = vc_plugin_entry.inst;
    if (fakehost_init(&fh, &vc_plugin_entry, NULL) < 0)
        return -1;
    snprintf(uri, sizeof(uri), "unix://%s/agent.sock", fh.dir);
    agent = fake_agent_start(uri + 7, FAKE_NORMAL, NULL);
    return agent ? iops->create(&fh.host, in(1000), fakehost_config(&fh), "pod1", &inst) : -1;
}

static int teardown(void **state)
{
    (void)state;
    iops->close(inst);
    fake_agent_stop(agent);
    fakehost_done(&fh);
    return 0;
}

static void connect_agent(void)
{
    assert_int_equal(ops->connect(inst, in(5000), uri), VC_OK);
}

/* The error's text names what it should. */
static void assert_says(const char *part)
{
    if (!strstr(fh.err.text, part))
        fail_msg("the error \"%s\" does not say \"%s\"", fh.err.text, part);
    for (const char *p = fh.err.text; *p; p++)
        assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static int create_ctr(const char *id, int terminal)
{
    char spec[512];
    snprintf(spec, sizeof(spec), SPEC, terminal ? "true" : "false");
    struct vc_ctr c = { .size = sizeof(c), .id = id, .spec = { spec, strlen(spec) }, .rootfs = "ctr/rootfs" };
    return ops->ctr_create(inst, in(5000), &c);
}

/* ---- the usual way ---- */

static void test_life(void **state)
{
    (void)state;
    const char *dns[] = { "nameserver 10.0.0.1", NULL };
    struct vc_sandbox sb = {
        .size = sizeof(sb), .id = "pod1", .hostname = "h", .dns = dns, .share_tag = "kataShared", .share_type = "9p"
    };
    size_t n = 0;
    connect_agent();
    assert_int_equal(ops->ping(inst, in(5000)), VC_OK);
    assert_int_equal(ops->sandbox_create(inst, in(5000), &sb), VC_OK);
    unsigned char *raw = fake_agent_last(agent, "CreateSandbox", &n);
    Agent__CreateSandboxRequest *m = agent__create_sandbox_request__unpack(NULL, n, raw);
    assert_non_null(m);
    assert_string_equal(m->hostname, "h");
    assert_string_equal(m->sandbox_id, "pod1");
    assert_int_equal(m->n_dns, 1);
    assert_string_equal(m->dns[0], dns[0]);
    assert_int_equal(m->n_storages, 1);
    assert_string_equal(m->storages[0]->driver, "9p");
    assert_string_equal(m->storages[0]->source, "kataShared");
    assert_string_equal(m->storages[0]->mount_point, "/run/kata-containers/shared/containers/");
    int msize = 0;
    for (size_t i = 0; i < m->storages[0]->n_options; i++)
        msize |= !strcmp(m->storages[0]->options[i], "msize=512000");
    assert_true(msize);
    agent__create_sandbox_request__free_unpacked(m, NULL);
    free(raw);

    assert_int_equal(create_ctr("c1", 0), VC_OK);
    raw = fake_agent_last(agent, "CreateContainer", &n);
    Agent__CreateContainerRequest *c = agent__create_container_request__unpack(NULL, n, raw);
    assert_non_null(c);
    assert_string_equal(c->container_id, "c1");
    assert_string_equal(c->exec_id, "c1");
    assert_string_equal(c->oci->root->path, "/run/kata-containers/shared/containers/ctr/rootfs");
    assert_non_null(c->oci->linux_part);
    assert_non_null(c->oci->linux_part->resources);
    agent__create_container_request__free_unpacked(c, NULL);
    free(raw);

    assert_int_equal(ops->ctr_start(inst, in(5000), "c1"), VC_OK);
    assert_int_equal(ops->signal(inst, in(5000), "c1", NULL, SIGTERM, 0), VC_OK);
    assert_int_equal(ops->ctr_pause(inst, in(5000), "c1"), VC_OK);
    assert_int_equal(ops->ctr_resume(inst, in(5000), "c1"), VC_OK);
    static const char res[] = "{\"memory\":{\"limit\":1048576}}";
    assert_int_equal(ops->ctr_update(inst, in(5000), "c1", (struct vc_bytes){ res, strlen(res) }), VC_OK);
    assert_int_equal(ops->ctr_remove(inst, in(5000), "c1"), VC_OK);
    assert_int_equal(ops->sandbox_destroy(inst, in(5000)), VC_OK);
    assert_int_equal(ops->sandbox_destroy(inst, in(5000)), VC_OK);
    assert_int_equal(fake_agent_seen(agent, "DestroySandbox", 1), 1);
    assert_int_equal(ops->disconnect(inst, in(5000)), VC_OK);
    assert_int_equal(ops->disconnect(inst, in(5000)), VC_OK);
    assert_int_equal(fake_agent_connections(agent), 1); /* bug-25: one for all of these */
}

static void test_bytewise(void **state)
{
    (void)state;
    fake_agent_mode(agent, FAKE_BYTEWISE, NULL);
    connect_agent();
    assert_int_equal(create_ctr("c1", 0), VC_OK);
    assert_int_equal(ops->ctr_start(inst, in(5000), "c1"), VC_OK);
}

static void test_bad_uris(void **state)
{
    (void)state;
    assert_int_equal(ops->connect(inst, in(1000), "serial:///dev/x"), VC_E_CONFIG);
    assert_says("proxy = \"kata\"");
    assert_int_equal(ops->connect(inst, in(1000), "http://x"), VC_E_INVAL);
    assert_int_equal(ops->connect(inst, in(1000), ""), VC_E_INVAL);
    assert_int_equal(ops->ping(inst, in(1000)), VC_E_STATE);
    assert_int_equal(ops->connect(inst, in(1000), "unix:///nonexistent/agent.sock"), VC_E_PEER);
    assert_says("/nonexistent/agent.sock");
}

/* ---- every way to answer badly ---- */

static void misbehave(enum fake_mode mode, int want, const char *part)
{
    fake_agent_mode(agent, FAKE_NORMAL, NULL);
    connect_agent();
    fake_agent_mode(agent, mode, "StartContainer");
    int64_t start = vcs_now_ns();
    assert_int_equal(ops->ctr_start(inst, in(want == VC_E_TIMEOUT ? 300 : 8000), "c1"), want);
    assert_says(part);
    assert_says("StartContainer");
    assert_true(vcs_now_ns() - start < INT64_C(4000000000)); /* failures come at once, not at the deadline */
    /* The instance is not ruined by it. */
    fake_agent_mode(agent, FAKE_NORMAL, NULL);
    assert_int_equal(ops->ctr_start(inst, in(5000), "c1"), VC_OK);
}

static void test_silent(void **state)
{
    (void)state;
    misbehave(FAKE_SILENT, VC_E_TIMEOUT, "did not answer");
    misbehave(FAKE_SILENT, VC_E_TIMEOUT, uri);
}

static void test_oversized(void **state)
{
    (void)state;
    misbehave(FAKE_OVERSIZED, VC_E_PROTOCOL, "more than 4194304 bytes");
}

static void test_truncated(void **state)
{
    (void)state;
    misbehave(FAKE_TRUNCATED, VC_E_PEER, "in the middle of an answer");
}

static void test_alien(void **state)
{
    (void)state;
    misbehave(FAKE_ALIEN, VC_E_PROTOCOL, uri);
    misbehave(FAKE_REQUEST, VC_E_PROTOCOL, "only answers");
    misbehave(FAKE_WRONG_ID, VC_E_PROTOCOL, "nobody made");
    misbehave(FAKE_BAD_ENVELOPE, VC_E_PROTOCOL, "not a ttRPC response");
}

static void test_dying(void **state)
{
    (void)state;
    misbehave(FAKE_DYING, VC_E_PEER, "closed the connection");
}

/* A reply that never becomes whole. */
static void test_stuck(void **state)
{
    (void)state;
    connect_agent();
    fake_agent_mode(agent, FAKE_STUCK, "StartContainer");
    assert_int_equal(ops->ctr_start(inst, in(100), "c1"), VC_E_TIMEOUT);
    assert_says("did not answer StartContainer within 0.1 s");
}

static void test_bad_payload(void **state)
{
    (void)state;
    int32_t status = 99;
    connect_agent();
    fake_agent_mode(agent, FAKE_BAD_PAYLOAD, "WaitProcess");
    assert_int_equal(ops->wait(inst, in(1000), "c1", NULL, &status), VC_E_PROTOCOL);
    assert_int_equal(status, 99);
    assert_says("malformed");
    fake_agent_mode(agent, FAKE_NORMAL, NULL);
    static const unsigned char big[] = { 0x08, 0xe8, 0x07 }; /* status 1000 */
    fake_agent_payload(agent, "WaitProcess", big, sizeof(big));
    assert_int_equal(ops->wait(inst, in(1000), "c1", NULL, &status), VC_E_PROTOCOL);
    assert_int_equal(status, 99);
}

/* A second answer to the same request. */
static void test_twice(void **state)
{
    (void)state;
    connect_agent();
    fake_agent_mode(agent, FAKE_TWICE, "StartContainer");
    assert_int_equal(ops->ctr_start(inst, in(1000), "c1"), VC_OK);
    fake_agent_mode(agent, FAKE_NORMAL, NULL);
    int rc = ops->ctr_start(inst, in(1000), "c1");
    assert_true(rc == VC_E_PROTOCOL || rc == VC_OK); /* the surplus may have been read by the first call */
    assert_int_equal(ops->ctr_start(inst, in(1000), "c1"), VC_OK);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        int code, want;
        const char *text;
    } start[] = {
        { VCS_RPC_NOTFOUND, VC_E_NOCMD, "\"nope\" was not found in the container's PATH" },
        { VCS_RPC_NOTFOUND, VC_E_NOTFOUND, "container \"c1\" does not exist" },
        { VCS_RPC_PERM, VC_E_NOEXEC, "\"/etc/passwd\" cannot be executed" },
        { VCS_RPC_INTERNAL, VC_E_NOCMD, "exec: \"x\": executable file not found in $PATH" },
        { VCS_RPC_INTERNAL, VC_E_NOEXEC, "exec: permission denied" },
        { VCS_RPC_INTERNAL, VC_E_IO, "other" },
        { VCS_RPC_PRECONDITION, VC_E_STATE, "started already" },
        { VCS_RPC_INVALID, VC_E_INVAL, "bad\x1b[31m\ntext" },
        { 99, VC_E_IO, "" },
    };
    connect_agent();
    for (size_t i = 0; i < sizeof(start) / sizeof(start[0]); i++) {
        fake_agent_refuse(agent, "StartContainer", start[i].code, start[i].text);
        assert_int_equal(ops->ctr_start(inst, in(5000), "c1"), start[i].want);
        assert_says("StartContainer");
    }
    fake_agent_refuse(agent, "RemoveContainer", VCS_RPC_NOTFOUND, "container \"c1\" does not exist");
    assert_int_equal(ops->ctr_remove(inst, in(5000), "c1"), VC_OK);
    fake_agent_refuse(agent, "RemoveContainer", VCS_RPC_INTERNAL, "busy");
    assert_int_equal(ops->ctr_remove(inst, in(5000), "c1"), VC_E_IO);
    fake_agent_refuse(agent, "CreateContainer", VCS_RPC_EXISTS, "it exists");
    assert_int_equal(create_ctr("c1", 0), VC_E_EXISTS);
    fake_agent_refuse(agent, "SignalProcess", VCS_RPC_NOTFOUND, "gone");
    assert_int_equal(ops->signal(inst, in(5000), "c1", "e1", 15, 0), VC_E_NOTFOUND);
    fake_agent_refuse(agent, "SignalProcess", VCS_RPC_INTERNAL, "ESRCH: No such process");
    assert_int_equal(ops->signal(inst, in(5000), "c1", "e1", 15, 0), VC_E_NOTFOUND);
    fake_agent_refuse(agent, "TtyWinResize", VCS_RPC_PRECONDITION, "no terminal");
    assert_int_equal(ops->tty_resize(inst, in(5000), "c1", NULL, 24, 80), VC_E_STATE);
}

#ifdef __SANITIZE_THREAD__
#define SLOW 20
#else
#define SLOW 1
#endif

/* An agent that does not read: calls end in time, and what waits for it does not grow without limit. */
static void test_deaf(void **state)
{
    (void)state;
    char path[128], where[160];
    size_t size = 1 << 20;
    char *process = malloc(size + 100);
    assert_non_null(process);
    int n = sprintf(process, "{\"args\":[\"x\"],\"cwd\":\"/\",\"env\":[\"A=");
    memset(process + n, 'b', size);
    strcpy(process + n + size, "\"]}");
    struct vc_exec x = { .size = sizeof(x), .id = "e1", .process = { process, strlen(process) } };
    snprintf(path, sizeof(path), "%s/deaf.sock", fh.dir);
    snprintf(where, sizeof(where), "unix://%s", path);
    int listening = vcs_unix_listen(path, 0600, 8); /* connected to, but never accepted */
    assert_true(listening >= 0);
    assert_int_equal(ops->connect(inst, in(50), where), VC_E_TIMEOUT);
    int rc = VC_E_TIMEOUT;
    for (int i = 0; i < 20 && rc == VC_E_TIMEOUT; i++)
        rc = ops->exec(inst, in(SLOW * 20), "c1", &x); /* time to make a message of it */
    assert_int_equal(rc, VC_E_BUSY);
    assert_says("unread");
    close(listening);
    unlink(path);
    free(process);
}

static void test_late(void **state)
{
    (void)state;
    fake_agent_mode(agent, FAKE_LATE, "StartContainer");
    connect_agent();
    assert_int_equal(ops->ctr_start(inst, in(50), "c1"), VC_E_TIMEOUT);
    /* The late answer belongs to nobody, and must not be taken for that of the next call. */
    fake_agent_refuse(agent, "StartContainer", VCS_RPC_INVALID, "second");
    fake_agent_release(agent);
    assert_int_equal(ops->ctr_start(inst, in(5000), "c1"), VC_E_INVAL);
    assert_int_equal(ops->ping(inst, in(5000)), VC_OK);
}

static void test_deadline_passed(void **state)
{
    (void)state;
    connect_agent();
    in(1000);
    call.deadline_ns = 1;
    assert_int_equal(ops->ctr_start(inst, &call, "c1"), VC_E_TIMEOUT);
    assert_int_equal(fake_agent_seen(agent, "StartContainer", 0), 0);
}

/* ---- threads ---- */

struct job {
    struct vc_call call;
    vc_err err;
    int rc;
    int32_t status;
    pthread_t thread;
    const char *exec;
};

static void *wait_job(void *arg)
{
    struct job *j = arg;
    j->rc = ops->wait(inst, &j->call, "c1", j->exec, &j->status);
    return NULL;
}

static void job_start(struct job *j, const char *exec, int ms)
{
    *j = (struct job){ .exec = exec, .status = -1 };
    j->call = (struct vc_call){ .size = sizeof(j->call),
                                .err = &j->err,
                                .deadline_ns = ms ? vcs_now_ns() + ms * INT64_C(1000000) : 0 };
    assert_int_equal(pthread_create(&j->thread, NULL, wait_job, j), 0);
}

static void test_parallel_waits(void **state)
{
    (void)state;
    struct job j[4];
    static const char *const exec[] = { NULL, "e1", "e2", "e3" };
    connect_agent();
    for (int i = 0; i < 4; i++)
        job_start(&j[i], exec[i], 10000);
    assert_int_equal(fake_agent_seen(agent, "WaitProcess", 4), 4);
    for (int i = 0; i < 50; i++) /* other calls go on meanwhile */
        assert_int_equal(ops->ping(inst, in(5000)), VC_OK);
    for (int i = 3; i >= 0; i--) {
        int32_t fds[3];
        assert_int_equal(ops->stdio(inst, in(5000), "c1", exec[i], fds), VC_OK);
        close(fds[0]);
        pthread_join(j[i].thread, NULL);
        assert_int_equal(j[i].rc, VC_OK);
        assert_int_equal(j[i].status, 7);
        close(fds[1]);
        close(fds[2]);
    }
}

static void test_cancel(void **state)
{
    (void)state;
    struct job j;
    connect_agent();
    job_start(&j, NULL, 0);
    fake_agent_seen(agent, "WaitProcess", 1);
    iops->cancel(inst);
    pthread_join(j.thread, NULL);
    assert_int_equal(j.rc, VC_E_CANCELLED);
    /* The next wait takes up the question that is still open. */
    job_start(&j, NULL, 10000);
    int32_t fds[3];
    assert_int_equal(ops->stdio(inst, in(5000), "c1", NULL, fds), VC_OK);
    close(fds[0]);
    pthread_join(j.thread, NULL);
    assert_int_equal(j.rc, VC_OK);
    assert_int_equal(j.status, 7);
    assert_int_equal(fake_agent_seen(agent, "WaitProcess", 1), 1);
    close(fds[1]);
    close(fds[2]);
}

/* Again and again: one that comes before the call is of none. */
static void *cancel_until(void *arg)
{
    for (atomic_int *over = arg; !atomic_load(over); poll(NULL, 0, 20))
        iops->cancel(inst);
    return NULL;
}

/* Nobody answers on vsock: a cancel ends the attempts, and who does not wait for a guest makes one. */
static void test_vsock_silent(void **state)
{
    (void)state;
    pthread_t t;
    atomic_int over = 0;
    int64_t begin = vcs_now_ns();
    assert_int_equal(pthread_create(&t, NULL, cancel_until, &over), 0);
    int r = ops->connect(inst, in(20000), "vsock://1:4000000000");
    atomic_store(&over, 1);
    pthread_join(t, NULL);
    assert_int_equal(r, VC_E_CANCELLED);
    assert_in_range(vcs_now_ns() - begin, 0, 5000000000);
    begin = vcs_now_ns();
    assert_true(ops->ping(inst, in(20000)) < 0);
    assert_in_range(vcs_now_ns() - begin, 0, 5000000000);
}

static void test_guest_dies(void **state)
{
    (void)state;
    struct job j[2];
    int32_t fds[3];
    char c;
    connect_agent();
    job_start(&j[0], NULL, 0);
    job_start(&j[1], "e1", 0);
    fake_agent_seen(agent, "WaitProcess", 2);
    assert_int_equal(ops->stdio(inst, in(5000), "c1", "e2", fds), VC_OK);
    fake_agent_drop(agent);
    for (int i = 0; i < 2; i++) {
        pthread_join(j[i].thread, NULL);
        assert_int_equal(j[i].rc, VC_E_PEER);
    }
    /* The streams end, too. */
    assert_int_equal(read(fds[1], &c, 1), 0);
    assert_int_equal(read(fds[2], &c, 1), 0);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

static void test_disconnect_ends_waits(void **state)
{
    (void)state;
    struct job j;
    connect_agent();
    job_start(&j, NULL, 0);
    fake_agent_seen(agent, "WaitProcess", 1);
    assert_int_equal(ops->disconnect(inst, in(5000)), VC_OK);
    pthread_join(j.thread, NULL);
    assert_int_equal(j.rc, VC_E_PEER);
}

/* ---- streams ---- */

struct pump {
    int fd;
    size_t n;
    uint64_t sum;
    pthread_t thread;
};

static uint64_t mix(uint64_t sum, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ p[i]) * 0x100000001b3u;
    return sum;
}

static void *feed(void *arg)
{
    struct pump *p = arg;
    static unsigned char buf[100000];
    uint32_t x = 1;
    for (size_t left = p->n; left;) {
        size_t n = left < sizeof(buf) ? left : sizeof(buf);
        for (size_t i = 0; i < n; i++) {
            x = x * 1664525 + 1013904223;
            buf[i] = (unsigned char)(x >> 24);
        }
        p->sum = mix(p->sum, buf, n);
        if (vcs_write_full(p->fd, buf, n) < 0)
            break;
        left -= n;
    }
    close(p->fd);
    return NULL;
}

static void test_echo(void **state)
{
    (void)state;
    int32_t fds[3], status = -1;
    static unsigned char buf[65536];
    size_t got = 0;
    uint64_t sum = 0;
    connect_agent();
    assert_int_equal(ops->stdio(inst, in(5000), "c1", NULL, fds), VC_OK);
    for (int i = 0; i < 3; i++)
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    struct pump p = { .fd = fds[0], .n = 16u << 20 };
    int64_t start = vcs_now_ns();
    assert_int_equal(pthread_create(&p.thread, NULL, feed, &p), 0);
    for (ssize_t n; (n = read(fds[1], buf, sizeof(buf))) > 0; got += (size_t)n)
        sum = mix(sum, buf, (size_t)n);
    pthread_join(p.thread, NULL);
    assert_int_equal(got, p.n);
    assert_true(sum == p.sum);
    print_message("stdin to stdout: %.0f MB/s\n", (double)got / ((double)(vcs_now_ns() - start) / 1e9) / 1e6);
    assert_int_equal(read(fds[2], buf, 1), 0);
    assert_int_equal(ops->wait(inst, in(5000), "c1", NULL, &status), VC_OK);
    assert_int_equal(status, 7);
    close(fds[1]);
    close(fds[2]);
}

/* A reader that goes away must not stop the process or end this one by SIGPIPE. */
static void test_reader_gone(void **state)
{
    (void)state;
    int32_t fds[3], status = -1;
    connect_agent();
    assert_int_equal(ops->stdio(inst, in(5000), "c1", NULL, fds), VC_OK);
    close(fds[1]);
    close(fds[2]);
    struct pump p = { .fd = fds[0], .n = 4u << 20 };
    feed(&p);
    assert_int_equal(ops->wait(inst, in(5000), "c1", NULL, &status), VC_OK);
    assert_int_equal(status, 7);
}

static void test_stream_ends(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *text;
    } ends[] = { { VCS_RPC_UNKNOWN, "EOF" },
                 { VCS_RPC_RANGE, "EOF" },
                 { VCS_RPC_NOTFOUND, "gone" },
                 { VCS_RPC_INTERNAL, "read /dev/ptmx: input/output error" },
                 { VCS_RPC_INTERNAL, "something odd" } };
    connect_agent();
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        int32_t fds[3];
        char c;
        fake_agent_refuse(agent, "ReadStdout", ends[i].code, ends[i].text);
        fake_agent_refuse(agent, "WriteStdin", VCS_RPC_NOTFOUND, "gone");
        assert_int_equal(ops->stdio(inst, in(5000), "c1", NULL, fds), VC_OK);
        assert_int_equal(read(fds[1], &c, 1), 0);
        assert_int_equal(read(fds[2], &c, 1), 0);
        for (int k = 0; k < 3; k++)
            close(fds[k]);
    }
}

/* Bytes that nobody asked for, and a count of bytes that were never sent. */
static void test_hostile_streams(void **state)
{
    (void)state;
    int32_t fds[3];
    static unsigned char much[300005] = { 0x0a, 0xe0, 0xa7, 0x12 };
    static const unsigned char len[] = { 0x08, 0xff, 0x01 };
    char c;
    connect_agent();
    fake_agent_payload(agent, "ReadStdout", much, 4 + 300000);
    assert_int_equal(ops->stdio(inst, in(5000), "c1", NULL, fds), VC_OK);
    assert_int_equal(read(fds[1], &c, 1), 0);
    assert_int_equal(ops->ping(inst, in(5000)), VC_OK); /* on a new connection */
    for (int k = 0; k < 3; k++)
        close(fds[k]);
    fake_agent_payload(agent, "ReadStdout", NULL, 0);
    fake_agent_payload(agent, "WriteStdin", len, sizeof(len));
    assert_int_equal(ops->stdio(inst, in(5000), "c1", NULL, fds), VC_OK);
    assert_int_equal(write(fds[0], "x", 1), 1);
    assert_int_equal(read(fds[1], &c, 1), 0);
    for (int k = 0; k < 3; k++)
        close(fds[k]);
}

static void test_terminal(void **state)
{
    (void)state;
    int32_t fds[3];
    vc_inst *other = NULL;
    connect_agent();
    assert_int_equal(create_ctr("t1", 1), VC_OK);
    static const char process[] = "{\"args\":[\"sh\"],\"cwd\":\"/\",\"terminal\":true}";
    struct vc_exec ex = { .size = sizeof(ex), .id = "e1", .process = { process, strlen(process) } };
    assert_int_equal(ops->exec(inst, in(5000), "t1", &ex), VC_OK);
    vc_sink *sink = fakehost_sink();
    assert_int_equal(iops->save(inst, in(1000), sink), VC_OK);
    const char *text = fakehost_sink_text(sink);
    assert_int_equal(iops->restore(&fh.host, in(1000), fakehost_config(&fh), "pod1", 1,
                                   (struct vc_bytes){ text, strlen(text) }, &other),
                     VC_OK);
    fakehost_sink_free(sink);
    static const char *const exec[] = { NULL, "e1" };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ops->stdio(other, in(5000), "t1", exec[i], fds), VC_OK);
        assert_true(fds[0] >= 0 && fds[1] >= 0);
        assert_int_equal(fds[2], -1);
        close(fds[0]);
        close(fds[1]);
    }
    iops->close(other);
    assert_int_equal(fake_agent_seen(agent, "ReadStderr", 0), 0);
}

/* ---- state, reports, network ---- */

static void test_bad_state(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "[]",
                                       "{}",
                                       "{\"uri\":1,\"destroyed\":false,\"tty\":[]}",
                                       "{\"uri\":null",
                                       "\xff\xfe",
                                       "{\"uri\":null,\"destroyed\":false,\"tty\":[1]}",
                                       "{\"uri\":null,\"destroyed\":0,\"tty\":[]}" };
    vc_inst *other = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(iops->restore(&fh.host, in(1000), fakehost_config(&fh), "pod1", 1,
                                       (struct vc_bytes){ bad[i], strlen(bad[i]) }, &other),
                         VC_E_CORRUPT);
    assert_int_equal(
        iops->restore(&fh.host, in(1000), fakehost_config(&fh), "pod1", 2, (struct vc_bytes){ "{}", 2 }, &other),
        VC_E_UNSUPPORTED);
    assert_null(other);
    uint32_t health = 0;
    assert_int_equal(iops->check(inst, in(1000), &health), VC_OK);
    assert_int_equal(health, VC_HEALTH_GONE);
    connect_agent();
    assert_int_equal(iops->check(inst, in(1000), &health), VC_OK);
    assert_int_equal(health, VC_HEALTH_OK);
    assert_int_equal(iops->cleanup(inst, in(1000)), VC_OK);
    assert_int_equal(iops->cleanup(inst, in(1000)), VC_OK);
}

static void report(int (*fn)(vc_inst *, const struct vc_call *, const char *, vc_sink *), int want, const char *text)
{
    vc_sink *sink = fakehost_sink();
    assert_int_equal(fn(inst, in(5000), "c1", sink), want);
    if (text)
        assert_string_equal(fakehost_sink_text(sink), text);
    fakehost_sink_free(sink);
}

static void list_is(const char *json, int want, const char *text)
{
    unsigned char payload[256];
    payload[0] = 0x0a;
    payload[1] = (unsigned char)strlen(json);
    memcpy(payload + 2, json, strlen(json));
    fake_agent_payload(agent, "ListProcesses", payload, strlen(json) + 2);
    report(ops->ps, want, text);
}

static void test_reports(void **state)
{
    (void)state;
    connect_agent();
    list_is("[{\"pid\":5,\"ppid\":1,\"uid\":0,\"cmd\":\"a\\u001bb\",\"x\":1}]", VC_OK,
            "[{\"pid\":5,\"ppid\":1,\"uid\":0,\"cmd\":\"a?b\"}]");
    list_is("[{\"pid\":5,\"comm\":\"a\\u001bb\",\"cmd\":\"c\"},{\"pid\":6,\"comm\":7}]", VC_OK,
            "[{\"pid\":5,\"comm\":\"a?b\",\"cmd\":\"c\"},{\"pid\":6}]");
    list_is("[3,4]", VC_OK, "[{\"pid\":3},{\"pid\":4}]");
    list_is("[]", VC_OK, "[]");
    list_is("{}", VC_E_PROTOCOL, NULL);
    list_is("[\"x\"]", VC_E_PROTOCOL, NULL);
    list_is("[{\"ppid\":1}]", VC_E_PROTOCOL, NULL);
    list_is("[[[[[[[[[[]]]]]]]]]]", VC_E_PROTOCOL, NULL);
    report(ops->stats, VC_OK, "{\"network_interfaces\":[]}");
    static const unsigned char stats[] = { 0x0a, 0x08, 0x0a, 0x02, 0x0a, 0x00, 0x1a, 0x02, 0x08, 0x05 };
    fake_agent_payload(agent, "StatsContainer", stats, sizeof(stats));
    vc_sink *sink = fakehost_sink();
    assert_int_equal(ops->stats(inst, in(5000), "c1", sink), VC_OK);
    assert_non_null(strstr(fakehost_sink_text(sink), "\"pids\":{\"current\":5,\"limit\":0}"));
    assert_non_null(strstr(fakehost_sink_text(sink), "\"cpu\":{\"usage\":{\"total\":0"));
    fakehost_sink_free(sink);
}

static int net(const char *json)
{
    struct vc_agent_net n = { .size = sizeof(n), .json = { json, strlen(json) } };
    return ops->net_update(inst, in(5000), &n);
}

static void test_net(void **state)
{
    (void)state;
    size_t n = 0;
    connect_agent();
    assert_int_equal(net(""), VC_OK);
    assert_int_equal(net("[]"), VC_E_INVAL);
    assert_int_equal(net("{\"interfaces\":{}}"), VC_E_INVAL);
    assert_int_equal(net("{\"interfaces\":[{\"name\":\"eth0\"}]}"), VC_E_INVAL);
    assert_says("interfaces[0]");
    assert_int_equal(
        net("{\"interfaces\":[{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\",\"mtu\":1400,"
            "\"addresses\":[\"10.0.0.2/24\",\"fd00::2/64\"]}],"
            "\"routes\":[{\"dest\":\"\",\"gateway\":\"10.0.0.1\",\"device\":\"eth0\"}],"
            "\"neighbors\":[{\"address\":\"10.0.0.1\",\"mac\":\"02:00:00:00:00:02\",\"device\":\"eth0\"}]}"),
        VC_OK);
    unsigned char *raw = fake_agent_last(agent, "UpdateInterface", &n);
    Agent__UpdateInterfaceRequest *m = agent__update_interface_request__unpack(NULL, n, raw);
    assert_non_null(m);
    assert_string_equal(m->interface->name, "eth0");
    assert_int_equal(m->interface->mtu, 1400);
    assert_int_equal(m->interface->n_ip_addresses, 2);
    assert_string_equal(m->interface->ip_addresses[0]->address, "10.0.0.2");
    assert_string_equal(m->interface->ip_addresses[0]->mask, "24");
    assert_int_equal(m->interface->ip_addresses[1]->family, TYPES__IPFAMILY__v6);
    agent__update_interface_request__free_unpacked(m, NULL);
    free(raw);
    assert_int_equal(fake_agent_seen(agent, "UpdateRoutes", 1), 1);
    assert_int_equal(fake_agent_seen(agent, "AddARPNeighbors", 1), 1);
}

static void test_rootfs_paths(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "/etc", "..", "a/../b", "a//b", "a/", "./a", "a/.." };
    char spec[512];
    snprintf(spec, sizeof(spec), SPEC, "false");
    connect_agent();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct vc_ctr c = { .size = sizeof(c), .id = "c1", .spec = { spec, strlen(spec) }, .rootfs = bad[i] };
        assert_int_equal(ops->ctr_create(inst, in(5000), &c), VC_E_INVAL);
    }
    assert_int_equal(fake_agent_seen(agent, "CreateContainer", 0), 0);
}

/* ---- templates ---- */

static const char seed[256] = "the bytes of a seed";

static int renew(size_t n)
{
    struct vc_renew r = { .size = sizeof(r), .seed = { seed, n } };
    return ops->renew(inst, in(5000), &r);
}

/* The time in a request is that of the host. */
static void assert_now(int64_t sec, int64_t nsec)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age = (now.tv_sec - sec) * 1000000000 + now.tv_nsec - nsec;
    assert_in_range(nsec, 0, 999999999);
    assert_true(age >= 0 && age < 10000000000);
}

static void test_template(void **state)
{
    (void)state;
    size_t n = 0;
    connect_agent();
    assert_true(iops->caps(inst) & VC_AG_CAP_TEMPLATE);
    assert_true(iops->caps(inst) & VC_AG_CAP_ONLINE);
    for (int exercise = 0; exercise < 2; exercise++) {
        assert_int_equal(ops->settle(inst, in(5000), exercise ? VC_SETTLE_EXERCISE : 0), VC_OK);
        unsigned char *raw = fake_agent_last(agent, "Settle", &n);
        Vccore__SettleRequest *m = vccore__settle_request__unpack(NULL, n, raw);
        assert_non_null(m);
        assert_int_equal(m->exercise, exercise);
        vccore__settle_request__free_unpacked(m, NULL);
        free(raw);
    }
    assert_int_equal(renew(sizeof(seed)), VC_OK);
    unsigned char *raw = fake_agent_last(agent, "Renew", &n);
    Vccore__RenewRequest *m = vccore__renew_request__unpack(NULL, n, raw);
    assert_non_null(m);
    assert_int_equal(m->seed.len, sizeof(seed));
    assert_memory_equal(m->seed.data, seed, sizeof(seed));
    assert_now(m->sec, m->nsec);
    vccore__renew_request__free_unpacked(m, NULL);
    free(raw);
    assert_int_equal(renew(31), VC_E_INVAL);
    assert_says("31");
    assert_int_equal(fake_agent_seen(agent, "ReseedRandomDev", 0), 0);

    assert_int_equal(ops->online(inst, in(5000), 3), VC_OK);
    raw = fake_agent_last(agent, "OnlineCPUMem", &n);
    Agent__OnlineCPUMemRequest *o = agent__online_cpumem_request__unpack(NULL, n, raw);
    assert_non_null(o);
    assert_true(o->wait && o->nb_cpus == 3 && !o->cpu_only);
    agent__online_cpumem_request__free_unpacked(o, NULL);
    free(raw);
    fake_agent_refuse(agent, "OnlineCPUMem", VCS_RPC_DEADLINE, "2 processors are missing");
    assert_int_equal(ops->online(inst, in(5000), 3), VC_E_TIMEOUT);
}

/* Other agents do not know the service, and say so in their ways. */
static void test_template_other_agents(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *text;
    } ways[] = { { VCS_RPC_UNIMPLEMENTED, "service vccore.GuestService" },
                 { VCS_RPC_NOTFOUND, "/vccore.GuestService/Renew is not supported" },
                 { VCS_RPC_INVALID, "/vccore.GuestService/Renew does not exist" } };
    size_t n = 0;
    connect_agent();
    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        fake_agent_refuse(agent, "Settle", ways[i].code, ways[i].text);
        fake_agent_refuse(agent, "Renew", ways[i].code, ways[i].text);
        assert_int_equal(ops->settle(inst, in(5000), 0), VC_OK);
        assert_int_equal(renew(64), VC_OK);
        assert_int_equal(fake_agent_seen(agent, "SetGuestDateTime", i + 1), i + 1);
        unsigned char *raw = fake_agent_last(agent, "ReseedRandomDev", &n);
        Agent__ReseedRandomDevRequest *m = agent__reseed_random_dev_request__unpack(NULL, n, raw);
        assert_non_null(m);
        assert_int_equal(m->data.len, 64);
        assert_memory_equal(m->data.data, seed, 64);
        agent__reseed_random_dev_request__free_unpacked(m, NULL);
        free(raw);
        raw = fake_agent_last(agent, "SetGuestDateTime", &n);
        Agent__SetGuestDateTimeRequest *d = agent__set_guest_date_time_request__unpack(NULL, n, raw);
        assert_non_null(d);
        assert_now(d->sec, d->usec * 1000);
        agent__set_guest_date_time_request__free_unpacked(d, NULL);
        free(raw);
    }
    fake_agent_refuse(agent, "SetGuestDateTime", VCS_RPC_PERM, "not allowed");
    assert_int_equal(renew(64), VC_E_PERM);
    assert_says("SetGuestDateTime");
    /* A failure is none of these. */
    fake_agent_refuse(agent, "Settle", VCS_RPC_INTERNAL, "no");
    fake_agent_refuse(agent, "Renew", VCS_RPC_INVALID, "a seed of 64 bytes is too short");
    assert_int_equal(ops->settle(inst, in(5000), 0), VC_E_IO);
    assert_int_equal(renew(64), VC_E_INVAL);
    assert_says("too short");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ListProcesses answers with a JSON array of so many of these elements. */
static size_t list_of(const char *element, size_t count, unsigned char *ret)
{
    size_t each = strlen(element) + 1, n = 0; /* with a comma, in the place of the first of which stands the bracket */
    ret[n++] = 0x0a;
    for (size_t v = count * each + 1; v; v >>= 7)
        ret[n++] = (unsigned char)((v & 0x7f) | (v >> 7 ? 0x80 : 0));
    for (size_t k = 0; k < count; k++, n += each) {
        ret[n] = k ? ',' : '[';
        memcpy(ret + n + 1, element, each - 1);
    }
    ret[n++] = ']';
    return n;
}

/* Many processes with long command lines are cut, so that all are told of: hosts take 1 MiB of text. */
static void test_long_list(void **state)
{
    (void)state;
    enum { N = 1500, LONG = 900 };
    char element[LONG + 64];
    vcs_autofree unsigned char *big = calloc(N, LONG + 80);
    assert_non_null(big);
    snprintf(element, sizeof(element), "{\"pid\":7,\"comm\":\"sleep\",\"cmd\":\"%0*d\"}", LONG, 0);
    connect_agent();
    fake_agent_payload(agent, "ListProcesses", big, list_of(element, N, big));
    vc_sink *sink = fakehost_sink();
    assert_int_equal(ops->ps(inst, in(60000), "c1", sink), VC_OK);
    const char *text = fakehost_sink_text(sink);
    size_t found = 0;
    for (const char *p = text; (p = strstr(p, "{\"pid\":7,\"comm\":\"sleep\",\"cmd\":\"000")); p++)
        found++;
    assert_int_equal(found, N);
    assert_in_range(strlen(text), N * 100, 1000000);
    fakehost_sink_free(sink);
}

/* Few bytes that grow: an element of a list takes hundreds of bytes once it is read.  A guest must not be able to make
 * its host take more than some MiB. */
static void test_growth(void **state)
{
    (void)state;
    static const char *const elements[] = { "{}", "[]", "1", "{\"pid\":1}" };
    enum { SIZE = 3000000 };
    struct rusage before, after;
    vcs_autofree unsigned char *big = calloc(1, SIZE + 16);
    assert_non_null(big);
    connect_agent();
    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < sizeof(elements) / sizeof(elements[0]); i++) {
        fake_agent_payload(agent, "ListProcesses", big, list_of(elements[i], SIZE / (strlen(elements[i]) + 1), big));
        report(ops->ps, VC_E_PROTOCOL, NULL);
    }
    for (size_t n = 0; n < SIZE; n += 2) { /* empty network_stats */
        big[n] = 0x12;
        big[n + 1] = 0;
    }
    fake_agent_payload(agent, "StatsContainer", big, SIZE);
    report(ops->stats, VC_E_PROTOCOL, NULL);
    assert_says("more memory than is allowed");
    connect_agent(); /* such a guest has lost its connection */
    fake_agent_payload(agent, "StatsContainer", big, 50000);
    report(ops->stats, VC_E_PROTOCOL, NULL);
    getrusage(RUSAGE_SELF, &after);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    if (after.ru_maxrss - before.ru_maxrss > 60 * 1024)
        fail_msg("it took %ld KiB", after.ru_maxrss - before.ru_maxrss);
#endif
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_life),           T(test_bytewise),
        T(test_bad_uris),       T(test_silent),
        T(test_oversized),      T(test_truncated),
        T(test_alien),          T(test_dying),
        T(test_stuck),          T(test_bad_payload),
        T(test_twice),          T(test_refusals),
        T(test_late),           T(test_deadline_passed),
        T(test_deaf),
        T(test_parallel_waits), T(test_cancel),
        T(test_vsock_silent),
        T(test_guest_dies),     T(test_disconnect_ends_waits),
        T(test_echo),           T(test_reader_gone),
        T(test_stream_ends),    T(test_hostile_streams),
        T(test_terminal),       T(test_bad_state),
        T(test_reports),        T(test_net),
        T(test_rootfs_paths),   T(test_growth),         T(test_long_list),
        T(test_template),       T(test_template_other_agents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
