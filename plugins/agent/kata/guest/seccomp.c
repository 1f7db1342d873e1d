/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp.c: the OCI seccomp profile, through libseccomp. */
#include <errno.h>
#include <seccomp.h>
#include <string.h>

#include "ctr-internal.h"

static void release(scmp_filter_ctx *ctx)
{
    if (*ctx)
        seccomp_release(*ctx);
}
#define autorelease __attribute__((cleanup(release)))

struct word {
    const char *name;
    uint32_t value;
};

static const struct word arches[] = {
    {"X86", SCMP_ARCH_X86},           {"X86_64", SCMP_ARCH_X86_64},     {"X32", SCMP_ARCH_X32},
    {"ARM", SCMP_ARCH_ARM},           {"AARCH64", SCMP_ARCH_AARCH64},   {"MIPS", SCMP_ARCH_MIPS},
    {"MIPS64", SCMP_ARCH_MIPS64},     {"MIPS64N32", SCMP_ARCH_MIPS64N32}, {"MIPSEL", SCMP_ARCH_MIPSEL},
    {"MIPSEL64", SCMP_ARCH_MIPSEL64}, {"MIPSEL64N32", SCMP_ARCH_MIPSEL64N32}, {"PPC", SCMP_ARCH_PPC},
    {"PPC64", SCMP_ARCH_PPC64},       {"PPC64LE", SCMP_ARCH_PPC64LE},   {"S390", SCMP_ARCH_S390},
    {"S390X", SCMP_ARCH_S390X},       {"PARISC", SCMP_ARCH_PARISC},     {"PARISC64", SCMP_ARCH_PARISC64},
    {"RISCV64", SCMP_ARCH_RISCV64},   {NULL, 0},
};

static const struct word ops[] = {
    {"SCMP_CMP_NE", SCMP_CMP_NE}, {"SCMP_CMP_LT", SCMP_CMP_LT}, {"SCMP_CMP_LE", SCMP_CMP_LE},
    {"SCMP_CMP_EQ", SCMP_CMP_EQ}, {"SCMP_CMP_GE", SCMP_CMP_GE}, {"SCMP_CMP_GT", SCMP_CMP_GT},
    {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}, {NULL, 0},
};

static int look_up(const struct word *table, const char *name, uint32_t *ret)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0) {
            *ret = table->value;
            return 0;
        }
    return -1;
}

