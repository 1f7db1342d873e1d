/* SPDX-License-Identifier: Apache-2.0 */
/* record.h: JSON of the records that the library keeps for itself: written into a buffer, read where it stands.
 *
 * Each call on a pod reads its record and writes it, and a list reads those of all pods, so this is where the library
 * spends its time.  What people write is read by json-strict instead, which says where something is wrong. */
#ifndef VCI_RECORD_H
#define VCI_RECORD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct json_object;

/* ---- writing ----
 * key NULL: an element of an array (or the whole document).  Out of memory sets `bad`; it is enough to ask at the end.
 * Zeroed memory is empty. */
struct vci_out {
    char *text; /* malloc'ed */
    size_t len, cap;
    int bad;
};
/* '{' or '[', and '}' or ']'. */
void vci_out_open_n(struct vci_out *o, const char *key, size_t key_len, char bracket);
void vci_out_close(struct vci_out *o, char bracket);
void vci_out_int_n(struct vci_out *o, const char *key, size_t key_len, int64_t v);
/* UTF-8, in which NUL may be. */
void vci_out_str_n(struct vci_out *o, const char *key, size_t key_len, const char *s, size_t len);
/* The same when it is ASCII and wants no escape; 0 and nothing when it is not. */
int vci_out_plain(struct vci_out *o, const char *key, size_t key_len, const char *s, size_t len);
/* What is JSON already. */
void vci_out_text(struct vci_out *o, const char *key, const char *text, size_t len);
/* The same for keys that end with a NUL; most are constants, whose length then is one, too. */
static inline void vci_out_open(struct vci_out *o, const char *key, char bracket)
{
    vci_out_open_n(o, key, key ? strlen(key) : 0, bracket);
}
static inline void vci_out_int(struct vci_out *o, const char *key, int64_t v)
{
    vci_out_int_n(o, key, key ? strlen(key) : 0, v);
}
static inline void vci_out_str(struct vci_out *o, const char *key, const char *s, size_t len)
{
    vci_out_str_n(o, key, key ? strlen(key) : 0, s, len);
}
/* What others have as an object of json-c; NULL is left out. */
void vci_out_json(struct vci_out *o, const char *key, struct json_object *v);
/* Hand over the text, with a NUL behind it: NULL without memory, now or before.  What is left is empty. */
char *vci_out_take(struct vci_out *o);
void vci_out_done(struct vci_out *o);

/* ---- reading ---- */
enum vci_rec_type { VCI_REC_NULL, VCI_REC_BOOL, VCI_REC_INT, VCI_REC_STR, VCI_REC_ARRAY, VCI_REC_OBJECT };

/* A value.  Those in an array or object follow it. */
struct vci_rec {
    const char *key; /* NULL in an array */
    union {
        const char *str; /* with a NUL after its n bytes */
        int64_t num;     /* of an object: vci_rec_name of all that is in it */
    };
    uint32_t key_len;
    uint32_t n;    /* bytes of a string, or how many values are in it */
    uint32_t skip; /* the next value beside it is so far away */
    enum vci_rec_type type;
};

/* A document that was read, with room for an ordinary one.  Large: 7 KiB. */
struct vci_doc {
    char *text; /* `small`, or malloc'ed */
    size_t len;
    struct vci_rec *rec; /* the first one is the document; `few`, or malloc'ed */
    size_t n, room;
    const char *why; /* of a failure: what is wrong... */
    size_t at;       /* ...behind so many bytes */
    char small[4096];
    struct vci_rec few[80];
};

void vci_doc_init(struct vci_doc *d);
/* Room for `size` bytes of text, with one more for a NUL; what stands there is kept.  NULL without memory. */
char *vci_doc_room(struct vci_doc *d, size_t size);
/* Read the `len` bytes at d->text, which change.  -EINVAL: see d->why; -ENOMEM.  Strings are UTF-8 as far as they were; a
 * number has to be a whole one of 64 bits. */
int vci_doc_parse(struct vci_doc *d, size_t len);
void vci_doc_done(struct vci_doc *d);

/* A bit for a name that begins and ends so and has so many bytes: most of what an object does not have is known by that.
 * Where the name is a constant, so is its bit. */
static inline int64_t vci_rec_name(char first, char last, size_t len)
{
    return (int64_t)(UINT64_C(1) << (((unsigned char)first * 27u + (unsigned char)last * 3u + len) & 63));
}
static inline int vci_rec_may_have(const struct vci_rec *o, char first, char last, size_t len)
{
    return o && o->type == VCI_REC_OBJECT && (o->num & vci_rec_name(first, last, len));
}
/* The member of that type, whose name has `len` bytes; NULL when there is none, or `o` is no object. */
const struct vci_rec *vci_rec_find(const struct vci_rec *o, const char *key, size_t len, enum vci_rec_type type);
static inline const struct vci_rec *vci_rec_get(const struct vci_rec *o, const char *key, enum vci_rec_type type)
{
    size_t len = strlen(key);
    return vci_rec_may_have(o, *key, len ? key[len - 1] : '\0', len) ? vci_rec_find(o, key, len, type) : NULL;
}
/* The same for a number, or `def`. */
static inline int64_t vci_rec_int(const struct vci_rec *o, const char *key, int64_t def)
{
    const struct vci_rec *v = vci_rec_get(o, key, VCI_REC_INT);
    return v ? v->num : def;
}
/* And for a string, or NULL. */
static inline const char *vci_rec_str(const struct vci_rec *o, const char *key)
{
    const struct vci_rec *v = vci_rec_get(o, key, VCI_REC_STR);
    return v ? v->str : NULL;
}
/* The values in an array or object: for (v = vci_rec_first(a); v; v = vci_rec_next(a, v)). */
static inline const struct vci_rec *vci_rec_first(const struct vci_rec *a)
{
    return a && (a->type == VCI_REC_ARRAY || a->type == VCI_REC_OBJECT) && a->n ? a + 1 : NULL;
}
static inline const struct vci_rec *vci_rec_next(const struct vci_rec *a, const struct vci_rec *v)
{
    return v + v->skip < a + a->skip ? v + v->skip : NULL;
}
/* As an object of json-c; NULL for NULL, and without memory. */
struct json_object *vci_rec_json(const struct vci_rec *v);

#endif
