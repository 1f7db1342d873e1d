/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup-limits.c: the OCI resources, written for version 1, as settings of cgroup version 2. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"

/* A limit that does not reach its file has not been applied, whatever the reason. */
static int put(struct vca_cgroup *cg, const char *file, const char *value, struct vca_fault *f)
{
    if (cg->fd < 0)
        return vca_fail_code(f, VCS_RPC_PRECONDITION, 0, "limit %s=%s needs cgroups, which are switched off", file,
                             value);
    int r = vca_write_at(cg->fd, file, value);
    if (r == -ENOENT)
        return vca_fail_code(f, VCS_RPC_PRECONDITION, 0, "limit %s=%s cannot be applied: the guest's kernel has no %s",
                             file, value, file);
    if (r < 0)
        return vca_fail(f, -r, "limit %s=%s cannot be applied", file, value);
    return 0;
}

static int put_number(struct vca_cgroup *cg, const char *file, int64_t value, struct vca_fault *f)
{
    char text[32] = "max";
    if (value >= 0)
        snprintf(text, sizeof(text), "%" PRId64, value);
    return put(cg, file, text, f);
}

static int refuse(const char *what, struct vca_fault *f)
{
    return vca_fail_code(f, VCS_RPC_UNIMPLEMENTED, 0, "%s cannot be applied: cgroup version 2 has no such limit", what);
}

static int64_t current_limit(struct vca_cgroup *cg, const char *file)
{
    char text[64];
    if (cg->fd < 0 || vca_cgroup_read(cg, file, text, sizeof(text)) <= 0 || strncmp(text, "max", 3) == 0)
        return -1;
    return (int64_t)strtoull(text, NULL, 10);
}

/* OCI's swap is memory plus swap; here it is swap alone. */
static int limit_swap(struct vca_cgroup *cg, const Oci__LinuxMemory *mem, struct vca_fault *f)
{
    int64_t swap = mem->swap;
    if (swap > 0) {
        int64_t limit = mem->limit ? mem->limit : current_limit(cg, "memory.max");
        if (limit < 0)
            return vca_fail(f, 0, "a limit of memory and swap (%" PRId64 ") needs a limit of memory as well", swap);
        if (swap < limit)
            return vca_fail(f, 0, "the limit of memory and swap (%" PRId64 ") is below that of memory (%" PRId64 ")",
                            swap, limit);
        swap -= limit;
    }
    /* A kernel without swap accounting need not be told "unlimited", and one without swap not "none". */
    if (swap <= 0 && cg->fd >= 0 && faccessat(cg->fd, "memory.swap.max", F_OK, 0) < 0 &&
        (swap < 0 || access("/proc/swaps", F_OK) < 0))
        return 0;
    return put_number(cg, "memory.swap.max", swap, f);
}

static int limit_memory(struct vca_cgroup *cg, const Oci__LinuxMemory *mem, struct vca_fault *f)
{
    if (mem->kernel > 0)
        return refuse("the limit of kernel memory", f);
    if (mem->kernel_tcp > 0)
        return refuse("the limit of kernel TCP memory", f);
    if (mem->swappiness)
        return refuse("swappiness", f);
    if (mem->disable_oom_killer)
        return refuse("disableOOMKiller", f);
    if (mem->swap && limit_swap(cg, mem, f) < 0)
        return -1;
    if (mem->limit && put_number(cg, "memory.max", mem->limit, f) < 0)
        return -1;
    return mem->reservation ? put_number(cg, "memory.low", mem->reservation, f) : 0;
}

/* Shares 2..262144 (1024 is normal) to weights 1..10000 (100 is normal), by the usual linear rule. */
static int64_t weight_of_shares(uint64_t shares)
{
    if (shares < 2)
        shares = 2;
    if (shares > 262144)
        shares = 262144;
    return (int64_t)(1 + (shares - 2) * 9999 / 262142);
}

static int limit_cpu(struct vca_cgroup *cg, const Oci__LinuxCPU *cpu, struct vca_fault *f)
{
    char text[96], old[64];
    if (cpu->realtime_runtime || cpu->realtime_period)
        return refuse("realtime CPU time", f);
    if (cpu->shares && put_number(cg, "cpu.weight", weight_of_shares(cpu->shares), f) < 0)
        return -1;
    if (cpu->quota || cpu->period) {
        if (cpu->quota > 0) {
            snprintf(text, sizeof(text), "%" PRId64, cpu->quota);
        } else if (cpu->quota < 0 || cg->fd < 0 || vca_cgroup_read(cg, "cpu.max", old, sizeof(old)) <= 0) {
            snprintf(text, sizeof(text), "max");
        } else { /* the period alone changes */
            old[strcspn(old, " \n")] = '\0';
            snprintf(text, sizeof(text), "%s", old);
        }
        if (cpu->period)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), " %" PRIu64, cpu->period);
        if (put(cg, "cpu.max", text, f) < 0)
            return -1;
    }
    if (*cpu->cpus && put(cg, "cpuset.cpus", cpu->cpus, f) < 0)
        return -1;
    return *cpu->mems ? put(cg, "cpuset.mems", cpu->mems, f) : 0;
}

