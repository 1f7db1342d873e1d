/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs.c: a container's root file system, shown to the guest by a bind mount below the shared directory. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ledger-undo.h"
#include "lib/io.h"
#include "mounts.h"

/* Is there a directory at this absolute path, and no link on the way to it?  -errno. */
static int open_dir(const char *path, const struct vci_limit *until)
{
    return vci_open(path, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS, until);
}

static int check_dir(const char *path, const struct vci_limit *until, char ret[PATH_MAX], vc_error **err)
{
    struct statx st;
    vcs_autoclose int fd = vci_open_real(path, until, ret, &st);
    if (fd < 0)
        return vci_fail_open(err, fd, "cannot use %s as a root file system", path);
    if (!S_ISDIR(st.stx_mode))
        return vci_fail(err, VC_ERR_INVAL, 0, "%s cannot be a root file system: it is not a directory", path);
    return 0;
}

int vci_rootfs_resolve(const char *path, const struct vci_limit *until, char ret[PATH_MAX], vc_error **err)
{
    if (!path || !*path)
        return vci_fail(err, VC_ERR_INVAL, 0, "the container has no root file system: name a directory");
    vcs_autoclose int fd = vci_path_plain(path) ? open_dir(path, until) : -ELOOP;
    if (fd >= 0) { /* nothing is to be resolved */
        memcpy(ret, path, strlen(path) + 1);
        return 0;
    }
    if (fd == -ELOOP || fd == -ENOTDIR)
        return check_dir(path, until, ret, err);
    return vci_fail_open(err, fd, "cannot use %s as a root file system", path);
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

/* ---- mount points inside the user's directories ---- */

/* A directory of the user's, in which mount points are made. */
struct tree {
    const char *path; /* of the host, for the ledger and for errors */
    int fd;
};

/* Open what stands at `path` inside the tree; no link is followed.  -errno. */
static int open_inside(int rootfd, const char *path, int flags)
{
    struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS };
    int fd = (int)syscall(SYS_openat2, rootfd, path, &how, sizeof how);
    return fd < 0 ? -errno : fd;
}

