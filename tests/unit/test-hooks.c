/* SPDX-License-Identifier: Apache-2.0 */
/* test-hooks.c: hooks of pods and containers: what they get, when they run, how they end, and what is left.
 * bug-20 and bug-21 of the original: hooks of pods only, a state without id, status and bundle, hooks that outlive
 * their timeout. */
#include "podtest.h"

#include <json-c/json.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

static char out[PATH_MAX + 64];     /* directory into which hooks write */
static char out_env[PATH_MAX + 80]; /* OUT=... */

static int group_setup(void **state)
{
    int r = pt_setup(state);
    PT_PATH(out, "%s/out", pt_root);
    PT_PATH(out_env, "OUT=%s", out);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return r ? r : mkdir(out, 0755);
}

static int fresh(void **state)
{
    char cmd[PATH_MAX + 400];
    (void)state;
    PT_PATH(cmd, "rm -rf %s/*", out);
    return system(cmd);
}

/* ---- hooks that are shell scripts ---- */

struct script {
    struct vc_hook hook;
    const char *args[4], *env[3];
};

static struct vc_hook *script(struct script *s, const char *text)
{
    VC_INIT(&s->hook);
    s->args[0] = "hook";
    s->args[1] = "-c";
    s->args[2] = text;
    s->args[3] = NULL;
    s->env[0] = out_env;
    s->env[1] = "PATH=/usr/bin:/bin";
    s->env[2] = NULL;
    s->hook.path = "/bin/sh";
    s->hook.args = s->args;
    s->hook.env = s->env;
    return &s->hook;
}

/* Up to two hooks of each list. */
struct set {
    struct vc_hooks hooks;
    struct script s[6];
    struct vc_hook *list[6];
};

static struct vc_hooks *set(struct set *h, const char *pre1, const char *pre2, const char *post, const char *stop1,
                            const char *stop2)
{
    const char *texts[6] = { pre1, pre2, post, NULL, stop1, stop2 };
    memset(h, 0, sizeof *h);
    VC_INIT(&h->hooks);
    for (size_t i = 0; i < 6; i++)
        h->list[i] = script(&h->s[i], texts[i]);
    h->hooks.prestart = &h->list[0];
    h->hooks.n_prestart = pre2 ? 2 : pre1 ? 1 : 0;
    h->hooks.poststart = &h->list[2];
    h->hooks.n_poststart = post ? 1 : 0;
    h->hooks.poststop = &h->list[4];
    h->hooks.n_poststop = stop2 ? 2 : stop1 ? 1 : 0;
    return &h->hooks;
}

#define NOTE(name) "cat > $OUT/" name "; echo " name " >> $OUT/order"

static char *slurp(const char *name)
{
    static char buf[512 * 1024];
    char path[2 * PATH_MAX];
    PT_PATH(path, "%s/%s", out, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    for (ssize_t k; fd >= 0 && n < sizeof buf - 1 && (k = read(fd, buf + n, sizeof buf - 1 - n)) > 0;)
        n += (size_t)k;
    buf[n] = '\0';
    if (fd >= 0)
        close(fd);
    return fd < 0 ? NULL : buf;
}

/* Wait until a hook has written that file, at most 20 s. */
static char *await(const char *name)
{
    static const struct timespec pause = { .tv_nsec = 2000000 };
    char *text = slurp(name);
    for (int i = 0; (!text || !*text) && i < 10000; i++) {
        nanosleep(&pause, NULL);
        text = slurp(name);
    }
    assert_non_null(text);
    return text;
}

static json_object *state_in(const char *name)
{
    char *text = slurp(name);
    if (!text)
        fail_msg("there is no %s", name);
    json_object *o = json_tokener_parse(text);
    if (!json_object_is_type(o, json_type_object))
        fail_msg("%s holds no state: %s", name, text);
    return o;
}

static const char *word(json_object *o, const char *key)
{
    json_object *v = NULL;
    if (!json_object_object_get_ex(o, key, &v))
        fail_msg("the state has no \"%s\": %s", key, json_object_to_json_string(o));
    return json_object_get_string(v);
}

static int number(json_object *o, const char *key)
{
    json_object *v = NULL;
    assert_true(json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_int));
    return json_object_get_int(v);
}

