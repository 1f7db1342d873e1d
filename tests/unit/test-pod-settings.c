/* SPDX-License-Identifier: Apache-2.0 */
/* test-pod-settings.c: plugins and options that a pod brings along, names of the original, consoles, and programs that
 * were built with an older header. */
#include "podtest.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static struct pt_pod p;
static const char *const names[] = { "hypervisor", "agent", "proxy", "shim", "network" };

static int setup(void **state)
{
    static const char *const fakes[][2] = { { "sleeper-hypervisor", "hypervisor/sleeper" }, { "record-shim", "shim/record" } };
    char from[PATH_MAX + 128], to[PATH_MAX + 128];
    const char *build = getenv("VC_BUILD_DIR") ? getenv("VC_BUILD_DIR") : ".";
    if (pt_setup(state) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return -1;
    for (size_t i = 0; i < sizeof fakes / sizeof *fakes; i++) {
        PT_PATH(from, "%s/tests/fakes/.libs/%s.so", build, fakes[i][0]);
        PT_PATH(to, "%s/plugins/%s.so", pt_root, fakes[i][1]);
        pt_copy(from, to);
    }
    return 0;
}

/* After a failed test, too, nothing stays. */
static int teardown(void **state)
{
    char line[PATH_MAX + 512], path[64], pids[4096];
    FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *at = strstr(line, pt_root);
        if (at && (at[strcspn(at, " ")] = '\0', umount2(at, MNT_DETACH)) < 0)
            print_message("cannot unmount %s\n", at);
    }
    if (f)
        fclose(f);
    PT_PATH(path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, pids, sizeof pids - 1);
    close(fd);
    pids[n > 0 ? n : 0] = '\0';
    for (char *at = pids, *end; (end = strchr(at, ' ')); at = end + 1)
        kill((pid_t)strtol(at, NULL, 10), SIGKILL);
    return pt_teardown(state);
}

static void check_plugins(vc_context *ctx, const char *id, const char *const *wanted)
{
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, id, &s, &err));
    const char *const have[] = { s->hypervisor, s->agent, s->proxy, s->shim, s->network };
    for (size_t i = 0; i < 5; i++)
        if (strcmp(have[i], wanted[i]) != 0)
            fail_msg("pod %s has %s %s, wanted %s", id, names[i], have[i], wanted[i]);
    vc_pod_status_free(s);
}
#define PLUGINS(...) ((const char *const[]){ __VA_ARGS__ })

static const char *template_of(vc_context *ctx, const char *id, uint32_t *from_pool)
{
    static char text[4][64];
    static unsigned next;
    char *t = text[next++ % 4];
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, id, &s, &err));
    snprintf(t, sizeof text[0], "%s", s->template_id);
    if (from_pool)
        *from_pool = s->from_pool;
    vc_pod_status_free(s);
    return t;
}

/* What another process with this context finds out: it starts the pod; the code. */
static int start_elsewhere(vc_context *ctx, const char *id)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(-vc_pod_start(ctx, id, NULL));
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

/* ---- names ---- */

static void test_names(void **state)
{
    (void)state;
    /* In the configuration. */
    vc_context *ctx = pt_context("mock", "proxy=noopProxy", "shim=noopShim", NULL, NULL);
    char *text = NULL;
    PT_OK(vc_context_show(ctx, 0, &text, &err));
    assert_non_null(strstr(text, "proxy = \"noop\""));
    free(text);
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "a", 1), NULL, &err));
    check_plugins(ctx, "a", PLUGINS("mock", "noop", "noop", "noop", "noop"));
    PT_OK(vc_pod_delete(ctx, "a", 0, &err));
    vc_context_free(ctx);
    /* What is not installed is an error that says what is; nothing takes its place. */
    ctx = pt_context("mock", "shim=kataShim", NULL, NULL, NULL);
    PT_FAILS(VC_ERR_NOTFOUND, "no shim plugin \"kata\" in ", vc_pod_create(ctx, pt_pod(&p, "a", 1), NULL, &err));
    PT_FAILS(VC_ERR_NOTFOUND, "installed: faulty, noop, record", vc_pod_create(ctx, pt_pod(&p, "a", 1), NULL, &err));
    pt_nothing_left();
    vc_context_free(ctx);
    ctx = pt_context("mock", "network=CNM", NULL, NULL, NULL);
    PT_FAILS(VC_ERR_NOTFOUND, "no network plugin \"cnm\" in ", vc_pod_create(ctx, pt_pod(&p, "a", 1), NULL, &err));
    vc_context_free(ctx);
    pt_nothing_left();
}

