/* SPDX-License-Identifier: Apache-2.0 */
/* json.h: a strict reader of JSON text (RFC 8259) for the results that a plugin gives as JSON. */
#ifndef VCT_JSON_H
#define VCT_JSON_H

#include <stddef.h>
#include <stdint.h>

enum vct_json_type { VCT_JSON_NULL, VCT_JSON_BOOL, VCT_JSON_NUMBER, VCT_JSON_STRING, VCT_JSON_ARRAY, VCT_JSON_OBJECT };

struct vct_json {
    enum vct_json_type type;
    int whole;                     /* NUMBER: it is an integer that fits `number` */
    int64_t number;                /* NUMBER: its value; BOOL: 0 or 1 */
    char *text;                    /* STRING: UTF-8 without its escapes, ended by NUL */
    size_t len;                    /* STRING: bytes of text (a \u0000 is refused) */
    char *key;                     /* name of a member of an object; NULL for others */
    struct vct_json *first, *next; /* members of an ARRAY or OBJECT, in their order */
    size_t n;                      /* how many */
};

/* Read one value and nothing behind it but white space.  NULL, and `why` says what is wrong and where, when it is none,
 * has an object with the same name twice, is nested deeper than 64, or there is no memory. */
struct vct_json *vct_json_parse(const char *text, size_t len, char *why, size_t size);
void vct_json_free(struct vct_json *v);
/* Member of an object; NULL when v is none or has no such member. */
const struct vct_json *vct_json_get(const struct vct_json *v, const char *key);
/* Text of the member; NULL when it is not there or no string. */
const char *vct_json_str(const struct vct_json *v, const char *key);
/* Name of the type: "a string". */
const char *vct_json_what(const struct vct_json *v);

#endif