static int make_entry(int parent, const char *name, int file)
{
    if (!file)
        return mkdirat(parent, name, 0755) < 0 ? -errno : 0;
    int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

/* Make one directory (or empty file) that is missing.  What is noted before is its path, and after that its inode too:
 * undoing removes only what is empty, and when the inode is known only that one. */
static int make_one(struct vci_pod *pod, const struct tree *t, int parent, const char *path, const char *name, int file,
                    vc_error **err)
{
    vcs_autofree char *intent = NULL, *full = NULL;
    unsigned n = 0, n_full = 0;
    struct stat st;
    if (asprintf(&intent, "0:0 %s%s", t->path, path) < 0) {
        intent = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    int rc = vci_ledger_add(&pod->dir, VCI_RES_MOUNTPOINT, "core", intent, &n, err);
    if (rc < 0)
        return rc;
    vci_fault_point("mountpoint-noted");
    int r = make_entry(parent, name, file);
    if (r < 0) {
        vci_ledger_del(&pod->dir, n, NULL);
        if (r == -EEXIST)
            return 0;
        return vci_fail(err, vci_code_of(-r), -r, "%s has no mount point %s and it cannot be made: make an empty %s there",
                        t->path, path, file ? "file" : "directory");
    }
    vci_fault_point("mountpoint-made");
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot look at the new mount point %s%s", t->path, path);
    if (asprintf(&full, "%ju:%ju %s%s", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino, t->path, path) < 0) {
        full = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    rc = vci_ledger_add(&pod->dir, VCI_RES_MOUNTPOINT, "core", full, &n_full, err);
    return rc < 0 ? rc : vci_ledger_del(&pod->dir, n, err);
}

/* Where the link at `path` leads to inside the tree, as a path without links; NULL when it leads nowhere. */
static char *follow(const struct tree *t, const char *path)
{
    struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
    char via[64], root[PATH_MAX], real[PATH_MAX];
    vcs_autoclose int fd = (int)syscall(SYS_openat2, t->fd, path, &how, sizeof how);
    snprintf(via, sizeof via, "/proc/self/fd/%d", t->fd);
    ssize_t n_root = fd < 0 ? -1 : readlink(via, root, sizeof root - 1);
    snprintf(via, sizeof via, "/proc/self/fd/%d", fd);
    ssize_t n = n_root < 0 ? -1 : readlink(via, real, sizeof real - 1);
    if (n < n_root || n_root <= 0)
        return NULL;
    root[n_root] = real[n] = '\0';
    if (n_root == 1) /* the tree is the host's root */
        n_root = 0;
    if (strncmp(real, root, (size_t)n_root) != 0 || (real[n_root] && real[n_root] != '/'))
        return NULL;
    return strdup(real + n_root);
}

/* Make what is missing of one path, from the top. */
static int make_path(struct vci_pod *pod, const struct tree *t, const char *path, int file, int depth, vc_error **err)
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
        int last = !end[strspn(end, "/")];
        *end = '\0';
        if (strcmp(name, "..") == 0)
            return vci_fail(err, VC_ERR_INVAL, 0, "the mount point %s must not contain \"..\"", path);
        int flags = O_PATH | (last ? 0 : O_DIRECTORY);
        int fd = open_inside(t->fd, p, flags);
        if (fd == -ENOENT) {
            int rc = make_one(pod, t, dir < 0 ? t->fd : dir, p, name, file && last, err);
            if (rc < 0)
                return rc;
            fd = open_inside(t->fd, p, flags);
        }
        if (fd == -ELOOP) { /* a link: what the guest finds behind it is made */
            vcs_autofree char *real = depth < 32 ? follow(t, p) : NULL, *rest = NULL;
            *end = keep;
            if (!real || asprintf(&rest, "%s%s", real, end) < 0)
                return 0;
            return make_path(pod, t, rest, file, depth + 1, err);
        }
        if (fd < 0)
            return vci_fail(err, vci_code_of(-fd), -fd, "cannot use %s in %s as a mount point", p, t->path);
        vcs_cleanup_fd(&dir);
        dir = fd;
        *end = keep;
    }
    return 0;
}

/* Each mount needs something to be mounted on.  Where that is seen by the host, it is made when it is missing: in the root,
 * or in what is bind-mounted over it; what the guest mounts by itself is the guest's business. */
static int make_mountpoints(struct vci_pod *pod, const struct vci_ctr *c, int rootfd, const struct vci_mount *list, size_t n,
                            vc_error **err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const char *path = list[i].destination;
        struct tree t = { .path = c->rootfs, .fd = rootfd };
        const struct vci_mount *over = NULL;
        for (size_t k = 0; k < i; k++)
            if (list[k].destination[0] == '/' && vci_path_below(path, list[k].destination))
                over = &list[k];
        if (path[0] != '/' || !path[1] ||
            (over && (over->kind == VCI_MOUNT_GUEST || over->file || over->flags & VCI_BIND_RO)))
            continue;
        if (over) {
            path += strlen(over->destination);
            t = (struct tree){ .path = over->source, .fd = over->fd };
        }
        rc = make_path(pod, &t, path, list[i].file, 0, err);
    }
    return rc;
}

