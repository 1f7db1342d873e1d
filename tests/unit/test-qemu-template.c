/* SPDX-License-Identifier: Apache-2.0 */
/* test-qemu-template.c: templates of the qemu plugin against a scripted QEMU: the commands and their order, and every
 * way in which QEMU can fail at them.  The scripted QEMU is this program, which the plugin starts as it would start
 * QEMU; the last letter of the kernel's path says what it does. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <vc/template.h>

#include "lib/cleanup.h"
#include "lib/io.h"
#include "unit/fakehost.h"

extern const struct vc_plugin vc_plugin_entry;
static const struct vc_plugin *const plugin = &vc_plugin_entry;
static const struct vc_hypervisor_ops *ops;
static const struct vc_template_ops *templates;

/* What the scripted QEMU does. */
enum {
    FINE = 'a',
    DIES_AT_ONCE,    /* before it says anything */
    REFUSES,         /* the migration capability, as a QEMU would that has it not */
    DIES_READING,    /* the state is no good */
    DIES_SILENTLY,   /* the same, without a word */
    NEVER_RUNS,      /* says nothing after it took the state */
    TALKS_NONSENSE,  /* no JSON in place of the event */
    CANNOT_SAVE,     /* the migration fails */
    DIES_SAVING,     /* it ends in the middle */
    WRITES_NO_STATE, /* says that all was well and has written nothing */
    REFUSES_MEMORY,  /* no memory can be plugged in */
    LAST = REFUSES_MEMORY
};

/* ---- the scripted QEMU ---- */

static int out_fd;

static void say(const char *fmt, ...) VCS_PRINTF(1, 2);
static void say(const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof(line) - 2, fmt, ap);
    va_end(ap);
    line[n] = '\r', line[n + 1] = '\n';
    if (send(out_fd, line, (size_t)n + 2, MSG_NOSIGNAL) < 0)
        _exit(0);
}

/* The next line of the client, and the descriptor that came with it; -1 at its end. */
static int hear(char *line, size_t size, int *fd)
{
    for (size_t n = 0; n < size - 1; n++) {
        char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
        struct iovec iov = { line + n, 1 };
        struct msghdr m = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
        };
        struct cmsghdr *h;

        if (recvmsg(out_fd, &m, 0) != 1)
            return -1;
        if ((h = CMSG_FIRSTHDR(&m)))
            memcpy(fd, CMSG_DATA(h), sizeof(*fd));
        if (line[n] == '\n') {
            line[n] = '\0';
            return 0;
        }
    }
    return -1;
}

/* One command of the script; the id is its own. */
static void obey(int how, const char *line, int *state_fd)
{
    const char *at = strstr(line, "\"id\":");
    long id = at ? strtol(at + 5, NULL, 10) : -1;
    bool is_caps = strstr(line, "\"migrate-set-capabilities\""), saving = strstr(line, "\"migrate\"");

    if (strstr(line, "\"query-status\""))
        say("{\"return\": {\"status\": \"running\"}, \"id\": %ld}", id);
    else if (strstr(line, "\"query-migrate\""))
        say("{\"return\": {\"status\": \"failed\", \"error-desc\": \"the disk is full\"}, \"id\": %ld}", id);
    else if (strstr(line, "\"query-memory-size-summary\""))
        say("{\"return\": {\"base-memory\": 268435456, \"plugged-memory\": 0}, \"id\": %ld}", id);
    else if (strstr(line, "\"query-memory-devices\""))
        say("{\"return\": [], \"id\": %ld}", id);
    else if ((is_caps && how == REFUSES) || (strstr(line, "\"pc-dimm\"") && how == REFUSES_MEMORY))
        say("{\"id\": %ld, \"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing here\"}}", id);
    else if (is_caps && !strstr(line, "\"x-ignore-shared\""))
        say("{\"id\": %ld, \"error\": {\"class\": \"GenericError\", \"desc\": \"the memory would be copied\"}}", id);
    else
        say("{\"return\": {}, \"id\": %ld}", id);
    if (strstr(line, "\"quit\""))
        _exit(0);

    if (saving && how == DIES_SAVING)
        _exit(1);
    if (saving && how != WRITES_NO_STATE && (*state_fd < 0 || write(*state_fd, "a state", 7) != 7))
        _exit(1);
    if (saving)
        say("{\"event\": \"MIGRATION\", \"data\": {\"status\": \"active\"}}");
    if (saving)
        say("{\"event\": \"MIGRATION\", \"data\": {\"status\": \"%s\"}}", how == CANNOT_SAVE ? "failed" : "completed");

    if (!strstr(line, "\"migrate-incoming\"") || how == NEVER_RUNS)
        return;
    if (how == DIES_READING)
        fprintf(stderr, "qemu-system-x86_64: Unknown savevm section or instance\n");
    if (how == DIES_READING || how == DIES_SILENTLY)
        _exit(1);
    if (how == TALKS_NONSENSE)
        say("RESUME");
    say("{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"RESUME\"}");
}

