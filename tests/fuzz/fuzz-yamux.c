/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-yamux.c: bytes of a hostile peer into a yamux session whose owner reacts to every event.
 *
 * The first byte chooses the side and how the rest is cut into parts. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "lib/yamux.h"

struct owner {
    vcs_yamux *y;
    unsigned turn;
    uint64_t received;
};

static int on_opened(void *ctx, uint32_t id)
{
    struct owner *o = ctx;
    (void)id;
    return o->turn++ % 5 == 4 ? -1 : 0;
}

static void on_data(void *ctx, uint32_t id, const void *data, size_t n)
{
    struct owner *o = ctx;
    if (!n || !data)
        abort();
    o->received += n;
    if (o->turn++ % 7 == 6)
        vcs_yamux_reset(o->y, id);
    else if (o->turn % 3)
        vcs_yamux_consumed(o->y, id, n + o->turn % 2);
    vcs_yamux_send(o->y, id, data, n);
}

static void on_finished(void *ctx, uint32_t id)
{
    struct owner *o = ctx;
    if (o->turn++ % 2)
        vcs_yamux_finish(o->y, id);
}

static void on_closed(void *ctx, uint32_t id)
{
    struct owner *o = ctx;
    if (vcs_yamux_sendable(o->y, id))
        abort(); /* a closed stream must be unknown */
}

static void on_writable(void *ctx, uint32_t id)
{
    struct owner *o = ctx;
    size_t n = 100;
    void *p = vcs_yamux_send_begin(o->y, id, &n);
    if (p) {
        memset(p, 1, n);
        vcs_yamux_send_end(o->y, id, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct vcs_yamux_events events = { on_opened, on_data, on_finished, on_closed, on_writable };
    if (size < 1)
        return 0;
    struct owner o = { 0 };
    o.y = vcs_yamux_new(data[0] & 1, &events, &o);
    if (!o.y)
        return 0;
    uint32_t own = vcs_yamux_open(o.y);
    size_t part = (size_t)(data[0] >> 1) + 1;
    for (size_t at = 1; at < size; at += part) {
        size_t n = size - at < part ? size - at : part;
        int r = vcs_yamux_input(o.y, data + at, n);
        size_t out;
        vcs_yamux_output(o.y, &out);
        if (out > 64 * 1024 * 1024 || vcs_yamux_streams(o.y) > VCS_YAMUX_MAX_STREAMS)
            abort();
        if (data[0] & 2)
            vcs_yamux_output_consume(o.y, out / 2);
        if (r < 0)
            break;
    }
    vcs_yamux_finish(o.y, own);
    vcs_yamux_go_away(o.y, 0);
    if (o.received > size || !vcs_yamux_error(o.y)[0])
        abort();
    vcs_yamux_free(o.y);
    return 0;
}
