/* SPDX-License-Identifier: Apache-2.0 */
/* state.c: what an instance keeps between processes, as JSON.  What is read back is hostile: every value is checked
 * as strictly as the one that came from the caller. */
#include "qemu.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "lib/plug.h"

#define MAX_STATE (64 * 1024)
#define MAX_DEPTH 6

/* ---- save ---- */

static bool add(json_object *o, const char *key, json_object *v)
{
    if (v && json_object_object_add(o, key, v) == 0)
        return true;
    json_object_put(v);
    return false;
}

static bool add_int(json_object *o, const char *key, uint64_t v)
{
    return add(o, key, json_object_new_int64((int64_t)v));
}

static bool add_str(json_object *o, const char *key, const char *v)
{
    return !v || add(o, key, json_object_new_string(v));
}

static bool fill_vm(json_object *o, const struct qemu *q)
{
    const struct qemu_vm *vm = &q->vm;

    return add_int(o, "memory", vm->memory) && add_int(o, "max_memory", vm->max_memory) &&
           add_int(o, "vcpus", vm->vcpus) && add_int(o, "max_vcpus", vm->max_vcpus) &&
           add_str(o, "shared_dir", vm->shared_dir) && add_str(o, "share_tag", vm->share_tag) &&
           add_str(o, "kernel_params", vm->kernel_params) && add_int(o, "accelerator", vm->accel) &&
           add_int(o, "channel", vm->channel);
}

static bool fill_devices(json_object *list, const struct qemu *q)
{
    for (uint32_t i = 0; i < QEMU_MAX_PORTS; i++) {
        json_object *d;

        if (!q->devices[i].type)
            continue;
        d = json_object_new_object();
        if (!d || !add_int(d, "port", i) || !add_int(d, "type", q->devices[i].type) ||
            !add_str(d, "id", q->devices[i].id) || json_object_array_add(list, d) < 0) {
            json_object_put(d);
            return false;
        }
    }
    return true;
}

static bool fill(json_object *o, const struct qemu *q)
{
    json_object *vm = json_object_new_object(), *list = json_object_new_array();
    bool ok = vm && list && fill_vm(vm, q) && fill_devices(list, q);

    ok = ok && add_int(o, "state", q->state) && add_int(o, "pid", (uint64_t)q->proc.pid) &&
         add_int(o, "start_ticks", q->proc.start_ticks) && add_int(o, "cid", q->cid) &&
         add(o, "console", json_object_new_boolean(q->has_console)) &&
         add(o, "netns", json_object_new_boolean(q->wants_netns)) && add_str(o, "netns_path", q->netns_path);
    if (!ok || !add(o, "vm", json_object_get(vm)) || !add(o, "devices", json_object_get(list)))
        ok = false;
    json_object_put(vm);
    json_object_put(list);
    return ok;
}

int qemu_state_save(struct qemu *q, const struct vc_call *call, vc_sink *out)
{
    json_object *o = json_object_new_object();
    const char *text = NULL;
    size_t len = 0;
    int r;

    errno = 0; /* without memory the text ends somewhere */
    if (o && fill(o, q))
        text = json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &len);
    r = text && errno != ENOMEM ? q->host->write(q->host, out, text, len) : VC_E_NOMEM;
    json_object_put(o);
    return r < 0 ? vcs_fail(q->host, call, r, 0, "cannot write the state of the VM") : 0;
}

/* ---- load ---- */

/* A whole number from 0 to max; absent is 0. */
static bool get_int(json_object *o, const char *key, uint64_t max, uint64_t *ret)
{
    json_object *v;
    int64_t n;

    *ret = 0;
    if (!json_object_object_get_ex(o, key, &v))
        return true;
    n = json_object_get_int64(v);
    if (!json_object_is_type(v, json_type_int) || n < 0 || (uint64_t)n > max)
        return false;
    *ret = (uint64_t)n;
    return true;
}

static bool get_u32(json_object *o, const char *key, uint32_t max, uint32_t *ret)
{
    uint64_t n;
    bool ok = get_int(o, key, max, &n);

    *ret = (uint32_t)n;
    return ok;
}

/* A copy of a string; absent is NULL. */
static bool get_str(json_object *o, const char *key, char **ret)
{
    json_object *v;
    const char *s;

    *ret = NULL;
    if (!json_object_object_get_ex(o, key, &v))
        return true;
    if (!json_object_is_type(v, json_type_string))
        return false;
    s = json_object_get_string(v);
    if (strlen(s) != (size_t)json_object_get_string_len(v))
        return false;
    return (*ret = strdup(s)) != NULL;
}

static bool get_bool(json_object *o, const char *key, bool *ret)
{
    json_object *v;

    *ret = false;
    if (!json_object_object_get_ex(o, key, &v))
        return true;
    *ret = json_object_get_boolean(v);
    return json_object_is_type(v, json_type_boolean);
}

