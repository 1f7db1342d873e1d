/* SPDX-License-Identifier: Apache-2.0 */
/* base64.h: bytes of plugins as text, for the record of a pod. */
#ifndef VCI_BASE64_H
#define VCI_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* Text of the bytes, malloc'ed; NULL without memory. */
char *vci_base64(const void *data, size_t len);
/* And back; the result is malloc'ed and NUL-terminated as well.  -1: it is no base64, -2: no memory. */
int vci_unbase64(const char *text, char **ret, size_t *ret_len);

#endif
