/* SPDX-License-Identifier: Apache-2.0 */
/* record.c: JSON of the library's own records. */
#include "record.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>

#define DEPTH_MAX 32
#define OUT_FIRST 1024 /* what most records have */

/* Bytes of a string that JSON wants no escape for. */
static const unsigned char plain[256] = { [0x20 ... 0x21] = 1, [0x23 ... 0x5b] = 1, [0x5d ... 0xff] = 1 };

/* ---- writing ---- */

/* Where the next `n` bytes go; NULL without memory. */
static char *room(struct vci_out *o, size_t n)
{
    if (n > o->cap - o->len) {
        size_t cap = o->cap ? 2 * o->cap : OUT_FIRST;
        while (cap - o->len < n && cap < SIZE_MAX / 4)
            cap *= 2;
        char *text = o->bad ? NULL : realloc(o->text, cap);
        if (!text) {
            o->bad = 1;
            return NULL;
        }
        o->text = text;
        o->cap = cap;
    }
    return o->text + o->len;
}

/* A comma where one is wanted, and the name, which has nothing to be escaped; `n` more bytes are for the value. */
static char *begin(struct vci_out *o, const char *key, size_t len, size_t n)
{
    char *t = room(o, n + len + 4);
    if (!t)
        return NULL;
    if (o->len && t[-1] != '[' && t[-1] != '{')
        *t++ = ',';
    if (key) {
        *t++ = '"';
        memcpy(t, key, len);
        t += len;
        *t++ = '"';
        *t++ = ':';
    }
    return t;
}

static void end(struct vci_out *o, const char *t)
{
    o->len = (size_t)(t - o->text);
}

void vci_out_open_n(struct vci_out *o, const char *key, size_t key_len, char bracket)
{
    char *t = begin(o, key, key_len, 1);
    if (!t)
        return;
    *t++ = bracket;
    end(o, t);
}

void vci_out_close(struct vci_out *o, char bracket)
{
    char *t = room(o, 1);
    if (!t)
        return;
    *t++ = bracket;
    end(o, t);
}

void vci_out_int_n(struct vci_out *o, const char *key, size_t key_len, int64_t v)
{
    char digits[24];
    size_t at = sizeof digits;
    uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
    char *t = begin(o, key, key_len, sizeof digits);
    if (!t)
        return;
    do
        digits[--at] = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0)
        digits[--at] = '-';
    memcpy(t, digits + at, sizeof digits - at);
    end(o, t + (sizeof digits - at));
}

void vci_out_str_n(struct vci_out *o, const char *key, size_t key_len, const char *s, size_t len)
{
    static const char hex[] = "0123456789abcdef", short_of[] = "btn\0fr"; /* from 8 on */
    size_t more = 2, first = 0; /* the quotes */
    while (first < len && plain[(unsigned char)s[first]])
        first++;
    for (size_t i = first; i < len; i++)
        more += (unsigned char)s[i] < 0x20 ? 5 : s[i] == '"' || s[i] == '\\';
    char *t = begin(o, key, key_len, len + more);
    if (!t)
        return;
    *t++ = '"';
    if (more == 2) {
        memcpy(t, s, len);
        t += len;
    }
    for (size_t i = 0; more > 2 && i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= '\b' && c <= '\r' && c != '\v') {
            *t++ = '\\';
            *t++ = short_of[c - '\b'];
            continue;
        }
        if (c < 0x20) {
            memcpy(t, "\\u00", 4);
            t[4] = hex[c >> 4];
            t[5] = hex[c & 15];
            t += 6;
            continue;
        }
        if (c == '"' || c == '\\')
            *t++ = '\\';
        *t++ = (char)c;
    }
    *t++ = '"';
    end(o, t);
}

int vci_out_plain(struct vci_out *o, const char *key, size_t key_len, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!plain[(unsigned char)s[i]] || (unsigned char)s[i] >= 0x80)
            return 0;
    char *t = begin(o, key, key_len, len + 2);
    if (t) {
        *t++ = '"';
        memcpy(t, s, len);
        t[len] = '"';
        end(o, t + len + 1);
    }
    return 1;
}

void vci_out_text(struct vci_out *o, const char *key, const char *text, size_t len)
{
    char *t = begin(o, key, key ? strlen(key) : 0, len);
    if (!t)
        return;
    memcpy(t, text, len);
    end(o, t + len);
}

