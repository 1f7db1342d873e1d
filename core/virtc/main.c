/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: virtc, the command line of libvccore: global options and the choice of the command. */
#include "virtc.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_version(FILE *f, struct argp_state *state)
{
    (void)state;
    fprintf(f, "virtc (libvccore) %s\n", vc_version());
}

static const char *const pod_docp = pod_doc, *const container_docp = container_doc, *const template_docp = template_doc,
    *const pool_docp = pool_doc, *const plugin_docp = plugin_doc, *const config_docp = config_doc;

const struct command virtc_commands[] = {
    {"run", "[OPTION...] [--] COMMAND [ARG...]", "Run a command in a container in a VM of its own", cmd_run, NULL, NULL},
    {"pod", "COMMAND", "Work with pods: virtual machines that hold containers", NULL, pod_commands, &pod_docp},
    {"container", "COMMAND", "Work with the containers of a pod", NULL, container_commands, &container_docp},
    {"exec", "[OPTION...] POD [CONTAINER] -- COMMAND...", "Run one more command in a container", cmd_exec, NULL, NULL},
    {"attach", "[OPTION...] POD [CONTAINER]", "See a running container's output, and write to its input", cmd_attach, NULL, NULL},
    {"ps", "POD [CONTAINER] [-- ARG...]", "Show the processes of a container", cmd_ps, NULL, NULL},
    {"kill", "[OPTION...] POD [CONTAINER [SIGNAL]]", "Send a signal to a container", cmd_kill, NULL, NULL},
    {"wait", "[OPTION...] POD [CONTAINER]", "Wait for a container's end and print its exit code", cmd_wait, NULL, NULL},
    {"stats", "[OPTION...] [POD [CONTAINER]]", "Show what containers use", cmd_stats, NULL, NULL},
    {"events", "[OPTION...] [POD]", "Show what happens to pods and containers", cmd_events, NULL, NULL},
    {"logs", "[OPTION...] POD", "Show what a guest has written to its console", cmd_logs, NULL, NULL},
    {"template", "COMMAND", "Work with templates: saved VMs that pods start from", NULL, template_commands, &template_docp},
    {"pool", "COMMAND", "Keep VMs ready that were started beforehand", NULL, pool_commands, &pool_docp},
    {"plugin", "COMMAND", "Show the installed plugins and their options", NULL, plugin_commands, &plugin_docp},
    {"config", "COMMAND", "Check or show the configuration", NULL, config_commands, &config_docp},
    {"gc", "", "Remove what commands that were killed have left behind", cmd_gc, NULL, NULL},
    {"completion", "bash|zsh|fish", "Print a script for the completion of a shell", cmd_completion, NULL, NULL},
    {0}};

static const char main_doc[] =
    "Run containers inside virtual machines.\n\n"
    "A pod is one virtual machine; any number of containers runs in it. Which hypervisor makes the machine, and "
    "which agent, proxy, shim and network are used, is chosen by name in the configuration file; each is a plugin.\n";