static size_t open_fds(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    closedir(d);
    return n;
}

static int gone(const char *name)
{
    int pid = (int)strtol(await(name), NULL, 10);
    assert_in_range(pid, 2, 1 << 30);
    while (waitpid(-1, NULL, WNOHANG) > 0) /* what was left to us as their subreaper */
        continue;
    return kill(pid, 0) < 0 && errno == ESRCH;
}

/* A process that was killed becomes ours, and ends within a moment. */
static void await_gone(const char *name)
{
    static const struct timespec pause = { .tv_nsec = 2000000 };
    for (int i = 0; i < 5000 && !gone(name); i++)
        nanosleep(&pause, NULL);
    assert_true(gone(name));
}

/* ---- what they get ---- */

static void check_state(const char *file, const char *id, const char *status, const char *bundle, int pid)
{
    json_object *o = state_in(file), *a = NULL, *v = NULL;
    assert_string_equal(word(o, "ociVersion"), "1.0.2");
    assert_string_equal(word(o, "id"), id);
    assert_string_equal(word(o, "status"), status);
    assert_string_equal(word(o, "bundle"), bundle);
    if (pid)
        assert_in_range(number(o, "pid"), 2, 1 << 30);
    else
        assert_int_equal(number(o, "pid"), 0);
    assert_true(json_object_object_get_ex(o, "annotations", &a));
    assert_true(json_object_object_get_ex(a, "with", &v));
    assert_string_equal(json_object_get_string(v), "a=b");
    json_object_put(o);
}

/* bug-21: the whole state, at each point, in the order of the lists. */
static void test_pod(void **state)
{
    static const char *const notes[] = { "with=a=b",
                                         "com.github.containers.virtcontainers.pkg.oci.bundle_path=/the/bundle", NULL };
    struct pt_pod p;
    struct set h;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    (void)state;
    size_t fds = open_fds();
    pt_pod(&p, "p", 1);
    p.pod.annotations = notes;
    p.pod.hooks =
        set(&h, NOTE("pre1"), NOTE("pre2") "; echo $$ > $OUT/pid", NOTE("post"), NOTE("stop1"), NOTE("stop2"));
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    assert_string_equal(slurp("order"), "pre1\npre2\n");
    PT_OK(vc_pod_start(ctx, "p", &err));
    assert_string_equal(slurp("order"), "pre1\npre2\npost\n");
    PT_OK(vc_pod_stop(ctx, "p", 0, &err));
    assert_string_equal(slurp("order"), "pre1\npre2\npost\nstop1\nstop2\n");
    PT_OK(vc_pod_stop(ctx, "p", 0, &err)); /* again: nothing is owed any more */
    PT_OK(vc_pod_delete(ctx, "p", 0, &err));
    assert_string_equal(slurp("order"), "pre1\npre2\npost\nstop1\nstop2\n");
    check_state("pre1", "p", "creating", "/the/bundle", 1);
    check_state("pre2", "p", "creating", "/the/bundle", 1);
    check_state("post", "p", "running", "/the/bundle", 1);
    check_state("stop1", "p", "stopped", "/the/bundle", 0);
    /* Nothing of the pod runs yet: the process that is in its namespace is the hook. */
    json_object *o = state_in("pre2");
    assert_int_equal(number(o, "pid"), strtol(slurp("pid"), NULL, 10));
    json_object_put(o);
    pt_nothing_left();
    assert_int_equal(open_fds(), fds);
    vc_context_free(ctx);
}

