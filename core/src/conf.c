/* SPDX-License-Identifier: Apache-2.0 */
/* conf.c: read the configuration: file, drop-ins, overrides. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "conf-impl.h"
#include "config-shape.h"
#include "lib/buf.h"
#include "lib/io.h"
#include "loader.h"

#define CONF_MAX (1024 * 1024) /* bytes of one file */

static const char *const kinds[] = { NULL, "hypervisor", "agent", "proxy", "shim", "network" };
#define N_KINDS ((uint32_t)(sizeof(kinds) / sizeof(kinds[0])))

/* The top level, as an option table like that of a plugin. */
static const struct vc_option top_options[] = {
    { "hypervisor", VC_OPT_STRING, 0, 0, 0, "qemu", NULL, "Plugin that makes the virtual machines." },
    { "agent", VC_OPT_STRING, 0, 0, 0, "kata", NULL, "Plugin that talks to the software inside the VM." },
    { "proxy", VC_OPT_STRING, 0, 0, 0, "kata", NULL, "Plugin that shares one channel to the agent." },
    { "shim", VC_OPT_STRING, 0, 0, 0, "vc", NULL, "Plugin that stands on the host for a process inside the VM." },
    { "network", VC_OPT_STRING, 0, 0, 0, "noop", NULL, "Plugin that gives a pod its network." },
    { "run_root", VC_OPT_PATH, 0, 0, 0, VCI_RUN_ROOT, NULL, "Where sockets, locks and ledgers of running pods stand." },
    { "state_root", VC_OPT_PATH, 0, 0, 0, VCI_STATE_ROOT, NULL, "Where the states of pods stand." },
    { "plugin_dir", VC_OPT_PATH, 0, 0, 0, VCI_PLUGIN_DIR, NULL, "Plugins are KIND/NAME.so below it." },
    { "libexec_dir", VC_OPT_PATH, 0, 0, 0, VCI_LIBEXEC_DIR, NULL, "Helper programs: vc-proxy, vc-shim." },
    { "data_dir", VC_OPT_PATH, 0, 0, 0, VCI_DATA_DIR, NULL, "Guest kernel and initramfs." },
    { "log_level", VC_OPT_ENUM, 0, 0, 0, "warn", "error warn info debug", "Least severe level that is logged." },
    { "log_format", VC_OPT_ENUM, 0, 0, 0, "text", "text json", "Form of log lines." },
    { "template", VC_OPT_ENUM, 0, 0, 0, "auto", "auto off require",
      "How VMs start: auto, from a saved one, which the first pod makes; off, by booting; require, from a saved one that "
      "must be there." },
    { "template_dir", VC_OPT_PATH, 0, 0, 0, NULL, NULL, "Where those saved VMs stand; templates in state_root when unset." },
    { "allow_annotations", VC_OPT_STRING, 0, 0, 0, NULL, NULL,
      "What a pod's annotations may set: KIND.option or KIND.*, with blanks between; nothing when unset." },
    { "pool", VC_OPT_INT, 0, 0, 1024, "0", NULL, "How many paused VMs `virtc pool fill` keeps ready; 0 is none." },
    { "create_timeout", VC_OPT_INT, 0, 1, 86400, "60", NULL, "Seconds that making a pod may take." },
    { "call_timeout", VC_OPT_INT, 0, 1, 86400, "30", NULL, "Seconds that any other operation may take." },
    { "stop_timeout", VC_OPT_INT, 0, 1, 86400, "10", NULL, "Seconds a container gets between SIGTERM and SIGKILL." },
};
#define N_TOP (sizeof(top_options) / sizeof(top_options[0]))

const char *vci_kind_name(uint32_t kind)
{
    return kind > 0 && kind < N_KINDS ? kinds[kind] : "unknown";
}

uint32_t vci_kind_of(const char *name)
{
    for (uint32_t k = 1; k < N_KINDS; k++)
        if (!strcmp(kinds[k], name))
            return k;
    return 0;
}

static void free_setting(struct vci_setting *s)
{
    free(s->key);
    free(s->where);
    free(s->str);
    for (size_t i = 0; i < s->n_list; i++)
        free(s->list[i]);
    free(s->list);
    free(s);
}

