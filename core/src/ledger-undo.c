/* SPDX-License-Identifier: Apache-2.0 */
/* ledger-undo.c: remove one external thing of a pod, whatever state it is in. */
#include "ledger-undo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <vc/host.h>

#include "instance.h"
#include "lib/io.h"
#include "lib/proc.h"
#include "netns.h"

#define CGROUP_LIMIT_NS INT64_C(5000000000) /* for the end of what is in a control group */

/* Kill it and wait for its end. */
static int undo_process(const char *name, int64_t deadline_ns, vc_error **err)
{
    int pid;
    unsigned long long ticks;
    if (sscanf(name, "%d %llu", &pid, &ticks) != 2 || pid <= 1)
        return 0; /* nothing that could be killed */
    struct vc_proc p = { .pid = pid, .start_ticks = ticks };
    int r = vcs_proc_kill(&p, SIGKILL);
    if (r == -ESRCH) {
        vcs_proc_wait(&p, 1, NULL); /* a zombie of ours is reaped */
        return 0;
    }
    if (r < 0)
        return vci_fail(err, vci_code_of(r), r, "cannot kill process %d", pid);
    r = vcs_proc_wait(&p, deadline_ns, NULL);
    if (r < 0)
        return vci_fail(err, vci_code_of(r), r, "process %d was killed but has not ended", pid);
    return 1;
}

/* A leader that is stopped cannot end on its own, and while it is there its number is that of its group only. */
int vci_kill_group(const struct vc_proc *leader)
{
    vcs_autoclose int fd = vcs_proc_fd(leader);
    if (fd < 0)
        return fd;
    syscall(SYS_pidfd_send_signal, fd, SIGSTOP, NULL, 0u);
    if (vcs_proc_alive(leader))
        kill(-leader->pid, SIGKILL);
    return syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0u) < 0 ? -errno : 0;
}

static int undo_hook(const char *name, int64_t deadline_ns, vc_error **err)
{
    struct vc_proc p = { 0 };
    unsigned long long ticks;
    if (sscanf(name, "%d %llu", &p.pid, &ticks) == 2 && p.pid > 1) {
        p.start_ticks = ticks;
        vci_kill_group(&p);
    }
    return undo_process(name, deadline_ns, err);
}

/* After a failed umount2: was it because nothing is mounted there?  The kernel tells callers without the right to
 * unmount that they lack it, before it looks. */
static int nothing_mounted(const char *path)
{
    struct statx st;
    if (errno != EPERM)
        return errno == EINVAL || errno == ENOENT || errno == ENOTDIR;
    int mounted = statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &st) == 0 &&
                  (!(st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) || st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
    errno = EPERM;
    return !mounted;
}

