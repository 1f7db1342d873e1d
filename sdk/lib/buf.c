/* SPDX-License-Identifier: Apache-2.0 */
/* buf.c: the byte queue. */
#include "lib/buf.h"

#include <string.h>

#define KEEP (64u * 1024) /* memory that an emptied buffer may keep */

unsigned char *vcs_buf_reserve(struct vcs_buf *b, size_t extra)
{
    if (extra > SIZE_MAX / 4 - b->len)
        return NULL;
    size_t need = b->len + extra;
    if (b->mem && extra <= b->cap - b->off - b->len)
        return b->mem + b->off + b->len;
    if (b->mem && need <= b->cap && b->off >= b->len) {
        /* At least as much was consumed as is left: moving costs no more than appending did. */
        memcpy(b->mem, b->mem + b->off, b->len);
        b->off = 0;
        return b->mem + b->len;
    }
    size_t cap = need < 256 ? 256 : need;
    if (cap < b->len * 2)
        cap = b->len * 2;
    unsigned char *mem = malloc(cap);
    if (!mem)
        return NULL;
    if (b->len)
        memcpy(mem, b->mem + b->off, b->len);
    free(b->mem);
    b->mem = mem;
    b->cap = cap;
    b->off = 0;
    return mem + b->len;
}

int vcs_buf_append(struct vcs_buf *b, const void *data, size_t n)
{
    if (!n)
        return 0;
    unsigned char *at = vcs_buf_reserve(b, n);
    if (!at)
        return -1;
    memcpy(at, data, n);
    b->len += n;
    return 0;
}

int vcs_buf_printf(struct vcs_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        return -1;
    unsigned char *at = vcs_buf_reserve(b, (size_t)n + 1);
    if (!at)
        return -1;
    va_start(ap, fmt);
    vsnprintf((char *)at, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    return 0;
}

void vcs_buf_consume(struct vcs_buf *b, size_t n)
{
    if (n >= b->len) {
        b->off = b->len = 0;
        return;
    }
    b->off += n;
    b->len -= n;
}

const char *vcs_buf_str(struct vcs_buf *b)
{
    unsigned char *at = vcs_buf_reserve(b, 1);
    if (!at)
        return NULL;
    *at = '\0';
    return (const char *)vcs_buf_data(b);
}

void vcs_buf_clear(struct vcs_buf *b)
{
    if (b->cap > KEEP) {
        vcs_buf_done(b);
        return;
    }
    b->off = b->len = 0;
}

void vcs_buf_done(struct vcs_buf *b)
{
    free(b->mem);
    *b = (struct vcs_buf){ 0 };
}
