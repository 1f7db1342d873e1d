/* SPDX-License-Identifier: Apache-2.0 */
/* snap.c: what belongs to the whole process and what the process holds, as text, to compare before and after. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "conformance/steps.h"
#include "conformance/watch.h"
#include "lib/io.h"

struct entry {
    unsigned part;
    char *key, *value;
};
struct vct_snap {
    struct entry *list;
    size_t n, room;
};

extern char **environ;

/* "TERM" for SIGTERM; "real-time" for those that have no name. */
static const char *signal_name(int sig)
{
    static const char *const names[SIGSYS + 1] = {
        [SIGHUP] = "HUP",   [SIGINT] = "INT",     [SIGQUIT] = "QUIT", [SIGILL] = "ILL",   [SIGTRAP] = "TRAP",
        [SIGABRT] = "ABRT", [SIGBUS] = "BUS",     [SIGFPE] = "FPE",   [SIGKILL] = "KILL", [SIGUSR1] = "USR1",
        [SIGSEGV] = "SEGV", [SIGUSR2] = "USR2",   [SIGPIPE] = "PIPE", [SIGALRM] = "ALRM", [SIGTERM] = "TERM",
        [SIGCHLD] = "CHLD", [SIGCONT] = "CONT",   [SIGSTOP] = "STOP", [SIGTSTP] = "TSTP", [SIGTTIN] = "TTIN",
        [SIGTTOU] = "TTOU", [SIGURG] = "URG",     [SIGXCPU] = "XCPU", [SIGXFSZ] = "XFSZ", [SIGVTALRM] = "VTALRM",
        [SIGPROF] = "PROF", [SIGWINCH] = "WINCH", [SIGIO] = "IO",     [SIGPWR] = "PWR",   [SIGSYS] = "SYS",
    };
    return sig > 0 && sig <= SIGSYS && names[sig] ? names[sig] : "real-time";
}

static void add(struct vct_snap *s, unsigned part, const char *key, const char *fmt, ...) VCS_PRINTF(4, 5);
static void add(struct vct_snap *s, unsigned part, const char *key, const char *fmt, ...)
{
    if (s->n == s->room) {
        size_t room = s->room ? 2 * s->room : 256;
        struct entry *list = realloc(s->list, room * sizeof(*list));
        if (!list)
            return;
        s->list = list;
        s->room = room;
    }
    char *value = NULL, *name = strdup(key);
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&value, fmt, ap) < 0)
        value = NULL;
    va_end(ap);
    if (name && value) {
        s->list[s->n++] = (struct entry){ .part = part, .key = name, .value = value };
    } else {
        free(name);
        free(value);
    }
}

/* ---- the process ---- */

/* Lines of a status file of /proc whose values belong to the process. */
static void add_status(struct vct_snap *s)
{
    static const char *const lines[] = { "Umask",  "Uid",    "Gid",    "Groups",     "CapInh", "CapPrm",
                                         "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp" };
    char line[512];
    vcs_autofclose FILE *f = fopen("/proc/thread-self/status", "re");
    while (f && fgets(line, sizeof(line), f)) {
        char *colon = strchr(line, ':');
        if (!colon)
            continue;
        *colon = '\0';
        char *value = colon + 1 + strspn(colon + 1, " \t");
        value[strcspn(value, "\n")] = '\0';
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
            if (strcmp(lines[i], line) == 0)
                add(s, VCT_SNAP_PROCESS, line, "%s", value);
    }
}

/* Environment: a hash of every value, so that none has to be shown. */
static void add_environ(struct vct_snap *s)
{
    for (char **e = environ; e && *e; e++) {
        char key[128];
        size_t n = strcspn(*e, "=");
        uint64_t h = UINT64_C(1469598103934665603);
        for (const char *p = *e; *p; p++)
            h = (h ^ (unsigned char)*p) * UINT64_C(1099511628211);
        snprintf(key, sizeof(key), "environment variable %.*s", n > 80 ? 80 : (int)n, *e);
        add(s, VCT_SNAP_PROCESS, key, "set to a value with hash %08x", (unsigned)(h ^ h >> 32));
    }
}

