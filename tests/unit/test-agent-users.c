/* SPDX-License-Identifier: Apache-2.0 */
/* test-agent-users.c: names, numbers and capabilities, against passwd and group files of all sorts. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctr-internal.h"

static char dir[] = "/tmp/test-agent-users-XXXXXX";
static int rootfd = -1;
static struct vca_ident id;
static struct vca_fault f;

static void put(const char *name, const char *text, size_t len)
{
    int fd = openat(rootfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    close(fd);
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir) || (rootfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0 || mkdirat(rootfd, "etc", 0755) < 0)
        return -1;
    put_text("etc/passwd", "# comment\n\nroot:x:0:0::/root:/bin/sh\nbroken:x:nan:1\nbad:x:-1:5::/:\n"
                           "big:x:4294967295:1::/:\n1000:x:77:78::/var/digits:\nshort:x:5:6\n"
                           "joe:x:1000:100:Joe, the user:/var/joe:/bin/sh\nlast:x:9:10::/var/last");
    put_text("etc/group", "root:x:0:\nstaff:x:50:joe\nmany:x:60:ann,joe,bob\njoey:x:61:joey\nself:x:100:joe\nodd:x:62\n"
                          "last:x:63:x,joe");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlinkat(rootfd, "etc/passwd", 0);
    unlinkat(rootfd, "etc/group", 0);
    unlinkat(rootfd, "etc", AT_REMOVEDIR);
    close(rootfd);
    return rmdir(dir);
}

static int resolve(const char *text)
{
    memset(&f, 0, sizeof(f));
    return vca_user_resolve(rootfd, NULL, text, NULL, 0, 0, &id, &f);
}

static void test_names(void **state)
{
    (void)state;
    static const gid_t groups[] = {50, 60, 100, 63};
    assert_int_equal(resolve("joe"), 0);
    assert_int_equal(id.uid, 1000);
    assert_int_equal(id.gid, 100);
    assert_int_equal(id.n_gids, 4);
    assert_memory_equal(id.gids, groups, sizeof(groups));
    assert_string_equal(id.home, "/var/joe");
    assert_int_equal(resolve("last"), 0); /* no newline at the end */
    assert_int_equal(id.uid, 9);
    assert_string_equal(id.home, "/var/last");
    assert_int_equal(resolve("short"), 0);
    assert_string_equal(id.home, "");
    assert_int_equal(resolve("joe:staff"), 0);
    assert_int_equal(id.gid, 50);
    assert_int_equal(id.n_gids, 0);
    assert_int_equal(resolve("joe:1234"), 0);
    assert_int_equal(id.gid, 1234);
}

static void test_numbers(void **state)
{
    (void)state;
    /* Digits are a number, also when somebody has them as a name. */
    assert_int_equal(resolve("1000"), 0);
    assert_int_equal(id.uid, 1000);
    assert_int_equal(id.gid, 100);
    assert_int_equal(id.n_gids, 4);
    assert_int_equal(resolve("4242"), 0);
    assert_int_equal(id.uid, 4242);
    assert_int_equal(id.gid, 0);
    assert_int_equal(resolve("1:2"), 0);
    assert_int_equal(id.uid, 1);
    assert_int_equal(id.gid, 2);
    assert_int_equal(resolve("4294967294:0"), 0);
}

static void test_errors(void **state)
{
    (void)state;
    static const char *const bad[] = {"nobody", "broken", "bad", "big", "joe:nogroup", "joe:", ":staff", ":", "-1",
                                      "4294967295", "1:4294967295", "99999999999999999999", " 1", "1 "};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (resolve(bad[i]) == 0)
            fail_msg("user '%s' was taken", bad[i]);
        assert_int_equal(f.code, VCS_RPC_INVALID);
        assert_true(strlen(f.text) > 10);
    }
    assert_int_equal(resolve("nobody"), -1);
    assert_non_null(strstr(f.text, "'nobody'"));
    char long_name[400];
    memset(long_name, 'a', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    assert_int_equal(resolve(long_name), -1);
}

