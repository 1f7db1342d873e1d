/* SPDX-License-Identifier: Apache-2.0 */
/* test-agent-noop.c: agent plugin "noop" keeps containers as names, and never claims what needs a guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <vc/agent.h>

#include "unit/fakehost.h"

extern const struct vc_plugin vc_plugin_entry;

static int create(const struct vc_agent_ops *ops, vc_inst *inst, const struct vc_call *call, const char *id)
{
    struct vc_ctr c = { .size = sizeof(c), .id = id, .rootfs = "r" };
    return ops->ctr_create(inst, call, &c);
}

static void test_names(void **state)
{
    (void)state;
    const struct vc_agent_ops *ops = vc_plugin_entry.ops;
    const struct vc_inst_ops *iops = vc_plugin_entry.inst;
    struct vc_sandbox sb = { .size = sizeof(sb), .id = "pod1" };
    struct fakehost fh;
    vc_inst *inst = NULL, *other = NULL;
    int32_t status = 99;
    assert_int_equal(fakehost_init(&fh, &vc_plugin_entry, NULL), 0);
    struct vc_call call = fakehost_call(&fh, 1000);
    assert_int_equal(iops->create(&fh.host, &call, fakehost_config(&fh), "pod1", &inst), VC_OK);
    assert_int_equal(iops->caps(inst), VC_AG_CAP_NO_GUEST);
    assert_int_equal(ops->connect(inst, &call, ""), VC_OK);
    assert_int_equal(create(ops, inst, &call, "c1"), VC_E_STATE);
    assert_int_equal(ops->sandbox_create(inst, &call, &sb), VC_OK);
    assert_int_equal(create(ops, inst, &call, "c1"), VC_OK);
    assert_int_equal(create(ops, inst, &call, "c2"), VC_OK);
    assert_int_equal(create(ops, inst, &call, "c1"), VC_E_EXISTS);
    assert_int_equal(ops->ctr_start(inst, &call, "c3"), VC_E_NOTFOUND);
    assert_int_equal(ops->ctr_start(inst, &call, "c2"), VC_OK);
    assert_int_equal(ops->ctr_start(inst, &call, "c2"), VC_E_STATE);
    assert_int_equal(ops->wait(inst, &call, "c2", NULL, &status), VC_E_NOTFOUND);
    assert_int_equal(status, 99);
    assert_int_equal(ops->signal(inst, &call, "c2", NULL, 15, 0), VC_E_NOTFOUND);
    struct vc_exec ex = { .size = sizeof(ex), .id = "e" };
    assert_int_equal(ops->exec(inst, &call, "c2", &ex), VC_E_UNSUPPORTED);

    vc_sink *sink = fakehost_sink();
    assert_int_equal(iops->save(inst, &call, sink), VC_OK);
    const char *text = fakehost_sink_text(sink);
    assert_string_equal(text, "s\n0c1\n1c2\n");
    assert_int_equal(iops->restore(&fh.host, &call, fakehost_config(&fh), "pod1", 1,
                                   (struct vc_bytes){ text, strlen(text) }, &other),
                     VC_OK);
    assert_int_equal(create(ops, other, &call, "c2"), VC_E_EXISTS);
    assert_int_equal(ops->ctr_remove(other, &call, "c2"), VC_OK);
    assert_int_equal(ops->ctr_remove(other, &call, "c2"), VC_OK);
    assert_int_equal(create(ops, other, &call, "c2"), VC_OK);
    for (size_t cut = 0; cut < strlen(text); cut++) {
        vc_inst *bad = NULL;
        int rc = iops->restore(&fh.host, &call, fakehost_config(&fh), "pod1", 1, (struct vc_bytes){ text, cut }, &bad);
        assert_int_equal(rc, cut == 2 || cut == 6 ? VC_OK : VC_E_CORRUPT);
        if (bad)
            iops->close(bad);
    }
    fakehost_sink_free(sink);
    assert_int_equal(ops->sandbox_destroy(inst, &call), VC_OK);
    assert_int_equal(ops->sandbox_destroy(inst, &call), VC_OK);
    iops->close(inst);
    iops->close(other);
    fakehost_done(&fh);
}

int main(void)
{
    static const struct CMUnitTest tests[] = { cmocka_unit_test(test_names) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