static void add_signals(struct vct_snap *s)
{
    struct {
        void *handler;
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } k;
    for (int sig = 1; sig < _NSIG; sig++) {
        if (sig > SIGSYS && sig < SIGRTMIN) /* those that the C library uses itself */
            continue;
        char key[64];
        memset(&k, 0, sizeof(k));
        if (syscall(SYS_rt_sigaction, sig, NULL, &k, (size_t)_NSIG / 8) < 0)
            continue;
        snprintf(key, sizeof(key), "disposition of signal %d (%s)", sig, signal_name(sig));
        const char *name = k.handler == (void *)SIG_DFL ? "default" : k.handler == (void *)SIG_IGN ? "ignored" : NULL;
        if (name)
            add(s, VCT_SNAP_PROCESS, key, "%s, flags 0x%lx", name, k.flags);
        else
            add(s, VCT_SNAP_PROCESS, key, "handler %p, flags 0x%lx", k.handler, k.flags);
    }
    uint64_t mask = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, (size_t)_NSIG / 8);
    add(s, VCT_SNAP_PROCESS, "signal mask of the calling thread", "%016llx", (unsigned long long)mask);
}

static void add_limits(struct vct_snap *s)
{
    static const struct {
        int what;
        const char *name;
    } limits[] = {
        { RLIMIT_AS, "AS" },
        { RLIMIT_CORE, "CORE" },
        { RLIMIT_CPU, "CPU" },
        { RLIMIT_DATA, "DATA" },
        { RLIMIT_FSIZE, "FSIZE" },
        { RLIMIT_MEMLOCK, "MEMLOCK" },
        { RLIMIT_NOFILE, "NOFILE" },
        { RLIMIT_NPROC, "NPROC" },
        { RLIMIT_STACK, "STACK" },
        { RLIMIT_NICE, "NICE" },
        { RLIMIT_RTPRIO, "RTPRIO" },
        { RLIMIT_SIGPENDING, "SIGPENDING" },
        { RLIMIT_MSGQUEUE, "MSGQUEUE" },
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct rlimit r;
        char key[32];
        snprintf(key, sizeof(key), "limit RLIMIT_%s", limits[i].name);
        if (getrlimit((__rlimit_resource_t)limits[i].what, &r) == 0)
            add(s, VCT_SNAP_PROCESS, key, "%lld of %lld", (long long)r.rlim_cur, (long long)r.rlim_max);
    }
}

static void add_link(struct vct_snap *s, const char *path, const char *key)
{
    char target[512];
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    if (n >= 0)
        add(s, VCT_SNAP_PROCESS, key, "%.*s", (int)n, target);
}

static void add_namespaces(struct vct_snap *s)
{
    static const char *const names[] = { "cgroup", "ipc", "mnt", "net", "pid", "user", "uts", "pid_for_children" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[64], key[64];
        snprintf(path, sizeof(path), "/proc/thread-self/ns/%s", names[i]);
        snprintf(key, sizeof(key), "%s namespace of the calling thread", names[i]);
        add_link(s, path, key);
    }
}

static void add_rest(struct vct_snap *s)
{
    static const struct {
        int what;
        const char *name;
    } timers[] = {
        { ITIMER_REAL, "timer ITIMER_REAL" },
        { ITIMER_VIRTUAL, "timer ITIMER_VIRTUAL" },
        { ITIMER_PROF, "timer ITIMER_PROF" },
    };
    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
        struct itimerval v;
        if (getitimer((__itimer_which_t)timers[i].what, &v) == 0)
            add(s, VCT_SNAP_PROCESS, timers[i].name, "%s",
                v.it_value.tv_sec || v.it_value.tv_usec || v.it_interval.tv_sec ? "armed" : "not armed");
    }
    for (int fd = 0; fd < 3; fd++) {
        struct stat st;
        char key[32];
        snprintf(key, sizeof(key), "descriptor %d", fd);
        if (fstat(fd, &st) < 0)
            add(s, VCT_SNAP_PROCESS, key, "closed");
        else
            add(s, VCT_SNAP_PROCESS, key, "file %llx:%llu, flags 0x%x, descriptor flags %d",
                (unsigned long long)st.st_dev, (unsigned long long)st.st_ino, fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
    }
    add(s, VCT_SNAP_PROCESS, "locale", "%s", setlocale(LC_ALL, NULL));
    add(s, VCT_SNAP_PROCESS, "session and process group", "%d and %d", (int)getsid(0), (int)getpgrp());
    int sub = 0;
    prctl(PR_GET_CHILD_SUBREAPER, &sub);
    add(s, VCT_SNAP_PROCESS, "attribute PR_SET_CHILD_SUBREAPER", "%d", sub);
    add(s, VCT_SNAP_PROCESS, "attribute PR_SET_DUMPABLE", "%d", prctl(PR_GET_DUMPABLE));
    add(s, VCT_SNAP_PROCESS, "priority", "%d", getpriority(PRIO_PROCESS, 0));
    vcs_autofree char *cgroup = NULL, *posix = NULL;
    size_t n;
    if (vcs_read_file(AT_FDCWD, "/proc/self/cgroup", 16384, &cgroup, &n) == 0)
        add(s, VCT_SNAP_PROCESS, "cgroup", "%s", cgroup);
    if (vcs_read_file(AT_FDCWD, "/proc/self/timers", 65536, &posix, &n) == 0)
        add(s, VCT_SNAP_PROCESS, "timers of timer_create", "%s", posix);
    add_link(s, "/proc/self/cwd", "working directory");
    add_link(s, "/proc/self/root", "root directory");
}