static void test_choice(void **state)
{
    (void)state;
    /* Nothing of what is configured would work. */
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.fail=vm_create", "shim_faulty.fail=start", NULL, NULL);
    pt_pod(&p, "a", 1);
    p.pod.hypervisor = "mock";
    p.pod.agent = "noop";
    p.pod.proxy = "noopProxy";
    p.pod.shim = "noopShim";
    p.pod.network = "noop";
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    check_plugins(ctx, "a", PLUGINS("mock", "noop", "noop", "noop", "noop"));
    assert_int_equal(start_elsewhere(ctx, "a"), 0);
    PT_OK(vc_pod_stop(ctx, "a", 0, &err));
    PT_OK(vc_pod_start(ctx, "a", &err));
    PT_OK(vc_pod_delete(ctx, "a", VC_FORCE, &err));
    pt_nothing_left();

    static const struct {
        size_t member;
        const char *name, *words;
    } bad[] = {
        { offsetof(struct vc_pod_config, shim), "kataShim", "shim \"kataShim\": no shim plugin \"kata\" in " },
        { offsetof(struct vc_pod_config, shim), "ccShim", "shim \"ccShim\": no shim plugin \"cc\" in " },
        { offsetof(struct vc_pod_config, proxy), "kataProxy", "proxy \"kataProxy\": no proxy plugin \"kata\" in " },
        { offsetof(struct vc_pod_config, proxy), "ccProxy", "proxy \"ccProxy\": no proxy plugin \"cc\" in " },
        { offsetof(struct vc_pod_config, proxy), "noProxy", "proxy \"noProxy\": no proxy plugin \"none\" in " },
        { offsetof(struct vc_pod_config, network), "CNI", "network \"CNI\": no network plugin \"cni\" in " },
        { offsetof(struct vc_pod_config, network), "CNM", "network \"CNM\": no network plugin \"cnm\" in " },
        { offsetof(struct vc_pod_config, agent), "hyperstart", "no agent plugin \"hyperstart\" in " },
        { offsetof(struct vc_pod_config, hypervisor), "qemu", "no hypervisor plugin \"qemu\" in " },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char **at = (const char **)((char *)&p.pod + bad[i].member), *before = *at;
        *at = bad[i].name;
        PT_FAILS(VC_ERR_NOTFOUND, bad[i].words, vc_pod_create(ctx, &p.pod, NULL, &err));
        PT_FAILS(VC_ERR_NOTFOUND, "; installed: faulty, ", vc_pod_create(ctx, &p.pod, NULL, &err));
        *at = before;
    }
    p.pod.agent = "No!";
    PT_FAILS(VC_ERR_INVAL, "\"No!\" is not possible as the name of a plugin", vc_pod_create(ctx, &p.pod, NULL, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* ---- settings ---- */

static void test_checked(void **state)
{
    (void)state;
    static const struct {
        const char *setting, *words;
        int code;
    } bad[] = {
        { "hypervisor.imagee=/x",
          "the pod's setting \"hypervisor.imagee\": unknown key \"imagee\" in section hypervisor_mock, did you mean \"image\"?",
          VC_ERR_CONFIG },
        { "hypervisor.kernel=/k",
          "the pod's setting \"hypervisor.kernel\" (HypervisorConfig.KernelPath): unknown key \"kernel\" in section "
          "hypervisor_mock; known keys: image",
          VC_ERR_CONFIG },
        { "proxy.debug=true", "(ProxyConfig.Debug): unknown key \"debug\" in section proxy_noop; known keys: none", VC_ERR_CONFIG },
        { "hypervisor.image=relative", "\"image\" in section hypervisor_mock is \"relative\"; it must be an absolute path", VC_ERR_CONFIG },
        { "shim.code=1", "\"code\" in section shim_faulty is \"1\"; it must be a whole number from -19 to -1", VC_ERR_CONFIG },
        { "store.path=/x", "\"store.path=/x\" must read KIND.option=value, where KIND is hypervisor, agent", VC_ERR_INVAL },
        { "hypervisor=x", "must read KIND.option=value", VC_ERR_INVAL },
        { "hypervisor.=x", "must read KIND.option=value", VC_ERR_INVAL },
        { ".image=x", "must read KIND.option=value", VC_ERR_INVAL },
        { "hypervisor.image", "must read KIND.option=value", VC_ERR_INVAL },
        { "a=hypervisor.image", "must read KIND.option=value", VC_ERR_INVAL },
        { "hypervisor.image=/\n", "holds a control byte", VC_ERR_INVAL },
    };
    vc_context *ctx = pt_context("mock", "shim=faulty", NULL, NULL, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const settings[] = { bad[i].setting, NULL };
        pt_pod(&p, "a", 1);
        p.pod.settings = settings;
        PT_FAILS(bad[i].code, bad[i].words, vc_pod_create(ctx, &p.pod, NULL, &err));
        pt_nothing_left();
    }
    vc_context_free(ctx);
}

/* What a plugin must be told, and nobody says. */
static void test_missing(void **state)
{
    (void)state;
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    pt_pod(&p, "a", 1);
    p.pod.shim = "record";
    PT_FAILS(VC_ERR_CONFIG, "\"file\" in section shim_record is missing; it must be an absolute path",
             vc_pod_create(ctx, &p.pod, NULL, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* They are the pod's, whoever works on it, and win over the configuration. */
static void test_kept(void **state)
{
    (void)state;
    vc_context *ctx = pt_context("faulty", NULL, NULL, NULL, NULL);
    static const char *const fails[] = { "agent.code=-9", "agent.fail=ctr_start", "agent.code=-8", NULL };
    pt_pod(&p, "a", 1);
    p.pod.settings = fails;
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "b", 1), NULL, &err));
    assert_int_equal(start_elsewhere(ctx, "a"), VC_ERR_TIMEOUT); /* -8: of two the last one counts */
    assert_int_equal(start_elsewhere(ctx, "b"), 0);
    PT_OK(vc_pod_delete(ctx, "a", VC_FORCE, &err));
    PT_OK(vc_pod_delete(ctx, "b", VC_FORCE, &err));
    vc_context_free(ctx);

    ctx = pt_context("faulty", "agent_faulty.fail=ctr_start", NULL, NULL, NULL);
    static const char *const works[] = { "agent.fail=nothing", NULL };
    pt_pod(&p, "a", 1);
    p.pod.settings = works;
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "b", 1), NULL, &err));
    assert_int_equal(start_elsewhere(ctx, "a"), 0);
    assert_int_equal(start_elsewhere(ctx, "b"), VC_ERR_IO);
    /* After a stop, too. */
    PT_OK(vc_pod_stop(ctx, "a", VC_FORCE, &err));
    assert_int_equal(start_elsewhere(ctx, "a"), 0);
    PT_OK(vc_pod_delete(ctx, "a", VC_FORCE, &err));
    PT_OK(vc_pod_delete(ctx, "b", VC_FORCE, &err));
    vc_context_free(ctx);
    pt_nothing_left();
}

