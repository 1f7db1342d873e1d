/* SPDX-License-Identifier: Apache-2.0 */
/* hooks.c: lists of hooks: taken from a configuration or an OCI specification, kept in a pod's record. */
#include "hooks.h"
#include "lib/utf8.h"

#include <json-c/json.h>
#include <string.h>

#include "pod.h"

static const char *const names[VCI_HOOK_LISTS] = { "prestart", "poststart", "poststop" };

const char *vci_hook_list_name(enum vci_hook_list list)
{
    return names[list];
}

static void hook_done(struct vci_hook *h)
{
    free(h->path);
    vci_strv_free(h->args);
    vci_strv_free(h->env);
}

void vci_hooks_free(struct vci_hooks *h)
{
    for (size_t l = 0; l < VCI_HOOK_LISTS; l++) {
        for (size_t i = 0; i < h->n[l]; i++)
            hook_done(&h->list[l][i]);
        free(h->list[l]);
    }
    *h = (struct vci_hooks){ 0 };
}

/* Append an empty one; NULL without memory. */
static struct vci_hook *add(struct vci_hooks *h, size_t list)
{
    struct vci_hook *more = realloc(h->list[list], (h->n[list] + 1) * sizeof *more);
    if (!more)
        return NULL;
    h->list[list] = more;
    more[h->n[list]] = (struct vci_hook){ 0 };
    return &more[h->n[list]++];
}

/* The record is JSON, which is UTF-8; scripts in arguments may have newlines. */
static int utf8(const char *s)
{
    while (*s) {
        size_t n = 0;
        while ((unsigned char)s[n] >= ' ' && s[n] != 0x7f)
            n++;
        if (n && !vcs_utf8_line(s, n))
            return 0;
        s += n;
        s += *s != '\0';
    }
    return 1;
}

/* ---- from a program ---- */

static int check_hook(const struct vc_hook *g, const char *list, size_t i, vc_error **err)
{
    if (!g)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s hook %zu is NULL", list, i + 1);
    int rc = VCI_CHECK_SIZE(g, struct vc_hook, env, err);
    if (rc < 0)
        return rc;
    if (!g->path || g->path[0] != '/')
        return vci_fail(err, VC_ERR_INVAL, 0, "%s hook %zu: \"%.200s\" is not an absolute path of a program", list,
                        i + 1, g->path ? g->path : "");
    for (size_t k = 0; g->args && g->args[k]; k++)
        if (!utf8(g->args[k]))
            return vci_fail(err, VC_ERR_INVAL, 0, "%s hook %zu (%.200s): argument %zu is not UTF-8", list, i + 1,
                            g->path, k);
    for (size_t k = 0; g->env && g->env[k]; k++) {
        if (!utf8(g->env[k]))
            return vci_fail(err, VC_ERR_INVAL, 0, "%s hook %zu (%.200s): environment variable %zu is not UTF-8", list,
                            i + 1, g->path, k + 1);
        if (!strchr(g->env[k], '=') || g->env[k][0] == '=')
            return vci_fail(err, VC_ERR_INVAL, 0,
                            "%s hook %zu (%.200s): \"%.200s\" is not an environment variable: write NAME=VALUE", list,
                            i + 1, g->path, g->env[k]);
    }
    if (!utf8(g->path))
        return vci_fail(err, VC_ERR_INVAL, 0, "%s hook %zu: its path is not UTF-8", list, i + 1);
    return 0;
}

static int take_list(struct vci_hooks *h, size_t list, struct vc_hook *const *given, size_t n, vc_error **err)
{
    if (n && !given)
        return vci_fail(err, VC_ERR_INVAL, 0, "there are %zu %s hooks, and their list is NULL", n, names[list]);
    if (n > VCI_MAX_HOOKS || h->n[list] + n > VCI_MAX_HOOKS)
        return vci_fail(err, VC_ERR_RESOURCE, 0, "there are more than %d %s hooks", VCI_MAX_HOOKS, names[list]);
    for (size_t i = 0; i < n; i++) {
        const struct vc_hook *g = given[i];
        int rc = check_hook(g, names[list], i, err);
        if (rc < 0)
            return rc;
        struct vci_hook *c = add(h, list);
        if (!c || !(c->path = strdup(g->path)) || (g->args && !(c->args = vci_strv_copy(g->args))) ||
            (g->env && !(c->env = vci_strv_copy(g->env))))
            return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
        c->timeout = g->timeout;
    }
    return 0;
}

