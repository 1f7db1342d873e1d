/* SPDX-License-Identifier: Apache-2.0 */
/* test-last-words.c: virtc with a plugin that crashes, ends the program, or never comes back: it is named, and what was
 * begun is removed by the next gc. */
#include "podtest.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <vc/plugin.h>

#include "calls.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined __SANITIZE_ADDRESS__ || __has_feature(address_sanitizer)
#define SANITIZED 1 /* then a crash is the sanitizer's, with words of its own */
#else
#define SANITIZED 0
#endif

static char said[65536]; /* standard error of the last virtc */

struct child {
    pid_t pid;
    int err; /* its standard error */
};

static struct child start(const char *const *args)
{
    char program[PATH_MAX], conf[PATH_MAX + 128];
    const char *build = getenv("VC_BUILD_DIR") ? getenv("VC_BUILD_DIR") : ".";
    const char *argv[40] = { "virtc", "--config", conf, "--debug" };
    static const char *const stack[] = { "hypervisor=faulty", "agent=faulty", "proxy=faulty", "shim=faulty", "network=faulty" };
    struct child c = { 0 };
    int err[2];
    size_t n = 4;
    PT_PATH(program, "%s/core/virtc/virtc", build);
    PT_PATH(conf, "%s/vccore.conf", pt_root);
    for (size_t i = 0; i < 5; i++) {
        argv[n++] = "--set";
        argv[n++] = stack[i];
    }
    for (size_t i = 0; args[i]; i++)
        argv[n++] = args[i];
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    c.pid = fork();
    assert_true(c.pid >= 0);
    if (c.pid == 0) {
        dup2(err[1], 2);
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 1);
        execv(program, (char *const *)(uintptr_t)argv);
        perror(program);
        _exit(99);
    }
    close(err[1]);
    c.err = err[0];
    said[0] = '\0';
    return c;
}

/* Read what it says until it holds the words, or (NULL) until it ends. */
static void hear(const struct child *c, const char *words)
{
    size_t n = strlen(said);
    while (!words || !strstr(said, words)) {
        struct pollfd p = { .fd = c->err, .events = POLLIN };
        if (poll(&p, 1, 30000) != 1)
            fail_msg("\"%s\" was never said, only: %s", words ? words : "the end", said);
        ssize_t r = read(c->err, said + n, sizeof said - 1 - n);
        if (r <= 0 && words)
            fail_msg("\"%s\" was never said, only: %s", words, said);
        if (r <= 0)
            return;
        n += (size_t)r;
        said[n] = '\0';
    }
}

static int end(const struct child *c)
{
    int status = -1;
    hear(c, NULL);
    close(c->err);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    return status;
}

static int virtc(const char *const *args)
{
    struct child c = start(args);
    return end(&c);
}
#define VIRTC(...) virtc((const char *const[]){ __VA_ARGS__, NULL })

static void assert_said(const char *words)
{
    if (!strstr(said, words))
        fail_msg("\"%s\" was not said, but: %s", words, said);
}

/* The line that names it, with the file that it is. */
static void assert_names(const char *kind, const char *call, const char *rest)
{
    char words[2 * PATH_MAX];
    PT_PATH(words, "virtc: %s plugin \"faulty\" (%s/plugins/%s/faulty.so) in its call %s%s", kind, pt_root, kind, call, rest);
    assert_said(words);
}

static void assert_gc_removes(void)
{
    assert_true(pt_count("state/pods") == 1);
    assert_int_equal(VIRTC("gc"), 0);
    pt_nothing_left();
}

static void test_crash(void **state)
{
    (void)state;
    int status = VIRTC("--set", "hypervisor_faulty.crash=vm_start", "--set", "hypervisor_faulty.ends=abort", "--set",
                       "hypervisor_faulty.process=true", "pod", "create", "--name", "a");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_names("hypervisor", "vm_start", " has ended the program by abort (SIGABRT)");
    assert_gc_removes();
    if (SANITIZED)
        return;
    status = VIRTC("--set", "network_faulty.crash=create", "--set", "network_faulty.ends=segv", "pod", "create", "--name", "b");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_names("network", "create", " has crashed (SIGSEGV)");
    assert_gc_removes();
    /* The handler has a stack of its own. */
    status = VIRTC("--set", "agent_faulty.crash=connect", "--set", "agent_faulty.ends=overflow", "pod", "create", "--name", "c");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_names("agent", "connect", " has crashed (SIGSEGV)");
    assert_gc_removes();
}

/* Outside of a thread that can be cancelled, too. */
static void test_crash_in_delete(void **state)
{
    (void)state;
    assert_int_equal(VIRTC("pod", "create", "--name", "d"), 0);
    int status = VIRTC("--set", "hypervisor_faulty.crash=vm_stop", "--set", "hypervisor_faulty.ends=abort", "pod", "delete", "d");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_names("hypervisor", "vm_stop", " has ended the program by abort (SIGABRT)");
    assert_int_equal(VIRTC("pod", "delete", "--force", "d"), 0);
    pt_nothing_left();
}

