/* SPDX-License-Identifier: Apache-2.0 */
/* buf.h: a byte queue: append at the end, consume at the front. */
#ifndef VCS_BUF_H
#define VCS_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed memory is a valid empty buffer. */
struct vcs_buf {
    unsigned char *mem;
    size_t cap, off, len; /* the bytes are mem[off .. off+len) */
};

static inline unsigned char *vcs_buf_data(const struct vcs_buf *b) { return b->mem + b->off; }
/* Make room for `extra` bytes at the end; NULL without memory, else where they go (then vcs_buf_commit). */
unsigned char *vcs_buf_reserve(struct vcs_buf *b, size_t extra);
static inline void vcs_buf_commit(struct vcs_buf *b, size_t n) { b->len += n; }
/* 0, or -1 without memory (the buffer is unchanged). */
int vcs_buf_append(struct vcs_buf *b, const void *data, size_t n);
int vcs_buf_printf(struct vcs_buf *b, const char *fmt, ...) VCS_PRINTF(2, 3);
void vcs_buf_consume(struct vcs_buf *b, size_t n);
/* The content as a NUL-terminated string (the NUL is not part of len); NULL without memory. */
const char *vcs_buf_str(struct vcs_buf *b);
/* Empty it and give large memory back. */
void vcs_buf_clear(struct vcs_buf *b);
/* Free its memory; the buffer is empty and usable afterwards. */
void vcs_buf_done(struct vcs_buf *b);

static inline void vcs_put_be16(unsigned char *p, uint16_t v) { p[0] = (unsigned char)(v >> 8); p[1] = (unsigned char)v; }
static inline void vcs_put_be32(unsigned char *p, uint32_t v) { vcs_put_be16(p, (uint16_t)(v >> 16)); vcs_put_be16(p + 2, (uint16_t)v); }
static inline uint16_t vcs_get_be16(const unsigned char *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t vcs_get_be32(const unsigned char *p) { return (uint32_t)vcs_get_be16(p) << 16 | vcs_get_be16(p + 2); }

#ifdef __cplusplus
}
#endif
#endif
