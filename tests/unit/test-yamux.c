/* SPDX-License-Identifier: Apache-2.0 */
/* test-yamux.c: two sessions against each other, and one against hand-made frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/yamux.h"

#define W VCS_YAMUX_WINDOW

enum { DATA = 0, WINDOW = 1, PING = 2, GOAWAY = 3 };
enum { SYN = 1, ACK = 2, FIN = 4, RST = 8 };

/* One end and what its events said. */
struct end {
    vcs_yamux *y;
    unsigned opened, finished, closed, writable;
    uint32_t last; /* id of the last event */
    int refuse;    /* streams are refused */
    int hold;      /* data is not given back to the window */
    int reset_on_data;
    struct vcs_buf got; /* data of all streams */
};

static int on_opened(void *ctx, uint32_t id)
{
    struct end *e = ctx;
    e->opened++;
    e->last = id;
    return e->refuse ? -1 : 0;
}

static void on_data(void *ctx, uint32_t id, const void *data, size_t n)
{
    struct end *e = ctx;
    assert_true(n > 0);
    assert_int_equal(vcs_buf_append(&e->got, data, n), 0);
    e->last = id;
    if (e->reset_on_data)
        vcs_yamux_reset(e->y, id);
    else if (!e->hold)
        vcs_yamux_consumed(e->y, id, n);
}

static void on_finished(void *ctx, uint32_t id)
{
    struct end *e = ctx;
    e->finished++;
    e->last = id;
}

static void on_closed(void *ctx, uint32_t id)
{
    struct end *e = ctx;
    e->closed++;
    e->last = id;
}

static void on_writable(void *ctx, uint32_t id)
{
    struct end *e = ctx;
    e->writable++;
    e->last = id;
}

static const struct vcs_yamux_events events = { on_opened, on_data, on_finished, on_closed, on_writable };

static void begin(struct end *e, int is_client)
{
    *e = (struct end){ 0 };
    e->y = vcs_yamux_new(is_client, &events, e);
    assert_non_null(e->y);
}

static void end(struct end *e)
{
    vcs_yamux_free(e->y);
    vcs_buf_done(&e->got);
}

/* Carry bytes both ways, in parts of that size, until there are none. */
static void pump(struct end *a, struct end *b, size_t part)
{
    for (;;) {
        size_t moved = 0;
        for (int i = 0; i < 2; i++) {
            size_t n;
            const void *p = vcs_yamux_output(a->y, &n);
            if (n > part)
                n = part;
            if (n) {
                /* A copy of exactly that size, so that a sanitizer sees reads beyond it. */
                void *copy = malloc(n);
                memcpy(copy, p, n);
                vcs_yamux_output_consume(a->y, n);
                assert_int_equal(vcs_yamux_input(b->y, copy, n), 0);
                free(copy);
            }
            moved += n;
            struct end *t = a;
            a = b;
            b = t;
        }
        if (!moved)
            return;
    }
}

static int feed(struct end *e, unsigned type, unsigned flags, uint32_t id, uint32_t len)
{
    unsigned char h[12] = { 0, (unsigned char)type };
    vcs_put_be16(h + 2, (uint16_t)flags);
    vcs_put_be32(h + 4, id);
    vcs_put_be32(h + 8, len);
    return vcs_yamux_input(e->y, h, sizeof(h));
}

/* Take one frame header (and body) from the output. */
static void expect(struct end *e, unsigned type, unsigned flags, uint32_t id, uint32_t len)
{
    size_t n;
    const unsigned char *h = vcs_yamux_output(e->y, &n);
    assert_true(n >= 12);
    assert_int_equal(h[0], 0);
    assert_int_equal(h[1], type);
    assert_int_equal(vcs_get_be16(h + 2), flags);
    assert_int_equal(vcs_get_be32(h + 4), id);
    assert_int_equal(vcs_get_be32(h + 8), len);
    vcs_yamux_output_consume(e->y, 12 + (type == DATA ? len : 0));
}

