/* SPDX-License-Identifier: Apache-2.0 */
/* bench.c: the figures of `make bench`: one JSON line each, {"name","unit","min","median","max","runs"}.
 *
 * usage: bench VIRTC ROOTFS WORKDIR [GROUP...]
 *        groups: cycle, load, list, warm, pool, clones, stop, template (bench-vm.c), boot, exec, memory
 *        bench --cycles N VIRTC ROOTFS WORKDIR    N create+start+stop+delete with mock and noop, nothing printed
 *
 * VIRTC is an installed virtc (its configuration is the installation's own); ROOTFS a busybox root; WORKDIR is
 * for files and, for the figures with mock and noop, state; it should be on tmpfs. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vccore/vccore.h>

/* What a virtio-serial port alone carries in large pieces under emulation on a two core build machine, MB/s. */
#define RAW_FROM_GUEST 1075.0
#define RAW_TO_GUEST 422.0
const char *virtc, *rootfs, *workdir, *template_dir;
static const char *library_path;

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

void die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("bench: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double report(const char *name, const char *unit, double *v, size_t n)
{
    if (!n)
        die("no samples for %s", name);
    qsort(v, n, sizeof *v, by_value);
    double median = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
    printf("{\"name\":\"%s\",\"unit\":\"%s\",\"min\":%.3f,\"median\":%.3f,\"max\":%.3f,\"runs\":%zu}\n", name, unit, v[0], median,
           v[n - 1], n);
    fflush(stdout);
    return median;
}

/* ---- running a program ------------------------------------------------------------------------ */
/* Where the guest's marks can be read (-1: nowhere), and when the first came. */
static int mark_fd = -1;
static int64_t mark_ns;

/* Wait until there is output; see when a mark comes. */
static void await_output(int fd)
{
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = mark_ns ? -1 : mark_fd, .events = POLLIN}};
    while (poll(p, 2, -1) < 0 || !p[0].revents) {
        char c;
        if ((p[1].revents & POLLIN) && read(mark_fd, &c, 1) == 1)
            mark_ns = now_ns();
        if (mark_ns || (p[1].revents & POLLHUP))
            p[1].fd = -1;
    }
}

int for_memory;

/* Not by fork: copying the memory of this program would be in the figures. */
static pid_t start(char *const *argv, int in, int out)
{
    pid_t pid;
    posix_spawn_file_actions_t files;
    int bad = posix_spawn_file_actions_init(&files);
    if (!bad && in >= 0)
        bad = posix_spawn_file_actions_adddup2(&files, in, 0);
    else if (!bad)
        bad = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    bad = bad ? bad : posix_spawn_file_actions_adddup2(&files, out, 1);
    bad = bad ? bad : posix_spawn(&pid, argv[0], &files, NULL, argv, environ);
    if (bad)
        die("%s: %s", argv[0], strerror(bad));
    posix_spawn_file_actions_destroy(&files);
    return pid;
}

/* The peak of what shares its memory with this program until it is executed would be that of this program. */
static pid_t start_forked(char *const *argv, int in, int out)
{
    pid_t pid = fork();
    if (pid < 0)
        die("fork: %m");
    if (pid == 0) {
        int null = in >= 0 ? in : open("/dev/null", O_RDONLY | O_CLOEXEC);
        dup2(null, 0);
        dup2(out, 1);
        execv(argv[0], argv);
        fprintf(stderr, "bench: %s: %m\n", argv[0]);
        _exit(127);
    }
    return pid;
}

void run(char *const *argv, int in, int stop_at_first, struct ran *r)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        die("pipe: %m");
    fcntl(p[0], F_SETPIPE_SZ, 1 << 20);
    memset(r, 0, sizeof *r);
    r->start = now_ns();
    pid_t pid = for_memory ? start_forked(argv, in, p[1]) : start(argv, in, p[1]);
    close(p[1]);
    static char sink[1 << 20];
    for (;;) {
        if (mark_fd >= 0)
            await_output(p[0]);
        ssize_t n = read(p[0], sink, sizeof sink);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        if (!r->first)
            r->first = now_ns();
        r->out_total += (uint64_t)n;
        size_t keep = sizeof r->out - 1 - r->out_len;
        keep = keep < (size_t)n ? keep : (size_t)n;
        memcpy(r->out + r->out_len, sink, keep);
        r->out_len += keep;
        if (stop_at_first) {
            kill(pid, SIGKILL);
            break;
        }
    }
    close(p[0]);
    struct rusage ru;
    while (wait4(pid, &r->status, 0, &ru) < 0)
        if (errno != EINTR)
            die("wait4: %m");
    r->end = now_ns();
    r->max_rss_kb = ru.ru_maxrss;
}

