/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-misc.c: `virtc config` and `virtc gc`. */
#include "virtc.h"

#include <stdlib.h>
#include <string.h>

const char config_doc[] = "\nThe configuration is a libconfig file and the drop-in files beside it.\n";

static int begin(struct virtc *vt, const struct argp *argp, int argc, char **argv, vc_context **ret)
{
    return virtc_parse(vt, argp, 0, argc, argv, NULL) ? VIRTC_USAGE : virtc_open(vt, ret);
}

static int config_check(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {NULL, none_parse, "",
                                     "Check the configuration: the files, the five chosen plugins, their options, and whether they can work here.",
                                     NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = begin(vt, &argp, argc, argv, &ctx);
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
    static const struct argp argp = {NULL, none_parse, "", "Show the configuration in effect, defaults and overrides included.", NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = begin(vt, &argp, argc, argv, &ctx);
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
    static const struct argp argp = {
        NULL, none_parse, "",
        "Remove what commands that were killed have left behind: pods whose creation or start was interrupted, pods of a "
        "`virtc run' that was killed, and every process, mount, socket and directory that belonged to them.", NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = begin(vt, &argp, argc, argv, &ctx);
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

const struct command config_commands[] = {
    {"check", "", "Check it, and whether the chosen plugins can work here", config_check, NULL, NULL},
    {"show", "", "Show what is in effect", config_show, NULL, NULL},
    {0}};
