/* SPDX-License-Identifier: Apache-2.0 */
/* test-usage.c: process lists, statistics and limits through the public API, without a VM. */
#include "podtest.h"

#include <signal.h>
#include <sys/resource.h>
#include <time.h>

static int log_pipe[2];

static size_t read_all(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("%s: %s", path, strerror(errno));
    size_t len = 0;
    for (ssize_t n; len + 1 < size && (n = read(fd, buf + len, size - 1 - len)) > 0;)
        len += (size_t)n;
    buf[len] = '\0';
    close(fd);
    return len;
}

static void read_spec(const char *pod, const char *ctr, char *buf, size_t size)
{
    char path[PATH_MAX + 256];
    PT_PATH(path, "%s/state/pods/%s/spec-%s.json", pt_root, pod, ctr);
    assert_true(read_all(path, buf, size) > 2);
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in: %s", part, text);
}

static void assert_has_not(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("\"%s\" is in: %s", part, text);
}

/* No file may get longer than a few bytes: as when the disk is full. */
static void disk_full(struct rlimit *old)
{
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, old), 0);
    struct rlimit tight = { .rlim_cur = 16, .rlim_max = old->rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
}

static void disk_free(const struct rlimit *old)
{
    assert_int_equal(setrlimit(RLIMIT_FSIZE, old), 0);
}

/* ---- ps ---- */

static char *ps(vc_context *ctx, uint32_t format, const char *a, const char *b, const char *c)
{
    const char *args[] = { a, b, c, NULL };
    struct vc_ps_options o;
    char *text = NULL;
    VC_INIT(&o);
    o.format = format;
    o.args = a ? args : NULL;
    PT_OK(vc_container_ps(ctx, "p", "c0", &o, &text, &err));
    return text;
}

static void is_ps(vc_context *ctx, uint32_t format, const char *a, const char *b, const char *c, const char *want)
{
    char *text = ps(ctx, format, a, b, c);
    assert_string_equal(text, want);
    free(text);
}

static void bad_ps(vc_context *ctx, const char *a, const char *b, const char *words)
{
    const char *args[] = { a, b, NULL };
    struct vc_ps_options o;
    char *text = NULL;
    VC_INIT(&o);
    o.args = args;
    PT_FAILS(VC_ERR_INVAL, words, vc_container_ps(ctx, "p", "c0", &o, &text, &err));
}

