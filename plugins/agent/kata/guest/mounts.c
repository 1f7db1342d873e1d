/* SPDX-License-Identifier: Apache-2.0 */
/* mounts.c: the mounts of a container, made by its child half in its own mount namespace.
 *
 * Everything goes through descriptors (open_tree, fsmount, move_mount): a target is looked up once, with the new
 * root as the limit, and is mounted on by its descriptor.  A link that the container's files plant, or swap
 * during the work, can therefore move a mount to another place of the container, never out of it.
 *
 * The root: the guest lives in an initramfs, and the kernel lets nobody leave that first mount by pivot_root.  The
 * known way around, MS_MOVE and chroot, keeps all mounts of the guest in the container's namespace, within reach
 * of whoever gets out of the chroot.  So there the new root is moved over the first mount, every other mount that
 * hangs on the first one is detached, and only then comes chroot.  What the namespace holds in the end is the same
 * as after pivot_root on a machine that was started through an initramfs: the kernel's first mount, which no path
 * leads to since the new root covers it, and the container's own tree. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ctr-internal.h"
#include "lib/io.h"

static int attach(int mount, int target)
{
    return move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

int vca_mounts_is_own(const struct vca_mounts *m, int fd)
{
    uint64_t id = vca_mount_id(fd);
    for (size_t i = 0; id && i < m->n_own; i++)
        if (m->own[i] == id)
            return 1;
    return 0;
}

/* Split a path into its parent and its last name; both are the caller's buffers of PATH_MAX. */
static int split_path(const char *path, char *parent, char *name)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    size_t at = len;
    while (at > 0 && path[at - 1] != '/')
        at--;
    if (len >= PATH_MAX || at == len || len - at > NAME_MAX)
        return -1;
    memcpy(name, path + at, len - at);
    name[len - at] = '\0';
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -1;
    while (at > 1 && path[at - 1] == '/')
        at--;
    memcpy(parent, path, at);
    parent[at] = '\0';
    return at > 0 ? 0 : -1;
}

/* The parent directory of a path, made if it is missing and in a tmpfs of ours. */
static int open_parent(struct vca_mounts *m, const char *path, char *name, struct vca_fault *f, int depth)
{
    char parent[PATH_MAX], sub[PATH_MAX];
    if (depth > 32 || split_path(path, parent, name) < 0)
        return vca_fail(f, 0, "'%.200s' is not an absolute path that can be made", path);
    int fd = vca_open_in_root(m->rootfd, parent, O_PATH | O_DIRECTORY, 0);
    if (fd == -ENOENT) {
        vcs_autoclose int up = open_parent(m, parent, sub, f, depth + 1);
        if (up < 0)
            return -1;
        if (!vca_mounts_is_own(m, up) || (mkdirat(up, sub, 0755) < 0 && errno != EEXIST))
            return vca_fail(f, ENOENT, "'%.200s' is missing in the container's root filesystem", parent);
        fd = vca_open_in_root(m->rootfd, parent, O_PATH | O_DIRECTORY, 0);
    }
    if (fd < 0)
        return vca_fail(f, -fd, "cannot open '%.200s' of the container", parent);
    return fd;
}

int vca_mounts_point(struct vca_mounts *m, const char *path, int dir, struct vca_fault *f)
{
    int fd = vca_open_in_root(m->rootfd, path, O_PATH, 0);
    if (fd != -ENOENT)
        return fd >= 0 ? fd : vca_fail(f, -fd, "cannot open mount point '%.200s' of the container", path);
    char name[PATH_MAX];
    vcs_autoclose int up = open_parent(m, path, name, f, 0);
    if (up < 0)
        return -1;
    if (!vca_mounts_is_own(m, up))
        return vca_fail(f, ENOENT, "mount point '%.200s' is missing in the container's root filesystem", path);
    if (dir) {
        if (mkdirat(up, name, 0755) < 0 && errno != EEXIST)
            return vca_fail(f, errno, "cannot make mount point '%.200s'", path);
    } else {
        vcs_autoclose int made = openat(up, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (made < 0 && errno != EEXIST)
            return vca_fail(f, errno, "cannot make mount point '%.200s'", path);
    }
    fd = vca_open_in_root(m->rootfd, path, O_PATH, 0);
    return fd >= 0 ? fd : vca_fail(f, -fd, "cannot open mount point '%.200s' of the container", path);
}

int vca_mounts_copy_root(const char *path, struct vca_fault *f)
{
    struct vca_mount_opts o = {.bind = 1, .rbind = 1, .propagation = MS_PRIVATE, .propagation_rec = 1};
    if (*path != '/')
        return vca_fail(f, 0, "the root path '%.200s' must be absolute", path);
    /* Opened once: a share may have to be asked for every part of the path each time. */
    vcs_autoclose int dir = open(path, O_PATH | O_CLOEXEC);
    struct stat st;
    if (dir < 0 || fstat(dir, &st) < 0)
        return vca_fail(f, errno, "the root filesystem '%.200s' cannot be used", path);
    if (!S_ISDIR(st.st_mode))
        return vca_fail(f, ENOTDIR, "the root filesystem '%.200s' cannot be used", path);
    return vca_mount_copy(dir, "", &o, f);
}

int vca_mounts_root(struct vca_mounts *m, const char *path, struct vca_fault *f)
{
    vcs_autoclose int tree = vca_mounts_copy_root(path, f);
    if (tree < 0)
        return -1;
    if (move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) < 0)
        return vca_fail(f, errno, "cannot mount the root filesystem '%.200s'", path);
    m->rootfd = VCS_TAKE_FD(tree);
    return 0;
}

