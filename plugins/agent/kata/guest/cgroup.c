/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.c: the life of a container's cgroup: make, freeze, kill, watch, remove. */
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/io.h"

#define CGROUP2_MAGIC 0x63677270
#define FREEZE_TIMEOUT_MS 3000 /* the agent does nothing else meanwhile */
#define MAX_DEPTH 32

struct vca_cgroup_config vca_cgroup_config = {.root = "/sys/fs/cgroup", .base = "vc"};

ssize_t vca_cgroup_read(const struct vca_cgroup *cg, const char *name, char *buf, size_t size)
{
    vcs_autoclose int fd = openat(cg->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    ssize_t n = vcs_read_full(fd, buf, size - 1);
    if (n >= 0)
        buf[n] = '\0';
    return n;
}

uint64_t vca_cgroup_key(const char *text, const char *key)
{
    size_t len = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0 && line[len] == ' ')
            return strtoull(line + len + 1, NULL, 10);
    }
    return 0;
}

/* ---- make ---- */

/* Give the groups below a directory all controllers it has itself. */
static int enable_controllers(int fd, const char *where, struct vca_fault *f)
{
    char have[512], on[512], want[1024];
    size_t len = 0;
    struct vca_cgroup dir = {.fd = fd};
    if (vca_cgroup_read(&dir, "cgroup.controllers", have, sizeof(have)) < 0 ||
        vca_cgroup_read(&dir, "cgroup.subtree_control", on, sizeof(on)) < 0)
        return vca_fail(f, errno, "cannot read the controllers of cgroup '%s'", where);
    want[0] = '\0';
    for (char *save = NULL, *c = strtok_r(have, " \n", &save); c; c = strtok_r(NULL, " \n", &save)) {
        const char *hit = strstr(on, c);
        size_t n = strlen(c);
        if (hit && (hit == on || hit[-1] == ' ') && (hit[n] == ' ' || hit[n] == '\n' || !hit[n]))
            continue;
        len += (size_t)snprintf(want + len, sizeof(want) - len, "%s+%s", len ? " " : "", c);
    }
    if (!len)
        return 0;
    int r = vca_write_at(fd, "cgroup.subtree_control", want);
    return r < 0 ? vca_fail_code(f, VCS_RPC_INTERNAL, -r, "cannot enable the controllers '%s' below cgroup '%s'", want,
                                 where)
                 : 0;
}

/* The path below `base`: the wish as far as it is safe.  "slice:prefix:name" of systemd becomes prefix/name. */
static int choose_path(const char *id, const char *wish, char *ret, size_t size, struct vca_fault *f)
{
    char text[PATH_MAX];
    const char *first = strchr(wish, ':'), *second = first ? strchr(first + 1, ':') : NULL;
    int n = second ? snprintf(text, sizeof(text), "%.*s/%s", (int)(second - first - 1), first + 1, second + 1)
                   : snprintf(text, sizeof(text), "%s", wish);
    if (n < 0 || (size_t)n >= sizeof(text))
        return vca_fail(f, 0, "cgroupsPath is longer than %zu bytes", sizeof(text) - 1);
    size_t len = 0, depth = 0;
    for (char *save = NULL, *c = strtok_r(text, "/", &save); c; c = strtok_r(NULL, "/", &save)) {
        if (strcmp(c, "..") == 0 || strcmp(c, ".") == 0 || strlen(c) > NAME_MAX || ++depth > MAX_DEPTH)
            return vca_fail(f, 0, "cgroupsPath '%.200s' must not have '.', '..' or very many or long parts", wish);
        for (const char *p = c; *p; p++)
            if ((unsigned char)*p <= ' ')
                return vca_fail(f, 0, "cgroupsPath '%.200s' has a blank or control character", wish);
        n = snprintf(ret + len, size - len, "%s%s", len ? "/" : "", c);
        if (n < 0 || (size_t)n >= size - len)
            return vca_fail(f, 0, "cgroupsPath '%.200s' is too long", wish);
        len += (size_t)n;
    }
    if (!len && snprintf(ret, size, "%s", id) >= (int)size)
        return vca_fail(f, 0, "container id '%.200s' is too long", id);
    return 0;
}

/* One level down; the directory is made.  The last level must be new. */
static int descend(int fd, const char *name, int last, struct vca_fault *f)
{
    if (mkdirat(fd, name, 0755) < 0 && (last || errno != EEXIST))
        return vca_fail(f, errno, "cannot make cgroup '%s'", name);
    int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return next >= 0 ? next : vca_fail(f, errno, "cannot open cgroup '%s'", name);
}

