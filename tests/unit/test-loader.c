/* SPDX-License-Identifier: Apache-2.0 */
/* test-loader.c: every rule of loading, each with a plugin of tests/badplugins that breaks exactly that one. */
#include "core-util.h"

#include "conf-impl.h"
#include "instance.h"

static vc_context *ctx;

/* Copy a plugin of tests/badplugins to PLUGINS/KIND/NAME.so. */
static void install(const char *from, const char *kind, const char *name, mode_t mode)
{
    const char *build = getenv("VC_BUILD_DIR"), *libs = getenv("VC_BADPLUGINS");
    char path[512], target[256];
    if (libs)
        snprintf(path, sizeof(path), "%s/%s.so", libs, from);
    else
        snprintf(path, sizeof(path), "%s/tests/badplugins/.libs/%s.so", build ? build : ".", from);
    char *data = NULL;
    size_t n = 0;
    int r = vcs_read_file(AT_FDCWD, path, 64 << 20, &data, &n);
    if (r < 0)
        fail_msg("%s: %s", path, strerror(-r));
    snprintf(target, sizeof(target), "plugins/%s/%s.so", kind, name);
    assert_int_equal(vcs_write_file_atomic(AT_FDCWD, tmp_path(target), data, n, mode, 0), 0);
    assert_int_equal(chmod(tmp_path(target), mode), 0);
    free(data);
}

static int setup(void **state)
{
    if (tmp_setup(state))
        return -1;
    mkdir(tmp_path("plugins"), 0755);
    mkdir(tmp_path("plugins/proxy"), 0755);
    mkdir(tmp_path("plugins/hypervisor"), 0755);
    ctx = make_context("proxy = \"good\";");
    return 0;
}

static int teardown(void **state)
{
    vc_context_free(ctx);
    return tmp_teardown(state);
}

static void loads_a_good_one(void **state)
{
    (void)state;
    const struct vci_plugin *p = NULL, *again = NULL;
    vc_error *err = NULL;
    install("good", "proxy", "good", 0644);
    if (vci_plugin_load(ctx, VC_KIND_PROXY, "good", &p, &err))
        fail_msg("%s", vc_error_text(err));
    assert_string_equal(p->desc.name, "good");
    assert_non_null(p->ops.proxy.stop);
    assert_null(p->inst.cancel);
    assert_int_equal(vci_plugin_load(ctx, VC_KIND_PROXY, "good", &again, NULL), 0);
    assert_ptr_equal(p, again);

    struct vci_inst i;
    assert_int_equal(vci_inst_open(&i, ctx, NULL, VC_KIND_PROXY, "good", NULL, NULL, 0, 0, 0, NULL), 0);
    assert_int_equal(VCI_CALL(&i, 0, NULL, proxy, stop), 0);
    char *text = NULL;
    size_t n = 0;
    uint32_t version = 0;
    assert_int_equal(vci_inst_save(&i, &text, &n, &version, NULL), 0);
    assert_int_equal(n, 1);
    assert_string_equal(text, "x");
    assert_int_equal(version, 1);
    vci_inst_close(&i);
    free(text);
    /* State of another version is refused by the core, before the plugin sees it. */
    assert_error(vci_inst_open(&i, ctx, NULL, VC_KIND_PROXY, "good", NULL, "x", 1, 2, 0, &err), &err, VC_ERR_UNSUPPORTED,
                 "reads 1 to 1");
    assert_error(vci_inst_open(&i, ctx, NULL, VC_KIND_PROXY, "good", NULL, "x", 70000, 1, 0, &err), &err, VC_ERR_CORRUPT,
                 "too long");
}

/* Each plugin is code that runs with the host's rights: none is loaded because it is there. */
static void loads_only_what_is_named(void **state)
{
    (void)state;
    const struct vci_plugin *p = NULL;
    char **names = NULL, line[1024];
    size_t n = 0;
    int good = 0, longer = 0;
    install("good", "proxy", "good", 0644);
    install("longer", "proxy", "longer", 0644);
    assert_int_equal(vci_plugin_load(ctx, VC_KIND_PROXY, "good", &p, NULL), 0);
    assert_int_equal(vci_plugin_names(ctx, VC_KIND_PROXY, &names, &n), 0); /* a list of files, nothing more */
    assert_int_equal(n, 2);
    vci_plugin_names_free(names, n);
    FILE *f = fopen("/proc/self/maps", "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        good |= strstr(line, tmp_path("plugins/proxy/good.so")) != NULL;
        longer |= strstr(line, tmp_path("plugins/proxy/longer.so")) != NULL;
    }
    fclose(f);
    assert_int_equal(good, 1);
    assert_int_equal(longer, 0);
}

