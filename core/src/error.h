/* SPDX-License-Identifier: Apache-2.0 */
/* error.h: the error object of the library, which is also what a plugin fills as vc_err. */
#ifndef VCI_ERROR_H
#define VCI_ERROR_H

#include <vc/types.h>
#include <vccore/vccore.h>

#include "lib/cleanup.h"

struct vc_error {
    int code;   /* VC_ERR_* */
    int sys;    /* errno, or 0; its text is part of `text` already */
    int fixed;  /* the static out-of-memory object: not to be freed */
    char text[1200];
};

/* Make *err (when err is not NULL and *err is NULL) and return code.  `sys` != 0 adds ": strerror". */
int vci_fail(vc_error **err, int code, int sys, const char *fmt, ...) VCS_PRINTF(4, 5);
/* check-args.c: INVAL, for a required argument of a public function that is NULL. */
int vci_null_argument(const char *function, const char *name, vc_error **err);
#define VCI_NEED(p, err)                                      \
    do {                                                      \
        if (!(p))                                             \
            return vci_null_argument(__func__, #p, (err));    \
    } while (0)
/* INVAL unless a struct's `size` covers what its first release had, and what is behind the part known here is zero. */
int vci_check_size(const void *p, const char *what, size_t min, size_t known, vc_error **err);
#define VCI_CHECK_SIZE(p, T, last, err) vci_check_size((p), #T, offsetof(T, last) + sizeof((p)->last), sizeof(T), (err))
/* INVAL for bits that are not known. */
int vci_check_flags(const char *what, uint32_t flags, uint32_t known, vc_error **err);
/* INVAL for a configuration that cannot be meant: sizes, reserved members, flags, texts that are none. */
int vci_check_pod_config(const struct vc_pod_config *c, vc_error **err);
/* INVAL, with the place, unless it is UTF-8 (or NULL).  `what` is what the sentence begins with. */
int vci_check_utf8(const char *what, const char *text, vc_error **err);
int vci_check_container_config(const struct vc_container_config *c, vc_error **err);
int vci_check_process_config(const struct vc_process_config *c, vc_error **err);
/* annotations.c: INVAL or RESOURCE unless each is "key=value", and all together are not too long. */
int vci_annotations_check(const char *const *list, vc_error **err);
int vci_check_resources(const struct vc_resources *c, vc_error **err);
int vci_check_ps_options(const struct vc_ps_options *c, vc_error **err);
/* A checked struct as this release knows it: what an older caller does not have is zero. */
void vci_take(void *dst, size_t known, const void *src);
#define VCI_TAKE(dst, src) vci_take((dst), sizeof(*(dst)), (src))
/* Put "text: " before the sentence of *err. */
void vci_context(vc_error **err, const char *fmt, ...) VCS_PRINTF(2, 3);
/* Contract code for an errno. */
int vci_code_of(int sys);
/* For a call into a plugin: an empty object of the caller's, to be filled; it is returned. */
vc_error *vci_error_init(vc_error *e);
/* Hand the object of a finished plugin call on: on rc != 0 a copy of it becomes *err (a missing or empty text is
 * replaced by one that names plugin and member, and `hint` when that is not NULL or empty; a given one is put behind
 * the plugin's kind and name).  Returns rc, or INTERNAL for a code that the contract does not know. */
int vci_error_from_plugin(vc_error **err, const vc_error *obj, int rc, const char *kind, const char *plugin,
                          const char *member, const char *hint);
/* Fill an object from a message of `len` bytes, which are escaped (vci_escape) and cut; for vc_host.err_set. */
void vci_error_fill(vc_error *e, int code, int sys, const char *msg, size_t len);
/* Put 'pod "ID": ' before the sentence of *err, unless it names the pod already. */
void vci_context_pod(vc_error **err, const char *id);
/* Put "msg: " before what stands in an object; for vc_host.err_context. */
void vci_error_prefix(vc_error *e, const char *msg, size_t len);
#define vci_autoerror __attribute__((cleanup(vci_cleanup_error)))
static inline void vci_cleanup_error(vc_error **e)
{
    vc_error_free(*e);
}

#endif
