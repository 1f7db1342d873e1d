/* SPDX-License-Identifier: Apache-2.0 */
/* conf-text.c: the configuration in effect as text. */
#include <json-c/json.h>
#include <string.h>

#include "conf-impl.h"
#include "lib/buf.h"
#include "loader.h"

#define HIDDEN "***"

static struct json_object *entry_json(const struct vci_entry *e)
{
    if (e->opt->flags & VC_OPT_SECRET)
        return json_object_new_string(HIDDEN);
    switch (e->opt->type) {
    case VC_OPT_INT:
    case VC_OPT_SIZE:
        return json_object_new_int64(e->num);
    case VC_OPT_BOOL:
        return json_object_new_boolean(e->num != 0);
    case VC_OPT_LIST: {
        struct json_object *list = json_object_new_array();
        for (uint32_t i = 0; i < e->n_list; i++)
            json_object_array_add(list, json_object_new_string(e->list[i]));
        return list;
    }
    default:
        return json_object_new_string(e->str);
    }
}

static struct json_object *section_json(const struct vc_config *s)
{
    struct json_object *o = json_object_new_object();
    for (size_t i = 0; i < s->n; i++)
        if (s->e[i].set)
            json_object_object_add(o, s->e[i].opt->key, entry_json(&s->e[i]));
    return o;
}

/* A string as libconfig reads it. */
static int put_string(struct vcs_buf *b, const char *text)
{
    int bad = vcs_buf_append(b, "\"", 1) < 0;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            bad |= vcs_buf_printf(b, "\\%c", c) < 0;
        else if (c < 0x20 || c == 0x7f)
            bad |= vcs_buf_printf(b, "\\x%02x", c) < 0;
        else
            bad |= vcs_buf_append(b, text, 1) < 0;
    }
    return bad | (vcs_buf_append(b, "\"", 1) < 0);
}

/* What JSON types there are is all that can stand in a configuration. */
static int put_value(struct vcs_buf *b, struct json_object *v)
{
    if (json_object_is_type(v, json_type_string))
        return put_string(b, json_object_get_string(v));
    if (json_object_is_type(v, json_type_array)) {
        int bad = vcs_buf_append(b, "[", 1) < 0;
        for (size_t i = 0; i < json_object_array_length(v); i++) {
            bad |= i && vcs_buf_append(b, ", ", 2) < 0;
            bad |= put_string(b, json_object_get_string(json_object_array_get_idx(v, i)));
        }
        return bad | (vcs_buf_append(b, "]", 1) < 0);
    }
    if (json_object_is_type(v, json_type_int)) {
        int64_t n = json_object_get_int64(v);
        return vcs_buf_printf(b, "%lld%s", (long long)n, n > INT32_MAX || n < INT32_MIN ? "L" : "") < 0;
    }
    return vcs_buf_printf(b, "%s", json_object_get_boolean(v) ? "true" : "false") < 0;
}

static int put_text(struct vcs_buf *b, struct json_object *all)
{
    int bad = 0;
    json_object_object_foreach(all, key, value)
    {
        if (json_object_is_type(value, json_type_object)) {
            bad |= vcs_buf_printf(b, "\n%s = {\n", key) < 0;
            json_object_object_foreach(value, inner, v)
            {
                bad |= vcs_buf_printf(b, "    %s = ", inner) < 0;
                bad |= put_value(b, v);
                bad |= vcs_buf_append(b, ";\n", 2) < 0;
            }
            bad |= vcs_buf_append(b, "};\n", 3) < 0;
        } else {
            bad |= vcs_buf_printf(b, "%s = ", key) < 0;
            bad |= put_value(b, value);
            bad |= vcs_buf_append(b, ";\n", 2) < 0;
        }
    }
    return bad;
}

static void section_name(const struct vc_plugin *p, char *buf, size_t size)
{
    snprintf(buf, size, "%s_%s", vci_kind_name(p->kind), p->name);
    for (char *c = buf; *c; c++)
        if (*c == '-')
            *c = '_';
}

/* Sections of plugins that are not selected: what is secret in them is not known without loading them, so no
 * value is shown. */
static void add_others(const struct vci_conf *conf, struct json_object *all)
{
    for (const struct vci_group *g = conf->groups; g; g = g->next) {
        if (!g->name[0] || json_object_object_get_ex(all, g->name, NULL))
            continue;
        struct json_object *o = json_object_new_object();
        for (const struct vci_setting *s = g->first; s; s = s->next)
            json_object_object_add(o, s->key, json_object_new_string(HIDDEN));
        json_object_object_add(all, g->name, o);
    }
}

int vci_conf_text(vc_context *ctx, int json, char **ret, vc_error **err)
{
    struct json_object *all = section_json(ctx->conf->top);
    int r = 0;
    for (uint32_t k = VC_KIND_HYPERVISOR; k <= VC_KIND_NETWORK && r == 0; k++) {
        const struct vci_plugin *p;
        struct vc_config *s = NULL;
        char name[64];
        r = vci_plugin_load(ctx, k, vci_conf_plugin(ctx->conf, k), &p, err);
        if (r == 0)
            r = vci_conf_section(ctx->conf, &p->desc, &s, err);
        if (r == 0 && s->n) {
            section_name(&p->desc, name, sizeof(name));
            json_object_object_add(all, name, section_json(s));
        }
        vci_section_free(s);
    }
    struct vcs_buf b = { 0 };
    int bad = 0;
    if (r == 0) {
        add_others(ctx->conf, all);
        bad = json ? vcs_buf_printf(&b, "%s\n",
                                    json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY |
                                                                            JSON_C_TO_STRING_NOSLASHESCAPE)) < 0
                   : put_text(&b, all);
    }
    json_object_put(all);
    const char *text = r || bad ? NULL : vcs_buf_str(&b);
    char *copy = text ? strdup(text) : NULL;
    vcs_buf_done(&b);
    if (r == 0 && !copy)
        r = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (r == 0)
        *ret = copy;
    return r;
}