void run_virtc(struct ran *r, int in, int want, ...)
{
    char *argv[MAX_ARGS] = {(char *)virtc, (char *)"--set", (char *)template_dir};
    size_t n = 3;
    va_list ap;
    va_start(ap, want);
    while (n < MAX_ARGS - 1 && (argv[n] = va_arg(ap, char *)))
        n++;
    va_end(ap);
    run(argv, in, 0, r);
    if (want >= 0 && (!WIFEXITED(r->status) || WEXITSTATUS(r->status) != want))
        die("virtc %s %s ended with status 0x%x instead of exit code %d", argv[3], argv[4] ? argv[4] : "", r->status, want);
}

char *slurp(const char *path, size_t *ret_n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    size_t cap = 1 << 20, n = 0;
    char *b = malloc(cap + 1);
    ssize_t got;
    while (b && n < cap && (got = read(fd, b + n, cap - n)) > 0)
        n += (size_t)got;
    close(fd);
    if (b)
        b[n] = 0;
    if (ret_n)
        *ret_n = n;
    return b;
}

/* ---- group boot: virtc run against the bare boot ---------------------------------------------- */
static char *qemu_argv[MAX_ARGS];

char *text(const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&s, fmt, ap) < 0)
        die("out of memory");
    va_end(ap);
    return s;
}

/* Pid of the VMM of a pod, from `virtc --json pod status`. */
static int vmm_pid(const char *pod)
{
    struct ran r;
    run_virtc(&r, -1, 0, "--json", "pod", "status", pod, NULL);
    char *p = strstr(r.out, "\"vmm_pid\":");
    return p ? (int)strtol(p + 10, NULL, 10) : 0;
}

/* Take the command line of a pod's QEMU and make it one of a bare boot: same machine, kernel, initramfs and
 * devices, sockets replaced by nothing, a marker port on standard output. */
static void learn_qemu(void)
{
    struct ran r;
    run_virtc(&r, -1, 0, "pod", "create", "--template", "off", "--name", "bench-learn", NULL);
    char *path = text("/proc/%d/cmdline", vmm_pid("bench-learn"));
    size_t n, k = 0;
    char *raw = slurp(path, &n);
    char *exe = NULL;
    path = text("/proc/%d/exe", vmm_pid("bench-learn"));
    exe = realpath(path, NULL);
    if (!raw || !exe)
        die("cannot read %s", path);
    for (char *p = raw; p < raw + n && k < MAX_ARGS - 8; p += strlen(p) + 1) {
        char *id = strstr(p, "id=");
        if (strncmp(p, "socket,", 7) == 0 && id)
            qemu_argv[k++] = text("null,%.*s", (int)strcspn(id, ","), id);
        else if (strncmp(p, "file,", 5) == 0 && id)
            qemu_argv[k++] = text("null,%.*s", (int)strcspn(id, ","), id);
        else if (strstr(p, "local,") == p && strstr(p, "path="))
            qemu_argv[k++] = text("%.*spath=/tmp%s", (int)(strstr(p, "path=") - p), p, strchr(strstr(p, "path="), ',') ? strchr(strstr(p, "path="), ',') : "");
        else if (k && strcmp(qemu_argv[k - 1], "-append") == 0)
            qemu_argv[k++] = text("%s VC_MARK=1", p);
        else
            qemu_argv[k++] = p;
    }
    qemu_argv[0] = exe;
    static const char *const extra[] = {"-chardev", "stdio,id=vcmark,signal=off", "-device", "isa-debugcon,iobase=0xe9,chardev=vcmark"};
    for (size_t i = 0; i < 4; i++)
        qemu_argv[k++] = (char *)extra[i];
    qemu_argv[k] = NULL;
    run_virtc(&r, -1, 0, "pod", "delete", "--force", "bench-learn", NULL);
}