/* Arguments and environment exactly as given; nothing of this process's. */
static void test_exact(void **state)
{
    static const char *const env[] = { "A=b=c", "EMPTY=", "LINES=1\n2", NULL };
    struct pt_pod p;
    struct set h;
    char save[3 * PATH_MAX], text[4 * PATH_MAX];
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    (void)state;
    setenv("OF_THIS_PROCESS", "1", 1);
    PT_PATH(save, "/bin/cat /proc/$$/environ > %s/env; /bin/cat /proc/$$/cmdline > %s/args", out, out);
    pt_pod(&p, "p", 0);
    p.pod.hooks = set(&h, save, NULL, NULL, NULL, NULL);
    h.s[0].hook.env = env;
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    static const char want_env[] = "A=b=c\0EMPTY=\0LINES=1\n2";
    assert_memory_equal(slurp("env"), want_env, sizeof want_env);
    size_t n = (size_t)snprintf(text, sizeof text, "hook%c-c%c%s", 0, 0, save);
    assert_memory_equal(slurp("args"), text, n + 1);
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    fresh(NULL);

    pt_pod(&p, "p", 0);
    p.pod.hooks = set(&h, save, NULL, NULL, NULL, NULL);
    h.s[0].hook.env = NULL;
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    assert_string_equal(slurp("env"), "");
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));

    /* No arguments: argv is the path alone. */
    pt_pod(&p, "p", 0);
    p.pod.hooks = set(&h, "", NULL, NULL, NULL, NULL);
    h.s[0].hook.path = "/bin/true";
    h.s[0].hook.args = NULL;
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    unsetenv("OF_THIS_PROCESS");
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A state that no pipe holds, for a hook that reads it and for one that does not. */
static void test_large(void **state)
{
    struct pt_pod p;
    struct set h;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    static char note[200 * 1024];
    const char *const notes[] = { note, NULL };
    (void)state;
    memset(note, 'x', sizeof note - 1);
    memcpy(note, "with=", 5);
    pt_pod(&p, "p", 0);
    p.pod.annotations = notes;
    p.pod.hooks = set(&h, NOTE("pre1"), "exec true", "exec </dev/null; exec sleep 0.01", NULL, NULL);
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    json_object *o = state_in("pre1");
    json_object *a = NULL, *v = NULL;
    assert_true(json_object_object_get_ex(o, "annotations", &a) && json_object_object_get_ex(a, "with", &v));
    assert_int_equal(json_object_get_string_len(v), sizeof note - 6);
    json_object_put(o);
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    vc_context_free(ctx);
}

/* ---- how they end ---- */

static void refused(vc_context *ctx, struct vc_pod_config *pod, int code, const char *const *words)
{
    vc_error *err = NULL;
    int rc = vc_pod_run(ctx, pod, NULL, &err);
    for (; *words; words++)
        if (!strstr(vc_error_text(err), *words))
            fail_msg("\"%s\" does not say \"%s\"", vc_error_text(err), *words);
    if (rc != code)
        fail_msg("code %s: %s", vc_error_name(rc), vc_error_text(err));
    vc_error_free(err);
    /* What was killed with a hook is ours now, and ends within a moment. */
    static const struct timespec pause = { .tv_nsec = 2000000 };
    for (int i = 0; i < 5000 && waitpid(-1, NULL, WNOHANG) >= 0; i++)
        nanosleep(&pause, NULL);
    pt_nothing_left();
}