static int limit_rates(struct vca_cgroup *cg, Oci__LinuxThrottleDevice *const *dev, size_t n, const char *key,
                       struct vca_fault *f)
{
    for (size_t i = 0; i < n; i++) {
        char text[128], rate[32] = "max";
        if (dev[i]->rate)
            snprintf(rate, sizeof(rate), "%" PRIu64, dev[i]->rate);
        snprintf(text, sizeof(text), "%" PRId64 ":%" PRId64 " %s=%s", dev[i]->major, dev[i]->minor, key, rate);
        if (put(cg, "io.max", text, f) < 0)
            return -1;
    }
    return 0;
}

/* Weights 10..1000 become 1..10000, except for the BFQ scheduler, which knows the former. */
static int limit_weight(struct vca_cgroup *cg, const char *device, uint32_t weight, struct vca_fault *f)
{
    char text[96];
    int bfq = cg->fd >= 0 && faccessat(cg->fd, "io.bfq.weight", F_OK, 0) == 0;
    if (weight < 10 || weight > 1000)
        return vca_fail(f, 0, "block I/O weight %u must be from 10 to 1000", weight);
    uint32_t value = bfq ? weight : 1 + (weight - 10) * 9999 / 990;
    snprintf(text, sizeof(text), "%s%s%u", device, *device ? " " : "", value);
    return put(cg, bfq ? "io.bfq.weight" : "io.weight", text, f);
}

static int limit_io(struct vca_cgroup *cg, const Oci__LinuxBlockIO *io, struct vca_fault *f)
{
    if (io->leaf_weight)
        return refuse("the leaf weight of block I/O", f);
    if (io->weight && limit_weight(cg, "", io->weight, f) < 0)
        return -1;
    for (size_t i = 0; i < io->n_weight_device; i++) {
        const Oci__LinuxWeightDevice *d = io->weight_device[i];
        char device[64];
        if (d->leaf_weight)
            return refuse("the leaf weight of block I/O", f);
        snprintf(device, sizeof(device), "%" PRId64 ":%" PRId64, d->major, d->minor);
        if (limit_weight(cg, device, d->weight, f) < 0)
            return -1;
    }
    if (limit_rates(cg, io->throttle_read_bps_device, io->n_throttle_read_bps_device, "rbps", f) < 0 ||
        limit_rates(cg, io->throttle_write_bps_device, io->n_throttle_write_bps_device, "wbps", f) < 0 ||
        limit_rates(cg, io->throttle_read_iops_device, io->n_throttle_read_iops_device, "riops", f) < 0 ||
        limit_rates(cg, io->throttle_write_iops_device, io->n_throttle_write_iops_device, "wiops", f) < 0)
        return -1;
    return 0;
}

static int limit_hugepages(struct vca_cgroup *cg, const Oci__LinuxHugepageLimit *h, struct vca_fault *f)
{
    char file[64], text[32];
    size_t len = strlen(h->pagesize);
    if (!len || len > 16 || strspn(h->pagesize, "0123456789KMGB") != len)
        return vca_fail(f, 0, "huge page size '%.32s' must look like 2MB", h->pagesize);
    snprintf(file, sizeof(file), "hugetlb.%s.max", h->pagesize);
    snprintf(text, sizeof(text), "%" PRIu64, h->limit);
    return put(cg, file, text, f);
}

int vca_cgroup_limit(struct vca_cgroup *cg, const Oci__LinuxResources *res, struct vca_fault *f)
{
    if (!res)
        return 0;
    if (res->network && (res->network->class_id || res->network->n_priorities))
        return refuse("network class and priorities", f);
    if ((res->memory && limit_memory(cg, res->memory, f) < 0) || (res->cpu && limit_cpu(cg, res->cpu, f) < 0))
        return -1;
    if (res->pids && res->pids->limit && put_number(cg, "pids.max", res->pids->limit, f) < 0)
        return -1;
    if (res->block_io && limit_io(cg, res->block_io, f) < 0)
        return -1;
    for (size_t i = 0; i < res->n_hugepage_limits; i++)
        if (limit_hugepages(cg, res->hugepage_limits[i], f) < 0)
            return -1;
    return 0;
}
