/* SPDX-License-Identifier: Apache-2.0 */
/* test-qemu-vm.c: the qemu plugin with a real QEMU: start, questions, pause, plugging, the ways to end, and nothing
 * left.
 *
 * Boots the guest of `make guest` (VC_BUILD_DIR/guest, or the directory in VC_TEST_GUEST) by emulation over a serial
 * port, or as VC_TEST_ACCEL and VC_TEST_CHANNEL say.  VC_TEST_FILTER: only tests whose names match. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include <vc/template.h>

#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/proc.h"
#include "lib/ttrpc.h"
#include "unit/fakehost.h"

static const struct vc_plugin *plugin;
static const struct vc_hypervisor_ops *ops;
static const struct vc_template_ops *templates;
static char kernel[4096], initrd[4096];
static const char *accel = "tcg", *channel = "serial";
static const char *more_config[2]; /* an option for the VMs that are opened next; NULL = none */

struct vm {
    struct fakehost fh;
    const char *config[16];
    char share[128];
    vc_inst *inst;
};

#define OK(vm, expr)                                                                                                   \
    do {                                                                                                               \
        struct vc_call call = fakehost_call(&(vm)->fh, 300000);                                                         \
        int r_ = (expr);                                                                                               \
        if (r_ != VC_OK)                                                                                               \
            fail_msg("%s: %d: %s", #expr, r_, (vm)->fh.err.text);                                                      \
    } while (0)

#define FAILS(vm, ms, code, expr)                                                                                      \
    do {                                                                                                               \
        struct vc_call call = fakehost_call(&(vm)->fh, ms);                                                            \
        assert_int_equal(expr, code);                                                                                  \
        assert_true((vm)->fh.err.text[0]);                                                                             \
    } while (0)

static char *text_of(vc_sink *sink)
{
    char *s = strdup(fakehost_sink_text(sink));

    fakehost_sink_free(sink);
    return s;
}

static void vm_open(struct vm *vm)
{
    const char *const config[] = { "kernel",  kernel,  "initrd",       initrd,         "accelerator", accel,
                                   "channel", channel, more_config[0], more_config[1], NULL };

    memset(vm, 0, sizeof(*vm));
    memcpy(vm->config, config, sizeof(config));
    assert_int_equal(fakehost_init(&vm->fh, plugin, vm->config), 0);
    snprintf(vm->share, sizeof(vm->share), "%s/share", vm->fh.dir);
    assert_int_equal(mkdir(vm->share, 0700), 0);
    OK(vm, plugin->inst->create(&vm->fh.host, &call, fakehost_config(&vm->fh), "pod1", &vm->inst));
}

/* A described VM; 0 = as configured. */
static void vm_describe(struct vm *vm, uint64_t memory, uint32_t vcpus)
{
    struct vc_vm_config config = {
        .size = sizeof(config),
        .netns_fd = -1,
        .shared_dir = vm->share,
        .share_tag = "share",
        .memory = memory,
        .vcpus = vcpus,
    };

    vm_open(vm);
    OK(vm, ops->vm_create(vm->inst, &call, &config));
}

static void vm_boot(struct vm *vm)
{
    vm_describe(vm, 0, 0);
    OK(vm, ops->vm_start(vm->inst, &call));
}

/* Write the state, forget the instance, make it again: as another process would. */
static char *vm_save(struct vm *vm)
{
    vc_sink *sink = fakehost_sink();

    OK(vm, plugin->inst->save(vm->inst, &call, sink));
    return text_of(sink);
}

/* Another process, with what was saved then; the text is freed. */
static void vm_restore(struct vm *vm, char *state)
{
    plugin->inst->close(vm->inst);
    vm->inst = NULL;
    OK(vm, plugin->inst->restore(&vm->fh.host, &call, fakehost_config(&vm->fh), "pod1", plugin->state_version,
                                 (struct vc_bytes){ state, strlen(state) }, &vm->inst));
    free(state);
}

static void vm_reopen(struct vm *vm)
{
    vm_restore(vm, vm_save(vm));
}

static struct vc_proc vm_proc(struct vm *vm)
{
    vc_sink *sink = fakehost_sink();
    struct vc_bytes bytes;
    struct vc_proc p = { 0 };

    OK(vm, ops->pids(vm->inst, &call, sink));
    vm->fh.host.sink_bytes(&vm->fh.host, sink, &bytes);
    assert_true(bytes.len == 0 || bytes.len == sizeof(p));
    if (bytes.len)
        memcpy(&p, bytes.data, sizeof(p));
    fakehost_sink_free(sink);
    return p;
}

static uint32_t vm_state(struct vm *vm)
{
    uint32_t state = 99;

    OK(vm, ops->vm_state(vm->inst, &call, &state));
    return state;
}

static void assert_empty_run(struct vm *vm)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/run", vm->fh.dir);
    assert_int_equal(rmdir(path), 0); /* fails unless it is empty */
}

