/* SPDX-License-Identifier: Apache-2.0 */
/* bench-vm.c: figures of pods that start from a template: warm, pool, clones, stop, template. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the pod that every run of a group uses: both sides of a comparison, one after the other. */
static double run_true(const char *how)
{
    struct ran r;
    run_virtc(&r, -1, 0, "run", "--rm", "--template", how, "--rootfs", rootfs, "--", "true", NULL);
    return (double)(r.end - r.start) / 1e6;
}

static double run_echo(struct phases *ph, const char *log)
{
    struct ran r;
    unlink(log);
    run_virtc(&r, -1, 0, "--debug", "--log-format", "json", "--log", log, "run", "--rm", "--rootfs", rootfs, "--", "echo", "x", NULL);
    char *lines = slurp(log, NULL);
    if (!lines)
        die("virtc wrote no log");
    add_phases(ph, lines, &r);
    free(lines);
    return (double)(r.first - r.start) / 1e6;
}

static void make_template(void)
{
    struct ran r;
    run_virtc(&r, -1, 0, "template", "create", NULL);
}

/* ---- warm: from the template against a boot ---------------------------------------------------- */
static void bench_warm(void)
{
    static double warm[RUNS], cold[RUNS], ratio[RUNS], first[RUNS];
    static struct phases ph;
    char *log = text("%s/phases.log", workdir);
    make_template();
    run_true("off"); /* what has to come from the disk is there after these */
    run_true("require");
    for (int i = 0; i < RUNS; i++) {
        warm[i] = run_true("require");
        cold[i] = run_true("off");
        ratio[i] = warm[i] / cold[i];
        first[i] = run_echo(&ph, log);
    }
    free(log);
    report("warm_run_true_over_cold", "ratio", ratio, RUNS);
    report("warm_run_true_wall", "ms", warm, RUNS);
    report("cold_run_true_wall", "ms", cold, RUNS);
    report("warm_exec_to_first_byte", "ms", first, RUNS);
    report_phases("warm_phase", &ph);
}

/* ---- pool -------------------------------------------------------------------------------------- */
static void bench_pool(void)
{
    static double first[RUNS], fill[RUNS], all[RUNS];
    static struct phases ph;
    struct ran r;
    char *log = text("%s/phases.log", workdir);
    make_template();
    for (int i = 0; i < RUNS; i++) {
        run_virtc(&r, -1, 0, "pool", "fill", "1", NULL);
        fill[i] = (double)(r.end - r.start) / 1e6;
        first[i] = run_echo(&ph, log);
        run_virtc(&r, -1, 0, "pool", "fill", "1", NULL);
        all[i] = run_true("require");
    }
    run_virtc(&r, -1, 0, "pool", "drain", NULL);
    free(log);
    report("pool_exec_to_first_byte", "ms", first, RUNS);
    report("pool_run_true_wall", "ms", all, RUNS);
    report("pool_fill_one", "ms", fill, RUNS);
    report_phases("pool_phase", &ph);
}

/* ---- clones: many at once ---------------------------------------------------------------------- */
enum { MAX_CLONES = 16 };

static char *clone_log(unsigned i)
{
    return text("%s/clone-%u.log", workdir, i);
}

static pid_t start_clone(unsigned i)
{
    char *log = clone_log(i), *name = text("bench-clone-%u.", i);
    char *argv[] = {(char *)virtc, (char *)"--set", (char *)template_dir, (char *)"--debug", (char *)"--log-format",
                    (char *)"json", (char *)"--log", log, (char *)"pod", (char *)"create", (char *)"--template",
                    (char *)"require", (char *)"--name", name, NULL};
    unlink(log);
    pid_t pid = fork();
    if (pid < 0)
        die("fork: %m");
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 0);
        dup2(null, 1);
        execv(argv[0], argv);
        fprintf(stderr, "bench: %s: %m\n", argv[0]);
        _exit(127);
    }
    free(log);
    free(name);
    return pid;
}

/* When this clone reached the phase; dies when it never did. */
static int64_t clone_at(unsigned i, const char *phase)
{
    struct moment m[MAX_PHASES];
    char *log = clone_log(i), *lines = slurp(log, NULL);
    size_t n = read_moments(lines, m, MAX_PHASES);
    for (size_t k = 0; k < n; k++)
        if (strcmp(m[k].name, phase) == 0) {
            unlink(log);
            free(log);
            free(lines);
            return m[k].at;
        }
    die("clone %u never came to %s", i, phase);
}

/* PSS of every process whose command line names a pod of this bench, in KiB. */
static double pss_of_clones(void)
{
    static const char word[] = "bench-clone-";
    DIR *d = opendir("/proc");
    double kb = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        int pid = (int)strtol(e->d_name, NULL, 10);
        if (pid <= 0 || pid == getpid())
            continue;
        char *path = text("/proc/%d/cmdline", pid);
        size_t n = 0;
        char *cmd = slurp(path, &n);
        if (cmd && memmem(cmd, n, word, sizeof word - 1))
            kb += pss_of(pid);
        free(cmd);
        free(path);
    }
    if (d)
        closedir(d);
    return kb;
}

