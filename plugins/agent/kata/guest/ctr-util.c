/* SPDX-License-Identifier: Apache-2.0 */
/* ctr-util.c: errors and path helpers of the container code. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ctr-internal.h"

static int code_of(int sys)
{
    switch (sys) {
    case 0:
    case EINVAL:
    case ENAMETOOLONG:
    case E2BIG:
        return VCS_RPC_INVALID;
    case ENOENT:
    case ENOTDIR:
        return VCS_RPC_NOTFOUND;
    case EEXIST:
        return VCS_RPC_EXISTS;
    case EACCES:
    case EPERM:
    case ENOEXEC:
        return VCS_RPC_PERM;
    case ENOMEM:
    case ENOSPC:
    case EMFILE:
    case ENFILE:
        return VCS_RPC_EXHAUSTED;
    case ETIMEDOUT:
        return VCS_RPC_DEADLINE;
    case EBUSY:
        return VCS_RPC_PRECONDITION;
    default:
        return VCS_RPC_INTERNAL;
    }
}

static int fill(struct vca_fault *f, int code, int sys, const char *fmt, va_list ap) VCS_PRINTF(4, 0);
static int fill(struct vca_fault *f, int code, int sys, const char *fmt, va_list ap)
{
    f->code = code;
    f->sys = sys;
    int n = vsnprintf(f->text, sizeof(f->text), fmt, ap);
    if (sys && n >= 0 && (size_t)n < sizeof(f->text))
        snprintf(f->text + n, sizeof(f->text) - (size_t)n, ": %s", strerror(sys));
    return -1;
}

int vca_fail(struct vca_fault *f, int sys, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fill(f, code_of(sys), sys, fmt, ap);
    va_end(ap);
    return -1;
}

int vca_fail_code(struct vca_fault *f, int code, int sys, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fill(f, code, sys, fmt, ap);
    va_end(ap);
    return -1;
}

int vca_open_in_root(int rootfd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    /* EAGAIN: something was renamed on the way; the kernel asks to look again. */
    for (int tries = 0; tries < 128; tries++) {
        long fd = syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return -errno;
}

uint64_t vca_mount_id(int fd)
{
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) < 0 || !(st.stx_mask & STATX_MNT_ID))
        return 0;
    return st.stx_mnt_id;
}

int vca_read_in_root(int rootfd, const char *path, size_t max, char **ret, size_t *ret_len)
{
    /* Not blocking: the file may be a fifo that nobody writes to. */
    vcs_autoclose int fd = vca_open_in_root(rootfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return fd;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (st.st_size < 0 || (uint64_t)st.st_size > max)
        return -EFBIG;
    size_t cap = (size_t)st.st_size, len = 0;
    vcs_autofree char *mem = malloc(cap + 1);
    if (!mem)
        return -ENOMEM;
    while (len < cap) {
        ssize_t n = read(fd, mem + len, cap - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    mem[len] = '\0';
    *ret = VCS_TAKE_PTR(mem);
    *ret_len = len;
    return 0;
}

int vca_write_at(int dirfd, const char *name, const char *text)
{
    vcs_autoclose int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    size_t len = strlen(text);
    ssize_t n;
    do
        n = write(fd, text, len);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return (size_t)n == len ? 0 : -EIO;
}