void vci_out_json(struct vci_out *o, const char *key, struct json_object *v)
{
    size_t len = 0;
    if (!v)
        return;
    const char *text = json_object_to_json_string_length(v, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
    if (text)
        vci_out_text(o, key, text, len);
    else
        o->bad = 1;
}

char *vci_out_take(struct vci_out *o)
{
    char *nul = room(o, 1), *text = o->bad ? NULL : o->text;
    if (text) {
        *nul = '\0';
        o->text = NULL;
    }
    vci_out_done(o);
    return text;
}

void vci_out_done(struct vci_out *o)
{
    free(o->text);
    *o = (struct vci_out){ 0 };
}

/* ---- memory of what is read ---- */

void vci_doc_init(struct vci_doc *d)
{
    d->text = d->small;
    d->len = d->n = d->at = 0;
    d->rec = d->few;
    d->room = sizeof d->few / sizeof d->few[0];
    d->why = NULL;
}

char *vci_doc_room(struct vci_doc *d, size_t size)
{
    if (d->text == d->small && size < sizeof d->small)
        return d->text;
    char *text = realloc(d->text == d->small ? NULL : d->text, size + 1);
    if (!text)
        return NULL;
    if (d->text == d->small)
        memcpy(text, d->small, sizeof d->small);
    return d->text = text;
}

void vci_doc_done(struct vci_doc *d)
{
    if (d->text != d->small)
        free(d->text);
    if (d->rec != d->few)
        free(d->rec);
    vci_doc_init(d);
}

/* ---- reading ---- */

struct in {
    struct vci_doc *d;
    char *p, *end; /* *end is a NUL, which is nothing that JSON has outside of a string */
};

static int wrong(struct in *in, const char *why)
{
    in->d->why = in->p >= in->end ? "it is cut off" : why;
    in->d->at = (size_t)(in->p - in->d->text);
    return -EINVAL;
}

static void blanks(struct in *in)
{
    while ((unsigned char)*in->p <= ' ' && (*in->p == ' ' || *in->p == '\n' || *in->p == '\t' || *in->p == '\r'))
        in->p++;
}

/* One more value; where it stands can change with the next one. */
static struct vci_rec *add(struct in *in, enum vci_rec_type type)
{
    struct vci_doc *d = in->d;
    if (d->n == d->room) {
        if (d->room > UINT32_MAX / 4)
            return NULL;
        struct vci_rec *more = realloc(d->rec == d->few ? NULL : d->rec, 2 * d->room * sizeof *more);
        if (!more)
            return NULL;
        if (d->rec == d->few)
            memcpy(more, d->few, sizeof d->few);
        d->rec = more;
        d->room *= 2;
    }
    struct vci_rec *v = &d->rec[d->n++];
    *v = (struct vci_rec){ .type = type, .skip = 1 };
    return v;
}

/* Four hexadecimal digits at p; -1. */
static int hex4(const char *p)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int c = p[i], digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0)
            return -1; /* a NUL too, so nothing behind the end is looked at */
        v = v << 4 | digit;
    }
    return v;
}

/* The character of \uXXXX (and of a second one, which completes a pair) goes to *to.  p is at the 'u'. */
static int unicode(struct in *in, char **to)
{
    int c = hex4(in->p + 1), low;
    if (c < 0)
        return wrong(in, "\\u wants four hexadecimal digits");
    in->p += 5;
    if (c >= 0xd800 && c < 0xe000) {
        low = c < 0xdc00 && in->p[0] == '\\' && in->p[1] == 'u' ? hex4(in->p + 2) : -1;
        if (low < 0xdc00 || low >= 0xe000)
            return wrong(in, "half of a character");
        in->p += 6;
        c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
    }
    char *t = *to;
    if (c < 0x80) {
        *t++ = (char)c;
    } else {
        int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        static const unsigned char lead[] = { 0, 0xc0, 0xe0, 0xf0 };
        *t++ = (char)(lead[more] | c >> 6 * more);
        while (more-- > 0)
            *t++ = (char)(0x80 | (c >> 6 * more & 0x3f));
    }
    *to = t;
    return 0;
}

/* A string, whose first quote is at p: it is shortened where it stands, and its last quote becomes a NUL. */
static int string(struct in *in, const char **ret, uint32_t *ret_len)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    char *start = in->p + 1, *to = start;
    while (plain[(unsigned char)*to])
        to++;
    in->p = to;
    while (*in->p != '"') {
        const char *known;
        if ((unsigned char)*in->p < 0x20)
            return wrong(in, "a control character in a string");
        if (*in->p != '\\') {
            *to++ = *in->p++;
        } else if (*++in->p == 'u') {
            int r = unicode(in, &to);
            if (r < 0)
                return r;
        } else if (*in->p && (known = strchr(letters, *in->p))) {
            *to++ = meant[known - letters];
            in->p++;
        } else {
            return wrong(in, "an escape that JSON does not have");
        }
    }
    in->p++;
    *to = '\0';
    *ret = start;
    *ret_len = (uint32_t)(to - start);
    return 0;
}

static int number(struct in *in)
{
    struct vci_rec *v = add(in, VCI_REC_INT);
    int minus = *in->p == '-';
    uint64_t u = 0;
    static const uint64_t tenth = INT64_MAX / 10; /* of the most, whose last digit is 7, and 8 below zero */
    if (!v)
        return -ENOMEM;
    in->p += minus;
    const char *digits = in->p;
    for (; *in->p >= '0' && *in->p <= '9'; in->p++) {
        unsigned digit = (unsigned)(*in->p - '0');
        if (u > tenth || (u == tenth && digit > 7u + (unsigned)minus))
            return wrong(in, "a number that is too large");
        u = u * 10 + digit;
    }
    if (in->p == digits || (*digits == '0' && in->p > digits + 1) || *in->p == '.' || (*in->p | 32) == 'e')
        return wrong(in, "a number that is no whole one");
    v->num = minus ? (int64_t)-u : (int64_t)u;
    return 0;
}