static void test_number_fields(void **state)
{
    (void)state;
    Oci__User u = OCI__USER__INIT;
    uint32_t gids[] = {1, 2, 1};
    char *extra[] = {(char *)(uintptr_t)"many", (char *)(uintptr_t)"7"};
    u.uid = 1000;
    u.gid = 5;
    u.additional_gids = gids;
    u.n_additional_gids = 3;
    assert_int_equal(vca_user_resolve(rootfd, &u, "", extra, 2, 1, &id, &f), 0);
    assert_int_equal(id.uid, 1000);
    assert_int_equal(id.gid, 5);
    assert_int_equal(id.n_gids, 4);
    assert_string_equal(id.home, "/var/joe");
    extra[0] = (char *)(uintptr_t)"what";
    assert_int_equal(vca_user_resolve(rootfd, &u, "", extra, 2, 1, &id, &f), -1);
    assert_non_null(strstr(f.text, "'what'"));
    u.uid = UINT32_MAX;
    assert_int_equal(vca_user_resolve(rootfd, &u, NULL, NULL, 0, 0, &id, &f), -1);
}

/* The files are the container's: what they are is not to be relied upon. */
static void test_hostile_files(void **state)
{
    (void)state;
    put("etc/passwd", "joe:x:1:2\0::/:\n", 15);
    assert_int_equal(resolve("joe"), -1);
    unlinkat(rootfd, "etc/passwd", 0);
    assert_int_equal(resolve("joe"), -1);
    assert_int_equal(resolve("12"), 0);
    assert_int_equal(symlinkat("/etc/group", rootfd, "etc/passwd"), 0);
    assert_int_equal(resolve("joe"), -1); /* that of the container, which has no such user */
    unlinkat(rootfd, "etc/passwd", 0);
    assert_int_equal(symlinkat("../../../../../../../../etc/passwd", rootfd, "etc/passwd"), 0);
    assert_int_equal(resolve("daemon"), -1); /* a loop within the root, not the file of this machine */
    unlinkat(rootfd, "etc/passwd", 0);
    assert_int_equal(mkfifoat(rootfd, "etc/passwd", 0600), 0);
    assert_int_equal(resolve("joe"), -1);
    unlinkat(rootfd, "etc/passwd", 0);
    put_text("etc/passwd", "x");
    int fd = openat(rootfd, "etc/passwd", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 5 << 20), 0);
    close(fd);
    assert_int_equal(resolve("joe"), -1);
    put_text("etc/passwd", ":::\n::::::::::::\n:\nx\njoe:x:1:2:::\n");
    assert_int_equal(resolve("joe"), 0);
    assert_int_equal(id.uid, 1);
}

static void test_caps(void **state)
{
    (void)state;
    Oci__LinuxCapabilities caps = OCI__LINUX_CAPABILITIES__INIT;
    struct vca_caps c;
    char *names[] = {(char *)(uintptr_t)"CAP_CHOWN", (char *)(uintptr_t)"cap_kill",
                     (char *)(uintptr_t)"CAP_CHECKPOINT_RESTORE"};
    caps.bounding = caps.permitted = caps.effective = names;
    caps.n_bounding = caps.n_permitted = 3;
    caps.n_effective = 1;
    assert_int_equal(vca_caps_parse(&caps, &c, &f), 0);
    assert_true(c.permitted == (1u | 1u << 5 | UINT64_C(1) << 40));
    assert_true(c.effective == 1 && c.ambient == 0 && c.inheritable == 0);
    caps.ambient = names;
    caps.n_ambient = 1;
    assert_int_equal(vca_caps_parse(&caps, &c, &f), -1);
    caps.n_ambient = 0;
    caps.n_permitted = 0;
    assert_int_equal(vca_caps_parse(&caps, &c, &f), -1);
    names[0] = (char *)(uintptr_t)"CAP_";
    assert_int_equal(vca_caps_parse(&caps, &c, &f), -1);
    assert_non_null(strstr(f.text, "'CAP_'"));
    assert_int_equal(vca_caps_parse(NULL, &c, &f), 0);
    assert_true(!c.bounding && !c.permitted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),         cmocka_unit_test(test_numbers),       cmocka_unit_test(test_errors),
        cmocka_unit_test(test_number_fields), cmocka_unit_test(test_hostile_files), cmocka_unit_test(test_caps),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
