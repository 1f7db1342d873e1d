/* SPDX-License-Identifier: Apache-2.0 */
/* test-plug.c: the conveniences of a plugin, run on the fake host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/plug.h"
#include "unit/fakehost.h"

static const struct vc_option options[] = {
    { "name", VC_OPT_STRING, 0, 0, 0, NULL, NULL, "a name" },
    { "memory", VC_OPT_SIZE, 0, 0, 0, "256M", NULL, "memory" },
    { "debug", VC_OPT_BOOL, 0, 0, 0, "false", NULL, "talk" },
    { "words", VC_OPT_LIST, 0, 0, 0, "a b c", NULL, "words" },
};
static const struct vc_plugin plugin = {
    .options = options,
    .n_options = 4,
    .option_stride = sizeof(struct vc_option),
};

static void errors_and_logs(void **state)
{
    (void)state;
    struct fakehost fh;
    assert_int_equal(fakehost_init(&fh, &plugin, NULL), 0);
    struct vc_call call = fakehost_call(&fh, 0);
    assert_int_equal(vcs_fail(&fh.host, &call, VC_E_IO, ENOSPC, "cannot write %s", "/x"), VC_E_IO);
    assert_int_equal(fh.err.code, VC_E_IO);
    assert_int_equal(fh.err.sys, ENOSPC);
    assert_string_equal(fh.err.text, "cannot write /x");
    /* What came from a guest or a file does not get into a message as it is. */
    vcs_fail(&fh.host, &call, VC_E_PEER, 0, "said \"%s\"", "a\nb\033[1m\xc2\x9b\xff\xc3\xa4\xe2\x82");
    assert_string_equal(fh.err.text, "said \"a?b?[1m???\xc3\xa4??\"");
    assert_int_equal(vcs_fail(&fh.host, NULL, VC_E_INVAL, 0, "x"), VC_E_INVAL);
    call.err = NULL;
    assert_int_equal(vcs_fail(&fh.host, &call, VC_E_INVAL, 0, "x"), VC_E_INVAL);
    vcs_log(&fh.host, VC_LOG_INFO, "%d pods", 3);
    assert_string_equal(vcs_buf_str(&fh.logged), "3 3 pods\n");
    fakehost_done(&fh);
}