static int parse_action(const char *name, uint32_t errno_ret, uint32_t *ret, struct vca_fault *f)
{
    static const struct word plain[] = {
        {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD}, {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
        {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS}, {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
        {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW}, {"SCMP_ACT_LOG", SCMP_ACT_LOG}, {NULL, 0},
    };
    uint32_t e = errno_ret ? errno_ret : EPERM;
    if (e > 4095)
        return vca_fail(f, 0, "seccomp: errnoRet %u is above 4095", e);
    if (strcmp(name, "SCMP_ACT_ERRNO") == 0)
        *ret = SCMP_ACT_ERRNO(e);
    else if (strcmp(name, "SCMP_ACT_TRACE") == 0)
        *ret = SCMP_ACT_TRACE(e);
    else if (look_up(plain, name, ret) < 0)
        return vca_fail(f, 0, "seccomp: action '%.64s' is not known (SCMP_ACT_ALLOW, _ERRNO, _KILL, _KILL_THREAD, "
                              "_KILL_PROCESS, _TRAP, _TRACE, _LOG)", name);
    return 0;
}

static int add_arches(scmp_filter_ctx ctx, const Oci__LinuxSeccomp *sec, struct vca_fault *f)
{
    for (size_t i = 0; i < sec->n_architectures; i++) {
        const char *name = sec->architectures[i];
        uint32_t arch;
        if (strncmp(name, "SCMP_ARCH_", 10) != 0 || look_up(arches, name + 10, &arch) < 0)
            return vca_fail(f, 0, "seccomp: architecture '%.64s' is not known (SCMP_ARCH_X86_64, ...)", name);
        int r = seccomp_arch_add(ctx, arch);
        if (r < 0 && r != -EEXIST)
            return vca_fail(f, -r, "seccomp: cannot add architecture %s", name);
    }
    return 0;
}

static int add_flags(scmp_filter_ctx ctx, const Oci__LinuxSeccomp *sec, struct vca_fault *f)
{
    for (size_t i = 0; i < sec->n_flags; i++) {
        const char *name = sec->flags[i];
        int r;
        if (strcmp(name, "SECCOMP_FILTER_FLAG_LOG") == 0)
            r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
        else if (strcmp(name, "SECCOMP_FILTER_FLAG_SPEC_ALLOW") == 0)
            r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_SSB, 1);
        else if (strcmp(name, "SECCOMP_FILTER_FLAG_TSYNC") == 0)
            r = 0; /* the process has one thread, so there is nothing to synchronise */
        else
            return vca_fail(f, 0, "seccomp: flag '%.64s' is not supported (SECCOMP_FILTER_FLAG_TSYNC, _LOG, "
                                  "_SPEC_ALLOW)", name);
        if (r < 0)
            return vca_fail(f, -r, "seccomp: cannot set flag %s", name);
    }
    return 0;
}

/* The comparisons of one rule.  Several on one argument are alternatives in the OCI specification's
 * reference behaviour, but libseccomp joins all comparisons of a rule by "and" and takes each argument
 * once: *ret_alt says that each comparison has to become a rule of its own. */
static int parse_args(const Oci__LinuxSyscall *sc, struct scmp_arg_cmp cmp[6], int *ret_alt, struct vca_fault *f)
{
    unsigned seen = 0;
    *ret_alt = 0;
    if (sc->n_args > 6)
        return vca_fail(f, 0, "seccomp: a rule has %zu arguments; at most 6 are possible", sc->n_args);
    for (size_t i = 0; i < sc->n_args; i++) {
        const Oci__LinuxSeccompArg *a = sc->args[i];
        uint32_t op;
        if (a->index > 5)
            return vca_fail(f, 0, "seccomp: argument index %llu is above 5", (unsigned long long)a->index);
        if (look_up(ops, a->op, &op) < 0)
            return vca_fail(f, 0, "seccomp: operator '%.64s' is not known (SCMP_CMP_EQ, ...)", a->op);
        cmp[i] = (struct scmp_arg_cmp){.arg = (unsigned)a->index, .op = (enum scmp_compare)op, .datum_a = a->value,
                                       .datum_b = a->value_two};
        if (seen >> a->index & 1)
            *ret_alt = 1;
        seen |= 1u << a->index;
    }
    return 0;
}

static int add_rule(scmp_filter_ctx ctx, const Oci__LinuxSyscall *sc, uint32_t def_action, struct vca_fault *f)
{
    uint32_t action;
    struct scmp_arg_cmp cmp[6];
    int alternatives;
    if (parse_action(sc->action, sc->errno_ret, &action, f) < 0 || parse_args(sc, cmp, &alternatives, f) < 0)
        return -1;
    if (action == def_action)
        return 0; /* libseccomp refuses rules that change nothing */
    for (size_t i = 0; i < sc->n_names; i++) {
        int nr = seccomp_syscall_resolve_name(sc->names[i]);
        /* Profiles name the calls of all kernels and processors: one that does not exist here cannot be made. */
        if (nr == __NR_SCMP_ERROR)
            continue;
        int r = 0;
        if (alternatives)
            for (size_t k = 0; k < sc->n_args && r >= 0; k++)
                r = seccomp_rule_add_array(ctx, action, nr, 1, &cmp[k]);
        else
            r = seccomp_rule_add_array(ctx, action, nr, (unsigned)sc->n_args, cmp);
        if (r < 0 && r != -EDOM && r != -EEXIST)
            return vca_fail(f, -r, "seccomp: cannot add the rule for %.64s", sc->names[i]);
    }
    return 0;
}

static int build(const Oci__LinuxSeccomp *sec, scmp_filter_ctx *ret, struct vca_fault *f)
{
    uint32_t def_action;
    if (parse_action(sec->default_action, sec->default_errno_ret, &def_action, f) < 0)
        return -1;
    autorelease scmp_filter_ctx ctx = seccomp_init(def_action);
    if (!ctx)
        return vca_fail(f, ENOMEM, "seccomp: cannot start a filter with default action %.64s", sec->default_action);
    /* no_new_privs is the spec's own choice; system calls of other architectures get the filter's action too. */
    if (seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0) < 0)
        return vca_fail(f, EINVAL, "seccomp: cannot prepare the filter");
    if (add_arches(ctx, sec, f) < 0 || add_flags(ctx, sec, f) < 0)
        return -1;
    for (size_t i = 0; i < sec->n_syscalls; i++)
        if (add_rule(ctx, sec->syscalls[i], def_action, f) < 0)
            return -1;
    *ret = VCS_TAKE_PTR(ctx);
    return 0;
}

int vca_seccomp_check(const Oci__LinuxSeccomp *sec, struct vca_fault *f)
{
    autorelease scmp_filter_ctx ctx = NULL;
    return build(sec, &ctx, f);
}

int vca_seccomp_load(const Oci__LinuxSeccomp *sec, struct vca_fault *f)
{
    autorelease scmp_filter_ctx ctx = NULL;
    if (build(sec, &ctx, f) < 0)
        return -1;
    int r = seccomp_load(ctx);
    if (r < 0)
        return vca_fail(f, -r, "seccomp: the kernel refused the filter");
    return 0;
}