int vci_hooks_take(struct vci_hooks *h, const struct vc_hooks *given, vc_error **err)
{
    if (!given)
        return 0;
    int rc = VCI_CHECK_SIZE(given, struct vc_hooks, n_poststop, err);
    if (rc == 0 && given->reserved)
        rc = vci_fail(err, VC_ERR_INVAL, 0, "\"reserved\" of struct vc_hooks is %u: it must be 0", given->reserved);
    if (rc == 0)
        rc = take_list(h, VCI_HOOK_PRESTART, given->prestart, given->n_prestart, err);
    if (rc == 0)
        rc = take_list(h, VCI_HOOK_POSTSTART, given->poststart, given->n_poststart, err);
    if (rc == 0)
        rc = take_list(h, VCI_HOOK_POSTSTOP, given->poststop, given->n_poststop, err);
    return rc;
}

/* ---- from JSON: a record, or an OCI specification, which have the same form ---- */

/* 0, -1 when it is no array of strings, -2 without memory. */
static int strings(json_object *o, const char *key, char ***ret)
{
    json_object *a = NULL;
    if (!json_object_object_get_ex(o, key, &a) || !a)
        return 0;
    if (!json_object_is_type(a, json_type_array))
        return -1;
    size_t n = json_object_array_length(a);
    char **v = calloc(n + 1, sizeof *v);
    for (size_t i = 0; v && i < n; i++) {
        json_object *s = json_object_array_get_idx(a, i);
        const char *text = json_object_is_type(s, json_type_string) ? json_object_get_string(s) : NULL;
        if (!text || strlen(text) != (size_t)json_object_get_string_len(s)) {
            vci_strv_free(v);
            return -1;
        }
        if (!(v[i] = strdup(text))) {
            vci_strv_free(v);
            return -2;
        }
    }
    *ret = v;
    return v ? 0 : -2;
}

/* One hook.  NULL, what is wrong, or "" without memory. */
static const char *parse_hook(struct vci_hook *h, json_object *o)
{
    json_object *v = NULL;
    if (!json_object_is_type(o, json_type_object))
        return "it is no object";
    const char *path = json_object_object_get_ex(o, "path", &v) && json_object_is_type(v, json_type_string)
                           ? json_object_get_string(v)
                           : "";
    if (path[0] != '/' || strlen(path) != (size_t)json_object_get_string_len(v))
        return "it has no \"path\" that is absolute";
    if (!(h->path = strdup(path)))
        return "";
    int args = strings(o, "args", &h->args), env = strings(o, "env", &h->env);
    if (args == -2 || env == -2)
        return "";
    if (args < 0 || env < 0)
        return "its \"args\" and \"env\" must be lists of strings";
    for (size_t i = 0; h->env && h->env[i]; i++)
        if (!strchr(h->env[i], '=') || h->env[i][0] == '=')
            return "its \"env\" must hold NAME=VALUE only";
    if (json_object_object_get_ex(o, "timeout", &v) && v) {
        int64_t t = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : 0;
        if (t < 1 || t > UINT32_MAX)
            return "its \"timeout\" must be a number of seconds above 0";
        h->timeout = (uint32_t)t;
    }
    return NULL;
}

/* A list of them; *ret_i is the one that is wrong. */
static const char *parse_list(struct vci_hooks *h, size_t list, json_object *a, size_t *ret_i)
{
    *ret_i = 0;
    if (!json_object_is_type(a, json_type_array))
        return "it is no list";
    size_t n = json_object_array_length(a);
    for (size_t i = 0; i < n; i++) {
        *ret_i = i + 1;
        if (h->n[list] >= VCI_MAX_HOOKS)
            return "there are too many";
        struct vci_hook *one = add(h, list);
        const char *bad = one ? parse_hook(one, json_object_array_get_idx(a, i)) : "";
        if (bad)
            return bad;
    }
    return NULL;
}