static int by_time(const void *a, const void *b)
{
    int64_t x = ((const struct moment *)a)->at, y = ((const struct moment *)b)->at;
    return (x > y) - (x < y);
}

/* A line of the log: a phase, the start of a program, or what a plugin says at debug level in one word. */
static int read_moment(const char *line, size_t len, struct moment *m)
{
    const char *name = memmem(line, len, "\"phase\":\"", 9), *at = memmem(line, len, "\"mono_ns\":", 10);
    const char *began = memmem(line, len, "\"msg\":\"started /", 16), *end;
    if (!at)
        return 0;
    m->at = strtoll(at + 10, NULL, 10);
    if (name) {
        name += 9;
        snprintf(m->name, sizeof m->name, "%.*s", (int)strcspn(name, "\""), name);
        return 1;
    }
    if (!began || !(end = strstr(began, " as pid ")))
        return 0;
    while (end > began && end[-1] != '/')
        end--;
    snprintf(m->name, sizeof m->name, "exec-%.*s", (int)strcspn(end, " "), end);
    char *dash = strstr(m->name, "-system-"); /* one name for the VMM of every machine */
    if (dash)
        *dash = '\0';
    return 1;
}

size_t read_moments(const char *log, struct moment *m, size_t max)
{
    size_t n = 0;
    for (const char *line = log; line && *line && n < max; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        n += (size_t)read_moment(line, strcspn(line, "\n"), &m[n]);
    return n;
}

void add_phases(struct phases *ph, const char *log, const struct ran *r)
{
    struct moment m[MAX_PHASES];
    size_t n = read_moments(log, m, MAX_PHASES - 3);
    if (!n)
        die("the log of virtc has no phases");
    if (mark_ns)
        m[n++] = (struct moment){"kernel-booted", mark_ns};
    m[n++] = (struct moment){"first-byte", r->first};
    m[n++] = (struct moment){"ended", r->end};
    qsort(m, n, sizeof *m, by_time);
    int64_t last = r->start;
    for (size_t k = 0; k < n; k++) {
        size_t i = 0;
        while (i < ph->n && strcmp(ph->name[i], m[k].name) != 0)
            i++;
        if (i == MAX_PHASES)
            continue;
        if (i == ph->n)
            memcpy(ph->name[ph->n++], m[k].name, sizeof m[k].name);
        if (ph->runs[i] < RUNS)
            ph->ms[i][ph->runs[i]++] = (double)(m[k].at - last) / 1e6;
        last = m[k].at;
    }
}

void report_phases(const char *prefix, struct phases *ph)
{
    for (size_t i = 0; i < ph->n; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s_%s", prefix, ph->name[i]);
        report(name, "ms", ph->ms[i], ph->runs[i]);
    }
}

/* A run with its phases in ms; the guest's mark comes through a fifo that a QEMU of ours writes to. */
static double run_phases(struct phases *ph, const char *log, const char *fifo, const char *path_option)
{
    struct ran r;
    unlink(log);
    mark_ns = 0;
    mark_fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (mark_fd < 0)
        die("%s: %m", fifo);
    run_virtc(&r, -1, 0, "--debug", "--log-format", "json", "--log", log, "--set", path_option, "--set",
              "hypervisor_qemu.kernel_params=VC_MARK=1", "run", "--rm", "--template", "off", "--rootfs", rootfs, "--", "echo", "x", NULL);
    close(mark_fd);
    mark_fd = -1;
    char *lines = slurp(log, NULL);
    if (!lines)
        die("virtc wrote no log");
    add_phases(ph, lines, &r);
    free(lines);
    return (double)(r.first - r.start) / 1e6;
}

/* A program that starts QEMU with a debug console on a fifo. */
static void make_wrapper(const char *path, const char *fifo)
{
    FILE *f = fopen(path, "we");
    if (!f || mkfifo(fifo, 0600) < 0)
        die("%s or %s: %m", path, fifo);
    fprintf(f, "#!/bin/sh\nexec '%s' \"$@\" -chardev file,id=vcmark,path='%s' -device isa-debugcon,iobase=0xe9,chardev=vcmark\n",
            qemu_argv[0], fifo);
    if (fchmod(fileno(f), 0755) < 0 || fclose(f) != 0)
        die("%s: %m", path);
}

static void bench_boot(void)
{
    static double boot[RUNS], whole[RUNS], ratio[RUNS], first[RUNS];
    static struct phases ph;
    struct ran r;
    char *wrapper = text("%s/qemu", workdir), *fifo = text("%s/mark", workdir), *log = text("%s/phases.log", workdir);
    char *option = text("hypervisor_qemu.path=%s", wrapper);
    learn_qemu();
    make_wrapper(wrapper, fifo);
    run(qemu_argv, -1, 1, &r); /* what has to come from the disk is there after this */
    for (int i = 0; i < RUNS; i++) {
        run(qemu_argv, -1, 1, &r);
        if (!r.first)
            die("the bare boot ended without its marker");
        boot[i] = (double)(r.first - r.start) / 1e6;
        run_virtc(&r, -1, 0, "run", "--rm", "--template", "off", "--rootfs", rootfs, "--", "true", NULL);
        whole[i] = (double)(r.end - r.start) / 1e6;
        ratio[i] = whole[i] / boot[i];
        first[i] = run_phases(&ph, log, fifo, option);
    }
    free(wrapper);
    free(fifo);
    free(log);
    free(option);
    report("run_true_over_bare_boot", "ratio", ratio, RUNS);
    double bare = report("boot_bare_to_first_userspace", "ms", boot, RUNS), all = report("run_true_wall", "ms", whole, RUNS);
    double quotient[1] = {all / bare}, best[1] = {whole[0] / boot[0]}; /* both are sorted by now */
    report("run_true_over_bare_boot_of_medians", "ratio", quotient, 1);
    report("run_true_over_bare_boot_of_minima", "ratio", best, 1);
    report("run_exec_to_first_byte", "ms", first, RUNS);
    report_phases("phase", &ph);
}

/* ---- group exec: round trip and throughput in a running container ------------------------------ */
static void start_pod(const char *pod)
{
    struct ran r;
    run_virtc(&r, -1, 0, "pod", "create", "--name", pod, NULL);
    run_virtc(&r, -1, 0, "container", "create", "--name", "c", "--rootfs", rootfs, pod, "--", "sleep", "100000", NULL);
    run_virtc(&r, -1, 0, "pod", "start", pod, NULL);
}

static void end_pod(const char *pod)
{
    struct ran r;
    run_virtc(&r, -1, 0, "pod", "delete", "--force", pod, NULL);
}

static void bench_exec(void)
{
    static double t[31], out[RUNS], in[RUNS];
    struct ran r;
    const double mb = (64 << 20) / 1e6;
    double ratio[RUNS];
    start_pod("bench-exec");
    for (size_t i = 0; i < 31; i++) {
        run_virtc(&r, -1, 0, "container", "exec", "bench-exec", "c", "--", "true", NULL);
        t[i] = (double)(r.end - r.start) / 1e6;
    }
    for (int i = 0; i < RUNS; i++) {
        run_virtc(&r, -1, 0, "container", "exec", "bench-exec", "c", "--", "dd", "if=/dev/zero", "bs=1M", "count=64", "status=none", NULL);
        if (r.out_total != 64u << 20)
            die("%llu bytes of output arrived instead of 64 MiB", (unsigned long long)r.out_total);
        out[i] = mb / ((double)(r.end - r.first) / 1e9);
        char *file = text("%s/in", workdir);
        int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, 64 << 20) < 0)
            die("%s: %m", file);
        run_virtc(&r, fd, 0, "container", "exec", "-i", "bench-exec", "c", "--", "sh", "-c", "cat >/dev/null", NULL);
        in[i] = mb / ((double)(r.end - r.start) / 1e9);
        close(fd);
        unlink(file);
        free(file);
    }
    end_pod("bench-exec");
    report("exec_true_round_trip", "ms", t, 31);
    report("stdout_throughput", "MB/s", out, RUNS);
    for (int i = 0; i < RUNS; i++)
        ratio[i] = out[i] / RAW_FROM_GUEST;
    report("stdout_over_raw_virtio_serial", "ratio", ratio, RUNS);
    report("stdin_throughput", "MB/s", in, RUNS);
    for (int i = 0; i < RUNS; i++)
        ratio[i] = in[i] / RAW_TO_GUEST;
    report("stdin_over_raw_virtio_serial", "ratio", ratio, RUNS);
}