static void expect_nothing(struct end *e)
{
    size_t n;
    vcs_yamux_output(e->y, &n);
    assert_int_equal(n, 0);
}

/* The session must end with go away 1 as its last words. */
static void expect_violation(struct end *e, int r)
{
    assert_int_equal(r, -EPROTO);
    expect(e, GOAWAY, 0, 0, 1);
    expect_nothing(e);
    assert_true(strlen(vcs_yamux_error(e->y)) > 10);
    assert_int_equal(feed(e, PING, SYN, 0, 1), -EPROTO);
    expect_nothing(e);
    assert_int_equal(vcs_yamux_open(e->y), 0);
}

static void two_ends_talk(void **state)
{
    (void)state;
    static const size_t parts[] = { 1, 7, 12, 13, 4096, 1 << 20 };
    for (size_t k = 0; k < sizeof(parts) / sizeof(parts[0]); k++) {
        struct end c, s;
        begin(&c, 1);
        begin(&s, 0);
        uint32_t id = vcs_yamux_open(c.y), id2 = vcs_yamux_open(c.y);
        assert_int_equal(id, 1);
        assert_int_equal(id2, 3);
        assert_int_equal(vcs_yamux_send(c.y, id, "hello", 5), 5);
        pump(&c, &s, parts[k]);
        assert_int_equal(s.opened, 2);
        assert_int_equal(s.got.len, 5);
        assert_memory_equal(vcs_buf_data(&s.got), "hello", 5);
        assert_int_equal(vcs_yamux_send(s.y, id, "you", 3), 3);
        vcs_yamux_finish(s.y, id);
        pump(&c, &s, parts[k]);
        assert_memory_equal(vcs_buf_data(&c.got), "you", 3);
        assert_int_equal(c.finished, 1);
        assert_int_equal(c.closed, 0);
        /* Half closed: the other direction still works. */
        assert_int_equal(vcs_yamux_send(c.y, id, "bye", 3), 3);
        assert_int_equal(vcs_yamux_send(s.y, id, "x", 1), -EPIPE);
        vcs_yamux_finish(c.y, id);
        assert_int_equal(c.closed, 1);
        pump(&c, &s, parts[k]);
        assert_int_equal(s.closed, 1);
        assert_int_equal(s.got.len, 8);
        assert_int_equal(vcs_yamux_streams(c.y), 1);
        assert_int_equal(vcs_yamux_streams(s.y), 1);
        end(&c);
        end(&s);
    }
}

static void open_looks_like_the_real_ones(void **state)
{
    (void)state;
    struct end c, s;
    begin(&c, 1);
    assert_int_equal(vcs_yamux_open(c.y), 1);
    expect(&c, WINDOW, SYN, 1, 0);
    begin(&s, 0);
    assert_int_equal(feed(&s, WINDOW, SYN, 1, 0), 0);
    expect(&s, WINDOW, ACK, 1, 0);
    assert_int_equal(vcs_yamux_open(s.y), 2);
    expect(&s, WINDOW, SYN, 2, 0);
    end(&c);
    end(&s);
}

/* A sender stops at the window; half of it consumed opens it again. */
static void window_is_kept(void **state)
{
    (void)state;
    struct end c, s;
    begin(&c, 1);
    begin(&s, 0);
    s.hold = 1;
    char *big = calloc(1, 2 * W);
    uint32_t id = vcs_yamux_open(c.y);
    assert_int_equal(vcs_yamux_sendable(c.y, id), W);
    assert_int_equal(vcs_yamux_send(c.y, id, big, 2 * W), W);
    assert_int_equal(vcs_yamux_sendable(c.y, id), 0);
    assert_int_equal(vcs_yamux_send(c.y, id, big, 1), 0);
    pump(&c, &s, 5000);
    assert_int_equal(s.got.len, W);
    assert_int_equal(c.writable, 0);
    vcs_yamux_consumed(s.y, id, W / 2 - 1);
    expect_nothing(&s);
    vcs_yamux_consumed(s.y, id, 1);
    pump(&c, &s, 5000);
    assert_int_equal(c.writable, 1);
    assert_int_equal(vcs_yamux_sendable(c.y, id), W / 2);
    /* More than was received is never given back. */
    vcs_yamux_consumed(s.y, id, 10 * W);
    pump(&c, &s, 5000);
    assert_int_equal(vcs_yamux_sendable(c.y, id), W);
    vcs_yamux_consumed(s.y, id, W);
    expect_nothing(&s);
    free(big);
    end(&c);
    end(&s);
}

