/* SPDX-License-Identifier: Apache-2.0 */
/* section.c: one section of the configuration, checked against the option table of its plugin. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "conf-impl.h"
#include "lib/buf.h"

const char *vci_option_type_name(uint32_t type)
{
    static const char *const names[] = { "?", "string", "int", "bool", "size", "path", "enum", "list" };
    return names[type < sizeof(names) / sizeof(names[0]) ? type : 0];
}

static const struct vc_option *opt_at(const struct vc_option *options, size_t i, size_t stride)
{
    return (const struct vc_option *)(const void *)((const char *)options + i * stride);
}

/* What a value of this option looks like, for errors. */
static void describe(const struct vc_option *opt, char *buf, size_t size)
{
    int ranged = opt->max > opt->min;
    switch (opt->type) {
    case VC_OPT_INT:
        if (ranged)
            snprintf(buf, size, "a whole number from %lld to %lld", (long long)opt->min, (long long)opt->max);
        else
            snprintf(buf, size, "a whole number");
        break;
    case VC_OPT_SIZE:
        if (ranged)
            snprintf(buf, size, "a size from %lld to %lld bytes, such as \"256M\"", (long long)opt->min,
                     (long long)opt->max);
        else
            snprintf(buf, size, "a size such as \"256M\" or a number of bytes");
        break;
    case VC_OPT_BOOL:
        snprintf(buf, size, "true or false");
        break;
    case VC_OPT_PATH:
        snprintf(buf, size, "an absolute path in quotes");
        break;
    case VC_OPT_ENUM:
        snprintf(buf, size, "one of: %s", opt->choices);
        break;
    case VC_OPT_LIST:
        snprintf(buf, size, "a list of strings, [\"a\", \"b\"]");
        break;
    default:
        snprintf(buf, size, "a string in quotes");
    }
}

static int parse_int(const char *text, int64_t *ret)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end || isspace((unsigned char)text[0]))
        return -1;
    *ret = v;
    return 0;
}

static int parse_size(const char *text, int64_t *ret)
{
    char *end;
    errno = 0;
    if (!isdigit((unsigned char)text[0]))
        return -1;
    long long v = strtoll(text, &end, 10);
    int shift = 0;
    if (*end) {
        const char *units = "KMGT", *u = strchr(units, toupper((unsigned char)*end));
        if (!u || end[1])
            return -1;
        shift = 10 * (int)(u - units + 1);
    }
    if (errno || v > (INT64_MAX >> shift))
        return -1;
    *ret = v << shift;
    return 0;
}

static int is_choice(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = words; p && n; p += strcspn(p, " ")) {
        p += strspn(p, " ");
        if (!*p)
            break;
        if (strcspn(p, " ") == n && !strncmp(p, word, n))
            return 1;
    }
    return 0;
}

static void free_entry(struct vci_entry *e)
{
    free(e->str);
    for (uint32_t i = 0; i < e->n_list; i++)
        free(e->list[i]);
    free(e->list);
}

/* A copy of n strings; -ENOMEM leaves the entry without a list. */
static int set_list(struct vci_entry *e, char *const *list, size_t n)
{
    e->list = calloc(n + 1, sizeof(char *));
    if (!e->list)
        return -ENOMEM;
    for (; e->n_list < n; e->n_list++)
        if (!(e->list[e->n_list] = strdup(list[e->n_list])))
            return -ENOMEM;
    return 0;
}

/* Words separated by blanks.  With `escapes`, a backslash before a blank or another one makes that part of the word. */
static int set_words(struct vci_entry *e, const char *text, int escapes)
{
    size_t room = strlen(text) / 2 + 2;
    e->list = calloc(room, sizeof(char *));
    if (!e->list)
        return -ENOMEM;
    for (const char *p = text + strspn(text, " "); *p; p += strspn(p, " ")) {
        char *word = malloc(strlen(p) + 1);
        size_t n = 0;
        if (!word)
            return -ENOMEM;
        while (*p && *p != ' ') {
            p += escapes && *p == '\\' && (p[1] == ' ' || p[1] == '\\');
            word[n++] = *p++;
        }
        word[n] = '\0';
        e->list[e->n_list++] = word;
    }
    return 0;
}

/* 0, -EINVAL when the text is no value of this option, -ERANGE, -ENOMEM. */
static int from_text(const struct vc_option *opt, const char *text, struct vci_entry *e)
{
    switch (opt->type) {
    case VC_OPT_INT:
        if (parse_int(text, &e->num) < 0)
            return -EINVAL;
        break;
    case VC_OPT_SIZE:
        if (parse_size(text, &e->num) < 0)
            return -EINVAL;
        break;
    case VC_OPT_BOOL:
        if (strcmp(text, "true") && strcmp(text, "false"))
            return -EINVAL;
        e->num = text[0] == 't';
        return 0;
    case VC_OPT_LIST:
        return set_words(e, text, 0);
    case VC_OPT_PATH:
        if (text[0] != '/')
            return -EINVAL;
        break;
    case VC_OPT_ENUM:
        if (!is_choice(opt->choices, text))
            return -EINVAL;
        break;
    default:
        break;
    }
    if (opt->type == VC_OPT_INT || opt->type == VC_OPT_SIZE)
        return opt->max > opt->min && (e->num < opt->min || e->num > opt->max) ? -ERANGE : 0;
    e->str = strdup(text);
    return e->str ? 0 : -ENOMEM;
}

