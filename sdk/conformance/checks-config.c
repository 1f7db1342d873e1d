/* SPDX-License-Identifier: Apache-2.0 */
/* checks-config.c: group C: the option table, and what the plugin makes of values. */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "conformance/walk.h"
#include "conformance/watch.h"
#include "lib/io.h"
#include "lib/utf8.h"

#define MARK      "vcmark"
#define MARK_END  "kramcv"
#define BUDGET_NS (INT64_C(6) * 1000000000) /* for walks with odd values; a plugin may have many options */

static const struct vc_option *option_at(struct vct *t, uint32_t i)
{
    return (const void *)((const char *)t->plugin->options + (size_t)i * t->plugin->option_stride);
}

static void must_have_options(struct vct *t)
{
    if (t->plugin->n_options == 0)
        vct_skip(t, "the plugin has no options");
}

/* ---- C1 ---- */

static int key_ok(const char *key)
{
    size_t n = strnlen(key, 65);
    return n >= 1 && n <= 64 && key[0] >= 'a' && key[0] <= 'z' &&
           strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

/* A whole number, for SIZE with a unit. */
static int number_of(const char *text, uint32_t type, int64_t *ret)
{
    static const char units[] = "KMGT";
    char *end;
    long long n = strtoll(text, &end, 10);
    if (end == text)
        return -1;
    if (type == VC_OPT_SIZE && *end && strchr(units, *end)) {
        int shift = 10 * (int)(strchr(units, *end++) - units + 1);
        if (n < 0 || n > INT64_MAX >> shift)
            return -1;
        n <<= shift;
    }
    *ret = n;
    return *end ? -1 : 0;
}

static int is_choice(const char *choices, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = choices; *p; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");
        if (len == n && !strncmp(p, word, n))
            return 1;
        p += len;
    }
    return 0;
}

static void look_at_default(struct vct *t, const struct vc_option *o)
{
    int64_t n;
    if (o->type == VC_OPT_INT || o->type == VC_OPT_SIZE) {
        VCT_HOLD(t, number_of(o->def, o->type, &n) == 0, "option \"%s\": the default \"%s\" is no number", o->key,
                 o->def);
        VCT_HOLD(t, o->max <= o->min || (n >= o->min && n <= o->max),
                 "option \"%s\": the default %" PRId64 " is not within min %" PRId64 " and max %" PRId64, o->key, n,
                 o->min, o->max);
    }
    VCT_HOLD(t, o->type != VC_OPT_BOOL || !strcmp(o->def, "true") || !strcmp(o->def, "false"),
             "option \"%s\": the default \"%s\" is not true or false", o->key, o->def);
    VCT_HOLD(t, o->type != VC_OPT_PATH || o->def[0] == '/', "option \"%s\": the default \"%s\" is no absolute path",
             o->key, o->def);
    VCT_HOLD(t, o->type != VC_OPT_ENUM || is_choice(o->choices, o->def),
             "option \"%s\": the default \"%s\" is none of its choices \"%s\"", o->key, o->def, o->choices);
}

static int text_ok(const char *text)
{
    return vcs_utf8_line(text, strlen(text));
}

