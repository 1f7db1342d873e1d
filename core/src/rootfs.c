/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs.c: a container's root file system, shown to the guest by a bind mount below the shared directory. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/io.h"
#include "pod.h"

/* Not in every libc of the machines this is built on. */
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x00000004
#endif
#ifndef MOVE_MOUNT_T_EMPTY_PATH
#define MOVE_MOUNT_T_EMPTY_PATH 0x00000040
#endif
#define ATTR_RDONLY 0x00000001u
#define ATTR_NOSUID 0x00000002u
#define ATTR_NODEV  0x00000004u

struct attr {
    uint64_t set, clear, propagation, userns_fd;
};

int vci_rootfs_check(const char *path, vc_error **err)
{
    struct stat st;
    if (!path || !*path)
        return vci_fail(err, VC_ERR_INVAL, 0, "the container has no root file system: name a directory");
    if (stat(path, &st) < 0)
        return vci_fail(err, errno == ENOENT || errno == ENOTDIR ? VC_ERR_NOTFOUND : vci_code_of(errno), errno,
                        "cannot use %s as a root file system", path);
    if (!S_ISDIR(st.st_mode))
        return vci_fail(err, VC_ERR_INVAL, 0, "%s cannot be a root file system: it is not a directory", path);
    return 0;
}

int vci_rootfs_shared(const struct vci_pod *pod)
{
    return (vci_stack_caps(pod, VC_KIND_HYPERVISOR) &
            (VC_HV_CAP_SHARE_9P | VC_HV_CAP_SHARE_FS | VC_HV_CAP_SHARE_BIND)) != 0;
}

const char *vci_rootfs_share_type(const struct vci_pod *pod)
{
    uint64_t caps = vci_stack_caps(pod, VC_KIND_HYPERVISOR);
    return !vci_rootfs_shared(pod)       ? NULL
           : caps & VC_HV_CAP_SHARE_BIND ? "bind"
           : caps & VC_HV_CAP_SHARE_FS   ? "virtiofs"
                                         : "9p";
}

/* ---- mount points inside the user's directory ---- */

/* Open what stands at `path` inside the tree; no link is followed.  -errno. */
static int open_inside(int rootfd, const char *path, int flags)
{
    struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS };
    int fd = (int)syscall(SYS_openat2, rootfd, path, &how, sizeof how);
    return fd < 0 ? -errno : fd;
}

/* Make one directory that is missing.  What is noted before is its path, and after that its inode too: undoing
 * removes only an empty directory, and when the inode is known only that one. */
