/* SPDX-License-Identifier: Apache-2.0 */
/* test-qemu-qmp.c: the QMP client and the plugging of devices against a scripted QEMU, whose lines were recorded from
 * QEMU 7.2: replies, errors, garbage, too much, silence, single bytes. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include <vc/hypervisor.h>

#include "fakes/fake-qmp.h"
#include "hypervisor/qemu/qemu.h"
#include "hypervisor/qemu/qmp.h"
#include "lib/io.h"
#include "unit/fakehost.h"

static struct fakehost fh;
static char path[128];
static struct fake_qmp *fake;

static int setup(void **state)
{
    (void)state;
    if (fakehost_init(&fh, NULL, NULL) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/run/qmp.sock", fh.dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fakehost_done(&fh);
    return 0;
}

static void play(const char *const *script)
{
    fake = fake_qmp_start(path, script);
    assert_non_null(fake);
}

static void done(void)
{
    const char *failure = fake_qmp_stop(fake);

    if (failure)
        fail_msg("%s", failure);
}

/* Open, run one command, close; the result. */
static int one(const char *command, int ms, json_object **ret)
{
    struct vc_call call = fakehost_call(&fh, ms);
    struct qmp c;
    int r = qmp_open(&c, &fh.host, &call, path, -1, call.deadline_ns);

    if (r < 0)
        return r;
    r = qmp_run(&c, command, NULL, NULL, 0, ret);
    qmp_close(&c);
    return r;
}

static int status(uint32_t *state)
{
    struct vc_call call = fakehost_call(&fh, 5000);
    struct qmp c;
    int r = qmp_open(&c, &fh.host, &call, path, -1, call.deadline_ns);

    if (r == 0) {
        r = qmp_status(&c, state);
        qmp_close(&c);
    }
    return r;
}

#define RUNNING "S {\"return\": {\"status\": \"running\", \"singlestep\": false, \"running\": true}, \"id\": @}"
#define RESUME  "S {\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"RESUME\"}"

static void test_answer(void **state)
{
    static const char *const script[] = { "A", "C \"execute\":\"query-status\"", RUNNING, "W", NULL };
    static const char *const slow[] = { "B", "A", "C query-status", RESUME, RUNNING, "W", NULL };
    uint32_t s = 99;

    (void)state;
    play(script);
    assert_int_equal(status(&s), 0);
    assert_int_equal(s, VC_VM_RUNNING);
    done();
    s = 99;
    play(slow);
    assert_int_equal(status(&s), 0);
    assert_int_equal(s, VC_VM_RUNNING);
    done();
}

static void test_states(void **state)
{
    static const struct {
        const char *word;
        int result;
        uint32_t state;
    } cases[] = {
        { "paused", 0, VC_VM_PAUSED },          { "prelaunch", 0, VC_VM_PAUSED },
        { "guest-panicked", 0, VC_VM_STOPPED }, { "internal-error", 0, VC_VM_STOPPED },
        { "shutdown", 0, VC_VM_STOPPED },       { "on-holiday", VC_E_PROTOCOL, 99 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[128];
        const char *script[] = { "A", "C query-status", line, "W", NULL };
        uint32_t s = 99;

        snprintf(line, sizeof(line), "S {\"return\": {\"status\": \"%s\"}, \"id\": @}", cases[i].word);
        play(script);
        assert_int_equal(status(&s), cases[i].result);
        assert_int_equal(s, cases[i].state);
        done();
    }
}

/* QEMU's own words reach the caller. */
static void test_error(void **state)
{
    static const char *const script[] = {
        "A", "C cont", "S {\"id\": @, \"error\": {\"class\": \"GenericError\", \"desc\": \"Node node-rp0 is in use\"}}",
        "W", NULL
    };
    static const char *const gone[] = {
        "A", "C device_del",
        "S {\"id\": @, \"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"Device 'nope' not found\"}}", "W", NULL
    };

    (void)state;
    play(script);
    assert_int_equal(one("cont", 5000, NULL), VC_E_IO);
    assert_non_null(strstr(fh.err.text, "Node node-rp0 is in use"));
    assert_non_null(strstr(fh.err.text, "cont"));
    done();
    play(gone);
    assert_int_equal(one("device_del", 5000, NULL), VC_E_NOTFOUND);
    assert_non_null(strstr(fh.err.text, "'nope'"));
    done();
}

/* What is not allowed is a protocol error, whatever it is. */
static void test_garbage(void **state)
{
    static const char *const bad[] = {
        "S ",
        "S hello",
        "S []",
        "S 7",
        "S {\"return\": {}",
        "S {\"return\": {}} {\"x\": 1}",
        "S {\"return\": {}, \"id\": 99}",
        "S {\"return\": {}}",
        "S {\"id\": @}",
        "S {\"return\": {}, \"id\": \"@\"}",
        "S {\"error\": \"x\", \"id\": 77}",
        "S [[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]",
        "S \303\050",
        "G 1200000",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *script[] = { "A", "C stop", bad[i], "W", NULL };
        int r;

        play(script);
        r = one("stop", 5000, NULL);
        if (r != VC_E_PROTOCOL)
            fail_msg("%s: %d: %s", bad[i], r, fh.err.text);
        assert_true(fh.err.text[0]);
        done();
    }
}

static void test_bad_greeting(void **state)
{
    static const char *const bad[] = { "S {\"hello\": 1}", "S {\"QMP\": 3}", "S SSH-2.0-OpenSSH", "G 1200000" };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *script[] = { "a", bad[i], "W", NULL };

        play(script);
        assert_int_equal(one("stop", 5000, NULL), VC_E_PROTOCOL);
        done();
    }
}

