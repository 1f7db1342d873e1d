/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.h: is it UTF-8, and may it be shown? */
#ifndef VCS_UTF8_H
#define VCS_UTF8_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of the well-formed character of UTF-8 at p, of which `left` bytes are there: 1 to 4, or 0 when there is none (no
 * byte is left, it is cut off or overlong, half of a surrogate pair, or beyond U+10FFFF). */
size_t vcs_utf8(const void *p, size_t left);
/* The same for text that is shown: control characters (below 0x20, 0x7f, U+0080 to U+009F) count as none, too. */
size_t vcs_utf8_plain(const void *p, size_t left);
/* Is all of it well-formed and without control characters, which is one line of text?  Nothing (len 0) is. */
int vcs_utf8_line(const void *text, size_t len);

#ifdef __cplusplus
}
#endif
#endif
