/* SPDX-License-Identifier: Apache-2.0 */
/* test-template-race.c: what others do to templates between two steps of ours: each lock that is taken is a place at which
 * a test acts. */
#include "podtest.h"

#include <sys/file.h>
#include <sys/syscall.h>

static struct pt_pod p;
static char templates[PATH_MAX + 64], away[PATH_MAX + 64], lock[PATH_MAX + 128], dir[PATH_MAX + 128], id[40];
static int log_fd, held = -1, calls;
static int (*before)(int fd, int how); /* 0: go on; -1: errno is set, and the lock cannot be had */

/* In place of libc's. */
int flock(int fd, int how)
{
    if (before && before(fd, how) < 0)
        return -1;
    return (int)syscall(SYS_flock, fd, how);
}

static void (*syncing)(int fd);

int fsync(int fd)
{
    if (syncing)
        syncing(fd);
    return (int)syscall(SYS_fsync, fd);
}

static vc_context *context(const char *more)
{
    char file[PATH_MAX + 128];
    const char *all[] = { "hypervisor=faulty", "agent=faulty", "proxy=faulty", "shim=faulty", "network=faulty",
                          "hypervisor_faulty.templates=yes", "agent_faulty.templates=yes", "log_level=debug", more, NULL };
    struct vc_context_options o;
    vc_context *ctx = NULL;
    VC_INIT(&o);
    PT_PATH(file, "%s/vccore.conf", pt_root);
    o.config_file = file;
    o.overrides = all;
    o.log_fd = log_fd;
    PT_OK(vc_context_new(&o, &ctx, &err));
    return ctx;
}

/* Did a line of the log since the last time hold this? */
static int logged(const char *words)
{
    char buf[65536] = "";
    ssize_t n = pread(log_fd, buf, sizeof buf - 1, 0);
    assert_true(n >= 0 && ftruncate(log_fd, 0) == 0);
    return strstr(buf, words) != NULL;
}

static void run(vc_context *ctx, uint32_t mode)
{
    pt_pod(&p, "p", 1);
    p.pod.vm_template = mode;
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
}

/* The template that the pod runs from is whole, and is the only one; nothing is left of the pod. */
static void runs_from(vc_context *ctx, const char *want)
{
    struct vc_pod_status *s = NULL;
    before = NULL;
    PT_OK(vc_pod_status(ctx, "p", &s, &err));
    assert_string_equal(s->template_id, want);
    vc_pod_status_free(s);
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    pt_nothing_left();
}

static vc_context *make(void)
{
    vc_context *ctx = context(NULL);
    char *made = NULL;
    PT_OK(vc_template_create(ctx, 0, &made, &err));
    snprintf(id, sizeof id, "%s", made);
    free(made);
    PT_PATH(dir, "%s/%s", templates, id);
    PT_PATH(lock, "%s/%s.lock", templates, id);
    logged("");
    calls = 0;
    return ctx;
}

static void unmake(vc_context *ctx)
{
    before = NULL;
    PT_OK(vc_template_delete(ctx, id, VC_FORCE, &err));
    assert_int_equal(pt_count("state/templates"), 0);
    vc_context_free(ctx);
}

static int is_at(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int locked_anew(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && syscall(SYS_flock, fd, LOCK_EX | LOCK_NB) == 0);
    return fd;
}

/* ---- a lock's file that is another's by now ---- */

static int next_maker(int fd, int how)
{
    (void)how;
    if (!is_at(fd, lock) || calls)
        return 0;
    calls = 1;
    assert_int_equal(unlink(lock), 0); /* its holder is done, and the next one begins */
    held = locked_anew(lock);
    return 0;
}