/* cleanup, close, and no trace in the run directory, the ledger or the process table. */
static void vm_close(struct vm *vm)
{
    struct vc_proc p = vm_proc(vm);

    OK(vm, plugin->inst->cleanup(vm->inst, &call));
    OK(vm, plugin->inst->cleanup(vm->inst, &call));
    assert_false(p.pid && vcs_proc_alive(&p));
    plugin->inst->close(vm->inst);
    assert_empty_run(vm);
    assert_int_equal(vm->fh.n_procs, 0);
    assert_int_equal(vm->fh.n_res, 0);
    fakehost_done(&vm->fh);
}

/* The agent answers a call over vsock: its kernel took the connection, and it the request. */
static void await_vsock(struct vm *vm, const char *uri)
{
    struct vcs_buf request = { 0 };
    unsigned cid, port;
    struct pollfd p = { .events = POLLIN };
    char c;
    vcs_autoclose int fd = -1;

    (void)vm;
    assert_int_equal(sscanf(uri, "vsock://%u:%u", &cid, &port), 2);
    fd = vcs_vsock_connect(cid, port, vcs_now_ns() + 300000000000);
    assert_true(fd >= 0);
    assert_non_null(vcs_ttrpc_put_request(&request, 1, "grpc.Health", "Check", 0, 0));
    assert_int_equal(vcs_write_full(fd, vcs_buf_data(&request), request.len), 0);
    vcs_buf_done(&request);
    p.fd = fd;
    if (poll(&p, 1, 300000) != 1)
        fail_msg("the guest at %s did not answer within 300 s", uri);
    assert_int_equal(read(fd, &c, 1), 1);
}

/* Wait until the guest's agent is up: it answers a yamux ping on its port.  A guest that has just been given a host
 * drops what came before it had noticed, so an unanswered ping is sent again. */
static void await_guest(struct vm *vm)
{
    static const unsigned char ping[12] = { 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7 };
    vc_sink *sink = fakehost_sink();
    vcs_autofree char *uri = NULL;
    char c;
    vcs_autoclose int fd = -1;
    struct pollfd p = { .events = POLLIN };
    int answered = 0;

    OK(vm, ops->agent_endpoint(vm->inst, &call, sink));
    uri = text_of(sink);
    if (!strncmp(uri, "vsock:", 6)) {
        await_vsock(vm, uri);
        return;
    }
    assert_int_equal(strncmp(uri, "serial:///", 10), 0);
    fd = vcs_unix_connect(uri + 9);
    assert_true(fd >= 0);
    p.fd = fd;
    for (int i = 0; i < 60 && !answered; i++) {
        assert_int_equal(vcs_write_full(fd, ping, sizeof(ping)), 0);
        answered = poll(&p, 1, 1000);
    }
    assert_int_equal(answered, 1);
    assert_int_equal(read(fd, &c, 1), 1);
}

