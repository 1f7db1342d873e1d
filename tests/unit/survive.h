/* SPDX-License-Identifier: Apache-2.0 */
/* survive.h: what tests of damaged state share: reading, writing and replacing files below the test's root. */
#ifndef SURVIVE_H
#define SURVIVE_H

#include "podtest.h"

#include <signal.h>
#include <sys/types.h>

#define SV_TEXT 65536
#define SV_PATH (2 * PATH_MAX + 64)

/* What can stand in the place of a plain file.  The last two need root, and an owner who may do that. */
enum { SV_DIR, SV_FIFO, SV_LINK, SV_WRITABLE, SV_FOREIGN, SV_KINDS };

static inline const char *sv_path(const char *below, char buf[SV_PATH])
{
    snprintf(buf, SV_PATH, "%s/%s", pt_root, below);
    return buf;
}

/* Its length; the text ends with a NUL. */
static inline size_t sv_read(const char *below, char text[SV_TEXT])
{
    char path[SV_PATH];
    int fd = open(sv_path(below, path), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("cannot read %s: %s", path, strerror(errno));
    ssize_t n = read(fd, text, SV_TEXT - 1);
    close(fd);
    assert_true(n >= 0);
    text[n] = '\0';
    return (size_t)n;
}

static inline void sv_write(const char *below, const char *text, size_t n)
{
    char path[SV_PATH];
    int fd = open(sv_path(below, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        fail_msg("cannot write %s: %s", path, strerror(errno));
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    close(fd);
}

static inline void sv_remove(const char *below)
{
    char path[SV_PATH];
    if (remove(sv_path(below, path)) < 0)
        assert_int_equal(errno, ENOENT);
}

/* Everything in a directory. */
static inline void sv_clear(const char *below)
{
    char path[SV_PATH];
    nftw(sv_path(below, path), pt_rm, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* Put that in the file's place; a link names a copy of it, "elsewhere".  0: this user cannot. */
static inline int sv_replace(const char *below, int kind)
{
    char path[SV_PATH], other[SV_PATH];
    sv_path(below, path);
    if (kind == SV_FOREIGN)
        return geteuid() == 0 && chown(path, 65534, 65534) == 0;
    if (kind == SV_WRITABLE)
        return chmod(path, 0666) == 0;
    if (kind == SV_LINK) {
        assert_int_equal(rename(path, sv_path("elsewhere", other)), 0);
        return symlink(other, path) == 0;
    }
    assert_int_equal(unlink(path), 0);
    return (kind == SV_DIR ? mkdir(path, 0700) : mkfifo(path, 0600)) == 0;
}

/* It still stands there. */
static inline void sv_check_replaced(const char *below, int kind)
{
    char path[SV_PATH];
    struct stat st;
    assert_int_equal(lstat(sv_path(below, path), &st), 0);
    mode_t type = kind == SV_DIR ? S_IFDIR : kind == SV_FIFO ? S_IFIFO : kind == SV_LINK ? S_IFLNK : S_IFREG;
    assert_int_equal(st.st_mode & S_IFMT, type);
    if (kind == SV_WRITABLE)
        assert_int_equal(st.st_mode & 07777, 0666);
    if (kind == SV_FOREIGN)
        assert_int_equal(st.st_uid, 65534);
}

#endif