static int make_path(struct vca_cgroup *cg, struct vca_fault *f)
{
    char full[2 * PATH_MAX];
    snprintf(full, sizeof(full), "%s/%s", vca_cgroup_config.base, cg->path);
    vcs_autoclose int fd = open(vca_cgroup_config.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct statfs st;
    if (fd < 0 || fstatfs(fd, &st) < 0)
        return vca_fail_code(f, VCS_RPC_INTERNAL, errno, "cannot open '%s'", vca_cgroup_config.root);
    if (st.f_type != CGROUP2_MAGIC)
        return vca_fail_code(f, VCS_RPC_INTERNAL, 0, "'%s' is not a cgroup version 2 mount", vca_cgroup_config.root);
    char *save = NULL, *name = strtok_r(full, "/", &save);
    while (name) {
        char *next_name = strtok_r(NULL, "/", &save);
        if (enable_controllers(fd, name, f) < 0)
            return -1;
        int next = descend(fd, name, !next_name, f);
        if (next < 0)
            return -1;
        close(fd);
        fd = next;
        name = next_name;
    }
    cg->fd = VCS_TAKE_FD(fd);
    return 0;
}

int vca_cgroup_create(struct vca_cgroup *cg, const char *id, const char *wish, struct vca_fault *f)
{
    char path[PATH_MAX];
    *cg = (struct vca_cgroup){.fd = -1, .events_fd = -1, .oom_fd = -1, .devices_prog = -1};
    if (vca_cgroup_config.disabled)
        return 0;
    if (choose_path(id, wish, path, sizeof(path), f) < 0)
        return -1;
    cg->path = strdup(path);
    if (!cg->path)
        return vca_fail(f, ENOMEM, "cannot make a cgroup");
    if (make_path(cg, f) < 0) {
        vca_cgroup_done(cg);
        return -1;
    }
    cg->events_fd = openat(cg->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (cg->events_fd < 0) {
        struct vca_fault other;
        vca_fail(f, errno, "cannot open cgroup.events of cgroup '%s'", cg->path);
        vca_cgroup_remove(cg, &other);
        vca_cgroup_done(cg);
        return -1;
    }
    cg->oom_fd = openat(cg->fd, "memory.events", O_RDONLY | O_CLOEXEC);
    vca_cgroup_oom(cg); /* only a file that was read reports changes */
    return 0;
}

/* ---- run ---- */

/* Poll cgroup.events until `key` has the value, at most timeout_ms. */
static int wait_event(struct vca_cgroup *cg, const char *key, uint64_t value, int timeout_ms)
{
    int64_t deadline = vcs_now_ns() + (int64_t)timeout_ms * 1000000;
    for (;;) {
        char text[256];
        ssize_t n = pread(cg->events_fd, text, sizeof(text) - 1, 0);
        if (n < 0)
            return -errno;
        text[n] = '\0';
        if (vca_cgroup_key(text, key) == value)
            return 0;
        int left = vcs_poll_timeout(deadline);
        if (left == 0)
            return -ETIMEDOUT;
        struct pollfd p = {.fd = cg->events_fd, .events = POLLPRI};
        if (poll(&p, 1, left) < 0 && errno != EINTR)
            return -errno;
    }
}

int vca_cgroup_freeze(struct vca_cgroup *cg, int freeze, struct vca_fault *f)
{
    if (cg->fd < 0)
        return vca_fail_code(f, VCS_RPC_PRECONDITION, 0, "without cgroups a container cannot be paused");
    int r = vca_write_at(cg->fd, "cgroup.freeze", freeze ? "1" : "0");
    if (r == 0)
        r = wait_event(cg, "frozen", (uint64_t)freeze, FREEZE_TIMEOUT_MS);
    if (r < 0) {
        if (freeze)
            vca_write_at(cg->fd, "cgroup.freeze", "0");
        return vca_fail(f, -r, "cgroup '%s' cannot be %s", cg->path, freeze ? "frozen" : "thawed");
    }
    return 0;
}

int vca_cgroup_kill(struct vca_cgroup *cg, struct vca_fault *f)
{
    if (cg->fd < 0)
        return 0;
    int r = vca_write_at(cg->fd, "cgroup.kill", "1");
    return r < 0 ? vca_fail_code(f, VCS_RPC_INTERNAL, -r, "the processes of cgroup '%s' cannot be killed", cg->path) : 0;
}

int vca_cgroup_wait_empty(struct vca_cgroup *cg, int timeout_ms)
{
    return cg->fd < 0 ? 0 : wait_event(cg, "populated", 0, timeout_ms);
}

int vca_cgroup_oom(struct vca_cgroup *cg)
{
    char text[512];
    if (cg->oom_fd < 0)
        return 0;
    ssize_t n = pread(cg->oom_fd, text, sizeof(text) - 1, 0);
    if (n < 0)
        return 0;
    text[n] = '\0';
    uint64_t kills = vca_cgroup_key(text, "oom_kill");
    int more = kills > cg->oom_kills;
    cg->oom_kills = kills;
    return more;
}

/* ---- pids, removal: the container may have made groups below its own ---- */

struct pid_list {
    pid_t *mem;
    size_t n, cap;
};

static int add_pids(int fd, struct pid_list *l)
{
    vcs_autoclose int procs = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    if (procs < 0)
        return errno == EOPNOTSUPP ? 0 : -errno;
    vcs_autofclose FILE *file = fdopen(procs, "r");
    if (!file)
        return -errno;
    procs = -1;
    long pid;
    while (fscanf(file, "%ld", &pid) == 1) {
        if (l->n == l->cap) {
            size_t cap = l->cap ? 2 * l->cap : 16;
            pid_t *mem = realloc(l->mem, cap * sizeof(*mem));
            if (!mem)
                return -ENOMEM;
            l->mem = mem;
            l->cap = cap;
        }
        l->mem[l->n++] = (pid_t)pid;
    }
    return 0;
}

/* Call `fn` for the directory and all below it, the deepest first. */
static int walk(int dirfd, const char *name, int depth, int (*fn)(int dirfd, const char *name, int fd, void *arg),
                void *arg)
{
    if (depth > 2 * MAX_DEPTH)
        return -ELOOP;
    vcs_autoclose int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return -errno;
    vcs_autoclosedir DIR *dir = fdopendir(copy);
    if (!dir) {
        int sys = errno;
        close(copy);
        return -sys;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int r = walk(fd, e->d_name, depth + 1, fn, arg);
        if (r < 0)
            return r;
    }
    return fn(dirfd, name, fd, arg);
}

static int visit_pids(int dirfd, const char *name, int fd, void *arg)
{
    (void)dirfd;
    (void)name;
    return add_pids(fd, arg);
}

static int visit_remove(int dirfd, const char *name, int fd, void *arg)
{
    (void)fd;
    (void)arg;
    return strcmp(name, ".") == 0 || unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

int vca_cgroup_pids(struct vca_cgroup *cg, pid_t **ret, size_t *ret_n, struct vca_fault *f)
{
    struct pid_list l = {0};
    int r = walk(cg->fd, ".", 0, visit_pids, &l);
    if (r < 0) {
        free(l.mem);
        return vca_fail_code(f, VCS_RPC_INTERNAL, -r, "the processes of cgroup '%s' cannot be listed", cg->path);
    }
    *ret = l.mem;
    *ret_n = l.n;
    return 0;
}

int vca_cgroup_remove(struct vca_cgroup *cg, struct vca_fault *f)
{
    char full[2 * PATH_MAX];
    if (!cg->path || cg->fd < 0)
        return 0;
    int r = walk(cg->fd, ".", 0, visit_remove, NULL);
    vcs_autoclose int root = open(vca_cgroup_config.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return vca_fail_code(f, VCS_RPC_INTERNAL, errno, "cannot open '%s'", vca_cgroup_config.root);
    snprintf(full, sizeof(full), "%s/%s", vca_cgroup_config.base, cg->path);
    if (r == 0 && unlinkat(root, full, AT_REMOVEDIR) < 0 && errno != ENOENT)
        r = -errno;
    if (r < 0)
        return vca_fail_code(f, VCS_RPC_INTERNAL, -r, "cgroup '%s' cannot be removed", cg->path);
    /* Parents that were made for it, as far as nobody else uses them; the base stays. */
    size_t base = strlen(vca_cgroup_config.base);
    for (char *slash; (slash = strrchr(full, '/')) && (size_t)(slash - full) > base;) {
        *slash = '\0';
        if (unlinkat(root, full, AT_REMOVEDIR) < 0)
            break;
    }
    return 0;
}

void vca_cgroup_done(struct vca_cgroup *cg)
{
    int *fds[] = {&cg->fd, &cg->events_fd, &cg->oom_fd, &cg->devices_prog};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    free(cg->path);
    cg->path = NULL;
}

int vca_cgroup_devices(struct vca_cgroup *cg, const Oci__LinuxResources *res, struct vca_fault *f)
{
    if (cg->fd < 0) {
        for (size_t i = 0; res && i < res->n_devices; i++)
            if (!res->devices[i]->allow)
                return vca_fail_code(f, VCS_RPC_PRECONDITION, 0, "device rules need cgroups, which are switched off");
        return 0;
    }
    return vca_devices_attach(cg->fd, res ? res->devices : NULL, res ? res->n_devices : 0, &cg->devices_prog, f);
}
