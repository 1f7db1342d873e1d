/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c: what a container uses, out of the JSON text that its agent gives (vc_agent_ops.stats). */
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pod.h"

/* Limits from here on are none: cgroup version 1 rounds the largest number down to pages. */
#define NO_LIMIT (UINT64_C(1) << 62)

/* The number at "a.b.c"; 0 when there is none. */
static uint64_t number(json_object *o, const char *path)
{
    char key[32];
    while (o && *path) {
        size_t n = strcspn(path, ".");
        json_object *v = NULL;
        if (n >= sizeof key || !json_object_is_type(o, json_type_object))
            return 0;
        memcpy(key, path, n);
        key[n] = '\0';
        o = json_object_object_get_ex(o, key, &v) ? v : NULL;
        path += n + (path[n] == '.');
    }
    /* A negative one reads as 0. */
    return json_object_is_type(o, json_type_int) ? json_object_get_uint64(o) : 0;
}

static uint64_t limit(json_object *o, const char *path)
{
    uint64_t n = number(o, path);
    return n < NO_LIMIT ? n : 0;
}

/* Bytes of all devices, by "op". */
static uint64_t blkio_sum(json_object *o, const char *op)
{
    json_object *blkio = NULL, *list = NULL, *name = NULL;
    uint64_t sum = 0;
    if (!json_object_object_get_ex(o, "blkio", &blkio) || !json_object_is_type(blkio, json_type_object) ||
        !json_object_object_get_ex(blkio, "ioServiceBytesRecursive", &list) ||
        !json_object_is_type(list, json_type_array))
        return 0;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *one = json_object_array_get_idx(list, i);
        if (json_object_is_type(one, json_type_object) && json_object_object_get_ex(one, "op", &name) &&
            json_object_is_type(name, json_type_string) && strcasecmp(json_object_get_string(name), op) == 0)
            sum += number(one, "value");
    }
    return sum;
}

static void fill(struct vc_container_stats *s, json_object *o)
{
    s->cpu_ns = number(o, "cpu.usage.total");
    s->cpu_user_ns = number(o, "cpu.usage.user");
    s->cpu_system_ns = number(o, "cpu.usage.kernel");
    s->throttled_periods = number(o, "cpu.throttling.throttledPeriods");
    s->throttled_ns = number(o, "cpu.throttling.throttledTime");
    s->memory_usage = number(o, "memory.usage.usage");
    s->memory_limit = limit(o, "memory.usage.limit");
    s->memory_peak = number(o, "memory.usage.max");
    s->oom_kills = number(o, "memory.raw.oom_kill");
    s->pids = number(o, "pids.current");
    s->pids_limit = limit(o, "pids.limit");
    s->read_bytes = blkio_sum(o, "Read");
    s->write_bytes = blkio_sum(o, "Write");
}

/* The guest is hostile: what is no JSON object is an error, and numbers that make no sense are its own affair. */
static int parse(const struct vci_pod *pod, const char *text, size_t len, json_object **ret, vc_error **err)
{
    json_tokener *t = len && len < INT_MAX ? json_tokener_new_ex(16) : NULL;
    json_object *o = t ? json_tokener_parse_ex(t, text, (int)len) : NULL;
    if (t)
        json_tokener_free(t);
    if (json_object_is_type(o, json_type_object)) {
        *ret = o;
        return 0;
    }
    json_object_put(o);
    return vci_fail(err, VC_ERR_PROTOCOL, 0, "agent \"%s\" of pod \"%s\" gave statistics that are no JSON object",
                    pod->plugin[VC_KIND_AGENT], pod->dir.id);
}

int vci_stats_ask(struct vci_pod *pod, const char *ctr, int64_t deadline, struct vc_container_stats **ret,
                  vc_error **err)
{
    struct vci_inst *agent = vci_stack_agent(pod, deadline, err);
    if (!agent)
        return vci_rc(err);
    if (!(agent->caps & VC_AG_CAP_STATS))
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0, "agent \"%s\" has no statistics of containers",
                        pod->plugin[VC_KIND_AGENT]);
    vc_sink *sink = vci_sink_new();
    json_object *o = NULL;
    size_t len = 0;
    int64_t now = vci_realtime_ns();
    int rc = sink ? VCI_CALL(agent, deadline, err, agent, stats, ctr, sink)
                  : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    const char *text = rc == 0 ? vci_sink_str(sink, &len) : "";
    if (rc == 0)
        rc = parse(pod, text, len, &o, err);
    struct vc_container_stats *s = rc == 0 ? calloc(1, sizeof *s) : NULL;
    if (s) {
        s->size = sizeof *s;
        s->time_ns = now;
        fill(s, o);
        s->json = strdup(text);
    }
    json_object_put(o);
    vci_sink_free(sink);
    if (rc == 0 && (!s || !s->json)) {
        vc_container_stats_free(s);
        rc = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    if (rc == 0)
        *ret = s;
    return rc;
}

void vc_container_stats_free(struct vc_container_stats *stats)
{
    if (!stats)
        return;
    free((void *)(uintptr_t)stats->json);
    free(stats);
}

static int ctr_stats(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr,
                     struct vc_container_stats **ret, vc_error **err)
{
    struct vci_ctr *c = NULL;
    int rc = vci_pod_open_ctr(pod, ctx, id, ctr, VCI_LOCK_NONE, &c, err);
    if (rc == 0)
        rc = vci_ctr_must_be(pod, c, "look at what is used by", VCI_IS(VCI_RUNNING),
                             VCI_IS(VCI_RUNNING) | VCI_IS(VCI_PAUSED), err);
    return rc < 0 ? rc : vci_stats_ask(pod, ctr, vci_pod_deadline(ctx, "call_timeout"), ret, err);
}

int vc_container_stats(vc_context *ctx, const char *pod, const char *container, struct vc_container_stats **ret_stats,
                       vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_stats, err);
    struct vci_pod p;
    vc_error *e = NULL;
    vci_pod_init(&p, ctx);
    int rc = ctr_stats(&p, ctx, pod, container, ret_stats, &e);
    vci_pod_close(&p);
    return vci_api_end(rc, e, err);
}