/* Serve one client after the other on the inherited socket, as QEMU's monitor does. */
static int scripted_qemu(int argc, char **argv)
{
    int how = FINE, state_fd = -1;
    char line[4096];

    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], "-kernel"))
            how = argv[i + 1][strlen(argv[i + 1]) - 1];
    if (how == DIES_AT_ONCE)
        return 1;
    for (;;) {
        out_fd = accept4(3, NULL, NULL, SOCK_CLOEXEC);
        if (out_fd < 0)
            return 1;
        say("{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}}, \"capabilities\": []}}");
        while (hear(line, sizeof(line), &state_fd) == 0)
            obey(how, line, &state_fd);
        close(out_fd);
    }
}

/* ---- VMs ---- */

struct vm {
    struct fakehost fh;
    const char *config[24];
    char kernel[128], self[4096], dir[96];
    vc_inst *inst;
};

#define CALL(vm, ms, expr)                                                                                             \
    __extension__({                                                                                                    \
        struct vc_call call = fakehost_call(&(vm)->fh, ms);                                                            \
        (expr);                                                                                                        \
    })
#define OK(vm, expr)                                                                                                   \
    do {                                                                                                               \
        int r_ = CALL(vm, 10000, expr);                                                                                \
        if (r_ != VC_OK)                                                                                               \
            fail_msg("%s: %d: %s", #expr, r_, (vm)->fh.err.text);                                                      \
    } while (0)

/* A described VM whose QEMU does this; `memory` 0 = as configured. */
static void vm_open(struct vm *vm, int how, uint64_t memory)
{
    struct vc_vm_config config = { .size = sizeof(config), .netns_fd = -1, .memory = memory };
    ssize_t n;

    memset(vm, 0, sizeof(*vm));
    n = readlink("/proc/self/exe", vm->self, sizeof(vm->self) - 1);
    assert_true(n > 0);
    assert_int_equal(fakehost_init(&vm->fh, plugin, vm->config), 0);
    snprintf(vm->kernel, sizeof(vm->kernel), "%s/kernel-%c", vm->fh.dir, how);
    snprintf(vm->dir, sizeof(vm->dir), "%s/template", vm->fh.dir);
    assert_int_equal(mkdir(vm->dir, 0700), 0);
    assert_int_equal(vcs_write_file_atomic(AT_FDCWD, vm->kernel, "k", 1, 0600, 0), 0);
    const char *const c[] = { "path",        vm->self, "kernel",  vm->kernel, "initrd", vm->kernel,
                              "accelerator", "tcg",    "channel", "serial",   NULL };
    memcpy(vm->config, c, sizeof(c));
    OK(vm, plugin->inst->create(&vm->fh.host, &call, fakehost_config(&vm->fh), "pod1", &vm->inst));
    OK(vm, ops->vm_create(vm->inst, &call, &config));
}

static void vm_close(struct vm *vm)
{
    char run[128];

    OK(vm, plugin->inst->cleanup(vm->inst, &call));
    assert_int_equal(vm->fh.n_procs, 0);
    plugin->inst->close(vm->inst);
    snprintf(run, sizeof(run), "%s/run", vm->fh.dir);
    assert_int_equal(rmdir(run), 0); /* fails unless it is empty */
    fakehost_done(&vm->fh);
}

static void make_template(struct vm *vm)
{
    vm_open(vm, FINE, 0);
    OK(vm, templates->boot(vm->inst, &call, vm->dir));
    OK(vm, templates->save(vm->inst, &call, vm->dir));
    assert_int_equal(vm->fh.n_procs, 0);
}

/* Nothing of a start that failed is there, and the VM is as it was described. */
static void assert_nothing(struct vm *vm)
{
    uint32_t state = 99;
    char path[160];

    assert_true(vm->fh.err.text[0]);
    assert_int_equal(vm->fh.n_procs, 0);
    OK(vm, ops->vm_state(vm->inst, &call, &state));
    assert_int_equal(state, VC_VM_CREATED);
    snprintf(path, sizeof(path), "%s/run/qmp.sock", vm->fh.dir);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof(path), "%s/run/agent.sock", vm->fh.dir);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_cycle(void **state)
{
    struct vm maker, vm;
    struct vc_template_started started = { .size = sizeof(started) };
    struct stat st;
    char path[160];

    (void)state;
    make_template(&maker);
    snprintf(path, sizeof(path), "%s/memory", maker.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 256 << 20);
    assert_int_equal(st.st_mode & 0777, 0600);
    snprintf(path, sizeof(path), "%s/state", maker.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 7);
    assert_int_equal(st.st_mode & 0777, 0600);
    snprintf(path, sizeof(path), "%s/info", maker.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    vm_open(&vm, FINE, 0);
    OK(&vm, templates->start(vm.inst, &call, maker.dir, &started));
    assert_int_equal(vm.fh.n_procs, 1);
    assert_int_equal(CALL(&vm, 1000, templates->start(vm.inst, &call, maker.dir, NULL)), VC_E_STATE);
    vm_close(&vm);

    vm_open(&vm, FINE, UINT64_C(300) << 20);
    OK(&vm, templates->start(vm.inst, &call, maker.dir, &started));
    assert_int_equal(started.added_memory, 128 << 20);
    assert_int_equal(started.added_vcpus, 0);
    vm_close(&vm);
    vm_close(&maker);
}

static void test_start_fails(void **state)
{
    static const struct {
        int how, code;
        uint64_t memory;
        const char *text;
    } cases[] = {
        { DIES_AT_ONCE, VC_E_PEER, 0, "said nothing" },
        { REFUSES, VC_E_IO, 0, "no such thing here" },
        { DIES_READING, VC_E_CORRUPT, 0, "Unknown savevm section" },
        { DIES_SILENTLY, VC_E_CORRUPT, 0, "said nothing" },
        { NEVER_RUNS, VC_E_TIMEOUT, 0, "in time" },
        { TALKS_NONSENSE, VC_E_PROTOCOL, 0, "JSON" },
        { REFUSES_MEMORY, VC_E_IO, UINT64_C(512) << 20, "no such thing here" },
    };
    struct vm maker, vm;

    (void)state;
    make_template(&maker);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int r;

        vm_open(&vm, cases[i].how, cases[i].memory);
        r = CALL(&vm, cases[i].how == NEVER_RUNS ? 300 : 10000, templates->start(vm.inst, &call, maker.dir, NULL));
        print_message("%d: %s\n", r, vm.fh.err.text);
        assert_int_equal(r, cases[i].code);
        assert_non_null(strstr(vm.fh.err.text, cases[i].text));
        assert_nothing(&vm);
        vm_close(&vm);
    }
    vm_close(&maker);
}

static void test_save_fails(void **state)
{
    static const struct {
        int how, code;
        const char *text;
    } cases[] = {
        { CANNOT_SAVE, VC_E_IO, "the disk is full" },
        { DIES_SAVING, VC_E_PEER, "QEMU" },
        { WRITES_NO_STATE, VC_E_PROTOCOL, "0 bytes" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vm vm;
        char path[160];
        int r;

        vm_open(&vm, cases[i].how, 0);
        OK(&vm, templates->boot(vm.inst, &call, vm.dir));
        r = CALL(&vm, 10000, templates->save(vm.inst, &call, vm.dir));
        print_message("%d: %s\n", r, vm.fh.err.text);
        assert_int_equal(r, cases[i].code);
        assert_non_null(strstr(vm.fh.err.text, cases[i].text));
        snprintf(path, sizeof(path), "%s/info", vm.dir);
        assert_int_equal(access(path, F_OK), -1); /* so nothing starts from it */
        vm_close(&vm);
    }
}

static void write_at(const char *dir, const char *name, const void *data, size_t n, off_t at)
{
    char path[160];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, n, at), n);
    close(fd);
}

