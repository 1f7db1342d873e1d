/* SPDX-License-Identifier: Apache-2.0 */
/* test-qemu-vm.c: the qemu plugin with a real QEMU: start, questions, pause, plugging, the ways to end, and nothing
 * left.
 *
 * Boots the guest of `make guest` (VC_BUILD_DIR/guest, or the directory in VC_TEST_GUEST) by emulation. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

#include <vc/hypervisor.h>

#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/proc.h"
#include "unit/fakehost.h"

static const struct vc_plugin *plugin;
static const struct vc_hypervisor_ops *ops;
static char kernel[4096], initrd[4096];

struct vm {
    struct fakehost fh;
    const char *config[16];
    char share[128];
    vc_inst *inst;
};

#define OK(vm, expr)                                                                                                   \
    do {                                                                                                               \
        struct vc_call call = fakehost_call(&(vm)->fh, 60000);                                                         \
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
    const char *const config[] = {
        "kernel", kernel, "initrd", initrd, "accelerator", "tcg", "channel", "serial", NULL
    };

    memset(vm, 0, sizeof(*vm));
    memcpy(vm->config, config, sizeof(config));
    assert_int_equal(fakehost_init(&vm->fh, plugin, vm->config), 0);
    snprintf(vm->share, sizeof(vm->share), "%s/share", vm->fh.dir);
    assert_int_equal(mkdir(vm->share, 0700), 0);
    OK(vm, plugin->inst->create(&vm->fh.host, &call, fakehost_config(&vm->fh), "pod1", &vm->inst));
}

static void vm_boot(struct vm *vm)
{
    struct vc_vm_config config = {
        .size = sizeof(config),
        .netns_fd = -1,
        .shared_dir = vm->share,
        .share_tag = "share",
    };

    vm_open(vm);
    OK(vm, ops->vm_create(vm->inst, &call, &config));
    OK(vm, ops->vm_start(vm->inst, &call));
}

/* Write the state, forget the instance, make it again: as another process would. */
static void vm_reopen(struct vm *vm)
{
    vc_sink *sink = fakehost_sink();
    char *state;

    OK(vm, plugin->inst->save(vm->inst, &call, sink));
    state = text_of(sink);
    plugin->inst->close(vm->inst);
    vm->inst = NULL;
    OK(vm, plugin->inst->restore(&vm->fh.host, &call, fakehost_config(&vm->fh), "pod1", plugin->state_version,
                                 (struct vc_bytes){ state, strlen(state) }, &vm->inst));
    free(state);
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

/* Wait until the guest's agent is up: it answers a yamux ping on its port. */
static void await_guest(struct vm *vm)
{
    static const unsigned char ping[12] = { 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7 };
    vc_sink *sink = fakehost_sink();
    char *uri, c;
    vcs_autoclose int fd = -1;
    struct pollfd p = { .events = POLLIN };

    OK(vm, ops->agent_endpoint(vm->inst, &call, sink));
    uri = text_of(sink);
    assert_int_equal(strncmp(uri, "serial:///", 10), 0);
    fd = vcs_unix_connect(uri + 9);
    free(uri);
    assert_true(fd >= 0);
    assert_int_equal(vcs_write_full(fd, ping, sizeof(ping)), 0);
    p.fd = fd;
    assert_int_equal(poll(&p, 1, 60000), 1);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),    cmocka_unit_test(test_killed),    cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_devices), cmocka_unit_test(test_bad_start),
    };
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
    return cmocka_run_group_tests(tests, NULL, NULL);
}
