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

int words_merge(struct words *ret, const char *const *base, const struct words *flags)
{
    int rc = 0;
    for (size_t i = 0; base && base[i] && !rc; i++) {
        size_t key = strcspn(base[i], "=") + 1;
        int replaced = 0;
        for (size_t k = 0; k < flags->n; k++)
            replaced |= strncmp(flags->v[k], base[i], key) == 0;
        rc = replaced ? 0 : words_add(ret, base[i]);
    }
    for (size_t k = 0; k < flags->n && !rc; k++)
        rc = words_add(ret, flags->v[k]);
    return rc;
}

int read_document(const struct virtc *vt, int exit_code, const char *path, char **ret)
{
    enum { MOST = 4 << 20 }; /* what the library takes */
    if (!*path)
        return virtc_complain(vt, exit_code, "--from wants a file, or - for standard input; its name is empty");
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    size_t n = 0, room = 65536;
    char *text = f ? malloc(room) : NULL;
    const char *name = f == stdin ? "standard input" : path;
    while (text && !feof(f) && !ferror(f) && n <= MOST) {
        n += fread(text + n, 1, room - 1 - n, f);
        if (n + 1 < room)
            continue;
        char *more = realloc(text, room *= 2);
        if (!more)
            free(text);
        text = more;
    }
    int bad = !text || ferror(f) || n > MOST, saved = errno;
    if (f && f != stdin)
        fclose(f);
    if (bad) {
        free(text);
        return n > MOST ? virtc_complain(vt, exit_code, "%s is longer than 4 MiB", name)
                        : virtc_complain(vt, exit_code, "cannot read %s: %s", name, strerror(saved));
    }
    text[n] = '\0';
    if (strlen(text) != n) {
        free(text);
        return virtc_complain(vt, exit_code, "%s holds a zero byte, so it is no JSON", name);
    }
    *ret = text;
    return 0;
}

enum { OPT_STDIN = 0x100, OPT_STDOUT, OPT_STDERR, OPT_GROUP, OPT_CAP, OPT_NNP, OPT_PRIMARY };

static const struct argp_option process_opts[] = {
    {NULL, 0, NULL, 0, "The program and its surroundings:", 2},
    {"interactive", 'i', NULL, 0, "Keep its standard input open, for this command's own or for `virtc attach' (otherwise it reads end of file at once)", 2},
    {"tty", 't', NULL, 0, "Give it a terminal", 2},
    {"env", 'e', "NAME=VALUE", 0, "Add to its environment (may be repeated)", 2},
    {"user", 'u', "USER[:GROUP]", 0, "Run it as this user, by name or number, as the container's /etc/passwd knows them", 2},
    {"primary-group", OPT_PRIMARY, "GROUP", 0, "Its primary group, by name or number, where --user names none", 2},
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
    case OPT_PRIMARY: o->group = arg; break;
    case OPT_GROUP: rc = words_add(&o->groups, arg); break;
    case OPT_CAP: rc = words_add(&o->caps, arg); break;
    case OPT_NNP: o->no_new_privs = 1; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    o->touched = 1;
    return rc;
}
const struct argp process_argp = {process_opts, process_parse, NULL, NULL, NULL, NULL, NULL};

static const struct argp_option stdio_opts[] = {
    {NULL, 0, NULL, 0, "Where its streams go:", 3},
    {"stdin", OPT_STDIN, "FILE", 0, "Standard input from this file", 3},
    {"stdout", OPT_STDOUT, "FILE", 0, "Standard output to this file", 3},
    {"stderr", OPT_STDERR, "FILE", 0, "Standard error to this file (the same name as --stdout: both to one)", 3},
    {0}};

static error_t stdio_parse(int key, char *arg, struct argp_state *state)
{
    struct process_options *o = state->input;
    switch (key) {
    case OPT_STDIN: o->in = arg; break;
    case OPT_STDOUT: o->out = arg; break;
    case OPT_STDERR: o->err = arg; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    o->touched = 1;
    return 0;
}
const struct argp stdio_argp = {stdio_opts, stdio_parse, NULL, NULL, NULL, NULL, NULL};

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

/* What options add to: the environment of the document, or the one that the library would give. */
static const char *const *base_env(const struct process_options *o, const struct vc_process_config *c)
{
    static const char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    static const char *const usual[] = {path, NULL}, *const with_terminal[] = {path, "TERM=xterm", NULL};
    if (c->env || o->spec_env.n)
        return c->env ? c->env : (const char *const *)o->spec_env.v;
    return c->terminal || c->console ? with_terminal : usual;
}

/* What the options say, over what a document did. */
static int process_fields(struct process_options *o, const struct vc_process_config *base, struct vc_process_config *ret)
{
    static const char *const no_caps[] = {NULL};
    if (base)
        *ret = *base;
    else
        VC_INIT(ret);
    if (o->args.n)
        ret->args = (const char *const *)o->args.v;
    if (o->terminal)
        ret->terminal = 1;
    if (o->env.n) {
        if (words_merge(&o->merged_env, base_env(o, ret), &o->env))
            return -1;
        ret->env = (const char *const *)o->merged_env.v;
    }
    if (o->cwd)
        ret->cwd = o->cwd;
    if (o->user) {
        ret->user = o->user;
        ret->group = NULL;
    }
    if (o->group)
        ret->group = o->group;
    if (o->groups.n)
        ret->groups = (const char *const *)o->groups.v;
    if (o->no_new_privs)
        ret->no_new_privs = 1;
    if (o->caps.n) {
        ret->capabilities = NULL;
        ret->caps = o->caps.n == 1 && strcasecmp(o->caps.v[0], "NONE") == 0 ? no_caps : (const char *const *)o->caps.v;
    }
    return 0;
}

int process_config(const struct virtc *vt, struct process_options *o, int inherit, const struct vc_process_config *base,
                   struct vc_process_config *ret)
{
    if (base && base->process_json &&
        (o->args.n || o->env.n || o->cwd || o->user || o->group || o->groups.n || o->caps.n || o->no_new_privs))
        return virtc_complain(vt, inherit ? VIRTC_RUN_FAILED : VIRTC_FAILED,
                              "the document's OCIProcess says all of the program; write there what is to be different, or use the other members of Cmd");
    if (process_fields(o, base, ret) < 0)
        return virtc_complain(vt, inherit ? VIRTC_RUN_FAILED : VIRTC_FAILED, "out of memory");

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

    if (ret->console && !inherit && !o->in && !o->out && !o->err)
        return 0;
    ret->console = NULL;
    ret->use_stdio = 1;
    ret->stdio_flags = inherit ? 0 : o->interactive ? VC_STDIO_KEEP_STDIN : ret->stdio_flags & VC_STDIO_KEEP_STDIN;
    for (int i = 0; i < 3; i++)
        ret->stdio[i] = o->fds[i] >= 0 ? o->fds[i] : inherit && (i || o->interactive) ? i : -1;
    struct winsize ws;
    if (ret->terminal && inherit && ioctl(1, TIOCGWINSZ, &ws) == 0) {
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
    words_free(&o->merged_env);
    words_free(&o->spec_env);
    if (o->in && o->fds[0] > 2)
        close(o->fds[0]);
    if (o->out && o->fds[1] > 2)
        close(o->fds[1]);
    if (o->err && o->fds[2] > 2)
        close(o->fds[2]);
}
