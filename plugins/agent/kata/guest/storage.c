/* SPDX-License-Identifier: Apache-2.0 */
/* storage.c: the storages of a sandbox or container, mounted in the guest. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "blockdev.h"
#include "container.h"
#include "ctr-spawn.h"
#include "lib/io.h"

int64_t vca_storage_timeout_ns = 15 * INT64_C(1000000000);

/* One mount point in the guest.  Containers of a pod name the same one to share it. */
struct point {
    struct point *next;
    char *path, *driver;
    unsigned refs;
    int mounted; /* else a plain directory with the content (driver local) */
    int made;    /* the directory did not exist before */
};
static struct point *points;

struct ctr_mounts {
    struct point **mem;
    size_t n;
};

static const char *const drivers[] = {"9p",        "virtio-fs", "blk",       "mmioblk", "scsi",
                                      "nvdimm",    "ephemeral", "local",     "overlayfs", "bind",  NULL};
static const char *const device_types[] = {"blk", "mmioblk", "scsi", "nvdimm", NULL};

const char *const *ctr_storage_drivers(void)
{
    return drivers;
}

const char *const *ctr_device_types(void)
{
    return device_types;
}

static int is_driver(const char *name)
{
    for (size_t i = 0; drivers[i]; i++)
        if (strcmp(drivers[i], name) == 0)
            return 1;
    return 0;
}

/* Absolute, without "." and "..", and not the root. */
static int check_path(const char *path, struct vca_fault *f)
{
    int parts = 0;
    if (*path != '/' || strlen(path) >= PATH_MAX)
        return vca_fail(f, 0, "mount point '%.200s' of a storage must be an absolute path", path);
    for (const char *p = path; *p;) {
        p += strspn(p, "/");
        size_t len = strcspn(p, "/");
        if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.') || len > NAME_MAX)
            return vca_fail(f, 0, "mount point '%.200s' of a storage must not have '.', '..' or names that are too long",
                            path);
        parts += len > 0;
        p += len;
    }
    return parts ? 0 : vca_fail(f, 0, "a storage cannot be mounted on the root of the guest");
}

/* Make a directory with its parents.  *made is 1 when the last one is new. */
static int make_dirs(const char *path, int *made, struct vca_fault *f)
{
    char buf[PATH_MAX];
    size_t len = strlen(path);
    memcpy(buf, path, len + 1);
    while (len > 1 && buf[len - 1] == '/')
        buf[--len] = '\0';
    *made = 0;
    struct stat st;
    if (stat(buf, &st) == 0 && S_ISDIR(st.st_mode))
        return 0;
    for (char *p = buf + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char old = *p;
        *p = '\0';
        int r = mkdir(buf, 0755);
        if (r < 0 && errno != EEXIST && errno != EROFS)
            return vca_fail(f, errno, "cannot make the directory '%.200s'", buf);
        if (!old) {
            *made = r == 0;
            return 0;
        }
        *p = old;
    }
}

/* ---- mount one ---- */

static int do_mount(const Agent__Storage *s, const char *fstype, const char *source, struct vca_fault *f)
{
    struct vca_mount_opts o;
    if (vca_mount_opts_parse(s->options, s->n_options, &o, f) < 0)
        return -1;
    vcs_autoclose int fd = vca_mount_new(fstype, source, &o, f);
    if (fd < 0)
        return -1;
    if (move_mount(fd, "", AT_FDCWD, s->mount_point, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) < 0)
        return vca_fail(f, errno, "cannot mount on '%.200s'", s->mount_point);
    return 0;
}

/* A folder that is in the guest's file system already, with what is mounted below it now or later. */
static int do_bind(const Agent__Storage *s, struct vca_fault *f)
{
    struct vca_mount_opts o = {.bind = 1, .rbind = 1};
    if (s->n_options)
        return vca_fail(f, 0, "option '%.100s' of a bind storage is not known; it has none", s->options[0]);
    vcs_autoclose int fd = vca_mount_copy(AT_FDCWD, s->source, &o, f);
    if (fd < 0)
        return -1;
    if (move_mount(fd, "", AT_FDCWD, s->mount_point, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) < 0)
        return vca_fail(f, errno, "cannot mount on '%.200s'", s->mount_point);
    return 0;
}

/* What a child that mounts a storage has to tell. */
struct outcome {
    struct vca_fault fault;
    int done, made;
};

