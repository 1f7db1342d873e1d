/* SPDX-License-Identifier: Apache-2.0 */
/* test-qemu-cmdline.c: the QEMU command line against golden files: NAME.conf describes a VM, NAME.args holds its
 * command line, one argument a line.  VC_REGENERATE=1 writes the .args files anew. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/qemu/qemu.h"
#include "lib/buf.h"

/* What a .conf file can set. */
struct input {
    struct qemu_config config;
    struct qemu_vm vm;
    struct qemu_launch launch;
    char text[32][256]; /* the strings above point here */
    unsigned n;
};

static char *keep(struct input *in, const char *s)
{
    assert_true(in->n < 32);
    return strcpy(in->text[in->n++], s);
}

static void set(struct input *in, const char *key, const char *value)
{
    const struct {
        const char *key;
        char **at;
    } strings[] = {
        { "path", &in->config.path },
        { "kernel", &in->config.kernel },
        { "initrd", &in->config.initrd },
        { "cpu", &in->config.cpu },
        { "config_params", &in->config.kernel_params },
        { "shared_dir", &in->vm.shared_dir },
        { "share_tag", &in->vm.share_tag },
        { "pod_params", &in->vm.kernel_params },
    };

    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        if (!strcmp(key, strings[i].key)) {
            *strings[i].at = keep(in, value);
            return;
        }
    if (!strcmp(key, "firmware"))
        in->launch.firmware = *value ? keep(in, value) : NULL;
    else if (!strcmp(key, "console"))
        in->launch.console_path = keep(in, value);
    else if (!strcmp(key, "memory"))
        in->vm.memory = strtoull(value, NULL, 10);
    else if (!strcmp(key, "max_memory"))
        in->vm.max_memory = strtoull(value, NULL, 10);
    else if (!strcmp(key, "vcpus"))
        in->vm.vcpus = (uint32_t)atoi(value);
    else if (!strcmp(key, "max_vcpus"))
        in->vm.max_vcpus = (uint32_t)atoi(value);
    else if (!strcmp(key, "root_ports"))
        in->config.root_ports = (uint32_t)atoi(value);
    else if (!strcmp(key, "sandbox"))
        in->config.sandbox = !strcmp(value, "true");
    else if (!strcmp(key, "accelerator"))
        in->vm.accel = !strcmp(value, "kvm") ? QEMU_ACCEL_KVM : QEMU_ACCEL_TCG;
    else if (!strcmp(key, "tsc_khz"))
        in->launch.tsc_khz = (uint32_t)atoi(value);
    else if (!strcmp(key, "cid"))
        in->launch.cid = (uint32_t)atoi(value);
    else if (!strcmp(key, "channel")) {
        in->vm.channel = QEMU_CHANNEL_VSOCK;
        in->launch.agent_fd = -1;
        in->launch.vhost_fd = 4;
    } else if (!strcmp(key, "from")) {
        in->launch.from = !strcmp(value, "making") ? QEMU_FROM_MAKING : QEMU_FROM_TEMPLATE;
        in->launch.memory_fd = 5;
    } else
        fail_msg("unknown key %s", key);
}

static void defaults(struct input *in)
{
    memset(in, 0, sizeof(*in));
    in->config = (struct qemu_config){
        .path = keep(in, "/usr/bin/qemu-system-x86_64"),
        .kernel = keep(in, "/usr/share/vccore/guest/vmlinux"),
        .initrd = keep(in, "/usr/share/vccore/guest/vc-initramfs.cpio"),
        .cpu = keep(in, "auto"),
        .kernel_params = keep(in, ""),
        .root_ports = 4,
        .sandbox = true,
    };
    in->vm.channel = QEMU_CHANNEL_SERIAL;
    in->launch =
        (struct qemu_launch){ .firmware = "/usr/share/qemu/qboot.rom", .qmp_fd = 3, .agent_fd = 4, .vhost_fd = -1 };
}

static void read_conf(struct input *in, const char *path)
{
    char line[512];
    FILE *f = fopen(path, "re");

    assert_non_null(f);
    defaults(in);
    while (fgets(line, sizeof(line), f)) {
        char *eq;

        line[strcspn(line, "\n")] = '\0';
        if (!*line || *line == '#')
            continue;
        eq = strstr(line, " =");
        assert_non_null(eq);
        *eq = '\0';
        set(in, line, eq[2] ? eq + 3 : "");
    }
    fclose(f);
}

