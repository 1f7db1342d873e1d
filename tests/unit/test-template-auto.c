/* SPDX-License-Identifier: Apache-2.0 */
/* test-template-auto.c: templates as every pod uses them: the first one makes it, whatever is wrong with one does not keep
 * a pod from running, and a caller that is killed leaves nothing. */
#include "podtest.h"

#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>

/* ---- helpers ---- */

static struct pt_pod p;
static char makes[PATH_MAX + 64], log_file[PATH_MAX + 64];

static void progress(void *arg, const char *text)
{
    (void)arg;
    int fd = open(makes, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0 && strstr(text, "template") && write(fd, "x", 1) != 1)
        abort();
    close(fd);
}

/* How many templates were made since the last time this was asked. */
static int made(void)
{
    struct stat st;
    int n = stat(makes, &st) == 0 ? (int)st.st_size : 0;
    unlink(makes);
    return n;
}

static int log_fd = -1;

/* Did a line of the log since the last time hold this? */
static int logged(const char *words)
{
    char buf[65536] = "";
    ssize_t n = pread(log_fd, buf, sizeof buf - 1, 0);
    assert_true(n >= 0 && ftruncate(log_fd, 0) == 0);
    return strstr(buf, words) != NULL;
}

static vc_context *context_of(const char *const *more)
{
    const char *all[24] = { "hypervisor=faulty", "agent=faulty", "proxy=faulty", "shim=faulty", "network=faulty",
                            "hypervisor_faulty.templates=yes", "agent_faulty.templates=yes", "log_level=debug" };
    size_t n = 8;
    for (; more && *more; more++)
        all[n++] = *more;
    char file[PATH_MAX + 128];
    PT_PATH(file, "%s/vccore.conf", pt_root);
    struct vc_context_options o;
    VC_INIT(&o);
    o.config_file = file;
    o.overrides = all;
    o.log_fd = log_fd;
    o.progress = progress;
    vc_context *ctx = NULL;
    vc_error *err = NULL;
    if (vc_context_new(&o, &ctx, &err) < 0)
        fail_msg("context: %s", vc_error_text(err));
    return ctx;
}
#define CONTEXT(...) context_of((const char *const[]){ __VA_ARGS__, NULL })
#define PLAIN        "log_format=text"

static int run(vc_context *ctx, const char *id, uint32_t mode, vc_error **err)
{
    pt_pod(&p, id, 1);
    p.pod.vm_template = mode;
    return vc_pod_run(ctx, &p.pod, NULL, err);
}

/* The id of the first template; "" when there is none. */
static const char *first(vc_context *ctx)
{
    static char id[64];
    struct vc_template_info **list = NULL;
    size_t n = 0;
    PT_OK(vc_template_list(ctx, &list, &n, &err));
    snprintf(id, sizeof id, "%s", n ? list[0]->id : "");
    vc_template_list_free(list, n);
    return id;
}

/* How many pods run from the first template; -1 when there is none. */
static int users(vc_context *ctx)
{
    struct vc_template_info **list = NULL;
    size_t n = 0;
    PT_OK(vc_template_list(ctx, &list, &n, &err));
    int pods = n ? (int)list[0]->pods : -1;
    vc_template_list_free(list, n);
    return pods;
}

static void remove_all(vc_context *ctx)
{
    struct vc_template_info **list = NULL;
    size_t n = 0;
    PT_OK(vc_template_list(ctx, &list, &n, &err));
    for (size_t i = 0; i < n; i++)
        PT_OK(vc_template_delete(ctx, list[i]->id, VC_FORCE, &err));
    vc_template_list_free(list, n);
    assert_int_equal(pt_count("state/templates"), 0);
    made();
    logged("");
}

static void drop(vc_context *ctx, const char *id)
{
    PT_OK(vc_pod_delete(ctx, id, VC_FORCE, &err));
}

