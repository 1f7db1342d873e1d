/* SPDX-License-Identifier: Apache-2.0 */
/* json-strict.h: JSON documents that people wrote, and the place inside them where something is wrong. */
#ifndef VCI_JSON_STRICT_H
#define VCI_JSON_STRICT_H

#include "error.h"

struct json_object;

#define VCI_JSON_BYTES  (4u * 1024 * 1024) /* of a document */
#define VCI_JSON_VALUES 200000u            /* in it */
#define VCI_JSON_DEPTH  32

/* A place inside a document, such as Containers[1].Cmd.Envs[0].Var. */
struct vci_json_path {
    size_t len;
    char text[400]; /* cut when it is longer */
};
/* Go to a member or an element; the result goes to vci_json_path_back. */
size_t vci_json_path_member(struct vci_json_path *p, const char *name);
size_t vci_json_path_index(struct vci_json_path *p, size_t i);
static inline void vci_json_path_back(struct vci_json_path *p, size_t len)
{
    p->len = len;
    p->text[len] = '\0';
}
/* INVAL: "PLACE: ..."; the document itself is "the document". */
int vci_json_fail(const struct vci_json_path *p, vc_error **err, const char *fmt, ...) VCS_PRINTF(3, 4);

/* Parse a document.  Beside what JSON says: UTF-8, no NUL in a string, no member twice, and the bounds above. */
int vci_json_parse(const char *text, size_t len, struct json_object **ret, vc_error **err);
/* INVAL when objects and arrays in each other, in a text that is JSON, are more than can be read again. */
int vci_json_check_depth(const char *text, vc_error **err);
/* Is it UTF-8? */
int vci_utf8_ok(const char *text, size_t len);

#endif
