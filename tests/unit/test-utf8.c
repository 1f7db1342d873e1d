/* SPDX-License-Identifier: Apache-2.0 */
/* test-utf8.c: every character there is, and every kind of bytes that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/utf8.h"

/* As the standard's table writes it; n bytes, which may be more than it needs. */
static void put(unsigned char *b, uint32_t c, size_t n)
{
    static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0, 0xf8 };
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        b[i] = (unsigned char)(0x80 | (c & 0x3f));
    b[0] = (unsigned char)(n == 1 ? c : lead[n] | c);
}

static size_t needs(uint32_t c)
{
    return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

/* The bytes at the end of memory of just that size, so that a sanitizer sees a look beyond them. */
static size_t of(const void *bytes, size_t n, size_t (*fn)(const void *, size_t))
{
    void *copy = malloc(n ? n : 1);
    memcpy(copy, bytes, n);
    size_t r = fn(copy, n);
    free(copy);
    return r;
}

static void every_character(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x200000; c++) {
        unsigned char b[4];
        size_t n = needs(c);
        int is_one = c < 0x110000 && !(c >= 0xd800 && c < 0xe000);
        int control = c < 0x20 || (c >= 0x7f && c < 0xa0);
        put(b, c, n);
        if (vcs_utf8(b, n) != (is_one ? n : 0) || vcs_utf8_plain(b, n) != (is_one && !control ? n : 0))
            fail_msg("U+%04X", (unsigned)c);
    }
}

static void overlong_forms(void **state)
{
    (void)state;
    static const uint32_t some[] = { 0, '/', 0x7f, 0x80, 0x7ff, 0x800, 0xffff };
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
        for (size_t n = needs(some[i]) + 1; n <= 5; n++) {
            unsigned char b[5];
            put(b, some[i], n);
            assert_int_equal(vcs_utf8(b, n), 0);
            assert_int_equal(vcs_utf8_line(b, n), 0);
        }
}

static void cut_off(void **state)
{
    (void)state;
    static const char *const whole[] = { "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x90\xa7", "\xf4\x8f\xbf\xbf" };
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        size_t n = strlen(whole[i]);
        assert_int_equal(of(whole[i], n, vcs_utf8), n);
        for (size_t left = 0; left < n; left++) {
            assert_int_equal(of(whole[i], left, vcs_utf8), 0);
            assert_int_equal(of(whole[i], left, vcs_utf8_plain), 0);
        }
        /* The rest of the character is something else. */
        for (size_t at = 1; at < n; at++) {
            char b[4];
            memcpy(b, whole[i], n);
            b[at] = 'x';
            assert_int_equal(vcs_utf8(b, n), 0);
            b[at] = (char)0xc3;
            assert_int_equal(vcs_utf8(b, n), 0);
        }
    }
}

/* Bytes that begin nothing. */
static void no_lead(void **state)
{
    (void)state;
    for (unsigned lead = 0x80; lead < 0x100; lead++) {
        const unsigned char b[6] = { (unsigned char)lead, 0xbf, 0xbf, 0xbf, 0xbf, 0xbf };
        if (lead < 0xc2 || lead >= 0xf5)
            assert_int_equal(vcs_utf8(b, sizeof(b)), 0);
    }
}

static void lines(void **state)
{
    (void)state;
    static const char *const good[] = { "", "plain", "\xc3\xa4 \xe2\x82\xac", "\xf0\x9f\x90\xa7", "\xc2\xa0" };
    static const char *const bad[] = { "two\nlines", "tab\t",         "bell\a",       "\x7f",         "c1 \xc2\x9b",
                                       "a\xff",      "\xe4 latin",    "\xed\xa0\x80", "cut \xe2\x82", "\xf4\x90\x80\x80",
                                       "\xc0\xaf",   "\xe0\x80\xaf" };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(vcs_utf8_line(good[i], strlen(good[i])), 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(vcs_utf8_line(bad[i], strlen(bad[i])), 0);
    assert_int_equal(vcs_utf8_line("a\0b", 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character), cmocka_unit_test(overlong_forms), cmocka_unit_test(cut_off),
        cmocka_unit_test(no_lead),         cmocka_unit_test(lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
