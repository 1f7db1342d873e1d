/* SPDX-License-Identifier: Apache-2.0 */
/* devices.c: which devices a container may use: a program for the kernel, made from the OCI rules. */
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ctr-internal.h"

/* Rules come from the host, but the kernel takes only so many instructions. */
#define MAX_RULES 512
/* The most a rule needs: type, access (3), major, minor, result, exit. */
#define RULE_INSNS 8
#define ALL_ACCESS (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)

struct rule {
    int allow;
    uint32_t type;   /* BPF_DEVCG_DEV_*, 0 = both */
    uint32_t access; /* BPF_DEVCG_ACC_* */
    int64_t major, minor; /* -1 = any */
};

/* What every container may use, as the OCI runtime specification says: nodes may be made, the default devices and
 * terminals may be used. */
static const struct rule defaults[] = {
    {1, BPF_DEVCG_DEV_CHAR, BPF_DEVCG_ACC_MKNOD, -1, -1},
    {1, BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_ACC_MKNOD, -1, -1},
    {1, BPF_DEVCG_DEV_CHAR, ALL_ACCESS, 1, 3},
    {1, BPF_DEVCG_DEV_CHAR, ALL_ACCESS, 1, 5},
    {1, BPF_DEVCG_DEV_CHAR, ALL_ACCESS, 1, 7},
    {1, BPF_DEVCG_DEV_CHAR, ALL_ACCESS, 1, 8},
    {1, BPF_DEVCG_DEV_CHAR, ALL_ACCESS, 1, 9},
    {1, BPF_DEVCG_DEV_CHAR, ALL_ACCESS, 5, 0},
    {1, BPF_DEVCG_DEV_CHAR, ALL_ACCESS, 5, 1},
    {1, BPF_DEVCG_DEV_CHAR, ALL_ACCESS, 5, 2},
    {1, BPF_DEVCG_DEV_CHAR, ALL_ACCESS, 136, -1},
};

/* ---- instructions ---- */

struct program {
    struct bpf_insn *mem;
    size_t n, cap;
};

static void emit(struct program *p, uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
    if (p->n < p->cap)
        p->mem[p->n] = (struct bpf_insn){.code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm};
    p->n++;
}

#define LOAD(dst, off) emit(p, BPF_LDX | BPF_MEM | BPF_W, dst, BPF_REG_1, off, 0)
#define ALU_IMM(op, dst, imm) emit(p, BPF_ALU64 | BPF_K | (op), dst, 0, 0, (int32_t)(imm))
#define MOVE(dst, src) emit(p, BPF_ALU64 | BPF_X | BPF_MOV, dst, src, 0, 0)
#define JUMP_IMM(op, dst, imm) emit(p, BPF_JMP | BPF_K | (op), dst, 0, 0, (int32_t)(imm))
#define RETURN(value)                       \
    do {                                    \
        ALU_IMM(BPF_MOV, BPF_REG_0, value); \
        emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0); \
    } while (0)

/* Registers: 2 type, 3 access, 4 major, 5 minor. */
static void emit_head(struct program *p)
{
    LOAD(BPF_REG_3, 0);
    MOVE(BPF_REG_2, BPF_REG_3);
    ALU_IMM(BPF_AND, BPF_REG_2, 0xffff);
    ALU_IMM(BPF_RSH, BPF_REG_3, 16);
    LOAD(BPF_REG_4, 4);
    LOAD(BPF_REG_5, 8);
}

/* Jumps that leave the rule get their distance at its end. */
static void emit_rule(struct program *p, const struct rule *r)
{
    size_t start = p->n;
    if (r->type)
        JUMP_IMM(BPF_JNE, BPF_REG_2, r->type);
    if (r->access != ALL_ACCESS) {
        /* To be allowed, all that is asked for must be in the rule; to be denied, any of it. */
        MOVE(BPF_REG_1, BPF_REG_3);
        if (r->allow) {
            ALU_IMM(BPF_AND, BPF_REG_1, ~r->access & ALL_ACCESS);
            JUMP_IMM(BPF_JNE, BPF_REG_1, 0);
        } else {
            ALU_IMM(BPF_AND, BPF_REG_1, r->access);
            JUMP_IMM(BPF_JEQ, BPF_REG_1, 0);
        }
    }
    if (r->major >= 0)
        JUMP_IMM(BPF_JNE, BPF_REG_4, r->major);
    if (r->minor >= 0)
        JUMP_IMM(BPF_JNE, BPF_REG_5, r->minor);
    RETURN(r->allow);
    for (size_t i = start; i < p->n && i < p->cap; i++)
        if (BPF_CLASS(p->mem[i].code) == BPF_JMP && BPF_OP(p->mem[i].code) != BPF_EXIT)
            p->mem[i].off = (int16_t)(p->n - i - 1);
}

/* ---- rules ---- */

static int parse_number(int64_t v, const char *what, int64_t *ret, struct vca_fault *f)
{
    if (v < -1 || v > INT32_MAX)
        return vca_fail(f, 0, "a device rule has the %s number %lld, which cannot exist", what, (long long)v);
    *ret = v;
    return 0;
}

