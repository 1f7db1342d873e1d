/* SPDX-License-Identifier: Apache-2.0 */
/* accel.c: facts about this machine's processor: does KVM really work, and how fast is its TSC. */
#include "qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include <linux/kvm.h>

#include "lib/cleanup.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>

/* VMX or SVM: without either, /dev/kvm is a software monitor that opens and even makes VMs, yet cannot run a stock
 * kernel to its end. */
static bool cpu_has_virtualization(void)
{
    unsigned a, b, c, d;

    if (__get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 5)))
        return true;
    return __get_cpuid(0x80000001u, &a, &b, &c, &d) && (c & (1u << 2));
}

bool qemu_kvm_works(const char **ret_why)
{
    vcs_autoclose int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        *ret_why = errno == ENOENT ? "there is no /dev/kvm" : "/dev/kvm cannot be opened";
        return false;
    }
    if (!cpu_has_virtualization()) {
        *ret_why = "the processor shows neither vmx nor svm, so /dev/kvm is not hardware virtualization";
        return false;
    }
    if (ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
        *ret_why = "/dev/kvm speaks another version of its interface";
        return false;
    }
    *ret_why = "the processor has virtualization and /dev/kvm opens";
    return true;
}

/* Time and TSC at one instant, as close as a few tries get. */
static void sample(uint64_t *ret_ns, uint64_t *ret_tsc)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 8; i++) {
        struct timespec t;
        uint64_t before = __rdtsc(), after;

        clock_gettime(CLOCK_MONOTONIC_RAW, &t);
        after = __rdtsc();
        if (after - before >= best)
            continue;
        best = after - before;
        *ret_tsc = before + best / 2;
        *ret_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    }
}

uint32_t qemu_tsc_khz(void)
{
    static _Atomic uint32_t cached;
    uint32_t khz = atomic_load_explicit(&cached, memory_order_relaxed);
    uint64_t ns0 = 0, ns1 = 0, tsc0 = 0, tsc1 = 0;
    unsigned a, b, c, d;

    /* An invariant TSC runs at one speed; any other must be left to the guest. */
    if (khz || !__get_cpuid(0x80000007u, &a, &b, &c, &d) || !(d & (1u << 8)))
        return khz;
    sample(&ns0, &tsc0);
    do
        sample(&ns1, &tsc1);
    while (ns1 - ns0 < 2000000);
    khz = (uint32_t)((double)(tsc1 - tsc0) * 1e6 / (double)(ns1 - ns0) + 0.5);
    atomic_store_explicit(&cached, khz, memory_order_relaxed);
    return khz;
}

static uint64_t mix(uint64_t sum, uint32_t v)
{
    sum = (sum ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 32;
}

uint64_t qemu_cpu_identity(void)
{
    /* Vendor, model, features, frequencies, brand, and widths of addresses. */
    static const unsigned leaves[] = { 0,           1,           7,           0xd,         0x15,
                                       0x16,        0x80000000u, 0x80000001u, 0x80000002u, 0x80000003u,
                                       0x80000004u, 0x80000007u, 0x80000008u };
    uint64_t sum = 0;

    for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
        unsigned a = 0, b = 0, c = 0, d = 0;

        if (!__get_cpuid_count(leaves[i], 0, &a, &b, &c, &d))
            continue;
        if (leaves[i] == 1)
            b &= 0xffffu; /* above stands which processor this very one is */
        if (leaves[i] == 0xd)
            b = 0; /* what the process has enabled */
        sum = mix(mix(mix(mix(mix(sum, leaves[i]), a), b), c), d);
    }
    return sum;
}

#else

uint64_t qemu_cpu_identity(void)
{
    return 0;
}

bool qemu_kvm_works(const char **ret_why)
{
    *ret_why = "this machine is no x86-64, so KVM cannot run x86-64 guests";
    return false;
}

uint32_t qemu_tsc_khz(void)
{
    return 0;
}

#endif

void qemu_cpu_microcode(char *buf, size_t size)
{
    vcs_autofclose FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256], *p;

    snprintf(buf, size, "unknown");
    while (f && fgets(line, sizeof(line), f))
        if (!strncmp(line, "microcode", 9) && (p = strchr(line, ':'))) {
            p += 1 + strspn(p + 1, " \t");
            snprintf(buf, size, "%.*s", (int)strcspn(p, " \t\n"), p);
            return;
        }
}