static void check_golden(const char *conf)
{
    char path[4096];
    struct input in;
    struct qemu_args args = { 0 };
    struct vcs_buf got = { 0 }, want = { 0 };
    const char *why = NULL;
    FILE *f;
    int c;

    snprintf(path, sizeof(path), "%.*s.args", (int)strlen(conf) - 5, conf);
    read_conf(&in, conf);
    assert_null(qemu_vm_invalid(&in.vm));
    assert_int_equal(qemu_cmdline(&in.config, &in.vm, &in.launch, &args, &why), 0);
    assert_null(args.v[args.n]);
    for (uint32_t i = 0; i < args.n; i++)
        assert_int_equal(vcs_buf_printf(&got, "%s\n", args.v[i]), 0);
    qemu_args_done(&args);
    if (getenv("VC_REGENERATE")) {
        f = fopen(path, "we");
        assert_non_null(f);
        assert_int_equal(fputs(vcs_buf_str(&got), f) >= 0, 1);
        fclose(f);
    }
    f = fopen(path, "re");
    if (!f)
        fail_msg("%s does not exist: make it with VC_REGENERATE=1", path);
    while ((c = fgetc(f)) != EOF)
        assert_int_equal(vcs_buf_append(&want, &(char){ (char)c }, 1), 0);
    fclose(f);
    print_message("%s\n", conf);
    assert_string_equal(vcs_buf_str(&got), vcs_buf_str(&want));
    vcs_buf_done(&got);
    vcs_buf_done(&want);
}

static void test_golden(void **state)
{
    const char *src = getenv("srcdir");
    char pattern[4096];
    glob_t g;

    (void)state;
    snprintf(pattern, sizeof(pattern), "%s/tests/golden/hypervisor-qemu/*.conf", src ? src : ".");
    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++)
        check_golden(g.gl_pathv[i]);
    globfree(&g);
}

/* Two pods differ in nothing but what names their folder: this is what lets one saved VM become any pod. */
static void test_skeleton(void **state)
{
    struct input a, b;
    struct qemu_args aa = { 0 }, ab = { 0 };
    const char *why;
    unsigned differ = 0;

    (void)state;
    defaults(&a);
    defaults(&b);
    set(&a, "shared_dir", "/run/a"), set(&a, "share_tag", "s"), set(&b, "shared_dir", "/run/b"),
        set(&b, "share_tag", "s");
    assert_int_equal(qemu_cmdline(&a.config, &a.vm, &a.launch, &aa, &why), 0);
    assert_int_equal(qemu_cmdline(&b.config, &b.vm, &b.launch, &ab, &why), 0);
    assert_int_equal(aa.n, ab.n);
    for (uint32_t i = 0; i < aa.n; i++)
        differ += strcmp(aa.v[i], ab.v[i]) != 0;
    assert_int_equal(differ, 1);
    qemu_args_done(&aa);
    qemu_args_done(&ab);
}

/* A VM from a template differs from the one that became it in the mapping of the memory and in waiting for the state.
 */
static void test_from_template(void **state)
{
    struct input a, b;
    struct qemu_args aa = { 0 }, ab = { 0 };
    const char *why;

    (void)state;
    defaults(&a);
    defaults(&b);
    set(&a, "from", "making"), set(&b, "from", "template");
    assert_int_equal(qemu_cmdline(&a.config, &a.vm, &a.launch, &aa, &why), 0);
    assert_int_equal(qemu_cmdline(&b.config, &b.vm, &b.launch, &ab, &why), 0);
    assert_int_equal(aa.n + 2, ab.n);
    for (uint32_t i = 0, k = 0; i < aa.n; i++, k++) {
        if (!strcmp(ab.v[k], "-incoming"))
            k += 2;
        if (strcmp(aa.v[i], ab.v[k])) {
            assert_non_null(strstr(aa.v[i], "share=on"));
            assert_non_null(strstr(ab.v[k], "share=off"));
        }
    }
    qemu_args_done(&aa);
    qemu_args_done(&ab);
}

