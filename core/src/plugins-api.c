/* SPDX-License-Identifier: Apache-2.0 */
/* plugins-api.c: what programs may ask about plugins and about the configuration in effect. */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "conf-impl.h"
#include "instance.h"
#include "lib/buf.h"
#include "lib/io.h"
#include "pod.h"

#define FIRST_KIND VC_KIND_HYPERVISOR
#define LAST_KIND  VC_KIND_NETWORK

static int no_memory(vc_error **err)
{
    return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
}

/* The text of a buffer as the caller's own; the buffer is done. */
static int hand_out(struct vcs_buf *b, int bad, char **ret, vc_error **err)
{
    const char *text = bad ? NULL : vcs_buf_str(b);
    char *copy = text ? strdup(text) : NULL;
    vcs_buf_done(b);
    if (!copy)
        return no_memory(err);
    *ret = copy;
    return 0;
}

/* ---- list ---- */

static void free_info(struct vc_plugin_info *i)
{
    if (!i)
        return;
    const char *texts[] = { i->kind, i->name, i->version, i->vendor, i->description, i->path, i->problem };
    for (size_t n = 0; n < sizeof(texts) / sizeof(texts[0]); n++)
        free((void *)(uintptr_t)texts[n]);
    free(i);
}

void vc_plugin_list_free(struct vc_plugin_info **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free_info(list[i]);
    free(list);
}

static struct vc_plugin_info *make_info(vc_context *ctx, uint32_t kind, const char *name)
{
    struct vc_plugin_info *i = calloc(1, sizeof(*i));
    if (!i)
        return NULL;
    vci_autoerror vc_error *why = NULL;
    const struct vci_plugin *p = NULL;
    char *path = NULL, shown[1100]; /* a file may be called anything */
    int ok = vci_plugin_load(ctx, kind, name, &p, &why) == 0;
    vci_escape(shown, sizeof(shown), name, strlen(name));
    if (asprintf(&path, "%s/%s/%s.so", ctx->plugin_dir, vci_kind_name(kind), shown) < 0)
        path = NULL;
    i->size = sizeof(*i);
    i->usable = (uint32_t)ok;
    i->kind = strdup(vci_kind_name(kind));
    i->name = strdup(shown);
    i->version = strdup(ok ? p->desc.version : "");
    i->vendor = strdup(ok ? p->desc.vendor : "");
    i->description = strdup(ok ? p->desc.description : "");
    i->path = path;
    i->problem = ok ? NULL : strdup(vc_error_text(why));
    i->selected = !strcmp(vci_conf_plugin(ctx->conf, kind), name);
    if (!i->kind || !i->name || !i->version || !i->vendor || !i->description || !i->path || (!ok && !i->problem)) {
        free_info(i);
        return NULL;
    }
    return i;
}

int vc_plugin_list(vc_context *ctx, const char *kind, struct vc_plugin_info ***ret_list, size_t *ret_n, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_list, err);
    VCI_NEED(ret_n, err);
    uint32_t only = kind ? vci_kind_of(kind) : 0;
    if (kind && !only)
        return vci_fail(err, VC_ERR_INVAL, 0, "\"%s\" is no kind of plugin: hypervisor, agent, proxy, shim or network",
                        kind);
    struct vc_plugin_info **list = NULL;
    size_t n = 0;
    int r = 0;
    for (uint32_t k = FIRST_KIND; k <= LAST_KIND && r == 0; k++) {
        char **names = NULL;
        size_t n_names = 0;
        if (only && k != only)
            continue;
        if (vci_plugin_files(ctx, k, &names, &n_names) < 0)
            r = no_memory(err);
        struct vc_plugin_info **more = r ? NULL : realloc(list, (n + n_names + 1) * sizeof(*list));
        if (more)
            list = more;
        else if (r == 0)
            r = no_memory(err);
        for (size_t i = 0; i < n_names && r == 0; i++) {
            if ((list[n] = make_info(ctx, k, names[i])))
                n++;
            else
                r = no_memory(err);
        }
        vci_plugin_names_free(names, n_names);
    }
    if (r) {
        vc_plugin_list_free(list, n);
        return r;
    }
    *ret_list = list;
    *ret_n = n;
    return 0;
}

/* ---- help ---- */

/* "int, 1 to 240" */
static void type_text(const struct vc_option *o, char *buf, size_t size)
{
    int n = snprintf(buf, size, "%s", vci_option_type_name(o->type));
    if (o->type == VC_OPT_ENUM)
        snprintf(buf + n, size - (size_t)n, ": %s", o->choices);
    else if (o->max > o->min)
        snprintf(buf + n, size - (size_t)n, ", %lld to %lld", (long long)o->min, (long long)o->max);
}

