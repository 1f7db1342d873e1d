/* SPDX-License-Identifier: Apache-2.0 */
/* stand-in.c: calls of the kernel that a Valgrind does not know which stands between (3.19 knows none of these), made in
 * another way: pidfd_open by a process of its own, signals by number, openat2 step by step. */
#include "conformance/stand-in.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "conformance/memory-long.h"
#include "conformance/watch.h"
#include "lib/io.h"

extern char **environ;

/* One byte, an errno (0: none), and with it maybe a descriptor. */
static int send_fd(int to, int fd, unsigned char error)
{
    char room[CMSG_SPACE(sizeof(int))] = "";
    struct iovec iov = { .iov_base = &error, .iov_len = 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    if (fd >= 0) {
        msg.msg_control = room;
        msg.msg_controllen = sizeof(room);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    return sendmsg(to, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int vct_pidfd_main(const char *pid)
{
    int fd = (int)syscall(SYS_pidfd_open, strtol(pid, NULL, 10), 0);
    return send_fd(0, fd, (unsigned char)(fd < 0 ? errno : 0)) < 0;
}

static int receive_fd(int from)
{
    unsigned char error = 0;
    char room[CMSG_SPACE(sizeof(int))] = "";
    struct iovec iov = { .iov_base = &error, .iov_len = 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
    int fd = -1;
    if (recvmsg(from, &msg, MSG_CMSG_CLOEXEC) != 1)
        return -ENOSYS;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(c), sizeof(int));
    return fd >= 0 ? fd : -(error ? error : ENOSYS);
}

static int open_apart(long pid)
{
    char self[PATH_MAX], number[24];
    char *words[] = { self, (char[]){ "--pidfd" }, number, NULL };
    posix_spawn_file_actions_t files;
    pid_t child = -1;
    int ends[2];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (len <= 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -ENOSYS;
    self[len] = '\0';
    snprintf(number, sizeof(number), "%ld", pid);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, ends[1], 0);
    int r = -posix_spawn(&child, self, &files, NULL, words, environ);
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    r = r ? r : receive_fd(ends[0]);
    close(ends[0]);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
    return r;
}

/* What process the descriptor stands for; 0: one that has gone. */
static pid_t process_of(long fd)
{
    char path[64], line[128];
    int pid = 0;
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%ld", fd);
    vcs_autofclose FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "Pid: %d", &pid) == 1)
            break;
    return pid > 0 ? pid : 0;
}

/* Are both on the same mount?  What cannot be told is not. */
static int same_mount(int a, int b)
{
    struct statx x, y;
    return statx(a, "", AT_EMPTY_PATH, STATX_MNT_ID, &x) == 0 && statx(b, "", AT_EMPTY_PATH, STATX_MNT_ID, &y) == 0 &&
           x.stx_mask & y.stx_mask & STATX_MNT_ID && x.stx_mnt_id == y.stx_mnt_id;
}

/* openat2 without "..", absolute paths and links, whatever else is asked for.  A descriptor or -errno. */
static int open_steps(int dirfd, const char *path, const struct open_how *how)
{
    char part[NAME_MAX + 1];
    vcs_autoclose int at = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
    if (at < 0)
        return -errno;
    for (const char *p = path;;) {
        size_t n = strcspn(p, "/");
        if (!n || n > NAME_MAX || (n == 2 && !strncmp(p, "..", 2)))
            return !*path ? -ENOENT : -EXDEV;
        snprintf(part, sizeof(part), "%.*s", (int)n, p);
        const char *next = p + n + strspn(p + n, "/");
        int fd = *next ? openat(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                       : openat(at, part, (int)how->flags | O_NOFOLLOW | O_CLOEXEC, (mode_t)how->mode);
        if (fd < 0)
            return -errno;
        if (how->resolve & RESOLVE_NO_XDEV && !same_mount(at, fd)) {
            close(fd);
            return -EXDEV;
        }
        if (!*next)
            return fd;
        close(at);
        at = fd;
        p = next;
    }
}

int vct_stand_in(long nr, const long *arg, long *ret)
{
    int was VCT_IN_HOST;
    if ((nr != SYS_pidfd_open && nr != SYS_pidfd_send_signal && nr != SYS_openat2) || !vct_valgrind_inner())
        return 0;
    long r;
    if (nr == SYS_pidfd_open) {
        r = open_apart(arg[0]);
    } else if (nr == SYS_openat2) {
        r = open_steps((int)arg[0], (const char *)arg[1], (const struct open_how *)arg[2]);
    } else {
        pid_t pid = process_of(arg[0]);
        r = !pid ? -ESRCH : kill(pid, (int)arg[1]) < 0 ? -errno : 0;
    }
    if (r < 0)
        errno = (int)-r;
    *ret = r < 0 ? -1 : r;
    return 1;
}
