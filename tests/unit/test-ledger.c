/* SPDX-License-Identifier: Apache-2.0 */
/* test-ledger.c: what a pod owns is recorded, found again and removed in reverse order. */
#include "core-util.h"

#include <linux/capability.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "lib/proc.h"
#include "store.h"

static vc_context *ctx;
static struct vci_pod_dir dir;

static int setup(void **state)
{
    if (tmp_setup(state))
        return -1;
    ctx = make_context("");
    /* Tests put things into its run directory by hand. */
    return vci_store_create(ctx, "p", &dir, NULL) < 0 || vci_store_run(&dir, 1, NULL) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    vci_store_close(&dir);
    vc_context_free(ctx);
    return tmp_teardown(state);
}

/* As the next caller does. */
static void reopen(void)
{
    vci_store_close(&dir);
    assert_int_equal(vci_store_open(ctx, "p", VCI_LOCK_EXCLUSIVE, 0, &dir, NULL), 0);
}

static unsigned add(uint32_t type, const char *name)
{
    unsigned n = 0;
    vc_error *err = NULL;
    if (vci_ledger_add(&dir, type, "test", name, &n, &err))
        fail_msg("%s", vc_error_text(err));
    return n;
}

/* The names that stand in it, with a comma after each. */
static const char *names(void)
{
    static char buf[2048];
    struct vci_ledger_entry *e = NULL;
    size_t n = 0, at = 0;
    assert_int_equal(vci_ledger_read(&dir, &e, &n, NULL), 0);
    buf[0] = '\0';
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(buf + at, sizeof(buf) - at, "%s,", e[i].name);
    vci_ledger_entries_free(e, n);
    return buf;
}

static void adds_and_takes_out(void **state)
{
    (void)state;
    assert_string_equal(names(), "");
    unsigned a = add(VC_RES_PATH, "/a"), b = add(VC_RES_PATH, "/b");
    add(VC_RES_PATH, "/we\"ird\\\n\001/\xc3\xbc");
    assert_true(a != b);
    assert_string_equal(names(), "/a,/b,/we\"ird\\\n\001/\xc3\xbc,");
    assert_int_equal(vci_ledger_del(&dir, a, NULL), 0);
    reopen();
    assert_string_equal(names(), "/b,/we\"ird\\\n\001/\xc3\xbc,");
    add(VC_RES_PATH, "/b");
    assert_int_equal(vci_ledger_del_name(&dir, VC_RES_MOUNT, "/b", NULL), 0);
    assert_int_equal(vci_ledger_del_name(&dir, VC_RES_PATH, "/we\"ird\\\n\001/\xc3\xbc", NULL), 0);
    assert_string_equal(names(), "/b,/b,");
    assert_int_equal(vci_ledger_del_name(&dir, VC_RES_PATH, "/b", NULL), 0);
    assert_int_equal(vci_ledger_del(&dir, 99999, NULL), 0);
    assert_string_equal(names(), "/b,");
}

/* Killed while the last line was written, at each of its bytes. */
static void survives_a_half_written_line(void **state)
{
    (void)state;
    add(VC_RES_PATH, "/one");
    struct stat st;
    assert_int_equal(stat(tmp_path("run/pods/p/ledger"), &st), 0);
    add(VC_RES_PATH, "/half");
    struct stat full;
    assert_int_equal(stat(tmp_path("run/pods/p/ledger"), &full), 0);
    for (off_t size = full.st_size - 1; size > st.st_size; size--) {
        assert_int_equal(truncate(tmp_path("run/pods/p/ledger"), size), 0);
        reopen();
        assert_string_equal(names(), "/one,");
    }
    reopen();
    unsigned n = add(VC_RES_PATH, "/next");
    assert_string_equal(names(), "/one,/next,");
    assert_int_equal(vci_ledger_del(&dir, n, NULL), 0);
    assert_string_equal(names(), "/one,");
}

static void stays_small(void **state)
{
    (void)state;
    struct stat st;
    add(VC_RES_PATH, "/kept");
    for (int i = 0; i < 4000; i++) {
        unsigned n = add(VC_RES_PATH, "/x");
        assert_int_equal(vci_ledger_del(&dir, n, NULL), 0);
    }
    reopen();
    unsigned a = add(VC_RES_PATH, "/new");
    assert_string_equal(names(), "/kept,/new,");
    assert_int_equal(vci_ledger_del(&dir, a, NULL), 0);
    assert_string_equal(names(), "/kept,");
    assert_int_equal(stat(tmp_path("run/pods/p/ledger"), &st), 0);
    assert_true(st.st_size < 1000);
}

