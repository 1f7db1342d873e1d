/* SPDX-License-Identifier: Apache-2.0 */
/* test-agent-container.c: what a container of vc-agent looks like from the inside. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-container.h"

static struct box b;
static struct result r;

static void run(void)
{
    box_run(&b, NULL, 0, &r);
    if (r.created < 0 || r.started < 0)
        fprintf(stderr, "error: %s\n", r.err.text);
    else if (r.errout[0])
        fprintf(stderr, "stderr: %s\n", r.errout);
}

static void assert_output(const char *script, const char *want)
{
    b.args[2] = (char *)(uintptr_t)script;
    run();
    assert_int_equal(r.created, 0);
    assert_int_equal(r.started, 0);
    assert_string_equal(r.out, want);
    assert_int_equal(r.status, 0);
}

/* Creation or start fails with this code, and the text names `what`. */
static void assert_fails(int code, const char *what)
{
    box_run(&b, NULL, 0, &r);
    if (r.created == 0 && r.started == 0)
        fail_msg("the container ran; it had to fail with '%s' (out: %s)", what, r.out);
    if (!strstr(r.err.text, what))
        fail_msg("error text '%s' does not have '%s'", r.err.text, what);
    assert_int_equal(r.err.code, code);
}

static void test_basics(void **state)
{
    (void)state;
    box_init(&b, "hostname; id -u; echo $$; echo oops >&2; exit 7");
    run();
    assert_int_equal(r.created, 0);
    assert_string_equal(r.out, "inside\n0\n1\n");
    assert_string_equal(r.errout, "oops\n");
    assert_int_equal(r.status, 7);
    box_init(&b, "kill -9 $$; kill -TERM $$; exec sleep 0");
    b.process.args[0] = (char *)(uintptr_t)"/bin/sh";
    run();
    assert_int_equal(r.status, 0); /* init without handlers is immune to signals of its own namespace */
}

static void test_stdin(void **state)
{
    (void)state;
    size_t n = 3u << 20;
    char *data = malloc(n);
    assert_non_null(data);
    memset(data, 'x', n);
    box_init(&b, "wc -c");
    box_run(&b, data, n, &r);
    free(data);
    assert_int_equal(r.status, 0);
    assert_int_equal(atoi(r.out), (int)n);
}

static void test_namespaces(void **state)
{
    (void)state;
    static const char *const own[] = {"mnt", "pid", "uts", "ipc"};
    char link[128], path[64], script[128];
    for (size_t i = 0; i < 5; i++) {
        const char *ns = i < 4 ? own[i] : "net";
        snprintf(path, sizeof(path), "/proc/self/ns/%s", ns);
        ssize_t len = readlink(path, link, sizeof(link) - 1);
        assert_true(len > 0);
        link[len] = '\0';
        snprintf(script, sizeof(script), "readlink /proc/self/ns/%s", ns);
        box_init(&b, script);
        run();
        assert_int_equal(r.status, 0);
        r.out[strcspn(r.out, "\n")] = '\0';
        assert_int_equal(strcmp(r.out, link) == 0, i == 4);
    }
    box_init(&b, "true");
    b.ns[0].type = (char *)(uintptr_t)"user";
    assert_fails(VCS_RPC_UNIMPLEMENTED, "user");
    box_init(&b, "hostname");
    b.lin.n_namespaces = 2; /* no uts */
    assert_fails(VCS_RPC_INVALID, "inside");
}

