/* SPDX-License-Identifier: Apache-2.0 */
/* test-hv-mock.c: the mock hypervisor keeps the rules of the contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <vc/hypervisor.h>

#include "unit/fakehost.h"

extern const struct vc_plugin vc_plugin_entry;
static const struct vc_hypervisor_ops *ops;
static struct fakehost fh;
static vc_inst *inst;
static struct vc_call call;

static int setup(void **state)
{
    (void)state;
    ops = vc_plugin_entry.ops;
    if (fakehost_init(&fh, &vc_plugin_entry, NULL) < 0)
        return -1;
    call = fakehost_call(&fh, 1000);
    return vc_plugin_entry.inst->create(&fh.host, &call, fakehost_config(&fh), "pod1", &inst);
}

static int teardown(void **state)
{
    (void)state;
    vc_plugin_entry.inst->close(inst);
    fakehost_done(&fh);
    return 0;
}

static int restore(const char *text, vc_inst **ret)
{
    call = fakehost_call(&fh, 1000);
    return vc_plugin_entry.inst->restore(&fh.host, &call, fakehost_config(&fh), "pod1", 1,
                                         (struct vc_bytes){ text, strlen(text) }, ret);
}

static char *save(void)
{
    vc_sink *sink = fakehost_sink();
    char *text;

    assert_int_equal(vc_plugin_entry.inst->save(inst, &call, sink), 0);
    text = strdup(fakehost_sink_text(sink));
    fakehost_sink_free(sink);
    return text;
}

static uint32_t vm_state(void)
{
    uint32_t s = 99;

    assert_int_equal(ops->vm_state(inst, &call, &s), 0);
    return s;
}

static void start(void)
{
    struct vc_vm_config config = { .size = sizeof(config), .netns_fd = -1 };

    assert_int_equal(ops->vm_create(inst, &call, &config), 0);
    assert_int_equal(ops->vm_start(inst, &call), 0);
}

static void test_order(void **state)
{
    struct vc_vm_config config = { .size = sizeof(config), .netns_fd = -1 };
    uint32_t health = 0;

    (void)state;
    assert_int_equal(vm_state(), VC_VM_NONE);
    assert_int_equal(ops->vm_start(inst, &call), VC_E_STATE);
    assert_non_null(strstr(fh.err.text, "pod1"));
    assert_int_equal(ops->vm_stop(inst, &call, 0), 0);
    assert_int_equal(vm_state(), VC_VM_NONE);
    start();
    assert_int_equal(ops->vm_create(inst, &call, &config), VC_E_EXISTS);
    assert_int_equal(ops->vm_start(inst, &call), VC_E_STATE);
    assert_int_equal(vm_state(), VC_VM_RUNNING);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ops->vm_pause(inst, &call), 0);
        assert_int_equal(vm_state(), VC_VM_PAUSED);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ops->vm_resume(inst, &call), 0);
        assert_int_equal(vm_state(), VC_VM_RUNNING);
    }
    assert_int_equal(vc_plugin_entry.inst->check(inst, &call, &health), 0);
    assert_int_equal(health, VC_HEALTH_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ops->vm_stop(inst, &call, 0), 0);
        assert_int_equal(vm_state(), VC_VM_STOPPED);
    }
    assert_int_equal(ops->vm_pause(inst, &call), VC_E_STATE);
    assert_int_equal(ops->vm_resume(inst, &call), VC_E_STATE);
    assert_int_equal(vc_plugin_entry.inst->check(inst, &call, &health), 0);
    assert_int_equal(health, VC_HEALTH_GONE);
    assert_int_equal(ops->vm_start(inst, &call), 0);
    assert_int_equal(vc_plugin_entry.inst->cleanup(inst, &call), 0);
    assert_int_equal(vc_plugin_entry.inst->cleanup(inst, &call), 0);
}

static void test_no_guest(void **state)
{
    vc_sink *sink = fakehost_sink();

    (void)state;
    assert_int_equal(ops->agent_endpoint(inst, &call, sink), VC_E_STATE);
    start();
    assert_int_equal(ops->agent_endpoint(inst, &call, sink), 0);
    assert_int_equal(ops->console(inst, &call, sink), 0);
    assert_int_equal(ops->pids(inst, &call, sink), 0);
    assert_int_equal(sink->buf.len, 0);
    fakehost_sink_free(sink);
    assert_int_equal(vc_plugin_entry.inst->caps(inst), VC_HV_CAP_PAUSE | VC_HV_CAP_HOTPLUG | VC_HV_CAP_NO_GUEST);
    assert_int_equal(fh.spawned, 0);
}

static void test_devices(void **state)
{
    struct vc_device d = { .size = sizeof(d), .type = VC_DEV_BLOCK, .id = "disk", .path = "/x" };
    struct vc_device_result r = { .size = sizeof(r) };
    vc_inst *again = NULL;
    char *text, name[16];

    (void)state;
    assert_int_equal(ops->device_add(inst, &call, &d, &r), VC_E_STATE);
    start();
    assert_int_equal(ops->device_add(inst, &call, &d, &r), 0);
    assert_string_equal(r.guest_addr, "01/00");
    assert_int_equal(ops->device_add(inst, &call, &d, &r), VC_E_EXISTS);
    d.id = "../x";
    assert_int_equal(ops->device_add(inst, &call, &d, &r), VC_E_INVAL);
    d.id = "eth0", d.type = VC_DEV_NET;
    assert_int_equal(ops->device_add(inst, &call, &d, &r), 0);
    d.id = "other", d.type = 77;
    assert_int_equal(ops->device_add(inst, &call, &d, &r), VC_E_UNSUPPORTED);

    text = save();
    assert_string_equal(text, "mock\nrunning\ndev 1 disk\ndev 2 eth0\n");
    assert_int_equal(restore(text, &again), 0);
    free(text);
    vc_plugin_entry.inst->close(inst);
    inst = again;
    assert_int_equal(ops->device_del(inst, &call, "nope"), VC_E_NOTFOUND);
    assert_int_equal(ops->device_del(inst, &call, "disk"), 0);
    assert_int_equal(ops->device_del(inst, &call, "disk"), VC_E_NOTFOUND);
    text = save();
    assert_string_equal(text, "mock\nrunning\ndev 2 eth0\n");
    free(text);

    d.type = VC_DEV_BLOCK;
    d.id = name;
    for (int i = 0; i < 31; i++) {
        snprintf(name, sizeof(name), "d%d", i);
        assert_int_equal(ops->device_add(inst, &call, &d, NULL), 0);
    }
    d.id = "toomany";
    assert_int_equal(ops->device_add(inst, &call, &d, NULL), VC_E_RESOURCE);
    assert_int_equal(ops->vm_stop(inst, &call, 0), 0);
    text = save();
    assert_string_equal(text, "mock\nstopped\n");
    free(text);
}

/* Stored state is hostile: whatever this plugin does not write is refused and makes no instance. */
static void test_bad_state(void **state)
{
    static const char *const bad[] = {
        "",
        "mock",
        "mock\n",
        "mock\nflying\n",
        "qemu\nrunning\n",
        "mock\nrunning\ndev 1\n",
        "mock\nrunning\ndev 9 x\n",
        "mock\nrunning\ndev 0 x\n",
        "mock\nrunning\ndev 1 a/b\n",
        "mock\nrunning\ndev 1 a\ndev 1 a\n",
        "mock\nrunning\ndev 1 a b\n",
        "mock\nstopped\ndev 1 a\n",
        "mock\nrunning\ndev 1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
        "mock\nrunning\nrubbish\n",
    };
    vc_inst *again = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(restore(bad[i], &again), VC_E_CORRUPT);
        assert_true(fh.err.text[0]);
    }
    assert_null(again);
    call = fakehost_call(&fh, 1000);
    assert_int_equal(vc_plugin_entry.inst->restore(&fh.host, &call, fakehost_config(&fh), "pod1", 2,
                                                   (struct vc_bytes){ "mock\nnone\n", 10 }, &again),
                     VC_E_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_guest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_devices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_state, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
