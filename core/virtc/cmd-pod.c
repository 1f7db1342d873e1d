/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-pod.c: the `virtc pod` commands. */
#include "virtc.h"

#include <stdlib.h>
#include <string.h>

const char pod_doc[] = "\nA pod is one virtual machine with any number of containers in it.\n";

enum { OPT_FORCE = 'f', OPT_DEFER = 0x400, OPT_ANNOTATION, OPT_CONTAINER };

struct pod_args {
    struct pod_options pod;
    struct container_options ctr;
    const char *id;
    uint32_t flags;
    int max_words;
    struct words words; /* behind the id */
};

static const struct argp_option create_opts[] = {
    {"name", 'n', "ID", 0, "Its id (default: one is made)", 5},
    {"memory", 'm', "SIZE", 0, "Memory of the VM (default: as configured)", 5},
    {"defer", OPT_DEFER, NULL, 0, "Start the VM at `virtc pod start', not now", 5},
    {"annotation", OPT_ANNOTATION, "KEY=VALUE", 0, "Note something down with the pod (may be repeated)", 5},
    {"container", OPT_CONTAINER, "ID", 0, "Its id (default: one is made)", 1},
    {0}};

static error_t create_parse(int key, char *arg, struct argp_state *state)
{
    struct pod_args *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->pod;
        state->child_inputs[1] = &a->ctr;
        state->child_inputs[2] = &a->ctr.process;
        return 0;
    case 'n': a->pod.flags.id = arg; return 0;
    case 'm':
        if (parse_size(arg, &a->pod.flags.memory) < 0 || !a->pod.flags.memory)
            argp_error(state, "--memory wants a size such as 512M, not \"%s\"", arg);
        return 0;
    case OPT_DEFER: a->pod.flags.flags |= VC_POD_DEFER_VM; return 0;
    case OPT_CONTAINER: a->ctr.name = arg; return 0;
    case OPT_ANNOTATION:
        if (!strchr(arg, '=') || *arg == '=')
            argp_error(state, "--annotation wants KEY=VALUE, not \"%s\"", arg);
        return words_add(&a->pod.annotations, arg);
    case ARGP_KEY_ARG:
        if (!state->quoted || state->next <= state->quoted)
            argp_error(state, "unexpected \"%s\"; give the pod its id with --name, and a command after --", arg);
        return words_add(&a->ctr.process.args, arg);
    default: return ARGP_ERR_UNKNOWN;
    }
}
static const struct argp_child create_children[] = {{&pod_argp, 0, NULL, 0}, {&inner_argp, 0, NULL, 0}, {&stdio_argp, 0, NULL, 0}, {0}};

/* A call that takes as long as a boot, and that signals cancel. */
struct pod_call {
    vc_context *ctx;
    const struct vc_pod_config *config;
    char *id;
    vc_error *err;
};

static int call_create(void *arg)
{
    struct pod_call *c = arg;
    return vc_pod_create(c->ctx, c->config, &c->id, &c->err);
}

static int call_start(void *arg)
{
    struct pod_call *c = arg;
    return vc_pod_start(c->ctx, c->id, &c->err);
}

static int call_run(void *arg)
{
    struct pod_call *c = arg;
    return vc_pod_run(c->ctx, c->config, &c->id, &c->err);
}

static int make_pod(struct virtc *vt, int argc, char **argv, const struct argp *argp, int (*call)(void *))
{
    struct pod_args a = {0};
    struct vc_pod_config config;
    vc_context *ctx = NULL;
    int sig = 0;
    VC_INIT(&a.pod.flags);
    VC_INIT(&a.ctr.limits);
    int rc = virtc_parse(vt, argp, 0, argc, argv, &a) ? VIRTC_USAGE : virtc_open(vt, &ctx);
    if (!rc && !(rc = pod_config(vt, &a.pod, &a.ctr, 0, &config))) {
        struct pod_call c = {.ctx = ctx, .config = &config};
        virtc_phase_begin(vt, "making the pod");
        rc = virtc_cancellable(ctx, call, &c, &sig) < 0;
        virtc_phase_end();
        if (rc)
            rc = virtc_error(vt, c.err, VIRTC_FAILED);
        else
            virtc_print_id(vt, c.id);
        free(c.id);
    }
    pod_options_done(&a.pod);
    container_options_done(&a.ctr);
    vc_context_free(ctx);
    if (sig)
        virtc_die_of(sig);
    return rc;
}