static void test_sweep(void **state)
{
    (void)state;
    vc_context *ctx = make();
    close(open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    before = next_maker;
    PT_OK(vc_template_gc(ctx, NULL, NULL, NULL, &err));
    before = NULL;
    assert_int_equal(calls, 1);
    assert_true(is_at(held, lock));
    close(held);
    char tmp[PATH_MAX + 128];
    PT_PATH(tmp, "%s/.tmp-1-1", templates); /* a note that was not finished */
    close(open(tmp, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    PT_OK(vc_template_gc(ctx, NULL, NULL, NULL, &err));
    assert_int_equal(access(tmp, F_OK), -1);
    unmake(ctx);
}

/* ---- another template where the one that was opened stood ---- */

static int replaced(int fd, int how)
{
    if (!(how & LOCK_SH) || !is_at(fd, dir) || calls)
        return 0;
    calls = 1;
    assert_int_equal(rename(dir, away), 0);
    assert_int_equal(mkdir(dir, 0700), 0);
    return 0;
}

static void test_replaced(void **state)
{
    (void)state;
    vc_context *ctx = make();
    before = replaced;
    run(ctx, 0);
    assert_int_equal(calls, 1);
    assert_false(logged("is cut short"));
    runs_from(ctx, id);
    assert_int_equal(nftw(away, pt_rm, 32, FTW_DEPTH | FTW_PHYS), 0);
    unmake(ctx);
}

/* ---- one that is made anew just now is there, for a pod that requires it ---- */

static int made_at_last(int fd, int how)
{
    (void)how;
    if (!is_at(fd, lock) || ++calls < 3)
        return 0;
    assert_int_equal(rename(away, dir), 0);
    assert_int_equal(unlink(lock), 0);
    close(held);
    before = NULL;
    return 0;
}

static void test_required(void **state)
{
    (void)state;
    vc_context *ctx = make();
    assert_int_equal(rename(dir, away), 0);
    held = locked_anew(lock);
    before = made_at_last;
    run(ctx, VC_TEMPLATE_REQUIRE);
    assert_int_equal(calls, 3);
    runs_from(ctx, id);
    /* Its maker fails. */
    assert_int_equal(rename(dir, away), 0);
    close(open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    pt_pod(&p, "p", 1);
    p.pod.vm_template = VC_TEMPLATE_REQUIRE;
    PT_FAILS(VC_ERR_CONFIG, "there is no template", vc_pod_run(ctx, &p.pod, NULL, &err));
    /* It is not done in time. */
    vc_context *hasty = context("create_timeout=1");
    held = locked_anew(lock);
    PT_FAILS(VC_ERR_TIMEOUT, "stayed in use", vc_pod_run(hasty, &p.pod, NULL, &err));
    vc_context_free(hasty);
    close(held);
    assert_int_equal(unlink(lock), 0);
    pt_nothing_left();
    assert_int_equal(rename(away, dir), 0);
    unmake(ctx);
}

/* ---- a file system on which directories cannot be locked ---- */

static int no_directories(int fd, int how)
{
    char name[64], path[PATH_MAX] = "";
    (void)how;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if (readlink(name, path, sizeof path - 1) < 0 || !strstr(path, "/templates/.making-") || calls++ > 100)
        return 0;
    errno = EBADF;
    return -1;
}

static void test_unlockable(void **state)
{
    (void)state;
    vc_context *ctx = context(NULL);
    calls = 0;
    before = no_directories;
    run(ctx, 0);
    assert_int_equal(calls, 1);
    assert_true(logged("cannot open and lock the directory"));
    runs_from(ctx, "");
    PT_OK(vc_template_gc(ctx, NULL, NULL, NULL, &err));
    assert_int_equal(pt_count("state/templates"), 0);
    vc_context_free(ctx);
}

/* ---- gc and one that is looked at ---- */

static void test_gc_waits_for_nobody(void **state)
{
    (void)state;
    size_t n = 7;
    vc_context *ctx = make(), *new = context("hypervisor_faulty.mark=new");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(syscall(SYS_flock, fd, LOCK_SH), 0);
    PT_OK(vc_template_gc(new, NULL, NULL, &n, &err));
    assert_int_equal(n, 0);
    close(fd);
    PT_OK(vc_template_gc(new, NULL, NULL, &n, &err));
    assert_int_equal(n, 1);
    assert_int_equal(pt_count("state/templates"), 0);
    vc_context_free(new);
    vc_context_free(ctx);
}

/* ---- what is said of one that is never used ---- */

static void test_sizes(void **state)
{
    (void)state;
    struct vc_template_info **list = NULL;
    size_t n = 0;
    char memory[PATH_MAX + 160], key[PATH_MAX + 160];
    vc_context *ctx = make();
    PT_PATH(memory, "%s/vm/memory", dir);
    PT_PATH(key, "%s/key", dir);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(chmod(i == 0 ? dir : i == 1 ? memory : key, i == 0 ? 0755 : 0666), 0);
        PT_OK(vc_template_list(ctx, &list, &n, &err));
        assert_int_equal(n, 1);
        assert_non_null(list[0]->problem);
        assert_int_equal(list[0]->memory, sizeof "faulty"); /* that of the plugin's file, not of the key */
        assert_true(list[0]->disk > 0);
        vc_template_list_free(list, n);
        assert_int_equal(chmod(i == 0 ? dir : i == 1 ? memory : key, i == 0 ? 0700 : 0600), 0);
    }
    unmake(ctx);
    /* What its key says comes first. */
    ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    char *made = NULL;
    PT_OK(vc_template_create(ctx, 0, &made, &err));
    PT_PATH(dir, "%s/%s", templates, made);
    for (int i = 0; i < 2; i++) {
        PT_OK(vc_template_list(ctx, &list, &n, &err));
        assert_int_equal(n, 1);
        assert_int_equal(list[0]->problem != NULL, i);
        assert_true(list[0]->memory >= 1 << 20);
        vc_template_list_free(list, n);
        assert_int_equal(chmod(dir, 0755), 0);
    }
    PT_OK(vc_template_delete(ctx, made, 0, &err));
    free(made);
    vc_context_free(ctx);
}

/* One that has its name is there for everybody. */
static void look_at_it(int fd)
{
    struct vc_template_info **list = NULL;
    size_t n = 0;
    if (!is_at(fd, templates) || access(dir, F_OK) < 0)
        return;
    syncing = NULL;
    vc_context *ctx = context(NULL);
    PT_OK(vc_template_list(ctx, &list, &n, &err));
    calls = (int)n;
    vc_template_list_free(list, n);
    vc_context_free(ctx);
}

static void test_published(void **state)
{
    (void)state;
    vc_context *ctx = make();
    syncing = look_at_it;
    PT_OK(vc_template_create(ctx, VC_FORCE, NULL, &err));
    assert_null(syncing);
    assert_int_equal(calls, 1);
    unmake(ctx);
}

/* A plugin that has templates until they are used is one that has none. */
static void test_table_gone(void **state)
{
    (void)state;
    vc_context *ctx = context("hypervisor_faulty.templates=once");
    run(ctx, 0);
    assert_true(logged("has no templates"));
    runs_from(ctx, "");
    PT_OK(vc_template_gc(ctx, NULL, NULL, NULL, &err));
    assert_int_equal(pt_count("state/templates"), 0);
    vc_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sweep),      cmocka_unit_test(test_replaced), cmocka_unit_test(test_required),
        cmocka_unit_test(test_unlockable), cmocka_unit_test(test_sizes),    cmocka_unit_test(test_gc_waits_for_nobody),
        cmocka_unit_test(test_table_gone), cmocka_unit_test(test_published),
    };
    char path[PATH_MAX + 64];
    if (pt_setup(NULL) < 0)
        return 1;
    PT_PATH(templates, "%s/state/templates", pt_root);
    PT_PATH(away, "%s/state/away", pt_root);
    PT_PATH(path, "%s/log", pt_root);
    log_fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return log_fd < 0 ? 1 : cmocka_run_group_tests(tests, NULL, pt_teardown);
}