static void test_ps(void **state)
{
    (void)state;
    struct pt_pod p;
    char *text = NULL;
    vc_context *ctx = pt_context("faulty",
                                 "agent_faulty.ps=[{'pid':7,'ppid':1,'uid':0,'cmd':'/bin/sh -c x'},"
                                 "{'pid':1234,'cmd':'[kworker/0]'},{'pid':8,'ppid':7,'uid':65534,'cmd':'a\\tb'}]",
                                 NULL, NULL, NULL);
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "p", 1), NULL, &err));
    PT_FAILS(VC_ERR_STATE, "ready and must be running", vc_container_ps(ctx, "p", "c0", NULL, &text, &err));
    PT_OK(vc_pod_start(ctx, "p", &err));
    PT_OK(vc_container_ps(ctx, "p", "c0", NULL, &text, &err));
    assert_string_equal(text, "[{\"uid\":0,\"pid\":7,\"ppid\":1,\"cmd\":\"/bin/sh -c x\"},"
                              "{\"pid\":1234,\"cmd\":\"[kworker/0]\"},"
                              "{\"uid\":65534,\"pid\":8,\"ppid\":7,\"cmd\":\"a\\\\x09b\"}]");
    free(text);
    static const char *const full = "  UID  PID PPID CMD\n"
                                    "    0    7    1 /bin/sh -c x\n"
                                    "    - 1234    - [kworker/0]\n"
                                    "65534    8    7 a\\x09b\n";
    is_ps(ctx, VC_PS_TABLE, NULL, NULL, NULL, full);
    is_ps(ctx, VC_PS_TABLE, "-ef", NULL, NULL, full);
    is_ps(ctx, VC_PS_TABLE, "-e", "-f", NULL, full);
    is_ps(ctx, VC_PS_TABLE, "-f", "-e", NULL, full);
    is_ps(ctx, VC_PS_TABLE, "-e", NULL, NULL, " PID COMMAND\n   7 sh\n1234 [kworker/0]\n   8 a\\x09b\n");
    is_ps(ctx, VC_PS_TABLE, "aux", NULL, NULL,
          "USER   PID COMMAND\n0        7 /bin/sh -c x\n-     1234 [kworker/0]\n65534    8 a\\x09b\n");
    is_ps(ctx, VC_PS_TABLE, "-o", "comm,pid", NULL,
          "COMMAND      PID\nsh             7\n[kworker/0] 1234\na\\x09b         8\n");
    is_ps(ctx, VC_PS_JSON, "-o", "pid", "-ouser",
          "[{\"pid\":7,\"user\":\"0\"},{\"pid\":1234},{\"pid\":8,\"user\":\"65534\"}]");
    is_ps(ctx, VC_PS_JSON, "-e", "-o", "ppid args",
          "[{\"ppid\":1,\"args\":\"/bin/sh -c x\"},{\"args\":\"[kworker/0]\"},{\"ppid\":7,\"args\":\"a\\\\x09b\"}]");
    bad_ps(ctx, "-x", NULL, "-x");
    bad_ps(ctx, "-ef", "--forest", "--forest");
    bad_ps(ctx, "-o", NULL, "needs a list");
    bad_ps(ctx, "-o", ",", "needs a list");
    bad_ps(ctx, "-o", "pid,rss", "\"rss\"");
    bad_ps(ctx, "-o", "pid,pid,pid,pid,pid,pid,pid,pid,pid,pid,pid,pid,pid,pid,pid,pid,pid", "at most 16");
    struct vc_ps_options o;
    VC_INIT(&o);
    o.format = 2;
    PT_FAILS(VC_ERR_INVAL, "VC_PS_", vc_container_ps(ctx, "p", "c0", &o, &text, &err));
    PT_FAILS(VC_ERR_NOTFOUND, "c9", vc_container_ps(ctx, "p", "c9", NULL, &text, &err));
    static const char *const bad[] = { "x", "{}", "[1]", "[{'ppid':1}]", "[{'pid':'1'}]", "[{'pid':1}" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char setting[128];
        PT_PATH(setting, "agent_faulty.ps=%s", bad[i]);
        vc_context *hostile = pt_context("faulty", setting, NULL, NULL, NULL);
        PT_FAILS(VC_ERR_PROTOCOL, "list of processes", vc_container_ps(hostile, "p", "c0", NULL, &text, &err));
        vc_context_free(hostile);
    }
    /* The kernel's name of a process, where the agent knows it: what a command line begins with can be anything. */
    vc_context *names = pt_context("faulty",
                                   "agent_faulty.ps=[{'pid':7,'comm':'real','cmd':'-fake x'},{'pid':8,'comm':9,'cmd':'/b/two x'},"
                                   "{'pid':9,'comm':'a b'},{'pid':10}]",
                                   NULL, NULL, NULL);
    is_ps(names, VC_PS_TABLE, "-o", "pid,comm,args", NULL,
          "PID COMMAND COMMAND\n  7 real    -fake x\n  8 two     /b/two x\n  9 a b     -\n 10 -       -\n");
    is_ps(names, VC_PS_JSON, "-e", NULL, NULL,
          "[{\"pid\":7,\"comm\":\"real\"},{\"pid\":8,\"comm\":\"two\"},{\"pid\":9,\"comm\":\"a b\"},{\"pid\":10}]");
    vc_context_free(names);
    vc_context *cannot = pt_context("faulty", "agent_faulty.more=false", NULL, NULL, NULL);
    PT_FAILS(VC_ERR_UNSUPPORTED, "cannot list", vc_container_ps(cannot, "p", "c0", NULL, &text, &err));
    vc_context_free(cannot);
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* ---- stats ---- */

