/* SPDX-License-Identifier: Apache-2.0 */
/* spec.c: OCI runtime specification to protobuf, driven by the descriptors of the messages: what a message
 * has as field, is looked up in the JSON object under its OCI name; other keys are ignored, as the OCI
 * specification wants it. */
#include "spec.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_DEPTH 24
#define JSON_MAX   (4u * 1024 * 1024)
#define ARRAY_MAX  65536u
#define MEMORY_MAX (64u * 1024 * 1024) /* of one converted specification */
#define CHUNK      8192u

/* ---- memory and errors ---- */

struct chunk {
    struct chunk *next;
    size_t used, size;
    max_align_t mem[];
};

struct conv {
    struct kata_spec *out;
    size_t total;
    int code;       /* the first error */
    char path[256]; /* of the JSON value at hand */
    size_t path_len;
    struct json_object *user; /* process.user, for StringUser */
};

static void fail(struct conv *v, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void fail(struct conv *v, int code, const char *fmt, ...)
{
    if (v->code)
        return;
    v->code = code;
    char what[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    snprintf(v->out->error, sizeof(v->out->error), "%s %s", v->path_len ? v->path : "the specification", what);
}

static void *get_mem(struct conv *v, size_t n)
{
    struct chunk *c = v->out->chunks;
    n = (n + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (v->code)
        return NULL;
    if (!c || c->size - c->used < n) {
        size_t size = n > CHUNK ? n : CHUNK;
        c = v->total + size <= MEMORY_MAX ? calloc(1, sizeof(*c) + size) : NULL;
        if (!c) {
            fail(v, VC_E_NOMEM, "needs more memory than there is");
            return NULL;
        }
        v->total += size;
        c->size = size;
        c->next = v->out->chunks;
        v->out->chunks = c;
    }
    void *p = (char *)c->mem + c->used;
    c->used += n;
    return p;
}

static char *get_str(struct conv *v, const char *s, size_t n)
{
    char *copy = get_mem(v, n + 1);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}

void kata_spec_done(struct kata_spec *s)
{
    while (s->chunks) {
        struct chunk *c = s->chunks;
        s->chunks = c->next;
        free(c);
    }
    *s = (struct kata_spec){ 0 };
}

/* ---- the path ---- */

static size_t push(struct conv *v, const char *key, size_t index)
{
    size_t old = v->path_len, room = sizeof(v->path) - old;
    int n = key ? snprintf(v->path + old, room, "%s%s", old ? "." : "", key)
                : snprintf(v->path + old, room, "[%zu]", index);
    v->path_len = n < 0 ? old : (size_t)n >= room ? sizeof(v->path) - 1 : old + (size_t)n;
    return old;
}

static void pop(struct conv *v, size_t old)
{
    v->path_len = old;
    v->path[old] = '\0';
}

/* ---- names ---- */

/* Keys that are not the field's name with capitals for underscores. */
static const char *const odd_names[][2] = {
    { "linux_part", "linux" },
    { "host_id", "hostID" },
    { "container_id", "containerID" },
    { "block_io", "blockIO" },
    { "kernel_tcp", "kernelTCP" },
    { "disable_oom_killer", "disableOOMKiller" },
    { "pagesize", "pageSize" },
    { "class_id", "classID" },
    { "throttle_read_iops_device", "throttleReadIOPSDevice" },
    { "throttle_write_iops_device", "throttleWriteIOPSDevice" },
};

static const char *oci_name(const ProtobufCMessageDescriptor *d, const char *field, char buf[64])
{
    if (d == &oci__spec__descriptor && !strcmp(field, "version"))
        return "ociVersion";
    for (size_t i = 0; i < sizeof(odd_names) / sizeof(odd_names[0]); i++)
        if (!strcmp(field, odd_names[i][0]))
            return odd_names[i][1];
    size_t o = 0;
    for (const char *p = field; *p && o < 63; p++) {
        if (*p == '_' && p[1] >= 'a' && p[1] <= 'z')
            buf[o++] = (char)(*++p - 'a' + 'A');
        else
            buf[o++] = *p;
    }
    buf[o] = '\0';
    return buf;
}

/* Fields that are never taken over, since what they name is on the host or not in the guest. */
static int is_host_only(const ProtobufCMessageDescriptor *d, const char *field)
{
    if (d == &oci__spec__descriptor)
        return !strcmp(field, "hooks");
    if (d == &oci__process__descriptor)
        return !strcmp(field, "apparmor_profile") || !strcmp(field, "selinux_label");
    if (d == &oci__linux__descriptor)
        return !strcmp(field, "mount_label") || !strcmp(field, "uid_mappings") || !strcmp(field, "gid_mappings");
    if (d == &oci__linux_cpu__descriptor)
        return !strcmp(field, "cpus") || !strcmp(field, "mems");
    if (d == &oci__linux_resources__descriptor)
        return !strcmp(field, "network");
    return d == &oci__linux_namespace__descriptor && !strcmp(field, "path");
}

/* ---- values ---- */

static const char *type_name(const struct json_object *o)
{
    switch (json_object_get_type(o)) {
    case json_type_null:
        return "null";
    case json_type_boolean:
        return "true or false";
    case json_type_double:
        return "a number with a fraction";
    case json_type_int:
        return "a whole number";
    case json_type_object:
        return "an object";
    case json_type_array:
        return "an array";
    default:
        return "a string";
    }
}

static int expect(struct conv *v, const struct json_object *o, json_type type, const char *what)
{
    if (json_object_get_type(o) == type)
        return 1;
    fail(v, VC_E_INVAL, "must be %s, but is %s", what, type_name(o));
    return 0;
}

static char *get_string(struct conv *v, struct json_object *o)
{
    if (!expect(v, o, json_type_string, "a string"))
        return NULL;
    size_t n = (size_t)json_object_get_string_len(o);
    const char *s = json_object_get_string(o);
    if (memchr(s, '\0', n)) {
        fail(v, VC_E_INVAL, "must not hold a NUL character");
        return NULL;
    }
    return get_str(v, s, n);
}

static void get_int(struct conv *v, struct json_object *o, int64_t min, int64_t max, int64_t *ret)
{
    if (!expect(v, o, json_type_int, "a whole number"))
        return;
    int64_t n = json_object_get_int64(o);
    if (n < min || n > max || (n == INT64_MAX && json_object_get_uint64(o) > INT64_MAX)) {
        fail(v, VC_E_INVAL, "must be within %lld..%lld, but is %s", (long long)min, (long long)max,
             json_object_get_string(o));
        return;
    }
    *ret = n;
}

static void get_uint64(struct conv *v, struct json_object *o, uint64_t *ret)
{
    if (!expect(v, o, json_type_int, "a whole number"))
        return;
    if (json_object_get_int64(o) < 0)
        fail(v, VC_E_INVAL, "must not be negative, but is %s", json_object_get_string(o));
    else
        *ret = json_object_get_uint64(o);
}

static ProtobufCMessage *get_message(struct conv *v, const ProtobufCMessageDescriptor *d, struct json_object *o);

static size_t value_size(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_INT32:
        return sizeof(uint32_t);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_INT64:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    default:
        return sizeof(void *);
    }
}

static void get_value(struct conv *v, const ProtobufCFieldDescriptor *f, struct json_object *o, void *at)
{
    int64_t n = 0;
    switch (f->type) {
    case PROTOBUF_C_TYPE_UINT32:
        get_int(v, o, 0, UINT32_MAX, &n);
        *(uint32_t *)at = (uint32_t)n;
        break;
    case PROTOBUF_C_TYPE_INT32:
        get_int(v, o, INT32_MIN, INT32_MAX, &n);
        *(int32_t *)at = (int32_t)n;
        break;
    case PROTOBUF_C_TYPE_UINT64:
        get_uint64(v, o, at);
        break;
    case PROTOBUF_C_TYPE_INT64:
        get_int(v, o, INT64_MIN, INT64_MAX, at);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        if (expect(v, o, json_type_boolean, "true or false"))
            *(protobuf_c_boolean *)at = json_object_get_boolean(o);
        break;
    case PROTOBUF_C_TYPE_STRING: {
        char *s = get_string(v, o);
        if (s)
            *(char **)at = s;
        break;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)at = get_message(v, f->descriptor, o);
        break;
    default:
        fail(v, VC_E_INTERNAL, "is of a type that is not known here");
    }
}

/* A JSON object with strings, as repeated StringEntry. */
static void **get_map(struct conv *v, struct json_object *o, size_t *ret_n)
{
    if (!expect(v, o, json_type_object, "an object with strings"))
        return NULL;
    size_t n = (size_t)json_object_object_length(o), i = 0;
    void **list = n <= ARRAY_MAX ? get_mem(v, n * sizeof(*list)) : NULL;
    if (!list) {
        fail(v, VC_E_INVAL, "has more than %u entries", ARRAY_MAX);
        return NULL;
    }
    json_object_object_foreach(o, key, val)
    {
        Oci__StringEntry *e = get_mem(v, sizeof(*e));
        if (!e)
            return NULL;
        oci__string_entry__init(e);
        size_t old = push(v, key, 0);
        char *name = get_str(v, key, strlen(key)), *text = get_string(v, val);
        pop(v, old);
        if (!name || !text)
            return NULL;
        e->key = name;
        e->value = text;
        list[i++] = e;
    }
    *ret_n = n;
    return list;
}

static void *get_array(struct conv *v, const ProtobufCFieldDescriptor *f, struct json_object *o, size_t *ret_n)
{
    if (!expect(v, o, json_type_array, "an array"))
        return NULL;
    size_t n = (size_t)json_object_array_length(o), each = value_size(f);
    if (n > ARRAY_MAX) {
        fail(v, VC_E_INVAL, "has more than %u elements", ARRAY_MAX);
        return NULL;
    }
    char *list = get_mem(v, n * each);
    for (size_t i = 0; list && i < n && !v->code; i++) {
        size_t old = push(v, NULL, i);
        get_value(v, f, json_object_array_get_idx(o, i), list + i * each);
        pop(v, old);
    }
    *ret_n = v->code ? 0 : n;
    return list;
}

/* Additional groups by name make the whole user a StringUser. */
static int has_group_names(struct json_object *o)
{
    for (size_t i = 0; json_object_is_type(o, json_type_array) && i < json_object_array_length(o); i++)
        if (json_object_is_type(json_object_array_get_idx(o, i), json_type_string))
            return 1;
    return 0;
}

static ProtobufCMessage *get_message(struct conv *v, const ProtobufCMessageDescriptor *d, struct json_object *o)
{
    if (!expect(v, o, json_type_object, "an object"))
        return NULL;
    ProtobufCMessage *m = get_mem(v, d->sizeof_message);
    if (!m)
        return NULL;
    protobuf_c_message_init(d, m);
    if (d == &oci__user__descriptor)
        v->user = o;
    for (unsigned i = 0; i < d->n_fields && !v->code; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        char buf[64];
        const char *key = oci_name(d, f->name, buf);
        struct json_object *val = NULL;
        if (is_host_only(d, f->name) || !json_object_object_get_ex(o, key, &val) || !val)
            continue;
        if (d == &oci__user__descriptor && !strcmp(f->name, "additional_gids") && has_group_names(val))
            continue;
        char *at = (char *)m + f->offset;
        size_t old = push(v, key, 0);
        if (f->label != PROTOBUF_C_LABEL_REPEATED)
            get_value(v, f, val, at);
        else if (f->type == PROTOBUF_C_TYPE_MESSAGE && f->descriptor == &oci__string_entry__descriptor)
            *(void **)at = get_map(v, val, (size_t *)((char *)m + f->quantifier_offset));
        else
            *(void **)at = get_array(v, f, val, (size_t *)((char *)m + f->quantifier_offset));
        pop(v, old);
    }
    if (d == &oci__linux_device_cgroup__descriptor && !v->code) { /* a missing number means any */
        Oci__LinuxDeviceCgroup *rule = (Oci__LinuxDeviceCgroup *)m;
        if (!json_object_object_get_ex(o, "major", NULL))
            rule->major = -1;
        if (!json_object_object_get_ex(o, "minor", NULL))
            rule->minor = -1;
    }
    return v->code ? NULL : m;
}

/* ---- users by name ---- */

/* process.user.username ("user[:group]"), with the additional groups, as StringUser. */
static void string_user(struct conv *v, const Oci__Process *process)
{
    struct json_object *groups = NULL;
    if (!v->user)
        return;
    const Oci__User *user = process->user;
    size_t old = push(v, "user", 0);
    json_object_object_get_ex(v->user, "additionalGids", &groups);
    int named = user->username && user->username[0];
    if (named || has_group_names(groups)) {
        Agent__StringUser *su = get_mem(v, sizeof(*su));
        size_t n = json_object_is_type(groups, json_type_array) ? json_object_array_length(groups) : 0;
        char **list = get_mem(v, (n + 1) * sizeof(*list));
        char uid[16], gid[16];
        snprintf(uid, sizeof(uid), "%u", user->uid);
        snprintf(gid, sizeof(gid), "%u", user->gid);
        const char *name = named ? user->username : uid, *colon = strchr(name, ':');
        size_t len = colon ? (size_t)(colon - name) : strlen(name);
        const char *group = colon ? colon + 1 : named ? "" : gid;
        if (!len || (colon && (!*group || strchr(group, ':'))))
            fail(v, VC_E_INVAL, "has the username \"%.64s\", where \"user\" or \"user:group\" is wanted", name);
        for (size_t i = 0; i < n && list && !v->code; i++) {
            struct json_object *g = json_object_array_get_idx(groups, i);
            size_t at = push(v, "additionalGids", 0);
            push(v, NULL, i);
            if (!json_object_is_type(g, json_type_string))
                expect(v, g, json_type_int, "a number or a name");
            const char *text = v->code ? "" : json_object_get_string(g);
            list[i] = get_str(v, text, strlen(text));
            pop(v, at);
        }
        char *u = get_str(v, name, len), *g = get_str(v, group, strlen(group));
        if (!v->code) {
            agent__string_user__init(su);
            su->uid = u;
            su->gid = g;
            su->n_additional_gids = n;
            su->additional_gids = list;
            v->out->user = su;
        }
    }
    pop(v, old);
}

/* ---- entry points ---- */

/* The text as JSON object; NULL with the error set. */
static struct json_object *parse(struct conv *v, struct vc_bytes json)
{
    if (json.len > JSON_MAX) {
        fail(v, VC_E_INVAL, "is larger than %u bytes", JSON_MAX);
        return NULL;
    }
    struct json_tokener *t = json_tokener_new_ex(JSON_DEPTH);
    if (!t) {
        fail(v, VC_E_NOMEM, "needs more memory than there is");
        return NULL;
    }
    json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *o = json.len ? json_tokener_parse_ex(t, json.data, (int)json.len) : NULL;
    enum json_tokener_error e = json_tokener_get_error(t);
    size_t at = json_tokener_get_parse_end(t);
    json_tokener_free(t);
    if (!json.len)
        fail(v, VC_E_INVAL, "is empty, where a JSON object is wanted");
    else if (e != json_tokener_success)
        fail(v, VC_E_INVAL, "is not JSON: %s at byte %zu",
             e == json_tokener_continue ? "it ends too early" : json_tokener_error_desc(e), at);
    else
        expect(v, o, json_type_object, "a JSON object");
    if (v->code) {
        json_object_put(o);
        return NULL;
    }
    return o;
}

static void check_process(struct conv *v, const Oci__Process *p)
{
    if (!v->code && (!p->n_args || !p->args[0][0]))
        fail(v, VC_E_INVAL, "has no program: args must be an array whose first string names it");
    if (!v->code && p->cwd[0] != '/')
        fail(v, VC_E_INVAL, "has the working directory \"%.128s\": cwd must be an absolute path", p->cwd);
}

/* Namespaces of the guest: its own mount, ipc and uts; the agent adds pid, and the network is the VM's. */
static void keep_namespaces(struct conv *v, Oci__Linux *l)
{
    size_t n = 0, mount = 0;
    for (size_t i = 0; i < l->n_namespaces; i++) {
        Oci__LinuxNamespace *ns = l->namespaces[i];
        if (strcmp(ns->type, "mount") && strcmp(ns->type, "ipc") && strcmp(ns->type, "uts"))
            continue;
        mount |= !strcmp(ns->type, "mount");
        l->namespaces[n++] = ns;
    }
    l->n_namespaces = n;
    if (mount)
        return;
    Oci__LinuxNamespace **list = get_mem(v, (n + 1) * sizeof(*list)), *ns = get_mem(v, sizeof(*ns));
    if (!list || !ns)
        return;
    if (n)
        memcpy(list, l->namespaces, n * sizeof(*list));
    oci__linux_namespace__init(ns);
    if (!(ns->type = get_str(v, "mount", 5)))
        return;
    list[n] = ns;
    l->namespaces = list;
    l->n_namespaces = n + 1;
}

/* "slice:prefix:name" of systemd means nothing in the guest. */
static void plain_cgroup(struct conv *v, Oci__Linux *l)
{
    const char *a = strchr(l->cgroups_path, ':'), *b = a ? strchr(a + 1, ':') : NULL;
    if (!b)
        return;
    size_t n = strlen(a) + 1;
    char *path = get_mem(v, n + 1);
    if (path) {
        snprintf(path, n + 1, "/%.*s/%s", (int)(b - a - 1), a + 1, b + 1);
        l->cgroups_path = path;
    }
}

/* ---- what the host has put into the guest ---- */

int kata_share_path_ok(const char *path)
{
    if (!path || !*path || *path == '/' || strlen(path) > 1024)
        return 0;
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return 0;
        p += n;
        if (*p == '/' && !*++p)
            return 0;
    }
    return 1;
}

static int is_bind(const Oci__Mount *m)
{
    int bind = !strcmp(m->type, "bind");
    for (size_t i = 0; i < m->n_options; i++)
        bind |= !strcmp(m->options[i], "bind") || !strcmp(m->options[i], "rbind");
    return bind;
}

/* Bind mounts whose source is not absolute have it in the shared folder. */
static void shared_sources(struct conv *v, Oci__Spec *spec)
{
    size_t old = push(v, "mounts", 0);
    for (size_t i = 0; i < spec->n_mounts && !v->code; i++) {
        Oci__Mount *m = spec->mounts[i];
        size_t at = push(v, NULL, i), n = sizeof(KATA_GUEST_SHARE) + strlen(m->source);
        char *path = is_bind(m) && m->source[0] != '/' ? get_mem(v, n) : NULL;
        if (path && !kata_share_path_ok(m->source))
            fail(v, VC_E_INVAL, "has the source \"%.128s\", which is neither absolute nor a path below the shared folder",
                 m->source);
        if (path) {
            snprintf(path, n, "%s%s", KATA_GUEST_SHARE, m->source);
            m->source = path;
        }
        pop(v, at);
    }
    pop(v, old);
}

/* Disks that were plugged in: the agent looks where they are, and puts their numbers into the specification. */
static void plugged_disks(struct conv *v, struct json_object *o)
{
    struct json_object *l = NULL, *list = NULL;
    if (v->code || !json_object_object_get_ex(o, "linux", &l) || !json_object_object_get_ex(l, "devices", &list) ||
        !json_object_is_type(list, json_type_array))
        return;
    size_t n = json_object_array_length(list);
    Agent__Device **devices = get_mem(v, (n + 1) * sizeof(*devices));
    size_t old = push(v, "linux.devices", 0);
    for (size_t i = 0; i < n && !v->code; i++) {
        struct json_object *d = json_object_array_get_idx(list, i), *addr = NULL, *path = NULL;
        if (!json_object_object_get_ex(d, "guestAddress", &addr))
            continue;
        size_t at = push(v, NULL, i);
        Agent__Device *dev = get_mem(v, sizeof(*dev));
        if (!json_object_object_get_ex(d, "path", &path))
            fail(v, VC_E_INVAL, "has no path");
        char *where = get_string(v, addr), *node = get_string(v, path);
        if (dev && where && node) {
            agent__device__init(dev);
            dev->type = get_str(v, "blk", 3);
            dev->id = where;
            dev->container_path = node;
            devices[v->out->n_devices++] = dev;
        }
        pop(v, at);
    }
    pop(v, old);
    v->out->devices = devices;
    if (v->code)
        v->out->n_devices = 0;
}

/* What must be there whatever the text says: agents follow these pointers blindly. */
static void complete(struct conv *v, Oci__Spec *spec, const char *rootfs)
{
    if (!spec->process) {
        fail(v, VC_E_INVAL, "has no process object");
        return;
    }
    size_t old = push(v, "process", 0);
    check_process(v, spec->process);
    string_user(v, spec->process);
    pop(v, old);
    size_t n = sizeof(KATA_GUEST_SHARE) + strlen(rootfs);
    char *path = get_mem(v, n);
    if (!spec->root && (spec->root = get_mem(v, sizeof(*spec->root))))
        oci__root__init(spec->root);
    if (!spec->linux_part && (spec->linux_part = get_mem(v, sizeof(*spec->linux_part))))
        oci__linux__init(spec->linux_part);
    if (v->code)
        return;
    Oci__Linux *l = spec->linux_part;
    if (!l->resources && (l->resources = get_mem(v, sizeof(*l->resources))))
        oci__linux_resources__init(l->resources);
    snprintf(path, n, "%s%s", KATA_GUEST_SHARE, rootfs);
    spec->root->path = path;
    keep_namespaces(v, l);
    plain_cgroup(v, l);
}

int kata_spec_parse(struct kata_spec *s, struct vc_bytes json, const char *rootfs)
{
    struct conv v = { .out = s };
    struct json_object *o = parse(&v, json);
    if (o) {
        s->spec = (Oci__Spec *)get_message(&v, &oci__spec__descriptor, o);
        if (s->spec) {
            complete(&v, s->spec, rootfs);
            shared_sources(&v, s->spec);
            plugged_disks(&v, o);
            s->process = s->spec->process;
        }
        json_object_put(o);
    }
    return v.code;
}

int kata_spec_parse_process(struct kata_spec *s, struct vc_bytes json)
{
    struct conv v = { .out = s };
    struct json_object *o = parse(&v, json);
    if (o) {
        size_t old = push(&v, "process", 0);
        s->process = (Oci__Process *)get_message(&v, &oci__process__descriptor, o);
        if (s->process) {
            check_process(&v, s->process);
            string_user(&v, s->process);
        }
        pop(&v, old);
        json_object_put(o);
    }
    return v.code;
}

int kata_spec_parse_resources(struct kata_spec *s, struct vc_bytes json)
{
    struct conv v = { .out = s };
    struct json_object *o = parse(&v, json);
    if (o) {
        size_t old = push(&v, "resources", 0);
        s->resources = (Oci__LinuxResources *)get_message(&v, &oci__linux_resources__descriptor, o);
        pop(&v, old);
        json_object_put(o);
    }
    return v.code;
}
