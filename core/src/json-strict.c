/* SPDX-License-Identifier: Apache-2.0 */
/* json-strict.c: a JSON parser for what people write: it is strict, bounded, and says where something is wrong.
 *
 * The usual parser takes the last one of two members of the same name, goes on after the end, and knows an offset only. */
#include "json-strict.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/utf8.h"

#define NUMBER_MAX 64 /* characters of a number */

/* ---- places ---- */

static size_t path_add(struct vci_json_path *p, const char *fmt, ...) VCS_PRINTF(2, 3);
static size_t path_add(struct vci_json_path *p, const char *fmt, ...)
{
    size_t before = p->len, room = sizeof p->text - p->len;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(p->text + p->len, room, fmt, ap);
    va_end(ap);
    p->len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
    return before;
}

size_t vci_json_path_member(struct vci_json_path *p, const char *name)
{
    static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    size_t n = strlen(name);
    if (n && strspn(name, word) == n)
        return path_add(p, "%s%s", p->len ? "." : "", name);
    return path_add(p, "[\"%.120s\"]", name);
}

size_t vci_json_path_index(struct vci_json_path *p, size_t i)
{
    return path_add(p, "[%zu]", i);
}

int vci_json_fail(const struct vci_json_path *p, vc_error **err, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return vci_fail(err, VC_ERR_INVAL, 0, "%s: %s", p->len ? p->text : "the document", text);
}

int vci_utf8_ok(const char *text, size_t len)
{
    for (size_t i = 0, n; i < len; i += n)
        if (!(n = vcs_utf8(text + i, len - i)))
            return 0;
    return 1;
}

int vci_json_check_depth(const char *text, vc_error **err)
{
    unsigned depth = 0, quoted = 0;
    for (const char *p = text; *p; p++) {
        if (quoted && *p == '\\' && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted && (*p == '{' || *p == '['))
            depth++;
        else if (!quoted && (*p == '}' || *p == ']'))
            depth--;
        if (depth >= VCI_JSON_DEPTH)
            return vci_fail(err, VC_ERR_INVAL, 0, "its objects and arrays are nested too deeply: %u levels are the most",
                            VCI_JSON_DEPTH - 1u);
    }
    return 0;
}

/* ---- the parser ---- */

struct parser {
    const char *begin, *at, *end;
    struct vci_json_path path;
    unsigned depth;
    size_t values;
    vc_error **err;
};

static int wrong(const struct parser *p, const char *what)
{
    size_t line = 1, column = 1;
    for (const char *c = p->begin; c < p->at; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    return vci_json_fail(&p->path, p->err, "%s (line %zu, column %zu)", what, line, column);
}

static int no_memory(const struct parser *p)
{
    return vci_fail(p->err, VC_ERR_NOMEM, 0, "out of memory");
}

static void skip_blanks(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
        p->at++;
}

/* The next character that is no blank, without taking it; -1 at the end. */
static int look(struct parser *p)
{
    skip_blanks(p);
    return p->at < p->end ? (unsigned char)*p->at : -1;
}

/* Four hexadecimal digits; -1 when they are none. */
static int hex4(struct parser *p)
{
    int v = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        static const char digits[] = "0123456789abcdefABCDEF";
        const char *d = p->at < p->end && *p->at ? strchr(digits, *p->at) : NULL;
        if (!d)
            return -1;
        int digit = (int)(d - digits);
        v = v * 16 + (digit > 15 ? digit - 6 : digit);
    }
    return v;
}

