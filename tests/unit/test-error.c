/* SPDX-License-Identifier: Apache-2.0 */
/* test-error.c: the error object, escaping, ids and log lines. */
#include "core-util.h"

#include <json-c/json.h>

static void makes_one_sentence(void **state)
{
    (void)state;
    vc_error *err = NULL;
    assert_int_equal(vci_fail(&err, VC_ERR_IO, ENOENT, "cannot open %s", "x"), VC_ERR_IO);
    assert_string_equal(vc_error_text(err), "cannot open x: No such file or directory");
    assert_int_equal(err->sys, ENOENT);
    /* A second failure does not hide the first. */
    vci_fail(&err, VC_ERR_PERM, 0, "other");
    assert_int_equal(vc_error_code(err), VC_ERR_IO);
    vci_context(&err, "pod \"%s\"", "a");
    assert_string_equal(vc_error_text(err), "pod \"a\": cannot open x: No such file or directory");
    vc_error_free(err);
    assert_int_equal(vci_fail(NULL, VC_ERR_BUSY, 0, "nobody listens"), VC_ERR_BUSY);
    assert_int_equal(vc_error_code(NULL), 0);
    assert_string_equal(vc_error_text(NULL), "");
    vc_error_free(NULL);
}

static void is_bounded(void **state)
{
    (void)state;
    char big[8192];
    memset(big, 'a', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    vc_error *err = NULL;
    vci_fail(&err, VC_ERR_IO, EIO, "%s", big);
    assert_true(strlen(vc_error_text(err)) < sizeof(err->text));
    assert_contains(vc_error_text(err), "Input/output error");
    for (int i = 0; i < 5; i++)
        vci_context(&err, "%s", big);
    assert_true(strlen(vc_error_text(err)) < sizeof(err->text));
    vc_error_free(err);
}

static void escapes_what_a_terminal_would_obey(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "plain", "plain" },
        { "a\nb\tc", "a\\x0ab\\x09c" },
        { "\033[2J", "\\x1b[2J" },
        { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
        { "\xe2\x82\xac \xf0\x9f\x90\xa7", "\xe2\x82\xac \xf0\x9f\x90\xa7" },
        { "\xc2\x9b"
          "31m",
          "\\xc2\\x9b31m" },                   /* C1 control sequence introducer */
        { "\xc0\xaf", "\\xc0\\xaf" },          /* overlong */
        { "\xed\xa0\x80", "\\xed\\xa0\\x80" }, /* surrogate */
        { "\xff\xfe", "\\xff\\xfe" },
        { "\xe2\x82", "\\xe2\\x82" }, /* cut off */
        { "\x7f", "\\x7f" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[64];
        size_t n = vci_escape(out, sizeof(out), cases[i].in, strlen(cases[i].in));
        assert_string_equal(out, cases[i].out);
        assert_int_equal(n, strlen(out));
    }
    char tiny[6];
    assert_int_equal(vci_escape(tiny, sizeof(tiny), "\n\n", 2), 4);
    assert_string_equal(tiny, "\\x0a");
}

static void checks_plugins(void **state)
{
    (void)state;
    vc_error *err = NULL, none, obj;
    vci_error_init(&none);
    assert_int_equal(vci_error_from_plugin(&err, &none, 0, "shim", "p", "m", NULL), 0);
    assert_null(err);
    assert_error(vci_error_from_plugin(&err, &none, VC_ERR_PEER, "shim", "p", "m", NULL), &err, VC_ERR_PEER,
                 "plugin \"p\": m failed");
    assert_error(vci_error_from_plugin(&err, &none, 5, "shim", "p", "m", NULL), &err, VC_ERR_INTERNAL,
                 "answered 5");
    assert_error(vci_error_from_plugin(&err, &none, -99, "shim", "p", "m", NULL), &err, VC_ERR_INTERNAL,
                 "answered -99");
    assert_error(vci_error_from_plugin(&err, &none, VC_ERR_PEER, "shim", "p", "m", "asked twice"), &err,
                 VC_ERR_PEER, "shim plugin \"p\": m failed (peer-gone) and gave no reason; it asked twice");
    static const char *const said[][2] = {
        { "it broke", "shim plugin \"p\": it broke" },
        { "shim p: it broke", "shim plugin \"p\": it broke" },
        { "shim plugin \"p\": it broke", "shim plugin \"p\": it broke" },
        { "shim p broke", "shim p broke" },
    };
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        vci_error_fill(vci_error_init(&obj), VC_ERR_IO, 0, said[i][0], strlen(said[i][0]));
        vci_error_from_plugin(&err, &obj, VC_ERR_IO, "shim", "p", "m", NULL);
        assert_string_equal(vc_error_text(err), said[i][1]);
        vc_error_free(err);
        err = NULL;
    }
    vci_error_fill(vci_error_init(&obj), VC_ERR_IO, 0, "reason\n", 7);
    assert_error(vci_error_from_plugin(&err, &obj, VC_ERR_TIMEOUT, "shim", "p", "m", NULL), &err, VC_ERR_TIMEOUT,
                 "reason\\x0a");
    /* An error that is there stays. */
    assert_int_equal(vci_fail(&err, VC_ERR_STATE, 0, "the first one"), VC_ERR_STATE);
    assert_int_equal(vci_error_from_plugin(&err, &obj, VC_ERR_IO, "shim", "p", "m", NULL), VC_ERR_IO);
    assert_int_equal(vci_error_from_plugin(NULL, &obj, VC_ERR_IO, "shim", "p", "m", NULL), VC_ERR_IO);
    assert_string_equal(vc_error_text(err), "the first one");
    vc_error_free(err);
    assert_string_equal(vc_error_name(VC_ERR_NOEXEC), "not-executable");
    assert_string_equal(vc_error_name(7), "unknown");
    assert_string_equal(vc_error_name(-1000), "unknown");
}

