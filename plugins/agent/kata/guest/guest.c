/* SPDX-License-Identifier: Apache-2.0 */
/* guest.c: processors and memory, clock, random numbers. */
#include "guest.h"

#include <fcntl.h>
#include <string.h>

#include "agent.pb-c.h"
#include "container.h"
#include "lib/io.h"
#include "settle.h"

#define SYS_CPU "/sys/devices/system/cpu"
#define SYS_MEMORY "/sys/devices/system/memory"
#define SYS_ACPI "/sys/bus/acpi/devices"
#define ACPI_MEMORY "PNP0C80:"
#define ACPI_PRESENT 1
#define HOTPLUG_LIMIT_NS 3000000000ll

static int needs_guest(const char *what, struct agent_err *err)
{
    if (agent_config.own_kernel)
        return 0;
    return agent_fail(err, VCS_RPC_PRECONDITION, "%s: this agent has no kernel of its own and leaves that alone", what);
}

/* ---- processors and memory ---- */

/* Write "1" to DIR/PREFIX<n>/online where it is "0", for at most `most` of them; returns how many are done. */
static unsigned online_all(const char *dir, const char *prefix, unsigned most)
{
    vcs_autoclosedir DIR *d = opendir(dir);
    struct dirent *e;
    unsigned n = 0;
    while (d && n < most && (e = readdir(d))) {
        size_t k = strlen(prefix);
        char path[400];
        vcs_autofree char *now = NULL;
        if (strncmp(e->d_name, prefix, k) != 0 || e->d_name[k] < '0' || e->d_name[k] > '9')
            continue;
        snprintf(path, sizeof(path), "%s/%s/online", dir, e->d_name);
        if (vcs_read_file(AT_FDCWD, path, 64, &now, NULL) < 0 || now[0] != '0')
            continue;
        int r = agent_write_file(path, "1");
        if (r < 0)
            agent_log(AGENT_LOG_WARN, "%s cannot be taken into use: %s", path, strerror(-r));
        else
            n++;
    }
    return n;
}

/* Is there memory that has been plugged in and that the kernel has not taken up yet?  Its slots are known to ACPI from
 * the start; the state of one is asked of the machine each time, and it gets a device when the kernel has it. */