static void test_mounts(void **state)
{
    (void)state;
    box_init(&b, "");
    assert_output("cut -d' ' -f2,3 /proc/mounts 2>/dev/null || while read a b c d; do echo $b $c; done </proc/mounts",
                  "/ tmpfs\n/proc proc\n/dev tmpfs\n/dev/pts devpts\n/dev/shm tmpfs\n/dev/mqueue mqueue\n/sys sysfs\n");
    /* Nothing of the machine is left in the namespace, and nothing was made in the root directory. */
    box_init(&b, "");
    assert_output("ls -A /; ls -A / | wc -l; ls -A /data /tmp",
                  "bin\ndata\ndev\netc\nopt\nproc\nsys\ntmp\n8\n/data:\n\n/tmp:\n");
    char path[8300];
    snprintf(path, sizeof(path), "%s/dev/null", box_root);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_bind(void **state)
{
    (void)state;
    char src[4200], file[4300];
    snprintf(src, sizeof(src), "%s/../src", box_root);
    mkdir(src, 0755);
    snprintf(file, sizeof(file), "%s/hello", src);
    close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    box_init(&b, "");
    box_mount(&b, "/data", "bind", src, "rbind,ro");
    assert_output("ls /data; touch /data/x 2>/dev/null || echo refused", "hello\nrefused\n");
    box_init(&b, "");
    box_mount(&b, "/data", "bind", src, "bind,rw,noexec");
    assert_output("echo new >/data/x; cat /data/x; grep -c ' /data .*noexec' /proc/mounts", "new\n1\n");
    /* Mount points in a tmpfs of the container are made, in the root filesystem they are not. */
    box_init(&b, "");
    box_mount(&b, "/dev/deep/er/file", "bind", file, "bind");
    assert_output("ls -A /dev/deep/er", "file\n");
    box_init(&b, "true");
    box_mount(&b, "/missing/place", "bind", src, "bind");
    assert_fails(VCS_RPC_NOTFOUND, "/missing");
    box_init(&b, "true");
    box_mount(&b, "/missing", "tmpfs", "tmpfs", "");
    assert_fails(VCS_RPC_NOTFOUND, "'/missing' is missing");
    box_init(&b, "true");
    box_mount(&b, "/data", "bind", "/does/not/exist", "bind");
    assert_fails(VCS_RPC_NOTFOUND, "/does/not/exist");
    box_init(&b, "true");
    box_mount(&b, "/data", "tmpfs", "tmpfs", "size=1m,nonsense=1");
    assert_fails(VCS_RPC_INVALID, "nonsense=1");
    box_init(&b, "true");
    box_mount(&b, "/data", "nosuchfs", "x", "");
    assert_fails(VCS_RPC_INTERNAL, "nosuchfs");
}

/* A link in the root filesystem that points out of it leads to a place within. */
static void test_link_targets(void **state)
{
    (void)state;
    char link[4200];
    snprintf(link, sizeof(link), "%s/evil", box_root);
    assert_int_equal(symlink("/../../../../data", link), 0);
    box_init(&b, "");
    box_mount(&b, "/evil", "tmpfs", "tmpfs", "mode=777");
    assert_output("touch /data/in; ls /evil; grep -c ' /data ' /proc/mounts", "in\n1\n");
    unlink(link);
    assert_int_equal(symlink("/tmp", link), 0);
    box_init(&b, "true");
    box_mount(&b, "/evil", "proc", "proc", "");
    box_run(&b, NULL, 0, &r);
    assert_int_equal(r.created, -1);
    assert_non_null(strstr(r.err.text, "no link"));
    unlink(link);
}

static void test_readonly_root(void **state)
{
    (void)state;
    box_init(&b, "");
    b.root.readonly = 1;
    assert_output("touch /x 2>/dev/null || echo refused; touch /dev/shm/x && echo ok", "refused\nok\n");
    char path[4200];
    snprintf(path, sizeof(path), "%s/x", box_root);
    assert_int_equal(access(path, F_OK), -1);
    box_init(&b, "touch /x");
    run();
    assert_int_equal(r.status, 0);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

static void test_protected_paths(void **state)
{
    (void)state;
    char *masked[] = {(char *)(uintptr_t)"/etc/passwd", (char *)(uintptr_t)"/sys/fs", (char *)(uintptr_t)"/not/there"};
    char *ro[] = {(char *)(uintptr_t)"/opt", (char *)(uintptr_t)"/proc/sys"};
    box_init(&b, "");
    b.lin.masked_paths = masked;
    b.lin.n_masked_paths = 3;
    b.lin.readonly_paths = ro;
    b.lin.n_readonly_paths = 2;
    assert_output("cat /etc/passwd; ls -A /sys/fs; touch /opt/x 2>/dev/null || echo refused;"
                  "echo 1 2>/dev/null >/proc/sys/kernel/shm_rmid_forced || echo refused", "refused\nrefused\n");
}

static void test_users(void **state)
{
    (void)state;
    static const char script[] = "id -u; id -g; id -G; echo $HOME";
    box_init(&b, "");
    b.user.username = (char *)(uintptr_t)"www";
    assert_output(script, "33\n34\n34 44 63\n/var/www\n");
    box_init(&b, "");
    b.user.username = (char *)(uintptr_t)"www:staff";
    assert_output(script, "33\n50\n50\n/var/www\n");
    box_init(&b, "");
    b.user.username = (char *)(uintptr_t)"1234:99";
    assert_output(script, "1234\n99\n99\n/\n");
    uint32_t gids[] = {7, 8};
    box_init(&b, "");
    b.user.uid = 5;
    b.user.gid = 6;
    b.user.additional_gids = gids;
    b.user.n_additional_gids = 2;
    b.env[1] = (char *)(uintptr_t)"HOME=/mine";
    b.process.n_env = 2;
    assert_output(script, "5\n6\n6 7 8\n/mine\n");
    box_init(&b, "true");
    b.user.username = (char *)(uintptr_t)"nobody-here";
    assert_fails(VCS_RPC_INVALID, "nobody-here");
    box_init(&b, "true");
    b.user.username = (char *)(uintptr_t)"www:nogroup-here";
    assert_fails(VCS_RPC_INVALID, "nogroup-here");
    /* What a user gets as output it may open again. */
    box_init(&b, "");
    b.user.username = (char *)(uintptr_t)"www";
    assert_output("echo again >/dev/stdout", "again\n");
}

static void test_caps(void **state)
{
    (void)state;
    static const char script[] = "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | tr -d '\\t'";
    box_init(&b, "");
    assert_output(script, "CapInh:0000000000000000\nCapPrm:00000000080004eb\nCapEff:00000000080004eb\n"
                          "CapBnd:00000000080004eb\nCapAmb:0000000000000000\n");
    box_init(&b, "");
    b.process.capabilities = NULL;
    assert_output(script, "CapInh:0000000000000000\nCapPrm:0000000000000000\nCapEff:0000000000000000\n"
                          "CapBnd:0000000000000000\nCapAmb:0000000000000000\n");
    /* A user keeps capabilities across execve only as ambient ones. */
    box_init(&b, "");
    b.user.uid = 33;
    b.caps.inheritable = b.caps.ambient = b.cap_names;
    b.caps.n_inheritable = b.caps.n_ambient = 1;
    assert_output("grep -E 'Cap(Prm|Amb)' /proc/self/status | tr -d '\\t'",
                  "CapPrm:0000000000000001\nCapAmb:0000000000000001\n");
    box_init(&b, "true");
    b.cap_names[0] = (char *)(uintptr_t)"CAP_NONSENSE";
    assert_fails(VCS_RPC_INVALID, "CAP_NONSENSE");
}

static void set_seccomp(Oci__LinuxSeccomp *sec, Oci__LinuxSyscall *sc, Oci__LinuxSyscall **list, char **name)
{
    oci__linux_seccomp__init(sec);
    oci__linux_syscall__init(sc);
    sec->default_action = (char *)(uintptr_t)"SCMP_ACT_ALLOW";
    sc->action = (char *)(uintptr_t)"SCMP_ACT_ERRNO";
    sc->names = name;
    sc->n_names = 1;
    *list = sc;
    sec->syscalls = list;
    sec->n_syscalls = 1;
    b.lin.seccomp = sec;
}

static void test_seccomp(void **state)
{
    (void)state;
    Oci__LinuxSeccomp sec;
    Oci__LinuxSyscall sc, *list;
    Oci__LinuxSeccompArg arg, *args = &arg;
    char *names[] = {(char *)(uintptr_t)"mkdir", (char *)(uintptr_t)"no_such_call"};
    for (int nnp = 0; nnp < 2; nnp++) {
        box_init(&b, "");
        set_seccomp(&sec, &sc, &list, names);
        sc.n_names = 2;
        sc.errno_ret = ENOTTY; /* a number nothing else would give */
        b.process.no_new_privileges = nnp;
        assert_output("mkdir /dev/shm/x 2>&1; grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'",
                      nnp ? "mkdir: can't create directory '/dev/shm/x': Inappropriate ioctl for device\n"
                            "NoNewPrivs:1\nSeccomp:2\n"
                          : "mkdir: can't create directory '/dev/shm/x': Inappropriate ioctl for device\n"
                            "NoNewPrivs:0\nSeccomp:2\n");
    }
    /* Rules with arguments: kill with signal 10 only is refused. */
    names[0] = (char *)(uintptr_t)"kill";
    box_init(&b, "");
    set_seccomp(&sec, &sc, &list, names);
    oci__linux_seccomp_arg__init(&arg);
    arg.index = 1;
    arg.value = 10;
    arg.op = (char *)(uintptr_t)"SCMP_CMP_EQ";
    sc.args = &args;
    sc.n_args = 1;
    assert_output("sleep 100 & kill -10 $! 2>/dev/null || echo refused; kill -9 $! && echo ok", "refused\nok\n");
    box_init(&b, "true");
    set_seccomp(&sec, &sc, &list, names);
    sc.action = (char *)(uintptr_t)"SCMP_ACT_WHAT";
    assert_fails(VCS_RPC_INVALID, "SCMP_ACT_WHAT");
}

static void test_limits(void **state)
{
    (void)state;
    Oci__POSIXRlimit l, *list = &l;
    Oci__StringEntry e, *entries = &e;
    oci__posixrlimit__init(&l);
    l.type = (char *)(uintptr_t)"RLIMIT_NOFILE";
    l.soft = 100;
    l.hard = 200;
    oci__string_entry__init(&e);
    e.key = (char *)(uintptr_t)"kernel.msgmax";
    e.value = (char *)(uintptr_t)"4321";
    box_init(&b, "");
    b.process.rlimits = &list;
    b.process.n_rlimits = 1;
    b.process.oom_score_adj = 321;
    b.lin.sysctl = &entries;
    b.lin.n_sysctl = 1;
    assert_output("ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj /proc/sys/kernel/msgmax; umask",
                  "100\n200\n321\n4321\n0022\n");
    FILE *f = fopen("/proc/sys/kernel/msgmax", "r");
    int value = 0;
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &value), 1);
    fclose(f);
    assert_int_not_equal(value, 4321);
    static const char *const bad[] = {"kernel.panic", "vm.swappiness", "../kernel/msgmax", "net/../kernel/panic",
                                      "kernel.hostname"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        box_init(&b, "true");
        e.key = (char *)(uintptr_t)bad[i];
        b.lin.sysctl = &entries;
        b.lin.n_sysctl = 1;
        assert_fails(VCS_RPC_INVALID, bad[i]);
    }
    box_init(&b, "true");
    l.type = (char *)(uintptr_t)"RLIMIT_WHAT";
    b.process.rlimits = &list;
    b.process.n_rlimits = 1;
    assert_fails(VCS_RPC_INVALID, "RLIMIT_WHAT");
}