/* proc and sysfs are what other protections rest on: their mount points may not be reached through links. */
static int open_plain(struct vca_mounts *m, const char *dest, struct vca_fault *f)
{
    while (*dest == '/')
        dest++;
    int fd = vcs_open_beneath(m->rootfd, dest, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return vca_fail(f, -fd, "mount point '/%.200s' must be a directory in the container's root filesystem, with no "
                                "link on the way to it", dest);
    return fd;
}

/* A cgroup mount shows the container its own group only. */
static int mount_cgroup(struct vca_mounts *m, struct vca_mount_opts *o, struct vca_fault *f)
{
    o->n_data = 0; /* they name version 1 controllers */
    if (m->own_cgroup_ns)
        return vca_mount_new("cgroup2", "cgroup", o, f);
    if (m->guest_cgroup_fd < 0)
        return vca_fail_code(f, VCS_RPC_PRECONDITION, 0, "a cgroup mount needs cgroups, which are switched off");
    return vca_mount_copy(m->guest_cgroup_fd, "", o, f);
}

static int remount(struct vca_mounts *m, const char *dest, const struct vca_mount_opts *o, struct vca_fault *f)
{
    if (o->n_data)
        return vca_fail_code(f, VCS_RPC_UNIMPLEMENTED, 0, "a remount of '%.200s' cannot change the option '%.*s' of its "
                                                          "filesystem", dest, (int)(o->data[0].len < 64 ? o->data[0].len : 64),
                             o->data[0].text);
    vcs_autoclose int fd = vca_open_in_root(m->rootfd, dest, O_PATH, 0);
    if (fd < 0)
        return vca_fail(f, -fd, "cannot open '%.200s' to remount it", dest);
    return vca_mount_change(fd, o, f);
}

static int is_dev(const char *dest)
{
    return strncmp(dest, "/dev", 4) == 0 && (dest[4] == '\0' || strcmp(dest + 4, "/") == 0);
}

static int mount_attach(struct vca_mounts *m, const char *dest, int fd, int plain, struct vca_fault *f)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return vca_fail(f, errno, "cannot examine what is to be mounted on '%.200s'", dest);
    vcs_autoclose int target = plain ? open_plain(m, dest, f) : vca_mounts_point(m, dest, S_ISDIR(st.st_mode), f);
    if (target < 0)
        return -1;
    if (attach(fd, target) < 0)
        return vca_fail(f, errno, "cannot mount on '%.200s'%s", dest,
                        errno == ENOTDIR ? " (a directory goes on a directory, a file on a file)" : "");
    return 0;
}

static int is_plain(const char *type)
{
    return strcmp(type, "proc") == 0 || strcmp(type, "sysfs") == 0;
}

int vca_mounts_put(struct vca_mounts *m, const Oci__Mount *mnt, int fd, struct vca_fault *f)
{
    return mount_attach(m, mnt->destination, fd, is_plain(mnt->type), f);
}

