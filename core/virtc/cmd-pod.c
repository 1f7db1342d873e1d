/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-pod.c: the `virtc pod` commands. */
#include "virtc.h"

#include <stdlib.h>
#include <string.h>

const char pod_doc[] = "\nA pod is one virtual machine with any number of containers in it.\n";

enum { OPT_FORCE = 'f', OPT_DEFER = 0x400, OPT_TEMPLATE };

struct pod_args {
    struct vc_pod_config config;
    const char *id;
    uint32_t flags;
};

static const struct argp_option create_opts[] = {
    {"name", 'n', "ID", 0, "Its id (default: one is made)", 0},
    {"hostname", 'H', "NAME", 0, "Its host name (default: its id)", 0},
    {"memory", 'm', "SIZE", 0, "Memory of the VM (default: as configured)", 0},
    {"vcpus", 'p', "N", 0, "Processors of the VM (default: as configured)", 0},
    {"defer", OPT_DEFER, NULL, 0, "Start the VM at `virtc pod start', not now", 0},
    TEMPLATE_OPTION(OPT_TEMPLATE, 0),
    {0}};

static error_t create_parse(int key, char *arg, struct argp_state *state)
{
    struct pod_args *a = state->input;
    long n;
    switch (key) {
    case 'n': a->config.id = arg; return 0;
    case 'H': a->config.hostname = arg; return 0;
    case 'm':
        if (parse_size(arg, &a->config.memory) < 0 || !a->config.memory)
            argp_error(state, "--memory wants a size such as 512M, not \"%s\"", arg);
        return 0;
    case 'p':
        if (parse_int(arg, 1, 1024, &n) < 0)
            argp_error(state, "--vcpus wants a number from 1 on, not \"%s\"", arg);
        a->config.vcpus = (uint32_t)n;
        return 0;
    case OPT_DEFER: a->config.flags |= VC_POD_DEFER_VM; return 0;
    case OPT_TEMPLATE:
        if (parse_template(arg, &a->config.vm_template) < 0)
            argp_error(state, "--template wants auto, off or require, not \"%s\"", arg);
        return 0;
    case ARGP_KEY_ARG: argp_error(state, "unexpected \"%s\"; give the pod its id with --name", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

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

static int pod_create(struct virtc *vt, int argc, char **argv)
{
    struct pod_args a = {0};
    VC_INIT(&a.config);
    static const struct argp argp = {
        create_opts, create_parse, "",
        "Make a pod: start its VM, so that containers can be created in it. Prints its id.\v"
        "Next: virtc container create POD --rootfs DIR -- COMMAND, then virtc pod start POD.", NULL, NULL, NULL};
    if (argp_parse(&argp, argc, argv, 0, NULL, &a))
        return VIRTC_USAGE;
    vc_context *ctx;
    int rc = virtc_open(vt, &ctx);
    if (rc)
        return rc;
    struct pod_call c = {.ctx = ctx, .config = &a.config};
    int sig;
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

static const struct argp_option force_opts[] = {
    {"force", OPT_FORCE, NULL, 0, "Do it whatever its state is", 0},
    {0}};

static error_t id_parse(int key, char *arg, struct argp_state *state)
{
    struct pod_args *a = state->input;
    switch (key) {
    case OPT_FORCE: a->flags |= VC_FORCE; return 0;
    case ARGP_KEY_ARG:
        if (a->id)
            argp_error(state, "one pod only; unexpected \"%s\"", arg);
        a->id = arg;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "say which pod; `virtc pod list' shows them"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* stop and delete differ in the call only. */
static int with_pod(struct virtc *vt, int argc, char **argv, const struct argp *argp,
                    int (*call)(vc_context *, const char *, uint32_t, vc_error **))
{
    struct pod_args a = {0};
    if (argp_parse(argp, argc, argv, 0, NULL, &a))
        return VIRTC_USAGE;
    vc_context *ctx;
    int rc = virtc_open(vt, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    if (call(ctx, a.id, a.flags, &err) < 0)
        rc = virtc_error(vt, err, VIRTC_FAILED);
    else
        virtc_print_id(vt, a.id);
    vc_context_free(ctx);
    return rc;
}

static int pod_start(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {NULL, id_parse, "POD", "Start every container of a pod.", NULL, NULL, NULL};
    struct pod_args a = {0};
    if (argp_parse(&argp, argc, argv, 0, NULL, &a))
        return VIRTC_USAGE;
    vc_context *ctx;
    int rc = virtc_open(vt, &ctx), sig;
    if (rc)
        return rc;
    struct pod_call c = {.ctx = ctx, .id = (char *)a.id};
    if (virtc_cancellable(ctx, call_start, &c, &sig) < 0)
        rc = virtc_error(vt, c.err, VIRTC_FAILED);
    else
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
    return with_pod(vt, argc, argv, &argp, vc_pod_stop);
}

static int pod_delete(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {
        force_opts, id_parse, "POD",
        "Remove a pod that does not run. The directories of its containers' roots are not touched.\v"
        "With --force a running, half-made or unreadable pod is removed too.", NULL, NULL, NULL};
    return with_pod(vt, argc, argv, &argp, vc_pod_delete);
}

static void print_pods(struct vc_pod_status *const *list, size_t n)
{
    const char **cells = calloc((n + 1) * 4, sizeof *cells);
    if (!cells)
        return;
    size_t k = 0;
    static const char *const heading[] = {"POD ID", "STATE", "HYPERVISOR", "AGENT"};
    for (size_t i = 0; i < 4; i++)
        cells[k++] = heading[i];
    for (size_t i = 0; i < n; i++) {
        cells[k++] = list[i]->id;
        cells[k++] = list[i]->state;
        cells[k++] = list[i]->hypervisor ? list[i]->hypervisor : "";
        cells[k++] = list[i]->agent ? list[i]->agent : "";
    }
    virtc_table(cells, 4, n + 1);
    free(cells);
}

static int pod_status(struct virtc *vt, int argc, char **argv)
{
    struct pod_args a = {0};
    static const struct argp argp = {NULL, id_parse, "POD", "Show a pod and its containers.", NULL, NULL, NULL};
    if (argp_parse(&argp, argc, argv, 0, NULL, &a))
        return VIRTC_USAGE;
    vc_context *ctx;
    int rc = virtc_open(vt, &ctx);
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
        print_pods(&st, 1);
        if (st->reason && *st->reason)
            printf("\n%s\n", st->reason);
        if (st->template_id && *st->template_id)
            printf("\nits VM comes from template %s%s\n", st->template_id, st->from_pool ? ", and waited in the pool" : "");
        if (st->n_containers)
            puts("\nCONTAINER ID\tSTATE");
        for (size_t i = 0; i < st->n_containers; i++)
            printf("%s\t%s\n", st->containers[i]->id, st->containers[i]->state);
    }
    free(json);
    vc_pod_status_free(st);
    vc_context_free(ctx);
    return rc;
}

static int pod_list(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {NULL, none_parse, "", "List all pods.", NULL, NULL, NULL};
    if (argp_parse(&argp, argc, argv, 0, NULL, NULL))
        return VIRTC_USAGE;
    vc_context *ctx;
    int rc = virtc_open(vt, &ctx);
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
        print_pods(list, n);
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
    {"create", "[OPTION...]", "Make a pod and start its VM", pod_create},
    {"start", "POD", "Start every container of a pod", pod_start},
    {"stop", "[--force] POD", "Stop its containers and end its VM", pod_stop},
    {"delete", "[--force] POD", "Remove it", pod_delete},
    {"status", "POD", "Show it and its containers", pod_status},
    {"list", "", "List all pods", pod_list},
    {0}};
