/* SPDX-License-Identifier: Apache-2.0 */
/* config-json-write.c: configurations as JSON text, by the tables of config-tables.c: what is as by default is left out. */
#include <json-c/json.h>
#include <stdint.h>
#include <string.h>

#include "config-shape.h"

#define MAX_STRINGS VCI_JSON_VALUES /* no list that could be read back has more */

struct writer {
    struct vci_json_path path;
    vc_error **err;
};

static int write_object(struct writer *w, const struct vci_shape *s, const void *obj, json_object *o);

/* Hand a made value to an object; v is taken in any case. */
static int put(struct writer *w, json_object *o, const char *name, json_object *v)
{
    if (v && json_object_object_add(o, name, v) == 0)
        return 0;
    json_object_put(v);
    return vci_fail(w->err, VC_ERR_NOMEM, 0, "out of memory");
}

static int push(struct writer *w, json_object *a, json_object *v)
{
    if (v && json_object_array_add(a, v) == 0)
        return 0;
    json_object_put(v);
    return vci_fail(w->err, VC_ERR_NOMEM, 0, "out of memory");
}

/* JSON is UTF-8: what is not cannot be said. */
static int check(struct writer *w, const char *s)
{
    return vci_utf8_ok(s, strlen(s)) ? 0 : vci_json_fail(&w->path, w->err, "it is not UTF-8, so that it cannot be written as JSON");
}

static json_object *string(const char *s, size_t n)
{
    return json_object_new_string_len(s, (int)n);
}

static int put_strings(struct writer *w, json_object *o, const char *name, const char *const *list)
{
    json_object *a = json_object_new_array();
    int rc = put(w, o, name, a);
    for (size_t i = 0; rc == 0 && list[i]; i++) {
        size_t back = vci_json_path_index(&w->path, i);
        rc = i < MAX_STRINGS ? check(w, list[i]) : vci_json_fail(&w->path, w->err, "the list is too long");
        vci_json_path_back(&w->path, back);
        if (rc == 0)
            rc = push(w, a, string(list[i], strlen(list[i])));
    }
    return rc;
}

/* "key=value" strings: an object of them, or an array of {Var, Value}. */
static int put_pairs(struct writer *w, json_object *o, const char *name, const char *const *list, int as_envs)
{
    json_object *all = as_envs ? json_object_new_array() : json_object_new_object();
    int rc = put(w, o, name, all);
    for (size_t i = 0; rc == 0 && list[i]; i++) {
        size_t back = vci_json_path_index(&w->path, i);
        const char *eq = strchr(list[i], '=');
        rc = check(w, list[i]);
        if (rc == 0 && (!eq || eq == list[i] || i >= MAX_STRINGS))
            rc = vci_json_fail(&w->path, w->err, "\"%.80s\" must read NAME=VALUE", list[i]);
        vci_json_path_back(&w->path, back);
        if (rc < 0)
            break;
        json_object *value = string(eq + 1, strlen(eq + 1)), *one = NULL;
        if (!as_envs) {
            vcs_autofree char *key = strndup(list[i], (size_t)(eq - list[i]));
            rc = key ? put(w, all, key, value) : (json_object_put(value), vci_fail(w->err, VC_ERR_NOMEM, 0, "out of memory"));
            continue;
        }
        one = json_object_new_object();
        rc = push(w, all, one);
        if (rc == 0)
            rc = put(w, one, "Var", string(list[i], (size_t)(eq - list[i])));
        if (rc == 0)
            rc = put(w, one, "Value", value);
        else
            json_object_put(value);
    }
    return rc;
}

static int put_raw(struct writer *w, json_object *o, const char *name, const char *text)
{
    json_object *v = NULL;
    vc_error *e = NULL;
    int rc = vci_json_parse(text, strlen(text), &v, &e);
    if (rc == 0 && !json_object_is_type(v, json_type_object)) {
        json_object_put(v);
        return vci_json_fail(&w->path, w->err, "it is no JSON object");
    }
    if (rc < 0)
        vci_json_fail(&w->path, w->err, "it is no JSON object: %s", vc_error_text(e));
    vc_error_free(e);
    return rc < 0 ? rc : put(w, o, name, v);
}