static void clones(unsigned n, int runs)
{
    static double answer[RUNS], ready[RUNS], pss[RUNS];
    char name[64];
    for (int k = 0; k < runs; k++) {
        pid_t pid[MAX_CLONES];
        int64_t start = now_ns(), answered = 0, end;
        int status, bad = 0;
        for (unsigned i = 0; i < n; i++)
            pid[i] = start_clone(i);
        for (unsigned i = 0; i < n; i++)
            bad |= waitpid(pid[i], &status, 0) < 0 || status != 0;
        end = now_ns();
        pss[k] = pss_of_clones() / 1024 / n;
        for (unsigned i = 0; i < n && !bad; i++) {
            int64_t at = clone_at(i, "agent-ready");
            answered = at > answered ? at : answered;
        }
        for (unsigned i = 0; i < n; i++) {
            struct ran r;
            char *pod = text("bench-clone-%u.", i);
            run_virtc(&r, -1, -1, "pod", "delete", "--force", pod, NULL);
            free(pod);
        }
        if (bad || pss[k] <= 0)
            die("not all of %u pods started", n);
        answer[k] = (double)(answered - start) / 1e6;
        ready[k] = (double)(end - start) / 1e6;
    }
    snprintf(name, sizeof name, "clones_%u_last_answers", n);
    report(name, "ms", answer, (size_t)runs);
    snprintf(name, sizeof name, "clones_%u_last_created", n);
    report(name, "ms", ready, (size_t)runs);
    snprintf(name, sizeof name, "clones_%u_pss_per_pod", n);
    report(name, "MiB", pss, (size_t)runs);
}

static void bench_clones(void)
{
    make_template();
    clones(1, RUNS);
    clones(4, RUNS);
    clones(MAX_CLONES, 5);
}

/* ---- stop: a running pod ----------------------------------------------------------------------- */
static void start_pod(const char *pod)
{
    struct ran r;
    run_virtc(&r, -1, 0, "pod", "create", "--name", pod, NULL);
    /* Its first process ends when it is asked to. */
    run_virtc(&r, -1, 0, "container", "create", "--name", "c", "--rootfs", rootfs, pod, "--", "sh", "-c",
              "trap 'exit 0' TERM; echo up; sleep 100000 & wait", NULL);
    run_virtc(&r, -1, 0, "pod", "start", pod, NULL);
    run_virtc(&r, -1, 0, "container", "exec", pod, "c", "--", "true", NULL);
}

static void bench_stop(void)
{
    static double stop[RUNS], del[RUNS], both[RUNS], force[RUNS];
    struct ran r, d;
    make_template();
    for (int i = 0; i < RUNS; i++) {
        start_pod("bench-stop");
        run_virtc(&r, -1, 0, "pod", "stop", "bench-stop", NULL);
        run_virtc(&d, -1, 0, "pod", "delete", "bench-stop", NULL);
        stop[i] = (double)(r.end - r.start) / 1e6;
        del[i] = (double)(d.end - d.start) / 1e6;
        both[i] = stop[i] + del[i];
        start_pod("bench-stop");
        run_virtc(&r, -1, 0, "pod", "delete", "--force", "bench-stop", NULL);
        force[i] = (double)(r.end - r.start) / 1e6;
    }
    report("stop_running_pod", "ms", stop, RUNS);
    report("delete_stopped_pod", "ms", del, RUNS);
    report("stop_and_delete_running_pod", "ms", both, RUNS);
    report("delete_force_running_pod", "ms", force, RUNS);
}

/* ---- template: what one costs ------------------------------------------------------------------ */
/* Bytes of a directory's files that are in the page cache. */
static double cached(const char *dir)
{
    DIR *d = opendir(dir);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    double bytes = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
            size_t len = (size_t)st.st_size, n = (len + page - 1) / page;
            unsigned char *in = malloc(n);
            void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
            if (in && map != MAP_FAILED && mincore(map, len, in) == 0)
                for (size_t i = 0; i < n; i++)
                    bytes += in[i] & 1 ? (double)page : 0;
            if (map != MAP_FAILED)
                munmap(map, len);
            free(in);
        }
        if (fd >= 0)
            close(fd);
    }
    if (d)
        closedir(d);
    return bytes;
}

/* Of the current template, by `virtc --json template show`. */
static const char *shown(const struct ran *r, const char *key)
{
    char *quoted = text("\"%s\":", key), *p = strstr(r->out, quoted);
    if (!p)
        die("virtc template show tells no %s", key);
    p += strlen(quoted);
    p += strspn(p, " \"");
    free(quoted);
    return p;
}

static void bench_template(void)
{
    static double make[RUNS], disk[1], cache[1];
    struct ran r;
    make_template();
    for (int i = 0; i < 5; i++) {
        run_virtc(&r, -1, 0, "template", "create", "--force", NULL);
        make[i] = (double)(r.end - r.start) / 1e6;
    }
    run_virtc(&r, -1, 0, "--json", "template", "show", NULL);
    const char *path = shown(&r, "path");
    char *vm = text("%.*s/vm", (int)strcspn(path, "\""), path);
    disk[0] = strtod(shown(&r, "disk"), NULL) / 1048576;
    cache[0] = cached(vm) / 1048576;
    free(vm);
    report("template_make", "ms", make, 5);
    report("template_on_disk", "MiB", disk, 1);
    report("template_in_page_cache", "MiB", cache, 1);
}

int bench_vm(const char *group)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } groups[] = {{"warm", bench_warm}, {"pool", bench_pool}, {"clones", bench_clones}, {"stop", bench_stop}, {"template", bench_template}};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strcmp(group, groups[i].name) == 0) {
            groups[i].run();
            return 1;
        }
    return 0;
}
