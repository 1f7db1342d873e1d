/* SPDX-License-Identifier: Apache-2.0 */
/* test-spec.c: the OCI specification that is made from a container's configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "pod.h"

static const char *const args[] = { "sh", "-c", "echo \"$0\"", NULL };

static void init(struct vc_container_config *c, struct vc_process_config *p)
{
    VC_INIT(c);
    VC_INIT(p);
    c->process = p;
    p->args = args;
}

static struct vci_spec_facts facts;

static char *build(const struct vc_container_config *c)
{
    char *text = NULL;
    vc_error *err = NULL;
    if (vci_spec_build("host", c, "id", NULL, &text, &facts, &err) < 0)
        fail_msg("%s", vc_error_text(err));
    return text;
}

/* Nothing is different where a mount is laid over the usual ones, and is the same as that which was there: then the
 * specification is not written member after member. */
static void same_with_mount(struct vc_container_config *c, const char *want)
{
    static const char *const options[] = { "nosuid", "noexec", "nodev", NULL };
    struct vc_mount proc, *list[] = { &proc };
    struct vci_spec_facts before = facts;
    VC_INIT(&proc);
    proc.destination = "/proc";
    proc.type = proc.source = "proc";
    proc.options = options;
    c->mounts = list;
    c->n_mounts = 1;
    char *text = build(c);
    c->mounts = NULL;
    c->n_mounts = 0;
    assert_string_equal(text, want);
    assert_memory_equal(&before, &facts, sizeof facts);
    free(text);
}

static void fails(const struct vc_container_config *c, int code, const char *words)
{
    char *text = NULL;
    vc_error *err = NULL;
    assert_int_equal(vci_spec_build("host", c, "id", NULL, &text, &facts, &err), code);
    assert_non_null(strstr(vc_error_text(err), words));
    assert_null(text);
    vc_error_free(err);
}

#define HAS(text, part)                                                                                                \
    do {                                                                                                               \
        if (!strstr((text), (part)))                                                                                   \
            fail_msg("%s is not in %s", (part), (text));                                                               \
    } while (0)

static void test_defaults(void **state)
{
    (void)state;
    /* The whole text: what is sent to guests changes only when somebody means it. */
    static const char golden[] =
        "{\"ociVersion\":\"1.0.2\",\"process\":{\"terminal\":false,\"args\":[\"sh\",\"-c\",\"echo \\\"$0\\\"\"],\"cwd\":\"/\","
        "\"env\":[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"],\"user\":{\"uid\":0,\"gid\":0},"
        "\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_FOWNER\",\"CAP_FSETID\",\"CAP_KILL\","
        "\"CAP_NET_BIND_SERVICE\",\"CAP_SETFCAP\",\"CAP_SETGID\",\"CAP_SETPCAP\",\"CAP_SETUID\",\"CAP_SYS_CHROOT\"],";
    struct vc_container_config c;
    struct vc_process_config p;
    init(&c, &p);
    char *text = build(&c);
    assert_int_equal(strncmp(text, golden, sizeof golden - 1), 0);
    HAS(text, "\"root\":{\"path\":\"rootfs\",\"readonly\":false},\"hostname\":\"host\"");
    HAS(text,
        "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"nosuid\",\"noexec\",\"newinstance\","
        "\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]}");
    HAS(text,
        "\"linux\":{\"resources\":{},\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"mount\"}]");
    HAS(text, "\"maskedPaths\":[\"/proc/acpi\"");
    same_with_mount(&c, text);
    free(text);
}