static int parse_rule(const Oci__LinuxDeviceCgroup *in, struct rule *r, struct vca_fault *f)
{
    *r = (struct rule){.allow = !!in->allow, .access = *in->access ? 0 : ALL_ACCESS, .major = -1, .minor = -1};
    for (const char *c = in->access; *c; c++) {
        if (*c != 'r' && *c != 'w' && *c != 'm')
            return vca_fail(f, 0, "a device rule has the access '%.16s'; it must be made of r, w and m", in->access);
        r->access |= *c == 'r' ? BPF_DEVCG_ACC_READ : *c == 'w' ? BPF_DEVCG_ACC_WRITE : BPF_DEVCG_ACC_MKNOD;
    }
    /* A rule for all devices has no numbers: whoever leaves them out sends 0. */
    if (!*in->type || strcmp(in->type, "a") == 0)
        return 0;
    if (strcmp(in->type, "c") != 0 && strcmp(in->type, "b") != 0)
        return vca_fail(f, 0, "a device rule has the type '%.16s'; it must be a, b or c", in->type);
    r->type = *in->type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK;
    if (parse_number(in->major, "major", &r->major, f) < 0)
        return -1;
    return parse_number(in->minor, "minor", &r->minor, f);
}

int vca_devices_program(Oci__LinuxDeviceCgroup *const *rules, size_t n, struct bpf_insn **ret_insns, size_t *ret_n,
                        struct vca_fault *f)
{
    size_t n_defaults = sizeof(defaults) / sizeof(defaults[0]);
    if (n > MAX_RULES)
        return vca_fail(f, 0, "the container has %zu device rules; at most %d are possible", n, MAX_RULES);
    struct program prog = {.cap = 8 + (n + n_defaults) * RULE_INSNS}, *p = &prog;
    vcs_autofree struct bpf_insn *mem = calloc(prog.cap, sizeof(*mem));
    if (!mem)
        return vca_fail(f, ENOMEM, "cannot make the device rules");
    prog.mem = mem;
    emit_head(p);
    /* The last rule that fits decides, so they are asked from the end, and the defaults after them.  A rule for
     * everything ends the search.  The usual "deny all" at the beginning is what the defaults are exceptions of;
     * code after an "allow all" could not be reached, which the kernel would refuse. */
    int allow_all = 0;
    for (size_t i = n; i-- > 0 && !allow_all;) {
        struct rule r;
        if (parse_rule(rules[i], &r, f) < 0)
            return -1;
        int everything = !r.type && r.access == ALL_ACCESS;
        if (everything && !r.allow)
            break;
        emit_rule(p, &r);
        allow_all = everything;
    }
    for (size_t i = n_defaults; i-- > 0 && !allow_all;)
        emit_rule(p, &defaults[i]);
    if (!allow_all)
        RETURN(0);
    *ret_n = prog.n;
    *ret_insns = VCS_TAKE_PTR(mem);
    return 0;
}

/* ---- the kernel ---- */

static long bpf(int cmd, union bpf_attr *attr)
{
    return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int load(const struct bpf_insn *insns, size_t n)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insns = (uintptr_t)insns;
    attr.insn_cnt = (uint32_t)n;
    attr.license = (uintptr_t) "Apache-2.0";
    memcpy(attr.prog_name, "vc_devices", sizeof("vc_devices"));
    return (int)bpf(BPF_PROG_LOAD, &attr);
}

static int attach(int cgroup_fd, int prog, int cmd)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.target_fd = (uint32_t)cgroup_fd;
    attr.attach_bpf_fd = (uint32_t)prog;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = cmd == BPF_PROG_ATTACH ? BPF_F_ALLOW_MULTI : 0;
    return (int)bpf(cmd, &attr);
}

/* Does any rule take something away? */
static int restricts(Oci__LinuxDeviceCgroup *const *rules, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!rules[i]->allow)
            return 1;
    return 0;
}

int vca_devices_attach(int cgroup_fd, Oci__LinuxDeviceCgroup *const *rules, size_t n, int *prog_fd, struct vca_fault *f)
{
    vcs_autofree struct bpf_insn *insns = NULL;
    size_t n_insns;
    if (vca_devices_program(rules, n, &insns, &n_insns, f) < 0)
        return -1;
    vcs_autoclose int prog = load(insns, n_insns);
    if (prog < 0 || attach(cgroup_fd, prog, BPF_PROG_ATTACH) < 0) {
        int sys = errno;
        /* A kernel without these programs: where nothing is forbidden, nothing is lost. */
        if (!restricts(rules, n) && *prog_fd < 0)
            return 0;
        return vca_fail_code(f, VCS_RPC_INTERNAL, sys, "the kernel does not take the container's device rules");
    }
    /* With both attached, only what both allow is allowed: nothing is open meanwhile. */
    if (*prog_fd >= 0) {
        if (attach(cgroup_fd, *prog_fd, BPF_PROG_DETACH) < 0)
            return vca_fail_code(f, VCS_RPC_INTERNAL, errno, "the container's old device rules cannot be removed");
        close(*prog_fd);
    }
    *prog_fd = VCS_TAKE_FD(prog);
    return 0;
}