#define SAYS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_failures(void **state)
{
    struct pt_pod p;
    struct set h;
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", NULL, NULL, NULL);
    (void)state;
    size_t fds = open_fds();
    pt_pod(&p, "p", 1);
    /* The first failure ends it: neither the second hook nor the start comes; what the first may have done is undone.
     */
    p.pod.hooks = set(&h, "echo to out; echo no bridge >&2; echo more >&2; exit 3", NOTE("pre2"), NOTE("post"),
                      NOTE("stop1"), NULL);
    refused(ctx, &p.pod, VC_ERR_PEER,
            SAYS("prestart hook 1 of 2 of pod \"p\" (/bin/sh) ended with exit status 3", "stderr: no bridge | more",
                 "stdout: to out"));
    assert_string_equal(slurp("order"), "stop1\n");
    fresh(NULL);
    p.pod.hooks = set(&h, NOTE("pre1"), "kill -9 $$", NULL, NULL, NULL);
    refused(ctx, &p.pod, VC_ERR_PEER, SAYS("prestart hook 2 of 2", "signal 9", "Killed"));
    assert_string_equal(slurp("order"), "pre1\n");
    p.pod.hooks = set(&h, "", NULL, NULL, NULL, NULL);
    h.s[0].hook.path = "/nowhere/hook";
    refused(ctx, &p.pod, VC_ERR_CONFIG, SAYS("prestart hook 1", "/nowhere/hook"));
    h.s[0].hook.path = "/etc/passwd";
    refused(ctx, &p.pod, VC_ERR_CONFIG, SAYS("prestart hook 1", "/etc/passwd", "executed"));
    /* What a hook prints cannot play with a terminal. */
    p.pod.hooks = set(&h, "printf 'red \\033[31m\\n' >&2; exit 1", NULL, NULL, NULL, NULL);
    refused(ctx, &p.pod, VC_ERR_PEER, SAYS("red \\x1b[31m"));
    assert_int_equal(open_fds(), fds);
    vc_context_free(ctx);
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* bug-21: a hook does not outlive its timeout, nor do the processes it has started. */
static void test_timeout(void **state)
{
    struct pt_pod p;
    struct set h;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    (void)state;
    pt_pod(&p, "p", 0);
    p.pod.hooks =
        set(&h, "sleep 1000 & echo $! > $OUT/child; echo $$ > $OUT/self; echo stuck >&2; wait", NULL, NULL, NULL, NULL);
    h.s[0].hook.timeout = 1;
    int64_t began = now_ms();
    refused(ctx, &p.pod, VC_ERR_TIMEOUT, SAYS("prestart hook 1 of 1", "timeout of 1 s", "killed", "stderr: stuck"));
    assert_in_range(now_ms() - began, 900, 20000);
    await_gone("child");
    await_gone("self");
    fresh(NULL);
    /* One that writes without end is no exception; nor one that ignores signals. */
    p.pod.hooks = set(&h, "trap '' TERM INT HUP; echo $$ > $OUT/self; yes; yes", NULL, NULL, NULL, NULL);
    h.s[0].hook.timeout = 1;
    refused(ctx, &p.pod, VC_ERR_TIMEOUT, SAYS("timeout of 1 s", "stdout: y | y | y"));
    await_gone("self");
    vc_context_free(ctx);
    fresh(NULL);
    /* Without one of its own, the deadline of the operation is what ends it; with a longer one, too. */
    ctx = pt_context("mock", "create_timeout=1", NULL, NULL, NULL);
    p.pod.hooks = set(&h, "echo $$ > $OUT/self; sleep 1000", NULL, NULL, NULL, NULL);
    refused(ctx, &p.pod, VC_ERR_TIMEOUT, SAYS("deadline of the operation"));
    h.s[0].hook.timeout = 1000;
    refused(ctx, &p.pod, VC_ERR_TIMEOUT, SAYS("deadline of the operation"));
    await_gone("self");
    /* So it is with one that cannot even be executed: the file system that it is on does not answer. */
    char path[2 * PATH_MAX];
    PT_PATH(path, "%s/stuck", out);
    pt_copy("/bin/true", path);
    int lease = open(path, O_RDONLY | O_CLOEXEC);
    signal(SIGIO, SIG_IGN);
    if (fcntl(lease, F_SETLEASE, F_WRLCK) == 0) { /* who opens it waits until this process gives it up */
        h.s[0].hook.path = path;
        began = now_ms();
        refused(ctx, &p.pod, VC_ERR_TIMEOUT, SAYS("prestart hook 1 of 1", "/stuck", "could not be executed before the deadline"));
        assert_in_range(now_ms() - began, 900, 20000);
    }
    signal(SIGIO, SIG_DFL);
    close(lease);
    vc_context_free(ctx);
}

/* Output without a reader would stop a hook; it is read, and what is too much is dropped. */
static void test_output(void **state)
{
    struct pt_pod p;
    struct set h;
    char path[2 * PATH_MAX];
    struct stat st;
    PT_PATH(path, "%s/log", out);
    pt_log_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    (void)state;
    pt_pod(&p, "p", 0);
    p.pod.hooks =
        set(&h, "echo the first line; yes | head -c 3000000; yes | head -c 3000000 >&2", NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    char *log = slurp("log");
    assert_non_null(strstr(log, "prestart hook 1 of 1 of pod \"p\" (/bin/sh), stdout: the first line"));
    assert_non_null(strstr(log, ", stderr: y"));
    assert_int_equal(stat(path, &st), 0);
    assert_in_range(st.st_size, 200 * 20, 300 * 200); /* a hundred lines of each */
    assert_non_null(strstr(log, ", stdout: more follows"));
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    vc_context_free(ctx);
    close(pt_log_fd);
    pt_log_fd = 0;
}

/* A hook may start what goes on, also with its output: nobody waits for that. */
static void test_daemon(void **state)
{
    struct pt_pod p;
    struct set h;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    (void)state;
    pt_pod(&p, "p", 0);
    p.pod.hooks = set(&h, "sleep 1000 & echo $! > $OUT/daemon", NULL, NULL, "kill `cat $OUT/daemon`", NULL);
    int64_t began = now_ms();
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    assert_in_range(now_ms() - began, 0, 20000);
    assert_false(gone("daemon"));
    PT_OK(vc_pod_stop(ctx, "p", 0, &err));
    await_gone("daemon");
    PT_OK(vc_pod_delete(ctx, "p", 0, &err));
    vc_context_free(ctx);
}

/* After the start nothing is undone for a hook, and after the stop nothing is kept; the others run. */
static void test_only_logged(void **state)
{
    struct pt_pod p;
    struct set h;
    char path[2 * PATH_MAX];
    PT_PATH(path, "%s/log", out);
    pt_log_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    (void)state;
    pt_pod(&p, "p", 1);
    p.pod.hooks = set(&h, NULL, NULL, "echo late >&2; exit 4", "exit 5", NOTE("stop2"));
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    PT_OK(vc_pod_start(ctx, "p", &err));
    char *log = slurp("log");
    assert_non_null(
        strstr(log, "poststart hook 1 of 1 of pod \"p\" (/bin/sh) ended with exit status 4; its stderr: late"));
    PT_OK(vc_pod_stop(ctx, "p", 0, &err));
    assert_non_null(strstr(slurp("log"), "poststop hook 1 of 2 of pod \"p\" (/bin/sh) ended with exit status 5"));
    assert_string_equal(slurp("order"), "stop2\n");
    PT_OK(vc_pod_delete(ctx, "p", 0, &err));
    vc_context_free(ctx);
    close(pt_log_fd);
    pt_log_fd = 0;
    pt_nothing_left();
}

/* A program that has its children reaped by the kernel: how the hook ended cannot be known, and is not made up. */
static void test_sigchld(void **state)
{
    struct pt_pod p;
    struct set h;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    (void)state;
    signal(SIGCHLD, SIG_IGN);
    pt_pod(&p, "p", 0);
    p.pod.hooks = set(&h, "exit 0", NULL, NULL, NULL, NULL);
    refused(ctx, &p.pod, VC_ERR_PEER, SAYS("how is not known", "SIGCHLD"));
    signal(SIGCHLD, SIG_DFL);
    vc_context_free(ctx);
}

/* The VM of a template is of no use and another one boots, in another network: for each network there are both. */
static void test_boot_instead(void **state)
{
    struct pt_pod p;
    struct set h;
    (void)state;
    vc_context *good =
        pt_context("faulty", "hypervisor_faulty.templates=yes", "agent_faulty.templates=yes", NULL, NULL);
    PT_OK(vc_template_create(good, 0, NULL, &err));
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.templates=yes", "agent_faulty.templates=yes",
                                 "agent_faulty.fail=renew", "agent_faulty.code=-14");
    pt_pod(&p, "p", 1);
    p.pod.vm_template = VC_TEMPLATE_AUTO;
    p.pod.hooks = set(&h, NOTE("pre"), NULL, NOTE("post"), NOTE("stop"), NULL);
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    assert_string_equal(slurp("order"), "pre\nstop\npre\npost\n");
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    assert_string_equal(slurp("order"), "pre\nstop\npre\npost\nstop\n");
    pt_nothing_left();
    vc_context_free(ctx);
    vc_context_free(good);
}

static void *cancel(void *ctx)
{
    await("self");
    vc_context_cancel(ctx);
    return NULL;
}

static void test_cancel(void **state)
{
    struct pt_pod p;
    struct set h;
    pthread_t t;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    (void)state;
    pt_pod(&p, "p", 0);
    p.pod.hooks = set(&h, "echo $$ > $OUT/self; sleep 1000", NOTE("pre2"), NULL, NOTE("stop1"), NULL);
    assert_int_equal(pthread_create(&t, NULL, cancel, ctx), 0);
    refused(ctx, &p.pod, VC_ERR_CANCELLED, SAYS("prestart hook 1", "cancelled"));
    pthread_join(t, NULL);
    await_gone("self");
    assert_string_equal(slurp("order"), "stop1\n"); /* undoing is not cancelled */
    vc_context_free(ctx);
}

/* ---- across processes ---- */

static int in_child(int (*fn)(vc_context *))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn(pt_context("mock", NULL, NULL, NULL, NULL)) < 0);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static struct pt_pod shared;
static struct set shared_set, shared_ctr_set;

