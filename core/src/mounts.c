/* SPDX-License-Identifier: Apache-2.0 */
/* mounts.c: what a container's mounts take from the host, bound below the shared directory, where the guest finds it. */
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ledger-undo.h"
#include "lib/io.h"

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
#define ATTR_NOEXEC 0x00000008u

struct attr {
    uint64_t set, clear, propagation, userns_fd;
};

/* ---- one bind mount ---- */

int vci_bind_tree(int fd, const char *source, uint32_t flags, vc_error **err)
{
    struct attr attr = {
        .set = ATTR_NOSUID | ATTR_NODEV | (flags & VCI_BIND_RO ? ATTR_RDONLY : 0) |
               (flags & VCI_BIND_NOEXEC ? ATTR_NOEXEC : 0),
        .propagation = flags & VCI_BIND_SLAVE ? MS_SLAVE : MS_PRIVATE,
    };
    int tree = (int)syscall(SYS_open_tree, fd, "",
                            OPEN_TREE_CLONE | O_CLOEXEC | (flags & VCI_BIND_REC ? AT_RECURSIVE : 0) | AT_EMPTY_PATH);
    if (tree < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot make a bind mount of %s", source);
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) < 0) {
        int e = errno;
        close(tree);
        return vci_fail(err, vci_code_of(e), e, "cannot make the bind mount of %s %s", source,
                        flags & VCI_BIND_RO ? "read-only" : flags & VCI_BIND_SLAVE ? "a slave" : "private");
    }
    return tree;
}

/* What is to be mounted on, made when it is not there.  The guest can write here: no link is followed. */
static int open_place(int parent, const char *name, int file)
{
    int fd = -1;
    if (file) {
        fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 && errno != EEXIST)
            return -errno;
        if (fd >= 0)
            close(fd);
    } else if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    return vcs_open_beneath(parent, name, O_PATH | (file ? 0 : O_DIRECTORY), 0);
}

/* A tree that holds the run directory has brought a copy of the shared folders of all pods along: as long as such a copy
 * stands, the pod that it is of could not remove its directory. */
static void drop_own(const struct vci_pod *pod, int parent, const char *name, const char *target, const char *source)
{
    size_t len = strlen(target), n = 0;
    if (!vci_path_below(pod->ctx->run_root, source))
        return;
    vcs_autoclose int top = vcs_open_beneath(parent, name, O_PATH | O_DIRECTORY, 0);
    char **list = top < 0 ? NULL : vci_mount_points(target);
    while (list && list[n])
        n++;
    while (n-- > 0) {
        char *inside = list[n] + len + 1, *slash = strrchr(inside, '/'), via[64 + NAME_MAX];
        vcs_autofree char *full = NULL;
        if (asprintf(&full, "%s/%s", strcmp(source, "/") == 0 ? "" : source, inside) < 0)
            full = NULL;
        if (full && vci_path_below(full, pod->ctx->run_root)) {
            if (slash)
                *slash = '\0';
            vcs_autoclose int dir = vcs_open_beneath(top, slash ? inside : ".", O_PATH | O_DIRECTORY, 0);
            int fits = snprintf(via, sizeof via, "/proc/self/fd/%d/%s", dir, slash ? slash + 1 : inside) < (int)sizeof via;
            if (dir >= 0 && fits)
                umount2(via, MNT_DETACH | UMOUNT_NOFOLLOW);
        }
        free(list[n]);
    }
    free(list);
}