/* A path in the first template. */
static void path_in(vc_context *ctx, const char *name, char *buf, size_t size)
{
    snprintf(buf, size, "%s/state/templates/%s%s", pt_root, first(ctx), name);
}

/* ---- tests ---- */

static void test_first_makes(void **state)
{
    (void)state;
    vc_context *ctx = CONTEXT("hypervisor_faulty.process=true");
    PT_OK(run(ctx, "a", 0, &err));
    assert_int_equal(made(), 1);
    assert_int_equal(pt_children(), 1);
    PT_OK(run(ctx, "b", VC_TEMPLATE_AUTO, &err));
    PT_OK(run(ctx, "c", VC_TEMPLATE_REQUIRE, &err));
    PT_OK(run(ctx, "d", VC_TEMPLATE_OFF, &err));
    assert_int_equal(made(), 0);
    assert_int_equal(users(ctx), 3);
    assert_int_equal(pt_children(), 4);
    /* One that is started again comes from it again; one that booted boots. */
    for (const char *id = "a\0d\0"; *id; id += 2) {
        PT_OK(vc_pod_stop(ctx, id, VC_FORCE, &err));
        assert_int_equal(users(ctx), 2);
        PT_OK(vc_pod_start(ctx, id, &err));
        assert_int_equal(users(ctx), 3);
        if (*id == 'a') {
            PT_OK(vc_pod_stop(ctx, "b", VC_FORCE, &err));
            assert_int_equal(users(ctx), 2);
        }
        if (*id == 'a')
            PT_OK(vc_pod_start(ctx, "b", &err));
        if (*id == 'a')
            break;
    }
    PT_OK(vc_pod_stop(ctx, "d", VC_FORCE, &err));
    PT_OK(vc_pod_start(ctx, "d", &err));
    assert_int_equal(users(ctx), 3);
    for (const char *id = "abcd"; *id; id++)
        drop(ctx, (char[]){ *id, '\0' });
    pt_nothing_left();
    remove_all(ctx);
    vc_context_free(ctx);
}

/* What is added to a template's VM is taken into use; the mode stays with a pod that is booted later. */
static void test_more_and_later(void **state)
{
    (void)state;
    vc_context *ctx = CONTEXT("hypervisor_faulty.mark=more", "agent_faulty.fail=online", "agent_faulty.code=-1");
    PT_OK(vc_template_create(ctx, 0, NULL, &err));
    made();
    PT_FAILS(VC_ERR_INVAL, "online fails", run(ctx, "a", VC_TEMPLATE_REQUIRE, &err));
    pt_nothing_left();
    remove_all(ctx);
    vc_context_free(ctx);

    vc_context *require = CONTEXT("template=require"), *off = CONTEXT("template=off");
    pt_pod(&p, "later", 1);
    p.pod.flags = VC_POD_DEFER_VM;
    PT_OK(vc_pod_create(require, &p.pod, NULL, &err));
    PT_FAILS(VC_ERR_CONFIG, "virtc template create", vc_pod_start(off, "later", &err));
    PT_OK(vc_template_create(require, 0, NULL, &err));
    PT_OK(vc_pod_start(off, "later", &err));
    assert_int_equal(users(off), 1);
    drop(off, "later");
    pt_nothing_left();
    remove_all(off);
    vc_context_free(off);
    vc_context_free(require);
}

/* Many first pods at once, each in a process of its own: one template, and all run from it. */
static void test_many_first(void **state)
{
    (void)state;
    enum { N = 6 };
    int go[2], status;
    pid_t pids[N];
    assert_int_equal(pipe(go), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int i = 0; i < N; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            char id[16], c;
            PT_PATH(id, "n%d", i);
            vc_context *ctx = CONTEXT("hypervisor_faulty.process=true");
            close(go[1]);
            if (read(go[0], &c, 1) != 0)
                _exit(2);
            _exit(run(ctx, id, 0, NULL) < 0);
        }
    }
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < N; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(made(), 1);
    vc_context *ctx = CONTEXT(PLAIN);
    assert_int_equal(pt_count("state/templates"), 1);
    assert_int_equal(users(ctx), N);
    for (int i = 0; i < N; i++) {
        char id[16];
        PT_PATH(id, "n%d", i);
        drop(ctx, id);
    }
    pt_nothing_left();
    remove_all(ctx);
    vc_context_free(ctx);
}

