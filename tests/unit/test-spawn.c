/* SPDX-License-Identifier: Apache-2.0 */
/* test-spawn.c: processes are recorded before they run, and get exactly what they were given. */
#include "core-util.h"

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "instance.h"
#include "lib/proc.h"

static vc_context *ctx;
static struct vci_pod_dir dir;

static int setup(void **state)
{
    if (tmp_setup(state))
        return -1;
    ctx = make_context("");
    return vci_store_create(ctx, "p", &dir, NULL);
}

static int teardown(void **state)
{
    vci_store_close(&dir);
    vc_context_free(ctx);
    return tmp_teardown(state);
}

static struct vc_spawn spawn_of(const char *const *argv)
{
    return (struct vc_spawn){
        .size = sizeof(struct vc_spawn), .path = argv[0], .argv = argv, .netns_fd = -1, .stdio = { -1, -1, -1 }
    };
}

static size_t entries(void)
{
    struct vci_ledger_entry *e = NULL;
    size_t n = 0;
    assert_int_equal(vci_ledger_read(&dir, &e, &n, NULL), 0);
    vci_ledger_entries_free(e, n);
    return n;
}

/* Run a shell command with its output in a pipe; its wait status. */
static int run_shell(const char *script, struct vc_spawn *s, char *out, size_t size)
{
    int fds[2], status = 0;
    vc_error *err = NULL;
    struct vc_proc proc;
    const char *const argv[] = { "/bin/sh", "-c", script, NULL };
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    s->argv = argv;
    s->path = argv[0];
    s->stdio[1] = fds[1];
    if (vci_spawn(ctx, &dir, "test", s, 0, &proc, &err))
        fail_msg("%s", vc_error_text(err));
    close(fds[1]);
    ssize_t n = vcs_read_full(fds[0], out, size - 1);
    assert_true(n >= 0);
    out[n] = '\0';
    close(fds[0]);
    assert_int_equal(vcs_proc_wait(&proc, vcs_now_ns() + 10000000000, &status), 0);
    return status;
}

static void runs_and_records(void **state)
{
    (void)state;
    const char *const argv[] = { "/bin/sh", NULL };
    struct vc_spawn s = spawn_of(argv);
    char out[4096];
    assert_int_equal(run_shell("echo hello $0 $#; exit 7", &s, out, sizeof(out)), 7 << 8);
    assert_string_equal(out, "hello /bin/sh 0\n");
    struct vci_ledger_entry *e = NULL;
    size_t n = 0;
    assert_int_equal(vci_ledger_read(&dir, &e, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(e[0].type, VCI_RES_PROCESS);
    assert_string_equal(e[0].owner, "test");
    vci_ledger_entries_free(e, n);
}

static void hands_over_exactly_the_descriptors(void **state)
{
    (void)state;
    int a[2], b[2];
    assert_int_equal(pipe(a), 0); /* without CLOEXEC: they must not leak either */
    assert_int_equal(pipe(b), 0);
    int high = fcntl(a[1], F_DUPFD, 200);
    assert_true(high >= 200);
    /* In an order in which each one stands where another one must go. */
    const int32_t fds[] = { b[1], a[1], high, 4, 3 };
    const char *const argv[] = { "/bin/sh", NULL };
    struct vc_spawn s = spawn_of(argv);
    s.fds = fds;
    s.n_fds = 5;
    struct stat want[5];
    for (int i = 0; i < 5; i++)
        assert_int_equal(fstat(fds[i], &want[i]), 0);
    char out[4096], expect[4096] = "";
    assert_int_equal(
        run_shell("for f in 0 1 2 3 4 5 6 7 8 9; do [ -e /dev/fd/$f ] && echo $f; done;"
                  "stat -L -c %i /dev/fd/3 /dev/fd/4 /dev/fd/5 /dev/fd/6 /dev/fd/7; set -- /proc/$$/fd/*; echo $#",
                  &s, out, sizeof(out)),
        0);
    size_t at = (size_t)snprintf(expect, sizeof(expect), "0\n1\n2\n3\n4\n5\n6\n7\n");
    for (int i = 0; i < 5; i++)
        at += (size_t)snprintf(expect + at, sizeof(expect) - at, "%llu\n", (unsigned long long)want[i].st_ino);
    snprintf(expect + at, sizeof(expect) - at, "9\n"); /* 0 to 7, and the directory that the shell reads */
    assert_string_equal(out, expect);
    int all[] = { a[0], a[1], b[0], b[1], high };
    for (size_t i = 0; i < 5; i++)
        close(all[i]);
}

static void starts_clean(void **state)
{
    (void)state;
    const char *const argv[] = { "/bin/sh", NULL };
    struct vc_spawn s = spawn_of(argv);
    sigset_t block, old;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, &old);
    signal(SIGPIPE, SIG_IGN);
    setenv("SECRET_OF_THE_CALLER", "1", 1);
    char out[4096];
    assert_int_equal(
        run_shell("grep -E '^Sig(Blk|Ign)' /proc/self/status; env | sort; ps -o sid= -p $$ 2>/dev/null | tr -d ' '", &s,
                  out, sizeof(out)),
        0);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, NULL);
    assert_contains(out, "SigBlk:\t0000000000000000\n");
    assert_contains(out, "SigIgn:\t0000000000000000\n");
    assert_contains(out, "PATH=/usr/local/sbin:");
    assert_contains(out, "PWD=/\n");
    assert_null(strstr(out, "SECRET_OF_THE_CALLER"));
}

