/* SPDX-License-Identifier: Apache-2.0 */
/* test-slow-fs.c: paths of the caller on a file system that does not answer: each call ends at its deadline. */
#include "podtest.h"

#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/io.h"
#include "open.h"

/* ---- a file system with the directory "d" and the file "f", which answers as long as it is told to ---- */

enum { ANSWER, NO_LOOKUP, NO_OPEN };
static struct {
    _Atomic int mode;
    _Atomic unsigned silent; /* requests that were not answered */
} *fs;
static pid_t server;
static char fs_root[PATH_MAX + 64], fs_dir[PATH_MAX + 96], fs_file[PATH_MAX + 96];

static struct fuse_attr attr_of(uint64_t node)
{
    return (struct fuse_attr){ .ino = node, .mode = node == 3 ? S_IFREG | 0644 : S_IFDIR | 0755, .nlink = 1, .blksize = 4096 };
}

static void reply(int fd, uint64_t unique, int error, const void *data, size_t n)
{
    struct {
        struct fuse_out_header h;
        char room[256];
    } out = { .h = { .len = (uint32_t)(sizeof out.h + n), .error = error, .unique = unique } };
    if (n)
        memcpy(out.room, data, n);
    if (write(fd, &out, out.h.len) < 0)
        out.h.len = 0;
}

static void serve_one(int fd, const struct fuse_in_header *in, const char *arg)
{
    struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096 };
    struct fuse_entry_out entry = { .nodeid = strcmp(arg, "d") == 0 ? 2 : strcmp(arg, "f") == 0 ? 3 : 0 };
    struct fuse_attr_out attr = { .attr = attr_of(in->nodeid) };
    struct fuse_open_out opened = { .fh = 1 };
    if ((in->opcode == FUSE_LOOKUP && fs->mode == NO_LOOKUP) || (in->opcode == FUSE_OPEN && fs->mode == NO_OPEN)) {
        fs->silent++;
        return;
    }
    switch (in->opcode) {
    case FUSE_INIT: reply(fd, in->unique, 0, &init, sizeof init); break;
    case FUSE_LOOKUP:
        entry.attr = attr_of(entry.nodeid);
        reply(fd, in->unique, entry.nodeid ? 0 : -ENOENT, &entry, entry.nodeid ? sizeof entry : 0);
        break;
    case FUSE_GETATTR: reply(fd, in->unique, 0, &attr, sizeof attr); break;
    case FUSE_OPEN:
    case FUSE_OPENDIR: reply(fd, in->unique, 0, &opened, sizeof opened); break;
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_FLUSH: reply(fd, in->unique, 0, NULL, 0); break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT: break;
    default: reply(fd, in->unique, -ENOSYS, NULL, 0);
    }
}

/* For a minute: a test that hangs then fails. */
_Noreturn static void serve(int fd)
{
    static _Alignas(8) char buf[65536];
    alarm(60);
    for (ssize_t n; (n = read(fd, buf, sizeof buf)) > 0 || errno == EINTR || errno == ENOENT;)
        if (n >= (ssize_t)sizeof(struct fuse_in_header))
            serve_one(fd, (const struct fuse_in_header *)(const void *)buf, buf + sizeof(struct fuse_in_header));
    _exit(0);
}

static int mount_fs(void **state)
{
    char options[96];
    (void)state;
    fs->mode = ANSWER;
    fs->silent = 0;
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
    if (fd < 0 || mount("silent", fs_root, "fuse", MS_NOSUID | MS_NODEV, options) < 0)
        return -1;
    server = fork();
    if (server == 0)
        serve(fd);
    close(fd);
    return server > 0 ? 0 : -1;
}

/* The file system goes, and with it everybody who waits for it. */
static int unmount_fs(void **state)
{
    (void)state;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return umount2(fs_root, MNT_DETACH);
}

