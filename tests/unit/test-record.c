/* SPDX-License-Identifier: Apache-2.0 */
/* test-record.c: JSON of the library's own records, written and read. */
#include "core-util.h"

#include <json-c/json.h>

#include "record.h"

static int parse(struct vci_doc *d, const char *text, size_t len)
{
    vci_doc_init(d);
    char *to = vci_doc_room(d, len);
    assert_non_null(to);
    memcpy(to, text, len);
    return vci_doc_parse(d, len);
}

static void round_trip(void **state)
{
    (void)state;
    static const char raw[] = "a\"b\\c\n\x01\x7f\0z\xc3\xa9";
    struct vci_out o = { 0 };
    struct vci_doc d;
    vci_out_open(&o, NULL, '{');
    vci_out_int(&o, "min", INT64_MIN);
    vci_out_int(&o, "max", INT64_MAX);
    vci_out_str(&o, "raw", raw, sizeof raw - 1);
    vci_out_open(&o, "list", '[');
    for (int i = 0; i < 300; i++) { /* more than there is room for at first */
        vci_out_open(&o, NULL, '{');
        vci_out_int(&o, "i", i);
        vci_out_close(&o, '}');
    }
    vci_out_close(&o, ']');
    vci_out_open(&o, "none", '[');
    vci_out_close(&o, ']');
    vci_out_close(&o, '}');
    assert_int_equal(o.bad, 0);
    assert_int_equal(parse(&d, o.text, o.len), 0);
    assert_true(vci_rec_int(d.rec, "min", 0) == INT64_MIN);
    assert_true(vci_rec_int(d.rec, "max", 0) == INT64_MAX);
    const struct vci_rec *s = vci_rec_get(d.rec, "raw", VCI_REC_STR), *a = vci_rec_get(d.rec, "list", VCI_REC_ARRAY);
    assert_int_equal(s->n, sizeof raw - 1);
    assert_memory_equal(s->str, raw, sizeof raw);
    assert_int_equal(a->n, 300);
    int i = 0;
    for (const struct vci_rec *e = vci_rec_first(a); e; e = vci_rec_next(a, e))
        assert_int_equal(vci_rec_int(e, "i", -1), i++);
    assert_int_equal(i, 300);
    assert_null(vci_rec_first(vci_rec_get(d.rec, "none", VCI_REC_ARRAY)));
    assert_null(vci_rec_get(d.rec, "list", VCI_REC_OBJECT));
    assert_null(vci_rec_str(d.rec, "absent"));
    vci_doc_done(&d);
    /* It is JSON to others as well. */
    char *text = strndup(o.text, o.len);
    struct json_object *all = json_tokener_parse(text), *v = NULL;
    assert_true(json_object_object_get_ex(all, "raw", &v));
    assert_int_equal(json_object_get_string_len(v), sizeof raw - 1);
    assert_memory_equal(json_object_get_string(v), raw, sizeof raw - 1);
    json_object_put(all);
    free(text);
    vci_out_done(&o);
}

static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *value; /* NULL: it is refused */
    } cases[] = {
        { "\"\"", "" },
        { " \"a\\/b\\b\\f\\n\\r\\t\" ", "a/b\b\f\n\r\t" },
        { "\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "\"\\ud83d\"", NULL },
        { "\"\\ud83dx\"", NULL },
        { "\"\\ude00\"", NULL },
        { "\"\\ud83d\\u0041\"", NULL },
        { "\"\\u12g4\"", NULL },
        { "\"\\u12", NULL },
        { "\"\\x\"", NULL },
        { "\"\\", NULL },
        { "\"a\nb\"", NULL },
        { "\"a", NULL },
        { "\"a\" x", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct vci_doc d;
        int r = parse(&d, cases[i].text, strlen(cases[i].text));
        assert_int_equal(r, cases[i].value ? 0 : -EINVAL);
        if (cases[i].value)
            assert_string_equal(d.rec->str, cases[i].value);
        else
            assert_non_null(d.why);
        vci_doc_done(&d);
    }
}

