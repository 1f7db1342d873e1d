/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-plugin.c: `virtc plugin`: what is installed, and its options as help, manual page or sample configuration. */
#include "cmd-plugin.h"

#include <stdlib.h>
#include <string.h>

#include "virtc.h"

const char plugin_doc[] = "\nHypervisor, agent, proxy, shim and network are plugins, chosen by name in the configuration.\n";

enum { KEY_MAN = 0x100, KEY_SAMPLE };

struct plugin_args {
    const char *word;
    int form; /* 0, KEY_MAN or KEY_SAMPLE */
};

static error_t list_parse(int key, char *arg, struct argp_state *state)
{
    struct plugin_args *a = state->input;
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (a->word)
        argp_error(state, "unexpected \"%s\"", arg);
    a->word = arg;
    return 0;
}

static error_t help_parse(int key, char *arg, struct argp_state *state)
{
    struct plugin_args *a = state->input;
    switch (key) {
    case KEY_MAN:
    case KEY_SAMPLE:
        if (a->form && a->form != key)
            argp_error(state, "--man and --sample do not go together");
        a->form = key;
        return 0;
    case ARGP_KEY_END:
        if (!a->word && a->form != KEY_SAMPLE)
            argp_error(state, "say which plugin; `virtc plugin list' shows them");
        return 0;
    default: return list_parse(key, arg, state);
    }
}

static int begin(struct virtc *vt, const struct argp *argp, struct plugin_args *a, int argc, char **argv, vc_context **ret)
{
    return virtc_parse(vt, argp, 0, argc, argv, a) ? VIRTC_USAGE : virtc_open(vt, ret);
}

static void plugin_table(const struct virtc *vt, struct vc_plugin_info *const *list, size_t n)
{
    for (size_t i = 0; vt->quiet && i < n; i++) /* a name alone says nothing */
        printf("%s/%s\n", list[i]->kind, list[i]->name);
    if (vt->quiet)
        return;
    const char **cells = calloc((n + 1) * 5, sizeof *cells);
    if (!cells)
        return;
    static const char *const heading[] = {"KIND", "NAME", "VERSION", "CHOSEN", "DESCRIPTION"};
    memcpy(cells, heading, sizeof heading);
    for (size_t i = 0; i < n; i++) {
        const char *row[] = {list[i]->kind, list[i]->name, list[i]->version ? list[i]->version : "-",
                             list[i]->selected ? "yes" : "", list[i]->usable ? list[i]->description : list[i]->problem};
        memcpy(cells + (i + 1) * 5, row, sizeof row);
    }
    virtc_table(vt, cells, 5, n + 1);
    free(cells);
}

static void plugin_json(struct vc_plugin_info *const *list, size_t n)
{
    putchar('[');
    for (size_t i = 0; i < n; i++) {
        const char *const fields[][2] = {{"kind", list[i]->kind}, {"name", list[i]->name}, {"version", list[i]->version},
                                         {"vendor", list[i]->vendor}, {"description", list[i]->description},
                                         {"path", list[i]->path}, {"problem", list[i]->problem}};
        printf("%s{\"usable\":%s,\"selected\":%s", i ? "," : "", list[i]->usable ? "true" : "false", list[i]->selected ? "true" : "false");
        for (size_t k = 0; k < sizeof fields / sizeof *fields; k++)
            if (fields[k][1]) {
                printf(",\"%s\":", fields[k][0]);
                virtc_json_string(fields[k][1]);
            }
        putchar('}');
    }
    puts("]");
}

static int plugin_list(struct virtc *vt, int argc, char **argv)
{
    struct plugin_args a = {0};
    static const struct argp argp = {NULL, list_parse, "[KIND]",
                                     "List the installed plugins, all or those of one kind (hypervisor, agent, proxy, shim, network).",
                                     NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = begin(vt, &argp, &a, argc, argv, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    struct vc_plugin_info **list = NULL;
    size_t n = 0;
    if (vc_plugin_list(ctx, a.word, &list, &n, &err) < 0)
        rc = virtc_error(vt, err, VIRTC_FAILED);
    else if (vt->json)
        plugin_json(list, n);
    else
        plugin_table(vt, list, n);
    vc_plugin_list_free(list, n);
    vc_context_free(ctx);
    return rc;
}

/* One plugin, in the form that was asked for. */
static int help_one(struct virtc *vt, vc_context *ctx, const char *name, int form)
{
    vc_error *err = NULL;
    char *text = NULL;
    int rc = 0;
    if (vc_plugin_help(ctx, name, form || vt->json, &text, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    if (form && virtc_plugin_doc(text, form == KEY_MAN) < 0)
        rc = virtc_complain(vt, VIRTC_FAILED, "what the library says about plugin \"%s\" cannot be read", name);
    else if (!form)
        printf("%s%s", text, *text && text[strlen(text) - 1] == '\n' ? "" : "\n");
    free(text);
    return rc;
}

/* The whole configuration file: the top level and all plugins that can be used. */
static int sample_all(struct virtc *vt, vc_context *ctx)
{
    vc_error *err = NULL;
    struct vc_plugin_info **list = NULL;
    size_t n = 0;
    char *show = NULL;
    int rc = 0;
    if (vc_context_show(ctx, 1, &show, &err) < 0 || vc_plugin_list(ctx, NULL, &list, &n, &err) < 0)
        rc = virtc_error(vt, err, VIRTC_FAILED);
    else if (virtc_sample_top(show) < 0)
        rc = virtc_complain(vt, VIRTC_FAILED, "the configuration in effect cannot be read");
    for (size_t i = 0; rc == 0 && i < n; i++) {
        char name[300];
        snprintf(name, sizeof name, "%s/%s", list[i]->kind, list[i]->name);
        if (list[i]->usable)
            rc = help_one(vt, ctx, name, KEY_SAMPLE);
    }
    vc_plugin_list_free(list, n);
    free(show);
    return rc;
}

static int plugin_help(struct virtc *vt, int argc, char **argv)
{
    struct plugin_args a = {0};
    static const struct argp_option options[] = {
        {"man", KEY_MAN, NULL, 0, "Print a manual page (roff)", 0},
        {"sample", KEY_SAMPLE, NULL, 0,
         "Print a sample of its section in the configuration file, or, without NAME, a whole file: every option with its default, commented out",
         0},
        {0}};
    static const struct argp argp = {options, help_parse, "NAME|KIND/NAME",
                                     "Show what a plugin is and the options it takes in the configuration.", NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = begin(vt, &argp, &a, argc, argv, &ctx);
    if (rc)
        return rc;
    rc = a.word ? help_one(vt, ctx, a.word, a.form) : sample_all(vt, ctx);
    vc_context_free(ctx);
    return rc;
}

const struct command plugin_commands[] = {
    {"list", "[KIND]", "List the installed plugins", plugin_list, NULL, NULL},
    {"help", "NAME", "Show a plugin's options", plugin_help, NULL, NULL},
    {0}};