/* Long messages are cut at 1 KiB and never inside a character. */
static void long_messages(void **state)
{
    (void)state;
    struct fakehost fh;
    assert_int_equal(fakehost_init(&fh, &plugin, NULL), 0);
    struct vc_call call = fakehost_call(&fh, 0);
    char text[3001];
    for (int i = 0; i < 3000; i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    text[3000] = '\0';
    vcs_fail(&fh.host, &call, VC_E_IO, 0, "%s", text);
    size_t n = strlen(fh.err.text);
    assert_true(n > 1000 && n <= 1024);
    assert_int_equal(n % 2, 0);
    fakehost_done(&fh);
}

static void reading_options(void **state)
{
    (void)state;
    struct fakehost fh;
    const char *const config[] = { "debug", "true", "name", "abc", NULL };
    assert_int_equal(fakehost_init(&fh, &plugin, NULL), 0);
    vc_config *cfg = fakehost_config(&fh);
    assert_null(vcs_opt_str(&fh.host, cfg, "name"));
    assert_int_equal(vcs_opt_int(&fh.host, cfg, "debug", 7), 0);
    assert_int_equal(vcs_opt_int(&fh.host, cfg, "memory", 7), 256 << 20);
    assert_int_equal(vcs_opt_int(&fh.host, cfg, "name", 7), 7);
    fh.config = config;
    assert_string_equal(vcs_opt_str(&fh.host, cfg, "name"), "abc");
    assert_int_equal(vcs_opt_int(&fh.host, cfg, "debug", 7), 1);
    uint32_t n;
    const char *word;
    assert_int_equal(fh.host.cfg_count(&fh.host, cfg, "words", &n), VC_OK);
    assert_int_equal(n, 3);
    assert_int_equal(fh.host.cfg_str(&fh.host, cfg, "words", 2, &word), VC_OK);
    assert_string_equal(word, "c");
    fakehost_done(&fh);
}

static void paths_and_sinks(void **state)
{
    (void)state;
    struct fakehost fh;
    assert_int_equal(fakehost_init(&fh, &plugin, NULL), 0);
    char *run = vcs_path(&fh.host, VC_PATH_RUN);
    assert_non_null(run);
    assert_memory_equal(run, fh.dir, strlen(fh.dir));
    assert_string_equal(run + strlen(fh.dir), "/run");
    free(run);
    char *config = vcs_path(&fh.host, VC_PATH_CONFIG);
    assert_string_equal(config, "");
    free(config);
    assert_null(vcs_path(&fh.host, 99));
    char *same = config = vcs_path(&fh.host, VC_PATH_RUN);
    assert_int_equal(vcs_path_get(&fh.host, 99, &same), VC_E_INVAL);
    assert_ptr_equal(same, config);
    assert_int_equal(vcs_path_get(&fh.host, VC_PATH_RUN, &same), VC_OK);
    assert_string_equal(same, config);
    free(same);
    free(config);
    vc_sink *sink = fakehost_sink();
    sink->limit = 5;
    assert_int_equal(vcs_put(&fh.host, sink, "abc"), VC_OK);
    assert_int_equal(vcs_put(&fh.host, sink, "def"), VC_E_RESOURCE);
    assert_string_equal(fakehost_sink_text(sink), "abc");
    fakehost_sink_free(sink);
    fakehost_done(&fh);
}

static void sleeper(struct fakehost *fh, struct vc_proc *proc)
{
    const char *const argv[] = { "sleep", "1000", NULL };
    struct vc_spawn sp = { .size = sizeof(sp), .path = "/bin/sleep", .argv = argv, .netns_fd = -1, .stdio = { -1, -1, -1 } };
    struct vc_call call = fakehost_call(fh, 5000);
    assert_int_equal(fh->host.spawn(&fh->host, &call, &sp, proc), VC_OK);
}

static int no_proc_fd(const vc_host *host, const struct vc_proc *proc, int32_t *pidfd)
{
    (void)host;
    (void)proc;
    (void)pidfd;
    return VC_E_RESOURCE;
}

/* Killed, waited for, reaped and off the record; as often as one likes. */
static void processes_end(void **state)
{
    (void)state;
    struct fakehost fh;
    struct vc_proc proc, was;
    assert_int_equal(fakehost_init(&fh, &plugin, NULL), 0);
    struct vc_call call = fakehost_call(&fh, 5000);
    for (int i = 0; i < 3; i++) {
        sleeper(&fh, &proc);
        was = proc;
        assert_int_equal(fh.n_procs, 1);
        if (i == 1) { /* it has ended by itself and waits to be reaped */
            siginfo_t si;
            assert_int_equal(kill(proc.pid, SIGKILL), 0);
            assert_int_equal(waitid(P_PID, (id_t)proc.pid, &si, WEXITED | WNOWAIT), 0);
        }
        assert_int_equal(vcs_proc_end(&fh.host, i == 2 ? NULL : &call, &proc), VC_OK);
        assert_int_equal(proc.pid, 0);
        assert_int_equal(fh.n_procs, 0);
        assert_int_equal(kill(was.pid, 0), -1);
        assert_int_equal(vcs_proc_end(&fh.host, &call, &proc), VC_OK);
        assert_int_equal(vcs_proc_end(&fh.host, &call, &was), VC_OK); /* not on record, and nobody's any more */
    }
    /* What cannot be looked at is not taken for dead. */
    sleeper(&fh, &proc);
    vc_host blind = fh.host;
    blind.proc_fd = no_proc_fd;
    assert_int_equal(vcs_proc_end(&blind, &call, &proc), VC_E_RESOURCE);
    assert_true(proc.pid > 0 && fh.err.code == VC_E_RESOURCE);
    assert_int_equal(kill(proc.pid, 0), 0);
    assert_int_equal(vcs_proc_end(&fh.host, &call, &proc), VC_OK);
    assert_int_equal(fh.n_procs, 0);
    fakehost_done(&fh);
}

/* A test that was killed, or that ended without having tidied up, leaves no directory. */
static void nothing_stays(void **state)
{
    (void)state;
    for (int killed = 0; killed < 2; killed++) {
        struct fakehost *fh = mmap(NULL, sizeof *fh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), mine;
        assert_true(fh != MAP_FAILED);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            if (fakehost_init(fh, NULL, NULL) < 0 || access(fh->dir, F_OK) < 0)
                _exit(1);
            if (killed)
                raise(SIGKILL);
            exit(0);
        }
        int status = -1;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(killed ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
        if (killed) { /* then the next one tidies up, and leaves alone what is in use */
            struct fakehost two;
            assert_int_equal(fakehost_init(&mine, NULL, NULL), 0);
            assert_int_equal(fakehost_init(&two, NULL, NULL), 0);
            assert_int_equal(access(mine.dir, F_OK), 0);
            fakehost_done(&mine);
            fakehost_done(&two);
        }
        assert_int_equal(access(fh->dir, F_OK), -1);
        munmap(fh, sizeof *fh);
    }
}

static void codes(void **state)
{
    (void)state;
    assert_int_equal(vcs_code_of(0), VC_OK);
    assert_int_equal(vcs_code_of(ENOENT), VC_E_NOTFOUND);
    assert_int_equal(vcs_code_of(-ENOENT), VC_E_NOTFOUND);
    assert_int_equal(vcs_code_of(EACCES), VC_E_PERM);
    assert_int_equal(vcs_code_of(EEXIST), VC_E_EXISTS);
    assert_int_equal(vcs_code_of(ETIMEDOUT), VC_E_TIMEOUT);
    assert_int_equal(vcs_code_of(EMFILE), VC_E_RESOURCE);
    assert_int_equal(vcs_code_of(EIO), VC_E_IO);
    assert_int_equal(vcs_code_of(12345), VC_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_and_logs), cmocka_unit_test(long_messages), cmocka_unit_test(reading_options),
        cmocka_unit_test(paths_and_sinks), cmocka_unit_test(processes_end), cmocka_unit_test(codes),
        cmocka_unit_test(nothing_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
