/* SPDX-License-Identifier: Apache-2.0 */
/* config-json.c: configurations from JSON text, by the tables of config-tables.c. */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdint.h>
#include <string.h>

#include "conf-impl.h"
#include "config-shape.h"
#include "lib/buf.h"

struct reader {
    struct vci_json_path path;
    vc_error **err;
};

static int read_object(struct reader *r, const struct vci_shape *s, json_object *o, void *dst);

/* ---- values ---- */

static int no_memory(const struct reader *r)
{
    return vci_fail(r->err, VC_ERR_NOMEM, 0, "out of memory");
}

static int want(struct reader *r, json_object *v, json_type type, const char *what)
{
    static const char *const names[] = { "null", "a boolean", "a number with a fraction", "a whole number",
                                         "an object", "an array", "a string" };
    if (json_object_is_type(v, type))
        return 0;
    unsigned is = (unsigned)json_object_get_type(v);
    return vci_json_fail(&r->path, r->err, "it must be %s, and is %s", what, is < 7 ? names[is] : "something else");
}

/* A whole number in range; *ret is its two's complement. */
static int whole(struct reader *r, json_object *v, int64_t min, uint64_t max, uint64_t *ret)
{
    int rc = want(r, v, json_type_int, "a whole number");
    if (rc < 0)
        return rc;
    int64_t n = json_object_get_int64(v);
    uint64_t u = json_object_get_uint64(v);
    if (n < 0 ? n < min : u > max)
        return vci_json_fail(&r->path, r->err, "%s is out of range: it must be %" PRId64 " to %" PRIu64,
                             json_object_to_json_string(v), min, max);
    *ret = n < 0 ? (uint64_t)n : u;
    return 0;
}

static int boolean(struct reader *r, json_object *v, int *ret)
{
    int rc = want(r, v, json_type_boolean, "true or false");
    *ret = rc == 0 && json_object_get_boolean(v);
    return rc;
}

/* A copy of a string; "" is NULL. */
static int text(struct reader *r, json_object *v, char **ret)
{
    int rc = want(r, v, json_type_string, "a string");
    if (rc < 0 || !json_object_get_string_len(v))
        return rc;
    *ret = strdup(json_object_get_string(v));
    return *ret ? 0 : no_memory(r);
}

/* Append "A" or "A=B" to a NULL-terminated list of n. */
static int append(struct reader *r, char ***list, size_t n, const char *a, const char *b)
{
    /* Room grows in steps, of which each is a power of two. */
    if (!*list || (n & (n + 1)) == 0) {
        char **more = realloc(*list, (2 * n + 2) * sizeof *more);
        if (!more)
            return no_memory(r);
        *list = more;
    }
    (*list)[n] = (*list)[n + 1] = NULL;
    if (b ? asprintf(&(*list)[n], "%s=%s", a, b) < 0 : !((*list)[n] = strdup(a))) {
        (*list)[n] = NULL;
        return no_memory(r);
    }
    return 0;
}

/* An empty list, which is another thing than none. */
static int empty_list(struct reader *r, char ***list)
{
    if (!*list && !(*list = calloc(2, sizeof **list)))
        return no_memory(r);
    return 0;
}

static int strings(struct reader *r, json_object *v, char ***ret)
{
    int rc = want(r, v, json_type_array, "an array of strings");
    if (rc == 0)
        rc = empty_list(r, ret);
    for (size_t i = 0; rc == 0 && i < json_object_array_length(v); i++) {
        json_object *e = json_object_array_get_idx(v, i);
        size_t back = vci_json_path_index(&r->path, i);
        rc = want(r, e, json_type_string, "a string");
        if (rc == 0)
            rc = append(r, ret, i, json_object_get_string(e), NULL);
        vci_json_path_back(&r->path, back);
    }
    return rc;
}

/* What stands before "=" in a list of "key=value" strings. */
static int key_ok(struct reader *r, const char *key)
{
    if (*key && !strchr(key, '='))
        return 0;
    return vci_json_fail(&r->path, r->err, "a name must not be empty, nor hold \"=\"");
}

/* Is the key in the list already? */
static int has_key(char *const *list, const char *key)
{
    size_t n = strlen(key);
    for (; list && *list; list++)
        if (strncmp(*list, key, n) == 0 && (*list)[n] == '=')
            return 1;
    return 0;
}

