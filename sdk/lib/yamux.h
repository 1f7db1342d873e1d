/* SPDX-License-Identifier: Apache-2.0 */
/* yamux.h: the yamux multiplexing protocol (version 0) as a state machine without I/O.
 *
 * The owner reads bytes from its connection into vcs_yamux_input, and writes what stands in
 * vcs_yamux_output to it (then vcs_yamux_output_consume).  Events arrive through callbacks, which
 * may call any function here except vcs_yamux_input and vcs_yamux_free.  One whose member is NULL is ignored.
 *
 * Format: https://github.com/hashicorp/yamux/blob/master/spec.md: 12-byte big-endian header
 * {version 0, type, flags u16, stream id u32, length u32}. */
#ifndef VCS_YAMUX_H
#define VCS_YAMUX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VCS_YAMUX_WINDOW (256u * 1024) /* initial window of each stream and direction */
#define VCS_YAMUX_MAX_STREAMS 4096     /* more are answered with RST */

typedef struct vcs_yamux vcs_yamux;

/* Any member may be NULL: the peer decides which of them come, and its choice must not end the process. */
struct vcs_yamux_events {
    /* The peer opened a stream: return 0 to take it, else it is reset.  NULL: each is reset. */
    int (*opened)(void *ctx, uint32_t id);
    /* Bytes for a stream.  The window opens again by vcs_yamux_consumed.  NULL: they are dropped and taken for consumed. */
    void (*data)(void *ctx, uint32_t id, const void *data, size_t n);
    /* The peer will send no more. */
    void (*finished)(void *ctx, uint32_t id);
    /* The stream is gone (reset); its id means nothing from now on.  Also sent after both sides have finished. */
    void (*closed)(void *ctx, uint32_t id);
    /* More may be sent on the stream.  Who asks vcs_yamux_sendable in each round anyway has no use for it. */
    void (*writable)(void *ctx, uint32_t id);
};

/* is_client: opens odd ids, else even.  NULL without memory. */
vcs_yamux *vcs_yamux_new(int is_client, const struct vcs_yamux_events *ev, void *ctx);
void vcs_yamux_free(vcs_yamux *y);

/* Feed bytes from the connection.  0, or -EPROTO after a violation (the session is over: flush the
 * output, then close; vcs_yamux_error says what it was), or -ENOMEM. */
int vcs_yamux_input(vcs_yamux *y, const void *data, size_t n);
const char *vcs_yamux_error(const vcs_yamux *y);
/* Bytes to write to the connection. */
const void *vcs_yamux_output(const vcs_yamux *y, size_t *n);
void vcs_yamux_output_consume(vcs_yamux *y, size_t n);

/* Open a stream: its id, or 0 when that is not possible (go away received, no memory, too many). */
uint32_t vcs_yamux_open(vcs_yamux *y);
/* How many bytes may be sent on the stream now (0: window full, finished or unknown). */
size_t vcs_yamux_sendable(const vcs_yamux *y, uint32_t id);
/* Send at most vcs_yamux_sendable bytes; returns how many were taken, or -ENOMEM, -EPIPE. */
long vcs_yamux_send(vcs_yamux *y, uint32_t id, const void *data, size_t n);
/* The same without a copy: *n is lowered to what may be sent in one frame (0: nothing, then NULL); put
 * the bytes at the returned place (NULL with *n > 0: no memory) and call vcs_yamux_send_end with how many
 * there are: at most *n, and 0 sends nothing, not even a frame without bytes.  No other function may be called in
 * between. */
void *vcs_yamux_send_begin(vcs_yamux *y, uint32_t id, size_t *n);
void vcs_yamux_send_end(vcs_yamux *y, uint32_t id, size_t n);
/* The owner has passed n received bytes on.  The peer is told in larger steps, and never of more bytes than came.  0, an
 * id that is closed or unknown, and a stream that the peer has finished are fine: then there is nobody to tell. */
void vcs_yamux_consumed(vcs_yamux *y, uint32_t id, size_t n);
/* No more will be sent on it (when the peer has finished too, `closed` comes at once) / drop it at once
 * (no event follows). */
void vcs_yamux_finish(vcs_yamux *y, uint32_t id);
void vcs_yamux_reset(vcs_yamux *y, uint32_t id);
void vcs_yamux_go_away(vcs_yamux *y, uint32_t reason);
size_t vcs_yamux_streams(const vcs_yamux *y);

#ifdef __cplusplus
}
#endif
#endif
