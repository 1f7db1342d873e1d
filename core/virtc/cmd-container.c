/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-container.c: the `virtc container` commands. */
#include "virtc.h"

#include <stdlib.h>
#include <string.h>

const char container_doc[] = "\nA container lives in a pod; both are named by their ids. Where CONTAINER stands in brackets it can be left out when\n"
                             "the pod has one only.\n";

static int do_create(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    struct vc_process_config proc;
    struct vc_container_config c;
    int rc = container_config(vt, &a->c, 0, NULL, &proc, &c);
    if (rc)
        return rc;
    vc_error *err = NULL;
    char *id = NULL;
    if (vc_container_create(ctx, a->pod, &c, &id, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    virtc_print_id(vt, id);
    free(id);
    return 0;
}

static int ctr_create(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_POD, .command = 2};
    VC_INIT(&a.c.limits);
    static const struct argp_option opts[] = {
        {"from", ARGS_FROM, "FILE", 0, "Read its configuration from this JSON document (`-': standard input); options win over it", 1}, {0}};
    static const struct argp_child children[] = {{&container_argp, 0, NULL, 0}, {&stdio_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        opts, args_parse, "POD [--] COMMAND [ARG...]",
        "Make a container in a pod; COMMAND is what it runs once it is started. Prints its id.\v"
        "Its streams are /dev/null unless --stdin, --stdout or --stderr name files. With -i its standard input stays open for "
        "`virtc attach -i'. See vc-json(5) for --from.", children, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_create);
}

static int do_start(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    if (vc_container_start(ctx, a->pod, a->container, &err) < 0) {
        int code = virtc_run_code(err);
        return virtc_error(vt, err, code == VIRTC_RUN_FAILED ? VIRTC_FAILED : code);
    }
    virtc_print_id(vt, a->container);
    return 0;
}

static int ctr_start(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_OPTIONAL};
    static const struct argp argp = {
        NULL, args_parse, "POD [CONTAINER]",
        "Start a container in a running pod, for the first time or again.\vOne that has ended is made again, as it was created; "
        "its streams are /dev/null then. Exit code: 0; 127 when its command does not exist, 126 when it cannot "
        "be executed, 1 for other failures.", NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_start);
}

/* What a call that needs nothing but the names did. */
static int told(const struct virtc *vt, int rc, vc_error *err, const char *id)
{
    if (rc < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    virtc_print_id(vt, id);
    return 0;
}

static int do_stop(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    int64_t ms = a->timeout < 0 ? 0 : a->timeout == 0 ? -1 : (int64_t)a->timeout * 1000;
    char text[192];
    snprintf(text, sizeof text, "stopping container %s of pod %s", a->container, a->pod);
    virtc_phase_begin(vt, text);
    int rc = vc_container_stop(ctx, a->pod, a->container, ms, &err);
    virtc_phase_end();
    return told(vt, rc, err, a->container);
}

static int ctr_stop(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_OPTIONAL};
    static const struct argp_option opts[] = {
        {"timeout", 'T', "SECONDS", 0, "Time between SIGTERM and SIGKILL (default: 10; 0: SIGKILL at once)", 0}, {0}};
    static const struct argp argp = {opts, args_parse, "POD [CONTAINER]",
                                     "Stop a container. One that is stopped already is no error.", NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_stop);
}

static int do_delete(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    int rc = vc_container_delete(ctx, a->pod, a->container, a->flags, &err);
    return told(vt, rc, err, a->container);
}

static int ctr_delete(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_CONTAINER};
    static const struct argp_option opts[] = {{"force", 'f', NULL, 0, "Kill it first when it runs", 0}, {0}};
    static const struct argp argp = {opts, args_parse, "POD CONTAINER",
                                     "Remove a container that does not run. Its root directory is not touched.", NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_delete);
}

static int do_pause(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    int rc = vc_container_pause(ctx, a->pod, a->container, &err);
    return told(vt, rc, err, a->container);
}

static int ctr_pause(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_OPTIONAL};
    static const struct argp argp = {NULL, args_parse, "POD [CONTAINER]", "Freeze all processes of a running container.", NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_pause);
}