static int map(struct reader *r, json_object *v, char ***ret)
{
    int rc = want(r, v, json_type_object, "an object of strings");
    if (rc == 0)
        rc = empty_list(r, ret);
    if (rc < 0)
        return rc;
    size_t others = 0; /* by HypervisorConfig and its like; what this object holds is there once */
    while ((*ret)[others])
        others++;
    size_t n = others;
    json_object_object_foreach(v, key, e)
    {
        size_t back = vci_json_path_member(&r->path, key);
        rc = key_ok(r, key);
        if (rc == 0)
            rc = want(r, e, json_type_string, "a string");
        if (rc == 0 && others && has_key(*ret, key))
            rc = vci_json_fail(&r->path, r->err, "another member of the document sets it, too");
        if (rc == 0)
            rc = append(r, ret, n++, key, json_object_get_string(e));
        vci_json_path_back(&r->path, back);
        if (rc < 0)
            break;
    }
    return rc;
}

/* One {NAME: "a", VALUE: "b"} of the original's Param and EnvVar. */
static int pair(struct reader *r, json_object *o, const char *name, const char *value, const char **ret_a, const char **ret_b)
{
    int rc = want(r, o, json_type_object, "an object");
    *ret_a = *ret_b = "";
    if (rc < 0)
        return rc;
    json_object_object_foreach(o, key, v)
    {
        size_t back = vci_json_path_member(&r->path, key);
        int a = strcmp(key, name) == 0;
        if (!a && strcmp(key, value) != 0)
            rc = vci_json_fail(&r->path, r->err, "unknown member; known: %s, %s", name, value);
        else if (v)
            rc = want(r, v, json_type_string, "a string");
        if (rc == 0 && v)
            *(a ? ret_a : ret_b) = json_object_get_string(v);
        vci_json_path_back(&r->path, back);
        if (rc < 0)
            return rc;
    }
    size_t back = vci_json_path_member(&r->path, name);
    rc = key_ok(r, *ret_a);
    vci_json_path_back(&r->path, back);
    return rc;
}

static int envs(struct reader *r, json_object *v, char ***ret)
{
    int rc = want(r, v, json_type_array, "an array of {\"Var\", \"Value\"}");
    if (rc == 0)
        rc = empty_list(r, ret);
    for (size_t i = 0; rc == 0 && i < json_object_array_length(v); i++) {
        const char *a, *b;
        size_t back = vci_json_path_index(&r->path, i);
        rc = pair(r, json_object_array_get_idx(v, i), "Var", "Value", &a, &b);
        if (rc == 0)
            rc = append(r, ret, i, a, b);
        vci_json_path_back(&r->path, back);
    }
    return rc;
}

static int enumeration(struct reader *r, const struct vci_field *f, json_object *v, uint32_t *ret)
{
    int rc = want(r, v, json_type_string, "a string");
    if (rc < 0 || !json_object_get_string_len(v))
        return rc;
    const char *have = json_object_get_string(v);
    uint32_t i = (uint32_t)f->min;
    for (const char *w = f->words; *w; w += strcspn(w, " "), w += *w == ' ', i++) {
        size_t n = strcspn(w, " ");
        if (strlen(have) == n && strncmp(have, w, n) == 0) {
            *ret = i;
            return 0;
        }
    }
    return vci_json_fail(&r->path, r->err, "\"%.80s\" is none of: %s", have, f->words);
}

static int raw(struct reader *r, json_object *v, char **ret)
{
    int rc = want(r, v, json_type_object, "an object");
    const char *t = rc == 0 ? json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : NULL;
    if (rc == 0 && (!t || !(*ret = strdup(t))))
        rc = no_memory(r);
    return rc;
}

/* What the library says itself: only the zero of its type is taken. */
static int never(struct reader *r, json_object *v)
{
    int zero = json_object_is_type(v, json_type_string)    ? json_object_get_string_len(v) == 0
               : json_object_is_type(v, json_type_boolean) ? !json_object_get_boolean(v)
                                                           : 0;
    return zero ? 0 : vci_json_fail(&r->path, r->err, "it cannot be given: the library itself finds out what stands here");
}

/* ---- settings of plugins ---- */

static int params(struct reader *r, json_object *v, struct vcs_buf *b)
{
    int rc = want(r, v, json_type_array, "an array of {\"Key\", \"Value\"}");
    for (size_t i = 0; rc == 0 && i < json_object_array_length(v); i++) {
        const char *key, *value;
        size_t back = vci_json_path_index(&r->path, i);
        rc = pair(r, json_object_array_get_idx(v, i), "Key", "Value", &key, &value);
        if (rc == 0 && (strpbrk(key, " \t\n") || strpbrk(value, " \t\n")))
            rc = vci_json_fail(&r->path, r->err, "a parameter cannot hold blanks");
        if (rc == 0 && vcs_buf_printf(b, "%s%s%s%s", b->len ? " " : "", key, *value ? "=" : "", value) < 0)
            rc = no_memory(r);
        vci_json_path_back(&r->path, back);
    }
    return rc;
}