/* What does not fit together is found before QEMU is started. */
static void test_damaged(void **state)
{
    static const char *const damage[] = { "no info",        "info",          "state changed", "state longer",
                                          "memory changed", "memory longer", "memory empty",  "memory is a link",
                                          "no directory" };

    (void)state;
    for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
        struct vm vm;
        char path[160], other[160];
        int r;

        make_template(&vm);
        snprintf(path, sizeof(path), "%s/memory", vm.dir);
        snprintf(other, sizeof(other), "%s/other", vm.dir);
        switch (i) {
        case 0:
            snprintf(path, sizeof(path), "%s/info", vm.dir);
            assert_int_equal(unlink(path), 0);
            break;
        case 1:
            write_at(vm.dir, "info", "x", 1, 5);
            break;
        case 2:
            write_at(vm.dir, "state", "B", 1, 2);
            break;
        case 3:
            write_at(vm.dir, "state", "B", 1, 7);
            break;
        case 4:
            write_at(vm.dir, "memory", "B", 1, 4096);
            break;
        case 5:
            write_at(vm.dir, "memory", "B", 1, 256 << 20);
            break;
        case 6:
            assert_int_equal(truncate(path, 0), 0);
            break;
        case 7:
            assert_int_equal(rename(path, other), 0);
            assert_int_equal(symlink(other, path), 0);
            break;
        default:
            snprintf(vm.dir + strlen(vm.dir), 8, "-none");
        }
        vm.fh.spawned = 0;
        r = CALL(&vm, 10000, templates->start(vm.inst, &call, vm.dir, NULL));
        print_message("%s: %d: %s\n", damage[i], r, vm.fh.err.text);
        assert_int_equal(r, VC_E_CORRUPT);
        assert_int_equal(vm.fh.spawned, 0);
        vm_close(&vm);
    }
}