static void test_template(void **state)
{
    (void)state;
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.templates=yes", "agent_faulty.templates=yes", NULL, NULL);
    static const char *const marked[] = { "hypervisor.mark=other", NULL };
    static const char *const ids[] = { "a", "b", "c", "d" };
    for (size_t i = 0; i < 4; i++) {
        pt_pod(&p, ids[i], 1);
        p.pod.settings = i % 2 ? marked : NULL;
        PT_OK(vc_pod_run(ctx, &p.pod, NULL, &err));
    }
    /* Each kind of VM has a template of its own, which its second pod finds. */
    assert_int_equal(strlen(template_of(ctx, "a", NULL)), 32);
    assert_int_equal(strlen(template_of(ctx, "b", NULL)), 32);
    assert_string_not_equal(template_of(ctx, "a", NULL), template_of(ctx, "b", NULL));
    assert_string_equal(template_of(ctx, "a", NULL), template_of(ctx, "c", NULL));
    assert_string_equal(template_of(ctx, "b", NULL), template_of(ctx, "d", NULL));
    assert_int_equal(pt_count("state/templates"), 2);
    PT_OK(vc_pod_stop(ctx, "b", VC_FORCE, &err));
    assert_int_equal(start_elsewhere(ctx, "b"), 0);
    assert_string_equal(template_of(ctx, "b", NULL), template_of(ctx, "d", NULL));
    struct vc_template_info **list = NULL;
    size_t n = 0;
    PT_OK(vc_template_list(ctx, &list, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(list[0]->id, template_of(ctx, "a", NULL)); /* the current one first */
    assert_int_equal(list[0]->current, 1);
    assert_int_equal(list[1]->current, 0);
    assert_int_equal(list[1]->pods, 2);
    assert_non_null(strstr(list[1]->key, "other"));
    for (size_t i = 0; i < 4; i++)
        PT_OK(vc_pod_delete(ctx, ids[i], VC_FORCE, &err));
    for (size_t i = 0; i < n; i++)
        PT_OK(vc_template_delete(ctx, list[i]->id, 0, &err));
    vc_template_list_free(list, n);
    vc_context_free(ctx);
    pt_nothing_left();
}

/* The VMs of the pool were started as the configuration says: who says otherwise of the hypervisor does not get one. */
static void test_pool(void **state)
{
    (void)state;
    static const char *const hypervisor[] = { "hypervisor.fail=nothing", NULL }, *const proxy[] = { "proxy.code=-5", NULL };
    vc_context *ctx = pt_context("mock", "hypervisor=sleeper", NULL, NULL, NULL);
    uint32_t from_pool = 7;
    PT_OK(vc_pool_fill(ctx, 2, NULL, &err));
    assert_int_equal(pt_count("run/pool"), 2);
    pt_pod(&p, "a", 0);
    p.pod.settings = hypervisor;
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    template_of(ctx, "a", &from_pool);
    assert_int_equal(from_pool, 0);
    assert_int_equal(pt_count("run/pool"), 2);
    pt_pod(&p, "b", 0);
    p.pod.proxy = "faulty";
    p.pod.settings = proxy;
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    template_of(ctx, "b", &from_pool);
    assert_int_equal(from_pool, 1);
    assert_int_equal(pt_count("run/pool"), 1);
    check_plugins(ctx, "b", PLUGINS("sleeper", "noop", "faulty", "noop", "noop"));
    PT_OK(vc_pod_delete(ctx, "a", VC_FORCE, &err));
    PT_OK(vc_pod_delete(ctx, "b", VC_FORCE, &err));
    PT_OK(vc_pool_drain(ctx, NULL, &err));
    vc_context_free(ctx);
    pt_nothing_left();
}

/* ---- consoles ---- */

static char records[PATH_MAX + 64];

static void recorded(const char *wanted)
{
    char text[3 * PATH_MAX + 512] = "";
    int fd = open(records, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    unlink(records);
    assert_true(n >= 0);
    if (strcmp(text, wanted) != 0)
        fail_msg("\"%s\", wanted \"%s\"", text, wanted);
}

static void test_console(void **state)
{
    (void)state;
    enum { TERMINAL = 1, CONSOLE = 4 }; /* of vc/shim.h */
    char setting[PATH_MAX + 96], wanted[3 * PATH_MAX + 512], *exec = NULL, pts[64];
    const char *const settings[] = { setting, NULL };
    PT_PATH(records, "%s/records", pt_root);
    PT_PATH(setting, "shim.file=%s", records);
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0 && unlockpt(master) == 0 && ptsname_r(master, pts, sizeof pts) == 0);
    vc_context *ctx = pt_context("faulty", NULL, NULL, NULL, NULL);
    pt_pod(&p, "a", 1);
    p.pod.shim = "record";
    p.pod.settings = settings;
    p.process.console = pts;
    /* Also when the VM starts later, and somebody else starts it; but once. */
    p.pod.flags = VC_POD_DEFER_VM;
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    assert_int_equal(start_elsewhere(ctx, "a"), 0);
    snprintf(wanted, sizeof wanted, "c0/ %d %s %s %s\n", TERMINAL | CONSOLE, pts, pts, pts);
    recorded(wanted);
    PT_OK(vc_container_exec(ctx, "a", "c0", &p.process, &exec, NULL, &err));
    snprintf(wanted, sizeof wanted, "c0/%s %d %s %s %s\n", exec, TERMINAL | CONSOLE, pts, pts, pts);
    recorded(wanted);
    free(exec);
    PT_OK(vc_pod_stop(ctx, "a", VC_FORCE, &err));
    PT_OK(vc_pod_start(ctx, "a", &err));
    snprintf(wanted, sizeof wanted, "c0/ %d - - -\n", TERMINAL);
    recorded(wanted);
    /* Refused. */
    p.process.console = "/dev/null";
    PT_FAILS(VC_ERR_INVAL, "the console /dev/null is no terminal", vc_container_exec(ctx, "a", "c0", &p.process, NULL, NULL, &err));
    p.process.console = "/dev/no/such/terminal";
    PT_FAILS(VC_ERR_NOTFOUND, "cannot open the console /dev/no/such/terminal",
             vc_container_exec(ctx, "a", "c0", &p.process, NULL, NULL, &err));
    PT_OK(vc_pod_delete(ctx, "a", VC_FORCE, &err));
    p.pod.id = "b";
    PT_FAILS(VC_ERR_NOTFOUND, "cannot use the console /dev/no/such/terminal", vc_pod_create(ctx, &p.pod, NULL, &err));
    p.process.console = pt_root;
    PT_FAILS(VC_ERR_INVAL, "is no terminal", vc_pod_create(ctx, &p.pod, NULL, &err));
    p.process.console = "pts/1";
    PT_FAILS(VC_ERR_INVAL, "the console \"pts/1\" is not an absolute path", vc_pod_create(ctx, &p.pod, NULL, &err));
    p.process.console = pts;
    p.process.use_stdio = 1;
    PT_FAILS(VC_ERR_INVAL, "\"console\" and \"use_stdio\" of struct vc_process_config are both given",
             vc_pod_create(ctx, &p.pod, NULL, &err));
    p.process.use_stdio = 0;
    p.process.console = NULL;
    /* Without one, streams are those that are given, or none: Detach of the JSON form. */
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    PT_OK(vc_pod_start(ctx, "b", &err));
    recorded("c0/ 0 - - -\n");
    struct vc_process_config *json = NULL;
    snprintf(wanted, sizeof wanted, "{\"Args\":[\"true\"],\"Console\":\"%s\"}", pts);
    PT_OK(vc_process_config_from_json(wanted, &json, &err));
    PT_OK(vc_container_exec(ctx, "b", "c0", json, &exec, NULL, &err));
    snprintf(wanted, sizeof wanted, "c0/%s %d %s %s %s\n", exec, TERMINAL | CONSOLE, pts, pts, pts);
    recorded(wanted);
    free(exec);
    vc_process_config_free(json);
    char null[3][PATH_MAX] = { "", "", "" };
    for (int i = 0; i < 3; i++) {
        char link[32];
        PT_PATH(link, "/proc/self/fd/%d", i);
        assert_true(readlink(link, null[i], sizeof null[i] - 1) >= 0);
    }
    PT_OK(vc_process_config_from_json("{\"Args\":[\"true\"]}", &json, &err));
    PT_OK(vc_container_exec(ctx, "b", "c0", json, &exec, NULL, &err));
    snprintf(wanted, sizeof wanted, "c0/%s 0 %s %s %s\n", exec, null[0], null[1], null[2]);
    recorded(wanted);
    free(exec);
    vc_process_config_free(json);
    PT_OK(vc_process_config_from_json("{\"Args\":[\"true\"],\"Detach\":true,\"Foreground\":true}", &json, &err));
    PT_OK(vc_container_exec(ctx, "b", "c0", json, &exec, NULL, &err));
    snprintf(wanted, sizeof wanted, "c0/%s 2 - - -\n", exec);
    recorded(wanted);
    free(exec);
    vc_process_config_free(json);
    PT_OK(vc_pod_delete(ctx, "b", VC_FORCE, &err));
    vc_context_free(ctx);
    close(master);
    pt_nothing_left();
}

/* ---- older programs ---- */

/* A copy of the first `size` bytes whose next byte cannot be read. */
static void *cut(const void *from, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *mem = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(mem != MAP_FAILED && size <= page && mprotect(mem + page, page, PROT_NONE) == 0);
    char *at = mem + page - size;
    uint32_t u = (uint32_t)size;
    memcpy(at, from, size);
    memcpy(at, &u, sizeof u);
    return at;
}

/* The structs as the first release had them. */
static void test_old_sizes(void **state)
{
    (void)state;
    vc_context *ctx = pt_context("faulty", NULL, NULL, NULL, NULL);
    pt_pod(&p, "a", 1);
    size_t process_size = offsetof(struct vc_process_config, capabilities), ctr_size = offsetof(struct vc_container_config, mounts),
           pod_size = offsetof(struct vc_pod_config, hypervisor);
    /* Frozen: the sizes of that header on 64 bits. */
    assert_int_equal(process_size, sizeof(void *) == 8 ? 96 : process_size);
    assert_int_equal(ctr_size, sizeof(void *) == 8 ? 104 : ctr_size);
    assert_int_equal(pod_size, sizeof(void *) == 8 ? 72 : pod_size);
    struct vc_process_config *process = cut(&p.process, process_size);
    p.ctr[0].process = process;
    p.list[0] = cut(&p.ctr[0], ctr_size);
    struct vc_pod_config *pod = cut(&p.pod, pod_size);
    char *json = NULL, *exec = NULL;
    PT_OK(vc_pod_config_to_json(pod, &json, &err));
    assert_non_null(strstr(json, "\"Args\":[\"true\"]"));
    free(json);
    PT_OK(vc_pod_run(ctx, pod, NULL, &err));
    PT_OK(vc_container_exec(ctx, "a", "c0", process, &exec, NULL, &err));
    free(exec);
    PT_OK(vc_pod_delete(ctx, "a", VC_FORCE, &err));
    pod->size--;
    PT_FAILS(VC_ERR_INVAL, "the size of struct vc_pod_config is ", vc_pod_run(ctx, pod, NULL, &err));
    pod->size++;
    process->size -= 4;
    PT_FAILS(VC_ERR_INVAL, "the size of struct vc_process_config is ", vc_pod_run(ctx, pod, NULL, &err));
    /* And what a newer program asks for, and this library does not know, is not dropped. */
    struct {
        struct vc_pod_config pod;
        uint64_t newer;
    } longer;
    memcpy(&longer.pod, pt_pod(&p, "a", 1), sizeof longer.pod);
    longer.pod.size = sizeof longer;
    longer.newer = 0;
    PT_OK(vc_pod_create(ctx, &longer.pod, NULL, &err));
    PT_OK(vc_pod_delete(ctx, "a", 0, &err));
    longer.newer = 1;
    PT_FAILS(VC_ERR_INVAL, "asks for something that this release does not know", vc_pod_create(ctx, &longer.pod, NULL, &err));
    vc_context_free(ctx);
    pt_nothing_left();
}

/* ---- options that come with annotations ---- */
static void test_annotations(void **state)
{
    (void)state;
    static const char *const wanted[] = { "io.vccore.hypervisor.process=true", "io.vccore.other=x", NULL };
    static const char *const forbidden[] = { "io.vccore.hypervisor.crash=vm_start", NULL };
    static const char *const wrong[] = { "io.vccore.hypervisor.process=perhaps", NULL };
    static const char *const own[] = { "hypervisor.process=false", NULL };
    char *value = NULL;
    size_t before = pt_children();
    vc_context *ctx = pt_context("faulty", "allow_annotations=shim.* hypervisor.process", NULL, NULL, NULL);
    pt_pod(&p, "a", 0);
    p.pod.annotations = wanted;
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    assert_int_equal(pt_children(), before + 1);
    PT_OK(vc_pod_annotation(ctx, "a", "io.vccore.other", &value, &err));
    assert_string_equal(value, "x");
    free(value);
    /* It is no option any more once the pod is there. */
    PT_FAILS(VC_ERR_INVAL, "io.vccore.hypervisor.process", vc_pod_set_annotations(ctx, "a", wanted, &err));
    PT_OK(vc_pod_delete(ctx, "a", VC_FORCE, &err));
    /* What the caller says himself wins. */
    p.pod.settings = own;
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    assert_int_equal(pt_children(), before);
    PT_OK(vc_pod_delete(ctx, "a", VC_FORCE, &err));
    pt_pod(&p, "a", 0);
    p.pod.annotations = forbidden;
    PT_FAILS(VC_ERR_PERM, "\"io.vccore.hypervisor.crash\" sets an option, which \"allow_annotations\"",
             vc_pod_create(ctx, &p.pod, NULL, &err));
    p.pod.annotations = wrong;
    PT_FAILS(VC_ERR_CONFIG, "process", vc_pod_create(ctx, &p.pod, NULL, &err));
    vc_context_free(ctx);
    /* Nothing is allowed unless somebody says so; KIND.* allows all of that kind. */
    p.pod.annotations = wanted;
    ctx = pt_context("faulty", NULL, NULL, NULL, NULL);
    PT_FAILS(VC_ERR_PERM, "hypervisor.process", vc_pod_create(ctx, &p.pod, NULL, &err));
    vc_context_free(ctx);
    ctx = pt_context("faulty", "allow_annotations=agent.*,hypervisor.*", NULL, NULL, NULL);
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    assert_int_equal(pt_children(), before + 1);
    PT_OK(vc_pod_delete(ctx, "a", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* The original's annotations for files of the VM are options of the hypervisor, and allowed as such. */
static void test_assets(void **state)
{
    (void)state;
#define ASSET "com.github.containers.virtcontainers."
    static const struct {
        const char *annotation, *words;
        int code;
    } cases[] = {
        { ASSET "ImagePath=/etc/passwd", NULL, 0 },
        { ASSET "ImagePath=relative", "must be an absolute path", VC_ERR_CONFIG },
        { ASSET "KernelPath=/k", "(HypervisorConfig.KernelPath): unknown key \"kernel\"", VC_ERR_CONFIG },
        { ASSET "HypervisorPath=/q", "\"" ASSET "HypervisorPath\" sets an option, which \"allow_annotations\"", VC_ERR_PERM },
        { ASSET "FirmwarePath=/f", "\"" ASSET "FirmwarePath\" sets an option, which \"allow_annotations\"", VC_ERR_PERM },
        { ASSET "KernelHash=00", "\"" ASSET "KernelHash\" asks for a file to be checked", VC_ERR_UNSUPPORTED },
        { ASSET "ImageHash=00", "ImageHash\" asks", VC_ERR_UNSUPPORTED },
        { ASSET "HypervisorHash=00", "HypervisorHash\" asks", VC_ERR_UNSUPPORTED },
        { ASSET "FirmwareHash=00", "FirmwareHash\" asks", VC_ERR_UNSUPPORTED },
        { ASSET "AssetHashType=sha512", "AssetHashType\" asks", VC_ERR_UNSUPPORTED },
    };
    char path[PATH_MAX + 64], record[65536];
    vc_context *ctx = pt_context("mock", "allow_annotations=hypervisor.image hypervisor.kernel", NULL, NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const notes[] = { "other=1", cases[i].annotation, NULL };
        pt_pod(&p, "a", 0);
        p.pod.annotations = notes;
        if (cases[i].code) {
            PT_FAILS(cases[i].code, cases[i].words, vc_pod_create(ctx, &p.pod, NULL, &err));
            pt_nothing_left();
            continue;
        }
        PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
        PT_PATH(path, "%s/state/pods/a/pod.json", pt_root);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = read(fd, record, sizeof record - 1);
        close(fd);
        record[n > 0 ? n : 0] = '\0';
        assert_non_null(strstr(record, "\"settings\":[\"hypervisor.image=/etc/passwd\"]"));
        PT_FAILS(VC_ERR_INVAL, "ImagePath\" sets an option", vc_pod_set_annotations(ctx, "a", notes, &err));
        PT_OK(vc_pod_delete(ctx, "a", 0, &err));
    }
    pt_nothing_left();
    vc_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_annotations), cmocka_unit_test(test_assets),
        cmocka_unit_test(test_names),   cmocka_unit_test(test_choice), cmocka_unit_test(test_checked),
        cmocka_unit_test(test_missing), cmocka_unit_test(test_kept),    cmocka_unit_test(test_template), cmocka_unit_test(test_pool),
        cmocka_unit_test(test_console), cmocka_unit_test(test_old_sizes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
