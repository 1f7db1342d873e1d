/* SPDX-License-Identifier: Apache-2.0 */
/* ctr-setup.c: the child half: makes a process of the agent into one of a container.
 *
 * It runs in a copy of the agent's memory, made by one clone.  From the moment it is in the container's pid
 * namespace others there can see it, so it is not dumpable (no ptrace, no /proc/PID/fd) until execve, and it closes
 * everything it does not need before it does anything else. */
#include "ctr-setup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "ctr-ahead.h"
#include "lib/io.h"

#define DEVPTS_MAGIC 0x1cd1
#define PROC_MAGIC 0x9fa0
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- talking to the agent ---- */

static void send_msg(int sync, const struct vca_msg *msg, int fd)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } ctl;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)msg, .iov_len = sizeof(*msg)};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        memset(&ctl, 0, sizeof(ctl));
        h.msg_control = ctl.buf;
        h.msg_controllen = sizeof(ctl.buf);
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    ssize_t n;
    /* write, where it does: the container's system call filter, which may be in force already, allows it more likely
     * than sendmsg.  A failure that cannot be told would look like success. */
    do
        n = fd >= 0 ? sendmsg(sync, &h, MSG_NOSIGNAL) : write(sync, msg, sizeof(*msg));
    while (n < 0 && errno == EINTR);
    /* Without the agent there is nobody to work for. */
    if (n < 0)
        _exit(255);
}

static _Noreturn void give_up(int sync, const struct vca_fault *f, int exec, int status)
{
    struct vca_msg msg = {.kind = VCA_MSG_FAULT, .exec = exec, .fault = *f};
    send_msg(sync, &msg, -1);
    _exit(status);
}

/* ---- the process itself ---- */

static int by_number(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Close everything from 3 on, except what is listed. */
static void close_others(const struct vca_setup *s)
{
    int keep[16 + VCA_MAX_NS];
    size_t n = 0;
    const int known[] = {s->sync, s->stdio[0], s->stdio[1], s->stdio[2], s->cgroup_fd, s->init_pidfd};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i] >= 3)
            keep[n++] = known[i];
    for (size_t i = 0; i < s->n_ns; i++)
        keep[n++] = s->ns_fds[i];
    qsort(keep, n, sizeof(keep[0]), by_number);
    unsigned from = 3;
    for (size_t i = 0; i < n; i++) {
        if ((unsigned)keep[i] > from)
            close_range(from, (unsigned)keep[i] - 1, 0);
        from = (unsigned)keep[i] + 1;
    }
    close_range(from, ~0U, 0);
}