static void loads_one_of_a_later_minor(void **state)
{
    (void)state;
    const struct vci_plugin *p = NULL;
    vc_error *err = NULL;
    struct vc_config *section = NULL;
    int64_t value = 0;
    install("longer", "proxy", "longer", 0644);
    if (vci_plugin_load(ctx, VC_KIND_PROXY, "longer", &p, &err))
        fail_msg("%s", vc_error_text(err));
    assert_int_equal(p->desc.n_options, 2);
    assert_string_equal(p->desc.options[1].key, "second");
    assert_int_equal(vci_conf_section(ctx->conf, &p->desc, &section, NULL), 0);
    assert_int_equal(vci_section_int(section, "second", &value), 0);
    assert_int_equal(value, 2 << 20);
    vci_section_free(section);
}

static void refuses_each_broken_rule(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        int code;
        const char *part;
    } cases[] = {
        { "bad-magic", VC_ERR_INVAL, "it has the magic number 0x46554e4b, not 0x31504356" },
        { "bad-major", VC_ERR_UNSUPPORTED,
          "was built for version 2 of the plugin contract (abi_major); this library has version 1" },
        { "bad-minor", VC_ERR_UNSUPPORTED, "needs version 1.9 of the plugin contract (min_host_minor); this library "
          "has 1.0" },
        { "bad-kind", VC_ERR_INVAL,
          "calls itself a plugin of kind \"shim\" (4), but it lies in the directory of \"proxy\" (3)" },
        { "bad-name", VC_ERR_INVAL, "calls itself \"something-else\": its name must be that of its file, "
          "\"bad-name\"" },
        { "bad-desc-size", VC_ERR_INVAL, "the size of its descriptor is 64" },
        { "bad-ops-size", VC_ERR_INVAL, "the size of its table \"ops\" is 24" },
        { "bad-ops-huge", VC_ERR_INVAL, "the size of its table \"ops\" is 4294967288" },
        { "bad-ops-odd", VC_ERR_INVAL, "it must be a multiple of" },
        { "bad-vendor", VC_ERR_INVAL, "its vendor is missing; it must have 1 to 1024 bytes" },
        { "bad-caps", VC_ERR_INVAL, "(caps_max 0x1000000000000000) have bits above 47, which must be 0" },
        { "bad-state-version", VC_ERR_INVAL, "it writes state version 1 but reads only from version 2 on" },
        { "bad-member", VC_ERR_INVAL, "the required proxy member \"stop\" is missing" },
        { "bad-inst-member", VC_ERR_INVAL, "the required instance member \"save\" is missing" },
        { "bad-inst", VC_ERR_INVAL, "its table \"inst\" is missing" },
        { "bad-option-key", VC_ERR_INVAL, "option 0 has no key" },
        { "bad-option-form", VC_ERR_INVAL, "option key \"Key\" is not possible" },
        { "bad-option-type", VC_ERR_INVAL, "option \"key\" has the unknown type 99; 1 to 7 are known" },
        { "bad-option-enum", VC_ERR_INVAL, "option \"key\" is an enum without choices" },
        { "bad-option-default", VC_ERR_INVAL, "option \"key\": the default \"5\" is not a whole number from 1 to 4" },
        { "bad-option-doc", VC_ERR_INVAL, "option \"key\" has no description" },
        { "bad-option-stride", VC_ERR_INVAL, "the size of its option rows is 8" },
        { "bad-option-twice", VC_ERR_INVAL, "option \"key\" is declared twice" },
        { "bad-symbol", VC_ERR_INVAL, "does not export \"vc_plugin_entry\"" },
        { "bad-undefined", VC_ERR_INVAL, "function_that_no_library_has" },
        { "bad-text", VC_ERR_INVAL, "its description holds a control byte or is not UTF-8" },
        { "bad-cap-unknown", VC_ERR_INVAL, "its capabilities (caps_max) have the bits 0x10000000000, which version "
          "1.0" },
        { "bad-option-flags", VC_ERR_INVAL, "option \"word\" has unknown flags (0x80); 0x7 are known" },
        { "bad-reserved", VC_ERR_INVAL, "\"reserved\" of its descriptor is 7, not 0" },
        { "bad-option-count", VC_ERR_INVAL, "bytes) would end outside of the file" },
        { "bad-option-pointer", VC_ERR_INVAL, "\"key\" of option 1 (of 2) leads to no text of a loaded file" },
        { "bad-option-far", VC_ERR_INVAL, "\"doc\" of option 0 (of 1) leads to no text of a loaded file" },
        { "bad-text-pointer", VC_ERR_INVAL, "its description leads to no text of a loaded file" },
        { "bad-option-range", VC_ERR_INVAL, "option \"key\" has a minimum (9) above its maximum (4)" },
        { "bad-load", VC_ERR_STATE, "the moon is \\x1b[31mfull" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct vci_plugin *p = NULL;
        vc_error *err = NULL;
        install(cases[i].file, "proxy", cases[i].file, 0644);
        int r = vci_plugin_load(ctx, VC_KIND_PROXY, cases[i].file, &p, &err);
        if (cases[i].code != VC_ERR_STATE)
            assert_contains(vc_error_text(err), tmp_path("plugins/proxy/bad-")); /* it names the file */
        assert_error(r, &err, cases[i].code, cases[i].part);
        assert_null(p);
    }
    vc_error *err = NULL;
    const struct vci_plugin *p = NULL;
    install("bad-cap-member", "hypervisor", "bad-cap-member", 0644);
    assert_error(vci_plugin_load(ctx, VC_KIND_HYPERVISOR, "bad-cap-member", &p, &err), &err, VC_ERR_INVAL,
                 "its capabilities promise the hypervisor member \"vm_pause\", which is missing");
}