static char told[2048];
static void tell(void *arg, const char *pod, const char *what)
{
    (void)arg;
    assert_string_equal(pod, "p");
    strncat(told, what, sizeof(told) - strlen(told) - 2);
    strcat(told, ";");
}

static void undoes_in_reverse(void **state)
{
    (void)state;
    char want[2048], file[512], sub[512];
    /* A directory that can only go when what was put into it later went first. */
    snprintf(sub, sizeof(sub), "%s", tmp_path("sub"));
    snprintf(file, sizeof(file), "%s", tmp_path("sub/file"));
    add(VC_RES_PATH, sub);
    mkdir(sub, 0700);
    add(VC_RES_PATH, file);
    put_file("sub/file", "", 0600);
    add(VC_RES_PATH, tmp_path("never-made"));
    told[0] = '\0';
    assert_int_equal(vci_ledger_undo(&dir, 0, tell, NULL, NULL), 0);
    snprintf(want, sizeof(want), "path %s;path %s;", file, sub);
    assert_string_equal(told, want);
    assert_string_equal(names(), "");
    assert_int_equal(access(sub, F_OK), -1);
    struct stat st;
    assert_int_equal(stat(tmp_path("run/pods/p/ledger"), &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(vci_ledger_undo(&dir, 0, tell, NULL, NULL), 0);
}

static void keeps_what_it_cannot_remove(void **state)
{
    (void)state;
    vc_error *err = NULL;
    char full[512], ok[512], want[600];
    snprintf(full, sizeof(full), "%s", tmp_path("full"));
    snprintf(ok, sizeof(ok), "%s", tmp_path("ok"));
    add(VC_RES_PATH, ok);
    add(VC_RES_PATH, full);
    mkdir(full, 0700);
    put_file("ok", "", 0600);
    put_file("full/of-others", "", 0600);
    snprintf(want, sizeof(want), "pod \"p\": cannot remove %s", full);
    int r = vci_ledger_undo(&dir, 0, NULL, NULL, &err);
    assert_error(r, &err, r, want);
    assert_true(r < 0);
    assert_int_equal(access(ok, F_OK), -1);
    assert_int_equal(access(tmp_path("full/of-others"), F_OK), 0);
    snprintf(want, sizeof(want), "%s,", full);
    assert_string_equal(names(), want);
    unlink(tmp_path("full/of-others"));
    assert_int_equal(vci_ledger_undo(&dir, 0, NULL, NULL, NULL), 0);
    assert_string_equal(names(), "");
    add(9999, "from the future");
    assert_error(vci_ledger_undo(&dir, 0, NULL, NULL, &err), &err, VC_ERR_UNSUPPORTED, "recorded by a newer release");
}

static void kills_only_the_process_that_is_meant(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        for (;;)
            pause();
    struct vc_proc p;
    char name[64];
    assert_int_equal(vcs_proc_identify(pid, &p), 0);
    /* The pid with another start time is another process. */
    snprintf(name, sizeof(name), "%d %llu", (int)pid, (unsigned long long)p.start_ticks + 1);
    add(VCI_RES_PROCESS, name);
    add(VCI_RES_PROCESS, "garbage");
    add(VCI_RES_PROCESS, "1 0");
    assert_int_equal(vci_ledger_undo(&dir, 0, NULL, NULL, NULL), 0);
    assert_int_equal(vcs_proc_alive(&p), 1);
    snprintf(name, sizeof(name), "%d %llu", (int)pid, (unsigned long long)p.start_ticks);
    add(VCI_RES_PROCESS, name);
    told[0] = '\0';
    assert_int_equal(vci_ledger_undo(&dir, vcs_now_ns() + 10000000000, tell, NULL, NULL), 0);
    assert_contains(told, "process ");
    assert_int_equal(vcs_proc_alive(&p), 0);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* reaped already */
}

/* A process that was recorded before a reboot is nobody's of ours, also when the ledger has become long since; one that
 * was recorded after it is. */
static void knows_its_boot(void **state)
{
    (void)state;
    struct vc_proc p[2];
    char name[64], file[128], text[256];
    struct vci_ledger_entry *e = NULL;
    size_t n = 0;
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            vci_store_close(&dir); /* its lock is not for this one */
            for (;;)
                pause();
        }
        assert_int_equal(vcs_proc_identify(pid, &p[i]), 0);
    }
    snprintf(name, sizeof(name), "%d %llu", p[0].pid, (unsigned long long)p[0].start_ticks);
    snprintf(text, sizeof(text), "{\"boot\":\"another\"}\n{\"add\":%d,\"owner\":\"test\",\"name\":\"%s\"}\n",
             VCI_RES_PROCESS, name);
    snprintf(file, sizeof(file), "run/pods/%s/ledger", "p");
    put_file(file, text, 0600);
    reopen();
    snprintf(name, sizeof(name), "%d %llu", p[1].pid, (unsigned long long)p[1].start_ticks);
    add(VCI_RES_PROCESS, name);
    for (int i = 0; i < 4000; i++)
        assert_int_equal(vci_ledger_del(&dir, add(VC_RES_PATH, "/x"), NULL), 0);
    reopen();
    add(VC_RES_PATH, "/new");
    struct stat st;
    assert_int_equal(stat(tmp_path(file), &st), 0);
    assert_true(st.st_size < 1000);
    assert_int_equal(vci_ledger_read(&dir, &e, &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_int_equal(e[0].old_boot, 1);
    assert_int_equal(vci_ledger_is_past(&e[0]), 1);
    assert_int_equal(e[1].old_boot, 0);
    assert_int_equal(e[2].old_boot, 0);
    vci_ledger_entries_free(e, n);
    assert_int_equal(vci_ledger_undo(&dir, vcs_now_ns() + 10000000000, NULL, NULL, NULL), 0);
    assert_int_equal(vcs_proc_alive(&p[0]), 1);
    assert_int_equal(vcs_proc_alive(&p[1]), 0);
    assert_int_equal(vcs_proc_kill(&p[0], SIGKILL), 0);
    assert_int_equal(waitpid(p[0].pid, NULL, 0), p[0].pid);
}

/* What stands in a ledger that was made smaller is from the boot in which it was written, too, once that is over. */
static void knows_its_boot_when_made_smaller(void **state)
{
    (void)state;
    vcs_autofree char *text = NULL;
    struct vci_ledger_entry *e = NULL;
    const char *boot = vci_store_boot_id();
    size_t n = 0;
    add(VC_RES_CGROUP, "/sys/fs/cgroup/of-this-boot");
    for (int i = 0; i < 4000; i++)
        assert_int_equal(vci_ledger_del(&dir, add(VC_RES_PATH, "/x"), NULL), 0);
    reopen();
    add(VC_RES_LINK, "tap7");
    vci_store_close(&dir);
    /* The host starts again. */
    int run = open(tmp_path("run/pods/p"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(vcs_read_file(run, "ledger", 65536, &text, NULL), 0);
    assert_true(strlen(boot) > 8);
    for (char *at = text; (at = strstr(at, boot)); at++)
        memset(at, 'f', strlen(boot));
    put_file("run/pods/p/ledger", text, 0600);
    close(run);
    assert_int_equal(vci_store_open(ctx, "p", VCI_LOCK_EXCLUSIVE, 0, &dir, NULL), 0);
    assert_int_equal(vci_ledger_read(&dir, &e, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_int_equal(vci_ledger_is_past(&e[0]), 1);
    assert_int_equal(vci_ledger_is_past(&e[1]), 1);
    vci_ledger_entries_free(e, n);
}

/* The numbers of entries that were read stay good, also when the first line that is written after that makes the ledger
 * smaller. */
static void numbers_stay_good(void **state)
{
    (void)state;
    struct vci_ledger_entry *e = NULL;
    size_t n = 0;
    for (int i = 0; i < 4000; i++)
        assert_int_equal(vci_ledger_del(&dir, add(VC_RES_PATH, "/x"), NULL), 0);
    add(VC_RES_PATH, "/kept");
    add(VC_RES_PATH, "/goes");
    reopen();
    assert_int_equal(vci_ledger_read(&dir, &e, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_int_equal(vci_ledger_del(&dir, e[1].n, NULL), 0);
    vci_ledger_entries_free(e, n);
    assert_string_equal(names(), "/kept,");
    /* The same when all is removed. */
    for (int i = 0; i < 4000; i++)
        assert_int_equal(vci_ledger_del(&dir, add(VC_RES_PATH, "/x"), NULL), 0);
    mkdir(tmp_path("full"), 0700);
    put_file("full/of-others", "", 0600);
    add(VC_RES_PATH, tmp_path("full"));
    add(VC_RES_PATH, "/goes-not-there");
    reopen();
    assert_true(vci_ledger_undo(&dir, 0, NULL, NULL, NULL) < 0);
    assert_int_equal(vci_ledger_read(&dir, &e, &n, NULL), 0);
    assert_int_equal(n, 1);
    vci_ledger_entries_free(e, n);
}

/* Mount points inside a user's root filesystem: only the very one that was made, and only while it is empty. */
static void leaves_the_users_things(void **state)
{
    (void)state;
    char name[700];
    struct stat st;
    const char *const kinds[] = { "made", "filled", "replaced" };
    for (size_t i = 0; i < 3; i++) {
        mkdir(tmp_path(kinds[i]), 0700);
        assert_int_equal(stat(tmp_path(kinds[i]), &st), 0);
        unsigned long long ino = st.st_ino + (i == 2);
        snprintf(name, sizeof(name), "%llu:%llu %s", (unsigned long long)st.st_dev, ino, tmp_path(kinds[i]));
        add(VCI_RES_MOUNTPOINT, name);
    }
    put_file("filled/by-user", "", 0600);
    put_file("text", "content", 0600);
    assert_int_equal(stat(tmp_path("text"), &st), 0);
    snprintf(name, sizeof(name), "%llu:%llu %s", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
             tmp_path("text"));
    add(VCI_RES_MOUNTPOINT, name);
    assert_int_equal(vci_ledger_undo(&dir, 0, NULL, NULL, NULL), 0);
    assert_int_equal(access(tmp_path("made"), F_OK), -1);
    assert_int_equal(access(tmp_path("filled/by-user"), F_OK), 0);
    assert_int_equal(access(tmp_path("replaced"), F_OK), 0);
    assert_int_equal(access(tmp_path("text"), F_OK), 0);
}

static void unmounts(void **state)
{
    (void)state;
    char at[512];
    vc_error *err = NULL;
    snprintf(at, sizeof(at), "%s", tmp_path("run/pods/p/shared"));
    mkdir(at, 0700);
    add(VC_RES_MOUNT, at);
    if (mount("none", at, "tmpfs", 0, NULL) < 0) {
        assert_int_equal(errno, EPERM);
        skip();
    }
    assert_int_equal(mount("none", at, "tmpfs", 0, NULL), 0); /* two, one over the other */
    put_file("run/pods/p/shared/kept", "x", 0600);
    assert_error(vci_store_remove(&dir, &err), &err, VC_ERR_BUSY, "something is still mounted at");
    assert_int_equal(access(tmp_path("run/pods/p/shared/kept"), F_OK), 0);
    assert_int_equal(access(tmp_path("state/pods/p"), F_OK), 0);
    assert_int_equal(vci_ledger_undo(&dir, 0, NULL, NULL, NULL), 0);
    assert_int_equal(umount2(at, MNT_DETACH), -1);
    assert_int_equal(vci_store_remove(&dir, NULL), 0);
    assert_int_equal(access(tmp_path("run/pods/p"), F_OK), -1);
}

/* The kernel writes blanks in its list of mounts otherwise. */
static void mounted_behind_a_blank(void **state)
{
    (void)state;
    char at[512];
    vc_error *err = NULL;
    struct vc_context_options o;
    vc_context *other = NULL;
    struct vci_pod_dir d;
    VC_INIT(&o);
    put_file("other.conf", "", 0600);
    o.config_file = tmp_path("other.conf");
    char run[600], other_state[600];
    snprintf(run, sizeof run, "run_root=%s", tmp_path("r un"));
    snprintf(other_state, sizeof other_state, "state_root=%s", tmp_path("other"));
    const char *const set[] = { run, other_state, NULL };
    o.overrides = set;
    assert_int_equal(vc_context_new(&o, &other, NULL), 0);
    assert_int_equal(vci_store_create(other, "b", &d, NULL), 0);
    assert_true(vci_store_run(&d, 1, NULL) >= 0);
    snprintf(at, sizeof(at), "%s", tmp_path("r un/pods/b/m nt"));
    mkdir(at, 0700);
    if (mount("none", at, "tmpfs", 0, NULL) < 0) {
        assert_int_equal(errno, EPERM);
        skip();
    }
    assert_error(vci_store_remove(&d, &err), &err, VC_ERR_BUSY, "/r un/pods/b/m nt");
    assert_int_equal(umount2(at, MNT_DETACH), 0);
    assert_int_equal(vci_store_remove(&d, NULL), 0);
    vc_context_free(other);
}

/* Without the right to mount nothing was mounted, and the kernel's refusal to unmount it is no failure. */
static void undoes_without_rights(void **state)
{
    (void)state;
    char inside[512], outside[512];
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct caps[2];
    snprintf(inside, sizeof(inside), "%s", tmp_path("run/pods/p/shared"));
    snprintf(outside, sizeof(outside), "%s", tmp_path("outside"));
    mkdir(inside, 0700);
    mkdir(outside, 0700);
    add(VC_RES_MOUNT, inside);
    add(VC_RES_MOUNT, outside);
    pid_t pid = fork();
    if (pid == 0) {
        int ok = syscall(SYS_capget, &head, caps) == 0;
        caps[0].effective &= ~(1u << CAP_SYS_ADMIN);
        ok = ok && syscall(SYS_capset, &head, caps) == 0;
        _exit(ok && vci_ledger_undo(&dir, 0, NULL, NULL, NULL) == 0 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    reopen();
    assert_string_equal(names(), "");
}

static const char *cgroup_root(void)
{
    static const char *const points[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
    struct statfs st;
    for (size_t i = 0; i < 2; i++)
        if (statfs(points[i], &st) == 0 && st.f_type == CGROUP2_SUPER_MAGIC && access(points[i], W_OK) == 0)
            return points[i];
    return NULL;
}

static int enter(const char *group)
{
    char path[700];
    snprintf(path, sizeof(path), "%s/cgroup.procs", group);
    vcs_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, "0", 1) == 1;
}

/* A record that names something else than a group of the pod's: nothing is removed there, and nobody killed. */
static void spares_what_is_no_group_of_a_pod(void **state)
{
    (void)state;
    char group[600], below[700];
    const char *root = cgroup_root();
    mkdir(tmp_path("plain"), 0700);
    mkdir(tmp_path("plain/empty"), 0700);
    add(VC_RES_CGROUP, tmp_path("plain"));
    assert_true(vci_ledger_undo(&dir, 0, NULL, NULL, NULL) < 0);
    assert_int_equal(access(tmp_path("plain/empty"), F_OK), 0);
    assert_int_equal(rmdir(tmp_path("plain/empty")), 0);
    assert_int_equal(vci_ledger_undo(&dir, 0, NULL, NULL, NULL), 0);
    if (!root)
        return;
    snprintf(group, sizeof(group), "%s/vccore-test-%d", root, (int)getpid());
    snprintf(below, sizeof(below), "%s/below", group);
    assert_int_equal(mkdir(group, 0755), 0);
    assert_int_equal(mkdir(below, 0755), 0);
    add(VC_RES_CGROUP, root);
    assert_true(vci_ledger_undo(&dir, 0, NULL, NULL, NULL) < 0);
    assert_int_equal(access(below, F_OK), 0);
    assert_int_equal(vci_ledger_del_name(&dir, VC_RES_CGROUP, root, NULL), 0);
    add(VC_RES_CGROUP, group);
    pid_t pid = fork();
    if (pid == 0) /* the caller's own */
        _exit(enter(below) && vci_ledger_undo(&dir, 0, NULL, NULL, NULL) < 0 ? 0 : 1);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    reopen();
    int is_in[2];
    char go = 0;
    assert_int_equal(pipe(is_in), 0);
    pid = fork();
    if (pid == 0) {
        close(is_in[0]);
        if (enter(below) && write(is_in[1], "g", 1) == 1)
            pause();
        _exit(1);
    }
    close(is_in[1]);
    assert_int_equal(read(is_in[0], &go, 1), 1);
    close(is_in[0]);
    assert_int_equal(vci_ledger_undo(&dir, 0, NULL, NULL, NULL), 0); /* a pod's: with what is in it */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(access(group, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(adds_and_takes_out, setup, teardown),
        cmocka_unit_test_setup_teardown(survives_a_half_written_line, setup, teardown),
        cmocka_unit_test_setup_teardown(stays_small, setup, teardown),
        cmocka_unit_test_setup_teardown(knows_its_boot, setup, teardown),
        cmocka_unit_test_setup_teardown(knows_its_boot_when_made_smaller, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_stay_good, setup, teardown),
        cmocka_unit_test_setup_teardown(undoes_in_reverse, setup, teardown),
        cmocka_unit_test_setup_teardown(keeps_what_it_cannot_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(kills_only_the_process_that_is_meant, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves_the_users_things, setup, teardown),
        cmocka_unit_test_setup_teardown(unmounts, setup, teardown),
        cmocka_unit_test_setup_teardown(mounted_behind_a_blank, setup, teardown),
        cmocka_unit_test_setup_teardown(undoes_without_rights, setup, teardown),
        cmocka_unit_test_setup_teardown(spares_what_is_no_group_of_a_pod, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
