/* SPDX-License-Identifier: Apache-2.0 */
/* test-conf.c: the configuration: what is read, what is refused, and with which sentence. */
#include "core-util.h"

#include "conf-impl.h"

/* The option table of a plugin with one option of each type. */
static const struct vc_option options[] = {
    { "name", VC_OPT_STRING, 0, 0, 0, "none", NULL, "A word." },
    { "cpus", VC_OPT_INT, 0, 1, 240, "1", NULL, "A number." },
    { "fast", VC_OPT_BOOL, 0, 0, 0, "false", NULL, "Yes or no." },
    { "memory", VC_OPT_SIZE, 0, 1 << 20, INT64_C(1) << 40, "256M", NULL, "A size." },
    { "image", VC_OPT_PATH, 0, 0, 0, NULL, NULL, "A path." },
    { "accel", VC_OPT_ENUM, 0, 0, 0, "auto", "auto kvm tcg", "A choice." },
    { "args", VC_OPT_LIST, 0, 0, 0, "a b", NULL, "Words." },
    { "token", VC_OPT_STRING, VC_OPT_SECRET, 0, 0, NULL, NULL, "A secret." },
};
static const struct vc_option needed[] = { { "must", VC_OPT_PATH, VC_OPT_REQUIRED, 0, 0, NULL, NULL, "A path." } };

static struct vc_plugin plugin_of(const struct vc_option *o, uint32_t n)
{
    return (struct vc_plugin){
        .kind = VC_KIND_HYPERVISOR, .name = "my-vmm", .options = o, .n_options = n, .option_stride = sizeof(*o)
    };
}

static int load(const char *file, const char *const *overrides, struct vci_conf **ret, vc_error **err)
{
    struct vc_context_options o;
    VC_INIT(&o);
    o.config_file = file;
    o.overrides = overrides;
    return vci_conf_load(&o, ret, err);
}

static void refuses(const char *text, const char *part)
{
    struct vci_conf *conf = NULL;
    vc_error *err = NULL;
    put_file("c.conf", text, 0600);
    int r = load(tmp_path("c.conf"), NULL, &conf, &err);
    if (r == 0)
        fail_msg("accepted: %s", text);
    assert_contains(vc_error_text(err), tmp_path("c.conf"));
    assert_error(r, &err, VC_ERR_CONFIG, part);
}

/* The same for an error that only the option table shows. */
static void section_refuses(const char *text, const char *part)
{
    struct vci_conf *conf = NULL;
    struct vc_config *s = NULL;
    vc_error *err = NULL;
    put_file("c.conf", text, 0600);
    if (load(tmp_path("c.conf"), NULL, &conf, &err))
        fail_msg("%s", vc_error_text(err));
    struct vc_plugin p = plugin_of(options, sizeof(options) / sizeof(options[0]));
    int r = vci_conf_section(conf, &p, &s, &err);
    if (r == 0)
        fail_msg("accepted: %s", text);
    assert_null(strstr(vc_error_text(err), "hunter2"));
    assert_error(r, &err, VC_ERR_CONFIG, part);
    vci_conf_free(conf);
}