/* ---- group memory ----------------------------------------------------------------------------- */
double pss_of(int pid)
{
    char *path = text("/proc/%d/smaps_rollup", pid);
    char *s = slurp(path, NULL);
    char *p = s ? strstr(s, "\nPss:") : NULL;
    double kb = p ? strtod(p + 5, NULL) : 0;
    free(s);
    free(path);
    return kb;
}

/* PSS of the process with this name whose command line holds `pod`. */
static double pss_by_name(const char *name, const char *pod)
{
    DIR *d = opendir("/proc");
    double kb = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        int pid = (int)strtol(e->d_name, NULL, 10);
        if (pid <= 0)
            continue;
        char *path = text("/proc/%d/comm", pid), *comm = slurp(path, NULL);
        free(path);
        path = text("/proc/%d/cmdline", pid);
        size_t n = 0;
        char *cmd = slurp(path, &n);
        if (comm && cmd && strncmp(comm, name, strlen(name)) == 0 && memmem(cmd, n, pod, strlen(pod)))
            kb = pss_of(pid);
        free(comm);
        free(cmd);
        free(path);
    }
    if (d)
        closedir(d);
    return kb;
}

/* The agent says in its log, at debug level, what it takes; the log ends on the guest's console. */
static double agent_rss(void)
{
    static const char *const opts[] = {"hypervisor_qemu.console_log=true",
                                       "hypervisor_qemu.kernel_params=agent.log=debug loglevel=8 printk.devkmsg=on"};
    struct ran r;
    run_virtc(&r, -1, 0, "--set", opts[0], "--set", opts[1], "config", "show", NULL);
    char *root = strstr(r.out, "run_root = \"");
    if (!root)
        die("virtc config show does not tell run_root");
    root += 12;
    char *path = text("%.*s/pods/bench-rss/hypervisor/console.log", (int)strcspn(root, "\""), root);
    run_virtc(&r, -1, 0, "--set", opts[0], "--set", opts[1], "pod", "create", "--template", "off", "--name",
              "bench-rss", NULL);
    run_virtc(&r, -1, 0, "container", "create", "--name", "c", "--rootfs", rootfs, "bench-rss", "--", "sleep", "100000", NULL);
    run_virtc(&r, -1, 0, "pod", "start", "bench-rss", NULL);
    char *log = slurp(path, NULL), *p = log ? strstr(log, "container started, Rss:") : NULL;
    double kb = p ? strtod(p + strlen("container started, Rss:"), NULL) : 0;
    end_pod("bench-rss");
    if (kb <= 0)
        die("%s does not tell the memory of vc-agent", path);
    free(log);
    free(path);
    return kb;
}