static int put_list(struct writer *w, const struct vci_field *f, const char *obj, json_object *o)
{
    void *const *list = NULL;
    size_t n = 0;
    memcpy(&list, obj + f->at, sizeof list);
    memcpy(&n, obj + f->n_at, sizeof n);
    if (!list || !n)
        return 0;
    json_object *a = json_object_new_array();
    int rc = put(w, o, f->name, a);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        size_t back = vci_json_path_index(&w->path, i);
        json_object *one = json_object_new_object();
        rc = push(w, a, one);
        if (rc == 0)
            rc = list[i] ? write_object(w, f->sub, list[i], one) : vci_json_fail(&w->path, w->err, "it is NULL");
        vci_json_path_back(&w->path, back);
    }
    return rc;
}

static int put_caps(struct writer *w, const struct vci_field *f, const struct vc_process_config *p, json_object *o)
{
    if (p->caps)
        return put_strings(w, o, f->name, p->caps);
    if (!p->capabilities)
        return 0;
    json_object *sets = json_object_new_object();
    int rc = put(w, o, f->name, sets);
    if (rc == 0)
        rc = write_object(w, &vci_shape_caps, p->capabilities, sets);
    if (rc < 0)
        return rc;
    int any = 0;
    json_object_object_foreach(sets, key, v)
        any |= key && json_object_array_length(v) > 0;
    /* Five empty sets would be read as nothing said; an empty list says that there are none. */
    return any ? 0 : put(w, o, f->name, json_object_new_array());
}

static int put_number(struct writer *w, const struct vci_field *f, const char *at, json_object *o)
{
    uint64_t n = 0;
    uint32_t u = 0;
    int64_t s = 0;
    static const uint64_t mib = UINT64_C(1) << 20;
    if (f->type == VCI_F_U32) {
        memcpy(&u, at, sizeof u);
        n = u;
    } else {
        memcpy(&n, at, sizeof n);
    }
    memcpy(&s, &n, sizeof s);
    if (!n || (f->type == VCI_F_MIB && n % mib) || (f->type == VCI_F_BYTES && n % mib == 0))
        return 0;
    n /= f->type == VCI_F_MIB ? mib : 1;
    int out = f->type == VCI_F_I64 ? s < f->min || (s > 0 && (uint64_t)s > f->max) : n > f->max;
    if (out)
        return vci_json_fail(&w->path, w->err, "it is out of range");
    return put(w, o, f->name, f->type == VCI_F_I64 ? json_object_new_int64(s) : json_object_new_uint64(n));
}

static int put_enum(struct writer *w, const struct vci_field *f, uint32_t value, json_object *o)
{
    const char *word = f->words;
    for (uint32_t i = (uint32_t)f->min; value >= (uint32_t)f->min && *word; i++) {
        size_t n = strcspn(word, " ");
        if (i == value)
            return value ? put(w, o, f->name, string(word, n)) : 0;
        word += n + (word[n] == ' ');
    }
    return value ? vci_json_fail(&w->path, w->err, "%u is no possible value", value) : 0;
}

/* A member whose value is an object of its own. */
static int put_object(struct writer *w, const struct vci_field *f, const void *sub, json_object *o)
{
    json_object *one = json_object_new_object();
    if (!one)
        return vci_fail(w->err, VC_ERR_NOMEM, 0, "out of memory");
    int rc = write_object(w, f->sub, sub, one);
    if (rc == 0 && (f->type == VCI_F_OBJ || json_object_object_length(one)))
        return put(w, o, f->name, one);
    json_object_put(one);
    return rc;
}