static void explains_failures(void **state)
{
    (void)state;
    vc_error *err = NULL;
    struct vc_proc proc = { .pid = 77 };
    const char *none[] = { tmp_path("nothing-here"), NULL };
    struct vc_spawn s = spawn_of(none);
    assert_error(vci_spawn(ctx, &dir, "test", &s, 0, &proc, &err), &err, VC_ERR_NOTFOUND,
                 "nothing-here: it, or the interpreter");
    put_file("data", "no program", 0644);
    const char *data[] = { tmp_path("data"), NULL };
    s = spawn_of(data);
    assert_error(vci_spawn(ctx, &dir, "test", &s, 0, &proc, &err), &err, VC_ERR_PERM, "data: it may not be executed");
    put_file("garbage", "\177ELF but not really", 0755);
    const char *garbage[] = { tmp_path("garbage"), NULL };
    s = spawn_of(garbage);
    assert_error(vci_spawn(ctx, &dir, "test", &s, 0, &proc, &err), &err, VC_ERR_IO, "garbage: Exec format error");
    const char *relative[] = { "sh", NULL };
    s = spawn_of(relative);
    assert_error(vci_spawn(ctx, &dir, "test", &s, 0, &proc, &err), &err, VC_ERR_INVAL, "\"sh\" is not an absolute path");
    const char *sh[] = { "/bin/sh", "-c", "exit 0", NULL };
    s = spawn_of(sh);
    s.netns_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_error(vci_spawn(ctx, &dir, "test", &s, 0, &proc, &err), &err, VC_ERR_INVAL,
                 "its network namespace cannot be entered");
    close(s.netns_fd);
    assert_error(vci_spawn(ctx, &dir, "test", &s, 0, &proc, &err), &err, VC_ERR_INVAL, "is no open descriptor");
    s.netns_fd = -1;
    int32_t gone = 999;
    s.fds = &gone;
    s.n_fds = 1;
    assert_error(vci_spawn(ctx, &dir, "test", &s, 0, &proc, &err), &err, VC_ERR_INVAL,
                 "fds[0] (999) is no open descriptor");
    s.n_fds = 0;
    s.stdio[1] = 998;
    assert_error(vci_spawn(ctx, &dir, "test", &s, 0, &proc, &err), &err, VC_ERR_INVAL,
                 "stdio[1] (998) is no open descriptor");
    s.stdio[1] = -1;
    s.flags = 0x40;
    assert_error(vci_spawn(ctx, &dir, "test", &s, 0, &proc, &err), &err, VC_ERR_INVAL, "flags 0x40");
    s.flags = 0;
    s.reserved = 3;
    assert_error(vci_spawn(ctx, &dir, "test", &s, 0, &proc, &err), &err, VC_ERR_INVAL, "reserved 3");
    s.reserved = 0;
    s.cgroup = "x";
    assert_error(vci_spawn(ctx, &dir, "test", &s, 0, &proc, &err), &err, VC_ERR_UNSUPPORTED, "cgroup \"x\"");
    assert_int_equal(proc.pid, 77);
    assert_int_equal(entries(), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing was left to be reaped */
}

/* A caller that dies after the clone and before the record: the program must never run.  The caller here is a child
 * whose ledger is a pipe without room, so that it stands exactly there when it is killed. */
static void never_runs_unrecorded(void **state)
{
    (void)state;
    int full[2], watch[2];
    assert_int_equal(pipe2(full, O_CLOEXEC), 0);
    assert_int_equal(pipe2(watch, O_CLOEXEC), 0);
    int size = fcntl(full[1], F_SETPIPE_SZ, 4096);
    char *fill = calloc(1, (size_t)size);
    assert_int_equal(write(full[1], fill, (size_t)size), size);
    free(fill);
    pid_t caller = fork();
    assert_true(caller >= 0);
    if (caller == 0) {
        const char *touch[] = { "/bin/sh", "-c", "echo ran >&3", NULL };
        struct vc_spawn s = spawn_of(touch);
        struct vc_proc proc;
        int32_t fds[] = { watch[1] };
        s.fds = fds;
        s.n_fds = 1;
        dir.ledger_fd = full[1];
        vci_spawn(ctx, &dir, "test", &s, 0, &proc, NULL);
        _exit(0);
    }
    close(watch[1]);
    /* It blocks in write(2) on the full pipe once the child is there: wait for that by looking at its system call. */
    char path[64], text[64];
    snprintf(path, sizeof(path), "/proc/%d/syscall", (int)caller);
    for (;;) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
        if (fd >= 0)
            close(fd);
        if (n <= 0) {
            kill(caller, SIGKILL);
            waitpid(caller, NULL, 0);
            skip(); /* not allowed to look here */
        }
        text[n] = '\0';
        char want[32];
        snprintf(want, sizeof(want), "%ld 0x%x ", (long)SYS_write, (unsigned)full[1]);
        if (!strncmp(text, want, strlen(want)))
            break;
        assert_int_equal(waitpid(caller, NULL, WNOHANG), 0);
        sched_yield();
    }
    kill(caller, SIGKILL);
    assert_int_equal(waitpid(caller, NULL, 0), caller);
    /* End of file comes when the gated child has gone too; nothing was written. */
    struct pollfd pf = { .fd = watch[0], .events = POLLIN };
    assert_int_equal(poll(&pf, 1, 10000), 1);
    assert_int_equal(read(watch[0], text, sizeof(text)), 0);
    int all[] = { full[0], full[1], watch[0] };
    for (size_t i = 0; i < 3; i++)
        close(all[i]);
}

