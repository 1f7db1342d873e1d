/* SPDX-License-Identifier: Apache-2.0 */
/* isolate.c: a process of its own for each check: namespaces where they can be had, limits, captured output, and an end
 * that leaves nothing behind.
 *
 * The parent makes the "keeper", a process that is init of a new pid namespace and executes this program anew.  The keeper
 * makes the surroundings, starts the check's process below it, reaps what becomes an orphan, and tells the parent how the
 * check's process ended.  When the keeper ends, the kernel ends all that is left in the namespace.  Without namespaces the
 * keeper is a subreaper and ends its descendants by itself. */
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/io.h"
#include "run.h"

#define OUT_FD 200               /* of the messages: high, so that checks see the usual low numbers free */
#define OUTPUT_MAX (256 * 1024)  /* what is kept of a check's output */
#define MEMORY_MAX (UINT64_C(8) << 30)

#define NAMESPACES (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

static int pidfd_signal(int pidfd, int sig)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

/* fork with namespaces and a pidfd. */
static pid_t fork_into(unsigned long flags, int *pidfd)
{
    return (pid_t)syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, NULL, pidfd, NULL, 0);
}

/* Write a string to a file of /proc. */
static int put(const char *path, const char *text)
{
    vcs_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -1 : vcs_write_full(fd, text, strlen(text));
}

/* Be root in the new user namespace. */
static int map_ids(uid_t uid, gid_t gid)
{
    char text[64];
    if (put("/proc/self/setgroups", "deny") < 0)
        return -1;
    snprintf(text, sizeof(text), "0 %u 1", (unsigned)gid);
    if (put("/proc/self/gid_map", text) < 0)
        return -1;
    snprintf(text, sizeof(text), "0 %u 1", (unsigned)uid);
    return put("/proc/self/uid_map", text);
}

static unsigned long flags_of(enum vct_isolation isolation)
{
    return isolation == VCT_ISO_ROOT ? NAMESPACES : isolation == VCT_ISO_USER ? NAMESPACES | CLONE_NEWUSER : 0;
}

/* Mounts of its own: nothing done here reaches the system, and /proc shows the new pid namespace. */
static int own_mounts(void)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    return mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* Can namespaces of this form be made here?  Everything is tried that a check will need. */
static int works(enum vct_isolation isolation)
{
    uid_t uid = getuid();
    gid_t gid = getgid();
    int pidfd = -1, status = 0;
    pid_t pid = fork_into(flags_of(isolation), &pidfd);
    if (pid < 0)
        return 0;
    if (pid == 0) {
        int ok = (isolation != VCT_ISO_USER || map_ids(uid, gid) == 0) && own_mounts() == 0 &&
                 mount("tmpfs", "/proc", "tmpfs", 0, NULL) == 0;
        syscall(SYS_exit_group, ok ? 0 : 1);
    }
    close(pidfd);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status == 0;
}

enum vct_isolation vct_isolation_probe(void)
{
    if (geteuid() == 0 && works(VCT_ISO_ROOT))
        return VCT_ISO_ROOT;
    return works(VCT_ISO_USER) ? VCT_ISO_USER : VCT_ISO_GROUP;
}

const char *vct_isolation_name(enum vct_isolation isolation)
{
    static const char *const names[] = {
        "none (--in-process)", "a process group of its own for each check", "user namespaces", "namespaces"
    };
    return names[isolation];
}

/* ---- the parent's side ---- */

/* The command line of a child: what it has to know first, then the command line of the tool, which it reads again. */
static char **child_argv(const struct vct_run *run, const char *id, const char *scratch, char text[5][64])
{
    size_t n = 0;
    while (run->argv[n])
        n++;
    char **argv = calloc(n + 16, sizeof(*argv));
    if (!argv)
        return NULL;
    size_t k = 0;
    argv[k++] = run->argv[0];
    snprintf(text[0], 64, "--child=%s", id);
    snprintf(text[1], 64, "--child-fd=%d", OUT_FD);
    snprintf(text[2], 64, "--child-isolation=%d", (int)run->isolation);
    snprintf(text[3], 64, "--seed=%llu", (unsigned long long)run->s.seed);
    snprintf(text[4], 64, "--child-scratch=%s", scratch);
    for (int i = 0; i < 5; i++)
        argv[k++] = text[i];
    memcpy(argv + k, run->argv + 1, (n > 0 ? n - 1 : 0) * sizeof(*argv));
    return argv;
}