enum { OPT_LOG_LEVEL = 0x200, OPT_LOG_FORMAT, OPT_LOG, OPT_ROOT };
static const struct argp_option main_opts[] = {
    {"config", 'c', "FILE", 0, "Read this configuration file (default: $VCCORE_CONFIG, or vccore.conf in the system's place)", 0},
    {"set", 's', "KEY=VALUE", 0, "Set one value over the files, such as hypervisor=mock or hypervisor_qemu.memory=512M (may be repeated)", 0},
    {"root", OPT_ROOT, "DIR", 0, "Keep all that belongs to pods below this directory (sets run_root and state_root)", 0},
    {"json", 'j', NULL, 0, "Print results and errors as JSON", 0},
    {"quiet", 'q', NULL, 0, "Of tables only the ids; no word of what is going on", 0},
    {"no-headers", 'N', NULL, 0, "Tables without their headings", 0},
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

static error_t add_override(struct virtc *vt, const char *text)
{
    struct words w = {vt->overrides, vt->n_overrides};
    error_t rc = words_add(&w, text);
    vt->overrides = w.v;
    vt->n_overrides = w.n;
    return rc;
}

static error_t set_root(struct virtc *vt, const char *dir, struct argp_state *state)
{
    char path[PATH_MAX], text[PATH_MAX + 32], *cwd = NULL;
    if (!*dir)
        argp_error(state, "--root wants a directory");
    if (*dir != '/' && !(cwd = getcwd(NULL, 0)))
        argp_error(state, "--root: cannot tell the working directory: %m");
    int n = snprintf(path, sizeof path, "%s%s%s", cwd ? cwd : "", cwd ? "/" : "", dir);
    free(cwd);
    if (n >= (int)sizeof path)
        argp_error(state, "--root: the path is too long");
    error_t rc = 0;
    static const char *const roots[][2] = {{"run_root", "run"}, {"state_root", "state"}};
    for (size_t i = 0; i < 2 && !rc; i++) {
        snprintf(text, sizeof text, "%s=%s/%s", roots[i][0], path, roots[i][1]);
        rc = add_override(vt, text);
    }
    return rc;
}

static error_t main_parse(int key, char *arg, struct argp_state *state)
{
    struct main_args *a = state->input;
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    switch (key) {
    case 'c':
        if (!*arg) /* to the library that is the same as none */
            argp_error(state, "--config wants a file; its name is empty");
        a->vt->options.config_file = arg;
        return 0;
    case 's':
        if (!strchr(arg, '='))
            argp_error(state, "--set wants KEY=VALUE, not \"%s\"", arg);
        return add_override(a->vt, arg);
    case OPT_ROOT: return set_root(a->vt, arg, state);
    case 'q': a->vt->quiet = 1; return 0;
    case 'N': a->vt->no_headers = 1; return 0;
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
    for (const struct command *c = virtc_commands; c->name; c++)
        fprintf(f, "  %-10s %s\n", c->name, c->doc);
    fputs("\n`virtc COMMAND --help' tells more about each.\n\n"
          "Example:\n  virtc run --rootfs ./rootfs -- sh -c 'uname -r; id'\n", f);
    fclose(f);
    return out;
}

const struct argp virtc_main_argp = {main_opts, main_parse, "COMMAND [OPTION...]", main_doc, NULL, help_filter, NULL};

static void print_group_help(FILE *f, const char *name, const char *doc, const struct command *table)
{
    fprintf(f, "Usage: %s COMMAND [OPTION...]\n%s\nCommands:\n", name, doc);
    int width = 0;
    for (const struct command *c = table; c->name; c++)
        width = (int)strlen(c->name) > width ? (int)strlen(c->name) : width;
    for (const struct command *c = table; c->name; c++)
        fprintf(f, "  %-*s %-39s %s\n", width, c->name, c->usage, c->doc);
    fprintf(f, "\n`%s COMMAND --help' tells more about each.\n", name);
}

int virtc_dispatch(struct virtc *vt, const struct command *table, const char *doc, int argc, char **argv)
{
    if (argc < 2 && vt->json)
        return virtc_complain(vt, VIRTC_USAGE, "say which command of `%s'; see `%s --help'", argv[0], argv[0]);
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
    vt->options.progress_arg = vt;
    vt->options.phase = virtc_phase;
    vt->options.phase_arg = vt;
    *ret = NULL;
    if (vc_context_new(&vt->options, ret, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    return 0;
}

static int run_command(struct virtc *vt, int argc, char **argv)
{
    char name[64], all[512] = "";
    for (const struct command *c = virtc_commands; c->name; c++)
        if (strcmp(argv[0], c->name) == 0) {
            snprintf(name, sizeof name, "virtc %s", c->name);
            argv[0] = name;
            return c->run ? c->run(vt, argc, argv) : virtc_dispatch(vt, c->sub, *c->sub_doc, argc, argv);
        }
    for (const struct command *c = virtc_commands; c->name; c++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", c == virtc_commands ? "" : c[1].name ? ", " : " and ", c->name);
    return virtc_complain(vt, VIRTC_USAGE, "there is no command \"%s\"; the commands are %s (see `virtc --help')", argv[0], all);
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
    virtc_parse_exit();
    virtc_phase_end();
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
    if (virtc_parse_main(&vt, &virtc_main_argp, argc, argv, &a))
        return VIRTC_USAGE;
    if (!a.next && vt.json)
        return virtc_complain(&vt, VIRTC_USAGE, "say which command; see `virtc --help'");
    if (!a.next) {
        argp_help(&virtc_main_argp, stderr, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK, argv[0]);
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
