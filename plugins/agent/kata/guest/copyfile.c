/* SPDX-License-Identifier: Apache-2.0 */
/* copyfile.c: CopyFile: files that arrive in pieces and appear when they are complete. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent.pb-c.h"
#include "guest.h"

#define PARTIAL ".tmp"

/* Open the directory that the last component of path is to be in, making directories that are missing.
 * Every step is one component and follows no link: the result is below root.  *ret_name points into path. */
static int open_parent(const Agent__CopyFileRequest *q, char *path, const char **ret_name, struct agent_err *err)
{
    size_t n = strlen(agent_config.copy_root);
    if (strncmp(path, agent_config.copy_root, n) != 0 || path[n] != '/')
        return agent_fail(err, VCS_RPC_PERM, "path \"%.200s\" is not below %s, where files may be copied to", q->path,
                          agent_config.copy_root);
    vcs_autoclose int dir = open(agent_config.copy_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "%s", agent_config.copy_root);
    char *at = path + n + 1;
    for (;;) {
        char *slash = strchr(at, '/');
        if (slash)
            *slash = '\0';
        if (!at[0] || strcmp(at, ".") == 0 || strcmp(at, "..") == 0 || strlen(at) > 255 - sizeof(PARTIAL))
            return agent_fail(err, VCS_RPC_INVALID, "path \"%.200s\" has an empty, \".\", \"..\" or too long component",
                              q->path);
        if (!slash)
            break;
        if (mkdirat(dir, at, q->dir_mode & 07777) < 0 && errno != EEXIST)
            return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "directory %s of \"%.200s\" cannot be made", at, q->path);
        int next = openat(dir, at, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return agent_fail_errno(err, VCS_RPC_PERM, errno, "component %s of \"%.200s\" is not a directory", at, q->path);
        close(dir);
        dir = next;
        at = slash + 1;
    }
    *ret_name = at;
    return VCS_TAKE_FD(dir);
}

static int copy_directory(const Agent__CopyFileRequest *q, int dir, const char *name, struct agent_err *err)
{
    if (mkdirat(dir, name, q->file_mode & 07777) < 0 && errno != EEXIST)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "directory \"%.200s\" cannot be made", q->path);
    vcs_autoclose int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, q->file_mode & 07777) < 0 || fchown(fd, (uid_t)q->uid, (gid_t)q->gid) < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "directory \"%.200s\" cannot be set up", q->path);
    return 0;
}

static int copy_link(const Agent__CopyFileRequest *q, int dir, const char *name, struct agent_err *err)
{
    char target[4096];
    if (!q->data.len || q->data.len >= sizeof(target) || memchr(q->data.data, 0, q->data.len))
        return agent_fail(err, VCS_RPC_INVALID, "the target of link \"%.200s\" is empty, too long or has a NUL in it", q->path);
    memcpy(target, q->data.data, q->data.len);
    target[q->data.len] = '\0';
    unlinkat(dir, name, 0);
    if (symlinkat(target, dir, name) < 0 || fchownat(dir, name, (uid_t)q->uid, (gid_t)q->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "link \"%.200s\" cannot be made", q->path);
    return 0;
}

static int write_at(int fd, const unsigned char *data, size_t n, off_t offset)
{
    while (n) {
        ssize_t k = pwrite(fd, data, n, offset);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? -errno : -EIO;
        data += k;
        n -= (size_t)k;
        offset += k;
    }
    return 0;
}

static int copy_regular(const Agent__CopyFileRequest *q, int dir, const char *name, struct agent_err *err)
{
    char partial[256];
    struct stat st;
    if (q->offset < 0 || q->file_size < 0 || q->offset > q->file_size ||
        (uint64_t)q->data.len > (uint64_t)(q->file_size - q->offset))
        return agent_fail(err, VCS_RPC_INVALID, "%zu bytes at offset %lld are not within \"%.200s\" of %lld bytes",
                          q->data.len, (long long)q->offset, q->path, (long long)q->file_size);
    snprintf(partial, sizeof(partial), "%s" PARTIAL, name);
    /* Below a shared folder, a container may have put a FIFO there, which must not stop the agent. */
    vcs_autoclose int fd = openat(
        dir, partial, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (q->offset ? 0 : O_TRUNC), 0600);
    if (fd < 0 || fstat(fd, &st) < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "\"%.200s" PARTIAL "\" cannot be opened", q->path);
    if (!S_ISREG(st.st_mode))
        return agent_fail(err, VCS_RPC_PERM, "\"%.200s" PARTIAL "\" exists and is not a regular file", q->path);
    int r = write_at(fd, q->data.data, q->data.len, q->offset);
    if (r < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "\"%.200s\" cannot be written", q->path);
    if (fstat(fd, &st) < 0 || st.st_size < q->file_size)
        return 0; /* more is to come */
    if (fchown(fd, (uid_t)q->uid, (gid_t)q->gid) < 0 || fchmod(fd, q->file_mode & 07777) < 0 ||
        renameat(dir, partial, dir, name) < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "\"%.200s\" cannot be completed", q->path);
    return 0;
}

int m_copy_file(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__CopyFileRequest *q = (const void *)msg;
    const char *name = NULL;
    vcs_autofree char *path = strdup(q->path);
    if (!path)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    vcs_autoclose int dir = open_parent(q, path, &name, err);
    if (dir < 0)
        return -1;
    int r;
    switch (q->file_mode & S_IFMT) {
    case 0:
    case S_IFREG:
        r = copy_regular(q, dir, name, err);
        break;
    case S_IFDIR:
        r = copy_directory(q, dir, name, err);
        break;
    case S_IFLNK:
        r = copy_link(q, dir, name, err);
        break;
    default:
        r = agent_fail(err, VCS_RPC_INVALID, "mode %o of \"%.200s\" is not that of a file, directory or link", q->file_mode,
                       q->path);
    }
    if (r == 0)
        rpc_reply_empty(call);
    return r;
}