/* ---- what it holds ---- */

static void add_fds(struct vct_snap *s)
{
    vcs_autoclosedir DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char target[512], key[64];
        int fd = (int)strtol(e->d_name, NULL, 10);
        if (e->d_name[0] == '.' || fd == dirfd(d))
            continue;
        ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
        if (n < 0)
            continue;
        snprintf(key, sizeof(key), "descriptor %d", fd);
        int flags = fcntl(fd, F_GETFD);
        add(s, VCT_SNAP_FDS, key, "%.*s, %s", (int)n, target,
            flags & FD_CLOEXEC ? "close-on-exec" : "no close-on-exec");
    }
}

/* The blocked signals of a thread, "" when it has gone. */
static void blocked(const char *tid, char *ret, size_t size)
{
    char path[64], line[256];
    ret[0] = '\0';
    snprintf(path, sizeof(path), "/proc/self/task/%.20s/status", tid);
    vcs_autofclose FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, "SigBlk:", 7) == 0)
            snprintf(ret, size, "%.*s", (int)strcspn(line + 8, "\n"), line + 8);
}

static void add_threads(struct vct_snap *s)
{
    vcs_autoclosedir DIR *d = opendir("/proc/self/task");
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char key[64], mask[64];
        if (e->d_name[0] == '.')
            continue;
        blocked(e->d_name, mask, sizeof(mask));
        snprintf(key, sizeof(key), "thread %.20s", e->d_name);
        if (mask[0])
            add(s, VCT_SNAP_THREADS, key, "blocked signals %s", mask);
    }
}

/* Parent, state and name of a process; -1: gone. */
static int proc_line(const char *pid, int *parent, char *state, char *name, size_t size)
{
    char path[64], line[1024];
    snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
    vcs_autofclose FILE *f = fopen(path, "re");
    if (!f || !fgets(line, sizeof(line), f))
        return -1;
    char *open = strchr(line, '('), *close = strrchr(line, ')');
    if (!open || !close || sscanf(close + 1, " %c %d", state, parent) != 2)
        return -1;
    snprintf(name, size, "%.*s", (int)(close - open - 1), open + 1);
    return 0;
}

/* Processes that come from this one: its children, and what lost its parent and was given to the keeper of the check,
 * which is this one's parent. */
static void add_children(struct vct_snap *s)
{
    int me = (int)getpid(), keeper = vct_now && !vct_now->s->in_process ? (int)getppid() : -1;
    vcs_autoclosedir DIR *d = opendir("/proc");
    struct dirent *e;
    while (d && (e = readdir(d))) {
        int parent, pid = (int)strtol(e->d_name, NULL, 10);
        char state, name[64], key[64];
        if (pid <= 0 || pid == me || proc_line(e->d_name, &parent, &state, name, sizeof(name)) < 0)
            continue;
        if (parent != me && (parent != keeper || state == 'Z'))
            continue;
        snprintf(key, sizeof(key), "process %d", pid);
        add(s, VCT_SNAP_CHILDREN, key, "%s%s", name, state == 'Z' ? ", ended and not waited for" : "");
    }
}

static void add_dir(struct vct_snap *s, const char *path)
{
    vcs_autoclosedir DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char key[600];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(key, sizeof(key), "file %s/%s", strcmp(path, ".") ? path : "(working directory)", e->d_name);
        add(s, VCT_SNAP_FILES, key, "there");
    }
}

struct vct_snap *vct_snap_of(unsigned parts)
{
    int was VCT_IN_HOST;
    int saved = errno;
    struct vct_snap *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    if (parts & VCT_SNAP_PROCESS) {
        add_status(s);
        add_environ(s);
        add_signals(s);
        add_limits(s);
        add_namespaces(s);
        add_rest(s);
    }
    if (parts & VCT_SNAP_FDS)
        add_fds(s);
    if (parts & VCT_SNAP_THREADS)
        add_threads(s);
    if (parts & VCT_SNAP_CHILDREN)
        add_children(s);
    if (parts & VCT_SNAP_FILES) {
        /* What the check shares with all programs of the machine changes without the plugin. */
        if (!vct_now || vct_own_parts(vct_now, VCT_SNAP_FILES)) {
            add_dir(s, "/tmp");
            add_dir(s, "/dev/shm");
        }
        if (!vct_now || !vct_now->s->in_process)
            add_dir(s, ".");
    }
    errno = saved;
    return s;
}