/* Take off all that is mounted at `name` in the open directory.  How many there were, or -errno. */
static int unmount_at(int dirfd, const char *name)
{
    char via[64 + NAME_MAX];
    snprintf(via, sizeof(via), "/proc/self/fd/%d/%s", dirfd, name);
    for (int n = 0; n < 256; n++)
        if (umount2(via, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            return nothing_mounted(via) ? n : -errno;
    return -EBUSY;
}

int vci_unmount_inside(const struct vci_pod_dir *dir, const char *inside)
{
    vcs_autofree char *parent = strdup(inside);
    if (!parent)
        return -ENOMEM;
    char *slash = strrchr(parent, '/');
    if (slash)
        *slash = '\0';
    const char *name = slash ? slash + 1 : inside;
    if (!*name || strlen(name) > NAME_MAX)
        return -EINVAL;
    int run = vci_store_run(dir, 0, NULL);
    vcs_autoclose int fd = run < 0 ? -ENOENT : vcs_open_beneath(run, slash ? parent : ".", O_PATH | O_DIRECTORY, 0);
    return fd < 0 ? fd : unmount_at(fd, name);
}

/* Blanks and backslashes stand as octal numbers in mountinfo. */
void vci_unescape_mount(char *s)
{
    char *to = s;
    for (; *s; to++) {
        if (s[0] == '\\' && s[1] && s[2] && s[3]) {
            *to = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 4;
        } else {
            *to = *s++;
        }
    }
    *to = '\0';
}

char **vci_mount_points(const char *below)
{
    vcs_autofclose FILE *f = fopen("/proc/self/mountinfo", "re");
    size_t room = 0, n = 0, len = strlen(below);
    char *line = NULL, **list = calloc(1, sizeof *list);
    while (f && list && getline(&line, &room, f) > 0) {
        char *p = line;
        for (int field = 1; field < 5 && p; field++) {
            p = strchr(p, ' ');
            p = p ? p + 1 : NULL;
        }
        if (!p)
            continue;
        p[strcspn(p, " ")] = '\0';
        vci_unescape_mount(p);
        if (strncmp(p, below, len) != 0 || p[len] != '/')
            continue;
        char **more = realloc(list, (n + 2) * sizeof *list);
        if (!more)
            break;
        list = more;
        list[n] = strdup(p);
        n += list[n] != NULL;
        list[n] = NULL;
    }
    free(line);
    return list;
}

/* Take off whatever is mounted below the shared directory, wherever a guest has moved the mount points to. */
static int unmount_shared(const struct vci_pod_dir *dir)
{
    vcs_autofree char *shared = NULL;
    int found = 0;
    if (asprintf(&shared, "%s/" VCI_SHARED, dir->run_path) < 0) {
        shared = NULL;
        return 0;
    }
    char **list = vci_mount_points(shared);
    for (size_t i = 0; list && list[i]; i++) {
        found |= vci_unmount_inside(dir, list[i] + strlen(dir->run_path) + 1) > 0;
        free(list[i]);
    }
    free(list);
    return found;
}

static int undo_mount_inside(const struct vci_pod_dir *dir, const char *path, vc_error **err)
{
    int r = vci_unmount_inside(dir, path + strlen(dir->run_path) + 1);
    if (r == 0 || r == -ELOOP || r == -ENOENT || r == -ENOTDIR || r == -EXDEV)
        r = unmount_shared(dir); /* it is not where it was put */
    return r < 0 ? vci_fail(err, vci_code_of(r), r, "cannot unmount %s", path) : r > 0;
}

/* Take off all that is mounted at that place. */
static int undo_mount(const struct vci_pod_dir *dir, const char *path, vc_error **err)
{
    size_t len = dir && dir->run_path && vci_store_run(dir, 0, NULL) >= 0 ? strlen(dir->run_path) : 0;
    if (len && strncmp(path, dir->run_path, len) == 0 && path[len] == '/')
        return undo_mount_inside(dir, path, err);
    int there = 0;
    for (int i = 0; i < 256; i++) {
        if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
            there = 1;
            continue;
        }
        if (nothing_mounted(path))
            return there;
        break;
    }
    return vci_fail(err, vci_code_of(errno), errno, "cannot unmount %s", path);
}

static int undo_path(const char *path, vc_error **err)
{
    if (unlink(path) == 0)
        return 1;
    if ((errno == EISDIR || errno == EPERM) && rmdir(path) == 0)
        return 1;
    if (errno == ENOENT || errno == ENOTDIR)
        return 0;
    return vci_fail(err, vci_code_of(errno), errno, "cannot remove %s", path);
}

static int undo_netns(const char *path, vc_error **err)
{
    int r = undo_mount(NULL, path, err);
    if (r < 0)
        return r;
    int file = undo_path(path, err);
    return file < 0 ? file : r | file;
}

/* What `ip link delete` does; on a thread that may be in another namespace.  0, 1 or -errno. */
static int delete_link(void *arg)
{
    const char *name = arg;
    struct {
        struct nlmsghdr n;
        struct ifinfomsg i;
        struct rtattr a;
        char name[IFNAMSIZ];
    } req = { .n = { .nlmsg_type = RTM_DELLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
              .i = { .ifi_family = AF_UNSPEC } };
    size_t len = strlen(name);
    if (len >= IFNAMSIZ)
        return 0; /* no link has such a name */
    memcpy(req.name, name, len);
    req.a.rta_type = IFLA_IFNAME;
    req.a.rta_len = (unsigned short)(RTA_LENGTH(0) + len + 1);
    req.n.nlmsg_len = (uint32_t)(offsetof(__typeof__(req), a) + RTA_ALIGN(req.a.rta_len));
    vcs_autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || send(fd, &req, req.n.nlmsg_len, 0) < 0)
        return -errno;
    union {
        struct {
            struct nlmsghdr n;
            struct nlmsgerr e;
        } ack;
        char bytes[4096];
    } reply;
    ssize_t n;
    do
        n = recv(fd, &reply, sizeof(reply), 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if ((size_t)n < sizeof(reply.ack) || reply.ack.n.nlmsg_type != NLMSG_ERROR)
        return -EPROTO;
    return reply.ack.e.error == 0 ? 1 : reply.ack.e.error == -ENODEV ? 0 : reply.ack.e.error;
}

/* "LINK" or "NETNSPATH:LINK". */
static int undo_link(const char *name, vc_error **err)
{
    const char *colon = strrchr(name, ':');
    const char *link = colon ? colon + 1 : name;
    int r;
    if (colon) {
        vcs_autofree char *path = strndup(name, (size_t)(colon - name));
        vcs_autoclose int ns = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (!path)
            return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
        if (ns < 0 && errno == ENOENT)
            return 0; /* its links went with it */
        r = ns < 0 ? -errno : 0;
        if (r == 0) {
            int sys = vci_netns_run(ns, delete_link, (void *)(uintptr_t)link, &r);
            if (sys == -EINVAL)
                return 0; /* a file that is a namespace no more */
            if (sys < 0)
                r = sys;
        }
    } else {
        r = delete_link((void *)(uintptr_t)link);
    }
    return r < 0 ? vci_fail(err, vci_code_of(r), r, "cannot remove the network link %s", name) : r;
}

/* A control group and those below it; only directories can be removed there. */
static int remove_cgroup(int dirfd, const char *name, int depth)
{
    if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
        return 1;
    if (errno == ENOENT)
        return 0;
    if (depth > 32)
        return -ELOOP;
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    vcs_autoclosedir DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return -ENOMEM;
    }
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_type == DT_DIR && strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            remove_cgroup(fd, e->d_name, depth + 1);
    return unlinkat(dirfd, name, AT_REMOVEDIR) == 0 ? 1 : errno == ENOENT ? 0 : -errno;
}

/* Is the process whose cgroup file this is in that group (named from its hierarchy's root on), or below it? */
static int is_member(const char *file, const char *group)
{
    size_t n = strlen(group);
    vcs_autofree char *text = NULL;
    if (vcs_read_file(AT_FDCWD, file, 65536, &text, NULL) < 0)
        return 0;
    const char *own = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    own = own ? own + strcspn(own, "/") : "";
    return strncmp(own, group, n) == 0 && (own[n] == '/' || own[n] == '\n' || !own[n]);
}

/* What a plugin has put on record may be wrong: no file system but that of control groups, no root of a hierarchy and no
 * group that this process or init is in can be one that was made for a pod. */
static int can_be_a_pods(const char *path)
{
    struct statfs fs;
    struct statx st;
    size_t root = 0;
    vcs_autofree char *real = realpath(path, NULL);
    if (!real || statfs(real, &fs) < 0 || (fs.f_type != CGROUP2_SUPER_MAGIC && fs.f_type != CGROUP_SUPER_MAGIC))
        return 0;
    for (size_t i = 1; i <= strlen(real); i++) {
        char end = real[i];
        if (end != '/' && end)
            continue;
        real[i] = '\0';
        if (statx(AT_FDCWD, real, AT_SYMLINK_NOFOLLOW, 0, &st) == 0 && st.stx_attributes & STATX_ATTR_MOUNT_ROOT)
            root = i;
        real[i] = end;
    }
    return real[root] == '/' && !is_member("/proc/self/cgroup", real + root) && !is_member("/proc/1/cgroup", real + root);
}

/* The pod is being removed, and with it every process that it has put into a group of its own.  Those that die with
 * another one that was killed just now may need a moment.  (Version 1 has neither file: there nothing is killed.) */
static void empty_cgroup(const char *path, int64_t deadline_ns)
{
    char text[256];
    vcs_autoclose int dir = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    vcs_autoclose int events = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
    vcs_autoclose int kill_fd = openat(dir, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (dir < 0 || events < 0)
        return;
    if (kill_fd >= 0 && write(kill_fd, "1", 1) < 0)
        return;
    for (;;) {
        ssize_t n = pread(events, text, sizeof(text) - 1, 0);
        text[n > 0 ? n : 0] = '\0';
        if (!strstr(text, "populated 1") || !vcs_poll_timeout(deadline_ns))
            return;
        struct pollfd p = { .fd = events, .events = POLLPRI };
        poll(&p, 1, vcs_poll_timeout(deadline_ns));
    }
}

static int undo_cgroup(const char *path, int64_t deadline_ns, vc_error **err)
{
    int64_t limit = vcs_now_ns() + CGROUP_LIMIT_NS;
    if (rmdir(path) == 0)
        return 1;
    if (errno == ENOENT)
        return 0;
    if (!can_be_a_pods(path))
        return vci_fail(err, VC_ERR_PERM, 0, "cannot remove the control group %s: it is none that was made for a pod", path);
    int r = remove_cgroup(AT_FDCWD, path, 0);
    if (r == -EBUSY) {
        empty_cgroup(path, deadline_ns && deadline_ns < limit ? deadline_ns : limit);
        r = remove_cgroup(AT_FDCWD, path, 0);
    }
    return r < 0 ? vci_fail(err, vci_code_of(r), r, "cannot remove the control group %s", path) : r;
}

/* "DEV:INO PATH": only that very inode, and only when nothing is in it; else it is the user's now.  "0:0": there was
 * nothing at that place, and whoever was about to make it was killed before he could say more. */
static int undo_mountpoint(const char *name)
{
    unsigned long long dev, ino;
    int at = 0;
    struct stat st;
    if (sscanf(name, "%llu:%llu %n", &dev, &ino, &at) != 2 || !at || name[at] != '/')
        return 0;
    vcs_autofree char *parent = strdup(name + at + 1);
    if (!parent)
        return 0;
    char *slash = strrchr(parent, '/');
    if (slash)
        *slash = '\0';
    const char *last = slash ? slash + 1 : name + at + 1;
    /* A container may have put links there since. */
    vcs_autoclose int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    vcs_autoclose int dir = root < 0 ? -1 : vcs_open_beneath(root, slash ? parent : ".", O_PATH | O_DIRECTORY, 0);
    if (dir < 0 || !*last || fstatat(dir, last, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        ((dev || ino) && (st.st_dev != (dev_t)dev || st.st_ino != (ino_t)ino)))
        return 0;
    if (S_ISDIR(st.st_mode))
        return unlinkat(dir, last, AT_REMOVEDIR) == 0;
    return S_ISREG(st.st_mode) && st.st_size == 0 && unlinkat(dir, last, 0) == 0;
}

int vci_undo_one(const struct vci_pod_dir *dir, uint32_t type, const char *name, int64_t deadline_ns, char *what,
                 size_t size, vc_error **err)
{
    static const struct {
        uint32_t type;
        const char *text;
    } names[] = {
        { VCI_RES_PROCESS, "process" },        { VC_RES_MOUNT, "mount" }, { VC_RES_PATH, "path" },
        { VC_RES_NETNS, "network namespace" }, { VC_RES_LINK, "link" },   { VC_RES_CGROUP, "control group" },
        { VCI_RES_MOUNTPOINT, "mount point" }, { VCI_RES_HOOK, "hook process" },
    };
    const char *text = "thing";
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].type == type)
            text = names[i].text;
    snprintf(what, size, "%s %s", text, name);
    switch (type) {
    case VCI_RES_PROCESS:
        return undo_process(name, deadline_ns, err);
    case VC_RES_MOUNT:
        return undo_mount(dir, name, err);
    case VC_RES_PATH:
        return undo_path(name, err);
    case VC_RES_NETNS:
        return undo_netns(name, err);
    case VC_RES_LINK:
        return undo_link(name, err);
    case VC_RES_CGROUP:
        return undo_cgroup(name, deadline_ns, err);
    case VCI_RES_HOOK:
        return undo_hook(name, deadline_ns, err);
    case VCI_RES_MOUNTPOINT:
        return undo_mountpoint(name);
    default:
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                        "a thing of type %u (\"%s\") was recorded by a newer release and cannot be removed by this one",
                        type, name);
    }
}