static void has_defaults(void **state)
{
    (void)state;
    struct vci_conf *conf = NULL;
    put_file("c.conf", "# nothing\n", 0600);
    assert_int_equal(load(tmp_path("c.conf"), NULL, &conf, NULL), 0);
    assert_string_equal(vci_conf_plugin(conf, VC_KIND_HYPERVISOR), "qemu");
    assert_string_equal(vci_conf_plugin(conf, VC_KIND_AGENT), "kata");
    assert_string_equal(vci_conf_plugin(conf, VC_KIND_PROXY), "kata");
    assert_string_equal(vci_conf_plugin(conf, VC_KIND_SHIM), "vc");
    assert_string_equal(vci_conf_plugin(conf, VC_KIND_NETWORK), "noop");
    assert_string_equal(vci_conf_str(conf, "run_root"), "/run/vccore");
    assert_int_equal(vci_conf_int(conf, "create_timeout"), 60);
    assert_int_equal(vci_conf_int(conf, "call_timeout"), 30);
    assert_int_equal(vci_conf_int(conf, "stop_timeout"), 10);
    struct vc_plugin p = plugin_of(options, sizeof(options) / sizeof(options[0]));
    struct vc_config *s = NULL;
    const char *text = NULL;
    int64_t n = 0;
    uint32_t count = 0;
    assert_int_equal(vci_conf_section(conf, &p, &s, NULL), 0);
    assert_int_equal(vci_section_int(s, "memory", &n), 0);
    assert_int_equal(n, 256 << 20);
    assert_int_equal(vci_section_int(s, "fast", &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(vci_section_str(s, "image", 0, &text), VC_E_NOTFOUND);
    assert_int_equal(vci_section_str(s, "undeclared", 0, &text), VC_E_INVAL);
    assert_int_equal(vci_section_str(s, "cpus", 0, &text), VC_E_INVAL);
    assert_int_equal(vci_section_int(s, "name", &n), VC_E_INVAL);
    assert_int_equal(vci_section_count(s, "args", &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(vci_section_str(s, "args", 1, &text), 0);
    assert_string_equal(text, "b");
    assert_int_equal(vci_section_str(s, "args", 2, &text), VC_E_NOTFOUND);
    vci_section_free(s);
    vci_conf_free(conf);
}

static void reads_values(void **state)
{
    (void)state;
    struct vci_conf *conf = NULL;
    put_file(
        "c.conf",
        "hypervisor = \"my-vmm\";\n"
        "hypervisor_my_vmm = { name = \"\"; cpus = 4; fast = true; memory = \"2G\"; image = \"/x y\"; accel = \"tcg\";"
        " args = [ \"one two\", \"\" ]; token = \"t\"; };\n"
        "hypervisor_other = { whatever = 3; };\n",
        0600);
    assert_int_equal(load(tmp_path("c.conf"), NULL, &conf, NULL), 0);
    struct vc_plugin p = plugin_of(options, sizeof(options) / sizeof(options[0]));
    struct vc_config *s = NULL;
    const char *text = NULL;
    int64_t n = 0;
    assert_int_equal(vci_conf_section(conf, &p, &s, NULL), 0);
    assert_int_equal(vci_section_str(s, "name", 0, &text), 0);
    assert_string_equal(text, "");
    assert_int_equal(vci_section_int(s, "memory", &n), 0);
    assert_true(n == INT64_C(2) << 30);
    assert_int_equal(vci_section_int(s, "fast", &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(vci_section_str(s, "args", 0, &text), 0);
    assert_string_equal(text, "one two");
    vci_section_free(s);
    vci_conf_free(conf);
}

static void refuses_with_file_and_line(void **state)
{
    (void)state;
    refuses("hypervisr = \"x\";",
            "c.conf:1: unknown key \"hypervisr\", did you mean \"hypervisor\"?; known keys: hypervisor agent");
    refuses("\n\nzzz = 1;", "c.conf:3: unknown key \"zzz\"; known keys: ");
    refuses("agent = 3;", "c.conf:1: \"agent\" is 3; it must be a string in quotes");
    refuses("agent = \"Kata\";", "c.conf:1: \"Kata\" is not possible as the name of a plugin");
    refuses("agent = \"../x\";", "is not possible as the name of a plugin");
    refuses("call_timeout = \"30\";", "\"call_timeout\" is \"30\"; it must be a whole number from 1 to 86400");
    refuses("call_timeout = 0;", "\"call_timeout\" is 0; it must be");
    refuses("call_timeout = 1.5;", "\"call_timeout\" is a number with a fraction; it must be");
    refuses("run_root = \"run\";", "\"run_root\" is \"run\"; it must be an absolute path");
    refuses("log_level = \"loud\";", "\"log_level\" is \"loud\"; it must be one of: error warn info debug");
    refuses("hypervsor_qemu = { };", "unknown section \"hypervsor_qemu\", did you mean \"hypervisor_qemu\"?");
    refuses("qemu = { };", "unknown section \"qemu\"");
    refuses("agent = { a = 1; };", "unknown section \"agent\"");
    refuses("agent = \"a\"\nproxy == 3;", "c.conf:2: syntax error");
    refuses("agent = \"a\"; agent = \"b\";", "c.conf:1: duplicate setting name");
    /* libconfig would make 0 of the first one, without a word. */
    refuses("log_level = \"info\";\ncall_timeout = 4294967296;\n",
            "c.conf:2: the number 4294967296 has more than 32 bits: write 4294967296L");
    refuses("call_timeout=-2147483649;\n", "c.conf:1: the number -2147483649");
    refuses("call_timeout = 0x80000000;\n", "write 0x80000000L");
    refuses("/* 1\n */ x_y = [1, 99999999999];\n", "c.conf:2: the number 99999999999 ");
    refuses("call_timeout = 99999999999999999999L;\n", "has more than 64 bits");
    refuses("  @include \"/etc/passwd\"\n", "c.conf:1: @include is not possible");
}

static void refuses_in_sections(void **state)
{
    (void)state;
    section_refuses("hypervisor_my_vmm = {\n cpu = 2; };",
                    "c.conf:2: unknown key \"cpu\" in section hypervisor_my_vmm, did you mean \"cpus\"?");
    section_refuses("hypervisor_my_vmm = { cpus = 241; };",
                    "\"cpus\" in section hypervisor_my_vmm is 241; it must be a whole number from 1 to 240");
    section_refuses("hypervisor_my_vmm = { cpus = true; };", "is true; it must be a whole number");
    section_refuses("hypervisor_my_vmm = { fast = 1; };", "is 1; it must be true or false");
    section_refuses("hypervisor_my_vmm = { memory = \"1X\"; };", "\"1X\"; it must be a size");
    section_refuses("hypervisor_my_vmm = { memory = \"-1M\"; };", "it must be a size");
    section_refuses("hypervisor_my_vmm = { memory = \"99999999T\"; };", "it must be a size");
    section_refuses("hypervisor_my_vmm = { memory = 5; };", "is 5; it must be a size from 1048576");
    section_refuses("hypervisor_my_vmm = { image = \"x\"; };", "it must be an absolute path");
    section_refuses("hypervisor_my_vmm = { accel = \"xen\"; };", "it must be one of: auto kvm tcg");
    section_refuses("hypervisor_my_vmm = { accel = \"auto kvm\"; };", "it must be one of: auto kvm tcg");
    section_refuses("hypervisor_my_vmm = { args = \"a\"; };", "it must be a list of strings");
    section_refuses("hypervisor_my_vmm = { args = [ 1 ]; };",
                    "a group or a list of other things than strings; it must be a list");
    section_refuses("hypervisor_my_vmm = { name = { x = 1; }; };", "it must be a string in quotes");
    section_refuses("hypervisor_my_vmm = { token = [ \"hunter2\" ]; };", "is something else; it must be a string");

    struct vci_conf *conf = NULL;
    struct vc_config *s = NULL;
    vc_error *err = NULL;
    struct vc_plugin p = plugin_of(needed, 1);
    put_file("c.conf", "hypervisor_my_vmm = { };", 0600);
    assert_int_equal(load(tmp_path("c.conf"), NULL, &conf, NULL), 0);
    assert_error(vci_conf_section(conf, &p, &s, &err), &err, VC_ERR_CONFIG,
                 "c.conf:1: \"must\" in section hypervisor_my_vmm is missing; it must be an absolute path");
    vci_conf_free(conf);
}

static void checks_owner_and_mode(void **state)
{
    (void)state;
    struct vci_conf *conf = NULL;
    vc_error *err = NULL;
    put_file("c.conf", "", 0602);
    assert_error(load(tmp_path("c.conf"), NULL, &conf, &err), &err, VC_ERR_PERM,
                 "c.conf is writable by everybody (mode 0602)");
    put_file("c.conf", "", 0660);
    assert_error(load(tmp_path("c.conf"), NULL, &conf, &err), &err, VC_ERR_PERM, "c.conf is writable by its group");
    put_file("c.conf", "", 0600);
    mkdir(tmp_path("c.conf.d"), 0755);
    put_file("c.conf.d/a.conf", "", 0666);
    assert_error(load(tmp_path("c.conf"), NULL, &conf, &err), &err, VC_ERR_PERM,
                 "c.conf.d/a.conf is writable by everybody");
    put_file("c.conf.d/a.conf", "", 0600);
    chmod(tmp_path("c.conf.d"), 0777);
    assert_error(load(tmp_path("c.conf"), NULL, &conf, &err), &err, VC_ERR_PERM, "c.conf.d is writable by everybody");
    chmod(tmp_path("c.conf.d"), 0755);
    chmod(tmp_dir, 0777);
    assert_error(load(tmp_path("c.conf"), NULL, &conf, &err), &err, VC_ERR_PERM,
                 "is writable by everybody (mode 0777)");
    chmod(tmp_dir, 0700);
    if (geteuid() == 0) {
        assert_int_equal(chown(tmp_path("c.conf"), 65534, 65534), 0);
        assert_error(load(tmp_path("c.conf"), NULL, &conf, &err), &err, VC_ERR_PERM, "belongs to user 65534");
    }
    assert_error(load(tmp_path("none.conf"), NULL, &conf, &err), &err, VC_ERR_NOTFOUND, "none.conf");
    mkdir(tmp_path("dir"), 0700);
    assert_error(load(tmp_path("dir"), NULL, &conf, &err), &err, VC_ERR_CONFIG, "is not a regular file");
    assert_int_equal(mkfifo(tmp_path("fifo"), 0600), 0);
    assert_error(load(tmp_path("fifo"), NULL, &conf, &err), &err, VC_ERR_CONFIG, "is not a regular file");
}

static void merges_drop_ins_and_overrides(void **state)
{
    (void)state;
    struct vci_conf *conf = NULL;
    vc_error *err = NULL;
    put_file("c.conf",
             "agent = \"one\"; proxy = \"one\"; hypervisor_my_vmm = { cpus = 1; memory = \"1M\"; args = [ \"x\" ]; };",
             0600);
    mkdir(tmp_path("c.conf.d"), 0755);
    put_file("c.conf.d/20.conf", "agent = \"three\";", 0600);
    put_file("c.conf.d/10.conf", "agent = \"two\"; hypervisor_my_vmm = { cpus = 2; };", 0600);
    put_file("c.conf.d/30.conf.bak", "agent = \"bak\";", 0600);
    put_file("c.conf.d/.40.conf", "agent = \"hidden\";", 0600);
    const char *const over[] = { "proxy=four",
                                 "hypervisor_my_vmm.memory=3M",
                                 "hypervisor_my_vmm.args=p  q\\ r\\\\ s\\t \\ ",
                                 "hypervisor_my_vmm.fast=true",
                                 "hypervisor_my_vmm.name=a=b",
                                 NULL };
    if (load(tmp_path("c.conf"), over, &conf, &err))
        fail_msg("%s", vc_error_text(err));
    assert_string_equal(vci_conf_plugin(conf, VC_KIND_AGENT), "three");
    assert_string_equal(vci_conf_plugin(conf, VC_KIND_PROXY), "four");
    struct vc_plugin p = plugin_of(options, sizeof(options) / sizeof(options[0]));
    struct vc_config *s = NULL;
    const char *text = NULL;
    int64_t n = 0;
    assert_int_equal(vci_conf_section(conf, &p, &s, NULL), 0);
    assert_int_equal(vci_section_int(s, "cpus", &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(vci_section_int(s, "memory", &n), 0);
    assert_int_equal(n, 3 << 20);
    assert_int_equal(vci_section_int(s, "fast", &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(vci_section_str(s, "args", 1, &text), 0);
    assert_string_equal(text, "q r\\");
    assert_int_equal(vci_section_str(s, "args", 2, &text), 0);
    assert_string_equal(text, "s\\t");
    assert_int_equal(vci_section_str(s, "args", 3, &text), 0);
    assert_string_equal(text, " ");
    assert_int_equal(vci_section_str(s, "args", 4, &text), VC_E_NOTFOUND);
    assert_int_equal(vci_section_str(s, "name", 0, &text), 0);
    assert_string_equal(text, "a=b");
    vci_section_free(s);
    vci_conf_free(conf);
    static const struct {
        const char *text, *part;
    } bad[] = {
        { "agent", "it must read \"key=value\"" },
        { "=x", "it must read \"key=value\"" },
        { ".x=1", "it must read" },
        { "agen=x", "override \"agen\": unknown key \"agen\", did you mean \"agent\"?" },
        { "call_timeout=soon", "override \"call_timeout\": \"call_timeout\" is \"soon\"; it must be a whole number" },
        { "toaster_x.a=1", "override \"toaster_x.a\": unknown section \"toaster_x\"" },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *const one[] = { bad[i].text, NULL };
        assert_error(load(tmp_path("c.conf"), one, &conf, &err), &err, VC_ERR_CONFIG, bad[i].part);
    }
}

static void makes_contexts(void **state)
{
    (void)state;
    vc_context *c = NULL;
    vc_error *err = NULL;
    struct vc_context_options o;
    VC_INIT(&o);
    put_file("c.conf", "run_root = \"/a/b//\"; log_level = \"info\"; log_format = \"json\";", 0600);
    setenv("VCCORE_CONFIG", tmp_path("c.conf"), 1);
    assert_int_equal(vc_context_new(&o, &c, NULL), 0);
    unsetenv("VCCORE_CONFIG");
    assert_string_equal(c->run_root, "/a/b");
    assert_int_equal(c->log.level, VC_LOG_INFO);
    assert_int_equal(c->log.format, VC_LOG_FORMAT_JSON);
    assert_int_equal(c->log.fd, -1);
    assert_string_equal(c->config_file, tmp_path("c.conf"));
    vc_context_free(c);
    o.log_level = 9;
    assert_error(vc_context_new(&o, &c, &err), &err, VC_ERR_INVAL, "log level 9");
    o.size = 0;
    assert_error(vc_context_new(&o, &c, &err), &err, VC_ERR_INVAL, "VC_INIT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(has_defaults, tmp_setup, tmp_teardown),
        cmocka_unit_test_setup_teardown(reads_values, tmp_setup, tmp_teardown),
        cmocka_unit_test_setup_teardown(refuses_with_file_and_line, tmp_setup, tmp_teardown),
        cmocka_unit_test_setup_teardown(refuses_in_sections, tmp_setup, tmp_teardown),
        cmocka_unit_test_setup_teardown(checks_owner_and_mode, tmp_setup, tmp_teardown),
        cmocka_unit_test_setup_teardown(merges_drop_ins_and_overrides, tmp_setup, tmp_teardown),
        cmocka_unit_test_setup_teardown(makes_contexts, tmp_setup, tmp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
