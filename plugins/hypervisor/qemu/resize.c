/* SPDX-License-Identifier: Apache-2.0 */
/* resize.c: memory and vCPUs that are plugged into a running VM.  What it has is asked of QEMU, which alone knows. */
#include "qemu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/plug.h"
#include "qmp.h"

#define MAX_CPUS 256

/* A command whose arguments are JSON text. */
static int run(struct qemu *q, struct qmp *c, const char *command, const char *args, json_object **ret)
{
    json_object *o = args ? json_tokener_parse(args) : NULL;

    if (args && !o)
        return vcs_fail(q->host, c->call, VC_E_NOMEM, 0, "out of memory while talking to QEMU");
    return qmp_run(c, command, o, NULL, 0, ret);
}

static int bad_answer(struct qemu *q, struct qmp *c, const char *command)
{
    return vcs_fail(q->host, c->call, VC_E_PROTOCOL, 0, "QEMU's answer to %s is not understood", command);
}

/* ---- memory ---- */

static int64_t member_int(json_object *o, const char *key)
{
    json_object *v;

    return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_int) ? json_object_get_int64(v)
                                                                                          : -1;
}

/* Bytes of memory that the VM has. */
static int memory_now(struct qemu *q, struct qmp *c, uint64_t *ret)
{
    json_object *o = NULL;
    int64_t base, plugged;
    int r = run(q, c, "query-memory-size-summary", NULL, &o);

    if (r < 0)
        return r;
    base = json_object_is_type(o, json_type_object) ? member_int(o, "base-memory") : -1;
    plugged = base >= 0 ? member_int(o, "plugged-memory") : -1;
    json_object_put(o);
    if (base < 0 || plugged < 0 || base > INT64_MAX - plugged)
        return bad_answer(q, c, "query-memory-size-summary");
    *ret = (uint64_t)base + (uint64_t)plugged;
    return 0;
}

/* Plug in one piece.  Its number is the first that no other one has. */
static int add_memory(struct qemu *q, struct qmp *c, uint64_t bytes)
{
    struct vc_call quiet = { .size = sizeof(quiet) };
    const struct vc_call *call = c->call;
    json_object *list = NULL;
    char args[192];
    size_t n;
    int r = run(q, c, "query-memory-devices", NULL, &list);

    if (r < 0)
        return r;
    n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    json_object_put(list);
    if (n >= QEMU_DIMM_SLOTS) /* pieces are never taken out, so their number counts them */
        return vcs_fail(q->host, call, VC_E_RESOURCE, 0,
                        "all %d memory slots of the VM are taken: grow it in fewer steps", QEMU_DIMM_SLOTS);
    snprintf(args, sizeof(args),
             "{\"qom-type\":\"memory-backend-memfd\",\"id\":\"mem%zu\",\"size\":%llu,\"share\":true}", n,
             (unsigned long long)bytes);
    if ((r = run(q, c, "object-add", args, NULL)) < 0)
        return r;
    snprintf(args, sizeof(args), "{\"driver\":\"pc-dimm\",\"id\":\"dimm%zu\",\"memdev\":\"mem%zu\"}", n, n);
    if ((r = run(q, c, "device_add", args, NULL)) < 0) {
        snprintf(args, sizeof(args), "{\"id\":\"mem%zu\"}", n);
        c->call = &quiet; /* keep the error that is being reported */
        run(q, c, "object-del", args, NULL);
        c->call = call;
    }
    return r;
}

static int grow_memory(struct qemu *q, struct qmp *c, uint64_t want, uint64_t *ret_added)
{
    uint64_t now = 0, add;
    int r = memory_now(q, c, &now);

    if (r < 0 || want == now)
        return r;
    if (want < now)
        return vcs_fail(q->host, c->call, VC_E_UNSUPPORTED, 0,
                        "the VM has %llu MiB of memory; hypervisor qemu can add to it and not take away",
                        (unsigned long long)(now >> 20));
    add = (want - now + QEMU_DIMM - 1) / QEMU_DIMM * QEMU_DIMM;
    if (want > q->vm.max_memory || now + add > q->vm.max_memory)
        return vcs_fail(
            q->host, c->call, VC_E_RESOURCE, 0,
            "the VM of pod %s can have at most %llu MiB of memory, of which it gets pieces of %llu MiB: set "
            "max_memory of hypervisor qemu higher",
            q->pod_id, (unsigned long long)(q->vm.max_memory >> 20), (unsigned long long)(QEMU_DIMM >> 20));
    if ((r = add_memory(q, c, add)) == 0)
        *ret_added = add;
    return r;
}

/* ---- vCPUs ---- */

/* A place for a vCPU, as QEMU lists it; borrowed from that list. */
struct place {
    json_object *props;
    const char *type;
    int64_t order; /* sockets, then cores, then threads */
};

