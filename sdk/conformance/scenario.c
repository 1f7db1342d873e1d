/* SPDX-License-Identifier: Apache-2.0 */
/* scenario.c: reads scenario files, matches patterns, fills in answers. */
#include "conformance/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/io.h"

#define RULES_MAX   1024u
#define MATCH_STEPS 2000000u /* of one match, so that no pattern takes for ever */
#define MATCH_DEPTH 1000u    /* stars and captures of a pattern: each is a recursion */

static const char *const fault_names[VCT_N_FAULTS] = {
    "good",   "late", "slow",  "one-byte", "garbage",    "oversize", "endless",
    "silent", "hung", "dying", "refuse",   "half-close", "absent",   "late-listen",
};

int vct_fault_of(const char *name)
{
    for (int i = 0; i < VCT_N_FAULTS; i++)
        if (!strcmp(name, fault_names[i]))
            return i;
    return -1;
}

/* ---- words ---- */

/* What the reader is at. */
struct reader {
    const char *name;
    unsigned line;
    char *err;
    size_t size;
    struct vct_scenario *s;
    struct vct_peer *peer;
    struct vct_variant *variant;
    struct vct_rule *rule;
    struct vct_text words[VCT_SCN_WORDS];
    size_t n;
};

static int bad(struct reader *r, const char *fmt, ...) VCS_PRINTF(2, 3);

static int bad(struct reader *r, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f)
            *p = '?';
    snprintf(r->err, r->size, "%s:%u: %s", r->name, r->line, text);
    return -1;
}

static int hex(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* One escape after a backslash: the byte, -1 when it is none. */
static int escape(const char **p, const char *end)
{
    static const char from[] = "ntr0\\\"", to[] = "\n\t\r\0\\\"";
    int c = *p < end ? *(*p)++ : -1;
    const char *at = c > 0 ? strchr(from, c) : NULL;
    if (at)
        return (unsigned char)to[at - from];
    if (c != 'x' || end - *p < 2 || hex((*p)[0]) < 0 || hex((*p)[1]) < 0)
        return -1;
    *p += 2;
    return hex((*p)[-2]) << 4 | hex((*p)[-1]);
}

/* One word at *p, which is no blank. */
static int take_word(struct reader *r, const char **p, const char *end, struct vct_text *ret)
{
    char quote = **p == '"' || **p == '\'' ? *(*p)++ : 0;
    char *out = malloc((size_t)(end - *p) + 1);
    size_t n = 0;
    if (!out)
        return bad(r, "no memory");
    for (;;) {
        int c = *p < end ? (unsigned char)**p : -1;
        if (quote && c < 0) {
            free(out);
            return bad(r, "the text that begins with %c does not end on this line: a %c is missing", quote, quote);
        }
        if (c < 0 || (!quote && (c == ' ' || c == '\t')))
            break;
        ++*p;
        if (quote && c == quote)
            break;
        if (quote == '"' && c == '\\' && (c = escape(p, end)) < 0) {
            free(out);
            return bad(r,
                       "an unknown escape: \\n \\t \\r \\0 \\\\ \\\" and \\xHH with two hexadecimal digits are known");
        }
        if (!quote && c == '"') {
            free(out);
            return bad(r, "a quote within a word: put the whole word in quotes");
        }
        out[n++] = (char)c;
    }
    if (quote && *p < end && **p != ' ' && **p != '\t') {
        free(out);
        return bad(r, "a blank is missing after the closing %c", quote);
    }
    out[n] = '\0';
    *ret = (struct vct_text){ out, n };
    return 0;
}

static void drop_words(struct reader *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->words[i].data);
    r->n = 0;
}

static int split(struct reader *r, const char *p, const char *end)
{
    for (;;) {
        while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
            p++;
        if (p == end || *p == '#')
            return 0;
        if (r->n == VCT_SCN_WORDS)
            return bad(r, "more than %u words on a line", VCT_SCN_WORDS);
        if (take_word(r, &p, end, &r->words[r->n]) < 0)
            return -1;
        r->n++;
    }
}