/* The hooks of one of OCI's points.  Those that run inside the container are refused: that is in the guest. */
static int take_point(struct vci_hooks *h, const char *point, json_object *a, vc_error **err)
{
    static const struct {
        const char *name;
        size_t list;
    } points[] = {
        { "prestart", VCI_HOOK_PRESTART },
        { "createRuntime", VCI_HOOK_PRESTART },
        { "poststart", VCI_HOOK_POSTSTART },
        { "poststop", VCI_HOOK_POSTSTOP },
    };
    size_t at = 0;
    if (!a || (json_object_is_type(a, json_type_array) && json_object_array_length(a) == 0))
        return 0;
    for (size_t p = 0; p < sizeof points / sizeof *points; p++) {
        if (strcmp(point, points[p].name) != 0)
            continue;
        const char *bad = parse_list(h, points[p].list, a, &at);
        if (!bad)
            return 0;
        if (!*bad)
            return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
        return vci_fail(err, VC_ERR_INVAL, 0, "%s hook %zu of the specification cannot be run: %s", point, at, bad);
    }
    if (strcmp(point, "createContainer") == 0 || strcmp(point, "startContainer") == 0)
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                        "the specification has %s hooks, which run inside the container's namespaces: those are in the "
                        "virtual machine, where programs of the host cannot be run",
                        point);
    return vci_fail(err, VC_ERR_UNSUPPORTED, 0, "the specification has hooks for \"%.80s\", a point that is not known",
                    point);
}

int vci_hooks_take_spec(struct vci_hooks *h, const char *spec_json, vc_error **err)
{
    /* In the order in which a runtime comes to them, not that of the document. */
    static const char *const order[] = { "prestart", "createRuntime" };
    int rc = 0;
    /* A letter of the name may be written as an escape. */
    if (!spec_json || (!strstr(spec_json, "\"hooks\"") && !strchr(spec_json, '\\')))
        return 0;
    json_object *o = json_tokener_parse(spec_json), *hooks = NULL, *v = NULL;
    if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, "hooks", &hooks) || !hooks) {
        json_object_put(o); /* one that is no JSON is reported where the rest of it is read */
        return 0;
    }
    if (!json_object_is_type(hooks, json_type_object))
        rc = vci_fail(err, VC_ERR_INVAL, 0, "\"hooks\" of the specification is not an object");
    for (size_t i = 0; rc == 0 && i < 2; i++)
        if (json_object_object_get_ex(hooks, order[i], &v))
            rc = take_point(h, order[i], v, err);
    if (rc == 0) {
        json_object_object_foreach(hooks, point, list)
        {
            if (rc == 0 && strcmp(point, order[0]) != 0 && strcmp(point, order[1]) != 0)
                rc = take_point(h, point, list, err);
        }
    }
    json_object_put(o);
    return rc;
}

/* ---- the record ---- */

static json_object *array_of(char **v)
{
    json_object *a = json_object_new_array();
    for (; *v; v++)
        json_object_array_add(a, json_object_new_string(*v));
    return a;
}

void vci_hooks_put(const struct vci_hooks *h, struct json_object *record)
{
    if (!vci_hooks_any(h))
        return;
    json_object *all = json_object_new_object();
    for (size_t l = 0; l < VCI_HOOK_LISTS; l++) {
        if (!h->n[l])
            continue;
        json_object *list = json_object_new_array();
        for (size_t i = 0; i < h->n[l]; i++) {
            const struct vci_hook *one = &h->list[l][i];
            json_object *o = json_object_new_object();
            json_object_object_add(o, "path", json_object_new_string(one->path));
            if (one->args)
                json_object_object_add(o, "args", array_of(one->args));
            if (one->env)
                json_object_object_add(o, "env", array_of(one->env));
            if (one->timeout)
                json_object_object_add(o, "timeout", json_object_new_int64(one->timeout));
            json_object_array_add(list, o);
        }
        json_object_object_add(all, names[l], list);
    }
    json_object_object_add(record, "hooks", all);
    if (h->due)
        json_object_object_add(record, "poststop_due", json_object_new_int(1));
}

const char *vci_hooks_get(struct vci_hooks *h, struct json_object *record)
{
    json_object *all = NULL, *v = NULL;
    size_t at = 0;
    if (!json_object_object_get_ex(record, "hooks", &all))
        return NULL;
    for (size_t l = 0; l < VCI_HOOK_LISTS; l++) {
        if (!json_object_object_get_ex(all, names[l], &v))
            continue;
        const char *bad = parse_list(h, l, v, &at);
        if (bad)
            return *bad ? "a hook is not valid" : bad;
    }
    h->due = json_object_object_get_ex(record, "poststop_due", &v) && json_object_get_int(v) != 0;
    return NULL;
}