/* What the agent raises and lowers for itself is not the container's. */
static void test_own_limits(void **state)
{
    (void)state;
    struct rlimit old, low, high;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = (struct rlimit){.rlim_cur = 256, .rlim_max = old.rlim_max};
    high = (struct rlimit){.rlim_cur = 512, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    vca_rlimits_keep();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &high), 0);
    assert_int_equal(agent_write_file("/proc/self/oom_score_adj", "300"), 0);
    box_init(&b, "");
    assert_output("ulimit -n; cat /proc/self/oom_score_adj; (echo -300 >/proc/self/oom_score_adj) 2>/dev/null || echo kept",
                  "256\n0\nkept\n");
    assert_int_equal(agent_write_file("/proc/self/oom_score_adj", "0"), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    vca_rlimits_keep();
}

/* What a profile does not list gets the error the profile names. */
static void test_default_errno(void **state)
{
    (void)state;
    static const char *const allowed[] = {
        "read", "write", "open", "openat", "close", "stat", "fstat", "lstat", "newfstatat", "statx", "mmap", "munmap",
        "mprotect", "mremap", "brk", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "ioctl", "access", "faccessat",
        "execve", "exit", "exit_group", "wait4", "clone", "clone3", "fork", "vfork", "getpid", "getppid", "getuid",
        "geteuid", "getgid", "getegid", "fcntl", "dup", "dup2", "dup3", "pipe", "pipe2", "uname", "arch_prctl",
        "set_tid_address", "set_robust_list", "rseq", "prlimit64", "getrandom", "getcwd", "readlink", "readlinkat",
        "chdir", "futex", "poll", "umask", "writev", "lseek", "prctl", "setgroups", "getpgrp", "getpgid"};
    Oci__LinuxSeccomp sec;
    Oci__LinuxSyscall sc, *list;
    box_init(&b, "");
    set_seccomp(&sec, &sc, &list, (char **)(uintptr_t)allowed);
    sc.n_names = sizeof(allowed) / sizeof(allowed[0]);
    sc.action = (char *)(uintptr_t)"SCMP_ACT_ALLOW";
    sec.default_action = (char *)(uintptr_t)"SCMP_ACT_ERRNO";
    sec.default_errno_ret = ENOTTY;
    b.process.no_new_privileges = 1;
    assert_output("mkdir /dev/shm/x 2>&1; :", "mkdir: can't create directory '/dev/shm/x': Inappropriate ioctl for device\n");
}