static void test_life(void **state)
{
    struct vm vm;
    struct vc_proc p;
    uint32_t health = 0;
    int64_t t;

    (void)state;
    vm_boot(&vm);
    assert_int_equal(vm.fh.n_procs, 1);
    assert_int_equal(vm_state(&vm), VC_VM_RUNNING);
    p = vm_proc(&vm);
    assert_true(vcs_proc_alive(&p));
    OK(&vm, plugin->inst->check(vm.inst, &call, &health));
    assert_int_equal(health, VC_HEALTH_OK);
    FAILS(&vm, 5000, VC_E_STATE, ops->vm_start(vm.inst, &call));
    await_guest(&vm);

    /* Another process takes over. */
    vm_reopen(&vm);
    assert_int_equal(vm_state(&vm), VC_VM_RUNNING);
    OK(&vm, ops->vm_pause(vm.inst, &call));
    OK(&vm, ops->vm_pause(vm.inst, &call));
    assert_int_equal(vm_state(&vm), VC_VM_PAUSED);
    vm_reopen(&vm);
    OK(&vm, ops->vm_resume(vm.inst, &call));
    OK(&vm, ops->vm_resume(vm.inst, &call));
    assert_int_equal(vm_state(&vm), VC_VM_RUNNING);

    t = vcs_now_ns();
    OK(&vm, ops->vm_stop(vm.inst, &call, 0));
    print_message("vm_stop took %.1f ms\n", (double)(vcs_now_ns() - t) / 1e6);
    assert_false(vcs_proc_alive(&p));
    OK(&vm, ops->vm_stop(vm.inst, &call, 0));
    assert_int_equal(vm_state(&vm), VC_VM_STOPPED);
    assert_int_equal(vm.fh.n_procs, 0);
    vm_reopen(&vm);
    assert_int_equal(vm_state(&vm), VC_VM_STOPPED);

    /* It can be started again. */
    OK(&vm, ops->vm_start(vm.inst, &call));
    assert_int_equal(vm_state(&vm), VC_VM_RUNNING);
    OK(&vm, ops->vm_stop(vm.inst, &call, VC_STOP_FORCE));
    vm_close(&vm);
}

/* A VMM that was killed is a stopped VM at once, whoever looks, and nothing of it stays. */
static void test_killed(void **state)
{
    struct vm vm;
    struct vc_proc p;
    uint32_t health = 0;

    (void)state;
    vm_boot(&vm);
    p = vm_proc(&vm);
    assert_int_equal(kill(p.pid, SIGKILL), 0);
    assert_int_equal(vcs_proc_wait(&p, vcs_now_ns() + 5000000000, NULL), 0);
    assert_int_equal(vm_state(&vm), VC_VM_STOPPED);
    OK(&vm, plugin->inst->check(vm.inst, &call, &health));
    assert_int_equal(health, VC_HEALTH_GONE);
    assert_int_equal(vm_proc(&vm).pid, 0);
    FAILS(&vm, 5000, VC_E_STATE, ops->vm_pause(vm.inst, &call));
    vm_reopen(&vm);
    assert_int_equal(vm_state(&vm), VC_VM_STOPPED);
    OK(&vm, ops->vm_stop(vm.inst, &call, 0));
    vm_close(&vm);
}

/* QEMU that stands still (stopped by a signal) does not hang anybody: it is killed. */
static void test_frozen(void **state)
{
    struct vm vm;
    struct vc_proc p;
    uint32_t s;

    (void)state;
    vm_boot(&vm);
    p = vm_proc(&vm);
    assert_int_equal(kill(p.pid, SIGSTOP), 0);
    FAILS(&vm, 200, VC_E_TIMEOUT, ops->vm_state(vm.inst, &call, &s));
    OK(&vm, ops->vm_stop(vm.inst, &call, 0));
    assert_false(vcs_proc_alive(&p));
    vm_close(&vm);
}