static void test_too_long(void **state)
{
    static char params[QEMU_MAX_APPEND];
    struct input in;
    struct qemu_args args = { 0 };
    const char *why = NULL;

    (void)state;
    memset(params, 'x', sizeof(params) - 1);
    defaults(&in);
    in.vm.kernel_params = params;
    assert_int_equal(qemu_cmdline(&in.config, &in.vm, &in.launch, &args, &why), VC_E_CONFIG);
    assert_non_null(strstr(why, "2047"));
    assert_null(args.v);
}

static void test_refused(void **state)
{
    static const struct {
        const char *dir, *tag, *params;
        bool ok;
    } cases[] = {
        { NULL, NULL, NULL, true },
        { "/a b,c\"d", "tag", "a=b c", true },
        { "/a", NULL, NULL, false },
        { NULL, "tag", NULL, false },
        { "relative", "tag", NULL, false },
        { "/a\nb", "tag", NULL, false },
        { "/a", "tag,x=y", NULL, false },
        { "/a", "", NULL, false },
        { "/a", "t t", NULL, false },
        { NULL, NULL, "a=\"b c\"", false },
        { NULL, NULL, "a\nb", false },
        { NULL, NULL, "a='b'", false },
        { NULL, NULL, "a\\b", false },
        { NULL, NULL, "\303\244", false },
        { "/a", "12345678901234567890123456789012", NULL, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct qemu_vm vm = { .memory = 64u << 20,
                              .max_memory = 64u << 20,
                              .vcpus = 1,
                              .max_vcpus = 1,
                              .shared_dir = (char *)cases[i].dir,
                              .share_tag = (char *)cases[i].tag,
                              .kernel_params = (char *)cases[i].params };

        if ((qemu_vm_invalid(&vm) == NULL) != cases[i].ok)
            fail_msg("case %zu: %s", i, qemu_vm_invalid(&vm) ? qemu_vm_invalid(&vm) : "was taken");
    }
}

static void test_numbers(void **state)
{
    static const struct {
        uint64_t mem, max;
        uint32_t cpus, max_cpus;
        bool ok;
    } cases[] = {
        { 64 << 20, 64 << 20, 1, 1, true },
        { 32 << 20, 64 << 20, 1, 1, false },
        { (64 << 20) + 1, 65 << 20, 1, 1, false },
        { 128 << 20, 64 << 20, 1, 1, false },
        { 64 << 20, 64 << 20, 0, 1, false },
        { 64 << 20, 64 << 20, 2, 1, false },
        { 64 << 20, 64 << 20, 240, 240, true },
        { 64 << 20, 64 << 20, 1, 241, false },
        { UINT64_C(1) << 43, UINT64_C(1) << 43, 1, 1, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct qemu_vm vm = {
            .memory = cases[i].mem, .max_memory = cases[i].max, .vcpus = cases[i].cpus, .max_vcpus = cases[i].max_cpus
        };

        if ((qemu_vm_invalid(&vm) == NULL) != cases[i].ok)
            fail_msg("case %zu", i);
    }
}

/* KVM without vmx or svm in the processor is not taken, and the answer is quick. */
static void test_facts(void **state)
{
    const char *why = NULL;
    bool kvm = qemu_kvm_works(&why), flags = false;
    uint32_t khz = qemu_tsc_khz();
    char line[8192];
    FILE *f = fopen("/proc/cpuinfo", "re");

    (void)state;
    assert_non_null(why);
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        if (!strncmp(line, "flags", 5) && (strstr(line, " vmx ") || strstr(line, " svm ")))
            flags = true;
    fclose(f);
    if (kvm)
        assert_true(flags);
    print_message("kvm %d: %s; tsc %u kHz\n", kvm, why, khz);
    assert_true(khz == 0 || (khz > 100000 && khz < 20000000));
    assert_int_equal(qemu_tsc_khz(), khz);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),   cmocka_unit_test(test_skeleton), cmocka_unit_test(test_from_template),
        cmocka_unit_test(test_too_long), cmocka_unit_test(test_refused),  cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_facts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