static int make_one(struct vci_pod *pod, const char *rootfs, int parent, const char *path, const char *name,
                    vc_error **err)
{
    vcs_autofree char *intent = NULL, *full = NULL;
    unsigned n = 0, n_full = 0;
    struct stat st;
    if (asprintf(&intent, "0:0 %s%s", rootfs, path) < 0) {
        intent = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    int rc = vci_ledger_add(&pod->dir, VCI_RES_MOUNTPOINT, "core", intent, &n, err);
    if (rc < 0)
        return rc;
    vci_fault_point("mountpoint-noted");
    if (mkdirat(parent, name, 0755) < 0) {
        int e = errno;
        vci_ledger_del(&pod->dir, n, NULL);
        if (e == EEXIST)
            return 0;
        return vci_fail(
            err, vci_code_of(e), e,
            "the root file system %s has no mount point %s and it cannot be made: make an empty directory there",
            rootfs, path);
    }
    vci_fault_point("mountpoint-made");
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot look at the new mount point %s%s", rootfs, path);
    if (asprintf(&full, "%ju:%ju %s%s", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino, rootfs, path) < 0) {
        full = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    rc = vci_ledger_add(&pod->dir, VCI_RES_MOUNTPOINT, "core", full, &n_full, err);
    return rc < 0 ? rc : vci_ledger_del(&pod->dir, n, err);
}

/* Make the missing directories of one path, from the top. */
static int make_path(struct vci_pod *pod, const char *rootfs, int rootfd, const char *path, vc_error **err)
{
    vcs_autofree char *p = strdup(path);
    if (!p)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    vcs_autoclose int dir = -1;
    for (char *end = p; *end;) {
        char *name = end + strspn(end, "/");
        if (!*name)
            break;
        end = name + strcspn(name, "/");
        char keep = *end;
        *end = '\0';
        if (strcmp(name, "..") == 0)
            return vci_fail(err, VC_ERR_INVAL, 0, "the mount point %s must not contain \"..\"", path);
        int fd = open_inside(rootfd, p, O_PATH | O_DIRECTORY);
        if (fd == -ENOENT) {
            int rc = make_one(pod, rootfs, dir < 0 ? rootfd : dir, p, name, err);
            if (rc < 0)
                return rc;
            fd = open_inside(rootfd, p, O_PATH | O_DIRECTORY);
        }
        if (fd == -ELOOP) /* a link: the guest resolves it inside the container */
            return 0;
        if (fd < 0)
            return vci_fail(err, vci_code_of(-fd), -fd, "cannot use %s in the root file system %s as a mount point", p,
                            rootfs);
        vcs_cleanup_fd(&dir);
        dir = fd;
        *end = keep;
    }
    return 0;
}

static int make_mountpoints(struct vci_pod *pod, const struct vci_ctr *c, int rootfd, vc_error **err)
{
    char **list = NULL;
    int rc = vci_spec_mountpoints(c->spec, &list, err);
    for (size_t i = 0; rc == 0 && list[i]; i++)
        rc = make_path(pod, c->rootfs, rootfd, list[i], err);
    vci_strv_free(list);
    return rc;
}

/* Take back the mount points made in a directory that ends with this container; others of the pod may share it. */
static int remove_mountpoints(struct vci_pod *pod, const struct vci_ctr *c, vc_error **err)
{
    struct vci_ledger_entry *entries = NULL;
    size_t n = 0;
    for (size_t i = 0; i < pod->n_ctrs; i++)
        if (pod->ctrs[i] != c && pod->ctrs[i]->rootfs && strcmp(pod->ctrs[i]->rootfs, c->rootfs) == 0)
            return 0;
    int rc = vci_ledger_read(&pod->dir, &entries, &n, err);
    size_t len = strlen(c->rootfs);
    for (size_t i = n; rc == 0 && i-- > 0;) {
        const char *path = entries[i].type == VCI_RES_MOUNTPOINT ? strchr(entries[i].name, ' ') : NULL;
        struct stat st;
        char made[64];
        if (!path || strncmp(++path, c->rootfs, len) != 0 || path[len] != '/')
            continue;
        vcs_autoclose int rootfd = open(c->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
        vcs_autofree char *parent = strdup(path + len);
        if (!parent)
            break;
        char *name = strrchr(parent, '/');
        *name++ = '\0';
        vcs_autoclose int dir = rootfd < 0 ? -1 : open_inside(rootfd, *parent ? parent : "/", O_PATH | O_DIRECTORY);
        if (dir >= 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
            snprintf(made, sizeof made, "%ju:%ju ", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
            if (strncmp(entries[i].name, made, strlen(made)) == 0 || strncmp(entries[i].name, "0:0 ", 4) == 0)
                unlinkat(dir, name, AT_REMOVEDIR); /* only when empty: else it is the user's now */
        }
        rc = vci_ledger_del(&pod->dir, entries[i].n, err);
    }
    vci_ledger_entries_free(entries, n);
    return rc;
}

/* ---- the mount ---- */

/* A private copy of the tree below the open directory (its path may name another one by now), with its attributes set before anybody can see it. */
static int clone_tree(const struct vci_ctr *c, int rootfd, vc_error **err)
{
    struct attr attr = { .set = ATTR_NOSUID | ATTR_NODEV | (c->readonly ? ATTR_RDONLY : 0), .propagation = MS_PRIVATE };
    int fd = (int)syscall(SYS_open_tree, rootfd, "", OPEN_TREE_CLONE | O_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
    if (fd < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot make a bind mount of %s", c->rootfs);
    if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) < 0) {
        int e = errno;
        close(fd);
        return vci_fail(err, vci_code_of(e), e, "cannot make the bind mount of %s %s", c->rootfs,
                        c->readonly ? "read-only" : "private");
    }
    return fd;
}

/* The guest can write below VCI_SHARED: nothing there is followed, and what is reached is reached by descriptor. */
static int open_target(const struct vci_pod *pod, const char *ctr, int make, vc_error **err)
{
    char name[160];
    snprintf(name, sizeof name, VCI_SHARED "/%s", ctr);
    if (make && mkdirat(pod->dir.run_fd, name, 0700) < 0 && errno != EEXIST)
        return vci_fail(err, vci_code_of(errno), errno, "cannot make %s/%s", pod->dir.run_path, name);
    int fd = vcs_open_beneath(pod->dir.run_fd, name, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return vci_fail(err, fd == -ENOENT ? VC_ERR_NOTFOUND : vci_code_of(-fd), -fd, "cannot open %s/%s",
                        pod->dir.run_path, name);
    return fd;
}

static int attach_tree(struct vci_pod *pod, const struct vci_ctr *c, int parent, int tree, vc_error **err)
{
    vcs_autofree char *target = NULL;
    if (asprintf(&target, "%s/" VCI_SHARED "/%s/rootfs", pod->dir.run_path, c->id) < 0) {
        target = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    if (mkdirat(parent, "rootfs", 0700) < 0 && errno != EEXIST)
        return vci_fail(err, vci_code_of(errno), errno, "cannot make %s", target);
    vcs_autoclose int at = vcs_open_beneath(parent, "rootfs", O_PATH | O_DIRECTORY, 0);
    if (at < 0)
        return vci_fail(err, vci_code_of(-at), -at, "cannot open %s", target);
    unsigned n = 0;
    int rc = vci_ledger_add(&pod->dir, VC_RES_MOUNT, "core", target, &n, err);
    if (rc < 0)
        return rc;
    vci_fault_point("mount-noted");
    if (syscall(SYS_move_mount, tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot mount %s on %s", c->rootfs, target);
    vci_fault_point("mounted");
    return 0;
}

int vci_rootfs_mount(struct vci_pod *pod, struct vci_ctr *c, vc_error **err)
{
    if (!vci_rootfs_shared(pod))
        return 0;
    int rc = vci_rootfs_check(c->rootfs, err);
    if (rc < 0)
        return rc;
    vcs_autoclose int rootfd = open(c->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (rootfd < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot use %s as a root file system", c->rootfs);
    vcs_autoclose int parent = open_target(pod, c->id, 1, err);
    if (parent < 0)
        return parent;
    rc = vci_ctr_load_spec(pod, c, err);
    if (rc == 0)
        rc = make_mountpoints(pod, c, rootfd, err);
    if (rc < 0)
        return rc;
    vcs_autoclose int tree = clone_tree(c, rootfd, err);
    return tree < 0 ? tree : attach_tree(pod, c, parent, tree, err);
}

int vci_rootfs_unmount(struct vci_pod *pod, const char *ctr, vc_error **err)
{
    char name[160], via[64];
    vcs_autofree char *target = NULL;
    struct vci_ctr *c = vci_pod_find(pod, ctr, NULL);
    vcs_autoclose int parent = pod->dir.run_fd < 0 ? -1 : open_target(pod, ctr, 0, NULL);
    if (parent < 0)
        return 0;
    if (asprintf(&target, "%s/" VCI_SHARED "/%s/rootfs", pod->dir.run_path, ctr) < 0) {
        target = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    /* Only mounts of ours are there; more than one when an earlier removal was interrupted. */
    snprintf(via, sizeof via, "/proc/self/fd/%d/rootfs", parent);
    while (umount2(via, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        continue;
    if (errno != EINVAL && errno != ENOENT && errno != EPERM)
        return vci_fail(err, vci_code_of(errno), errno, "cannot unmount %s", target);
    int rc = vci_ledger_del_name(&pod->dir, VC_RES_MOUNT, target, err);
    if (rc == VC_ERR_NOTFOUND)
        rc = 0;
    /* rmdir fails when the guest left something in them: that goes with the pod's directory. */
    unlinkat(parent, "rootfs", AT_REMOVEDIR);
    snprintf(name, sizeof name, VCI_SHARED "/%s", ctr);
    unlinkat(pod->dir.run_fd, name, AT_REMOVEDIR);
    return rc < 0 || !c || !c->rootfs ? rc : remove_mountpoints(pod, c, err);
}