/* exit(0) in a plugin is no success. */
static void test_exit(void **state)
{
    (void)state;
    char rootfs[PATH_MAX + 128];
    PT_PATH(rootfs, "%s/rootfs", pt_root);
    int status = VIRTC("--set", "agent_faulty.crash=connect", "--set", "agent_faulty.ends=exit", "pod", "create", "--name", "e");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_names("agent", "connect", " has ended the program (exit)");
    assert_gc_removes();
    status = VIRTC("--set", "agent_faulty.crash=connect", "--set", "agent_faulty.ends=exit", "run", "--rootfs", rootfs, "--", "true");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 125);
    assert_gc_removes();
}

static void test_json(void **state)
{
    (void)state;
    int status = VIRTC("--json", "--set", "network_faulty.crash=create", "--set", "network_faulty.ends=abort", "pod", "create");
    assert_true(WIFSIGNALED(status));
    assert_said("{\"error\":{\"code\":\"failed\",\"message\":\"network plugin \\\"faulty\\\" (");
    assert_said("in its call create has ended the program by abort (SIGABRT); `virtc gc' removes what is left\"}}\n");
    assert_gc_removes();
}

/* A crash that is no plugin's is not said to be one's. */
static void test_no_plugin(void **state)
{
    (void)state;
    struct child c = start((const char *const[]){ "--set", "agent_faulty.wait=connect", "pod", "create", "--name", "n", NULL });
    hear(&c, "connect waits");
    assert_int_equal(kill(c.pid, SIGABRT), 0);
    int status = end(&c);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_null(strstr(said, "by abort (SIGABRT)"));
    assert_said("the program has crashed, or was ended, while it was in agent plugin \"faulty\"");
    assert_gc_removes();
}

/* The first signal asks, and nothing comes of it; a later one ends the program. */
static void hang(const char *setting, const char *words, const char *kind, const char *call)
{
    int status = -1, sent = 0;
    char kinds[64];
    PT_PATH(kinds, "%s_faulty.ends=hang", kind);
    struct child c = start((const char *const[]){ "--set", setting, "--set", kinds, "pod", "create", "--name", "h", NULL });
    hear(&c, words);
    int fd = (int)syscall(SYS_pidfd_open, c.pid, 0);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    assert_true(fd >= 0);
    for (; sent < 200 && poll(&p, 1, sent ? 50 : 0) == 0; sent++)
        assert_int_equal(kill(c.pid, SIGTERM), 0);
    close(fd);
    assert_in_range(sent, 2, 199);
    status = end(&c);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_said("virtc: ended at the second signal, while waiting for ");
    char plugin[PATH_MAX + 128];
    PT_PATH(plugin, "%s plugin \"faulty\" (%s/plugins/%s/faulty.so) in its call %s", kind, pt_root, kind, call);
    assert_said(plugin);
    assert_gc_removes();
}

static void test_hang(void **state)
{
    (void)state;
    hang("network_faulty.crash=create", "create hangs", "network", "create");
    hang("hypervisor_faulty.crash=vm_start", "vm_start hangs", "hypervisor", "vm_start");
}

/* One signal is enough for a plugin that can be cancelled, and two at once are one, as timeout(1) sends them. */
static void test_cancel(void **state)
{
    (void)state;
    struct child c = start((const char *const[]){ "--set", "agent_faulty.wait=connect", "pod", "create", "--name", "k", NULL });
    hear(&c, "connect waits");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    assert_int_equal(kill(c.pid, SIGHUP), 0);
    int status = end(&c);
    assert_true(WIFSIGNALED(status));
    assert_null(strstr(said, "second signal"));
    assert_said("cancelled");
    pt_nothing_left();
}

/* For programs other than virtc. */
static void test_api(void **state)
{
    (void)state;
    char text[16] = "x";
    assert_int_equal(vc_plugin_calls(0, text, sizeof text), 0);
    assert_string_equal(text, "");
    assert_int_equal(vc_plugin_calls(VC_CALLS_OF_THREAD, NULL, 0), 0);
}

/* Of many calls at once, in whatever order they end, those that go on are told. */
static void test_many_calls(void **state)
{
    (void)state;
    int slot[70];
    char text[8192];
    for (int i = 0; i < 70; i++)
        slot[i] = vci_calls_enter(VC_KIND_AGENT, "a", "/a.so", "ask");
    size_t room = 0;
    for (int i = 0; i < 70; i++)
        room += slot[i] >= 0;
    assert_true(room >= 64);
    assert_int_equal(vc_plugin_calls(VC_CALLS_OF_THREAD, text, sizeof text), room);
    for (int i = 0; i < 70; i++) {
        vci_calls_leave(slot[i]);
        room -= slot[i] >= 0;
        assert_int_equal(vc_plugin_calls(0, text, sizeof text), room);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash), cmocka_unit_test(test_crash_in_delete), cmocka_unit_test(test_exit),
        cmocka_unit_test(test_json),  cmocka_unit_test(test_no_plugin),       cmocka_unit_test(test_hang),
        cmocka_unit_test(test_cancel), cmocka_unit_test(test_api),      cmocka_unit_test(test_many_calls),
    };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