static void send_without_copy(void **state)
{
    (void)state;
    struct end c, s;
    begin(&c, 1);
    begin(&s, 0);
    uint32_t id = vcs_yamux_open(c.y);
    size_t n = 10 * W;
    char *p = vcs_yamux_send_begin(c.y, id, &n);
    assert_non_null(p);
    assert_int_equal(n, W);
    memset(p, 'z', n);
    vcs_yamux_send_end(c.y, id, 100);
    n = W;
    assert_non_null(vcs_yamux_send_begin(c.y, id, &n));
    assert_int_equal(n, W - 100);
    vcs_yamux_send_end(c.y, id, 0); /* nothing after all */
    pump(&c, &s, 64);
    assert_int_equal(s.got.len, 100);
    assert_int_equal(vcs_buf_data(&s.got)[99], 'z');
    n = 5;
    assert_null(vcs_yamux_send_begin(c.y, 77, &n));
    assert_int_equal(n, 0);
    end(&c);
    end(&s);
}

static void violations_end_the_session(void **state)
{
    (void)state;
    static const struct {
        unsigned type, flags;
        uint32_t id, len;
    } bad[] = {
        { DATA, 0, 1, W + 1 },                             /* beyond the window */
        { DATA, 0, 1, UINT32_MAX }, { WINDOW, SYN, 1, 0 }, /* open already */
        { DATA, SYN, 1, 4 },        { WINDOW, SYN, 2, 0 }, /* our side's number */
        { WINDOW, SYN, 0, 0 },      { 4, 0, 0, 0 },        /* no such type */
        { 255, 0, 1, 0 },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct end s;
        begin(&s, 0);
        assert_int_equal(feed(&s, WINDOW, SYN, 1, 0), 0);
        expect(&s, WINDOW, ACK, 1, 0);
        expect_violation(&s, feed(&s, bad[i].type, bad[i].flags, bad[i].id, bad[i].len));
        end(&s);
    }
    struct end s;
    begin(&s, 0);
    expect_violation(&s, vcs_yamux_input(s.y, "\1\0\0\0\0\0\0\0\0\0\0\0", 12));
    end(&s);
    begin(&s, 0);
    assert_int_equal(feed(&s, WINDOW, SYN, 1, 0), 0);
    expect(&s, WINDOW, ACK, 1, 0);
    assert_int_equal(feed(&s, WINDOW, FIN, 1, 0), 0);
    assert_int_equal(s.finished, 1);
    expect_violation(&s, feed(&s, WINDOW, FIN, 1, 0));
    end(&s);
}

static void window_counts_over_frames(void **state)
{
    (void)state;
    struct end s;
    begin(&s, 0);
    s.hold = 1;
    assert_int_equal(feed(&s, WINDOW, SYN, 1, 0), 0);
    expect(&s, WINDOW, ACK, 1, 0);
    char *big = calloc(1, W);
    assert_int_equal(feed(&s, DATA, 0, 1, W), 0);
    assert_int_equal(vcs_yamux_input(s.y, big, W), 0);
    assert_int_equal(feed(&s, DATA, 0, 1, 0), 0);
    expect_violation(&s, feed(&s, DATA, 0, 1, 1));
    free(big);
    end(&s);
}