static void bench_memory(void)
{
    static double shim[RUNS], proxy[RUNS], rss[RUNS], agent[RUNS];
    struct ran r;
    for (int i = 0; i < 5; i++) {
        start_pod("bench-mem");
        shim[i] = pss_by_name("vc-shim", "bench-mem") / 1024;
        proxy[i] = pss_by_name("vc-proxy", "bench-mem") / 1024;
        end_pod("bench-mem");
        if (shim[i] <= 0 || proxy[i] <= 0)
            die("the shim or the proxy of the pod was not found");
        agent[i] = agent_rss() / 1024;
    }
    report("vc_shim_pss", "MiB", shim, 5);
    report("vc_proxy_pss", "MiB", proxy, 5);
    report("vc_agent_rss", "MiB", agent, 5);
    for_memory = 1;
    for (int i = 0; i < 5; i++) {
        run_virtc(&r, -1, 0, "pod", "list", NULL);
        rss[i] = (double)r.max_rss_kb / 1024;
    }
    for_memory = 0;
    report("pod_list_peak_rss", "MiB", rss, 5);
}

/* ---- group cycle: the library alone ------------------------------------------------------------ */
vc_context *bench_context(void)
{
    struct vc_context_options o;
    VC_INIT(&o);
    static char run_root[256], state_root[256];
    snprintf(run_root, sizeof run_root, "run_root=%s/run", workdir);
    snprintf(state_root, sizeof state_root, "state_root=%s/state", workdir);
    static const char *const set[] = {"hypervisor=mock", "agent=noop", "proxy=noop", "shim=noop", "network=noop", run_root, state_root, NULL};
    o.overrides = set;
    vc_context *ctx;
    vc_error *err = NULL;
    if (vc_context_new(&o, &ctx, &err) < 0)
        die("%s", vc_error_text(err));
    return ctx;
}