static void test_silence(void **state)
{
    static const char *const no_greeting[] = { "a", "W", NULL };
    static const char *const no_answer[] = { "A", "C stop", RESUME, "W", NULL };
    int64_t t;

    (void)state;
    play(no_greeting);
    t = vcs_now_ns();
    assert_int_equal(one("stop", 100, NULL), VC_E_TIMEOUT);
    assert_in_range(vcs_now_ns() - t, 90000000, 3000000000);
    done();
    play(no_answer);
    assert_int_equal(one("stop", 100, NULL), VC_E_TIMEOUT);
    done();
}

/* One that does not stop talking is not listened to for longer than one that says nothing. */
static void test_flood(void **state)
{
    static const char *const script[] = { "A", "C stop", "E 1000000", NULL };
    int64_t t;

    (void)state;
    play(script);
    t = vcs_now_ns();
    assert_int_equal(one("stop", 200, NULL), VC_E_TIMEOUT);
    assert_in_range(vcs_now_ns() - t, 190000000, 2000000000);
    assert_non_null(strstr(fh.err.text, "no answer in time"));
    done();
}

static void test_gone(void **state)
{
    static const char *const at_once[] = { "a", "X", NULL };
    static const char *const later[] = { "A", "C stop", "R {\"return\"", "X", NULL };

    (void)state;
    assert_int_equal(one("stop", 1000, NULL), VC_E_PEER); /* there is no socket */
    assert_non_null(strstr(fh.err.text, path));
    play(at_once);
    assert_int_equal(one("stop", 5000, NULL), VC_E_PEER);
    done();
    play(later);
    assert_int_equal(one("stop", 5000, NULL), VC_E_PEER);
    done();
    assert_int_equal(one("stop", 1000, NULL), VC_E_PEER); /* a socket that nobody serves */
}

static void test_cancel(void **state)
{
    static const char *const script[] = { "A", "C stop", "W", NULL };
    int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    struct vc_call call = fakehost_call(&fh, 5000);
    struct qmp c;
    uint64_t n;

    (void)state;
    assert_true(fd >= 0);
    play(script);
    assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
    assert_int_equal(qmp_open(&c, &fh.host, &call, path, fd, call.deadline_ns), 0);
    assert_int_equal(write(fd, &n, sizeof(n)), sizeof(n));
    assert_int_equal(qmp_run(&c, "stop", NULL, NULL, 0, NULL), VC_E_CANCELLED);
    qmp_close(&c);
    done();
    close(fd);
}

/* ---- devices ---- */

static struct qemu make_vm(void)
{
    static char run[128];
    struct qemu q = { .host = &fh.host, .cancel_fd = -1, .netns_fd = -1 };

    snprintf(run, sizeof(run), "%s/run", fh.dir);
    q.run = run;
    q.config.root_ports = 1;
    return q;
}