static void test_fields(void **state)
{
    (void)state;
    static const char *const env[] = { "A=b=c", "EMPTY=", NULL }, *const groups[] = { "10", "wheel", NULL },
                             *const caps[] = { "CAP_SYS_ADMIN", NULL };
    static const char *const limits[] = { "RLIMIT_NOFILE=10:20", "RLIMIT_CORE=unlimited", NULL }, *const sysctl[] = {
        "net.a=1", NULL
    };
    static const char *const notes[] = { "k=v=w", NULL };
    struct vc_container_config c;
    struct vc_process_config p;
    init(&c, &p);
    p.env = env;
    p.groups = groups;
    p.caps = caps;
    p.user = "alice:staff";
    p.cwd = "/tmp";
    p.terminal = 1;
    p.rows = 30;
    p.cols = 100;
    p.no_new_privs = 1;
    c.rlimits = limits;
    c.sysctl = sysctl;
    c.annotations = notes;
    c.readonly_rootfs = 1;
    c.memory_limit = 1 << 20;
    c.cpu_quota = 50000;
    c.cpu_shares = 512;
    c.pids_limit = 9;
    char *text = build(&c);
    HAS(text, "\"env\":[\"A=b=c\",\"EMPTY=\"]");
    HAS(text, "\"consoleSize\":{\"height\":30,\"width\":100}");
    HAS(text, "\"username\":\"alice:staff\"");
    HAS(text, "\"additionalGids\":[10,\"wheel\"]");
    HAS(text, "\"ambient\":[\"CAP_SYS_ADMIN\"]");
    HAS(text, "\"noNewPrivileges\":true");
    HAS(text, "{\"type\":\"RLIMIT_NOFILE\",\"hard\":20,\"soft\":10}");
    HAS(text, "{\"type\":\"RLIMIT_CORE\",\"hard\":18446744073709551615,\"soft\":18446744073709551615}");
    HAS(text, "\"readonly\":true");
    HAS(text,
        "\"memory\":{\"limit\":1048576},\"cpu\":{\"quota\":50000,\"period\":100000,\"shares\":512},\"pids\":{\"limit\":9}");
    HAS(text, "\"sysctl\":{\"net.a\":\"1\"}");
    HAS(text, "\"annotations\":{\"k\":\"v=w\"}");
    assert_true(facts.terminal && facts.readonly);
    same_with_mount(&c, text);
    free(text);
    p.user = "1000:100";
    p.rows = 0;
    text = build(&c);
    HAS(text, "\"consoleSize\":{\"height\":24,\"width\":80}");
    HAS(text, "\"user\":{\"uid\":1000,\"gid\":100,");
    assert_null(strstr(text, "username"));
    same_with_mount(&c, text);
    free(text);
    /* The sets one by one, and what JSON escapes. */
    static const char *const odd[] = { "a\"b", "\n\t\\\x01/\xc3\xa9", NULL }, *const twice[] = { "a\"b=1", "c=2", "a\"b=3", NULL };
    struct vc_capabilities sets;
    VC_INIT(&sets);
    sets.bounding = caps;
    p.capabilities = &sets;
    p.caps = NULL;
    p.env = NULL;
    p.args = odd;
    c.annotations = twice;
    text = build(&c);
    HAS(text, "\"capabilities\":{\"bounding\":[\"CAP_SYS_ADMIN\"],\"effective\":[],");
    HAS(text, "\"args\":[\"a\\\"b\",\"\\n\\t\\\\\\u0001/\xc3\xa9\"]");
    HAS(text, "\"TERM=xterm\"");
    HAS(text, "\"annotations\":{\"a\\\"b\":\"3\",\"c\":\"2\"}");
    same_with_mount(&c, text);
    free(text);
}

