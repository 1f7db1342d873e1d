/* SPDX-License-Identifier: Apache-2.0 */
/* options.c: the options that several commands of virtc share. */
#include "virtc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

int words_add(struct words *w, const char *word)
{
    char **v = realloc(w->v, (w->n + 2) * sizeof *v);
    if (!v)
        return ENOMEM;
    w->v = v;
    v[w->n] = strdup(word);
    if (!v[w->n])
        return ENOMEM;
    v[++w->n] = NULL;
    return 0;
}

void words_free(struct words *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->v[i]);
    free(w->v);
    w->v = NULL;
    w->n = 0;
}

int parse_size(const char *text, uint64_t *ret)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno || end == text || *text == '-')
        return -1;
    unsigned shift = 0;
    switch (*end) {
    case 'K': case 'k': shift = 10; end++; break;
    case 'M': case 'm': shift = 20; end++; break;
    case 'G': case 'g': shift = 30; end++; break;
    case 'T': case 't': shift = 40; end++; break;
    default: break;
    }
    if (*end || v > UINT64_MAX >> shift)
        return -1;
    *ret = (uint64_t)v << shift;
    return 0;
}

int parse_int(const char *text, long min, long max, long *ret)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (errno || end == text || *end || v < min || v > max)
        return -1;
    *ret = v;
    return 0;
}

int parse_signal(const char *text)
{
    long n;
    if (parse_int(text, 1, 64, &n) == 0)
        return (int)n;
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    for (int s = 1; s < 32; s++) {
        const char *abbrev = sigabbrev_np(s);
        if (abbrev && strcasecmp(abbrev, text) == 0)
            return s;
    }
    return -1;
}

