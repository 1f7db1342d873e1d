/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup-stats.c: the counters of a cgroup as the agent protocol's messages. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"

#define TEXT_MAX 16384

/* A message of a type that protobuf-c made, from malloc, so that its free functions fit. */
#define NEW(type, init)                     \
    __extension__({                         \
        type *new_ = malloc(sizeof(*new_)); \
        if (new_)                           \
            init(new_);                     \
        new_;                               \
    })

/* The number in a file; "max" is the largest, a missing file 0. */
static uint64_t number(struct vca_cgroup *cg, const char *file)
{
    char text[64];
    if (vca_cgroup_read(cg, file, text, sizeof(text)) <= 0)
        return 0;
    return strncmp(text, "max", 3) == 0 ? UINT64_MAX : strtoull(text, NULL, 10);
}

/* Append a pointer to a protobuf-c array; takes `item` in any case.  0, or -1 without memory. */
static int append(void *array, size_t *n, void *item, void (*drop)(void *))
{
    void ***list = array;
    void **mem = item ? realloc(*list, (*n + 1) * sizeof(*mem)) : NULL;
    if (!mem) {
        if (item)
            drop(item);
        return -1;
    }
    mem[(*n)++] = item;
    *list = mem;
    return 0;
}

static void drop_message(void *m)
{
    protobuf_c_message_free_unpacked(m, NULL);
}

static Agent__CpuStats *cpu_stats(struct vca_cgroup *cg)
{
    char text[2048];
    Agent__CpuStats *s = NEW(Agent__CpuStats, agent__cpu_stats__init);
    if (!s)
        return NULL;
    s->cpu_usage = NEW(Agent__CpuUsage, agent__cpu_usage__init);
    s->throttling_data = NEW(Agent__ThrottlingData, agent__throttling_data__init);
    if (!s->cpu_usage || !s->throttling_data) {
        drop_message(s);
        return NULL;
    }
    if (vca_cgroup_read(cg, "cpu.stat", text, sizeof(text)) <= 0)
        return s;
    /* The protocol counts nanoseconds. */
    s->cpu_usage->total_usage = vca_cgroup_key(text, "usage_usec") * 1000;
    s->cpu_usage->usage_in_usermode = vca_cgroup_key(text, "user_usec") * 1000;
    s->cpu_usage->usage_in_kernelmode = vca_cgroup_key(text, "system_usec") * 1000;
    s->throttling_data->periods = vca_cgroup_key(text, "nr_periods");
    s->throttling_data->throttled_periods = vca_cgroup_key(text, "nr_throttled");
    s->throttling_data->throttled_time = vca_cgroup_key(text, "throttled_usec") * 1000;
    return s;
}

static Agent__MemoryData *memory_data(uint64_t usage, uint64_t peak, uint64_t fails, uint64_t limit)
{
    Agent__MemoryData *d = NEW(Agent__MemoryData, agent__memory_data__init);
    if (d) {
        d->usage = usage;
        d->max_usage = peak;
        d->failcnt = fails;
        d->limit = limit;
    }
    return d;
}

static int add_counter(Agent__MemoryStats *s, const char *name, uint64_t value)
{
    Agent__CounterEntry *e = NEW(Agent__CounterEntry, agent__counter_entry__init);
    char *key = strdup(name);
    if (e && key) {
        e->key = key;
        e->value = value;
    } else {
        free(key);
        free(e);
        e = NULL;
    }
    return append(&s->stats, &s->n_stats, e, drop_message);
}

/* memory.stat as it is: a map of all its words. */
static int memory_map(Agent__MemoryStats *s, char *text)
{
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *space = strchr(line, ' ');
        if (!space)
            continue;
        *space = '\0';
        if (add_counter(s, line, strtoull(space + 1, NULL, 10)) < 0)
            return -1;
    }
    return 0;
}

static Agent__MemoryStats *memory_stats(struct vca_cgroup *cg)
{
    char events[512] = "";
    vcs_autofree char *text = malloc(TEXT_MAX);
    Agent__MemoryStats *s = NEW(Agent__MemoryStats, agent__memory_stats__init);
    if (!s || !text) {
        free(s);
        return NULL;
    }
    if (vca_cgroup_read(cg, "memory.stat", text, TEXT_MAX) < 0)
        *text = '\0';
    if (vca_cgroup_read(cg, "memory.events", events, sizeof(events)) < 0)
        *events = '\0';
    s->use_hierarchy = 1;
    s->cache = vca_cgroup_key(text, "file");
    uint64_t current = number(cg, "memory.current"); /* before the peak, which is not below it then */
    s->usage = memory_data(current, number(cg, "memory.peak"), vca_cgroup_key(events, "max"), number(cg, "memory.max"));
    s->swap_usage = memory_data(number(cg, "memory.swap.current"), 0, 0, number(cg, "memory.swap.max"));
    s->kernel_usage = memory_data(vca_cgroup_key(text, "kernel"), 0, 0, UINT64_MAX);
    /* The map has the one event that the protocol has no place for, too: processes that were killed. */
    if (!s->usage || !s->swap_usage || !s->kernel_usage || memory_map(s, text) < 0 ||
        add_counter(s, "oom_kill", vca_cgroup_key(events, "oom_kill")) < 0) {
        drop_message(s);
        return NULL;
    }
    return s;
}

