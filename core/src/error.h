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
/* Put "text: " before the sentence of *err. */
void vci_context(vc_error **err, const char *fmt, ...) VCS_PRINTF(2, 3);
/* Contract code for an errno. */
int vci_code_of(int sys);
/* For a call into a plugin: an empty object to be filled, and afterwards into *err (freed when unused). */
vc_error *vci_error_new(void);
/* Hand the object of a finished plugin call on: on rc != 0 it becomes *err (a missing or empty text is
 * replaced by one that names plugin and member), else it is freed.  Returns rc, or INTERNAL for a code
 * that the contract does not know. */
int vci_error_from_plugin(vc_error **err, vc_error *obj, int rc, const char *plugin, const char *member);
/* Fill an object from a message of `len` bytes, which are escaped (vci_escape) and cut; for vc_host.err_set. */
void vci_error_fill(vc_error *e, int code, int sys, const char *msg, size_t len);
/* Put "msg: " before what stands in an object; for vc_host.err_context. */
void vci_error_prefix(vc_error *e, const char *msg, size_t len);
#define vci_autoerror __attribute__((cleanup(vci_cleanup_error)))
static inline void vci_cleanup_error(vc_error **e)
{
    vc_error_free(*e);
}

#endif
