/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-misc.c: `virtc plugin`, `virtc config` and `virtc gc`. */
#include "virtc.h"

#include <stdlib.h>
#include <string.h>

const char plugin_doc[] = "\nHypervisor, agent, proxy, shim and network are plugins, chosen by name in the configuration.\n";
const char config_doc[] = "\nThe configuration is a libconfig file and the drop-in files beside it.\n";

struct misc_args {
    const char *word;
    int wants; /* -1: a word may follow; 0: none; 1: one must */
};

static error_t misc_parse(int key, char *arg, struct argp_state *state)
{
    struct misc_args *a = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (!a->wants || a->word)
            argp_error(state, "unexpected \"%s\"", arg);
        a->word = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        if (a->wants > 0)
            argp_error(state, "say which plugin; `virtc plugin list' shows them");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int begin(struct virtc *vt, const struct argp *argp, struct misc_args *a, int argc, char **argv, vc_context **ret)
{
    return argp_parse(argp, argc, argv, 0, NULL, a) ? VIRTC_USAGE : virtc_open(vt, ret);
}

static void plugin_table(struct vc_plugin_info *const *list, size_t n)
{
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
    virtc_table(cells, 5, n + 1);
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
    struct misc_args a = {.wants = -1};
    static const struct argp argp = {NULL, misc_parse, "[KIND]",
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
        plugin_table(list, n);
    vc_plugin_list_free(list, n);
    vc_context_free(ctx);
    return rc;
}

static int plugin_help(struct virtc *vt, int argc, char **argv)
{
    struct misc_args a = {.wants = 1};
    static const struct argp argp = {NULL, misc_parse, "NAME|KIND/NAME",
                                     "Show what a plugin is and the options it takes in the configuration.", NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = begin(vt, &argp, &a, argc, argv, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    char *text = NULL;
    if (vc_plugin_help(ctx, a.word, vt->json, &text, &err) < 0)
        rc = virtc_error(vt, err, VIRTC_FAILED);
    else
        printf("%s%s", text, *text && text[strlen(text) - 1] == '\n' ? "" : "\n");
    free(text);
    vc_context_free(ctx);
    return rc;
}

static int config_check(struct virtc *vt, int argc, char **argv)
{
    struct misc_args a = {0};
    static const struct argp argp = {NULL, misc_parse, "",
                                     "Check the configuration: the files, the five chosen plugins, their options, and whether they can work here.",
                                     NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = begin(vt, &argp, &a, argc, argv, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    char *report = NULL;
    if (vc_context_check(ctx, &report, &err) < 0) {
        rc = virtc_error(vt, err, VIRTC_FAILED);
    } else if (vt->json) {
        fputs("{\"ok\":true,\"report\":", stdout);
        virtc_json_string(report);
        puts("}");
    } else {
        printf("%s%s", report, *report && report[strlen(report) - 1] == '\n' ? "" : "\n");
    }
    free(report);
    vc_context_free(ctx);
    return rc;
}

static int config_show(struct virtc *vt, int argc, char **argv)
{
    struct misc_args a = {0};
    static const struct argp argp = {NULL, misc_parse, "", "Show the configuration in effect, defaults and overrides included.", NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = begin(vt, &argp, &a, argc, argv, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    char *text = NULL;
    if (vc_context_show(ctx, vt->json, &text, &err) < 0)
        rc = virtc_error(vt, err, VIRTC_FAILED);
    else
        printf("%s%s", text, *text && text[strlen(text) - 1] == '\n' ? "" : "\n");
    free(text);
    vc_context_free(ctx);
    return rc;
}

static void gc_report(void *arg, const char *pod, const char *what)
{
    const struct virtc *vt = arg;
    if (!vt->json)
        printf("%s: %s\n", pod, what);
}

int cmd_gc(struct virtc *vt, int argc, char **argv)
{
    struct misc_args a = {0};
    static const struct argp argp = {
        NULL, misc_parse, "",
        "Remove what commands that were killed have left behind: pods whose creation or start was interrupted, pods of a "
        "`virtc run' that was killed, and every process, mount, socket and directory that belonged to them.", NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = begin(vt, &argp, &a, argc, argv, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    size_t n = 0;
    if (vc_gc(ctx, gc_report, vt, &n, &err) < 0)
        rc = virtc_error(vt, err, VIRTC_FAILED);
    else if (vt->json)
        printf("{\"removed\":%zu}\n", n);
    else if (!n)
        puts("nothing to remove");
    vc_context_free(ctx);
    return rc;
}

const struct command plugin_commands[] = {
    {"list", "[KIND]", "List the installed plugins", plugin_list},
    {"help", "NAME", "Show a plugin's options", plugin_help},
    {0}};
const struct command config_commands[] = {
    {"check", "", "Check it, and whether the chosen plugins can work here", config_check},
    {"show", "", "Show what is in effect", config_show},
    {0}};