static void test_base(void **state)
{
    (void)state;
    struct vc_container_config c;
    struct vc_process_config p;
    init(&c, &p);
    p.args = NULL;
    c.spec_json =
        "{\"ociVersion\":\"1.0.0\",\"process\":{\"args\":[\"/bin/x\"],\"cwd\":\"/a\",\"env\":[\"B=1\"],\"user\":{\"uid\":7,\"gid\":8}},"
        "\"root\":{\"path\":\"/somewhere\",\"readonly\":true},\"linux\":{\"resources\":null,\"maskedPaths\":[]},\"x\":{\"y\":1}}";
    char *text = build(&c);
    HAS(text, "\"ociVersion\":\"1.0.0\"");
    HAS(text, "/bin/x");
    HAS(text, "\"env\":[\"B=1\"]");
    HAS(text, "\"uid\":7,\"gid\":8");
    HAS(text, "\"root\":{\"path\":\"rootfs\",\"readonly\":true}");
    HAS(text, "\"resources\":{}");
    HAS(text, "\"maskedPaths\":[]");
    HAS(text, "\"x\":{\"y\":1}");
    free(text);
    /* No limit is no error (bug-20): as container engines write it. */
    c.spec_json = "{\"process\":{\"args\":[\"/bin/x\"],\"cwd\":\"/\"},\"linux\":{\"resources\":{\"memory\":{\"limit\":-1},"
                  "\"cpu\":{\"quota\":-1},\"pids\":{\"limit\":-1}}}}";
    text = build(&c);
    HAS(text, "\"memory\":{\"limit\":-1}");
    HAS(text, "\"quota\":-1");
    free(text);
    /* Hooks run on the host: the guest, which could not run them, is not told of them. */
    c.spec_json = "{\"process\":{\"args\":[\"/bin/x\"],\"cwd\":\"/\"},\"hooks\":{\"prestart\":[{\"path\":\"/bin/hook\"}]}}";
    text = build(&c);
    assert_null(strstr(text, "hook"));
    free(text);
    p.process_json = "{\"args\":[\"/bin/y\"],\"cwd\":\"/\",\"terminal\":true}";
    text = build(&c);
    HAS(text, "/bin/y");
    assert_null(strstr(text, "/bin/x"));
    assert_false(facts.terminal);
    free(text);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const empty[] = { "", NULL }, *const bad_env[] = { "NOVALUE", NULL },
                             *const bad_cap[] = { "SYS_ADMIN", NULL };
    static const char *const bad_limit[] = { "RLIMIT_NOFILE=20:10", NULL };
    struct vc_container_config c;
    struct vc_process_config p;
    init(&c, &p);
    p.args = empty;
    fails(&c, VC_ERR_INVAL, "empty name");
    p.args = args;
    p.env = bad_env;
    fails(&c, VC_ERR_INVAL, "NOVALUE");
    p.env = NULL;
    p.caps = bad_cap;
    fails(&c, VC_ERR_INVAL, "SYS_ADMIN");
    p.caps = NULL;
    p.cwd = "relative";
    fails(&c, VC_ERR_INVAL, "relative");
    p.cwd = NULL;
    p.user = "a:b:c";
    fails(&c, VC_ERR_INVAL, "a:b:c");
    p.user = "";
    fails(&c, VC_ERR_INVAL, "not a user");
    p.user = NULL;
    c.rlimits = bad_limit;
    fails(&c, VC_ERR_INVAL, "RLIMIT_NOFILE");
    c.rlimits = NULL;
    c.spec_json = "[1]";
    fails(&c, VC_ERR_INVAL, "JSON");
    /* What is of a wrong type is not taken for missing. */
    static const char *const wrong[][2] = {
        { "{\"process\":5}", "\"process\" of the specification is not an object" },
        { "{\"process\":{\"user\":\"root\"}}", "\"process.user\"" },
        { "{\"process\":{\"capabilities\":[\"CAP_CHOWN\"]}}", "\"process.capabilities\"" },
        { "{\"process\":{\"terminal\":true,\"consoleSize\":80}}", "\"process.consoleSize\"" },
        { "{\"root\":\"/\"}", "\"root\"" },
        { "{\"linux\":[]}", "\"linux\"" },
        { "{\"linux\":{\"resources\":5}}", "\"linux.resources\"" },
        { "{\"linux\":{\"resources\":{\"memory\":5}}}", "\"linux.resources.memory\"" },
        { "{\"linux\":{\"resources\":{\"cpu\":5}}}", "\"linux.resources.cpu\"" },
        { "{\"linux\":{\"resources\":{\"pids\":5}}}", "\"linux.resources.pids\"" },
        { "{\"linux\":{\"sysctl\":5}}", "\"linux.sysctl\"" },
        { "{\"annotations\":5}", "\"annotations\"" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        c.spec_json = wrong[i][0];
        fails(&c, VC_ERR_INVAL, wrong[i][1]);
    }
    c.spec_json = NULL;
    p.process_json = "{\"args\":[\"x\"],\"user\":5}";
    fails(&c, VC_ERR_INVAL, "\"user\" of the process is not an object");
    p.process_json = NULL;
    p.process_json = "{\"args\":[]}";
    fails(&c, VC_ERR_INVAL, "program");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_fields),      cmocka_unit_test(test_base),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