static void refuses_files_that_others_can_change(void **state)
{
    (void)state;
    const struct vci_plugin *p = NULL;
    vc_error *err = NULL;
    install("good", "proxy", "writable", 0646);
    assert_error(vci_plugin_load(ctx, VC_KIND_PROXY, "writable", &p, &err), &err, VC_ERR_PERM,
                 "plugins/proxy/writable.so is writable by everybody (mode 0646)");
    install("good", "proxy", "group", 0664);
    assert_error(vci_plugin_load(ctx, VC_KIND_PROXY, "group", &p, &err), &err, VC_ERR_PERM, "is writable by its group");

    assert_int_equal(symlink("good.so", tmp_path("plugins/proxy/link.so")), 0);
    install("good", "proxy", "good", 0644);
    assert_error(vci_plugin_load(ctx, VC_KIND_PROXY, "link", &p, &err), &err, VC_ERR_PERM,
                 "link.so is a symbolic link");

    assert_int_equal(symlink("nowhere.so", tmp_path("plugins/proxy/dangling.so")), 0);
    assert_error(vci_plugin_load(ctx, VC_KIND_PROXY, "dangling", &p, &err), &err, VC_ERR_PERM,
                 "dangling.so is a symbolic link");

    mkdir(tmp_path("plugins/proxy/dir.so"), 0755);
    assert_error(vci_plugin_load(ctx, VC_KIND_PROXY, "dir", &p, &err), &err, VC_ERR_INVAL, "is not a regular file");

    mkdir(tmp_path("plugins/shim"), 0755);
    install("good", "shim", "good", 0644);
    chmod(tmp_path("plugins/shim"), 0777);
    assert_error(vci_plugin_load(ctx, VC_KIND_SHIM, "good", &p, &err), &err, VC_ERR_PERM,
                 "plugins/shim is writable by everybody");
    /* Sticky does not help when it is not root's. */
    if (geteuid() != 0) {
        chmod(tmp_path("plugins/shim"), 01777);
        assert_error(vci_plugin_load(ctx, VC_KIND_SHIM, "good", &p, &err), &err, VC_ERR_PERM, "writable by everybody");
    } else {
        assert_int_equal(chown(tmp_path("plugins/shim"), 65534, 65534), 0);
        chmod(tmp_path("plugins/shim"), 0755);
        assert_error(vci_plugin_load(ctx, VC_KIND_SHIM, "good", &p, &err), &err, VC_ERR_PERM, "belongs to user 65534");
    }
}

/* A file that was not copied whole must not kill the process that looks at it. */
static void refuses_cut_files(void **state)
{
    (void)state;
    char *data = NULL;
    size_t n = 0;
    const struct vci_plugin *p = NULL;
    vc_error *err = NULL;
    install("good", "proxy", "good", 0644);
    assert_int_equal(vcs_read_file(AT_FDCWD, tmp_path("plugins/proxy/good.so"), 64 << 20, &data, &n), 0);
    for (size_t cut = 0, i = 0; cut < n && i < 40; cut += cut < 64 ? 16 : n / 36 + 1, i++) {
        assert_int_equal(vcs_write_file_atomic(AT_FDCWD, tmp_path("plugins/proxy/cut.so"), data, cut, 0644, 0), 0);
        int r = vci_plugin_load(ctx, VC_KIND_PROXY, "cut", &p, &err);
        assert_int_equal(r, VC_ERR_INVAL); /* also when it is whole enough to be mapped: it is called otherwise */
        assert_contains(vc_error_text(err), "plugins/proxy/cut.so");
        if (cut == 0)
            assert_contains(vc_error_text(err), "cannot be loaded: it is no shared library");
        if (cut == 64)
            assert_contains(vc_error_text(err), "cannot be loaded: it is cut off: its program headers end at byte");
        vc_error_free(err);
        err = NULL;
    }
    free(data);
}

