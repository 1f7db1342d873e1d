/* SPDX-License-Identifier: Apache-2.0 */
/* peer-rules.c: what a peer does when something happens: finds the rule and runs its actions. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conformance/peer-run.h"
#include "lib/io.h"

/* What a rule that runs knows. */
struct doing {
    struct vct_run *p;
    struct vct_conn *c; /* NULL: all */
    struct vct_captures words;
    const struct vct_action *a;
};

static void fill(struct doing *d, const struct vct_text *t, struct vcs_buf *out)
{
    if (t->data)
        vct_expand(t, &d->words, vct_run_fact, d->p, out);
}

static const char *text(struct vcs_buf *b)
{
    const char *s = vcs_buf_str(b);
    return s ? s : "";
}

/* Say what went wrong where the checks look, and end. */
static void broken(struct doing *d, const char *what, const char *got, size_t len)
{
    char line[1024];
    int n = snprintf(line, sizeof(line), "%s:%u: %s, but \"%.*s\" came", d->p->file, d->a->line, what,
                     len > 200 ? 200 : (int)len, got);
    for (char *s = line; *s; s++)
        if ((unsigned char)*s < ' ')
            *s = '?';
    vct_facts_set(d->p->facts_dir, "peer.error", line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
    vct_run_end(d->p, 70);
}

/* ---- actions ---- */

static void say_to(struct doing *d, struct vct_conn *c, const void *data, size_t len, int framed)
{
    struct vcs_buf out = { 0 };
    unsigned char head[4];
    enum vct_framing f = framed && d->p->peer ? d->p->peer->framing : VCT_UNFRAMED;
    vcs_put_be32(head, (uint32_t)len);
    if (f == VCT_LE32)
        for (int i = 0; i < 4; i++)
            head[i] = (unsigned char)(len >> (8 * i));
    if (f == VCT_BE32 || f == VCT_LE32)
        vcs_buf_append(&out, head, 4);
    vcs_buf_append(&out, data, len);
    if (f == VCT_LINES)
        vcs_buf_append(&out, "\n", 1);
    vct_conn_send(d->p, c, vcs_buf_data(&out), out.len);
    vcs_buf_done(&out);
}

static void say(struct doing *d, int framed)
{
    struct vcs_buf data = { 0 };
    fill(d, &d->a->a, &data);
    for (int i = 0; i < d->p->n_conns; i++) {
        struct vct_conn *c = &d->p->conns[i];
        if ((!d->c || d->c == c) && c->partner < 0 && c->out >= 0)
            say_to(d, c, vcs_buf_data(&data), data.len, framed);
    }
    vcs_buf_done(&data);
}

/* tell and hangup: the streams whose label matches. */
static void labelled(struct doing *d)
{
    struct vcs_buf label = { 0 }, data = { 0 };
    fill(d, &d->a->a, &label);
    fill(d, &d->a->b, &data);
    struct vct_text pattern = { (char *)(uintptr_t)text(&label), label.len };
    for (int i = 0; i < d->p->n_conns; i++) {
        struct vct_conn *c = &d->p->conns[i];
        if (!c->label[0] || !vct_match_whole(&pattern, c->label, strlen(c->label), NULL))
            continue;
        if (d->a->verb == VCT_DO_TELL)
            say_to(d, c, vcs_buf_data(&data), data.len, 1);
        else
            c->closing = 1;
    }
    vcs_buf_done(&label);
    vcs_buf_done(&data);
}

/* label and join: what is said on one of two joined streams comes out of the other. */
static void name_stream(struct doing *d)
{
    struct vcs_buf label = { 0 };
    struct vct_conn *c = d->c;
    if (!c)
        return;
    fill(d, &d->a->a, &label);
    snprintf(c->label, sizeof(c->label), "%s", text(&label));
    vcs_buf_done(&label);
    if (d->a->verb == VCT_DO_LABEL)
        return;
    c->unframed = 1;
    for (int i = 0; i < d->p->n_conns; i++) {
        struct vct_conn *other = &d->p->conns[i];
        if (other != c && other->unframed && other->partner < 0 && !other->closing && !strcmp(other->label, c->label)) {
            other->partner = (int)(c - d->p->conns);
            c->partner = i;
            vct_conn_joined(d->p, other);
            return;
        }
    }
}

static void keep(struct doing *d)
{
    struct vcs_buf name = { 0 }, value = { 0 };
    char old[64];
    fill(d, &d->a->a, &name);
    fill(d, &d->a->b, &value);
    if (d->a->verb == VCT_DO_UNSET) {
        vct_facts_unset(d->p->facts_dir, text(&name));
    } else if (d->a->verb == VCT_DO_ADD) {
        long long sum = vct_facts_get(d->p->facts_dir, text(&name), old, sizeof(old)) > 0 ? strtoll(old, NULL, 10) : 0;
        sum = (long long)((unsigned long long)sum + (unsigned long long)strtoll(text(&value), NULL, 10));
        int n = snprintf(old, sizeof(old), "%lld", sum);
        vct_facts_set(d->p->facts_dir, text(&name), old, (size_t)n);
    } else {
        vct_facts_set(d->p->facts_dir, text(&name), (const char *)vcs_buf_data(&value), value.len);
    }
    vcs_buf_done(&name);
    vcs_buf_done(&value);
}

static void write_file(struct doing *d)
{
    struct vcs_buf path = { 0 }, data = { 0 };
    fill(d, &d->a->a, &path);
    fill(d, &d->a->b, &data);
    if (!strncmp(text(&path), "/proc/self/fd/", 14)) { /* of somebody else: it keeps its name and its mode */
        vcs_autoclose int fd = open(text(&path), O_WRONLY | O_TRUNC | O_CLOEXEC);
        if (fd >= 0)
            vcs_write_full(fd, vcs_buf_data(&data), data.len);
    } else if (path.len)
        vcs_write_file_atomic(AT_FDCWD, text(&path), vcs_buf_data(&data), data.len, 0644, 0);
    vcs_buf_done(&path);
    vcs_buf_done(&data);
}

static int holds(struct vct_run *p, const struct vct_captures *words, const struct vct_text *fact,
                 const struct vct_text *value)
{
    struct vcs_buf name = { 0 }, want = { 0 }, have = { 0 };
    char probe[8];
    vct_expand(fact, words, vct_run_fact, p, &name);
    int there = vct_facts_get(p->facts_dir, text(&name), probe, sizeof(probe)) >= 0;
    if (there && value->data) {
        vct_expand(value, words, vct_run_fact, p, &want);
        vct_run_fact(p, text(&name), &have);
        there = have.len == want.len && !memcmp(text(&have), text(&want), have.len);
    }
    vcs_buf_done(&name);
    vcs_buf_done(&want);
    vcs_buf_done(&have);
    return there;
}

/* Facts are renamed into place, of which the watch tells. */
static void await(struct doing *d)
{
    char drop[4096];
    while (!holds(d->p, &d->words, &d->a->a, &d->a->b)) {
        struct pollfd pf[2] = { { .fd = d->p->watch, .events = POLLIN }, { .fd = d->p->parent, .events = POLLIN } };
        if (poll(pf, 2, 200) < 0 && errno != EINTR)
            return;
        if (pf[1].revents)
            vct_run_end(d->p, 0);
        if (pf[0].revents && read(d->p->watch, drop, sizeof(drop)) < 0 && errno != EAGAIN)
            return;
    }
}

static void expect(struct doing *d)
{
    struct vct_conn *c = d->c;
    const unsigned char *at;
    size_t n;
    long whole = 0;
    while (c && (whole = vct_conn_message(d->p, c, &at, &n)) == 0 && !c->eof) {
        struct pollfd pf = { .fd = c->in, .events = POLLIN };
        vct_conn_flush(d->p, c);
        if (poll(&pf, 1, c->outb.len ? 2 : 1000) > 0)
            vct_conn_read(d->p, c);
    }
    struct vcs_buf what = { 0 };
    vcs_buf_printf(&what, "\"%s\" was expected", d->a->a.data);
    if (whole <= 0)
        broken(d, text(&what), "the end", 7);
    else if (!vct_match(&d->a->a, (const char *)at, n, &d->words))
        broken(d, text(&what), (const char *)at, n);
    else
        vcs_buf_consume(&c->inb, (size_t)whole);
    vcs_buf_done(&what);
}

static void copy(struct doing *d)
{
    struct vct_conn *from = vct_conn_add(d->p, 0, -1), *to = from ? vct_conn_add(d->p, -1, 1) : NULL;
    if (to)
        from->partner = (int)(to - d->p->conns);
}

static void act(struct doing *d)
{
    struct vcs_buf b = { 0 };
    switch (d->a->verb) {
    case VCT_DO_REPLY:
    case VCT_DO_SEND:
        say(d, d->a->verb == VCT_DO_REPLY);
        break;
    case VCT_DO_FACT:
    case VCT_DO_UNSET:
    case VCT_DO_ADD:
        keep(d);
        break;
    case VCT_DO_WAIT:
        await(d);
        break;
    case VCT_DO_EXPECT:
        expect(d);
        break;
    case VCT_DO_FILE:
        write_file(d);
        break;
    case VCT_DO_COPY:
        copy(d);
        break;
    case VCT_DO_TELL:
    case VCT_DO_HANGUP:
        labelled(d);
        break;
    case VCT_DO_LABEL:
    case VCT_DO_JOIN:
        name_stream(d);
        break;
    case VCT_DO_NEXT:
        break;
    case VCT_DO_CLOSE:
        for (int i = 0; i < d->p->n_conns; i++)
            if (!d->c || d->c == &d->p->conns[i])
                d->p->conns[i].closing = 1;
        break;
    case VCT_DO_EXIT:
        fill(d, &d->a->a, &b);
        vct_run_end(d->p, (int)strtol(text(&b), NULL, 10));
    case VCT_DO_DIE:
        signal(d->a->number, SIG_DFL);
        kill(getpid(), d->a->number);
        break;
    }
}

/* ---- rules ---- */

static int fits(struct vct_run *p, const struct vct_rule *r, enum vct_head head, const char *word, size_t len,
                int number, struct vct_captures *words)
{
    if (r->head != head || (head == VCT_AT_SIGNAL && r->number != number))
        return 0;
    if (r->pattern.data) {
        struct vcs_buf b = { 0 };
        struct vct_text pattern = r->pattern;
        if (strstr(pattern.data, "%{")) { /* a fact in a pattern */
            vct_expand(&pattern, NULL, vct_run_fact, p, &b);
            pattern = (struct vct_text){ (char *)(uintptr_t)text(&b), b.len };
        }
        int found = (head == VCT_ON_MESSAGE ? vct_match : vct_match_whole)(&pattern, word, len, words);
        vcs_buf_done(&b);
        if (!found)
            return 0;
    }
    return !r->condition || (r->condition > 0) == holds(p, words, &r->fact, &r->value);
}

int vct_rules_run(struct vct_run *p, enum vct_head head, struct vct_conn *c, const char *word, size_t len,
                  const char *v, int number)
{
    const struct vct_variant *sets[2] = { p->rules, p->peer ? &p->peer->variants[0] : NULL };
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; sets[k] && i < sets[k]->n_rules; i++) {
            const struct vct_rule *r = &sets[k]->rules[i];
            struct doing d = { .p = p, .c = c };
            char digits[16];
            snprintf(digits, sizeof(digits), "%d", number);
            const char *value = v ? v : head == VCT_AT_SIGNAL ? digits : NULL;
            if (value && (d.words.word[0].data = strdup(value)))
                d.words.word[0].len = strlen(value);
            int hit = fits(p, r, head, word, len, number, &d.words);
            for (size_t n = 0; hit && n < r->n_actions; n++) {
                d.a = &r->actions[n];
                act(&d);
            }
            vct_captures_done(&d.words);
            if (hit && !(d.a && d.a->verb == VCT_DO_NEXT))
                return 1;
        }
    return 0;
}

void vct_rules_signals(const struct vct_run *p, uint64_t *ret_mask)
{
    *ret_mask = 0;
    for (size_t k = 0; p->peer && k < p->peer->n_variants; k++)
        for (size_t i = 0; i < p->peer->variants[k].n_rules; i++)
            if (p->peer->variants[k].rules[i].head == VCT_AT_SIGNAL)
                *ret_mask |= UINT64_C(1) << (p->peer->variants[k].rules[i].number - 1);
}