static int mount_one(struct vca_mounts *m, const Oci__Mount *mnt, struct vca_fault *f)
{
    struct vca_mount_opts o;
    const char *type = *mnt->type ? mnt->type : "bind", *dest = mnt->destination;
    if (*dest != '/' || !dest[strspn(dest, "/")])
        return vca_fail(f, 0, "mount destination '%.200s' must be an absolute path below the root", dest);
    if (vca_mount_opts_parse(mnt->options, mnt->n_options, &o, f) < 0)
        return -1;
    if (o.remount)
        return remount(m, dest, &o, f);

    vcs_autoclose int fd = -1;
    int tmpfs = 0, plain = 0;
    if (o.bind || strcmp(type, "bind") == 0) {
        if (*mnt->source != '/')
            return vca_fail(f, 0, "the source '%.200s' of the mount on '%.200s' must be absolute", mnt->source, dest);
        if (!o.propagation) {
            o.propagation = MS_PRIVATE;
            o.propagation_rec = 1;
        }
        fd = vca_mount_copy(AT_FDCWD, mnt->source, &o, f);
    } else if (strcmp(type, "cgroup") == 0 || strcmp(type, "cgroup2") == 0) {
        fd = mount_cgroup(m, &o, f);
    } else {
        plain = is_plain(type);
        tmpfs = strcmp(type, "tmpfs") == 0;
        if (tmpfs && is_dev(dest) && (o.attr_set & MOUNT_ATTR_RDONLY)) {
            o.attr_set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
            m->dev_ro = 1;
        }
        fd = vca_mount_new(type, mnt->source, &o, f);
    }
    if (fd < 0 || mount_attach(m, dest, fd, plain, f) < 0)
        return -1;
    if (tmpfs && m->n_own < sizeof(m->own) / sizeof(m->own[0]))
        m->own[m->n_own++] = vca_mount_id(fd);
    return 0;
}

static int mount_default_dev(struct vca_mounts *m, struct vca_fault *f)
{
    char *opts[] = {(char *)"nosuid", (char *)"strictatime", (char *)"mode=755", (char *)"size=65536k"};
    Oci__Mount mnt = OCI__MOUNT__INIT;
    mnt.destination = (char *)"/dev";
    mnt.type = mnt.source = (char *)"tmpfs";
    mnt.options = opts;
    mnt.n_options = sizeof(opts) / sizeof(opts[0]);
    return mount_one(m, &mnt, f);
}

int vca_mounts_all(struct vca_mounts *m, const Oci__Spec *spec, struct vca_fault *f)
{
    int has_dev = 0;
    for (size_t i = 0; i < spec->n_mounts; i++)
        has_dev |= is_dev(spec->mounts[i]->destination);
    if (!has_dev && mount_default_dev(m, f) < 0)
        return -1;
    for (size_t i = 0; i < spec->n_mounts; i++) {
        if (mount_one(m, spec->mounts[i], f) < 0) {
            struct vca_fault inner = *f;
            return vca_fail_code(f, inner.code, 0, "mount %zu (%.100s): %.340s", i + 1, spec->mounts[i]->destination,
                                 inner.text);
        }
    }
    return 0;
}

/* ---- /dev ---- */