static _Noreturn void mount_child(const Agent__Storage *s, const char *fstype, const char *source, int out)
{
    struct outcome o = {0};
    /* Should it hang for good, it must not keep anything of the agent open, above all not the port. */
    if (dup2(out, 3) < 0 || close_range(4, ~0U, 0) < 0)
        _exit(1);
    o.done = make_dirs(s->mount_point, &o.made, &o.fault) == 0 && do_mount(s, fstype, source, &o.fault) == 0;
    _exit(vcs_write_full(3, &o, sizeof(o)) < 0);
}

/* The other side of a share or disk may not answer, and the kernel waits for it without end: so a child mounts, which
 * shares the agent's mount namespace. */
static int mount_apart(const Agent__Storage *s, const char *fstype, const char *source, int *made, struct vca_fault *f)
{
    struct outcome o = {0};
    int pipe_fds[2], pidfd = -1;
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return vca_fail(f, errno, "cannot make a pipe");
    pid_t pid = vca_fork(&pidfd);
    if (pid == 0)
        mount_child(s, fstype, source, pipe_fds[1]);
    close(pipe_fds[1]);
    vcs_autoclose int in = pipe_fds[0];
    if (pid < 0)
        return vca_fail(f, -pid, "cannot make a process that mounts");
    int64_t deadline = vcs_now_ns() + vca_storage_timeout_ns;
    struct pollfd p = {.fd = in, .events = POLLIN};
    int r;
    do
        r = poll(&p, 1, vcs_poll_timeout(deadline));
    while (r < 0 && errno == EINTR);
    ssize_t n = r > 0 ? read(in, &o, sizeof(o)) : 0; /* written at once, as it is smaller than a pipe's atom */
    vca_end_child(pid, pidfd);
    close(pidfd);
    *made = o.made;
    if (n != (ssize_t)sizeof(o))
        return vca_fail(f, r > 0 ? EIO : ETIMEDOUT, "mounting %s '%.100s' on '%.200s' did not end", fstype, source,
                        s->mount_point);
    if (!o.done)
        *f = o.fault;
    return o.done ? 0 : -1;
}

/* Can a mount wait for nobody but the kernel, or the VMM?  Without the VMM the agent cannot do anything anyway, and a
 * process for the mount costs as much as the mount. */
static int is_prompt(const Agent__Storage *s, const char *fstype)
{
    if (strcmp(fstype, "tmpfs") == 0 || strcmp(fstype, "hugetlbfs") == 0)
        return 1;
    for (size_t i = 0; strcmp(fstype, "9p") == 0 && i < s->n_options; i++)
        if (strcmp(s->options[i], "trans=virtio") == 0)
            return 1;
    return 0;
}

/* Options of the driver local: only the mode. */
static int set_up_local(const Agent__Storage *s, struct vca_fault *f)
{
    mode_t mode = 0755;
    for (size_t i = 0; i < s->n_options; i++) {
        char *end;
        if (strncmp(s->options[i], "mode=", 5) != 0)
            return vca_fail(f, 0, "option '%.100s' of a local storage is not known (mode=0755)", s->options[i]);
        unsigned long v = strtoul(s->options[i] + 5, &end, 8);
        if (*end || !s->options[i][5] || v > 07777)
            return vca_fail(f, 0, "option '%.100s' of a local storage must be an octal mode", s->options[i]);
        mode = (mode_t)v;
    }
    return chmod(s->mount_point, mode) < 0 ? vca_fail(f, errno, "cannot set the mode of '%.200s'", s->mount_point) : 0;
}

static int set_group(const Agent__Storage *s, struct vca_fault *f)
{
    struct stat st;
    if (!s->fs_group)
        return 0;
    if (strcmp(s->driver, "ephemeral") != 0 && strcmp(s->driver, "local") != 0)
        return vca_fail_code(f, VCS_RPC_UNIMPLEMENTED, 0, "fs_group is supported for ephemeral and local storages only");
    if (chown(s->mount_point, (uid_t)-1, s->fs_group->group_id) < 0 || stat(s->mount_point, &st) < 0 ||
        chmod(s->mount_point, (st.st_mode & 07777) | 02770) < 0)
        return vca_fail(f, errno, "cannot give '%.200s' to group %u", s->mount_point, s->fs_group->group_id);
    return 0;
}

