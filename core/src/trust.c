/* SPDX-License-Identifier: Apache-2.0 */
/* trust.c: open what only root or the caller can have written: configuration and plugins. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "context.h"

/* Check the component that `path`, cut to `len` bytes, names. */
static int check(int fd, const char *path, size_t len, vc_error **err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return vci_fail(err, VC_ERR_IO, errno, "cannot look at %.*s", (int)len, path);
    if (S_ISLNK(st.st_mode))
        return vci_fail(err, VC_ERR_PERM, 0, "%.*s is a symbolic link, which is not followed here: give the real path",
                        (int)len, path);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return vci_fail(err, VC_ERR_PERM, 0, "%.*s belongs to user %u: it must belong to root or to you (user %u)",
                        (int)len, path, (unsigned)st.st_uid, (unsigned)geteuid());
    int sticky_of_root = S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX) && st.st_uid == 0;
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !sticky_of_root)
        return vci_fail(err, VC_ERR_PERM, 0, "%.*s is writable by %s (mode %04o): remove that with chmod go-w",
                        (int)len, path, st.st_mode & S_IWOTH ? "everybody" : "its group",
                        (unsigned)(st.st_mode & 07777));
    return 0;
}

int vci_open_trusted(const char *path, int flags, int *ret_fd, vc_error **err)
{
    if (path[0] != '/')
        return vci_fail(err, VC_ERR_INVAL, 0, "\"%s\" is not an absolute path", path);
    size_t len = strlen(path);
    if (len >= PATH_MAX)
        return vci_fail(err, VC_ERR_INVAL, 0, "the path \"%.60s...\" is too long (%zu bytes; %d are possible)", path,
                        len, PATH_MAX - 1);
    vcs_autoclose int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return vci_fail(err, VC_ERR_IO, errno, "cannot open /");
    int r = check(fd, "/", 1, err);
    const char *p = path;
    while (r == 0) {
        p += strspn(p, "/");
        if (!*p)
            break;
        size_t n = strcspn(p, "/");
        char name[NAME_MAX + 1];
        if (n > NAME_MAX || (n == 2 && p[0] == '.' && p[1] == '.'))
            return vci_fail(err, VC_ERR_INVAL, 0, "%s: \"%.*s\" is not possible as a part of this path", path, (int)n,
                            p);
        memcpy(name, p, n);
        name[n] = '\0';
        p += n;
        int last = p[strspn(p, "/")] == '\0';
        /* Looked at as it is first: opening a link, device or pipe could already have an effect. */
        int next = openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return vci_fail(err, vci_code_of(errno), errno, "cannot open %.*s", (int)(p - path), path);
        close(fd);
        fd = next;
        r = check(fd, path, (size_t)(p - path), err);
        if (r == 0 && last && !(flags & O_PATH)) {
            char self[32];
            snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
            next = open(self, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
            if (next < 0)
                return vci_fail(err, vci_code_of(errno), errno, "cannot open %s", path);
            close(fd);
            fd = next;
        }
    }
    if (r == 0)
        *ret_fd = VCS_TAKE_FD(fd);
    return r;
}