static int write_field(struct writer *w, const struct vci_field *f, const char *obj, json_object *o)
{
    const char *at = obj + f->at, *text = NULL;
    const void *p = NULL;
    uint32_t u = 0;
    int rc;
    switch (f->type) {
    case VCI_F_STR:
        memcpy(&text, at, sizeof text);
        rc = text && *text ? check(w, text) : 0;
        return rc < 0 || !text || !*text ? rc : put(w, o, f->name, string(text, strlen(text)));
    case VCI_F_STRV:
    case VCI_F_MAP:
    case VCI_F_ENVS:
        memcpy(&p, at, sizeof p);
        if (!p)
            return 0;
        return f->type == VCI_F_STRV ? put_strings(w, o, f->name, p) : put_pairs(w, o, f->name, p, f->type == VCI_F_ENVS);
    case VCI_F_BOOL:
    case VCI_F_FLAG:
        memcpy(&u, at, sizeof u);
        if (f->type == VCI_F_FLAG)
            u &= (uint32_t)f->max;
        return u ? put(w, o, f->name, json_object_new_boolean(1)) : 0;
    case VCI_F_U32:
    case VCI_F_U64:
    case VCI_F_I64:
    case VCI_F_MIB:
    case VCI_F_BYTES:
        return put_number(w, f, at, o);
    case VCI_F_ENUM:
        memcpy(&u, at, sizeof u);
        return put_enum(w, f, u, o);
    case VCI_F_OBJ:
        memcpy(&p, at, sizeof p);
        return p ? put_object(w, f, p, o) : 0;
    case VCI_F_LIST:
        return put_list(w, f, obj, o);
    case VCI_F_GROUP:
        return put_object(w, f, obj, o);
    case VCI_F_RAW:
        memcpy(&text, at, sizeof text);
        return text ? put_raw(w, o, f->name, text) : 0;
    case VCI_F_CAPS:
        return put_caps(w, f, (const struct vc_process_config *)(const void *)obj, o);
    case VCI_F_DETACH: {
        const struct vc_process_config *c = (const struct vc_process_config *)(const void *)obj;
        return c->use_stdio || c->console ? 0 : put(w, o, f->name, json_object_new_boolean(1));
    }
    case VCI_F_SETTINGS: /* written as "Settings" */
    case VCI_F_NEVER:
        break;
    }
    return 0;
}

static int write_object(struct writer *w, const struct vci_shape *s, const void *obj, json_object *o)
{
    /* A struct of an older program is shorter: what it does not have is zero.  A group is its own struct's. */
    vcs_autofree char *whole = calloc(1, s->size);
    uint32_t size;
    memcpy(&size, obj, sizeof size);
    if (!whole)
        return vci_fail(w->err, VC_ERR_NOMEM, 0, "out of memory");
    if (size < sizeof size)
        return vci_json_fail(&w->path, w->err, "the size of struct %s is %u: set it with VC_INIT", s->what, size);
    memcpy(whole, obj, size < s->size ? size : s->size);
    for (size_t i = 0; i < s->n; i++) {
        size_t back = vci_json_path_member(&w->path, s->fields[i].name);
        int rc = write_field(w, &s->fields[i], whole, o);
        vci_json_path_back(&w->path, back);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int vci_shape_write(const struct vci_shape *s, const void *obj, char **ret, vc_error **err)
{
    struct writer w = { .err = err };
    json_object *o = json_object_new_object();
    int rc = o ? write_object(&w, s, obj, o) : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    const char *text =
        rc == 0 ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : NULL;
    char *copy = text ? strdup(text) : NULL;
    json_object_put(o);
    if (rc == 0 && !copy)
        rc = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (rc == 0)
        *ret = copy;
    return rc;
}

/* ---- the public functions ---- */

#define TO_JSON(NAME, TYPE, SHAPE, CHECK)                                             \
    int NAME(const struct TYPE *from, char **ret_json, vc_error **err)                \
    {                                                                                 \
        VCI_NEED(from, err);                                                          \
        VCI_NEED(ret_json, err);                                                      \
        vc_error *e = NULL;                                                           \
        int rc = CHECK(from, &e);                                                     \
        if (rc == 0)                                                                  \
            rc = vci_shape_write(&SHAPE, from, ret_json, &e);                         \
        if (rc < 0 && err)                                                            \
            *err = e;                                                                 \
        else                                                                          \
            vc_error_free(e);                                                         \
        return rc;                                                                    \
    }
TO_JSON(vc_pod_config_to_json, vc_pod_config, vci_shape_pod, vci_check_pod_config)
TO_JSON(vc_container_config_to_json, vc_container_config, vci_shape_container, vci_check_container_config)
TO_JSON(vc_process_config_to_json, vc_process_config, vci_shape_process, vci_check_process_config)
TO_JSON(vc_resources_to_json, vc_resources, vci_shape_resources, vci_check_resources)
TO_JSON(vc_ps_options_to_json, vc_ps_options, vci_shape_ps, vci_check_ps_options)