static int run_shared(vc_context *ctx)
{
    return vc_pod_run(ctx, &shared.pod, NULL, NULL);
}

static int start_shared(vc_context *ctx)
{
    return vc_pod_start(ctx, "p", NULL);
}

/* Each operation in another process: the record has the hooks. */
static void test_other_process(void **state)
{
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    (void)state;
    pt_pod(&shared, "p", 1);
    shared.pod.hooks = set(&shared_set, NOTE("pre"), NULL, NOTE("post"), NOTE("stop"), NULL);
    shared.ctr[0].hooks = set(&shared_ctr_set, NOTE("cpre"), NULL, NOTE("cpost"), NOTE("cstop"), NULL);
    assert_int_equal(in_child(run_shared), 0);
    assert_string_equal(slurp("order"), "pre\ncpre\ncpost\npost\n");
    PT_OK(vc_pod_stop(ctx, "p", 0, &err));
    assert_string_equal(slurp("order"), "pre\ncpre\ncpost\npost\nstop\n");
    /* A second life: the container's first one is over when it is made again. */
    assert_int_equal(in_child(start_shared), 0);
    assert_string_equal(slurp("order"), "pre\ncpre\ncpost\npost\nstop\npre\ncstop\ncpre\ncpost\npost\n");
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    assert_string_equal(slurp("order"), "pre\ncpre\ncpost\npost\nstop\npre\ncstop\ncpre\ncpost\npost\ncstop\nstop\n");
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A hook whose caller is killed does not go on for ever: gc ends it, with its group, and the pod. */
static void test_killed_caller(void **state)
{
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    size_t removed = 0;
    (void)state;
    pt_pod(&shared, "p", 1);
    shared.pod.hooks = set(&shared_set, "sleep 1000 & echo $! > $OUT/child; echo $$ > $OUT/self; wait", NULL, NULL,
                           NOTE("stop"), NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(run_shared(pt_context("mock", NULL, NULL, NULL, NULL)) < 0);
    await("self");
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(gone("child"));
    PT_OK(vc_gc(ctx, NULL, NULL, &removed, &err));
    assert_int_equal(removed, 1);
    await_gone("self");
    await_gone("child");
    assert_string_equal(slurp("order"), "stop\n"); /* what the killed one may have done is undone */
    pt_nothing_left();
    vc_context_free(ctx);
}

/* ---- containers ---- */

/* bug-20: containers have hooks of their own, also those that are added later. */
static void test_container(void **state)
{
    static const char *const notes[] = { "with=a=b", "io.katacontainers.pkg.oci.bundle_path=/its/bundle", NULL };
    struct pt_pod p;
    struct set h;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    (void)state;
    pt_pod(&p, "p", 2);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "p", 1), NULL, &err));
    pt_pod(&p, "p", 2);
    p.ctr[1].annotations = notes;
    p.ctr[1].hooks = set(&h, NOTE("pre"), NULL, NOTE("post"), NOTE("stop"), NULL);
    PT_OK(vc_container_create(ctx, "p", &p.ctr[1], NULL, &err));
    assert_string_equal(slurp("order"), "pre\n");
    PT_OK(vc_container_start(ctx, "p", "c1", &err));
    PT_OK(vc_container_stop(ctx, "p", "c1", -1, &err));
    assert_string_equal(slurp("order"), "pre\npost\n");
    /* Started again, it is removed first and made again. */
    PT_OK(vc_container_start(ctx, "p", "c1", &err));
    assert_string_equal(slurp("order"), "pre\npost\nstop\npre\npost\n");
    PT_OK(vc_container_delete(ctx, "p", "c1", VC_FORCE, &err));
    assert_string_equal(slurp("order"), "pre\npost\nstop\npre\npost\nstop\n");
    check_state("pre", "c1", "creating", "/its/bundle", 1);
    check_state("post", "c1", "running", "/its/bundle", 1);
    check_state("stop", "c1", "stopped", "/its/bundle", 0);
    /* A failing one: the container is not there, the pod goes on. */
    p.ctr[1].hooks = set(&h, "exit 7", NULL, NULL, NOTE("undone"), NULL);
    PT_FAILS(VC_ERR_PEER, "prestart hook 1 of 1 of container \"c1\"",
             vc_container_create(ctx, "p", &p.ctr[1], NULL, &err));
    assert_non_null(slurp("undone"));
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, "p", &s, &err));
    assert_string_equal(s->state, "running");
    assert_int_equal(s->n_containers, 1);
    vc_pod_status_free(s);
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* What prestart hooks have begun is ended by poststop hooks, even when the guest does not take part in undoing. */
static void test_deaf_guest(void **state)
{
    struct pt_pod p;
    struct set h;
    vc_context *ctx = pt_context("faulty", NULL, NULL, NULL, NULL);
    vc_context *deaf = pt_context("faulty", "shim_faulty.fail=start", "agent_faulty.fail=ctr_remove", NULL, NULL);
    (void)state;
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "p", 1), NULL, &err));
    pt_pod(&p, "p", 2);
    p.ctr[1].hooks = set(&h, NOTE("pre"), NULL, NULL, NOTE("stop"), NULL);
    PT_FAILS(VC_ERR_IO, "start", vc_container_create(deaf, "p", &p.ctr[1], NULL, &err));
    assert_string_equal(slurp("order"), "pre\nstop\n");
    PT_OK(vc_container_create(ctx, "p", &p.ctr[1], NULL, &err)); /* it is not there */
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(deaf);
    vc_context_free(ctx);
}

