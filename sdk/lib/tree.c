/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c: files and directory trees (second half of io.h). */
#include "lib/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "lib/cleanup.h"

#define DEPTH_MAX 64 /* directories held open at once while removing */

int vcs_read_file(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len)
{
    /* O_NONBLOCK: a FIFO in its place must not hang us. */
    vcs_autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    /* The size is a hint only: files of /sys claim 4096 bytes, those of /proc none. */
    size_t cap = st.st_size > 0 ? (size_t)st.st_size + 1 : 1024, len = 0;
    if (cap > max + 1)
        cap = max + 1;
    vcs_autofree char *text = malloc(cap + 1);
    if (!text)
        return -ENOMEM;
    for (;;) {
        ssize_t n = vcs_read_full(fd, text + len, cap - len);
        if (n < 0)
            return (int)n;
        len += (size_t)n;
        if (len > max)
            return -EFBIG;
        if (len < cap)
            break;
        /* Files of /proc say nothing of their size, and others may grow. */
        cap = cap > max / 2 ? max + 1 : cap * 2;
        char *more = realloc(text, cap + 1);
        if (!more)
            return -ENOMEM;
        text = more;
    }
    text[len] = '\0';
    *ret = VCS_TAKE_PTR(text);
    if (ret_len)
        *ret_len = len;
    return 0;
}

static int write_all(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno != EINTR)
            return -errno;
        if (w > 0) {
            p += w;
            n -= (size_t)w;
        }
    }
    return 0;
}

/* Open the directory that holds `path`; *ret_name points to the last component inside `path`. */
static int open_parent(int dirfd, const char *path, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    *ret_name = slash ? slash + 1 : path;
    if (!**ret_name || strcmp(*ret_name, ".") == 0 || strcmp(*ret_name, "..") == 0)
        return -EINVAL;
    vcs_autofree char *dir = NULL;
    if (slash) {
        dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
        if (!dir)
            return -ENOMEM;
    }
    int fd = openat(dirfd, dir ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int vcs_write_file_new(int dirfd, const char *path, const void *data, size_t n, mode_t mode)
{
    vcs_autoclose int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    int r = fd < 0 ? -errno : write_all(fd, data, n);
    if (r < 0 && fd >= 0)
        unlinkat(dirfd, path, 0);
    return r;
}

int vcs_write_file_atomic(int dirfd, const char *path, const void *data, size_t n, mode_t mode, int sync)
{
    static atomic_uint counter;
    const char *name;
    vcs_autoclose int parent = open_parent(dirfd, path, &name);
    if (parent < 0)
        return parent;
    char tmp[NAME_MAX + 1];
    vcs_autoclose int fd = -1;
    for (int tries = 0; fd < 0; tries++) {
        int len = snprintf(tmp, sizeof(tmp), ".tmp-%ld-%u", (long)getpid(), atomic_fetch_add(&counter, 1));
        if (len < 0 || (size_t)len >= sizeof(tmp))
            return -ENAMETOOLONG;
        fd = openat(parent, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0600);
        if (fd < 0 && (errno != EEXIST || tries == 100))
            return -errno;
    }
    int r = write_all(fd, data, n);
    if (r == 0 && fchmod(fd, mode) < 0)
        r = -errno;
    if (r == 0 && sync && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(parent, tmp, parent, name) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(parent, tmp, 0);
        return r;
    }
    return sync && fsync(parent) < 0 ? -errno : 0;
}

static int openat2_retry(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? mode : 0,
        .resolve = resolve,
    };
    /* EAGAIN: a rename elsewhere came in between and the kernel could not be sure. */
    for (int tries = 0;; tries++) {
        long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
        if (fd >= 0)
            return (int)fd;
        if (errno != EINTR && (errno != EAGAIN || tries == 100))
            return -errno;
    }
}

int vcs_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
    return openat2_retry(dirfd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

/* ---- removing ---- */

struct removal {
    int top;        /* the directory being removed */
    unsigned moved; /* directories that were too deep and now lie directly below top */
    unsigned sequence;
    int busy; /* something is mounted below */
};

static int remove_entry(struct removal *rm, int dirfd, const char *name, int depth);

/* Empty the directory; its descriptor is consumed. */
static int remove_content(struct removal *rm, int fd, int depth)
{
    vcs_autoclosedir DIR *dir = fdopendir(fd);
    if (!dir) {
        int r = -errno;
        close(fd);
        return r;
    }
    int result = 0;
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(dir);
        if (!e)
            return errno ? -errno : result;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int r = remove_entry(rm, fd, e->d_name, depth);
        if (r < 0 && result == 0)
            result = r;
    }
}

static int remove_directory(struct removal *rm, int dirfd, const char *name, int depth)
{
    if (depth >= DEPTH_MAX) {
        /* Too deep to hold one descriptor per level: move it up and remove it in another pass. */
        char up[48];
        for (;;) {
            snprintf(up, sizeof(up), ".removed-%ld-%u", (long)getpid(), rm->sequence++);
            if (renameat2(dirfd, name, rm->top, up, RENAME_NOREPLACE) == 0)
                break;
            if (errno != EEXIST)
                return errno == ENOENT ? 0 : -errno;
        }
        rm->moved++;
        return 0;
    }
    int fd = openat2_retry(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
                           RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    if (fd == -EXDEV) {
        rm->busy = 1;
        return -EBUSY;
    }
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int r = remove_content(rm, fd, depth + 1);
    if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return r < 0 ? r : -errno;
}

static int remove_entry(struct removal *rm, int dirfd, const char *name, int depth)
{
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno == EISDIR || errno == EPERM || errno == EACCES) {
        int err = errno;
        struct stat st;
        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return errno == ENOENT ? 0 : -errno;
        return S_ISDIR(st.st_mode) ? remove_directory(rm, dirfd, name, depth) : -err;
    }
    int r = -errno;
    if (r == -EBUSY)
        rm->busy = 1;
    return r;
}

int vcs_remove_tree(int dirfd, const char *path)
{
    vcs_autofree char *clean = strdup(path);
    if (!clean)
        return -ENOMEM;
    for (size_t n = strlen(clean); n > 1 && clean[n - 1] == '/'; n--)
        clean[n - 1] = '\0';
    const char *name;
    vcs_autoclose int parent = open_parent(dirfd, clean, &name);
    if (parent < 0)
        return parent == -ENOENT ? 0 : parent;
    vcs_autoclose int top = openat2_retry(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
                                          RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    if (top == -EXDEV)
        return -EBUSY;
    if (top == -ENOENT)
        return 0;
    if (top == -ENOTDIR || top == -ELOOP) /* a file or a link: itself is what goes */
        return unlinkat(parent, name, 0) == 0 || errno == ENOENT ? 0 : -errno;
    if (top < 0)
        return top;

    struct removal rm = { .top = top };
    int r;
    do {
        rm.moved = 0;
        int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        r = remove_content(&rm, fd, 0);
    } while (rm.moved);
    if (rm.busy)
        return -EBUSY;
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return r < 0 ? r : -errno;
}