static void unknown_streams_are_harmless(void **state)
{
    (void)state;
    struct end s;
    begin(&s, 0);
    assert_int_equal(feed(&s, DATA, 0, 9, 5), 0);
    assert_int_equal(vcs_yamux_input(s.y, "12345", 5), 0);
    assert_int_equal(feed(&s, WINDOW, 0, 9, 100), 0);
    assert_int_equal(feed(&s, WINDOW, FIN, 9, 0), 0);
    assert_int_equal(feed(&s, WINDOW, RST, 9, 0), 0);
    assert_int_equal(s.got.len + s.finished + s.closed + s.opened + s.writable, 0);
    expect_nothing(&s);
    assert_int_equal(feed(&s, PING, SYN, 0, 0xabcdef01u), 0);
    expect(&s, PING, ACK, 0, 0xabcdef01u);
    assert_int_equal(feed(&s, PING, ACK, 0, 5), 0);
    expect_nothing(&s);
    vcs_yamux_consumed(s.y, 9, 5);
    vcs_yamux_finish(s.y, 9);
    vcs_yamux_reset(s.y, 9);
    assert_int_equal(vcs_yamux_sendable(s.y, 9), 0);
    assert_int_equal(vcs_yamux_send(s.y, 9, "x", 1), -EPIPE);
    expect_nothing(&s);
    end(&s);
}

static void flags_ride_on_data(void **state)
{
    (void)state;
    struct end s;
    begin(&s, 0);
    /* Open, three bytes and the end in one frame. */
    assert_int_equal(feed(&s, DATA, SYN | FIN, 1, 3), 0);
    assert_int_equal(s.finished, 0);
    assert_int_equal(vcs_yamux_input(s.y, "ab", 2), 0);
    assert_int_equal(s.finished, 0);
    assert_int_equal(vcs_yamux_input(s.y, "c", 1), 0);
    assert_int_equal(s.finished, 1);
    assert_memory_equal(vcs_buf_data(&s.got), "abc", 3);
    expect(&s, WINDOW, ACK, 1, 0);
    /* Data after the end is dropped: real peers may race. */
    assert_int_equal(feed(&s, DATA, 0, 1, 2), 0);
    assert_int_equal(vcs_yamux_input(s.y, "de", 2), 0);
    assert_int_equal(s.got.len, 3);
    vcs_yamux_finish(s.y, 1);
    assert_int_equal(s.closed, 1);
    expect(&s, WINDOW, FIN, 1, 0);
    vcs_yamux_finish(s.y, 1);
    expect_nothing(&s);
    end(&s);
}

static void resets(void **state)
{
    (void)state;
    struct end c, s;
    begin(&c, 1);
    begin(&s, 0);
    uint32_t id = vcs_yamux_open(c.y);
    pump(&c, &s, 12);
    vcs_yamux_reset(s.y, id);
    assert_int_equal(s.closed, 0);
    pump(&c, &s, 12);
    assert_int_equal(c.closed, 1);
    assert_int_equal(c.last, id);
    assert_int_equal(vcs_yamux_send(c.y, id, "x", 1), -EPIPE);
    /* Refused by the owner. */
    s.refuse = 1;
    id = vcs_yamux_open(c.y);
    pump(&c, &s, 12);
    assert_int_equal(c.closed, 2);
    assert_int_equal(vcs_yamux_streams(s.y), 0);
    /* Reset from within the data event: the rest of the frame is dropped. */
    s.refuse = 0;
    s.reset_on_data = 1;
    id = vcs_yamux_open(c.y);
    assert_int_equal(vcs_yamux_send(c.y, id, "0123456789", 10), 10);
    pump(&c, &s, 16);
    assert_int_equal(s.got.len, 8); /* what came with the rest of the header */
    assert_int_equal(c.closed, 3);
    end(&c);
    end(&s);
}

static void go_away(void **state)
{
    (void)state;
    struct end c, s;
    begin(&c, 1);
    begin(&s, 0);
    uint32_t id = vcs_yamux_open(c.y);
    pump(&c, &s, 12);
    vcs_yamux_go_away(s.y, 0);
    uint32_t late = vcs_yamux_open(c.y);
    assert_int_not_equal(late, 0);
    pump(&c, &s, 12);
    assert_int_equal(vcs_yamux_open(c.y), 0);
    assert_int_equal(c.closed, 1); /* the late one */
    assert_int_equal(vcs_yamux_send(c.y, id, "still", 5), 5);
    pump(&c, &s, 12);
    assert_int_equal(s.got.len, 5);
    assert_int_equal(feed(&c, GOAWAY, 0, 0, 2), -EPROTO);
    end(&c);
    end(&s);
}