/* A program that cannot be executed is told of, whatever the filter allows. */
static void test_strict_filter(void **state)
{
    (void)state;
    Oci__LinuxSeccomp sec;
    Oci__LinuxSyscall sc, *list;
    char *names[] = {(char *)(uintptr_t)"sendmsg", (char *)(uintptr_t)"sendto"};
    for (int nnp = 0; nnp < 2; nnp++) {
        box_init(&b, "true");
        set_seccomp(&sec, &sc, &list, names);
        sc.n_names = 2;
        b.process.no_new_privileges = nnp;
        b.process.args[0] = (char *)(uintptr_t)"missing-program";
        box_run(&b, NULL, 0, &r);
        assert_int_equal(r.created, 0);
        assert_int_equal(r.started, -1);
        assert_int_equal(r.err.code, VCS_RPC_NOTFOUND);
        assert_int_equal(r.status, 127);
    }
}

static void test_devices(void **state)
{
    (void)state;
    Oci__LinuxDevice d, *list = &d;
    box_init(&b, "");
    assert_output("ls -l /dev | grep '^c' | wc -l; readlink /dev/fd; readlink /dev/stderr; readlink /dev/ptmx;"
                  "stat -c '%t:%T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty;"
                  "head -c 3 /dev/zero | wc -c",
                  "6\n/proc/self/fd\n/proc/self/fd/2\npts/ptmx\n"
                  "1:3 666\n1:5 666\n1:7 666\n1:8 666\n1:9 666\n5:0 666\n3\n");
    oci__linux_device__init(&d);
    d.path = (char *)(uintptr_t)"/dev/sub/mine";
    d.type = (char *)(uintptr_t)"c";
    d.major = 1;
    d.minor = 3;
    d.file_mode = 0640;
    d.uid = 5;
    d.gid = 6;
    box_init(&b, "");
    b.lin.devices = &list;
    b.lin.n_devices = 1;
    assert_output("stat -c '%F %t:%T %a %u:%g' /dev/sub/mine", "character special file 1:3 640 5:6\n");
    d.path = (char *)(uintptr_t)"/data/dev";
    box_init(&b, "true");
    b.lin.devices = &list;
    b.lin.n_devices = 1;
    assert_fails(VCS_RPC_PERM, "/data/dev");
}

