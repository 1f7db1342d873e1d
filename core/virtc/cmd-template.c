/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-template.c: the `virtc template` commands. */
#include "virtc.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

const char template_doc[] =
    "\nA template is a VM that was booted once and saved, with nothing of any pod in it. Pods start from it in a\n"
    "fraction of the time of a boot. The first pod on a host makes it; it is made anew when anything that shaped it\n"
    "(hypervisor, kernel, initramfs, options) has changed.\n";

struct template_args {
    const char *id;
    uint32_t flags;
    int wants; /* 1: an id must be given; 0: it may be */
};

static error_t template_parse(int key, char *arg, struct argp_state *state)
{
    struct template_args *a = state->input;
    switch (key) {
    case 'f': a->flags |= VC_FORCE; return 0;
    case ARGP_KEY_ARG:
        if (a->id)
            argp_error(state, "one template only; unexpected \"%s\"", arg);
        a->id = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        if (a->wants)
            argp_error(state, "say which template; `virtc template list' shows them");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static error_t create_parse(int key, char *arg, struct argp_state *state)
{
    return key == ARGP_KEY_ARG ? none_parse(key, arg, state) : template_parse(key, arg, state);
}

/* Making one takes as long as a boot, and signals cancel it. */
struct create_call {
    vc_context *ctx;
    uint32_t flags;
    char *id;
    vc_error *err;
};
static int call_create(void *arg)
{
    struct create_call *c = arg;
    return vc_template_create(c->ctx, c->flags, &c->id, &c->err);
}

static int template_create(struct virtc *vt, int argc, char **argv)
{
    struct template_args a = {0};
    static const struct argp_option opts[] = {{"force", 'f', NULL, 0, "Make it anew when it is there", 0}, {0}};
    static const struct argp argp = {
        opts, create_parse, "",
        "Make the template of this configuration, unless it is there. Prints its id.\v"
        "This is what the first `virtc run' or `virtc pod create' on a host does by itself; made beforehand, nobody waits "
        "for it.", NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = virtc_parse(vt, &argp, 0, argc, argv, &a) ? VIRTC_USAGE : virtc_open(vt, &ctx), sig;
    if (rc)
        return rc;
    struct create_call c = {.ctx = ctx, .flags = a.flags};
    if (virtc_cancellable(ctx, call_create, &c, &sig) < 0)
        rc = virtc_error(vt, c.err, VIRTC_FAILED);
    else
        virtc_print_id(vt, c.id);
    free(c.id);
    vc_context_free(ctx);
    if (sig)
        virtc_die_of(sig);
    return rc;
}

static void print_table(const struct virtc *vt, struct vc_template_info *const *list, size_t n)
{
    enum { COLUMNS = 7 };
    const char **cells = calloc((n + 1) * COLUMNS, sizeof *cells);
    char(*words)[4][24] = calloc(n + 1, sizeof *words);
    if (cells && words) {
        static const char *const heading[COLUMNS] = {"TEMPLATE ID", "HYPERVISOR", "AGE", "DISK", "MEMORY", "PODS", "STATE"};
        memcpy(cells, heading, sizeof heading);
        for (size_t i = 0; i < n; i++) {
            virtc_print_age(words[i][0], list[i]->created_ns);
            virtc_print_size(words[i][1], list[i]->disk);
            virtc_print_size(words[i][2], list[i]->memory);
            snprintf(words[i][3], sizeof words[i][3], "%u", list[i]->pods);
            const char *row[COLUMNS] = {list[i]->id, list[i]->hypervisor ? list[i]->hypervisor : "",
                                        list[i]->created_ns ? words[i][0] : "-", words[i][1], list[i]->memory ? words[i][2] : "-", words[i][3],
                                        list[i]->problem ? list[i]->problem : list[i]->current ? "current" : "of another configuration"};
            memcpy(cells + (i + 1) * COLUMNS, row, sizeof row);
        }
        virtc_table(vt, cells, COLUMNS, n + 1);
    }
    free(cells);
    free(words);
}

/* One template as a JSON object on stdout. */
static int print_json(const struct virtc *vt, const struct vc_template_info *t)
{
    char *json = NULL;
    vc_error *err = NULL;
    if (vc_template_json(t, &json, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    fputs(json, stdout);
    free(json);
    return 0;
}

static int template_list(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {
        NULL, none_parse, "",
        "List the templates of this host, that of this configuration first.\v"
        "STATE says `current' when pods of this configuration start from it, and otherwise why they do not. PODS counts "
        "the pods that run from it and the VMs of the pool.", NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = virtc_parse(vt, &argp, 0, argc, argv, NULL) ? VIRTC_USAGE : virtc_open(vt, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    struct vc_template_info **list = NULL;
    size_t n = 0;
    if (vc_template_list(ctx, &list, &n, &err) < 0) {
        vc_context_free(ctx);
        return virtc_error(vt, err, VIRTC_FAILED);
    }
    if (!vt->json)
        print_table(vt, list, n);
    else
        putchar('[');
    for (size_t i = 0; vt->json && i < n && !rc; i++) {
        if (i)
            putchar(',');
        rc = print_json(vt, list[i]);
    }
    if (vt->json)
        puts("]");
    vc_template_list_free(list, n);
    vc_context_free(ctx);
    return rc;
}

/* The template whose id begins so; NULL, and *ret_n tells how many do, when it is not exactly one. */
static struct vc_template_info *by_id(struct vc_template_info *const *list, size_t n, const char *word, size_t *ret_n)
{
    struct vc_template_info *found = NULL;
    *ret_n = 0;
    for (size_t i = 0; i < n && *word; i++)
        if (strncmp(list[i]->id, word, strlen(word)) == 0) {
            found = list[i];
            ++*ret_n;
        }
    return *ret_n == 1 ? found : NULL;
}

static int complain_of_id(const struct virtc *vt, const char *word, size_t n)
{
    if (n)
        return virtc_complain(vt, VIRTC_FAILED, "the ids of %zu templates begin with \"%s\": give more of the one that is meant", n, word);
    return virtc_complain(vt, VIRTC_FAILED, "there is no template \"%s\", nor one whose id begins so; `virtc template list' shows them", word);
}

struct key_line {
    const char *name, *value;
    int n_name, n_value;
    int numbered; /* the name is that of a list's item, such as arg.07; n_name is without the number */
};

/* The first line of a key; the rest, or NULL at the end. */
static const char *next_line(const char *key, struct key_line *ret)
{
    size_t line = strcspn(key, "\n"), name = strcspn(key, "=\n"), bare = name;
    if (!line)
        return NULL;
    while (bare && key[bare - 1] >= '0' && key[bare - 1] <= '9')
        bare--;
    ret->numbered = bare > 1 && bare < name && key[bare - 1] == '.';
    ret->name = key;
    ret->n_name = (int)(ret->numbered ? bare - 1 : name);
    ret->value = key + name + (key[name] == '=');
    ret->n_value = (int)(key + line - ret->value);
    return key + line + (key[line] == '\n');
}

/* One indented row for each line; the items of a list have its name once, and an option and its word share a row. */
static void print_key(const char *key)
{
    struct key_line l, last = {0};
    int width = 0;
    for (const char *p = key; (p = next_line(p, &l));)
        width = l.n_name > width && l.n_name < 40 ? l.n_name : width;
    for (const char *p = key; (p = next_line(p, &l)); last = l) {
        int more = l.numbered && last.numbered && l.n_name == last.n_name && memcmp(l.name, last.name, (size_t)l.n_name) == 0;
        if (more && l.n_value && l.value[0] != '-' && last.n_value && last.value[0] == '-')
            printf(" %.*s", l.n_value, l.value);
        else
            printf("%s    %-*.*s  %.*s", last.name ? "\n" : "", width, more ? 0 : l.n_name, l.name, l.n_value, l.value);
    }
    if (last.name)
        putchar('\n');
}

static void print_one(const struct vc_template_info *t)
{
    char disk[24], memory[24], age[24], when[40] = "unknown";
    time_t created = (time_t)(t->created_ns / 1000000000);
    struct tm tm;
    virtc_print_size(disk, t->disk);
    virtc_print_size(memory, t->memory);
    virtc_print_age(age, t->created_ns);
    printf("template    %s\n", t->id);
    printf("state       %s\n", t->problem ? "unusable: never used to start a pod" : t->current ? "current: pods of this configuration start from it"
                                                                      : "fine, but of another configuration");
    if (t->problem)
        printf("problem     %s\n", t->problem);
    if (t->created_ns && localtime_r(&created, &tm) && strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S %z", &tm))
        printf("made        %s, %s ago, in %.1f s\n", when, age, (double)t->made_in_ns / 1e9);
    if (t->hypervisor)
        printf("hypervisor  %s\n", t->hypervisor);
    if (t->agent)
        printf("agent       %s\n", t->agent);
    if (t->memory)
        printf("memory      %s\n", memory);
    printf("disk        %s\n", disk);
    printf("pods        %u\n", t->pods);
    if (t->path)
        printf("directory   %s\n", t->path);
    if (t->key && *t->key) {
        puts("shaped by");
        print_key(t->key);
    }
}

static int template_show(struct virtc *vt, int argc, char **argv)
{
    struct template_args a = {0};
    static const struct argp argp = {
        NULL, template_parse, "[ID]",
        "Show a template: its state, size and age, and all that shaped it. Without ID: the one that pods of this "
        "configuration start from.\v"
        "ID may be cut short, as long as one template only begins so.", NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = virtc_parse(vt, &argp, 0, argc, argv, &a) ? VIRTC_USAGE : virtc_open(vt, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    struct vc_template_info **list = NULL, *found = NULL;
    size_t n = 0, alike = 0;
    if (vc_template_list(ctx, &list, &n, &err) < 0) {
        vc_context_free(ctx);
        return virtc_error(vt, err, VIRTC_FAILED);
    }
    if (a.id)
        found = by_id(list, n, a.id, &alike);
    for (size_t i = 0; i < n && !found && !a.id; i++)
        if (list[i]->current)
            found = list[i];
    if (!found && a.id)
        rc = complain_of_id(vt, a.id, alike);
    else if (!found)
        rc = virtc_complain(vt, VIRTC_FAILED, "there is no template for this configuration yet; `virtc template create' makes it");
    else if (!vt->json)
        print_one(found);
    else if ((rc = print_json(vt, found)) == 0)
        putchar('\n');
    vc_template_list_free(list, n);
    vc_context_free(ctx);
    return rc;
}

static int template_delete(struct virtc *vt, int argc, char **argv)
{
    struct template_args a = {.wants = 1};
    static const struct argp_option opts[] = {
        {"force", 'f', NULL, 0, "Also while pods run from it; they go on", 0}, {0}};
    static const struct argp argp = {
        opts, template_parse, "ID",
        "Remove a template. The next pod that wants it makes it anew.\v"
        "ID may be cut short, as long as one template only begins so.", NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = virtc_parse(vt, &argp, 0, argc, argv, &a) ? VIRTC_USAGE : virtc_open(vt, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    struct vc_template_info **list = NULL;
    size_t n = 0, alike = 0;
    const struct vc_template_info *found = NULL;
    int listed = vc_template_list(ctx, &list, &n, &err) == 0;
    if (listed && !(found = by_id(list, n, a.id, &alike)) && strlen(a.id) != 32) {
        rc = complain_of_id(vt, a.id, alike);
    } else {
        const char *id = found ? found->id : a.id; /* of a whole id the library says what is wrong, and needs no list */
        if (!listed)
            vc_error_free(err);
        err = NULL;
        if (vc_template_delete(ctx, id, a.flags, &err) < 0)
            rc = virtc_error(vt, err, VIRTC_FAILED);
        else
            virtc_print_id(vt, id);
    }
    vc_template_list_free(list, n);
    vc_context_free(ctx);
    return rc;
}

static void report(void *arg, const char *id, const char *what)
{
    const struct virtc *vt = arg;
    if (!vt->json)
        printf("%s: %s\n", id, what);
}

static int template_gc(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {
        NULL, none_parse, "",
        "Remove templates that nobody can use any more and that no pod runs from: stale, damaged and half-made ones. "
        "`virtc gc' does so, too.", NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = virtc_parse(vt, &argp, 0, argc, argv, NULL) ? VIRTC_USAGE : virtc_open(vt, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    size_t n = 0;
    if (vc_template_gc(ctx, report, vt, &n, &err) < 0)
        rc = virtc_error(vt, err, VIRTC_FAILED);
    else if (vt->json)
        printf("{\"removed\":%zu}\n", n);
    else if (!n)
        puts("nothing to remove");
    vc_context_free(ctx);
    return rc;
}

const struct command template_commands[] = {
    {"create", "[--force]", "Make the one of this configuration", template_create, NULL, NULL},
    {"list", "", "List all of this host", template_list, NULL, NULL},
    {"show", "[ID]", "Show one, and what shaped it", template_show, NULL, NULL},
    {"delete", "[--force] ID", "Remove one", template_delete, NULL, NULL},
    {"gc", "", "Remove those that nobody can use any more", template_gc, NULL, NULL},
    {0}};