/* A number of the original's NetInterworkingModel, or its name; 0 is the default, so it says nothing. */
static int model(struct reader *r, json_object *v, struct vcs_buf *b)
{
    static const char *const names[] = { "default", "bridged", "macvtap", "enlightened" };
    uint64_t n = 0;
    if (json_object_is_type(v, json_type_string)) {
        const char *have = json_object_get_string(v);
        while (*have && n < 4 && strcmp(have, names[n]) != 0)
            n++;
        if (n == 4)
            return vci_json_fail(&r->path, r->err, "\"%.80s\" is none of: default bridged macvtap enlightened", have);
    } else {
        int rc = whole(r, v, 0, 3, &n);
        if (rc < 0)
            return rc;
    }
    return n && vcs_buf_printf(b, "%s", names[n]) < 0 ? no_memory(r) : 0;
}

/* The value as text of a setting; "" when it is the zero of its type, which means that it is not given. */
static int setting_value(struct reader *r, const struct vci_setting_name *s, json_object *v, struct vcs_buf *b)
{
    uint64_t n = 0;
    int rc = 0, on = 0;
    switch (s->type) {
    case VCI_S_STR:
        rc = want(r, v, json_type_string, "a string");
        return rc == 0 && vcs_buf_printf(b, "%s", json_object_get_string(v)) < 0 ? no_memory(r) : rc;
    case VCI_S_BOOL:
        rc = boolean(r, v, &on);
        return rc == 0 && on && vcs_buf_printf(b, "true") < 0 ? no_memory(r) : rc;
    case VCI_S_INT:
    case VCI_S_MIB:
        rc = whole(r, v, 0, UINT32_MAX, &n);
        return rc == 0 && n && vcs_buf_printf(b, "%" PRIu64 "%s", n, s->type == VCI_S_MIB ? "M" : "") < 0 ? no_memory(r) : rc;
    case VCI_S_PARAMS:
        return params(r, v, b);
    case VCI_S_MODEL:
        return model(r, v, b);
    }
    return 0;
}

static int unknown_setting(struct reader *r, const char *group)
{
    struct vcs_buf b = { 0 };
    for (size_t i = 0; i < vci_n_setting_names; i++)
        if (strcmp(vci_setting_names[i].group, group) == 0)
            vcs_buf_printf(&b, "%s%s", b.len ? ", " : "", vci_setting_names[i].member);
    const char *all = vcs_buf_str(&b);
    int rc = vci_json_fail(&r->path, r->err, "unknown member; known: %s", all ? all : "");
    vcs_buf_done(&b);
    return rc;
}

static int read_setting(struct reader *r, const struct vci_setting_name *s, json_object *v, char ***list)
{
    struct vcs_buf b = { 0 };
    char key[80];
    size_t n = 0;
    while (*list && (*list)[n])
        n++;
    int rc = v ? setting_value(r, s, v, &b) : 0;
    const char *value = rc == 0 && b.len ? vcs_buf_str(&b) : NULL;
    if (rc == 0 && b.len && !value)
        rc = no_memory(r);
    snprintf(key, sizeof key, "%s.%s", s->kind, s->option);
    if (value && has_key(*list, key))
        rc = vci_json_fail(&r->path, r->err, "another member of the document sets \"%s\", too", key);
    else if (value)
        rc = append(r, list, n, key, value);
    vcs_buf_done(&b);
    return rc;
}