static void test_device_rules(void **state)
{
    (void)state;
    Oci__LinuxDeviceCgroup rule[3], *list[3] = {&rule[0], &rule[1], &rule[2]};
    if (vca_cgroup_config.disabled)
        skip();
    for (int i = 0; i < 3; i++)
        oci__linux_device_cgroup__init(&rule[i]);
    rule[0].access = (char *)(uintptr_t)"rwm"; /* deny all */
    rule[1].allow = 1;
    rule[1].type = (char *)(uintptr_t)"c";
    rule[1].major = 1;
    rule[1].minor = 11;
    rule[1].access = (char *)(uintptr_t)"w";
    rule[2].type = (char *)(uintptr_t)"c";
    rule[2].major = 1;
    rule[2].minor = 5;
    rule[2].access = (char *)(uintptr_t)"w";
    static const char script[] = "mknod /dev/kmsg c 1 11; (: >/dev/kmsg) 2>/dev/null && echo write;"
                                 "head -c 1 /dev/zero | wc -c;"
                                 "(: >/dev/zero) 2>/dev/null && echo zero; echo x >/dev/null && echo null";
    box_init(&b, "");
    b.res.devices = list;
    b.res.n_devices = 1;
    assert_output(script, "1\nzero\nnull\n");
    box_init(&b, "");
    b.res.devices = list;
    b.res.n_devices = 3;
    assert_output(script, "write\n1\nnull\n");
    rule[1].type = (char *)(uintptr_t)"x";
    box_init(&b, "true");
    b.res.devices = list;
    b.res.n_devices = 3;
    assert_fails(VCS_RPC_INVALID, "type 'x'");
}

