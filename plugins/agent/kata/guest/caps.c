/* SPDX-License-Identifier: Apache-2.0 */
/* caps.c: capabilities and resource limits of a container's process. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ctr-internal.h"

static const char *const cap_names[] = {
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
};
#define N_CAPS (sizeof(cap_names) / sizeof(cap_names[0]))

static int parse_set(char *const *names, size_t n, const char *set, uint64_t *ret, struct vca_fault *f)
{
    *ret = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = strncasecmp(names[i], "CAP_", 4) == 0 ? names[i] + 4 : names[i];
        size_t c = 0;
        while (c < N_CAPS && strcasecmp(name, cap_names[c]) != 0)
            c++;
        if (c == N_CAPS)
            return vca_fail(f, 0, "capability '%.64s' in the %s set is not known (CAP_CHOWN, CAP_KILL, ...)", names[i],
                            set);
        *ret |= UINT64_C(1) << c;
    }
    return 0;
}

int vca_caps_parse(const Oci__LinuxCapabilities *caps, struct vca_caps *ret, struct vca_fault *f)
{
    memset(ret, 0, sizeof(*ret));
    if (!caps)
        return 0;
    if (parse_set(caps->bounding, caps->n_bounding, "bounding", &ret->bounding, f) < 0 ||
        parse_set(caps->effective, caps->n_effective, "effective", &ret->effective, f) < 0 ||
        parse_set(caps->inheritable, caps->n_inheritable, "inheritable", &ret->inheritable, f) < 0 ||
        parse_set(caps->permitted, caps->n_permitted, "permitted", &ret->permitted, f) < 0 ||
        parse_set(caps->ambient, caps->n_ambient, "ambient", &ret->ambient, f) < 0)
        return -1;
    if (ret->effective & ~ret->permitted)
        return vca_fail(f, 0, "every effective capability must be in the permitted set too");
    if (ret->ambient & ~(ret->permitted & ret->inheritable))
        return vca_fail(f, 0, "every ambient capability must be in the permitted and inheritable sets too");
    return 0;
}

int vca_caps_bound(const struct vca_caps *caps, struct vca_fault *f)
{
    /* The kernel may know more than the table: those are dropped as well, until it says that there are no more. */
    for (unsigned c = 0; c < 64; c++) {
        int has = prctl(PR_CAPBSET_READ, c, 0, 0, 0);
        if (has < 0)
            break;
        if (has && !(caps->bounding >> c & 1) && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
            return vca_fail(f, errno, "cannot drop capability %s from the bounding set",
                            c < N_CAPS ? cap_names[c] : "(unnamed)");
    }
    return 0;
}

int vca_caps_apply(const struct vca_caps *caps, struct vca_fault *f)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2];
    for (int i = 0; i < 2; i++)
        data[i] = (struct __user_cap_data_struct){
            .effective = (uint32_t)(caps->effective >> (32 * i)),
            .permitted = (uint32_t)(caps->permitted >> (32 * i)),
            .inheritable = (uint32_t)(caps->inheritable >> (32 * i)),
        };
    if (syscall(SYS_capset, &head, data) < 0)
        return vca_fail(f, errno, "cannot set the capabilities (permitted %#llx)", (unsigned long long)caps->permitted);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return vca_fail(f, errno, "cannot clear the ambient capabilities");
    for (unsigned c = 0; c < N_CAPS; c++)
        if (caps->ambient >> c & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0) < 0)
            return vca_fail(f, errno, "cannot raise ambient capability %s", cap_names[c]);
    return 0;
}

static const struct {
    const char *name;
    int resource;
} limits[] = {
    {"AS", RLIMIT_AS},           {"CORE", RLIMIT_CORE},         {"CPU", RLIMIT_CPU},
    {"DATA", RLIMIT_DATA},       {"FSIZE", RLIMIT_FSIZE},       {"LOCKS", RLIMIT_LOCKS},
    {"MEMLOCK", RLIMIT_MEMLOCK}, {"MSGQUEUE", RLIMIT_MSGQUEUE}, {"NICE", RLIMIT_NICE},
    {"NOFILE", RLIMIT_NOFILE},   {"NPROC", RLIMIT_NPROC},       {"RSS", RLIMIT_RSS},
    {"RTPRIO", RLIMIT_RTPRIO},   {"RTTIME", RLIMIT_RTTIME},     {"SIGPENDING", RLIMIT_SIGPENDING},
    {"STACK", RLIMIT_STACK},
};

static struct rlimit first_nofile;
static int nofile_kept;

void vca_rlimits_keep(void)
{
    nofile_kept = getrlimit(RLIMIT_NOFILE, &first_nofile) == 0;
}

int vca_rlimits_apply(const Oci__Process *p, struct vca_fault *f)
{
    if (nofile_kept && setrlimit(RLIMIT_NOFILE, &first_nofile) < 0)
        return vca_fail(f, errno, "cannot set RLIMIT_NOFILE back to %llu", (unsigned long long)first_nofile.rlim_cur);
    for (size_t i = 0; i < p->n_rlimits; i++) {
        const Oci__POSIXRlimit *l = p->rlimits[i];
        const char *name = strncmp(l->type, "RLIMIT_", 7) == 0 ? l->type + 7 : l->type;
        size_t k = 0;
        while (k < sizeof(limits) / sizeof(limits[0]) && strcmp(name, limits[k].name) != 0)
            k++;
        if (k == sizeof(limits) / sizeof(limits[0]))
            return vca_fail(f, 0, "resource limit '%.64s' is not known (RLIMIT_NOFILE, RLIMIT_NPROC, ...)", l->type);
        struct rlimit v = {.rlim_cur = l->soft, .rlim_max = l->hard};
        if (setrlimit((__rlimit_resource_t)limits[k].resource, &v) < 0)
            return vca_fail(f, errno, "cannot set RLIMIT_%s to %llu:%llu", limits[k].name, (unsigned long long)l->soft,
                            (unsigned long long)l->hard);
    }
    return 0;
}
