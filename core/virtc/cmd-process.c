/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-process.c: commands about the processes of containers: exec, enter, kill, wait, resize. */
#include "virtc.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* The configuration of a process: options over a document. */
static int exec_config(struct virtc *vt, struct ctr_args *a, struct vc_process_config **ret_document, struct vc_process_config *ret)
{
    char *text = NULL;
    vc_error *err = NULL;
    if (a->from) {
        int rc = read_document(vt, VIRTC_RUN_FAILED, a->from, &text);
        if (!rc && vc_process_config_from_json(text, ret_document, &err) < 0)
            rc = virtc_error_in(vt, a->from, err, VIRTC_RUN_FAILED);
        free(text);
        if (rc)
            return rc;
    }
    int rc = process_config(vt, &a->c.process, !a->detach, *ret_document, ret);
    if (!rc && !ret->args && !ret->process_json)
        rc = virtc_complain(vt, VIRTC_RUN_FAILED, "say which command to run, after -- or in the document as Args");
    return rc;
}

static int exec_in(struct virtc *vt, vc_context *ctx, struct ctr_args *a, int enter)
{
    struct vc_process_config proc, *document = NULL;
    vc_error *err = NULL;
    char *id = NULL;
    int32_t pid = 0;
    struct vc_container_status **list = NULL;
    size_t n = 0;
    int rc = exec_config(vt, a, &document, &proc);
    if (!rc && !a->detach)
        virtc_hold_signals();
    if (!rc && enter && vc_pod_enter(ctx, a->pod, &proc, &id, &pid, &err) < 0)
        rc = virtc_run_code(err);
    else if (!rc && !enter && vc_container_exec(ctx, a->pod, a->container, &proc, &id, &pid, &err) < 0)
        rc = virtc_run_code(err);
    if (err)
        virtc_error(vt, err, rc);
    else if (!rc && a->detach)
        virtc_print_id(vt, id);
    else if (!rc && enter && vc_container_list(ctx, a->pod, &list, &n, &err) < 0)
        rc = virtc_error(vt, err, VIRTC_RUN_FAILED);
    else if (!rc)
        rc = virtc_attend(vt, ctx, a->pod, enter && n ? list[0]->id : a->container, id, pid);
    vc_container_list_free(list, n);
    vc_process_config_free(document);
    free(id);
    return rc;
}

static int do_exec(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    return exec_in(vt, ctx, a, 0);
}

static int do_enter(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    return exec_in(vt, ctx, a, 1);
}

static const struct argp_option exec_opts[] = {
    {"detach", 'd', NULL, 0, "Do not wait for it; print its exec id", 0},
    {"from", ARGS_FROM, "FILE", 0, "Read the process from this JSON document (`-': standard input); options win over it", 0},
    {0}};
static const struct argp_child exec_children[] = {{&process_argp, 0, NULL, 0}, {&stdio_argp, 0, NULL, 0}, {0}};
#define EXEC_CODES \
    "Exit code: that of COMMAND; 128+N when signal N ended it; 127 when there is no such command, 126 when it cannot be " \
    "executed; 125 when virtc itself failed.\n\nCOMMAND has nothing of the container's own program, neither user nor environment " \
    "nor capabilities: what is not said here is as usual, so it is run by root."

int cmd_exec(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_OPTIONAL, .command = 1};
    static const struct argp argp = {
        exec_opts, args_parse, "POD [CONTAINER] -- COMMAND [ARG...]",
        "Run one more command in a running container, pass its output on and exit with its exit code. CONTAINER can be left "
        "out, before `--', when the pod has one only.\v" EXEC_CODES "\n\n"
        "Example:\n  virtc exec -it mypod web -- sh", exec_children, NULL, NULL};
    argp_err_exit_status = VIRTC_RUN_FAILED; /* the lower codes are the command's */
    return virtc_with_args(vt, argc, argv, &argp, &a, do_exec);
}

int cmd_enter(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_POD, .command = 1};
    static const struct argp argp = {
        exec_opts, args_parse, "POD [--] COMMAND [ARG...]",
        "Run a command in the root of a pod's first container, pass its output on and exit with its exit code.\v" EXEC_CODES,
        exec_children, NULL, NULL};
    argp_err_exit_status = VIRTC_RUN_FAILED;
    return virtc_with_args(vt, argc, argv, &argp, &a, do_enter);
}

static int do_kill(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    if (a->rest.n && a->signal)
        return virtc_complain(vt, VIRTC_USAGE, "which signal, %s or %s? It is said once", a->signal, a->rest.v[0]);
    const char *name = a->rest.n ? a->rest.v[0] : a->signal;
    int sig = name ? parse_signal(name) : SIGTERM;
    if (sig < 0)
        return virtc_complain(vt, VIRTC_USAGE, "\"%s\" is not a signal; use a name such as TERM or a number from 1 to 64", name);
    vc_error *err = NULL;
    if (vc_container_kill(ctx, a->pod, a->container, a->exec_id, sig, a->flags, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    if (vt->json)
        virtc_print_id(vt, a->container);
    return 0;
}

int cmd_kill(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_OPTIONAL, .max_rest = 1};
    static const struct argp_option opts[] = {
        {"all", ARGS_ALL, NULL, 0, "To every process of the container, not the first alone", 0},
        {"exec", ARGS_EXEC, "ID", 0, "To the command that `virtc exec --detach' named so", 0},
        {"signal", 's', "SIGNAL", 0, "The signal, by name or number (default: TERM)", 0},
        {0}};
    static const struct argp argp = {opts, args_parse, "POD [CONTAINER [SIGNAL]]",
                                     "Send a signal to a container's first process. CONTAINER can be left out when the pod has one only.",
                                     NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_kill);
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

int cmd_wait(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_OPTIONAL};
    static const struct argp_option opts[] = {
        {"timeout", 'T', "SECONDS", 0, "Give up after this time (default: wait for ever)", 0},
        {"exec", ARGS_EXEC, "ID", 0, "For the command that `virtc exec --detach' named so", 0},
        {0}};
    static const struct argp argp = {opts, args_parse, "POD [CONTAINER]",
                                     "Wait until a container's first process has ended, and print its exit code. One that has ended is known "
                                     "until it is deleted.", NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_wait);
}

static int do_resize(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    struct winsize ws = {0};
    vc_error *err = NULL;
    if ((!a->rows || !a->cols) && (ioctl(1, TIOCGWINSZ, &ws) < 0 || !ws.ws_row || !ws.ws_col))
        return virtc_complain(vt, VIRTC_USAGE, "standard output is no terminal whose size could be taken; say --rows and --cols");
    if (vc_container_resize(ctx, a->pod, a->container, a->exec_id, a->rows ? (uint32_t)a->rows : ws.ws_row,
                            a->cols ? (uint32_t)a->cols : ws.ws_col, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    if (vt->json)
        virtc_print_id(vt, a->container);
    return 0;
}

int cmd_resize(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_OPTIONAL};
    static const struct argp_option opts[] = {
        {"rows", ARGS_ROWS, "N", 0, "Its height (default: that of this terminal)", 0},
        {"cols", ARGS_COLS, "N", 0, "Its width (likewise)", 0},
        {"exec", ARGS_EXEC, "ID", 0, "That of the command that `virtc exec --detach' named so", 0},
        {0}};
    static const struct argp argp = {opts, args_parse, "POD [CONTAINER]", "Set the size of a container's terminal.", NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_resize);
}
