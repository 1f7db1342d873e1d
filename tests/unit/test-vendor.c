/* SPDX-License-Identifier: Apache-2.0 */
/* test-vendor.c: what plugins of others may do wrong, and careless callers: nothing of it may wedge a pod. */
#include "podtest.h"

#include <json-c/json.h>
#include <signal.h>
#include <sys/file.h>

static void read_record(const char *pod, char *buf, size_t size)
{
    char path[PATH_MAX + 128];
    PT_PATH(path, "%s/state/pods/%s/pod.json", pt_root, pod);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t n = fread(buf, 1, size - 1, f);
    buf[n] = '\0';
    fclose(f);
}

/* What a plugin saves is bytes; the record is JSON all the same, and another process gets the same bytes back. */
static void test_binary_state(void **state)
{
    (void)state;
    struct pt_pod p;
    static char text[65536];
    vc_context *ctx = pt_context("faulty", "agent_faulty.binary=true", NULL, NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "bin", 1), NULL, &err));
    read_record("bin", text, sizeof text);
    for (const char *c = text; *c; c++)
        assert_true((unsigned char)*c < 0x80);
    assert_non_null(strstr(text, "\"state_base64\":\""));
    struct json_tokener *tok = json_tokener_new();
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
    json_object *o = json_tokener_parse_ex(tok, text, (int)strlen(text));
    assert_non_null(o);
    json_object_put(o);
    json_tokener_free(tok);
    PT_OK(vc_container_kill(ctx, "bin", "c0", NULL, 15, 0, &err)); /* restores it: the plugin looks at each byte */
    PT_OK(vc_pod_stop(ctx, "bin", 0, &err));
    PT_OK(vc_pod_delete(ctx, "bin", 0, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A plugin that takes the process down while it cleans up does so once. */
static void test_crash_in_cleanup(void **state)
{
    (void)state;
    struct pt_pod p;
    vc_context *ctx =
        pt_context("faulty", "hypervisor_faulty.process=true", "network_faulty.crash=cleanup", NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "crash", 1), NULL, &err));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(vc_pod_delete(ctx, "crash", VC_FORCE, NULL) < 0);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    PT_OK(vc_pod_delete(ctx, "crash", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A recorded path that is a directory with something in it: never removed, and no reason to keep the pod. */
static void test_wrong_path(void **state)
{
    (void)state;
    struct pt_pod p;
    char dir[PATH_MAX + 64], file[PATH_MAX + 128], set[PATH_MAX + 128];
    PT_PATH(dir, "%s/precious", pt_root);
    PT_PATH(file, "%s/thing", dir);
    PT_PATH(set, "network_faulty.records=%s", dir);
    assert_int_equal(mkdir(dir, 0755), 0);
    close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    vc_context *ctx = pt_context("faulty", set, NULL, NULL, NULL);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "path", 1), NULL, &err));
    vc_error *e = NULL;
    assert_true(vc_pod_stop(ctx, "path", 0, &e) < 0);
    assert_non_null(strstr(vc_error_text(e), "precious"));
    const char *first = strstr(vc_error_text(e), "pod \"path\"");
    assert_non_null(first);
    assert_null(strstr(first + 1, "pod \"path\"")); /* once */
    vc_error_free(e);
    PT_OK(vc_pod_delete(ctx, "path", VC_FORCE, &err));
    assert_int_equal(access(file, F_OK), 0);
    unlink(file);
    rmdir(dir);
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A pod whose operation was cut short is broken; one whose operation is going on is not. */
static void test_interrupted(void **state)
{
    (void)state;
    struct pt_pod p;
    struct vc_pod_status *s = NULL;
    char path[PATH_MAX + 128];
    vc_context *ctx = pt_context("faulty", "network_faulty.crash=setup", NULL, NULL, NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(vc_pod_create(ctx, pt_pod(&p, "half", 1), NULL, NULL) < 0);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    PT_OK(vc_pod_status(ctx, "half", &s, &err));
    assert_string_equal(s->state, "broken");
    assert_non_null(strstr(s->reason, "its last operation (create, by process"));
    vc_pod_status_free(s);
    PT_PATH(path, "%s/state/pods/half", pt_root);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    PT_OK(vc_pod_status(ctx, "half", &s, &err));
    assert_string_equal(s->state, "ready");
    assert_non_null(strstr(s->reason, "an operation is going on (create, by process"));
    vc_pod_status_free(s);
    close(fd);
    PT_OK(vc_pod_delete(ctx, "half", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A hypervisor without a guest and an agent that needs one, and the reverse: said before anything is made. */
static void test_no_guest(void **state)
{
    (void)state;
    struct pt_pod p;
    vc_context *ctx = pt_context("mock", "agent=faulty", NULL, NULL, NULL);
    const char *words =
        "hypervisor \"mock\" makes no guest, and agent \"faulty\" needs one: agent \"noop\" with proxy \"noop\"";
    PT_FAILS(VC_ERR_CONFIG, words, vc_pod_create(ctx, pt_pod(&p, "x", 1), NULL, &err));
    PT_FAILS(VC_ERR_CONFIG, words, vc_context_check(ctx, NULL, &err));
    pt_nothing_left();
    vc_context_free(ctx);
    ctx = pt_context("mock", "hypervisor=faulty", NULL, NULL, NULL);
    words = "hypervisor \"faulty\" makes a guest, and agent \"noop\" talks to none";
    PT_FAILS(VC_ERR_CONFIG, words, vc_pod_create(ctx, pt_pod(&p, "x", 1), NULL, &err));
    PT_FAILS(VC_ERR_CONFIG, words, vc_context_check(ctx, NULL, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

static void test_names_the_plugin(void **state)
{
    (void)state;
    struct pt_pod p;
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.fail=vm_start", NULL, NULL, NULL);
    PT_FAILS(VC_ERR_IO, "hypervisor plugin \"faulty\": vm_start fails as it was ordered to",
             vc_pod_create(ctx, pt_pod(&p, "x", 1), NULL, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* NULL, unknown flags and reserved members. */
static void test_careless_callers(void **state)
{
    (void)state;
    struct pt_pod p;
    struct vc_pod_status *s = NULL, **list = NULL;
    char *text = NULL;
    size_t n = 0;
    int32_t v = 0;
    PT_FAILS(VC_ERR_INVAL, "vc_pod_create: the argument \"ctx\" is NULL", vc_pod_create(NULL, NULL, NULL, &err));
    PT_FAILS(VC_ERR_INVAL, "\"ctx\"", vc_pod_run(NULL, NULL, NULL, &err));
    PT_FAILS(VC_ERR_INVAL, "\"ctx\"", vc_pod_start(NULL, "x", &err));
    PT_FAILS(VC_ERR_INVAL, "\"ctx\"", vc_pod_stop(NULL, "x", 0, &err));
    PT_FAILS(VC_ERR_INVAL, "\"ctx\"", vc_pod_delete(NULL, "x", 0, &err));
    PT_FAILS(VC_ERR_INVAL, "\"ctx\"", vc_pod_status(NULL, "x", &s, &err));
    PT_FAILS(VC_ERR_INVAL, "\"ctx\"", vc_pod_list(NULL, &list, &n, &err));
    PT_FAILS(VC_ERR_INVAL, "\"ctx\"", vc_container_create(NULL, "x", NULL, NULL, &err));
    PT_FAILS(VC_ERR_INVAL, "\"ctx\"", vc_container_wait(NULL, "x", "c", NULL, 0, &v, &err));
    PT_FAILS(VC_ERR_INVAL, "\"ctx\"", vc_container_kill(NULL, "x", "c", NULL, 9, 0, &err));
    PT_FAILS(VC_ERR_INVAL, "\"ctx\"", vc_gc(NULL, NULL, NULL, NULL, &err));
    PT_FAILS(VC_ERR_INVAL, "\"ctx\"", vc_context_show(NULL, 0, &text, &err));
    PT_FAILS(VC_ERR_INVAL, "\"ctx\"", vc_context_check(NULL, NULL, &err));
    PT_FAILS(VC_ERR_INVAL, "\"ctx\"", vc_plugin_help(NULL, "x", 0, &text, &err));
    PT_FAILS(VC_ERR_INVAL, "\"ret_ctx\"", vc_context_new(NULL, NULL, &err));
    assert_int_equal(vc_pod_start(NULL, "x", NULL), VC_ERR_INVAL);
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    PT_FAILS(VC_ERR_INVAL, "\"ret_status\"", vc_pod_status(ctx, "x", NULL, &err));
    PT_FAILS(VC_ERR_INVAL, "delete flags 0x80 are not known", vc_pod_delete(ctx, "x", 0x80, &err));
    PT_FAILS(VC_ERR_INVAL, "stop flags 0x2 are not known", vc_pod_stop(ctx, "x", 2, &err));
    PT_FAILS(VC_ERR_INVAL, "kill flags 0x2 are not known", vc_container_kill(ctx, "x", "c", NULL, 9, 2, &err));
    pt_pod(&p, "x", 1)->vm_template = 4;
    PT_FAILS(VC_ERR_INVAL, "\"vm_template\" of struct vc_pod_config is 4", vc_pod_run(ctx, &p.pod, NULL, &err));
    pt_pod(&p, "x", 1)->flags = 0x100;
    PT_FAILS(VC_ERR_INVAL, "pod flags 0x100 are not known", vc_pod_run(ctx, &p.pod, NULL, &err));
    pt_pod(&p, "x", 1);
    p.process.stdio_flags = 0x10;
    PT_FAILS(VC_ERR_INVAL, "stdio flags 0x10 are not known", vc_pod_run(ctx, &p.pod, NULL, &err));
    pt_pod(&p, "x", 1);
    p.ctr[0].readonly_rootfs = 7;
    PT_FAILS(VC_ERR_INVAL, "\"readonly_rootfs\" of struct vc_container_config is 7",
             vc_pod_run(ctx, &p.pod, NULL, &err));
    struct {
        struct vc_pod_config now;
        uint64_t later;
    } longer;
    VC_INIT(&longer);
    longer.now.id = "x";
    longer.later = 1;
    PT_FAILS(VC_ERR_INVAL, "does not know", vc_pod_run(ctx, &longer.now, NULL, &err));
    longer.later = 0;
    PT_OK(vc_pod_run(ctx, &longer.now, NULL, &err));
    PT_OK(vc_pod_delete(ctx, "x", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A section of a plugin that is not there would be ignored in silence. */
static void test_section_of_no_plugin(void **state)
{
    (void)state;
    const char *overrides[] = { "hypervisor_mok.x=1", NULL };
    char file[PATH_MAX + 128];
    struct vc_context_options o;
    vc_context *ctx = NULL;
    PT_PATH(file, "%s/vccore.conf", pt_root);
    VC_INIT(&o);
    o.config_file = file;
    o.overrides = overrides;
    PT_FAILS(VC_ERR_CONFIG,
             "override \"hypervisor_mok.x\": section \"hypervisor_mok\": no hypervisor plugin \"mok\" in ",
             vc_context_new(&o, &ctx, &err));
    PT_FAILS(VC_ERR_CONFIG, "did you mean the section \"hypervisor_mock\"?; installed: faulty, mock",
             vc_context_new(&o, &ctx, &err));
    PT_PATH(file, "%s/odd.conf", pt_root);
    FILE *f = fopen(file, "we");
    assert_non_null(f);
    fprintf(f, "plugin_dir = \"%s/plugins\";\nshim_nosuch = { a = 1; };\n", pt_root);
    fclose(f);
    o.overrides = NULL;
    PT_FAILS(VC_ERR_CONFIG, "odd.conf:2: section \"shim_nosuch\": no shim plugin \"nosuch\"",
             vc_context_new(&o, &ctx, &err));
    unlink(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_binary_state),     cmocka_unit_test(test_crash_in_cleanup),
        cmocka_unit_test(test_wrong_path),       cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_no_guest),         cmocka_unit_test(test_names_the_plugin),
        cmocka_unit_test(test_careless_callers), cmocka_unit_test(test_section_of_no_plugin),
    };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
