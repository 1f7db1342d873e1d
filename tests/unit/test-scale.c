/* SPDX-License-Identifier: Apache-2.0 */
/* test-scale.c: what many pods cost, without a clock: reads that a list and a status need, and what thousands of cycles
 * leave behind. */
#include "podtest.h"

#include <malloc.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

static struct pt_pod p;

static void make(vc_context *ctx, int from, int to)
{
    for (int i = from; i < to; i++) {
        char id[32];
        snprintf(id, sizeof id, "p%d", i);
        assert_int_equal(vc_pod_create(ctx, pt_pod(&p, id, 2), NULL, NULL), 0);
    }
}

/* read(2) calls of this process so far; the kernel counts them. */
static unsigned long long reads(void)
{
    char buf[512];
    int fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    buf[n] = '\0';
    const char *at = strstr(buf, "syscr: ");
    return at ? strtoull(at + 7, NULL, 10) : 0;
}

static unsigned long long reads_of_list(vc_context *ctx, size_t want)
{
    struct vc_pod_status **list = NULL;
    size_t n = 0;
    unsigned long long before = reads();
    assert_int_equal(vc_pod_list(ctx, &list, &n, NULL), 0);
    unsigned long long after = reads();
    assert_int_equal(n, want);
    vc_pod_list_free(list, n);
    return after - before - 1;
}

static unsigned long long reads_of_status(vc_context *ctx)
{
    struct vc_pod_status *s = NULL;
    unsigned long long before = reads();
    assert_int_equal(vc_pod_status(ctx, "p0", &s, NULL), 0);
    unsigned long long after = reads();
    vc_pod_status_free(s);
    return after - before - 1;
}

static void list_is_linear(void **state)
{
    (void)state;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    if (!reads())
        skip(); /* a kernel without it */
    make(ctx, 0, 10);
    reads_of_list(ctx, 10);
    unsigned long long ten = reads_of_list(ctx, 10), one = reads_of_status(ctx);
    make(ctx, 10, 200);
    unsigned long long many = reads_of_list(ctx, 200);
    /* One read for each pod. */
    assert_true(ten >= 10 && ten <= 12);
    assert_true(many >= 200 && many <= 202);
    assert_int_equal(reads_of_status(ctx), one);
    for (int i = 0; i < 200; i++) {
        char id[32];
        snprintf(id, sizeof id, "p%d", i);
        assert_int_equal(vc_pod_delete(ctx, id, 0, NULL), 0);
    }
    vc_context_free(ctx);
}

/* ---- system calls of every kind ---- */

static void count_list(vc_context *ctx)
{
    struct vc_pod_status **list = NULL;
    size_t n = 0;
    if (vc_pod_list(ctx, &list, &n, NULL) == 0)
        vc_pod_list_free(list, n);
}

static void count_status(vc_context *ctx)
{
    struct vc_pod_status *s = NULL;
    if (vc_pod_status(ctx, "p0", &s, NULL) == 0)
        vc_pod_status_free(s);
}

/* How many a child makes in fn, which it does between two getppid(2).  -1: nobody may trace here. */
static long calls_of(vc_context *ctx, void (*fn)(vc_context *))
{
    long n = 0, marks = 0, entry = 0;
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(1);
        fn(ctx); /* what is done only once, such as opening the roots */
        raise(SIGSTOP);
        syscall(SYS_getppid);
        fn(ctx);
        syscall(SYS_getppid);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status))
        return -1;
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)), 0);
    for (int sig = 0;;) {
        struct __ptrace_syscall_info info;
        assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)sig), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status))
            break;
        assert_true(WIFSTOPPED(status));
        sig = WSTOPSIG(status) == (SIGTRAP | 0x80) || WSTOPSIG(status) == SIGSTOP ? 0 : WSTOPSIG(status);
        if (WSTOPSIG(status) != (SIGTRAP | 0x80) || (entry = !entry) == 0)
            continue;
        assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof info, &info) > 0);
        marks += info.entry.nr == SYS_getppid;
        n += marks == 1 && info.entry.nr != SYS_getppid;
    }
    assert_int_equal(status, 0);
    assert_int_equal(marks, 2);
    return n;
}