static int memory_missing(void)
{
    vcs_autoclosedir DIR *d = opendir(SYS_ACPI);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[300];
        vcs_autofree char *status = NULL;
        if (strncmp(e->d_name, ACPI_MEMORY, sizeof(ACPI_MEMORY) - 1) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/status", e->d_name);
        if (vcs_read_file(dirfd(d), path, 64, &status, NULL) < 0 || !(strtoul(status, NULL, 10) & ACPI_PRESENT))
            continue;
        snprintf(path, sizeof(path), "%s/physical_node", e->d_name);
        if (faccessat(dirfd(d), path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
            return 1;
    }
    return 0;
}

/* Processors and memory that were hotplugged a moment ago may not be there yet. */
struct cpu_wait {
    struct rpc_pending p;
    unsigned missing;
    int cpu_only;
};

static struct list cpu_waits = {&cpu_waits, &cpu_waits};

static void drop_cpu_wait(struct rpc_pending *p)
{
    rpc_pending_end(p);
    free(list_entry(p, struct cpu_wait, p));
}

static void online_memory(int cpu_only)
{
    if (!cpu_only)
        online_all(SYS_MEMORY, "memory", 65536);
}

int guest_waits(void)
{
    return !list_empty(&cpu_waits);
}

void guest_hotplug_event(void)
{
    struct list *l, *tmp;
    list_for_each_safe(l, tmp, &cpu_waits)
    {
        struct rpc_pending *p = list_entry(l, struct rpc_pending, queue_link);
        struct cpu_wait *w = list_entry(p, struct cpu_wait, p);
        if (w->missing)
            w->missing -= online_all(SYS_CPU, "cpu", w->missing);
        if (w->missing || (!w->cpu_only && memory_missing()))
            return;
        online_memory(w->cpu_only);
        rpc_reply_empty(&p->call);
        drop_cpu_wait(p);
    }
}

int m_online_cpu_mem(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__OnlineCPUMemRequest *q = (const void *)msg;
    if (needs_guest("processors and memory", err) < 0)
        return -1;
    if (q->nb_cpus > 4096)
        return agent_fail(err, VCS_RPC_INVALID, "%u processors are more than the limit of 4096", q->nb_cpus);
    unsigned missing = q->nb_cpus - online_all(SYS_CPU, "cpu", q->nb_cpus ? q->nb_cpus : 4096);
    if (q->wait && ((q->nb_cpus && missing) || (!q->cpu_only && memory_missing()))) {
        struct cpu_wait *w = calloc(1, sizeof(*w));
        struct rpc_call limited = *call;
        int64_t end = vcs_now_ns() + HOTPLUG_LIMIT_NS;
        if (!limited.deadline_ns || end < limited.deadline_ns)
            limited.deadline_ns = end;
        if (!w || rpc_pending_add(&w->p, &limited, drop_cpu_wait, err) < 0) {
            if (!w)
                agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
            free(w);
            return -1;
        }
        w->missing = q->nb_cpus ? missing : 0;
        w->cpu_only = q->cpu_only;
        list_add(&cpu_waits, &w->p.queue_link);
        return 0;
    }
    online_memory(q->cpu_only);
    rpc_reply_empty(call);
    return 0;
}

int m_mem_hotplug_by_probe(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__MemHotplugByProbeRequest *q = (const void *)msg;
    if (needs_guest("memory", err) < 0)
        return -1;
    for (size_t i = 0; i < q->n_mem_hotplug_probe_addr; i++) {
        char text[32];
        snprintf(text, sizeof(text), "0x%llx", (unsigned long long)q->mem_hotplug_probe_addr[i]);
        int r = agent_write_file(SYS_MEMORY "/probe", text);
        if (r < 0)
            return agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "memory at %s cannot be probed", text);
    }
    rpc_reply_empty(call);
    return 0;
}

/* ---- details ---- */

static size_t count(const char *const *list)
{
    size_t n = 0;
    while (list[n])
        n++;
    return n;
}

int m_get_guest_details(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__GuestDetailsRequest *q = (const void *)msg;
    Agent__GuestDetailsResponse reply = AGENT__GUEST_DETAILS_RESPONSE__INIT;
    Agent__AgentDetails details = AGENT__AGENT_DETAILS__INIT;
    vcs_autofree char *text = NULL;
    (void)err;
    if (q->mem_block_size && vcs_read_file(AT_FDCWD, SYS_MEMORY "/block_size_bytes", 64, &text, NULL) == 0)
        reply.mem_block_size_bytes = strtoull(text, NULL, 16);
    if (q->mem_hotplug_probe)
        reply.support_mem_hotplug_probe = access(SYS_MEMORY "/probe", F_OK) == 0;
    details.version = (char *)AGENT_VERSION;
    details.init_daemon = agent_config.is_init;
    details.supports_seccomp = 1;
    details.storage_handlers = (char **)ctr_storage_drivers();
    details.n_storage_handlers = count(ctr_storage_drivers());
    details.device_handlers = (char **)ctr_device_types();
    details.n_device_handlers = count(ctr_device_types());
    reply.agent_details = &details;
    rpc_reply(call, &reply.base);
    return 0;
}

/* ---- clock and random numbers ---- */

int m_set_guest_date_time(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__SetGuestDateTimeRequest *q = (const void *)msg;
    if (q->usec < 0 || q->usec > 999999)
        return agent_fail(err, VCS_RPC_INVALID, "%lld us are not part of a second", (long long)q->usec);
    if (guest_set_clock(q->sec, q->usec * 1000, err) < 0)
        return -1;
    rpc_reply_empty(call);
    return 0;
}

int m_reseed_random_dev(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__ReseedRandomDevRequest *q = (const void *)msg;
    if (guest_reseed(q->data.data, q->data.len, err) < 0)
        return -1;
    rpc_reply_empty(call);
    return 0;
}
