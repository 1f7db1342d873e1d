/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-ttrpc.c: bytes of a hostile peer into the ttRPC reader and both envelope parsers. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "lib/ttrpc.h"

static volatile unsigned char touched;

/* Every byte that a parser points to must be there. */
static void touch(const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        touched = (unsigned char)(touched ^ ((const unsigned char *)p)[i]);
}

static void envelopes(const unsigned char *data, size_t n)
{
    struct vcs_ttrpc_request q;
    struct vcs_ttrpc_response p;
    if (vcs_ttrpc_parse_request(data, n, &q) == 0) {
        touch(q.service, q.service_len);
        touch(q.method, q.method_len);
        touch(q.payload, q.payload_len);
    }
    if (vcs_ttrpc_parse_response(data, n, &p) == 0) {
        touch(p.message, p.message_len);
        touch(p.payload, p.payload_len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    /* A copy of its exact size for the parsers, the stream in parts for the reader. */
    unsigned char *copy = malloc(size);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    envelopes(copy + 1, size - 1);
    free(copy);

    struct vcs_ttrpc_reader r = { 0 };
    struct vcs_ttrpc_frame f;
    size_t part = (size_t)data[0] + 1, frames = 0;
    for (size_t at = 1; at < size; at += part) {
        if (vcs_buf_append(&r.in, data + at, size - at < part ? size - at : part) < 0)
            break;
        while (vcs_ttrpc_next(&r, &f) == 1) {
            if (f.len > VCS_TTRPC_MAX || (f.oversized && f.len))
                abort();
            envelopes(f.data, f.len);
            frames++;
        }
    }
    if (frames > size / VCS_TTRPC_HEADER)
        abort();
    vcs_buf_done(&r.in);
    return 0;
}
