/* SPDX-License-Identifier: Apache-2.0 */
/* test-hv-mock.c: the mock hypervisor keeps the rules of the contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <vc/template.h>

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
                     VC_E_UNSUPPORTED);
}

/* ---- templates ---- */

static void write_file(const char *path, const char *text, size_t len)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
}

/* One is made from an instance that was described, and others start from it, also with more than it has. */
static void test_template(void **state)
{
    const struct vc_template_ops *t = vc_plugin_entry.inst->ext(inst, VC_EXT_TEMPLATE);
    struct vc_vm_config config = { .size = sizeof(config), .netns_fd = -1, .vcpus = 3, .memory = 256 << 20 };
    struct vc_template_started got = { .size = sizeof(got) };
    vc_sink *a = fakehost_sink(), *b = fakehost_sink();
    vc_inst *other = NULL;
    char path[128];

    (void)state;
    assert_non_null(t);
    assert_null(vc_plugin_entry.inst->ext(inst, "vc.template/2"));
    assert_int_equal(t->size, sizeof(*t));
    assert_int_equal(t->key(inst, &call, a), VC_E_STATE);
    assert_int_equal(ops->vm_create(inst, &call, &(struct vc_vm_config){ .size = sizeof(config), .netns_fd = -1 }), 0);
    assert_int_equal(t->save(inst, &call, fh.dir), VC_E_STATE);
    assert_int_equal(t->start(inst, &call, fh.dir, NULL), VC_E_CORRUPT);
    assert_int_equal(t->key(inst, &call, a), 0);
    assert_int_equal(t->boot(inst, &call, "/nowhere"), VC_E_NOTFOUND);
    assert_int_equal(t->boot(inst, &call, fh.dir), 0);
    assert_int_equal(vm_state(), VC_VM_RUNNING);
    assert_int_equal(t->save(inst, &call, fh.dir), 0);
    assert_int_equal(vm_state(), VC_VM_STOPPED);

    assert_int_equal(vc_plugin_entry.inst->create(&fh.host, &call, fakehost_config(&fh), "pod2", &other), 0);
    assert_int_equal(ops->vm_create(other, &call, &config), 0);
    assert_int_equal(t->key(other, &call, b), 0);
    assert_string_equal(fakehost_sink_text(a), fakehost_sink_text(b));
    assert_int_equal(t->valid(other, &call, (struct vc_bytes){ fakehost_sink_text(a), a->buf.len }), 0);
    assert_int_equal(t->start(other, &call, fh.dir, &got), 0);
    assert_int_equal(got.added_vcpus, 2);
    assert_int_equal(got.added_memory, (256 - 64) << 20);
    vc_plugin_entry.inst->close(other);

    snprintf(path, sizeof(path), "%s/memory", fh.dir);
    for (int cut = 0; cut < 3; cut++) {
        static const char *const bad[] = { "", "mock memory\nvcpus 1\n", "mock memory\nvcpus 1\nend\nmore" };
        write_file(path, bad[cut], strlen(bad[cut]));
        assert_int_equal(vc_plugin_entry.inst->create(&fh.host, &call, fakehost_config(&fh), "pod2", &other), 0);
        assert_int_equal(ops->vm_create(other, &call, &config), 0);
        assert_int_equal(t->start(other, &call, fh.dir, NULL), VC_E_CORRUPT);
        assert_non_null(strstr(fh.err.text, path));
        vc_plugin_entry.inst->close(other);
    }
    fakehost_sink_free(a);
    fakehost_sink_free(b);
}

/* What cannot come from a template says so. */
static void test_template_unlike(void **state)
{
    const struct vc_template_ops *t = vc_plugin_entry.inst->ext(inst, VC_EXT_TEMPLATE);
    const struct vc_vm_config unlike[] = {
        { .size = sizeof(unlike[0]), .netns_fd = -1, .kernel_params = "quiet" },
        { .size = sizeof(unlike[0]), .netns_fd = -1, .memory = 1 << 20 },
    };
    vc_inst *other = NULL;
    vc_sink *sink = fakehost_sink();

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(vc_plugin_entry.inst->create(&fh.host, &call, fakehost_config(&fh), "pod2", &other), 0);
        assert_int_equal(ops->vm_create(other, &call, &unlike[i]), 0);
        assert_int_equal(t->key(other, &call, sink), VC_E_UNSUPPORTED);
        vc_plugin_entry.inst->close(other);
    }
    assert_int_equal(sink->buf.len, 0);
    fakehost_sink_free(sink);
}

/* A template is of its image: when that changes, the old key is valid no more. */
static void test_template_image(void **state)
{
    const struct vc_template_ops *t;
    char path[128], old[1024];
    const char *config[] = { "image", path, NULL };
    static const char *const garbage[] = { "", "image=", "\nimage=", "\nimage=\n", "\nimage=/ / / /\n", "\nimage=   " };
    vc_sink *sink = fakehost_sink();
    vc_inst *vm = NULL;
    struct vc_vm_config vm_config = { .size = sizeof(vm_config), .netns_fd = -1 };

    (void)state;
    fakehost_done(&fh);
    assert_int_equal(fakehost_init(&fh, &vc_plugin_entry, config), 0);
    snprintf(path, sizeof(path), "%s/an image", fh.dir);
    call = fakehost_call(&fh, 1000);
    assert_int_equal(vc_plugin_entry.inst->create(&fh.host, &call, fakehost_config(&fh), "pod2", &vm), 0);
    t = vc_plugin_entry.inst->ext(vm, VC_EXT_TEMPLATE);
    assert_int_equal(ops->vm_create(vm, &call, &vm_config), 0);
    assert_int_equal(t->key(vm, &call, sink), VC_E_NOTFOUND);
    write_file(path, "one", 3);
    assert_int_equal(t->key(vm, &call, sink), 0);
    snprintf(old, sizeof(old), "%s", fakehost_sink_text(sink));
    assert_int_equal(t->valid(vm, &call, (struct vc_bytes){ old, strlen(old) }), 0);
    write_file(path, "three", 5);
    assert_int_equal(t->valid(vm, &call, (struct vc_bytes){ old, strlen(old) }), VC_E_STATE);
    assert_non_null(strstr(fh.err.text, "is another one now"));
    unlink(path);
    assert_int_equal(t->valid(vm, &call, (struct vc_bytes){ old, strlen(old) }), VC_E_STATE);
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        int r = t->valid(vm, &call, (struct vc_bytes){ garbage[i], strlen(garbage[i]) });
        assert_true(r == 0 || r == VC_E_STATE);
    }
    vc_plugin_entry.inst->close(vm);
    fakehost_sink_free(sink);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_guest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_devices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_state, setup, teardown),
        cmocka_unit_test_setup_teardown(test_template, setup, teardown),
        cmocka_unit_test_setup_teardown(test_template_unlike, setup, teardown),
        cmocka_unit_test_setup_teardown(test_template_image, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