void vci_conf_free(struct vci_conf *conf)
{
    if (!conf)
        return;
    for (struct vci_group *g = conf->groups, *next; g; g = next) {
        next = g->next;
        for (struct vci_setting *s = g->first, *n; s; s = n) {
            n = s->next;
            free_setting(s);
        }
        free(g->name);
        free(g->where);
        free(g);
    }
    vci_section_free(conf->top);
    free(conf->file);
    free(conf);
}

static int no_memory(vc_error **err)
{
    return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
}

/* The group of that name, made when it is not there yet; NULL without memory. */
static struct vci_group *group_of(struct vci_conf *conf, const char *name, const char *where)
{
    struct vci_group **at = &conf->groups;
    for (; *at; at = &(*at)->next)
        if (!strcmp((*at)->name, name))
            return *at;
    struct vci_group *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->name = strdup(name);
    g->where = where ? strdup(where) : NULL;
    if (!g->name || (where && !g->where)) {
        free(g->name);
        free(g->where);
        free(g);
        return NULL;
    }
    *at = g;
    return g;
}

/* Put a setting into its group: a later one replaces an earlier one of the same key. */
static void put(struct vci_group *g, struct vci_setting *s)
{
    struct vci_setting **at = &g->first;
    while (*at && strcmp((*at)->key, s->key))
        at = &(*at)->next;
    if (*at) {
        s->next = (*at)->next;
        free_setting(*at);
    }
    *at = s;
}

/* Is this the name of a plugin's section: KIND_NAME?  Whether there is such a plugin is looked at when it is known
 * where plugins lie (vci_conf_check_sections). */