static int add_io(Agent__BlkioStatsEntry ***list, size_t *n, unsigned major, unsigned minor, const char *op,
                  uint64_t value)
{
    Agent__BlkioStatsEntry *e = NEW(Agent__BlkioStatsEntry, agent__blkio_stats_entry__init);
    char *copy = strdup(op);
    if (!e || !copy) {
        free(copy);
        free(e);
        return -1;
    }
    e->major = major;
    e->minor = minor;
    e->op = copy;
    e->value = value;
    return append(list, n, e, drop_message);
}

/* Lines of io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ..." */
static Agent__BlkioStats *blkio_stats(struct vca_cgroup *cg)
{
    vcs_autofree char *text = malloc(TEXT_MAX);
    Agent__BlkioStats *s = NEW(Agent__BlkioStats, agent__blkio_stats__init);
    if (!s || !text) {
        free(s);
        return NULL;
    }
    if (vca_cgroup_read(cg, "io.stat", text, TEXT_MAX) <= 0)
        return s;
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        unsigned major, minor;
        uint64_t rb, wb, ri, wi;
        if (sscanf(line, "%u:%u rbytes=%" SCNu64 " wbytes=%" SCNu64 " rios=%" SCNu64 " wios=%" SCNu64, &major, &minor,
                   &rb, &wb, &ri, &wi) != 6)
            continue;
        if (add_io(&s->io_service_bytes_recursive, &s->n_io_service_bytes_recursive, major, minor, "Read", rb) < 0 ||
            add_io(&s->io_service_bytes_recursive, &s->n_io_service_bytes_recursive, major, minor, "Write", wb) < 0 ||
            add_io(&s->io_serviced_recursive, &s->n_io_serviced_recursive, major, minor, "Read", ri) < 0 ||
            add_io(&s->io_serviced_recursive, &s->n_io_serviced_recursive, major, minor, "Write", wi) < 0) {
            drop_message(s);
            return NULL;
        }
    }
    return s;
}

static int add_hugetlb(struct vca_cgroup *cg, const char *size, Agent__CgroupStats *s)
{
    char file[96], events[128] = "";
    Agent__HugetlbEntry *e = NEW(Agent__HugetlbEntry, agent__hugetlb_entry__init);
    if (!e)
        return -1;
    e->value = NEW(Agent__HugetlbStats, agent__hugetlb_stats__init);
    char *key = strdup(size);
    if (!e->value || !key) {
        free(key);
        drop_message(e);
        return -1;
    }
    e->key = key;
    snprintf(file, sizeof(file), "hugetlb.%s.current", size);
    e->value->usage = number(cg, file);
    snprintf(file, sizeof(file), "hugetlb.%s.events", size);
    if (vca_cgroup_read(cg, file, events, sizeof(events)) > 0)
        e->value->failcnt = vca_cgroup_key(events, "max");
    return append(&s->hugetlb_stats, &s->n_hugetlb_stats, e, drop_message);
}

static int hugetlb_stats(struct vca_cgroup *cg, Agent__CgroupStats *s)
{
    int fd = openat(cg->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    vcs_autoclosedir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        char size[32];
        int end = 0;
        if (sscanf(e->d_name, "hugetlb.%16[0-9KMGB].current%n", size, &end) == 1 && end && !e->d_name[end] &&
            add_hugetlb(cg, size, s) < 0)
            return -1;
    }
    return 0;
}

Agent__CgroupStats *vca_cgroup_stats(struct vca_cgroup *cg)
{
    Agent__CgroupStats *s = NEW(Agent__CgroupStats, agent__cgroup_stats__init);
    if (!s)
        return NULL;
    s->cpu_stats = cpu_stats(cg);
    s->memory_stats = memory_stats(cg);
    s->pids_stats = NEW(Agent__PidsStats, agent__pids_stats__init);
    s->blkio_stats = blkio_stats(cg);
    if (!s->cpu_stats || !s->memory_stats || !s->pids_stats || !s->blkio_stats || hugetlb_stats(cg, s) < 0) {
        drop_message(s);
        return NULL;
    }
    s->pids_stats->current = number(cg, "pids.current");
    uint64_t limit = number(cg, "pids.max");
    s->pids_stats->limit = limit == UINT64_MAX ? 0 : limit; /* 0 is "without limit" in the protocol */
    return s;
}