/* In the new process, before exec: descriptors, session, what is inherited. */
static void become_child(const struct vct_run *run, char **argv, uid_t uid, gid_t gid, const int fds[3])
{
    int out = fds[0], mem = fds[1], number = fds[2];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (run->isolation == VCT_ISO_USER && map_ids(uid, gid) < 0)
        syscall(SYS_exit_group, 125);
    if (dup2(out, OUT_FD) < 0 || dup2(number, 0) < 0 || dup2(mem, 1) < 0 || dup2(mem, 2) < 0)
        syscall(SYS_exit_group, 125);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    umask(022);
    execv("/proc/self/exe", argv);
    syscall(SYS_exit_group, 125);
}

int vct_child_start(const struct vct_run *run, const char *id, const char *scratch, struct vct_child *ret)
{
    char text[5][64];
    uid_t uid = getuid();
    gid_t gid = getgid();
    int ends[2], number[2], rc = 0;
    vcs_autoclose int mem = memfd_create("output", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    /* What comes out is kept up to a limit: a plugin that prints without end must not eat the memory. */
    if (mem < 0 || ftruncate(mem, OUTPUT_MAX) < 0 || fcntl(mem, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0)
        return -errno;
    if (getrandom(&ret->nonce, sizeof(ret->nonce), 0) != (ssize_t)sizeof(ret->nonce))
        return -EAGAIN;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    vcs_autoclose int out = ends[0];
    vcs_autoclose int their_end = ends[1];
    if (pipe2(number, O_CLOEXEC) < 0)
        return -errno;
    vcs_autoclose int number_in = number[0];
    vcs_autoclose int number_out = number[1];
    if (write(number_out, &ret->nonce, sizeof(ret->nonce)) != (ssize_t)sizeof(ret->nonce))
        return -EIO;
    char **argv = child_argv(run, id, scratch, text);
    const int fds[] = { their_end, mem, number_in };
    pid_t pid = argv ? fork_into(flags_of(run->isolation), &ret->pidfd) : -1;
    if (pid == 0)
        become_child(run, argv, uid, gid, fds);
    rc = argv ? -errno : -ENOMEM;
    free(argv);
    if (pid < 0)
        return rc;
    vcs_set_nonblock(out, 1);
    ret->pid = pid;
    ret->out = VCS_TAKE_FD(out);
    ret->mem = VCS_TAKE_FD(mem);
    return 0;
}

/* /proc's lists of children may miss some while they change: callers
 * repeat it until there is none. */
int vct_kill_below(pid_t pid)
{
    char path[64], list[4096];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    vcs_autoclosedir DIR *dir = opendir(path);
    int n = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        char file[96];
        snprintf(file, sizeof(file), "/proc/%d/task/%.16s/children", (int)pid, e->d_name);
        vcs_autoclose int fd = open(file, O_RDONLY | O_CLOEXEC);
        ssize_t len = fd < 0 ? -1 : vcs_read_full(fd, list, sizeof(list) - 1);
        if (len <= 0)
            continue;
        list[len] = 0;
        for (char *p = list, *end; *p; p = end) {
            long child = strtol(p, &end, 10);
            if (end == p)
                break;
            if (child > 1) {
                n += 1 + vct_kill_below((pid_t)child);
                kill((pid_t)child, SIGKILL);
            }
        }
    }
    return n;
}

/* First line of a file of /proc. */
static void first_line(const char *path, char *ret, size_t size)
{
    vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : vcs_read_full(fd, ret, size - 1);
    ret[n > 0 ? n : 0] = 0;
    ret[strcspn(ret, "\n")] = 0;
}

void vct_child_threads(const struct vct_child *c, struct vcs_buf *ret)
{
    char path[100], text[256];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)c->pid, (int)c->pid);
    first_line(path, text, sizeof(text));
    long check = strtol(text, NULL, 10); /* the keeper's first child */
    if (check <= 0)
        return;
    snprintf(path, sizeof(path), "/proc/%ld/task", check);
    vcs_autoclosedir DIR *dir = opendir(path);
    int n = 0;
    for (struct dirent *e; dir && n < 8 && (e = readdir(dir));) {
        char stat[256], wait[64];
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%ld/task/%.16s/stat", check, e->d_name);
        first_line(path, stat, sizeof(stat));
        snprintf(path, sizeof(path), "/proc/%ld/task/%.16s/wchan", check, e->d_name);
        first_line(path, wait, sizeof(wait));
        const char *state = strrchr(stat, ')');
        if (state && strlen(state) > 2)
            vcs_buf_printf(ret, "thread %d is %s%s%s\n", ++n,
                           state[2] == 'R' ? "running" : state[2] == 'S' ? "asleep" : state[2] == 'T' ? "stopped" : "waiting",
                           wait[0] && strcmp(wait, "0") != 0 ? " in the kernel's " : "", strcmp(wait, "0") != 0 ? wait : "");
    }
}