static int check_group_name(const char *name, const char *where, vc_error **err)
{
    const char *bar = strchr(name, '_');
    char kind[32] = "", near[32];
    if (bar && (size_t)(bar - name) < sizeof(kind)) {
        memcpy(kind, name, (size_t)(bar - name));
        kind[bar - name] = '\0';
        if (vci_kind_of(kind) && bar[1] && strlen(bar + 1) <= 32 &&
            strspn(bar + 1, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(bar + 1))
            return 0;
    }
    int found = kind[0] && vci_nearest(kind, "hypervisor agent proxy shim network", near, sizeof(near));
    return vci_fail(
        err, VC_ERR_CONFIG, 0,
        "%s: unknown section \"%s\"%s%s%s%s%s; a section is called KIND_NAME, where KIND is hypervisor, agent, proxy, "
        "shim or network and NAME that of a plugin with \"_\" for \"-\"",
        where, name, found ? ", did you mean \"" : "", found ? near : "", found ? "_" : "", found ? bar + 1 : "",
        found ? "\"?" : "");
}

/* Copy a value of libconfig; 0 or -ENOMEM. */
static int copy_value(const config_setting_t *c, struct vci_setting *s)
{
    switch (config_setting_type(c)) {
    case CONFIG_TYPE_STRING:
        s->type = VCI_V_STR;
        s->str = strdup(config_setting_get_string(c));
        return s->str ? 0 : -ENOMEM;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        s->type = VCI_V_INT;
        s->num = config_setting_get_int64(c);
        return 0;
    case CONFIG_TYPE_BOOL:
        s->type = VCI_V_BOOL;
        s->num = config_setting_get_bool(c) != 0;
        return 0;
    case CONFIG_TYPE_FLOAT:
        s->type = VCI_V_FLOAT;
        return 0;
    case CONFIG_TYPE_ARRAY:
    case CONFIG_TYPE_LIST:
        break;
    default:
        s->type = VCI_V_OTHER;
        return 0;
    }
    int n = config_setting_length(c);
    s->type = VCI_V_LIST;
    s->list = calloc((size_t)n + 1, sizeof(char *));
    if (!s->list)
        return -ENOMEM;
    for (int i = 0; i < n; i++) {
        const char *text = config_setting_get_string_elem(c, i);
        if (!text) {
            s->type = VCI_V_OTHER;
            return 0;
        }
        if (!(s->list[s->n_list] = strdup(text)))
            return -ENOMEM;
        s->n_list++;
    }
    return 0;
}

/* Take all settings of one group of a file. */
static int take_group(struct vci_conf *conf, const config_setting_t *c, const char *group, const char *file,
                      vc_error **err)
{
    int r = 0;
    for (int i = 0; i < config_setting_length(c) && r == 0; i++) {
        const config_setting_t *item = config_setting_get_elem(c, (unsigned)i);
        const char *key = config_setting_name(item);
        char where[PATH_MAX + 16];
        snprintf(where, sizeof(where), "%s:%u", file, (unsigned)config_setting_source_line(item));
        if (config_setting_is_group(item) && !group[0]) {
            r = check_group_name(key, where, err);
            if (r == 0 && !group_of(conf, key, where))
                r = no_memory(err);
            if (r == 0)
                r = take_group(conf, item, key, file, err);
            continue;
        }
        struct vci_group *g = group_of(conf, group, NULL);
        struct vci_setting *s = calloc(1, sizeof(*s));
        if (!g || !s || !(s->key = strdup(key)) || !(s->where = strdup(where)) || copy_value(item, s) < 0) {
            if (s)
                free_setting(s);
            return no_memory(err);
        }
        put(g, s);
    }
    return r;
}

/* libconfig would read any file that an @include names, unchecked. */
static int refuse_include(const char *text, const char *file, vc_error **err)
{
    unsigned line = 1;
    for (const char *p = text; p; line++) {
        p += strspn(p, " \t");
        if (!strncmp(p, "@include", 8))
            return vci_fail(err, VC_ERR_CONFIG, 0,
                            "%s:%u: @include is not possible; put a file into the directory %s.d instead", file, line,
                            file);
        p = strchr(p, '\n');
        if (p)
            p++;
    }
    return 0;
}

static int parse(struct vci_conf *conf, char *text, size_t len, const char *file, vc_error **err)
{
    if (strlen(text) != len)
        return vci_fail(err, VC_ERR_CONFIG, 0, "%s: holds a NUL byte, so it is not a text file", file);
    int r = refuse_include(text, file, err);
    if (r == 0)
        r = vci_conf_check_numbers(text, file, err);
    if (r)
        return r;
    config_t c;
    config_init(&c);
    if (config_read_string(&c, text) != CONFIG_TRUE)
        r = vci_fail(err, VC_ERR_CONFIG, 0, "%s:%d: %s", file, config_error_line(&c), config_error_text(&c));
    else
        r = take_group(conf, config_root_setting(&c), "", file, err);
    config_destroy(&c);
    return r;
}

/* Read an opened file. */
static int read_fd(struct vci_conf *conf, int fd, const char *file, vc_error **err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return vci_fail(err, VC_ERR_IO, errno, "cannot read %s", file);
    if (!S_ISREG(st.st_mode))
        return vci_fail(err, VC_ERR_CONFIG, 0, "%s is not a regular file", file);
    if (st.st_size > CONF_MAX)
        return vci_fail(err, VC_ERR_CONFIG, 0, "%s is too large for a configuration (%lld bytes; %d are possible)",
                        file, (long long)st.st_size, CONF_MAX);
    vcs_autofree char *text = malloc((size_t)st.st_size + 1);
    if (!text)
        return no_memory(err);
    ssize_t n = vcs_read_full(fd, text, (size_t)st.st_size);
    if (n < 0)
        return vci_fail(err, VC_ERR_IO, (int)n, "cannot read %s", file);
    text[n] = '\0';
    return parse(conf, text, (size_t)n, file, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All *.conf of one directory, which need not exist, in order of name. */
static int read_dir(struct vci_conf *conf, const char *dir, vc_error **err)
{
    int fd = -1;
    if (access(dir, F_OK) < 0 && errno == ENOENT)
        return 0;
    int r = vci_open_trusted(dir, O_RDONLY | O_DIRECTORY, &fd, err);
    if (r)
        return r;
    vcs_autoclosedir DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return vci_fail(err, VC_ERR_IO, errno, "cannot read %s", dir);
    }
    char **names = NULL;
    size_t n = 0;
    for (struct dirent *e; r == 0 && (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        if (e->d_name[0] == '.' || len < 6 || strcmp(e->d_name + len - 5, ".conf"))
            continue;
        char **more = realloc(names, (n + 1) * sizeof(*names));
        if (more)
            names = more;
        if (!more || !(names[n] = strdup(e->d_name)))
            r = no_memory(err);
        else
            n++;
    }
    if (n)
        qsort(names, n, sizeof(*names), by_name);
    for (size_t i = 0; i < n; i++) {
        char path[PATH_MAX];
        vcs_autoclose int file = -1;
        if (r == 0 && snprintf(path, sizeof(path), "%s/%s", dir, names[i]) >= (int)sizeof(path))
            r = vci_fail(err, VC_ERR_CONFIG, 0, "%s: the path of a file in it is too long", dir);
        if (r == 0)
            r = vci_open_trusted(path, O_RDONLY, &file, err);
        if (r == 0)
            r = read_fd(conf, file, path, err);
        free(names[i]);
    }
    free(names);
    return r;
}

/* The main file and what stands beside it. */
static int read_files(struct vci_conf *conf, const char *named, vc_error **err)
{
    const char *file = named ? named : VCI_CONFIG_FILE;
    char real[PATH_MAX], dir[PATH_MAX + 8];
    int r = 0;
    /* Links on the way are resolved here; what they lead to is checked. */
    if (!realpath(file, real)) {
        if (errno != ENOENT || named)
            return vci_fail(err, vci_code_of(errno), errno, "cannot read the configuration file %s", file);
        snprintf(real, sizeof(real), "%s", file);
    } else {
        vcs_autoclose int fd = -1;
        r = vci_open_trusted(real, O_RDONLY, &fd, err);
        if (r == 0)
            r = read_fd(conf, fd, real, err);
        if (r == 0 && !(conf->file = strdup(real)))
            r = no_memory(err);
    }
    if (r == 0 && !named) {
        snprintf(dir, sizeof(dir), "%.*s/conf.d", (int)(strrchr(real, '/') - real), real);
        r = read_dir(conf, dir, err);
    }
    if (r == 0) {
        snprintf(dir, sizeof(dir), "%s.d", real);
        r = read_dir(conf, dir, err);
    }
    return r;
}

/* "key=value" or "section.key=value". */
static int take_override(struct vci_conf *conf, const char *text, vc_error **err)
{
    const char *eq = strchr(text, '=');
    const char *dot = memchr(text, '.', eq ? (size_t)(eq - text) : 0);
    if (!eq || eq == text || dot == text || (dot && dot + 1 == eq))
        return vci_fail(err, VC_ERR_CONFIG, 0, "override \"%s\": it must read \"key=value\" or \"section.key=value\"",
                        text);
    char where[160];
    snprintf(where, sizeof(where), "override \"%.*s\"", (int)(eq - text), text);
    vcs_autofree char *group = strndup(text, dot ? (size_t)(dot - text) : 0);
    if (!group)
        return no_memory(err);
    int r = dot ? check_group_name(group, where, err) : 0;
    if (r)
        return r;
    const char *key = dot ? dot + 1 : text;
    struct vci_group *g = group_of(conf, group, dot ? where : NULL);
    struct vci_setting *s = calloc(1, sizeof(*s));
    if (!g || !s || !(s->key = strndup(key, (size_t)(eq - key))) || !(s->where = strdup(where)) ||
        !(s->str = strdup(eq + 1))) {
        if (s)
            free_setting(s);
        return no_memory(err);
    }
    s->type = VCI_V_TEXT;
    put(g, s);
    return 0;
}

/* What the original calls a backend becomes the name of the plugin. */
static int resolve_alias(struct vci_conf *conf, uint32_t kind, vc_error **err)
{
    struct vci_entry *e = (struct vci_entry *)(uintptr_t)vci_section_find(conf->top, kinds[kind]);
    const char *name = vci_plugin_alias(kind, e->str);
    if (name == e->str)
        return 0;
    char *copy = strdup(name);
    if (!copy)
        return no_memory(err);
    free(e->str);
    e->str = copy;
    return 0;
}

/* Rules of the top level that its option table cannot say. */
static int check_top(struct vci_conf *conf, vc_error **err)
{
    int r = vci_section_build(conf->groups, top_options, N_TOP, sizeof(top_options[0]), NULL, &conf->top, err);
    for (uint32_t k = 1; k < N_KINDS && r == 0; k++) {
        r = resolve_alias(conf, k, err);
        if (r)
            break;
        const char *name = vci_conf_plugin(conf, k), *where = "default";
        for (const struct vci_setting *s = conf->groups->first; s; s = s->next)
            if (!strcmp(s->key, kinds[k]))
                where = s->where;
        size_t n = strlen(name);
        if (n < 1 || n > 32 || name[0] == '-' || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
            r = vci_fail(err, VC_ERR_CONFIG, 0,
                         "%s: \"%s\" is not possible as the name of a plugin: 1 to 32 of a-z, 0-9 and \"-\", not first",
                         where, name);
    }
    return r;
}

int vci_conf_load(const struct vc_context_options *opts, struct vci_conf **ret, vc_error **err)
{
    struct vci_conf *conf = calloc(1, sizeof(*conf));
    if (!conf || !group_of(conf, "", NULL)) {
        free(conf);
        return no_memory(err);
    }
    const char *file = opts ? opts->config_file : NULL;
    if (!file)
        file = secure_getenv("VCCORE_CONFIG");
    if (file && !file[0])
        file = NULL;
    int r = read_files(conf, file, err);
    for (const char *const *o = opts ? opts->overrides : NULL; r == 0 && o && *o; o++)
        r = take_override(conf, *o, err);
    if (r == 0)
        r = check_top(conf, err);
    if (r) {
        vci_conf_free(conf);
        return r;
    }
    *ret = conf;
    return 0;
}

const char *vci_conf_file(const struct vci_conf *conf)
{
    return conf->file;
}

const char *vci_conf_str(const struct vci_conf *conf, const char *key)
{
    const char *value = NULL;
    return vci_section_str(conf->top, key, 0, &value) == VC_OK ? value : NULL;
}

int64_t vci_conf_int(const struct vci_conf *conf, const char *key)
{
    int64_t value = 0;
    vci_section_int(conf->top, key, &value);
    return value;
}

const char *vci_conf_plugin(const struct vci_conf *conf, uint32_t kind)
{
    return vci_conf_str(conf, vci_kind_name(kind));
}

/* KIND_NAME with "_" for "-". */
static void section_name(uint32_t kind, const char *plugin, char *buf, size_t size)
{
    vci_join(buf, size, vci_kind_name(kind), "_", plugin, NULL);
    for (char *p = buf; (p = strchr(p, '-'));)
        *p = '_';
}

const struct vci_group *vci_conf_group(const struct vci_conf *conf, uint32_t kind, const char *plugin)
{
    char name[64];
    if (!conf->groups)
        return NULL;
    section_name(kind, plugin, name, sizeof(name));
    for (const struct vci_group *g = conf->groups; g; g = g->next)
        if (!strcmp(g->name, name))
            return g;
    return NULL;
}

/* A section that belongs to no installed plugin: its settings would be ignored in silence. */
static int check_installed(const vc_context *ctx, const struct vci_group *g, vc_error **err)
{
    const char *bar = strchr(g->name, '_');
    vcs_autofree char *kind = bar ? strndup(g->name, (size_t)(bar - g->name)) : NULL;
    if (!kind)
        return no_memory(err);
    uint32_t k = vci_kind_of(kind);
    char **names = NULL, near[64];
    size_t n = 0;
    int found = 0;
    struct vcs_buf list = { 0 }, words = { 0 };
    if (vci_plugin_names(ctx, k, &names, &n) < 0)
        return no_memory(err);
    for (size_t i = 0; i < n && !found; i++) {
        char name[64];
        section_name(k, names[i], name, sizeof(name));
        found = !strcmp(name, g->name);
        vcs_buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
        vcs_buf_printf(&words, "%s%s", i ? " " : "", name);
    }
    const char *all = n ? vcs_buf_str(&list) : NULL, *all_words = n ? vcs_buf_str(&words) : NULL;
    int meant = !found && all_words && vci_nearest(g->name, all_words, near, sizeof(near));
    int r = found ? 0
                  : vci_fail(err, VC_ERR_CONFIG, 0,
                             "%s: section \"%s\": no %s plugin \"%s\" in %s/%s%s%s%s; installed: %s", g->where, g->name,
                             kind, bar + 1, ctx->plugin_dir, kind, meant ? ", did you mean the section \"" : "",
                             meant ? near : "", meant ? "\"?" : "", all ? all : "none");
    vcs_buf_done(&list);
    vcs_buf_done(&words);
    vci_plugin_names_free(names, n);
    return r;
}

int vci_conf_check_sections(const vc_context *ctx, vc_error **err)
{
    int r = 0;
    for (const struct vci_group *g = ctx->conf->groups; g && r == 0; g = g->next)
        if (g->name[0])
            r = check_installed(ctx, g, err);
    return r;
}

int vci_conf_section(const struct vci_conf *conf, const struct vc_plugin *plugin, struct vc_config **ret,
                     vc_error **err)
{
    char name[64];
    section_name(plugin->kind, plugin->name, name, sizeof(name));
    return vci_section_build(vci_conf_group(conf, plugin->kind, plugin->name), plugin->options, plugin->n_options,
                             plugin->option_stride, name, ret, err);
}

/* How a pod's setting is called in errors; NULL without memory. */
static char *setting_where(uint32_t kind, const char *key, size_t len)
{
    char option[64], *where = NULL;
    snprintf(option, sizeof(option), "%.*s", (int)len, key);
    const struct vci_setting_name *o = vci_setting_by_option(vci_kind_name(kind), option);
    if (asprintf(&where, "the pod's setting \"%s.%s\"%s%s%s%s%s", vci_kind_name(kind), option, o ? " (" : "",
                 o ? o->group : "", o ? "." : "", o ? o->member : "", o ? ")" : "") < 0)
        return NULL;
    return where;
}

/* Put the pod's settings of this plugin into the group. */
static int lay_over(struct vci_group *g, uint32_t kind, char *const *settings)
{
    for (; *settings; settings++) {
        uint32_t k;
        const char *key, *value;
        size_t len;
        if (vci_setting_parse(*settings, &k, &key, &len, &value) < 0 || k != kind)
            continue;
        struct vci_setting *s = calloc(1, sizeof(*s));
        if (!s || !(s->key = strndup(key, len)) || !(s->where = setting_where(kind, key, len)) || !(s->str = strdup(value))) {
            if (s)
                free_setting(s);
            return -ENOMEM;
        }
        s->type = VCI_V_TEXT;
        put(g, s);
    }
    return 0;
}

/* A copy of what a file or an override says. */
static struct vci_setting *copy_setting(const struct vci_setting *from)
{
    struct vci_setting *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->type = from->type;
    s->num = from->num;
    s->key = strdup(from->key);
    s->where = strdup(from->where);
    s->str = from->str ? strdup(from->str) : NULL;
    s->list = from->list ? calloc(from->n_list + 1, sizeof(char *)) : NULL;
    int bad = !s->key || !s->where || (from->str && !s->str) || (from->list && !s->list);
    for (; !bad && s->n_list < from->n_list; s->n_list++)
        if (!(s->list[s->n_list] = strdup(from->list[s->n_list]))) {
            bad = 1;
            break;
        }
    if (bad)
        free_setting(s);
    return bad ? NULL : s;
}

int vci_conf_section_of(const struct vci_conf *conf, const struct vc_plugin *plugin, char *const *settings,
                        struct vc_config **ret, vc_error **err)
{
    if (!settings || !*settings)
        return vci_conf_section(conf, plugin, ret, err);
    const struct vci_group *base = vci_conf_group(conf, plugin->kind, plugin->name);
    struct vci_group merged = { .where = base ? base->where : NULL };
    char name[64];
    int r = 0;
    for (const struct vci_setting *from = base ? base->first : NULL; from && r == 0; from = from->next) {
        struct vci_setting *s = copy_setting(from);
        if (s)
            put(&merged, s);
        else
            r = -ENOMEM;
    }
    if (r == 0)
        r = lay_over(&merged, plugin->kind, settings);
    if (r)
        r = no_memory(err);
    section_name(plugin->kind, plugin->name, name, sizeof(name));
    if (r == 0)
        r = vci_section_build(&merged, plugin->options, plugin->n_options, plugin->option_stride, name, ret, err);
    for (struct vci_setting *s = merged.first, *next; s; s = next) {
        next = s->next;
        free_setting(s);
    }
    return r;
}