static void refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", " ", "{", "[", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "[1,]", "[1 2]", "[,]", "nul", "truex",
        "1.5", "1e3", "-", "01", "+1", "9223372036854775808", "-9223372036854775809", "1 2", "{}{}", "'a'", "//", "[1]]",
    };
    static const char *const good[] = { "{}", "[]", "0", "-0", "-9223372036854775808", "[true,false,null]", " [ 1 , { } ] " };
    struct vci_doc d;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (parse(&d, bad[i], strlen(bad[i])) != -EINVAL)
            fail_msg("\"%s\" was read", bad[i]);
        assert_true(d.why && d.at <= strlen(bad[i]));
        vci_doc_done(&d);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (parse(&d, good[i], strlen(good[i])) != 0)
            fail_msg("\"%s\" was not read: %s", good[i], d.why);
        vci_doc_done(&d);
    }
    /* A NUL in it is not its end. */
    assert_int_equal(parse(&d, "{}\0{}", 5), -EINVAL);
    vci_doc_done(&d);
    char deep[80];
    for (size_t n = 31; n <= 33; n++) {
        memset(deep, '[', n);
        memset(deep + n, ']', n);
        assert_int_equal(parse(&d, deep, 2 * n), n <= 32 ? 0 : -EINVAL);
        vci_doc_done(&d);
    }
}

/* Any bytes are refused or read as what the usual parser reads. */
static void changed_bytes(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,-2,{\"b\":\"x\\u00e9\\n\"}],\"c\":null,\"d\":true}";
    char buf[sizeof text];
    for (size_t at = 0; at < sizeof text - 1; at++) {
        for (int c = 0; c < 256; c++) {
            struct vci_doc d;
            memcpy(buf, text, sizeof text);
            buf[at] = (char)c;
            if (parse(&d, buf, sizeof text - 1) == 0) {
                struct json_object *mine = vci_rec_json(d.rec), *theirs = json_tokener_parse(buf);
                if (!json_object_equal(mine, theirs))
                    fail_msg("%s is read as %s", buf, json_object_to_json_string(mine));
                json_object_put(mine);
                json_object_put(theirs);
            }
            vci_doc_done(&d);
        }
    }
}

/* Members are found by their names, also where another name has the same bit. */
static void members(void **state)
{
    (void)state;
    static const char text[] = "{\"\":1,\"key\":2,\"key\":3,\"in\":{\"deep\":4},\"list\":[{\"deep\":5}]}";
    struct vci_doc d;
    char name[4] = "k??";
    size_t same = 0;
    assert_int_equal(parse(&d, text, sizeof text - 1), 0);
    assert_int_equal(vci_rec_int(d.rec, "", 0), 1);
    assert_int_equal(vci_rec_int(d.rec, "key", 0), 2); /* the first one */
    assert_int_equal(vci_rec_int(d.rec, "deep", 0), 0);
    assert_int_equal(vci_rec_int(vci_rec_get(d.rec, "in", VCI_REC_OBJECT), "deep", 0), 4);
    const struct vci_rec *list = vci_rec_get(d.rec, "list", VCI_REC_ARRAY);
    assert_int_equal(vci_rec_int(vci_rec_first(list), "deep", 0), 5);
    assert_null(vci_rec_get(list, "deep", VCI_REC_INT));
    assert_null(vci_rec_get(NULL, "key", VCI_REC_INT));
    for (int c = 1; c < 256 * 256; c++) {
        name[1] = (char)(c >> 8);
        name[2] = (char)c;
        size_t len = strlen(name);
        same += vci_rec_name('k', name[len - 1], len) == vci_rec_name('k', 'y', 3);
        assert_int_equal(vci_rec_int(d.rec, name, 0), strcmp(name, "key") == 0 ? 2 : 0);
    }
    assert_true(same > 1);
    vci_doc_done(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(members),
        cmocka_unit_test(texts),
        cmocka_unit_test(refused),
        cmocka_unit_test(changed_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