void vct_child_stop(const struct vct_child *c)
{
    pidfd_signal(c->pidfd, SIGTERM);
}

void vct_child_kill(const struct vct_run *run, struct vct_child *c)
{
    if (run->isolation == VCT_ISO_GROUP) {
        /* The keeper's children become this process's (a subreaper, too) once it has gone. */
        int there = pidfd_signal(c->pidfd, SIGSTOP) == 0; /* else it was reaped, and its pid may be another's */
        for (int i = 0; there && i < 20 && vct_kill_below(c->pid) > 0; i++)
            poll(NULL, 0, 1);
    }
    pidfd_signal(c->pidfd, SIGKILL);
}

/* ---- the child's side ---- */

static void limit(int what, uint64_t value)
{
    struct rlimit r;
    if (getrlimit(what, &r) < 0)
        return;
    if (r.rlim_max == RLIM_INFINITY || r.rlim_max > value)
        r.rlim_max = (rlim_t)value;
    r.rlim_cur = r.rlim_max;
    setrlimit(what, &r);
}

/* Sanitizers reserve terabytes of address space. */
static int sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 1;
#else
    return getenv("LD_PRELOAD") != NULL;
#endif
}

static void own_limits(const struct vct_run *run)
{
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, 4096);
    if (!run->s.real && !sanitized())
        limit(RLIMIT_AS, MEMORY_MAX);
}

static void loopback_up(void)
{
    vcs_autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq req = { .ifr_name = "lo" };
    if (fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &req) == 0) {
        req.ifr_flags |= IFF_UP | IFF_RUNNING;
        ioctl(fd, SIOCSIFFLAGS, &req);
    }
}

int vct_isolation_own_net(void)
{
    static int done = -1;
    if (done < 0) {
        done = geteuid() == 0 && unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
               mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
        if (done)
            loopback_up();
    }
    return done;
}

static int below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return path && strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == 0);
}

/* mkdir -p of what lies above the last part of a path. */
static void make_above(const char *path)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof(dir), "%s", path);
    for (char *p = strchr(dir + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = 0;
        mkdir(dir, 0755);
        *p = '/';
    }
}

/* What of `dir` this run needs: a directory, or the directory of a file (the file, when it lies in `dir` itself), as a
 * descriptor; its path goes to `keep`. */
static int open_kept(const char *dir, const char *path, char keep[PATH_MAX])
{
    struct stat st;
    if (!below(path, dir) || strcmp(path, dir) == 0 || stat(path, &st) < 0)
        return -1;
    snprintf(keep, PATH_MAX, "%s", path);
    char *slash = strrchr(keep, '/');
    if (!S_ISDIR(st.st_mode) && (size_t)(slash - keep) > strlen(dir))
        *slash = 0;
    return open(keep, O_PATH | O_CLOEXEC);
}

static void put_back(const char *path, int fd)
{
    char from[40];
    struct stat st;
    if (fstat(fd, &st) < 0)
        return;
    make_above(path);
    if (S_ISDIR(st.st_mode)) {
        mkdir(path, 0755);
    } else {
        vcs_autoclose int made = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (made < 0)
            return;
    }
    snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
    mount(from, path, NULL, MS_BIND | MS_REC, NULL);
}

/* An empty directory in place of one that everybody uses: what others do there is no finding of this check, and what the
 * plugin leaves there goes away with it.  What this run needs of it is put back. */