static int by_order(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    return (x->order > y->order) - (x->order < y->order);
}

/* The places that are free, in order, and how many are taken. */
static int find_places(json_object *list, struct place *ret, uint32_t *ret_free, uint32_t *ret_taken)
{
    *ret_free = *ret_taken = 0;
    if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) > MAX_CPUS)
        return -1;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *o = json_object_array_get_idx(list, i), *props, *type;
        int64_t socket, core, thread;

        if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, "props", &props) ||
            !json_object_is_type(props, json_type_object) || !json_object_object_get_ex(o, "type", &type) ||
            !json_object_is_type(type, json_type_string))
            return -1;
        if (json_object_object_get_ex(o, "qom-path", NULL)) {
            ++*ret_taken;
            continue;
        }
        socket = member_int(props, "socket-id"), core = member_int(props, "core-id"),
        thread = member_int(props, "thread-id");
        if (socket < 0 || core < 0 || thread < 0 || socket > 4096 || core > 4096 || thread > 4096)
            return -1;
        ret[(*ret_free)++] = (struct place){ .props = props,
                                             .type = json_object_get_string(type),
                                             .order = (socket << 40) + (core << 20) + thread };
    }
    qsort(ret, *ret_free, sizeof(*ret), by_order);
    return 0;
}

static int add_vcpu(struct qemu *q, struct qmp *c, const struct place *p)
{
    static const char *const keys[] = { "socket-id", "core-id", "thread-id" };
    json_object *o = json_object_new_object();
    bool ok = o && json_object_object_add(o, "driver", json_object_new_string(p->type)) == 0;

    for (size_t i = 0; ok && i < sizeof(keys) / sizeof(keys[0]); i++)
        ok = json_object_object_add(o, keys[i], json_object_new_int64(member_int(p->props, keys[i]))) == 0;
    if (!ok) {
        json_object_put(o);
        return vcs_fail(q->host, c->call, VC_E_NOMEM, 0, "out of memory while talking to QEMU");
    }
    return qmp_run(c, "device_add", o, NULL, 0, NULL);
}

static int grow_vcpus(struct qemu *q, struct qmp *c, uint32_t want, uint32_t *ret_now, uint32_t *ret_added)
{
    struct place places[MAX_CPUS];
    json_object *list = NULL;
    uint32_t n_free = 0, n = 0;
    int r = run(q, c, "query-hotpluggable-cpus", NULL, &list);

    if (r < 0)
        return r;
    if (find_places(list, places, &n_free, &n) < 0)
        r = bad_answer(q, c, "query-hotpluggable-cpus");
    else if (want && want < n)
        r = vcs_fail(q->host, c->call, VC_E_UNSUPPORTED, 0,
                     "the VM has %u vCPU%s; hypervisor qemu can add vCPUs and not take them away", n, n == 1 ? "" : "s");
    else if (want > q->vm.max_vcpus || (want > n && want - n > n_free))
        r = vcs_fail(q->host, c->call, VC_E_RESOURCE, 0,
                     "the VM of pod %s cannot have more vCPUs than %u: set max_vcpus of hypervisor qemu higher", q->pod_id,
                     q->vm.max_vcpus < n + n_free ? q->vm.max_vcpus : n + n_free);
    for (uint32_t i = 0; r == 0 && n < want; i++)
        if ((r = add_vcpu(q, c, &places[i])) == 0) {
            ++*ret_added;
            n++;
        }
    json_object_put(list);
    *ret_now = n;
    return r;
}

int qemu_grow(struct qemu *q, struct qmp *c, uint64_t memory, uint32_t vcpus, uint64_t *ret_memory, uint32_t *ret_vcpus)
{
    uint32_t now;
    int r = 0;

    *ret_memory = 0;
    *ret_vcpus = 0;
    if (memory)
        r = grow_memory(q, c, memory, ret_memory);
    if (r == 0 && vcpus)
        r = grow_vcpus(q, c, vcpus, &now, ret_vcpus);
    return r;
}

int qemu_resize(struct qemu *q, const struct vc_call *call, const struct vc_resize *want, struct vc_resize *got)
{
    uint64_t memory = 0, added_memory;
    uint32_t vcpus = 0, added_vcpus = 0;
    struct qmp c;
    int r = qemu_ask(q, call, &c);

    if (r < 0)
        return r;
    r = qemu_grow(q, &c, want->memory, want->vcpus, &added_memory, &added_vcpus);
    if (r == 0 && (r = memory_now(q, &c, &memory)) == 0)
        r = grow_vcpus(q, &c, 0, &vcpus, &added_vcpus);
    qmp_close(&c);
    if (r < 0)
        return r;
    q->vm.memory = memory;
    q->vm.vcpus = vcpus;
    if (got && got->size >= sizeof(*got)) {
        got->vcpus = vcpus;
        got->memory = memory;
    }
    return 0;
}