static void streams_are_limited(void **state)
{
    (void)state;
    struct end s;
    begin(&s, 0);
    uint32_t id = 1;
    for (unsigned i = 0; i < VCS_YAMUX_MAX_STREAMS; i++, id += 2) {
        assert_int_equal(feed(&s, WINDOW, SYN, id, 0), 0);
        expect(&s, WINDOW, ACK, id, 0);
    }
    assert_int_equal(feed(&s, WINDOW, SYN, id, 0), 0);
    expect(&s, WINDOW, RST, id, 0);
    assert_int_equal(vcs_yamux_open(s.y), 0);
    assert_int_equal(vcs_yamux_streams(s.y), VCS_YAMUX_MAX_STREAMS);
    assert_int_equal(feed(&s, WINDOW, RST, 5, 0), 0);
    assert_int_equal(s.closed, 1);
    assert_int_equal(feed(&s, WINDOW, SYN, id, 0), 0);
    expect(&s, WINDOW, ACK, id, 0);
    end(&s);
}

/* A peer that asks for answers and never reads them gets an end, not our memory. */
static void flood_is_bounded(void **state)
{
    (void)state;
    struct end s;
    begin(&s, 0);
    int r = 0;
    unsigned i = 0;
    for (; r == 0 && i < 1000000; i++)
        r = feed(&s, PING, SYN, 0, i);
    assert_int_equal(r, -EPROTO);
    size_t n;
    vcs_yamux_output(s.y, &n);
    assert_true(n < 1 << 20);
    end(&s);
    begin(&s, 0);
    for (i = 0; i < 1000000; i++) {
        assert_int_equal(feed(&s, PING, SYN, 0, i), 0);
        vcs_yamux_output_consume(s.y, 12);
    }
    end(&s);
}

static void window_cannot_overflow(void **state)
{
    (void)state;
    struct end c;
    begin(&c, 1);
    uint32_t id = vcs_yamux_open(c.y);
    assert_int_equal(feed(&c, WINDOW, ACK, id, UINT32_MAX), 0);
    assert_int_equal(feed(&c, WINDOW, 0, id, UINT32_MAX), 0);
    assert_int_equal(vcs_yamux_sendable(c.y, id), UINT32_MAX);
    size_t n = SIZE_MAX / 2;
    assert_non_null(vcs_yamux_send_begin(c.y, id, &n));
    assert_int_equal(n, W);
    end(&c);
}

static void garbage(void **state)
{
    (void)state;
    uint32_t seed = 12345;
    for (int round = 0; round < 2000; round++) {
        struct end s;
        begin(&s, round & 1);
        vcs_yamux_open(s.y);
        unsigned char text[96];
        for (size_t i = 0; i < sizeof(text); i++) {
            seed = seed * 1103515245 + 12345;
            text[i] = (unsigned char)(seed >> 16);
            if (i % 12 != 11)
                text[i] &= round % 3 ? 3 : 1;
            if (i % 12 == 0)
                text[i] = 0;
        }
        for (size_t i = 0; i < sizeof(text); i++)
            if (vcs_yamux_input(s.y, text + i, 1) < 0)
                break;
        end(&s);
    }
}