/* ---- somebody else is making it, for long ---- */

static void *cancel_soon(void *arg)
{
    char path[PATH_MAX + 128];
    PT_PATH(path, "%s/state/pods/waits", pt_root);
    while (access(path, F_OK) < 0)
        sched_yield();
    vc_context_cancel(arg);
    return NULL;
}

static void test_waiting(void **state)
{
    (void)state;
    char path[PATH_MAX + 128], id[64];
    vc_context *ctx = CONTEXT(PLAIN), *hasty = CONTEXT("create_timeout=1");
    PT_OK(vc_template_create(ctx, 0, NULL, &err));
    snprintf(id, sizeof id, "%s", first(ctx));
    remove_all(ctx);
    PT_PATH(path, "%s/state/templates/%s.lock", pt_root, id);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && flock(fd, LOCK_EX) == 0);
    /* It has half of the time for that, and boots then. */
    PT_OK(run(hasty, "boots", 0, &err));
    assert_true(logged("stayed in use until the deadline"));
    drop(hasty, "boots");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, ctx), 0);
    PT_FAILS(VC_ERR_CANCELLED, "cancelled", run(ctx, "waits", 0, &err));
    pthread_join(thread, NULL);
    pt_nothing_left();
    close(fd);
    assert_int_equal(made(), 0);
    /* The lock's file is nobody's now. */
    PT_OK(vc_template_gc(hasty, NULL, NULL, NULL, &err));
    assert_int_equal(pt_count("state/templates"), 0);
    vc_context_free(ctx);
    vc_context_free(hasty);
}

/* Cancelling one that makes. */
static void *cancel_when_settling(void *arg)
{
    char buf[65536];
    for (;;) {
        ssize_t n = pread(log_fd, buf, sizeof buf - 1, 0);
        buf[n > 0 ? n : 0] = '\0';
        if (strstr(buf, "settle waits"))
            break;
        sched_yield();
    }
    vc_context_cancel(arg);
    return NULL;
}

static void test_cancel_making(void **state)
{
    (void)state;
    logged("");
    vc_context *ctx = CONTEXT("hypervisor_faulty.process=true", "agent_faulty.wait=settle");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_when_settling, ctx), 0);
    vc_error *why = NULL;
    assert_int_equal(run(ctx, "a", 0, &why), VC_ERR_CANCELLED);
    assert_string_equal(vc_error_text(why), "making the template of the virtual machine was cancelled, and nothing of it is left");
    vc_error_free(why);
    pthread_join(thread, NULL);
    pt_nothing_left();
    assert_int_equal(pt_count("state/templates"), 0);
    made();
    vc_context_free(ctx);
}

/* ---- failures ---- */

