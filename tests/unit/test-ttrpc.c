/* SPDX-License-Identifier: Apache-2.0 */
/* test-ttrpc.c: frames and envelopes, whole, in parts, too long and broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ttrpc.h"

static void request_round_trip(void **state)
{
    (void)state;
    struct vcs_buf out = { 0 };
    unsigned char *at = vcs_ttrpc_put_request(&out, 7, "grpc.Health", "Check", 1500000000, 4);
    assert_non_null(at);
    memcpy(at, "\x0a\x02hi", 4);
    assert_ptr_equal(at + 4, vcs_buf_data(&out) + out.len);
    at = vcs_ttrpc_put_request(&out, 9, "s", "m", 0, 0);
    assert_ptr_equal(at, vcs_buf_data(&out) + out.len);

    /* One byte at a time. */
    struct vcs_ttrpc_reader r = { 0 };
    struct vcs_ttrpc_frame f;
    struct vcs_ttrpc_request q;
    unsigned frames = 0;
    for (size_t i = 0; i < out.len; i++) {
        assert_int_equal(vcs_buf_append(&r.in, vcs_buf_data(&out) + i, 1), 0);
        int got = vcs_ttrpc_next(&r, &f);
        if (!got)
            continue;
        assert_int_equal(f.type, VCS_TTRPC_REQUEST);
        assert_int_equal(f.flags, 0);
        assert_int_equal(f.oversized, 0);
        assert_int_equal(vcs_ttrpc_parse_request(f.data, f.len, &q), 0);
        if (frames++ == 0) {
            assert_int_equal(f.stream_id, 7);
            assert_int_equal(q.service_len, 11);
            assert_memory_equal(q.service, "grpc.Health", 11);
            assert_int_equal(q.method_len, 5);
            assert_memory_equal(q.method, "Check", 5);
            assert_int_equal(q.timeout_ns, 1500000000);
            assert_int_equal(q.payload_len, 4);
            assert_memory_equal(q.payload, "\x0a\x02hi", 4);
        } else {
            assert_int_equal(f.stream_id, 9);
            assert_int_equal(q.timeout_ns, 0);
            assert_int_equal(q.payload_len, 0);
            assert_int_equal(i, out.len - 1);
        }
    }
    assert_int_equal(frames, 2);
    vcs_buf_done(&r.in);
    vcs_buf_done(&out);
}

static void response_round_trip(void **state)
{
    (void)state;
    struct vcs_buf out = { 0 };
    unsigned char *at = vcs_ttrpc_put_response(&out, 1, 300);
    assert_non_null(at);
    memset(at, 'p', 300);
    assert_int_equal(vcs_ttrpc_put_error(&out, 3, VCS_RPC_NOTFOUND, "no container \"a\""), 0);
    assert_int_equal(vcs_ttrpc_put_error(&out, 5, -1, ""), 0);

    struct vcs_ttrpc_reader r = { 0 };
    struct vcs_ttrpc_frame f;
    struct vcs_ttrpc_response p;
    assert_int_equal(vcs_buf_append(&r.in, vcs_buf_data(&out), out.len), 0);
    assert_int_equal(vcs_ttrpc_next(&r, &f), 1);
    assert_int_equal(f.type, VCS_TTRPC_RESPONSE);
    assert_int_equal(vcs_ttrpc_parse_response(f.data, f.len, &p), 0);
    assert_int_equal(p.code, 0);
    assert_int_equal(p.payload_len, 300);
    assert_int_equal(p.payload[299], 'p');
    assert_int_equal(vcs_ttrpc_next(&r, &f), 1);
    assert_int_equal(f.stream_id, 3);
    assert_int_equal(vcs_ttrpc_parse_response(f.data, f.len, &p), 0);
    assert_int_equal(p.code, VCS_RPC_NOTFOUND);
    assert_int_equal(p.message_len, 16);
    assert_memory_equal(p.message, "no container \"a\"", 16);
    assert_int_equal(p.payload_len, 0);
    assert_int_equal(vcs_ttrpc_next(&r, &f), 1);
    assert_int_equal(vcs_ttrpc_parse_response(f.data, f.len, &p), 0);
    assert_int_equal(p.code, -1);
    assert_int_equal(vcs_ttrpc_next(&r, &f), 0);
    assert_int_equal(r.in.len, 0);
    vcs_buf_done(&r.in);
    vcs_buf_done(&out);
}

/* The bytes that other implementations send. */
static void known_bytes(void **state)
{
    (void)state;
    static const unsigned char bytes[] = "\x00\x00\x00\x18\x00\x00\x00\x01\x01\x00"
                                         "\x0a\x0bgrpc.Health\x12\x05"
                                         "Check"
                                         "\x20\x05\x78";
    struct vcs_ttrpc_reader r = { 0 };
    struct vcs_ttrpc_frame f;
    struct vcs_ttrpc_request q;
    assert_int_equal(vcs_buf_append(&r.in, bytes, 10 + 23), 0);
    assert_int_equal(vcs_ttrpc_next(&r, &f), 0);
    assert_int_equal(vcs_buf_append(&r.in, "\x00", 1), 0);
    assert_int_equal(vcs_ttrpc_next(&r, &f), 1);
    /* Field 15 as varint without its value is broken. */
    assert_int_equal(vcs_ttrpc_parse_request(f.data, f.len - 1, &q), -EPROTO);
    assert_int_equal(vcs_ttrpc_parse_request(f.data, f.len, &q), 0);
    assert_int_equal(q.timeout_ns, 5);
    vcs_buf_done(&r.in);
}