/* ---- key ---- */

static char *key_of(struct vm *vm)
{
    vc_sink *sink = fakehost_sink();
    char *text;

    OK(vm, templates->key(vm->inst, &call, sink));
    text = strdup(fakehost_sink_text(sink));
    fakehost_sink_free(sink);
    return text;
}

static int valid(struct vm *vm, const char *text)
{
    return CALL(vm, 1000, templates->valid(vm->inst, &call, (struct vc_bytes){ text, strlen(text) }));
}

static void test_key(void **state)
{
    struct vm a, b;
    char *ka, *kb, *p;
    struct stat st;

    (void)state;
    vm_open(&a, FINE, 0);
    vm_open(&b, FINE, UINT64_C(512) << 20);
    /* Two instances with the same files: the second one's kernel is the first one's. */
    ka = key_of(&a);
    kb = key_of(&a);
    assert_string_equal(ka, kb);
    free(kb);
    assert_int_equal(valid(&a, ka), VC_OK);
    assert_int_equal(valid(&b, ka), VC_OK); /* any instance can tell */
    kb = key_of(&b);
    assert_string_not_equal(ka, kb); /* another kernel */
    free(kb);

    /* Another content of a file: the key changes, and the old one is not valid any more. */
    assert_int_equal(stat(a.kernel, &st), 0);
    assert_int_equal(vcs_write_file_atomic(AT_FDCWD, a.kernel, "K", 1, 0600, 0), 0);
    kb = key_of(&a);
    assert_string_not_equal(ka, kb);
    free(kb);
    assert_int_equal(valid(&a, ka), VC_E_STATE);
    assert_non_null(strstr(a.fh.err.text, a.kernel));
    free(ka);
    ka = key_of(&a);
    assert_int_equal(valid(&a, ka), VC_OK);
    assert_int_equal(unlink(a.kernel), 0);
    assert_int_equal(valid(&a, ka), VC_E_STATE);
    assert_non_null(strstr(a.fh.err.text, "is gone"));

    /* Hostile texts. */
    kb = strdup(ka);
    assert_int_equal(vcs_write_file_atomic(AT_FDCWD, a.kernel, "K", 1, 0600, 0), 0);
    p = strstr(kb, "host.cpu=");
    assert_non_null(p);
    p[9] = p[9] == '0' ? '1' : '0';
    assert_int_equal(valid(&a, kb), VC_E_STATE);
    free(kb);
    for (size_t n = 0; n < strlen(ka); n++) { /* cut anywhere but between lines after the machine's own ones */
        kb = strndup(ka, n);
        if (n == 0 || ka[n - 1] != '\n')
            assert_int_equal(valid(&a, kb), VC_E_STATE);
        free(kb);
    }
    p = malloc(20000);
    memset(p, 'x', 20000);
    p[19999] = '\0';
    memcpy(p, "format=vc-qemu-key 1\n", 21);
    assert_int_equal(valid(&a, p), VC_E_STATE);
    free(p);
    free(ka);
    vm_close(&a);
    vm_close(&b);
}