/* What follows "\u": one character, maybe of two halves. */
static int unicode(struct parser *p, struct vcs_buf *b)
{
    int c = hex4(p), low = 0;
    if (c >= 0xd800 && c <= 0xdbff) {
        if (p->end - p->at < 6 || p->at[0] != '\\' || p->at[1] != 'u')
            return wrong(p, "half of a pair of \\u escapes is missing");
        p->at += 2;
        low = hex4(p);
        if (low < 0xdc00 || low > 0xdfff)
            return wrong(p, "half of a pair of \\u escapes is missing");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    if (c < 0)
        return wrong(p, "\\u needs four hexadecimal digits");
    if (c == 0)
        return wrong(p, "a string cannot hold the character NUL");
    if (c >= 0xdc00 && c <= 0xdfff)
        return wrong(p, "half of a pair of \\u escapes is missing");
    unsigned char out[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (unsigned char)(0x80 | (c & 0x3f));
    out[0] = (unsigned char)(first[n] | c);
    return vcs_buf_append(b, out, n) < 0 ? no_memory(p) : 0;
}

static int escape(struct parser *p, struct vcs_buf *b)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *n = p->at + 1 < p->end && p->at[1] ? strchr(names, p->at[1]) : NULL;
    if (n) {
        p->at += 2;
        return vcs_buf_append(b, values + (n - names), 1) < 0 ? no_memory(p) : 0;
    }
    if (p->at + 1 >= p->end || p->at[1] != 'u')
        return wrong(p, "unknown escape in a string");
    p->at += 2;
    return unicode(p, b);
}

/* A string, without its quotes; the parser stands at the first one. */
static int string(struct parser *p, struct vcs_buf *b)
{
    for (p->at++;;) {
        const char *from = p->at;
        while (p->at < p->end && *p->at != '"' && *p->at != '\\') {
            size_t n = vcs_utf8(p->at, (size_t)(p->end - p->at));
            if (!n)
                return wrong(p, "a string is not UTF-8");
            if ((unsigned char)*p->at < 0x20)
                return wrong(p, "a control character in a string must be written as an escape");
            p->at += n;
        }
        if (p->at > from && vcs_buf_append(b, from, (size_t)(p->at - from)) < 0)
            return no_memory(p);
        if (p->at >= p->end)
            return wrong(p, "a string has no end");
        if (*p->at == '"')
            break;
        int rc = escape(p, b);
        if (rc < 0)
            return rc;
    }
    p->at++;
    return 0;
}

static size_t digits(const char *s)
{
    return strspn(s, "0123456789");
}

/* Is the text a number as JSON has them?  *ret_whole: without fraction and exponent. */
static int number_ok(const char *s, int *ret_whole)
{
    s += *s == '-';
    size_t n = digits(s);
    if (!n || (n > 1 && *s == '0'))
        return 0;
    s += n;
    *ret_whole = !*s;
    if (*s == '.') {
        n = digits(++s);
        if (!n)
            return 0;
        s += n;
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '+' || *s == '-';
        n = digits(s);
        if (!n)
            return 0;
        s += n;
    }
    return !*s;
}

static int number(struct parser *p, json_object **ret)
{
    char text[NUMBER_MAX + 1], *end;
    size_t n = 0;
    int whole = 0;
    while (p->at + n < p->end && n < NUMBER_MAX && p->at[n] && strchr("+-.eE0123456789", p->at[n]))
        n++;
    memcpy(text, p->at, n);
    text[n] = '\0';
    if (!number_ok(text, &whole))
        return wrong(p, n < NUMBER_MAX ? "this is no JSON value" : "a number is too long");
    errno = 0;
    if (!whole)
        *ret = json_object_new_double_s(strtod(text, &end), text);
    else if (text[0] == '-')
        *ret = json_object_new_int64(strtoll(text, &end, 10));
    else {
        uint64_t v = strtoull(text, &end, 10);
        *ret = v > INT64_MAX ? json_object_new_uint64(v) : json_object_new_int64((int64_t)v);
    }
    if (errno == ERANGE) {
        json_object_put(*ret);
        *ret = NULL;
        return wrong(p, "a number is out of range");
    }
    p->at += n;
    return *ret ? 0 : no_memory(p);
}

static int word(struct parser *p, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(p->end - p->at) < n || strncmp(p->at, text, n) != 0)
        return wrong(p, "this is no JSON value");
    p->at += n;
    return 0;
}

static int value(struct parser *p, json_object **ret);