static int word(struct in *in, const char *text, enum vci_rec_type type, int64_t num)
{
    size_t i = 0;
    while (text[i] && in->p[i] == text[i])
        i++;
    if (text[i]) {
        in->p += i;
        return wrong(in, "nothing that is JSON");
    }
    struct vci_rec *v = add(in, type);
    if (!v)
        return -ENOMEM;
    v->num = num;
    in->p += i;
    return 0;
}

static int value(struct in *in, int depth);

/* What stands between brackets; p is at the first one. */
static int values(struct in *in, int depth, enum vci_rec_type type)
{
    char last = type == VCI_REC_OBJECT ? '}' : ']';
    size_t self = in->d->n, n = 0;
    if (depth == DEPTH_MAX)
        return wrong(in, "too many brackets in each other");
    if (!add(in, type))
        return -ENOMEM;
    in->p++;
    blanks(in);
    while (n || *in->p != last) {
        const char *key = NULL;
        uint32_t key_len = 0;
        size_t at = in->d->n;
        int r = 0;
        if (type == VCI_REC_OBJECT) {
            if (*in->p != '"')
                return wrong(in, "a member without a name");
            r = string(in, &key, &key_len);
            if (r < 0)
                return r;
            blanks(in);
            if (*in->p != ':')
                return wrong(in, "a name without a value");
            in->p++;
        }
        r = value(in, depth + 1);
        if (r < 0)
            return r;
        in->d->rec[at].key = key;
        in->d->rec[at].key_len = key_len;
        if (key)
            in->d->rec[self].num |= vci_rec_name(*key, key_len ? key[key_len - 1] : '\0', key_len);
        n++;
        blanks(in);
        if (*in->p == last)
            break;
        if (*in->p != ',')
            return wrong(in, "a comma is missing");
        in->p++;
        blanks(in);
    }
    in->p++;
    in->d->rec[self].n = (uint32_t)n;
    in->d->rec[self].skip = (uint32_t)(in->d->n - self);
    return 0;
}

static int value(struct in *in, int depth)
{
    struct vci_rec *v;
    blanks(in);
    switch (*in->p) {
    case '{':
        return values(in, depth, VCI_REC_OBJECT);
    case '[':
        return values(in, depth, VCI_REC_ARRAY);
    case '"':
        v = add(in, VCI_REC_STR);
        return v ? string(in, &v->str, &v->n) : -ENOMEM;
    case 't':
        return word(in, "true", VCI_REC_BOOL, 1);
    case 'f':
        return word(in, "false", VCI_REC_BOOL, 0);
    case 'n':
        return word(in, "null", VCI_REC_NULL, 0);
    default:
        if (*in->p == '-' || (*in->p >= '0' && *in->p <= '9'))
            return number(in);
        return wrong(in, "nothing that is JSON");
    }
}

int vci_doc_parse(struct vci_doc *d, size_t len)
{
    struct in in = { .d = d, .p = d->text, .end = d->text + len };
    d->len = len;
    d->n = 0;
    if (len > UINT32_MAX / 4)
        return -ENOMEM;
    *in.end = '\0';
    int r = value(&in, 0);
    if (r < 0)
        return r;
    blanks(&in);
    return in.p == in.end ? 0 : wrong(&in, "something after its end");
}

/* ---- looking ---- */

const struct vci_rec *vci_rec_find(const struct vci_rec *o, const char *key, size_t len, enum vci_rec_type type)
{
    if (!o || o->type != VCI_REC_OBJECT)
        return NULL;
    for (const struct vci_rec *v = vci_rec_first(o); v; v = vci_rec_next(o, v))
        if (v->key_len == len && *v->key == *key && memcmp(v->key, key, len) == 0)
            return v->type == type ? v : NULL;
    return NULL;
}

struct json_object *vci_rec_json(const struct vci_rec *v)
{
    struct json_object *o, *one;
    if (!v)
        return NULL;
    switch (v->type) {
    case VCI_REC_BOOL:
        return json_object_new_boolean(v->num != 0);
    case VCI_REC_INT:
        return json_object_new_int64(v->num);
    case VCI_REC_STR:
        return json_object_new_string_len(v->str, (int)v->n);
    case VCI_REC_ARRAY:
        o = json_object_new_array();
        for (const struct vci_rec *e = vci_rec_first(v); o && e; e = vci_rec_next(v, e))
            json_object_array_add(o, vci_rec_json(e));
        return o;
    case VCI_REC_OBJECT:
        o = json_object_new_object();
        for (const struct vci_rec *e = vci_rec_first(v); o && e; e = vci_rec_next(v, e))
            if ((one = vci_rec_json(e)) || e->type == VCI_REC_NULL)
                json_object_object_add(o, e->key, one);
        return o;
    default:
        return NULL;
    }
}
