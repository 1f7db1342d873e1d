/* SPDX-License-Identifier: Apache-2.0 */
/* args.c: reading of POD [CONTAINER] and of the options that commands about containers share. */
#include "virtc.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

int virtc_container_id(const struct virtc *vt, vc_context *ctx, const char *pod, const char *container, int exit_code, char **ret)
{
    vc_error *err = NULL;
    struct vc_container_status **list = NULL;
    size_t n = 0;
    int rc = 0;
    if (!container && vc_container_list(ctx, pod, &list, &n, &err) < 0)
        return virtc_error(vt, err, exit_code);
    if (container || n == 1) {
        *ret = strdup(container ? container : list[0]->id);
        rc = *ret ? 0 : virtc_complain(vt, exit_code, "out of memory");
    } else if (!n) {
        rc = virtc_complain(vt, exit_code, "pod \"%s\" has no container", pod);
    } else {
        char names[256] = "";
        for (size_t i = 0; i < n && strlen(names) < sizeof names - 8; i++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", list[i]->id);
        rc = virtc_complain(vt, exit_code, "pod \"%s\" has %zu containers; say which: %s", pod, n, names);
    }
    vc_container_list_free(list, n);
    return rc;
}

/* A word that is no option.  `quoted`: it stands behind "--". */
static error_t take_word(struct ctr_args *a, char *arg, struct argp_state *state)
{
    int quoted = state->quoted && state->next > state->quoted;
    struct words *rest = a->command ? &a->c.process.args : &a->rest;
    if (!a->pod && !(quoted && a->ids == ARG_OPTIONAL)) {
        a->pod = arg;
        return 0;
    }
    if (a->ids != ARG_POD && a->ids != ARG_ANY_POD && !a->container && !(quoted && a->ids == ARG_OPTIONAL)) {
        a->container = arg;
        return 0;
    }
    if (!a->command && (int)rest->n >= a->max_rest)
        argp_error(state, "unexpected \"%s\"", arg);
    error_t rc = words_add(rest, arg);
    for (; a->command && state->next < state->argc && !rc; state->next++) /* its options are its own */
        rc = words_add(rest, state->argv[state->next]);
    return rc;
}

static void take_number(struct argp_state *state, const char *option, const char *arg, long least, long most, long *ret)
{
    if (parse_int(arg, least, most, ret) < 0)
        argp_error(state, "%s wants a number from %ld to %ld, not \"%s\"", option, least, most, arg);
}

error_t args_parse(int key, char *arg, struct argp_state *state)
{
    struct ctr_args *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT: /* only those commands have shared options */
        if (a->command) {
            state->child_inputs[0] = a->command == 2 ? (void *)&a->c : (void *)&a->c.process;
            state->child_inputs[1] = &a->c.process;
        } else if (state->child_inputs) {
            state->child_inputs[0] = &a->limits;
        }
        return 0;
    case ARGS_ALL: a->flags |= VC_KILL_ALL; return 0;
    case ARGS_EXEC: a->exec_id = arg; return 0;
    case ARGS_STREAM: a->stream = 1; return 0;
    case ARGS_ROWS: take_number(state, "--rows", arg, 1, 65535, &a->rows); return 0;
    case ARGS_COLS: take_number(state, "--cols", arg, 1, 65535, &a->cols); return 0;
    case ARGS_INTERVAL: take_number(state, "--interval", arg, 1, 3600, &a->interval); return 0;
    case ARGS_FROM: a->from = a->c.from = arg; return 0;
    case 'i': a->interactive = 1; return 0;
    case ARGS_STOPPED: a->until_stopped = 1; return 0;
    case ARGS_LINES: take_number(state, "--lines", arg, 1, 1000000, &a->lines); return 0;
    case ARGS_FORMAT:
        if (strcmp(arg, "json") != 0 && strcmp(arg, "table") != 0)
            argp_error(state, "--format wants json or table, not \"%s\"", arg);
        a->format = strcmp(arg, "json") == 0 ? VC_PS_JSON : VC_PS_TABLE;
        return 0;
    case 's': a->signal = arg; return 0;
    case 'f': a->flags |= VC_FORCE; return 0;
    case 'd': a->detach = 1; return 0;
    case 'T':
        if (parse_int(arg, 0, INT_MAX / 1000, &a->timeout) < 0)
            argp_error(state, "--timeout wants seconds, not \"%s\"", arg);
        return 0;
    case ARGP_KEY_ARG: return take_word(a, arg, state);
    case ARGP_KEY_END:
        if (!a->pod && a->ids < ARG_ANY)
            argp_error(state, a->ids == ARG_POD ? "say which pod" : "say which pod and which container");
        else if (a->ids == ARG_CONTAINER && !a->container)
            argp_error(state, "say which container of pod %s", a->pod);
        if (a->command && !a->c.process.args.n && !a->from)
            argp_error(state, "say which command to run, after --");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

int virtc_with_args(struct virtc *vt, int argc, char **argv, const struct argp *argp, struct ctr_args *a,
                    int (*call)(struct virtc *, vc_context *, struct ctr_args *))
{
    vc_context *ctx = NULL;
    VC_INIT(&a->limits);
    a->timeout = -1;
    int code = argp_err_exit_status == VIRTC_RUN_FAILED ? VIRTC_RUN_FAILED : VIRTC_FAILED;
    int rc = virtc_parse(vt, argp, ARGP_IN_ORDER, argc, argv, a) ? VIRTC_USAGE : virtc_open(vt, &ctx) ? code : 0;
    if (!rc && a->ids == ARG_OPTIONAL && !a->container && !(rc = virtc_container_id(vt, ctx, a->pod, NULL, code, &a->id)))
        a->container = a->id;
    if (!rc)
        rc = call(vt, ctx, a);
    container_options_done(&a->c);
    words_free(&a->rest);
    free(a->id);
    vc_context_free(ctx);
    return rc;
}