static int settings(struct reader *r, const struct vci_field *f, json_object *v, char ***list)
{
    int rc = want(r, v, json_type_object, "an object");
    if (rc < 0)
        return rc;
    json_object_object_foreach(v, key, e)
    {
        const struct vci_setting_name *s = NULL;
        for (size_t i = 0; i < vci_n_setting_names && !s; i++)
            if (strcmp(vci_setting_names[i].group, f->name) == 0 && strcmp(vci_setting_names[i].member, key) == 0)
                s = &vci_setting_names[i];
        size_t back = vci_json_path_member(&r->path, key);
        rc = s ? read_setting(r, s, e, list) : unknown_setting(r, f->name);
        vci_json_path_back(&r->path, back);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- members of structs ---- */

static int caps(struct reader *r, json_object *v, struct vc_process_config *p)
{
    if (json_object_is_type(v, json_type_array))
        return strings(r, v, (char ***)(uintptr_t)&p->caps);
    struct vc_capabilities *c = vci_shape_new(&vci_shape_caps);
    if (!c)
        return no_memory(r);
    int rc = want(r, v, json_type_object, "an object of five sets, or an array");
    if (rc == 0)
        rc = read_object(r, &vci_shape_caps, v, c);
    int any = 0;
    for (size_t i = 0; i < vci_shape_caps.n; i++) {
        char **set;
        memcpy(&set, (char *)c + vci_shape_caps.fields[i].at, sizeof set);
        any |= set && set[0];
    }
    if (rc == 0 && any)
        p->capabilities = c;
    else /* five empty sets are what is written when nothing was said */
        vci_shape_free(&vci_shape_caps, c);
    return rc;
}

static int list(struct reader *r, const struct vci_field *f, json_object *v, char *dst)
{
    int rc = want(r, v, json_type_array, "an array of objects");
    size_t n = rc == 0 ? json_object_array_length(v) : 0;
    void **all = n ? calloc(n, sizeof *all) : NULL;
    if (n && !all)
        return no_memory(r);
    memcpy(dst + f->at, &all, sizeof all);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        size_t back = vci_json_path_index(&r->path, i);
        json_object *e = json_object_array_get_idx(v, i);
        rc = want(r, e, json_type_object, "an object");
        if (rc == 0 && !(all[i] = vci_shape_new(f->sub)))
            rc = no_memory(r);
        if (rc == 0) {
            size_t so_far = i + 1;
            memcpy(dst + f->n_at, &so_far, sizeof so_far);
            rc = read_object(r, f->sub, e, all[i]);
        }
        vci_json_path_back(&r->path, back);
    }
    return rc;
}

static int object(struct reader *r, const struct vci_field *f, json_object *v, char *dst)
{
    int rc = want(r, v, json_type_object, "an object");
    void *sub = NULL;
    memcpy(&sub, dst + f->at, sizeof sub);
    if (rc == 0 && !sub && !(sub = vci_shape_new(f->sub)))
        rc = no_memory(r);
    if (rc < 0)
        return rc;
    memcpy(dst + f->at, &sub, sizeof sub);
    return read_object(r, f->sub, v, sub);
}

static int number(struct reader *r, const struct vci_field *f, json_object *v, char *dst)
{
    uint64_t n = 0, old = 0;
    int rc = whole(r, v, f->min, f->max, &n);
    if (rc < 0 || !n)
        return rc;
    if (f->type == VCI_F_U32) {
        uint32_t u = (uint32_t)n;
        memcpy(dst, &u, sizeof u);
        return 0;
    }
    memcpy(&old, dst, sizeof old);
    if (old)
        return vci_json_fail(&r->path, r->err, "another member of the document sets the same, too");
    n <<= f->type == VCI_F_MIB ? 20 : 0;
    memcpy(dst, &n, sizeof n);
    return 0;
}

/* One member into its struct.  The struct's own type does not matter: what counts is the offset. */
static int read_field(struct reader *r, const struct vci_field *f, json_object *v, char *dst)
{
    void *at = dst + f->at;
    int on = 0, rc;
    uint32_t bits;
    switch (f->type) {
    case VCI_F_STR:
        return text(r, v, at);
    case VCI_F_STRV:
        return strings(r, v, at);
    case VCI_F_MAP:
        return map(r, v, at);
    case VCI_F_ENVS:
        return envs(r, v, at);
    case VCI_F_BOOL:
    case VCI_F_FLAG:
        rc = boolean(r, v, &on);
        memcpy(&bits, at, sizeof bits);
        bits |= rc == 0 && on ? f->type == VCI_F_BOOL ? 1u : (uint32_t)f->max : 0;
        memcpy(at, &bits, sizeof bits);
        return rc;
    case VCI_F_U32:
    case VCI_F_U64:
    case VCI_F_I64:
    case VCI_F_MIB:
    case VCI_F_BYTES:
        return number(r, f, v, at);
    case VCI_F_ENUM:
        return enumeration(r, f, v, at);
    case VCI_F_OBJ:
        return object(r, f, v, dst);
    case VCI_F_LIST:
        return list(r, f, v, dst);
    case VCI_F_GROUP:
        rc = want(r, v, json_type_object, "an object");
        return rc < 0 ? rc : read_object(r, f->sub, v, dst);
    case VCI_F_RAW:
        return raw(r, v, at);
    case VCI_F_CAPS:
        return caps(r, v, (struct vc_process_config *)(void *)dst);
    case VCI_F_DETACH:
        rc = boolean(r, v, &on);
        if (rc == 0 && on)
            ((struct vc_process_config *)(void *)dst)->use_stdio = 0;
        return rc;
    case VCI_F_SETTINGS:
        return settings(r, f, v, at);
    case VCI_F_NEVER:
        return never(r, v);
    }
    return 0;
}

static int unknown_member(struct reader *r, const struct vci_shape *s, const char *key)
{
    struct vcs_buf b = { 0 };
    char near[64];
    for (size_t i = 0; i < s->n; i++)
        vcs_buf_printf(&b, "%s%s", i ? " " : "", s->fields[i].name);
    const char *all = vcs_buf_str(&b);
    int found = all && vci_nearest(key, all, near, sizeof near);
    for (size_t i = 0; i < s->n && !found; i++) /* Go does not look at capitals */
        if ((found = strcasecmp(key, s->fields[i].name) == 0))
            snprintf(near, sizeof near, "%s", s->fields[i].name);
    int rc = vci_json_fail(&r->path, r->err, "unknown member%s%s%s; known: %s", found ? ", did you mean \"" : "",
                           found ? near : "", found ? "\"?" : "", all ? all : "");
    vcs_buf_done(&b);
    return rc;
}

/* As the document says nothing: made structs, and the caller's streams, which "Detach" or "Console" replace. */
static int defaults(struct reader *r, const struct vci_shape *s, char *dst)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct vci_field *f = &s->fields[i];
        void *sub = f->type == VCI_F_OBJ && f->min ? vci_shape_new(f->sub) : NULL;
        if (f->type == VCI_F_DETACH) {
            struct vc_process_config *p = (struct vc_process_config *)(void *)dst;
            p->use_stdio = 1;
            for (int k = 0; k < 3; k++)
                p->stdio[k] = k;
        }
        if (f->type != VCI_F_OBJ || !f->min)
            continue;
        if (!sub)
            return no_memory(r);
        memcpy(dst + f->at, &sub, sizeof sub);
        int rc = defaults(r, f->sub, sub);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_object(struct reader *r, const struct vci_shape *s, json_object *o, void *dst)
{
    int rc = defaults(r, s, dst);
    if (rc < 0)
        return rc;
    json_object_object_foreach(o, key, v)
    {
        const struct vci_field *f = NULL;
        for (size_t i = 0; i < s->n && !f; i++)
            if (strcmp(s->fields[i].name, key) == 0)
                f = &s->fields[i];
        size_t back = vci_json_path_member(&r->path, key);
        rc = !f ? unknown_member(r, s, key) : v ? read_field(r, f, v, dst) : 0;
        vci_json_path_back(&r->path, back);
        if (rc < 0)
            return rc;
    }
    if (s == &vci_shape_process) {
        struct vc_process_config *p = dst;
        p->use_stdio = p->use_stdio && !p->console;
        for (int i = 0; i < 3 && !p->use_stdio; i++)
            p->stdio[i] = 0;
    }
    return 0;
}

int vci_shape_read(const struct vci_shape *s, const char *json, void **ret, vc_error **err)
{
    struct reader r = { .err = err };
    json_object *o = NULL;
    void *dst = NULL;
    int rc = vci_json_parse(json, strlen(json), &o, err);
    if (rc == 0)
        rc = want(&r, o, json_type_object, "an object");
    if (rc == 0 && !(dst = vci_shape_new(s)))
        rc = no_memory(&r);
    if (rc == 0)
        rc = read_object(&r, s, o, dst);
    json_object_put(o);
    if (rc < 0)
        vci_shape_free(s, dst);
    else
        *ret = dst;
    return rc;
}

/* ---- the public functions ---- */

#define FROM_JSON(NAME, TYPE, SHAPE)                                                  \
    int NAME(const char *json, struct TYPE **ret, vc_error **err)                     \
    {                                                                                 \
        VCI_NEED(json, err);                                                          \
        VCI_NEED(ret, err);                                                           \
        vc_error *e = NULL;                                                           \
        void *obj = NULL;                                                             \
        int rc = vci_shape_read(&SHAPE, json, &obj, &e);                              \
        if (rc == 0)                                                                  \
            *ret = obj;                                                               \
        else if (err)                                                                 \
            *err = e;                                                                 \
        else                                                                          \
            vc_error_free(e);                                                         \
        return rc;                                                                    \
    }
FROM_JSON(vc_pod_config_from_json, vc_pod_config, vci_shape_pod)
FROM_JSON(vc_container_config_from_json, vc_container_config, vci_shape_container)
FROM_JSON(vc_process_config_from_json, vc_process_config, vci_shape_process)
FROM_JSON(vc_resources_from_json, vc_resources, vci_shape_resources)
FROM_JSON(vc_ps_options_from_json, vc_ps_options, vci_shape_ps)
