/* SPDX-License-Identifier: Apache-2.0 */
/* json.c: a strict reader of JSON text (RFC 8259) for the results that a plugin gives as JSON. */
#include "json.h"
#include "lib/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 64

struct reader {
    const char *at, *end, *start;
    const char *wrong; /* first thing that was wrong */
    const char *where;
};

static struct vct_json *value(struct reader *r, int depth);

static void *wrong(struct reader *r, const char *what)
{
    if (!r->wrong) {
        r->wrong = what;
        r->where = r->at;
    }
    return NULL;
}

static void blank(struct reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at)
        r->at++;
}

static int take(struct reader *r, char c)
{
    blank(r);
    if (r->at >= r->end || *r->at != c)
        return 0;
    r->at++;
    return 1;
}

void vct_json_free(struct vct_json *v)
{
    while (v) {
        struct vct_json *next = v->next;
        vct_json_free(v->first);
        free(v->text);
        free(v->key);
        free(v);
        v = next;
    }
}

static int hex4(struct reader *r, unsigned *ret)
{
    unsigned u = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        const char *digits = "0123456789abcdef", *d;
        if (r->at >= r->end || !*r->at || !(d = strchr(digits, *r->at | (*r->at >= 'A' ? 0x20 : 0))))
            return 0;
        u = u << 4 | (unsigned)(d - digits);
    }
    *ret = u;
    return 1;
}

static char *utf8(char *out, unsigned u)
{
    if (u < 0x80) {
        *out++ = (char)u;
    } else if (u < 0x800) {
        *out++ = (char)(0xc0 | u >> 6);
        *out++ = (char)(0x80 | (u & 0x3f));
    } else if (u < 0x10000) {
        *out++ = (char)(0xe0 | u >> 12);
        *out++ = (char)(0x80 | (u >> 6 & 0x3f));
        *out++ = (char)(0x80 | (u & 0x3f));
    } else {
        *out++ = (char)(0xf0 | u >> 18);
        *out++ = (char)(0x80 | (u >> 12 & 0x3f));
        *out++ = (char)(0x80 | (u >> 6 & 0x3f));
        *out++ = (char)(0x80 | (u & 0x3f));
    }
    return out;
}

/* One escape behind its backslash. */
static char *escape(struct reader *r, char *out)
{
    static const char plain[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    const char *p = r->at < r->end && *r->at ? strchr(plain, *r->at) : NULL;
    unsigned u = 0, low = 0;
    if (p) {
        r->at++;
        *out++ = means[p - plain];
        return out;
    }
    if (r->at >= r->end || *r->at++ != 'u' || !hex4(r, &u))
        return wrong(r, "a wrong escape");
    if (u >= 0xd800 && u < 0xdc00) {
        if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
            return wrong(r, "half a surrogate pair");
        r->at += 2;
        if (!hex4(r, &low) || low < 0xdc00 || low > 0xdfff)
            return wrong(r, "half a surrogate pair");
        u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
    } else if (u >= 0xdc00 && u <= 0xdfff) {
        return wrong(r, "half a surrogate pair");
    }
    return u ? utf8(out, u) : wrong(r, "a NUL in a string");
}

/* A string behind its first quote. */
static char *string(struct reader *r, size_t *ret_len)
{
    char *text = malloc((size_t)(r->end - r->at) + 1), *out = text;
    if (!text)
        return wrong(r, "no memory");
    while (out && r->at < r->end && *r->at != '"') {
        size_t n = vcs_utf8(r->at, (size_t)(r->end - r->at));
        if ((unsigned char)*r->at < 0x20) {
            out = wrong(r, "a control byte in a string");
        } else if (n == 0) {
            out = wrong(r, "bytes in a string that are no UTF-8");
        } else if (*r->at == '\\') {
            r->at++;
            out = escape(r, out);
        } else {
            memcpy(out, r->at, n);
            out += n;
            r->at += n;
        }
    }
    if (out && r->at >= r->end)
        out = wrong(r, "a string without an end");
    if (!out) {
        free(text);
        return NULL;
    }
    r->at++;
    *out = '\0';
    *ret_len = (size_t)(out - text);
    return text;
}

static int digits(struct reader *r)
{
    const char *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > from;
}

static struct vct_json *number(struct reader *r, struct vct_json *v)
{
    const char *from = r->at;
    if (r->at < r->end && *r->at == '-')
        r->at++;
    const char *first = r->at;
    if (!digits(r) || (*first == '0' && r->at - first > 1))
        return wrong(r, "something that is no value");
    v->whole = 1;
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        v->whole = 0;
        if (!digits(r))
            return wrong(r, "a number without digits behind its point");
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        v->whole = 0;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        if (!digits(r))
            return wrong(r, "a number without digits in its exponent");
    }
    char copy[24];
    if (r->at - from >= (ptrdiff_t)sizeof(copy))
        v->whole = 0;
    if (v->whole) {
        memcpy(copy, from, (size_t)(r->at - from));
        copy[r->at - from] = '\0';
        errno = 0;
        v->number = strtoll(copy, NULL, 10);
        v->whole = errno == 0;
    }
    v->type = VCT_JSON_NUMBER;
    return v;
}

