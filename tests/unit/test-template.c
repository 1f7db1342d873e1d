/* SPDX-License-Identifier: Apache-2.0 */
/* test-template.c: templates with the mock hypervisor: who makes one, who may use it, what becomes of a bad one. */
#include "podtest.h"

#include <json-c/json.h>

/* ---- helpers ---- */

static struct pt_pod p;

static vc_context *context(const char *a, const char *b)
{
    return pt_context("mock", a, b, NULL, NULL);
}

/* The one template there is; the caller frees the list. */
static struct vc_template_info *only(vc_context *ctx, struct vc_template_info ***list)
{
    size_t n = 0;
    PT_OK(vc_template_list(ctx, list, &n, &err));
    assert_int_equal(n, 1);
    return (*list)[0];
}

static size_t count(vc_context *ctx)
{
    struct vc_template_info **list = NULL;
    size_t n = 0;
    PT_OK(vc_template_list(ctx, &list, &n, &err));
    vc_template_list_free(list, n);
    return n;
}

static void remove_all(vc_context *ctx)
{
    struct vc_template_info **list = NULL;
    size_t n = 0;
    PT_OK(vc_template_list(ctx, &list, &n, &err));
    for (size_t i = 0; i < n; i++)
        PT_OK(vc_template_delete(ctx, list[i]->id, VC_FORCE, &err));
    vc_template_list_free(list, n);
    assert_int_equal(pt_count("state/templates"), 0);
}

static int run(vc_context *ctx, const char *id, uint32_t mode, vc_error **err)
{
    pt_pod(&p, id, 1);
    p.pod.vm_template = mode;
    return vc_pod_run(ctx, &p.pod, NULL, err);
}

/* ---- tests ---- */

static void test_make_and_use(void **state)
{
    (void)state;
    struct vc_template_info **list = NULL;
    char *id = NULL, *again = NULL, *json = NULL;
    vc_context *ctx = context(NULL, NULL);
    PT_FAILS(VC_ERR_CONFIG, "virtc template create", run(ctx, "a", VC_TEMPLATE_REQUIRE, &err));
    pt_nothing_left();
    PT_OK(vc_template_create(ctx, 0, &id, &err));
    pt_nothing_left();
    PT_OK(vc_template_create(ctx, 0, &again, &err));
    assert_string_equal(id, again);
    struct vc_template_info *t = only(ctx, &list);
    assert_string_equal(t->id, id);
    assert_string_equal(t->hypervisor, "mock");
    assert_string_equal(t->agent, "noop");
    assert_null(t->problem);
    assert_int_equal(t->current, 1);
    assert_int_equal(t->pods, 0);
    assert_int_equal(t->memory, 64 << 20);
    assert_true(t->disk > 0 && t->created_ns > 0 && t->made_in_ns > 0);
    PT_OK(vc_template_json(t, &json, &err));
    json_object *o = json_tokener_parse(json), *v;
    assert_true(json_object_object_get_ex(o, "id", &v));
    assert_string_equal(json_object_get_string(v), id);
    json_object_put(o);
    vc_template_list_free(list, 1);
    PT_OK(run(ctx, "a", VC_TEMPLATE_REQUIRE, &err));
    PT_OK(run(ctx, "b", 0, &err));
    t = only(ctx, &list);
    assert_int_equal(t->pods, 2);
    vc_template_list_free(list, 1);
    PT_FAILS(VC_ERR_BUSY, "in use by 2 pods", vc_template_delete(ctx, id, 0, &err));
    PT_OK(vc_pod_delete(ctx, "a", VC_FORCE, &err));
    PT_OK(vc_pod_stop(ctx, "b", 0, &err));
    PT_OK(vc_template_delete(ctx, id, 0, &err));
    PT_FAILS(VC_ERR_NOTFOUND, id, vc_template_delete(ctx, id, 0, &err));
    PT_OK(vc_pod_start(ctx, "b", &err));
    PT_OK(vc_pod_delete(ctx, "b", VC_FORCE, &err));
    remove_all(ctx);
    pt_nothing_left();
    free(id);
    free(again);
    free(json);
    vc_context_free(ctx);
}

/* Where there is no guest, auto makes none; off uses none. */
static void test_modes(void **state)
{
    (void)state;
    struct vc_template_info **list = NULL;
    vc_context *ctx = context(NULL, NULL);
    PT_OK(run(ctx, "a", VC_TEMPLATE_AUTO, &err));
    PT_OK(run(ctx, "b", VC_TEMPLATE_OFF, &err));
    assert_int_equal(count(ctx), 0);
    PT_OK(vc_template_create(ctx, 0, NULL, &err));
    PT_OK(run(ctx, "c", VC_TEMPLATE_OFF, &err));
    struct vc_template_info *t = only(ctx, &list);
    assert_int_equal(t->pods, 0);
    vc_template_list_free(list, 1);
    PT_OK(run(ctx, "d", VC_TEMPLATE_AUTO, &err));
    t = only(ctx, &list);
    assert_int_equal(t->pods, 1);
    vc_template_list_free(list, 1);
    static const char *const ids[] = { "a", "b", "c", "d" };
    for (size_t i = 0; i < 4; i++)
        PT_OK(vc_pod_delete(ctx, ids[i], VC_FORCE, &err));
    remove_all(ctx);
    pt_nothing_left();
    vc_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_make_and_use), cmocka_unit_test(test_modes) };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
