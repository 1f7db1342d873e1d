/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: virtc, the command line of libvccore: global options and the choice of the command. */
#include "virtc.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_version(FILE *f, struct argp_state *state)
{
    (void)state;
    fprintf(f, "virtc (libvccore) %s\n", vc_version());
}

static const struct command commands[] = {
    {"run", "[OPTION...] [--] COMMAND [ARG...]", "Run a command in a container in a VM of its own", cmd_run},
    {"pod", "create|start|stop|delete|status|list", "Work with pods: virtual machines that hold containers", NULL},
    {"container", "create|start|exec|kill|wait|stop|delete|status|list", "Work with the containers of a pod", NULL},
    {"template", "create|list|show|delete|gc", "Work with templates: saved VMs that pods start from", NULL},
    {"pool", "fill|status|drain", "Keep VMs ready that were started beforehand", NULL},
    {"plugin", "list|help NAME", "Show the installed plugins and their options", NULL},
    {"config", "check|show", "Check or show the configuration", NULL},
    {"gc", "", "Remove what commands that were killed have left behind", cmd_gc},
    {0}};

static const char main_doc[] =
    "Run containers inside virtual machines.\n\n"
    "A pod is one virtual machine; any number of containers runs in it. Which hypervisor makes the machine, and "
    "which agent, proxy, shim and network are used, is chosen by name in the configuration file; each is a plugin.\n";

enum { OPT_LOG_LEVEL = 0x200, OPT_LOG_FORMAT, OPT_LOG };
static const struct argp_option main_opts[] = {
    {"config", 'c', "FILE", 0, "Read this configuration file (default: $VCCORE_CONFIG, or vccore.conf in the system's place)", 0},
    {"set", 's', "KEY=VALUE", 0, "Set one value over the files, such as hypervisor=mock or hypervisor_qemu.memory=512M (may be repeated)", 0},
    {"json", 'j', NULL, 0, "Print results and errors as JSON", 0},
    {"log-level", OPT_LOG_LEVEL, "LEVEL", 0, "error, warn (default), info or debug", 0},
    {"log-format", OPT_LOG_FORMAT, "FORMAT", 0, "text (default) or json", 0},
    {"log", OPT_LOG, "FILE", 0, "Append log lines to this file (default: standard error)", 0},
    {"debug", 'd', NULL, 0, "The same as --log-level=debug", 0},
    {0}};

struct main_args {
    struct virtc *vt;
    const char *log_file;
    int next; /* index of the command in argv */
    int argc;
};

static error_t main_parse(int key, char *arg, struct argp_state *state)
{
    struct main_args *a = state->input;
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    switch (key) {
    case 'c': a->vt->options.config_file = arg; return 0;
    case 's': {
        if (!strchr(arg, '='))
            argp_error(state, "--set wants KEY=VALUE, not \"%s\"", arg);
        struct words w = {a->vt->overrides, a->vt->n_overrides};
        int rc = words_add(&w, arg);
        a->vt->overrides = w.v;
        a->vt->n_overrides = w.n;
        return rc;
    }
    case 'j': a->vt->json = 1; return 0;
    case 'd': a->vt->options.log_level = 4; return 0;
    case OPT_LOG_LEVEL:
        for (uint32_t i = 0; i < 4; i++)
            if (strcmp(arg, levels[i]) == 0) {
                a->vt->options.log_level = i + 1;
                return 0;
            }
        argp_error(state, "--log-level wants error, warn, info or debug, not \"%s\"", arg);
        return 0;
    case OPT_LOG_FORMAT:
        if (strcmp(arg, "text") != 0 && strcmp(arg, "json") != 0)
            argp_error(state, "--log-format wants text or json, not \"%s\"", arg);
        a->vt->options.log_format = strcmp(arg, "json") == 0 ? VC_LOG_FORMAT_JSON : VC_LOG_FORMAT_TEXT;
        return 0;
    case OPT_LOG: a->log_file = arg; return 0;
    case ARGP_KEY_ARG:
        a->next = state->next - 1;
        state->next = state->argc; /* the rest is the command's */
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* The commands as a block of help text. */
static char *help_filter(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)text;
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);
    if (!f)
        return NULL;
    fputs("Commands:\n", f);
    for (const struct command *c = commands; c->name; c++)
        fprintf(f, "  %-10s %s\n", c->name, c->doc);
    fputs("\n`virtc COMMAND --help' tells more about each.\n\n"
          "Example:\n  virtc run --rootfs ./rootfs -- sh -c 'uname -r; id'\n", f);
    fclose(f);
    return out;
}