static int do_resume(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    int rc = vc_container_resume(ctx, a->pod, a->container, &err);
    return told(vt, rc, err, a->container);
}

static int ctr_resume(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_OPTIONAL};
    static const struct argp argp = {NULL, args_parse, "POD [CONTAINER]", "Let a paused container go on.", NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_resume);
}

static int do_update(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    char *text = NULL;
    struct vc_resources *document = NULL, all = a->limits;
    int rc = a->from ? read_document(vt, VIRTC_FAILED, a->from, &text) : 0;
    if (!rc && text && vc_resources_from_json(text, &document, &err) < 0)
        rc = virtc_error_in(vt, a->from, err, VIRTC_FAILED);
    free(text);
    if (rc)
        return rc;
    if (document) {
        all = *document;
        all.memory_limit = a->limits.memory_limit ? a->limits.memory_limit : all.memory_limit;
        all.cpu_quota = a->limits.cpu_quota ? a->limits.cpu_quota : all.cpu_quota;
        all.cpu_period = a->limits.cpu_period ? a->limits.cpu_period : all.cpu_period;
        all.cpu_shares = a->limits.cpu_shares ? a->limits.cpu_shares : all.cpu_shares;
        all.pids_limit = a->limits.pids_limit ? a->limits.pids_limit : all.pids_limit;
    }
    rc = vc_container_update(ctx, a->pod, a->container, &all, &err);
    vc_resources_free(document);
    return told(vt, rc, err, a->container);
}

static int ctr_update(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_OPTIONAL};
    static const struct argp_option opts[] = {
        {"from", ARGS_FROM, "FILE", 0, "Read the limits from this JSON document (`-': standard input); options win over it", 4}, {0}};
    static const struct argp_child children[] = {{&limits_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {opts, args_parse, "POD [CONTAINER]",
                                     "Change the limits of a container that is ready, running or paused. They outlive a restart of the pod.\v"
                                     "See vc-json(5), Resources, for --from.", children, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_update);
}

static int do_annotate(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    char **all = NULL, *value = NULL;
    int rc = 0;
    if (a->rest.n && vc_container_annotation(ctx, a->pod, a->container, a->rest.v[0], &value, &err) < 0)
        rc = virtc_error(vt, err, VIRTC_FAILED);
    else if (!a->rest.n && vc_container_annotations(ctx, a->pod, a->container, &all, &err) < 0)
        rc = virtc_error(vt, err, VIRTC_FAILED);
    else
        virtc_print_annotations(vt, all, value);
    free(value);
    vc_strv_free(all);
    return rc;
}

static int ctr_annotate(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_CONTAINER, .max_rest = 1};
    static const struct argp argp = {NULL, args_parse, "POD CONTAINER [KEY]",
                                     "Show what is noted down with a container, all or the value of KEY. It is set when the container is "
                                     "made, and not changed afterwards; what is noted down with a pod can be: see `virtc pod annotate'.",
                                     NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_annotate);
}

void virtc_print_containers(const struct virtc *vt, struct vc_container_status *const *list, size_t n)
{
    enum { COLUMNS = 6 };
    const char **cells = calloc((n + 1) * COLUMNS, sizeof *cells);
    char(*words)[3][24] = calloc(n + 1, sizeof *words);
    if (cells && words) {
        static const char *const heading[COLUMNS] = {"CONTAINER ID", "STATE", "PID", "EXIT", "AGE", "ROOTFS"};
        memcpy(cells, heading, sizeof heading);
        for (size_t i = 0; i < n; i++) {
            virtc_print_age(words[i][0], list[i]->created_ns);
            snprintf(words[i][1], sizeof words[i][1], list[i]->pid > 0 ? "%d" : "-", list[i]->pid);
            snprintf(words[i][2], sizeof words[i][2], list[i]->exit_status >= 0 ? list[i]->oom_killed ? "%d (OOM)" : "%d" : "-", list[i]->exit_status);
            const char *row[COLUMNS] = {list[i]->id, list[i]->state, words[i][1], words[i][2], list[i]->created_ns ? words[i][0] : "-",
                                        list[i]->rootfs ? list[i]->rootfs : ""};
            memcpy(cells + (i + 1) * COLUMNS, row, sizeof row);
        }
        virtc_table(vt, cells, COLUMNS, n + 1);
    }
    free(cells);
    free(words);
}