static void names_what_create_asked_for(void **state)
{
    (void)state;
    struct vci_inst i;
    vc_error *err = NULL;
    install("bad-ask", "proxy", "bad-ask", 0644);
    assert_error(
        vci_inst_open(&i, ctx, NULL, VC_KIND_PROXY, "bad-ask", NULL, NULL, 0, 0, 0, &err), &err, VC_ERR_INVAL,
        "proxy plugin \"bad-ask\": create failed (invalid) and gave no reason; it asked for the undeclared option "
        "\"colour\"");
}

static void lists_what_is_installed(void **state)
{
    (void)state;
    const struct vci_plugin *p = NULL;
    vc_error *err = NULL;
    install("good", "proxy", "good", 0644);
    install("longer", "proxy", "longer", 0644);
    install("bad-magic", "proxy", "bad-magic", 0644);
    put_file("plugins/proxy/README", "no plugin", 0644);
    char want[256];
    snprintf(want, sizeof(want), "no proxy plugin \"foo\" in %s/plugins/proxy; installed: bad-magic, good, longer",
             tmp_dir);
    assert_error(vci_plugin_load(ctx, VC_KIND_PROXY, "foo", &p, &err), &err, VC_ERR_NOTFOUND, want);
    assert_error(vci_plugin_load(ctx, VC_KIND_AGENT, "foo", &p, &err), &err, VC_ERR_NOTFOUND, "installed: none");
    const char *const bad[] = { "../x", "a/b", "", "-x", "A", "x.so", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_error(vci_plugin_load(ctx, VC_KIND_PROXY, bad[i], &p, &err), &err, VC_ERR_INVAL,
                     "is not possible as the name of a plugin");

    struct vc_plugin_info **list = NULL;
    size_t n = 0;
    put_file("plugins/proxy/X\033y.so", "no plugin", 0644);
    assert_int_equal(vc_plugin_list(ctx, "proxy", &list, &n, NULL), 0);
    assert_int_equal(n, 4);
    assert_string_equal(list[0]->name, "X\\x1by"); /* a file that can be no plugin is shown, and says why */
    assert_int_equal(list[0]->usable, 0);
    assert_contains(list[0]->problem, "is not possible as the name of a plugin");
    vc_plugin_list_free(list, n);
    assert_int_equal(unlink(tmp_path("plugins/proxy/X\033y.so")), 0);
    assert_int_equal(vc_plugin_list(ctx, "proxy", &list, &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_string_equal(list[0]->name, "bad-magic");
    assert_int_equal(list[0]->usable, 0);
    assert_contains(list[0]->problem, "magic number");
    assert_string_equal(list[1]->name, "good");
    assert_int_equal(list[1]->usable, 1);
    assert_int_equal(list[1]->selected, 1);
    assert_null(list[1]->problem);
    vc_plugin_list_free(list, n);
    assert_error(vc_plugin_list(ctx, "toaster", &list, &n, &err), &err, VC_ERR_INVAL, "no kind of plugin");

    char *text = NULL;
    assert_int_equal(vc_plugin_help(ctx, "proxy/good", 0, &text, NULL), 0);
    assert_contains(text, "word  (string)");
    assert_contains(text, "Default: x");
    free(text);
    assert_int_equal(vc_plugin_help(ctx, "good", 1, &text, NULL), 0);
    assert_contains(text, "\"key\":\"word\"");
    free(text);
    assert_error(vc_plugin_help(ctx, "foo", 0, &text, &err), &err, VC_ERR_NOTFOUND, "proxy/good");
    assert_error(vc_plugin_help(ctx, "x/good", 0, &text, &err), &err, VC_ERR_INVAL, "no kind of plugin");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(loads_a_good_one, setup, teardown),
        cmocka_unit_test_setup_teardown(loads_only_what_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(loads_one_of_a_later_minor, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_each_broken_rule, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_files_that_others_can_change, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_cut_files, setup, teardown),
        cmocka_unit_test_setup_teardown(names_what_create_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_what_is_installed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