/* ---- statements ---- */

static struct vct_text take(struct reader *r, size_t i)
{
    struct vct_text t = r->words[i];
    r->words[i].data = NULL;
    return t;
}

static int is(const struct reader *r, size_t i, const char *word)
{
    return i < r->n && !strcmp(r->words[i].data, word);
}

/* Another element at the end of an array. */
static void *more(void *mem, size_t *n, size_t each)
{
    char *grown = realloc(mem, (*n + 1) * each);
    if (grown)
        memset(grown + *n * each, 0, each), ++*n;
    return grown;
}

static int count(struct reader *r, size_t least, size_t most, const char *form)
{
    return r->n < least || r->n > most ? bad(r, "\"%s\" is written: %s", r->words[0].data, form) : 0;
}

static int name_ok(const char *s)
{
    if (!*s || strlen(s) > 64)
        return 0;
    for (; *s; s++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", *s))
            return 0;
    return 1;
}

static int add_variant(struct reader *r, const char *name, enum vct_fault fault)
{
    struct vct_variant *grown = more(r->peer->variants, &r->peer->n_variants, sizeof(*grown));
    if (!grown)
        return bad(r, "no memory");
    r->peer->variants = grown;
    r->variant = &grown[r->peer->n_variants - 1];
    r->variant->fault = fault;
    r->rule = NULL;
    return (r->variant->name = strdup(name)) ? 0 : bad(r, "no memory");
}

static int do_peer(struct reader *r)
{
    if (count(r, 2, 2, "peer NAME") < 0)
        return -1;
    const char *name = r->words[1].data;
    if (!name_ok(name))
        return bad(r, "\"%s\" is no name for a peer: 1 to 64 letters, digits, \"_\", \".\" and \"-\"", name);
    struct vct_peer *old = vct_scenario_peer(r->s, name);
    if (old)
        return bad(r, "peer %s is there already, from line %u on", name, old->line);
    struct vct_peer *grown = more(r->s->peers, &r->s->n_peers, sizeof(*grown));
    if (!grown)
        return bad(r, "no memory");
    r->s->peers = grown;
    r->peer = &grown[r->s->n_peers - 1];
    r->peer->name = take(r, 1).data;
    r->peer->line = r->line;
    r->peer->channel_fd = -1;
    return add_variant(r, "", VCT_F_NONE);
}

static int do_variant(struct reader *r)
{
    if (count(r, 2, 3, "variant NAME [FAULT]") < 0)
        return -1;
    const char *name = r->words[1].data;
    int fault = vct_fault_of(r->n == 3 ? r->words[2].data : name);
    if (!name_ok(name))
        return bad(r, "\"%s\" is no name for a variant: 1 to 64 letters, digits, \"_\", \".\" and \"-\"", name);
    if (r->n == 3 && fault < 0)
        return bad(
            r,
            "\"%s\" is no fault: late, slow, one-byte, garbage, oversize, endless, silent, hung, dying, refuse, "
            "half-close, "
            "absent and late-listen are",
            r->words[2].data);
    if (vct_peer_variant(r->peer, name))
        return bad(r, "peer %s has a variant %s already", r->peer->name, name);
    return add_variant(r, name, fault < 0 ? VCT_F_NONE : (enum vct_fault)fault);
}

static int number_of(struct reader *r, size_t i, long max, int *ret)
{
    char *end;
    errno = 0;
    long n = strtol(r->words[i].data, &end, 10);
    if (errno || !*r->words[i].data || *end || n < 0 || n > max)
        return bad(r, "\"%s\" is no number from 0 to %ld", r->words[i].data, max);
    *ret = (int)n;
    return 0;
}

static int do_channel(struct reader *r)
{
    static const char form[] = "channel fd N, channel stdin, channel argv PATTERN, or channel listen PATTERN";
    struct vct_peer *p = r->peer;
    if (count(r, 2, 3, form) < 0)
        return -1;
    if (p->channel != VCT_CH_NONE)
        return bad(r, "peer %s has a channel already", p->name);
    if (is(r, 1, "stdin") && r->n == 2) {
        p->channel = VCT_CH_STDIN;
        return 0;
    }
    if (r->n != 3)
        return bad(r, "\"channel\" is written: %s", form);
    if (is(r, 1, "fd")) {
        p->channel = VCT_CH_FD;
        return number_of(r, 2, 1023, &p->channel_fd);
    }
    if (!is(r, 1, "argv") && !is(r, 1, "listen"))
        return bad(r, "\"channel\" is written: %s", form);
    if (!strstr(r->words[2].data, "%1"))
        return bad(r, "the pattern of a channel has to hold %%1, which is the number or the path");
    p->channel = is(r, 1, "argv") ? VCT_CH_ARGV : VCT_CH_LISTEN_ARGV;
    p->channel_word = take(r, 2).data;
    return 0;
}

static int do_framing(struct reader *r)
{
    static const char *const words[] = { "line", "raw", "be32", "le32" };
    if (count(r, 2, 2, "framing line|raw|be32|le32") < 0)
        return -1;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (is(r, 1, words[i])) {
            r->peer->framing = (enum vct_framing)i;
            return 0;
        }
    return bad(r, "\"%s\" is no framing: line, raw, be32 and le32 are", r->words[1].data);
}

static int do_exec(struct reader *r)
{
    if (count(r, 2, VCT_SCN_WORDS, "exec PROGRAM WORD...") < 0)
        return -1;
    if (r->peer->exec)
        return bad(r, "peer %s runs a program already", r->peer->name);
    r->peer->exec = calloc(r->n, sizeof(char *));
    if (!r->peer->exec)
        return bad(r, "no memory");
    for (size_t i = 1; i < r->n; i++)
        r->peer->exec[i - 1] = take(r, i).data;
    return 0;
}

static int do_once(struct reader *r, char **where, const char *form)
{
    if (count(r, 2, 2, form) < 0)
        return -1;
    if (*where)
        return bad(r, "peer %s has such a line already", r->peer->name);
    *where = take(r, 1).data;
    return 0;
}

static int signal_of(const char *word)
{
    static const struct {
        const char *name;
        int number;
    } known[] = {
        { "HUP", SIGHUP },   { "INT", SIGINT },   { "QUIT", SIGQUIT }, { "ABRT", SIGABRT },
        { "KILL", SIGKILL }, { "SEGV", SIGSEGV }, { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 },
        { "PIPE", SIGPIPE }, { "ALRM", SIGALRM }, { "TERM", SIGTERM }, { "CHLD", SIGCHLD },
        { "CONT", SIGCONT }, { "STOP", SIGSTOP }, { "TSTP", SIGTSTP }, { "WINCH", SIGWINCH },
    };
    char *end;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (!strcmp(word, known[i].name))
            return known[i].number;
    long n = strtol(word, &end, 10);
    return *word && !*end && n >= 1 && n <= 64 ? (int)n : -1;
}

/* `if FACT [VALUE]` or `unless FACT [VALUE]` from word i on. */
static int take_condition(struct reader *r, size_t i)
{
    if (i == r->n)
        return 0;
    if ((!is(r, i, "if") && !is(r, i, "unless")) || i + 1 == r->n || i + 3 < r->n)
        return bad(r, "after a rule only `if FACT [VALUE]` or `unless FACT [VALUE]` may stand, not \"%s\"",
                   r->words[i].data);
    r->rule->condition = is(r, i, "if") ? 1 : -1;
    r->rule->fact = take(r, i + 1);
    if (i + 2 < r->n)
        r->rule->value = take(r, i + 2);
    return 0;
}

static int new_rule(struct reader *r, enum vct_head head)
{
    if (r->variant->n_rules == RULES_MAX)
        return bad(r, "more than %u rules", RULES_MAX);
    struct vct_rule *grown = more(r->variant->rules, &r->variant->n_rules, sizeof(*grown));
    if (!grown)
        return bad(r, "no memory");
    r->variant->rules = grown;
    r->rule = &grown[r->variant->n_rules - 1];
    r->rule->head = head;
    r->rule->line = r->line;
    return 0;
}

static int do_at(struct reader *r)
{
    static const char form[] = "at start, at connect, at end [LABEL], at signal NAME, or at fact PATTERN";
    static const char *const words[] = { "start", "connect", "end", "signal", "fact" };
    size_t head = 0;
    if (count(r, 2, 6, form) < 0)
        return -1;
    while (head < 5 && !is(r, 1, words[head]))
        head++;
    if (head == 5 || (head >= VCT_AT_SIGNAL && r->n < 3))
        return bad(r, "\"at\" is written: %s", form);
    int sig = head == VCT_AT_SIGNAL ? signal_of(r->words[2].data) : 0;
    if (sig < 0 || sig == SIGKILL || sig == SIGSTOP)
        return bad(r, "\"%s\" is no signal that can be caught: write TERM, USR1, WINCH or a number", r->words[2].data);
    if (new_rule(r, (enum vct_head)head) < 0)
        return -1;
    r->rule->number = sig;
    int named = head >= VCT_AT_SIGNAL || (head == VCT_AT_END && r->n > 2 && !is(r, 2, "if") && !is(r, 2, "unless"));
    if (head == VCT_AT_FACT || (head == VCT_AT_END && named))
        r->rule->pattern = take(r, 2);
    return take_condition(r, named ? 3 : 2);
}

static int do_on(struct reader *r)
{
    if (count(r, 2, 5, "on PATTERN [if|unless FACT [VALUE]]") < 0 || new_rule(r, VCT_ON_MESSAGE) < 0)
        return -1;
    r->rule->pattern = take(r, 1);
    return take_condition(r, 2);
}

static const struct verb {
    const char *name;
    enum vct_verb verb;
    size_t least, most; /* words, its own included */
    const char *form;
} verbs[] = {
    { "reply", VCT_DO_REPLY, 2, 2, "reply TEXT" },
    { "send", VCT_DO_SEND, 2, 2, "send TEXT" },
    { "fact", VCT_DO_FACT, 3, 3, "fact NAME VALUE" },
    { "unset", VCT_DO_UNSET, 2, 2, "unset NAME" },
    { "add", VCT_DO_ADD, 3, 3, "add NAME NUMBER" },
    { "wait", VCT_DO_WAIT, 2, 3, "wait NAME [VALUE]" },
    { "expect", VCT_DO_EXPECT, 2, 2, "expect PATTERN" },
    { "file", VCT_DO_FILE, 3, 3, "file PATH TEXT" },
    { "copy", VCT_DO_COPY, 1, 1, "copy" },
    { "close", VCT_DO_CLOSE, 1, 1, "close" },
    { "exit", VCT_DO_EXIT, 2, 2, "exit STATUS" },
    { "die", VCT_DO_DIE, 2, 2, "die SIGNAL" },
    { "label", VCT_DO_LABEL, 2, 2, "label NAME" },
    { "join", VCT_DO_JOIN, 2, 2, "join NAME" },
    { "tell", VCT_DO_TELL, 3, 3, "tell LABEL TEXT" },
    { "hangup", VCT_DO_HANGUP, 2, 2, "hangup LABEL" },
    { "next", VCT_DO_NEXT, 1, 1, "next" },
};

static int do_action(struct reader *r, const struct verb *v)
{
    if (count(r, v->least, v->most, v->form) < 0)
        return -1;
    if (!r->rule)
        return bad(r, "\"%s\" belongs to a rule: an `on` or `at` line has to come before it", v->name);
    int sig = v->verb == VCT_DO_DIE ? signal_of(r->words[1].data) : 0;
    if (sig < 0)
        return bad(r, "\"%s\" is no signal: write KILL, SEGV or a number", r->words[1].data);
    struct vct_action *grown = more(r->rule->actions, &r->rule->n_actions, sizeof(*grown));
    if (!grown)
        return bad(r, "no memory");
    r->rule->actions = grown;
    struct vct_action *a = &grown[r->rule->n_actions - 1];
    a->verb = v->verb;
    a->line = r->line;
    a->number = sig;
    if (r->n > 1)
        a->a = take(r, 1);
    if (r->n > 2)
        a->b = take(r, 2);
    return 0;
}

static int statement(struct reader *r)
{
    const char *w = r->words[0].data;
    if (!strcmp(w, "peer"))
        return do_peer(r);
    if (!r->peer)
        return bad(r, "\"%s\" belongs to a peer: begin with a line `peer NAME`", w);
    if (!strcmp(w, "variant"))
        return do_variant(r);
    if (!strcmp(w, "program"))
        return do_once(r, &r->peer->program, "program PATTERN");
    if (!strcmp(w, "listen"))
        return do_once(r, &r->peer->role, "listen ROLE");
    if (!strcmp(w, "exec"))
        return do_exec(r);
    if (!strcmp(w, "share"))
        return do_once(r, &r->peer->share, "share PATH");
    if (!strcmp(w, "channel"))
        return do_channel(r);
    if (!strcmp(w, "framing"))
        return do_framing(r);
    if (!strcmp(w, "at"))
        return do_at(r);
    if (!strcmp(w, "on"))
        return do_on(r);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (!strcmp(w, verbs[i].name))
            return do_action(r, &verbs[i]);
    return bad(
        r,
        "\"%s\" is no statement: peer, variant, program, listen, exec, share, channel, framing, at, on, reply, send, "
        "fact, unset, add, "
        "wait, expect, file, copy, close, exit, die, label, join, tell, hangup and next are",
        w);
}

/* What can only be told when all of it was read. */
static int whole(struct reader *r)
{
    for (size_t i = 0; i < r->s->n_peers; i++) {
        struct vct_peer *p = &r->s->peers[i];
        r->line = p->line;
        if (!p->program == !p->role)
            return bad(
                r, "peer %s stands for nothing or for two things: it needs one line `program PATTERN` or `listen ROLE`",
                p->name);
        if (p->share && (!p->exec || p->share[0] != '/'))
            return bad(r, "peer %s: `share` goes with `exec`, and is an absolute path", p->name);
        if (p->exec && !p->role)
            return bad(r, "peer %s: `exec` goes with `listen ROLE`", p->name);
        if (p->role && p->channel != VCT_CH_NONE)
            return bad(r, "peer %s: `channel` goes with `program`; a peer that listens has its socket", p->name);
        if (p->role)
            p->channel = VCT_CH_ROLE;
        for (size_t k = 0; p->role && k < i; k++)
            if (r->s->peers[k].role && !strcmp(r->s->peers[k].role, p->role))
                return bad(r, "role %s has two peers, %s and %s", p->role, r->s->peers[k].name, p->name);
    }
    return 0;
}

int vct_scenario_parse(const char *name, const char *text, size_t len, struct vct_scenario **ret, char *err,
                       size_t size)
{
    struct reader *r = calloc(1, sizeof(*r));
    struct vct_scenario *s = calloc(1, sizeof(*s));
    const char *end = text + len;
    int rc = 0;
    if (!r || !s) {
        free(r);
        free(s);
        snprintf(err, size, "%s: no memory", name);
        return -1;
    }
    *r = (struct reader){ .name = name, .err = err, .size = size, .s = s };
    if (len > VCT_SCN_MAX)
        rc = bad(r, "the file has %zu bytes; at most %u are read", len, VCT_SCN_MAX);
    for (const char *p = text; rc == 0 && p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        r->line++;
        rc = memchr(p, '\0', (size_t)(stop - p)) ? bad(r, "a NUL byte: write \\0 within double quotes")
                                                 : split(r, p, stop);
        if (rc == 0 && r->n)
            rc = statement(r);
        drop_words(r);
        p = nl ? nl + 1 : end;
    }
    if (rc == 0)
        rc = whole(r);
    if (rc == 0 && !s->n_peers)
        rc = bad(r, "there is no peer in it: a line `peer NAME` begins one");
    free(r);
    if (rc < 0)
        vct_scenario_free(s);
    else
        *ret = s;
    return rc;
}

int vct_scenario_load(const char *path, struct vct_scenario **ret, char *err, size_t size)
{
    vcs_autofree char *text = NULL;
    size_t len = 0;
    int r = vcs_read_file(AT_FDCWD, path, VCT_SCN_MAX, &text, &len);
    if (r < 0) {
        snprintf(err, size, "%s: the scenario cannot be read: %s", path,
                 r == -EFBIG ? "it has more than 1 MiB" : strerror(-r));
        return -1;
    }
    return vct_scenario_parse(path, text, len, ret, err, size);
}

static void variant_done(struct vct_variant *v)
{
    for (size_t i = 0; i < v->n_rules; i++) {
        struct vct_rule *rule = &v->rules[i];
        for (size_t k = 0; k < rule->n_actions; k++) {
            free(rule->actions[k].a.data);
            free(rule->actions[k].b.data);
        }
        free(rule->actions);
        free(rule->pattern.data);
        free(rule->fact.data);
        free(rule->value.data);
    }
    free(v->rules);
    free(v->name);
}

void vct_scenario_free(struct vct_scenario *s)
{
    for (size_t i = 0; s && i < s->n_peers; i++) {
        struct vct_peer *p = &s->peers[i];
        for (size_t k = 0; k < p->n_variants; k++)
            variant_done(&p->variants[k]);
        for (char **w = p->exec; w && *w; w++)
            free(*w);
        free(p->exec);
        free(p->variants);
        free(p->channel_word);
        free(p->program);
        free(p->share);
        free(p->role);
        free(p->name);
    }
    if (s)
        free(s->peers);
    free(s);
}

struct vct_peer *vct_scenario_peer(const struct vct_scenario *s, const char *name)
{
    for (size_t i = 0; s && i < s->n_peers; i++)
        if (!strcmp(s->peers[i].name, name))
            return &s->peers[i];
    return NULL;
}

struct vct_variant *vct_peer_variant(const struct vct_peer *p, const char *name)
{
    for (size_t i = 0; p && i < p->n_variants; i++)
        if (!strcmp(p->variants[i].name, name))
            return &p->variants[i];
    return NULL;
}

/* ---- matching ---- */

struct matching {
    const char *pat, *pat_end, *end;
    const char *from[VCT_SCN_CAPTURE + 1], *to[VCT_SCN_CAPTURE + 1];
    unsigned steps, depth;
    int whole; /* to the last byte */
};

static int capture_at(const char *p, const char *end)
{
    return end - p >= 2 && p[0] == '%' && p[1] >= '1' && p[1] <= '9' ? p[1] - '0' : 0;
}

/* Does the rest of the pattern match at s?  Recursion goes as deep as the pattern has stars and captures. */
static int match_here(struct matching *m, const char *p, const char *s)
{
    for (; p < m->pat_end; p++, s++) {
        int n = capture_at(p, m->pat_end);
        if (n || *p == '*') {
            const char *rest = p + (n ? 2 : 1);
            if (rest == m->pat_end) { /* all that is left */
                m->from[n] = s;
                m->to[n] = m->end;
                return 1;
            }
            for (const char *stop = s; stop <= m->end; stop++) {
                if (++m->steps > MATCH_STEPS || m->depth == MATCH_DEPTH)
                    return 0;
                m->depth++;
                int found = match_here(m, rest, stop);
                m->depth--;
                if (found) {
                    m->from[n] = s;
                    m->to[n] = stop;
                    return 1;
                }
            }
            return 0;
        }
        if (*p == '%' && m->pat_end - p >= 2 && (p[1] == '%' || p[1] == '*'))
            p++;
        if (s >= m->end || *s != *p || ++m->steps > MATCH_STEPS)
            return 0;
    }
    return !m->whole || s == m->end;
}

static int match(const struct vct_text *pattern, const char *data, size_t len, struct vct_captures *c, int whole)
{
    struct matching m = {
        .pat = pattern->data, .pat_end = pattern->data + pattern->len, .end = data + len, .whole = whole
    };
    int caret = pattern->len && pattern->data[0] == '^', tied = caret || whole, found = 0;
    for (const char *s = data; !found && s <= m.end; s++) {
        memset(m.from, 0, sizeof(m.from));
        found = match_here(&m, m.pat + caret, s);
        if (tied)
            break;
    }
    for (int i = 1; found && c && i <= VCT_SCN_CAPTURE; i++) {
        size_t n = m.from[i] ? (size_t)(m.to[i] - m.from[i]) : 0;
        char *copy = m.from[i] ? malloc(n + 1) : NULL;
        if (copy) {
            memcpy(copy, m.from[i], n);
            copy[n] = '\0';
            free(c->word[i].data);
            c->word[i] = (struct vct_text){ copy, n };
        }
    }
    return found;
}

int vct_match(const struct vct_text *pattern, const char *data, size_t len, struct vct_captures *c)
{
    return match(pattern, data, len, c, 0);
}

int vct_match_whole(const struct vct_text *pattern, const char *data, size_t len, struct vct_captures *c)
{
    return match(pattern, data, len, c, 1);
}

void vct_captures_done(struct vct_captures *c)
{
    for (int i = 0; i <= VCT_SCN_CAPTURE; i++) {
        free(c->word[i].data);
        c->word[i] = (struct vct_text){ NULL, 0 };
    }
}

/* ---- answers ---- */

typedef void fact_fn(void *arg, const char *name, struct vcs_buf *out);

/* %{NAME}: p is behind the brace.  Where it goes on, NULL when there is no closing brace. */
static const char *expand_fact(const char *p, const char *end, const struct vct_captures *c, fact_fn *fact, void *arg,
                               struct vcs_buf *out)
{
    char name[256];
    size_t n = 0;
    for (; p < end && *p != '}'; p++) {
        int k = capture_at(p, end);
        const char *from = k && c ? c->word[k].data : p;
        size_t len = k ? (c && from ? c->word[k].len : 0) : 1;
        if (len > sizeof(name) - 1 - n)
            len = sizeof(name) - 1 - n;
        if (len)
            memcpy(name + n, from, len);
        n += len;
        p += k ? 1 : 0;
    }
    name[n] = '\0';
    if (p == end)
        return NULL;
    if (fact)
        fact(arg, name, out);
    return p + 1;
}

int vct_expand(const struct vct_text *t, const struct vct_captures *c, fact_fn *fact, void *arg, struct vcs_buf *out)
{
    const char *p = t->data, *end = t->data + t->len, *next;
    int r = 0;
    while (p < end && r == 0) {
        const char *pct = memchr(p, '%', (size_t)(end - p));
        r = vcs_buf_append(out, p, (size_t)((pct ? pct : end) - p));
        if (!pct || r < 0)
            break;
        int n = capture_at(pct, end);
        p = pct + 2;
        if (n || (end - pct >= 2 && pct[1] == 'v'))
            r = !c                ? vcs_buf_append(out, pct, 2)
                : c->word[n].data ? vcs_buf_append(out, c->word[n].data, c->word[n].len)
                                  : 0;
        else if (end - pct >= 2 && pct[1] == '{' && (next = expand_fact(p, end, c, fact, arg, out)))
            p = next;
        else if (end - pct >= 2 && (pct[1] == '%' || pct[1] == '*'))
            r = vcs_buf_append(out, pct + !!c, c ? 1 : 2);
        else {
            r = vcs_buf_append(out, "%", 1);
            p = pct + 1;
        }
    }
    return r;
}
