/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc.c: ttRPC frames and their protobuf envelopes. */
#include "lib/ttrpc.h"

#include <errno.h>
#include <string.h>

int vcs_ttrpc_next(struct vcs_ttrpc_reader *r, struct vcs_ttrpc_frame *f)
{
    vcs_buf_consume(&r->in, r->pending);
    r->pending = 0;
    if (r->skip) {
        size_t n = r->in.len < r->skip ? r->in.len : (size_t)r->skip;
        vcs_buf_consume(&r->in, n);
        r->skip -= n;
    }
    if (r->in.len < VCS_TTRPC_HEADER)
        return 0;
    const unsigned char *h = vcs_buf_data(&r->in);
    uint32_t len = vcs_get_be32(h);
    if (len <= VCS_TTRPC_MAX && r->in.len - VCS_TTRPC_HEADER < len) {
        /* Make room for the rest at once, so that a large frame is not moved again and again. */
        vcs_buf_reserve(&r->in, len + VCS_TTRPC_HEADER - r->in.len);
        return 0;
    }
    *f = (struct vcs_ttrpc_frame){ .stream_id = vcs_get_be32(h + 4), .type = h[8], .flags = h[9] };
    if (len > VCS_TTRPC_MAX) {
        f->oversized = 1;
        r->pending = VCS_TTRPC_HEADER;
        r->skip = len;
        return 1;
    }
    f->data = h + VCS_TTRPC_HEADER;
    f->len = len;
    r->pending = VCS_TTRPC_HEADER + (size_t)len;
    return 1;
}

/* ---- the part of protobuf that the envelopes need ---- */

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct field {
    uint32_t number;
    unsigned wire;
    uint64_t value; /* of a varint, or the length of bytes */
    const unsigned char *bytes;
};

static int get_varint(const unsigned char **p, const unsigned char *end, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (*p == end)
            return -EPROTO;
        unsigned char c = *(*p)++;
        if (shift == 63 && c > 1)
            return -EPROTO;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) {
            *ret = v;
            return 0;
        }
    }
    return -EPROTO;
}

/* 1: *f is the next field; 0: the end; -EPROTO. */
static int get_field(const unsigned char **p, const unsigned char *end, struct field *f)
{
    uint64_t tag;
    if (*p == end)
        return 0;
    if (get_varint(p, end, &tag) < 0 || tag > UINT32_MAX || tag >> 3 == 0)
        return -EPROTO;
    *f = (struct field){ .number = (uint32_t)(tag >> 3), .wire = (unsigned)(tag & 7) };
    size_t left = (size_t)(end - *p);
    switch (f->wire) {
    case WIRE_VARINT:
        return get_varint(p, end, &f->value) < 0 ? -EPROTO : 1;
    case WIRE_FIXED64:
    case WIRE_FIXED32: {
        size_t n = f->wire == WIRE_FIXED64 ? 8 : 4;
        if (left < n)
            return -EPROTO;
        *p += n;
        return 1;
    }
    case WIRE_BYTES:
        if (get_varint(p, end, &f->value) < 0 || f->value > (size_t)(end - *p))
            return -EPROTO;
        f->bytes = *p;
        *p += f->value;
        return 1;
    default:
        return -EPROTO;
    }
}

int vcs_ttrpc_parse_request(const void *data, size_t n, struct vcs_ttrpc_request *r)
{
    if (!n)
        data = "";
    const unsigned char *p = data, *end = p + n;
    struct vcs_ttrpc_request out = { .service = "", .method = "", .payload = (const unsigned char *)"" };
    struct field f;
    int got;
    while ((got = get_field(&p, end, &f)) == 1) {
        if (f.number < 1 || f.number > 4)
            continue;
        if (f.wire != (f.number == 4 ? (unsigned)WIRE_VARINT : (unsigned)WIRE_BYTES))
            return -EPROTO;
        switch (f.number) {
        case 1:
            out.service = (const char *)f.bytes;
            out.service_len = (size_t)f.value;
            break;
        case 2:
            out.method = (const char *)f.bytes;
            out.method_len = (size_t)f.value;
            break;
        case 3:
            out.payload = f.bytes;
            out.payload_len = (size_t)f.value;
            break;
        default:
            out.timeout_ns = (int64_t)f.value;
            break;
        }
    }
    if (got < 0)
        return got;
    *r = out;
    return 0;
}

static int parse_status(const unsigned char *p, size_t n, struct vcs_ttrpc_response *r)
{
    const unsigned char *end = p + n;
    struct field f;
    int got;
    while ((got = get_field(&p, end, &f)) == 1) {
        if (f.number == 1) {
            if (f.wire != WIRE_VARINT)
                return -EPROTO;
            r->code = (int32_t)(uint32_t)f.value;
        } else if (f.number == 2) {
            if (f.wire != WIRE_BYTES)
                return -EPROTO;
            r->message = (const char *)f.bytes;
            r->message_len = (size_t)f.value;
        }
    }
    return got;
}