/* The same for a setting, whose type must fit. */
static int from_setting(const struct vc_option *opt, const struct vci_setting *s, struct vci_entry *e)
{
    char digits[24];
    switch (s->type) {
    case VCI_V_TEXT:
        return opt->type == VC_OPT_LIST ? set_words(e, s->str, 1) : from_text(opt, s->str, e);
    case VCI_V_STR:
        return opt->type == VC_OPT_INT || opt->type == VC_OPT_BOOL || opt->type == VC_OPT_LIST
                   ? -EINVAL
                   : from_text(opt, s->str, e);
    case VCI_V_INT:
        snprintf(digits, sizeof(digits), "%lld", (long long)s->num);
        return opt->type == VC_OPT_INT || opt->type == VC_OPT_SIZE ? from_text(opt, digits, e) : -EINVAL;
    case VCI_V_BOOL:
        e->num = s->num;
        return opt->type == VC_OPT_BOOL ? 0 : -EINVAL;
    case VCI_V_LIST:
        return opt->type == VC_OPT_LIST ? set_list(e, s->list, s->n_list) : -EINVAL;
    default:
        return -EINVAL;
    }
}

int vci_option_default_bad(const struct vc_option *opt, char *why, size_t size)
{
    if (!opt->def)
        return 0;
    struct vci_entry e = { 0 };
    int r = from_text(opt, opt->def, &e);
    free_entry(&e);
    if (r == -EINVAL || r == -ERANGE) {
        char want[256];
        describe(opt, want, sizeof(want));
        snprintf(why, size, "the default \"%s\" is not %s", opt->def, want);
        return 1;
    }
    return 0;
}

/* The value as the user wrote it, for errors. */
static void show_value(const struct vci_setting *s, char *buf, size_t size)
{
    switch (s->type) {
    case VCI_V_TEXT:
    case VCI_V_STR:
        snprintf(buf, size, "\"%.100s\"", s->str);
        break;
    case VCI_V_INT:
        snprintf(buf, size, "%lld", (long long)s->num);
        break;
    case VCI_V_BOOL:
        snprintf(buf, size, "%s", s->num ? "true" : "false");
        break;
    case VCI_V_FLOAT:
        snprintf(buf, size, "a number with a fraction");
        break;
    case VCI_V_LIST:
        snprintf(buf, size, "a list");
        break;
    default:
        snprintf(buf, size, "a group or a list of other things than strings");
    }
}

/* Edit distance of two short words, at most `max` + 1. */
static int distance(const char *a, size_t n, const char *b, size_t m)
{
    unsigned char row[65];
    if (n > 64 || m > 64)
        return 99;
    for (size_t j = 0; j <= m; j++)
        row[j] = (unsigned char)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned char)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1u < best)
                best = row[j] + 1u;
            if (row[j - 1] + 1u < best)
                best = row[j - 1] + 1u;
            diagonal = row[j];
            row[j] = (unsigned char)best;
        }
    }
    return row[m];
}

int vci_nearest(const char *word, const char *words, char *buf, size_t size)
{
    size_t len = strlen(word);
    int best = len < 4 ? 2 : 4, found = 0; /* as many wrong letters, plus one */
    for (const char *p = words; *p;) {
        p += strspn(p, " ");
        size_t n = strcspn(p, " ");
        int d = n ? distance(word, len, p, n) : 99;
        if (d < best && (size_t)d < n) {
            best = d;
            found = 1;
            snprintf(buf, size, "%.*s", (int)n, p);
        }
        p += n;
    }
    return found;
}

/* An unknown key: say which are known, and which one was probably meant. */
static int unknown_key(const struct vci_setting *s, const struct vc_option *options, size_t n, size_t stride,
                       const char *what, vc_error **err)
{
    struct vcs_buf words = { 0 };
    for (size_t i = 0; i < n; i++)
        vcs_buf_printf(&words, "%s%s", i ? " " : "", opt_at(options, i, stride)->key);
    const char *all = vcs_buf_str(&words);
    char near[64] = "";
    int found = all && vci_nearest(s->key, all, near, sizeof(near));
    vci_fail(err, VC_ERR_CONFIG, 0, "%s: unknown key \"%s\"%s%s%s%s%s; known keys: %s", s->where, s->key,
             what ? " in section " : "", what ? what : "", found ? ", did you mean \"" : "", near, found ? "\"?" : "",
             n && all ? all : "none");
    vcs_buf_done(&words);
    return VC_ERR_CONFIG;
}