static int help_text(const struct vci_plugin *p, struct vcs_buf *b)
{
    const struct vc_plugin *d = &p->desc;
    int bad = vcs_buf_printf(b, "%s/%s %s (%s)\n  %s\n  %s\n\n", vci_kind_name(d->kind), d->name, d->version, d->vendor,
                             d->description, p->path) < 0;
    char section[64], type[400];
    snprintf(section, sizeof(section), "%s_%s", vci_kind_name(d->kind), d->name);
    for (char *c = section; *c; c++)
        if (*c == '-')
            *c = '_';
    if (!d->n_options)
        bad |= vcs_buf_printf(b, "It has no options.\n") < 0;
    else
        bad |= vcs_buf_printf(b, "Options, in the section \"%s = { ... };\" of the configuration:\n", section) < 0;
    for (uint32_t i = 0; i < d->n_options; i++) {
        const struct vc_option *o = &d->options[i];
        type_text(o, type, sizeof(type));
        bad |= vcs_buf_printf(b, "\n  %s  (%s)\n      %s\n", o->key, type, o->doc) < 0;
        if (o->flags & VC_OPT_REQUIRED)
            bad |= vcs_buf_printf(b, "      It must be given.\n") < 0;
        else if (o->def)
            bad |= vcs_buf_printf(b, "      Default: %s\n", o->def[0] ? o->def : "(empty)") < 0;
    }
    return bad;
}

static struct json_object *text_or_null(const char *text)
{
    return text ? json_object_new_string(text) : NULL;
}

static struct json_object *help_json(const struct vci_plugin *p)
{
    const struct vc_plugin *d = &p->desc;
    struct json_object *o = json_object_new_object(), *options = json_object_new_array();
    json_object_object_add(o, "kind", json_object_new_string(vci_kind_name(d->kind)));
    json_object_object_add(o, "name", json_object_new_string(d->name));
    json_object_object_add(o, "version", json_object_new_string(d->version));
    json_object_object_add(o, "vendor", json_object_new_string(d->vendor));
    json_object_object_add(o, "description", json_object_new_string(d->description));
    json_object_object_add(o, "path", json_object_new_string(p->path));
    for (uint32_t i = 0; i < d->n_options; i++) {
        const struct vc_option *opt = &d->options[i];
        struct json_object *row = json_object_new_object();
        json_object_object_add(row, "key", json_object_new_string(opt->key));
        json_object_object_add(row, "type", json_object_new_string(vci_option_type_name(opt->type)));
        json_object_object_add(row, "required", json_object_new_boolean(!!(opt->flags & VC_OPT_REQUIRED)));
        json_object_object_add(row, "secret", json_object_new_boolean(!!(opt->flags & VC_OPT_SECRET)));
        if (opt->max > opt->min) {
            json_object_object_add(row, "min", json_object_new_int64(opt->min));
            json_object_object_add(row, "max", json_object_new_int64(opt->max));
        }
        if (opt->choices)
            json_object_object_add(row, "choices", json_object_new_string(opt->choices));
        json_object_object_add(row, "default", text_or_null(opt->def));
        json_object_object_add(row, "doc", json_object_new_string(opt->doc));
        json_object_array_add(options, row);
    }
    json_object_object_add(o, "options", options);
    return o;
}

/* Is KIND/NAME installed? */
static int installed(const vc_context *ctx, uint32_t kind, const char *name)
{
    char **names = NULL;
    size_t n = 0;
    int found = 0;
    if (vci_plugin_names(ctx, kind, &names, &n) < 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        found |= !strcmp(names[i], name);
    vci_plugin_names_free(names, n);
    return found;
}

/* No kind has it: say what there is. */
static int none_has(const vc_context *ctx, const char *name, vc_error **err)
{
    struct vcs_buf b = { 0 };
    for (uint32_t k = FIRST_KIND; k <= LAST_KIND; k++) {
        char **names = NULL;
        size_t n = 0;
        vci_plugin_names(ctx, k, &names, &n);
        for (size_t i = 0; i < n; i++)
            vcs_buf_printf(&b, "%s%s/%s", b.len ? ", " : "", vci_kind_name(k), names[i]);
        vci_plugin_names_free(names, n);
    }
    const char *all = b.len ? vcs_buf_str(&b) : NULL;
    vci_fail(err, VC_ERR_NOTFOUND, 0, "no plugin \"%s\" in %s; installed: %s", name, ctx->plugin_dir,
             all ? all : "none");
    vcs_buf_done(&b);
    return VC_ERR_NOTFOUND;
}

int vc_plugin_help(vc_context *ctx, const char *name, int json, char **ret_text, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(name, err);
    VCI_NEED(ret_text, err);
    const char *slash = strchr(name, '/');
    uint32_t only = 0;
    if (slash) {
        vcs_autofree char *kind = strndup(name, (size_t)(slash - name));
        if (!kind)
            return no_memory(err);
        only = vci_kind_of(kind);
        if (!only)
            return vci_fail(err, VC_ERR_INVAL, 0,
                            "\"%s\": \"%s\" is no kind of plugin: hypervisor, agent, proxy, shim or network", name,
                            kind);
        name = slash + 1;
    }
    struct vcs_buf b = { 0 };
    struct json_object *all = json ? json_object_new_array() : NULL;
    int r = 0, bad = 0;
    size_t found = 0;
    for (uint32_t k = FIRST_KIND; k <= LAST_KIND && r == 0; k++) {
        const struct vci_plugin *p;
        /* With a kind, the loader's own error says what is installed. */
        if (only ? k != only : !installed(ctx, k, name))
            continue;
        r = vci_plugin_load(ctx, k, name, &p, err);
        if (r)
            break;
        if (json)
            json_object_array_add(all, help_json(p));
        else
            bad |= (found && vcs_buf_append(&b, "\n", 1) < 0) || help_text(p, &b);
        found++;
    }
    if (r == 0 && !found)
        r = none_has(ctx, name, err);
    if (r == 0 && json)
        bad |= vcs_buf_printf(
                   &b, "%s\n",
                   json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE)) < 0;
    json_object_put(all);
    if (r) {
        vcs_buf_done(&b);
        return r;
    }
    return hand_out(&b, bad, ret_text, err);
}

