/* SPDX-License-Identifier: Apache-2.0 */
/* report.c: process lists and statistics of a container as JSON text. */
#include <json-c/json.h>
#include <string.h>

#include "kata.h"

#define LIST_MAX   16384u /* more do not fit into what a host takes */
#define VALUES_MAX (8 * LIST_MAX)
#define REPORT_MAX (960u * 1024) /* of a list of processes: a host takes 1 MiB */
#define ENTRY_MIN  400u          /* of an object, all but its command line */
#define TEXT_MAX   1024u
#define COMM_SIZE  140u

/* Write an object to a sink and free it; `o` NULL means that there was no memory. */
static int put(vc_inst *inst, const struct vc_call *call, struct json_object *o, vc_sink *sink)
{
    const char *text =
        o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : NULL;
    int rc = text ? vcs_put(inst->host, sink, text) : VC_E_NOMEM;
    json_object_put(o);
    return rc == VC_OK ? rc : vcs_fail(inst->host, call, rc, 0, "agent kata: the report cannot be written");
}

/* ---- ps ---- */

/* How long the texts of one of n processes may be: all of them together have to fit into what a host takes. */
static size_t ps_text_size(size_t n)
{
    size_t share = REPORT_MAX / n;
    size_t size = share > ENTRY_MIN ? (share - ENTRY_MIN) / 2 : 0; /* a character may be written as two */
    return size < TEXT_MAX ? size : TEXT_MAX;
}

/* One element of the agent's list in our form: an object, or (older agents) a pid alone.  NULL when it is
 * neither. */
static struct json_object *ps_entry(struct json_object *in, size_t text_size)
{
    static const char *const numbers[] = { "pid", "ppid", "uid" }, *const texts[] = { "comm", "cmd" };
    int pid_only = json_object_is_type(in, json_type_int);
    if (!pid_only && !json_object_is_type(in, json_type_object))
        return NULL;
    struct json_object *out = json_object_new_object(), *val = NULL;
    if (!out)
        return NULL;
    if (pid_only) {
        json_object_object_add(out, "pid", json_object_new_int64(json_object_get_int64(in)));
        return out;
    }
    for (size_t i = 0; i < 3; i++) {
        if (!json_object_object_get_ex(in, numbers[i], &val))
            continue;
        if (!json_object_is_type(val, json_type_int)) {
            json_object_put(out);
            return NULL;
        }
        json_object_object_add(out, numbers[i], json_object_new_int64(json_object_get_int64(val)));
    }
    for (size_t i = 0; i < 2 && text_size; i++) {
        char text[TEXT_MAX];
        if (!json_object_object_get_ex(in, texts[i], &val) || !json_object_is_type(val, json_type_string))
            continue;
        kata_clean(text, i ? text_size : COMM_SIZE, json_object_get_string(val), (size_t)json_object_get_string_len(val));
        json_object_object_add(out, texts[i], json_object_new_string(text));
    }
    if (!json_object_object_get_ex(out, "pid", NULL)) {
        json_object_put(out);
        return NULL;
    }
    return out;
}

/* A few bytes of JSON make an object of hundreds: are there no more than a list may have? */
static int ps_bounded(const ProtobufCBinaryData *text)
{
    size_t objects = 0, values = 0;
    int in_string = 0;
    for (size_t i = 0; i < text->len; i++) {
        unsigned char c = text->data[i];
        if (c == '"')
            in_string = !in_string;
        else if (in_string)
            i += c == '\\';
        else {
            objects += c == '{' || c == '[';
            values += c == ',';
        }
    }
    return objects <= LIST_MAX + 1 && values <= VALUES_MAX;
}

/* The agent's list in our form; NULL when it is something else. */
static struct json_object *ps_list(const ProtobufCBinaryData *text)
{
    struct json_tokener *t = ps_bounded(text) ? json_tokener_new_ex(4) : NULL;
    struct json_object *in = t && text->len && text->len < INT32_MAX
                                 ? json_tokener_parse_ex(t, (const char *)text->data, (int)text->len)
                                 : NULL;
    struct json_object *out = NULL;
    if (json_object_is_type(in, json_type_array) && json_object_array_length(in) <= LIST_MAX)
        out = json_object_new_array();
    for (size_t i = 0; out && i < json_object_array_length(in); i++) {
        struct json_object *e = ps_entry(json_object_array_get_idx(in, i), ps_text_size(json_object_array_length(in)));
        if (!e) {
            json_object_put(out);
            out = NULL;
            break;
        }
        json_object_array_add(out, e);
    }
    json_object_put(in);
    if (t)
        json_tokener_free(t);
    return out;
}

