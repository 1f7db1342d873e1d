/* SPDX-License-Identifier: Apache-2.0 */
/* test-agent-devices.c: device programs, run by a small interpreter, and mount options. */
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include <cmocka.h>

#include "ctr-internal.h"

#define R BPF_DEVCG_ACC_READ
#define W BPF_DEVCG_ACC_WRITE
#define M BPF_DEVCG_ACC_MKNOD

static struct vca_fault f;

/* Run a program as the kernel would: the instructions that the generator uses, forward jumps only. */
static int interpret(const struct bpf_insn *p, size_t n, uint32_t type, uint32_t access, uint32_t major, uint32_t minor)
{
    uint64_t reg[11] = {0};
    uint32_t ctx[3] = {access << 16 | type, major, minor};
    for (size_t pc = 0; pc < n; pc++) {
        const struct bpf_insn *i = &p[pc];
        uint64_t imm = (uint64_t)(int64_t)i->imm, *dst = &reg[i->dst_reg];
        assert_true(i->off >= 0);
        switch (i->code) {
        case BPF_LDX | BPF_MEM | BPF_W:
            assert_int_equal(i->src_reg, 1);
            *dst = ctx[i->off / 4];
            break;
        case BPF_ALU64 | BPF_K | BPF_MOV:
            *dst = imm;
            break;
        case BPF_ALU64 | BPF_X | BPF_MOV:
            *dst = reg[i->src_reg];
            break;
        case BPF_ALU64 | BPF_K | BPF_AND:
            *dst &= imm;
            break;
        case BPF_ALU64 | BPF_K | BPF_RSH:
            *dst >>= imm;
            break;
        case BPF_JMP | BPF_K | BPF_JNE:
            pc += *dst != imm ? (size_t)i->off : 0;
            break;
        case BPF_JMP | BPF_K | BPF_JEQ:
            pc += *dst == imm ? (size_t)i->off : 0;
            break;
        case BPF_JMP | BPF_EXIT:
            return (int)reg[0];
        default:
            fail_msg("unknown instruction %#x", i->code);
        }
    }
    fail_msg("the program has no end");
    return -1;
}

struct want {
    char type;
    uint32_t access, major, minor;
    int allowed;
};

static void check(Oci__LinuxDeviceCgroup *rules, size_t n, const struct want *want, size_t n_want)
{
    Oci__LinuxDeviceCgroup *list[8];
    struct bpf_insn *prog;
    size_t len;
    for (size_t i = 0; i < n; i++)
        list[i] = &rules[i];
    assert_int_equal(vca_devices_program(list, n, &prog, &len, &f), 0);
    for (size_t i = 0; i < n_want; i++) {
        const struct want *w = &want[i];
        int got = interpret(prog, len, w->type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK, w->access, w->major,
                            w->minor);
        if (got != w->allowed)
            fail_msg("%c %u:%u access %u: %d", w->type, w->major, w->minor, w->access, got);
    }
    free(prog);
}

static Oci__LinuxDeviceCgroup rule(int allow, const char *type, int64_t major, int64_t minor, const char *access)
{
    Oci__LinuxDeviceCgroup r = OCI__LINUX_DEVICE_CGROUP__INIT;
    r.allow = allow;
    r.type = (char *)(uintptr_t)type;
    r.major = major;
    r.minor = minor;
    r.access = (char *)(uintptr_t)access;
    return r;
}

#define CHECK(rules, want) check(rules, sizeof(rules) / sizeof((rules)[0]), want, sizeof(want) / sizeof((want)[0]))

static void test_defaults(void **state)
{
    (void)state;
    static const struct want want[] = {
        {'c', R, 1, 3, 1}, {'c', R | W, 1, 5, 1}, {'c', R, 136, 77, 1}, {'c', M, 99, 9, 1}, {'b', M, 8, 0, 1},
        {'c', R, 1, 1, 0}, {'b', R, 8, 0, 0},     {'b', R, 1, 3, 0},    {'c', M | R, 99, 9, 0}, {'c', R, 5, 2, 1},
    };
    check(NULL, 0, want, sizeof(want) / sizeof(want[0]));
    Oci__LinuxDeviceCgroup deny[] = {rule(0, "", 0, 0, "rwm")}, deny_a[] = {rule(0, "a", -1, -1, "")};
    CHECK(deny, want);
    CHECK(deny_a, want);
}