static void run_c1(struct vct *t)
{
    must_have_options(t);
    for (uint32_t i = 0; i < t->plugin->n_options; i++) {
        const struct vc_option *o = option_at(t, i);
        VCT_HOLD(t, o->key, "option %u: key is NULL", i);
        VCT_HOLD(t, key_ok(o->key), "option %u: the key \"%.80s\" is not [a-z][a-z0-9_]*, at most 64 bytes", i, o->key);
        for (uint32_t k = 0; k < i; k++)
            VCT_HOLD(t, strcmp(option_at(t, k)->key, o->key), "options %u and %u have the same key \"%s\"", k, i,
                     o->key);
        VCT_HOLD(t, o->type >= VC_OPT_STRING && o->type <= VC_OPT_LIST,
                 "option \"%s\": the type is %u; 1 to 7 are types", o->key, o->type);
        VCT_HOLD(t, !(o->flags & ~7u), "option \"%s\": the flags are 0x%x; 0x7 are known", o->key, o->flags);
        VCT_HOLD(t, o->min <= o->max, "option \"%s\": min %" PRId64 " is above max %" PRId64, o->key, o->min, o->max);
        VCT_HOLD(t, o->type != VC_OPT_ENUM || (o->choices && *o->choices), "option \"%s\" is an enum without choices",
                 o->key);
        VCT_HOLD(t, o->type == VC_OPT_ENUM || !o->choices, "option \"%s\" has choices and is no enum", o->key);
        VCT_HOLD(t, o->doc && o->doc[0], "option \"%s\" has no doc; help, manual and sample file are made from it",
                 o->key);
        VCT_HOLD(t, !(o->flags & VC_OPT_REQUIRED) || !o->def, "option \"%s\" is required and has the default \"%s\"",
                 o->key, o->def);
        VCT_MUST(t, !(o->flags & VC_OPT_SECRET) || !o->def, "option \"%s\" is secret and has a default for all to read",
                 o->key);
        if (o->def)
            look_at_default(t, o);
        VCT_HOLD(t, text_ok(o->doc) && (!o->def || text_ok(o->def)) && (!o->choices || text_ok(o->choices)),
                 "option \"%s\": doc, choices or default hold a control byte or are not UTF-8; one line of text is right",
                 o->key);
    }
}

/* ---- creating with other values ---- */

/* The settings without some --set, for a check that must choose the values itself. */
static const struct vct_settings *without_set(struct vct *t, struct vct_settings *copy)
{
    const struct vct_settings *old = t->s;
    *copy = *old;
    copy->set = NULL;
    t->s = copy;
    return old;
}

/* create without a look at the values beforehand, as a host that does not check would call it. */
static int create_unchecked(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    const struct vc_inst_ops *ops = vct_inst_ops(t);
    vc_inst *inst = NULL;
    pod->cfg.poisoned = 0;
    pod->live = 1;
    vct_here.pod = pod;
    int r = VCT(t, ops->create, pod->table, vct_call(t, 10000), &pod->cfg, pod->id, &inst);
    vct_here.pod = NULL;
    vct_cfg_poison(pod);
    pod->inst = r == VC_OK ? inst : NULL;
    pod->live = r == VC_OK;
    return r;
}

/* The key of an option in the text of an error. */
static const struct vc_option *named_in(struct vct *t, const char *text)
{
    for (uint32_t i = 0; i < t->plugin->n_options; i++)
        if (strstr(text, option_at(t, i)->key))
            return option_at(t, i);
    return NULL;
}

static void run_c2(struct vct *t)
{
    static struct vct_settings none;
    const struct vct_settings *old = without_set(t, &none);
    struct vct_pod *pod = vct_pod_new(t, NULL, VCT_NO_WORLD);
    int r = create_unchecked(pod);
    vct_pod_close(pod);
    VCT_MUST(t, r == VC_OK || r == VC_E_CONFIG,
             "create with nothing but defaults answers %s (%s); VC_OK or VC_E_CONFIG is right", vct_code(r),
             t->err.text);
    VCT_MUST(t, r == VC_OK || named_in(t, t->err.text),
             "create with nothing but defaults answers VC_E_CONFIG with \"%s\", which names none of the plugin's "
             "options; it has to name the one that must be set",
             t->err.text);
    vct_pod_free(pod);
    t->s = old;
}

static void run_c3(struct vct *t)
{
    static struct vct_settings less;
    const struct vct_settings *old = without_set(t, &less);
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->plugin->n_options; i++) {
        const struct vc_option *o = option_at(t, i);
        const char *rest[2 * 64 + 1] = { NULL };
        size_t k = 0;
        if (!(o->flags & VC_OPT_REQUIRED))
            continue;
        n++;
        for (const char *const *set = old->set; set && *set && k < 126; set += 2)
            if (strcmp(set[0], o->key)) {
                rest[k++] = set[0];
                rest[k++] = set[1];
            }
        less.set = rest;
        struct vct_pod *pod = vct_pod_new(t, NULL, VCT_NO_WORLD);
        int r = create_unchecked(pod);
        vct_pod_close(pod);
        VCT_MUST(
            t, r == VC_E_CONFIG && strstr(t->err.text, o->key),
            "create without the required option \"%s\" answers %s (%s); VC_E_CONFIG with the option's name is right",
            o->key, vct_code(r), t->err.text);
        vct_pod_free(pod);
    }
    t->s = old;
    if (!n)
        vct_skip(t, "the plugin has no required option");
}