int kata_ps(vc_inst *inst, const struct vc_call *call, const char *ctr, vc_sink *json)
{
    Agent__ListProcessesRequest req = AGENT__LIST_PROCESSES_REQUEST__INIT;
    ProtobufCMessage *m = NULL;
    req.container_id = (char *)ctr;
    char *form[] = { "-vc" }; /* vc-agent: objects instead of pids alone; other agents ignore it */
    req.format = "json";
    req.args = form;
    req.n_args = 1;
    int rc = kata_get(inst, call, "ListProcesses", &req, &agent__list_processes_response__descriptor, &m);
    if (rc)
        return rc;
    struct json_object *list = ps_list(&((Agent__ListProcessesResponse *)m)->process_list);
    protobuf_c_message_free_unpacked(m, NULL);
    if (!list)
        return vcs_fail(inst->host, call, VC_E_PROTOCOL, 0,
                        "the agent's list of processes of container %s is not the JSON array it should be", ctr);
    return put(inst, call, list, json);
}

/* ---- stats ---- */

/* The shape is that of `runc events --stats`. */

static void add_u64(struct json_object *o, const char *key, uint64_t n)
{
    json_object_object_add(o, key, json_object_new_uint64(n));
}

static struct json_object *add_object(struct json_object *o, const char *key)
{
    struct json_object *sub = json_object_new_object();
    json_object_object_add(o, key, sub);
    return sub;
}

/* A name that the guest chose. */
static void clean_key(char *out, size_t size, const char *in)
{
    kata_clean(out, size, in, strlen(in));
}

static void add_cpu(struct json_object *o, const Agent__CpuStats *cpu)
{
    struct json_object *c = add_object(o, "cpu"), *u = add_object(c, "usage"), *t = add_object(c, "throttling");
    const Agent__CpuUsage *usage = cpu ? cpu->cpu_usage : NULL;
    const Agent__ThrottlingData *th = cpu ? cpu->throttling_data : NULL;
    if (usage) {
        add_u64(u, "total", usage->total_usage);
        struct json_object *each = json_object_new_array();
        for (size_t i = 0; i < usage->n_percpu_usage; i++)
            json_object_array_add(each, json_object_new_uint64(usage->percpu_usage[i]));
        json_object_object_add(u, "percpu", each);
        add_u64(u, "kernel", usage->usage_in_kernelmode);
        add_u64(u, "user", usage->usage_in_usermode);
    }
    if (th) {
        add_u64(t, "periods", th->periods);
        add_u64(t, "throttledPeriods", th->throttled_periods);
        add_u64(t, "throttledTime", th->throttled_time);
    }
}

static void add_memory_data(struct json_object *o, const char *key, const Agent__MemoryData *d)
{
    if (!d)
        return;
    struct json_object *m = add_object(o, key);
    add_u64(m, "limit", d->limit);
    add_u64(m, "usage", d->usage);
    add_u64(m, "max", d->max_usage);
    add_u64(m, "failcnt", d->failcnt);
}

static void add_memory(struct json_object *o, const Agent__MemoryStats *mem)
{
    struct json_object *m = add_object(o, "memory");
    if (!mem)
        return;
    add_u64(m, "cache", mem->cache);
    add_memory_data(m, "usage", mem->usage);
    add_memory_data(m, "swap", mem->swap_usage);
    add_memory_data(m, "kernel", mem->kernel_usage);
    struct json_object *raw = add_object(m, "raw");
    for (size_t i = 0; i < mem->n_stats; i++) {
        char key[64];
        clean_key(key, sizeof(key), mem->stats[i]->key);
        add_u64(raw, key, mem->stats[i]->value);
    }
}

static void add_blkio_list(struct json_object *o, const char *key, Agent__BlkioStatsEntry *const *list, size_t n)
{
    struct json_object *a = json_object_new_array();
    for (size_t i = 0; i < n; i++) {
        struct json_object *e = json_object_new_object();
        char op[32];
        clean_key(op, sizeof(op), list[i]->op);
        add_u64(e, "major", list[i]->major);
        add_u64(e, "minor", list[i]->minor);
        json_object_object_add(e, "op", json_object_new_string(op));
        add_u64(e, "value", list[i]->value);
        json_object_array_add(a, e);
    }
    json_object_object_add(o, key, a);
}