int vcs_ttrpc_parse_response(const void *data, size_t n, struct vcs_ttrpc_response *r)
{
    if (!n)
        data = "";
    const unsigned char *p = data, *end = p + n;
    struct vcs_ttrpc_response out = { .message = "", .payload = (const unsigned char *)"" };
    struct field f;
    int got;
    while ((got = get_field(&p, end, &f)) == 1) {
        if (f.number != 1 && f.number != 2)
            continue;
        if (f.wire != WIRE_BYTES)
            return -EPROTO;
        if (f.number == 2) {
            out.payload = f.bytes;
            out.payload_len = (size_t)f.value;
        } else if (parse_status(f.bytes, (size_t)f.value, &out) < 0) {
            return -EPROTO;
        }
    }
    if (got < 0)
        return got;
    *r = out;
    return 0;
}

static size_t varint_len(uint64_t v)
{
    size_t n = 1;
    for (; v > 0x7f; v >>= 7)
        n++;
    return n;
}

static unsigned char *put_varint(unsigned char *p, uint64_t v)
{
    for (; v > 0x7f; v >>= 7)
        *p++ = (unsigned char)(v | 0x80);
    *p++ = (unsigned char)v;
    return p;
}

static size_t bytes_len(size_t n)
{
    return 1 + varint_len(n) + n;
}

/* Tag (of a field number below 16) and length of a bytes field. */
static unsigned char *put_bytes_head(unsigned char *p, unsigned number, size_t n)
{
    *p++ = (unsigned char)(number << 3 | WIRE_BYTES);
    return put_varint(p, n);
}

static unsigned char *put_bytes(unsigned char *p, unsigned number, const void *data, size_t n)
{
    p = put_bytes_head(p, number, n);
    memcpy(p, data, n);
    return p + n;
}

/* Room for a frame with `len` bytes of data; its header is written. */
static unsigned char *put_header(struct vcs_buf *out, uint32_t stream_id, unsigned type, size_t len)
{
    if (len > VCS_TTRPC_MAX)
        return NULL;
    unsigned char *p = vcs_buf_reserve(out, VCS_TTRPC_HEADER + len);
    if (!p)
        return NULL;
    vcs_put_be32(p, (uint32_t)len);
    vcs_put_be32(p + 4, stream_id);
    p[8] = (unsigned char)type;
    p[9] = 0;
    vcs_buf_commit(out, VCS_TTRPC_HEADER + len);
    return p + VCS_TTRPC_HEADER;
}

unsigned char *vcs_ttrpc_put_request(struct vcs_buf *out, uint32_t stream_id, const char *service, const char *method,
                                     int64_t timeout_ns, size_t payload_len)
{
    size_t ns = strlen(service), nm = strlen(method);
    if (payload_len > VCS_TTRPC_MAX || ns > VCS_TTRPC_MAX || nm > VCS_TTRPC_MAX)
        return NULL;
    size_t len = bytes_len(ns) + bytes_len(nm) + bytes_len(payload_len);
    if (timeout_ns > 0)
        len += 1 + varint_len((uint64_t)timeout_ns);
    unsigned char *p = put_header(out, stream_id, VCS_TTRPC_REQUEST, len);
    if (!p)
        return NULL;
    p = put_bytes(p, 1, service, ns);
    p = put_bytes(p, 2, method, nm);
    if (timeout_ns > 0) {
        *p++ = 4 << 3 | WIRE_VARINT;
        p = put_varint(p, (uint64_t)timeout_ns);
    }
    return put_bytes_head(p, 3, payload_len);
}

unsigned char *vcs_ttrpc_put_response(struct vcs_buf *out, uint32_t stream_id, size_t payload_len)
{
    if (payload_len > VCS_TTRPC_MAX)
        return NULL;
    unsigned char *p = put_header(out, stream_id, VCS_TTRPC_RESPONSE, 2 + bytes_len(payload_len));
    if (!p)
        return NULL;
    p = put_bytes_head(p, 1, 0); /* an empty status means OK; older clients refuse a missing one */
    return put_bytes_head(p, 2, payload_len);
}

int vcs_ttrpc_put_error(struct vcs_buf *out, uint32_t stream_id, int code, const char *message)
{
    size_t nm = strlen(message);
    if (nm > 4096)
        nm = 4096;
    uint64_t c = (uint64_t)(int64_t)code;
    size_t ns = 1 + varint_len(c) + bytes_len(nm);
    unsigned char *p = put_header(out, stream_id, VCS_TTRPC_RESPONSE, bytes_len(ns));
    if (!p)
        return -1;
    p = put_bytes_head(p, 1, ns);
    *p++ = 1 << 3 | WIRE_VARINT;
    p = put_varint(p, c);
    put_bytes(p, 2, message, nm);
    return 0;
}
