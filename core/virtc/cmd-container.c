/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-container.c: the `virtc container` commands. */
#include "virtc.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

const char container_doc[] = "\nA container lives in a pod; both are named by their ids.\n";

enum { OPT_IN = 0x500, OPT_OUT, OPT_ERR, OPT_ALL, OPT_EXEC };

struct ctr_args {
    struct container_options c;
    const char *pod, *container, *signal, *exec_id;
    uint32_t flags;
    int n_ids;    /* how many ids stand before the command: 1 (POD) or 2 (POD CONTAINER) */
    int command;  /* a command follows */
    long timeout; /* seconds; -1 = default */
    int detach;
};

static const char *which(const struct ctr_args *a)
{
    return a->n_ids == 1 ? "say which pod" : "say which pod and which container";
}

static error_t args_parse(int key, char *arg, struct argp_state *state)
{
    struct ctr_args *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        if (a->command) /* only those commands have shared options */
            state->child_inputs[0] = a->n_ids == 2 ? (void *)&a->c.process : (void *)&a->c;
        return 0;
    case OPT_IN: a->c.process.in = arg; return 0;
    case OPT_OUT: a->c.process.out = arg; return 0;
    case OPT_ERR: a->c.process.err = arg; return 0;
    case OPT_ALL: a->flags |= VC_KILL_ALL; return 0;
    case OPT_EXEC: a->exec_id = arg; return 0;
    case 'f': a->flags |= VC_FORCE; return 0;
    case 'd': a->detach = 1; return 0;
    case 'T':
        if (parse_int(arg, 0, INT_MAX / 1000, &a->timeout) < 0)
            argp_error(state, "--timeout wants seconds, not \"%s\"", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (!a->pod)
            a->pod = arg;
        else if (a->n_ids == 2 && !a->container)
            a->container = arg;
        else if (a->command) {
            int rc = words_add(&a->c.process.args, arg);
            for (; state->next < state->argc && !rc; state->next++)
                rc = words_add(&a->c.process.args, state->argv[state->next]);
            return rc;
        } else if (!a->signal && a->timeout == -2)
            a->signal = arg;
        else
            argp_error(state, "unexpected \"%s\"", arg);
        return 0;
    case ARGP_KEY_END:
        if (!a->pod || (a->n_ids == 2 && !a->container))
            argp_error(state, "%s", which(a));
        if (a->command && !a->c.process.args.n)
            argp_error(state, "say which command to run, after --");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

#define STDIO_OPTS \
    {NULL, 0, NULL, 0, "Where its streams go:", 3}, \
    {"stdin", OPT_IN, "FILE", 0, "Standard input from this file", 3}, \
    {"stdout", OPT_OUT, "FILE", 0, "Standard output to this file", 3}, \
    {"stderr", OPT_ERR, "FILE", 0, "Standard error to this file (the same name as --stdout: both to one)", 3}

/* Parse, open the context, call, clean up. */
static int with_args(struct virtc *vt, int argc, char **argv, const struct argp *argp, struct ctr_args *a,
                     int (*call)(struct virtc *, vc_context *, struct ctr_args *))
{
    vc_context *ctx = NULL;
    int rc = argp_parse(argp, argc, argv, ARGP_IN_ORDER, NULL, a) ? VIRTC_USAGE : virtc_open(vt, &ctx);
    if (!rc)
        rc = call(vt, ctx, a);
    container_options_done(&a->c);
    vc_context_free(ctx);
    return rc;
}

static int do_create(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    struct vc_process_config proc;
    struct vc_container_config c;
    int rc = container_config(vt, &a->c, 0, &proc, &c);
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
    struct ctr_args a = {.n_ids = 1, .command = 1};
    static const struct argp_option opts[] = {STDIO_OPTS, {0}};
    static const struct argp_child children[] = {{&container_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        opts, args_parse, "POD [--] COMMAND [ARG...]",
        "Make a container in a pod; COMMAND is what it runs once it is started. Prints its id.\v"
        "Its streams are /dev/null unless --stdin, --stdout or --stderr name files.", children, NULL, NULL};
    return with_args(vt, argc, argv, &argp, &a, do_create);
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
    struct ctr_args a = {.n_ids = 2};
    static const struct argp argp = {
        NULL, args_parse, "POD CONTAINER",
        "Start a container in a running pod.\vExit code: 0; 127 when its command does not exist, 126 when it cannot "
        "be executed, 1 for other failures.", NULL, NULL, NULL};
    return with_args(vt, argc, argv, &argp, &a, do_start);
}

static int do_exec(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    struct vc_process_config proc;
    int rc = process_config(vt, &a->c.process, !a->detach, &proc);
    if (rc)
        return rc;
    vc_error *err = NULL;
    char *id = NULL;
    int32_t pid = 0;
    if (!a->detach)
        virtc_hold_signals();
    if (vc_container_exec(ctx, a->pod, a->container, &proc, &id, &pid, &err) < 0) {
        rc = virtc_run_code(err);
        return virtc_error(vt, err, rc);
    }
    if (a->detach)
        virtc_print_id(vt, id);
    else
        rc = virtc_attend(vt, ctx, a->pod, a->container, id, pid);
    free(id);
    return rc;
}

static int ctr_exec(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.n_ids = 2, .command = 1};
    static const struct argp_option opts[] = {
        {"detach", 'd', NULL, 0, "Do not wait for it; print its exec id", 0}, STDIO_OPTS, {0}};
    static const struct argp_child children[] = {{&process_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        opts, args_parse, "POD CONTAINER [--] COMMAND [ARG...]",
        "Run one more command in a running container, pass its output on and exit with its exit code.\v"
        "Exit code: that of COMMAND; 128+N when signal N ended it; 127 when there is no such command, 126 when it "
        "cannot be executed; 125 when virtc itself failed.\n\n"
        "Example:\n  virtc container exec -it mypod web -- sh", children, NULL, NULL};
    argp_err_exit_status = VIRTC_RUN_FAILED; /* the lower codes are the command's */
    return with_args(vt, argc, argv, &argp, &a, do_exec);
}

static int do_kill(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    int sig = a->signal ? parse_signal(a->signal) : SIGTERM;
    if (sig < 0)
        return virtc_complain(vt, VIRTC_USAGE, "\"%s\" is not a signal; use a name such as TERM or a number from 1 to 64", a->signal);
    vc_error *err = NULL;
    if (vc_container_kill(ctx, a->pod, a->container, a->exec_id, sig, a->flags, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    return 0;
}

static int ctr_kill(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.n_ids = 2, .timeout = -2}; /* -2: a third word is the signal */
    static const struct argp_option opts[] = {
        {"all", OPT_ALL, NULL, 0, "To every process of the container, not the first alone", 0},
        {"exec", OPT_EXEC, "ID", 0, "To the command that `virtc container exec --detach' named so", 0},
        {0}};
    static const struct argp argp = {opts, args_parse, "POD CONTAINER [SIGNAL]",
                                     "Send a signal (default: TERM) to a container's first process.", NULL, NULL, NULL};
    return with_args(vt, argc, argv, &argp, &a, do_kill);
}

static int do_stop(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    int64_t ms = a->timeout < 0 ? 0 : a->timeout == 0 ? -1 : (int64_t)a->timeout * 1000;
    if (vc_container_stop(ctx, a->pod, a->container, ms, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    virtc_print_id(vt, a->container);
    return 0;
}

static int ctr_stop(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.n_ids = 2, .timeout = -1};
    static const struct argp_option opts[] = {
        {"timeout", 'T', "SECONDS", 0, "Time between SIGTERM and SIGKILL (default: 10; 0: SIGKILL at once)", 0}, {0}};
    static const struct argp argp = {opts, args_parse, "POD CONTAINER",
                                     "Stop a container. One that is stopped already is no error.", NULL, NULL, NULL};
    return with_args(vt, argc, argv, &argp, &a, do_stop);
}

static int do_wait(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    int32_t status = 0;
    int64_t ms = a->timeout < 0 ? -1 : (int64_t)a->timeout * 1000;
    if (vc_container_wait(ctx, a->pod, a->container, a->exec_id, ms, &status, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    printf(vt->json ? "{\"exit_status\":%d}\n" : "%d\n", status);
    return 0;
}

static int ctr_wait(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.n_ids = 2, .timeout = -1};
    static const struct argp_option opts[] = {
        {"timeout", 'T', "SECONDS", 0, "Give up after this time (default: wait for ever)", 0},
        {"exec", OPT_EXEC, "ID", 0, "For the command that `virtc container exec --detach' named so", 0},
        {0}};
    static const struct argp argp = {opts, args_parse, "POD CONTAINER",
                                     "Wait until a container's first process has ended, and print its exit code.", NULL, NULL, NULL};
    return with_args(vt, argc, argv, &argp, &a, do_wait);
}

static int do_delete(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    if (vc_container_delete(ctx, a->pod, a->container, a->flags, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    virtc_print_id(vt, a->container);
    return 0;
}

static int ctr_delete(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.n_ids = 2};
    static const struct argp_option opts[] = {{"force", 'f', NULL, 0, "Kill it first when it runs", 0}, {0}};
    static const struct argp argp = {opts, args_parse, "POD CONTAINER",
                                     "Remove a container that does not run. Its root directory is not touched.", NULL, NULL, NULL};
    return with_args(vt, argc, argv, &argp, &a, do_delete);
}

/* Without a line end; 0 or an exit code. */
static int print_json(struct virtc *vt, const struct vc_container_status *c)
{
    vc_error *err = NULL;
    char *text = NULL;
    if (vc_container_status_json(c, &text, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    fputs(text, stdout);
    free(text);
    return 0;
}

/* CONTAINER ID, STATE, PID, EXIT, ROOTFS. */
static void print_table(struct vc_container_status *const *list, size_t n)
{
    const char **cells = calloc((n + 1) * 5, sizeof *cells);
    char(*numbers)[2][16] = calloc(n + 1, sizeof *numbers);
    if (cells && numbers) {
        static const char *const heading[] = {"CONTAINER ID", "STATE", "PID", "EXIT", "ROOTFS"};
        memcpy(cells, heading, sizeof heading);
        for (size_t i = 0; i < n; i++) {
            snprintf(numbers[i][0], sizeof numbers[i][0], list[i]->pid > 0 ? "%d" : "-", list[i]->pid);
            snprintf(numbers[i][1], sizeof numbers[i][1], list[i]->exit_status >= 0 ? "%d" : "-", list[i]->exit_status);
            const char *row[] = {list[i]->id, list[i]->state, numbers[i][0], numbers[i][1], list[i]->rootfs ? list[i]->rootfs : ""};
            memcpy(cells + (i + 1) * 5, row, sizeof row);
        }
        virtc_table(cells, 5, n + 1);
    }
    free(cells);
    free(numbers);
}

static int do_status(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    struct vc_container_status *st = NULL;
    if (vc_container_status(ctx, a->pod, a->container, &st, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    int rc = 0;
    if (!vt->json)
        print_table(&st, 1);
    else if ((rc = print_json(vt, st)) == 0)
        putchar('\n');
    vc_container_status_free(st);
    return rc;
}

static int ctr_status(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.n_ids = 2};
    static const struct argp argp = {NULL, args_parse, "POD CONTAINER", "Show a container.", NULL, NULL, NULL};
    return with_args(vt, argc, argv, &argp, &a, do_status);
}

static int do_list(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    struct vc_pod_status *st = NULL;
    if (vc_pod_status(ctx, a->pod, &st, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    int rc = 0;
    if (vt->json) {
        putchar('[');
        for (size_t i = 0; rc == 0 && i < st->n_containers; i++) {
            if (i)
                putchar(',');
            rc = print_json(vt, st->containers[i]);
        }
        puts("]");
    } else {
        print_table(st->containers, st->n_containers);
    }
    vc_pod_status_free(st);
    return rc;
}

static int ctr_list(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.n_ids = 1};
    static const struct argp argp = {NULL, args_parse, "POD", "List the containers of a pod.", NULL, NULL, NULL};
    return with_args(vt, argc, argv, &argp, &a, do_list);
}

const struct command container_commands[] = {
    {"create", "[OPTION...] POD -- COMMAND...", "Make a container in a pod", ctr_create},
    {"start", "POD CONTAINER", "Start it", ctr_start},
    {"exec", "[OPTION...] POD CONTAINER -- COMMAND...", "Run one more command in it", ctr_exec},
    {"kill", "[--all] POD CONTAINER [SIGNAL]", "Send it a signal", ctr_kill},
    {"stop", "[--timeout S] POD CONTAINER", "Stop it", ctr_stop},
    {"wait", "[--timeout S] POD CONTAINER", "Wait for its end and print its exit code", ctr_wait},
    {"delete", "[--force] POD CONTAINER", "Remove it", ctr_delete},
    {"status", "POD CONTAINER", "Show it", ctr_status},
    {"list", "POD", "List the containers of a pod", ctr_list},
    {0}};