static int setup(void **state)
{
    struct stat st;
    if (geteuid() != 0 || stat("/dev/fuse", &st) < 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 0;
    fs = mmap(NULL, sizeof *fs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fs == MAP_FAILED || pt_setup(state) < 0)
        return -1;
    PT_PATH(fs_root, "%s/fs", pt_root);
    PT_PATH(fs_dir, "%s/d", fs_root);
    PT_PATH(fs_file, "%s/f", fs_root);
    return mkdir(fs_root, 0755);
}

static int begin(void **state)
{
    return fs ? mount_fs(state) : 0;
}

static int finish(void **state)
{
    return fs ? unmount_fs(state) : 0;
}

static void need_fs(void)
{
    if (!fs)
        skip();
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The call ends a second after its begin, not much later, and says why. */
#define TIMES_OUT(path, call)                                                                                          \
    do {                                                                                                               \
        double t_ = seconds();                                                                                         \
        PT_FAILS(VC_ERR_TIMEOUT, path, call);                                                                          \
        if (seconds() - t_ > 20)                                                                                       \
            fail_msg("%s took %.1f s", #call, seconds() - t_);                                                         \
    } while (0)

static vc_context *context(void)
{
    return pt_context("faulty", "call_timeout=1", "create_timeout=1", "hypervisor_faulty.disks=true", "hypervisor_faulty.share=true");
}

/* But this file system. */
static void nothing_left(void)
{
    assert_int_equal(pt_count("run/pods"), 0);
    assert_int_equal(pt_count("state/pods"), 0);
    assert_int_equal(pt_count("rootfs"), 0);
    assert_int_equal(pt_mounts(), 1);
}

static int fds_of(int pid)
{
    char path[64];
    int n = 0;
    PT_PATH(path, "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* ---- tests ---- */

/* Whatever a configuration names. */
static void test_lookup(void **state)
{
    (void)state;
    need_fs();
    vc_context *ctx = context();
    struct pt_pod p;
    struct vc_volume volume;
    struct vc_volume *volumes[] = { &volume };
    struct vc_mount mount_;
    struct vc_mount *mounts[] = { &mount_ };
    struct vc_device_info device;
    struct vc_device_info *devices[] = { &device };
    fs->mode = NO_LOOKUP;
    pt_pod(&p, "p", 1);
    p.ctr[0].rootfs = fs_dir;
    TIMES_OUT(fs_dir, vc_pod_create(ctx, &p.pod, NULL, &err));

    pt_pod(&p, "p", 1);
    VC_INIT(&volume);
    volume.tag = "v";
    volume.host_path = fs_dir;
    p.pod.volumes = volumes;
    p.pod.n_volumes = 1;
    TIMES_OUT(fs_dir, vc_pod_create(ctx, &p.pod, NULL, &err));

    pt_pod(&p, "p", 1);
    VC_INIT(&mount_);
    mount_.destination = "/x";
    mount_.source = fs_file;
    p.ctr[0].mounts = mounts;
    p.ctr[0].n_mounts = 1;
    TIMES_OUT(fs_file, vc_pod_create(ctx, &p.pod, NULL, &err));

    pt_pod(&p, "p", 1);
    VC_INIT(&device);
    device.type = "b";
    device.host_path = fs_file;
    p.ctr[0].devices = devices;
    p.ctr[0].n_devices = 1;
    TIMES_OUT(fs_file, vc_pod_create(ctx, &p.pod, NULL, &err));

    pt_pod(&p, "p", 1);
    p.process.console = fs_file;
    TIMES_OUT(fs_file, vc_pod_create(ctx, &p.pod, NULL, &err));
    assert_true(fs->silent >= 1); /* who waits for the same name waits for who asked first */
    vc_context_free(ctx);
    nothing_left();
}

/* What was looked at when the pod was made, and does not answer when it is started. */
static void test_start(void **state)
{
    (void)state;
    need_fs();
    vc_context *ctx = context();
    struct pt_pod p;
    struct vc_volume volume;
    struct vc_volume *volumes[] = { &volume };
    struct vc_mount mount_;
    struct vc_mount *mounts[] = { &mount_ };
    for (int i = 0; i < 3; i++) {
        fs->mode = ANSWER;
        pt_pod(&p, "p", 1);
        p.pod.flags = VC_POD_DEFER_VM;
        VC_INIT(&volume);
        volume.tag = "v";
        volume.host_path = fs_dir;
        VC_INIT(&mount_);
        mount_.destination = "/x";
        mount_.source = fs_file;
        p.ctr[0].rootfs = i == 0 ? fs_dir : p.rootfs;
        p.pod.volumes = volumes;
        p.pod.n_volumes = i == 1;
        p.ctr[0].mounts = mounts;
        p.ctr[0].n_mounts = i == 2;
        PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
        fs->mode = NO_LOOKUP;
        TIMES_OUT(i == 2 ? fs_file : fs_dir, vc_pod_start(ctx, "p", &err));
        PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
        nothing_left();
    }
    vc_context_free(ctx);
}

/* A disk is opened, which asks the file system once more; what is no disk any more is refused before. */
static void test_disk(void **state)
{
    (void)state;
    need_fs();
    vc_context *ctx = pt_context("faulty", "call_timeout=1", "create_timeout=1", "hypervisor_faulty.disks=true", NULL);
    char fifo[PATH_MAX + 64];
    struct pt_pod p;
    struct vc_device_info device;
    struct vc_device_info *devices[] = { &device };
    PT_PATH(fifo, "%s/disk", pt_root);
    pt_pod(&p, "p", 1);
    VC_INIT(&device);
    device.type = "b";
    device.host_path = fs_file;
    p.ctr[0].devices = devices;
    p.ctr[0].n_devices = 1;
    fs->mode = NO_OPEN;
    TIMES_OUT(fs_file, vc_pod_run(ctx, &p.pod, NULL, &err));
    assert_int_equal(fs->silent, 1);
    fs->mode = ANSWER;
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));

    int fd = open(fifo, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    device.host_path = fifo;
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    PT_OK(vc_pod_stop(ctx, "p", 0, &err));
    assert_int_equal(unlink(fifo), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    double t = seconds();
    PT_FAILS(VC_ERR_INVAL, "is no disk any more", vc_pod_start(ctx, "p", &err));
    assert_true(seconds() - t < 1);
    unlink(fifo);
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    vc_context_free(ctx);
    nothing_left();
}

/* One that is not the server. */
static int child_of_ours(void)
{
    char path[64], buf[256] = "";
    PT_PATH(path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC), first = 0, second = 0;
    assert_true(read(fd, buf, sizeof buf - 1) > 0);
    close(fd);
    assert_true(sscanf(buf, "%d %d", &first, &second) >= 1);
    return first == server ? second : first;
}

static int64_t in_ms(int ms)
{
    return vcs_now_ns() + ms * INT64_C(1000000);
}

/* Until only the server is left of what was started. */
static void settle(void)
{
    struct vci_limit until = { .deadline = in_ms(20000), .cancel_fd = -1 };
    for (int r; pt_children() > 1 && (r = vci_open(fs_dir, O_PATH, 0, &until)) >= 0; poll(NULL, 0, 10))
        close(r);
    assert_int_equal(pt_children(), 1);
}

/* What hangs has nothing of the caller's, its number is limited, and when it can go it goes. */
static void test_hanging(void **state)
{
    (void)state;
    need_fs();
    char lock[PATH_MAX + 64];
    struct vci_limit until = { .deadline = in_ms(1000), .cancel_fd = -1 };
    PT_PATH(lock, "%s/lock", pt_root);
    settle();
    int held = open(lock, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(held, LOCK_EX), 0);
    int fds = fds_of(getpid());
    fs->mode = NO_LOOKUP;
    assert_int_equal(vci_open(fs_file, O_RDONLY, 0, &until), -ETIMEDOUT);
    assert_int_equal(fds_of(child_of_ours()), 1); /* the socket */
    close(held);
    held = open(lock, O_WRONLY | O_CLOEXEC);
    assert_int_equal(flock(held, LOCK_EX | LOCK_NB), 0);
    close(held);
    int more = 1, r;
    while ((until.deadline = in_ms(20), r = vci_open(fs_file, O_RDONLY, 0, &until)) == -ETIMEDOUT && more < 100)
        more++;
    assert_int_equal(r, -EUSERS);
    assert_in_range(more, 16, 80); /* one that was slow to begin is ended before it hangs */
    /* What is in the caches, or somewhere else, needs none of them. */
    assert_true((r = vci_open(pt_root, O_PATH, 0, &until)) >= 0);
    close(r);
    vc_error *err = NULL;
    assert_int_equal(vci_fail_open(&err, -EUSERS, "cannot use %s", "x"), VC_ERR_BUSY);
    vc_error_free(err);
    assert_int_equal(unmount_fs(NULL), 0);
    assert_int_equal(mount_fs(NULL), 0);
    until.deadline = in_ms(20000);
    for (int i = 0; i < 1000 && (r = vci_open(fs_file, O_RDONLY, 0, &until)) == -EUSERS; i++)
        poll(NULL, 0, 10); /* they end by themselves */
    assert_true(r >= 0);
    close(r);
    settle();
    assert_int_equal(fds_of(getpid()), fds - 1);
}

/* Who cancels does not wait for the deadline. */
static void test_cancel(void **state)
{
    (void)state;
    need_fs();
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct vci_limit until = { .deadline = in_ms(50000), .cancel_fd = ends[0] };
    fs->mode = NO_LOOKUP;
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(vci_open(fs_file, O_RDONLY, 0, &until), -ECANCELED);
    close(ends[0]);
    close(ends[1]);
}

/* The same answers as realpath(3) and open(2) give, also when everything is fine. */
static void test_answers(void **state)
{
    (void)state;
    need_fs();
    char link_[PATH_MAX + 64], real[PATH_MAX], missing[PATH_MAX + 128];
    struct vci_limit until = { .deadline = in_ms(50000), .cancel_fd = -1 };
    struct statx st;
    PT_PATH(link_, "%s/link", pt_root);
    PT_PATH(missing, "%s/missing", fs_root);
    assert_int_equal(symlink("fs/d/../f", link_), 0);
    int fd = vci_open_real(link_, &until, real, &st);
    assert_true(fd >= 0);
    assert_string_equal(real, fs_file);
    assert_true(S_ISREG(st.stx_mode));
    int again = vci_reopen(fd, O_RDWR, &until);
    assert_true(again >= 0);
    assert_int_equal(fcntl(again, F_GETFL) & O_ACCMODE, O_RDWR);
    assert_int_equal(fcntl(again, F_GETFD), FD_CLOEXEC);
    close(again);
    close(fd);
    assert_int_equal(vci_open_real(missing, &until, real, &st), -ENOENT);
    PT_PATH(missing, "%s/x", fs_file);
    assert_int_equal(vci_open_real(missing, &until, real, &st), -ENOTDIR);
    fd = vci_open_real(".", &until, real, &st);
    assert_true(fd >= 0);
    close(fd);
    char *cwd = realpath(".", NULL);
    assert_string_equal(real, cwd);
    free(cwd);
    unlink(link_);
}

static int teardown(void **state)
{
    return fs ? pt_teardown(state) : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, begin, finish), cmocka_unit_test_setup_teardown(test_lookup, begin, finish),
        cmocka_unit_test_setup_teardown(test_start, begin, finish),   cmocka_unit_test_setup_teardown(test_disk, begin, finish),
        cmocka_unit_test_setup_teardown(test_cancel, begin, finish),  cmocka_unit_test_setup_teardown(test_hanging, begin, finish),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