/* Whatever fails while it is made: the pod boots, and nothing is left. */
static void test_making_fails(void **state)
{
    (void)state;
    static const char *const fails[] = { "hypervisor_faulty.fail=boot", "hypervisor_faulty.fail=template_save",
                                         "agent_faulty.fail=settle",    "hypervisor_faulty.mark=open",
                                         "agent_faulty.fail=disconnect", "hypervisor_faulty.mark=nokey",
                                         "hypervisor_faulty.mark=unfinished" };
    for (size_t i = 0; i < sizeof fails / sizeof *fails; i++) {
        vc_context *ctx = CONTEXT("hypervisor_faulty.process=true", "proxy_faulty.process=true", fails[i]);
        int at_key = i >= sizeof fails / sizeof *fails - 2;
        PT_OK(run(ctx, "a", 0, &err));
        assert_true(logged("the VM boots"));
        assert_int_equal(pt_children(), 2);
        drop(ctx, "a");
        /* For a while no pod tries that again; who asks for a template gets it tried. */
        assert_int_equal(made(), !at_key);
        assert_int_equal(pt_count("state/templates"), !at_key);
        PT_OK(run(ctx, "a", 0, &err));
        assert_true(logged(at_key ? "the VM boots" : "failed a short while ago"));
        assert_int_equal(made(), 0);
        drop(ctx, "a");
        vc_error *why = NULL;
        assert_true(vc_template_create(ctx, 0, NULL, &why) < 0);
        assert_true(strstr(vc_error_text(why), "template") != NULL);
        vc_error_free(why);
        assert_int_equal(made(), !at_key);
        pt_nothing_left();
        vc_context *good = CONTEXT(PLAIN);
        if (i % 2) {
            PT_OK(vc_gc(good, NULL, NULL, NULL, &err));
            assert_int_equal(pt_count("state/templates"), 0);
        } else {
            PT_OK(vc_template_create(good, 0, NULL, &err));
            assert_int_equal(pt_count("state/templates"), 1);
        }
        remove_all(good);
        vc_context_free(good);
        vc_context_free(ctx);
    }
    vc_context *ctx = CONTEXT("hypervisor_faulty.mark=nokey");
    PT_FAILS(VC_ERR_INTERNAL, "name=value", run(ctx, "a", VC_TEMPLATE_REQUIRE, &err));
    vc_context_free(ctx);
}

static void test_bad_tables(void **state)
{
    (void)state;
    static const char *const bad[][2] = { { "hypervisor_faulty.templates=size", "size" },
                                          { "hypervisor_faulty.templates=reserved", "reserved" },
                                          { "hypervisor_faulty.templates=missing", "\"save\"" } };
    for (size_t i = 0; i < 3; i++) {
        vc_context *ctx = CONTEXT(bad[i][0]);
        PT_FAILS(VC_ERR_INVAL, bad[i][1], run(ctx, "a", 0, &err));
        PT_OK(run(ctx, "a", VC_TEMPLATE_OFF, &err));
        drop(ctx, "a");
        vc_context_free(ctx);
    }
    pt_nothing_left();
}

/* Without templates: auto boots, require says why not. */
static void test_none(void **state)
{
    (void)state;
    static const char *const without[] = { "hypervisor_faulty.templates=", "agent_faulty.templates=" };
    for (size_t i = 0; i < 2; i++) {
        vc_context *ctx = CONTEXT(without[i]);
        PT_OK(run(ctx, "a", 0, &err));
        drop(ctx, "a");
        PT_FAILS(VC_ERR_UNSUPPORTED, i ? "agent \"faulty\"" : "hypervisor \"faulty\"",
                 run(ctx, "a", VC_TEMPLATE_REQUIRE, &err));
        PT_FAILS(VC_ERR_UNSUPPORTED, "faulty", vc_template_create(ctx, 0, NULL, &err));
        assert_int_equal(made(), 0);
        vc_context_free(ctx);
    }
    pt_nothing_left();
}