static int bad_value(const struct vci_setting *s, const struct vc_option *opt, const char *what, int r, vc_error **err)
{
    if (r == -ENOMEM)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    char have[128], want[512];
    show_value(s, have, sizeof(have));
    describe(opt, want, sizeof(want));
    if (opt->flags & VC_OPT_SECRET)
        snprintf(have, sizeof(have), "%s", r == -ERANGE ? "out of range" : "something else");
    return vci_fail(err, VC_ERR_CONFIG, 0, "%s: \"%s\"%s%s is %s; it must be %s", s->where, s->key,
                    what ? " in section " : "", what ? what : "", have, want);
}

int vci_section_build(const struct vci_group *group, const struct vc_option *options, size_t n, size_t stride,
                      const char *what, struct vc_config **ret, vc_error **err)
{
    struct vc_config *c = calloc(1, sizeof(*c) + n * sizeof(c->e[0]));
    if (!c)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    int r = 0;
    c->n = n;
    for (size_t i = 0; i < n; i++)
        c->e[i].opt = opt_at(options, i, stride);
    for (const struct vci_setting *s = group ? group->first : NULL; s && r == 0; s = s->next) {
        struct vci_entry *e = (struct vci_entry *)(uintptr_t)vci_section_find(c, s->key);
        if (!e) {
            r = unknown_key(s, options, n, stride, what, err);
            break;
        }
        int bad = from_setting(e->opt, s, e);
        if (bad)
            r = bad_value(s, e->opt, what, bad, err);
        e->set = 1;
    }
    for (size_t i = 0; i < n && r == 0; i++) {
        struct vci_entry *e = &c->e[i];
        if (e->set)
            continue;
        if (e->opt->flags & VC_OPT_REQUIRED) {
            char want[512];
            describe(e->opt, want, sizeof(want));
            r = vci_fail(err, VC_ERR_CONFIG, 0, "%s%s\"%s\"%s%s is missing; it must be %s",
                         group && group->where ? group->where : "", group && group->where ? ": " : "", e->opt->key,
                         what ? " in section " : "", what ? what : "", want);
        } else if (e->opt->def) {
            if (from_text(e->opt, e->opt->def, e) < 0)
                r = vci_fail(err, VC_ERR_NOMEM, 0, "no default for \"%s\": out of memory", e->opt->key);
            e->set = 1;
        }
    }
    if (r) {
        vci_section_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void vci_section_free(struct vc_config *section)
{
    if (!section)
        return;
    for (size_t i = 0; i < section->n; i++)
        free_entry(&section->e[i]);
    free(section);
}

const struct vci_entry *vci_section_find(const struct vc_config *s, const char *key)
{
    for (size_t i = 0; s && i < s->n; i++)
        if (s->e[i].opt->key[0] == key[0] && !strcmp(s->e[i].opt->key, key))
            return &s->e[i];
    return NULL;
}

/* The entry, or VC_E_INVAL for a key that was not declared, VC_E_NOTFOUND when it is unset. */
static int lookup(const struct vc_config *s, const char *key, const struct vci_entry **ret)
{
    *ret = key ? vci_section_find(s, key) : NULL;
    if (!*ret)
        return VC_E_INVAL;
    return (*ret)->set ? VC_OK : VC_E_NOTFOUND;
}

int vci_section_str(const struct vc_config *s, const char *key, uint32_t idx, const char **out)
{
    const struct vci_entry *e;
    int r = lookup(s, key, &e);
    if (r)
        return r;
    if (e->opt->type == VC_OPT_LIST) {
        if (idx >= e->n_list)
            return VC_E_NOTFOUND;
        *out = e->list[idx];
        return VC_OK;
    }
    if (!e->str)
        return VC_E_INVAL;
    if (idx)
        return VC_E_NOTFOUND;
    *out = e->str;
    return VC_OK;
}

int vci_section_int(const struct vc_config *s, const char *key, int64_t *out)
{
    const struct vci_entry *e;
    int r = lookup(s, key, &e);
    if (r)
        return r;
    if (e->opt->type != VC_OPT_INT && e->opt->type != VC_OPT_SIZE && e->opt->type != VC_OPT_BOOL)
        return VC_E_INVAL;
    *out = e->num;
    return VC_OK;
}

int vci_section_count(const struct vc_config *s, const char *key, uint32_t *out)
{
    const struct vci_entry *e;
    int r = lookup(s, key, &e);
    if (r)
        return r;
    *out = e->opt->type == VC_OPT_LIST ? e->n_list : 1;
    return VC_OK;
}