/* The network namespace can be gone before the container is: after a restart of the host, say. */
static void test_no_netns_any_more(void **state)
{
    struct pt_pod p;
    struct set h;
    char path[PATH_MAX + 128];
    static char text[65536], more[70000];
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    (void)state;
    pt_pod(&p, "p", 1);
    p.ctr[0].hooks = set(&h, NOTE("pre"), NULL, NULL, NOTE("stop"), NULL);
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    PT_PATH(path, "%s/state/pods/p/pod.json", pt_root);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof text - 1);
    assert_true(n > 0);
    char *at = strstr(text, "\"data\":{");
    assert_non_null(at);
    at += strlen("\"data\":{");
    int len = snprintf(more, sizeof more, "%.*s\"netns\":\"1:1 /nowhere\",%s", (int)(at - text), text, at);
    assert_int_equal(pwrite(fd, more, (size_t)len, 0), len);
    close(fd);
    PT_OK(vc_container_delete(ctx, "p", "c0", VC_FORCE, &err));
    assert_string_equal(slurp("order"), "pre\nstop\n");
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

#define SPEC(hooks) "{\"process\":{\"args\":[\"true\"],\"cwd\":\"/\"},\"hooks\":" hooks "}"

/* bug-20: hooks of config.json, before those of the configuration; what runs inside the container is refused. */
static void test_spec(void **state)
{
    struct pt_pod p;
    struct set h;
    char spec[8 * PATH_MAX];
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    (void)state;
#define ONE(name)                                                                                                      \
    "[{\"path\":\"/bin/sh\",\"args\":[\"h\",\"-c\",\"/bin/cat >$OUT/x; echo " name                                     \
    " >> $OUT/order\"],\"env\":[\"%s\"],\"timeout\":9}]"
    snprintf(spec, sizeof spec,
             SPEC("{\"createRuntime\":" ONE("create") ",\"prestart\":" ONE("pre") ",\"poststart\":" ONE(
                 "post") ",\"poststop\":" ONE("stop") ",\"startContainer\":[]}"),
             out_env, out_env, out_env, out_env);
    pt_pod(&p, "p", 1);
    p.ctr[0].spec_json = spec;
    p.process.args = NULL;
    p.ctr[0].hooks = set(&h, NOTE("mine"), NULL, NULL, NULL, NULL);
    PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    assert_string_equal(slurp("order"), "pre\ncreate\nmine\npost\nstop\n");
    static const struct {
        const char *spec, *says;
        int code;
    } wrong[] = {
        { SPEC("{\"createContainer\":[{\"path\":\"/h\"}]}"), "createContainer", VC_ERR_UNSUPPORTED },
        { SPEC("{\"startContainer\":[{\"path\":\"/h\"}]}"), "startContainer", VC_ERR_UNSUPPORTED },
        { SPEC("{\"prestop\":[{\"path\":\"/h\"}]}"), "prestop", VC_ERR_UNSUPPORTED },
        { SPEC("{\"prestart\":[{\"path\":\"/h\"},{\"path\":\"h\"}]}"), "prestart hook 2", VC_ERR_INVAL },
        { SPEC("{\"prestart\":[{\"path\":\"/h\",\"timeout\":0}]}"), "timeout", VC_ERR_INVAL },
        { SPEC("{\"prestart\":[{\"path\":\"/h\",\"args\":[1]}]}"), "args", VC_ERR_INVAL },
        { SPEC("{\"prestart\":[{\"path\":\"/h\",\"env\":[\"x\"]}]}"), "NAME=VALUE", VC_ERR_INVAL },
        { SPEC("{\"prestart\":{}}"), "prestart", VC_ERR_INVAL },
        { SPEC("[]"), "hooks", VC_ERR_INVAL },
        { "{\"process\":{\"args\":[\"true\"],\"cwd\":\"/\"},\"hook\\u0073\":[]}", "hooks", VC_ERR_INVAL },
    };
    p.ctr[0].hooks = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        p.ctr[0].spec_json = wrong[i].spec;
        refused(ctx, &p.pod, wrong[i].code, SAYS(wrong[i].says));
    }
    vc_context_free(ctx);
}