static const struct {
    const char *name;
    unsigned major, minor;
} nodes[] = {
    {"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
};
static const struct {
    const char *name, *target;
} links[] = {
    {"fd", "/proc/self/fd"},         {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"},   {"ptmx", "pts/ptmx"},
};

static int default_nodes(int dev, struct vca_fault *f)
{
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
        if (mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0 && errno != EEXIST)
            return vca_fail(f, errno, "cannot make /dev/%s", nodes[i].name);
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        if (symlinkat(links[i].target, dev, links[i].name) < 0 && errno != EEXIST)
            return vca_fail(f, errno, "cannot make the link /dev/%s", links[i].name);
    return 0;
}

static int device_type(const Oci__LinuxDevice *d, mode_t *ret, struct vca_fault *f)
{
    switch (d->type[0] && !d->type[1] ? d->type[0] : 0) {
    case 'c':
    case 'u':
        *ret = S_IFCHR;
        return 0;
    case 'b':
        *ret = S_IFBLK;
        return 0;
    case 'p':
        *ret = S_IFIFO;
        return 0;
    default:
        return vca_fail(f, 0, "device '%.128s' has type '%.16s'; it must be c, b, u or p", d->path, d->type);
    }
}

static int spec_node(struct vca_mounts *m, const Oci__LinuxDevice *d, struct vca_fault *f)
{
    mode_t type = 0, perm = d->file_mode & 07777 ? (mode_t)d->file_mode & 07777 : 0666;
    char name[PATH_MAX];
    if (device_type(d, &type, f) < 0)
        return -1;
    if (d->major < 0 || d->major > 4095 || d->minor < 0 || d->minor > 1048575)
        return vca_fail(f, 0, "device '%.128s' has the number %lld:%lld, which cannot exist", d->path,
                        (long long)d->major, (long long)d->minor);
    dev_t number = type == S_IFIFO ? 0 : makedev((unsigned)d->major, (unsigned)d->minor);
    vcs_autoclose int up = open_parent(m, d->path, name, f, 0);
    if (up < 0)
        return -1;
    if (!vca_mounts_is_own(m, up))
        return vca_fail(f, EPERM, "device '%.128s' would have to be made in the container's root filesystem; devices "
                                  "go below /dev", d->path);
    if (unlinkat(up, name, 0) < 0 && errno != ENOENT)
        return vca_fail(f, errno, "cannot replace '%.128s'", d->path);
    /* The set-up runs with umask 0. */
    if (mknodat(up, name, type | perm, number) < 0)
        return vca_fail(f, errno, "cannot make device '%.128s'", d->path);
    if ((d->uid || d->gid) && fchownat(up, name, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return vca_fail(f, errno, "cannot change the owner of device '%.128s'", d->path);
    return 0;
}

int vca_mounts_devices(struct vca_mounts *m, const Oci__Spec *spec, struct vca_fault *f)
{
    vcs_autoclose int dev = vca_open_in_root(m->rootfd, "/dev", O_RDONLY | O_DIRECTORY, 0);
    if (dev >= 0 && vca_mounts_is_own(m, dev) && default_nodes(dev, f) < 0)
        return -1;
    for (size_t i = 0; i < spec->linux_part->n_devices; i++)
        if (spec_node(m, spec->linux_part->devices[i], f) < 0)
            return -1;
    return 0;
}

int vca_mounts_console(struct vca_mounts *m, int slave, struct vca_fault *f)
{
    struct vca_mount_opts o = {.propagation = MS_PRIVATE};
    vcs_autoclose int fd = vca_mount_copy(slave, "", &o, f);
    if (fd < 0)
        return -1;
    vcs_autoclose int target = vca_mounts_point(m, "/dev/console", 0, f);
    if (target < 0)
        return -1;
    if (attach(fd, target) < 0)
        return vca_fail(f, errno, "cannot mount the terminal on /dev/console");
    return 0;
}

/* ---- masked and read-only paths ---- */

static int mask_one(struct vca_mounts *m, const char *path, struct vca_fault *f)
{
    vcs_autoclose int target = vca_open_in_root(m->rootfd, path, O_PATH, 0);
    struct stat st, null_st;
    if (target == -ENOENT || target == -ENOTDIR)
        return 0;
    if (target < 0 || fstat(target, &st) < 0)
        return vca_fail(f, target < 0 ? -target : errno, "cannot mask '%.200s'", path);
    vcs_autoclose int fd = -1;
    if (S_ISDIR(st.st_mode)) {
        struct vca_mount_opts o = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                               MOUNT_ATTR_NOEXEC};
        fd = vca_mount_new("tmpfs", "tmpfs", &o, f);
    } else {
        /* The guest's own null device, not the container's, which may be something else by now. */
        struct vca_mount_opts o = {.propagation = MS_PRIVATE};
        fd = vca_mount_copy(AT_FDCWD, "/dev/null", &o, f);
        if (fd >= 0 && (fstat(fd, &null_st) < 0 || !S_ISCHR(null_st.st_mode) || null_st.st_rdev != makedev(1, 3)))
            return vca_fail(f, ENODEV, "/dev/null of the guest is not the null device");
    }
    if (fd < 0)
        return -1;
    if (attach(fd, target) < 0)
        return vca_fail(f, errno, "cannot mask '%.200s'", path);
    return 0;
}

static int protect_one(struct vca_mounts *m, const char *path, struct vca_fault *f)
{
    vcs_autoclose int target = vca_open_in_root(m->rootfd, path, O_PATH, 0);
    if (target == -ENOENT || target == -ENOTDIR)
        return 0;
    if (target < 0)
        return vca_fail(f, -target, "cannot make '%.200s' read-only", path);
    struct vca_mount_opts o = {.rbind = 1, .attr_set = MOUNT_ATTR_RDONLY, .propagation = MS_PRIVATE,
                               .propagation_rec = 1};
    vcs_autoclose int fd = vca_mount_copy(target, "", &o, f);
    if (fd < 0)
        return -1;
    if (attach(fd, target) < 0)
        return vca_fail(f, errno, "cannot make '%.200s' read-only", path);
    return 0;
}

int vca_mounts_protect(struct vca_mounts *m, const Oci__Linux *lin, struct vca_fault *f)
{
    for (size_t i = 0; i < lin->n_readonly_paths; i++)
        if (protect_one(m, lin->readonly_paths[i], f) < 0)
            return -1;
    for (size_t i = 0; i < lin->n_masked_paths; i++)
        if (mask_one(m, lin->masked_paths[i], f) < 0)
            return -1;
    if (!m->dev_ro)
        return 0;
    struct vca_mount_opts o = {.attr_set = MOUNT_ATTR_RDONLY};
    return remount(m, "/dev", &o, f);
}

/* ---- the new root ---- */

/* Undo the octal escapes of mountinfo, in place. */
static void unescape(char *s)
{
    char *out = s;
    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
            *out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 3;
        } else {
            *out++ = *s;
        }
    }
    *out = '\0';
}

/* Detach all that hangs directly on mount `root`, except mount `keep` and what lies below a directory.  Paths start at the
 * first mount here, as it is still the root of this process. */
static int detach_others(uint64_t root, uint64_t keep, const char *keep_below, struct vca_fault *f)
{
    vcs_autofree char *text = NULL;
    size_t len;
    int r = vcs_read_file(AT_FDCWD, "/proc/self/mountinfo", 4u * 1024 * 1024, &text, &len);
    if (r < 0)
        return vca_fail(f, -r, "cannot read the list of mounts");
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        unsigned long long id, parent;
        int at = 0;
        if (sscanf(line, "%llu %llu %*s %*s %n", &id, &parent, &at) < 2 || !at)
            return vca_fail(f, 0, "the list of mounts has a line that cannot be understood: %.100s", line);
        if (parent != root || id == keep || id == root)
            continue;
        char *point = line + at;
        point[strcspn(point, " ")] = '\0';
        unescape(point);
        if (keep_below && strncmp(point, keep_below, strlen(keep_below)) == 0)
            continue;
        if (umount2(point, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            return vca_fail(f, errno, "cannot detach the guest's mount '%.200s'", point);
    }
    return 0;
}

static int open_first(struct vca_fault *f)
{
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : vca_fail(f, errno, "cannot open the guest's root");
}

int vca_mounts_leave_only(const char *keep, struct vca_fault *f)
{
    vcs_autoclose int old = open_first(f);
    return old < 0 ? -1 : detach_others(vca_mount_id(old), 0, keep, f);
}

int vca_mounts_cover(struct vca_mounts *m, struct vca_fault *f)
{
    vcs_autoclose int old = open_first(f);
    if (old >= 0 && attach(m->rootfd, old) < 0)
        return vca_fail(f, errno, "cannot move the root filesystem over the guest's root");
    return old < 0 ? -1 : 0;
}

/* The way into the new root when the guest's root is the kernel's first mount. */
static int cover_root(struct vca_mounts *m, const char *path, struct vca_fault *f)
{
    vcs_autoclose int old = open_first(f);
    if (old < 0 || vca_mounts_cover(m, f) < 0 ||
        detach_others(vca_mount_id(old), vca_mount_id(m->rootfd), NULL, f) < 0)
        return -1;
    if (fchdir(m->rootfd) < 0 || chroot(".") < 0)
        return vca_fail(f, errno, "cannot change into the root filesystem '%.200s'", path);
    return 0;
}

/* pivot_root with "." twice: the old root ends up over the new one, and is detached from there. */
static int pivot(struct vca_mounts *m, const char *path, struct vca_fault *f)
{
    if (fchdir(m->rootfd) < 0)
        return vca_fail(f, errno, "cannot enter the root filesystem");
    if (syscall(SYS_pivot_root, ".", ".") < 0) {
        if (errno == EINVAL)
            return cover_root(m, path, f);
        return vca_fail(f, errno, "cannot pivot into the root filesystem '%.200s'", path);
    }
    if (umount2(".", MNT_DETACH) < 0)
        return vca_fail(f, errno, "cannot detach the guest's root");
    return 0;
}

int vca_mounts_enter(struct vca_mounts *m, const Oci__Spec *spec, struct vca_fault *f)
{
    if (pivot(m, spec->root->path, f) < 0)
        return -1;
    return vca_mounts_finish(m, spec, f);
}

int vca_mounts_finish(struct vca_mounts *m, const Oci__Spec *spec, struct vca_fault *f)
{
    if (chdir("/") < 0)
        return vca_fail(f, errno, "cannot enter the root filesystem");
    char *word[] = {(char *)spec->linux_part->rootfs_propagation};
    struct vca_mount_opts o = {0};
    if (*word[0]) {
        if (vca_mount_opts_parse(word, 1, &o, f) < 0)
            return -1;
        if (!o.propagation)
            return vca_fail(f, 0, "rootfsPropagation '%.64s' must be private, slave, shared or unbindable, or one of "
                                  "these with an r in front", word[0]);
        /* Nothing outside is a peer of these mounts, so there is nobody to be a slave of: slave is private. */
        if (o.propagation == MS_SLAVE)
            o.propagation = MS_PRIVATE;
    }
    if (spec->root->readonly)
        o.attr_set |= MOUNT_ATTR_RDONLY;
    return vca_mount_change(m->rootfd, &o, f);
}