static void checks_ids(void **state)
{
    (void)state;
    char long_id[201];
    memset(long_id, 'a', 200);
    long_id[200] = '\0';
    const char *const bad[] = { "", "a/b", "..", ".a", "-a", "a b", "a\n", "\xc3\xbc", "a\033b", long_id };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        vc_error *err = NULL;
        assert_error(vci_check_id("pod id", bad[i], &err), &err, VC_ERR_INVAL, "pod id");
    }
    assert_int_equal(vci_check_id("pod id", NULL, NULL), VC_ERR_INVAL);
    long_id[128] = '\0';
    assert_int_equal(vci_check_id("pod id", long_id, NULL), 0);
    assert_int_equal(vci_check_id("pod id", "0", NULL), 0);
    assert_int_equal(vci_check_id("pod id", "Web_1.x-2", NULL), 0);
    char a[301], b[13];
    vci_make_id(a, 300);
    vci_make_id(b, 12);
    assert_int_equal(strlen(a), 300);
    assert_int_equal(strspn(a, "0123456789abcdef"), 300);
    assert_int_equal(strlen(b), 12);
    assert_true(strncmp(a, b, 12) != 0);
}

/* What was logged, as the lines of a pipe. */
static ssize_t logged(vc_context *ctx, int fds[2], char *buf, size_t size)
{
    (void)ctx;
    ssize_t n = read(fds[0], buf, size - 1);
    buf[n > 0 ? n : 0] = '\0';
    return n;
}

static void logs_lines(void **state)
{
    (void)state;
    int fds[2];
    char buf[16384], big[6000];
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    vc_context ctx = { .log = { fds[1], VC_LOG_INFO, VC_LOG_FORMAT_TEXT } };
    vci_log(&ctx, VC_LOG_DEBUG, "p", "not wanted");
    assert_int_equal(logged(&ctx, fds, buf, sizeof(buf)), -1);
    vci_log(&ctx, VC_LOG_INFO, "p1", "hello %s", "a\nforged error");
    logged(&ctx, fds, buf, sizeof(buf));
    assert_contains(buf, "Z info pod=p1 hello a\\x0aforged error\n");
    assert_ptr_equal(strchr(buf, '\n'), buf + strlen(buf) - 1);

    ctx.log.format = VC_LOG_FORMAT_JSON;
    ctx.log.level = VC_LOG_DEBUG;
    memset(big, '"', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    const char *const messages[] = { "say \"hi\" \\ \001 \xff", "", big };
    for (size_t i = 0; i < 3; i++) {
        vci_log(&ctx, VC_LOG_WARN, i ? NULL : "p1", "%s", messages[i]);
        logged(&ctx, fds, buf, sizeof(buf));
        assert_ptr_equal(strchr(buf, '\n'), buf + strlen(buf) - 1);
        struct json_object *o = json_tokener_parse(buf), *v;
        assert_non_null(o);
        assert_true(json_object_object_get_ex(o, "level", &v));
        assert_string_equal(json_object_get_string(v), "warn");
        assert_true(json_object_object_get_ex(o, "msg", &v));
        if (i == 0)
            assert_string_equal(json_object_get_string(v), "say \"hi\" \\ \\x01 \\xff");
        assert_int_equal(json_object_object_get_ex(o, "pod", &v), i == 0);
        json_object_put(o);
    }
    vci_phase(&ctx, "p1", "vm-started");
    logged(&ctx, fds, buf, sizeof(buf));
    assert_contains(buf, "\"phase\":\"vm-started\"");
    assert_contains(buf, "\"mono_ns\":");
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_one_sentence),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(escapes_what_a_terminal_would_obey),
        cmocka_unit_test(checks_plugins),
        cmocka_unit_test(checks_ids),
        cmocka_unit_test(logs_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