static void test_unsupported(void **state)
{
    static const struct {
        uint64_t memory, max_memory;
        uint32_t vcpus, max_vcpus;
        const char *params;
        int code;
    } cases[] = {
        { 0, 0, 0, 0, NULL, VC_OK },
        { UINT64_C(300) << 20, 0, 4, 0, NULL, VC_OK },
        { UINT64_C(128) << 20, 0, 0, 0, NULL, VC_E_UNSUPPORTED },
        { UINT64_C(300) << 20, UINT64_C(300) << 20, 0, 0, NULL, VC_E_UNSUPPORTED }, /* 384 M are above its maximum */
        { 0, UINT64_C(1) << 38, 0, 0, NULL, VC_E_UNSUPPORTED },
        { 0, 0, 0, 100, NULL, VC_E_UNSUPPORTED },
        { 0, 0, 0, 0, "debug", VC_E_UNSUPPORTED },
        { 0, 0, 0, 0, "", VC_OK },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vm vm;
        vc_inst *inst = NULL;
        vc_sink *sink = fakehost_sink();
        struct vc_vm_config c = { .size = sizeof(c),
                                  .netns_fd = -1,
                                  .memory = cases[i].memory,
                                  .max_memory = cases[i].max_memory,
                                  .vcpus = cases[i].vcpus,
                                  .max_vcpus = cases[i].max_vcpus,
                                  .kernel_params = cases[i].params };

        vm_open(&vm, FINE, 0);
        OK(&vm, plugin->inst->create(&vm.fh.host, &call, fakehost_config(&vm.fh), "pod2", &inst));
        assert_int_equal(CALL(&vm, 1000, templates->key(inst, &call, sink)), VC_E_STATE); /* nothing described yet */
        OK(&vm, ops->vm_create(inst, &call, &c));
        if (CALL(&vm, 1000, templates->key(inst, &call, sink)) != cases[i].code)
            fail_msg("case %zu: %s", i, vm.fh.err.text);
        fakehost_sink_free(sink);
        plugin->inst->close(inst);
        vm_close(&vm);
    }
}

/* ---- what can be told before ---- */

/* `probe` of a configuration with some options of its own: its code, and its report or error in *ret. */
static int probe(struct vm *vm, const char *const *options, char **ret)
{
    vc_sink *sink = fakehost_sink();
    int n = 0, r;

    while (options[n])
        n++;
    memmove(vm->config + n, vm->config, (24 - (size_t)n) * sizeof(vm->config[0])); /* the first one of a name counts */
    memcpy(vm->config, options, (size_t)n * sizeof(vm->config[0]));
    r = CALL(vm, 10000, plugin->probe(&vm->fh.host, &call, fakehost_config(&vm->fh), sink));
    *ret = strdup(r < 0 ? vm->fh.err.text : fakehost_sink_text(sink));
    fakehost_sink_free(sink);
    print_message("%d: %s\n", r, *ret);
    return r;
}

static void test_probe(void **state)
{
    static char long_params[3000];
    bool vsock = !access("/dev/vhost-vsock", R_OK | W_OK), kvm = false;
    char line[8192];
    FILE *f = fopen("/proc/cpuinfo", "re");
    struct {
        const char *options[5];
        int code;
        const char *text;
    } cases[] = {
        { { NULL }, VC_OK, "templates: yes, with 1 vCPU (up to 8) and 256 MiB (up to 8192)" },
        { { "max_memory", "0", "max_vcpus", "0" }, VC_OK, "(up to 1) and 256 MiB (up to 256)" },
        { { "memory", "100000001" }, VC_E_INVAL, "whole MiB, at least 64 MiB and at most 4 TiB; this one is to have 100000001 bytes" },
        { { "max_memory", "2T" }, VC_E_INVAL, "max_memory of hypervisor qemu can be at most 983040 MiB" },
        { { "max_memory", "2T", "cpu", "max,phys-bits=44" }, VC_OK, "templates: yes" },
        { { "kernel_params", "quiet \"" }, VC_E_CONFIG, "kernel_params" },
        { { "kernel_params", long_params }, VC_E_CONFIG, "kernel_params" },
        { { "channel", "vsock" }, vsock ? VC_OK : VC_E_CONFIG, vsock ? "channel: vsock" : "vhost_vsock" },
        { { "accelerator", "kvm" }, VC_E_CONFIG, "accelerator = \"kvm\" of hypervisor qemu cannot be used here" },
    };

    (void)state;
    memset(long_params, 'x', sizeof(long_params) - 1);
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        kvm |= !strncmp(line, "flags", 5) && (strstr(line, " vmx ") || strstr(line, " svm "));
    fclose(f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]) - kvm; i++) {
        struct vm vm;
        char *text;

        vm_open(&vm, FINE, 0);
        if (probe(&vm, cases[i].options, &text) != cases[i].code || !strstr(text, cases[i].text))
            fail_msg("case %zu", i);
        free(text);
        vm_close(&vm);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cycle),   cmocka_unit_test(test_start_fails), cmocka_unit_test(test_save_fails),
        cmocka_unit_test(test_damaged), cmocka_unit_test(test_key),         cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_probe),
    };

    if (argc > 1 && !strcmp(argv[1], "-machine"))
        return scripted_qemu(argc, argv);
    ops = plugin->ops;
    templates = plugin->inst->ext(NULL, VC_EXT_TEMPLATE);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