/* A disk whose device is refused: its block node is taken back, and the slot is free again. */
static void test_undo(void **state)
{
    static const char *const script[] = {
        "A",
        "C query-named-block-nodes",
        "S {\"return\": [{\"node-name\": \"other\"}], \"id\": @}",
        "C \"add-fd\"",
        "F /proc/self/exe",
        "S {\"return\": {\"fdset-id\": 0, \"fd\": 12}, \"id\": @}",
        "C blockdev-add",
        "S {\"return\": {}, \"id\": @}",
        "C \"arguments\":{\"fdset-id\":0}",
        "S {\"return\": {}, \"id\": @}",
        "C \"drive\":\"node-rp0\"",
        "S {\"id\": @, \"error\": {\"class\": \"GenericError\", \"desc\": \"Bus 'rp0' not found\"}}",
        "W",
        "A",
        "C device_del",
        "S {\"id\": @, \"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"Device 'dev-rp0' not found\"}}",
        "C query-named-block-nodes",
        "S {\"return\": [{\"node-name\": \"other\"}, {\"node-name\": \"node-rp0\"}], \"id\": @}",
        "C \"blockdev-del\"",
        "S {\"return\": {}, \"id\": @}",
        "W",
        NULL
    };
    struct vc_device d = {
        .size = sizeof(d), .type = VC_DEV_BLOCK, .id = "a", .path = "/proc/self/exe", .flags = VC_DEV_READONLY
    };
    struct vc_device_result out = { .size = sizeof(out) };
    struct qemu q = make_vm();
    struct vc_call call = fakehost_call(&fh, 5000);

    (void)state;
    play(script);
    assert_int_equal(qemu_plug(&q, &call, &d, &out), VC_E_IO);
    assert_non_null(strstr(fh.err.text, "Bus 'rp0' not found"));
    assert_string_equal(out.guest_addr, "");
    assert_int_equal(q.devices[0].type, 0);
    done();
}

/* QEMU gets the very file that was looked at, by descriptor, whatever stands at its path by then; and as a raw one, with
 * the driver of its type, for reading only or for both. */