static void print_group_help(FILE *f, const char *name, const char *doc, const struct command *table)
{
    fprintf(f, "Usage: %s COMMAND [OPTION...]\n%s\nCommands:\n", name, doc);
    for (const struct command *c = table; c->name; c++)
        fprintf(f, "  %-8s %-41s %s\n", c->name, c->usage, c->doc);
    fprintf(f, "\n`%s COMMAND --help' tells more about each.\n", name);
}

int virtc_dispatch(struct virtc *vt, const struct command *table, const char *doc, int argc, char **argv)
{
    if (argc < 2) {
        print_group_help(stderr, argv[0], doc, table);
        return VIRTC_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "-?") == 0) {
        print_group_help(stdout, argv[0], doc, table);
        return 0;
    }
    for (const struct command *c = table; c->name; c++)
        if (strcmp(c->name, argv[1]) == 0) {
            char name[64];
            snprintf(name, sizeof name, "%s %s", argv[0], c->name);
            argv[1] = name;
            return c->run(vt, argc - 1, argv + 1);
        }
    return virtc_complain(vt, VIRTC_USAGE, "there is no command \"%s %s\"; see `%s --help'", argv[0], argv[1], argv[0]);
}

int virtc_open(struct virtc *vt, vc_context **ret)
{
    vc_error *err = NULL;
    vt->options.overrides = (const char *const *)vt->overrides;
    vt->options.progress = vt->json ? NULL : virtc_progress;
    *ret = NULL;
    if (vc_context_new(&vt->options, ret, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    return 0;
}

static int run_command(struct virtc *vt, int argc, char **argv)
{
    static const struct {
        const char *name, *full, *doc;
        const struct command *table;
    } groups[] = {{"pod", "virtc pod", pod_doc, pod_commands},
                  {"container", "virtc container", container_doc, container_commands},
                  {"template", "virtc template", template_doc, template_commands},
                  {"pool", "virtc pool", pool_doc, pool_commands},
                  {"plugin", "virtc plugin", plugin_doc, plugin_commands},
                  {"config", "virtc config", config_doc, config_commands}};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strcmp(argv[0], groups[i].name) == 0) {
            char name[32];
            snprintf(name, sizeof name, "%s", groups[i].full);
            argv[0] = name;
            return virtc_dispatch(vt, groups[i].table, groups[i].doc, argc, argv);
        }
    for (const struct command *c = commands; c->name; c++)
        if (c->run && strcmp(argv[0], c->name) == 0) {
            char name[32];
            snprintf(name, sizeof name, "virtc %s", c->name);
            argv[0] = name;
            return c->run(vt, argc, argv);
        }
    return virtc_complain(vt, VIRTC_USAGE, "there is no command \"%s\"; the commands are run, pod, container, template, pool, plugin, "
                           "config and gc (see `virtc --help')", argv[0]);
}

/* Without descriptors 0 to 2, what is opened next would get their numbers, and so the container's streams. */
static int fill_standard_fds(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", (fd ? O_WRONLY : O_RDONLY) | O_CLOEXEC) < 0)
            return -1;
    return 0;
}

/* argp ends the program itself after --help, --usage and --version. */
static void flush_at_exit(void)
{
    static const struct virtc plain;
    if (virtc_flush_stdout(&plain, 0))
        _exit(VIRTC_FAILED);
}

int main(int argc, char **argv)
{
    if (fill_standard_fds() < 0)
        return VIRTC_FAILED;
    struct virtc vt = {0};
    VC_INIT(&vt.options);
    vt.options.log_fd = 2;
    /* A reader of our output or log that goes away must not end us in the middle of an operation. */
    signal(SIGPIPE, SIG_IGN);
    atexit(flush_at_exit);
    virtc_last_words(&vt);
    argp_program_version_hook = print_version;
    argp_err_exit_status = VIRTC_USAGE;
    struct main_args a = {.vt = &vt, .argc = argc};
    static const struct argp argp = {main_opts, main_parse, "COMMAND [OPTION...]", main_doc, NULL, help_filter, NULL};
    if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a))
        return VIRTC_USAGE;
    if (!a.next) {
        argp_help(&argp, stderr, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK, argv[0]);
        return VIRTC_USAGE;
    }
    FILE *log = NULL;
    if (a.log_file) {
        log = fopen(a.log_file, "ae");
        if (!log)
            return virtc_complain(&vt, VIRTC_FAILED, "cannot open the log file %s: %m", a.log_file);
        vt.options.log_fd = fileno(log);
    }
    int rc = run_command(&vt, argc - a.next, argv + a.next);
    rc = virtc_flush_stdout(&vt, rc);
    if (log)
        fclose(log);
    struct words w = {vt.overrides, vt.n_overrides};
    words_free(&w);
    return rc;
}