int vci_bind_attach(struct vci_pod *pod, int parent, const char *inside, const char *name, int tree, int file,
                    const char *source, vc_error **err)
{
    vcs_autofree char *target = NULL;
    unsigned n = 0;
    if (asprintf(&target, "%s/%s/%s", pod->dir.run_path, inside, name) < 0) {
        target = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    vcs_autoclose int at = open_place(parent, name, file);
    if (at < 0)
        return vci_fail(err, vci_code_of(-at), -at, "cannot make %s", target);
    int rc = vci_ledger_add(&pod->dir, VC_RES_MOUNT, "core", target, &n, err);
    if (rc < 0)
        return rc;
    vci_fault_point("mount-noted");
    if (syscall(SYS_move_mount, tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot mount %s on %s", source, target);
    vci_fault_point("mounted");
    drop_own(pod, parent, name, target, source);
    return 0;
}

int vci_bind_detach(struct vci_pod *pod, int parent, const char *inside, const char *name, vc_error **err)
{
    char via[300];
    vcs_autofree char *target = NULL;
    struct stat st;
    if (asprintf(&target, "%s/%s/%s", pod->dir.run_path, inside, name) < 0) {
        target = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    /* Only mounts of ours are there; more than one when an earlier removal was interrupted. */
    snprintf(via, sizeof via, "/proc/self/fd/%d/%s", parent, name);
    while (umount2(via, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        vci_fault_point("unmounted-one");
    if (errno != EINVAL && errno != ENOENT && errno != EPERM)
        return vci_fail(err, vci_code_of(errno), errno, "cannot unmount %s", target);
    int rc = vci_ledger_del_name(&pod->dir, VC_RES_MOUNT, target, err);
    if (rc == VC_ERR_NOTFOUND)
        rc = 0;
    /* What the guest has put there goes with the pod's directory. */
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
        unlinkat(parent, name, 0);
    else
        unlinkat(parent, name, AT_REMOVEDIR);
    return rc;
}

/* ---- those of a container ---- */

/* Links were resolved when the container was made; since then somebody may have put others there. */
static int open_source(const struct vci_pod *pod, struct vci_mount *m, const char *path, const struct vci_limit *until,
                       vc_error **err)
{
    struct statx st;
    int r = m->fd = vci_open(path, O_PATH, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS, until);
    if (r < 0 || (r = vci_stat_open(m->fd, &st)) < 0)
        return vci_fail_open(err, r, "cannot use %s as the source of the mount at %s", path, m->destination);
    if (!S_ISDIR(st.stx_mode) && !S_ISREG(st.stx_mode) && !S_ISSOCK(st.stx_mode))
        return vci_fail(err, VC_ERR_INVAL, 0, "cannot mount %s at %s: it is neither a directory nor a file nor a socket", path,
                        m->destination);
    if (S_ISSOCK(st.stx_mode) && !(vci_stack_caps(pod, VC_KIND_HYPERVISOR) & VC_HV_CAP_SHARE_BIND))
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                        "cannot mount %s at %s: it is a socket, and nobody in a virtual machine of hypervisor \"%s\" can "
                        "connect to one of the host",
                        path, m->destination, pod->plugin[VC_KIND_HYPERVISOR]);
    m->file = !S_ISDIR(st.stx_mode);
    return 0;
}

static int open_volume(const struct vci_pod *pod, struct vci_mount *m, const struct vci_limit *until, vc_error **err)
{
    const struct vci_volume *v = vci_volume_find(pod, m->source);
    if (!v)
        return vci_fail(err, VC_ERR_NOTFOUND, 0, "the mount at %s is for volume \"%s\", which pod \"%s\" does not have",
                        m->destination, m->source, pod->dir.id);
    char *path = strdup(v->path), *place = NULL;
    if (path && !v->readonly && (m->flags & VCI_BIND_RO)) {
        m->kind = VCI_MOUNT_BIND; /* read-only for this container alone: that takes a mount of its own */
    } else {
        if (asprintf(&place, VCI_VOLUMES "/%s", v->tag) < 0)
            place = NULL;
        m->flags |= v->readonly ? VCI_BIND_RO : 0;
        m->place = place;
    }
    if (!path || (m->kind == VCI_MOUNT_VOLUME && !place)) {
        free(path);
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    free(m->source);
    m->source = path;
    return open_source(pod, m, path, until, err);
}

int vci_mounts_open(const struct vci_pod *pod, const struct vci_ctr *c, struct vci_mount *list, size_t n,
                    const struct vci_limit *until, vc_error **err)
{
    for (size_t i = 0; i < n; i++) {
        int rc = list[i].kind == VCI_MOUNT_BIND     ? open_source(pod, &list[i], list[i].source, until, err)
                 : list[i].kind == VCI_MOUNT_VOLUME ? open_volume(pod, &list[i], until, err)
                                                    : 0;
        if (rc < 0) {
            vci_context(err, "container \"%s\"", c->id);
            return rc;
        }
    }
    return 0;
}

/* VCI_SHARED/CTR/mounts; the guest can write there. */
static int open_mounts(int parent, int make)
{
    if (make && mkdirat(parent, "mounts", 0700) < 0 && errno != EEXIST)
        return -errno;
    return vcs_open_beneath(parent, "mounts", O_PATH | O_DIRECTORY, 0);
}

int vci_mounts_bind(struct vci_pod *pod, const struct vci_ctr *c, int parent, struct vci_mount *list, size_t n,
                    vc_error **err)
{
    char inside[200], name[32];
    size_t k = 0;
    int rc = 0;
    vcs_autoclose int dir = -1;
    snprintf(inside, sizeof inside, VCI_SHARED "/%s/mounts", c->id);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct vci_mount *m = &list[i];
        if (m->kind != VCI_MOUNT_BIND)
            continue;
        if (dir < 0 && (dir = open_mounts(parent, 1)) < 0)
            return vci_fail(err, vci_code_of(-dir), -dir, "cannot make %s/%s", pod->dir.run_path, inside);
        snprintf(name, sizeof name, "%zu", k++);
        vcs_autoclose int tree = vci_bind_tree(m->fd, m->source, m->flags, err);
        rc = tree < 0 ? tree : vci_bind_attach(pod, dir, inside, name, tree, m->file, m->source, err);
        if (rc == 0 && asprintf(&m->place, "%s/mounts/%s", c->id, name) < 0) {
            m->place = NULL;
            rc = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
        }
        vcs_cleanup_fd(&m->fd); /* a program with many mounts needs no descriptor for each */
        m->fd = -1;
    }
    return rc;
}

int vci_mounts_unbind(struct vci_pod *pod, const char *ctr, int parent, const struct vci_ledger_entry *entries, size_t n,
                      vc_error **err)
{
    char inside[200];
    vcs_autofree char *prefix = NULL;
    int rc = 0;
    snprintf(inside, sizeof inside, VCI_SHARED "/%s/mounts", ctr);
    if (asprintf(&prefix, "%s/%s/", pod->dir.run_path, inside) < 0) {
        prefix = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    size_t len = strlen(prefix);
    vcs_autoclose int dir = open_mounts(parent, 0);
    for (size_t i = n; i-- > 0;) {
        if (entries[i].type != VC_RES_MOUNT || strncmp(entries[i].name, prefix, len) != 0)
            continue;
        int r = dir < 0 ? vci_fail(rc ? NULL : err, vci_code_of(-dir), -dir, "cannot open %s/%s", pod->dir.run_path, inside)
                        : vci_bind_detach(pod, dir, inside, entries[i].name + len, rc ? NULL : err);
        rc = rc ? rc : r;
    }
    unlinkat(parent, "mounts", AT_REMOVEDIR);
    return rc;
}