/* A template that does not start, or whose guest is of no use: the pod boots, once; the next one makes it anew. */
static void test_start_fails(void **state)
{
    (void)state;
    static const struct {
        const char *fail, *code;
        int kept;
    } cases[] = {
        { "hypervisor_faulty.fail=template_start", "hypervisor_faulty.code=-16", 0 },
        { "hypervisor_faulty.fail=template_start", "hypervisor_faulty.code=-14", 0 },
        { "hypervisor_faulty.fail=template_start", "hypervisor_faulty.code=-8", 0 },
        { "hypervisor_faulty.fail=template_start", "hypervisor_faulty.code=-13", 1 },
        { "agent_faulty.fail=renew", "agent_faulty.code=-14", 0 },
        { "agent_faulty.fail=renew", "agent_faulty.code=-8", 0 },
        { "agent_faulty.fail=renew", "agent_faulty.code=-3", 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vc_context *good = CONTEXT(PLAIN);
        vc_context *ctx = CONTEXT("hypervisor_faulty.process=true", "proxy_faulty.process=true", "hypervisor_faulty.share=true",
                                  cases[i].fail, cases[i].code);
        vc_context *shares = CONTEXT("hypervisor_faulty.share=true");
        PT_OK(vc_template_create(shares, 0, NULL, &err));
        made();
        PT_FAILS(atoi(strchr(cases[i].code, '=') + 1), "as it was ordered to", run(ctx, "a", VC_TEMPLATE_REQUIRE, &err));
        pt_nothing_left();
        assert_int_equal(pt_count("state/templates"), 1);
        PT_OK(run(ctx, "a", 0, &err));
        assert_true(logged("the VM boots"));
        assert_int_equal(made(), 0);
        assert_int_equal(pt_count("state/templates"), cases[i].kept);
        drop(ctx, "a");
        pt_nothing_left();
        PT_OK(run(shares, "b", 0, &err));
        assert_int_equal(made(), !cases[i].kept);
        drop(shares, "b");
        remove_all(shares);
        vc_context_free(good);
        vc_context_free(shares);
        vc_context_free(ctx);
    }
}

/* A guest cannot use what was plugged in: a booted one has it from the start, and the template is as good as ever. */
static void test_no_online(void **state)
{
    (void)state;
    vc_context *ctx = CONTEXT(PLAIN, "hypervisor_faulty.mark=more", "agent_faulty.mark=offline");
    PT_OK(vc_template_create(ctx, 0, NULL, &err));
    made();
    PT_FAILS(VC_ERR_UNSUPPORTED, "cannot take memory and vCPUs", run(ctx, "a", VC_TEMPLATE_REQUIRE, &err));
    pt_nothing_left();
    PT_OK(run(ctx, "a", 0, &err));
    assert_true(logged("the VM boots"));
    assert_int_equal(made(), 0);
    assert_int_equal(pt_count("state/templates"), 1);
    drop(ctx, "a");
    pt_nothing_left();
    remove_all(ctx);
    vc_context_free(ctx);
}

/* ---- what may be wrong with the files ---- */

static void spoil(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void test_damaged(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text, *words;
    } cases[] = {
        { "/vm/memory", "", "cut short" },         { "/vm/memory", "faul", "cut short" },
        { "/key", "", "is damaged" },              { "/key", "mark=other\n", "its key is another one" },
        { "/key", "\x01\x02\x03", "is damaged" }, { "/key", NULL, "key" },
    };
    vc_context *ctx = CONTEXT(PLAIN);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[PATH_MAX + 256];
        PT_OK(vc_template_create(ctx, 0, NULL, &err));
        path_in(ctx, cases[i].file, path, sizeof path);
        if (cases[i].text)
            spoil(path, cases[i].text);
        else
            assert_int_equal(unlink(path), 0);
        PT_FAILS(VC_ERR_CORRUPT, cases[i].words, run(ctx, "a", VC_TEMPLATE_REQUIRE, &err));
        assert_int_equal(pt_count("state/templates"), 1);
        made();
        PT_OK(run(ctx, "a", 0, &err));
        assert_true(logged(cases[i].words));
        assert_int_equal(made(), 0);
        assert_int_equal(pt_count("state/templates"), 0);
        PT_OK(run(ctx, "b", 0, &err));
        assert_int_equal(made(), 1);
        assert_int_equal(users(ctx), 1);
        drop(ctx, "a");
        drop(ctx, "b");
        /* gc does the same for those that nobody starts from. */
        if (cases[i].file[1] == 'k') {
            size_t n = 0;
            if (cases[i].text)
                spoil(path, cases[i].text);
            else
                assert_int_equal(unlink(path), 0);
            PT_OK(vc_gc(ctx, NULL, NULL, &n, &err));
            assert_int_equal(n, 1);
        }
        remove_all(ctx);
    }
    pt_nothing_left();
    vc_context_free(ctx);
}