static int make_tap(void)
{
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (fd >= 0 && ioctl(fd, TUNSETIFF, &ifr) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void test_devices(void **state)
{
    struct vm vm;
    char disk[160];
    struct vc_device_result res = { .size = sizeof(res) };
    struct vc_device d = { .size = sizeof(d), .type = VC_DEV_BLOCK, .id = "0disk", .path = disk };
    struct vc_device n = {
        .size = sizeof(n), .type = VC_DEV_NET, .id = "eth0", .mac = "02:00:00:00:00:01", .n_fds = 1, .queues = 1
    };
    vcs_autoclose int tap = make_tap();
    int32_t fds[1] = { tap };
    int64_t t;

    (void)state;
    assert_true(tap >= 0);
    n.fds = fds;
    vm_boot(&vm);
    await_guest(&vm);
    snprintf(disk, sizeof(disk), "%s/disk", vm.fh.dir);
    FAILS(&vm, 5000, VC_E_NOTFOUND, ops->device_add(vm.inst, &call, &d, &res));
    assert_non_null(strstr(vm.fh.err.text, disk));
    assert_int_equal(vcs_write_file_atomic(AT_FDCWD, disk, kernel, sizeof(kernel), 0600, 0), 0);

    OK(&vm, ops->device_add(vm.inst, &call, &d, &res));
    assert_string_equal(res.guest_addr, "10/00");
    FAILS(&vm, 5000, VC_E_EXISTS, ops->device_add(vm.inst, &call, &d, &res));
    OK(&vm, ops->device_add(vm.inst, &call, &n, &res));
    assert_string_equal(res.guest_addr, "11/00");
    FAILS(&vm, 5000, VC_E_NOTFOUND, ops->device_del(vm.inst, &call, "other"));

    vm_reopen(&vm);
    t = vcs_now_ns();
    OK(&vm, ops->device_del(vm.inst, &call, "0disk"));
    OK(&vm, ops->device_del(vm.inst, &call, "eth0"));
    print_message("two device_del took %.1f ms\n", (double)(vcs_now_ns() - t) / 1e6);
    /* The names are free again, in the plugin and in QEMU. */
    OK(&vm, ops->device_add(vm.inst, &call, &d, &res));
    assert_string_equal(res.guest_addr, "10/00");
    OK(&vm, ops->vm_stop(vm.inst, &call, 0));
    vm_close(&vm);
}

/* bug-15: a caller who is killed before the state with his disk was saved costs neither the disk nor the slot: it is
 * known by its id, and a slot that is free by the record is made so. */
static void test_lost_disk(void **state)
{
    struct vm vm;
    char disk[160], *before;
    struct vc_device_result res = { .size = sizeof(res) };
    struct vc_device d = { .size = sizeof(d), .type = VC_DEV_BLOCK, .id = "lost", .path = disk };

    (void)state;
    vm_boot(&vm);
    await_guest(&vm);
    snprintf(disk, sizeof(disk), "%s/disk", vm.fh.dir);
    assert_int_equal(vcs_write_file_atomic(AT_FDCWD, disk, kernel, sizeof(kernel), 0600, 0), 0);
    for (int i = 0; i < 2; i++) {
        before = vm_save(&vm);
        OK(&vm, ops->device_add(vm.inst, &call, &d, &res));
        assert_string_equal(res.guest_addr, "10/00");
        vm_restore(&vm, before);
        OK(&vm, ops->device_del(vm.inst, &call, "lost"));
        FAILS(&vm, 5000, VC_E_NOTFOUND, ops->device_del(vm.inst, &call, "lost"));
    }
    before = vm_save(&vm);
    OK(&vm, ops->device_add(vm.inst, &call, &d, &res));
    vm_restore(&vm, before);
    d.id = "next";
    OK(&vm, ops->device_add(vm.inst, &call, &d, &res));
    assert_string_equal(res.guest_addr, "10/00");
    FAILS(&vm, 5000, VC_E_NOTFOUND, ops->device_del(vm.inst, &call, "lost"));
    OK(&vm, ops->device_del(vm.inst, &call, "next"));
    OK(&vm, ops->vm_stop(vm.inst, &call, 0));
    vm_close(&vm);
}

/* A start that fails says what QEMU said, and leaves nothing. */
static void test_bad_start(void **state)
{
    struct vm vm;
    struct vc_vm_config config = { .size = sizeof(config), .netns_fd = -1 };

    (void)state;
    memset(&vm, 0, sizeof(vm));
    vm.config[0] = "kernel", vm.config[1] = kernel, vm.config[2] = "initrd", vm.config[3] = initrd;
    vm.config[4] = "accelerator", vm.config[5] = "tcg", vm.config[6] = "cpu", vm.config[7] = "abacus";
    assert_int_equal(fakehost_init(&vm.fh, plugin, vm.config), 0);
    OK(&vm, plugin->inst->create(&vm.fh.host, &call, fakehost_config(&vm.fh), "pod1", &vm.inst));
    OK(&vm, ops->vm_create(vm.inst, &call, &config));
    FAILS(&vm, 5000, VC_E_PEER, ops->vm_start(vm.inst, &call));
    print_message("%s\n", vm.fh.err.text);
    assert_non_null(strstr(vm.fh.err.text, "abacus"));
    assert_int_equal(vm_state(&vm), VC_VM_CREATED);
    assert_int_equal(vm.fh.n_procs, 0);
    vm_close(&vm);
}

/* ---- templates ---- */

static char *key_of(struct vm *vm)
{
    vc_sink *sink = fakehost_sink();

    OK(vm, templates->key(vm->inst, &call, sink));
    return text_of(sink);
}

/* A directory of its own for a template, "" when it cannot be made. */
static void new_dir(char dir[64])
{
    snprintf(dir, 64, "/tmp/vc-test-template.XXXXXX");
    assert_non_null(mkdtemp(dir));
}

/* Make a template in `dir`; its key. */
static char *make_template(const char *dir)
{
    struct vm vm;
    char *key;
    int64_t t;

    vm_describe(&vm, 0, 0);
    key = key_of(&vm);
    OK(&vm, templates->boot(vm.inst, &call, dir));
    assert_int_equal(vm_state(&vm), VC_VM_RUNNING);
    await_guest(&vm);
    t = vcs_now_ns();
    OK(&vm, templates->save(vm.inst, &call, dir));
    print_message("save took %.1f ms\n", (double)(vcs_now_ns() - t) / 1e6);
    assert_int_equal(vm_proc(&vm).pid, 0);
    assert_int_equal(vm_state(&vm), VC_VM_STOPPED);
    vm_close(&vm);
    return key;
}

static void remove_dir(const char *dir)
{
    assert_int_equal(vcs_remove_tree(AT_FDCWD, dir), 0);
}

/* Sum over what the file holds, skipping its holes. */
static uint64_t sum_of(const char *path)
{
    static uint64_t buf[8192];
    vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t at = 0;
    uint64_t sum = 0;
    ssize_t n;

    assert_true(fd >= 0);
    while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(fd, at, SEEK_HOLE);

        for (; at < end; at += n) {
            n = pread(fd, buf, sizeof(buf), at);
            assert_true(n > 0 && n % 8 == 0);
            for (ssize_t i = 0; i < n / 8; i++)
                if (buf[i]) /* a file of a tmpfs gets pages by being read */
                    sum = (sum ^ buf[i] ^ (uint64_t)(at + 8 * i)) * UINT64_C(0x100000001b3);
        }
    }
    return sum;
}

struct starter {
    struct vm vm;
    const char *dir;
    int r;
    int64_t ns;
    struct vc_template_started started;
};

static void *start_one(void *arg)
{
    struct starter *s = arg;
    struct vc_call call = fakehost_call(&s->vm.fh, 300000);
    int64_t t = vcs_now_ns();

    s->started.size = sizeof(s->started);
    s->r = templates->start(s->vm.inst, &call, s->dir, &s->started);
    s->ns = vcs_now_ns() - t;
    return NULL;
}

/* Three at once from one template, whose files stay as they are, and which may go while they run. */
static void test_template(void **state)
{
    enum { N = 3 };
    static struct starter s[N];
    pthread_t threads[N];
    char dir[64], moved[80], path[96], *key, *again;
    struct stat before, after;
    uint64_t sum;
    int64_t t;

    (void)state;
    new_dir(dir);
    key = make_template(dir);
    snprintf(moved, sizeof(moved), "%s.moved", dir);
    assert_int_equal(rename(dir, moved), 0);
    snprintf(path, sizeof(path), "%s/memory", moved);
    assert_int_equal(stat(path, &before), 0);
    sum = sum_of(path);
    assert_int_equal(before.st_mode & 07777, 0600);
    for (int i = 0; i < N; i++) {
        vm_describe(&s[i].vm, 0, 0);
        again = key_of(&s[i].vm);
        assert_string_equal(again, key);
        free(again);
        OK(&s[i].vm, templates->valid(s[i].vm.inst, &call, (struct vc_bytes){ key, strlen(key) }));
        s[i].dir = moved;
        assert_int_equal(pthread_create(&threads[i], NULL, start_one, &s[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        if (s[i].r)
            fail_msg("start %d: %d: %s", i, s[i].r, s[i].vm.fh.err.text);
        print_message("start took %.1f ms\n", (double)s[i].ns / 1e6);
        assert_int_equal(vm_state(&s[i].vm), VC_VM_RUNNING);
        assert_int_equal(s[i].started.added_vcpus, 0);
        assert_int_equal(s[i].started.added_memory, 0);
    }
    for (int i = 0; i < N; i++)
        await_guest(&s[i].vm);
    assert_int_equal(stat(path, &after), 0);
    assert_memory_equal(&after.st_mtim, &before.st_mtim, sizeof(before.st_mtim));
    assert_true(sum_of(path) == sum);

    remove_dir(moved);
    for (int i = 0; i < N; i++) {
        vm_reopen(&s[i].vm);
        OK(&s[i].vm, ops->vm_pause(s[i].vm.inst, &call));
        assert_int_equal(vm_state(&s[i].vm), VC_VM_PAUSED);
        OK(&s[i].vm, ops->vm_resume(s[i].vm.inst, &call));
        await_guest(&s[i].vm);
        t = vcs_now_ns();
        OK(&s[i].vm, ops->vm_stop(s[i].vm.inst, &call, VC_STOP_FORCE));
        print_message("forced vm_stop took %.1f ms\n", (double)(vcs_now_ns() - t) / 1e6);
        vm_close(&s[i].vm);
    }
    free(key);
}

/* A pod that wants more gets it at the start, and more again later; disks and cards come as ever. */
static void test_grow(void **state)
{
    static struct starter s;
    char dir[64], disk[160], *key;
    struct vc_resize want = { .size = sizeof(want) }, got = { .size = sizeof(got) };
    struct vc_device_result res = { .size = sizeof(res) };
    struct vc_device d = { .size = sizeof(d), .type = VC_DEV_BLOCK, .id = "disk", .path = disk };

    (void)state;
    new_dir(dir);
    free(make_template(dir));
    vm_describe(&s.vm, UINT64_C(500) << 20, 2);
    key = key_of(&s.vm);
    free(key);
    s.dir = dir;
    start_one(&s);
    if (s.r)
        fail_msg("%d: %s", s.r, s.vm.fh.err.text);
    print_message("start took %.1f ms\n", (double)s.ns / 1e6);
    assert_int_equal(s.started.added_memory, UINT64_C(256) << 20);
    assert_int_equal(s.started.added_vcpus, 1);
    await_guest(&s.vm);
    vm_reopen(&s.vm);

    want.memory = UINT64_C(640) << 20;
    OK(&s.vm, ops->resize(s.vm.inst, &call, &want, &got));
    assert_int_equal(got.memory, UINT64_C(640) << 20);
    assert_int_equal(got.vcpus, 2);
    want = (struct vc_resize){ .size = sizeof(want), .vcpus = 1 };
    FAILS(&s.vm, 5000, VC_E_UNSUPPORTED, ops->resize(s.vm.inst, &call, &want, &got));
    want.vcpus = 200;
    FAILS(&s.vm, 5000, VC_E_RESOURCE, ops->resize(s.vm.inst, &call, &want, &got));
    want = (struct vc_resize){ .size = sizeof(want), .memory = UINT64_C(256) << 20 };
    FAILS(&s.vm, 5000, VC_E_UNSUPPORTED, ops->resize(s.vm.inst, &call, &want, &got));
    want.memory = UINT64_C(1) << 41;
    FAILS(&s.vm, 5000, VC_E_RESOURCE, ops->resize(s.vm.inst, &call, &want, &got));

    snprintf(disk, sizeof(disk), "%s/disk", s.vm.fh.dir);
    assert_int_equal(vcs_write_file_atomic(AT_FDCWD, disk, kernel, sizeof(kernel), 0600, 0), 0);
    OK(&s.vm, ops->device_add(s.vm.inst, &call, &d, &res));
    assert_string_equal(res.guest_addr, "10/00");
    OK(&s.vm, ops->device_del(s.vm.inst, &call, "disk")); /* only a guest that runs gives it up */
    await_guest(&s.vm);
    vm_close(&s.vm);
    remove_dir(dir);
}

static void damage(const char *dir, const char *name, off_t cut, off_t at)
{
    char path[96];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    if (cut >= 0)
        assert_int_equal(ftruncate(fd, cut), 0);
    if (at >= 0)
        assert_int_equal(pwrite(fd, "damage", 6, at), 6);
    close(fd);
}

/* A damaged template is VC_E_CORRUPT with a sentence that names the file, leaves nothing, and the VM can be booted. */
static void test_corrupt(void **state)
{
    static const struct {
        const char *name;
        off_t cut, at; /* -1 = not */
    } cases[] = {
        { "state", 100000, -1 }, { "state", 0, -1 },     { "state", -1, 70000 }, { "memory", 1 << 20, -1 },
        { "memory", 0, -1 },     { "memory", -1, 4096 }, { "info", 10, -1 },     { "info", -1, 30 },
    };
    char dir[64], copy[80], command[256];
    struct vm vm;

    (void)state;
    new_dir(dir);
    free(make_template(dir));
    snprintf(copy, sizeof(copy), "%s.copy", dir);
    vm_describe(&vm, 0, 0);
    snprintf(command, sizeof(command), "cp -a --sparse=always %s %s", dir, copy);
    assert_int_equal(system(command), 0);
    OK(&vm, templates->start(vm.inst, &call, copy, NULL)); /* an exact copy is as good */
    await_guest(&vm);
    OK(&vm, ops->vm_stop(vm.inst, &call, 0));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* Hard links would share what is damaged. */
        snprintf(command, sizeof(command), "rm -rf %s; cp -a --sparse=always %s %s", copy, dir, copy);
        assert_int_equal(system(command), 0);
        damage(copy, cases[i].name, cases[i].cut, cases[i].at);
        FAILS(&vm, 20000, VC_E_CORRUPT, templates->start(vm.inst, &call, copy, NULL));
        print_message("%s\n", vm.fh.err.text);
        assert_non_null(strstr(vm.fh.err.text, copy));
        assert_int_equal(vm.fh.n_procs, 0);
        assert_int_not_equal(vm_state(&vm), VC_VM_RUNNING);
    }
    snprintf(command, sizeof(command), "%s/state", copy);
    assert_int_equal(unlink(command), 0);
    FAILS(&vm, 5000, VC_E_CORRUPT, templates->start(vm.inst, &call, copy, NULL));
    OK(&vm, ops->vm_start(vm.inst, &call));
    vm_close(&vm);
    remove_dir(copy);

    /* Whole, but of a VM with other devices: QEMU itself refuses it. */
    more_config[0] = "root_ports", more_config[1] = "2";
    vm_describe(&vm, 0, 0);
    more_config[0] = NULL;
    FAILS(&vm, 20000, VC_E_CORRUPT, templates->start(vm.inst, &call, dir, NULL));
    print_message("%s\n", vm.fh.err.text);
    assert_int_equal(vm.fh.n_procs, 0);
    vm_close(&vm);
    remove_dir(dir);
}

/* What is no template of this VM, and what changes the key. */
static void test_key(void **state)
{
    static const char *const bad[] = { "", "x\n", "format=vc-qemu-key 1\n", "format=vc-qemu-key 1\nfile.x=1\n" };
    struct vm vm;
    char *key, *other, *p;
    vc_sink *sink = fakehost_sink();

    (void)state;
    vm_describe(&vm, 0, 0);
    key = key_of(&vm);
    print_message("%s", key);
    assert_null(strstr(key, vm.fh.dir)); /* nothing of the pod */
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        FAILS(&vm, 1000, VC_E_STATE, templates->valid(vm.inst, &call, (struct vc_bytes){ bad[i], strlen(bad[i]) }));
    p = strstr(key, "file.initrd=");
    assert_non_null(p);
    p[strlen("file.initrd=")] ^= 1;
    FAILS(&vm, 1000, VC_E_STATE, templates->valid(vm.inst, &call, (struct vc_bytes){ key, strlen(key) }));
    assert_non_null(strstr(vm.fh.err.text, initrd));
    p[strlen("file.initrd=")] ^= 1;
    vm_close(&vm);

    vm_describe(&vm, UINT64_C(384) << 20, 0); /* more is plugged in: the same template */
    other = key_of(&vm);
    assert_string_equal(other, key);
    free(other);
    vm_close(&vm);

    vm_describe(&vm, UINT64_C(128) << 20, 0);
    FAILS(&vm, 1000, VC_E_UNSUPPORTED, templates->key(vm.inst, &call, sink));
    vm_close(&vm);
    fakehost_sink_free(sink);
    free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),    cmocka_unit_test(test_killed),    cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_devices), cmocka_unit_test(test_lost_disk), cmocka_unit_test(test_bad_start),
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_grow),    cmocka_unit_test(test_corrupt),   cmocka_unit_test(test_key),
    };
    const char *filter = getenv("VC_TEST_FILTER");
    const char *build = getenv("VC_BUILD_DIR"), *guest = getenv("VC_TEST_GUEST"), *so = getenv("VC_TEST_PLUGIN");
    char path[4096];

    snprintf(path, sizeof(path), "%s%s",
             so      ? so
             : build ? build
                     : ".",
             so ? "" : "/plugins/hypervisor/qemu/.libs/qemu.so");
    snprintf(kernel, sizeof(kernel), "%s%s/vmlinux", guest ? guest : build ? build : ".", guest ? "" : "/guest");
    snprintf(initrd, sizeof(initrd), "%s%s/vc-initramfs.cpio",
             guest   ? guest
             : build ? build
                     : ".",
             guest ? "" : "/guest");
    plugin = fakehost_load(path);
    if (!plugin)
        return 1;
    ops = plugin->ops;
    if (getenv("VC_TEST_ACCEL"))
        accel = getenv("VC_TEST_ACCEL");
    if (getenv("VC_TEST_CHANNEL"))
        channel = getenv("VC_TEST_CHANNEL");
    if (filter)
        cmocka_set_test_filter(filter);
    templates = plugin->inst->ext(NULL, VC_EXT_TEMPLATE);
    if (!templates)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