/* ---- C4 ---- */

/* create with one option set so; what is there is closed again. */
static int create_with(struct vct *t, const char *key, const char *value)
{
    const char *set[] = { key, value, NULL };
    struct vct_pod *pod = vct_pod_new(t, NULL, VCT_NO_WORLD);
    pod->set = set;
    int r = create_unchecked(pod);
    if (r == VC_OK) {
        char *state = NULL;
        int s = vct_pod_save(pod, &state, NULL);
        free(state);
        VCT_MUST(t, s == VC_OK, "with %s = %.64s, save answers %s (%s)", key, value, vct_code(s), t->err.text);
        vct_pod_close(pod);
    }
    vct_pod_free(pod);
    return r;
}

static void try_number(struct vct *t, const struct vc_option *o, int64_t n, int within)
{
    char text[32];
    snprintf(text, sizeof(text), "%" PRId64, n);
    int r = create_with(t, o->key, text);
    VCT_MUST(t, r == VC_OK || r == VC_E_CONFIG || (!within && r == VC_E_INVAL),
             "create with %s = %s (%s min %" PRId64 " and max %" PRId64
             ") answers %s (%s); VC_OK or VC_E_CONFIG is right",
             o->key, text, within ? "within" : "outside", o->min, o->max, vct_code(r), t->err.text);
    VCT_MUST(t, r == VC_OK || !within || o->max <= o->min || named_in(t, t->err.text),
             "create refuses %s = %s, which the option table allows, and names no option: \"%s\"", o->key, text,
             t->err.text);
}

static void run_c4(struct vct *t)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < t->plugin->n_options; i++) {
        const struct vc_option *o = option_at(t, i);
        if (o->type != VC_OPT_INT && o->type != VC_OPT_SIZE)
            continue;
        n++;
        int bounded = o->max > o->min;
        if (bounded) {
            try_number(t, o, o->min, 1);
            try_number(t, o, o->max, 1);
            if (o->min > INT64_MIN && (o->type == VC_OPT_INT || o->min > 0))
                try_number(t, o, o->min - 1, 0);
            if (o->max < INT64_MAX)
                try_number(t, o, o->max + 1, 0);
        }
        try_number(t, o, 0, !bounded);
        try_number(t, o, INT64_MAX, !bounded);
        if (o->type == VC_OPT_INT)
            try_number(t, o, INT64_MIN, !bounded);
    }
    if (!n)
        vct_skip(t, "the plugin has no option that is a number");
}

/* ---- C5 ---- */

/* Odd values, each between the marks; @ is a path that must not come to be. */
static const char *const odd[] = {
    "",   " a b,c=d;e\"f'g\\h|i&j$(touch @)`touch @`%n%n%s", "line\nbreak", "\xff\xfe\xc3", "/../../../../../../",
    NULL, /* 64 KiB */
};
static const char *const odd_names[] = { "empty",
                                         "with commas, quotes and characters of shell and printf",
                                         "with a line break",
                                         "that is not UTF-8",
                                         "with ../",
                                         "of 64 KiB" };
#define N_ODD (sizeof(odd) / sizeof(odd[0]))