/* Executing a file whose file system does not answer takes as long as it likes: here, because somebody has a lease on
 * the file and does not give it back. */
static void does_not_wait_for_ever(void **state)
{
    (void)state;
    vc_error *err = NULL;
    struct vc_proc proc = { .pid = 77 };
    put_file("stuck", "#!/bin/sh\n", 0755);
    const char *stuck[] = { tmp_path("stuck"), NULL };
    struct vc_spawn s = spawn_of(stuck);
    vcs_autoclose int lease = open(stuck[0], O_RDONLY | O_CLOEXEC);
    signal(SIGIO, SIG_IGN); /* "give it back" */
    assert_true(lease >= 0);
    if (fcntl(lease, F_SETLEASE, F_WRLCK) < 0)
        skip(); /* a file system without leases */
    int64_t began = vcs_now_ns();
    assert_error(vci_spawn(ctx, &dir, "test", &s, began + 200000000, &proc, &err), &err, VC_ERR_TIMEOUT,
                 "stuck: its file could not be executed before the deadline");
    assert_in_range(vcs_now_ns() - began, 200000000, 20000000000);
    assert_int_equal(proc.pid, 77);
    assert_int_equal(entries(), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* it was reaped */
    assert_int_equal(errno, ECHILD);
    /* Nor where the operation is cancelled, which may have no deadline. */
    dir.cancellable = 1;
    vc_context_cancel(ctx);
    assert_error(vci_spawn(ctx, &dir, "test", &s, 0, &proc, &err), &err, VC_ERR_CANCELLED, "cancelled");
    assert_int_equal(entries(), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    dir.cancellable = 0;
    signal(SIGIO, SIG_DFL);
}

static void needs_the_lock(void **state)
{
    (void)state;
    struct vci_pod_dir other;
    struct vc_proc proc;
    vc_error *err = NULL;
    const char *argv[] = { "/bin/sh", NULL };
    struct vc_spawn s = spawn_of(argv);
    assert_int_equal(vci_store_open(ctx, "p", VCI_LOCK_NONE, 0, &other, NULL), 0);
    assert_error(vci_spawn(ctx, &other, "test", &s, 0, &proc, &err), &err, VC_ERR_STATE, "is not locked");
    vci_store_close(&other);
}

/* A descriptor cannot be forgotten open by a failed or a good start. */
static void leaks_nothing(void **state)
{
    (void)state;
    const char *bad[] = { "/nonexistent/program", NULL }, *good[] = { "/bin/true", NULL };
    int counts[2];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20; i++) {
            struct vc_proc proc;
            struct vc_spawn s = spawn_of(i & 1 ? bad : good);
            if (vci_spawn(ctx, &dir, "test", &s, 0, &proc, NULL) == 0)
                vcs_proc_wait(&proc, 0, NULL);
        }
        DIR *d = opendir("/proc/self/fd");
        for (counts[round] = 0; readdir(d); counts[round]++)
            ;
        closedir(d);
    }
    assert_int_equal(counts[0], counts[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(runs_and_records, setup, teardown),
        cmocka_unit_test_setup_teardown(hands_over_exactly_the_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(starts_clean, setup, teardown),
        cmocka_unit_test_setup_teardown(explains_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(never_runs_unrecorded, setup, teardown),
        cmocka_unit_test_setup_teardown(does_not_wait_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(needs_the_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(leaks_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