static void test_invalid(void **state)
{
    struct pt_pod p;
    struct set h;
    static struct vc_hook *many[200];
    static const char *const bad_env[] = { "novalue", NULL }, *const bad_text[] = { "a", "\xff", NULL };
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    (void)state;
    pt_pod(&p, "p", 0);
    p.pod.hooks = set(&h, "", "", NULL, NULL, NULL);
    h.s[1].hook.path = "bin/sh";
    refused(ctx, &p.pod, VC_ERR_INVAL, SAYS("prestart hook 2", "bin/sh", "absolute"));
    h.s[1].hook.path = NULL;
    refused(ctx, &p.pod, VC_ERR_INVAL, SAYS("prestart hook 2"));
    h.s[1].hook.path = "/bin/sh";
    h.s[1].hook.env = bad_env;
    refused(ctx, &p.pod, VC_ERR_INVAL, SAYS("prestart hook 2", "novalue"));
    h.s[1].hook.env = NULL;
    h.s[1].hook.args = bad_text;
    refused(ctx, &p.pod, VC_ERR_INVAL, SAYS("prestart hook 2", "argument 1", "UTF-8"));
    h.s[1].hook.args = NULL;
    h.list[1] = NULL;
    refused(ctx, &p.pod, VC_ERR_INVAL, SAYS("prestart hook", "NULL"));
    h.hooks.prestart = NULL;
    refused(ctx, &p.pod, VC_ERR_INVAL, SAYS("prestart hook"));
    for (size_t i = 0; i < 200; i++)
        many[i] = &h.s[0].hook;
    h.hooks.prestart = many;
    h.hooks.n_prestart = 200;
    refused(ctx, &p.pod, VC_ERR_RESOURCE, SAYS("prestart hooks", "64"));
    h.hooks.n_prestart = 0;
    h.hooks.reserved = 1;
    refused(ctx, &p.pod, VC_ERR_INVAL, SAYS("reserved"));
    vc_context_free(ctx);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, fresh)
    const struct CMUnitTest tests[] = {
        TEST(test_pod),       TEST(test_exact),  TEST(test_large),         TEST(test_failures),
        TEST(test_timeout),   TEST(test_output), TEST(test_daemon),        TEST(test_only_logged),
        TEST(test_sigchld),   TEST(test_cancel), TEST(test_other_process), TEST(test_killed_caller),
        TEST(test_container), TEST(test_spec),   TEST(test_invalid),       TEST(test_boot_instead),
        TEST(test_deaf_guest), TEST(test_no_netns_any_more),
    };
    return cmocka_run_group_tests(tests, group_setup, pt_teardown);
}
