/* SPDX-License-Identifier: Apache-2.0 */
/* parse.c: reading of options: those that every command has, and complaints about wrong ones as JSON. */
#include "virtc.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { OPT_JSON = 0x800, OPT_QUIET, OPT_NO_HEADERS };
static const struct argp_option output_opts[] = {
    {NULL, 0, NULL, 0, "Output:", 9},
    {"json", OPT_JSON, NULL, 0, "Print results and errors as JSON", 9},
    {"quiet", OPT_QUIET, NULL, 0, "Of tables only the ids; no word of what is going on", 9},
    {"no-headers", OPT_NO_HEADERS, NULL, 0, "Tables without their headings", 9},
    {0}};

static error_t output_parse(int key, char *arg, struct argp_state *state)
{
    struct virtc *vt = state->input;
    (void)arg;
    switch (key) {
    case OPT_JSON: vt->json = 1; return 0;
    case OPT_QUIET: vt->quiet = 1; return 0;
    case OPT_NO_HEADERS: vt->no_headers = 1; return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}
const struct argp output_argp = {output_opts, output_parse, NULL, NULL, NULL, NULL, NULL};

/* argp complains on standard error in its own form. With --json that is caught, and said as all errors are. */
static int caught = -1, real_stderr = -1;
static char caught_name[64];

static int wants_json(const struct virtc *vt, char **argv)
{
    if (vt->json)
        return 1;
    for (char **p = argv + 1; *p && strcmp(*p, "--") != 0; p++)
        if (strcmp(*p, "--json") == 0 || strcmp(*p, "-j") == 0)
            return 1;
    return 0;
}

static void catch_begin(const char *name)
{
    snprintf(caught_name, sizeof caught_name, "%s: ", name);
    caught = memfd_create("virtc-usage", MFD_CLOEXEC);
    real_stderr = caught < 0 ? -1 : fcntl(2, F_DUPFD_CLOEXEC, 3);
    if (real_stderr >= 0)
        dup2(caught, 2);
}

static void catch_end(void)
{
    char text[1024];
    if (caught < 0)
        return;
    ssize_t n = real_stderr < 0 ? 0 : pread(caught, text, sizeof text - 1, 0);
    if (real_stderr >= 0) {
        dup2(real_stderr, 2);
        close(real_stderr);
    }
    close(caught);
    caught = -1;
    if (n <= 0)
        return;
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    size_t skip = strncmp(text, caught_name, strlen(caught_name)) == 0 ? strlen(caught_name) : 0;
    struct virtc json = {.json = 1};
    virtc_complain(&json, VIRTC_USAGE, "%s", text + skip);
}

void virtc_parse_exit(void)
{
    catch_end();
}

int virtc_parse_main(struct virtc *vt, const struct argp *argp, int argc, char **argv, void *input)
{
    /* What stands behind the command's name is the command's, but whoever asks for JSON there wants it here, too. */
    if (wants_json(vt, argv))
        catch_begin(argv[0]);
    error_t rc = argp_parse(argp, argc, argv, ARGP_IN_ORDER, NULL, input);
    catch_end();
    return rc ? VIRTC_USAGE : 0;
}

/* The input of a command's parser, and of that of the common options. */
struct inputs {
    struct virtc *vt;
    void *input;
};

static error_t share_parse(int key, char *arg, struct argp_state *state)
{
    struct inputs *in = state->input;
    (void)arg;
    if (key != ARGP_KEY_INIT)
        return ARGP_ERR_UNKNOWN;
    state->child_inputs[0] = in->input;
    state->child_inputs[1] = in->vt;
    return 0;
}

int virtc_parse(struct virtc *vt, const struct argp *argp, unsigned flags, int argc, char **argv, void *input)
{
    const struct argp_child children[] = {{argp, 0, NULL, 0}, {&output_argp, 0, NULL, 0}, {0}};
    const struct argp all = {NULL, share_parse, NULL, NULL, children, NULL, NULL};
    struct inputs in = {vt, input};
    if (vt->collect) {
        vt->collect(vt->collect_arg, &all);
        return VIRTC_USAGE;
    }
    if (wants_json(vt, argv))
        catch_begin(argv[0]);
    error_t rc = argp_parse(&all, argc, argv, flags, NULL, &in);
    catch_end();
    return rc ? VIRTC_USAGE : 0;
}