static void test_program_errors(void **state)
{
    (void)state;
    box_init(&b, "");
    b.args[0] = (char *)(uintptr_t)"no-such-program";
    assert_fails(VCS_RPC_NOTFOUND, "no-such-program");
    assert_int_equal(r.status, 127);
    box_init(&b, "");
    b.args[0] = (char *)(uintptr_t)"/etc/passwd";
    assert_fails(VCS_RPC_PERM, "/etc/passwd");
    assert_int_equal(r.status, 126);
    box_init(&b, "");
    b.args[0] = (char *)(uintptr_t)"/bin";
    assert_fails(VCS_RPC_PERM, "'/bin'");
    assert_int_equal(r.status, 126);
    box_init(&b, "");
    b.process.cwd = (char *)(uintptr_t)"/nowhere";
    assert_fails(VCS_RPC_NOTFOUND, "/nowhere");
    box_init(&b, "");
    b.process.n_args = 0;
    assert_fails(VCS_RPC_INVALID, "no program");
    box_init(&b, "");
    b.root.path = (char *)(uintptr_t)"/no/root/here";
    assert_fails(VCS_RPC_NOTFOUND, "/no/root/here");
    box_init(&b, "");
    b.req.oci = NULL;
    assert_fails(VCS_RPC_INVALID, "linux section");
    box_init(&b, "");
    b.process.cwd = (char *)(uintptr_t)"/opt";
    assert_output("pwd", "/opt\n");
}

/* Nothing of the agent is open in the container, not even by a working directory below /proc/self/fd. */
static void test_no_leaks(void **state)
{
    (void)state;
    int extra = open("/", O_RDONLY | O_DIRECTORY); /* one without CLOEXEC, to be sure */
    box_init(&b, "");
    assert_output("ls /proc/self/fd", "0\n1\n2\n3\n"); /* 3 is the directory itself */
    for (int fd = 0; fd < 40; fd++) {
        char cwd[64];
        snprintf(cwd, sizeof(cwd), "/proc/self/fd/%d", fd);
        box_init(&b, "true");
        b.process.cwd = cwd;
        box_run(&b, NULL, 0, &r);
        assert_int_equal(r.created, -1);
    }
    close(extra);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_basics),          cmocka_unit_test(test_stdin),
        cmocka_unit_test(test_namespaces),      cmocka_unit_test(test_mounts),
        cmocka_unit_test(test_bind),            cmocka_unit_test(test_link_targets),
        cmocka_unit_test(test_readonly_root),   cmocka_unit_test(test_protected_paths),
        cmocka_unit_test(test_users),           cmocka_unit_test(test_caps),
        cmocka_unit_test(test_seccomp),         cmocka_unit_test(test_limits),
        cmocka_unit_test(test_own_limits),      cmocka_unit_test(test_strict_filter),
        cmocka_unit_test(test_default_errno),
        cmocka_unit_test(test_devices),         cmocka_unit_test(test_device_rules),
        cmocka_unit_test(test_program_errors),  cmocka_unit_test(test_no_leaks),
    };
    box_setup();
    int fds = box_count_fds();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (box_count_fds() > fds + 1) { /* the handle of the agent's own pid namespace stays */
        fprintf(stderr, "descriptors leak: %d before, %d after\n", fds, box_count_fds());
        failed++;
    }
    box_teardown();
    return failed;
}
