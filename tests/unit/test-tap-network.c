/* SPDX-License-Identifier: Apache-2.0 */
/* test-tap-network.c: the network plugin of the VM tests keeps the contract where VM tests do not look: a second setup,
 * and a setup without the right to make namespaces. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include <vc/network.h>

#include "unit/fakehost.h"
#include "lib/cleanup.h"

static char why_not[200]; /* set: no namespace can be made here */

static int tell(const char *path, const char *text)
{
    vcs_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

/* A /run of our own, so that nothing is seen of others' namespaces and nothing stays. */
static int own_run(void **state)
{
    char users[64], groups[64];
    unsigned uid = (unsigned)getuid(), gid = (unsigned)getgid();
    (void)state;
    snprintf(users, sizeof(users), "0 %u 1", uid);
    snprintf(groups, sizeof(groups), "0 %u 1", gid);
    if (unshare(uid ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS) < 0)
        snprintf(why_not, sizeof(why_not), "no namespaces: %s", strerror(errno));
    else if (uid && (tell("/proc/self/uid_map", users) < 0 || tell("/proc/self/setgroups", "deny") < 0 ||
                     tell("/proc/self/gid_map", groups) < 0))
        snprintf(why_not, sizeof(why_not), "no user namespace: %s", strerror(errno));
    else if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("run", "/run", "tmpfs", 0, "mode=755") < 0)
        snprintf(why_not, sizeof(why_not), "no /run of one's own: %s", strerror(errno));
    return 0;
}

struct plugged {
    struct fakehost fh;
    const struct vc_plugin *p;
    const struct vc_network_ops *ops;
    vc_inst *inst;
};

static void plug(struct plugged *g)
{
    char path[2048];
    const char *dir = getenv("VC_BUILD_DIR");
    if (why_not[0]) {
        print_message("%s\n", why_not);
        skip();
    }
    snprintf(path, sizeof(path), "%s/tests/fakes/.libs/tap-network.so", dir ? dir : ".");
    g->p = fakehost_load(path);
    assert_non_null(g->p);
    g->ops = g->p->ops;
    assert_int_equal(fakehost_init(&g->fh, g->p, NULL), 0);
    struct vc_call call = fakehost_call(&g->fh, 5000);
    assert_int_equal(g->p->inst->create(&g->fh.host, &call, fakehost_config(&g->fh), "pod1", &g->inst), VC_OK);
}

static void unplug(struct plugged *g)
{
    struct vc_call call = fakehost_call(&g->fh, 5000);
    assert_int_equal(g->p->inst->cleanup(g->inst, &call), VC_OK);
    g->p->inst->close(g->inst);
    assert_int_equal(g->fh.n_res, 0);
    fakehost_done(&g->fh);
}

static int setup(struct plugged *g, int *ret_fd)
{
    struct vc_call call = fakehost_call(&g->fh, 5000);
    struct vc_net_request req = { .size = sizeof(req), .hostname = "pod1" };
    return g->ops->setup(g->inst, &call, &req, ret_fd);
}

/* How many namespaces are kept below /run/netns. */
static int kept(void)
{
    int n = 0;
    DIR *d = opendir("/run/netns");
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static void second_setup(void **state)
{
    struct plugged g;
    int fd = -1, other = -7;
    (void)state;
    plug(&g);
    assert_int_equal(setup(&g, &fd), VC_OK);
    assert_true(fd >= 0);
    assert_int_equal(kept(), 1);
    assert_int_equal(setup(&g, &other), VC_E_STATE);
    assert_int_equal(other, -7);
    assert_non_null(strstr(g.fh.err.text, "/run/netns/vctap-"));
    assert_int_equal(kept(), 1);
    assert_int_equal(g.fh.n_res, 1);
    /* The namespace is still the first one. */
    struct stat mine, now;
    char path[300];
    snprintf(path, sizeof(path), "%s", strstr(g.fh.err.text, "/run/netns/"));
    path[strcspn(path, " ")] = '\0';
    assert_int_equal(fstat(fd, &mine), 0);
    assert_int_equal(stat(path, &now), 0);
    assert_int_equal(mine.st_ino, now.st_ino);
    close(fd);
    struct vc_call call = fakehost_call(&g.fh, 5000);
    assert_int_equal(g.ops->teardown(g.inst, &call), VC_OK);
    assert_int_equal(kept(), 0);
    assert_int_equal(setup(&g, &fd), VC_OK);
    close(fd);
    unplug(&g);
    assert_int_equal(kept(), 0);
}

static void setup_without_rights(void **state)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct caps[2], none[2];
    struct plugged g;
    int fd = -7;
    (void)state;
    plug(&g);
    assert_int_equal(syscall(SYS_capget, &head, caps), 0);
    memcpy(none, caps, sizeof(none));
    none[0].effective = none[1].effective = 0;
    assert_int_equal(syscall(SYS_capset, &head, none), 0);
    int r = setup(&g, &fd);
    assert_int_equal(syscall(SYS_capset, &head, caps), 0);
    assert_int_equal(r, VC_E_PERM);
    assert_int_equal(g.fh.err.sys, EPERM);
    assert_int_equal(fd, -7);
    assert_int_equal(kept(), 0); /* what was made before it failed is gone */
    assert_int_equal(g.fh.n_res, 0);
    assert_int_equal(setup(&g, &fd), VC_OK);
    close(fd);
    unplug(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_setup),
        cmocka_unit_test(setup_without_rights),
    };
    return cmocka_run_group_tests(tests, own_run, NULL);
}