static int print_json(const struct virtc *vt, const struct vc_container_status *st)
{
    char *json = NULL;
    vc_error *err = NULL;
    if (vc_container_status_json(st, &json, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    fputs(json, stdout);
    free(json);
    return 0;
}

static int do_status(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    struct vc_container_status *st = NULL;
    int rc = 0;
    if (vc_container_status(ctx, a->pod, a->container, &st, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    if (!vt->json)
        virtc_print_containers(vt, &st, 1);
    else if ((rc = print_json(vt, st)) == 0)
        putchar('\n');
    vc_container_status_free(st);
    return rc;
}

static int ctr_status(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_OPTIONAL};
    static const struct argp argp = {NULL, args_parse, "POD [CONTAINER]", "Show a container.", NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_status);
}

static int do_list(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    struct vc_container_status **list = NULL;
    size_t n = 0;
    int rc = 0;
    if (vc_container_list(ctx, a->pod, &list, &n, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    if (!vt->json)
        virtc_print_containers(vt, list, n);
    else
        putchar('[');
    for (size_t i = 0; vt->json && i < n && !rc; i++) {
        if (i)
            putchar(',');
        rc = print_json(vt, list[i]);
    }
    if (vt->json)
        puts("]");
    vc_container_list_free(list, n);
    return rc;
}

static int ctr_list(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_POD};
    static const struct argp argp = {NULL, args_parse, "POD", "List the containers of a pod.", NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_list);
}

const struct command container_commands[] = {
    {"create", "[OPTION...] POD -- COMMAND...", "Make a container in a pod", ctr_create, NULL, NULL},
    {"start", "POD [CONTAINER]", "Start it", ctr_start, NULL, NULL},
    {"exec", "[OPTION...] POD [CONTAINER] -- COMMAND...", "Run one more command in it", cmd_exec, NULL, NULL},
    {"enter", "[OPTION...] POD [CONTAINER] -- COMMAND...", "The same", cmd_exec, NULL, NULL},
    {"attach", "[OPTION...] POD [CONTAINER]", "See its output, and write to its input", cmd_attach, NULL, NULL},
    {"resize", "[OPTION...] POD [CONTAINER]", "Set the size of its terminal", cmd_resize, NULL, NULL},
    {"kill", "[OPTION...] POD [CONTAINER [SIGNAL]]", "Send it a signal", cmd_kill, NULL, NULL},
    {"wait", "[OPTION...] POD [CONTAINER]", "Wait for its end and print its exit code", cmd_wait, NULL, NULL},
    {"pause", "POD [CONTAINER]", "Freeze its processes", ctr_pause, NULL, NULL},
    {"resume", "POD [CONTAINER]", "Let them go on", ctr_resume, NULL, NULL},
    {"ps", "POD [CONTAINER] [-- ARG...]", "Show its processes", cmd_ps, NULL, NULL},
    {"stats", "[OPTION...] POD [CONTAINER]", "Show what it uses", cmd_stats, NULL, NULL},
    {"update", "[OPTION...] POD [CONTAINER]", "Change its limits", ctr_update, NULL, NULL},
    {"annotate", "POD CONTAINER [KEY]", "Show what is noted down with it", ctr_annotate, NULL, NULL},
    {"stop", "[--timeout S] POD [CONTAINER]", "Stop it", ctr_stop, NULL, NULL},
    {"delete", "[--force] POD CONTAINER", "Remove it", ctr_delete, NULL, NULL},
    {"status", "POD [CONTAINER]", "Show it", ctr_status, NULL, NULL},
    {"list", "POD", "List the containers of a pod", ctr_list, NULL, NULL},
    {0}};