static void add_blkio(struct json_object *o, const Agent__BlkioStats *b)
{
    struct json_object *d = add_object(o, "blkio");
    if (!b)
        return;
    add_blkio_list(d, "ioServiceBytesRecursive", b->io_service_bytes_recursive, b->n_io_service_bytes_recursive);
    add_blkio_list(d, "ioServicedRecursive", b->io_serviced_recursive, b->n_io_serviced_recursive);
    add_blkio_list(d, "ioQueueRecursive", b->io_queued_recursive, b->n_io_queued_recursive);
    add_blkio_list(d, "ioServiceTimeRecursive", b->io_service_time_recursive, b->n_io_service_time_recursive);
    add_blkio_list(d, "ioWaitTimeRecursive", b->io_wait_time_recursive, b->n_io_wait_time_recursive);
    add_blkio_list(d, "ioMergedRecursive", b->io_merged_recursive, b->n_io_merged_recursive);
    add_blkio_list(d, "ioTimeRecursive", b->io_time_recursive, b->n_io_time_recursive);
    add_blkio_list(d, "sectorsRecursive", b->sectors_recursive, b->n_sectors_recursive);
}

static void add_hugetlb(struct json_object *o, const Agent__CgroupStats *s)
{
    struct json_object *h = add_object(o, "hugetlb");
    for (size_t i = 0; i < s->n_hugetlb_stats; i++) {
        const Agent__HugetlbStats *v = s->hugetlb_stats[i]->value;
        if (!v)
            continue;
        char key[32];
        clean_key(key, sizeof(key), s->hugetlb_stats[i]->key);
        struct json_object *e = add_object(h, key);
        add_u64(e, "usage", v->usage);
        add_u64(e, "max", v->max_usage);
        add_u64(e, "failcnt", v->failcnt);
    }
}

static void add_network(struct json_object *o, const Agent__StatsContainerResponse *r)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < r->n_network_stats; i++) {
        const Agent__NetworkStats *n = r->network_stats[i];
        struct json_object *e = json_object_new_object();
        char name[32];
        clean_key(name, sizeof(name), n->name);
        json_object_object_add(e, "Name", json_object_new_string(name));
        add_u64(e, "RxBytes", n->rx_bytes);
        add_u64(e, "RxPackets", n->rx_packets);
        add_u64(e, "RxErrors", n->rx_errors);
        add_u64(e, "RxDropped", n->rx_dropped);
        add_u64(e, "TxBytes", n->tx_bytes);
        add_u64(e, "TxPackets", n->tx_packets);
        add_u64(e, "TxErrors", n->tx_errors);
        add_u64(e, "TxDropped", n->tx_dropped);
        json_object_array_add(list, e);
    }
    json_object_object_add(o, "network_interfaces", list);
}

/* Each element becomes an object of JSON, which is much larger than it. */
static int stats_bounded(const Agent__StatsContainerResponse *r)
{
    const Agent__CgroupStats *s = r->cgroup_stats;
    size_t n = r->n_network_stats + (s ? s->n_hugetlb_stats : 0);
    if (s && s->cpu_stats && s->cpu_stats->cpu_usage)
        n += s->cpu_stats->cpu_usage->n_percpu_usage;
    if (s && s->memory_stats)
        n += s->memory_stats->n_stats;
    const Agent__BlkioStats *b = s ? s->blkio_stats : NULL;
    if (b)
        n += b->n_io_service_bytes_recursive + b->n_io_serviced_recursive + b->n_io_queued_recursive +
             b->n_io_service_time_recursive + b->n_io_wait_time_recursive + b->n_io_merged_recursive +
             b->n_io_time_recursive + b->n_sectors_recursive;
    return n <= LIST_MAX;
}

int kata_stats(vc_inst *inst, const struct vc_call *call, const char *ctr, vc_sink *json)
{
    Agent__StatsContainerRequest req = AGENT__STATS_CONTAINER_REQUEST__INIT;
    ProtobufCMessage *m = NULL;
    req.container_id = (char *)ctr;
    int rc = kata_get(inst, call, "StatsContainer", &req, &agent__stats_container_response__descriptor, &m);
    if (rc)
        return rc;
    const Agent__StatsContainerResponse *r = (Agent__StatsContainerResponse *)m;
    const Agent__CgroupStats *s = r->cgroup_stats;
    if (!stats_bounded(r)) {
        protobuf_c_message_free_unpacked(m, NULL);
        return vcs_fail(inst->host, call, VC_E_PROTOCOL, 0,
                        "the agent's statistics of container %s have more than %u entries", ctr, LIST_MAX);
    }
    struct json_object *o = json_object_new_object();
    if (o && s) {
        add_cpu(o, s->cpu_stats);
        add_memory(o, s->memory_stats);
        if (s->pids_stats) {
            struct json_object *p = add_object(o, "pids");
            add_u64(p, "current", s->pids_stats->current);
            add_u64(p, "limit", s->pids_stats->limit);
        }
        add_blkio(o, s->blkio_stats);
        add_hugetlb(o, s);
    }
    if (o)
        add_network(o, r);
    protobuf_c_message_free_unpacked(m, NULL);
    return put(inst, call, o, json);
}
