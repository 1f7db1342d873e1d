/* SPDX-License-Identifier: Apache-2.0 */
/* test-network.c: what the core takes from a network plugin, and what it makes of it. */
#include "podtest.h"

#define GOOD "{\"id\":\"nic0\",\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\"}"

/* A run of a pod whose network plugin is the faulty one, in the stack of mock and noop. */
static int run(const char *id, const char *a, const char *b, const char *c, vc_error **err)
{
    struct pt_pod p;
    vc_context *ctx = pt_context("mock", "network=faulty", a, b, c);
    int rc = vc_pod_run(ctx, pt_pod(&p, id, 1), NULL, err);
    vc_context_free(ctx);
    return rc;
}

static char *endpoints(char *buf, size_t size, const char *text)
{
    assert_true(snprintf(buf, size, "network_faulty.endpoints=%s", text) < (int)size);
    return buf;
}

static char *slurp(const char *below)
{
    static char text[65536];
    char path[PATH_MAX + 128];
    PT_PATH(path, "%s/%s", pt_root, below);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void test_good(void **state)
{
    (void)state;
    static const struct {
        const char *scan, *devices;
    } good[] = {
        { "[" GOOD "]", "dev 2 nic0" },
        { "[" GOOD ",{\"id\":\"b.1\",\"name\":\"eth1\",\"mac\":\"fe:ff:FF:00:00:02\",\"mtu\":65535,\"queues\":4,\"more\":[]}] \n",
          "dev 2 b.1" },
        { "[]", "running" },
        { "", "running" },
    };
    char buf[4096];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        PT_OK(run("wired", endpoints(buf, sizeof buf, good[i].scan), NULL, NULL, &err));
        const char *record = slurp("state/pods/wired/pod.json");
        if (!strstr(record, good[i].devices))
            fail_msg("%s: no %s in %s", good[i].scan, good[i].devices, record);
        vc_context *ctx = pt_context("mock", "network=faulty", NULL, NULL, NULL);
        PT_OK(vc_pod_delete(ctx, "wired", VC_FORCE, &err));
        vc_context_free(ctx);
        pt_nothing_left();
    }
}

static void test_bad_scan(void **state)
{
    (void)state;
    static const struct {
        const char *scan, *words;
    } bad[] = {
        { "{}", "is no JSON array" },
        { "[" GOOD, "is no JSON array" },
        { "[" GOOD "]]", "is no JSON array" },
        { "[[[[[[[[[[[[]]]]]]]]]]]]", "is no JSON array" },
        { "[1]", "endpoint 0 of what it found in the namespace is no object" },
        { "[" GOOD "," GOOD "]", "endpoint 1 of what it found in the namespace has the \"id\" of another one" },
        { "[{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\"}]", "has no \"id\"" },
        { "[{\"id\":7,\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\"}]", "has no \"id\"" },
        { "[{\"id\":\"a,b\",\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\"}]", "has no \"id\"" },
        { "[{\"id\":\"a\\u0000b\",\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\"}]", "has no \"id\"" },
        { "[{\"id\":\"a2345678901234567890123456789012\",\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\"}]", "has no \"id\"" },
        { "[{\"id\":\"a\",\"mac\":\"02:00:00:00:00:01\"}]", "has no \"name\"" },
        { "[{\"id\":\"a\",\"name\":\"longer-than-possible\",\"mac\":\"02:00:00:00:00:01\"}]", "has no \"name\"" },
        { "[{\"id\":\"a\",\"name\":\"eth0\",\"mac\":\"02:00:00:00:00\"}]", "has no \"mac\"" },
        { "[{\"id\":\"a\",\"name\":\"eth0\",\"mac\":\"02-00-00-00-00-01\"}]", "has no \"mac\"" },
        { "[{\"id\":\"a\",\"name\":\"eth0\",\"mac\":\"03:00:00:00:00:01\"}]", "has no \"mac\"" },
        { "[{\"id\":\"a\",\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:0g\"}]", "has no \"mac\"" },
        { "[{\"id\":\"a\",\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\",\"mtu\":0}]", "\"mtu\" or \"queues\"" },
        { "[{\"id\":\"a\",\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\",\"mtu\":\"9000\"}]", "\"mtu\" or \"queues\"" },
        { "[{\"id\":\"a\",\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\",\"queues\":65}]", "\"mtu\" or \"queues\"" },
    };
    char buf[4096];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        PT_FAILS(VC_ERR_INTERNAL, bad[i].words, run("cut", endpoints(buf, sizeof buf, bad[i].scan), NULL, NULL, &err));
        pt_nothing_left();
    }
    char many[4096] = "[{}";
    for (int i = 0; i < 32; i++)
        strcat(many, ",{}");
    strcat(many, "]");
    PT_FAILS(VC_ERR_RESOURCE, "has 33 links; 32 are possible", run("cut", endpoints(buf, sizeof buf, many), NULL, NULL, &err));
    pt_nothing_left();
}

static void test_bad_device(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        { "network_faulty.device=t", "no network card" },
        { "network_faulty.device=p", "without a path" },
        { "network_faulty.device=i", "wrong id or mac" },
        { "network_faulty.device=f", "wrong descriptor" },
        { "network_faulty.device=n", "one or two descriptors per queue" },
    };
    char buf[4096];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        PT_FAILS(VC_ERR_INTERNAL, bad[i][1], run("cut", endpoints(buf, sizeof buf, "[" GOOD "]"), bad[i][0], NULL, &err));
        pt_nothing_left();
    }
}

/* Whatever fails on the way, nothing stays, and the sentence names the card. */
static void test_fails(void **state)
{
    (void)state;
    static const char *const fails[][2] = {
        { "network_faulty.fail=scan", "scan fails" },
        { "network_faulty.fail=attach", "network card eth0 (02:00:00:00:00:01) of pod \"cut\"" },
    };
    char buf[4096];
    for (size_t i = 0; i < sizeof fails / sizeof *fails; i++) {
        PT_FAILS(VC_ERR_IO, fails[i][1], run("cut", endpoints(buf, sizeof buf, "[" GOOD "]"), fails[i][0], NULL, &err));
        pt_nothing_left();
    }
}

/* A hypervisor that takes no devices, an agent that sets nothing up. */
static void test_cannot(void **state)
{
    (void)state;
    struct pt_pod p;
    char buf[4096];
    vc_context *ctx = pt_context("faulty", endpoints(buf, sizeof buf, "[" GOOD "]"), NULL, NULL, NULL);
    PT_FAILS(VC_ERR_UNSUPPORTED, "hypervisor \"faulty\" takes no network cards",
             vc_pod_run(ctx, pt_pod(&p, "cut", 1), NULL, &err));
    vc_context_free(ctx);
    pt_nothing_left();
    ctx = pt_context("faulty", "network_faulty.guest={}", NULL, NULL, NULL);
    PT_FAILS(VC_ERR_UNSUPPORTED, "agent \"faulty\" sets no networks up", vc_pod_run(ctx, pt_pod(&p, "cut", 1), NULL, &err));
    vc_context_free(ctx);
    pt_nothing_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),  cmocka_unit_test(test_bad_scan), cmocka_unit_test(test_bad_device),
        cmocka_unit_test(test_fails), cmocka_unit_test(test_cannot),
    };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