/* ---- check ---- */

static int check_one(vc_context *ctx, uint32_t kind, struct vcs_buf *report, vc_error **err)
{
    const struct vci_plugin *p;
    const char *name = vci_conf_plugin(ctx->conf, kind);
    int r = vci_plugin_load(ctx, kind, name, &p, err);
    struct vci_inst i = { .plugin = r ? NULL : p, .ctx = ctx };
    if (r == 0)
        r = vci_conf_section(ctx->conf, &p->desc, &i.section, err);
    if (r)
        return r;
    for (size_t n = 0; n < i.section->n && r == 0; n++) {
        const struct vci_entry *e = &i.section->e[n];
        if (e->set && e->opt->type == VC_OPT_PATH && (e->opt->flags & VC_OPT_MUST_EXIST) && access(e->str, F_OK) < 0)
            r = vci_fail(err, VC_ERR_CONFIG, errno, "%s plugin \"%s\": \"%s\" is %s", vci_kind_name(kind), name,
                         e->opt->key, e->str);
    }
    int bad = vcs_buf_printf(report, "%s: %s %s, %s\n", vci_kind_name(kind), name, p->desc.version, p->path) < 0;
    if (r == 0 && p->desc.probe) {
        vci_host_init(&i.host, &i);
        int64_t deadline = vcs_now_ns() + vci_conf_int(ctx->conf, "call_timeout") * 1000000000;
        vc_error obj;
        struct vc_call call = { .size = sizeof(call), .deadline_ns = deadline, .err = (vc_err *)vci_error_init(&obj) };
        vc_sink *sink = vci_sink_new();
        int note = vci_calls_enter(kind, name, p->path, "probe");
        r = sink ? p->desc.probe(&i.host, &call, i.section, sink) : VC_E_NOMEM;
        vci_calls_leave(note);
        r = vci_error_from_plugin(err, &obj, r, vci_kind_name(kind), name, "probe", i.hint);
        const char *text = sink ? vci_sink_str(sink, NULL) : NULL;
        for (const char *line = text; line && *line;) {
            size_t n = strcspn(line, "\n");
            char clean[1024];
            vci_escape(clean, sizeof(clean), line, n);
            bad |= vcs_buf_printf(report, "  %s\n", clean) < 0;
            line += n + (line[n] == '\n');
        }
        vci_sink_free(sink);
    }
    vci_section_free(i.section);
    return r ? r : bad ? no_memory(err) : 0;
}

int vc_context_check(vc_context *ctx, char **ret_report, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vcs_buf report = { 0 };
    const char *file = vci_conf_file(ctx->conf);
    int bad = vcs_buf_printf(&report, "configuration: %s\n", file ? file : "no file, defaults") < 0, r = 0;
    for (uint32_t k = FIRST_KIND; k <= LAST_KIND && r == 0; k++)
        r = check_one(ctx, k, &report, err);
    if (r == 0)
        r = vci_stack_fits(ctx, vci_conf_plugin(ctx->conf, VC_KIND_HYPERVISOR),
                           vci_conf_plugin(ctx->conf, VC_KIND_AGENT), err);
    if (r || !ret_report) {
        vcs_buf_done(&report);
        return r;
    }
    return hand_out(&report, bad, ret_report, err);
}