static char *odd_value(const struct vc_option *o, size_t i, const char *trap)
{
    struct vcs_buf b = { 0 };
    if (i == 0 && o->type != VC_OPT_PATH)
        return strdup("");
    if (o->type == VC_OPT_PATH)
        vcs_buf_printf(&b, "/nonexistent/");
    vcs_buf_printf(&b, MARK);
    for (const char *p = odd[i] ? odd[i] : ""; *p; p++)
        if (*p == '@')
            vcs_buf_printf(&b, "%s", trap);
        else if (o->type != VC_OPT_LIST || *p != ' ') /* blanks part the words of a list */
            vcs_buf_append(&b, p, 1);
    for (size_t k = 0; !odd[i] && k < 65536 - 64; k++)
        vcs_buf_append(&b, "a", 1);
    vcs_buf_printf(&b, MARK_END);
    const char *text = vcs_buf_str(&b);
    char *value = text ? strdup(text) : NULL;
    vcs_buf_done(&b);
    return value;
}

/* Does a word hold the value literally?  In the option syntax of some programs a comma is written twice. */
static int holds(const char *word, const char *value)
{
    for (const char *at = word; (at = strstr(at, MARK)); at++) {
        const char *from = strstr(value, MARK), *p = at;
        while (*from && *p == *from) {
            if (*p == ',' && p[1] == ',' && from[1] != ',')
                p++;
            p++;
            from++;
        }
        if (!*from)
            return 1;
    }
    return 0;
}

static void look_at_argv(struct vct *t, struct vct_pod *pod, const struct vc_option *o, const char *value, size_t which)
{
    const char *text = (const char *)vcs_buf_data(&pod->argv);
    for (size_t at = 0; at < pod->argv.len; at += strlen(text + at) + 1)
        if (strstr(text + at, MARK) || strstr(text + at, MARK_END))
            VCT_MUST(t, holds(text + at, value),
                     "option \"%s\" set to a value %s does not arrive as it is in the words of the program that is "
                     "spawned: \"%.200s\"",
                     o->key, odd_names[which], text + at);
}

static void try_text(struct vct *t, const struct vc_option *o, size_t which, const char *trap)
{
    vcs_autofree char *value = odd_value(o, which, trap);
    const char *set[] = { o->key, value, NULL };
    if (!value)
        vct_skip(t, "the machine has no memory left");
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_walk w = { .pod = pod };
    pod->set = set;
    w.step = "create";
    int r = create_unchecked(pod);
    VCT_MUST(t, r == VC_OK || r == VC_E_CONFIG,
             "create with \"%s\" set to a value %s answers %s (%.300s); VC_OK or VC_E_CONFIG is right", o->key,
             odd_names[which], vct_code(r), t->err.text);
    VCT_MUST(t, r == VC_OK || strstr(t->err.text, o->key),
             "create refuses a value %s of \"%s\" without naming that option: \"%.300s\"", odd_names[which], o->key,
             t->err.text);
    for (const struct vct_op *op = t->kind->ops; r == VC_OK && op->name && !(pod->state & VCT_ST_UP); op++)
        if ((op->from & pod->state) && vct_op_there(pod, op)) {
            w.step = op->name;
            w.op = op;
            r = vct_walk_step(&w); /* may fail: nothing is where the value says */
        }
    look_at_argv(t, pod, o, value, which);
    VCT_MUST(t, access(trap, F_OK) < 0, "the value of option \"%s\" was run as a shell command", o->key);
    char when[160];
    snprintf(when, sizeof(when), "with \"%s\" set to a value %s", o->key, odd_names[which]);
    vct_walk_end(pod, when);
    vct_walk_done(&w);
    vct_pod_free(pod);
}

static void run_c5(struct vct *t)
{
    char trap[300];
    unsigned n = 0, left = 0;
    int64_t start = vcs_now_ns();
    snprintf(trap, sizeof(trap), "%.250s/trap", t->s->scratch);
    for (uint32_t i = 0; i < t->plugin->n_options; i++) {
        const struct vc_option *o = option_at(t, i);
        if (o->type != VC_OPT_STRING && o->type != VC_OPT_PATH && o->type != VC_OPT_LIST)
            continue;
        n++;
        for (size_t k = 0; k < N_ODD; k++)
            if (t->s->level < VCT_SOAK && vcs_now_ns() - start > BUDGET_NS)
                left++;
            else if (k || o->type != VC_OPT_PATH)
                try_text(t, o, k, trap);
    }
    if (!n)
        vct_skip(t, "the plugin has no option that is text");
    if (left)
        vct_note(t, "%u values were left out to save time; --level soak tries all", left);
}