struct vct_snap *vct_snap(void)
{
    return vct_snap_of(VCT_SNAP_ALL);
}

void vct_snap_free(struct vct_snap *s)
{
    int was VCT_IN_HOST;
    for (size_t i = 0; s && i < s->n; i++) {
        free(s->list[i].key);
        free(s->list[i].value);
    }
    if (s)
        free(s->list);
    free(s);
}

static const char *value_of(const struct vct_snap *s, unsigned part, const char *key)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->list[i].part == part && strcmp(s->list[i].key, key) == 0)
            return s->list[i].value;
    return NULL;
}

const char *vct_snap_diff(const struct vct_snap *before, const struct vct_snap *after, unsigned parts)
{
    static _Thread_local char text[1400];
    text[0] = '\0';
    if (!before || !after)
        return text;
    for (size_t i = 0; i < after->n && !text[0]; i++) {
        const struct entry *e = &after->list[i];
        const char *was = e->part & parts ? value_of(before, e->part, e->key) : e->value;
        if (!was)
            snprintf(text, sizeof(text), "%s (%.600s) is new", e->key, e->value);
        else if (strcmp(was, e->value))
            snprintf(text, sizeof(text), "%s was %.500s and is %.500s", e->key, was, e->value);
    }
    for (size_t i = 0; i < before->n && !text[0]; i++) {
        const struct entry *e = &before->list[i];
        if (e->part & parts && !value_of(after, e->part, e->key))
            snprintf(text, sizeof(text), "%s (%.600s) is gone", e->key, e->value);
    }
    return text;
}

/* A descriptor that is new, or another one than before, and has no close-on-exec; "" when there is none. */
const char *vct_snap_no_cloexec(const struct vct_snap *before, const struct vct_snap *after)
{
    static _Thread_local char text[700];
    text[0] = '\0';
    for (size_t i = 0; before && after && i < after->n && !text[0]; i++) {
        const struct entry *e = &after->list[i];
        if (e->part != VCT_SNAP_FDS || !strstr(e->value, ", no close-on-exec"))
            continue;
        const char *was = value_of(before, e->part, e->key);
        if (!was || strcmp(was, e->value))
            snprintf(text, sizeof(text), "%s (%.*s)", e->key, (int)(strlen(e->value) - strlen(", no close-on-exec")),
                     e->value);
    }
    return text;
}

const char *vct_snap_new_file(const struct vct_snap *before, const struct vct_snap *after,
                              int (*known)(const char *path))
{
    static _Thread_local char text[700];
    for (size_t i = 0; before && after && i < after->n; i++) {
        const struct entry *e = &after->list[i];
        const char *path = e->key + strlen("file ");
        if (e->part != VCT_SNAP_FILES || value_of(before, e->part, e->key) || known(path))
            continue;
        snprintf(text, sizeof(text), "%s", path);
        return text;
    }
    return "";
}

/* A thread that is new and does not block signals that are meant for the process; "" when there is none. */
const char *vct_snap_unblocked(const struct vct_snap *before, const struct vct_snap *after)
{
    /* What can be blocked and is sent to a process: not KILL, STOP, nor what tells of a fault, nor those of the C
     * library. */
    static const int sigs[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGUSR1,  SIGUSR2, SIGPIPE,
                                SIGALRM, SIGTERM, SIGCHLD, SIGWINCH, SIGIO };
    static _Thread_local char text[200];
    text[0] = '\0';
    for (size_t i = 0; before && after && i < after->n && !text[0]; i++) {
        const struct entry *e = &after->list[i];
        if (e->part != VCT_SNAP_THREADS || value_of(before, e->part, e->key))
            continue;
        uint64_t mask = strtoull(e->value + strlen("blocked signals "), NULL, 16);
        for (size_t k = 0; k < sizeof(sigs) / sizeof(sigs[0]) && !text[0]; k++)
            if (!(mask >> (sigs[k] - 1) & 1))
                snprintf(text, sizeof(text), "%s does not block SIG%s (its blocked signals are %s)", e->key,
                         signal_name(sigs[k]), e->value + strlen("blocked signals "));
    }
    return text;
}