static void oversized_is_skipped(void **state)
{
    (void)state;
    struct vcs_ttrpc_reader r = { 0 };
    struct vcs_ttrpc_frame f;
    unsigned char h[10] = { 0 };
    vcs_put_be32(h, VCS_TTRPC_MAX + 1);
    vcs_put_be32(h + 4, 11);
    h[8] = VCS_TTRPC_REQUEST;
    assert_int_equal(vcs_buf_append(&r.in, h, 10), 0);
    assert_int_equal(vcs_ttrpc_next(&r, &f), 1);
    assert_int_equal(f.oversized, 1);
    assert_int_equal(f.stream_id, 11);
    assert_int_equal(f.len, 0);
    char *part = calloc(1, 100000);
    for (size_t left = VCS_TTRPC_MAX + 1; left;) {
        size_t n = left < 100000 ? left : 100000;
        assert_int_equal(vcs_buf_append(&r.in, part, n), 0);
        assert_int_equal(vcs_ttrpc_next(&r, &f), 0);
        assert_int_equal(r.in.len, 0);
        left -= n;
    }
    assert_true(r.in.cap < 1 << 20);
    struct vcs_buf out = { 0 };
    assert_non_null(vcs_ttrpc_put_response(&out, 13, 0));
    assert_int_equal(vcs_buf_append(&r.in, vcs_buf_data(&out), out.len), 0);
    assert_int_equal(vcs_ttrpc_next(&r, &f), 1);
    assert_int_equal(f.stream_id, 13);
    free(part);
    vcs_buf_done(&out);
    vcs_buf_done(&r.in);
}

static void limits_of_writing(void **state)
{
    (void)state;
    struct vcs_buf out = { 0 };
    assert_null(vcs_ttrpc_put_request(&out, 1, "s", "m", 0, VCS_TTRPC_MAX));
    assert_null(vcs_ttrpc_put_response(&out, 1, VCS_TTRPC_MAX - 4));
    assert_null(vcs_ttrpc_put_response(&out, 1, SIZE_MAX));
    assert_int_equal(out.len, 0);
    /* tag, status, tag, four bytes of length, payload */
    assert_non_null(vcs_ttrpc_put_response(&out, 1, VCS_TTRPC_MAX - 7));
    assert_int_equal(vcs_get_be32(vcs_buf_data(&out)), VCS_TTRPC_MAX);
    vcs_buf_done(&out);
}

static void broken_envelopes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        { "\x0a", 1 }, /* no length */
        { "\x0a\x05"
          "abc",
          5 },                                                      /* too short */
        { "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 },     /* a length of 2^64-1 */
        { "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12 }, /* a varint of 11 bytes */
        { "\x08\x01", 2 },                                          /* a string as varint */
        { "\x12\x01"
          "a"
          "\x0b",
          4 },                             /* a group */
        { "\x02\x01", 2 },                 /* field 0 */
        { "\x7d\x01\x02", 3 },             /* fixed32 of two bytes */
        { "\x79\x01\x02", 3 },             /* fixed64 of two bytes */
        { "\xff\xff\xff\xff\xff\x01", 6 }, /* tag above 32 bits */
    };
    struct vcs_ttrpc_request q;
    struct vcs_ttrpc_response p;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        unsigned char *copy = malloc(bad[i].n);
        memcpy(copy, bad[i].bytes, bad[i].n);
        assert_int_equal(vcs_ttrpc_parse_request(copy, bad[i].n, &q), -EPROTO);
        assert_int_equal(vcs_ttrpc_parse_response(copy, bad[i].n, &p), -EPROTO);
        free(copy);
    }
    /* A broken status inside a sound response. */
    assert_int_equal(vcs_ttrpc_parse_response("\x0a\x02\x12\x05", 4, &p), -EPROTO);
    /* Unknown fields of every kind are skipped. */
    assert_int_equal(vcs_ttrpc_parse_request(
                         "\x7d\x01\x02\x03\x04\x79\x01\x02\x03\x04\x05\x06\x07\x08\x7a\x01z\x78\x05\x0a\x01s", 22, &q),
                     0);
    assert_int_equal(q.service_len, 1);
    assert_int_equal(vcs_ttrpc_parse_request(NULL, 0, &q), 0);
    assert_int_equal(q.service_len + q.method_len + q.payload_len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_round_trip), cmocka_unit_test(response_round_trip),
        cmocka_unit_test(known_bytes),        cmocka_unit_test(oversized_is_skipped),
        cmocka_unit_test(limits_of_writing),  cmocka_unit_test(broken_envelopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