static void test_stats(void **state)
{
    (void)state;
    struct pt_pod p;
    struct vc_container_stats *s = NULL;
    struct timespec now;
    vc_context *ctx = pt_context(
        "faulty",
        "agent_faulty.stats={'cpu':{'usage':{'total':30,'percpu':[],'kernel':10,'user':20},"
        "'throttling':{'periods':9,'throttledPeriods':4,'throttledTime':5}},"
        "'memory':{'cache':1,'usage':{'limit':18446744073709551615,'usage':77,'max':88,'failcnt':3},"
        "'raw':{'oom_kill':2,'file':5}},"
        "'pids':{'current':6,'limit':16},"
        "'blkio':{'ioServiceBytesRecursive':[{'major':8,'minor':0,'op':'Read','value':100},{'op':'Write','value':7},"
        "{'op':'read','value':11},{'op':'Total','value':5000}]}}",
        NULL, NULL, NULL);
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "p", 1), NULL, &err));
    PT_FAILS(VC_ERR_STATE, "ready", vc_container_stats(ctx, "p", "c0", &s, &err));
    PT_OK(vc_pod_start(ctx, "p", &err));
    clock_gettime(CLOCK_REALTIME, &now);
    PT_OK(vc_container_stats(ctx, "p", "c0", &s, &err));
    assert_true(s->time_ns >= (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    assert_int_equal(s->cpu_ns, 30);
    assert_int_equal(s->cpu_user_ns, 20);
    assert_int_equal(s->cpu_system_ns, 10);
    assert_int_equal(s->throttled_periods, 4);
    assert_int_equal(s->throttled_ns, 5);
    assert_int_equal(s->memory_usage, 77);
    assert_int_equal(s->memory_limit, 0);
    assert_int_equal(s->memory_peak, 88);
    assert_int_equal(s->oom_kills, 2);
    assert_int_equal(s->pids, 6);
    assert_int_equal(s->pids_limit, 16);
    assert_int_equal(s->read_bytes, 111);
    assert_int_equal(s->write_bytes, 7);
    assert_has(s->json, "\"throttledPeriods\":4");
    vc_container_stats_free(s);
    PT_OK(vc_container_pause(ctx, "p", "c0", &err));
    PT_OK(vc_container_stats(ctx, "p", "c0", &s, &err));
    vc_container_stats_free(s);
    /* Numbers that are none count as nothing; what is no object is an error. */
    vc_context *odd = pt_context("faulty",
                                 "agent_faulty.stats={'cpu':7,'memory':{'usage':{'usage':'x','limit':-1}},'blkio':[],"
                                 "'pids':{'current':-5}}",
                                 NULL, NULL, NULL);
    PT_OK(vc_container_stats(odd, "p", "c0", &s, &err));
    assert_int_equal(s->cpu_ns, 0);
    assert_int_equal(s->memory_usage, 0);
    assert_int_equal(s->memory_limit, 0);
    assert_int_equal(s->pids, 0);
    vc_container_stats_free(s);
    vc_context_free(odd);
    static const char *const bad[] = { "agent_faulty.stats=[]", "agent_faulty.stats=x", "agent_faulty.stats={" };
    for (size_t i = 0; i < 3; i++) {
        vc_context *hostile = pt_context("faulty", bad[i], NULL, NULL, NULL);
        PT_FAILS(VC_ERR_PROTOCOL, "no JSON object", vc_container_stats(hostile, "p", "c0", &s, &err));
        vc_context_free(hostile);
    }
    vc_context *cannot = pt_context("faulty", "agent_faulty.more=false", NULL, NULL, NULL);
    PT_FAILS(VC_ERR_UNSUPPORTED, "no statistics", vc_container_stats(cannot, "p", "c0", &s, &err));
    vc_context_free(cannot);
    PT_FAILS(VC_ERR_NOTFOUND, "c9", vc_container_stats(ctx, "p", "c9", &s, &err));
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* ---- update ---- */

static struct vc_resources *res(uint64_t memory, int64_t quota, uint64_t shares, int64_t pids, const char *json)
{
    static struct vc_resources r;
    VC_INIT(&r);
    r.memory_limit = memory;
    r.cpu_quota = quota;
    r.cpu_shares = shares;
    r.pids_limit = pids;
    r.json = json;
    return &r;
}

static void open_log(void)
{
    assert_int_equal(pipe2(log_pipe, O_CLOEXEC | O_NONBLOCK), 0);
    pt_log_fd = log_pipe[1];
}

static void close_log(void)
{
    close(log_pipe[0]);
    close(log_pipe[1]);
    pt_log_fd = 0;
}

/* What has been logged since the last look, with what the agent was told. */
static char *told(void)
{
    static char text[65536];
    ssize_t n = read(log_pipe[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void test_update(void **state)
{
    (void)state;
    struct pt_pod p;
    char spec[65536];
    open_log();
    vc_context *ctx = pt_context("faulty", NULL, NULL, NULL, NULL);
    vc_context *fails = pt_context("faulty", "agent_faulty.fail=ctr_update", NULL, NULL, NULL);
    vc_context *cannot = pt_context("faulty", "agent_faulty.more=false", NULL, NULL, NULL);
    pt_pod(&p, "u", 1);
    p.ctr[0].memory_limit = 1000000;
    p.ctr[0].cpu_quota = 50000;
    p.ctr[0].spec_json = "{\"linux\":{\"resources\":{\"memory\":{\"reservation\":5000}}}}";
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    told();
    PT_OK(vc_container_update(ctx, "u", "c0", res(2000000, 0, 0, 32, NULL), &err)); /* ready: in the guest, too */
    assert_has(told(), "update c0 {\"memory\":{\"reservation\":5000,\"limit\":2000000},\"pids\":{\"limit\":32}}");
    PT_OK(vc_pod_start(ctx, "u", &err));
    PT_OK(vc_container_update(ctx, "u", "c0", res(0, -1, 512, 0, "{\"cpu\":{\"cpus\":\"0\"}}"), &err));
    const char *text = told();
    assert_has(text, "\"quota\":-1");
    assert_has(text, "\"cpus\":\"0\"");
    assert_has_not(text, "memory");
    read_spec("u", "c0", spec, sizeof spec);
    assert_has(spec, "\"memory\":{\"reservation\":5000,\"limit\":2000000}");
    assert_has(spec, "\"pids\":{\"limit\":32}");
    assert_has(spec, "\"shares\":512");
    assert_has(spec, "\"args\":[\"true\"]");
    struct vc_resources *r = res(0, 0, 0, 0, NULL);
    r->cpu_period = 250000; /* alone: the quota is the one that is in effect */
    PT_OK(vc_container_update(ctx, "u", "c0", r, &err));
    assert_has(told(), "\"period\":250000");
    read_spec("u", "c0", spec, sizeof spec);
    assert_has(spec, "\"period\":250000");
    /* The guest refuses: nothing is stored, and what it may have taken is taken back. */
    char before[65536];
    read_spec("u", "c0", before, sizeof before);
    PT_FAILS(VC_ERR_IO, "ctr_update", vc_container_update(fails, "u", "c0", res(3000000, 0, 0, -1, NULL), &err));
    text = told();
    assert_has(text, "\"limit\":3000000");
    assert_has(text, "update c0 {\"memory\":{\"reservation\":5000,\"limit\":2000000},\"pids\":{\"limit\":32}}");
    read_spec("u", "c0", spec, sizeof spec);
    assert_string_equal(spec, before);
    PT_FAILS(VC_ERR_UNSUPPORTED, "cannot change", vc_container_update(cannot, "u", "c0", res(1, 0, 0, 0, NULL), &err));
    /* Paused is fine, stopped is not; the limits are those of the next start. */
    PT_OK(vc_container_pause(ctx, "u", "c0", &err));
    PT_OK(vc_container_update(ctx, "u", "c0", res(4000000, 0, 0, 0, NULL), &err));
    PT_OK(vc_pod_stop(ctx, "u", VC_FORCE, &err));
    PT_FAILS(VC_ERR_STATE, "stopped and must be", vc_container_update(ctx, "u", "c0", res(1, 0, 0, 0, NULL), &err));
    read_spec("u", "c0", spec, sizeof spec);
    assert_has(spec, "\"limit\":4000000");
    PT_OK(vc_pod_delete(ctx, "u", 0, &err));
    pt_nothing_left();
    vc_context *all[] = { ctx, fails, cannot };
    for (size_t i = 0; i < 3; i++)
        vc_context_free(all[i]);
    close_log();
}

/* When it cannot be stored the guest gets its old limits again. */
static void test_update_not_stored(void **state)
{
    (void)state;
    struct pt_pod p;
    struct rlimit old;
    char spec[65536];
    open_log();
    vc_context *ctx = pt_context("faulty", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "u", 1), NULL, &err));
    told();
    disk_full(&old);
    PT_FAILS(VC_ERR_RESOURCE, "spec-c0.json", vc_container_update(ctx, "u", "c0", res(3000000, 0, 0, 0, NULL), &err));
    const char *text = told();
    assert_has(text, "update c0 {\"memory\":{\"limit\":3000000}}");
    assert_has(text, "update c0 {\"memory\":{\"limit\":-1}}");
    disk_free(&old);
    read_spec("u", "c0", spec, sizeof spec);
    assert_has_not(spec, "3000000");
    PT_OK(vc_pod_delete(ctx, "u", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
    close_log();
}

static void test_bad_update(void **state)
{
    (void)state;
    struct pt_pod p;
    static const struct {
        const char *words, *json;
    } bad[] = {
        { "it is not an object", "[]" },
        { "\"json\" of struct vc_resources: ", "{" },
        { "no section", "{\"mem\":{}}" },
        { "is not an object", "{\"memory\":[]}" },
        { "is not an array", "{\"hugepageLimits\":{}}" },
        { "no limit to be changed", "{}" },
    };
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    pt_pod(&p, "later", 1);
    p.pod.flags = VC_POD_DEFER_VM;
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        PT_FAILS(VC_ERR_INVAL, bad[i].words,
                 vc_container_update(ctx, "later", "c0", res(0, 0, 0, 0, bad[i].json), &err));
    PT_FAILS(VC_ERR_INVAL, "out of range", vc_container_update(ctx, "later", "c0", res(0, -2, 0, 0, NULL), &err));
    PT_FAILS(VC_ERR_INVAL, "NULL", vc_container_update(ctx, "later", "c0", NULL, &err));
    PT_FAILS(VC_ERR_NOTFOUND, "c9", vc_container_update(ctx, "later", "c9", res(1, 0, 0, 0, NULL), &err));
    /* One without a VM yet: there is nobody to be told. */
    char spec[65536];
    PT_OK(vc_container_update(ctx, "later", "c0", res(1 << 20, 0, 0, 0, NULL), &err));
    read_spec("later", "c0", spec, sizeof spec);
    assert_has(spec, "\"limit\":1048576");
    PT_OK(vc_pod_start(ctx, "later", &err));
    PT_FAILS(VC_ERR_UNSUPPORTED, "noop", vc_container_update(ctx, "later", "c0", res(1 << 21, 0, 0, 0, NULL), &err));
    PT_OK(vc_pod_delete(ctx, "later", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A guest that lists very many processes, and one with a long command line, does not fill the host's memory with the
 * blanks of a table. */
static void test_ps_crowd(void **state)
{
    (void)state;
    struct pt_pod p;
    const char *args[] = { "-o", "cmd,pid", NULL };
    struct vc_ps_options o;
    char *text = NULL;
    vc_context *ctx = pt_context("faulty", "agent_faulty.mark=crowd", NULL, NULL, NULL);
    VC_INIT(&o);
    o.format = VC_PS_TABLE;
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "p", 1), NULL, &err));
    PT_OK(vc_container_ps(ctx, "p", "c0", &o, &text, &err)); /* nothing is filled up behind the last column */
    assert_in_range(strlen(text), 100000, 1500000);
    free(text);
    text = NULL;
    o.args = args;
    PT_FAILS(VC_ERR_PROTOCOL, "larger than", vc_container_ps(ctx, "p", "c0", &o, &text, &err));
    assert_null(text);
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ps),         cmocka_unit_test(test_stats),
        cmocka_unit_test(test_update),     cmocka_unit_test(test_update_not_stored),
        cmocka_unit_test(test_bad_update),    cmocka_unit_test(test_ps_crowd),
    };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