static void test_disk_by_descriptor(void **state)
{
    char at[160], away[160], other[160], moved[200];
    const char *const script[] = {
        "A",
        "C query-named-block-nodes",
        "S {\"return\": [{\"node-name\": null}, {\"node-name\": 7}, null, 7], \"id\": @}",
        "C \"add-fd\"",
        moved,
        "S {\"return\": {\"fdset-id\": 7, \"fd\": 12}, \"id\": @}",
        "C \"arguments\":{\"driver\":\"raw\",\"node-name\":\"node-rp0\",\"read-only\":false,"
        "\"file\":{\"driver\":\"file\",\"filename\":\"\\/dev\\/fdset\\/7\",\"read-only\":false}}",
        "S {\"return\": {}, \"id\": @}",
        "C \"arguments\":{\"fdset-id\":7}",
        "S {\"id\": @, \"error\": {\"class\": \"GenericError\", \"desc\": \"File descriptor named 'fdset-id:7' not found\"}}",
        "C \"drive\":\"node-rp0\"",
        "S {\"return\": {}, \"id\": @}",
        "W",
        NULL
    };
    struct vc_device d = { .size = sizeof(d), .type = VC_DEV_BLOCK, .id = "a", .path = at };
    struct vc_device_result out = { .size = sizeof(out) };
    struct vc_call call = fakehost_call(&fh, 5000);

    (void)state;
    snprintf(at, sizeof(at), "%s/disk.img", fh.dir);
    snprintf(away, sizeof(away), "%s/disk.away", fh.dir);
    snprintf(other, sizeof(other), "%s/other.img", fh.dir);
    for (int by_host = 0; by_host < 2; by_host++) {
        struct qemu q = make_vm();
        int32_t fd = open(at, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        int second = open(other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0 && second >= 0);
        snprintf(moved, sizeof(moved), "F %s", by_host ? away : at);
        if (by_host) { /* it was checked; then somebody puts another one there */
            assert_int_equal(rename(at, away), 0);
            assert_int_equal(rename(other, at), 0);
            d.fds = &fd;
            d.n_fds = 1;
        }
        play(script);
        if (qemu_plug(&q, &call, &d, &out))
            fail_msg("%s", fh.err.text);
        assert_string_equal(out.guest_addr, "10/00");
        assert_string_equal(fh.err.text, "");
        done();
        assert_true(fcntl(fd, F_GETFD) >= 0); /* it stays the caller's */
        close(fd);
        close(second);
    }
}

/* Descriptors that are no disk, or not opened as the flags say: QEMU is not even asked. */
static void test_wrong_descriptor(void **state)
{
    static const char *const script[] = {
        "A", "C query-named-block-nodes", "S {\"return\": [], \"id\": @}", "W", "A", "C device_del",
        "S {\"id\": @, \"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"Device 'dev-rp0' not found\"}}",
        "C query-named-block-nodes", "S {\"return\": [], \"id\": @}", "W", NULL
    };
    static const struct {
        const char *path;
        int mode;
        uint64_t flags;
        const char *words;
    } cases[] = {
        { "/dev/null", O_RDWR, 0, "neither a file nor a block device" },
        { "/proc/self/exe", O_RDONLY, 0, "not opened for reading and writing" },
        { "/dev/null", O_RDWR, VC_DEV_READONLY, "not opened for reading only" },
        { "/proc/self/exe", O_PATH, VC_DEV_READONLY, "not opened for reading only" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct qemu q = make_vm();
        struct vc_call call = fakehost_call(&fh, 5000);
        int32_t fd = open(cases[i].path, cases[i].mode | O_CLOEXEC);
        struct vc_device d = { .size = sizeof(d), .type = VC_DEV_BLOCK, .id = "a", .path = "/dev/null",
                               .flags = cases[i].flags, .fds = &fd, .n_fds = 1 };

        assert_true(fd >= 0);
        play(script);
        assert_int_equal(qemu_plug(&q, &call, &d, NULL), VC_E_INVAL);
        assert_non_null(strstr(fh.err.text, cases[i].words));
        assert_int_equal(q.devices[0].type, 0);
        done();
        close(fd);
    }
}

/* The guest may take its time, refuse, or never answer; the event may come before the reply. */
static void test_unplug(void **state)
{
#define DELETED                                                                                                        \
    "S {\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"DEVICE_DELETED\", "                         \
    "\"data\": {\"device\": \"dev-rp0\", \"path\": \"/machine/peripheral/dev-rp0\"}}"
#define OTHER "S {\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"dev-rp1\", \"path\": \"/x\"}}"
#define NODES                                                                                                          \
    "C query-named-block-nodes", "S {\"return\": [{\"node-name\": \"node-rp0\"}], \"id\": @}", "C blockdev-del",       \
        "S {\"return\": {}, \"id\": @}"
    static const char *const after[] = {
        "A", "C device_del", "S {\"return\": {}, \"id\": @}", OTHER, DELETED, NODES, "W", NULL
    };
    static const char *const before[] = { "A", "C device_del", DELETED, "S {\"return\": {}, \"id\": @}", NODES, "W",
                                          NULL };
    static const char *const again[] = {
        "A",
        "C device_del",
        "S {\"id\": @, \"error\": {\"class\": \"GenericError\", \"desc\": \"already in the process of unplug\"}}",
        DELETED,
        NODES,
        "W",
        NULL
    };
    static const char *const gone[] = {
        "A",
        "C device_del",
        "S {\"id\": @, \"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"not found\"}}",
        "C query-named-block-nodes",
        "S {\"return\": [], \"id\": @}",
        "W",
        NULL
    };
    static const char *const refused[] = {
        "A",
        "C device_del",
        "S {\"return\": {}, \"id\": @}",
        "S {\"event\": \"DEVICE_UNPLUG_GUEST_ERROR\", \"data\": {\"device\": \"dev-rp0\", \"path\": \"/x\"}}",
        "W",
        NULL
    };
    static const char *const never[] = { "A", "C device_del", "S {\"return\": {}, \"id\": @}", OTHER, "W", NULL };
    static const struct {
        const char *const *script;
        int ms, result;
    } cases[] = {
        { after, 5000, 0 }, { before, 5000, 0 },          { again, 5000, 0 },
        { gone, 5000, 0 },  { refused, 5000, VC_E_BUSY }, { never, 100, VC_E_TIMEOUT },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct qemu q = make_vm();
        struct vc_call call = fakehost_call(&fh, cases[i].ms);

        q.devices[0] = (struct qemu_device){ .type = VC_DEV_BLOCK, .id = "a" };
        play(cases[i].script);
        call.deadline_ns = vcs_now_ns() + (int64_t)cases[i].ms * 1000000;
        assert_int_equal(qemu_unplug(&q, &call, "a"), cases[i].result);
        /* What may still be there stays known. */
        assert_int_equal(q.devices[0].type, cases[i].result == 0 ? 0 : VC_DEV_BLOCK);
        if (cases[i].result == 0)
            assert_string_equal(fh.err.text, "");
        done();
    }
}

/* ---- stored state ---- */

static int load(const char *text, struct qemu *q)
{
    struct vc_call call = fakehost_call(&fh, 1000);

    *q = make_vm();
    return qemu_state_load(q, &call, (struct vc_bytes){ text, strlen(text) });
}

static void unload(struct qemu *q)
{
    qemu_vm_done(&q->vm);
    free(q->netns_path);
}

#define VM                                                                                                             \
    "\"vm\":{\"memory\":268435456,\"max_memory\":268435456,\"vcpus\":1,\"max_vcpus\":1,\"accelerator\":2,\"channel\":1}"

static void test_state(void **state)
{
    static const char good[] =
        "{\"state\":2,\"pid\":77,\"start_ticks\":123," VM ",\"devices\":[{\"port\":3,\"type\":2,\"id\":\"eth0\"}]}";
    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "null",
        "{",
        "{\"state\":9}",
        "{\"state\":3}",
        "{\"state\":-1}",
        "{\"state\":\"2\"}",
        "{\"state\":1}",
        "{\"state\":2," VM "}",
        "{\"state\":1,\"pid\":5," VM "}",
        "{\"state\":2,\"pid\":99999999999," VM "}",
        "{\"state\":1," VM ",\"devices\":{}}",
        "{\"state\":1," VM ",\"devices\":[7]}",
        "{\"state\":1," VM ",\"devices\":[{\"port\":14,\"type\":1,\"id\":\"a\"}]}",
        "{\"state\":1," VM ",\"devices\":[{\"port\":1,\"type\":1,\"id\":\"a/b\"}]}",
        "{\"state\":1," VM ",\"devices\":[{\"port\":1,\"type\":3,\"id\":\"a\"}]}",
        "{\"state\":1," VM ",\"devices\":[{\"port\":1,\"type\":1,\"id\":\"a\"},{\"port\":1,\"type\":1,\"id\":\"b\"}]}",
        "{\"state\":1," VM ",\"devices\":[{\"port\":1,\"type\":1,\"id\":\"a\"},{\"port\":2,\"type\":1,\"id\":\"a\"}]}",
        "{\"state\":1," VM ",\"netns_path\":\"relative\"}",
        "{\"state\":1,\"vm\":7}",
        "{\"state\":1,\"vm\":{}}",
        "{\"state\":1,\"vm\":{\"memory\":268435456,\"max_memory\":268435456,\"vcpus\":1,\"max_vcpus\":1,\"accelerator\":2,"
        "\"channel\":1,\"shared_dir\":\"/a\\u0000b\",\"share_tag\":\"t\"}}",
        "{\"state\":1,\"vm\":{\"memory\":268435456,\"max_memory\":268435456,\"vcpus\":1,\"max_vcpus\":1,\"accelerator\":2,"
        "\"channel\":1,\"shared_dir\":\"/a\",\"share_tag\":\"t,x=y\"}}",
        "{\"state\":1} {}",
    };
    vc_sink *sink = fakehost_sink();
    struct vc_call call = fakehost_call(&fh, 1000);
    struct qemu q, again;

    (void)state;
    assert_int_equal(load(good, &q), 0);
    assert_int_equal(q.proc.pid, 77);
    assert_string_equal(q.devices[3].id, "eth0");
    assert_int_equal(qemu_state_save(&q, &call, sink), 0);
    assert_int_equal(load(fakehost_sink_text(sink), &again), 0);
    assert_memory_equal(&again.proc, &q.proc, sizeof(q.proc));
    assert_memory_equal(again.devices, q.devices, sizeof(q.devices));
    assert_int_equal(again.vm.memory, 256 << 20);
    fakehost_sink_free(sink);
    unload(&q);
    unload(&again);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (load(bad[i], &q) != VC_E_CORRUPT)
            fail_msg("taken: %s", bad[i]);
        assert_true(fh.err.text[0]);
        unload(&q);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_answer), T(test_states), T(test_error), T(test_garbage), T(test_bad_greeting), T(test_silence),
        T(test_flood),  T(test_gone),   T(test_cancel), T(test_undo),  T(test_unplug),
        T(test_disk_by_descriptor), T(test_wrong_descriptor),  T(test_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