/* Remove one mount point if it is still what was made, and empty; else it is the user's now. */
static void remove_one(int dir, const char *name, const char *recorded)
{
    struct stat st;
    char made[64];
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    snprintf(made, sizeof made, "%ju:%ju ", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    if (strncmp(recorded, made, strlen(made)) != 0 && strncmp(recorded, "0:0 ", 4) != 0)
        return;
    if (S_ISDIR(st.st_mode))
        unlinkat(dir, name, AT_REMOVEDIR);
    else if (S_ISREG(st.st_mode) && st.st_size == 0)
        unlinkat(dir, name, 0);
}

/* Take back the mount points made in a root that ends with this container; others of the pod may share it. */
static int remove_mountpoints(struct vci_pod *pod, const struct vci_ctr *c, const struct vci_ledger_entry *entries,
                              size_t n, vc_error **err)
{
    int rc = 0, opened = 0;
    vcs_autoclose int rootfd = -1;
    for (size_t i = 0; i < pod->n_ctrs; i++)
        if (pod->ctrs[i] != c && pod->ctrs[i]->rootfs && strcmp(pod->ctrs[i]->rootfs, c->rootfs) == 0)
            return 0;
    size_t len = strlen(c->rootfs);
    for (size_t i = n; rc == 0 && i-- > 0;) {
        const char *path = entries[i].type == VCI_RES_MOUNTPOINT ? strchr(entries[i].name, ' ') : NULL;
        if (!path || strncmp(++path, c->rootfs, len) != 0 || path[len] != '/')
            continue;
        if (!opened++) {
            const struct vci_limit until = vci_pod_limit(pod, 0);
            rootfd = vci_open(c->rootfs, O_PATH | O_DIRECTORY, 0, &until);
        }
        vcs_autofree char *parent = strdup(path + len);
        if (!parent)
            break;
        char *name = strrchr(parent, '/');
        *name++ = '\0';
        vcs_autoclose int dir = rootfd < 0 ? -1 : open_inside(rootfd, *parent ? parent : "/", O_PATH | O_DIRECTORY);
        if (dir >= 0)
            remove_one(dir, name, entries[i].name);
        rc = vci_ledger_del(&pod->dir, entries[i].n, err);
    }
    return rc;
}

/* ---- the mount ---- */

/* The guest can write below VCI_SHARED: nothing there is followed, and what is reached is reached by descriptor. */
static int open_target(const struct vci_pod *pod, const char *ctr, int make, vc_error **err)
{
    char name[160];
    snprintf(name, sizeof name, VCI_SHARED "/%s", ctr);
    int run = vci_store_run(&pod->dir, make, err);
    if (run < 0)
        return run;
    if (make && mkdirat(run, name, 0700) < 0 && errno != EEXIST)
        return vci_fail(err, vci_code_of(errno), errno, "cannot make %s/%s", pod->dir.run_path, name);
    int fd = vcs_open_beneath(run, name, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return vci_fail(err, fd == -ENOENT ? VC_ERR_NOTFOUND : vci_code_of(-fd), -fd, "cannot open %s/%s",
                        pod->dir.run_path, name);
    return fd;
}

static int mount_root(struct vci_pod *pod, const struct vci_ctr *c, int parent, int rootfd, vc_error **err)
{
    char inside[160];
    snprintf(inside, sizeof inside, VCI_SHARED "/%s", c->id);
    vcs_autoclose int tree = vci_bind_tree(rootfd, c->rootfs, VCI_BIND_REC | (c->readonly ? VCI_BIND_RO : 0), err);
    return tree < 0 ? tree : vci_bind_attach(pod, parent, inside, "rootfs", tree, 0, c->rootfs, err);
}

/* The root, and what else of the host its specification mounts. */
static int mount_all(struct vci_pod *pod, struct vci_ctr *c, int rootfd, struct vci_mount *list, size_t n,
                     const struct vci_limit *until, vc_error **err)
{
    size_t placed = 0;
    int rc = vci_mounts_open(pod, c, list, n, until, err);
    vcs_autoclose int parent = rc == 0 ? open_target(pod, c->id, 1, err) : -1;
    if (parent < 0)
        return rc ? rc : vci_rc(err);
    rc = make_mountpoints(pod, c, rootfd, list, n, err);
    if (rc == 0)
        rc = mount_root(pod, c, parent, rootfd, err);
    if (rc == 0)
        rc = vci_mounts_bind(pod, c, parent, list, n, err);
    for (size_t i = 0; i < n; i++)
        placed += list[i].place != NULL;
    if (rc == 0 && placed) {
        free(VCS_TAKE_PTR(c->guest_spec));
        rc = vci_spec_place(c->spec, list, n, &c->guest_spec, err);
    }
    return rc;
}

int vci_rootfs_mount(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline, vc_error **err)
{
    const struct vci_limit until = vci_pod_limit(pod, deadline);
    struct vci_mount *list = NULL;
    size_t n = 0;
    if (!vci_rootfs_shared(pod))
        return 0;
    /* Links were resolved when the container was made; since then somebody may have put others there. */
    vcs_autoclose int rootfd = open_dir(c->rootfs, &until);
    if (rootfd == -ENOTDIR)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s cannot be a root file system: it is not a directory", c->rootfs);
    if (rootfd < 0)
        return vci_fail_open(err, rootfd, "cannot use %s as a root file system", c->rootfs);
    int rc = vci_ctr_load_spec(pod, c, err);
    if (rc == 0)
        rc = vci_spec_mounts(c->spec, &list, &n, err);
    if (rc < 0)
        return rc;
    rc = mount_all(pod, c, rootfd, list, n, &until, err);
    vci_mounts_free(list, n);
    return rc;
}

int vci_rootfs_unmount(struct vci_pod *pod, const char *ctr, vc_error **err)
{
    char name[160];
    struct vci_ctr *c = vci_pod_find(pod, ctr, NULL);
    struct vci_ledger_entry *entries = NULL;
    size_t n = 0;
    vcs_autoclose int parent = open_target(pod, ctr, 0, NULL);
    if (parent < 0)
        return 0;
    /* One that fails does not keep the others. */
    int rc = vci_ledger_read(&pod->dir, &entries, &n, err);
    int r = vci_mounts_unbind(pod, ctr, parent, entries, n, rc ? NULL : err);
    rc = rc ? rc : r;
    snprintf(name, sizeof name, VCI_SHARED "/%s", ctr);
    r = vci_bind_detach(pod, parent, name, "rootfs", rc ? NULL : err);
    rc = rc ? rc : r;
    unlinkat(vci_store_run(&pod->dir, 0, NULL), name, AT_REMOVEDIR);
    if (r == 0 && c && c->rootfs) {
        r = remove_mountpoints(pod, c, entries, n, rc ? NULL : err);
        rc = rc ? rc : r;
    }
    vci_ledger_entries_free(entries, n);
    return rc;
}

/* Is it on record as a mount of this pod (but not of that container), or below one? */
static int is_on_record(const char *place, const char *shared, const char *own, const struct vci_ledger_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (entries[i].type == VC_RES_MOUNT && vci_path_below(entries[i].name, shared) && strcmp(entries[i].name, shared) != 0 &&
            !vci_path_below(entries[i].name, own) && vci_path_below(place, entries[i].name))
            return 1;
    return 0;
}

int vci_rootfs_unmount_moved(struct vci_pod *pod, const char *ctr, vc_error **err)
{
    vcs_autofree char *shared = NULL, *own = NULL;
    struct vci_ledger_entry *entries = NULL;
    size_t n = 0, places = 0;
    if (asprintf(&shared, "%s/" VCI_SHARED, pod->dir.run_path) < 0)
        shared = NULL;
    if (!shared || asprintf(&own, "%s/%s", shared, ctr) < 0) {
        own = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    int rc = vci_ledger_read(&pod->dir, &entries, &n, err);
    char **list = rc ? NULL : vci_mount_points(shared);
    while (list && list[places])
        places++;
    while (places-- > 0) {
        const char *inside = list[places] + strlen(pod->dir.run_path) + 1;
        int r = rc || is_on_record(list[places], shared, own, entries, n) ? 0 : vci_unmount_inside(&pod->dir, inside);
        if (r < 0 && r != -ENOENT) /* what was mounted on another one goes with that */
            rc = vci_fail(err, vci_code_of(r), r, "cannot unmount %s, where the guest has moved what container \"%s\" had of the host",
                          list[places], ctr);
        else if (r > 0)
            vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "the guest had moved a mount of container %s to %s", ctr, inside);
        free(list[places]);
    }
    free(list);
    vci_ledger_entries_free(entries, n);
    return rc;
}