/* An owner that wants no events gets none, whatever the peer sends. */
static void members_may_be_null(void **state)
{
    (void)state;
    static const struct vcs_yamux_events none = { 0 };
    static unsigned char body[W];
    struct end e = { 0 };
    e.y = vcs_yamux_new(1, &none, &e);
    assert_non_null(e.y);
    assert_int_equal(feed(&e, WINDOW, SYN, 2, 0), 0); /* opened: reset */
    expect(&e, WINDOW, ACK, 2, 0);
    expect(&e, WINDOW, RST, 2, 0);
    assert_int_equal(vcs_yamux_streams(e.y), 0);
    assert_int_equal(vcs_yamux_open(e.y), 1);
    expect(&e, WINDOW, SYN, 1, 0);
    assert_int_equal(feed(&e, WINDOW, ACK, 1, 100), 0); /* writable */
    assert_int_equal(vcs_yamux_sendable(e.y, 1), W + 100);
    assert_int_equal(feed(&e, DATA, 0, 1, W / 2), 0); /* data: dropped, and its window is given back */
    assert_int_equal(vcs_yamux_input(e.y, body, W / 2), 0);
    expect(&e, WINDOW, 0, 1, W / 2);
    assert_int_equal(feed(&e, DATA, FIN, 1, W), 0); /* data, finished */
    assert_int_equal(vcs_yamux_input(e.y, body, W), 0);
    expect(&e, WINDOW, 0, 1, W);
    vcs_yamux_finish(e.y, 1); /* closed */
    expect(&e, WINDOW, FIN, 1, 0);
    assert_int_equal(vcs_yamux_streams(e.y), 0);
    assert_int_equal(vcs_yamux_open(e.y), 3);
    expect(&e, WINDOW, SYN, 3, 0);
    assert_int_equal(feed(&e, WINDOW, RST, 3, 0), 0); /* closed by the peer */
    assert_int_equal(vcs_yamux_streams(e.y), 0);
    assert_int_equal(vcs_yamux_open(e.y), 5);
    expect(&e, WINDOW, SYN, 5, 0);
    vcs_yamux_finish(e.y, 5);
    expect(&e, WINDOW, FIN, 5, 0);
    assert_int_equal(feed(&e, WINDOW, FIN, 5, 0), 0); /* closed by both ends */
    assert_int_equal(vcs_yamux_streams(e.y), 0);
    expect_nothing(&e);
    end(&e);
}

/* What the header says of calls with nothing in them, or for a stream that is not there. */
static void nothing_is_fine(void **state)
{
    (void)state;
    struct end e;
    begin(&e, 1);
    assert_int_equal(vcs_yamux_open(e.y), 1);
    expect(&e, WINDOW, SYN, 1, 0);
    size_t n = 10;
    assert_non_null(vcs_yamux_send_begin(e.y, 1, &n));
    vcs_yamux_send_end(e.y, 1, 0);
    expect_nothing(&e);
    assert_int_equal(vcs_yamux_sendable(e.y, 1), W);
    assert_int_equal(vcs_yamux_send(e.y, 1, "abc", 3), 3);
    expect(&e, DATA, 0, 1, 3);
    vcs_yamux_consumed(e.y, 1, 0);
    vcs_yamux_consumed(e.y, 1, 10 * W); /* more than came: nothing did */
    vcs_yamux_consumed(e.y, 99, W);
    assert_int_equal(feed(&e, WINDOW, FIN, 1, 0), 0);
    vcs_yamux_consumed(e.y, 1, W);
    vcs_yamux_reset(e.y, 1);
    expect(&e, WINDOW, RST, 1, 0);
    vcs_yamux_consumed(e.y, 1, W);
    expect_nothing(&e);
    end(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_ends_talk),
        cmocka_unit_test(open_looks_like_the_real_ones),
        cmocka_unit_test(window_is_kept),
        cmocka_unit_test(send_without_copy),
        cmocka_unit_test(violations_end_the_session),
        cmocka_unit_test(window_counts_over_frames),
        cmocka_unit_test(unknown_streams_are_harmless),
        cmocka_unit_test(flags_ride_on_data),
        cmocka_unit_test(resets),
        cmocka_unit_test(go_away),
        cmocka_unit_test(streams_are_limited),
        cmocka_unit_test(flood_is_bounded),
        cmocka_unit_test(window_cannot_overflow),
        cmocka_unit_test(members_may_be_null),
        cmocka_unit_test(nothing_is_fine),
        cmocka_unit_test(garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
