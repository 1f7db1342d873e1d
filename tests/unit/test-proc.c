/* SPDX-License-Identifier: Apache-2.0 */
/* test-proc.c: processes are known by pid and start time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/proc.h"

/* A child that stays until it is killed. */
static struct vc_proc sleeper(void)
{
    struct vc_proc p;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, "a) S (b c");
        for (;;)
            pause();
    }
    assert_true(pid > 0);
    assert_int_equal(vcs_proc_identify(pid, &p), 0);
    return p;
}

static void own_process(void **state)
{
    (void)state;
    uint64_t ticks;
    char letter;
    struct vc_proc me;
    assert_int_equal(vcs_proc_stat(getpid(), &ticks, &letter), 0);
    assert_int_equal(letter, 'R');
    assert_true(ticks > 0);
    assert_int_equal(vcs_proc_identify(getpid(), &me), 0);
    assert_int_equal(me.start_ticks, ticks);
    assert_int_equal(vcs_proc_alive(&me), 1);
    assert_int_equal(vcs_proc_kill(&me, 0), 0);
    assert_int_equal(vcs_proc_stat(0, &ticks, &letter), -ESRCH);
    assert_int_equal(vcs_proc_stat(-1, &ticks, &letter), -ESRCH);
    assert_int_equal(vcs_proc_stat(INT32_MAX, &ticks, &letter), -ESRCH);
}

static void kill_and_wait(void **state)
{
    (void)state;
    struct vc_proc p = sleeper();
    int status;
    assert_int_equal(vcs_proc_wait(&p, vcs_now_ns() + 20000000, &status), -ETIMEDOUT);
    int fd = vcs_proc_fd(&p);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    assert_int_equal(vcs_proc_kill(&p, SIGTERM), 0);
    assert_int_equal(vcs_proc_wait(&p, vcs_now_ns() + 5000000000, &status), 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
    assert_int_equal(vcs_proc_alive(&p), 0);
    assert_int_equal(vcs_proc_kill(&p, SIGTERM), -ESRCH);
    assert_int_equal(vcs_proc_fd(&p), -ESRCH);
    assert_int_equal(vcs_proc_wait(&p, 0, &status), 0);
    assert_int_equal(status, -1);
}

/* A zombie does not run, but can still be reaped. */
static void zombies(void **state)
{
    (void)state;
    int hold[2];
    assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        close(hold[1]);
        _exit(read(hold[0], &c, 1) == 0 ? 42 : 1);
    }
    struct vc_proc p;
    assert_int_equal(vcs_proc_identify(pid, &p), 0);
    close(hold[0]);
    close(hold[1]);
    siginfo_t si;
    assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
    assert_int_equal(vcs_proc_alive(&p), 0);
    assert_int_equal(vcs_proc_fd(&p), -ESRCH);
    assert_int_equal(vcs_proc_kill(&p, SIGTERM), -ESRCH);
    int status;
    assert_int_equal(vcs_proc_wait(&p, 0, &status), 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
}

/* Another process that got the same pid must never be touched. */
static void reused_pid(void **state)
{
    (void)state;
    struct vc_proc p = sleeper(), other = p;
    other.start_ticks -= 1;
    int status;
    assert_int_equal(vcs_proc_alive(&other), 0);
    assert_int_equal(vcs_proc_fd(&other), -ESRCH);
    assert_int_equal(vcs_proc_kill(&other, SIGKILL), -ESRCH);
    assert_int_equal(vcs_proc_wait(&other, 0, &status), 0);
    assert_int_equal(vcs_proc_alive(&p), 1);
    assert_int_equal(vcs_proc_kill(&p, SIGKILL), 0);
    assert_int_equal(vcs_proc_wait(&p, 0, &status), 0);
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* A process that is not our child can be waited for too. */
static void not_a_child(void **state)
{
    (void)state;
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0)
            for (;;)
                pause();
        _exit(write(p[1], &grandchild, sizeof(grandchild)) == sizeof(grandchild) ? 0 : 1);
    }
    pid_t grandchild;
    assert_int_equal(vcs_read_full(p[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
    waitpid(pid, NULL, 0);
    struct vc_proc g;
    int status = 0;
    assert_int_equal(vcs_proc_identify(grandchild, &g), 0);
    assert_int_equal(vcs_proc_kill(&g, SIGKILL), 0);
    assert_int_equal(vcs_proc_wait(&g, vcs_now_ns() + 5000000000, &status), 0);
    assert_int_equal(status, -1);
    close(p[0]);
    close(p[1]);
}

/* Without a descriptor to look with, a process that lives must not go for dead. */
static void no_descriptor_left(void **state)
{
    (void)state;
    struct vc_proc p = sleeper();
    struct rlimit usual, less;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    int next = dup(0), got[2], status;
    assert_true(next >= 0);
    close(next);
    for (int i = 0; i < 2; i++) {
        less = usual;
        less.rlim_cur = (rlim_t)next + (rlim_t)i; /* none, then one: a pidfd, and nothing to read its stat with */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
        got[i] = vcs_proc_fd(&p);
        status = vcs_proc_alive(&p);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
        assert_int_equal(got[i], -EMFILE);
        assert_int_equal(status, 1);
    }
    assert_int_equal(vcs_proc_kill(&p, SIGKILL), 0);
    assert_int_equal(vcs_proc_wait(&p, 0, &status), 0);
    assert_int_equal(vcs_proc_fd(&p), -ESRCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_process), cmocka_unit_test(kill_and_wait), cmocka_unit_test(zombies),
        cmocka_unit_test(reused_pid),  cmocka_unit_test(not_a_child), cmocka_unit_test(no_descriptor_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