static void hide(const struct vct_run *run, const char *dir)
{
    enum { FIXED = 8, MAX = 64 };
    const char *used[MAX] = { run->s.plugin, run->s.scenario, run->s.data_dir, run->s.plugin_root, run->s.libexec,
                              run->s.data, run->s.golden_dir, run->exe };
    char(*keep)[PATH_MAX] = calloc(MAX, PATH_MAX);
    int fds[MAX], n = FIXED;
    for (const char *const *set = run->s.set; set && set[0] && n < MAX; set += 2)
        used[n++] = set[1];
    if (!keep)
        return;
    for (int i = 0; i < n; i++)
        fds[i] = used[i] ? open_kept(dir, used[i], keep[i]) : -1;
    if (mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=256m") == 0)
        for (int i = 0; i < n; i++) {
            int twice = 0;
            for (int k = 0; k < i; k++)
                twice |= fds[k] >= 0 && below(keep[i], keep[k]);
            if (fds[i] >= 0 && !twice)
                put_back(keep[i], fds[i]);
        }
    for (int i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(keep);
}

/* A complaint of the tool's own, as the result of the check. */
static void cannot(const struct vct_run *run, const char *what) __attribute__((noreturn));
static void cannot(const struct vct_run *run, const char *what)
{
    char text[300];
    text[0] = VCT_SKIP;
    snprintf(text + 1, sizeof(text) - 1, "the surroundings of the check could not be made: %s: %m", what);
    vct_send(run->child_fd, VCT_MSG_RESULT, text, 1 + strlen(text + 1));
    syscall(SYS_exit_group, 0);
    __builtin_unreachable();
}

static void own_surroundings(struct vct_run *run)
{
    static char scratch[128];
    char cwd[128];
    if (run->isolation >= VCT_ISO_USER) {
        if (own_mounts() < 0)
            cannot(run, "mounts of its own");
        if (!run->s.real) {
            hide(run, "/tmp");
            hide(run, "/run");
            hide(run, "/dev/shm");
        }
        make_above(run->s.scratch);
        mkdir(run->s.scratch, 0700);
        if (mount("tmpfs", run->s.scratch, "tmpfs", MS_NOSUID | MS_NODEV, "mode=700,size=512m") < 0)
            cannot(run, run->s.scratch);
        loopback_up();
    }
    snprintf(scratch, sizeof(scratch), "%.100s/s", run->s.scratch);
    snprintf(cwd, sizeof(cwd), "%.100s/cwd", run->s.scratch);
    if (mkdir(scratch, 0700) < 0 || mkdir(cwd, 0700) < 0 || chdir(cwd) < 0)
        cannot(run, scratch);
    free(run->s.scratch);
    run->s.scratch = scratch;
    own_limits(run);
}

/* Without a pid namespace: end all that is below this process. */
static void end_below(void)
{
    for (int i = 0; i < 2000 && vct_kill_below(getpid()) > 0; i++) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            continue;
        poll(NULL, 0, 1);
    }
}

/* The number of its messages comes on descriptor 0, which is /dev/null from then on. */
static void take_number(void)
{
    uint64_t nonce = 0;
    if (vcs_read_full(0, &nonce, sizeof(nonce)) == (ssize_t)sizeof(nonce))
        vct_set_nonce(nonce);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0)
        syscall(SYS_exit_group, 125);
    close(null);
}

/* All that runs here, and what it leaves outside of the namespaces. */
static void end_all(const struct vct_run *run)
{
    int alone = getpid() == 1;
    if (run->isolation == VCT_ISO_GROUP)
        end_below();
    else if (alone)
        kill(-1, SIGKILL); /* of this namespace */
    vct_groups_left(run->s.scratch, alone);
}

void vct_child_main(struct vct_run *run)
{
    char exe[PATH_MAX], text[16];
    int status = 0;
    ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[len > 0 ? len : 0] = 0;
    run->exe = exe;
    take_number();
    vct_keep_begin();
    fcntl(run->child_fd, F_SETFD, FD_CLOEXEC);
    if (run->isolation == VCT_ISO_GROUP)
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    own_surroundings(run);
    pid_t pid = fork();
    if (pid < 0)
        cannot(run, "fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        vct_keep_not();
        setsid();
        vct_child_run(&run->s, run->child, run->child_fd, run->isolation >= VCT_ISO_USER);
        syscall(SYS_exit_group, 0);
    }
    if (vct_keep(pid, run->child_fd, &status)) {
        int n = snprintf(text, sizeof(text), "%d", status);
        vct_send(run->child_fd, VCT_MSG_ENDED, text, (size_t)n);
    }
    end_all(run);
    syscall(SYS_exit_group, 0);
    __builtin_unreachable();
}