/* ---- C6 to C9 ---- */

static int was_read(struct vct_pod *pod, const char *key)
{
    const char *text = (const char *)vcs_buf_data(&pod->read_keys);
    for (size_t at = 0; at < pod->read_keys.len; at += strlen(text + at) + 1)
        if (!strcmp(text + at, key))
            return 1;
    return 0;
}

static void run_c6(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_walk_whole(pod, "with the usual options");
    const char *seen = vct_seen(t, "C6");
    VCT_MUST(t, !seen, "%s", seen);
    int probes = t->plugin->size > offsetof(struct vc_plugin, probe) && t->plugin->probe; /* may read some */
    for (uint32_t i = 0; i < t->plugin->n_options && !probes; i++) {
        const struct vc_option *o = option_at(t, i);
        int one_choice = o->type == VC_OPT_ENUM && o->choices && !strchr(o->choices, ' '); /* kept for later ones */
        if (!one_choice && !was_read(pod, o->key))
            vct_warn(t, "option \"%s\" is declared and was never read in a whole life: setting it does nothing",
                     o->key);
    }
    vct_pod_free(pod);
}

#define CANARY "vc-canary-7f3a91c2"

/* Where the secret has got to after a step; NULL: nowhere. */
static const char *leak_of(struct vct_walk *w)
{
    struct vct_pod *pod = w->pod;
    if (strstr(pod->t->err.text, CANARY))
        return "an error";
    if (memmem(vcs_buf_data(&pod->log), pod->log.len, CANARY, strlen(CANARY)))
        return "the log";
    if (memmem(vcs_buf_data(&pod->argv), pod->argv.len, CANARY, strlen(CANARY)))
        return "the words of a program, which every user of the machine can read";
    return w->state && memmem(w->state, w->len, CANARY, strlen(CANARY)) ? "the saved state" : NULL;
}

static int step_with_secret(struct vct_walk *w)
{
    int r = vct_walk_step(w);
    const char *where = leak_of(w);
    VCT_MUST(w->pod->t, !where, "after %s, the value of the secret option \"%s\" stands in %s", w->step,
             (const char *)w->arg, where);
    return r;
}

static void run_c7(struct vct *t)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < t->plugin->n_options; i++) {
        const struct vc_option *o = option_at(t, i);
        const char *set[] = { o->key, o->type == VC_OPT_PATH ? "/nonexistent/" CANARY : CANARY, NULL };
        if (!(o->flags & VC_OPT_SECRET))
            continue;
        n++;
        struct vct_pod *pod = vct_pod_new(t, NULL, 0);
        struct vct_walk w = { .pod = pod, .around = step_with_secret, .arg = (void *)(uintptr_t)o->key };
        pod->set = set;
        vct_walk(&w); /* it may be refused: a canary is no real secret */
        vct_walk_done(&w);
        vct_walk_end(pod, "with a secret option set");
        vct_pod_free(pod);
    }
    if (!n)
        vct_skip(t, "the plugin has no secret option");
}

static void run_c8(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_walk_whole(pod, "with a configuration that is valid during create and restore only");
    const char *seen = vct_seen(t, "C8");
    VCT_MUST(t, !seen, "%s", seen);
    for (const char *p = (const char *)vcs_buf_data(&pod->argv), *end = p + pod->argv.len; p < end; p += strlen(p) + 1)
        VCT_MUST(t, !strstr(p, "????"),
                 "a word of a spawned program is \"%.100s\": a string of the configuration was used after the call it "
                 "was valid for, when the host had overwritten it",
                 p);
    vct_pod_free(pod);
}