void bench_cycles(vc_context *ctx, const char *pod, size_t n)
{
    vc_error *err = NULL;
    struct vc_pod_config c;
    VC_INIT(&c);
    c.id = pod;
    for (size_t i = 0; i < n; i++) {
        char *id = NULL;
        if (vc_pod_create(ctx, &c, &id, &err) < 0 || vc_pod_start(ctx, id, &err) < 0 || vc_pod_stop(ctx, id, 0, &err) < 0 ||
            vc_pod_delete(ctx, id, 0, &err) < 0)
            die("%s", vc_error_text(err));
        free(id);
    }
}

/* System calls of one cycle: strace over 110 cycles less strace over 10. */
static double syscalls(const char *self, const char *n)
{
    char *out = text("%s/strace.out", workdir);
    char *argv[] = {(char *)"/usr/bin/strace", (char *)"-f", (char *)"-c", (char *)"-o", out, (char *)self, (char *)"--cycles", (char *)n,
                    (char *)virtc, (char *)rootfs, (char *)workdir, NULL};
    struct ran r;
    if (library_path)
        setenv("LD_LIBRARY_PATH", library_path, 1);
    run(argv, -1, 0, &r);
    unsetenv("LD_LIBRARY_PATH");
    char *s = slurp(out, NULL);
    char *p = s ? strstr(s, " total") : NULL;
    if (!p)
        return -1;
    while (p > s && p[-1] != '\n')
        p--;
    double skip, calls = -1;
    if (sscanf(p, "%lf %lf %lf %lf", &skip, &skip, &skip, &calls) != 4)
        calls = -1;
    free(s);
    unlink(out);
    free(out);
    return calls;
}

static void bench_cycle(const char *self)
{
    static double us[7], cpu[7], calls[5];
    vc_context *ctx = bench_context();
    bench_cycles(ctx, "bench-cycle", 50);
    for (int i = 0; i < 7; i++) {
        struct rusage a, b;
        getrusage(RUSAGE_SELF, &a);
        int64_t t = now_ns();
        bench_cycles(ctx, "bench-cycle", 1000);
        us[i] = (double)(now_ns() - t) / 1e6;
        getrusage(RUSAGE_SELF, &b);
        cpu[i] = (double)((b.ru_utime.tv_sec - a.ru_utime.tv_sec + b.ru_stime.tv_sec - a.ru_stime.tv_sec) * 1000000 +
                          (b.ru_utime.tv_usec - a.ru_utime.tv_usec + b.ru_stime.tv_usec - a.ru_stime.tv_usec)) / 1e6;
    }
    vc_context_free(ctx);
    report("mock_cycle_wall", "us", us, 7);
    report("mock_cycle_cpu", "ms", cpu, 7);
    size_t n = 0;
    for (int i = 0; i < 5; i++) {
        double d = (syscalls(self, "110") - syscalls(self, "10")) / 100;
        if (d > 0)
            calls[n++] = d;
    }
    if (n == 5)
        report("mock_cycle_syscalls", "calls", calls, n);
    else
        fprintf(stderr, "bench: mock_cycle_syscalls needs strace; not measured\n");
    bench_more_cycles();
}