/* One member; the parser stands at its name. */
static int member(struct parser *p, json_object *o)
{
    struct vcs_buf name = { 0 };
    json_object *v = NULL;
    int rc = look(p) == '"' ? string(p, &name) : wrong(p, "the name of a member must follow, in quotes");
    const char *key = rc == 0 ? vcs_buf_str(&name) : NULL;
    if (rc == 0 && !key)
        rc = no_memory(p);
    size_t back = p->path.len;
    if (rc == 0)
        vci_json_path_member(&p->path, key);
    if (rc == 0 && json_object_object_get_ex(o, key, NULL))
        rc = wrong(p, "this member is there twice");
    if (rc == 0 && look(p) != ':')
        rc = wrong(p, "\":\" and a value must follow");
    if (rc == 0) {
        p->at++;
        rc = value(p, &v);
    }
    if (rc == 0 && json_object_object_add(o, key, v) < 0) {
        json_object_put(v);
        rc = no_memory(p);
    }
    vci_json_path_back(&p->path, back);
    vcs_buf_done(&name);
    return rc;
}

static int element(struct parser *p, json_object *a)
{
    json_object *v = NULL;
    size_t back = vci_json_path_index(&p->path, json_object_array_length(a));
    int rc = value(p, &v);
    vci_json_path_back(&p->path, back);
    if (rc == 0 && json_object_array_add(a, v) < 0) {
        json_object_put(v);
        rc = no_memory(p);
    }
    return rc;
}

/* An object or an array; the parser stands at its bracket. */
static int composite(struct parser *p, json_object **ret)
{
    int object = *p->at == '{', close = object ? '}' : ']', rc = 0;
    json_object *o = object ? json_object_new_object() : json_object_new_array();
    if (!o)
        return no_memory(p);
    if (++p->depth > VCI_JSON_DEPTH)
        rc = wrong(p, "the document is nested too deeply");
    p->at++;
    if (rc == 0 && look(p) == close) {
        p->at++;
    } else {
        while (rc == 0) {
            rc = object ? member(p, o) : element(p, o);
            int c = rc == 0 ? look(p) : 0;
            if (rc == 0 && c != ',' && c != close)
                rc = wrong(p, object ? "\",\" or \"}\" must follow" : "\",\" or \"]\" must follow");
            if (rc == 0)
                p->at++;
            if (c == close)
                break;
        }
    }
    p->depth--;
    if (rc < 0)
        json_object_put(o);
    else
        *ret = o;
    return rc;
}

static int value(struct parser *p, json_object **ret)
{
    int c = look(p), rc = 0;
    *ret = NULL;
    if (++p->values > VCI_JSON_VALUES)
        return wrong(p, "the document holds too many values");
    switch (c) {
    case '{':
    case '[':
        return composite(p, ret);
    case '"': {
        struct vcs_buf b = { 0 };
        rc = string(p, &b);
        if (rc == 0 && !(*ret = json_object_new_string_len(b.len ? (char *)vcs_buf_data(&b) : "", (int)b.len)))
            rc = no_memory(p);
        vcs_buf_done(&b);
        return rc;
    }
    case 'n':
        return word(p, "null");
    case 't':
    case 'f':
        rc = word(p, c == 't' ? "true" : "false");
        return rc < 0 || (*ret = json_object_new_boolean(c == 't')) ? rc : no_memory(p);
    case -1:
        return wrong(p, "a value is missing");
    default:
        return number(p, ret);
    }
}

int vci_json_parse(const char *text, size_t len, struct json_object **ret, vc_error **err)
{
    struct parser p = { .begin = text, .at = text, .end = text + len, .err = err };
    json_object *o = NULL;
    if (len > VCI_JSON_BYTES)
        return vci_json_fail(&p.path, err, "it has %zu bytes; %u are possible", len, VCI_JSON_BYTES);
    int rc = value(&p, &o);
    if (rc == 0 && look(&p) != -1)
        rc = wrong(&p, "something follows its end");
    if (rc < 0)
        json_object_put(o);
    else
        *ret = o;
    return rc;
}