static int mount_storage(const Agent__Storage *s, struct point *p, struct vca_fault *f)
{
    const char *d = s->driver, *fstype = s->fstype;
    char node[PATH_MAX];
    if (strcmp(d, "local") == 0)
        return make_dirs(s->mount_point, &p->made, f) < 0 || set_up_local(s, f) < 0 ? -1 : set_group(s, f);
    if (strcmp(d, "bind") == 0) {
        if (make_dirs(s->mount_point, &p->made, f) < 0 || do_bind(s, f) < 0)
            return -1;
        p->mounted = 1;
        return set_group(s, f);
    }
    const char *source = s->source;
    if (strcmp(d, "9p") == 0) {
        fstype = "9p";
    } else if (strcmp(d, "virtio-fs") == 0) {
        fstype = "virtiofs";
    } else if (strcmp(d, "overlayfs") == 0) {
        fstype = "overlay";
    } else if (strcmp(d, "ephemeral") == 0) {
        if (!*fstype)
            fstype = "tmpfs";
    } else {
        if (!*fstype)
            return vca_fail(f, 0, "a storage of driver %s needs the type of its filesystem", d);
        if (vca_blockdev_find(d, source, node, sizeof(node), f) < 0)
            return -1;
        source = node;
    }
    agent_modules_need("fs:", fstype);
    if (is_prompt(s, fstype) ? make_dirs(s->mount_point, &p->made, f) < 0 || do_mount(s, fstype, source, f) < 0
                          : mount_apart(s, fstype, source, &p->made, f) < 0)
        return -1;
    p->mounted = 1;
    return set_group(s, f);
}

/* ---- the list ---- */

/* Undo what was done for a point and forget it. */
static void drop_point(struct point *p)
{
    if (p->mounted && umount2(p->path, UMOUNT_NOFOLLOW) < 0 && errno == EBUSY)
        umount2(p->path, MNT_DETACH | UMOUNT_NOFOLLOW);
    if (p->made) {
        if (!p->mounted && strcmp(p->driver, "local") == 0)
            vcs_remove_tree(AT_FDCWD, p->path);
        else
            rmdir(p->path);
    }
    free(p->path);
    free(p->driver);
    free(p);
}

static void unref_point(struct point *p)
{
    if (--p->refs)
        return;
    for (struct point **at = &points; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    drop_point(p);
}

static struct point *ref_point(const Agent__Storage *s, struct vca_fault *f)
{
    if (!is_driver(s->driver)) {
        vca_fail(f, 0, "storage driver '%.64s' is not supported", s->driver);
        return NULL;
    }
    if (check_path(s->mount_point, f) < 0)
        return NULL;
    for (struct point *p = points; p; p = p->next)
        if (strcmp(p->path, s->mount_point) == 0) {
            if (strcmp(p->driver, s->driver) != 0) {
                vca_fail(f, EEXIST, "another storage, of driver %s, is mounted on '%.200s'", p->driver, p->path);
                return NULL;
            }
            p->refs++;
            return p;
        }
    struct point *p = calloc(1, sizeof(*p));
    if (p) {
        p->path = strdup(s->mount_point);
        p->driver = strdup(s->driver);
    }
    if (!p || !p->path || !p->driver) {
        vca_fail(f, ENOMEM, "cannot mount a storage");
        if (p)
            drop_point(p);
        return NULL;
    }
    if (mount_storage(s, p, f) < 0) {
        drop_point(p);
        return NULL;
    }
    p->refs = 1;
    p->next = points;
    points = p;
    return p;
}

int ctr_storages_mount(Agent__Storage **storages, size_t n, struct ctr_mounts **ret, struct agent_err *err)
{
    struct vca_fault f = {0};
    struct ctr_mounts *m = calloc(1, sizeof(*m));
    if (m)
        m->mem = calloc(n + 1, sizeof(struct point *));
    if (!m || !m->mem) {
        free(m);
        return agent_fail(err, VCS_RPC_EXHAUSTED, "no memory for %zu storages", n);
    }
    for (size_t i = 0; i < n; i++) {
        struct point *p = ref_point(storages[i], &f);
        if (!p) {
            agent_fail(err, f.code, "storage %zu (%.64s on %.100s): %.300s", i + 1, storages[i]->driver,
                       storages[i]->mount_point, f.text);
            ctr_storages_unmount(m);
            return -1;
        }
        m->mem[m->n++] = p;
    }
    *ret = m;
    return 0;
}

void ctr_storages_unmount(struct ctr_mounts *m)
{
    if (!m)
        return;
    while (m->n)
        unref_point(m->mem[--m->n]);
    free(m->mem);
    free(m);
}
