/* SPDX-License-Identifier: Apache-2.0 */
/* test-buf.c: the byte queue against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "lib/buf.h"

static void zeroed_is_empty(void **state)
{
    (void)state;
    struct vcs_buf b = { 0 };
    assert_int_equal(b.len, 0);
    assert_string_equal(vcs_buf_str(&b), "");
    vcs_buf_consume(&b, 10);
    assert_int_equal(b.len, 0);
    assert_int_equal(vcs_buf_append(&b, NULL, 0), 0);
    vcs_buf_done(&b);
    vcs_buf_done(&b);
}

/* Many appends and consumes of changing sizes: what comes out is what went in. */
static void queue_keeps_order(void **state)
{
    (void)state;
    struct vcs_buf b = { 0 };
    unsigned char in = 0, out = 0, chunk[700];
    size_t size = 0;
    for (unsigned round = 0; round < 5000; round++) {
        size_t n = round * 37 % sizeof(chunk);
        for (size_t i = 0; i < n; i++)
            chunk[i] = in++;
        assert_int_equal(vcs_buf_append(&b, chunk, n), 0);
        size += n;
        size_t take = round * 53 % (sizeof(chunk) + 20);
        if (take > b.len)
            take = b.len;
        for (size_t i = 0; i < take; i++)
            assert_int_equal(vcs_buf_data(&b)[i], out++);
        vcs_buf_consume(&b, take);
        size -= take;
        assert_int_equal(b.len, size);
    }
    assert_true(b.cap < 2000000);
    vcs_buf_done(&b);
}

/* A queue that is never quite empty must not grow without limit. */
static void steady_queue_does_not_grow(void **state)
{
    (void)state;
    struct vcs_buf b = { 0 };
    assert_int_equal(vcs_buf_append(&b, "0123456789", 10), 0);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(vcs_buf_append(&b, "abcdefgh", 8), 0);
        vcs_buf_consume(&b, 8);
    }
    assert_int_equal(b.len, 10);
    assert_true(b.cap <= 1024);
    vcs_buf_done(&b);
}

static void printf_and_text(void **state)
{
    (void)state;
    struct vcs_buf b = { 0 };
    assert_int_equal(vcs_buf_printf(&b, "%s %d", "pod", 7), 0);
    assert_int_equal(vcs_buf_printf(&b, "%0*d", 3000, 1), 0);
    assert_int_equal(b.len, 3005);
    assert_memory_equal(vcs_buf_str(&b), "pod 70000", 9);
    assert_int_equal(strlen(vcs_buf_str(&b)), b.len);
    vcs_buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_non_null(vcs_buf_reserve(&b, 1 << 20));
    vcs_buf_clear(&b);
    assert_int_equal(b.cap, 0);
    vcs_buf_done(&b);
}

static void too_much_is_refused(void **state)
{
    (void)state;
    struct vcs_buf b = { 0 };
    assert_int_equal(vcs_buf_append(&b, "x", 1), 0);
    assert_null(vcs_buf_reserve(&b, SIZE_MAX));
    assert_null(vcs_buf_reserve(&b, SIZE_MAX - 1));
    assert_int_equal(b.len, 1);
    vcs_buf_done(&b);
}

static void big_endian(void **state)
{
    (void)state;
    unsigned char p[4];
    vcs_put_be32(p, 0xfedcba98u);
    assert_memory_equal(p, "\xfe\xdc\xba\x98", 4);
    assert_int_equal(vcs_get_be32(p), 0xfedcba98u);
    assert_int_equal(vcs_get_be16(p + 2), 0xba98);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed_is_empty),
        cmocka_unit_test(queue_keeps_order),
        cmocka_unit_test(steady_queue_does_not_grow),
        cmocka_unit_test(printf_and_text),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(big_endian),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