static void test_order(void **state)
{
    (void)state;
    Oci__LinuxDeviceCgroup rules[] = {rule(0, "a", 0, 0, "rwm"), rule(1, "b", 8, -1, "rw"), rule(0, "b", 8, 1, "w"),
                                      rule(1, "c", -1, 200, "r")};
    static const struct want want[] = {
        {'b', R | W, 8, 0, 1}, {'b', R, 8, 1, 1}, {'b', W, 8, 1, 0}, {'b', R | W, 8, 1, 0}, {'b', R | M, 8, 0, 0},
        {'c', R, 7, 200, 1},   {'c', W, 7, 200, 0}, {'c', R, 1, 3, 1},
    };
    CHECK(rules, want);
    Oci__LinuxDeviceCgroup all[] = {rule(0, "c", 1, 3, "rwm"), rule(1, "a", 0, 0, "rwm")};
    static const struct want want_all[] = {{'c', R, 1, 3, 1}, {'b', R | W | M, 200, 300, 1}};
    CHECK(all, want_all);
    Oci__LinuxDeviceCgroup but[] = {rule(1, "a", 0, 0, "rwm"), rule(0, "c", 1, 3, "r")};
    static const struct want want_but[] = {{'c', R, 1, 3, 0}, {'c', W, 1, 3, 1}, {'b', R, 9, 9, 1}};
    CHECK(but, want_but);
    /* Earlier rules have no say after a later "deny all". */
    Oci__LinuxDeviceCgroup late[] = {rule(1, "b", 8, 0, "rwm"), rule(0, "a", 0, 0, "rwm")};
    static const struct want want_late[] = {{'b', R, 8, 0, 0}};
    CHECK(late, want_late);
}

static void test_bad_rules(void **state)
{
    (void)state;
    Oci__LinuxDeviceCgroup bad[] = {rule(1, "x", 0, 0, "r"), rule(1, "c", -2, 0, "r"), rule(1, "c", 1, INT64_MAX, "r"),
                                    rule(1, "c", 1, 1, "q"), rule(1, "cc", 1, 1, "r")};
    struct bpf_insn *prog;
    size_t n;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        Oci__LinuxDeviceCgroup *one = &bad[i];
        assert_int_equal(vca_devices_program(&one, 1, &prog, &n, &f), -1);
        assert_int_equal(f.code, VCS_RPC_INVALID);
    }
    assert_int_equal(vca_devices_program(NULL, 100000, &prog, &n, &f), -1);
}

static void test_mount_options(void **state)
{
    (void)state;
    struct vca_mount_opts o;
    char *words[] = {(char *)(uintptr_t)"rbind", (char *)(uintptr_t)"ro", (char *)(uintptr_t)"nosuid",
                     (char *)(uintptr_t)"rslave", (char *)(uintptr_t)"noatime", (char *)(uintptr_t)"rnoexec",
                     (char *)(uintptr_t)"size=1m", (char *)(uintptr_t)"defaults", (char *)(uintptr_t)"relatime",
                     (char *)(uintptr_t)"rw"};
    assert_int_equal(vca_mount_opts_parse(words, 10, &o, &f), 0);
    assert_true(o.bind && o.rbind && !o.remount);
    assert_true(o.propagation == MS_SLAVE && o.propagation_rec);
    assert_true(o.attr_set == MOUNT_ATTR_NOSUID);
    assert_true(o.attr_clr == (MOUNT_ATTR_RDONLY | MOUNT_ATTR__ATIME));
    assert_true(o.rattr_set == MOUNT_ATTR_NOEXEC);
    assert_int_equal(o.n_data, 1);
    assert_true(o.data[0].len == 7 && memcmp(o.data[0].text, "size=1m", 7) == 0);
    assert_int_equal(vca_mount_opts_parse(words, 6, &o, &f), 0);
    assert_true(o.attr_set == (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME));
    assert_true(o.attr_clr == MOUNT_ATTR__ATIME);
    char *many[100];
    for (size_t i = 0; i < 100; i++)
        many[i] = (char *)(uintptr_t)"x=y";
    assert_int_equal(vca_mount_opts_parse(many, 100, &o, &f), -1);
}

/* Kata sends all options of a share in one string. */
static void test_joined_options(void **state)
{
    (void)state;
    struct vca_mount_opts o;
    static const char *const want[] = {"trans=virtio", "version=9p2000.L", "cache=mmap", "lowerdir=/a\\,b:/c", "msize=8192"};
    char *words[] = {(char *)(uintptr_t)"trans=virtio,version=9p2000.L,cache=mmap,nodev,",
                     (char *)(uintptr_t)"lowerdir=/a\\,b:/c,ro", (char *)(uintptr_t)"", (char *)(uintptr_t)"msize=8192"};
    assert_int_equal(vca_mount_opts_parse(words, 4, &o, &f), 0);
    assert_int_equal(o.n_data, 5);
    for (size_t i = 0; i < 5; i++)
        assert_true(o.data[i].len == strlen(want[i]) && memcmp(o.data[i].text, want[i], o.data[i].len) == 0);
    assert_true(o.attr_set == (MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY));
    /* A backslash at the very end escapes nothing. */
    char *last[] = {(char *)(uintptr_t)"x=\\"};
    assert_int_equal(vca_mount_opts_parse(last, 1, &o, &f), 0);
    assert_true(o.n_data == 1 && o.data[0].len == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_bad_rules),
        cmocka_unit_test(test_mount_options),
        cmocka_unit_test(test_joined_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