/* Whatever they are: for the status of one pod as many as before, for a list as many more for each pod. */
static void calls_are_linear(void **state)
{
    (void)state;
    static const int counts[] = { 10, 110, 210 };
    long status[3], list[3];
    char id[32];
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    for (int i = 0, have = 0; i < 3; i++) {
        make(ctx, have, counts[i]);
        have = counts[i];
        status[i] = calls_of(ctx, count_status);
        list[i] = calls_of(ctx, count_list);
    }
    for (int i = 0; i < counts[2]; i++) {
        snprintf(id, sizeof id, "p%d", i);
        assert_int_equal(vc_pod_delete(ctx, id, 0, NULL), 0);
    }
    vc_context_free(ctx);
    if (status[0] < 0)
        skip();
    print_message("of 10, 110 and 210 pods: status %ld, %ld, %ld system calls; list %ld, %ld, %ld\n", status[0], status[1], status[2],
                  list[0], list[1], list[2]);
    assert_in_range(status[0], 1, 30);
    assert_int_equal(status[1], status[0]);
    assert_int_equal(status[2], status[0]);
    assert_in_range(list[1] - list[0], 100, 100 * 12);
    assert_in_range(list[2] - list[1], list[1] - list[0] - 5, list[1] - list[0] + 5); /* of a longer directory, more at once */
}

static size_t entries(const char *path)
{
    DIR *d = opendir(path);
    size_t n = 0;
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

struct left {
    size_t fds, threads, pods, states, run, state, memory;
};

static struct left look(void)
{
    char path[PATH_MAX + 64];
    struct left l = { .fds = entries("/proc/self/fd"), .threads = entries("/proc/self/task") };
    PT_PATH(path, "%s/run/pods", pt_root);
    l.pods = entries(path);
    PT_PATH(path, "%s/state/pods", pt_root);
    l.states = entries(path);
    PT_PATH(path, "%s/run", pt_root);
    l.run = entries(path);
    PT_PATH(path, "%s/state", pt_root);
    l.state = entries(path);
    l.memory = mallinfo2().uordblks;
    return l;
}

#define CYCLES 10000

static void cycles(vc_context *ctx, int n)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(vc_pod_create(ctx, pt_pod(&p, "flat", 1), NULL, NULL), 0);
        assert_int_equal(vc_pod_start(ctx, "flat", NULL), 0);
        assert_int_equal(vc_pod_stop(ctx, "flat", 0, NULL), 0);
        assert_int_equal(vc_pod_delete(ctx, "flat", 0, NULL), 0);
        /* And one that fails. */
        assert_int_equal(vc_pod_start(ctx, "flat", NULL), VC_ERR_NOTFOUND);
    }
}

/* Ten thousand times the same life leaves what a few hundred of them leave (the allocator keeps some of what it was
 * asked for, up to a point). */
static void cycles_are_flat(void **state)
{
    (void)state;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    cycles(ctx, 300);
    struct left before = look();
    cycles(ctx, CYCLES);
    struct left after = look();
    assert_int_equal(after.fds, before.fds);
    assert_int_equal(after.threads, before.threads);
    assert_int_equal(after.pods, before.pods);
    assert_int_equal(after.states, before.states);
    assert_int_equal(after.run, before.run);
    assert_int_equal(after.state, before.state);
    /* What is lost is a chunk of the allocator, 16 bytes at least, in each cycle; its caches, which count as used, hold a few
     * KiB. */
    assert_true(after.memory < before.memory + CYCLES * 16);
    vc_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_is_linear),
        cmocka_unit_test(calls_are_linear),
        cmocka_unit_test(cycles_are_flat),
    };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