static void reset_signals(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &dfl, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- settings in proc ---- */

static int open_guest_proc(struct vca_fault *f)
{
    int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct statfs st;
    if (fd < 0 || fstatfs(fd, &st) < 0)
        return vca_fail(f, errno, "cannot open /proc of the guest");
    if (st.f_type != PROC_MAGIC) {
        close(fd);
        return vca_fail_code(f, VCS_RPC_INTERNAL, 0, "/proc of the guest is not a proc filesystem");
    }
    return fd;
}

static int write_proc(int proc, const char *path, const char *value)
{
    vcs_autoclose int fd = vcs_open_beneath(proc, path, O_WRONLY, 0);
    if (fd < 0)
        return fd;
    ssize_t n = write(fd, value, strlen(value));
    return n < 0 ? -errno : 0;
}

/* Also the usual 0 is set: the agent itself is protected, which nothing in a container may inherit. */
int vca_oom_score(int64_t score, struct vca_fault *f)
{
    char path[64], text[32];
    vcs_autoclose int proc = -1;
    if (score < -1000 || score > 1000)
        return vca_fail(f, 0, "oomScoreAdj %lld must be from -1000 to 1000", (long long)score);
    /* "self" is a magic link only in name: it leads to the number of this process in that proc's namespace. */
    proc = open_guest_proc(f);
    if (proc < 0)
        return -1;
    ssize_t n = readlinkat(proc, "self", text, sizeof(text) - 1);
    if (n < 0)
        return vca_fail(f, errno, "cannot read /proc/self of the guest");
    text[n] = '\0';
    snprintf(path, sizeof(path), "%s/oom_score_adj", text);
    snprintf(text, sizeof(text), "%lld", (long long)score);
    int r = write_proc(proc, path, text);
    if (r < 0 && !score)
        return 0; /* not asked for, and only a process that may lower it has a lower one */
    return r < 0 ? vca_fail(f, -r, "cannot set oomScoreAdj to %lld", (long long)score) : 0;
}

/* May the container have this value for itself?  The pod owns the guest's network, so net.* is the pod's. */
static int sysctl_allowed(const struct vca_setup *s, const char *path)
{
    static const char *const ipc[] = {"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem",
                                      "kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced"};
    if (strncmp(path, "net/", 4) == 0)
        return 1;
    if (strcmp(path, "kernel/domainname") == 0)
        return s->own_uts;
    if (strncmp(path, "fs/mqueue/", 10) == 0)
        return s->own_ipc;
    for (size_t i = 0; i < sizeof(ipc) / sizeof(ipc[0]); i++)
        if (strcmp(path, ipc[i]) == 0)
            return s->own_ipc;
    return 0;
}

static int set_sysctl(const struct vca_setup *s, int proc, const Oci__StringEntry *e, struct vca_fault *f)
{
    char path[256], full[300];
    size_t len = strlen(e->key);
    if (!len || len >= sizeof(path) || *e->key == '/' || strstr(e->key, ".."))
        return vca_fail(f, 0, "sysctl '%.100s' must be a name such as net.core.somaxconn", e->key);
    /* Whichever of '.' and '/' comes first separates; the other is part of a name then. */
    char sep = e->key[strcspn(e->key, "./")];
    for (size_t i = 0; i <= len; i++)
        path[i] = sep == '.' ? (e->key[i] == '.' ? '/' : e->key[i] == '/' ? '.' : e->key[i]) : e->key[i];
    if (strstr(path, "..") || strstr(path, "//") || strstr(path, "./"))
        return vca_fail(f, 0, "sysctl '%.100s' must be a name such as net.core.somaxconn", e->key);
    if (!sysctl_allowed(s, path))
        return vca_fail_code(f, VCS_RPC_INVALID, 0, "sysctl '%.100s' is not allowed: it does not belong to a namespace "
                                                    "of the container", e->key);
    snprintf(full, sizeof(full), "sys/%s", path);
    int r = write_proc(proc, full, e->value);
    return r < 0 ? vca_fail(f, -r, "cannot set sysctl %.100s to '%.100s'", e->key, e->value) : 0;
}

static int set_sysctls(const struct vca_setup *s, struct vca_fault *f)
{
    const Oci__Linux *lin = s->spec->linux_part;
    if (!lin->n_sysctl)
        return 0;
    vcs_autoclose int proc = open_guest_proc(f);
    if (proc < 0)
        return -1;
    for (size_t i = 0; i < lin->n_sysctl; i++)
        if (set_sysctl(s, proc, lin->sysctl[i], f) < 0)
            return -1;
    return 0;
}

/* ---- terminal ---- */

/* A new terminal from the container's devpts; its master goes to the agent.  The container may have put anything
 * in the place of ptmx, so it is checked to be the real one.  Returns the slave or -1. */
static int open_terminal(const struct vca_setup *s, int rootfd, struct vca_fault *f)
{
    vcs_autoclose int master = vca_open_in_root(rootfd, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, 0);
    struct stat st;
    struct statfs fs;
    int off = 0;
    if (master < 0)
        return vca_fail(f, -master, "a terminal needs a devpts mount on /dev/pts");
    if (fstat(master, &st) < 0 || fstatfs(master, &fs) < 0 || fs.f_type != DEVPTS_MAGIC || !S_ISCHR(st.st_mode) ||
        st.st_rdev != makedev(5, 2))
        return vca_fail_code(f, VCS_RPC_PRECONDITION, 0, "/dev/pts/ptmx of the container is not that of a devpts mount");
    if (ioctl(master, TIOCSPTLCK, &off) < 0)
        return vca_fail(f, errno, "cannot unlock a terminal of the container");
    vcs_autoclose int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return vca_fail(f, errno, "cannot open a terminal of the container");
    const Oci__Box *box = s->process->console_size;
    if (box && box->height && box->width) {
        struct winsize ws = {.ws_row = (unsigned short)box->height, .ws_col = (unsigned short)box->width};
        ioctl(slave, TIOCSWINSZ, &ws);
    }
    struct vca_msg msg = {.kind = VCA_MSG_TERMINAL};
    send_msg(s->sync, &msg, master);
    return VCS_TAKE_FD(slave);
}

/* Descriptors 0, 1 and 2, owned by the process's user, so that it can open /dev/stdout again. */
static int take_stdio(const struct vca_setup *s, int terminal, uid_t uid, struct vca_fault *f)
{
    for (int i = 0; i < 3; i++) {
        int from = terminal >= 0 ? terminal : s->stdio[i];
        if (dup2(from, i) < 0)
            return vca_fail(f, errno, "cannot set standard stream %d", i);
        if (uid && fchown(i, uid, (gid_t)-1) < 0 && errno != EROFS && errno != EPERM)
            return vca_fail(f, errno, "cannot change the owner of standard stream %d", i);
    }
    if (terminal >= 0 && ioctl(0, TIOCSCTTY, 0) < 0)
        return vca_fail(f, errno, "cannot make the terminal the controlling one");
    return 0;
}

/* ---- identity and program ---- */

/* chdir before the change of user works where only root may enter, after it where only the user may. */
static int enter_cwd(const char *cwd, struct vca_fault *f)
{
    char now[PATH_MAX];
    if (chdir(cwd) < 0)
        return vca_fail(f, errno, "cannot change to the working directory '%.200s'", cwd);
    /* A path through a descriptor from outside would end up outside. */
    if (syscall(SYS_getcwd, now, sizeof(now)) < 0 || now[0] != '/')
        return vca_fail_code(f, VCS_RPC_PERM, 0, "the working directory '%.200s' is outside of the container", cwd);
    return 0;
}

static int become(const struct vca_setup *s, const struct vca_ident *id, const struct vca_caps *caps,
                  struct vca_fault *f)
{
    const Oci__Process *p = s->process;
    const char *cwd = *p->cwd ? p->cwd : "/";
    if (*cwd != '/')
        return vca_fail(f, 0, "the working directory '%.200s' must be absolute", cwd);
    int in_cwd = enter_cwd(cwd, f) == 0;
    if (vca_caps_bound(caps, f) < 0)
        return -1;
    /* Without no_new_privs only a privileged process may install a filter. */
    if (s->seccomp && !p->no_new_privileges && vca_seccomp_load(s->seccomp, f) < 0)
        return -1;
    if (setgroups(id->n_gids, id->gids) < 0)
        return vca_fail(f, errno, "cannot set the supplementary groups");
    if (setresgid(id->gid, id->gid, id->gid) < 0)
        return vca_fail(f, errno, "cannot become group %u", id->gid);
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresuid(id->uid, id->uid, id->uid) < 0)
        return vca_fail(f, errno, "cannot become user %u", id->uid);
    if (vca_caps_apply(caps, f) < 0 || (!in_cwd && enter_cwd(cwd, f) < 0))
        return -1;
    if (p->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return vca_fail(f, errno, "cannot set no_new_privs");
    if (s->seccomp && p->no_new_privileges && vca_seccomp_load(s->seccomp, f) < 0)
        return -1;
    return 0;
}

static const char *env_value(char *const *env, size_t n, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (strncmp(env[i], name, len) == 0 && env[i][len] == '=')
            return env[i] + len + 1;
    return NULL;
}

/* execve along PATH: the first file that can be executed.  Returns the errno. */
static int search_and_exec(char *const *argv, char *const *envp, const char *path)
{
    char full[PATH_MAX];
    int found = ENOENT;
    for (const char *dir = path;; dir++) {
        size_t len = strcspn(dir, ":");
        int n = len ? snprintf(full, sizeof(full), "%.*s/%s", (int)len, dir, argv[0])
                    : snprintf(full, sizeof(full), "./%s", argv[0]);
        if (n > 0 && (size_t)n < sizeof(full)) {
            struct stat st;
            execve(full, argv, envp);
            /* A directory of that name is passed over, as the shell does. */
            if (errno == EACCES && stat(full, &st) == 0 && !S_ISDIR(st.st_mode))
                found = EACCES;
            else if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
                return errno;
        }
        dir += len;
        if (!*dir)
            return found;
    }
}

static _Noreturn void run_program(const struct vca_setup *s, const struct vca_ident *id)
{
    const Oci__Process *p = s->process;
    struct vca_fault f = {0};
    char home[sizeof(id->home) + 8];
    char **argv = calloc(p->n_args + 1, sizeof(*argv)), **envp = calloc(p->n_env + 2, sizeof(*envp));
    if (!argv || !envp) {
        vca_fail(&f, ENOMEM, "cannot execute '%.200s'", p->args[0]);
        give_up(s->sync, &f, 0, 126);
    }
    memcpy(argv, p->args, p->n_args * sizeof(*argv));
    memcpy(envp, p->env, p->n_env * sizeof(*envp));
    if (!env_value(p->env, p->n_env, "HOME")) {
        snprintf(home, sizeof(home), "HOME=%s", *id->home ? id->home : "/");
        envp[p->n_env] = home;
    }
    int sys;
    if (strchr(argv[0], '/')) {
        execve(argv[0], argv, envp);
        sys = errno;
    } else {
        const char *path = env_value(p->env, p->n_env, "PATH");
        sys = search_and_exec(argv, envp, path ? path : DEFAULT_PATH);
    }
    int missing = sys == ENOENT || sys == ENOTDIR;
    int denied = sys == EACCES || sys == EPERM || sys == ENOEXEC || sys == EISDIR;
    vca_fail_code(&f, missing ? VCS_RPC_NOTFOUND : denied ? VCS_RPC_PERM : VCS_RPC_INTERNAL, sys,
                  "cannot execute '%.200s'%s", p->args[0],
                  missing && !strchr(argv[0], '/') ? " (looked for in PATH)" : "");
    give_up(s->sync, &f, 1, missing ? 127 : 126);
}

/* ---- the two kinds of process ---- */

static int join_namespaces(const struct vca_setup *s, struct vca_fault *f)
{
    for (size_t i = 0; i < s->n_ns; i++)
        if (setns(s->ns_fds[i], s->ns_types[i]) < 0)
            return vca_fail(f, errno, "cannot join a namespace (type %#x)", (unsigned)s->ns_types[i]);
    if (s->own_cgroup_ns && unshare(CLONE_NEWCGROUP) < 0)
        return vca_fail(f, errno, "cannot make a cgroup namespace");
    if (s->own_uts && *s->spec->hostname && sethostname(s->spec->hostname, strlen(s->spec->hostname)) < 0)
        return vca_fail(f, errno, "cannot set the host name '%.100s'", s->spec->hostname);
    return 0;
}

/* A descriptor from the agent's mount namespace cannot be bound in this one: find the directory by its path
 * again.  -1 when there are no cgroups. */
int vca_own_cgroup(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = fd >= 0 ? readlink(link, path, sizeof(path) - 1) : -1;
    if (n <= 0)
        return -1;
    path[n] = '\0';
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* Make the container around the process.  Returns with its root as root; *terminal and *rootfd are set. */
static int build_container(const struct vca_setup *s, int *terminal, int *rootfd, struct vca_fault *f)
{
    const Oci__Spec *spec = s->spec;
    vcs_autoclose int cgroup_fd = vca_own_cgroup(s->cgroup_fd);
    struct vca_mounts m = {.rootfd = -1, .guest_cgroup_fd = cgroup_fd, .own_cgroup_ns = s->own_cgroup_ns};
    if (join_namespaces(s, f) < 0)
        return -1;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return vca_fail(f, errno, "cannot make the mount namespace private");
    if (set_sysctls(s, f) < 0 || vca_oom_score(s->process->oom_score_adj, f) < 0)
        return -1;
    if (vca_mounts_root(&m, spec->root->path, f) < 0 || vca_mounts_all(&m, spec, f) < 0 ||
        vca_mounts_devices(&m, spec, f) < 0)
        return -1;
    if (s->process->terminal) {
        *terminal = open_terminal(s, m.rootfd, f);
        if (*terminal < 0 || vca_mounts_console(&m, *terminal, f) < 0)
            return -1;
    }
    if (vca_mounts_protect(&m, spec->linux_part, f) < 0 || vca_mounts_enter(&m, spec, f) < 0)
        return -1;
    *rootfd = m.rootfd;
    return 0;
}

static int join_container(const struct vca_setup *s, int *terminal, int *rootfd, struct vca_fault *f)
{
    if (vca_oom_score(s->process->oom_score_adj, f) < 0)
        return -1;
    if (setns(s->init_pidfd, CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP) < 0)
        return vca_fail_code(f, errno == ESRCH ? VCS_RPC_PRECONDITION : VCS_RPC_INTERNAL, errno,
                             "cannot join the namespaces of the container");
    *rootfd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*rootfd < 0)
        return vca_fail(f, errno, "cannot open the container's root");
    if (s->process->terminal) {
        *terminal = open_terminal(s, *rootfd, f);
        if (*terminal < 0)
            return -1;
    }
    return 0;
}

/* With the root at rootfd already, or (-1) to be made. */
static int prepare(const struct vca_setup *s, int rootfd, struct vca_ident *id, struct vca_fault *f)
{
    const Oci__Process *p = s->process;
    const Agent__StringUser *u = s->user;
    struct vca_caps caps;
    char named[600];
    int terminal = -1;
    if (vca_caps_parse(p->capabilities, &caps, f) < 0)
        return -1;
    if (rootfd < 0 &&
        (s->spec ? build_container(s, &terminal, &rootfd, f) : join_container(s, &terminal, &rootfd, f)) < 0)
        return -1;

    const char *text = p->user ? p->user->username : "";
    if (u && *u->uid) {
        if (snprintf(named, sizeof(named), "%s%s%s", u->uid, *u->gid ? ":" : "", u->gid) >= (int)sizeof(named))
            return vca_fail(f, 0, "user '%.64s' is longer than any user name", u->uid);
        text = named;
    }
    if (vca_user_resolve(rootfd, p->user, text, u ? u->additional_gids : NULL, u ? u->n_additional_gids : 0,
                         !env_value(p->env, p->n_env, "HOME"), id, f) < 0)
        return -1;
    close(rootfd);
    if (vca_rlimits_apply(p, f) < 0 || take_stdio(s, terminal, id->uid, f) < 0)
        return -1;
    /* Everything but the socket is done with: a working directory that leads through /proc/self/fd finds nothing. */
    struct vca_setup rest = {.sync = s->sync, .stdio = {-1, -1, -1}, .cgroup_fd = -1, .init_pidfd = -1};
    close_others(&rest);
    umask(022);
    return become(s, id, &caps, f);
}

void vca_setup_ready(int sync)
{
    struct vca_msg msg = {.kind = VCA_MSG_READY};
    send_msg(sync, &msg, -1);
}

_Noreturn void vca_setup_run(const struct vca_setup *s)
{
    struct vca_fault f = {0};
    struct vca_ident id;
    struct vca_setup order;
    int rootfd = -1;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    close_others(s);
    reset_signals();
    umask(0);
    setsid();
    if (s->ahead) {
        if (vca_ahead_run(s, &order, &rootfd, &f) < 0)
            give_up(s->sync, &f, 0, 255);
        s = &order;
    }
    if (prepare(s, rootfd, &id, &f) < 0) {
        /* Of a further process these two are said of its program only: callers make 127 and 126 of them. */
        if (!s->spec && (f.code == VCS_RPC_NOTFOUND || f.code == VCS_RPC_PERM))
            f.code = VCS_RPC_INVALID;
        give_up(s->sync, &f, 0, 255);
    }
    if (s->spec) {
        char go;
        vca_setup_ready(s->sync);
        ssize_t n;
        do
            n = read(s->sync, &go, 1);
        while (n < 0 && errno == EINTR);
        if (n != 1)
            _exit(255); /* the container goes away before it has started */
    }
    run_program(s, &id);
}