/* The members of an array or an object behind its bracket. */
static struct vct_json *members(struct reader *r, struct vct_json *v, int depth)
{
    char close = v->type == VCT_JSON_ARRAY ? ']' : '}';
    struct vct_json **tail = &v->first;
    if (depth > MAX_DEPTH)
        return wrong(r, "more than 64 levels");
    if (take(r, close))
        return v;
    do {
        char *key = NULL;
        size_t len = 0;
        if (v->type == VCT_JSON_OBJECT) {
            if (!take(r, '"'))
                return wrong(r, "a member of an object without a name");
            key = string(r, &len);
            if (!key)
                return NULL;
            if (vct_json_get(v, key) || !take(r, ':')) {
                free(key);
                return wrong(r, "a name that is there twice, or has no \":\" behind it");
            }
        }
        struct vct_json *m = value(r, depth + 1);
        if (!m) {
            free(key);
            return NULL;
        }
        m->key = key;
        *tail = m;
        tail = &m->next;
        v->n++;
    } while (take(r, ','));
    return take(r, close) ? v : wrong(r, v->type == VCT_JSON_ARRAY ? "no \",\" or \"]\"" : "no \",\" or \"}\"");
}

static int word(struct reader *r, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, w, n) != 0)
        return 0;
    r->at += n;
    return 1;
}

static struct vct_json *value(struct reader *r, int depth)
{
    struct vct_json *v = calloc(1, sizeof(*v)), *ok = NULL;
    if (!v)
        return wrong(r, "no memory");
    blank(r);
    if (take(r, '{')) {
        v->type = VCT_JSON_OBJECT;
        ok = members(r, v, depth);
    } else if (take(r, '[')) {
        v->type = VCT_JSON_ARRAY;
        ok = members(r, v, depth);
    } else if (take(r, '"')) {
        v->type = VCT_JSON_STRING;
        v->text = string(r, &v->len);
        ok = v->text ? v : NULL;
    } else if (word(r, "true") || word(r, "false")) {
        v->type = VCT_JSON_BOOL;
        v->number = r->at[-2] == 'u';
        ok = v;
    } else if (word(r, "null")) {
        ok = v;
    } else {
        ok = number(r, v);
    }
    if (!ok)
        vct_json_free(v);
    return ok;
}

struct vct_json *vct_json_parse(const char *text, size_t len, char *why, size_t size)
{
    struct reader r = { .at = text, .start = text, .end = text + len };
    struct vct_json *v = value(&r, 1);
    if (v) {
        blank(&r);
        if (r.at == r.end)
            return v;
        wrong(&r, "more text behind its end");
        vct_json_free(v);
    }
    if (size)
        snprintf(why, size, "%s at byte %td", r.wrong, r.where - r.start);
    return NULL;
}

const struct vct_json *vct_json_get(const struct vct_json *v, const char *key)
{
    if (!v || v->type != VCT_JSON_OBJECT)
        return NULL;
    for (const struct vct_json *m = v->first; m; m = m->next)
        if (strcmp(m->key, key) == 0)
            return m;
    return NULL;
}

const char *vct_json_str(const struct vct_json *v, const char *key)
{
    const struct vct_json *m = vct_json_get(v, key);
    return m && m->type == VCT_JSON_STRING ? m->text : NULL;
}

const char *vct_json_what(const struct vct_json *v)
{
    static const char *const names[] = { "null", "true or false", "a number", "a string", "an array", "an object" };
    return v ? names[v->type] : "nothing";
}
