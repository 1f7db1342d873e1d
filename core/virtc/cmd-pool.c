/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-pool.c: the `virtc pool` commands. */
#include "virtc.h"

#include <stdlib.h>
#include <string.h>

const char pool_doc[] =
    "\nThe pool holds VMs that were started from the template beforehand and wait, paused, for a pod: a pod that finds one\n"
    "starts without waiting for a VM; one that finds none starts from the template. It is filled by `virtc pool fill'\n"
    "alone, nothing refills it by itself. Its VMs have the configured size: a pod that asks for memory or processors of\n"
    "its own starts from the template.\n";

struct fill_args {
    long n;
};

static error_t fill_parse(int key, char *arg, struct argp_state *state)
{
    struct fill_args *a = state->input;
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (a->n)
        argp_error(state, "unexpected \"%s\"", arg);
    if (parse_int(arg, 1, 1024, &a->n) < 0)
        argp_error(state, "the number of VMs must be from 1 to 1024, not \"%s\"", arg);
    return 0;
}

/* Takes as long as starting so many VMs, and signals cancel it. */
struct fill_call {
    vc_context *ctx;
    uint32_t n, made;
    vc_error *err;
};
static int call_fill(void *arg)
{
    struct fill_call *c = arg;
    return vc_pool_fill(c->ctx, c->n, &c->made, &c->err);
}

static int pool_fill(struct virtc *vt, int argc, char **argv)
{
    struct fill_args a = {0};
    static const struct argp argp = {
        NULL, fill_parse, "[N]",
        "Start VMs until N of this configuration wait in the pool (default: the key `pool' of the configuration, 0 unless "
        "set), making the template first when there is none. Prints how many were added.", NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = virtc_parse(vt, &argp, 0, argc, argv, &a) ? VIRTC_USAGE : virtc_open(vt, &ctx), sig;
    if (rc)
        return rc;
    struct fill_call c = {.ctx = ctx, .n = (uint32_t)a.n};
    if (virtc_cancellable(ctx, call_fill, &c, &sig) < 0)
        rc = virtc_error(vt, c.err, VIRTC_FAILED);
    else
        printf(vt->json ? "{\"added\":%u}\n" : "%u\n", c.made);
    vc_context_free(ctx);
    if (sig)
        virtc_die_of(sig);
    return rc;
}

static void print_table(const struct virtc *vt, struct vc_pool_vm *const *list, size_t n)
{
    enum { COLUMNS = 5 };
    const char **cells = calloc((n + 1) * COLUMNS, sizeof *cells);
    char(*words)[2][24] = calloc(n + 1, sizeof *words);
    if (cells && words) {
        static const char *const heading[COLUMNS] = {"VM ID", "PID", "AGE", "TEMPLATE ID", "STATE"};
        memcpy(cells, heading, sizeof heading);
        for (size_t i = 0; i < n; i++) {
            snprintf(words[i][0], sizeof words[i][0], list[i]->vmm_pid > 0 ? "%d" : "-", list[i]->vmm_pid);
            virtc_print_age(words[i][1], list[i]->created_ns);
            const char *row[COLUMNS] = {list[i]->id, words[i][0], list[i]->created_ns ? words[i][1] : "-",
                                        list[i]->template_id ? list[i]->template_id : "-",
                                        list[i]->problem ? list[i]->problem : "waits"};
            memcpy(cells + (i + 1) * COLUMNS, row, sizeof row);
        }
        virtc_table(vt, cells, COLUMNS, n + 1);
    }
    free(cells);
    free(words);
}

static void print_json(struct vc_pool_vm *const *list, size_t n)
{
    putchar('[');
    for (size_t i = 0; i < n; i++) {
        const char *const fields[][2] = {{"id", list[i]->id}, {"template_id", list[i]->template_id}, {"problem", list[i]->problem}};
        printf("%s{\"vmm_pid\":%d,\"created_ns\":%lld", i ? "," : "", list[i]->vmm_pid, (long long)list[i]->created_ns);
        for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) {
            printf(",\"%s\":", fields[k][0]);
            if (fields[k][1])
                virtc_json_string(fields[k][1]);
            else
                fputs("null", stdout);
        }
        putchar('}');
    }
    puts("]");
}

static int pool_status(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {NULL, none_parse, "", "Show the VMs that wait in the pool.", NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = virtc_parse(vt, &argp, 0, argc, argv, NULL) ? VIRTC_USAGE : virtc_open(vt, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    struct vc_pool_vm **list = NULL;
    size_t n = 0;
    if (vc_pool_list(ctx, &list, &n, &err) < 0)
        rc = virtc_error(vt, err, VIRTC_FAILED);
    else if (vt->json)
        print_json(list, n);
    else
        print_table(vt, list, n);
    vc_pool_list_free(list, n);
    vc_context_free(ctx);
    return rc;
}

static int pool_drain(struct virtc *vt, int argc, char **argv)
{
    static const struct argp argp = {NULL, none_parse, "", "End all VMs that wait in the pool. Prints how many there were.", NULL, NULL, NULL};
    vc_context *ctx = NULL;
    int rc = virtc_parse(vt, &argp, 0, argc, argv, NULL) ? VIRTC_USAGE : virtc_open(vt, &ctx);
    if (rc)
        return rc;
    vc_error *err = NULL;
    uint32_t n = 0;
    if (vc_pool_drain(ctx, &n, &err) < 0)
        rc = virtc_error(vt, err, VIRTC_FAILED);
    else
        printf(vt->json ? "{\"ended\":%u}\n" : "%u\n", n);
    vc_context_free(ctx);
    return rc;
}

const struct command pool_commands[] = {
    {"fill", "[N]", "Start VMs until N wait", pool_fill, NULL, NULL},
    {"status", "", "Show those that wait", pool_status, NULL, NULL},
    {"drain", "", "End them all", pool_drain, NULL, NULL},
    {0}};
