/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc.h: ttRPC framing and envelopes, without I/O, for client and server.
 *
 * Format: https://github.com/containerd/ttrpc/blob/main/PROTOCOL.md: 10-byte header {length u32 BE,
 * stream id u32 BE, type u8, flags u8}, then data of at most 4 MiB.  Unary calls only: type 1 is a
 * request, 2 a response, flags 0.  The envelopes are protobuf messages:
 *   Request  {1 service, 2 method, 3 payload bytes, 4 timeout_nano int64, 5 metadata (ignored)}
 *   Response {1 status {1 code int32, 2 message}, 2 payload bytes}
 * They are simple enough to be coded here, bounded and without copies. */
#ifndef VCS_TTRPC_H
#define VCS_TTRPC_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VCS_TTRPC_HEADER 10
#define VCS_TTRPC_MAX (4u * 1024 * 1024)
enum { VCS_TTRPC_REQUEST = 1, VCS_TTRPC_RESPONSE = 2, VCS_TTRPC_DATA = 3 };

/* gRPC status codes that occur here. */
enum {
    VCS_RPC_OK = 0, VCS_RPC_CANCELLED = 1, VCS_RPC_UNKNOWN = 2, VCS_RPC_INVALID = 3, VCS_RPC_DEADLINE = 4,
    VCS_RPC_NOTFOUND = 5, VCS_RPC_EXISTS = 6, VCS_RPC_PERM = 7, VCS_RPC_EXHAUSTED = 8, VCS_RPC_PRECONDITION = 9,
    VCS_RPC_ABORTED = 10, VCS_RPC_RANGE = 11, VCS_RPC_UNIMPLEMENTED = 12, VCS_RPC_INTERNAL = 13, VCS_RPC_UNAVAILABLE = 14
};

struct vcs_ttrpc_frame {
    uint32_t stream_id;
    uint8_t type, flags;
    int oversized;             /* the announced length was above the maximum: data is empty, the bytes are skipped */
    const unsigned char *data; /* borrowed from the buffer until vcs_ttrpc_next is called again */
    size_t len;
};

/* A reader over a stream of bytes. */
struct vcs_ttrpc_reader {
    struct vcs_buf in; /* append what was read here */
    size_t pending;    /* bytes of the last frame to drop at the next call */
    uint64_t skip;     /* bytes of an oversized frame still to come */
};
/* 1: *f holds a frame; 0: more bytes are needed. */
int vcs_ttrpc_next(struct vcs_ttrpc_reader *r, struct vcs_ttrpc_frame *f);

struct vcs_ttrpc_request {
    const char *service, *method; /* not NUL-terminated */
    size_t service_len, method_len;
    const unsigned char *payload;
    size_t payload_len;
    int64_t timeout_ns;
};
struct vcs_ttrpc_response {
    int32_t code;
    const char *message; /* not NUL-terminated */
    size_t message_len;
    const unsigned char *payload;
    size_t payload_len;
};
/* 0, or -EPROTO when the envelope is malformed.  Unknown fields are skipped. */
int vcs_ttrpc_parse_request(const void *data, size_t n, struct vcs_ttrpc_request *r);
int vcs_ttrpc_parse_response(const void *data, size_t n, struct vcs_ttrpc_response *r);

/* Append a whole frame to `out`, leaving room for a payload of exactly `payload_len` bytes, which the
 * caller packs at the returned place (so that no message is copied).  NULL without memory, or when it
 * would be above the maximum. */
unsigned char *vcs_ttrpc_put_request(struct vcs_buf *out, uint32_t stream_id, const char *service, const char *method,
                                     int64_t timeout_ns, size_t payload_len);
unsigned char *vcs_ttrpc_put_response(struct vcs_buf *out, uint32_t stream_id, size_t payload_len);
int vcs_ttrpc_put_error(struct vcs_buf *out, uint32_t stream_id, int code, const char *message);

#ifdef __cplusplus
}
#endif
#endif