/* What the first use of a plugin in a process costs beyond any later one: finding, checking and loading it.  us[0] is the
 * mock hypervisor, which comes first and so pays for the start of libltdl, us[1] the next plugin of the same process. */
static void load_here(int out)
{
    static const char *const names[] = {"hypervisor/mock", "proxy/noop"};
    double us[2];
    vc_context *ctx = bench_context();
    vc_error *err = NULL;
    for (int i = 0; i < 2; i++) {
        int64_t t[3];
        for (int k = 0; k < 2; k++) {
            char *help = NULL;
            t[k] = now_ns();
            if (vc_plugin_help(ctx, names[i], 0, &help, &err) < 0)
                die("%s", vc_error_text(err));
            t[k + 1] = now_ns();
            free(help);
        }
        us[i] = (double)(t[1] - t[0] - (t[2] - t[1])) / 1e3;
    }
    if (write(out, us, sizeof us) != sizeof us)
        die("the figures cannot be handed on: %m");
    _exit(0);
}

/* A plugin stays in the process that has loaded it, so each sample takes a process of its own. */
/* Comes before all groups that load plugins in this process: its children would have them already. */
static void bench_load(void)
{
    static double first[51], next[51];
    for (size_t i = 0; i < 51; i++) {
        double us[2];
        int p[2], status;
        if (pipe2(p, O_CLOEXEC) < 0)
            die("pipe: %m");
        pid_t pid = fork();
        if (pid < 0)
            die("fork: %m");
        if (pid == 0)
            load_here(p[1]);
        close(p[1]);
        if (read(p[0], us, sizeof us) != sizeof us || waitpid(pid, &status, 0) < 0)
            die("a process that loads plugins failed");
        close(p[0]);
        first[i] = us[0];
        next[i] = us[1];
    }
    report("load_first_plugin", "us", first, 51);
    report("load_next_plugin", "us", next, 51);
}

int main(int argc, char **argv)
{
    size_t n = 0;
    if (argc > 3 && strcmp(argv[1], "--cycles") == 0) {
        n = strtoul(argv[2], NULL, 10);
        argv += 2;
        argc -= 2;
    }
    if (argc < 4)
        die("usage: bench VIRTC ROOTFS WORKDIR [GROUP...]");
    virtc = argv[1];
    rootfs = argv[2];
    workdir = argv[3];
    library_path = getenv("LD_LIBRARY_PATH");
    library_path = library_path ? text("%s", library_path) : NULL;
    unsetenv("LD_LIBRARY_PATH"); /* it is for this program; installed ones are not looked for by it */
    if (n) {
        vc_context *ctx = bench_context();
        bench_cycles(ctx, "bench-cycle", n);
        vc_context_free(ctx);
        return 0;
    }
    template_dir = text("template_dir=%s/templates", getenv("BENCH_TEMPLATES") ? getenv("BENCH_TEMPLATES") : workdir);
    static const char *const all[] = {"cycle", "load", "list", "warm", "pool", "clones", "stop", "template", "boot", "exec", "memory", NULL};
    const char *const *groups = argc > 4 ? (const char *const *)argv + 4 : all;
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len > 0 ? len : 0] = 0;
    for (const char *const *g = groups; *g; g++)
        if (strcmp(*g, "load") == 0)
            bench_load();
    for (; *groups; groups++) {
        if (strcmp(*groups, "load") == 0)
            continue;
        if (strcmp(*groups, "cycle") == 0)
            bench_cycle(self);
        else if (strcmp(*groups, "list") == 0)
            bench_list();
        else if (strcmp(*groups, "boot") == 0)
            bench_boot();
        else if (strcmp(*groups, "exec") == 0)
            bench_exec();
        else if (strcmp(*groups, "memory") == 0)
            bench_memory();
        else if (!bench_vm(*groups))
            die("unknown group \"%s\": cycle, load, list, warm, pool, clones, stop, template, boot, exec, memory", *groups);
    }
    return 0;
}