int parse_template(const char *text, uint32_t *ret)
{
    static const struct {
        const char *name;
        uint32_t value;
    } ways[] = {{"auto", VC_TEMPLATE_AUTO}, {"off", VC_TEMPLATE_OFF}, {"require", VC_TEMPLATE_REQUIRE}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (strcmp(text, ways[i].name) == 0) {
            *ret = ways[i].value;
            return 0;
        }
    return -1;
}

error_t none_parse(int key, char *arg, struct argp_state *state)
{
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    argp_error(state, "unexpected \"%s\"", arg);
    return 0;
}

enum { OPT_STDIN = 0x100, OPT_STDOUT, OPT_STDERR, OPT_GROUP, OPT_CAP, OPT_NNP, OPT_SYSCTL, OPT_RLIMIT, OPT_PIDS,
       OPT_SHARES, OPT_QUOTA, OPT_READONLY, OPT_ANNOTATION };

static const struct argp_option process_opts[] = {
    {NULL, 0, NULL, 0, "The program and its surroundings:", 2},
    {"interactive", 'i', NULL, 0, "Pass this command's standard input on to it (otherwise it reads end of file at once)", 2},
    {"tty", 't', NULL, 0, "Give it a terminal", 2},
    {"env", 'e', "NAME=VALUE", 0, "Add to its environment (may be repeated)", 2},
    {"user", 'u', "USER[:GROUP]", 0, "Run it as this user, by name or number, as the container's /etc/passwd knows them", 2},
    {"group", OPT_GROUP, "GROUP", 0, "One more group for it, by name or number (may be repeated)", 2},
    {"workdir", 'w', "DIR", 0, "Its working directory in the container (default: /)", 2},
    {"cap", OPT_CAP, "CAP_NAME", 0, "Give it exactly the capabilities named so (may be repeated; NONE for none)", 2},
    {"no-new-privs", OPT_NNP, NULL, 0, "It and its children can gain no privileges", 2},
    {0}};

static error_t process_parse(int key, char *arg, struct argp_state *state)
{
    struct process_options *o = state->input;
    int rc = 0;
    switch (key) {
    case 'i': o->interactive = 1; break;
    case 't': o->terminal = 1; break;
    case 'e':
        if (!strchr(arg, '=') || arg[0] == '=')
            argp_error(state, "--env wants NAME=VALUE, not \"%s\"", arg);
        rc = words_add(&o->env, arg);
        break;
    case 'u': o->user = arg; break;
    case 'w': o->cwd = arg; break;
    case OPT_GROUP: rc = words_add(&o->groups, arg); break;
    case OPT_CAP: rc = words_add(&o->caps, arg); break;
    case OPT_NNP: o->no_new_privs = 1; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return rc;
}
const struct argp process_argp = {process_opts, process_parse, NULL, NULL, NULL, NULL, NULL};

static const struct argp_option container_opts[] = {
    {NULL, 0, NULL, 0, "The container:", 1},
    {"rootfs", 'r', "DIR", 0, "Directory that becomes its root (default: rootfs in the working directory)", 0},
    {"name", 'n', "ID", 0, "Its id (default: one is made)", 0},
    {"readonly", OPT_READONLY, NULL, 0, "Nothing can be written to its root; kept by the host, not by the guest", 0},
    {"memory", 'm', "SIZE", 0, "Limit of its memory, such as 64M", 0},
    {"pids-limit", OPT_PIDS, "N", 0, "Limit of its processes", 0},
    {"cpu-shares", OPT_SHARES, "N", 0, "Its weight against other containers of the pod (1024 = one share)", 0},
    {"cpu-quota", OPT_QUOTA, "USEC", 0, "CPU time in microseconds that it may use in each 100000", 0},
    {"sysctl", OPT_SYSCTL, "NAME=VALUE", 0, "Set a kernel parameter of its namespaces (may be repeated)", 0},
    {"rlimit", OPT_RLIMIT, "RLIMIT_X=SOFT:HARD", 0, "Set a resource limit of its first process (may be repeated)", 0},
    {"annotation", OPT_ANNOTATION, "KEY=VALUE", 0, "Note something down with it (may be repeated)", 0},
    {0}};

static error_t container_parse(int key, char *arg, struct argp_state *state)
{
    struct container_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &o->process; return 0;
    case 'r': o->rootfs = arg; return 0;
    case 'n': o->name = arg; return 0;
    case OPT_READONLY: o->readonly = 1; return 0;
    case 'm':
        if (parse_size(arg, &o->memory) < 0 || !o->memory)
            argp_error(state, "--memory wants a size such as 64M, not \"%s\"", arg);
        return 0;
    case OPT_PIDS:
        if (parse_int(arg, 1, INT_MAX, &o->pids) < 0)
            argp_error(state, "--pids-limit wants a number from 1 on, not \"%s\"", arg);
        return 0;
    case OPT_SHARES:
        if (parse_int(arg, 2, 262144, &o->cpu_shares) < 0)
            argp_error(state, "--cpu-shares wants a number from 2 to 262144, not \"%s\"", arg);
        return 0;
    case OPT_QUOTA:
        if (parse_int(arg, 1000, INT_MAX, &o->cpu_quota) < 0)
            argp_error(state, "--cpu-quota wants microseconds from 1000 on, not \"%s\"", arg);
        return 0;
    case OPT_SYSCTL: return words_add(&o->sysctl, arg);
    case OPT_RLIMIT: return words_add(&o->rlimits, arg);
    case OPT_ANNOTATION: return words_add(&o->annotations, arg);
    default: return ARGP_ERR_UNKNOWN;
    }
}
static const struct argp_child container_children[] = {{&process_argp, 0, NULL, 0}, {0}};
const struct argp container_argp = {container_opts, container_parse, NULL, NULL, container_children, NULL, NULL};

static int open_stdio(const struct virtc *vt, const char *path, int flags, int *ret)
{
    *ret = open(path, flags | O_CLOEXEC | O_NOCTTY, 0644);
    if (*ret < 0)
        return virtc_complain(vt, VIRTC_RUN_FAILED, "cannot open %s: %s", path, strerror(errno));
    return 0;
}

/* A terminal has no end of file: a program in one would never see that of a file or a pipe. */
static int check_terminal(const struct virtc *vt, const struct process_options *o, int inherit)
{
    if (!o->terminal)
        return 0;
    if (o->in && !isatty(o->fds[0]))
        return virtc_complain(vt, VIRTC_RUN_FAILED, "%s is not a terminal, and with -t the command would never see its end; leave out -t", o->in);
    if (!o->in && inherit && o->interactive && !isatty(0))
        return virtc_complain(vt, VIRTC_RUN_FAILED, "standard input is not a terminal, and with -t the command would never see its end; "
                              "leave out -t, or -i when it needs no input");
    return 0;
}

int process_config(const struct virtc *vt, struct process_options *o, int inherit, struct vc_process_config *ret)
{
    VC_INIT(ret);
    ret->args = (const char *const *)o->args.v;
    ret->env = (const char *const *)o->env.v;
    ret->cwd = o->cwd;
    ret->user = o->user;
    ret->groups = (const char *const *)o->groups.v;
    ret->no_new_privs = (uint32_t)o->no_new_privs;
    ret->terminal = (uint32_t)o->terminal;
    static const char *const no_caps[] = {NULL};
    if (o->caps.n)
        ret->caps = o->caps.n == 1 && strcasecmp(o->caps.v[0], "NONE") == 0 ? no_caps : (const char *const *)o->caps.v;

    int rc = 0;
    for (int i = 0; i < 3; i++)
        o->fds[i] = -1;
    if (o->in && (rc = open_stdio(vt, o->in, O_RDONLY, &o->fds[0])))
        return rc;
    if (o->out && (rc = open_stdio(vt, o->out, O_WRONLY | O_CREAT | O_TRUNC, &o->fds[1])))
        return rc;
    if (o->err && o->out && strcmp(o->err, o->out) == 0)
        o->fds[2] = fcntl(o->fds[1], F_DUPFD_CLOEXEC, 3);
    else if (o->err && (rc = open_stdio(vt, o->err, O_WRONLY | O_CREAT | O_TRUNC, &o->fds[2])))
        return rc;
    if ((rc = check_terminal(vt, o, inherit)))
        return rc;

    ret->use_stdio = 1;
    for (int i = 0; i < 3; i++)
        ret->stdio[i] = o->fds[i] >= 0 ? o->fds[i] : inherit && (i || o->interactive) ? i : -1;
    struct winsize ws;
    if (o->terminal && inherit && ioctl(1, TIOCGWINSZ, &ws) == 0) {
        ret->rows = ws.ws_row;
        ret->cols = ws.ws_col;
    }
    return 0;
}

void process_options_done(struct process_options *o)
{
    words_free(&o->args);
    words_free(&o->env);
    words_free(&o->groups);
    words_free(&o->caps);
    if (o->in && o->fds[0] > 2)
        close(o->fds[0]);
    if (o->out && o->fds[1] > 2)
        close(o->fds[1]);
    if (o->err && o->fds[2] > 2)
        close(o->fds[2]);
}

int container_config(const struct virtc *vt, struct container_options *o, int inherit, struct vc_process_config *proc,
                     struct vc_container_config *ret)
{
    int rc = process_config(vt, &o->process, inherit, proc);
    if (rc)
        return rc;
    VC_INIT(ret);
    ret->id = o->name;
    ret->rootfs = o->rootfs ? o->rootfs : "rootfs";
    if (!o->rootfs && access(ret->rootfs, F_OK) < 0 && errno == ENOENT)
        return virtc_complain(vt, inherit ? VIRTC_RUN_FAILED : VIRTC_FAILED,
                              "there is no directory rootfs here; name the container's root directory with --rootfs");
    ret->readonly_rootfs = (uint32_t)o->readonly;
    ret->process = proc;
    ret->annotations = (const char *const *)o->annotations.v;
    ret->sysctl = (const char *const *)o->sysctl.v;
    ret->rlimits = (const char *const *)o->rlimits.v;
    ret->memory_limit = o->memory;
    ret->pids_limit = o->pids;
    ret->cpu_shares = (uint64_t)o->cpu_shares;
    ret->cpu_quota = o->cpu_quota;
    return 0;
}

void container_options_done(struct container_options *o)
{
    process_options_done(&o->process);
    words_free(&o->sysctl);
    words_free(&o->rlimits);
    words_free(&o->annotations);
}