static int pod_create(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {
        create_opts, create_parse, "[-- COMMAND [ARG...]]",
        "Make a pod: start its VM, so that containers can be created in it. Prints its id. With a COMMAND it has a container "
        "for that from the start.\v"
        "Next: virtc container create POD --rootfs DIR -- COMMAND, then virtc pod start POD. See vc-json(5) for --from.",
        create_children, NULL, NULL};
    return make_pod(vt, argc, argv, &argp, call_create);
}

static int pod_run(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {
        create_opts, create_parse, "[-- COMMAND [ARG...]]",
        "Make a pod with a container for COMMAND, or with those of a document, and start it. Prints its id and does not wait.\v"
        "Example:\n  virtc pod run --name web --rootfs ./rootfs -- httpd -f", create_children, NULL, NULL};
    return make_pod(vt, argc, argv, &argp, call_run);
}

static const struct argp_option force_opts[] = {
    {"force", OPT_FORCE, NULL, 0, "Do it whatever its state is", 0},
    {0}};

static error_t id_parse(int key, char *arg, struct argp_state *state)
{
    struct pod_args *a = state->input;
    switch (key) {
    case OPT_FORCE: a->flags |= VC_FORCE; return 0;
    case ARGP_KEY_ARG:
        if (a->id && (int)a->words.n < a->max_words)
            return words_add(&a->words, arg);
        if (a->id)
            argp_error(state, "one pod only; unexpected \"%s\"", arg);
        a->id = arg;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "say which pod; `virtc pod list' shows them"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* These differ in the call only. */
static int with_pod(struct virtc *vt, int argc, char **argv, const struct argp *argp, const char *doing,
                    int (*call)(vc_context *, const char *, uint32_t, vc_error **))
{
    struct pod_args a = {0};
    vc_context *ctx;
    int rc = virtc_parse(vt, argp, 0, argc, argv, &a) ? VIRTC_USAGE : virtc_open(vt, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    char text[192];
    snprintf(text, sizeof text, "%s pod %s", doing, a.id);
    virtc_phase_begin(vt, text);
    if (call(ctx, a.id, a.flags, &err) < 0)
        rc = virtc_error(vt, err, VIRTC_FAILED);
    virtc_phase_end();
    if (!rc)
        virtc_print_id(vt, a.id);
    vc_context_free(ctx);
    return rc;
}

static int pod_start(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {NULL, id_parse, "POD", "Start every container of a pod.", NULL, NULL, NULL};
    struct pod_args a = {0};
    vc_context *ctx;
    int rc = virtc_parse(vt, &argp, 0, argc, argv, &a) ? VIRTC_USAGE : virtc_open(vt, &ctx), sig;
    if (rc)
        return rc;
    struct pod_call c = {.ctx = ctx, .id = (char *)a.id};
    virtc_phase_begin(vt, "starting the pod");
    if (virtc_cancellable(ctx, call_start, &c, &sig) < 0)
        rc = virtc_error(vt, c.err, VIRTC_FAILED);
    virtc_phase_end();
    if (!rc)
        virtc_print_id(vt, a.id);
    vc_context_free(ctx);
    if (sig)
        virtc_die_of(sig);
    return rc;
}

static int pod_stop(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {
        force_opts, id_parse, "POD",
        "Stop a pod's containers and end its VM. A pod that is stopped already is no error.\v"
        "With --force the guest is not asked first.", NULL, NULL, NULL};
    return with_pod(vt, argc, argv, &argp, "stopping", vc_pod_stop);
}

static int pod_delete(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {
        force_opts, id_parse, "POD",
        "Remove a pod that does not run. The directories of its containers' roots are not touched.\v"
        "With --force a running, half-made or unreadable pod is removed too.", NULL, NULL, NULL};
    return with_pod(vt, argc, argv, &argp, "deleting", vc_pod_delete);
}

static int call_pause(vc_context *ctx, const char *id, uint32_t flags, vc_error **err)
{
    (void)flags;
    return vc_pod_pause(ctx, id, err);
}

static int pod_pause(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {NULL, id_parse, "POD", "Stop the processors of a running pod's VM, with all that runs on them.", NULL, NULL, NULL};
    return with_pod(vt, argc, argv, &argp, "pausing", call_pause);
}

static int call_resume(vc_context *ctx, const char *id, uint32_t flags, vc_error **err)
{
    (void)flags;
    return vc_pod_resume(ctx, id, err);
}

static int pod_resume(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {NULL, id_parse, "POD", "Let a paused pod go on.", NULL, NULL, NULL};
    return with_pod(vt, argc, argv, &argp, "resuming", call_resume);
}

void virtc_print_annotations(const struct virtc *vt, char *const *all, const char *value)
{
    int n = 0;
    if (value && vt->json) {
        virtc_json_string(value);
        putchar('\n');
    } else if (value) {
        puts(value);
    }
    if (!all)
        return;
    if (vt->json)
        putchar('{');
    for (; *all; all++) {
        size_t key = strcspn(*all, "=");
        if (!vt->json) {
            printf("%.*s\n", vt->quiet ? (int)key : (int)strlen(*all), *all);
            continue;
        }
        char *name = strndup(*all, key);
        if (n++)
            putchar(',');
        virtc_json_string(name);
        putchar(':');
        virtc_json_string((*all)[key] ? *all + key + 1 : "");
        free(name);
    }
    if (vt->json)
        puts("}");
}

static int annotate(struct virtc *vt, vc_context *ctx, const struct pod_args *a)
{
    vc_error *err = NULL;
    char **all = NULL, *value = NULL;
    size_t sets = 0;
    for (size_t i = 0; i < a->words.n; i++)
        sets += strchr(a->words.v[i], '=') != NULL;
    int rc = 0;
    if (sets ? sets < a->words.n : a->words.n > 1)
        return virtc_complain(vt, VIRTC_USAGE, "say one KEY to see, or any number of KEY=VALUE to set");
    if (sets)
        rc = vc_pod_set_annotations(ctx, a->id, (const char *const *)a->words.v, &err);
    else if (a->words.n)
        rc = vc_pod_annotation(ctx, a->id, a->words.v[0], &value, &err);
    else
        rc = vc_pod_annotations(ctx, a->id, &all, &err);
    if (rc < 0)
        rc = virtc_error(vt, err, VIRTC_FAILED);
    else if (sets)
        virtc_print_id(vt, a->id);
    else
        virtc_print_annotations(vt, all, value);
    free(value);
    vc_strv_free(all);
    return rc;
}

static int pod_annotate(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {NULL, id_parse, "POD [KEY | KEY=VALUE...]",
                                     "Show what is noted down with a pod, all or the value of KEY, or note something down.", NULL, NULL, NULL};
    struct pod_args a = {.max_words = 4096};
    vc_context *ctx = NULL;
    int rc = virtc_parse(vt, &argp, 0, argc, argv, &a) ? VIRTC_USAGE : virtc_open(vt, &ctx);
    if (!rc)
        rc = annotate(vt, ctx, &a);
    words_free(&a.words);
    vc_context_free(ctx);
    return rc;
}

static void print_pods(const struct virtc *vt, struct vc_pod_status *const *list, size_t n)
{
    enum { COLUMNS = 5 };
    const char **cells = calloc((n + 1) * COLUMNS, sizeof *cells);
    char(*ages)[24] = calloc(n + 1, sizeof *ages);
    if (cells && ages) {
        static const char *const heading[COLUMNS] = {"POD ID", "STATE", "HYPERVISOR", "AGENT", "AGE"};
        memcpy(cells, heading, sizeof heading);
        for (size_t i = 0; i < n; i++) {
            virtc_print_age(ages[i], list[i]->created_ns);
            const char *row[COLUMNS] = {list[i]->id, list[i]->state, list[i]->hypervisor ? list[i]->hypervisor : "",
                                        list[i]->agent ? list[i]->agent : "", list[i]->created_ns ? ages[i] : "-"};
            memcpy(cells + (i + 1) * COLUMNS, row, sizeof row);
        }
        virtc_table(vt, cells, COLUMNS, n + 1);
    }
    free(cells);
    free(ages);
}

static int pod_status(struct virtc *vt, int argc, char **argv)
{
    struct pod_args a = {0};
    static const struct argp argp = {NULL, id_parse, "POD", "Show a pod and its containers.", NULL, NULL, NULL};
    vc_context *ctx;
    int rc = virtc_parse(vt, &argp, 0, argc, argv, &a) ? VIRTC_USAGE : virtc_open(vt, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    struct vc_pod_status *st = NULL;
    char *json = NULL;
    if (vc_pod_status(ctx, a.id, &st, &err) < 0 || (vt->json && vc_pod_status_json(st, &json, &err) < 0)) {
        rc = virtc_error(vt, err, VIRTC_FAILED);
    } else if (vt->json) {
        puts(json);
    } else {
        print_pods(vt, &st, 1);
        if (vt->quiet) {
            vc_pod_status_free(st);
            vc_context_free(ctx);
            return 0;
        }
        if (st->reason && *st->reason)
            printf("\n%s\n", st->reason);
        if (st->template_id && *st->template_id)
            printf("\nits VM comes from template %s%s\n", st->template_id, st->from_pool ? ", and waited in the pool" : "");
        if (st->n_containers) {
            putchar('\n');
            virtc_print_containers(vt, st->containers, st->n_containers);
        }
    }
    free(json);
    vc_pod_status_free(st);
    vc_context_free(ctx);
    return rc;
}

static int pod_list(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {NULL, none_parse, "", "List all pods.", NULL, NULL, NULL};
    vc_context *ctx;
    int rc = virtc_parse(vt, &argp, 0, argc, argv, NULL) ? VIRTC_USAGE : virtc_open(vt, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    struct vc_pod_status **list = NULL;
    size_t n = 0;
    if (vc_pod_list(ctx, &list, &n, &err) < 0) {
        vc_context_free(ctx);
        return virtc_error(vt, err, VIRTC_FAILED);
    }
    if (!vt->json)
        print_pods(vt, list, n);
    else
        putchar('[');
    for (size_t i = 0; vt->json && i < n && !rc; i++) {
        char *json = NULL;
        if (vc_pod_status_json(list[i], &json, &err) < 0)
            rc = virtc_error(vt, err, VIRTC_FAILED);
        else
            printf("%s%s", i ? "," : "", json);
        free(json);
    }
    if (vt->json)
        puts("]");
    vc_pod_list_free(list, n);
    vc_context_free(ctx);
    return rc;
}

const struct command pod_commands[] = {
    {"create", "[OPTION...] [-- COMMAND...]", "Make a pod and start its VM", pod_create, NULL, NULL},
    {"run", "[OPTION...] [-- COMMAND...]", "Make a pod and start all of it", pod_run, NULL, NULL},
    {"start", "POD", "Start every container of a pod", pod_start, NULL, NULL},
    {"enter", "[OPTION...] POD -- COMMAND...", "Run a command in its first container", cmd_enter, NULL, NULL},
    {"pause", "POD", "Stop the VM's processors", pod_pause, NULL, NULL},
    {"resume", "POD", "Let them go on", pod_resume, NULL, NULL},
    {"annotate", "POD [KEY | KEY=VALUE...]", "See or set what is noted down with it", pod_annotate, NULL, NULL},
    {"stop", "[--force] POD", "Stop its containers and end its VM", pod_stop, NULL, NULL},
    {"delete", "[--force] POD", "Remove it", pod_delete, NULL, NULL},
    {"status", "POD", "Show it and its containers", pod_status, NULL, NULL},
    {"list", "", "List all pods", pod_list, NULL, NULL},
    {0}};