static void run_c9(struct vct *t)
{
    char first[4096], text[4096];
    if (!vct_has_probe(t))
        vct_skip(t, "the plugin has no probe");
    struct vct_pod *pod = vct_pod_new(t, NULL, VCT_NO_WORLD);
    int r = vct_pod_probe(pod, first, sizeof(first));
    struct vct_snap *before = vct_snap();
    for (int i = 2; i <= 10; i++) {
        int again = vct_pod_probe(pod, text, sizeof(text));
        if (again != r || strcmp(first, text)) {
            vct_snap_free(before);
            vct_fail(t,
                     "probe answers %s with \"%.100s\" at first, and %s with \"%.100s\" the time number %d; always the "
                     "same is right",
                     vct_code(r), first, vct_code(again), text, i);
        }
    }
    struct vct_snap *after = vct_snap();
    const char *diff = vct_snap_diff(before, after, VCT_SNAP_ALL);
    vct_snap_free(before);
    vct_snap_free(after);
    VCT_MUST(t, !*diff, "probe, called 10 times, leaves a trace: %s", diff);
    const char *left = vct_pod_left(pod);
    VCT_MUST(t, !*left && pod->spawned == 0, "probe has an effect: %s", *left ? left : "it spawned a process");
    vct_pod_free(pod);
}

const struct vct_check vct_checks_config[] = {
    { "C1", "types.h vc_option", VCT_ANY_KIND, VCT_QUICK, VCT_NEEDS_LOAD, "the option table is sound",
      "Hosts check the user's file against it before the plugin sees a value, and print help and samples from it.",
      "Give each option a unique key, a type, a doc, and a default that is within its own range.", run_c1 },
    { "C2", "plugin.h create", VCT_ANY_KIND, VCT_QUICK, VCT_NEEDS_CREATE, "defaults alone work, or an error names what must be set",
      "A user who has configured nothing starts there.",
      "Give every option a default that works or mark it required; answer VC_E_CONFIG and name the option.", run_c2 },
    { "C3", "types.h VC_OPT_REQUIRED", VCT_ANY_KIND, VCT_FULL, VCT_NEEDS_CREATE,
      "without a required option, create answers CONFIG and names it",
      "Hosts check first, but one that does not must get an error and not a crash.",
      "When cfg_str or cfg_int answers VC_E_NOTFOUND for a required key, report VC_E_CONFIG with its name.", run_c3 },
    { "C4", "types.h vc_option min, max", VCT_ANY_KIND, VCT_FULL, 0, "numbers at and beyond their limits do no harm",
      "Whatever the table allows will be configured by someone; sums and products of such numbers overflow.",
      "Declare the range that works, compute with 64 bits, and refuse combinations with VC_E_CONFIG.", run_c4 },
    { "C5", "host.h vc_spawn argv", VCT_ANY_KIND, VCT_FULL, VCT_SLOW, "odd texts arrive literally or are refused",
      "A path with a comma or a blank is somebody's real path. A value that becomes part of a command line is a way "
      "in.",
      "Pass values as words of argv, never through a shell; write commas as the program's option syntax wants them; "
      "answer VC_E_CONFIG for what cannot be passed on.",
      run_c5 },
    { "C6", "host.h cfg_str", VCT_ANY_KIND, VCT_QUICK, 0, "declared options are read, and no others",
      "A key that is not declared can never be set. One that is never read makes the user believe that it does "
      "something.",
      "Declare what you read; remove what you do not.", run_c6 },
    { "C7", "types.h VC_OPT_SECRET", VCT_ANY_KIND, VCT_FULL, 0, "a secret stands in no log, error, argv or state",
      "Logs are sent around, state files are copied, and every user can read the words of a process.",
      "Hand secrets over through a descriptor or a private file, and name the option, not its value, in messages.",
      run_c7 },
    { "C8", "host.h cfg_str", VCT_ANY_KIND, VCT_QUICK, 0, "the configuration is not used after create",
      "The view and its strings are gone when create or restore returns.", "Copy what you need in create and restore.",
      run_c8 },
    { "C9", "plugin.h probe", VCT_ANY_KIND, VCT_FULL, VCT_NEEDS_LOAD, "probe answers the same each time and leaves nothing",
      "Tools probe again and again, and beside running pods.", "Look, report, and undo what looking needed.", run_c9 },
    { 0 }
};