/* Refused, said why, and not touched. */
static void refused(vc_context *ctx, const char *words)
{
    size_t n = 9;
    PT_FAILS(VC_ERR_PERM, words, run(ctx, "a", VC_TEMPLATE_REQUIRE, &err));
    made();
    PT_OK(run(ctx, "a", 0, &err));
    assert_true(logged(words));
    assert_int_equal(made(), 0);
    drop(ctx, "a");
    PT_OK(vc_gc(ctx, NULL, NULL, &n, &err));
    assert_int_equal(n, 0);
    assert_int_equal(pt_count("state/templates"), 1);
}

static void test_not_ours(void **state)
{
    (void)state;
    char dir[PATH_MAX + 256], vm[PATH_MAX + 256], memory[PATH_MAX + 256], key[PATH_MAX + 256], other[PATH_MAX + 256];
    vc_context *ctx = CONTEXT(PLAIN);
    PT_OK(vc_template_create(ctx, 0, NULL, &err));
    path_in(ctx, "", dir, sizeof dir);
    path_in(ctx, "/vm", vm, sizeof vm);
    path_in(ctx, "/vm/memory", memory, sizeof memory);
    path_in(ctx, "/key", key, sizeof key);
    PT_PATH(other, "%s/other", pt_root);
    const struct {
        const char *path;
        mode_t bad, good;
        const char *words;
    } modes[] = { { dir, 0755, 0700, "0755" }, { dir, 0770, 0700, "0770" },   { vm, 0701, 0700, "0701" },
                  { key, 0620, 0600, "0620" }, { memory, 0602, 0600, "0602" } };
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(modes[i].path, modes[i].bad), 0);
        refused(ctx, i == 1 ? "writable by its group" : modes[i].words);
        assert_int_equal(chmod(modes[i].path, modes[i].good), 0);
    }
    const char *const paths[] = { dir, vm, key, memory };
    for (size_t i = 0; geteuid() == 0 && i < 4; i++) {
        assert_int_equal(chown(paths[i], 12345, 0), 0);
        refused(ctx, "12345");
        assert_int_equal(chown(paths[i], 0, 0), 0);
    }
    for (size_t i = 0; i < 4; i++) { /* a link to the very same */
        assert_int_equal(rename(paths[i], other), 0);
        assert_int_equal(symlink(other, paths[i]), 0);
        refused(ctx, i == 0 ? "symbolic link" : paths[i]);
        assert_int_equal(unlink(paths[i]), 0);
        assert_int_equal(rename(other, paths[i]), 0);
    }
    assert_int_equal(mkfifo(other, 0600), 0);
    assert_int_equal(unlink(key), 0);
    assert_int_equal(rename(other, key), 0);
    refused(ctx, "no plain file");
    PT_OK(vc_template_delete(ctx, strrchr(dir, '/') + 1, 0, &err));
    made();
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A directory of templates that cannot be used. */
static void test_no_room(void **state)
{
    (void)state;
    char conf[PATH_MAX + 128], path[PATH_MAX + 64], big[PATH_MAX + 96];
    PT_PATH(path, "%s/full", pt_root);
    PT_PATH(conf, "template_dir=%s/vccore.conf/x", pt_root);
    vc_context *ctx = CONTEXT(conf);
    PT_OK(run(ctx, "a", 0, &err));
    assert_true(logged("cannot"));
    assert_int_equal(made(), 0);
    drop(ctx, "a");
    PT_FAILS(VC_ERR_INVAL, "vccore.conf", vc_template_create(ctx, 0, NULL, &err));
    vc_context_free(ctx);
    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mount("none", path, "tmpfs", 0, "size=64k,mode=0700"), 0);
    PT_PATH(big, "%s/big", path);
    PT_PATH(conf, "template_dir=%s", path);
    int fd = open(big, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    static const char block[4096];
    while (write(fd, block, sizeof block) == (ssize_t)sizeof block)
        continue;
    close(fd);
    ctx = CONTEXT(conf, "hypervisor_faulty.process=true");
    PT_OK(run(ctx, "a", 0, &err));
    assert_true(logged("the VM boots"));
    drop(ctx, "a");
    PT_FAILS(VC_ERR_IO, "template", vc_template_create(ctx, 0, NULL, &err));
    assert_int_equal(pt_count("full"), 1);
    assert_int_equal(umount(path), 0);
    assert_int_equal(rmdir(path), 0);
    vc_context_free(ctx);
    made();
    pt_nothing_left();
}