static const char *load_vm(json_object *o, struct qemu_vm *vm)
{
    uint32_t accel, channel;

    if (!get_int(o, "memory", INT64_MAX, &vm->memory) || !get_int(o, "max_memory", INT64_MAX, &vm->max_memory) ||
        !get_u32(o, "vcpus", UINT32_MAX, &vm->vcpus) || !get_u32(o, "max_vcpus", UINT32_MAX, &vm->max_vcpus) ||
        !get_str(o, "shared_dir", &vm->shared_dir) || !get_str(o, "share_tag", &vm->share_tag) ||
        !get_str(o, "kernel_params", &vm->kernel_params) || !get_u32(o, "accelerator", QEMU_ACCEL_TCG, &accel) ||
        !accel || !get_u32(o, "channel", QEMU_CHANNEL_VSOCK, &channel) || !channel)
        return "the description of its VM is malformed";
    vm->accel = (enum qemu_accel)accel;
    vm->channel = (enum qemu_channel)channel;
    return qemu_vm_invalid(vm);
}

static bool load_device(struct qemu *q, json_object *d)
{
    vcs_autofree char *id = NULL;
    uint32_t port, type;

    if (!json_object_is_type(d, json_type_object) || !get_u32(d, "port", QEMU_MAX_PORTS - 1, &port) ||
        !get_u32(d, "type", VC_DEV_NET, &type) || !type || !get_str(d, "id", &id) || !id || !*id ||
        strlen(id) >= sizeof(q->devices[port].id) || q->devices[port].type)
        return false;
    for (const char *p = id; *p; p++)
        if (!isalnum((unsigned char)*p) && (p == id || !strchr("_.-", *p)))
            return false;
    for (int i = 0; i < QEMU_MAX_PORTS; i++)
        if (q->devices[i].type && !strcmp(q->devices[i].id, id))
            return false;
    q->devices[port].type = type;
    memcpy(q->devices[port].id, id, strlen(id) + 1);
    return true;
}

static const char *load(struct qemu *q, json_object *o)
{
    json_object *vm, *list;
    uint64_t pid, ticks;
    const char *why;

    if (!get_u32(o, "state", VC_VM_STOPPED, &q->state) || q->state == VC_VM_PAUSED)
        return "its state is none of a VM";
    if (!get_int(o, "pid", INT32_MAX, &pid) || !get_int(o, "start_ticks", INT64_MAX, &ticks) ||
        (pid != 0) != (q->state == VC_VM_RUNNING))
        return "its process is malformed";
    q->proc = (struct vc_proc){ .pid = (int32_t)pid, .start_ticks = pid ? ticks : 0 };
    if (!get_u32(o, "cid", UINT32_MAX, &q->cid) || !get_bool(o, "console", &q->has_console) ||
        !get_bool(o, "netns", &q->wants_netns) || !get_str(o, "netns_path", &q->netns_path) ||
        (q->netns_path && *q->netns_path != '/'))
        return "a member has the wrong type";
    if (q->state == VC_VM_NONE)
        return NULL;
    if (!json_object_object_get_ex(o, "vm", &vm) || !json_object_is_type(vm, json_type_object))
        return "the description of its VM is missing";
    if ((why = load_vm(vm, &q->vm)))
        return why;
    if (!json_object_object_get_ex(o, "devices", &list))
        return NULL;
    if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) > QEMU_MAX_PORTS)
        return "its list of devices is malformed";
    for (size_t i = 0; i < json_object_array_length(list); i++)
        if (!load_device(q, json_object_array_get_idx(list, i)))
            return "its list of devices is malformed";
    return NULL;
}

int qemu_state_load(struct qemu *q, const struct vc_call *call, struct vc_bytes state)
{
    json_tokener *tok;
    json_object *o = NULL;
    const char *why = NULL;

    if (!state.data || state.len == 0 || state.len > MAX_STATE)
        return vcs_fail(q->host, call, VC_E_CORRUPT, 0, "the stored state of the VM has %llu bytes, not 1 to %d",
                        (unsigned long long)state.len, MAX_STATE);
    tok = json_tokener_new_ex(MAX_DEPTH);
    if (!tok)
        return vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while reading the state of the VM");
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
    errno = 0; /* the parser does not tell that it had no memory, and may leave out what did not fit */
    o = json_tokener_parse_ex(tok, state.data, (int)state.len);
    if (json_tokener_get_error(tok) != json_tokener_success || !json_object_is_type(o, json_type_object))
        why = "it is no JSON object";
    json_tokener_free(tok);
    if (!why)
        why = load(q, o);
    if (errno == ENOMEM) {
        json_object_put(o);
        return vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while reading the state of the VM");
    }
    json_object_put(o);
    return why ? vcs_fail(q->host, call, VC_E_CORRUPT, 0, "the stored state of the VM cannot be used: %s", why) : 0;
}