/* ---- stale ones ---- */

void vci_template_digest(const char *key, char id[33]); /* of the library's inside */

static void test_stale(void **state)
{
    (void)state;
    struct vc_template_info **list = NULL;
    size_t n = 0;
    vc_context *old = CONTEXT("hypervisor_faulty.mark=old"), *new = CONTEXT("hypervisor_faulty.mark=new");
    PT_OK(run(old, "a", 0, &err));
    PT_OK(run(new, "b", 0, &err));
    assert_int_equal(made(), 2);
    PT_OK(vc_template_list(new, &list, &n, &err));
    assert_int_equal(n, 2);
    assert_true(list[0]->current && !list[0]->problem && list[0]->pods == 1);
    assert_true(!list[1]->current && list[1]->pods == 1);
    assert_non_null(strstr(list[1]->problem, "stale: "));
    assert_non_null(strstr(list[1]->problem, "the mark is new now"));
    vc_template_list_free(list, n);
    PT_OK(vc_gc(new, NULL, NULL, &n, &err));
    assert_int_equal(n, 0);
    drop(new, "a");
    PT_OK(vc_gc(new, NULL, NULL, &n, &err));
    assert_int_equal(n, 1);
    assert_int_equal(users(new), 1);
    drop(new, "b");
    remove_all(new);
    /* Without its plugin, or of another version of it, one is stale, too. */
    static const char *const versions[] = { "gone 1", "faulty 0" };
    for (size_t i = 0; i < 2; i++) {
        char key[200], id[33], path[PATH_MAX + 128];
        PT_PATH(key, "format=1\nhypervisor=%s\nagent=faulty\nshare=none\nmark=new\n", versions[i]);
        vci_template_digest(key, id);
        PT_PATH(path, "%s/state/templates/%s", pt_root, id);
        assert_int_equal(mkdir(path, 0700), 0);
        PT_PATH(path, "%s/state/templates/%s/vm", pt_root, id);
        assert_int_equal(mkdir(path, 0700), 0);
        PT_PATH(path, "%s/state/templates/%s/key", pt_root, id);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, key, strlen(key)), (ssize_t)strlen(key));
        close(fd);
        PT_OK(vc_template_list(new, &list, &n, &err));
        assert_non_null(strstr(list[0]->problem, i ? "version 1 now" : "gone"));
        vc_template_list_free(list, n);
        PT_OK(vc_gc(new, NULL, NULL, &n, &err));
        assert_int_equal(n, 1);
    }
    remove_all(new);
    vc_context_free(old);
    vc_context_free(new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_makes),  cmocka_unit_test(test_more_and_later), cmocka_unit_test(test_many_first),
        cmocka_unit_test(test_waiting),      cmocka_unit_test(test_cancel_making),  cmocka_unit_test(test_making_fails),
        cmocka_unit_test(test_bad_tables),   cmocka_unit_test(test_none),           cmocka_unit_test(test_start_fails),
        cmocka_unit_test(test_no_online),
        cmocka_unit_test(test_damaged),      cmocka_unit_test(test_not_ours),       cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_stale),
    };
    if (pt_setup(NULL) < 0)
        return 1;
    PT_PATH(makes, "%s/makes", pt_root);
    PT_PATH(log_file, "%s/log", pt_root);
    log_fd = open(log_file, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, pt_teardown);
}
